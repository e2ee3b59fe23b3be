"""The relayer double on a real node: what it takes in, what it refuses, and every way in which it misbehaves.

The wallet here is a few bytes of code that counts its calls, so that nothing but the relayer is looked at.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from eth_account import Account
from polymarket._internal.actions.relayer.auth import build_builder_key_headers
from polymarket._internal.actions.relayer.calls import (
    TransactionCall,
    encode_proxy_call,
    encode_safe_multisend_call,
)
from polymarket._internal.actions.relayer.gasless import (
    build_deposit_wallet_payload,
    build_proxy_payload,
    build_safe_payload,
)
from polymarket._internal.actions.relayer.signing.deposit_wallet import sign_deposit_wallet_batch
from polymarket._internal.actions.relayer.signing.proxy import (
    build_proxy_transaction_hash,
    sign_proxy_message,
)
from polymarket._internal.actions.relayer.signing.safe import sign_safe_transaction
from polymarket.auth import BuilderApiKey

from common.sim.evm.node import EvmNode, absent
from common.sim.evm.relayer import RELAY, RelayedWallet, Relayer
from common.sim.evm.relayer_actions import MULTI_SEND, PROXY_FACTORY, RELAY_HUB, ActionRefused, read_action
from common.sim.evm.relayer_auth import Customers, customer
from common.sim.evm.relayer_faults import (
    BAD_GATEWAY,
    BUSY,
    IN_FLIGHT,
    PRECHECK,
    UNAUTHORISED,
    LateAnswer,
    Life,
    LoseAnswer,
    RelayerFault,
    StaleNonce,
    quota,
)
from common.sim.evm.relayer_records import FAILED, Lives, Record
from common.sim.trading.contracts import DEPOSIT_FACTORY
from relay_stage import BUILDER, NONCE, REVERTING, plant_counters, running_node

needs_node = pytest.mark.skipif(bool(absent()), reason=absent())

OWNER = Account.from_key("0x" + "6c" * 32)
OTHER = Account.from_key("0x" + "6d" * 32)
WALLET = "0x5AfE000000000000000000000000000000000001"
ROUTER = "0x12121212006e4cd160d18e3f00711da5c3372600"
STRANGE = "0x" + "0c" * 20
KEY = {"RELAYER_API_KEY": "key-of-nobody", "RELAYER_API_KEY_ADDRESS": OWNER.address}
CUSTOMERS = Customers({"key-of-nobody": OWNER.address}, (BUILDER,))
CALL = TransactionCall(to=ROUTER, data="0x01020304")
DEAD = 4_000_000_000


def safe_body(
    nonce: int = 0,
    calls: list[TransactionCall] | None = None,
    *,
    signer: Any = OWNER,
    wallet: str = WALLET,
    operation: int = 0,
) -> dict[str, Any]:
    calls = calls or [CALL]
    to, data = (
        (calls[0].to, calls[0].data) if len(calls) == 1 else (MULTI_SEND, encode_safe_multisend_call(calls))
    )
    operation = operation or int(len(calls) > 1)
    what = {"to": to, "data": data, "value": 0, "operation": operation, "nonce": str(nonce)}
    signature = sign_safe_transaction(signer, safe_address=wallet, chain_id=137, **what)
    what["target"] = what.pop("to")
    return dict(
        build_safe_payload(
            signer_address=OWNER.address, wallet=wallet, signature=signature, metadata="m", **what
        )
    )


def proxy_body(nonce: int = 0, *, relay: str = RELAY, signer: Any = OWNER) -> dict[str, Any]:
    data = encode_proxy_call([CALL])
    digest = build_proxy_transaction_hash(
        from_address=OWNER.address,
        to=PROXY_FACTORY,
        data=data,
        relayer_fee="0",
        gas_price="0",
        gas_limit="200000",
        nonce=str(nonce),
        relay_hub=RELAY_HUB,
        relay=relay,
    )
    return dict(
        build_proxy_payload(
            signer_address=OWNER.address,
            proxy_factory=PROXY_FACTORY,
            wallet=WALLET,
            data=data,
            nonce=str(nonce),
            signature=sign_proxy_message(signer, digest),
            gas_limit="200000",
            relay=relay,
            relay_hub=RELAY_HUB,
            metadata="",
        )
    )


def deposit_body(nonce: int = 0, deadline: int = DEAD, *, signer: Any = OWNER) -> dict[str, Any]:
    what = {"calls": [CALL], "nonce": str(nonce), "deadline": str(deadline), "wallet": WALLET}
    return dict(
        build_deposit_wallet_payload(
            signer_address=OWNER.address,
            deposit_wallet_factory=DEPOSIT_FACTORY,
            signature=sign_deposit_wallet_batch(signer, chain_id=137, **what),
            metadata="",
            **what,
        )
    )


@dataclass
class Stage:
    node: EvmNode
    relayer: Relayer
    session: aiohttp.ClientSession

    async def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        async with self.session.get(
            self.relayer.url + path, headers=KEY if headers is None else headers
        ) as got:
            return got.status, await _content(got)

    async def submit(self, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body or safe_body()).encode()
        where, headers = f"{self.relayer.url}/submit", KEY if headers is None else headers
        async with self.session.post(where, data=data, headers=headers) as got:
            return got.status, await _content(got)

    async def taken(self, body: Any = None) -> str:
        status, told = await self.submit(body)
        assert status == 200, told
        assert told.keys() == {"transactionID", "state"}, "no hash yet"
        assert told["state"] == "STATE_NEW"
        return str(told["transactionID"])

    async def refusal(self, body: Any = None) -> tuple[int, str]:
        status, told = await self.submit(body)
        return status, told["error"]

    async def word(self, transaction_id: str) -> dict[str, Any]:
        status, told = await self.get(f"/v1/account/transactions/{transaction_id}")
        assert status == 200
        assert told.keys() == {"transaction_id", "transaction_hash", "state", "error_msg"}
        return dict(told)

    async def states(self, transaction_id: str, most: int = 200) -> list[tuple[str, bool]]:
        """Every state told until the end, each once, and whether the hash came with it."""
        seen: list[tuple[str, bool]] = []
        for _ in range(most):
            word = await self.word(transaction_id)
            now = (word["state"].removeprefix("STATE_"), bool(word["transaction_hash"]))
            if now not in seen:
                seen.append(now)
            if now[0] in ("CONFIRMED", "FAILED", "INVALID"):
                break
        return seen

    async def executed(self) -> int:
        """How often the wallet was called."""
        return int(await self.node.rpc("eth_call", {"to": WALLET, "data": "0x" + NONCE}, "latest"), 16)

    async def is_executed(self, times: int) -> None:
        while await self.executed() != times:
            await asyncio.sleep(0.005)


async def _content(got: aiohttp.ClientResponse) -> Any:
    return await got.json() if got.content_type == "application/json" else await got.text()


@asynccontextmanager
async def stage(*faults: RelayerFault) -> AsyncIterator[Stage]:
    async with running_node() as node, aiohttp.ClientSession() as session:
        await plant_counters(node, [WALLET])
        wallets = [RelayedWallet(kind, OWNER.address, WALLET) for kind in ("SAFE", "PROXY", "WALLET")]
        relayer = Relayer(node.url, CUSTOMERS, wallets, faults=faults)
        await relayer.open()
        try:
            yield Stage(node, relayer, session)
        finally:
            await relayer.close()


# What it reads and whose it is.


@pytest.mark.parametrize(
    "body", [safe_body(3), proxy_body(3), deposit_body(3)], ids=["safe", "proxy", "deposit"]
)
def test_an_envelope_of_the_official_client_shows_its_owner_and_its_calls(body: dict[str, Any]) -> None:
    action = read_action(json.dumps(body).encode(), RELAY)
    assert action.signed_by == action.owner == OWNER.address.lower()
    assert (action.wallet, action.nonce) == (WALLET.lower(), 3)
    assert [(call.to, call.value, call.data) for call in action.calls] == [(ROUTER, 0, b"\1\2\3\4")]


def test_several_calls_of_a_safe_are_taken_apart() -> None:
    calls = [CALL, TransactionCall(to=STRANGE, data="0x", value=7)]
    action = read_action(json.dumps(safe_body(calls=calls)).encode(), RELAY)
    assert action.signed_by == OWNER.address.lower()
    assert [tuple(call) for call in action.calls] == [(ROUTER, 0, b"\1\2\3\4"), (STRANGE, 7, b"")]


def test_a_plain_signature_of_a_safe_counts_as_well() -> None:
    """With v of 27 or 28 the digest itself is signed, which the contract takes too."""
    from eth_account.messages import encode_typed_data
    from polymarket._internal.actions.relayer.signing.safe import build_safe_typed_data

    body = safe_body(2)
    typed = build_safe_typed_data(
        safe_address=WALLET, to=ROUTER, data=CALL.data, value=0, operation=0, nonce="2", chain_id=137
    )
    body["signature"] = "0x" + OWNER.sign_message(encode_typed_data(full_message=typed)).signature.hex()
    assert read_action(json.dumps(body).encode(), RELAY).signed_by == OWNER.address.lower()


@pytest.mark.parametrize("kind", ["safe", "proxy", "deposit"])
def test_whatever_is_changed_after_signing_shows_somebody_else(kind: str) -> None:
    made = {"safe": safe_body, "proxy": proxy_body, "deposit": deposit_body}[kind]()
    body = json.dumps(made)
    changed = [body.replace('"nonce": "0"', '"nonce": "1"')]
    if kind == "safe":
        changed += [
            body.replace("01020304", "01020305"),
            body.replace(WALLET, STRANGE),
            body.replace(ROUTER, STRANGE),
        ]
    if kind == "proxy":
        changed += [body.replace("01020304", "01020305"), body.replace('"200000"', '"200001"')]
    if kind == "deposit":
        changed += [
            body.replace("01020304", "01020305"),
            body.replace(WALLET, STRANGE),
            body.replace(str(DEAD), "9"),
        ]
    changed += [json.dumps(made | {"signature": text}) for text in ("0x", "0x" + "00" * 65, "0x" + "1b" * 65)]
    for each in changed:
        assert each != body
        assert read_action(each.encode(), RELAY).signed_by != OWNER.address.lower()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "invalid request body"),
        (b"[]", "invalid request body"),
        (b'{"type": "SAFE"}', "invalid request body"),
        (b'{"type": "EOA"}', "invalid transaction type EOA"),
        (
            json.dumps(safe_body(calls=[CALL, CALL]) | {"to": STRANGE}).encode(),
            "delegatecall to .* not permitted",
        ),
        (json.dumps(safe_body(operation=1)).encode(), "delegatecall to .* not permitted"),
        (json.dumps(proxy_body(relay=STRANGE)).encode(), "invalid relay"),
        (json.dumps(proxy_body() | {"to": STRANGE}).encode(), "not permitted"),
        (json.dumps(deposit_body() | {"to": STRANGE}).encode(), "not permitted"),
    ],
)
def test_what_is_no_action_is_refused(body: bytes, text: str) -> None:
    with pytest.raises(ActionRefused, match=text):
        read_action(body, RELAY)


# Who may use it.


def builder_headers(body: str = "{}", path: str = "/submit") -> dict[str, str]:
    return build_builder_key_headers(
        creds=BuilderApiKey(**BUILDER._asdict()), method="POST", path=path, body=body
    )


def test_a_builder_proves_itself_as_the_official_client_does() -> None:
    assert customer(CUSTOMERS, builder_headers(), "POST", "/submit", b"{}") == "builder"


def test_a_builder_that_proves_nothing_is_nobody() -> None:
    good = builder_headers()
    stamp = int(good["POLY_BUILDER_TIMESTAMP"])
    assert not customer(CUSTOMERS, good, "GET", "/submit", b"{}")
    assert not customer(CUSTOMERS, good, "POST", "/transactions", b"{}")
    assert not customer(CUSTOMERS, good, "POST", "/submit", b"{ }")
    assert not customer(CUSTOMERS, good, "POST", "/submit", b"{}", stamp + 301)
    for name in good:
        assert not customer(CUSTOMERS, good | {name: "x"}, "POST", "/submit", b"{}"), name
        assert not customer(
            CUSTOMERS, {key: good[key] for key in good if key != name}, "POST", "/submit", b"{}"
        )


def test_a_relayer_key_counts_with_its_owner_only() -> None:
    assert customer(CUSTOMERS, KEY, "GET", "/transactions", b"") == "key-of-nobody"
    for wrong in ({}, {"RELAYER_API_KEY_ADDRESS": OTHER.address}, {"RELAYER_API_KEY": "another"}):
        assert not customer(CUSTOMERS, KEY | wrong if wrong else {}, "GET", "/transactions", b"")
    assert not customer(CUSTOMERS, {"RELAYER_API_KEY": "key-of-nobody"}, "GET", "/transactions", b"")


def test_credentials_are_in_no_text() -> None:
    assert BUILDER.secret not in repr(CUSTOMERS) + repr(BUILDER)
    assert "key-of-nobody" not in repr(CUSTOMERS)


@needs_node
async def test_what_belongs_to_a_customer_is_told_to_customers_only() -> None:
    async with stage() as on:
        for path in (
            "/transactions",
            "/v1/account/transactions/x",
            "/v1/account/transactions/params?type=SAFE",
        ):
            assert (await on.get(path, {}))[0] == 401, path
        assert await on.submit(headers={}) == (401, {"error": "invalid authorization"})
        assert (await on.get(f"/nonce?address={OWNER.address}&type=SAFE", {}))[0] == 200
        body = json.dumps(safe_body())
        status, told = await on.submit(body.encode(), builder_headers(body))
        assert status == 200
        assert (await on.get(f"/v1/account/transactions/{told['transactionID']}"))[0] == 404, "another's"
        assert await on.get("/transactions") == (200, [])


# A good life.


@needs_node
@pytest.mark.parametrize("made", [safe_body, deposit_body, proxy_body], ids=["safe", "deposit", "proxy"])
async def test_an_action_goes_through_every_state_and_its_hash_comes_late(made: Any) -> None:
    async with stage() as on:
        transaction_id = await on.taken(made())
        states = await on.states(transaction_id)
        assert states == [("EXECUTED", True), ("MINED", True), ("CONFIRMED", True)]
        word = await on.word(transaction_id)
        assert word["error_msg"] == ""
        receipt = await on.node.rpc("eth_getTransactionReceipt", word["transaction_hash"])
        assert (receipt["status"], receipt["from"]) == ("0x1", RELAY.lower())


@needs_node
async def test_both_dialects_tell_of_an_action() -> None:
    async with stage() as on:
        body = safe_body()
        transaction_id = await on.taken(body)
        await on.is_executed(1)
        for path in ("/transactions", f"/transaction?id={transaction_id}"):
            status, (told,) = await on.get(path)
            assert status == 200
            assert told["transactionID"] == transaction_id
            assert (told["nonce"], told["signature"], told["data"]) == ("0", body["signature"], CALL.data)
            assert (told["type"], told["proxyAddress"]) == ("SAFE", WALLET.lower())
        assert told["state"] == "STATE_MINED"
        assert told["transactionHash"].startswith("0x")
        assert (
            (await on.get("/transaction?id=x"))[0] == (await on.get("/v1/account/transactions/x"))[0] == 404
        )


@needs_node
async def test_nonces_and_wallets_are_those_of_the_chain() -> None:
    async with stage() as on:
        await on.taken()
        await on.is_executed(1)
        who = f"address={OWNER.address}"
        told = {"address": OWNER.address, "nonce": "1"}
        assert await on.get(f"/v1/account/transactions/params?{who}&type=SAFE") == (200, told)
        assert await on.get(f"/nonce?{who}&type=WALLET") == (200, {"nonce": "1"})
        assert (await on.get(f"/relay-payload?{who}&type=PROXY"))[1]["address"] == RELAY
        assert await on.get(f"/deployed?address={WALLET}&type=SAFE") == (200, {"deployed": True})
        assert await on.get(f"/deployed?address={STRANGE}&type=SAFE") == (200, {"deployed": False})
        assert (await on.get(f"/nonce?address={OTHER.address}&type=SAFE"))[0] == 400
        assert (await on.get(f"/nonce?{who}&type=EOA"))[0] == 400


# What it refuses of itself.


@needs_node
async def test_a_signature_of_somebody_else_is_refused() -> None:
    async with stage() as on:
        for made in (safe_body, proxy_body, deposit_body):
            assert await on.refusal(made(signer=OTHER)) == (400, "invalid signature")
        assert await on.executed() == 0
        assert on.relayer.records == []
        assert len(on.relayer.submitted) == 3


@needs_node
async def test_a_wallet_that_is_not_the_owners_is_refused() -> None:
    async with stage() as on:
        status, text = await on.refusal(safe_body(wallet=STRANGE))
        assert (status, "is not a deployed SAFE wallet" in text) == (400, True)


@needs_node
async def test_a_contract_that_is_not_on_its_list_is_refused_until_it_is() -> None:
    async with stage() as on:
        for calls in (
            [TransactionCall(to=STRANGE, data="0x")],
            [CALL, TransactionCall(to=STRANGE, data="0x")],
        ):
            status, text = await on.refusal(safe_body(calls=calls))
            assert (status, text) == (400, f"call blocked: {STRANGE}  is not permitted")
        on.relayer.allow(STRANGE)
        await on.taken(safe_body(calls=calls))


@needs_node
@pytest.mark.parametrize("nonce", [1, 7])
async def test_a_nonce_that_is_not_the_chains_is_refused_with_the_right_one(nonce: int) -> None:
    async with stage() as on:
        text = f"batch nonce {nonce} does not match on-chain nonce 0"
        assert await on.refusal(safe_body(nonce)) == (400, text)


@needs_node
async def test_a_batch_after_its_deadline_is_refused() -> None:
    async with stage() as on:
        assert await on.refusal(deposit_body(deadline=1_700_000_000)) == (400, "batch deadline has passed")


@needs_node
async def test_a_wallet_with_an_action_under_way_is_busy() -> None:
    async with stage() as on:
        await on.node.rpc("evm_setAutomine", False)
        await on.taken()
        status, text = await on.refusal()
        assert (status, text) == (400, f"wallet busy: {WALLET.lower()} already has an active action")
        await on.node.rpc("anvil_mine", "0x1")
        await on.taken(safe_body(1))


@needs_node
async def test_what_would_revert_is_taken_in_and_fails_without_a_hash() -> None:
    async with stage() as on:
        await on.node.rpc("anvil_setCode", WALLET, REVERTING)
        transaction_id = await on.taken()
        assert await on.states(transaction_id) == [("FAILED", False)]
        assert "revert" in (await on.word(transaction_id))["error_msg"]


# The ways in which it misbehaves.


@needs_node
@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        (UNAUTHORISED, 401, "invalid authorization"),
        (quota(37), 429, "quota exceeded: 0 units remaining, resets in 37 seconds"),
        (BUSY, 400, "wallet busy: the wallet already has an active action"),
        (IN_FLIGHT, 400, "wallet has in-flight action"),
    ],
    ids=["401", "429", "busy", "in flight"],
)
async def test_it_refuses_once_and_nothing_is_done(fault: RelayerFault, status: int, text: str) -> None:
    async with stage(fault) as on:
        assert await on.submit() == (status, {"error": text})
        assert on.relayer.records == []
        await on.taken()


@needs_node
async def test_a_page_of_a_gateway_is_no_json() -> None:
    async with stage(BAD_GATEWAY) as on:
        assert await on.submit() == (502, "<html><body>502 Bad Gateway</body></html>")


@needs_node
@pytest.mark.parametrize("done", [True, False])
async def test_the_answer_is_lost_after_or_before_anything_was_done(done: bool) -> None:
    async with stage(LoseAnswer(done=done)) as on:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await on.submit()
        if done:
            await on.is_executed(1)
        assert await on.executed() == int(done)
        # The way to find it.
        _, listed = await on.get("/transactions")
        assert [each["nonce"] for each in listed] == ["0"] * done


@needs_node
async def test_an_answer_is_late_and_what_was_asked_is_done_before() -> None:
    async with stage(LateAnswer(delay_ms=60_000)) as on:
        waiting = asyncio.ensure_future(on.submit())
        await on.is_executed(1)
        assert not waiting.done()
        waiting.cancel()
    async with stage(LateAnswer(delay_ms=30)) as on:
        await on.taken()


@needs_node
async def test_a_fault_may_hit_another_path() -> None:
    # Twice: this client asks again of itself when a connection ends under a GET.
    async with stage(LoseAnswer(path="/transactions", times=2), LateAnswer(delay_ms=1, path="/nonce")) as on:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await on.get("/transactions")
        await on.taken()
        assert (await on.get("/transactions"))[0] == 200


@needs_node
async def test_the_nonce_told_is_behind_the_chains() -> None:
    async with stage(StaleNonce(times=1)) as on:
        await on.node.rpc("anvil_setStorageAt", WALLET, "0x0", f"0x{5:064x}")
        path = f"/v1/account/transactions/params?address={OWNER.address}&type=SAFE"
        assert (await on.get(path))[1]["nonce"] == "4"
        assert await on.refusal(safe_body(4)) == (400, "batch nonce 4 does not match on-chain nonce 5")
        assert (await on.get(path))[1]["nonce"] == "5"


@needs_node
async def test_an_action_held_back_happens_when_it_is_released() -> None:
    async with stage(Life(course="held")) as on:
        transaction_id = await on.taken()
        assert await on.states(transaction_id, 3) == [("NEW", False)]
        assert "wallet busy" in (await on.refusal())[1]
        assert await on.executed() == 0
        await on.relayer.release()
        await on.is_executed(1)
        assert (await on.states(transaction_id))[-1] == ("CONFIRMED", True)
        await on.relayer.release()
        assert await on.executed() == 1, "it is released once"


@needs_node
async def test_an_action_may_be_held_back_and_its_answer_lost() -> None:
    async with stage(Life(course="held"), LoseAnswer()) as on:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await on.submit()
        assert await on.executed() == 0
        await on.relayer.release()
        await on.is_executed(1)


@needs_node
async def test_an_action_is_never_mined() -> None:
    async with stage(Life(course="unmined")) as on:
        transaction_id = await on.taken()
        assert await on.states(transaction_id, 4) == [("EXECUTED", True)]
        tx_hash = (await on.word(transaction_id))["transaction_hash"]
        assert await on.node.rpc("eth_getTransactionByHash", tx_hash) is None
        assert await on.executed() == 0
        assert "wallet busy" in (await on.refusal())[1]


@needs_node
@pytest.mark.parametrize(
    ("life", "state"), [(PRECHECK, "FAILED"), (Life(course="invalid", text="odd"), "INVALID")]
)
async def test_an_action_fails_before_it_is_sent(life: Life, state: str) -> None:
    async with stage(life) as on:
        transaction_id = await on.taken()
        assert await on.states(transaction_id) == [(state, False)]
        assert (await on.word(transaction_id))["error_msg"] == life.text
        assert await on.executed() == 0
        await on.taken()


@needs_node
@pytest.mark.parametrize("on_chain", [True, False])
async def test_an_action_is_told_as_mined_and_then_as_failed(on_chain: bool) -> None:
    async with stage(Life(course="mined_then_failed", text="reorged", on_chain=on_chain)) as on:
        transaction_id = await on.taken()
        states = await on.states(transaction_id)
        assert states == [("EXECUTED", True), ("MINED", True), ("FAILED", True)]
        assert (await on.word(transaction_id))["error_msg"] == "reorged"
        assert await on.executed() == int(on_chain)


@needs_node
async def test_an_action_is_confirmed_without_a_hash() -> None:
    async with stage(Life(course="confirmed_without_hash")) as on:
        transaction_id = await on.taken()
        assert await on.states(transaction_id) == [
            ("EXECUTED", False),
            ("MINED", False),
            ("CONFIRMED", False),
        ]
        assert await on.executed() == 1


@needs_node
async def test_an_action_sent_blindly_is_mined_without_effect() -> None:
    async with stage(Life(course="blind")) as on:
        await on.node.rpc("anvil_setCode", WALLET, REVERTING)
        transaction_id = await on.taken()
        assert (await on.states(transaction_id))[-1] == ("FAILED", True)
        tx_hash = (await on.word(transaction_id))["transaction_hash"]
        assert (await on.node.rpc("eth_getTransactionReceipt", tx_hash))["status"] == "0x0"


@needs_node
async def test_it_is_controlled_from_another_process() -> None:
    async with stage() as on:

        async def post(body: Any) -> tuple[int, Any]:
            async with on.session.post(f"{on.relayer.url}/control", json=body) as got:
                return got.status, await _content(got)

        status, _ = await post({"faults": [{"kind": "life", "course": "held"}], "allow": [STRANGE]})
        assert status == 200
        transaction_id = await on.taken(safe_body(calls=[TransactionCall(to=STRANGE, data="0x")]))
        status, told = await post({"release": True})
        assert [each["transactionID"] for each in told["records"]] == [transaction_id]
        assert told["asked"] == {"/submit": 1}
        # Sent, and nobody has asked for it: it is new, and has no hash.
        assert [(each["state"], each["transactionHash"]) for each in told["records"]] == [("STATE_NEW", "")]
        await on.is_executed(1)
        for odd in (
            {"faults": [{"kind": "earthquake"}]},
            {"faults": [{"kind": "life", "course": "x"}]},
            {"x": 1},
        ):
            assert (await post(odd))[0] == 400
        status, text = await post({"faults": [{"kind": "stale_nonce", "times": -1}]})
        assert (status, "times must not be negative" in text) == (400, True)


@needs_node
async def test_a_node_that_is_gone_is_a_fault_of_the_relayer() -> None:
    async with stage() as on:
        await on.node.stop()
        status, told = await on.submit()
        assert (status, "could not be asked" in told["error"]) == (500, True)


async def test_an_action_that_is_being_sent_is_neither_failed_nor_over() -> None:
    gate = asyncio.Event()

    class SlowNode:
        async def call(self, _method: str, *_parameters: object) -> str:
            await gate.wait()
            return "0x" + "ab" * 32

    lives = Lives(SlowNode(), RELAY)  # type: ignore[arg-type]
    body = json.dumps(safe_body()).encode()
    record = Record("one", "customer", read_action(body, RELAY), 0, life=Life(course="held"))
    sending = asyncio.ensure_future(lives.release(record))
    await asyncio.sleep(0)
    await lives.step(record)
    assert record.state != FAILED
    assert await lives.is_open(record)
    gate.set()
    await sending
    assert not record.waits
