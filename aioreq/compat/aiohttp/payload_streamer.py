"""`streamer`, aiohttp's old decorator for functions that write a body; deprecated there for asynchronous generators."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from .abc import AbstractStreamWriter
from .payload import Payload, payload_type

__all__ = ["streamer"]


class _StreamWrapper:
    """One call of such a function, to come."""

    def __init__(self, coro: Callable[..., Awaitable[None]], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._call = coro
        self._args = args
        self._kwargs = kwargs

    async def __call__(self, writer: AbstractStreamWriter) -> None:
        written: Any = self._call(writer, *self._args, **self._kwargs)
        if isawaitable(written):
            await written


class streamer:  # noqa: N801  (aiohttp's name)
    """Makes a body of a coroutine function whose first argument is the writer: `data=send_file(path)`, `data=send_all`."""

    def __init__(self, coro: Callable[..., Awaitable[None]]) -> None:
        warnings.warn("@streamer is deprecated in aiohttp: give an asynchronous generator", DeprecationWarning, stacklevel=2)
        self.coro = coro

    def __call__(self, *args: Any, **kwargs: Any) -> _StreamWrapper:
        return _StreamWrapper(self.coro, args, kwargs)


@payload_type(_StreamWrapper)
class StreamWrapperPayload(Payload):
    """What one call writes."""

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write it."""
        await self._value(writer)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Errors: TypeError."""
        raise TypeError("Unable to decode.")


@payload_type(streamer)
class StreamPayload(StreamWrapperPayload):
    """What a call without arguments writes."""

    def __init__(self, value: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(value(), *args, **kwargs)
