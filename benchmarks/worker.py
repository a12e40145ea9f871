"""One measurement in a process of its own: `python -m benchmarks.worker CLIENT URL REQUESTS CONCURRENCY [CA]` prints it as JSON.

CPU is the user and system time of this process over its requests, connections already open: the figure that a busy machine disturbs least.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time

from .adapters import CLIENTS, Fetch


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def spread(fetch: Fetch, url: str, requests: int, concurrency: int, latencies: list[float]) -> int:
    """Make the requests from `concurrency` tasks; the bytes of all bodies."""
    left = requests

    async def work() -> int:
        nonlocal left
        size = 0
        while left > 0:
            left -= 1
            began = time.perf_counter()
            size += await fetch(url)
            latencies.append(time.perf_counter() - began)
        return size

    return sum(await asyncio.gather(*(work() for _ in range(concurrency))))


async def measure(client: str, url: str, requests: int, concurrency: int, ca: str | None) -> dict[str, float]:
    async with CLIENTS[client](ca) as fetch:
        await spread(fetch, url, max(concurrency * 4, 100), concurrency, [])
        latencies: list[float] = []
        cpu, wall = cpu_seconds(), time.perf_counter()
        size = await spread(fetch, url, requests, concurrency, latencies)
        cpu, wall = cpu_seconds() - cpu, time.perf_counter() - wall
    latencies.sort()
    return {
        "cpu_us": cpu / requests * 1e6,
        "per_second": requests / wall,
        "p50_ms": latencies[len(latencies) // 2] * 1e3,
        "p99_ms": latencies[len(latencies) * 99 // 100] * 1e3,
        "bytes": size / requests,
    }


if __name__ == "__main__":
    name, target, count, width, *rest = sys.argv[1:]
    print(json.dumps(asyncio.run(measure(name, target, int(count), int(width), rest[0] if rest else None))))
