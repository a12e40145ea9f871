"""What the pool's bookkeeping costs, and that it doesn't grow: a few waiters for one origin beside many for a thousand.

Connections and slots are the real ones, transports are played; no byte is read or written. Each figure is the least of the rounds, which
take turns, as other processes only ever add time.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Callable
from time import perf_counter
from typing import Any

from aioreq.config import Limits
from aioreq.connection import Connection
from aioreq.dialer import Dialer
from aioreq.opener import Route
from aioreq.slots import Queue, Slots, Waiter
from aioreq.urls import Origin

SLOTS = 20
STEPS = 5000  # measured at a time


class PlayedTransport(asyncio.Transport):
    def abort(self) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


class Scene:
    """Every slot in use, `waiters` in line, spread over `origins`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, waiters: int, origins: int) -> None:
        self.loop = loop
        self.limits = Limits(connections=SLOTS, idle=SLOTS)
        self.slots = Slots(loop, self.limits)
        self.random = random.Random(1)
        dialer = Dialer()
        self.routes = [Route(Origin("http", f"origin-{n}.test", 80), None, dialer) for n in range(origins)]
        for n in range(SLOTS):
            queue = self.slots.queue(self.routes[n % origins])
            self.slots.take(queue)
            self.slots.add(self.connection(), queue)
        for n in range(waiters):
            self.slots.join(self.slots.queue(self.routes[n % origins]))

    def connection(self) -> Connection:
        connection = Connection(self.loop, self.limits, "played", secure=False)
        connection.transport = PlayedTransport()
        connection.idle_since = self.loop.time()
        return connection

    @property
    def busy(self) -> list[tuple[Connection, Queue]]:
        return list(self.slots.queue_of.items())

    # -- what is measured; each leaves the scene as it was

    def hand_over(self) -> Callable[[int], None]:
        """A connection comes back and goes to the next waiter of its origin; another one joins the line."""
        busy = self.busy

        def step(n: int) -> None:
            connection, queue = busy[n % SLOTS]
            self.slots.join(queue)
            queue.streak = 0  # its turn never ends here: that is `change_hands`
            self.slots.freed(connection)

        return step

    def change_hands(self) -> Callable[[int], None]:
        """A connection ends; its slot goes to the origin whose turn it is, which opens one of its own; another waiter joins the line."""
        connections = [connection for connection, _ in self.busy]

        def step(n: int) -> None:
            queue = next(iter(self.slots.blocked))  # who is served next
            self.slots.join(queue)
            connections[n % SLOTS].close()
            connections[n % SLOTS] = self.connection()
            self.slots.add(connections[n % SLOTS], queue)

        return step

    def give_up(self) -> Callable[[int], None]:
        """Somebody in the middle of a line leaves it; another waiter joins."""
        waiters: list[tuple[Queue, Waiter]] = [(queue, waiter) for queue in self.slots.queues.values() for waiter in queue.waiters]
        self.random.shuffle(waiters)

        def step(n: int) -> None:
            queue, waiter = waiters[n % len(waiters)]
            self.slots.leave(queue, waiter)
            waiters[n % len(waiters)] = (queue, self.slots.join(self.slots.queue(queue.route)))

        return step


class IdleScene(Scene):
    """Nobody waits: one connection of each origin idles."""

    def __init__(self, loop: asyncio.AbstractEventLoop, waiters: int, origins: int) -> None:
        super().__init__(loop, 0, 1)
        self.limits = Limits(connections=origins, idle=origins)
        self.slots = Slots(loop, self.limits)
        self.routes = [Route(Origin("http", f"origin-{n}.test", 80), None, Dialer()) for n in range(origins)]
        for route in self.routes:
            queue = self.slots.queue(route)
            self.slots.take(queue)
            connection = self.connection()
            self.slots.add(connection, queue)
            self.slots.freed(connection)

    def take_and_give_back(self) -> Callable[[int], None]:
        """A connection is taken from its idle stack and comes back to it."""
        routes = self.routes

        def step(n: int) -> None:
            connection = self.slots.take_idle(routes[n % len(routes)], True)
            assert connection is not None
            self.slots.freed(connection)

        return step


WORK: list[tuple[str, type[Scene], str]] = [
    ("taken from the idle ones and given back", IdleScene, "take_and_give_back"),
    ("given back to the next waiter", Scene, "hand_over"),
    ("closed, its slot to another origin", Scene, "change_hands"),
    ("a waiter gives up", Scene, "give_up"),
]


def seconds(step: Callable[[int], None]) -> float:
    """Seconds a step."""
    began = perf_counter()
    for n in range(STEPS):
        step(n)
    return (perf_counter() - began) / STEPS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pool", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--waiters", type=int, nargs=2, default=[10, 10_000])
    parser.add_argument("--origins", type=int, nargs=2, default=[1, 1000])
    arguments = parser.parse_args()
    loop = asyncio.new_event_loop()
    few, many = (f"{w} / {o}" for w, o in zip(arguments.waiters, arguments.origins, strict=True))
    print(f"microseconds a step, by waiters / origins\n{'':<42} {few:>10} {many:>14} {'ratio':>6}")
    for title, scene, name in WORK:
        steps = [getattr(scene(loop, *size), name)() for size in zip(arguments.waiters, arguments.origins, strict=True)]
        least = [min(times) for times in zip(*[[seconds(step) for step in steps] for _ in range(arguments.rounds)], strict=True)]
        print(f"{title:<42} {least[0] * 1e6:>10.2f} {least[1] * 1e6:>14.2f} {least[1] / least[0]:>6.2f}")
    loop.close()


if __name__ == "__main__":
    main()
