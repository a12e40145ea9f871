"""Files as bodies: sent by the system itself where it can, read in a thread elsewhere; the same bytes either way."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import io
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import aioreq
import aioreq.sendfile
import aioreq.upload
from aioreq import Timeout
from aioreq.request_body import StreamedBody
from aioreq.sendfile import WINDOW, FileSource
from aioreq.testing import Close, HalfClose, Pause, ReadBody, Reply, Request, Reset, Server, Stall, StopReading, httpbin

pytestmark = pytest.mark.usefixtures("no_hanging")

by_the_system = pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="Linux alone tells what is in memory")

PATTERN = bytes(range(251))
TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large"


def written(path: Path, size: int) -> bytes:
    data = (PATTERN * (size // 251 + 1))[:size]
    path.write_bytes(data)
    return data


def answer_to(data: bytes) -> dict[str, Any]:
    return {"length": len(data), "sha256": hashlib.sha256(data).hexdigest()}


class Spy:
    """os.sendfile, and what came of its calls."""

    def __init__(self) -> None:
        self.sent: list[int | str] = []
        self.real = os.sendfile

    def __call__(self, *args: Any) -> int:
        try:
            sent = self.real(*args)
        except OSError as error:
            self.sent.append(errno.errorcode[error.errno or 0])
            raise
        self.sent.append(sent)
        return sent

    @property
    def total(self) -> int:
        return sum(sent for sent in self.sent if isinstance(sent, int))


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    spy = Spy()
    monkeypatch.setattr(os, "sendfile", spy)
    return spy


# By the system, or by a thread


@pytest.mark.parametrize("size", [0, 1, 65_536, WINDOW, WINDOW + 1, 5_000_000])
@pytest.mark.parametrize("start", [0, 1000])
async def test_a_file_arrives_as_it_is(served: tuple[Server, aioreq.Client], tmp_path: Path, spy: Spy, size: int, start: int) -> None:
    server, client = served
    data = written(tmp_path / "file", size)
    expected = answer_to(data[start:])
    for buffering in (-1, 0):
        with (tmp_path / "file").open("rb", buffering=buffering) as file:
            file.seek(start)
            for _ in range(2):
                spy.sent.clear()
                assert (await client.put(server.url + "/upload", content=file)).json() == expected
                assert file.tell() == start  # as if nobody had read it
                if hasattr(os, "RWF_NOWAIT"):
                    assert spy.total == (0 if server.ca else expected["length"])
    assert all(request.header_values("content-length") == [str(expected["length"])] for request in server.requests)
    assert server.accepted == 1


@by_the_system
async def test_by_a_unix_socket_too(tmp_path: Path, spy: Spy) -> None:
    data = written(tmp_path / "file", 1_000_000)
    async with Server(routes=httpbin, unix=tmp_path / "socket"), aioreq.Client(unix_socket=tmp_path / "socket") as client:
        with (tmp_path / "file").open("rb") as file:
            assert (await client.put("http://anywhere/upload", content=file)).json() == answer_to(data)
    assert spy.total == len(data)


class Shouting(io.FileIO):
    """What a class of its own reads isn't what stands on the disk."""

    def read(self, size: int | None = -1, /) -> bytes:
        return (super().read(size) or b"").upper()


async def test_only_what_is_read_as_it_stands_goes_out_by_the_system(
    server: Server, client: aioreq.Client, tmp_path: Path, spy: Spy
) -> None:
    (tmp_path / "file").write_bytes(b"quietly")
    with (
        Shouting(tmp_path / "file") as own,
        io.BufferedReader(Shouting(tmp_path / "file")) as buffered,  # this one reads by readinto
        tempfile.TemporaryFile() as temporary,
        tempfile.NamedTemporaryFile() as named,
    ):
        for made in (temporary, named):
            made.write(b"not flushed yet")
            made.seek(0)
        expected: list[tuple[Any, bytes]] = [
            (own, b"QUIETLY"),
            (buffered, b"quietly"),
            (temporary, b"not flushed yet"),
            (named, b"not flushed yet"),
        ]
        for file, body in [*expected, (io.BytesIO(b"in memory"), b"in memory")]:
            for _ in range(2):
                await client.put(server.url + "/anything", content=file)
                assert server.requests[-1].body == body
    assert spy.sent == []


@by_the_system
@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
async def test_where_the_system_cannot_a_thread_reads(
    server: Server, client: aioreq.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    def refuse(*args: Any) -> int:
        raise OSError(error, os.strerror(error))

    data = written(tmp_path / "file", 600_000)
    for name in ("sendfile", "preadv"):  # a socket that isn't one, a file system that can't tell
        with monkeypatch.context() as patch, (tmp_path / "file").open("rb") as file:
            patch.setattr(os, name, refuse)
            assert (await client.put(server.url + "/upload", content=file)).json() == answer_to(data)
    monkeypatch.delattr(os, "RWF_NOWAIT")
    with (tmp_path / "file").open("rb") as file:
        assert (await client.put(server.url + "/upload", content=file)).json() == answer_to(data)


@by_the_system
async def test_what_isnt_in_memory_is_read_in_a_thread_first(
    server: Server, client: aioreq.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = written(tmp_path / "file", 3 * WINDOW + 1000)
    read: list[tuple[bool, int, int]] = []
    real = aioreq.sendfile._read

    def reading(descriptor: Any, start: int, end: int) -> None:
        read.append((threading.current_thread() is threading.main_thread(), start, end))
        real(descriptor, start, end)

    monkeypatch.setattr(aioreq.sendfile, "_read", reading)
    monkeypatch.setattr(FileSource, "in_memory", lambda source: source._known > source._at)
    with (tmp_path / "file").open("rb") as file:
        assert (await client.put(server.url + "/upload", content=file)).json() == answer_to(data)
    assert [start for _, start, _ in read] == [0, WINDOW, 2 * WINDOW, 3 * WINDOW]
    assert read[-1][2] == len(data)
    assert not any(on_the_loop for on_the_loop, _, _ in read)


@by_the_system
@pytest.mark.no_loop
def test_what_a_disk_holds_is_known(tmp_path: Path) -> None:
    path = tmp_path / "file"
    written(path, WINDOW)
    with path.open("rb") as file:
        source = FileSource.of(file, 0, WINDOW)
        if source is None:
            pytest.skip("this file system can't tell")
        assert source.in_memory()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        cold = FileSource(file, 0, WINDOW)
        if cold.in_memory():
            pytest.skip("this file system forgets nothing")
        asyncio.run(cold.read_ahead())
        assert FileSource(file, 0, WINDOW).in_memory()


# A peer that is slow, that answers early, that breaks


async def test_a_slow_peer_is_waited_for(server: Server, tmp_path: Path, spy: Spy) -> None:
    data = written(tmp_path / "file", 16_000_000)

    async def haltingly(connection: Any) -> None:
        for _ in range(30):
            connection.transport.pause_reading()
            await asyncio.sleep(0.005)
            connection.transport.resume_reading()
            await asyncio.sleep(0)

    server.script(haltingly, ReadBody(len(data)), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", path="/", on="head")
    async with aioreq.Client(timeout=Timeout(total=30, write=5)) as client:
        with (tmp_path / "file").open("rb") as file:
            assert (await client.put(server.url, content=file)).text == "ok"
    assert server.requests[0].body == data
    if hasattr(os, "RWF_NOWAIT"):
        assert "EAGAIN" in spy.sent


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Any]:
    """A file larger than all buffers on the way."""
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(64 << 20)  # sparse
    with path.open("rb") as file:
        yield file


@pytest.mark.parametrize("option", ["write", "total"])
async def test_a_peer_that_takes_nothing(served: tuple[Server, aioreq.Client], large: Any, option: str) -> None:
    server, client = served
    server.script(StopReading(), Stall(), path="/", on="head")
    with pytest.raises(aioreq.RequestTimeout, match="during the upload") as caught:
        await client.put(server.url, content=large, timeout=Timeout(**{option: 0.2}))
    assert isinstance(caught.value, aioreq.WriteTimeout if option == "write" else aioreq.TotalTimeout)
    assert (await client.get(server.url + "/id/2")).text == "2"


def more_than(requests: list[Request], count: int) -> bool:
    return len(requests) > count


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


async def test_cancelled_it_leaves_nothing(served: tuple[Server, aioreq.Client], large: Any) -> None:
    server, client = served
    server.script(StopReading(), Stall(), path="/", on="head")
    before = descriptors()
    for turns in (0, 1, 2, 3, 5, 20):
        asked = len(server.requests)
        task = asyncio.create_task(client.put(server.url, content=large))
        await server.until(partial(more_than, server.requests, asked))
        for _ in range(turns):
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await asyncio.sleep(0.01)
    # The embedded server reads nothing any more, and so knows nothing: its ends are still open.
    assert descriptors() <= before + len(server.connections)
    assert (await client.get(server.url + "/id/2")).text == "2"


@pytest.mark.parametrize(
    "end",
    [(Close(),), (Reset(),), (HalfClose(), Pause(0.01), Reset()), (Pause(0.02), Reset()), (Pause(0.02), Close())],
    ids=str,
)
@pytest.mark.parametrize("read", [0, 100_000, 3_000_000])
async def test_an_early_answer_is_read(served: tuple[Server, aioreq.Client], large: Any, end: tuple[Any, ...], read: int) -> None:
    server, client = served
    for _ in range(3):
        server.script(ReadBody(read), StopReading(), TOO_LARGE, *end, path="/", on="head")
        response = await client.put(server.url, content=large)
        assert (response.status, response.content) == (413, b"too large")
    await server.until(lambda: not server.connections)
    assert (await client.get(server.url + "/id/2")).text == "2"


async def test_an_early_answer_though_our_own_call_is_the_first_to_fail(server: Server, large: Any, spy: Spy) -> None:
    """The answer and the reset come in one moment, in which more goes out."""

    async def answer_and_reset(connection: Any) -> None:
        connection.transport.write(TOO_LARGE)
        connection.reset()

    async with aioreq.Client(retry=0) as client:
        for size in (1, 1000, 65_536, 400_000) * 5:
            server.script(ReadBody(size), answer_and_reset, path="/", on="head")
            response = await client.put(server.url, content=large)
            assert (response.status, response.content) == (413, b"too large")


@by_the_system
async def test_an_early_answer_that_only_our_own_call_knows_of(large: Any, spy: Spy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer and the reset arrive while the loop has no turn to see them; more goes out next."""

    async def answer_and_reset(connection: Any) -> None:
        connection.transport.write(TOO_LARGE)
        connection.reset()

    def blocking(done: int, total: int | None) -> None:
        time.sleep(0.2)

    monkeypatch.setattr(aioreq.upload, "BURST", 1 << 30)
    with Server() as server:  # on a thread of its own
        server.script(ReadBody(1), answer_and_reset, path="/", on="head")
        async with aioreq.Client(retry=0) as client:
            response = await client.put(server.url, content=large, progress=blocking)
            assert (response.status, response.content) == (413, b"too large")
    assert {"EPIPE", "ECONNRESET"} & set(spy.sent)


@by_the_system
async def test_a_head_that_is_still_on_its_way_goes_first(server: Server, tmp_path: Path) -> None:
    data = written(tmp_path / "file", 300_000)
    small = [(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)]
    async with aioreq.Client(socket_options=small) as client:
        with (tmp_path / "file").open("rb") as file:
            response = await client.put(server.url + "/upload", content=file, headers={"X-Large": "x" * 900_000})
    assert response.json() == answer_to(data)


async def test_an_answer_cut_by_a_reset_is_no_whole_one(server: Server, large: Any) -> None:
    async with aioreq.Client(retry=0) as client:
        for wire in (TOO_LARGE[:-4], b"HTTP/1.1 413 Content Too Large\r\n\r\ntoo l"):
            server.script(StopReading(), wire, Reset(), path="/", on="head")
            with pytest.raises(aioreq.IncompleteBody) as caught:
                await client.put(server.url, content=large)
            assert (caught.value.partial, caught.value.received) == (b"too l", 5)


@pytest.mark.parametrize("step", [Close(), Reset()], ids=["close", "reset"])
async def test_a_peer_that_goes_away(served: tuple[Server, aioreq.Client], large: Any, step: Any) -> None:
    server, client = served
    server.script(ReadBody(200_000), step, path="/", on="head")
    with pytest.raises(aioreq.ConnectionLost, match="during the upload") as caught:
        await client.put(server.url, content=large)
    assert not caught.value.response_started
    assert (await client.get(server.url + "/id/2")).text == "2"


async def test_a_streamed_answer_is_read_while_the_file_goes_out(server: Server, client: aioreq.Client, tmp_path: Path) -> None:
    data = written(tmp_path / "file", 5_000_000)

    @server.route("/echo", early=True)
    def echo(request: Request) -> Reply:
        return Reply(200, [], request.pieces())

    with (tmp_path / "file").open("rb") as file:
        async with client.stream("PUT", server.url + "/echo", content=file) as response:
            assert await response.read() == data


async def test_many_at_once_share_the_loop(server: Server, tmp_path: Path) -> None:
    """A fast peer never stops a sending; the others get their turn."""
    data = written(tmp_path / "file", 4_000_000)
    async with aioreq.Client() as client:
        with (tmp_path / "file").open("rb") as file:
            answers = await asyncio.gather(*[client.put(server.url + "/upload", content=file) for _ in range(8)])
    assert [answer.json() for answer in answers] == [answer_to(data)] * 8


# Files that change, or can't be read


async def test_what_is_appended_meanwhile_isnt_sent(served: tuple[Server, aioreq.Client], tmp_path: Path) -> None:
    server, client = served
    for size in (0, 1000, 700_000):
        data = written(tmp_path / "file", size)
        with (tmp_path / "file").open("rb") as file:
            request = aioreq.Request("PUT", server.url + "/upload", content=file)
            with (tmp_path / "file").open("ab") as other:
                other.write(b"more")
            assert (await client.send(request)).json() == answer_to(data)


async def test_a_file_that_shrinks_while_it_is_sent(served: tuple[Server, aioreq.Client], large: Any) -> None:
    server, client = served

    async def shrink(connection: Any) -> None:
        os.truncate(large.name, 1_000_000)

    server.script(ReadBody(100_000), StopReading(), shrink, ReadBody(30 << 20), Stall(), path="/", on="head")
    with pytest.raises(aioreq.LocalProtocolError, match=r"ended \d+ bytes short of its Content-Length of 67108864"):
        await client.put(server.url, content=large)


async def test_a_file_that_was_closed(served: tuple[Server, aioreq.Client], tmp_path: Path) -> None:
    server, client = served
    written(tmp_path / "file", 1000)
    with (tmp_path / "file").open("rb") as file:
        request = aioreq.Request("PUT", server.url + "/upload", content=file)
    with pytest.raises(aioreq.LocalProtocolError, match="was closed before all of it was sent"):
        await client.send(request)
    with pytest.raises(ValueError, match="closed file"):
        await client.put(server.url + "/upload", content=file)
    assert (await client.get(server.url + "/id/2")).text == "2"


@by_the_system
async def test_a_file_that_is_closed_when_its_turn_comes(server: Server, client: aioreq.Client, tmp_path: Path) -> None:
    written(tmp_path / "file", 1000)
    async with client.stream("GET", server.url + "/get"):
        pass
    with (tmp_path / "file").open("rb") as file:
        body = aioreq.Request("PUT", server.url + "/upload", content=file).body
        assert isinstance(body, StreamedBody)
        assert FileSource.of(file, 0, 1000) is not None
    assert FileSource.of(file, 0, 1000) is None  # a thread then says what happened
    with pytest.raises(aioreq.LocalProtocolError, match="was closed before all of it was sent"):
        await anext(body.chunks())


class Slow(io.BytesIO):
    """Gives little at a time, and tells where it stood meanwhile."""

    def read(self, size: int | None = -1, /) -> bytes:
        time.sleep(0.001)
        return super().read(20_000)


@pytest.mark.parametrize("kind", [io.BytesIO, Slow, "temporary"])
async def test_one_file_in_several_requests(served: tuple[Server, aioreq.Client], kind: Any) -> None:
    server, client = served
    data = (PATTERN * 4000)[10:]
    with tempfile.TemporaryFile() if kind == "temporary" else kind() as file:
        file.write(b"0123456789" + data)
        file.seek(10)
        requests = []
        for number in range(4):  # each begins while those before it are being read, but for what is read at once
            requests.append(asyncio.ensure_future(client.put(server.url + "/upload", content=file)))
            while number == 0 and file.tell() == 10 and not requests[0].done():  # noqa: ASYNC110
                await asyncio.sleep(0)
        for response in await asyncio.gather(*requests):
            assert response.json() == answer_to(data)
        assert file.tell() == 10


async def test_a_file_is_put_back_by_whom_it_was_cut_short(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    data = PATTERN * 4000
    file = Slow(data)
    file.seek(1000)
    server.script(StopReading(), Stall())
    request = asyncio.ensure_future(client.put(server.url, content=file))
    while file.tell() == 1000:  # noqa: ASYNC110
        await asyncio.sleep(0)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert (await client.put(server.url + "/upload", content=file)).json() == answer_to(data[1000:])
    assert file.tell() == 1000


class Held(io.BytesIO):
    """A read of it ends when it may."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.begun, self.may_end, self.ended = threading.Event(), threading.Event(), threading.Event()

    def read(self, size: int | None = -1, /) -> bytes:
        self.begun.set()
        self.may_end.wait(10)
        data = super().read(size)
        self.ended.set()
        return data


async def test_a_thread_that_reads_on_puts_the_file_back(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    file = Held(PATTERN * 100)
    file.seek(1000)
    request = asyncio.ensure_future(client.put(server.url + "/upload", content=file))
    await asyncio.to_thread(file.begun.wait, 10)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    file.may_end.set()
    await asyncio.to_thread(file.ended.wait, 10)
    async with asyncio.timeout(10):
        while file.tell() != 1000:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_a_directory_is_refused_by_the_system_itself(server: Server, client: aioreq.Client, tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="directory"):
            await client.put(server.url + "/upload", content=os.fdopen(descriptor, "rb", closefd=False))
    finally:
        os.close(descriptor)


async def test_a_pipe_is_sent_as_it_comes(served: tuple[Server, aioreq.Client]) -> None:
    """What a program has written goes out while it is still at work."""
    server, client = served
    code = "import sys; print('first', flush=True); sys.stdin.read(); print('last')"
    came: asyncio.Queue[bytes] = asyncio.Queue()

    @server.route("/early", early=True)
    async def early(request: Request) -> str:
        async for piece in request.pieces():
            came.put_nowait(piece)
        return "taken"

    with subprocess.Popen(  # noqa: ASYNC220 - a file of the system's, as users have it
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        task = asyncio.create_task(client.put(server.url + "/early", content=program.stdout))
        assert (await came.get()).split() == [b"first"]
        program.stdin.close()
        assert (await task).text == "taken"
    assert b"".join([came.get_nowait() for _ in range(came.qsize())]).split() == [b"last"]


# What it costs


RESIDENT = """
import asyncio, sys
import aioreq

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096

async def pieces(path):
    with open(path, "rb") as file:
        while piece := file.read(100_000):
            yield piece

async def main(url, path, how, verify):
    async with aioreq.Client(verify=verify or True) as client:
        before = most = 0
        def look(done, total):
            nonlocal before, most
            before = before or resident() * (done > 20_000_000)
            most = max(most, resident())
        with open(path, "rb") as file:
            response = await client.put(url, content=file if how == "file" else pieces(path), progress=look)
        print(response.json()["length"], most - before)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.no_loop
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads /proc")
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("how", ["file", "generator"])
def test_memory_stays_flat(tmp_path: Path, how: str, secure: bool) -> None:
    size = 200 << 20
    with (tmp_path / "file").open("wb") as file:
        file.truncate(size)
    with Server(tls=secure, record=False) as server:

        @server.route("/count", early=True)
        async def count(request: Request) -> dict[str, int]:
            async for _ in request.pieces():
                pass
            return {"length": request.received}

        arguments = [server.url + "/count", str(tmp_path / "file"), how, str(server.ca or "")]
        done = subprocess.run([sys.executable, "-c", RESIDENT, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    sent, growth = map(int, done.stdout.split())
    assert sent == size
    assert growth < 4 << 20
