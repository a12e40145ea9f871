"""Authentication: who the user is, and what a server asks for, made into the value of an Authorization field.

Basic (RFC 7617) and Digest (RFC 7616, with what RFC 2069 servers still send). Functions of their arguments and nothing else: no request,
no connection, no memory. Who caches a challenge and counts its uses is decided elsewhere; so is to which origin a value may go.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from .errors import InvalidHeader

__all__ = ["BasicAuth", "Challenge", "PasswordAuth", "answer", "basic_header", "choose", "digest_header", "parse_challenges"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Strongest first; "-sess" variants are as strong as theirs.
_HASHES = {"SHA-256": "sha256", "MD5": "md5"}

# RFC 9110 sections 5.6.2, 5.6.4 and 11.2, 11.3. Characters beyond ASCII are obs-text.
_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_TEXT = r"[^\x00-\x08\x0a-\x1f\x7f\"\\]"
_PAIR = r"\\[^\x00-\x08\x0a-\x1f\x7f]"
_TOKEN = re.compile(_WORD)
_TOKEN68 = re.compile(r" +([A-Za-z0-9\-._~+/]+=*)(?=[ \t]*(?:,|\Z))")
_PARAM = re.compile(rf'({_WORD})[ \t]*=[ \t]*(?:({_WORD})|"((?:{_TEXT}|{_PAIR})*)")')
_ESCAPE = re.compile(r"\\(.)")


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
    """A user and a password for Basic alone, sent at once: readable by all who see the request. Use it over TLS."""

    def __post_init__(self) -> None:
        PasswordAuth.__post_init__(self)
        basic_header(self.user, self.password)


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a server asks for: a scheme and parameters, both named in lower case, or `token68` in place of parameters."""

    scheme: str
    params: Mapping[str, str] = field(default_factory=dict)
    token68: str | None = None

    @property
    def stale(self) -> bool:
        """The nonce was too old, the password may be right: answer again (RFC 7616 section 3.3)."""
        return self.params.get("stale", "").lower() == "true"


def parse_challenges(values: Iterable[str]) -> list[Challenge]:
    """The challenges in the values of WWW-Authenticate (or Proxy-Authenticate) fields, in their order (RFC 9110 section 11.6.1).

    A field that breaks the grammar is left out as a whole: where one challenge in it ends and the next begins would be a guess.
    """
    challenges = []
    for value in values:
        challenges += _parse_field(value) or []
    return challenges


def choose(credentials: PasswordAuth, challenges: Iterable[Challenge]) -> Challenge | None:
    """The strongest challenge that can be answered: Digest by SHA-256, Digest by MD5, Basic; the first one among equals."""
    ranked = [(rank, challenge) for challenge in challenges if (rank := _rank(credentials, challenge)) is not None]
    return min(ranked, key=lambda pair: pair[0])[1] if ranked else None


def answer(credentials: PasswordAuth, challenges: Iterable[Challenge], method: str, target: str) -> str | None:
    """The value of the Authorization field for the second attempt, or None where no challenge can be answered.

    `target` is the request target, exactly as it stands in the request line.
    """
    challenge = choose(credentials, challenges)
    if challenge is None:
        return None
    if challenge.scheme == "basic":
        return basic_header(credentials.user, credentials.password)
    return digest_header(challenge, user=credentials.user, password=credentials.password, method=method, target=target, nc=1)


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
    return "Basic " + base64.b64encode(_bytes("Basic", f"{user}:{password}")).decode("ascii")


def digest_header(challenge: Challenge, *, user: str, password: str, method: str, target: str, nc: int, cnonce: str | None = None) -> str:
    """The value of a Digest Authorization field (RFC 7616 section 3.4).

    `nc` counts the requests that answer with the nonce of this challenge, from 1 on. Raises ValueError for a challenge that can't be
    answered (`choose` never gives one), InvalidHeader for a control character in `user` or `target`.
    """
    algorithm = _algorithm(challenge)
    if challenge.scheme != "digest" or algorithm is None:
        raise ValueError(f"this {challenge.scheme} challenge can't be answered by Digest: {dict(challenge.params)!r}")
    params = challenge.params
    realm, nonce = params["realm"], params["nonce"]
    session = algorithm.endswith("-SESS")
    # Here, since few clients answer by Digest: they cost each start milliseconds.
    import hashlib
    import secrets

    cnonce = cnonce or secrets.token_hex(16)

    def hashed(*parts: str) -> str:
        name = _HASHES[algorithm.removesuffix("-SESS")]
        return hashlib.new(name, _bytes("Digest", ":".join(parts)), usedforsecurity=False).hexdigest()

    if bad := _CONTROL.search(target):
        raise InvalidHeader(f"Digest authentication: the target holds the control character {bad[0]!r} at position {bad.start()}")
    secret = hashed(user, realm, password)
    if session:
        secret = hashed(secret, nonce, cnonce)
    request = hashed(method, target)
    fields = [_user_field(user, params, hashed), f"realm={_quoted(realm)}", f"nonce={_quoted(nonce)}", f"uri={_quoted(target)}"]
    if "algorithm" in params:
        fields.append(f"algorithm={params['algorithm']}")
    if "qop" in params:
        count = f"{nc:08x}"
        fields.append(f'response="{hashed(secret, nonce, count, cnonce, "auth", request)}"')
        fields.append(f"qop=auth, nc={count}, cnonce={_quoted(cnonce)}")
    else:
        # RFC 2069: no count, and a cnonce only where the secret is made with it.
        fields.append(f'response="{hashed(secret, nonce, request)}"')
        if session:
            fields.append(f"cnonce={_quoted(cnonce)}")
    if "opaque" in params:
        fields.append(f"opaque={_quoted(params['opaque'])}")
    if _userhash(params):
        fields.append("userhash=true")
    return "Digest " + ", ".join(fields)


def _rank(credentials: PasswordAuth, challenge: Challenge) -> int | None:
    if challenge.scheme == "basic":
        return len(_HASHES)
    algorithm = None if isinstance(credentials, BasicAuth) else _algorithm(challenge)
    return None if algorithm is None else list(_HASHES).index(algorithm.removesuffix("-SESS"))


def _algorithm(challenge: Challenge) -> str | None:
    """The algorithm of a Digest challenge that we can answer, in upper case."""
    params = challenge.params
    algorithm = params.get("algorithm", "MD5").upper()
    if challenge.scheme != "digest" or algorithm.removesuffix("-SESS") not in _HASHES or not {"realm", "nonce"} <= params.keys():
        return None
    offered = [option.strip(" \t").lower() for option in params.get("qop", "auth").split(",")]
    return algorithm if "auth" in offered else None


def _user_field(user: str, params: Mapping[str, str], hashed: Callable[..., str]) -> str:
    if bad := _CONTROL.search(user):
        raise InvalidHeader(f"Digest authentication: the user holds the control character {bad[0]!r} at position {bad.start()}")
    if _userhash(params):
        return f'username="{hashed(user, params["realm"])}"'
    # RFC 7616 section 3.4; older servers know no `username*` and announce no charset: they get the bytes of UTF-8.
    if not user.isascii() and params.get("charset", "").upper() == "UTF-8":
        return f"username*=UTF-8''{quote(_bytes('Digest', user), safe='')}"
    return f"username={_quoted(user)}"


def _userhash(params: Mapping[str, str]) -> bool:
    return params.get("userhash", "").lower() == "true"


def _quoted(text: str) -> str:
    # RFC 9110 section 5.6.4.
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _bytes(scheme: str, text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InvalidHeader(f"{scheme} authentication: the user or the password is not text that UTF-8 can hold") from None


def _parse_field(value: str) -> list[Challenge] | None:
    """A list of challenges, each perhaps with a list of parameters of its own; None where the value isn't one."""
    challenges = []
    at, _ = _skip_commas(value, 0)
    while at < len(value):
        scheme = _TOKEN.match(value, at)
        if scheme is None:
            return None
        at = scheme.end()
        params: dict[str, str] = {}
        token68 = None
        if match := _TOKEN68.match(value, at):
            token68, at = match[1], match.end()
        elif value.startswith(" ", at):
            next_at, _ = _skip_commas(value, at)
            while match := _PARAM.match(value, next_at):
                name, token, quoted = match.groups()
                if name.lower() in params:
                    return None
                params[name.lower()] = token if quoted is None else _ESCAPE.sub(r"\1", quoted)
                at = match.end()
                next_at, separated = _skip_commas(value, at)
                if not separated:
                    break
        # What follows a comma and is no parameter begins the next challenge.
        at, separated = _skip_commas(value, at)
        if at < len(value) and not separated:
            return None
        challenges.append(Challenge(scheme[0].lower(), params, token68))
    return challenges


def _skip_commas(value: str, at: int) -> tuple[int, bool]:
    """Where the next element of the list begins, and whether a comma stands before it: empty elements don't count (section 5.6.1)."""
    end = at
    while end < len(value) and value[end] in " \t,":
        end += 1
    return end, "," in value[at:end]
