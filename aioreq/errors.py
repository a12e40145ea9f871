"""Every error aioreq raises: who is at fault, in which phase, to whom, after how long.

    AioreqError                             .request, .redirects, .attempts; never an empty message
      InvalidURL, InvalidHeader             (ValueError) ours: nothing was sent
      ConnectError                          (ConnectionError) no connection was made
        DNSError
        TLSError
          CertificateError              .fingerprint: not the wanted one
        ProxyError                          .status: a refusing, dying or lying proxy
        ConnectTimeout                      (also a RequestTimeout)
      GuardError                            (PermissionError) the client's guard refuses the address; nothing was sent
      RequestTimeout                        (TimeoutError)
        PoolTimeout ConnectTimeout ReadTimeout WriteTimeout TotalTimeout
      ProtocolError
        RemoteProtocolError                 the peer broke RFC 9112
        LocalProtocolError                  we would have
        LimitExceeded                       .limit names the cap and how to raise it
      ConnectionLost                        (ConnectionError) the peer went away
        IncompleteBody                      .partial .received .expected
        WebSocketClosed                     .code .reason: by whom, or by nobody (1006)
      DecodeError                           .partial: what decoded before the fault
      DigestMismatch                        .expected .actual: the file is not the one that was wanted
      TooManyRedirects                      .response: the redirect that was one too many
      RedirectRefused                       (PermissionError) .response: the redirect that wasn't followed
      StatusError                           .response
      WebSocketRefused                      .response: anything but a right 101
      ClientClosed                          (RuntimeError)

Extras are keyword-only: an OSError child that is built with two positional arguments would print `[Errno ...]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .models import Request, Response, ResponseHead, StreamResponse

__all__ = [
    "AioreqError",
    "CertificateError",
    "ClientClosed",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionLost",
    "DNSError",
    "DecodeError",
    "DigestMismatch",
    "GuardError",
    "IncompleteBody",
    "InvalidHeader",
    "InvalidURL",
    "LimitExceeded",
    "LocalProtocolError",
    "PoolTimeout",
    "ProtocolError",
    "ProxyError",
    "ReadTimeout",
    "RedirectRefused",
    "RemoteProtocolError",
    "RequestTimeout",
    "StatusError",
    "TLSError",
    "TooManyRedirects",
    "TotalTimeout",
    "WebSocketClosed",
    "WebSocketRefused",
    "WriteTimeout",
]


class AioreqError(Exception):
    """The root: `except aioreq.AioreqError` catches all of them and nothing else.

    `request` is the request that failed, as it was sent (after redirects: the last one), or None where none was made yet. `redirects`
    are the heads of the redirects that led there, and of the one that could not be followed. `attempts` tells of each attempt in a line,
    where it was tried again; the notes of the error do, too.
    """

    request: Request | None = None
    redirects: tuple[ResponseHead, ...] = ()
    attempts: tuple[str, ...] = ()

    def __init__(self, message: str = "", *, request: Request | None = None, **extras: Any) -> None:
        super().__init__(message or f"{type(self).__name__}: no detail was given")
        if request is not None:
            self.request = request
        for name, value in extras.items():
            if not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__} takes no {name!r}")
            setattr(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions travel between processes: what can't be pickled (the request, responses) stays behind.
        state = {k: v for k, v in self.__dict__.items() if k not in ("request", "response", "redirects")}
        return (type(self), (str(self),), state)


class InvalidURL(AioreqError, ValueError):
    """The URL can't be requested; nothing was sent."""


class InvalidHeader(AioreqError, ValueError):
    """A method, target, field name or field value holds what RFC 9110 forbids there; nothing was sent."""


class ConnectError(AioreqError, ConnectionError):
    """No connection could be made; nothing was sent."""


class DNSError(ConnectError):
    """The host name has no address, or the resolver failed."""


class TLSError(ConnectError):
    """The TLS handshake failed."""


class CertificateError(TLSError):
    """The server's certificate is not valid for this host.

    `fingerprint` is its SHA-256 in hexadecimal digits where another one is wanted, else empty.
    """

    fingerprint: str = ""


class ProxyError(ConnectError):
    """The proxy can't be reached, refused, went away or broke its protocol; nothing was sent to the origin.

    `status` is the status of an HTTP proxy's refusal (407: it wants credentials), None where it had none. A refusal below 500 is never
    tried again; `reason` and `fields` are the rest of its head. What an HTTP proxy answers to an http:// request is a response like any
    other.
    """

    status: int | None = None
    reason: str = ""
    fields: Sequence[tuple[bytes, bytes]] = ()


class GuardError(AioreqError, PermissionError):
    """The client's guard refuses this URL, address or proxy; nothing was sent to it. It is never tried again."""


class RequestTimeout(AioreqError, TimeoutError):
    """A deadline passed. The subclass says which one."""


class PoolTimeout(RequestTimeout):
    """No connection slot became free in time (`Timeout.pool`); nothing was sent."""


class ConnectTimeout(RequestTimeout, ConnectError):
    """No connection was made in time (`Timeout.connect`: DNS, TCP and TLS together); nothing was sent."""


class ReadTimeout(RequestTimeout):
    """No byte arrived for `Timeout.read` seconds while one was wanted."""


class WriteTimeout(RequestTimeout):
    """The peer took no byte of the request for `Timeout.write` seconds."""


class TotalTimeout(RequestTimeout):
    """`Timeout.total` passed before the last byte of the body."""


class ProtocolError(AioreqError):
    """HTTP's rules were broken, or WebSocket's: then `close_code` is the code that tells the peer so (RFC 6455 section 7.4.1)."""

    close_code: int | None = None


class RemoteProtocolError(ProtocolError):
    """The peer sent what RFC 9112 forbids. The connection was closed."""


class LocalProtocolError(ProtocolError):
    """The request asked for what RFC 9112 forbids. Nothing was sent, or the connection was closed."""


class LimitExceeded(ProtocolError):
    """A named limit was passed; `limit` is its name in `Limits`, and the message says how to raise it."""

    limit: str = ""


class ConnectionLost(AioreqError, ConnectionError):
    """The connection ended before the response did.

    `response_started` tells whether any byte of the response had arrived, `resent` whether the request had gone out once before, on a
    reused connection that died as well.
    """

    response_started: bool = False
    resent: bool = False


class IncompleteBody(ConnectionLost):
    """The body stopped before its end. What had arrived is in `partial`.

    `received` counts raw body bytes; `expected` is the declared length, None for a chunked body.
    """

    partial: bytes = b""
    received: int = 0
    expected: int | None = None


class WebSocketClosed(ConnectionLost):
    """The WebSocket is closed, or was lost; one whose server has gone silent is (`ping_timeout`): a ReadTimeout is the cause then.

    `code` and `reason` are those of the peer's close frame (RFC 6455 section 7.1.5): 1005 where it had no code, 1006 where none came.
    """

    response_started: bool = True
    code: int = 1006
    reason: str = ""


class DecodeError(AioreqError):
    """The body isn't what its Content-Encoding (or its declared charset, or JSON) says; `partial` holds what was decoded before.

    `incomplete` is True where the body is right as far as it goes, but ended before its Content-Encoding did.
    """

    partial: bytes = b""
    incomplete: bool = False


class DigestMismatch(AioreqError):
    """The downloaded file has another SHA-256 than the caller named; it was removed. Both are hexadecimal digits."""

    expected: str = ""
    actual: str = ""


class TooManyRedirects(AioreqError):
    """`max_redirects` was passed; `response` is the last redirect, `response.redirects` the earlier ones."""

    response: Response | StreamResponse | None = None


class RedirectRefused(AioreqError, PermissionError):
    """The client's `redirect_policy` refuses a redirect, or it would take the request's body from https to http; nothing was sent there.

    `response` is the redirect, `response.redirects` the earlier ones.
    """

    response: Response | StreamResponse | None = None


class StatusError(AioreqError):
    """`raise_for_status` met a 4xx or 5xx; `response` is that response."""

    response: Response | StreamResponse | None = None


class WebSocketRefused(AioreqError):
    """The server doesn't speak WebSocket here: the answer to the handshake was not a 101, or one that breaks RFC 6455.

    `response` is that answer, with up to 64 KiB of its body; of a 101 `field` names the header field that is wrong.
    """

    response: Response | StreamResponse | None = None
    field: str = ""


class ClientClosed(AioreqError, RuntimeError):
    """The client was closed before or during the request."""


def without_our_frames(error: Exception) -> Exception:
    """The same error, its traceback from the user's own code on, if there is any: one of ours then keeps no connection."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("aioreq."):
        trace = trace.tb_next
    return error.with_traceback(trace)
