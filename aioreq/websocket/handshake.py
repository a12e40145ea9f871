"""How a WebSocket is opened (RFC 6455 section 4): an ordinary GET through the client's chain, whose answer is held to the letter.

Proxies, TLS, cookies, authentication, redirects, retries, guard and time limits are those of any request. Knows no frames.
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import Callable, Collection, Generator, Iterable
from hashlib import sha1
from os import urandom
from typing import TYPE_CHECKING, Any, cast

from yarl import URL

from ..errors import InvalidHeader, InvalidURL, ProtocolError, WebSocketRefused
from ..headers import text
from ..urls import without_password, without_websocket
from .link import Link, WebSocketOptions
from .websocket import WebSocket

if TYPE_CHECKING:
    from ..client import Client
    from ..models import Request, StreamResponse
    from ..request_options import RequestOptions
    from .permessage_deflate import Deflate

__all__ = ["OWN_FIELDS", "WebSocketContext", "handshake_fields", "opened", "with_own_key"]

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_KEY = "Sec-WebSocket-Key"
OWN_FIELDS = ("connection", "upgrade", "sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol", "sec-websocket-extensions")
# Options that say what a GET without a body, whose response has none, doesn't have.
_NOT_TAKEN = ("content", "data", "files", "json", "compress", "progress", "max_body", "raise_for_status")


class WebSocketContext:
    """What `client.websocket` gives: `async with` it for the WebSocket, which is closed at its end, or `await` it and close it yourself."""

    def __init__(
        self,
        client: Client,
        url: str | URL,
        subprotocols: Collection[str],
        compression: bool | Deflate,
        options: WebSocketOptions,
        request_options: RequestOptions,
    ) -> None:
        self._client = client
        self._options = options
        self._subprotocols = _checked_subprotocols(subprotocols)
        self._offer = _offered(compression)
        self._request = self._handshake(url, request_options)
        self._websocket: WebSocket | None = None

    def _handshake(self, url: str | URL, options: RequestOptions) -> Request:
        """The request (RFC 6455 section 4.1)."""
        if refused := [name for name in _NOT_TAKEN if name in options]:
            raise TypeError(f"a WebSocket takes no {', '.join(refused)}: its handshake is a GET without a body")
        if isinstance(url, str | URL):
            url = str(url)
            if "#" in url:
                raise InvalidURL(f"URL {without_password(url)!r}: that of a WebSocket has no fragment (RFC 6455 section 3)")
            url = without_websocket(url)
        request = self._client.settings.new_request("GET", url, options)
        _ = request.parsed  # what is wrong with it is said here, as with the other options
        for name in OWN_FIELDS:
            if request.sets(name):
                raise InvalidHeader(f"{name!r} belongs to the handshake, and can't be given: see subprotocols= and compression=")
        request.add_fields(handshake_fields(self._subprotocols, self._offer))
        if request.raise_for_status:
            request.raise_for_status = False  # whatever the status: see WebSocketRefused
        return request

    async def _open(self) -> WebSocket:
        client = self._client
        response = await client.start_stream(self._request.replace())
        return await opened(response, self._subprotocols, self._offer, self._options, client._json_loads, client.settings.json_dumps)

    def __await__(self) -> Generator[Any, Any, WebSocket]:
        return self._open().__await__()

    async def __aenter__(self) -> WebSocket:
        self._websocket = await self._open()
        return self._websocket

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        websocket, self._websocket = self._websocket, None
        if websocket is not None:
            await websocket.__aexit__(kind, error, trace)


def handshake_fields(subprotocols: Collection[str], offer: Deflate | None) -> list[tuple[str, str]]:
    """What makes a GET a handshake; its key is each attempt's own, see `with_own_key`."""
    fields = [("Upgrade", "websocket"), ("Connection", "Upgrade"), (_KEY, "?"), ("Sec-WebSocket-Version", "13")]
    if subprotocols:
        fields.append(("Sec-WebSocket-Protocol", ", ".join(subprotocols)))
    if offer is not None:
        fields.append(("Sec-WebSocket-Extensions", offer.offer()))
    return fields


def with_own_key(request: Request) -> Request:
    """The handshake as it goes out: each attempt, each hop has a key of its own, and HTTP proxies a tunnel (RFC 6455 section 4.1)."""
    attempt = request.replace()
    attempt.headers[_KEY] = b64encode(urandom(16)).decode()
    if attempt.proxies is not None:
        attempt.proxies = attempt.proxies.tunnelling()
    return attempt


async def opened(
    response: StreamResponse,
    subprotocols: Collection[str],
    offer: Deflate | None,
    options: WebSocketOptions,
    loads: Callable[[bytes], Any] | None = None,
    dumps: Callable[[Any], str | bytes] | None = None,
) -> WebSocket:
    """The WebSocket behind the answer to a handshake that asked for these. Errors: WebSocketRefused, ConnectionLost."""
    try:
        subprotocol, deflate = await _checked(response, subprotocols, offer)
    except BaseException:
        response.abort()
        raise
    detached = response.detach()
    try:
        link = Link(asyncio.get_running_loop(), detached, response.request, options, deflate)
        link.start()
    except BaseException:
        detached.close()
        raise
    return WebSocket(link, response, subprotocol, deflate is not None, loads, dumps)


async def _checked(response: StreamResponse, subprotocols: Collection[str], offer: Deflate | None) -> tuple[str | None, Deflate | None]:
    """The subprotocol and the compression that the server agreed to. Errors: WebSocketRefused."""
    request = response.request
    if response.status != 101:
        status = f"{response.status} {response.status_message}".rstrip()
        raise WebSocketRefused(
            f"{_named(request)} is no WebSocket: the server answered {status}, not 101 (Switching Protocols)",
            request=request,
            response=await response.start_of_body(),
        )
    field, wrong = _wrong_switch(response)
    subprotocol = deflate = None
    if not wrong:
        try:
            field = "Sec-WebSocket-Protocol"
            subprotocol = _chosen(response.field_values(b"sec-websocket-protocol"), subprotocols)
            field = "Sec-WebSocket-Extensions"
            deflate = _agreed(offer, response.field_values(b"sec-websocket-extensions"))
        except (ProtocolError, ValueError) as error:
            wrong = str(error)
    if wrong:
        what = f"the handshake with {_named(request)} failed: {wrong}"
        raise WebSocketRefused(what, request=request, response=response, field=field)
    return subprotocol, deflate


def _named(request: Request) -> str:
    """Whom it goes to, as errors may show it: without a query, in which there is often a token."""
    return f"{request.url.authority}{request.url.raw_path}"


def _checked_subprotocols(given: Collection[str]) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"websocket(subprotocols=...) takes a list of names, not {type(given).__name__}")
    names = tuple(given)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"websocket(subprotocols=...): a name is a str, not {type(name).__name__}")
        if not _TOKEN.fullmatch(name):
            raise InvalidHeader(f"websocket(subprotocols=...): {name!r} is no token (RFC 9110 section 5.6.2)")
    if len(set(names)) < len(names):
        raise ValueError(f"websocket(subprotocols={list(names)!r}): each name once (RFC 6455 section 4.1)")
    return names


def _offered(compression: bool | Deflate) -> Deflate | None:
    if compression is False:
        return None
    from .permessage_deflate import Deflate

    if compression is True:
        return Deflate()
    if not isinstance(compression, Deflate):
        raise TypeError(f"websocket(compression=...) takes True, False or a Deflate, not {type(compression).__name__}")
    return compression


def _agreed(offer: Deflate | None, values: list[bytes]) -> Deflate | None:
    if not values:
        return None
    from .permessage_deflate import agreed

    return agreed(offer, map(text, values))


def _chosen(values: list[bytes], offered: Collection[str]) -> str | None:
    if not values:
        return None
    chosen = text(values[0])
    if len(values) > 1 or chosen not in offered:
        named = ", ".join(map(text, values))
        raise ValueError(f"Sec-WebSocket-Protocol is {named!r}, and one of {list(offered)} was asked for")
    return chosen


def _wrong_switch(response: StreamResponse) -> tuple[str, str]:
    """Which field of a 101 is wrong, and how; "" where nothing is (RFC 6455 section 4.1)."""
    if response.http_version != "1.1":
        return "", f"the 101 is one of HTTP/{response.http_version}, not HTTP/1.1"
    upgrade = response.field_values(b"upgrade")
    if len(upgrade) != 1 or upgrade[0].lower() != b"websocket":
        return "Upgrade", f"Upgrade is {_shown(upgrade)}, not 'websocket'"
    connection = response.field_values(b"connection")
    if b"upgrade" not in {token.strip(b" \t") for value in connection for token in value.lower().split(b",")}:
        return "Connection", f"Connection is {_shown(connection)}, which doesn't say 'Upgrade'"
    key = cast(str, response.request.field(_KEY))
    wanted = b64encode(sha1(key.encode() + _GUID, usedforsecurity=False).digest())
    accept = response.field_values(b"sec-websocket-accept")
    if len(accept) != 1 or accept[0] != wanted:
        what = f"Sec-WebSocket-Accept is {_shown(accept)}, not {wanted.decode()!r}: it doesn't answer this handshake"
        return "Sec-WebSocket-Accept", what
    return "", ""


def _shown(values: list[bytes]) -> str:
    return ", ".join([repr(text(value[:100])) for value in values]) or "missing"
