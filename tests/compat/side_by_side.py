"""The side-by-side campaign's stage: one play, acted by aiohttp and by the face before servers that do the same, and what each saw of it.

A play is an async function of a `Stage`: client code that uses `stage.lib`. Its story is what it says by the way, what the servers
received, and what ended it. `await same(play)` says that both stories are one; the listed differences stand in `differences.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import warnings
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from peers import needed_module

import aioreq.compat.aiohttp as face
from aioreq.testing import Request, Server, Step

from .differences import DIFFERENCES

__all__ = ["OK", "Play", "Stage", "same", "stories"]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

HANGING = 5  # seconds until a play that hangs says so


class Stage:
    """Where one library acts: `lib`, the server in front of it, and its story up to now."""

    def __init__(self, lib: Any, server: Server) -> None:
        self.lib = lib
        self.server = server
        self.story: list[Any] = []
        self.names: dict[str, str] = {}  # what differs from one run to the next, and what it is called
        self.unsaid: set[str] = set()  # attributes of errors that aren't told

    @property
    def url(self) -> str:
        return self.server.url

    def say(self, *words: Any) -> None:
        """A line of the story."""
        self.story.append(tuple(self._plain(word) for word in words))

    @contextlib.contextmanager
    def trying(self, what: str = "") -> Iterator[None]:
        """Go on after an error, and say which it was."""
        try:
            yield
        except Exception as error:
            self.say("raised", what, *self.told_error(error))

    async def ask(self, session: Any, method: str = "GET", path: str = "/", *, read: str = "read", **options: Any) -> None:
        """One request, and all that its response, or its error, tells."""
        url = path if "://" in path or path.startswith("//") else self.url + path
        with self.trying(f"{method} {path}"):
            async with session.request(method, url, **options) as response:
                self.say_response(response)
                if read:
                    self.say("body", await getattr(response, read)())

    def say_response(self, response: Any) -> None:
        self.say("status", response.status, response.reason, response.ok, tuple(response.version), response.method)
        self.say("url", response.url, response.real_url, response.host)
        self.say("fields", sorted(response.raw_headers))
        self.say("type", response.content_type, response.charset, response.content_length)
        self.say("cookies", sorted(each.OutputString() for each in response.cookies.values()))
        self.say("history", [(each.status, str(each.url), each.method) for each in response.history])
        self.say("info", *self.told_info(response.request_info))
        self.say("links", [(name, sorted(link.items())) for name, link in response.links.items()])
        self.say("disposition", response.content_disposition)

    def say_cookies(self, jar: Any) -> None:
        """What a jar holds, by what client code sees of it."""
        for cookie in sorted(jar, key=lambda cookie: (cookie.key, cookie["domain"], cookie["path"])):
            self.say("cookie", cookie.key, cookie.value, *[cookie[name] for name in ("domain", "path", "secure", "httponly", "samesite")])

    def told_info(self, info: Any) -> tuple[Any, ...]:
        fields = sorted((name, value) for name, value in info.headers.items() if name.lower() not in ("user-agent", "cookie"))
        return str(info.url), info.method, str(info.real_url), fields

    def told_error(self, error: Any) -> list[Any]:
        """What code does with an error: its class, what catches it, and the attributes that are read."""
        bases = {base.__name__ for base in type(error).__mro__} & _CAUGHT
        told: list[Any] = [type(error).__name__, sorted(bases), bool(str(error)) or not isinstance(error, self.lib.ClientError)]
        plain = {"status", "errno", "host", "port", "path", "expected", "got"} - self.unsaid
        told += [(name, getattr(error, name)) for name in sorted(plain) if hasattr(error, name)]
        if hasattr(error, "ssl"):
            told.append(("ssl", error.ssl if isinstance(error.ssl, bool) else type(error.ssl).__name__))
        kinds = ("os_error", "certificate_error")
        told += [(name, type(getattr(error, name)).__name__) for name in kinds if hasattr(error, name)]
        if hasattr(error, "request_info"):
            told += ["info", *self.told_info(error.request_info)[:3], [each.status for each in error.history]]
            if error.status != 400:  # of a 400 that the client found out, the words are the library's
                told.append(("message", error.message if not hasattr(error, "os_error") else ""))
                told.append(("headers", None if error.headers is None else sorted(error.headers.items())))
        if isinstance(error, self.lib.InvalidURL):
            told.append(("url", str(error.url)))
        return told

    def close(self, wire: bool, reuse: bool) -> list[Any]:
        """The whole story, what the server saw among it; `reuse`: and on which connections."""
        if wire and reuse:
            self.say("connections", self.server.accepted, [request.connection for request in self.server.requests])
        if wire:
            for request in self.server.requests:
                self.say("request", *told_request(request))
        return [tuple(self._plain(word) for word in line) for line in self.story]

    def _plain(self, word: Any) -> Any:
        """The same word for both: without ports, boundaries, and the library's own name."""
        if isinstance(word, bytes):
            return self._plain(word.decode("latin-1")).encode("latin-1")
        if isinstance(word, list | tuple):
            return [self._plain(each) for each in word]
        if isinstance(word, int) and word == self.server.port:
            return "PORT"
        if isinstance(word, int) and str(word) in self.names:
            return self.names[str(word)]
        if word is None or isinstance(word, bool | int | float):
            return word
        text = str(word)
        text = text.replace(f":{self.server.port}", ":PORT")
        for is_called, name in self.names.items():
            text = text.replace(is_called, name)
        return _BOUNDARY.sub("BOUNDARY", text)


_BOUNDARY = re.compile(r"(?<=boundary=)[^;\s\"]+|(?<=--)[0-9a-f]{32}")
_CAUGHT = {"OSError", "TimeoutError", "ValueError", "TypeError", "RuntimeError", "ConnectionError", "SSLError", "CertificateError"} | {
    name for name in face.client_exceptions.__all__ if name.startswith(("Client", "Server", "Invalid", "NonHttp", "Redirect"))
}


def told_request(request: Request) -> tuple[Any, ...]:
    """What went out: the request line, the fields but for their order (RFC 9110 section 5.3), and the body."""
    fields = sorted((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers)
    fields = [(name, "ITS OWN" if name == "User-Agent" and "aio" in value else value) for name, value in fields]
    fields = [(name, "; ".join(sorted(value.split("; "))) if name == "Cookie" else value) for name, value in fields]
    body = request.body
    if request.header("content-encoding") == "deflate":
        body = zlib.decompress(body)  # which of the ways to write it zlib takes is its own affair
    if found := re.search(r'boundary="?([^";]+)', request.header("content-type") or ""):
        body = body.replace(found[1].encode(), b"BOUNDARY")
        fields = [(name, value.replace(found[1], "BOUNDARY")) for name, value in fields]
        if request.chunks == []:
            fields = [each for each in fields if each[0] != "Content-Length"]  # boundaries differ in length, too
    return request.method, request.target, request.version, fields, body, request.complete


Play = Callable[[Stage], Awaitable[None]]


async def story(
    lib: Any, play: Play, scripts: Iterable[tuple[Step, ...]] = (), *, wire: bool = True, reuse: bool = True, **options: Any
) -> list[Any]:
    """What this library makes of a play; `scripts` are of one connection each."""
    async with Server(**options) as server:
        for steps in scripts:
            server.script(*steps)
        stage = Stage(lib, server)
        with stage.trying("in the play"), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # which both give, and other tests look at
            async with asyncio.timeout(HANGING):
                await play(stage)
        return stage.close(wire, reuse)


async def stories(play: Play, scripts: Iterable[tuple[Step, ...]] = (), **options: Any) -> tuple[list[Any], list[Any]]:
    """aiohttp's and the face's."""
    scripts = list(scripts)
    return await story(needed_module("aiohttp", "aiohttp"), play, scripts, **options), await story(face, play, scripts, **options)


async def same(play: Play, scripts: Iterable[tuple[Step, ...]] = (), *, different: str | None = None, **options: Any) -> None:
    """Both libraries do the same; or, where a difference is named, not the same."""
    theirs, ours = await stories(play, scripts, **options)
    lines = [(a, b) for a, b in itertools.zip_longest(theirs, ours) if a != b]
    if different is None:
        assert not lines, "\n".join(f"  aiohttp {a}\n  face    {b}" for a, b in itertools.starmap(apart, lines))
    else:
        assert different in DIFFERENCES
        assert lines, f"no difference any more: {different}"
    assert theirs, "a play that tells nothing proves nothing"


def apart(a: Any, b: Any) -> tuple[Any, Any]:
    """Of two lines of the same kind the words that differ."""
    if a is None or b is None or len(a) != len(b) or a[0] != b[0]:
        return a, b
    words = [(x, y) for x, y in zip(a[1:], b[1:], strict=True) if x != y]
    return (a[0], *[x for x, _ in words]), (b[0], *[y for _, y in words])
