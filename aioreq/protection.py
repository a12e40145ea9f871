"""Which parts of which origins ask for a password, and how they were last answered: what one client remembers, so that it is asked once and
not before each request. Sends nothing.

An answer stays with its origin and its user: the URIs that a challenge names on other origins (RFC 7616 section 3.3) are passed over.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

from . import threads
from .auth import PasswordAuth, basic_header
from .challenges import Challenge
from .digest import DigestAnswer, digest_answer, quality, session_of
from .errors import InvalidURL
from .urls import ParsedURL, join

if TYPE_CHECKING:
    from .models import Request

__all__ = ["ProtectionSpace", "ProtectionSpaces"]

_USERS = 256  # pairs of an origin and a user whose answers are remembered
_SPACES = 8  # of each of them
_NONCES = 256  # whose uses are counted besides
_LONGEST = 4096  # characters of a challenge that is remembered, and of the URIs that it names
_MOST_URIS = 32  # of a challenge's domain that are looked at
_LARGE = 1 << 20  # bytes of a body that are hashed off the loop


class ProtectionSpace:
    """Where one challenge holds on an origin, and the answers to it. Requests of all loops and threads count its nonce together."""

    __slots__ = ("_cnonce", "_counts", "challenge", "prefixes")

    def __init__(self, challenge: Challenge, prefixes: tuple[str, ...], counts: Iterator[int] | None = None) -> None:
        self.challenge = challenge
        self.prefixes = prefixes  # of the targets in it
        self._counts = counts or count(1)  # the next one is taken in one step, whichever thread asks
        self._cnonce = session_of(challenge)

    @property
    def size(self) -> int:
        """Characters, for a server chooses how many there are."""
        return sum(map(len, (*self.challenge.params, *self.challenge.params.values(), self.challenge.token68 or "", *self.prefixes)))

    def serves(self, request: Request) -> bool:
        """Whether a request can be answered for as it is: some servers want its body hashed."""
        return self.challenge.scheme == "basic" or quality(self.challenge, self.body_of(request) is not None) is not None

    def refused(self, challenge: Challenge) -> bool:
        """Whether a server that asks this now has just refused the answer given here, and not only its age."""
        if challenge.scheme != self.challenge.scheme:
            return False
        same = challenge.scheme == "basic" or all(challenge.params.get(name) == self.challenge.params[name] for name in ("realm", "nonce"))
        return same and not challenge.stale

    async def answer(self, auth: PasswordAuth, request: Request) -> DigestAnswer:
        """The Authorization field of one more request. Errors: InvalidHeader."""
        if self.challenge.scheme == "basic":
            return DigestAnswer(basic_header(auth.user, auth.password), None)
        body = self.body_of(request)
        if body is not None and len(body) > _LARGE and quality(self.challenge) == "auth-int":
            return await threads.run(self._digest, auth, request, body)
        return self._digest(auth, request, body)

    def _digest(self, auth: PasswordAuth, request: Request, body: bytes | None) -> DigestAnswer:
        return digest_answer(
            self.challenge,
            user=auth.user,
            password=auth.password,
            method=request.method,
            target=request.parsed.target.decode("ascii"),
            nc=next(self._counts),
            cnonce=self._cnonce,
            body=body,
        )

    def following(self, info: Mapping[str, str]) -> ProtectionSpace | None:
        """The space once an answer was taken with this Authentication-Info: itself, or the one of its `nextnonce`. None where that isn't
        known: no RFC says whether the hash of a session is made anew for it."""
        if not info.get("nextnonce"):
            return self
        if self._cnonce is not None:
            return None
        return ProtectionSpace(replace(self.challenge, params={**self.challenge.params, "nonce": info["nextnonce"]}), self.prefixes)

    @staticmethod
    def body_of(request: Request) -> bytes | None:
        """The whole body of a request where it is at hand."""
        body = request.body
        return b"" if body is None else body if isinstance(body, bytes) else None


class ProtectionSpaces:
    """The spaces that took a client's answers, the least recently used forgotten first. Each step is one of a dictionary's own, so that
    threads need no lock."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Any, ...], tuple[ProtectionSpace, ...]] = OrderedDict()
        # Of the latest nonces: a server may give one of them to several requests.
        self._counts: OrderedDict[tuple[Any, ...], Iterator[int]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(spaces) for spaces in list(self._known.values()))

    def opened(self, challenge: Challenge, url: ParsedURL) -> ProtectionSpace:
        """The space that a challenge at this URL opens, remembered once it took an answer."""
        counts = self._counts.setdefault((*url.origin, challenge.params.get("nonce", "")[:_LONGEST]), count(1))
        if len(self._counts) > _NONCES:
            self._counts.popitem(last=False)
        return ProtectionSpace(challenge, _prefixes(challenge, url), counts)

    def recall(self, auth: PasswordAuth, request: Request) -> ProtectionSpace | None:
        """The innermost space that this request is in, None where nobody asked there yet."""
        key = _key(auth, request.parsed)
        spaces = self._known.get(key)
        if spaces is None:
            return None
        try:
            self._known.move_to_end(key)
        except KeyError:  # forgotten by another thread in this very moment
            return None
        target = request.parsed.target.decode("ascii")
        found, longest = None, -1
        for space in spaces:
            depth = max((len(prefix) for prefix in space.prefixes if target.startswith(prefix)), default=-1)
            if depth > longest and space.serves(request):
                found, longest = space, depth
        return found

    def remember(self, auth: PasswordAuth, url: ParsedURL, space: ProtectionSpace) -> None:
        """This one from now on, in place of any other for the same URIs."""
        if not space.prefixes or space.size > _LONGEST:
            return
        key = _key(auth, url)
        others = [other for other in self._known.get(key, ()) if other.prefixes != space.prefixes]
        self._known.pop(key, None)  # so that it is the latest one
        self._known[key] = (space, *others[: _SPACES - 1])
        if len(self._known) > _USERS:
            self._known.popitem(last=False)

    def forget(self, auth: PasswordAuth, url: ParsedURL, space: ProtectionSpace) -> None:
        """It doesn't hold any longer."""
        key = _key(auth, url)
        left = tuple(other for other in self._known.get(key, ()) if other is not space)
        if left:
            self._known[key] = left
        else:
            self._known.pop(key, None)


def _key(auth: PasswordAuth, url: ParsedURL) -> tuple[Any, ...]:
    # Of plain values alone, which dictionaries compare without running a line of Python.
    return (*url.origin, type(auth), auth.user, auth.password)


def _prefixes(challenge: Challenge, url: ParsedURL) -> tuple[str, ...]:
    path = url.target.decode("ascii").partition("?")[0]
    if challenge.scheme == "basic":
        return (path[: path.rfind("/") + 1],)  # RFC 7617 section 2.2
    domain = challenge.params.get("domain", "").split()
    if not domain:
        return ("/",)
    found = []
    for uri in domain[:_MOST_URIS]:
        try:
            target = join(url, uri)
        except InvalidURL:
            continue
        if target.origin == url.origin:
            found.append(target.target.decode("ascii"))
    return tuple(dict.fromkeys(found))
