"""A body of declared length, or a frame's payload, on its way into one piece, in plain Python. Knows no message around it."""

from __future__ import annotations

# Nothing is allocated from a number that the peer sent beyond this, or twice what has arrived.
ROOM = 1024 * 1024


class Gathered:
    """`filled` bytes of `total`, and room behind them; with `spare` one byte more than the body needs, so that one too many is noticed."""

    def __init__(self, total: int, spare: bool = True) -> None:
        self._most = total + spare
        self._bytes = bytearray(min(self._most, ROOM))
        self.filled = 0

    def room(self, count: int = 1) -> memoryview:
        """Behind what has arrived: for `count` bytes at least."""
        wanted = self.filled + count
        if wanted > len(self._bytes):
            more = bytes(min(self._most, wanted * 2) - len(self._bytes))
            try:
                self._bytes += more
            except BufferError:  # the loop still holds the last room: that one stays where it is
                self._bytes = self._bytes + more
        return memoryview(self._bytes)[self.filled :]

    def copy(self) -> bytes:
        return bytes(memoryview(self._bytes)[: self.filled])
