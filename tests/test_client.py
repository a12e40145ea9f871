"""The client through its public face, on the embedded server: verbs, options, defaults, base_url, lifecycle."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from yarl import URL

import aioreq
from aioreq import errors
from aioreq.testing import Close, Reply, Server, Stall, httpbin
from aioreq.testing import Request as Received

VERBS = ("get", "head", "post", "put", "patch", "delete", "options")


def last(server: Server) -> Received:
    return server.requests[-1]


def fields(request: Received) -> dict[str, str]:
    return {name.decode().lower(): value.decode() for name, value in request.headers}


# -- verbs and responses


@pytest.mark.parametrize("verb", VERBS)
async def test_a_verb_sends_its_method(server: Server, client: aioreq.Client, verb: str) -> None:
    response = await getattr(client, verb)(server.url + "/anything")
    assert isinstance(response, aioreq.Response)
    assert response.status == 200
    assert last(server).method == response.request.method == verb.upper()
    assert (response.content == b"") == (verb == "head")


async def test_request_takes_any_method(server: Server, client: aioreq.Client) -> None:
    response = await client.request("PROPFIND", server.url + "/anything")
    assert response.json()["method"] == "PROPFIND"


async def test_what_a_response_tells(server: Server, client: aioreq.Client) -> None:
    response = await client.get(server.url + "/redirect/2")
    assert (response.status, response.status_message, response.http_version, response.ok) == (200, "OK", "1.1", True)
    assert response.url == URL(server.url + "/get")
    assert isinstance(response.url, URL)
    assert (response.request.method, response.request.url, response.request.host) == ("GET", response.url, "127.0.0.1")
    assert response.headers["CONTENT-TYPE"] == response.headers["content-type"] == "application/json"
    assert [earlier.status for earlier in response.redirects] == [302, 302]
    assert [earlier.url.path for earlier in response.redirects] == ["/redirect/2", "/redirect/1"]
    assert isinstance(response.elapsed, float)
    assert response.elapsed > 0
    assert response.encoding == "utf-8"
    assert response.text == response.content.decode()
    assert response.json()["method"] == "GET"


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="looks at this process's sockets in /proc")
async def test_small_writes_dont_wait_for_each_other(server: Server, client: aioreq.Client) -> None:
    """Without TCP_NODELAY each piece of a streamed upload would wait for the server's delayed ACK."""
    async with client.stream("GET", server.url + "/bytes/1000000"):
        found = []
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(name))) as copy:
                if copy.getpeername() == ("127.0.0.1", server.port):
                    found.append(copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
    assert found == [1]


@pytest.mark.parametrize("path", ["/gzip", "/deflate"])
async def test_bodies_arrive_decoded(server: Server, client: aioreq.Client, path: str) -> None:
    response = await client.get(server.url + path)
    assert response.json()["encoding"] == path[1:]
    assert path[1:] in fields(last(server))["accept-encoding"]


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_an_encoding_without_a_body_is_no_error(server: Server, client: aioreq.Client, method: str, status: int) -> None:
    server.route("/empty", Reply(status, [("Content-Encoding", "gzip")], b""))
    response = await client.request(method, server.url + "/empty")
    assert (response.status, response.content) == (status, b"")


async def test_a_reply_that_isnt_json_says_what_it_is(server: Server, client: aioreq.Client) -> None:
    response = await client.get(server.url + "/id/7x")
    with pytest.raises(aioreq.DecodeError, match=r"GET 127\.0\.0\.1/id/7x: 200 OK is no JSON \(text/plain, 2 bytes\)") as caught:
        response.json()
    assert caught.value.partial == b"7x"
    assert caught.value.request is response.request


@pytest.mark.parametrize("status", [200, 204, 304, 400, 404, 500, 599])
async def test_any_status_is_a_response_unless_asked_otherwise(server: Server, client: aioreq.Client, status: int) -> None:
    url = f"{server.url}/status/{status}"
    response = await client.get(url)
    assert (response.status, response.ok) == (status, status < 400)
    if status < 400:
        assert response.raise_for_status() is response
        assert (await client.get(url, raise_for_status=True)).status == status
        return
    with pytest.raises(aioreq.StatusError, match=str(status)) as caught:
        await client.get(url, raise_for_status=True)
    assert isinstance(caught.value.response, aioreq.Response)
    assert caught.value.response.status == status
    with pytest.raises(aioreq.StatusError):
        response.raise_for_status()


# -- options


@pytest.mark.parametrize(
    ("url", "params", "target"),
    [
        ("/get", {"a": "1"}, "/get?a=1"),
        ("/get?x=0", {"a": 1}, "/get?x=0&a=1"),
        ("/get", {"a": [1, 2], "b": None, "c": True, "d": False}, "/get?a=1&a=2&c=true&d=false"),
        ("/get", [("a", "1"), ("a", "2")], "/get?a=1&a=2"),
        ("/get?x", "a=%7E&b", "/get?x&a=%7E&b"),
        ("/get", {"q": "ä b&c=d/e"}, "/get?q=%C3%A4%20b%26c%3Dd%2Fe"),
        ("/get#here", {"a": 1.5}, "/get?a=1.5"),
        ("/get", {}, "/get"),
        ("/get?%7E=%2f", None, "/get?%7E=%2f"),
    ],
)
async def test_params_are_appended(server: Server, client: aioreq.Client, url: str, params: Any, target: str) -> None:
    await client.get(server.url + url, params=params)
    assert last(server).target.decode() == target


async def test_headers_go_out_as_given(server: Server, client: aioreq.Client) -> None:
    given: list[tuple[str | bytes, str | bytes | None]] = [
        ("X-Mixed-Case", "1"),
        ("x-again", "ä"),
        ("X-Again", b"\xff"),
        (b"X-Bytes", b"b"),
    ]
    await client.get(server.url + "/get", headers=given)
    sent = [(name, value) for name, value in last(server).headers if name.lower().startswith(b"x-")]
    assert sent == [(b"X-Mixed-Case", b"1"), (b"x-again", "ä".encode()), (b"X-Again", b"\xff"), (b"X-Bytes", b"b")]


async def test_none_removes_a_default_header(server: Server, client: aioreq.Client) -> None:
    await client.get(server.url + "/get")
    assert fields(last(server)) == {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": f"aioreq/{aioreq.__version__}",
        "accept": "*/*",
        "accept-encoding": fields(last(server))["accept-encoding"],
    }
    await client.get(server.url + "/get", headers={"user-agent": None, "ACCEPT-encoding": None, "Accept": "text/html"})
    assert fields(last(server)) == {"host": f"127.0.0.1:{server.port}", "accept": "text/html"}


async def test_cookies_of_one_request(server: Server, client: aioreq.Client) -> None:
    await client.get(server.url + "/cookies", cookies={"a": "1", "b": '"2 3"'})
    assert last(server).header_values("cookie") == ['a=1; b="2 3"']
    await client.get(server.url + "/cookies")
    assert last(server).header("cookie") is None


class Chunks:
    """An asynchronous iterable that can be iterated again and again."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"ab"
        yield b""
        yield b"c"


async def _generated() -> AsyncIterator[bytes]:
    yield b"ab"
    yield b"c"


@pytest.mark.parametrize(
    ("make", "framing"),
    [
        (lambda: b"abc", "3"),
        (lambda: bytearray(b"abc"), "3"),
        (lambda: memoryview(b"abc"), "3"),
        (lambda: "abc", "3"),
        (lambda: io.BytesIO(b"abc"), "3"),
        (lambda: [b"ab", b"c"], None),
        (lambda: iter([b"ab", b"c"]), None),
        (lambda: (part for part in (b"ab", b"c")), None),
        (Chunks, None),
        (_generated, None),
        (lambda: b"", "0"),
    ],
    ids=["bytes", "bytearray", "memoryview", "str", "file", "list", "iterator", "generator", "async iterable", "async generator", "empty"],
)
async def test_content(server: Server, client: aioreq.Client, make: Callable[[], Any], framing: str | None) -> None:
    content = make()
    await client.post(server.url + "/anything", content=content)
    assert last(server).body == (b"abc" if framing != "0" else b"")
    assert last(server).header("content-length") == framing
    assert last(server).header("transfer-encoding") == (None if framing else "chunked")
    assert last(server).header("content-type") is None


async def test_a_file_is_sent_from_where_it_stands(server: Server, client: aioreq.Client) -> None:
    file = io.BytesIO(b"head" + b"x" * 300_000)
    file.seek(4)
    response = await client.post(server.url + "/upload", content=file)
    assert response.json()["length"] == 300_000


@pytest.mark.parametrize(
    ("data", "body"),
    [
        ({"a": "1", "b": "x y&z"}, b"a=1&b=x+y%26z"),
        ([("a", 1), ("a", True)], b"a=1&a=true"),
        ({"a": ["1", "2"], "b": None}, b"a=1&a=2"),
        ({}, b""),
    ],
)
async def test_data_is_a_form(server: Server, client: aioreq.Client, data: Any, body: bytes) -> None:
    await client.post(server.url + "/anything", data=data)
    assert last(server).body == body
    assert last(server).header_values("content-type") == ["application/x-www-form-urlencoded"]


@pytest.mark.parametrize(
    ("value", "body"),
    [(None, b"null"), ({}, b"{}"), ([], b"[]"), (0, b"0"), (False, b"false"), ("", b'""'), ({"a": ["ä", 1.5]}, '{"a":["ä",1.5]}'.encode())],
)
async def test_json_sends_any_value(server: Server, client: aioreq.Client, value: Any, body: bytes) -> None:
    await client.post(server.url + "/anything", json=value)
    assert last(server).body == body
    assert last(server).header_values("content-type") == ["application/json"]


async def test_a_content_type_of_the_users_own_wins(server: Server, client: aioreq.Client) -> None:
    await client.post(server.url + "/anything", json=1, headers={"content-type": "application/vnd.api+json"})
    assert last(server).header_values("content-type") == ["application/vnd.api+json"]


async def test_json_by_functions_of_ones_own(server: Server) -> None:
    async with aioreq.Client(json_dumps=lambda value: f"<{value}>", json_loads=lambda body: body.decode().upper()) as client:
        response = await client.post(server.url + "/id/abc", json="x")
        assert response.json() == "ABC"
        assert last(server).body == b"<x>"
        async with client.stream("GET", server.url + "/id/abc") as streamed:
            assert await streamed.json() == "ABC"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"content": b"a", "json": 1}, TypeError, "one body: give one of content and json"),
        ({"data": b"a=1"}, TypeError, "content="),
        ({"content": {"a": 1}}, TypeError, "data= or json="),
        ({"content": io.StringIO("x")}, TypeError, "'rb'"),
        ({"content": 1}, TypeError, "not int"),
        ({"json": float("nan")}, ValueError, "JSON"),
        ({"auth": "user"}, TypeError, "auth="),
        ({"timeout": "1"}, TypeError, "seconds"),
        ({"timeout": -1}, ValueError, "negative"),
        ({"verify": 1}, TypeError, "verify="),
        ({"verify": False, "tls": aioreq.TLS()}, ValueError, "not both"),
        ({"parms": {}}, TypeError, "takes no parms; its options are params, headers"),
    ],
)
async def test_a_wrong_option_is_told_before_anything_is_sent(
    server: Server, client: aioreq.Client, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        await client.post(server.url + "/anything", **options)
    with pytest.raises(error, match=message):
        async with client.stream("POST", server.url + "/anything", **options):
            pass
    assert server.requests == []


async def test_an_iterable_that_gives_no_bytes(server: Server, client: aioreq.Client) -> None:
    content: Any = ["text"]
    with pytest.raises(TypeError, match="the iterable gave str, not bytes"):
        await client.post(server.url + "/anything", content=content)


async def test_timeout_of_a_request_and_of_the_client(server: Server) -> None:
    server.script(Stall(), path="/stall", times=3)
    async with aioreq.Client(timeout=aioreq.Timeout(read=0.02)) as client:
        with pytest.raises(aioreq.ReadTimeout):
            await client.get(server.url + "/stall")
        with pytest.raises(aioreq.TotalTimeout):
            await client.get(server.url + "/stall", timeout=0.02)
        with pytest.raises(TimeoutError) as caught:
            await client.get(server.url + "/stall", timeout=aioreq.Timeout(total=0.02, read=5))
        assert isinstance(caught.value, aioreq.TotalTimeout)
        response = await client.get(server.url + "/delay/0.05", timeout=None)
        assert response.status == 200


async def test_max_body(server: Server, client: aioreq.Client) -> None:
    assert len((await client.get(server.url + "/bytes/1000", max_body=1000)).content) == 1000
    for path in ("/bytes/1001", "/gzip"):
        with pytest.raises(aioreq.LimitExceeded, match=r"max_body=.*stream it") as caught:
            await client.get(server.url + path, max_body=1000 if path != "/gzip" else 100)
        assert caught.value.limit == "body"
        assert caught.value.request is not None
    async with aioreq.Client(limits=aioreq.Limits(body=10)) as small:
        with pytest.raises(aioreq.LimitExceeded):
            await small.get(server.url + "/bytes/11")
        assert len((await small.get(server.url + "/bytes/11", max_body=11)).content) == 11


async def test_extensions_reach_the_request(server: Server, client: aioreq.Client) -> None:
    response = await client.get(server.url + "/redirect/1", extensions={"mark": 7})
    assert response.request.extensions == {"mark": 7}
    assert (await client.get(server.url + "/get")).request.extensions == {}


@pytest.mark.parametrize("how", ["context", "ca", "tls", "unverified", "client"])
async def test_verify_and_tls(tls_server: Server, client: aioreq.Client, how: str) -> None:
    assert tls_server.ca is not None
    url = tls_server.url + "/get"
    with pytest.raises(aioreq.CertificateError) as caught:
        await client.get(url)
    assert caught.value.request is not None
    if how == "context":
        response = await client.get(url, verify=tls_server.client_context())
    elif how == "ca":
        response = await client.get(url, verify=tls_server.ca)
    elif how == "tls":
        response = await client.get(url, tls=aioreq.TLS(ca=tls_server.ca))
    elif how == "unverified":
        response = await client.get(url, verify=False)
    else:
        async with aioreq.Client(verify=tls_server.ca) as trusting:
            response = await trusting.get(url)
            with pytest.raises(aioreq.CertificateError):
                await trusting.get(url, verify=True)  # the connection that is open is no way around
    assert response.json()["url"] == url
    with pytest.raises(aioreq.CertificateError):
        await client.get(url)


async def test_an_ssl_context_may_be_the_clients(tls_server: Server) -> None:
    context: ssl.SSLContext = tls_server.client_context()
    async with aioreq.Client(tls=aioreq.TLS(context=context)) as client:
        assert (await client.get(tls_server.url + "/get")).status == 200


# -- the client's settings, and the request's own


async def test_a_request_wins_over_the_clients_defaults(server: Server) -> None:
    async with aioreq.Client(
        headers={"X-One": "client", "X-Two": "client", "User-Agent": "mine"},
        params={"a": "client", "b": "client", "c": "client"},
        auth=aioreq.BasicAuth("client", "pw"),
        follow_redirects=False,
        raise_for_status=True,
        max_redirects=0,
    ) as client:
        await client.get(server.url + "/get?d=0")
        assert sorted(last(server).query) == [("a", "client"), ("b", "client"), ("c", "client"), ("d", "0")]
        sent = fields(last(server))
        assert (sent["x-one"], sent["x-two"], sent["user-agent"]) == ("client", "client", "mine")
        assert sent["authorization"] == "Basic Y2xpZW50OnB3"

        await client.get(
            server.url + "/get?b=url",
            headers={"x-one": "own", "X-TWO": None},
            params={"a": ["own", "own2"], "c": None},
            auth=None,
        )
        assert sorted(last(server).query) == [("a", "own"), ("a", "own2"), ("b", "url")]
        sent = fields(last(server))
        assert sent["x-one"] == "own"
        assert "x-two" not in sent
        assert "authorization" not in sent
        assert last(server).header_values("x-one") == ["own"]

        assert (await client.get(server.url + "/redirect/1")).status == 302
        with pytest.raises(aioreq.StatusError):
            await client.get(server.url + "/status/404")
        assert (await client.get(server.url + "/status/404", raise_for_status=False)).status == 404
        with pytest.raises(aioreq.TooManyRedirects):
            await client.get(server.url + "/redirect/1", follow_redirects=True)
        assert (await client.get(server.url + "/redirect/2", follow_redirects=True, max_redirects=2)).status == 200


async def test_user_agent(server: Server) -> None:
    async with aioreq.Client(user_agent="me/1") as client:
        await client.get(server.url + "/get")
        assert last(server).header_values("user-agent") == ["me/1"]


@pytest.mark.parametrize(
    ("base", "url", "target"),
    [
        ("", "/get", "/get"),
        ("/", "get", "/get"),
        ("/api", "get", "/api/get"),
        ("/api/", "/get", "/api/get"),
        ("/api", "", "/api"),
        ("/api/", "", "/api/"),
        ("/api", "?q=1", "/api?q=1"),
        ("/api", "a?next=http://b/", "/api/a?next=http://b/"),
        ("/api", "//get", "/api/get"),
        ("/%7Ea", "b%2fc", "/%7Ea/b%2fc"),
    ],
)
async def test_base_url(server: Server, base: str, url: str, target: str) -> None:
    server.route("*", 204)
    async with aioreq.Client(base_url=server.url + base) as client:
        await client.get(url)
        assert last(server).target.decode() == target
        await client.send(aioreq.Request("GET", url))
        assert last(server).target.decode() == target
        async with client.stream("GET", url):
            assert last(server).target.decode() == target


async def test_an_absolute_url_wins_over_base_url(server: Server) -> None:
    async with aioreq.Client(base_url=URL("http://nowhere.invalid/api")) as client:
        assert (await client.get(server.url + "/get")).status == 200
        assert (await client.get(URL(server.url + "/get"))).status == 200


async def test_base_url_takes_userinfo(server: Server) -> None:
    base = f"http://user:pass%40@127.0.0.1:{server.port}/"
    async with aioreq.Client(base_url=base) as client:
        await client.get("get")
        assert last(server).header("authorization") == "Basic dXNlcjpwYXNzQA=="


@pytest.mark.parametrize("base", ["http://h/?key=1", "http://h/#top", "/api", "h/api"])
def test_a_base_url_that_is_none(base: str) -> None:
    with pytest.raises(aioreq.InvalidURL):
        aioreq.Client(base_url=base)


@pytest.mark.parametrize("url", ["127.0.0.1/get", "/get", "", "ftp://h/", "http://", "http://a b/", "http://h/\n", "http://h:0/"])
async def test_an_invalid_url_is_an_error_that_carries_its_request(client: aioreq.Client, url: str) -> None:
    with pytest.raises(aioreq.InvalidURL) as caught:
        await client.get(url)
    assert str(caught.value)
    assert caught.value.request is not None
    with pytest.raises(ValueError, match="URL"):
        async with client.stream("GET", url):
            pass


async def test_a_url_without_a_scheme_gets_a_suggestion(client: aioreq.Client) -> None:
    with pytest.raises(aioreq.InvalidURL, match=r"did you mean 'https://www\.google\.com'"):
        await client.get("www.google.com")


# -- send


async def test_send_adds_what_is_the_clients(server: Server) -> None:
    async with aioreq.Client(base_url=server.url, headers={"X-A": "client", "X-B": "client"}, params={"p": 1}) as client:
        request = aioreq.Request(url="/anything", method="POST", headers={"x-a": "own"}, content="body")
        response = await client.send(request)
        sent = fields(last(server))
        assert (sent["x-a"], sent["x-b"], last(server).body, last(server).query) == ("own", "client", b"body", [("p", "1")])
        assert response.request is not request
        assert list(request.headers.items()) == [("x-a", "own")]  # the user's request stays as it was


async def test_a_request_can_be_sent_again_and_by_other_clients(server: Server, client: aioreq.Client) -> None:
    request = aioreq.Request("PUT", server.url + "/anything", content=b"x", headers={"A": "1"})
    request.headers["B"] = "2"
    async with aioreq.Client(headers={"C": "3"}) as other:
        for sender in (client, other, client):
            assert (await sender.send(request)).status == 200
    assert [(fields(sent)["b"], fields(sent).get("c")) for sent in server.requests] == [("2", None), ("2", "3"), ("2", None)]


async def test_options_of_a_request_object(server: Server) -> None:
    server.script(Stall(), path="/stall")
    async with aioreq.Client(auth=aioreq.BasicAuth("client", "pw")) as client:
        await client.send(aioreq.Request("GET", server.url + "/get", auth=None))
        assert last(server).header("authorization") is None
        await client.send(aioreq.Request("GET", server.url + "/get", auth=aioreq.BasicAuth("a", "b")))
        assert last(server).header("authorization") == "Basic YTpi"
        with pytest.raises(aioreq.TotalTimeout):
            await client.send(aioreq.Request("GET", server.url + "/stall", timeout=0.02))


# -- streams


async def test_stream(server: Server, client: aioreq.Client) -> None:
    async with client.stream("GET", server.url + "/bytes/1000000") as response:
        assert isinstance(response, aioreq.StreamResponse)
        assert (response.status, response.headers["content-length"]) == (200, "1000000")
        assert response.elapsed > 0
        received = b"".join([chunk async for chunk in response.content])
    assert received == (await client.get(server.url + "/bytes/1000000")).content
    assert server.accepted == 1


async def test_stream_decodes_and_cuts(server: Server, client: aioreq.Client) -> None:
    async with client.stream("GET", server.url + "/gzip") as response:
        pieces = [piece async for piece in response.iter_bytes(10)]
    assert {len(piece) for piece in pieces[:-1]} == {10}
    assert b'"encoding": "gzip"' in b"".join(pieces)
    async with client.stream("GET", server.url + "/gzip") as response:
        raw = b"".join([piece async for piece in response.iter_raw()])
    assert raw.startswith(b"\x1f\x8b")


async def test_stream_reads_whole(server: Server, client: aioreq.Client) -> None:
    async with client.stream("POST", server.url + "/anything", json=[1]) as response:
        assert await response.read() is await response.read()
        assert (await response.json())["body"] == "[1]"
        assert (await response.text()).startswith("{")


async def test_leaving_a_stream_early_frees_its_connection(server: Server) -> None:
    async with aioreq.Client(limits=aioreq.Limits(connections=1)) as client:
        async with client.stream("GET", server.url + "/bytes/10000000") as response:
            assert await anext(response.content)
        with pytest.raises(aioreq.LocalProtocolError, match="closed before its body was read"):
            await response.read()
        assert (await client.get(server.url + "/get")).status == 200


async def test_raise_for_status_of_a_stream(server: Server, client: aioreq.Client) -> None:
    server.route("/teapot", lambda request: (418, "short and stout"))
    with pytest.raises(aioreq.StatusError, match="418") as caught:
        async with client.stream("GET", server.url + "/teapot", raise_for_status=True):
            pytest.fail("the body of the block ran")
    assert isinstance(caught.value.response, aioreq.Response)
    assert caught.value.response.text == "short and stout"


async def test_stream_client(server: Server) -> None:
    request = aioreq.Request(url=server.url + "/stream/3", method="GET")
    async with aioreq.StreamClient(request=request) as response:
        lines = b"".join([chunk async for chunk in response.content]).splitlines()
    assert len(lines) == 3
    with pytest.raises(aioreq.ConnectError):
        async with aioreq.StreamClient(request=aioreq.Request(url="http://127.0.0.1:1/"), retry=0):
            pass


# -- lifecycle


async def test_a_client_needs_no_async_with(server: Server) -> None:
    client = aioreq.Client()
    assert (await client.get(server.url + "/get")).status == 200
    await client.close()
    await client.close()
    assert repr(client) == "<Client closed>"
    for use in (client.get(server.url + "/get"), client.send(aioreq.Request("GET", server.url)), client.__aenter__()):
        with pytest.raises(aioreq.ClientClosed):
            await use
    with pytest.raises(aioreq.ClientClosed):
        async with client.stream("GET", server.url):
            pass


def _more_requests(server: Server, seen: int) -> Callable[[], bool]:
    return lambda: len(server.requests) > seen


async def test_close_ends_requests_under_way(server: Server, client: aioreq.Client) -> None:
    server.script(Stall(), path="/stall", times=2)
    for path in ("/stall", "/stall?again"):
        async with aioreq.Client(limits=aioreq.Limits(connections=1)) as closing:
            first = asyncio.ensure_future(closing.get(server.url + path))
            waiting = asyncio.ensure_future(closing.get(server.url + path))  # for the one slot
            seen = len(server.requests)
            await server.until(_more_requests(server, seen))
            await closing.close()
            for request in (first, waiting):
                with pytest.raises(aioreq.ClientClosed) as caught:
                    await request
                assert str(caught.value)
                assert caught.value.request is not None
    assert (await client.get(server.url + "/get")).status == 200  # another client doesn't care
    await server.until(lambda: len(server.connections) == 1)


async def test_close_ends_streams(server: Server) -> None:
    client = aioreq.Client()
    async with client.stream("GET", server.url + "/drip?duration=60") as response:
        pieces = response.content
        await anext(pieces)
        await client.close()
        with pytest.raises(aioreq.ClientClosed):
            async for _ in pieces:
                pass


def test_one_client_on_one_loop_after_another() -> None:
    with Server(routes=httpbin) as server:
        client = aioreq.Client(base_url=server.url)  # no loop runs here
        assert asyncio.run(client.get("/get")).status == 200
        assert asyncio.run(client.get("/get")).status == 200
        assert server.accepted == 2  # the first loop's connection went with it

        async def twice() -> None:
            async with client:
                await client.get("/get")
                await client.get("/get")

        asyncio.run(twice())
        assert server.accepted == 3
        server.wait(lambda: not server.connections)


def test_no_loop_is_needed_to_make_a_request() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        aioreq.Client().get("http://127.0.0.1/").send(None)


async def test_without_persistent_connections_each_request_has_its_own(server: Server) -> None:
    async with aioreq.Client(persistent_connections=False) as client:
        for _ in range(3):
            await client.get(server.url + "/get")
            assert last(server).header_values("connection") == ["close"]
    assert [request.connection for request in server.requests] == [1, 2, 3]


async def test_connections_are_kept(server: Server, client: aioreq.Client) -> None:
    for path in ("/get", "/stream/5", "/gzip", "/status/404", "/status/500", "/redirect/3"):
        await client.get(server.url + path)
    assert server.accepted == 1


async def test_clients_share_nothing(server: Server) -> None:
    one = aioreq.Client(
        headers={"X-A": "1"}, params={"p": 1}, auth=aioreq.BasicAuth("a", "b"), timeout=0.001, retry=0, follow_redirects=False,
        raise_for_status=True, user_agent="one", middlewares=(), base_url=server.url + "/nowhere", cookies={"c": "1"},
    )  # fmt: skip
    one.cookies.set("d", "2", url=server.url)
    async with one, aioreq.Client() as other:
        with pytest.raises(aioreq.AioreqError):
            await one.get("x")
        response = await other.get(server.url + "/redirect/1")
        assert response.status == 200
        sent = fields(last(server))
        assert sent.keys() == {"host", "user-agent", "accept", "accept-encoding"}
        assert last(server).target == b"/get"
        assert (await other.get(server.url + "/delay/0.01")).status == 200
        assert (await other.get(server.url + "/status/500")).status == 500
        assert len(other.cookies) == 0
    async with aioreq.Client() as third:  # made after `one` was closed
        assert (await third.get(server.url + "/get")).status == 200


# -- errors


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("script", "error"),
    [
        ((Close(),), aioreq.ConnectionLost),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", Close()), aioreq.IncompleteBody),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",), aioreq.RemoteProtocolError),
        ((b"nonsense\r\n\r\n",), aioreq.RemoteProtocolError),
        ((b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70000,), aioreq.LimitExceeded),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Encoding: gzip\r\n\r\nabc",), aioreq.DecodeError),
        ((Stall(),), aioreq.ReadTimeout),
    ],
    ids=["lost", "incomplete", "two lengths", "nonsense", "long head", "no gzip", "silence"],
)
async def test_errors_carry_their_request(server: Server, script: Any, error: type[aioreq.AioreqError], streamed: bool) -> None:
    server.script(*script)
    async with aioreq.Client(retry=0, timeout=aioreq.Timeout(read=0.05)) as client:
        with pytest.raises(error) as caught:
            if streamed:
                async with client.stream("GET", server.url + "/x") as response:
                    await response.read()
            else:
                await client.get(server.url + "/x")
    assert caught.type is error
    assert str(caught.value)
    assert isinstance(caught.value, aioreq.AioreqError)
    assert caught.value.request is not None
    assert caught.value.request.url == URL(server.url + "/x")


async def test_errors_of_connecting_carry_their_request(client: aioreq.Client) -> None:
    for url, error in (("http://127.0.0.1:1/", aioreq.ConnectError), ("http://nowhere.invalid/", aioreq.DNSError)):
        with pytest.raises(error) as caught:
            await client.get(url, retry=0)
        assert str(URL(url).host) in str(caught.value)
        assert caught.value.request is not None
        assert isinstance(caught.value, ConnectionError)


@pytest.mark.parametrize("name", errors.__all__)
def test_no_error_is_without_a_message(name: str) -> None:
    kind = getattr(aioreq, name)
    assert kind is getattr(errors, name)
    assert name in str(kind())
    assert str(kind("what happened")) == "what happened"


async def test_cancelling_a_request_leaves_the_client_usable(server: Server) -> None:
    server.script(Stall(), path="/stall")
    async with aioreq.Client(limits=aioreq.Limits(connections=1)) as client:
        task = asyncio.ensure_future(client.get(server.url + "/stall"))
        await server.until(lambda: bool(server.requests))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await client.get(server.url + "/get")).status == 200


async def test_many_requests_at_once_get_their_own_answers(server: Server) -> None:
    async with aioreq.Client(limits=aioreq.Limits(connections=10)) as client:
        responses = await asyncio.gather(*(client.get(f"{server.url}/id/{n}") for n in range(200)))
    assert [response.text for response in responses] == [str(n) for n in range(200)]
    assert server.accepted == 10
