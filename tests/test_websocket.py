"""The WebSocket that a user holds: messages both ways, the closing from either side, its deadlines, and what a cancellation leaves behind.

The servers keep the rules here (websocket_server.py, from the RFCs alone); those that break them are in test_websocket_rules.py.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, cast

import pytest
from websocket_server import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Deflating,
    Peer,
    WebSocketServer,
    closing,
    echo,
    fragments,
    frame,
    refusal,
    saying,
    switching,
)

import aioreq
from aioreq import Client, InvalidHeader, InvalidURL, ReadTimeout, RedirectRefused, WebSocketClosed, WebSocketRefused
from aioreq.response_body import HIGH_WATER
from aioreq.testing import Authority
from aioreq.websocket.handshake import WebSocketContext
from aioreq.websocket.link import WebSocketOptions
from aioreq.websocket.permessage_deflate import Deflate

pytestmark = pytest.mark.usefixtures("no_hanging")

MIB = 1 << 20


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """In the end no connection is open, and no slot is taken."""
    async with Client(timeout=10, retry=0, limits=aioreq.Limits(connections=2)) as client:
        yield client
        await freed(client)


async def freed(client: Client) -> None:
    async with asyncio.timeout(5):
        while client.stats().open:  # noqa: ASYNC110 (nothing tells)
            await asyncio.sleep(0.001)


async def until(reached: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110 (nothing tells)
            await asyncio.sleep(0.001)


async def gone(peer: Peer) -> None:
    """A script that never reads: it ends with the connection."""
    await asyncio.sleep(60)


# -- messages


async def test_an_echo_of_each_kind(client: Client) -> None:
    async with WebSocketServer() as server, client.websocket(server.url) as ws:
        for message in ("", "text", "κόσμε", b"", b"bytes", b"x" * 70_000, "ü" * 70_000):
            await ws.send(message)
            assert await ws.receive() == message
        for given in (bytearray(b"abc"), memoryview(b"abc"), type("Own", (bytes,), {})(b"abc")):
            await ws.send(given)
            assert await ws.receive() == b"abc"
        await ws.send_json({"a": ["ü", None]})
        assert await ws.receive_json() == {"a": ["ü", None]}
    assert {one.opcode for one in server.peers[0].frames} == {TEXT, BINARY, CLOSE}


async def test_awaited_and_closed_by_hand(client: Client) -> None:
    async with WebSocketServer() as server:
        ws = await client.websocket(server.url)
        assert (ws.closed, ws.close_code, ws.response.status, ws.request.method) == (False, None, 101, "GET")
        assert repr(ws) == "<WebSocket 127.0.0.1>"
        await ws.close(4000, "enough")
        assert (ws.closed, ws.close_code, ws.close_reason) == (True, 4000, "enough")
        assert repr(ws) == "<WebSocket 127.0.0.1 closed>"
        await ws.close()
        assert (await server.last()).close == (4000, "enough")


async def test_many_messages_in_their_order(client: Client) -> None:
    """Sent without a pause, so that frames are gathered; a ping among them."""
    async with WebSocketServer() as server, client.websocket(server.url) as ws:
        wanted = [b"%d " % number + bytes(number % 700) for number in range(3000)]

        async def send() -> None:
            for message in wanted:
                await ws.send(message)

        sending = asyncio.ensure_future(send())
        assert await ws.ping() > 0
        assert [await ws.receive() for _ in wanted] == wanted
        await sending


async def test_what_was_sent_goes_out_before_the_close(client: Client) -> None:
    async with WebSocketServer(gone) as server:
        server.script = collecting
        async with client.websocket(server.url) as ws:
            for number in range(100):
                await ws.send(str(number))
        peer = await server.last()
        assert [one.payload for one in peer.frames[:-1]] == [b"%d" % number for number in range(100)]
        assert peer.close == (1000, "")


async def collecting(peer: Peer) -> None:
    await peer.until_close()
    await peer.write(closing())
    peer.hang_up()


async def test_a_message_of_pieces(client: Client) -> None:
    async with WebSocketServer() as server, client.websocket(server.url) as ws:

        async def pieces() -> AsyncIterator[bytes]:
            for piece in (b"a", b"", b"bc"):
                await asyncio.sleep(0)
                yield piece

        await ws.send(pieces())
        assert await ws.receive() == b"abc"
        await ws.send(["ä", "b"])
        assert await ws.receive() == "äb"
        await ws.send(iter([b""]))
        assert await ws.receive() == b""
        sent = [(one.opcode, one.payload, one.fin) for one in server.peers[0].frames]
    assert sent[:3] == [(BINARY, b"a", False), (CONTINUATION, b"bc", False), (CONTINUATION, b"", True)]


async def test_other_messages_wait_for_the_last_piece(client: Client) -> None:
    async with WebSocketServer() as server, client.websocket(server.url) as ws:
        more = asyncio.Event()

        async def pieces() -> AsyncIterator[str]:
            yield "a"
            await more.wait()
            yield "b"

        first = asyncio.ensure_future(ws.send(pieces()))
        await until(lambda: server.peers[0].frames)
        second = asyncio.ensure_future(ws.send("second"))
        assert await ws.ping() > 0  # control frames don't wait
        assert not second.done()
        more.set()
        await first
        await second
        assert [await ws.receive(), await ws.receive()] == ["ab", "second"]


@pytest.mark.parametrize("how", ["error", "cancelled", "types"])
async def test_a_message_that_is_broken_off_ends_the_connection(client: Client, how: str) -> None:
    async def pieces() -> AsyncIterator[str | bytes]:
        yield "a"
        if how == "error":
            raise OSError("the disk")
        if how == "types":
            yield b"b"
        await asyncio.sleep(60)

    async with WebSocketServer() as server, client.websocket(server.url) as ws:
        sending = asyncio.ensure_future(ws.send(pieces()))
        await until(lambda: server.peers[0].frames)
        sending.cancel() if how == "cancelled" else None
        with pytest.raises({"error": OSError, "types": TypeError, "cancelled": asyncio.CancelledError}[how]):
            await sending
        assert ws.closed
        with pytest.raises(WebSocketClosed, match="a message was begun, and its end never sent"):
            await ws.receive()
        assert (await server.last()).close == (1001, "")


async def test_pieces_that_fail_before_the_first(client: Client) -> None:
    """Nothing was sent, and nothing ends."""

    def failing() -> Iterator[str]:
        yield from [str(1 // 0)]

    async with WebSocketServer() as server, client.websocket(server.url) as ws:
        with pytest.raises(ZeroDivisionError):
            await ws.send(failing())
        with pytest.raises(ValueError, match="no pieces"):
            await ws.send([])
        await ws.send("x")
        assert await ws.receive() == "x"


async def test_compressed_messages(client: Client) -> None:
    async with WebSocketServer(deflate=Deflating()) as server, client.websocket(server.url, compression=Deflate(min_size=10)) as ws:
        assert ws.compressed
        for message in ("short", "ü" * 5000, os.urandom(3 * MIB), b"", "ü" * 5000):
            await ws.send(message)
            assert await ws.receive() == message
        frames = server.peers[0].frames
        assert not frames[0].compressed
        assert frames[1].compressed
        assert len([one for one in frames if one.opcode == CONTINUATION]) == 2  # of the 3 MiB, by steps of one


async def test_subprotocols(client: Client) -> None:
    def upgrade(peer: Peer) -> bytes:
        assert peer.fields["sec-websocket-protocol"] == ["chat.v2, chat.v1"]
        return switching(peer, [("Sec-WebSocket-Protocol", "chat.v1")])

    async with WebSocketServer(upgrade=upgrade) as server, client.websocket(server.url, subprotocols=["chat.v2", "chat.v1"]) as ws:
        assert ws.subprotocol == "chat.v1"


@pytest.mark.parametrize("message", [5, None, {"a": 1}, [1], [{"a": 1}]])
async def test_what_is_no_message(client: Client, message: Any) -> None:
    async with WebSocketServer() as server, client.websocket(server.url) as ws:
        with pytest.raises(TypeError, match="WebSocket.send"):
            await ws.send(message)
        await ws.send("x")
        assert await ws.receive() == "x"


async def test_json_that_is_none(client: Client) -> None:
    async with WebSocketServer() as server, client.websocket(server.url) as ws:
        with pytest.raises(ValueError, match="JSON compliant"):
            await ws.send_json(float("nan"))
        await ws.send("{")
        with pytest.raises(aioreq.DecodeError, match="1 bytes is no JSON") as caught:
            await ws.receive_json()
        assert caught.value.partial == b"{"


# -- receiving


async def test_a_time_limit_loses_nothing(client: Client) -> None:
    async def script(peer: Peer) -> None:
        await peer.write(frame(TEXT, "hä".encode()[:2], fin=False))
        await peer.message()
        await peer.write(frame(CONTINUATION, "hä".encode()[2:]))
        await collecting(peer)

    async with WebSocketServer(script) as server, client.websocket(server.url) as ws:
        for _ in range(3):
            with pytest.raises(ReadTimeout, match=r"127.0.0.1:\d+ sent (no message|nothing more of a message that it had begun) within 0"):
                await ws.receive(timeout=0.02)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await ws.receive()
        await ws.send("go on")
        assert await ws.receive(timeout=5) == "hä"


async def test_cancelled_at_any_moment_no_message_is_lost(client: Client) -> None:
    async def script(peer: Peer) -> None:
        for number in range(300):
            await peer.dribble(b"".join([frame(TEXT, b"%d" % number), fragments(BINARY, [b"%d" % number, b"!"])]), [3, 4])
        await collecting(peer)

    async with WebSocketServer(script) as server, client.websocket(server.url) as ws:
        got: list[str | bytes] = []
        turns = 0
        while len(got) < 600:
            receiving = asyncio.ensure_future(ws.receive())
            for _ in range(turns % 5):
                await asyncio.sleep(0)
            turns += 1
            receiving.cancel()
            try:
                got.append(await receiving)
            except asyncio.CancelledError:
                pass
            if turns % 50 == 0:
                got.append(await ws.receive())
        assert got == [one for number in range(300) for one in (str(number), b"%d!" % number)]


async def test_one_task_receives(client: Client) -> None:
    async with WebSocketServer() as server, client.websocket(server.url) as ws:
        first = asyncio.ensure_future(ws.receive())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="two tasks"):
            await ws.receive()
        with pytest.raises(RuntimeError, match="two tasks"):
            await anext(ws.receive_pieces())
        await ws.send("x")
        assert await first == "x"


async def test_a_message_by_pieces(client: Client) -> None:
    text = "κόσμε" * 1000
    wire = [frame(TEXT), fragments(TEXT, [text.encode()[at : at + 7] for at in range(0, len(text.encode()), 7)]), frame(BINARY, b"end")]
    async with WebSocketServer(saying(*wire)) as server, client.websocket(server.url, close_timeout=0) as ws:
        assert [piece async for piece in ws.receive_pieces()] == [""]
        assert "".join([str(piece) async for piece in ws.receive_pieces()]) == text
        assert [piece async for piece in ws.receive_pieces()] == [b"end"]


async def test_a_message_that_is_left_is_skipped(client: Client) -> None:
    wire = [fragments(TEXT, [b"a", b"b", b"c"]), frame(TEXT, b"next"), fragments(TEXT, [b"d", b"e"]), fragments(TEXT, [b"f", b"g"])]
    async with WebSocketServer(saying(*wire)) as server, client.websocket(server.url, close_timeout=0) as ws:
        pieces = ws.receive_pieces()
        assert await anext(pieces) == "a"
        assert await ws.receive() == "next"
        with pytest.raises(RuntimeError, match="dropped when the next one was asked for"):
            await anext(pieces)
        assert await anext(ws.receive_pieces()) == "d"
        assert [piece async for piece in ws.receive_pieces()] == ["f", "g"]


# -- pings


async def test_pings_by_themselves(client: Client) -> None:
    async with WebSocketServer() as server, client.websocket(server.url, ping_interval=0.02) as ws:
        assert repr(ws.latency) == "None"
        receiving = asyncio.ensure_future(ws.receive())
        await until(lambda: len([one for one in server.peers[0].frames if one.opcode == PING]) > 3)
        assert 0 < (ws.latency or 0) < 5
        await ws.send("x")
        assert await receiving == "x"


async def test_a_ping_that_nobody_answers(client: Client) -> None:
    async def script(peer: Peer) -> None:
        while await peer.message(pong=False) is not None:
            pass

    async with WebSocketServer(script) as server:
        ws = await client.websocket(server.url, ping_interval=0.05, ping_timeout=0.05)
        with pytest.raises(WebSocketClosed, match=r"127.0.0.1:\d+ answered no ping, and sent nothing else, for 0.05 s") as caught:
            await ws.receive()
        assert (caught.value.code, caught.value.request) == (1006, ws.request)
        assert isinstance(caught.value.__cause__, ReadTimeout)
        assert caught.value.__cause__.request is ws.request
        with pytest.raises(WebSocketClosed, match="given up by this side.*answered no ping"):
            await ws.send("x")
        assert ws.close_code == 1006
        await ws.close()
        assert (await server.last()).close == (1011, "")


@pytest.mark.parametrize("seconds", [-1, float("nan")])
async def test_limits_that_are_none(client: Client, seconds: float) -> None:
    async with WebSocketServer() as server, client.websocket(server.url) as ws:
        for waiting in (ws.receive, ws.receive_json, ws.ping):
            with pytest.raises(ValueError, match="timeout"):
                await waiting(timeout=seconds)


async def test_a_ping_with_a_limit(client: Client) -> None:
    async def script(peer: Peer) -> None:
        while await peer.message(pong=False) is not None:
            pass
        await peer.write(closing())
        peer.hang_up()

    async with WebSocketServer(script) as server, client.websocket(server.url) as ws:
        with pytest.raises(ReadTimeout, match="no ping within 0.02 s"):
            await ws.ping(timeout=0.02)
        waiting = asyncio.ensure_future(ws.ping())
        await asyncio.sleep(0)
        await ws.close()
        with pytest.raises(WebSocketClosed):
            await waiting
        with pytest.raises(WebSocketClosed):
            await ws.ping()


async def test_a_reader_that_takes_its_time_is_no_dead_server(client: Client) -> None:
    """While nothing is read here no pong can be seen."""

    async def script(peer: Peer) -> None:
        await peer.write(frame(BINARY, bytes(8 * MIB)), frame(TEXT, b"end"))
        await echo(peer)

    async with WebSocketServer(script) as server, client.websocket(server.url, ping_interval=0.02, ping_timeout=0.02) as ws:
        await asyncio.sleep(0.3)
        assert len(await ws.receive()) == 8 * MIB
        assert await ws.receive() == "end"


# -- closing


@pytest.mark.parametrize("code", [1000, 1001, None])
async def test_the_server_closes_in_order(client: Client, code: int | None) -> None:
    async with WebSocketServer(lambda peer: peer.finish(code, "bye" if code else "")) as server, client.websocket(server.url) as ws:
        assert [message async for message in ws] == []
        assert (ws.close_code, ws.close_reason) == (code or 1005, "bye" if code else "")
        with pytest.raises(WebSocketClosed) as caught:
            await ws.receive()
        assert caught.value.code == (code or 1005)
        assert (await server.last()).close == (code or 1005, "")


@pytest.mark.parametrize("begun", [frame(TEXT, b"beg", fin=False), frame(BINARY, fin=False), frame(TEXT, b"a", fin=False) + frame(PING)])
@pytest.mark.parametrize("code", [1000, 1001, None, 4000])
async def test_the_server_closes_amid_a_message(client: Client, begun: bytes, code: int | None) -> None:
    """Section 5.5.1: behind a Close no data frame may follow, so that this message never ends. Who waits for it must be told."""

    async def script(peer: Peer) -> None:
        await peer.write(frame(TEXT, b"whole"), begun)
        await peer.finish(code)

    async with WebSocketServer(script) as server:
        async with client.websocket(server.url) as ws:
            got = []
            with pytest.raises(WebSocketClosed, match=rf"closed the WebSocket \({code or 1005}\), in the middle of a message") as caught:
                async for message in ws:
                    got.append(message)  # noqa: PERF401 (what came before the error counts)
            assert (got, caught.value.code, ws.close_code) == (["whole"], code or 1005, code or 1005)
            with pytest.raises(WebSocketClosed, match="in the middle of a message"):
                await ws.receive()
            assert (await server.last()).close == (code or 1005, "")  # a right one, which is answered (section 7.1.5)
        async with client.websocket(server.url) as ws:
            assert await ws.receive() == "whole"
            with pytest.raises(WebSocketClosed, match="in the middle of a message"):
                async for piece in ws.receive_pieces():
                    assert piece in ("beg", "a")


async def test_a_message_that_our_own_close_cuts_off_is_no_error(client: Client) -> None:
    async def script(peer: Peer) -> None:
        await peer.write(frame(TEXT, b"beg", fin=False))
        await peer.until_close()
        await peer.write(closing())
        peer.hang_up()

    async with WebSocketServer(script) as server, client.websocket(server.url) as ws:
        reading = asyncio.ensure_future(anext(ws, "the end"))
        await asyncio.sleep(0.01)
        await ws.close()
        assert await reading == "the end"


async def test_the_server_closes_behind_its_messages(client: Client) -> None:
    async def script(peer: Peer) -> None:
        await peer.write(frame(TEXT, b"1"), frame(TEXT, b"2"))
        await peer.finish(4000, "enough")

    async with WebSocketServer(script) as server, client.websocket(server.url) as ws:
        await server.last()
        got = []
        with pytest.raises(WebSocketClosed, match=r"closed the WebSocket \(4000, 'enough'\), 0\.\d+ s after the handshake") as caught:
            async for message in ws:
                got.append(message)  # noqa: PERF401 (what came before the error counts)
        assert got == ["1", "2"]
        assert (caught.value.code, caught.value.reason, caught.value.request) == (4000, "enough", ws.request)
        with pytest.raises(WebSocketClosed):
            await ws.send("x")


@pytest.mark.parametrize("how", ["hang_up", "reset"])
async def test_a_connection_that_is_lost(client: Client, how: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.message()
        getattr(peer, how)()

    async with WebSocketServer(script) as server, client.websocket(server.url) as ws:
        await ws.send("x")
        with pytest.raises(WebSocketClosed, match="lost without a close frame") as caught:
            await ws.receive()
        assert (caught.value.code, ws.close_code) == (1006, 1006)
        assert isinstance(caught.value, aioreq.ConnectionLost)


async def test_our_close_ends_the_loop_of_a_reader(client: Client) -> None:
    async with WebSocketServer() as server:
        ws = await client.websocket(server.url)

        async def read() -> list[str | bytes]:
            return [message async for message in ws]

        reading = asyncio.ensure_future(read())
        await ws.send("x")
        await ws.ping()
        await ws.close(4321)
        assert await reading == ["x"]


async def test_a_server_that_answers_no_close(client: Client) -> None:
    async with WebSocketServer(saying()) as server:
        ws = await client.websocket(server.url, close_timeout=0.05)
        await ws.close()
        assert ws.close_code == 1006
        with pytest.raises(WebSocketClosed, match="closed by this side.*no close frame came back"):
            await ws.receive()


async def test_a_server_that_never_ends_the_connection(client: Client) -> None:
    """After the close frames it is the server's turn (section 7.1.1); we don't wait for ever."""
    async with WebSocketServer(saying(closing(1000))) as server:
        ws = await client.websocket(server.url, close_timeout=0.05)
        with pytest.raises(WebSocketClosed) as caught:
            await ws.receive()
        assert caught.value.code == 1000
        await freed(client)


async def test_closing_while_the_server_floods(client: Client) -> None:
    """What nobody reads any more is dropped, so that the server's close frame is found behind it."""

    async def script(peer: Peer) -> None:
        async def flood() -> None:
            for _ in range(64):
                await peer.write(frame(BINARY, bytes(MIB // 4)))

        flooding = asyncio.ensure_future(flood())
        code, _ = await peer.until_close()
        await flooding
        await peer.write(closing(code))
        peer.hang_up()

    async with WebSocketServer(script) as server:
        ws = await client.websocket(server.url)
        await until(lambda: ws._inbox.paused)
        await ws.close(3000)
        assert ws.close_code == 3000


async def test_a_client_that_is_closed_says_goodbye() -> None:
    """Behind all that was sent, which goes out at the end of a turn."""
    async with WebSocketServer(saying()) as server:
        async with Client() as client:
            ws = await client.websocket(server.url)
            receiving = asyncio.ensure_future(ws.receive())
            await asyncio.sleep(0)
            for number in range(5):
                await ws.send(str(number))
        with pytest.raises(WebSocketClosed, match="given up by this side.*its client was closed"):
            await receiving
        peer = await server.last()
        assert [one.payload for one in peer.frames[:-1]] == [b"0", b"1", b"2", b"3", b"4"]
        assert (peer.close, peer.end) == ((1001, ""), "FIN")


async def test_a_client_that_is_closed_waits_for_no_server() -> None:
    async def stuck(peer: Peer) -> None:
        cast(asyncio.Transport, peer.writer.transport).pause_reading()
        await asyncio.sleep(1000)

    async with WebSocketServer(stuck) as server:
        async with Client() as client:
            ws = await client.websocket(server.url, close_timeout=None)
            message = ws.send(bytes(MIB) for _ in range(100))
            sending = asyncio.ensure_future(message)
            await until(lambda: ws._outbox.paused)
        with pytest.raises(WebSocketClosed, match="its client was closed"):
            await sending
        assert ws._link.gone


async def test_who_is_told_of_one_that_was_abandoned(client: Client) -> None:
    async with WebSocketServer(saying()) as server:
        ws = await client.websocket(server.url)
        receiving = asyncio.ensure_future(ws.receive())
        await asyncio.sleep(0)
        ws.abandon()
        with pytest.raises(WebSocketClosed, match="was closed by this side"):
            await receiving


async def test_an_error_in_the_block_waits_for_nothing(client: Client) -> None:
    async with WebSocketServer(saying()) as server:
        with pytest.raises(KeyError):
            async with client.websocket(server.url, close_timeout=60) as ws:
                await ws.send("x")
                raise KeyError
        peer = await server.last()
        assert (peer.close, peer.end) == ((1001, ""), "FIN")


async def test_one_that_nobody_holds_any_more(client: Client) -> None:
    async with WebSocketServer() as server:
        ws = await client.websocket(server.url)
        await ws.send("x")
        assert await ws.receive() == "x"
        del ws
        gc.collect()
        await freed(client)
        assert (await server.last()).close == (1001, "")


async def test_the_client_closes(client: Client) -> None:
    async with WebSocketServer(saying()) as server:
        own = Client()
        ws = await own.websocket(server.url)
        assert own.stats().open == 1
        receiving = asyncio.ensure_future(ws.receive())
        await asyncio.sleep(0)
        await own.close()
        with pytest.raises(WebSocketClosed) as caught:
            await receiving
        assert caught.value.code == 1006
        assert own.stats().open == 0
        with pytest.raises(aioreq.ClientClosed):
            await own.websocket(server.url)


async def test_the_client_closes_before_what_was_gathered_went_out(client: Client) -> None:
    async with WebSocketServer(saying()) as server:
        own = Client()
        ws = await own.websocket(server.url)
        for _ in range(3):
            await ws.send("x" * 1000)
        await own.close()
        with pytest.raises(WebSocketClosed):
            await ws.send("x")


@pytest.mark.parametrize(("code", "reason"), [(999, ""), (1004, ""), (1006, ""), (1015, ""), (2000, ""), (5000, ""), (1000, "ü" * 62)])
async def test_closes_that_cannot_be_sent(client: Client, code: int, reason: str) -> None:
    async with WebSocketServer() as server, client.websocket(server.url) as ws:
        with pytest.raises(ValueError, match="close"):
            await ws.close(code, reason)
        assert not ws.closed


# -- back-pressure


async def test_what_nobody_reads_is_bounded(client: Client) -> None:
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        peer.writer.transport.set_write_buffer_limits(0)
        for _ in range(4 * 64):
            await peer.write(frame(BINARY, bytes(MIB // 4)))
            sent += MIB // 4
        await collecting(peer)

    async with WebSocketServer(script) as server, client.websocket(server.url) as ws:
        await until(lambda: ws._inbox.paused)
        await asyncio.sleep(0.1)
        assert sent < 32 * MIB
        assert ws._inbox.held <= 3 * HIGH_WATER
        for _ in range(4 * 64):
            assert len(await ws.receive()) == MIB // 4


async def test_empty_messages_are_bounded_too(client: Client) -> None:
    async with WebSocketServer(saying(frame(TEXT) * 300_000)) as server, client.websocket(server.url, close_timeout=0) as ws:
        await until(lambda: ws._inbox.paused)
        for _ in range(300_000):
            assert await ws.receive() == ""


async def test_a_send_waits_for_a_server_that_reads_nothing(client: Client) -> None:
    go_on = asyncio.Event()
    got: list[str | bytes | None] = []

    async def script(peer: Peer) -> None:
        await go_on.wait()
        while (message := await peer.message()) is not None:
            got.append(message)
        await peer.write(closing())
        peer.hang_up()

    async with WebSocketServer(script) as server, client.websocket(server.url) as ws:
        count = 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                while True:
                    await ws.send(b"%d " % count + bytes(MIB))
                    count += 1
        assert count < 64
        cut = asyncio.ensure_future(ws.send(["never", "sent"]))
        await asyncio.sleep(0)
        cut.cancel()
        waiting = [asyncio.ensure_future(ws.send(f"then {number}")) for number in range(3)]
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(*waiting)
    assert [message == b"%d " % number + bytes(MIB) for number, message in enumerate(got[:count])] == [True] * count
    assert got[count:] == ["then 0", "then 1", "then 2"]


# -- the handshake


async def test_redirects_to_ws(client: Client) -> None:
    def upgrade(peer: Peer) -> bytes:
        if peer.path == "/old":
            return refusal("302 Found", b"", ("Location", f"WS://127.0.0.1:{server.port}/new"))
        return switching(peer)

    async with WebSocketServer(upgrade=upgrade) as server, client.websocket(server.url + "/old") as ws:
        assert ws.request.url.path == "/new"
        assert [head.status for head in ws.response.redirects] == [302]


async def test_no_other_request_is_redirected_to_ws(client: Client) -> None:
    answer = refusal("302 Found", b"", ("Location", "ws://127.0.0.1:9/"))
    async with WebSocketServer(upgrade=lambda peer: answer, checked=False) as server:
        with pytest.raises(aioreq.RemoteProtocolError, match="scheme 'ws' can't be requested"):
            await client.get(f"http://127.0.0.1:{server.port}/")


async def test_a_redirect_out_of_tls_is_refused(authority: Authority) -> None:
    def upgrade(peer: Peer) -> bytes:
        return refusal("302 Found", b"", ("Location", "ws://127.0.0.1:9/"))

    server = WebSocketServer(upgrade=upgrade, context=authority.server_context("127.0.0.1"))
    async with server, Client(verify=authority.client_context()) as client:
        with pytest.raises(RedirectRefused, match="the messages of a WebSocket, which were meant for TLS"):
            await client.websocket(server.url)


async def test_a_refusal_has_its_response(client: Client) -> None:
    async with WebSocketServer(upgrade=lambda peer: refusal("403 Forbidden", b"not you")) as server:
        with pytest.raises(WebSocketRefused, match="403 Forbidden, not 101") as caught:
            await client.websocket(server.url, headers={"Origin": "https://x.example"})
        response = caught.value.response
        assert isinstance(response, aioreq.Response)
        assert (response.status, response.content) == (403, b"not you")


async def test_a_base_url_and_what_a_client_always_says() -> None:
    async with WebSocketServer() as server:
        base = server.url.replace("ws", "http", 1)
        own = Client(base_url=base, headers={"X-Own": "yes"}, params={"token": "t"}, persistent_connections=False)
        async with own, own.websocket("/chat") as ws:
            assert str(ws.request.url) == f"{base}/chat?token=t"
        assert server.peers[0].fields["x-own"] == ["yes"]
        assert server.peers[0].fields["connection"] == ["Upgrade"]


@pytest.mark.no_loop
@pytest.mark.parametrize(
    ("error", "options"),
    [
        (TypeError, {"subprotocols": "chat"}),
        (TypeError, {"subprotocols": [5]}),
        (InvalidHeader, {"subprotocols": ["a b"]}),
        (ValueError, {"subprotocols": ["a", "a"]}),
        (TypeError, {"compression": "deflate"}),
        (TypeError, {"ping_interval": "20"}),
        (ValueError, {"ping_interval": 0}),
        (ValueError, {"ping_timeout": -1}),
        (ValueError, {"max_message": 0}),
        (TypeError, {"close_timeout": True}),
        (TypeError, {"content": b"x"}),
        (TypeError, {"json": {}}),
        (TypeError, {"progress": print}),
        (TypeError, {"unknown": 1}),
        (InvalidHeader, {"headers": {"Sec-WebSocket-Key": "x"}}),
        (InvalidHeader, {"headers": {"connection": "close"}}),
    ],
)
def test_options_that_are_wrong(error: type[Exception], options: Any) -> None:
    with pytest.raises(error):
        Client().websocket("ws://x.example/", **options)


@pytest.mark.no_loop
@pytest.mark.parametrize("url", ["ftp://x.example/", "ws:/x", "x.example", "ws://x.example/#fragment", "wss://", "ws://x.example:99999"])
def test_urls_that_are_wrong(url: str) -> None:
    with pytest.raises(InvalidURL):
        Client().websocket(url)


# -- cancelled at each await


async def chatting(client: Client, url: str) -> None:
    async with client.websocket(url, compression=True) as ws:
        await ws.send("x" * 1000)
        await ws.send([b"a", b"b"])
        await ws.receive()
        async for _ in ws.receive_pieces():
            pass
        await ws.ping()


async def pausing(client: Client, url: str) -> None:
    ws = await client.websocket(url)
    await ws.close()


@pytest.mark.parametrize("scenario", [chatting, pausing])
async def test_cancelled_at_any_turn_nothing_is_left(client: Client, scenario: Callable[[Client, str], Awaitable[None]]) -> None:
    """The client has two slots: one that weren't given back would show at the third turn."""
    async with WebSocketServer(deflate=Deflating() if scenario is chatting else None) as server:
        for turns in range(150):
            task = asyncio.ensure_future(scenario(client, server.url))
            for _ in range(turns):
                if task.done():
                    break
                await asyncio.sleep(0)
            ended = task.done()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await freed(client)
            if ended:
                task.result()
                break
        else:
            pytest.fail("the scenario never came to its end")


@pytest.mark.no_loop
def test_a_loop_that_ends() -> None:
    """As with every connection, nobody has to close by hand; and what is held of it afterwards does nothing."""

    async def main() -> aioreq.WebSocket:
        async with WebSocketServer() as server:
            ws = await Client().websocket(server.url)
            await ws.send("x")
            assert await ws.receive() == "x"
            return ws

    ws = asyncio.run(main())
    assert ws.closed


# -- what a layer above may ask for


async def test_a_pong_that_nobody_asked_for(client: Client) -> None:
    async with WebSocketServer() as server:
        async with client.websocket(server.url) as ws:
            await ws.pong()
            await ws.pong(b"alive")
            with pytest.raises(ValueError, match=r"5\.5"):
                await ws.pong(b"x" * 126)
        with pytest.raises(WebSocketClosed):
            await ws.pong()
        peer = await server.last()
    assert [(one.opcode, one.payload) for one in peer.frames[:2]] == [(PONG, b""), (PONG, b"alive")]


async def test_a_pong_waits_while_the_server_takes_nothing(client: Client) -> None:
    async with WebSocketServer(gone) as server, client.websocket(server.url, close_timeout=0.1) as ws:
        sending = asyncio.create_task(ws.send(b"x" * (16 * MIB)))
        await until(lambda: ws._outbox.paused)
        waiting = asyncio.create_task(ws.pong())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        waiting.cancel()
        sending.cancel()
        await asyncio.wait([waiting, sending])


def by_hand(client: Client, url: str, **options: Any) -> WebSocketContext:
    """A WebSocket whose control frames come among its messages. The servers below don't hang up: it doesn't wait long for that."""
    given = WebSocketOptions(None, None, 1000, 0.2, manual=True, **options)
    return WebSocketContext(client, url, (), False, given, {})


async def given_by(ws: aioreq.WebSocket) -> tuple[int, str | bytes]:
    data = await ws.receive()
    return ws._inbox.kind, data


async def test_control_frames_among_the_messages(client: Client) -> None:
    script = saying(
        frame(PING, b"p"), frame(TEXT, b"a", fin=False), frame(PONG, b"q"), frame(CONTINUATION, b"b"), frame(BINARY, b"c"), closing(4000)
    )
    async with WebSocketServer(script) as server:
        async with by_hand(client, server.url) as ws:
            assert [await given_by(ws) for _ in range(4)] == [(PING, b"p"), (PONG, b"q"), (TEXT, "ab"), (BINARY, b"c")]
            assert await given_by(ws) == (CLOSE, b"\x0f\xa0")
            assert (ws.close_code, ws.closed) == (4000, False)
            await ws.send("a last word")
            await ws.close(4001, "so be it")
            with pytest.raises(WebSocketClosed, match=r"closed the WebSocket \(4000\)"):
                await ws.receive()
        peer = await server.last()
    assert [one.opcode for one in peer.frames] == [TEXT, CLOSE]
    assert peer.close == (4001, "so be it")


async def test_text_that_is_left_as_it_came(client: Client) -> None:
    script = saying(frame(TEXT, b"\xff"), fragments(TEXT, [b"\xc3", b"\xbc"]), frame(BINARY, b"c"), closing())
    async with WebSocketServer(script) as server, by_hand(client, server.url, decoded=False) as ws:
        assert [await given_by(ws) for _ in range(3)] == [(TEXT, b"\xff"), (TEXT, b"\xc3\xbc"), (BINARY, b"c")]


async def test_a_flood_of_pings_for_who_reads_none_stops_the_reading(client: Client) -> None:
    """They are held as messages are: no more of them than of those."""

    async def flood(peer: Peer) -> None:
        while True:
            await peer.write(frame(PING, b"x" * 100) * 100)

    async with WebSocketServer(flood) as server, by_hand(client, server.url) as ws:
        await until(lambda: ws._inbox.paused)
        assert ws._inbox.held < 4 * HIGH_WATER
        ws.abandon()


@pytest.mark.parametrize(
    ("answer", "field"),
    [
        (lambda peer: switching(peer, upgrade=["x"]), "Upgrade"),
        (lambda peer: switching(peer, connection=["x"]), "Connection"),
        (lambda peer: switching(peer, accept=["x"]), "Sec-WebSocket-Accept"),
        (lambda peer: switching(peer, [("Sec-WebSocket-Protocol", "x")]), "Sec-WebSocket-Protocol"),
        (lambda peer: switching(peer, [("Sec-WebSocket-Extensions", "x")]), "Sec-WebSocket-Extensions"),
        (lambda peer: refusal("403 Forbidden"), ""),
    ],
)
async def test_a_refusal_names_the_field_that_is_wrong(client: Client, answer: Callable[[Peer], bytes], field: str) -> None:
    async with WebSocketServer(upgrade=answer) as server:
        with pytest.raises(WebSocketRefused) as caught:
            await client.websocket(server.url)
    assert caught.value.field == field
