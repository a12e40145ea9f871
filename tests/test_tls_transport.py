"""TLS upon a transport: OpenSSL on the other side, in memory (every split of the bytes) and as a server of its own (what changes keys)."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from peers import needed

import aioreq
from aioreq import TLS, Timeout
from aioreq.testing import Authority
from aioreq.tls_transport import RECORD, UNREAD, TLSTransport

pytestmark = pytest.mark.usefixtures("no_hanging")


class Wire(asyncio.Transport):
    """The transport below: keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reading = True
        self.unread = 0  # bytes that the peer doesn't take
        self.end = ""

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return bool(self.end)

    def close(self) -> None:
        self.end = self.end or "closed"

    def abort(self) -> None:
        self.end = "aborted"

    def get_write_buffer_size(self) -> int:
        return self.unread and self.unread + len(self.written)


class Above(asyncio.BufferedProtocol):
    """The protocol above, with a buffer of a size to choose."""

    def __init__(self, size: int = RECORD) -> None:
        self.buffer = bytearray(size)
        self.received = bytearray()
        self.lost: list[Exception | None] = []
        self.ended = 0
        self.after: Callable[[], None] = lambda: None

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.received += self.buffer[:nbytes]
        self.after()

    def eof_received(self) -> None:
        self.ended += 1

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.append(error)


class Peer:
    """OpenSSL's other side, in memory."""

    def __init__(self, authority: Authority, version: ssl.TLSVersion, asks_later: bool = False) -> None:
        context = authority.server_context()
        context.maximum_version = version
        if asks_later:
            context.verify_mode, context.post_handshake_auth = ssl.CERT_OPTIONAL, True
        self._arriving, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._arriving, self._leaving, server_side=True)
        self.received = bytearray()

    def take(self, data: bytes) -> bytes:
        """Read this; gives what is to be sent back."""
        self._arriving.write(data)
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
            while data := self.tls.read(RECORD):
                self.received += data
        return self._leaving.read()

    def say(self, data: bytes) -> bytes:
        self.tls.write(data)
        return self._leaving.read()

    def bye(self) -> bytes:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self._leaving.read()


class Pair:
    """A client's transport and its peer, joined by bytes that come in pieces."""

    def __init__(self, authority: Authority, ca: Path, version: ssl.TLSVersion, size: int = RECORD, asks_later: bool = False) -> None:
        self.wire, self.above, self.peer = Wire(), Above(size), Peer(authority, version, asks_later)
        self.buffer = memoryview(bytearray(64 * 1024))
        context = ssl.create_default_context(cafile=ca)
        context.post_handshake_auth = asks_later
        self.transport = TLSTransport(asyncio.get_running_loop(), context, "localhost", self.buffer)

    def arrive(self, data: bytes, piece: int | random.Random = 1 << 30) -> None:
        at = 0
        while at < len(data) and not self.wire.end:
            size = min(piece if isinstance(piece, int) else piece.randint(1, 4000), len(self.buffer))
            part = data[at : at + size]
            assert self.transport.get_buffer(-1) is self.buffer
            self.buffer[: len(part)] = part
            self.transport.buffer_updated(len(part))
            at += size

    def sent(self) -> bytes:
        data, self.wire.written = self.wire.written, b""
        return data

    async def shake(self, piece: int | random.Random = 1 << 30) -> None:
        self.transport.connection_made(self.wire)
        while data := self.sent():
            self.arrive(self.peer.take(data), piece)
        await self.transport.handshake()
        self.transport.start(self.above)


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
def version(request: pytest.FixtureRequest) -> ssl.TLSVersion:
    result: ssl.TLSVersion = request.param
    return result


# However the bytes are split


@pytest.mark.parametrize("piece", [1, 2, 7, 1000, 1 << 30])
@pytest.mark.parametrize("size", [1, 100, RECORD, 5 * RECORD])
async def test_pieces(authority: Authority, ca: Path, version: ssl.TLSVersion, piece: int, size: int) -> None:
    pair = Pair(authority, ca, version, size)
    await pair.shake(piece)
    for data in (b"x", random.Random(1).randbytes(3 * RECORD + 5), b"the last"):
        before = len(pair.above.received)
        pair.arrive(pair.peer.say(data), piece)
        assert pair.above.received[before:] == data
        pair.transport.write(data)
        pair.peer.take(pair.sent())
    assert pair.peer.received.endswith(b"the last")
    assert len(pair.peer.received) == len(pair.above.received)


@pytest.mark.parametrize("seed", range(5))
async def test_random_pieces(authority: Authority, ca: Path, version: ssl.TLSVersion, seed: int) -> None:
    chance = random.Random(seed)
    pair = Pair(authority, ca, version, chance.choice([1, 77, RECORD]))
    await pair.shake(chance)
    said, wrote = bytearray(), bytearray()
    for _ in range(50):
        data = chance.randbytes(chance.choice([1, 200, 40_000]))
        if chance.random() < 0.5:
            pair.arrive(pair.peer.say(data), chance)
            said += data
        else:
            pair.transport.write(data)
            pair.peer.take(pair.sent())
            wrote += data
    assert (pair.above.received, pair.peer.received) == (said, wrote)


async def test_a_protocol_that_pauses_is_given_nothing_more(authority: Authority, ca: Path, version: ssl.TLSVersion) -> None:
    pair = Pair(authority, ca, version, 1000)
    await pair.shake()
    pair.above.after = pair.transport.pause_reading
    data = random.Random(2).randbytes(2 * RECORD)
    pair.arrive(pair.peer.say(data))
    assert pair.above.received == data[:1000]
    assert not pair.wire.reading
    for step in range(2, 5):
        pair.transport.resume_reading()
        await asyncio.sleep(0)
        assert pair.above.received == data[: 1000 * step]
    pair.above.after = lambda: None
    pair.transport.resume_reading()
    await asyncio.sleep(0)
    assert pair.above.received == data


async def test_what_arrives_before_the_protocol_waits_for_it(authority: Authority, ca: Path, version: ssl.TLSVersion) -> None:
    pair = Pair(authority, ca, version)
    pair.transport.connection_made(pair.wire)
    while data := pair.sent():
        pair.arrive(pair.peer.take(data))
    pair.arrive(pair.peer.say(b"first"))
    await pair.transport.handshake()
    pair.arrive(pair.peer.say(b" second"))
    pair.transport.start(pair.above)
    assert pair.above.received == b"first second"


# The end


async def test_a_close_notify_ends_it_and_what_follows_is_nothing(authority: Authority, ca: Path, version: ssl.TLSVersion) -> None:
    pair = Pair(authority, ca, version)
    await pair.shake()
    pair.arrive(pair.peer.say(b"bye") + pair.peer.bye() + b"\x17\x03\x03\x00\x05abcde")
    assert (bytes(pair.above.received), pair.above.ended, pair.above.lost) == (b"bye", 1, [])
    pair.arrive(b"more")
    pair.transport.eof_received()
    assert (bytes(pair.above.received), pair.above.ended) == (b"bye", 1)


async def test_a_bare_end(authority: Authority, ca: Path, version: ssl.TLSVersion) -> None:
    pair = Pair(authority, ca, version)
    await pair.shake()
    pair.transport.eof_received()
    pair.transport.connection_lost(None)
    assert (pair.above.ended, pair.above.lost) == (1, [None])
    assert pair.transport.is_closing()
    pair.transport.write(b"too late")
    pair.transport.abort()


async def test_a_changed_byte_breaks_it(authority: Authority, ca: Path, version: ssl.TLSVersion) -> None:
    pair = Pair(authority, ca, version)
    await pair.shake()
    record = bytearray(pair.peer.say(b"secret"))
    record[-1] ^= 1
    pair.arrive(bytes(record))
    assert pair.wire.end == "aborted"
    with pytest.raises(ssl.SSLError, match="(?i)bad record mac|decryption failed"):
        pair.peer.take(pair.sent())  # it was told by an alert
    pair.transport.connection_lost(None)
    assert isinstance(pair.above.lost[0], ssl.SSLError)
    assert pair.above.received == b""


@pytest.mark.parametrize("unread", [UNREAD // 2, UNREAD])
async def test_a_peer_that_asks_for_answers_and_reads_none(authority: Authority, ca: Path, unread: int) -> None:
    """By a request for a certificate here; a key update is answered each time as well."""
    pair = Pair(authority, ca, ssl.TLSVersion.TLSv1_3, asks_later=True)
    await pair.shake()
    pair.sent()
    pair.wire.unread = unread
    pair.peer.tls.verify_client_post_handshake()
    pair.arrive(pair.peer.say(b"x"))
    assert pair.sent()
    assert pair.wire.end == ("aborted" if unread == UNREAD else "")


async def test_closing_says_so(authority: Authority, ca: Path, version: ssl.TLSVersion) -> None:
    pair = Pair(authority, ca, version)
    await pair.shake()
    pair.transport.close()
    pair.transport.close()
    assert pair.wire.end == "closed"
    assert pair.peer.take(pair.sent()) is not None
    assert pair.peer.tls.read(1) == b""  # a close_notify, not a bare end


# The handshake


async def test_an_end_at_each_byte_of_the_handshake(authority: Authority, ca: Path, version: ssl.TLSVersion) -> None:
    whole = Pair(authority, ca, version)
    whole.transport.connection_made(whole.wire)
    first = len(whole.peer.take(whole.sent()))
    for at in range(0, first, 97):
        pair = Pair(authority, ca, version)
        pair.transport.connection_made(pair.wire)
        pair.arrive(pair.peer.take(pair.sent())[:at])
        pair.transport.eof_received()
        assert pair.wire.end == "aborted"
        pair.transport.connection_lost(None)
        with pytest.raises(ConnectionResetError):
            await pair.transport.handshake()


async def test_what_is_no_tls(authority: Authority, ca: Path, version: ssl.TLSVersion) -> None:
    pair = Pair(authority, ca, version)
    pair.transport.connection_made(pair.wire)
    pair.arrive(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert pair.wire.end == "aborted"
    with pytest.raises(ssl.SSLError, match="(?i)wrong.version.number|record.layer.failure"):
        await pair.transport.handshake()


async def test_a_transport_given_up_before_it_connects(authority: Authority, ca: Path, version: ssl.TLSVersion) -> None:
    pair = Pair(authority, ca, version)
    pair.transport.abort()
    pair.transport.connection_made(pair.wire)
    assert (pair.wire.end, pair.wire.written) == ("aborted", b"")


async def test_a_peer_that_has_gone_since_the_handshake(authority: Authority, ca: Path, version: ssl.TLSVersion) -> None:
    pair = Pair(authority, ca, version)
    pair.transport.connection_made(pair.wire)
    while data := pair.sent():
        pair.arrive(pair.peer.take(data))
    await pair.transport.handshake()
    pair.transport.eof_received()
    with pytest.raises(ConnectionResetError):
        pair.transport.start(pair.above)


# One upon another


async def test_one_upon_another(authority: Authority, ca: Path, version: ssl.TLSVersion) -> None:
    """TLS to an https proxy, and through it TLS to the origin: one buffer serves both."""
    outer = Pair(authority, ca, version)
    await outer.shake(7)
    inner, peer, above = (
        TLSTransport(asyncio.get_running_loop(), ssl.create_default_context(cafile=ca), "localhost", outer.buffer),
        None,
        Above(),
    )
    peer = Peer(authority, version)
    outer.transport.set_protocol(inner)

    def pump() -> None:
        while data := outer.sent():
            before = len(outer.peer.received)
            outer.peer.take(data)
            if answer := peer.take(bytes(outer.peer.received[before:])):
                outer.arrive(outer.peer.say(answer), 7)

    inner.connection_made(outer.transport)
    pump()
    await inner.handshake()
    inner.start(above)
    inner.write(b"question")
    pump()
    assert bytes(peer.received) == b"question"
    outer.arrive(outer.peer.say(peer.say(b"answer" * 10_000)), 1000)
    assert above.received == b"answer" * 10_000
    outer.transport.eof_received()
    outer.transport.connection_lost(None)
    assert (above.ended, above.lost) == (1, [None])


# Real peers


async def line_of(server: subprocess.Popen[bytes], wanted: bytes) -> bytes:
    """Reads on in a thread until a line of the server's has this in it."""

    def read() -> bytes:
        assert server.stdout is not None
        while line := server.stdout.readline():
            if wanted in line:
                return line
        raise AssertionError(f"{wanted!r} never came")

    return await asyncio.to_thread(read)


async def port_of(server: subprocess.Popen[bytes]) -> int:
    """Once it listens."""
    return int((await line_of(server, b"ACCEPT")).rpartition(b":")[2])


@pytest.fixture
def s_server(authority: Authority, tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    openssl = needed("openssl", "openssl")
    pem = tmp_path / "server.pem"
    pem.write_bytes(authority.issue("127.0.0.1"))
    servers = []

    def start(version: str) -> subprocess.Popen[bytes]:
        command = [openssl, "s_server", "-accept", "127.0.0.1:0", "-cert", str(pem), f"-{version}", "-crlf"]
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.kill()
        server.communicate()


RESPONSE = b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"


@pytest.mark.parametrize(
    ("version", "command"), [("tls1_3", b"K\n"), ("tls1_3", b"k\n"), ("tls1_2", b"r\n")], ids=["update both", "update", "anew"]
)
async def test_keys_that_change(s_server: Any, ca: Path, version: str, command: bytes) -> None:
    """RFC 8446 section 4.6.3 and RFC 5246 section 7.4.1.1: on an idle connection, and right before a response."""
    server = s_server(version)
    port = await port_of(server)
    async with aioreq.Client(tls=TLS(ca=ca), timeout=20) as client:
        for number in range(3):
            asked = asyncio.ensure_future(client.get(f"https://127.0.0.1:{port}/{number}"))
            await line_of(server, b"GET /%d " % number)
            server.stdin.write(command)
            await asyncio.sleep(0.05)
            server.stdin.write(RESPONSE)
            response = await asked
            assert response.text == "ok"
            assert response.connection.reused == (number > 0)
            server.stdin.write(command)
            await asyncio.sleep(0.05 * (number % 2))


@contextlib.asynccontextmanager
async def mute(port: int, last: asyncio.Event) -> AsyncIterator[int]:
    """A relay to this port that lets one answer more through once `last` is set, and nothing behind it. The other way it takes all."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mute: bool) -> None:
        while data := await reader.read(65536):
            was_last = last.is_set() and mute
            writer.write(data)
            await writer.drain()
            if was_last:
                await asyncio.Event().wait()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(asyncio.CancelledError, OSError):  # asyncio complains of either
            await asyncio.gather(pass_on(reader, server_writer, False), pass_on(server_reader, writer, True))
        writer.close()
        server_writer.close()

    tasks: list[asyncio.Task[Any]] = []
    relay = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield relay.sockets[0].getsockname()[1]
    finally:
        relay.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_an_upload_waits_while_the_peer_negotiates_anew(s_server: Any, ca: Path) -> None:
    """One that asks for it, and then says nothing, has no more of a body made than is sent: none of it would find an end in memory."""
    server = s_server("tls1_2")
    port = await port_of(server)
    taken, last = 0, asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        nonlocal taken
        yield b"the beginning\n"
        await line_of(server, b"the beginning")
        last.set()
        server.stdin.write(b"r\n")
        await asyncio.sleep(0.5)  # it asks, we answer, and wait for more
        for _ in range(1000):
            taken += 1
            yield b"x" * 64_000

    async with mute(port, last) as relay, aioreq.Client(tls=TLS(ca=ca), timeout=Timeout(20, write=0.5), retry=0) as client:
        with pytest.raises(aioreq.WriteTimeout):
            await client.post(f"https://127.0.0.1:{relay}/", content=body())
    assert taken < 10


@contextlib.asynccontextmanager
async def hasty(context: ssl.SSLContext, reset: bool) -> AsyncIterator[str]:
    """A server that refuses an upload after its head, and goes with the rest unread: its kernel sends a reset behind the answer."""
    answer = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large"

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                bare, _ = listener.accept()
                bare.settimeout(10)
                bare.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or the answer waits for an ACK, and dies with the connection
                with contextlib.suppress(OSError), context.wrap_socket(bare, server_side=True) as connection:
                    connection.recv(4096)
                    connection.sendall(answer)
                    if reset:
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            await asyncio.to_thread(thread.join, 10)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems drop what was received before a reset")
@pytest.mark.parametrize("reset", [False, True])
async def test_an_early_answer_outlives_the_reset_behind_it(authority: Authority, ca: Path, reset: bool) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"x" * 20_000

    async with hasty(authority.server_context(), reset) as url, aioreq.Client(tls=TLS(ca=ca), retry=0) as client:
        for _ in range(30):
            response = await client.post(url, content=endless())
            assert (response.status, response.text) == (413, "too large")
