"""For how long a connection is used: its lifetime, what its server says, and the look at one that idled. Over real sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

import aioreq
from aioreq.keep_alive import kept_for
from aioreq.testing import Close, Reply, Reset, Server, httpbin

INFINITE = float("inf")


def client_with(**limits: Any) -> aioreq.Client:
    return aioreq.Client(limits=aioreq.Limits(**limits), retry=0)


def used(server: Server) -> list[int]:
    """The numbers of the connections over which the requests came, in order."""
    return [request.connection for request in server.requests]


class Clock:
    """Lets a loop's time go on by itself: nobody has to wait for seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        loop = asyncio.get_running_loop()
        now = loop.time
        monkeypatch.setattr(loop, "time", lambda: now() + self.ahead, raising=False)


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Clock:
    if request.config.getoption("--loop") == "uvloop":
        pytest.skip("uvloop's clock can't be moved")
    return Clock(monkeypatch)


# -- a lifetime


async def test_a_connection_past_its_lifetime_is_closed_when_it_is_wanted(server: Server, clock: Clock) -> None:
    async with client_with(lifetime=60) as client:
        await client.get(f"{server.url}/get")
        clock.ahead = 9
        await client.get(f"{server.url}/get")
        assert used(server) == [1, 1]
        assert server.accepted == 1
        clock.ahead = 61
        await client.get(f"{server.url}/get")
        assert used(server) == [1, 1, 2]
        await server.until(lambda: len(server.connections) == 1)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_a_lifetime_ends_between_exchanges(secure: bool) -> None:
    """It passes during the first exchange, which isn't disturbed; with the last byte the connection is closed."""
    async with (
        Server(routes=httpbin, tls=secure) as server,
        aioreq.Client(verify=server.ca or True, limits=aioreq.Limits(lifetime=0.02), retry=0) as client,
    ):
        response = await client.get(f"{server.url}/delay/0.05")
        assert response.status == 200
        assert client.stats().open == 0
        await server.until(lambda: not server.connections)
        await client.get(f"{server.url}/get")
        assert used(server) == [1, 2]


async def test_a_stream_may_outlive_its_connections_lifetime(server: Server) -> None:
    pieces = [b"a" * 1000] * 5

    async def slow() -> Any:
        for piece in pieces:
            await asyncio.sleep(0.01)
            yield piece

    server.route("/slow", lambda request: Reply(body=slow()))
    async with client_with(lifetime=0.02) as client:
        async with client.stream("GET", f"{server.url}/slow") as response:
            assert await response.read() == b"".join(pieces)
        assert client.stats().open == 0


async def test_the_slot_of_a_connection_past_its_lifetime_goes_to_the_next(server: Server) -> None:
    """Waiters are served all the same, in order, each over a new connection."""
    async with client_with(connections=1, lifetime=0) as client:
        answers = await asyncio.gather(*[client.get(f"{server.url}/id/{n}") for n in range(10)])
        assert [answer.text for answer in answers] == [str(n) for n in range(10)]
        assert [request.path for request in server.requests] == [f"/id/{n}" for n in range(10)]
        assert used(server) == list(range(1, 11))
        assert client.stats().open == 0


async def test_an_idle_connection_past_its_lifetime_goes_though_nobody_wants_it(server: Server) -> None:
    async with client_with(lifetime=0.03, idle_timeout=30) as client:
        await client.get(f"{server.url}/get")
        assert client.stats().idle == 1
        await server.until(lambda: not server.connections)
        assert client.stats().open == 0


async def test_without_a_lifetime_age_doesnt_matter(server: Server, clock: Clock) -> None:
    async with client_with(idle_timeout=1e9) as client:
        for clock.ahead in (0.0, 1e4, 1e6):
            await client.get(f"{server.url}/get")
        assert used(server) == [1, 1, 1]


@pytest.mark.parametrize(
    ("limits", "error", "text"),
    [
        ({"lifetime": -1}, ValueError, r"Limits\(lifetime=-1\)"),
        ({"lifetime": "1"}, TypeError, r"Limits\(lifetime=\.\.\.\) takes seconds or None, not str"),
        ({"waiters": -1}, ValueError, r"Limits\(waiters=-1\)"),
        ({"waiters": None}, TypeError, r"Limits\(waiters=\.\.\.\) takes a whole number"),
    ],
)
def test_limits_are_checked(limits: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        aioreq.Limits(**limits)


# -- what the server says


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"timeout=5", 4.0),
        (b"timeout=5, max=100", 4.0),
        (b"max=100,TimeOut = 60 ", 59.0),
        (b"timeout=2", 1.0),
        (b"timeout=1", 0.5),
        (b"timeout=0", 0.0),
        (b"timeout=60, timeout=5", 4.0),
        (b"timeout=5, timeout=60", 4.0),
        (b"timeout=000000005", 4.0),
        # What is no number of seconds promises nothing.
        (b"", INFINITE),
        (b"5", INFINITE),
        (b"max=5", INFINITE),
        (b"timeout", INFINITE),
        (b"timeout=", INFINITE),
        (b"timeout=-5", INFINITE),
        (b"timeout=+5", INFINITE),
        (b"timeout=5.5", INFINITE),
        (b"timeout=1_0", INFINITE),
        (b"timeout=0x5", INFINITE),
        (b'timeout="5"', INFINITE),
        (b"timeout=5s", INFINITE),
        (b"timeout=\xd9\xa5", INFINITE),  # a digit of another script
        (b"timeout=" + b"9" * 5000, INFINITE),
        (b"xtimeout=5", INFINITE),
        (b"timeout=5; max=100", INFINITE),
    ],
)
def test_a_keep_alive_field_is_read_strictly(value: bytes, seconds: float) -> None:
    assert kept_for([(b"Server", b"x"), (b"Keep-Alive", value)]) == seconds
    assert kept_for([(b"Server", value)]) == INFINITE


@pytest.mark.parametrize("way", ["buffered", "streamed", "not found"])
async def test_a_connection_is_used_for_less_long_than_its_server_keeps_it(server: Server, clock: Clock, way: str) -> None:
    async def ask() -> None:
        if way == "streamed":
            async with client.stream("GET", f"{server.url}/kept") as response:
                await response.read()
        else:
            await client.get(f"{server.url}/kept")

    status = 404 if way == "not found" else 200
    server.route("/kept", Reply(status, [("Keep-Alive", "timeout=5, max=100")], "kept"))
    async with client_with(idle_timeout=1000) as client:
        for idled in (0.0, 3.9, 4.1, 3.9, 6.0):
            clock.ahead += idled
            await ask()
    assert used(server) == [1, 1, 2, 2, 3]


async def test_the_first_response_is_believed(server: Server, clock: Clock) -> None:
    """A response costs nothing more later on: what a server does is the same for each."""
    answers = iter([Reply(200), Reply(200, [("Keep-Alive", "timeout=5")]), Reply(200)])
    server.route("/changing", lambda request: next(answers))
    async with client_with(idle_timeout=1000) as client:
        for clock.ahead in (0, 10, 20):
            await client.get(f"{server.url}/changing")
    assert used(server) == [1, 1, 1]


async def test_a_connection_that_the_server_doesnt_keep_isnt_kept(server: Server) -> None:
    server.route("/brief", Reply(200, [("Keep-Alive", "timeout=0")], "brief"))
    async with client_with(connections=1) as client:
        answers = await asyncio.gather(*[client.get(f"{server.url}/brief") for _ in range(3)])
        assert [answer.text for answer in answers] == ["brief"] * 3
        assert client.stats().open == 0
    assert used(server) == [1, 2, 3]


async def test_a_server_that_closes_when_it_said_so(server: Server) -> None:
    """A POST right before the server's time is up isn't lost: it goes over a new connection."""
    server.route("/kept", Reply(200, [("Keep-Alive", "timeout=1")], "kept"))
    async with client_with() as client:
        await client.get(f"{server.url}/kept")
        await asyncio.sleep(0.6)
        assert (await client.post(f"{server.url}/id/1")).text == "1"
    assert used(server) == [1, 2]


# -- the look at a connection that idled


def asyncio_loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def uvloop_loop() -> asyncio.AbstractEventLoop:
    loop: asyncio.AbstractEventLoop = pytest.importorskip("uvloop").new_event_loop()
    return loop


EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


@pytest.mark.parametrize("new_loop", [asyncio_loop, uvloop_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("step", [Close(), Reset(), EVIL], ids=["close", "reset", "bytes"])
def test_what_happened_while_the_loop_was_busy_is_seen(step: Any, new_loop: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop hasn't heard of it; the socket tells. A GET is worth a look after a second only, a POST each time."""
    monkeypatch.setattr("aioreq.slots.POLL_AFTER", 0.01)

    async def main() -> None:
        async with client_with() as client:
            for ask in (client.post, client.get):
                await client.get(f"{server.url}/get")
                server.push(step)  # on its own thread, while this loop stands still
                if step != EVIL:
                    server.wait(lambda: not server.connections)
                time.sleep(0.02)  # noqa: ASYNC251
                assert (await ask(f"{server.url}/id/1")).text == "1"
        assert used(server) == [1, 2, 2, 3]

    with Server(routes=httpbin) as server, asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
