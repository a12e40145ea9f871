"""The site that the examples of aiohttp's documentation talk to: one set of answers, given by aiohttp.web and by the embedded server."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import json
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from peers import needed_module

from aioreq.testing import Authority, Reply, Request, Server

PICTURE = bytes(range(256)) * 200  # 50 KiB
USER, PASSWORD = "ann", "sesame"

Answer = tuple[int, list[tuple[str, str]], bytes]


@dataclass
class Seen:
    """A request, as either server received it."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(urlsplit(self.target).query, keep_blank_values=True)

    def field(self, name: str) -> str | None:
        return next((value for own, value in self.headers if own.lower() == name.lower()), None)

    def form(self) -> dict[str, Any]:
        """name -> text, or (file name, media type, content)."""
        kind = self.field("content-type") or ""
        if kind.startswith("application/x-www-form-urlencoded"):
            return dict(parse_qsl(self.body.decode()))
        message = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + self.body)
        assert message.is_multipart()
        return {part.get_param("name", header="content-disposition"): _of_part(part) for part in _parts(message)}


def _parts(message: Message) -> list[Any]:
    parts = message.get_payload()
    assert isinstance(parts, list)
    return parts


def _of_part(part: Message) -> Any:
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    name = part.get_filename()
    return content.decode() if name is None else (unquote(name), part.get_content_type(), content)


class Site:
    """`url`, and all that it received."""

    def __init__(self) -> None:
        self.url = ""
        self.seen: list[Seen] = []
        self.tokens = {"first"}  # those that /protected takes
        self.issued = 0
        self.failures = 0  # how often /flaky still fails

    @property
    def last(self) -> Seen:
        return self.seen[-1]

    async def answer(self, seen: Seen) -> Answer:
        self.seen.append(seen)
        name = seen.path.strip("/").partition("/")[0].replace("-", "_")
        found = getattr(self, f"_at_{name}", None)
        if found is not None:
            answer: Answer = await found(seen)
            return answer
        said = {"args": seen.query, "method": seen.method, "headers": dict(seen.headers), "data": seen.body.decode("latin-1")}
        return _json(said)

    async def _at_events(self, seen: Seen) -> Answer:
        return _text("héllo wörld")

    async def _at_legacy(self, seen: Seen) -> Answer:
        return 200, [("Content-Type", "text/plain")], "привет".encode("windows-1251")

    async def _at_picture(self, seen: Seen) -> Answer:
        return 200, [("Content-Type", "image/png"), ("Content-Disposition", 'attachment; filename="logo.png"')], PICTURE

    async def _at_gzip(self, seen: Seen) -> Answer:
        headers = [("Content-Type", "application/json"), ("Content-Encoding", "gzip")]
        return 200, headers, gzip.compress(b'{"gzipped": true}')

    async def _at_set(self, seen: Seen) -> Answer:
        return 200, [("Set-Cookie", f"{name}={value}; Path=/") for name, value in seen.query], b""

    async def _at_cookies(self, seen: Seen) -> Answer:
        pairs = [pair.strip().partition("=") for pair in (seen.field("cookie") or "").split(";") if pair.strip()]
        return _json({"cookies": {name: value for name, _, value in pairs}})

    async def _at_moved(self, seen: Seen) -> Answer:
        left = int(dict(seen.query).get("n", 1))
        return 302, [("Location", f"/moved?n={left - 1}" if left > 1 else "/events")], b""

    async def _at_status(self, seen: Seen) -> Answer:
        return int(seen.path.rpartition("/")[2]), [], b"so it is"

    async def _at_slow(self, seen: Seen) -> Answer:
        await asyncio.sleep(20)
        return _text("late")

    async def _at_basic(self, seen: Seen) -> Answer:
        if seen.field("authorization") == "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode():
            return _text("welcome")
        return 401, [("WWW-Authenticate", 'Basic realm="x"')], b""

    async def _at_protected(self, seen: Seen) -> Answer:
        scheme, _, token = (seen.field("authorization") or "").partition(" ")
        return _text("welcome") if scheme == "Bearer" and token in self.tokens else (401, [], b"")

    async def _at_token(self, seen: Seen) -> Answer:
        self.issued += 1
        self.tokens = {f"token{self.issued}"}
        return _json({"access_token": f"token{self.issued}", "expires_in": 60})

    async def _at_flaky(self, seen: Seen) -> Answer:
        self.failures -= 1
        return (503, [], b"") if self.failures >= 0 else _text("at last")

    async def _at_parts(self, seen: Seen) -> Answer:
        body = (
            b'--frontier\r\nContent-Type: application/json\r\n\r\n{"part": 1}\r\n'
            b'--frontier\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename="two.txt"\r\n\r\nsecond\r\n'
            b"--frontier\r\nContent-Type: multipart/mixed; boundary=inner\r\n\r\n"
            b"--inner\r\nContent-Type: text/plain\r\n\r\nnested\r\n--inner--\r\n\r\n--frontier--\r\n"
        )
        return 200, [("Content-Type", "multipart/mixed; boundary=frontier")], body

    async def _at_links(self, seen: Seen) -> Answer:
        page = int(dict(seen.query).get("page", 1))
        link = [("Link", f'</links?page={page + 1}>; rel="next"')] if page < 3 else []
        return 200, [("Content-Type", "application/json"), *link], json.dumps([page]).encode()


def _json(value: Any) -> Answer:
    return 200, [("Content-Type", "application/json; charset=utf-8")], json.dumps(value).encode()


def _text(value: str) -> Answer:
    return 200, [("Content-Type", "text/plain; charset=utf-8")], value.encode()


@contextlib.asynccontextmanager
async def _embedded(site: Site, context: ssl.SSLContext | None, path: str | None) -> AsyncIterator[None]:
    async def handle(request: Request) -> Reply:
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers]
        return Reply(*await site.answer(Seen(request.method, request.target.decode("latin-1"), headers, request.body)))

    async with Server(tls=context or False, unix=path) as server:
        server.route("*", handle)
        site.url = server.url
        yield


@contextlib.asynccontextmanager
async def _real(site: Site, context: ssl.SSLContext | None, path: str | None) -> AsyncIterator[None]:
    web = needed_module("aiohttp.web", "aiohttp")

    async def handle(request: Any) -> Any:
        status, headers, body = await site.answer(
            Seen(request.method, request.raw_path, list(request.headers.items()), await request.read())
        )
        response = web.Response(status=status, body=body)
        for name, value in headers:
            response.headers.add(name, value)
        return response

    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.01, handler_cancellation=True, auto_decompress=False)
    await runner.setup()
    try:
        if path is None:
            listener = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        else:
            listener = web.UnixSite(runner, path, ssl_context=context)
        await listener.start()
        port = "" if path is not None else f":{listener._server.sockets[0].getsockname()[1]}"
        site.url = f"{'https' if context else 'http'}://{'127.0.0.1' if path is None else 'localhost'}{port}"
        yield
    finally:
        await runner.cleanup()


Opener = Callable[[Site, ssl.SSLContext | None, str | None], contextlib.AbstractAsyncContextManager[None]]
SERVERS: dict[str, Opener] = {"aiohttp.web": _real, "embedded": _embedded}


@contextlib.asynccontextmanager
async def opened(server: str, authority: Authority | None = None, path: str | None = None) -> AsyncIterator[Site]:
    """A site, served by "aiohttp.web" or "embedded"; behind TLS with an authority, on a Unix socket with a path."""
    site = Site()
    context = None if authority is None else authority.server_context()
    async with SERVERS[server](site, context, path):
        yield site
