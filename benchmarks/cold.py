"""A cold script, as somebody would run it once: a client, 200 GETs at once, the end. Imports as little as it can of its own."""

from __future__ import annotations

import asyncio
import sys

from .clients import adapter


async def script(name: str, url: str, count: int) -> int:
    async with adapter(name) as client:
        answers = await asyncio.gather(*[client.get(url) for _ in range(count)])
    return sum(len(body) for status, body in answers if status == 200)


def main() -> None:
    name, url, count, loop = sys.argv[1:]
    if loop == "uvloop":
        import uvloop

        print(uvloop.run(script(name, url, int(count))), flush=True)
    else:
        print(asyncio.run(script(name, url, int(count))), flush=True)
