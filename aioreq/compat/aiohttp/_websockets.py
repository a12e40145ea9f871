"""How a session opens a WebSocket: a handshake by `_request`, like any other call, and the core's WebSocket behind its 101."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterable
from dataclasses import replace
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

from multidict import CIMultiDict

from ...errors import AioreqError, WebSocketRefused
from ._contexts import _BaseRequestContextManager
from ._settings import SessionSettings
from ._translation import translated
from .client_exceptions import WSServerHandshakeError
from .client_ws import DEFAULT_WS_CLIENT_TIMEOUT, ClientWebSocketResponse, ClientWSTimeout
from .helpers import sentinel

if TYPE_CHECKING:
    from ...websocket.permessage_deflate import Deflate
    from ._response import ClientResponse
    from ._values import Fingerprint
    from .helpers import BasicAuth
    from .typedefs import LooseHeaders, Query, StrOrURL

__all__ = ["WebSocketSession"]

_PROTOCOL = "Sec-WebSocket-Protocol"
_WRONG = {
    "Upgrade": "Invalid upgrade header",
    "Connection": "Invalid connection header",
    "Sec-WebSocket-Accept": "Invalid challenge response",
}


class _WSOptions(TypedDict, total=False):
    method: str
    protocols: Iterable[str]
    timeout: ClientWSTimeout | float
    receive_timeout: float | None
    autoclose: bool
    autoping: bool
    heartbeat: float | None
    auth: BasicAuth | None
    origin: str | None
    params: Query
    headers: LooseHeaders | None
    proxy: StrOrURL | None
    proxy_auth: BasicAuth | None
    ssl: SSLContext | bool | Fingerprint
    verify_ssl: bool | None
    fingerprint: bytes | None
    ssl_context: SSLContext | None
    server_hostname: str | None
    proxy_headers: LooseHeaders | None
    compress: int
    max_msg_size: int


class WebSocketSession(SessionSettings):
    """A session, as far as it opens WebSockets."""

    _ws_response_class: type[ClientWebSocketResponse[bool]] | None

    if TYPE_CHECKING:

        async def _request(self, *args: Any, **kwargs: Any) -> ClientResponse: ...

        @overload
        def ws_connect(
            self, url: StrOrURL, *, decode_text: Literal[True] = ..., **kwargs: Unpack[_WSOptions]
        ) -> _BaseRequestContextManager[ClientWebSocketResponse[Literal[True]]]: ...
        @overload
        def ws_connect(
            self, url: StrOrURL, *, decode_text: Literal[False], **kwargs: Unpack[_WSOptions]
        ) -> _BaseRequestContextManager[ClientWebSocketResponse[Literal[False]]]: ...
        @overload
        def ws_connect(
            self, url: StrOrURL, *, decode_text: bool = ..., **kwargs: Unpack[_WSOptions]
        ) -> _BaseRequestContextManager[ClientWebSocketResponse[bool]]: ...
        def ws_connect(self, url: StrOrURL, *, decode_text: bool = True, **kwargs: Any) -> _BaseRequestContextManager[Any]: ...

    else:

        def ws_connect(
            self,
            url: StrOrURL,
            *,
            method: str = "GET",
            protocols: Iterable[str] = (),
            timeout: Any = sentinel,
            receive_timeout: float | None = None,
            autoclose: bool = True,
            autoping: bool = True,
            heartbeat: float | None = None,
            auth: BasicAuth | None = None,
            origin: str | None = None,
            params: Query = None,
            headers: LooseHeaders | None = None,
            proxy: StrOrURL | None = None,
            proxy_auth: BasicAuth | None = None,
            ssl: SSLContext | bool | Fingerprint = True,
            verify_ssl: bool | None = None,
            fingerprint: bytes | None = None,
            ssl_context: SSLContext | None = None,
            server_hostname: str | None = None,
            proxy_headers: LooseHeaders | None = None,
            compress: int = 0,
            max_msg_size: int = 4 * 1024 * 1024,
            decode_text: bool = True,
        ) -> _BaseRequestContextManager[ClientWebSocketResponse[bool]]:
            """A WebSocket: `await` it, and close it, or enter it by `async with`, which closes it.

            `heartbeat`: seconds between pings; what doesn't answer in half of that is given up. `compress`: the window's bits, 9 to 15, to
            offer compression. A message of more than `max_msg_size` bytes is an ERROR; 0 is no limit. Errors: WSServerHandshakeError, and
            those of `request`.
            """
            return _BaseRequestContextManager(
                self._ws_connect(
                    url,
                    method=method,
                    protocols=protocols,
                    timeout=timeout,
                    receive_timeout=receive_timeout,
                    autoclose=autoclose,
                    autoping=autoping,
                    heartbeat=heartbeat,
                    origin=origin,
                    headers=headers,
                    compress=compress,
                    max_msg_size=max_msg_size,
                    decode_text=decode_text,
                    auth=auth,
                    params=params,
                    proxy=proxy,
                    proxy_auth=proxy_auth,
                    ssl=ssl,
                    verify_ssl=verify_ssl,
                    fingerprint=fingerprint,
                    ssl_context=ssl_context,
                    server_hostname=server_hostname,
                    proxy_headers=proxy_headers,
                )
            )

    async def _ws_connect(
        self,
        url: StrOrURL,
        *,
        method: str = "GET",
        protocols: Iterable[str] = (),
        timeout: Any = sentinel,
        receive_timeout: float | None = None,
        autoclose: bool = True,
        autoping: bool = True,
        heartbeat: float | None = None,
        origin: str | None = None,
        headers: LooseHeaders | None = None,
        compress: int = 0,
        max_msg_size: int = 4 * 1024 * 1024,
        decode_text: bool = True,
        **way: Any,
    ) -> ClientWebSocketResponse[bool]:
        from ...websocket.handshake import OWN_FIELDS, handshake_fields, opened
        from ...websocket.link import WebSocketOptions

        limits = _limits(timeout, receive_timeout)
        live = WebSocketOptions(
            ping_interval=heartbeat or None,
            ping_timeout=heartbeat / 2 if heartbeat else None,
            max_message=max_msg_size or None,
            close_timeout=limits.ws_close,
            manual=not (autoping and autoclose),
            decoded=decode_text,
        )
        own: CIMultiDict[str] = CIMultiDict(headers or ())
        wanted = tuple(protocols)
        offered = wanted or [name.strip() for name in own.get(_PROTOCOL, "").split(",") if name.strip()]
        offer = _offer(compress)
        for name in OWN_FIELDS:
            own.popall(name, None)
        if origin is not None:
            own["Origin"] = origin
        own.extend(handshake_fields(offered, offer))
        response = await self._request(method, url, headers=own, read_until_eof=False, **way)
        try:
            if response._stream is None:  # a middleware's own
                raise WebSocketRefused("the answer to a WebSocket's handshake came from no connection")
            core = await opened(response._stream, offered, offer, live)
        except WebSocketRefused as error:
            raise _handshake_error(error, response, str(url)) from error
        except AioreqError as error:
            raise translated(error, response._session) from error
        finally:
            if response.status != 101:
                response.close()
        deflate = core._link.deflate
        made = self._ws_response_class or ClientWebSocketResponse
        return made(
            core,
            core,
            core.subprotocol if wanted else None,
            response,
            limits,
            autoclose,
            autoping,
            asyncio.get_running_loop(),
            heartbeat=heartbeat,
            compress=0 if deflate is None else deflate.client_max_window_bits,
            client_notakeover=deflate is not None and deflate.client_no_context_takeover,
        )


def _limits(timeout: Any, receive_timeout: float | None) -> ClientWSTimeout:
    limits = DEFAULT_WS_CLIENT_TIMEOUT
    if timeout is not sentinel:
        if hasattr(timeout, "ws_close"):
            limits = ClientWSTimeout(timeout.ws_receive, timeout.ws_close)
        else:
            _warn("parameter 'timeout' of type 'float' is deprecated, please use 'timeout=ClientWSTimeout(ws_close=...)'")
            limits = ClientWSTimeout(ws_close=timeout)
    if receive_timeout is not None:
        _warn("float parameter 'receive_timeout' is deprecated, please use parameter 'timeout=ClientWSTimeout(ws_receive=...)'")
        limits = replace(limits, ws_receive=receive_timeout)
    return limits


def _warn(what: str) -> None:
    warnings.warn(what, DeprecationWarning, stacklevel=4)


def _offer(compress: int) -> Deflate | None:
    if not compress:
        return None
    if not 9 <= compress <= 15:
        raise ValueError("Compress wbits must between 9 and 15, zlib does not support wbits=8")
    from ...websocket.permessage_deflate import Deflate

    return Deflate(server_max_window_bits=compress, level=1, min_size=0)


def _handshake_error(error: WebSocketRefused, response: ClientResponse, url: str) -> WSServerHandshakeError:
    message = "Invalid response status" if response.status != 101 else _WRONG.get(error.field, str(error))
    info = response.request_info
    if url.startswith("ws"):
        scheme = "wss" if info.url.scheme == "https" else "ws"
        info = info._replace(url=info.url.with_scheme(scheme), real_url=info.real_url.with_scheme(scheme))
    return WSServerHandshakeError(info, response.history, message=message, status=response.status, headers=response.headers)
