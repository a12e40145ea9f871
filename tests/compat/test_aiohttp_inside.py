"""What widely used libraries take from inside of aiohttp, though nobody promised it: on the face and on aiohttp."""

from __future__ import annotations

import gc
from types import MappingProxyType
from typing import Any

import pytest
from multidict import CIMultiDict

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
