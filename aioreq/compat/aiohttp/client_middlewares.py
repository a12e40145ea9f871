"""Client middlewares, in aiohttp's form: functions of a request and of what sends it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeAlias

from .client_reqrep import ClientRequest, ClientResponse

__all__ = ["ClientHandlerType", "ClientMiddlewareType", "build_client_middlewares"]

ClientHandlerType: TypeAlias = Callable[[ClientRequest], Awaitable[ClientResponse]]
ClientMiddlewareType: TypeAlias = Callable[[ClientRequest, ClientHandlerType], Awaitable[ClientResponse]]


def build_client_middlewares(handler: ClientHandlerType, middlewares: Sequence[ClientMiddlewareType]) -> ClientHandlerType:
    """A handler that goes through the middlewares, the first one outermost."""
    for middleware in reversed(middlewares):
        handler = partial(_through, middleware, handler)
    return handler


async def _through(middleware: ClientMiddlewareType, handler: ClientHandlerType, request: ClientRequest) -> ClientResponse:
    return await middleware(request, handler)
