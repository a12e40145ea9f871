"""Sends the jar's cookies and stores what responses set (RFC 6265). Cookies given for one request never enter the jar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..cookies import CookieJar, cookie_header
from ..models import Request, Response, StreamResponse
from ..parser import find
from .base import MiddleWare

if TYPE_CHECKING:
    from ..client import Client

__all__ = ["CookiesMiddleWare"]


class CookiesMiddleWare(MiddleWare):
    """By the client's jar and the request's own cookies, which win over the jar's of the same name."""

    async def process(self, request: Request, client: Client) -> Response | StreamResponse:
        jar = client.cookies
        if jar.hosts or request.cookies or type(jar) is not CookieJar:
            stored = jar.header(request.url)
            if own := request.cookies:
                kept = [pair for pair in stored.split("; ") if pair.partition("=")[0] not in own] if stored else []
                stored = "; ".join([*kept, cookie_header(own.items())])
            request.cookie = stored
        elif request.cookie is not None:
            request.cookie = None
        response = await self.next_middleware.process(request, client)
        if find(response.fields, b"set-cookie") is not None:
            for value in response.field_values(b"set-cookie"):
                jar.store(response.url, value)
        return response
