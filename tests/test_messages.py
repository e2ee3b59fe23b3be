"""The wire: plain msgpack that any reader understands, tolerant of what a newer writer adds."""

import msgpack
import msgspec
import pytest

from common.messages import SCHEMA, Envelope, Request, Status, Tick

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
