"""A server's side of Digest (RFC 7616), for routes of the test server: written from the RFC, and of nothing that the client uses."""

from __future__ import annotations

import hashlib
import secrets
from urllib.parse import unquote

from aioreq.testing import Reply, Request

__all__ = ["Protected"]

HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}


class Protected:
    """A handler that gives 200 and the body's length to `user`, else a 401 with a challenge. A nonce is stale after `uses` requests.

    A count that comes twice with a nonce is a replay: 400. `hands_on` gives a nextnonce with each answer; `rspauth` is what the server
    proves itself by, a wrong one where it says "wrong". `strict` takes counts only in their order, as servers without a memory do.
    """

    def __init__(
        self,
        user: str = "ann",
        password: str = "sesame",
        *,
        realm: str = "here",
        algorithm: str = "SHA-256",
        qop: str | None = "auth",
        userhash: bool = False,
        charset: str | None = None,
        domain: str | None = None,
        uses: int | None = None,
        hands_on: bool = False,
        rspauth: str = "right",
        strict: bool = False,
        fixed: bool = False,
    ) -> None:
        self.user, self.password, self.realm, self.algorithm, self.qop = user, password, realm, algorithm, qop
        self.userhash, self.charset, self.domain = userhash, charset, domain
        self.uses, self.hands_on, self.rspauth, self.strict, self.fixed = uses, hands_on, rspauth, strict, fixed
        self.counts: dict[str, list[int]] = {}  # that came with each nonce
        self.answers: list[dict[str, str]] = []
        self.sessions: dict[str, str] = {}  # the cnonce that came first with a nonce

    def __call__(self, request: Request) -> Reply:
        scheme, _, rest = (request.header("authorization") or "").partition(" ")
        if scheme != "Digest":
            return self.challenge()
        given = parameters(rest)
        self.answers.append(given)
        nonce = given.get("nonce", "")
        if nonce not in self.counts:
            return self.challenge(stale=True)
        if self.qop is not None:
            assert given["nc"] == given["nc"].lower(), "nc is LHEX"
            assert len(given["nc"]) == 8
            count = int(given["nc"], 16)
            if count in self.counts[nonce]:
                return Reply(400, body=f"a replay: {given}")
            if self.strict and count <= max(self.counts[nonce], default=0):
                return self.challenge(stale=True)
            self.counts[nonce].append(count)
            if self.uses is not None and len(self.counts[nonce]) > self.uses:
                return self.challenge(stale=True)
        if not self.right(request, given):
            return self.challenge()
        return Reply(200, self.info(given), str(len(request.body)))

    def challenge(self, stale: bool = False) -> Reply:
        nonce = "fixed" if self.fixed else secrets.token_urlsafe(12)
        self.counts.setdefault(nonce, [])
        parts = [f'realm="{self.realm}"', f'nonce="{nonce}"', 'opaque="o, p=q"', f"algorithm={self.algorithm}"]
        parts += [f'qop="{self.qop}"'] if self.qop is not None else []
        parts += [f'domain="{self.domain}"'] if self.domain is not None else []
        parts += [f"charset={self.charset}"] if self.charset else []
        parts += ["userhash=true"] if self.userhash else []
        parts += ["stale=TRUE"] if stale else []
        return Reply(401, [("WWW-Authenticate", "Digest " + ", ".join(parts))], "who are you?")

    def hashed(self, data: str | bytes) -> str:
        raw = data.encode() if isinstance(data, str) else data
        return hashlib.new(HASHES[self.algorithm.removesuffix("-sess")], raw).hexdigest()

    def secret(self, given: dict[str, str]) -> str:
        secret = self.hashed(f"{self.user}:{self.realm}:{self.password}")
        if self.algorithm.endswith("-sess"):
            first = self.sessions.setdefault(given["nonce"], given["cnonce"])
            secret = self.hashed(f"{secret}:{given['nonce']}:{first}")
        return secret

    def signed(self, given: dict[str, str], what: str) -> str:
        middle = f"{given['nc']}:{given['cnonce']}:{given['qop']}:" if self.qop is not None else ""
        return self.hashed(f"{self.secret(given)}:{given['nonce']}:{middle}{self.hashed(what)}")

    def right(self, request: Request, given: dict[str, str]) -> bool:
        if self.userhash:
            name = given.get("username") == self.hashed(f"{self.user}:{self.realm}") and given.get("userhash") == "true"
        elif "username*" in given:
            charset, _, quoted = given["username*"].split("'", 2)
            name = charset == "UTF-8" and unquote(quoted, errors="strict") == self.user
        else:
            name = given.get("username") == self.user
        assert given["uri"].encode() == request.target
        assert given["opaque"] == "o, p=q"
        assert given["algorithm"] == self.algorithm
        assert self.qop is None or given["qop"] in self.qop.replace(",", " ").split()
        entity = ":" + self.hashed(request.body) if given.get("qop") == "auth-int" else ""
        return name and given["realm"] == self.realm and given["response"] == self.signed(given, f"{request.method}:{given['uri']}{entity}")

    def info(self, given: dict[str, str]) -> list[tuple[str, str]]:
        parts = []
        if self.rspauth and given.get("qop") == "auth":
            proof = self.signed(given, f":{given['uri']}") if self.rspauth == "right" else self.hashed("wrong")
            parts = [f'rspauth="{proof}"', f'cnonce="{given["cnonce"]}"', f"nc={given['nc']}", "qop=auth"]
        if self.hands_on:
            following = secrets.token_urlsafe(12)
            self.counts[following] = []
            parts.append(f'nextnonce="{following}"')
        return [("Authentication-Info", ", ".join(parts))] if parts else []


def parameters(text: str) -> dict[str, str]:
    """auth-param, read character by character."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        if text[at] in " ,":
            at += 1
            continue
        name, _, _ = text[at:].partition("=")
        at += len(name) + 1
        value = ""
        if text[at] == '"':
            at += 1
            while text[at] != '"':
                at += text[at] == "\\"
                value += text[at]
                at += 1
            at += 1
        else:
            while at < len(text) and text[at] not in " ,":
                value += text[at]
                at += 1
        assert name not in found, f"{name} comes twice"
        found[name] = value
    return found
