"""What is tried again, how often, and what never is."""

from __future__ import annotations

import asyncio
import io
import pickle
import random
import re
import socket
import weakref
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import pytest

import aioreq
from aioreq import AioreqError, Client, Request, Response, Retry, RetryBudget, StreamResponse
from aioreq.middlewares import MiddleWare, default_middlewares
from aioreq.middlewares.retry import backoff
from aioreq.request_options import RequestOptions
from aioreq.testing import Close, Reply, Reset, Server, Stall, httpbin

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
    ("retry", "attempts"),
    [
        (Retry(attempts=0), 1),
        (0, 1),
        (None, 1),
        (Retry(attempts=1, backoff=0.001), 2),
        (Retry(attempts=4, backoff=0.001, max_wait=0.002), 5),
        (Retry(attempts=2, backoff=0), 3),
    ],
)
async def test_attempts_are_counted_and_told(retry: Retry | int | None, attempts: int) -> None:
    for of_client, options in ((retry, RequestOptions()), (QUICK, RequestOptions(retry=retry))):
        counter = Counter()
        async with Client(middlewares=counting(counter), retry=of_client) as client:
            with pytest.raises(aioreq.ConnectError) as caught:
                await client.get(NOBODY, **options)
        assert counter.attempts == attempts
        assert caught.value.request is not None
        told = caught.value.attempts
        assert getattr(caught.value, "__notes__", []) == list(told)
        if attempts == 1:
            assert told == ()
            continue
        assert told[-1] == f"attempt {attempts} of at most {attempts}"
        for number, line in enumerate(told[:-1], 1):
            assert re.fullmatch(rf"attempt {number}: ConnectError: no connection to 127\.0\.0\.1:1 .*; tried again after [0-9.e-]+ s", line)
        assert pickle.loads(pickle.dumps(caught.value)).attempts == told


async def test_the_total_limit_wins() -> None:
    counter = Counter()
    async with Client(middlewares=counting(counter)) as client:
        with pytest.raises(aioreq.ConnectError) as caught:
            await client.get(NOBODY, retry=Retry(backoff=lambda failed: 60, max_wait=60), timeout=aioreq.Timeout(total=5))
    assert counter.attempts == 1
    assert caught.value.__notes__ == ["attempt 1 of at most 3; the total limit of 5 s leaves no time for another"]


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


# --- what was never sent may be sent, whatever its method


@pytest.mark.parametrize("method", ["POST", "PATCH", "QUERY"])
async def test_any_method_is_tried_again_where_nothing_was_sent(method: str) -> None:
    counter = Counter()
    async with Client(retry=QUICK, middlewares=counting(counter)) as client:
        with pytest.raises(aioreq.ConnectError):
            await client.request(method, NOBODY, content=b"x")
    assert counter.attempts == 3


@pytest.mark.parametrize(("status", "sent"), [(303, 1), (307, 1)])
async def test_a_post_that_leads_to_a_dead_host_was_sent(server: Server, client: Client, status: int, sent: int) -> None:
    server.route("/order", Reply(status, [("Location", NOBODY)]))
    with pytest.raises(aioreq.ConnectError):
        await client.post(server.url + "/order", content=b"x")
    assert len(server.requests) == sent


@pytest.mark.parametrize("status", [303, 307])
async def test_a_post_that_leads_to_itself_was_sent(server: Server, status: int) -> None:
    """By a redirect to the same URL, whose connection can't be made any more."""

    @server.route("/order")
    def order(request: Any) -> Any:
        server._listener.close()  # type: ignore[union-attr]
        return Reply(status, [("Location", "/order"), ("Connection", "close")])

    async with Client(retry=QUICK) as client:
        with pytest.raises(aioreq.ConnectError) as caught:
            await client.post(server.url + "/order", content=b"x")
    assert caught.value.attempts == ()
    assert [request.method for request in server.requests] == ["POST"]


# --- Idempotency-Key


@pytest.mark.parametrize(
    ("key", "sent"), [({"Idempotency-Key": '"8e03978e"'}, 2), ({"idempotency-key": "k"}, 2), ({"Idempotency-Key": ""}, 1), ({}, 1)]
)
async def test_a_post_with_a_key_may_be_sent_twice(server: Server, client: Client, key: dict[str, str], sent: int) -> None:
    server.script(Close())
    if sent == 2:
        assert (await client.post(server.url + "/anything", content=b"x", headers=key)).status == 200
    else:
        with pytest.raises(aioreq.ConnectionLost):
            await client.post(server.url + "/anything", content=b"x", headers=key)
    assert len(server.requests) == sent
    assert {request.header("idempotency-key") for request in server.requests} == {next(iter(key.values()), None)}


# --- statuses


def failing(server: Server, times: int, status: int = 503, **fields: str) -> None:
    """`/busy` answers with this status some times, then with 200."""
    left = [status] * times
    headers = [(name.replace("_", "-"), value) for name, value in fields.items()]

    @server.route("/busy")
    def busy(request: Any) -> Any:
        return Reply(left.pop(), headers, "later") if left else Reply(200, [], "done")


TRANSIENT = Retry(statuses=Retry.TRANSIENT, backoff=0.001)


@pytest.mark.parametrize("status", sorted(Retry.TRANSIENT))
@pytest.mark.parametrize("stream", [False, True])
async def test_chosen_statuses_are_tried_again(server: Server, status: int, stream: bool) -> None:
    failing(server, 2, status)
    async with Client(retry=TRANSIENT) as client:
        if stream:
            async with client.stream("GET", server.url + "/busy") as streamed:
                assert await streamed.read() == b"done"
                attempts = streamed.attempts
        else:
            response = await client.get(server.url + "/busy")
            assert response.text == "done"
            attempts = response.attempts
    assert [re.sub(r"after .* s$", "after - s", line) for line in attempts] == [
        f"attempt {number}: {status} {HTTPStatus(status).phrase}; tried again after - s" for number in (1, 2)
    ]
    assert len(server.requests) == 3
    assert server.accepted == 1  # what was dropped was drained


async def test_the_last_response_is_given_back_whole(server: Server) -> None:
    failing(server, 9)
    async with Client(retry=TRANSIENT) as client:
        response = await client.get(server.url + "/busy")
        assert (response.status, response.text) == (503, "later")
        assert len(response.attempts) == 3
        assert response.attempts[-1] == "attempt 3 of at most 3: 503 Service Unavailable"
        with pytest.raises(aioreq.StatusError) as caught:
            await client.get(server.url + "/busy", raise_for_status=True)
        assert caught.value.response is not None
        assert len(caught.value.response.attempts) == 3
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    ("retry", "method", "headers", "sent"),
    [
        (TRANSIENT, "POST", {}, 1),
        (TRANSIENT, "POST", {"Idempotency-Key": "1"}, 2),
        (TRANSIENT, "PUT", {}, 2),
        (Retry(statuses={500}), "GET", {}, 1),
        (Retry(attempts=0, statuses={503}), "GET", {}, 1),
        (Retry(statuses={503}, methods={"POST"}, backoff=0), "GET", {}, 1),
        (Retry(statuses={503}, methods={"POST"}, backoff=0), "POST", {}, 2),
    ],
)
async def test_a_status_is_tried_again_where_it_may_be(
    server: Server, retry: Retry, method: str, headers: dict[str, str], sent: int
) -> None:
    failing(server, 1)
    async with Client(retry=retry) as client:
        response = await client.request(method, server.url + "/busy", content=b"x", headers=headers)
    assert response.status == (200 if sent == 2 else 503)
    assert len(server.requests) == sent
    assert len(response.attempts) == sent - 1


async def test_a_generator_cant_be_sent_again_and_that_is_told(server: Server) -> None:
    failing(server, 1)
    async with Client(retry=TRANSIENT) as client:
        response = await client.put(server.url + "/busy", content=(part for part in (b"x",)))
        assert response.status == 503
        assert "the request body was read already" in response.attempts[0]
        server.script(Close(), path="/anything")
        with pytest.raises(aioreq.ConnectionLost) as caught:
            await client.put(server.url + "/anything", content=(part for part in (b"x",)))
    assert "give bytes, a list or a file instead of a generator" in caught.value.__notes__[0]


async def test_a_file_is_sent_again_from_where_it_stood(server: Server) -> None:
    failing(server, 1)
    file = io.BytesIO(b"skipped, sent")
    file.seek(9)
    async with Client(retry=TRANSIENT) as client:
        assert (await client.put(server.url + "/busy", content=file)).status == 200
    assert [request.body for request in server.requests] == [b"sent", b"sent"]


async def test_what_is_dropped_is_not_decoded(server: Server) -> None:
    failing(server, 1, Content_Encoding="gzip")  # "later" is no gzip: reading it would be an error
    async with Client(retry=TRANSIENT) as client:
        assert (await client.get(server.url + "/busy")).text == "done"


async def test_a_long_body_that_is_dropped_costs_its_connection_not_its_length(server: Server) -> None:
    server.script(b"HTTP/1.1 503 No\r\nContent-Length: 1000000000000\r\n\r\n" + b"x" * 100_000, Stall(), path="/busy")
    server.route("/busy", Reply(200, [("Connection", "close")], "done"))
    held: list[Any] = []  # a function that keeps what it is asked about keeps no connection

    def when(outcome: Any) -> bool:
        held.append(outcome)
        return bool(outcome.status == 503)

    async with Client(retry=Retry(when=when, backoff=0)) as client:
        assert (await client.get(server.url + "/busy")).text == "done"
        await server.until(lambda: not server.connections)
    assert [outcome.status for outcome in held] == [503, 200]


# --- Retry-After


@pytest.mark.parametrize("value", ["0.05", "date"])
async def test_retry_after_is_waited_for(server: Server, value: str) -> None:
    fields = {"Retry_After": value}
    if value == "date":  # a second by the server's clock, whatever it says
        fields = {"Date": "Sun, 06 Nov 1994 08:49:36 GMT", "Retry_After": "Sunday, 06-Nov-94 08:49:37 GMT"}
    failing(server, 1, 503, **fields)
    async with Client(retry=Retry(statuses={503}, backoff=0)) as client:
        response = await client.get(server.url + "/busy")
    assert response.status == 200
    assert response.elapsed >= (0.95 if value == "date" else 0.045)
    assert f"(Retry-After: {fields['Retry_After']})" in response.attempts[0]


@pytest.mark.parametrize("value", ["31", "3600", "9" * 400, "date"])
async def test_who_asks_for_too_much_gets_none(server: Server, value: str) -> None:
    if value == "date":
        value = (datetime.now(UTC) + timedelta(hours=1)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    failing(server, 1, 429, Retry_After=value)
    async with Client(retry=TRANSIENT) as client:
        response = await client.get(server.url + "/busy")
    assert response.status == 429
    assert re.search(r"Retry-After asks for \S+ s, and Retry\(max_wait=30\) waits no longer", response.attempts[0])
    assert len(server.requests) == 1


@pytest.mark.parametrize("value", ["soon", "-1", "", "Sun, 06 Nov 1994 08:49:37 GMT", "+60"])
async def test_garbage_and_the_past_are_no_reason_to_wait(server: Server, value: str) -> None:
    failing(server, 1, Retry_After=value)
    async with Client(retry=TRANSIENT, timeout=20) as client:
        assert (await client.get(server.url + "/busy")).status == 200


async def test_retry_after_may_be_ignored(server: Server) -> None:
    failing(server, 1, Retry_After="3600")
    async with Client(retry=Retry(statuses={503}, backoff=0, respect_retry_after=False)) as client:
        assert (await client.get(server.url + "/busy")).status == 200


async def test_the_total_limit_gives_the_response_back(server: Server) -> None:
    failing(server, 1, Retry_After="20")
    async with Client(retry=TRANSIENT, timeout=aioreq.Timeout(total=15)) as client:
        response = await client.get(server.url + "/busy")
    assert response.text == "later"
    assert response.attempts[0].endswith("the total limit of 15 s leaves no time for another")


# --- the backoff


def test_full_jitter() -> None:
    retry = Retry(backoff=0.5, max_wait=3)
    state = random.getstate()
    random.seed(1)
    try:
        for failed, most in ((1, 0.5), (2, 1), (3, 2), (4, 3), (5, 3), (2000, 3)):
            drawn = [backoff(retry, failed) for _ in range(1000)]
            assert 0 <= min(drawn) < most * 0.01
            assert most * 0.99 < max(drawn) <= most
    finally:
        random.setstate(state)


async def test_a_backoff_of_ones_own() -> None:
    failures: list[int] = []

    def backoff(failed: int) -> float:
        failures.append(failed)
        return 1000

    async with Client(retry=Retry(attempts=3, backoff=backoff, max_wait=0.001)) as client:
        with pytest.raises(aioreq.ConnectError) as caught:
            await client.get(NOBODY)
    assert failures == [1, 2, 3]
    assert [line.endswith("; tried again after 0.001 s") for line in caught.value.attempts] == [True, True, True, False]


@pytest.mark.parametrize(
    ("given", "kind"), [(-1, ValueError), (float("nan"), ValueError), (None, TypeError), ("1", TypeError), (KeyError("mine"), KeyError)]
)
async def test_a_backoff_that_is_wrong_is_told_and_leaves_nothing(server: Server, given: Any, kind: type[Exception]) -> None:
    def backoff(failed: int) -> Any:
        if isinstance(given, Exception):
            raise given
        return given

    server.script(b"HTTP/1.1 503 No\r\nContent-Length: 1000000\r\n\r\n", Stall(), path="/busy")
    async with Client(retry=Retry(statuses={503}, backoff=backoff)) as client:
        with pytest.raises(kind) as caught:
            await client.get(server.url + "/busy")
        await server.until(lambda: not server.connections)
        assert client.stats().open == 0
        assert caught.value.__traceback__ is not None  # held until here


# --- when


async def test_when_may_try_more_again(server: Server) -> None:
    asked: list[Any] = []

    def when(outcome: Response | StreamResponse | AioreqError) -> bool:
        asked.append(outcome)
        return isinstance(outcome, aioreq.ReadTimeout) or (isinstance(outcome, Response) and outcome.text == "not yet")

    answers = ["not yet", "done"]
    server.script(Stall(), path="/job")
    server.route("/job")(lambda request: Reply(200, [], answers.pop(0)))
    async with Client(retry=Retry(when=when, backoff=0), timeout=aioreq.Timeout(read=0.05)) as client:
        response = await client.get(server.url + "/job")
    assert response.text == "done"
    assert [type(outcome) for outcome in asked] == [aioreq.ReadTimeout, Response, Response]
    assert [line.split(":")[1].strip() for line in response.attempts] == ["ReadTimeout", "200 OK; tried again after 0 s"]


async def test_when_isnt_asked_about_what_cant_be_sent_twice_or_is_final(server: Server, tls_server: Server) -> None:
    def when(outcome: object) -> bool:
        raise AssertionError(f"asked about {outcome!r}")

    guard = aioreq.PublicOnly(allow=[f"127.0.0.1:{port}" for port in (server.port, tls_server.port)])
    async with Client(retry=Retry(when=when), guard=guard) as client:
        assert (await client.post(server.url + "/anything", content=b"x")).status == 200
        assert (await client.get(server.url + "/status/407")).status == 407
        with pytest.raises(aioreq.GuardError):
            await client.get("http://10.0.0.1/")
        with pytest.raises(aioreq.CertificateError):
            await client.get(tls_server.url + "/get")
        assert (await client.get(server.url + "/get", retry=0)).status == 200
    assert tls_server.accepted == 1


# --- the budget


@pytest.mark.parametrize("outage", ["refused", "503"])
async def test_an_outage_isnt_multiplied(server: Server, outage: str) -> None:
    """1,000 requests, each of which would be sent three times."""
    failing(server, 1_000_000)
    budget = RetryBudget(ratio=0.1, per_second=0, burst=50)
    counter = Counter()
    url, retry = (NOBODY, QUICK) if outage == "refused" else (server.url + "/busy", TRANSIENT)
    async with Client(retry=Retry(statuses=retry.statuses, backoff=0, budget=budget), middlewares=counting(counter)) as client:
        for _ in range(40):
            assert (await client.get(server.url + "/get")).status == 200
        healthy = counter.attempts
        told: list[tuple[str, ...]] = []
        for _ in range(10):
            outcomes = await asyncio.gather(*[client.get(url) for _ in range(100)], return_exceptions=True)
            for outcome in outcomes:
                assert isinstance(outcome, aioreq.ConnectError) if outage == "refused" else outcome.status == 503  # type: ignore[union-attr]
                told.append(outcome.attempts)  # type: ignore[union-attr]
        assert counter.attempts - healthy == 1000 + 50
        assert sum(f"used up for now: {budget!r}" in lines[-1] for lines in told) >= 950
        # Once it is over, successes bring retries back.
        for _ in range(20):
            await client.get(server.url + "/get")
        assert 1.9 < budget.tokens < 2.1


async def test_a_failing_post_brings_the_budget_nothing(server: Server) -> None:
    failing(server, 10)
    budget = RetryBudget(per_second=0, burst=2)
    assert budget.spend()
    async with Client(retry=Retry(statuses={503}, budget=budget)) as client:
        for _ in range(5):
            assert (await client.post(server.url + "/busy")).status == 503
    assert budget.tokens == 1


async def test_one_budget_for_several_clients_and_none_for_one() -> None:
    budget = RetryBudget(per_second=0, burst=3)
    for attempts in (3, 2, 1):  # 2 retries, the last one, none
        counter = Counter()
        async with Client(retry=Retry(backoff=0, budget=budget), middlewares=counting(counter)) as client:
            with pytest.raises(aioreq.ConnectError):
                await client.get(NOBODY)
        assert counter.attempts == attempts
    async with Client(retry=Retry(backoff=0, budget=None, attempts=500)) as client:
        with pytest.raises(aioreq.ConnectError) as caught:
            await client.get(NOBODY)
    assert len(caught.value.attempts) == 501


async def test_the_retry_that_a_link_gives_keeps_to_the_clients_budget() -> None:
    class Persistent(MiddleWare):
        async def process(self, request: Request, client: Client) -> Response | StreamResponse:
            request.retry = Retry(attempts=100, backoff=0)
            return await self.next_middleware.process(request, client)

    retry = Retry(budget=RetryBudget(per_second=0, burst=4))
    async with Client(retry=retry, middlewares=(Persistent, *default_middlewares)) as client:
        with pytest.raises(aioreq.ConnectError) as caught:
            await client.get(NOBODY)
    assert len(caught.value.attempts) == 5


# --- what is left


async def test_earlier_errors_are_told_and_not_kept(server: Server) -> None:
    errors: list[weakref.ref[BaseException]] = []

    class Watch(Counter):
        async def process(self, request: Request, client: Client) -> Response | StreamResponse:
            try:
                return await super().process(request, client)
            except aioreq.AioreqError as error:
                errors.append(weakref.ref(error))
                raise

    server.script(Close())
    server.script(Stall())
    async with Client(retry=QUICK, middlewares=counting(Watch())) as client:
        with pytest.raises(aioreq.ReadTimeout) as caught:
            await client.get(server.url + "/get", timeout=aioreq.Timeout(read=0.05))
    assert [error() for error in errors] == [None, caught.value]
    assert caught.value.__context__ is None or not isinstance(caught.value.__context__, aioreq.AioreqError)
    first, second = caught.value.__notes__
    assert first.startswith("attempt 1: ConnectionLost: ")
    assert second == "attempt 2 of at most 3; what it failed with is not tried again"


async def test_a_client_that_is_closed_meanwhile_tells_what_was_tried(server: Server) -> None:
    client = Client(retry=Retry(backoff=lambda failed: 1000, max_wait=1000))
    asked = asyncio.ensure_future(client.get(NOBODY))
    while not (client.connector._pools and client.pool()._asleep):  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    await client.close()
    with pytest.raises(aioreq.ClientClosed) as caught:
        await asked
    assert caught.value.__notes__[0].startswith("attempt 1: ConnectError: ")
    assert len(caught.value.__notes__) == 1
