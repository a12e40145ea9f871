"""UploadTracker, on the face and on aiohttp; and what the pieces of a body are."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from aioreq.testing import Close, ReadBody, ReadHead, Server, Stall

SIZE = 300_000


async def pieces(size: int = SIZE) -> AsyncIterator[bytes]:
    for _ in range(size // 1000):
        yield b"x" * 1000


async def settled(tracker: Any) -> BaseException | None:
    await asyncio.wait([tracker.upload_complete], timeout=10)
    assert tracker.upload_complete.done()
    error: BaseException | None = tracker.upload_complete.exception()
    return error


@pytest.mark.parametrize("what", ["bytes", "file", "generator", "chunked"])
async def test_a_body_that_is_sent(lib: Any, web: Any, tmp_path: Path, what: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * SIZE)
    tracker = lib.UploadTracker()
    assert (tracker.attempts, tracker.bytes_written, tracker.upload_complete.done()) == (0, 0, False)
    with path.open("rb") as file:
        data = {"bytes": b"x" * SIZE, "chunked": b"x" * SIZE, "file": file, "generator": pieces()}[what]
        options = {"chunked": True} if what == "chunked" else {}
        async with lib.ClientSession() as session, session.post(web.url, data=data, upload_tracker=tracker, **options) as response:
            assert len((await response.json())["body"]) == SIZE
    assert await settled(tracker) is None
    assert (tracker.attempts, tracker.bytes_written) == (1, SIZE)


async def test_no_body(lib: Any, web: Any) -> None:
    tracker = lib.UploadTracker()
    async with lib.ClientSession() as session, session.get(web.url, upload_tracker=tracker):
        pass
    assert await settled(tracker) is None
    assert (tracker.attempts, tracker.bytes_written) == (1, 0)


async def test_each_hop_is_an_attempt(lib: Any) -> None:
    async with Server() as server:
        server.script(b"HTTP/1.1 307 There\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n", path="/a")
        tracker = lib.UploadTracker()
        async with lib.ClientSession() as session, session.post(server.url + "/a", data=b"body", upload_tracker=tracker):
            pass
        assert await settled(tracker) is None
        assert (tracker.attempts, tracker.bytes_written) == (2, 4)


async def test_one_is_for_one_request(lib: Any, web: Any) -> None:
    tracker = lib.UploadTracker()
    async with lib.ClientSession() as session:
        await (await session.get(web.url, upload_tracker=tracker)).read()
        with pytest.raises(RuntimeError, match="already bound"):
            await session.get(web.url, upload_tracker=tracker)
    assert await settled(tracker) is None


async def test_one_that_is_never_sent(lib: Any) -> None:
    tracker = lib.UploadTracker()
    async with lib.ClientSession() as session:
        with pytest.raises(lib.ClientConnectorError):
            await session.post("http://127.0.0.1:1/", data=b"x", upload_tracker=tracker)
    assert isinstance(await settled(tracker), lib.UploadAbortedError)
    assert tracker.attempts == 1


async def test_a_body_that_raises(lib: Any, web: Any) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise ValueError("oh no")

    tracker = lib.UploadTracker()
    async with lib.ClientSession() as session:
        with pytest.raises(lib.ClientConnectionError):
            await session.post(web.url, data=broken(), upload_tracker=tracker)
    assert isinstance(await settled(tracker), lib.ClientConnectionError)


async def test_cancelled(lib: Any) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        await asyncio.sleep(60)

    async with Server() as server:
        server.script(ReadHead(), ReadBody(1000), Stall(), on="accept")
        tracker = lib.UploadTracker()
        async with lib.ClientSession() as session:
            waiting = asyncio.ensure_future(session.post(server.url, data=endless(), upload_tracker=tracker))
            while tracker.bytes_written < 1000:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            assert not tracker.upload_complete.done()
            waiting.cancel()
            await asyncio.wait([waiting])
            assert isinstance(await settled(tracker), lib.UploadAbortedError)


async def test_an_early_answer(lib: Any) -> None:
    async with Server() as server:
        server.script(ReadHead(), b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno", Close(), on="accept")
        async with lib.ClientSession() as session, session.post(server.url, data=pieces()) as response:
            assert (response.status, await response.text()) == (413, "no")


@pytest.mark.parametrize(
    "make", [lambda: io.BytesIO(b"file"), lambda: io.StringIO("file"), lambda: [("field", "x")]], ids=["bytes", "text", "form"]
)
async def test_bodies_go_along_redirects(lib: Any, make: Any) -> None:
    async with Server() as server:
        server.script(b"HTTP/1.1 307 There\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n", path="/a")
        async with lib.ClientSession() as session, session.post(server.url + "/a", data=make()):
            pass
        first, second = server.requests
        assert first.body
        assert (first.body, first.header("content-type")) == (second.body, second.header("content-type"))
