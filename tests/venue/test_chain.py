"""The chain client against endpoints that lie, break, hang and disagree."""

import asyncio
import gzip
import json
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from common.errors import DependencyMissing
from common.venue import fetch
from common.venue.chain import ChainReader
from tests.venue.rpc_stage import chain, endpoint, response, result, word

TOKEN, OWNER, SPENDER = ("0x" + f"{n:02x}" * 20 for n in (0xC0, 0xAB, 0xE1))
KEY = "s3cretk3y-0123456789"


async def refusal(reader: ChainReader) -> str:
    with pytest.raises(DependencyMissing) as caught:
        await reader.collateral(TOKEN, OWNER)
    return str(caught.value)


async def test_what_is_asked_is_what_the_contracts_understand() -> None:
    async with endpoint(chain(word(2**255 + 7))) as one:
        reader = ChainReader([one.url], 137)
        assert await reader.collateral(TOKEN, OWNER) == 2**255 + 7
        await reader.allowance(TOKEN, OWNER, SPENDER)
        await reader.shares(TOKEN, OWNER, str(10**70))
        expected = [
            ("balanceOf(address)", ["address"], [OWNER]),
            ("allowance(address,address)", ["address", "address"], [OWNER, SPENDER]),
            ("balanceOf(address,uint256)", ["address", "uint256"], [OWNER, 10**70]),
        ]
        calls = [ask["params"] for _, ask in one.heard if ask["method"] == "eth_call"]
        assert calls == [
            [
                {"to": TOKEN, "data": "0x" + (keccak(name.encode())[:4] + encode(kinds, values)).hex()},
                "latest",
            ]
            for name, kinds, values in expected
        ]


@pytest.mark.parametrize(("code", "there"), [("0x", False), ("0x6080", True), ("0x60AB", True)])
async def test_code_is_there_or_not(code: str, there: bool) -> None:
    async with endpoint(chain(code)) as one:
        assert await ChainReader([one.url], 137).has_code(TOKEN) is there


async def test_two_endpoints_must_agree_and_the_disagreement_is_named() -> None:
    async with (
        endpoint(chain(word(5))) as one,
        endpoint(chain(word(6))) as two,
        endpoint(chain(word(5))) as three,
    ):
        text = await refusal(ChainReader([one.url, two.url], 137))
        assert f"disagree (127.0.0.1:{one.port}: 0x5, 127.0.0.1:{two.port}: 0x6)" in text
        assert await ChainReader([one.url, three.url], 137).collateral(TOKEN, OWNER) == 5


async def test_one_word_alone_is_no_answer_where_two_are_configured() -> None:
    async with endpoint(chain(word(0))) as one, endpoint(chain(response(b"{}", "503 No"))) as two:
        text = await refusal(ChainReader([one.url, two.url], 137))
        assert text.startswith(f"127.0.0.1:{two.port} refuses eth_call (HTTP 503)")
        text = await refusal(ChainReader([two.url, one.url], 137))
        assert text.startswith(f"127.0.0.1:{two.port} refuses eth_call (HTTP 503)")


async def test_a_third_endpoint_is_not_asked() -> None:
    async with endpoint(chain(word(5))) as one, endpoint(chain(word(6))) as other:
        assert await ChainReader([one.url, one.url + "/", other.url], 137).collateral(TOKEN, OWNER) == 5
        assert other.heard == []


async def test_an_endpoint_of_another_chain_is_named_and_never_asked_for_money() -> None:
    async with endpoint(chain(word(5), chain_id="0x1")) as one, endpoint(chain(word(5))) as two:
        reader = ChainReader([one.url, two.url], 137)
        problem = f"127.0.0.1:{one.port} is chain 1, not 137: mend venue.chain_rpc_urls"
        assert await reader.wrong_chain() == problem
        alone = f"127.0.0.1:{two.port} answers, and one word alone decides nothing"
        assert await refusal(ChainReader([one.url, two.url], 137)) == f"{problem}; {alone}"
        assert set(one.methods()) == {"eth_chainId"}


async def test_the_chain_is_verified_once_also_when_everything_is_asked_at_once() -> None:
    async with endpoint(chain(word(5))) as one:
        reader = ChainReader([one.url], 137)
        await asyncio.gather(reader.wrong_chain(), *(reader.collateral(TOKEN, OWNER) for _ in range(6)))
        assert one.methods().count("eth_chainId") == 1
        assert len(one.heard) == 7


async def test_an_endpoint_that_comes_back_is_verified_then() -> None:
    ids = ["0x1", "0x89"]

    def say(_path: str, ask: Any) -> Any:
        return result(ids.pop(0) if ask["method"] == "eth_chainId" else word(5), ask)

    async with endpoint(say) as one:
        reader = ChainReader([one.url], 137)
        assert await reader.wrong_chain()
        assert not await reader.wrong_chain()
        assert await reader.collateral(TOKEN, OWNER) == 5


async def test_endpoints_and_questions_are_asked_side_by_side() -> None:
    """Nobody is answered before all eight questions have arrived; one after the other would hang."""
    waiting, everyone = [0], asyncio.Event()

    async def say(_path: str, ask: Any) -> Any:
        if ask["method"] == "eth_chainId":
            return result("0x89", ask)
        waiting[0] += 1
        if waiting[0] == 8:
            everyone.set()
        await everyone.wait()
        return result("0x60", ask)

    async with endpoint(say) as one, endpoint(say) as two, asyncio.timeout(3):
        reader = ChainReader([one.url, two.url], 137)
        assert await asyncio.gather(*(reader.has_code(f"0x{n:040x}") for n in range(4))) == [True] * 4


BROKEN = {
    "cut short": b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\nConnection: close\r\n\r\n{",
    "closed": b"",
    "no http": b"SSH-2.0-x\r\n\r\n",
    "bad gzip": response(b"abcde", "200 OK", "Content-Encoding: gzip"),
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
    "a page": response(b"<html>busy</html>", "503 Busy"),
    "not utf-8": response(b"\xff\xfe\xff"),
    "deep": response(b"[" * 200_000),
    "a list": response(b"[]"),
    "null": response(b"null"),
    "nothing": response(b"{}"),
    "error": response(
        json.dumps({"id": 1, "error": {"code": -32000, "message": "header not found"}}).encode()
    ),
    "odd error": response(b'{"id": 1, "error": 5}'),
    "failed with result": response(b'{"id": 1, "result": "' + word(5).encode() + b'"}', "500 No"),
    "another question": response(b'{"id": 2, "result": "' + word(5).encode() + b'"}'),
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
async def test_a_broken_answer_is_one_sentence_whatever_breaks(raw: bytes) -> None:
    async with endpoint(chain(raw)) as one:
        text = await refusal(ChainReader([one.url], 137))
        assert text.startswith(f"127.0.0.1:{one.port} ")
        assert one.methods() == ["eth_chainId", "eth_call"], "nothing is repeated"
    async with endpoint(lambda _path, _ask: raw) as one:
        assert (await ChainReader([one.url], 137).wrong_chain()).startswith(f"127.0.0.1:{one.port} ")


@pytest.mark.parametrize(
    "value",
    [
        None, True, 5, 5.0, [], "", "0x", "5", "0x5", "-0x5", "0x1_0", word(5)[2:], word(5)[:-1],
        word(5) + "0",
        " " + word(5), word(5) + "\n", "0x" + "zz" * 32, word(5) + word(5)[2:],
    ],
    ids=repr,
)  # fmt: skip
async def test_only_a_whole_word_is_a_number(value: Any) -> None:
    async with endpoint(chain(value)) as one:
        assert "what it cannot be" in await refusal(ChainReader([one.url], 137))


@pytest.mark.parametrize(
    "value", [None, 137, "137", "", "0x", "0x89 ", "89", "0x_89", "0x" + "0" * 64 + "89"]
)
async def test_only_a_quantity_is_a_chain_id(value: Any) -> None:
    async with endpoint(chain(word(5), chain_id=value)) as one:
        assert "eth_chainId" in await refusal(ChainReader([one.url], 137))


@pytest.mark.parametrize("value", [None, 5, "", "6080", "0x608", "0xzz"])
async def test_only_whole_bytes_are_code(value: Any) -> None:
    async with endpoint(chain(value)) as one:
        with pytest.raises(DependencyMissing, match="what it cannot be"):
            await ChainReader([one.url], 137).has_code(TOKEN)


@pytest.mark.parametrize(
    ("user", "where"),
    [
        ("{key}:x@", "/"), ("u:{key}@", "/"), ("", "/v2/{key}"), ("", "/rpc?apikey={key}"),
        ("", "/{key}/x?y=1"),
        ("u:{key}@", "/v2/{key}?apikey={key}"),
    ],
)  # fmt: skip
async def test_a_key_in_the_address_is_never_shown(user: str, where: str) -> None:
    for said in (f"bad key {KEY}", f"{KEY}\x1b[31m{KEY}\n\n{KEY}", {"message": f"no project {KEY}"}):
        answer = response(json.dumps({"id": 1, "error": said}).encode(), "401 No")
        for say in (chain(answer), chain(KEY), lambda _path, _ask, raw=answer: raw):
            async with endpoint(say) as one:
                url = f"http://{user.format(key=KEY)}127.0.0.1:{one.port}{where.format(key=KEY)}"
                text = await refusal(ChainReader([url], 137))
                assert KEY not in text
                assert text.isprintable()
                assert f"127.0.0.1:{one.port}" in text
    dead = f"http://{user.format(key=KEY)}127.0.0.1:{one.port}{where.format(key=KEY)}"
    assert KEY not in await refusal(ChainReader([dead], 137))


@pytest.mark.parametrize("url", ["http://", "http://a..b/", "http://127.0.0.1:99999/", "http://[::1/"])
async def test_an_address_that_is_none_is_a_sentence_too(url: str) -> None:
    assert await refusal(ChainReader([url], 137))


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with endpoint(chain(word(6))) as proxy, endpoint(chain(word(5))) as one:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("no_proxy", "")
        assert await ChainReader([one.url], 137).collateral(TOKEN, OWNER) == 5
        assert proxy.heard == []


async def test_no_redirect_is_followed() -> None:
    async with endpoint(chain(word(5))) as elsewhere:
        moved = response(b"", "307 Moved", f"Location: {elsewhere.url}/")
        async with endpoint(lambda _path, _ask: moved) as one:
            assert "HTTP 307" in await refusal(ChainReader([one.url], 137))
        assert elsewhere.heard == []


async def test_an_answer_without_end_is_cut_off() -> None:
    bomb = response(gzip.compress(b" " * (fetch.MAX_BYTES + 5000)), "200 OK", "Content-Encoding: gzip")
    async with endpoint(chain(bomb)) as one:
        assert f"sent more than {fetch.MAX_BYTES} bytes" in await refusal(ChainReader([one.url], 137))


async def test_one_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "READ_S", 0.1)
    left = asyncio.Event()

    async def say(_path: str, _ask: Any) -> bytes:
        await left.wait()
        return b""

    async with endpoint(say) as one, asyncio.timeout(3):
        assert "does not answer: ReadTimeout" in await refusal(ChainReader([one.url], 137))
        left.set()


async def test_one_that_sends_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "WHOLE_S", 0.1)
    left = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n")
            while True:
                writer.write(b" " * 1024)
                await writer.drain()
                await asyncio.sleep(0.01)
        except ConnectionError:
            writer.close()
            left.set()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with asyncio.timeout(3):
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert "still sending after 0.1 s" in await refusal(ChainReader([url], 137))
        await left.wait()
    server.close()
