"""A file on its way to its name: written beside it, renamed when it is whole, and found again by who goes on with it.

Knows disks: no request, no response. Opening, renaming and closing are done at once, by the loop's own thread, so that no cancellation
can fall between a file and its owner; what takes long (writing, flushing, reading it again) runs in a thread.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import stat
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

from . import threads

__all__ = ["PartialFile", "Piece", "check_target"]

STEP = 256 * 1024  # bytes read at once for a digest
SAVED_EACH = 16 * 1024 * 1024  # bytes after which the state of a file in several pieces is written again
LONGEST_STATE = 1024 * 1024
LONGEST = 230  # bytes of a name beside which there is room for what a part file adds


@dataclass(slots=True)
class Piece:
    """Bytes `start` to `end` of the file, of which those before `at` are here; `end` is None while nobody knows it."""

    start: int = 0
    end: int | None = None
    at: int = 0

    @property
    def whole(self) -> bool:
        return self.at == self.end


class PartialFile:
    """What is here of `target`: `pieces` of `total` bytes (None: not known), of the representation that `validator` tells from others.

    With `keep` the part file has a name that the next one for this target and `source` finds, and is left where it can be gone on
    with; nobody else may write to it meanwhile (BlockingIOError). `source` says whose bytes these are, in a form that is no secret.
    """

    def __init__(self, target: Path, source: str = "", *, keep: bool = False) -> None:
        check_target(target)
        self.target = target
        self.keep = keep
        self.validator: str | None = None
        self.total: int | None = None
        self.pieces = [Piece()]
        self._source = source
        self._saved = 0
        self._unsaved = 0
        self._beginnings = 0
        self._lock = threading.Lock()  # of the file's position, and its end: who closes or empties it waits for a write under way
        name = target.name
        if len(name.encode("utf-8", "surrogateescape")) > LONGEST:
            name = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
        self.path = target.with_name(f".{name}.part" if keep else f".{name}.{secrets.token_hex(4)}.part")
        self._state_path = self.path.with_name(self.path.name + ".json")
        self._new_state_path = self.path.with_name(self.path.name + ".json.new")
        self._file: BinaryIO | None = _opened_alone(self.path) if keep else _opened(self.path, os.O_EXCL)
        with contextlib.suppress(OSError, AttributeError):  # whom the target is hidden from, its next content is
            os.fchmod(self._file.fileno(), stat.S_IMODE(target.stat().st_mode) & 0o777 | 0o600)
        if keep and not self._load():
            self.validator, self.total, self.pieces = None, None, [Piece()]

    @property
    def done(self) -> int:
        """Bytes that are here."""
        return sum(piece.at - piece.start for piece in self.pieces)

    @property
    def ended(self) -> bool:
        """Whether it has its name, or was let go."""
        return self._file is None

    @property
    def worth_keeping(self) -> bool:
        """Whether somebody asked for it, and can go on with it."""
        return self.keep and self.validator is not None and self.done > 0

    def begin(self, validator: str | None, total: int | None) -> None:
        """Forget what is here: another representation begins, in one piece, that may be gone on with where there is a validator."""
        assert self._file is not None
        piece = self.pieces[0]
        with self._lock:
            self._beginnings += 1
            self._file.truncate(0)
        piece.start, piece.at, piece.end = 0, 0, total
        self.validator, self.total, self.pieces = validator, total, [piece]
        self.save_state()

    def split(self, count: int) -> list[Piece]:
        """Divide what is missing of the last piece, whose end is known, by `count`; gives the new pieces."""
        last = self.pieces[-1]
        assert last.end is not None
        cuts = [last.at + (last.end - last.at) * number // count for number in range(1, count)] + [last.end]
        last.end = cuts[0]
        new = [Piece(start, end, start) for start, end in pairwise(cuts)]
        self.pieces += new
        self.save_state()
        return new

    async def write(self, piece: Piece, data: Sequence[bytes]) -> None:
        """Put the next bytes of a piece into the file. Errors: OSError."""
        await threads.run(self._write, self._beginnings, piece.at, data)
        self._written(piece, sum(map(len, data)))

    def write_now(self, piece: Piece, data: Sequence[bytes]) -> None:
        """The same without a thread, for what is left when a task is cancelled."""
        self._write(self._beginnings, piece.at, data)
        self._written(piece, sum(map(len, data)))

    def _write(self, beginning: int, at: int, data: Sequence[bytes]) -> None:
        with self._lock:
            if self._file is None or beginning != self._beginnings:
                return  # closed meanwhile, or begun anew: a thread outlives the task that was cancelled
            self._file.seek(at)
            for chunk in data:
                left = memoryview(chunk)
                while left:
                    left = left[self._file.write(left) :]

    def _written(self, piece: Piece, size: int) -> None:
        piece.at += size
        self._unsaved += size
        if len(self.pieces) > 1 and self._unsaved >= SAVED_EACH:
            self.save_state()

    async def sha256(self) -> str:
        """The digest of what is in the file."""
        digest = hashlib.sha256()
        at = 0
        while size := await threads.run(self._digest, digest, at):
            at += size
        return digest.hexdigest()

    def _digest(self, digest: Any, at: int) -> int:
        with self._lock:
            if self._file is None:
                return 0
            self._file.seek(at)
            data = self._file.read(STEP)
        digest.update(data)
        return len(data)

    def _flush(self) -> None:
        with self._lock:
            if self._file is None:
                return
            own = os.dup(self._file.fileno())  # it may take seconds, for which nobody who closes the file shall wait
        try:
            os.fsync(own)
        finally:
            os.close(own)

    async def finish(self, overwrite: bool = True) -> None:
        """Flush it to the disk and give it its name; the file of that name is replaced. Errors: OSError, FileExistsError."""
        assert self._file is not None
        await threads.run(self._flush)
        # From here on without a pause: nobody sees it half done.
        if os.name == "nt":
            self._close()  # what is open can't be renamed there
        if overwrite:
            os.replace(self.path, self.target)
        else:
            _rename_to_new(self.path, self.target)
        self._state_path.unlink(missing_ok=True)
        self._close()

    def end(self, keep: bool = True) -> None:
        """Let go: what was not finished is removed, unless `keep` was asked for and it can be gone on with. May be called twice."""
        if self._file is None:
            return
        if keep and self.worth_keeping:
            with contextlib.suppress(OSError):
                self.save_state()
        else:
            if os.name == "nt":
                self._close()
            for path in (self.path, self._state_path, self._new_state_path):
                with contextlib.suppress(OSError):
                    path.unlink()
        self._close()

    def _close(self) -> None:
        with self._lock:
            file, self._file = self._file, None
        if file is not None:
            if self.keep:
                _unlock(file)
            file.close()

    # -- its state: a small JSON file beside it

    def save_state(self) -> None:
        """Write down what the next one has to know. Bytes that aren't in the file yet are not in the state either."""
        self._unsaved = 0
        if not self.keep:
            return
        if self.validator is None:
            self._state_path.unlink(missing_ok=True)
            return
        pieces = [[piece.start, piece.end, piece.at] for piece in self.pieces]
        state = {"source": self._source, "validator": self.validator, "total": self.total, "pieces": pieces}
        self._new_state_path.unlink(missing_ok=True)
        with _opened(self._new_state_path, os.O_EXCL) as new:
            new.write(json.dumps(state).encode())
        os.replace(self._new_state_path, self._state_path)

    def _load(self) -> bool:
        """Whether there is something to go on with; all of it is looked at, since anybody may have written it."""
        assert self._file is not None
        try:
            with open(self._state_path, "rb") as file:
                if not _is_own(file):
                    return False
                state = json.loads(file.read(LONGEST_STATE))
            if state["source"] != self._source:
                return False
            validator, total = state["validator"], state["total"]
            pieces = [Piece(start, end, at) for start, end, at in state["pieces"]]
            numbers = [
                *(number for piece in pieces for number in (piece.start, piece.at)),
                total or 0,
                *(piece.end or 0 for piece in pieces),
            ]
        except (OSError, ValueError, TypeError, LookupError, RecursionError):
            return False
        if not isinstance(validator, str) or not validator or not all(type(number) is int and number >= 0 for number in numbers):
            return False
        size = os.fstat(self._file.fileno()).st_size
        if len(pieces) == 1:
            pieces[0].at = size  # written in order: the file itself knows best
        elif total is None:
            return False
        expected = 0
        for piece in pieces:
            if piece.start != expected or not piece.start <= piece.at <= (size if piece.end is None else piece.end):
                return False
            if piece.at > max(size, piece.start):
                return False
            expected = -1 if piece.end is None else piece.end
        if expected != (-1 if total is None else total) or not pieces:
            return False
        self.validator, self.total, self.pieces = validator, total, pieces
        return True


def check_target(target: Path, overwrite: bool = True) -> None:
    """Raise OSError where no file of that name can be made, or, without `overwrite`, there is one."""
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder to save to", str(target))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if target.exists() and not target.is_file():
        raise FileExistsError(errno.EEXIST, "this is no regular file, and can't be replaced by one", str(target))
    if not overwrite and target.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))


def _opened(path: Path, flags: int) -> BinaryIO:
    flags |= os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return open(os.open(path, flags, 0o666), "r+b", buffering=0)


def _is_own(file: BinaryIO) -> bool:
    """Whether it is a regular file that nobody else planted, as anybody can in a folder like /tmp."""
    status = os.fstat(file.fileno())
    return stat.S_ISREG(status.st_mode) and (os.name == "nt" or (status.st_uid == os.geteuid() and status.st_nlink == 1))


def _opened_alone(path: Path) -> BinaryIO:
    while True:
        file = _opened(path, 0)
        try:
            if not _is_own(file):
                raise FileExistsError(errno.EEXIST, "this is no file of ours to go on with: remove it first", str(path))
            if sys.platform != "win32":
                import fcntl

                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise BlockingIOError(errno.EWOULDBLOCK, "another download is writing to this file", str(path)) from None
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    return file
        except BaseException:
            file.close()
            raise
        file.close()  # the other one was just done with it


def _unlock(file: BinaryIO) -> None:
    """Now, whoever else has the file open: a flush that goes on, a forked child."""
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_UN)


def _rename_to_new(path: Path, target: Path) -> None:
    try:
        os.link(path, target)  # the one way that never replaces a file
    except FileExistsError:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
    except (OSError, AttributeError):  # a disk without links
        check_target(target, overwrite=False)
        os.rename(path, target)
    else:
        path.unlink()
