"""What widely used libraries take from inside of aiohttp, though nobody promised it: on the face and on aiohttp."""

from __future__ import annotations

import asyncio
import gc
import importlib
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from peers import needed_module
from yarl import URL

import aioreq.compat.aiohttp as face
from aioreq.testing import Close, Server, Stall

from .documentation_site import Site


@pytest.mark.no_loop
@pytest.mark.parametrize(
    "fields",
    [{}, {"Content-Type": "Text/HTML; Charset=Latin-1", "Content-Length": "7"}, {"content-type": "text/x; a=b"}, {"Content-Type": ""}],
    ids=str,
)
def test_headers_mixin(lib: Any, fields: dict[str, str]) -> None:
    """aiohttp-client-cache's responses derive from it."""
    mixin: Any = lib.helpers.HeadersMixin

    class Own(mixin):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            self._headers = CIMultiDict(fields)

    kind = next(iter(fields.values()), "").partition(";")[0].lower()
    own = Own()
    assert own.content_type == (kind or "application/octet-stream")
    assert own.charset == ("Latin-1" if kind == "text/html" else None)
    assert own.content_length == (7 if "Content-Length" in fields else None)


async def test_a_session_tells_the_headers_of_a_request(lib: Any) -> None:
    """aiohttp-client-cache's sessions derive from it."""
    async with lib.ClientSession(headers=[("X-A", "1"), ("X-A", "2"), ("X-B", "3")]) as session:
        assert session._prepare_headers(None) == CIMultiDict([("X-A", "1"), ("X-A", "2"), ("X-B", "3")])
        merged = session._prepare_headers([("X-B", "4"), ("X-B", "5"), ("X-C", "6")])
        assert merged.getall("X-A") == ["1", "2"]
        assert merged.getall("X-B") == ["4", "5"]
        assert merged["X-C"] == "6"


async def test_what_a_session_is_made_of_is_assigned_afterwards(lib: Any, server: Server) -> None:
    """Home Assistant does so with the fields, so that nobody changes them; others with the time limits and the jar."""
    server.script(Stall(), path="/stalls")
    async with lib.ClientSession(headers={"X-Old": "1"}, timeout=lib.ClientTimeout(total=30)) as session:
        session._default_headers = MappingProxyType({"User-Agent": "Own/1"})
        session._cookie_jar = lib.CookieJar(unsafe=True)
        session._cookie_jar.update_cookies({"new": "1"})
        with pytest.warns(DeprecationWarning, match="BasicAuth"):
            session._default_auth = lib.BasicAuth("somebody", "secret")
        async with session.get(server.url):
            pass
        fields = {name.lower().decode(): value.decode() for name, value in server.requests[-1].headers}
        assert "x-old" not in fields
        assert fields["user-agent"] == "Own/1"
        assert fields["cookie"] == "new=1"
        assert fields["authorization"] == session._default_auth.encode()
        session._timeout = lib.ClientTimeout(total=0.05)
        with pytest.raises(TimeoutError):
            await session.get(f"{server.url}/stalls")
    session._timeout = lib.ClientTimeout()
    assert session.closed


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
@pytest.mark.parametrize("middlewares", [False, True], ids=["plain", "middlewares"])
async def test_a_request_goes_out_twice_at_most(lib: Any, server: Server, method: str, middlewares: bool) -> None:
    """Over a used connection, too; one that isn't idempotent once."""

    async def passing(request: Any, handler: Any) -> Any:
        return await handler(request)

    server.script(Close(), path="/mortal", times=9)
    async with lib.ClientSession(middlewares=(passing,) if middlewares else ()) as session:
        async with session.get(server.url) as response:
            await response.read()
        with pytest.raises(lib.ServerDisconnectedError):
            await session.request(method, f"{server.url}/mortal")
        assert [request.path for request in server.requests[1:]] == ["/mortal"] * (1 if method == "POST" else 2)


async def test_a_connector_closes_without_being_awaited(lib: Any, site: Site) -> None:
    """fsspec and s3fs do this where their loop may have ended."""
    session = lib.ClientSession()
    async with session.get(f"{site.url}/events") as response:
        await response.read()
    session.connector._close()
    assert session.closed
    await session.close()


async def test_closing_waits_by_itself() -> None:
    """gql, and recipes for a graceful end, look here for TLS connections that are to be waited for."""
    async with face.ClientSession() as session:
        assert session.connector is not None
        assert list(session.connector._conns.values()) == []


async def test_a_response_that_was_awaited_and_lost(server: Server) -> None:
    """It is all that is left of its session, and says so."""
    server.script(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", Stall(), path="/")
    kept = [await face.request("GET", server.url)]
    with pytest.warns(ResourceWarning, match="Unclosed connector"):
        _lose(kept)


def _lose(kept: list[Any]) -> None:
    kept.clear()
    gc.collect()


async def test_a_connector_that_asks_its_own_class(lib: Any) -> None:
    """What a `_resolve_host` of a subclass gets from ours, and what becomes of a name without an address."""
    found: list[Any] = []

    class Own(lib.TCPConnector):  # type: ignore[misc, name-defined, unused-ignore]
        async def _resolve_host(self, host: str, port: int, traces: Any = None) -> Any:
            try:
                found.extend(await super()._resolve_host(host, port, traces))
            except OSError as error:
                found.append(type(error))
                raise
            return found

    async with lib.ClientSession(connector=Own()) as session:
        with pytest.raises(lib.ClientConnectorDNSError):
            await session.get("http://no-such-name.invalid/")
        assert found == [OSError]
        found.clear()
        with pytest.raises(lib.ClientConnectorError):
            await session.get("http://127.0.0.1:1/")
        assert [(each["hostname"], each["host"], each["port"]) for each in found] == [("127.0.0.1", "127.0.0.1", 1)]


async def test_a_session_tells_where_a_request_goes(lib: Any) -> None:
    """aioresponses asks it."""
    async with lib.ClientSession("http://here.test/a/") as session:
        assert session._build_url("b?c=d") == URL("http://here.test/a/b?c=d")
        assert session._build_url(URL("http://there.test/")) == URL("http://there.test/")
    async with lib.ClientSession() as session:
        assert session._build_url("/b") == URL("/b")


async def test_a_response_made_by_hand(lib: Any) -> None:
    """vcrpy and aioresponses play responses so; those that are recorded take the same way back."""
    url, fields = URL("http://here.test/a"), CIMultiDict({"Content-Type": "application/json; charset=latin-1", "Set-Cookie": "a=b"})
    info = lib.RequestInfo(url, "GET", CIMultiDictProxy(CIMultiDict()), url)
    timer = lib.helpers.TimerNoop()
    loop = asyncio.get_running_loop()
    parts = {"writer": None, "continue100": None, "timer": timer, "request_info": info, "traces": [], "loop": loop, "session": None}
    made = lib.ClientResponse("GET", url, stream_writer=SimpleNamespace(output_size=0), **parts)
    made.status, made.reason = 404, "Gone"
    made._headers = CIMultiDictProxy(fields)
    made._raw_headers = tuple((name.encode(), value.encode()) for name, value in fields.items())
    made.content = lib.StreamReader(lib.client_proto.ResponseHandler(loop=loop), limit=2**16, loop=loop)
    made.content.feed_data(b'["\xe9"]')
    made.content.feed_eof()
    assert (made.headers["set-cookie"], made.content_type, made.charset) == ("a=b", "application/json", "latin-1")
    assert made.raw_headers[1] == (b"Set-Cookie", b"a=b")
    assert (made.history, made.ok, made.url, made.method) == ((), False, url, "GET")
    made.cookies.load("c=d")
    assert made.cookies["c"].value == "d"
    assert await made.json() == ["\xe9"]
    with timer, pytest.raises(lib.ClientResponseError, match="404, message='Gone'"):
        made.raise_for_status()


async def test_what_was_received_may_be_told_anew(lib: Any, server: Server) -> None:
    """vcrpy puts a reader of its own in the place of one that it has read from."""
    async with lib.ClientSession() as session, session.get(server.url) as response:
        assert (response._headers, response._raw_headers) == (response.headers, response.raw_headers)
        body = await response.read()
        response.content = lib.StreamReader(lib.base_protocol.BaseProtocol(asyncio.get_running_loop()), limit=2**16)
        response.content.feed_data(body)
        response.content.feed_eof()
        assert [piece async for piece in response.content.iter_chunked(1 << 20)] == [body]


@pytest.mark.no_loop
def test_what_annotations_name(lib: Any) -> None:
    """kubernetes_asyncio imports them."""
    client = importlib.import_module(f"{lib.__name__}.client")
    for name in ("_BaseRequestContextManager", "_RequestContextManager", "_WSRequestContextManager"):
        assert hasattr(getattr(client, name), "__aenter__"), name


@pytest.mark.no_loop
def test_time_limits_evolve(lib: Any) -> None:
    """aiodocker, and much code beside it, changes one of them by the package attrs, of which aiohttp's classes are made."""
    attr = needed_module("attr", "attrs")
    changed = attr.evolve(lib.ClientTimeout(total=1, sock_read=2), total=None, connect=3)
    assert changed == lib.ClientTimeout(connect=3, sock_read=2)
    assert attr.asdict(changed) == {"total": None, "connect": 3, "sock_read": 2, "sock_connect": None, "ceil_threshold": 5}
    assert attr.evolve(lib.ClientWSTimeout(ws_close=1), ws_receive=2) == lib.ClientWSTimeout(ws_receive=2, ws_close=1)


async def test_the_cookies_of_a_jar(lib: Any) -> None:
    """Programs that log in once keep them from here."""
    jar = lib.CookieJar()
    jar.update_cookies_from_headers(["a=1; Path=/", "b=2", "a=3; Path=/q/"], URL("http://www.here.test/q/w"))
    jar.update_cookies({"c": "4"}, URL("http://there.test/"))
    found = {place: {name: cookie.value for name, cookie in cookies.items()} for place, cookies in jar._cookies.items() if cookies}
    assert {domain for domain, _ in found} == {"www.here.test", "there.test"}
    assert found["www.here.test", ""] == {"a": "1"}
    assert found["www.here.test", "/q"] == {"a": "3", "b": "2"}
    assert found["there.test", ""] == {"c": "4"}
