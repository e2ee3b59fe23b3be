"""The bot such systems usually are: one process, one asyncio loop for oracle, books, decision, order, chat.

asyncio, websockets, json, httpx and eth-account with coincurve installed, each used as its documentation
shows: nothing is slowed down on purpose, nothing is tuned. An order is a task of the loop, so is the chat;
a report is computed in the loop, because nothing else is there. The HTTP client is made as the official one
is (HTTP/2 where the venue speaks it; on loopback without TLS that is HTTP/1.1).

Run as ``python -m bench.typical PLAN``; says ``ready`` and then hears ``report on``, ``telegram on`` and off.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import math
import secrets
import sys
import time

import httpx
import websockets
from bench.plan import Window, read_plan
from eth_account import Account
from eth_account.messages import encode_typed_data

log = logging.getLogger("bot")
KEY = "0x" + "5a" * 32
API_KEY, API_SECRET, PASSPHRASE = "00000000-0000-0000-0000-000000000000", "c2VjcmV0" * 5, "passphrase"
CHAIN_ID = 137
EXCHANGE = "0xE111180000d2663C0091e4f400237545B87B996B"
MIN_MOVE, MAX_PRICE, MIN_LEFT_S, STAKE = 0.0007, 0.62, 300, 10.0
REPORT_EVERY_S, REPORT_CPU_S = 1.0, 0.15
ORDER_TYPES = {
    "Order": [
        {"name": "salt", "type": "uint256"},
        {"name": "maker", "type": "address"},
        {"name": "signer", "type": "address"},
        {"name": "tokenId", "type": "uint256"},
        {"name": "makerAmount", "type": "uint256"},
        {"name": "takerAmount", "type": "uint256"},
        {"name": "side", "type": "uint8"},
        {"name": "signatureType", "type": "uint8"},
        {"name": "timestamp", "type": "uint256"},
        {"name": "metadata", "type": "bytes32"},
        {"name": "builder", "type": "bytes32"},
    ]
}
DOMAIN = {
    "name": "Polymarket CTF Exchange",
    "version": "2",
    "chainId": CHAIN_ID,
    "verifyingContract": EXCHANGE,
}


class Bot:
    def __init__(self, windows: tuple[Window, ...], listen: str) -> None:
        self.windows = windows
        self.listen = listen
        self.account = Account.from_key(KEY)
        self.client = httpx.AsyncClient(http2=True, timeout=10.0, base_url=f"http://{listen}")
        self.books: dict[str, dict[str, dict[float, float]]] = {}
        self.entered: set[str] = set()
        self.reporting = asyncio.Event()
        self.chatting = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()
        self.heard = asyncio.Event()

    def spawn(self, work) -> None:  # noqa: ANN001
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def oracle(self) -> None:
        async with websockets.connect(f"ws://{self.listen}/rtds") as socket:
            wish = [{"topic": "crypto_prices_chainlink", "type": "update"}]
            await socket.send(json.dumps({"action": "subscribe", "subscriptions": wish}))
            async for frame in socket:
                message = json.loads(frame)
                if message.get("topic") == "crypto_prices_chainlink":
                    payload = message["payload"]
                    self.on_price(payload["symbol"].split("/")[0], float(payload["value"]))

    async def market(self) -> None:
        tokens = [token for window in self.windows for token in (window.token_up, window.token_down)]
        async with websockets.connect(f"ws://{self.listen}/ws/market") as socket:
            await socket.send(json.dumps({"assets_ids": tokens, "type": "market"}))
            async for frame in socket:
                message = json.loads(frame)
                for event in message if isinstance(message, list) else [message]:
                    self.on_book(event)

    def on_book(self, event: dict) -> None:
        if event["event_type"] == "book":
            self.books[event["asset_id"]] = {
                "BUY": {float(level["price"]): float(level["size"]) for level in event["bids"]},
                "SELL": {float(level["price"]): float(level["size"]) for level in event["asks"]},
            }
            self.heard.set()
        elif event["event_type"] == "price_change":
            for change in event["price_changes"]:
                side = self.books[change["asset_id"]][change["side"]]
                price, size = float(change["price"]), float(change["size"])
                if size:
                    side[price] = size
                else:
                    side.pop(price, None)

    def on_price(self, asset: str, price: float) -> None:
        for window in self.windows:
            if window.asset != asset or window.slug in self.entered:
                continue
            strike = window.strike_e18 / 1e18
            move = (price - strike) / strike
            if abs(move) <= MIN_MOVE or window.end_s - time.time() <= MIN_LEFT_S:
                continue
            token = window.token_up if move > 0 else window.token_down
            asks = self.books.get(token, {}).get("SELL")
            if asks and min(asks) < MAX_PRICE:
                self.entered.add(window.slug)
                self.spawn(self.buy(window, token))

    async def buy(self, window: Window, token: str) -> None:
        body = json.dumps(self.signed_order(token), separators=(",", ":"))
        stamp = str(int(time.time()))
        secret = base64.urlsafe_b64decode(API_SECRET)
        text = f"{stamp}POST/order{body}"
        signature = base64.urlsafe_b64encode(
            hmac.new(secret, text.encode(), hashlib.sha256).digest()
        ).decode()
        headers = {
            "POLY_ADDRESS": self.account.address,
            "POLY_API_KEY": API_KEY,
            "POLY_PASSPHRASE": PASSPHRASE,
            "POLY_SIGNATURE": signature,
            "POLY_TIMESTAMP": stamp,
            "Content-Type": "application/json",
        }
        answer = await self.client.post("/clob/order", content=body, headers=headers)
        log.info("%s: %s %s", window.slug, answer.status_code, answer.text)

    def signed_order(self, token: str) -> dict:
        price = MAX_PRICE - 0.01
        order = {
            "salt": secrets.randbelow(2**53),
            "maker": self.account.address,
            "signer": self.account.address,
            "tokenId": int(token),
            "makerAmount": int(STAKE * 1e6),
            "takerAmount": int(STAKE / price * 1e4) * 100,
            "side": 0,
            "signatureType": 0,
            "timestamp": int(time.time() * 1000),
            "metadata": bytes(32),
            "builder": bytes(32),
        }
        signed = self.account.sign_message(encode_typed_data(DOMAIN, ORDER_TYPES, order))
        wire = {
            "salt": order["salt"],
            "maker": order["maker"],
            "signer": order["signer"],
            "tokenId": token,
            "makerAmount": str(order["makerAmount"]),
            "takerAmount": str(order["takerAmount"]),
            "side": "BUY",
            "expiration": "0",
            "signatureType": 0,
            "timestamp": str(order["timestamp"]),
            "metadata": "0x" + "00" * 32,
            "builder": "0x" + "00" * 32,
            "signature": "0x" + signed.signature.hex(),
        }
        return {"deferExec": False, "order": wire, "owner": API_KEY, "orderType": "FAK"}

    async def keep_open(self) -> None:
        """As the official client's warmer: a connection that is idle would be closed by the venue."""
        while True:
            await self.client.get("/clob/time")
            await asyncio.sleep(10)

    async def report(self) -> None:
        while True:
            await self.reporting.wait()
            began = time.thread_time()
            total = 0.0
            while time.thread_time() - began < REPORT_CPU_S:
                total += sum(math.sqrt(number) for number in range(200))
            await asyncio.sleep(REPORT_EVERY_S - REPORT_CPU_S)

    async def chat(self) -> None:
        async with httpx.AsyncClient(timeout=2.0) as client:
            while True:
                await self.chatting.wait()
                try:
                    await client.post(f"http://{self.listen}/telegram/sendMessage", json={"text": "a trade"})
                except httpx.TimeoutException:
                    log.warning("no answer from the chat")

    async def commands(self) -> None:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
        while line := (await reader.readline()).decode().split():
            event = self.reporting if line[0] == "report" else self.chatting
            if line[1] == "on":
                event.set()
            else:
                event.clear()

    async def run(self) -> None:
        for work in (self.oracle(), self.market(), self.keep_open(), self.report(), self.chat()):
            self.spawn(work)
        await self.heard.wait()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await self.commands()


def main() -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    plan = read_plan(sys.argv[1])
    asyncio.run(Bot(plan.windows, plan.listen).run())


if __name__ == "__main__":
    main()
