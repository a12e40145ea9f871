"""aiohttp's FormData: fields and files -> a payload, urlencoded or multipart. Knows no request."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from multidict import CIMultiDict, MultiDict, MultiDictProxy

from . import hdrs
from .helpers import guess_filename
from .multipart import MultipartWriter
from .payload import BytesPayload, Payload, get_payload

__all__ = ["FormData"]


class FormData:
    """A form for `data=`: with files (or `default_to_multipart`) multipart/form-data, else application/x-www-form-urlencoded.

    `quote_fields=False` leaves names and file names as they are; `charset` is that of text. It is sent once.
    """

    def __init__(
        self, fields: Iterable[Any] = (), quote_fields: bool = True, charset: str | None = None, *, default_to_multipart: bool = False
    ) -> None:
        self._writer = MultipartWriter("form-data")
        self._fields: list[tuple[dict[str, str], CIMultiDict[str], Any]] = []
        self._is_multipart = default_to_multipart
        self._quote_fields = quote_fields
        self._charset = charset
        given: Any = fields
        if isinstance(given, dict):
            given = list(given.items())
        elif not isinstance(given, list | tuple):
            given = (given,)
        self.add_fields(*given)

    @property
    def is_multipart(self) -> bool:
        """Whether it goes out as multipart/form-data."""
        return self._is_multipart

    def add_field(
        self,
        name: str,
        value: Any,
        *,
        content_type: str | None = None,
        filename: str | None = None,
        content_transfer_encoding: str | None = None,
    ) -> None:
        """One field more: text, bytes or a file, or whatever a payload is registered for. Errors: TypeError, ValueError."""
        for what, text in (
            ("filename", filename),
            ("content_type", content_type),
            ("content_transfer_encoding", content_transfer_encoding),
        ):
            given: Any = text
            if given is not None and not isinstance(given, str):
                raise TypeError(f"{what} must be an instance of str. Got: {given}")
            _refuse_controls(what, given)
        _refuse_controls("name", name)
        is_file = isinstance(value, io.IOBase)
        if isinstance(value, bytes | bytearray | memoryview) and filename is None and content_transfer_encoding is None:
            warnings.warn(
                "aiohttp 4 will send bytes without a file name: give filename= for a file field", DeprecationWarning, stacklevel=2
            )
            filename = name
        if is_file and filename is None:
            filename = guess_filename(value, name)
        if content_transfer_encoding is not None:
            warnings.warn("content_transfer_encoding is deprecated in aiohttp: give a BytesPayload", DeprecationWarning, stacklevel=2)
        disposition = {"name": name}
        if filename is not None:
            disposition["filename"] = filename
        headers: CIMultiDict[str] = CIMultiDict()
        if content_type is not None:
            headers[hdrs.CONTENT_TYPE] = content_type
        if is_file or any(given is not None for given in (filename, content_type, content_transfer_encoding)):
            self._is_multipart = True
        self._fields.append((disposition, headers, value))

    def add_fields(self, *fields: Any) -> None:
        """Several: (name, value) pairs, multidicts, or files, which go under their own names. Errors: TypeError."""
        for field in fields:
            if isinstance(field, io.IOBase):
                self.add_field(guess_filename(field, "unknown") or "unknown", field)
            elif isinstance(field, list | tuple) and len(field) == 2:
                self.add_field(*field)
            elif not isinstance(field, MultiDict | MultiDictProxy):
                raise TypeError(
                    "Only io.IOBase, multidict and (name, file) pairs allowed, use .add_field() for passing more complex parameters, "
                    f"got {field!r}"
                )
        for field in fields:  # behind the others, where aiohttp puts them
            if isinstance(field, MultiDict | MultiDictProxy):
                self.add_fields(*field.items())

    def __call__(self) -> Payload:
        """The form as a payload."""
        return self._multipart() if self._is_multipart else self._urlencoded()

    def _urlencoded(self) -> Payload:
        charset = self._charset or "utf-8"
        content_type = "application/x-www-form-urlencoded" + ("" if charset == "utf-8" else f"; charset={charset}")
        pairs = [(disposition["name"], value) for disposition, _, value in self._fields]
        return BytesPayload(urlencode(pairs, doseq=True, encoding=charset).encode(), content_type=content_type)

    def _multipart(self) -> MultipartWriter:
        for disposition, headers, value in self._fields:
            own_type = {hdrs.CONTENT_TYPE: headers[hdrs.CONTENT_TYPE]} if hdrs.CONTENT_TYPE in headers else None
            try:
                if own_type is None:
                    part = get_payload(value, headers=headers, encoding=self._charset)
                else:
                    part = get_payload(value, content_type=headers[hdrs.CONTENT_TYPE], headers=headers, encoding=self._charset)
            except Exception as error:
                raise TypeError(f"Can not serialize value type: {type(value)!r} of the form field {disposition['name']!r}") from error
            part.set_content_disposition("form-data", self._quote_fields, **disposition)
            part.headers.popall(hdrs.CONTENT_LENGTH, None)
            self._writer.append_payload(part)
        self._fields.clear()
        return self._writer


def _refuse_controls(what: str, text: Any) -> None:
    if isinstance(text, str) and any(control in text for control in "\r\n\0"):
        raise ValueError(f"form field: its {what} holds a newline or null byte, which no header can hold")
