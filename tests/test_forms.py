"""Forms: what `data=` and `files=` take, what becomes of it, and what is wrong with the rest."""

from __future__ import annotations

import email.parser
import email.policy
import io
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import aioreq
from aioreq import FormData
from aioreq.config import UNSET
from aioreq.forms import encode_form
from aioreq.request_body import StreamedBody, encode_body
from aioreq.testing import Close, Server

URLENCODED = "application/x-www-form-urlencoded"
CHOSEN = "multipart/form-data; boundary=x"


class Replayable:
    """Iterates anew each time, asynchronously."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk


def generator(*chunks: Any) -> Iterator[Any]:
    yield from chunks


async def asynchronous(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def whole(body: bytes | StreamedBody) -> bytes:
    return body if isinstance(body, bytes) else b"".join([chunk async for chunk in body.chunks()])


async def parts(data: Any = None, files: Any = None) -> list[bytes]:
    """The parts of the form, each with its head."""
    body, content_type = encode_form(data, files, CHOSEN)
    assert content_type == CHOSEN
    written = await whole(body)
    assert isinstance(body, bytes) or body.length in (None, len(written))
    assert written.startswith(b"--x\r\n")
    assert written.endswith(b"\r\n--x--\r\n")
    return written[5:-9].split(b"\r\n--x\r\n")


# --- urlencoded ---


@pytest.mark.parametrize(
    ("data", "encoded"),
    [
        ({}, b""),
        ({"a": "b"}, b"a=b"),
        ({"a": "b c+d%20&=", "\xe9": "~*-._"}, b"a=b+c%2Bd%2520%26%3D&%C3%A9=%7E*-._"),
        ({"a": [1, None, 2], "b": None, "c": True, "d": "", "e": False, "f": 1.5}, b"a=1&a=2&c=true&d=&e=false&f=1.5"),
        ([("b", "1"), ("a", "2"), ("b", "3")], b"b=1&a=2&b=3"),
        (iter([("a", 1)]), b"a=1"),
        ({"a": generator("x", 2)}, b"a=x&a=2"),
        ({2: b"\xff\r\n", True: bytearray(b"y")}, b"2=%FF%0D%0A&true=y"),
        ({"a\nb": "1\n2\r3\r\n4"}, b"a%0Ab=1%0A2%0D3%0D%0A4"),
        (FormData({"a\nb": "1\n2\r3\r\n4", "c": b"\n"}), b"a%0D%0Ab=1%0D%0A2%0D%0A3%0D%0A4&c=%0A"),
    ],
)
def test_urlencoded(data: Any, encoded: bytes) -> None:
    assert encode_body(None, data, UNSET, None) == (encoded, URLENCODED)


@pytest.mark.parametrize(
    "data", [b"a=1", bytearray(b"a=1"), memoryview(b"a=1"), "a=1", io.BytesIO(b"a=1"), io.StringIO("a=1"), Replayable(b"a")]
)
def test_data_that_is_no_form_names_content(data: Any) -> None:
    with pytest.raises(TypeError, match=rf"data= takes form fields \(a mapping or pairs\); send {type(data).__name__} as content="):
        encode_form(data)


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))))
@settings(deadline=None)
def test_a_form_comes_back(pairs: list[tuple[str, str]]) -> None:
    encoded, _ = encode_form(pairs)
    assert isinstance(encoded, bytes)
    assert encoded.isascii()
    assert parse_qsl(encoded.decode(), keep_blank_values=True, max_num_fields=None) == pairs


# --- FormData ---


async def test_a_form_in_order() -> None:
    form = FormData([("b", "1"), ("a", ["x", 2, None, True])])
    form.add_field("b", 3.5)
    form.add_field("gone", None)
    form.add_field("raw", b"\r\n\xff")
    assert encode_form(form) == (b"b=1&a=x&a=2&a=true&b=3.5&raw=%0D%0A%FF", URLENCODED)
    assert repr(form) == "<FormData urlencoded: b, a, a, a, b, raw>"
    form.add_field("j", '{"a":\n1}', content_type="application/json")
    form.add_field("h", "\n", headers={"X-One": "1", "X-None": None})
    form.add_field("f", "text\n", filename="f.txt", headers=[("X-Two", "2")])
    assert form.multipart
    assert await parts(form) == [
        b'Content-Disposition: form-data; name="b"\r\n\r\n1',
        b'Content-Disposition: form-data; name="a"\r\n\r\nx',
        b'Content-Disposition: form-data; name="a"\r\n\r\n2',
        b'Content-Disposition: form-data; name="a"\r\n\r\ntrue',
        b'Content-Disposition: form-data; name="b"\r\n\r\n3.5',
        b'Content-Disposition: form-data; name="raw"\r\n\r\n\r\n\xff',
        b'Content-Disposition: form-data; name="j"\r\nContent-Type: application/json\r\n\r\n{"a":\n1}',
        b'Content-Disposition: form-data; name="h"\r\nX-One: 1\r\n\r\n\n',
        b'Content-Disposition: form-data; name="f"; filename="f.txt"\r\nContent-Type: text/plain\r\nX-Two: 2\r\n\r\ntext\n',
    ]


def test_multipart_when_asked() -> None:
    content, content_type = encode_form(FormData({"a": "b"}, multipart=True))
    kind, _, boundary = content_type.partition("; boundary=")
    assert kind == "multipart/form-data"
    assert content == f'--{boundary}\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--{boundary}--\r\n'.encode()
    assert repr(FormData(multipart=True)) == "<FormData multipart: empty>"


def test_a_form_of_a_form_is_its_own() -> None:
    first = FormData({"a": "1"}, multipart=True)
    second = FormData(first)
    second.add_field("b", "2")
    assert (repr(first), repr(second)) == ("<FormData multipart: a>", "<FormData multipart: a, b>")


async def test_files_do_not_stay_in_the_form_they_were_sent_with() -> None:
    form = FormData({"a": "1"})
    assert len(await parts(form, {"f": b"x"})) == 2
    assert encode_form(form) == (b"a=1", URLENCODED)


# --- files ---


def head(name: str, filename: str, content_type: str) -> bytes:
    return f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\nContent-Type: {content_type}\r\n\r\n'.encode()


@pytest.mark.parametrize(
    ("given", "part"),
    [
        (b"1\n", head("f", "f", "application/octet-stream") + b"1\n"),
        ("\xe9\n", head("f", "f", "application/octet-stream") + b"\xc3\xa9\n"),
        (bytearray(b"1"), head("f", "f", "application/octet-stream") + b"1"),
        (io.BytesIO(b"1"), head("f", "f", "application/octet-stream") + b"1"),
        ([b"1", memoryview(b"2")], head("f", "f", "application/octet-stream") + b"12"),
        (generator(b"1", b"2"), head("f", "f", "application/octet-stream") + b"12"),
        (asynchronous(b"1", b"2"), head("f", "f", "application/octet-stream") + b"12"),
        (Replayable(b"1", b"2"), head("f", "f", "application/octet-stream") + b"12"),
        (("a.txt", b"1"), head("f", "a.txt", "text/plain") + b"1"),
        (("dir/a.JPG", io.BytesIO(b"1")), head("f", "dir/a.JPG", "image/jpeg") + b"1"),
        (("a.tar.gz", b"1"), head("f", "a.tar.gz", "application/gzip") + b"1"),
        (("a.Z", b"1"), head("f", "a.Z", "application/octet-stream") + b"1"),
        (("data:text/html,", b"1"), head("f", "data:text/html,", "application/octet-stream") + b"1"),
        (("", b""), head("f", "", "application/octet-stream")),
        (("a.txt", "1", "text/x; charset=utf-8"), head("f", "a.txt", "text/x; charset=utf-8") + b"1"),
        (("a.txt", "1", None, {"X-A": "b"}), head("f", "a.txt", "text/plain")[:-2] + b"X-A: b\r\n\r\n1"),
        (
            ("a", "1", None, {"X": "1", "content-type": "t/t"}),
            b'Content-Disposition: form-data; name="f"; filename="a"\r\nX: 1\r\ncontent-type: t/t\r\n\r\n1',
        ),
        ((None, "1\n2"), b'Content-Disposition: form-data; name="f"\r\n\r\n1\r\n2'),
        ((None, 5), b'Content-Disposition: form-data; name="f"\r\n\r\n5'),
        ((None, io.BytesIO(b"1"), "a/b"), b'Content-Disposition: form-data; name="f"\r\nContent-Type: a/b\r\n\r\n1'),
    ],
)
async def test_files_are_given_as_elsewhere(given: Any, part: bytes) -> None:
    assert await parts(None, [("f", given)]) == [part]


async def test_files_of_the_system_have_a_name(tmp_path: Path) -> None:
    path = tmp_path / "n\xe4me.csv"
    path.write_bytes(b"a,b\n")
    expected = [head("f", "n\xe4me.csv", "text/csv") + b"a,b\n"]
    assert await parts(None, {"f": path}) == expected
    assert await parts({"f": path}) == expected
    with path.open("rb") as file:
        assert await parts(None, {"f": file}) == expected
        file.seek(0)  # a file goes out from where it stands
        assert await parts({"f": file}) == expected
        file.seek(0)
        assert await parts(None, {"f": ("other", file)}) == [head("f", "other", "application/octet-stream") + b"a,b\n"]
    with open(os.fsencode(path), "rb") as file:  # noqa: ASYNC230 - a name in bytes
        assert await parts(None, {"f": file}) == expected
    with tempfile.TemporaryFile() as file:  # its name is a number
        assert await parts(None, {"f": file}) == [head("f", "f", "application/octet-stream")]


async def test_a_form_remembers_where_its_file_stood() -> None:
    file = io.BytesIO(b"0123456789")
    file.seek(4)
    form = FormData({"f": file})
    assert await parts(form) == await parts(form) == [head("f", "f", "application/octet-stream") + b"456789"]


async def test_a_str_is_never_a_path(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    assert b"secret" in (await parts(None, {"f": str(tmp_path / "secret")}))[0]
    assert (await parts(None, {"f": str(tmp_path / "secret")}))[0].endswith(os.fsencode(tmp_path / "secret"))


async def test_fields_come_before_files_and_names_repeat() -> None:
    sent = await parts([("b", "1"), ("a", ["2", "3"])], [("b", b"4"), ("b", b"5")])
    assert [part.partition(b"; ")[2].partition(b"\r\n")[0] for part in sent] == [
        b'name="b"',
        b'name="a"',
        b'name="a"',
        b'name="b"; filename="b"',
        b'name="b"; filename="b"',
    ]
    assert [part[-1:] for part in sent] == [b"1", b"2", b"3", b"4", b"5"]


@pytest.mark.parametrize("files", [{}, [], (), None])
async def test_no_files_are_none(server: Server, client: aioreq.Client, files: Any) -> None:
    await client.post(server.url + "/anything", data={"a": "b"}, files=files)
    assert server.requests[-1].header("content-type") == URLENCODED
    await client.post(server.url + "/anything", files=files)
    assert server.requests[-1].header("content-type") is None
    assert encode_form({"a": "b"}, {"f": None}) == (b"a=b", URLENCODED)


# --- what is wrong ---


TEXT_FILE = io.TextIOWrapper(io.BytesIO(b""), encoding="utf-8")


@pytest.mark.parametrize(
    ("data", "files", "error", "match"),
    [
        ({"a": {"b": "c"}}, None, TypeError, "data: 'a' holds dict; give str, bytes, a number"),
        ({"a": object()}, None, TypeError, "data: 'a' holds object"),
        ({"a": [["b"]]}, None, TypeError, "data: 'a' holds list"),
        ({"a": TEXT_FILE}, None, TypeError, "form field 'a': the file is open in text mode; open it with 'rb'"),
        ({"a": "\ud800"}, None, ValueError, "data: 'a' holds half of a surrogate pair"),
        ({"\ud800": "a"}, None, ValueError, "holds half of a surrogate pair"),
        ({b"a": "b"}, None, TypeError, "form field b'a': its name is bytes, not str"),
        (["ab"], None, TypeError, "data= takes a mapping or .* pairs; one of these is str, no pair"),
        ([("a", "b", "c")], None, TypeError, "data= takes a mapping or .* pairs; one of these is tuple, no pair"),
        (5, None, TypeError, "data= takes a mapping or .* pairs, not int"),
        (None, b"x", TypeError, "files= takes a mapping or .* pairs, not bytes"),
        (None, "x", TypeError, "files= takes a mapping or .* pairs, not str"),
        (None, io.BytesIO(), TypeError, "files= takes a mapping or .* pairs, not BytesIO"),
        (None, {"f": TEXT_FILE}, TypeError, "form field 'f': the file is open in text mode"),
        (None, {"f": ("a",)}, TypeError, "files: 'f' holds a tuple of 1; give"),
        (None, {"f": ("a", b"b", "c/d", {}, 5)}, TypeError, "files: 'f' holds a tuple of 5"),
        (None, {"f": (b"a", b"b")}, TypeError, "form field 'f': its filename is bytes, not str"),
        (None, {"f": ("a", None)}, TypeError, "form field 'f': the file 'a' has no content"),
        (None, {"f": ("a", b"b", b"c/d")}, TypeError, "form field 'f': its content_type is bytes, not str"),
        (None, {"f": ("a", b"b", "c/d", 5)}, TypeError, "form field 'f': "),
        (
            None,
            {"f": ("a", b"b", "c/d", {"Content-Type": "e/f"})},
            ValueError,
            "form field 'f': give content_type= or a Content-Type",
        ),
        (None, {"f": ("a", b"b", None, {"content-disposition": "x"})}, ValueError, "form field 'f': its Content-Disposition is made of"),
        (None, {"f": [b"1", "2"]}, TypeError, "form field 'f': its list holds str, not bytes; several files of a name are several pairs"),
        (None, {"f": [io.BytesIO()]}, TypeError, "form field 'f': its list holds BytesIO, not bytes"),
        (None, {"f": {"a": b"b"}}, TypeError, "data: 'f' holds dict"),
        (None, {"f": FormData()}, ValueError, r"form field 'f': a part can't be a multipart body of its own \(given up by RFC 7578"),
        (FormData(), {"f": ("a", FormData())}, ValueError, "form field 'f': a part can't be a multipart body"),
        (None, {"f": ("a", b"", "Multipart/mixed; boundary=a")}, ValueError, "form field 'f': a part can't be a multipart body"),
        (None, {"f": ("a", b"", None, {"content-type": "multipart/x"})}, ValueError, "form field 'f': a part can't be a multipart body"),
        ({"a": FormData()}, None, ValueError, "form field 'a': a part can't be a multipart body"),
        (None, {"f": Path("/nowhere/at/all")}, FileNotFoundError, "/nowhere/at/all"),
        (None, {"f": Path(__file__).parent}, IsADirectoryError, "is a directory"),
        (None, {"f": ("a\x00", b"")}, aioreq.InvalidHeader, "form field 'f': value of field 'Content-Disposition': control character"),
        (None, {"f\x7f": b""}, aioreq.InvalidHeader, "form field 'f.x7f': value of field 'Content-Disposition'"),
        (None, {"f": ("a", b"", "a/b\r\nX: y")}, aioreq.InvalidHeader, "form field 'f': value of field 'Content-Type': control character"),
        (None, {"f": ("a", b"", None, {"X\n": "y"})}, aioreq.InvalidHeader, "form field 'f': field name"),
    ],
)
def test_what_is_wrong_names_its_field(data: Any, files: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        encode_form(data, files)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a named pipe")
def test_a_path_without_an_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="is no regular file: open it, and give the file"):
        encode_form({"f": tmp_path / "pipe"})


async def test_a_stream_of_something_else_names_its_field(server: Server, client: aioreq.Client) -> None:
    with pytest.raises(TypeError, match="form field 'f': the iterable gave str, not bytes"):
        await client.post(server.url + "/anything", files={"f": generator("1")})


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"content": b"", "files": {"f": b""}}, "content and files"),
        ({"json": None, "files": {"f": b""}, "data": {}}, "data and files and json"),
        ({"json": None, "data": FormData()}, "data and json"),
    ],
)
async def test_two_bodies(client: aioreq.Client, options: Any, named: str) -> None:
    with pytest.raises(TypeError, match=f"a request has one body: give one of {named}"):
        await client.post("http://127.0.0.1:1/", **options)


# --- the user's Content-Type ---


async def test_a_content_type_of_ones_own(server: Server, client: aioreq.Client) -> None:
    async def sent(content_type: str | None, data: Any, files: Any = None) -> tuple[str | None, bytes]:
        await client.post(server.url + "/anything", data=data, files=files, headers={"content-TYPE": content_type})
        return server.requests[-1].header("content-type"), server.requests[-1].body

    part = b'Content-Disposition: form-data; name="a"\r\n\r\nb\r\n'
    assert await sent("text/x", {"a": "b"}) == ("text/x", b"a=b")
    assert await sent(None, {"a": "b"}) == (None, b"a=b")
    quoted = 'multipart/form-data; charset=utf-8; boundary="a b:c"'
    assert await sent(quoted, {"a": "b"}) == (quoted, b"--a b:c\r\n" + part + b"--a b:c--\r\n")
    related = "Multipart/Related; BOUNDARY=q;type=x"
    assert await sent(related, {"a": "b"}) == (related, b"--q\r\n" + part + b"--q--\r\n")
    content_type, body = await sent("multipart/form-data;", {"a": "b"})
    assert content_type is not None
    kind, _, boundary = content_type.partition("; boundary=")
    assert (kind, len(boundary)) == ("multipart/form-data", 32)
    assert body == f"--{boundary}\r\n".encode() + part + f"--{boundary}--\r\n".encode()
    assert server.requests[-1].header_values("content-type") == [content_type]

    with pytest.raises(aioreq.InvalidHeader, match="Content-Type: 'application/json': a form with files is multipart/form-data"):
        await sent("application/json", {"a": "b"}, {"f": b""})
    for bad in ("", "a" * 71, "\xe9", '"a "', "a@b"):
        with pytest.raises(aioreq.LocalProtocolError, match="is no boundary"):
            await sent(f"multipart/form-data; boundary={bad}", {"a": "b"})


async def test_a_default_content_type_gives_way(server: Server) -> None:
    async with aioreq.Client(headers={"Content-Type": "application/json"}) as client:
        await client.post(server.url + "/anything", files={"f": b""})
    [content_type] = server.requests[-1].header_values("content-type")
    assert content_type.startswith("multipart/form-data; boundary=")


# --- on the wire ---


async def test_what_is_known_is_declared(server: Server, client: aioreq.Client, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 700_000)
    with (tmp_path / "f").open("rb") as file:
        for known in ((tmp_path / "f"), file, b"x" * 700_000):
            await client.post(server.url + "/anything", files={"f": known}, data={"a": "b"})
            request = server.requests[-1]
            assert request.header_values("content-length") == [str(len(request.body))]
            assert request.header("transfer-encoding") is None
            assert b"\r\n\r\n" + b"x" * 700_000 + b"\r\n--" in request.body
    for unknown in ([b"x" * 1000], asynchronous(b"x" * 1000)):
        await client.post(server.url + "/anything", files={"f": unknown}, data={"a": "b"})
        request = server.requests[-1]
        assert request.header("content-length") is None
        assert request.header_values("transfer-encoding") == ["chunked"]
        assert b"\r\n\r\n" + b"x" * 1000 + b"\r\n--" in request.body


async def test_files_are_read_off_the_loops_thread(server: Server, client: aioreq.Client, tmp_path: Path) -> None:
    class Watched(io.BytesIO):
        readers: set[str]

        def read(self, size: int | None = -1) -> bytes:
            self.readers.add(threading.current_thread().name)
            return super().read(size)

    file = Watched(b"x" * 600_000)
    file.readers = set()
    await client.post(server.url + "/anything", files={"f": file})
    assert len(server.requests[-1].body) > 600_000
    assert file.readers == {"aioreq-worker"}


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("kind", ["bytes", "file", "path", "iterable", "asynchronous iterable"])
async def test_a_form_is_sent_again_where_a_redirect_leads(
    server: Server, client: aioreq.Client, tmp_path: Path, status: int, kind: str
) -> None:
    content = os.urandom(300_000)
    (tmp_path / "f").write_bytes(content)
    with (tmp_path / "f").open("rb") as file:
        given: Any = {
            "bytes": content,
            "file": file,
            "path": tmp_path / "f",
            "iterable": [content],
            "asynchronous iterable": Replayable(content),
        }[kind]
        await client.post(f"{server.url}/redirect-to?status={status}&url=/anything", files={"f": given}, data={"a": "b"})
    first, second = server.requests[-2:]
    assert content in second.body
    assert first.body == second.body
    assert first.header("content-type") == second.header("content-type")


async def test_a_303_leaves_the_form_behind(server: Server, client: aioreq.Client) -> None:
    await client.post(server.url + "/redirect-to?status=303&url=/anything", files={"f": generator(b"x")})
    request = server.requests[-1]
    assert (request.method, request.body, request.header("content-type")) == ("GET", b"", None)


async def test_a_form_is_sent_again_after_a_lost_connection(server: Server) -> None:
    server.script(Close())
    retry = aioreq.Retry(backoff=0.001)
    async with aioreq.Client(retry=retry) as client:
        response = await client.put(server.url + "/anything", files={"f": io.BytesIO(b"content")})
    assert response.status == 200
    assert b"\r\n\r\ncontent\r\n" in server.requests[-1].body


async def test_a_form_is_sent_again_with_a_password(server: Server, client: aioreq.Client) -> None:
    auth = aioreq.DigestAuth("u", "p")
    response = await client.post(server.url + "/digest-auth/auth/u/p", files={"f": io.BytesIO(b"content")}, auth=auth)
    assert response.status == 200
    assert [b"\r\n\r\ncontent\r\n" in request.body for request in server.requests] == [True, True]


async def test_a_generator_is_sent_once(server: Server, client: aioreq.Client) -> None:
    with pytest.raises(aioreq.LocalProtocolError, match="can't be sent again"):
        await client.post(server.url + "/redirect-to?status=307&url=/anything", files={"f": generator(b"x")})
    form = FormData()
    form.add_field("f", generator(b"once"))
    await client.post(server.url + "/anything", data=form)
    assert b"\r\n\r\nonce\r\n" in server.requests[-1].body
    before = len(server.requests)
    with pytest.raises(aioreq.LocalProtocolError, match="form field 'f': its content was already read and can't be sent again"):
        await client.post(server.url + "/anything", data=form)
    assert len(server.requests) == before


async def test_a_form_with_a_file_for_many_requests_at_once(server: Server, client: aioreq.Client, tmp_path: Path) -> None:
    import asyncio

    content = os.urandom(600_000)
    (tmp_path / "f").write_bytes(content)
    with (tmp_path / "f").open("rb") as file:
        form = FormData({"file": file, "path": tmp_path / "f"})
        await asyncio.gather(*[client.post(server.url + "/anything", data=form) for _ in range(8)])
    assert [request.body.count(content) for request in server.requests] == [2] * 8


async def test_another_file_in_its_place_is_not_mixed_in(server: Server, client: aioreq.Client, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 1_000_000)
    (tmp_path / "other").write_bytes(b"y" * 1_000_000)

    async def swap() -> AsyncIterator[bytes]:
        (tmp_path / "other").replace(tmp_path / "f")
        yield b"z"

    with pytest.raises(aioreq.LocalProtocolError, match="another file took the place of"):
        await client.post(server.url + "/anything", files=[("first", swap()), ("f", tmp_path / "f")])


async def test_what_is_appended_is_not_sent(server: Server, client: aioreq.Client, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 300_000)

    async def append() -> AsyncIterator[bytes]:
        with path.open("ab") as file:
            file.write(b"more")
        yield b"z"

    await client.post(server.url + "/anything", files=[("first", append()), ("f", path)])
    assert b"x" * 300_000 + b"\r\n--" in server.requests[-1].body


async def test_every_verb_and_a_stream_take_files(server: Server, client: aioreq.Client) -> None:
    for verb in (client.post, client.put, client.patch, client.delete, client.options, client.get):
        await verb(server.url + "/anything", files={"f": b"content"})
        assert b"\r\n\r\ncontent\r\n" in server.requests[-1].body
    async with client.stream("POST", server.url + "/anything", files={"f": b"content"}, data=FormData({"a": "b"})) as response:
        assert response.status == 200
    assert b"\r\n\r\ncontent\r\n" in server.requests[-1].body


@pytest.mark.no_loop
def test_the_synchronous_face_takes_files(tmp_path: Path) -> None:
    (tmp_path / "f.txt").write_bytes(b"content")
    with Server() as server:
        server.route("/", lambda request: str(request.body.count(b"content")))
        with (tmp_path / "f.txt").open("rb") as file:
            assert aioreq.post(server.url, files=[("a", file), ("b", tmp_path / "f.txt")]).text == "2"


async def test_others_read_it(server: Server, client: aioreq.Client) -> None:
    """By the standard library's parser of mail, which knows MIME."""
    data = {"plain": "caf\xe9", "empty": ""}
    await client.post(server.url + "/anything", data=data, files={"f": ("n\xe4me.bin", bytes(range(256)), None, {"X-Own": "1"})})
    request = server.requests[-1]
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
        f"Content-Type: {request.header('content-type')}\r\n\r\n".encode() + request.body
    )
    assert not message.defects
    payload: Any = message.get_payload()
    plain, empty, file = payload
    assert plain.get_payload(decode=True) == "caf\xe9".encode()
    assert empty.get_payload(decode=True) == b""
    assert (file.get_filename(), file["X-Own"]) == ("n\xe4me.bin", "1")
    assert file.get_content_type() == "application/octet-stream"


def test_nothing_is_imported_for_who_sends_no_form() -> None:
    import subprocess
    import sys

    code = (
        "import sys, aioreq; aioreq.Client(); "
        "print([name for name in ('forms', 'multipart', 'compression') if 'aioreq.' + name in sys.modules], 'mimetypes' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "False"]
