"""Libraries on aiohttp's client, with the import swapped in a process of their own; and how that swap behaves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from peers import needed_module

import aioreq

from .libraries import LIBRARIES

pytestmark = pytest.mark.no_loop

SECONDS = 60  # until a process that hangs fails its test


def run(*arguments: str) -> tuple[int, str, str]:
    """What a Python process ends with, prints, and complains of; unclosed sessions and connectors among it."""
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(aioreq.__file__).parent.parent), "PYTHONASYNCIODEBUG": "", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
    )
    return done.returncode, done.stdout.strip(), done.stderr


@pytest.mark.parametrize("served_by", ["aioreq", "aiohttp"])
@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_makes_its_calls(name: str, served_by: str) -> None:
    needed_module("aiohttp", "aiohttp")
    needed_module(name.replace("-", "_"), name)
    status, said, complaints = run(str(Path(__file__).with_name("libraries.py")), name, *["aiohttp"] * (served_by == "aiohttp"))
    assert (status, said) == (0, "as it should be"), complaints
    if served_by == "aioreq":
        assert not [line for line in complaints.splitlines() if "nclosed" in line or "never" in line], complaints


def test_whoever_imports_aiohttp_gets_the_face() -> None:
    status, said, complaints = run(
        "-c",
        "import sys, aioreq.compat.aiohttp as face\n"
        "face.install(); face.install()\n"
        "import aiohttp, aiohttp.client_exceptions as errors, aiohttp.hdrs\n"
        "from aiohttp import ClientSession, hdrs\n"
        "from aiohttp.client_reqrep import ClientResponse\n"
        "print(aiohttp is face, errors is face.client_exceptions, ClientSession is face.ClientSession, hdrs is aiohttp.hdrs)\n"
        "print(all(module.__name__.startswith('aioreq.') for name, module in sys.modules.items() if name.partition('.')[0] == 'aiohttp'))\n"
        "import aiohttp.web",
    )
    assert (status, said.split()) == (1, ["True"] * 5)
    assert complaints.splitlines()[-1] == "ModuleNotFoundError: No module named 'aiohttp.web'"


def test_not_in_the_place_of_aiohttp_that_somebody_has() -> None:
    needed_module("aiohttp", "aiohttp")
    status, said, complaints = run(
        "-c",
        "import sys, aiohttp, aioreq.compat.aiohttp as face\n"
        "try:\n    face.install()\nexcept RuntimeError as error:\n    print(error)\n"
        "assert sys.modules['aiohttp'] is aiohttp is not face\n"
        "from aiohttp.client_exceptions import ClientError\n"
        "assert ClientError.__module__.startswith('aiohttp.')\n"
        "assert issubclass(face.ClientError, ClientError)",
    )
    assert (status, complaints) == (0, "")
    assert said.startswith("aiohttp was imported already")


def test_nothing_is_swapped_unasked() -> None:
    status, said, _ = run("-c", "import sys, aioreq.compat.aiohttp as face; face.ClientSession; print('aiohttp' in sys.modules)")
    assert (status, said) == (0, "False")
