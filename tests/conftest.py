"""What every test stands on: the loop to run on, the parser that runs, servers, and the check that nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import aioreq
import aioreq.tls
from aioreq.parser import IMPLEMENTATION
from aioreq.testing import Authority, Server, httpbin

pytest_plugins = ["peers", "gate"]  # real servers and proxies (nginx, squid, tinyproxy, socks, ...); a route that waits

# A proxy of the machine that runs the tests isn't theirs.
for _name in [name for name in os.environ if name.lower() in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")]:
    del os.environ[_name]

TURNS = 200  # of the loop, that transports and tasks get to end after a test
HANGING = 60  # seconds for a test that asked for `no_hanging`; for the others, see pyproject.toml


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--loop", choices=("asyncio", "uvloop"), default="asyncio", help="the event loop that asynchronous tests run on")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("no_loop") is not None and item.get_closest_marker("asyncio") is not None:
            raise pytest.UsageError(f"{item.nodeid} runs on the loop: nothing asynchronous may be marked no_loop")
        if "no_hanging" in getattr(item, "fixturenames", ()) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(HANGING))


def pytest_collection_finish() -> None:
    """What is there before the first test stays: the tests that collect garbage needn't look through it each time."""
    gc.collect()
    gc.freeze()


def pytest_report_header(config: pytest.Config) -> str:
    debug = ", asyncio debug mode" if os.environ.get("PYTHONASYNCIODEBUG") else ""
    return f"aioreq {aioreq.__version__}: the {IMPLEMENTATION} parser, on {config.getoption('--loop')}{debug}"


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if config.getoption("--loop") == "uvloop":
        import uvloop

        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


def open_sockets() -> set[str]:
    """The network sockets that this process has open; empty where the system can't tell. (Loops keep socket pairs of their own.)"""
    found: set[str] = set()
    if not os.path.isdir("/proc/self/fd"):
        return found
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{name}")
            if target.startswith("socket:"):
                with socket.socket(fileno=os.dup(int(name))) as copy:
                    if copy.family in (socket.AF_INET, socket.AF_INET6):
                        found.add(target)
    return found


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each asynchronous test: no socket that it opened, no task that still runs."""
    if request.node.get_closest_marker("asyncio") is not None:
        request.getfixturevalue("_loop_left_clean")
    yield
    gc.collect(0)


@pytest.fixture
async def _loop_left_clean() -> AsyncIterator[None]:
    before = open_sockets()
    yield
    for _ in range(TURNS):
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        sockets = open_sockets() - before
        if not tasks and not sockets:
            return
        await asyncio.sleep(0.001)
    pytest.fail(f"left behind: tasks {tasks or 'none'}, sockets {sockets or 'none'}")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """The embedded server with httpbin's routes."""
    async with Server(routes=httpbin) as server:
        yield server


@pytest.fixture
async def tls_server() -> AsyncIterator[Server]:
    """The same over TLS."""
    async with Server(routes=httpbin, tls=True) as server:
        yield server


@pytest.fixture
async def client() -> AsyncIterator[aioreq.Client]:
    async with aioreq.Client(timeout=aioreq.Timeout(total=30)) as client:
        yield client


@pytest.fixture(params=["plain", "tls"])
async def served(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Server, aioreq.Client]]:
    """The embedded server, plain and over TLS, and a client that trusts it, tries once, one connection at a time."""
    async with Server(routes=httpbin, tls=request.param == "tls") as server:
        limits, timeout = aioreq.Limits(connections=1), aioreq.Timeout(total=15, pool=5)
        async with aioreq.Client(retry=0, verify=server.ca or True, limits=limits, timeout=timeout) as client:
            yield server, client


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses connections: taken, but nobody listens, and nobody else can."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture(scope="session")
def authority() -> Authority:
    """A certificate authority that nobody trusts who isn't given its `ca`."""
    return Authority()


@pytest.fixture
def ca(authority: Authority, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.pem)
    return path


@pytest.fixture
def own_contexts(monkeypatch: pytest.MonkeyPatch) -> dict[Any, ssl.SSLContext]:
    """A cache of TLS contexts for this test alone, and an environment that says nothing."""
    contexts: dict[Any, ssl.SSLContext] = {}
    monkeypatch.setattr(aioreq.tls, "_contexts", contexts)
    for name in ("SSLKEYLOGFILE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    return contexts


@pytest.fixture
async def no_hanging() -> AsyncIterator[None]:
    """A test that hangs fails soon (HANGING); so does one in which the loop had something to complain about."""
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
    yield
    assert complaints == []
