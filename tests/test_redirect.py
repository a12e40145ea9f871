"""Redirects (RFC 9110 section 15.4): what is asked next, with which body, and that no credential changes its origin."""

from __future__ import annotations

import gzip
import io
import itertools
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

import aioreq
from aioreq import BasicAuth, Client, Request, Response, StreamResponse
from aioreq.middlewares import MiddleWare, default_middlewares
from aioreq.request_options import RequestOptions
from aioreq.testing import Pause, Reply, Server, httpbin

REDIRECTS = (301, 302, 303, 307, 308)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def redirect(server: Server, location: str, status: int = 302, path: str = "/start") -> str:
    """The URL of a redirect to `location`."""
    server.route(path, Reply(status, [("Location", location)]))
    return server.url + path


# -- what is asked next


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("status", REDIRECTS)
async def test_method_and_body(server: Server, client: Client, status: int, method: str) -> None:
    keeps_method = status in (307, 308) or method == "HEAD" or (status in (301, 302) and method != "POST")
    fields = {"Content-Type": "text/x", "Content-Language": "en", "X-Other": "stays"}
    response = await client.request(method, redirect(server, "/anything", status), content=b"body", headers=fields)
    first, second = server.requests
    assert (first.method, first.body) == (method, b"body")
    assert second.method == response.request.method == (method if keeps_method else "GET")
    assert second.body == (b"body" if keeps_method else b"")
    described = [second.header(name) for name in ("content-type", "content-language", "content-length")]
    assert described == (["text/x", "en", "4"] if keeps_method else [None, None, None])
    assert second.header("transfer-encoding") is None
    assert second.header("x-other") == "stays"
    assert [earlier.status for earlier in response.redirects] == [status]


@pytest.mark.parametrize("status", [300, 304, 305, 306, 200, 201, 404])
async def test_what_isnt_followed(server: Server, client: Client, status: int) -> None:
    response = await client.get(redirect(server, "/get", status))
    assert (response.status, response.redirects, len(server.requests)) == (status, (), 1)


async def test_a_redirect_without_a_location_is_the_answer(server: Server, client: Client) -> None:
    server.route("/start", Reply(302, body="look around"))
    response = await client.get(server.url + "/start")
    assert (response.status, response.text, response.redirects) == (302, "look around", ())


async def test_following_may_be_left_to_the_caller(server: Server, client: Client) -> None:
    server.route("/start", Reply(302, [("Location", "/get")], "look there"))
    response = await client.get(server.url + "/start", follow_redirects=False)
    assert (response.status, response.headers["location"], response.text) == (302, "/get", "look there")
    async with client.stream("GET", server.url + "/start", follow_redirects=False) as streamed:
        assert await streamed.read() == b"look there"
    assert server.accepted == 1


@pytest.mark.parametrize(
    ("start", "location", "target"),
    [
        ("/a/b", "/c", "/c"),
        ("/a/b", "c", "/a/c"),
        ("/a/b/", "c", "/a/b/c"),
        ("/a/b", "../c", "/c"),
        ("/a/b", "../../../c", "/c"),
        ("/a/b", "./c/./d/../e", "/a/c/e"),
        ("/a/b", "/c/..", "/"),
        ("/a/b", "?q=1", "/a/b?q=1"),
        ("/a/b?q=0", "", "/a/b?q=0"),
        ("/a/b?q=0", "c", "/a/c"),
        ("/a/b", "/c%2Fd/%7e?x=%20", "/c%2Fd/%7e?x=%20"),
        ("/a/b", "/ü b", "/%C3%BC%20b"),
        ("/a/b", "http://AUTHORITY/c/../d", "/c/../d"),
        ("/a/b", "//AUTHORITY/c", "/c"),
        ("/a/b", "c:d/e", None),
        ("/a/b", "./c:d/e", "/a/c:d/e"),
    ],
)
async def test_locations_are_resolved(server: Server, client: Client, start: str, location: str, target: str | None) -> None:
    location = location.replace("AUTHORITY", f"127.0.0.1:{server.port}")
    server.route("*", 204)
    head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    server.script(head.encode(), path=start.partition("?")[0])
    if target is None:
        with pytest.raises(aioreq.RemoteProtocolError):
            await client.get(server.url + start)
        return
    response = await client.get(server.url + start)
    assert server.requests[-1].target.decode() == target
    assert str(response.url) == server.url + target


@pytest.mark.parametrize(
    ("start", "location", "fragment"),
    [("/start#one", "/get", "one"), ("/start#one", "/get#two", "two"), ("/start", "/get#two", "two"), ("/start", "/get", "")],
)
async def test_fragments(server: Server, client: Client, start: str, location: str, fragment: str) -> None:
    redirect(server, location)
    response = await client.get(server.url + start)
    assert response.url.fragment == fragment
    assert [sent.target for sent in server.requests] == [b"/start", b"/get"]


@pytest.mark.parametrize(
    "location", ["http://", "http:///get", "ftp://h/", "http://[::1/", "http://h:99999/", "mailto:a@b", "http://h/\x00"]
)
async def test_a_location_that_leads_nowhere(server: Server, client: Client, location: str) -> None:
    server.script(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())
    with pytest.raises(aioreq.RemoteProtocolError) as caught:
        await client.get(server.url + "/start", retry=0)
    assert str(caught.value)
    assert caught.value.request is not None
    assert str(caught.value.request.url) == server.url + "/start"
    assert len(server.requests) == 1


@pytest.mark.parametrize("most", [0, 1, 3, 20])
async def test_loops_end(server: Server, client: Client, most: int) -> None:
    url = redirect(server, "/start")
    with pytest.raises(aioreq.TooManyRedirects, match=f"more than {most} redirects") as caught:
        await client.get(url, max_redirects=most)
    response = caught.value.response
    assert response is not None
    assert (response.status, len(response.redirects), len(server.requests)) == (302, most, most + 1)
    assert caught.value.request is not None
    assert (await client.get(server.url + "/redirect/20")).status == 200
    assert server.accepted == 1


async def test_streams_follow(server: Server, client: Client) -> None:
    async with client.stream("GET", server.url + "/redirect/3") as response:
        assert (response.status, len(response.redirects)) == (200, 3)
        assert (await response.json())["method"] == "GET"


# -- bodies, once more


@dataclass
class Parts:
    parts: list[bytes] = field(default_factory=lambda: [b"ab", b"c"])

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            yield part


async def _generated() -> AsyncIterator[bytes]:
    yield b"ab"
    yield b"c"


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize(
    "make",
    [lambda: b"abc", lambda: "abc", lambda: [b"ab", b"c"], lambda: io.BytesIO(b"abc"), Parts],
    ids=["bytes", "str", "list", "file", "async iterable"],
)
async def test_a_body_is_sent_again(server: Server, client: Client, make: Callable[[], Any], status: int) -> None:
    response = await client.post(redirect(server, "/anything", status), content=make())
    assert response.json()["body"] == "abc"
    assert [sent.body for sent in server.requests] == [b"abc", b"abc"]


async def test_a_file_is_sent_again_from_where_it_stood(server: Server, client: Client) -> None:
    file = io.BytesIO(b"skipped" + b"x" * 300_000)
    file.seek(7)
    response = await client.put(redirect(server, "/upload", 307), content=file)
    assert response.json()["length"] == 300_000


@pytest.mark.parametrize("status", REDIRECTS)
@pytest.mark.parametrize("make", [lambda: iter([b"ab", b"c"]), _generated], ids=["iterator", "async generator"])
async def test_a_body_that_is_gone(server: Server, client: Client, make: Callable[[], Any], status: int) -> None:
    url = redirect(server, "/anything", status)
    if status in (307, 308):
        with pytest.raises(aioreq.LocalProtocolError, match="can't be sent again: give bytes, a list or a file") as caught:
            await client.post(url, content=make())
        assert caught.value.request is not None
        assert len(server.requests) == 1
    else:
        assert (await client.post(url, content=make())).json()["method"] == "GET"


# -- bodies of redirects


async def test_a_short_body_is_drained(server: Server, client: Client) -> None:
    server.route("/start", Reply(302, [("Location", "/get")], b"x" * 60_000))
    server.route("/chunked", Reply(302, [("Location", "/start")], b"x" * 60_000, framing="chunked"))
    async with Client(limits=aioreq.Limits(connections=1)) as single:
        assert len((await single.get(server.url + "/chunked")).redirects) == 2
    assert server.accepted == 1


@pytest.mark.parametrize("declared", [True, False])
async def test_a_long_body_ends_its_connection(server: Server, client: Client, declared: bool) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    length = [("Content-Length", "1000000000000")] if declared else []
    server.route("/start", lambda request: Reply(302, [("Location", "/get"), *length], endless()))
    assert (await client.get(server.url + "/start")).status == 200
    assert [sent.connection for sent in server.requests] == [1, 2]
    await server.until(lambda: len(server.connections) == 1)


async def test_a_body_that_stalls_holds_nobody_up(server: Server, client: Client) -> None:
    server.script(b"HTTP/1.1 302 Found\r\nLocation: /get\r\nContent-Length: 1000\r\n\r\n", Pause(60), path="/start")
    assert (await client.get(server.url + "/start")).status == 200


@pytest.mark.parametrize("body", [gzip.compress(bytes(64 << 20)), b"no gzip at all"], ids=["bomb", "nonsense"])
async def test_a_body_is_never_decoded(server: Server, client: Client, body: bytes) -> None:
    server.route("/start", Reply(302, [("Location", "/get"), ("Content-Encoding", "gzip")], body))
    await client.get(server.url + "/get")
    tracemalloc.start()
    try:
        assert (await client.get(server.url + "/start")).status == 200
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


# -- credentials

SECRETS = ("authorization", "proxy-authorization", "cookie")


@dataclass(frozen=True)
class Source:
    """Where credentials come from, and how many of their fields the first request carries."""

    name: str
    client: dict[str, Any] = field(default_factory=dict)
    request: dict[str, Any] = field(default_factory=dict)
    userinfo: str = ""
    count: int = 1

    def __str__(self) -> str:
        return self.name


SOURCES = (
    Source("client auth", client={"auth": BasicAuth("user", "secret")}),
    Source("request auth", request={"auth": BasicAuth("user", "secret")}),
    Source("userinfo", userinfo="user:secret@"),
    Source("client field", client={"headers": {"Authorization": "Bearer secret"}}),
    Source("request field", request={"headers": {"authorization": "Bearer secret"}}),
    Source("doubled field", request={"headers": [("Authorization", "Bearer secret"), ("AUTHORIZATION", "Basic secret")]}, count=2),
    Source("field behind a removed one", request={"headers": [("Authorization", None), ("authorization", "secret")]}),
    Source("both fields", client={"headers": {"Cookie": "a=1"}}, request={"headers": {"Authorization": "Bearer secret"}}, count=2),
    Source("proxy field", request={"headers": {"Proxy-Authorization": "Basic secret"}}),
    Source("cookie field of the client", client={"headers": {"cookie": "sid=secret"}}),
    Source("cookie field", request={"headers": {"Cookie": "sid=secret"}}),
    Source("doubled cookie field", request={"headers": [("cookie", "a=1"), ("Cookie", "b=2"), ("COOKIE", "c=3")]}, count=3),
    Source("cookies", request={"cookies": {"sid": "secret"}}),
    Source("cookies and auth", request={"cookies": {"sid": "secret"}, "auth": BasicAuth("user", "secret")}, count=2),
)


class Recorder(MiddleWare):
    """In place of the network: the first origin redirects to `target`, and what is sent is kept."""

    def __init__(self, target: str, status: int) -> None:
        super().__init__()
        self.target = target
        self.status = status
        self.sent: list[tuple[str, list[tuple[str, str]]]] = []

    async def process(self, request: Request, client: Client) -> Response | StreamResponse:
        self.sent.append((str(request.url), request.pairs()))
        if len(self.sent) == 1:
            return Response(request, "1.1", self.status, b"", [(b"Location", self.target.encode())])
        return Response(request, "1.1", 200, b"OK", [])

    def secrets(self) -> list[int]:
        """How many fields with a credential each request had."""
        return [sum(name.lower() in SECRETS for name, _ in pairs) for _, pairs in self.sent]


CHANGES = [
    ("http://a.example:8080/x", "http://b.example:8080/y"),
    ("http://a.example:8080/x", "http://sub.a.example:8080/y"),
    ("http://sub.a.example:8080/x", "http://a.example:8080/y"),
    ("http://a.example:8080/x", "http://a.example:8081/y"),
    ("http://a.example:8080/x", "https://a.example:8080/y"),
    ("https://a.example:8080/x", "http://a.example:8080/y"),
    ("https://a.example/x", "http://a.example/y"),
    ("http://a.example/x", "https://a.example/y"),
    ("http://a.example/x", "//b.example/y"),
    ("http://a.example/x", "http://a.example./y"),
]
SAME = [
    ("http://a.example:8080/x", "http://a.example:8080/y"),
    ("http://a.example/x", "http://A.EXAMPLE:80/y"),
    ("https://a.example:443/x", "https://a.example/y"),
    ("https://a.example/x", "../z"),
]
ORDERS = {
    "default": default_middlewares,
    "redirects last": ("RetryMiddleWare", "CookiesMiddleWare", "DecodeMiddleWare", "AuthenticationMiddleWare", "RedirectMiddleWare"),
}


async def hop(source: Source, start: str, target: str, status: int, method: str, order: str = "default") -> Recorder:
    recorder = Recorder(target, status)
    scheme, _, rest = start.partition("://")
    async with Client(middlewares=(*ORDERS[order], recorder), **source.client) as client:
        await client.request(method, f"{scheme}://{source.userinfo}{rest}", **source.request)
    assert len(recorder.sent) == 2
    return recorder


KINDS = list(itertools.product(REDIRECTS, ("GET", "POST")))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("source", SOURCES, ids=str)
async def test_no_credential_changes_its_origin(source: Source, order: str) -> None:
    for (start, target), (status, method) in itertools.product(CHANGES, KINDS):
        recorder = await hop(source, start, target, status, method, order)
        assert recorder.secrets() == [source.count, 0], (start, target, status, method)
        assert "secret" not in str(recorder.sent[1])


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("source", SOURCES, ids=str)
async def test_every_credential_stays_with_its_origin(source: Source, order: str) -> None:
    for (start, target), (status, method) in itertools.product(SAME, KINDS):
        recorder = await hop(source, start, target, status, method, order)
        first, second = (sorted(pair for pair in pairs if pair[0].lower() in SECRETS) for _, pairs in recorder.sent)
        assert first == second, (start, target, status, method)
        assert len(first) == source.count


@pytest.fixture
async def other() -> AsyncIterator[Server]:
    async with Server(routes=httpbin) as server:
        yield server


@asynccontextmanager
async def first_hop(source: Source, first: Server, location: str, **options: Any) -> AsyncIterator[None]:
    """The request with these credentials, redirected by a server to `location`."""
    scheme, _, rest = redirect(first, location, 307).partition("://")
    async with Client(**source.client, **options) as client:
        response = await client.get(f"{scheme}://{source.userinfo}{rest}", **source.request)
        assert response.status == 200
        yield


def secrets_at(server: Server) -> Iterator[int]:
    for request in server.requests:
        yield sum(name.decode().lower() in SECRETS for name, _ in request.headers)


@pytest.mark.parametrize("source", SOURCES, ids=str)
async def test_none_arrives_on_another_port(server: Server, other: Server, source: Source) -> None:
    async with first_hop(source, server, other.url + "/get"):
        assert list(secrets_at(server)) == [source.count]
        assert list(secrets_at(other)) == [0]


@pytest.mark.parametrize("source", SOURCES, ids=str)
async def test_none_arrives_at_another_host(server: Server, source: Source) -> None:
    async with first_hop(source, server, f"http://localhost:{server.port}/get"):
        assert list(secrets_at(server)) == [source.count, 0]
        assert server.requests[1].header("host") == f"localhost:{server.port}"


@pytest.mark.parametrize("source", SOURCES, ids=str)
async def test_none_arrives_in_plaintext(tls_server: Server, other: Server, source: Source) -> None:
    async with first_hop(source, tls_server, other.url + "/get", verify=tls_server.client_context()):
        assert list(secrets_at(tls_server)) == [source.count]
        assert list(secrets_at(other)) == [0]


@pytest.mark.parametrize("source", SOURCES, ids=str)
async def test_none_arrives_over_tls_after_plaintext(tls_server: Server, server: Server, source: Source) -> None:
    async with first_hop(source, server, tls_server.url + "/get", verify=tls_server.client_context()):
        assert list(secrets_at(server)) == [source.count]
        assert list(secrets_at(tls_server)) == [0]


@pytest.mark.parametrize("source", SOURCES, ids=str)
async def test_what_was_dropped_doesnt_come_back(server: Server, other: Server, source: Source) -> None:
    redirect(other, server.url + "/get", 307, "/back")
    async with first_hop(source, server, other.url + "/back"):
        assert list(secrets_at(server)) == [source.count, 0]
        assert list(secrets_at(other)) == [0]


async def test_a_password_for_a_challenge_isnt_given_to_another_origin(server: Server, other: Server) -> None:
    async with Client(auth=("user", "secret")) as client:
        for path in ("/basic-auth/user/secret", "/digest-auth/auth/user/secret"):
            response = await client.get(redirect(server, other.url + path, path="/to" + path))
            assert response.status == 401
    assert list(secrets_at(other)) == [0, 0]


async def test_userinfo_in_a_location_is_for_its_own_origin(server: Server, other: Server, client: Client) -> None:
    location = f"http://user:secret@127.0.0.1:{other.port}/basic-auth/user/secret"
    assert (await client.get(redirect(server, location), auth=BasicAuth("mine", "mine"))).status == 200
    assert [sent.header("authorization") for sent in other.requests] == ["Basic dXNlcjpzZWNyZXQ="]


async def test_a_host_field_of_the_users_own_stays_with_its_origin(server: Server, other: Server, client: Client) -> None:
    headers = {"Host": "virtual.example", "X-Api": "1"}
    await client.get(redirect(server, "/redirect-to?url=" + other.url + "/get"), headers=headers)
    assert [sent.header("host") for sent in server.requests] == ["virtual.example"] * 2
    assert [sent.header("host") for sent in other.requests] == [f"127.0.0.1:{other.port}"]
    assert [sent.header("x-api") for sent in other.requests] == ["1"]


async def test_a_users_request_keeps_its_credentials(server: Server, other: Server, client: Client) -> None:
    request = Request("GET", redirect(server, other.url + "/get"), headers={"Authorization": "Bearer secret"})
    for _ in range(2):
        await client.send(request)
    assert list(secrets_at(server)) == [1, 1]
    assert list(secrets_at(other)) == [0, 0]
    assert request.headers["Authorization"] == "Bearer secret"


async def test_options_hold_on_every_hop(tls_server: Server, server: Server) -> None:
    options = RequestOptions(
        verify=tls_server.client_context(), headers={"X-A": "1"}, extensions={"a": 1}, raise_for_status=True, max_body=5
    )
    async with Client() as client:
        response = await client.get(redirect(server, tls_server.url + "/id/x"), **options)
        assert (response.text, tls_server.requests[0].header("x-a"), response.request.extensions) == ("x", "1", {"a": 1})
        for location, error in (("/status/404", aioreq.StatusError), ("/bytes/6", aioreq.LimitExceeded)):
            with pytest.raises(error):
                await client.get(redirect(server, location, path="/to" + location), **options)
