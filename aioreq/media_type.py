"""What a body is: its media type, and the charset of its text (RFC 9110 section 8.3). Grammar only; knows no message."""

from __future__ import annotations

import codecs
import re
from encodings import normalize_encoding
from encodings.aliases import aliases
from typing import NamedTuple

from .headers import text

__all__ = ["CHARSETS", "MediaType", "charset_of", "declared_charset", "parse_media_type"]

# The charsets that Python knows by a name that servers may send. Looking up any other would cost memory for good: Python remembers
# each name that it failed to find. Its codecs that are no charset (hex, zlib, idna ...) are left out, and so is UTF-7, as in browsers:
# it makes scripts of harmless ASCII, and its decoder keeps all that it can't finish.
CHARSETS = {
    name
    for pair in aliases.items()
    if not pair[1].endswith("_codec") and pair[1] not in ("mbcs", "oem", "rot_13", "utf_7")
    for name in pair
}
CHARSETS |= {"cp720", "cp737", "cp874", "koi8_u", "utf_8_sig"}

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TYPE = re.compile(rf"{_TOKEN.pattern}/{_TOKEN.pattern}")
# One parameter, well-formed or not: it always matches, and up to the next semicolon that is in no quoted string.
_PARAMETER = re.compile(r'([^;=]*)(?:=[ \t]*(?:"((?:[^"\\]|\\.)*)"?[^;]*|([^;]*)))?;?', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class MediaType(NamedTuple):
    """`name` is type/subtype in lower case, "" where the field holds none; `params` by names in lower case."""

    name: str
    params: dict[str, str]


def parse_media_type(field: bytes | None) -> MediaType:
    """What a Content-Type field says. What is malformed in it is passed over; of a repeated parameter the first counts.

    >>> parse_media_type(b'Text/HTML; Charset="utf-8"; x')
    MediaType(name='text/html', params={'charset': 'utf-8'})
    """
    name, _, rest = text(field or b"").partition(";")
    name = name.strip(" \t").lower()
    params: dict[str, str] = {}
    at = 0
    while at < len(rest) and (match := _PARAMETER.match(rest, at)):
        at = match.end()
        parameter, quoted, plain = match.groups()
        # No whitespace may stand around the "=", but servers put it there.
        parameter = parameter.strip(" \t").lower()
        value = plain.strip(" \t") if plain is not None else None if quoted is None else _ESCAPE.sub(r"\1", quoted)
        if value is not None and _TOKEN.fullmatch(parameter):
            params.setdefault(parameter, value)
    return MediaType(name if _TYPE.fullmatch(name) else "", params)


def declared_charset(content_type: bytes | None) -> str | None:
    """Python's name for the charset that the field declares; None where it declares none, or one that nobody knows."""
    charset = parse_media_type(content_type).params.get("charset", "")
    charset = normalize_encoding(charset.strip(" \t\"'")).lower()
    return codecs.lookup(charset).name if charset in CHARSETS else None


def charset_of(content_type: bytes | None, content: bytes) -> str:
    """Python's name for the charset of this text: the declared one, its byte order mark's, or UTF-8."""
    if declared := declared_charset(content_type):
        return declared
    for mark, name in ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if content.startswith(mark):
            return name
    return "utf-8"
