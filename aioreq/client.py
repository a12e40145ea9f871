"""The client: options -> Request; owns the chain, the pools (one a loop), the jar. Decides nothing about what is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Mapping
from time import perf_counter
from types import TracebackType
from typing import Any, Self, Unpack

from yarl import URL

from ._version import __version__
from .config import TLS, UNSET, Limits, Retry, Timeout, check_count
from .cookies import CookieJar
from .encodings import accept_encoding
from .errors import AioreqError, ClientClosed, InvalidURL
from .headers import HeaderTypes, field_pairs
from .middlewares import DecodeMiddleWare, MiddleWare, MiddleWareTypes, build, default_middlewares
from .middlewares.authentication import credentials
from .models import AuthTypes, Deadline, Request, Response, StreamResponse
from .pool import Pool
from .request_body import encode_body
from .request_head import HeaderBlock
from .request_options import RequestOptions, VerifyTypes
from .urls import ParsedURL, QueryTypes, append_missing, append_params, encode_pairs, parse, query_names

__all__ = ["Client", "StreamClient", "StreamContext"]

_TIMEOUT, _LIMITS, _RETRY = Timeout(), Limits(), Retry()


class Client:
    """An HTTP client: connections are kept and reused, cookies remembered, redirects followed, failures retried where that is safe.

    `async with aioreq.Client() as client: response = await client.get(url)`. It may be made outside a loop and used from one loop after
    another; without `async with`, `await client.close()` at the end. Options given here hold for every request, a request's own win;
    `base_url` goes in front of URLs that have no scheme.
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
        limits: Limits = _LIMITS,
        retry: Retry | int | None = _RETRY,
        middlewares: MiddleWareTypes = default_middlewares,
        persistent_connections: bool = True,
        verify: VerifyTypes = True,
        tls: TLS | None = None,
        follow_redirects: bool = True,
        max_redirects: int = 20,
        raise_for_status: bool = False,
        user_agent: str | None = None,
        json_loads: Callable[[bytes], Any] | None = None,
        json_dumps: Callable[[Any], str | bytes] | None = None,
    ) -> None:
        self.middlewares: MiddleWare = build(middlewares)
        self._base = None if base_url is None else _base(base_url)
        self._params = params if params is None or isinstance(params, str) else encode_pairs(params, "params")
        self.cookies = _jar(cookies, self._base)
        self._auth = credentials(auth)
        self._timeout = Timeout.of(timeout)
        self._limits = limits
        self._retry = Retry.of(retry)
        self._tls = _tls(verify, tls)
        self._follow_redirects = follow_redirects
        check_count("Client", "max_redirects", max_redirects)
        self._max_redirects = max_redirects
        self._raise_for_status = raise_for_status
        self._json_loads = json_loads
        self._json_dumps = json_dumps
        self._defaults = HeaderBlock(self._default_fields(user_agent, persistent_connections, headers))
        self._closed = False
        self._pools: dict[asyncio.AbstractEventLoop, Pool] = {}
        self._latest: tuple[asyncio.AbstractEventLoop | None, Pool | None] = (None, None)

    def _default_fields(self, user_agent: str | None, persistent: bool, headers: HeaderTypes | None) -> list[tuple[str, str | None]]:
        fields: list[tuple[str, str | None]] = [("User-Agent", user_agent or f"aioreq/{__version__}"), ("Accept", "*/*")]
        link: MiddleWare | None = self.middlewares
        while link is not None and link.linked:
            if isinstance(link, DecodeMiddleWare):
                fields.append(("Accept-Encoding", accept_encoding()))
            link = link.next_middleware
        if not persistent:
            fields.append(("Connection", "close"))
        own = field_pairs(headers)
        names = {name.lower() for name, _ in own}
        return [field for field in fields if field[0].lower() not in names] + own

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
        return self._respond(self._new_request, method, url, options)

    def stream(self, method: str, url: str | URL, **options: Unpack[RequestOptions]) -> StreamContext:
        """`async with client.stream("GET", url) as response:` gives a `StreamResponse` as soon as its head is in."""
        return StreamContext(self, self._new_request(method, url, options))

    def send(self, request: Request) -> Coroutine[Any, Any, Response]:
        """The response to a `Request`: the client's headers, cookies, auth and base_url are added, the request's own win."""
        return self._respond(self.settled_copy, request)

    def settled_copy(self, request: Request) -> Request:
        """A copy of a user's request with this client's settings: what is sent in its place."""
        # A request that was sent before, a response's, starts afresh.
        return self._settled(request.replace(cookie=None, authorization=None, stream=False))

    # -- options -> Request

    def _new_request(self, method: str, url: str | URL, options: RequestOptions) -> Request:
        given_method: Any = method
        if isinstance(given_method, str) and given_method.isascii():
            method = given_method.upper()  # a "head" would wait for a body that never comes; who means lower case sends a Request
        if not options:
            return self._settled(Request(method, url))
        given: dict[str, Any] = dict(options)
        unknown = given.keys() - RequestOptions.__annotations__.keys()
        if unknown:
            raise TypeError(f"a request takes no {', '.join(sorted(unknown))}; its options are {', '.join(RequestOptions.__annotations__)}")
        take = given.get
        named: Collection[str] = ()
        if (params := take("params")) is not None:
            if not isinstance(params, str | Mapping):
                params = list(params)
            if self._params is not None:
                named = query_names(params)
            url = append_params(url, params)
        content, content_type = encode_body(take("content"), take("data"), given.get("json", UNSET), self._json_dumps)
        request = Request(
            method,
            url,
            headers=take("headers"),
            content=content,
            auth=given.get("auth", UNSET),
            timeout=given.get("timeout", UNSET),
            extensions=take("extensions"),
        )
        if content_type is not None and not request.sets("content-type"):
            request.add_field("Content-Type", content_type)
        request.cookies = dict(cookies) if (cookies := take("cookies")) is not None else None
        if (max_body := take("max_body")) is not None:
            check_count("request", "max_body", max_body)
            request.max_body = max_body
        self._settled(request, named)
        if "retry" in given:
            request.retry = Retry.of(given["retry"])
        if "verify" in given or given.get("tls") is not None:
            request.tls = _tls(given.get("verify", True), take("tls"))
        request.follow_redirects = given.get("follow_redirects", request.follow_redirects)
        if "max_redirects" in given:
            check_count("request", "max_redirects", given["max_redirects"])
            request.max_redirects = given["max_redirects"]
        request.raise_for_status = given.get("raise_for_status", request.raise_for_status)
        return request

    def _settled(self, request: Request, named: Collection[str] = ()) -> Request:
        """The request with the client's settings wherever it has none of its own; `named` are the parameters that it sets or drops."""
        if self._base is not None or self._params is not None:
            request.parsed = self._absolute(request.given_url, named)
        request.settle_headers(self._defaults)
        request.auth = self._auth if request.auth is UNSET else credentials(request.auth)
        timeout = request.timeout = self._timeout if request.timeout is UNSET else Timeout.of(request.timeout)
        request.deadline = None if timeout.total is None else Deadline(timeout.total)
        request.limits = self._limits
        request.retry = self._retry
        request.tls = self._tls
        request.follow_redirects = self._follow_redirects
        request.max_redirects = self._max_redirects
        request.raise_for_status = self._raise_for_status
        return request

    def _absolute(self, url: str | URL, named: Collection[str]) -> ParsedURL:
        text = str(url)
        userinfo = None
        scheme, mark, _ = text.partition("://")
        if self._base is not None and (not mark or not {"/", "?", "#"}.isdisjoint(scheme)):
            base, userinfo = str(self._base.url), self._base.userinfo
            text = base if not text else base + text if text.startswith("?") else base.rstrip("/") + "/" + text.lstrip("/")
        if self._params is not None:
            text = append_missing(text, self._params, named)
        parsed = parse(text)
        return parsed if userinfo is None else parsed._replace(userinfo=userinfo)

    # -- one call

    async def _respond(self, make: Callable[..., Request], *given: Any) -> Response:
        # The request is made here and not before: what is wrong with it is raised where the call is awaited.
        request = make(*given)
        began = perf_counter()  # uvloop's clock stands still within a turn and counts in milliseconds
        response = await self._through_chain(request)
        try:
            if isinstance(response, StreamResponse):
                response = await response.buffer()
            elif response.coding is not None:
                await response.finish()
        except AioreqError as error:
            _attach(error, response.request)
            raise
        response.elapsed = perf_counter() - began
        response.json_loads = self._json_loads
        return response.raise_for_status() if request.raise_for_status else response

    async def start_stream(self, request: Request) -> StreamResponse:
        """The head of the response, its body still to be read; whoever calls this closes it. `stream` does so by itself."""
        began = perf_counter()
        request.stream = True
        response = await self._through_chain(request)
        if not isinstance(response, StreamResponse):
            raise TypeError(f"a middleware answered a streamed request with {type(response).__name__}, not a StreamResponse")
        response.elapsed = perf_counter() - began
        response.json_loads = self._json_loads
        if request.raise_for_status:
            await response.raise_for_status()
        return response

    async def _through_chain(self, request: Request) -> Response | StreamResponse:
        try:
            return await self.middlewares.process(request, self)
        except AioreqError as error:
            _attach(error, request)
            raise

    # -- lifecycle

    def pool(self) -> Pool:
        """The pool of the running loop."""
        if self._closed:
            raise ClientClosed("the client is closed")
        loop = asyncio.get_running_loop()
        latest_loop, latest = self._latest
        if latest is None or latest_loop is not loop:
            latest = self._pools.get(loop)
            if latest is None:
                for gone in [other for other in self._pools if other.is_closed()]:  # one that was closed without a runner
                    del self._pools[gone]
                latest = self._pools[loop] = Pool(loop, self._limits)
                _end_with_loop(self._pools, latest)
            self._latest = (loop, latest)
        return latest

    async def close(self) -> None:
        """Close every connection now. Requests under way fail with an error; new ones raise ClientClosed. May be called twice."""
        self._closed = True
        self._latest = (None, None)
        running = asyncio.get_running_loop()
        for loop, pool in list(self._pools.items()):
            if loop is running:
                pool.close()
            else:
                try:
                    loop.call_soon_threadsafe(pool.close)
                except RuntimeError:  # that loop is closed, perhaps in this very moment by its own thread
                    self._pools.pop(loop, None)
        self._pools.pop(running, None)
        # Two turns of the loop, and the transports have let go of their sockets.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        if self._closed:
            raise ClientClosed("the client is closed: make a new one")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}{' closed' if self._closed else ''}>"


class StreamContext:
    """What `client.stream` gives: enter it for the response, leave it to let go of the connection."""

    def __init__(self, client: Client, request: Request) -> None:
        self._client = client
        self._request = request
        self._response: StreamResponse | None = None

    async def __aenter__(self) -> StreamResponse:
        self._response = await self._client.start_stream(self._request)
        return self._response

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        response, self._response = self._response, None
        if response is None:
            return
        if error is None:
            await response.close()
        else:
            response.abort()


class StreamClient:
    """One streamed request with a client of its own: `async with aioreq.StreamClient(request=request) as response:`."""

    def __init__(self, request: Request, **options: Any) -> None:
        self._client = Client(**options)
        self._context = StreamContext(self._client, self._client.settled_copy(request))

    async def __aenter__(self) -> StreamResponse:
        try:
            return await self._context.__aenter__()
        except BaseException:
            await self._client.close()
            raise

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._context.__aexit__(kind, error, trace)
        await self._client.close()


def _end_with_loop(pools: dict[asyncio.AbstractEventLoop, Pool], pool: Pool) -> None:
    """Have the pool closed when its loop is: `shutdown_asyncgens`, which every runner calls, closes what was started on the loop."""

    async def keep() -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            pool.close()
            pools.pop(pool.loop, None)
            pool.keeper = None

    pool.keeper = keeper = keep()
    try:
        keeper.__anext__().__await__().send(None)
    except StopIteration:
        pass


def _attach(error: AioreqError, request: Request) -> None:
    if error.request is None:
        error.request = request


def _base(url: str | URL) -> ParsedURL:
    parsed = parse(url)
    if "?" in str(parsed.url) or "#" in str(parsed.url):
        raise InvalidURL(f"base_url {str(parsed.url)!r} has a query or a fragment, and paths go behind it: give the query as params=")
    return parsed


def _jar(cookies: Mapping[str, str] | CookieJar | None, base: ParsedURL | None) -> CookieJar:
    if isinstance(cookies, CookieJar):
        return cookies
    jar = CookieJar()
    if cookies:
        if base is None:
            raise ValueError(
                "Client(cookies={...}) needs a base_url that says whose they are; or give them with each request, or a CookieJar"
            )
        for name, value in cookies.items():
            jar.set(name, value, url=base.url)
    return jar


def _tls(verify: VerifyTypes, tls: TLS | None) -> TLS:
    if tls is None:
        return TLS.of(verify)
    if verify is not True:
        raise ValueError("give verify= or tls=, not both: TLS(verify=...) is the long form")
    return tls
