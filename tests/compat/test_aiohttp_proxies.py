"""Proxies of a session, a request and the environment, and logins from netrc: against tinyproxy. On the face and on aiohttp."""

from __future__ import annotations

import ssl
import warnings
from pathlib import Path
from typing import Any

import pytest
from peers import Proxy, WebServer

from aioreq.compat import aiohttp as face
from aioreq.testing import Close, ReadHead, Server


@pytest.mark.parametrize("given", ["of the session", "of the request"])
async def test_plain_and_tls(lib: Any, nginx: WebServer, tinyproxy: Proxy, given: str) -> None:
    context = ssl.create_default_context(cafile=nginx.ca)
    of_session, of_request = ({"proxy": tinyproxy.url}, {}) if given == "of the session" else ({}, {"proxy": tinyproxy.url})
    async with lib.ClientSession(connector=lib.TCPConnector(ssl=context), **of_session) as session:
        for url in (nginx.url, nginx.tls_url):
            async with session.get(url + "/echo?id=a", **of_request) as response:
                assert (response.status, await response.text()) == (200, "a")
                assert ("Via" in response.headers) == (url == nginx.url)


@pytest.mark.parametrize("given", ["in the URL", "by proxy_auth", "by proxy_headers"])
async def test_credentials(lib: Any, nginx: WebServer, tinyproxy_auth: Proxy, given: str) -> None:
    user, password = tinyproxy_auth.username, tinyproxy_auth.password
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        options: dict[str, Any] = {
            "in the URL": {"proxy": tinyproxy_auth.url_with_credentials},
            "by proxy_auth": {"proxy": tinyproxy_auth.url, "proxy_auth": lib.BasicAuth(user, password)},
            "by proxy_headers": {
                "proxy": tinyproxy_auth.url,
                "proxy_headers": {"Proxy-Authorization": lib.encode_basic_auth(user, password)},
            },
        }[given]
        async with lib.ClientSession() as session:
            async with session.get(nginx.tls_url + "/echo?id=a", ssl=False, **options) as response:
                assert await response.text() == "a"
            if given != "by proxy_headers" or lib is face:  # aiohttp sends them with a CONNECT alone
                async with session.get(nginx.url + "/echo?id=a", **options) as response:
                    assert await response.text() == "a"


async def test_a_proxy_that_refuses(lib: Any, nginx: WebServer, tinyproxy_auth: Proxy) -> None:
    async with lib.ClientSession() as session:
        async with session.get(nginx.url + "/echo?id=a", proxy=tinyproxy_auth.url) as response:
            assert response.status == 407
        with pytest.raises(lib.ClientHttpProxyError) as caught:
            await session.get(nginx.tls_url + "/echo?id=a", proxy=tinyproxy_auth.url, ssl=False)
        assert caught.value.status == 407


async def test_no_proxy_there(lib: Any, nginx: WebServer, closed_port: int) -> None:
    async with lib.ClientSession(proxy=f"http://127.0.0.1:{closed_port}") as session:
        for target in (nginx.url, nginx.tls_url):
            with pytest.raises(lib.ClientProxyConnectionError) as caught:
                await session.get(target)
            assert isinstance(caught.value, lib.ClientConnectorError)
            assert isinstance(caught.value.os_error, ConnectionRefusedError)


async def test_a_proxy_that_goes_away(lib: Any) -> None:
    async with Server() as proxy:
        proxy.script(ReadHead(), Close(), on="accept", times=2)
        async with lib.ClientSession() as session:
            with pytest.raises(lib.ClientError):
                await session.post("https://host.example/", proxy=proxy.url)


async def test_the_environment(lib: Any, web: Any, tinyproxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", tinyproxy.url)
    async with lib.ClientSession() as session, session.get(web.url) as response:
        assert "Via" not in response.headers
    async with lib.ClientSession(trust_env=True) as session, session.get(web.url) as response:
        assert session.trust_env
        assert "Via" in response.headers
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    async with lib.ClientSession(trust_env=True) as session, session.get(web.url) as response:
        assert "Via" not in response.headers


async def test_netrc(lib: Any, web: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))

    async def authorization(session: Any, **options: Any) -> str | None:
        async with session.get(web.url, **options) as response:
            return dict((await response.json())["headers"]).get("Authorization")

    async with lib.ClientSession() as session:
        assert await authorization(session) is None
    async with lib.ClientSession(trust_env=True) as session:
        assert await authorization(session) == lib.encode_basic_auth("me", "secret")


async def test_a_field_of_ones_own_wins_over_netrc(web: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To aiohttp having both is an error."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with face.ClientSession(trust_env=True) as session, session.get(web.url, headers={"Authorization": "Bearer x"}) as response:
        assert ["Authorization", "Bearer x"] in (await response.json())["headers"]


async def test_proxy_connector(nginx: WebServer, tinyproxy: Proxy) -> None:
    """Of early versions of aiohttp."""
    async with (
        face.ClientSession(connector=face.ProxyConnector(proxy=tinyproxy.url)) as session,
        session.get(nginx.url + "/echo?id=a") as response,
    ):
        assert (await response.text(), "Via" in response.headers) == ("a", True)
