"""Connectors: how many connections there are, how long they last, where they lead, whom they believe. Tests with `lib` run on both."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import socket
import ssl
import sys
import warnings
from collections.abc import AsyncIterator
from math import inf
from pathlib import Path
from typing import Any

import pytest
from gate import Gate, together, turns

import aioreq.compat.aiohttp as ours
from aioreq.testing import Reply, Server, httpbin

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux' loopback")
unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")


@pytest.fixture
async def unix_server(tmp_path: Path) -> AsyncIterator[Server]:
    async with Server(routes=httpbin, unix=tmp_path / "s") as server:
        yield server


async def text(session: Any, url: str, **options: Any) -> str:
    async with session.get(url, **options) as response:
        found: str = await response.text()
        return found


async def digest_of(server: Server) -> bytes:
    pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", server.port))
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest()


# What it says of itself


async def test_defaults(lib: Any) -> None:
    async with lib.TCPConnector() as connector:
        assert (connector.limit, connector.limit_per_host, connector.force_close, connector.closed) == (100, 0, False, False)
        assert (connector.family, connector.use_dns_cache) == (socket.AF_UNSPEC, True)
    assert connector.closed
    async with lib.TCPConnector(limit=0, limit_per_host=3, force_close=True, family=socket.AF_INET, use_dns_cache=False) as connector:
        assert (connector.limit, connector.limit_per_host, connector.force_close) == (0, 3, True)
        assert (connector.family, connector.use_dns_cache) == (socket.AF_INET, False)


@pytest.mark.no_loop
def test_it_is_made_in_a_running_loop(lib: Any) -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        lib.TCPConnector()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"force_close": True, "keepalive_timeout": 3}, "keepalive_timeout cannot be set if force_close is True"),
        ({"ssl": 1}, "ssl should be SSLContext, bool, Fingerprint or None, got 1 instead"),
        ({"ssl": False, "fingerprint": b"1" * 32}, "verify_ssl, ssl_context, fingerprint and ssl parameters are mutually exclusive"),
        ({"fingerprint": b"1" * 16}, "md5 and sha1 are insecure and not supported. Use sha256."),
        ({"fingerprint": b"1" * 31}, "fingerprint has invalid length"),
    ],
)
async def test_what_it_refuses(lib: Any, options: dict[str, Any], error: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with pytest.raises((ValueError, TypeError), match=error):
            lib.TCPConnector(**options)


@pytest.mark.parametrize(
    "options",
    [{"verify_ssl": False}, {"ssl_context": ssl.create_default_context()}, {"fingerprint": b"1" * 32}, {"ssl_shutdown_timeout": 1}],
)
async def test_what_is_deprecated(lib: Any, options: dict[str, Any]) -> None:
    with pytest.warns(DeprecationWarning, match=f"{next(iter(options))}.* is deprecated"):
        connector = lib.TCPConnector(**options)
    await connector.close()


async def test_what_the_core_is_told() -> None:
    """Where a test would have to wait for long, or where a server's own end would do."""
    async with ours.TCPConnector(keepalive_timeout=None, ttl_dns_cache=None, limit=0) as connector:
        limits = connector._core.limits
        assert (limits.idle_timeout, limits.dns_ttl, limits.lifetime) == (inf, inf, None)
        assert limits.connections == limits.idle == limits.waiters == sys.maxsize
        # A session that says nothing of heads has the connector's very limits, and connections needn't look at them anew.
        async with ours.ClientSession(connector=connector) as session:
            assert session._preparing.terms.limits is limits
    async with ours.TCPConnector(force_close=True) as connector:
        assert connector._core.limits.lifetime == 0


# How many


@pytest.mark.parametrize(
    ("options", "most"), [({"limit": 2}, 2), ({"limit_per_host": 3}, 3), ({"limit": 0}, 120), ({"limit": 4, "limit_per_host": 9}, 4)]
)
async def test_limits(lib: Any, server: Server, gate: Gate, options: dict[str, Any], most: int) -> None:
    async with lib.ClientSession(connector=lib.TCPConnector(**options)) as session:
        tasks = together(*(text(session, f"{server.url}/held") for _ in range(120)))
        await gate.until(inside=most)
        await turns(20)
        gate.opened.set()
        assert await asyncio.gather(*tasks) == ["held"] * 120
        assert gate.most == most


async def test_a_cancelled_waiter_leaves_its_place(lib: Any, server: Server, gate: Gate) -> None:
    async with lib.ClientSession(connector=lib.TCPConnector(limit=1)) as session:
        held, given_up, behind = together(*(text(session, f"{server.url}{path}") for path in ("/held", "/id/1", "/id/2")))
        await gate.until(inside=1)
        await turns()
        given_up.cancel()
        await turns()
        gate.opened.set()
        assert [await held, await behind] == ["held", "2"]


async def test_the_wait_counts_for_connect(lib: Any, server: Server, gate: Gate) -> None:
    async with lib.ClientSession(connector=lib.TCPConnector(limit=1)) as session:
        (held,) = together(text(session, f"{server.url}/held"))
        await gate.until(inside=1)
        for timeout, kind in ((lib.ClientTimeout(connect=0.05), lib.ConnectionTimeoutError), (lib.ClientTimeout(total=0.05), TimeoutError)):
            with pytest.raises(kind):
                await text(session, server.url, timeout=timeout)
        gate.opened.set()
        assert await held == "held"


# How long


async def test_kept_for_a_while(lib: Any, server: Server) -> None:
    async with lib.ClientSession(connector=lib.TCPConnector(keepalive_timeout=0.05)) as session:
        await text(session, server.url)
        assert len(server.connections) == 1
        await server.until(lambda: not server.connections)
        assert await text(session, f"{server.url}/id/1") == "1"


async def test_kept_for_good(lib: Any, server: Server) -> None:
    async with lib.ClientSession(connector=lib.TCPConnector(keepalive_timeout=None)) as session:
        for number in range(3):
            assert await text(session, f"{server.url}/id/{number}") == str(number)
            await asyncio.sleep(0.02)
    assert len({request.connection for request in server.requests}) == 1


@pytest.mark.parametrize("limit", [1, 100])
async def test_a_connection_for_each_request(lib: Any, server: Server, limit: int) -> None:
    """Even where others wait for one."""
    async with lib.ClientSession(connector=lib.TCPConnector(force_close=True, limit=limit)) as session:
        await asyncio.gather(*(text(session, f"{server.url}/redirect/1") for _ in range(3)))
        await server.until(lambda: not server.connections)
    assert len({request.connection for request in server.requests}) == len(server.requests) == 6


# Whom it believes


@pytest.mark.parametrize("given", ["context", "none", "fingerprint"])
async def test_tls(lib: Any, tls_server: Server, given: str) -> None:
    made = {"context": tls_server.client_context(), "none": False, "fingerprint": lib.Fingerprint(await digest_of(tls_server))}[given]
    async with lib.ClientSession(connector=lib.TCPConnector(ssl=made)) as session:
        assert await text(session, f"{tls_server.url}/id/1") == "1"
    async with lib.ClientSession() as session:
        assert await text(session, f"{tls_server.url}/id/1", ssl=made) == "1"


async def test_a_certificate_that_nobody_signed(lib: Any, tls_server: Server) -> None:
    async with lib.ClientSession(connector=lib.TCPConnector()) as session:
        with pytest.raises(lib.ClientConnectorCertificateError) as caught:
            await text(session, tls_server.url)
        assert (caught.value.host, caught.value.port, caught.value.ssl) == ("127.0.0.1", tls_server.port, True)
        assert isinstance(caught.value.certificate_error, ssl.SSLCertVerificationError)
        # What was settled for one request is no other's.
        assert await text(session, f"{tls_server.url}/id/1", ssl=False) == "1"
        with pytest.raises(lib.ClientConnectorCertificateError):
            await text(session, tls_server.url)


async def test_another_certificate_than_the_wanted_one(lib: Any, tls_server: Server) -> None:
    got, wanted = await digest_of(tls_server), b"\1" * 32
    async with lib.ClientSession(connector=lib.TCPConnector(ssl=lib.Fingerprint(wanted))) as session:
        with pytest.raises(lib.ServerFingerprintMismatch) as caught:
            await text(session, tls_server.url)
    error = caught.value
    assert (error.expected, error.got, error.host, error.port) == (wanted, got, "127.0.0.1", tls_server.port)


async def test_no_tls_on_this_port(lib: Any, server: Server) -> None:
    async with lib.ClientSession(connector=lib.TCPConnector(ssl=False)) as session:
        with pytest.raises(lib.ClientConnectorSSLError):
            await text(session, server.url.replace("http:", "https:"))


# Where it leads


@linux
async def test_local_addr(lib: Any, server: Server) -> None:
    async with lib.ClientSession(connector=lib.TCPConnector(local_addr=("127.0.0.9", 0))) as session:
        await text(session, server.url)
        assert [connection.peer[0] for connection in server.connections] == ["127.0.0.9"]


async def test_socket_factory(lib: Any, server: Server) -> None:
    made = []

    def factory(info: Any) -> socket.socket:
        family, kind, protocol, _, _ = info
        made.append(info)
        return socket.socket(family, kind, protocol)

    async with lib.ClientSession(connector=lib.TCPConnector(socket_factory=factory)) as session:
        assert await text(session, f"{server.url}/id/1") == "1"
    assert made == [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", server.port))]


class Addresses:
    """A resolver that has these; sockets to them are noted and refused."""

    def __init__(self, lib: Any, *hosts: str) -> None:
        class Resolver(lib.abc.AbstractResolver):  # type: ignore[misc]
            async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> Any:
                return [{"hostname": host, "host": each, "port": port, "family": 0, "proto": 0, "flags": 0} for each in hosts]

            async def close(self) -> None: ...

        self.tried: list[str] = []
        self.resolver = Resolver()

    def factory(self, info: Any) -> socket.socket:
        self.tried.append(info[4][0])
        raise ConnectionRefusedError("noted")


@pytest.mark.parametrize(
    ("options", "order"),
    [
        ({"happy_eyeballs_delay": 0.25}, "1 a 2 b 3"),
        ({"happy_eyeballs_delay": None}, "1 2 3 a b"),
        ({"happy_eyeballs_delay": None, "interleave": 1}, "1 a 2 b 3"),
        ({"happy_eyeballs_delay": 0.1, "interleave": 2}, "1 2 a 3 b"),
        ({"family": socket.AF_INET}, "1 2 3"),
        ({"family": socket.AF_INET6}, "a b"),
    ],
    ids=str,
)
async def test_the_order_of_addresses(lib: Any, options: dict[str, Any], order: str) -> None:
    hosts = {**{str(n): f"192.0.2.{n}" for n in (1, 2, 3)}, "a": "2001:db8::a", "b": "2001:db8::b"}
    addresses = Addresses(lib, *hosts.values())
    connector = lib.TCPConnector(resolver=addresses.resolver, socket_factory=addresses.factory, **options)
    async with lib.ClientSession(connector=connector) as session:
        with pytest.raises(lib.ClientConnectorError):
            await text(session, "http://many.test/")
    wanted = [hosts[name] for name in order.split()]
    assert addresses.tried[: len(wanted)] == wanted


# Shared, and closed


async def test_shared_by_sessions(lib: Any, server: Server) -> None:
    async with lib.TCPConnector() as connector:
        for _ in range(3):
            async with lib.ClientSession(connector=connector, connector_owner=False) as session:
                await text(session, server.url)
        assert not connector.closed
        assert len({request.connection for request in server.requests}) == 1
    with pytest.raises((RuntimeError, lib.ClientConnectionError)):
        async with lib.ClientSession(connector=connector) as session:
            await text(session, server.url)


async def test_closing_it_closes_the_session(lib: Any, server: Server) -> None:
    session = lib.ClientSession()
    await text(session, server.url)
    await session.connector.close()
    assert session.closed
    await server.until(lambda: not server.connections)
    await session.close()


async def test_closing_fails_what_is_under_way(server: Server, gate: Gate) -> None:
    """Who waits for a connection, too: aiohttp cancels these, as if their own task had been."""
    session = ours.ClientSession(connector=ours.TCPConnector(limit=1))
    held, waiting = together(text(session, f"{server.url}/held"), text(session, server.url))
    await gate.until(inside=1)
    await turns()
    await session.close()
    for task in (held, waiting):
        with pytest.raises(ours.ClientConnectionError, match="closed"):
            await task
    gate.opened.set()


async def test_closing_twice(lib: Any) -> None:
    connector = lib.TCPConnector()
    for _ in range(2):
        await connector.close()
    await asyncio.create_task(connector.close(abort_ssl=True))


@unix
async def test_closing_without_awaiting(lib: Any, unix_server: Server) -> None:
    connector = lib.UnixConnector(str(unix_server.unix))
    async with lib.ClientSession(connector=connector, connector_owner=False) as session:
        await text(session, "http://any.test/")
    with pytest.warns(DeprecationWarning, match=r"Connector.close\(\) is a coroutine, please use await connector.close\(\)"):
        connector.close()
    assert connector.closed
    await unix_server.until(lambda: not unix_server.connections)


async def test_the_old_with(lib: Any) -> None:
    connector = lib.TCPConnector()
    with pytest.warns(DeprecationWarning, match="use .async with Connector"), connector:
        assert not connector.closed
    assert connector.closed


async def test_one_that_nobody_closed(lib: Any, server: Server) -> None:
    complaints: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: complaints.append(context["message"]))
    connector = lib.TCPConnector()
    async with lib.ClientSession(connector=connector, connector_owner=False) as session:
        await text(session, server.url)
    with pytest.warns(ResourceWarning, match="Unclosed connector"):  # noqa: PT031
        del connector, session
        gc.collect()
    assert complaints == ["Unclosed connector"]
    await server.until(lambda: not server.connections)
    loop.set_exception_handler(None)


async def test_in_debug_mode_it_is_told_where_it_was_made(lib: Any, server: Server) -> None:
    complaints: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: complaints.append(context))
    debugged = loop.get_debug()
    loop.set_debug(True)
    try:
        connector = lib.TCPConnector()
    finally:
        loop.set_debug(debugged)
    async with lib.ClientSession(connector=connector, connector_owner=False) as session:
        await text(session, server.url)
    with pytest.warns(ResourceWarning, match="Unclosed connector"):  # noqa: PT031
        del connector, session
        gc.collect()
    (complaint,) = complaints
    frames = [frame.name for frame in complaint["source_traceback"][-2:]]
    assert "test_in_debug_mode_it_is_told_where_it_was_made" in frames
    complaints.clear()
    await server.until(lambda: not server.connections)
    loop.set_exception_handler(None)


async def test_one_that_nobody_used_ends_in_silence(lib: Any) -> None:
    connector = lib.TCPConnector()
    del connector
    gc.collect()


# Unix sockets, pipes, and the old proxies


@unix
async def test_a_unix_socket(lib: Any, unix_server: Server) -> None:
    connector = lib.UnixConnector(path=str(unix_server.unix), limit=1)
    assert (connector.path, connector.limit) == (str(unix_server.unix), 1)
    async with lib.ClientSession(connector=connector) as session:
        for number in range(2):
            assert await text(session, f"http://any.test/id/{number}") == str(number)
    assert [request.header("host") for request in unix_server.requests] == ["any.test"] * 2
    assert len({request.connection for request in unix_server.requests}) == 1


@unix
async def test_a_unix_socket_that_is_not_there(lib: Any, tmp_path: Path) -> None:
    async with lib.ClientSession(connector=lib.UnixConnector(str(tmp_path / "none"))) as session:
        with pytest.raises(lib.ClientConnectorError) as caught:
            await text(session, "http://any.test/")
    error = caught.value
    assert type(error).__name__ == "UnixClientConnectorError"
    assert (error.path, error.os_error.errno) == (str(tmp_path / "none"), 2)


@unix
async def test_what_is_meant_for_tls_goes_by_tls(tmp_path: Path) -> None:
    """aiohttp sends it in the clear."""
    async with (
        Server(routes=httpbin, tls=True, unix=tmp_path / "s") as server,
        ours.ClientSession(connector=ours.UnixConnector(str(tmp_path / "s"))) as session,
    ):
        with pytest.raises(ours.ClientConnectorCertificateError):
            await text(session, "https://localhost/id/1")
        assert await text(session, "https://localhost/id/1", ssl=server.client_context()) == "1"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has some")
async def test_named_pipes_are_of_windows() -> None:
    with pytest.raises(RuntimeError, match="Named Pipe connector only available with proactor loop under windows"):
        ours.NamedPipeConnector(r"\\.\pipe\name")


@pytest.mark.filterwarnings("ignore:BasicAuth:DeprecationWarning")
async def test_the_old_proxy_connector(server: Server) -> None:
    server.route("*", lambda request: Reply(200, [], f"{request.target.decode()} {request.header('Proxy-Authorization')}"))
    auth = ours.BasicAuth("ann", "sesame")
    connector = ours.ProxyConnector(proxy=server.url, proxy_auth=auth)
    assert (str(connector.proxy), connector.proxy_auth, connector.force_close) == (server.url, auth, True)
    async with ours.ClientSession(connector=connector) as session:
        assert await text(session, "http://one.test/a") == f"http://one.test/a {auth.encode()}"


# How large a head may be


@pytest.mark.parametrize(
    ("options", "fields", "size", "good"),
    [
        ({}, 100, 2000, True),  # more than the core's own limit
        ({}, 200, 10, False),
        ({}, 1, 9000, False),
        ({"max_field_size": 100}, 1, 101, False),
        ({"max_field_size": 100}, 1, 90, True),
        ({"max_headers": 20}, 30, 1, False),
        ({"max_headers": 300}, 200, 10, True),
        ({"max_field_size": 100_000}, 1, 90_000, True),
        ({"max_field_size": 2_000_000}, 1, 1_500_000, True),
    ],
    ids=str,
)
async def test_large_heads(lib: Any, server: Server, options: dict[str, Any], fields: int, size: int, good: bool) -> None:
    """By the session's settings, or by those of a call; on a connection that others share."""
    server.route("/large", lambda request: Reply(200, [(f"X-{number}", "x" * size) for number in range(fields)], "ok"))
    async with lib.TCPConnector(limit=1) as connector:
        for own, at_call in ((options, {}), ({}, options)):
            async with lib.ClientSession(connector=connector, connector_owner=False, **own) as session:
                assert await text(session, f"{server.url}/id/1") == "1"
                if good:
                    assert await text(session, f"{server.url}/large", **at_call) == "ok"
                else:
                    with pytest.raises(lib.ClientResponseError) as caught:
                        await text(session, f"{server.url}/large", **at_call)
                    assert caught.value.status == 400
                assert await text(session, f"{server.url}/id/2") == "2"
