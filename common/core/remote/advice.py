"""What each alarm means for people: what the bot has done already, what they can do, and how it ends.

A table alone. A code that is not in it gets the general advice.
"""

from typing import Literal, NamedTuple

Ending = Literal["told", "process", "posture", "orders", "trades", "never"]
"""``told``: by another alert. ``process``: its process is well again. ``posture``: trading goes on.
``orders``, ``trades``: the account has none of unknown fate, or not final, any more. ``never``: an event."""


class Advice(NamedTuple):
    """What goes with the alarms of one code."""

    did: str
    do: str
    ends: Ending = "told"


GENERAL = Advice("it is in the log and in the status.", "/status shows how things are now.", "never")
_HALTED = "it halted itself: no order leaves until you say so."
_PROVE = "laggard prove names the line that does not add up; /resume when you have looked."

ADVICE: dict[str, Advice] = {
    # Processes; the part after the dot names which.
    "silent": Advice(
        "it is killed and started again; no order is placed on stale data.", "/procs", "process"
    ),
    "fatal": Advice(
        "it is started again after ever longer waits.", "/logs NAME says why it ends.", "process"
    ),
    "crash-loop": Advice(
        "it is stopped, and there are no new orders.",
        "/logs NAME, cure the cause, /start NAME, /resume.",
        "process",
    ),
    "no-sign": Advice(
        "the sentinel restarts what hangs, and leaves alone what somebody stopped; no order is placed on "
        "stale data.",
        "/procs; /start NAME if it was stopped; if all of them are silent, look at the host.",
        "process",
    ),
    "degraded": Advice(
        "it goes on trying, and nothing is decided on stale data.", "/feeds, /logs NAME", "process"
    ),
    "canary": Advice("nothing is decided on what does not arrive.", "/procs, /restart NAME"),
    # The executor halts.
    "ledger-difference": Advice(_HALTED, _PROVE, "posture"),
    "outcome-contradicted": Advice(
        "the window is not settled until the venue's services agree.",
        "compare the window's page with the chain.",
        "never",
    ),
    "resolution-impossible": Advice(_HALTED, _PROVE, "posture"),
    "venue-refuses": Advice(
        _HALTED, "laggard check names what the venue objects to; then /resume.", "posture"
    ),
    "order-fault": Advice("there are no new orders.", "/logs executor; then /resume.", "posture"),
    "trade-contradicted": Advice(_HALTED, "read the transaction; laggard prove; then /resume.", "posture"),
    "trade-after-settlement": Advice(_HALTED, _PROVE, "posture"),
    "sold-beyond-holding": Advice(_HALTED, _PROVE, "posture"),
    "fill-beyond-order": Advice(_HALTED, "compare it with the venue's trades; then /resume.", "posture"),
    # Orders and trades.
    "order-unknown": Advice(
        "that window is left alone and the venue is asked until it is certain; nothing is sent twice.",
        "wait; /orders shows what became of it.",
        "orders",
    ),
    "order-rests": Advice("it is being taken back.", "/orders", "orders"),
    "order-came-back": Advice("its shares were booked.", "/positions; laggard prove.", "never"),
    "order-refused": Advice("the account is checked anew.", "laggard check", "never"),
    "trade-stuck": Advice("its shares count as bought but are not sold.", "wait; /trades", "trades"),
    "trade-failed": Advice(
        "its shares were unbooked; the money is back.", "nothing; /trades shows it.", "never"
    ),
    "foreign-activity": Advice(
        "that window is left alone.", "was it you? If not, change the keys now.", "never"
    ),
    # Windows.
    "strike-disputed": Advice("the first value stays.", "nothing; /window", "never"),
    "strike-contradicted": Advice("that window is not traded.", "/window, /feeds", "never"),
    "outcome-disputed": Advice(
        "the venue's word is booked.", "compare /window with the venue's page.", "never"
    ),
    # Redemption.
    "redemption-short": Advice(
        "what arrived was booked.", "laggard redeem --status; laggard prove.", "never"
    ),
    "redemption-stopped": Advice(
        "nothing more is redeemed.", "look at the wallet's transactions, then /redeem all."
    ),
    "redemption-blocked": Advice(
        "nothing is redeemed; what is won stays won.", "laggard check names the cure."
    ),
    "redemption-late": Advice(
        "the same bytes, or a higher bid for the same nonce, go out.", "wait; /balance"
    ),
    "redemption-missing": Advice("it is not redeemed again.", "look at the wallet's history.", "never"),
    "redemption-refused": Advice("it is tried again after a pause.", "laggard redeem --status", "never"),
    "redeemer-disabled": Advice(
        "what is won stays in the tokens.", "mend what it says, /restart redeemer.", "never"
    ),
    # Recording.
    "metrics-failed": Advice(
        "the figures are not served; all else goes on.", "free the address, then /restart recorder.", "never"
    ),
    "recording-failed": Advice(
        "trading goes on; messages of this time are missing.", "free space on the disk."
    ),
}

ENDED_BY: dict[str, str] = {"recording-resumed": "recording-failed"}
"""Alerts that end an alarm of another name; ``<code>-over`` and the same code as an info end it as well."""


def advice_for(code: str) -> Advice:
    """The advice for a code, looked up by the code itself and by ever shorter beginnings."""
    family = family_of(code)
    return ADVICE.get(family, GENERAL)


def family_of(code: str) -> str:
    """What codes that differ only in whom they concern have in common: ``fatal`` of ``fatal.books``."""
    if code in ADVICE:
        return code
    name = code.partition(".")[0]
    # ``redemption-refused-0x12345678``
    return name.rpartition("-")[0] if name.rpartition("-")[0] in ADVICE else name


def process_of(code: str) -> str:
    """The process whose health decides about an alarm."""
    return code.partition(".")[2]
