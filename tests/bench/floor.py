"""The floor: one process, raw sockets, one poll loop, and orders whose every byte was made beforehand.

Nothing can be taken away from it but the signature it does not make. The oracle's socket is read first, books
are read and thrown away. Every two milliseconds the hot code runs on a made-up tick, so that it is as warm as
it can be at four ticks a second. With ``sign`` it signs each order anew, on our own order path.

Run as ``python -m bench.floor PLAN [sign]``; says ``ready`` and ends with its stdin.
"""

import gc
import select
import socket
import sys
import time
from collections.abc import Callable

from bench.plan import ASSETS, MOVE_PPM, Plan, Window, read_plan
from bench.wire import ask_upgrade, client_frame

from common.core.order_amounts import buy_amounts
from common.runtime.credentials import Secret
from common.venue.clob.l2_auth import ApiKey
from common.venue.clob.order_request import Account, OrderHead, sign_buy
from common.venue.signing.order_signature import Signer

KEEP_WARM_NS = 2_000_000
CONNECTIONS = 4
VALUE, SYMBOL = b'"full_accuracy_value":"', b'"symbol":"'
STAKE_USD6, LIMIT4, TICK4 = 10_000_000, 6_100, 100
PRETENDED_ASSET = b"not"
OWNER = "00000000-0000-0000-0000-000000000000"


class Maker:
    """Makes the whole request of an order."""

    def __init__(self, plan: Plan) -> None:
        signer = Signer(Secret("5a" * 32))
        api_key = ApiKey(signer.address, Secret(OWNER), Secret("c2VjcmV0" * 5), Secret("passphrase"))
        self._account = Account(signer, "eoa", signer.address, session=False, chain_id=137)
        self._head = OrderHead(f"http://{plan.listen}/clob", api_key, "floor")
        self._amounts = buy_amounts(STAKE_USD6, LIMIT4, TICK4)

    def request(self, token: str) -> bytes:
        now_ns = time.time_ns()
        signed = sign_buy(
            self._account, OWNER, token, "v1", self._amounts, salt=now_ns >> 11, timestamp_ms=now_ns // 10**6
        )
        return self._head.made(signed.body, now_ns // 10**9) + signed.body


class Decider:
    """The windows by asset in the order in which they fire, each with the price beyond which it does."""

    def __init__(self, windows: tuple[Window, ...], request: Callable[[Window], bytes]) -> None:
        self._request = request
        self._next: dict[bytes, list[tuple[int, Window]]] = {
            asset.encode(): [(_threshold(one), one) for one in windows if one.asset == asset]
            for asset in ASSETS
        }
        self._next[PRETENDED_ASSET] = [(0, windows[0])]

    def on_frames(self, data: bytes, *, keep: bool) -> bytes | None:
        """The request that answers these bytes of the oracle; with ``keep`` nothing is remembered of it."""
        at = 0
        while (at := data.find(VALUE, at)) >= 0:
            at += len(VALUE)
            price = int(data[at : data.index(b'"', at)])
            name = data.index(SYMBOL, at) + len(SYMBOL)
            ahead = self._next[data[name : name + 3]]
            if not ahead:
                continue
            threshold, window = ahead[0]
            if price > threshold if window.side == "up" else price < threshold:
                if not keep:
                    del ahead[0]
                return self._request(window)
        return None


def _threshold(window: Window) -> int:
    move = window.strike_e18 * MOVE_PPM // 1_000_000
    return window.strike_e18 + (move if window.side == "up" else -move)


def opened(plan: Plan, path: str, greeting: str) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", plan.port))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.sendall(ask_upgrade(plan.listen, path))
    # What comes right behind the answer is of no use: the windows are known from the plan.
    assert b"101" in made.recv(1 << 16)
    made.sendall(client_frame(greeting))
    made.setblocking(False)
    return made


def main() -> None:
    plan = read_plan(sys.argv[1])
    maker = Maker(plan)
    made = {window.token: maker.request(window.token) for window in plan.windows}
    if sys.argv[2:] == ["sign"]:
        request = lambda window: maker.request(window.token)  # noqa: E731
    else:
        request = lambda window: made[window.token]  # noqa: E731
    decider = Decider(plan.windows, request)
    oracle = opened(plan, "/rtds", '{"action":"subscribe","subscriptions":[]}')
    tokens = ",".join(f'"{token}"' for one in plan.windows for token in (one.token_up, one.token_down))
    books = opened(plan, "/ws/market", f'{{"assets_ids":[{tokens}],"type":"market"}}')
    lines = []
    for _ in range(CONNECTIONS):
        line = socket.create_connection(("127.0.0.1", plan.port))
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.setblocking(False)
        lines.append(line)
    poller = select.poll()
    for one in (oracle, books, *lines, sys.stdin):
        poller.register(one.fileno(), select.POLLIN)
    others = {one.fileno(): one for one in (books, *lines)}
    ticks, stdin = oracle.fileno(), sys.stdin.fileno()
    pretended = f'{{"payload":{{"full_accuracy_value":"{10**22}","symbol":"'.encode() + PRETENDED_ASSET
    turn = 0
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    gc.collect()
    gc.freeze()
    gc.disable()
    warmed = time.monotonic_ns()
    while True:
        events = dict(poller.poll(2))
        if ticks in events:
            order = decider.on_frames(oracle.recv(1 << 16), keep=False)
            if order is not None:
                lines[turn].send(order)
                turn = (turn + 1) % CONNECTIONS
        for descriptor in events:
            if descriptor in others:
                others[descriptor].recv(1 << 18)
        if stdin in events and not sys.stdin.readline():
            return
        now = time.monotonic_ns()
        if now - warmed >= KEEP_WARM_NS:
            decider.on_frames(pretended, keep=True)
            warmed = now


if __name__ == "__main__":
    main()
