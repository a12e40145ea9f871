"""Bodies out: a file, a generator, a form, JSON: `python examples/upload.py URL FILE`, where URL takes them (`/anything`)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aioreq


async def lines() -> AsyncIterator[bytes]:
    """Made while it is sent; of unknown length, so it goes out chunked."""
    for number in range(3):
        await asyncio.sleep(0)
        yield f"line {number}\n".encode()


async def main(url: str, path: Path) -> None:
    async with aioreq.Client() as client:
        with path.open("rb") as file:  # read in a thread while it is sent
            response = await client.put(url, content=file)
        print("file:", len(response.json()["body"]), "characters")

        response = await client.post(url, content=lines(), headers={"Content-Type": "text/plain"})
        print("generator:", response.json()["body"].splitlines())

        response = await client.post(url, data={"name": "aioreq", "tag": ["a", "b"]})
        print("form:", response.json()["body"])

        response = await client.post(url, json={"n": 1, "nothing": None})
        print("json:", response.json()["body"])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
