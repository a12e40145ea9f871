"""One content coding each (gzip, deflate, br, zstd): decoders of a layer, step by step, behind one interface.

A step reads what it is given, gives at most as many bytes as it is asked for, and ends where a member or frame ends, so that its work is
bounded whatever the data says. Knows nothing of chains, of limits, nor of the packages that it runs on: those are handed in.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Brotli", "Coding", "DamageError", "Deflate", "Gzip", "Zstd"]

# A member may be 20 bytes, and costs as much as a KiB of text. Archives that compress each record by itself have more in each.
_GZIP_MEMBERS = 1000
_GZIP_MEMBER_BYTES = 64
# brotli rounds the size of its output up, to less than 32 KiB from this.
_BROTLI_STEP = 16 * 1024
# RFC 9659 section 3: a window of 8 MiB at most.
_ZSTD_WINDOW_LOG = 23
# To open a frame costs as much as to decode tens of KiB, and a frame may be 9 bytes. Seekable files have frames of 64 KiB and more.
_ZSTD_FRAMES = 1000
_ZSTD_FRAME_BYTES = 1024


class DamageError(Exception):
    """What a coding finds wrong by itself."""


class Coding(Protocol):
    """One layer. While `needs_input` is false, `decode(b"", n)` goes on. `complete`: the data may end here. `faults`: what it raises."""

    name: str
    faults: tuple[type[Exception], ...]
    needs_input: bool
    complete: bool

    def decode(self, data: bytes | memoryview, max_length: int) -> bytes: ...


class Gzip:
    """RFC 1952: one member or more; behind the last one zeros, with which block devices fill up.

    Anything else there is an error: it can't be told from a next member that was damaged.
    """

    name = "gzip"

    def __init__(self, zlib: Any) -> None:
        self.faults: tuple[type[Exception], ...] = (zlib.error, DamageError)
        self.needs_input = True
        self.complete = False
        self._open = zlib.decompressobj
        self._member: Any = None
        self._rest: bytes | memoryview = b""
        self._padding = False
        self._members = 0
        self._encoded = 0

    def decode(self, data: bytes | memoryview, max_length: int) -> bytes:
        self._encoded += len(data)
        data = data or self._rest
        member = self._member
        if member is None:
            if self.complete:
                data = self._without_padding(data)
                if not data:
                    self._rest, self.needs_input = b"", True
                    return b""
            self._members += 1
            before = self._encoded - len(data)
            if self._members > _GZIP_MEMBERS + before // _GZIP_MEMBER_BYTES:
                raise DamageError(f"it is cut into too many members: {self._members} in {before} bytes")
            member = self._member = self._open(16 + 15)
            self.complete = False
        out: bytes = member.decompress(data, max_length)
        if member.eof:
            self._rest = member.unused_data
            self._member, self.complete = None, True
            self.needs_input = not self._rest
        else:
            self._rest = member.unconsumed_tail
            self.needs_input = not self._rest and len(out) < max_length
        return out

    def _without_padding(self, data: bytes | memoryview) -> bytes | memoryview:
        if data and data[0] and not self._padding:
            return data
        stripped = bytes(data).lstrip(b"\0")
        self._padding = self._padding or len(stripped) < len(data)
        if stripped:
            raise DamageError("there are more bytes behind the zeros that follow its end")
        return stripped


class Deflate:
    """RFC 9110 section 8.4.1.2: the zlib format (RFC 1950); also bare deflate data (RFC 1951), which many servers send."""

    name = "deflate"

    def __init__(self, zlib: Any) -> None:
        self.faults: tuple[type[Exception], ...] = (zlib.error, DamageError)
        self.needs_input = True
        self.complete = False
        self._open = zlib.decompressobj
        self._stream: Any = None
        self._rest = b""

    def decode(self, data: bytes | memoryview, max_length: int) -> bytes:
        if self._stream is None:
            data = self._rest + data
            # RFC 1950 section 2.2: method 8, a window of 2 ** (7 + 8) bytes at most, and a check of both bytes.
            zlib_format = data[0] & 0x8F == 8
            if zlib_format and len(data) < 2:
                self._rest = data
                return b""
            zlib_format = zlib_format and (data[0] << 8 | data[1]) % 31 == 0
            self._stream = self._open(15 if zlib_format else -15)
        else:
            data = data or self._rest
        if self.complete:
            raise DamageError("there are more bytes behind its end")
        out: bytes = self._stream.decompress(data, max_length)
        self.complete = self._stream.eof
        self._rest = self._stream.unused_data or self._stream.unconsumed_tail
        self.needs_input = not self._rest and (self.complete or len(out) < max_length)
        return out


class Brotli:
    """RFC 7932."""

    name = "br"

    def __init__(self, brotli: Any) -> None:
        self.faults: tuple[type[Exception], ...] = (brotli.error, DamageError)
        self.needs_input = True
        self.complete = False
        self._stream = brotli.Decompressor()
        self._ready = b""
        self._given = 0
        self._more = False

    def decode(self, data: bytes | memoryview, max_length: int) -> bytes:
        if self._given == len(self._ready):
            if self.complete:
                raise DamageError("there are more bytes behind its end")
            self._ready, self._given = self._stream.process(data, output_buffer_limit=_BROTLI_STEP), 0
            self.complete = self._stream.is_finished()
            # A decoder that takes more input may still hold output back.
            self._more = not self.complete and (len(self._ready) >= _BROTLI_STEP or not self._stream.can_accept_more_data())
        out = self._ready[self._given : self._given + max_length]
        self._given += len(out)
        self.needs_input = self._given == len(self._ready) and not self._more
        return out


class Zstd:
    """RFC 8878: one frame or more, skippable ones included, within the bounds of RFC 9659."""

    name = "zstd"

    def __init__(self, zstd: Any) -> None:
        self.faults: tuple[type[Exception], ...] = (zstd.ZstdError, DamageError)
        self.needs_input = True
        self.complete = False
        options = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
        self._open: Callable[[], Any] = functools.partial(zstd.ZstdDecompressor, options=options)
        self._frame: Any = None
        self._head = b""
        self._frames = 0
        self._encoded = 0

    def decode(self, data: bytes | memoryview, max_length: int) -> bytes:
        self._encoded += len(data)
        if self._frame is None:
            self._head += data
            if not self._start_frame():
                return b""
            data, self._head = self._head, b""
        out: bytes = self._frame.decompress(data, max_length)
        if self._frame.eof:
            self._head = self._frame.unused_data
            self._frame, self.complete = None, True
            self.needs_input = not self._head
        else:
            self.needs_input = self._frame.needs_input
        return out

    def _start_frame(self) -> bool:
        self.needs_input = True
        self.complete = False
        # The library checks the window too, but not of a frame that it gets whole: the verdict would depend on how the data is cut.
        window = _zstd_window(self._head)
        if window is None:
            return False
        if window > 1 << _ZSTD_WINDOW_LOG:
            raise DamageError(f"it needs a window of {window} bytes; RFC 9659 allows {1 << _ZSTD_WINDOW_LOG}")
        self._frames += 1
        before = self._encoded - len(self._head)
        if self._frames > _ZSTD_FRAMES + before // _ZSTD_FRAME_BYTES:
            raise DamageError(f"it is cut into too many frames: {self._frames} in {before} bytes")
        self._frame = self._open()
        return True


def _zstd_window(head: bytes) -> int | None:
    """The window that the frame asks for, in bytes (RFC 8878 section 3.1.1.1); None while too little of its head is there."""
    if len(head) < 4:
        return None
    magic = int.from_bytes(head[:4], "little")
    if magic & 0xFFFFFFF0 == 0x184D2A50:
        return 0  # a skippable frame
    if magic != 0xFD2FB528:
        raise DamageError("no frame begins where one should")
    if len(head) < 6:
        return None
    descriptor = head[4]
    if descriptor & 0x20:
        # A single segment: the window is the content, whose size stands behind the dictionary's id.
        start = 5 + (0, 1, 2, 4)[descriptor & 3]
        size = (1, 2, 4, 8)[descriptor >> 6]
        content = int.from_bytes(head[start : start + size], "little")
        return content if len(head) >= start + size else None
    base = 1 << (10 + (head[5] >> 3))
    return base + base // 8 * (head[5] & 7)
