"""A link of the chain, and its last one. A link decides what to send next; it never sees a socket.

Links are shared by every request of a client: what belongs to one request lives in locals or on the request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import AioreqError
from ..models import Request, Response, StreamResponse

if TYPE_CHECKING:
    from ..client import Client

__all__ = ["MiddleWare", "PoolMiddleWare"]


class MiddleWare:
    """Subclass it and write `process`: something before, `await self.next_middleware.process(request, client)`, something after.

    The response may still be arriving (a `StreamResponse`: whenever the caller streams, and for any status but 2xx):
    `await response.read()` gives the body of both kinds; a response that is not returned is let go of by its `close()`.
    `request.replace(...)` is a copy with all that the client settled. A new `Request` goes out by the client's guard, limits, proxies and
    TLS, but without its headers and credentials: `await client.send(...)` would add them.
    """

    def __init__(self, next_middleware: MiddleWare | None = None) -> None:
        self._next = next_middleware

    @property
    def next_middleware(self) -> MiddleWare:
        """The link behind this one; assignable."""
        if self._next is None:
            raise RuntimeError(f"{type(self).__name__} has no next_middleware: it stands in no chain yet")
        return self._next

    @next_middleware.setter
    def next_middleware(self, link: MiddleWare | None) -> None:
        self._next = link

    @property
    def linked(self) -> bool:
        """Whether it stands in a chain."""
        return self._next is not None

    async def process(self, request: Request, client: Client) -> Response | StreamResponse:
        """The response to this request, by way of the links behind."""
        raise NotImplementedError(f"{type(self).__name__} must define `async def process(self, request, client)`")


class PoolMiddleWare(MiddleWare):
    """The last link: a connection of the client's pool."""

    async def process(self, request: Request, client: Client) -> Response | StreamResponse:
        if request.dialer is not client.settings.dialer:
            # A link's own, or one that another client has sent: by this client's guard, caps, proxies and TLS, but without its credentials,
            # which would come back at each redirect.
            request = client.settings.settle(request.replace(), way_only=True)
        try:
            return await client.pool().send(request)
        except AioreqError as error:
            if error.request is None:
                error.request = request  # the one that failed: behind redirects another than the client's
            raise
