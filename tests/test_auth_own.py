"""Schemes of one's own: a subclass, a generator, a function; that they clean up, and stay with their origin."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncGenerator, Awaitable, Generator
from typing import Any

import pytest

import aioreq
from aioreq import Auth, BasicAuth, BearerAuth, Client, DigestAuth, Request, Response, StreamResponse
from aioreq.auth import AuthFlow
from aioreq.testing import Close, Reply, Server
from aioreq.testing import Request as Arrived


class Signed(Auth):
    """A signature of the target; a new key where the server says so."""

    def __init__(self, key: str) -> None:
        self.key = key

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        request.headers["X-Signature"] = self.sign(request)
        response = yield request
        if response.status == 401 and "X-New-Key" in response.headers:
            self.key = response.headers["X-New-Key"]
            request.headers["X-Signature"] = self.sign(request)
            yield request

    def sign(self, request: Request) -> str:
        return hmac.digest(self.key.encode(), str(request.url).encode(), "sha256").hex()


class Rotating:
    """A route that takes signatures by the key `new`."""

    def __init__(self, server: Server) -> None:
        self.url = server.url + "/signed"
        server.route("/signed", self)

    def __call__(self, request: Arrived) -> Reply:
        right = hmac.digest(b"new", self.url.encode(), "sha256").hex()
        return Reply(200 if request.header("x-signature") == right else 401, [("X-New-Key", "new")], request.body)


async def test_a_subclass(server: Server, client: Client) -> None:
    url, auth = Rotating(server).url, Signed("old")
    response = await client.post(url, content=b"abc", auth=auth)
    assert (response.status, response.content, len(server.requests)) == (200, b"abc", 2)
    assert response.request.headers["x-signature"] == server.requests[1].header("x-signature")
    async with client.stream("PUT", url, content=b"abc", auth=auth) as streamed:
        assert await streamed.read() == b"abc"
    assert len(server.requests) == 3
    assert server.accepted == 1


async def test_a_body_that_was_read_ends_the_flow(server: Server, client: Client) -> None:
    response = await client.post(Rotating(server).url, content=iter([b"abc"]), auth=Signed("old"))
    assert (response.status, response.content, len(server.requests)) == (401, b"abc", 1)


def add(request: Request) -> None:
    request.headers["X-Key"] = "sesame"


def other(request: Request) -> Request:
    return request.replace(headers={"X-Key": "sesame"})


async def add_later(request: Request) -> None:
    await asyncio.sleep(0)
    add(request)


def generated(request: Request) -> Generator[Request, Response, None]:
    add(request)
    response: Response = yield request
    assert response.status == 200


async def generated_later(request: Request) -> AsyncGenerator[Request, Response | StreamResponse]:
    await add_later(request)
    response = yield request
    assert response.status == 200
    assert b"sesame" in await response.read()


class Later(Auth):
    def auth_flow(self, request: Request) -> AuthFlow:
        return generated_later(request)


class AsMethod(Auth):
    async def auth_flow(self, request: Request) -> AsyncGenerator[Request, Any]:
        await add_later(request)
        yield request


def awaitable(request: Request) -> Awaitable[None]:
    return add_later(request)


@pytest.mark.parametrize(
    "auth", [add, other, add_later, generated, generated_later, Later(), AsMethod(), awaitable, lambda request: add(request)]
)
@pytest.mark.parametrize("of_client", [True, False])
async def test_shapes(server: Server, auth: Any, of_client: bool) -> None:
    async with Client(auth=auth if of_client else None) as client:
        for _ in range(2):
            response = await (client.get(server.url + "/get") if of_client else client.get(server.url + "/get", auth=auth))
            assert response.status == 200
        async with client.stream("GET", server.url + "/get", auth=auth) as streamed:
            await streamed.read()
        request = Request("GET", server.url + "/get", auth=auth)
        await client.send(request)
        assert "x-key" not in request.headers
    assert [sent.header("x-key") for sent in server.requests] == ["sesame"] * 4


async def test_a_flow_that_asks_for_a_token_first(server: Server) -> None:
    def token(request: Request) -> Generator[Request, Any, None]:
        response = yield Request("POST", server.url + "/token", content=b"grant", headers={"X-Mine": "1"})
        request.headers["Authorization"] = f"Token {response.headers['x-token']}"
        yield request

    server.route("/token", Reply(200, [("X-Token", "abc")]))
    async with Client(auth=token, headers={"X-Client": "1"}, limits=aioreq.Limits(connections=1)) as client:
        # A body that can be sent once goes with the second request alone.
        response = await client.post(server.url + "/anything", content=iter([b"body"]))
        assert (response.status, response.json()["body"]) == (200, "body")
        async with client.stream("GET", server.url + "/anything") as streamed:
            assert (await streamed.json())["method"] == "GET"
    first, second = server.requests[:2]
    assert (first.path, first.body, first.header("x-mine"), first.header("x-client")) == ("/token", b"grant", "1", None)
    assert (second.header("authorization"), second.header("x-client")) == ("Token abc", "1")
    assert server.accepted == 1


async def test_no_token_is_asked_for_in_vain(server: Server, client: Client) -> None:
    def renewing(request: Request) -> Generator[Request, Any, None]:
        response = yield request
        if response.status == 401:
            yield Request("GET", server.url + "/get")
            yield request

    response = await client.post(server.url + "/status/401", content=iter([b"x"]), auth=renewing)
    assert (response.status, len(server.requests)) == (401, 1)
    response = await client.post(server.url + "/status/401", content=b"x", auth=renewing)
    assert [sent.path for sent in server.requests[1:]] == ["/status/401", "/get", "/status/401"]


async def test_the_total_limit_holds_for_all_that_a_flow_sends(server: Server, client: Client) -> None:
    def slow(request: Request) -> Generator[Request, Any, None]:
        yield Request("GET", server.url + "/delay/60")
        yield request

    began = asyncio.get_running_loop().time()
    with pytest.raises(aioreq.TotalTimeout, match=r"the total limit of 0\.3 s passed"):
        await client.get(server.url + "/get", auth=slow, timeout=aioreq.Timeout(total=0.3))
    assert asyncio.get_running_loop().time() - began < 10


async def test_a_flow_is_bound_by_the_guard(server: Server) -> None:
    def elsewhere(request: Request) -> Generator[Request, Any, None]:
        yield Request("GET", "http://169.254.169.254/latest/")
        yield request

    async with Client(auth=elsewhere, guard=aioreq.PublicOnly(allow=[f"127.0.0.1:{server.port}"])) as client:
        with pytest.raises(aioreq.GuardError):
            await client.get(server.url + "/get")
    assert not server.requests


async def test_flows_are_closed(server: Server, client: Client) -> None:
    closed: list[str] = []

    def plain(request: Request) -> Generator[Request, Any, None]:
        try:
            yield request
            yield request
        finally:
            closed.append("plain")

    async def later(request: Request) -> AsyncGenerator[Request, Any]:
        try:
            yield request
            yield request
        finally:
            await asyncio.sleep(0)
            closed.append("later")

    for auth in (plain, later):
        assert (await client.post(server.url + "/anything", content=iter([b"x"]), auth=auth)).status == 200
        with pytest.raises(aioreq.ConnectError):
            await client.get("http://127.0.0.1:1/", auth=auth, retry=0)
        task = asyncio.create_task(client.get(server.url + "/delay/60", auth=auth))
        await server.until(lambda: server.requests[-1].path == "/delay/60")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert closed == ["plain"] * 3 + ["later"] * 3


@pytest.mark.parametrize("later", [True, False])
async def test_what_a_flow_raises(server: Server, client: Client, later: bool) -> None:
    def plain(request: Request) -> Generator[Request, Any, None]:
        yield request
        raise LookupError("mine")

    async def delayed(request: Request) -> AsyncGenerator[Request, Any]:
        yield request
        raise LookupError("mine")

    server.route("/long", Reply(500, body=b"x" * 10_000_000))
    for path in ("/get", "/long"):
        with pytest.raises(LookupError, match="mine") as caught:
            await client.get(server.url + path, auth=delayed if later else plain)
        # Not even who keeps the error keeps the connection.
        assert caught.tb is not None
        assert client.stats().open == client.stats().idle


async def test_a_cancelled_flow_lets_go_of_its_response(server: Server, client: Client) -> None:
    reached = asyncio.Event()

    async def waits(request: Request) -> AsyncGenerator[Request, Any]:
        yield request
        reached.set()
        await asyncio.sleep(60)
        yield request

    task = asyncio.create_task(client.get(server.url + "/status/401", auth=waits))
    await reached.wait()
    assert client.stats().open == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert client.stats().open == client.stats().idle


async def test_the_total_limit_holds_within_a_flow(server: Server, client: Client) -> None:
    async def waits(request: Request) -> AsyncGenerator[Request, Any]:
        yield request
        await asyncio.sleep(60)
        yield request

    with pytest.raises(aioreq.TotalTimeout, match=r"the total limit of 0\.2 s passed in the authentication for http://"):
        await client.get(server.url + "/status/401", auth=waits, timeout=aioreq.Timeout(total=0.2))


def nothing(request: Request) -> Generator[Request, Any, None]:
    yield from ()


def a_string(request: Request) -> Any:
    yield "http://sesame/"


@pytest.mark.parametrize(
    ("auth", "message"),
    [
        (nothing, "auth_flow ended before it gave a request to send"),
        (a_string, "a flow yields the requests to send, not str"),
        (lambda request: "sesame", "a flow yields the requests to send, not str"),
    ],
)
async def test_what_is_no_flow(server: Server, client: Client, auth: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message) as caught:
        await client.get(server.url + "/get", auth=auth)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_a_flow_that_doesnt_yield(server: Server, client: Client, asynchronous: bool, recwarn: pytest.WarningsRecorder) -> None:
    class Returning(Auth):
        def auth_flow(self, request: Request) -> Any:
            return add_later(request) if asynchronous else request

    what = "coroutine" if asynchronous else "Request"
    with pytest.raises(TypeError, match=f"Returning.auth_flow gives {what}: it is a generator, which yields the requests to send"):
        await client.get(server.url + "/get", auth=Returning())
    assert not list(recwarn)


async def test_the_jars_cookies_dont_go_where_a_flow_asks(server: Server, client: Client) -> None:
    def asking_elsewhere(request: Request) -> Generator[Request, Any, None]:
        yield request.replace(url=elsewhere.url + "/token")
        yield request.replace(url=f"{request.url}?again")

    client.cookies.set("sid", "sesame", url="http://localhost/")
    server.route("/start", 200)
    async with Server() as elsewhere:
        elsewhere.route("/token", Reply(200, [("Set-Cookie", "theirs=1")]))
        url = server.url.replace("127.0.0.1", "localhost")
        assert (await client.get(url + "/start", auth=asking_elsewhere)).status == 200
        assert [sent.header("cookie") for sent in elsewhere.requests] == [None]
    assert [sent.header("cookie") for sent in server.requests] == ["sid=sesame"]
    assert [cookie.name for cookie in client.cookies] == ["sid"]


async def test_a_subclass_without_a_flow(server: Server, client: Client) -> None:
    class Empty(Auth):
        pass

    with pytest.raises(NotImplementedError, match="Empty must define `def auth_flow"):
        await client.get(server.url + "/get", auth=Empty())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_nothing_that_a_scheme_adds_changes_its_origin(server: Server, status: int) -> None:
    def secrets(request: Request) -> None:
        request.headers["X-Own-Secret"] = request.headers["Authorization"] = "sesame"
        request.authorization = "sesame"

    async with Server() as elsewhere, Client(auth=secrets) as client:
        elsewhere.route("/back", Reply(status, [("Location", server.url + "/get")]))
        server.route("/start", Reply(status, [("Location", elsewhere.url + "/back")]))
        server.route("/within", Reply(status, [("Location", "/get")]))
        assert (await client.get(server.url + "/start")).status == 200
        assert [b"sesame" in b"".join(value for _, value in sent.headers) for sent in elsewhere.requests] == [False]
        assert [sent.header("x-own-secret") for sent in server.requests] == ["sesame", None]
        assert (await client.get(server.url + "/within")).status == 200
        assert [sent.header("x-own-secret") for sent in server.requests[2:]] == ["sesame", "sesame"]


async def test_a_retry_starts_the_flow_anew(server: Server, client: Client) -> None:
    count = iter(range(9))

    def numbered(request: Request) -> None:
        request.headers["X-Number"] = str(next(count))

    server.script(Close(), path="/numbered")
    server.route("/numbered", 200)
    assert (await client.get(server.url + "/numbered", auth=numbered)).status == 200
    numbers = [sent.header("x-number") for sent in server.requests]
    assert numbers == sorted(set(filter(None, numbers)))
    assert len(numbers) == 2


@pytest.mark.parametrize(
    "auth", [("ann", "sesame"), BasicAuth("ann", "sesame"), DigestAuth("ann", "sesame"), BearerAuth("sesame"), Signed("sesame")]
)
async def test_secrets_arent_shown(server: Server, auth: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown: list[object] = []
    async with Client(auth=auth) as client:
        for path in ("/digest-auth/auth/ann/sesame", "/basic-auth/ann/other", "/status/401"):
            response = await client.get(server.url + path)
            shown += [client, response, response.request, client.protection_spaces, response.request.auth]
            with pytest.raises(aioreq.StatusError) as caught:
                await client.get(server.url + "/status/401", raise_for_status=True)
            shown += [caught.value, caught.value.__notes__ if hasattr(caught.value, "__notes__") else ""]
        with pytest.raises(aioreq.ConnectError) as failed:
            await client.get("http://127.0.0.1:1/", retry=0)
    text = " ".join(f"{each!r} {each}" for each in [*shown, failed.value]) + caplog.text
    text = text.replace("/ann/sesame", "")  # the test server's URL
    for secret in ("sesame", "YW5uOnNlc2FtZQ"):
        assert secret not in text
