"""aioreq: an asyncio HTTP client with a compiled parser. Start with `Client`, or with `aioreq.get(url)` in a plain script.

The public names, listed by hand. Each is imported on its first use (PEP 562), so that `import aioreq` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from . import errors, http, middlewares, testing
    from .auth import Auth, BasicAuth, DigestAuth
    from .bearer import BearerAuth
    from .bulk import get_requests
    from .client import Client
    from .config import TLS, Limits, Timeout
    from .connector import Connector
    from .cookies import Cookie, CookieJar
    from .errors import (
        AioreqError,
        CertificateError,
        ClientClosed,
        ConnectError,
        ConnectionLost,
        ConnectTimeout,
        DecodeError,
        DigestMismatch,
        DNSError,
        GuardError,
        IncompleteBody,
        InvalidHeader,
        InvalidURL,
        LimitExceeded,
        LocalProtocolError,
        PoolTimeout,
        ProtocolError,
        ProxyError,
        ReadTimeout,
        RedirectRefused,
        RemoteProtocolError,
        RequestTimeout,
        StatusError,
        TLSError,
        TooManyRedirects,
        TotalTimeout,
        WebSocketClosed,
        WebSocketRefused,
        WriteTimeout,
    )
    from .event_stream import ServerSentEvent
    from .forms import FormData
    from .guard import Guard, PublicOnly
    from .headers import SENSITIVE_HEADERS
    from .models import Request
    from .netrc import NetrcAuth
    from .proxies import Proxy
    from .resolvers import AiodnsResolver, Resolver, StaticResolver, ThreadedResolver
    from .response import Response, StreamResponse
    from .response_headers import ResponseHeaders
    from .retries import Retry, RetryBudget
    from .saving import Download
    from .sse import EventSource
    from .stats import Stats
    from .stream_client import StreamClient
    from .sync import delete, get, head, options, patch, post, put, request
    from .transfer import ConnectionInfo, Timings
    from .websocket import WebSocket
    from .websocket.permessage_deflate import Deflate

__all__ = [
    "SENSITIVE_HEADERS",
    "TLS",
    "AiodnsResolver",
    "AioreqError",
    "Auth",
    "BasicAuth",
    "BearerAuth",
    "CertificateError",
    "Client",
    "ClientClosed",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionInfo",
    "ConnectionLost",
    "Connector",
    "Cookie",
    "CookieJar",
    "DNSError",
    "DecodeError",
    "Deflate",
    "DigestAuth",
    "DigestMismatch",
    "Download",
    "EventSource",
    "FormData",
    "Guard",
    "GuardError",
    "IncompleteBody",
    "InvalidHeader",
    "InvalidURL",
    "LimitExceeded",
    "Limits",
    "LocalProtocolError",
    "NetrcAuth",
    "PoolTimeout",
    "ProtocolError",
    "Proxy",
    "ProxyError",
    "PublicOnly",
    "ReadTimeout",
    "RedirectRefused",
    "RemoteProtocolError",
    "Request",
    "RequestTimeout",
    "Resolver",
    "Response",
    "ResponseHeaders",
    "Retry",
    "RetryBudget",
    "ServerSentEvent",
    "StaticResolver",
    "Stats",
    "StatusError",
    "StreamClient",
    "StreamResponse",
    "TLSError",
    "ThreadedResolver",
    "Timeout",
    "Timings",
    "TooManyRedirects",
    "TotalTimeout",
    "WebSocket",
    "WebSocketClosed",
    "WebSocketRefused",
    "WriteTimeout",
    "__version__",
    "delete",
    "errors",
    "get",
    "get_requests",
    "head",
    "http",
    "middlewares",
    "options",
    "patch",
    "post",
    "put",
    "request",
    "testing",
]

_SUBMODULES = frozenset({"errors", "http", "middlewares", "testing"})
_HOMES = {
    "auth": ("Auth", "BasicAuth", "DigestAuth"),
    "bearer": ("BearerAuth",),
    "bulk": ("get_requests",),
    "client": ("Client",),
    "config": ("TLS", "Limits", "Timeout"),
    "connector": ("Connector",),
    "cookies": ("Cookie", "CookieJar"),
    "event_stream": ("ServerSentEvent",),
    "forms": ("FormData",),
    "guard": ("Guard", "PublicOnly"),
    "headers": ("SENSITIVE_HEADERS",),
    "models": ("Request",),
    "netrc": ("NetrcAuth",),
    "proxies": ("Proxy",),
    "resolvers": ("AiodnsResolver", "Resolver", "StaticResolver", "ThreadedResolver"),
    "response": ("Response", "StreamResponse"),
    "response_headers": ("ResponseHeaders",),
    "saving": ("Download",),
    "retries": ("Retry", "RetryBudget"),
    "sse": ("EventSource",),
    "stats": ("Stats",),
    "stream_client": ("StreamClient",),
    "sync": ("delete", "get", "head", "options", "patch", "post", "put", "request"),
    "transfer": ("ConnectionInfo", "Timings"),
    "websocket": ("WebSocket",),
    "websocket.permessage_deflate": ("Deflate",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f".{name}", __name__)
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME_OF.get(name, 'errors')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
