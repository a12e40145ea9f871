"""Request bodies: what users give in, bytes or a stream of chunks out; and what of it can be sent twice."""

from __future__ import annotations

import array
import gzip
import io
import json
import math
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import aioreq
from aioreq.config import UNSET
from aioreq.errors import LocalProtocolError
from aioreq.request_body import FILE_CHUNK, StreamedBody, encode_body, encode_content, encode_json
from aioreq.testing import Reply, Server


async def collect(body: object) -> list[bytes]:
    assert isinstance(body, StreamedBody)
    return [chunk async for chunk in body.chunks()]


def streamed(content: Any) -> StreamedBody:
    body = encode_content(content)
    assert isinstance(body, StreamedBody)
    return body


def generator(*chunks: Any) -> Iterator[Any]:
    yield from chunks


async def asynchronous(*chunks: Any) -> AsyncIterator[Any]:
    for chunk in chunks:
        yield chunk


class Replayable:
    """Iterates anew each time, asynchronously."""

    def __init__(self, *chunks: Any) -> None:
        self.chunks = chunks

    def __aiter__(self) -> AsyncIterator[Any]:
        return asynchronous(*self.chunks)


class Unseekable(io.RawIOBase):
    """A pipe, say."""

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def read(self, size: int = -1) -> bytes:
        data, self.rest = self.rest[:3], self.rest[3:]
        return data


class Minimal:
    """All that is asked of a file."""

    def __init__(self, *chunks: Any) -> None:
        self.chunks = list(chunks)

    def read(self, size: int) -> Any:
        return self.chunks.pop(0) if self.chunks else b""


# --- content: at once ---


@pytest.mark.parametrize(
    ("content", "body"),
    [
        (None, None),
        (b"", b""),
        (b"abc", b"abc"),
        ("", b""),
        ("caf\xe9 \U0001f600", "caf\xe9 \U0001f600".encode()),
        (bytearray(b"abc"), b"abc"),
        (memoryview(b"abc"), b"abc"),
        (memoryview(b"abcdef")[::2], b"ace"),
        (memoryview(array.array("H", [0x6161])), b"aa"),
    ],
)
def test_content_that_is_all_there(content: Any, body: bytes | None) -> None:
    encoded = encode_content(content)
    assert encoded == body
    assert body is None or type(encoded) is bytes


def test_a_buffer_is_copied_when_it_is_given() -> None:
    buffer = bytearray(b"abc")
    body = encode_content(buffer)
    buffer[:] = b"xyz"
    assert body == b"abc"


@pytest.mark.parametrize("content", [{}, {"a": 1}, 1, 1.5, True, object(), len, ...])
def test_content_of_other_types_is_a_type_error(content: Any) -> None:
    with pytest.raises(TypeError, match=rf"content: give bytes, str, a binary file or an iterable of bytes, not {type(content).__name__};"):
        encode_content(content)


def test_a_dict_goes_to_data_or_json() -> None:
    with pytest.raises(TypeError, match="mappings go to data= or json="):
        encode_content({b"a": b"b"})


# --- content: iterables ---


@pytest.mark.parametrize(
    ("make", "replayable"),
    [
        (lambda: [b"a", b"", b"bc"], True),
        (lambda: (b"a", b"", b"bc"), True),
        (lambda: {b"a": 1, b"": 2, b"bc": 3}.keys(), True),
        (lambda: [bytearray(b"a"), memoryview(b""), b"bc"], True),
        (lambda: Replayable(b"a", b"", b"bc"), True),
        (lambda: generator(b"a", b"", b"bc"), False),
        (lambda: iter([b"a", b"", b"bc"]), False),
        (lambda: map(bytes, [b"a", b"", b"bc"]), False),
        (lambda: asynchronous(b"a", b"", b"bc"), False),
    ],
    ids=["list", "tuple", "keys", "buffers", "asynchronous", "generator", "iterator", "map", "asynchronous generator"],
)
async def test_iterables(make: Callable[[], Any], replayable: bool) -> None:
    body = streamed(make())
    assert (body.length, body.replayable, body.sendable) == (None, replayable, True)
    assert await collect(body) == [b"a", b"", b"bc"]
    assert body.sendable is replayable
    if replayable:
        assert await collect(body) == [b"a", b"", b"bc"]
    else:
        with pytest.raises(LocalProtocolError, match="already read and can't be sent again: give bytes, a list or a file"):
            body.chunks()


async def test_a_generator_is_used_up_once_it_was_begun() -> None:
    taken = []

    def chunks() -> Iterator[bytes]:
        for number in range(3):
            taken.append(number)
            yield b"x"

    body = streamed(chunks())
    assert taken == []  # nothing is read before it is sent
    pieces = body.chunks()
    assert await anext(pieces) == b"x"
    assert taken == [0]
    assert not body.sendable
    await pieces.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize("make", [generator, asynchronous, Replayable, lambda *chunks: list(chunks)])
@pytest.mark.parametrize("wrong", ["text", 1, None, [b"x"], array.array("B", b"x")], ids=repr)
async def test_chunks_that_are_no_bytes_are_a_type_error(make: Callable[..., Any], wrong: Any) -> None:
    pieces = streamed(make(b"good", wrong, b"never")).chunks()
    assert await anext(pieces) == b"good"
    with pytest.raises(TypeError, match=rf"content: the iterable gave {type(wrong).__name__}, not bytes"):
        await anext(pieces)
    with pytest.raises(StopAsyncIteration):
        await anext(pieces)


async def test_an_iterable_that_is_not_sent_to_its_end_is_closed() -> None:
    closed = []

    def chunks() -> Iterator[bytes]:
        try:
            yield b"a"
            yield b"b"
        finally:
            closed.append("generator")

    async def asynchronous_chunks() -> AsyncIterator[bytes]:
        try:
            yield b"a"
            yield b"b"
        finally:
            closed.append("asynchronous")

    for content in (chunks(), asynchronous_chunks()):
        pieces = streamed(content).chunks()
        del content
        assert await anext(pieces) == b"a"
        await pieces.aclose()  # type: ignore[attr-defined]
        del pieces
    assert sorted(closed) == ["asynchronous", "generator"]


async def test_the_error_of_an_iterable_comes_through() -> None:
    def broken() -> Iterator[bytes]:
        yield b"a"
        raise ZeroDivisionError("mine")

    pieces = streamed(broken()).chunks()
    assert await anext(pieces) == b"a"
    with pytest.raises(ZeroDivisionError, match="mine"):
        await anext(pieces)


# --- content: files ---


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    return path


def opened(kind: str, path: Path, text: str = "") -> Any:
    """A file of that kind with the contents of `path`, for reading bytes, or as `text` says; the caller closes it."""
    if kind == "memory":
        return io.StringIO(path.read_text()) if text else io.BytesIO(path.read_bytes())
    if kind in ("file", "unbuffered"):
        return path.open("r" if text else "rb", buffering=0 if kind == "unbuffered" else -1)
    makers: dict[str, Callable[..., Any]] = {
        "temporary": tempfile.TemporaryFile,
        "named": tempfile.NamedTemporaryFile,
        "spooled": tempfile.SpooledTemporaryFile,
    }
    file = makers[kind](mode="w+" if text else "w+b")
    file.write(path.read_text() if text else path.read_bytes())
    return file


@pytest.mark.parametrize(("position", "rest"), [(0, b"0123456789"), (4, b"456789"), (10, b""), (25, b"")])
@pytest.mark.parametrize("kind", ["memory", "file", "unbuffered", "temporary", "named", "spooled"])
async def test_a_file_goes_out_from_where_it_stands(path: Path, kind: str, position: int, rest: bytes) -> None:
    file = opened(kind, path)
    with file:
        file.seek(position)
        body = streamed(file)
        assert file.tell() == position
        assert (body.length, body.replayable) == (len(rest), True)
        file.seek(1)  # where it stood when it was given counts
        for _ in range(2):
            assert b"".join(await collect(body)) == rest


async def test_a_large_file_is_read_in_pieces() -> None:
    data = os.urandom(FILE_CHUNK * 2 + 1)
    body = streamed(io.BytesIO(data))
    assert body.length == len(data)
    assert [len(chunk) for chunk in await collect(body)] == [FILE_CHUNK, FILE_CHUNK, 1]


async def test_what_cannot_seek_has_no_length_and_goes_out_once() -> None:
    for file in (Unseekable(b"abcdefg"), Minimal(b"abc", bytearray(b"def"), b"g")):
        body = streamed(file)
        assert (body.length, body.replayable) == (None, False)
        assert await collect(body) == [b"abc", b"def", b"g"]
        with pytest.raises(LocalProtocolError):
            body.chunks()


async def test_a_pipe() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"abc")
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        body = streamed(file)
        assert (body.length, body.replayable) == (None, False)
        assert await collect(body) == [b"abc"]


async def test_a_compressed_file_is_read_decompressed() -> None:
    with gzip.open(io.BytesIO(gzip.compress(b"abc")), "rb") as file:
        body = streamed(file)
        assert body.length == 3
        assert await collect(body) == [b"abc"]


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc here")
async def test_a_file_without_an_end_to_seek_to() -> None:
    with opened("file", Path("/proc/self/status")) as file:
        body = streamed(file)
        assert (body.length, body.replayable) == (None, False)
        assert b"Name:" in b"".join(await collect(body))


async def test_an_asynchronous_file_is_iterated_over() -> None:
    class File(Replayable):
        async def read(self, size: int = -1) -> bytes:
            raise NotImplementedError

    assert await collect(streamed(File(b"a\n", b"b"))) == [b"a\n", b"b"]


@pytest.mark.parametrize("kind", ["memory", "file", "temporary", "named", "spooled"])
def test_a_file_in_text_mode_is_a_type_error(path: Path, kind: str) -> None:
    with opened(kind, path, "text") as file, pytest.raises(TypeError, match="content: the file is open in text mode; open it with 'rb'"):
        encode_content(file)


async def test_a_file_that_gives_no_bytes_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="gave str, not bytes"):
        await collect(streamed(Minimal("text")))


def test_a_closed_file_is_refused_when_it_is_given(path: Path) -> None:
    with path.open("rb") as file:
        pass
    with pytest.raises(ValueError, match="closed file"):
        encode_content(file)


# --- json ---


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (None, b"null"),
        (False, b"false"),
        (0, b"0"),
        ("", b'""'),
        ([], b"[]"),
        ({}, b"{}"),
        ({"a": [1, 2.5, None, True]}, b'{"a":[1,2.5,null,true]}'),
        ("caf\xe9 \u2028", '"caf\xe9 \u2028"'.encode()),
    ],
)
def test_json(value: Any, encoded: bytes) -> None:
    assert encode_json(value) == encoded
    assert encode_body(None, None, value, None) == (encoded, "application/json")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, {"a": [math.nan]}])
def test_json_has_no_nan(value: Any) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        encode_json(value)


def test_what_json_cannot_say_is_an_error() -> None:
    with pytest.raises(TypeError, match="set is not JSON serializable"):
        encode_json({1})
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="Circular"):
        encode_json(loop)


@pytest.mark.parametrize("dumps", [lambda value: f"<{value}>", lambda value: f"<{value}>".encode()])
def test_an_encoder_of_ones_own(dumps: Callable[[Any], str | bytes]) -> None:
    assert encode_body(None, None, 5, dumps) == (b"<5>", "application/json")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    )
)
@settings(max_examples=50, deadline=None)
def test_json_comes_back(value: Any) -> None:
    assert json.loads(encode_json(value)) == value


# --- one body ---


def test_no_body_at_all() -> None:
    assert encode_body(None, None, UNSET, None) == (None, None)
    assert encode_body(b"", None, UNSET, None) == (b"", None)


@pytest.mark.parametrize(
    ("content", "data", "value", "named"),
    [
        (b"", {}, UNSET, "content and data"),
        (b"", None, None, "content and json"),
        (None, {}, None, "data and json"),
        ("", (), 0, "content and data and json"),
    ],
)
def test_two_bodies_are_a_type_error(content: Any, data: Any, value: Any, named: str) -> None:
    with pytest.raises(TypeError, match=f"a request has one body: give one of {named}"):
        encode_body(content, data, value, None)


# --- on the wire ---


async def test_a_stream_goes_out_chunk_by_chunk(server: Server, client: aioreq.Client) -> None:
    await client.post(server.url + "/anything", content=asynchronous(b"ab", b"", bytearray(b"cde"), b""))
    request = server.requests[-1]
    assert (request.body, request.chunks) == (b"abcde", [2, 3])
    assert request.header_values("transfer-encoding") == ["chunked"]
    assert request.header_values("content-length") == []


async def test_an_empty_stream_is_an_empty_chunked_body(server: Server, client: aioreq.Client) -> None:
    for content in ([], [b"", b""], generator()):
        response = await client.post(server.url + "/anything", content=content)
        assert response.status == 200
        assert (server.requests[-1].body, server.requests[-1].chunks) == (b"", [])
    assert server.accepted == 1


async def test_a_file_goes_out_with_its_length(server: Server, client: aioreq.Client, path: Path) -> None:
    with path.open("rb") as file:
        file.seek(3)
        await client.put(server.url + "/anything", content=file)
        assert server.requests[-1].body == b"3456789"
        assert server.requests[-1].header_values("content-length") == ["7"]
        file.seek(99)
        await client.put(server.url + "/anything", content=file)
        assert server.requests[-1].header_values("content-length") == ["0"]


@pytest.mark.parametrize(
    ("content", "length", "error", "message"),
    [
        ([b"ab", b"cd"], 3, LocalProtocolError, "the request body is longer than its Content-Length of 3 bytes"),
        ([b"abc"], 5, LocalProtocolError, "the request body ended 2 bytes short of its Content-Length of 5"),
        ([], 1, LocalProtocolError, "ended 1 bytes short"),
        ([b"ab", "c"], 3, TypeError, "content: the iterable gave str, not bytes"),
        ([b"ab", "c"], None, TypeError, "content: the iterable gave str, not bytes"),
    ],
)
async def test_a_body_that_breaks_off_closes_its_connection(
    server: Server, client: aioreq.Client, content: list[Any], length: int | None, error: type[Exception], message: str
) -> None:
    headers = {} if length is None else {"Content-Length": str(length)}
    with pytest.raises(error, match=message):
        await client.post(server.url + "/anything", content=content, headers=headers)
    await server.until(lambda: not server.connections)
    assert not any(request.complete for request in server.requests)
    assert (await client.get(server.url + "/get")).status == 200
    assert server.accepted == 2


async def test_a_body_of_the_declared_length_ends_the_request(server: Server, client: aioreq.Client) -> None:
    await client.post(server.url + "/anything", content=generator(b"abc", b"", b"de"), headers={"content-length": "5"})
    request = server.requests[-1]
    assert (request.body, request.chunks, request.header_values("Content-Length")) == (b"abcde", [], ["5"])
    assert request.header("transfer-encoding") is None


@pytest.mark.parametrize(
    "make",
    [lambda: b"abc", lambda: [b"a", b"bc"], lambda: io.BytesIO(b"abc"), lambda: Replayable(b"ab", b"c")],
    ids=["bytes", "list", "file", "asynchronous"],
)
async def test_what_can_be_replayed_follows_a_redirect(server: Server, client: aioreq.Client, make: Callable[[], Any]) -> None:
    server.route("/from", Reply(307, {"Location": "/anything"}))
    await client.post(server.url + "/from", content=make())
    assert [(request.method, request.body) for request in server.requests] == [("POST", b"abc")] * 2
    request = aioreq.Request("POST", server.url + "/anything", content=make())
    for _ in range(2):
        await client.send(request)
        assert server.requests[-1].body == b"abc"


@pytest.mark.parametrize("make", [generator, asynchronous, Minimal])
async def test_what_cannot_be_replayed_does_not(server: Server, client: aioreq.Client, make: Callable[..., Any]) -> None:
    server.route("/from", Reply(307, {"Location": "/anything"}))
    server.route("/see", Reply(303, {"Location": "/anything"}))
    with pytest.raises(LocalProtocolError, match=r"redirects \(307\) to .*/anything, but the request body was already read"):
        await client.post(server.url + "/from", content=make(b"abc"))
    assert (await client.post(server.url + "/see", content=make(b"abc"))).json()["method"] == "GET"
    request = aioreq.Request("POST", server.url + "/anything", content=make(b"abc"))
    await client.send(request)
    before = len(server.requests)
    with pytest.raises(LocalProtocolError, match="already read and can't be sent again"):
        await client.send(request)
    # Nothing of it may have been taken for a whole request.
    assert all(request.body == b"" for request in server.requests[before:])
    assert not any(request.complete for request in server.requests[before:])


@pytest.mark.no_loop
def test_what_is_in_memory_is_read_at_once() -> None:
    file = io.BytesIO(b"a" * FILE_CHUNK + b"b")
    chunks: Any = streamed(file).chunks()
    for expected in (b"a" * FILE_CHUNK, b"b"):
        with pytest.raises(StopIteration) as given:  # without a loop that could have waited for a thread
            chunks.__anext__().send(None)
        assert given.value.value == expected
    with pytest.raises(StopAsyncIteration):
        chunks.__anext__().send(None)
    assert file.tell() == 0
