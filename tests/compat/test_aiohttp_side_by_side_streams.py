"""Side by side: reading by pieces, back-pressure, what may be done after the end, and what a trace tells in which order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aioreq.testing import Pause, ReadRequest, Reply, Request, Server, Stall

from .side_by_side import OK, Stage, same

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    Pause(0.02),
    b"5\r\none\r\n\r\n",
    Pause(0.02),
    b"4\r\ntwo\n\r\n0\r\n\r\n",
)
READERS: dict[str, Any] = {
    "read": lambda content: content.read(),
    "read of 4": lambda content: content.read(4),
    "read of 0": lambda content: content.read(0),
    "readany": lambda content: content.readany(),
    "readline": lambda content: content.readline(),
    "readuntil": lambda content: content.readuntil(b"t"),
    "readexactly": lambda content: content.readexactly(7),
    "readexactly too many": lambda content: content.readexactly(70),
    "readchunk": lambda content: content.readchunk(),
}
ITERATORS: dict[str, Any] = {
    "lines": lambda content: content,
    "iter_chunked": lambda content: content.iter_chunked(4),
    "iter_any": lambda content: content.iter_any(),
    "iter_chunks": lambda content: content.iter_chunks(),
}


@pytest.mark.parametrize("reader", READERS)
async def test_reading(reader: str) -> None:
    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session, session.get(stage.url) as response:
            content = response.content
            for _ in range(6):
                with stage.trying(reader):
                    stage.say(await READERS[reader](content), content.at_eof())
            stage.say(content.is_eof(), content.total_bytes, content.exception())

    await same(play, [CHUNKED])


@pytest.mark.parametrize("iterator", ITERATORS)
async def test_iterating(iterator: str) -> None:
    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session, session.get(stage.url) as response:
            with stage.trying(iterator):
                async for piece in ITERATORS[iterator](response.content):
                    stage.say(piece)
            stage.say(response.content.at_eof(), await response.read())

    await same(play, [CHUNKED])


@pytest.mark.parametrize("iterator", ITERATORS)
async def test_iterating_over_what_breaks(iterator: str) -> None:
    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session, session.get(stage.url) as response:
            with stage.trying(iterator):
                async for piece in ITERATORS[iterator](response.content):
                    stage.say(piece)
            with stage.trying("again"):
                stage.say(await response.read())

    from aioreq.testing import Close

    await same(play, [(*CHUNKED[:4], b"4\r\nt", Pause(0.02), Close())])


@pytest.mark.parametrize("read", ["read", "text", "json", "content.read", "content.readany", "release", "twice"])
@pytest.mark.parametrize("ended", ["read", "released", "closed", "left", "not read"])
async def test_after_the_end(ended: str, read: str) -> None:
    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session:
            response = await session.get(stage.url)
            if ended == "read":
                await response.read()
            elif ended == "released":
                released = response.release()
                if released is not None:
                    await released
            elif ended == "closed":
                response.close()
            elif ended == "left":
                async with response:
                    pass
            stage.say(response.closed, response.connection is None)
            with stage.trying(read):
                if read == "twice":
                    stage.say(await response.read(), await response.read())
                elif read == "release":
                    response.release()
                else:
                    stage.say(await getattr(response.content if "." in read else response, read.rpartition(".")[2])())
            stage.say(response.closed)
            response.release()
            await stage.ask(session)

    reply = Reply(200, [("Content-Type", "application/json")], b"[" + b"1, " * 100_000 + b"2]")
    routes = {"/": reply}

    def serve(server: Server) -> None:
        server.route("/", routes["/"])

    await same(play, routes=serve, reuse=False)


async def test_back_pressure() -> None:
    """Who doesn't read stops the sender; who reads gets all of it."""
    sent = 0

    async def pieces() -> Any:
        nonlocal sent
        for _ in range(400):
            sent += 1
            yield bytes(100_000)

    async def play(stage: Stage) -> None:
        nonlocal sent
        sent = 0
        async with stage.lib.ClientSession() as session, session.get(stage.url) as response:
            before = -1
            while before != sent:
                before = sent
                await asyncio.sleep(0.1)
            stage.say("stopped", sent < 300)
            stage.say(len(await response.read()))

    await same(play, routes=lambda server: server.route("/", lambda request: Reply(200, [], pieces())))


async def test_chaining_one_response_into_another_request() -> None:
    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session, session.get(stage.url + "/source") as source:
            await stage.ask(session, "POST", "/sink", data=source.content)

    def routes(server: Server) -> None:
        server.route("/source", b"x" * 100_000)
        server.route("/sink", lambda request: str(len(request.body)))

    await same(play, routes=routes)


SIGNALS = (
    "request_start", "request_end", "request_exception", "request_redirect", "request_chunk_sent", "request_headers_sent",
    "response_chunk_received", "connection_queued_start", "connection_queued_end", "connection_create_start", "connection_create_end",
    "connection_reuseconn", "dns_resolvehost_start", "dns_resolvehost_end", "dns_cache_hit", "dns_cache_miss",
)  # fmt: skip


def tracing(stage: Stage) -> Any:
    """A trace that says each signal, and the names and plain values of what it brings."""
    config = stage.lib.TraceConfig()

    def teller(name: str) -> Any:
        async def tell(session: Any, context: Any, params: Any) -> None:
            told = {key: getattr(params, key) for key in dir(params) if not key.startswith("_")}
            plain = {key: value for key, value in told.items() if isinstance(value, str | bytes) or key == "url"}
            kinds = {key: type(value).__name__ for key, value in told.items() if key in ("response", "exception")}
            stage.say(name, sorted(plain.items(), key=str), sorted(kinds.items()), sorted(told), context.trace_request_ctx)

        return tell

    for name in SIGNALS:
        getattr(config, f"on_{name}").append(teller(name))
    return config


PLAYS = ("plain", "again", "body", "generator", "redirect", "error", "broken", "limit", "name", "404")


@pytest.mark.parametrize("what", PLAYS)
async def test_the_order_of_a_trace(what: str) -> None:
    async def pieces() -> Any:
        yield b"one"
        yield b"two"

    async def play(stage: Stage) -> None:
        lib = stage.lib
        connector = lib.TCPConnector(limit=1 if what == "limit" else 100)
        async with lib.ClientSession(trace_configs=[tracing(stage)], connector=connector) as session:
            options: dict[str, Any] = {"trace_request_ctx": "mine"}
            path = {"redirect": "/moved", "broken": "/broken", "404": "/404"}.get(what, "/")
            if what == "name":
                path = stage.url.replace("127.0.0.1", "localhost") + "/"
            if what == "error":
                path = "http://127.0.0.1:1/"
            body = {"body": b"body", "generator": pieces()}.get(what)
            await stage.ask(session, "GET" if body is None else "POST", path, data=body, **options)
            if what in ("again", "name"):
                await stage.ask(session, "GET", path, **options)
            if what == "limit":
                held = await session.get(stage.url + "/")
                waiting = asyncio.ensure_future(stage.ask(session, "GET", "/", **options))
                await asyncio.sleep(0.05)
                held.close()
                await waiting

    def routes(server: Server) -> None:
        server.route("/", Reply(200, [], b"hello" * 10))
        server.route("/moved", Reply(302, [("Location", "/")]))
        server.route("/broken", lambda request: Reply(200, [("Content-Length", "5")], b"abc", close=True))

    await same(play, routes=routes, reuse=False)


@pytest.mark.parametrize("what", ["passes", "answers", "raises", "changes", "twice"])
async def test_middlewares(what: str) -> None:
    async def play(stage: Stage) -> None:
        async def middleware(request: Any, handler: Any) -> Any:
            stage.say("before", request.method, request.url)
            if what == "raises":
                raise KeyError("mine")
            if what == "changes":
                request.headers["X-A"] = "2"
                request.url = request.url.with_path("/changed")
            response = await handler(request)
            if what == "twice":
                response.release()
                response = await handler(request)
            stage.say("after", response.status, await response.text())
            return response

        async with stage.lib.ClientSession(middlewares=(middleware, middleware)) as session:
            await stage.ask(session, "GET", "/moved", headers={"X-A": "1"})
            await stage.ask(session, "POST", "/", data=b"body")

    def routes(server: Server) -> None:
        server.route("/moved", Reply(302, [("Location", "/end")]))
        server.route("/*", lambda request: request.path)

    await same(play, routes=routes, reuse=False, different="a URL changed by a middleware" if what == "changes" else None)


async def test_uploads_that_fail() -> None:
    async def pieces(error: Exception) -> Any:
        yield b"x"
        raise error

    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session:
            for error in (ValueError("oh no"), OSError(28, "disk full")):
                await stage.ask(session, "POST", data=pieces(error))

    await same(play, [(ReadRequest(), OK)] * 2, wire=False)


async def test_an_answer_before_the_end_of_an_upload() -> None:
    async def pieces() -> Any:
        for _ in range(50):
            yield bytes(100_000)
            await asyncio.sleep(0.001)

    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session:
            await stage.ask(session, "POST", data=pieces())
            await stage.ask(session)

    def early(request: Request) -> Reply:
        return Reply(413, [], "too much", close=True)

    await same(play, routes=lambda server: server.route("/", early, methods=["POST"], early=True), wire=False)


async def test_cancelling() -> None:
    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session:
            waiting = asyncio.ensure_future(session.get(stage.url))
            await stage.server.until(lambda: bool(stage.server.requests))
            waiting.cancel()
            stage.say(type((await asyncio.gather(waiting, return_exceptions=True))[0]).__name__)
            await stage.ask(session)

    await same(play, [(Stall(),), (OK,)])
