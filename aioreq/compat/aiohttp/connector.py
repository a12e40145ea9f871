"""Connectors: aiohttp's names of options -> `aioreq.Connector`, which has the connections. Opens nothing itself."""

from __future__ import annotations

import asyncio
import socket
import ssl as ssl_module
import sys
import traceback
import warnings
from collections.abc import Awaitable, Callable, Generator
from dataclasses import replace
from functools import lru_cache
from math import inf
from types import TracebackType
from typing import Any, Self, TypeAlias

from yarl import URL

from ...config import Limits
from ...connector import Connector
from ._connection import Connection
from ._values import Fingerprint, SSLTypes, merged_ssl
from .abc import AbstractResolver, ResolveResult
from .helpers import BasicAuth, _Sentinel, sentinel
from .resolver import DefaultResolver, JudgedNames, core_resolver, resolved_by

__all__ = [
    "AddrInfoType",
    "BaseConnector",
    "Connection",
    "NamedPipeConnector",
    "ProxyConnector",
    "SocketFactoryType",
    "TCPConnector",
    "UnixConnector",
]

AddrInfoType: TypeAlias = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]
SocketFactoryType: TypeAlias = Callable[[AddrInfoType], socket.socket]

# What a session allows of a head, unless something else is said: bytes of its lines, and a number of fields.
MAX_LINE, MAX_HEADERS = 8190, 128
_KEPT = 15.0  # seconds that a connection idles, unless something else is said
_UNLIMITED = sys.maxsize


class _Closing:
    """The end of a connector, which is under way already: whoever awaits it sees its sockets closed."""

    __slots__ = ("_awaited", "_core")

    def __init__(self, core: Connector) -> None:
        self._core = core
        self._awaited = False

    def __await__(self) -> Generator[Any, None, None]:
        self._awaited = True
        return self._core.close().__await__()

    def __del__(self) -> None:
        if not self._awaited:
            warnings.warn("Connector.close() is a coroutine, please use await connector.close()", DeprecationWarning, stacklevel=2)


class BaseConnector:
    """What all connectors have. A session that made its own closes it; one that was given to a session with `connector_owner=False`, or
    to several, is closed by whoever made it.

    At most `limit` connections are open (0: any number), and `limit_per_host` to one host, port and scheme. One that idles is closed
    after `keepalive_timeout` seconds (None: never), or with `force_close` each after one request. It is made in a running loop, or for
    `loop`. `enable_cleanup_closed` and `timeout_ceil_threshold` are taken and ignored: none is left half-closed, and timers are exact.
    """

    allowed_protocol_schema_set = frozenset({"", "http", "https", "ws", "wss"})
    _core: Connector
    _ssl: SSLTypes = True
    _use_dns_cache = True
    _proxy: URL | None = None
    _proxy_auth: BasicAuth | None = None
    _source_traceback: traceback.StackSummary | None = None

    def __init__(
        self,
        *,
        keepalive_timeout: _Sentinel | float | None = sentinel,
        force_close: bool = False,
        limit: int = 100,
        limit_per_host: int = 0,
        enable_cleanup_closed: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        timeout_ceil_threshold: float = 5,
    ) -> None:
        self._set_up(loop, keepalive_timeout, force_close, limit, limit_per_host)

    def _set_up(
        self,
        loop: asyncio.AbstractEventLoop | None,
        keepalive_timeout: _Sentinel | float | None,
        force_close: bool,
        limit: int,
        limit_per_host: int,
        names: tuple[int, float] | None = None,
        **options: Any,
    ) -> None:
        if force_close and keepalive_timeout is not None and keepalive_timeout is not sentinel:
            raise ValueError("keepalive_timeout cannot be set if force_close is True")
        self._loop = loop or asyncio.get_running_loop()
        if self._loop.get_debug():
            self._source_traceback = traceback.extract_stack(sys._getframe(2))
        kept = _KEPT if keepalive_timeout is sentinel else keepalive_timeout
        most = limit or _UNLIMITED
        limits: dict[str, Any] = {} if names is None else {"dns": names[0], "dns_ttl": names[1]}
        self._core = Connector(
            limits=Limits(
                connections=most,
                per_host=limit_per_host or 0,
                idle=most,
                idle_timeout=inf if kept is None else kept,
                lifetime=0 if force_close else None,
                waiters=_UNLIMITED,
                head=MAX_LINE + MAX_HEADERS * MAX_LINE,
                headers=MAX_HEADERS,
                field=MAX_LINE,
                **limits,
            ),
            **options,
        )
        self._force_close = force_close
        self._limit = limit
        self._limit_per_host = limit_per_host

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._core.closed

    @property
    def force_close(self) -> bool:
        """Whether each request has a connection of its own."""
        return self._force_close

    @property
    def limit(self) -> int:
        """The most connections at once; 0: any number."""
        return self._limit

    @property
    def limit_per_host(self) -> int:
        """The most connections at once to one host, port and scheme; 0: any number."""
        return self._limit_per_host

    def close(self, *, abort_ssl: bool = False) -> Awaitable[None]:
        """Close every connection, at once: requests under way fail. Await it, and their sockets are closed, too.

        A TLS connection says goodbye and waits for none, with `abort_ssl` or without.
        """
        self._core.abort()
        return _Closing(self._core)

    # What libraries take from inside. fsspec and s3fs close without a loop; gql looks for TLS connections whose end is to be awaited.

    def _close(self, *, abort_ssl: bool = False) -> list[Awaitable[object]]:
        self._core.abort()
        return []

    @property
    def _conns(self) -> dict[Any, Any]:
        return {}

    def __del__(self) -> None:
        core: Connector | None = getattr(self, "_core", None)
        if core is None or core.closed or not core.stats().open:
            return
        held = [str(pool) for pool in core.stats().origins]
        core.abort()
        warnings.warn(f"Unclosed connector {self!r}", ResourceWarning, source=self, stacklevel=2)
        context = {"connector": self, "connections": held, "message": "Unclosed connector"}
        if self._source_traceback is not None:
            context["source_traceback"] = self._source_traceback
        self._loop.call_exception_handler(context)

    def __enter__(self) -> Self:
        warnings.warn('"with Connector():" is deprecated, use "async with Connector():" instead', DeprecationWarning, stacklevel=2)
        return self

    def __exit__(self, *exc: Any) -> None:
        self._core.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        exc_traceback: TracebackType | None = None,
    ) -> None:
        await self.close()


class TCPConnector(BaseConnector):
    """Connections over TCP, and TLS on top where the URL says https.

    `ssl` is True, False (any certificate will do), an `ssl.SSLContext` or a `Fingerprint`; `verify_ssl`, `ssl_context` and `fingerprint`
    are its older forms. A name's addresses come from `resolver` and are remembered for `ttl_dns_cache` seconds (None: for good), at most
    `dns_cache_max_size` names; with `use_dns_cache=False` none is. Of several the next is tried `happy_eyeballs_delay` seconds after the
    one before (None: once that has failed), the first `interleave` of the preferred family, then the families in turn; `family` takes
    those of one alone. `socket_factory` is called with (family, type, protocol, "", address), and gives a new socket.
    """

    allowed_protocol_schema_set = BaseConnector.allowed_protocol_schema_set | {"tcp"}

    def __init__(
        self,
        *,
        verify_ssl: bool = True,
        fingerprint: bytes | None = None,
        use_dns_cache: bool = True,
        ttl_dns_cache: int | None = 10,
        dns_cache_max_size: int = 1000,
        family: socket.AddressFamily = socket.AddressFamily.AF_UNSPEC,
        ssl_context: ssl_module.SSLContext | None = None,
        ssl: bool | Fingerprint | ssl_module.SSLContext = True,
        local_addr: tuple[str, int] | None = None,
        resolver: AbstractResolver | None = None,
        keepalive_timeout: float | _Sentinel | None = sentinel,
        force_close: bool = False,
        limit: int = 100,
        limit_per_host: int = 0,
        enable_cleanup_closed: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        timeout_ceil_threshold: float = 5,
        happy_eyeballs_delay: float | None = 0.25,
        interleave: int | None = None,
        socket_factory: SocketFactoryType | None = None,
        ssl_shutdown_timeout: _Sentinel | float | None = sentinel,
    ) -> None:
        self._ssl = merged_ssl(ssl, verify_ssl, ssl_context, fingerprint)
        self._owns_resolver = resolver is None
        self._resolver: AbstractResolver = DefaultResolver() if resolver is None else resolver
        self._family = family
        self._use_dns_cache = use_dns_cache
        if ssl_shutdown_timeout is not sentinel:
            what = "The ssl_shutdown_timeout parameter is deprecated and will be removed in aiohttp 4.0"
            warnings.warn(what, DeprecationWarning, stacklevel=2)
        self._set_up(
            loop,
            keepalive_timeout,
            force_close,
            limit,
            limit_per_host,
            (dns_cache_max_size if use_dns_cache else 0, inf if ttl_dns_cache is None else ttl_dns_cache),
            resolver=core_resolver(self._resolver, family),
            local_address=None if local_addr is None else tuple(local_addr[:2]),
            family=family,
            happy_eyeballs_delay=happy_eyeballs_delay,
            interleave=interleave,
            socket_factory=None if socket_factory is None else _core_factory(socket_factory),
        )
        self._names = self._core.dialer.names
        if type(self)._resolve_host is not TCPConnector._resolve_host:
            self._core.dialer.names = JudgedNames(self, self._core.limits, self._names)

    async def _resolve_host(self, host: str, port: int, traces: Any = None) -> list[ResolveResult]:
        # A subclass may judge here where its connections lead: aiohttp's documentation shows one that refuses inner addresses.
        return await resolved_by(self._names, host, port)

    @property
    def family(self) -> int:
        """The one family of addresses that is connected to, or AF_UNSPEC."""
        return self._family

    @property
    def use_dns_cache(self) -> bool:
        """Whether addresses of names are remembered."""
        return self._use_dns_cache

    def clear_dns_cache(self, host: str | None = None, port: int | None = None) -> None:
        """Forget the addresses of this host and port, or all. Errors: ValueError where only one of the two is given."""
        if (host is None) is not (port is None):
            raise ValueError("either both host and port or none of them are allowed")
        self._core.forget_addresses(host, port)

    async def close(self, *, abort_ssl: bool = False) -> None:
        """Close every connection: requests under way fail. A TLS connection says goodbye and waits for none."""
        await super().close(abort_ssl=abort_ssl)
        if self._owns_resolver:
            await self._resolver.close()


class UnixConnector(BaseConnector):
    """Connections to the Unix socket `path`, whatever host a URL names; over TLS where the URL says https."""

    allowed_protocol_schema_set = BaseConnector.allowed_protocol_schema_set | {"unix"}

    def __init__(
        self,
        path: str,
        force_close: bool = False,
        keepalive_timeout: _Sentinel | float | None = sentinel,
        limit: int = 100,
        limit_per_host: int = 0,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._path = path
        self._set_up(loop, keepalive_timeout, force_close, limit, limit_per_host, unix_socket=path)

    @property
    def path(self) -> str:
        """The socket's path."""
        return self._path


class NamedPipeConnector(BaseConnector):
    """Connections by a named pipe of Windows: not carried. Errors: RuntimeError, as aiohttp's anywhere but on Windows."""

    allowed_protocol_schema_set = BaseConnector.allowed_protocol_schema_set | {"npipe"}

    def __init__(
        self,
        path: str,
        force_close: bool = False,
        keepalive_timeout: _Sentinel | float | None = sentinel,
        limit: int = 100,
        limit_per_host: int = 0,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        raise RuntimeError("Named Pipe connector only available with proactor loop under windows, and not in aioreq")

    @property
    def path(self) -> str:
        """The pipe's path."""
        raise NotImplementedError


class ProxyConnector(TCPConnector):
    """Connections by way of one HTTP proxy, as early versions of aiohttp had them; now a request or a session has a `proxy`.

    `conn_timeout` is taken and ignored: give a `ClientTimeout`. What else is given goes to `TCPConnector`.
    """

    def __init__(
        self,
        proxy: str | URL,
        *,
        proxy_auth: BasicAuth | None = None,
        force_close: bool = True,
        conn_timeout: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(force_close=force_close, **kwargs)
        self._proxy: URL = URL(proxy)
        self._proxy_auth = proxy_auth

    @property
    def proxy(self) -> URL:
        """The proxy's URL."""
        return self._proxy

    @property
    def proxy_auth(self) -> BasicAuth | None:
        """Who the proxy is told that we are."""
        return self._proxy_auth


@lru_cache(maxsize=64)
def head_limits(limits: Limits, max_line_size: int, max_field_size: int, max_headers: int) -> Limits:
    """A connector's limits with a head's own: what so many lines of these lengths come to. The same object where nothing changes."""
    changed = replace(limits, head=max_line_size + max_headers * max_field_size, headers=max_headers, field=max_field_size)
    return limits if changed == limits else changed


def _core_factory(factory: SocketFactoryType) -> Callable[[int, tuple[Any, ...]], socket.socket]:
    return lambda family, address: factory((socket.AddressFamily(family), socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address))
