"""A small chain, relayer and desk for conversations about one try; nothing here decides anything.

The desk does with a move what the real one does. A kill loses what was not journalled, never what went out.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from common.core.redemption.attempts import (
    Attempt,
    Log,
    Receipt,
    RelayerState,
    RelayerWord,
    Route,
    Signed,
    Stage,
)
from common.core.redemption.claims import Claim, Holding, Ledger
from common.core.redemption.effect import TRANSFER, TRANSFER_SINGLE, Places
from common.core.redemption.gas import GWEI, GasPolicy
from common.core.redemption.pursuit import (
    Adopt,
    Finish,
    Include,
    Limits,
    Move,
    Pace,
    Renew,
    Send,
    Sight,
    Wait,
    next_move,
)
from common.units import SECOND

WALLET = "0x" + "a1" * 20
OWNER = "0x" + "a0" * 20
PLACES = Places(
    collateral="0x" + "c0" * 20, conditional_tokens="0x" + "c1" * 20, position_manager="0x" + "c2" * 20
)
LIMITS = Limits(GasPolicy(500 * GWEI, 10**18, 10**19), 0)
PACE = Pace()
FINAL = 2
"""Blocks below the head."""
BLOCK_S = 2
START_S = 1_900_000_000
GAS_WEI = 25 * 10**15


def claim(number: int = 1, size6: int = 5_000_000, *, ledger: Ledger = "v1", down6: int = 0) -> Claim:
    held = (Holding(f"{number}0", 0, size6), Holding(f"{number}1", 1, down6))
    return Claim(f"0x{number:064x}", ledger, tuple(each for each in held if each.size6), (1, 0), 1)


def burning(one: Claim, *, pays: bool = True, size6: int | None = None) -> list[Log]:
    """The logs of redeeming a claim; ``size6`` where less of its winner was burnt."""
    found = []
    for each in one.holdings:
        amount6 = each.size6 if size6 is None or each.outcome_index else size6
        topics = (TRANSFER_SINGLE, _topic(OWNER), _topic(WALLET), _topic(OWNER))
        found.append(Log(PLACES.ledger(one.ledger), topics, _word(int(each.token)) + _word(amount6), 0))
        if pays and amount6 and not each.outcome_index:
            payee = (TRANSFER, _topic(OWNER), _topic(WALLET))
            found.append(Log(PLACES.collateral, payee, _word(amount6), 0))
    return found


def placed(tx_hash: str, ok: bool, block: int, logs: list[Log], block_hash: str = "0xb1") -> Receipt:
    numbered = [msgspec.structs.replace(log, index=i, tx_hash=tx_hash) for i, log in enumerate(logs)]
    return Receipt(tx_hash, ok, block, block_hash, GAS_WEI, tuple(numbered))


def begun(*claims: Claim, route: Route = "own-gas", deadline_s: int = 0, nonce: int = 0) -> Attempt:
    at_ns = START_S * SECOND
    version = Signed(
        b"1",
        "0xsigned1",
        at_ns,
        gas=250_000,
        max_fee_wei=100 * GWEI,
        tip_wei=30 * GWEI,
        deadline_s=deadline_s,
    )
    sender = OWNER if route == "own-gas" else WALLET
    return Attempt(
        attempt_id=f"{sender}/{nonce}/0",
        route=route,
        wallet=WALLET,
        sender=sender,
        nonce=nonce,
        claims=claims,
        block=1,
        created_ns=at_ns,
        versions=(version,),
    )


@dataclass(frozen=True, slots=True)
class Transaction:
    """Redeems its claims; one of the newer ledger that is not held reverts all."""

    tx_hash: str
    sender: str
    nonce: int
    claims: tuple[Claim, ...] = ()
    fails: bool = False
    pays: bool = True


class Chain:
    """Blocks of transactions; everything else is computed from them, so a reorganization undoes it."""

    def __init__(self, *claims: Claim) -> None:
        self.given = {each.token: each.size6 for one in claims for each in one.holdings}
        self.blocks: list[tuple[Transaction, ...]] = [(), ()]
        self.forks = 0

    @property
    def head(self) -> int:
        return len(self.blocks) - 1

    def mine(self, *transactions: Transaction, then: int = 0) -> None:
        self.blocks.append(transactions)
        self.blocks.extend(() for _ in range(then))

    def reorganize(self, depth: int, *, empty: int | None = None) -> None:
        """Replace the newest blocks by as many empty ones, or by a given number of them."""
        del self.blocks[-depth:]
        self.forks += 1
        self.blocks.extend(() for _ in range(depth if empty is None else empty))

    def receipts(self, block: int) -> list[tuple[Transaction, Receipt]]:
        """Of everything up to a block."""
        found: list[tuple[Transaction, Receipt]] = []
        held, nonces = dict(self.given), dict[str, int]()
        for number, transactions in enumerate(self.blocks[: block + 1]):
            for each in transactions:
                assert each.nonce == nonces.get(each.sender, 0), "no chain takes this nonce"
                nonces[each.sender] = each.nonce + 1
                ok, logs, left = not each.fails, list[Log](), dict(held)
                for one in each.claims:
                    has = all(left[holding.token] for holding in one.holdings)
                    if has:
                        logs += burning(one, pays=each.pays)
                        left |= dict.fromkeys((holding.token for holding in one.holdings), 0)
                    ok = ok and (has or one.ledger == "v1")
                held = left if ok else held
                receipt = placed(each.tx_hash, ok, number, logs if ok else [], f"0xb{number}f{self.forks}")
                found.append((each, receipt))
        return found

    def nonce(self, sender: str, block: int) -> int:
        return sum(each.sender == sender for each, _ in self.receipts(block))

    def held(self, block: int) -> dict[str, int]:
        gone = {
            str(int.from_bytes(log.data[:32]))
            for _, receipt in self.receipts(block)
            for log in receipt.logs
            if log.address != PLACES.collateral
        }
        return {token: 0 if token in gone else size6 for token, size6 in self.given.items()}


class Killed(Exception):
    """The process ends here."""


@dataclass(slots=True)
class Desk:
    """Pursues one try on one chain, as the redeemer's desk does."""

    attempt: Attempt
    chain: Chain
    now_ns: int = START_S * SECOND
    sent: list[Signed] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    on_send: Callable[[Signed], str] = lambda _: ""
    """What the relayer answers; may raise Killed."""
    word: RelayerWord | None = None
    found_id: str = ""
    lag: int = 0
    """Blocks by which the endpoints are behind."""
    base_fee_wei: int = 50 * GWEI

    def look(self) -> Sight:
        head = self.chain.head - self.lag
        final = max(0, head - FINAL)
        own = (
            {each.digest for each in self.attempt.versions} if self.attempt.route == "own-gas" else set[str]()
        )
        if self.attempt.route == "relayer":
            known = self.attempt.inclusion.tx_hash if self.attempt.inclusion is not None else ""
            own = {known, self.word.tx_hash if self.word is not None else ""}
        mined = self.chain.receipts(head)
        receipts = tuple(receipt for _, receipt in mined if receipt.tx_hash in own)
        return Sight(
            head=head,
            finalized=final,
            chain_s=START_S + final * BLOCK_S,
            nonce=self.chain.nonce(self.attempt.sender, head),
            final_nonce=self.chain.nonce(self.attempt.sender, final),
            held=self.chain.held(head),
            receipts=receipts,
            takers=tuple(
                receipt
                for _, receipt in mined
                if receipt.block <= final and receipt.logs and receipt.tx_hash not in own
            ),
            base_fee_wei=self.base_fee_wei,
            word=self.word,
            found_id="" if self.attempt.transaction_id else self.found_id,
        )

    def turn(self) -> Move:
        """Move until there is nothing to do for now; the last move."""
        for _ in range(50):
            move = next_move(self.attempt, self.look(), self.now_ns, limits=LIMITS, pace=PACE, places=PLACES)
            self.moves.append(move)
            self.apply(move)
            if isinstance(move, Wait | Finish | Send):
                return move
        raise AssertionError("moves have no end")

    def after(self, seconds: float) -> Move:
        self.now_ns += int(seconds * SECOND)
        return self.turn()

    def finish(self) -> Finish:
        move = self.turn()
        assert isinstance(move, Finish), move
        return move

    def apply(self, move: Move) -> None:
        assert self.attempt.stage != "ended", "it moved after its end"
        match move:
            case Wait(text):
                self.change(text=text)
            case Send():
                self.sent.append(self.attempt.newest)
                transaction_id = self.on_send(self.attempt.newest)
                self.change(
                    stage="sent" if self.attempt.stage == "signed" else self.attempt.stage,
                    sent_ns=self.now_ns,
                    first_sent_ns=self.attempt.first_sent_ns or self.now_ns,
                    transaction_id=transaction_id or self.attempt.transaction_id,
                    text="sent",
                )
            case Renew(offer):
                name = len(self.attempt.versions) + 1
                version = Signed(
                    str(name).encode(),
                    f"0xsigned{name}",
                    self.now_ns,
                    gas=250_000,
                    max_fee_wei=offer.max_fee_wei,
                    tip_wei=offer.tip_wei,
                )
                self.change(versions=(*self.attempt.versions, version), sent_ns=0)
            case Include(inclusion, text):
                stage: Stage = "sent" if inclusion is None else "included"
                sent_ns = 0 if inclusion is None else self.attempt.sent_ns
                self.change(stage=stage, inclusion=inclusion, sent_ns=sent_ns, text=text)
            case Adopt(transaction_id):
                self.change(transaction_id=transaction_id)
            case Finish(ends, gas_wei, text):
                self.change(stage="ended", ends=ends, gas_wei=gas_wei, ended_ns=self.now_ns, text=text)

    def change(self, **changes: object) -> None:
        self.attempt = msgspec.structs.replace(self.attempt, **changes)

    def transaction(self, version: int = -1, *, fails: bool = False, pays: bool = True) -> Transaction:
        """What a version of ours does once it is mined."""
        attempt = self.attempt
        digest = attempt.versions[version].digest if attempt.route == "own-gas" else "0xrelayed"
        return Transaction(digest, attempt.sender, attempt.nonce, attempt.claims, fails, pays)

    def says(self, state: RelayerState, *, tx_hash: str = "", error: str = "") -> None:
        self.word = RelayerWord("r-1", state, tx_hash, error)


def _topic(address: str) -> str:
    return "0x" + address[2:].rjust(64, "0")


def _word(number: int) -> bytes:
    return number.to_bytes(32)
