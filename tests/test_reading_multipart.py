"""Multipart bodies part by part: RFC 2046's grammar, any split, real servers' and Python's own multiparts, hostile ones."""

from __future__ import annotations

import gc
import gzip
import time
from collections.abc import AsyncIterator
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import HTTP

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import WebServer, content
from reading import Cut, all_of, bytewise, cut, finish, until_error

import aioreq
from aioreq.errors import DecodeError, IncompleteBody, LimitExceeded, LocalProtocolError
from aioreq.models import Request
from aioreq.multipart_reader import MultipartReader
from aioreq.testing import Reply, Server

Parts = list[tuple[list[tuple[bytes, bytes]], bytes]]
KIND = b"multipart/mixed; boundary=b"


def reader(pieces: list[bytes], kind: bytes = KIND, limits: aioreq.Limits | None = None, max_parts: int = 1000) -> MultipartReader:
    request = Request("GET", "http://h/")
    if limits is not None:
        request.terms = aioreq.Client(limits=limits).settings.settled_copy(request).terms
    return MultipartReader.of(kind, Cut(pieces), request, "the body of GET h/", max_parts)


async def read_all(parts: MultipartReader) -> tuple[Parts, str]:
    got: Parts = []
    try:
        async for part in parts:
            got.append((list(part.headers.raw), await part.read()))
    except aioreq.AioreqError as error:
        return got, f"{type(error).__name__}: {error}"
    return got, ""


def parsed(body: bytes, kind: bytes = KIND) -> tuple[Parts, str]:
    """The parts and the error, the same whole and byte by byte."""
    whole = finish(read_all(reader([body] if body else [], kind)))
    assert finish(read_all(reader(bytewise(body), kind))) == whole
    return whole


def contents(body: bytes) -> list[bytes]:
    parts, error = parsed(body)
    assert error == ""
    return [content for _, content in parts]


# --- the grammar ---


@pytest.mark.no_loop
@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (b"--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--", [b"one", b"two"]),
        (b"preamble\r\n--b\r\n\r\none\r\n--b--\r\nepilogue\r\n--b\r\n\r\nno part\r\n--b--", [b"one"]),
        (b"\r\n--b\r\n\r\none\r\n--b--\r\n", [b"one"]),
        (b"no --b\r\n--b\r\n\r\none\r\n--b--", [b"one"]),
        # Padding; content that is empty, ends with line ends, or holds what only looks like a delimiter
        (b"--b \t \r\n\r\none\r\n--b\t\r\n\r\ntwo\r\n--b-- \r\n", [b"one", b"two"]),
        (b"--b\r\n\r\n\r\n--b--", [b""]),
        (b"--b\r\n\r\n--b--", [b""]),
        (b"--b\r\n\r\n\r\n\r\n\r\n--b--", [b"\r\n\r\n"]),
        (
            b"--b\r\n\r\n--bb\r\n--b x\r\n--b-\r\n\n--b--\r--b\r\r\n-\r\n--c\r\r\n--b--",
            [b"--bb\r\n--b x\r\n--b-\r\n\n--b--\r--b\r\r\n-\r\n--c\r"],
        ),
        (b"--b\r\n\r\n\r\n--b" + b" " * 101 + b"\r\n--b--", [b"\r\n--b" + b" " * 101]),
        (b"--b--", []),
    ],
)
def test_parts(body: bytes, parts: list[bytes]) -> None:
    assert contents(body) == parts


@pytest.mark.no_loop
def test_fields_of_a_part() -> None:
    body = b'--b\r\nA:1 \r\na:\t\xc3\xa9\xff\r\nContent-Disposition: form-data;\r\n\tname="x"\r\nEmpty:\r\n\r\n\r\n--b--'
    assert parsed(body) == (
        [([(b"A", b"1"), (b"a", b"\xc3\xa9\xff"), (b"Content-Disposition", b'form-data; name="x"'), (b"Empty", b"")], b"")],
        "",
    )
    part = finish(all_of(reader([body])))[0]
    assert part.headers["content-disposition"] == 'form-data; name="x"'
    assert part.headers.getall("a") == ["1", "\xe9\udcff"]
    assert repr(part) == "<Part 1>"


@pytest.mark.no_loop
@pytest.mark.parametrize("line", [b"no field", b"a b: 1", b": 1", b"a : 1", b"a: \0", b" a: 1", b"a: 1\nb: 2", b"a: 1\r", b"--b"])
def test_a_line_that_is_no_field(line: bytes) -> None:
    parts, error = parsed(b"--b\r\nok: 1\r\n\r\n1\r\n--b\r\n" + line + b"\r\nc: 1\r\n\r\n2\r\n--b--")
    assert [content for _, content in parts] == [b"1"]
    assert error.startswith(
        "DecodeError: the body of GET h/ is broken as a multipart: line 1 of the header section of part 2 is no field ("
    )


@pytest.mark.no_loop
@pytest.mark.parametrize(
    ("body", "got", "where"),
    [
        (b"", 0, "and holds no line --b"),
        (b"--a\r\n\r\n1\r\n--a--", 0, "and holds no line --b"),
        (b"--b\n\n1\n--b--\n", 0, "and holds no line --b"),  # lines end with CRLF
        (b"--b", 0, "and holds no line --b"),
        (b"--b\r\n", 0, "in part 1"),
        (b"--b\r\nA: 1\r\n", 0, "in part 1"),
        (b"--b\r\n\r\n1", 0, "in part 1"),
        (b"--b\r\n\r\n1\r\n--b\r\n\r\n2\r\n--b", 1, "in part 2"),
        (b"--b\r\n\r\n1\r\n--b\r\n\r\n2\r\n--b-", 1, "in part 2"),
    ],
)
def test_a_body_without_its_end(body: bytes, got: int, where: str) -> None:
    parts, error = parsed(body)
    assert len(parts) == got
    assert error == f"DecodeError: the body of GET h/ is broken as a multipart: it ends without its closing delimiter, {where}"


@pytest.mark.no_loop
def test_what_arrived_of_a_broken_part_is_in_the_error() -> None:
    async def read(source: Cut) -> bytes:
        parts = MultipartReader.of(KIND, source, Request("GET", "http://h/"), "it", 10)
        return await (await anext(parts)).read()

    for error in (None, IncompleteBody("cut")):
        source = Cut([b"--b\r\n\r\nabc", b"def"], error)
        with pytest.raises((DecodeError, IncompleteBody)) as caught:
            finish(read(source))
        assert isinstance(caught.value, DecodeError if error is None else IncompleteBody)
        assert caught.value.partial == b"abcdef"
        if error is None:
            assert source.failed is caught.value
            assert caught.value.request is not None


@pytest.mark.no_loop
@pytest.mark.parametrize(
    ("kind", "boundary"),
    [
        (b"multipart/mixed; boundary=b", b"b"),
        (b'Multipart/Form-Data; x=y; BOUNDARY="a (b)+_,-./:=?"; z', b"a (b)+_,-./:=?"),
        (b"multipart/x-mixed-replace;boundary=--b", b"--b"),
        (b"multipart/byteranges; boundary=" + b"x" * 70, b"x" * 70),
        (rb'multipart/mixed; boundary="a\"b"', b'a"b'),
    ],
)
def test_boundaries(kind: bytes, boundary: bytes) -> None:
    assert parsed(b"--%b\r\n\r\n1\r\n--%b--" % (boundary, boundary), kind) == ([([], b"1")], "")


@pytest.mark.no_loop
@pytest.mark.parametrize("kind", [None, b"", b"text/html; boundary=b", b"multipart", b"multipart/mixed", b"multipart/mixed; boundary=",
                                  b"multipart/mixed; boundary=" + b"x" * 71])  # fmt: skip
def test_what_is_no_multipart(kind: bytes | None) -> None:
    fields = [] if kind is None else [(b"Content-Type", kind)]
    with pytest.raises(DecodeError, match=r"^the body of GET h/: 200 OK is no multipart \(") as caught:
        aioreq.Response(Request("GET", "http://h/"), "1.1", 200, b"OK", fields, b"").parts()
    assert caught.value.request is not None


# --- any split, any content ---

NOISE = [b"\r\n", b"\r", b"\n", b"-", b"--", b"--b", b"\r\n--b", b"\r\n--", b"b", b" ", b"\r\n--b x"]
noise = st.lists(st.sampled_from(NOISE) | st.binary(max_size=3), max_size=12).map(b"".join)


@pytest.mark.no_loop
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=4), st.lists(st.integers(0, 400), max_size=20))
@settings(max_examples=200, deadline=None)
def test_what_comes_out_is_what_went_in(bodies: list[bytes], at: list[int]) -> None:
    boundary = b"no such bytes in there"
    data = b"".join(b"--%b\r\nn: %d\r\n\r\n%b\r\n" % (boundary, number, body) for number, body in enumerate(bodies)) + b"--%b--" % boundary
    expected = [([(b"n", b"%d" % number)], body) for number, body in enumerate(bodies)]
    kind = b'multipart/mixed; boundary="%b"' % boundary
    assert finish(read_all(reader(cut(data, at), kind))) == (expected, "")


@pytest.mark.no_loop
@given(noise, noise, st.lists(st.integers(0, 400), max_size=20))
@settings(max_examples=400, deadline=None)
def test_one_verdict_however_it_was_cut(first: bytes, second: bytes, at: list[int]) -> None:
    data = first + b"\r\n--b\r\n\r\n" + second + b"\r\n--b--"
    assert finish(read_all(reader(cut(data, at)))) == parsed(data)


# --- reading a part ---


@pytest.mark.no_loop
def test_a_part_in_pieces_in_part_or_not_at_all() -> None:
    async def read() -> None:
        parts = reader(bytewise(b"--b\r\n\r\n0123456789\r\n--b\r\n\r\n" + b"x" * 500 + b"\r\n--b\r\n\r\nlast\r\n--b--"))
        first = await anext(parts)
        assert await anext(first.content) == b"0"
        async for piece in first.content:
            assert piece == b"1"
            break
        assert await first.read() == b"23456789"
        assert await first.read() == b""
        second = await anext(parts)
        assert await anext(second.content) == b"x"
        third = await anext(parts)  # skips the rest of the second
        assert (second.number, third.number) == (2, 3)
        for stale in (second.read(), anext(second.content)):
            with pytest.raises(LocalProtocolError, match="part 2 of the body of GET h/ is gone: the next one was asked for"):
                await stale
        assert await first.read() == b""  # it had ended
        assert await third.read() == b"last"
        assert [part async for part in parts] == []
        assert await third.read() == b""

    finish(read())


@pytest.mark.no_loop
def test_parts_of_a_part() -> None:
    inner = b"--in\r\n\r\n1\r\n--inner\r\n\r\n2\r\n--in--\r\nepilogue"
    body = b"--b\r\nContent-Type: multipart/mixed; boundary=in\r\n\r\n" + inner + b"\r\n--b\r\n\r\nlast\r\n--b--"

    async def read(pieces: list[bytes]) -> list[bytes]:
        got: list[bytes] = []
        async for part in reader(pieces):
            if "content-type" in part.headers:
                assert repr(part) == "<Part 1 multipart/mixed; boundary=in>"
                got += [await inner.read() async for inner in part.parts()]
            else:
                got.append(await part.read())
                with pytest.raises(DecodeError, match=r"part 2 of the body of GET h/ is no multipart \(no Content-Type\)"):
                    part.parts()
        return got

    assert finish(read([body])) == finish(read(bytewise(body))) == [b"1\r\n--inner\r\n\r\n2", b"last"]

    async def cut_short() -> None:
        part = await anext(reader([body.replace(b"--in--", b"--in..")]))
        async for _ in part.parts():
            pass

    with pytest.raises(
        DecodeError, match="part 1 of the body of GET h/ is broken as a multipart: it ends without its closing delimiter, in part 1"
    ):
        finish(cut_short())


# --- limits, and what it costs ---


@pytest.mark.no_loop
def test_limits() -> None:
    head = b"A: " + b"x" * 97
    body = b"--b\r\n" + head + b"\r\n\r\nbody\r\n--b--"
    # `head` counts the section with its first CRLF
    for pieces in ([body], bytewise(body)):
        assert finish(read_all(reader(pieces, limits=aioreq.Limits(head=102))))[1] == ""
        error = finish(read_all(reader(pieces, limits=aioreq.Limits(head=101))))[1]
        assert error == "LimitExceeded: the header section of part 1 of the body of GET h/ is longer than 101 bytes: raise Limits(head=...)"
    body = b"--b\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\nbody\r\n--b--"
    error = finish(read_all(reader([body], limits=aioreq.Limits(headers=2))))[1]
    assert error == "LimitExceeded: part 1 of the body of GET h/ has more than 2 header fields: raise Limits(headers=...)"
    body = b"--b\r\n\r\n1\r\n" * 3 + b"--b--"
    assert len(finish(read_all(reader([body], max_parts=3)))[0]) == 3
    parts, error = finish(read_all(reader([body], max_parts=2)))
    assert (len(parts), error) == (2, "LimitExceeded: the body of GET h/ has more than 2 parts: raise it with parts(max_parts=...)")

    async def read(most: int | None) -> bytes:
        return await (await anext(reader([b"--b\r\n\r\n01234\r\n--b--"]))).read(most)

    assert finish(read(5)) == finish(read(None)) == b"01234"
    with pytest.raises(LimitExceeded, match="longer than 4 bytes"):
        finish(read(4))


HOSTILE = {
    "many parts": b"--b\r\n\r\n\r\n",
    "a long preamble": b"\r\n--",
    "nearly a delimiter": b"\r\n--b \t.",
    "carriage returns": b"\r",
    "delimiters in disguise": b"\r\n--bx",
}


@pytest.mark.no_loop
@pytest.mark.parametrize("way", [*HOSTILE])
@pytest.mark.parametrize("cut_to", [1, 65536])
def test_hostile_bodies_take_linear_time(way: str, cut_to: int) -> None:
    def seconds(size: int) -> float:
        data = (HOSTILE[way] * (size // len(HOSTILE[way]))) + b"\r\n--b--"
        pieces = [data[at : at + cut_to] for at in range(0, len(data), cut_to)]
        parts = reader(pieces, max_parts=10**9)
        gc.collect()
        gc.disable()  # what it takes grows with all that this process holds
        try:
            start = time.process_time()
            finish(until_error(parts))
            assert len(parts._held) < 1000 or cut_to > 1  # what is held doesn't grow with the body
            return time.process_time() - start
        finally:
            gc.enable()

    seconds(1000)
    size = 50_000 if cut_to == 1 else 400_000
    # Eight times as much: quadratic time would be sixty-four times as long.
    assert seconds(size) < 30 * max(seconds(size // 8), 0.002)


# --- real multiparts ---


async def test_ranges_of_nginx(nginx: WebServer) -> None:
    ranges = [(0, 9), (20, 29), (500_000, 799_999)]
    asked = {"Range": "bytes=" + ",".join(f"{first}-{last}" for first, last in ranges), "Accept-Encoding": "identity"}
    large = content(1_000_000)
    async with aioreq.Client() as client:
        for url in (nginx.url, nginx.tls_url):
            with_ca = {"verify": str(nginx.ca)} if url == nginx.tls_url else {}
            async with client.stream("GET", url + "/files/large", headers=asked, **with_ca) as response:  # type: ignore[arg-type]
                assert (response.status, response.content_type) == (206, "multipart/byteranges")
                got = [(part.headers["Content-Range"], await part.read()) async for part in response.parts()]
            assert got == [(f"bytes {first}-{last}/1000000", large[first : last + 1]) for first, last in ranges]
        whole = await client.get(nginx.url + "/files/large", headers=asked)
        assert whole.connection.reused
        assert [await part.read() async for part in whole.parts()] == [data for _, data in got]
        one_range = await client.get(nginx.url + "/files/large", headers={"Range": "bytes=5-9"})
        with pytest.raises(DecodeError, match=r"is no multipart \(application/octet-stream\): its Content-Type names another kind"):
            one_range.parts()


def of_python() -> tuple[str, bytes]:
    """A multipart in a multipart, written by the standard library."""
    outer, inner = MIMEMultipart("mixed"), MIMEMultipart("alternative")
    inner.attach(MIMEText("pl\xe4in\r\n--", "plain", "utf-8"))
    inner.attach(MIMEText("<p>", "html", "us-ascii"))
    outer.attach(inner)
    attached = MIMEApplication(b"", Name="a;b.bin")
    attached.set_payload(b"\0\1\r\n--\xff".decode("ascii", "surrogateescape"))
    del attached["Content-Transfer-Encoding"]
    attached["Content-Transfer-Encoding"] = "8bit"
    outer.attach(attached)
    outer.preamble, outer.epilogue = "This is a message\r\nof several parts.", "The end."
    head, _, body = outer.as_bytes(policy=HTTP).partition(b"\r\n\r\n")
    kind = next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Type: ")).decode().removeprefix("Content-Type: ")
    return kind, body


async def test_multiparts_of_pythons_email_package() -> None:
    kind, body = of_python()

    async def pieces() -> AsyncIterator[bytes]:
        packed = gzip.compress(body)
        for at in range(0, len(packed), 10):
            yield packed[at : at + 10]

    def routes(server: Server) -> None:
        server.route("/", lambda asked: Reply(200, [("Content-Type", kind)], body))
        server.route("/packed", lambda asked: Reply(200, [("Content-Type", kind), ("Content-Encoding", "gzip")], pieces()))

    async with Server(routes=routes) as server, aioreq.Client() as client:
        for path in ("/", "/packed"):
            async with client.stream("GET", server.url + path) as response:
                texts: list[tuple[str, bytes]] = []
                others: list[tuple[str, bytes]] = []
                async for part in response.parts():
                    if part.headers["content-type"].startswith("multipart/"):
                        texts += [(inner.headers["content-type"], await inner.read()) async for inner in part.parts()]
                    else:
                        others.append((part.headers["content-type"], await part.read()))
            assert texts == [('text/plain; charset="utf-8"', b"cGzDpGluDQotLQ==\r\n"), ('text/html; charset="us-ascii"', b"<p>")]
            assert others == [('application/octet-stream; Name="a;b.bin"', b"\0\1\r\n--\xff")]


async def test_a_loop_over_parts_can_be_left_and_taken_up_again() -> None:
    body = b"".join(b"--b\r\n\r\n%d\r\n" % number for number in range(4)) + b"--b--"

    def routes(server: Server) -> None:
        server.route("/", lambda asked: Reply(200, [("Content-Type", KIND.decode())], body))

    async with Server(routes=routes) as server, aioreq.Client() as client:
        async with client.stream("GET", server.url) as response:
            async for part in response.parts():
                assert await part.read() == b"0"
                break
            assert [await part.read() async for part in response.parts()] == [b"1", b"2", b"3"]
        async with client.stream("GET", server.url) as response:
            await anext(response.parts())
        whole = await client.get(server.url)
        assert whole.connection.reused
        for _ in range(2):  # a body in memory is read from its beginning each time
            assert [await part.read() async for part in whole.parts()] == [b"0", b"1", b"2", b"3"]


async def test_a_broken_multipart_closes_its_connection() -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"--b\r\nno field\r\n\r\n"
        while True:
            yield b"x" * 1000

    async with Server(routes=lambda s: s.route("/", lambda a: Reply(200, [("Content-Type", KIND.decode())], endless()))) as server:
        limits = aioreq.Limits(connections=1)
        async with aioreq.Client(limits=limits) as client, client.stream("GET", server.url) as response:
            with pytest.raises(DecodeError, match="line 1 of the header section of part 1 is no field") as caught:
                await anext(response.parts())
            assert caught.value.request is response.request
            async with client.stream("GET", server.url) as other:  # the one slot is free again
                assert other.ok
