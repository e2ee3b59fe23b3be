"""What the relayer's answers mean: taken, declined for a known reason, or unclear.

Unclear is never failed: an action whose answer cannot be read may have been taken and may still happen. Both
dialects of the relayer are read; what is not needed is passed over, what decides is checked. Asks nobody.
"""

import json
import re
from typing import Any, Literal, NamedTuple, cast, get_args

from common.core.redemption.attempts import RelayerState, RelayerWord
from common.errors import DependencyMissing
from common.venue.redeeming.actions import RelayInfo

DeclineKind = Literal["busy", "nonce", "quota", "unauthorised", "blocked", "invalid", "not-sent"]
"""``busy``: an earlier action is under way. ``nonce``: signed for another one than the wallet's next.
``blocked``: a call it does not make. ``not-sent``: no byte left this host."""

QUOTA_WAIT_S = 60.0
"""Where the relayer does not say how long; it takes 25 actions a minute."""
_LONGEST_WAIT_S = 86_400.0
_LONGEST_TEXT = 200
_BUSY = re.compile(r"wallet busy|active action|in-flight action", re.IGNORECASE)
_NONCE = re.compile(r"nonce\s+\d{1,20}\s+does not match on-chain nonce\s+(\d{1,20})", re.IGNORECASE)
_SOME_NONCE = re.compile(r"\bnonce\b", re.IGNORECASE)
_QUOTA = re.compile(r"quota exceeded|rate limit|too many requests", re.IGNORECASE)
_RESETS = re.compile(r"resets in (\d{1,9}) ?s", re.IGNORECASE)
_BLOCKED = re.compile(r"call blocked|not permitted", re.IGNORECASE)
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_NUMBER = re.compile(r"[0-9]{1,78}")
_STATES = {f"STATE_{state.upper()}": state for state in get_args(RelayerState)}
_UNSETTLED = frozenset({408, 425, 499})
"""Client errors that say how the talk ended, not that the request was refused."""


class Submitted(NamedTuple):
    """It was taken."""

    transaction_id: str
    tx_hash: str = ""
    """Mostly empty: the relayer sends it later."""


class Declined(NamedTuple):
    """It was certainly not taken."""

    kind: DeclineKind
    text: str
    chain_nonce: int | None = None
    """The wallet's next nonce, where the relayer tells it."""
    wait_s: float = 0.0
    """How long to leave it alone."""


class Unclear(NamedTuple):
    """It may have been taken."""

    text: str


Verdict = Submitted | Declined | Unclear


class Listed(NamedTuple):
    """One of the key's recent actions, as the relayer lists it."""

    word: RelayerWord
    nonce: int
    data: str
    signature: str

    @property
    def transaction_id(self) -> str:
        """The relayer's name for it."""
        return self.word.transaction_id

    def is_of(self, body: bytes) -> bool:
        """Whether it is the action that was posted with this body.

        Its nonce must be the same, and its signature, or where the relayer shows none its data: by the nonce
        alone another action of the same wallet would pass for ours.
        """
        posted = json.loads(body)
        if str(self.nonce) != posted["nonce"]:
            return False
        if self.signature:
            return self.signature == str(posted["signature"]).lower()
        return bool(self.data) and self.data == str(posted.get("data", "")).lower()


def read_verdict(status: int, body: bytes, retry_after: str | None = None) -> Verdict:
    """What an answer to ``POST /submit`` means."""
    document, text = _document(body), said(body)
    if 200 <= status < 300:
        given = _field(document, "transactionID", "transaction_id")
        if not isinstance(given, str) or not given:
            return Unclear(f"it answered HTTP {status} without naming a transaction: {text}")
        tx_hash = _field(document, "transactionHash", "transaction_hash")
        known = isinstance(tx_hash, str) and _HASH.fullmatch(tx_hash)
        return Submitted(given, str(tx_hash).lower() if known else "")
    if not 400 <= status < 500 or status in _UNSETTLED or not text:
        return Unclear(f"it answered HTTP {status}: {text or 'nothing that can be read'}")
    told = f"HTTP {status}: {text}"
    if status == 429 or _QUOTA.search(text):
        return Declined("quota", told, wait_s=_wait_s(text, retry_after))
    if _BLOCKED.search(text):
        return Declined("blocked", told)
    if status in {401, 403}:
        return Declined("unauthorised", told)
    if _BUSY.search(text):
        return Declined("busy", told)
    if match := _NONCE.search(text):
        return Declined("nonce", told, chain_nonce=int(match[1]))
    return Declined("nonce" if _SOME_NONCE.search(text) else "invalid", told)


def read_word(document: object, transaction_id: str) -> RelayerWord | None:
    """The relayer's word about one action, in either dialect; None for an empty list.

    Raises DependencyMissing for a word about another action, or one that cannot be understood.
    """
    if isinstance(document, list):
        if not document:
            return None
        document = next(
            (each for each in document if _field(each, "transactionID") == transaction_id), document[0]
        )
    word = _word(document)
    if word.transaction_id != transaction_id:
        raise DependencyMissing(
            f"the relayer spoke of {word.transaction_id!r}, asked about {transaction_id}; it is asked again"
        )
    return word


def read_list(document: object) -> tuple[Listed, ...]:
    """The recent actions; those without a nonce, which move no wallet, are left out.

    Raises DependencyMissing for what is no list of actions.
    """
    if not isinstance(document, list):
        raise DependencyMissing("the relayer's list of actions is none; it is asked again")
    found: list[Listed] = []
    for each in document:
        nonce = _field(each, "nonce")
        if nonce is None or nonce == "":
            continue
        data, signature = _field(each, "data"), _field(each, "signature")
        found.append(
            Listed(
                _word(each),
                _number(nonce),
                data.lower() if isinstance(data, str) else "",
                signature.lower() if isinstance(signature, str) else "",
            )
        )
    return tuple(found)


def read_nonce(document: object) -> int:
    """The relayer's word about a next nonce; raises DependencyMissing for what is none."""
    return _number(_field(document, "nonce"))


def read_relay(document: object) -> RelayInfo:
    """Who carries out a proxy's next request; raises DependencyMissing for nobody."""
    address = _field(document, "address")
    if not isinstance(address, str) or not _ADDRESS.fullmatch(address) or not int(address, 16):
        raise DependencyMissing("the relayer names no address that carries out requests; it is asked again")
    return RelayInfo(address, read_nonce(document))


def said(body: bytes) -> str:
    """The reason in an answer in one printable line; empty for a page made for people, and for no text."""
    document = _document(body)
    told: object
    if document is None:
        told = body.decode(errors="replace")
        if "<" in str(told):
            return ""
    else:
        told = _field(document, "error", "message", "errorMsg", "error_msg") or document
    line = " ".join("".join(one if one.isprintable() else " " for one in str(told)).split())
    return line[:_LONGEST_TEXT]


def document_of(status: int, body: bytes) -> object:
    """The JSON of a read; raises DependencyMissing for any other answer."""
    document = _document(body)
    if status != 200 or document is None:
        told = said(body) or "nothing that can be read"
        raise DependencyMissing(f"the relayer answered HTTP {status}: {told}; it is asked again")
    return document


def _word(document: object) -> RelayerWord:
    given = _field(document, "transaction_id", "transactionID")
    state = _field(document, "state")
    tx_hash = _field(document, "transaction_hash", "transactionHash") or ""
    error = _field(document, "error_msg", "errorMsg") or ""
    if not isinstance(given, str) or not given:
        raise DependencyMissing("the relayer spoke of an action without its id; it is asked again")
    if not isinstance(state, str) or state not in _STATES:
        raise DependencyMissing(f"the relayer says {str(state)[:40]!r} of {given}, which is no state known")
    if not isinstance(tx_hash, str) or (tx_hash and not _HASH.fullmatch(tx_hash)):
        raise DependencyMissing(f"the relayer names no transaction hash for {given} but something else")
    return RelayerWord(
        transaction_id=given,
        state=cast(RelayerState, _STATES[state]),
        tx_hash=tx_hash.lower(),
        error=" ".join(str(error).split())[:_LONGEST_TEXT],
    )


def _document(body: bytes) -> Any:
    """The JSON object or list; None for anything else."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict | list) else None


def _field(document: object, *names: str) -> object:
    """The first of these fields that is there."""
    if not isinstance(document, dict):
        return None
    return next((document[name] for name in names if document.get(name) is not None), None)


def _number(value: object) -> int:
    text = str(value) if isinstance(value, int) else value
    if not isinstance(text, str) or not _NUMBER.fullmatch(text):
        raise DependencyMissing(f"the relayer names the nonce {str(value)[:40]!r}, which is no number")
    return int(text)


def _wait_s(text: str, retry_after: str | None) -> float:
    match = _RESETS.search(text)
    told = match[1] if match else retry_after
    if told is None or not re.fullmatch(r"[0-9]{1,9}", told.strip()):
        return QUOTA_WAIT_S
    return min(max(float(told), 1.0), _LONGEST_WAIT_S)
