"""Each step of a request's way, told to whoever traces it: in order, while nothing of it has happened yet, and at no cost to the others."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from gate import Gate, together, turns

import aioreq
from aioreq import Connector, Limits, Timeout
from aioreq.testing import ReadRequest, Reset, Server

pytestmark = pytest.mark.usefixtures("no_hanging")

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
OPENED = ["open.start", "dns.start", "dns.end", "open.end", "send"]


class Trace:
    """Notes the steps; at one of them it may pause, raise, or do something."""

    def __init__(self, at: str = "", act: Any = None) -> None:
        self.steps: list[str] = []
        self.facts: list[Mapping[str, Any]] = []
        self._at = at
        self._act = act

    async def __call__(self, step: str, facts: Mapping[str, Any]) -> None:
        self.steps.append(step)
        self.facts.append(facts)
        await asyncio.sleep(0)
        if step == self._at:
            if isinstance(self._act, BaseException):
                raise self._act
            await self._act()


async def get(client: aioreq.Client, url: str, trace: Trace, **options: Any) -> aioreq.Response:
    return await client.get(url, extensions={"trace": trace}, **options)


def url_of(server: Server, path: str = "/id/1") -> str:
    return f"http://localhost:{server.port}{path}"


async def test_opened_then_reused(server: Server, client: aioreq.Client) -> None:
    trace = Trace()
    for _ in range(2):
        assert (await get(client, url_of(server), trace)).text == "1"
    assert trace.steps == [*OPENED, "reuse", "send"]
    assert trace.facts[0] == {"origin": ("http", "localhost", server.port), "proxy": None}
    assert trace.facts[1] == trace.facts[2] == {"host": "localhost"}
    head = trace.facts[-1]["head"]
    assert head.startswith(b"GET /id/1 HTTP/1.1\r\nHost: localhost:")
    assert head.endswith(b"\r\n\r\n")
    assert str(trace.facts[-1]["request"].url) == url_of(server)


async def test_what_is_remembered_and_what_needs_no_lookup(server: Server) -> None:
    async with aioreq.Client(limits=Limits(lifetime=0)) as client:
        known, literal = Trace(), Trace()
        await client.get(url_of(server))
        await get(client, url_of(server), known)
        await get(client, server.url, literal)
    assert known.steps == ["open.start", "dns.hit", "open.end", "send"]
    assert literal.steps == ["open.start", "open.end", "send"]


@pytest.mark.parametrize(("limits", "second"), [(Limits(), ["dns.hit"]), (Limits(dns=0), ["dns.start", "dns.end"])])
async def test_who_asks_along_with_others(server: Server, limits: Limits, second: list[str]) -> None:
    class Slow:
        asked = 0

        async def resolve(self, host: str, port: int) -> list[str]:
            self.asked += 1
            await asyncio.sleep(0.05)
            return ["127.0.0.1"]

    slow, one, other = Slow(), Trace(), Trace()
    async with aioreq.Client(resolver=slow, limits=limits) as client:
        await asyncio.gather(get(client, url_of(server), one), get(client, url_of(server), other))
    assert slow.asked == 1
    assert one.steps == OPENED
    assert other.steps == ["open.start", *second, "open.end", "send"]


async def test_the_queue(server: Server, gate: Gate) -> None:
    async with aioreq.Client(limits=Limits(connections=1)) as client:
        kept, other = Trace(), Trace()
        held = asyncio.create_task(client.get(f"{server.url}/held"))
        await gate.until(inside=1)
        waiting = together(get(client, server.url, kept), get(client, url_of(server), other))
        await turns()
        gate.opened.set()
        await asyncio.gather(held, *waiting)
    assert kept.steps == ["queue.start", "queue.end", "reuse", "send"]
    assert other.steps == ["queue.start", "queue.end", *OPENED]


async def test_each_hop_is_told(server: Server, client: aioreq.Client) -> None:
    trace = Trace()
    await get(client, f"{server.url}/redirect/1", trace)
    assert trace.steps == ["open.start", "open.end", "send", "reuse", "send"]
    assert [facts["request"].url.path for facts in trace.facts if "request" in facts] == ["/redirect/1", "/get"]


async def test_a_resend_is_told(server: Server, client: aioreq.Client) -> None:
    """The connection dies with the second request on it, which goes out again in silence: but not to who traces it."""
    server.script(OK, ReadRequest(), Reset())
    trace = Trace()
    for _ in range(2):
        await get(client, server.url, trace)
    assert trace.steps == ["open.start", "open.end", "send", "reuse", "send", "open.start", "open.end", "send"]


async def test_a_proxy_is_named(server: Server) -> None:
    trace = Trace()
    async with aioreq.Client(proxy=f"http://user:secret@localhost:{server.port}") as client:
        await get(client, "http://one.test/id/1", trace)
    assert trace.steps == OPENED
    assert trace.facts[0]["proxy"] == f"localhost:{server.port}"
    assert trace.facts[1] == {"host": "localhost"}


@pytest.mark.parametrize("step", OPENED)
async def test_what_it_raises_fails_the_request_and_keeps_nothing(server: Server, step: str) -> None:
    async with aioreq.Client(limits=Limits(connections=1), retry=0) as client:
        for error in (TimeoutError("mine"), KeyError("mine"), asyncio.CancelledError("mine")):
            client.connector.forget_addresses()
            with pytest.raises(type(error), match="mine"):
                await get(client, url_of(server), Trace(step, error))
            assert client.stats().open == client.stats().opening == 0
            await server.until(lambda: not server.connections)
        assert (await client.get(url_of(server))).text == "1"  # the only slot is free


@pytest.mark.parametrize("step", ["queue.start", "queue.end", "reuse"])
async def test_what_it_raises_in_the_queue(server: Server, gate: Gate, step: str) -> None:
    async with aioreq.Client(limits=Limits(connections=1), retry=0) as client:
        for error in (TimeoutError("mine"), KeyError("mine"), asyncio.CancelledError("mine")):
            held = asyncio.create_task(client.get(f"{server.url}/held"))
            await gate.until(inside=1)
            failing, behind = together(get(client, server.url, Trace(step, error)), get(client, f"{server.url}/id/1", Trace()))
            await turns()
            gate.opened.set()
            with pytest.raises(type(error), match="mine"):
                await failing
            assert (await behind).text == "1"  # it got what the other one gave up
            assert (await held).text == "held"
            gate.opened.clear()
        assert client.stats().waiting == client.stats().opening == 0


@pytest.mark.parametrize("step", [*OPENED, "reuse"])
async def test_given_up_at_any_step(server: Server, step: str) -> None:
    async with aioreq.Client(limits=Limits(connections=1), retry=0) as client:
        if step == "reuse":
            await client.get(url_of(server))
        trace = Trace(step, asyncio.Event().wait)
        task = asyncio.create_task(get(client, url_of(server), trace))
        while step not in trace.steps:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (client.stats().open, client.stats().opening) == (0, 0)


async def test_a_connection_that_ends_while_it_is_told(server: Server) -> None:
    async with aioreq.Client(limits=Limits(connections=1), retry=0) as client:
        await client.get(server.url)

        async def cut() -> None:
            assert server.push(Reset()) == 1
            while client.stats().open:  # noqa: ASYNC110
                await asyncio.sleep(0.001)

        trace = Trace("reuse", cut)
        assert (await get(client, f"{server.url}/id/1", trace)).text == "1"
        assert trace.steps == ["reuse", "send", "open.start", "open.end", "send"]


async def test_a_new_connection_that_ends_while_it_is_told(server: Server) -> None:
    async with aioreq.Client(limits=Limits(connections=1), retry=0) as client:

        async def cut() -> None:
            await server.until(lambda: server.push(Reset()) == 1)
            while client.stats().open:  # noqa: ASYNC110
                await asyncio.sleep(0.001)

        with pytest.raises(aioreq.ConnectionLost, match="closed the new connection before the request went out"):
            await get(client, f"{server.url}/id/1", Trace("send", cut))


async def test_closing_while_it_is_told(server: Server) -> None:
    client = aioreq.Client(retry=0)
    await client.get(server.url)
    with pytest.raises(aioreq.ClientClosed):
        await get(client, server.url, Trace("send", client.close))


async def test_limits_count_on(server: Server) -> None:
    """What a trace takes its time for is part of the step that it is told of."""
    async with aioreq.Client(retry=0) as client:
        trace = Trace("dns.start", asyncio.Event().wait)
        with pytest.raises(aioreq.ConnectTimeout, match="no connection to localhost"):
            await get(client, url_of(server), trace, timeout=Timeout(connect=0.05))
        assert client.stats().opening == 0


async def test_no_end_where_it_failed(client: aioreq.Client) -> None:
    trace = Trace()
    with pytest.raises(aioreq.ConnectError):
        await get(client, "http://localhost:1/", trace, retry=0)
    assert trace.steps == ["open.start", "dns.start", "dns.end"]


async def test_a_trace_of_no_use(client: aioreq.Client) -> None:
    for wrong in (1, lambda step, facts: None):
        with pytest.raises(TypeError, match="'trace' takes an asynchronous function of a step and its facts"):
            await client.get("http://localhost:1/", extensions={"trace": wrong})


async def test_shared_connections_tell_each_request_of_its_own(server: Server) -> None:
    async with Connector() as connector:
        one, other = Trace(), Trace()
        await get(aioreq.Client(connector=connector), server.url, one)
        await get(aioreq.Client(connector=connector), server.url, other)
    assert one.steps == ["open.start", "open.end", "send"]
    assert other.steps == ["reuse", "send"]
