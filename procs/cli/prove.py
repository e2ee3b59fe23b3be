"""``laggard prove``: the journal against itself, the chain and the venue, to the last unit. Changes nothing.

Reads the journal beside the running executor and the chain by itself; the venue's word comes from the
executor, which alone has the keys.
"""

import asyncio

import click
import msgspec

from common.core.money_proof import ProofLine, WalletFacts, prove, tokens_to_read
from common.core.order_state import Books
from common.errors import DependencyMissing
from common.messages import ReadWallet, Status, StatusReport, WalletReport
from common.runtime.config import Config, load_config
from common.runtime.paths import Paths, make_paths
from common.store.journal_read import read_journal
from common.units import usd6_text
from procs.cli.asking import ask, find_place
from procs.cli.show import add_row, console, print_json, progress, table

TRIES = 3
WALLET_S = 8.0


@click.command(name="prove")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--offline", is_flag=True, help="Prove the books alone; ask neither chain nor venue.")
def prove_money(as_json: bool, offline: bool) -> int:
    """Add everything up against the wallet; exit 1 and name the line when one unit is missing."""
    config = load_config()
    paths = make_paths(config.paths.state_dir, config.paths.run_dir)
    lines, notes = _proven(config, paths, offline=offline or config.mode == "paper")
    wrong = [line for line in lines if line.off]
    if as_json:
        print_json("prove", ok=not wrong, mode=config.mode, lines=msgspec.to_builtins(lines), notes=notes)
    else:
        _print(lines, notes)
    for line in wrong:
        click.echo(f"{line.name} is off by {line.off} millionths: {line.text or line.evidence}", err=True)
    return 1 if wrong else 0


def _proven(config: Config, paths: Paths, *, offline: bool) -> tuple[tuple[ProofLine, ...], list[str]]:
    """The lines, read again when the journal changed while the wallet was looked at."""
    file = paths.journal_file(config.mode)
    for attempt in range(TRIES):
        found = read_journal(file)
        if found is None:
            raise DependencyMissing(f"there is no journal at {file}; laggard up makes one")
        if offline:
            return prove(found.books), []
        wallet, notes = _wallet(config, found.books)
        after = read_journal(file)
        lines = prove(found.books, wallet)
        if after is not None and after.books == found.books and not any(line.off for line in lines):
            return lines, notes
        if attempt < TRIES - 1:
            progress("the account moves or differs; reading again")
    return lines, notes


def _wallet(config: Config, books: Books) -> tuple[WalletFacts, list[str]]:
    """What chain and venue say; what could not be read is a note, and its lines are missing."""
    notes: list[str] = []
    told = _venues_word()
    if told.balance_usd6 is None:
        notes.append(f"the venue's word is missing: {told.text}")
    try:
        collateral, shares = asyncio.run(_chain(config, config.wallet.address or told.address, books))
    except DependencyMissing as problem:
        raise DependencyMissing(
            f"the chain cannot be read: {problem}; --offline proves the books alone"
        ) from None
    return WalletFacts(collateral, told.balance_usd6, shares), notes


def _venues_word() -> WalletReport:
    """The balance by the venue's word, through the executor; one that is away is not waited for long."""
    run_dir = find_place().run_dir
    if not isinstance(ask(run_dir, {"executor": Status()})["executor"], StatusReport):
        return WalletReport(balance_usd6=None, text="the executor, which has the key, does not run")
    outcome = ask(run_dir, {"executor": ReadWallet()}, timeout_s=WALLET_S)["executor"]
    if isinstance(outcome, WalletReport):
        return outcome
    return WalletReport(balance_usd6=None, text=f"the executor does not tell it ({outcome})")


async def _chain(config: Config, address: str, books: Books) -> tuple[int, dict[str, int]]:
    from common.venue.chain import ChainReader
    from common.venue.signing.contracts import COLLATERAL, CONDITIONAL_TOKENS

    if not address:
        raise DependencyMissing("wallet.address is not configured; laggard check names it")
    reader = ChainReader(config.venue.chain_rpc_urls, config.venue.chain_id)
    collateral = await reader.collateral(COLLATERAL, address)
    shares = {
        token: await reader.shares(CONDITIONAL_TOKENS, address, token) for token in tokens_to_read(books)
    }
    return collateral, shares


def _print(lines: tuple[ProofLine, ...], notes: list[str]) -> None:
    made = table("line", ">expected", ">found", ">off", "shown by")
    for line in lines:
        values = [usd6_text(amount, places=6) for amount in (line.expected, line.found, line.off)]
        add_row(made, [line.name, *values, line.evidence])
        if line.text:
            add_row(made, ["", "", "", "", f"-> {line.text}"])
    console().print(made)
    for note in notes:
        click.echo(note)
    if not any(line.off for line in lines):
        click.echo("every unit is accounted for")
