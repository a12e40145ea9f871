"""ClientResponse: the core's stream under aiohttp's names. Whatever isn't asked for is never made; reads nothing before it is asked to."""

from __future__ import annotations

import asyncio
import json as json_module
import re
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from http.cookies import SimpleCookie
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from multidict import CIMultiDictProxy, MultiDict, MultiDictProxy
from yarl import URL

from ...errors import AioreqError
from ...headers import text
from ...response import StreamResponse
from ._media_types import media_type
from ._once import Once
from ._translation import request_info_of, translated
from ._values import ContentDisposition, RequestInfo
from .client_exceptions import ClientConnectionError, ClientResponseError, ContentTypeError
from .helpers import DEFAULT_CHUNK_SIZE
from .http import HttpVersion, HttpVersion10, HttpVersion11

if TYPE_CHECKING:
    from ._connection import Connection
    from .client import ClientSession
    from .connector import BaseConnector
    from .streams import StreamReader
    from .tracing import Trace

__all__ = ["ClientResponse"]

_JSON = re.compile(r"application/(?:[\w.+-]+?\+)?json")
_PARAMETER = re.compile(r"""([^\s=]+)\s*=\s*(?:(['"])(.*?)\2|(\S*))""")
_LINK = re.compile(r"\s*<(.*)>(.*)")


class ClientResponse:
    """A response, its body still to be read: `await response.read()`, `text()`, `json()`, or by pieces from `content`.

    It holds its connection until the body is read or `release()`; `async with` lets go by itself.
    """

    status: int = None  # type: ignore[assignment]
    method: str = ""
    _stream: StreamResponse | None = None
    _session: ClientSession | None = None
    _connector: BaseConnector | None = None  # of a response that is all that is left of its session
    _body: bytes | None = None
    _content: StreamReader | None = None
    _released = _in_context = False
    _read_bufsize: int | None = None
    _traces: Sequence[Trace] = ()
    _resolve_charset: Callable[[ClientResponse, bytes], str] | None = None

    def __init__(
        self,
        method: str,
        url: URL,
        *,
        writer: Any,
        continue100: Any,
        timer: Any,
        request_info: RequestInfo,
        traces: Any,
        loop: asyncio.AbstractEventLoop,
        session: ClientSession,
        stream_writer: Any,
    ) -> None:
        self.method = method
        self.__dict__["real_url"] = url
        self.__dict__["request_info"] = request_info
        self._loop = loop
        self._session = session

    @classmethod
    def _of(cls, stream: StreamResponse, session: ClientSession, traces: Sequence[Trace] = ()) -> ClientResponse:
        """The response that a stream is: of this very class without `__init__`, which is for classes of a user's own."""
        request = stream.request
        if cls is ClientResponse:
            response = cls.__new__(cls)
            response.method = request.method
            response._session = session
        else:
            response = cls(
                request.method,
                request.url,
                writer=None,
                continue100=None,
                timer=None,
                request_info=request_info_of(request),
                traces=list(traces),
                loop=session._loop,
                session=session,
                stream_writer=None,
            )
        if traces:
            response._traces = traces
        response._stream = stream
        response.status = stream.status
        return response

    async def start(self, connection: Any) -> Self:
        """This response: it has started already. Subclasses may look at it here before anybody else."""
        return self

    # -- the head

    @Once
    def version(self) -> HttpVersion | None:
        """The version that the server speaks."""
        return None if self._stream is None else HttpVersion11 if self._stream.http_version == "1.1" else HttpVersion10

    @Once
    def reason(self) -> str | None:
        """The reason phrase; may be empty."""
        return None if self._stream is None else self._stream.status_message

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status < 400

    @Once
    def url(self) -> URL:
        """The URL that answered, without its fragment."""
        url = self.real_url
        return url.with_fragment(None) if url.raw_fragment else url

    @Once
    def real_url(self) -> URL:
        """The URL that answered, with its fragment."""
        return self._head.url

    @property
    def url_obj(self) -> URL:
        """Older name of `url`."""
        warnings.warn("Deprecated, use .url #1654", DeprecationWarning, stacklevel=2)
        return self.url

    @Once
    def host(self) -> str:
        """The host of `url`."""
        return self.url.host or ""

    @Once
    def headers(self) -> CIMultiDictProxy[str]:
        """The received fields."""
        return self._headers

    @Once
    def raw_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The received fields as bytes, in their order."""
        return self._raw_headers

    # Where libraries that record and replay responses put their fields.

    @Once
    def _headers(self) -> CIMultiDictProxy[str]:
        return self._head.headers.mapping

    @Once
    def _raw_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        return tuple(self._head.fields)

    @Once
    def request_info(self) -> RequestInfo:
        """What was sent."""
        return request_info_of(self._head.request)

    @Once
    def history(self) -> tuple[ClientResponse, ...]:
        """The redirects that led here."""
        return self._history

    @Once
    def _history(self) -> tuple[ClientResponse, ...]:
        return () if self._stream is None or self._session is None else history_of(self._stream.redirects, self._session)

    @Once
    def cookies(self) -> SimpleCookie:
        """What this response set."""
        from .cookiejar import parse_set_cookie_headers

        cookies = SimpleCookie()
        values = [] if self._stream is None else [text(value) for value in self._stream.field_values(b"set-cookie")]
        cookies.update(parse_set_cookie_headers(values))
        return cookies

    @Once
    def links(self) -> MultiDictProxy[MultiDictProxy[str | URL]]:
        """The Link fields (RFC 8288), by relation, or by URL where there is none."""
        links: MultiDict[MultiDictProxy[str | URL]] = MultiDict()
        for value in re.split(r",(?=\s*<)", ", ".join(self.headers.getall("link", []))):
            if (match := _LINK.match(value)) is None:
                continue
            target, parameters = match.groups()
            link: MultiDict[str | URL] = MultiDict()
            for parameter in parameters.split(";")[1:]:
                if found := _PARAMETER.fullmatch(parameter.strip()):
                    link.add(found[1], found[4] if found[3] is None else found[3])
            key = link.get("rel", target)
            link.add("url", self.url.join(URL(target)))
            links.add(str(key), MultiDictProxy(link))
        return MultiDictProxy(links)

    @Once
    def content_disposition(self) -> ContentDisposition | None:
        """What the Content-Disposition field says (RFC 6266)."""
        value = self.headers.get("Content-Disposition")
        if value is None:
            return None
        from .multipart import content_disposition_filename, parse_content_disposition

        kind, given = parse_content_disposition(value)
        parameters: Mapping[str, str] = MappingProxyType(given)
        return ContentDisposition(kind, MappingProxyType(given), content_disposition_filename(parameters))

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters; application/octet-stream where none is declared."""
        return media_type(self._content_type_field).name

    @property
    def charset(self) -> str | None:
        """The declared charset."""
        return media_type(self._content_type_field).charset

    @property
    def content_length(self) -> int | None:
        """The declared length of the (encoded) body."""
        value = self.headers.get("Content-Length")
        return None if value is None else int(value)

    @property
    def connection(self) -> Connection | None:
        """What it arrives over; None once the body is here, or was let go of."""
        from ._connection import Connection

        return None if self._stream is None or self.closed else Connection(self)

    @property
    def _content_type_field(self) -> str:
        if self._stream is None or "headers" in self.__dict__:  # which may be of the user's making
            return self.headers.get("Content-Type", "")
        value = self._stream.field(b"content-type")
        return "" if value is None else text(value)

    @property
    def _head(self) -> StreamResponse:
        assert self._stream is not None, "this response was made by hand, and has no head"
        return self._stream

    # -- the body

    @property
    def content(self) -> StreamReader:
        """The body by pieces, as it arrives."""
        if self._content is None:
            from .streams import StreamReader

            if self._body is None:
                self._content = StreamReader._of(self)
            else:  # by `read`, and so nothing is left
                self._content = StreamReader(None, DEFAULT_CHUNK_SIZE)
                self._content.total_bytes = len(self._body)
                self._content.feed_eof()
        return self._content

    @content.setter
    def content(self, content: StreamReader) -> None:
        self._content = content

    async def read(self) -> bytes:
        """The whole body; a second call gives the same."""
        if self._body is None:
            if self._released:
                raise ClientConnectionError("Connection closed")
            try:
                if self._content is None:
                    self._body = await self._head.read_once()
                else:
                    self._body = await self._content.read()
                for trace in self._traces:
                    await trace.send_response_chunk_received(self.method, self.url, self._body)
            except AioreqError as error:
                self.close()
                raise translated(error, self._session, reading=True) from error
            except BaseException:
                self.close()
                raise
        elif self._released:
            raise ClientConnectionError("Connection closed")
        return self._body

    def get_encoding(self) -> str:
        """The charset for `text`: the declared one, UTF-8 for JSON, else what the session's `fallback_charset_resolver` says."""
        declared = media_type(self._content_type_field)
        if declared.codec is not None:
            return declared.codec
        if self._body is None:
            raise RuntimeError("Cannot compute fallback encoding of a not yet read body")
        resolve = self._session._resolve_charset if self._resolve_charset is None and self._session is not None else None
        return "utf-8" if resolve is None else resolve(self, self._body)

    async def text(self, encoding: str | None = None, errors: str = "strict") -> str:
        """The whole body as text."""
        body = self._body
        if body is None:
            body = await self.read()
        return body.decode(encoding or self.get_encoding(), errors)

    async def json(
        self,
        *,
        encoding: str | None = None,
        loads: Callable[[str], Any] = json_module.loads,
        content_type: str | None = "application/json",
    ) -> Any:
        """The whole body as JSON; None where there is nothing. Errors: ContentTypeError unless it is declared to be `content_type`."""
        body = self._body
        if body is None:
            body = await self.read()
        if content_type:
            declared = self._content_type_field.lower()
            if not (_JSON.match(declared) if content_type == "application/json" else content_type in declared):
                raise ContentTypeError(
                    self.request_info,
                    self.history,
                    status=self.status,
                    message=f"Attempt to decode JSON with unexpected mimetype: {declared}",
                    headers=self.headers,
                )
        body = body.strip()
        return loads(body.decode(encoding or self.get_encoding())) if body else None

    # -- the end

    def _end_unless_declared(self) -> None:
        """Take a body that only the end of the connection would end (RFC 9112 section 6.3) for none."""
        stream = self._head
        if not (stream.status == 101 or stream.field(b"content-length") or stream.field(b"transfer-encoding")):
            stream.abort()
            self._body = b""

    @property
    def closed(self) -> bool:
        """Whether the body is here as a whole, or was let go of."""
        return self._released or self._stream is None or self._stream.ended

    def raise_for_status(self) -> None:
        """Errors: ClientResponseError for a 4xx or 5xx, which is let go of then."""
        if self.status >= 400:
            if not self._in_context:
                self.release()
            raise ClientResponseError(self.request_info, self.history, status=self.status, message=self.reason or "", headers=self.headers)

    def release(self) -> Any:
        """Let go of what wasn't read: a short rest is drained, a long one closes the connection. May be awaited, and called twice."""
        self._released = True
        if self._stream is not None:
            self._stream.drop()
        return _NOTHING

    def close(self) -> None:
        """Let go of what wasn't read, and close the connection."""
        self._released = True
        if self._stream is not None:
            self._stream.abort()

    async def wait_for_close(self) -> None:
        """Let go of it, as `release` does."""
        self.release()

    async def __aenter__(self) -> Self:
        self._in_context = True
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._in_context = False
        self.release()

    def __repr__(self) -> str:
        reason = (self.reason or "None").encode("ascii", "backslashreplace").decode("ascii")
        return f"<ClientResponse({self.url}) [{self.status} {reason}]>\n{self.headers}\n"


class _Nothing:
    """What can be awaited, and gives nothing."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


_NOTHING = _Nothing()


def history_of(redirects: Any, session: ClientSession) -> tuple[ClientResponse, ...]:
    """The redirects before a response, or before an error."""
    history: tuple[ClientResponse, ...] = ()
    for redirect in redirects:
        response = session._response_class._of(redirect, session)
        response.__dict__["_history"] = history
        history = (*history, response)
    return history


def check_sizes(response: ClientResponse, headers: int | None, field: int | None, line: int | None) -> None:
    """Hold a head to limits of the user's own, in bytes but for the number of fields. Errors: ClientResponseError."""
    stream = response._head
    wrong = None
    if headers is not None and len(stream.fields) > headers:
        wrong = f"Too many headers: {len(stream.fields)}, and max_headers is {headers}"
    elif line is not None and len(stream.status_message) > line:
        wrong = f"Got more than {line} bytes (max_line_size) when reading the status line"
    elif field is not None and (long := [name for name, value in stream.fields if len(name) > field or len(value) > field]):
        wrong = f"Got more than {field} bytes (max_field_size) when reading the field {text(long[0])[:50]!r}"
    if wrong is not None:
        raise ClientResponseError(response.request_info, response.history, status=400, message=wrong, headers=response.headers)
