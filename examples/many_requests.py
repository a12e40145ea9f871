"""Thousands of requests, never more than some at once: `python examples/many_requests.py URL`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable

import aioreq

AT_ONCE = 20


async def fetch_all(client: aioreq.Client, urls: Iterable[str]) -> AsyncIterator[tuple[str, aioreq.Response | aioreq.AioreqError]]:
    """Each URL with its response or its error, as they come; URLs are taken only when there is room for them."""
    left = iter(urls)
    running: dict[asyncio.Task[aioreq.Response], str] = {}
    try:
        while True:
            while len(running) < AT_ONCE and (url := next(left, None)) is not None:
                running[asyncio.ensure_future(client.get(url))] = url
            if not running:
                return
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                url = running.pop(task)
                try:
                    yield url, task.result()
                except aioreq.AioreqError as error:
                    yield url, error
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def main(url: str) -> None:
    # The limit of connections alone would do too: the other requests wait for one, in the order in which they were made.
    async with aioreq.Client(base_url=url, limits=aioreq.Limits(connections=AT_ONCE)) as client:
        statuses: dict[str, int] = {}
        paths = [f"/id/{number}" for number in range(1000)] + ["/status/404", "/status/500"]
        async for _, answer in fetch_all(client, paths):
            kind = str(answer.status) if isinstance(answer, aioreq.Response) else type(answer).__name__
            statuses[kind] = statuses.get(kind, 0) + 1
        print(dict(sorted(statuses.items())))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
