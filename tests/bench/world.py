"""The world of one sitting: oracle, books and venue in one process above everything else.

It measures: from just before the oracle's tick is sent until the whole order has been read, both in this
process and on one clock. An order belongs to the tick that fires the window of its token. Answers every order
as a venue where nobody sells: the cheapest answer, and the account stays as it is.

Run as ``python -m bench.world PLAN`` with commands as JSON lines on stdin; each is answered with one line.
"""

import gc
import heapq
import itertools
import os
import random
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
from bench.connections import Connections, Peer, widen
from bench.plan import ASSETS, NOISE_PPM, Plan, Window, at_ppm, read_plan, resting_ppm
from bench.tape_books import TapeBooks
from bench.wire import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    Request,
    accept_upgrade,
    http_answer,
    server_frame,
    take_frame,
    take_request,
)

from common.sim.oracle.rtds_dialect import SPOT, update_body, update_frame
from common.sim.script import Observed

MILLISECOND = 1_000_000
TICK_EVERY_NS = 250 * MILLISECOND
"""Of each asset."""
JITTER_NS = 25 * MILLISECOND
FIRES_ONE_IN = 10
ANSWER_NS = 10 * MILLISECOND
BALANCE_NS = 100 * MILLISECOND
"""Until the venue says a balance, as over the internet: whoever waits for it must hold up no tick."""
LOST_NS = 2_000 * MILLISECOND
DOUBLES_NS = 200 * MILLISECOND
"""After the last order nothing is concluded for so long: one that came twice must be seen."""
RESTING_FRAMES = 64
"""Book frames a second in a quiet market: each token speaks every half second."""
QUEUED_FRAMES = 3_000
QUEUED_TICKS_AHEAD = 3
"""How many ticks before the one that fires its queue is begun."""
AT_A_TIME = 10
"""Frames of a queue made between two looks at the sockets."""
NO_MATCH = (
    b'{"error":"no orders found to match with FAK order. FAK orders are partially filled or killed if no '
    b'match is found."}'
)


class Measure(msgspec.Struct, frozen=True):
    """A command: let this many ticks fire, with so many book frames a second in the background."""

    load: str
    fires: int
    frames: int
    queued: bool = False
    """Put 3,000 book frames on the wire just before each tick that fires."""


class Shot(msgspec.Struct, frozen=True):
    """One tick that fired, and when its order was there; None: it never came."""

    window: str
    sent_ns: int
    after_ns: int | None
    orders: int


class Measured(msgspec.Struct, frozen=True):
    """The answer to a command."""

    load: str
    ticks: int
    shots: tuple[Shot, ...]
    strays: int
    """Orders that belong to no tick that fired."""
    book_frames: int
    priority: str


@dataclass
class Fired:
    """A tick that fired and has not been counted yet."""

    window: Window
    sent_ns: int
    arrived_ns: list[int] = field(default_factory=list)


class World:
    """Everything a contender sees, in one loop."""

    def __init__(self, plan: Plan, listener: socket.socket, priority: str) -> None:
        self._plan = plan
        self._priority = priority
        self._dice = random.Random(plan.seed)
        self._books = TapeBooks(plan)
        self._net = Connections(listener, sys.stdin.fileno(), self.hear)
        self._numbers = itertools.count()
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._next_frame_ns = time.monotonic_ns()
        self._frames = RESTING_FRAMES
        self._sent_frames = 0
        self._queue: list[bytes] | None = None
        self._left = {asset: [window for window in plan.windows if window.asset == asset] for asset in ASSETS}
        self._job: Measure | None = None
        self._ticks = 0
        self._until_fire = 0
        self._fired: dict[str, Fired] = {}
        self._strays = 0
        self._ended = False
        now = time.monotonic_ns()
        for number, asset in enumerate(ASSETS):
            self._at(now + number * TICK_EVERY_NS // len(ASSETS), lambda asset=asset: self._tick(asset))

    def run(self) -> None:
        """Until stdin ends."""
        while not self._ended:
            if self._net.turn(self._wait_s()):
                self._command()
            now = time.monotonic_ns()
            while self._due and self._due[0][0] <= now:
                heapq.heappop(self._due)[2]()
            self._send_frames(now)

    def _at(self, when_ns: int, what: Callable[[], None]) -> None:
        heapq.heappush(self._due, (when_ns, next(self._numbers), what))

    def _wait_s(self) -> float:
        if self._queue is not None and len(self._queue) < QUEUED_FRAMES:
            return 0.0
        next_ns = min(self._due[0][0], self._next_frame_ns)
        return max(0.0, (next_ns - time.monotonic_ns()) / 1e9)

    # --- what is sent

    def _tick(self, asset: str) -> None:
        jitter = self._dice.randrange(-JITTER_NS, JITTER_NS)
        self._at(time.monotonic_ns() + TICK_EVERY_NS + jitter, lambda: self._tick(asset))
        window = self._to_fire(asset)
        if window is None:
            price = at_ppm(asset, resting_ppm(asset) + self._dice.randint(-NOISE_PPM, NOISE_PPM))
            self._observe(asset, price, time.time_ns() // MILLISECOND)
            return
        if self._queue is not None:
            # As one write: what the contender does not take at once waits in the kernel, ahead of nothing.
            queued, self._queue = b"".join(self._queue), None
            for peer in self._net.of_kind("market"):
                self._net.send(peer, queued)
        fired = self._fired[window.token] = Fired(window, 0)
        fired.sent_ns = self._observe(asset, window.fires_e18, time.time_ns() // MILLISECOND)
        self._at(fired.sent_ns + LOST_NS, self._conclude)

    def _to_fire(self, asset: str) -> Window | None:
        """The window this tick is to fire, if it is to fire any: one tick in ten on average, at random."""
        job = self._job
        if job is None:
            return None
        self._ticks += 1
        if len(self._fired) == job.fires:
            return None
        self._until_fire -= 1
        if job.queued and self._queue is None and self._until_fire <= QUEUED_TICKS_AHEAD:
            # From here on the books are silent: what they would have said is in the queue.
            self._queue = []
        ready = not job.queued or (self._queue is not None and len(self._queue) >= QUEUED_FRAMES)
        if self._until_fire > 0 or not self._left[asset] or not ready:
            return None
        self._until_fire += self._dice.randint(FIRES_ONE_IN // 2, FIRES_ONE_IN * 3 // 2)
        self._until_fire = max(1, self._until_fire)
        return self._left[asset].pop(0)

    def _observe(self, asset: str, value_e18: int, stamp_ms: int) -> int:
        """Send one observation to everybody; the instant just before."""
        body = update_body(Observed(SPOT, f"{asset}/usd", stamp_ms, value_e18), stamp_ms)
        frame = server_frame(update_frame("bench", body))
        peers = self._net.of_kind("rtds")
        before_ns = time.monotonic_ns()
        for peer in peers:
            self._net.send(peer, frame)
        return before_ns

    def _send_frames(self, now: int) -> None:
        queue = self._queue
        if queue is not None:
            for _ in range(min(AT_A_TIME, QUEUED_FRAMES - len(queue))):
                queue.append(server_frame(self._books.frame()))
            # Nothing overtakes what is queued.
            self._next_frame_ns = now + MILLISECOND
            return
        if now < self._next_frame_ns:
            return
        peers = self._net.of_kind("market")
        a_time = max(1, self._frames // 1000)
        self._next_frame_ns = max(self._next_frame_ns, now - 20 * MILLISECOND)
        self._next_frame_ns += 1_000_000_000 * a_time // self._frames
        if peers:
            # One write each, as a venue does it.
            for _ in range(a_time):
                frame = server_frame(self._books.frame())
                self._sent_frames += 1
                for peer in peers:
                    self._net.send(peer, frame)

    # --- what is heard

    def hear(self, peer: Peer, read_ns: int) -> None:
        """Whatever is complete of what has come from a connection."""
        if peer.kind == "http":
            while (request := take_request(peer.buffer)) is not None:
                self._requested(peer, request, read_ns)
        else:
            while (frame := take_frame(peer.buffer)) is not None:
                self._said(peer, *frame)

    def _requested(self, peer: Peer, request: Request, read_ns: int) -> None:
        if request.method == "POST" and request.path == "/clob/order":
            self._order(request.body, read_ns)
            answer = http_answer("400 Bad Request", NO_MATCH)
            self._at(read_ns + ANSWER_NS, lambda: self._net.send(peer, answer))
        elif request.path == "/clob/time":
            self._net.send(peer, http_answer("200 OK", str(int(time.time())).encode()))
        elif request.path in ("/rtds", "/ws/market"):
            self._net.send(peer, accept_upgrade(request))
            peer.kind = "rtds" if request.path == "/rtds" else "joining"
            if peer.kind == "rtds":
                for window in self._plan.windows:
                    self._observe(window.asset, window.strike_e18, window.start_s * 1000)
            else:
                widen(peer)
        elif request.path.startswith("/telegram"):
            pass  # hangs for as long as it is waited for
        elif self._plan.back_port:
            wait_ns = BALANCE_NS if "balance" in request.path else 0
            self._at(read_ns + wait_ns, lambda: self._net.relay(peer, request.raw, self._plan.back_port))
        else:
            self._net.send(peer, http_answer("404 Not Found", b"{}"))

    def _order(self, body: bytes, read_ns: int) -> None:
        token = msgspec.json.decode(body)["order"]["tokenId"]
        fired = self._fired.get(token)
        if fired is None:
            self._strays += 1
            return
        fired.arrived_ns.append(read_ns)
        self._at(read_ns + DOUBLES_NS, self._conclude)

    def _said(self, peer: Peer, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self._net.send(peer, server_frame(payload, PONG))
        elif opcode == CLOSE:
            self._net.send(peer, server_frame(payload, CLOSE))
            self._net.drop(peer)
        elif opcode == TEXT and payload == b"PING":
            self._net.send(peer, server_frame("PONG"))
        elif opcode == TEXT and peer.kind != "rtds":
            wish = msgspec.json.decode(payload)
            if wish.get("operation", "subscribe") == "subscribe":
                self._net.send(peer, server_frame(self._books.snapshots(wish["assets_ids"])))
                peer.kind = "market"

    # --- commands

    def _command(self) -> None:
        line = sys.stdin.readline()
        if not line:
            self._ended = True
            return
        job = msgspec.json.decode(line, type=Measure)
        self._job, self._fired, self._ticks, self._strays = job, {}, 0, 0
        self._frames, self._sent_frames = job.frames, 0
        self._until_fire = self._dice.randint(1, FIRES_ONE_IN)
        if not job.fires:
            self._conclude()

    def _conclude(self) -> None:
        """Tell what was measured, once every tick that was to fire has its order or is lost."""
        job, now = self._job, time.monotonic_ns()
        if job is None or len(self._fired) < job.fires:
            return
        if any(now < _settled_ns(one) for one in self._fired.values()):
            return
        self._job, self._frames = None, RESTING_FRAMES
        shots = tuple(
            Shot(
                one.window.slug,
                one.sent_ns,
                one.arrived_ns[0] - one.sent_ns if one.arrived_ns else None,
                len(one.arrived_ns),
            )
            for one in self._fired.values()
        )
        told = Measured(job.load, self._ticks, shots, self._strays, self._sent_frames, self._priority)
        sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
        sys.stdout.flush()


def _settled_ns(fired: Fired) -> int:
    """When no more is heeded of a tick: also who doubles without end lets it end."""
    return fired.arrived_ns[0] + DOUBLES_NS if fired.arrived_ns else fired.sent_ns + LOST_NS


def raise_priority() -> str:
    """Above every contender, so that only their own waiting is measured; says how far it was allowed."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    except OSError:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, -10)
        except OSError:
            return "no higher than the contenders"
        return "nice -10"
    return "SCHED_FIFO 50"


def main() -> None:
    """Serve the plan named on the command line on the descriptor named there."""
    plan = read_plan(sys.argv[1])
    listener = socket.socket(fileno=int(sys.argv[2]))
    world = World(plan, listener, raise_priority())
    gc.collect()
    gc.freeze()
    gc.disable()
    world.run()


if __name__ == "__main__":
    main()
