"""The redeemer's desk against the simulated venue's chain and relayer: found, sent, judged by effect."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from common.core.redemption.claims import Left
from common.messages import Alert, RedemptionState
from common.runtime.clock import SystemClock
from common.runtime.config import Config, Venue, Wallet
from common.runtime.config import Redeem as RedeemSection
from common.runtime.credentials import Secret, write_credentials
from common.runtime.paths import Paths
from common.store.redemption_journal import read_redemptions
from common.venue.clob.order_request import Account
from common.venue.redeeming.candidates import Due
from common.venue.redeeming.desk import RedemptionDesk
from common.venue.redeeming.opening import open_desk
from common.venue.redeeming.report import redemptions
from common.venue.signing.order_signature import Signer
from redeem_stage import (
    NEW_CONDITION,
    NEW_DOWN,
    NEW_UP,
    RELAYER_KEY,
    give,
    held,
    money,
    resolve,
    scene_of,
)
from stage import LIMIT_S
from trading_stage import CONDITION, DOWN, MARKET, PRIVATE, SIGNER, UP, WALLETS, Floor

DUE = (Due(CONDITION, MARKET.slug, 1, True), Due(NEW_CONDITION, "", 1, True))


def paths_of(tmp_path: Path) -> Paths:
    credentials = tmp_path / "credentials"
    if not (credentials / "relayer.json").exists():
        write_credentials(credentials / "relayer.json", {"key": RELAYER_KEY, "address": SIGNER})
    (tmp_path / "state").mkdir(exist_ok=True)
    return Paths(tmp_path / "state", tmp_path / "run", credentials)


def desk_of(venue: Floor, tmp_path: Path, kind: str, told: list[Alert], **redeem: object) -> RedemptionDesk:
    base = venue.venue.base
    config = Config(
        mode="live",
        venue=Venue(chain_rpc_urls=(f"{base}/chain",), data_url=f"{base}/data"),
        wallet=Wallet(kind=kind, address=WALLETS[kind]),  # type: ignore[arg-type]
        redeem=RedeemSection(
            relayer_url=f"{base}/relayer",
            resend_after_s=0.2,
            stuck_after_s=0.5,
            retry_after_s=0.05,
            **redeem,  # type: ignore[arg-type]
        ),
    )
    account = Account(Signer(Secret(PRIVATE)), kind, WALLETS[kind], False, 137)  # type: ignore[arg-type]
    return open_desk(config, paths_of(tmp_path), account, SystemClock(), told.append)


async def turns_until(
    desk: RedemptionDesk, due: tuple[Due, ...], enough: Callable[[RedemptionDesk], bool]
) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not enough(desk):
            await desk.turn(due)
            await asyncio.sleep(0.01)


def states(desk: RedemptionDesk) -> dict[str, list[RedemptionState]]:
    found: dict[str, list[RedemptionState]] = {}
    for _, state in redemptions(desk):
        found.setdefault(state.condition_id, []).append(state)
    return found


@pytest.mark.parametrize("kind", ["deposit", "eoa"])
def test_both_ledgers_are_paid_to_the_unit_and_once(tmp_path: Path, kind: str) -> None:
    told: list[Alert] = []
    wallet = WALLETS[kind].lower()

    async def scene(venue: Floor) -> None:
        for token, size6 in ((UP, 10_500_001), (DOWN, 3), (NEW_UP, 7_000_000), (NEW_DOWN, 50_000)):
            give(venue, wallet, token, size6)
        before = await money(venue, wallet)
        desk = desk_of(venue, tmp_path, kind, told)
        await desk.turn(DUE)
        assert {each.reason for each in desk.left.values()} == {"unresolved"}
        resolve(venue, "Up")
        await turns_until(desk, DUE, lambda each: sum(len(a.ends) for a in each.ended) == 2)
        for _ in range(3):
            await desk.turn(DUE)
        assert await money(venue, wallet) - before == 17_500_001
        assert await held(venue, wallet, UP) == await held(venue, wallet, NEW_UP) == 0
        found = states(desk)
        assert [each.status for each in found[CONDITION]] == ["paid"]
        assert found[CONDITION][0].paid_usd6 == found[CONDITION][0].payout_usd6 == 10_500_001
        assert dict(found[CONDITION][0].tokens) == {UP: 10_500_001, DOWN: 3}
        assert found[NEW_CONDITION][0].paid_usd6 == 7_000_000
        assert all(len(each.tx_hash) == 66 and each.log_index >= 0 for (each, *_) in found.values())
        left = desk.left[CONDITION]
        assert isinstance(left, Left)
        assert left.reason == "nothing held"
        desk.journal.close()

    scene_of(scene)
    assert {alert.code for alert in told} == {"redemption-paid"}
    attempts, _ = read_redemptions(paths_of(tmp_path).redemptions_file)
    assert all(attempt.stage == "ended" for attempt in attempts)
    assert PRIVATE[2:].encode() not in (tmp_path / "state" / "redemptions.sqlite").read_bytes()
    assert RELAYER_KEY.encode() not in (tmp_path / "state" / "redemptions.sqlite").read_bytes()
    assert msgspec.to_builtins(attempts)


RENEWED = "a second version was signed"
FAULTS = [
    pytest.param("deposit", {"kind": "relayer", "form": "lost"}, "", id="the relayer's answer is lost"),
    pytest.param("deposit", {"kind": "relayer", "form": "quota"}, "declines (quota)", id="quota is used up"),
    pytest.param("deposit", {"kind": "relayer", "form": "busy"}, "declines (busy)", id="the wallet is busy"),
    pytest.param("deposit", {"kind": "relayer", "form": "stale"}, "", id="the relayer's nonce is stale"),
    pytest.param("deposit", {"kind": "relayer", "form": "never"}, "does not show it yet", id="never mined"),
    pytest.param("deposit", {"kind": "relayer", "form": "failed"}, "the relayer says failed", id="it fails"),
    pytest.param("deposit", {"kind": "relayer", "form": "hashless"}, "", id="confirmed without a hash"),
    pytest.param("deposit", {"kind": "relayer", "form": "down"}, "relayer", id="the relayer is down"),
    pytest.param("eoa", {"kind": "chain", "stuck": True}, RENEWED, id="stuck, bids more"),
    pytest.param("eoa", {"kind": "chain", "loses_answers": True}, "", id="answers are lost"),
    pytest.param("eoa", {"kind": "chain", "coin_wei": 10}, "too little POL", id="no coin for gas"),
    pytest.param(
        "eoa", {"kind": "chain", "base_fee_wei": 2_000 * 10**9}, "redeem.max_fee_gwei", id="gas is too dear"
    ),
    pytest.param("eoa", {"kind": "chain", "paused": True}, "a dry-run reverts", id="the adapter is paused"),
    pytest.param("eoa", {"kind": "chain", "down": True}, "HTTP 503", id="the chain is silent"),
    pytest.param("eoa", {"kind": "chain", "chain_id": 1}, "is chain 1", id="another chain"),
]


@pytest.mark.parametrize(("kind", "fault", "said"), FAULTS)
def test_a_fault_is_named_and_waited_out_and_pays_once(
    tmp_path: Path, kind: str, fault: dict[str, object], said: str
) -> None:
    told: list[Alert] = []
    wallet = WALLETS[kind].lower()
    due = (DUE[0],)
    heard: list[str] = []

    def listened(desk: RedemptionDesk) -> bool:
        texts = [desk.problem, *(each.text for each in desk.attempts), *(alert.text for alert in told)]
        texts += [RENEWED for each in desk.attempts if len(each.versions) > 1]
        heard.extend(texts)
        enough = any(said in each for each in texts) if said else bool(desk.attempts)
        return enough or any(each.ends for each in desk.ended)

    async def scene(venue: Floor) -> None:
        give(venue, wallet, UP, 50_000)
        before = await money(venue, wallet)
        resolve(venue, "Up")
        desk = desk_of(venue, tmp_path, kind, told, late_after_s=0.3)
        await venue.venue.faults(fault)
        await turns_until(desk, due, listened)
        await venue.venue.faults()
        await turns_until(desk, due, lambda each: bool(money_of(each)))
        for _ in range(3):
            await desk.turn(due)
        assert await money(venue, wallet) - before == 50_000
        assert money_of(desk) == [50_000]
        desk.journal.close()

    scene_of(scene)
    assert any(said in each for each in heard), heard[-5:]


def is_resolved(desk: RedemptionDesk) -> bool:
    return CONDITION in desk.conditions and bool(desk.conditions[CONDITION].denominator)


def money_of(desk: RedemptionDesk) -> list[int]:
    """Every payment the desk reports."""
    return [state.paid_usd6 for _, state in redemptions(desk) if state.status in ("paid", "elsewhere")]


@pytest.mark.parametrize("condition", [CONDITION, NEW_CONDITION])
def test_somebody_else_redeeming_first_is_found_by_its_transaction(tmp_path: Path, condition: str) -> None:
    told: list[Alert] = []
    wallet = WALLETS["deposit"].lower()
    due = tuple(each for each in DUE if each.condition_id == condition)

    async def scene(venue: Floor) -> None:
        give(venue, wallet, UP if condition == CONDITION else NEW_UP, 3_000_000)
        resolve(venue, "Up")
        desk = desk_of(venue, tmp_path, "deposit", told)
        status, _ = await venue.venue.post("/control/redeem", {"wallet": wallet, "condition": condition})
        assert status == 200
        await turns_until(desk, due, lambda each: bool(money_of(each)))
        *_, state = states(desk)[condition]
        assert (state.status, state.paid_usd6) == ("elsewhere", 3_000_000)
        assert "which is not ours" in state.text
        assert len(state.tx_hash) == 66
        assert money_of(desk) == [3_000_000]
        desk.journal.close()

    scene_of(scene)


def test_worthless_tokens_are_left_alone_until_they_are_asked_for(tmp_path: Path) -> None:
    told: list[Alert] = []
    wallet = WALLETS["deposit"].lower()

    async def scene(venue: Floor) -> None:
        give(venue, wallet, DOWN, 3_000_000)
        resolve(venue, "Up")
        desk = desk_of(venue, tmp_path, "deposit", told)
        await turns_until(desk, DUE[:1], lambda each: CONDITION in each.left)
        assert desk.left[CONDITION].reason == "lost"
        desk.ask((CONDITION,), "test", losers=True)
        await turns_until(desk, DUE[:1], lambda each: bool(each.ended))
        assert await held(venue, wallet, DOWN) == 0
        assert [end.kind for end in desk.ended[0].ends] == ["paid"]
        desk.journal.close()

    scene_of(scene)


def test_without_auto_nothing_moves_until_a_person_asks(tmp_path: Path) -> None:
    wallet = WALLETS["deposit"].lower()

    async def scene(venue: Floor) -> None:
        give(venue, wallet, UP, 3_000_000)
        resolve(venue, "Up")
        desk = desk_of(venue, tmp_path, "deposit", [], auto=False)
        await turns_until(desk, DUE[:1], is_resolved)
        await desk.turn(DUE[:1])
        assert not desk.attempts
        desk.ask((CONDITION,), "test", losers=False)
        await turns_until(desk, DUE[:1], lambda each: money_of(each) == [3_000_000])
        desk.journal.close()

    scene_of(scene)
