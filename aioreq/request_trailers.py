"""Fields that follow a chunked body, their values made when all of it is sent (RFC 9110 section 6.5, RFC 9112 section 7.1.2).

Says which may, and makes the `Trailer` field that announces them; how a field is written, request_head.py knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, TypeAlias

from .errors import InvalidHeader, LocalProtocolError
from .headers import checked_name, field_pairs
from .request_head import field_line

if TYPE_CHECKING:
    from .models import Request

__all__ = ["TrailerValue", "Trailers", "announced"]

TrailerValue: TypeAlias = str | bytes | Callable[[], str | bytes | None] | None

# What frames, routes, modifies or proves a request, or says how its content is to be read: whoever reads a trailer has acted on the head
# already (RFC 9110 section 6.5.1). The conditions, If-*, and Content-* but for digests are looked for by name.
_NAMED = """
transfer-encoding trailer te host connection keep-alive proxy-connection upgrade via http2-settings
expect range max-forwards cache-control pragma prefer priority date origin referer early-data idempotency-key
authorization proxy-authorization proxy-authenticate www-authenticate cookie cookie2 set-cookie set-cookie2
accept accept-charset accept-encoding accept-language user-agent from forwarded x-forwarded-for x-forwarded-host x-forwarded-proto
x-http-method-override
"""
_REFUSED = frozenset(_NAMED.split())
_OF_CONTENT = frozenset({"content-digest", "content-md5"})


class Trailers:
    """The trailers of one request, as they were given, names checked."""

    __slots__ = ("_given",)

    def __init__(self, given: Any, sensitive: frozenset[str]) -> None:
        if not isinstance(given, Mapping):
            raise TypeError(f"extensions: 'trailers' takes a mapping of names to values, or to functions, not {type(given).__name__}")
        for name, value in given.items():
            _check(name, value, sensitive)
        self._given: Mapping[str, TrailerValue] = given

    @property
    def names(self) -> str:
        """As a `Trailer` field lists them."""
        return ", ".join(self._given)

    def written(self) -> bytes:
        """The lines; functions are called here. Errors: InvalidHeader, TypeError, and theirs."""
        pairs = field_pairs([(name, value() if callable(value) else value) for name, value in self._given.items()])
        return b"".join([field_line(name, value) for name, value in pairs if value is not None])


def announced(request: Request, framing: bytes) -> bytes:
    """`framing` and the field that announces a request's trailers. Errors: LocalProtocolError where the body isn't chunked."""
    trailers = request.trailers
    if trailers is None:
        return framing
    if not framing.startswith(b"Transfer-Encoding"):
        raise LocalProtocolError(
            f"trailers follow chunked bodies alone (RFC 9112 section 7.1.2), and this one goes out with {framing.decode().strip()!r}: "
            "give it as an iterable or asynchronous iterable of bytes, and no Content-Length"
        )
    return framing if request.field("trailer") is not None else framing + field_line("Trailer", trailers.names)


def _check(name: object, value: object, sensitive: frozenset[str]) -> None:
    if not isinstance(name, str):
        raise TypeError(f"extensions: the name of a trailer is str, not {type(name).__name__}")
    lowered = checked_name(name, "name of a trailer").lower()
    if lowered in _REFUSED or lowered.startswith("if-") or (lowered.startswith("content-") and lowered not in _OF_CONTENT):
        raise InvalidHeader(f"{name}: no trailer, for who reads it has acted on the head by then (RFC 9110 section 6.5.1); send it there")
    if lowered in sensitive:
        raise InvalidHeader(f"{name}: no trailer, for it says who asks; send it in the head")
    if iscoroutinefunction(value):
        raise TypeError(f"extensions: the trailer {name!r} takes a plain function: what an asynchronous one gives would never be awaited")
    if not (value is None or callable(value)):
        field_pairs([(name, value)])  # type: ignore[list-item]  # its type is what's checked
