"""Who acts httpx's plays: one of the two libraries, with its asynchronous client, or with its synchronous one on a thread."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from peers import needed_module

__all__ = ["ASYNC_CASTS", "CASTS", "Cast"]


@dataclass(frozen=True)
class Cast:
    """`lib` is httpx or httpx2, `face` the module with our transports for it."""

    name: str
    sync: bool = False

    @property
    def lib(self) -> Any:
        return needed_module(self.name, self.name)

    @property
    def face(self) -> Any:
        return importlib.import_module(f"aioreq.compat.{self.name}")

    def __str__(self) -> str:
        return f"{self.name}-{'sync' if self.sync else 'async'}"


ASYNC_CASTS = [Cast("httpx"), Cast("httpx2")]
CASTS = [*ASYNC_CASTS, Cast("httpx", sync=True), Cast("httpx2", sync=True)]
