"""Every example and every block of code in the README, run against the embedded server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from websocket_rooms import rooms

import aioreq
from aioreq.testing import Server, httpbin

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
README = ROOT / "README.md"
SECONDS = 60  # until a script that hangs fails its test

BLOCKS = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE) if README.exists() else []


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(routes=httpbin, record=False) as server:
        yield server


def run(name: str, *arguments: str, status: int = 0, first: Path | None = None, said: str = "") -> str:
    """What an example prints; nothing goes to stderr. `first` is a folder to import from before any other; `said` what it can read."""
    package = os.pathsep.join([*([str(first)] if first else []), str(Path(aioreq.__file__).parent.parent)])
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments],
        env={**os.environ, "PYTHONPATH": package, "PYTHONASYNCIODEBUG": "", "PYTHONIOENCODING": "utf-8"},
        input=said,
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (status, ""), done.stdout
    return done.stdout


def test_every_example_is_run() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(re.findall(r'run\("(\w+\.py)"', source))


def test_quickstart(server: Server) -> None:
    out = run("quickstart.py", server.url)
    assert "200 OK application/json" in out
    assert f"{server.url}/get after [302, 302]" in out
    assert "['0', '1', '2', '3', '4']" in out


def test_stream_download(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "bytes"
    assert run("stream_download.py", server.url + "/bytes/1000000", str(target)) == "1000000 bytes\n"
    assert target.read_bytes() == (bytes(range(251)) * 4000)[:1_000_000]
    assert list(tmp_path.iterdir()) == [target]


def test_upload(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 300_000)
    out = run("upload.py", server.url + "/anything", str(path))
    assert out.splitlines() == [
        "file: 300000 characters",
        "generator: ['line 0', 'line 1', 'line 2']",
        "form: name=aioreq&tag=a&tag=b",
        'json: {"n":1,"nothing":null}',
    ]


def test_llm_stream() -> None:
    out = run("llm_stream.py").splitlines()
    assert out[0].startswith("Events are text , and each")
    assert out[1:3] == ["Events are text , ...", "the model stopped early: True"]
    assert re.fullmatch(r"POST 127\.0\.0\.1/v1/chat/completions: 401 .* \{'error': 'who are you\?'\}", out[3])


def test_middleware(server: Server) -> None:
    out = run("middleware.py", server.url)
    assert re.findall(r"GET (\S+): (\d+) after", out) == [
        ("/redirect/2", "302"),
        ("/redirect/1", "302"),
        ("/get", "200"),
        ("/bytes/100000", "200"),
    ]
    assert "32 digits\n" in out
    assert "100000 bytes\n" in out


def test_many_requests(server: Server) -> None:
    assert run("many_requests.py", server.url) == "{'200': 1000, '404': 1, '500': 1}\n"


def test_sync_script(server: Server) -> None:
    out = run("sync_script.py", server.url).splitlines()
    assert out[:3] == ["<Response 200 OK> {'q': 'hello'}", "[1,2,3]", str([str(n) for n in range(8)])]
    assert "404" in out[3]


def test_timeouts_and_errors(server: Server) -> None:
    said = [line.partition(": ")[2].partition(":")[0] for line in run("timeouts_and_errors.py", server.url).splitlines()]
    assert said == [
        "10 bytes",
        "too slow (TotalTimeout)",
        "too slow (ReadTimeout)",
        "refused",
        "something else",
        "no connection (ConnectError)",
        "no connection (DNSError)",
        "wrong URL",
    ]


def test_websocket_chat() -> None:
    with rooms() as url:
        out = run("websocket_chat.py", f"{url}/echo", "ann", said="hello\nwho is there?\n")
    assert out.splitlines()[1:] == ['{"name":"ann","text":"hello"}', '{"name":"ann","text":"who is there?"}']


def test_the_demo() -> None:
    out = run("demo.py")
    assert out.startswith(f"aioreq {aioreq.__version__}, ")
    assert out.endswith("\neverything worked\n")
    assert "FAILED" not in out
    assert re.search(r"^many +200 at once, 5 times: \d+ requests/s, median [\d.]+ ms, 99th percentile [\d.]+ ms$", out, re.MULTILINE)
    assert re.search(r"^TLS +HTTP/1.1 200 OK from https://", out, re.MULTILINE)
    assert len(out.splitlines()) < 40


def test_the_demo_without_the_package_for_certificates(tmp_path: Path) -> None:
    (tmp_path / "cryptography.py").write_text("raise ImportError('not here')", encoding="utf-8")
    out = run("demo.py", first=tmp_path)
    assert re.search(r"^TLS +skipped: .*pip install 'aioreq\[test\]'$", out, re.MULTILINE)
    assert out.endswith("\neverything worked\n")


def test_the_demo_on_a_url(server: Server) -> None:
    out = run("demo.py", server.url + "/redirect/1")
    assert f"HTTP/1.1 200 OK from {server.url}/get after 1 redirects" in out
    assert "  Content-Type: application/json\n" in out
    assert re.search(r"^many +200 at once", out, re.MULTILINE)
    assert out.endswith("\neverything worked\n")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "www.google.com"])
def test_the_demo_tells_when_something_failed(url: str) -> None:
    out = run("demo.py", url, status=1)
    assert "FAILED: " in out
    assert out.endswith("\nsomething FAILED\n")


@pytest.mark.skipif(not README.exists(), reason="the README isn't beside these tests")
def test_the_readme_has_code() -> None:
    assert len(BLOCKS) >= 5


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_the_readme_runs(server: Server, block: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "://127.0.0.1:8000" in block
    with rooms() if "ws://" in block else nullcontext("") as sockets:
        block = block.replace("http://127.0.0.1:8000", server.url).replace("ws://127.0.0.1:8000", sockets)
        exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out
