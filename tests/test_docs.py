"""Every block of Python in docs/ is run: a script against the embedded server or one of WebSocket, a block of tests by pytest."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from peers import needed_module
from websocket_rooms import rooms

import aioreq
from aioreq.testing import Server, httpbin

DOCS = Path(__file__).parent.parent / "docs"
SECONDS = 60  # until a block that hangs fails its test
NEEDED = re.compile(r"^(?:import|from) (?:aioreq\.compat\.)?(aiohttp|anthropic|httpx2?|openai)\b", re.MULTILINE)  # packages of some pages

BLOCKS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in sorted(DOCS.glob("*.md"))
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE))
]


@pytest.mark.skipif(not DOCS.exists(), reason="the docs aren't beside these tests")
def test_there_are_blocks() -> None:
    assert len(BLOCKS) >= 5


@pytest.mark.skipif(not DOCS.exists(), reason="the docs aren't beside these tests")
def test_the_order_of_the_chain_is_told_as_it_is() -> None:
    told = re.findall(r"^\| `(\w+MiddleWare)`", (DOCS / "middlewares.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert tuple(told) == aioreq.middlewares.default_middlewares
    link, stands = aioreq.Client().middlewares, []
    while link.linked:
        stands.append(type(link).__name__)
        link = link.next_middleware
    assert stands == told


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_runs(block: str, tmp_path: Path) -> None:
    for package in NEEDED.findall(block):
        needed_module(package, package)
    tests = re.search(r"^(async )?def test_", block, re.MULTILINE)
    script = tmp_path / "test_block.py"
    pytest_options = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto"]
    pytest_options += ["-o", "asyncio_default_fixture_loop_scope=function"]
    options = ["-W", "error", *(pytest_options if tests else [])]
    with Server(routes=httpbin, record=False) as server, rooms() if "ws://" in block else nullcontext("") as sockets:
        block = block.replace("ws://127.0.0.1:8000", sockets)
        script.write_text(block.replace("127.0.0.1:8000", f"{server.host}:{server.port}"), encoding="utf-8")
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(aioreq.__file__).parent.parent),
            "PYTHONASYNCIODEBUG": "",
            "PYTHONIOENCODING": "utf-8",
        }
        done = subprocess.run(
            [sys.executable, *options, str(script)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout
