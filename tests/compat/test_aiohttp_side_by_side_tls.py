"""Side by side: certificates and handshakes, and the proxies on the way."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import ssl
from typing import Any

import pytest
import trustme
from peers import Proxy, WebServer

from aioreq.testing import Authority, Close, ReadBytes, Reset, Server, Step

from .side_by_side import Stage, same


def ok(server: Server) -> None:
    server.route("*", "ok")


# -- TLS


@pytest.mark.parametrize(
    "trust", ["unknown CA", "ssl=False", "context", "wrong name", "fingerprint", "wrong fingerprint", "connector", "server_hostname"]
)
async def test_certificates(trust: str) -> None:
    authority = Authority()

    async def play(stage: Stage) -> None:
        lib, server = stage.lib, stage.server
        context = ssl.create_default_context(cafile=server.ca)
        der = await asyncio.to_thread(lambda: ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((server.host, server.port))))
        pin = hashlib.sha256(der).digest()
        all_options: dict[str, dict[str, Any]] = {
            "ssl=False": {"ssl": False},
            "context": {"ssl": context},
            "wrong name": {"ssl": context, "server_hostname": "other.example"},
            "server_hostname": {"ssl": context, "server_hostname": "localhost"},
            "fingerprint": {"ssl": lib.Fingerprint(pin)},
            "wrong fingerprint": {"ssl": lib.Fingerprint(b"\1" * 32)},
        }
        options = all_options.get(trust, {})
        stage.names[pin.decode("latin-1")] = "PIN"
        stage.names[str(server.port)] = "PORT"
        connector = lib.TCPConnector(ssl=context) if trust == "connector" else lib.TCPConnector()
        async with lib.ClientSession(connector=connector) as session:
            await stage.ask(session, **options)

    await same(play, routes=ok, tls=authority, reuse=False)


async def test_an_expired_certificate() -> None:
    ca = trustme.CA()
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = ca.issue_cert("127.0.0.1", not_after=past)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)

    async def play(stage: Stage) -> None:
        trusting = ssl.create_default_context()
        ca.configure_trust(trusting)
        async with stage.lib.ClientSession() as session:
            await stage.ask(session, ssl=trusting)

    await same(play, routes=ok, tls=context)


@pytest.mark.parametrize("what", ["plain server", "closes", "resets", "garbage"])
async def test_no_handshake(what: str) -> None:
    answers: dict[str, tuple[Step, ...]] = {
        "closes": (ReadBytes(1), Close()),
        "resets": (ReadBytes(1), Reset()),
        "garbage": (ReadBytes(1), b"\x16\x03\x01garbage", Close()),
    }

    def routes(server: Server) -> None:
        if what in answers:
            server.script(*answers[what], below_tls=True, times=2)

    async def play(stage: Stage) -> None:
        stage.unsaid = {"errno"} if what == "closes" else set()  # the face says 104, aiohttp nothing
        async with stage.lib.ClientSession() as session:
            await stage.ask(session, "POST", stage.url.replace("http:", "https:") + "/")

    await same(play, routes=routes, tls=what in answers, wire=False)


# -- proxies

PROXIED = ("plain", "tls")


@pytest.mark.parametrize("kind", PROXIED)
@pytest.mark.parametrize("way", ["url", "userinfo", "proxy_auth", "proxy_headers", "session", "environment", "NO_PROXY", "no credentials"])
async def test_proxies(
    kind: str, way: str, nginx: WebServer, tinyproxy: Proxy, tinyproxy_auth: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(stage: Stage) -> None:
        lib = stage.lib
        peer = tinyproxy_auth if way in ("userinfo", "proxy_auth", "proxy_headers", "no credentials") else tinyproxy
        stage.names |= {
            f":{port}": f":{name}" for name, port in (("PROXY", peer.port), ("WEB", nginx.ports[0]), ("SECURE", nginx.ports[1]))
        }
        stage.names |= {str(peer.port): "PROXY"}
        login = lib.BasicAuth(tinyproxy_auth.username, tinyproxy_auth.password)
        session_options: dict[str, Any] = {
            "session": {"proxy": peer.url},
            "environment": {"trust_env": True},
            "NO_PROXY": {"trust_env": True},
        }
        options: dict[str, Any] = {
            "url": {"proxy": peer.url},
            "no credentials": {"proxy": peer.url},
            "userinfo": {"proxy": tinyproxy_auth.url_with_credentials},
            "proxy_auth": {"proxy": peer.url, "proxy_auth": login},
            "proxy_headers": {"proxy": peer.url, "proxy_headers": {"Proxy-Authorization": login.encode(), "X-P": "1"}},
        }
        if way in ("environment", "NO_PROXY"):
            monkeypatch.setenv("HTTP_PROXY" if kind == "plain" else "HTTPS_PROXY", peer.url)
            monkeypatch.setenv("http_proxy" if kind == "plain" else "https_proxy", peer.url)
        if way == "NO_PROXY":
            monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with lib.ClientSession(**session_options.get(way, {})) as session:
            url = (nginx.url if kind == "plain" else nginx.tls_url) + "/echo?id=a"
            with stage.trying():
                async with session.get(url, ssl=False, **options.get(way, {})) as response:
                    stage.say(response.status, "Via" in response.headers, await response.text() if response.status == 200 else "")

    different = "what proxies are told" if (kind, way) == ("plain", "proxy_headers") else None
    await same(play, different=different)


@pytest.mark.parametrize("kind", PROXIED)
@pytest.mark.parametrize("answer", ["refused", "407", "502", "closes", "garbage", "resets"])
async def test_proxies_that_fail(kind: str, answer: str, closed_port: int) -> None:
    answers: dict[str, tuple[Step, ...]] = {
        "407": (b'HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n',),
        "502": (b"HTTP/1.1 502 Bad Gateway\r\nX-A: 1\r\nContent-Length: 3\r\n\r\nbad",),
        "closes": (Close(),),
        "garbage": (b"garbage\r\n\r\n", Close()),
        "resets": (Reset(),),
    }
    steps = answers.get(answer, ())

    async def play(stage: Stage) -> None:
        proxy = f"http://127.0.0.1:{closed_port}" if answer == "refused" else stage.url
        async with stage.lib.ClientSession() as session:
            await stage.ask(session, "POST", f"{'http' if kind == 'plain' else 'https'}://host.invalid/path", proxy=proxy)

    await same(play, [steps] if steps else [], wire=kind == "plain")


async def test_what_a_proxy_is_asked() -> None:
    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session:
            await stage.ask(session, "GET", "https://host.invalid/path", proxy=stage.url, proxy_headers={"X-P": "1"})

    await same(play, [(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",)], different="what proxies are told")
