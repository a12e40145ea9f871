"""The client: the verbs; owns the chain, the jar, and its connector unless that is shared. Decides nothing about what is sent."""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from yarl import URL

from .auth import credentials
from .config import TLS, Limits, Timeout, check_count, check_seconds
from .connector import Connector
from .cookies import CookieJar
from .dial_options import LocalAddress, SocketOption, UnixSocket
from .errors import AioreqError, ClientClosed
from .guard import Guard
from .headers import SENSITIVE_HEADERS, HeaderTypes, field_names
from .middlewares import MiddleWare, MiddleWareTypes, RedirectPolicy, build, default_middlewares
from .models import AuthTypes, Request, Response, StreamResponse
from .pool import Pool
from .proxies import ProxyTypes
from .request_head import HeaderBlock
from .request_options import RequestOptions, VerifyTypes
from .resolvers import Resolver
from .retries import Retry, RetryBudget
from .settings import Settings, checked_base, checked_proxies, checked_tls, default_fields, jar_of
from .stats import Stats
from .stream_context import StreamContext
from .terms import Terms
from .urls import QueryTypes, encode_pairs

if TYPE_CHECKING:
    from os import PathLike

    from .protection import ProtectionSpaces
    from .saving import Download
    from .sse import EventSource
    from .websocket.forever import ForeverOptions, WebSocketForever
    from .websocket.handshake import WebSocketContext
    from .websocket.permessage_deflate import Deflate

__all__ = ["Client"]

_TIMEOUT, _RETRY = Timeout(), Retry()

_VERBS = ("GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS")
_NO_OPTIONS = RequestOptions()


class Client:
    """An HTTP client: connections are kept and reused, cookies remembered, redirects followed, failures retried where that is safe.

    `async with aioreq.Client() as client: response = await client.get(url)`. It may be made outside a loop and used from one loop after
    another; without `async with`, `await client.close()` at the end. Options given here hold for every request, a request's own win;
    `base_url` goes in front of URLs that have no scheme. `resolver` finds the addresses of names (`AiodnsResolver`, or an own `Resolver`),
    or is a table of some: `{"example.com": "127.0.0.1"}`, as curl's `--resolve`.
    Connections come from `local_address` (an IP address, or one and a port), or go to `unix_socket` (a path) whatever host a URL names;
    `socket_options` are (level, name, value) each, set before connecting. `guard`, a `PublicOnly` or an own `Guard`, refuses hosts and
    addresses, for URLs that somebody else chose. All of these and `limits` are the connector's: a shared `connector` has its own.
    `proxy` is a URL, a `Proxy`, or a mapping of "http", "https", "all", "https://host", "all://*.host" (what is below it) or
    "http://host:8080" to one of these or None, the most telling key wins. Without it, and with `trust_env`, HTTP_PROXY, HTTPS_PROXY,
    ALL_PROXY and NO_PROXY are read from the environment once, here; `proxy={}` goes everywhere directly.
    More than `max_redirects` redirects are an error. `redirect_policy` is asked about each one, with its head and the request that would
    follow it: it returns "follow", "stop" (the redirect is the response) or "refuse" (RedirectRefused). `sensitive_headers` names the
    fields that stay with their origin, beside credentials and cookies: `SENSITIVE_HEADERS | {"X-Own"}` adds to the list.
    """

    def __init__(
        self,
        *,
        base_url: str | URL | None = None,
        headers: HeaderTypes | None = None,
        params: QueryTypes | None = None,
        cookies: Mapping[str, str] | CookieJar | None = None,
        auth: AuthTypes = None,
        timeout: Timeout | float | None = _TIMEOUT,
        limits: Limits | None = None,
        retry: Retry | int | None = _RETRY,
        middlewares: MiddleWareTypes = default_middlewares,
        persistent_connections: bool = True,
        proxy: ProxyTypes = None,
        trust_env: bool = True,
        verify: VerifyTypes = True,
        tls: TLS | None = None,
        resolver: Resolver | Mapping[str, str | Sequence[str]] | None = None,
        guard: Guard | None = None,
        local_address: LocalAddress | None = None,
        unix_socket: UnixSocket | None = None,
        socket_options: Iterable[SocketOption] | None = None,
        follow_redirects: bool = True,
        max_redirects: int = 20,
        redirect_policy: RedirectPolicy | None = None,
        sensitive_headers: Collection[str] = SENSITIVE_HEADERS,
        raise_for_status: bool = False,
        user_agent: str | None = None,
        connector: Connector | None = None,
        json_loads: Callable[[bytes], Any] | None = None,
        json_dumps: Callable[[Any], str | bytes] | None = None,
    ) -> None:
        self.middlewares: MiddleWare = build(middlewares)
        check_count("Client", "max_redirects", max_redirects)
        if redirect_policy is not None and not callable(redirect_policy):
            raise TypeError(f"Client(redirect_policy=...) takes a function, not {type(redirect_policy).__name__}")
        base = None if base_url is None else checked_base(base_url)
        self._owned = connector is None
        of_connector = {
            "limits": limits,
            "resolver": resolver,
            "guard": guard,
            "local_address": local_address,
            "unix_socket": unix_socket,
            "socket_options": socket_options,
        }
        self.connector: Connector = _connector(connector, {name: value for name, value in of_connector.items() if value is not None})
        dialer, limits = self.connector.dialer, self.connector.limits
        self.settings = Settings(
            base=base,
            params=params if params is None or isinstance(params, str) else encode_pairs(params, "params"),
            auth=credentials(auth),
            json_dumps=json_dumps,
            defaults=HeaderBlock(default_fields(self.middlewares, user_agent, persistent_connections, headers)),
            dialer=dialer,
            redirect_policy=redirect_policy,
            terms=Terms(
                timeout=Timeout.of(timeout),
                limits=limits,
                retry=Retry.of(retry).within(RetryBudget()),
                tls=checked_tls(verify, tls),
                dialer=dialer,
                proxies=checked_proxies(proxy, dialer, trust_env),
                follow_redirects=follow_redirects,
                max_redirects=max_redirects,
                sensitive_headers=field_names(sensitive_headers),
                raise_for_status=raise_for_status,
                max_body=limits.body,
            ),
        )
        self.cookies = jar_of(cookies, base)
        self.protection_spaces: ProtectionSpaces | None = None  # from the first answer to a 401 on
        self._json_loads = json_loads
        self._closed = False
        self._latest: Pool | None = None

    # -- verbs

    def get(self, url: str | URL, **options: Unpack[RequestOptions]) -> Coroutine[Any, Any, Response]:
        """GET (RFC 9110 section 9.3.1): see `request`."""
        return self.request("GET", url, **options)

    def head(self, url: str | URL, **options: Unpack[RequestOptions]) -> Coroutine[Any, Any, Response]:
        """HEAD: the head of what GET would give, without the body."""
        return self.request("HEAD", url, **options)

    def post(self, url: str | URL, **options: Unpack[RequestOptions]) -> Coroutine[Any, Any, Response]:
        """POST: see `request`."""
        return self.request("POST", url, **options)

    def put(self, url: str | URL, **options: Unpack[RequestOptions]) -> Coroutine[Any, Any, Response]:
        """PUT: see `request`."""
        return self.request("PUT", url, **options)

    def patch(self, url: str | URL, **options: Unpack[RequestOptions]) -> Coroutine[Any, Any, Response]:
        """PATCH (RFC 5789): see `request`."""
        return self.request("PATCH", url, **options)

    def delete(self, url: str | URL, **options: Unpack[RequestOptions]) -> Coroutine[Any, Any, Response]:
        """DELETE: see `request`."""
        return self.request("DELETE", url, **options)

    def options(self, url: str | URL, **options: Unpack[RequestOptions]) -> Coroutine[Any, Any, Response]:
        """OPTIONS: see `request`."""
        return self.request("OPTIONS", url, **options)

    def request(self, method: str, url: str | URL, **options: Unpack[RequestOptions]) -> Coroutine[Any, Any, Response]:
        """The response, its whole body in memory, whatever its status.

        Errors: everything under `AioreqError`; the message tells who is at fault, in which phase and after how long.
        """
        return self._respond(None, method if method in _VERBS else _upper(method), url, options)

    def stream(self, method: str, url: str | URL, **options: Unpack[RequestOptions]) -> StreamContext:
        """`async with client.stream("GET", url) as response:` gives a `StreamResponse` as soon as its head is in."""
        return StreamContext(self, self.settings.new_request(_upper(method), url, options))

    def sse(
        self,
        url: str | URL,
        *,
        method: str = "GET",
        last_event_id: str | None = None,
        reconnect: bool | int | None = None,
        max_event: int | None = 16 * 1024 * 1024,
        max_wait: float = 60,
        **options: Unpack[RequestOptions],
    ) -> EventSource:
        """`async for event in client.sse(url):` gives each `ServerSentEvent` as it arrives (WHATWG HTML section 9.2).

        A GET is a feed: when the response ends or its connection is lost, it is asked for again from the last event's `id` on, until the
        server answers 204. Other methods are sent once, for an LLM would be paid twice; `reconnect=True` repeats them, False repeats
        nothing, a number is how many attempts in a row may bring no event. The pause between them is the server's `retry`, and more the
        longer nothing comes, `max_wait` seconds at most. What fails before there was a stream is not repeated here (see `retry`).

        Errors: StatusError for any status but 200 (later 429, 502, 503 and 504 are waited out), DecodeError for what is no
        text/event-stream (`.partial` is its start), LimitExceeded for an event of more than `max_event` characters, and those of `request`.
        """
        from .sse import EventSource

        return EventSource(self, self.settings.new_request(_upper(method), url, options), reconnect, last_event_id, max_event, max_wait)

    def websocket(
        self,
        url: str | URL,
        *,
        subprotocols: Collection[str] = (),
        compression: bool | Deflate = False,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        max_message: int | None = 16 * 1024 * 1024,
        close_timeout: float | None = 10,
        **options: Unpack[RequestOptions],
    ) -> WebSocketContext:
        """`async with client.websocket("wss://...") as ws:` opens a `WebSocket` (RFC 6455), and closes it in the end; `await` only opens.

        `subprotocols`: names, the best first. `compression`: True, or a `Deflate`, offers to compress messages. Every `ping_interval`
        seconds a ping goes out; where neither its pong nor anything else comes for `ping_timeout` seconds the connection is given up. A
        message of more than `max_message` bytes, decompressed, is an error. The server's answer to `close` is waited for `close_timeout`
        seconds. None is no limit, and no pings. Of the request's options those without a body; its `timeout` is for the handshake.

        Errors: WebSocketRefused for any answer but a right 101, and those of `request`.
        """
        from .websocket.handshake import WebSocketContext
        from .websocket.link import WebSocketOptions

        live = WebSocketOptions(ping_interval, ping_timeout, max_message, close_timeout)
        return WebSocketContext(self, url, subprotocols, compression, live, options)

    def websocket_forever(
        self,
        url: str | URL,
        *,
        backoff: float | Callable[[int], float] = 1,
        max_wait: float = 60,
        attempts: int | None = None,
        **options: Unpack[ForeverOptions],
    ) -> WebSocketForever:
        """`async for ws in client.websocket_forever(url):` gives an open `WebSocket`, and another one each time the loop comes round.

        The one before is closed then, and so is the last one when the loop is left. What the body raises ends the loop: WebSocketClosed is
        to be caught there. A server that can't be reached, or answers 429 or 5xx, is tried again, `attempts` times in a row after the
        first (None: any number). The pause is anything up to `backoff * 2 ** (n - 1)` seconds after n failures in a row, at random, or
        what a function of n says; a Retry-After comes besides; `max_wait` at most. A connection that brought a message, or was open for
        `max_wait`, ends the row. `options` are those of `websocket`; its request isn't tried again by itself unless `retry` is given.

        Errors: those of `websocket` that stay as they are: GuardError, CertificateError, any other status, ...; and the last of a row.
        """
        from .websocket.forever import WebSocketForever

        return WebSocketForever(self, url, backoff, max_wait, attempts, options)

    def download(
        self,
        url: str | URL,
        path: str | PathLike[str] = ".",
        *,
        resume: bool = False,
        sha256: str | None = None,
        ranges: int = 1,
        overwrite: bool | None = None,
        min_speed: tuple[float, float] | None = None,
        **options: Unpack[RequestOptions],
    ) -> Coroutine[Any, Any, Download]:
        """A GET's body in the file `path`, or in a folder by the name that the response suggests; there is no such file until it is whole.

        A lost connection is gone on with where it stopped, as often as the request's `retry` says, counted anew whenever bytes arrived.
        `resume` keeps what had arrived when the download fails, and goes on with it the next time. `sha256` (hexadecimal digits) is
        checked before the file gets its name. `ranges` connections fetch parts of a large file at once, where the server lets them.
        `overwrite=False` never replaces a file; without it only a file that `path` names itself is. `min_speed` is (bytes a second,
        seconds): a connection that brings less in that time is given up. `progress` is told the bytes that are here, and the total.

        Errors: StatusError for anything but the file, DigestMismatch, LimitExceeded past `max_body` bytes, OSError of the disk, and those
        of `request`.
        """
        from .download import download

        return download(
            self, url, path, resume=resume, sha256=sha256, ranges=ranges, overwrite=overwrite, min_speed=min_speed, options=options
        )

    async def send(self, request: Request) -> Response:
        """The response to a `Request`: the client's headers, cookies, auth and base_url are added, the request's own win."""
        response: Response = await self._respond(self.settings.settled_copy(request))
        return response

    # -- one call

    async def _respond(self, request: Request | None, method: str = "", url: str | URL = "", options: RequestOptions = _NO_OPTIONS) -> Any:
        """The response to a settled request, else to one of these options: a Response, or a StreamResponse where that was asked for."""
        if request is None:  # made here and not before: what is wrong with it is raised where the call is awaited
            request = self.settings.new_request(method, url, options)
        began = perf_counter()  # uvloop's clock stands still within a turn and counts in milliseconds
        pool = self._latest
        if pool is None or pool.loop is not get_running_loop():  # never the latest one once the client is closed
            if self._closed:
                raise ClientClosed("the client is closed", request=request)
            pool = self.pool()
        pool.calls += 1
        try:
            response = await self.middlewares.process(request, self)
            if request.stream:
                if not isinstance(response, StreamResponse):
                    raise TypeError(f"a middleware answered a streamed request with {type(response).__name__}, not a StreamResponse")
            elif isinstance(response, StreamResponse):
                response = await response.buffer()
            elif response.coding is not None:
                await response.finish()
        except AioreqError as error:
            if error.request is None:
                error.request = request
            raise
        finally:
            pool.calls -= 1
            if pool.draining:
                pool.call_ended()
        response.elapsed = perf_counter() - began
        if self._json_loads is not None:
            response.json_loads = self._json_loads
        if response.status >= 400 and request.terms.raise_for_status:
            checked: Any = response.raise_for_status()
            if request.stream:
                await checked
        return response

    def start_stream(self, request: Request) -> Coroutine[Any, Any, StreamResponse]:
        """The head of the response, its body still to be read; whoever calls this closes it. `stream` does so by itself."""
        request.stream = True
        return self._respond(request)

    # -- lifecycle

    def pool(self) -> Pool:
        """The pool of the running loop. Errors: ClientClosed, unless the client waits for calls under way there."""
        loop = get_running_loop()
        pool = self._latest
        if pool is not None and pool.loop is loop:
            return pool
        if self._closed and not self._owned:
            raise ClientClosed("the client is closed")
        try:
            pool = self.connector.pool()
        except ClientClosed:
            raise ClientClosed("the client is closed" if self._closed else "the client's connector is closed") from None
        self._latest = pool
        if self._closed:  # perhaps by another thread in this very moment
            self._latest = None
        return pool

    def stats(self) -> Stats:
        """How many connections are open, idle and being opened, and how many requests wait for one: in all, and for each origin.

        Summed over the loops that the client is used on; may be called outside a loop, from any thread, and after `close`.
        """
        return self.connector.stats()

    async def close(self, wait: float | None = 0) -> None:
        """Close every connection. New requests raise ClientClosed from now on; those under way have `wait` seconds to end, then fail.

        Under way are calls up to their response, through redirects and retries, and streams until they are read or closed. None waits
        as long as that takes; 0, the default, fails them now, and ends another `close` that waits. Cancelled, it closes at once. Other
        threads' loops are waited for too, as long as they run. From within a call of this client it would wait for itself. A shared
        `connector` stays open, and with it what is under way.
        """
        check_seconds("Client.close", "wait", wait)
        self._closed = True
        self._latest = None
        if self._owned:
            await self.connector.close(wait)

    async def __aenter__(self) -> Self:
        if self._closed:
            raise ClientClosed("the client is closed: make a new one")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}{' closed' if self._closed else ''}>"


def _connector(given: Connector | None, options: dict[str, Any]) -> Connector:
    if given is None:
        return Connector(**options)
    if not isinstance(given, Connector):
        raise TypeError(f"Client(connector=...) takes a Connector, not {type(given).__name__}")
    if options:
        raise ValueError(f"Client(connector=..., {', '.join(options)}=...): they are the connector's, give them to it")
    return given


def _upper(method: str) -> str:
    # A "head" would wait for a body that never comes; who means lower case sends a Request.
    given: Any = method
    return method.upper() if isinstance(given, str) and method.isascii() else method
