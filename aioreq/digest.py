"""Answers to challenges: which of them is the strongest, and the Authorization field for it (Digest: RFC 7616, with what RFC 2069 servers
still send). Functions of their arguments: who remembers a challenge and counts its uses is decided elsewhere, and so is to which origin an
answer may go. Loaded by the first 401: hashes and randomness cost each start milliseconds.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from urllib.parse import quote

from .auth import BasicAuth, DigestAuth, PasswordAuth, utf8
from .challenges import Challenge
from .errors import InvalidHeader

__all__ = ["DigestAnswer", "choose", "digest_answer", "quality", "session_of"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Rank and name of each algorithm; a "-sess" variant is as strong as it is without. Among equals the server's order counts.
_HASHES = {"SHA-512-256": (0, "sha512_256"), "SHA-256": (0, "sha256"), "MD5": (1, "md5")}
_BASIC = 2


@dataclass(frozen=True, slots=True, repr=False)
class DigestAnswer:
    """The value of an Authorization field, and what a server proves itself by in return."""

    header: str
    proof: str | None  # the `rspauth` of whoever knows the password; None where it depends on the response's body

    def contradicts(self, info: Mapping[str, str]) -> bool:
        """Whether Authentication-Info (RFC 7616 section 3.5) comes from somebody who doesn't know the password."""
        given = info.get("rspauth")
        if given is None or self.proof is None:
            return False
        return not hmac.compare_digest(given.lower().encode("utf-8", "surrogateescape"), self.proof.encode())


def choose(auth: PasswordAuth, challenges: Iterable[Challenge], body: bool = True) -> Challenge | None:
    """The strongest challenge that can be answered: Digest by SHA-256 or SHA-512/256, by MD5, Basic; the first one among equals.

    `body` tells whether the whole body is at hand, for servers that want it hashed too.
    """
    ranked = [(rank, challenge) for challenge in challenges if (rank := _rank(auth, challenge, body)) is not None]
    return min(ranked, key=lambda pair: pair[0])[1] if ranked else None


def _rank(auth: PasswordAuth, challenge: Challenge, body: bool) -> int | None:
    if challenge.scheme == "basic":
        return None if isinstance(auth, DigestAuth) else _BASIC
    algorithm = _algorithm(challenge)
    if isinstance(auth, BasicAuth) or algorithm is None or quality(challenge, body) is None:
        return None
    return _HASHES[algorithm.removesuffix("-SESS")][0]


def _algorithm(challenge: Challenge) -> str | None:
    """The algorithm of a Digest challenge that we can answer, in upper case."""
    params = challenge.params
    algorithm = params.get("algorithm", "MD5").upper()
    if challenge.scheme != "digest" or not {"realm", "nonce"} <= params.keys():
        return None
    known = _HASHES.get(algorithm.removesuffix("-SESS"))
    return algorithm if known is not None and _available(known[1]) else None


@cache
def _available(name: str) -> bool:
    # OpenSSL may be built without SHA-512/256, or refuse MD5.
    try:
        hashlib.new(name, usedforsecurity=False)
    except ValueError:
        return False
    return True


def quality(challenge: Challenge, body: bool = True) -> str | None:
    """The quality of protection to answer with: "auth" before "auth-int", "" for a challenge of RFC 2069, which knows none."""
    if "qop" not in challenge.params:
        return ""
    offered = [option.strip(" \t").lower() for option in challenge.params["qop"].split(",")]
    return "auth" if "auth" in offered else "auth-int" if body and "auth-int" in offered else None


def session_of(challenge: Challenge) -> str | None:
    """A cnonce for all answers to a challenge whose hash is made of the first one's (RFC 7616 section 3.4.2), None for any other."""
    return secrets.token_hex(16) if challenge.params.get("algorithm", "").upper().endswith("-SESS") else None


def digest_answer(
    challenge: Challenge,
    *,
    user: str,
    password: str,
    method: str,
    target: str,
    nc: int,
    cnonce: str | None = None,
    body: bytes | None = b"",
) -> DigestAnswer:
    """The answer to a Digest challenge (RFC 7616 section 3.4). `target` is the request target, as it stands in the request line.

    `nc` counts the requests that answer with the nonce of this challenge, from 1 on; `body` is None where it isn't at hand. Raises
    ValueError for a challenge that can't be answered (`choose` never gives one), InvalidHeader for a control character in `user` or
    `target`.
    """
    algorithm, qop = _algorithm(challenge), quality(challenge, body is not None)
    if algorithm is None or qop is None:
        raise ValueError(f"this {challenge.scheme} challenge can't be answered by Digest: {dict(challenge.params)!r}")
    for what, text in (("user", user), ("target", target)):
        if bad := _CONTROL.search(text):
            raise InvalidHeader(f"Digest authentication: the {what} holds the control character {bad[0]!r} at position {bad.start()}")
    params = challenge.params
    realm, nonce = params["realm"], params["nonce"]
    name = _HASHES[algorithm.removesuffix("-SESS")][1]
    cnonce = cnonce or secrets.token_hex(16)
    count = f"{nc:08x}"

    def hashed(*parts: str) -> str:
        return hashlib.new(name, utf8("Digest", ":".join(parts)), usedforsecurity=False).hexdigest()

    secret = hashed(user, realm, password)
    if algorithm.endswith("-SESS"):
        secret = hashed(secret, nonce, cnonce)

    def signed(*of: str) -> str:
        return hashed(secret, nonce, *([count, cnonce, qop] if qop else []), hashed(*of))

    entity = [hashlib.new(name, body or b"", usedforsecurity=False).hexdigest()] if qop == "auth-int" else []
    fields = [_user_field(user, params, hashed), f"realm={_quoted(realm)}", f"nonce={_quoted(nonce)}", f"uri={_quoted(target)}"]
    if "algorithm" in params:
        fields.append(f"algorithm={params['algorithm']}")
    fields.append(f'response="{signed(method, target, *entity)}"')
    if qop:
        fields.append(f"qop={qop}, nc={count}, cnonce={_quoted(cnonce)}")
    elif algorithm.endswith("-SESS"):
        # RFC 2069 has no count, and the cnonce only where the secret is made with it.
        fields.append(f"cnonce={_quoted(cnonce)}")
    if "opaque" in params:
        fields.append(f"opaque={_quoted(params['opaque'])}")
    if _userhash(params):
        fields.append("userhash=true")
    return DigestAnswer("Digest " + ", ".join(fields), None if entity else signed("", target))


def _user_field(user: str, params: Mapping[str, str], hashed: Callable[..., str]) -> str:
    if _userhash(params):
        return f'username="{hashed(user, params["realm"])}"'
    # RFC 7616 section 3.4; older servers know no `username*` and announce no charset: they get the bytes of UTF-8.
    if not user.isascii() and params.get("charset", "").upper() == "UTF-8":
        return f"username*=UTF-8''{quote(utf8('Digest', user), safe='')}"
    return f"username={_quoted(user)}"


def _userhash(params: Mapping[str, str]) -> bool:
    return params.get("userhash", "").lower() == "true"


def _quoted(text: str) -> str:
    # RFC 9110 section 5.6.4.
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
