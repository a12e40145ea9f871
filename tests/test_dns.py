"""Names to addresses: what is remembered, what is shared, what is checked; off the loop, with errors that name the host."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import random
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pytest

import aioreq
from aioreq import Limits, ThreadedResolver, Timeout
from aioreq.dns import Address, Names
from aioreq.testing import Server

WAIT = 20  # seconds until a test that hangs fails

Lookup = Callable[..., list[Any]]


pytestmark = pytest.mark.usefixtures("no_hanging")


class System:
    """Ours in the place of the system's `getaddrinfo`: knows what it is taught, and notes who asks."""

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
def names(monkeypatch: pytest.MonkeyPatch) -> System:
    names = System()
    monkeypatch.setattr(socket, "getaddrinfo", names)
    return names


async def lookup(host: str, port: int) -> list[Address]:
    return await Names(ThreadedResolver(), Limits()).lookup(host, port)


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
async def test_a_literal_asks_nobody(names: System, host: str, address: Address) -> None:
    assert await lookup(host, 80) == [address]
    assert names.asked == []


# Names


async def test_a_name_gives_its_addresses_in_the_resolvers_order(names: System) -> None:
    names.teach("both.test", "2001:db8::1", "192.0.2.1", "2001:db8::2")
    assert await lookup("both.test", 443) == [
        Address(socket.AF_INET6, ("2001:db8::1", 443, 0, 0)),
        Address(socket.AF_INET, ("192.0.2.1", 443)),
        Address(socket.AF_INET6, ("2001:db8::2", 443, 0, 0)),
    ]


async def test_lookups_run_in_threads_of_ours(names: System, server: Server, no_executor: None) -> None:
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


async def test_a_warm_connection_asks_nobody(names: System, server: Server) -> None:
    names.teach("one.test", "127.0.0.1")
    async with aioreq.Client(retry=0) as client:
        for _ in range(3):
            await client.get(f"http://one.test:{server.port}/id/1")
    assert names.asked == ["one.test"]


async def test_a_name_may_move(names: System, server: Server) -> None:
    names.teach("one.test", "127.0.0.2")
    async with aioreq.Client(retry=0) as client:
        with pytest.raises(aioreq.ConnectError):
            await client.get(f"http://one.test:{server.port}/id/1")
        names.teach("one.test", "127.0.0.1")
        assert (await client.get(f"http://one.test:{server.port}/id/1")).text == "1"


# Failures


@pytest.mark.parametrize("code", [socket.EAI_NONAME, socket.EAI_AGAIN, socket.EAI_FAIL])
async def test_a_name_without_an_address(names: System, code: int) -> None:
    names.known["nowhere.test"] = socket.gaierror(code, "what the resolver says")
    async with aioreq.Client(retry=0, limits=Limits(connections=1)) as client:
        for _ in range(2):
            with pytest.raises(aioreq.DNSError, match=r"'nowhere\.test'.*what the resolver says") as caught:
                await client.get("http://nowhere.test/", timeout=Timeout(pool=5))
            assert isinstance(caught.value, aioreq.ConnectError)
            assert caught.value.request is not None
    # A failure is not remembered.
    assert names.asked == ["nowhere.test"] * 2


async def test_a_failed_lookup_is_tried_again_like_any_connection(names: System, server: Server) -> None:
    answers: Iterator[Exception | None] = iter([socket.gaierror(socket.EAI_AGAIN, "try again"), None])

    class Flaky(dict[str, Any]):
        def __missing__(self, host: str) -> Any:
            return next(answers) or [(socket.AF_INET, ("127.0.0.1", 0))]

    names.known = Flaky()
    async with aioreq.Client(retry=aioreq.Retry(attempts=1, backoff=0)) as client:
        assert (await client.get(f"http://flaky.test:{server.port}/id/1")).text == "1"


async def test_a_resolver_that_finds_nothing_usable(names: System) -> None:
    def odd(host: str, port: int, *rest: Any) -> list[Any]:
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", (10, bytes(16)))]  # so a Python built without IPv6 tells of one

    names.teach("none.test")
    with pytest.raises(aioreq.DNSError, match="none.test"):
        await lookup("none.test", 80)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", odd)
        with pytest.raises(aioreq.DNSError, match="odd.test"):
            await lookup("odd.test", 80)


@pytest.mark.parametrize("host", ["a" * 64 + ".test", ".".join(["a" * 60] * 5), "a..b.test"])
async def test_what_can_be_no_host_name(host: str) -> None:
    async with aioreq.Client(retry=0) as client:
        with pytest.raises((aioreq.DNSError, aioreq.InvalidURL)) as caught:
            await client.get(f"http://{host}/")
    assert host[:20] in str(caught.value)


# Slow resolvers


@contextmanager
def stuck(names: System, host: str) -> Iterator[threading.Event]:
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


async def test_a_slow_lookup_holds_up_nobody_else(names: System, server: Server) -> None:
    names.teach("slow.test", "127.0.0.1")
    names.teach("quick.test", "127.0.0.1")
    async with aioreq.Client(retry=0) as client:
        with stuck(names, "slow.test") as began:
            waiting = asyncio.create_task(client.get(f"http://slow.test:{server.port}/id/slow"))
            await until(began)
            assert (await client.get(f"http://quick.test:{server.port}/id/quick")).text == "quick"
            assert not waiting.done()
        assert (await waiting).text == "slow"


async def test_a_cancelled_lookup_leaves_nothing(names: System, server: Server) -> None:
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


async def test_a_lookup_counts_as_connecting(names: System) -> None:
    names.teach("slow.test", "127.0.0.1")
    async with aioreq.Client(retry=0) as client:
        with stuck(names, "slow.test"):
            with pytest.raises(aioreq.ConnectTimeout, match=r"no connection to slow\.test:80 within 0\.05 s: during the name lookup"):
                await client.get("http://slow.test/", timeout=Timeout(connect=0.05))
            with pytest.raises(aioreq.TotalTimeout, match=r"total limit of 0\.05 s.*slow\.test:80.*during the name lookup"):
                await client.get("http://slow.test/", timeout=Timeout(total=0.05))


def test_a_stuck_lookup_does_not_hold_up_the_end_of_the_loop(names: System) -> None:
    names.teach("slow.test", "127.0.0.1")

    async def main(began: threading.Event) -> None:
        async with aioreq.Client(retry=0) as client:
            task = asyncio.create_task(client.get("http://slow.test/"))
            await until(began)
            task.cancel()

    with stuck(names, "slow.test") as began:
        asyncio.run(main(began))  # would stand here until WAIT has passed, if the loop had to join the lookup's thread
        assert began.is_set()


# What is remembered


class Book:
    """A user's resolver: gives `answer`, or raises it, once `gate` is open; notes who asks, and how many gave up."""

    def __init__(self, answer: Any = ("192.0.2.1",)) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.given_up = 0
        self.began = asyncio.Event()
        self.gate: asyncio.Event | None = None

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        self.began.set()
        if self.gate is not None:
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.given_up += 1
                raise
        if isinstance(self.answer, BaseException):
            raise self.answer
        answer: Sequence[str] = self.answer
        return answer


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def at(address: str, port: int = 80) -> list[Address]:
    return [Address(socket.AF_INET, (address, port))]


async def test_an_answer_is_remembered_for_its_time() -> None:
    book, clock = Book(), Clock()
    names = Names(book, Limits(dns_ttl=10), clock=clock)
    assert await names.lookup("one.test", 80) == at("192.0.2.1")
    book.answer = ["192.0.2.2"]
    clock.now += 9.99
    assert await names.lookup("one.test", 80) == at("192.0.2.1")
    clock.now += 0.01  # use doesn't prolong it
    assert await names.lookup("one.test", 80) == at("192.0.2.2")
    clock.now += 9.99
    assert await names.lookup("one.test", 80) == at("192.0.2.2")
    assert book.asked == ["one.test"] * 2


async def test_each_caller_has_a_list_of_its_own() -> None:
    names = Names(Book(), Limits())
    for _ in range(3):
        found = await names.lookup("one.test", 80)
        assert found == at("192.0.2.1")
        found.clear()


async def test_the_port_is_part_of_the_question() -> None:
    book = Book()
    names = Names(book, Limits())
    assert await names.lookup("one.test", 80) == at("192.0.2.1")
    assert await names.lookup("one.test", 81) == at("192.0.2.1", 81)
    assert book.asked == ["one.test"] * 2


@pytest.mark.parametrize("limits", [Limits(dns=0), Limits(dns_ttl=0)])
async def test_nothing_is_remembered_on_request(limits: Limits) -> None:
    book = Book()
    names = Names(book, limits)
    for _ in range(3):
        assert await names.lookup("one.test", 80) == at("192.0.2.1")
    assert book.asked == ["one.test"] * 3
    assert len(names._known) == 0
    # Who asks at the same time still asks together.
    await asyncio.gather(*(names.lookup("one.test", 80) for _ in range(5)))
    assert len(book.asked) == 4


async def test_the_least_recently_used_name_is_forgotten_first() -> None:
    book = Book()
    names = Names(book, Limits(dns=3))
    for host in ("a", "b", "c", "a", "d"):
        await names.lookup(host, 80)
    assert book.asked == ["a", "b", "c", "d"]
    await names.lookup("a", 80)
    await names.lookup("c", 80)
    assert book.asked == ["a", "b", "c", "d"]
    await names.lookup("b", 80)  # was the one to go; now it is d's turn
    await names.lookup("a", 80)
    await names.lookup("d", 80)
    assert book.asked == ["a", "b", "c", "d", "b", "d"]


async def test_an_answer_given_again_is_the_latest() -> None:
    book, clock = Book(), Clock()
    names = Names(book, Limits(dns=2, dns_ttl=10), clock=clock)
    for host in ("a", "b"):
        await names.lookup(host, 80)
    clock.now += 10
    for host in ("a", "c", "a"):  # b has to go: a was asked for anew
        await names.lookup(host, 80)
    assert book.asked == ["a", "b", "a", "c"]


@pytest.mark.slow
async def test_names_stay_within_their_bound() -> None:
    def alive() -> int:
        gc.collect()
        return sum(type(each) is Address for each in gc.get_objects())

    book = Book()
    names = Names(book, Limits(dns=100))
    before = alive()
    for number in range(100_000):
        await names.lookup(f"{number}.test", 80)
    assert alive() - before == 100
    book.asked.clear()
    for number in range(99_999, 99_899, -1):
        await names.lookup(f"{number}.test", 80)
    assert book.asked == []
    await names.lookup("99899.test", 80)
    assert book.asked == ["99899.test"]


async def test_an_answer_of_thousands_is_cut() -> None:
    names = Names(Book([f"192.0.{high}.{low}" for high in range(16) for low in range(256)]), Limits())
    found = await names.lookup("many.test", 80)
    assert found == [Address(socket.AF_INET, (f"192.0.0.{low}", 80)) for low in range(64)]


@pytest.mark.timeout(10)
async def test_an_answer_without_end_is_cut() -> None:
    assert await Names(Book(itertools.repeat("192.0.2.1")), Limits()).lookup("many.test", 80) == at("192.0.2.1")


async def test_a_forgotten_name_is_asked_for_anew() -> None:
    book = Book()
    names = Names(book, Limits())
    await names.lookup("one.test", 80)
    names.forget("one.test", 81)
    names.forget("two.test", 80)
    await names.lookup("one.test", 80)
    assert book.asked == ["one.test"]
    names.forget("one.test", 80)
    book.answer = ["192.0.2.2"]
    assert await names.lookup("one.test", 80) == at("192.0.2.2")


async def test_a_failure_is_not_remembered() -> None:
    book = Book(socket.gaierror(socket.EAI_AGAIN, "try again"))
    names = Names(book, Limits())
    for _ in range(2):
        with pytest.raises(aioreq.DNSError, match="host 'one.test' has no address: try again"):
            await names.lookup("one.test", 80)
    book.answer = ["192.0.2.1"]
    assert await names.lookup("one.test", 80) == at("192.0.2.1")
    assert len(book.asked) == 3


async def test_a_failure_does_not_outlast_its_error() -> None:
    book = Book(OSError("no such name"))
    names = Names(book, Limits())
    with pytest.raises(aioreq.DNSError) as caught:
        await names.lookup("one.test", 80)
    book.answer = ["192.0.2.1"]
    assert await names.lookup("one.test", 80) == at("192.0.2.1")  # though the first error, with all its frames, is still there
    assert caught.value.__traceback__ is not None


# Who asks at the same time


async def test_many_ask_once() -> None:
    book = Book(["192.0.2.1", "2001:db8::1"])
    names = Names(book, Limits())
    found = await asyncio.gather(*(names.lookup("one.test", 80) for _ in range(50)))
    assert book.asked == ["one.test"]
    assert all(each == [*at("192.0.2.1"), Address(socket.AF_INET6, ("2001:db8::1", 80, 0, 0))] for each in found)
    assert len({id(each) for each in found}) == 50


async def test_many_first_requests_ask_once(names: System, server: Server) -> None:
    names.teach("one.test", "127.0.0.1")
    async with aioreq.Client(retry=0) as client:
        answers = await asyncio.gather(*(client.get(f"http://one.test:{server.port}/id/{number}") for number in range(50)))
    assert [answer.text for answer in answers] == [str(number) for number in range(50)]
    assert names.asked == ["one.test"]


async def test_all_hear_of_a_failure_each_by_an_error_of_its_own() -> None:
    book = Book(OSError("no such name"))
    async with aioreq.Client(retry=0, resolver=book) as client:
        urls = [f"http://one.test/{number}" for number in range(10)]
        errors = await asyncio.gather(*map(client.get, urls), return_exceptions=True)
    assert book.asked == ["one.test"]
    for url, error in zip(urls, errors, strict=True):
        assert isinstance(error, aioreq.DNSError)
        assert error.request is not None
        assert str(error.request.url) == url
        assert error.__cause__ is book.answer


async def waiting(names: Names, book: Book, count: int) -> list[asyncio.Task[list[Address]]]:
    """So many lookups that wait for one answer."""
    book.gate = asyncio.Event()
    tasks = [asyncio.create_task(names.lookup("one.test", 80)) for _ in range(count)]
    await book.began.wait()
    return tasks


@pytest.mark.parametrize("leaving", [[0], [4], [1, 3], [0, 1, 2, 3], [1, 2, 3, 4]])
async def test_who_gives_up_takes_nobody_along(leaving: list[int]) -> None:
    book = Book()
    names = Names(book, Limits())
    tasks = await waiting(names, book, 5)
    for index in leaving:
        tasks[index].cancel()
        await asyncio.sleep(0)
    assert book.gate is not None
    book.gate.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for index, outcome in enumerate(outcomes):
        if index in leaving:
            assert isinstance(outcome, asyncio.CancelledError)
        else:
            assert outcome == at("192.0.2.1")
    assert (book.asked, book.given_up) == (["one.test"], 0)
    await names.lookup("one.test", 80)
    assert book.asked == ["one.test"]


async def test_a_question_that_nobody_waits_for_is_given_up() -> None:
    book = Book()
    names = Names(book, Limits())
    tasks = await waiting(names, book, 3)
    for task in tasks:
        task.cancel()
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in await asyncio.gather(*tasks, return_exceptions=True))
    # Who comes in that very moment doesn't join what is being given up.
    assert book.gate is not None
    book.gate.set()
    assert await names.lookup("one.test", 80) == at("192.0.2.1")
    assert book.asked == ["one.test"] * 2
    assert book.given_up == 1


async def test_an_answer_that_comes_with_the_last_cancellation_is_kept() -> None:
    book = Book()
    names = Names(book, Limits())
    [task] = await waiting(names, book, 1)
    [flight] = asyncio.all_tasks() - {task, asyncio.current_task()}
    assert book.gate is not None
    book.gate.set()
    while not flight.done():  # noqa: ASYNC110 -- the waiter is told in the same turn as whoever waits for this otherwise
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await names.lookup("one.test", 80) == at("192.0.2.1")
    assert book.asked == ["one.test"]


async def test_random_cancellations_leave_nothing() -> None:
    class Slow(Book):
        async def resolve(self, host: str, port: int) -> Sequence[str]:
            self.asked.append(host)
            await asyncio.sleep(chance.choice([0, 0, 0.001]))
            if chance.random() < 0.3:
                raise OSError("no such name")
            return ["192.0.2.1"]

    chance = random.Random(7)
    names = Names(Slow(), Limits(dns=2, dns_ttl=0.002))
    outcomes: Counter[str] = Counter()

    async def one() -> None:
        try:
            assert await names.lookup(chance.choice("abcd"), 80) == at("192.0.2.1")
        except BaseException as error:
            outcomes[type(error).__name__] += 1
            raise
        outcomes["answer"] += 1

    for _ in range(300):
        tasks = [asyncio.create_task(one()) for _ in range(8)]
        for task in chance.sample(tasks, 4):
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert outcomes.keys() == {"answer", "DNSError", "CancelledError"}
    assert len(names._flights) == 0


async def test_a_resolver_cancelled_from_elsewhere() -> None:
    book = Book(asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await Names(book, Limits()).lookup("one.test", 80)


# Loops and threads


def test_one_loop_after_another(names: System) -> None:
    names.teach("one.test", "127.0.0.1")
    shared = Names(ThreadedResolver(), Limits())
    for _ in range(2):
        assert asyncio.run(shared.lookup("one.test", 80)) == at("127.0.0.1")
    assert names.asked == ["one.test"]


def test_a_loop_that_was_stopped_for_good() -> None:
    book = Book()
    names = Names(book, Limits())
    loop = asyncio.new_event_loop()
    task = loop.create_task(names.lookup("one.test", 80))
    try:
        book.gate = asyncio.Event()
        loop.call_later(0.01, loop.stop)
        loop.run_forever()
        assert book.asked == ["one.test"]
        assert not task.done()
        # Another loop asks for itself: nothing of the first one would ever wake it.
        book.gate = None
        assert asyncio.run(asyncio.wait_for(names.lookup("one.test", 80), 10)) == at("192.0.2.1")
        assert book.asked == ["one.test"] * 2
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.close()


def test_threads_with_loops_of_their_own() -> None:
    class Busy:
        async def resolve(self, host: str, port: int) -> Sequence[str]:
            await asyncio.sleep(0)
            if int(host[1:]) % 10 == 9:
                raise OSError("no such name")
            return [f"192.0.2.{host[1:]}"]

    names = Names(Busy(), Limits(dns=30, dns_ttl=0.005))
    wrong: list[BaseException] = []

    async def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(300):
            numbers = [chance.randrange(100) for _ in range(5)]
            found = await asyncio.gather(*(names.lookup(f"n{number}", 80) for number in numbers), return_exceptions=True)
            for number, each in zip(numbers, found, strict=True):
                if number % 10 == 9:
                    assert isinstance(each, aioreq.DNSError)
                else:
                    assert each == at(f"192.0.2.{number}")
            if chance.random() < 0.1:
                names.forget(f"n{chance.randrange(100)}", 80)

    def run(seed: int) -> None:
        try:
            asyncio.run(work(seed))
        except BaseException as error:
            wrong.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=run, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []
    assert len(names._known) <= 30


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_waits_for_nobody() -> None:
    code = (
        "import asyncio, os, signal, warnings\n"
        "warnings.simplefilter('ignore')\n"  # 3.12 and later warn of any fork beside threads
        "from aioreq import dns, Limits, StaticResolver\n"
        "names = dns.Names(StaticResolver({'one.test': '192.0.2.1'}), Limits())\n"
        "asyncio.run(names.lookup('one.test', 80))\n"
        "dns._lock.acquire()\n"  # as another thread may, while the process forks
        "if (child := os.fork()) == 0:\n"
        "    signal.alarm(10)\n"
        "    asyncio.run(names.lookup('one.test', 80))\n"
        "    os._exit(7)\n"
        "os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=WAIT).returncode == 7


# What a resolver may answer


INTERFACE_NUMBER, INTERFACE = socket.if_nameindex()[0]


@pytest.mark.parametrize(
    ("answer", "sockaddr"),
    [
        ("192.0.2.7", ("192.0.2.7", 80)),
        ("2001:DB8:0::7", ("2001:db8::7", 80, 0, 0)),
        ("::ffff:192.0.2.7", None),
        (f"fe80::1%{INTERFACE}", ("fe80::1", 80, 0, INTERFACE_NUMBER)),
        ("fe80::1%7", ("fe80::1", 80, 0, 7)),
    ],
)
async def test_what_an_address_becomes(answer: str, sockaddr: tuple[Any, ...] | None) -> None:
    for host in ("one.test", answer):  # answered, or asked for
        [address] = await Names(Book([answer]), Limits()).lookup(host, 80)
        assert address.family == (socket.AF_INET6 if ":" in answer else socket.AF_INET)
        if sockaddr is not None:
            assert address.sockaddr == sockaddr
        with socket.socket(address.family, socket.SOCK_DGRAM) as sock, suppress(OSError):
            sock.connect(address.sockaddr)  # may be unreachable, but is an address


@pytest.mark.parametrize(
    "answer", [("192.0.2.1", "192.0.2.2", "192.0.2.1"), {"192.0.2.1": 0, "192.0.2.2": 0}, iter(["192.0.2.1", "192.0.2.2"])]
)
async def test_duplicates_are_dropped(answer: Any) -> None:
    assert await Names(Book(answer), Limits()).lookup("one.test", 80) == at("192.0.2.1") + at("192.0.2.2")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ([], "host 'one.test' has no address: Book found none that can be connected to"),
        (["other.test"], "Book answered 'other.test' for host 'one.test': that is no IP address as text"),
        (["192.0.2.1", "192.0.2.300"], "Book answered '192.0.2.300' for host 'one.test': that is no IP address as text"),
        (["[2001:db8::1]"], "Book answered '[2001:db8::1]' for host 'one.test': that is no IP address as text"),
        (["127.1"], "Book answered '127.1' for host 'one.test': that is no IP address as text"),
        ([2130706433], "Book answered 2130706433 for host 'one.test': that is no IP address as text"),
        ([b"\x7f\0\0\1"], "Book answered b'\\x7f\\x00\\x00\\x01' for host 'one.test': that is no IP address as text"),
        ([("192.0.2.1", "80")], "Book answered ('192.0.2.1', '80') for host 'one.test': that is no IP address as text"),
        ("192.0.2.1", "Book answered '192.0.2.1' for host 'one.test': it must give a list of IP addresses"),
        (b"192.0.2.1", "Book answered b'192.0.2.1' for host 'one.test': it must give a list of IP addresses"),
        (None, "Book answered None for host 'one.test': it must give a list of IP addresses"),
        (["x" * 1000], f"Book answered '{'x' * 99} for host 'one.test': that is no IP address as text"),
        (
            ["fe80::1%nosuch"],
            "Book answered 'fe80::1%nosuch' for host 'one.test': this machine has no network interface 'nosuch'",
        ),
        (["fe80::1%" + "9" * 5000], None),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "host 'one.test' has no address: Name or service not known"),
        (OSError("no such name"), "host 'one.test' has no address: Book raised OSError: no such name"),
        (TimeoutError(), "host 'one.test' has no address: Book raised TimeoutError"),
        (
            ConnectionRefusedError(111, "Connection refused"),
            "host 'one.test' has no address: Book raised ConnectionRefusedError: [Errno 111] Connection refused",
        ),
        (KeyError("one.test"), "host 'one.test' has no address: Book raised KeyError: 'one.test'"),
        (aioreq.DNSError("the table has no 'one.test'"), "the table has no 'one.test'"),
    ],
    ids=range(20),
)
async def test_what_is_wrong_with_an_answer(answer: Any, text: str | None) -> None:
    book = Book(answer)
    async with aioreq.Client(retry=0, resolver=book) as client:
        for _ in range(2):
            with pytest.raises(aioreq.DNSError) as caught:
                await client.get("http://one.test/")
            assert type(caught.value) is aioreq.DNSError
            assert text is None or str(caught.value) == text
            assert "one.test" in str(caught.value)
            assert len(str(caught.value)) < 300
            if isinstance(answer, BaseException):
                assert caught.value.__cause__ is answer
    assert len(book.asked) == 2


async def test_an_answer_with_a_port_of_its_own(server: Server) -> None:
    answer = [("192.0.2.1", 1), ("::1", 65535), "192.0.2.2", ("192.0.2.1", 2)]
    assert await Names(Book(answer), Limits()).lookup("one.test", 80) == [
        Address(socket.AF_INET, ("192.0.2.1", 1)),
        Address(socket.AF_INET6, ("::1", 65535, 0, 0)),
        Address(socket.AF_INET, ("192.0.2.2", 80)),
        Address(socket.AF_INET, ("192.0.2.1", 2)),
    ]
    async with aioreq.Client(retry=0, resolver=Book([("127.0.0.1", server.port)])) as client:
        assert (await client.get("http://one.test/id/1")).text == "1"
    assert server.requests[0].header("host") == "one.test"


async def test_a_guard_judges_the_port_that_is_connected_to(server: Server) -> None:
    for allowed, goes in ((server.port, True), (80, False)):
        guard = aioreq.PublicOnly(allow=[f"127.0.0.1:{allowed}", "one.test:80"][: 1 if goes else 2])
        async with aioreq.Client(retry=0, resolver=Book([("127.0.0.1", server.port)]), guard=guard) as client:
            if goes:
                assert (await client.get("http://one.test/id/1")).text == "1"
            else:
                with pytest.raises(aioreq.GuardError, match=r"127\.0\.0\.1"):
                    await client.get("http://one.test/id/1")


@pytest.mark.parametrize("wrong", [("192.0.2.1", 70000), ("192.0.2.1", -1), ("192.0.2.1", True), ("192.0.2.1",), ("192.0.2.1", 1, 2)])
async def test_a_port_that_is_none(wrong: Any) -> None:
    with pytest.raises(aioreq.DNSError, match="that is no IP address as text"):
        await Names(Book([wrong]), Limits()).lookup("one.test", 80)


async def test_forgetting_by_hand() -> None:
    book = Book()
    async with aioreq.Connector(resolver=book) as connector:
        names = connector.dialer.names
        for host, port in (("one.test", 80), ("one.test", 81), (None, None)):
            await names.lookup("one.test", 80)
            await names.lookup("one.test", 80)
            connector.forget_addresses(host, port)
        await names.lookup("one.test", 80)
        assert len(book.asked) == 3  # another port's are left alone
        for host, port in (("one.test", None), (None, 80)):
            with pytest.raises(ValueError, match="give a host and its port, or neither"):
                connector.forget_addresses(host, port)


async def test_a_resolver_that_is_no_coroutine() -> None:
    class Plain:
        def resolve(self, host: str, port: int) -> list[str]:
            return ["192.0.2.1"]

    plain: Any = Plain()
    with pytest.raises(aioreq.DNSError, match=r"host 'one\.test' has no address: .*Plain raised TypeError: .*await"):
        await Names(plain, Limits()).lookup("one.test", 80)


@pytest.mark.parametrize("scope", ["nosuch", "a\0b", "9" * 12, "9" * 5000])
async def test_a_literal_on_no_interface(scope: str) -> None:
    with pytest.raises(aioreq.DNSError) as caught:
        await lookup(f"fe80::1%{scope}", 80)
    assert f"this machine has no network interface {scope!r:.50}" in str(caught.value)
    assert str(caught.value).startswith("host 'fe80::1%")


async def test_a_name_whose_addresses_all_fail_is_asked_for_anew(server: Server) -> None:
    book = Book(["127.0.0.2"])
    async with aioreq.Client(retry=0, resolver=book) as client:
        for _ in range(2):
            with pytest.raises(aioreq.ConnectError):
                await client.get(f"http://one.test:{server.port}/id/1")
        book.answer = ["127.0.0.2", "127.0.0.1"]
        for _ in range(2):
            assert (await client.get(f"http://one.test:{server.port}/id/1", headers={"Connection": "close"})).text == "1"
    assert book.asked == ["one.test"] * 3


@pytest.mark.parametrize("limits", [{"dns": -1}, {"dns_ttl": -1}])
def test_limits_that_make_no_sense(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Limits(**limits)


@pytest.mark.parametrize("limits", [{"dns": None}, {"dns_ttl": None}, {"dns": 1.5}, {"dns_ttl": "10"}])
def test_limits_of_another_type(limits: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Limits(**limits)
