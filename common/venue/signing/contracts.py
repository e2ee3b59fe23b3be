"""Addresses on Polygon (chain 137) that orders and checks name. Source: the venue's contract list, 2026."""

from typing import NamedTuple

CHAIN_ID = 137
COLLATERAL = "0xC011a7E12a19f7B1f670d46F03B03f3342E82DFB"
"""pUSD, six decimals."""
CONDITIONAL_TOKENS = "0x4D97DCd97eC945f40cF65F87097ACe5EA0476045"
CTF_EXCHANGE = "0xE111180000d2663C0091e4f400237545B87B996B"
NEG_RISK_EXCHANGE = "0xe2222d279d744050d28e00520010520000310F59"
EXCHANGE_V3 = "0xe3333700cA9d93003F00f0F71f8515005F6c00Aa"
POSITION_MANAGER = "0x006F54F7f9A22e0000CC2AB60031000000ae9fEF"
AUTO_REDEEMER = "0xa1200000d0002264C9a1698e001292D00E1b00af"


class Exchange(NamedTuple):
    """Where an order is signed for."""

    address: str
    version: str
    """Of its EIP-712 domain."""


EXCHANGES = {"v1": Exchange(CTF_EXCHANGE, "2"), "v2": Exchange(EXCHANGE_V3, "3")}
"""By the version of a market; Up/Down markets are never negative-risk."""
