"""Random cancellations and timeouts for seconds, against an echo of each request's id: afterwards nothing crossed, nothing is missing.

Both loops run here, whatever --loop says, and the server lives on the client's loop.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from aioreq import TLS, Client, Limits, RequestTimeout, Timeout
from aioreq.parser import IMPLEMENTATION
from aioreq.testing import Reply, Request, Server

pytestmark = pytest.mark.slow

SECONDS = 1.0
LONGER = 4.0  # over TLS, and by TLS in TLS, where most is awaited; beside one parser, as what is stormed at doesn't depend on it
AT_MOST = 15.0  # more, where a busy machine needs them for
LEAST = {"answered": 50, "cancelled": 50, "TotalTimeout": 10, "ReadTimeout": 3, "PoolTimeout": 10}
SLOTS = 10
CALLERS = 30
LATEST = 0.02  # seconds until a request is cancelled or times out, at most
PADDING = 40_000  # bytes behind the id, at most: more than one read


@dataclass(frozen=True)
class Way:
    """How the origin is reached."""

    tls: bool = False
    proxy: str | None = None
    seconds: float = SECONDS


@pytest.fixture(params=["plain", "tls", "squid", "squid-tls", "tinyproxy-tls", "socks"])
def way(request: pytest.FixtureRequest) -> Way:
    peer, _, tls = request.param.partition("-")
    seconds = LONGER if request.param in ("tls", "squid-tls") and IMPLEMENTATION == "compiled" else SECONDS
    if peer in ("plain", "tls"):
        return Way(tls=peer == "tls", seconds=seconds)
    return Way(tls=bool(tls), proxy=request.getfixturevalue(peer).url, seconds=seconds)


@pytest.fixture(params=["asyncio", "uvloop"])
def new_loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    if request.param == "asyncio":
        return asyncio.new_event_loop
    new: Callable[[], asyncio.AbstractEventLoop] = pytest.importorskip("uvloop").new_event_loop
    return new


class Echo:
    """/id/x answers with x, soon or later, in one piece or in several; /together/x when as many as there are slots have come."""

    def __init__(self) -> None:
        self.random = random.Random(1)
        self.barrier = asyncio.Barrier(SLOTS)

    def __call__(self, server: Server) -> None:
        server.route("/id/{x}", self.answer)
        server.route("/together/{x}", self.together)

    async def answer(self, request: Request) -> Reply:
        await asyncio.sleep(max(0.0, self.random.uniform(-0.005, 0.01)))
        padding = bytes(max(0, self.random.randint(-PADDING, PADDING)))
        if self.random.random() < 0.5:
            return Reply(body=request.params["x"].encode() + b" " + padding)

        async def pieces() -> AsyncIterator[bytes]:
            yield request.params["x"].encode() + b" "
            for start in range(0, len(padding), 10_000):
                await asyncio.sleep(self.random.uniform(0, 0.002))
                yield padding[start : start + 10_000]

        return Reply(body=pieces())

    async def together(self, request: Request) -> str:
        await self.barrier.wait()
        return request.params["x"] + " "


class Storm:
    """Callers that ask, cancel and lose patience at random. `outcomes` counts what became of their requests."""

    def __init__(self, client: Client, url: str) -> None:
        self.client = client
        self.url = url
        self.random = random.Random(2)
        self.outcomes: Counter[str] = Counter()
        self.asked = 0

    async def blow(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds

        async def caller() -> None:
            while loop.time() < end or (self.lacking() and loop.time() < end + AT_MOST):
                await self.once()

        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(caller())

    def lacking(self) -> dict[str, int]:
        """The outcomes of which there were too few for a storm."""
        return {kind: self.outcomes[kind] for kind in LEAST if self.outcomes[kind] < LEAST[kind]}

    async def once(self) -> None:
        ask = self.random.choice((self.get, self.get, self.post, self.read_all, self.read_a_little))
        delay = self.random.uniform(0, LATEST)
        kind = self.random.choice(("cancelled", "cancelled", "total", "read", "pool", "patient"))
        timeout = Timeout(**({kind: delay} if kind in ("total", "read", "pool") else {}), connect=10)
        task = asyncio.ensure_future(ask(timeout))
        if kind == "cancelled":
            asyncio.get_running_loop().call_later(delay, task.cancel)
        await asyncio.wait([task])
        if task.cancelled():
            self.outcomes["cancelled"] += 1
        elif isinstance(error := task.exception(), RequestTimeout):
            self.outcomes[type(error).__name__] += 1
        else:
            task.result()
            self.outcomes["answered"] += 1

    def next_id(self) -> str:
        self.asked += 1
        return f"{self.asked}-{self.random.randrange(1 << 32):x}"

    async def get(self, timeout: Timeout) -> None:
        asked = self.next_id()
        response = await self.client.get(f"{self.url}/id/{asked}", timeout=timeout)
        self.check(asked, response.status, response.content)

    async def post(self, timeout: Timeout) -> None:
        asked = self.next_id()
        body = bytes(self.random.randrange(3 * PADDING))
        response = await self.client.post(f"{self.url}/id/{asked}", content=body, timeout=timeout)
        self.check(asked, response.status, response.content)

    async def read_all(self, timeout: Timeout) -> None:
        asked = self.next_id()
        async with self.client.stream("GET", f"{self.url}/id/{asked}", timeout=timeout) as response:
            self.check(asked, response.status, b"".join([chunk async for chunk in response.content]))

    async def read_a_little(self, timeout: Timeout) -> None:
        asked = self.next_id()
        async with self.client.stream("GET", f"{self.url}/id/{asked}", timeout=timeout) as response:
            async for chunk in response.content:
                assert chunk.startswith(asked.encode()[: len(chunk)])
                break

    def check(self, asked: str, status: int, body: bytes) -> None:
        got, _, padding = body.partition(b" ")
        assert (status, got.decode()) == (200, asked)
        assert not padding.strip(b"\0")


async def weather(way: Way) -> Storm:
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
    async with asyncio.timeout(way.seconds + AT_MOST + 20), Server(tls=way.tls, routes=Echo(), record=False) as server:
        tls = TLS(ca=server.ca) if way.tls else None
        proxy: dict[str, Any] = {} if way.proxy is None else {"proxy": way.proxy}
        async with Client(limits=Limits(connections=SLOTS), retry=0, tls=tls, timeout=Timeout(total=15, pool=15), **proxy) as client:
            storm = Storm(client, server.url)
            await storm.blow(way.seconds)

            answers = await asyncio.gather(*(client.get(f"{server.url}/id/{i}") for i in range(20)))
            for asked, response in enumerate(answers):
                storm.check(str(asked), response.status, response.content)

            # Each slot is free: as many requests as there are slots, all of them under way at once.
            together = await asyncio.gather(*(client.get(f"{server.url}/together/{i}") for i in range(SLOTS)))
            assert [response.text for response in together] == [f"{i} " for i in range(SLOTS)]
            assert (client.pool().open <= SLOTS, client.pool().waiting) == (True, 0)
        if way.proxy is None:
            await server.until(lambda: not server.connections)
        assert [error for error in server.errors if "no TLS handshake" not in error] == []  # cancelled in the middle of one
        assert asyncio.all_tasks() - server.tasks == {asyncio.current_task()}
    assert complaints == []
    return storm


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def test_a_storm_of_cancellations_and_timeouts(way: Way, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(asyncio.sleep(0))  # libuv keeps a pipe for signals from its first loop on
    before = open_descriptors()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        storm = runner.run(weather(way))
    assert open_descriptors() == before
    assert storm.lacking() == {}, storm.outcomes
