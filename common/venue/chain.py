"""The chain, read only: balances, allowances and code, from JSON-RPC endpoints that must be on our chain.

What decides is asked of two endpoints where two are configured, and they must agree. Sends no transaction,
repeats no request; an endpoint's address may carry a key, so only its host is ever shown.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import requests

from common.errors import DependencyMissing

CALL_S = (3.0, 5.0)
MAX_BYTES = 1 << 20
_BALANCE_OF = "70a08231"
_ALLOWANCE = "dd62ed3e"
_BALANCE_OF_TOKEN = "00fdd58e"  # noqa: S105 - the selector of balanceOf(address,uint256)


class ChainReader:
    """Reads of one chain through its configured endpoints."""

    def __init__(self, urls: Sequence[str], chain_id: int) -> None:
        self._urls = tuple(urls[:2])
        self._chain_id = chain_id
        self._verified: set[str] = set()

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
        code = await self._decided("eth_getCode", [address, "latest"])
        return isinstance(code, str) and len(code) > 2

    async def wrong_chain(self) -> str:
        """Why an endpoint must not be asked, in one sentence; empty when all of them are on our chain."""
        said = [await self._verify(url) for url in self._urls]
        return "; ".join(text for text in said if text)

    async def _uint(self, contract: str, data: str) -> int:
        raw = await self._decided("eth_call", [{"to": contract, "data": "0x" + data}, "latest"])
        try:
            return int(str(raw), 16)
        except ValueError:
            raise DependencyMissing(f"{contract} answered no number: {str(raw)[:40]!r}") from None

    async def _decided(self, method: str, params: list[Any]) -> Any:
        """One answer from all endpoints asked; one that does not answer is outvoted by one that does."""
        answers: dict[str, Any] = {}
        problems = []
        for url in self._urls:
            try:
                wrong = await self._verify(url)
                if not wrong:
                    answers[_host(url)] = await asyncio.to_thread(_ask, url, method, params)
            except DependencyMissing as problem:
                wrong = str(problem)
            if wrong:
                problems.append(wrong)
        if not answers:
            raise DependencyMissing("; ".join(problems))
        values = list(answers.values())
        if any(value != values[0] for value in values):
            told = ", ".join(f"{host}: {str(value)[:40]}" for host, value in answers.items())
            raise DependencyMissing(f"the chain's endpoints disagree ({told}); try again or name others")
        return values[0]

    async def _verify(self, url: str) -> str:
        if url in self._verified:
            return ""
        raw = await asyncio.to_thread(_ask, url, "eth_chainId", [])
        try:
            found = int(str(raw), 16)
        except ValueError:
            return f"{_host(url)} does not tell its chain"
        if found != self._chain_id:
            return f"{_host(url)} is chain {found}, not {self._chain_id}: mend venue.chain_rpc_urls"
        self._verified.add(url)
        return ""


def _ask(url: str, method: str, params: list[Any]) -> Any:
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    try:
        with requests.post(url, json=request, timeout=CALL_S, allow_redirects=False, stream=True) as answer:
            raw = answer.raw.read(MAX_BYTES, decode_content=True)
            document = json.loads(raw)
    except (requests.RequestException, OSError) as error:
        raise DependencyMissing(f"{_host(url)} does not answer: {type(error).__name__}") from None
    except ValueError:
        raise DependencyMissing(f"{_host(url)} answered HTTP {answer.status_code} and no JSON") from None
    if not isinstance(document, dict) or "result" not in document:
        said = document.get("error") if isinstance(document, dict) else None
        said = said.get("message") if isinstance(said, dict) else said
        raise DependencyMissing(f"{_host(url)} refuses {method}: {str(said)[:120]}")
    return document["result"]


def _word(address: str) -> str:
    return address.removeprefix("0x").lower().rjust(64, "0")


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]
