"""What a pool's slots are used for: counted for whoever asks, told to whoever got none. Only reads; costs nothing until it is asked."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .deadlines import INFINITE
from .opener import Route
from .slots import Queue, Slots
from .urls import authority

__all__ = ["Stats", "count", "holders"]

_MOST_ORIGINS = 3  # that an error names


@dataclass(frozen=True, slots=True)
class Stats:
    """The connections of a client at one moment: `open` ones, `idle` ones among them, `opening`, and the requests `waiting` for a slot.

    `origins` has the same of each origin ("https://example.com:443") that uses or wants one; of an origin reached in several ways (by
    other TLS settings or proxies), the sum.
    """

    open: int = 0
    idle: int = 0
    opening: int = 0
    waiting: int = 0
    origins: Mapping[str, Stats] = field(default_factory=dict)


def count(pools: Iterable[Slots]) -> Stats:
    """The sum over several pools; may be called from any thread, whatever their loops do meanwhile."""
    origins: dict[str, Stats] = {}
    for slots in pools:
        for queue in list(slots.queues.values()):
            name = _name(queue.route)
            known = origins.get(name, Stats())
            connected = queue.connected
            origins[name] = Stats(
                open=known.open + connected,
                idle=known.idle + len(queue.idle),
                opening=known.opening + max(0, queue.open - connected),
                waiting=known.waiting + len(queue.waiters),
            )
    every = origins.values()
    return Stats(
        open=sum(stats.open for stats in every),
        idle=sum(stats.idle for stats in every),
        opening=sum(stats.opening for stats in every),
        waiting=sum(stats.waiting for stats in every),
        origins=origins,
    )


def holders(slots: Slots, queue: Queue) -> str:
    """Who holds the slots that a waiter of this queue got none of, which exchange has lasted longest, and what to do about it."""
    limits = slots.limits
    used = f"{slots.open} of {limits.connections} are taken, {queue.open} of them by this origin"
    own = bool(limits.per_host) and queue.open >= limits.per_host
    if own:
        used += f", which may have {limits.per_host}"
    held = {other: other.connected for other in slots.queues.values() if other.connected and other is not queue}
    if held and not own:
        most = heapq.nlargest(_MOST_ORIGINS, held.items(), key=lambda item: item[1])
        used += f" ({', '.join(f'{other.route}: {number}' for other, number in most)}{', ...' if len(held) > len(most) else ''})"
    known = [connection for connection, other in slots.queue_of.items() if other is queue or not own]
    longest = min(known, key=lambda connection: connection.busy_since, default=None)
    if longest is None or longest.busy_since == INFINITE:
        used += "; no exchange is under way yet"
    else:
        used += f"; the longest exchange: {longest.progress()}"
    advice = "per_host" if own else "connections"
    return f"{used}. Read streams to their end or close them, or raise Limits({advice}=...)"


def _name(route: Route) -> str:
    scheme, host, port = route.origin
    return f"{scheme}://{authority(host, port)}"
