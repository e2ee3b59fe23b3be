"""The venue's contracts on Polygon, and which of them settles a market of which protocol version.

Constants of the simulation's own: that they are the real ones is what it tests the trader with.
"""

from typing import Literal, NamedTuple

WalletKind = Literal["eoa", "proxy", "safe", "deposit"]

CHAIN_ID = 137
DOMAIN_NAME = "Polymarket CTF Exchange"
COLLATERAL = "0xC011a7E12a19f7B1f670d46F03B03f3342E82DFB"
CONDITIONAL_TOKENS = "0x4D97DCd97eC945f40cF65F87097ACe5EA0476045"
POSITION_MANAGER = "0x006F54F7f9A22e0000CC2AB60031000000ae9fEF"
NEG_RISK_EXCHANGE = "0xe2222d279d744050d28e00520010520000310F59"
DEPOSIT_FACTORY = "0x00000000000Fb5C9ADea0298D729A0CB3823Cc07"
DEPOSIT_BEACON = "0x7A18EDfe055488A3128f01F563e5B479D92ffc3a"


class Exchange(NamedTuple):
    """The contract an order is signed for, and the version of its signing domain."""

    address: str
    version: str


EXCHANGES = {
    "v1": Exchange("0xE111180000d2663C0091e4f400237545B87B996B", "2"),
    "v2": Exchange("0xe3333700cA9d93003F00f0F71f8515005F6c00Aa", "3"),
}
"""By the version of the market."""
SPENDERS = (EXCHANGES["v1"].address, NEG_RISK_EXCHANGE, EXCHANGES["v2"].address)
"""Whose pUSD allowances the venue tells."""
KNOWN_CONTRACTS = (
    COLLATERAL,
    CONDITIONAL_TOKENS,
    POSITION_MANAGER,
    *SPENDERS,
    DEPOSIT_FACTORY,
    DEPOSIT_BEACON,
    "0xAdA100Db00Ca00073811820692005400218FcE1f",  # collateral adapter
    "0xadA2005600Dec949baf300f4C6120000bDB6eAab",  # its sibling for neg-risk markets
    "0x12121212006e4CD160D18e3f00711DA5c3372600",  # router of protocol v2
    "0xa1200000d0002264C9a1698e001292D00E1b00af",  # auto-redeemer
)
SIGNATURE_TYPES: dict[WalletKind, int] = {"eoa": 0, "proxy": 1, "safe": 2, "deposit": 3}
