"""What aiohttp's pages on advanced use, cookies, tracing and middlewares show of its client: only the import is another.

Each runs on the face and on aiohttp, against aiohttp.web and the embedded server.
"""

# ruff: noqa: SIM117  (one `async with` in another, as users write it)

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import warnings
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from yarl import URL

from aioreq.testing import Server, httpbin

from .documentation_site import PASSWORD, PICTURE, USER, Site, opened

# Headers, redirects, what a response tells


async def test_headers_of_session_and_request(aiohttp: Any, site: Site) -> None:
    async with aiohttp.ClientSession(headers={"Authorization": "Basic bG9naW46cGFzcw=="}) as session:
        async with session.get(f"{site.url}/headers", headers={"X-Other": "1"}) as r:
            told = (await r.json())["headers"]
    assert (told["Authorization"], told["X-Other"]) == ("Basic bG9naW46cGFzcw==", "1")
    async with aiohttp.ClientSession(skip_auto_headers=[aiohttp.hdrs.USER_AGENT]) as session:
        async with session.get(f"{site.url}/headers") as r:
            assert "User-Agent" not in (await r.json())["headers"]


async def test_response_headers(aiohttp: Any, site: Site) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{site.url}/picture") as resp:
        assert resp.headers["Content-Type"] == resp.headers.get("content-type") == "image/png"
        assert (b"Content-Type", b"image/png") in resp.raw_headers
        assert (resp.content_type, resp.charset, resp.content_length) == ("image/png", None, len(PICTURE))
        assert resp.content_disposition.filename == "logo.png"
        assert resp.request_info.headers["Host"] == resp.url.authority


async def test_redirects_and_their_history(aiohttp: Any, site: Site) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{site.url}/moved?n=2") as resp:
            assert (resp.status, resp.url.path) == (200, "/events")
            assert [str(each.url) for each in resp.history] == [f"{site.url}/moved?n=2", f"{site.url}/moved?n=1"]
        async with session.get(f"{site.url}/moved", allow_redirects=False) as resp:
            assert (resp.status, resp.history, resp.headers["Location"]) == (302, (), "/events")
        with pytest.raises(aiohttp.TooManyRedirects) as caught:
            await session.get(f"{site.url}/moved?n=5", max_redirects=3)
        assert len(caught.value.history) == 3


async def test_pages_by_their_links(aiohttp: Any, site: Site) -> None:
    pages: list[int] = []
    async with aiohttp.ClientSession() as session:
        url: Any = f"{site.url}/links"
        while url is not None:
            async with session.get(url) as resp:
                pages += await resp.json()
                url = resp.links["next"]["url"] if "next" in resp.links else None
    assert pages == [1, 2, 3]


async def test_what_goes_wrong(aiohttp: Any, site: Site) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.InvalidURL):
            await session.get("http://:80/")
        with pytest.raises(aiohttp.NonHttpUrlClientError):
            await session.get("ftp://python.org/file")
        with pytest.raises(aiohttp.ClientConnectorError) as caught:
            await session.get("http://127.0.0.1:1/")
        assert (caught.value.host, caught.value.port) == ("127.0.0.1", 1)
        for kind in (aiohttp.ClientOSError, aiohttp.ClientConnectionError, aiohttp.ClientError, OSError):
            assert isinstance(caught.value, kind)


# Cookies


async def test_cookies_of_a_session(aiohttp: Any, site: Site) -> None:
    async with aiohttp.ClientSession(cookies={"cookies_are": "working"}) as session:
        async with session.get(f"{site.url}/cookies") as resp:
            assert await resp.json() == {"cookies": {"cookies_are": "working"}}
        async with session.get(f"{site.url}/cookies", cookies={"once": "1"}) as resp:
            assert await resp.json() == {"cookies": {"cookies_are": "working", "once": "1"}}


async def test_cookies_that_are_kept(aiohttp: Any, site: Site) -> None:
    """An address' cookies are only kept by an unsafe jar."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        async with session.get(f"{site.url}/set?my_cookie=my_value") as resp:
            assert resp.cookies["my_cookie"].value == "my_value"
        filtered = session.cookie_jar.filter_cookies(URL(site.url))
        assert filtered["my_cookie"].value == "my_value"
        async with session.get(f"{site.url}/cookies") as resp:
            assert await resp.json() == {"cookies": {"my_cookie": "my_value"}}
    async with aiohttp.ClientSession() as session:
        await session.get(f"{site.url}/set?my_cookie=my_value")
        async with session.get(f"{site.url}/cookies") as resp:
            assert await resp.json() == {"cookies": {}}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        async with session.get(f"{site.url}/set?my_cookie=my_value") as resp:
            assert resp.cookies["my_cookie"].value == "my_value"
        assert len(session.cookie_jar) == 0


async def test_cookies_unquoted_shared_and_saved(aiohttp: Any, site: Site, tmp_path: Path) -> None:
    jar = aiohttp.CookieJar(unsafe=True, quote_cookie=False)
    jar.update_cookies({"plain": "a:b"}, URL(site.url))
    for _ in range(2):
        async with aiohttp.ClientSession(cookie_jar=jar) as session:
            await session.get(f"{site.url}/cookies")
            assert site.last.field("cookie") == "plain=a:b"
    jar.save(tmp_path / "cookies.json")
    other = aiohttp.CookieJar(unsafe=True)
    other.load(tmp_path / "cookies.json")
    assert {cookie.key: cookie.value for cookie in other} == {"plain": "a:b"}
    other.clear()
    assert len(other) == 0


# Who one is


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
async def test_basic_credentials(aiohttp: Any, site: Site) -> None:
    headers = {"Authorization": aiohttp.encode_basic_auth(USER, PASSWORD)}
    async with aiohttp.ClientSession(headers=headers) as session, session.get(f"{site.url}/basic") as resp:
        assert await resp.text() == "welcome"
    auth = aiohttp.BasicAuth(USER, PASSWORD)
    async with aiohttp.ClientSession(auth=auth) as session, session.get(f"{site.url}/basic") as resp:
        assert await resp.text() == "welcome"
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{site.url}/basic", auth=auth) as resp:
            assert resp.status == 200
        async with session.get(URL(site.url).with_user(USER).with_password(PASSWORD) / "basic") as resp:
            assert resp.status == 200
        async with session.get(f"{site.url}/basic") as resp:
            assert resp.status == 401


async def test_credentials_from_netrc(aiohttp: Any, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1\nlogin {USER}\npassword {PASSWORD}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with aiohttp.ClientSession(trust_env=True) as session, session.get(f"{site.url}/basic") as resp:
        assert await resp.text() == "welcome"


async def test_digest_credentials(aiohttp: Any) -> None:
    async with Server(routes=httpbin) as server:
        digest_auth = aiohttp.DigestAuthMiddleware(login=USER, password=PASSWORD)
        async with aiohttp.ClientSession(middlewares=(digest_auth,)) as session:
            async with session.get(f"{server.url}/digest-auth/auth/{USER}/{PASSWORD}") as resp:
                assert resp.status == 200


# Middlewares


async def test_a_middleware_that_logs(aiohttp: Any, site: Site, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("api")

    async def api_logging_middleware(req: Any, handler: Any) -> Any:
        logger.info("Starting %s request to %s", req.method, req.url)
        start = time.monotonic()
        response = await handler(req)
        logger.info("%d after %s", response.status, "no time" if time.monotonic() < start else "some time")
        return response

    caplog.set_level(logging.INFO, "api")
    async with aiohttp.ClientSession(middlewares=(api_logging_middleware,)) as session:
        await session.get(f"{site.url}/events")
    said = [record.getMessage() for record in caplog.records if record.name == "api"]
    assert said == [f"Starting GET request to {site.url}/events", "200 after some time"]


async def test_a_middleware_that_retries(aiohttp: Any, site: Site) -> None:
    class RetryMiddleware:
        def __init__(self, max_retries: int = 3) -> None:
            self.max_retries = max_retries

        async def __call__(self, req: Any, handler: Any) -> Any:
            retries = 0
            while True:
                resp = await handler(req)
                if resp.status < HTTPStatus.INTERNAL_SERVER_ERROR or retries == self.max_retries:
                    return resp
                retries += 1

    site.failures = 2
    async with aiohttp.ClientSession(middlewares=(RetryMiddleware(),)) as session:
        async with session.get(f"{site.url}/flaky") as resp:
            assert await resp.text() == "at last"
    assert len(site.seen) == 3
    site.failures = 9
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{site.url}/flaky", data=b"body", middlewares=(RetryMiddleware(1),)) as resp:
            assert resp.status == 503
    assert [seen.body for seen in site.seen[3:]] == [b"body", b"body"]


async def test_a_middleware_that_refreshes_a_token(aiohttp: Any, site: Site) -> None:
    """It asks by the very session that it serves, without itself."""

    class TokenRefreshMiddleware:
        def __init__(self) -> None:
            self.token = "worn out"
            self.lock = asyncio.Lock()

        async def __call__(self, req: Any, handler: Any) -> Any:
            for _ in range(2):
                token = self.token
                req.headers["Authorization"] = f"Bearer {token}"
                resp = await handler(req)
                if resp.status != 401:
                    return resp
                async with self.lock:
                    if token == self.token:
                        async with req.session.post(f"{site.url}/token", data="refresh", middlewares=()) as answer:
                            assert answer.status == 200
                            self.token = (await answer.json())["access_token"]
            return resp

    async with aiohttp.ClientSession(middlewares=(TokenRefreshMiddleware(),)) as session:

        async def fetch() -> str:
            async with session.get(f"{site.url}/protected") as resp:
                text: str = await resp.text()
                return text

        assert await asyncio.gather(*[fetch() for _ in range(5)]) == ["welcome"] * 5
    assert site.issued == 1


async def test_a_middleware_against_server_side_request_forgery(aiohttp: Any, site: Site) -> None:
    class SSRFError(aiohttp.ClientError):  # type: ignore[misc, name-defined, unused-ignore]
        pass

    async def ssrf_middleware(req: Any, handler: Any) -> Any:
        if req.url.host in {"127.0.0.1", "localhost"}:
            raise SSRFError(req.url.host)
        return await handler(req)

    async with aiohttp.ClientSession(middlewares=(ssrf_middleware,)) as session:
        with pytest.raises(SSRFError):
            await session.get(f"{site.url}/events")
    assert site.seen == []


async def test_a_connector_that_refuses_addresses(aiohttp: Any, site: Site) -> None:
    """It sees what a name leads to, and literal addresses: in the first request, in redirects, and of a host that is known already."""

    class SSRFError(aiohttp.ClientError):  # type: ignore[misc, name-defined, unused-ignore]
        pass

    asked: list[str] = []
    forbidden: set[str] = set()

    class SSRFConnector(aiohttp.TCPConnector):  # type: ignore[misc, name-defined, unused-ignore]
        async def _resolve_host(self, host: str, port: int, traces: Any = None) -> Any:
            asked.append(host)
            res = await super()._resolve_host(host, port, traces)
            if any(r["host"] in forbidden for r in res):
                raise SSRFError(host)
            return res

    async with aiohttp.ClientSession(connector=SSRFConnector(force_close=True)) as session:
        for url in (URL(site.url), URL(site.url).with_host("localhost")):
            asked.clear()
            async with session.get(url / "events") as resp:
                assert resp.status == 200
            assert asked == [url.host]
        forbidden |= {"127.0.0.1", "::1"}
        for url in (URL(site.url), URL(site.url).with_host("localhost")):
            with pytest.raises(SSRFError, match=url.host):
                await session.get(url / "events")
        assert len(site.seen) == 2


async def test_a_resolver_that_refuses(aiohttp: Any, site: Site) -> None:
    class SSRFError(aiohttp.ClientError):  # type: ignore[misc, name-defined, unused-ignore]
        pass

    class SSRFResolver(aiohttp.abc.AbstractResolver):  # type: ignore[misc, name-defined, unused-ignore]
        async def resolve(self, host: str, port: int = 0, family: int = 0) -> Any:
            raise SSRFError(host)

        async def close(self) -> None:
            pass

    async def passing(req: Any, handler: Any) -> Any:
        return await handler(req)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=SSRFResolver())) as session:
        for middlewares in ((), (passing,)):
            with pytest.raises(SSRFError, match=r"internal\.example"):
                await session.get(URL(site.url).with_host("internal.example"), middlewares=middlewares)


async def test_middlewares_one_around_another(aiohttp: Any, site: Site) -> None:
    order: list[str] = []

    def named(name: str) -> Any:
        async def middleware(req: Any, handler: Any) -> Any:
            order.append(f"{name} before")
            req.headers["X-Seen-By"] = f"{req.headers.get('X-Seen-By', '')}{name}"
            resp = await handler(req)
            order.append(f"{name} after")
            return resp

        return middleware

    async with aiohttp.ClientSession(middlewares=(named("a"), named("b"))) as session:
        await session.get(f"{site.url}/get")
        assert site.last.field("x-seen-by") == "ab"
        await session.get(f"{site.url}/get", middlewares=[named("c")])
        assert site.last.field("x-seen-by") == "c"
    assert order == ["a before", "b before", "b after", "a after", "c before", "c after"]


# Tracing


async def test_tracing_how_long_it_takes(aiohttp: Any, site: Site) -> None:
    told: list[Any] = []

    async def on_request_start(session: Any, trace_config_ctx: Any, params: Any) -> None:
        trace_config_ctx.start = asyncio.get_running_loop().time()
        told.append(("start", params.method, str(params.url), trace_config_ctx.trace_request_ctx))

    async def on_request_end(session: Any, trace_config_ctx: Any, params: Any) -> None:
        elapsed = asyncio.get_running_loop().time() - trace_config_ctx.start
        told.append(("end", params.response.status, elapsed >= 0))

    trace_config = aiohttp.TraceConfig()
    trace_config.on_request_start.append(on_request_start)
    trace_config.on_request_end.append(on_request_end)
    async with aiohttp.ClientSession(trace_configs=[trace_config]) as client:
        await client.get(f"{site.url}/events", trace_request_ctx={"foo": "bar"})
    assert told == [("start", "GET", f"{site.url}/events", {"foo": "bar"}), ("end", 200, True)]


async def test_tracing_with_a_context_of_ones_own(aiohttp: Any, site: Site) -> None:
    made: list[Any] = []

    class Audit(SimpleNamespace):
        def __init__(self, trace_request_ctx: Any = None) -> None:
            super().__init__(steps=[], given=trace_request_ctx)
            made.append(self)

    def step(name: str) -> Any:
        async def on(session: Any, context: Any, params: Any) -> None:
            context.steps.append(name)

        return on

    audit = aiohttp.TraceConfig(trace_config_ctx_factory=Audit)
    audit_signals = ["request_start", "request_redirect", "request_headers_sent", "request_chunk_sent", "request_end", "request_exception"]
    audit_signals += ["connection_queued_start", "connection_create_start", "connection_create_end", "connection_reuseconn"]
    audit_signals += ["response_chunk_received"]
    for signal in audit_signals:
        getattr(audit, f"on_{signal}").append(step(signal))
    async with aiohttp.ClientSession(trace_configs=[audit]) as session:
        async with session.post(f"{site.url}/post", data=b"x") as resp:
            await resp.read()
        async with session.get(f"{site.url}/moved", trace_request_ctx="second") as resp:
            await resp.text()
        with contextlib.suppress(aiohttp.ClientError):
            await session.get("http://127.0.0.1:1/")
    first, second, third = made
    assert first.steps == [
        "request_start",
        "connection_create_start",
        "connection_create_end",
        "request_headers_sent",
        "request_chunk_sent",
        "request_end",
        "response_chunk_received",
    ]
    assert second.given == "second"
    assert second.steps.count("connection_reuseconn") == 2
    assert "request_redirect" in second.steps
    assert third.steps == ["request_start", "connection_create_start", "request_exception"]


# A session's life


async def test_an_end_that_waits(aiohttp: Any, site: Site) -> None:
    session = aiohttp.ClientSession()
    async with session.get(f"{site.url}/events") as resp:
        await resp.read()
    assert not session.closed
    await session.close()
    assert session.closed
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="Session is closed"):
        await session.get(f"{site.url}/events")


async def test_a_session_as_long_as_an_application(aiohttp: Any, served_by: str) -> None:
    """Made in `cleanup_ctx`, used by handlers that ask another server."""
    from peers import needed_module

    web = needed_module("aiohttp.web", "aiohttp")

    async def persistent_session(app: Any) -> Any:
        app["session"] = session = aiohttp.ClientSession()
        yield
        await session.close()

    async with opened(served_by) as site:

        async def hello(request: Any) -> Any:
            async with request.app["session"].get(f"{site.url}/events") as resp:
                return web.Response(text=await resp.text())

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an application's keys are typed nowadays
            app = web.Application()
            app.cleanup_ctx.append(persistent_session)
            app.router.add_get("/", hello)
            runner = web.AppRunner(app, shutdown_timeout=0.01)
            await runner.setup()
            listener = web.TCPSite(runner, "127.0.0.1", 0)
            await listener.start()
            port = listener._server.sockets[0].getsockname()[1]
            async with aiohttp.request("GET", f"http://127.0.0.1:{port}/") as resp:
                assert await resp.text() == "héllo wörld"
            await runner.cleanup()
