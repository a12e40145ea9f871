"""Writes multipart/form-data (RFC 7578) byte for byte as browsers do (HTML, "multipart/form-data encoding algorithm").

Knows parts and a boundary. What a user may give for a part, forms.py decides; control bytes are refused where heads are written.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import AsyncIterator
from typing import NamedTuple

from . import threads
from .errors import LocalProtocolError
from .forms import newlines
from .request_body import FILE_CHUNK, StreamedBody
from .request_head import field_line

__all__ = ["Part", "boundary_of", "completed", "new_boundary", "part_head", "path_body", "write"]

TOGETHER = 256 * 1024  # bytes that are joined for one write: a copy of these costs less than a second write
_ESCAPES = str.maketrans({"\r": "%0D", "\n": "%0A", '"': "%22"})
# RFC 2046 section 5.1.1, as a parameter is written (RFC 9110 section 5.6.6).
_BOUNDARY = re.compile(r'(?i:;[ \t]*boundary=)(?:"([^"]*)"|([^ \t;"]*))')
_LEGAL_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")


class Part(NamedTuple):
    """One part; `name` is its field's, for errors."""

    name: str
    head: bytes
    body: bytes | StreamedBody


def part_head(name: str, filename: str | None, fields: list[tuple[str, str]]) -> bytes:
    """The head of a part, up to the empty line. Errors: InvalidHeader."""
    disposition = f'form-data; name="{newlines(name).translate(_ESCAPES)}"'
    if filename is not None:
        disposition += f'; filename="{filename.translate(_ESCAPES)}"'
    return b"".join([field_line(*field) for field in (("Content-Disposition", disposition), *fields)]) + b"\r\n"


def new_boundary() -> str:
    """128 random bits: none of the parts holds them by chance."""
    return os.urandom(16).hex()


def boundary_of(content_type: str) -> str | None:
    """The boundary that a Content-Type names, None without one. Errors: LocalProtocolError for one that RFC 2046 forbids."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        return None
    boundary: str = found[1] if found[1] is not None else found[2]
    if not _LEGAL_BOUNDARY.fullmatch(boundary):
        raise LocalProtocolError(
            f"Content-Type: {boundary!r} is no boundary (RFC 2046 section 5.1.1): give 1 to 70 letters, digits or '()+_,-./:=?"
        )
    return boundary


def completed(content_type: str, boundary: str) -> str:
    """The Content-Type with the boundary, which it lacks."""
    return f"{content_type.rstrip(' ;')}; boundary={boundary}"


def write(parts: list[Part], boundary: str, chosen: bool) -> bytes | StreamedBody:
    """The body: bytes where it is small and all there, else a stream, of known length and replayable where all parts are.

    A boundary that somebody has `chosen` may stand in a part by mistake: LocalProtocolError, for a streamed part while it is sent.
    """
    delimiter = b"--" + boundary.encode("ascii")
    pieces: list[bytes | StreamedBody] = []
    for part in parts:
        if not isinstance(part.body, StreamedBody):
            if chosen and delimiter in part.body:
                raise _stands_in(part.name, boundary)
        elif not part.body.sendable:
            raise LocalProtocolError(
                f"form field {part.name!r}: its content was already read and can't be sent again: give bytes, a list or a file instead of "
                "a generator"
            )
        pieces += (delimiter + b"\r\n" + part.head, part.body, b"\r\n")
    pieces.append(delimiter + b"--\r\n")
    joined = _joined(pieces)
    if len(joined) == 1 and isinstance(joined[0], bytes):
        return joined[0]
    lengths = [len(piece) if isinstance(piece, bytes) else piece.length for piece in joined]
    names = {id(part.body): part.name for part in parts}

    async def chunks() -> AsyncIterator[bytes]:
        for piece in joined:
            if isinstance(piece, bytes):
                yield piece
                continue
            tail, given = b"", 0
            async with contextlib.aclosing(piece.chunks()) as content:  # type: ignore[type-var]
                async for chunk in content:
                    given += len(chunk)
                    if chosen:
                        tail += chunk
                        if delimiter in tail:
                            raise _stands_in(names[id(piece)], boundary)
                        tail = tail[-len(delimiter) :]
                    yield chunk
            if piece.length not in (None, given):  # nobody else can tell where the form goes out chunked
                raise LocalProtocolError(
                    f"form field {names[id(piece)]!r}: it gave {given} bytes, not the {piece.length} that it had: has its file changed?"
                )

    length = None if None in lengths else sum(filter(None, lengths))
    return StreamedBody(chunks, length, all(isinstance(piece, bytes) or piece.replayable for piece in joined))


def _joined(pieces: list[bytes | StreamedBody]) -> list[bytes | StreamedBody]:
    """The same with neighbouring bytes joined; large ones stay as they are."""
    joined: list[bytes | StreamedBody] = []
    run: list[bytes] = []
    size = 0
    for piece in (*pieces, None):
        if run and not (isinstance(piece, bytes) and size + len(piece) <= TOGETHER):
            joined.append(b"".join(run))
            run, size = [], 0
        if isinstance(piece, bytes):
            run.append(piece)
            size += len(piece)
        elif piece is not None:
            joined.append(piece)
    return joined


def _stands_in(name: str, boundary: str) -> LocalProtocolError:
    return LocalProtocolError(
        f"form field {name!r}: the boundary {boundary!r} of your Content-Type stands in its content: choose another, or leave it to us"
    )


def path_body(path: str) -> StreamedBody:
    """A regular file, read in a thread of ours, from its beginning each time it is sent.

    It is opened for each chunk, so that no end of a request can leave it open. What is appended meanwhile isn't sent; where another file
    takes its place, that is a LocalProtocolError. Errors: OSError, ValueError.
    """
    found = os.stat(path)
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(f"{path!r} is a directory")
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{path!r} is no regular file: open it, and give the file")

    def read(at: int) -> bytes:
        with open(path, "rb", buffering=0) as file:
            if not os.path.samestat(os.fstat(file.fileno()), found):
                raise LocalProtocolError(f"another file took the place of {path!r} before all of it was sent")
            file.seek(at)
            return file.read(min(FILE_CHUNK, found.st_size - at)) or b""

    async def chunks() -> AsyncIterator[bytes]:
        at = 0
        while at < found.st_size and (chunk := await threads.run(read, at)):
            at += len(chunk)
            yield chunk

    return StreamedBody(chunks, found.st_size, True)
