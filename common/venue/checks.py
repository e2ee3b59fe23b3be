"""The start-up checks: what has to be true before real money moves, each in one line with the one fix.

Every check looks at one thing and changes nothing. One that cannot be answered has failed: with real money
what is not known is not well. What only selling needs stops no buying, and is skipped then.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from common.core.matching import worst_case_usd6
from common.errors import LaggardError
from common.messages import CheckResult, ChecksReport, CheckState, MarketState
from common.runtime.clock import Clock
from common.runtime.config import Config
from common.units import SECOND, price4_exact, usd6_exact, usd6_text
from common.venue.chain import ChainReader
from common.venue.fetch import fetch_json, shown_host
from common.venue.signing.contracts import (
    COLLATERAL,
    CONDITIONAL_TOKENS,
    EXCHANGES,
    POSITION_MANAGER,
)

ONE_CHECK_S = 5.0
WARN_OFFSET_NS = SECOND
REFUSE_OFFSET_NS = 5 * SECOND
LITTLE_SPACE = 1 << 30
NO_SPACE = 100 << 20
NO_WINDOW = "no window is listed at present"
SELLING = "approval to sell"
"""The one check that never fails: without what it looks for everything but a sale works."""
TOKEN_LEDGERS = {"v1": CONDITIONAL_TOKENS, "v2": POSITION_MANAGER}
"""By the version of a market, the contract whose tokens its exchange takes from a seller."""

Found = tuple[CheckState, str, str]
"""State, what was found, and what mends it."""


@dataclass(frozen=True, slots=True)
class CheckContext:
    """What the checks look at; the callables give one sentence, or raise LaggardError with the reason."""

    config: Config
    clock: Clock
    state_dir: Path
    signer: str
    address: str
    key_source: str
    markets: tuple[MarketState, ...]
    balance: Callable[[], Awaitable[tuple[int, dict[str, int]]]]
    closed_only: Callable[[], Awaitable[bool]]
    book: Callable[[], Awaitable[str]]
    user_channel: Callable[[], Awaitable[str]]
    journal: Callable[[], Awaitable[str]]


async def run_checks(context: CheckContext, *, skip: Collection[str] = (), because: str = "") -> ChecksReport:
    """Run all checks at once, each for at most five seconds; what is skipped asks nobody."""
    chain = ChainReader(context.config.venue.chain_rpc_urls, context.config.venue.chain_id)
    checks: tuple[tuple[str, Callable[[], Awaitable[Found]]], ...] = (
        ("key", partial(_key, context)),
        ("chain", partial(_chain, chain)),
        ("contracts", partial(_contracts, chain, context)),
        ("balance", partial(_balance, chain, context)),
        ("allowance", partial(_allowances, chain, context)),
        (SELLING, partial(_may_sell, chain, context)),
        ("api key", partial(_api_key, context)),
        ("standing", partial(_standing, context)),
        ("clock", partial(_clock, context)),
        ("region", partial(_region, context)),
        ("order version", partial(_order_version, context)),
        ("book", partial(_book, context)),
        ("user channel", partial(_told, context.user_channel, "see venue.clob_user_ws_url and the API key")),
        ("journal", partial(_told, context.journal, "keep the journal as it is and look into it first")),
        ("disk", partial(_disk, context)),
    )
    asked = [(name, check) for name, check in checks if name not in skip]
    found = await asyncio.gather(*(_bounded(name, check) for name, check in asked))
    by_name = {one.name: one for one in found}
    results = tuple(by_name.get(name) or CheckResult(name, "skipped", because) for name, _ in checks)
    return ChecksReport(at_ns=context.clock.wall_ns(), results=results)


def failures(results: Iterable[CheckResult]) -> str:
    """Why no new orders may begin, in one line; empty when nothing failed."""
    return "; ".join(f"{one.name}: {one.text}" for one in results if one.state == "failed")


def sale_trouble(results: Iterable[CheckResult]) -> str:
    """Why sales would be refused and what mends it, in one line; empty when nothing is known against them."""
    warned = [one for one in results if one.name == SELLING and one.state == "warning"]
    return "; ".join(f"{one.text}; {one.fix}" for one in warned)


async def _bounded(name: str, check: Callable[[], Awaitable[Found]]) -> CheckResult:
    try:
        async with asyncio.timeout(ONE_CHECK_S):
            state, text, fix = await check()
    except TimeoutError:
        state, text, fix = (
            "failed",
            f"no answer within {ONE_CHECK_S:g} s",
            "see the network; it is asked again",
        )
    except LaggardError as error:
        state, text, fix = "failed", str(error), "mend what is named; it is asked again"
    except Exception as error:  # noqa: BLE001 - a check that breaks has failed; it must not end the executor
        # Only the kind of error: its text is nobody's sentence, and may quote what was asked.
        state, text, fix = (
            "failed",
            f"the check broke off: {type(error).__name__}",
            "report this; asked again",
        )
    if state == "failed" and name == SELLING:
        state = "skipped"
    return CheckResult(name, state, text, "" if state == "ok" else fix)


async def _told(ask: Callable[[], Awaitable[str]], fix: str) -> Found:
    try:
        return "ok", await ask(), ""
    except LaggardError as error:
        return "failed", str(error), fix


NO_BOOK = "the venue sends no books: see venue.clob_ws_url"


async def _book(context: CheckContext) -> Found:
    state, text, fix = await _told(context.book, NO_BOOK)
    if state == "failed" and not context.markets:
        # It got no further than the list of markets, which is asked for elsewhere.
        return state, text, "the venue lists no windows: see venue.gamma_url and the network"
    if state == "failed" or context.markets:
        return state, text, fix
    # Between two windows there may be none; for longer, nobody looks for what the venue lists.
    markets = context.config.markets
    asked_for = f"markets.cadence ({markets.cadence}) and markets.assets ({', '.join(markets.assets)})"
    return "warning", text, f"windows come by {asked_for}: correct them if none is listed for long"


async def _key(context: CheckContext) -> Found:
    wallet = context.config.wallet
    key = "session key" if wallet.session_key else "key"
    text = (
        f"{key} {context.signer} signs for the {wallet.kind} wallet {context.address} ({context.key_source})"
    )
    return "ok", text, ""


async def _chain(chain: ChainReader) -> Found:
    wrong = await chain.wrong_chain()
    return (
        ("failed", wrong, "name endpoints of the chain in venue.chain_rpc_urls")
        if wrong
        else (
            "ok",
            "every endpoint is on our chain",
            "",
        )
    )


async def _contracts(chain: ChainReader, context: CheckContext) -> Found:
    wanted = {"collateral": COLLATERAL, "conditional tokens": CONDITIONAL_TOKENS}
    wanted |= {f"exchange of {version}": EXCHANGES[version].address for version in _versions(context)}
    if context.config.wallet.kind != "eoa":
        wanted["wallet"] = context.address
    there = await asyncio.gather(*(chain.has_code(address) for address in wanted.values()))
    missing = [name for name, has_code in zip(wanted, there, strict=True) if not has_code]
    if missing:
        fix = "a wallet is deployed by its first use on the venue's site" if missing == ["wallet"] else ""
        return "failed", f"no contract at the address of: {', '.join(missing)}", fix or "update laggard"
    return "ok", f"{len(wanted)} contracts are where they should be", ""


async def _balance(chain: ChainReader, context: CheckContext) -> Found:
    on_chain = await chain.collateral(COLLATERAL, context.address)
    at_venue, _ = await context.balance()
    needed = _one_stake_usd6(context)
    # To the last unit: two amounts that differ must not look alike.
    chain_text, venue_text, needed_text = (usd6_text(one, places=6) for one in (on_chain, at_venue, needed))
    text = f"{chain_text} $ on the chain, {venue_text} $ by the venue's word"
    if min(on_chain, at_venue) < needed:
        problem = f"{text}; one stake with its fee is up to {needed_text} $"
        return "failed", problem, f"send collateral to {context.address}"
    if on_chain != at_venue:
        return "warning", text, "the venue's copy may lag; laggard prove compares to the last unit"
    return "ok", text, ""


async def _allowances(chain: ChainReader, context: CheckContext) -> Found:
    needed = _one_stake_usd6(context)
    lacking = []
    for version in _versions(context):
        spender = EXCHANGES[version].address
        if await chain.allowance(COLLATERAL, context.address, spender) < needed:
            lacking.append(f"{version} ({spender})")
    if lacking:
        return (
            "failed",
            f"the exchange may not take one stake of collateral: {', '.join(lacking)}",
            "approve it once on the venue's site, for this contract only",
        )
    return "ok", f"the exchanges of {', '.join(_versions(context))} may take collateral", ""


async def _may_sell(chain: ChainReader, context: CheckContext) -> Found:
    """Whether each exchange is an operator of the wallet's tokens: a sale needs it, a purchase does not.

    Source for v1: the venue's documentation. For v2 there is none; its official client gives the exchange
    this approval on the newer ledger, and no sale there has been seen.
    """

    async def ask(version: str) -> bool | LaggardError:
        exchange = EXCHANGES[version].address
        try:
            return await chain.is_operator(TOKEN_LEDGERS[version], context.address, exchange)
        except LaggardError as error:
            return error

    versions = _versions(context)
    told = dict(zip(versions, await asyncio.gather(*map(ask, versions)), strict=True))
    unproven = "; of v2 only the venue's client says that this is enough" if "v2" in versions else ""
    lacking = [
        f"{one} ({EXCHANGES[one].address} on {TOKEN_LEDGERS[one]})" for one in told if told[one] is False
    ]
    if lacking:
        text = f"flatten would be refused: the exchange may not take outcome tokens: {', '.join(lacking)}"
        fix = "buying works without; to sell, approve it once on the venue's site (setApprovalForAll)"
        return "warning", text + unproven, fix
    unknown = [f"{version}: {why}" for version, why in told.items() if isinstance(why, LaggardError)]
    if unknown:
        return "skipped", f"the chain does not say it of {'; '.join(unknown)}", "buying works without"
    return "ok", f"the exchanges of {', '.join(versions)} may take outcome tokens{unproven}", ""


async def _api_key(context: CheckContext) -> Found:
    await context.balance()
    return "ok", "the venue answers signed requests", ""


async def _standing(context: CheckContext) -> Found:
    if await context.closed_only():
        return "failed", "the venue lets this account close positions only", "ask the venue why"
    return "ok", "the account may open positions", ""


async def _clock(context: CheckContext) -> Found:
    before_ns = context.clock.wall_ns()
    told = await _get(f"{context.config.venue.clob_url.rstrip('/')}/time")
    after_ns = context.clock.wall_ns()
    if isinstance(told, bool) or not isinstance(told, int):
        return "failed", "the venue does not tell the time", "see venue.clob_url"
    # Whole seconds: the venue's clock was anywhere in that second while the answer was on its way.
    low_ns, high_ns = told * SECOND - after_ns, (told + 1) * SECOND - before_ns
    off_ns = max(low_ns, -high_ns, 0)
    far = f"{off_ns / SECOND:.1f} s off" if off_ns else "within a second of"
    text = f"this host's clock is {far} the venue's"
    if off_ns >= REFUSE_OFFSET_NS:
        return "failed", text, "set the clock (timedatectl set-ntp true)"
    if off_ns >= WARN_OFFSET_NS:
        return "warning", text, "set the clock (timedatectl set-ntp true)"
    return "ok", text, ""


async def _region(context: CheckContext) -> Found:
    """Trade only on an explicit ``blocked: false`` for the address this host sends from."""
    told = await _get(context.config.venue.geoblock_url)
    blocked = told.get("blocked") if isinstance(told, dict) else None
    place = (
        ", ".join(str(told[name])[:20] for name in ("country", "region") if told.get(name))
        if isinstance(told, dict)
        else ""
    )
    if blocked is False:
        return "ok", f"the venue trades with this place ({place or 'unnamed'})", ""
    if blocked is True:
        return "failed", f"the venue does not trade with this place ({place})", "there is no way around this"
    return "failed", "the venue does not say whether it trades with this place", "it is asked again"


async def _order_version(context: CheckContext) -> Found:
    odd = sorted({m.version for m in context.markets if m.version not in EXCHANGES})
    if odd:
        text = f"markets of version {', '.join(odd)} are left alone"
        return "warning", text, "update laggard; other markets are traded"
    return "ok", f"markets of {', '.join(_versions(context))} can be signed for", ""


async def _disk(context: CheckContext) -> Found:
    free = shutil.disk_usage(context.state_dir).free
    text = f"{free >> 20} MiB free for journal and tapes"
    if free < NO_SPACE:
        return "failed", text, f"free space in {context.state_dir}"
    return (
        ("warning", text, f"free space in {context.state_dir}") if free < LITTLE_SPACE else ("ok", text, "")
    )


def _versions(context: CheckContext) -> tuple[str, ...]:
    """Versions of the markets at hand: what is not traded needs no allowance."""
    found = {market.version for market in context.markets if market.version in EXCHANGES}
    return tuple(sorted(found)) or ("v1",)


def _one_stake_usd6(context: CheckContext) -> int:
    """What one order can cost, its fee included, where it costs most: the venue wants both at hand."""
    strategy = context.config.strategy
    stake, limit = usd6_exact(strategy.stake_usd), price4_exact(strategy.max_price)
    return max((worst_case_usd6(stake, limit, market.fee) for market in context.markets), default=stake)


async def _get(url: str) -> Any:
    """The JSON at an address; raises DependencyMissing in one line."""
    status, document = await fetch_json(url)
    if status != 200:
        raise LaggardError(f"{shown_host(url)} answered HTTP {status}")
    return document
