"""Proves who asks (RFC 9110 section 11): at once where the scheme allows, else in answer to a 401."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from ..auth import BasicAuth, PasswordAuth, answer, basic_header, parse_challenges
from ..config import UNSET
from ..headers import text
from ..models import Request, Response, StreamResponse
from .base import MiddleWare, raised

if TYPE_CHECKING:
    from ..client import Client

__all__ = ["AuthenticationMiddleWare", "credentials"]


def credentials(auth: object) -> PasswordAuth | None:
    """What to answer with, from what a user gives as `auth=`: (user, password), a BasicAuth, or None."""
    if auth is None or isinstance(auth, PasswordAuth):
        return auth
    if isinstance(auth, tuple) and len(auth) == 2:
        return PasswordAuth(*auth)
    raise TypeError(f"auth= takes (user, password), an aioreq.BasicAuth or None, not {type(auth).__name__}")


class AuthenticationMiddleWare(MiddleWare):
    """By the request's `auth`, else the userinfo of its URL (Basic)."""

    def process(self, request: Request, client: Client) -> Coroutine[Any, Any, Response | StreamResponse]:
        """The response, with the proof that it wanted."""
        auth = request.auth
        try:
            if auth is not None and not isinstance(auth, PasswordAuth):  # of a request that another link made
                auth = None if auth is UNSET else credentials(auth)
            if auth is None and (userinfo := request.parsed.userinfo) is not None:
                auth = BasicAuth(*userinfo)
            if auth is not None and not isinstance(auth, BasicAuth):
                return self._answer(auth, request, client)
            if auth is not None:
                request.authorization = basic_header(auth.user, auth.password)
            elif request.authorization is not None:
                request.authorization = None
        except Exception as error:
            return raised(error)
        return self.next_middleware.process(request, client)

    async def _answer(self, auth: PasswordAuth, request: Request, client: Client) -> Response | StreamResponse:
        response = await self.next_middleware.process(request, client)
        if response.status != 401 or not request.replayable:
            return response
        challenges = parse_challenges([text(value) for value in response.field_values(b"www-authenticate")])
        header = answer(auth, challenges, request.method, request.parsed.target.decode("ascii"))
        if header is None:
            return response
        response.drop()
        again = request.replace()
        again.authorization = header
        return await self.next_middleware.process(again, client)
