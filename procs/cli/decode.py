"""``laggard decode``: what recorded frames say, or why they are refused. Reads files; asks nobody.

Every line is answered: a message, a frame without one, or a named refusal. Refusals are results, no failures.
"""

import json
from collections import Counter
from typing import get_args

import click

from procs.cli.recorded_lines import Source, read_text
from procs.cli.show import print_json


@click.command()
@click.argument("source", type=click.Choice(get_args(Source)))
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def decode(source: Source, file: str, as_json: bool) -> int:
    """Decode recorded frames of SOURCE in FILE, and say which are refused and why.

    FILE holds one frame a line, plain or gzip, bare or in a recorder's wrapper, or is one JSON document; "-"
    reads standard input. Lines of another source are counted, not decoded. Exits 1 only when FILE cannot be
    read.
    """
    from procs.cli.decoded_frames import rows

    text = read_text(file)
    counts: Counter[str] = Counter()
    kept: list[dict[str, object]] = []
    for row in rows(source, text, counts):
        if as_json:
            kept.append({"line": row.line, "kind": row.kind, **_sayable(row.fields)})
        else:
            # Frames are strangers' text: nothing in them may steer a terminal.
            shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in row.text)
            click.echo(f"{row.line}: {shown}")
    if as_json:
        print_json("decode", source=source, lines=kept, counts=dict(sorted(counts.items())))
    else:
        click.echo(", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "no lines")
    return 0


def _sayable(fields: dict[str, object]) -> dict[str, object]:
    """The same without half characters, which no JSON text may hold."""
    text = json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace")
    same: dict[str, object] = json.loads(text)
    return same
