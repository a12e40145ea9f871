"""Side by side: responses whole and broken, upon the library's transport and ours: framing, truncation, resets, codings, limits."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from faults import PHASES, RESPONSES, Phase, Sample, drip

from aioreq.testing import Close, HalfClose, Reset

from .httpx_casts import Cast
from .httpx_stage import Stage, same

HEAD = b"HTTP/1.1 200 OK\r\n"
TEXT = b"It was the best of times, it was the worst of times."


def length(body: bytes, fields: bytes = b"") -> bytes:
    return HEAD + fields + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def asks(stage: Stage) -> None:
    async with stage.client() as client:
        await stage.ask(client)


async def posts(stage: Stage) -> None:
    async with stage.client() as client:
        await stage.ask(client, "POST", content=b"x")


@pytest.mark.parametrize("sample", RESPONSES.values(), ids=str)
async def test_samples(cast: Cast, sample: Sample) -> None:
    await same(cast, asks, [(sample.wire, *((Close(),) if sample.until_close else ()))])


@pytest.mark.parametrize("sample", RESPONSES.values(), ids=str)
async def test_samples_byte_by_byte(async_cast: Cast, sample: Sample) -> None:
    await same(async_cast, asks, [(*drip(sample.wire), *((Close(),) if sample.until_close else ()))])


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("phase", [phase for phase in PHASES if phase.before and not phase.needs_tls and not phase.needs_upload], ids=str)
async def test_a_chunked_response_that_breaks(cast: Cast, phase: Phase, how: Any) -> None:
    # A body that goes out while the reset comes in meets it when writing, or when reading.
    play = asks if phase.name == "after-request-head" else posts
    await same(cast, play, routes=lambda server: phase.arm(server, how, 2))


@pytest.mark.parametrize("fault", [Close(), Reset(), HalfClose()], ids=["close", "reset", "half-close"])
@pytest.mark.parametrize("cut", [0, 5, 15, 17, 30, 38, 39, 45])
async def test_a_response_of_declared_length_that_breaks(async_cast: Cast, cut: int, fault: Any) -> None:
    wire = length(b"0123456789")
    await same(async_cast, posts, [(wire[:cut], fault)] * 2)


STRICT, AS_IT_IS = "framing of responses", "fields as they are"

FRAMING: dict[str, tuple[bytes, str | None]] = {
    "no HTTP": (b"hello\r\n\r\n", None),
    "binary": (b"\x00\x01\x02\x03" * 10, None),
    "HTTP/2": (b"HTTP/2.0 200 OK\r\n\r\n", STRICT),
    "HTTP/0.9": (b"<html>hello</html>", None),
    "HTTP/1.2": (b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n", STRICT),
    "small letters": (b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", None),
    "two digits": (b"HTTP/1.1 20 OK\r\n\r\n", None),
    "four digits": (b"HTTP/1.1 2000 OK\r\n\r\n", None),
    "status 999": (b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", STRICT),
    "status 099": (b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n", None),
    "status 600": (b"HTTP/1.1 600 Odd\r\nContent-Length: 0\r\n\r\n", STRICT),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", None),
    "empty reason": (b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", None),
    "own reason": (b"HTTP/1.1 200 Fine By Me\r\nContent-Length: 0\r\n\r\n", None),
    "reason of UTF-8": ("HTTP/1.1 200 Sch\u00f6n\r\nContent-Length: 0\r\n\r\n".encode(), None),
    "empty lines first": (b"\r\n\r\n" + length(b"ok"), None),
    "bare LF": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", STRICT),
    "one bare LF": (HEAD + b"X-A: 1\nContent-Length: 2\r\n\r\nok", STRICT),
    "bare CR": (HEAD + b"X-A: 1\rX-B: 2\r\nContent-Length: 2\r\n\r\nok", None),
    "folded": (length(b"ok", b"X-A: 1\r\n  2\r\n"), STRICT),
    "space before the colon": (length(b"ok", b"X-A : 1\r\n"), None),
    "space before a name": (HEAD + b" X-A: 1\r\nContent-Length: 2\r\n\r\nok", None),
    "no colon": (length(b"ok", b"X-A\r\n"), None),
    "no name": (length(b"ok", b": 1\r\n"), None),
    "a name of two words": (length(b"ok", b"X A: 1\r\n"), None),
    "null in a value": (length(b"ok", b"X-A: a\0b\r\n"), None),
    "control byte in a value": (length(b"ok", b"X-A: a\x01b\r\n"), STRICT),
    "UTF-8 in a value": (length(b"ok", b"X-A: \xc3\xa4\r\n"), None),
    "latin-1 in a value": (length(b"ok", b"X-A: \xe4\r\n"), None),
    "empty value": (length(b"ok", b"X-A:\r\n"), None),
    "spaces around a value": (length(b"ok", b"X-A: \t 1 \t\r\n"), None),
    "duplicates in their order": (length(b"ok", b"x-a: 1\r\nX-B: 2\r\nX-A: 3\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n"), None),
    "plus": (HEAD + b"Content-Length: +2\r\n\r\nok", None),
    "underscore": (HEAD + b"Content-Length: 1_0\r\n\r\n0123456789", None),
    "negative": (HEAD + b"Content-Length: -2\r\n\r\nok", None),
    "empty length": (HEAD + b"Content-Length: \r\n\r\nok", None),
    "leading zero": (HEAD + b"Content-Length: 002\r\n\r\nok", None),
    "too large a length": (HEAD + b"Content-Length: " + b"9" * 30 + b"\r\n\r\nok", None),
    "two lengths": (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nok", None),
    "two equal lengths": (HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", STRICT),
    "a list of lengths": (HEAD + b"Content-Length: 2, 2\r\n\r\nok", STRICT),
    "length and chunked": (HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", None),
    "another transfer coding": (HEAD + b"Transfer-Encoding: gzip\r\n\r\nok", None),
    "gzip, chunked": (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", None),
    "chunked in capitals": (HEAD + b"Transfer-Encoding: CHUNKED\r\n\r\n2\r\nok\r\n0\r\n\r\n", AS_IT_IS),
    "chunked of HTTP/1.0": (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", STRICT),
    "100 first": (b"HTTP/1.1 100 Continue\r\n\r\n" + length(b"ok"), None),
    "102 first": (b"HTTP/1.1 102 Processing\r\n\r\n" + length(b"ok"), None),
    "101 unasked": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", None),
    "a body of 204": (b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", None),
    "too much": (length(b"ok") + b"and more", None),
}

CHUNKS: dict[str, tuple[bytes, str | None]] = {
    "no size": (b"\r\nok\r\n0\r\n\r\n", None),
    "size of letters": (b"xyz\r\nok\r\n0\r\n\r\n", None),
    "plus": (b"+2\r\nok\r\n0\r\n\r\n", None),
    "underscore": (b"0_2\r\nok\r\n0\r\n\r\n", None),
    "0x": (b"0x2\r\nok\r\n0\r\n\r\n", None),
    "negative": (b"-2\r\nok\r\n0\r\n\r\n", None),
    "overflow": (b"1000000000000000000000002\r\nok\r\n0\r\n\r\n", None),
    "leading zeros": (b"0002\r\nok\r\n0\r\n\r\n", None),
    "space before": (b" 2\r\nok\r\n0\r\n\r\n", None),
    "space behind": (b"2 \r\nok\r\n0\r\n\r\n", STRICT),
    "extension": (b"2;a=b\r\nok\r\n0\r\n\r\n", None),
    "bare LF after a size": (b"2\nok\r\n0\r\n\r\n", None),
    "no CRLF after a chunk": (b"2\r\nok0\r\n\r\n", None),
    "bare LF after a chunk": (b"2\r\nok\n0\r\n\r\n", None),
    "a trailer": (b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n", None),
    "a broken trailer": (b"2\r\nok\r\n0\r\nX Sum\r\n\r\n", None),
    "a trailer of framing": (b"2\r\nok\r\n0\r\nContent-Length: 9\r\n\r\n", None),
}


@pytest.mark.parametrize("name", FRAMING)
async def test_framing(async_cast: Cast, name: str) -> None:
    wire, different = FRAMING[name]
    await same(async_cast, asks, [(wire, Close())], different=different)


@pytest.mark.parametrize("name", CHUNKS)
async def test_chunks(async_cast: Cast, name: str) -> None:
    wire, different = CHUNKS[name]
    await same(async_cast, asks, [(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + wire, Close())], different=different)


@pytest.mark.parametrize("size", [90_000, 2_000_000])
async def test_a_large_head(async_cast: Cast, size: int) -> None:
    fields = b"".join(b"X-%d: %s\r\n" % (n, b"a" * 1000) for n in range(size // 1000))
    await same(async_cast, asks, [(length(b"ok", fields), Close())], different="large heads" if size == 90_000 else None)


@pytest.mark.parametrize("body", [gzip.compress(TEXT)[:-6], b"no gzip"], ids=["truncated", "none"])
async def test_a_broken_coding(cast: Cast, body: bytes) -> None:
    await same(cast, asks, [(length(body, b"Content-Encoding: gzip\r\n"),)])


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "DELETE"])
@pytest.mark.parametrize("status", [200, 204, 304, 404, 500])
async def test_statuses_and_methods(cast: Cast, method: str, status: int) -> None:
    body = b"" if method == "HEAD" or status in (204, 304) else b"ok"
    said = b"" if status == 204 else b"Content-Length: 2\r\n"

    async def play(stage: Stage) -> None:
        async with stage.client() as client:
            await stage.ask(client, method)
            await stage.ask(client)

    await same(cast, play, [(b"HTTP/1.1 %d Is\r\n%s\r\n%s" % (status, said, body),)], routes=lambda server: server.route("/", "next"))


@pytest.mark.parametrize("how", ["aiter_raw", "aiter_bytes", "aiter_text", "aiter_lines"])
async def test_ways_to_read(async_cast: Cast, how: str) -> None:
    body = gzip.compress(b"one\ntwo\r\nthree\n" * 100)

    async def play(stage: Stage) -> None:
        async with stage.client() as client, client.stream("GET", stage.url) as response:
            read = [piece async for piece in getattr(response, how)()]
            stage.say(how, (b"" if how in ("aiter_raw", "aiter_bytes") else "").join(read))
            stage.say("read", response.num_bytes_downloaded == len(body), response.is_closed, response.is_stream_consumed)
            with stage.trying("twice"):
                await response.aread()

    await same(async_cast, play, [(length(body, b"Content-Encoding: gzip\r\nContent-Type: text/plain; charset=utf-8\r\n"),)])


async def test_a_response_that_is_not_read(async_cast: Cast) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client({"limits": stage.lib.Limits(max_connections=1)}) as client:
            for _ in range(3):
                async with client.stream("GET", stage.url + "/large") as response:
                    stage.say(response.status_code, response.is_closed)
                stage.say(response.is_closed, response.is_stream_consumed)
                with stage.trying("afterwards"):
                    await response.aread()
            async with client.stream("GET", stage.url + "/large") as response:
                async for _ in response.aiter_raw(10):
                    break
            await stage.ask(client, path="/small")

    def routes(server: Any) -> None:
        server.route("/large", b"x" * 1_000_000)
        server.route("/small", b"x")

    await same(async_cast, play, routes=routes)
