"""What a `StreamReader` made by hand is given as its protocol. Connections are the core's: no transport is behind it."""

from __future__ import annotations

import asyncio

__all__ = ["BaseProtocol"]


class BaseProtocol(asyncio.Protocol):
    """Remembers whether its reader has room."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._reading_paused = False
        self.transport: asyncio.Transport | None = None

    @property
    def connected(self) -> bool:
        """It never is."""
        return self.transport is not None

    def pause_reading(self) -> None:
        """The reader is full."""
        self._reading_paused = True

    def resume_reading(self) -> None:
        """The reader has room."""
        self._reading_paused = False
