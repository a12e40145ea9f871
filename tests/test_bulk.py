"""get_requests: one GET to many servers at once, the raw responses in order."""

from __future__ import annotations

import asyncio
import socket

import pytest

import aioreq
from aioreq import bulk
from aioreq.testing import Close, Pause, Reply, Request, Reset, Server, Stall


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


async def test_one_request_as_it_is_sent(server: Server) -> None:
    server.route("/", Reply(200, [("X-A", "1")], "hello"))
    [raw] = await aioreq.get_requests([("127.0.0.1", server.port)])
    assert raw == b"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
    assert server.requests[0].head == b"GET / HTTP/1.0\r\nHost: 127.0.0.1:%d\r\n\r\n" % server.port


async def test_answers_stand_in_the_order_of_the_addresses() -> None:
    async with Server() as slow, Server() as quick:

        async def late(request: Request) -> str:
            await asyncio.sleep(0.02)
            return "slow"

        slow.route("/", late)
        quick.route("/", "quick")
        answers = await aioreq.get_requests((server.host, server.port) for server in (slow, quick, slow))
        assert [raw.rpartition(b"\r\n")[2] for raw in answers] == [b"slow", b"quick", b"slow"]


async def test_all_go_at_once() -> None:
    async with Server() as server:
        together = asyncio.Event()

        async def wait_for_all(request: Request) -> str:
            if len(server.requests) == 50:
                together.set()
            await together.wait()
            return "ok"

        server.route("/", wait_for_all)
        assert len(await aioreq.get_requests([("localhost", server.port)] * 50)) == 50


async def test_nobody_to_ask() -> None:
    assert await aioreq.get_requests([]) == []


async def test_the_host_is_named_without_its_default_port() -> None:
    with pytest.raises(aioreq.InvalidURL):
        await aioreq.get_requests([("a b", 80)])
    with pytest.raises(aioreq.InvalidURL):
        await aioreq.get_requests([("example.org", 99999)])


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")
async def test_ipv6() -> None:
    async with Server(host="::1") as server:
        server.route("/", "six")
        [raw] = await aioreq.get_requests([("::1", server.port)])
        assert raw.endswith(b"six")
        assert server.requests[0].header("host") == f"[::1]:{server.port}"


async def test_bytes_come_as_they_were_sent(server: Server) -> None:
    wire = b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + bytes(range(256)) * 1000
    server.script(wire, Pause(0), b"the end", Close())
    assert await aioreq.get_requests([("127.0.0.1", server.port)]) == [wire + b"the end"]


@pytest.mark.parametrize(
    ("fault", "error", "started"),
    [
        ((Close(),), aioreq.ConnectionLost, False),
        ((Reset(),), aioreq.ConnectionLost, False),
        ((b"HTTP", Reset()), aioreq.ConnectionLost, None),
    ],
    ids=["close", "reset", "reset in the response"],
)
async def test_a_failure_closes_the_rest(
    server: Server, fault: tuple[object, ...], error: type[aioreq.AioreqError], started: bool | None
) -> None:
    async with Server() as broken:
        server.route("/", lambda request: asyncio.sleep(3600))

        async def when_all_wait(connection: object) -> None:
            await server.until(lambda: len(server.requests) == 3)

        broken.script(when_all_wait, *fault)  # type: ignore[arg-type]
        addresses = [(server.host, server.port)] * 3 + [(broken.host, broken.port)]
        with pytest.raises(error, match=f"127.0.0.1:{broken.port}") as caught:
            await aioreq.get_requests(addresses)
        assert isinstance(caught.value, aioreq.ConnectionLost)
        assert started is None or caught.value.response_started is started
        await server.until(lambda: not server.connections)


async def test_nobody_listens(server: Server) -> None:
    server.script(Stall())
    with pytest.raises(aioreq.ConnectError, match=r"127\.0\.0\.1:1"):
        await aioreq.get_requests([(server.host, server.port), ("127.0.0.1", 1)])
    with pytest.raises(aioreq.DNSError, match=r"nowhere\.invalid"):
        await aioreq.get_requests([("nowhere.invalid", 80)])


async def test_a_response_is_bounded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MAX_RESPONSE", 1000)
    server.script(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 1001, Stall())
    with pytest.raises(aioreq.LimitExceeded, match="more than 1000 bytes"):
        await aioreq.get_requests([("127.0.0.1", server.port)])


async def test_cancelling_closes_all(server: Server) -> None:
    server.route("/", lambda request: asyncio.sleep(3600))
    task = asyncio.ensure_future(aioreq.get_requests([("127.0.0.1", server.port)] * 3))
    await server.until(lambda: len(server.requests) == 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await server.until(lambda: not server.connections)
