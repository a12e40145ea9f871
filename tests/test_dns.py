"""Names to addresses: off the loop, never in its default executor, with errors that name the host."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import aioreq
from aioreq import Limits, Timeout
from aioreq.dns import Address, resolve
from aioreq.testing import Server

WAIT = 20  # seconds until a test that hangs fails

Lookup = Callable[..., list[Any]]


pytestmark = pytest.mark.usefixtures("no_hanging")


class Names:
    """A resolver of ours in the system's place: knows what it is taught, and notes who asks."""

    def __init__(self) -> None:
        self.known: dict[str, list[Any] | Exception] = {}
        self.asked: list[str] = []
        self.threads: set[threading.Thread] = set()

    def teach(self, host: str, *addresses: str) -> None:
        self.known[host] = [(socket.AF_INET6, (each, 0, 0, 0)) if ":" in each else (socket.AF_INET, (each, 0)) for each in addresses]

    def __call__(self, host: str, port: int, family: int = 0, type: int = 0, *rest: Any) -> list[Any]:
        self.asked.append(host)
        self.threads.add(threading.current_thread())
        known = self.known[host]
        if isinstance(known, Exception):
            raise known
        return [(family, type, 6, "", (sockaddr[0], port, *sockaddr[2:])) for family, sockaddr in known]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names)
    return names


@pytest.fixture
async def no_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs anything in the loop's executor fails: closing a loop waits for that one, and so would a stuck lookup hold it up."""

    def refuse(*args: Any) -> Any:
        raise AssertionError(f"run_in_executor{args}")

    monkeypatch.setattr(asyncio.get_running_loop(), "run_in_executor", refuse)


# Literals


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", Address(socket.AF_INET, ("127.0.0.1", 80))),
        ("::1", Address(socket.AF_INET6, ("::1", 80, 0, 0))),
        ("2001:db8::7", Address(socket.AF_INET6, ("2001:db8::7", 80, 0, 0))),
    ],
)
async def test_a_literal_asks_nobody(names: Names, host: str, address: Address) -> None:
    assert await resolve(host, 80) == [address]
    assert names.asked == []


# Names


async def test_a_name_gives_its_addresses_in_the_resolvers_order(names: Names) -> None:
    names.teach("both.test", "2001:db8::1", "192.0.2.1", "2001:db8::2")
    assert await resolve("both.test", 443) == [
        Address(socket.AF_INET6, ("2001:db8::1", 443, 0, 0)),
        Address(socket.AF_INET, ("192.0.2.1", 443)),
        Address(socket.AF_INET6, ("2001:db8::2", 443, 0, 0)),
    ]


async def test_lookups_run_in_threads_of_ours(names: Names, server: Server, no_executor: None) -> None:
    names.teach("one.test", "127.0.0.1")
    async with aioreq.Client(retry=0) as client:
        assert (await client.get(f"http://one.test:{server.port}/id/1")).text == "1"
    assert names.asked == ["one.test"]
    assert {thread.name for thread in names.threads} == {"aioreq-worker"}
    assert getattr(asyncio.get_running_loop(), "_default_executor", None) is None


async def test_the_systems_own_resolver(server: Server, no_executor: None) -> None:
    async with aioreq.Client(retry=0) as client:
        response = await client.get(f"http://localhost:{server.port}/id/1")
    assert response.text == "1"
    assert server.requests[0].header("host") == f"localhost:{server.port}"


async def test_a_warm_connection_asks_nobody(names: Names, server: Server) -> None:
    names.teach("one.test", "127.0.0.1")
    async with aioreq.Client(retry=0) as client:
        for _ in range(3):
            await client.get(f"http://one.test:{server.port}/id/1")
    assert names.asked == ["one.test"]


async def test_a_name_may_move(names: Names, server: Server) -> None:
    names.teach("one.test", "127.0.0.2")
    async with aioreq.Client(retry=0) as client:
        with pytest.raises(aioreq.ConnectError):
            await client.get(f"http://one.test:{server.port}/id/1")
        names.teach("one.test", "127.0.0.1")
        assert (await client.get(f"http://one.test:{server.port}/id/1")).text == "1"


# Failures


@pytest.mark.parametrize("code", [socket.EAI_NONAME, socket.EAI_AGAIN, socket.EAI_FAIL])
async def test_a_name_without_an_address(names: Names, code: int) -> None:
    names.known["nowhere.test"] = socket.gaierror(code, "what the resolver says")
    async with aioreq.Client(retry=0, limits=Limits(connections=1)) as client:
        for _ in range(2):
            with pytest.raises(aioreq.DNSError, match=r"'nowhere\.test'.*what the resolver says") as caught:
                await client.get("http://nowhere.test/", timeout=Timeout(pool=5))
            assert isinstance(caught.value, aioreq.ConnectError)
            assert caught.value.request is not None
    # A failure is not remembered.
    assert names.asked == ["nowhere.test"] * 2


async def test_a_failed_lookup_is_tried_again_like_any_connection(names: Names, server: Server) -> None:
    answers: Iterator[Exception | None] = iter([socket.gaierror(socket.EAI_AGAIN, "try again"), None])

    class Flaky(dict[str, Any]):
        def __missing__(self, host: str) -> Any:
            return next(answers) or [(socket.AF_INET, ("127.0.0.1", 0))]

    names.known = Flaky()
    async with aioreq.Client(retry=aioreq.Retry(attempts=1, backoff=0)) as client:
        assert (await client.get(f"http://flaky.test:{server.port}/id/1")).text == "1"


async def test_a_resolver_that_finds_nothing_usable(names: Names) -> None:
    def odd(host: str, port: int, *rest: Any) -> list[Any]:
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", (10, bytes(16)))]  # so a Python built without IPv6 tells of one

    names.teach("none.test")
    with pytest.raises(aioreq.DNSError, match="none.test"):
        await resolve("none.test", 80)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", odd)
        with pytest.raises(aioreq.DNSError, match="odd.test"):
            await resolve("odd.test", 80)


@pytest.mark.parametrize("host", ["a" * 64 + ".test", ".".join(["a" * 60] * 5), "a..b.test"])
async def test_what_can_be_no_host_name(host: str) -> None:
    async with aioreq.Client(retry=0) as client:
        with pytest.raises((aioreq.DNSError, aioreq.InvalidURL)) as caught:
            await client.get(f"http://{host}/")
    assert host[:20] in str(caught.value)


# Slow resolvers


@contextmanager
def stuck(names: Names, host: str) -> Iterator[threading.Event]:
    """A name whose lookup stands until the block ends; the event says that it began."""
    began, go_on = threading.Event(), threading.Event()
    original = names.__call__

    def lookup(asked: str, *args: Any) -> list[Any]:
        if asked == host:
            began.set()
            go_on.wait(WAIT)
        return original(asked, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", lookup)
        try:
            yield began
        finally:
            go_on.set()


async def until(event: threading.Event) -> None:
    while not event.is_set():  # noqa: ASYNC110 -- set by another thread
        await asyncio.sleep(0.001)


async def test_a_slow_lookup_holds_up_nobody_else(names: Names, server: Server) -> None:
    names.teach("slow.test", "127.0.0.1")
    names.teach("quick.test", "127.0.0.1")
    async with aioreq.Client(retry=0) as client:
        with stuck(names, "slow.test") as began:
            waiting = asyncio.create_task(client.get(f"http://slow.test:{server.port}/id/slow"))
            await until(began)
            assert (await client.get(f"http://quick.test:{server.port}/id/quick")).text == "quick"
            assert not waiting.done()
        assert (await waiting).text == "slow"


async def test_a_cancelled_lookup_leaves_nothing(names: Names, server: Server) -> None:
    names.teach("slow.test", "127.0.0.1")
    async with aioreq.Client(retry=0, limits=Limits(connections=1)) as client:
        with stuck(names, "slow.test") as began:
            task = asyncio.create_task(client.get(f"http://slow.test:{server.port}/id/slow"))
            await until(began)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # Its slot is free though the resolver still works.
            assert (await client.get(server.url + "/id/1", timeout=Timeout(pool=5))).text == "1"
        await asyncio.sleep(0.01)
        assert (await client.get(server.url + "/id/2", timeout=Timeout(pool=5))).text == "2"
    assert [request.path for request in server.requests] == ["/id/1", "/id/2"]


async def test_a_lookup_counts_as_connecting(names: Names) -> None:
    names.teach("slow.test", "127.0.0.1")
    async with aioreq.Client(retry=0) as client:
        with stuck(names, "slow.test"):
            with pytest.raises(aioreq.ConnectTimeout, match=r"no connection to slow\.test:80 within 0\.05 s: during the name lookup"):
                await client.get("http://slow.test/", timeout=Timeout(connect=0.05))
            with pytest.raises(aioreq.TotalTimeout, match=r"total limit of 0\.05 s.*slow\.test:80.*during the name lookup"):
                await client.get("http://slow.test/", timeout=Timeout(total=0.05))


def test_a_stuck_lookup_does_not_hold_up_the_end_of_the_loop(names: Names) -> None:
    names.teach("slow.test", "127.0.0.1")

    async def main(began: threading.Event) -> None:
        async with aioreq.Client(retry=0) as client:
            task = asyncio.create_task(client.get("http://slow.test/"))
            await until(began)
            task.cancel()

    with stuck(names, "slow.test") as began:
        asyncio.run(main(began))  # would stand here until WAIT has passed, if the loop had to join the lookup's thread
        assert began.is_set()
