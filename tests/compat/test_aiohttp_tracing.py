"""Tracing: every signal, with its parameters and in aiohttp's order. Each scene runs on aiohttp and on the face, which tell the same."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import FrozenInstanceError
from types import SimpleNamespace
from typing import Any

import pytest
from multidict import CIMultiDict
from peers import needed_module
from yarl import URL

import aioreq.compat.aiohttp as ours
from aioreq.testing import ReadRequest, Reply, Request, Reset, Server

theirs = needed_module("aiohttp", "aiohttp")

Scene = Callable[[Any, Any, Server], Awaitable[None]]

SIGNALS = [name for name in dir(ours.TraceConfig()) if name.startswith("on_")]
DIFFERS = {"user-agent", "accept-encoding", "host"}  # on purpose: who it is, what is installed


class Told:
    """A TraceConfig, and all that it was told, in a form that is the same for both libraries."""

    def __init__(self, lib: Any, **options: Any) -> None:
        self.config = lib.TraceConfig(**options)
        self.steps: list[Any] = []
        self.contexts: list[Any] = []
        for signal in SIGNALS:
            getattr(self.config, signal).append(self._function(signal))

    def _function(self, signal: str) -> Any:
        async def tell(session: Any, context: Any, params: Any) -> None:
            assert session.trace_configs[0] is self.config
            self.contexts.append(context)
            self.steps.append((signal.removeprefix("on_"), type(params).__name__, plain(params)))
            await asyncio.sleep(0)

        return tell

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self.steps]


def plain(params: Any) -> dict[str, Any]:
    found = {}
    for name in (each for each in dir(params) if not each.startswith("_")):
        value = getattr(params, name)
        if name == "url":
            assert isinstance(value, URL)
            value = value.raw_path_qs
        elif name == "headers":
            assert isinstance(value, CIMultiDict)
            value = sorted((key.lower(), text) for key, text in value.items() if key.lower() not in DIFFERS)
        elif name == "response":
            value = (value.status, value.url.raw_path_qs, value.method)
        elif name == "exception":
            value = type(value).__name__
        found[name] = value
    return found


# The scenes


async def twice(session: Any, lib: Any, server: Server) -> None:
    for _ in range(2):
        async with session.get(f"http://localhost:{server.port}/id/1?a=b", headers={"X-Own": "1"}, params={"d": "e"}) as response:
            assert await response.text() == "1"


async def literal(session: Any, lib: Any, server: Server) -> None:
    async with session.get(server.url) as response:
        await response.read()


async def redirects(session: Any, lib: Any, server: Server) -> None:
    async with session.get(f"{server.url}/redirect/2") as response:
        assert len(response.history) == 2
    async with session.post(f"{server.url}/redirect-to?url=/get&status_code=303", data=b"body") as response:
        assert response.method == "GET"
    async with session.post(f"{server.url}/redirect-to?url=/post&status_code=307", data=b"body") as response:
        await response.read()


async def not_followed(session: Any, lib: Any, server: Server) -> None:
    async with session.get(f"{server.url}/redirect/2", allow_redirects=False) as response:
        assert response.status == 302


async def too_many(session: Any, lib: Any, server: Server) -> None:
    with pytest.raises(lib.TooManyRedirects):
        await session.get(f"{server.url}/redirect/5", max_redirects=2)


async def refused(session: Any, lib: Any, server: Server) -> None:
    with pytest.raises(lib.ClientConnectorError):
        await session.get("http://127.0.0.1:1/", trace_request_ctx={"of": "the call"})


async def no_such_name(session: Any, lib: Any, server: Server) -> None:
    with pytest.raises(lib.ClientConnectorDNSError):
        await session.get("http://nosuch.invalid/")


async def bad_status(session: Any, lib: Any, server: Server) -> None:
    with pytest.raises(lib.ClientResponseError):
        await session.get(f"{server.url}/status/404", raise_for_status=True)


async def cut(session: Any, lib: Any, server: Server) -> None:
    server.script(Reset(), path="/dies")
    with pytest.raises(lib.ClientError):
        await session.post(f"{server.url}/dies", data=b"x")


async def bodies(session: Any, lib: Any, server: Server) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    for body in ({"data": b"bytes"}, {"json": {"a": 1}}, {"data": {"a": "b"}}, {"data": pieces()}, {"data": "text"}, {"data": b""}):
        async with session.post(f"{server.url}/upload", **body) as response:
            assert response.status == 200


async def a_body_by_pieces(session: Any, lib: Any, server: Server) -> None:
    """Only what `read` gives counts as a chunk."""
    async with session.get(f"{server.url}/bytes/10") as response:
        assert [chunk async for chunk in response.content.iter_chunked(4)] == [b"\0\1\2\3", b"\4\5\6\7", b"\10\11"]
    async with session.get(f"{server.url}/bytes/10") as response:
        assert len(await response.read()) == len(await response.read()) == 10


async def head(session: Any, lib: Any, server: Server) -> None:
    async with session.head(f"{server.url}/bytes/10") as response:
        assert await response.read() == b""


async def cookies(session: Any, lib: Any, server: Server) -> None:
    for _ in range(2):
        async with session.get(f"http://localhost:{server.port}/cookies/set?a=b") as response:
            await response.read()


SCENES = [
    *(twice, literal, redirects, not_followed, too_many, refused, no_such_name, bad_status, cut, bodies, a_body_by_pieces),
    *(head, cookies),
]


async def play(lib: Any, scene: Scene, **options: Any) -> Told:
    from aioreq.testing import httpbin

    told = Told(lib)
    connector = lib.TCPConnector(resolver=lib.ThreadedResolver(), family=2, **options)
    async with (
        Server(routes=httpbin) as server,
        lib.ClientSession(connector=connector, trace_configs=[told.config], headers={"X-Ours": "2"}) as session,
    ):
        await scene(session, lib, server)
    return told


@pytest.mark.parametrize("scene", SCENES)
async def test_the_same_is_told(scene: Scene) -> None:
    one, other = await play(ours, scene), await play(theirs, scene)
    assert one.steps == other.steps
    assert one.names[0] == "request_start"


@pytest.mark.parametrize(
    "options", [{"use_dns_cache": False}, {"force_close": True}, {"ttl_dns_cache": None, "force_close": True}], ids=str
)
async def test_the_same_is_told_of_names_and_connections(options: dict[str, Any]) -> None:
    one, other = await play(ours, twice, **options), await play(theirs, twice, **options)
    assert one.names == other.names
    assert "connection_create_start" in one.names


async def in_line(lib: Any) -> list[Told]:
    """Three requests and one connection, which serves the second as well and ends with it."""
    told = []
    connector = lib.TCPConnector(limit=1)
    async with Server() as server:
        opened = asyncio.Event()

        async def held(request: Request) -> Reply:
            await opened.wait()
            return Reply(200, [("Connection", "close")] if request.path == "/2" else [])

        server.route("*", held)
        async with asyncio.TaskGroup() as group:
            sessions = []
            for number in (1, 2, 3):
                told.append(Told(lib))
                sessions.append(lib.ClientSession(connector=connector, connector_owner=False, trace_configs=[told[-1].config]))
                group.create_task(sessions[-1]._request("GET", f"{server.url}/{number}"))
                await asyncio.sleep(0.02)
            opened.set()
        for session in sessions:
            await session.close()
        await connector.close()
    return told


async def test_the_queue() -> None:
    told = await in_line(ours)
    assert [each.names for each in told] == [each.names for each in await in_line(theirs)]
    assert told[1].names[:4] == ["request_start", "connection_queued_start", "connection_queued_end", "connection_reuseconn"]
    assert told[2].names[:4] == ["request_start", "connection_queued_start", "connection_queued_end", "connection_create_start"]


async def test_names_asked_for_together() -> None:
    """Who comes while a name is being asked for is told of a hit."""

    async def scene(lib: Any) -> list[Any]:
        told = [Told(lib), Told(lib)]
        connector = lib.TCPConnector(resolver=lib.ThreadedResolver(), family=2)
        async with Server() as server:
            server.route("*", 200)
            sessions = [lib.ClientSession(connector=connector, connector_owner=False, trace_configs=[each.config]) for each in told]
            await asyncio.gather(*(session._request("GET", f"http://localhost:{server.port}/") for session in sessions))
            for session in sessions:
                await session.close()
        await connector.close()
        return [[name for name in each.names if name.startswith("dns")] for each in told]

    told = await scene(ours)
    assert told == await scene(theirs)
    assert told == [["dns_cache_miss", "dns_resolvehost_start", "dns_resolvehost_end"], ["dns_cache_hit"]]


async def test_of_a_proxys_name_nothing_is_told() -> None:
    async def scene(lib: Any) -> list[str]:
        told = Told(lib)
        async with Server() as server, lib.ClientSession(trace_configs=[told.config]) as session:
            server.route("*", 200)
            async with session.get("http://one.test/", proxy=f"http://localhost:{server.port}") as response:
                assert response.status == 200
        return told.names

    told = await scene(ours)
    assert told == await scene(theirs)
    assert "connection_create_start" in told


# Contexts


async def test_contexts(lib: Any, server: Server) -> None:
    class Context(SimpleNamespace):
        pass

    one, other = Told(lib), lib.TraceConfig(trace_config_ctx_factory=Context)
    contexts: list[Any] = []

    async def note(session: Any, context: Any, params: Any) -> None:
        contexts.append(context)

    other.on_request_start.append(note)
    other.on_request_end.append(note)
    async with lib.ClientSession(trace_configs=[one.config, other]) as session:
        for number in (1, 2):
            async with session.get(server.url, trace_request_ctx=number):
                pass
    assert [context.trace_request_ctx for context in contexts] == [1, 1, 2, 2]
    assert [type(context) for context in contexts] == [Context] * 4
    assert contexts[0] is contexts[1] is not contexts[2]
    assert {type(context) for context in one.contexts} == {SimpleNamespace}
    assert len({id(context) for context in one.contexts}) == 2


async def test_all_are_told_of_one_step_before_the_next(lib: Any, server: Server) -> None:
    steps: list[Any] = []
    configs = []

    def noting(number: int, name: str) -> Any:
        async def note(session: Any, context: Any, params: Any) -> None:
            steps.append((name, number))

        return note

    for number in (1, 2):
        config = lib.TraceConfig()
        for name in ("on_dns_cache_miss", "on_dns_resolvehost_start", "on_request_end"):
            getattr(config, name).append(noting(number, name))
        configs.append(config)
    connector = lib.TCPConnector(resolver=lib.ThreadedResolver(), family=2)
    async with lib.ClientSession(trace_configs=configs, connector=connector) as session, session.get(f"http://localhost:{server.port}"):
        pass
    assert steps == [(name, number) for name in ("on_dns_cache_miss", "on_dns_resolvehost_start", "on_request_end") for number in (1, 2)]


async def test_what_a_function_raises_fails_the_call(lib: Any, server: Server) -> None:
    for signal in (
        "on_request_start",
        "on_connection_create_start",
        "on_dns_resolvehost_start",
        "on_request_headers_sent",
        "on_request_end",
    ):
        told = Told(lib)

        async def fail(session: Any, context: Any, params: Any) -> None:
            raise KeyError("mine")

        getattr(told.config, signal).append(fail)
        connector = lib.TCPConnector(resolver=lib.ThreadedResolver(), family=2, limit=1)
        async with lib.ClientSession(trace_configs=[told.config], connector=connector) as session:
            for _ in range(2):  # the only connection isn't lost with the first
                with pytest.raises(KeyError, match="mine"):
                    async with asyncio.timeout(5):
                        await session.get(f"http://localhost:{server.port}/id/1")
                if hasattr(connector, "clear_dns_cache"):
                    connector.clear_dns_cache()
        # Who wasn't told of a beginning is told of no end.
        assert ("request_exception" in told.names) == (signal != "on_request_start")


# Signals


@pytest.mark.no_loop
def test_a_signal_is_a_list_until_it_is_frozen(lib: Any) -> None:
    async def one(session: Any, context: Any, params: Any) -> None: ...

    config = lib.TraceConfig()
    signal = config.on_request_start
    signal.append(one)
    signal.insert(0, one)
    assert signal(one) is one  # a decorator
    assert list(signal) == [one] * 3
    del signal[0]
    signal[0] = one
    assert (len(signal), signal.frozen) == (2, False)
    config.freeze()
    assert signal.frozen
    for change in (lambda: signal.append(one), signal.clear, lambda: signal.__delitem__(0), lambda: signal.__setitem__(0, one)):
        with pytest.raises(RuntimeError, match="Cannot modify frozen list"):
            change()
    assert list(signal) == [one] * 2


async def test_a_signal_is_sent_once_it_is_frozen(lib: Any) -> None:
    with pytest.raises(RuntimeError, match="Cannot send non-frozen signal"):
        await lib.TraceConfig().on_request_start.send(None, None, None)


@pytest.mark.no_loop
def test_parameters() -> None:
    kinds = [name for name in theirs.tracing.__all__ if name.endswith("Params")]
    assert len(kinds) == len(SIGNALS) == 16
    for name in kinds:
        kind, other = getattr(ours, name), getattr(theirs, name)
        assert list(inspect.signature(kind).parameters) == list(inspect.signature(other).parameters)
        values = range(len(inspect.signature(kind).parameters))
        made = kind(*values)
        assert made == kind(*values)
        for parameter in inspect.signature(kind).parameters:
            with pytest.raises(FrozenInstanceError):
                setattr(made, parameter, 1)


async def test_a_resend_is_told(lib: Any, server: Server) -> None:
    """A connection that dies under an idempotent request: it goes out again, and whoever traces it is told so."""
    server.script(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", ReadRequest(), Reset())
    told = Told(lib)
    async with lib.ClientSession(trace_configs=[told.config]) as session:
        for _ in range(2):
            async with session.get(server.url) as response:
                await response.read()
    created = ["connection_create_start", "connection_create_end", "request_headers_sent"]
    assert told.names == [
        *("request_start", *created, "request_end", "response_chunk_received"),
        *("request_start", "connection_reuseconn", "request_headers_sent", *created, "request_end", "response_chunk_received"),
    ]


@pytest.mark.parametrize("lib", [ours, theirs], ids=["aioreq", "aiohttp"])
async def test_what_a_trace_changes_of_the_headers_goes_out(lib: Any) -> None:
    """As those do that hand on the context of a distributed trace; told again at each redirect, for what follows it."""
    from aioreq.testing import httpbin

    async def on_request_start(session: Any, context: Any, params: Any) -> None:
        params.headers["traceparent"] = "00-1"
        params.headers["X-Own"] = "changed"
        params.headers.add("X-Two", "a")
        params.headers.add("x-two", "b")
        del params.headers["X-Ours"]

    async def on_request_redirect(session: Any, context: Any, params: Any) -> None:
        params.headers["traceparent"] += "-redirected"

    config = lib.TraceConfig()
    config.on_request_start.append(on_request_start)
    config.on_request_redirect.append(on_request_redirect)
    async with (
        Server(routes=httpbin) as server,
        lib.ClientSession(trace_configs=[config], headers={"X-Ours": "2", "X-Kept": "3"}) as session,
    ):
        async with session.get(f"{server.url}/redirect/2", headers={"X-Own": "1"}) as response:
            assert response.request_info.headers["X-Own"] == "changed"
        async with session.post(f"{server.url}/anything", json={}, headers={"X-Own": "1"}):
            pass
        sent = [
            [(name.decode(), value.decode()) for name, value in request.headers if name[:2].lower() in (b"x-", b"tr")]
            for request in server.requests
        ]
    always = [("X-Kept", "3"), ("X-Own", "changed"), ("X-Two", "a"), ("x-two", "b")]
    parents = ["00-1", "00-1-redirected", "00-1-redirected-redirected", "00-1"]
    assert [sorted(fields) for fields in sent] == [[*always[:3], ("traceparent", parent), always[3]] for parent in parents]


async def test_credentials_that_a_trace_adds_stay_with_their_origin() -> None:
    from aioreq.testing import httpbin

    async def on_request_start(session: Any, context: Any, params: Any) -> None:
        params.headers["Authorization"] = "Bearer secret"

    config = ours.TraceConfig()
    config.on_request_start.append(on_request_start)
    async with Server(routes=httpbin) as here, Server(routes=httpbin) as there, ours.ClientSession(trace_configs=[config]) as session:
        async with session.get(f"{here.url}/redirect-to?url={there.url}/redirect/1") as response:
            assert response.status == 200
        assert here.requests[0].header("authorization") == "Bearer secret"
        assert [request.header("authorization") for request in there.requests] == [None, None]
