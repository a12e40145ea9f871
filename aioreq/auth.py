"""Who the user is: the values that `auth=` takes, and what is made of them at once.

Knows no connection and remembers no server. What an answer to a challenge looks like is in `digest`; whom it is given to, and when, is
decided by the link of the chain. No value shows its secret, in a repr or in an error.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from .errors import InvalidHeader

if TYPE_CHECKING:
    from .models import Request

__all__ = ["Auth", "AuthFlow", "AuthTypes", "BasicAuth", "DigestAuth", "PasswordAuth", "basic_header", "credentials", "utf8"]

# What an own scheme does: it gives the request to send next, and gets the response.
AuthFlow: TypeAlias = "Generator[Request, Any, None] | AsyncGenerator[Request, Any]"
AuthTypes: TypeAlias = (
    "tuple[str, str] | PasswordAuth | Auth | Callable[[Request], AuthFlow | Awaitable[Request | None] | Request | None] | None"
)

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class PasswordAuth:
    """A user and a password, for whichever of Digest and Basic the server asks; nothing is sent before it does."""

    user: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        for value in (self.user, self.password):
            if not isinstance(value, str):
                raise TypeError(f"{type(self).__name__}: user and password are str, not {type(value).__name__}")


@dataclass(frozen=True, slots=True)
class BasicAuth(PasswordAuth):
    """A user and a password for Basic alone (RFC 7617), sent at once: readable by all who see the request. Use it over TLS."""

    header: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        PasswordAuth.__post_init__(self)
        object.__setattr__(self, "header", basic_header(self.user, self.password))


@dataclass(frozen=True, slots=True)
class DigestAuth(PasswordAuth):
    """A user and a password for Digest alone (RFC 7616): the password itself is never sent, whatever the server asks for.

    The first request to a server is sent twice: its 401 says how to answer. Later ones carry their answer from the start.
    """


class Auth:
    """The base of schemes of your own: write `auth_flow`.

    It is a generator, plain or asynchronous, that is given a copy of the request: change it, `response = yield request`, and look at the
    response to see whether another try is due. The last response is the caller's. It may yield other requests too, for a token, say; only
    an asynchronous one can read bodies (`await response.read()`). One that only adds to a request needs no class: `auth=` takes the
    function.
    A body that can't be sent a second time ends the flow at its first response.
    """

    __slots__ = ()

    def auth_flow(self, request: Request) -> AuthFlow:
        """The requests to send in turn, each of them yielded for its response."""
        raise NotImplementedError(f"{type(self).__name__} must define `def auth_flow(self, request)`, a generator")


class _Function(Auth):
    """A function of the request, given as `auth=`: it changes the request, gives another one, or is itself a flow."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[Request], Any]) -> None:
        self._function = function

    def auth_flow(self, request: Request) -> AuthFlow:
        made = self._function(request)
        return made if isinstance(made, Generator | AsyncGenerator) else _changed(request, made)


async def _changed(request: Request, made: Any) -> AsyncGenerator[Request, Any]:
    changed = await made if isinstance(made, Awaitable) else made
    yield request if changed is None else changed


def credentials(auth: object) -> PasswordAuth | Auth | None:
    """What a user gives as `auth=`, as a value with a meaning; None for nothing. Errors: TypeError, which never shows what was given."""
    if auth is None or isinstance(auth, PasswordAuth | Auth):
        return auth
    if isinstance(auth, tuple) and len(auth) == 2:
        return PasswordAuth(*auth)
    if callable(auth) and not isinstance(auth, type):
        return _Function(auth)
    given = f"the class {auth.__name__}: make one" if isinstance(auth, type) else type(auth).__name__
    raise TypeError(
        "auth= takes (user, password), a BasicAuth, DigestAuth, BearerAuth, NetrcAuth, an Auth of your own, a function of the request, "
        f"or None; not {given}"
    )


def basic_header(user: str, password: str) -> str:
    """The value of a Basic Authorization field, in UTF-8; raises InvalidHeader where RFC 7617 section 2 forbids a character.

    >>> basic_header("Aladdin", "open sesame")
    'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=='
    """
    if ":" in user:
        # Not shown: where somebody gave both in one, the password is in it.
        raise InvalidHeader("Basic authentication: the user holds ':', where the server would take the password to begin")
    for what, text in (("user", user), ("password", password)):
        if bad := _CONTROL.search(text):
            raise InvalidHeader(f"Basic authentication: the {what} holds the control character {bad[0]!r} at position {bad.start()}")
    return "Basic " + b2a_base64(utf8("Basic", f"{user}:{password}"), newline=False).decode("ascii")


def utf8(scheme: str, text: str) -> bytes:
    """The bytes of a user or a password, as `scheme` takes them. Errors: InvalidHeader."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InvalidHeader(f"{scheme} authentication: the user or the password is not text that UTF-8 can hold") from None
