"""`response.connection` and `response.timings`: what a response came over, and where its time went."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import pickle
import ssl
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from relay import Relay

import aioreq
from aioreq import ConnectionInfo, Timings
from aioreq.connection import Connection
from aioreq.response import Response
from aioreq.testing import Close, HalfClose, Pause, ReadBody, ReadRequest, Server, Stall, httpbin
from aioreq.transfer import Opening, Transfer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PAUSE = 0.05
EARLY = 0.002  # what the clocks of loops may be early by
LATE = 0.02  # what came before a pause may be noticed so much later than it was sent

pytestmark = pytest.mark.usefixtures("no_hanging")


# The connection


async def test_a_plain_connection(server: Server, client: aioreq.Client) -> None:
    first = (await client.get(server.url + "/get")).connection
    assert first == ConnectionInfo(local_address=server.requests[0].peer, peer_address=("127.0.0.1", server.port))
    assert (await client.get(server.url + "/get")).connection == dataclasses.replace(first, reused=True)


async def test_a_connection_over_tls(tls_server: Server) -> None:
    pem = await asyncio.to_thread(ssl.get_server_certificate, (tls_server.host, tls_server.port))
    for verify in (tls_server.client_context(), False):
        async with aioreq.Client(verify=verify) as client:
            info = (await client.get(tls_server.url + "/get")).connection
        assert info.local_address == tls_server.requests[-1].peer
        assert info.peer_address == ("127.0.0.1", tls_server.port)
        assert (info.tls_version, info.cipher) == ("TLSv1.3", "TLS_AES_256_GCM_SHA384")
        assert info.certificate == ssl.PEM_cert_to_DER_cert(pem)
        assert "certificate" not in repr(info)


async def test_over_ipv6_an_address_is_a_host_and_a_port(client: aioreq.Client) -> None:
    async with Server(host="::1", routes=httpbin) as server:
        info = (await client.get(server.url + "/get")).connection
        assert info.peer_address == ("::1", server.port)
        assert info.local_address == server.requests[0].peer[:2]


async def test_over_a_unix_socket_it_is_the_path(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    async with Server(unix=path, routes=httpbin) as server, aioreq.Client(unix_socket=path) as client:
        assert (await client.get(server.url + "/get")).connection == ConnectionInfo(local_address="", peer_address=path)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_over_a_proxy_it_is_the_proxys_address(tls: bool) -> None:
    async with (
        Relay() as relay,
        Server(routes=httpbin, tls=tls) as server,
        aioreq.Client(proxy=relay.url, verify=server.ca or True) as client,
    ):
        info = (await client.get(server.url + "/get")).connection
    assert info.peer_address == ("127.0.0.1", relay.port)
    assert (info.certificate is not None) is tls


async def test_every_kind_of_response_knows_its_connection(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    address = ("127.0.0.1", server.port)
    redirected = await client.get(server.url + "/redirect/1")
    assert [response.connection.peer_address for response in (redirected, *redirected.redirects)] == [address] * 2
    assert [response.connection.reused for response in (*redirected.redirects, redirected)] == [False, True]
    assert (await client.get(server.url + "/status/404")).connection.peer_address == address
    async with client.stream("GET", server.url + "/get") as streamed:
        assert streamed.connection.peer_address == address
        assert (await streamed.buffer()).connection == streamed.connection
    with pytest.raises(aioreq.StatusError) as caught:
        async with client.stream("GET", server.url + "/status/404", raise_for_status=True):
            pass
    assert caught.value.response is not None
    assert caught.value.response.connection.peer_address == address


@pytest.mark.parametrize("stream", [False, True], ids=["buffered", "streamed"])
@pytest.mark.parametrize("end", [(Close(),), (HalfClose(), Stall())], ids=["close", "half-close"])
async def test_a_body_that_ended_with_its_connection(served: tuple[Server, aioreq.Client], end: tuple[Any, ...], stream: bool) -> None:
    """Over TLS with close_notify and without."""
    server, client = served
    server.script(b"HTTP/1.1 200 OK\r\n\r\nall", Pause(0.01), b" of it", *end, path="/")
    if stream:
        async with client.stream("GET", server.url) as streamed:
            assert await streamed.read() == b"all of it"
            assert streamed.connection.close_delimited
    else:
        response = await client.get(server.url)
        assert (response.content, response.connection.close_delimited) == (b"all of it", True)
    assert not (await client.get(server.url + "/get")).connection.close_delimited
    assert server.accepted == 2


async def test_a_body_that_ended_with_its_connection_through_a_tunnel(tls_server: Server) -> None:
    tls_server.script(b"HTTP/1.1 200 OK\r\n\r\nall", Pause(0.01), b" of it", Close(), path="/")
    async with Relay() as relay, aioreq.Client(proxy=relay.url, verify=tls_server.ca or True) as client:
        response = await client.get(tls_server.url)
    assert (response.content, response.connection.close_delimited) == (b"all of it", True)


async def test_a_head_response_ends_with_its_head(server: Server, client: aioreq.Client) -> None:
    server.script(b"HTTP/1.1 200 OK\r\n\r\n", path="/")
    assert not (await client.head(server.url)).connection.close_delimited


def test_a_response_keeps_no_connection_and_no_loop_alive() -> None:
    with Server(routes=httpbin, tls=True) as server:
        with asyncio.Runner() as runner:
            client = aioreq.Client(verify=server.ca or False)
            response = runner.run(client.get(server.url + "/get"))
            [pool] = client.connector._pools.values()
            connections = [thing for thing in gc.get_objects() if isinstance(thing, Connection) and thing.loop is pool.loop]
            watched = [weakref.ref(thing) for thing in (*connections, pool, pool.loop)]
            runner.run(client.close())
            del client, pool, connections
        del runner
        gc.collect()
        assert [thing() for thing in watched] == [None] * 3
        assert response.connection.peer_address == ("127.0.0.1", server.port)
        assert response.timings.tls > 0


async def test_a_response_made_by_hand_came_over_nothing() -> None:
    response = Response(aioreq.Request("GET", "http://h/"), "1.1", 200, b"OK", [])
    assert (response.connection, response.timings) == (ConnectionInfo(), Timings())


@pytest.mark.parametrize("value", [ConnectionInfo(("127.0.0.1", 80)), Timings(send=1.0)], ids=str)
def test_they_are_plain_values(value: Any) -> None:
    assert pickle.loads(pickle.dumps(value)) == value
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, dataclasses.fields(value)[0].name, None)


# The time


def total(timings: Timings) -> float:
    return float(sum(dataclasses.astuple(timings)))


async def test_the_phases_of_a_first_and_of_a_second_exchange(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    for first in (True, False):
        response = await client.get(server.url.replace("127.0.0.1", "localhost") + "/get")
        timings = response.timings
        assert (timings.dns > 0, timings.connect > 0, timings.tls > 0) == (first, first, first and server.ca is not None)
        assert (timings.queue, timings.send) == (0.0, 0.0)
        assert timings.wait > 0
        assert min(dataclasses.astuple(timings)) >= 0.0
        assert total(timings) <= response.elapsed


async def test_each_pause_shows_in_its_phase(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    await client.get(server.url + "/get")

    async def slow() -> AsyncIterator[bytes]:
        yield b"one"
        await asyncio.sleep(PAUSE)
        yield b"two"

    server.script(ReadRequest(), Pause(2 * PAUSE), OK[:-2], Pause(3 * PAUSE), b"ok", path="/", on="head")
    response = await client.post(server.url, content=slow())
    timings = response.timings
    assert timings.send >= PAUSE - EARLY
    assert timings.wait >= 2 * PAUSE - EARLY
    assert timings.receive >= 3 * PAUSE - LATE
    assert (timings.queue, timings.dns, timings.connect, timings.tls) == (0.0, 0.0, 0.0, 0.0)
    assert total(timings) <= response.elapsed < total(timings) + PAUSE


async def test_waiting_for_a_slot_is_queue(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(Pause(PAUSE), OK, path="/")
    holding = asyncio.create_task(client.get(server.url))
    await server.until(lambda: len(server.requests) == 1)
    began = perf_counter()
    waiting = await client.get(server.url + "/get")
    held = await holding
    assert held.timings.queue == 0.0
    assert waiting.timings.queue > 0.0
    assert total(waiting.timings) <= perf_counter() - began
    assert held.timings.wait >= PAUSE - EARLY
    # It was that request's, and not the connection's.
    assert (await client.get(server.url + "/get")).timings.queue == 0.0


async def test_waiting_for_a_slot_to_open_a_connection_is_queue_too(server: Server, tls_server: Server) -> None:
    async with aioreq.Client(verify=tls_server.ca or True, limits=aioreq.Limits(connections=1)) as client:
        server.script(Pause(PAUSE), OK, path="/")
        holding = asyncio.create_task(client.get(server.url))
        await server.until(lambda: len(server.requests) == 1)
        waiting = await client.get(tls_server.url + "/get")
        await holding
    assert waiting.timings.queue > 0.0
    assert waiting.timings.tls > 0.0


async def test_the_times_are_those_of_the_last_exchange(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(Pause(2 * PAUSE), b"HTTP/1.1 302 Found\r\nLocation: /get\r\nContent-Length: 0\r\n\r\n", path="/")
    response = await client.get(server.url)
    [redirect] = response.redirects
    assert redirect.timings.wait >= 2 * PAUSE - EARLY
    assert total(response.timings) <= response.elapsed - 2 * PAUSE + EARLY


async def test_after_a_silent_resend_they_are_those_of_the_new_connection(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    await client.get(server.url + "/get")
    server.script(Close(), path="/")
    response = await client.get(server.url)
    assert not response.connection.reused
    assert response.timings.connect > 0.0


async def test_an_informational_response_is_no_part_of_the_final_one(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(b"HTTP/1.1 103 Early Hints\r\n\r\n", Pause(PAUSE), OK, path="/")
    timings = (await client.get(server.url)).timings
    assert timings.wait >= PAUSE - EARLY
    assert timings.receive < PAUSE


async def test_a_head_in_pieces_counts_from_its_first_byte(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(OK[:10], Pause(PAUSE), OK[10:], path="/")
    timings = (await client.get(server.url)).timings
    assert timings.receive >= PAUSE - LATE


async def test_the_wait_for_a_100_is_sending(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(Pause(PAUSE), b"HTTP/1.1 100 Continue\r\n\r\n", ReadRequest(), OK, path="/", on="head")
    timings = (await client.post(server.url, content=b"x", headers={"Expect": "100-continue"})).timings
    assert timings.send >= PAUSE - EARLY


async def test_an_answer_before_the_end_of_the_upload_ends_sending(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    over = asyncio.Event()

    async def waiting() -> AsyncIterator[bytes]:
        yield b"x"
        await over.wait()

    server.script(ReadBody(1), Pause(PAUSE), OK[:-2], Pause(PAUSE), b"ok", path="/", on="head")
    response = await client.post(server.url, content=waiting())
    assert response.timings.send >= PAUSE - EARLY
    assert response.timings.wait == 0.0
    assert response.timings.receive >= PAUSE - LATE
    assert total(response.timings) <= response.elapsed


async def test_a_stream_receives_until_its_end(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(OK[:-2], Pause(PAUSE), b"ok", path="/")
    async with client.stream("GET", server.url) as response:
        first = response.timings
        assert first.wait > 0
        assert response.timings.receive > first.receive
        await response.read()
        last = response.timings
    await asyncio.sleep(0.01)
    assert response.timings == last
    assert last.receive >= PAUSE - LATE


async def test_a_stream_that_broke_receives_no_more(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(OK[:-1], Close(), path="/")
    async with client.stream("GET", server.url) as response:
        with pytest.raises(aioreq.IncompleteBody):
            await response.read()
    last = response.timings
    await asyncio.sleep(0.01)
    assert response.timings == last


def test_times_add_up_to_the_exchange() -> None:
    opening = Opening()
    opening.dns, opening.connect, opening.tls = 1.0, 2.0, 3.0
    transfer = Transfer()
    transfer.opening, transfer.queued, transfer.began = opening, 4.0, 100.0
    for sent, started, ended, expected in [
        (0.0, 0.0, 107.0, (0.0, 7.0, 0.0)),  # sent and received in one piece each
        (0.0, 105.0, 107.0, (0.0, 5.0, 2.0)),
        (101.0, 105.0, 107.0, (1.0, 4.0, 2.0)),
        (106.0, 105.0, 107.0, (5.0, 0.0, 2.0)),  # an early answer
        (float("inf"), 105.0, 107.0, (5.0, 0.0, 2.0)),
        (float("inf"), 0.0, 107.0, (7.0, 0.0, 0.0)),
    ]:
        transfer.sent, transfer.started, transfer.ended = sent, started, ended
        assert dataclasses.astuple(transfer.timings) == (4.0, 1.0, 2.0, 3.0, *expected)
