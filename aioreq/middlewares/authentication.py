"""Proves who asks (RFC 9110 section 11): at once where the scheme allows or the server has asked before, else in answer to a 401."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine, Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..auth import Auth, AuthFlow, BasicAuth, PasswordAuth, credentials
from ..challenges import parse_challenges, parse_info
from ..config import UNSET
from ..headers import text
from ..models import Request, Response, StreamResponse
from ..parser import find
from .base import MiddleWare, in_time, raised
from .cookies import cookies_for, keep, takes_part

if TYPE_CHECKING:
    from ..client import Client
    from ..protection import ProtectionSpaces

__all__ = ["AuthenticationMiddleWare", "answers"]


class AuthenticationMiddleWare(MiddleWare):
    """By the request's own `auth`, else the userinfo of its URL (Basic), else the client's `auth`.

    An Authorization field among the headers wins over all of them. A 401 that can't be answered, or that refuses the answer, is returned.
    """

    def process(self, request: Request, client: Client) -> Coroutine[Any, Any, Response | StreamResponse]:
        """The response, with the proof that it wanted."""
        try:
            auth = request.auth
            userinfo = request.parsed.userinfo
            if auth is None and userinfo is None:
                if request.authorization is not None:
                    request.authorization = None
                return self.next_middleware.process(request, client)
            if auth is UNSET:  # of a request that another link made
                auth = None
            if userinfo is not None and (auth is None or auth is client.settings.auth):
                auth = BasicAuth(*userinfo)
            elif auth is None or not isinstance(auth, PasswordAuth):
                auth = credentials(auth)
            request.authorization = auth.header if isinstance(auth, BasicAuth) else None
            if auth is not None and not isinstance(auth, BasicAuth):
                return self._follow(auth, request, client)
        except Exception as error:
            return raised(error)
        return self.next_middleware.process(request, client)

    async def _follow(self, auth: Any, request: Request, client: Client) -> Response | StreamResponse:
        """Send what the flow of a scheme gives, one after the other, until it ends; what came before the last response is dropped."""
        own = request.replace()
        flow = answers(auth, own, _spaces(client)) if isinstance(auth, PasswordAuth) else _checked(auth, auth.auth_flow(own))
        ours = cookies_set = False
        response: Response | StreamResponse | None = None
        try:
            try:
                while (wanted := await _next(flow, response, request)) is not None:
                    if response is not None:
                        if not (wanted.replayable and request.replayable):
                            break
                        # The link of the cookies is above this one, and sees the last response alone.
                        if ours and find(response.fields, b"set-cookie") is not None and takes_part(client):
                            keep(response, client.cookies)
                            cookies_set = True
                        response.drop()
                        response = None
                    ours = wanted.terms.dialer is request.terms.dialer and wanted.parsed.origin == request.parsed.origin
                    attempt = _attempt(wanted, request, client)
                    if ours and cookies_set:
                        attempt.cookie = cookies_for(attempt, client.cookies)
                    response = await self.next_middleware.process(attempt, client)
                if response is None:
                    raise TypeError(f"{type(auth).__name__}.auth_flow ended before it gave a request to send")
            finally:
                if isinstance(flow, AsyncGenerator):
                    await flow.aclose()
                else:
                    flow.close()
        except BaseException:
            if response is not None:  # also where it was the closing of the flow that was cancelled
                response.drop()
            raise
        return response


def _spaces(client: Client) -> ProtectionSpaces:
    """What the client remembers of servers that asked."""
    if client.protection_spaces is None:
        from ..protection import ProtectionSpaces  # with its hashes it is for those who need it

        client.protection_spaces = ProtectionSpaces()
    return client.protection_spaces


def _checked(auth: Auth, flow: Any) -> AuthFlow:
    if isinstance(flow, Generator | AsyncGenerator):
        return flow
    if isinstance(flow, Coroutine):
        flow.close()
    raise TypeError(f"{type(auth).__name__}.auth_flow gives {type(flow).__name__}: it is a generator, which yields the requests to send")


def _attempt(wanted: Request, request: Request, client: Client) -> Request:
    """What a flow wants sent, as an attempt of its own: the flow may go on changing its request."""
    attempt = wanted.replace(stream=request.stream)
    if attempt.terms.dialer is not client.settings.dialer:  # one that the flow made
        attempt = client.settings.settle(attempt, way_only=True)
        if request.deadline is not None:
            attempt.timeout = replace(attempt.timeout, total=request.deadline.seconds)
            attempt.deadline = request.deadline
    return attempt


async def _next(flow: AuthFlow, response: Response | StreamResponse | None, request: Request) -> Request | None:
    """The next request of a flow, None at its end. Errors: TotalTimeout."""
    try:
        if isinstance(flow, AsyncGenerator):
            wanted = await in_time(flow.asend(response), request, f"in the authentication for {request.url.origin()}")
        else:
            wanted = flow.send(response)
    except (StopIteration, StopAsyncIteration):
        return None
    if not isinstance(wanted, Request):
        raise TypeError(f"auth: a flow yields the requests to send, not {type(wanted).__name__}")
    return wanted


async def answers(auth: PasswordAuth, request: Request, spaces: ProtectionSpaces) -> AsyncGenerator[Request, Any]:
    """The flow of a password: the answer that this server took before, else one to its challenge, and another where the nonce was stale."""
    if request.field("authorization") is not None:
        yield request
        return
    url = request.parsed
    known = space = spaces.recall(auth, request)
    answer = None if space is None else await space.answer(auth, request)
    request.authorization = None if answer is None else answer.header
    response = yield request
    answered = 0
    while response.status == 401:
        from ..digest import choose
        from ..protection import ProtectionSpace

        if space is not None:
            spaces.forget(auth, url, space)
        challenge = choose(auth, parse_challenges(_values(response, b"www-authenticate")), ProtectionSpace.body_of(request) is not None)
        if challenge is None or (space is not None and space.refused(challenge)):
            return
        if answered and (answered == 2 or challenge.scheme != "digest" or not challenge.stale):
            return
        space = spaces.opened(challenge, url)
        if not request.replayable:
            spaces.remember(auth, url, space)  # so that the next request needs no second try
            return
        answer = await space.answer(auth, request)
        request.authorization = answer.header
        answered += 1
        response = yield request
    if space is None or answer is None:
        return
    info = parse_info(_values(response, b"authentication-info")) if space.challenge.scheme == "digest" else {}
    following = space.following(info)
    if answer.contradicts(info) or following is None:
        spaces.forget(auth, url, space)
    elif following is not known:
        spaces.remember(auth, url, following)


def _values(response: Response | StreamResponse, name: bytes) -> list[str]:
    return [text(value) for value in response.field_values(name)]
