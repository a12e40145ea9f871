"""A file's bytes from the system's memory into a socket, without a copy of them in this process: Linux's sendfile.

The loops' own `sendfile` stops the reading meanwhile, and uvloop has none: answers that come early would be lost. Knows two descriptors;
when to go on, the upload knows. Off Linux, and on file systems that can't tell what is in memory, there is none of this.
"""

from __future__ import annotations

import errno
import os
from typing import Any

from . import threads

__all__ = ["FileSource", "is_of_socket"]

WINDOW = 1024 * 1024  # bytes of which is known that they are in memory
STEP = 256 * 1024  # bytes that one read from the disk takes

_OF_SOCKETS = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.ENETRESET, errno.EHOSTDOWN, errno.ENOBUFS})


class FileSource:
    """A stretch of an open file. Its place is of no matter, and stays what it is; closed meanwhile, the file is sent all the same."""

    __slots__ = ("_at", "_descriptor", "_end", "_known", "_probe")

    def __init__(self, file: Any, start: int, length: int) -> None:
        self._descriptor = _Descriptor(os.dup(file.fileno()))
        self._at = self._known = start
        self._end = start + length
        self._probe = bytearray(1)

    @classmethod
    def of(cls, file: Any, start: int, length: int) -> FileSource | None:
        """None where the system has no way for it."""
        if not (hasattr(os, "sendfile") and hasattr(os, "RWF_NOWAIT")):
            return None
        try:
            source = cls(file, start, length)
            source.in_memory()
        except (OSError, ValueError):  # also of a file that was closed just now, and where there is no descriptor left
            return None
        return source

    @property
    def left(self) -> int:
        """Bytes still to be sent."""
        return self._end - self._at

    def in_memory(self) -> bool:
        """Whether what is sent next needn't wait for a disk: the last byte of the window stands for those before it."""
        if self._at < self._known:
            return True
        known = min(self._at + WINDOW, self._end)
        try:
            os.preadv(self._descriptor.number, [self._probe], known - 1, os.RWF_NOWAIT)
        except BlockingIOError:
            return False
        self._known = known
        return True

    async def read_ahead(self) -> None:
        """Have the next window read into memory, by a thread."""
        self._known = min(self._at + WINDOW, self._end)
        await threads.run(_read, self._descriptor, self._at, self._known)

    def send(self, socket: int) -> int:
        """How many bytes the socket took: 0 at the end of the file. Errors: OSError; BlockingIOError where it takes none for now."""
        sent = os.sendfile(socket, self._descriptor.number, self._at, self._known - self._at)
        self._at += sent
        return sent


class _Descriptor:
    """Closed when the last one lets go of it, which may be a thread that still reads."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


def _read(descriptor: _Descriptor, start: int, end: int) -> None:
    scratch = memoryview(bytearray(min(STEP, end - start)))
    while start < end and (size := os.preadv(descriptor.number, [scratch[: end - start]], start)):
        start += size


def is_of_socket(error: OSError) -> bool:
    """Whether the connection is to blame for what `send` raised, and not the file."""
    return isinstance(error, ConnectionError | TimeoutError) or error.errno in _OF_SOCKETS
