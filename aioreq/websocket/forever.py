"""`Client.websocket_forever`: one open WebSocket after another. Decides whether there is a next one and when; speaks no WebSocket itself.

A plain iterator and no asynchronous generator: one that is left early would wait for the loop to close it, and its socket with it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any, Self

from ..config import check_count
from ..errors import AioreqError, ConnectError, ConnectionLost, RequestTimeout, StatusError, WebSocketRefused
from ..middlewares.retry import backoff, is_final, seconds_asked
from ..request_options import RequestOptions
from ..retries import Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from yarl import URL

    from ..client import Client
    from .permessage_deflate import Deflate
    from .websocket import WebSocket

__all__ = ["ForeverOptions", "WebSocketForever"]

_TOLD = 10  # attempts that the last error tells of: there may be years of them
_SHOWN = 200  # characters of what each failed with


class ForeverOptions(RequestOptions, total=False):
    """What `Client.websocket` takes."""

    subprotocols: Collection[str]
    compression: bool | Deflate
    ping_interval: float | None
    ping_timeout: float | None
    max_message: int | None
    close_timeout: float | None


class WebSocketForever:
    """What `Client.websocket_forever` gives; see there. Where the loop was left and this was kept, `close()` closes the last WebSocket."""

    def __init__(
        self,
        client: Client,
        url: str | URL,
        backoff: float | Callable[[int], float],
        max_wait: float,
        attempts: int | None,
        options: ForeverOptions,
    ) -> None:
        if attempts is not None:
            check_count("websocket_forever", "attempts", attempts)
        self._most = inf if attempts is None else attempts
        self._retry = Retry(backoff=backoff, max_wait=max_wait)
        self._client = client
        self._url = url
        self._options: dict[str, Any] = {"retry": 0, **options}  # what fails is tried again here, and counted once
        client.websocket(url, **self._options)  # what is wrong with them is told at once
        self._failed = 0  # attempts in a row that came to nothing
        self._asked = 0.0  # seconds that the last refusal asked to wait
        self._lines: deque[str] = deque(maxlen=_TOLD)
        self._begun = False
        self._busy = False
        self._ended = False
        self._ws: WebSocket | None = None
        self._opened = 0.0
        self._loop: asyncio.AbstractEventLoop

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WebSocket:
        if self._busy:
            raise RuntimeError("another task waits for the next WebSocket of this loop already")
        if self._ended:
            raise StopAsyncIteration
        self._busy = True
        try:
            last = self._ws
            await self._leave()
            if last is not None and self._failed > self._most:
                raise last._link.ending.closed()
            return await self._open()
        except AioreqError as error:
            self._ended = True
            self._tell(error)
            raise
        finally:
            self._busy = False

    async def close(self) -> None:
        """Close the WebSocket that was given last; there is no next one then."""
        self._ended = True
        await self._leave()

    def __del__(self) -> None:
        # The loop was left: by break, by an error in its body, cancelled. From any thread, and after the end of the event loop.
        ws: WebSocket | None = getattr(self, "_ws", None)
        if ws is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(ws.abandon)

    # -- from one to the next

    async def _leave(self) -> None:
        """Close the last one, and look what it was good for."""
        ws, self._ws = self._ws, None
        if ws is None:
            return
        lasted = self._loop.time() - self._opened
        # A server that takes every connection and drops it at once gets the same pauses as one that takes none.
        self._failed = 0 if ws.received or lasted >= self._retry.max_wait else self._failed + 1
        await ws.close()

    async def _open(self) -> WebSocket:
        while True:
            if self._begun:
                await self._client.pool().pause(self._pause())
            self._begun = True
            try:
                ws = await self._client.websocket(self._url, **self._options)
            except AioreqError as error:
                self._failed += 1
                if not _passes(error) or self._failed > self._most:
                    raise
                self._note(error)
            else:
                self._loop = asyncio.get_running_loop()
                self._opened = self._loop.time()
                self._lines.clear()
                self._ws = ws
                return ws

    def _pause(self) -> float:
        asked, self._asked = self._asked, 0.0
        return min(asked + backoff(self._retry, max(self._failed, 1)), self._retry.max_wait)

    # -- what failed

    def _note(self, error: AioreqError) -> None:
        """Keep words of it, and never the error: its traceback would hold all it met."""
        said = f"{type(error).__name__}: {error}"
        self._lines.append(f"attempt {self._failed} in a row: {said if len(said) <= _SHOWN else said[:_SHOWN] + '...'}")
        if isinstance(error, WebSocketRefused | StatusError) and error.response is not None:
            self._asked = seconds_asked(error.response)

    def _tell(self, error: AioreqError) -> None:
        if self._lines:
            lines = [*self._lines, f"{self._failed} attempts in a row came to nothing"]
            error.attempts = (*lines, *error.attempts)
            for line in lines:
                error.add_note(line)


def _passes(error: AioreqError) -> bool:
    """Whether it may be otherwise the next time: a network, a server or proxy that is overloaded or restarts.

    A wrong URL, a refusal below 500 (but for 429, Too Many Requests) and a breach of the protocol stay what they are.
    """
    if isinstance(error, WebSocketRefused | StatusError):
        status = 0 if error.response is None else error.response.status
        return status == 429 or status >= 500
    return isinstance(error, ConnectError | ConnectionLost | RequestTimeout) and not is_final(error)
