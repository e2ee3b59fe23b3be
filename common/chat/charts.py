"""What ``/chart`` sends: the equity, and the window people would ask about, as pictures. Changes nothing."""

import asyncio

from common.chat import answers
from common.chat.pictures import equity_png, equity_points, window_png
from common.chat.reading import NO_EXECUTOR, dollars
from common.core.remote.letters import Letter
from common.core.remote.traces import Traces
from common.runtime.shell import Process


async def charts(process: Process, traces: Traces, chat_id: int) -> list[Letter]:
    """The letters; a picture that cannot be drawn is a line saying why. Raises DependencyMissing."""
    report = await answers.account(process)
    letters = []
    if report is None:
        letters.append(Letter("reply", chat_id, NO_EXECUTOR))
    else:
        points = equity_points(report.positions)
        realized = dollars(report.account.realized_pnl_usd6)
        picture = await asyncio.to_thread(equity_png, points, f"Equity ({report.account.mode})")
        letters.append(Letter("reply", chat_id, f"realized {realized}", picture=picture))
    trace = traces.worth_showing(process.clock.wall_ns())
    if trace is None:
        letters.append(Letter("reply", chat_id, "No window was seen yet."))
    else:
        picture = await asyncio.to_thread(window_png, trace, process.clock.wall_ns())
        letters.append(Letter("reply", chat_id, trace.window, picture=picture))
    return letters
