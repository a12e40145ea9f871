"""Client.download: whole or not at all, gone on with where it stopped, and nothing believed that doesn't fit."""

from __future__ import annotations

import asyncio
import gc
import gzip
import hashlib
import json
import os
import signal
import stat
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cancelling import Cancelling
from files import DATE, Files, pattern

import aioreq
import aioreq.saving
from aioreq import Client, Download, Retry
from aioreq.partial_file import PartialFile
from aioreq.testing import Close, Pause, Reply, Script, Server, Stall
from aioreq.testing import Request as Received

if sys.platform != "win32":
    import resource

DATA = pattern(1000)
LARGE = pattern(2_000_000, seed=2)
PERSISTENT = Retry(attempts=3, backoff=0)
Head = tuple[int, list[tuple[str, str]], bytes]

pytestmark = pytest.mark.usefixtures("no_hanging")


@pytest.fixture
async def files(server: Server) -> Files:
    return Files(server, DATA)


@pytest.fixture
async def large(server: Server) -> Files:
    return Files(server, LARGE, "/large")


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def open_files(folder: Path) -> list[str]:
    """The files below the folder that this process has open."""
    if not os.path.isdir("/proc/self/fd"):
        return []
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if target.startswith(str(folder)):
            found.append(target)
    return found


def changed(what: Callable[[int, dict[str, str], bytes], tuple[int, dict[str, str], bytes]]) -> Callable[..., Head]:
    """A `Files.change` for 206 responses, by a dict of their fields."""

    def change(status: int, headers: list[tuple[str, str]], body: bytes) -> Head:
        if status != 206:
            return status, headers, body
        status, fields, body = what(status, dict(headers), body)
        return status, list(fields.items()), body

    return change


async def keep_some(client: Client, files: Files, target: Path, size: int) -> None:
    """Leave `size` bytes of the file for resume."""
    files.cuts = iter([size])
    with pytest.raises(aioreq.IncompleteBody):
        await client.download(files.url, target, resume=True, retry=0)
    files.cuts = iter(())
    files.asked.clear()
    part = target.with_name(f".{target.name}.part")
    assert part.read_bytes() == files.data[:size]


# -- whole, or not at all


async def test_a_file_is_saved_under_its_name(client: Client, files: Files, tmp_path: Path) -> None:
    target = tmp_path / "out"
    done = await client.download(files.url, target)
    assert isinstance(done, Download)
    assert (done.path, done.size, done.sha256, done.response.status) == (target, 1000, None, 200)
    assert os.fspath(done) == str(target)
    assert target.read_bytes() == DATA
    assert listed(tmp_path) == ["out"]
    assert open_files(tmp_path) == []
    assert files.asked == [(None, None)]
    if os.name == "posix":
        (tmp_path / "usual").touch()
        assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE((tmp_path / "usual").stat().st_mode)


async def test_its_bytes_are_asked_for_as_they_are(client: Client, server: Server, files: Files, tmp_path: Path) -> None:
    await client.download(files.url, tmp_path / "out")
    await client.download(files.url, tmp_path / "out", headers={"Accept-Encoding": "gzip"})
    assert [request.header_values("accept-encoding") for request in server.requests] == [["identity"], ["gzip"]]


async def test_a_folder_takes_the_name_that_the_server_suggests(client: Client, files: Files, tmp_path: Path) -> None:
    assert (await client.download(files.url, tmp_path)).path == tmp_path / "file"
    files.headers.append(("Content-Disposition", "attachment; filename*=UTF-8''..%2F.r%C3%A9sum%C3%A9.pdf"))
    assert (await client.download(files.url, f"{tmp_path}{os.sep}")).path == tmp_path / "r\u00e9sum\u00e9.pdf"


async def test_the_name_comes_from_where_the_redirects_led(client: Client, server: Server, files: Files, tmp_path: Path) -> None:
    server.route("/latest", Reply(302, [("Location", "/file")]))
    assert (await client.download(server.url + "/latest", tmp_path)).path == tmp_path / "file"


async def test_a_file_is_replaced_unless_it_must_not_be(client: Client, files: Files, tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    for path in (target, tmp_path):
        with pytest.raises(FileExistsError):
            await client.download(files.url, path, overwrite=False)
    with pytest.raises(FileExistsError):  # what a server suggests replaces nothing unless that was said
        await client.download(files.url, tmp_path)
    assert target.read_bytes() == b"old"
    assert listed(tmp_path) == ["file"]
    await client.download(files.url, tmp_path, overwrite=True)
    assert target.read_bytes() == DATA
    target.write_bytes(b"old")
    await client.download(files.url, target)
    assert target.read_bytes() == DATA


async def test_a_file_that_appears_meanwhile_is_not_replaced(client: Client, files: Files, tmp_path: Path) -> None:
    target = tmp_path / "file"
    with pytest.raises(FileExistsError, match="file"):
        await client.download(files.url, target, overwrite=False, progress=lambda done, total: target.write_bytes(b"theirs"))
    assert target.read_bytes() == b"theirs"
    assert listed(tmp_path) == ["file"]


@pytest.mark.skipif(os.name != "posix", reason="symbolic links and devices")
@pytest.mark.skipif(os.name != "posix", reason="permissions")
@pytest.mark.parametrize("mode", [0o600, 0o755, 0o440])
async def test_a_file_that_is_replaced_keeps_its_permissions(client: Client, files: Files, tmp_path: Path, mode: int) -> None:
    target = tmp_path / "out"
    target.touch()
    target.chmod(mode)
    await keep_some(client, files, target, 100)
    assert (tmp_path / ".out.part").stat().st_mode & 0o077 == mode & 0o077
    await client.download(files.url, target, resume=True)
    assert stat.S_IMODE(target.stat().st_mode) == mode | 0o600
    assert target.read_bytes() == DATA


async def test_a_link_leads_to_the_new_file_and_a_device_stays_one(client: Client, files: Files, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    done = await client.download(files.url, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert done.path == (tmp_path / "real").resolve()
    with pytest.raises(FileExistsError, match="regular"):
        await client.download(files.url, "/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


async def test_a_folder_that_is_not_there_is_told_before_anything_is_sent(client: Client, server: Server, tmp_path: Path) -> None:
    for path in (tmp_path / "no" / "file", f"{tmp_path}/no/"):
        with pytest.raises(FileNotFoundError, match="no such folder"):
            await client.download(server.url + "/bytes/1", path)
    assert server.requests == []


@pytest.mark.parametrize("status", [204, 205, 206, 300, 304, 404, 416, 500])
async def test_what_is_no_file_is_an_error(client: Client, server: Server, tmp_path: Path, status: int) -> None:
    server.route("/x", lambda request: Reply(status, [], b"" if status in (204, 205, 304) else b"sorry"))
    kind = aioreq.RemoteProtocolError if status == 206 else aioreq.StatusError
    with pytest.raises(kind, match=str(status)) as caught:
        await client.download(server.url + "/x", tmp_path / "out")
    if isinstance(caught.value, aioreq.StatusError):
        assert caught.value.response is not None
        assert caught.value.response.status == status
    assert listed(tmp_path) == []


async def test_a_broken_body_leaves_nothing(client: Client, files: Files, tmp_path: Path) -> None:
    files.cuts = iter([500])
    (tmp_path / "out").write_bytes(b"old")
    with pytest.raises(aioreq.IncompleteBody) as caught:
        await client.download(files.url, tmp_path / "out", retry=0)
    assert (tmp_path / "out").read_bytes() == b"old"
    assert listed(tmp_path) == ["out"]
    assert caught.value.__notes__ == ["500 of 1000 bytes are here"]


async def test_an_encoded_body_is_saved_decoded(client: Client, files: Files, tmp_path: Path) -> None:
    files.data = gzip.compress(DATA)
    files.headers.append(("Content-Encoding", "gzip"))
    files.cuts = iter([20])
    done = await client.download(files.url, tmp_path / "out", resume=True, retry=PERSISTENT)
    assert (done.path.read_bytes(), done.size) == (DATA, 1000)
    assert files.asked == [(None, None)] * 2  # a range of it could not be decoded


async def test_a_body_of_no_declared_length(client: Client, server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    server.route("/x", lambda request: Reply(200, [("ETag", '"a"')], DATA, framing="chunked"))
    done = await client.download(server.url + "/x", tmp_path / "out", resume=True, progress=lambda *numbers: seen.append(numbers))
    assert done.path.read_bytes() == DATA
    assert seen[0] == (0, None)
    assert seen[-1][0] == 1000
    server.route("/empty", Reply(200))
    assert (await client.download(server.url + "/empty", tmp_path / "empty")).path.read_bytes() == b""


async def test_the_digest(client: Client, files: Files, tmp_path: Path) -> None:
    right = hashlib.sha256(DATA).hexdigest()
    assert (await client.download(files.url, tmp_path / "out", sha256=right.upper())).sha256 == right
    (tmp_path / "out").write_bytes(b"old")
    with pytest.raises(aioreq.DigestMismatch) as caught:
        await client.download(files.url, tmp_path / "out", sha256="0" * 64, resume=True)
    assert (caught.value.expected, caught.value.actual) == ("0" * 64, right)
    assert caught.value.request is not None
    assert not hasattr(caught.value, "__notes__")
    assert listed(tmp_path) == ["out"]  # nobody could go on with what is wrong
    assert (tmp_path / "out").read_bytes() == b"old"


async def test_the_digest_of_what_was_sent_encoded(server: Server, client: Client, tmp_path: Path) -> None:
    """As some servers send archives: their published digest is that of the archive."""
    archive = gzip.compress(DATA)
    server.route("/file.tar.gz", Reply(200, [("Content-Encoding", "x-gzip")], archive))
    with pytest.raises(aioreq.DigestMismatch, match=r"the digest is that of the bytes as sent \(x-gzip\), which were decoded"):
        await client.download(server.url + "/file.tar.gz", tmp_path / "out", sha256=hashlib.sha256(archive).hexdigest())
    assert listed(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"sha256": "abc"}, ValueError),
        ({"sha256": b"0" * 64}, TypeError),
        ({"ranges": 0}, ValueError),
        ({"ranges": True}, TypeError),
        ({"min_speed": 5}, TypeError),
        ({"min_speed": (1, 0)}, ValueError),
        ({"min_speed": ("1", 1)}, TypeError),
        ({"progress": 5}, TypeError),
        ({"headers": {"range": "bytes=0-"}}, ValueError),
        ({"headers": {"If-Range": '"a"'}}, ValueError),
        ({"unknown": 1}, TypeError),
    ],
)
async def test_wrong_options(client: Client, files: Files, tmp_path: Path, options: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        await client.download(files.url, tmp_path / "out", **options)
    assert files.asked == []


async def test_a_cap_is_held(client: Client, server: Server, files: Files, tmp_path: Path) -> None:
    with pytest.raises(aioreq.LimitExceeded, match="999"):
        await client.download(files.url, tmp_path / "out", max_body=999)
    assert (await client.download(files.url, tmp_path / "out", max_body=1000)).size == 1000
    server.route("/endless", lambda request: Reply(200, body=DATA * 100, framing="chunked"))
    with pytest.raises(aioreq.LimitExceeded):
        await client.download(server.url + "/endless", tmp_path / "endless", max_body=5000)
    async with Client(limits=aioreq.Limits(body=10)) as small:  # which is about memory
        assert (await small.download(files.url, tmp_path / "out")).size == 1000
    async with Client(guard=aioreq.PublicOnly(allow=["127.0.0.1"], max_body=10)) as guarded:
        with pytest.raises(aioreq.LimitExceeded):
            await guarded.download(files.url, tmp_path / "guarded")
    assert listed(tmp_path) == ["out"]


async def test_a_cap_holds_for_all_requests_together(client: Client, server: Server, tmp_path: Path) -> None:
    asked: list[str | None] = []

    def answer(request: Received) -> Script:
        """Never says how much there is."""
        asked.append(request.header("range"))
        start = 0 if asked[-1] is None else int(asked[-1][6:-1])
        status, place = (200, b"") if not start else (206, b"Content-Range: bytes %d-%d/*\r\n" % (start, start + 999))
        head = b'HTTP/1.1 %d X\r\nETag: "a"\r\n%bTransfer-Encoding: chunked\r\n\r\n' % (status, place)
        return Script((head + b"3e8\r\n" + bytes(1000) + b"\r\n", *([Close()] if not start else [b"0\r\n\r\n"])))

    server.route("/x", answer)
    with pytest.raises(aioreq.LimitExceeded):
        await client.download(server.url + "/x", tmp_path / "out", max_body=3500, retry=PERSISTENT)
    assert asked == [None, "bytes=1000-", "bytes=2000-", "bytes=3000-"]
    assert listed(tmp_path) == []


# -- lost connections


async def test_a_connection_lost_at_any_byte_is_gone_on_with(client: Client, server: Server, tmp_path: Path) -> None:
    files = Files(server, pattern(40))
    for cut in range(40):
        files.asked.clear()
        files.cuts = iter([cut])
        done = await client.download(files.url, tmp_path / "out", retry=PERSISTENT)
        assert done.path.read_bytes() == files.data
        assert files.asked == [(None, None), (f"bytes={cut}-", '"one"') if cut else (None, None)]
    assert listed(tmp_path) == ["out"]


async def test_a_download_cut_at_any_byte_is_resumed_by_the_next(client: Client, server: Server, tmp_path: Path) -> None:
    files = Files(server, pattern(40))
    for cut in range(1, 40):
        await keep_some(client, files, tmp_path / "out", cut)
        done = await client.download(files.url, tmp_path / "out", resume=True)
        assert done.path.read_bytes() == files.data
        assert files.asked == [(f"bytes={cut}-", '"one"')]
        assert listed(tmp_path) == ["out"]
        (tmp_path / "out").unlink()


async def test_one_byte_a_connection(client: Client, server: Server, tmp_path: Path) -> None:
    files = Files(server, pattern(40))
    files.cut_at = lambda start, length: 1
    done = await client.download(
        files.url, tmp_path / "out", retry=Retry(attempts=1, backoff=0), sha256=hashlib.sha256(files.data).hexdigest()
    )
    assert done.size == 40
    assert [asked for asked, _ in files.asked] == [None, *(f"bytes={start}-" for start in range(1, 40))]


async def test_attempts_are_counted_anew_only_when_bytes_arrived(client: Client, files: Files, tmp_path: Path) -> None:
    files.cut_at = lambda start, length: 0 if start == 10 else 5
    with pytest.raises(aioreq.IncompleteBody) as caught:
        await client.download(files.url, tmp_path / "out", resume=True, retry=PERSISTENT)
    assert [asked for asked, _ in files.asked] == [None, "bytes=5-", *["bytes=10-"] * 4][: len(files.asked)]
    assert len(files.asked) == 5  # to 5, to 10 (counted anew), and three attempts after that
    assert "10 of 1000" in caught.value.__notes__[-1]
    assert str(tmp_path / ".out.part") in caught.value.__notes__[-1]


@pytest.mark.parametrize("retry", [None, 0, Retry(methods={"PUT"}), Retry(budget=aioreq.RetryBudget(0, 0, 0))])
async def test_who_wants_no_retry_gets_none(client: Client, files: Files, tmp_path: Path, retry: Any) -> None:
    files.cuts = iter([5])
    with pytest.raises(aioreq.IncompleteBody):
        await client.download(files.url, tmp_path / "out", retry=retry)
    assert len(files.asked) == 1


async def test_without_a_validator_it_starts_anew(client: Client, server: Server, tmp_path: Path) -> None:
    for number, etag in enumerate((None, 'W/"weak"', "bare")):
        files = Files(server, DATA, f"/{number}", etag=etag)
        files.headers.append(("Last-Modified", DATE))  # of no use beside a weak ETag; alone, only with a Date
        files.cuts = iter([999])
        done = await client.download(files.url, tmp_path / "out", resume=True, retry=PERSISTENT)
        assert done.path.read_bytes() == DATA
        assert files.asked == [(None, None)] * 2
        files.cuts = iter([999])
        with pytest.raises(aioreq.IncompleteBody):
            await client.download(files.url, tmp_path / "out", resume=True, retry=0)
        assert listed(tmp_path) == ["out"]  # nobody can go on with it


async def test_a_server_without_ranges_is_asked_for_all_of_it_but_not_for_ever(client: Client, files: Files, tmp_path: Path) -> None:
    files.ranged = False
    files.cuts = iter([900, 100])
    seen: list[int] = []
    done = await client.download(files.url, tmp_path / "out", retry=PERSISTENT, progress=lambda at, total: seen.append(at))
    assert done.path.read_bytes() == DATA
    assert seen.count(0) == 3
    files.asked.clear()
    files.cut_at = lambda start, length: 900
    with pytest.raises(aioreq.IncompleteBody):
        await client.download(files.url, tmp_path / "out", retry=PERSISTENT)
    assert len(files.asked) == 4


@pytest.mark.parametrize(("date", "strong"), [(DATE, False), ("Sun, 06 Nov 1994 08:49:38 GMT", True), (None, False), ("soon", False)])
async def test_a_last_modified_is_a_validator_where_the_date_makes_it_one(
    client: Client, server: Server, tmp_path: Path, date: str | None, strong: bool
) -> None:
    files = Files(server, DATA, etag=None)
    files.headers += [("Last-Modified", DATE), *([("Date", date)] if date else [])]
    files.cuts = iter([10])
    await client.download(files.url, tmp_path / "out", retry=PERSISTENT)
    assert files.asked[1] == (("bytes=10-", DATE) if strong else (None, None))


async def test_silence_is_a_lost_connection_and_a_total_limit_is_the_end(client: Client, server: Server, tmp_path: Path) -> None:
    head = b'HTTP/1.1 200 OK\r\nETag: "one"\r\nContent-Length: 1000\r\n\r\n'
    files = Files(server, DATA)
    server.script(head + DATA[:300], Stall(), path="/file")
    done = await client.download(files.url, tmp_path / "out", retry=PERSISTENT, timeout=aioreq.Timeout(read=0.2))
    assert done.path.read_bytes() == DATA
    assert files.asked == [("bytes=300-", '"one"')]
    server.script(head + DATA[:300], Stall(), path="/file")
    with pytest.raises(aioreq.TotalTimeout):
        await client.download(files.url, tmp_path / "out", retry=PERSISTENT, timeout=0.2, resume=True)
    assert (tmp_path / ".out.part").read_bytes() == DATA[:300]


async def test_the_total_limit_is_that_of_all_requests(client: Client, server: Server, tmp_path: Path) -> None:
    files = Files(server, DATA)
    answer = files.answer

    async def slowly(request: Received) -> Script:
        await asyncio.sleep(0.05)
        return answer(request)

    server.route("/slow", slowly)
    files.cut_at = lambda start, length: 1
    with pytest.raises((aioreq.TotalTimeout, aioreq.IncompleteBody)):
        await client.download(server.url + "/slow", tmp_path / "out", retry=PERSISTENT, timeout=0.5)
    assert len(files.asked) <= 11


async def test_a_connection_that_is_too_slow_is_given_up(client: Client, server: Server, tmp_path: Path) -> None:
    files = Files(server, DATA)
    dripping = [step for place in range(10) for step in (DATA[place : place + 1], Pause(0.05))]
    head = b'HTTP/1.1 200 OK\r\nETag: "one"\r\nContent-Length: 1000\r\n\r\n'
    server.script(head, *dripping, Stall(), path="/file")
    with pytest.raises(aioreq.ReadTimeout, match="min_speed wants 1000 a second"):
        await client.download(files.url, tmp_path / "out", retry=0, min_speed=(1000, 0.2))
    assert files.asked == []
    server.script(head, *dripping, Stall(), path="/file")
    done = await client.download(files.url, tmp_path / "out", retry=PERSISTENT, min_speed=(1000, 0.2))
    assert done.path.read_bytes() == DATA
    assert len(files.asked) == 1
    server.script(head + DATA[:500], Pause(0.25), DATA[500:], path="/file")
    assert (await client.download(files.url, tmp_path / "out", retry=0, min_speed=(1000, 0.4))).size == 1000


# -- what is kept


async def test_what_is_kept_tells_no_secret(client: Client, server: Server, tmp_path: Path) -> None:
    files = Files(server, DATA, "/secret")
    files.url += "?token=abcdef"
    await keep_some(client, files, tmp_path / "out", 100)
    state = (tmp_path / ".out.part.json").read_text()
    assert json.loads(state)["validator"] == '"one"'
    assert "abcdef" not in state
    assert "secret" not in state


async def test_another_url_does_not_go_on_with_it(client: Client, server: Server, files: Files, tmp_path: Path) -> None:
    await keep_some(client, files, tmp_path / "out", 100)
    other = Files(server, pattern(1000, seed=7), "/other")
    assert (await client.download(other.url, tmp_path / "out", resume=True)).path.read_bytes() == other.data
    assert other.asked == [(None, None)]


async def test_in_a_folder_it_is_found_by_the_name_that_the_server_gives(client: Client, files: Files, tmp_path: Path) -> None:
    await keep_some(client, files, tmp_path / "file", 100)
    done = await client.download(files.url, tmp_path, resume=True)
    assert done.path.read_bytes() == DATA
    assert files.asked == [(None, None), ("bytes=100-", '"one"')]


STATES: list[tuple[str, Any]] = [
    ("nothing", None),
    ("no JSON", b"{"),
    ("no object", b"[1]"),
    ("deep", b"[" * 100_000),
    ("empty", b""),
    *[
        (f"{name}={value!r}", {name: value})
        for name, value in (
            ("validator", None), ("validator", 5), ("validator", ""), ("total", -1), ("total", 50), ("total", "1000"), ("total", True),
            ("pieces", []), ("pieces", 5), ("pieces", [[0, 1000]]), ("pieces", [[5, 1000, 100]]), ("pieces", [[0, 999, 100]]),
            ("pieces", [[None, 1000, 5]]), ("pieces", [[0, 500, None], [500, 1000, 500]]), ("pieces", [[0, 1000.0, 5]]),
            ("pieces", [[0, 500, 600], [500, 1000, 500]]), ("pieces", [[0, 500, 500], [400, 1000, 400]]),
            ("pieces", [[0, 500, 100], [500, 1000, 900]]), ("pieces", [[0, None, 100], [500, 1000, 900]]), ("source", "x"),
        )
    ],
]  # fmt: skip


@pytest.mark.parametrize("state", [state for _, state in STATES], ids=[name for name, _ in STATES])
async def test_a_state_that_makes_no_sense_is_passed_over(client: Client, files: Files, tmp_path: Path, state: Any) -> None:
    await keep_some(client, files, tmp_path / "out", 100)
    path = tmp_path / ".out.part.json"
    if state is None:
        path.unlink()
    else:
        path.write_bytes(state if isinstance(state, bytes) else json.dumps({**json.loads(path.read_text()), **state}).encode())
    assert (await client.download(files.url, tmp_path / "out", resume=True)).path.read_bytes() == DATA
    assert files.asked == [(None, None)]
    assert listed(tmp_path) == ["out"]


@pytest.mark.skipif(sys.platform == "win32", reason="no locks there")
async def test_two_downloads_do_not_write_to_one_file(client: Client, server: Server, files: Files, tmp_path: Path) -> None:
    await keep_some(client, files, tmp_path / "out", 100)
    held = asyncio.Event()
    server.script(b'HTTP/1.1 206 X\r\nETag: "one"\r\nContent-Range: bytes 100-999/1000\r\n\r\n', Stall(), path="/file")
    first = asyncio.create_task(client.download(files.url, tmp_path / "out", resume=True, progress=lambda *_: held.set()))
    await held.wait()
    with pytest.raises(BlockingIOError, match="another download"):
        await client.download(files.url, tmp_path / "out", resume=True)
    assert (await client.download(files.url, tmp_path / "out")).size == 1000  # by a file of its own
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert listed(tmp_path) == [".out.part", ".out.part.json", "out"]


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
@pytest.mark.skipif(sys.platform == "win32", reason="locks")
def test_a_file_that_was_let_go_can_be_gone_on_with_at_once(tmp_path: Path) -> None:
    """Even while a flush of it, in a thread, isn't over, or a forked child has inherited it."""
    file = PartialFile(tmp_path / "out", keep=True)
    with pytest.raises(BlockingIOError):
        PartialFile(tmp_path / "out", keep=True)
    assert file._file is not None
    other = os.dup(file._file.fileno())
    file.begin('"one"', 1000)
    file.write_now(file.pieces[0], [DATA[:100]])
    file.end()
    again = PartialFile(tmp_path / "out", keep=True)
    assert again.done == 100
    again.end(keep=False)
    os.close(other)


async def test_a_planted_link_is_not_followed(client: Client, files: Files, tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / ".out.part").symlink_to("precious")
    with pytest.raises(OSError, match="part"):
        await client.download(files.url, tmp_path / "out", resume=True)
    assert (tmp_path / "precious").read_bytes() == b"precious"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("planted", ["part", "state", "link", "new"])
async def test_what_somebody_else_planted_is_not_gone_on_with(client: Client, files: Files, tmp_path: Path, planted: str) -> None:
    part, state = tmp_path / ".out.part", tmp_path / ".out.part.json"
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    if planted == "new":
        (tmp_path / ".out.part.json.new").symlink_to(precious)
    await keep_some(client, files, tmp_path / "out", 100)
    if planted == "link":
        os.link(part, tmp_path / "link")
    elif planted != "new":
        os.chown(part if planted == "part" else state, 12345, -1)
    if planted in ("part", "link"):
        with pytest.raises(FileExistsError, match="no file of ours"):
            await client.download(files.url, tmp_path / "out", resume=True)
        assert part.read_bytes() == DATA[:100]
    else:
        assert (await client.download(files.url, tmp_path / "out", resume=True)).path.read_bytes() == DATA
        assert files.asked[0][0] == (None if planted == "state" else "bytes=100-")
    assert precious.read_bytes() == b"precious"


async def test_the_longest_name_that_a_disk_takes(client: Client, files: Files, tmp_path: Path) -> None:
    target = tmp_path / ("x" * 255)
    files.cuts = iter([100])
    with pytest.raises(aioreq.IncompleteBody):
        await client.download(files.url, target, resume=True, retry=0)
    await client.download(files.url, target, resume=True)
    assert files.asked[-1] == ("bytes=100-", '"one"')
    assert listed(tmp_path) == [target.name]


# -- answers to a range


async def test_a_changed_file_starts_anew(client: Client, files: Files, tmp_path: Path) -> None:
    await keep_some(client, files, tmp_path / "out", 600)
    files.data, files.etag = pattern(500, seed=9), '"two"'
    done = await client.download(files.url, tmp_path / "out", resume=True)
    assert done.path.read_bytes() == files.data
    assert files.asked == [("bytes=600-", '"one"')]


async def test_a_file_that_changes_between_two_requests_of_one_download(client: Client, files: Files, tmp_path: Path) -> None:
    def cut(start: int, length: int) -> int | None:
        if len(files.asked) > 1:
            return None
        files.data, files.etag = files.data[::-1], '"two"'
        return 500

    files.cut_at = cut
    assert (await client.download(files.url, tmp_path / "out", retry=PERSISTENT)).path.read_bytes() == DATA[::-1]


async def test_a_short_206_is_followed_by_another(client: Client, files: Files, tmp_path: Path) -> None:
    def shorter(status: int, fields: dict[str, str], body: bytes) -> Any:
        first = int(fields["Content-Range"].split()[1].split("-")[0])
        body = body[:250]
        return status, {**fields, "Content-Range": f"bytes {first}-{first + len(body) - 1}/1000", "Content-Length": str(len(body))}, body

    await keep_some(client, files, tmp_path / "out", 100)
    files.change = changed(shorter)
    assert (await client.download(files.url, tmp_path / "out", resume=True, retry=0)).path.read_bytes() == DATA
    assert [asked for asked, _ in files.asked] == ["bytes=100-", "bytes=350-", "bytes=600-", "bytes=850-"]


LIES: dict[str, dict[str, str | None]] = {
    "starts before": {"Content-Range": "bytes 50-949/1000"},
    "starts before, of the right length": {"Content-Range": "bytes 50-999/1000"},
    "starts behind": {"Content-Range": "bytes 101-1000/1001"},
    "from the start": {"Content-Range": "bytes 0-899/900"},
    "other total": {"Content-Range": "bytes 100-999/1001"},
    "smaller total": {"Content-Range": "bytes 100-999/999"},
    "past the end": {"Content-Range": "bytes 100-1000/1000"},
    "backwards": {"Content-Range": "bytes 100-99/1000"},
    "says more than it sends": {"Content-Range": "bytes 100-998/1000"},
    "nothing": {"Content-Range": None},
    "no range": {"Content-Range": "bytes */1000"},
    "other unit": {"Content-Range": "lines 100-999/1000"},
    "no numbers": {"Content-Range": "bytes +100-999/1000"},
    "huge": {"Content-Range": "bytes 100-999/" + "9" * 400},
    "other tag": {"ETag": '"two"'},
    "weak tag": {"ETag": 'W/"one"'},
    "several ranges": {"Content-Type": "multipart/byteranges; boundary=x", "Content-Range": None},
    "several ranges and one": {"Content-Type": "multipart/byteranges; boundary=x"},
    "encoded": {"Content-Encoding": "gzip"},
    "chunked, shorter": {"Content-Length": None, "Transfer-Encoding": "chunked", "short": ""},
    "chunked, longer": {"Content-Length": None, "Transfer-Encoding": "chunked", "long": ""},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_a_206_that_does_not_fit_is_not_believed(client: Client, files: Files, tmp_path: Path, lie: dict[str, str | None]) -> None:
    def lying(status: int, fields: dict[str, str], body: bytes) -> Any:
        fields = {name: value for name, value in {**fields, **lie}.items() if value is not None}
        if "Transfer-Encoding" in fields:
            body = body[:-1] if "short" in lie else body + b"x"
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        return status, fields, body

    await keep_some(client, files, tmp_path / "out", 100)
    files.change = changed(lying)
    done = await client.download(files.url, tmp_path / "out", resume=True, retry=0)
    assert done.path.read_bytes() == DATA
    assert files.asked == [("bytes=100-", '"one"'), (None, None)]
    assert listed(tmp_path) == ["out"]


async def test_a_liar_is_never_asked_for_a_range_again(client: Client, files: Files, tmp_path: Path) -> None:
    files.change = changed(lambda status, fields, body: (status, {**fields, "Content-Range": "bytes 0-1/2"}, body))
    files.cuts = iter([100, None, 900])
    assert (await client.download(files.url, tmp_path / "out", retry=PERSISTENT)).path.read_bytes() == DATA
    assert [asked for asked, _ in files.asked] == [None, "bytes=100-", None, None]


async def test_a_206_chunked_and_of_unknown_total_fits(client: Client, files: Files, tmp_path: Path) -> None:
    def vague(status: int, fields: dict[str, str], body: bytes) -> Any:
        fields = {**fields, "Content-Range": "bytes 100-999/*", "Transfer-Encoding": "chunked"}
        del fields["Content-Length"], fields["ETag"]
        return status, fields, b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)

    await keep_some(client, files, tmp_path / "out", 100)
    files.change = changed(vague)
    assert (await client.download(files.url, tmp_path / "out", resume=True, retry=0)).path.read_bytes() == DATA
    assert len(files.asked) == 1


async def whole_part(client: Client, files: Files, target: Path) -> None:
    """As a program leaves it that ended right before the file got its name."""
    await keep_some(client, files, target, 999)
    with target.with_name(f".{target.name}.part").open("ab") as part:
        part.write(files.data[999:])


async def test_a_part_that_is_whole_already(client: Client, files: Files, tmp_path: Path) -> None:
    await whole_part(client, files, tmp_path / "out")
    done = await client.download(files.url, tmp_path / "out", resume=True)
    assert done.path.read_bytes() == DATA
    assert done.response.status == 416
    assert files.asked == [("bytes=1000-", '"one"')]
    assert listed(tmp_path) == ["out"]


@pytest.mark.parametrize(
    "fields",
    [{"Content-Range": "bytes */1001"}, {"Content-Range": None}, {"Content-Range": "bytes */*"}, {"ETag": '"two"'}],
    ids=["longer", "nothing", "unknown", "changed"],
)
async def test_a_416_that_does_not_fit_starts_anew(client: Client, files: Files, tmp_path: Path, fields: dict[str, str | None]) -> None:
    await whole_part(client, files, tmp_path / "out")
    (tmp_path / ".out.part").write_bytes(b"x" * 1000)

    def change(status: int, headers: list[tuple[str, str]], body: bytes) -> Head:
        new = {**dict(headers), **fields} if status == 416 else dict(headers)
        return status, [(name, value) for name, value in new.items() if value is not None], body

    files.change = change
    assert (await client.download(files.url, tmp_path / "out", resume=True)).path.read_bytes() == DATA
    assert files.asked == [("bytes=1000-", '"one"'), (None, None)]


async def test_a_client_that_raises_for_every_status_goes_on_too(files: Files, tmp_path: Path) -> None:
    async with Client(raise_for_status=True) as client:
        await whole_part(client, files, tmp_path / "out")
        assert (await client.download(files.url, tmp_path / "out", resume=True)).path.read_bytes() == DATA


async def test_a_part_that_cannot_be_had_any_more_is_kept(client: Client, files: Files, tmp_path: Path) -> None:
    await keep_some(client, files, tmp_path / "out", 100)
    files.change = lambda status, headers, body: (503, [("Content-Length", "0")], b"")
    with pytest.raises(aioreq.StatusError) as caught:
        await client.download(files.url, tmp_path / "out", resume=True)
    assert "100 of 1000" in caught.value.__notes__[0]
    files.change = None
    await client.download(files.url, tmp_path / "out", resume=True)
    assert files.asked[-1] == ("bytes=100-", '"one"')


# -- several ranges


async def test_several_ranges_at_once(client: Client, server: Server, large: Files, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    done = await client.download(
        large.url, tmp_path / "out", ranges=4, sha256=hashlib.sha256(LARGE).hexdigest(), progress=lambda *numbers: seen.append(numbers)
    )
    assert done.size == 2_000_000
    asked = sorted(large.asked, key=str)
    assert asked == [("bytes=1000000-1499999", '"one"'), ("bytes=1500000-", '"one"'), ("bytes=500000-999999", '"one"'), (None, None)]
    assert seen[-1] == (2_000_000, 2_000_000)
    assert [at for at, _ in seen] == sorted(at for at, _ in seen)
    assert listed(tmp_path) == ["out"]


async def test_several_ranges_each_of_which_is_lost(client: Client, large: Files, tmp_path: Path) -> None:
    large.cut_at = lambda start, length: 100_000
    done = await client.download(large.url, tmp_path / "out", ranges=3, retry=PERSISTENT)
    assert done.path.read_bytes() == LARGE
    assert len(large.asked) >= 20


async def test_several_ranges_are_resumed(client: Client, large: Files, tmp_path: Path) -> None:
    large.cut_at = lambda start, length: 100_000
    with pytest.raises(aioreq.IncompleteBody):
        await client.download(large.url, tmp_path / "out", ranges=4, retry=0, resume=True)
    pieces = json.loads((tmp_path / ".out.part.json").read_text())["pieces"]
    assert len(pieces) == 4
    large.asked.clear()
    large.cut_at = lambda start, length: None
    assert (await client.download(large.url, tmp_path / "out", ranges=2, resume=True)).path.read_bytes() == LARGE
    assert sorted(int(asked[6:].split("-")[0]) for asked, _ in large.asked if asked) == [at for _, _, at in pieces]
    assert listed(tmp_path) == ["out"]


@pytest.mark.parametrize("how", ["no Accept-Ranges", "no ranges", "no validator", "small", "liar", "changed"])
async def test_where_there_are_no_ranges_one_connection_does(
    client: Client, server: Server, large: Files, files: Files, tmp_path: Path, how: str
) -> None:
    match how:
        case "no Accept-Ranges":
            large.headers.clear()
        case "no ranges":
            large.ranged = False
        case "no validator":
            large.etag = None
        case "small":
            large.data = DATA
        case "liar":
            large.change = changed(lambda status, fields, body: (status, {**fields, "Content-Range": "bytes 5-6/7"}, body))
        case "changed":

            def change(status: int, headers: list[tuple[str, str]], body: bytes) -> Head:
                large.data, large.etag = LARGE[::-1], '"two"'
                return status, headers, body

            large.change = change
    done = await client.download(large.url, tmp_path / "out", ranges=4)
    assert done.path.read_bytes() == large.data
    assert listed(tmp_path) == ["out"]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0  # or a timeout around it would not know its own
    if how in ("no Accept-Ranges", "no validator", "small"):
        assert large.asked == [(None, None)]


async def test_several_ranges_over_one_connection(large: Files, tmp_path: Path) -> None:
    async with Client(limits=aioreq.Limits(connections=1)) as client:
        assert (await client.download(large.url, tmp_path / "out", ranges=4)).path.read_bytes() == LARGE


# -- progress and cancellation


async def test_progress_that_raises_ends_it(client: Client, files: Files, tmp_path: Path) -> None:
    def progress(done: int, total: int | None) -> None:
        assert total == 1000
        if done:
            raise KeyError("enough")

    with pytest.raises(KeyError):
        await client.download(files.url, tmp_path / "out", progress=progress)
    assert listed(tmp_path) == []
    with pytest.raises(KeyError):
        await client.download(files.url, tmp_path / "out", progress=progress, resume=True)
    assert listed(tmp_path) == [".out.part", ".out.part.json"]
    assert open_files(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="resource limits")
async def test_a_disk_that_takes_no_more(client: Client, files: Files, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OSError, match="large"):
            await client.download(files.url, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert listed(tmp_path) == []
    assert open_files(tmp_path) == []


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("ranges", [1, 3])
async def test_cancelled_anywhere_it_leaves_nothing_else(
    client: Client, large: Files, tmp_path: Path, resume: bool, ranges: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aioreq.saving, "BLOCK", 64 * 1024)
    digest = hashlib.sha256(LARGE).hexdigest()
    target = tmp_path / "out"

    async def fetch(cancelling: Cancelling) -> None:
        await cancelling

    for number in range(1, 500, 7):
        large.cuts = iter([700_000])
        call: Any = client.download(large.url, target, resume=resume, ranges=ranges, sha256=digest, retry=PERSISTENT)
        cancelling = Cancelling(call, {number: 0}, Counter())
        task = asyncio.create_task(fetch(cancelling))
        try:
            await task
        except asyncio.CancelledError:
            pass
        assert open_files(tmp_path) == []
        if cancelling.suspensions < number:
            break
        allowed = {".out.part", ".out.part.json"} if resume else set()
        assert set(listed(tmp_path)) <= allowed | ({"out"} if target.exists() else set())
        if target.exists():  # cancelled when it was done
            assert target.read_bytes() == LARGE
            target.unlink()
    else:
        pytest.fail("it never came to its end")
    assert target.read_bytes() == LARGE
    assert listed(tmp_path) == ["out"]


async def test_what_had_arrived_before_a_cancellation_is_kept(client: Client, server: Server, files: Files, tmp_path: Path) -> None:
    head = b'HTTP/1.1 200 OK\r\nETag: "one"\r\nContent-Length: 1000\r\n\r\n'
    server.script(head + DATA[:300], Stall(), path="/file")
    begun = asyncio.Event()
    task = asyncio.create_task(client.download(files.url, tmp_path / "out", resume=True, progress=lambda *_: begun.set()))
    await begun.wait()
    for _ in range(20):  # turns: too little came, and too late, for a write to the disk
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (tmp_path / ".out.part").read_bytes() == DATA[:300]


async def test_a_cancellation_in_the_turn_of_another_failure_is_not_lost(
    client: Client, large: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the parts turns out to be a lie, and says so in the very moment at which somebody cancels."""

    def lie(status: int, headers: list[tuple[str, str]], body: bytes) -> Head:
        fields = dict(headers)
        if status != 206:
            return status, headers, body
        del fields["Content-Length"]
        return status, [*fields.items(), ("Transfer-Encoding", "chunked")], b"%x\r\n%b\r\n0\r\n\r\n" % (len(body) - 1, body[:-1])

    told: Counter[bool] = Counter()

    def progress(done: int, total: int | None) -> None:
        ours = asyncio.current_task() is task
        told[ours] += 1
        if not ours and told[ours] == 2:  # when it begins, and at its end
            task.cancel()

    monkeypatch.setattr(aioreq.saving, "BLOCK", len(LARGE))
    monkeypatch.setattr(aioreq.saving, "FLUSHED_EACH", 100)
    large.change = lie
    task = asyncio.ensure_future(client.download(large.url, tmp_path / "out", ranges=2, progress=progress))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert listed(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="resource limits")
async def test_a_cancellation_on_a_full_disk(client: Client, server: Server, tmp_path: Path) -> None:
    server.script(b'HTTP/1.1 200 OK\r\nETag: "one"\r\nContent-Length: 1000\r\n\r\n' + DATA[:300], Stall(), path="/file")
    begun = asyncio.Event()
    task = asyncio.create_task(client.download(server.url + "/file", tmp_path / "out", progress=lambda *_: begun.set()))
    await begun.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert listed(tmp_path) == []


async def test_a_write_that_is_late_does_not_spoil_what_began_meanwhile(tmp_path: Path) -> None:
    """Threads outlive a cancelled task: one may still write when the file begins anew, for a representation that is shorter."""
    begun, go_on = threading.Event(), threading.Event()

    class Late(list[bytes]):
        def __iter__(self) -> Any:
            begun.set()
            go_on.wait(10)
            return super().__iter__()

    file = PartialFile(tmp_path / "out")
    file.begin(None, None)
    task = asyncio.create_task(file.write(file.pieces[0], Late([b"old" * 1000])))
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    threading.Timer(0.1, go_on.set).start()
    file.begin(None, None)
    await file.write(file.pieces[0], [b"new"])
    assert await file.sha256() == hashlib.sha256(b"new").hexdigest()
    await file.finish()
    assert (tmp_path / "out").read_bytes() == b"new"


async def test_it_is_on_the_disk_before_it_has_its_name(
    client: Client, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[tuple[int, list[str]]] = []
    flush = os.fsync

    def fsync(descriptor: int) -> None:
        flush(descriptor)
        flushed.append((os.fstat(descriptor).st_size, [name for name in listed(tmp_path) if name == "out"]))

    monkeypatch.setattr(os, "fsync", fsync)
    await client.download(files.url, tmp_path / "out")
    assert flushed == [(1000, [])]


# -- StreamResponse.save


async def test_a_response_is_saved(client: Client, server: Server, files: Files, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    async with client.stream("GET", files.url) as response:
        digest = hashlib.sha256(DATA).hexdigest()
        done = await response.save(tmp_path, sha256=digest, progress=lambda *numbers: seen.append(numbers))
    assert (done.path, done.size, done.sha256, done.response) == (tmp_path / "file", 1000, digest, response)
    assert done.path.read_bytes() == DATA
    assert seen[0] == (0, 1000)
    assert seen[-1] == (1000, 1000)
    async with client.stream("GET", server.url + "/gzip") as response:
        assert (await response.save(tmp_path / "zipped")).path.read_bytes().startswith(b"{")
    async with client.stream("GET", server.url + "/status/404") as response:
        assert (await response.save(tmp_path / "missing")).size == 0  # whoever has the response knows its status
    assert listed(tmp_path) == ["file", "missing", "zipped"]
    async with client.stream("GET", files.url) as response:
        with pytest.raises(FileExistsError):
            await response.save(tmp_path)


async def test_a_response_that_breaks_leaves_nothing_or_what_can_be_resumed(client: Client, files: Files, tmp_path: Path) -> None:
    for resume in (False, True):
        files.cuts = iter([400])
        async with client.stream("GET", files.url) as response:
            with pytest.raises(aioreq.IncompleteBody):
                await response.save(tmp_path / "out", resume=resume)
        assert listed(tmp_path) == ([".out.part", ".out.part.json"] if resume else [])
    async with client.stream("GET", files.url, headers={"Range": "bytes=300-"}) as response:
        with pytest.raises(aioreq.LocalProtocolError, match="400 bytes are here"):
            await response.save(tmp_path / "out", resume=True)
    async with client.stream("GET", files.url, headers={"Range": "bytes=400-", "If-Range": '"one"'}) as response:
        assert (await response.save(tmp_path / "out", resume=True)).path.read_bytes() == DATA
    async with client.stream("GET", files.url, headers={"Range": "bytes=400-499"}) as response:
        assert (await response.save(tmp_path / "range")).path.read_bytes() == DATA[400:500]
    assert listed(tmp_path) == ["out", "range"]


async def test_a_response_saved_for_resume_is_gone_on_with_by_a_download(client: Client, files: Files, tmp_path: Path) -> None:
    files.cuts = iter([400])
    async with client.stream("GET", files.url) as response:
        with pytest.raises(aioreq.IncompleteBody):
            await response.save(tmp_path / "out", resume=True)
    assert (await client.download(files.url, tmp_path / "out", resume=True)).path.read_bytes() == DATA
    assert files.asked == [(None, None), ("bytes=400-", '"one"')]


async def test_a_redirected_response_is_gone_on_with_too(client: Client, server: Server, files: Files, tmp_path: Path) -> None:
    server.route("/latest", Reply(302, [("Location", "/file")]))
    files.cuts = iter([400])
    async with client.stream("GET", server.url + "/latest") as response:
        with pytest.raises(aioreq.IncompleteBody):
            await response.save(tmp_path / "out", resume=True)
    await client.download(server.url + "/latest", tmp_path / "out", resume=True)
    assert files.asked[-1] == ("bytes=400-", '"one"')


async def test_a_response_that_cannot_be_saved_is_let_go(client: Client, files: Files, tmp_path: Path) -> None:
    for path in (tmp_path / "no" / "out", 5):
        async with client.stream("GET", files.url) as response:
            with pytest.raises((OSError, TypeError)):
                await response.save(path)  # type: ignore[arg-type]
            with pytest.raises(aioreq.LocalProtocolError):
                await response.read()


# -- what is let go


async def test_what_was_interrupted_does_not_wait_for_the_collector(client: Client, files: Files, tmp_path: Path) -> None:
    files.cuts = iter([100] * 8)
    gc.collect()
    gc.disable()
    try:
        await client.download(files.url, tmp_path / "out", retry=PERSISTENT)
        left = [found for found in gc.get_objects() if isinstance(found, aioreq.AioreqError | aioreq.StreamResponse)]
        assert len(files.asked) == 9
        assert [repr(found) for found in left] == []
    finally:
        gc.enable()
