"""Side by side: every verb and every kind of body, with the bytes that go out."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from multidict import CIMultiDict, MultiDict
from yarl import URL

from aioreq.testing import Pause, ReadHead, ReadRequest

from .side_by_side import OK, Stage, same

VERBS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "get", "Post")


@pytest.mark.parametrize("method", VERBS)
@pytest.mark.parametrize("body", [None, b"", b"body", "t\u00e4xt", {"a": "1"}], ids=repr)
async def test_verbs(method: str, body: Any) -> None:
    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session:
            await stage.ask(session, method, "/path?q=1", data=body)
            await stage.ask(session, method, "/path?q=2", data=body)

    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    await same(play, [(head, *([] if method == "HEAD" else [b"ok"]), ReadRequest(), head, *([] if method == "HEAD" else [b"ok"]))])


async def test_the_methods_of_a_session() -> None:
    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session:
            for verb in ("get", "options", "head", "post", "put", "patch", "delete"):
                async with getattr(session, verb)(stage.url + "/" + verb) as response:
                    stage.say_response(response)
            response = await session.get(stage.url + "/awaited")
            stage.say_response(response)
            stage.say(await response.text())
            response.release()
        async with stage.lib.request("GET", stage.url + "/alone") as response:
            stage.say_response(response)

    await same(play, routes=lambda server: server.route("/*", lambda request: request.path))


def form(lib: Any) -> Any:
    form = lib.FormData()
    form.add_field("name", "v\u00e4lue")
    form.add_field("other", "1")
    return form


def multipart_form(lib: Any) -> Any:
    form = lib.FormData(quote_fields=True)
    form.add_field("text", "v\u00e4lue")
    form.add_field("file", b"bytes", filename="na me\u00e4.txt", content_type="text/plain")
    form.add_field("stream", io.BytesIO(b"\0\1\2"), filename="x.bin")
    return form


def mixed(lib: Any) -> Any:
    with lib.MultipartWriter("mixed") as writer:
        writer.append("text")
        writer.append(b"bytes", {"Content-Type": "image/png"})
        writer.append_json({"a": 1})
        writer.append_form([("a", "1"), ("b", "2")])
    return writer


async def pieces() -> AsyncIterator[bytes]:
    for piece in (b"one", b"", b"two", b"x" * 100_000):
        yield piece
        await asyncio.sleep(0)


BODIES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "bytes": lambda lib: {"data": b"\0\xff"},
    "bytearray": lambda lib: {"data": bytearray(b"abc")},
    "memoryview": lambda lib: {"data": memoryview(b"abc")},
    "a megabyte": lambda lib: {"data": b"x" * 1_000_000},
    "str": lambda lib: {"data": "sch\u00f6n"},
    "dict": lambda lib: {"data": {"a": "1 2", "b": "\u00e4&="}},
    "pairs": lambda lib: {"data": [("a", "1"), ("a", "2")]},
    "multidict": lambda lib: {"data": MultiDict([("a", "1"), ("a", "2")])},
    "numbers in a form": lambda lib: {"data": {"a": 1}},
    "json": lambda lib: {"json": {"a": [1, None, "\u00e4"]}},
    "json of nothing": lambda lib: {"json": {}},
    "json and its own type": lambda lib: {"json": 1, "headers": {"Content-Type": "application/vnd.api+json"}},
    "json and data": lambda lib: {"json": 1, "data": b"x"},
    "form": lambda lib: {"data": form(lib)},
    "multipart form": lambda lib: {"data": multipart_form(lib)},
    "multipart": lambda lib: {"data": mixed(lib)},
    "files in a dict": lambda lib: {"data": {"file": io.BytesIO(b"content"), "a": "1"}},
    "BytesIO": lambda lib: {"data": io.BytesIO(b"content")},
    "StringIO": lambda lib: {"data": io.StringIO("t\u00e4xt")},
    "generator": lambda lib: {"data": pieces()},
    "payload": lambda lib: {"data": lib.BytesPayload(b"x", content_type="image/gif", headers={"X-Of-Payload": "1"})},
    "json payload": lambda lib: {"data": lib.JsonPayload({"a": 1})},
    "chunked": lambda lib: {"data": b"abc", "chunked": True},
    "chunked by a field": lambda lib: {"data": b"abc", "headers": {"Transfer-Encoding": "chunked"}},
    "chunked twice": lambda lib: {"data": b"abc", "chunked": True, "headers": {"Transfer-Encoding": "chunked"}},
    "chunked without a body": lambda lib: {"chunked": True},
    "length and chunked": lambda lib: {"data": b"abc", "chunked": True, "headers": {"Content-Length": "3"}},
    "deflate": lambda lib: {"data": b"abc" * 100, "compress": "deflate"},
    "compress": lambda lib: {"data": b"abc" * 100, "compress": True},
    "compress and coded": lambda lib: {"data": b"abc", "compress": True, "headers": {"Content-Encoding": "gzip"}},
    "type given": lambda lib: {"data": b"abc", "headers": {"content-type": "text/x"}},
    "no type": lambda lib: {"data": b"abc", "skip_auto_headers": ["Content-Type"]},
    "nothing that is added": lambda lib: {"data": b"abc", "skip_auto_headers": ["User-Agent", "Accept", "accept-encoding", "Content-Type"]},
    "what can't be sent": lambda lib: {"data": object()},
    "number": lambda lib: {"data": 1},
}


@pytest.mark.parametrize("body", BODIES)
async def test_bodies(body: str) -> None:
    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session:
            await stage.ask(session, "POST", "/", **BODIES[body](stage.lib))

    await same(play, [(OK,)], different="framing of requests" if body == "chunked by a field" else None)


async def test_files(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(b'{"a": 1}')

    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session:
            with path.open("rb") as file:
                await stage.ask(session, "PUT", "/", data=file)
                for _ in range(100):
                    if not file.closed:
                        await asyncio.sleep(0.01)
                stage.say("closed", file.closed)
            with path.open() as text:
                await stage.ask(session, "PUT", "/", data=text)
            with path.open("rb") as file:
                await stage.ask(session, "POST", "/", data={"file": file, "other": "1"})
            with path.open("rb") as file:
                file.read(3)
                await stage.ask(session, "POST", "/", data=file)

    await same(play, routes=lambda server: server.route("/", "ok"))


FIELDS: dict[str, dict[str, Any]] = {
    "of the request": {"headers": {"X-A": "1", "accept": "text/plain"}},
    "several": {"headers": CIMultiDict([("X-A", "1"), ("X-A", "2")])},
    "host": {"headers": {"Host": "other.example"}},
    "user agent": {"headers": {"User-Agent": "mine"}},
    "latin": {"headers": {"X-A": "\u00e4"}},
    "not latin": {"headers": {"X-A": "\u20ac"}},
    "line end": {"headers": {"X-A": "1\r\nX-B: 2"}},
    "line end in a name": {"headers": {"X-A\r\nX-B": "1"}},
    "null": {"headers": {"X-A": "\0"}},
    "empty value": {"headers": {"X-A": ""}},
    "number as value": {"headers": {"X-A": 1}},
    "connection": {"headers": {"Connection": "close"}},
    "length": {"headers": {"Content-Length": "5"}, "timeout": 0.5},
    "params": {"params": {"a": "1 2", "b": "\u00e4&="}},
    "params twice": {"params": [("a", "1"), ("a", "2")]},
    "params as text": {"params": "a=1&b=%20"},
    "params of numbers": {"params": {"a": 1, "b": 1.5}},
    "params of bool": {"params": {"a": True}},
    "params of none": {"params": {"a": None}},
    "params of lists": {"params": {"a": ["1", "2"]}},
    "cookies": {"cookies": {"a": "1", "b": "x y"}},
    "cookies and a field": {"cookies": {"a": "1"}, "headers": {"Cookie": "b=2"}},
}


@pytest.mark.parametrize("options", FIELDS)
async def test_fields(options: str) -> None:
    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession(headers={"X-A": "session", "X-S": "s"}) as session:
            await stage.ask(session, "GET", "/path?x=1", **FIELDS[options])

    # What can't be sent is refused by the face before it connects, and by aiohttp then.
    different = "framing of requests" if options == "length" else None
    await same(play, [(OK,)], reuse=False, different=different)


TARGETS = (
    "", "/", "/a b", "/\u00e4", "/%7e%2f%C3%A4", "/a/../b/./c", "/?", "/?a", "/?a=1&a=2", "/?q=a+b%20c", "/?q=\u00e4", "/#part", "/a;b=c",
    "/?a=b#c=d", "//double//slash", "/?q=%zz", "/[x]", "/?[x]=1", "/|^`{}", "/?x=\"<>", "/%", "/a?b?c", "/'()*!$,:@",
)  # fmt: skip


ILLEGAL = ("/a b", "/\u00e4", "/?q=\u00e4", "/?q=%zz", "/|^`{}", '/?x="<>', "/%")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", ["text", "URL", "encoded URL", "base_url"])
async def test_targets(target: str, kind: str) -> None:
    async def play(stage: Stage) -> None:
        base = stage.url + "/base/" if kind == "base_url" else None
        async with stage.lib.ClientSession(base_url=base) as session:
            made: dict[str, Callable[[], Any]] = {
                "text": lambda: stage.url + target,
                "URL": lambda: URL(stage.url + target),
                "encoded URL": lambda: URL(stage.url + target, encoded=True),
                "base_url": lambda: target.lstrip("/"),
            }
            with stage.trying():
                async with session.get(made[kind]()) as response:
                    stage.say_response(response)

    await same(play, [(OK,)], different="URLs that are none" if kind == "encoded URL" and target in ILLEGAL else None)


BAD_URLS = (
    "http://", "http:///path", "no-scheme", "", "http://[::1", "http://host:port/", "http://host:99999/", "ftp://host/", "file:///etc",
    "data:,x", "HTTP://127.0.0.1:1/", "http://a b/", "http://\u2603.invalid/", "mailto:x@y", "//127.0.0.1:1/", "http://127.0.0.1:1:2/",
    "http://.../", "http://user@/", "/only/path", "http://127.0.0.1:0/", "ws://127.0.0.1:1/", "unix:///x", " http://127.0.0.1:1/",
)  # fmt: skip


@pytest.mark.parametrize("url", BAD_URLS)
async def test_urls_without_a_server(url: str) -> None:
    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session:
            with stage.trying():
                await session.get(url)

    await same(play, different="URLs that are none" if url in ("http://a b/", "http://.../", "http://127.0.0.1:0/") else None)


SESSIONS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "headers": lambda lib: {"headers": {"X-A": "1", "Accept": "x/y"}},
    "cookies": lambda lib: {"cookies": {"a": "1"}},
    "skip_auto_headers": lambda lib: {"skip_auto_headers": ["User-Agent", "Accept-Encoding"]},
    "json_serialize": lambda lib: {"json_serialize": lambda value: "[]"},
    "json_serialize_bytes": lambda lib: {"json_serialize_bytes": lambda value: b"[1]"},
    "version": lambda lib: {"version": lib.HttpVersion10},
    "auth": lambda lib: {"auth": lib.BasicAuth("u", "p")},
    "raise_for_status": lambda lib: {"raise_for_status": True},
    "request_class": lambda lib: {"request_class": lib.ClientRequest},
}


@pytest.mark.parametrize("options", SESSIONS)
async def test_sessions(options: str) -> None:
    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession(**SESSIONS[options](stage.lib)) as session:
            await stage.ask(session, "GET", "/", headers={"X-A": "2"})
            await stage.ask(session, "POST", "/", json={"a": 1})

    await same(play, routes=lambda server: server.route("/", "ok"))


@pytest.mark.parametrize("method", ["POST", "PUT", "GET"])
@pytest.mark.parametrize("answer", ["continues", "refuses", "silent"])
async def test_expect_100(method: str, answer: str) -> None:
    scripts = {
        "continues": (ReadHead(), b"HTTP/1.1 100 Continue\r\n\r\n", ReadRequest(), OK),
        "refuses": (ReadHead(), b"HTTP/1.1 417 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        "silent": (ReadHead(), Pause(0.05), b"HTTP/1.1 100 Continue\r\n\r\n", ReadRequest(), OK),
    }

    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session:
            await stage.ask(session, method, "/", data=b"body", expect100=True)

    await same(play, routes=lambda server: server.script(*scripts[answer], on="accept"))
