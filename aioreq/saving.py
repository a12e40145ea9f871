"""The body of a response into a file: what `StreamResponse.save` does, and each request of a download. Sends no request."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .content_disposition import file_name
from .errors import AioreqError, DigestMismatch, LimitExceeded, LocalProtocolError, ReadTimeout
from .headers import text
from .models import is_plain_function
from .partial_file import PartialFile, Piece
from .retry_after import http_date

if TYPE_CHECKING:
    from .models import Progress, Request
    from .response import ResponseHead, StreamResponse

__all__ = [
    *("ContentRange", "Download", "TooSlow", "check_declared", "checked_digest", "checked_speed", "content_range", "declared_length"),
    *("explicit_target", "finished", "named_target", "receive", "save", "source_of", "validator_of"),
]

BLOCK = 256 * 1024  # bytes that go to the disk at once
FLUSHED_EACH = 0.5  # seconds after which less does: nobody waits longer to see a slow download move

_STRONG_TAG = re.compile(r'"[\x21\x23-\x7e\x80-\U0010ffff]*"')  # RFC 9110 section 8.8.3
_CONTENT_RANGE = re.compile(rb"bytes[ \t]+(?:(\d{1,18})-(\d{1,18})|\*)/(?:(\d{1,18})|\*)", re.IGNORECASE)  # section 14.4


@dataclass(frozen=True, slots=True)
class Download:
    """A file that is whole: its `path` (so is the value itself, for `open`), its `size` in bytes, and the last `response`.

    `sha256` is its digest in hexadecimal digits, where one was to be checked.
    """

    path: Path
    size: int
    response: ResponseHead
    sha256: str | None = None

    def __fspath__(self) -> str:
        return str(self.path)


class ContentRange(NamedTuple):
    """`first` and `last` byte, None where the range can't be had, of `total`, None where that is not known."""

    first: int | None
    last: int | None
    total: int | None


class TooSlow(ReadTimeout):
    """Less than `min_speed` arrived."""


async def save(
    response: StreamResponse,
    path: str | os.PathLike[str],
    *,
    resume: bool = False,
    progress: Progress | None = None,
    sha256: str | None = None,
    overwrite: bool | None = None,
    before: bytes = b"",
) -> Download:
    """What `StreamResponse.save` does; `before` goes in front of the body."""
    try:
        check_progress(progress)
        digest = checked_digest(sha256)
        overwrite, target = named_target(path, response, overwrite)
        first = response.redirects[0] if response.redirects else response
        file = PartialFile(target, source_of(first.request), keep=resume)
    except BaseException:
        response.abort()
        raise
    try:
        if response.status == 206 and resume:
            _check_continues(file, response)
        elif before:
            file.begin(None, None)
            await file.write(file.pieces[0], [before])
        else:
            file.begin(validator_of(response), declared_length(response))
        check_declared(file, response)
        tell = _teller(file, progress)
        tell()
        await receive(response, file, file.pieces[0], tell)
        return await finished(file, response, digest, overwrite)
    finally:
        response.abort()
        file.end()


def _check_continues(file: PartialFile, response: StreamResponse) -> None:
    """Raise LocalProtocolError unless the response is what is missing of the file."""
    covered = content_range(response)
    fits = (
        covered is not None
        and covered.first is not None
        and covered.last is not None
        and len(file.pieces) == 1
        and covered.first == file.pieces[0].at
        and covered.last + 1 == covered.total == file.total
        and declared_length(response) == covered.total - covered.first
        and response.field(b"content-encoding") is None
        and file.validator is not None
        and validator_of(response) == file.validator
    )
    if not fits:
        raise LocalProtocolError(
            f"this 206 isn't the rest of {file.path}, of which {file.done} bytes are here: `client.download(..., resume=True)` asks for "
            "what is missing",
            request=response.request,
        )


def _teller(file: PartialFile, progress: Progress | None) -> Callable[[], object]:
    return (lambda: None) if progress is None else lambda: progress(file.done, file.total)


async def receive(
    response: StreamResponse,
    file: PartialFile,
    piece: Piece,
    tell: Callable[[], object],
    *,
    end: int | None = None,
    min_speed: tuple[float, float] | None = None,
) -> bool:
    """Put the body into the file, at most up to `end`; whether there was more of it. What arrived before an error is in the file, too.

    Errors: the connection's, DecodeError, LimitExceeded, TooSlow, OSError.
    """
    loop = asyncio.get_running_loop()
    cap = cap_of(response.request)
    watch = None if min_speed is None else _Watch(loop, response, *min_speed)
    held: list[bytes] = []
    size, flushed = 0, loop.time()
    more = False
    try:
        async for chunk in response.content:
            if watch is not None:
                watch.got += len(chunk)
            if end is not None and piece.at + size + len(chunk) > end:
                chunk = chunk[: end - piece.at - size]
                more = True
            if chunk:
                held.append(chunk)
                size += len(chunk)
            if cap is not None and file.done + size > cap:
                raise _over(cap, response.request)
            if more:
                break
            if size >= BLOCK or loop.time() - flushed >= FLUSHED_EACH:
                block, held, size = held, [], 0
                await file.write(piece, block)
                del block
                tell()
                flushed = loop.time()
        if held:
            block, held = held, []
            await file.write(piece, block)
            tell()
    except LimitExceeded:
        raise
    except AioreqError as error:
        if held:
            await file.write(piece, held)
        if watch is not None and watch.slow and isinstance(error, LocalProtocolError):
            raise watch.error() from None
        raise
    except asyncio.CancelledError:
        if held:
            with contextlib.suppress(OSError):  # a full disk is no reason to go on
                file.write_now(piece, held)
        raise
    finally:
        if watch is not None:
            watch.stop()
    return more


class _Watch:
    """Ends a response of which too little arrives: it looks once each `seconds`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, response: StreamResponse, speed: float, seconds: float) -> None:
        self.got = 0
        self.slow = False
        self._loop = loop
        self._response = response
        self._speed = speed
        self._seconds = seconds
        self._timer = loop.call_later(seconds, self._look)

    def _look(self) -> None:
        if self.got < self._speed * self._seconds:
            self.slow = True
            self._response.abort()
            return
        self.got = 0
        self._timer = self._loop.call_later(self._seconds, self._look)

    def stop(self) -> None:
        self._timer.cancel()

    def error(self) -> TooSlow:
        request = self._response.request
        return TooSlow(
            f"{request.host} sent {self.got} bytes in {self._seconds:g} s, and min_speed wants {self._speed:g} a second", request=request
        )


async def finished(file: PartialFile, response: ResponseHead, digest: str | None, overwrite: bool) -> Download:
    """The file, checked and under its name. Errors: DigestMismatch (what was wrong is removed), OSError."""
    actual = None
    if digest is not None and (actual := await file.sha256()) != digest:
        file.end(keep=False)
        coding = response.coding
        decoded = "" if coding is None else f", or the digest is that of the bytes as sent ({text(coding)}), which were decoded"
        raise DigestMismatch(
            f"{file.target.name} from {response.request.host} has the SHA-256 {actual}, not {digest}: it was changed on the way, or is "
            f"another file{decoded}; nothing was saved",
            request=response.request,
            expected=digest,
            actual=actual,
        )
    size = file.done
    await file.finish(overwrite)
    return Download(file.target, size, response, actual)


# -- what a response says of its file


def declared_length(response: ResponseHead) -> int | None:
    """The length of the body by its Content-Length; None where it has none, or is decoded on the way."""
    if response.coding is not None or response.field(b"transfer-encoding") is not None:
        return None
    value = response.field(b"content-length")
    return int(value) if value is not None and value.isdigit() and len(value) <= 18 else None


def validator_of(response: ResponseHead) -> str | None:
    """What tells this representation from any other: a strong ETag, or a Last-Modified that is one by the Date (RFC 9110 section 8.8.2.2).

    None for an encoded body, of which a range could not be decoded, and where there is a weak ETag: then a date won't do (13.1.5).
    """
    if response.field(b"content-encoding") is not None:
        return None
    tag = response.field(b"etag")
    if tag is not None:
        return text(tag) if _STRONG_TAG.fullmatch(text(tag)) else None
    modified, date = response.field(b"last-modified"), response.field(b"date")
    if modified is None or date is None:
        return None
    changed, sent = http_date(text(modified)), http_date(text(date))
    return text(modified) if changed is not None and sent is not None and sent - changed >= 1 else None


def content_range(response: ResponseHead) -> ContentRange | None:
    """The Content-Range of a 206 or a 416; None where there is none, several, or one that contradicts itself."""
    values = response.field_values(b"content-range")
    if len(values) != 1 or (found := _CONTENT_RANGE.fullmatch(values[0].strip())) is None:
        return None
    first, last, total = (None if digits is None else int(digits) for digits in found.groups())
    if first is not None and last is not None and (first > last or (total is not None and last >= total)):
        return None
    return ContentRange(first, last, total)


def check_declared(file: PartialFile, response: ResponseHead) -> None:
    """Raise LimitExceeded where the file would pass a cap, before any of it is here."""
    cap = cap_of(response.request)
    if cap is not None and file.total is not None and file.total > cap:
        raise _over(cap, response.request)


def cap_of(request: Request) -> int | None:
    """The most bytes that a file may have: the request's own `max_body`, the guard's; not the client's, which is for memory."""
    if (request.own_terms or {}).get("max_body") is not None:
        return request.terms.max_body
    return request.terms.max_stream


def _over(cap: int, request: Request) -> LimitExceeded:
    return LimitExceeded(
        f"the file is longer than the {cap} bytes that max_body, or the client's guard, admits", request=request, limit="body"
    )


def named_target(path: str | os.PathLike[str], response: ResponseHead, overwrite: bool | None) -> tuple[bool, Path]:
    """Whether the target may be replaced, and which file it is: in a folder, one by the name that the response suggests."""
    if (target := explicit_target(path)) is not None:
        return overwrite is not False, target
    name = file_name(response.field(b"content-disposition"), response.url.raw_path)
    return bool(overwrite), Path(path) / name


def explicit_target(path: str | os.PathLike[str]) -> Path | None:
    """The file that `path` names; None where it is a folder."""
    given = os.fspath(path)
    if not isinstance(given, str):
        raise TypeError(f"path takes a str or a Path, not {type(given).__name__}")
    if os.path.isdir(given):
        return None
    if given.endswith(("/", os.sep)):
        raise FileNotFoundError(errno.ENOENT, "there is no such folder to save to", given)
    return Path(os.path.realpath(given))  # a link stays one, and leads to the new file


def source_of(request: Request) -> str:
    """Whose bytes a part file holds, by the first request. No URL, which may hold a password or a token."""
    return hashlib.sha256(str(request.url.with_fragment(None)).encode("utf-8", "surrogateescape")).hexdigest()


# -- options


def checked_digest(given: Any) -> str | None:
    """64 hexadecimal digits, lower case. Errors: TypeError, ValueError."""
    if given is None:
        return None
    if not isinstance(given, str):
        raise TypeError(f"sha256= takes hexadecimal digits, not {type(given).__name__}")
    digits = given.strip().lower()
    if not re.fullmatch("[0-9a-f]{64}", digits):
        raise ValueError(f"sha256={given!r}: a SHA-256 has 64 hexadecimal digits")
    return digits


def check_progress(given: Any) -> None:
    """Raise TypeError unless it is None or a plain function."""
    if given is not None and not is_plain_function(given):
        raise TypeError(f"progress= takes a plain function of the bytes done and their total, not {given!r}")


def checked_speed(given: Sequence[float] | None) -> tuple[float, float] | None:
    """(bytes a second, seconds). Errors: TypeError, ValueError."""
    if given is None:
        return None
    pair: Any = given
    if not isinstance(pair, tuple | list) or [type(number) in (int, float) for number in pair] != [True, True]:
        raise TypeError(f"min_speed= takes (bytes a second, seconds), not {given!r}")
    speed, seconds = pair
    if not (0 < speed < float("inf") and 0 < seconds < float("inf")):
        raise ValueError(f"min_speed={given!r}: both must be above 0")
    return speed, seconds
