"""Header fields: what may go out, and how bytes on the wire become text. Knows no message and no connection.

Text is UTF-8 with surrogateescape both ways, so that any bytes a peer sent can be read, compared and sent on unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from multidict import MultiMapping

from .errors import InvalidHeader

__all__ = ["Fields", "HeaderTypes", "checked_name", "checked_value", "field_pairs", "text"]

HeaderTypes: TypeAlias = (
    Mapping[str, str | None] | Mapping[bytes, bytes | None] | Iterable[tuple[str | bytes, str | bytes | None]] | MultiMapping[str]
)

# Received fields: (name, value) pairs in order. The compiled parser makes them when somebody looks at them; its `find` needs none.
Fields: TypeAlias = Sequence[tuple[bytes, bytes]]

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
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise InvalidHeader(f"value of field {name!r}: half of a surrogate pair at position {error.start} can't be sent") from None


def field_pairs(headers: HeaderTypes | None) -> list[tuple[str, str | None]]:
    """Pairs of text from what a user gives, in their order, repeats kept; a value of None stands for "leave this one out"."""
    if headers is None:
        return []
    given: Any = headers
    if isinstance(given, str | bytes):
        raise TypeError(f"headers: give a mapping or (name, value) pairs, not {type(given).__name__}")
    items: Iterable[tuple[object, object]] = given.items() if isinstance(given, Mapping) else given
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
