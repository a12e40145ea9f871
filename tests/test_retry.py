"""What is tried again, how often, and what never is."""

from __future__ import annotations

import io
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import aioreq
from aioreq import Client, Request, Response, Retry, StreamResponse
from aioreq.middlewares import MiddleWare, default_middlewares
from aioreq.request_options import RequestOptions
from aioreq.testing import Close, Reset, Server, httpbin

QUICK = Retry(backoff=0.001)
QUICK_POST = Retry(attempts=3, methods=frozenset({"POST"}), backoff=0.001)
NOBODY = "http://127.0.0.1:1/"  # a port that nothing listens on


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client(retry=QUICK) as client:
        yield client


class Counter(MiddleWare):
    """Counts the attempts, and may do something before one."""

    def __init__(self) -> None:
        super().__init__()
        self.attempts = 0

    async def before(self, attempt: int) -> None:
        pass

    async def process(self, request: Request, client: Client) -> Response | StreamResponse:
        self.attempts += 1
        await self.before(self.attempts)
        return await self.next_middleware.process(request, client)


def counting(counter: Counter) -> tuple[Any, ...]:
    return (default_middlewares[0], counter, *default_middlewares[1:])


async def test_refused_and_then_up() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    server = Server(port=port, routes=httpbin)

    class Opener(Counter):
        async def before(self, attempt: int) -> None:
            if attempt == 3:
                await server.__aenter__()

    opener = Opener()
    try:
        async with Client(retry=QUICK, middlewares=counting(opener)) as client:
            response = await client.get(f"http://127.0.0.1:{port}/get")
        assert (response.status, opener.attempts, len(server.requests)) == (200, 3, 1)
    finally:
        await server.__aexit__()


@pytest.mark.parametrize("fault", [Close(), Reset()], ids=["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])
async def test_lost_before_any_byte_of_the_response(server: Server, client: Client, method: str, fault: Any) -> None:
    server.script(fault)
    assert (await client.request(method, server.url + "/anything")).status == 200
    assert [(sent.method, sent.connection) for sent in server.requests] == [(method, 1), (method, 2)]


@pytest.mark.parametrize("method", ["POST", "PATCH", "QUERY"])
async def test_what_isnt_idempotent_is_sent_once(server: Server, client: Client, method: str) -> None:
    server.script(Close())
    with pytest.raises(aioreq.ConnectionLost) as caught:
        await client.request(method, server.url + "/anything", content=b"x")
    assert not caught.value.response_started
    assert len(server.requests) == 1


async def test_methods_may_be_chosen(server: Server) -> None:
    async with Client(retry=Retry(methods=frozenset({"POST"}))) as client:
        server.script(Close(), path="/anything", times=3)
        assert (await client.post(server.url + "/anything", headers={"Connection": "close"}, retry=QUICK_POST)).status == 200
        assert len(server.requests) == 4
        server.script(Close(), path="/get")
        with pytest.raises(aioreq.ConnectionLost):
            await client.get(server.url + "/get")
    assert len(server.requests) == 5


@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_a_response_that_began_is_the_answer(server: Server, client: Client, begun: bytes) -> None:
    server.script(begun, Close())
    with pytest.raises(aioreq.ConnectionLost) as caught:
        await client.get(server.url + "/get")
    assert caught.value.response_started
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("make", "attempts"),
    [(lambda: b"abc", 2), (lambda: [b"ab", b"c"], 2), (lambda: io.BytesIO(b"abc"), 2), (lambda: (part for part in (b"ab", b"c")), 1)],
    ids=["bytes", "list", "file", "generator"],
)
async def test_a_body_must_be_there_twice(server: Server, client: Client, make: Callable[[], Any], attempts: int) -> None:
    server.script(Close())
    if attempts == 2:
        assert (await client.put(server.url + "/anything", content=make())).json()["body"] == "abc"
    else:
        with pytest.raises(aioreq.ConnectionLost):
            await client.put(server.url + "/anything", content=make())
    assert [sent.body for sent in server.requests] == [b"abc"] * attempts


async def test_a_generator_that_wasnt_started_may_wait_for_the_server() -> None:
    counter = Counter()
    async with Client(retry=QUICK, middlewares=counting(counter)) as client:
        with pytest.raises(aioreq.ConnectError):
            await client.put(NOBODY, content=(part for part in (b"x",)))
    assert counter.attempts == 3


@pytest.mark.parametrize(
    ("retry", "attempts", "note"),
    [
        (Retry(attempts=0), 1, None),
        (0, 1, None),
        (None, 1, None),
        (Retry(attempts=1, backoff=0.001), 2, "attempt 2 of at most 2"),
        (Retry(attempts=4, backoff=0.001, max_wait=0.002), 5, "attempt 5 of at most 5"),
        (Retry(attempts=2, backoff=0), 3, "attempt 3 of at most 3"),
    ],
)
async def test_attempts_are_counted_and_told(retry: Retry | int | None, attempts: int, note: str | None) -> None:
    for of_client, options in ((retry, RequestOptions()), (QUICK, RequestOptions(retry=retry))):
        counter = Counter()
        async with Client(middlewares=counting(counter), retry=of_client) as client:
            with pytest.raises(aioreq.ConnectError) as caught:
                await client.get(NOBODY, **options)
        assert counter.attempts == attempts
        assert getattr(caught.value, "__notes__", []) == ([] if note is None else [note])
        assert caught.value.request is not None


async def test_the_total_limit_wins() -> None:
    counter = Counter()
    async with Client(middlewares=counting(counter)) as client:
        with pytest.raises(aioreq.ConnectError) as caught:
            await client.get(NOBODY, retry=Retry(backoff=60, max_wait=60), timeout=aioreq.Timeout(total=5))
    assert counter.attempts == 1
    assert caught.value.__notes__ == ["attempt 1; the total limit of 5 s leaves no time for another"]


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_no_status_is_retried(server: Server, client: Client, status: int) -> None:
    assert (await client.get(f"{server.url}/status/{status}")).status == status
    assert len(server.requests) == 1


async def test_no_certificate_gets_a_second_chance(tls_server: Server, client: Client) -> None:
    with pytest.raises(aioreq.CertificateError):
        await client.get(tls_server.url + "/get")
    assert tls_server.accepted == 1


async def test_no_timeout_of_reading_is_retried(server: Server, client: Client) -> None:
    with pytest.raises(aioreq.ReadTimeout):
        await client.get(server.url + "/delay/60", timeout=aioreq.Timeout(read=0.02))
    assert len(server.requests) == 1


@pytest.mark.parametrize("mistake", [KeyError, OSError, ValueError])
async def test_no_mistake_of_a_body_is_retried(server: Server, client: Client, mistake: type[Exception]) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x"
        raise mistake("mine")

    with pytest.raises(mistake, match="mine"):
        await client.put(server.url + "/anything", content=body())
    assert len(server.requests) <= 1


async def test_streams_are_retried_until_they_begin(server: Server, client: Client) -> None:
    server.script(Close())
    async with client.stream("GET", server.url + "/bytes/10") as response:
        assert len(await response.read()) == 10
    server.script(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", Close(), path="/cut")
    async with client.stream("GET", server.url + "/cut") as response:
        with pytest.raises(aioreq.IncompleteBody):
            await response.read()


async def test_a_redirect_that_is_lost_on_its_way_is_begun_again(server: Server, client: Client) -> None:
    server.script(Close(), path="/get", times=2)  # the second answers the silent resend on a connection that had served already
    response = await client.get(server.url + "/redirect/1")
    assert (response.status, response.url.path) == (200, "/get")
    assert [sent.path for sent in server.requests] == ["/redirect/1", "/get", "/get", "/redirect/1", "/get"]
    assert len(response.redirects) == 1
