"""A clock that stands still until a test moves it."""

from __future__ import annotations

NOW = 1_700_000_000.0


class Clock:
    """Seconds since 1970: `now`, to be set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now
