"""Routes to try a client on, in the manner of httpbin: `Server(routes=httpbin)`. Knows requests and replies only."""

from __future__ import annotations

import asyncio
import base64
import gzip as gzip_codec
import hashlib
import hmac
import json
import re
import secrets
import zlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from .reply import Reply
from .request import Request

if TYPE_CHECKING:
    from .server import Server

__all__ = ["httpbin"]

_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


def httpbin(server: Server) -> None:
    """Adds /get /anything /headers /json /id /status /redirect /redirect-to /bytes /stream /drip /sse /delay /gzip /deflate /cookies
    /basic-auth /digest-auth /upload; each says below what it gives."""
    route = server.route
    for path in ("/get", "/headers", "/anything", "/anything/*"):
        route(path, _echo, methods=["GET"] if path == "/get" else None)
    route("/json", Reply.json({"message": "hello", "numbers": [1, 2, 3]}))
    route("/id/{x}", _id)
    route("/status/{code}", lambda r: Reply(int(r.params["code"])))
    route("/redirect/{n}", _redirect)
    route("/redirect-to", _redirect_to)
    route("/bytes/{n}", lambda r: _pattern(int(r.params["n"])))
    route("/stream/{n}", _stream)
    route("/drip", _drip)
    route("/sse", _sse)
    route("/delay/{seconds}", _delay)
    route("/gzip", lambda r: _encoded(r, "gzip", gzip_codec.compress))
    route("/deflate", lambda r: _encoded(r, "deflate", zlib.compress))
    route("/cookies", lambda r: {"cookies": dict(_cookies(r))})
    route("/cookies/set", _set_cookies)
    route("/basic-auth/{user}/{password}", _basic_auth)
    digest = _Digest()
    route("/digest-auth/auth/{user}/{password}", digest.answer)
    route("/digest-auth/auth/{user}/{password}/{algorithm}", digest.answer)
    route("/upload", _upload, early=True)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _describe(request: Request) -> dict[str, Any]:
    return {
        "method": request.method,
        "url": request.url,
        "args": dict(request.query),
        "headers": [[_text(name), _text(value)] for name, value in request.headers],
        "body": request.body.decode("utf-8", "replace"),
    }


def _echo(request: Request) -> dict[str, Any]:
    """The request as JSON: method, url, args, headers (pairs), body."""
    return _describe(request)


def _id(request: Request) -> Reply:
    """The last segment as text: an answer that tells which request it belongs to."""
    return Reply(200, [("Content-Type", "text/plain")], request.params["x"])


def _redirect(request: Request) -> Reply:
    """n redirects, then /get."""
    left = int(request.params["n"]) - 1
    return Reply(302, [("Location", f"/redirect/{left}" if left > 0 else "/get")])


def _redirect_to(request: Request) -> Reply:
    """A redirect to ?url= with ?status= (302)."""
    query = dict(request.query)
    return Reply(int(query.get("status", "302")), [("Location", query["url"])])


def _pattern(count: int) -> bytes:
    # Bytes that tell their place, so that a lost or doubled piece shows: no period of a power of two.
    return (bytes(range(251)) * (count // 251 + 1))[:count]


async def _stream(request: Request) -> Reply:
    """n lines of JSON, each its own chunk."""
    description = _describe(request)

    async def lines() -> AsyncIterator[bytes]:
        for number in range(int(request.params["n"])):
            yield json.dumps({"id": number, **description}).encode() + b"\n"

    return Reply(200, [("Content-Type", "application/json")], lines())


async def _drip(request: Request) -> Reply:
    """?numbytes= (10) bytes over ?duration= (2) seconds, after ?delay= (0), of declared length; ?code= (200)."""
    query = dict(request.query)
    count = int(query.get("numbytes", "10"))
    pause = float(query.get("duration", "2")) / max(count, 1)

    async def drops() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"*"
            await asyncio.sleep(pause)

    await asyncio.sleep(float(query.get("delay", "0")))
    headers = [("Content-Type", "application/octet-stream"), ("Content-Length", str(count))]
    return Reply(int(query.get("code", "200")), headers, drops())


async def _sse(request: Request) -> Reply:
    """?count= (10) server-sent events over ?duration= (1) seconds, numbered from behind the Last-Event-ID on; then 204."""
    query = dict(request.query)
    count, first = int(query.get("count", "10")), int(request.header("last-event-id") or -1) + 1
    pause = float(query.get("duration", "1")) / max(count, 1)

    async def events() -> AsyncIterator[bytes]:
        for number in range(first, count):
            yield f"event: ping\nid: {number}\ndata: {json.dumps({'id': number})}\n\n".encode()
            await asyncio.sleep(pause)

    return Reply(200, [("Content-Type", "text/event-stream")], events()) if first < count else Reply(204)


async def _delay(request: Request) -> dict[str, Any]:
    """As /anything, after some seconds."""
    await asyncio.sleep(float(request.params["seconds"]))
    return _describe(request)


def _encoded(request: Request, name: str, encode: Any) -> Reply:
    body = encode(json.dumps({"encoding": name, **_describe(request)}).encode())
    return Reply(200, [("Content-Type", "application/json"), ("Content-Encoding", name)], body)


def _cookies(request: Request) -> list[tuple[str, str]]:
    pairs = [pair.partition("=") for value in request.header_values("cookie") for pair in value.split(";")]
    return [(name.strip(), value.strip()) for name, _, value in pairs]


def _set_cookies(request: Request) -> Reply:
    """Sets a cookie for each pair of the query and redirects to /cookies."""
    cookies = [("Set-Cookie", f"{name}={value}; Path=/") for name, value in request.query]
    return Reply(302, [("Location", "/cookies"), *cookies])


def _basic_auth(request: Request) -> Reply:
    """200 with the user and password of the path by RFC 7617, else 401."""
    user, password = unquote(request.params["user"]), unquote(request.params["password"])
    wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    if hmac.compare_digest((request.header("authorization") or "").encode(), wanted.encode()):
        return Reply.json({"authenticated": True, "user": user})
    return Reply(401, [("WWW-Authenticate", 'Basic realm="test", charset="UTF-8"')])


class _Digest:
    """RFC 7616 with qop=auth: 200 with the user and password of the path, else 401 that offers SHA-256 and MD5 (or the one named).

    A nonce is the server's own, and its count only grows: a replay gets `stale=true` and a new nonce.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def answer(self, request: Request) -> Reply:
        user, password = unquote(request.params["user"]), unquote(request.params["password"])
        algorithms = [request.params["algorithm"]] if "algorithm" in request.params else ["SHA-256", "MD5"]
        scheme, _, rest = (request.header("authorization") or "").partition(" ")
        if scheme.lower() != "digest":
            return self._challenge(algorithms)
        given = _parameters(rest)
        algorithm = given.get("algorithm", "MD5")
        if algorithm not in algorithms or not self._proves(given, algorithm, request, user, password):
            return self._challenge(algorithms)
        count = int(given["nc"], 16)
        if count <= self._counts.get(given["nonce"], count):
            return self._challenge(algorithms, stale=True)
        self._counts[given["nonce"]] = count
        return Reply.json({"authenticated": True, "user": user, "algorithm": algorithm, "nc": count})

    def _challenge(self, algorithms: list[str], stale: bool = False) -> Reply:
        nonce = secrets.token_hex(16)
        self._counts[nonce] = 0
        end = ", stale=true" if stale else ""
        fields = [
            ("WWW-Authenticate", f'Digest realm="test", qop="auth", algorithm={a}, nonce="{nonce}", opaque="5ccc069c"{end}')
            for a in algorithms
        ]
        return Reply(401, fields)

    def _proves(self, given: dict[str, str], algorithm: str, request: Request, user: str, password: str) -> bool:
        def digest(text: str) -> str:
            return _HASHES[algorithm](text.encode()).hexdigest()

        shape = given.get("qop") == "auth" and re.fullmatch("[0-9a-f]{8}", given.get("nc", "")) and given.get("cnonce")
        right = given.get("username") == user and given.get("realm") == "test" and given.get("opaque") == "5ccc069c"
        if not (shape and right) or given.get("uri", "").encode() != request.target:
            return False
        secret, what = digest(f"{user}:test:{password}"), digest(f"{request.method}:{given['uri']}")
        middle = f"{given.get('nonce', '')}:{given['nc']}:{given['cnonce']}:auth"
        return hmac.compare_digest(given.get("response", "").encode(), digest(f"{secret}:{middle}:{what}").encode())


def _parameters(text: str) -> dict[str, str]:
    """name=token or name="quoted" pairs: RFC 9110 section 11.2."""
    found = re.finditer(r'([\w*-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))', text)
    return {m[1].lower(): re.sub(r"\\(.)", r"\1", m[2]) if m[2] is not None else m[3] for m in found}


async def _upload(request: Request) -> dict[str, Any]:
    """Length and SHA-256 of the body, taken as it arrives."""
    length, digest = 0, hashlib.sha256()
    async for piece in request.pieces():
        length += len(piece)
        digest.update(piece)
    return {"length": length, "sha256": digest.hexdigest()}
