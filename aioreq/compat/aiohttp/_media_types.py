"""Content-Type as aiohttp tells of it: the type, the charset as it was declared, and the codec for the text. Knows no response."""

from __future__ import annotations

import codecs
from functools import lru_cache

from .helpers import parse_mimetype

__all__ = ["MediaType", "media_type"]


class MediaType:
    """What a Content-Type field says; `codec` is the charset of its text, None where nobody says."""

    __slots__ = ("charset", "codec", "name")

    def __init__(self, value: str) -> None:
        parsed = parse_mimetype(value)
        name = value.partition(";")[0].strip().lower()
        self.name = name if name.count("/") == 1 else "application/octet-stream"
        self.charset = parsed.parameters.get("charset")
        self.codec: str | None = None
        if self.charset:
            try:
                self.codec = codecs.lookup(self.charset).name
            except (LookupError, ValueError):
                pass
        if self.codec is None and parsed.type == "application" and parsed.subtype in ("json", "rdap"):
            self.codec = "utf-8"


media_type = lru_cache(maxsize=256)(MediaType)
