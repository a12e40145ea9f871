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
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

from .clients import Adapter, adapter
from .clients.adapter import WebSocket
from .workloads import DOCUMENT, WORKLOADS, Workload, event

Request = Callable[[], Awaitable[None]]
Run = Callable[[int, int, list[float]], Awaitable[None]]  # so many requests, so many at a time; how long each took
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

    async def messages() -> None:
        ws = await client.websocket(url)
        received = 0
        if workload.work == "pieces":
            assert ws.pieces is not None
            async for piece in ws.pieces():
                received += len(piece)
        else:
            while received < size:
                message = await ws.receive()
                received += len(message.data if ws.wrapped else message)
        await ws.close()
        if received != size:
            raise WrongAnswer(f"{received} bytes of messages instead of {size}")

    calls = {"post": post, "upload": upload, "download": download, "messages": messages, "pieces": messages}
    return calls.get(workload.work, get)


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


async def echoes(ws: WebSocket, message: bytes | str, requests: int, concurrency: int, latencies: list[float]) -> None:
    """The message there and back, again and again: `concurrency` of it are under way."""
    send: Any = ws.send if isinstance(message, bytes) else ws.send_text
    receive, wrapped, clock = ws.receive, ws.wrapped, time.perf_counter
    began = deque[float]()
    for number in range(requests + concurrency):
        if number >= concurrency:
            answer = await receive()
            latencies.append(clock() - began.popleft())
            if wrapped:
                answer = answer.data
            if answer != message:
                raise WrongAnswer(f"an echo of {len(answer)} instead of {len(message)}: {answer[:80]!r}")
        if number < requests:
            began.append(clock())
            await send(message)


async def events(client: Adapter, url: str, requests: int, concurrency: int, latencies: list[float]) -> None:
    """One stream of so many events."""
    expected, received, began = event().decode(), 0, time.perf_counter()
    async for data in client.events(f"{url}/{requests}"):
        if data != expected:
            raise WrongAnswer(f"event {received}: {data!r}")
        received += 1
    if received != requests:
        raise WrongAnswer(f"{received} events instead of {requests}")
    latencies.append((time.perf_counter() - began) / requests)


async def run_slice(run: Run, workload: Workload, requests: int) -> dict[str, float]:
    latencies: list[float] = []
    before = memory_kb("VmRSS")
    forget_peak()
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    cpu, wall = cpu_seconds(), time.perf_counter()
    await run(requests, workload.concurrency, latencies)
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
    run: Run = partial(spread, request_of(workload, client, url))
    ws: WebSocket | None = None
    pace = 0.0
    # The connection and what is made once; what shall be the first is the body itself.
    if workload.work == "download":
        await client.get(url.replace(workload.path, "/json"))
    elif workload.protocol == "websocket":
        ws = await client.websocket(url.replace(workload.path, "/echo"))
        await echoes(ws, b"first", 100, workload.concurrency, [])
        if workload.body is not None:
            run = partial(echoes, ws, workload.body)
    elif workload.work == "events":
        run = partial(events, client, url)
        await run(100, 1, [])
    elif not workload.requests:
        await run(workload.concurrency, workload.concurrency, [])
        began, count = time.perf_counter(), max(workload.concurrency, 20)
        await run(count, workload.concurrency, [])
        pace = count / (time.perf_counter() - began)
    print("{}", flush=True)
    for line in sys.stdin:
        asked = line.strip()
        requests = int(asked[1:]) if asked.startswith("=") else int(pace * float(asked))
        figures = await run_slice(run, workload, requests if asked.startswith("=") else max(requests, 2 * workload.concurrency))
        pace = figures["per_second"]
        print(json.dumps(figures), flush=True)
    if ws is not None:
        await ws.close()


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
