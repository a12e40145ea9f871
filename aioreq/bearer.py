"""Bearer tokens (RFC 6750): one that is given, or one that is asked for, shared by all requests and asked for anew when a server refuses
it. Knows nothing of where tokens come from."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextvars import ContextVar
from copy import copy
from inspect import isawaitable, iscoroutinefunction
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary, ref

from . import threads
from .auth import Auth
from .errors import InvalidHeader

if TYPE_CHECKING:
    from .models import Request

__all__ = ["BearerAuth"]

_B64TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750 section 2.1

# The providers' tasks that this one works for: whoever waits for one of them waits for itself. Weak, for contexts live long.
_asking: ContextVar[tuple[ref[asyncio.Task[Any]], ...]] = ContextVar("aioreq_bearer", default=())


class _Flight:
    """The provider at work, on one loop. It lives as long as somebody waits for it."""

    __slots__ = ("__weakref__", "task", "waiters")

    def __init__(self, task: asyncio.Task[tuple[str, BaseException | None]]) -> None:
        self.task = task
        self.waiters = 0


class BearerAuth(Auth):
    """A token, sent at once: `BearerAuth("...")`; or whoever gives one: `BearerAuth(provider)`. Use it over TLS.

    `provider` is called without arguments, by the first request that needs a token, and again when a 401 refuses the one it gave; the
    request that was refused is then sent once more, if its body can be. However many requests wait, it is called once. It may be
    asynchronous; a plain function runs in a thread. What it raises is raised to those who wait, and not remembered. Where it sends
    requests by the same client, these take `auth=None`.
    """

    __slots__ = ("_flights", "_provider", "_token")

    def __init__(self, token: str | Callable[[], str | Awaitable[str]]) -> None:
        self._token: str | None = None
        self._provider: Any = None
        if isinstance(token, str):
            self._token = _checked(token, "the token")
        elif callable(token):
            self._provider = token
        else:
            raise TypeError(f"BearerAuth takes a token as str, or a callable that gives one, not {type(token).__name__}")
        # A task belongs to its loop. Weak: a loop that was stopped for good takes its flight along.
        self._flights: WeakValueDictionary[asyncio.AbstractEventLoop, _Flight] = WeakValueDictionary()

    async def auth_flow(self, request: Request) -> AsyncGenerator[Request, Any]:
        if request.field("authorization") is not None:  # one of the user's own, which wins
            yield request
            return
        token = self._token if self._token is not None else await self._fetched()
        request.authorization = f"Bearer {token}"
        response = yield request
        if response.status != 401 or self._provider is None:
            return
        if self._token == token:
            self._token = None  # for whoever comes next, too
        if request.replayable:
            response.drop()  # the provider may need its connection
            request.authorization = f"Bearer {self._token or await self._fetched()}"
            yield request

    async def _fetched(self) -> str:
        loop = asyncio.get_running_loop()
        flight = self._flights.get(loop)
        if flight is None:
            flight = self._flights[loop] = _Flight(loop.create_task(self._fetch()))
        elif ref(flight.task) in _asking.get():
            raise RuntimeError("the token provider waits for its own token: send its requests with auth=None")
        flight.waiters += 1
        try:
            # One who gives up takes nobody along.
            token, error = await asyncio.shield(flight.task)
        finally:
            flight.waiters -= 1
            if not flight.waiters:
                if self._flights.get(loop) is flight:
                    del self._flights[loop]
                flight.task.cancel()
        if error is None:
            return token
        try:
            raise _copied(error)
        finally:
            del error, flight  # the traceback holds this frame

    async def _fetch(self) -> tuple[str, BaseException | None]:
        provider = self._provider
        task: Any = asyncio.current_task()
        _asking.set((*_asking.get(), ref(task)))  # what the provider starts, in threads too, has it from here
        del task  # an error's traceback holds this frame
        try:
            asynchronous = iscoroutinefunction(provider) or iscoroutinefunction(type(provider).__call__)
            given = provider() if asynchronous else await threads.run(provider)
            self._token = _checked(await given if isawaitable(given) else given, "what the token provider gave")
        except Exception as error:
            return "", error
        return self._token, None

    def __repr__(self) -> str:
        return "BearerAuth(...)"


def _copied(error: BaseException) -> BaseException:
    """One for each who waits, where it can be copied: errors carry their request, their notes and their traceback."""
    try:
        own = copy(error)
    except Exception:
        return error
    if type(own) is not type(error):
        return error
    if notes := getattr(error, "__notes__", None):
        own.__notes__ = list(notes)
    own.__cause__, own.__context__, own.__suppress_context__ = error.__cause__, error.__context__, error.__suppress_context__
    return own.with_traceback(error.__traceback__)


def _checked(token: object, what: str) -> str:
    """The token, if it is one; no error shows it."""
    if not isinstance(token, str):
        raise TypeError(f"BearerAuth: {what} is {type(token).__name__}, not str")
    if not _B64TOKEN.fullmatch(token):
        hint = ": give it without 'Bearer '" if token[:7].lower() == "bearer " else " (RFC 6750 section 2.1)"
        raise InvalidHeader(f"BearerAuth: {what} has characters that no token may have{hint}; it isn't shown here")
    return token
