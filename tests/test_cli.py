"""The command: arguments in, bytes out, exit status. In this process where that is enough, in one of its own for signals and pipes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from files import Files

import aioreq
from aioreq.cli import main
from aioreq.parser import IMPLEMENTATION
from aioreq.testing import Close, Reply, Request, Server, httpbin

posix_only = pytest.mark.skipif(os.name != "posix", reason="signals and broken pipes are POSIX's")


def without_slow_steps(stderr: bytes) -> bytes:
    """Without what asyncio's debug mode tells of a busy machine."""
    return re.sub(rb"Executing <.* took [0-9.]+ seconds\n", b"", stderr)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """What is started isn't deaf to SIGINT, though whoever started the tests may be, in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(routes=httpbin) as server:
        yield server
        assert server.errors == []


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "aioreq", *arguments]


def usage_error(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """What the command says of arguments that it refuses."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    out, err = capfd.readouterr()
    assert out == ""
    return err


def test_the_body_goes_to_stdout_and_nothing_else(server: Server, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main([server.url + "/bytes/300000"]) == 0
    out, err = capfdbinary.readouterr()
    assert out == (bytes(range(251)) * 1200)[:300000]
    assert err == b""


@pytest.mark.parametrize("status", [204, 404, 500])
def test_every_response_is_a_success(server: Server, status: int) -> None:
    assert main([f"{server.url}/status/{status}"]) == 0


def test_the_body_is_decoded_and_redirects_are_followed(server: Server, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main([server.url + "/redirect-to?url=/gzip"]) == 0
    assert capfdbinary.readouterr().out.startswith(b"{")
    assert [request.path for request in server.requests] == ["/redirect-to", "/gzip"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["-H", "A: 1", "B: x y", "URL"],
        ["-H", "A: 1", "-H", "B: x y", "URL"],
        ["-H", "A:1", "B:x y", "URL"],
        ["URL", "-H", "A: 1", "B: x y"],
        ["URL", "--headers", "A: 1", "--headers", "B: x y"],
        ["-H", "A: 1", "URL", "B: x y"],
        ["-H", "A: 1", "B: x y", "-X", "GET", "URL"],
        ["-H", "A: 1", "B: x y", "--", "URL"],
    ],
)
def test_headers_and_the_url_are_told_apart(server: Server, arguments: list[str]) -> None:
    assert main([argument.replace("URL", server.url + "/get?a:b") for argument in arguments]) == 0
    [request] = server.requests
    assert request.target == b"/get?a:b"
    assert [(name, value) for name, value in request.headers if name in (b"A", b"B")] == [(b"A", b"1"), (b"B", b"x y")]


@pytest.mark.parametrize("value", ["http://other/", "//other/", "a: b", "{}"])
def test_a_header_value_may_look_like_anything(server: Server, value: str) -> None:
    assert main(["-H", f"Link-To: {value}", server.url + "/get"]) == 0
    assert server.requests[0].header_values("link-to") == [value]


def test_a_field_without_a_value_removes_a_default(server: Server) -> None:
    main([server.url + "/get"])
    main(["-H", "User-Agent:", server.url + "/get"])
    with_default, without = server.requests
    assert with_default.header("user-agent") is not None
    assert without.header("user-agent") is None


def test_a_user_agent(server: Server) -> None:
    main(["-A", "mine/1", server.url + "/get"])
    main(["-A", "mine/1", "-H", "user-agent: other/2", server.url + "/get"])
    assert [request.header_values("user-agent") for request in server.requests] == [["mine/1"], ["other/2"]]


@pytest.mark.parametrize(("arguments", "method"), [([], "GET"), (["-X", "DELETE"], "DELETE"), (["--method", "HEAD"], "HEAD")])
def test_the_method(server: Server, arguments: list[str], method: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, server.url + "/anything"]) == 0
    assert server.requests[0].method == method
    assert (capfd.readouterr().out == "") == (method == "HEAD")


def test_data_is_posted_as_a_form(server: Server) -> None:
    assert main([server.url + "/anything", "-d", "a=1", "-d", "b=ü"]) == 0
    [request] = server.requests
    assert (request.method, request.body) == ("POST", "a=1&b=ü".encode())
    assert request.header_values("content-type") == ["application/x-www-form-urlencoded"]


def test_no_data_is_data_too(server: Server) -> None:
    assert main([server.url + "/anything", "-d", ""]) == 0
    [request] = server.requests
    assert (request.method, request.body, request.header("content-length")) == ("POST", b"", "0")


def test_data_with_a_method_and_a_type_of_its_own(server: Server) -> None:
    assert main(["-X", "PUT", "-d", "{}", "-H", "content-type: application/json", server.url + "/anything"]) == 0
    [request] = server.requests
    assert (request.method, request.body) == ("PUT", b"{}")
    assert request.header_values("content-type") == ["application/json"]


def test_data_from_a_file_goes_out_as_it_is(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"\x00\r\n\xff")
    assert main(["-d", f"@{tmp_path / 'data'}", server.url + "/anything"]) == 0
    assert server.requests[0].body == b"\x00\r\n\xff"


def test_data_from_stdin(server: Server) -> None:
    done = subprocess.run(command("-d", "@-", server.url + "/anything"), input=b"from stdin\n", capture_output=True, check=True)
    assert without_slow_steps(done.stderr) == b""
    assert server.requests[0].body == b"from stdin\n"


def test_include_writes_the_head_before_the_body(server: Server, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    server.route("/here", Reply(201, [("X-One", "1"), ("x-two", "ü"), ("X-One", "3")], b"body", reason="Made It"))
    assert main(["-i", server.url + "/here"]) == 0
    expected = "HTTP/1.1 201 Made It\r\nX-One: 1\r\nx-two: ü\r\nX-One: 3\r\nContent-Length: 4\r\n\r\nbody"
    assert capfdbinary.readouterr().out == expected.encode()


def test_verbose_shows_every_head_on_stderr(server: Server, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    server.route("/first", Reply(302, [("Location", "/second")], b"dropped"))
    server.route("/second", Reply(200, [("X-One", "1")], b"body"))
    assert main(["-v", "-d", "a=1", server.url + "/first"]) == 0
    out, err = capfdbinary.readouterr()
    heads = [b"".join(b"> " + line + b"\n" for line in request.head.split(b"\r\n")[:-1]) for request in server.requests]
    assert out == b"body"
    assert err.replace(os.linesep.encode(), b"\n") == (
        heads[0] + b"< HTTP/1.1 302 Found\n< Location: /second\n< Content-Length: 7\n< \n"
        + heads[1] + b"< HTTP/1.1 200 OK\n< X-One: 1\n< Content-Length: 4\n< \n"
    )  # fmt: skip


def test_output_goes_to_a_file(server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["-o", str(tmp_path / "out"), server.url + "/bytes/70000"]) == 0
    assert capfd.readouterr().out == ""
    assert (tmp_path / "out").read_bytes() == (bytes(range(251)) * 300)[:70000]


def test_a_failed_request_leaves_the_file_as_it_was(server: Server, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("old")
    server.script(b"HTTP/1.1 200 OK\r\nbroken head\r\n\r\n", Close())
    assert main(["-o", str(tmp_path / "out"), server.url + "/get"]) == 1
    assert (tmp_path / "out").read_text() == "old"


def test_a_body_that_breaks_leaves_the_file_as_it_was(server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("old")
    server.script(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", Close())
    assert main(["-o", str(tmp_path / "out"), server.url + "/get"]) == 1
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("out", "old")]
    assert "4 of 10" in capfd.readouterr().err


def test_the_head_goes_to_the_file_too(server: Server, tmp_path: Path) -> None:
    server.route("/here", Reply(200, [], b"body"))
    assert main(["-i", "-o", str(tmp_path / "out"), server.url + "/here"]) == 0
    assert (tmp_path / "out").read_bytes() == b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"


def test_a_folder_takes_the_name_that_the_server_gives(server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    server.route("/x", Reply(200, [("Content-Disposition", 'attachment; filename="../../.a.txt"')], b"body"))
    for status in (0, 1):  # and replaces nothing there
        assert main(["-o", str(tmp_path), server.url + "/x"]) == status
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "body")]
    assert "a.txt" in capfd.readouterr().err


@posix_only
def test_a_device_is_written_to_and_stays_one(server: Server) -> None:
    assert main(["-o", "/dev/null", server.url + "/bytes/10"]) == 0
    assert not os.path.isfile("/dev/null")


@pytest.mark.parametrize("option", [["-C", "-"], ["--continue"]])
def test_an_interrupted_download_is_continued(server: Server, tmp_path: Path, option: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    files = Files(server, bytes(range(250)))
    files.cut_at = lambda start, length: 0 if start == 100 else 100
    arguments = [*option, "-o", str(tmp_path / "out"), "-H", "A: 1", files.url]
    assert main(arguments) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.part", ".out.part.json"]
    assert len(capfd.readouterr().err.splitlines()) == 1
    files.cut_at = lambda start, length: None
    assert main([*arguments, "-v"]) == 0
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("out", files.data)]
    assert files.asked[-1] == ("bytes=100-", '"one"')
    out, err = capfd.readouterr()
    assert out == ""
    assert "> A: 1\n" in err
    assert "< HTTP/1.1 206 X\n" in err


def test_a_page_that_says_no_is_not_continued(server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["-C", "-", "-o", str(tmp_path / "out"), server.url + "/status/404"]) == 1
    assert "404" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


@posix_only
@pytest.mark.parametrize("option", [[], ["--continue"]])
def test_a_terminal_shows_a_bar(server: Server, tmp_path: Path, option: list[str]) -> None:
    pytest.importorskip("rich")
    import pty

    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    arguments = command(*option, "-o", str(tmp_path / "[red]out"), server.url + "/bytes/300000")
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:  # how a terminal ends
            pass
        os.close(ours)
        assert process.stdout is not None
        assert process.stdout.read() == b""
        assert process.wait(30) == 0
    assert b"[red]out" in shown
    assert b"300.0/300.0 kB" in shown
    assert (tmp_path / "[red]out").stat().st_size == 300_000


def test_a_file_that_cannot_be_written_is_an_error(server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["-o", str(tmp_path / "no" / "out"), server.url + "/get"]) == 1
    [line] = capfd.readouterr().err.splitlines()
    assert str(tmp_path / "no" / "out") in line


def test_a_truncated_body_is_an_error_after_what_arrived(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    server.script(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", Close())
    assert main([server.url + "/get"]) == 1
    out, err = capfd.readouterr()
    assert out == "half"
    assert len(err.splitlines()) == 1


def test_no_server_is_one_line_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert main([f"http://127.0.0.1:{port}/"]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("aioreq: ")
    assert str(port) in err


@pytest.mark.parametrize("url", ["example.com/path", "ftp://example.com/", "http://exa mple.com/", ""])
def test_a_url_that_cannot_be_requested(url: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([url]) == 1
    assert len(capfd.readouterr().err.splitlines()) == 1


def test_a_header_that_cannot_be_sent(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["-H", "A: 1\r\nB: 2", server.url + "/get"]) == 1
    assert len(capfd.readouterr().err.splitlines()) == 1
    assert server.requests == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no URL"),
        (["-H", "a: b"], "no URL"),
        (["-H", "localhost:8000/"], "no URL"),
        (["-H", "no-field", "http://localhost/"], "no-field"),
        (["http://a/", "http://b/"], "http://b/"),
        (["http://a/", "-H", "a: b", "http://b/"], "http://b/ http://a/"),
        (["--no-such-option", "http://a/"], "--no-such-option"),
        (["http://a/", "-d", "@/no/such/file"], "/no/such/file"),
        (["--continue", "http://a/"], "-o"),
        (["-C", "-", "http://a/"], "-o"),
        (["-C", "-", "-o", "x", "-i", "http://a/"], "-i"),
        (["-C", "-", "-o", "x", "-d", "a=1", "http://a/"], "-d"),
        (["-C", "-", "-o", "x", "-X", "POST", "http://a/"], "-X"),
        (["-C", "5", "-o", "x", "http://a/"], "-C"),
        (["-C", "-", "-o", "x", "http://a/", "-H", "range: bytes=0-"], "Range"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert said in usage_error(arguments, capfd)


def test_help_names_every_option(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    out = capfd.readouterr().out
    for option in ("-X, --method", "-H, --headers", "-d, --data", "-A, --user-agent", "-o, --output", "-i, --include", "-v, --verbose"):
        short, long = option.split(", ")
        assert f"  {short}" in out
        assert f"{long} " in out or f"{long}\n" in out
    assert "--version" in out
    assert "-C -" in out
    assert "--continue" in out


def test_the_version_tells_which_parser_runs() -> None:
    said = subprocess.run(command("--version"), capture_output=True, check=True, text=True).stdout
    assert said.startswith(f"aioreq {aioreq.__version__} ({IMPLEMENTATION} parser, Python {sys.version_info[0]}.")


@pytest.fixture
def held(server: Server) -> Iterator[threading.Event]:
    """`/held` sends 5 bytes and the rest, 1 MiB and more without end, once the event is set."""
    release = threading.Event()

    def answer(request: Request) -> AsyncIterator[bytes]:
        async def body() -> AsyncIterator[bytes]:
            yield b"first"
            await asyncio.to_thread(release.wait)
            while True:
                yield b"x" * 65536
                await asyncio.sleep(0)

        return body()

    server.route("/held", answer)
    yield release
    release.set()


@posix_only
def test_the_body_is_written_as_it_arrives_and_a_closed_pipe_ends_it_quietly(server: Server, held: threading.Event) -> None:
    with subprocess.Popen(command(server.url + "/held"), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(5) == b"first"
        process.stdout.close()
        held.set()
        assert without_slow_steps(process.stderr.read()) == b""
        assert process.wait(30) == 141


@posix_only
def test_ctrl_c_ends_it_quietly(server: Server, held: threading.Event, interruptible: None) -> None:
    with subprocess.Popen(command(server.url + "/held"), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(5) == b"first"
        process.send_signal(signal.SIGINT)
        assert without_slow_steps(process.stderr.read()) == b""
        assert process.wait(30) == 130
