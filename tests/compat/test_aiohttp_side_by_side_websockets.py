"""Side by side: WebSockets with a server that keeps the rules of RFC 6455, or breaks them: messages, closings, pings, handshakes."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from peers import needed_module
from websocket_server import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    BrokenRule,
    Deflating,
    Peer,
    Script,
    Upgrade,
    WebSocketServer,
    closing,
    echo,
    fragments,
    frame,
    refusal,
    saying,
    switching,
)

import aioreq.compat.aiohttp as face

from .differences import DIFFERENCES

Say = Callable[..., None]
Play = Callable[[Any, Say], Awaitable[object]]
DIFFERENT = "WebSockets"


class Told(list[Any]):
    """What a play says; of a message what code looks at, for an error its class and code."""

    def say(self, *words: Any) -> None:
        self.append([plain(word) for word in words])


def plain(word: Any) -> Any:
    if hasattr(word, "extra"):
        return type(word).__name__, int(word.type), word.type.name, plain(word.data), word.extra
    if isinstance(word, BaseException):
        return type(word).__name__, getattr(word, "code", None)
    return word


async def told(lib: Any, play: Play, script: Script, upgrade: Upgrade | None, deflate: Deflating | None, options: dict[str, Any]) -> Told:
    """What this library makes of a play, and what the server saw: the frames but for pongs, which may be sooner or later."""
    words = Told()
    try:
        async with asyncio.timeout(10), WebSocketServer(script, upgrade=upgrade, deflate=deflate) as server:
            async with lib.ClientSession() as session:
                await played(lib, session, server.url + "/x", play, words.say, options)
            peer = await server.last()
            words.say("sent", [(each.opcode, each.payload[:40]) for each in peer.frames if each.opcode != PONG])
    except BrokenRule as error:
        words.say("broke a rule", str(error))
    return words


async def played(lib: Any, session: Any, url: str, play: Play, say: Say, options: dict[str, Any]) -> None:
    try:
        async with session.ws_connect(url, **options) as ws:
            await play(ws, say)
            say("then", ws.closed, ws.close_code, ws.exception())
        say("in the end", ws.closed, ws.close_code, ws.exception())
    except lib.WSServerHandshakeError as error:
        say("refused", error.status, str(error.request_info.real_url).partition("/x")[2], sorted(error.request_info.headers), error.history)
        say("by", error.message, sorted(error.headers or ()))


async def both(
    play: Play, script: Script = echo, *, upgrade: Upgrade | None = None, deflate: Deflating | None = None, **options: Any
) -> tuple[Told, Told]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # which both give, see test_aiohttp_websocket.py
        theirs = await told(needed_module("aiohttp", "aiohttp"), play, script, upgrade, deflate, options)
        return theirs, await told(face, play, script, upgrade, deflate, options)


async def same(play: Play, script: Script = echo, **options: Any) -> Told:
    theirs, ours = await both(play, script, **options)
    assert ours == theirs
    assert len(ours) > 2
    return ours


async def differs(play: Play, script: Script = echo, **options: Any) -> tuple[Told, Told]:
    assert DIFFERENT in DIFFERENCES
    theirs, ours = await both(play, script, **options)
    assert ours != theirs
    return theirs, ours


async def receives(ws: Any, say: Say, count: int = 4) -> None:
    for _ in range(count):
        say(await ws.receive())
        say(ws.closed, ws.close_code, ws.exception())


async def iterates(ws: Any, say: Say) -> None:
    async for message in ws:
        say(message)


async def opens(ws: Any, say: Say) -> None:
    say(ws.protocol, ws.compress, ws.client_notakeover)


def hanging_up(*data: bytes) -> Script:
    """Says this and is gone."""

    async def script(peer: Peer) -> None:
        await peer.write(*data)
        peer.hang_up()

    return script


silent = saying()  # it reads, and answers no ping


# -- messages


async def test_messages_of_each_kind() -> None:
    async def play(ws: Any, say: Say) -> None:
        for send, value in (("str", ""), ("str", "κόσμε"), ("bytes", b""), ("bytes", b"x" * 70_000), ("json", {"a": [1]})):
            say(await getattr(ws, f"send_{send}")(value))
            say(await ws.receive())
        await ws.send_bytes(bytearray(b"ab"))
        say(await ws.receive_bytes())
        await ws.send_bytes(memoryview(b"cd"))
        say(await ws.receive_bytes(timeout=5))
        await ws.send_json_bytes(1, dumps=lambda value: b"%d" % value)
        say((await ws.receive()).json())
        await ws.send_json({"b": 1}, dumps=lambda value: '{"c": 2}')
        say(await ws.receive_json(loads=lambda text: text.upper()))
        await ws.send_frame(b"text", 1)
        say(await ws.receive_str())
        await ws.send_frame(b"bytes", 2)
        say(await ws.receive_bytes())

    await same(play)


async def test_a_message_of_another_kind_than_was_asked_for() -> None:
    async def play(ws: Any, say: Say) -> None:
        for ask in ("bytes", "str", "json", "json", "str"):
            try:
                say(await getattr(ws, f"receive_{ask}")())
            except (TypeError, ValueError) as error:
                say(type(error).__name__, str(error))

    script = saying(frame(TEXT, b"x"), frame(BINARY, b"y"), frame(BINARY, b"{}"), frame(TEXT, b"{"), closing())
    said = await same(play, script)
    assert said[0][0] == "WSMessageTypeError"


@pytest.mark.parametrize("decode_text", [True, False])
async def test_text_as_bytes(decode_text: bool) -> None:
    script = saying(frame(TEXT, "ü".encode()), frame(BINARY, b"b"), fragments(TEXT, [b"a", b"", b"b"]), frame(BINARY, b"c"), closing())
    await same(iterates, script, decode_text=decode_text)


@pytest.mark.parametrize("answer", [Deflating(), Deflating(client_no_context_takeover=True), Deflating(client_max_window_bits=10)], ids=str)
async def test_compressed_messages(answer: Deflating) -> None:
    async def play(ws: Any, say: Say) -> None:
        await opens(ws, say)
        for text in ("some text " * 50, "short", "some text " * 50):
            await ws.send_str(text)
            say(await ws.receive())

    theirs, ours = await both(play, deflate=answer, compress=15)
    assert ours[:-1] == theirs[:-1]
    assert ours[0][1] == answer.client_max_window_bits  # the payloads are zlib's affair


async def test_compression_that_can_not_be_asked_for() -> None:
    for lib in (needed_module("aiohttp", "aiohttp"), face):
        async with lib.ClientSession() as session:
            for bits in (8, 16):
                with pytest.raises(ValueError, match="between 9 and 15"):
                    await session.ws_connect("ws://127.0.0.1:9/", compress=bits)


async def test_what_can_not_be_sent() -> None:
    async def play(ws: Any, say: Say) -> None:
        for send, value in (("str", b"x"), ("bytes", "x"), ("json", {1, 2})):
            with pytest.raises(TypeError) as caught:
                await getattr(ws, f"send_{send}")(value)
            say(str(caught.value))

    await same(play)


# -- the end


@pytest.mark.parametrize(
    "script",
    [
        saying(frame(TEXT, b"a"), closing(1000, "bye")),
        saying(closing(1001)),
        saying(frame(TEXT, b"a"), closing(4000, "of our own")),
        hanging_up(frame(TEXT, b"a"), closing(1000, "bye")),
        hanging_up(frame(TEXT, b"a"), closing(None)),
        hanging_up(frame(TEXT, b"a")),
        hanging_up(frame(TEXT, b"abc")[:3]),
    ],
    ids=["1000", "1001", "4000", "1000-and-gone", "no-code", "gone", "cut-off"],
)
@pytest.mark.parametrize("play", [receives, iterates])
async def test_ends_by_the_server(script: Script, play: Play) -> None:
    theirs, ours = await both(play, script)
    assert ours[:-1] == theirs[:-1]  # how a close is answered: see below


async def test_a_reset() -> None:
    async def script(peer: Peer) -> None:
        await peer.write(frame(TEXT, b"a"))
        await peer.message()
        peer.reset()

    async def play(ws: Any, say: Say) -> None:
        say(await ws.receive())
        await ws.send_str("go")
        await receives(ws, say, 2)

    theirs, ours = await both(play, script)
    assert [line[:2] for line in ours] == [line[:2] for line in theirs]


async def test_closing() -> None:
    async def play(ws: Any, say: Say) -> None:
        say(await ws.close(code=4001, message=b"enough"), ws.closed, ws.close_code)
        say(await ws.close())
        say(await ws.receive())
        for send in (ws.send_str("x"), ws.send_bytes(b"x"), ws.send_json(1), ws.ping(), ws.pong()):
            with pytest.raises((face.ClientConnectionResetError, needed_module("aiohttp", "aiohttp").ClientConnectionResetError)) as caught:
                await send
            say(type(caught.value).__name__, str(caught.value), isinstance(caught.value, ConnectionResetError))
        say(ws.get_extra_info("peername", "none"))

    await same(play)


async def test_closing_while_messages_wait() -> None:
    async def script(peer: Peer) -> None:
        await peer.write(frame(TEXT, b"a"), frame(TEXT, b"b"))
        await echo(peer)

    async def play(ws: Any, say: Say) -> None:
        say(await ws.receive())
        say(await ws.close(), ws.close_code)

    await same(play, script)


async def test_closing_while_somebody_receives() -> None:
    async def play(ws: Any, say: Say) -> None:
        receiving = asyncio.create_task(ws.receive())
        await asyncio.sleep(0.01)
        say(await ws.close(), await receiving, ws.closed, ws.close_code)
        say(await ws.receive())

    await same(play)


async def test_closing_by_two_while_somebody_iterates() -> None:
    async def play(ws: Any, say: Say) -> None:
        iterating = asyncio.create_task(iterates(ws, say))
        await asyncio.sleep(0.01)
        say(sorted(await asyncio.gather(ws.close(), ws.close())), ws.close_code)
        await iterating

    await same(play)


async def test_a_server_that_never_answers_the_closing() -> None:
    async def play(ws: Any, say: Say) -> None:
        say(await ws.close(), ws.closed, ws.close_code, ws.exception())

    libs = needed_module("aiohttp", "aiohttp"), face
    theirs, ours = [await told(lib, play, saying(), None, None, {"timeout": lib.ClientWSTimeout(ws_close=0.1)}) for lib in libs]
    assert ours == theirs
    assert ours[0][3][0] == "TimeoutError"
    assert await same(play, saying(), timeout=0.1) == ours


async def test_a_server_that_answers_and_stays() -> None:
    async def script(peer: Peer) -> None:
        await peer.until_close()
        await peer.write(closing())

    async def play(ws: Any, say: Say) -> None:
        async with asyncio.timeout(2):
            say(await ws.close(), ws.close_code)

    await same(play, script)


async def test_how_a_close_is_answered() -> None:
    theirs, ours = await differs(iterates, saying(closing(4000)))
    assert (CLOSE, b"\x0f\xa0") in ours[-1][1]  # and aiohttp's may be lost behind its own end
    assert (CLOSE, b"\x0f\xa0") not in theirs[-1][1]


@pytest.mark.parametrize("code", [1005, 1006, 5000])
async def test_codes_that_are_never_sent(code: int) -> None:
    async def play(ws: Any, say: Say) -> None:
        say(await ws.close(code=code))

    theirs, ours = await differs(play)
    assert theirs[-1][0] == "broke a rule"
    assert ours[-1] == ["sent", [(CLOSE, b"")]]


async def test_a_reason_that_is_too_long() -> None:
    async def play(ws: Any, say: Say) -> None:
        say(await ws.close(code=4000, message=("ü" * 100).encode()))

    theirs, ours = await differs(play)
    assert theirs[-1][0] == "broke a rule"
    assert ours[-1] == ["sent", [(CLOSE, b"\x0f\xa0" + "ü".encode() * 19)]]  # its first 40 bytes


@pytest.mark.parametrize("autoclose", [True, False])
async def test_closing_by_hand(autoclose: bool) -> None:
    async def play(ws: Any, say: Say) -> None:
        say(await ws.receive(), ws.closed, ws.close_code)
        say(await ws.close(code=4005, message=b"us"), ws.closed, ws.close_code)
        await receives(ws, say, 1)

    theirs, ours = await both(play, saying(closing(4001, "them")), autoclose=autoclose)
    assert ours[:-1] == theirs[:-1]
    if not autoclose:
        assert ours[-1] == ["sent", [(CLOSE, b"\x0f\xa5us")]]


# -- what is wrong


@pytest.mark.parametrize(
    "wire",
    [
        frame(3, b"x"),
        frame(TEXT, b"\xff"),
        fragments(TEXT, [b"a", b"\xff"]),
        frame(CONTINUATION, b"x"),
        frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"),
        frame(CLOSE, b"x"),
        closing(1005),
        closing(999),
        frame(PING, b"x" * 126),
        frame(PING, b"x", fin=False),
        frame(TEXT, b"x", rsv=4),
        frame(TEXT, b"x", rsv=1),
        frame(BINARY, b"x" * 101),
        fragments(BINARY, [b"x" * 60, b"y" * 60]),
    ],
)
async def test_broken_rules(wire: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.write(frame(TEXT, b"first"), wire)

    theirs, ours = await both(receives, script, max_msg_size=100)
    assert ours[:-1] == theirs[:-1]
    assert ours[2][0][:3] == ("WSMessage", 258, "ERROR")


@pytest.mark.parametrize(
    "wire", [frame(TEXT, b"x", mask=b"abcd"), frame(TEXT, b"x", bits=16), frame(BINARY, b"x" * 100)], ids=["masked", "length", "limit"]
)
async def test_frames_that_only_one_takes(wire: bytes) -> None:
    async def play(ws: Any, say: Say) -> None:
        say(await ws.receive())

    await differs(play, saying(wire, closing()), max_msg_size=100)


async def test_no_limit() -> None:
    async def script(peer: Peer) -> None:
        await peer.write(frame(BINARY, b"x" * (5 << 20)))
        await echo(peer)

    async def play(ws: Any, say: Say) -> None:
        message = await ws.receive()
        say(int(message.type), len(message.data) if message.data.__class__ is bytes else message.data)

    assert (await same(play, script, max_msg_size=0))[0] == [2, 5 << 20]
    theirs, ours = await both(play, script)
    assert ours[:-1] == theirs[:-1]
    assert ours[0] == [258, ("WebSocketError", 1009)]


async def test_compression_of_one_message_that_was_not_agreed() -> None:
    async def play(ws: Any, say: Say) -> None:
        await ws.send_str("x" * 100, compress=15)

    theirs, ours = await differs(play)
    assert theirs[-1] == ["broke a rule", "RFC 7692 section 6: RSV1"]
    assert ours[-1][1][0] == (TEXT, b"x" * 40)


# -- time limits, cancellation, two at once


@pytest.mark.parametrize("how", ["argument", "receive_timeout"])
async def test_a_receive_that_takes_too_long(how: str) -> None:
    async def play(ws: Any, say: Say) -> None:
        try:
            await ws.receive(0.01) if how == "argument" else await ws.receive_str()
        except TimeoutError as error:
            say(type(error).__name__, ws.closed, ws.close_code)
        await ws.send_str("still open")
        say(await ws.receive(5))
        say(await ws.close(), ws.close_code)

    options: dict[str, Any] = {"receive_timeout": 0.01} if how != "argument" else {}
    await same(play, **options)


async def test_a_receive_that_is_cancelled() -> None:
    async def play(ws: Any, say: Say) -> None:
        receiving = asyncio.create_task(ws.receive())
        await asyncio.sleep(0.01)
        receiving.cancel()
        await asyncio.wait([receiving])
        say(receiving.cancelled(), ws.closed, ws.close_code)
        await ws.send_str("x")
        say(await ws.receive())

    await same(play)


async def test_two_that_receive() -> None:
    async def play(ws: Any, say: Say) -> None:
        receiving = asyncio.create_task(ws.receive())
        await asyncio.sleep(0.01)
        with pytest.raises(RuntimeError) as caught:
            await ws.receive()
        await ws.send_str("x")
        say(str(caught.value), await receiving)

    await same(play)


# -- pings


async def test_pings_that_one_answers_by_hand() -> None:
    wire = frame(PING, b"p") + frame(PONG, b"q") + frame(TEXT, b"x", fin=False) + frame(PING, b"r") + frame(CONTINUATION, b"y")
    seen = []

    async def script(peer: Peer) -> None:
        await peer.write(wire, frame(TEXT, b"end"))
        while (one := await peer.read_frame()).opcode != CLOSE:
            seen.append((one.opcode, one.payload))
        await peer.write(closing())
        peer.hang_up()

    async def play(ws: Any, say: Say) -> None:
        async for message in ws:
            say(message)
            if message.data == "end":
                break
            if message.type == PING:
                await ws.pong(message.data)
        await ws.ping(b"mine")

    await same(play, script, autoping=False)
    assert seen == [(PONG, b"p"), (PONG, b"r"), (PING, b"mine")] * 2


async def test_pings_that_are_answered_though_closings_are_not() -> None:
    async def script(peer: Peer) -> None:
        await peer.write(frame(PING, b"p"), frame(TEXT, b"x"))
        one = await peer.read_frame()
        await peer.write(frame(TEXT, one.payload), closing(4000))

    await same(iterates, script, autoclose=False)


async def test_a_heartbeat_that_stops_while_somebody_receives() -> None:
    theirs, ours = await both(receives, silent, heartbeat=0.1)
    assert ours[:-1] == theirs[:-1]  # the server may be told why
    assert ours[0] == [("WSMessage", 258, "ERROR", ("ServerTimeoutError", None), None)]


async def test_a_heartbeat_that_stops_while_nobody_does() -> None:
    async def play(ws: Any, say: Say) -> None:
        while not ws.closed:  # noqa: ASYNC110 (nothing tells)
            await asyncio.sleep(0.01)
        say(ws.close_code, ws.exception())
        await receives(ws, say, 2)

    theirs, ours = await both(play, silent, heartbeat=0.1)
    assert ours[:-1] == theirs[:-1]


async def test_a_heartbeat_that_is_answered() -> None:
    async def play(ws: Any, say: Say) -> None:
        await asyncio.sleep(0.3)
        say(ws.closed)
        await ws.send_str("x")
        say(await ws.receive())

    theirs, ours = await both(play, heartbeat=0.1)
    assert ours[:-1] == theirs[:-1]


# -- handshakes


@pytest.mark.parametrize(
    "upgrade",
    [
        lambda peer: refusal("403 Forbidden", b"no", ("X-Why", "not you")),
        lambda peer: refusal("200 OK", b"a page"),
        lambda peer: switching(peer, upgrade=["other"]),
        lambda peer: switching(peer, connection=["close"]),
        lambda peer: switching(peer, accept=["no"]),
        lambda peer: switching(peer, [("Sec-WebSocket-Protocol", "b")]),
        switching,
    ],
    ids=["403", "200", "upgrade", "connection", "accept", "protocol", "right"],
)
async def test_handshakes(upgrade: Upgrade) -> None:
    theirs, ours = await both(opens, upgrade=upgrade, protocols=("a", "b"), origin="http://o.example", headers={"X-Own": "1"})
    assert ours == theirs


@pytest.mark.parametrize(
    "upgrade",
    [
        lambda peer: switching(peer, [("Sec-WebSocket-Protocol", "z")]),
        lambda peer: switching(peer, [("Sec-WebSocket-Extensions", "other")]),
        lambda peer: switching(peer, connection=["keep-alive, Upgrade"]),
    ],
    ids=["protocol", "extension", "connection"],
)
async def test_handshakes_that_only_one_takes(upgrade: Upgrade) -> None:
    await differs(opens, upgrade=upgrade, protocols=("a", "b"))


async def test_fields_of_the_handshake_in_headers() -> None:
    """As they come with fields that were copied from a browser."""

    async def play(ws: Any, say: Say) -> None:
        await ws.send_str("x" * 200)
        say(await ws.receive())

    copied = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    await same(play, headers=copied)
    copied["Sec-WebSocket-Extensions"] = "permessage-deflate"
    theirs, ours = await differs(play, headers=copied, deflate=Deflating())
    assert ours[0][0][3] == "x" * 200
    assert theirs[0][0][3] != "x" * 200
