"""Digest authentication (RFC 7616) as a client middleware: the core's answers to the core's challenges. Sends nothing itself."""

from __future__ import annotations

from typing import Any

from ...auth import DigestAuth
from ...errors import AioreqError
from ...middlewares.authentication import answers
from ...protection import ProtectionSpaces
from ...urls import Origin
from .client_exceptions import ClientError
from .client_middlewares import ClientHandlerType
from .client_reqrep import ClientRequest, ClientResponse

__all__ = ["DigestAuthMiddleware"]


class DigestAuthMiddleware:
    """Answers a server that asks for Digest: `ClientSession(middlewares=[DigestAuthMiddleware("user", "password")])`.

    With `preemptive` later requests to where the server asked carry their answer from the start. Only the origin of the first request is
    ever answered: others pass untouched. One instance may serve several sessions.
    """

    def __init__(self, login: str, password: str, preemptive: bool = True) -> None:
        given: Any = (login, password)
        for name, value in zip(("login", "password"), given, strict=True):
            if value is None:
                raise ValueError(f"None is not allowed as {name} value")
        if ":" in login:
            raise ValueError('A ":" is not allowed in username (RFC 1945#section-11.1)')
        self._auth = DigestAuth(login, password)
        self._preemptive = preemptive
        self._spaces = ProtectionSpaces()
        self._origin: Origin | None = None

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """The response, with the answer that the server wanted. Errors: ClientError for credentials that no field can hold."""
        attempt = request._attempt()
        origin = attempt.parsed.origin
        if self._origin is None:
            self._origin = origin
        if origin != self._origin:
            return await handler(request)
        attempt.remove_fields("Authorization")  # whoever else has set it: the answer takes its place
        spaces = self._spaces if self._preemptive else ProtectionSpaces()
        response: ClientResponse | None = None
        flow = answers(self._auth, attempt, spaces)
        try:
            wanted = await anext(flow)
            while True:
                if wanted.authorization is not None:
                    request.headers["Authorization"] = wanted.authorization
                response = await handler(request)
                try:
                    wanted = await flow.asend(response._head)
                except StopAsyncIteration:
                    return response
                response.release()
        except AioreqError as error:
            raise ClientError(f"Digest auth error: {error}") from error
        finally:
            await flow.aclose()
