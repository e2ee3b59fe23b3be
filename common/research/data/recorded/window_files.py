"""Recorded windows: official outcomes, Gamma's market objects, a list with strikes and samples beside it.

Where nobody recorded an outcome, it is inferred, and its source says from what.
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from common.research.data.dataset import HISTORY
from common.research.data.float_columns import ms_to_ns, price4, price_e8
from common.research.data.from_tape import e8_of
from common.research.data.market_rows import market_row
from common.research.data.recorded.piece import Beside, Piece, RecordingRefused, frame_of, objects_of
from common.research.data.recorded.price_files import BARS
from common.units import SECOND

GAMMA = frozenset({"conditionId", "slug", "clobTokenIds", "feeSchedule", "endDate"})
LISTED = frozenset({"slug", "condition_id", "up_token", "down_token", "start_ms", "strike_field"})
STRIKES = frozenset({"condition_id", "strike", "final_btc", "outcome", "src"})
SAMPLES = frozenset({"token_id", "ts_ms", "price", "fetched_ms"})
BY_EXCHANGE = frozenset({"slug", "window_start", "token_up", "token_down", "start_price", "end_price"})

_OFFICIAL = {("1", "0"): "up", ("0", "1"): "down", ("0.5", "0.5"): "split"}
_CLEAR4 = 9_000
_NEAR_END_NS = 120 * SECOND


def outcomes(path: Path, _: Beside) -> Piece:
    """Markets with their official strike and outcome."""
    piece = Piece("markets with outcomes")
    for one in objects_of(path, piece.notes):
        tokens, strike = one.get("token_ids") or ["", ""], str(one.get("strike_value") or "")
        raw = one.get("raw") if isinstance(one.get("raw"), dict) else {}
        known: dict[str, object] = {
            "token_up": tokens[0],
            "token_down": tokens[1],
            "strike_e8": e8_of(int(strike)) if strike.isdigit() else None,
            **_terms(raw or {}),
        }
        if not known["strike_e8"]:
            piece.notes["markets without an official strike"] += 1
        outcome = _OFFICIAL.get(tuple(one.get("outcome_prices") or ())) if one.get("resolved") else None
        if outcome is not None:
            known |= {"outcome": outcome, "outcome_source": "official"}
        piece.markets.append(market_row(str(one.get("slug")), **known))
    return piece


def gamma(path: Path, _: Beside) -> Piece:
    """Gamma's market objects: tokens and terms, and the outcome where one was already official."""
    piece = Piece("Gamma market objects")
    for one in objects_of(path, piece.notes):
        row = gamma_row(one)
        if row is None:
            piece.notes["markets skipped: not an Up/Down window"] += 1
        piece.markets.append(row)
    return piece


def gamma_row(market: Mapping[str, Any]) -> dict[str, Any] | None:
    """One of Gamma's objects as a row; None when it is not a window, or its outcomes are not Up and Down."""
    named = "positionIds" if market.get("version") == "v2" else "clobTokenIds"
    tokens, names = _listed(market.get(named)), _listed(market.get("outcomes"))
    if len(tokens) != 2 or sorted(names) != ["Down", "Up"]:
        return None
    by_name = dict(zip(names, tokens, strict=True))
    known: dict[str, object] = {"token_up": by_name["Up"], "token_down": by_name["Down"], **_terms(market)}
    if market.get("closed"):
        prices = dict(zip(names, _listed(market.get("outcomePrices")), strict=False))
        outcome = _OFFICIAL.get((prices.get("Up", ""), prices.get("Down", "")))
        if outcome is not None:
            known |= {"outcome": outcome, "outcome_source": "official"}
    return market_row(str(market.get("slug")), **known)


def listed(path: Path, beside: Beside) -> Piece:
    """A market list; beside it strikes by condition, samples by token, bars of an exchange."""
    piece = Piece("market list with samples")
    frame = frame_of(path)
    conditions: dict[str, float] = {}
    for other in beside(STRIKES):
        for condition, strike in frame_of(other).select("condition_id", "strike").drop_nulls().iter_rows():
            conditions.setdefault(condition, strike)
    rows = frame.with_columns(
        strike=pl.when(pl.col("strike_field") > 0)
        .then("strike_field")
        .otherwise(pl.col("condition_id").replace_strict(conditions, default=None, return_dtype=pl.Float64))
    ).with_columns(strike_e8=price_e8("strike"))
    piece.notes["markets without a recorded strike"] = rows["strike_e8"].null_count()
    tokens = {
        token: (slug, side)
        for slug, up, down in rows.select("slug", "up_token", "down_token").iter_rows()
        for token, side in ((up, "up"), (down, "down"))
    }
    piece.history = pl.concat(
        [
            pl.DataFrame(schema=dict(HISTORY)),
            *(_samples(frame_of(other), tokens) for other in beside(SAMPLES)),
        ]
    )
    bare = rows.height - piece.history["window"].n_unique()
    if bare:
        piece.notes["markets without any sampled price"] = bare
    exchange = [_bars(frame_of(other)) for other in beside(BARS)]
    piece.markets = list(_judged(rows, piece.history, exchange[0] if exchange else {}))
    return piece


def samples(path: Path, beside: Beside) -> Piece:
    """Sampled prices: read with the market list that names their tokens."""
    if not beside(LISTED):
        raise RecordingRefused(f"{path.name} names tokens only; put the market list that has them beside it")
    return Piece("sampled prices, read with their market list")


def strikes(path: Path, beside: Beside) -> Piece:
    """Strikes by condition: read with the market list that names the conditions."""
    if not beside(LISTED):
        raise RecordingRefused(
            f"{path.name} names conditions only; put the market list that has them beside it"
        )
    return Piece("strikes, read with their market list")


def by_exchange(path: Path, _: Beside) -> Piece:
    """Windows whose outcome is known only by an exchange's price, which does not settle them."""
    piece = Piece("windows by exchange price")
    for row in frame_of(path).iter_rows(named=True):
        known: dict[str, object] = {"token_up": row["token_up"], "token_down": row["token_down"]}
        if row["start_price"] and row["end_price"]:
            known |= {
                "outcome": "up" if row["end_price"] >= row["start_price"] else "down",
                "outcome_source": "binance_proxy",
            }
        piece.markets.append(market_row(row["slug"], **known))
    return piece


def _judged(
    rows: pl.DataFrame, history: pl.DataFrame, exchange: Mapping[int, int]
) -> list[dict[str, Any] | None]:
    """Outcome by the next window's open, else by the last sample near the end, else by the exchange."""
    by_start = dict(rows.select("start_ms", "strike_e8").iter_rows())
    last = {
        window: (at_ns, price)
        for window, at_ns, price in history.filter(pl.col("outcome") == "up")
        .sort("at_ns", maintain_order=True)
        .group_by("window", maintain_order=True)
        .agg(pl.col("at_ns").last(), pl.col("price4").last())
        .iter_rows()
    }
    made: list[dict[str, Any] | None] = []
    for row in rows.iter_rows(named=True):
        strike, close = row["strike_e8"], by_start.get(row["end_ms"])
        at_ns, price = last.get(row["slug"], (0, 5_000))
        first, final = exchange.get(row["start_ms"]), exchange.get(row["end_ms"])
        known: dict[str, object] = {
            "token_up": row["up_token"],
            "token_down": row["down_token"],
            "strike_e8": strike,
            "close_e8": close,
        }
        if strike is not None and close is not None:
            known |= {"outcome": _up_if(close >= strike), "outcome_source": "next_open_ge_open"}
        elif at_ns >= row["end_ms"] * 1_000_000 - _NEAR_END_NS and not 10_000 - _CLEAR4 < price < _CLEAR4:
            known |= {"outcome": _up_if(price >= _CLEAR4), "outcome_source": "final_price"}
        elif first is not None and final is not None:
            known |= {"outcome": _up_if(final >= first), "outcome_source": "binance_proxy"}
        made.append(market_row(row["slug"], **known))
    return made


def _up_if(is_up: bool) -> str:
    return "up" if is_up else "down"


def _samples(frame: pl.DataFrame, tokens: Mapping[str, tuple[str, str]]) -> pl.DataFrame:
    named = frame.filter(pl.col("token_id").is_in(list(tokens)))
    window, side = ({token: found[place] for token, found in tokens.items()} for place in (0, 1))
    return named.select(
        window=pl.col("token_id").replace_strict(window, return_dtype=pl.String),
        outcome=pl.col("token_id").replace_strict(side, return_dtype=pl.String),
        at_ns=ms_to_ns("ts_ms"),
        price4=price4("price"),
        sampled_every_ns=pl.lit(60 * SECOND),
    ).drop_nulls("price4")


def _bars(frame: pl.DataFrame) -> dict[int, int]:
    return dict(frame.select("timestamp", price_e8("open")).iter_rows())


def _terms(market: Mapping[str, Any]) -> dict[str, object]:
    """Fee, tick and minimum of a market object, where it has them."""
    found: dict[str, object] = {}
    schedule = market.get("feeSchedule")
    if market.get("feesEnabled") is False:
        found |= {"fee_rate_ppm": 0, "fee_exponent": 1}
    elif isinstance(schedule, dict) and (rate := _scaled(schedule.get("rate"), 1_000_000)) is not None:
        found |= {"fee_rate_ppm": rate, "fee_exponent": int(schedule.get("exponent", 1))}
    if tick := _scaled(market.get("orderPriceMinTickSize"), 10_000):
        found["tick4"] = tick
    if minimum := _scaled(market.get("orderMinSize"), 1_000_000):
        found["min_size6"] = minimum
    return found


def _scaled(value: object, scale: int) -> int | None:
    try:
        return int((Decimal(str(value)) * scale).to_integral_value())
    except (InvalidOperation, ValueError):
        return None


def _listed(value: object) -> list[str]:
    """A list that Gamma writes as text."""
    try:
        return msgspec.json.decode(value, type=list[str]) if isinstance(value, str) else list(value or ())  # type: ignore[call-overload]
    except (msgspec.DecodeError, TypeError):
        return []
