"""The relayer: takes a deposit wallet's signed batches, has them mined, and says how far they are.

Knows no wire format. It pays; the wallet's owner signs.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from common.sim.faults import FaultBoard
from common.sim.trading.accounts import Account, Accounts
from common.sim.trading.batch_signature import BatchCall, batch_signer
from common.sim.trading.chain import Chain
from common.sim.trading.chain_transactions import Call, Transaction
from common.sim.trading.contracts import (
    ADAPTER,
    CONDITIONAL_TOKENS,
    NEG_RISK_ADAPTER,
    POSITION_MANAGER,
    ROUTER,
)
from common.units import SECOND

State = Literal["STATE_NEW", "STATE_MINED", "STATE_CONFIRMED", "STATE_FAILED"]
_PERMITTED = frozenset(
    each.lower() for each in (ADAPTER, NEG_RISK_ADAPTER, ROUTER, CONDITIONAL_TOKENS, POSITION_MANAGER)
)
_LONGEST_DEADLINE_S = 3600


class Refusal(Exception):
    """A submit that is not taken: HTTP status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True, slots=True)
class Batch:
    """A submitted batch as it was sent; addresses in lower case."""

    owner: str
    wallet: str
    nonce: int
    deadline_s: int
    calls: tuple[BatchCall, ...]
    signature: bytes
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """A batch that was taken; no transaction where it never reaches the chain."""

    action_id: str
    batch: Batch
    at_ns: int
    transaction: Transaction | None
    error: str = ""


class Relayer:
    """All actions of a run, newest last."""

    def __init__(
        self, chain: Chain, accounts: Accounts, board: FaultBoard, now_ns: Callable[[], int]
    ) -> None:
        self.actions: dict[str, Action] = {}
        self._chain = chain
        self._accounts = accounts
        self._board = board
        self._now_ns = now_ns

    def nonce(self, account: Account) -> int:
        """The nonce the relayer believes a wallet's next batch needs."""
        self._chain.advance()
        used = self._chain.nonce(account.address)
        return max(0, used - 1) if self._form == "stale" else used

    def submit(self, batch: Batch) -> Action:
        """Take a batch; raises Refusal."""
        self._chain.advance()
        form = self._form
        if form == "quota":
            raise Refusal(429, "quota exceeded: 0 units remaining, resets in 3 seconds")
        self._check(batch, busy=form == "busy")
        action_id = str(uuid.uuid4())
        transaction = None
        if form not in ("never", "failed"):
            calls = tuple(Call(batch.wallet, each.target, each.data) for each in batch.calls)
            transaction = self._chain.relay(batch.wallet, batch.nonce, calls, action_id)
        error = "execution reverted: the relayer made it fail" if form == "failed" else ""
        action = Action(action_id, batch, self._now_ns(), transaction, error)
        self.actions[action_id] = action
        return action

    def state(self, action: Action) -> State:
        """How far an action is; it is confirmed when its block is final."""
        self._chain.advance()
        transaction = action.transaction
        if action.error or (transaction is not None and transaction.refused):
            return "STATE_FAILED"
        if transaction is None or transaction.block is None:
            return "STATE_NEW"
        return "STATE_CONFIRMED" if transaction.block <= self._chain.blocks.final else "STATE_MINED"

    def tx_hash(self, action: Action) -> str:
        """The hash once it is mined; empty before."""
        transaction = action.transaction
        if transaction is None or transaction.block is None or self._form == "hashless":
            return ""
        return transaction.tx_hash

    def _check(self, batch: Batch, *, busy: bool) -> None:
        account = self._accounts.of_wallet(batch.wallet)
        if account is None or account.kind != "deposit" or account.signer != batch.owner:
            raise Refusal(400, "wallet is not a deposit wallet of this owner")
        if not batch.calls:
            raise Refusal(400, "calls must not be empty")
        now_s = self._now_ns() // SECOND
        if not now_s < batch.deadline_s <= now_s + _LONGEST_DEADLINE_S:
            raise Refusal(400, f"deadline {batch.deadline_s} is expired or too far away")
        for call in batch.calls:
            if call.target not in _PERMITTED or call.value:
                raise Refusal(400, f"call blocked: {call.target} {call.data[:4].hex()} not permitted")
        signer = batch_signer(batch.wallet, batch.nonce, batch.deadline_s, batch.calls, batch.signature)
        if signer != account.signer:
            raise Refusal(400, "invalid signature")
        if busy or self._chain.is_busy(batch.wallet):
            raise Refusal(400, f"wallet busy: {batch.wallet} has an active action")
        used = self._chain.nonce(batch.wallet)
        if batch.nonce != used:
            raise Refusal(400, f"batch nonce {batch.nonce} does not match on-chain nonce {used}")

    @property
    def _form(self) -> str:
        fault = self._board.relayer()
        return "" if fault is None else fault.form
