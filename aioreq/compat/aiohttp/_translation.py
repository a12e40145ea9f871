"""What the core raises, as aiohttp's errors: the one table. Decides nothing; the core's error is the cause of each."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from ... import errors as core
from ...headers import text
from ._values import ConnectionKey, RequestInfo, ssl_of
from .client_exceptions import (
    ClientConnectionError,
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientError,
    ClientHttpProxyError,
    ClientOSError,
    ClientPayloadError,
    ClientProxyConnectionError,
    ClientResponseError,
    ConnectionTimeoutError,
    InvalidUrlClientError,
    InvalidUrlRedirectClientError,
    NonHttpUrlRedirectClientError,
    RedirectClientError,
    ServerDisconnectedError,
    ServerFingerprintMismatch,
    SocketTimeoutError,
    TooManyRedirects,
    UnixClientConnectorError,
)

if TYPE_CHECKING:
    from ...models import Request
    from ._response import ClientResponse
    from .client import ClientSession

__all__ = ["connection_key", "foreign_cause", "request_info_of", "translated"]


def translated(error: core.AioreqError, session: ClientSession | None = None, reading: bool = False) -> Exception:
    """The error that aiohttp's users expect; `reading` says that the head had come, and the body was being read."""
    for kind, make in _TABLE.items():
        if isinstance(error, kind):
            return make(_Told(error, session, reading))
    return ClientError(str(error))


def request_info_of(request: Request) -> RequestInfo:
    """What a request says of itself to responses and errors."""
    headers = CIMultiDict([("Host", request.parsed.authority.decode())])
    for name, value in request.pairs():
        if name.lower() == "host":
            headers[name] = value
        else:
            headers.add(name, value)
    body = request.body
    length = len(body) if isinstance(body, bytes) else None if body is None else body.length
    if length is not None:
        headers.setdefault("Content-Length", str(length))
    elif body is not None:
        headers.setdefault("Transfer-Encoding", "chunked")
    elif request.method not in ("GET", "HEAD", "OPTIONS", "TRACE"):
        headers.setdefault("Content-Length", "0")
    url = request.url
    return RequestInfo(url.with_fragment(None), request.method, CIMultiDictProxy(headers), url)


def connection_key(request: Request) -> ConnectionKey:
    """Where a request's connection leads."""
    origin, terms = request.parsed.origin, request.terms
    proxy = None if terms.proxies is None else terms.proxies.choose(origin)
    return ConnectionKey(
        origin.host,
        origin.port,
        origin.scheme == "https",
        ssl_of(terms.tls),
        None if proxy is None else URL(str(proxy.url)),
        None,
        None if proxy is None or proxy.headers is None else hash(proxy.headers),
        terms.tls.server_hostname,
    )


# What the words of an error advise to raise, by the names that a session, a request or a connector knows it by.
_LIMIT = re.compile(r"Limits\((\w+)=\.\.\.\)")
_NAMES = {
    "head": "max_line_size, max_field_size or max_headers",
    "field": "max_field_size",
    "headers": "max_headers",
    "connections": "TCPConnector(limit=...)",
    "per_host": "TCPConnector(limit_per_host=...)",
}


def _in_their_names(limit: re.Match[str]) -> str:
    return _NAMES.get(limit[1], f"{limit[0]} of aioreq's own Client")


class _Told:
    """An error, and what is known about it."""

    def __init__(self, error: Any, session: ClientSession | None, reading: bool) -> None:
        self.error = error
        self.words = _LIMIT.sub(_in_their_names, str(error))
        self.request: Request | None = error.request
        self.session = session
        self.reading = reading

    @property
    def key(self) -> ConnectionKey:
        if self.request is None:
            return ConnectionKey("", None, False, True, None, None, None)
        return connection_key(self.request)

    @property
    def history(self) -> tuple[ClientResponse, ...]:
        from ._response import history_of

        return () if self.session is None else history_of(self.error.redirects, self.session)

    @property
    def os_error(self) -> OSError:
        """What the system said, or else the core's words."""
        return _cause(self.error, OSError) or OSError(None, self.words)

    @property
    def url(self) -> URL | str:
        return "" if self.request is None else self.request.given_url

    def of_response(self, kind: type[ClientResponseError], **told: Any) -> ClientResponseError:
        assert self.request is not None
        return kind(request_info_of(self.request), self.history, **told)


def _cause(error: BaseException, kind: Any) -> Any:
    """What of this kind led to an error, the system's own where there is one."""
    cause, found = error.__cause__, None
    while cause is not None:
        if isinstance(cause, kind) and not isinstance(cause, core.AioreqError):
            found = cause
            if getattr(cause, "errno", None) is not None:
                break
        cause = cause.__cause__
    return found


def foreign_cause(error: core.DNSError) -> Exception | None:
    """What a user's own resolver raised, that is the user's: it goes where it is caught. None for what says no more than the error."""
    cause = error.__cause__
    ours = isinstance(cause, OSError | core.AioreqError) or type(cause).__module__.startswith("aiodns.")
    return cause if isinstance(cause, Exception) and not ours else None


def _dns_error(told: _Told) -> Exception:
    cause = foreign_cause(told.error)
    if cause is not None:
        return cause
    return ClientConnectorDNSError(told.key, told.os_error)


def _connect_error(told: _Told) -> Exception:
    path = None if told.request is None or told.request.terms.dialer is None else told.request.terms.dialer.unix_socket
    if path is not None:
        return UnixClientConnectorError(str(path), told.key, told.os_error)
    return ClientConnectorError(told.key, told.os_error)


def _certificate_error(told: _Told) -> Exception:
    pinned = None if told.request is None else told.request.terms.tls.fingerprint
    if told.error.fingerprint and pinned is not None:
        expected: Any = pinned
        key = told.key
        return ServerFingerprintMismatch(bytes.fromhex(expected[0]), bytes.fromhex(told.error.fingerprint), key.host, key.port or 0)
    problem = _cause(told.error, ssl.SSLCertVerificationError) or ssl.SSLCertVerificationError(1, told.words)
    return ClientConnectorCertificateError(told.key, problem)


def _tls_error(told: _Told) -> Exception:
    problem = _cause(told.error, OSError) or ssl.SSLError(1, told.words)
    return (ClientConnectorSSLError if isinstance(problem, ssl.SSLError) else ClientConnectorError)(told.key, problem)


def _proxy_error(told: _Told) -> Exception:
    error, key = told.error, told.key
    if isinstance(error.__cause__, core.ConnectError) or key.proxy is None or not key.is_ssl:  # it can't be reached, or speaks SOCKS
        where = key if key.proxy is None else key._replace(host=key.proxy.raw_host or "", port=key.proxy.port)
        return ClientProxyConnectionError(where, told.os_error)
    assert told.request is not None
    if error.status is None and not isinstance(error.__cause__, core.ProtocolError):
        return _lost(told)
    info = request_info_of(told.request)._replace(method="CONNECT", real_url=key.proxy)
    if error.status is None:
        return ClientResponseError(info, told.history, status=400, message=told.words)
    headers = CIMultiDict([(text(name), text(value)) for name, value in error.fields])
    return ClientHttpProxyError(info, told.history, status=error.status, message=error.reason, headers=CIMultiDictProxy(headers))


def _lost(told: _Told) -> Exception:
    if told.reading:
        return ClientPayloadError(f"Response payload is not completed: {told.words}")
    problem = _cause(told.error, OSError)
    if problem is not None and problem.errno is not None:
        return ClientOSError(problem.errno, told.words)
    return ServerDisconnectedError(f"Server disconnected: {told.words}")


def _protocol_error(told: _Told) -> Exception:
    if isinstance(told.error.__cause__, core.InvalidURL):
        return _bad_redirect(told)
    if told.reading or told.request is None:
        return ClientPayloadError(f"400, message:\n  {told.words}")
    return told.of_response(ClientResponseError, status=400, message=told.words)


def _bad_redirect(told: _Told) -> Exception:
    redirects = told.error.redirects
    location = (redirects[-1].field(b"location") or b"").decode("utf-8", "surrogateescape") if redirects else ""
    scheme, colon, _ = location.partition(":")
    if colon and scheme.isalnum() and scheme.lower() not in ("http", "https"):
        return NonHttpUrlRedirectClientError(location)
    return InvalidUrlRedirectClientError(location, str(told.error.__cause__))


def _limit(told: _Told) -> Exception:
    return ClientConnectionError(told.words) if told.error.limit == "waiters" else _protocol_error(told)


def _ours(told: _Told) -> Exception:
    if told.error.redirects and told.request is not None and not told.request.replayable:
        return ClientPayloadError(told.words)
    return ClientConnectionError(f"Connection closed: {told.words}" if told.reading else told.words)


def _too_many(told: _Told) -> Exception:
    history = told.history
    return TooManyRedirects(history[0].request_info, history)


# In this order: a class stands in front of its bases.
_TABLE: dict[type[core.AioreqError], Callable[[_Told], Exception]] = {
    core.TotalTimeout: lambda told: TimeoutError(told.words),
    core.PoolTimeout: lambda told: ConnectionTimeoutError(f"Connection timeout to host {told.url}: {told.words}"),
    core.ConnectTimeout: lambda told: ConnectionTimeoutError(f"Connection timeout to host {told.url}: {told.words}"),
    core.RequestTimeout: lambda told: SocketTimeoutError(f"Timeout on reading data from socket: {told.words}"),
    core.InvalidURL: lambda told: InvalidUrlClientError(told.url, told.words),
    core.InvalidHeader: lambda told: ValueError(told.words),
    core.CertificateError: _certificate_error,
    core.TLSError: _tls_error,
    core.DNSError: _dns_error,
    core.ProxyError: _proxy_error,
    core.ConnectError: _connect_error,
    core.GuardError: lambda told: ClientConnectorError(told.key, PermissionError(None, told.words)),
    core.TooManyRedirects: _too_many,
    core.RedirectRefused: lambda told: RedirectClientError(told.words),
    core.IncompleteBody: lambda told: ClientPayloadError(f"Response payload is not completed: {told.words}"),
    core.ConnectionLost: _lost,
    core.DecodeError: lambda told: ClientPayloadError(f"400, message:\n  {told.words}"),
    core.LimitExceeded: _limit,
    core.RemoteProtocolError: _protocol_error,
    core.LocalProtocolError: _ours,
    core.ClientClosed: lambda told: ClientConnectionError(told.words),
}
