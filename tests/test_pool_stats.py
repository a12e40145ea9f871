"""What a client tells about its connections: `client.stats()`, and the errors of those that got none. Over real sockets."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import socket
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from gate import Gate

import aioreq
from aioreq.testing import Pause, Reply, Server, Stall, httpbin


def client_with(**limits: Any) -> aioreq.Client:
    return aioreq.Client(limits=aioreq.Limits(**limits), retry=0)


def origin(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}"


# -- stats


async def test_the_stats_of_a_client_along_its_life(server: Server, gate: Gate) -> None:
    client = client_with(connections=2)
    assert client.stats() == aioreq.Stats() == aioreq.Stats(open=0, idle=0, opening=0, waiting=0, origins={})
    async with client, Server(routes=httpbin) as other:
        await client.get(f"{other.url}/get")
        idle = aioreq.Stats(open=1, idle=1)
        assert client.stats() == aioreq.Stats(open=1, idle=1, origins={origin(other): idle})

        requests = [asyncio.ensure_future(client.get(f"{server.url}/held"))]
        await gate.until(inside=1)
        assert client.stats() == aioreq.Stats(open=2, idle=1, origins={origin(other): idle, origin(server): aioreq.Stats(open=1)})

        requests += [asyncio.ensure_future(client.get(f"{server.url}/held")) for _ in range(4)]
        await gate.until(inside=2)
        full = aioreq.Stats(open=2, waiting=3)
        assert client.stats() == aioreq.Stats(open=2, waiting=3, origins={origin(server): full})

        gate.opened.set()
        await asyncio.gather(*requests)
        assert client.stats() == aioreq.Stats(open=2, idle=2, origins={origin(server): aioreq.Stats(open=2, idle=2)})
    assert client.stats() == aioreq.Stats()


async def test_connections_being_opened_are_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        async with client_with(connections=1) as client:
            asked = [asyncio.ensure_future(client.get(f"https://127.0.0.1:{port}/")) for _ in range(3)]  # no handshake ever ends
            async with asyncio.timeout(10):
                while client.stats().opening == 0:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
            stats = client.stats()
            assert (stats.open, stats.opening, stats.waiting) == (0, 1, 2)
            assert list(stats.origins) == [f"https://127.0.0.1:{port}"]
            for one in asked:
                one.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
            assert client.stats() == aioreq.Stats()


async def test_ways_to_one_origin_are_added_up(tls_server: Server) -> None:
    async with aioreq.Client(verify=tls_server.ca or False) as client:
        await client.get(f"{tls_server.url}/get")
        await client.get(f"{tls_server.url}/get", verify=False)
        assert client.stats().origins == {f"https://127.0.0.1:{tls_server.port}": aioreq.Stats(open=2, idle=2)}


async def test_stats_are_a_value(server: Server, client: aioreq.Client) -> None:
    await client.get(f"{server.url}/get")
    stats = client.stats()
    await client.close()
    assert stats.open == 1, "a snapshot doesn't follow"
    with pytest.raises(dataclasses.FrozenInstanceError):
        stats.open = 0  # type: ignore[misc]
    assert json.loads(json.dumps(dataclasses.asdict(stats)))["origins"][origin(server)]["idle"] == 1


def test_the_stats_of_several_loops_are_summed_up_from_outside() -> None:
    """While threads are at work, anybody may ask, as often as they like; afterwards nothing is left."""
    threads, rounds = 3, 60
    here = threading.Barrier(threads + 1, timeout=30)
    with Server(routes=httpbin) as server:
        client = client_with(connections=2)

        async def main() -> None:
            for _ in range(rounds):  # queues and connections come and go
                await asyncio.gather(
                    *[client.get(f"http://127.0.0.{n}:{server.port}/get", headers={"Connection": "close"}) for n in (1, 1, 1)]
                )
            await client.get(f"{server.url}/get")
            await asyncio.to_thread(here.wait)
            await asyncio.to_thread(here.wait)

        with ThreadPoolExecutor(threads) as executor:
            running = [executor.submit(asyncio.run, main()) for _ in range(threads)]
            asked = 0
            while here.n_waiting < threads:
                stats = client.stats()
                assert 0 <= stats.idle <= stats.open <= 2 * threads
                asked += 1
                time.sleep(0.0001)  # a thread that never waits holds up the others, 5 ms at each turn of theirs
            assert asked > 10
            assert client.stats() == aioreq.Stats(open=3, idle=3, origins={origin(server): aioreq.Stats(open=3, idle=3)})
            here.wait()
            here.wait()
            for one in running:
                one.result(30)
        assert client.stats() == aioreq.Stats()


# -- those that got no connection


async def test_a_forgotten_stream_is_told_to_those_that_wait_for_its_connection(server: Server) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536
            await asyncio.sleep(0)

    server.route("/endless", lambda request: Reply(body=endless()))
    async with client_with(connections=1) as client:
        forgotten = await client.stream("GET", f"{server.url}/endless?secret=1").__aenter__()
        await asyncio.sleep(0.02)
        with pytest.raises(aioreq.PoolTimeout) as caught:
            await client.get(f"{server.url}/get", timeout=aioreq.Timeout(pool=0.01))
        message = str(caught.value)
        assert "during the response's body" in message
        assert "into <Request GET 127.0.0.1>, and nobody is reading it" in message
        assert "Read streams to their end or close them, or raise Limits(connections=...)" in message
        assert "secret" not in message
        seconds = float(message.split("body, ")[1].split(" s into")[0])
        assert 0.02 <= seconds < 10
        forgotten.abort()


async def test_the_longest_exchange_is_the_one_that_is_told(server: Server) -> None:
    server.script(Stall(), path="/first")
    server.script(Pause(30), path="/second")
    async with client_with(connections=2) as client:
        first = asyncio.ensure_future(client.post(f"{server.url}/first"))
        await server.until(lambda: len(server.requests) == 1)
        second = asyncio.ensure_future(client.get(f"{server.url}/second"))
        await server.until(lambda: len(server.requests) == 2)
        with pytest.raises(aioreq.PoolTimeout, match="the longest exchange: before any byte of the response, .* into <Request POST"):
            await client.get(f"{server.url}/get", timeout=aioreq.Timeout(pool=0.01))
        for request in (first, second):
            request.cancel()


async def test_the_origins_that_hold_most_are_told() -> None:
    async with Server() as a, Server() as b, Server() as c, Server() as d, Server() as other, client_with(connections=10) as client:
        held = []
        for server, count in ((a, 1), (b, 4), (c, 2), (d, 3)):
            server.route("/held", Gate(server).hold)
            held += [asyncio.ensure_future(client.get(f"{server.url}/held")) for _ in range(count)]
            await server.until(lambda server=server, count=count: len(server.requests) == count)  # type: ignore[misc]
        with pytest.raises(aioreq.PoolTimeout) as caught:
            await client.get(f"{other.url}/", timeout=aioreq.Timeout(pool=0.01))
        assert "10 of 10 are taken, 0 of them by this origin" in str(caught.value)
        assert f"(127.0.0.1:{b.port}: 4, 127.0.0.1:{d.port}: 3, 127.0.0.1:{c.port}: 2, ...)" in str(caught.value)
        for request in held:
            request.cancel()


async def test_a_limit_of_the_origin_s_own_is_told_apart(server: Server, gate: Gate) -> None:
    async with client_with(per_host=1) as client, Server(routes=httpbin) as other:
        foreign = Gate(other)
        longest = asyncio.ensure_future(client.post(f"{other.url}/held"))
        await foreign.until(inside=1)
        first = asyncio.ensure_future(client.get(f"{server.url}/held"))
        await gate.until(inside=1)
        with pytest.raises(aioreq.PoolTimeout) as caught:
            await client.get(f"{server.url}/get", timeout=aioreq.Timeout(pool=0.01))
        assert "2 of 100 are taken, 1 of them by this origin, which may have 1;" in str(caught.value)
        assert "or raise Limits(per_host=...)" in str(caught.value)
        assert str(other.port) not in str(caught.value)
        assert "into <Request GET" in str(caught.value), "an exchange with another origin is none of its business"
        gate.opened.set()
        foreign.opened.set()
        await asyncio.gather(first, longest)


async def test_a_slot_held_for_a_connection_that_is_being_opened() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        async with client_with(connections=1) as client:
            url = f"https://127.0.0.1:{deaf.getsockname()[1]}/"
            opening = asyncio.ensure_future(client.get(url))
            await asyncio.sleep(0)
            with pytest.raises(aioreq.PoolTimeout, match="1 of 1 are taken, 1 of them by this origin; no exchange is under way yet"):
                await client.get(url, timeout=aioreq.Timeout(pool=0.01))
            opening.cancel()


# -- the cap on those that wait


async def test_no_more_requests_wait_than_allowed(server: Server, gate: Gate) -> None:
    async with client_with(connections=1, waiters=3) as client, Server(routes=httpbin) as other:
        requests = [asyncio.ensure_future(client.get(f"{server.url}/held")) for _ in range(4)]
        await gate.until(inside=1)
        for url in (f"{server.url}/get", f"{other.url}/get"):
            with pytest.raises(aioreq.LimitExceeded, match=r"3 requests wait .* raise Limits\(waiters=\.\.\.\)") as caught:
                await client.get(url)
            assert caught.value.limit == "waiters"
            assert caught.value.request is not None
        assert list(client.stats().origins) == [origin(server)], "an origin is remembered for nothing"
        requests.pop().cancel()  # a place becomes free
        await asyncio.sleep(0)
        requests.append(asyncio.ensure_future(client.get(f"{server.url}/held")))
        await asyncio.sleep(0)
        assert client.stats().waiting == 3
        gate.opened.set()
        assert [response.text for response in await asyncio.gather(*requests)] == ["held"] * 4


async def test_nobody_may_wait(server: Server, gate: Gate) -> None:
    async with client_with(connections=1, waiters=0) as client:
        first = asyncio.ensure_future(client.get(f"{server.url}/held"))
        await gate.until(inside=1)
        with pytest.raises(aioreq.LimitExceeded):
            await client.get(f"{server.url}/get")
        gate.opened.set()
        await first
        await client.get(f"{server.url}/get")
