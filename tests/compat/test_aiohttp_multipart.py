"""Multipart bodies that come in: the same parts as aiohttp reads, however the bytes are cut; broken ones are refused."""

from __future__ import annotations

import asyncio
import gzip
import warnings
import zlib
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from peers import needed_module

import aioreq.compat.aiohttp as ours
from aioreq.compat.aiohttp.http_exceptions import BadHttpMessage
from aioreq.testing import Server
from aioreq.testing.reply import Reply

theirs = needed_module("aiohttp", "aiohttp")

BOTH = pytest.mark.parametrize("module", [ours, theirs], ids=["ours", "theirs"])
CUTS = [1, 7, 64, 1_000_000]


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


MIXED = crlf("""preamble
--b
Content-Type: text/plain; charset=latin-1
Content-Length: 5

h\x41llo
--b
Content-Type: application/json
X-Short: one

{"a": [1]}
--b
Content-Type: application/x-www-form-urlencoded

a=1&b=&c=d+e
--b
Content-Transfer-Encoding: base64

aGVsbG8gd29ybGQ=
--b
Content-Transfer-Encoding: quoted-printable

a=3Db=0A
--b
Content-Type: multipart/related; boundary=inner

--inner

in one
--inner
Content-Disposition: attachment; filename="in.txt"

in two
--inner--

--b
Content-Disposition: form-data; name="n"; filename*=utf-8''%e2%82%ac.txt


--b--
epilogue
""")


def headers(content_type: str) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict({"Content-Type": content_type}))


class Protocol:
    connected = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self, resume_parser: bool = True) -> None:
        pass


def reader(module: Any, body: bytes, size: int, content_type: str = "multipart/mixed; boundary=b", **options: Any) -> Any:
    """A reader of a body that has come in pieces of that size."""
    stream = module.StreamReader(Protocol(), 2**16, loop=asyncio.get_running_loop())
    for start in range(0, len(body), size):
        stream.feed_data(body[start : start + size])
    stream.feed_eof()
    return module.MultipartReader(headers(content_type), stream, **options)


async def everything(parts: Any) -> list[Any]:
    """All that there is, in lists."""
    found: list[Any] = []
    async for part in parts:
        if hasattr(part, "read"):
            found.append((dict(part.headers), part.name, part.filename, bytes(await part.read(decode=True)), part.at_eof()))
        else:
            found.append((dict(part.headers), await everything(part)))
    return [*found, parts.at_eof()]


@pytest.mark.parametrize("size", CUTS)
async def test_the_parts_are_the_same(size: int) -> None:
    mine, other = await everything(reader(ours, MIXED, size)), await everything(reader(theirs, MIXED, size))
    assert mine == other
    assert mine[4][3] == b"a=b\n"
    assert mine[5][1][1][2] == "in.txt"


@BOTH
@pytest.mark.parametrize("size", CUTS)
async def test_each_way_of_reading_a_part(module: Any, size: int) -> None:
    parts = reader(module, MIXED, size)
    text = await parts.next()
    assert await text.text() == "hAllo"
    assert (text.get_charset("utf-8"), await text.read(), await text.read_chunk(), await text.readline()) == ("latin-1", b"", b"", b"")
    assert await (await parts.next()).json() == {"a": [1]}
    assert await (await parts.next()).form() == [("a", "1"), ("b", ""), ("c", "d e")]
    encoded = await parts.next()
    assert bytes(encoded.decode(bytes(await encoded.read()))) == b"hello world"
    printable = await parts.next()
    assert [bytes(piece) async for piece in printable.decode_iter(await printable.read())] == [b"a=b\n"]
    inner = await parts.next()
    assert [line async for line in await inner.next()] == [b"in one"]
    last = await parts.next()
    assert (last.name, last.filename) == ("n", "€.txt")
    assert (await last.next(), await last.json(), await last.form()) == (None, None, [])
    assert await parts.next() is None
    assert await parts.next() is None


@BOTH
async def test_what_isnt_read_is_skipped(module: Any) -> None:
    parts = reader(module, MIXED, 7)
    seen = []
    while (part := await parts.next()) is not None:
        seen.append(part.headers.get("Content-Type"))
        if len(seen) == 2:
            assert await part.read_chunk(8) == b'{"a": [1'
    assert len(seen) == 7
    again = reader(module, MIXED, 7)
    await again.next()
    await again.release()
    assert again.at_eof()


@pytest.mark.parametrize("size", CUTS)
async def test_a_part_by_lines_and_chunks(size: int) -> None:
    module = ours  # theirs loses bytes at a line that begins as the delimiter does
    content = b"one\r\ntwo\n--bu\r\n\r\nend" + b"x" * 5000
    body = b"--b\r\n\r\n" + content + b"\r\n--b\r\n\r\n" + content + b"\r\n--b--\r\n"
    parts = reader(module, body, size)
    by_lines = await parts.next()
    lines = []
    while not by_lines.at_eof():
        lines.append(await by_lines.readline())
    assert b"".join(lines) == content
    assert lines[:2] == [b"one\r\n", b"two\n"]
    by_chunks = await parts.next()
    chunks = []
    while chunk := await by_chunks.read_chunk(100):
        chunks.append(chunk)
    assert b"".join(chunks) == content
    assert max(len(chunk) for chunk in chunks) <= 100


@BOTH
async def test_base64_comes_in_whole_groups(module: Any) -> None:
    body = b"--b\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b"aGVsbG8g\r\nd29ybGQh" * 40 + b"\r\n--b--\r\n"
    part = await reader(module, body, 11).next()
    found = b""
    while chunk := await part.read_chunk(50):
        found += part.decode(chunk)
    assert found == b"hello world!" * 40


@BOTH
@pytest.mark.parametrize(
    ("coding", "data"),
    [("gzip", gzip.compress(b"content" * 99)), ("deflate", zlib.compress(b"content" * 99, wbits=-15)), ("identity", b"content" * 99)],
)
async def test_encoded_parts_are_decoded(module: Any, coding: str, data: bytes) -> None:
    body = b"--b\r\nContent-Encoding: " + coding.encode() + b"\r\n\r\n" + data + b"\r\n--b--\r\n"
    assert bytes(await (await reader(module, body, 64).next()).read(decode=True)) == b"content" * 99
    part = await reader(module, body, 64).next()
    assert bytes(part.decode(data)) == b"content" * 99
    as_form = reader(module, body, 64, "multipart/form-data; boundary=b")  # RFC 7578 section 4.8: ignored there
    assert bytes(await (await as_form.next()).read(decode=True)) == data


@BOTH
async def test_unknown_encodings_are_refused(module: Any) -> None:
    for name in ("Content-Encoding", "Content-Transfer-Encoding"):
        part = await reader(module, f"--b\r\n{name}: odd\r\n\r\nx\r\n--b--\r\n".encode(), 64).next()
        with pytest.raises(RuntimeError, match="unknown content"):
            await part.read(decode=True)


async def test_a_forms_charset_is_that_of_its_fields() -> None:
    module = ours  # theirs takes the delimiter behind it for a header field
    body = (
        crlf("""--b
Content-Disposition: form-data; name="_charset_"

latin-1
--b
Content-Disposition: form-data; name="a"

""")
        + b"\xfc\r\n--b--\r\n"
    )
    part = await reader(module, body, 64, "multipart/form-data; boundary=b").next()
    assert (part.name, await part.text()) == ("a", "ü")


@BOTH
async def test_a_part_may_be_too_large(module: Any) -> None:
    class Large(Exception):
        pass

    parts = reader(module, MIXED, 64, client_max_size=3, max_size_error_cls=Large)
    with pytest.raises(Large):
        await (await parts.next()).read()


@BOTH
async def test_heads_are_bounded(module: Any) -> None:
    errors = (BadHttpMessage, theirs.http_exceptions.BadHttpMessage)
    with pytest.raises(errors):
        await reader(module, b"--b\r\nX: " + b"y" * 9000 + b"\r\n\r\nx\r\n--b--\r\n", 64).next()
    with pytest.raises(errors):
        await reader(module, b"--b\r\n" + b"X: y\r\n" * 200 + b"\r\nx\r\n--b--\r\n", 64).next()
    part = await reader(module, b"--b\r\nX: " + b"y" * 9000 + b"\r\n\r\nx\r\n--b--\r\n", 64, max_field_size=10_000).next()
    assert len(part.headers["X"]) == 9000


@BOTH
@pytest.mark.parametrize(
    "body",
    [
        b"no boundary at all\r\n",
        b"--b\r\nContent-Length: 3\r\n\r\nfour\r\n--b--\r\n",
        b"--b\r\nContent-Length: +3\r\n\r\nabc\r\n--b--\r\n",
    ],
)
async def test_broken_bodies_are_refused(module: Any, body: bytes) -> None:
    parts = reader(module, body, 64)
    with pytest.raises(ValueError):
        while (part := await parts.next()) is not None:
            await part.read()


@pytest.mark.parametrize(
    "body",
    [
        b"--b\r\n\r\ncut",  # theirs goes on for ever, or says that the part was whole
        b"--b\r\nContent-Length: 30\r\n\r\nshort\r\n--b--\r\n",
        b"--b\r\nno field\r\n\r\nx\r\n--b--\r\n",
        b"--b\nX: y\n\nx\n--b--\n",
    ],
)
@pytest.mark.parametrize("size", CUTS)
async def test_what_the_grammar_forbids_is_refused(body: bytes, size: int) -> None:
    parts = reader(ours, body, size)
    with pytest.raises(ValueError):
        while (part := await parts.next()) is not None:
            await part.read()


@BOTH
@pytest.mark.parametrize("content_type", ["multipart/mixed", "multipart/mixed; boundary=" + "b" * 71])
async def test_a_boundary_is_needed(module: Any, content_type: str) -> None:
    with pytest.raises(ValueError, match="boundary"):
        reader(module, b"", 1, content_type).next()
    with pytest.raises(AssertionError):
        reader(module, b"", 1, "text/plain")


async def test_readers_of_ones_own_are_made() -> None:
    class Part(ours.BodyPartReader):
        pass

    class Inner(ours.MultipartReader):
        pass

    class Parts(ours.MultipartReader):
        part_reader_cls = Part
        multipart_reader_cls = Inner

    stream = ours.StreamReader(Protocol(), 2**16)
    stream.feed_data(MIXED)
    stream.feed_eof()
    parts = Parts(headers("multipart/mixed; boundary=b"), stream)
    assert {type(part) async for part in parts} == {Part, Inner}


async def test_a_part_alone_reads_to_its_delimiter() -> None:
    for module in (ours, theirs):
        stream = module.StreamReader(Protocol(), 2**16, loop=asyncio.get_running_loop())
        stream.feed_data(b"content\r\n--b--\r\n")
        stream.feed_eof()
        part = module.BodyPartReader(b"--b", headers("text/plain"), stream)
        assert bytes(await part.read()) == b"content"
        assert part.at_eof()


async def test_parts_of_a_response(server: Server) -> None:
    server.route("/parts", Reply(headers={"Content-Type": "multipart/mixed; boundary=b"}, body=MIXED))
    told = []
    for module in (ours, theirs):
        async with module.ClientSession() as session, session.get(server.url + "/parts") as response:
            parts = module.MultipartReader.from_response(response)
            kinds = []
            async for part in parts:
                kinds.append((type(part).__name__, dict(part.headers)))
                await part.release()
            told.append((kinds, parts.at_eof()))
            assert response.closed
    assert told[0] == told[1]


async def test_a_stream_of_pictures_needs_no_next_delimiter(server: Server) -> None:
    """multipart/x-mixed-replace: a part of declared length is whole before the next one begins."""
    go_on = asyncio.Event()

    async def pictures(request: Any) -> Any:
        yield b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: 5\r\n\r\nFIRST\r\n"
        await go_on.wait()
        yield b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: 6\r\n\r\nSECOND\r\n--b--\r\n"

    server.route("/live", lambda request: Reply(headers={"Content-Type": "multipart/x-mixed-replace; boundary=b"}, body=pictures(request)))
    async with ours.ClientSession() as session, session.get(server.url + "/live") as response:
        parts = ours.MultipartReader.from_response(response)
        async with asyncio.timeout(5):
            part: Any = await parts.next()
            assert await part.read() == b"FIRST"
            go_on.set()
            part = await parts.next()
            assert await part.read() == b"SECOND"


async def test_a_received_part_is_sent_on(server: Server) -> None:
    server.route("/parts", Reply(headers={"Content-Type": "multipart/mixed; boundary=b"}, body=MIXED))
    async with ours.ClientSession() as session, session.get(server.url + "/parts") as response:
        parts = ours.MultipartReader.from_response(response)
        async for part in parts:
            if part.headers.get("Content-Transfer-Encoding") == "base64":
                async with session.post(server.url + "/anything", data=part) as echo:
                    assert (await echo.json())["body"] == "hello world"
                break
        assert isinstance(part, ours.BodyPartReader)
        with pytest.raises(TypeError):
            ours.get_payload(part).decode()


DISPOSITIONS = [
    None,
    "",
    "attachment",
    "ATTACHMENT; FileName=foo.html",
    'attachment; filename="foo.html"',
    'attachment; filename="f\\oo.html"',
    'attachment; filename="\\"quoting\\" tested.html"',
    'attachment; filename="Here\'s a semicolon;.html"',
    'attachment; foo="bar"; filename="foo.html"',
    "attachment; filename=foo.html ;",
    "attachment; filename=;filename=foo",
    "attachment; filename=foo, bar.html",
    'attachment; filename="foo-%41.html"',
    'attachment; filename="../foo.html"',
    "attachment; filename*=utf-8''foo-%c3%a4-%e2%82%ac.html",
    "attachment; filename*=''foo-%c3%a4-%e2%82%ac.html",
    "attachment; filename*=nonsense''foo",
    "attachment; filename*=utf-8''%ff",
    "attachment; filename*=foo",
    'attachment; filename*0="foo."; filename*1="html"',
    "attachment; filename*0*=utf-8''a%c3%a4; filename*1*=b",
    'attachment; filename*1="foo."; filename*2="html"',
    "form-data; name=a; name=b",
    'form-data; name="a"; name*=utf-8\'\'b',
    "=x",
    "attachment filename=bar",
    "attachment; bad key=1; filename=x",
    "attachment;;filename=x",
    "attachment; filename",
    'form-data; name="a', 'form-data; name="üml"',
]  # fmt: skip


@pytest.mark.no_loop
@pytest.mark.parametrize("header", DISPOSITIONS)
def test_dispositions_are_read_the_same(header: str | None) -> None:
    told: list[Any] = []
    for module in (ours, theirs):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            kind, params = module.parse_content_disposition(header)
            told.append((kind, params, module.content_disposition_filename(params), module.content_disposition_filename(params, "name")))
            told.append(tuple(type(warning.message).__name__ for warning in caught))
    assert told[:2] == told[2:]
