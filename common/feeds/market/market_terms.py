"""One decision each about a market's terms: settlement rule, fee, taker delay, price grid, smallest order.

Pure. Every function returns the term and why it is unusable; unknown means refused, never assumed. Numbers
may come as text, as Decimal or as JSON numbers and are read by their decimal text.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

from common.messages import FeeSchedule
from common.units import MILLISECOND, NotANumber, Ns, ppm_exact, price4_exact, size6_floor

Json = Mapping[str, object]
Rule = Literal["spot", "twap", "unknown"]

KNOWN_LOOKBACKS_S = (30, 60)
KNOWN_TICKS4 = (1, 10, 25, 50, 100, 1000)
MAX_EXPONENT = 4
LONGEST_HOLD_NS = Ns(250 * MILLISECOND)
"""The longest taker delay the venue ever documented for these series (then 50 ms, then 150 ms)."""
_MAX_HOLD_MS = 10_000

_SOURCE = re.compile(
    r"https://data\.chain\.link/streams/([a-z0-9]+)-usd(?:-twap-([0-9]{1,5})s(?:-streams)?)?/?",
    re.ASCII | re.IGNORECASE,
)
_FEE_FIELDS = {"rate", "exponent", "takerOnly", "rebateRate"}
_CLOB_FEE_FIELDS = {"r", "e", "to"}
_HOLD_FIELDS = (
    "itodems",
    "itodeMs",
    "itode_ms",
    "itodms",
    "takerDelayMs",
    "taker_delay_ms",
    "takerOrderDelayMs",
    "taker_order_delay_ms",
)
"""Names under which a hold in milliseconds is looked for: the order book's own is not public."""


def settlement_rule(market: Json, event: Json | None, asset: str) -> tuple[Rule, int, list[str]]:
    """Rule, look-back in seconds (0 for spot) and refusals: the source's name and the configuration agree."""
    source = market.get("resolutionSource") or (event or {}).get("resolutionSource")
    above = (event or {}).get("resolutionSource")
    if not isinstance(source, str) or (found := _SOURCE.fullmatch(source.strip())) is None:
        return "unknown", 0, [f"settlement source {_shown(source)} is not a known Chainlink stream"]
    if above and above != source:
        return "unknown", 0, [f"market and event name different settlement sources: {_shown(above)}"]
    if found[1].lower() != asset:
        return "unknown", 0, [f"settlement source {_shown(source)} is not about {asset or 'a known asset'}"]
    named = int(found[2]) if found[2] else 0
    config = market.get("cryptoMarketConfig")
    if config is None:
        config = {}
    if not isinstance(config, Mapping):
        return "unknown", 0, ["cryptoMarketConfig is not an object"]
    if config.get("asset") not in (None, asset):
        return "unknown", 0, [f"cryptoMarketConfig is about {_shown(config.get('asset'))}"]
    enabled, lookback = config.get("twapEnabled"), whole(config.get("twapLookbackSeconds"))
    if enabled not in (None, True, False):
        return "unknown", 0, [f"twapEnabled is {_shown(enabled)}"]
    if not named and not enabled:
        if enabled is None and lookback:
            return "unknown", 0, [f"source names spot, configuration a look-back of {lookback} s"]
        return "spot", 0, []
    if not named or not enabled:
        return "unknown", 0, ["settlement source and twapEnabled contradict each other"]
    if lookback != named:
        return "unknown", 0, [f"source names a look-back of {named} s, configuration {lookback} s"]
    if named not in KNOWN_LOOKBACKS_S:
        return "unknown", 0, [f"no price series with a look-back of {named} s"]
    return "twap", named, []


def fee_schedule(market: Json, clob: Json | None) -> tuple[FeeSchedule | None, list[str]]:
    """The taker fee, and refusals; the discovery service's schedule and the order book's must be the same."""
    enabled = market.get("feesEnabled")
    if enabled not in (None, True, False):
        return None, [f"feesEnabled is {_shown(enabled)}"]
    stated: list[FeeSchedule] = []
    for body, fields in (
        (market.get("feeSchedule"), _FEE_FIELDS),
        ((clob or {}).get("fd"), _CLOB_FEE_FIELDS),
    ):
        if body is None:
            continue
        schedule = _schedule(body, fields)
        if schedule is None:
            return None, [f"fee schedule of unknown shape: {_shown(body)}"]
        stated.append(schedule)
    if not stated:
        if enabled is False:
            return FeeSchedule(rate_ppm=0, exponent=1), []
        return None, ["fees apply but the fee schedule is missing" if enabled else "fees are not stated"]
    if any(schedule != stated[0] for schedule in stated):
        return None, ["fee schedules of discovery and order book differ"]
    if enabled is False and stated[0].rate_ppm:
        return None, ["feesEnabled is false beside a fee schedule"]
    return stated[0], []


def taker_delay(clob: Json) -> tuple[Ns | None, list[str]]:
    """How long the venue holds a taker order, from the order book's metadata; None (refused) when unsaid.

    Real answers carry only the flag ``itode``. Set and without milliseconds it means the longest hold the
    venue ever documented, 250 ms: pessimistic, because today's is not published per market.
    """
    flag = clob.get("itode")
    stated = [(name, clob[name]) for name in _HOLD_FIELDS if clob.get(name) is not None]
    holds = []
    for name, value in stated:
        hold = whole(value)
        if hold is None or not 0 <= hold <= _MAX_HOLD_MS:
            return None, [f"taker delay unknown: {name} is {_shown(value)}"]
        holds.append(hold)
    if flag is not None and not isinstance(flag, bool):
        return None, [f"taker delay unknown: itode is {_shown(flag)}"]
    if holds and max(holds) > 0:
        return Ns(max(holds) * MILLISECOND), []
    if flag is None and not holds:
        return None, ["taker delay unknown"]
    # A set flag beside zero milliseconds contradicts itself: the longer answer is the safe one.
    return (LONGEST_HOLD_NS if flag else Ns(0)), []


def price_grid(market: Json, clob: Json | None) -> tuple[int, list[str]]:
    """Tick in 1e-4 dollars (0: unknown); the order book's own wins, discovery lags behind a change."""
    value = (clob or {}).get("mts")
    if value is None:
        value = market.get("orderPriceMinTickSize")
    text = decimal_text(value)
    try:
        tick4 = price4_exact(text) if text is not None else 0
    except NotANumber:
        tick4 = 0
    return (tick4, []) if tick4 in KNOWN_TICKS4 else (0, [f"tick size {_shown(value)} is not known"])


def smallest_order(market: Json, clob: Json | None) -> tuple[int, list[str]]:
    """Smallest order in 1e-6 shares (0: unknown), the larger one where two are stated."""
    sizes = []
    for value in (market.get("orderMinSize"), (clob or {}).get("mos")):
        if value is None:
            continue
        text = decimal_text(value)
        try:
            size6 = size6_floor(text) if text is not None else 0
        except NotANumber:
            size6 = 0
        if not 0 < size6 < 10**12:
            return 0, [f"smallest order {_shown(value)} is not a size"]
        sizes.append(size6)
    return (max(sizes), []) if sizes else (0, ["smallest order size is not stated"])


def decimal_text(value: object) -> str | None:
    """The decimal digits of a JSON number or numeric text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    try:
        # A float's shortest text is the digits the sender wrote; huge integers refuse to become text.
        return value.strip() if isinstance(value, str) else str(value)
    except ValueError:
        return None


def whole(value: object) -> int | None:
    """A small whole number written as 60, 60.0 or "60"; None for anything else."""
    text = decimal_text(value)
    if text is None or len(text) > 20:
        return None
    try:
        number = Decimal(text)
    except ArithmeticError:
        return None
    if not number.is_finite() or number.adjusted() > 15 or number != number.to_integral_value():
        return None
    return int(number)


def _schedule(body: object, fields: set[str]) -> FeeSchedule | None:
    if not isinstance(body, Mapping) or not set(body) <= fields:
        return None
    rate = decimal_text(body.get("rate", body.get("r")))
    exponent = whole(body.get("exponent", body.get("e")))
    taker_only = body.get("takerOnly", body.get("to"))
    if rate is None or exponent is None or not isinstance(taker_only, bool):
        return None
    try:
        rate_ppm = ppm_exact(rate)
    except NotANumber:
        return None
    if not 0 <= rate_ppm <= 1_000_000 or not 0 <= exponent <= MAX_EXPONENT:
        return None
    return FeeSchedule(rate_ppm=rate_ppm, exponent=exponent, taker_only=taker_only)


def _shown(value: object) -> str:
    return f"{value!r:.80}"
