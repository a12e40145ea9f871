"""The multipart writer: exact bytes, no way out of a part's head, the boundary, and how large and small bodies go out."""

from __future__ import annotations

import asyncio
import io
import os
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import aioreq
from aioreq.errors import InvalidHeader, LocalProtocolError
from aioreq.multipart import TOGETHER, Part, boundary_of, new_boundary, part_head, write
from aioreq.request_body import StreamedBody, encode_content
from aioreq.testing import Server, httpbin


def streamed(content: Any) -> StreamedBody:
    body = encode_content(content)
    assert isinstance(body, StreamedBody)
    return body


async def whole(body: bytes | StreamedBody) -> bytes:
    return body if isinstance(body, bytes) else b"".join([chunk async for chunk in body.chunks()])


# --- heads ---


HOSTILE = st.text(st.sampled_from(list('ab\r\n"\\%;: \t\x00\x0b\x1f\x7f\x85\u2028\udc80\ud800\xe9')), max_size=8) | st.text(max_size=8)


@given(HOSTILE, st.none() | HOSTILE, st.lists(st.tuples(HOSTILE | st.just("X-Own"), HOSTILE), max_size=2))
@example("a\r\nX: y", 'b"\r\n\r\nz', [])
@example("a", "b", [("Content-Type", "t/t\r\nX: y")])
@example("a", "b", [("X\r\nY", "z")])
@settings(deadline=None, max_examples=400)
def test_no_value_gets_out_of_its_line(name: str, filename: str | None, fields: list[tuple[str, str]]) -> None:
    try:
        head = part_head(name, filename, fields)
    except InvalidHeader:
        return
    lines = head.split(b"\r\n")
    assert lines[-2:] == [b"", b""]
    assert len(lines) == 1 + len(fields) + 2
    for line in lines:
        assert not any((byte < 0x20 and byte != 0x09) or byte == 0x7F for byte in line)
    # Nor out of its quotes.
    assert lines[0].count(b'"') == (2 if filename is None else 4)
    assert lines[0].startswith(b'Content-Disposition: form-data; name="')
    assert [line.partition(b": ") for line in lines[1:-2]] == [
        (field.encode(), b": ", value.encode("utf-8", "surrogateescape")) for field, value in fields
    ]


@given(st.dictionaries(st.text(max_size=6), st.text(max_size=6), max_size=3), HOSTILE, HOSTILE, HOSTILE)
@settings(deadline=None, max_examples=200)
def test_nor_does_what_a_user_gives(data: dict[str, str], name: str, filename: str, content_type: str) -> None:
    from aioreq.forms import encode_form

    try:
        body, _ = encode_form(data, [(name, (filename, b"content", content_type))], "multipart/form-data; boundary=+-+")
    except ValueError:  # InvalidHeader is one
        return
    assert isinstance(body, bytes)
    *parts, end = body.split(b"--+-+")
    assert (parts[0], end) == (b"", b"--\r\n")
    assert len(parts) == 1 + len(data) + 1
    head, _, content = parts[-1].partition(b"\r\n\r\n")
    assert content == b"content\r\n"
    assert head.count(b"\r") == head.count(b"\n") == 2


# --- the boundary ---


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data", None),
        ("multipart/form-data; boundary=abc", "abc"),
        ('multipart/form-data;boundary="a b"; x=y', "a b"),
        ("multipart/form-data; charset=x;BOUNDARY=-'()+_,./:=?9", "-'()+_,./:=?9"),
        ("multipart/form-data; notboundary=abc", None),
        ("multipart/form-data; boundary=" + "a" * 70, "a" * 70),
    ],
)
def test_the_boundary_of_a_content_type(content_type: str, boundary: str | None) -> None:
    assert boundary_of(content_type) == boundary


def test_boundaries_are_random() -> None:
    boundaries = {new_boundary() for _ in range(1000)}
    assert len(boundaries) == 1000
    assert all(boundary_of(f"x; boundary={boundary}") == boundary for boundary in boundaries)


def test_a_chosen_boundary_that_stands_in_a_part() -> None:
    part = Part("f", part_head("f", None, []), b"one\r\n--here\r\ntwo")
    with pytest.raises(LocalProtocolError, match="form field 'f': the boundary 'here' of your Content-Type stands in its content"):
        write([part], "here", True)


@pytest.mark.parametrize("cut", range(1, 18))
async def test_a_chosen_boundary_that_stands_in_a_stream(cut: int) -> None:
    content = b"one\r\n--here\r\ntwo..."
    for chunks in ([content[:cut], content[cut:]], [bytes([byte]) for byte in content], [content]):
        body = write([Part("a", b"\r\n", b""), Part("f", part_head("f", None, []), streamed(chunks))], "here", True)
        with pytest.raises(LocalProtocolError, match="form field 'f': the boundary 'here'"):
            await whole(body)
        assert content in await whole(write([Part("f", b"\r\n", streamed(chunks))], "there", True))


# --- whole and in pieces ---


async def test_a_small_form_is_bytes_a_large_one_is_not_copied() -> None:
    small = write([Part("a", b"\r\n", b"x" * 1000)] * 100, "b", False)
    assert isinstance(small, bytes)
    content = b"x" * (TOGETHER + 1)
    large = write([Part("a", b"\r\n", b"1"), Part("f", b"\r\n", content), Part("b", b"\r\n", b"2")], "b", False)
    assert isinstance(large, StreamedBody)
    chunks = [chunk async for chunk in large.chunks()]
    assert chunks == [b"--b\r\n\r\n1\r\n--b\r\n\r\n", content, b"\r\n--b\r\n\r\n2\r\n--b--\r\n"]
    assert chunks[1] is content
    assert (large.length, large.replayable) == (sum(map(len, chunks)), True)


@pytest.mark.parametrize(
    ("bodies", "length", "replayable"),
    [
        ([io.BytesIO(b"12"), b"3"], True, True),
        ([[b"12"], b"3"], False, True),
        ([io.BytesIO(b"12"), iter([b"3"])], False, False),
        ([io.BytesIO(b""), io.BytesIO(b"")], True, True),
    ],
)
async def test_length_and_replay_are_the_parts(bodies: list[Any], length: bool, replayable: bool) -> None:
    encoded = [encode_content(body) for body in bodies]
    body = write([Part("f", b"\r\n", part) for part in encoded if part is not None], "b", False)
    assert isinstance(body, StreamedBody)
    assert (body.length is not None, body.replayable) == (length, replayable)
    sent = await whole(body)
    assert body.length in (None, len(sent))
    assert body.sendable == replayable
    if replayable:
        assert await whole(body) == sent


async def test_a_small_form_is_one_write(client: aioreq.Client) -> None:
    reads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reads.append(await reader.read(65536))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await client.post(f"http://127.0.0.1:{port}/", data={"a": "b"}, files={"f": b"content"})
    [read] = reads
    assert read.endswith(b"content\r\n--" + read.rpartition(b"\r\n--")[2])
    assert read.endswith(b"--\r\n")


async def test_large_parts_cost_no_memory(client: aioreq.Client) -> None:
    pieces, piece = 64, os.urandom(1 << 20)

    def chunks() -> Iterator[bytes]:
        for _ in range(pieces):
            yield piece

    async with Server(routes=httpbin, record=False) as server:
        tracemalloc.start()
        try:
            response = await client.post(server.url + "/upload", files={"f": chunks()})
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert response.json()["length"] > pieces << 20
    assert peak < 16 << 20


async def test_a_cancelled_upload_closes_its_generator(server: Server, client: aioreq.Client) -> None:
    started, closed = asyncio.Event(), asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 10_000
                started.set()
                await asyncio.sleep(0.001)
        finally:
            closed.set()

    sending = asyncio.ensure_future(client.post(server.url + "/anything", files={"f": endless()}))
    await started.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await asyncio.wait_for(closed.wait(), 10)
