"""For what must not outlive its event loop: be told when the loop ends. Knows no runner, and nothing of what ends then.

An asynchronous generator that was started on a loop is closed by `loop.shutdown_asyncgens`, which asyncio.run and every other runner
calls. It is the one sign that a loop gives of its end.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

__all__ = ["LoopEnd"]


class LoopEnd:
    """Calls `end`, once: when the running loop shuts down, soon after nobody holds this object any more, or by `now`.

    What `end` returns is awaited, on that loop. A loop that is closed without a runner calls nothing.
    """

    __slots__ = ("_generator",)

    def __init__(self, end: Callable[[], Awaitable[None] | None]) -> None:
        self._generator: Any = _closed_by(end)  # typing knows no ag_running
        _run(self._generator.__anext__())

    def now(self) -> None:
        """Call `end`, which awaits nothing, at once. Does nothing where it was called before, or is being called."""
        if not self._generator.ag_running:
            _run(self._generator.aclose())

    async def reached(self) -> None:
        """As `now`, for what `end` awaits."""
        if not self._generator.ag_running:
            await self._generator.aclose()


async def _closed_by(end: Callable[[], Awaitable[None] | None]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        ending = end()
        if ending is not None:
            await ending


def _run(step: Awaitable[None]) -> None:
    """Run what waits for nothing, without a task."""
    try:
        step.__await__().send(None)
    except StopIteration:
        pass
