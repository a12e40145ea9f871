"""Starts the processes that measure: a worker to run slices in, a cold script, an import. Gives their figures as they come."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from .clients import CLIENTS, Entrant
from .servers import ROOT, Servers, pinned
from .workloads import Workload

__all__ = ["STATEMENTS", "Failed", "Figures", "Worker", "measure"]

Figures = dict[str, float]
PATIENCE = 300.0  # seconds until a process that says nothing is killed
IMPORTS = 3  # of each in a round: the least of them is what counts
# What imports are held against, and the import that brings all of aioreq along.
STATEMENTS = {"python": "pass", "asyncio": "import asyncio", "aioreq.Client": "from aioreq import Client"}


class Failed(Exception):
    """A client couldn't do it; the message is what its process wrote."""


@contextmanager
def patience(process: subprocess.Popen[Any]) -> Iterator[None]:
    timer = threading.Timer(PATIENCE, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Worker(AbstractContextManager["Worker"]):
    """A client's process; `slice()` as often as one likes.

    `checkout` takes aioreq from another directory, but this worker's code from here.
    """

    def __init__(self, client: str, workload: Workload, servers: Servers, loop: str, checkout: Path | None = None) -> None:
        first = f"import sys; sys.path.insert(0, {str(checkout)!r}); import aioreq; " if checkout else "import sys; "
        code = f"{first}sys.path.insert(0, {str(ROOT)!r}); from benchmarks.worker import main; main()"
        command = [sys.executable, "-P", "-c", code, client, workload.name, servers.url(workload), servers.ca, loop]
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (until __exit__)
        self.process = subprocess.Popen(
            pinned(command, 1),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=CLIENTS[client].variables(),
        )

    def __enter__(self) -> Worker:
        try:
            self.greeting = self.read()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()

    def slice(self, seconds: float, requests: int = 0) -> Figures:
        assert self.process.stdin is not None
        self.process.stdin.write(f"={requests}\n" if requests else f"{seconds}\n")
        self.process.stdin.flush()
        return self.read()

    def read(self) -> Figures:
        assert self.process.stdout is not None
        with patience(self.process):
            line = self.process.stdout.readline()
            if not line:
                self.process.wait()
        if not line:
            self.errors.seek(0)
            raise Failed(self.errors.read() or f"ended with {self.process.returncode}")
        figures: Figures = json.loads(line)
        return figures


def measure(client: str, workload: Workload, servers: Servers, loop: str, seconds: float, requests: int = 0) -> Figures:
    """One measurement in a fresh process; `requests` instead of as many as take the time."""
    if workload.kind == "import":
        entrant = CLIENTS.get(client, Entrant("", ""))
        return least_import(STATEMENTS.get(client, f"import {entrant.package}"), entrant.variables())
    if workload.kind == "cold":
        return cold(client, workload, servers, loop, requests or workload.requests)
    with Worker(client, workload, servers, loop) as worker:
        return worker.greeting if workload.kind == "memory" else worker.slice(seconds, requests or workload.requests)


def least_import(statement: str, variables: Mapping[str, str]) -> Figures:
    """The least of a few: other processes only ever add time."""
    return min((timed(["-c", statement], variables)[0] for _ in range(IMPORTS)), key=lambda figures: figures["wall_ms"])


def cold(client: str, workload: Workload, servers: Servers, loop: str, requests: int) -> Figures:
    code = "from benchmarks.cold import main; main()"
    figures, said = timed(["-c", code, client, servers.url(workload), str(requests), loop], CLIENTS[client].variables())
    if said.strip() != str(requests * workload.size):
        raise Failed(f"{said.strip() or 'no'} bytes instead of {requests * workload.size}")
    return figures


def timed(arguments: list[str], variables: Mapping[str, str]) -> tuple[Figures, str]:
    """A whole process, from its start to its end, and what it said. A crash is counted, not judged: one client does so after its work."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        began = time.perf_counter()
        process = subprocess.Popen(pinned([sys.executable, *arguments], 1), stdout=output, stderr=errors, env=variables, cwd=ROOT)
        with patience(process):
            _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode > 0:
            errors.seek(0)
            raise Failed(errors.read() or f"ended with {process.returncode}")
        output.seek(0)
        cpu = usage.ru_utime + usage.ru_stime
        return {"wall_ms": wall * 1e3, "cpu_ms": cpu * 1e3, "crashes": float(process.returncode < 0)}, output.read()
