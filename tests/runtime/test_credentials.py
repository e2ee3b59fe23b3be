"""Credentials come from private files, show themselves masked, and are never overwritten."""

import copy
import json
import pickle
import stat
from pathlib import Path

import msgspec
import pytest

from common.errors import ConfigError
from common.runtime.credentials import Secret, read_credentials, write_credentials

CANARY = "canary-0x5eed"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "credentials" / "route.json"


def problem(file: Path, *names: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read_credentials(file, names or ("secret",))
    return str(caught.value)


def test_what_is_written_is_read(file: Path) -> None:
    write_credentials(file, {"client_id": "me", "secret": CANARY})
    found = read_credentials(file, ("client_id", "secret"))
    assert found is not None
    assert (found["client_id"].reveal(), found["secret"].reveal()) == ("me", CANARY)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_secret_shows_itself_masked_however_it_is_shown() -> None:
    secret = Secret(CANARY)
    shown = [str(secret), repr(secret), f"{secret}", f"{secret!r:>20}", "%s" % secret, repr({"a": secret})]  # noqa: UP031
    assert not [text for text in shown if CANARY in text]
    assert secret.reveal() == CANARY


def test_a_secret_is_never_written_down() -> None:
    for write in (pickle.dumps, copy.deepcopy, msgspec.json.encode, msgspec.msgpack.encode):
        with pytest.raises(TypeError) as caught:
            write(Secret(CANARY))
        assert CANARY not in str(caught.value)


def test_no_file_is_no_error(file: Path) -> None:
    assert read_credentials(file, ("secret",)) is None


def test_a_file_others_can_read_is_refused(file: Path) -> None:
    write_credentials(file, {"secret": CANARY})
    for mode in (0o640, 0o604, 0o660):
        file.chmod(mode)
        assert f"chmod 600 {file}" in problem(file)
    file.chmod(0o600)
    assert read_credentials(file, ("secret",)) is not None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"secret": 1}', "\xff"])
def test_odd_content_is_refused_and_never_quoted(file: Path, content: str) -> None:
    write_credentials(file, {"secret": CANARY})
    file.write_text(content + CANARY if content == "{" else content)
    text = problem(file)
    assert "not a JSON object" in text
    assert CANARY not in text


def test_what_is_missing_is_named(file: Path) -> None:
    write_credentials(file, {"client_id": "me", "secret": ""})
    text = problem(file, "client_id", "secret", "passphrase")
    assert "lack secret, passphrase" in text


def test_an_existing_file_is_never_replaced(file: Path) -> None:
    write_credentials(file, {"secret": CANARY})
    with pytest.raises(FileExistsError):
        write_credentials(file, {"secret": "another"})
    assert json.loads(file.read_text()) == {"secret": CANARY}
