"""Plays and routes that several campaigns of httpx's use."""

from __future__ import annotations

import socket
from typing import Any

from aioreq.testing import Server

from .httpx_stage import Play, Stage

__all__ = ["asking", "free_port", "small"]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def small(server: Server) -> None:
    server.route("*", "ok")


def asking(path: str = "/", *, transport: dict[str, Any] | None = None, times: int = 1, **options: Any) -> Play:
    async def play(stage: Stage) -> None:
        async with stage.client(transport, **options) as client:
            for _ in range(times):
                await stage.ask(client, path=path)

    return play
