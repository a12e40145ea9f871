"""Payloads, forms and multipart writers of the aiohttp face: the bytes and fields that aiohttp makes of the same values."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import re
import tempfile
import warnings
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from multidict import MultiDict
from peers import needed_module

import aioreq
import aioreq.compat.aiohttp as ours
from aioreq.compat.aiohttp import payload as our_payload
from aioreq.compat.aiohttp.payload import body_of, content_of, payload_of
from aioreq.errors import InvalidHeader, LocalProtocolError
from aioreq.request_body import StreamedBody
from aioreq.testing import Server
from aioreq.testing.reply import Reply

theirs = needed_module("aiohttp", "aiohttp")

BOUNDARY = re.compile(rb"[0-9a-f]{32}")


class Collector:
    """What theirs writes to."""

    def __init__(self) -> None:
        self.data = b""

    async def write(self, chunk: bytes) -> None:
        self.data += chunk

    async def drain(self) -> None:
        pass


async def sent(content: bytes | StreamedBody) -> bytes:
    """What the core would send."""
    if isinstance(content, bytes):
        return content
    data = b"".join([chunk async for chunk in content.chunks()])
    assert content.length in (None, len(data))
    return data


async def by_ours(data: Any) -> tuple[bytes, dict[str, str], int | None]:
    payload = payload_of(data)
    size = payload.size
    content = content_of(payload)
    return await sent(content), dict(payload.headers), size


async def by_theirs(data: Any) -> tuple[bytes, dict[str, str], int | None]:
    if isinstance(data, theirs.FormData):
        data = data()
    try:
        payload = theirs.payload.PAYLOAD_REGISTRY.get(data, disposition=None)
    except theirs.payload.LookupError:
        payload = theirs.FormData(data)()
    size = payload.size
    writer = Collector()
    await payload.write(writer)
    return writer.data, dict(payload.headers), size


def unbounded(told: tuple[bytes, dict[str, str], int | None]) -> tuple[bytes, dict[str, str], int | None]:
    """The same with one boundary for both."""
    data, headers, size = told
    return BOUNDARY.sub(b"B", data), {name: BOUNDARY.sub(b"B", value.encode()).decode() for name, value in headers.items()}, size


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        (path / "a.txt").write_text("line\nüml\n", "utf-8")
        (path / "photo.png").write_bytes(bytes(range(256)) * 2000)
        yield path


async def agen() -> AsyncIterator[bytes]:
    yield b"one"
    yield b""
    yield b"two"


def deprecated(make: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return make()


def form(module: Any, *fields: tuple[str, Any, dict[str, Any]], **options: Any) -> Any:
    made = module.FormData(**options)
    for name, value, given in fields:
        deprecated(lambda name=name, value=value, given=given: made.add_field(name, value, **given))  # type: ignore[misc]
    return made


def mixed(module: Any, fill: Callable[[Any], None], **options: Any) -> Any:
    writer = module.MultipartWriter(**options)
    fill(writer)
    return writer


def fill_mixed(writer: Any) -> None:
    writer.append("text")
    writer.append(b"bytes", {"X-A": "1"})
    writer.append(io.BytesIO(b"io"))
    writer.append(io.StringIO("strings"))
    writer.append_json({"a": [1, "ü"]})
    writer.append_form({"a": ["1", "2"], "b": "c d"})
    writer.append_form([("x", "y")])


def fill_encoded(writer: Any) -> None:
    writer.append("ab" * 1000, {"Content-Encoding": "gzip"})
    writer.append("ab" * 1000, {"Content-Encoding": "deflate"})
    writer.append("ab?" * 100, {"Content-Transfer-Encoding": "base64"})
    writer.append("a=\tü \nb ", {"Content-Transfer-Encoding": "quoted-printable"})
    writer.append("x", {"Content-Transfer-Encoding": "binary", "Content-Encoding": "identity"})


def fill_nested(module: Any) -> Callable[[Any], None]:
    def fill(writer: Any) -> None:
        inner = module.MultipartWriter("related", boundary="inner")
        inner.append("in")
        writer.append(inner)
        writer.append("out")

    return fill


VALUES: dict[str, Callable[[Any], Any]] = {
    "bytes": lambda module: b"bytes",
    "nothing": lambda module: b"",
    "bytearray": lambda module: bytearray(b"bytes"),
    "memoryview": lambda module: memoryview(b"abcdef")[1:4],
    "text": lambda module: "tëxt",
    "dict": lambda module: {"a": "1", "b": "ä ö&=", "c": "x\ny"},
    "numbers": lambda module: {"a": 1, "b": 2.5},
    "lists": lambda module: {"a": ["1", "2"]},
    "pairs": lambda module: [("a", "1"), ("a", "2")],
    "multidict": lambda module: MultiDict([("a", "1"), ("a", "2")]),
    "BytesIO": lambda module: io.BytesIO(b"from here"),
    "StringIO": lambda module: io.StringIO("tëxt"),
    "payload": lambda module: module.BytesPayload(b"x", content_type="image/png", headers={"X-Y": "z"}),
    "string payload": lambda module: module.StringPayload("ä", encoding="latin-1"),
    "string payload of a type": lambda module: module.StringPayload("ä", content_type="text/html; charset=latin-1"),
    "json payload": lambda module: module.JsonPayload({"a": "ü"}),
    "named payload": lambda module: module.BytesPayload(b"x", content_type=None, filename="a.json"),
    "async generator": lambda module: agen(),
    "form": lambda module: module.FormData({"a": "b", "c": "d ü"}),
    "form in latin-1": lambda module: module.FormData({"a": "ü"}, charset="latin-1"),
    "form, multipart": lambda module: module.FormData({"a": "b"}, default_to_multipart=True),
    "form, with files": lambda module: form(
        module,
        ("text", "tëxt", {}),
        ("typed", "{}", {"content_type": "application/json"}),
        ("file", io.BytesIO(b"content"), {}),
        ("named", io.BytesIO(b"content"), {"filename": "a b ü.png", "content_type": "image/png"}),
        ("bytes", b"raw", {"filename": "raw.bin"}),
        ("bare bytes", b"raw", {}),
    ),
    "form, unquoted": lambda module: form(module, ('n"ä', "x", {"filename": 'f"ü\\.txt'}), quote_fields=False),
    "form, quoted": lambda module: form(module, ('n"ä', "x", {"filename": 'f"ü\\.txt'})),
    "form of a multidict": lambda module: module.FormData(MultiDict([("a", "1"), ("b", io.BytesIO(b"2"))])),
    "form of pairs": lambda module: module.FormData([("a", "1"), ["b", "2"]]),
    "form of mixed fields": lambda module: module.FormData([MultiDict(a="1"), ("b", "2")]),
    "multipart": lambda module: mixed(module, fill_mixed),
    "multipart, empty": lambda module: module.MultipartWriter("mixed", boundary="b"),
    "multipart, quoted boundary": lambda module: mixed(module, lambda writer: writer.append("x"), subtype="related", boundary="a b"),
    "multipart, form-data": lambda module: mixed(module, lambda writer: writer.append("x"), subtype="form-data"),
    "multipart, encoded": lambda module: mixed(module, fill_encoded),
    "multipart, nested": lambda module: mixed(module, fill_nested(module)),
}


@pytest.mark.parametrize("name", VALUES)
async def test_what_is_sent_is_the_same(name: str) -> None:
    mine, other = unbounded(await by_ours(VALUES[name](ours))), unbounded(await by_theirs(VALUES[name](theirs)))
    if name == "multipart, encoded":  # two compressors: the same once it is read
        assert unzipped(mine[0]) == unzipped(other[0])
        mine, other = (b"", *mine[1:]), (b"", *other[1:])
    assert mine == other


def unzipped(data: bytes) -> list[bytes]:
    bodies = [part.split(b"\r\n\r\n", 1)[1] for part in data.split(b"--B")[1:-1]]
    return [gzip.decompress(bodies[0].removesuffix(b"\r\n")), zlib.decompress(bodies[1], -15), *bodies[2:]]


@pytest.mark.parametrize(("name", "mode"), [("a.txt", "rb"), ("a.txt", "r"), ("photo.png", "rb")])
async def test_files_are_sent_the_same(folder: Path, name: str, mode: str) -> None:
    told = []
    for module, send in ((ours, by_ours), (theirs, by_theirs)):
        for data in (lambda file: file, lambda file: {"file": file}, lambda file, module=module: mixed(module, lambda w: w.append(file))):
            with open(folder / name, mode, encoding=None if "b" in mode else "utf-8") as file:  # noqa: ASYNC230
                told.append(unbounded(await send(data(file))))
    assert told[:3] == told[3:]


async def test_text_in_another_charset_is_encoded_anew(folder: Path) -> None:
    (folder / "latin.txt").write_text("ä\n" * 200_000, "latin-1")
    with open(folder / "latin.txt", encoding="latin-1") as file:  # noqa: ASYNC230
        content, headers = body_of(file)
        assert isinstance(content, StreamedBody)
        assert content.length is None  # aiohttp names the size of the file, which is another
        assert await sent(content) == "ä\n".encode() * 200_000
        assert await sent(content) == "ä\n".encode() * 200_000
    assert headers["Content-Type"] == "text/plain; charset=utf-8"


async def test_a_file_is_sent_from_where_it_stands_again_and_again(folder: Path) -> None:
    with open(folder / "photo.png", "rb") as file:  # noqa: ASYNC230
        file.seek(5)
        payload = payload_of(file)
        content = content_of(payload)
        assert isinstance(content, StreamedBody)
        assert content.file is not None  # the system may send it
        assert content.replayable
        whole = (folder / "photo.png").read_bytes()[5:]
        assert payload.size == len(whole)
        assert await sent(content) == await sent(content) == await payload.as_bytes() == whole
        assert not payload.consumed
        await payload.close()
        assert file.closed
        assert payload.consumed


async def test_an_async_generator_is_sent_once() -> None:
    payload = payload_of(agen())
    before = payload.consumed
    assert await sent(content_of(payload)) == b"onetwo"
    assert (before, payload.consumed) == (False, True)
    with pytest.raises(LocalProtocolError):
        await sent(content_of(payload))
    kept = ours.AsyncIterablePayload(agen())
    with pytest.raises(TypeError):
        kept.decode()
    assert await kept.as_bytes() == b"onetwo" == await sent(content_of(kept)) == await sent(content_of(kept))
    assert kept.decode() == "onetwo"
    with pytest.raises(TypeError):
        ours.AsyncIterablePayload(object())  # type: ignore[arg-type]


class Counted(ours.Payload):
    """A user's payload."""

    closed = 0

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return ""

    async def write(self, writer: Any) -> None:
        try:
            for number in range(self._value):
                await writer.write(b"%d," % number)
        finally:
            self.closed += 1


async def test_a_users_payload_writes_itself() -> None:
    payload = Counted(3, content_type="text/x")
    content, headers = body_of(payload)
    assert headers["Content-Type"] == "text/x"
    assert isinstance(content, StreamedBody)
    assert content.length is None
    assert await sent(content) == b"0,1,2,"
    assert await sent(content) == b"0,1,2,"
    assert payload.closed == 2


async def test_who_stops_taking_stops_the_payload_that_writes() -> None:
    payload = Counted(1_000_000)
    content = content_of(payload)
    assert isinstance(content, StreamedBody)
    chunks = content.chunks()
    async with contextlib.aclosing(chunks):  # type: ignore[type-var]
        assert await anext(chunks) == b"0,"
    assert payload.closed == 1


async def test_what_a_users_payload_raises_is_raised() -> None:
    class Broken(Counted):
        async def write(self, writer: Any) -> None:
            await writer.write(b"x")
            raise OSError(5, "gone")

    with pytest.raises(OSError, match="gone"):
        await sent(content_of(Broken(1)))


async def test_a_derived_payload_that_writes_by_itself_is_asked_to() -> None:
    class Loud(ours.BytesPayload):
        async def write_with_length(self, writer: Any, content_length: int | None) -> None:
            await writer.write(self._value.upper())

    class Named(ours.StringPayload):
        pass

    assert await sent(content_of(Loud(b"abc"))) == b"ABC"
    assert content_of(Named("abc")) == b"abc"


async def test_aiohttps_own_values_are_taken() -> None:
    assert await sent(body_of(theirs.BytesPayload(b"x"))[0]) == b"x"
    writer = mixed(theirs, fill_mixed)
    mine, other = mixed(ours, fill_mixed), BOUNDARY.sub(b"B", await sent(body_of(writer)[0]))
    assert BOUNDARY.sub(b"B", await sent(body_of(mine)[0])) == other
    content, headers = body_of(form(theirs, ("a", "b", {}), ("c", io.BytesIO(b"d"), {})))
    assert b'name="c"; filename="c"' in await sent(content)
    assert headers["Content-Type"].startswith("multipart/form-data; boundary=")


async def test_the_registry_is_asked_in_order() -> None:
    class Mine(bytes):
        pass

    class First(ours.BytesPayload):
        pass

    registry = our_payload.PayloadRegistry()
    registry.register(ours.BytesPayload, (bytes, bytearray))
    assert type(registry.get(Mine(b"x"))) is ours.BytesPayload
    registry.register(First, Mine, order=our_payload.Order.try_first)
    assert type(registry.get(Mine(b"x"))) is First
    assert type(registry.get(b"x")) is ours.BytesPayload
    payload = ours.StringPayload("x")
    assert registry.get(payload) is payload
    with pytest.raises(our_payload.LookupError):
        registry.get(1)
    with pytest.raises(ValueError, match="order"):
        registry.register(First, int, order=3)  # type: ignore[arg-type]


async def test_a_registered_type_is_sent_as_its_payload() -> None:
    class Point:
        x, y = 1, 2

    @our_payload.payload_type(Point)
    class PointPayload(ours.StringPayload):
        def __init__(self, value: Point, *args: Any, **kwargs: Any) -> None:
            super().__init__(f"{value.x},{value.y}", *args, **kwargs)

    assert await sent(body_of(Point())[0]) == b"1,2"


async def test_a_streamer_writes_itself() -> None:
    def make(module: Any) -> Any:
        @module.streamer  # type: ignore[untyped-decorator]
        async def send(writer: Any, text: str = "default") -> None:
            await writer.write(text.encode())
            await writer.write(b"!")

        return send

    mine, other = deprecated(lambda: make(ours)), deprecated(lambda: make(theirs))
    for data, of_theirs in ((mine, other), (mine("x"), other("x")), (mine(text="y"), other(text="y"))):
        assert await by_ours(data) == await by_theirs(of_theirs)
    with pytest.warns(DeprecationWarning, match="streamer"):
        make(ours)


@pytest.mark.parametrize("data", [object(), 5, {"a": object}.keys, iter([b"x"])])
async def test_what_cant_be_sent_is_refused(data: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        body_of(data)


async def test_control_bytes_are_refused() -> None:
    with pytest.raises((InvalidHeader, ValueError)):
        body_of(form(ours, ("a\r\nb", "x", {"filename": "y"})))
    with pytest.raises(ValueError, match="newline"):
        ours.FormData().add_field("a", "b", filename="x\r\ny")
    with pytest.raises(ValueError, match="newline"):
        ours.FormData().add_field("a", "b", content_type="x\r\ny")
    writer = ours.MultipartWriter()
    writer.append("x", {"X-A": "b\r\nc"})
    with pytest.raises(InvalidHeader):
        body_of(writer)


@pytest.mark.parametrize("option", ["filename", "content_type", "content_transfer_encoding"])
async def test_a_fields_options_are_text(option: str) -> None:
    for module in (ours, theirs):
        with pytest.raises(TypeError, match=option):
            module.FormData().add_field("a", "b", **{option: 1})


async def test_a_boundary_of_ones_own_may_not_stand_in_the_content() -> None:
    writer = ours.MultipartWriter(boundary="b")
    writer.append("x--by")
    with pytest.raises(LocalProtocolError, match="boundary"):
        body_of(writer)
    for module in (ours, theirs):
        with pytest.raises(ValueError, match="ASCII"):
            module.MultipartWriter(boundary="ü")
        with pytest.raises(ValueError, match="invalid"):
            module.MultipartWriter(boundary="a\nb")


async def test_a_writer_is_looked_at_as_a_list_of_parts() -> None:
    for module in (ours, theirs):
        with module.MultipartWriter("mixed", boundary="b") as writer:
            assert bool(writer)
            part = writer.append("x", {"Content-Encoding": "gzip"})
            assert len(writer) == 1
            assert [(one, encoding) for one, encoding, _ in writer] == [(part, "gzip")]
        assert writer.boundary == "b"
        assert writer.size is None
        for encoding in ("Content-Encoding", "Content-Transfer-Encoding"):
            with pytest.raises(RuntimeError, match="unknown"):
                writer.append("x", {encoding: "rot13"})
        with pytest.raises(TypeError):
            writer.append(object())


async def test_a_writer_writes_to_whoever_asks() -> None:
    for close in (True, False):
        told = []
        for module in (ours, theirs):
            writer, collector = mixed(module, fill_mixed, boundary="b" * 32), Collector()
            await writer.write(collector, close_boundary=close)
            told.append(collector.data)
        assert told[0] == told[1]
    assert mixed(ours, fill_mixed, boundary="b").decode() == mixed(theirs, fill_mixed, boundary="b").decode()
    assert await mixed(ours, fill_mixed, boundary="b").as_bytes() == await mixed(theirs, fill_mixed, boundary="b").as_bytes()


@pytest.mark.parametrize("most", [0, 1, 5, 100])
async def test_a_payload_writes_a_part_of_itself(most: int) -> None:
    for make in (VALUES["bytes"], VALUES["BytesIO"], VALUES["async generator"]):
        told = []
        for module in (ours, theirs):
            collector = Collector()
            await module.get_payload(make(module)).write_with_length(collector, most)
            told.append(collector.data)
        assert told[0] == told[1]


async def test_closing_a_writer_closes_its_files(folder: Path) -> None:
    file, memory = open(folder / "a.txt", "rb"), io.BytesIO(b"x")  # noqa: ASYNC230, SIM115
    payload = payload_of({"a": file, "b": memory})
    assert not payload.consumed
    await payload.close()
    assert file.closed
    assert not memory.closed
    assert payload.consumed


async def test_over_the_wire(server: Server, folder: Path) -> None:
    async with aioreq.Client() as client:
        for data in (b"x", {"a": "b"}, {"f": (folder / "photo.png").open("rb")}, agen(), mixed(ours, fill_encoded), Counted(3)):
            payload = payload_of(data)
            content: Any = content_of(payload)
            response = await client.post(server.url + "/anything", content=content, headers=dict(payload.headers))
            assert response.status == 200
            await payload.close()
        form: Any = body_of({"a": "b ü"})[0]
        echoed = (await client.post(server.url + "/anything", content=form)).json()
        assert echoed["body"] == "a=b+%C3%BC"


async def test_a_request_that_is_cancelled_leaves_no_task(server: Server) -> None:
    class Slow(Counted):
        async def write(self, writer: Any) -> None:
            try:
                await writer.write(b"x")
                await asyncio.sleep(3600)
            finally:
                self.closed += 1

    payload = Slow(1)
    content: Any = content_of(payload)
    async with aioreq.Client() as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.post(server.url + "/anything", content=content)
    for _ in range(20):
        await asyncio.sleep(0)
    assert payload.closed == 1


# --- in a session ---


async def closed(file: Any) -> None:
    """Theirs is closed by a thread."""
    async with asyncio.timeout(10):
        while not file.closed:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("module", [ours, theirs], ids=["ours", "theirs"])
async def test_files_are_closed_once_they_were_sent(server: Server, folder: Path, module: Any) -> None:
    whole = (folder / "photo.png").read_bytes()
    received: list[bytes] = []

    async def take(request: Any) -> Any:
        received.append(request.body)
        return Reply(307, headers={"Location": "/taken"}) if request.path == "/again" else Reply(body=b"ok")

    for path in ("/again", "/taken"):
        server.route(path, take)
    async with module.ClientSession() as session:
        for path in ("/taken", "/again"):
            for wrap in (lambda file: file, lambda file: {"f": file}, lambda file: module.FormData({"f": file})):
                file = (folder / "photo.png").open("rb")
                async with session.post(server.url + path, data=wrap(file)) as response:
                    assert response.status == 200
                await closed(file)
                assert whole in received[-1]
        file = (folder / "photo.png").open("rb")
        with pytest.raises(module.ClientConnectionError):
            await session.post("http://127.0.0.1:1/", data=file)
        await closed(file)


@pytest.mark.parametrize("module", [ours, theirs], ids=["ours", "theirs"])
async def test_what_a_session_sends_is_the_same(server: Server, module: Any) -> None:
    """The head that goes with each kind of body."""
    heads: list[Any] = []

    async def take(request: Any) -> Any:
        fields = {name.lower().decode(): value.decode() for name, value in request.headers}
        heads.append((fields.get("content-type", "").split(";")[0], fields.get("content-length"), fields.get("transfer-encoding")))
        return Reply(body=b"ok")

    server.route("/take", take)
    async with module.ClientSession() as session:
        for make in (VALUES["bytes"], VALUES["text"], VALUES["dict"], VALUES["BytesIO"], VALUES["async generator"], VALUES["payload"]):
            async with session.post(server.url + "/take", data=make(module)) as response:
                assert response.status == 200
        async with session.post(server.url + "/take", json={"a": 1}) as response:
            assert response.status == 200
    assert heads == [
        ("application/octet-stream", "5", None),
        ("text/plain", "5", None),
        ("application/x-www-form-urlencoded", "33", None),
        ("application/octet-stream", "9", None),
        ("application/octet-stream", None, "chunked"),
        ("image/png", "1", None),
        ("application/json", "8", None),
    ]
