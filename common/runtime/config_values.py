"""What a configured value may be: money, prices and parts as text, addresses, ids, names without repeats.

Knows no section; what is wrong with a value is said in its ValueError.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from common.units import NotANumber, ppm_exact, ppm_of_percent_exact, price4_exact, usd6_exact


def _money(text: str) -> str:
    try:
        amount = usd6_exact(text)
    except NotANumber as error:
        raise ValueError(str(error)) from None
    if amount < 0:
        raise ValueError("must be dollars, not negative, with at most six decimals")
    return text


def _price(text: str) -> str:
    try:
        price = price4_exact(text)
    except NotANumber as error:
        raise ValueError(str(error)) from None
    if not 0 < price < 10_000:
        raise ValueError("must be a token price between 0 and 1")
    return text


def _percent(text: str) -> str:
    try:
        ppm = ppm_of_percent_exact(text)
    except NotANumber as error:
        raise ValueError(str(error)) from None
    if not 0 <= ppm <= 1_000_000:
        raise ValueError("must be between 0 and 100 percent, with at most four decimals")
    return text


def _fraction(text: str) -> str:
    if not 0 < _ppm(text) <= 1_000_000:
        raise ValueError("must be greater than 0 and at most 1, with at most six decimals")
    return text


def _volatility(text: str) -> str:
    if not 0 < _ppm(text) <= 10_000_000:
        raise ValueError("must be greater than 0 and at most 10 (0.6 is 60 % a year)")
    return text


def _ppm(text: str) -> int:
    try:
        return ppm_exact(text)
    except NotANumber as error:
        raise ValueError(str(error)) from None


def _one_each(entries: tuple[str, ...]) -> tuple[str, ...]:
    for entry in entries:
        _volatility(entry.partition("=")[2])
    _distinct(tuple(entry.partition("=")[0] for entry in entries))
    return entries


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"names {', '.join(twice)} twice")
    return names


def _loopback(address: str) -> str:
    host, _, port = address.rpartition(":")
    if address and not (
        (host in ("localhost", "[::1]") or re.fullmatch(r"127(\.[0-9]{1,3}){3}", host))
        and port.isascii()
        and port.isdigit()
        and 0 < int(port) < 65_536
    ):
        raise ValueError("must be an address of this host alone and a port, such as 127.0.0.1:9464")
    return address


def _distinct_ids(ids: tuple[int, ...]) -> tuple[int, ...]:
    _distinct(tuple(str(one) for one in ids))
    strange = [one for one in ids if one <= 0]
    if strange:
        raise ValueError(f"{strange[0]} is no person's id: those are positive, a group's is negative")
    return ids


def _waiver(text: str) -> str:
    if text and (len(text.strip()) < 20 or len(text.split()) < 4):
        raise ValueError("must be a sentence of your own that says that you trade without evidence, and why")
    return text


Money = Annotated[str, AfterValidator(_money)]
Price = Annotated[str, AfterValidator(_price)]
Percent = Annotated[str, AfterValidator(_percent)]
Fraction = Annotated[str, AfterValidator(_fraction)]
Volatility = Annotated[str, AfterValidator(_volatility)]
AssetVolatility = Annotated[str, Field(pattern=r"^(btc|eth|sol|xrp)=[0-9.]+$")]
VolatilityByAsset = Annotated[tuple[AssetVolatility, ...], AfterValidator(_one_each)]
Seconds = Annotated[float, Field(gt=0, le=86_400 * 7)]
Address = Annotated[str, Field(pattern=r"^(0x[0-9a-fA-F]{40})?$")]
FeedId = Annotated[str, Field(pattern=r"^[a-z0-9]+/(spot|twap30|twap60)=0x[0-9a-fA-F]{64}$")]
LoopbackAddress = Annotated[str, AfterValidator(_loopback)]
WebSocketUrl = Annotated[str, Field(pattern=r"^wss?://")]
HttpUrl = Annotated[str, Field(pattern=r"^https?://")]
UserIds = Annotated[tuple[int, ...], AfterValidator(_distinct_ids)]
Waiver = Annotated[str, AfterValidator(_waiver)]
DISTINCT = AfterValidator(_distinct)
"""For a list that names nothing twice."""
