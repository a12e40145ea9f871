"""Header fields: what may go out, and how received ones are looked up. Knows no message and no connection.

Text is UTF-8 with surrogateescape both ways, so that any bytes a peer sent can be read, compared and sent on unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias, TypeVar, overload

from multidict import CIMultiDict, CIMultiDictProxy, MultiMapping, istr

from .errors import InvalidHeader
from .parser import find

__all__ = ["HeaderTypes", "ResponseHeaders", "checked_name", "checked_value", "field_pairs", "text"]

HeaderTypes: TypeAlias = (
    Mapping[str, str | None] | Mapping[bytes, bytes | None] | Iterable[tuple[str | bytes, str | bytes | None]] | MultiMapping[str]
)
_T = TypeVar("_T")

# RFC 9110 section 5.6.2 (token) and 5.5 (field values: HTAB, SP, visible characters, obs-text).
_NOT_TOKEN = re.compile(r"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def text(value: bytes) -> str:
    """Bytes of a head as text."""
    return value.decode("utf-8", "surrogateescape")


def checked_name(name: str, what: str = "field name") -> str:
    """The same name, or InvalidHeader where it isn't a token (RFC 9110 section 5.1)."""
    if bad := _NOT_TOKEN.search(name):
        raise InvalidHeader(f"{what} {name!r}: {bad[0]!r} at position {bad.start()} is not allowed there")
    if not name:
        raise InvalidHeader(f"an empty {what} can't be sent")
    return name


def checked_value(name: str, value: str) -> bytes:
    """The value as it goes on the wire, or InvalidHeader where it holds a control character (RFC 9110 section 5.5)."""
    if bad := _CONTROL.search(value):
        # The value itself stays out of the message: it may be a secret.
        raise InvalidHeader(f"value of field {name!r}: control character {bad[0]!r} at position {bad.start()} is not allowed there")
    return value.encode("utf-8", "surrogateescape")


def field_pairs(headers: HeaderTypes | None) -> list[tuple[str, str | None]]:
    """Pairs of text from what a user gives, in their order, repeats kept; a value of None stands for "leave this one out"."""
    if headers is None:
        return []
    items: Iterable[tuple[object, object]] = headers.items() if isinstance(headers, Mapping) else headers
    return [(_name(name), _value(name, value)) for name, value in items]


def _name(name: object) -> str:
    if isinstance(name, str):
        return name
    if isinstance(name, bytes):
        return text(name)
    raise TypeError(f"field name {name!r}: give str or bytes, not {type(name).__name__}")


def _value(name: object, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return text(value)
    raise TypeError(f"value of field {name!r}: give str, bytes or None, not {type(value).__name__}")


class ResponseHeaders(MultiMapping[str]):
    """Received header fields: read-only, case-insensitive, repeats kept, in order of arrival.

    Behaves as `multidict.CIMultiDictProxy`; a single look-up scans the raw pairs, anything else makes the mapping once.
    `raw` is the list of (name, value) pairs of bytes, as received.
    """

    __slots__ = ("_mapping", "raw")

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self.raw = raw
        self._mapping: CIMultiDictProxy[str] | None = None

    @property
    def mapping(self) -> CIMultiDictProxy[str]:
        """All the fields as a `multidict.CIMultiDictProxy`."""
        if self._mapping is None:
            self._mapping = CIMultiDictProxy(CIMultiDict([(istr(text(name)), text(value)) for name, value in self.raw]))
        return self._mapping

    def _find(self, key: object) -> str | None:
        if not isinstance(key, str):
            return None
        value = find(self.raw, key.lower().encode("utf-8", "surrogateescape"))
        return None if value is None else text(value)

    def __getitem__(self, key: str) -> str:
        value = self._find(key)
        if value is None:
            raise KeyError(key)
        return value

    def __contains__(self, key: object) -> bool:
        return self._find(key) is not None

    @overload
    def get(self, key: str) -> str | None: ...
    @overload
    def get(self, key: str, default: str | _T) -> str | _T: ...
    def get(self, key: str, default: str | _T | None = None) -> str | _T | None:
        """The first value of that name, or the default."""
        value = self._find(key)
        return default if value is None else value

    @overload
    def getone(self, key: str) -> str: ...
    @overload
    def getone(self, key: str, default: _T) -> str | _T: ...
    def getone(self, key: str, *args: _T, **kwargs: _T) -> str | _T:
        """The first value of that name; KeyError without one, unless a default is given."""
        return self.mapping.getone(key, *args, **kwargs)

    @overload
    def getall(self, key: str) -> list[str]: ...
    @overload
    def getall(self, key: str, default: _T) -> list[str] | _T: ...
    def getall(self, key: str, *args: _T, **kwargs: _T) -> list[str] | _T:
        """All values of that name, in order; KeyError without one, unless a default is given."""
        return self.mapping.getall(key, *args, **kwargs)

    def __iter__(self) -> Iterator[str]:
        return iter(self.mapping)

    def __len__(self) -> int:
        return len(self.raw)

    def __eq__(self, other: object) -> bool:
        return self.mapping == (other.mapping if isinstance(other, ResponseHeaders) else other)

    __hash__ = None  # type: ignore[assignment]

    def copy(self) -> CIMultiDict[str]:
        """A changeable copy."""
        return self.mapping.copy()

    def __repr__(self) -> str:
        return f"<ResponseHeaders({', '.join(f'{name!r}: {value!r}' for name, value in self.mapping.items())})>"
