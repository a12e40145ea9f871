"""For tests of what reads a body: a body cut into pieces, and a way to read it without a loop."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Coroutine, Iterable
from typing import Any, TypeVar

from aioreq.errors import AioreqError

T = TypeVar("T")


class Cut(AsyncIterator[bytes]):
    """Pieces of bytes that are all here; `error` comes behind them, and `failed` is what the reader made of them."""

    def __init__(self, pieces: Iterable[bytes], error: AioreqError | None = None) -> None:
        self._pieces = iter(pieces)
        self._error = error
        self.failed: AioreqError | None = None

    async def __anext__(self) -> bytes:
        for piece in self._pieces:
            return piece
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    def fail(self, error: AioreqError) -> AioreqError:
        self.failed = error
        return error


def cut(data: bytes, marks: Iterable[int]) -> list[bytes]:
    """`data` in pieces, none of them empty."""
    at = [0, *sorted(mark % (len(data) + 1) for mark in marks), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(at) if start < end]


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    raise AssertionError("it waits")


async def all_of(items: AsyncIterator[T]) -> list[T]:
    return [item async for item in items]


async def until_error(items: AsyncIterator[T]) -> tuple[list[T], AioreqError | None]:
    """What comes, and the error that ends it."""
    got: list[T] = []
    try:
        async for item in items:
            got.append(item)  # noqa: PERF401 (what came before an error counts)
    except AioreqError as error:
        return got, error
    return got, None
