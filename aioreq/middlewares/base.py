"""A link of the chain, and its last one. A link decides what to send next; it never sees a socket.

Links are shared by every request of a client: what belongs to one request lives in locals or on the request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import TotalTimeout
from ..models import Request, Response, StreamResponse

if TYPE_CHECKING:
    from ..client import Client

__all__ = ["MiddleWare", "PoolMiddleWare", "in_time", "raised"]

T = TypeVar("T")


class MiddleWare:
    """Subclass it and write `process`: something before, `await self.next_middleware.process(request, client)`, something after.

    The response may still be arriving (a `StreamResponse`: whenever the caller streams, and for any status but 2xx):
    `await response.read()` gives the body of both kinds; a response that is not returned is let go of by its `close()`.
    `request.replace(...)` is a copy with all that the client settled. A new `Request` goes out by the client's guard, limits, proxies and
    TLS, but without its headers and credentials: `await client.send(...)` would add them.
    What a link behind Retry or Redirect changes on a request is there again at the next attempt, and the next hop, to another host too: set
    a field (`request.headers[name] = value`) rather than add one, and send a `request.replace()` where it must not stay.
    """

    def __init__(self, next_middleware: MiddleWare | None = None) -> None:
        # The link behind this one; assignable. A plain attribute: every request goes through all of them.
        self.next_middleware: MiddleWare = _Nowhere(self) if next_middleware is None else next_middleware

    @property
    def linked(self) -> bool:
        """Whether it stands in a chain."""
        link: MiddleWare | None = self.next_middleware
        return link is not None and not isinstance(link, _Nowhere)

    async def process(self, request: Request, client: Client) -> Response | StreamResponse:
        """The response to this request, by way of the links behind."""
        raise NotImplementedError(f"{type(self).__name__} must define `async def process(self, request, client)`")


class _Nowhere(MiddleWare):
    """Where a link leads that stands in no chain yet."""

    def __init__(self, link: MiddleWare) -> None:
        self._link = type(link).__name__

    async def process(self, request: Request, client: Client) -> Response | StreamResponse:
        raise RuntimeError(f"{self._link} has no next_middleware: it stands in no chain yet")


class PoolMiddleWare(MiddleWare):
    """The last link: a connection of the client's pool."""

    def process(self, request: Request, client: Client) -> Coroutine[Any, Any, Response | StreamResponse]:
        """The response to one attempt."""
        try:
            if request.terms.dialer is not client.settings.dialer:
                # A link's own, or one that another client has sent: by this client's guard, caps, proxies and TLS, but without its
                # credentials, which would come back at each redirect.
                request = client.settings.settle(request.replace(), way_only=True)
            if request.stream and request.field("sec-websocket-key"):
                from ..websocket.handshake import with_own_key

                request = with_own_key(request)
            return client.pool().send(request)
        except Exception as error:
            return raised(error)


async def in_time(given: Awaitable[T], request: Request, where: str) -> T:
    """What a user's own function gives in the end, before or between the requests of a call. Errors: TotalTimeout, and its own."""
    deadline = request.deadline
    if deadline is None:
        return await given
    now = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout_at(now + deadline.left(now)) as limit:  # before the first connection slot its clock stands still
            return await given
    except TimeoutError as error:
        if not limit.expired():
            raise  # its own
        raise TotalTimeout(f"the total limit of {deadline.seconds:g} s passed {where}", request=request) from error


async def raised(error: Exception) -> Response:
    """What a `process` that is no coroutine gives for an error: it is told where the response is awaited, as by every link."""
    try:
        raise error
    finally:
        del error  # whose traceback holds this frame
