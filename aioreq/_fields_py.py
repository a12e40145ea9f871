"""Field lines and single bytes in plain Python: what heads and trailer sections are read with, and how a field is found again.

A step takes the bytes from `at` to `end`, goes on where the last feed stopped, and says how far it came; a token that a feed cuts is
kept, every byte is looked at once. Knows no status line, no chunk and no limit in bytes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from . import framing
from .headers import Fields

if TYPE_CHECKING:
    from .config import Limits

CR, LF, HTAB, SP, COLON, SEMICOLON = b"\r\n\t :;"


def first_not_in(allowed: frozenset[int]) -> re.Pattern[bytes]:
    return re.compile(b"[^" + b"".join(rb"\x%02x" % byte for byte in sorted(allowed)) + b"]", re.DOTALL)


NOT_TOKEN = first_not_in(framing.TOKEN)
NOT_TEXT = first_not_in(framing.TEXT)
NOT_SPACE = first_not_in(frozenset(b" \t"))
NOT_HEX = first_not_in(frozenset(b"0123456789abcdefABCDEF"))


def skip(stop: re.Pattern[bytes], data: memoryview, at: int, end: int) -> int:
    found = stop.search(data, at, end)
    return found.start() if found else end


def find(fields: Fields, name: bytes) -> bytes | None:
    """The value of the first field called `name`, which is given in lower case; None where there is none."""
    for key, value in fields:
        if len(key) == len(name) and key.lower() == name:
            return value
    return None


class Section:
    """A header or trailer section: field lines, then an empty one (RFC 9112 section 5)."""

    LINE, NAME, VALUE, VALUE_LF, LAST_LF, COMPLETE = range(6)

    def __init__(self, limits: Limits, kind: str) -> None:
        self.cap = limits.headers
        self.kind = kind
        self.kept = bytearray()
        self.reset()

    def reset(self) -> None:
        self.state = self.LINE
        self.fields: list[tuple[bytes, bytes]] = []
        self.number = 0
        self.name = self.value = b""
        self.kept.clear()

    def line(self) -> str:
        return f"{self.kind} line {self.number}"

    def take(self, data: memoryview, start: int, at: int) -> bytes:
        if not self.kept:
            return bytes(data[start:at])
        self.kept += data[start:at]
        token = bytes(self.kept)
        self.kept.clear()
        return token

    def scan(self, data: memoryview, at: int, end: int) -> int:
        while at < end:
            # *( field-line CRLF ) CRLF; what begins with a space would be obs-fold (section 5.2): refused
            if self.state == self.LINE:
                if data[at] == CR:
                    at += 1
                    self.state = self.LAST_LF
                else:
                    self.number += 1
                    if data[at] not in framing.TOKEN:
                        raise framing.bad_line_start(self.line(), data[at])
                    if self.number > self.cap:
                        raise framing.limit_exceeded("headers", self.cap)
                    self.state = self.NAME

            # field-name = token, the colon right behind it (section 5.1)
            if self.state == self.NAME:
                start, at = at, skip(NOT_TOKEN, data, at, end)
                if at == end:
                    self.kept += data[start:at]
                    return at
                if data[at] != COLON:
                    raise framing.bad_name(self.line(), data[at])
                self.name = self.take(data, start, at)
                at += 1
                self.state = self.VALUE

            # OWS field-value OWS
            if self.state == self.VALUE:
                start, at = at, skip(NOT_TEXT, data, at, end)
                if at == end:
                    self.kept += data[start:at]
                    return at
                if data[at] != CR:
                    raise framing.bad_value(self.line(), self.name, data[at])
                self.value = self.take(data, start, at).strip(b" \t")
                at += 1
                self.state = self.VALUE_LF

            # CRLF
            if self.state == self.VALUE_LF:
                if at == end:
                    return at
                if data[at] != LF:
                    raise framing.bad_line_end(self.line(), data[at])
                at += 1
                self.fields.append((self.name, self.value))
                self.state = self.LINE

            elif self.state == self.LAST_LF:
                if at == end:
                    return at
                if data[at] != LF:
                    raise framing.bad_line_end("the empty line", data[at])
                self.state = self.COMPLETE
                return at + 1
        return at
