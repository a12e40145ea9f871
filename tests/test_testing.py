"""The embedded server, proved by raw sockets, asyncio streams and the standard library's clients: never by aioreq's own."""

from __future__ import annotations

import asyncio
import doctest
import gc
import http.client
import importlib
import json
import os
import socket
import ssl
import subprocess
import sys
import urllib.request
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from aioreq.testing import (
    Authority,
    Close,
    Connection,
    HalfClose,
    Pause,
    ReadBody,
    ReadBytes,
    ReadHead,
    ReadRequest,
    Reply,
    Request,
    Reset,
    Script,
    Server,
    Stall,
    Step,
    StopReading,
    Wait,
    httpbin,
)

GET = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LARGE = bytes(16 << 20)  # more than the system's buffers take
WAIT = 10  # seconds until a test that hangs fails

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Runner = Callable[[Coroutine[Any, Any, None]], None]


def _uvloop(work: Coroutine[Any, Any, None]) -> None:
    uvloop = pytest.importorskip("uvloop")
    uvloop.run(work, debug=True)


def _asyncio(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work, debug=True)


both_loops = pytest.mark.parametrize("run", [_asyncio, _uvloop], ids=["asyncio", "uvloop"])


@asynccontextmanager
async def connect(server: Server, **options: Any) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection(server.host, server.port, **options)
    try:
        async with asyncio.timeout(WAIT):
            yield reader, writer
    finally:
        writer.close()
        try:
            await writer.wait_closed()
        except OSError:
            pass  # the server's reset, seen again


async def talk(server: Server, sent: bytes, **options: Any) -> bytes:
    """Sends, and returns all that comes until the server closes."""
    async with connect(server, **options) as (reader, writer):
        writer.write(sent)
        return await reader.read()


async def read_reply(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The head and the body of a reply of declared length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:"))
    return head, await reader.readexactly(length)


# What was received.


async def test_a_request_is_recorded_as_it_was_sent() -> None:
    wire = b"PUT /a%20b/../c?q=%7E&q=2 HTTP/1.1\r\nhOsT: x:1\r\nX-Twice: 1\r\nx-TWICE:\t2 \r\nEmpty:\r\nX-\xff: no\r\n"
    wire = wire.replace(b"X-\xff: no\r\n", b"Obs: \xc3\xa9\xff\r\n") + b"Content-Length: 5\r\n\r\nhello"
    async with Server() as server, connect(server) as (reader, writer):
        writer.write(wire)
        await read_reply(reader)
        local = writer.get_extra_info("sockname")
    [request] = server.requests
    assert (request.method, request.target, request.version) == ("PUT", b"/a%20b/../c?q=%7E&q=2", b"HTTP/1.1")
    assert request.headers == [
        (b"hOsT", b"x:1"),
        (b"X-Twice", b"1"),
        (b"x-TWICE", b"2"),
        (b"Empty", b""),
        (b"Obs", b"\xc3\xa9\xff"),
        (b"Content-Length", b"5"),
    ]
    assert request.head + request.body == wire
    assert (request.path, request.query) == ("/a%20b/../c", [("q", "~"), ("q", "2")])
    assert request.header_values("X-tWICE") == ["1", "2"]
    assert (request.connection, request.peer, request.complete) == (1, local, True)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
async def test_a_chunked_upload_with_trailers_however_it_is_split(size: int) -> None:
    wire = b"POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    wire += b"3;a=b\r\nabc\r\n00A\r\n0123456789\r\n0\r\nSum: 1\r\nsum: 2\r\n\r\n"
    async with Server() as server, connect(server) as (reader, writer):
        server.route("/up", lambda request: request.body)
        for start in range(0, len(wire), size):
            writer.write(wire[start : start + size])
            await asyncio.sleep(0)
        assert (await read_reply(reader))[1] == b"abc0123456789"
        writer.write(GET % b"up")
        assert (await read_reply(reader))[1] == b""
    assert server.requests[0].chunks == [3, 10]
    assert server.requests[0].trailers == [(b"Sum", b"1"), (b"sum", b"2")]
    assert server.errors == []


async def test_pipelined_requests_are_answered_in_turn_on_one_connection() -> None:
    async with Server() as server, connect(server) as (reader, writer):

        @server.route("/slow")
        async def slow(request: Request) -> str:
            await server.until(lambda: len(server.requests) == 3)
            return "slow"

        server.route("/quick", "quick")
        upload = b"POST /quick HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
        writer.write(GET % b"slow" + upload + GET % b"none")
        assert [(await read_reply(reader))[1] for _ in range(3)] == [b"slow", b"quick", b"no route for /none\n"]
        assert [r.connection for r in server.requests] == [1, 1, 1]
        assert (server.accepted, len(server.connections)) == (1, 1)
        [connection] = server.connections
        assert connection.idle
        assert connection.requests == server.requests


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"G(T / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: \x7f\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nbad trailer\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * (1 << 20), 431),
    ],
)
async def test_a_client_that_breaks_the_rules_is_refused(sent: bytes, status: int) -> None:
    async with Server() as server:
        answer = await talk(server, sent)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nConnection: close\r\n" in answer
    assert len(server.errors) == 1


# What is answered.


@pytest.mark.parametrize(
    ("answer", "status", "kind", "body"),
    [
        (b"\x00", b"200", b"application/octet-stream", b"\x00"),
        ("é", b"200", b"text/plain; charset=utf-8", "é".encode()),
        ({"a": []}, b"200", b"application/json", b'{"a": []}'),
        ([], b"200", b"application/json", b"[]"),
        (418, b"418", None, b""),
        ((201, "made"), b"201", b"text/plain; charset=utf-8", b"made"),
        ((201, {"a": 1}), b"201", b"application/json", b'{"a": 1}'),
        ((202, [("Content-Type", "a/b")], b"x"), b"202", b"a/b", b"x"),
        (Reply(299, {"Content-Type": "c/d"}, "y"), b"299", b"c/d", b"y"),
    ],
)
@pytest.mark.parametrize("how", ["fixed", "plain", "async"])
async def test_what_a_handler_may_return(answer: Any, status: bytes, kind: bytes | None, body: bytes, how: str) -> None:
    async def handler(request: Request) -> Any:
        return answer

    async with Server() as server, connect(server) as (reader, writer):
        server.route("/", {"fixed": answer, "plain": lambda request: answer, "async": handler}[how])
        for _ in range(2):
            writer.write(GET % b"")
            head, got = await read_reply(reader)
            assert head.split(b" ")[1] == status
            assert (b"Content-Type: %b\r\n" % kind in head) if kind else (b"Content-Type" not in head)
            assert got == body


async def test_a_handler_that_fails_is_a_500_and_an_error() -> None:
    async with Server() as server, connect(server) as (reader, writer):

        @server.route("/plain")
        def plain(request: Request) -> None:
            raise LookupError("plain went wrong")

        @server.route("/async")
        async def later(request: Request) -> None:
            raise LookupError("async went wrong")

        server.route("/nothing", lambda request: None)
        for path, reason in ((b"plain", b"plain went wrong"), (b"async", b"async went wrong"), (b"nothing", b"can't answer with NoneType")):
            writer.write(GET % path)
            head, body = await read_reply(reader)
            assert head.startswith(b"HTTP/1.1 500 ")
            assert reason in body
            assert reason.decode() in server.errors[-1]
        assert len(server.errors) == 3


async def test_routes() -> None:
    async with Server() as server, connect(server) as (reader, writer):
        server.route("/a/{x}/{y}", lambda request: [request.params["x"], request.params["y"]])
        server.route("/a/b/exact", "exact")
        server.route("/files/*", "file")
        server.route("/only", "got", methods=["get"])
        server.route("/only", "deleted", methods=["DELETE"])
        expected = {
            b"GET /a/b/c?d": b'["b", "c"]',
            b"GET /a/b/exact": b"exact",
            b"GET /a/b.c/%2F": b'["b.c", "%2F"]',
            b"GET /a/b/c/d": b"no route for /a/b/c/d\n",
            b"GET /files/1/2": b"file",
            b"GET http://x/files/1": b"file",
            b"GET /only": b"got",
            b"DELETE /only": b"deleted",
            b"PUT /only": b"",
        }
        for line, body in expected.items():
            writer.write(line + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            head, got = await read_reply(reader)
            assert got == body, line
        assert head.startswith(b"HTTP/1.1 405 ")
        assert b"Allow: DELETE, GET\r\n" in head
        writer.write(b"HEAD /only HTTP/1.1\r\nHost: x\r\n\r\n" + GET % b"only")
        assert (await reader.readuntil(b"\r\n\r\n")).endswith(b"Content-Length: 3\r\n\r\n")
        assert (await read_reply(reader))[1] == b"got"


async def _pieces() -> AsyncIterator[bytes]:
    for piece in (b"one", b"", b"two"):
        yield piece


@pytest.mark.parametrize(
    ("make", "sent", "expected"),
    [
        (lambda: Reply(body="x"), b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"),
        (
            lambda: Reply(body="x", version="HTTP/1.0", framing="close"),
            GET % b"",
            b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nx",
        ),
        (lambda: Reply(body="x", close=True), GET % b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"),
        (
            lambda: Reply(body="x", trailers=[("T", "v")], close=True),
            GET % b"",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\nx\r\n0\r\nT: v\r\n\r\n",
        ),
        (
            lambda: Reply(headers=[("Content-Length", "9")], body="x", close=True, reason="Fine", extra=b"more"),
            GET % b"",
            b"HTTP/1.1 200 Fine\r\nContent-Length: 9\r\nConnection: close\r\n\r\nxmore",
        ),
        (lambda: Reply(204, body="x", close=True), GET % b"", b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"),
        (
            lambda: Reply(304, [("ETag", '"a"')], close=True),
            GET % b"",
            b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nConnection: close\r\n\r\n',
        ),
        (
            lambda: Reply(body=_pieces(), close=True),
            GET % b"",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n",
        ),
        (lambda: Reply(body=_pieces()), b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nonetwo"),
        (
            lambda: Reply(body=_pieces(), headers=[("Content-Length", "6")]),
            GET.replace(b"Host", b"Connection: close\r\nHost") % b"",
            b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nonetwo",
        ),
        (
            lambda: Reply(body=_pieces(), close=True),
            b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        ),
    ],
)
async def test_the_bytes_of_a_reply(make: Callable[[], Reply], sent: bytes, expected: bytes) -> None:
    async with Server() as server:
        server.route("/", lambda request: make())
        assert await talk(server, sent) == expected


async def test_http_1_0_keeps_alive_when_asked() -> None:
    async with Server() as server, connect(server) as (reader, writer):
        server.route("/", "x")
        for _ in range(2):
            writer.write(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert b"Connection: keep-alive\r\n" in (await read_reply(reader))[0]


async def test_a_stream_waits_for_a_slow_reader_and_ends_when_it_leaves() -> None:
    produced, ended = 0, asyncio.Event()
    piece = bytes(1 << 20)

    async def endless() -> AsyncIterator[bytes]:
        nonlocal produced
        try:
            for _ in range(256):  # far more than the buffers between the two take
                yield piece
                produced += 1
        finally:
            ended.set()

    async with Server() as server:
        server.route("/", lambda request: endless())
        async with connect(server) as (reader, writer):
            writer.write(GET % b"")
            await reader.readuntil(b"\r\n\r\n")
            assert not ended.is_set()
            assert produced < 256
        await asyncio.wait_for(ended.wait(), WAIT)
        await server.until(lambda: not server.connections)
    assert produced < 256


async def test_a_stream_that_fails_is_cut() -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"some"
        raise LookupError("no more")

    async with Server() as server:
        server.route("/", lambda request: failing())
        assert (await talk(server, GET % b"")).endswith(b"\r\n\r\n4\r\nsome\r\n")
    assert "no more" in server.errors[0]


# Uploads that are answered early.


@both_loops
@pytest.mark.parametrize("tls", [False, True])
def test_an_early_413_arrives_while_the_upload_goes_on(run: Runner, tls: bool) -> None:
    async def main() -> None:
        async with Server(tls=tls) as server:
            server.route("/", Reply(413, body="too much", close=True), early=True)
            options = {"ssl": server.client_context()} if tls else {}
            async with connect(server, **options) as (reader, writer):
                writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n")
                writer.write(bytes(3_000_000))
                assert (await reader.read()).endswith(b"\r\n\r\ntoo much")
                assert not server.requests[0].complete
                if not tls:  # streams over TLS close on FIN
                    writer.write(bytes(3_000_000))
                    await writer.drain()  # the rest is taken and dropped, not reset

    run(main())


async def test_after_an_early_answer_the_connection_lives_on() -> None:
    async with Server() as server, connect(server) as (reader, writer):
        server.route("/", 401, early=True)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
        assert (await read_reply(reader))[0].startswith(b"HTTP/1.1 401")
        writer.write(b"cd" + GET % b"none")
        assert (await read_reply(reader))[1] == b"no route for /none\n"
        assert server.requests[0].body == b"abcd"


async def test_an_upload_is_read_in_pieces_as_it_arrives() -> None:
    first = asyncio.Event()

    async def handler(request: Request) -> list[str]:
        pieces = []
        async for piece in request.pieces():
            pieces.append(piece.decode())
            first.set()
        return pieces

    async with Server() as server, connect(server) as (reader, writer):
        server.route("/", handler, early=True)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
        await first.wait()
        writer.write(b"cd")
        assert json.loads((await read_reply(reader))[1]) == ["ab", "cd"]
        assert (server.requests[0].received, server.requests[0].body) == (4, b"")


# Scripts.


async def test_a_scripted_connection_gets_exact_bytes_then_routes() -> None:
    async with Server() as server, connect(server) as (reader, writer):
        server.route("/", "routed")
        server.script(b"HTTP/1.1 2", Pause(0), b"00 Odd\r\nContent-Length: 2\r\n\r\nok", ReadRequest(), OK)
        async with connect(server) as (scripted, pen):
            for expected in (b"HTTP/1.1 200 Odd\r\nContent-Length: 2\r\n\r\nok", OK):
                pen.write(GET % b"")
                assert await scripted.readexactly(len(expected)) == expected
            pen.write(GET % b"")
            assert (await read_reply(scripted))[1] == b"routed"
        writer.write(GET % b"")
        assert (await read_reply(reader))[1] == b"routed"


async def test_the_moments_at_which_a_script_begins() -> None:
    body = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
    async with Server() as server:
        server.script(b"unasked", Close(), on="accept")
        assert await talk(server, b"") == b"unasked"
        server.script(b"head", ReadBody(2), b"half", ReadRequest(), b"whole", Close(), on="head")
        async with connect(server) as (reader, writer):
            for sent, came in ((body, b"head"), (b"ab", b"half"), (b"cd", b"whole")):
                writer.write(sent)
                assert await reader.readexactly(len(came)) == came
            assert await reader.read() == b""
        server.script(ReadHead(), b"early", Stall(), on="accept", times=2)
        for _ in range(2):
            async with connect(server) as (reader, writer):
                writer.write(body)
                assert await reader.readexactly(5) == b"early"
        await server.until(lambda: not server.connections)


async def test_a_script_for_a_path() -> None:
    async with Server() as server, connect(server) as (reader, writer):
        server.route("/a", "routed")
        server.route("/b", lambda request: Script((OK,)))
        server.script(OK, path="/a", times=2)
        for path, body in ((b"b", b"ok"), (b"a", b"ok"), (b"a", b"ok"), (b"a", b"routed"), (b"b", b"ok")):
            writer.write(GET % path)
            assert (await read_reply(reader))[1] == body
        with pytest.raises(ValueError, match="on='head' or on='request'"):
            server.script(OK, path="/a", on="accept")


async def test_a_script_waits_for_an_event() -> None:
    event = asyncio.Event()
    async with Server() as server, connect(server) as (reader, writer):
        server.script(Wait(event), OK, path="/")
        writer.write(GET % b"")
        await server.until(lambda: len(server.requests) == 1)
        writer.write(GET % b"none")
        await server.until(lambda: len(server.requests) == 2)
        event.set()
        assert (await read_reply(reader))[1] == b"ok"
        assert (await read_reply(reader))[1] == b"no route for /none\n"


async def test_a_tunnel_after_connect_or_an_upgrade() -> None:
    async def shout(connection: Connection) -> None:
        while True:
            await connection.write((await connection.read_bytes(1)).upper())

    async with Server() as server, connect(server) as (reader, writer):
        server.route("h:1", lambda request: Script((b"HTTP/1.1 200 OK\r\n\r\n", shout)), methods=["CONNECT"])
        writer.write(b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n\nnot\nhttp")
        assert await reader.readexactly(28) == b"HTTP/1.1 200 OK\r\n\r\n\nNOT\nHTTP"
        writer.write(b"\x00more")
        assert await reader.readexactly(5) == b"\x00MORE"
    async with Server() as server, connect(server) as (reader, writer):
        server.route("/", "no")
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: y\r\n\r\n" + GET % b"none")
        assert [(await read_reply(reader))[1] for _ in range(2)] == [b"no", b"no route for /none\n"]


@both_loops
@pytest.mark.parametrize("tls", [False, True])
def test_a_reset_is_one_and_what_was_sent_before_arrives(run: Runner, tls: bool) -> None:
    async def main() -> None:
        async with Server(tls=tls) as server:
            server.script(b"HTTP/1.1 200", Reset())
            async with connect(server, **({"ssl": server.client_context()} if tls else {})) as (reader, writer):
                writer.write(GET % b"")
                assert await reader.readexactly(12) == b"HTTP/1.1 200"
                with pytest.raises(ConnectionResetError):
                    await reader.read()

    run(main())


@both_loops
def test_a_half_closed_connection_goes_on_reading(run: Runner) -> None:
    unsent = []

    async def flush(connection: Connection) -> None:
        unsent.append(connection.transport.get_write_buffer_size())
        await connection.flush()
        unsent.append(connection.transport.get_write_buffer_size())

    async def main() -> None:
        async with Server() as server:
            server.script(LARGE, flush, HalfClose(), ReadRequest(), on="accept")
            async with connect(server) as (reader, writer):
                assert await reader.read() == LARGE
                assert unsent[0] > unsent[1] == 0
                writer.write(GET % b"")
                await server.until(lambda: len(server.requests) == 1)

    run(main())


@both_loops
@pytest.mark.parametrize("last", [HalfClose(), Close()], ids=str)
def test_a_half_close_under_tls_lacks_close_notify(run: Runner, last: Step) -> None:
    def client(server: Server) -> None:
        context = server.client_context()
        bare = socket.create_connection((server.host, server.port), timeout=WAIT)
        with context.wrap_socket(bare, server_hostname="localhost", suppress_ragged_eofs=False) as secure:
            received = 0
            while received < len(LARGE):
                received += len(secure.recv(1 << 16))
            if isinstance(last, Close):
                assert secure.recv(1) == b""
            else:
                with pytest.raises(ssl.SSLEOFError):
                    secure.recv(1)

    async def main() -> None:
        async with Server(tls=True) as server:
            server.script(LARGE, last, Stall(), on="accept")
            await asyncio.to_thread(client, server)

    run(main())


async def test_a_peer_that_stops_reading_blocks_the_upload() -> None:
    async with Server() as server, connect(server) as (_, writer):
        server.script(StopReading(), Stall(), path="/", on="head")
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
        await server.until(lambda: len(server.requests) == 1)
        writer.write(bytes(100_000_000))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(writer.drain(), 0.2)
        assert server.requests[0].received < 100_000_000
        writer.transport.abort()


@pytest.mark.parametrize("tls", [False, True])
async def test_what_stopped_reading_closes_although_the_peer_has_gone(tls: bool) -> None:
    async with Server(tls=tls) as server:
        server.script(StopReading(), Pause(0.05), Close(), path="/", on="head")
        _, writer = await asyncio.open_connection(server.host, server.port, ssl=server.client_context() if tls else None)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
        await server.until(lambda: len(server.requests) == 1)
        writer.transport.abort()
        await server.until(lambda: not server.connections, seconds=5)


async def test_unasked_bytes_and_ends_on_idle_connections() -> None:
    async with Server() as server, connect(server) as (reader, writer), connect(server) as (other, _), connect(server) as (_, busy):
        server.script(Stall(), path="/stall")
        busy.write(GET % b"stall")
        writer.write(GET % b"none")
        await read_reply(reader)
        await server.until(lambda: len(server.requests) == 2 and len(server.connections) == 3)
        assert server.push(b"unasked") == 2
        assert await reader.readexactly(7) == await other.readexactly(7) == b"unasked"
        assert server.push(b"bye", Close()) == 2
        assert await reader.read() == await other.read() == b"bye"
        await server.until(lambda: len(server.connections) == 1)


@pytest.mark.parametrize(
    ("steps", "received"),
    [
        ((ReadBytes(1), Reset()), ConnectionResetError),
        ((ReadBytes(1), Close()), ConnectionResetError),
        ((ReadBytes(1), b"not TLS", Close()), ssl.SSLError),
    ],
)
async def test_a_script_below_tls_breaks_the_handshake(steps: tuple[Step, ...], received: type[Exception]) -> None:
    async with Server(tls=True) as server:
        server.script(*steps, below_tls=True)
        with pytest.raises(received):
            await talk(server, b"", ssl=server.client_context())
        server.route("/", Reply(body="fine", close=True))
        assert (await talk(server, GET % b"", ssl=server.client_context())).endswith(b"fine")


# TLS.


@both_loops
def test_tls_is_verified_by_the_servers_ca(run: Runner) -> None:
    async def main() -> None:
        async with Server(tls=True) as server:
            assert server.url == f"https://127.0.0.1:{server.port}"
            server.route("/", lambda request: Reply(body=request.url, close=True))
            for name in ("127.0.0.1", "localhost"):
                answer = await talk(server, GET % b"", ssl=server.client_context(), server_hostname=name)
                assert answer.endswith(b"https://x/")
            assert server.ca is not None
            path = server.ca
            assert server.client_context().get_ca_certs()[0]["subject"] == ((("commonName", "aioreq testing CA"),),)
            for context, name in ((ssl.create_default_context(), "localhost"), (server.client_context(), "other.example")):
                with pytest.raises(ssl.SSLCertVerificationError):
                    await talk(server, b"", ssl=context, server_hostname=name)
            await server.until(lambda: len(server.errors) == 2)
            assert "no TLS handshake" in server.errors[0]
        with pytest.raises(FileNotFoundError):
            ssl.create_default_context(cafile=path)
        with pytest.raises(RuntimeError, match="tls=True"):
            server.client_context()

    run(main())


async def test_an_authority_issues_for_other_names_dates_and_clients(tmp_path: Path) -> None:
    authority = Authority()
    async with Server(tls=authority.server_context("one.example", "::1", client_certificate=True), host="127.0.0.1") as server:
        server.route("/", Reply(body="ok", close=True))
        context = authority.client_context()
        identity = tmp_path / "client.pem"
        identity.write_bytes(authority.issue("client"))
        context.load_cert_chain(identity)
        for name in ("one.example", "::1"):
            assert (await talk(server, GET % b"", ssl=context, server_hostname=name)).endswith(b"ok")
        assert len(server.requests) == 2
        async with connect(server, ssl=authority.client_context(), server_hostname="one.example") as (_, writer):
            writer.write(GET % b"")
            await server.until(lambda: len(server.errors) == 1)
            assert "PEER_DID_NOT_RETURN_A_CERTIFICATE" in server.errors[0]
        assert len(server.requests) == 2
    async with Server(tls=authority.server_context(days=-1)) as server:
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            await talk(server, b"", ssl=authority.client_context())
    async with Server(tls=authority) as server:
        assert await talk(server, GET.replace(b"Host", b"Connection: close\r\nHost") % b"", ssl=authority.client_context())


def test_without_cryptography_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import aioreq.testing

    monkeypatch.delitem(sys.modules, "aioreq.testing.certificate")
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(ImportError, match=r"aioreq\[test\]"):
        importlib.import_module("aioreq.testing.certificate")
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = aioreq.testing.Nothing


# In a thread; over other sockets; its end.


def test_in_a_thread_for_synchronous_code() -> None:
    with Server(tls=True) as server:

        @server.route("/sum")
        async def total(request: Request) -> int:
            await asyncio.sleep(0)
            return 200 + len(request.body)

        context = server.client_context()
        client = http.client.HTTPSConnection("localhost", server.port, context=context, timeout=WAIT)
        client.request("POST", "/sum", body=b"1234")
        assert client.getresponse().read() == b""
        client.request("POST", "/sum", body=iter([b"a", b"b"]), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
        response = client.getresponse()
        assert (response.status, response.read()) == (202, b"")
        assert [r.chunks for r in server.requests] == [[], [1, 1]]
        assert server.push(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n", Close()) == 1
        client.close()
        server.wait(lambda: not server.connections)
        server.script(OK)
        with urllib.request.urlopen(server.url + "/none", context=context, timeout=WAIT) as answer:
            assert answer.read() == b"ok"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.host, server.port))
    with pytest.raises(RuntimeError, match=r"await server\.until"):
        server.wait(lambda: True)


async def test_a_threads_server_can_be_awaited_from_another_loop() -> None:
    with Server() as server:
        answer = asyncio.create_task(talk(server, GET.replace(b"Host", b"Connection: close\r\nHost") % b"x"))
        await server.until(lambda: len(server.requests) == 1 and not server.connections)
        assert (await answer).startswith(b"HTTP/1.1 404")


def test_a_port_in_use_is_an_error_in_both_forms() -> None:
    with Server() as server:
        second = Server(port=server.port, tls=True)
        with pytest.raises(OSError, match="in use"):
            second.__enter__()
        assert second.ca is None
    with second:  # the same object opens once the port is free
        assert second.port == server.port
        assert repr(second) == f"<Server https://127.0.0.1:{second.port}, open>"


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
async def test_a_unix_socket_and_ipv6(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with Server(unix=path) as server:
        server.route("/", Reply(body="unix", close=True))
        reader, writer = await asyncio.open_unix_connection(os.fspath(path))
        writer.write(GET % b"")
        assert (await reader.read()).endswith(b"unix")
        writer.close()
        assert server.url == "http://localhost"
    assert not path.exists()
    try:
        async with Server(host="::1") as server:
            server.route("/", Reply(body="six", close=True))
            assert (await talk(server, GET % b"")).endswith(b"six")
            assert server.url.startswith("http://[::1]:")
    except OSError:
        pytest.skip("no IPv6 here")


@both_loops
@pytest.mark.parametrize("tls", [False, True])
def test_nothing_is_left_behind(run: Runner, tls: bool) -> None:
    ended = False

    async def endless() -> AsyncIterator[bytes]:
        nonlocal ended
        try:
            while True:
                yield bytes(1 << 16)
        finally:
            ended = True

    async def main() -> None:
        writers = []
        async with Server(tls=tls) as server:
            context = server.client_context() if tls else None
            server.route("/stream", lambda request: endless())
            server.route("/never", lambda request: asyncio.get_running_loop().create_future())
            server.script(Stall(), path="/stall")
            server.script(b"x" * (8 << 20), Close(), path="/unread")
            for path in (b"stream", b"never", b"stall", b"unread", b"404"):
                _, writer = await asyncio.open_connection(server.host, server.port, ssl=context)
                writer.write(GET % path + b"GET / HT")
                writers.append(writer)
            await server.until(lambda: len(server.requests) == 5)
            _, silent = await asyncio.open_connection(server.host, server.port)  # over TLS: a handshake that never comes
            _, late = await asyncio.open_connection(server.host, server.port)
            writers += [silent, late]
        assert ended
        assert not server.connections
        assert not server.tasks
        for writer in writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(main())
        gc.collect()
    assert [str(warning.message) for warning in caught if issubclass(warning.category, ResourceWarning)] == []


def test_the_command_serves_httpbin() -> None:
    command = [sys.executable, "-m", "aioreq.testing", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent, text=True)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        with urllib.request.urlopen(url + "/json", timeout=WAIT) as answer:
            assert json.load(answer)["message"] == "hello"
    finally:
        process.terminate()
        process.stdout.close()
        process.wait()


def test_the_example_in_the_docstring() -> None:
    import aioreq.testing.server

    result = doctest.testmod(aioreq.testing.server)
    assert (result.failed, result.attempted > 0) == (0, True)


async def test_nothing_is_recorded_when_asked() -> None:
    async with Server(routes=[httpbin], record=False) as server:
        await talk(server, GET.replace(b"Host", b"Connection: close\r\nHost") % b"json")
        assert server.requests == []
