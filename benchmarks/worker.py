"""One client under measurement, in a process of its own: opened once, told by lines on stdin to run slices of one workload.

A line is how long a slice shall last (seconds), or `=N`: exactly N requests. Answers with a line of JSON each; ends with stdin.
CPU is that of the process and all its threads, from the first request of the slice to the last. Every body is checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from .clients import Adapter, adapter
from .workloads import DOCUMENT, WORKLOADS, Workload

Request = Callable[[], Awaitable[None]]
PIECE = b"u" * 62_500  # of an upload: 50 MB are 800 of them


class WrongAnswer(Exception):
    """The client gave back something else than what the server sent."""


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def memory_kb(what: str) -> int:
    """Resident memory now (VmRSS) or at most (VmHWM), KiB; 0 where the system doesn't tell."""
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(what))
    return 0


def forget_peak() -> None:
    """VmHWM begins anew."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as switch:
        switch.write("5")


async def pieces(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // len(PIECE)):
        yield PIECE


def request_of(workload: Workload, client: Adapter, url: str) -> Request:
    """Makes one request of the workload, and checks what came."""
    size, expected = workload.size, workload.body

    def check(status: int, body: Any) -> None:
        if status != 200 or len(body) != size or (expected is not None and bytes(body) != expected):
            raise WrongAnswer(f"status {status}, {len(body)} bytes of body instead of {size}: {bytes(body[:80])!r}")

    async def get() -> None:
        status, body = await client.get(url)
        if status != 200 or len(body) != size or expected is not None:
            check(status, body)

    async def post() -> None:
        check(*await client.post(url, DOCUMENT))

    async def upload() -> None:
        check(*await client.upload(url, pieces(int(workload.megabytes * 1_000_000))))

    async def download() -> None:
        status, received = await client.download(url)
        if status != 200 or received != size:
            raise WrongAnswer(f"status {status}, {received} bytes streamed instead of {size}")

    return {"get": get, "post": post, "upload": upload, "download": download, "memory": get}[workload.work]


async def spread(request: Request, requests: int, concurrency: int, latencies: list[float]) -> None:
    """The requests, from `concurrency` tasks."""
    left = requests

    async def work() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            began = time.perf_counter()
            await request()
            latencies.append(time.perf_counter() - began)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(min(concurrency, requests)):
            tasks.create_task(work())


async def run_slice(request: Request, workload: Workload, requests: int) -> dict[str, float]:
    latencies: list[float] = []
    before = memory_kb("VmRSS")
    forget_peak()
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    cpu, wall = cpu_seconds(), time.perf_counter()
    await spread(request, requests, workload.concurrency, latencies)
    cpu, wall = cpu_seconds() - cpu, time.perf_counter() - wall
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    peak = memory_kb("VmHWM")
    latencies.sort()
    return {
        "cpu_us": cpu * 1e6 / requests / (workload.megabytes or 1),
        "per_second": requests / wall,
        "p50_ms": latencies[len(latencies) // 2] * 1e3,
        "p99_ms": latencies[len(latencies) * 99 // 100] * 1e3,
        "peak_mb": peak / 1024,
        "growth_mb": max(peak - before, 0) / 1024,
        "page_faults": faults / requests,
        "requests": requests,
    }


async def serve(client: Adapter, workload: Workload, url: str) -> None:
    request = request_of(workload, client, url)
    if workload.work == "download":
        # The connection and what is made once; the body itself shall be the first.
        await client.get(url.replace(workload.path, "/json"))
        pace = 0.0
    elif workload.requests:
        pace = 0.0
    else:
        await spread(request, workload.concurrency, workload.concurrency, [])
        began, count = time.perf_counter(), max(workload.concurrency, 20)
        await spread(request, count, workload.concurrency, [])
        pace = count / (time.perf_counter() - began)
    print("{}", flush=True)
    for line in sys.stdin:
        asked = line.strip()
        requests = int(asked[1:]) if asked.startswith("=") else int(pace * float(asked))
        figures = await run_slice(request, workload, requests if asked.startswith("=") else max(requests, 2 * workload.concurrency))
        pace = figures["per_second"]
        print(json.dumps(figures), flush=True)


async def idle_connections(client: Adapter, workload: Workload, url: str) -> None:
    """What each of many open connections holds, when all their responses are gone."""
    await client.get(url.replace(workload.path, "/tiny"))
    count = workload.concurrency
    gc.collect()
    before = memory_kb("VmRSS")
    await spread(request_of(workload, client, url), count, count, [])
    await asyncio.sleep(0.1)
    gc.collect()
    print(json.dumps({"connection_kb": (memory_kb("VmRSS") - before) / count}), flush=True)


async def measure(name: str, workload: Workload, url: str, ca: str) -> None:
    connections = max(256, workload.concurrency)
    async with adapter(name, ca=ca if workload.server == "tls" else None, keep=workload.keep, connections=connections) as client:
        await (idle_connections if workload.work == "memory" else serve)(client, workload, url)


def main() -> None:
    name, workload, url, ca, loop = sys.argv[1:]
    if loop == "uvloop":
        import uvloop

        uvloop.run(measure(name, WORKLOADS[workload], url, ca))
    else:
        asyncio.run(measure(name, WORKLOADS[workload], url, ca))


if __name__ == "__main__":
    main()
