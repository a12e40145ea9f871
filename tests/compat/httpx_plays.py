"""Plays and routes that several campaigns of httpx's use."""

from __future__ import annotations

from typing import Any

from aioreq.testing import Server

from .httpx_stage import Play, Stage

__all__ = ["asking", "small"]


def small(server: Server) -> None:
    server.route("*", "ok")


def asking(path: str = "/", *, transport: dict[str, Any] | None = None, times: int = 1, **options: Any) -> Play:
    async def play(stage: Stage) -> None:
        async with stage.client(transport, **options) as client:
            for _ in range(times):
                await stage.ask(client, path=path)

    return play
