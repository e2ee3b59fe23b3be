"""How commands say what a tape lacks: the same lines on stderr, or the same fields of the JSON object.

Owns the form. ``common.research.data.tape_gaps`` owns the words and finds what is missing.
"""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from common.research.data.tape_gaps import Gaps
    from common.store.tape import Tear

SHOWN_HOLES = 5


def gap_fields(gaps: "Gaps") -> dict[str, object]:
    """Tears, holes and how many messages those cost."""
    return {
        "missing": gaps.missing,
        "holes": [hole._asdict() for hole in gaps.holes],
        "tears": [tear._asdict() for tear in gaps.tears],
    }


def tell_gaps(gaps: "Gaps") -> None:
    """Name every tear and the first holes; nothing where nothing is known to be missing.

    Not progress: it belongs to the result, so that ``--quiet`` does not hide it.
    """
    from common.research.data.tape_gaps import hole_place, hole_size

    tell_tears(gaps.tears)
    for hole in gaps.holes[:SHOWN_HOLES]:
        click.echo(f"hole: {hole_place(hole)}, {hole_size(hole)}", err=True)
    if len(gaps.holes) > SHOWN_HOLES:
        more = len(gaps.holes) - SHOWN_HOLES
        click.echo(f"and {more} more holes, {gaps.missing} messages missing in all; --json has all", err=True)


def tell_tears(tears: "tuple[Tear, ...]") -> None:
    """Name every torn segment."""
    from common.research.data.tape_gaps import tear_text

    for tear in tears:
        click.echo(tear_text(tear), err=True)
