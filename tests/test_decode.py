"""Encoded bodies as a client's user sees them: read, streamed, damaged, absent; what goes to a thread; what a cancelled one leaves."""

from __future__ import annotations

import asyncio
import gc
import gzip
import random
import sys
import zlib
from collections.abc import AsyncIterator, Callable

import brotli
import pytest
from bombs import MIB, bomb

import aioreq
from aioreq import Client, Response, StreamResponse
from aioreq.encodings import WholeBody, accept_encoding
from aioreq.middlewares import MiddleWare, default_middlewares
from aioreq.testing import Reply, Server

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Served = tuple[Server, Client]

TEXT = "Jarní déšť, 春雨. ".encode() * 500
ENCODE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
    "gzip, br": lambda data: brotli.compress(gzip.compress(data)),
    "identity": bytes,
    "GZIP": gzip.compress,
}
every_coding = pytest.mark.parametrize("coding", list(ENCODE))
ways = pytest.mark.parametrize("stream", [False, True], ids=["read", "streamed"])


def encoded(coding: str, body: bytes, status: int = 200, **options: object) -> Reply:
    return Reply(status, [("Content-Encoding", coding)], body, **options)  # type: ignore[arg-type]


async def content(client: Client, url: str, stream: bool = False, method: str = "GET") -> bytes:
    if not stream:
        return (await client.request(method, url)).content
    async with client.stream(method, url) as response:
        return b"".join([piece async for piece in response.content])


# --- what comes out ---


@every_coding
@ways
async def test_a_body_decoded(served: Served, coding: str, stream: bool) -> None:
    server, client = served
    body = ENCODE[coding](TEXT)
    server.route("/whole", encoded(coding, body))
    server.route("/close", encoded(coding, body, framing="close"))

    async def slowly() -> AsyncIterator[bytes]:
        for i in range(0, len(body), 7):
            yield body[i : i + 7]
            await asyncio.sleep(0)

    server.route("/slow", lambda request: Reply(200, [("Content-Encoding", coding)], slowly()))
    for path in ("/whole", "/close", "/slow"):
        assert await content(client, server.url + path, stream) == TEXT


async def test_the_head_tells_how_it_came(served: Served) -> None:
    server, client = served
    body = gzip.compress(TEXT)
    server.route("/", encoded("gzip", body))
    response = await client.get(server.url)
    assert response.content == TEXT
    assert response.headers["Content-Encoding"] == "gzip"
    assert response.headers["Content-Length"] == str(len(body))


@ways
async def test_several_fields_are_one_list(served: Served, stream: bool) -> None:
    server, client = served
    fields = [("Content-Encoding", "gzip"), ("Content-Type", "text/plain"), ("content-encoding", "br")]
    server.route("/", Reply(200, fields, ENCODE["gzip, br"](TEXT)))
    assert await content(client, server.url, stream) == TEXT


@pytest.mark.parametrize("coding", ["compress", "gzip, aws-chunked", "none", "utf-8", ""])
@ways
async def test_an_unknown_coding_leaves_the_bytes(served: Served, coding: str, stream: bool) -> None:
    server, client = served
    server.route("/", encoded(coding, b"as it is"))
    assert await content(client, server.url, stream) == b"as it is"


@ways
async def test_a_range_is_one_of_the_encoded_bytes(served: Served, stream: bool) -> None:
    server, client = served
    body = gzip.compress(TEXT)
    fields = [("Content-Encoding", "gzip"), ("Content-Range", f"bytes 5-24/{len(body)}")]
    server.route("/", Reply(206, fields, body[5:25]))
    assert await content(client, server.url, stream) == body[5:25]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "gzip, gzip, gzip"])
@ways
async def test_no_body_is_no_damage(served: Served, coding: str, stream: bool) -> None:
    server, client = served
    server.route("/head", Reply(200, [("Content-Encoding", coding), ("Content-Length", "999")]), methods=["HEAD"])
    for status in (204, 304):
        server.route(f"/{status}", encoded(coding, b"", status))
    assert await content(client, server.url + "/head", stream, "HEAD") == b""
    assert await content(client, server.url + "/204", stream) == b""
    assert await content(client, server.url + "/304", stream) == b""
    if coding.count(",") < 2:
        for framing in ("length", "chunked", "close"):
            server.route(f"/{framing}", encoded(coding, b"", framing=framing))
            assert await content(client, f"{server.url}/{framing}", stream) == b""


# --- what is asked for ---


async def test_what_is_installed_is_asked_for(server: Server) -> None:
    async with Client() as client:
        for headers in (None, {"Accept-Encoding": "identity"}, {"accept-encoding": None}):
            await client.get(server.url + "/get", headers=headers)
    async with Client(middlewares=[link for link in default_middlewares if link != "DecodeMiddleWare"]) as bare:
        await bare.get(server.url + "/get")
        assert (await bare.get(server.url + "/gzip")).content[:2] == b"\x1f\x8b"
    sent = [request.header("accept-encoding") for request in server.requests]
    assert sent == [accept_encoding(), "identity", None, None, None]
    assert accept_encoding() == "gzip, deflate, br, zstd"


# --- damage and limits ---


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, br"])
@ways
async def test_a_body_cut_before_it_was_sent(served: Served, coding: str, stream: bool) -> None:
    """The message is whole, what it carries isn't."""
    server, client = served
    noise = random.Random(1).randbytes(300_000)
    body = ENCODE[coding](noise)
    for cut in (1, 5, len(body) // 2, len(body) - 1):
        server.route(f"/{cut}", encoded(coding, body[:cut]))
        with pytest.raises(aioreq.DecodeError, match="ends too early") as caught:
            await content(client, f"{server.url}/{cut}", stream)
        assert caught.value.request is not None
        assert str(caught.value.request.url) == f"{server.url}/{cut}"
        if not stream:
            assert noise.startswith(caught.value.partial)
            assert len(caught.value.partial) > cut - 150_000  # zstd: a block of 128 KiB


@ways
async def test_damage(served: Served, stream: bool) -> None:
    server, client = served
    server.route("/nothing", encoded("gzip", b"no gzip at all"))
    server.route("/behind", encoded("gzip", gzip.compress(TEXT) + b"\n"))
    server.route("/three", encoded("gzip, br, zstd", b"..."))
    for path, said in (("/nothing", "not valid gzip"), ("/behind", "not valid gzip"), ("/three", "3 content codings")):
        with pytest.raises(aioreq.DecodeError, match=said) as caught:
            await content(client, server.url + path, stream)
        assert caught.value.request is not None
        assert caught.value.partial == (TEXT if path == "/behind" and not stream else b"")
    assert await content(client, server.url + "/get", stream)  # there is one slot: it came back


async def test_what_is_dropped_is_never_decoded(served: Served) -> None:
    server, client = served
    server.route("/away", Reply(302, [("Location", "/get"), ("Content-Encoding", "gzip")], b"no gzip"))
    server.route("/far", Reply(302, [("Location", "/get"), ("Content-Encoding", "gzip, br, zstd, gzip")], b"..."))
    for path in ("/away", "/far"):
        assert (await client.get(server.url + path)).status == 200
    server.route("/no", encoded("gzip", b"no gzip", 404))
    async with client.stream("GET", server.url + "/no") as response:
        await response.close()
    async with client.stream("GET", server.url + "/no") as response:
        with pytest.raises(aioreq.StatusError) as caught:
            await response.raise_for_status()
    assert isinstance(caught.value.response, Response)
    assert caught.value.response.content == b""


@ways
async def test_the_ratio_holds_for_both(served: Served, stream: bool) -> None:
    server, client = served
    server.route("/", encoded("gzip", gzip.compress(bytes(9 * MIB))))
    with pytest.raises(aioreq.LimitExceeded, match=r"Limits\(ratio") as caught:
        await content(client, server.url, stream)
    assert caught.value.limit == "ratio"
    assert caught.value.request is not None
    async with Client(limits=aioreq.Limits(ratio=2000), verify=server.ca or True) as trusting:
        assert await content(trusting, server.url, stream) == bytes(9 * MIB)


async def test_raw_pieces_know_no_ratio(served: Served) -> None:
    server, client = served
    server.route("/", encoded("br", bomb("br")))
    async with client.stream("GET", server.url) as response:
        assert b"".join([piece async for piece in response.iter_raw()]) == bomb("br")


# --- who reads, and when ---


async def test_a_link_in_front_reads_it_decoded_once(server: Server) -> None:
    server.route("/", encoded("gzip", gzip.compress(TEXT)))
    seen: list[bytes] = []

    class Reader(MiddleWare):
        async def process(self, request: aioreq.Request, client: Client) -> Response | StreamResponse:
            response = await self.next_middleware.process(request, client)
            assert isinstance(response, Response)
            seen.append(response.content)
            seen.append(await response.read())
            return response

    async with Client(middlewares=(Reader, *default_middlewares)) as client:
        response = await client.get(server.url)
        assert response.content == TEXT
        assert response.content is response.content is seen[0] is seen[1]


async def test_readers_at_once(server: Server) -> None:
    """Whoever comes while a thread decodes: all get the same."""
    big = random.Random(2).randbytes(MIB).hex().encode() * 3
    server.route("/", encoded("gzip", gzip.compress(big)))
    got: list[bytes] = []

    class Readers(MiddleWare):
        async def process(self, request: aioreq.Request, client: Client) -> Response | StreamResponse:
            response = await self.next_middleware.process(request, client)
            assert isinstance(response, Response)
            reading = [asyncio.ensure_future(response.read()) for _ in range(3)]
            await asyncio.sleep(0)
            got.append(response.content)
            got.extend(await asyncio.gather(*reading))
            return response

    async with Client(middlewares=(Readers, *default_middlewares)) as client:
        assert (await client.get(server.url)).content == big
    assert got == [big] * 4


# --- the loop runs on ---


class Turns:
    """Counts what the loop does meanwhile."""

    def __init__(self) -> None:
        self.count = 0

    async def __aenter__(self) -> Turns:
        self._task = asyncio.ensure_future(self._run())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            self.count += 1
            await asyncio.sleep(0.0001)


async def test_a_small_body_that_becomes_large_goes_to_a_thread(server: Server) -> None:
    begun = 0
    ended = 0
    server.route("/", encoded("gzip", gzip.compress(bytes(100 * MIB))))

    class Watch(MiddleWare):
        async def process(self, request: aioreq.Request, client: Client) -> Response | StreamResponse:
            nonlocal begun, ended
            response = await self.next_middleware.process(request, client)
            assert isinstance(response, Response)
            begun = turns.count
            await response.finish()
            ended = turns.count
            return response

    async with Client(middlewares=(Watch, *default_middlewares), limits=aioreq.Limits(ratio=2000)) as client, Turns() as turns:
        assert len((await client.get(server.url)).content) == 100 * MIB
    assert ended - begun >= 3


async def test_a_stream_that_is_here_already_lets_others_run(server: Server) -> None:
    server.route("/", encoded("gzip", gzip.compress(bytes(50 * MIB))))
    async with Client(limits=aioreq.Limits(ratio=2000)) as client, client.stream("GET", server.url) as response:
        assert await anext(response.content)
        await asyncio.sleep(0.05)  # all of its 50 KiB are here
        async with Turns() as turns:
            size = turn = 0
            async for piece in response.content:
                size += len(piece)
                if turn != turns.count:
                    turn, size = turns.count, 0
                # Between two turns of the loop no more than what fits in a few milliseconds.
                assert size <= 8 * MIB
    assert turns.count >= 5


async def test_a_stream_cancelled_between_steps(server: Server) -> None:
    """As one cancelled while it waits for bytes: nothing half-read goes back, though the response is still held."""
    body = gzip.compress(bytes(50 * MIB))
    gone = asyncio.Event()

    async def most() -> AsyncIterator[bytes]:
        try:
            yield body[:-1]
            await asyncio.sleep(60)
        finally:
            gone.set()

    server.route("/", lambda request: Reply(200, [("Content-Encoding", "gzip")], most()))
    async with Client(limits=aioreq.Limits(ratio=2000)) as client, client.stream("GET", server.url) as response:

        async def read() -> None:
            async for _ in response.content:
                pass

        await anext(response.content)
        await asyncio.sleep(0.05)
        task = asyncio.ensure_future(read())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert client.stats().open == 0
        await asyncio.wait_for(gone.wait(), 10)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(20_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    pytest.fail("it never came true")


def under_way() -> list[WholeBody]:
    return [body for body in gc.get_objects() if isinstance(body, WholeBody)]


async def test_a_cancelled_decoding_stops_at_the_next_step_and_leaves_nothing(server: Server) -> None:
    server.route("/", encoded("br", bomb("br")))
    gc.collect()  # what earlier tests' errors hold
    async with Client(limits=aioreq.Limits(ratio=10**6, body=1 << 30)) as client:
        task = asyncio.ensure_future(client.get(server.url))
        await until(lambda: any(body._decoder.decoded >= 20 * MIB for body in under_way()))
        [body] = under_way()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        decoder = body._decoder
        del body, task
        await until(lambda: not under_way())  # the thread holds it until its next step
        assert 20 * MIB <= decoder.decoded < 500 * MIB
        assert (await client.get(server.url + "/get")).status == 200
