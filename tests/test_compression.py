"""Request bodies compressed on demand: what arrives, how it is framed, where the work is done, and what is refused."""

from __future__ import annotations

import gzip
import os
import sys
import threading
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import aioreq
from aioreq import encodings
from aioreq.compression import AT_ONCE, STEP, compressed
from aioreq.request_body import StreamedBody, encode_content
from aioreq.testing import Close, Request, Server, httpbin

CODINGS: list[Any] = ["gzip", "deflate", "zstd"]
ANY_CODING = pytest.mark.parametrize("coding", CODINGS)
TEXT = b"".join(b"line %d of a text that can be made shorter\n" % number for number in range(20_000))


def decoded(request: Request) -> bytes:
    """By the codings' own libraries."""
    match request.header("content-encoding"):
        case "gzip":
            return gzip.decompress(request.body)
        case "deflate":
            return zlib.decompress(request.body)
        case "zstd":
            out: bytes = zstd().decompress(request.body)
            return out
    raise AssertionError(f"Content-Encoding: {request.header_values('content-encoding')}")


def zstd() -> Any:
    if sys.version_info >= (3, 14):
        return pytest.importorskip("compression.zstd")
    return pytest.importorskip("backports.zstd")


@pytest.fixture(autouse=True)
def _needs_zstd(request: pytest.FixtureRequest) -> None:
    if "coding" in request.fixturenames and request.getfixturevalue("coding") == "zstd":
        zstd()


async def asynchronous(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def lines(text: bytes) -> Iterator[bytes]:
    yield from text.splitlines(keepends=True)


@ANY_CODING
@pytest.mark.parametrize("size", [1, 1000, AT_ONCE, AT_ONCE + 1, len(TEXT)])
async def test_bytes(server: Server, client: aioreq.Client, coding: Any, size: int) -> None:
    await client.post(server.url + "/anything", content=TEXT[:size], compress=coding)
    request = server.requests[-1]
    assert decoded(request) == TEXT[:size]
    assert request.header_values("content-encoding") == [coding]
    if size <= AT_ONCE:
        assert request.header_values("content-length") == [str(len(request.body))]
        assert request.header("transfer-encoding") is None
    else:
        assert request.header("content-length") is None
        assert request.header_values("transfer-encoding") == ["chunked"]
    assert size < 1000 or len(request.body) < size / 2


@ANY_CODING
async def test_streams(server: Server, client: aioreq.Client, coding: Any, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(TEXT)
    with (tmp_path / "f").open("rb") as file:
        contents: list[Any] = [file, lines(TEXT), [TEXT], asynchronous(TEXT[:5], b"", TEXT[5:]), asynchronous(), [b""]]
        for content, expected in zip(contents, [TEXT, TEXT, TEXT, TEXT, b"", b""], strict=True):
            await client.post(server.url + "/anything", content=content, compress=coding)
            request = server.requests[-1]
            assert decoded(request) == expected
            assert request.header("content-length") is None
            assert request.header_values("transfer-encoding") == ["chunked"]


@ANY_CODING
async def test_forms_and_json(server: Server, client: aioreq.Client, coding: Any) -> None:
    url = server.url + "/anything"
    await client.post(url, json={"a": 1}, compress=coding)
    assert (decoded(server.requests[-1]), server.requests[-1].header("content-type")) == (b'{"a":1}', "application/json")
    await client.post(url, data={"a": "b"}, compress=coding)
    assert decoded(server.requests[-1]) == b"a=b"
    await client.post(url, files={"f": TEXT}, data={"a": "b"}, compress=coding)
    assert b"\r\n\r\n" + TEXT + b"\r\n--" in decoded(server.requests[-1])
    assert (server.requests[-1].header("content-type") or "").startswith("multipart/form-data; boundary=")
    async with client.stream("POST", url, content=b"x", compress=coding):
        assert decoded(server.requests[-1]) == b"x"


@pytest.mark.parametrize("content", [None, b"", ""])
async def test_nothing_is_not_compressed(server: Server, client: aioreq.Client, content: Any) -> None:
    await client.post(server.url + "/anything", content=content, compress="gzip")
    request = server.requests[-1]
    assert (request.body, request.header("content-encoding"), request.header("content-length")) == (b"", None, "0")


async def test_none_compresses_nothing(server: Server, client: aioreq.Client) -> None:
    await client.post(server.url + "/anything", content=b"x", compress=None)
    assert (server.requests[-1].body, server.requests[-1].header("content-encoding")) == (b"x", None)


# --- once more ---


@ANY_CODING
@pytest.mark.parametrize("size", [1000, len(TEXT)])
async def test_where_a_redirect_leads(server: Server, client: aioreq.Client, coding: Any, size: int) -> None:
    for content in (TEXT[:size], [TEXT[:size]]):
        await client.post(server.url + "/redirect-to?status=307&url=/anything", content=content, compress=coding)
        first, second = server.requests[-2:]
        assert first.body == second.body
        assert decoded(second) == TEXT[:size]


async def test_a_303_leaves_it_behind(server: Server, client: aioreq.Client) -> None:
    await client.post(server.url + "/redirect-to?status=303&url=/anything", content=lines(TEXT), compress="gzip")
    request = server.requests[-1]
    assert (request.method, request.body, request.header("content-encoding")) == ("GET", b"", None)


async def test_after_a_lost_connection_and_with_a_password(server: Server) -> None:
    server.script(Close())
    async with aioreq.Client(retry=aioreq.Retry(backoff=0.001)) as client:
        await client.put(server.url + "/anything", content=TEXT, compress="gzip")
        assert decoded(server.requests[-1]) == TEXT
        auth = aioreq.DigestAuth("u", "p")
        response = await client.post(server.url + "/digest-auth/auth/u/p", content=TEXT, compress="gzip", auth=auth)
    assert response.status == 200
    assert [decoded(request) == TEXT for request in server.requests[-2:]] == [True, True]


async def test_a_generator_is_read_once(server: Server, client: aioreq.Client) -> None:
    with pytest.raises(aioreq.LocalProtocolError, match=r"redirects \(307\) to .* can't be sent again"):
        await client.post(server.url + "/redirect-to?status=307&url=/anything", content=lines(TEXT), compress="gzip")


# --- where, and with how much memory ---


class Watched:
    """zlib's compressor, which remembers the threads it worked in and the most that it was given at once."""

    def __init__(self) -> None:
        self.threads: set[str] = set()
        self.most = 0
        self._zlib = zlib.compressobj()

    def compress(self, data: Any) -> bytes:
        self.threads.add(threading.current_thread().name)
        self.most = max(self.most, len(data))
        return self._zlib.compress(data)

    def flush(self) -> bytes:
        self.threads.add(threading.current_thread().name)
        return self._zlib.flush()


@pytest.mark.parametrize("content", [os.urandom(AT_ONCE + 1), TEXT * 3, TEXT.splitlines(keepends=True), [b"x"]], ids=range(4))
async def test_large_bodies_are_compressed_in_a_thread_bit_by_bit(content: bytes | list[bytes]) -> None:
    made: list[Watched] = []

    def make() -> Watched:
        made.append(Watched())
        return made[-1]

    given = encode_content(content)
    assert given is not None
    body = compressed(given, make)
    assert isinstance(body, StreamedBody)
    for number in range(2):
        out = [chunk async for chunk in body.chunks()]
        assert zlib.decompress(b"".join(out)) == (content if isinstance(content, bytes) else b"".join(content))
        assert made[number].threads == {"aioreq-worker"}
        assert made[number].most <= STEP


async def test_memory_is_bounded(client: aioreq.Client) -> None:
    piece = os.urandom(1 << 20)

    def chunks() -> Iterator[bytes]:
        for _ in range(24):
            yield piece

    async with Server(routes=httpbin, record=False) as server:
        tracemalloc.start()
        try:
            response = await client.post(server.url + "/upload", content=chunks(), compress="gzip")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert response.json()["length"] > 24 << 20  # what is random gets no shorter
    assert peak < 12 << 20


@pytest.mark.parametrize("options", [{"compress": "gzip"}, {"files": True}], ids=str)
async def test_a_file_that_shrinks_meanwhile_is_no_whole_one(server: Server, client: aioreq.Client, options: Any, tmp_path: Path) -> None:
    """Both go out chunked, where a server couldn't tell."""
    path = tmp_path / "file"
    path.write_bytes(os.urandom(4 * STEP))

    def shrink(done: int, total: int | None) -> None:
        os.truncate(path, STEP)

    with path.open("rb") as file:
        body: dict[str, Any] = {"content": file, **options}
        if "files" in options:
            body = {"files": [("lines", lines(b"of no length")), ("f", file)]}
        with pytest.raises(aioreq.LocalProtocolError, match=str(4 * STEP)):
            await client.post(server.url + "/anything", progress=shrink, **body)


async def test_the_iterable_is_closed_when_the_request_fails(server: Server, client: aioreq.Client) -> None:
    closed = []

    async def failing() -> AsyncIterator[bytes]:
        try:
            yield TEXT
            raise KeyError("mine")
        finally:
            closed.append(True)

    with pytest.raises(KeyError, match="mine"):
        await client.post(server.url + "/anything", content=failing(), compress="gzip")
    assert closed == [True]


# --- what is refused ---


async def test_what_is_encoded_already(server: Server, client: aioreq.Client) -> None:
    url, body = server.url + "/anything", gzip.compress(TEXT)
    with pytest.raises(ValueError, match="compress='gzip' and a Content-Encoding of your own"):
        await client.post(url, content=body, compress="gzip", headers={"content-encoding": "br"})
    with pytest.raises(ValueError, match="compress='deflate' and a Content-Length of your own"):
        await client.post(url, content=body, compress="deflate", headers={"Content-Length": str(len(body))})
    async with aioreq.Client(headers={"Content-Encoding": "gzip"}) as other:
        with pytest.raises(ValueError, match="compress='gzip' and a Content-Encoding of your own"):
            await other.post(url, content=body, compress="gzip")
        await other.post(url, content=TEXT, compress="deflate", headers={"Content-Encoding": None})
    assert [decoded(request) == TEXT for request in server.requests] == [True]


@pytest.mark.parametrize("coding", ["br", "GZIP", "identity", "", 5, True])
async def test_other_codings(client: aioreq.Client, coding: Any) -> None:
    with pytest.raises(ValueError, match="is 'gzip', 'deflate' or 'zstd'"):
        await client.get("http://127.0.0.1:1/", compress=coding)


async def test_without_the_package_for_zstd(client: aioreq.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    encodings._zstd.cache_clear()
    try:
        with pytest.raises(ImportError, match=r"compress='zstd' needs .* pip install 'aioreq\[speedups\]'"):
            await client.post("http://127.0.0.1:1/", content=b"x", compress="zstd")
    finally:
        monkeypatch.undo()
        encodings._zstd.cache_clear()


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_without_zlib_ng(server: Server, client: aioreq.Client, monkeypatch: pytest.MonkeyPatch, coding: Any) -> None:
    monkeypatch.setitem(sys.modules, "zlib_ng.zlib_ng", None)
    encodings._zlib.cache_clear()
    try:
        await client.post(server.url + "/anything", content=TEXT, compress=coding)
    finally:
        monkeypatch.undo()
        encodings._zlib.cache_clear()
    assert decoded(server.requests[-1]) == TEXT
