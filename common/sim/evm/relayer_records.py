"""The life of an action at the relayer: what it has come to on the chain, and what is told of it.

What is told goes at most one step further each time somebody asks, so that every state is seen. It never goes
back, as the real relayer's does not, even where the chain does.
"""

from dataclasses import dataclass
from typing import Any

from eth_utils.crypto import keccak

from common.sim.evm.relayer_actions import Action
from common.sim.evm.relayer_faults import Life
from common.sim.evm.rpc_client import RpcClient, RpcRefused

STEPS = ("STATE_NEW", "STATE_EXECUTED", "STATE_MINED", "STATE_CONFIRMED")
FAILED, INVALID = "STATE_FAILED", "STATE_INVALID"
_GAS = 6_000_000
"""Enough for a batch of ten; an estimate would be too low where the hub swallows a revert."""


@dataclass(slots=True)
class Record:
    """One action that was taken in."""

    transaction_id: str
    customer: str
    action: Action
    created_ns: int
    life: Life | None = None
    tx_hash: str = ""
    """Of the transaction on the chain; of one that never gets there, made up."""
    is_sent: bool = False
    state: str = STEPS[0]
    error: str = ""
    released: bool = False

    @property
    def course(self) -> str:
        return self.life.course if self.life is not None else ""

    @property
    def waits(self) -> bool:
        """Whether it is held back."""
        return self.course == "held" and not self.released

    @property
    def told_hash(self) -> str:
        """The hash, once it is told."""
        told = self.state != STEPS[0] and self.course != "confirmed_without_hash"
        return self.tx_hash if told else ""


class Lives:
    """Carries actions out from one address of the node, and looks at what became of them."""

    def __init__(self, node: RpcClient, relay: str) -> None:
        self._node = node
        self._relay = relay

    async def begin(self, record: Record) -> None:
        """Carry a new action out as far as its course lets it."""
        match record.course:
            case "held":
                return
            case "failed" | "invalid":
                assert record.life is not None
                record.error = record.life.text
            case "unmined":
                record.tx_hash = _made_up(record)
            case "mined_then_failed" if record.life is not None and not record.life.on_chain:
                record.tx_hash = _made_up(record)
            case "blind":
                await self._send(record)
            case _:
                record.error = await self._reverts(record)
                if not record.error:
                    await self._send(record)

    async def release(self, record: Record) -> None:
        """Carry out what was held back, without trying it first: the world has moved on."""
        await self._send(record)
        # Only now: who asks meanwhile must not be told that it failed for want of a hash.
        record.released = True

    async def is_open(self, record: Record) -> bool:
        """Whether its wallet is busy with it: it may still happen."""
        if record.state in (STEPS[3], FAILED, INVALID):
            return False
        if record.waits or record.course == "unmined":
            return True
        return record.is_sent and await self._receipt(record) is None

    async def step(self, record: Record) -> None:
        """Bring what is told one step nearer to what is."""
        if record.state in (STEPS[3], FAILED, INVALID):
            return
        reached = await self._reached(record)
        if reached not in STEPS:
            record.state = reached
            return
        here = STEPS.index(record.state)
        record.state = STEPS[min(max(STEPS.index(reached), here), here + 1)]

    async def _reached(self, record: Record) -> str:
        """The furthest state that may be told now."""
        if record.waits:
            return STEPS[0]
        if not record.tx_hash:
            return INVALID if record.course == "invalid" else FAILED
        if record.course == "unmined":
            return STEPS[1]
        if record.course == "mined_then_failed":
            assert record.life is not None
            if record.is_sent and await self._receipt(record) is None:
                return STEPS[1]
            if record.state != STEPS[2]:
                return STEPS[2]
            record.error = record.life.text
            return FAILED
        receipt = await self._receipt(record)
        if receipt is None:
            if record.state == STEPS[2]:
                # Its block is not in the chain any more: as a relayer does, it sends again.
                await self._send(record)
            return STEPS[1]
        if int(receipt["status"], 16) != 1:
            record.error = record.error or "execution reverted"
            return FAILED if record.state != STEPS[0] else STEPS[1]
        return STEPS[3]

    async def _reverts(self, record: Record) -> str:
        """Why it would have no effect; empty when it would."""
        call = {"from": self._relay, "to": record.action.to, "data": "0x" + record.action.data.hex()}
        try:
            await self._node.call("eth_call", call | {"gas": hex(_GAS)}, "latest")
        except RpcRefused as error:
            return error.text
        return ""

    async def _send(self, record: Record) -> None:
        call = {"from": self._relay, "to": record.action.to, "data": "0x" + record.action.data.hex()}
        record.tx_hash = await self._node.call("eth_sendTransaction", call | {"gas": hex(_GAS)})
        record.is_sent = True

    async def _receipt(self, record: Record) -> dict[str, Any] | None:
        receipt: dict[str, Any] | None = await self._node.call("eth_getTransactionReceipt", record.tx_hash)
        return receipt


def _made_up(record: Record) -> str:
    return "0x" + keccak(b"never sent: " + record.transaction_id.encode()).hex()
