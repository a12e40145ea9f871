"""What our errors are to httpx: one table, each class of ours in it by what it is or derives from; and what arrives in programs."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import aioreq
from aioreq import errors
from aioreq.compat._httpx.errors import name_of
from aioreq.testing import Close, Reset, Server, Stall

from .httpx_libraries import lib, ours

__all__ = ["lib", "ours"]

pytestmark = pytest.mark.usefixtures("no_hanging")

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, aioreq.AioreqError)]


@pytest.mark.no_loop
@pytest.mark.parametrize("kind", KINDS)
def test_each_error_has_a_class_there(lib: Any, kind: type[aioreq.AioreqError]) -> None:
    assert issubclass(getattr(lib, name_of(kind("what happened"))), lib.TransportError)


@pytest.mark.no_loop
def test_the_table() -> None:
    reset = errors.ConnectionLost("reset")
    reset.__cause__ = ConnectionResetError()
    told = {
        errors.ConnectTimeout("x"): "ConnectTimeout",
        errors.TotalTimeout("x"): "ReadTimeout",
        errors.CertificateError("x"): "ConnectError",
        errors.ProxyError("x"): "ProxyError",
        errors.GuardError("x"): "ConnectError",
        errors.IncompleteBody("x"): "RemoteProtocolError",
        reset: "ReadError",
        errors.LimitExceeded("x", limit="head"): "RemoteProtocolError",
        errors.LimitExceeded("x", limit="waiters"): "PoolTimeout",
        errors.ClientClosed("x"): "CloseError",
    }
    assert {error: name_of(error) for error in told} == told


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        ((Close(),), "RemoteProtocolError"),
        ((Reset(),), "ReadError"),
        ((Stall(),), "ReadTimeout"),
        ((b"HTTP/1.1 OK\r\n\r\n",), "RemoteProtocolError"),
        ((HEAD + b"12345", Close()), "RemoteProtocolError"),
        ((HEAD + b"12345", Stall()), "ReadTimeout"),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12", Stall()), "RemoteProtocolError"),
    ],
)
async def test_what_a_program_catches(lib: Any, ours: Any, server: Server, steps: Any, name: str) -> None:
    server.script(*steps)
    async with lib.AsyncClient(transport=ours.AsyncTransport(), timeout=lib.Timeout(5, read=0.1)) as client:
        with pytest.raises(lib.TransportError) as caught:
            await client.get(server.url)
        assert type(caught.value).__name__ == name
        assert isinstance(caught.value.__cause__, aioreq.AioreqError)
        assert str(caught.value) == str(caught.value.__cause__)
        assert caught.value.request.url == server.url
        assert client._transport.connector.stats().open == 0


async def test_what_is_wrong_with_a_url(lib: Any, ours: Any) -> None:
    async with lib.AsyncClient(transport=ours.AsyncTransport()) as client:
        for url in ("ftp://example.org/", "example.org/"):
            with pytest.raises(lib.UnsupportedProtocol):
                await client.get(url)


async def test_a_connector_that_was_closed(lib: Any, ours: Any, server: Server) -> None:
    connector = aioreq.Connector()
    transport = ours.AsyncTransport(connector=connector)
    await connector.close()
    with pytest.raises(lib.CloseError, match="closed"):
        await transport.handle_async_request(lib.Request("GET", server.url))


async def test_what_a_body_raises_arrives_as_it_is(lib: Any, ours: Any, server: Server) -> None:
    async def broken() -> Any:
        yield b"a"
        raise KeyError("mine")

    async with lib.AsyncClient(transport=ours.AsyncTransport()) as client:
        with pytest.raises(KeyError, match="mine"):
            await client.post(server.url, content=broken())
        assert client._transport.connector.stats().open == 0


async def test_a_stream_of_the_other_library(lib: Any, ours: Any, server: Server) -> None:
    class Body:
        async def __aiter__(self) -> Any:
            yield b"x"

    async with ours.AsyncTransport() as transport:
        with pytest.raises(TypeError, match=f"no stream of {lib.__name__},"):
            await transport.handle_async_request(lib.Request("POST", server.url, stream=Body()))


@pytest.mark.no_loop
def test_without_asyncio(lib: Any, ours: Any) -> None:
    transport = ours.AsyncTransport()
    for call in (transport.handle_async_request(lib.Request("GET", "http://127.0.0.1/")), transport.aclose()):
        with pytest.raises(RuntimeError, match="under trio"):
            call.send(None)
