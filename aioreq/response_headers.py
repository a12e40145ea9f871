"""Received header fields. Knows no message: only the raw pairs, and how they are looked up."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import TypeVar, overload

from multidict import CIMultiDict, CIMultiDictProxy, MultiMapping, istr

from .headers import Fields, text
from .parser import find

__all__ = ["ResponseHeaders"]

_T = TypeVar("_T")


class ResponseHeaders(MultiMapping[str]):
    """Received header fields: read-only, case-insensitive, repeats kept, in order of arrival.

    Behaves as `multidict.CIMultiDictProxy`; a single look-up scans the raw pairs, anything else makes the mapping once.
    `raw` is the list of (name, value) pairs of bytes, as received.
    """

    __slots__ = ("_mapping", "raw")

    def __init__(self, raw: Fields) -> None:
        self.raw = raw
        self._mapping: CIMultiDictProxy[str] | None = None

    @property
    def mapping(self) -> CIMultiDictProxy[str]:
        """All the fields as a `multidict.CIMultiDictProxy`."""
        if self._mapping is None:
            self._mapping = CIMultiDictProxy(CIMultiDict([(istr(text(name)), text(value)) for name, value in self.raw]))
        return self._mapping

    def _find(self, key: str) -> str | None:
        if not isinstance(key, str):
            raise TypeError(f"field names are str, not {type(key).__name__}")
        try:
            value = find(self.raw, key.lower().encode("utf-8", "surrogateescape"))
        except UnicodeEncodeError:  # half of a surrogate pair: no bytes read as that
            return None
        return None if value is None else text(value)

    def __getitem__(self, key: str) -> str:
        value = self._find(key)
        if value is None:
            raise KeyError(key)
        return value

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._find(key) is not None

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

    # Not Mapping's own views, which would look up each repeat by its name and so give the first value again.

    def keys(self) -> KeysView[str]:
        """The names as received, one for each field."""
        return self.mapping.keys()

    def values(self) -> ValuesView[str]:
        """The values, in the order of `keys()`."""
        return self.mapping.values()

    def items(self) -> ItemsView[str, str]:
        """(name, value) for each field."""
        return self.mapping.items()

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
