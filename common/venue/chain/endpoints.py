"""The endpoints of one chain: which of them may be asked, and what two of them say alike.

What is read decides about money, so with more than one endpoint configured the first two that are well must
both answer, and agree; one word alone is no answer. One that cannot be used is set aside for a while; it is
not asked the same question again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from common.errors import DependencyMissing
from common.runtime.clock import Clock, SystemClock
from common.venue.chain import rpc, shapes
from common.venue.chain.circuit import Circuit
from common.venue.chain.rpc import RpcRefused
from common.venue.fetch import Unreached, shown_host

T = TypeVar("T")
_ENOUGH = 2


class WrongChain(Unreached):
    """The endpoint is of another chain, so nothing but that was asked."""


class Endpoint:
    """One address: its chain is verified once, and it is left alone for a while when it cannot be used."""

    def __init__(self, url: str, chain_id: int, clock: Clock, request_s: float | None) -> None:
        self.host = shown_host(url)
        self._url = url
        self._chain_id = chain_id
        self._request_s = request_s
        self._circuit = Circuit(clock)
        self._verified = False
        self._verifying = asyncio.Lock()

    @property
    def set_aside(self) -> str:
        """Why it is not asked now, in one sentence; empty when it may be."""
        circuit = self._circuit
        return f"{circuit.problem} (asked again in {circuit.wait_s:.0f} s)" if circuit.is_open else ""

    async def ask(self, method: str, params: list[Any], read: Callable[[Any], T]) -> T:
        """The result of one question, of our chain; raises DependencyMissing, and its kinds say more.

        RpcRefused: it works, and answered with an error. Unreached: the question never got there.
        """
        await self.verify()
        return await self._asked(method, params, read)

    async def verify(self) -> None:
        """Ask for its chain unless that is known to be ours; raises Unreached."""
        async with self._verifying:
            if self._verified:
                return
            try:
                await self._asked("eth_chainId", [], self._our_chain)
            except WrongChain:
                raise
            except DependencyMissing as error:
                raise Unreached(str(error)) from None
            self._verified = True

    def without_keys(self, text: str) -> str:
        """A text of this endpoint in one printable line that shows no part of its address."""
        return rpc.without_keys(text, self._url)

    def _our_chain(self, value: Any) -> None:
        found = shapes.small_quantity(value)
        if found != self._chain_id:
            raise WrongChain(f"{self.host} is chain {found}, not {self._chain_id}: mend venue.chain_rpc_urls")

    async def _asked(self, method: str, params: list[Any], read: Callable[[Any], T]) -> T:
        mark = self._circuit.begin()
        try:
            result = await rpc.ask(self._url, method, params, read, self._request_s)
        except RpcRefused:
            self._circuit.worked(mark)
            raise
        except DependencyMissing as error:
            self._circuit.failed(mark, str(error))
            raise
        self._circuit.worked(mark)
        return result


class Endpoints:
    """All configured endpoints of one chain, in the order they are preferred."""

    def __init__(
        self,
        urls: Sequence[str],
        chain_id: int,
        *,
        clock: Clock | None = None,
        request_s: float | None = None,
    ) -> None:
        """``request_s`` bounds one request; None: the limits of ``common.venue.fetch``, five seconds."""
        clock = clock or SystemClock()
        self.all = tuple(Endpoint(url, chain_id, clock, request_s) for url in urls)
        self._needed = min(_ENOUGH, len(self.all))

    @property
    def healthy(self) -> tuple[Endpoint, ...]:
        """Those that may be asked now."""
        return tuple(one for one in self.all if not one.set_aside)

    async def wrong_chain(self) -> str:
        """Why the chain cannot be asked, in one sentence; empty when all is well.

        Asks also those that are set aside. One of another chain is always named; one that is silent only
        where too few are left.
        """
        told = await asyncio.gather(*(one.verify() for one in self.all), return_exceptions=True)
        problems = [one for one in told if isinstance(one, DependencyMissing)]
        broken = [one for one in told if isinstance(one, BaseException) and one not in problems]
        if broken:
            raise broken[0]
        if len(told) - len(problems) >= self._needed:
            problems = [one for one in problems if isinstance(one, WrongChain)]
        return "; ".join(str(one) for one in problems)

    async def answers(self, question: Callable[[Endpoint], Awaitable[T]]) -> list[tuple[Endpoint, T]]:
        """What as many endpoints say as it takes to decide: two, or one where only one is configured.

        They are asked side by side, another one only in place of one that failed. Raises DependencyMissing
        that names everyone who failed.
        """
        problems = [one.set_aside for one in self.all if one.set_aside]
        waiting = list(self.healthy)
        found: list[tuple[Endpoint, T]] = []
        while waiting and len(found) < self._needed:
            missing = self._needed - len(found)
            now, waiting = waiting[:missing], waiting[missing:]
            for endpoint, (answer, problem) in zip(
                now, await asyncio.gather(*(_told(question(one)) for one in now)), strict=True
            ):
                if answer:
                    found.append((endpoint, answer[0]))
                else:
                    problems.append(problem)
        if len(found) < self._needed:
            alone = "".join(f"; {one.host} answers, and one word alone decides nothing" for one, _ in found)
            raise DependencyMissing("; ".join(problems) + alone)
        return found

    async def agreed(self, question: Callable[[Endpoint], Awaitable[T]]) -> T:
        """The one answer of all who are asked; raises DependencyMissing, also when they disagree."""
        return one_of(await self.answers(question))

    async def decided(self, method: str, params: list[Any], read: Callable[[Any], T]) -> T:
        """``agreed`` about one question."""
        return await self.agreed(lambda endpoint: endpoint.ask(method, params, read))

    async def first(self, question: Callable[[Endpoint], Awaitable[T]]) -> T:
        """What the first that can be used says, for what decides nothing; raises DependencyMissing."""
        problems = [one.set_aside for one in self.all if one.set_aside]
        for endpoint in self.healthy:
            answer, problem = await _told(question(endpoint))
            if answer:
                return answer[0]
            problems.append(problem)
        raise DependencyMissing("; ".join(problems))


def one_of(answers: list[tuple[Endpoint, T]]) -> T:
    """The answer they have in common; raises DependencyMissing that shows each when there is none."""
    values = [value for _, value in answers]
    if any(value != values[0] for value in values):
        each = ", ".join(f"{one.host}: {one.without_keys(_shown(value))}" for one, value in answers)
        raise DependencyMissing(f"the chain's endpoints disagree ({each}); try again or name others")
    return values[0]


async def _told(asking: Awaitable[T]) -> tuple[tuple[T] | None, str]:
    """An answer in a tuple of its own, since an answer may be None; or why there is none."""
    try:
        return (await asking,), ""
    except DependencyMissing as error:
        return None, str(error)


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return rpc.shown(f"0x{value.hex()}")
    return rpc.shown(f"0x{value:x}" if type(value) is int else str(value))
