"""aiohttp's client on aioreq: `import aioreq.compat.aiohttp as aiohttp` in place of `import aiohttp`, and nothing else changed.

The public names, listed by hand, and the submodules by aiohttp's names for them; each is imported on its first use (PEP 562). Only the
errors are there at once: where aiohttp itself was imported before, they derive from its own. `__version__` is aiohttp's that is followed.
`install()`, which aiohttp doesn't have, serves libraries that import aiohttp themselves.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import client_exceptions

if TYPE_CHECKING:
    from . import (
        abc as abc,
    )
    from . import (
        base_protocol as base_protocol,
    )
    from . import (
        client as client,
    )
    from . import (
        client_middleware_digest_auth as client_middleware_digest_auth,
    )
    from . import (
        client_middlewares as client_middlewares,
    )
    from . import (
        client_proto as client_proto,
    )
    from . import (
        client_reqrep as client_reqrep,
    )
    from . import (
        client_ws as client_ws,
    )
    from . import (
        connector as connector,
    )
    from . import (
        cookiejar as cookiejar,
    )
    from . import (
        formdata as formdata,
    )
    from . import (
        hdrs as hdrs,
    )
    from . import (
        helpers as helpers,
    )
    from . import (
        http as http,
    )
    from . import (
        http_exceptions as http_exceptions,
    )
    from . import (
        http_websocket as http_websocket,
    )
    from . import (
        http_writer as http_writer,
    )
    from . import (
        multipart as multipart,
    )
    from . import (
        payload as payload,
    )
    from . import (
        payload_streamer as payload_streamer,
    )
    from . import (
        resolver as resolver,
    )
    from . import (
        streams as streams,
    )
    from . import (
        tracing as tracing,
    )
    from . import (
        typedefs as typedefs,
    )
    from ._install import install as install
    from .client import ClientSession, ClientTimeout, request
    from .client_exceptions import (
        ClientConnectionError,
        ClientConnectionResetError,
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
        ClientSSLError,
        ConnectionTimeoutError,
        ContentTypeError,
        InvalidURL,
        InvalidUrlClientError,
        InvalidUrlRedirectClientError,
        NonHttpUrlClientError,
        NonHttpUrlRedirectClientError,
        RedirectClientError,
        ServerConnectionError,
        ServerDisconnectedError,
        ServerFingerprintMismatch,
        ServerTimeoutError,
        SocketTimeoutError,
        TooManyRedirects,
        UploadAbortedError,
        WSMessageTypeError,
        WSServerHandshakeError,
    )
    from .client_middleware_digest_auth import DigestAuthMiddleware
    from .client_middlewares import ClientHandlerType, ClientMiddlewareType
    from .client_reqrep import ClientRequest, ClientResponse, Fingerprint, RequestInfo, UploadTracker
    from .client_ws import ClientWebSocketResponse, ClientWSTimeout
    from .connector import AddrInfoType, BaseConnector, NamedPipeConnector, ProxyConnector, SocketFactoryType, TCPConnector, UnixConnector
    from .cookiejar import CookieJar, DummyCookieJar
    from .formdata import FormData
    from .helpers import BasicAuth, ETag, encode_basic_auth
    from .http_websocket import WebSocketError, WSCloseCode, WSMessage, WSMsgType
    from .http_writer import HttpVersion, HttpVersion10, HttpVersion11
    from .multipart import (
        BadContentDispositionHeader,
        BadContentDispositionParam,
        BodyPartReader,
        MultipartReader,
        MultipartWriter,
        content_disposition_filename,
        parse_content_disposition,
    )
    from .payload import (
        PAYLOAD_REGISTRY,
        AsyncIterablePayload,
        BufferedReaderPayload,
        BytesIOPayload,
        BytesPayload,
        IOBasePayload,
        JsonPayload,
        Payload,
        StringIOPayload,
        StringPayload,
        TextIOPayload,
        get_payload,
        payload_type,
    )
    from .payload_streamer import streamer
    from .resolver import AsyncResolver, DefaultResolver, ThreadedResolver
    from .streams import EMPTY_PAYLOAD, DataQueue, EofStream, FlowControlDataQueue, StreamReader
    from .tracing import (
        TraceConfig,
        TraceConnectionCreateEndParams,
        TraceConnectionCreateStartParams,
        TraceConnectionQueuedEndParams,
        TraceConnectionQueuedStartParams,
        TraceConnectionReuseconnParams,
        TraceDnsCacheHitParams,
        TraceDnsCacheMissParams,
        TraceDnsResolveHostEndParams,
        TraceDnsResolveHostStartParams,
        TraceRequestChunkSentParams,
        TraceRequestEndParams,
        TraceRequestExceptionParams,
        TraceRequestHeadersSentParams,
        TraceRequestRedirectParams,
        TraceRequestStartParams,
        TraceResponseChunkReceivedParams,
    )

__version__ = "3.14.5"

__all__ = [
    "EMPTY_PAYLOAD",
    "PAYLOAD_REGISTRY",
    "AddrInfoType",
    "AsyncIterablePayload",
    "AsyncResolver",
    "BadContentDispositionHeader",
    "BadContentDispositionParam",
    "BaseConnector",
    "BasicAuth",
    "BodyPartReader",
    "BufferedReaderPayload",
    "BytesIOPayload",
    "BytesPayload",
    "ClientConnectionError",
    "ClientConnectionResetError",
    "ClientConnectorCertificateError",
    "ClientConnectorDNSError",
    "ClientConnectorError",
    "ClientConnectorSSLError",
    "ClientError",
    "ClientHandlerType",
    "ClientHttpProxyError",
    "ClientMiddlewareType",
    "ClientOSError",
    "ClientPayloadError",
    "ClientProxyConnectionError",
    "ClientRequest",
    "ClientResponse",
    "ClientResponseError",
    "ClientSSLError",
    "ClientSession",
    "ClientTimeout",
    "ClientWSTimeout",
    "ClientWebSocketResponse",
    "ConnectionTimeoutError",
    "ContentTypeError",
    "CookieJar",
    "DataQueue",
    "DefaultResolver",
    "DigestAuthMiddleware",
    "DummyCookieJar",
    "ETag",
    "EofStream",
    "Fingerprint",
    "FlowControlDataQueue",
    "FormData",
    "HttpVersion",
    "HttpVersion10",
    "HttpVersion11",
    "IOBasePayload",
    "InvalidURL",
    "InvalidUrlClientError",
    "InvalidUrlRedirectClientError",
    "JsonPayload",
    "MultipartReader",
    "MultipartWriter",
    "NamedPipeConnector",
    "NonHttpUrlClientError",
    "NonHttpUrlRedirectClientError",
    "Payload",
    "ProxyConnector",
    "RedirectClientError",
    "RequestInfo",
    "ServerConnectionError",
    "ServerDisconnectedError",
    "ServerFingerprintMismatch",
    "ServerTimeoutError",
    "SocketFactoryType",
    "SocketTimeoutError",
    "StreamReader",
    "StringIOPayload",
    "StringPayload",
    "TCPConnector",
    "TextIOPayload",
    "ThreadedResolver",
    "TooManyRedirects",
    "TraceConfig",
    "TraceConnectionCreateEndParams",
    "TraceConnectionCreateStartParams",
    "TraceConnectionQueuedEndParams",
    "TraceConnectionQueuedStartParams",
    "TraceConnectionReuseconnParams",
    "TraceDnsCacheHitParams",
    "TraceDnsCacheMissParams",
    "TraceDnsResolveHostEndParams",
    "TraceDnsResolveHostStartParams",
    "TraceRequestChunkSentParams",
    "TraceRequestEndParams",
    "TraceRequestExceptionParams",
    "TraceRequestHeadersSentParams",
    "TraceRequestRedirectParams",
    "TraceRequestStartParams",
    "TraceResponseChunkReceivedParams",
    "UnixConnector",
    "UploadAbortedError",
    "UploadTracker",
    "WSCloseCode",
    "WSMessage",
    "WSMessageTypeError",
    "WSMsgType",
    "WSServerHandshakeError",
    "WebSocketError",
    "content_disposition_filename",
    "encode_basic_auth",
    "get_payload",
    "hdrs",
    "parse_content_disposition",
    "payload_type",
    "request",
    "streamer",
]

_SUBMODULES = frozenset(
    [
        "abc",
        "base_protocol",
        "client",
        "client_exceptions",
        "client_middleware_digest_auth",
        "client_middlewares",
        "client_proto",
        "client_reqrep",
        "client_ws",
        "connector",
        "cookiejar",
        "formdata",
        "hdrs",
        "helpers",
        "http",
        "http_exceptions",
        "http_websocket",
        "http_writer",
        "multipart",
        "payload",
        "payload_streamer",
        "resolver",
        "streams",
        "tracing",
        "typedefs",
    ]
)
_HOMES = {
    "_install": "install",
    "client": "ClientSession ClientTimeout request",
    "client_middleware_digest_auth": "DigestAuthMiddleware",
    "client_middlewares": "ClientHandlerType ClientMiddlewareType",
    "client_reqrep": "ClientRequest ClientResponse Fingerprint RequestInfo UploadTracker",
    "client_ws": "ClientWSTimeout ClientWebSocketResponse",
    "connector": "AddrInfoType BaseConnector NamedPipeConnector ProxyConnector SocketFactoryType TCPConnector UnixConnector",
    "cookiejar": "CookieJar DummyCookieJar",
    "formdata": "FormData",
    "helpers": "BasicAuth ETag encode_basic_auth",
    "http_websocket": "WSCloseCode WSMessage WSMsgType WebSocketError",
    "http_writer": "HttpVersion HttpVersion10 HttpVersion11",
    "multipart": "BadContentDispositionHeader BadContentDispositionParam BodyPartReader MultipartReader MultipartWriter "
    "content_disposition_filename parse_content_disposition",
    "payload": "AsyncIterablePayload BufferedReaderPayload BytesIOPayload BytesPayload IOBasePayload JsonPayload PAYLOAD_REGISTRY "
    "Payload StringIOPayload StringPayload TextIOPayload get_payload payload_type",
    "payload_streamer": "streamer",
    "resolver": "AsyncResolver DefaultResolver ThreadedResolver",
    "streams": "DataQueue EMPTY_PAYLOAD EofStream FlowControlDataQueue StreamReader",
    "tracing": "TraceConfig TraceConnectionCreateEndParams TraceConnectionCreateStartParams TraceConnectionQueuedEndParams "
    "TraceConnectionQueuedStartParams TraceConnectionReuseconnParams TraceDnsCacheHitParams TraceDnsCacheMissParams "
    "TraceDnsResolveHostEndParams TraceDnsResolveHostStartParams TraceRequestChunkSentParams TraceRequestEndParams "
    "TraceRequestExceptionParams TraceRequestHeadersSentParams TraceRequestRedirectParams TraceRequestStartParams "
    "TraceResponseChunkReceivedParams",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f".{name}", __name__)
    if name in _HOME_OF:
        value = getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
    elif name in __all__:
        value = getattr(client_exceptions, name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__doc__", "__version__"]
