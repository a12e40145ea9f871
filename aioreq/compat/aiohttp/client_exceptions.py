"""aiohttp's tree of errors, with the attributes that its users read.

    ClientError
      ClientResponseError                    .request_info .history .status .message .headers
        ContentTypeError WSServerHandshakeError ClientHttpProxyError TooManyRedirects
      ClientConnectionError
        ClientConnectionResetError           (ConnectionResetError)
        ClientOSError                        (OSError)
          ClientConnectorError               .host .port .ssl .os_error
            ClientConnectorDNSError ClientProxyConnectionError UnixClientConnectorError
            ClientSSLError
              ClientConnectorSSLError        (ssl.SSLError)
              ClientConnectorCertificateError  (ssl.CertificateError)  .certificate_error
        ServerConnectionError
          ServerDisconnectedError            .message
          ServerTimeoutError                 (TimeoutError)
            ConnectionTimeoutError SocketTimeoutError
          ServerFingerprintMismatch          .expected .got .host .port
      ClientPayloadError UploadAbortedError
      InvalidURL                             (ValueError)  .url .description
        InvalidUrlClientError
          InvalidUrlRedirectClientError      (RedirectClientError)
      RedirectClientError
      NonHttpUrlClientError
        NonHttpUrlRedirectClientError        (RedirectClientError)
    WSMessageTypeError                       (TypeError)

Where aiohttp was imported before, each class here is also one of aiohttp's of the same name: a library's `except aiohttp.ClientError`
catches ours. Which core error becomes which of these is decided elsewhere.
"""

from __future__ import annotations

import ssl
import sys
import warnings
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from multidict import MultiMapping

    from .client_reqrep import ClientResponse, Fingerprint, RequestInfo
    from .typedefs import StrOrURL

__all__ = [
    "ClientConnectionError",
    "ClientConnectionResetError",
    "ClientConnectorCertificateError",
    "ClientConnectorDNSError",
    "ClientConnectorError",
    "ClientConnectorSSLError",
    "ClientError",
    "ClientHttpProxyError",
    "ClientOSError",
    "ClientPayloadError",
    "ClientProxyConnectionError",
    "ClientResponseError",
    "ClientSSLError",
    "ConnectionTimeoutError",
    "ContentTypeError",
    "InvalidURL",
    "InvalidUrlClientError",
    "InvalidUrlRedirectClientError",
    "NonHttpUrlClientError",
    "NonHttpUrlRedirectClientError",
    "RedirectClientError",
    "ServerConnectionError",
    "ServerDisconnectedError",
    "ServerFingerprintMismatch",
    "ServerTimeoutError",
    "SocketTimeoutError",
    "TooManyRedirects",
    "UnixClientConnectorError",
    "UploadAbortedError",
    "WSMessageTypeError",
    "WSServerHandshakeError",
]


class like_aiohttp(type):  # noqa: N801  (it stands where a keyword would)
    """Makes a class that is aiohttp's of the same name, too, where that is loaded: behind our own bases, before the builtin ones."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
        module = namespace["__module__"].rpartition(".")[2]
        theirs = getattr(sys.modules.get(f"aiohttp.{module}"), name, None)
        if isinstance(theirs, type):
            ours = tuple(base for base in bases if base.__module__.startswith("aioreq."))
            bases = (*ours, theirs, *bases[len(ours) :])
        return type(name, bases, namespace)  # a plain class: those that users derive from it are their own


class ConnectionKey(Protocol):
    """What these errors ask of the key of a connection."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int | None: ...
    @property
    def is_ssl(self) -> bool: ...
    @property
    def ssl(self) -> ssl.SSLContext | bool | Fingerprint: ...


class ClientError(Exception, metaclass=like_aiohttp):
    """The root of what a session raises."""


class ClientResponseError(ClientError, metaclass=like_aiohttp):
    """The response is there, and isn't what was wanted: `status`, `message` and `headers` are the response's."""

    def __init__(
        self,
        request_info: RequestInfo,
        history: tuple[ClientResponse, ...],
        *,
        code: int | None = None,
        status: int | None = None,
        message: str = "",
        headers: MultiMapping[str] | None = None,
    ) -> None:
        if code is not None:
            if status is not None:
                raise ValueError("give status=, not both of status= and the deprecated code=")
            warnings.warn("code= is deprecated: give status=", DeprecationWarning, stacklevel=2)
            status = code
        self.request_info = request_info
        self.status = status or 0
        self.message = message
        self.headers = headers
        self.history = history
        self.args = (request_info, history)

    def __str__(self) -> str:
        return f"{self.status}, message={self.message!r}, url={str(self.request_info.real_url)!r}"

    def __repr__(self) -> str:
        told = [f"{self.request_info!r}", f"{self.history!r}"]
        if self.status:
            told.append(f"status={self.status!r}")
        if self.message:
            told.append(f"message={self.message!r}")
        if self.headers is not None:
            told.append(f"headers={self.headers!r}")
        return f"{type(self).__name__}({', '.join(told)})"

    @property
    def code(self) -> int:
        """The status, by its old name."""
        warnings.warn("code is deprecated: read status", DeprecationWarning, stacklevel=2)
        return self.status

    @code.setter
    def code(self, value: int) -> None:
        warnings.warn("code is deprecated: set status", DeprecationWarning, stacklevel=2)
        self.status = value


class ContentTypeError(ClientResponseError, metaclass=like_aiohttp):
    """The body is of another type than the one asked for."""


class WSServerHandshakeError(ClientResponseError, metaclass=like_aiohttp):
    """The server didn't agree to a WebSocket."""


class ClientHttpProxyError(ClientResponseError, metaclass=like_aiohttp):
    """The proxy refused the tunnel; `status` is its answer's."""


class TooManyRedirects(ClientResponseError, metaclass=like_aiohttp):
    """More redirects than `max_redirects`; they are in `history`."""


class ClientConnectionError(ClientError, metaclass=like_aiohttp):
    """The connection failed, or couldn't be made."""


class ClientConnectionResetError(ClientConnectionError, ConnectionResetError, metaclass=like_aiohttp):
    """The connection was gone when something was to be written."""


class ClientOSError(ClientConnectionError, OSError, metaclass=like_aiohttp):
    """The system reported an error of the connection: `errno` and `strerror` are its."""


class ClientConnectorError(ClientOSError, metaclass=like_aiohttp):
    """No connection could be made."""

    def __init__(self, connection_key: ConnectionKey, os_error: OSError) -> None:
        self._conn_key = connection_key
        self._os_error = os_error
        OSError.__init__(self, os_error.errno, os_error.strerror)
        self.args = (connection_key, os_error)

    # OSError's own takes the arguments for an errno and its text.
    __reduce__ = BaseException.__reduce__

    @property
    def os_error(self) -> OSError:
        """What the system said."""
        return self._os_error

    @property
    def host(self) -> str:
        """The host that was to be reached."""
        return self._conn_key.host

    @property
    def port(self) -> int | None:
        """Its port."""
        return self._conn_key.port

    @property
    def ssl(self) -> ssl.SSLContext | bool | Fingerprint:
        """The `ssl` of the request."""
        return self._conn_key.ssl

    def __str__(self) -> str:
        return f"Cannot connect to host {self.host}:{self.port} ssl:{self._ssl_shown()} [{self.strerror}]"

    def _ssl_shown(self) -> str:
        return "default" if self.ssl is True else str(self.ssl)


class ClientConnectorDNSError(ClientConnectorError, metaclass=like_aiohttp):
    """The host's name has no address."""


class ClientProxyConnectionError(ClientConnectorError, metaclass=like_aiohttp):
    """The proxy couldn't be reached."""


class UnixClientConnectorError(ClientConnectorError, metaclass=like_aiohttp):
    """The Unix socket couldn't be reached."""

    def __init__(self, path: str, connection_key: ConnectionKey, os_error: OSError) -> None:
        self._path = path
        ClientConnectorError.__init__(self, connection_key, os_error)

    @property
    def path(self) -> str:
        """The socket's path."""
        return self._path

    def __str__(self) -> str:
        return f"Cannot connect to unix socket {self.path} ssl:{self._ssl_shown()} [{self.strerror}]"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._path, self._conn_key, self._os_error), self.__dict__


class ServerConnectionError(ClientConnectionError, metaclass=like_aiohttp):
    """The server ended or delayed the connection."""


class ServerDisconnectedError(ServerConnectionError, metaclass=like_aiohttp):
    """The server closed the connection before it had answered."""

    def __init__(self, message: Any = None) -> None:
        self.message = "Server disconnected" if message is None else message
        self.args = (self.message,)


class ServerTimeoutError(ServerConnectionError, TimeoutError, metaclass=like_aiohttp):
    """The server took too long."""


class ConnectionTimeoutError(ServerTimeoutError, metaclass=like_aiohttp):
    """No connection was there in time."""


class SocketTimeoutError(ServerTimeoutError, metaclass=like_aiohttp):
    """Nothing arrived in time."""


class ServerFingerprintMismatch(ServerConnectionError, metaclass=like_aiohttp):
    """The server's certificate isn't the one whose digest was given."""

    def __init__(self, expected: bytes, got: bytes, host: str, port: int) -> None:
        self.expected = expected
        self.got = got
        self.host = host
        self.port = port
        self.args = (expected, got, host, port)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} expected={self.expected!r} got={self.got!r} host={self.host!r} port={self.port!r}>"


class ClientPayloadError(ClientError, metaclass=like_aiohttp):
    """The response's body is broken, or ended too early."""


class UploadAbortedError(ClientError, metaclass=like_aiohttp):
    """The request's body was never sent as a whole."""


class InvalidURL(ClientError, ValueError, metaclass=like_aiohttp):
    """No request can be made to this URL."""

    def __init__(self, url: StrOrURL, description: str | None = None) -> None:
        self._url = url
        self._description = description
        Exception.__init__(self, *([url, description] if description else [url]))

    @property
    def url(self) -> StrOrURL:
        """The URL as it was given."""
        return self._url

    @property
    def description(self) -> str | None:
        """What is wrong with it."""
        return self._description

    def __str__(self) -> str:
        return f"{self._url} - {self._description}" if self._description else str(self._url)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


class InvalidUrlClientError(InvalidURL, metaclass=like_aiohttp):
    """No request can be made to this URL."""


class RedirectClientError(ClientError, metaclass=like_aiohttp):
    """A redirect leads where no request can go."""


class NonHttpUrlClientError(ClientError, metaclass=like_aiohttp):
    """The URL is of another scheme than HTTP's."""


class InvalidUrlRedirectClientError(InvalidUrlClientError, RedirectClientError, metaclass=like_aiohttp):
    """A redirect leads to a URL that is none."""


class NonHttpUrlRedirectClientError(NonHttpUrlClientError, RedirectClientError, metaclass=like_aiohttp):
    """A redirect leads to a URL of another scheme than HTTP's."""


class ClientSSLError(ClientConnectorError, metaclass=like_aiohttp):
    """TLS failed."""


class ClientConnectorSSLError(ClientSSLError, ssl.SSLError, metaclass=like_aiohttp):
    """The TLS handshake failed."""


class ClientConnectorCertificateError(ClientSSLError, ssl.CertificateError, metaclass=like_aiohttp):
    """The server's certificate isn't valid for this host."""

    def __init__(self, connection_key: ConnectionKey, certificate_error: Exception) -> None:
        self._certificate_error = certificate_error
        ClientConnectorError.__init__(self, connection_key, certificate_error if isinstance(certificate_error, OSError) else OSError())
        self.args = (connection_key, certificate_error)

    @property
    def certificate_error(self) -> Exception:
        """What the TLS library said."""
        return self._certificate_error

    @property
    def ssl(self) -> bool:
        """Whether TLS was to be spoken."""
        return self._conn_key.is_ssl

    def __str__(self) -> str:
        problem = self._certificate_error
        return f"Cannot connect to host {self.host}:{self.port} ssl:{self.ssl} [{type(problem).__name__}: {problem.args}]"


class WSMessageTypeError(TypeError, metaclass=like_aiohttp):
    """A WebSocket message of another kind than the one asked for."""
