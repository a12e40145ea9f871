"""The stage on which httpx and httpx2 act one play twice: upon their own transport, and upon ours; and what each saw of it.

A play is an async function of a `Stage`: client code that makes its client by `stage.client()`. Its story is what it says by the way,
what the server received, and what ended it. `await same(cast, play)` says that both stories are one; the listed differences stand in
`httpx_differences.py`. Who acts stands in `httpx_casts.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any

from aioreq.testing import Request, Server, Step

from .httpx_casts import Cast
from .httpx_differences import DIFFERENCES

__all__ = ["OK", "Play", "Stage", "same", "stories"]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

HANGING = 10  # seconds until a play that hangs says so

# Made once: reading the system's certificates takes longer than a play.
CONTEXT = ssl.create_default_context()


class Stage:
    """Where one library acts: `lib`, the server in front of it, and its story up to now."""

    def __init__(self, cast: Cast, ours: bool, server: Server) -> None:
        self.lib = cast.lib
        self.sync = cast.sync
        self.server = server
        self.story: list[Any] = []
        self.names: dict[str, str] = {}  # what differs from one run to the next, and what it is called
        home, prefix = (cast.face, "") if ours else (cast.lib, "HTTP")
        self._make = getattr(home, f"{prefix}Transport" if cast.sync else f"Async{prefix}Transport")

    @property
    def url(self) -> str:
        return self.server.url

    def transport(self, **options: Any) -> Any:
        """The library's own, or ours, of the same options."""
        return self._make(**{"verify": CONTEXT, **options})

    @contextlib.asynccontextmanager
    async def client(self, transport: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[Any]:
        """A client upon the transport that is played with; `transport` are its options."""
        made = self.transport(**(transport or {}))
        if not self.sync:
            async with self.lib.AsyncClient(transport=made, **options) as client:
                yield client
            return
        client = await asyncio.to_thread(self.lib.Client, transport=made, **options)
        try:
            yield client
        finally:
            await asyncio.to_thread(client.close)

    async def do(self, act: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """A call of the library, from the loop or from a thread."""
        return await (asyncio.to_thread(act, *args, **options) if self.sync else act(*args, **options))

    def pieces(self, *pieces: bytes) -> Any:
        """A body from a generator, of the kind that the client takes."""

        async def asynchronous() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

        return iter(pieces) if self.sync else asynchronous()

    def say(self, *words: Any) -> None:
        """A line of the story."""
        self.story.append(tuple(self._plain(word) for word in words))

    @contextlib.contextmanager
    def trying(self, what: str = "") -> Iterator[None]:
        """Go on after an error, and say which it was."""
        try:
            yield
        except Exception as error:
            if isinstance(error, AssertionError):
                raise
            self.say("raised", what, *self._told_error(error))

    async def ask(self, client: Any, method: str = "GET", path: str = "/", **options: Any) -> None:
        """One request, and all that its response, or its error, tells."""
        url = path if "://" in path else self.url + path
        sending = {name: options.pop(name) for name in ("auth", "follow_redirects") if name in options}
        with self.trying(f"{method} {path}"):
            response = await self.do(client.send, client.build_request(method, url, **options), stream=True, **sending)
            try:
                self.say_response(response)
                await self.do(response.read if self.sync else response.aread)
                self.say("body", response.content, response.num_bytes_downloaded)
            finally:
                await self.do(response.close if self.sync else response.aclose)

    def say_response(self, response: Any) -> None:
        self.say("status", response.status_code, response.reason_phrase, response.http_version)
        self.say("url", response.url, response.request.method)
        self.say("fields", response.headers.raw)
        self.say("kind", response.encoding, response.is_redirect, response.has_redirect_location, response.is_closed)
        self.say("cookies", sorted((cookie.name, cookie.value, cookie.path) for cookie in response.cookies.jar))
        self.say("history", [(each.status_code, str(each.url), each.request.method) for each in response.history])
        self.say("next", getattr(response.next_request, "url", None), response.links)
        self.say("extensions", sorted(response.extensions))

    def _told_error(self, error: Exception) -> list[Any]:
        """What code does with an error: what catches it, and the request that it names. The words are each library's own."""
        told = [[base.__name__ for base in type(error).__mro__]]
        with contextlib.suppress(RuntimeError, AttributeError):  # RuntimeError: it names none
            told.append([error.request.method, str(error.request.url)])  # type: ignore[attr-defined]
        return told

    def close(self, wire: bool, reuse: bool) -> list[Any]:
        """The whole story, what the server saw among it; `reuse`: and on which connections."""
        if wire and reuse:
            numbers = [request.connection for request in self.server.requests]
            order = list(dict.fromkeys(numbers))  # one that was opened for nothing counts for nothing
            self.say("connections", [order.index(number) for number in numbers])
        if wire:
            for request in self.server.requests:
                self.say("request", *_told_request(request))
        return [tuple(self._plain(word) for word in line) for line in self.story]

    def _plain(self, word: Any) -> Any:
        """The same word for both, without ports and boundaries."""
        if isinstance(word, bytes):
            return self._plain(word.decode("latin-1")).encode("latin-1")
        if isinstance(word, list | tuple):
            return [self._plain(each) for each in word]
        if word is None or isinstance(word, bool | int | float):
            return word
        text = str(word).replace(f":{self.server.port}", ":PORT")
        for is_called, name in self.names.items():
            text = text.replace(is_called, name)
        return _RANDOM.sub("RANDOM", text)


_RANDOM = re.compile(r"(?<=boundary=)[0-9a-f]+|(?<=--)[0-9a-f]{32}|(?<=cnonce=\")[0-9a-f]+|(?<=response=\")[0-9a-f]+")


def _told_request(request: Request) -> tuple[Any, ...]:
    """What went out: the head as its bytes, and the body without its chunks' sizes."""
    return request.head, request.body, request.complete, request.trailers


Play = Callable[[Stage], Awaitable[None]]


async def story(
    cast: Cast, ours: bool, play: Play, scripts: Iterable[tuple[Step, ...]] = (), *, wire: bool = True, reuse: bool = True, **options: Any
) -> list[Any]:
    """What this library makes of a play; `scripts` are of one connection each."""
    async with Server(**options) as server:
        for steps in scripts:
            server.script(*steps)
        stage = Stage(cast, ours, server)
        with stage.trying("in the play"):
            async with asyncio.timeout(HANGING):
                await play(stage)
        return stage.close(wire, reuse)


async def stories(cast: Cast, play: Play, scripts: Iterable[tuple[Step, ...]] = (), **options: Any) -> tuple[list[Any], list[Any]]:
    """That of the library's transport, and of ours."""
    scripts = list(scripts)
    return await story(cast, False, play, scripts, **options), await story(cast, True, play, scripts, **options)


async def same(cast: Cast, play: Play, scripts: Iterable[tuple[Step, ...]] = (), *, different: str | None = None, **options: Any) -> None:
    """Both transports do the same; or, where a difference is named, not the same."""
    theirs, ours = await stories(cast, play, scripts, **options)
    lines = [(a, b) for a, b in itertools.zip_longest(theirs, ours) if a != b]
    if different is None:
        assert not lines, "\n".join(f"  {cast.name} {a}\n  aioreq {b}" for a, b in itertools.starmap(_apart, lines))
    else:
        assert different in DIFFERENCES
        assert lines, f"no difference any more: {different}"
    assert theirs, "a play that tells nothing proves nothing"


def _apart(a: Any, b: Any) -> tuple[Any, Any]:
    """Of two lines of the same kind the words that differ."""
    if a is None or b is None or len(a) != len(b) or a[0] != b[0]:
        return a, b
    words = [(x, y) for x, y in zip(a[1:], b[1:], strict=True) if x != y]
    return (a[0], *[x for x, _ in words]), (b[0], *[y for _, y in words])
