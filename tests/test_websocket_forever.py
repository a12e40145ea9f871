"""`client.websocket_forever`: the connections are lost for real, by a server that drops, refuses or keeps silent."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from relay import Relay
from websocket_server import Peer, Script, WebSocketServer, accept_of, echo, frame, refusal, switching

import aioreq

pytestmark = pytest.mark.timeout(30)

SOON = 0.001  # seconds of backoff where a test doesn't look at it
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"


def in_turn(*answers: bytes) -> Callable[[Peer], bytes]:
    """An upgrade that says these first, and then what is right."""
    left = list(answers)
    return lambda peer: left.pop(0) if left else switching(peer)


async def drop(peer: Peer) -> None:
    """One message, and the connection is gone."""
    await peer.send("hello")
    peer.reset()


async def stay(peer: Peer) -> None:
    await peer.send("hello")
    await echo(peer)


def each(*scripts: Script) -> Script:
    """The first connection goes by the first script, and so on; the last one by any further."""
    left = list(scripts)

    async def script(peer: Peer) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(peer)

    return script


class Backoff:
    """No pause; keeps the numbers that it was asked with."""

    def __init__(self, *seconds: float) -> None:
        self.asked: list[int] = []
        self.seconds = iter(seconds)

    def __call__(self, failed: int) -> float:
        self.asked.append(failed)
        return next(self.seconds, 0)


# -- one after another


async def test_another_one_each_time_the_last_was_lost(client: aioreq.Client) -> None:
    async with WebSocketServer(each(drop, drop, stay)) as server:
        said: list[Any] = []
        async for ws in client.websocket_forever(server.url + "/chat", backoff=SOON):
            try:
                async for message in ws:
                    said.append(message)
                    if len(said) == 3:
                        await ws.send("and me")
                        assert await ws.receive() == "and me"
                        break
            except aioreq.WebSocketClosed:
                assert ws.close_code == 1006
                continue
            break
        assert said == ["hello"] * 3
        peers = await server.ended(3)
        assert [peer.path for peer in peers] == ["/chat"] * 3


async def test_a_connection_that_went_silent_is_followed_by_another_one(client: aioreq.Client) -> None:
    async def silent(peer: Peer) -> None:
        await asyncio.sleep(1000)

    async with WebSocketServer(each(silent, stay)) as server:
        options: Any = {"ping_interval": 0.02, "ping_timeout": 0.02, "close_timeout": 0.02}
        errors = []
        async for ws in client.websocket_forever(server.url, backoff=SOON, **options):
            try:
                assert await ws.receive() == "hello"
            except aioreq.WebSocketClosed as error:
                errors.append(error)
                continue
            break
        assert len(errors) == 1


@pytest.mark.parametrize("attempts", [0, 2])
async def test_connections_that_come_to_nothing_are_attempts_too(client: aioreq.Client, attempts: int) -> None:
    async def goodbye(peer: Peer) -> None:
        await peer.finish(4000, "full")

    async with WebSocketServer(goodbye) as server:
        with pytest.raises(aioreq.WebSocketClosed, match="full") as caught:
            async for ws in client.websocket_forever(server.url, backoff=SOON, attempts=attempts):
                with contextlib.suppress(aioreq.WebSocketClosed):
                    await ws.receive()
        assert caught.value.code == 4000
        assert len(await server.ended(attempts + 1)) == attempts + 1


async def test_a_right_close_is_followed_by_another_one_too(client: aioreq.Client) -> None:
    async def goodbye(peer: Peer) -> None:
        await peer.finish(1001, "restarting")

    async with WebSocketServer(each(goodbye, goodbye, stay)) as server:
        codes = []
        async for ws in client.websocket_forever(server.url, backoff=SOON):
            async for _ in ws:
                break
            if ws.close_code is None:
                break
            codes.append((ws.close_code, ws.close_reason))
        assert codes == [(1001, "restarting")] * 2


async def test_what_the_body_leaves_open_is_closed_before_the_next(client: aioreq.Client) -> None:
    async with WebSocketServer(stay) as server:
        given: list[aioreq.WebSocket] = []
        async for ws in client.websocket_forever(server.url, backoff=SOON):
            assert [one.closed for one in given] == [True] * len(given)
            given.append(ws)
            await ws.receive()
            if len(given) == 3:
                break
        peers = await server.ended(3)
        assert [peer.close for peer in peers[:2]] == [(1000, "")] * 2


async def test_until_the_server_is_there(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    awaited = asyncio.Event()

    def backoff(failed: int) -> float:
        if failed == 3:
            awaited.set()
        return 0.001

    async def start() -> WebSocketServer:
        await awaited.wait()
        return await later.enter_async_context(WebSocketServer(stay, unix=path))

    async with aioreq.Client(unix_socket=path) as client, AsyncExitStack() as later:
        starting = asyncio.create_task(start())
        async for ws in client.websocket_forever("ws://localhost/", backoff=backoff):
            assert await ws.receive() == "hello"
            break
        await (await starting).last()


async def test_options_are_those_of_every_handshake(client: aioreq.Client) -> None:
    def upgrade(peer: Peer) -> bytes:
        return switching(peer, [("Sec-WebSocket-Protocol", "chat")])

    async with WebSocketServer(each(drop, stay), upgrade=upgrade) as server:
        options: Any = {"subprotocols": ["chat"], "headers": {"X-Own": "1"}, "params": {"room": "2"}}
        async for ws in client.websocket_forever(server.url, backoff=SOON, **options):
            assert ws.subprotocol == "chat"
            await ws.receive()
            if len(server.peers) == 2:
                break
        for head in server.heads:
            assert head.startswith(b"GET /?room=2 ")
            assert b"\r\nX-Own: 1\r\n" in head


# -- which failures pass


@pytest.mark.parametrize(
    "answer",
    [
        *(refusal(f"{status} Not Now") for status in (429, 500, 502, 503, 504)),
        b"",  # nothing, and the end
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: webso",
    ],
)
async def test_refusals_that_pass(client: aioreq.Client, answer: bytes) -> None:
    left = [answer, answer]

    def upgrade(peer: Peer) -> bytes:
        if not left:
            return switching(peer)
        said = left.pop()
        if said.endswith(b"\r\n\r\n"):
            return said
        peer.writer.write(said)
        peer.hang_up()
        return b""

    async with WebSocketServer(stay, upgrade=upgrade) as server:
        async for ws in client.websocket_forever(server.url, backoff=SOON):
            assert await ws.receive() == "hello"
            break
        assert len(server.heads) == 3


async def test_a_server_that_keeps_silent_passes(client: aioreq.Client) -> None:
    accepted = 0

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    with pytest.raises(aioreq.ReadTimeout):
        async for _ in client.websocket_forever(url, backoff=SOON, attempts=2, timeout=aioreq.Timeout(read=0.05)):
            pytest.fail("there was no handshake")
    assert accepted == 3
    listener.close()
    await listener.wait_closed()


@pytest.mark.parametrize(("answer", "tries"), [(b"HTTP/1.1 502 Bad Gateway\r\n\r\n", 3), (b"HTTP/1.1 403 Forbidden\r\n\r\n", 1)])
async def test_refusals_of_a_proxy(answer: bytes, tries: int) -> None:
    async with Relay() as relay, aioreq.Client(proxy=aioreq.Proxy(relay.url, tunnel=True)) as client:
        relay.answer = answer
        with pytest.raises(aioreq.ProxyError):
            async for _ in client.websocket_forever("ws://127.0.0.1:1/", backoff=SOON, attempts=2):
                pytest.fail("there is no way through")
        assert relay.accepted == tries


@pytest.mark.parametrize(
    "answer",
    [
        *(refusal(f"{status} No") for status in (400, 401, 403, 404, 410, 426)),
        refusal("204 No Content"),
        OK,
        b"nonsense\r\n\r\n",
    ],
)
async def test_refusals_that_are_final(client: aioreq.Client, answer: bytes) -> None:
    async with WebSocketServer(upgrade=lambda peer: answer) as server:
        sockets = client.websocket_forever(server.url, backoff=SOON)
        with pytest.raises((aioreq.WebSocketRefused, aioreq.RemoteProtocolError)) as raised:
            await anext(sockets)
        assert len(server.heads) == 1
        assert raised.value.attempts == ()
        with pytest.raises(StopAsyncIteration):
            await anext(sockets)


async def test_a_wrong_handshake_is_final(client: aioreq.Client) -> None:
    async with WebSocketServer(upgrade=lambda peer: switching(peer, accept=[accept_of("another key")])) as server:
        with pytest.raises((aioreq.WebSocketRefused, aioreq.RemoteProtocolError)):
            await anext(client.websocket_forever(server.url, backoff=SOON))
        assert len(server.heads) == 1


@pytest.mark.parametrize(
    ("options", "url", "error"),
    [
        ({}, "nowhere", aioreq.InvalidURL),
        ({}, "ftp://127.0.0.1/", aioreq.InvalidURL),
        ({"guard": aioreq.PublicOnly()}, "ws://127.0.0.1:1/", aioreq.GuardError),
    ],
)
async def test_our_own_refusals_are_final(options: Any, url: str, error: type[aioreq.AioreqError]) -> None:
    backoff = Backoff()
    async with aioreq.Client(**options) as client:
        with pytest.raises(error):
            await anext(client.websocket_forever(url, backoff=backoff))
    assert backoff.asked == []


async def test_a_wrong_certificate_is_final(tls_server: Any) -> None:
    backoff = Backoff()
    async with aioreq.Client() as client:
        with pytest.raises(aioreq.CertificateError):
            await anext(client.websocket_forever(tls_server.url.replace("https", "wss"), backoff=backoff))
    assert backoff.asked == []


# -- how often, and after how long


async def test_attempts_are_those_in_a_row_after_the_first(client: aioreq.Client) -> None:
    backoff = Backoff()
    answers = [refusal("503 Busy"), refusal("503 Busy"), None, *[refusal("503 Busy")] * 9]

    def upgrade(peer: Peer) -> bytes:
        return answers.pop(0) or switching(peer)

    async with WebSocketServer(drop, upgrade=upgrade) as server:
        opened = 0
        with pytest.raises(aioreq.WebSocketRefused) as raised:
            async for ws in client.websocket_forever(server.url, backoff=backoff, attempts=2):
                opened += 1
                assert await ws.receive() == "hello"
        assert opened == 1
        assert len(server.heads) == 3 + 3
        error = raised.value
        told = [line.split(":")[0] for line in error.attempts]
        assert told == [
            "attempt 1 in a row",
            "attempt 2 in a row",
            "3 attempts in a row came to nothing",
        ]
        assert "503" in error.attempts[0]
        assert error.__notes__ == list(error.attempts)
    assert backoff.asked == [1, 2, 1, 1, 2]


async def test_only_the_latest_failures_are_kept(client: aioreq.Client) -> None:
    with pytest.raises(aioreq.ConnectError) as raised:
        await anext(client.websocket_forever("ws://127.0.0.1:1/", backoff=Backoff(), attempts=30))
    assert raised.value.attempts[0].startswith("attempt 21 in a row: ConnectError: ")
    assert raised.value.attempts[-1] == "31 attempts in a row came to nothing"


async def test_what_failed_is_told_in_short(client: aioreq.Client) -> None:
    async with WebSocketServer(upgrade=in_turn(*[refusal("503 Busy" + " so busy" * 100)] * 2)) as server:
        with pytest.raises(aioreq.WebSocketRefused) as raised:
            await anext(client.websocket_forever(server.url, backoff=0, attempts=1))
        assert len(raised.value.attempts[0]) < 300
        assert raised.value.attempts[0].endswith("...")


async def test_no_other_attempt(client: aioreq.Client) -> None:
    backoff = Backoff()
    with pytest.raises(aioreq.ConnectError):
        await anext(client.websocket_forever("ws://127.0.0.1:1/", backoff=backoff, attempts=0))
    assert backoff.asked == []


async def test_connections_that_bring_nothing_count_as_failures(client: aioreq.Client) -> None:
    async def crash(peer: Peer) -> None:
        await peer.write(frame(9, b"a ping is no message"))
        await peer.finish(1011)

    backoff = Backoff()
    async with WebSocketServer(each(crash, crash, crash, drop, crash, crash, stay)) as server:
        async for ws in client.websocket_forever(server.url, backoff=backoff):
            try:
                await ws.receive()
            except aioreq.WebSocketClosed:
                continue
            if len(server.peers) == 7:
                break
    assert backoff.asked == [1, 2, 3, 1, 1, 2]


async def test_a_connection_that_lasted_has_worked(client: aioreq.Client) -> None:
    async def listen(peer: Peer) -> None:
        await peer.read_frame()
        peer.reset()

    backoff = Backoff()
    async with WebSocketServer(listen) as server:
        async for ws in client.websocket_forever(server.url, backoff=backoff, max_wait=0.02):
            await asyncio.sleep(0.03)
            if len(server.peers) == 4:
                break
            await ws.send("hello")
            with pytest.raises(aioreq.WebSocketClosed):
                await ws.receive()
    assert backoff.asked == [1, 1, 1]


async def test_no_pause_before_the_first(client: aioreq.Client) -> None:
    async with WebSocketServer(stay) as server:
        backoff = Backoff(1000)
        ws = await anext(client.websocket_forever(server.url, backoff=backoff))
        assert backoff.asked == []
        await ws.close()


async def test_retry_after_is_waited_for(client: aioreq.Client) -> None:
    answers = [refusal("503 Busy", b"", ("Retry-After", "1")), *[refusal("503 Busy")] * 9]
    async with WebSocketServer(stay, upgrade=in_turn(*answers)) as server:
        began = time.monotonic()
        async for _ in client.websocket_forever(server.url, backoff=0):
            break
        assert 0.99 <= time.monotonic() - began < 8  # once
        assert len(server.heads) == 11


async def test_max_wait_bounds_every_pause(client: aioreq.Client) -> None:
    async with WebSocketServer(stay, upgrade=in_turn(refusal("503 Busy", b"", ("Retry-After", "1000")), refusal("502 Bad"))) as server:
        async for _ in client.websocket_forever(server.url, backoff=Backoff(0, 1000), max_wait=0.01):
            break
        assert len(server.heads) == 3


async def test_the_request_s_own_retry_is_not_in_between(client: aioreq.Client) -> None:
    """Else each attempt would be three."""
    async with WebSocketServer(upgrade=in_turn(*[refusal("503 Busy")] * 9), checked=False) as server:
        retry = aioreq.Retry(statuses=aioreq.Retry.TRANSIENT, backoff=0)
        async with aioreq.Client(retry=retry) as own:
            with pytest.raises(aioreq.WebSocketRefused):
                await anext(own.websocket_forever(server.url, backoff=0, attempts=1))
            assert len(server.heads) == 2
            with pytest.raises(aioreq.WebSocketRefused):
                await anext(own.websocket_forever(server.url, backoff=0, attempts=1, retry=retry))
            assert len(server.heads) == 2 + 6


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"attempts": -1}, ValueError),
        ({"attempts": 1.5}, TypeError),
        ({"attempts": True}, TypeError),
        ({"backoff": -1}, ValueError),
        ({"backoff": None}, TypeError),
        ({"backoff": float("nan")}, ValueError),
        ({"max_wait": float("inf")}, ValueError),
        ({"max_wait": "1"}, TypeError),
        ({"subprotocols": "chat"}, TypeError),
        ({"ping_interval": 0}, ValueError),
        ({"content": b""}, TypeError),
        ({"nothing": 1}, TypeError),
    ],
)
async def test_wrong_options_are_told_at_once(client: aioreq.Client, options: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(options))):
        client.websocket_forever("ws://127.0.0.1:1/", **options)


# -- leaving


class Own(Exception):
    pass


async def leave_by_break(sockets: Any) -> Any:
    async for ws in sockets:  # noqa: B007
        break
    return ws


async def leave_by_error(sockets: Any) -> Any:
    given = []
    with pytest.raises(Own):
        async for ws in sockets:
            given.append(ws)
            raise Own
    return given[0]


async def leave_cancelled(sockets: Any) -> Any:
    entered = asyncio.get_running_loop().create_future()

    async def work(sockets: Any) -> None:
        async for ws in sockets:
            entered.set_result(ws)
            await ws.receive()
            await ws.receive()

    task = asyncio.create_task(work(sockets))
    del sockets
    ws = await entered
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return ws


@pytest.mark.parametrize("leave", [leave_by_break, leave_by_error, leave_cancelled])
async def test_leaving_the_loop_closes_the_socket(client: aioreq.Client, leave: Callable[[Any], Awaitable[Any]]) -> None:
    async with WebSocketServer(stay) as server:
        ws = await leave(client.websocket_forever(server.url))
        peer = await server.last()  # while the WebSocket itself is still held here
        assert peer.close == (1001, "")
        assert ws.closed


async def test_the_error_of_the_body_is_the_one_that_comes_out(client: aioreq.Client) -> None:
    own = Own()
    async with WebSocketServer(stay) as server:
        with pytest.raises(Own) as raised:
            async for _ in client.websocket_forever(server.url):
                raise own
        assert raised.value is own
        assert own.__context__ is None
        await server.last()


async def test_a_loss_that_the_body_lets_through_ends_the_loop(client: aioreq.Client) -> None:
    async with WebSocketServer(drop) as server:
        with pytest.raises(aioreq.WebSocketClosed):
            async for ws in client.websocket_forever(server.url, backoff=SOON):
                async for _ in ws:
                    pass
        await server.last()


async def test_an_iterator_that_is_kept_goes_on(client: aioreq.Client) -> None:
    async with WebSocketServer(stay) as server:
        sockets = client.websocket_forever(server.url, backoff=SOON)
        first = await leave_by_break(sockets)
        assert not first.closed
        second = await leave_by_break(sockets)
        assert first.closed
        await sockets.close()
        assert second.closed
        with pytest.raises(StopAsyncIteration):
            await anext(sockets)
        await sockets.close()
        assert [peer.close for peer in await server.ended(2)] == [(1000, "")] * 2


async def test_it_is_no_asynchronous_generator(client: aioreq.Client) -> None:
    """Which would be closed some time later, by the loop, and not at all where that has ended."""
    born: list[Any] = []
    hooks = sys.get_asyncgen_hooks()
    async with WebSocketServer(stay) as server:
        sockets: Any = client.websocket_forever(server.url)
        assert aiter(sockets) is sockets
        assert not inspect.isasyncgen(sockets)
        client.pool()  # whose own generator, which tells it the loop's end, is there now
        sys.set_asyncgen_hooks(firstiter=born.append)
        try:
            await leave_by_break(sockets)
        finally:
            sys.set_asyncgen_hooks(*hooks)
        assert born == []


@pytest.mark.no_loop
def test_the_loop_may_end_first() -> None:
    """The iterator outlives its event loop, with a WebSocket still open."""

    async def main() -> tuple[Any, Any]:
        async with WebSocketServer(stay) as server:
            client = aioreq.Client()
            sockets = client.websocket_forever(server.url)
            return sockets, await anext(sockets)

    left = asyncio.run(main())
    del left


# -- cancelled, and closed


async def cancelled(sockets: Any, waiting: Callable[[], bool]) -> None:
    """The next one, cancelled once `waiting` says so."""
    task = asyncio.ensure_future(anext(sockets))
    while not waiting():
        assert not task.done(), task.result()
        await asyncio.sleep(0.001)
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_during_a_pause(client: aioreq.Client) -> None:
    backoff = Backoff(1000)
    await cancelled(client.websocket_forever("ws://127.0.0.1:1/", backoff=backoff, max_wait=1000), lambda: backoff.asked == [1])
    assert not client.pool()._asleep


async def test_cancelled_during_the_handshake(client: aioreq.Client) -> None:
    asked = asyncio.Event()

    def upgrade(peer: Peer) -> bytes:
        asked.set()
        return b""

    async with WebSocketServer(upgrade=upgrade) as server:
        await cancelled(client.websocket_forever(server.url), asked.is_set)
        await server.last()


async def test_cancelled_while_the_last_one_closes(client: aioreq.Client) -> None:
    closed = asyncio.Event()

    async def deaf(peer: Peer) -> None:
        await peer.until_close()
        closed.set()
        await asyncio.sleep(1000)

    async with WebSocketServer(deaf) as server:
        sockets = client.websocket_forever(server.url)
        await anext(sockets)
        await cancelled(sockets, closed.is_set)
        assert client.stats().open == 0


async def test_after_a_cancelled_wait_it_goes_on(client: aioreq.Client) -> None:
    backoff = Backoff(1000)
    async with WebSocketServer(stay, upgrade=in_turn(refusal("503 Busy"))) as server:
        sockets = client.websocket_forever(server.url, backoff=backoff, max_wait=1000)
        await cancelled(sockets, lambda: backoff.asked == [1])
        ws = await anext(sockets)
        assert await ws.receive() == "hello"


async def test_the_client_is_closed_during_a_pause(client: aioreq.Client) -> None:
    asked = asyncio.Event()

    def backoff(failed: int) -> float:
        asked.set()
        return 1000

    waiting = asyncio.ensure_future(anext(client.websocket_forever("ws://127.0.0.1:1/", backoff=backoff, max_wait=1000)))
    await asked.wait()
    await asyncio.sleep(0)
    await client.close()
    with pytest.raises(aioreq.ClientClosed) as raised:
        await waiting
    assert "ConnectError" in raised.value.attempts[0]


async def test_the_client_is_closed_while_a_socket_is_open(client: aioreq.Client) -> None:
    async with WebSocketServer(stay) as server:
        given = 0
        with pytest.raises(aioreq.ClientClosed):
            async for ws in client.websocket_forever(server.url):
                given += 1
                await client.close()
                with pytest.raises(aioreq.AioreqError):
                    while True:
                        await ws.receive()
        assert given == 1


async def test_two_tasks_on_one_iterator(client: aioreq.Client) -> None:
    sockets = client.websocket_forever("ws://127.0.0.1:1/", backoff=1000, max_wait=1000)
    waiting = asyncio.ensure_future(anext(sockets))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="another task"):
        await anext(sockets)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
