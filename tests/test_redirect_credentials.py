"""No credential changes its origin by a redirect: wherever it comes from, whatever the redirect, wherever it leads, however many."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

import aioreq
from aioreq import SENSITIVE_HEADERS, BasicAuth, Client, CookieJar, Request, Response, StreamResponse
from aioreq.middlewares import MiddleWare, default_middlewares
from aioreq.testing import Authority, Reply, Server, httpbin
from aioreq.testing import Request as Received

REDIRECTS = (301, 302, 303, 307, 308)


def redirect(server: Server, location: str, status: int = 302, path: str = "/start") -> str:
    """The URL of a redirect to `location`."""
    server.route(path, Reply(status, [("Location", location)]))
    return server.url + path


SECRETS = ("authorization", "proxy-authorization", "cookie", "x-api-key", "private-token", "x-own", "x-own-too")


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
    Source("sensitive field of the client", client={"headers": {"X-Api-Key": "secret"}}),
    Source("sensitive field", request={"headers": {"x-API-key": "secret", "Private-Token": "secret"}}, count=2),
    Source(
        "doubled sensitive field", request={"headers": [("X-Api-Key", "secret"), ("x-api-key", "secret2"), ("X-API-KEY", "s")]}, count=3
    ),
    Source("fields of both", client={"headers": {"X-Api-Key": "secret"}}, request={"headers": {"Private-Token": "secret"}}, count=2),
    Source("own list of the client", client={"headers": {"X-Own": "secret"}, "sensitive_headers": ["x-OWN"]}),
    Source("own list of the request", client={"headers": {"X-Own": "secret"}}, request={"sensitive_headers": {"x-own"}}),
    Source(
        "more than the list",
        client={"sensitive_headers": SENSITIVE_HEADERS | {"X-Own"}},
        request={"headers": [("X-Own", "secret"), ("x-own", "secret"), ("X-Api-Key", "secret")]},
        count=3,
    ),
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


# -- the same over the network: names that mean this machine, servers that keep what they receive

NAMES = dict.fromkeys(("a.example", "b.example", "sub.a.example"), "127.0.0.1")


@dataclass
class Origins:
    """Three servers, of which two speak plaintext, each under three names."""

    plain: Server
    plain_too: Server
    tls: Server

    def changes(self) -> Iterator[tuple[Server, str, Server, str]]:
        """Where a request goes, and where it is sent from there: server and origin."""
        yield self.plain, f"http://a.example:{self.plain.port}", self.plain, f"http://b.example:{self.plain.port}"
        yield self.plain, f"http://a.example:{self.plain.port}", self.plain, f"http://sub.a.example:{self.plain.port}"
        yield self.plain, f"http://sub.a.example:{self.plain.port}", self.plain, f"http://a.example:{self.plain.port}"
        yield self.plain, f"http://a.example:{self.plain.port}", self.plain_too, f"http://a.example:{self.plain_too.port}"
        yield self.plain, f"http://a.example:{self.plain.port}", self.tls, f"https://a.example:{self.tls.port}"
        yield self.tls, f"https://a.example:{self.tls.port}", self.plain, f"http://a.example:{self.plain.port}"
        yield self.tls, f"https://a.example:{self.tls.port}", self.tls, f"https://b.example:{self.tls.port}"


@pytest.fixture
async def origins(authority: Authority) -> AsyncIterator[Origins]:
    async with Server() as plain, Server() as plain_too, Server(tls=authority) as tls:
        for server in (plain, plain_too, tls):

            @server.route("/to/{status}")
            def to(request: Received) -> Reply:
                return Reply(int(request.params["status"]), [("Location", request.target.partition(b"?")[2].decode())], b"x" * 100)

            server.route("/end", 204)
        yield Origins(plain, plain_too, tls)


@pytest.mark.parametrize("source", SOURCES, ids=str)
async def test_the_matrix(origins: Origins, source: Source) -> None:
    """Source of credentials (and duplicates) x kind of redirect x method x change of origin."""
    async with Client(resolver=NAMES, verify=False, redirect_policy=lambda response, request: "follow", **source.client) as client:
        for (first, start, second, target), (status, method) in itertools.product(origins.changes(), KINDS):
            scheme, _, rest = start.partition("://")
            content = b"body" if method == "POST" else None
            url = f"{scheme}://{source.userinfo}{rest}/to/{status}?{target}/end"
            response = await client.request(method, url, content=content, **source.request)
            assert (response.status, str(response.url)) == (204, target + "/end")
            sent = first.requests[-2:] if first is second else [first.requests[-1], second.requests[-1]]
            assert [received.header("host") for received in sent] == [start.partition("://")[2], target.partition("://")[2]]
            assert [secrets_of(received) for received in sent] == [source.count, 0], (start, target, status, method)
            assert b"secret" not in sent[1].head


@pytest.mark.parametrize("source", SOURCES, ids=str)
async def test_the_matrix_within_an_origin(origins: Origins, source: Source) -> None:
    """Every credential, and every duplicate, goes along where the origin stays."""
    async with Client(resolver=NAMES, verify=False, **source.client) as client:
        for server, status, method in itertools.product((origins.plain, origins.tls), REDIRECTS, ("GET", "POST")):
            scheme, _, rest = server.url.replace("127.0.0.1", "a.example").partition("://")
            await client.request(method, f"{scheme}://{source.userinfo}{rest}/to/{status}?/end", **source.request)
            first, second = ([pair for pair in sent.headers if pair[0].decode().lower() in SECRETS] for sent in server.requests[-2:])
            assert (first, len(first)) == (second, source.count)


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


def secrets_of(request: Received) -> int:
    return sum(name.decode().lower() in SECRETS for name, _ in request.headers)


def secrets_at(server: Server) -> Iterator[int]:
    yield from map(secrets_of, server.requests)


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
    headers = {"Host": "virtual.example", "X-Trace-Id": "1"}
    await client.get(redirect(server, "/redirect-to?url=" + other.url + "/get"), headers=headers)
    assert [sent.header("host") for sent in server.requests] == ["virtual.example"] * 2
    assert [sent.header("host") for sent in other.requests] == [f"127.0.0.1:{other.port}"]
    assert [sent.header("x-trace-id") for sent in other.requests] == ["1"]


async def test_a_users_request_keeps_its_credentials(server: Server, other: Server, client: Client) -> None:
    request = Request("GET", redirect(server, other.url + "/get"), headers={"Authorization": "Bearer secret"})
    for _ in range(2):
        await client.send(request)
    assert list(secrets_at(server)) == [1, 1]
    assert list(secrets_at(other)) == [0, 0]
    assert request.headers["Authorization"] == "Bearer secret"


# -- which fields are sensitive


def test_the_list_of_sensitive_fields() -> None:
    assert {"x-api-key", "api-key", "x-auth-token", "private-token", "x-amz-security-token", "x-goog-api-key"} <= SENSITIVE_HEADERS
    assert all(name == name.lower() for name in SENSITIVE_HEADERS)
    assert not SENSITIVE_HEADERS & {"user-agent", "accept", "idempotency-key", "x-request-id", "traceparent", "x-amz-date", "range"}


@pytest.mark.parametrize("name", sorted(SENSITIVE_HEADERS))
async def test_each_of_them_is_dropped_and_nothing_else(name: str) -> None:
    source = Source(name, client={"headers": {name.title(): "secret", "X-Trace-Id": "1"}})
    recorder = await hop(source, "http://a.example/x", "http://b.example/y", 307, "GET")
    first, second = (dict(pairs) for _, pairs in recorder.sent)
    assert first.pop(name.title()) == "secret"
    assert first == second


async def test_a_list_replaces_the_default_one_but_credentials_never_go(server: Server, other: Server) -> None:
    fields = {"X-Api-Key": "1", "X-Own": "2", "Authorization": "3", "Cookie": "4"}
    url = redirect(server, other.url + "/get")
    async with Client(headers=fields, sensitive_headers=()) as client:
        for options in ({}, {"sensitive_headers": ["X-Own"]}, {"sensitive_headers": SENSITIVE_HEADERS}):
            await client.get(url, **options)
        request = Request("GET", url)
        request.sensitive_headers = ("x-own", "X-API-KEY")
        assert (await client.send(request)).request.sensitive_headers == {"x-own", "x-api-key"}
    seen = [[sent.header(name) for name in fields] for sent in other.requests]
    assert seen == [["1", "2", None, None], ["1", None, None, None], [None, "2", None, None], [None] * 4]


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ("X-Own", TypeError),
        (b"X-Own", TypeError),
        (None, TypeError),
        (True, TypeError),
        ([b"X-Own"], TypeError),
        (iter(["X-Own"]), TypeError),  # the second request would find it used up
        (["X Own"], aioreq.InvalidHeader),
        ([""], aioreq.InvalidHeader),
        (["X-Own\n"], aioreq.InvalidHeader),
    ],
)
async def test_a_list_that_is_none(server: Server, client: Client, given: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Client(sensitive_headers=given)
    with pytest.raises(error):
        await client.get(server.url + "/get", sensitive_headers=given)
    with pytest.raises(error):
        Request("GET", server.url).sensitive_headers = given
    assert not server.requests


# -- cookies, and userinfo


async def test_the_jars_cookies_follow_their_own_rules(origins: Origins) -> None:
    """RFC 6265: to the host that set them, on each port and scheme, but for the secure ones; never to another host."""
    jar = CookieJar()
    for server in (origins.plain, origins.tls):
        server.route(
            "/set", Reply(204, [("Set-Cookie", "plain=1"), *([("Set-Cookie", "secure=1; Secure")] if server is origins.tls else [])])
        )
    async with Client(resolver=NAMES, verify=False, cookies=jar) as client:
        await client.get(f"https://a.example:{origins.tls.port}/set")
        for first, start, second, target in origins.changes():
            if "//a." not in start:
                continue
            await client.get(f"{start}/to/307?{target}/end", cookies={"own": "secret"})
            expected = None if "//a." not in target else "plain=1; secure=1" if second is origins.tls else "plain=1"
            assert second.requests[-1].header("cookie") == expected
            assert "own=secret" in (first.requests[-2 if first is second else -1].header("cookie") or "")


async def test_userinfo_of_a_location_shows_nowhere(server: Server, other: Server, client: Client) -> None:
    location = f"http://user:hidden@127.0.0.1:{other.port}"
    response = await client.get(redirect(server, location + "/get"))
    assert "hidden" not in f"{response!r} {response.url} {response.request!r} {response.request.url} {response.redirects!r}"
    assert other.requests[-1].target == b"/get"
    redirect(other, "/loop", path="/loop")
    redirect(other, "ftp://user:hidden@h/", path="/ftp")
    redirect(other, "http://user:hidden@h:x/", path="/port")
    for path in ("/loop", "/ftp", "/port"):
        with pytest.raises(aioreq.AioreqError) as caught:
            await client.get(redirect(server, location + path, path="/to" + path))
        error = caught.value
        assert "hidden" not in f"{error} {error!r} {error.request!r} {error.redirects!r} {getattr(error, '__notes__', '')}"


async def test_own_credentials_win_over_userinfo_of_the_same_origin(server: Server) -> None:
    url = redirect(server, f"http://other:other@127.0.0.1:{server.port}/get")
    own = BasicAuth("user", "secret")
    async with Client(auth=own) as client, Client() as bare:
        await client.get(url)
        await bare.get(url, auth=own)
        await bare.get(url, headers={"Authorization": own.header})
        await client.get(url.replace("://", "://user:secret@"), auth=None)
        await client.get(url.replace("://", "://user:secret@"))
    sent = [received.header("authorization") for received in server.requests]
    assert sent[:6] == [own.header] * 6
    assert sent[6:8] == [own.header, BasicAuth("other", "other").header]  # a URL's by that of another
    assert sent[8:] == [own.header] * 2


async def test_userinfo_of_a_location_goes_no_further(server: Server, other: Server, client: Client) -> None:
    redirect(other, server.url + "/get", path="/back")
    await client.get(redirect(server, f"http://user:secret@127.0.0.1:{other.port}/back"))
    assert list(secrets_at(other)) == [1]
    assert list(secrets_at(server)) == [0, 0]


async def test_the_list_holds_for_a_request_that_a_link_made(server: Server, other: Server) -> None:
    class Own(MiddleWare):
        async def process(self, request: Request, client: Client) -> Response | StreamResponse:
            return await self.next_middleware.process(Request("GET", request.url, headers={"X-Own": "secret"}), client)

    async with Client(middlewares=(Own, *default_middlewares), sensitive_headers=["X-Own"]) as client:
        assert (await client.get(redirect(server, other.url + "/get"))).status == 200
        assert (list(secrets_at(server)), list(secrets_at(other))) == ([1], [0])
    async with Client(middlewares=(Own, *default_middlewares), follow_redirects=False) as client:
        assert (await client.get(server.url + "/start")).status == 302
