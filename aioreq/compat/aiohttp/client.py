"""ClientSession: what aiohttp's users hold. Its requests are made by `_preparing`, sent by the core, handed back as `ClientResponse`."""

from __future__ import annotations

import asyncio
import json as json_module
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Sequence
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from multidict import CIMultiDict, istr
from yarl import URL

from ...errors import AioreqError, ConnectionLost
from ...middlewares.decode import attach_decoder
from ._calls import Answered, Call
from ._contexts import _BaseRequestContextManager, _RequestContextManager, _SessionRequestContextManager
from ._options import DataOptions, RaiseForStatus, RedirectOptions, RequestOptions
from ._preparing import MAX_REDIRECTS, Preparing
from ._response import ClientResponse, check_sizes
from ._timeouts import ClientTimeout, session_timeout
from ._translation import translated
from ._values import merged_ssl
from ._websockets import WebSocketSession
from .client_exceptions import *  # noqa: F403  (aiohttp's users find them here, too)
from .client_exceptions import ClientConnectorError, ClientOSError, ServerDisconnectedError
from .client_reqrep import ClientRequest, Fingerprint, RequestInfo, UploadTracker
from .client_ws import ClientWebSocketResponse, ClientWSTimeout
from .connector import BaseConnector, NamedPipeConnector, TCPConnector, UnixConnector
from .helpers import DEFAULT_CHUNK_SIZE, BasicAuth, sentinel
from .http import HttpVersion, HttpVersion11
from .typedefs import JSONBytesEncoder, JSONEncoder, LooseCookies, LooseHeaders, Query, StrOrURL

if TYPE_CHECKING:
    from .abc import AbstractCookieJar
    from .client_middlewares import ClientMiddlewareType
    from .tracing import TraceConfig

__all__ = [
    "BaseConnector",
    "ClientRequest",
    "ClientResponse",
    "ClientSession",
    "ClientTimeout",
    "ClientWSTimeout",
    "ClientWebSocketResponse",
    "Fingerprint",
    "NamedPipeConnector",
    "RequestInfo",
    "TCPConnector",
    "UnixConnector",
    "UploadTracker",
    "request",
]

_WSRequestContextManager = _BaseRequestContextManager[ClientWebSocketResponse[bool]]  # libraries annotate by it

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
_WITHOUT_CONTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
# What a session's `Preparing` is made of, and users assign to afterwards though nobody promised it.
_PREPARED = frozenset({"_base_url", "_cookie_jar", "_default_auth", "_default_headers", "_default_proxy", "_timeout", "_trust_env"})


class ClientSession(WebSocketSession):
    """A session: its connections are kept and reused, its cookies remembered, its headers sent with each request.

    `async with ClientSession() as session: async with session.get(url) as response: ...`, inside a running event loop. Arguments and
    their defaults are aiohttp's; a request's own win.
    """

    _source_traceback: Any = None

    def __init__(
        self,
        base_url: StrOrURL | None = None,
        *,
        connector: BaseConnector | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        cookies: LooseCookies | None = None,
        headers: LooseHeaders | None = None,
        proxy: StrOrURL | None = None,
        proxy_auth: BasicAuth | None = None,
        skip_auto_headers: Iterable[str] | None = None,
        auth: BasicAuth | None = None,
        json_serialize: JSONEncoder = json_module.dumps,
        json_serialize_bytes: JSONBytesEncoder | None = None,
        request_class: type[ClientRequest] = ClientRequest,
        response_class: type[ClientResponse] = ClientResponse,
        ws_response_class: Any = None,
        version: HttpVersion = HttpVersion11,
        cookie_jar: AbstractCookieJar | None = None,
        connector_owner: bool = True,
        raise_for_status: RaiseForStatus = False,
        read_timeout: Any = sentinel,
        conn_timeout: float | None = None,
        timeout: Any = sentinel,
        auto_decompress: bool = True,
        trust_env: bool = False,
        requote_redirect_url: bool = True,
        trace_configs: list[TraceConfig] | None = None,
        read_bufsize: int = DEFAULT_CHUNK_SIZE,
        max_line_size: int = 8190,
        max_field_size: int = 8190,
        max_headers: int = 128,
        fallback_charset_resolver: Callable[[ClientResponse, bytes], str] = lambda response, body: "utf-8",
        middlewares: Sequence[ClientMiddlewareType] = (),
        ssl_shutdown_timeout: Any = sentinel,
    ) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._base_url = _checked_base(base_url)
        self._timeout = session_timeout(timeout, read_timeout, conn_timeout)
        if ssl_shutdown_timeout is not sentinel:
            _warn_deprecated("The ssl_shutdown_timeout parameter")
        if connector is None:
            connector = TCPConnector(loop=self._loop)
        if self._loop.get_debug():
            self._source_traceback = traceback.extract_stack(sys._getframe(1))
        if cookie_jar is None:
            from .cookiejar import CookieJar

            cookie_jar = CookieJar()
        self._cookie_jar = cookie_jar
        if cookies:
            cookie_jar.update_cookies(cookies)
        for name, given in (("auth", auth), ("proxy_auth", proxy_auth)):
            if given is not None:
                _warn_deprecated(f"The {name!r} parameter")
        self._connector_owner = connector_owner
        self._default_auth = auth
        self._default_proxy = proxy
        self._default_proxy_auth = proxy_auth
        self._default_headers: CIMultiDict[str] = CIMultiDict(headers or ())
        self._skip_auto_headers = frozenset(istr(name) for name in skip_auto_headers or ())
        self._version = version
        self._json_serialize = json_serialize
        self._json_serialize_bytes = json_serialize_bytes
        self._raise_for_status = raise_for_status
        self._auto_decompress = auto_decompress
        self._trust_env = trust_env
        self._requote_redirect_url = requote_redirect_url
        self._read_bufsize = read_bufsize
        self._max_line_size = max_line_size
        self._max_field_size = max_field_size
        self._max_headers = max_headers
        self._request_class = request_class
        self._response_class = response_class
        self._ws_response_class = ws_response_class
        self._resolve_charset = fallback_charset_resolver
        self._middlewares = middlewares
        self._trace_configs = trace_configs or []
        for trace_config in self._trace_configs:
            trace_config.freeze()
        self._preparing = Preparing(self, connector)
        self._connector = connector

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in _PREPARED and "_preparing" in self.__dict__ and self._connector is not None:
            self._preparing = Preparing(self, self._connector)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        warnings.warn(f"Inheritance class {cls.__name__} from ClientSession is discouraged", DeprecationWarning, stacklevel=2)

    def __del__(self, _warnings: Any = warnings) -> None:
        if not self.closed:
            _warnings.warn(f"Unclosed client session {self!r}", ResourceWarning, source=self)
            context = {"client_session": self, "message": "Unclosed client session"}
            if self._source_traceback is not None:
                context["source_traceback"] = self._source_traceback
            self._loop.call_exception_handler(context)

    # -- verbs

    if TYPE_CHECKING:

        def request(self, method: str, url: StrOrURL, **kwargs: Unpack[RequestOptions]) -> _RequestContextManager: ...
        def get(self, url: StrOrURL, *, allow_redirects: bool = True, **kwargs: Unpack[DataOptions]) -> _RequestContextManager: ...
        def options(self, url: StrOrURL, *, allow_redirects: bool = True, **kwargs: Unpack[DataOptions]) -> _RequestContextManager: ...
        def head(self, url: StrOrURL, *, allow_redirects: bool = False, **kwargs: Unpack[DataOptions]) -> _RequestContextManager: ...
        def post(self, url: StrOrURL, *, data: Any = None, **kwargs: Unpack[RedirectOptions]) -> _RequestContextManager: ...
        def put(self, url: StrOrURL, *, data: Any = None, **kwargs: Unpack[RedirectOptions]) -> _RequestContextManager: ...
        def patch(self, url: StrOrURL, *, data: Any = None, **kwargs: Unpack[RedirectOptions]) -> _RequestContextManager: ...
        def delete(self, url: StrOrURL, **kwargs: Unpack[RequestOptions]) -> _RequestContextManager: ...

    else:

        def request(self, method: str, url: StrOrURL, **kwargs: Any) -> _RequestContextManager:
            """The response: `await` it, and close it, or enter it by `async with`, which closes it. Errors: everything under ClientError,
            and TimeoutError."""
            return _RequestContextManager(self._request(method, url, **kwargs))

        def get(self, url: StrOrURL, *, allow_redirects: bool = True, **kwargs: Any) -> _RequestContextManager:
            """GET: see `request`."""
            return _RequestContextManager(self._request("GET", url, allow_redirects=allow_redirects, **kwargs))

        def options(self, url: StrOrURL, *, allow_redirects: bool = True, **kwargs: Any) -> _RequestContextManager:
            """OPTIONS: see `request`."""
            return _RequestContextManager(self._request("OPTIONS", url, allow_redirects=allow_redirects, **kwargs))

        def head(self, url: StrOrURL, *, allow_redirects: bool = False, **kwargs: Any) -> _RequestContextManager:
            """HEAD: see `request`; redirects aren't followed unless that is asked for."""
            return _RequestContextManager(self._request("HEAD", url, allow_redirects=allow_redirects, **kwargs))

        def post(self, url: StrOrURL, *, data: Any = None, **kwargs: Any) -> _RequestContextManager:
            """POST: see `request`."""
            return _RequestContextManager(self._request("POST", url, data=data, **kwargs))

        def put(self, url: StrOrURL, *, data: Any = None, **kwargs: Any) -> _RequestContextManager:
            """PUT: see `request`."""
            return _RequestContextManager(self._request("PUT", url, data=data, **kwargs))

        def patch(self, url: StrOrURL, *, data: Any = None, **kwargs: Any) -> _RequestContextManager:
            """PATCH: see `request`."""
            return _RequestContextManager(self._request("PATCH", url, data=data, **kwargs))

        def delete(self, url: StrOrURL, **kwargs: Any) -> _RequestContextManager:
            """DELETE: see `request`."""
            return _RequestContextManager(self._request("DELETE", url, **kwargs))

    async def _request(
        self,
        method: str,
        str_or_url: StrOrURL,
        *,
        params: Query = None,
        data: Any = None,
        json: Any = None,
        cookies: LooseCookies | None = None,
        headers: LooseHeaders | None = None,
        skip_auto_headers: Iterable[str] | None = None,
        auth: BasicAuth | None = None,
        allow_redirects: bool = True,
        max_redirects: int = MAX_REDIRECTS,
        compress: str | bool | None = None,
        chunked: bool | None = None,
        expect100: bool = False,
        raise_for_status: RaiseForStatus | None = None,
        read_until_eof: bool = True,
        proxy: StrOrURL | None = None,
        proxy_auth: BasicAuth | None = None,
        timeout: Any = sentinel,
        verify_ssl: bool | None = None,
        fingerprint: bytes | None = None,
        ssl_context: SSLContext | None = None,
        ssl: SSLContext | bool | Fingerprint = True,
        server_hostname: str | None = None,
        proxy_headers: LooseHeaders | None = None,
        trace_request_ctx: object = None,
        read_bufsize: int | None = None,
        auto_decompress: bool | None = None,
        max_line_size: int | None = None,
        max_field_size: int | None = None,
        max_headers: int | None = None,
        middlewares: Sequence[ClientMiddlewareType] | None = None,
        upload_tracker: UploadTracker | None = None,
    ) -> ClientResponse:
        if self.closed:
            raise RuntimeError("Session is closed")
        if upload_tracker is not None:
            upload_tracker._bind()
        preparing = self._preparing
        call: Call | None = None
        response: Any = None
        body: Any = None
        try:
            request = preparing.request(method.upper(), str_or_url, params, headers, skip_auto_headers, timeout)
            if data is not None or json is not None or chunked or request.method not in _WITHOUT_CONTENT:
                data = body = preparing.add_body(request, data, json, compress, chunked, skip_auto_headers)
            if auth is not None:
                _warn_deprecated("The 'auth' parameter", 3)
            if auth is not None or self._default_auth is not None or request.parsed.userinfo is not None:
                preparing.authorize(request, auth)
            if cookies:
                preparing.add_cookies(request, cookies)
            if expect100:
                request.add_field("Expect", "100-continue")
            if not allow_redirects or max_redirects != MAX_REDIRECTS:
                preparing.change(request, {"follow_redirects": allow_redirects, "max_redirects": max(max_redirects - 1, 0)})
            if proxy_auth is not None:
                _warn_deprecated("The 'proxy_auth' parameter", 3)
            if proxy is not None or proxy_auth is not None or proxy_headers is not None:
                preparing.proxy(request, proxy, proxy_auth, proxy_headers)
            if ssl is not True or server_hostname is not None or verify_ssl is not None or ssl_context or fingerprint is not None:
                preparing.secure(request, merged_ssl(ssl, verify_ssl, ssl_context, fingerprint, 4), server_hostname)
            sized = not (max_line_size is max_field_size is max_headers is None)
            if sized:
                preparing.limit_head(request, max_line_size, max_field_size, max_headers)
            decode = self._auto_decompress if auto_decompress is None else auto_decompress
            if middlewares is None:
                middlewares = self._middlewares
            if middlewares or self._trace_configs or upload_tracker is not None or self._request_class is not ClientRequest:
                call = Call(self, request, middlewares, upload_tracker, data, decode)
                if self._trace_configs:
                    await call.start(self._trace_configs, trace_request_ctx, headers)
            again = request.method in _IDEMPOTENT
            while response is None:
                try:
                    stream = await preparing.client.start_stream(request)
                except Answered as answered:
                    response = answered.response
                except (AioreqError, ClientOSError, ServerDisconnectedError) as error:
                    # What a connection died of before any byte of the response is met once more, by a method that may.
                    if again and request.replayable and _may_be_resent(error):
                        again, request = False, request.replace()
                    else:
                        raise
                else:
                    if decode:
                        attach_decoder(stream)
                    response = self._response_class._of(stream, self) if call is None else call.response_of(stream)
                    if self._response_class is not ClientResponse and (call is None or not call.answered_by(response)):
                        await response.start(response.connection)
                    if not read_until_eof:
                        response._end_unless_declared()
            if read_bufsize is not None:
                response._read_bufsize = read_bufsize
            if sized:
                check_sizes(response, max_headers, max_field_size, max_line_size)
            wanted = self._raise_for_status if raise_for_status is None else raise_for_status
            if callable(wanted):
                await wanted(response)
            elif wanted:
                response.raise_for_status()
            if call is not None:
                await call.end(response)
            return response  # type: ignore[no-any-return]
        except BaseException as error:
            told = translated(error, self) if isinstance(error, AioreqError) else error
            if response is not None:
                response.close()
            if call is not None:
                await call.failed(told)
            try:
                if told is error:
                    raise
                raise told from (told.__cause__ if told is error.__cause__ else error)  # the former is of a user's own resolver
            finally:
                del told  # its traceback holds this frame
        finally:
            if upload_tracker is not None:
                upload_tracker._finish()
            if body is not None and type(body) is not bytes and hasattr(body, "close"):
                await body.close()  # the files in it

    # -- the end

    async def close(self) -> None:
        """Close it, and its connector unless that is somebody else's."""
        connector = self._connector
        if not self.closed and connector is not None and self._connector_owner:
            await connector.close()
        self._connector = None

    def detach(self) -> None:
        """Close it and leave its connector open."""
        self._connector = None

    def __enter__(self) -> None:
        raise TypeError("Use async with instead")

    def __exit__(self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None) -> None:
        await self.close()


def _checked_base(given: StrOrURL | None) -> URL | None:
    if given is None:
        return None
    url = URL(given)
    if not url.absolute:
        raise ValueError("base_url: only absolute URLs are supported")
    if not url.path.endswith("/"):
        raise ValueError("base_url must have a trailing '/'")
    return url


def _may_be_resent(error: Exception) -> bool:
    told = error if isinstance(error, AioreqError) else error.__cause__
    if isinstance(told, AioreqError):
        return isinstance(told, ConnectionLost) and not told.response_started and not told.resent
    return not isinstance(error, ClientConnectorError)  # of a middleware's own


def _warn_deprecated(what: str, stacklevel: int = 2) -> None:
    warnings.warn(f"{what} is deprecated and will be removed in aiohttp 4.0", DeprecationWarning, stacklevel=stacklevel + 1)


if TYPE_CHECKING:

    def request(
        method: str,
        url: StrOrURL,
        *,
        version: HttpVersion = HttpVersion11,
        connector: BaseConnector | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> _SessionRequestContextManager: ...

else:

    def request(
        method: str,
        url: StrOrURL,
        *,
        version: HttpVersion = HttpVersion11,
        connector: BaseConnector | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        **kwargs: Any,
    ) -> _SessionRequestContextManager:
        """One request with a session of its own: `async with aiohttp.request("GET", url) as response: ...`."""
        owned = connector is None
        if connector is None:
            connector = TCPConnector(loop=loop, force_close=True)
        session = ClientSession(
            loop=loop,
            cookies=kwargs.pop("cookies", None),
            version=version,
            timeout=kwargs.pop("timeout", sentinel),
            connector=connector,
            connector_owner=owned,
        )
        return _SessionRequestContextManager(session._request(method, url, **kwargs), session)
