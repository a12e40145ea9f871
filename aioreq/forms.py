"""Forms: the fields and files that users give -> a body and its Content-Type, as browsers make them. Knows no request and no head."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import dataclass
from typing import IO, Any, TypeAlias
from urllib.parse import quote_plus

from .config import UNSET
from .errors import InvalidHeader
from .headers import HeaderTypes, field_pairs
from .request_body import StreamedBody, encode_content

__all__ = ["FieldTypes", "FilesTypes", "FormData", "FormTypes", "encode_form", "newlines"]

FieldTypes: TypeAlias = (
    str | int | float | bytes | bytearray | memoryview | os.PathLike[str] | IO[bytes] | AsyncIterable[bytes] | Iterable[bytes] | None
)
# Of values nothing more is said: a type checker makes `object` of a literal that mixes them, and a wrong one is an error with its name.
FilesTypes: TypeAlias = Mapping[str, Any] | Iterable[tuple[str, Any]]

URLENCODED = "application/x-www-form-urlencoded"
_NEWLINE = re.compile(r"\r\n|\r|\n")
_OCTETS = "application/octet-stream"
_SCALARS = (str, int, float, bytes, bytearray, memoryview)


@dataclass(slots=True)
class _Entry:
    """A field as it was added. Plain ones can go out urlencoded; of the others `fields` are the part's, behind Content-Disposition."""

    name: str
    value: str | bytes | StreamedBody | os.PathLike[str]
    filename: str | None
    fields: list[tuple[str, str]]

    @property
    def plain(self) -> bool:
        return self.filename is None and not self.fields and isinstance(self.value, str | bytes)

    def content(self) -> bytes | StreamedBody:
        """What stands in its part."""
        value = self.value
        if isinstance(value, str):
            return _encoded(self.name, newlines(value) if self.plain else value)
        if isinstance(value, bytes | StreamedBody):
            return value
        from .multipart import path_body

        return path_body(os.fspath(value))


class FormData:
    """A form for `data=`: fields and files in order, a name as often as you like.

    Without files it goes out as `application/x-www-form-urlencoded`, with one (or with `multipart=True`) as `multipart/form-data`, both as
    browsers send it: newlines in text become CRLF. `fields` is a mapping or (name, value) pairs: a list of values repeats the name, a
    value of None drops the field. It may be sent several times, as long as none of its fields is a generator.

    >>> form = FormData({"name": "Ada", "tag": ["x", "y"]})
    >>> form.add_field("photo", b"...", filename="ada.png")
    >>> form
    <FormData multipart: name, tag, tag, photo>
    """

    __slots__ = ("_asked", "_entries")

    def __init__(self, fields: FormTypes | None = None, *, multipart: bool = False) -> None:
        self._entries: list[_Entry] = []
        self._asked = multipart
        if isinstance(fields, FormData):
            self._entries += fields._entries
            self._asked = multipart or fields._asked
        elif fields is not None:
            self._add_fields(fields)

    @property
    def multipart(self) -> bool:
        """Whether it goes out as multipart/form-data."""
        return self._asked or not all(entry.plain for entry in self._entries)

    def add_field(
        self,
        name: str,
        value: FieldTypes,
        *,
        filename: str | None = None,
        content_type: str | None = None,
        headers: HeaderTypes | None = None,
    ) -> None:
        """One field more, behind the others; None adds none.

        `value`: text, a number, bytes; or what makes it a file: a binary file, a `pathlib.Path`, an iterable or asynchronous iterable of
        bytes, or anything with a `filename`. Files have their own name without one, or the field's, and the type that belongs to it.
        A str is text, never a path. Bytes go out as they are. `headers` are the part's own. Errors: TypeError, ValueError, InvalidHeader.
        """
        self._add(name, value, UNSET if filename is None else filename, content_type, headers)

    def add_files(self, files: FilesTypes) -> None:
        """What `files=` takes: see `RequestOptions`. Errors: as `add_field`."""
        for name, given in _pairs(files, "files"):
            if not isinstance(given, tuple):
                self._add(name, given, UNSET, None, None, a_file=True)
            elif 2 <= len(given) <= 4:
                filename, value, content_type, headers = (*given, None, None)[:4]
                self._add(name, value, filename, content_type, headers)
            else:
                raise TypeError(
                    f"files: {name!r} holds a tuple of {len(given)}; give (filename, content), (filename, content, content_type) or "
                    "(filename, content, content_type, headers)"
                )

    def _add_fields(self, fields: Any) -> None:
        if isinstance(fields, bytes | bytearray | memoryview | str | AsyncIterable) or hasattr(fields, "read"):
            raise TypeError(f"data= takes form fields (a mapping or pairs); send {type(fields).__name__} as content=")
        for name, value in _pairs(fields, "data"):
            if isinstance(value, (*_SCALARS, Mapping, os.PathLike)) or hasattr(value, "read") or not isinstance(value, Iterable):
                self._add(name, value, UNSET, None, None)
            else:
                for one in value:
                    if one is not None and not isinstance(one, _SCALARS):
                        raise _wrong(name, one)
                    self._add(name, one, UNSET, None, None)

    def _add(
        self,
        name: Any,
        value: Any,
        filename: Any,
        content_type: str | None,
        headers: HeaderTypes | None,
        a_file: bool = False,
    ) -> None:
        if isinstance(name, int | float):
            name = _text(name)
        elif not isinstance(name, str):
            raise TypeError(f"form field {name!r}: its name is {type(name).__name__}, not str")
        if value is None:
            if filename is not UNSET and filename is not None:
                raise TypeError(f"form field {name!r}: the file {filename!r} has no content: give b'' for an empty one")
            return
        if isinstance(value, int | float):
            value = _text(value)
        elif isinstance(value, bytearray | memoryview):
            value = bytes(value)
        plain = isinstance(value, str | bytes)
        if filename is UNSET:
            filename = _own_name(value, name) if a_file or not plain else None
        elif filename is not None and not isinstance(filename, str):
            raise TypeError(f"form field {name!r}: its filename is {type(filename).__name__}, not str")
        if not plain and not isinstance(value, os.PathLike):
            value = _streamed(name, value)
        bare = filename is None and content_type is None and headers is None
        self._entries.append(_Entry(name, value, filename, [] if bare else _part_fields(name, filename, content_type, headers)))

    def _encode(self, exact: bool, own_type: str | None) -> tuple[bytes | StreamedBody, str]:
        own_multipart = own_type is not None and own_type.lower().lstrip().startswith("multipart/")
        if not (self.multipart or own_multipart):
            return self._urlencoded(exact), URLENCODED if own_type is None else own_type
        from .multipart import Part, boundary_of, completed, new_boundary, part_head, write

        if own_type is not None and not own_multipart:
            raise InvalidHeader(f"Content-Type: {own_type!r}: a form with files is multipart/form-data; leave the field to us")
        chosen = None if own_type is None else boundary_of(own_type)
        boundary = chosen or new_boundary()
        parts = []
        for entry in self._entries:
            try:
                head = part_head(entry.name, entry.filename, entry.fields)
            except InvalidHeader as error:
                raise InvalidHeader(f"form field {entry.name!r}: {error}") from None
            parts.append(Part(entry.name, head, entry.content()))
        body = write(parts, boundary, chosen is not None)
        return body, own_type if own_type is not None and chosen else completed(own_type or "multipart/form-data", boundary)

    def _urlencoded(self, exact: bool) -> bytes:
        return "&".join(
            [f"{_quoted(entry.name, entry.name, exact)}={_quoted(entry.name, entry.value, exact)}" for entry in self._entries]
        ).encode("ascii")

    def __repr__(self) -> str:
        kind = "multipart" if self.multipart else "urlencoded"
        return f"<FormData {kind}: {', '.join(entry.name for entry in self._entries) or 'empty'}>"


FormTypes: TypeAlias = FormData | Mapping[str, Any] | Iterable[tuple[str, Any]]


def encode_form(data: FormTypes | None, files: FilesTypes | None = None, own_type: str | None = None) -> tuple[bytes | StreamedBody, str]:
    """The body and its Content-Type; `own_type` is the user's. The fields of `data` come before the files.

    A plain mapping without files goes out as `URLSearchParams` do in a browser: newlines stay what they are.
    """
    form = FormData(data)
    if files is not None:
        form.add_files(files)
    return form._encode(not isinstance(data, FormData), own_type)


def newlines(text: str) -> str:
    """The text with each newline as CRLF, as a form's text is sent."""
    return _NEWLINE.sub("\r\n", text) if "\n" in text or "\r" in text else text


def _pairs(given: Any, what: str) -> Iterable[tuple[Any, Any]]:
    """The items of a mapping, or pairs."""
    if isinstance(given, Mapping):
        return given.items()
    if isinstance(given, str | bytes | bytearray | memoryview) or not isinstance(given, Iterable) or hasattr(given, "read"):
        raise TypeError(f"{what}= takes a mapping or (name, value) pairs, not {type(given).__name__}")
    pairs = list(given)
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(f"{what}= takes a mapping or (name, value) pairs; one of these is {type(pair).__name__}, no pair")
    return pairs


def _text(value: float) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _wrong(name: str, value: object) -> TypeError:
    return TypeError(f"data: {name!r} holds {type(value).__name__}; give str, bytes, a number, a bool, None or a binary file")


def _streamed(name: str, value: Any) -> StreamedBody:
    if isinstance(value, FormData):
        raise _nested(name)
    if isinstance(value, Mapping) or not (isinstance(value, AsyncIterable | Iterable) or hasattr(value, "read")):
        raise _wrong(name, value)
    if isinstance(value, list | tuple):
        for item in value:
            if not isinstance(item, bytes | bytearray | memoryview):
                kind = type(item).__name__
                raise TypeError(f"form field {name!r}: its list holds {kind}, not bytes; several files of a name are several pairs")
    body = encode_content(value, f"form field {name!r}")
    assert isinstance(body, StreamedBody)
    return body


def _own_name(value: Any, otherwise: str) -> str:
    """The name that a file has of its own, without its folder."""
    name = os.fspath(value) if isinstance(value, os.PathLike) else getattr(value, "name", None)
    if isinstance(name, bytes):
        name = os.fsdecode(name)
    return (os.path.basename(name) if isinstance(name, str) else "") or otherwise


def _part_fields(name: str, filename: str | None, content_type: str | None, headers: HeaderTypes | None) -> list[tuple[str, str]]:
    """The fields of a part behind Content-Disposition; where there is a file, the first is its type."""
    given: Any = content_type
    if given is not None and not isinstance(given, str):
        raise TypeError(f"form field {name!r}: its content_type is {type(given).__name__}, not str")
    try:
        fields = [(field, value) for field, value in field_pairs(headers) if value is not None]
    except TypeError as error:
        raise TypeError(f"form field {name!r}: {error}") from None
    own = {field.lower(): value for field, value in fields}
    if "content-disposition" in own:
        raise ValueError(f"form field {name!r}: its Content-Disposition is made of its name and filename")
    if "content-type" in own:
        if content_type is not None:
            raise ValueError(f"form field {name!r}: give content_type= or a Content-Type in its headers, not both")
        content_type = own["content-type"]
    else:
        if not content_type and filename is not None:
            content_type = _guessed(filename)
        if content_type is not None:
            fields.insert(0, ("Content-Type", content_type))
    if content_type is not None and content_type.lower().lstrip().startswith("multipart/"):
        raise _nested(name)
    return fields


def _nested(name: str) -> ValueError:
    return ValueError(
        f"form field {name!r}: a part can't be a multipart body of its own (given up by RFC 7578 section 4.3): add its fields to the form, "
        "and several files under one name by repeating the name"
    )


def _guessed(filename: str) -> str:
    import mimetypes  # reads tables of the system's: only for who sends files

    kind, encoding = mimetypes.guess_type("f" + os.path.splitext(filename)[1])
    if encoding is not None:  # of what is in it; .gz alone says gzip
        return "application/gzip" if encoding == "gzip" else _OCTETS
    return kind or _OCTETS


def _encoded(name: str, value: str) -> bytes:
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError(f"data: {name!r} holds half of a surrogate pair, which UTF-8 can't encode") from None


def _quoted(name: str, value: Any, exact: bool) -> str:
    """As the URL standard's application/x-www-form-urlencoded serializer writes it, which leaves but `*-._` and a space's `+`."""
    if isinstance(value, str):
        value = _encoded(name, value if exact else newlines(value))
    return quote_plus(value, safe="*").replace("~", "%7E")
