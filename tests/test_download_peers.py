"""Downloads from nginx, which knows ranges and ETags by heart; and a large one, interrupted again and again, whose memory is watched."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from peers import FILES, WebServer, content

import aioreq
from aioreq import Client
from aioreq.testing import Reply, Request, Server

LARGE = content(FILES["large"])
SIZE = int(os.environ.get("AIOREQ_DOWNLOAD_MB", "100")) * 1_000_000  # of the interrupted download
WARM = 20_000_000  # of one before, which is interrupted once
CUTS = 50
GROWTH = 4 * 1024  # KiB


class EnoughError(Exception):
    """What a test ends a download with."""


def until(size: int) -> Callable[[int, int | None], None]:
    """Progress that ends the download once so much is here."""

    def progress(done: int, total: int | None) -> None:
        if done >= size:
            raise EnoughError

    return progress


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    import aioreq.saving

    monkeypatch.setattr(aioreq.saving, "BLOCK", 16 * 1024)


@pytest.fixture
def file(nginx: WebServer) -> Path:
    """A file of nginx's for one test to change."""
    path = nginx.folder / "files" / "changing"
    path.write_bytes(LARGE)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    return path


def change(file: Path, data: bytes) -> None:
    """New bytes, of another time."""
    file.write_bytes(data)
    os.utime(file, (1_000_000_001, 1_000_000_001))


async def test_nginx_goes_on_where_it_stopped(client: Client, nginx: WebServer, file: Path, tmp_path: Path, small_blocks: None) -> None:
    url = nginx.url + "/files/changing"
    for size in (100_000, 350_000, 600_000):
        with pytest.raises(EnoughError):
            await client.download(url, tmp_path / "out", resume=True, progress=until(size))
        assert size <= (tmp_path / ".out.part").stat().st_size < size + 300_000
    seen: list[int] = []
    done = await client.download(url, tmp_path / "out", resume=True, progress=lambda at, total: seen.append(at))
    assert (done.response.status, done.path.read_bytes() == LARGE) == (206, True)
    assert seen[0] >= 600_000


async def test_nginx_has_another_file_meanwhile(client: Client, nginx: WebServer, file: Path, tmp_path: Path, small_blocks: None) -> None:
    url = nginx.url + "/files/changing"
    with pytest.raises(EnoughError):
        await client.download(url, tmp_path / "out", resume=True, progress=until(500_000))
    change(file, LARGE[::-1])
    done = await client.download(url, tmp_path / "out", resume=True)
    assert (done.response.status, done.path.read_bytes() == LARGE[::-1]) == (200, True)


async def test_nginx_has_a_shorter_file_meanwhile(client: Client, nginx: WebServer, file: Path, tmp_path: Path, small_blocks: None) -> None:
    url = nginx.url + "/files/changing"
    with pytest.raises(EnoughError):
        await client.download(url, tmp_path / "out", resume=True, progress=until(500_000))
    change(file, b"short")
    assert (await client.download(url, tmp_path / "out", resume=True)).path.read_bytes() == b"short"
    change(file, b"")
    assert (await client.download(url, tmp_path / "out", resume=True)).size == 0


async def test_nginx_says_that_there_is_nothing_behind_the_end(client: Client, nginx: WebServer, file: Path, tmp_path: Path) -> None:
    url = nginx.url + "/files/changing"
    with pytest.raises(EnoughError):
        await client.download(url, tmp_path / "out", resume=True, progress=until(FILES["large"]))
    assert (tmp_path / ".out.part").read_bytes() == LARGE
    done = await client.download(url, tmp_path / "out", resume=True)
    assert (done.response.status, done.path.read_bytes() == LARGE) == (416, True)


@pytest.mark.parametrize("origin", ["url", "tls_url"])
async def test_nginx_gives_several_ranges_at_once(nginx: WebServer, file: Path, tmp_path: Path, origin: str) -> None:
    digest = hashlib.sha256(LARGE).hexdigest()
    async with Client(verify=str(nginx.ca)) as client:
        url = getattr(nginx, origin) + "/files/changing"
        assert (await client.download(url, tmp_path / "out", ranges=3, sha256=digest)).size == FILES["large"]
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("path", ["/chunked/large", "/packed/large", "/files/empty", "/files/small"])
async def test_nginx_in_other_ways(client: Client, nginx: WebServer, tmp_path: Path, path: str) -> None:
    done = await client.download(nginx.url + path, tmp_path, resume=True, ranges=4)
    assert done.path.read_bytes() == content(FILES[done.path.name])


DOWNLOAD = """
import asyncio, sys
import aioreq

async def main(url, path, digest):
    async with aioreq.Client() as client:
        retry = aioreq.Retry(attempts=3, backoff=0)
        await client.download(url + "?warm", path, retry=retry, sha256="WARM")
        before = memory("VmRSS")
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak counts from here
        await client.download(url, path, retry=retry, sha256=digest)
        print(before, memory("VmHWM"))

def memory(what):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(what))

asyncio.run(main(*sys.argv[1:]))
"""


def block_of(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest() * 2048


@pytest.mark.slow
@pytest.mark.longer
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_a_large_download_interrupted_again_and_again(tmp_path: Path) -> None:
    chance = random.Random(5)
    cuts = sorted(chance.sample(range(1, SIZE), CUTS))
    asked: list[int] = []
    step = len(block_of(0))

    def digest_of(size: int) -> str:
        digest = hashlib.sha256()
        for number in range(-(-size // step)):
            digest.update(block_of(number)[: size - number * step])
        return digest.hexdigest()

    async def pieces(start: int, end: int) -> AsyncIterator[bytes]:
        while start < end:
            number, offset = divmod(start, step)
            piece = block_of(number)[offset : offset + end - start]
            start += len(piece)
            yield piece

    def answer(request: Request) -> Reply:
        size, at = (WARM, [WARM // 2]) if request.target.endswith(b"?warm") else (SIZE, cuts)
        value = request.header("range")
        start = 0 if value is None else int(value.removeprefix("bytes=").removesuffix("-"))
        if size == SIZE:
            asked.append(start)
        end = next((cut for cut in at if cut > start), size)
        fields = [("ETag", '"big"'), ("Content-Length", str(size - start))]
        if value is not None:
            fields.append(("Content-Range", f"bytes {start}-{size - 1}/{size}"))
        return Reply(206 if value else 200, fields, pieces(start, end), close=end < size)

    with Server(record=False) as server:
        server.route("/big", answer)
        script = DOWNLOAD.replace("WARM", digest_of(WARM))
        arguments = [sys.executable, "-c", script, server.url + "/big", str(tmp_path / "out"), digest_of(SIZE)]
        environment = {**os.environ, "PYTHONPATH": str(Path(aioreq.__file__).parent.parent), "PYTHONASYNCIODEBUG": ""}
        done = subprocess.run(arguments, env=environment, capture_output=True, encoding="utf-8", timeout=280, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert asked == [0, *cuts]
    before, peak = map(int, done.stdout.split())
    assert peak - before < GROWTH, f"{before} KiB before, {peak} KiB at most"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    print(f"{SIZE} bytes, {CUTS} cuts: {before} KiB before, {peak} KiB at most")
