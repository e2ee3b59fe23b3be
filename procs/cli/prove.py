"""``laggard prove``: the journal against itself, the chain and the venue, to the last unit. Changes nothing.

Reads the journal beside the running executor and the chain by itself; the venue's word comes from the
executor, which has the keys of the account.
"""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from common.core.money_proof import Proof, WalletFacts, prove, tokens_to_read
from common.core.order_state import (
    Books,
)
from common.core.order_trades import provisional
from common.errors import DependencyMissing
from common.messages import ReadWallet, Status, StatusReport, WalletReport
from common.runtime.paths import Paths
from common.store.journal_read import read_journal
from common.units import usd6_text
from procs.cli.asking import ask
from procs.cli.configuration import configured
from procs.cli.show import add_row, console, print_json, progress, table

if TYPE_CHECKING:
    from common.runtime.config import Config

TRIES = 3
PAUSE_S = 2.0
"""A block of the chain: what was under way may have arrived by then."""
ANSWER_S = 1.0
WALLET_S = 8.0
"""The executor asks the venue before it answers this."""


@click.command(name="prove")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--offline", is_flag=True, help="Prove the books alone; ask neither chain nor venue.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML file; otherwise that of the running processes, LAGGARD_CONFIG or the user's.",
)
def prove_money(as_json: bool, offline: bool, config_file: Path | None) -> int:
    """Add everything up against the wallet; exit 1 and name the line when one unit is missing."""
    config, paths = configured(config_file)
    offline = offline or config.mode == "paper"
    proof, notes = _proven(config, paths, offline=offline)
    if as_json:
        print_json(
            "prove",
            ok=proof.ok,
            mode=config.mode,
            difference_usd6=proof.difference_usd6,
            lines=msgspec.to_builtins(proof.lines),
            notes=notes,
        )
    else:
        _print(proof, notes, offline=offline)
    for line in proof.wrong:
        click.echo(f"{line.name} is off by {line.off} millionths: {line.text}", err=True)
    return 0 if proof.ok else 1


def _proven(config: "Config", paths: Paths, *, offline: bool) -> tuple[Proof, list[str]]:
    """The proof, made again while the journal changes under it or something is still under way."""
    file = paths.journal_file(config.mode)
    attempt = 1
    while True:
        books = _books(file)
        if offline:
            return prove(books), []
        wallet, notes = _wallet(config, paths, books)
        proof = prove(books, wallet)
        moved = _books(file) != books
        if not moved and (proof.ok or _at_rest(books)):
            return proof, notes
        if attempt == TRIES:
            if moved:
                notes.append(f"the account moved during each of {TRIES} proofs; this is the last of them")
            return proof, notes
        progress("the account moves; reading again")
        attempt += 1
        time.sleep(PAUSE_S)


def _books(file: Path) -> Books:
    found = read_journal(file)
    if found is None:
        raise DependencyMissing(f"there is no journal at {file}, or nothing in it yet; laggard up begins one")
    return found.books


def _at_rest(books: Books) -> bool:
    """No order is open and the chain has decided every trade: reading again would show the same."""
    return not provisional(books) and not any(
        order.state.status == "working" for order in books.orders.values()
    )


def _wallet(config: "Config", paths: Paths, books: Books) -> tuple[WalletFacts, list[str]]:
    """What chain and venue say; what could not be read is a note, and its lines are missing."""
    notes: list[str] = []
    told = _venues_word(paths.run_dir)
    if told.balance_usd6 is None:
        notes.append(f"the venue's word is missing: {told.text}")
    try:
        collateral, shares = asyncio.run(_chain(config, config.wallet.address or told.address, books))
    except DependencyMissing as problem:
        raise DependencyMissing(
            f"the chain cannot be read: {problem}; --offline proves the books alone"
        ) from None
    return WalletFacts(collateral, told.balance_usd6, shares), notes


def _venues_word(run_dir: Path) -> WalletReport:
    """The balance by the venue's word, through the executor; one that is away is not waited for long."""
    if not isinstance(ask(run_dir, {"executor": Status()}, timeout_s=ANSWER_S)["executor"], StatusReport):
        return WalletReport(balance_usd6=None, text="the executor, which has the key, does not run")
    outcome = ask(run_dir, {"executor": ReadWallet()}, timeout_s=WALLET_S)["executor"]
    if isinstance(outcome, WalletReport):
        return outcome
    return WalletReport(balance_usd6=None, text=f"the executor does not tell it ({outcome})")


async def _chain(config: "Config", address: str, books: Books) -> tuple[int, dict[str, int]]:
    from common.venue.chain import ChainReader
    from common.venue.signing.contracts import COLLATERAL
    from common.venue.token_contract import token_contract

    if not address:
        raise DependencyMissing("wallet.address is not configured; laggard check names it")
    reader = ChainReader(config.venue.chain_rpc_urls, config.venue.chain_id)
    collateral = await reader.collateral(COLLATERAL, address)
    tokens = tokens_to_read(books)
    shares = await asyncio.gather(*(reader.shares(token_contract(token), address, token) for token in tokens))
    return collateral, dict(zip(tokens, shares, strict=True))


def _print(proof: Proof, notes: list[str], *, offline: bool) -> None:
    made = table("line", ">expected", ">found", ">off", "shown by")
    for line in proof.lines:
        values = [usd6_text(amount, places=6) for amount in (line.expected, line.found, line.off)]
        add_row(made, [line.name, *values, line.evidence])
        if line.text:
            add_row(made, ["", "", "", "", f"-> {line.text}"])
    console().print(made)
    for note in notes:
        click.echo(note)
    if proof.ok:
        click.echo("the books add up; no wallet was asked" if offline else "every unit is accounted for")
