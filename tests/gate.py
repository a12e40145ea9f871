"""A route that holds requests up until the test opens it, and what tests do meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from aioreq.testing import Request, Server


class Gate:
    """Holds up the requests for /held until it is opened; `inside` is how many wait, `most` how many did at the same time."""

    def __init__(self, server: Server) -> None:
        self.opened = asyncio.Event()
        self.server = server
        self.inside = 0
        self.most = 0
        server.route("/held", self.hold)

    async def hold(self, request: Request) -> str:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.server.bell.ring()
        await self.opened.wait()
        self.inside -= 1
        return "held"

    async def until(self, inside: int) -> None:
        await self.server.until(lambda: self.inside == inside)


@pytest.fixture
def gate(server: Server) -> Gate:
    return Gate(server)


def together(*coroutines: Coroutine[Any, Any, Any]) -> list[asyncio.Task[Any]]:
    return [asyncio.ensure_future(coroutine) for coroutine in coroutines]


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
