"""What aiohttp's quickstart shows of its client, line for line as its users write it: only the import is another.

Each runs on the face and on aiohttp, against aiohttp.web and the embedded server.
"""

# ruff: noqa: SIM117  (one `async with` in another, as users write it)

from __future__ import annotations

import asyncio
import io
import json
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from .documentation_site import PICTURE, Site

# Requests


async def test_a_first_request(aiohttp: Any, site: Site) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{site.url}/events") as response:
            assert response.status == 200
            assert response.headers["content-type"] == "text/plain; charset=utf-8"
            html = await response.text()
            assert html[:5] == "héllo"


async def test_every_verb(aiohttp: Any, site: Site) -> None:
    async with aiohttp.ClientSession() as session:
        await session.post(f"{site.url}/post", data=b"data")
        await session.put(f"{site.url}/put", data=b"data")
        await session.delete(f"{site.url}/delete")
        await session.head(f"{site.url}/get")
        await session.options(f"{site.url}/get")
        await session.patch(f"{site.url}/patch", data=b"data")
    told = [(seen.method, seen.path, seen.body) for seen in site.seen]
    assert told == [
        ("POST", "/post", b"data"),
        ("PUT", "/put", b"data"),
        ("DELETE", "/delete", b""),
        ("HEAD", "/get", b""),
        ("OPTIONS", "/get", b""),
        ("PATCH", "/patch", b"data"),
    ]


async def test_a_base_url(aiohttp: Any, site: Site) -> None:
    async with aiohttp.ClientSession(site.url) as session:
        async with session.get("/get"):
            pass
        async with session.post("/post", data=b"data"):
            pass
        async with session.put("/put", data=b"data"):
            pass
    assert [(seen.method, seen.path) for seen in site.seen] == [("GET", "/get"), ("POST", "/post"), ("PUT", "/put")]


async def test_parameters_of_a_url(aiohttp: Any, site: Site) -> None:
    async with aiohttp.ClientSession() as session:
        params: Any = {"key1": "value1", "key2": "value2"}
        async with session.get(f"{site.url}/get", params=params) as resp:
            assert str(resp.url) == f"{site.url}/get?key1=value1&key2=value2"
        params = [("key", "value1"), ("key", "value2")]
        async with session.get(f"{site.url}/get", params=params) as r:
            assert str(r.url) == f"{site.url}/get?key=value1&key=value2"
        async with session.get(f"{site.url}/get", params="key=value+1") as r:
            assert str(r.url) == f"{site.url}/get?key=value+1"
        await session.get(URL(f"{site.url}/%30", encoded=True))
        assert site.last.target == "/%30"
        await session.get(f"{site.url}/путь/%30")
        assert site.last.target == "/%D0%BF%D1%83%D1%82%D1%8C/0"


# Contents of a response


async def test_text_and_bytes(aiohttp: Any, site: Site) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{site.url}/legacy") as resp:
            assert await resp.text(encoding="windows-1251") == "привет"
            assert await resp.read() == "привет".encode("windows-1251")
        async with session.get(f"{site.url}/gzip") as resp:
            assert await resp.read() == b'{"gzipped": true}'
        async with session.get(f"{site.url}/gzip") as resp:
            assert await resp.json() == {"gzipped": True}


async def test_json_of_another_type(aiohttp: Any, site: Site) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{site.url}/events") as resp:
        with pytest.raises(aiohttp.ContentTypeError) as caught:
            await resp.json()
        assert (caught.value.status, caught.value.request_info.url) == (200, URL(f"{site.url}/events"))
        with pytest.raises(json.JSONDecodeError):
            await resp.json(content_type=None)


async def test_a_charset_that_is_guessed(aiohttp: Any, site: Site) -> None:
    def guess(response: Any, body: bytes) -> str:
        assert response.content_type == "text/plain"
        return "windows-1251" if body[0] >= 0xC0 else "utf-8"

    async with aiohttp.ClientSession(fallback_charset_resolver=guess) as session, session.get(f"{site.url}/legacy") as resp:
        assert await resp.text() == "привет"


async def test_a_response_that_streams(aiohttp: Any, site: Site, tmp_path: Path) -> None:
    filename = tmp_path / "logo.png"
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{site.url}/picture") as resp:
            assert await resp.content.read(10) == PICTURE[:10]
        async with session.get(f"{site.url}/picture") as resp:
            with filename.open("wb") as fd:
                async for chunk in resp.content.iter_chunked(1024):
                    assert len(chunk) <= 1024
                    fd.write(chunk)
        assert filename.read_bytes() == PICTURE
        async with session.get(f"{site.url}/picture") as resp:
            assert b"".join([chunk async for chunk in resp.content.iter_any()]) == PICTURE
        async with session.get(f"{site.url}/picture") as resp:
            received = b""
            async for data, _ in resp.content.iter_chunks():
                received += data
            assert received == PICTURE
        async with session.get(f"{site.url}/picture") as resp:
            received = b""
            while True:
                chunk = await resp.content.read(4096)
                if not chunk:
                    break
                received += chunk
            assert received == PICTURE
        async with session.get(f"{site.url}/events") as resp:
            assert [line async for line in resp.content] == ["héllo wörld".encode()]


async def test_a_status_that_is_an_error(aiohttp: Any, site: Site) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{site.url}/status/404") as resp:
            assert not resp.ok
            assert await resp.text() == "so it is"
            with pytest.raises(aiohttp.ClientResponseError) as caught:
                resp.raise_for_status()
        assert (caught.value.status, caught.value.message) == (404, "Not Found")
        with pytest.raises(aiohttp.ClientResponseError):
            await session.get(f"{site.url}/status/500", raise_for_status=True)
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        with pytest.raises(aiohttp.ClientResponseError, match="404"):
            await session.get(f"{site.url}/status/404")

    async def custom_check(response: Any) -> None:
        if response.status >= 400:
            raise RuntimeError(await response.text())

    async with aiohttp.ClientSession(raise_for_status=custom_check) as session:
        with pytest.raises(RuntimeError, match="so it is"):
            await session.get(f"{site.url}/status/418")


# Bodies


async def test_a_json_body(aiohttp: Any, site: Site) -> None:
    async with aiohttp.ClientSession() as session:
        await session.post(f"{site.url}/post", json={"test": "object"})
    assert (site.last.field("content-type"), json.loads(site.last.body)) == ("application/json", {"test": "object"})

    def compact(value: Any) -> str:
        return json.dumps(value, separators=(",", ":"))

    async with aiohttp.ClientSession(json_serialize=compact) as session:
        await session.post(f"{site.url}/post", json={"test": ["object"]})
    assert site.last.body == b'{"test":["object"]}'


async def test_forms_and_bytes(aiohttp: Any, site: Site) -> None:
    async with aiohttp.ClientSession() as session:
        payload = {"key1": "value1", "key2": "value 2"}
        async with session.post(f"{site.url}/post", data=payload) as resp:
            assert (await resp.json())["data"] == "key1=value1&key2=value+2"
        assert site.last.form() == payload
        await session.post(f"{site.url}/post", data=[("key", "1"), ("key", "2")])
        assert site.last.body == b"key=1&key=2"
        await session.post(f"{site.url}/post", data=b"\x00Binary-data\x00")
        assert (site.last.body, site.last.field("content-type")) == (b"\x00Binary-data\x00", "application/octet-stream")
        await session.post(f"{site.url}/post", data="тест")
        assert (site.last.body, site.last.field("content-type")) == ("тест".encode(), "text/plain; charset=utf-8")
        await session.post(f"{site.url}/post", data=json.dumps({"some": "data"}), headers={"Content-Type": "application/json"})
        assert (site.last.body, site.last.field("content-type")) == (b'{"some": "data"}', "application/json")


async def test_a_file_in_a_form(aiohttp: Any, site: Site, tmp_path: Path) -> None:
    path = tmp_path / "report.xls"
    path.write_bytes(b"\x00cells\xff")
    async with aiohttp.ClientSession() as session:
        files = {"file": path.open("rb")}
        await session.post(f"{site.url}/post", data=files)
        name, _, content = site.last.form()["file"]
        assert (name, content) == ("report.xls", b"\x00cells\xff")

        data = aiohttp.FormData()
        data.add_field("file", path.open("rb"), filename="other.xls", content_type="application/vnd.ms-excel")
        data.add_field("note", "für dich")
        await session.post(f"{site.url}/post", data=data)
        assert site.last.form() == {"file": ("other.xls", "application/vnd.ms-excel", b"\x00cells\xff"), "note": "für dich"}

        await session.post(f"{site.url}/post", data={"a": "b", "f": io.StringIO("text")})
        form = site.last.form()
        assert form["a"] == "b"
        assert "text" in str(form["f"])


async def test_uploads_that_stream(aiohttp: Any, site: Site, tmp_path: Path) -> None:
    path = tmp_path / "massive-body"
    path.write_bytes(PICTURE)

    async def file_sender(file_name: Path) -> AsyncIterator[bytes]:
        with file_name.open("rb") as f:
            while chunk := f.read(64 * 1024):
                await asyncio.sleep(0)
                yield chunk

    async with aiohttp.ClientSession() as session:
        with path.open("rb") as f:
            await session.post(f"{site.url}/post", data=f)
        assert (site.last.body, site.last.field("content-length")) == (PICTURE, str(len(PICTURE)))
        async with session.post(f"{site.url}/post", data=file_sender(path)) as resp:
            assert len((await resp.json())["data"]) == len(PICTURE)
        assert (site.last.body, site.last.field("transfer-encoding")) == (PICTURE, "chunked")


async def test_one_response_feeds_another_request(aiohttp: Any, site: Site) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{site.url}/picture") as resp:
            async with session.post(f"{site.url}/post", data=resp.content) as second:
                assert second.status == 200
    assert (site.last.method, site.last.body) == ("POST", PICTURE)


async def test_a_body_that_is_compressed_before(aiohttp: Any, site: Site) -> None:
    async with aiohttp.ClientSession() as session:
        headers = {"Content-Encoding": "deflate"}
        await session.post(f"{site.url}/post", data=zlib.compress(b"hello, world"), headers=headers)
        await session.post(f"{site.url}/post", data=b"hello, world", compress="deflate")
    for seen in site.seen:
        assert (seen.field("content-encoding"), zlib.decompress(seen.body)) == ("deflate", b"hello, world")


async def test_a_multipart_body_and_response(aiohttp: Any, site: Site) -> None:
    async with aiohttp.ClientSession() as session:
        with aiohttp.MultipartWriter("mixed") as writer:
            writer.append("hello")
            writer.append(b"aiohttp", {"X-Part": "second"})
            writer.append_json({"test": "passed"})
            writer.append_form([("key", "value")])
            await session.post(f"{site.url}/post", data=writer)
        assert (site.last.field("content-type") or "").startswith("multipart/mixed; boundary=")
        assert [line for line in (b"hello", b"X-Part: second", b'{"test": "passed"}', b"key=value") if line not in site.last.body] == []

        metadata, texts = None, []
        async with session.get(f"{site.url}/parts") as resp:
            reader = aiohttp.MultipartReader.from_response(resp)
            while True:
                part = await reader.next()
                if part is None:
                    break
                if isinstance(part, aiohttp.MultipartReader):
                    texts += [await nested.text() async for nested in part]
                elif part.headers[aiohttp.hdrs.CONTENT_TYPE] == "application/json":
                    metadata = await part.json()
                else:
                    texts.append(f"{part.filename}: {await part.text()}")
        assert (metadata, texts) == ({"part": 1}, ["two.txt: second", "nested"])


# Time


async def test_timeouts(aiohttp: Any, site: Site) -> None:
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        with pytest.raises(asyncio.TimeoutError):
            async with session.get(f"{site.url}/slow", timeout=aiohttp.ClientTimeout(total=0.1)):
                pass
        with pytest.raises(aiohttp.ServerTimeoutError):
            await session.get(f"{site.url}/slow", timeout=aiohttp.ClientTimeout(total=None, sock_read=0.1))
        no_limit = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None, ceil_threshold=5)
        async with session.get(f"{site.url}/events", timeout=no_limit) as resp:
            assert resp.status == 200


async def test_many_at_once(aiohttp: Any, site: Site) -> None:
    async def fetch(session: Any, number: int) -> Any:
        async with session.get(f"{site.url}/get", params={"n": number}) as response:
            return (await response.json())["args"]

    async with aiohttp.ClientSession() as session:
        results = await asyncio.gather(*[fetch(session, number) for number in range(20)])
    assert results == [[["n", str(number)]] for number in range(20)]


async def test_the_basic_call(aiohttp: Any, site: Site) -> None:
    async with aiohttp.request("GET", f"{site.url}/events") as resp:
        assert resp.status == 200
        assert await resp.text() == "héllo wörld"
