"""The floor of the bus: the floor's work in three processes with two ZeroMQ hops between them, nothing else.

No system can do better that has a process for the oracle, one for the decision and one for the orders, and
ZeroMQ between them: frames are passed on as they came, the decision is a comparison, and an order is bytes
made beforehand or, with ``sign``, at least signed. All on one core and kept warm; a fourth process reads the
books.

Run as ``python -m bench.bus_floor PLAN PART DIRECTORY [sign]`` for each part: hear, decide, send, books.
"""

import gc
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import zmq
from bench.floor import PRETENDED_ASSET, Decider, Maker, opened
from bench.plan import Plan, Window, read_plan

from common.runtime.cores import settle_on_cores

KEEP_WARM_MS = 2
CONNECTIONS = 4
TICKS, WISHES = "ticks", "wishes"
PRETENDED = f'{{"payload":{{"full_accuracy_value":"{10**22}","symbol":"'.encode() + PRETENDED_ASSET


def hear(plan: Plan, directory: Path, ready: Callable[[], None]) -> None:
    """From the oracle's socket to the bus."""
    ticks = zmq.Context().socket(zmq.PUB)
    ticks.bind(f"ipc://{directory / TICKS}")
    oracle = opened(plan, "/rtds", '{"action":"subscribe","subscriptions":[]}')
    poller = select.poll()
    poller.register(oracle.fileno(), select.POLLIN)
    ready()
    while True:
        if poller.poll(KEEP_WARM_MS):
            ticks.send(oracle.recv(1 << 16))


def decide(plan: Plan, directory: Path, ready: Callable[[], None]) -> None:
    """From the bus to a wish: the number of the window that fires."""
    context = zmq.Context()
    ticks, wishes = context.socket(zmq.SUB), context.socket(zmq.DEALER)
    ticks.subscribe(b"")
    ticks.connect(f"ipc://{directory / TICKS}")
    wishes.connect(f"ipc://{directory / WISHES}")
    numbers = {window.token: str(number).encode() for number, window in enumerate(plan.windows)}
    decider = Decider(plan.windows, lambda window: numbers[window.token])
    ready()
    for frame in _received(ticks):
        wish = decider.on_frames(frame or PRETENDED, keep=not frame)
        if frame and wish is not None:
            wishes.send(wish)


def send(plan: Plan, directory: Path, ready: Callable[[], None], *, sign: bool) -> None:
    """From a wish to the bytes of an order on a socket that is open already."""
    wishes = zmq.Context().socket(zmq.ROUTER)
    wishes.bind(f"ipc://{directory / WISHES}")
    maker = Maker(plan)
    made = [maker.request(window.token) for window in plan.windows]

    def request(window: Window, number: int) -> bytes:
        return maker.request(window.token) if sign else made[number]

    lines = []
    for _ in range(CONNECTIONS):
        line = socket.create_connection(("127.0.0.1", plan.port))
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines.append(line)
        # Answers are of no interest, but somebody has to read them.
        threading.Thread(target=_read_away, args=(line,), daemon=True).start()
    turn = 0
    ready()
    for wish in _received(wishes):
        number = int(wish or b"0")
        order = request(plan.windows[number], number)
        if wish:
            lines[turn].send(order)
            turn = (turn + 1) % CONNECTIONS


def books(plan: Plan, _directory: Path, ready: Callable[[], None]) -> None:
    """Read them away."""
    tokens = ",".join(f'"{token}"' for one in plan.windows for token in (one.token_up, one.token_down))
    line = opened(plan, "/ws/market", f'{{"assets_ids":[{tokens}],"type":"market"}}')
    line.setblocking(True)
    ready()
    _read_away(line)


def _received(wire: "zmq.Socket[bytes]") -> Iterator[bytes]:
    """Each message's last part; nothing at all every two milliseconds, to keep warm on."""
    wire.rcvtimeo = KEEP_WARM_MS
    while True:
        try:
            yield wire.recv_multipart()[-1]
        except zmq.Again:
            yield b""


def _read_away(line: socket.socket) -> None:
    while line.recv(1 << 18):
        pass


def main() -> None:
    plan, part, directory = read_plan(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    settle_on_cores("books" if part == "books" else "executor")

    def ready() -> None:
        # A publisher does not know who listens: give the connections their time.
        time.sleep(0.2)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        gc.collect()
        gc.freeze()
        gc.disable()

    threading.Thread(target=lambda: (sys.stdin.read(), sys.exit()), daemon=True).start()
    if part == "send":
        send(plan, directory, ready, sign=sys.argv[4:] == ["sign"])
    else:
        {"hear": hear, "decide": decide, "books": books}[part](plan, directory, ready)


if __name__ == "__main__":
    main()
