"""The scripted WebSocket server and its tables, held to another client: `websockets`. What they say doesn't depend on ours."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from typing import Any

import pytest
from websocket_server import (
    BINARY,
    PING,
    PONG,
    TEXT,
    BrokenRule,
    Deflating,
    Peer,
    Script,
    WebSocketServer,
    accept_of,
    closing,
    frame,
    masking,
    saying,
)
from websocket_wires import REFUSALS, RIGHT, RIGHT_ANSWERS, RIGHT_CLOSES, WRONG, WRONG_ANSWERS, Answer, Right, Wrong

if importlib.util.find_spec("websockets") is None and os.environ.get("AIOREQ_PEERS") != "required":
    pytest.skip("websockets isn't installed", allow_module_level=True)

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidHandshake, InvalidMessage
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

pytestmark = pytest.mark.usefixtures("no_hanging")

# What it takes otherwise than the tables say, and why.
OWN_WAYS = {
    "a last block, and messages behind it": "its inflater ends at a last block, and gives nothing from there on",
    **{name: "it takes a length in whatever form" for name in WRONG if "in 16 bits" in name or "in 64 bits" in name},
    **{name: "it is too large before it is wrong" for name in WRONG if name.startswith("a length of ") and int(name.split()[3]) >= 1 << 63},
    "behind early hints": "the first answer is the last",
    "behind a 100": "the same",
}


def deflate(**options: Any) -> Any:
    return [ClientPerMessageDeflateFactory(**options)]


def once(wire: bytes) -> Script:
    """Writes these bytes, and ends the connection once the client closes: it waits for that."""

    async def script(peer: Peer) -> None:
        await peer.write(wire)
        await peer.until_close()
        peer.hang_up()

    return script


async def everything(connection: ClientConnection) -> list[str | bytes]:
    got: list[str | bytes] = []
    try:
        async for message in connection:
            got.append(message)  # noqa: PERF401 (what came before an error counts)
    except ConnectionClosed:
        pass
    return got


# -- the RFC's own examples of what has no place in a table


def test_the_accept_of_the_rfc() -> None:
    assert accept_of("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # section 1.3


def test_the_masked_text_of_the_rfc() -> None:
    assert frame(TEXT, b"Hello", mask=bytes.fromhex("37fa213d")) == bytes.fromhex("818537fa213d7f9f4d5158")  # section 5.7
    long = bytes(range(256)) * 300
    assert masking(long, b"abcd")[:65_535] == masking(long[:65_535], b"abcd")


# -- the client keeps the rules: the server has nothing against it


@pytest.mark.parametrize(
    "given", [None, Deflating(), Deflating(True, True), Deflating(False, False, 9, 9), Deflating(server_max_window_bits=8)], ids=str
)
async def test_an_echo(given: Deflating | None) -> None:
    async with WebSocketServer(deflate=given) as server:
        async with connect(server.url, compression=None if given is None else "deflate", max_size=None) as connection:
            for message in ("hi", b"x" * 70_000, "", b"", "hi" * 500, "hi" * 500, bytes(range(256)) * 5000):
                await connection.send(message)
                assert await connection.recv() == message
            await connection.send(["a", "b", "c"])
            assert await connection.recv() == "abc"
            await (await connection.ping(b"here"))
        peer = await server.last()
        assert peer.close == (1000, "")
        assert (PING, b"here") in [(one.opcode, one.payload) for one in peer.frames]


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(frame(TEXT, b"x"), id="unmasked"),
        pytest.param(frame(TEXT, b"x", rsv=4, mask=b"1234"), id="RSV1"),
        pytest.param(frame(3, b"x", mask=b"1234"), id="opcode 3"),
        pytest.param(frame(PING, b"x", fin=False, mask=b"1234"), id="a fragmented ping"),
        pytest.param(frame(BINARY, b"x", bits=16, mask=b"1234"), id="a length that isn't minimal"),
        pytest.param(frame(0, b"x", mask=b"1234"), id="a continuation of nothing"),
        pytest.param(frame(TEXT, b"x", fin=False, mask=b"1234") + frame(TEXT, b"x", mask=b"5678"), id="a message within another"),
        pytest.param(frame(TEXT, b"x", mask=b"1234") + frame(TEXT, b"x", mask=b"1234"), id="the same mask"),
        pytest.param(frame(8, b"\x03", mask=b"1234"), id="a close of one byte"),
        pytest.param(frame(8, b"\x03\xed", mask=b"1234"), id="a close with 1005"),
        pytest.param(frame(8, mask=b"1234") + frame(TEXT, mask=b"5678"), id="a text behind a close"),
    ],
)
async def test_a_client_that_breaks_a_rule_fails_the_test(wire: bytes) -> None:
    with pytest.raises(BrokenRule):
        async with WebSocketServer(saying(b"")) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(
                b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" + wire
            )
            assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in await reader.read()
            writer.close()


# -- it takes what is right, and refuses what is wrong


@pytest.mark.parametrize("name", [name for name in RIGHT if name not in OWN_WAYS])
async def test_what_is_right(name: str) -> None:
    case: Right = RIGHT[name]

    async def script(peer: Peer) -> None:
        await peer.write(case.wire)
        await peer.finish()

    async with WebSocketServer(script, deflate=Deflating() if case.compressed else None) as server:
        async with connect(server.url, compression="deflate" if case.compressed else None) as connection:
            assert await everything(connection) == case.messages
        peer = await server.last()
        assert [one.payload for one in peer.frames if one.opcode == PONG] == case.pongs
        assert peer.close == (1000, "")


@pytest.mark.parametrize("name", RIGHT_CLOSES)
async def test_closes_that_are_right(name: str) -> None:
    wire, code, reason = RIGHT_CLOSES[name]
    async with WebSocketServer(once(wire)) as server, connect(server.url, compression=None) as connection:
        assert await everything(connection) == []
        assert (connection.close_code, connection.close_reason) == (code, reason)
        peer = await server.last()
        assert peer.close == (code, reason)


@pytest.mark.parametrize("name", [name for name in WRONG if name not in OWN_WAYS])
async def test_what_is_wrong(name: str) -> None:
    case: Wrong = WRONG[name]
    async with WebSocketServer(once(case.wire), deflate=Deflating() if case.compressed else None) as server:
        async with connect(server.url, compression="deflate" if case.compressed else None) as connection:
            with pytest.raises(ConnectionClosedError) as caught:
                while True:
                    await connection.recv()
        assert caught.value.sent is not None
        assert caught.value.sent.code in ((case.code, 1002) if case.compressed else (case.code,))
        peer = await server.last()
        assert peer.close is not None
        assert peer.close[0] == caught.value.sent.code


async def test_what_is_too_large() -> None:
    for wire in (frame(BINARY, bytes(1001)), frame(TEXT, b"x", declared=1 << 40, bits=64)):
        async with WebSocketServer(once(wire)) as server, connect(server.url, compression=None, max_size=1000) as connection:
            assert await everything(connection) == []
            peer = await server.last()
            assert peer.close is not None
            assert peer.close[0] == 1009


@pytest.mark.parametrize("name", [name for name in RIGHT_ANSWERS if name not in OWN_WAYS])
async def test_answers_that_are_right(name: str) -> None:
    await shaken(RIGHT_ANSWERS[name])


@pytest.mark.parametrize("name", WRONG_ANSWERS)
async def test_answers_that_are_wrong(name: str) -> None:
    with pytest.raises((InvalidHandshake, InvalidMessage)):
        await shaken(WRONG_ANSWERS[name])


@pytest.mark.parametrize("name", REFUSALS)
async def test_answers_of_another_kind(name: str) -> None:
    with pytest.raises(InvalidHandshake):
        await shaken(Answer(lambda peer: REFUSALS[name]))


async def shaken(answer: Answer) -> None:
    async with WebSocketServer(upgrade=answer.of) as server:
        extensions = deflate(client_max_window_bits=True) if answer.compression else None
        async with connect(server.url, compression=None, extensions=extensions, subprotocols=answer.subprotocols or None) as connection:  # type: ignore[arg-type]
            assert connection.close_code is None


def test_a_close_is_what_the_table_says() -> None:
    assert closing(1000) == bytes.fromhex("880203e8")
    assert closing(None) == bytes.fromhex("8800")
