"""The embedded server: opens and closes, routes requests, keeps what was received. Reads no bytes itself: a Connection does."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import re
import ssl
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar, overload

from .connection import Answering, Connection
from .reply import Reply
from .request import Bell, Request
from .script import Script, Step

if TYPE_CHECKING:
    from .certificate import Authority

__all__ = ["Server"]

H = TypeVar("H", bound=Callable[[Request], Any])


@dataclass(frozen=True)
class _Route:
    pattern: re.Pattern[str]
    methods: frozenset[str] | None
    answering: Answering


class Server:
    """An HTTP/1.1 server on a real loopback socket, for tests.

    `async with Server() as server` runs on the current loop, `with Server() as server` on a loop of its own in a thread. The port is
    the system's choice unless given; `unix` is a path to listen on instead. `tls=True` makes a throw-away certificate for localhost,
    127.0.0.1 and ::1 (an `Authority` or an `ssl.SSLContext` of your own is taken too). `routes` are functions that add routes, such
    as `httpbin`. `record=False` keeps no requests (for benchmarks).

    >>> async def main():
    ...     async with Server() as server:
    ...         @server.route("/hello/{name}")
    ...         def hello(request):
    ...             return {"hello": request.params["name"]}
    ...         reader, writer = await asyncio.open_connection(server.host, server.port)
    ...         writer.write(b"GET /hello/you HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
    ...         answer = await reader.read()
    ...         writer.close()
    ...         return answer.splitlines()[-1], server.requests
    >>> asyncio.run(main())
    (b'{"hello": "you"}', [<Request GET /hello/you>])
    """

    Reply: ClassVar = Reply

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        unix: str | os.PathLike[str] | None = None,
        tls: bool | Authority | ssl.SSLContext = False,
        routes: Callable[[Server], None] | Iterable[Callable[[Server], None]] = (),
        record: bool = True,
        backlog: int = 1024,
    ) -> None:
        self.host = host
        self.port = port
        self.unix = None if unix is None else os.fspath(unix)
        self.record = record
        self.ca: str | None = None  # path of the CA's PEM file, while the server is open
        self.requests: list[Request] = []
        self.errors: list[str] = []  # what clients and handlers did wrong; look here when a test gets a 400 or a 500
        self.accepted = 0  # connections, ever
        self.connections: set[Connection] = set()  # open now
        self.tasks: set[asyncio.Task[None]] = set()
        self.bell = Bell()
        self._tls = tls
        self._backlog = backlog
        self._context: ssl.SSLContext | None = None
        self._exact: dict[str, list[_Route]] = {}
        self._patterns: list[_Route] = []
        self._scripts: deque[Script] = deque()
        self._scripts_by_path: dict[str, deque[Answering]] = {}
        self._listener: asyncio.Server | None = None
        self._open_now = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop: asyncio.Event
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        for add in [routes] if callable(routes) else routes:
            add(self)

    def __repr__(self) -> str:
        return f"<Server {self.url}, {'open' if self._open_now else 'closed'}>"

    @property
    def url(self) -> str:
        """The origin, without a slash at the end."""
        scheme = "https" if self._tls else "http"
        if self.unix is not None:
            return f"{scheme}://localhost"
        return f"{scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def client_context(self) -> ssl.SSLContext:
        """A context for clients that trusts this server's CA and nothing else."""
        if self.ca is None:
            raise RuntimeError("this server has no CA of its own: open it with Server(tls=True)")
        return ssl.create_default_context(cafile=self.ca)

    # What it answers.

    @overload
    def route(self, path: str, *, methods: Iterable[str] | None = None, early: bool = False) -> Callable[[H], H]: ...

    @overload
    def route(self, path: str, answer: Any, *, methods: Iterable[str] | None = None, early: bool = False) -> None: ...

    def route(self, path: str, answer: Any = None, *, methods: Iterable[str] | None = None, early: bool = False) -> Any:
        """Answers requests for a path: `@server.route("/a/{id}")` above a handler, or `server.route("/a", answer)`.

        `{name}` matches one segment and `*` anything; what is exact goes before patterns, earlier before later. A handler, async or
        not, takes the Request and returns what `Reply.of` takes, an async iterable of bytes, or a Script. HEAD goes where GET does.
        `early` calls it when the head is in: it may answer before the body, wait for `request.finished()`, or read
        `request.pieces()`.
        """

        def add(handler: Any) -> Any:
            if callable(handler):
                answering = Answering(handler, early)
            else:
                fixed = handler if isinstance(handler, Script) else Reply.of(handler)
                answering = Answering(lambda request: fixed, early)
            allowed = None if methods is None else frozenset(m.upper() for m in methods)
            pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]*)", re.escape(path)).replace(r"\*", ".*")
            route = _Route(re.compile(pattern, re.DOTALL), allowed, answering)
            if "{" in path or "*" in path:
                self._patterns.append(route)
            else:
                self._exact.setdefault(path, []).append(route)
            return handler

        return add if answer is None else add(answer)

    def script(
        self,
        *steps: Step,
        path: str | None = None,
        on: Literal["accept", "head", "request"] = "request",
        below_tls: bool = False,
        times: int = 1,
    ) -> None:
        """The next connection (or the next request for `path`) gets exactly these steps: bytes, Pause, Reset, ...

        They begin when the connection is accepted, when the first head is in, or when the first request is whole. Afterwards the
        connection stays open, and its next requests are routed. `below_tls` runs them on a TLS server in place of the handshake, on
        bare TCP. `times` connections (or requests) get them.
        """
        if path is not None:
            if on == "accept" or below_tls:
                raise ValueError("a script for a path begins with its request: on='head' or on='request'")
            script = Script(steps)
            answers = self._scripts_by_path.setdefault(path, deque())
            answers.extend(Answering(lambda request: script, on == "head") for _ in range(times))
        elif below_tls:
            self._scripts.extend([Script(steps, below_tls=True)] * times)
        else:
            self._scripts.extend([Script.of(steps, on)] * times)

    def push(self, *steps: Step) -> int:
        """Runs steps on every idle connection: bytes nobody asked for, Close(), Reset(), ... Returns how many there were."""

        def start() -> int:
            idle = [connection for connection in self.connections if connection.idle]
            for connection in idle:
                connection.start(Script(steps))
            return len(idle)

        if self._thread is None or self._loop is None:
            return start()
        started: concurrent.futures.Future[int] = concurrent.futures.Future()
        self._loop.call_soon_threadsafe(lambda: started.set_result(start()))
        return started.result()

    async def until(self, condition: Callable[[], bool], *, seconds: float = 10) -> None:
        """Waits until a condition on the server holds; looked at on every connection, request and end of one.

        It fails after some seconds, so that a test ends.
        """
        if self._thread is None:
            await self._until(condition, seconds)
        else:
            await asyncio.wrap_future(self._in_thread(condition, seconds))

    def wait(self, condition: Callable[[], bool], *, seconds: float = 10) -> None:
        """`until` for synchronous code, of a server on its own thread."""
        self._in_thread(condition, seconds).result()

    async def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        async with asyncio.timeout(seconds):
            await self.bell.until(condition)

    def _in_thread(self, condition: Callable[[], bool], seconds: float) -> concurrent.futures.Future[None]:
        if self._thread is None or self._loop is None:
            raise RuntimeError("this server runs on the current loop: `await server.until(...)` there, or open it by a plain `with`")
        return asyncio.run_coroutine_threadsafe(self._until(condition, seconds), self._loop)

    # Its life.

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._close()

    def __enter__(self) -> Self:
        opened: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live(opened)), name="aioreq.testing.Server", daemon=True)
        self._thread.start()
        try:
            opened.result()
        except BaseException:
            self._thread.join()
            self._thread = None
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._loop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._thread = None

    async def _live(self, opened: concurrent.futures.Future[None]) -> None:
        self._stop = asyncio.Event()
        try:
            await self._open()
        except BaseException as error:
            opened.set_exception(error)
            return
        opened.set_result(None)
        await self._stop.wait()
        await self._close()

    async def _open(self) -> None:
        if self._open_now:
            raise RuntimeError("this server is open already")
        self._loop = asyncio.get_running_loop()
        if self._tls:
            self._prepare_tls()
        self._open_now = True
        try:
            if self.unix is not None:
                self._listener = await self._loop.create_unix_server(lambda: Connection(self), self.unix, backlog=self._backlog)
            else:
                self._listener = await self._loop.create_server(lambda: Connection(self), self.host, self.port, backlog=self._backlog)
                self.port = self._listener.sockets[0].getsockname()[1]
        except BaseException:
            self._open_now = False
            self._forget_tls()
            raise

    def _prepare_tls(self) -> None:
        if isinstance(self._tls, ssl.SSLContext):
            self._context = self._tls
            return
        from .certificate import Authority  # not before TLS is asked for: it needs a package

        authority = self._tls if isinstance(self._tls, Authority) else Authority()
        self._context = authority.server_context()
        self._folder = tempfile.TemporaryDirectory(prefix="aioreq-testing-")
        self.ca = os.path.join(self._folder.name, "ca.pem")
        with open(self.ca, "wb") as file:
            file.write(authority.pem)

    def _forget_tls(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()
        self._folder = self._context = self.ca = None

    async def _close(self) -> None:
        listener, self._listener = self._listener, None
        assert listener is not None
        self._open_now = False
        listener.close()
        # What the loop has accepted already becomes a connection within three turns, and is turned away.
        for _ in range(3):
            await asyncio.sleep(0)
        for connection in list(self.connections):
            connection.abort()
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.bell.until(lambda: not self.connections)
        await listener.wait_closed()
        # A transport closes its socket at the end of the turn in which it tells its protocol.
        await asyncio.sleep(0)
        if self.unix is not None:
            with contextlib.suppress(FileNotFoundError):  # from Python 3.13 on asyncio removes it
                os.unlink(self.unix)
        self._forget_tls()

    # What its connections call.

    def connection_opened(self, connection: Connection) -> tuple[Script | None, ssl.SSLContext | None]:
        """Its script, if one waits, and the context of its handshake, if there is to be one."""
        self.connections.add(connection)
        self.accepted += 1
        connection.number = self.accepted
        self.bell.ring()
        if not self._open_now:
            connection.abort()
            return None, None
        script = self._scripts.popleft() if self._scripts else None
        return script, None if script is not None and script.below_tls else self._context

    def connection_closed(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self.bell.ring()

    def request_arrived(self, connection: Connection, request: Request) -> Answering:
        """Keeps the request and says how it is answered."""
        if self.record:
            self.requests.append(request)
            connection.requests.append(request)
        self.bell.ring()
        path = request.path
        if scripted := self._scripts_by_path.get(path):
            return scripted.popleft()
        allowed: set[str] = set()
        for route in self._routes(path, request):
            if route.methods is None or request.method in route.methods or (request.method == "HEAD" and "GET" in route.methods):
                return route.answering
            allowed |= route.methods
        if allowed:
            refusal = Reply(405, [("Allow", ", ".join(sorted(allowed)))])
        else:
            refusal = Reply(404, [("Content-Type", "text/plain")], f"no route for {path}\n")
        return Answering(lambda request: refusal)

    def _routes(self, path: str, request: Request) -> Iterator[_Route]:
        yield from self._exact.get(path, ())
        for route in self._patterns:
            if (match := route.pattern.fullmatch(path)) is not None:
                request.params = match.groupdict()
                yield route
