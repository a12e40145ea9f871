"""Cookies as the standard library's `Morsel`s, which is how aiohttp's code sees them. Knows no jar and no response."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http.cookies import CookieError, Morsel, SimpleCookie
from typing import Any

__all__ = ["morsel", "parse_set_cookie_headers", "quoted", "unquoted"]

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NAME = re.compile(r"[!#-+\--:<-~]+")  # what is visible, but for a quote, a comma, a semicolon; "=" ends it before
_MOST_OCTETS = 4096  # RFC 6265bis section 5.6
_CODEC = SimpleCookie()
_KNOWN = set(Morsel())
_FLAGS = {"secure", "httponly", "partitioned"}


def morsel(name: str, value: str, coded: str) -> Morsel[str]:
    """A cookie of this name; `coded` is the value as it travels. Errors: CookieError, for control characters on some Pythons."""
    made: Any = Morsel()
    # Of `set`, which refuses names that servers use.
    made.__setstate__({"key": name, "value": value, "coded_value": coded})
    return made  # type: ignore[no-any-return]


def quoted(value: str) -> str:
    """The value as `SimpleCookie` would send it: in quotes where a character of it asks for them."""
    return _CODEC.value_encode(value)[1]


def unquoted(coded: str) -> str:
    """What a quoted value says; any other as it is."""
    return _CODEC.value_decode(coded)[0]


def parse_set_cookie_headers(headers: Iterable[str]) -> list[tuple[str, Morsel[str]]]:
    """The cookies of Set-Cookie fields, one of each at most; what makes no cookie is left out."""
    cookies = []
    for header in headers:
        pair, *attributes = header.split(";")
        name, equals, coded = (text.strip(" \t") for text in pair.partition("="))
        if not equals or not _NAME.fullmatch(name) or _CONTROL.search(header):
            continue
        if len((name + coded).encode("utf-8", "surrogateescape")) > _MOST_OCTETS:
            continue
        try:
            cookie: Any = morsel(name, unquoted(coded), coded)
        except CookieError:
            continue
        for attribute in attributes:
            key, _, value = (text.strip(" \t") for text in attribute.partition("="))
            if (key := key.lower()) in _KNOWN:
                dict.__setitem__(cookie, key, True if key in _FLAGS else unquoted(value))
        cookies.append((name, cookie))
    return cookies
