"""Side by side: responses whole and broken: framing, truncation, resets, codings and limits."""

from __future__ import annotations

import gzip
import os
import zlib
from typing import Any

import pytest
from faults import PHASES, RESPONSES, Phase, Sample

from aioreq.testing import Close, HalfClose, Pause, Reply, Reset

from .side_by_side import Stage, same

HEAD = b"HTTP/1.1 200 OK\r\n"
TEXT = b"It was the best of times, it was the worst of times."


def length(body: bytes, fields: bytes = b"") -> bytes:
    return HEAD + fields + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def asks(stage: Stage) -> None:
    async with stage.lib.ClientSession() as session:
        await stage.ask(session)


async def posts(stage: Stage) -> None:
    async with stage.lib.ClientSession() as session:
        await stage.ask(session, "POST", data=b"x")


@pytest.mark.parametrize("sample", RESPONSES.values(), ids=str)
async def test_samples(sample: Sample) -> None:
    await same(asks, [(sample.wire, *((Close(),) if sample.until_close else ()))])


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("phase", [phase for phase in PHASES if phase.before and not phase.needs_tls and not phase.needs_upload], ids=str)
async def test_a_chunked_response_that_breaks(phase: Phase, how: Any) -> None:
    await same(posts, routes=lambda server: phase.arm(server, how, 2))


@pytest.mark.parametrize("fault", [Close(), Reset(), HalfClose()], ids=["close", "reset", "half-close"])
@pytest.mark.parametrize("cut", [0, 5, 15, 17, 30, 38, 39, 45])
async def test_a_response_of_declared_length_that_breaks(cut: int, fault: Any) -> None:
    wire = length(b"0123456789")
    await same(posts, [(wire[:cut], fault)] * 2)


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST", "PATCH"])
async def test_a_connection_that_ends_before_the_response(method: str, how: str) -> None:
    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session:
            await stage.ask(session, method, data=b"x")
            await stage.ask(session, method, data=b"x")

    await same(play, [(Close() if how == "close" else Reset(),)] * 3, routes=lambda server: server.route("/", "ok"))


STRICT, BEHIND = "framing of responses", "bytes that nobody asked for"

FRAMING: dict[str, tuple[bytes, str | None]] = {
    "no HTTP": (b"hello\r\n\r\n", None),
    "binary": (b"\x00\x01\x02\x03" * 10, None),
    "HTTP/2": (b"HTTP/2.0 200 OK\r\n\r\n", STRICT),
    "HTTP/0.9": (b"<html>hello</html>", None),
    "HTTP/1.2": (b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n", None),
    "small letters": (b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", None),
    "two digits": (b"HTTP/1.1 20 OK\r\n\r\n", None),
    "four digits": (b"HTTP/1.1 2000 OK\r\n\r\n", None),
    "status 999": (b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", STRICT),
    "status 099": (b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n", STRICT),
    "status of letters": (b"HTTP/1.1 abc OK\r\n\r\n", None),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", None),
    "empty reason": (b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", None),
    "reason of UTF-8": ("HTTP/1.1 200 Sch\u00f6n\r\nContent-Length: 0\r\n\r\n".encode(), None),
    "empty lines first": (b"\r\n\r\n" + length(b"ok"), STRICT),
    "bare LF": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", STRICT),
    "one bare LF": (HEAD + b"X-A: 1\nContent-Length: 2\r\n\r\nok", STRICT),
    "bare CR": (HEAD + b"X-A: 1\rX-B: 2\r\nContent-Length: 2\r\n\r\nok", None),
    "folded": (length(b"ok", b"X-A: 1\r\n  2\r\n"), STRICT),
    "space before the colon": (length(b"ok", b"X-A : 1\r\n"), None),
    "space before a name": (HEAD + b" X-A: 1\r\nContent-Length: 2\r\n\r\nok", STRICT),
    "no colon": (length(b"ok", b"X-A\r\n"), None),
    "no name": (length(b"ok", b": 1\r\n"), None),
    "a name of two words": (length(b"ok", b"X A: 1\r\n"), None),
    "null in a value": (length(b"ok", b"X-A: a\0b\r\n"), None),
    "control byte in a value": (length(b"ok", b"X-A: a\x01b\r\n"), STRICT),
    "DEL in a value": (length(b"ok", b"X-A: a\x7fb\r\n"), STRICT),
    "control byte in a name": (length(b"ok", b"X\x01A: 1\r\n"), None),
    "UTF-8 in a value": (length(b"ok", b"X-A: \xc3\xa4\r\n"), None),
    "latin-1 in a value": (length(b"ok", b"X-A: \xe4\r\n"), None),
    "empty value": (length(b"ok", b"X-A:\r\n"), None),
    "spaces around a value": (length(b"ok", b"X-A: \t 1 \t\r\n"), None),
    "plus": (HEAD + b"Content-Length: +2\r\n\r\nok", None),
    "underscore": (HEAD + b"Content-Length: 1_0\r\n\r\n0123456789", None),
    "hexadecimal": (HEAD + b"Content-Length: 0x2\r\n\r\nok", None),
    "negative": (HEAD + b"Content-Length: -2\r\n\r\nok", None),
    "empty length": (HEAD + b"Content-Length: \r\n\r\nok", None),
    "leading zero": (HEAD + b"Content-Length: 002\r\n\r\nok", None),
    "too large a length": (HEAD + b"Content-Length: " + b"9" * 30 + b"\r\n\r\nok", None),
    "two lengths": (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nok", None),
    "two equal lengths": (HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", None),
    "a list of lengths": (HEAD + b"Content-Length: 2, 2\r\n\r\nok", None),
    "length and chunked": (HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", STRICT),
    "another transfer coding": (HEAD + b"Transfer-Encoding: gzip\r\n\r\nok", STRICT),
    "gzip, chunked": (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", STRICT),
    "chunked, gzip": (HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n2\r\nok\r\n0\r\n\r\n", STRICT),
    "chunked twice": (HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", STRICT),
    "chunked in capitals": (HEAD + b"Transfer-Encoding: CHUNKED\r\n\r\n2\r\nok\r\n0\r\n\r\n", None),
    "xchunked": (HEAD + b"Transfer-Encoding: xchunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", STRICT),
    "chunked of HTTP/1.0": (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", STRICT),
    "a body of 204": (b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", BEHIND),
    "a body of 304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok", BEHIND),
    "100 alone": (b"HTTP/1.1 100 Continue\r\n\r\n", None),
    "101 unasked": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", STRICT),
    "102 first": (b"HTTP/1.1 102 Processing\r\n\r\n" + length(b"ok"), None),
    "too much": (length(b"ok") + b"and more", BEHIND),
}  # fmt: skip

# Of which asyncio's debug mode makes errors in aiohttp, too.
LENIENT = {"bare LF", "one bare LF", "folded", "space before a name", "control byte in a value", "DEL in a value"}

CHUNKS: dict[str, tuple[bytes, str | None]] = {
    "no size": (b"\r\nok\r\n0\r\n\r\n", STRICT),
    "size of letters": (b"xyz\r\nok\r\n0\r\n\r\n", STRICT),
    "plus": (b"+2\r\nok\r\n0\r\n\r\n", STRICT),
    "underscore": (b"0_2\r\nok\r\n0\r\n\r\n", STRICT),
    "0x": (b"0x2\r\nok\r\n0\r\n\r\n", STRICT),
    "negative": (b"-2\r\nok\r\n0\r\n\r\n", STRICT),
    "overflow": (b"10000000000000002\r\nok\r\n0\r\n\r\n", STRICT),
    "leading zeros": (b"0002\r\nok\r\n0\r\n\r\n", None),
    "space before": (b" 2\r\nok\r\n0\r\n\r\n", STRICT),
    "space behind": (b"2 \r\nok\r\n0\r\n\r\n", STRICT),
    "extension": (b"2;a=b\r\nok\r\n0\r\n\r\n", None),
    "LF in an extension": (b"2;a\nb\r\nok\r\n0\r\n\r\n", STRICT),
    "control byte in an extension": (b"2;a\x01\r\nok\r\n0\r\n\r\n", STRICT),
    "bare LF after a size": (b"2\nok\r\n0\r\n\r\n", STRICT),
    "no CRLF after a chunk": (b"2\r\nok0\r\n\r\n", STRICT),
    "bare LF after a chunk": (b"2\r\nok\n0\r\n\r\n", STRICT),
    "longer than it says": (b"2\r\nokay\r\n0\r\n\r\n", STRICT),
    "trailers": (b"2\r\nok\r\n0\r\nX-T: 1\r\n\r\n", None),
    "broken trailers": (b"2\r\nok\r\n0\r\nno colon\r\n\r\n", STRICT),
    "empty": (b"0\r\n\r\n", None),
    "capital letters": (b"A\r\n0123456789\r\n0\r\n\r\n", None),
}  # fmt: skip


@pytest.mark.parametrize("name", FRAMING)
async def test_framing(name: str) -> None:
    wire, different = FRAMING[name]
    if name in LENIENT and os.environ.get("PYTHONASYNCIODEBUG"):
        different = None
    await same(posts, [(wire, Close())], different=different)


@pytest.mark.parametrize("name", CHUNKS)
async def test_chunks(name: str) -> None:
    wire, different = CHUNKS[name]
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    await same(posts, [(head + wire, Close())], different=different)


async def test_a_broken_body_that_comes_later() -> None:
    """For which aiohttp waits as long as it may."""

    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession(timeout=stage.lib.ClientTimeout(total=0.5)) as session:
            await stage.ask(session, "POST")

    wire = (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", Pause(0.02), b"xyz\r\n", Close())
    await same(play, [wire], different=STRICT)


def coded(coding: str, body: bytes) -> bytes:
    return length(body, f"Content-Encoding: {coding}\r\n".encode())


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


def brotli(data: bytes) -> bytes:
    module = pytest.importorskip("brotli")
    return bytes(module.compress(data))


def zstd(data: bytes) -> bytes:
    import sys

    module = pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    return bytes(module.compress(data))


PACKED: dict[str, Any] = {"gzip": gzip.compress, "deflate": zlib.compress, "raw deflate": raw_deflate, "br": brotli, "zstd": zstd}
SHAPES: dict[str, Any] = {
    "whole": lambda packed: packed,
    "truncated": lambda packed: packed[:-6],
    "cut in the middle": lambda packed: packed[: len(packed) // 2],
    "empty": lambda packed: b"",
    "corrupt": lambda packed: packed[:8] + b"\xff\xff\xff\xff" + packed[12:],
    "plain": lambda packed: TEXT,
    "with something behind": lambda packed: packed + b"behind",
    "twice": lambda packed: packed + packed,
}
TRUNCATED = CHAINS = "codings"
DECODED = {
    **{(coding, shape): TRUNCATED for coding in ("gzip", "br", "zstd") for shape in ("truncated", "cut in the middle")},
    ("br", "corrupt"): TRUNCATED,
    **{(coding, shape): STRICT for coding in ("deflate", "raw deflate") for shape in ("truncated", "cut in the middle")},
    ("raw deflate", "with something behind"): STRICT,
    ("deflate", "twice"): CHAINS,
    ("raw deflate", "twice"): CHAINS,
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("coding", PACKED)
async def test_codings(coding: str, shape: str) -> None:
    wire = coded(coding.rpartition(" ")[2], SHAPES[shape](PACKED[coding](TEXT * 3)))
    await same(posts, [(wire,)], different=DECODED.get((coding, shape)))


@pytest.mark.parametrize("coding", ["identity", "GZIP", "x-gzip", "unknown", "gzip, br", "br, gzip", "", "gzip,"])
async def test_names_of_codings(coding: str) -> None:
    different = CHAINS if coding in ("x-gzip", "gzip, br", "br, gzip", "gzip,") else None
    await same(posts, [(coded(coding, gzip.compress(TEXT, mtime=0)),)], different=different)


@pytest.mark.parametrize("read", [True, False], ids=["whole", "by pieces"])
async def test_what_unfolds_to_much_more(read: bool) -> None:
    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session, session.get(stage.url) as response:
            with stage.trying():
                pieces = [await response.read()] if read else [piece async for piece in response.content.iter_any()]
                stage.say(sum(map(len, pieces)))

    await same(play, [(coded("gzip", gzip.compress(bytes(9 << 20), mtime=0)),)], different=CHAINS)


@pytest.mark.parametrize("where", ["session", "request"])
async def test_what_is_not_decoded(where: str) -> None:
    async def play(stage: Stage) -> None:
        options: dict[str, Any] = {"auto_decompress": False}
        async with stage.lib.ClientSession(**(options if where == "session" else {})) as session:
            await stage.ask(session, **(options if where == "request" else {}))

    await same(play, [(coded("gzip", gzip.compress(TEXT, mtime=0)),)])


TYPES = (
    "text/plain", "text/plain; charset=latin-1", 'text/html; charset="utf-8"', "text/x; charset=unknown", "application/json", "",
    "text/plain; charset=utf-16", "APPLICATION/JSON; charset=UTF-8", "application/vnd.api+json", "nonsense", "text/html;;a=b",
)  # fmt: skip


@pytest.mark.parametrize("read", ["text", "json", "read"])
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(
    "body", ['{"a": "\u00e4"}'.encode(), '{"a": "\u00e4"}'.encode("latin-1"), b"\xef\xbb\xbf{}", b"", b"   "], ids=repr
)
async def test_text(kind: str, body: bytes, read: str) -> None:
    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session:
            await stage.ask(session, read=read)

    await same(play, [(length(body, f"Content-Type: {kind}\r\n".encode()),)])


LIMITS: dict[str, tuple[bytes, dict[str, Any]]] = {
    "a field at 8000": (b"X-A: " + b"x" * 8000 + b"\r\n", {}),
    "a field at 9000": (b"X-A: " + b"x" * 9000 + b"\r\n", {}),
    "a field at 100,000": (b"X-A: " + b"x" * 100_000 + b"\r\n", {}),
    "a name at 9000": (b"x" * 9000 + b": 1\r\n", {}),
    "a larger max_field_size": (b"X-A: " + b"x" * 20_000 + b"\r\n", {"max_field_size": 30_000}),
    "a smaller max_field_size": (b"X-A: " + b"x" * 2000 + b"\r\n", {"max_field_size": 1000}),
    "100 fields": (b"X-A: 1\r\n" * 100, {}),
    "200 fields": (b"X-A: 1\r\n" * 200, {}),
    "a larger max_headers": (b"X-A: 1\r\n" * 150, {"max_headers": 300}),
    "a smaller max_headers": (b"X-A: 1\r\n" * 20, {"max_headers": 10}),
}


@pytest.mark.parametrize("where", ["session", "request"])
@pytest.mark.parametrize("name", LIMITS)
async def test_limits_of_fields(name: str, where: str) -> None:
    fields, options = LIMITS[name]

    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession(**(options if where == "session" else {})) as session:
            await stage.ask(session, "POST", **(options if where == "request" else {}))

    await same(play, [(length(b"ok", fields),)])


@pytest.mark.parametrize("size", [100, 8000, 9000, 50_000])
@pytest.mark.parametrize("limit", [None, 1000, 20_000])
async def test_limits_of_the_status_line(size: int, limit: int | None) -> None:
    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession(**({} if limit is None else {"max_line_size": limit})) as session:
            await stage.ask(session, "POST")

    different = "bounds of heads" if size > (limit or 8190) else None
    await same(play, [(b"HTTP/1.1 200 " + b"x" * size + b"\r\nContent-Length: 0\r\n\r\n",)], different=different)


@pytest.mark.parametrize("status", [200, 204, 301, 304, 400, 404, 418, 500, 599])
@pytest.mark.parametrize("wanted", [True, False, "own"])
async def test_raise_for_status(status: int, wanted: Any) -> None:
    async def own(response: Any) -> None:
        if response.status == 404:
            raise KeyError(await response.text())

    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession(raise_for_status=own if wanted == "own" else wanted) as session:
            await stage.ask(session, "GET", "/a")
            await stage.ask(session, "GET", "/b", raise_for_status=not wanted)
            async with session.get(stage.url, raise_for_status=False) as response:
                with stage.trying():
                    response.raise_for_status()
                with stage.trying():
                    stage.say(await response.read())

    reply = Reply(status, {"X-A": "1"}, b"" if status in (204, 304) else b"words", reason="A Reason")
    different = "redirects" if status == 301 else None
    await same(play, routes=lambda server: server.route("/*", reply), different=different)
