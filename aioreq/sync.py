"""The verbs for plain scripts: one `Client` on one background event loop, whose thread dies with the interpreter.

Works in scripts, in threads and inside a running loop (which it blocks). No cookies are shared between calls.
"""

from __future__ import annotations

import asyncio
import atexit
import copy
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar, Unpack

from yarl import URL

from .client import Client
from .cookies import CookieJar
from .models import Response
from .request_options import RequestOptions

__all__ = ["delete", "get", "head", "options", "patch", "post", "put", "request"]

_CLOSING_SECONDS = 2.0

T = TypeVar("T")


class _Background:
    """The loop, its thread and the client that lives there."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.client = Client()
        self.stopping = False
        self.thread = threading.Thread(target=self._run, name="aioreq-sync", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def call(self, method: str, url: str | URL, request_options: RequestOptions) -> Response:
        client = copy.copy(self.client)
        client.cookies = CookieJar()
        return self.wait(client.request(method, url, **request_options))

    def wait(self, calling: Coroutine[Any, Any, T]) -> T:
        """What a coroutine gives that runs on the loop; it is cancelled where this thread is interrupted."""
        if threading.current_thread() is self.thread:
            calling.close()
            raise RuntimeError("a synchronous call from aioreq's own loop would wait for itself: use the asynchronous Client there")
        future: Future[T] = asyncio.run_coroutine_threadsafe(calling, self.loop)
        try:
            return future.result()
        except BaseException:  # Ctrl-C too: nothing goes on behind the caller's back
            future.cancel()
            if self.stopping and threading.current_thread() is not threading.main_thread():
                # The interpreter is ending, and only daemon threads are left: one that reported an error now would print a traceback,
                # and could be caught with a lock that the end needs. It waits to be ended instead.
                threading.Event().wait()
            raise

    def stop(self) -> None:
        """Let go of every connection, so that nothing is left to complain about when the interpreter ends."""
        self.stopping = True
        try:
            asyncio.run_coroutine_threadsafe(self._end(), self.loop).result(_CLOSING_SECONDS)
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(_CLOSING_SECONDS)
            if not self.thread.is_alive():
                self.loop.close()
        except (TimeoutError, RuntimeError):
            pass  # the loop is stuck or gone: the thread is a daemon

    async def _end(self) -> None:
        await self.client.close()
        await self.loop.shutdown_asyncgens()  # other connectors' pools end with their loop


_lock = threading.Lock()
_background: _Background | None = None


def background() -> _Background:
    """The loop that synchronous calls run on, started by the first one; after a fork the child has its own."""
    return _current()


def _current() -> _Background:
    global _background
    with _lock:
        if _background is None:
            _background = _Background()
        return _background


def _forget() -> None:
    # After a fork the thread is the parent's; so may be the lock's holder.
    global _background, _lock
    _background, _lock = None, threading.Lock()


def _stop() -> None:
    global _background
    background, _background = _background, None
    if background is not None:
        background.stop()


atexit.register(_stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def request(method: str, url: str | URL, **options: Unpack[RequestOptions]) -> Response:
    """The finished response: `Client.request`, waited for. Errors: the same."""
    return _current().call(method, url, options)


def get(url: str | URL, **options: Unpack[RequestOptions]) -> Response:
    """GET, waited for: see `request`."""
    return request("GET", url, **options)


def head(url: str | URL, **options: Unpack[RequestOptions]) -> Response:
    """HEAD, waited for: see `request`."""
    return request("HEAD", url, **options)


def post(url: str | URL, **options: Unpack[RequestOptions]) -> Response:
    """POST, waited for: see `request`."""
    return request("POST", url, **options)


def put(url: str | URL, **options: Unpack[RequestOptions]) -> Response:
    """PUT, waited for: see `request`."""
    return request("PUT", url, **options)


def patch(url: str | URL, **options: Unpack[RequestOptions]) -> Response:
    """PATCH, waited for: see `request`."""
    return request("PATCH", url, **options)


def delete(url: str | URL, **options: Unpack[RequestOptions]) -> Response:
    """DELETE, waited for: see `request`."""
    return request("DELETE", url, **options)


def options(url: str | URL, **options: Unpack[RequestOptions]) -> Response:
    """OPTIONS, waited for: see `request`."""
    return request("OPTIONS", url, **options)
