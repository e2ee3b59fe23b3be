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
USDC_E = "0x2791Bca1f2de4661ED88A30C99A7a9449Aa84174"
"""What the tokens of the older ledger are claims on."""
ADAPTER = "0xAdA100Db00Ca00073811820692005400218FcE1f"
"""Redeems on the older ledger."""
NEG_RISK_ADAPTER = "0xadA2005600Dec949baf300f4C6120000bDB6eAab"
ROUTER = "0x12121212006e4CD160D18e3f00711DA5c3372600"
"""Redeems on the newer one."""
BINARY_MODULE = "0x1000008dD9001B968442c1000017eaE6E0dA00Ba"
AUTO_REDEEMER = "0xa1200000d0002264C9a1698e001292D00E1b00af"
CONDITION_ORACLE = "0x0a00000000000000000000000000000000000001"
"""Made up: who answers the questions of made-up conditions of the older ledger."""


class Exchange(NamedTuple):
    """The contract an order is signed for, and the version of its signing domain."""

    address: str
    version: str


EXCHANGES = {
    "v1": Exchange("0xE111180000d2663C0091e4f400237545B87B996B", "2"),
    "v2": Exchange("0xe3333700cA9d93003F00f0F71f8515005F6c00Aa", "3"),
}
"""By the version of the market."""
LEDGERS = {"v1": CONDITIONAL_TOKENS, "v2": POSITION_MANAGER}
"""By the version of the market, who keeps its tokens."""
SPENDERS = (EXCHANGES["v1"].address, NEG_RISK_EXCHANGE, EXCHANGES["v2"].address)
"""Whose pUSD allowances the venue tells."""
KNOWN_CONTRACTS = (
    COLLATERAL,
    CONDITIONAL_TOKENS,
    POSITION_MANAGER,
    *SPENDERS,
    DEPOSIT_FACTORY,
    DEPOSIT_BEACON,
    USDC_E,
    ADAPTER,
    NEG_RISK_ADAPTER,
    ROUTER,
    BINARY_MODULE,
    AUTO_REDEEMER,
    "0xaB45c5A4B0c941a2F231C04C3f49182e1A254052",  # factory of proxies
    "0xD216153c06E857cD7f72665E0aF1d7D82172F494",  # relay hub
    "0xA238CBeb142c10Ef7Ad8442C6D1f9E89e07e7761",  # multisend of Safes
)
SIGNATURE_TYPES: dict[WalletKind, int] = {"eoa": 0, "proxy": 1, "safe": 2, "deposit": 3}
