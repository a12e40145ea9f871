"""Every rule of RFC 6455 and RFC 7692 that a server can break, broken: which error, what it names, with which code the server is told.

The servers' bytes stand in websocket_wires.py. After each breach nothing is left: no slot, no socket, no task.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from websocket_server import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Deflating,
    Peer,
    Script,
    WebSocketServer,
    closing,
    fragments,
    frame,
    saying,
    switching,
)
from websocket_wires import KAPPA, REFUSALS, RIGHT, RIGHT_ANSWERS, RIGHT_CLOSES, WRONG, WRONG_ANSWERS, Answer, Right, Wrong, deflated

import aioreq
from aioreq import Client, RemoteProtocolError, WebSocketClosed, WebSocketRefused

pytestmark = pytest.mark.usefixtures("no_hanging")

MIB = 1 << 20


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client(timeout=10, retry=0, limits=aioreq.Limits(connections=2)) as client:
        yield client
        assert client.pool().open == 0


def hanging_up(*data: bytes) -> Script:
    """Writes these bytes, and ends the connection when the client closes, as a server does."""

    async def script(peer: Peer) -> None:
        await peer.write(*data)
        await peer.until_close()
        peer.hang_up()

    return script


async def messages_of(ws: aioreq.WebSocket) -> list[str | bytes]:
    return [message async for message in ws]


async def until_error(ws: aioreq.WebSocket) -> tuple[list[str | bytes], aioreq.AioreqError]:
    """All messages, and what stands in the place of the next one."""
    got: list[str | bytes] = []
    try:
        while True:
            got.append(await ws.receive())
    except aioreq.AioreqError as error:
        return got, error


async def freed(client: Client) -> None:
    """Once no connection holds a slot."""
    async with asyncio.timeout(5):
        while client.pool().open:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


# -- what is right


def cuts(wire: bytes, most: int = 40) -> list[list[int]]:
    """Sizes of pieces: whole, in two at each place, byte by byte (the default of `dribble`)."""
    if len(wire) > most:
        return [[len(wire)], [1, len(wire)], [2, len(wire)], [len(wire) - 1]]
    return [[len(wire)], *[[at, len(wire)] for at in range(1, len(wire))], []]


def cut_by_path(wire: bytes) -> Script:
    """Writes it in the pieces that the path names by their number."""

    async def script(peer: Peer) -> None:
        await peer.dribble(wire, cuts(wire)[int(peer.path[1:])])
        if peer.close is None:
            await peer.until_close()
        peer.hang_up()

    return script


@pytest.mark.parametrize("name", RIGHT)
async def test_what_is_right_at_every_split(client: Client, name: str) -> None:
    case: Right = RIGHT[name]
    wire = case.wire + closing()
    async with WebSocketServer(cut_by_path(wire), deflate=Deflating() if case.compressed else None) as server:
        for number in range(len(cuts(wire))):
            async with client.websocket(f"{server.url}/{number}", compression=case.compressed) as ws:
                assert await messages_of(ws) == case.messages
                assert (ws.close_code, ws.close_reason, ws.compressed) == (1000, "", case.compressed)
        for peer in await server.ended(number + 1):
            assert [one.payload for one in peer.frames if one.opcode == PONG] == case.pongs
            assert peer.close == (1000, "")


@pytest.mark.parametrize("name", RIGHT)
async def test_what_is_right_by_pieces(client: Client, name: str) -> None:
    case: Right = RIGHT[name]
    server = WebSocketServer(hanging_up(case.wire + closing()), deflate=Deflating() if case.compressed else None)
    async with server, client.websocket(server.url, compression=case.compressed) as ws:
        for message in case.messages:
            pieces: list[Any] = [piece async for piece in ws.receive_pieces()]
            assert message[:0].join(pieces) == message
        with pytest.raises(WebSocketClosed):
            async for _ in ws.receive_pieces():
                pytest.fail("one more")


@pytest.mark.parametrize("name", RIGHT_CLOSES)
async def test_closes_that_are_right(client: Client, name: str) -> None:
    wire, code, reason = RIGHT_CLOSES[name]
    async with WebSocketServer(hanging_up(frame(TEXT, b"last"), wire)) as server:
        ws = await client.websocket(server.url)
        got, error = await until_error(ws)
        assert got == ["last"]
        assert isinstance(error, WebSocketClosed)
        assert (error.code, error.reason, ws.close_code, ws.close_reason) == (code, reason, code, reason)
        assert str(code) in str(error)
        assert ws.closed
        with pytest.raises(WebSocketClosed, match=str(code)):
            await ws.send("x")
        await ws.close()
        peer = await server.last()
        assert peer.close is not None
        assert peer.close[0] == code  # section 5.5.1: typically it echoes the code
        await freed(client)


@pytest.mark.parametrize(("code", "orderly"), [(1000, True), (1001, True), (None, True), (1002, False), (1011, False), (4000, False)])
async def test_a_loop_over_messages_ends_in_order_or_by_an_error(client: Client, code: int | None, orderly: bool) -> None:
    async with WebSocketServer(hanging_up(frame(TEXT, b"x"), closing(code))) as server, client.websocket(server.url) as ws:
        if orderly:
            assert await messages_of(ws) == ["x"]
        else:
            with pytest.raises(WebSocketClosed) as caught:
                await messages_of(ws)
            assert caught.value.code == code


# -- what is wrong


async def breached(client: Client, server: WebSocketServer, case: Wrong, path: str = "/", before: int = 0, **options: Any) -> None:
    async with client.websocket(server.url + path, compression=case.compressed, **options) as ws:
        for number in range(before):
            assert await ws.receive() == str(number)
        with pytest.raises(RemoteProtocolError, match=f"(?i){case.words}") as caught:
            while True:
                await ws.receive()
        assert caught.value.close_code == case.code
        assert caught.value.request is ws.request
        assert "RFC " in str(caught.value)
        assert ws.closed
        with pytest.raises(WebSocketClosed):
            await ws.receive()
        with pytest.raises(WebSocketClosed):
            await ws.send("x")
        assert ws.close_code in (1006, 1000)  # the latter where only the reason was wrong
        if ws.close_code == 1000:
            assert case.code == 1007


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_wrong(client: Client, name: str) -> None:
    case: Wrong = WRONG[name]
    async with WebSocketServer(hanging_up(case.wire), deflate=Deflating() if case.compressed else None) as server:
        await breached(client, server, case)
        peer = await server.last()
        assert peer.close is not None
        assert peer.close[0] == case.code
        assert [one.opcode for one in peer.frames if one.opcode != PONG] == [8]
        await freed(client)


@pytest.mark.parametrize("name", [name for name, case in WRONG.items() if len(case.wire) <= 40])
async def test_what_is_wrong_at_every_split(client: Client, name: str) -> None:
    case: Wrong = WRONG[name]
    errors: list[tuple[list[Any], str, Any]] = []
    async with WebSocketServer(cut_by_path(case.wire), deflate=Deflating() if case.compressed else None) as server:
        for number in range(len(cuts(case.wire))):
            async with client.websocket(f"{server.url}/{number}", compression=case.compressed) as ws:
                got, error = await until_error(ws)
                errors.append((got, str(error), getattr(error, "close_code", None)))
        peers = await server.ended(number + 1)
        assert {peer.close and peer.close[0] for peer in peers} == {case.code}
    assert errors.count(errors[0]) == len(errors), errors


@pytest.mark.parametrize("name", ["a masked text", "opcode 3", "beyond Unicode", "a close with 1005", "a continuation of nothing"])
@pytest.mark.parametrize("count", [1, 5])
async def test_messages_before_a_breach_are_received(client: Client, name: str, count: int) -> None:
    """Whatever of it came together; and what is behind the breach isn't."""
    before = b"".join([frame(TEXT, b"%d" % number) for number in range(count)])
    async with WebSocketServer(hanging_up(before + WRONG[name].wire + frame(TEXT, b"more"))) as server:
        await breached(client, server, WRONG[name], before=count)


@pytest.mark.parametrize("name", ["a masked text", "a close with 1005", "a ping of 126 bytes"])
async def test_a_breach_that_comes_while_nobody_receives(client: Client, name: str) -> None:
    case = WRONG[name]
    async with WebSocketServer(hanging_up(frame(TEXT, b"first") + case.wire)) as server:
        ws = await client.websocket(server.url)
        await server.last()
        await freed(client)
        with pytest.raises(WebSocketClosed, match=case.words):
            await ws.send("x")
        assert await ws.receive() == "first"
        with pytest.raises(RemoteProtocolError, match=case.words):
            await ws.receive()
        with pytest.raises(WebSocketClosed, match=case.words):
            await ws.receive()
        await ws.close()


async def test_a_server_that_takes_no_notice_of_its_breach_is_left(client: Client) -> None:
    """It neither answers nor closes, and the user doesn't close either."""
    async with WebSocketServer(saying(frame(TEXT, b"x", mask=b"1234"))) as server:
        ws = await client.websocket(server.url)
        with pytest.raises(RemoteProtocolError):
            await ws.receive()
        await freed(client)
        peer = await server.last()
        assert peer.close is not None
        assert peer.close[0] == 1002
        assert ws.closed


# -- limits


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(frame(BINARY, b"", declared=1001), id="a frame, at its header"),
        pytest.param(frame(BINARY, b"", declared=1 << 62), id="a frame of four exbibytes"),
        pytest.param(frame(TEXT, b"x" * 1001), id="a text"),
        pytest.param(fragments(BINARY, [bytes(500), bytes(500), b"x"]), id="in fragments"),
        pytest.param(frame(BINARY, bytes(999), fin=False) + frame(CONTINUATION, fin=False) + frame(0, b"", declared=2), id="the last"),
        pytest.param(frame(BINARY, b"x", fin=False) + frame(CONTINUATION, b"x", fin=False) * 2000, id="endless"),
        pytest.param(frame(TEXT, "€".encode() * 334), id="bytes, not characters"),
    ],
)
@pytest.mark.parametrize("by_pieces", [False, True], ids=["whole", "by pieces"])
async def test_a_message_that_is_too_large(client: Client, wire: bytes, by_pieces: bool) -> None:
    async with WebSocketServer(hanging_up(frame(BINARY, bytes(1000)) + wire)) as server:
        async with client.websocket(server.url, max_message=1000) as ws:
            assert await ws.receive() == bytes(1000)
            with pytest.raises(aioreq.LimitExceeded, match="1000 bytes; raise it with max_message=") as caught:
                if by_pieces:
                    async for _ in ws.receive_pieces():
                        pass
                else:
                    await ws.receive()
            assert (caught.value.limit, caught.value.close_code) == ("max_message", 1009)
        peer = await server.last()
        assert peer.close is not None
        assert peer.close[0] == 1009


@pytest.mark.parametrize(("size", "limit"), [(1001, 1000), (64 * MIB, MIB)])
async def test_a_message_that_is_too_large_when_it_is_decompressed(client: Client, size: int, limit: int) -> None:
    async with WebSocketServer(hanging_up(frame(BINARY, deflated(bytes(size)), rsv=4)), deflate=Deflating()) as server:
        async with client.websocket(server.url, compression=True, max_message=limit) as ws:
            with pytest.raises(aioreq.LimitExceeded, match=f"{limit} bytes; raise it with max_message="):
                await ws.receive()
        peer = await server.last()
        assert peer.close is not None
        assert peer.close[0] == 1009


async def test_the_limit_itself_is_allowed(client: Client) -> None:
    wires = [frame(BINARY, bytes(1000)), fragments(TEXT, [b"x" * 400, b"", b"x" * 600]), frame(BINARY, deflated(bytes(1000)), rsv=4)]
    server = WebSocketServer(hanging_up(*wires, closing()), deflate=Deflating())
    async with server, client.websocket(server.url, compression=True, max_message=1000) as ws:
        assert [len(message) async for message in ws] == [1000] * 3


# -- closing


async def test_nothing_is_read_behind_a_close(client: Client) -> None:
    """Section 5.5.1: nothing comes there; and section 1.4: what comes is dropped, be it wrong."""
    behind = frame(TEXT, b"more") + frame(PING, b"?") + frame(3, b"wrong", mask=b"1234") + closing(1011)
    async with WebSocketServer(hanging_up(frame(TEXT, b"x") + closing(1000, "bye") + behind)) as server:
        async with client.websocket(server.url) as ws:
            assert await messages_of(ws) == ["x"]
            assert (ws.close_code, ws.close_reason) == (1000, "bye")
        peer = await server.last()
        assert [one.opcode for one in peer.frames] == [8]


async def test_closing_from_this_side(client: Client) -> None:
    seen: list[Any] = []

    async def script(peer: Peer) -> None:
        await peer.write(frame(TEXT, b"before"))
        seen.append(await peer.until_close())
        await peer.write(frame(TEXT, b"late"), frame(PING, b"late"), closing(3000, "then go"))
        peer.hang_up()

    async with WebSocketServer(script) as server:
        ws = await client.websocket(server.url)
        await asyncio.sleep(0.01)
        await ws.close(4001, KAPPA)
        assert seen == [(4001, KAPPA)]
        assert (ws.close_code, ws.close_reason) == (3000, "then go")
        assert await ws.receive() == "before"
        with pytest.raises(WebSocketClosed, match="this side") as caught:
            await ws.receive()
        assert caught.value.code == 3000
        await ws.close()
        assert [one.opcode for one in (await server.last()).frames] == [8]


async def test_both_sides_close_at_once(client: Client) -> None:
    async def script(peer: Peer) -> None:
        await peer.write(closing(1001, "restart"))
        await peer.until_close()
        peer.hang_up()

    async with WebSocketServer(script) as server:
        ws = await client.websocket(server.url)
        await ws.close(1000)  # the server's is on its way
        assert ws.close_code == 1001
        peer = await server.last()
        assert len(peer.frames) == 1


async def never_answers(peer: Peer) -> None:
    await peer.until_close()


async def answers_and_stays(peer: Peer) -> None:
    await peer.until_close()
    await peer.write(closing())


async def closes_and_stays(peer: Peer) -> None:
    await peer.write(closing())
    await peer.until_close()


async def talks_on(peer: Peer) -> None:
    await peer.until_close()
    while True:
        await peer.write(frame(BINARY, bytes(10_000)))
        await asyncio.sleep(0)


@pytest.mark.parametrize("script", [never_answers, answers_and_stays, closes_and_stays, talks_on])
async def test_a_server_that_closes_the_connection_never_is_waited_for_as_long_as_was_said(client: Client, script: Script) -> None:
    async with WebSocketServer(script) as server:
        loop = asyncio.get_running_loop()
        ws = await client.websocket(server.url, close_timeout=0.2)
        if script is closes_and_stays:
            await asyncio.sleep(0.02)
        began = loop.time()
        await ws.close()
        assert loop.time() - began >= (0.1 if script is closes_and_stays else 0.19)
        assert client.pool().open == 0
        assert ws.close_code == (1006 if script in (never_answers, talks_on) else 1000)
        await server.last()


async def test_a_server_that_reads_nothing_is_closed_within_the_limit(client: Client) -> None:
    """What was sent never leaves; the close frame neither."""

    async def script(peer: Peer) -> None:
        cast(asyncio.Transport, peer.writer.transport).pause_reading()
        await asyncio.sleep(60)

    async with WebSocketServer(script) as server:
        ws = await client.websocket(server.url, close_timeout=0.2)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                while True:
                    await ws.send(bytes(100_000))
        await ws.close()
        assert client.pool().open == 0
        with pytest.raises(WebSocketClosed):
            await ws.send("x")
        async with client.websocket(server.url, close_timeout=0.2) as ws:
            pass


@pytest.mark.parametrize("how", ["FIN", "RST"])
@pytest.mark.parametrize("name", ["a text in two fragments", "control frames amid a message", "a shared window", "126 bytes"])
async def test_a_connection_that_ends_at_every_byte(client: Client, name: str, how: str) -> None:
    case = RIGHT[name]
    wire = case.wire[:40]

    async def script(peer: Peer) -> None:
        await peer.write(wire[: int(peer.path[1:])])
        await asyncio.sleep(0.005 if how == "RST" else 0)  # a reset overtakes what wasn't read
        if how == "RST":
            peer.reset()
        else:
            peer.hang_up()

    whole = case.messages if case.wire == wire else []
    async with WebSocketServer(script, deflate=Deflating() if case.compressed else None) as server:
        for at in range(len(wire) + 1):
            async with client.websocket(f"{server.url}/{at}", compression=case.compressed) as ws:
                got, error = await until_error(ws)
                assert isinstance(error, WebSocketClosed)
                assert (error.code, error.reason, ws.close_code) == (1006, "", 1006)
                assert "without a close frame" in str(error)
                assert got == whole[: len(got)]
                if at == len(wire):
                    assert got == whole
                with pytest.raises(WebSocketClosed, match="1006|close frame"):
                    async for _ in ws:
                        pytest.fail("one more")
                with pytest.raises(WebSocketClosed):
                    await ws.send("x")
            await freed(client)


@pytest.mark.parametrize("how", ["FIN", "RST"])
async def test_a_connection_that_ends_while_it_is_being_written_to(client: Client, how: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_frame()
        cast(asyncio.Transport, peer.writer.transport).pause_reading()
        await asyncio.sleep(0.05)
        if how == "RST":
            peer.reset()
        else:
            peer.hang_up()

    async with WebSocketServer(script) as server:
        async with client.websocket(server.url) as ws:
            with pytest.raises(WebSocketClosed) as caught:
                while True:
                    await ws.send(bytes(100_000))
            assert caught.value.code == 1006
        await server.last()


@pytest.mark.parametrize("how", ["cancelled", "an error of its own"])
async def test_a_message_of_pieces_that_is_broken_off_ends_the_connection(how: str) -> None:
    """The server, that got half of it, is told; also where something is still on its way."""
    unsent = asyncio.Event()

    async def script(peer: Peer) -> None:
        transport = cast(asyncio.Transport, peer.writer.transport)
        transport.pause_reading()
        await unsent.wait()
        await asyncio.sleep(0.01)
        transport.resume_reading()

    small = [(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)]
    async with WebSocketServer(script) as server, Client(socket_options=small, retry=0) as client:
        async with client.websocket(server.url) as ws:

            async def pieces() -> AsyncIterator[bytes]:
                while not ws._link.unsent():
                    yield bytes(1000)
                    for _ in range(2):  # what is gathered goes out at a turn's end, piece by piece: far from where a peer counts as dead
                        await asyncio.sleep(0)
                assert not ws._link.outbox.paused
                unsent.set()
                if how == "cancelled":
                    await asyncio.sleep(60)
                raise ArithmeticError

            sending = asyncio.ensure_future(ws.send(pieces()))
            await unsent.wait()
            if how == "cancelled":
                sending.cancel()
            with pytest.raises(asyncio.CancelledError if how == "cancelled" else ArithmeticError):
                await sending
            with pytest.raises(WebSocketClosed, match="its end never sent"):
                await ws.send("more")
            with pytest.raises(WebSocketClosed, match="its end never sent"):
                await ws.receive()
        peer = await server.last()
        assert (peer.close, peer.end) == ((1001, ""), "FIN")
        assert not any(one.fin for one in peer.frames[:-1])


# -- the handshake


def shaken(client: Client, server: WebSocketServer, answer: Answer, path: str = "") -> Any:
    return client.websocket(server.url + path, subprotocols=answer.subprotocols, compression=answer.compression)


@pytest.mark.parametrize("name", RIGHT_ANSWERS)
async def test_answers_that_are_right(client: Client, name: str) -> None:
    answer = RIGHT_ANSWERS[name]
    async with WebSocketServer(hanging_up(frame(TEXT, b"hi")), upgrade=answer.of) as server:
        async with shaken(client, server, answer) as ws:
            assert await ws.receive() == "hi"
            assert ws.subprotocol == ("superchat" if name.startswith("one of") else None)
            assert ws.compressed == (answer.compression and "not taken" not in name)
            assert ws.response.status == 101
            assert client.pool().open == 1
        await freed(client)


@pytest.mark.parametrize("name", WRONG_ANSWERS)
async def test_answers_that_are_wrong(client: Client, name: str) -> None:
    answer = WRONG_ANSWERS[name]
    async with WebSocketServer(upgrade=answer.of) as server:
        for _ in range(2):
            with pytest.raises((WebSocketRefused, RemoteProtocolError), match=answer.words) as caught:
                async with shaken(client, server, answer):
                    pytest.fail("it was opened")
            assert caught.value.request is not None
            if isinstance(caught.value, WebSocketRefused):
                assert caught.value.response is not None
                assert caught.value.response.status == 101
            await freed(client)
        peers = await server.ended(2)
        assert [peer.frames for peer in peers] == [[], []]  # section 4.1: it fails the connection, before there is a WebSocket
        assert len(peers) == 2


@pytest.mark.parametrize("name", REFUSALS)
async def test_answers_of_another_kind(client: Client, name: str) -> None:
    wire = REFUSALS[name]
    async with WebSocketServer(upgrade=lambda peer: wire) as server:
        for _ in range(2):
            with pytest.raises(WebSocketRefused, match=name) as caught:
                await client.websocket(server.url)
            response = caught.value.response
            assert isinstance(response, aioreq.Response)
            assert response.status == int(name)
            assert response.content == wire.partition(b"\r\n\r\n")[2]
        assert response is not None
        if name == "426":
            assert response.headers["sec-websocket-version"] == "8, 7"
        assert len(server.peers) == 1  # the connection is as good as before
    await freed(client)


async def test_a_refusal_with_a_large_body(client: Client) -> None:
    body = b"x" * 200_000
    wire = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 200000\r\n\r\n" + body
    async with WebSocketServer(upgrade=lambda peer: wire) as server:
        with pytest.raises(WebSocketRefused) as caught:
            await client.websocket(server.url)
        response = caught.value.response
        assert isinstance(response, aioreq.Response)
        assert 0 < len(response.content) <= 65_536
        await freed(client)


async def test_the_handshake_and_what_is_behind_it_at_every_split(client: Client) -> None:
    sent: list[bytes] = []

    def upgrade(peer: Peer) -> bytes:
        sent.append(switching(peer) + frame(TEXT, b"hello") + frame(PING, b"?") + frame(TEXT, b"again"))
        at = int(peer.path[1:])
        if at < 0:
            return sent[-1][:1]
        return sent[-1][:at] or sent[-1][:1]

    async def script(peer: Peer) -> None:
        wire = sent[-1]
        at = int(peer.path[1:])
        if at < 0:
            await peer.dribble(wire[1:])
        else:
            await asyncio.sleep(0.002)
            await peer.write(wire[at or 1 :])
        await peer.until_close()
        peer.hang_up()

    class Split(WebSocketServer):
        async def _talk(self, peer: Peer) -> None:
            await peer.read_head()
            await peer.write(self._upgrade(peer))
            await self.script(peer)

    async with Split(script, upgrade=upgrade) as server:
        at = -1
        while at < 0 or at <= len(sent[-1]):
            async with client.websocket(f"{server.url}/{at}") as ws:
                assert [await ws.receive(), await ws.receive()] == ["hello", "again"]
            at += 1
        for peer in await server.ended(len(sent)):
            assert [one.opcode for one in peer.frames] == [PONG, 8]


async def test_a_handshake_that_ends_at_every_byte(client: Client) -> None:
    length = 0

    class Cut(WebSocketServer):
        async def _talk(self, peer: Peer) -> None:
            nonlocal length
            await peer.read_head()
            wire = switching(peer)
            length = len(wire)
            await peer.write(wire[: int(peer.path[1:])])
            peer.hang_up()

    async with Cut() as server:
        for at in itertools.count():
            if length and at >= length:
                break
            with pytest.raises((aioreq.ConnectionLost, RemoteProtocolError)):
                await client.websocket(f"{server.url}/{at}")
            await freed(client)
        assert at == length > 100


async def test_what_a_handshake_says(client: Client) -> None:
    async with WebSocketServer(hanging_up()) as server:
        async with client.websocket(
            f"{server.url}/a%20b?c=d", params={"e": "f"}, headers={"Origin": "http://here", "X-Own": "1"}, subprotocols=["one", "two"]
        ):
            pass
        async with client.websocket(server.url, compression=True):
            pass
    first, second = (head.decode() for head in server.heads)
    assert first.startswith("GET /a%20b?c=d&e=f HTTP/1.1\r\n")
    fields = dict(line.split(": ", 1) for line in first.split("\r\n")[1:-2])
    assert len(fields.pop("Sec-WebSocket-Key")) == 24
    assert fields["Host"] == f"127.0.0.1:{server.port}"
    assert fields["Upgrade"] == "websocket"
    assert fields["Connection"] == "Upgrade"
    assert fields["Sec-WebSocket-Version"] == "13"
    assert fields["Sec-WebSocket-Protocol"] == "one, two"
    assert (fields["Origin"], fields["X-Own"]) == ("http://here", "1")
    assert "Sec-WebSocket-Extensions" not in fields
    assert "Sec-WebSocket-Protocol" not in second
    assert "\r\nSec-WebSocket-Extensions: permessage-deflate" in second


async def test_a_handshake_that_never_ends_is_given_up(client: Client) -> None:
    async def stalls(peer: Peer) -> None:
        await asyncio.sleep(60)

    class Silent(WebSocketServer):
        async def _talk(self, peer: Peer) -> None:
            await peer.read_head()
            await peer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: ")
            await peer.read_frame()

    async with Silent(stalls) as server:
        with pytest.raises(aioreq.RequestTimeout):
            await client.websocket(server.url, timeout=0.1)
        await freed(client)
