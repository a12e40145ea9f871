"""The benchmark suite works: servers start and stop, bodies are checked, rounds become medians and ratios. No test asserts a time."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from aioreq.parser import IMPLEMENTATION

ROOT = Path(__file__).parent.parent
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("benchmarks/ isn't here: a wheel is tested", allow_module_level=True)
sys.path.insert(0, str(ROOT))

from benchmarks import __main__ as command  # noqa: E402
from benchmarks import alternate, chart, instructions, report, rounds  # noqa: E402
from benchmarks.clients import CLIENTS  # noqa: E402
from benchmarks.clients.adapter import WebSocket  # noqa: E402
from benchmarks.parser import WIRES, run_aioreq  # noqa: E402
from benchmarks.processes import Failed, measure  # noqa: E402
from benchmarks.servers import Servers, nginx, running  # noqa: E402
from benchmarks.worker import WrongAnswer, echoes  # noqa: E402
from benchmarks.workloads import MAIN, WORKLOADS  # noqa: E402

OURS = "aioreq" if IMPLEMENTATION == "compiled" else "aioreq-pure"
# The bare client takes other ways with other bodies; the embedded server has no chunks.
MEASURED = [
    *((OURS, name) for name, workload in WORKLOADS.items() if workload.kind != "import"),
    *(("bare", name) for name in ("json-1", "tls-32", "1mb-8", "chunks-small", "gzip", "download", "upload", "connect", "post")),
    *(("bare-plain", name) for name in ("json-32", "1mb", "download")),
]
FEW = {name: 2 for name, workload in WORKLOADS.items() if not workload.requests or workload.quick > 2}  # of others as many as they make
EMBEDDED = ["json-1", "tls-1", "10kb", "1mb", "gzip", "download", "upload", "connect", "post"]
if OURS == "aioreq-pure":  # the suite itself is the same: a sample
    MEASURED = [(OURS, name) for name in ("json-1", "chunks-small", "upload", "ws-32", "sse")]
    EMBEDDED = ["json-1"]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    if nginx() is None:
        if os.environ.get("AIOREQ_PEERS") == "required":
            pytest.fail("nginx isn't installed, and AIOREQ_PEERS=required")
        pytest.skip("nginx isn't installed")
    with running() as servers:
        yield servers


@pytest.fixture(scope="module")
def embedded() -> Iterator[Servers]:
    with running(embedded=True) as servers:
        yield servers


@pytest.mark.slow
@pytest.mark.parametrize(("client", "name"), MEASURED)
def test_each_workload_brings_whole_bodies(servers: Servers, client: str, name: str) -> None:
    """The worker compares every body, and fails on another one; nginx counts what was uploaded and each connection's requests."""
    workload = WORKLOADS[name]
    figures = measure(client, workload, servers, "asyncio", 0, FEW.get(name, 0))
    assert figures[workload.figure] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", EMBEDDED)
def test_the_embedded_server_stands_in_for_nginx(embedded: Servers, name: str) -> None:
    workload = WORKLOADS[name]
    assert measure(OURS, workload, embedded, "asyncio", 0, 0 if workload.requests else 2)[workload.figure] > 0


def test_a_wrong_body_fails(embedded: Servers) -> None:
    lying = replace(embedded, web=embedded.web + "/json?")  # every path is the small document's
    with pytest.raises(Failed, match="200 bytes of body instead of 10000"):
        measure(OURS, WORKLOADS["10kb"], lying, "asyncio", 0, 1)


async def test_a_wrong_echo_fails() -> None:
    async def send(message: bytes | str) -> None:
        sent.append(message)

    async def receive() -> bytes | str:
        return sent.popleft() if len(sent) > 2 else b"another"

    async def close() -> None:
        pass

    sent = deque[bytes | str]()
    with pytest.raises(WrongAnswer, match="an echo of 7 instead of 5"):
        await echoes(WebSocket(send, send, receive, close), b"hello", 9, 4, [])
    assert len(sent) == 2


def test_servers_stop_with_the_suite() -> None:
    with running(embedded=True) as servers:
        ports = [urlsplit(url).port for url in (servers.web, servers.tls, servers.chunked, servers.echo)]
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port or 0), timeout=1)


@pytest.mark.slow
def test_the_command_writes_table_json_and_chart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--json", str(tmp_path / "figures.json"), "--chart", str(tmp_path / "chart.svg")]
    command.main(["json-1", "import", "--clients", "bare", OURS, "--rounds", "1", "--requests", "3", *files])
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert set(figures["workloads"]) == {"json-1", "import"}
    small = figures["workloads"]["json-1"]
    assert set(small["clients"]) == {"bare", OURS}
    assert small["clients"]["bare"]["ratios"] == {"bare": 1.0}
    assert small["clients"][OURS]["requests"] == 3
    assert figures["workloads"]["import"]["left out"] == {"bare": "no package of its own"}
    assert figures["machine"]["rounds"] == 1
    assert ET.parse(tmp_path / "chart.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
    printed = capsys.readouterr().out
    assert "json-1: small JSON" in printed
    assert f"{OURS} " in printed


@pytest.mark.slow
def test_two_checkouts_in_turns(embedded: Servers) -> None:
    ratios = alternate.ratios(ROOT, ROOT, WORKLOADS["json-1"], embedded, pairs=2, seconds=0.01, client=OURS, loop="asyncio")
    assert len(ratios) == 2
    assert all(ratio > 0 for ratio in ratios)


def test_names_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["--list"])
    printed = capsys.readouterr().out
    assert all(f"{name} " in printed for name in [*WORKLOADS, *CLIENTS])
    with pytest.raises(SystemExit):
        command.main(["no-such-workload"])
    assert set(MAIN) <= set(WORKLOADS)


# -- arithmetic


def result(figures: list[dict[str, float]], **left_out: str) -> rounds.Result:
    """Rounds of CPU microseconds by client."""
    made = [
        {name: {"cpu_us": cpu, "per_second": 1e6 / cpu, "p50_ms": 1.0, "p99_ms": 2.0, "peak_mb": 20.0} for name, cpu in one.items()}
        for one in figures
    ]
    return rounds.Result(WORKLOADS["json-32"], made, left_out)


def test_ratios_are_taken_within_each_round() -> None:
    # The machine was three times as slow in the second round: the ratio of the medians would be 30 / 80.
    summary = report.summary(result([{"aioreq": 10, "aiohttp": 40}, {"aioreq": 30, "aiohttp": 120}, {"aioreq": 40, "aiohttp": 80}]))
    assert summary["clients"]["aioreq"]["cpu_us"] == 30
    assert summary["clients"]["aioreq"]["ratios"] == {"aiohttp": 0.25}
    assert summary["clients"]["aiohttp"]["ratios"] == {"aiohttp": 1.0}


def test_a_client_of_fewer_rounds_is_held_against_those() -> None:
    summary = report.summary(result([{"aioreq": 10, "httpx": 100}, {"aioreq": 50}, {"aioreq": 50}]))
    assert summary["clients"]["aioreq"]["ratios"] == {"httpx": 0.1}
    assert summary["clients"]["httpx"]["rounds"] == 1


def test_the_table_says_who_is_left_out_and_why() -> None:
    printed = report.table(result([{"bare": 20, "aioreq": 30}], wreq="wreq isn't installed"))
    assert printed.splitlines()[-1].split("left out: ") == ["wreq            ", "wreq isn't installed"]
    assert printed.splitlines()[-2].split()[:3] == ["aioreq", "30.0", "1.50"]


def test_a_missing_client_is_left_out() -> None:
    taking, left_out = rounds.entrants(WORKLOADS["tls-32"], ["bare", "bare-plain", "aioreq"])
    assert taking == ["bare", "aioreq"]
    assert list(left_out) == ["bare-plain"]


def test_each_protocol_has_its_own_clients() -> None:
    names = ["bare", "picows", "aioreq", "aiohttp", "httpx"]
    installed = [name for name in names if CLIENTS[name].missing() is None]
    assert rounds.entrants(WORKLOADS["json-1"], installed) == ([name for name in installed if name != "picows"], {})
    assert rounds.entrants(WORKLOADS["ws-1"], installed) == ([name for name in ("picows", "aioreq", "aiohttp") if name in installed], {})
    taking, left_out = rounds.entrants(WORKLOADS["ws-pieces"], installed)
    assert taking == ["aioreq"]
    assert set(left_out) == {"picows", "aiohttp"} & set(installed)
    assert rounds.entrants(WORKLOADS["sse"], installed)[0] == [name for name in ("aioreq", "aiohttp", "httpx") if name in installed]


def test_the_spread_of_ratios() -> None:
    middle, low, high = alternate.spread([float(n) for n in range(100)])
    assert (middle, low, high) == (49.5, 40, 59)
    assert alternate.spread([1.5]) == (1.5, 1.5, 1.5)


def test_the_chart_has_a_bar_a_client_as_long_as_it_is_fast() -> None:
    summary: dict[str, Any] = report.summary(result([{"aioreq": 20, "aiohttp": 80, "bare": 16, "<odd & name>": 40}]))
    drawn = ET.fromstring(chart.chart(summary, {"python": "CPython", "loop": "asyncio"}))
    svg = "{http://www.w3.org/2000/svg}"
    widths = [float(rect.attrib["width"]) for rect in drawn.iter(f"{svg}rect")]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] / widths[3] == pytest.approx(80 / 16, rel=0.01)
    labels = [text.text for text in drawn.iter(f"{svg}text")]
    assert {"aioreq", "aiohttp", "bare (the limit)", "<odd & name>", "50,000"} <= set(labels)


@pytest.mark.parametrize("wire", WIRES)
def test_the_parser_reads_what_it_is_measured_on(wire: str) -> None:
    _, data, expected, _ = WIRES[wire]
    assert run_aioreq(data, 2) == expected


def test_a_cold_script_imports_no_more_than_it_needs() -> None:
    code = "import sys, benchmarks.cold; print([name for name in ('argparse', 'json', 'statistics') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


# --- the client's own work


@pytest.mark.longer
@pytest.mark.skipif(sys.implementation.name != "cpython" or sys.version_info[:2] != (3, 11), reason="the line is drawn for CPython 3.11")
@pytest.mark.skipif(IMPLEMENTATION != "compiled", reason="the line is drawn for the compiled parser")
def test_a_warm_get_keeps_to_its_instructions() -> None:
    """On a transport that answers inside `write()`, above the bare client there: counted, so that no machine's mood matters."""
    if shutil.which("valgrind") is None:
        if os.environ.get("AIOREQ_PEERS") == "required":
            pytest.fail("valgrind is missing")
        pytest.skip("valgrind is missing")
    counts = {name: instructions.a_request(name) for name in instructions.CLIENTS}
    assert counts["bare"] > 5_000
    assert counts["aioreq"] - counts["bare"] < 51_000, counts
