"""Fields behind a chunked body: announced in the head, made when all of the body is sent, refused where they would mean something else."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

import aioreq
from aioreq.headers import SENSITIVE_HEADERS
from aioreq.testing import Close, Connection, ReadBody, Reply, Server, Stall

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

pytestmark = pytest.mark.usefixtures("no_hanging")


class Digested:
    """Chunks, and the digest of those that went out; it starts anew with each sending."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks
        self.hash = hashlib.sha256()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.hash = hashlib.sha256()
        for chunk in self.chunks:
            await asyncio.sleep(0)
            self.hash.update(chunk)
            yield chunk

    def field(self) -> str:
        return digest_of(self.hash)


def digest_of(made: Any) -> str:
    return f"sha-256=:{base64.b64encode(made.digest()).decode()}:"


async def test_the_digest_of_a_body_follows_it(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    body = Digested(b"one", b"two" * 100_000, b"three")
    await client.put(server.url + "/anything", content=body, extensions={"trailers": {"Content-Digest": body.field}})
    [request] = server.requests
    assert request.body == b"".join(body.chunks)
    assert request.trailers == [(b"Content-Digest", digest_of(hashlib.sha256(request.body)).encode())]
    assert request.header_values("trailer") == ["Content-Digest"]
    assert request.header_values("transfer-encoding") == ["chunked"]
    assert (await client.get(server.url + "/id/2")).text == "2"
    assert server.accepted == 1


async def test_the_wire_is_exact(server: Server, client: aioreq.Client) -> None:
    wire = bytearray()

    async def keep(connection: Connection) -> None:
        while not wire.endswith(b"\r\n\r\n") or b"\r\n0\r\n" not in wire:
            wire.extend(await connection.read_bytes(1))
        await connection.write(OK)

    trailers = {"X-First": "plain", "X-None": None, "X-Not-Made": lambda: None, "X-Made": lambda: b"b\xc3\xa9", "X-Empty": ""}
    server.script(keep, on="accept")
    assert (await client.post(server.url, content=[b"hello"], extensions={"trailers": trailers})).text == "ok"
    head, _, body = bytes(wire).partition(b"\r\n\r\n")
    assert b"\r\nTrailer: X-First, X-None, X-Not-Made, X-Made, X-Empty" in head
    assert body == b"5\r\nhello\r\n0\r\nX-First: plain\r\nX-Made: b\xc3\xa9\r\nX-Empty: \r\n\r\n"


async def test_an_own_announcement_wins(server: Server, client: aioreq.Client) -> None:
    options: Any = {"content": [b"x"], "extensions": {"trailers": {"X-Sum": "1"}}}
    await client.post(server.url + "/anything", headers={"Trailer": "x-sum"}, **options)
    await client.post(server.url + "/anything", headers={"Accept": "text/plain"}, **options)
    assert [request.header_values("trailer") for request in server.requests] == [["x-sum"], ["X-Sum"]]
    assert [request.trailers for request in server.requests] == [[(b"X-Sum", b"1")]] * 2


async def test_they_are_made_again_with_each_sending(server: Server) -> None:
    """Behind a connection that broke, and where a redirect leads."""
    server.route("/from", lambda request: Reply(307, [("Location", "/anything")]))
    body = Digested(b"a" * 10_000, b"b" * 10_000)
    async with aioreq.Client(retry=aioreq.Retry(attempts=1, backoff=0)) as client:
        server.script(ReadBody(5000), Close(), path="/from", on="head")
        response = await client.put(server.url + "/from", content=body, extensions={"trailers": {"Content-Digest": body.field}})
    assert response.ok
    assert [(request.path, request.trailers) for request in server.requests if request.complete] == [
        (path, [(b"Content-Digest", digest_of(hashlib.sha256(b"".join(body.chunks))).encode())]) for path in ("/from", "/anything")
    ]


async def test_without_a_body_there_are_none(server: Server, client: aioreq.Client) -> None:
    server.route("/see-other", lambda request: Reply(303, [("Location", "/anything")]))
    trailers: Any = {"extensions": {"trailers": {"X-Sum": "1"}}}
    await client.get(server.url + "/anything", **trailers)
    await client.post(server.url + "/see-other", content=[b"x"], **trailers)
    assert [(request.header("trailer"), request.trailers) for request in server.requests] == [
        (None, []),
        ("X-Sum", [(b"X-Sum", b"1")]),
        (None, []),
    ]
    await client.post(server.url + "/anything", content=[b"x"], extensions={"trailers": {}})
    assert (server.requests[-1].header("trailer"), server.requests[-1].trailers) == (None, [])


@pytest.mark.parametrize("options", [{"content": b"bytes"}, {"content": b""}, {"json": 1}, {"data": {"a": "b"}}], ids=str)
async def test_only_behind_a_chunked_body(server: Server, client: aioreq.Client, options: Any) -> None:
    with pytest.raises(aioreq.LocalProtocolError, match=r"goes out with 'Content-Length: \d+'"):
        await client.post(server.url, extensions={"trailers": {"X-Sum": "1"}}, **options)
    assert not server.accepted


async def test_a_declared_length_leaves_no_place_for_them(server: Server, client: aioreq.Client) -> None:
    with pytest.raises(aioreq.LocalProtocolError, match="'Content-Length: 1'"):
        await client.post(server.url, content=[b"x"], headers={"Content-Length": "1"}, extensions={"trailers": {"X-Sum": "1"}})
    assert not server.accepted


REFUSED = """
Transfer-Encoding Content-Length Host Trailer TE Connection Keep-Alive Upgrade Expect Range Max-Forwards Cache-Control Pragma
If-Match If-None-Match If-Modified-Since If-Unmodified-Since If-Range If-Anything
Authorization Proxy-Authorization Cookie Set-Cookie Content-Type Content-Encoding Content-Range Content-Disposition
content-length COOKIE
"""


@pytest.mark.parametrize("name", REFUSED.split())
async def test_what_would_mean_something_else_is_refused(server: Server, client: aioreq.Client, name: str) -> None:
    with pytest.raises(aioreq.InvalidHeader, match=f"^{name}: no trailer"):
        await client.post(server.url, content=[b"x"], extensions={"trailers": {"X-Sum": "1", name: "5"}})
    assert not server.accepted


async def test_what_says_who_asks_is_refused(server: Server, client: aioreq.Client) -> None:
    for name, sensitive in (("X-Api-Key", SENSITIVE_HEADERS), ("X-Own", SENSITIVE_HEADERS | {"x-own"})):
        with pytest.raises(aioreq.InvalidHeader, match="says who asks") as caught:
            await client.post(server.url, content=[b"x"], sensitive_headers=sensitive, extensions={"trailers": {name: "secret"}})
        assert "secret" not in str(caught.value)
    assert not server.accepted


@pytest.mark.parametrize("name", ["", "a b", "a\r\nb", "a:b", "\x00", "ü"])
async def test_names_that_are_none(server: Server, client: aioreq.Client, name: str) -> None:
    with pytest.raises(aioreq.InvalidHeader):
        await client.post(server.url, content=[b"x"], extensions={"trailers": {name: "1"}})
    assert not server.accepted


async def asynchronous() -> str:
    return "1"


@pytest.mark.parametrize("given", [[("X-Sum", "1")], "X-Sum", {b"X-Sum": "1"}, {"X-Sum": 1}, {"X-Sum": asynchronous}], ids=str)
async def test_what_makes_none_is_refused_before_anything_is_sent(server: Server, client: aioreq.Client, given: Any) -> None:
    with pytest.raises(TypeError):
        await client.post(server.url, content=[b"x"], extensions={"trailers": given})
    assert not server.accepted


class OwnError(Exception):
    pass


def failing() -> str:
    raise OwnError("mine")


def stopping() -> str:
    raise StopIteration


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (failing, OwnError),
        (stopping, RuntimeError),
        (lambda: 5, TypeError),
        (lambda: "a\r\nTransfer-Encoding: chunked", aioreq.InvalidHeader),
        (lambda: "a\nb", aioreq.InvalidHeader),
        (lambda: b"\x00", aioreq.InvalidHeader),
        ("a\r\nb", aioreq.InvalidHeader),
    ],
)
async def test_a_value_that_cannot_be_sent(served: tuple[Server, aioreq.Client], value: Any, error: type[Exception]) -> None:
    """Nothing of it goes out, nor the end of the body: the request was never whole."""
    server, client = served
    server.script(Stall(), path="/", on="head")
    with pytest.raises(error):
        await client.post(server.url, content=[b"x"], extensions={"trailers": {"X-Ok": "1", "X-Bad": value}})
    await server.until(lambda: not server.connections)
    assert [(request.body, request.complete, request.trailers) for request in server.requests] in (
        [],
        [(b"x", False, [])],
        [(b"", False, [])],
    )
    assert (await client.get(server.url + "/id/2")).text == "2"
