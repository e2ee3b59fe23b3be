"""The chain, read only: balances, allowances and code, from JSON-RPC endpoints that must be on our chain.

What is read decides about money, so with two endpoints configured both must answer, and agree; one word alone
is no answer. Sends no transaction and repeats no request. One question a request, asked side by side: public
endpoints refuse batches. An endpoint's address may carry a key, so only its host is ever shown.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from common.errors import DependencyMissing
from common.venue.fetch import fetch_json, shown_host

_BALANCE_OF = "70a08231"
_ALLOWANCE = "dd62ed3e"
_BALANCE_OF_TOKEN = "00fdd58e"  # noqa: S105 - the selector of balanceOf(address,uint256)
_QUANTITY = re.compile(r"0x[0-9a-f]{1,16}")
_WORD = re.compile(r"0x[0-9a-f]{64}")
_BYTES = re.compile(r"0x(?:[0-9a-f]{2})*")
_SHORTEST_KEY = 6


class ChainReader:
    """Reads of one chain through its configured endpoints; every read raises DependencyMissing."""

    def __init__(self, urls: Sequence[str], chain_id: int) -> None:
        self._urls = tuple(urls[:2])
        self._chain_id = chain_id
        self._verified: set[str] = set()
        self._verifying = {url: asyncio.Lock() for url in self._urls}

    async def collateral(self, token: str, owner: str) -> int:
        """The ERC-20 balance of a wallet in base units."""
        return await self._uint(token, _BALANCE_OF + _word(owner))

    async def allowance(self, token: str, owner: str, spender: str) -> int:
        """What a contract may take of a wallet's ERC-20 balance."""
        return await self._uint(token, _ALLOWANCE + _word(owner) + _word(spender))

    async def shares(self, contract: str, owner: str, token_id: str) -> int:
        """The ERC-1155 balance of one token id."""
        return await self._uint(contract, _BALANCE_OF_TOKEN + _word(owner) + f"{int(token_id):064x}")

    async def has_code(self, address: str) -> bool:
        """Whether there is a contract at this address."""
        return len(await self._decided("eth_getCode", [address, "latest"], _BYTES)) > len("0x")

    async def wrong_chain(self) -> str:
        """Why an endpoint cannot be asked, in one sentence; empty when all of them are on our chain."""
        told = await asyncio.gather(*(self._problem(url) for url in self._urls))
        return "; ".join(text for text in told if text)

    async def _uint(self, contract: str, data: str) -> int:
        call = {"to": contract, "data": "0x" + data}
        return int(await self._decided("eth_call", [call, "latest"], _WORD), 16)

    async def _decided(self, method: str, params: list[Any], shape: re.Pattern[str]) -> str:
        """What every endpoint says; raises DependencyMissing when one says nothing or they disagree."""
        told = await asyncio.gather(*(self._told(url, method, params, shape) for url in self._urls))
        problems = [problem for _, problem in told if problem]
        if problems:
            raise DependencyMissing("; ".join(problems))
        values = [value for value, _ in told]
        if len(set(values)) > 1:
            each = ", ".join(
                f"{shown_host(url)}: {_shown(value)}" for url, value in zip(self._urls, values, strict=True)
            )
            raise DependencyMissing(f"the chain's endpoints disagree ({each}); try again or name others")
        return values[0]

    async def _told(
        self, url: str, method: str, params: list[Any], shape: re.Pattern[str]
    ) -> tuple[str, str]:
        """One endpoint's word and, where there is none, why."""
        problem = await self._problem(url)
        if problem:
            return "", problem
        try:
            return await _ask(url, method, params, shape), ""
        except DependencyMissing as error:
            return "", str(error)

    async def _problem(self, url: str) -> str:
        """Why this endpoint cannot be asked; its chain is asked for until it is known to be ours."""
        async with self._verifying[url]:
            if url in self._verified:
                return ""
            try:
                found = int(await _ask(url, "eth_chainId", [], _QUANTITY), 16)
            except DependencyMissing as error:
                return str(error)
            if found != self._chain_id:
                return f"{shown_host(url)} is chain {found}, not {self._chain_id}: mend venue.chain_rpc_urls"
            self._verified.add(url)
            return ""


async def _ask(url: str, method: str, params: list[Any], shape: re.Pattern[str]) -> str:
    """The result of one question in lower case; raises DependencyMissing when it has not this shape."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    status, document = await fetch_json(url, request)
    host = shown_host(url)
    if not isinstance(document, dict) or status != 200 or "result" not in document:
        said = document.get("error") if isinstance(document, dict) else None
        said = said.get("message") if isinstance(said, dict) else said
        raise DependencyMissing(f"{host} refuses {method} (HTTP {status}): {_without_keys(str(said), url)}")
    if document.get("id") != 1:
        raise DependencyMissing(f"{host} answered another question than {method}")
    result = document["result"]
    if not isinstance(result, str) or not shape.fullmatch(result.lower()):
        shown = _without_keys(_shown(str(result)), url)
        raise DependencyMissing(f"{host} answered {method} with what it cannot be: {shown}")
    return result.lower()


def _word(address: str) -> str:
    return address.removeprefix("0x").lower().rjust(64, "0")


def _shown(value: str) -> str:
    """A number without its leading zeros, anything long cut."""
    short = f"0x{int(value, 16):x}" if _WORD.fullmatch(value) else value
    return short if len(short) <= 40 else f"{short[:40]}..."


def _without_keys(text: str, url: str) -> str:
    """What an endpoint said in one printable line, without what of its address may be a key."""
    parts = urlsplit(url)
    secret = [parts.username, parts.password, *parts.path.split("/")]
    secret += [value for _, value in parse_qsl(parts.query)]
    for each in secret:
        for form in {each, unquote(each)} if each and len(each) >= _SHORTEST_KEY else ():
            text = text.replace(form, "***")
    line = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return line[:120]
