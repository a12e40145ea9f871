"""Server-sent events from aiohttp's server, directly and behind nginx: each event as it is sent, and feeds that outlive their servers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from peers import HOST, Peer, free_ports, needed, needed_module, write_certificate

import aioreq
from aioreq import TLS, Client

pytestmark = pytest.mark.usefixtures("no_hanging")

ANSWER = ["Server", "-sent", " events", " arrive", " one", " by", " one", ".", " \u20ac"]


class App:
    """An aiohttp server: POST /chat is an answer in pieces, GET /feed a feed of four events, two a connection, by Last-Event-ID."""

    def __init__(self) -> None:
        self.web = needed_module("aiohttp.web", "aiohttp")
        self.port = free_ports(1)[0]
        self.read = asyncio.Semaphore(0)  # released by the reader: no piece is sent before the one before was read
        self.asked: list[str | None] = []
        self.left = asyncio.Event()
        self._runner: Any = None

    async def start(self) -> None:
        web = self.web
        app = web.Application()
        app.add_routes([web.post("/chat", self.chat), web.get("/feed", self.feed), web.get("/endless", self.endless)])
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self.port).start()

    async def stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def begin(self, request: Any) -> Any:
        response = self.web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        await response.prepare(request)
        return response

    async def chat(self, request: Any) -> Any:
        assert (await request.json())["stream"] is True
        response = await self.begin(request)
        for piece in ANSWER:
            value = json.dumps({"choices": [{"delta": {"content": piece}}]})
            await response.write(f"event: delta\ndata: {value}\n\n".encode())
            await self.read.acquire()
        await response.write(b"data: [DONE]\n\n")
        return response

    async def feed(self, request: Any) -> Any:
        last = request.headers.get("Last-Event-ID")
        self.asked.append(last)
        number = int(last or 0)
        if number >= 4:
            return self.web.Response(status=204)
        response = await self.begin(request)
        for following in (number + 1, number + 2):
            await response.write(b"retry: 10\r\nid: %d\r\ndata: %d\r\n\r\n" % (following, following))
        if number == 0:
            await response.write(b"data: cut")
            await asyncio.sleep(0.05)  # until what stands before has gone through nginx
            request.transport.abort()
        return response

    async def endless(self, request: Any) -> Any:
        response = await self.begin(request)
        try:
            for number in range(1_000_000):
                await response.write(b"id: %d\ndata: %d\n\n" % (number, number))
                await asyncio.sleep(0.005)
        finally:
            self.left.set()
        return response


class Front(Peer):
    """nginx before an application: plain, over TLS, and compressing."""

    def __init__(self, upstream: int) -> None:
        super().__init__("nginx", "nginx-light", self._configure_front, ports=3)
        self.upstream = upstream

    def url(self, kind: str) -> str:
        return f"{'https' if kind == 'tls' else 'http'}://{HOST}:{self.ports[['nginx', 'tls', 'gzip'].index(kind)]}"

    def _configure_front(self, folder: Path, ports: list[int]) -> list[str]:
        (folder / "temp").mkdir(exist_ok=True)
        if not (folder / "ca.pem").exists():
            write_certificate(folder)
        passing = f"location / {{ proxy_pass http://{HOST}:{self.upstream}; proxy_buffering off; proxy_http_version 1.1; }}"
        (folder / "nginx.conf").write_text(f"""
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
events {{ worker_connections 64; }}
http {{
    access_log off;
    {" ".join(f"{what}_temp_path {folder}/temp/{what};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))}
    server {{ listen {HOST}:{ports[0]}; {passing} }}
    server {{
        listen {HOST}:{ports[1]} ssl;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.pem;
        {passing}
    }}
    server {{ listen {HOST}:{ports[2]}; gzip on; gzip_types text/event-stream; gzip_min_length 0; {passing} }}
}}
""")
        return ["nginx", "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]


@pytest.fixture
async def app() -> AsyncIterator[App]:
    app = App()
    await app.start()
    yield app
    await app.stop()


@contextlib.contextmanager
def in_front_of(app: App) -> Iterator[Front]:
    front = Front(app.port)
    try:
        needed(front.program, front.package)
        front.start()
        yield front
    finally:
        front.discard()


@pytest.fixture(params=["direct", "nginx", "tls", "gzip"])
async def origin(request: pytest.FixtureRequest, app: App) -> AsyncIterator[tuple[str, TLS]]:
    if request.param == "direct":
        yield f"http://{HOST}:{app.port}", TLS()
        return
    with in_front_of(app) as front:
        yield front.url(request.param), TLS(ca=front.ca)


@pytest.fixture
async def client(origin: tuple[str, TLS]) -> AsyncIterator[Client]:
    async with Client(base_url=origin[0], tls=origin[1], timeout=aioreq.Timeout(read=20)) as client:
        yield client


async def test_an_answer_in_pieces(app: App, client: Client, request: pytest.FixtureRequest) -> None:
    pieces = []
    async with client.sse("/chat", method="POST", json={"stream": True}) as events:
        assert events.response is not None
        packed = events.response.headers.get("Content-Encoding")
        assert packed == ("gzip" if "gzip" in request.node.name else None)
        async for event in events:
            if event.data == "[DONE]":
                break
            assert event.type == "delta"
            pieces.append(event.json()["choices"][0]["delta"]["content"])
            app.read.release()
    assert pieces == ANSWER


async def test_a_feed_goes_on_after_a_cut_connection(app: App, client: Client) -> None:
    events = [(event.id, event.data, event.retry) async for event in client.sse("/feed", max_wait=0.02)]
    assert events == [(str(number), str(number), 0.01) for number in (1, 2, 3, 4)]
    assert app.asked == [None, "2", "4"]


async def test_whoever_leaves_is_gone_for_the_server(app: App, client: Client) -> None:
    async for event in client.sse("/endless"):
        if event.data == "3":
            break
    await asyncio.wait_for(app.left.wait(), 10)


async def test_a_feed_outlives_the_server_behind_nginx(app: App) -> None:
    """While that is away, nginx says 502."""
    with in_front_of(app) as front:
        async with Client() as client, client.sse(f"{front.url('nginx')}/endless", max_wait=0.02) as events:
            async for event in events:
                if event.data == "3":
                    break
            await app.stop()
            waiting = asyncio.ensure_future(events_until(events, "3"))
            await asyncio.sleep(0.2)
            assert not waiting.done()
            await app.start()
            await asyncio.wait_for(waiting, 10)


async def test_a_feed_outlives_nginx(app: App) -> None:
    with in_front_of(app) as front:
        async with Client() as client, client.sse(f"{front.url('nginx')}/endless", max_wait=0.02) as events:
            for _ in range(3):
                await events_until(events, "3")
                await asyncio.to_thread(front.restart)


async def events_until(events: aioreq.EventSource, last: str) -> None:
    """Up to that event, of the next connection where this one is past it: the server counts anew on each."""
    async for event in events:
        if event.data == last:
            return
