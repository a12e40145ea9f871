"""ResponseHead: what both kinds of response have, the head and where it came from. Grammar; knows no body and no socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from yarl import URL

from .errors import DecodeError
from .headers import Fields, text
from .parser import find
from .response_headers import ResponseHeaders
from .transfer import ConnectionInfo, Timings, Transfer

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

    from .models import Request
    from .multipart_reader import MultipartReader
    from .pieces import Pieces

__all__ = ["ResponseHead"]


class ResponseHead:
    """What both kinds of response have: the head, and where it came from."""

    __slots__ = (
        "_attempts",
        "_headers",
        "_reason",
        "_transfer",
        "coding",
        "elapsed",
        "fields",
        "http_version",
        "json_loads",
        "redirects",
        "request",
        "status",
    )

    def __init__(
        self,
        request: Request,
        version: str,
        status: int,
        reason: bytes,
        fields: Fields,
        transfer: Transfer | None = None,
    ) -> None:
        self.request = request
        self.http_version = version
        self.status = status
        self.coding: bytes | None = None
        self.redirects: tuple[ResponseHead, ...] = ()
        self.elapsed = 0.0
        self.json_loads: Callable[[bytes], Any] | None = None
        self._reason = reason
        self.fields = fields
        self._headers: ResponseHeaders | None = None
        self._transfer = transfer  # None where somebody made the response by hand

    @property
    def attempts(self) -> tuple[str, ...]:
        """What became of each failed attempt, a line each: of those before this response, and of this one where it was the last."""
        # Not set by `__init__`, which runs for each exchange.
        return getattr(self, "_attempts", ())

    @attempts.setter
    def attempts(self, attempts: tuple[str, ...]) -> None:
        self._attempts = attempts

    @property
    def status_message(self) -> str:
        """The reason phrase as sent; may be empty."""
        return text(self._reason)

    @property
    def headers(self) -> ResponseHeaders:
        """The received fields: case-insensitive, repeats kept."""
        if self._headers is None:
            self._headers = ResponseHeaders(self.fields)
        return self._headers

    @property
    def url(self) -> URL:
        """The URL that answered: after redirects, the last one."""
        return self.request.url

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status < 400

    @property
    def content_type(self) -> str:
        """The media type of the body in lower case, without parameters (RFC 9110 section 8.3); "" where none is declared."""
        from .media_type import parse_media_type

        return parse_media_type(self.field(b"content-type")).name

    @property
    def links(self) -> CIMultiDictProxy[dict[str, Any]]:
        """The Link fields (RFC 8288): `links["next"]["url"]` is the URL of the first link of that relation, resolved against this one's.

        `links.getall("preload")` are all of them; beside "url" and "rel" stand the link's other parameters, as sent. Links of another
        resource (`anchor`), or to what can't be requested, are left out.
        """
        from .links import parse_links

        return parse_links(map(text, self.field_values(b"link")), self.request.parsed)

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that this response set: name to value."""
        pairs = (text(value).partition(";")[0].partition("=") for value in self.field_values(b"set-cookie"))
        return {name.strip(): value.strip() for name, equals, value in pairs if equals}

    @property
    def connection(self) -> ConnectionInfo:
        """What it came over: addresses, TLS, whether the connection had served before."""
        return ConnectionInfo() if self._transfer is None else self._transfer.connection

    @property
    def timings(self) -> Timings:
        """Where the time went, in seconds: waiting for a slot, connecting, sending, waiting, receiving."""
        return Timings() if self._transfer is None else self._transfer.timings

    def field(self, name: bytes) -> bytes | None:
        """The first raw value of a field; `name` in lower case."""
        return find(self.fields, name)

    def field_values(self, name: bytes) -> list[bytes]:
        """All raw values of a field; `name` in lower case."""
        return [value for own, value in self.fields if own.lower() == name]

    def _declared_charset(self) -> str | None:
        from .media_type import declared_charset

        return declared_charset(self.field(b"content-type"))

    def _parts_of(self, pieces: Pieces, max_parts: int) -> MultipartReader:
        from .multipart_reader import MultipartReader

        return MultipartReader.of(self.field(b"content-type"), pieces, self.request, self._body_described(), max_parts)

    def _encoding_of(self, content: bytes) -> str:
        from .media_type import charset_of

        return charset_of(self.field(b"content-type"), content)

    def _text_of(self, content: bytes) -> str:
        return content.decode(self._encoding_of(content), "replace")

    def _json_of(self, content: bytes, loads: Callable[[bytes], Any] | None) -> Any:
        loads = loads or self.json_loads
        if loads is None:
            import json  # not at the start of a program that reads none

            loads = json.loads
        try:
            # RFC 8259 section 8.1: UTF-8; json.loads also detects UTF-16 and UTF-32.
            return loads(content)
        except (ValueError, RecursionError) as error:
            kind = _printable(self.field(b"content-type") or b"no Content-Type")
            message = f"the body of {self._described()} is no JSON ({kind}, {len(content)} bytes): {error}"
            raise DecodeError(message, request=self.request, partial=content) from error

    def _body_described(self) -> str:
        return f"the body of {self._described()}"

    def _described(self) -> str:
        where = f"{self.request.parsed.origin.host}{self.url.raw_path}"
        return f"{self.request.method} {where}: {self.status} {_printable(self._reason)}".rstrip()

    def _status_message(self) -> str:
        side = "client" if self.status < 500 else "server"
        return f"{self._described()} ({side} error)"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status} {_printable(self._reason)}".rstrip() + ">"


def _printable(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
