"""Compressed WebSocket messages: permessage-deflate (RFC 7692). The offer, what a server may make of it, and the two ends of the stream.

Knows no frame and no socket: `compress` gives what frames carry with RSV1 set on the first one, the decompressor takes what they carried.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from .. import encodings
from ..config import check_count
from ..errors import RemoteProtocolError
from .frames import INVALID_DATA, too_long

__all__ = ["Compressor", "Decompressor", "Deflate", "agreed"]

NAME = "permessage-deflate"

# Section 7.2.1: what a flush ends with, an empty block without compression, isn't sent, but for the first of its five bytes. That one is
# all there is of an empty message (section 7.2.3.6).
_TAIL = b"\x00\x00\xff\xff"
_FINAL = b"\x03\x00"  # an empty final block: a stream ends with it only where the last block was whole

_STEP_IN, _STEP_OUT = 16 * 1024, 64 * 1024  # bytes
# A final block may be two bytes, and costs a new stream: as much as some hundred bytes of text.
_STREAMS, _STREAM_BYTES = 16, 64

_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_EXTENSION = re.compile(rf"[ \t]*({_WORD}+)")
_PARAMETER = re.compile(rf'[ \t]*;[ \t]*({_WORD}+)(?:[ \t]*=[ \t]*(?:({_WORD}+)|"((?:\\?{_WORD})+)"))?')
_COMMAS = re.compile(r"[ \t]*(?:,[ \t]*|\Z)")
_BITS = re.compile(r"[89]|1[0-5]")


@dataclass(frozen=True, slots=True)
class Deflate:
    """How WebSocket messages are compressed: what is offered to a server, and what was agreed with it (RFC 7692 section 7.1).

    A compressor remembers the messages before, up to 2 ** `..._max_window_bits` bytes of them (8 to 15), unless it has
    `..._no_context_takeover`: then less is saved, and no memory kept between messages. The `server_...` ones are demands on the server,
    the `client_...` ones what we keep to; a server may answer with less. `level` is zlib's, 0 to 9. A message of less than `min_size`
    bytes is sent as it is.

    >>> Deflate(client_no_context_takeover=True).offer()
    'permessage-deflate; client_no_context_takeover; client_max_window_bits'
    """

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = 15
    client_max_window_bits: int = 15
    level: int = 6
    min_size: int = 128

    def __post_init__(self) -> None:
        for name in ("server_no_context_takeover", "client_no_context_takeover"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"Deflate({name}=...) takes True or False, not {type(getattr(self, name)).__name__}")
        for name, least, most in (("server_max_window_bits", 8, 15), ("client_max_window_bits", 8, 15), ("level", 0, 9)):
            check_count("Deflate", name, getattr(self, name), least)
            if getattr(self, name) > most:
                raise ValueError(f"Deflate({name}={getattr(self, name)}): must be at most {most}")
        check_count("Deflate", "min_size", self.min_size)

    def offer(self) -> str:
        """The value of the Sec-WebSocket-Extensions field that asks for it."""
        parts = [NAME]
        parts += [name for name in ("server_no_context_takeover", "client_no_context_takeover") if getattr(self, name)]
        if self.server_max_window_bits < 15:
            parts.append(f"server_max_window_bits={self.server_max_window_bits}")
        parts.append("client_max_window_bits" + (f"={self.client_max_window_bits}" if self.client_max_window_bits < 15 else ""))
        return "; ".join(parts)


def agreed(offer: Deflate | None, answer: Iterable[str]) -> Deflate | None:
    """What a server made of the offer, by the values of its Sec-WebSocket-Extensions fields; None: nothing is compressed.

    Errors: RemoteProtocolError where it answers what wasn't offered (RFC 6455 section 9.1), or not as RFC 7692 section 7.1 says.
    """
    said = ", ".join(answer)
    extensions = _parse(said)
    if not extensions:
        return None
    for name, _ in extensions:
        if offer is None or name != NAME:
            raise _bad_answer(said, f"{name[:40]!r} wasn't offered", "RFC 6455 section 9.1")
    if offer is None or len(extensions) > 1:
        raise _bad_answer(said, "only one may be agreed to", "RFC 7692 section 5")
    given: dict[str, str | None] = {}
    for name, value in extensions[0][1]:
        if name in given:
            raise _bad_answer(said, f"{name[:40]!r} stands there twice", "RFC 7692 section 7.1")
        given[name] = value
    changes: dict[str, Any] = {}
    for side in ("server", "client"):
        name = f"{side}_no_context_takeover"
        if name in given:
            if given.pop(name) is not None:
                raise _bad_answer(said, f"{name} takes no value", "RFC 7692 section 7.1.1")
            changes[name] = True
        elif side == "server" and offer.server_no_context_takeover:
            raise _bad_answer(said, f"{name} was asked for", "RFC 7692 section 7.1.1.1")
        name = f"{side}_max_window_bits"
        offered = getattr(offer, name)
        if name in given:
            value = given.pop(name)
            if value is None or not _BITS.fullmatch(value) or int(value) > offered:
                raise _bad_answer(said, f"{name} must be a number from 8 to {offered}", "RFC 7692 section 7.1.2")
            changes[name] = int(value)
        elif side == "server" and offered < 15:
            raise _bad_answer(said, f"{name} was asked for", "RFC 7692 section 7.1.2.1")
    for name in given:
        raise _bad_answer(said, f"{name[:40]!r} is none of its parameters", "RFC 7692 section 7.1")
    return replace(offer, **changes)


def _parse(said: str) -> list[tuple[str, list[tuple[str, str | None]]]]:
    """The extensions and their parameters (RFC 6455 section 9.1). Empty elements count for nothing (RFC 9110 section 5.6.1)."""
    extensions = []
    at = 0
    while at < len(said):
        if comma := _COMMAS.match(said, at):
            at = comma.end()
            continue
        extension = _EXTENSION.match(said, at)
        if extension is None:
            raise _bad_answer(said, f"character {at} breaks its grammar", "RFC 6455 section 9.1")
        at = extension.end()
        parameters: list[tuple[str, str | None]] = []
        while parameter := _PARAMETER.match(said, at):
            name, token, quoted = parameter.groups()
            parameters.append((name, token or (quoted and quoted.replace("\\", ""))))
            at = parameter.end()
        if not _COMMAS.match(said, at):
            raise _bad_answer(said, f"character {at} breaks its grammar", "RFC 6455 section 9.1")
        extensions.append((extension[1], parameters))
    return extensions


def _bad_answer(said: str, why: str, where: str) -> RemoteProtocolError:
    shown = repr(said) if len(said) <= 100 else f"{said[:100]!r}... ({len(said)} characters)"
    return RemoteProtocolError(f"WebSocket: the server answered Sec-WebSocket-Extensions: {shown}, but {why} ({where})")


class Compressor:
    """Compresses one message after another (section 7.2.1)."""

    __slots__ = ("_flush", "_stream")

    def __init__(self, terms: Deflate) -> None:
        zlib = encodings._zlib()
        # zlib has no window of 8 bits. In one of 9 it reaches back no further than 250 bytes, which fits.
        bits = max(9, terms.client_max_window_bits)
        self._stream: Any = zlib.compressobj(terms.level, zlib.DEFLATED, -bits)
        # A full flush forgets all that came before, as a new stream would.
        self._flush: int = zlib.Z_FULL_FLUSH if terms.client_no_context_takeover else zlib.Z_SYNC_FLUSH

    def compress(self, data: bytes | memoryview, last: bool) -> bytes:
        """What there is to send for these bytes of a message; of any but the last there may be nothing yet."""
        out: bytes = self._stream.compress(data)
        if last:
            out = (out + self._stream.flush(self._flush)).removesuffix(_TAIL)
        return out


class Decompressor:
    """Decompresses one message after another (section 7.2.2), step by step: 16 KiB in and 64 KiB out at most.

    decompressor.feed(data, last)       the next piece of a message; only when `step` has given all of the one before
    decompressor.step()                 some bytes, perhaps none; None: all that was fed is out

    `max_message` bounds a message's bytes as they come out, None doesn't. Errors, from `step`: LimitExceeded; RemoteProtocolError with the
    close code 1007 for what is no DEFLATE, or ends inside a block. It is of no use after one of them.
    """

    # Always with the largest window: whether one that was agreed to be smaller is kept to would be noticed by chance only.
    _WINDOW = -15

    __slots__ = ("_at", "_data", "_fed", "_forgets", "_last", "_max", "_pending", "_size", "_stream", "_streams", "_unread", "_zlib")

    def __init__(self, terms: Deflate, max_message: int | None) -> None:
        self._zlib = encodings._zlib()
        self._forgets = terms.server_no_context_takeover
        self._max = max_message
        self._stream: Any = self._zlib.decompressobj(self._WINDOW)
        self._data = self._unread = b""
        self._at = 0
        self._pending = self._last = False
        self._fed = self._size = self._streams = 0  # of the message

    def feed(self, data: bytes, last: bool) -> None:
        if self._pending:
            raise RuntimeError("feed() before step() gave all of the last piece")
        self._data = data + _TAIL if last else data
        self._at = 0
        self._last = last
        self._pending = True

    def step(self) -> bytes | None:
        if not self._pending:
            return None
        given = self._unread
        if not given:
            given = self._data[self._at : self._at + _STEP_IN]
            self._at += len(given)
            self._fed += len(given)
        try:
            out: bytes = self._stream.decompress(given, _STEP_OUT)
        except self._zlib.error as error:
            raise _bad_data(str(error)) from None
        if self._stream.eof:
            # A final block ends a stream, not the message (section 7.2.3.4).
            self._unread = self._stream.unused_data
            self._stream = self._zlib.decompressobj(self._WINDOW)
            self._streams += 1
            if self._streams > _STREAMS + (self._fed - len(self._unread)) // _STREAM_BYTES:
                raise _bad_data(f"{self._streams} final blocks in {self._fed - len(self._unread)} bytes")
        else:
            self._unread = self._stream.unconsumed_tail
        self._size += len(out)
        if self._max is not None and self._size > self._max:
            raise too_long(self._max)
        if not self._unread and self._at >= len(self._data) and len(out) < _STEP_OUT:
            self._pending = False
            self._data = b""
            if self._last:
                self._end()
        return out

    def _end(self) -> None:
        self._fed = self._size = self._streams = 0
        probe = self._stream if self._forgets else self._stream.copy()
        try:
            probe.decompress(_FINAL)
            whole = probe.eof
        except self._zlib.error:
            whole = False
        if not whole:
            raise _bad_data("it ends inside a block")
        if self._forgets:
            self._stream = self._zlib.decompressobj(self._WINDOW)


def _bad_data(why: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"WebSocket: a compressed message is no DEFLATE: {why} (RFC 7692 section 7.2.2)", close_code=INVALID_DATA)
