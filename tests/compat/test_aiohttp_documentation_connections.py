"""What aiohttp's documentation shows of connectors, TLS and proxies, and what its early versions did: only the import is another.

Each runs on the face and, but for what it has no more, on aiohttp, against aiohttp.web and the embedded server.
"""

# ruff: noqa: SIM117  (one `async with` in another, as users write it)

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from relay import Relay
from yarl import URL

import aioreq.compat.aiohttp as face
from aioreq.testing import Authority

from .documentation_site import PICTURE, Site, opened

unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")


@pytest.fixture
async def tls_site(served_by: str, authority: Authority) -> AsyncIterator[Site]:
    async with opened(served_by, authority) as site:
        yield site


@pytest.fixture
def cafile(authority: Authority, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.pem)
    return str(path)


# Connectors


async def test_limits(aiohttp: Any, site: Site) -> None:
    for conn in (aiohttp.TCPConnector(limit=30), aiohttp.TCPConnector(limit=0), aiohttp.TCPConnector(limit_per_host=2)):
        async with aiohttp.ClientSession(connector=conn) as session:
            async with session.get(f"{site.url}/events") as resp:
                assert resp.status == 200
        assert conn.closed


async def test_a_connector_of_several_sessions(aiohttp: Any, site: Site) -> None:
    conn = aiohttp.TCPConnector()
    for _ in range(2):
        async with aiohttp.ClientSession(connector=conn, connector_owner=False) as session:
            async with session.get(f"{site.url}/events") as resp:
                assert await resp.text() == "héllo wörld"
    session = aiohttp.ClientSession(connector=conn)
    session.detach()
    assert session.closed
    assert not conn.closed
    await conn.close()


async def test_names_and_their_memory(aiohttp: Any, site: Site) -> None:
    asked: list[str] = []

    class LocalResolver(aiohttp.abc.AbstractResolver):  # type: ignore[misc, name-defined, unused-ignore]
        async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> Any:
            asked.append(host)
            told = {"hostname": host, "host": "127.0.0.1", "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
            return [told]

        async def close(self) -> None:
            asked.append("closed")

    resolver = LocalResolver()
    conn = aiohttp.TCPConnector(resolver=resolver, ttl_dns_cache=300, force_close=True)
    async with aiohttp.ClientSession(connector=conn) as session:
        for _ in range(3):
            async with session.get(URL(site.url).with_host("python.example") / "events") as resp:
                assert (resp.status, resp.host) == (200, "python.example")
        conn.clear_dns_cache()
        await session.get(URL(site.url).with_host("python.example") / "events")
    assert asked == ["python.example"] * 2


async def test_a_name_server_of_ones_own(aiohttp: Any, site: Site) -> None:
    resolver = aiohttp.AsyncResolver(nameservers=["8.8.8.8", "8.8.4.4"])  # who are asked nothing: the address is literal
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=resolver)) as session:
        async with session.get(f"{site.url}/events") as resp:
            assert resp.status == 200
    await resolver.close()


async def test_where_a_connection_comes_from(aiohttp: Any, site: Site) -> None:
    made: list[Any] = []

    def socket_factory(addr_info: Any) -> socket.socket:
        family, kind, proto, _, _ = addr_info
        sock = socket.socket(family=family, type=kind, proto=proto)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, True)
        made.append(sock)
        return sock

    conn = aiohttp.TCPConnector(socket_factory=socket_factory)
    async with aiohttp.ClientSession(connector=conn) as session, session.get(f"{site.url}/events") as resp:
        assert resp.status == 200
    assert len(made) == 1
    conn = aiohttp.TCPConnector(local_addr=("127.0.0.1", 0), family=socket.AF_INET)
    async with aiohttp.ClientSession(connector=conn) as session, session.get(f"{site.url}/events") as resp:
        assert resp.status == 200


@unix
async def test_a_unix_socket(aiohttp: Any, served_by: str, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    async with opened(served_by, path=path):
        conn = aiohttp.UnixConnector(path=path)
        assert conn.path == path
        async with aiohttp.ClientSession(connector=conn) as session:
            async with session.get("http://localhost/events") as resp:
                assert await resp.text() == "héllo wörld"


# TLS


async def test_an_authority_of_ones_own(aiohttp: Any, tls_site: Site, cafile: str) -> None:
    sslcontext = ssl.create_default_context(cafile=cafile)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{tls_site.url}/events", ssl=sslcontext) as r:
            assert r.status == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError) as caught:
            await session.get(f"{tls_site.url}/events")
        assert isinstance(caught.value, aiohttp.ClientSSLError)
        assert isinstance(caught.value.certificate_error, ssl.SSLCertVerificationError)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=sslcontext)) as session:
        async with session.get(f"{tls_site.url}/events") as r:
            assert r.status == 200


async def test_without_verification(aiohttp: Any, tls_site: Site) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{tls_site.url}/events", ssl=False) as r:
        assert r.status == 200
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as session:
        async with session.get(f"{tls_site.url}/events") as r:
            assert r.status == 200


async def test_a_certificate_of_the_client(aiohttp: Any, tls_site: Site, cafile: str, authority: Authority, tmp_path: Path) -> None:
    pair = tmp_path / "client.pem"
    pair.write_bytes(authority.issue("client.example"))
    sslcontext = ssl.create_default_context(cafile=cafile)
    sslcontext.load_cert_chain(pair, pair)
    async with aiohttp.ClientSession() as session, session.get(f"{tls_site.url}/events", ssl=sslcontext) as r:
        assert r.status == 200


async def test_a_fingerprint(aiohttp: Any, tls_site: Site) -> None:
    port = URL(tls_site.url).port
    assert port is not None
    pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest()
    attrs = {"ssl": aiohttp.Fingerprint(digest)}
    async with aiohttp.ClientSession() as session, session.get(f"{tls_site.url}/events", **attrs) as r:
        assert r.status == 200
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=aiohttp.Fingerprint(bytes(32)))) as session:
        with pytest.raises(aiohttp.ServerFingerprintMismatch) as caught:
            await session.get(f"{tls_site.url}/events")
        assert (caught.value.expected, caught.value.got) == (bytes(32), digest)
        assert (caught.value.host, caught.value.port) == ("127.0.0.1", port)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        conn = aiohttp.TCPConnector(fingerprint=digest)  # as it was written before
        async with aiohttp.ClientSession(connector=conn) as session, session.get(f"{tls_site.url}/events") as r:
            assert r.status == 200


# Proxies


async def test_a_proxy(aiohttp: Any, tls_site: Site) -> None:
    async with Relay() as relay, aiohttp.ClientSession() as session:
        async with session.get(f"{tls_site.url}/events", proxy=relay.url, ssl=False) as resp:
            assert await resp.text() == "héllo wörld"
    assert relay.heads[0].startswith(b"CONNECT 127.0.0.1:")
    assert b"authorization" not in relay.heads[0].lower()


@pytest.mark.parametrize("given", ["in its URL", "by proxy_headers", "by proxy_auth", "of the session"])
async def test_a_proxy_with_credentials(aiohttp: Any, tls_site: Site, given: str) -> None:
    async with Relay() as relay:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            of_session: dict[str, Any] = {}
            options: dict[str, Any] = {"proxy": relay.url}
            if given == "in its URL":
                options = {"proxy": str(URL(relay.url).with_user("user").with_password("pass"))}
            elif given == "by proxy_headers":
                options["proxy_headers"] = {aiohttp.hdrs.PROXY_AUTHORIZATION: aiohttp.encode_basic_auth("user", "pass")}
            elif given == "by proxy_auth":
                options["proxy_auth"] = aiohttp.BasicAuth("user", "pass")
            else:
                of_session, options = {"proxy": relay.url, "proxy_auth": aiohttp.BasicAuth("user", "pass")}, {}
            async with aiohttp.ClientSession(**of_session) as session:
                async with session.get(f"{tls_site.url}/events", ssl=False, **options) as resp:
                    assert resp.status == 200
    assert b"\r\nproxy-authorization: basic dxnlcjpwyxnz\r\n" in relay.heads[0].lower()
    assert tls_site.last.field("proxy-authorization") is None


async def test_a_proxy_of_the_environment(aiohttp: Any, tls_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Relay() as relay:
        monkeypatch.setenv("https_proxy", relay.url)
        async with aiohttp.ClientSession(trust_env=True) as session, session.get(f"{tls_site.url}/events", ssl=False) as resp:
            assert resp.status == 200
        async with aiohttp.ClientSession() as session, session.get(f"{tls_site.url}/events", ssl=False) as resp:
            assert resp.status == 200
    assert len(relay.heads) == 1


# What early versions did, and aiohttp does no more


async def test_early_requests(site: Site) -> None:
    response = await face.request("get", f"{site.url}/get", params={"key": "value"}, headers={"X-Early": "1"})
    assert (response.status, response.method, response.host) == (200, "GET", "127.0.0.1")
    told = await response.json()
    assert (told["args"], told["headers"]["X-Early"]) == ([["key", "value"]], "1")
    response.close()
    response = await face.request("get", f"{site.url}/picture")
    chunks = []
    while chunk := await response.content.read(1000):
        chunks.append(chunk)
    assert b"".join(chunks) == PICTURE
    await response.release()
    response = await face.request("get", f"{site.url}/cookies", cookies={"cookies_are": "working"})
    assert await response.json() == {"cookies": {"cookies_are": "working"}}


async def test_early_uploads(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "report.xls"
    path.write_bytes(PICTURE)
    payload = {"key1": "value1", "key2": "value2"}
    response = await face.request("post", f"{site.url}/post", data=payload)
    assert (await response.json())["data"] == "key1=value1&key2=value2"
    files = {"file": path.open("rb")}
    response = await face.request("post", f"{site.url}/post", data=files)
    await response.release()
    assert site.last.form()["file"][::2] == ("report.xls", PICTURE)

    data = face.FormData()
    data.add_field("file", path.open("rb"), filename="report.xls", content_type="application/vnd.ms-excel")
    response = await face.request("post", f"{site.url}/post", data=data)
    await response.release()
    assert site.last.form()["file"] == ("report.xls", "application/vnd.ms-excel", PICTURE)

    with path.open("rb") as f:
        response = await face.request("post", f"{site.url}/post", data=f)
        await response.release()
    assert site.last.body == PICTURE

    async def sender() -> AsyncIterator[bytes]:
        for start in range(0, len(PICTURE), 5000):
            yield PICTURE[start : start + 5000]

    response = await face.request("post", f"{site.url}/post", data=sender())
    await response.release()
    assert site.last.body == PICTURE


async def test_early_chaining(site: Site) -> None:
    r = await face.request("get", f"{site.url}/picture")
    response = await face.request("post", f"{site.url}/post", data=r.content)
    await response.release()
    assert site.last.body == PICTURE


async def test_an_early_session_and_its_connector(site: Site) -> None:
    conn = face.TCPConnector()
    for _ in range(2):
        response = await face.request("get", f"{site.url}/events", connector=conn)
        assert await response.text() == "héllo wörld"
    await conn.close()
    session = face.ClientSession()
    response = await session.get(f"{site.url}/set?my_cookie=my_value")
    assert response.cookies["my_cookie"].value == "my_value"
    await response.release()
    await session.close()


async def test_an_early_proxy_connector(tls_site: Site) -> None:
    async with Relay() as relay:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            auth = face.BasicAuth("user", "pass")
        conn = face.ProxyConnector(proxy=relay.url, proxy_auth=auth, ssl=False)
        response = await face.request("get", f"{tls_site.url}/events", connector=conn)
        assert response.status == 200
        assert await response.text() == "héllo wörld"
        await conn.close()
    assert b"\r\nproxy-authorization: basic dxnlcjpwyxnz\r\n" in relay.heads[0].lower()


@unix
async def test_an_early_unix_connector(served_by: str, tmp_path: Path) -> None:
    async with opened(served_by, path=str(tmp_path / "socket")):
        conn = face.UnixConnector(path=str(tmp_path / "socket"))
        response = await face.request("get", "http://python.org/events", connector=conn)
        assert await response.text() == "héllo wörld"
        await conn.close()
