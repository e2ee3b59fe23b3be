"""The bus over real ipc sockets: nothing is lost unseen, and what was lost is repaired."""

import asyncio
import time
from pathlib import Path

import msgspec
import pytest
import zmq
import zmq.asyncio

from common.errors import InvariantBroken
from common.messages import SCHEMA, Envelope, Snapshot, TakeSnapshot
from common.runtime.clock import SystemClock
from common.runtime.endpoints import publish_endpoint
from common.runtime.publisher import Publisher
from common.runtime.responder import Responder
from common.runtime.sockets import is_readable
from common.runtime.subscriber import MAX_MESSAGE_BYTES, Subscriber
from tests.runtime.peers import Peer, context, kill, peer, posture, pulse, receive_until, start, tick

PUBLISHER = """
import asyncio, sys
from pathlib import Path
import zmq.asyncio
from tests.runtime.peers import peer, posture, tick
async def main():
    ctx = zmq.asyncio.Context()
    async with peer(ctx, Path(sys.argv[1]), "books") as one:
        print(one.publisher.boot, flush=True)
        number = 0
        while True:
            number += 1
            one.publisher.publish("tick.btc", tick(number))
            if number == 1:
                one.publisher.publish("posture.x", posture(1), keep=True)
            await asyncio.sleep(0.001)
asyncio.run(main())
"""


def test_a_late_joiner_gets_the_state(run_dir: Path) -> None:
    async def play() -> None:
        async with context() as ctx, peer(ctx, run_dir, "books") as one:
            one.publisher.publish("posture.a", posture(1), keep=True)
            one.publisher.publish("posture.gone", posture(2), keep=True)
            one.publisher.forget("posture.gone")
            subscriber = Subscriber(ctx, run_dir, "strategist", ["books"], SystemClock())
            assert subscriber.unsynced() == {"books"}
            heard = await receive_until(subscriber, lambda heard: not subscriber.unsynced())
            assert [(e.topic, e.seq) for e in heard] == [("posture.a", 1)]
            assert subscriber.counts() == ()
            subscriber.close()

    asyncio.run(play())


def test_what_fell_between_snapshot_and_subscription_is_asked_for_again(run_dir: Path) -> None:
    """The snapshot was taken at 1, the first message that came by itself is 4: 2 and 3 must come."""

    async def play() -> None:
        async with context() as ctx, peer(ctx, run_dir, "books") as one:
            history: list[Envelope] = [one.publisher.publish("tick.btc", tick(1))]
            one.publisher.extra_state = lambda: history
            subscriber = Subscriber(ctx, run_dir, "strategist", ["books"], SystemClock())
            plain = subscriber._others
            assert plain is not None
            plain.unsubscribe(b"")
            await receive_until(subscriber, lambda heard: len(heard) == 1)
            history += [one.publisher.publish("tick.btc", tick(number)) for number in (2, 3)]
            plain.subscribe(b"")
            async with pulse(lambda: history.append(one.publisher.publish("tick.btc", tick(9)))):
                heard = await receive_until(
                    subscriber, lambda heard: {2, 3} <= {e.seq for e in heard} and not subscriber.unsynced()
                )
            seqs = [e.seq for e in heard]
            assert len(seqs) == len(set(seqs)), "delivered twice"
            subscriber.close()

    asyncio.run(play())


@pytest.mark.procs
def test_a_killed_and_restarted_publisher_is_noticed_and_repaired(run_dir: Path) -> None:
    async def play() -> None:
        async with context() as ctx:
            first = start(PUBLISHER, str(run_dir))
            subscriber = Subscriber(ctx, run_dir, "strategist", ["books"], SystemClock())
            second = None
            try:
                await receive_until(subscriber, lambda heard: len(heard) > 50 and not subscriber.unsynced())
                kill(first)
                second = start(PUBLISHER, str(run_dir))
                boots = {count.boot for count in subscriber.counts()}
                unsynced_seen = False

                def repaired(heard: list[Envelope]) -> bool:
                    nonlocal unsynced_seen
                    new = [e for e in heard if e.boot not in boots]
                    unsynced_seen |= bool(new) and subscriber.unsynced() == {"books"}
                    return any(e.topic == "posture.x" for e in new) and not subscriber.unsynced()

                heard = await receive_until(subscriber, repaired)
                assert len(subscriber.counts()) == 2
                new = [e for e in heard if e.boot not in boots]
                assert len({e.boot for e in new}) == 1
                assert unsynced_seen or new[0].seq == 2
            finally:
                subscriber.close()
                kill(first) if first.poll() is None else None
                if second is not None:
                    kill(second)

    asyncio.run(play())


def test_dropped_messages_are_counted_exactly_and_the_snapshot_restores_the_state(run_dir: Path) -> None:
    sent = 20_000

    async def play() -> None:
        async with context() as ctx, peer(ctx, run_dir, "books", high_water=10) as one:
            subscriber = Subscriber(ctx, run_dir, "strategist", ["books"], SystemClock(), high_water=10)
            async with pulse(lambda: one.publisher.publish("tick.btc", tick(0))):
                await receive_until(
                    subscriber, lambda _: bool(subscriber.counts()) and not subscriber.unsynced()
                )
            start_seq = one.publisher.seq
            for number in range(sent):
                one.publisher.publish("tick.btc", tick(number))
            one.publisher.publish("posture.a", posture(7), keep=True)
            # Something after the hole must come through to show it.
            async with pulse(lambda: one.publisher.publish("tick.btc", tick(0))):
                heard = await receive_until(
                    subscriber,
                    lambda heard: (
                        any(e.topic == "posture.a" for e in heard)
                        and subscriber.counts()[0].last_seq > start_seq + sent + 1
                        and not subscriber.unsynced()
                    ),
                )
            count = subscriber.counts()[0]
            assert count.missed > 0
            assert count.received + count.missed == count.last_seq - count.first_seq + 1
            assert count.first_seq <= start_seq
            assert [e.body for e in heard if e.topic == "posture.a"][-1] == posture(7)
            assert count.repeated == 0
            subscriber.close()

    asyncio.run(play())


def test_a_snapshot_never_sets_newer_state_back(run_dir: Path) -> None:
    async def play() -> None:
        async with context() as ctx, peer(ctx, run_dir, "books") as one:
            one.publisher.publish("posture.a", posture(1), keep=True)
            old = one.publisher.snapshot()
            one.publisher.publish("posture.a", posture(2), keep=True)
            subscriber = Subscriber(ctx, run_dir, "strategist", ["books"], SystemClock())
            await receive_until(subscriber, lambda heard: not subscriber.unsynced())
            subscriber._repair("books")
            subscriber._repaired.append(("books", old))
            one.publisher.publish("posture.a", posture(3), keep=True)
            heard = await receive_until(subscriber, lambda heard: any(e.body == posture(3) for e in heard))
            assert [e.body for e in heard if e.body == posture(1)] == []
            subscriber.close()

    asyncio.run(play())


def test_kept_state_is_sent_again_with_a_new_number(run_dir: Path) -> None:
    async def play() -> None:
        async with context() as ctx, peer(ctx, run_dir, "books") as one:
            one.publisher.publish("posture.a", posture(1), keep=True, ts_recv_ns=5, cause="x/y/1")
            one.publisher.publish("posture.b", posture(1), keep=True)
            one.publisher.keep_only({"posture.a"})
            subscriber = Subscriber(ctx, run_dir, "strategist", ["books"], SystemClock())
            async with asyncio.TaskGroup() as tasks:
                republishing = tasks.create_task(one.publisher.run())
                heard = await receive_until(subscriber, lambda heard: any(e.seq > 2 for e in heard))
                republishing.cancel()
            again = [e for e in heard if e.seq > 2]
            assert {e.topic for e in again} == {"posture.a"}
            assert (again[0].ts_recv_ns, again[0].cause, again[0].body) == (5, "x/y/1", posture(1))
            subscriber.close()

    asyncio.run(play())


def test_useless_messages_are_counted_by_reason_and_never_raised(run_dir: Path) -> None:
    good = Envelope(
        schema=SCHEMA, source="books", boot="b", seq=1, topic="tick.btc", ts_event_ns=0, ts_recv_ns=0,
        mono_ns=0, cause="", body=tick(1),
    )  # fmt: skip
    newer = msgspec.to_builtins(good) | {"schema": SCHEMA + 1, "body": {"t": "from-the-future"}}
    foreign = msgspec.structs.replace(good, source="executor")
    repeated = good

    async def play() -> None:
        async with context() as ctx:
            socket = zmq.Context(ctx).socket(zmq.PUB)
            socket.linger = 0
            socket.bind(publish_endpoint(run_dir, "books"))
            subscriber = Subscriber(ctx, run_dir, "strategist", ["books"], SystemClock())
            heard: list[Envelope] = []
            async with asyncio.timeout(10):
                while not heard:
                    socket.send_multipart([b"tick.btc", msgspec.msgpack.encode(good)])
                    try:
                        async with asyncio.timeout(0.1):
                            heard += await subscriber.receive()
                    except TimeoutError:
                        continue
            before = subscriber.counts()[0].repeated
            payloads = [b"\xc1", msgspec.msgpack.encode(newer), b"x" * (MAX_MESSAGE_BYTES + 1)]
            payloads += [msgspec.msgpack.encode(foreign), msgspec.msgpack.encode(repeated)]
            # Of an earlier version, as while processes are restarted one by one.
            payloads += [msgspec.msgpack.encode(msgspec.structs.replace(good, seq=2, schema=SCHEMA - 1))]
            for payload in payloads:
                socket.send_multipart([b"x", payload])
            heard = await receive_until(subscriber, lambda heard: len(heard) > 0)
            assert [e.seq for e in heard] == [2]
            assert subscriber.refused == {"unreadable": 1, "schema": 1, "oversized": 1, "foreign": 1}
            assert subscriber.counts()[0].repeated == before + 1
            socket.close()
            subscriber.close()

    asyncio.run(play())


def test_an_absent_process_stays_unsynced_and_blocks_nobody(run_dir: Path) -> None:
    async def play() -> None:
        async with context() as ctx, peer(ctx, run_dir, "books") as one:
            subscriber = Subscriber(ctx, run_dir, "strategist", ["executor", "books"], SystemClock())
            # A snapshot that adds nothing wakes nobody: something must be said for it to be seen.
            async with pulse(lambda: one.publisher.publish("tick.btc", tick(1))):
                await receive_until(
                    subscriber, lambda heard: bool(heard) and subscriber.unsynced() == {"executor"}
                )
                async with peer(ctx, run_dir, "executor") as late:
                    late.publisher.publish("posture.b", posture(2), keep=True)
                    heard = await receive_until(subscriber, lambda heard: not subscriber.unsynced())
                    assert any(e.source == "executor" for e in heard)
            subscriber.close()

    asyncio.run(play())


def test_a_publisher_never_waits_for_a_reader(run_dir: Path) -> None:
    async def play() -> None:
        async with context() as ctx:
            publisher = Publisher(ctx, run_dir, "books", SystemClock(), high_water=5)
            asleep = Subscriber(ctx, run_dir, "strategist", ["books"], SystemClock(), high_water=5)
            for number in range(5_000):
                publisher.publish("tick.btc", tick(number))
            assert publisher.seq == 5_000
            assert publisher.snapshot() == Snapshot(boot=publisher.boot, seq=5_000, envelopes=())
            asleep.close()
            publisher.close()

    asyncio.run(play())


def test_a_new_start_is_asked_even_when_its_first_message_came(run_dir: Path) -> None:
    """State recovered from a journal may be in the snapshot without ever having been published."""

    async def play() -> None:
        async with context() as ctx, peer(ctx, run_dir, "books") as one:
            first = one.publisher.publish("posture.a", posture(1), keep=True)
            subscriber = Subscriber(ctx, run_dir, "strategist", ["books"], SystemClock())
            await receive_until(subscriber, lambda _: not subscriber.unsynced())
            assert subscriber._is_news(msgspec.structs.replace(first, boot="another", seq=1))
            assert subscriber.unsynced() == {"books"}
            subscriber.close()

    asyncio.run(play())


def test_skipped_numbers_are_counted_exactly_and_unsynced_until_repaired(run_dir: Path) -> None:
    """A publisher made by hand leaves out 3, 4 and 7; nobody answers for a snapshot at first."""

    def said(number: int) -> Envelope:
        return Envelope(
            schema=SCHEMA, source="books", boot="b", seq=number, topic="tick.btc", ts_event_ns=0,
            ts_recv_ns=0, mono_ns=0, cause="", body=tick(number),
        )  # fmt: skip

    async def play() -> None:
        async with context() as ctx:
            socket = zmq.Context(ctx).socket(zmq.PUB)
            socket.linger = 0
            socket.bind(publish_endpoint(run_dir, "books"))
            subscriber = Subscriber(ctx, run_dir, "strategist", ["books"], SystemClock())
            opening = msgspec.msgpack.encode(said(1))
            async with pulse(lambda: socket.send_multipart([b"tick.btc", opening])):
                heard = await receive_until(subscriber, lambda heard: len(heard) > 0)
            for number in (2, 5, 6, 8, 6, 8):
                socket.send_multipart([b"tick.btc", msgspec.msgpack.encode(said(number))])
            heard += await receive_until(subscriber, lambda heard: heard[-1:] == [said(8)])
            assert [e.seq for e in heard] == [1, 2, 5, 6, 8]
            assert subscriber.unsynced() == {"books"}
            responder = Responder(ctx, run_dir, "books", SystemClock())
            whole = Snapshot(boot="b", seq=8, envelopes=tuple(said(number) for number in range(1, 9)))
            responder.on(TakeSnapshot, lambda _command, _request: whole)
            async with asyncio.TaskGroup() as tasks:
                answering = tasks.create_task(responder.run())
                repaired = await receive_until(subscriber, lambda _: not subscriber.unsynced())
                answering.cancel()
            assert [e.seq for e in repaired] == [3, 4, 7]
            (count,) = subscriber.counts()
            assert (count.received, count.missed, count.gaps) == (5, 3, 2)
            assert count.repeated >= 2
            assert (count.first_seq, count.last_seq) == (1, 8)
            socket.close()
            subscriber.close()

    asyncio.run(play())


def test_urgent_sources_are_read_before_every_message_of_the_others(run_dir: Path) -> None:
    """Books queue up; ticks that come meanwhile do not wait for them."""

    async def play() -> None:
        async with (
            context() as ctx,
            peer(ctx, run_dir, "books") as books,
            peer(ctx, run_dir, "executor") as one,
        ):
            subscriber = Subscriber(
                ctx, run_dir, "strategist", ["books", "executor"], SystemClock(), urgent=["executor"]
            )
            await subscribed(subscriber, books, one)
            heard: list[str] = []

            def deliver(envelopes: list[Envelope]) -> None:
                heard.extend(envelope.source for envelope in envelopes)
                if len(heard) == 5:
                    one.publisher.publish("tick.btc", tick(9))
                    # Until it is in our own process: the other messages are there already.
                    deadline = time.monotonic() + 5
                    urgent = subscriber._urgent
                    assert urgent is not None
                    while not is_readable(urgent):
                        assert time.monotonic() < deadline

            for number in range(100):
                books.publisher.publish("tick.btc", tick(number + 10))
            others = subscriber._others
            assert others is not None
            async with asyncio.timeout(5):
                while not is_readable(others):
                    await asyncio.sleep(0.001)
            await asyncio.sleep(0.05)
            async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
                attending = tasks.create_task(subscriber.attend(deliver))
                while len(heard) < 101:
                    await asyncio.sleep(0.001)
                attending.cancel()
            assert heard.index("executor") == 5
            subscriber.close()

    asyncio.run(play())


async def subscribed(subscriber: Subscriber, *peers: Peer) -> None:
    """Until a message of each comes by itself; then nothing is left unread."""
    for number, one in enumerate(peers):
        async with pulse(lambda one=one: one.publisher.publish("posture.a", posture(1), keep=True)):
            # A snapshot says nothing of the subscription, which may be effective only later.
            await receive_until(
                subscriber,
                lambda _heard, one=one: any(
                    count.source == one.publisher.role for count in subscriber.counts()
                ),
            )
        one.publisher.publish("posture.z", posture(number), keep=True)
        await receive_until(subscriber, lambda heard: any(e.topic == "posture.z" for e in heard))


def test_what_the_hearer_raises_ends_the_hearing(run_dir: Path) -> None:
    async def play() -> None:
        async with context() as ctx, peer(ctx, run_dir, "books") as one:
            subscriber = Subscriber(ctx, run_dir, "strategist", ["books"], SystemClock())

            def deliver(_envelopes: list[Envelope]) -> None:
                raise InvariantBroken("broken")

            one.publisher.publish("posture.a", posture(1), keep=True)
            with pytest.raises(InvariantBroken):
                async with asyncio.timeout(5):
                    await subscriber.attend(deliver)
            subscriber.close()

    asyncio.run(play())


def test_a_rehearsal_is_heard_by_nobody_and_takes_no_number(run_dir: Path) -> None:
    async def play() -> None:
        async with context() as ctx, peer(ctx, run_dir, "books") as one:
            subscriber = Subscriber(ctx, run_dir, "recorder", ["books"], SystemClock())
            await subscribed(subscriber, one)
            seq = one.publisher.seq
            assert one.publisher.rehearse("tick.btc", tick(7)).body == tick(7)
            one.publisher.publish("tick.btc", tick(8))
            assert [(e.body, e.seq) for e in await subscriber.receive()] == [(tick(8), seq + 1)]
            assert subscriber.counts()[0].missed == 0
            subscriber.close()

    asyncio.run(play())
