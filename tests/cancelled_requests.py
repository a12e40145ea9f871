"""The requests that test_cancellation.py cancels, and the server that answers them: one kind of request for each way through the package.

Every answer names the request that it answers. Who is cancelled, and where, is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import io
import random
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from cancelled_websockets import WebSocketKinds, WebSockets
from relay import Relay

import aioreq
import aioreq.tls
from aioreq import TLS, Auth, BearerAuth, NetrcAuth, Proxy, Retry, ThreadedResolver
from aioreq.deadlines import INFINITE
from aioreq.middlewares import MiddleWare
from aioreq.models import Request, Response, ResponseHead, StreamResponse
from aioreq.saving import save
from aioreq.testing import Close, Connection, Pause, Reply, Script, Server, StopReading
from aioreq.testing import Request as Received
from aioreq.upload import CHUNK

# Addresses of this machine at which nobody listens, and nobody answers. Only Linux has more than one.
REFUSING, *ALSO_REFUSING = ["127.0.0.2", "127.0.0.4"] if sys.platform == "linux" else ["::1"]
SILENT = ["127.0.0.3"] if sys.platform == "linux" else []


def body_of(number: int, pieces: int = 3) -> bytes:
    return b"%d," % number * 20 * pieces


def routes(server: Server) -> None:
    seen: set[str] = set()

    async def slowly(*pieces: bytes) -> AsyncIterator[bytes]:
        for piece in pieces:
            await asyncio.sleep(0)
            yield piece

    def in_pieces(number: int) -> AsyncIterator[bytes]:
        return slowly(*[body_of(number, 1)] * 3)

    @server.route("/pieces/{n}")
    def pieces(request: Received) -> Reply:
        return Reply(200, body=in_pieces(int(request.params["n"])))

    @server.route("/long/{n}")
    def long(request: Received) -> bytes:
        """More than waits for its reader: until then it holds the connection."""
        return b"%08d" % int(request.params["n"]) * 200_000

    @server.route("/json/{n}")
    def json(request: Received) -> Reply:
        return Reply(200, body=slowly(b"[", body_of(int(request.params["n"]))[:-1], b"]"))

    @server.route("/zipped/{n}")
    def zipped(request: Received) -> Reply:
        body = gzip.compress(body_of(int(request.params["n"])))
        return Reply(200, [("Content-Encoding", "gzip")], slowly(body[:20], body[20:]))

    @server.route("/missing/{n}")
    def missing(request: Received) -> Reply:
        return Reply(404, body=in_pieces(int(request.params["n"])))

    @server.route("/moved/{n}")
    async def moved(request: Received) -> Reply:
        await asyncio.sleep(0)
        number = int(request.params["n"])
        return Reply(302, [("Location", f"/later/{number}")], body=in_pieces(number) if number % 2 else long(request))

    @server.route("/later/{n}")
    async def later(request: Received) -> bytes:
        await asyncio.sleep(0.002)
        return body_of(int(request.params["n"]))

    @server.route("/echo")
    def echo(request: Received) -> bytes:
        return request.body

    @server.route("/hashed/{n}")
    def hashed(request: Received) -> Reply | bytes:
        """For whoever answers a challenge at all: whether the answer is right is tested elsewhere."""
        if f'username="{request.params["n"]}"' in (request.header("authorization") or ""):
            return request.body
        return Reply(401, [("WWW-Authenticate", 'Digest realm="r", nonce="n", qop="auth-int", algorithm=SHA-256')])

    @server.route("/token/{n}")
    def token(request: Received) -> Reply:
        """Wants a token as new as the request."""
        scheme, _, given = (request.header("authorization") or "").partition(" ")
        assert scheme == "Bearer"
        return Reply(200 if int(given) >= age_of(int(request.params["n"])) else 401, body=in_pieces(int(request.params["n"])))

    @server.route("/busy/{n}")
    def busy(request: Received) -> Reply:
        """The first time that it is asked."""
        again = request.params["n"] in seen
        seen.add(request.params["n"])
        return Reply(200 if again else 503, body=in_pieces(int(request.params["n"])))

    @server.route("/lines/{n}")
    def lines(request: Received) -> Reply:
        line = b'["%s"]\r\n' % request.params["n"].encode()
        return Reply(200, body=slowly(line[:3], line[3:] + line + line[:4], line[4:-1], line[-1:], line))

    @server.route("/parts/{n}/{size}")
    def parts(request: Received) -> Reply:
        part = b"Content-Type: text/plain\r\nX: %s\r\n\r\n%s" % (b"y" * 20, body_of(int(request.params["n"])))
        body = b"before\r\n--b\r\n%b\r\n--b  \r\n%b\r\n--b\r\n%b\r\n--b--\r\nbehind" % (part, part, part)
        size = int(request.params["size"])
        return Reply(
            200, [("Content-Type", "multipart/mixed; boundary=b")], slowly(*[body[at : at + size] for at in range(0, len(body), size)])
        )

    @server.route("/events/{n}")
    def events(request: Received) -> Any:
        """Half of them, whoever has no Last-Event-ID; then the other half, and then there are no more."""
        number = request.params["n"].encode()
        match request.header("last-event-id"):
            case None:
                head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                event = b"retry: 1\r\nid: half\r\ndata: %b\r\n\r\n" % number
                return Script((head, b"%x\r\n%b\r\n" % (len(event), event), Pause(0.001), b"5\r\ndata", Close()))
            case "half":
                return Reply(200, [("Content-Type", "text/event-stream")], slowly(b"id: whole\ndata: ", number + b"\n", b"\n"))
        return Reply(204)

    @server.route("/created/{n}")
    def created(request: Received) -> Reply:
        return Reply(201, body=in_pieces(int(request.params["n"])))

    @server.route("/second/{n}")
    def second(request: Received) -> Any:
        """Closes the connection the first time that it is asked."""
        if request.params["n"] not in seen:
            seen.add(request.params["n"])
            return Script((Close(),))
        return body_of(int(request.params["n"]))

    @server.route("/large/{n}")
    def large(request: Received) -> Reply:
        """More than is decoded on the loop's own thread."""
        body = gzip.compress(b"%08d" % int(request.params["n"]) * (150 * 1024), compresslevel=0)
        return Reply(200, [("Content-Encoding", "gzip")], body)

    @server.route("/file/{n}")
    def file(request: Received) -> Script:
        """In ranges; half of the first one."""
        number = request.params["n"]
        body = body_of(int(number), 100)
        asked = request.header("range")
        first, _, last = (asked or "bytes=0-").removeprefix("bytes=").partition("-")
        wanted = body[int(first) : int(last or len(body)) + 1]
        head = f'HTTP/1.1 {206 if asked else 200} OK\r\nETag: "{number}"\r\nAccept-Ranges: bytes\r\nContent-Length: {len(wanted)}\r\n'
        if asked:
            head += f"Content-Range: bytes {first}-{int(first) + len(wanted) - 1}/{len(body)}\r\n"
        again = number in seen
        seen.add(number)
        size = len(wanted) if again else len(wanted) // 2
        steps: list[Any] = [f"{head}\r\n".encode()]
        for start in range(0, size, 700):
            steps += [wanted[start : min(size, start + 700)], Pause(0)]
        return Script((*steps, *(() if again else (Close(),))))

    async def echo_scripted(connection: Connection) -> None:
        body = (await connection.read_body(1 << 30)).body
        await connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async def read_late(connection: Connection) -> None:
        connection.transport.pause_reading()
        await asyncio.sleep(0.005)
        connection.transport.resume_reading()

    server.route("/hesitant", Script((read_late, echo_scripted)), early=True)
    hints: list[Any] = [b"HTTP/1.1 103 Early Hints\r\n\r\n", Pause(0)] * 12
    server.route("/consenting", Script((Pause(0.002), b"HTTP/1.1 100 Continue\r\n\r\n", echo_scripted)), early=True)
    server.route("/hinting", Script((*hints, echo_scripted)), early=True)

    server.route("/deaf", Script((StopReading(), Pause(0.05), Close())), early=True)


def age_of(number: int) -> int:
    """What the tokens that request may use are at least."""
    return number // 40


async def considered(response: ResponseHead, following: Request) -> Literal["follow"]:
    """A redirect policy."""
    await asyncio.sleep(0)
    return "follow"


class Twice(Auth):
    """Sends a request twice, and waits before, between and behind."""

    async def auth_flow(self, request: Request) -> AsyncGenerator[Request, Any]:
        try:
            await asyncio.sleep(0)
            yield request
            await asyncio.sleep(0)
            yield request
        finally:
            await asyncio.sleep(0)


class PlainlyTwice(Auth):
    """The same without waiting."""

    def auth_flow(self, request: Request) -> Generator[Request, Any, None]:
        yield request
        yield request


class Reads(MiddleWare):
    """Reads what answers a request that says so, as a middleware of the user's may."""

    async def process(self, request: Request, client: aioreq.Client) -> Response | StreamResponse:
        response = await self.next_middleware.process(request, client)
        if "read" in request.extensions:
            await response.read()
        return response


class Lookup:
    """A resolver of the user's own. What a name begins with says what becomes of it."""

    async def resolve(self, host: str, port: int) -> list[str]:
        match host.removesuffix(".test").partition("-")[0]:
            case "slow":
                await asyncio.sleep(0.002)
            case "several":
                await asyncio.sleep(0)
                return [REFUSING, *SILENT, "127.0.0.1"]
            case "silent":
                await asyncio.sleep(3600)
            case "unknown":
                await asyncio.sleep(0.002)
                raise OSError("nobody knows it")
            case "forgetful":
                await asyncio.sleep(0)
                with aioreq.tls._lock:
                    aioreq.tls._contexts.clear()  # as if that many others had been loaded meanwhile
            case _:
                return await ThreadedResolver().resolve(host, port)
        return ["127.0.0.1"]


class Peers(NamedTuple):
    """Whom requests go to, and through whom."""

    plain: Server
    secure: Server
    unix: Server
    proxy: Relay
    secure_proxy: Relay
    socks: Relay
    deaf_port: int
    deaf_path: Path
    web_sockets: WebSockets
    secure_web_sockets: WebSockets


class Crossed(AssertionError):
    """An answer to another request."""


def expect(answer: bytes | str, expected: bytes | str) -> None:
    if answer != expected:
        raise Crossed(f"{answer[:60]!r} instead of {expected[:60]!r}")


async def slow_pieces(pieces: list[Any]) -> AsyncIterator[Any]:
    try:
        for piece in pieces:
            await asyncio.sleep(0)
            yield piece
    finally:
        await asyncio.sleep(0)  # whoever closes it waits, and may be cancelled meanwhile


class Kinds(WebSocketKinds):
    """Each method that begins with `ask_` is a kind of request: it asks one server, and looks at the answer."""

    def __init__(self, seed: int, peers: Peers, client: aioreq.Client, unix_client: aioreq.Client, folder: Path, patience: float) -> None:
        self.random = random.Random(seed)
        self.peers = peers
        self.servers = (peers.plain, peers.secure)
        self.client = client
        self.unix_client = unix_client
        self.folder = folder
        self.by_name = TLS(ca=peers.secure.ca, server_hostname="localhost")  # whatever name a URL has
        self.patience = patience  # how long a request waits for a slot, in seconds
        self.latest = 0  # the number of the last request
        self.bearers = [BearerAuth(self.token_in_time), BearerAuth(self.token)]
        self.silent_bearer = BearerAuth(self.silence)
        self.slow_pieces = slow_pieces

    def web_socket_url(self, server: Server) -> str:
        return (self.peers.secure_web_sockets if server is self.peers.secure else self.peers.web_sockets).url

    async def ask_buffered(self, server: Server, number: int) -> None:
        response = await self.client.get(f"{server.url}/id/{number}", cookies={"a": "b"})
        expect(response.text, str(number))

    async def ask_later(self, server: Server, number: int) -> None:
        expect((await self.client.get(f"{server.url}/later/{number}")).content, body_of(number))

    async def ask_sent(self, server: Server, number: int) -> None:
        response = await self.client.send(aioreq.Request("GET", f"{server.url}/pieces/{number}"))
        expect(response.content, body_of(number))

    async def ask_by_name(self, server: Server, number: int) -> None:
        response = await self.client.get(f"{server.url}/id/{number}".replace("127.0.0.1", "localhost"))
        expect(response.text, str(number))

    async def ask_traced(self, server: Server, number: int) -> None:
        """Now and then a connection that serves nobody ends while that is told."""

        async def trace(step: str, facts: Any) -> None:
            await asyncio.sleep(self.random.choice([0, 0.001]))
            if step == "reuse" and self.random.random() < 0.5:
                slots = self.client.pool().slots
                for connection in [each for each in slots.queue_of if each.served and each not in slots.idle]:
                    if connection.busy_since == INFINITE:
                        connection.close()

        url = f"{server.url}/id/{number}".replace("127.0.0.1", self.random.choice(["127.0.0.1", "localhost"]))
        expect((await self.client.get(url, extensions={"trace": trace})).text, str(number))

    async def ask_not_found(self, server: Server, number: int) -> None:
        response = await self.client.get(f"{server.url}/missing/{number}")
        expect(response.content, body_of(number))

    async def ask_redirected(self, server: Server, number: int) -> None:
        response = await self.client.get(f"{server.url}/moved/{number}")
        expect(response.content, body_of(number))

    async def ask_twice(self, server: Server, number: int) -> None:
        """Over a used connection it is sent again in silence, over a new one after a pause."""
        expect((await self.client.get(f"{server.url}/second/{number}")).content, body_of(number))

    async def ask_with_password(self, server: Server, number: int) -> None:
        response = await self.client.get(f"{server.url}/digest-auth/auth/{number}/p", auth=(str(number), "p"))
        expect(response.json()["user"], str(number))

    async def ask_with_userinfo(self, server: Server, number: int) -> None:
        url = server.url.replace("://", f"://{number}:p@")
        expect((await self.client.get(f"{url}/basic-auth/{number}/p")).json()["user"], str(number))

    async def ask_with_hashed_bodies(self, server: Server, number: int) -> None:
        """The second answer needs no challenge."""
        for _ in range(2):
            response = await self.client.put(f"{server.url}/hashed/{number}", content=b"%08d" % number * 200, auth=(str(number), "p"))
            expect(response.content, b"%08d" % number * 200)

    async def token_in_time(self) -> str:
        await asyncio.sleep(0.002)
        return self.token()

    def token(self) -> str:
        return str(age_of(self.latest))

    async def ask_with_a_token(self, server: Server, number: int) -> None:
        """Some fetch it together."""
        response = await self.client.get(f"{server.url}/token/{number}", auth=self.bearers[0])
        expect(response.content, body_of(number))

    async def silence(self) -> str:
        await asyncio.sleep(3600)
        return self.token()

    async def ask_for_a_token_that_never_comes(self, server: Server, number: int) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await self.client.get(f"{server.url}/token/{number}", auth=self.silent_bearer)

    async def ask_streamed_with_a_token(self, server: Server, number: int) -> None:
        async with self.client.stream("GET", f"{server.url}/token/{number}", auth=self.random.choice(self.bearers)) as response:
            expect(await response.read(), body_of(number))

    async def ask_with_a_login_of_a_file(self, server: Server, number: int) -> None:
        path = self.folder / f"{number}.netrc"
        path.write_text(f"default login {number} password p")
        response = await self.client.get(f"{server.url}/basic-auth/{number}/p", auth=NetrcAuth(path))
        expect(response.json()["user"], str(number))

    async def ask_by_a_flow_of_our_own(self, server: Server, number: int) -> None:
        auth = self.random.choice([Twice(), PlainlyTwice()])
        timeout = aioreq.Timeout(total=self.random.choice([None, self.patience]), pool=self.patience)
        response = await self.client.get(f"{server.url}/pieces/{number}", auth=auth, timeout=timeout)
        expect(response.content, body_of(number))

    async def ask_streamed_by_a_flow_of_our_own(self, server: Server, number: int) -> None:
        async with self.client.stream("GET", f"{server.url}/pieces/{number}", auth=Twice()) as response:
            expect(await response.read(), body_of(number))

    async def ask_streamed_upload_by_a_flow_of_our_own(self, server: Server, number: int) -> None:
        """It can't be sent twice: the first response is the last, and the flow is closed."""
        pieces = slow_pieces([b"%d," % number] * 2)
        async with self.client.stream("POST", f"{server.url}/long/{number}", auth=Twice(), content=pieces) as response:
            expect(await response.read(), b"%08d" % number * 200_000)

    async def ask_by_a_function_of_our_own(self, server: Server, number: int) -> None:
        async def sign(request: Request) -> None:
            await asyncio.sleep(0)
            request.add_field("X-Signed", "yes")

        expect((await self.client.get(f"{server.url}/pieces/{number}", auth=sign)).content, body_of(number))

    async def ask_who_is_busy(self, server: Server, number: int) -> None:
        retry = Retry(attempts=1, statuses={503}, backoff=0.002, budget=None)
        expect((await self.client.get(f"{server.url}/busy/{number}", retry=retry)).content, body_of(number))

    async def ask_streamed_for_who_keeps_it(self, server: Server, number: int) -> None:
        async with self.client.stream("GET", f"{server.url}/{self.random.choice(['pieces', 'zipped'])}/{number}") as response:
            expect(await response.read_once(), body_of(number))

    async def ask_streamed_text(self, server: Server, number: int) -> None:
        async with self.client.stream("GET", f"{server.url}/pieces/{number}") as response:
            expect("".join([text async for text in response.iter_text()]), body_of(number).decode())

    async def ask_streamed_lines(self, server: Server, number: int) -> None:
        async with self.client.stream("GET", f"{server.url}/lines/{number}") as response:
            expect("".join([line async for line in response.iter_lines()]), f'["{number}"]' * 4)

    async def ask_streamed_json_lines(self, server: Server, number: int) -> None:
        async with self.client.stream("GET", f"{server.url}/lines/{number}") as response:
            assert [value async for value in response.json_lines()] == [[str(number)]] * 4

    async def ask_streamed_parts(self, server: Server, number: int) -> None:
        """One of them isn't read."""
        async with self.client.stream("GET", f"{server.url}/parts/{number}/{self.random.randint(1, 40)}") as response:
            async for part in response.parts():
                if part.number == 1:
                    expect(await part.read(), body_of(number))
                elif part.number == 3:
                    expect(b"".join([piece async for piece in part.content]), body_of(number))

    async def ask_streamed(self, server: Server, number: int) -> None:
        size = self.random.choice([None, 1, 50])
        async with self.client.stream("GET", f"{server.url}/pieces/{number}") as response:
            expect(b"".join([piece async for piece in response.iter_bytes(size)]), body_of(number))

    async def ask_streamed_and_left(self, server: Server, number: int) -> None:
        async with self.client.stream("GET", f"{server.url}/pieces/{number}") as response:
            async for piece in response.iter_raw():
                expect(piece[: len(str(number))], str(number).encode())
                break

    async def ask_streamed_whole(self, server: Server, number: int) -> None:
        async with self.client.stream("GET", f"{server.url}/pieces/{number}") as response:
            expect(await response.text(), body_of(number).decode())

    async def ask_streamed_json(self, server: Server, number: int) -> None:
        async with self.client.stream("GET", f"{server.url}/json/{number}") as response:
            assert await response.json() == [number] * 60

    async def ask_streamed_error(self, server: Server, number: int) -> None:
        with pytest.raises(aioreq.StatusError) as caught:
            async with self.client.stream("GET", f"{server.url}/missing/{number}", raise_for_status=True):
                pass
        assert isinstance(caught.value.response, Response)
        expect(caught.value.response.content, body_of(number))

    async def ask_stream_client(self, server: Server, number: int) -> None:
        request = aioreq.Request("GET", f"{server.url}/pieces/{number}")
        async with aioreq.StreamClient(request, verify=server.ca or True) as response:
            expect(b"".join([piece async for piece in response.content]), body_of(number))

    async def ask_events(self, server: Server, number: int) -> None:
        source = self.client.sse(f"{server.url}/events/{number}", max_wait=0.002)
        async with source if self.random.random() < 0.5 else contextlib.nullcontext():
            async for event in source:
                expect(event.data, str(number))
        assert source.last_event_id == "whole"

    async def ask_what_has_no_events(self, server: Server, number: int) -> None:
        path = self.random.choice(["missing", "created", "pieces"])
        with pytest.raises((aioreq.StatusError, aioreq.DecodeError)) as caught:
            await anext(self.client.sse(f"{server.url}/{path}/{number}", method="POST"))
        error: Any = caught.value
        expect(error.partial if path == "pieces" else error.response.content, body_of(number))

    async def ask_own_client(self, server: Server, number: int) -> None:
        async with aioreq.Client(verify=server.ca or True) as client:
            expect((await client.get(f"{server.url}/id/{number}")).text, str(number))

    async def ask_download(self, server: Server, number: int) -> None:
        resume = self.random.random() < 0.5
        path = self.folder / f"{number}.{'resumed' if resume else 'download'}"
        retry = Retry(attempts=2, backoff=0.002, budget=None)
        body = body_of(number, 100)
        digest = hashlib.sha256(body).hexdigest()
        ranges = self.random.choice([1, 3])
        await self.client.download(f"{server.url}/file/{number}", path, ranges=ranges, resume=resume, sha256=digest, retry=retry)
        expect(path.read_bytes(), body)

    async def ask_download_of_what_is_missing(self, server: Server, number: int) -> None:
        with pytest.raises(aioreq.StatusError):
            await self.client.download(f"{server.url}/missing/{number}", self.folder / f"{number}.download")

    async def ask_saved(self, server: Server, number: int) -> None:
        path = self.folder / f"{number}.download"
        async with self.client.stream("GET", f"{server.url}/pieces/{number}") as response:
            await save(response, path, before=b"before")  # as the command line does
        expect(path.read_bytes(), b"before" + body_of(number))

    async def ask_upload(self, server: Server, number: int) -> None:
        pieces = [b"%d," % number] * 4
        response = await self.client.post(f"{server.url}/echo", content=slow_pieces(pieces))
        expect(response.content, b"".join(pieces))

    async def ask_upload_to_the_brim(self, server: Server, number: int) -> None:
        """As much as is written between two turns of the loop, and then the end of the chunked body."""
        piece = (b"%d," % number).ljust(CHUNK - len(b"FFFF\r\n\r\n"), b".")
        response = await self.client.post(f"{server.url}/echo", content=slow_pieces([piece]))
        expect(response.content, piece)

    async def ask_upload_of_bytes(self, server: Server, number: int) -> None:
        body = b"%08d" % number * 20_000
        expect((await self.client.put(f"{server.url}/echo", content=body)).content, body)

    async def ask_upload_compressed(self, server: Server, number: int) -> None:
        body = self.random.randbytes(20_000)
        content: Any = self.random.choice([body, io.BytesIO(body), slow_pieces([body[:9000], body[9000:]])])
        response = await self.client.put(f"{server.url}/echo", content=content, compress="gzip")
        expect(gzip.decompress(response.content), body)

    async def ask_upload_that_is_given_up(self, server: Server, number: int) -> None:
        """From within, so that whoever gives its pieces is closed while they are sent."""

        def progress(done: int, total: int | None) -> None:
            if done > 6000:
                raise ArithmeticError(number)

        pieces = slow_pieces([self.random.randbytes(9000) for _ in range(5)])
        options: Any = self.random.choice([{"content": pieces, "compress": "gzip"}, {"files": {"file": pieces}}])
        with pytest.raises(ArithmeticError):
            await self.client.put(f"{server.url}/echo", progress=progress, **options)

    async def ask_upload_of_a_form(self, server: Server, number: int) -> None:
        body = b"%08d" % number * 1000
        path = self.folder / f"{number}.part"
        path.write_bytes(body)
        files = {"pieces": slow_pieces([body[:4000], body[4000:]]), "path": path, "file": io.BytesIO(body), "bytes": body}
        response = await self.client.post(f"{server.url}/echo", data={"number": str(number)}, files=files)
        assert response.content.count(b"\r\n\r\n" + body + b"\r\n--") == 4
        assert response.content.count(b"%08d" % number) == 4000

    async def ask_upload_with_trailers(self, server: Server, number: int) -> None:
        pieces = [b"%d," % number] * 4
        extensions = {"trailers": {"X-Number": lambda: str(number)}}
        response = await self.client.post(f"{server.url}/echo", content=slow_pieces(pieces), extensions=extensions)
        expect(response.content, b"".join(pieces))

    async def ask_upload_by_consent(self, server: Server, number: int) -> None:
        pieces = [b"%d," % number] * 4
        response = await self.client.post(f"{server.url}/consenting", content=slow_pieces(pieces), headers={"Expect": "100-continue"})
        expect(response.content, b"".join(pieces))

    async def ask_upload_amid_hints(self, server: Server, number: int) -> None:
        pieces = [b"%d," % number] * 12
        response = await self.client.post(f"{server.url}/hinting", content=slow_pieces(pieces))
        expect(response.content, b"".join(pieces))

    async def ask_upload_of_a_file(self, server: Server, number: int) -> None:
        body = b"%08d" % number * 20_000
        file = self.random.choice([io.BytesIO(body), io.BufferedReader(io.BytesIO(body))])  # the second may wait, for all that we know
        expect((await self.client.put(f"{server.url}/echo", content=file)).content, body)

    async def ask_upload_of_a_file_on_disk(self, server: Server, number: int) -> None:
        body = b"%08d" % number * 40_000
        path = self.folder / f"{number}.upload"
        path.write_bytes(body)
        with path.open("rb") as file:
            expect((await self.client.put(f"{self.peers.plain.url}/hesitant", content=file)).content, body)

    async def ask_upload_of_declared_length(self, server: Server, number: int) -> None:
        pieces = [b"%08d" % number] * 3
        too_long = self.random.random() < 0.5
        headers = {"Content-Length": str(20 if too_long else 24)}
        with pytest.raises(aioreq.LocalProtocolError) if too_long else contextlib.nullcontext():
            response = await self.client.put(f"{server.url}/echo", content=slow_pieces(pieces), headers=headers)
            expect(response.content, b"".join(pieces))

    async def ask_upload_of_no_bytes(self, server: Server, number: int) -> None:
        with pytest.raises(TypeError, match="gave int"):
            await self.client.put(f"{server.url}/echo", content=slow_pieces([b"a", number]))

    async def ask_decoded_aside(self, server: Server, number: int) -> None:
        extensions = {"read": True} if self.random.random() < 0.5 else None
        response = await self.client.get(f"{server.url}/large/{number}", extensions=extensions)
        expect(response.content[-8:], b"%08d" % number)

    async def ask_decoded_stream(self, server: Server, number: int) -> None:
        async with self.client.stream("GET", f"{server.url}/large/{number}") as response:
            expect((await response.read())[-8:], b"%08d" % number)

    async def ask_decoded_in_pieces(self, server: Server, number: int) -> None:
        async with self.client.stream("GET", f"{server.url}/zipped/{number}") as response:
            expect(b"".join([piece async for piece in response.content]), body_of(number))

    async def ask_decoded_in_many_pieces(self, server: Server, number: int) -> None:
        async with self.client.stream("GET", f"{server.url}/large/{number}") as response:
            expect(b"".join([piece async for piece in response.content])[-8:], b"%08d" % number)

    async def ask_a_client_that_is_closed_meanwhile(self, server: Server, number: int) -> None:
        async with aioreq.Client(verify=self.servers[1].ca or False, retry=0) as client:
            asked = asyncio.ensure_future(client.get(f"{server.url}/id/{number}"))
            try:
                await asyncio.sleep(0)  # it is under way
                await client.close(wait=self.patience)
                expect((await asked).text, str(number))
            finally:
                asked.cancel()

    async def ask_nobody(self, server: Server, number: int) -> None:
        with pytest.raises(aioreq.ConnectTimeout):
            await self.client.get(
                f"http://127.0.0.1:{self.peers.deaf_port}/{number}", timeout=aioreq.Timeout(pool=self.patience, connect=0.02), retry=0
            )

    async def ask_the_deaf(self, server: Server, number: int) -> None:
        pieces = (b"%08d" % number * 8192 for _ in range(200))
        with pytest.raises((aioreq.WriteTimeout, aioreq.ConnectionLost)):
            await self.client.post(f"{server.url}/deaf", content=pieces, timeout=aioreq.Timeout(pool=self.patience, write=0.2))

    async def ask_with_other_settings(self, server: Server, number: int) -> None:
        """A CA path of its own makes a context, and a connection, of its own."""
        secure = self.peers.secure
        assert secure.ca is not None
        ca = self.folder / f"{number}.pem"
        ca.symlink_to(secure.ca)
        expect((await self.client.get(f"{secure.url}/id/{number}", verify=ca)).text, str(number))

    async def request_by_name(self, name: str, server: Server, number: int, **options: Any) -> None:
        url = f"{server.url}/id/{number}".replace("127.0.0.1", f"{name}.test")
        expect((await self.client.get(url, tls=self.by_name, **options)).text, str(number))

    async def ask_a_new_name(self, server: Server, number: int) -> None:
        """Some look it up together."""
        await self.request_by_name(f"slow-{number // 40}", server, number)

    async def ask_a_name_of_several_addresses(self, server: Server, number: int) -> None:
        await self.request_by_name(f"several-{number}", server, number)

    async def ask_where_nobody_listens(self, server: Server, number: int) -> None:
        with pytest.raises(aioreq.ConnectError, match="refused"):
            await self.request_by_name("refusing", server, number)

    async def ask_a_silent_resolver(self, server: Server, number: int) -> None:
        timeout = aioreq.Timeout(pool=self.patience, connect=0.02)
        with pytest.raises(aioreq.ConnectTimeout, match="name lookup|loading of certificates"):
            await self.request_by_name("silent", server, number, timeout=timeout, retry=0)

    async def ask_an_unknown_name(self, server: Server, number: int) -> None:
        with pytest.raises(aioreq.DNSError, match="nobody knows it"):
            await self.request_by_name("unknown", server, number)

    async def ask_while_the_context_is_forgotten(self, server: Server, number: int) -> None:
        await self.request_by_name(f"forgetful-{number}", self.peers.secure, number)

    async def ask_by_unix_socket(self, server: Server, number: int) -> None:
        expect((await self.unix_client.get(f"http://anywhere/pieces/{number}")).content, body_of(number))

    async def ask_a_deaf_unix_socket(self, server: Server, number: int) -> None:
        async with aioreq.Client(unix_socket=self.peers.deaf_path, timeout=aioreq.Timeout(connect=0.02), retry=0) as client:
            with pytest.raises(aioreq.ConnectTimeout):
                await client.get(f"http://anywhere/{number}")

    @property
    def proxy_in_tls(self) -> Proxy:
        return Proxy(self.peers.secure_proxy.url, tls=TLS(ca=self.peers.secure.ca))

    async def ask_by_forwarding(self, server: Server, number: int) -> None:
        proxy = self.random.choice([Proxy(self.peers.proxy.url), self.proxy_in_tls])
        response = await self.client.get(f"{self.peers.plain.url}/pieces/{number}", proxy=proxy)
        expect(response.content, body_of(number))

    async def ask_through_a_tunnel(self, server: Server, number: int) -> None:
        response = await self.client.get(f"{self.peers.secure.url}/pieces/{number}", proxy=self.peers.proxy.url)
        expect(response.content, body_of(number))

    async def ask_through_a_tunnel_in_tls(self, server: Server, number: int) -> None:
        response = await self.client.get(f"{self.peers.secure.url}/pieces/{number}", proxy=self.proxy_in_tls)
        expect(response.content, body_of(number))

    async def ask_what_is_no_proxy(self, server: Server, number: int) -> None:
        with pytest.raises(aioreq.ProxyError):
            await self.client.get(f"{self.peers.secure.url}/id/{number}", proxy=self.peers.plain.url)

    async def ask_through_socks(self, server: Server, number: int) -> None:
        scheme = self.random.choice(["socks4", "socks5"])  # the names are looked up here
        await self.request_by_name(f"slow-{number // 40}", server, number, proxy=f"{scheme}://{self.peers.socks.address}")

    async def ask_through_socks_by_name(self, server: Server, number: int) -> None:
        scheme = self.random.choice(["socks4a", "socks5h"])
        response = await self.client.get(f"{server.url}/id/{number}", proxy=f"{scheme}://{self.peers.socks.address}")
        expect(response.text, str(number))

    async def ask_through_socks_that_refuses_some(self, server: Server, number: int) -> None:
        await self.request_by_name(f"several-{number}", server, number, proxy=f"socks5://{self.peers.socks.address}")
