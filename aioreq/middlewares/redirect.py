"""Follows redirects (RFC 9110 section 15.4). Credentials stay with their origin; what is not followed to the end is never decoded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable
from typing import TYPE_CHECKING, Literal, TypeAlias

from yarl import URL

from ..config import UNSET
from ..errors import AioreqError, InvalidURL, LocalProtocolError, RedirectRefused, RemoteProtocolError, TooManyRedirects
from ..headers import text
from ..models import Request, Response, ResponseHead, StreamResponse
from ..request_body import StreamedBody
from ..urls import without_password, without_websocket
from .base import MiddleWare, in_time

if TYPE_CHECKING:
    from ..client import Client

__all__ = ["RedirectAnswer", "RedirectMiddleWare", "RedirectPolicy"]

RedirectAnswer: TypeAlias = Literal["follow", "stop", "refuse"]
# Called with a redirect's head and the request that would follow it; see `Client`.
RedirectPolicy: TypeAlias = Callable[[ResponseHead, Request], RedirectAnswer | Awaitable[RedirectAnswer]]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Everything that says who asks, and the Host that a user set for the first origin alone.
_OF_ONE_ORIGIN = ("Authorization", "Cookie", "Cookie2", "Proxy-Authorization", "Host")
# What describes a body that is no longer there (RFC 9110 section 15.4), or how it would have come.
_OF_THE_BODY = (
    *("Content-Type", "Content-Length", "Content-Encoding", "Content-Language", "Content-Location", "Content-Range"),
    *("Content-Disposition", "Content-Digest", "Content-MD5", "Digest", "Repr-Digest", "Last-Modified"),
    *("Transfer-Encoding", "Trailer", "Expect"),
)
_SHOWN = 8  # URLs of a chain in an error


class RedirectMiddleWare(MiddleWare):
    """By the request's `follow_redirects`, `max_redirects` and `sensitive_headers`, and the client's `redirect_policy`.

    The earlier heads are in `response.redirects`, those before an error in `error.redirects`.
    """

    async def process(self, request: Request, client: Client) -> Response | StreamResponse:
        response = await self.next_middleware.process(request, client)
        if response.status not in _REDIRECTS or not request.terms.follow_redirects:
            return response
        if request.terms.dialer is not client.settings.dialer:  # a link's own: it is followed as this client follows, within one deadline
            request = client.settings.settle(request.replace(), way_only=True)
            request.deadline = response.request.deadline
            if not request.terms.follow_redirects:
                return response
        redirects: tuple[ResponseHead, ...] = ()
        way = [request.url]
        try:
            while response.status in _REDIRECTS:
                response.redirects = redirects
                try:
                    following = await _following(request, response, client.settings.redirect_policy)
                except BaseException:
                    response.drop()
                    raise
                if following is None:
                    break
                response.drop()
                request = following
                way.append(request.url)
                answer = await self.next_middleware.process(request, client)
                redirects, response = (*redirects, response), answer
            response.redirects = redirects
        except AioreqError as error:
            error.redirects = (*redirects, response)
            if len(way) > 1 and not isinstance(error, TooManyRedirects):
                error.add_note(f"redirected: {_chain(way)}")
            raise
        return response


async def _following(request: Request, response: Response | StreamResponse, policy: RedirectPolicy | None) -> Request | None:
    """The request that a redirect asks for; None where the redirect itself is the answer."""
    location = _location(request, response)
    if location is None:
        return None
    following = _redirected(request, response.status, location)
    if policy is not None:
        answer = await _answer(policy, response, following, request)
        if answer == "stop":
            return None
        if answer == "refuse":
            raise RedirectRefused(f"the client's redirect_policy refuses {_hop(response, following)}", request=request, response=response)
    if len(response.redirects) >= request.max_redirects:
        raise _too_many(request, response, following)
    if policy is None and (meant := _meant_for_tls(following)) and _leaves_tls(request, following):
        raise RedirectRefused(
            f"{_hop(response, following)} would send {meant} meant for TLS where everybody on the way can read it: "
            "ask there yourself, or give the client a redirect_policy that says 'follow'",
            request=request,
            response=response,
        )
    if not following.replayable:
        raise LocalProtocolError(
            f"{_shown(request.url)} redirects ({response.status}) to {_shown(following.url)}, but the request body was already read and "
            "can't be sent again: give bytes, a list or a file instead of a generator",
            request=request,
        )
    return following


def _location(request: Request, response: ResponseHead) -> str | None:
    """Where it leads (RFC 9110 section 10.2.2); None where it doesn't say. An empty one says nothing, as for every browser."""
    values = {value for value in response.field_values(b"location") if value}
    if len(values) > 1:
        raise RemoteProtocolError(f"{_shown(request.url)} redirects ({response.status}) to {len(values)} places at once", request=request)
    return text(values.pop()) if values else None


def _redirected(request: Request, status: int, location: str) -> Request:
    try:
        target = request.redirected(without_websocket(location) if _is_handshake(request) else location)
    except InvalidURL as error:
        raise RemoteProtocolError(f"{_shown(request.url)} redirects to what can't be requested: {error}", request=request) from error
    following = request.replace(parsed=target)
    if (status == 303 and request.method != "HEAD") or (status in (301, 302) and request.method == "POST"):
        following.method = "GET"
        following.drop_body()
        following.remove_fields(*_OF_THE_BODY)
    if target.origin != request.parsed.origin:
        following.auth = following.authorization = None
        following.cookies = following.cookie = None
        following.remove_fields(*_OF_ONE_ORIGIN, *request.terms.sensitive_headers)
    elif request.auth is not None and request.auth is not UNSET:
        following.parsed = target._replace(userinfo=request.parsed.userinfo)  # not whom the server names, but whom the user is there
    return following


async def _answer(policy: RedirectPolicy, response: ResponseHead, following: Request, request: Request) -> RedirectAnswer:
    origin = following.parsed.origin
    answer = policy(response, following)
    if isawaitable(answer):
        answer = await in_time(answer, request, f"in the client's redirect_policy, asked about {_hop(response, following)}")
    if answer not in ("follow", "stop", "refuse"):
        raise TypeError(f"redirect_policy gave {answer!r}: it returns 'follow', 'stop' or 'refuse'")
    if following.parsed.origin != origin:  # what was dropped and kept holds for the proposed one
        raise ValueError("redirect_policy sent the request to another origin: let it say 'stop', and ask there yourself")
    return answer


def _meant_for_tls(following: Request) -> str | None:
    """What a request would send that nobody but the server may read, in words."""
    body = following.body
    if body and not (isinstance(body, StreamedBody) and body.length == 0):
        return "the request body, which was"
    return "the messages of a WebSocket, which were" if _is_handshake(following) else None


def _is_handshake(request: Request) -> bool:
    return request.field("sec-websocket-key") is not None


def _leaves_tls(request: Request, following: Request) -> bool:
    return request.parsed.origin.scheme == "https" and following.parsed.origin.scheme == "http"


def _too_many(request: Request, response: Response | StreamResponse, following: Request) -> TooManyRedirects:
    """The error that tells a loop from a long way: in a loop two requests were the same, cookies included."""
    way = [*response.redirects, response]
    asked = [_asked(head.request) for head in way]
    where = f"the last one is {_hop(response, following)}"
    if asked[-1] in asked[:-1]:
        start, end = next((asked.index(request), end) for end, request in enumerate(asked) if asked.index(request) < end)
        where = f"in a loop: {_chain([head.url for head in way[start : end + 1]])}"
    return TooManyRedirects(f"more than {request.max_redirects} redirects, {where}", request=request, response=response)


def _asked(request: Request) -> tuple[object, ...]:
    # Not the field that answers a challenge: it differs each time.
    return request.method, request.url.with_fragment(None), request.auth, request.replace(authorization=None).pairs()


def _hop(response: ResponseHead, following: Request) -> str:
    return f"the redirect ({response.status}) from {_shown(response.url)} to {_shown(following.url)}"


def _chain(urls: Sequence[URL]) -> str:
    shown = [_shown(url) for url in urls]
    if len(shown) > _SHOWN:
        shown[_SHOWN // 2 : -_SHOWN // 2] = [f"({len(shown) - _SHOWN} more)"]
    return " -> ".join(shown)


def _shown(url: URL) -> str:
    """A URL as errors may show it: what stands in queries and fragments along a chain of redirects is often a token."""
    shown, query, _ = str(url).partition("#")[0].partition("?")
    return without_password(shown) + ("?..." if query else "")
