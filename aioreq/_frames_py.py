"""The two ends of the usual WebSocket frame (RFC 6455 section 5.2) in plain Python: what is sent, and messages that came in one frame each.

Everything that isn't usual, and what is wrong with it, is frames.py's business.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from ._gathered_py import Gathered
from ._masking_py import masked

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Payload", "forget_keys", "framed", "hand_on_whole"]

_HEAD_7, _HEAD_16, _HEAD_64 = struct.Struct("!BB"), struct.Struct("!BBH"), struct.Struct("!BBQ")
_KEYS = 256  # masking keys made at once: a system call for each would cost as much as a frame
_MASK = 0x80
_WHOLE = (0x81, 0x82)  # FIN and TEXT, FIN and BINARY

_keys: list[bytes] = []


def forget_keys() -> None:
    """Make new ones: no two processes use the same."""
    _keys.clear()


def _key() -> bytes:
    """Four bytes that nobody can foretell (sections 5.3 and 10.3)."""
    try:
        return _keys.pop()
    except IndexError:
        made = os.urandom(4 * _KEYS)
        _keys.extend([made[at : at + 4] for at in range(4, len(made), 4)])
        return made[:4]


def framed(first: int, payload: Buffer) -> bytes:
    """A frame that begins with this byte, masked by a key of its own. A view must be one of bytes."""
    length = memoryview(payload).nbytes
    if length < 126:
        head = _HEAD_7.pack(first, _MASK | length)
    elif length < 65536:
        head = _HEAD_16.pack(first, _MASK | 126, length)
    else:
        head = _HEAD_64.pack(first, _MASK | 127, length)
    return masked(head, _key(), payload)


def hand_on_whole(data: Buffer, at: int, end: int, most: int, on_piece: Callable[[int, bytes, bool, bool], None]) -> int:
    """Behind the unfragmented messages of `most` bytes at most that stand from `at` on, each of which `on_piece` is given."""
    with memoryview(data) as octets:
        if at < 0 or end > len(octets):
            raise ValueError("more bytes than there are")
        while end - at >= 4 and octets[at] in _WHOLE:
            start, length = at + 2, octets[at + 1]
            if length == 126:
                start, length = at + 4, octets[at + 2] << 8 | octets[at + 3]
                if length < 126:
                    break
            elif length == 127 and end - at >= 10:
                start, length = at + 10, int.from_bytes(octets[at + 2 : at + 10], "big")
                if length < 65536:
                    break
            elif length > 126:
                break
            if length > end - start or length > most:
                break
            on_piece(octets[at] & 0x0F, bytes(octets[start : start + length]), True, False)
            at = start + length
    return at


class Payload:
    """A frame's payload of `total` bytes on its way into one piece, `filled` of which are here. Memory grows with what arrives."""

    __slots__ = ("_gathered", "_total")

    def __init__(self, total: int) -> None:
        self._total = total
        self._gathered = Gathered(total, spare=False)

    @property
    def filled(self) -> int:
        return self._gathered.filled

    def add(self, data: Buffer, at: int, end: int) -> None:
        """`data[at:end]` came."""
        with memoryview(data) as octets:
            if not 0 <= at <= end <= len(octets) or end - at > self._total - self._gathered.filled:
                raise ValueError("more bytes than there are, or than there is room for")
            self._gathered.room(end - at)[: end - at] = octets[at:end]
            self._gathered.filled += end - at

    def room(self) -> memoryview:
        """Where what comes next may be put, to be told by `landed`."""
        return self._gathered.room()

    def landed(self, size: int) -> None:
        if not 0 <= size <= len(self._gathered.room()):
            raise ValueError(f"{size} bytes can't have come into the room")
        self._gathered.filled += size

    def take(self) -> bytes:
        """What is here; nothing more is added."""
        return self._gathered.copy()
