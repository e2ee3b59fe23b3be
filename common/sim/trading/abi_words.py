"""Calls and results of contracts as 32-byte words, and how a contract refuses.

Written out by hand, so that it shares nothing with the encoding of the program under test.
"""

from common.sim.trading.contracts import CONDITIONAL_TOKENS, POSITION_MANAGER

WORD = 32
_ERROR_TEXT = bytes.fromhex("08c379a0")


class CallReverted(Exception):
    """A contract refuses a call: with a text, with the four bytes of an error, or without a word."""

    def __init__(self, text: str = "", selector: str = "") -> None:
        super().__init__(text or selector)
        self.text = text
        self.data = bytes.fromhex(selector)
        if text:
            raw = text.encode()
            padded = raw + bytes(-len(raw) % WORD)
            self.data = _ERROR_TEXT + WORD.to_bytes(WORD, "big") + len(raw).to_bytes(WORD, "big") + padded


def words_of(data: bytes) -> list[int]:
    """The arguments of a call; raises CallReverted when they are no whole words."""
    if len(data) % WORD:
        raise CallReverted
    return [int.from_bytes(data[start : start + WORD]) for start in range(0, len(data), WORD)]


def array(words: list[int], offset: int) -> list[int]:
    """The array whose offset in bytes this is; raises CallReverted when it is not there."""
    start = offset // WORD
    if offset % WORD or start >= len(words) or start + 1 + words[start] > len(words):
        raise CallReverted
    return words[start + 1 : start + 1 + words[start]]


def address(word: int) -> str:
    """The address a word holds, in lower case."""
    return f"0x{word:040x}"


def encoded(*words: int) -> bytes:
    """Words in their order."""
    return b"".join(word.to_bytes(WORD, "big") for word in words)


def hexed(*words: int) -> str:
    """Words in their order, as a result of JSON-RPC."""
    return "0x" + encoded(*words).hex()


def ledger_version(contract: str) -> str:
    """Which markets have their tokens in this contract; empty for none."""
    contracts = {CONDITIONAL_TOKENS.lower(): "v1", POSITION_MANAGER.lower(): "v2"}
    return contracts.get(contract.lower(), "")
