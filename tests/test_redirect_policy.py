"""The client's `redirect_policy`: what it is asked, what its answers do; and what stays behind TLS where nobody is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest

import aioreq
from aioreq import BasicAuth, Client, Limits, Request, Response, StreamResponse, Timeout
from aioreq.middlewares import MiddleWare, RedirectAnswer, RedirectPolicy, default_middlewares
from aioreq.response import ResponseHead
from aioreq.testing import Reply, Server, httpbin


@pytest.fixture
async def other() -> AsyncIterator[Server]:
    async with Server(routes=httpbin) as server:
        yield server


def redirect(server: Server, location: str, status: int = 302, path: str = "/start", body: bytes = b"look there") -> str:
    server.route(path, Reply(status, [("Location", location)], body))
    return server.url + path


class Policy:
    """Gives the answers one after another, the last one for good; keeps what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[ResponseHead, Request]] = []

    def __call__(self, response: ResponseHead, request: Request) -> Any:
        self.asked.append((response, request))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer


class Later(Policy):
    """The same, an asynchronous one."""

    async def __call__(self, response: ResponseHead, request: Request) -> Any:
        await asyncio.sleep(0)
        return super().__call__(response, request)


KINDS = pytest.mark.parametrize("kind", [Policy, Later])


@KINDS
async def test_what_it_is_asked(server: Server, other: Server, kind: type[Policy]) -> None:
    policy = kind("follow")
    url = redirect(server, "/second", 307)
    redirect(server, other.url + "/anything#top", 303, "/second")
    async with Client(redirect_policy=policy) as client:
        headers = {"X-Api-Key": "secret", "X-Trace-Id": "1"}
        response = await client.post(url, content=b"body", headers=headers, auth=BasicAuth("user", "secret"))
    assert response.json()["method"] == "GET"
    (first, second), (third, fourth) = policy.asked
    assert (first.status, first.url.path, first.redirects) == (307, "/start", ())
    assert (second.method, second.url.path, second.content, second.auth) == ("POST", "/second", b"body", BasicAuth("user", "secret"))
    assert second.headers["X-Api-Key"] == "secret"
    assert (third.status, third.url.path, third.redirects) == (303, "/second", (first,))
    assert (fourth.method, str(fourth.url), fourth.content) == ("GET", other.url + "/anything#top", None)
    assert (fourth.auth, fourth.headers.get("X-Api-Key"), fourth.headers["X-Trace-Id"]) == (None, None, "1")
    assert response.redirects == (first, third)


@KINDS
@pytest.mark.parametrize("streamed", [False, True])
async def test_stop_gives_the_redirect_itself(server: Server, kind: type[Policy], streamed: bool) -> None:
    url = redirect(server, "/second")
    redirect(server, "/get", 307, "/second", b"x" * 100_000)
    async with Client(redirect_policy=kind("follow", "stop"), limits=Limits(connections=1)) as client:
        if streamed:
            async with client.stream("GET", url) as stream:
                assert (stream.status, stream.headers["location"], await stream.read()) == (307, "/get", b"x" * 100_000)
                response: Response | StreamResponse = stream
        else:
            response = await client.get(url)
            assert (response.status, response.content) == (307, b"x" * 100_000)
        assert [head.status for head in response.redirects] == [302]
        assert (await client.get(server.url + "/id/1")).text == "1"
    assert server.accepted == 1
    assert [sent.path for sent in server.requests] == ["/start", "/second", "/id/1"]


async def test_stop_comes_before_what_would_be_an_error(server: Server) -> None:
    async def generated() -> AsyncIterator[bytes]:
        yield b"x"

    async with Client(redirect_policy=Policy("stop"), max_redirects=0) as client:
        assert (await client.post(redirect(server, "/get", 307), content=generated())).status == 307


@KINDS
async def test_refuse_is_an_error(server: Server, kind: type[Policy]) -> None:
    url = redirect(server, "/second?code=secret")
    redirect(server, "http://user:hidden@h.example/x?token=secret", 307, "/second", b"x" * 1_000_000)
    limits, timeout = Limits(connections=1), Timeout(pool=2)
    async with Client(redirect_policy=kind("follow", "refuse"), limits=limits, timeout=timeout) as client:
        with pytest.raises(aioreq.RedirectRefused, match="redirect_policy refuses the redirect") as caught:
            await client.get(url)
        assert (await client.get(server.url + "/get")).status == 200  # although the error holds the response
    error = caught.value
    assert isinstance(error, PermissionError)
    assert f"(307) from {server.url}/second?... to http://h.example/x?..." in str(error)
    assert "secret" not in f"{error} {error.__notes__}"
    assert "hidden" not in f"{error} {error.__notes__}"
    assert error.response is not None
    assert (error.response.status, [head.status for head in error.response.redirects]) == (307, [302])
    assert error.redirects == (*error.response.redirects, error.response)
    assert error.request is not None
    assert error.request.url.path == "/second"
    assert len(server.requests) == 3  # nor was it tried again


@KINDS
async def test_what_it_raises_is_raised(server: Server, kind: type[Policy]) -> None:
    for error in (KeyError("mine"), aioreq.GuardError("mine")):
        async with Client(redirect_policy=kind(error), limits=Limits(connections=1)) as client:
            with pytest.raises(type(error), match="mine"):
                await client.get(redirect(server, "/get"))
            assert (await client.get(server.url + "/get")).status == 200


@KINDS
@pytest.mark.parametrize("answer", [None, True, False, "FOLLOW", "", 1, b"follow", ["follow"]])
async def test_another_answer_follows_nothing(server: Server, kind: type[Policy], answer: Any) -> None:
    async with Client(redirect_policy=kind(answer)) as client:
        with pytest.raises(TypeError, match="returns 'follow', 'stop' or 'refuse'"):
            await client.get(redirect(server, "/get"))
    assert len(server.requests) == 1


@pytest.mark.parametrize("policy", ["follow", True, ["follow"]])
def test_it_is_callable(policy: Any) -> None:
    with pytest.raises(TypeError, match="redirect_policy"):
        Client(redirect_policy=policy)


async def test_it_is_asked_about_nothing_but_what_would_be_followed(server: Server) -> None:
    policy = Policy("refuse")
    async with Client(redirect_policy=policy) as client:
        for status, fields in ((300, [("Location", "/get")]), (304, [("Location", "/get")]), (302, []), (302, [("Location", "")])):
            server.route(f"/{status}{len(fields)}", Reply(status, fields))
            assert (await client.get(f"{server.url}/{status}{len(fields)}")).status == status
        assert (await client.get(redirect(server, "/get"), follow_redirects=False)).status == 302
        with pytest.raises(aioreq.RemoteProtocolError):
            await client.get(redirect(server, "ftp://h/", path="/ftp"))
        assert (await client.get(server.url + "/get")).status == 200
    assert not policy.asked


async def test_it_may_change_the_request(server: Server, other: Server) -> None:
    def trusting(response: ResponseHead, request: Request) -> RedirectAnswer:
        request.headers["X-Api-Key"] = "for you"
        request.auth = BasicAuth("user", "password")
        return "follow"

    async with Client(redirect_policy=trusting, headers={"X-Api-Key": "secret"}) as client:
        response = await client.get(redirect(server, other.url + "/basic-auth/user/password"))
        assert response.status == 200
        assert other.requests[0].header_values("x-api-key") == ["for you"]
        assert client.settings.defaults.pairs[-1] == ("X-Api-Key", "secret")


async def test_but_not_send_it_to_another_origin(server: Server, other: Server) -> None:
    def elsewhere(response: ResponseHead, request: Request) -> RedirectAnswer:
        request.url = other.url + "/get"
        return "follow"

    async with Client(redirect_policy=elsewhere, headers={"X-Api-Key": "secret"}) as client:
        with pytest.raises(ValueError, match="another origin"):
            await client.get(redirect(server, "/get"))
    assert not other.requests


async def test_it_is_asked_about_requests_that_a_link_made(server: Server) -> None:
    class Own(MiddleWare):
        async def process(self, request: Request, client: Client) -> Response | StreamResponse:
            return await self.next_middleware.process(Request("GET", request.url), client)

    async with Client(middlewares=(Own, *default_middlewares), redirect_policy=Policy("refuse")) as client:
        with pytest.raises(aioreq.RedirectRefused):
            await client.get(redirect(server, "/get"))


@pytest.mark.parametrize("streamed", [False, True])
async def test_cancelled_while_it_ponders(server: Server, streamed: bool) -> None:
    asked = asyncio.Event()

    async def policy(response: ResponseHead, request: Request) -> RedirectAnswer:
        asked.set()
        await asyncio.sleep(60)
        return "follow"

    async with Client(redirect_policy=policy, limits=Limits(connections=1), timeout=Timeout(pool=5)) as client:
        url = redirect(server, "/get", body=b"x" * 200_000)

        async def call() -> None:
            if streamed:
                async with client.stream("GET", url):
                    pass
            else:
                await client.get(url)

        task = asyncio.ensure_future(call())
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await client.get(server.url + "/id/1")).text == "1"


async def test_policies_of_many_calls_keep_apart(server: Server) -> None:
    def even(response: ResponseHead, request: Request) -> RedirectAnswer:
        return "follow" if int(request.url.path.rpartition("/")[2]) % 2 == 0 else "stop"

    async with Client(redirect_policy=even) as client:
        calls = [client.get(f"{server.url}/redirect-to?url=/id/{n}") for n in range(40)]
        assert [response.status for response in await asyncio.gather(*calls)] == [200, 302] * 20


# -- a body stays behind TLS


@pytest.fixture
def downgrade(tls_server: Server, server: Server) -> str:
    """The URL of a redirect from https to http, with the status for its path."""
    for status in (301, 302, 303, 307, 308):
        redirect(tls_server, server.url + "/anything", status, f"/{status}")
    return tls_server.url


async def body() -> AsyncIterator[bytes]:
    yield b"secret"


@pytest.mark.parametrize("content", [b"secret", "secret", [b"secret"], body])
@pytest.mark.parametrize(("method", "status"), [("POST", 307), ("POST", 308), ("PUT", 301), ("PATCH", 302), ("GET", 302)])
async def test_a_body_doesnt_leave_tls(server: Server, tls_server: Server, downgrade: str, method: str, status: int, content: Any) -> None:
    async with Client(verify=tls_server.client_context()) as client:
        with pytest.raises(aioreq.RedirectRefused, match=r"would send the request body.* redirect_policy that says 'follow'") as caught:
            await client.request(method, f"{downgrade}/{status}", content=content() if content is body else content)
    assert caught.value.response is not None
    assert caught.value.response.status == status
    assert not server.requests


@pytest.mark.parametrize(
    ("method", "status", "content"), [("GET", 307, None), ("POST", 303, b"secret"), ("POST", 302, b"x"), ("PUT", 307, b"")]
)
async def test_but_a_request_without_one_does(
    server: Server, tls_server: Server, downgrade: str, method: str, status: int, content: bytes | None
) -> None:
    async with Client(verify=tls_server.client_context(), auth=BasicAuth("user", "secret"), headers={"X-Api-Key": "secret"}) as client:
        assert (await client.request(method, f"{downgrade}/{status}", content=content)).status == 200
    assert server.requests[0].body == b""
    assert server.requests[0].header("authorization") is server.requests[0].header("x-api-key") is None


@pytest.mark.parametrize("answer", ["follow", "stop"])
async def test_a_policy_decides_about_it(server: Server, tls_server: Server, downgrade: str, answer: Literal["follow", "stop"]) -> None:
    policy: RedirectPolicy = lambda response, request: answer  # noqa: E731
    async with Client(verify=tls_server.client_context(), redirect_policy=policy) as client:
        response = await client.post(downgrade + "/307", content=b"no secret")
    assert response.status == {"follow": 200, "stop": 307}[answer]
    assert [sent.body for sent in server.requests] == ([b"no secret"] if answer == "follow" else [])


async def test_within_tls_and_towards_it_a_body_goes_along(server: Server, tls_server: Server) -> None:
    async with Client(verify=tls_server.client_context()) as client:
        for start in (server, tls_server):
            response = await client.post(redirect(start, tls_server.url + "/anything", 307), content=b"body")
            assert response.json()["body"] == "body"


async def test_the_total_limit_holds_for_the_policy(server: Server) -> None:
    async def slow(response: ResponseHead, request: Request) -> RedirectAnswer:
        await asyncio.sleep(60)
        return "follow"

    async with Client(redirect_policy=slow) as client:
        message = r"the total limit of 0\.2 s passed in the client's redirect_policy, asked about the redirect \(302\) from http"
        with pytest.raises(aioreq.TotalTimeout, match=message):
            await client.get(redirect(server, "/get"), timeout=Timeout(total=0.2))
        assert client.stats().open == client.stats().idle

    async def late(response: ResponseHead, request: Request) -> RedirectAnswer:
        raise TimeoutError("mine")

    async with Client(redirect_policy=late, timeout=20) as client:
        with pytest.raises(TimeoutError, match="mine"):
            await client.get(redirect(server, "/get"))
