"""What a transaction costs now: prices of gas, and the gas a call needs. Decides nothing by itself.

The user's caps bound whatever is said here, so one endpoint suffices.
"""

import asyncio
from typing import NamedTuple

from common.core.redemption.gas import LEAST_TIP_WEI
from common.errors import DependencyMissing, LaggardError
from common.venue.chain import shapes
from common.venue.chain.endpoints import Endpoint, Endpoints
from common.venue.chain.refusals import is_no_coin
from common.venue.chain.reverts import CallReverted, reverted
from common.venue.chain.rpc import RpcRefused

LEAST_GAS = 21_000
"""What the emptiest transaction uses."""


class GasPrices(NamedTuple):
    """Wei for one unit of gas."""

    base_fee_wei: int
    """Of the newest block."""
    tip_wei: int


class NoCoin(LaggardError):
    """The sender has not enough of the chain's coin for this at these fees."""


async def gas_prices(endpoints: Endpoints) -> GasPrices:
    """The base fee of the newest block and a tip that is taken; raises DependencyMissing."""
    healthy = endpoints.healthy
    tips = asyncio.gather(*(_tip(one) for one in healthy))
    base_fee, told = await asyncio.gather(endpoints.first(_base_fee), tips)
    return GasPrices(base_fee, max(LEAST_TIP_WEI, *told))


async def estimate(
    endpoints: Endpoints, sender: str, to: str, data: bytes, *, max_fee_wei: int, tip_wei: int
) -> int:
    """The gas a call would use now, told with its fees, because only then a lack of coin shows.

    Raises CallReverted, NoCoin, DependencyMissing.
    """
    call = {
        "from": sender,
        "to": to,
        "data": f"0x{data.hex()}",
        "maxFeePerGas": hex(max_fee_wei),
        "maxPriorityFeePerGas": hex(tip_wei),
    }

    async def question(endpoint: Endpoint) -> int:
        try:
            return await endpoint.ask("eth_estimateGas", [call], _gas)
        except RpcRefused as error:
            if is_no_coin(error):
                raise NoCoin(f"{sender} has not enough coin: {endpoint.without_keys(error.said)}") from None
            why = reverted(error)
            if why is None:
                raise
            raise CallReverted(endpoint.without_keys(why)) from None

    return await endpoints.first(question)


async def _base_fee(endpoint: Endpoint) -> int:
    return await endpoint.ask("eth_getBlockByNumber", ["latest", False], _read_base_fee)


async def _tip(endpoint: Endpoint) -> int:
    """Zero where it does not tell."""
    try:
        return await endpoint.ask("eth_maxPriorityFeePerGas", [], shapes.quantity)
    except DependencyMissing:
        return 0


def _read_base_fee(value: object) -> int:
    block = shapes.block(value)
    if block is None or block.base_fee_wei is None:
        raise ValueError("no block, or one without a base fee")
    return block.base_fee_wei


def _gas(value: object) -> int:
    gas = shapes.small_quantity(value)
    if gas < LEAST_GAS:
        raise ValueError("less than any transaction uses")
    return gas
