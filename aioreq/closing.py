"""How a client's pools end, each on the loop that it belongs to. Knows pools and loops, no client."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

from .pool import Pool

__all__ = ["close_now", "drained"]

_LOOK_AGAIN = 0.5  # seconds after which a closing client looks whether the loops that it waits for still run


async def drained(pools: dict[asyncio.AbstractEventLoop, Pool], wait: float) -> None:
    """Return when nothing is under way any more, or after `wait` seconds."""
    ends: dict[asyncio.Future[None], asyncio.AbstractEventLoop] = {}
    running = asyncio.get_running_loop()
    due = running.time() + wait
    for loop, pool in list(pools.items()):
        end: asyncio.Future[None] = running.create_future()
        if loop is running:
            pool.drain(partial(_tell, end))
        elif loop.is_running():
            try:
                loop.call_soon_threadsafe(pool.drain, partial(_tell, end))
            except RuntimeError:  # it was closed in this very moment
                continue
        else:
            continue
        ends[end] = loop
    while ends and (left := due - running.time()) > 0:
        await asyncio.wait(ends, timeout=min(left, _LOOK_AGAIN))
        # A loop that is stopped, and not by a runner, tells nobody.
        ends = {end: loop for end, loop in ends.items() if not end.done() and loop.is_running()}


async def close_now(pools: dict[asyncio.AbstractEventLoop, Pool]) -> None:
    """Close every pool: the running loop's at once, another one's by that loop."""
    running = asyncio.get_running_loop()
    for loop, pool in list(pools.items()):
        if loop is running:
            pool.close()
        else:
            try:
                loop.call_soon_threadsafe(pool.close)
            except RuntimeError:  # that loop is closed, perhaps in this very moment by its own thread
                pools.pop(loop, None)
    pools.pop(running, None)
    # Two turns of the loop, and the transports have let go of their sockets.
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def _tell(end: asyncio.Future[None]) -> None:
    """Resolve a future of any thread's loop, which may be closed by now."""
    with suppress(RuntimeError):
        end.get_loop().call_soon_threadsafe(_resolve, end)


def _resolve(end: asyncio.Future[None]) -> None:
    if not end.done():
        end.set_result(None)
