"""CPU instructions of a Python process, counted by valgrind: the same whatever else the machine does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

__all__ = ["instructions", "of_one"]


def instructions(*arguments: str) -> int:
    """Those of `python ARGUMENTS`, from start to end."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise SystemExit("valgrind is missing (Debian: apt-get install valgrind)")
    with tempfile.TemporaryDirectory() as directory:
        command = [valgrind, "--tool=callgrind", f"--callgrind-out-file={directory}/out", sys.executable, *arguments]
        # Hashes of strings, and with them the order of dicts and sets, are the same each time.
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONHASHSEED": "0"}, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
        counted = re.search(r"^(?:summary|totals): (\d+)", Path(directory, "out").read_text(), re.MULTILINE)
    assert counted is not None
    return int(counted[1])


def of_one(arguments: Callable[[int], list[str]], short: int, long: int) -> float:
    """Instructions of one turn: of two lengths the difference, so that nothing of the start is counted."""
    return (instructions(*arguments(long)) - instructions(*arguments(short))) / (long - short)
