"""Who may use which connection: limits, reuse, eviction, queues, resending, and the ends of clients and loops. Over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, cast

import pytest
from gate import Gate, together, turns

import aioreq
import aioreq.pool
import aioreq.slots
from aioreq.connection import Connection
from aioreq.slots import HANDOVERS, Slots
from aioreq.testing import Authority, Close, HalfClose, Reply, Reset, Script, Server, Stall, httpbin
from aioreq.testing import Request as Received

EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


def client_with(**limits: Any) -> aioreq.Client:
    return aioreq.Client(limits=aioreq.Limits(**limits), retry=0)


def used(server: Server) -> list[int]:
    """The numbers of the connections over which the requests came, in order."""
    return [request.connection for request in server.requests]


# -- limits


async def test_no_more_connections_than_allowed_in_all(server: Server, gate: Gate) -> None:
    async with client_with(connections=3) as client:
        requests = together(*[client.get(f"{server.url}/held") for _ in range(10)])
        await gate.until(inside=3)
        await turns()
        assert (client.pool().open, client.pool().waiting) == (3, 7)
        gate.opened.set()
        assert [response.text for response in await asyncio.gather(*requests)] == ["held"] * 10
        assert gate.most == 3
        assert server.accepted == 3


async def test_no_more_connections_than_allowed_for_one_origin(server: Server, gate: Gate) -> None:
    async with client_with(per_host=2) as client, Server(routes=httpbin) as other:
        requests = together(*[client.get(f"{server.url}/held") for _ in range(5)])
        await gate.until(inside=2)
        assert (await client.get(f"{other.url}/id/1")).text == "1"  # another origin isn't held up
        assert client.pool().waiting == 3
        gate.opened.set()
        await asyncio.gather(*requests)
        assert gate.most == server.accepted == 2


async def test_no_more_idle_connections_than_allowed(server: Server, gate: Gate) -> None:
    async with client_with(idle=2) as client:
        requests = together(*[client.get(f"{server.url}/held") for _ in range(5)])
        await gate.until(inside=5)
        gate.opened.set()
        await asyncio.gather(*requests)
        await server.until(lambda: len(server.connections) == 2)
        assert client.pool().open == 2


@pytest.mark.parametrize("limits", [{"idle": 0}, {"idle_timeout": 0}])
async def test_no_idle_connections_at_all(server: Server, limits: dict[str, Any]) -> None:
    async with client_with(**limits) as client:
        for _ in range(3):
            await client.get(f"{server.url}/get")
            assert client.pool().open == 0
    assert used(server) == [1, 2, 3]


async def test_an_idle_connection_is_closed_in_the_end(server: Server) -> None:
    async with client_with(idle_timeout=0.02) as client:
        await asyncio.gather(*[client.get(f"{server.url}/get") for _ in range(3)])
        await server.until(lambda: not server.connections)
        assert client.pool().open == 0
        await client.get(f"{server.url}/get")
        await server.until(lambda: not server.connections)  # the sweep goes on


async def test_a_connection_that_was_used_meanwhile_is_closed_in_the_end(server: Server) -> None:
    async with client_with(idle_timeout=0.03) as client:
        for _ in range(5):
            await client.get(f"{server.url}/get")
            await asyncio.sleep(0.01)
        await server.until(lambda: not server.connections)


async def test_waiters_are_served_in_order(server: Server, gate: Gate) -> None:
    async with client_with(connections=1) as client:
        requests = together(client.get(f"{server.url}/held"), *[client.get(f"{server.url}/id/{n}") for n in range(20)])
        await gate.until(inside=1)
        gate.opened.set()
        await asyncio.gather(*requests)
    assert [request.path for request in server.requests] == ["/held"] + [f"/id/{n}" for n in range(20)]
    assert server.accepted == 1


async def test_a_wait_for_a_slot_that_takes_too_long(server: Server, gate: Gate) -> None:
    async with client_with(connections=1) as client:
        (held,) = together(client.get(f"{server.url}/held"))
        await gate.until(inside=1)
        with pytest.raises(aioreq.PoolTimeout) as caught:
            await client.get(f"{server.url}/get", timeout=aioreq.Timeout(pool=0.01))
        message = str(caught.value)
        assert f"127.0.0.1:{server.port}" in message
        assert "1 of 1 are taken, 1 of them by this origin" in message
        assert "Limits(connections=...)" in message
        assert caught.value.request is not None
        with pytest.raises(aioreq.PoolTimeout):
            await client.get(f"{server.url}/get", timeout=aioreq.Timeout(pool=0))
        assert client.pool().waiting == 0
        gate.opened.set()
        await held
        assert (await client.get(f"{server.url}/id/1")).text == "1"
    assert [request.path for request in server.requests] == ["/held", "/id/1"]


@pytest.mark.parametrize("path", ["/redirect/3", "/digest-auth/auth/u/p", "/status/404"])
async def test_one_slot_is_enough_for_several_steps(server: Server, path: str) -> None:
    async with client_with(connections=1) as client:
        await client.get(server.url + path, auth=("u", "p"), timeout=aioreq.Timeout(pool=5))
        assert client.pool().open == 1


# -- reuse


async def test_the_warmest_connection_is_used_first(server: Server) -> None:
    gates = [asyncio.Event() for _ in range(3)]

    @server.route("/wait/{n}")
    async def wait(request: Received) -> str:
        await gates[int(request.params["n"])].wait()
        return ""

    async with client_with() as client:
        requests = together(*[client.get(f"{server.url}/wait/{n}") for n in range(3)])
        await server.until(lambda: len(server.requests) == 3)
        over = {request.path: request.connection for request in server.requests}
        for n in (0, 2, 1):
            gates[n].set()
            await requests[n]
        await client.get(f"{server.url}/get")
        assert used(server)[-1] == over["/wait/1"]


async def test_the_longest_idle_connection_of_another_origin_makes_room() -> None:
    async with Server(routes=httpbin) as a, Server(routes=httpbin) as b, Server(routes=httpbin) as c, client_with(connections=2) as client:
        for server in (a, b, c):
            await client.get(f"{server.url}/get")
        await a.until(lambda: not a.connections)
        assert client.pool().open == 2
        for server in (b, c):
            await client.get(f"{server.url}/get")
        assert used(b) == used(c) == [1, 1]
        await client.get(f"{a.url}/get")
        assert used(a) == [1, 2]
        await b.until(lambda: not b.connections)


async def test_a_busy_connection_never_makes_room(server: Server, gate: Gate) -> None:
    async with client_with(connections=1) as client, Server(routes=httpbin) as other:
        (held,) = together(client.get(f"{server.url}/held"))
        await gate.until(inside=1)
        (waits,) = together(client.get(f"{other.url}/id/1"))
        await turns()
        assert not waits.done()
        gate.opened.set()
        assert (await held).text == "held"
        assert (await waits).text == "1"


async def test_an_origin_with_many_requests_leaves_room_for_others(server: Server) -> None:
    order: list[str] = []

    def note(request: Received) -> str:
        order.append(request.params["x"])
        return ""

    async with client_with(connections=1) as client, Server() as other:
        for each in (server, other):
            each.route("/note/{x}", note)
        await client.get(f"{server.url}/get")
        many = together(*[client.get(f"{server.url}/note/many") for _ in range(4 * HANDOVERS)])
        few = together(*[client.get(f"{other.url}/note/few") for _ in range(2)])
        await asyncio.gather(*many, *few)
        first = order.index("few")
        second = order.index("few", first + 1)
        # In turn: the slot goes to the origin that has waited longest, and stays for a number of requests.
        assert first <= HANDOVERS + 1
        assert second <= first + 2 * HANDOVERS
        assert server.accepted <= 4 + 1


async def test_an_origin_alone_keeps_its_connection(server: Server) -> None:
    async with client_with(connections=1) as client:
        await asyncio.gather(*[client.get(f"{server.url}/get") for _ in range(3 * HANDOVERS)])
        assert server.accepted == 1


# -- a freed connection goes to exactly one live waiter


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("handed", ["connection", "slot"])
async def test_a_waiter_cancelled_in_the_tick_in_which_it_is_served(
    server: Server, gate: Gate, monkeypatch: pytest.MonkeyPatch, moment: str, handed: str
) -> None:
    async with client_with(connections=1) as client:
        extra = {"headers": {"Connection": "close"}} if handed == "slot" else {}
        (held,) = together(client.get(f"{server.url}/held", **extra))  # type: ignore[arg-type]
        await gate.until(inside=1)
        first, second = together(client.get(f"{server.url}/id/1"), client.get(f"{server.url}/id/2"))
        await turns()

        name = "freed" if handed == "connection" else "lost"
        serve: Callable[[Slots, Connection], None] = getattr(Slots, name)

        def cancelling(slots: Slots, connection: Connection) -> None:
            if moment == "before":
                first.cancel()
            serve(slots, connection)
            first.cancel()

        monkeypatch.setattr(Slots, name, cancelling)
        gate.opened.set()
        assert (await held).text == "held"
        assert (await second).text == "2"
        with pytest.raises(asyncio.CancelledError):
            await first
        assert [request.path for request in server.requests] == ["/held", "/id/2"]


async def test_a_connection_that_ends_in_the_tick_in_which_it_is_handed_over(
    server: Server, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with client_with(connections=1) as client:
        (held,) = together(client.get(f"{server.url}/held"))
        await gate.until(inside=1)
        waiting = together(*[client.post(f"{server.url}/id/{n}") for n in range(3)])
        await turns()
        freed = Slots.freed

        def ending(slots: Slots, connection: Connection) -> None:
            freed(slots, connection)
            if len(server.requests) == 1:
                connection.eof()

        monkeypatch.setattr(Slots, "freed", ending)
        gate.opened.set()
        assert (await held).text == "held"
        assert [response.text for response in await asyncio.gather(*waiting)] == ["0", "1", "2"]
        assert set(used(server)[1:]) == {2}


async def test_cancelled_waiters_leave_nothing_in_line(server: Server, gate: Gate) -> None:
    async with client_with(connections=1) as client, Server(routes=httpbin) as other:
        (held,) = together(client.get(f"{server.url}/held"))
        await gate.until(inside=1)
        requests = together(*[client.get(f"{(server, other)[n % 2].url}/get") for n in range(1000)])
        await turns()
        pool = client.pool()
        assert pool.waiting == 1000
        for request in requests[200:800] + requests[:200] + requests[800:]:
            request.cancel()
        await asyncio.gather(*requests, return_exceptions=True)
        assert pool.waiting == 0
        assert not pool.slots.blocked
        assert [queue.route.origin.port for queue in pool.slots.queues.values()] == [server.port]
        gate.opened.set()
        await held
        assert (await client.get(f"{other.url}/id/1")).text == "1"


async def test_the_work_of_the_pool_doesnt_grow(server: Server, gate: Gate) -> None:
    """As many lines of it run for a waiter that gives up among ten thousand as for one among ten, and for a request likewise."""
    async with client_with(connections=20) as client:
        lines: dict[int, list[int]] = {}
        for count in (10, 10_000):
            gate.opened.clear()
            held = together(*[client.get(f"{server.url}/held") for _ in range(20)])
            await gate.until(inside=20)
            waiters = together(*[client.get(f"{server.url}/get") for _ in range(count)])
            await turns()
            assert client.pool().waiting == count
            with counting_lines_of(aioreq.pool.__file__, aioreq.slots.__file__) as of_giving_up:
                waiters[count // 2].cancel()
                await turns()
            for waiter in waiters:
                waiter.cancel()
            await turns()
            gate.opened.set()
            await asyncio.gather(*held)
            with counting_lines_of(aioreq.pool.__file__, aioreq.slots.__file__) as of_a_request:
                await client.get(f"{server.url}/get")
            lines[count] = [len(of_giving_up), len(of_a_request)]
        assert lines[10] == lines[10_000]
        assert min(lines[10]) > 5, "nothing was counted"


class counting_lines_of:  # noqa: N801
    def __init__(self, *paths: str) -> None:
        self.paths = paths
        self.lines: list[int] = []

    def __enter__(self) -> list[int]:
        self.before = sys.gettrace()
        sys.settrace(self.trace)
        return self.lines

    def __exit__(self, *exc_info: object) -> None:
        sys.settrace(self.before)

    def trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename not in self.paths:
            return None
        if event == "line":
            self.lines.append(frame.f_lineno)
        return self.trace


# -- what is sent again, in silence


def dies_once(server: Server, step: Any = None) -> None:
    """/mortal answers with its connection's end, but for the second time that it is asked."""
    asked: list[Received] = []

    @server.route("/mortal")
    def mortal(request: Received) -> Any:
        asked.append(request)
        return "alive" if len(asked) == 2 else Script((step or Close(),))


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"])
@pytest.mark.parametrize("step", [Close(), Reset()], ids=["close", "reset"])
async def test_a_request_over_a_used_connection_that_died_is_sent_again(server: Server, method: str, step: Any) -> None:
    dies_once(server, step)
    async with client_with() as client:
        await client.get(f"{server.url}/get")
        response = await client.request(method, f"{server.url}/mortal", content=b"body" if method == "PUT" else None)
        assert response.status == 200
        assert used(server) == [1, 1, 2]
        if method == "PUT":
            assert [request.body for request in server.requests] == [b"", b"body", b"body"]


async def test_it_is_sent_over_a_new_connection_though_another_one_idles(server: Server, gate: Gate) -> None:
    dies_once(server)
    async with client_with() as client:
        requests = together(*[client.get(f"{server.url}/held") for _ in range(3)])
        await gate.until(inside=3)
        gate.opened.set()
        await asyncio.gather(*requests)
        assert (await client.get(f"{server.url}/mortal")).text == "alive"
        assert used(server)[-1] == 4


async def test_it_is_sent_over_a_new_connection_though_it_is_handed_a_used_one(server: Server) -> None:
    dies_once(server)
    async with client_with(connections=1) as client:
        await client.get(f"{server.url}/get")
        mortal, other = together(client.get(f"{server.url}/mortal"), client.get(f"{server.url}/id/1"))
        assert (await mortal).text == "alive"
        assert (await other).text == "1"
        assert [(request.path, request.connection) for request in server.requests[1:]] == [("/mortal", 1), ("/id/1", 2), ("/mortal", 3)]


@pytest.mark.parametrize("method", ["POST", "PATCH", "OWN"])
async def test_what_isnt_idempotent_is_never_sent_again(server: Server, method: str) -> None:
    dies_once(server)
    async with client_with() as client:
        await client.get(f"{server.url}/get")
        with pytest.raises(aioreq.ConnectionLost) as caught:
            await client.request(method, f"{server.url}/mortal")
        assert not caught.value.response_started
        assert used(server) == [1, 1]
        assert client.pool().open == 0


async def test_an_error_tells_that_the_request_went_out_twice(server: Server) -> None:
    server.script(Close(), path="/mortal", times=9)
    async with client_with() as client:
        await client.get(f"{server.url}/get")
        for resent in (True, False):  # the second time there is no used connection
            with pytest.raises(aioreq.ConnectionLost) as caught:
                await client.get(f"{server.url}/mortal")
            assert caught.value.resent is resent
        assert used(server) == [1, 1, 2, 3]


async def test_nothing_is_sent_again_over_a_new_connection(server: Server) -> None:
    dies_once(server)
    async with client_with() as client:
        with pytest.raises(aioreq.ConnectionLost):
            await client.get(f"{server.url}/mortal")
        assert used(server) == [1]


async def test_nothing_is_sent_a_third_time(server: Server) -> None:
    server.route("/mortal", Script((Close(),)))
    async with client_with() as client:
        await client.get(f"{server.url}/get")
        with pytest.raises(aioreq.ConnectionLost):
            await client.get(f"{server.url}/mortal")
        assert used(server) == [1, 1, 2]


async def test_nothing_is_sent_again_once_an_answer_began(server: Server) -> None:
    server.route("/mortal", Script((b"H", Close())))
    async with client_with() as client:
        await client.get(f"{server.url}/get")
        with pytest.raises(aioreq.ConnectionLost) as caught:
            await client.get(f"{server.url}/mortal")
        assert caught.value.response_started
        assert used(server) == [1, 1]


async def test_a_body_that_was_read_isnt_sent_again(server: Server) -> None:
    dies_once(server)

    async def body() -> Any:
        yield b"once"

    async with client_with() as client:
        await client.get(f"{server.url}/get")
        with pytest.raises(aioreq.ConnectionLost):
            await client.put(f"{server.url}/mortal", content=body())
        assert used(server) == [1, 1]


# -- bytes that nobody asked for


@pytest.mark.parametrize("unasked", [EVIL, b"\r\n", b"\x00"])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_bytes_on_an_idle_connection_close_it(secure: bool, unasked: bytes) -> None:
    async with Server(routes=httpbin, tls=secure) as server, aioreq.Client(verify=server.ca or True, retry=0) as client:
        await client.get(f"{server.url}/get")
        assert server.push(unasked) == 1
        await server.until(lambda: not server.connections)
        assert client.pool().open == 0
        assert (await client.post(f"{server.url}/id/1")).text == "1"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_bytes_behind_an_answer_never_reach_the_next_request(server: Server, method: str) -> None:
    server.route("/long", Reply(200, body="" if method == "HEAD" else "ok", extra=EVIL))
    async with client_with(connections=1) as client:
        requests = together(client.request(method, f"{server.url}/long"), *[client.get(f"{server.url}/id/{n}") for n in range(3)])
        _, *answers = await asyncio.gather(*requests)
        assert [answer.text for answer in answers] == ["0", "1", "2"]
        assert used(server) == [1, 2, 2, 2]


@pytest.mark.parametrize("step", [Close(), Reset(), EVIL], ids=["close", "reset", "bytes"])
def test_what_happened_while_the_loop_was_busy_is_seen(step: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that idled for a while is looked at before it is used: a POST couldn't be sent again."""
    monkeypatch.setattr("aioreq.slots.POLL_AFTER", 0)

    async def main() -> None:
        async with client_with() as client:
            await client.get(f"{server.url}/get")
            server.push(step)  # on its own thread, while this loop stands still
            if step != EVIL:
                server.wait(lambda: not server.connections)
            time.sleep(0.01)  # noqa: ASYNC251
            assert (await client.post(f"{server.url}/id/1")).text == "1"
        assert used(server) == [1, 2]

    with Server(routes=httpbin) as server:
        asyncio.run(main())


@pytest.mark.parametrize("step", [HalfClose(), Reset()], ids=["end", "reset"])
def test_over_tls_the_end_alone_is_seen(step: Any, request: pytest.FixtureRequest) -> None:
    """Bytes may be a session ticket there, and say nothing against the connection."""

    async def main() -> None:
        async with aioreq.Client(verify=server.ca or True, retry=0) as client:
            await client.get(f"{server.url}/get")
            assert (await client.post(f"{server.url}/id/0")).text == "0"
            server.push(step)
            time.sleep(0.05)  # noqa: ASYNC251
            assert (await client.post(f"{server.url}/id/1")).text == "1"
        assert used(server) == [1, 1, 2]

    loop = pytest.importorskip("uvloop").new_event_loop if request.config.getoption("--loop") == "uvloop" else asyncio.new_event_loop
    with Server(routes=httpbin, tls=True) as server, asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


class Overeager(asyncio.Protocol):
    """A TLS server that sends bytes, or the end of the connection, together with the end of the handshake."""

    def __init__(self, context: ssl.SSLContext, bytes_first: bool) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.bytes_first = bytes_first
        self.done = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.done:
            return
        self.incoming.write(data)
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
            self.done = True
            if self.bytes_first:
                self.tls.write(EVIL)
            else:
                self.tls.unwrap()
        self.transport.write(self.outgoing.read())

    def eof_received(self) -> None:
        self.transport.abort()


@pytest.mark.parametrize("bytes_first", [True, False], ids=["bytes", "end"])
async def test_a_connection_that_ends_with_its_handshake_gives_its_slot_back(bytes_first: bool) -> None:
    authority = Authority()
    context = authority.server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # there the server speaks last
    listener = await asyncio.get_running_loop().create_server(lambda: Overeager(context, bytes_first), "127.0.0.1", 0)
    url = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    limits = aioreq.Limits(connections=2, idle=0)
    async with listener, aioreq.Client(verify=authority.client_context(), limits=limits, retry=0) as client:
        for _ in range(5):
            with contextlib.suppress(aioreq.ConnectionLost):  # what comes late enough is taken for the answer
                await client.get(url, timeout=aioreq.Timeout(pool=5, read=5))
        assert client.pool().open == 0


# -- what a connection belongs to


async def test_other_tls_settings_are_other_connections(tls_server: Server) -> None:
    assert tls_server.ca is not None
    own = tls_server.client_context()
    async with aioreq.Client(verify=tls_server.ca) as client:
        url = f"{tls_server.url}/get"
        await client.get(url)
        await client.get(url, verify=False)
        await client.get(url, verify=own)
        await client.get(url, verify=True, tls=aioreq.TLS(ca=tls_server.ca))
        await client.get(url, verify=False)
        await client.get(url, verify=own)
        with pytest.raises(aioreq.CertificateError):
            await client.get(url, verify=True)
    first, unverified, by_context, *again = used(tls_server)
    assert len({first, unverified, by_context}) == 3
    assert again == [first, unverified, by_context]


async def test_tls_settings_dont_matter_without_tls(server: Server) -> None:
    async with client_with() as client:
        await client.get(f"{server.url}/get")
        await client.get(f"{server.url}/get", verify=False)
    assert used(server) == [1, 1]


async def test_origins_are_told_apart(server: Server) -> None:
    async with client_with() as client:
        await client.get(f"{server.url}/get")
        await client.get(f"http://localhost:{server.port}/get")
        await client.get(f"http://LOCALHOST:{server.port}/get")
    assert used(server) == [1, 2, 2]


# -- the deadlines of one exchange are not another's


async def test_a_reader_that_wakes_late_leaves_the_next_exchange_alone(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a body wakes its reader; before that one runs, the connection may already serve somebody else."""
    server.route("/stall", Script((Stall(),)))
    more = asyncio.Event()

    async def pieces() -> Any:
        yield b"a"
        await more.wait()
        yield b"b"

    server.route("/pieces", lambda request: Reply(200, [("Content-Length", "2")], pieces()))
    async with client_with() as client, client.stream("GET", f"{server.url}/pieces") as response:
        body = response.iter_bytes()
        assert await anext(body) == b"a"
        receive, tasks = Connection.received, []

        def received(connection: Connection, data: Any, size: int = -1) -> None:
            tasks.extend(together(client.post(f"{server.url}/stall", timeout=aioreq.Timeout(read=0.02))))
            monkeypatch.undo()
            receive(connection, data, size)

        monkeypatch.setattr(Connection, "received", received)
        more.set()
        assert await anext(body) == b"b"
        with pytest.raises(aioreq.ReadTimeout):
            await asyncio.wait_for(tasks[0], 5)
    assert used(server) == [1, 1]


# -- letting go


async def test_a_dropped_rest_is_drained_though_nobody_holds_the_response(server: Server) -> None:
    more = asyncio.Event()

    async def pieces() -> Any:
        yield b"a"
        await more.wait()
        yield b"b"

    server.route("/pieces", lambda request: Reply(200, body=pieces()))

    async def status(client: aioreq.Client) -> int:
        async with client.stream("GET", f"{server.url}/pieces") as response:
            return response.status

    async with client_with() as client:
        assert await status(client) == 200
        gc.collect()
        await turns()
        more.set()
        while client.pool().slots.idle.keys() != client.pool().slots.queue_of.keys():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        await client.get(f"{server.url}/get")
    assert used(server) == [1, 1]


# -- the end of a client


async def test_close_fails_whoever_waits_asks_or_connects(server: Server, gate: Gate) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, deaf_port(deaf) as port:
        client = client_with(connections=2)
        running, connecting, waiting = together(
            client.get(f"{server.url}/held"), client.get(f"http://127.0.0.1:{port}/"), client.get(f"{server.url}/get")
        )
        await gate.until(inside=1)
        await turns()
        pool = client.pool()
        assert (pool.open, pool.waiting) == (2, 1)
        await client.close()
        for request in (running, connecting, waiting):
            with pytest.raises(aioreq.ClientClosed) as caught:
                await asyncio.wait_for(request, 5)
            assert caught.value.request is not None
        assert (pool.open, pool.waiting) == (0, 0)
        await client.close()
        with pytest.raises(aioreq.ClientClosed):
            await client.get(f"{server.url}/get")
        with pytest.raises(aioreq.ClientClosed):
            client.pool()
        await server.until(lambda: not server.connections)
        gate.opened.set()
    assert len(server.requests) == 1


class deaf_port:  # noqa: N801
    """The port of a server that never accepts, its queue full: connections to it are never made."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.callers: list[socket.socket] = []

    def __enter__(self) -> int:
        for _ in range(4):
            caller = socket.socket()
            caller.setblocking(False)
            caller.connect_ex(self.listener.getsockname())
            self.callers.append(caller)
        return int(self.listener.getsockname()[1])

    def __exit__(self, *exc_info: object) -> None:
        for caller in self.callers:
            caller.close()


async def test_close_is_not_made_up_for_by_another_attempt(server: Server, gate: Gate) -> None:
    client = aioreq.Client(retry=aioreq.Retry(attempts=5, backoff=0))
    await client.get(f"{server.url}/get")
    (running,) = together(client.get(f"{server.url}/held"))
    await gate.until(inside=1)
    await client.close()
    with pytest.raises(aioreq.ClientClosed):
        await running
    assert len(server.requests) == 2
    gate.opened.set()


async def test_a_slot_granted_in_the_tick_of_the_close(server: Server, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_with(connections=1)
    held, waits = together(client.get(f"{server.url}/held", headers={"Connection": "close"}), client.get(f"{server.url}/get"))
    await gate.until(inside=1)
    pool, lost = client.pool(), Slots.lost

    def closing(slots: Slots, connection: Connection) -> None:
        lost(slots, connection)  # grants the slot
        pool.close()

    monkeypatch.setattr(Slots, "lost", closing)
    gate.opened.set()
    assert (await held).text == "held"
    with pytest.raises(aioreq.ClientClosed):
        await waits
    assert pool.open == 0
    await client.close()


# -- loops


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_one_loop_after_another(secure: bool) -> None:
    """Connections of a finished loop are gone in silence: no warning, no socket, no use of them."""
    with Server(routes=httpbin, tls=secure) as server:
        client = aioreq.Client(verify=server.ca or True)

        async def main(n: int) -> str:
            await asyncio.gather(*[client.get(f"{server.url}/get") for _ in range(3)])
            return (await client.get(f"{server.url}/id/{n}")).text

        for n in range(3):
            assert asyncio.run(main(n)) == str(n)
            server.wait(lambda: not server.connections)
            gc.collect()
        assert client.connector._pools == {}
        assert server.accepted == 9
        asyncio.run(client.close())
        with pytest.raises(aioreq.ClientClosed):
            asyncio.run(main(4))


def test_a_request_unfinished_when_its_loop_ends() -> None:
    with Server(routes=httpbin) as server:
        client = client_with(connections=1)

        async def leave() -> None:
            background.extend(together(client.get(f"{server.url}/delay/30"), client.get(f"{server.url}/get")))
            while len(server.requests) == 0:  # noqa: ASYNC110
                await asyncio.sleep(0.001)

        background: list[asyncio.Task[Any]] = []
        asyncio.run(leave())
        assert all(task.cancelled() for task in background)
        server.wait(lambda: not server.connections)
        assert asyncio.run(get_text(client, f"{server.url}/id/1")) == "1"
        gc.collect()


async def get_text(client: aioreq.Client, url: str) -> str:
    return (await client.get(url)).text


def test_several_loops_at_once() -> None:
    """Each has connections, and limits, of its own; one close is for all of them."""
    threads, rounds = 4, 20
    answers: dict[int, list[str]] = {}
    outcomes: list[BaseException] = []
    all_done = threading.Barrier(threads + 1, timeout=30)

    with Server(routes=httpbin) as server:
        client = client_with(connections=2)

        async def main(n: int) -> None:
            urls = [f"{server.url}/id/{n}-{m}" for m in range(rounds)]
            answers[n] = await asyncio.gather(*[get_text(client, url) for url in urls])
            assert client.pool().open <= 2
            request = asyncio.ensure_future(client.get(f"{server.url}/delay/30"))
            await server.until(lambda: [r.path for r in server.requests].count("/delay/30") == threads)
            await asyncio.to_thread(all_done.wait)
            try:
                await request
            except aioreq.ClientClosed as error:
                outcomes.append(error)

        running = [threading.Thread(target=asyncio.run, args=(main(n),)) for n in range(threads)]
        for thread in running:
            thread.start()
        all_done.wait()
        asyncio.run(client.close())
        for thread in running:
            thread.join(30)
        assert not any(thread.is_alive() for thread in running)
        assert answers == {n: [f"{n}-{m}" for m in range(rounds)] for n in range(threads)}
        assert len(outcomes) == threads
        assert server.accepted <= 2 * threads
        server.wait(lambda: not server.connections)
