"""Requests cancelled at every await that they pass: no slot is lost, no answer crosses over, nothing is left behind.

Many of each kind at once over one pool, most of them cancelled somewhere by chance, and then on purpose at the awaits that chance left
out. How one is cancelled, and where it then stood, is cancelling.py's business.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import gc
import gzip
import inspect
import io
import itertools
import operator
import random
import socket
import sys
import types
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import pytest
from cancelling import MODULES, PACKAGE, Cancelling, How, Place, places
from relay import GRANTED, Relay

import aioreq
import aioreq.dialer
import aioreq.pool
import aioreq.slots
import aioreq.tls
from aioreq import TLS, Proxy, StaticResolver, ThreadedResolver
from aioreq.middlewares import MiddleWare, default_middlewares
from aioreq.models import Request, Response, StreamResponse
from aioreq.testing import Authority, Close, Connection, Pause, Reply, Script, Server, StopReading, httpbin
from aioreq.testing import Request as Received
from aioreq.upload import CHUNK

SLOTS = 10
WORKERS = 25
# Addresses of this machine at which nobody listens, and nobody answers. Only Linux has more than one.
REFUSING, *ALSO_REFUSING = ["127.0.0.2", "127.0.0.4"] if sys.platform == "linux" else ["::1"]
SILENT = ["127.0.0.3"] if sys.platform == "linux" else []

# Awaits at which nobody can be cancelled, and why.
NEVER_SUSPEND = {
    ("_open", "async with limit"): "a time limit is entered and left without waiting",
    ("__aexit__", "await response.close()"): "asynchronous for those who write `await`; it doesn't wait",
    ("__aexit__", "await self._context.__aexit__(kind, error, trace)"): "the same",
    ("resolve", "await self._channel().getaddrinfo(host, port=port, type=socket.SOCK_STREAM)"): "aiodns isn't always installed",
    ("_end_with_loop", "await channel.close()"): "the end of a loop, or of a resolver; no request waits for it",
}
# Modules with awaits that no request passes, and what they are.
ASIDE = {
    "bulk.py": "stands on the client",
    "cli.py": "the same",
    "loop_end.py": "the end of a loop, which has no requests any more",
}


# -- the server, and what is asked of it; every answer names the request that it answers


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
        return Reply(302, [("Location", f"/later/{request.params['n']}")], body=in_pieces(int(request.params["n"])))

    @server.route("/later/{n}")
    async def later(request: Received) -> bytes:
        await asyncio.sleep(0.002)
        return body_of(int(request.params["n"]))

    @server.route("/echo")
    def echo(request: Received) -> bytes:
        return request.body

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

    async def echo_scripted(connection: Connection) -> None:
        body = (await connection.read_body(1 << 30)).body
        await connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    hints: list[Any] = [b"HTTP/1.1 103 Early Hints\r\n\r\n", Pause(0)] * 12
    server.route("/consenting", Script((Pause(0.002), b"HTTP/1.1 100 Continue\r\n\r\n", echo_scripted)), early=True)
    server.route("/hinting", Script((*hints, echo_scripted)), early=True)

    server.route("/deaf", Script((StopReading(), Pause(0.05), Close())), early=True)


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


class Crossed(AssertionError):
    """An answer to another request."""


def expect(answer: bytes | str, expected: bytes | str) -> None:
    if answer != expected:
        raise Crossed(f"{answer[:60]!r} instead of {expected[:60]!r}")


class Campaign:
    """Many requests at once over one pool, most of them cancelled somewhere."""

    def __init__(self, seed: int, peers: Peers, client: aioreq.Client, unix_client: aioreq.Client, folder: Path, patience: float) -> None:
        self.random = random.Random(seed)
        self.peers = peers
        self.servers = (peers.plain, peers.secure)
        self.client = client
        self.unix_client = unix_client
        self.folder = folder
        self.by_name = TLS(ca=peers.secure.ca, server_hostname="localhost")  # whatever name a URL has
        self.patience = patience  # how long a request waits for a slot, in seconds
        self.numbers = itertools.count(1)
        self.reached: Counter[Place] = Counter()
        self.cancelled = 0
        self.completed = 0
        self.failures: list[BaseException] = []
        self.lengths: dict[str, int] = {}  # how often each kind of request suspends, as far as was seen
        self.complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: self.complaints.append(context))

    async def run(self, cancellations: int) -> None:
        """Until so many more requests were cancelled, or something was wrong."""
        goal = self.cancelled + cancellations
        kinds = [name for name in dir(self) if name.startswith("ask_")]

        async def work() -> None:
            while self.cancelled < goal and not self.failures:
                kind = self.random.choice(kinds)
                await self.ask(kind, self.plan(kind))

        await asyncio.gather(*[work() for _ in range(WORKERS)])
        assert not self.failures, self.failures[0]

    async def aim(self) -> None:
        """At every await that chance left out; some of them are passed only by who was cancelled before."""
        kinds = [name for name in dir(self) if name.startswith("ask_")] * 200

        async def work() -> None:
            while kinds and (aims := frozenset(self.unreached())) and not self.failures:
                kind = kinds.pop()
                await self.ask(kind, self.random.choice([{}, self.plan(kind)]), aims)

        await asyncio.gather(*[work() for _ in range(WORKERS)])
        assert not self.failures, self.failures[0]

    async def ask(self, kind: str, plan: dict[int, How], aims: frozenset[Place] = frozenset()) -> None:
        coroutine = getattr(self, kind)(self.random.choice(self.servers), next(self.numbers))
        request = Cancelling(coroutine, plan, self.reached, aims)
        task = asyncio.ensure_future(_awaiting(request))
        await asyncio.wait([task])
        self.lengths[kind] = max(self.lengths.get(kind, 3), request.suspensions)
        self.cancelled += request.cancelled
        if task.cancelled():
            if not request.cancelled:
                self.failures.append(AssertionError(f"{kind}: cancelled by somebody else's cancellation"))
            return
        if (error := task.exception()) is not None:
            self.failures.append(error)
        elif request.cancelled:
            self.failures.append(AssertionError(f"{kind}: the cancellation was swallowed"))
        self.completed += 1

    def plan(self, kind: str) -> dict[int, How]:
        at = self.random.randint(1, self.lengths.get(kind, 3))
        plan = {at: self.how()}
        if self.random.random() < 0.3:
            plan[at + self.random.randint(1, 2)] = self.how()
        return plan

    def how(self) -> How:
        drawn = self.random.random()
        if drawn < 0.3:
            return "arrival"
        if drawn < 0.8:
            return self.random.randint(0, self.random.choice([0, 5, 20, 200]))
        return self.random.random() * self.random.choice([0.002, 0.02])

    # -- the kinds of requests

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

    async def ask_own_client(self, server: Server, number: int) -> None:
        async with aioreq.Client(verify=server.ca or True) as client:
            expect((await client.get(f"{server.url}/id/{number}")).text, str(number))

    async def ask_upload(self, server: Server, number: int) -> None:
        pieces = [b"%d," % number] * 4
        response = await self.client.post(f"{server.url}/echo", content=_slow_pieces(pieces))
        expect(response.content, b"".join(pieces))

    async def ask_upload_to_the_brim(self, server: Server, number: int) -> None:
        """As much as is written between two turns of the loop, and then the end of the chunked body."""
        piece = (b"%d," % number).ljust(CHUNK - len(b"FFFF\r\n\r\n"), b".")
        response = await self.client.post(f"{server.url}/echo", content=_slow_pieces([piece]))
        expect(response.content, piece)

    async def ask_upload_of_bytes(self, server: Server, number: int) -> None:
        body = b"%08d" % number * 20_000
        expect((await self.client.put(f"{server.url}/echo", content=body)).content, body)

    async def ask_upload_by_consent(self, server: Server, number: int) -> None:
        pieces = [b"%d," % number] * 4
        response = await self.client.post(f"{server.url}/consenting", content=_slow_pieces(pieces), headers={"Expect": "100-continue"})
        expect(response.content, b"".join(pieces))

    async def ask_upload_amid_hints(self, server: Server, number: int) -> None:
        pieces = [b"%d," % number] * 12
        response = await self.client.post(f"{server.url}/hinting", content=_slow_pieces(pieces))
        expect(response.content, b"".join(pieces))

    async def ask_upload_of_a_file(self, server: Server, number: int) -> None:
        body = b"%08d" % number * 20_000
        expect((await self.client.put(f"{server.url}/echo", content=io.BytesIO(body))).content, body)

    async def ask_upload_of_declared_length(self, server: Server, number: int) -> None:
        pieces = [b"%08d" % number] * 3
        too_long = self.random.random() < 0.5
        headers = {"Content-Length": str(20 if too_long else 24)}
        with pytest.raises(aioreq.LocalProtocolError) if too_long else contextlib.nullcontext():
            response = await self.client.put(f"{server.url}/echo", content=_slow_pieces(pieces), headers=headers)
            expect(response.content, b"".join(pieces))

    async def ask_upload_of_no_bytes(self, server: Server, number: int) -> None:
        with pytest.raises(TypeError, match="gave int"):
            await self.client.put(f"{server.url}/echo", content=_slow_pieces([b"a", number]))

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

    # -- what must hold afterwards

    async def assert_sound(self, patience: int = 8000) -> None:
        """Every slot is free or keeps an idle connection, no lookup goes on, and the client answers."""
        for client in (self.client, self.unix_client):
            pool = client.pool()
            for _ in range(patience):
                if pool.open == len(pool.slots.idle):
                    break
                await asyncio.sleep(0.001)  # a dropped body is being drained
            assert pool.open == len(pool.slots.idle) <= SLOTS, "a slot is held by nobody"
            assert set(pool.slots.queue_of) == set(pool.slots.idle)
            assert pool.waiting == 0
            assert not any(queue.waiters for queue in pool.slots.queues.values())
            assert not pool.slots.blocked
            assert not pool._opening
            assert not client.settings.dialer._names._flights
        numbers = [next(self.numbers) for _ in range(20)]
        answers = await asyncio.gather(*[self.client.get(f"{self.servers[n % 2].url}/id/{n}", retry=0) for n in numbers])
        assert [answer.text for answer in answers] == [str(n) for n in numbers]
        assert self.complaints == []

    def unreached(self) -> list[Place]:
        everywhere = {place for found in places().values() for place in found}
        return sorted(place for place in everywhere - set(self.reached) if (place.function, place.code) not in NEVER_SUSPEND)


@pytest.fixture(autouse=True)
def peers_are_far(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer on this very machine is connected at once: here the connecting is awaited, as everybody else's is."""
    monkeypatch.setattr(aioreq.dialer, "_connected_at_once", lambda sock, address: False)


async def _awaiting(request: Awaitable[None]) -> None:
    await request


async def _slow_pieces(pieces: list[Any]) -> AsyncIterator[Any]:
    try:
        for piece in pieces:
            await asyncio.sleep(0)
            yield piece
    finally:
        await asyncio.sleep(0)  # whoever closes it waits, and may be cancelled meanwhile


@contextlib.contextmanager
def black_hole(host: str = "127.0.0.1", port: int = 0) -> Iterator[socket.socket]:
    """A server that never accepts, and whose queue is full: connections to it are never made."""
    with socket.create_server((host, port), backlog=0) as deaf, contextlib.ExitStack() as callers:
        for _ in range(4):
            caller = callers.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(deaf.getsockname())
        yield deaf


@contextlib.contextmanager
def deaf_unix_socket(path: Path) -> Iterator[None]:
    """The same for a Unix socket."""
    with socket.socket(socket.AF_UNIX) as deaf, contextlib.ExitStack() as callers:
        deaf.bind(str(path))
        deaf.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                caller = callers.enter_context(socket.socket(socket.AF_UNIX))
                caller.setblocking(False)
                caller.connect(str(path))
        yield


@contextlib.asynccontextmanager
async def standing_peers(folder: Path) -> AsyncIterator[Peers]:
    authority = Authority()
    by_default = [httpbin, routes]
    async with (
        Server(routes=by_default, record=False) as plain,
        Server(routes=by_default, record=False, tls=authority) as secure,
        Server(routes=by_default, record=False, unix=folder / "unix") as unix,
        Relay() as proxy,
        Relay(authority.server_context()) as secure_proxy,
        Relay(socks=True) as socks,
    ):
        socks.reply = lambda host: b"\x05" if host in (REFUSING, *SILENT) else GRANTED
        with contextlib.ExitStack() as deaf:
            deaf_port = deaf.enter_context(black_hole()).getsockname()[1]
            deaf.enter_context(deaf_unix_socket(folder / "deaf"))
            for host, server in itertools.product(SILENT, (plain, secure)):
                deaf.enter_context(black_hole(host, server.port))
            yield Peers(plain, secure, unix, proxy, secure_proxy, socks, deaf_port, folder / "deaf")


@contextlib.asynccontextmanager
async def campaign(seed: int, folder: Path, patience: float) -> AsyncIterator[Campaign]:
    limits, timeout = aioreq.Limits(connections=SLOTS), aioreq.Timeout(pool=patience)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aioreq.dialer, "ATTEMPT_DELAY", 0.02)  # seconds that a slot waits at a black hole
        async with (
            standing_peers(folder) as peers,
            aioreq.Client(
                verify=peers.secure.ca or False,
                resolver=StaticResolver({"refusing.test": [REFUSING, *ALSO_REFUSING]}, fallback=Lookup()),
                socket_options=[(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)],  # bytes: uploads have to wait
                limits=limits,
                timeout=timeout,
                retry=aioreq.Retry(attempts=1, backoff=0.002),
                middlewares=(Reads, *default_middlewares),
            ) as client,
            aioreq.Client(unix_socket=folder / "unix", limits=limits, timeout=timeout) as unix_client,
        ):
            yield Campaign(seed, peers, client, unix_client, folder, patience)
            servers = peers[:3]
            for each in (client, unix_client):
                pool = each.pool()
                await each.close()
                assert pool.open == 0
                assert not pool.slots.queues
            # Servers see it too where a proxy, or a Unix socket, stands between.
            await asyncio.gather(*[server.until(partial(operator.not_, server.connections)) for server in servers])
            failed = [error for server in servers for error in server.errors if "handler failed" in error]
            assert not failed, failed[0]


@pytest.mark.parametrize("count", [1000, pytest.param(10_000, marks=pytest.mark.longer)])
async def test_cancelled_anywhere_requests_leave_nothing_behind(count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with campaign(seed=count, folder=tmp_path, patience=30) as requests:
        await requests.run(count)
        by_chance = len(requests.reached)
        await requests.aim()
        await requests.assert_sound()
        awaits = sum(len(found) for found in places().values())
        with capsys.disabled():
            print(
                f"\n{requests.cancelled} cancellations, {requests.completed} requests answered; coverage: {len(requests.reached)} of",
                end=" ",
            )
            print(f"{awaits} awaits, {by_chance} of them by chance ({len(NEVER_SUSPEND)} never suspend)")
        assert requests.unreached() == []
    gc.collect()


def test_what_never_suspends_is_still_there() -> None:
    known = {(place.function, place.code) for found in places().values() for place in found}
    assert set(NEVER_SUSPEND) <= known


def test_every_module_that_awaits_is_known() -> None:
    waiting = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if _awaits(path)}
    assert {path for path in waiting if not path.startswith("testing/")} - set(MODULES) == set(ASIDE)


def _awaits(path: Path) -> bool:
    return any(isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith) for node in ast.walk(ast.parse(path.read_text())))


# -- the check itself


def slot_releases() -> list[tuple[types.ModuleType, int, str]]:
    """The lines of the pool and its slots that give a slot, or a connection with its slot, on."""
    nodes = [(module, node) for module in (aioreq.pool, aioreq.slots) for node in ast.walk(ast.parse(inspect.getsource(module)))]
    return [(module, node.lineno, ast.unparse(node)) for module, node in nodes if _gives_on(node)]


def _gives_on(node: ast.AST) -> TypeGuard[ast.Expr]:
    return isinstance(node, ast.Expr) and ast.unparse(node).startswith(("slots.release(", "slots.leave(", "self.release(", "self.freed("))


def pool_without(module: types.ModuleType, line: int) -> type[aioreq.pool.Pool]:
    """The pool, made of modules without that line."""

    class TakeOut(ast.NodeTransformer):
        def visit_Expr(self, node: ast.Expr) -> ast.stmt:
            return ast.copy_location(ast.Pass(), node) if node.lineno == line and _gives_on(node) else node

    changed: dict[types.ModuleType, dict[str, Any]] = {}
    for each in (aioreq.slots, aioreq.pool):
        path = inspect.getsourcefile(each)
        assert path is not None
        tree = ast.parse(inspect.getsource(each))
        changed[each] = {"__name__": each.__name__, "__package__": "aioreq"}
        exec(compile(TakeOut().visit(tree) if each is module else tree, path, "exec"), changed[each])
    changed[aioreq.pool].update({name: changed[aioreq.slots][name] for name in aioreq.slots.__all__})
    return changed[aioreq.pool]["Pool"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(("module", "line", "code"), slot_releases(), ids=[code for _, _, code in slot_releases()])
async def test_without_a_line_that_gives_a_slot_on_the_check_fails(
    module: types.ModuleType, line: int, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioreq.client.Pool", pool_without(module, line))
    with pytest.raises((AssertionError, aioreq.PoolTimeout)):
        await short_campaign(tmp_path, rounds=200)  # most fail in the first


async def test_the_same_pool_with_all_its_lines_passes_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioreq.client.Pool", pool_without(aioreq.pool, line=0))
    await short_campaign(tmp_path)


async def short_campaign(folder: Path, rounds: int = 20) -> None:
    async with campaign(seed=1, folder=folder, patience=2) as requests:
        for _ in range(rounds):
            await requests.run(25)
            await requests.assert_sound(patience=200)
