"""Sends the jar's cookies and stores what responses set (RFC 6265bis). Cookies given for one request never enter the jar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..cookies import CookieJar, cookie_header
from ..models import Request, Response, StreamResponse
from ..parser import find
from .base import MiddleWare

if TYPE_CHECKING:
    from ..client import Client

__all__ = ["CookiesMiddleWare", "cookies_for", "keep", "takes_part"]


class CookiesMiddleWare(MiddleWare):
    """By the client's jar and the request's own cookies, which win over the jar's of the same name.

    A Cookie field among the request's (or the client's) headers goes out as it is, and nothing beside it.
    """

    async def process(self, request: Request, client: Client) -> Response | StreamResponse:
        jar = client.cookies
        if jar.hosts or request.cookies or type(jar) is not CookieJar:
            request.cookie = cookies_for(request, jar)
        elif request.cookie is not None:
            request.cookie = None
        response = await self.next_middleware.process(request, client)
        if find(response.fields, b"set-cookie") is not None:
            keep(response, jar)
        return response


def cookies_for(request: Request, jar: CookieJar) -> str | None:
    """The value of the Cookie field: the jar's cookies and the request's own."""
    stored = jar.header(request.url)
    if own := request.cookies:
        kept = [pair for pair in stored.split("; ") if pair.partition("=")[0] not in own] if stored else []
        stored = "; ".join([*kept, cookie_header(own.items())])
    return stored


def keep(response: Response | StreamResponse, jar: CookieJar) -> None:
    """Store what a response sets."""
    for value in response.field_values(b"set-cookie"):
        jar.store(response.url, value)


def takes_part(client: Client) -> bool:
    """Whether the client's chain has this link: asked by those behind it, whose responses don't all come by here."""
    link = client.middlewares
    while link.linked and not isinstance(link, CookiesMiddleWare):
        link = link.next_middleware
    return isinstance(link, CookiesMiddleWare)
