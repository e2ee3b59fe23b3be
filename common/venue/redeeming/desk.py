"""The redeemer's desk: finds what is to be redeemed, pursues the open try, journals before it sends.

Joins chain, route and journal; every decision is in ``common.core.redemption``. One try at a time for one
wallet: a claim may take minutes, and two at once could only get into each other's way.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from common.core.redemption.attempts import ALARMING, Attempt
from common.core.redemption.claims import Claim, Condition, Left, claim_of
from common.core.redemption.effect import Places
from common.core.redemption.pursuit import (
    Adopt,
    Finish,
    Include,
    Limits,
    Renew,
    Send,
    Wait,
    next_move,
)
from common.core.redemption.schedule import latched, next_batch, spent_today_wei
from common.errors import DependencyMissing
from common.messages import Alert
from common.runtime.clock import Clock
from common.store.redemption_journal import Elsewhere, RedemptionJournal
from common.units import SECOND
from common.venue.chain.endpoints import Endpoints
from common.venue.chain.reverts import CallReverted
from common.venue.chain.view import ChainView, Head
from common.venue.redeeming.calldata import RedeemContracts
from common.venue.redeeming.candidates import Due
from common.venue.redeeming.dry_run import dry_run, one_call_each
from common.venue.redeeming.look import look, redeemed_by_others
from common.venue.redeeming.route import CannotBatch, CannotSend, SendRoute
from common.venue.redeeming.settings import Settings
from common.venue.redeeming.steps import finished, gone_out, included, refused, renewed
from common.venue.redeeming.survey import Surveyor, Wanted

Level = Literal["info", "warning", "critical"]
NO_HEAD = Head(0, 0)
_SETTLED = ("paid", "elsewhere")
BLOCK_NS = 3 * SECOND // 2
"""Of the chain, counted rather too short: a search looks further back then."""
MOVES_AT_ONCE = 50
APPROVE = "the wallet never approved redemption: do it once in the venue's wallet settings"


@dataclass(slots=True)
class RedemptionDesk:
    """The state of one redeemer; ``turn`` does all there is to do now."""

    wallet: str
    journal: RedemptionJournal
    view: ChainView
    endpoints: Endpoints
    surveyor: Surveyor
    contracts: RedeemContracts
    places: Places
    route: SendRoute
    settings: Settings
    clock: Clock
    alert: Callable[[Alert], None]
    attempts: list[Attempt] = field(default_factory=list)
    elsewhere: list[Elsewhere] = field(default_factory=list)
    conditions: dict[str, Condition] = field(default_factory=dict)
    """As the chain had them at the last look."""
    left: dict[str, Left] = field(default_factory=dict)
    """What is not redeemed now, by condition, and why."""
    asked: dict[str, bool] = field(default_factory=dict)
    """Conditions a person wants redeemed now; whether worthless tokens are burnt too."""
    problem: str = ""
    """Why nothing is sent at present; empty when all is well."""
    head: Head = NO_HEAD
    told: set[str] = field(default_factory=set)
    """Alerts that were given and not lifted."""

    def load(self) -> None:
        """Take in the journal; the first turn then looks at what is open before anything else."""
        self.attempts = list(self.journal.attempts())
        self.elsewhere = list(self.journal.elsewhere())

    @property
    def open_attempt(self) -> Attempt | None:
        """The try that is under way."""
        return next((each for each in self.attempts if each.stage != "ended"), None)

    @property
    def ended(self) -> tuple[Attempt, ...]:
        """All tries that are over."""
        return tuple(each for each in self.attempts if each.stage == "ended")

    @property
    def limits(self) -> Limits:
        """The user's limits and what is spent of them."""
        return Limits(self.settings.gas, spent_today_wei(self.ended, self.clock.wall_ns()))

    def ask(self, conditions: tuple[str, ...], who: str, *, losers: bool) -> None:
        """A person wants these redeemed now, and has looked at what stopped the redeemer, if anything did."""
        self.asked.update(dict.fromkeys((each.lower() for each in conditions), losers))
        self.journal.release(self.clock.wall_ns(), who)

    async def turn(self, due: tuple[Due, ...]) -> bool:
        """Do everything that can be done now; True when a look soon will show more.

        Never raises for what chain, relayer, venue or disk do: that is the problem, and is tried again.
        """
        try:
            return await self._turn(due)
        except (DependencyMissing, CallReverted) as error:
            self.problem = str(error)
            return self.open_attempt is not None

    async def _turn(self, due: tuple[Due, ...]) -> bool:
        if await self._pursue():
            return True
        self.head = await self.view.head()
        claims = await self._survey(due)
        await self._note_others(due)
        stopped = latched(self.ended, self.journal.released_ns())
        wanted = [
            claim
            for claim in claims
            if claim.condition_id in self.asked or (self.settings.auto and not stopped)
        ]
        self.problem = stopped
        self._tell("redemption-stopped", "critical", stopped)
        if not wanted:
            return False
        return await self._begin(wanted)

    async def _pursue(self) -> bool:
        """Bring the open try as far as it gets; True while it stays open."""
        for _ in range(MOVES_AT_ONCE):
            attempt = self.open_attempt
            if attempt is None:
                return False
            if (attempt.route, attempt.sender) != (self.route.name, self.route.sender):
                self.problem = (
                    f"a redemption by {attempt.route} of {attempt.sender} is under way; set redeem.route "
                    "and the key back until it has ended"
                )
                return True
            sight = await look(attempt, self.route, self.view, self.endpoints, self.surveyor, self.places)
            self.problem = ""
            move = next_move(
                attempt,
                sight,
                self.clock.wall_ns(),
                limits=self.limits,
                pace=self.settings.pace,
                places=self.places,
            )
            match move:
                case Wait(text, late):
                    self._replace(msgspec.structs.replace(attempt, text=text), write=False)
                    self._tell("redemption-late", "warning", f"{attempt.attempt_id}: {text}" if late else "")
                    return True
                case Send():
                    if not await self._send(attempt):
                        return True
                case Renew(offer):
                    version = await self.route.renew(attempt, offer)
                    self._replace(renewed(attempt, version, offer))
                case Include(inclusion, text):
                    self._replace(included(attempt, inclusion, text))
                case Adopt(transaction_id):
                    self._replace(msgspec.structs.replace(attempt, transaction_id=transaction_id))
                case Finish(ends, gas_wei, text):
                    self._finish(finished(attempt, ends, gas_wei, text, self.clock.wall_ns()))
        return True

    async def _send(self, attempt: Attempt) -> bool:
        """Let it out once and note that; False when there is nothing more to do for now."""
        sent = await self.route.send(attempt)
        now_ns = self.clock.wall_ns()
        if sent.kind == "refused":
            self._finish(refused(attempt, sent.text, now_ns))
            return True
        self._replace(gone_out(attempt, sent, now_ns))
        return sent.kind == "accepted"

    async def _survey(self, due: tuple[Due, ...]) -> list[Claim]:
        """What there is to redeem of all that is due and asked for."""
        windows = {each.condition_id.lower(): each.window for each in due}
        names = dict.fromkeys((*windows, *self.asked))
        wanted = tuple(Wanted(each, windows.get(each, "")) for each in names)
        found = await self.surveyor.conditions(wanted, self.head)
        self.conditions = {each.condition_id: each for each in found}
        claims: list[Claim] = []
        self.left.clear()
        for condition in found:
            decided = claim_of(
                condition,
                min_payout_usd6=0 if condition.condition_id in self.asked else self.settings.min_payout_usd6,
                with_losers=self.asked.get(condition.condition_id, False),
            )
            if isinstance(decided, Claim):
                claims.append(decided)
            else:
                self.left[condition.condition_id] = decided
                if decided.reason != "unresolved":
                    self.asked.pop(condition.condition_id, None)
        return claims

    async def _note_others(self, due: tuple[Due, ...]) -> None:
        """Find out who redeemed what our books are owed and the wallet does not hold any more."""
        known = {end.condition_id for each in self.ended for end in each.ends if end.kind in _SETTLED}
        known |= {each.condition_id for each in self.elsewhere}
        for each in due:
            condition = self.conditions.get(each.condition_id.lower())
            if not each.owed or condition is None or condition.condition_id in known:
                continue
            if not condition.denominator or any(held.size6 for held in condition.holdings):
                continue
            await self._note_other(each, condition)

    async def _note_other(self, due: Due, condition: Condition) -> None:
        claim = Claim(
            condition.condition_id,
            condition.ledger,
            condition.holdings,
            condition.numerators,
            condition.denominator,
            condition.window,
        )
        now_ns = self.clock.wall_ns()
        blocks = (now_ns - due.end_ns) // BLOCK_NS + 1 if due.end_ns else self.head.finalized
        end = await redeemed_by_others(self.view, self.places, self.wallet, claim, self.head, blocks)
        if end is None:
            self._tell(
                f"redemption-missing-{condition.condition_id[:10]}",
                "warning",
                f"{claim.name}: its tokens are gone and no transaction of the last day took them; "
                "look at the wallet's history",
            )
            return
        found = Elsewhere(
            condition.condition_id, condition.window, condition.ledger, end.paid_usd6, now_ns, end
        )
        self.journal.note_elsewhere(found)
        self.elsewhere.append(found)
        self.alert(Alert(level="info", code="redeemed-elsewhere", text=f"{claim.name}: {end.text}"))

    async def _begin(self, claims: list[Claim]) -> bool:
        """Sign and journal the next try; the pursuit sends it."""
        now_ns = self.clock.wall_ns()
        most = min(self.settings.most, self.route.most_claims)
        batch = next_batch(claims, self.ended, now_ns, most=most, pace=self.settings.pace, asked=self.asked)
        # A plain key makes one call a transaction.
        chosen = one_call_each(batch.claims) if self.route.most_claims == 1 else batch.claims
        for ledger in sorted({each.ledger for each in chosen}):
            missing = await self.surveyor.missing_contract(ledger, self.head.number)
            if missing:
                self.problem = missing
                self._tell("redemption-blocked", "critical", missing)
                return False
        tried = await dry_run(chosen, self.view, self.contracts, self.wallet, self.head.number)
        for claim, text in tried.refused:
            approved = await self.surveyor.approved(claim.ledger, self.head.number)
            self._refuse(claim, text if approved else f"{text}; {APPROVE}")
        ready = tried.ready
        if not ready:
            self.problem = batch.text or self.problem
            return False
        nonce = await self.route.nonce(self.head.number)
        # A wallet's own nonce stays as it was where its call reverted; only a key's counts what was mined.
        used = [
            each.nonce
            for each in self.ended
            if each.route == self.route.name == "own-gas"
            and each.sender == self.route.sender
            and each.inclusion
        ]
        if used and nonce <= max(used):
            self.problem = (
                f"the chain calls nonce {nonce} of {self.route.sender} unused, and we have seen "
                f"{max(used)} used: its endpoints are behind"
            )
            return False
        while True:
            try:
                version = await self.route.sign(ready, nonce, self.head, self.limits)
            except CannotBatch as error:
                if len(ready) == 1:
                    self._refuse(ready[0], str(error))
                    return False
                ready = ready[: len(ready) // 2]
                continue
            except CannotSend as error:
                self.problem = str(error)
                self._tell("redemption-blocked", "warning", str(error))
                return False
            break
        self._tell("redemption-blocked", "warning", "")
        number = sum(each.sender == self.route.sender and each.nonce == nonce for each in self.attempts)
        attempt = Attempt(
            attempt_id=f"{self.route.sender}/{nonce}/{number}",
            route=self.route.name,
            wallet=self.wallet,
            sender=self.route.sender,
            nonce=nonce,
            claims=ready,
            block=self.head.number,
            created_ns=now_ns,
            versions=(version,),
            text="signed",
        )
        self.journal.begin(attempt)
        self.attempts.append(attempt)
        return True

    def _refuse(self, claim: Claim, text: str) -> None:
        self.left[claim.condition_id] = Left(claim.condition_id, claim.window, "refused", text)
        self.problem = f"{claim.name}: {text}"
        self._tell(f"redemption-refused-{claim.condition_id[:10]}", "warning", self.problem)

    def _finish(self, attempt: Attempt) -> None:
        self._replace(attempt)
        for claim, end in zip(attempt.claims, attempt.ends, strict=True):
            self.asked.pop(claim.condition_id, None)
            level: Level = "critical" if end.kind in ALARMING else "warning"
            level = "info" if end.kind in _SETTLED else level
            text = f"{claim.name}: {end.text or f'paid {end.paid_usd6 / 1e6:.6f} $ by {end.tx_hash}'}"
            self.alert(Alert(level=level, code=f"redemption-{end.kind}", text=text))

    def _replace(self, attempt: Attempt, *, write: bool = True) -> None:
        if write:
            self.journal.change(attempt, self.clock.wall_ns())
        place = next(i for i, each in enumerate(self.attempts) if each.attempt_id == attempt.attempt_id)
        self.attempts[place] = attempt

    def _tell(self, code: str, level: Level, text: str) -> None:
        """Tell a standing problem once, and once that it is over."""
        if text and code not in self.told:
            self.told.add(code)
            self.alert(Alert(level=level, code=code, text=text))
        elif not text and code in self.told:
            self.told.discard(code)
            self.alert(Alert(level="info", code=code, text="over"))
