"""The simulated chain: transactions come in, wait for the next block and then do what they do.

The one place where redeeming moves money, at the venue and on the chain at once. Knows no wire format.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator

from common.sim.faults import FaultBoard
from common.sim.trading import chain_transactions as transactions
from common.sim.trading.abi_words import CallReverted
from common.sim.trading.account_book import AccountBook
from common.sim.trading.accounts import Account
from common.sim.trading.chain_blocks import BASE_FEE_WEI, Blocks
from common.sim.trading.chain_transactions import Call, Transaction
from common.sim.trading.contracts import (
    AUTO_REDEEMER,
    DEPOSIT_FACTORY,
    EXCHANGES,
    KNOWN_CONTRACTS,
    LEDGERS,
)
from common.sim.trading.exchange import Exchange
from common.sim.trading.raw_transaction import RawTransaction
from common.sim.trading.redeeming import Approval, Run
from common.sim.trading.trade_life import Timers
from common.sim.trading.trading_faults import ChainFault
from common.sim.world import Market, World

RELAYER = "0x" + "4e" * 20
"""Who pays for what is relayed."""
_COIN_WEI = 10**18
_LOST_GAS = 60_000
"""What a transaction without effect uses."""
_KNOWN = frozenset(contract.lower() for contract in KNOWN_CONTRACTS)


class Chain:
    """All transactions of a run."""

    def __init__(
        self,
        exchange: Exchange,
        world: World,
        board: FaultBoard,
        timers: Timers,
        block_ms: int,
        now_ns: Callable[[], int],
    ) -> None:
        self.blocks = Blocks(block_ms, now_ns)
        self.by_hash: dict[str, Transaction] = {}
        self._exchange = exchange
        self._world = world
        self._board = board
        self._timers = timers
        self._waiting: list[Transaction] = []
        self._mined: list[Transaction] = []
        """In the order of the chain."""
        self._used: defaultdict[str, list[int]] = defaultdict(list)
        """By account the blocks its nonces were used in."""
        self._approvals: dict[Approval, bool] = {}
        """Those that were given or taken in this run."""
        self._is_timed = False

    @property
    def base_fee_wei(self) -> int:
        told = self._fault.base_fee_wei
        return BASE_FEE_WEI if told is None else told

    @property
    def mined(self) -> Iterator[Transaction]:
        return iter(self._mined)

    def send(self, raw: RawTransaction) -> None:
        """Take in a transaction that was signed by its payer; raises NotTaken."""
        replaced = transactions.check_taken(
            raw, self.nonce(raw.sender), self.coin_wei(raw.sender), self._waiting
        )
        if self._fault.forgets_sent:
            return
        if replaced is not None:
            self._waiting.remove(replaced)
            del self.by_hash[replaced.tx_hash]
        self._take(
            Transaction(
                raw.tx_hash,
                raw.sender,
                raw.to,
                raw.data,
                raw.sender,
                raw.nonce,
                (Call(raw.sender, raw.to, raw.data),),
                self.blocks.head + 1,
                raw.gas,
                raw.max_fee_wei,
                raw.tip_wei,
            )
        )

    def relay(self, wallet: str, nonce: int, calls: tuple[Call, ...], name: str) -> Transaction:
        """Take in a wallet's calls, all or none; where they would fail nothing is mined."""
        tx_hash = "0x" + hashlib.sha256(f"relayed {name}".encode()).hexdigest()
        due = self.blocks.head + 1
        return self._take(
            Transaction(
                tx_hash, RELAYER, DEPOSIT_FACTORY.lower(), b"", wallet, nonce, calls, due, relayed=True
            )
        )

    def redeem_for(self, wallet: str, condition: str) -> Transaction:
        """Let the venue's own redeemer take what a wallet holds of a condition."""
        tx_hash = "0x" + hashlib.sha256(f"auto {wallet} {condition} {len(self.by_hash)}".encode()).hexdigest()
        calls = (Call(wallet, AUTO_REDEEMER.lower(), bytes.fromhex(condition[2:])),)
        due = self.blocks.head + 1
        return self._take(
            Transaction(tx_hash, RELAYER, AUTO_REDEEMER.lower(), b"", "", 0, calls, due, relayed=True)
        )

    def try_out(self, calls: tuple[Call, ...]) -> int:
        """The gas these calls would use now, one after the other; raises CallReverted."""
        return self._run(calls).gas

    def advance(self) -> None:
        """Let every block that has come by now take what waits for it."""
        while self._mine_one():
            pass
        if self._waiting and not self._is_timed:
            self._is_timed = True
            self._timers.later(self.blocks.next_ms, self._tick)

    def nonce(self, account: str, block: int | None = None) -> int:
        """How many nonces an account has used, by the end of a block."""
        used = self._used.get(account.lower(), [])
        return len(used) if block is None else sum(1 for each in used if each <= block)

    def is_busy(self, account: str) -> bool:
        """Whether something of this account waits for a block."""
        return any(each.counted == account for each in self._waiting)

    def waiting_nonce(self, account: str) -> int:
        """The next nonce when everything in order that waits is mined."""
        nonce, waiting = (
            self.nonce(account),
            {each.nonce for each in self._waiting if each.counted == account},
        )
        while nonce in waiting:
            nonce += 1
        return nonce

    def coin_wei(self, address: str, block: int | None = None) -> int:
        """What an account has of the chain's coin at a block."""
        account = self._exchange.accounts.of_wallet(address)
        has_coin = account is not None and account.kind == "eoa"
        told = self._fault.coin_wei
        if not has_coin or told is not None:
            return told if has_coin and told is not None else 0
        return _COIN_WEI - sum(
            each.gas_used * each.price_wei
            for each in self._mined
            if each.payer == address.lower() and (block is None or (each.block or 0) <= block)
        )

    def balance(self, holder: str, asset: str, block: int | None = None) -> int:
        """What somebody holds at a block, as far as redeeming made the difference since."""
        undone = 0 if block is None else sum(self._changes_after(block, holder, asset))
        return self._exchange.chain_book.balance(holder, asset) - undone

    def approved(self, place: Approval) -> bool:
        """Whether a contract may handle a wallet's tokens: from the start each known one may."""
        owner, _, operator = place
        if operator in (missing.lower() for missing in self._fault.approvals_missing):
            return self._approvals.get(place, False)
        known = operator in _KNOWN and self._exchange.accounts.of_wallet(owner) is not None
        return self._approvals.get(place, known)

    def may_sell(self, wallet: str, version: str) -> bool:
        """Whether the exchange of a version's markets may take a wallet's tokens of them."""
        return self.approved((wallet.lower(), LEDGERS[version].lower(), EXCHANGES[version].address.lower()))

    def has_code(self, address: str) -> bool:
        """Whether there is a contract at this address (lower case)."""
        if address in (missing.lower() for missing in self._fault.code_missing):
            return False
        account: Account | None = self._exchange.accounts.of_wallet(address)
        return address in _KNOWN or (account is not None and account.kind != "eoa")

    @property
    def _fault(self) -> ChainFault:
        return self._board.chain() or ChainFault()

    def _take(self, transaction: Transaction) -> Transaction:
        self.by_hash[transaction.tx_hash] = transaction
        self._waiting.append(transaction)
        self.advance()
        return transaction

    def _tick(self) -> None:
        self._is_timed = False
        self.advance()

    def _mine_one(self) -> bool:
        for each in self._waiting:
            if each.due > self.blocks.head:
                continue
            if each.counted and each.nonce != self.nonce(each.counted):
                continue
            if self._fault.stuck or each.max_fee_wei < self.base_fee_wei:
                each.due = self.blocks.head + 1
                continue
            self._waiting.remove(each)
            # Not in a block that was told as final without it, nor before what is mined already.
            last = self._mined[-1].block if self._mined else 0
            self._mine(each, max(each.due, self.blocks.head - 1, last or 0))
            return True
        return False

    def _mine(self, transaction: Transaction, block: int) -> None:
        run: Run | None = None
        try:
            run = self._run(transaction.calls)
        except CallReverted as error:
            if transaction.relayed:
                transaction.refused = f"execution reverted: {error.text or '0x' + error.data.hex()}"
                return
        transaction.block = block
        transaction.place = sum(1 for each in self._mined if each.block == block)
        transaction.first_log = sum(len(each.events) for each in self._mined if each.block == block)
        transaction.price_wei = min(transaction.max_fee_wei, self.base_fee_wei + transaction.tip_wei)
        transaction.gas_used = min(_LOST_GAS if run is None else run.gas, transaction.gas)
        if transaction.counted:
            self._used[transaction.counted].append(block)
        self._mined.append(transaction)
        if run is None or run.gas > transaction.gas:
            return
        transaction.ok = True
        transaction.events, transaction.entries = run.events, run.entries
        self._approvals |= run.approvals
        books: tuple[AccountBook, ...] = (self._exchange.chain_book, self._exchange.venue_book)
        for book in books:
            book.post(run.entries)

    def _run(self, calls: tuple[Call, ...]) -> Run:
        run = Run(self._world, self.balance, self.approved, self.has_code, paused=self._fault.paused)
        for sender, to, data in ((each.sender, each.to, each.data) for each in calls):
            market: Market | None = self._world.by_condition.get("0x" + data.hex())
            if to == AUTO_REDEEMER.lower() and market is not None:
                run.redeem_for(sender, market)
            else:
                run.call(sender, to, data)
        return run

    def _changes_after(self, block: int, holder: str, asset: str) -> Iterator[int]:
        for transaction in reversed(self._mined):
            if transaction.block is not None and transaction.block <= block:
                return
            for entry in transaction.entries:
                if entry.asset == asset:
                    yield entry.amount6 * ((entry.taker == holder) - (entry.giver == holder))
