"""What goes wrong on the way, and what a session raises for it: the class, and what code reads of it. On the face and on aiohttp."""

from __future__ import annotations

import asyncio
import gc
import ssl
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from multidict import CIMultiDictProxy
from yarl import URL

from aioreq.compat import aiohttp as face
from aioreq.testing import Close, ReadHead, Reset, Server, Stall

HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize("url", ["http://", "http:///path", "no-scheme", "", "http://[::1", "http://host:port/"])
async def test_urls_that_are_none(lib: Any, url: str) -> None:
    async with lib.ClientSession() as session:
        with pytest.raises(lib.InvalidUrlClientError) as caught:
            await session.get(url)
        assert str(caught.value.url) == url
        assert isinstance(caught.value, ValueError | lib.ClientError)


async def test_urls_of_other_schemes(lib: Any) -> None:
    async with lib.ClientSession() as session:
        for url in ("ftp://host/", "file:///etc/passwd", "data:,x"):
            with pytest.raises(lib.NonHttpUrlClientError, match=url):
                await session.get(url)


async def test_nobody_listens(lib: Any, closed_port: int) -> None:
    async with lib.ClientSession() as session:
        with pytest.raises(lib.ClientConnectorError) as caught:
            await session.get(f"http://127.0.0.1:{closed_port}/")
    error = caught.value
    assert type(error) is lib.ClientConnectorError
    assert (error.host, error.port, error.ssl, error.errno) == ("127.0.0.1", closed_port, True, 111)
    assert isinstance(error.os_error, ConnectionRefusedError)
    assert isinstance(error, OSError)
    assert str(error).startswith(f"Cannot connect to host 127.0.0.1:{closed_port} ssl:default [")


async def test_a_name_without_an_address(lib: Any) -> None:
    async with lib.ClientSession() as session:
        with pytest.raises(lib.ClientConnectorDNSError) as caught:
            await session.get("http://no-such-host.invalid/")
    assert (caught.value.host, caught.value.port) == ("no-such-host.invalid", 80)
    assert isinstance(caught.value.os_error, OSError)


async def test_no_unix_socket(lib: Any, tmp_path: Path) -> None:
    async with lib.ClientSession(connector=lib.UnixConnector(str(tmp_path / "none"))) as session:
        with pytest.raises(
            lib.UnixClientConnectorError if hasattr(lib, "UnixClientConnectorError") else lib.ClientConnectorError
        ) as caught:
            await session.get("http://host/")
    assert caught.value.path == str(tmp_path / "none")
    assert caught.value.errno == 2


async def test_certificates(lib: Any) -> None:
    async with Server(tls=True) as server:
        async with lib.ClientSession() as session:
            with pytest.raises(lib.ClientConnectorCertificateError) as caught:
                await session.get(server.url)
            error: Any = caught.value
            assert isinstance(error.certificate_error, ssl.SSLCertVerificationError)
            assert isinstance(caught.value, lib.ClientSSLError | ssl.CertificateError)
            assert (error.host, error.port, error.ssl) == ("127.0.0.1", server.port, True)
            assert str(error).startswith(f"Cannot connect to host 127.0.0.1:{server.port} ssl:True [SSLCertVerificationError: ")
            with pytest.raises(lib.ServerFingerprintMismatch) as mismatched:
                await session.get(server.url, ssl=lib.Fingerprint(b"\1" * 32))
            assert (mismatched.value.expected, mismatched.value.host) == (b"\1" * 32, "127.0.0.1")
            assert len(mismatched.value.got) == 32
            async with session.get(server.url, ssl=lib.Fingerprint(mismatched.value.got)) as response:
                assert response.status == 404
            async with session.get(server.url, ssl=False) as response:
                assert response.status == 404
            trusting = ssl.create_default_context(cafile=server.ca)
            async with session.get(server.url, ssl=trusting) as response:
                assert response.status == 404
            with pytest.raises(lib.ClientConnectorCertificateError):
                await session.get(server.url, ssl=trusting, server_hostname="other.example")
        async with lib.ClientSession(connector=lib.TCPConnector(ssl=False)) as session, session.get(server.url) as response:
            assert response.status == 404


async def test_what_answers_speaks_no_tls(lib: Any) -> None:
    async with Server() as server, lib.ClientSession() as session:
        with pytest.raises(lib.ClientConnectorSSLError) as caught:
            await session.get(server.url.replace("http:", "https:"))
        assert isinstance(caught.value, ssl.SSLError)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_server_goes_away(lib: Any, method: str) -> None:
    async with Server() as server:
        server.script(Close(), times=2)
        async with lib.ClientSession() as session:
            with pytest.raises(lib.ServerDisconnectedError, match="Server disconnected"):
                await session.request(method, server.url)
        assert server.accepted == (2 if method == "GET" else 1)


async def test_the_server_goes_away_once(lib: Any) -> None:
    async with Server() as server:
        server.script(Close())
        async with lib.ClientSession() as session, session.get(server.url) as response:
            assert response.status == 404


async def test_a_reset(lib: Any) -> None:
    async with Server() as server:
        server.script(Reset(), times=2)
        async with lib.ClientSession() as session:
            with pytest.raises(lib.ClientOSError) as caught:
                await session.get(server.url)
        assert type(caught.value) is lib.ClientOSError
        assert caught.value.errno == 104


BROKEN_HEADS = {
    "no HTTP": b"hello\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "a space before the colon": HEAD + b"X-A : 1\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "no length at all": HEAD + b"Content-Length: +1\r\n\r\nx",
    "too long a line": HEAD + b"X-A: " + b"x" * 2_000_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("wire", BROKEN_HEADS.values(), ids=BROKEN_HEADS)
async def test_heads_that_are_none(lib: Any, wire: bytes) -> None:
    async with Server() as server:
        server.script(wire, Stall())
        async with lib.ClientSession() as session:
            with pytest.raises(lib.ClientResponseError) as caught:
                await session.get(server.url)
    assert type(caught.value) is lib.ClientResponseError
    assert (caught.value.status, caught.value.history, caught.value.request_info.method) == (400, (), "GET")
    assert caught.value.message


BROKEN_BODIES = {
    "too short": HEAD + b"Content-Length: 10\r\n\r\nx",
    "chunks without their end": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
    "no gzip": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("wire", BROKEN_BODIES.values(), ids=BROKEN_BODIES)
@pytest.mark.parametrize("read", ["read", "text", "json", "content.read", "content.iter_any"])
async def test_bodies_that_break(lib: Any, wire: bytes, read: str) -> None:
    async with Server() as server:
        server.script(ReadHead(), wire, Close(), on="accept")
        async with lib.ClientSession() as session:
            with pytest.raises(lib.ClientPayloadError):
                async with session.get(server.url) as response:
                    if read == "content.iter_any":
                        async for _ in response.content.iter_any():
                            pass
                    else:
                        await getattr(response.content if "." in read else response, read.rpartition(".")[2])()


async def test_a_control_byte_in_a_field() -> None:
    """Which aiohttp takes (RFC 9110 section 5.5)."""
    async with Server() as server:
        server.script(HEAD + b"X-A: \x01\r\n\r\n", Stall())
        async with face.ClientSession() as session:
            with pytest.raises(face.ClientResponseError):
                await session.get(server.url)


async def test_a_chunk_of_no_size() -> None:
    """Of which aiohttp says the same or another thing, as it came together with the head or behind it."""
    async with Server() as server:
        server.script(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\nhello\r\n", Close())
        async with face.ClientSession() as session:
            with pytest.raises(face.ClientPayloadError):
                await (await session.get(server.url)).read()


async def test_too_many_redirects(lib: Any) -> None:
    async with Server() as server:
        server.script(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n", path="/again", times=50)
        async with lib.ClientSession() as session:
            for limit, followed in ((None, 10), (3, 3), (1, 1)):
                with pytest.raises(lib.TooManyRedirects) as caught:
                    await session.get(server.url + "/again", **({} if limit is None else {"max_redirects": limit}))
                error = caught.value
                assert [response.status for response in error.history] == [302] * followed
                assert error.request_info.real_url == URL(server.url + "/again")
                assert (error.status, error.message) == (0, "")


@pytest.mark.parametrize(
    ("location", "name"),
    [
        ("ftp://host/", "NonHttpUrlRedirectClientError"),
        ("data:text/plain,x", "NonHttpUrlRedirectClientError"),
        ("http://[bad/", "InvalidUrlRedirectClientError"),
        ("http:///nowhere", "InvalidUrlRedirectClientError"),
    ],
)
async def test_redirects_to_nowhere(lib: Any, location: str, name: str) -> None:
    async with Server() as server:
        server.script(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode(), path="/")
        async with lib.ClientSession() as session:
            with pytest.raises(getattr(lib, name)) as caught:
                await session.get(server.url)
            assert isinstance(caught.value, lib.RedirectClientError)


async def test_a_body_that_raises(lib: Any, web: Any) -> None:
    async def pieces(error: Exception) -> AsyncIterator[bytes]:
        yield b"x"
        raise error

    async with lib.ClientSession() as session:
        with pytest.raises(lib.ClientConnectionError, match="oh no"):
            await session.post(web.url, data=pieces(ValueError("oh no")))
        with pytest.raises(lib.ClientOSError) as caught:
            await session.post(web.url, data=pieces(OSError(28, "disk full")))
        assert caught.value.errno == 28


async def test_a_body_that_was_read_is_not_sent_again(lib: Any) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"x"

    async with Server() as server:
        server.script(b"HTTP/1.1 307 There\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n", path="/")
        async with lib.ClientSession() as session:
            with pytest.raises(lib.ClientPayloadError):
                await session.post(server.url, data=pieces())


async def test_a_closed_session_fails_its_requests(lib: Any) -> None:
    async with Server() as server:
        server.script(Stall())
        session = lib.ClientSession()
        waiting = asyncio.ensure_future(session.post(server.url))
        await server.until(lambda: bool(server.requests))
        await session.close()
        with pytest.raises(lib.ClientError):
            await waiting


async def test_a_cancelled_request_leaves_nothing(lib: Any) -> None:
    async with Server() as server:
        server.script(Stall(), times=2)
        async with lib.ClientSession() as session:
            waiting = asyncio.ensure_future(session.get(server.url))
            await server.until(lambda: bool(server.requests))
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting


async def test_errors_tell_of_the_request(lib: Any) -> None:
    async with Server() as server:
        server.script(b"HTTP/1.1 302 Found\r\nLocation: /broken\r\nContent-Length: 0\r\n\r\n", path="/")
        server.script(b"nonsense\r\n\r\n", Close(), path="/broken")
        async with lib.ClientSession(headers={"X-A": "1"}) as session:
            with pytest.raises(lib.ClientResponseError) as caught:
                await session.get(server.url)
        info = caught.value.request_info
        assert info.url == URL(server.url + "/broken")
        assert isinstance(info.headers, CIMultiDictProxy)
        assert info.headers["X-A"] == "1"


async def test_nothing_waits_for_the_garbage_collector() -> None:
    freed: list[str] = []
    gc.disable()
    try:
        async with Server() as server:
            server.script(Close(), times=2)
            session = face.ClientSession()
            for raising in (False, True):
                try:
                    await session.get(server.url, raise_for_status=raising)
                except face.ClientError as error:
                    weakref.finalize(error, freed.append, type(error).__name__)
            async with session.get(server.url) as response:
                await response.content.read()
            weakref.finalize(response, freed.append, "response")
            del response
            await session.close()
            weakref.finalize(session, freed.append, "session")
            del session
    finally:
        gc.enable()
    assert freed == ["ServerDisconnectedError", "ClientResponseError", "response", "session"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ("X: " + "y" * 9000, "max_field_size"),
        ("\r\n".join(f"X{number}: y" for number in range(129)), "max_headers"),
        ("\r\n".join(f"{'x' * 200}{number}: {'y' * 8189}" for number in range(127)), "max_line_size, max_field_size or max_headers"),
    ],
    ids=["field", "headers", "head"],
)
async def test_limits_are_named_as_their_users_know_them(fields: str, named: str) -> None:
    async with Server() as server, face.ClientSession() as session:
        server.script(f"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{fields}\r\n\r\n".encode())
        with pytest.raises(face.ClientResponseError, match=f"raise it with {named}") as caught:
            await session.get(server.url)
        assert "Limits" not in caught.value.message


async def test_a_limit_that_only_the_core_knows_is_named_so() -> None:
    async with Server() as server, face.ClientSession() as session:
        server.script(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 200 + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        with pytest.raises(face.ClientResponseError, match=r"Limits\(informational=\.\.\.\) of aioreq's own Client"):
            await session.get(server.url)


async def test_the_limit_of_connections_is_named_as_its_users_know_it() -> None:
    async with Server() as server:
        server.script(Stall(), path="/")
        async with face.ClientSession(connector=face.TCPConnector(limit=1)) as session:
            holding = asyncio.create_task(session._request("GET", server.url))
            await server.until(lambda: bool(server.requests))
            with pytest.raises(face.ConnectionTimeoutError, match=r"TCPConnector\(limit=\.\.\.\)"):
                await session.get(server.url, timeout=face.ClientTimeout(connect=0.05))
            holding.cancel()
            await asyncio.wait([holding])
