"""The wire: plain msgpack that any reader understands, tolerant of what a newer writer adds."""

import base64
import importlib
import pkgutil
from pathlib import Path
from typing import get_args

import msgpack
import msgspec
import pytest

from common import messages
from common.messages import (
    SCHEMA,
    Answer,
    Body,
    Command,
    Envelope,
    Fill,
    OrderState,
    PositionState,
    Published,
    Request,
    Status,
    Tick,
)
from common.store.tape import Record, verify
from common.store.tape_writer import TapeWriter

ENVELOPE = Envelope(
    schema=SCHEMA,
    source="oracle-rtds",
    boot="b",
    seq=1,
    topic="tick.btc.twap60.rtds",
    ts_event_ns=1,
    ts_recv_ns=2,
    mono_ns=3,
    cause="",
    body=Tick(asset="btc", kind="twap60", route="rtds", observed_ns=1, e18=str(79_697 * 10**18)),
)


def test_a_plain_msgpack_reader_reads_a_message() -> None:
    plain = msgpack.unpackb(msgspec.msgpack.encode(ENVELOPE))
    assert plain["body"]["t"] == "tick"
    assert int(plain["body"]["e18"]) == 79_697 * 10**18


def test_a_plain_msgpack_writer_is_understood_and_its_new_fields_are_ignored() -> None:
    plain = msgpack.unpackb(msgspec.msgpack.encode(ENVELOPE))
    plain["new"] = plain["body"]["newer"] = 1
    assert msgspec.msgpack.decode(msgpack.packb(plain), type=Envelope) == ENVELOPE


@pytest.mark.parametrize(
    ("field", "value"), [("seq", "one"), ("body", {"t": "no such message"}), ("source", None), ("body", None)]
)
def test_a_wrong_type_is_refused(field: str, value: object) -> None:
    plain = msgpack.unpackb(msgspec.msgpack.encode(ENVELOPE))
    plain[field] = value
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgpack.packb(plain), type=Envelope)


def test_a_command_is_told_from_a_message_by_its_tag() -> None:
    request = Request(schema=SCHEMA, id="1", caller="cli", expires_mono_ns=1, body=Status())
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=Request) == request


WRITTEN_BY_SCHEMA_2 = {
    "order.w": (
        "iqZzY2hlbWECpnNvdXJjZahleGVjdXRvcqRib290oWKjc2VxAaV0b3BpY6dvcmRlci53q3RzX2V2ZW50X25zAap0c19yZWN2"
        "X25zAqdtb25vX25zA6VjYXVzZaCkYm9ked4AEqF0pW9yZGVyqG9yZGVyX2lkozB4MalpbnRlbnRfaWSody91cC9sYWemd2lu"
        "ZG93oXelYXNzZXSjYnRjpXRva2VuoTGnb3V0Y29tZaJ1cKZsaW1pdDTNFeCqc3Rha2VfdXNkNs4AmJaApnN0YXR1c6ZmaWxs"
        "ZWSmcmVhc29uoKxmaWxsZWRfc2l6ZTbOAQNmQKljb3N0X3VzZDbOAJFDgKhmZWVfdXNkNs4ABGzQqmNyZWF0ZWRfbnMEqnVw"
        "ZGF0ZWRfbnMFpWJhc2lzqnNldHRsZW1lbnSndW5rbm93bqA="
    ),
    "fill.w": (
        "iqZzY2hlbWECpnNvdXJjZahleGVjdXRvcqRib290oWKjc2VxAqV0b3BpY6ZmaWxsLnerdHNfZXZlbnRfbnMBqnRzX3JlY3Zf"
        "bnMCp21vbm9fbnMDpWNhdXNloKRib2R5jaF0pGZpbGyodHJhZGVfaWShdKhvcmRlcl9pZKMweDGmd2luZG93oXelYXNzZXSj"
        "YnRjpXRva2VuoTGnb3V0Y29tZaJ1cKZwcmljZTTNFeClc2l6ZTbOAQNmQKljb3N0X3VzZDbOAJFDgKhmZWVfdXNkNs4ABGzQ"
        "pWF0X25zBqZzdGF0dXOpY29uZmlybWVk"
    ),
    "position.w.up": (
        "iqZzY2hlbWECpnNvdXJjZahleGVjdXRvcqRib290oWKjc2VxA6V0b3BpY61wb3NpdGlvbi53LnVwq3RzX2V2ZW50X25zAap0"
        "c19yZWN2X25zAqdtb25vX25zA6VjYXVzZaCkYm9ked4AEqF0qHBvc2l0aW9upndpbmRvd6F3pWFzc2V0o2J0Y6V0b2tlbqEx"
        "p291dGNvbWWidXClc2l6ZTbOAQNmQKljb3N0X3VzZDbOAJFDgKhmZWVfdXNkNs4ABGzQpmVuZF9ucwenc2V0dGxlZMKob2Zm"
        "aWNpYWzAq3BheW91dF91c2Q2AKhwbmxfdXNkNgClYmFzaXOqc2V0dGxlbWVudKhyZWRlZW1lZKCsY29uZGl0aW9uX2lkoKlu"
        "dW1lcmF0b3IAq2Rlbm9taW5hdG9yAA=="
    ),
}
"""An order, its fill and its position, before anything could be sold; base64 by topic."""


def test_what_schema_2_wrote_is_still_read() -> None:
    read = [
        msgspec.msgpack.decode(base64.b64decode(text), type=Envelope) for text in WRITTEN_BY_SCHEMA_2.values()
    ]
    assert [(one.schema, one.topic) for one in read] == [(2, topic) for topic in WRITTEN_BY_SCHEMA_2]
    order, fill, position = (one.body for one in read)
    assert isinstance(order, OrderState)
    assert (order.side, order.size6, order.stake_usd6, order.status) == ("buy", 0, 10_000_000, "filled")
    assert isinstance(fill, Fill)
    assert (fill.side, fill.released_usd6, fill.cost_usd6) == ("buy", 0, 9_520_000)
    assert isinstance(position, PositionState)
    assert (position.sold6, position.realized_usd6, position.size6) == (0, 0, 17_000_000)


def test_a_tape_of_schema_2_is_whole(tmp_path: Path) -> None:
    writer = TapeWriter(tmp_path)
    for topic, text in WRITTEN_BY_SCHEMA_2.items():
        writer.append(Record(3, 2, "bus", "executor", topic, base64.b64decode(text)))
    writer.close()
    found = verify(tmp_path)
    assert (found.records, found.unreadable_bodies, found.tears, found.holes) == (3, 0, (), ())


def test_the_schema_counts_the_kinds_of_messages() -> None:
    """A new kind is one an older process cannot read: whoever adds one raises SCHEMA and writes it here."""
    kinds = {kind.__struct_config__.tag for union in (Published, Command, Answer) for kind in get_args(union)}
    assert (SCHEMA, len(kinds)) == (3, 44)


TAGS = {
    "Published": """
        tick market book verdict view routes order fill position posture account resolution redemption
        heartbeat alert canary
    """,
    "Command": """
        status? snapshot? why? follow set-posture cancel-all flatten account? oracles? prove? checks? wallet?
        redeem redemptions? plan? submit canary
    """,
    "Answer": """
        status snapshot why account-report oracles proof checks wallet redemptions plan accepted refused
    """,
}
"""What tapes hold and running processes say to each other."""


@pytest.mark.parametrize("union", TAGS)
def test_the_tags_on_the_wire_stay_what_they_are(union: str) -> None:
    tags = {kind.__struct_config__.tag for kind in get_args(getattr(messages, union))}
    assert tags == set(TAGS[union].split())


def test_every_kind_can_travel_and_every_name_is_imported_from_one_place() -> None:
    travelling = {kind for union in (Published, Command, Answer) for kind in get_args(union)}
    for part in pkgutil.iter_modules(messages.__path__, f"{messages.__name__}."):
        for name, value in vars(importlib.import_module(part.name)).items():
            if isinstance(value, type) and value.__module__ == part.name:
                assert name in messages.__all__
                assert value is Body or not issubclass(value, Body) or value in travelling, name
