"""Signatures of requests to Chainlink: byte by byte, at the time they are made, and never shown."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ConfigError, FeedError
from common.feeds.oracle.chainlink_auth import auth_headers, check_clock, credentials_from, signature
from common.runtime.clock import ManualClock
from common.runtime.credentials import Secret, write_credentials
from common.units import MILLISECOND, SECOND

NOW_S = 1_790_000_000
CREDENTIALS = {"client_id": Secret("reader-1"), "secret": Secret("a#secret")}
PATH = "/api/v1/ws?feedIDs=0x01%2C0x02"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(wall=NOW_S * SECOND + 7 * MILLISECOND + 999)


def test_a_request_carries_client_time_and_signature(clock: ManualClock) -> None:
    body_hash = hashlib.sha256(b"").hexdigest()
    said = f"GET {PATH} {body_hash} reader-1 {NOW_S}007"
    assert auth_headers(CREDENTIALS, clock, "GET", PATH) == {
        "Authorization": "reader-1",
        "X-Authorization-Timestamp": f"{NOW_S}007",
        "X-Authorization-Signature-SHA256": hmac.new(b"a#secret", said.encode(), "sha256").hexdigest(),
    }


def test_every_part_is_signed() -> None:
    base = ("GET", "/a?b=c", b"{}", "id", "secret", 1000)
    others = ("POST", "/a?b=d", b"{ }", "id2", "secret2", 1001)
    found = {signature(*base)}
    for place in range(len(base)):
        changed = [*base]
        changed[place] = others[place]
        found.add(signature(*changed))  # type: ignore[arg-type]
    assert len(found) == 1 + len(base)


def test_each_request_is_signed_anew(clock: ManualClock) -> None:
    first = auth_headers(CREDENTIALS, clock, "GET", PATH)
    clock.advance(MILLISECOND)
    second = auth_headers(CREDENTIALS, clock, "GET", PATH)
    assert first["X-Authorization-Signature-SHA256"] != second["X-Authorization-Signature-SHA256"]
    assert first["Authorization"] == second["Authorization"]


def test_the_official_vectors_reproduce(shared_data: Path) -> None:
    vectors = json.loads((shared_data / "frames" / "chainlink" / "hmac_vectors.json").read_text())
    assert len(vectors) == 3
    for each in vectors:
        made = signature(
            each["method"],
            each["path_and_query"],
            each["body"].encode(),
            each["client_id"],
            each["secret"],
            each["timestamp_ms"],
        )
        assert made == each["expected_hmac_sha256_hex"]


def test_credentials_come_from_their_file(tmp_path: Path) -> None:
    file = tmp_path / "chainlink.json"
    assert credentials_from(file) is None
    write_credentials(file, {"client_id": "reader-1", "secret": "a#secret"})
    found = credentials_from(file)
    assert found is not None
    assert (found["client_id"].reveal(), found["secret"].reveal()) == ("reader-1", "a#secret")
    assert "secret'" in repr(found) and "a#secret" not in repr(found) and "reader-1" not in repr(found)


@pytest.mark.parametrize("name", ["client_id", "secret"])
@pytest.mark.parametrize(
    "value", ["hidden\n", " hidden", "hid den", "hidden\r\nX-Evil: 1", "hiddén", "\x00hidden"]
)
def test_a_key_with_foreign_characters_is_refused_unquoted(tmp_path: Path, name: str, value: str) -> None:
    file = tmp_path / "chainlink.json"
    write_credentials(file, {"client_id": "reader-1", "secret": "a#secret"} | {name: value})
    with pytest.raises(ConfigError, match=f"^{name} in .*chainlink.json") as refused:
        credentials_from(file)
    assert "hid" not in str(refused.value).replace(str(tmp_path), "")


def _date(offset_s: float) -> dict[str, str]:
    return {"Date": format_datetime(datetime.fromtimestamp(NOW_S + offset_s, UTC), usegmt=True)}


@pytest.mark.parametrize("offset_s", [-5, 0, 5])
def test_a_clock_within_the_tolerance_is_fine(offset_s: int) -> None:
    check_clock(_date(offset_s), ManualClock(wall=NOW_S * SECOND))


@pytest.mark.parametrize(
    ("offset_s", "told"), [(6, "6.0 s behind"), (-6, "6.0 s ahead"), (-86_400, "86400.0 s ahead")]
)
def test_a_clock_that_is_off_is_told_with_its_offset(offset_s: int, told: str) -> None:
    with pytest.raises(FeedError, match=f"our clock is {told}.*set this host's clock"):
        check_clock(_date(offset_s), ManualClock(wall=NOW_S * SECOND))


def test_a_date_without_a_zone_is_of_greenwich() -> None:
    date = format_datetime(datetime.fromtimestamp(NOW_S - 60, UTC)).replace("+0000", "-0000")
    with pytest.raises(FeedError, match=r"60\.0 s ahead"):
        check_clock({"Date": date}, ManualClock(wall=NOW_S * SECOND))


def test_a_part_of_a_second_beyond_the_tolerance_counts() -> None:
    with pytest.raises(FeedError, match=r"5\.1 s ahead"):
        check_clock(_date(-5), ManualClock(wall=NOW_S * SECOND + SECOND // 10))


@pytest.mark.parametrize("date", ["", "soon", "Mon, 99 Jan 2026 00:00:00 GMT", "0", "Thu, 01 Jan 1970"])
def test_a_date_nobody_can_read_says_nothing(date: str) -> None:
    check_clock({"Date": date}, ManualClock(wall=NOW_S * SECOND))
    check_clock({}, ManualClock(wall=NOW_S * SECOND))


@given(
    st.one_of(st.text(), st.from_regex(r"\w{3}, \d+ (Jan|Sep) \d+ \d+:\d+:\d+ ([+-]\d+|GMT)", fullmatch=True))
)
def test_any_date_is_read_or_ignored(date: str) -> None:
    try:
        check_clock({"Date": date}, ManualClock(wall=NOW_S * SECOND))
    except FeedError:
        return
