"""Content-Encoding: which codings there are, and a body's chain of them, decoded in steps of bounded size through every layer.

A small body that unfolds to gigabytes never costs more than a step. Knows nothing of responses, headers or loops: who reads, and in
which thread, is decided elsewhere. The layers themselves stand in `codings`, which the first encoded body imports.
"""

from __future__ import annotations

import functools
import importlib
import io
import sys
from typing import TYPE_CHECKING, Any

from .config import Limits
from .errors import DecodeError, LimitExceeded

if TYPE_CHECKING:
    from .codings import Coding

__all__ = ["STEP", "Decoder", "WholeBody", "accept_encoding", "decoder_for"]

# The most that one step decodes, in each layer of a chain.
STEP = 64 * 1024
# The most that is fed to a coding at once: zlib copies what it leaves unread at each step, and where data is damaged, what decodes
# together with it is lost.
_FEED = 16 * 1024
# Servers apply one coding, a proxy in between perhaps a second. A longer chain only serves to make the client work.
_MOST_ENCODINGS = 2
# Below this many decoded bytes any ratio is harmless.
_RATIO_FLOOR = 8 * 1024 * 1024


class Decoder:
    """Decodes one body. Feed it with `decode(data)`, then call `decode(b"")` until `needs_input`, and `finish()` at the body's end.

    `encoded` counts the bytes read so far.
    """

    __slots__ = ("_chain", "_fault", "_input", "_limits", "_sizes", "encoded")

    def __init__(self, chain: list[Coding], limits: Limits) -> None:
        # The coding that was applied last comes first.
        self._chain = chain
        self._limits = limits
        self._sizes = [0] * len(chain)
        self._input: bytes | memoryview = b""
        self._fault: DecodeError | LimitExceeded | None = None
        self.encoded = 0

    def __repr__(self) -> str:
        return f"<Decoder {', '.join(coding.name for coding in reversed(self._chain))}: {self.encoded} to {self.decoded} bytes>"

    @property
    def decoded(self) -> int:
        """How many bytes were decoded so far."""
        return self._sizes[-1]

    @property
    def needs_input(self) -> bool:
        """False while `decode(b"")` has something to do."""
        if self._input:
            return False
        for coding in self._chain:  # noqa: SIM110 (all() costs a generator, at every step)
            if not coding.needs_input:
                return False
        return True

    def decode(self, data: bytes, max_length: int = STEP) -> bytes:
        """One step: the next decoded bytes, `max_length` at most, and never more than 64 KiB; b"" where this step gave none.

        Raises DecodeError for damaged data, and LimitExceeded when the body unfolds beyond `Limits.ratio`.
        """
        if max_length < 1:
            raise ValueError(f"Decoder.decode(max_length={max_length}): must be at least 1")
        if self._fault is not None:
            raise self._fault
        if data:
            self._input = bytes(self._input) + data if self._input else data
        return self._step(len(self._chain) - 1, min(max_length, STEP))

    def finish(self) -> None:
        """Say that the body has ended; raises DecodeError if its encoded data hasn't. A body without a byte is fine."""
        if self._fault is not None:
            raise self._fault
        if not self.needs_input:
            raise RuntimeError('Decoder.finish() before everything was decoded: call decode(b"") until needs_input')
        given = self.encoded
        for coding, size in zip(self._chain, self._sizes, strict=True):
            if given and not coding.complete:
                error = self._error(coding, "it ends too early, cut off on the way or by the server")
                error.incomplete = True
                raise error
            given = size

    def _step(self, index: int, max_length: int) -> bytes:
        coding = self._chain[index]
        data: bytes | memoryview = b""
        if coding.needs_input:
            data = self._step(index - 1, STEP) if index else self._take()
            if not data:
                return b""
        try:
            out = coding.decode(data, max_length)
        except coding.faults as error:
            raise self._error(coding, str(error)) from error
        self._sizes[index] = size = self._sizes[index] + len(out)
        # Of every layer: what unfolds inside a chain costs as much as what comes out of it.
        if size > _RATIO_FLOOR and size > self.encoded * self._limits.ratio:
            self._fault = LimitExceeded(
                f"the body unfolds to more than {self._limits.ratio} times its size: {self.encoded} bytes of {coding.name} to {size} so "
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

    def _error(self, coding: Coding, reason: str) -> DecodeError:
        so_far = f"{self.encoded} bytes to {self.decoded}"
        self._fault = DecodeError(f"the body is not valid {coding.name}, as its Content-Encoding says ({so_far}): {reason}")
        return self._fault


class WholeBody:
    """A body that is here as a whole, decoded in one go or in parts: `run(steps)` until it gives the content.

    One thread may begin and another go on. `stop()`, from any thread, ends a `run` at its next step; no other may follow.
    """

    __slots__ = ("_data", "_decoder", "_max_length", "_out", "_room", "_stopped")

    def __init__(self, decoder: Decoder, data: bytes, max_length: int) -> None:
        self._decoder = decoder
        self._data = data
        self._max_length = self._room = max_length
        self._out = io.BytesIO()  # hands its buffer over without a copy
        self._stopped = False

    def stop(self) -> None:
        """Whoever wanted the content is gone."""
        self._stopped = True

    def run(self, steps: int = sys.maxsize) -> bytes | None:
        """The decoded body; None when after so many steps it isn't whole, or when it was stopped.

        Raises LimitExceeded when it decodes to more than `max_length` bytes, and DecodeError when it is damaged or cut short: `.partial`
        then holds what was decoded before the 16 KiB in which the damage lies.
        """
        decoder, out = self._decoder, self._out
        data, self._data = self._data, b""  # from here on it is the decoder's
        try:
            for _ in range(steps):
                if self._stopped:
                    break
                piece = decoder.decode(data, self._room + 1)
                data = b""
                self._room -= len(piece)
                if self._room < 0:
                    raise self._too_long()
                out.write(piece)
                if decoder.needs_input:
                    decoder.finish()
                    return out.getvalue()
        except DecodeError as error:
            error.partial = out.getvalue()
            raise
        except LimitExceeded:
            out.close()  # the error's traceback holds it
            raise
        return None

    def _too_long(self) -> LimitExceeded:
        return LimitExceeded(
            f"the body of {self._decoder.encoded} bytes decodes to more than {self._max_length}: stream it, or raise Limits(body=...) (a "
            "guard's max_body caps both)",
            limit="body",
        )


def decoder_for(content_encoding: bytes | str, limits: Limits) -> Decoder | None:
    """A new decoder for a body with this Content-Encoding field; None where the bytes stay as they are.

    That is, for `identity`, and as soon as one coding in the list is unknown or its package isn't installed. Several fields are joined
    with a comma first. Raises DecodeError for more than two codings.
    """
    if isinstance(content_encoding, bytes):
        content_encoding = content_encoding.decode("latin-1")
    names = [content_encoding]
    if not _known(content_encoding):
        # RFC 9110 section 8.4: names in any case, in the order in which they were applied; 5.6.1: empty elements don't count.
        names = [name for element in content_encoding.split(",") if (name := element.strip(" \t").lower()) not in ("", "identity")]
        if not names or not all(map(_known, names)):
            return None
    if len(names) > _MOST_ENCODINGS:
        shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
        raise DecodeError(f"the body has {len(names)} content codings ({shown}); at most {_MOST_ENCODINGS} are decoded")
    names.reverse()
    return Decoder([_coding(name) for name in names], limits)


def accept_encoding() -> str:
    """The Accept-Encoding value: what can be decoded here, as far as it is installed."""
    return ", ".join(name for name in ("gzip", "deflate", "br", "zstd") if _known(name))


def _known(name: str) -> bool:
    match name:
        case "gzip" | "deflate" | "x-gzip":
            return True
        case "br":
            return _brotli() is not None
        case "zstd":
            return _zstd() is not None
    return False


def _coding(name: str) -> Coding:
    from . import codings

    match name:
        case "br":
            return codings.Brotli(_brotli())
        case "zstd":
            return codings.Zstd(_zstd())
        case "deflate":
            return codings.Deflate(_zlib())
    return codings.Gzip(_zlib())


@functools.cache
def _zlib() -> Any:
    # zlib-ng inflates in half the time. It is zlib's own code made faster, and does in every case that counts here (bounded steps,
    # damage, ends) what zlib does. isal doesn't: it gives less of what was cut short, and takes half as long again for what is noise.
    return _import("zlib_ng.zlib_ng") or _import("zlib")


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
