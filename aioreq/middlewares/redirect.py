"""Follows redirects (RFC 9110 section 15.4). Credentials stay with their origin; what is not followed to the end is never decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InvalidURL, LocalProtocolError, RemoteProtocolError, TooManyRedirects
from ..headers import text
from ..models import Request, Response, ResponseHead, StreamResponse
from ..urls import without_password
from .base import MiddleWare

if TYPE_CHECKING:
    from ..client import Client

__all__ = ["RedirectMiddleWare"]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Everything that says who asks, and the Host that a user set for the first origin alone.
_OF_ONE_ORIGIN = ("Authorization", "Cookie", "Proxy-Authorization", "Host")
# What describes a body that is no longer there (RFC 9110 section 15.4.4).
_OF_THE_BODY = ("Content-Type", "Content-Length", "Content-Encoding", "Content-Language", "Content-Location", "Transfer-Encoding")


class RedirectMiddleWare(MiddleWare):
    """By the request's `follow_redirects` and `max_redirects`; the earlier heads are in `response.redirects`."""

    async def process(self, request: Request, client: Client) -> Response | StreamResponse:
        response = await self.next_middleware.process(request, client)
        if response.status not in _REDIRECTS or not request.terms.follow_redirects:
            return response
        history: list[ResponseHead] = []
        while response.status in _REDIRECTS and (location := response.field(b"location")) is not None:
            if len(history) >= request.max_redirects:
                response.drop()
                last = f"from {response.url} to {without_password(text(location))!r}"
                raise TooManyRedirects(
                    f"more than {request.max_redirects} redirects, the last one {last}",
                    request=request,
                    response=response,
                )
            try:
                request = _redirected(request, response.status, text(location))
            finally:
                response.drop()
            history.append(response)
            response = await self.next_middleware.process(request, client)
            response.redirects = tuple(history)
        return response


def _redirected(request: Request, status: int, location: str) -> Request:
    """The request that the redirect asks for."""
    try:
        target = request.redirected(location)
    except InvalidURL as error:
        raise RemoteProtocolError(f"{request.url} redirects to what can't be requested: {error}", request=request) from error
    following = request.replace()
    if (status == 303 and request.method != "HEAD") or (status in (301, 302) and request.method == "POST"):
        following.method = "GET"
        following.drop_body()
        following.remove_fields(*_OF_THE_BODY)
    elif not request.replayable:
        raise LocalProtocolError(
            f"{request.url} redirects ({status}) to {target.url}, but the request body was already read and can't be sent again: "
            "give bytes, a list or a file instead of a generator",
            request=request,
        )
    if target.origin != request.parsed.origin:
        following.auth = following.authorization = None
        following.cookies = following.cookie = None
        following.remove_fields(*_OF_ONE_ORIGIN)
    following.parsed = target
    return following
