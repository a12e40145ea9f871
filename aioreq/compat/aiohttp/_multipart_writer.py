"""Multipart bodies to send, under aiohttp's names: what the parts are; the core writes them."""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeAlias
from urllib.parse import urlencode

from multidict import CIMultiDict

from ... import multipart as core
from ...compression import compressed
from ...request_body import StreamedBody
from ._multipart_reader import BodyPartReader
from ._registry import LookupError, Order, get_payload, payload_type
from ._writing import pieces_of
from .abc import AbstractStreamWriter
from .hdrs import CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TRANSFER_ENCODING
from .helpers import DEFAULT_CHUNK_SIZE
from .payload import CORE_WRITES, CorePayload, JsonPayload, Payload, StringPayload, content_of

__all__ = ["BodyPartReaderPayload", "MultipartWriter"]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NOT_IN_QUOTES = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

_Part: TypeAlias = tuple[Payload, str, str]


class MultipartWriter(CorePayload):
    """A multipart body to send: `append` its parts, then give it as `data=`."""

    _autoclose = True

    def __init__(self, subtype: str = "mixed", boundary: str | None = None) -> None:
        self._chosen = boundary is not None
        boundary = core.new_boundary() if boundary is None else boundary
        try:
            self._boundary = boundary.encode("ascii")
        except UnicodeEncodeError:
            raise ValueError("boundary should contain ASCII only chars") from None
        super().__init__(None, content_type=f"multipart/{subtype}; boundary={self._boundary_value}")
        self._parts: list[_Part] = []
        self._is_form_data = subtype == "form-data"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def __iter__(self) -> Iterator[_Part]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __bool__(self) -> bool:
        return True

    @property
    def boundary(self) -> str:
        """What parts them."""
        return self._boundary.decode("ascii")

    @property
    def _boundary_value(self) -> str:
        """The boundary as a parameter is written (RFC 9110 section 5.6.6)."""
        if _TOKEN.fullmatch(self.boundary):
            return self.boundary
        if _NOT_IN_QUOTES.search(self.boundary):
            raise ValueError("boundary value contains invalid characters")
        escaped = self.boundary.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'

    @property
    def consumed(self) -> bool:
        """Whether one of the parts can't be sent again."""
        return self._consumed or any(part.consumed for part, _, _ in self._parts)

    def append(self, obj: Any, headers: Mapping[str, str] | None = None) -> Payload:
        """One part more, of whatever a payload is registered for; gives its payload, whose `headers` can be changed. Errors: TypeError."""
        headers = CIMultiDict() if headers is None else headers
        if isinstance(obj, Payload):
            obj.headers.update(headers)
            return self.append_payload(obj)
        try:
            payload = get_payload(obj, headers=headers)
        except LookupError:
            raise TypeError(f"Cannot create payload from {obj!r}") from None
        return self.append_payload(payload)

    def append_payload(self, payload: Payload) -> Payload:
        """One part more; its Content-Encoding and Content-Transfer-Encoding are applied. Errors: RuntimeError for unknown ones."""
        encoding = te_encoding = ""
        if self._is_form_data:
            # RFC 7578 sections 4.7 and 4.8.
            for name in (CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TRANSFER_ENCODING):
                assert name not in payload.headers, f"a part of a form has no {name}"
            if CONTENT_DISPOSITION not in payload.headers:
                payload.set_content_disposition("form-data", name=f"section-{len(self._parts)}")
        else:
            encoding = payload.headers.get(CONTENT_ENCODING, "").lower()
            te_encoding = payload.headers.get(CONTENT_TRANSFER_ENCODING, "").lower()
            if encoding not in ("", "deflate", "gzip", "identity"):
                raise RuntimeError(f"unknown content encoding: {encoding}")
            if te_encoding not in ("", "base64", "quoted-printable", "binary"):
                raise RuntimeError(f"unknown content transfer encoding: {te_encoding}")
            encoding = "" if encoding == "identity" else encoding
            te_encoding = "" if te_encoding == "binary" else te_encoding
            if payload.size is not None and not encoding and not te_encoding:
                payload.headers[CONTENT_LENGTH] = str(payload.size)
        self._parts.append((payload, encoding, te_encoding))
        return payload

    def append_json(self, obj: Any, headers: Mapping[str, str] | None = None) -> Payload:
        """One part more: a value as JSON."""
        return self.append_payload(JsonPayload(obj, headers=CIMultiDict(headers or {})))

    def append_form(self, obj: Sequence[tuple[str, str]] | Mapping[str, str], headers: Mapping[str, str] | None = None) -> Payload:
        """One part more: an urlencoded form."""
        given: Any = obj
        assert isinstance(given, Sequence | Mapping)
        data = urlencode(list(given.items()) if isinstance(given, Mapping) else given, doseq=True)
        return self.append_payload(
            StringPayload(data, headers=CIMultiDict(headers or {}), content_type="application/x-www-form-urlencoded")
        )

    @property
    def size(self) -> int | None:
        """Bytes that will be sent, None where nobody knows."""
        total = 0
        for part, encoding, te_encoding in self._parts:
            size = part.size
            if size is None or encoding or te_encoding:
                return None
            total += len(self._boundary) + 6 + len(part._binary_headers) + size
        return total + len(self._boundary) + 6

    def _content(self) -> bytes | StreamedBody:
        parts = []
        for at, (part, encoding, te_encoding) in enumerate(self._parts):
            body = content_of(part)
            for coding in (encoding, te_encoding):
                if coding:
                    body = compressed(body, _CODERS[coding])
            parts.append(core.Part(str(at), part._binary_headers, body))
        return core.write(parts, self.boundary, self._chosen)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The parts as text."""
        return "".join(f"--{self.boundary}\r\n{part._binary_headers.decode(encoding, errors)}{part.decode()}" for part, _, _ in self._parts)

    async def write(self, writer: AbstractStreamWriter, close_boundary: bool = True) -> None:
        """Write all parts; the delimiter behind the last one if `close_boundary`."""
        end = b"" if close_boundary else b"--" + self._boundary + b"--\r\n"
        held = b""
        async for chunk in pieces_of(self._content()):
            held += chunk
            if ready := held[: len(held) - len(end)]:
                await writer.write(ready)
                held = held[len(ready) :]

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write all parts."""
        await self.write(writer)

    async def close(self) -> None:
        """Close the files among the parts."""
        if not self._consumed:
            self._consumed = True
            for part, _, _ in self._parts:
                if not part.autoclose and not part.consumed:
                    await part.close()


CORE_WRITES.add((MultipartWriter.write, MultipartWriter.write_with_length))


@payload_type(BodyPartReader, order=Order.try_first)
class BodyPartReaderPayload(Payload):
    """A part that was received, sent on while it is read."""

    def __init__(self, value: BodyPartReader, *args: Any, **kwargs: Any) -> None:
        super().__init__(value, *args, **kwargs)
        params = {key: told for key, told in (("name", value.name), ("filename", value.filename)) if told is not None}
        if params:
            self.set_content_disposition("attachment", True, **params)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Errors: TypeError; it is still to come."""
        raise TypeError("Unable to decode.")

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Errors: TypeError; it may be long."""
        raise TypeError("Unable to read body part as bytes. Use write() to consume.")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Read it, decoded, and write it."""
        part = self._value
        self._consumed = True
        if CONTENT_ENCODING in part.headers:  # which ends where the part does
            await writer.write(await part.read(decode=True))
            return
        while chunk := await part.read_chunk(size=DEFAULT_CHUNK_SIZE):
            await writer.write(part.decode(chunk))


class _Base64:
    """Groups of three bytes as four letters; what is left over waits for more."""

    def __init__(self) -> None:
        self._left = b""

    def compress(self, data: Any) -> bytes:
        data = self._left + data
        whole = len(data) - len(data) % 3
        self._left = bytes(data[whole:])
        return base64.b64encode(data[:whole])

    def flush(self) -> bytes:
        return base64.b64encode(self._left)


class _QuotedPrintable:
    """Lines, which a space may not end: whole ones, for what is one is known at its end only."""

    def __init__(self) -> None:
        self._left = b""

    def compress(self, data: Any) -> bytes:
        data = self._left + data
        whole = data.rfind(b"\n") + 1
        self._left = bytes(data[whole:])
        return binascii.b2a_qp(data[:whole])

    def flush(self) -> bytes:
        return binascii.b2a_qp(self._left)


# Deflate without zlib's frame, as aiohttp writes and reads it in parts.
_CODERS: dict[str, Callable[[], Any]] = {
    "gzip": partial(zlib.compressobj, -1, zlib.DEFLATED, 31),
    "deflate": partial(zlib.compressobj, -1, zlib.DEFLATED, -15),
    "base64": _Base64,
    "quoted-printable": _QuotedPrintable,
}
