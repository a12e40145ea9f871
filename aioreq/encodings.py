"""Content codings (gzip, deflate, br, zstd) as incremental, bounded decoders behind one interface.

Takes bytes as they arrive and gives decoded bytes in steps of bounded size, through every layer of a chain, so that a small body that
unfolds to gigabytes never costs more than a step. Knows nothing of responses, headers or loops: who reads, and in which thread, is
decided elsewhere.
"""

from __future__ import annotations

import functools
import importlib
import io
import zlib
from collections.abc import Callable
from typing import Any, Protocol

from .config import Limits
from .errors import DecodeError, LimitExceeded

__all__ = ["Decoder", "accept_encoding", "decode_all", "decoder_for"]

# The most that one step decodes, in each layer of a chain.
STEP = 64 * 1024
# The most that is fed to a codec at once: zlib copies what it leaves unread at each step, and where data is damaged, what decodes
# together with it is lost.
_FEED = 16 * 1024
# Servers apply one coding, a proxy in between perhaps a second. A longer chain only serves to make the client work.
_MOST_ENCODINGS = 2
# Below this many decoded bytes any ratio is harmless.
_RATIO_FLOOR = 8 * 1024 * 1024
# brotli rounds the size of its output up, to less than 32 KiB from this.
_BROTLI_STEP = 16 * 1024
# RFC 9659 section 3: a window of 8 MiB at most.
_ZSTD_WINDOW_LOG = 23
# To open a frame costs as much as to decode tens of KiB, and a frame may be 9 bytes. Seekable files have frames of 64 KiB and more.
_ZSTD_FRAMES = 1000
_ZSTD_FRAME_BYTES = 1024


class _DamageError(Exception):
    """What a codec finds wrong by itself."""


class _Codec(Protocol):
    """One layer. While `needs_input` is false, `decode(b"", n)` gives more. `complete`: the data may end here."""

    name: str
    faults: tuple[type[Exception], ...]
    needs_input: bool
    complete: bool

    def decode(self, data: bytes | memoryview, max_length: int) -> bytes: ...


class _Gzip:
    """RFC 1952: one member or more; behind the last one zeros, with which block devices fill up."""

    name = "gzip"
    faults: tuple[type[Exception], ...] = (zlib.error, _DamageError)

    def __init__(self) -> None:
        self.needs_input = True
        self.complete = False
        self._member: Any = None
        self._rest = b""
        self._padding = False

    def decode(self, data: bytes | memoryview, max_length: int) -> bytes:
        data = data or self._rest
        while True:
            if self._member is None:
                data = self._without_padding(data)
                if not data:
                    self._rest, self.needs_input = b"", True
                    return b""
                self._member, self.complete = zlib.decompressobj(16 + zlib.MAX_WBITS), False
            out: bytes = self._member.decompress(data, max_length)
            if self._member.eof:
                self._rest = data = self._member.unused_data
                self._member, self.complete = None, True
                self.needs_input = not data
            else:
                self._rest = data = self._member.unconsumed_tail
                self.needs_input = not data and len(out) < max_length
            if out or self.needs_input:
                return out

    def _without_padding(self, data: bytes | memoryview) -> bytes | memoryview:
        if not self.complete:
            return data
        stripped = bytes(data).lstrip(b"\0")
        self._padding = self._padding or len(stripped) < len(data)
        if stripped and self._padding:
            raise _DamageError("there are more bytes behind the zeros that follow its end")
        return stripped


class _Deflate:
    """RFC 9110 section 8.4.1.2: the zlib format (RFC 1950); also bare deflate data (RFC 1951), which many servers send."""

    name = "deflate"
    faults: tuple[type[Exception], ...] = (zlib.error, _DamageError)

    def __init__(self) -> None:
        self.needs_input = True
        self.complete = False
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
            self._stream = zlib.decompressobj(zlib.MAX_WBITS if zlib_format else -zlib.MAX_WBITS)
        else:
            data = data or self._rest
        if self.complete:
            raise _DamageError("there are more bytes behind its end")
        out: bytes = self._stream.decompress(data, max_length)
        self.complete = self._stream.eof
        self._rest = self._stream.unused_data or self._stream.unconsumed_tail
        self.needs_input = not self._rest and (self.complete or len(out) < max_length)
        return out


class _Brotli:
    """RFC 7932."""

    name = "br"

    def __init__(self) -> None:
        brotli = _brotli()
        self.faults: tuple[type[Exception], ...] = (brotli.error, _DamageError)
        self.needs_input = True
        self.complete = False
        self._stream = brotli.Decompressor()
        self._ready = b""
        self._given = 0
        self._more = False

    def decode(self, data: bytes | memoryview, max_length: int) -> bytes:
        if self._given == len(self._ready):
            if self.complete:
                raise _DamageError("there are more bytes behind its end")
            self._ready, self._given = self._stream.process(data, output_buffer_limit=_BROTLI_STEP), 0
            self.complete = self._stream.is_finished()
            # A decoder that takes more input may still hold output back.
            self._more = not self.complete and (len(self._ready) >= _BROTLI_STEP or not self._stream.can_accept_more_data())
        out = self._ready[self._given : self._given + max_length]
        self._given += len(out)
        self.needs_input = self._given == len(self._ready) and not self._more
        return out


class _Zstd:
    """RFC 8878: one frame or more, skippable ones included, within the bounds of RFC 9659."""

    name = "zstd"

    def __init__(self) -> None:
        zstd = _zstd()
        self.faults: tuple[type[Exception], ...] = (zstd.ZstdError, _DamageError)
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
        while True:
            if self._frame is None:
                self._head += data
                if not self._start_frame():
                    return b""
                data, self._head = self._head, b""
            out: bytes = self._frame.decompress(data, max_length)
            data = b""
            if self._frame.eof:
                self._head = self._frame.unused_data
                self._frame, self.complete = None, True
                self.needs_input = not self._head
            else:
                self.needs_input = self._frame.needs_input
            if out or self.needs_input:
                return out

    def _start_frame(self) -> bool:
        self.needs_input = True
        if not self._head:
            return False
        self.complete = False
        # The library checks the window too, but not of a frame that it gets whole: the verdict would depend on how the data is cut.
        window = _zstd_window(self._head)
        if window is None:
            return False
        if window > 1 << _ZSTD_WINDOW_LOG:
            raise _DamageError(f"it needs a window of {window} bytes; RFC 9659 allows {1 << _ZSTD_WINDOW_LOG}")
        self._frames += 1
        if self._frames > _ZSTD_FRAMES + self._encoded // _ZSTD_FRAME_BYTES:
            raise _DamageError(f"it is cut into too many frames: {self._frames} in {self._encoded} bytes")
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
        raise _DamageError("no frame begins where one should")
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


class Decoder:
    """Decodes one body. Feed it with `decode(data)`, then call `decode(b"")` until `needs_input`, and `finish()` at the body's end.

    `encoded` and `decoded` count the bytes read and given so far.
    """

    def __init__(self, chain: list[_Codec], limits: Limits) -> None:
        # The coding that was applied last comes first.
        self._chain = chain
        self._limits = limits
        self._sizes = [0] * len(chain)
        self._input: bytes | memoryview = b""
        self._fault: DecodeError | LimitExceeded | None = None
        self.encoded = 0

    def __repr__(self) -> str:
        return f"<Decoder {', '.join(codec.name for codec in reversed(self._chain))}: {self.encoded} to {self.decoded} bytes>"

    @property
    def decoded(self) -> int:
        """How many bytes were decoded so far."""
        return self._sizes[-1]

    @property
    def needs_input(self) -> bool:
        """False while `decode(b"")` gives more."""
        return not self._input and all(codec.needs_input for codec in self._chain)

    def decode(self, data: bytes, max_length: int = STEP) -> bytes:
        """The next decoded bytes: `max_length` at most, and never more than 64 KiB; b"" only when `needs_input`.

        Raises DecodeError for damaged data, and LimitExceeded when the body unfolds beyond `Limits.ratio`.
        """
        if max_length < 1:
            raise ValueError(f"Decoder.decode(max_length={max_length}): must be at least 1")
        if self._fault is not None:
            raise self._fault
        if data:
            self._input = bytes(self._input) + data if self._input else data
        while True:
            out = self._pull(len(self._chain) - 1, min(max_length, STEP))
            if out or self.needs_input:
                return out

    def finish(self) -> None:
        """Say that the body has ended; raises DecodeError if its encoded data hasn't. A body without a byte is fine."""
        if self._fault is not None:
            raise self._fault
        if not self.needs_input:
            raise RuntimeError('Decoder.finish() before everything was decoded: call decode(b"") until needs_input')
        given = self.encoded
        for codec, size in zip(self._chain, self._sizes, strict=True):
            if given and not codec.complete:
                raise self._error(codec, "it ends too early, cut off on the way or by the server")
            given = size

    def _pull(self, index: int, max_length: int) -> bytes:
        codec = self._chain[index]
        data: bytes | memoryview = b""
        if codec.needs_input:
            data = self._pull(index - 1, STEP) if index else self._take()
            if not data:
                return b""
        try:
            out = codec.decode(data, max_length)
        except codec.faults as error:
            raise self._error(codec, str(error)) from error
        self._sizes[index] = size = self._sizes[index] + len(out)
        # Of every layer: what unfolds inside a chain costs as much as what comes out of it.
        if size > _RATIO_FLOOR and size > self.encoded * self._limits.ratio:
            self._fault = LimitExceeded(
                f"the body unfolds to more than {self._limits.ratio} times its size: {self.encoded} bytes of {codec.name} to {size} so "
                "far; if the server is trusted, raise Limits(ratio=...)",
                limit="ratio",
            )
            raise self._fault
        return out

    def _take(self) -> bytes | memoryview:
        if len(self._input) <= _FEED:
            data, self._input = self._input, b""
        else:
            view = memoryview(self._input)
            data, self._input = view[:_FEED], view[_FEED:]
        # Counted when read, not when given: the ratio of a large body must not make room for a bomb at its head.
        self.encoded += len(data)
        return data

    def _error(self, codec: _Codec, reason: str) -> DecodeError:
        so_far = f"{self.encoded} bytes to {self.decoded}"
        self._fault = DecodeError(f"the body is not valid {codec.name}, as its Content-Encoding says ({so_far}): {reason}")
        return self._fault


def decode_all(decoder: Decoder, data: bytes, max_length: int) -> bytes:
    """The whole body `data`, decoded.

    Raises LimitExceeded when it decodes to more than `max_length` bytes, and DecodeError when it is damaged or cut short: `.partial`
    then holds what was decoded before the 16 KiB in which the damage lies.
    """
    out = io.BytesIO()  # hands its buffer over without a copy
    room = max_length
    try:
        while True:
            piece = decoder.decode(data, min(room + 1, STEP))
            room -= len(piece)
            if room < 0:
                raise LimitExceeded(
                    f"the body of {decoder.encoded} bytes decodes to more than {max_length}: stream it, or raise Limits(body=...) (a "
                    "guard's max_body caps both)",
                    limit="body",
                )
            out.write(piece)
            data = b""
            if decoder.needs_input:
                break
        decoder.finish()
    except DecodeError as error:
        error.partial = out.getvalue()
        raise
    return out.getvalue()


def decoder_for(content_encoding: bytes | str, limits: Limits) -> Decoder | None:
    """A new decoder for a body with this Content-Encoding field; None where the bytes stay as they are.

    That is, for `identity`, and as soon as one coding in the list is unknown or its package isn't installed. Several fields are joined
    with a comma first. Raises DecodeError for more than two codings.
    """
    if isinstance(content_encoding, bytes):
        content_encoding = content_encoding.decode("latin-1")
    # RFC 9110 section 8.4: names in any case, in the order in which they were applied; 5.6.1: empty elements don't count.
    names = [name for element in content_encoding.split(",") if (name := element.strip(" \t").lower()) not in ("", "identity")]
    codecs = [_codec(name) for name in names]
    if not codecs or None in codecs:
        return None
    if len(codecs) > _MOST_ENCODINGS:
        shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
        raise DecodeError(f"the body has {len(names)} content codings ({shown}); at most {_MOST_ENCODINGS} are decoded")
    return Decoder([codec() for codec in reversed(codecs) if codec is not None], limits)


def accept_encoding() -> str:
    """The Accept-Encoding value: what can be decoded here, as far as it is installed."""
    return ", ".join(name for name in ("gzip", "deflate", "br", "zstd") if _codec(name) is not None)


def _codec(name: str) -> Callable[[], _Codec] | None:
    if name in ("gzip", "x-gzip"):
        return _Gzip
    if name == "deflate":
        return _Deflate
    if name == "br" and _brotli() is not None:
        return _Brotli
    if name == "zstd" and _zstd() is not None:
        return _Zstd
    return None


@functools.cache
def _brotli() -> Any:
    module = _import("brotli")
    # Since 1.2 its output can be bounded; an older one can't be used safely.
    return module if hasattr(getattr(module, "Decompressor", None), "can_accept_more_data") else None


@functools.cache
def _zstd() -> Any:
    return _import("compression.zstd") or _import("backports.zstd")


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
