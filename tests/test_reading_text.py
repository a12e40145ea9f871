"""Text, lines and JSON lines: the same however the bytes were cut, bounded, and given up cleanly."""

from __future__ import annotations

import asyncio
import codecs
import gzip
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import Cut, all_of, bytewise, cut, finish, until_error

import aioreq
from aioreq.errors import DecodeError, IncompleteBody, LimitExceeded
from aioreq.media_type import CHARSETS
from aioreq.models import Request
from aioreq.testing import Close, Reply, Script, Server, Stall
from aioreq.text_stream import JSONLines, TextDecoder, Texts, byte_lines, text_lines

cuts = st.lists(st.integers(0, 400), max_size=20)
NAMES = sorted({codecs.lookup(name).name for name in CHARSETS if name.islower()})
STATEFUL = [name for name in NAMES if name.startswith(("iso2022", "utf", "hz"))]
# What stateful charsets do something with: escapes, shifts, marks, and what isn't finished.
ODD = [
    b"\x1b$B",
    b"\x1b(B",
    b"\x1b",
    b"\x1b((((((",
    b"~{",
    b"~}",
    b"\x0e",
    b"\x0f",
    b"\x1b$)C",
    codecs.BOM_UTF8,
    b"\xff\xfe",
    b"\xfe\xff",
    b"\0\0",
]
odd_bytes = st.lists(st.sampled_from(ODD) | st.binary(min_size=1, max_size=4), max_size=12).map(b"".join)
MIB = 1024 * 1024


def text_of(pieces: list[bytes], charset: str | None) -> str:
    return "".join(finish(all_of(Texts(Cut(pieces), charset))))


def lines_of(pieces: list[bytes], max_line: int | None = None) -> tuple[list[str], str]:
    lines, error = finish(until_error(text_lines(Texts(Cut(pieces), None)).up_to(max_line)))
    return lines, str(error or "")


def json_of(pieces: list[bytes], loads: Callable[[bytes], Any] | None = None, max_line: int | None = None) -> AsyncIterator[Any]:
    return JSONLines(byte_lines(Cut(pieces)), "the body of GET h/", Request("GET", "http://h/")).reading(loads, max_line)


def one(body: bytes | AsyncIterator[bytes], *headers: tuple[str, str]) -> Callable[[Server], None]:
    return lambda server: server.route("/", lambda asked: Reply(200, headers, body))


# --- text ---


@pytest.mark.no_loop
@given(charset=st.sampled_from(NAMES) | st.sampled_from(STATEFUL), data=odd_bytes, at=cuts)
@settings(max_examples=400, deadline=None)
def test_text_in_pieces_is_the_text_of_the_whole(charset: str, data: bytes, at: list[int]) -> None:
    whole = data.decode(charset, "replace")
    assert text_of(cut(data, at), charset) == whole
    assert text_of(bytewise(data), charset) == whole


@pytest.mark.no_loop
@pytest.mark.parametrize("charset", NAMES)
def test_text_of_each_charset_in_single_bytes(charset: str) -> None:
    sentence = "a\xe9\u20ac \u65e5\u672c\u8a9e \u4e2d\u6587 \ud55c\uad6d\uc5b4 \u0416 \U0001d11e"
    data = sentence.encode(charset, "ignore") + b"\x1b(B\xe3\x82"
    assert text_of(bytewise(data), charset) == data.decode(charset, "replace")


@pytest.mark.no_loop
@given(start=st.sampled_from([codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b""]), data=st.binary(max_size=30), at=cuts)
@settings(max_examples=200, deadline=None)
def test_text_without_a_charset_goes_by_its_mark(start: bytes, data: bytes, at: list[int]) -> None:
    data = start + data
    response = aioreq.Response(Request("GET", "http://h/"), "1.1", 200, b"", [], data)
    assert text_of(cut(data, at), None) == response.text
    for length in range(len(start) + 1):  # a mark cut short is none
        assert text_of(bytewise(data[:length]), None) == aioreq.Response(response.request, "1.1", 200, b"", [], data[:length]).text


@pytest.mark.no_loop
@pytest.mark.parametrize("charset", [name for name in NAMES if name.startswith("iso2022")])
def test_escapes_that_never_end_are_not_held(charset: str) -> None:
    decoder = TextDecoder(charset)
    decoded = 0
    for _ in range(1000):
        decoded += len(decoder.decode(b"\x1b$(((((((((((("))
        if not _:
            assert decoded == 0
    assert decoded > 900 * 13  # all but what one sequence needs
    assert decoder.decode(b"\x1b(B" + b"a" * 20, final=True).endswith("a" * 20)


def test_text_is_given_as_soon_as_it_is_certain() -> None:
    texts = Texts(Cut([b"a", b"\xe2\x82", b"\xac", b"\xff"]), None)
    assert finish(all_of(texts)) == ["a", "\u20ac", "\ufffd"]


@pytest.mark.parametrize("charset", ["utf-8", "latin-1", "utf-16", "nonsense", None])
async def test_iter_text_gives_what_text_does(charset: str | None) -> None:
    body = "\xe9\u20ac\n".encode("utf-16" if charset == "utf-16" else "utf-8") * 50_000
    headers = [("Content-Type", f"text/plain; charset={charset}")] if charset else []
    async with Server(routes=one(gzip.compress(body), ("Content-Encoding", "gzip"), *headers)) as server, aioreq.Client() as client:
        async with client.stream("GET", server.url) as response:
            streamed = [piece async for piece in response.iter_text()]
        assert len(streamed) > 1
        assert "".join(streamed) == (await client.get(server.url)).text
        async with client.stream("GET", server.url) as response:
            assert "".join(streamed) == await response.text()


# --- lines ---


@pytest.mark.no_loop
@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b"", []),
        (b"a", ["a"]),
        (b"a\n", ["a"]),
        (b"\n", [""]),
        (b"a\n\nb", ["a", "", "b"]),
        (b"a\r\nb\r\n\r\n", ["a", "b", ""]),
        (b"a\rb\r\r\nc\n\r", ["a", "b", "", "c", ""]),
        # What str.splitlines takes for ends and stands in JSON, logs and names
        ("a\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029b\n".encode(), ["a\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029b"]),
        (b"\xef\xbb\xbfa\n\xff", ["a", "\ufffd"]),
    ],
)
def test_lines(body: bytes, lines: list[str]) -> None:
    assert lines_of([body] if body else []) == (lines, "")
    assert lines_of(bytewise(body)) == (lines, "")


@pytest.mark.no_loop
@given(
    st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"bc", "\u20ac".encode(), b"\x85"]), max_size=30).map(b"".join),
    cuts,
    st.integers(1, 6),
)
@settings(max_examples=300, deadline=None)
def test_lines_and_verdict_are_the_same_however_they_are_cut(data: bytes, at: list[int], most: int) -> None:
    expected = re.split(r"\r\n|\r|\n", data.decode("utf-8", "replace"))
    if not expected[-1]:
        expected.pop()
    for pieces in ([data] if data else [], cut(data, at), bytewise(data)):
        assert lines_of(pieces) == (expected, "")
        lines, error = lines_of(pieces, most)
        fitting = next((number for number, line in enumerate(expected) if len(line) > most), len(expected))
        assert lines == expected[:fitting]
        assert error.startswith(f"line {fitting + 1} of the body is longer than {most} characters: raise it with max_line=") == (
            fitting < len(expected)
        )


@pytest.mark.no_loop
def test_a_line_of_the_longest_length_passes_with_any_end() -> None:
    for end in (b"\n", b"\r\n", b"\r", b""):
        assert lines_of([b"abc" + end], 3) == (["abc"], "")
        assert lines_of(bytewise(b"abc" + end), 3) == (["abc"], "")


async def test_a_line_that_is_too_long_gives_the_connection_up() -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"ok\n"
        while True:
            yield b"x" * 5000

    async with Server(routes=one(endless())) as server, aioreq.Client() as client:
        async with client.stream("GET", server.url) as response:
            lines = response.iter_lines(max_line=100_000)
            assert await anext(lines) == "ok"
            with pytest.raises(
                LimitExceeded, match=r"^line 2 of the body is longer than 100000 characters: raise it with max_line="
            ) as caught:
                await anext(lines)
            assert caught.value.limit == "max_line"
            assert caught.value.request is response.request
        with pytest.raises(TypeError, match="max_line"):
            response.iter_lines(max_line="1")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="max_line"):
            response.iter_lines(max_line=0)


async def test_lines_come_as_soon_as_their_end_is_here(server: Server) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    server.route("/first", lambda asked: Script((head + b"one\r\ntwo\rthr", Stall())))
    async with aioreq.Client() as client, client.stream("GET", server.url + "/first") as response:
        lines = response.iter_lines()
        assert [await anext(lines), await anext(lines)] == ["one", "two"]


async def test_a_loop_over_lines_can_be_left_and_taken_up_again() -> None:
    async with Server(routes=one(b"1\n2\n3\n4")) as server, aioreq.Client() as client:
        async with client.stream("GET", server.url) as response:
            async for line in response.iter_lines():
                assert line == "1"
                break
            assert [line async for line in response.iter_lines()] == ["2", "3", "4"]
        async with client.stream("GET", server.url) as response:
            async for _ in response.iter_lines():
                break
        whole = await client.get(server.url)
        assert whole.connection.reused  # what was left was short, and is drained


async def test_what_was_read_whole_can_still_be_read_by_pieces() -> None:
    async with Server(routes=one(b"1\n2\n3")) as server, aioreq.Client() as client, client.stream("GET", server.url) as response:
        assert await response.read() == b"1\n2\n3"
        assert [line async for line in response.iter_lines()] == ["1", "2", "3"]
        assert await response.text() == "1\n2\n3"


@pytest.mark.parametrize("way", ["text", "lines", "json", "parts"])
async def test_a_cancelled_reader_leaves_no_connection(server: Server, way: str) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Length: 1000\r\n\r\n--b\r\n"
    server.route("/stalls", lambda asked: Script((head, Stall())))
    async with aioreq.Client(limits=aioreq.Limits(connections=1)) as client, client.stream("GET", server.url + "/stalls") as response:
        ways = {"text": "iter_text", "lines": "iter_lines", "json": "json_lines", "parts": "parts"}
        items: AsyncIterator[Any] = getattr(response, ways[way])()
        if way == "text":
            assert await anext(items) == "--b\r\n"
        if way == "lines":
            assert await anext(items) == "--b"
        if way == "json":
            with pytest.raises(DecodeError, match="line 1 of the body"):
                await anext(items)
        task = asyncio.ensure_future(anext(items))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await client.get(server.url + "/get")).ok  # the one slot is free again


async def test_a_cut_body_is_an_error_behind_the_lines_before_it(server: Server) -> None:
    server.route("/cut", lambda asked: Script((b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\none\ntw", Close())))
    async with aioreq.Client(retry=0) as client, client.stream("GET", server.url + "/cut") as response:
        lines, error = await until_error(response.iter_lines())
        assert lines == ["one"]
        assert isinstance(error, IncompleteBody)


# --- JSON lines ---


@pytest.mark.no_loop
@given(st.lists(st.none() | st.integers() | st.text(max_size=5) | st.dictionaries(st.text(max_size=3), st.booleans(), max_size=2)), cuts)
@settings(max_examples=200, deadline=None)
def test_json_lines_give_what_was_put_in(values: list[Any], at: list[int]) -> None:
    for ascii_only, end in ((True, "\n"), (False, "\r\n"), (False, "\n \n\n")):
        data = end.join(json.dumps(value, ensure_ascii=ascii_only) for value in values).encode()
        assert finish(all_of(json_of(cut(data, at)))) == values
        assert finish(all_of(json_of(bytewise(data)))) == values


@pytest.mark.no_loop
def test_a_line_that_is_no_json_is_named_and_the_next_one_comes() -> None:
    values = json_of([b'{"a": 1}\n\n', b"{'b': 2}\n", b"3"])
    assert finish(anext(values)) == {"a": 1}  # type: ignore[arg-type]
    with pytest.raises(DecodeError, match=r"^line 3 of the body of GET h/ is no JSON \(8 bytes\): .*double quotes.*column 2") as caught:
        finish(anext(values))  # type: ignore[arg-type]
    assert caught.value.partial == b"{'b': 2}"
    assert caught.value.request is not None
    assert finish(all_of(values)) == [3]
    deep = json_of([b"[" * 5000])
    with pytest.raises(DecodeError, match="line 1 of the body of GET h/ is no JSON"):
        finish(anext(deep))  # type: ignore[arg-type]


@pytest.mark.no_loop
def test_json_lines_are_bounded() -> None:
    values, error = finish(until_error(json_of([b'1\n"' + b"x" * 10], max_line=5)))
    assert values == [1]
    assert isinstance(error, LimitExceeded)
    assert str(error).startswith("line 2 of the body is longer than 5 bytes: raise it with max_line=")


async def test_json_lines_of_a_stream_with_the_readers_of_client_and_call(server: Server) -> None:
    async with aioreq.Client(json_loads=lambda data: ("client", json.loads(data)["id"])) as client:
        async with client.stream("GET", server.url + "/stream/3") as response:
            assert [value async for value in response.json_lines()] == [("client", number) for number in range(3)]
        async with client.stream("GET", server.url + "/stream/3") as response:
            assert [value["id"] async for value in response.json_lines(json.loads)] == [0, 1, 2]
    async with (
        Server(routes=one(b"1\n{")) as other,
        aioreq.Client() as client,
        client.stream("GET", other.url + "/?token=secret") as response,
    ):
        values, error = await until_error(response.json_lines())
    assert values == [1]
    assert re.match(r"line 2 of the body of GET 127\.0\.0\.1/: 200 OK is no JSON \(1 bytes\): ", str(error))
    assert "secret" not in str(error)


# --- what it costs ---


@pytest.mark.no_loop
@pytest.mark.parametrize("way", ["text", "json"])
@pytest.mark.parametrize("cut_to", [1, 7, 100_000])
def test_long_lines_in_small_pieces_take_linear_time(way: str, cut_to: int) -> None:
    def seconds(size: int) -> float:
        data = b'"' + b"x" * size + b'"\n'
        pieces = [data[at : at + cut_to] for at in range(0, len(data), cut_to)]
        start = time.process_time()
        if way == "json":
            assert len(finish(all_of(json_of(pieces)))) == 1
        else:
            assert lines_of(pieces) == ([data[:-1].decode()], "")
        return time.process_time() - start

    seconds(1000)
    size = 100_000 if cut_to < 100 else 4 * MIB
    # Eight times as much: quadratic time would be sixty-four times as long.
    assert seconds(size) < 30 * max(seconds(size // 8), 0.002)


# --- max_body ---


@pytest.mark.parametrize("way", ["read", "text", "json", "buffer"])
@pytest.mark.parametrize("coded", [False, True])
async def test_max_body_holds_for_what_a_stream_reads_whole(way: str, coded: bool) -> None:
    body = json.dumps(["x" * 9996]).encode()
    assert len(body) == 10_000
    headers = [("Content-Encoding", "gzip")] if coded else []
    async with Server(routes=one(gzip.compress(body) if coded else body, *headers)) as server, aioreq.Client() as client:
        async with client.stream("GET", server.url, max_body=10_000) as response:
            assert await getattr(response, way)()
        async with client.stream("GET", server.url, max_body=9_999) as response:
            with pytest.raises(LimitExceeded, match="max_body|Limits") as caught:
                await getattr(response, way)()
            assert caught.value.limit == "body"
        async with client.stream("GET", server.url, max_body=100) as response:  # what is iterated over is not held, and not capped
            assert sum([len(text) async for text in response.iter_text()]) == 10_000


async def test_trailers_of_a_stream_are_there_behind_its_last_line() -> None:
    async def lines() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"%d\n" % number

    def routes(server: Server) -> None:
        server.route("/", lambda asked: Reply(200, [("Trailer", "X-Sum")], lines(), trailers=[("X-Sum", "3")]))

    async with Server(routes=routes) as server, aioreq.Client() as client:
        async with client.stream("GET", server.url) as response:
            assert [int(line) async for line in response.iter_lines()] == [0, 1, 2]
            assert response.trailers["x-sum"] == "3"
        assert (await client.get(server.url)).trailers["x-sum"] == "3"
