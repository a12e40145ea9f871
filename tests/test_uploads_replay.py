"""The same body once more: where a redirect leads, with a password, after a connection that broke; and what can't be sent again."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import aioreq
from aioreq.testing import Close, ReadBody, Reply, Request, Reset, Server

pytestmark = pytest.mark.usefixtures("no_hanging")

DATA = bytes(range(251)) * 2000
SHA256 = hashlib.sha256(DATA).hexdigest()


class Chunks:
    """An iterable that begins anew each time."""

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(DATA), 10_000):
            yield DATA[start : start + 10_000]


class AsyncChunks:
    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in Chunks():
            await asyncio.sleep(0)
            yield chunk


class Pipe(io.RawIOBase):
    """A file that can't seek."""

    def __init__(self) -> None:
        self.chunks = iter(Chunks())

    def read(self, size: int = -1) -> bytes:
        return next(self.chunks, b"")


def opened() -> Any:
    file = tempfile.NamedTemporaryFile()  # noqa: SIM115 - whoever asks closes it
    file.write(DATA)
    file.flush()
    return open(file.name, "rb"), file


REPLAYABLE: dict[str, Callable[[], Any]] = {
    "bytes": lambda: DATA,
    "list": lambda: list(Chunks()),
    "iterable": Chunks,
    "asynchronous iterable": AsyncChunks,
    "file in memory": lambda: io.BytesIO(DATA),
    "file": opened,
}
ONCE: dict[str, Callable[[], Any]] = {
    "generator": lambda: iter(Chunks()),
    "asynchronous generator": lambda: aiter(AsyncChunks()),
    "map": lambda: map(bytes, Chunks()),
    "pipe": Pipe,
}


@pytest.fixture
def content(request: pytest.FixtureRequest) -> Iterator[Any]:
    made = {**REPLAYABLE, **ONCE}[request.param]()
    if not isinstance(made, tuple):
        yield made
        return
    file, temporary = made
    with file, temporary:
        yield file


replayable = pytest.mark.parametrize("content", REPLAYABLE, indirect=True)
once = pytest.mark.parametrize("content", ONCE, indirect=True)


@pytest.fixture
async def retrying() -> AsyncIterator[aioreq.Client]:
    async with aioreq.Client(retry=aioreq.Retry(attempts=1, backoff=0)) as client:
        yield client


def whole(server: Server) -> list[tuple[str, str]]:
    """The requests that arrived to their end, and the digests of their bodies."""
    return [(request.path, hashlib.sha256(request.body).hexdigest()) for request in server.requests if request.complete]


@replayable
@pytest.mark.parametrize("status", [307, 308])
async def test_where_a_redirect_leads(served: tuple[Server, aioreq.Client], content: Any, status: int) -> None:
    server, client = served
    server.route("/from", lambda request: Reply(status, [("Location", "/upload")]))
    server.route("/early", lambda request: Reply(status, [("Location", "/from")], close=True), early=True)
    assert (await client.post(server.url + "/early", content=content)).json()["sha256"] == SHA256
    assert whole(server)[-2] == ("/from", SHA256)
    assert [request.path for request in server.requests] == ["/early", "/from", "/upload"]


@replayable
@pytest.mark.parametrize("scheme", ["basic", "digest"])
async def test_with_a_password(server: Server, client: aioreq.Client, content: Any, scheme: str) -> None:
    path = "/basic-auth/ann/p" if scheme == "basic" else "/digest-auth/auth/ann/p"
    response = await client.request("GET", server.url + path, content=content, auth=("ann", "p"))
    assert response.json()["user"] == "ann"
    assert whole(server) == [(path, SHA256)] * 2


@replayable
@pytest.mark.parametrize("step", [Close(), Reset()], ids=["close", "reset"])
async def test_after_a_connection_that_broke(server: Server, retrying: aioreq.Client, content: Any, step: Any) -> None:
    server.script(ReadBody(100_000), step, path="/upload", on="head")
    response = await retrying.put(server.url + "/upload", content=content)
    assert response.json()["sha256"] == SHA256
    assert len(response.attempts) == 1
    assert (len(server.requests), server.requests[-1].complete) == (2, True)


@replayable
async def test_after_an_idle_connection_that_was_dead(server: Server, content: Any) -> None:
    async with aioreq.Client(retry=0) as client:
        await client.get(server.url + "/id/1")
        server.script(Close(), path="/upload", on="head")
        assert (await client.put(server.url + "/upload", content=content)).json()["sha256"] == SHA256


@once
async def test_a_redirect_of_what_was_read_already(served: tuple[Server, aioreq.Client], content: Any) -> None:
    server, client = served
    server.route("/from", lambda request: Reply(307, [("Location", "/upload")]))
    with pytest.raises(
        aioreq.LocalProtocolError, match=r"redirects \(307\) to .*/upload.*can't be sent again: give bytes, a list or a file"
    ):
        await client.post(server.url + "/from", content=content)
    assert [request.path for request in server.requests] == ["/from"]
    assert (await client.get(server.url + "/id/2")).text == "2"


@once
async def test_a_401_to_what_was_read_already_is_the_answer(server: Server, client: aioreq.Client, content: Any) -> None:
    response = await client.request("GET", server.url + "/basic-auth/ann/p", content=content, auth=("ann", "p"))
    assert response.status == 401
    assert len(server.requests) == 1
    # By now it is known how this server asks, and the next one needs no second sending.
    again = await client.request("GET", server.url + "/basic-auth/ann/p", content=iter(Chunks()), auth=("ann", "p"))
    assert (again.status, len(server.requests)) == (200, 2)


@once
async def test_a_broken_connection_under_what_was_read_already(server: Server, retrying: aioreq.Client, content: Any) -> None:
    server.script(ReadBody(1000), Reset(), path="/upload", on="head")
    with pytest.raises(aioreq.ConnectionLost) as caught:
        await retrying.put(server.url + "/upload", content=content)
    assert any("can't be sent again: give bytes, a list or a file" in note for note in caught.value.__notes__)
    assert len(server.requests) == 1


@once
async def test_the_same_once_more_by_hand(server: Server, client: aioreq.Client, content: Any) -> None:
    request = aioreq.Request("PUT", server.url + "/upload", content=content)
    assert (await client.send(request)).json()["sha256"] == SHA256
    with pytest.raises(aioreq.LocalProtocolError, match="already read and can't be sent again"):
        await client.send(request)
    assert (await client.get(server.url + "/id/2")).text == "2"


async def test_a_file_closed_before_the_second_sending(server: Server, client: aioreq.Client, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    with (tmp_path / "file").open("rb") as file:

        def moved(request: Request) -> Reply:
            file.close()
            return Reply(307, [("Location", "/upload")])

        server.route("/from", moved)
        with pytest.raises(aioreq.LocalProtocolError, match="closed before all of it was sent"):
            await client.post(server.url + "/from", content=file)


# An early redirect, a connection that breaks on the way, and at last all of it: once


LARGE = int(os.environ.get("AIOREQ_LARGE_UPLOAD", 64 << 20))  # bytes


@pytest.mark.timeout(600)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_through_a_redirect_and_a_broken_connection_it_arrives_once_and_whole(tmp_path: Path, secure: bool) -> None:
    path, block = tmp_path / "large", os.urandom(1 << 20)
    expected = hashlib.sha256()
    with path.open("wb") as file:
        for number in range(LARGE >> 20):
            piece = number.to_bytes(8, "big") + block[8:]
            file.write(piece)
            expected.update(piece)
    arrived: list[tuple[int, str]] = []
    begun = 0

    with Server(tls=secure, record=False) as server:

        @server.route("/from", early=True)
        async def moved(request: Request) -> Reply:
            return Reply(307, [("Location", "/to")], close=True)

        @server.route("/to", early=True)
        async def take(request: Request) -> Reply:
            nonlocal begun
            begun += 1
            got = hashlib.sha256()
            first = begun == 1
            async for piece in request.pieces():
                got.update(piece)
                if first and request.received > LARGE // 2:
                    for connection in list(server.connections):
                        connection.reset()
            if request.complete:
                arrived.append((request.received, got.hexdigest()))
            return Reply(201)

        async with aioreq.Client(verify=server.ca or True, retry=aioreq.Retry(attempts=1, backoff=0), timeout=None) as client:
            with path.open("rb") as source:
                response = await client.put(server.url + "/from", content=source)
    assert response.status == 201
    assert [head.status for head in response.redirects] == [307]
    assert begun == 2
    assert arrived == [(path.stat().st_size, expected.hexdigest())]
    path.unlink()


# What an iterable may do


async def test_an_iterable_that_closes_the_client(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    closed = asyncio.Event()

    async def closing() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            await client.close()
            for _ in range(100):
                yield b"x" * 100_000
        finally:
            closed.set()

    with pytest.raises((aioreq.ClientClosed, aioreq.ConnectionLost)):
        await client.post(server.url + "/upload", content=closing())
    await closed.wait()  # and the fixture finds no task that waits for ever


async def test_tiny_chunks_leave_the_loop_its_turns(server: Server, client: aioreq.Client) -> None:
    """A thousand writes take as long as some hundred kilobytes, whatever is in them."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    at_first, at_last = [], []

    def tiny() -> Iterator[bytes]:
        at_first.append(turns)
        for _ in range(10_000):
            yield b"x"
        at_last.append(turns)

    await client.post(server.url + "/upload", content=tiny())
    counting.cancel()
    assert at_last[0] - at_first[0] >= 50
