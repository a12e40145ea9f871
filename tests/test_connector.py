"""Connections that several clients share: who may close them, and what stays each client's own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from gate import Gate, together

import aioreq
from aioreq.testing import Reply, Server, Stall


async def test_clients_share_connections_and_their_limits(server: Server) -> None:
    server.route("*", 200)
    server.script(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Stall(), path="/long")
    async with aioreq.Connector(limits=aioreq.Limits(connections=1)) as connector:
        one, other = aioreq.Client(connector=connector), aioreq.Client(connector=connector)
        first = await one.get(server.url)
        second = await other.get(server.url)
        assert second.connection.reused
        assert first.connection.local_address == second.connection.local_address
        async with one.stream("GET", server.url + "/long"):
            with pytest.raises(aioreq.PoolTimeout):
                await other.get(server.url, timeout=aioreq.Timeout(pool=0.02))
        assert one.stats() == other.stats() == connector.stats()


async def test_cookies_and_headers_are_each_clients_own(server: Server) -> None:
    seen: list[tuple[str | None, str | None]] = []

    def note(request: Any) -> Reply:
        seen.append((request.header("Cookie"), request.header("X-Name")))
        return Reply(200, [("Set-Cookie", "a=1")])

    server.route("*", note)
    async with aioreq.Connector() as connector:
        one = aioreq.Client(connector=connector, headers={"X-Name": "one"})
        other = aioreq.Client(connector=connector)
        for client in (one, one, other):
            await client.get(server.url)
    assert seen == [(None, "one"), ("a=1", "one"), (None, None)]


async def test_a_client_that_borrows_its_connector_leaves_it_open(server: Server) -> None:
    async with aioreq.Connector() as connector:
        async with aioreq.Client(connector=connector) as one:
            await one.get(server.url)
        with pytest.raises(aioreq.ClientClosed, match="the client is closed"):
            await one.get(server.url)
        assert connector.stats().idle == 1
        response = await aioreq.Client(connector=connector).get(server.url)
        assert response.connection.reused
    assert (connector.closed, connector.stats().open) == (True, 0)


async def test_a_closed_connector_serves_no_client(server: Server) -> None:
    connector = aioreq.Connector()
    client = aioreq.Client(connector=connector)
    await client.get(server.url)
    server.script(Stall(), path="/slow")
    under_way = asyncio.ensure_future(client.get(server.url + "/slow"))
    await asyncio.sleep(0.02)
    await connector.close()
    with pytest.raises(aioreq.ClientClosed):
        await under_way
    for late in (client, aioreq.Client(connector=connector)):
        with pytest.raises(aioreq.ClientClosed, match=r"closed before this request|connector is closed"):
            await late.get(server.url)
    with pytest.raises(aioreq.ClientClosed, match="the connector is closed: make a new one"):
        await connector.__aenter__()
    await connector.close()


async def test_aborting_waits_for_nothing(server: Server, gate: Gate) -> None:
    connector = aioreq.Connector(limits=aioreq.Limits(connections=1))
    client = aioreq.Client(connector=connector, retry=0)
    under_way, waiting = together(client.get(f"{server.url}/held"), client.get(server.url))
    await gate.until(inside=1)
    connector.abort()
    assert (connector.closed, connector.stats().open) == (True, 0)
    for task in (under_way, waiting):
        with pytest.raises(aioreq.ClientClosed):
            await task
    gate.opened.set()
    connector.abort()


@pytest.mark.no_loop
def test_aborting_without_a_loop() -> None:
    async def use(connector: aioreq.Connector) -> None:
        await aioreq.Client(connector=connector).get(server.url)

    with Server() as server, asyncio.Runner() as runner:
        connector = aioreq.Connector()
        runner.run(use(connector))
        connector.abort()
        runner.run(asyncio.sleep(0))  # the loop closes its own
        assert connector.stats().open == 0
        with pytest.raises(aioreq.ClientClosed):
            runner.run(use(connector))


@pytest.mark.no_loop
def test_what_is_the_connectors_is_given_to_it() -> None:
    connector = aioreq.Connector(limits=aioreq.Limits(connections=3))
    assert aioreq.Client(connector=connector).settings.terms.limits.connections == 3
    with pytest.raises(ValueError, match=r"Client\(connector=\.\.\., limits, guard=\.\.\.\): they are the connector's"):
        aioreq.Client(connector=connector, limits=aioreq.Limits(), guard=aioreq.PublicOnly())
    with pytest.raises(TypeError, match="takes a Connector, not int"):
        aioreq.Client(connector=1)  # type: ignore[arg-type]
    assert repr(connector) == "<Connector>"


@pytest.mark.no_loop
def test_one_loop_after_another() -> None:
    async def use(connector: aioreq.Connector) -> int:
        async with Server() as server:
            response = await aioreq.Client(connector=connector).get(server.url)
            return (await aioreq.Client(connector=connector).get(server.url)).status + response.status

    connector = aioreq.Connector()
    assert [asyncio.run(use(connector)) for _ in range(2)] == [808, 808]
