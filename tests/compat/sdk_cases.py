"""What the tests of both SDKs ask: their clients upon a library's transport or ours, and 1,000 streams cancelled on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from peers import needed_module

from aioreq.testing import Reset, Script

from .language_models import LanguageModels

__all__ = ["FIVE_WORDS", "LATER", "RESET", "Upon", "both", "streams_cancelled"]

FIVE_WORDS = "it was the best of"
LATER = [("Content-Type", "application/json"), ("Retry-After", "0.05"), ("Retry-After-Ms", "50")]
RESET = Script((Reset(),))

SLOTS = 10
STREAMS = 1000


@dataclass(frozen=True)
class Upon:
    """httpx or httpx2, upon its own transport or ours."""

    library: str
    ours: bool = True

    def __str__(self) -> str:
        return f"{self.library}-{'aioreq' if self.ours else 'itself'}"

    @property
    def lib(self) -> Any:
        return needed_module(self.library, self.library)

    def transport(self, *, sync: bool = False, **options: Any) -> Any:
        home = importlib.import_module(f"aioreq.compat.{self.library}") if self.ours else self.lib
        name = ("" if sync else "Async") + ("" if self.ours else "HTTP") + "Transport"
        return getattr(home, name)(**options)

    @contextlib.asynccontextmanager
    async def client(self, **options: Any) -> AsyncIterator[Any]:
        """The library's client, for the SDK; closed afterwards."""
        async with self.lib.AsyncClient(transport=self.transport(**options), timeout=30) as client:
            yield client


async def streams_cancelled(models: LanguageModels, upon: Upon, sdk: Callable[[Any], Any], stream: Callable[[Any], Any]) -> None:
    """1,000 endless streams over 10 slots, each cancelled somewhere: waiting, connecting, before the head, at an event, or left early."""
    chance = random.Random(9)
    limits = upon.lib.Limits(max_connections=SLOTS)
    transport = upon.transport(limits=limits, verify=False)
    async with upon.lib.AsyncClient(transport=transport, timeout=30) as http_client:
        client = sdk(http_client)
        reached = {"events": 0, "left": 0}

        async def read(events: int | None) -> None:
            async for _ in stream(client):
                reached["events"] += 1
                if events is not None and (events := events - 1) <= 0:
                    reached["left"] += 1
                    return

        for _ in range(STREAMS // 50):
            tasks = [asyncio.create_task(read(chance.choice([None, None, None, 1, 5]))) for _ in range(50)]
            for task in chance.sample(tasks, len(tasks)):
                if (pause := chance.choice([None, None, 0, 0, 0.001, 0.005])) is not None:
                    await asyncio.sleep(pause)
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert [each for each in ended if not isinstance(each, asyncio.CancelledError | None)] == []
        assert reached["events"] > 50, "nearly all of them were cancelled before their first event: that proves little"
        await asyncio.sleep(0)  # a connection that was given up ends with the turn
        stats = transport.connector.stats()
        assert (stats.open - stats.idle, stats.opening, stats.waiting) == (0, 0, 0)
        await models.server.until(lambda: models.streams == 0)

        # And every slot is free: as many streams as there are slots, at the same time.
        together = [stream(client) for _ in range(SLOTS)]
        firsts = await asyncio.wait_for(asyncio.gather(*[anext(each) for each in together]), 20)
        assert len(firsts) == SLOTS
        assert transport.connector.stats().open == SLOTS
        for each in together:
            await each.aclose()


def both(*libraries: str) -> list[Any]:
    """Each library upon itself and upon ours, as parameters: what is asserted of ours holds for its own transport, too."""
    return [pytest.param(upon, id=str(upon)) for library in libraries for upon in (Upon(library, ours=False), Upon(library))]
