"""Redemption through every fault, killed at every step of its journal: paid exactly once, each failure named.

The chain is a real EVM node with the real ConditionalTokens and Safe; endpoint and relayer misbehave in front
of it. The redeemer is a real process and is killed with SIGKILL.
"""

import asyncio
import multiprocessing
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from common.core.redemption.claims import Ledger
from common.sim.evm import plant
from common.sim.evm.node import absent
from common.sim.evm.plant import PlantedCondition
from common.sim.evm.relayer_faults import BUSY, IN_FLIGHT, PRECHECK, LateAnswer, Life, LoseAnswer, quota
from common.sim.evm.rpc_faults import TOO_MANY, HoldSends, LateReply, LoseReply
from common.sim.trading.contracts import WalletKind
from redeem_child import STEPS, work
from redeem_node import ONE_POL, PRIVATE, SIGNER, World, world

pytestmark = [
    pytest.mark.skipif(bool(absent()), reason=absent()),
    pytest.mark.procs,
    pytest.mark.live,
    # What the parent's threads hold is none of the child's business: see redeem_child.
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]
LIMIT_S = 40.0
SEND = "eth_sendRawTransaction"
WON6 = 12_345_679


@dataclass
class Run:
    """One case while it runs."""

    world: World
    kind: WalletKind
    wallet: str
    relayed: bool
    ledger: Ledger
    conditions: list[PlantedCondition] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    states: list[dict[str, Any]] = field(default_factory=list)
    stages: list[tuple[str, int, int]] = field(default_factory=list)
    mining: bool = True
    child: Any = None
    pipe: Connection | None = None

    def start(self, step: str = "") -> None:
        """Begin a redeemer."""
        context = multiprocessing.get_context("fork")
        ours, its = context.Pipe()
        config = self.world.config(self.kind, self.wallet, late_after_s=600)
        self.world.paths(with_relayer=self.relayed)
        due = [(each.condition_id, f"window-{place}") for place, each in enumerate(self.conditions)]
        folder = str(self.world.tmp_path)
        arguments = (its, config.model_dump_json(), folder, self.kind, self.wallet, PRIVATE, due, step)
        self.child = context.Process(target=work, args=arguments)
        self.child.start()
        its.close()
        self.pipe = ours

    def hear(self) -> bool:
        """Take in what the redeemer said; False once it is gone."""
        assert self.pipe is not None
        try:
            while self.pipe.poll():
                told = self.pipe.recv()
                self.texts += told["news"]
                self.states, self.stages = told["states"], told["stages"]
        except (EOFError, ConnectionResetError):
            return False
        return True

    async def until(self, enough: Callable[[], bool]) -> bool:
        """Let blocks come until this is so (True) or the redeemer was killed (False)."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                lives = self.hear()
                if enough():
                    return True
                if not lives:
                    await asyncio.to_thread(self.child.join)
                    assert self.child.exitcode == -9, self.texts[-3:]
                    return False
                if self.mining:
                    await self.world.node.mine()
                await asyncio.sleep(0.01)

    async def said(self, text: str) -> None:
        """Wait until the redeemer names something; one that is killed before is started again."""
        while not await self.until(lambda: any(text in each for each in self.texts)):
            self.start()

    async def reached(self, stage: str) -> None:
        """Wait until a try is that far."""
        while not await self.until(lambda: any(each[0] == stage for each in self.stages)):
            self.start()

    async def finish(self, kinds: tuple[str, ...]) -> None:
        """Wait until every condition has this end, starting again after a kill; then end the redeemer."""

        def is_over() -> bool:
            final = [each for each in self.states if each["status"] in ("paid", "elsewhere")]
            return len(final) >= len(kinds) and all(stage[0] == "ended" for stage in self.stages)

        while not await self.until(is_over):
            self.start()
        await self.end()

    async def end(self) -> None:
        """Stop the redeemer that runs."""
        assert self.pipe is not None
        if self.child.is_alive():
            try:
                self.pipe.send("end")
            except BrokenPipeError:
                pass
        while self.child.is_alive():
            self.hear()
            await asyncio.sleep(0.005)
        self.pipe.close()
        self.child.join()

    async def resolve(self, up: int = 1, down: int = 0) -> None:
        """Write the same result for all conditions."""
        for each in self.conditions:
            await plant.resolve(self.world.node, each, up, down)


Story = Callable[[Run], Awaitable[None]]


async def lost_reply(run: Run) -> None:
    if run.relayed:
        run.world.relayer.set_faults(LoseAnswer(times=1))
    else:
        run.world.endpoint.set_faults(LoseReply(method=SEND, times=1))


async def lost_before(run: Run) -> None:
    if run.relayed:
        run.world.relayer.set_faults(LoseAnswer(done=False, times=1))
    else:
        run.world.endpoint.set_faults(LoseReply(method=SEND, forwarded=False, times=1))


async def late_reply(run: Run) -> None:
    if run.relayed:
        run.world.relayer.set_faults(LateAnswer(delay_ms=300, times=1))
    else:
        run.world.endpoint.set_faults(LateReply(method=SEND, delay_ms=300, times=1))


async def too_many(run: Run) -> None:
    if run.relayed:
        # Twice: the first answer is lost with a process that is killed before it noted it.
        run.world.relayer.set_faults(quota(1), quota(1))
        await run.said("declines (quota)")
    else:
        run.world.endpoint.set_faults(TOO_MANY)
        await run.said("HTTP 429")
        run.world.endpoint.set_faults()


async def busy(run: Run) -> None:
    run.world.relayer.set_faults(BUSY, IN_FLIGHT)
    await run.said("declines (busy)")


async def relayer_fails(run: Run) -> None:
    run.world.relayer.set_faults(PRECHECK, PRECHECK)
    await run.said("PRECHECK_SKIPPED")


async def relayer_held(run: Run) -> None:
    run.world.relayer.set_faults(Life(course="held"))
    await run.said("the chain does not show it yet")
    await run.world.relayer.release()


async def no_hash(run: Run) -> None:
    run.world.relayer.set_faults(Life(course="confirmed_without_hash"))


async def mined_then_failed(run: Run) -> None:
    run.world.relayer.set_faults(Life(course="mined_then_failed"))


async def reverts(run: Run) -> None:
    """The venue pauses its adapter after the dry-run and before the block."""
    run.world.endpoint.set_faults(HoldSends(method=SEND))
    await run.reached("sent")
    await plant.pause_adapter(run.world.node, True)
    run.world.endpoint.set_faults()
    await run.world.endpoint.release()
    await run.said("mined without effect")
    await plant.pause_adapter(run.world.node, False)


async def relayed_reverts(run: Run) -> None:
    """The same while the relayer has it; a proxy's hub tells the failure in a transaction that is well."""
    run.world.relayer.set_faults(Life(course="held"))
    await run.said("the chain does not show it yet")
    await plant.pause_adapter(run.world.node, True)
    await run.world.relayer.release()
    await run.said("mined without effect")
    await plant.pause_adapter(run.world.node, False)


async def no_coin(run: Run) -> None:
    await run.world.node.set_coin(SIGNER, 10**12)
    await run.said("too little POL")
    await run.world.node.set_coin(SIGNER, ONE_POL)


async def foreign_nonce(run: Run) -> None:
    """Somebody else uses the key while ours is on its way: it stops, and goes on when a person says so."""
    run.world.endpoint.set_faults(HoldSends(method=SEND))
    await run.reached("sent")
    run.world.endpoint.drop()
    run.world.endpoint.set_faults()
    await run.world.node.send_as(SIGNER, "0x" + "ee" * 20, b"")
    await run.said("was used by another transaction")
    await run.said("laggard redeem --all")
    while not await run.until(lambda: True):
        run.start()
    assert run.pipe is not None
    run.pipe.send([each.condition_id for each in run.conditions])


async def stuck(run: Run) -> None:
    run.world.endpoint.set_faults(HoldSends(method=SEND))
    while not await run.until(lambda: any(each[1] > 1 for each in run.stages)):
        run.start()
    run.world.endpoint.drop()
    run.world.endpoint.set_faults()


async def replaced(run: Run) -> None:
    """Two versions are out, and the first is mined after all."""
    run.world.endpoint.set_faults(HoldSends(method=SEND))
    while not await run.until(lambda: any(each[1] > 1 for each in run.stages)):
        run.start()
    run.world.endpoint.set_faults()
    await run.world.endpoint.release()


async def reorganised(run: Run) -> None:
    run.mining = False
    await run.world.node.mine()
    await run.reached("included")
    await run.world.node.reorganise(1)
    run.mining = True


async def wrong_adapter(run: Run) -> None:
    await plant.set_adapter(run.world.node, "KeepingAdapter")
    await run.said("burnt nothing")
    await run.said("laggard redeem --all")
    await plant.set_adapter(run.world.node, "CollateralAdapter")
    while not await run.until(lambda: True):
        run.start()
    assert run.pipe is not None
    run.pipe.send([each.condition_id for each in run.conditions])


async def nothing(_run: Run) -> None:
    return


@dataclass(frozen=True)
class Case:
    """A fault, whom it meets, and what comes of it."""

    name: str
    story: Story
    own: bool = True
    relayed: bool = True
    shares: tuple[tuple[int, int], ...] = ((WON6, 0),)
    result: tuple[int, int] = (1, 0)
    first: bool = False
    """The venue's AutoRedeemer goes first."""
    open_: bool = False
    """One more condition stays unresolved until the others are paid."""
    paid6: int = WON6
    older_only: bool = False
    """Only the older ledger's contract can be made to fail so."""


CASES = (
    Case("no fault", nothing),
    Case("lost reply", lost_reply),
    Case("lost before it was taken", lost_before),
    Case("late reply", late_reply),
    Case("429", too_many),
    Case("busy", busy, own=False),
    Case("the relayer fails it", relayer_fails, own=False),
    Case("the relayer holds it", relayer_held, own=False),
    Case("confirmed without a hash", no_hash, own=False),
    Case("mined, then called failed", mined_then_failed, own=False),
    Case("revert", reverts, relayed=False),
    Case(
        "unresolved in a batch",
        nothing,
        open_=True,
        shares=((WON6, 0), (5_000_001, 0)),
        paid6=WON6 + 5_000_001,
    ),
    Case("revert when relayed", relayed_reverts, own=False, older_only=True),
    Case("no POL", no_coin, relayed=False),
    Case("foreign nonce", foreign_nonce, relayed=False),
    Case("stuck", stuck, relayed=False),
    Case("replaced", replaced, relayed=False),
    Case("reorganised", reorganised),
    Case("wrong adapter", wrong_adapter, older_only=True),
    Case("AutoRedeemer first", nothing, first=True),
    Case("50/50", nothing, result=(1, 1), shares=((7_000_001, 4_000_003),), paid6=3_500_000 + 2_000_001),
    Case("0.05 share", nothing, shares=((50_000, 0),), paid6=50_000),
    Case("losing only", nothing, result=(0, 1), paid6=0),
)


async def play(tmp_path: Path, case: Case, kind: WalletKind, ledger: Ledger, step: str) -> Run:
    relayed = kind in ("deposit", "proxy")
    async with world(tmp_path) as made:
        wallet = await made.wallet(kind)
        run = Run(made, kind, wallet, relayed, ledger)
        for seed, (up6, down6) in enumerate(case.shares):
            run.conditions.append(await made.condition(ledger, seed, wallet, up6, down6))
        # Of a split a plain key redeems the newer ledger's outcomes one by one.
        payments = len(case.shares) + (case.name == "50/50" and (kind, ledger) == ("eoa", "v2"))
        late = None
        if case.open_:
            late = run.conditions[-1]
            for each in run.conditions[:-1]:
                await plant.resolve(made.node, each, *case.result)
        else:
            await run.resolve(*case.result)
        await made.node.mine(3)
        if case.first:
            await plant.auto_redeem(made.node, wallet, run.conditions[0])
        run.start(step)
        try:
            await case.story(run)
            if case.paid6:
                first = ("paid",) * (payments - bool(late))
                await run.finish(first)
                if late is not None:
                    await plant.resolve(made.node, late, *case.result)
                    run.start()
                    await run.finish(("paid",) * payments)
            else:
                await run.said("pays nothing")
                await run.end()
        finally:
            if run.child.is_alive():
                run.child.kill()
            run.child.join()
        assert await plant.collateral(made.node, wallet) == case.paid6, run.texts
        paid = [each["paid_usd6"] for each in run.states if each["status"] in ("paid", "elsewhere")]
        assert sum(paid) == case.paid6
        assert len(paid) == (payments if case.paid6 else 0)
    return run


SHOWN: dict[str, dict[str, list[str]]] = {}
"""What passed: fault, wallet and ledger, steps of the kill."""
COLUMNS = ("eoa v1", "eoa v2", "safe v1", "proxy v1", "deposit v1", "deposit v2")


def cells() -> list[Any]:
    """Every case of each wallet at every step; one step of each is not slow."""
    found = []
    for place, case in enumerate(CASES):
        kinds: list[tuple[WalletKind, Ledger]] = []
        if case.own:
            kinds += [("eoa", "v1"), ("safe", "v1")]
        if case.name == "50/50":
            kinds.append(("eoa", "v2"))
        if case.relayed:
            kinds += [("deposit", "v1"), ("deposit", "v2"), ("proxy", "v1")]
        for kind, ledger in kinds:
            if ledger == "v2" and case.older_only:
                continue
            for number, step in enumerate(STEPS):
                quick = number == place % len(STEPS) and (kind, ledger) in (
                    ("eoa", "v1"),
                    ("proxy" if case.older_only else "deposit", "v1" if case.older_only else "v2"),
                )
                marks = [] if quick else [pytest.mark.slow]
                name = f"{case.name}-{kind}-{ledger}-{step}"
                found.append(pytest.param(case, kind, ledger, step, id=name, marks=marks))
    return found


@pytest.mark.parametrize(("case", "kind", "ledger", "step"), cells())
async def test_it_is_paid_exactly_once(
    tmp_path: Path, case: Case, kind: WalletKind, ledger: Ledger, step: str
) -> None:
    await play(tmp_path, case, kind, ledger, step)
    SHOWN.setdefault(case.name, {}).setdefault(f"{kind} {ledger}", []).append(step)
    journal = (tmp_path / "state" / "redemptions.sqlite").read_bytes()
    assert bytes.fromhex(PRIVATE[2:]) not in journal
    assert PRIVATE[2:].encode() not in journal


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Print how many kills each fault was survived with by each wallet; the last test of the module."""
    if not SHOWN:
        pytest.skip("no cell of the matrix ran before")
    rows = [f"{'paid exactly once after':26}" + "".join(f"{name:>12}" for name in COLUMNS)]
    for fault, wallets in SHOWN.items():
        counts = (len(wallets.get(name, ())) for name in COLUMNS)
        rows.append(f"{fault:26}" + "".join(f"{count or '-':>12}" for count in counts))
    total = sum(len(steps) for wallets in SHOWN.values() for steps in wallets.values())
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(rows) + f"\n{total} kills, each at a step of the journal\n")
