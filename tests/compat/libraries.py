"""Libraries on aiohttp's client, making their real calls to a local server: `python libraries.py NAME [aiohttp]`.

A process each, because the face stands in for aiohttp in all of it; with `aiohttp` it is aiohttp itself that serves them, and the same
must hold. Whatever isn't as it should be raises.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aioreq.compat.aiohttp as face
from aioreq.testing import Close, Reply, Request, Server, Stall, httpbin

DATA = bytes(range(256)) * 4000  # 1 MB


async def aiohttp_retry(aiohttp: Any) -> None:
    """Statuses and errors tried again, other parameters each time, the attempt's number in the tracing context."""
    from aiohttp_retry import ExponentialRetry, RequestParams, RetryClient

    attempts: list[int] = []

    async def on_request_start(session: Any, context: Any, params: Any) -> None:
        attempts.append(context.trace_request_ctx["current_attempt"])

    tracing = aiohttp.TraceConfig()
    tracing.on_request_start.append(on_request_start)
    options = ExponentialRetry(attempts=4, start_timeout=0.01, exceptions={aiohttp.ClientError})
    async with Server() as server, RetryClient(retry_options=options, trace_configs=[tracing]) as client:
        left = [503, 503, 200]
        server.route("/flaky", lambda request: Reply.json({"ok": True}, left.pop(0)))
        server.route("/dead", 500)
        server.route("/fine", {"ok": True})
        server.script(Close(), path="/fine", times=3)
        async with client.get(server.url + "/flaky") as response:
            assert await response.json() == {"ok": True}
        assert attempts == [1, 2, 3]
        async with client.post(server.url + "/fine", json={"a": 1}) as response:
            assert await response.json() == {"ok": True}
        assert [json.loads(request.body) for request in server.requests[3:]] == [{"a": 1}] * 4
        async with client.get(server.url + "/dead") as response:
            assert response.status == 500
        other = [RequestParams(method=method, url=server.url + path) for method, path in (("GET", "/dead"), ("PUT", "/fine"))]
        async with client.requests(other) as response:
            assert response.method == "PUT"
        await _raises(aiohttp.ClientResponseError, client.get(server.url + "/dead", raise_for_status=True))


async def aiohttp_client_cache(aiohttp: Any) -> None:
    """A session's class that derives from ours, whose responses are kept and told again."""
    from aiohttp_client_cache import CacheBackend, CachedSession

    async with Server() as server, CachedSession(cache=CacheBackend(expire_after=60), headers={"X-A": "1"}) as session:
        made: list[int] = []

        @server.route("/counted")
        def counted(request: Request) -> dict[str, int]:
            made.append(1)
            return {"n": len(made)}

        server.route("/moved", Reply(302, [("Location", "/counted")]))
        for time in range(3):
            async with session.get(server.url + "/counted", params={"a": "1"}) as response:
                assert await response.json() == {"n": 1}
                assert response.from_cache == (time > 0)
                assert (response.content_type, response.charset, response.content_disposition) == ("application/json", None, None)
                assert (response.method, response.url.path, response.request_info.method, response.ok) == ("GET", "/counted", "GET", True)
        for _ in range(2):
            async with session.get(server.url + "/moved") as response:
                assert [each.status for each in response.history] == [302]
                assert b"".join([piece async for piece in response.content.iter_chunked(3)]) == b'{"n": 2}'
        assert server.requests[0].header("x-a") == "1"


async def elastic_transport(aiohttp: Any) -> None:
    """Its node for aiohttp: compressed bodies, time limits, TLS by authority and by fingerprint, and its errors from ours."""
    from elastic_transport import AiohttpHttpNode, AsyncTransport, ConnectionError, ConnectionTimeout, NodeConfig, TlsError

    async def call(config: NodeConfig, method: str, target: str, **options: Any) -> Any:
        transport = AsyncTransport([config], node_class=AiohttpHttpNode, max_retries=0)
        try:
            return await transport.perform_request(method, target, **options)
        finally:
            await transport.close()

    async with Server(routes=httpbin) as server, Server(routes=httpbin, tls=True) as secure:
        plain = NodeConfig("http", server.host, server.port, http_compress=True)
        answer = await call(plain, "GET", "/json")
        assert (answer.meta.status, answer.body["message"]) == (200, "hello")
        await call(plain, "POST", "/anything?q=%2C1", headers={"content-type": "application/json"}, body={"q": "é" * 100})
        assert (server.requests[-1].target, server.requests[-1].header("content-encoding")) == (b"/anything?q=,1", "gzip")
        assert (await call(plain, "HEAD", "/json")).meta.status == 200
        server.script(Stall(), path="/stalled")
        await _raises(ConnectionTimeout, call(plain, "GET", "/stalled", request_timeout=0.2))
        await _raises(ConnectionError, call(NodeConfig("http", server.host, 1), "GET", "/"))
        await _raises(TlsError, call(NodeConfig("https", secure.host, secure.port), "GET", "/json"))
        assert (await call(NodeConfig("https", secure.host, secure.port, ca_certs=secure.ca), "GET", "/json")).meta.status == 200
        pem = await asyncio.to_thread(ssl.get_server_certificate, (secure.host, secure.port))
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
        pinned = NodeConfig("https", secure.host, secure.port, ssl_assert_fingerprint=digest)
        assert (await call(pinned, "GET", "/json")).meta.status == 200
        wrong = NodeConfig("https", secure.host, secure.port, ssl_assert_fingerprint="00" * 32)
        await _raises(ConnectionError, call(wrong, "GET", "/json"))


def _file(request: Request) -> Reply:
    wanted, headers = request.header("range"), [("Accept-Ranges", "bytes"), ("ETag", '"1"')]
    if wanted is None:
        return Reply(200, headers, DATA)
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    start = int(first) if first else len(DATA) - int(last)
    end = min(int(last) if first and last else len(DATA) - 1, len(DATA) - 1)
    return Reply(206, [*headers, ("Content-Range", f"bytes {start}-{end}/{len(DATA)}")], DATA[start : end + 1])


async def fsspec(aiohttp: Any) -> None:
    """Its HTTP file system: whole files and ranges, listings, uploads, open files, also from threads, on its own loop."""
    from fsspec import open as open_file
    from fsspec.implementations.http import HTTPFileSystem

    def route(server: Server) -> None:
        server.route("/d/file.bin", _file, methods=["GET"])
        server.route("/d/new.bin", lambda request: 201, methods=["PUT", "POST"])
        server.route("/d/", Reply(200, [("Content-Type", "text/html")], '<a href="file.bin">1</a> <a href="/d/c.bin">2</a>'))

    async with Server(routes=route) as server:
        url = server.url + "/d/file.bin"
        files = HTTPFileSystem(asynchronous=True, skip_instance_cache=True)
        session = await files.set_session()
        assert await files._cat_file(url) == DATA
        assert await files._cat_file(url, start=10, end=20) == DATA[10:20]
        assert (await files._info(url))["size"] == len(DATA)
        assert await files._exists(url)
        assert not await files._exists(server.url + "/d/none")
        await _raises(FileNotFoundError, files._cat_file(server.url + "/d/none"))
        assert sorted(await files._ls(server.url + "/d/", detail=False)) == [server.url + "/d/c.bin", url]
        with tempfile.TemporaryDirectory() as folder:
            await files._get_file(url, folder + "/copy")
            assert await asyncio.to_thread(Path(folder, "copy").read_bytes) == DATA
            await files._put_file(folder + "/copy", server.url + "/d/new.bin", method="put")
        assert (server.requests[-1].method, server.requests[-1].body) == ("PUT", DATA)
        file = await files.open_async(url, size=len(DATA))
        assert (await file.read(100), await file.read(50)) == (DATA[:100], DATA[100:150])
        await file.close()
        await session.close()

    def from_a_thread() -> None:
        with Server(routes=route) as server:
            url = server.url + "/d/file.bin"
            with open_file(url, "rb", block_size=1 << 16) as file:
                file.seek(100_000)
                assert file.read(1000) == DATA[100_000:101_000]
            with open_file(url, "rb", block_size=0) as file:
                assert file.read(1000) == DATA[:1000]
            files = HTTPFileSystem(skip_instance_cache=True)
            assert files.cat(url) == DATA
            files.close_session(None, files._session)  # as at its end, when its loop may be gone
            HTTPFileSystem.clear_instance_cache()

    await asyncio.to_thread(from_a_thread)


async def gidgethub(aiohttp: Any) -> None:
    """GitHub's pages by their links, new things, deleted ones, errors and rates."""
    from gidgethub import BadRequest
    from gidgethub.aiohttp import GitHubAPI

    rates = [("X-RateLimit-Limit", "60"), ("X-RateLimit-Remaining", "59"), ("X-RateLimit-Reset", "2000000000")]
    headers = [("Content-Type", "application/json; charset=utf-8"), *rates]
    async with Server() as server, aiohttp.ClientSession() as session:

        @server.route("/issues")
        def issues(request: Request) -> Reply:
            first = b"page=2" not in request.target
            link = [("Link", f'<{server.url}/issues?page=2>; rel="next", <{server.url}/issues?page=2>; rel="last"')] if first else []
            return Reply(200, headers + link, b"[1]" if first else b"[2]")

        server.route("/repos/a/b", Reply(200, headers, b'{"id": 1}'))
        server.route("/new", lambda request: Reply(201, headers, request.body), methods=["POST"])
        server.route("/old", Reply(204, rates), methods=["DELETE"])
        server.route("/none", Reply(404, headers, b'{"message": "Not Found"}'))
        github = GitHubAPI(session, "me", oauth_token="token", base_url=server.url)
        assert await github.getitem("/repos/a/b") == {"id": 1}
        assert github.rate_limit is not None
        assert github.rate_limit.remaining == 59
        assert [number async for number in github.getiter("/issues")] == [1, 2]
        assert await github.post("/new", data={"name": "é"}) == {"name": "é"}
        await github.delete("/old")
        assert (await _raises(BadRequest, github.getitem("/none"))).status_code == 404
        assert server.requests[0].header("authorization") == "token token"


async def gql(aiohttp: Any) -> None:
    """Queries, files and streams as uploads, errors of the server and of the query."""
    from gql import Client, FileVar
    from gql import gql as query
    from gql.transport.aiohttp import AIOHTTPTransport
    from gql.transport.exceptions import TransportQueryError, TransportServerError

    async def streamed() -> AsyncIterator[bytes]:
        yield b"stre"
        yield b"amed"

    async with Server() as server:
        server.route("/graphql", {"data": {"hello": "world"}})
        server.route("/broken", (500, "no"))
        server.route("/wrong", {"errors": [{"message": "no such field"}]})
        transport = AIOHTTPTransport(url=server.url + "/graphql", headers={"X-A": "1"}, timeout=5)
        async with Client(transport=transport) as session:
            assert await session.execute(query("{hello}")) == {"hello": "world"}
            upload = query("mutation($f: Upload!) { take(f: $f) }")
            for content in (io.BytesIO(b"streamed"), streamed()):
                upload.variable_values = {"f": FileVar(content, filename="x.txt")}
                await session.execute(upload, upload_files=True)
                body = server.requests[-1].body
                assert b'filename="x.txt"' in body
                assert b"streamed" in body.replace(b"\r\n4\r\n", b"")
        for path, error in (("/broken", TransportServerError), ("/wrong", TransportQueryError)):
            async with Client(transport=AIOHTTPTransport(url=server.url + path)) as session:
                await _raises(error, session.execute(query("{hello}")))


async def slack_sdk(aiohttp: Any) -> None:
    """Calls with a session given and with one of its own for each, forms, JSON, files, a webhook, an error."""
    from slack_sdk.errors import SlackApiError
    from slack_sdk.web.async_client import AsyncWebClient
    from slack_sdk.webhook.async_client import AsyncWebhookClient

    async with Server() as server:
        for name in ("auth.test", "chat.postMessage", "files.upload"):
            server.route("/api/" + name, {"ok": True})
        server.route("/api/users.list", {"ok": False, "error": "missing_scope"})
        server.route("/hook", "ok")
        async with aiohttp.ClientSession() as session:
            client = AsyncWebClient(token="xoxb-token", base_url=server.url + "/api/", session=session)
            assert (await client.auth_test())["ok"]
            await client.chat_postMessage(channel="C", text="héllo", blocks=[{"type": "divider"}])
            assert json.loads(server.requests[-1].body)["text"] == "héllo"
            await client.api_call("files.upload", files={"file": io.BytesIO(b"content")}, data={"channels": "C"})
            assert b"content" in server.requests[-1].body
            assert (await _raises(SlackApiError, client.users_list())).response["error"] == "missing_scope"
        assert (await AsyncWebClient(token="xoxb-token", base_url=server.url + "/api/").auth_test())["ok"]
        answer = await AsyncWebhookClient(server.url + "/hook").send(text="hello")
        assert (answer.status_code, answer.body) == (200, "ok")


async def _raises(kind: Any, call: Awaitable[Any]) -> Any:
    try:
        await call
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


LIBRARIES: dict[str, Callable[[Any], Awaitable[None]]] = {
    "aiohttp-client-cache": aiohttp_client_cache,
    "aiohttp-retry": aiohttp_retry,
    "elastic-transport": elastic_transport,
    "fsspec": fsspec,
    "gidgethub": gidgethub,
    "gql": gql,
    "slack-sdk": slack_sdk,
}


async def main(name: str, itself: bool) -> None:
    import aiohttp  # whichever it is now

    assert itself == (sys.modules["aiohttp"] is not face)
    await LIBRARIES[name](aiohttp)


if __name__ == "__main__":
    if sys.argv[2:] != ["aiohttp"]:
        face.install()
    asyncio.run(main(sys.argv[1], sys.argv[2:] == ["aiohttp"]))
    print("as it should be")
