"""HTTP versions as aiohttp's code writes them."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["HttpVersion", "HttpVersion10", "HttpVersion11"]


class HttpVersion(NamedTuple):
    """A version of HTTP; they compare by their numbers."""

    major: int
    minor: int


HttpVersion10: Final = HttpVersion(1, 0)
HttpVersion11: Final = HttpVersion(1, 1)
