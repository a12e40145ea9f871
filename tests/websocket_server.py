"""A WebSocket server that keeps every rule, or breaks those that it is told to break: written from RFC 6455 and RFC 7692 alone.

Knows nothing of aioreq, so that one mistake can't hide on both sides. What a client sends is held to the RFCs, too: what breaks them
fails the test at the end of the `async with`. The sections in comments are RFC 6455's where no other is named.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import socket
import ssl
import struct
import zlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Self

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
GONE = (OSError, EOFError, RuntimeError)  # the last is uvloop's, of a transport that is closed already
PATIENCE = 20  # seconds for a connection to end when a test waits for it; none has a reason to take one

# -- frames (section 5.2)


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = None,
    bits: int | None = None,
    declared: int | None = None,
) -> bytes:
    """As a server sends it. `rsv`: RSV1 is 4, RSV2 is 2, RSV3 is 1; `bits`: the length in that many (7, 16 or 64), wrong or not;
    `declared`: another length than the payload's."""
    length = len(payload) if declared is None else declared
    bits = bits or (7 if length < 126 else 16 if length < 1 << 16 else 64)
    masked = 0 if mask is None else 0x80
    head = bytes([fin << 7 | rsv << 4 | opcode])
    if bits == 7:
        head += bytes([masked | length])
    elif bits == 16:
        head += bytes([masked | 126]) + struct.pack("!H", length)
    else:
        head += bytes([masked | 127]) + struct.pack("!Q", length)
    return head + (payload if mask is None else mask + masking(payload, mask))


def masking(payload: bytes, mask: bytes) -> bytes:
    """Section 5.3, in the words of the RFC: octet i is XORed with octet i modulo 4 of the mask."""
    if len(payload) < 1 << 16:
        return bytes([octet ^ mask[i % 4] for i, octet in enumerate(payload)])
    whole = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(len(payload), "big")


def closing(code: int | None = 1000, reason: str | bytes = "") -> bytes:
    """A Close frame (section 5.5.1); None is one without a code."""
    reason = reason.encode() if isinstance(reason, str) else reason
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


def fragments(opcode: int, pieces: Iterable[bytes], rsv: int = 0) -> bytes:
    """One message (section 5.4), a frame for each piece."""
    pieces = list(pieces)
    last = len(pieces) - 1
    frames = [frame(0 if i else opcode, piece, fin=i == last, rsv=0 if i else rsv) for i, piece in enumerate(pieces)]
    return b"".join(frames)


@dataclass(frozen=True)
class Frame:
    """One that a client sent."""

    opcode: int
    payload: bytes
    fin: bool
    compressed: bool
    mask: bytes


class BrokenRule(AssertionError):
    """The client sent what an RFC forbids."""


def rule(kept: object, words: str) -> None:
    if not kept:
        raise BrokenRule(words)


# -- the handshake (section 4.2)


def accept_of(key: str) -> str:
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def switching(
    peer: Peer,
    more: Iterable[tuple[str, str]] = (),
    *,
    line: str = "HTTP/1.1 101 Switching Protocols",
    upgrade: Iterable[str] = ("websocket",),
    connection: Iterable[str] = ("Upgrade",),
    accept: Iterable[str] | None = None,
) -> bytes:
    """The right answer to a handshake, or one that differs where it is told to; a field goes out once for each of its values."""
    fields = [("Upgrade", value) for value in upgrade] + [("Connection", value) for value in connection]
    fields += [("Sec-WebSocket-Accept", value) for value in ([accept_of(peer.key)] if accept is None else accept)]
    return "".join([f"{line}\r\n", *[f"{name}: {value}\r\n" for name, value in [*fields, *more]], "\r\n"]).encode("latin-1")


def refusal(status: str, body: bytes = b"", *more: tuple[str, str]) -> bytes:
    """An answer of another kind, whole."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in more)
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode("latin-1") + body


@dataclass(frozen=True)
class Deflating:
    """What a server agrees to of permessage-deflate (RFC 7692), and does; `answer` is what it says of it instead, wrong or not."""

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = 15
    client_max_window_bits: int = 15
    answer: str | None = None

    def __str__(self) -> str:
        if self.answer is not None:
            return self.answer
        words = ["permessage-deflate"]
        words += ["server_no_context_takeover"] if self.server_no_context_takeover else []
        words += ["client_no_context_takeover"] if self.client_no_context_takeover else []
        words += [f"server_max_window_bits={self.server_max_window_bits}"] if self.server_max_window_bits < 15 else []
        words += [f"client_max_window_bits={self.client_max_window_bits}"] if self.client_max_window_bits < 15 else []
        return "; ".join(words)


# -- one connection


class Peer:
    """A client's connection. What it sent is kept: `frames` in their order, `close` once one of them was a Close."""

    def __init__(self, server: WebSocketServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self.deflate: Deflating | None = None  # agreed on for this connection
        self.head = b""
        self.fields: dict[str, list[str]] = {}
        self.frames: list[Frame] = []
        self.close: tuple[int, str] | None = None  # code and reason; 1005 where there was no code
        self.end: str | None = None  # once it has ended: by the client's "FIN", amid a frame or not, or "RST", or by "us"
        self._masks: set[bytes] = set()
        self._fragmented = False
        self._amid = False  # a frame
        self._deflater: zlib._Compress | None = None
        self._inflater: zlib._Decompress | None = None

    @property
    def path(self) -> str:
        return self.head.split(b" ", 2)[1].decode()

    @property
    def key(self) -> str:
        return self.fields["sec-websocket-key"][0]

    async def read_head(self) -> bytes:
        self.head = await self.reader.readuntil(b"\r\n\r\n")
        self.fields = {}
        for line in self.head.decode("latin-1").split("\r\n")[1:-2]:
            name, _, value = line.partition(":")
            self.fields.setdefault(name.lower(), []).append(value.strip())
        return self.head

    def check_handshake(self) -> None:
        """Section 4.2.1."""
        rule(self.head.startswith(b"GET ") and self.head.split(b"\r\n")[0].endswith(b" HTTP/1.1"), "1: a GET of HTTP/1.1")
        rule(len(self.fields.get("host", ())) == 1, "2: a Host")
        rule([value.lower() for value in self.fields.get("upgrade", ())] == ["websocket"], "3: Upgrade: websocket")
        tokens = [token.strip().lower() for value in self.fields.get("connection", ()) for token in value.split(",")]
        rule("upgrade" in tokens, "4: Connection: Upgrade")
        keys = self.fields.get("sec-websocket-key", [])
        rule(len(keys) == 1 and len(base64.b64decode(keys[0], validate=True)) == 16, "5: a key of 16 bytes")
        rule(keys[0] not in self.server.keys, "section 4.1: a nonce is chosen for each connection")
        self.server.keys.add(keys[0])
        rule(self.fields.get("sec-websocket-version") == ["13"], "6: Sec-WebSocket-Version: 13")
        rule(len(self.fields.get("sec-websocket-protocol", [""])) == 1, "8: the field of subprotocols, once")

    # What goes out.

    async def write(self, *data: bytes) -> None:
        """Returns when the client takes it."""
        self.writer.write(b"".join(data))
        await self.writer.drain()

    async def dribble(self, data: bytes, sizes: Iterable[int] = ()) -> None:
        """In pieces of these sizes, then byte by byte, each of which a client reads by itself."""
        sizes = iter(sizes)
        while data:
            size = next(sizes, 1)
            await self.write(data[:size])
            data = data[size:]
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    def deflated(self, data: bytes, *, final: bool = False) -> bytes:
        """RFC 7692 section 7.2.1. `final`: by a block that says that it is the last (section 7.2.3.3, 7.2.3.4)."""
        given = self.deflate or Deflating()
        if self._deflater is None or given.server_no_context_takeover:
            bits = given.server_max_window_bits  # zlib has no window of 8 bits: nothing refers back there
            self._deflater = zlib.compressobj(wbits=-bits) if bits > 8 else zlib.compressobj(level=0, wbits=-9)
        if final:
            data, self._deflater = self._deflater.compress(data) + self._deflater.flush(), None
            return data + b"\x00"
        return (self._deflater.compress(data) + self._deflater.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")

    async def send(self, message: str | bytes) -> None:
        opcode, data = (TEXT, message.encode()) if isinstance(message, str) else (BINARY, message)
        if self.deflate is None:
            await self.write(frame(opcode, data))
        else:
            await self.write(frame(opcode, self.deflated(data), rsv=4))

    # What comes in.

    async def read_frame(self) -> Frame:
        """The next one; what the RFC forbids a client is a `BrokenRule`."""
        first, second = await self.reader.readexactly(2)
        self._amid = True
        fin, rsv, opcode = bool(first & 0x80), first >> 4 & 7, first & 0xF
        length = second & 0x7F
        rule(second & 0x80, "5.1: a client masks its frames")
        rule(opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG), "5.2: a reserved opcode")
        if length == 126:
            (length,) = struct.unpack("!H", await self.reader.readexactly(2))
            rule(length > 125, "5.2: the minimal number of bytes")
        elif length == 127:
            (length,) = struct.unpack("!Q", await self.reader.readexactly(8))
            rule(1 << 16 <= length < 1 << 63, "5.2: the minimal number of bytes")
        if opcode >= CLOSE:
            rule(fin and length < 126, "5.5: a control frame of 125 bytes at most, whole")
        else:
            rule((opcode == CONTINUATION) == self._fragmented, "5.4: a message's fragments, and no other's")
            self._fragmented = not fin
        rule(rsv in (0, 4), "5.2: reserved bits")
        rule(rsv == 0 or (self.deflate is not None and opcode in (TEXT, BINARY)), "RFC 7692 section 6: RSV1")
        mask = await self.reader.readexactly(4)
        if len(self._masks) < 2000:  # 32 bits meet again some day
            rule(mask not in self._masks, "5.3: a fresh mask for each frame")
            self._masks.add(mask)
        one = Frame(opcode, masking(await self.reader.readexactly(length), mask), fin, rsv == 4, mask)
        rule(self.close is None, "5.5.1: nothing behind a Close")
        self._amid = False
        self.frames.append(one)
        if opcode == CLOSE:
            self.close = self.closed_with(one.payload)
        return one

    def closed_with(self, payload: bytes) -> tuple[int, str]:
        """Sections 5.5.1 and 7.4."""
        if not payload:
            return 1005, ""
        rule(len(payload) >= 2, "5.5.1: a code of two bytes")
        (code,) = struct.unpack("!H", payload[:2])
        rule(1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code < 5000, f"7.4: {code} is never sent")
        return code, payload[2:].decode()

    async def message(self, *, pong: bool = True) -> str | bytes | None:
        """The next one, put together; None at a Close. Pings are answered unless `pong` is false."""
        opcode, data, compressed = 0, bytearray(), False
        while True:
            one = await self.read_frame()
            if one.opcode == CLOSE:
                return None
            if one.opcode >= CLOSE:
                if one.opcode == PING and pong:
                    await self.write(frame(PONG, one.payload))
                continue
            if one.opcode != CONTINUATION:
                opcode, compressed = one.opcode, one.compressed
            data += one.payload
            if one.fin:
                whole = self.inflated(bytes(data)) if compressed else bytes(data)
                return whole.decode() if opcode == TEXT else whole

    def inflated(self, data: bytes) -> bytes:
        """RFC 7692 section 7.2.2, in the window that was agreed."""
        given = self.deflate or Deflating()
        if self._inflater is None or given.client_no_context_takeover:
            self._inflater = zlib.decompressobj(wbits=-given.client_max_window_bits)
        whole = self._inflater.decompress(data + b"\x00\x00\xff\xff")
        rule(not self._inflater.unconsumed_tail, "RFC 7692 section 7.2.2: nothing is left of the message")
        return whole

    async def until_close(self) -> tuple[int, str]:
        """Past whatever comes before it."""
        while self.close is None:
            await self.read_frame()
        return self.close

    async def finish(self, code: int | None = 1000, reason: str = "") -> None:
        """The closing handshake from this side (section 7.1.2), to the end of the connection (7.1.1)."""
        await self.write(closing(code, reason))
        await self.until_close()
        self.hang_up()

    def hang_up(self) -> None:
        """FIN, behind what was written."""
        self.end = "us"
        self.writer.close()

    def ended_by(self, what: str) -> str:
        return f"{what} amid a frame" if self._amid else what

    def reset(self) -> None:
        """RST, whatever is still to be written."""
        self.end = "us"
        transport = self.writer.transport
        with contextlib.suppress(OSError):
            raw: socket.socket = transport.get_extra_info("socket")
            with socket.socket(fileno=os.dup(raw.fileno())) as copy:
                copy.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


Script = Callable[[Peer], Awaitable[object]]
Upgrade = Callable[[Peer], bytes]


async def echo(peer: Peer) -> None:
    """What comes goes back, until the client closes."""
    while (message := await peer.message()) is not None:
        await peer.send(message)
    assert peer.close is not None
    code, reason = peer.close
    await peer.write(closing(None if code == 1005 else code, reason))
    peer.hang_up()


def saying(*data: bytes) -> Script:
    """Writes these bytes, and reads on."""

    async def script(peer: Peer) -> None:
        await peer.write(*data)

    return script


class WebSocketServer:
    """`async with WebSocketServer(script) as server`: each connection is upgraded, by `upgrade` where given, and goes by the script.

    After the script a connection is read until the client ends it: what it sent stands in `server.peers`. An `upgrade` that gives no
    101 is asked again for the next request on that connection; `checked=False` takes any request for a handshake.
    """

    def __init__(
        self,
        script: Script = echo,
        *,
        upgrade: Upgrade | None = None,
        deflate: Deflating | None = None,
        context: ssl.SSLContext | None = None,
        unix: str | os.PathLike[str] | None = None,
        checked: bool = True,
    ) -> None:
        self.script = script
        self.deflate = deflate
        self.peers: list[Peer] = []
        self.heads: list[bytes] = []
        self.keys: set[str] = set()
        self.failures: list[BaseException] = []
        self._upgrade = upgrade or self.right
        self._context = context
        self._unix = unix
        self._checked = checked
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = 0
        self._ended = asyncio.Condition()

    @property
    def url(self) -> str:
        """Without a path."""
        scheme = "wss" if self._context else "ws"
        return f"{scheme}://localhost" if self._unix else f"{scheme}://127.0.0.1:{self.port}"

    def right(self, peer: Peer) -> bytes:
        """Compression is agreed on where it is offered, and the server does it."""
        if self.deflate is None or not any("permessage-deflate" in value for value in peer.fields.get("sec-websocket-extensions", ())):
            return switching(peer)
        peer.deflate = self.deflate
        return switching(peer, [("Sec-WebSocket-Extensions", str(self.deflate))])

    async def __aenter__(self) -> Self:
        if self._unix:
            self._server = await asyncio.start_unix_server(self._accept, self._unix, ssl=self._context)
        else:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._context)
            self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        self._server.close()
        for _ in range(5):  # what the loop has accepted already becomes a connection within these turns
            await asyncio.sleep(0)
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0)  # in which they are forgotten: of tasks that are all done CPython 3.12 waits for none
        for peer in self.peers:
            with contextlib.suppress(AttributeError):  # asyncio's: one that was closed with bytes to send has sent them, and is gone
                peer.writer.transport.abort()
        await self._server.wait_closed()
        if kind is None and self.failures:
            raise self.failures[0]

    async def ended(self, count: int = 1) -> list[Peer]:
        """So many connections, once both ends of each are through."""
        async with asyncio.timeout(PATIENCE), self._ended:
            await self._ended.wait_for(lambda: len(self.peers) >= count and not self._open)
        if self.failures:
            raise self.failures[0]
        return self.peers

    async def last(self) -> Peer:
        """The only connection that there was, once it is through."""
        (peer,) = await self.ended()
        return peer

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(self, reader, writer)
        self.peers.append(peer)
        self._open += 1
        task = asyncio.get_running_loop().create_task(self._serve(peer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, peer: Peer) -> None:
        try:
            await self._talk(peer)
        except asyncio.IncompleteReadError:
            peer.end = peer.end or peer.ended_by("FIN")
        except GONE:
            peer.end = peer.end or peer.ended_by("RST")
        except AssertionError as error:
            self.failures.append(error)
        except Exception as error:
            error.add_note(f"in the script of {peer.path}")
            self.failures.append(error)
        finally:
            peer.writer.close()
            self._open -= 1
            async with self._ended:
                self._ended.notify_all()

    async def _talk(self, peer: Peer) -> None:
        answer = b""
        while b" 101 " not in answer:
            self.heads.append(await peer.read_head())
            if self._checked:
                peer.check_handshake()
            answer = self._upgrade(peer)
            await peer.write(answer)
        await self.script(peer)
        while True:
            await peer.read_frame()
