"""A body of any size to a file, piece by piece: `python examples/stream_download.py URL FILE`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aioreq


async def download(url: str, target: Path) -> int:
    """The number of bytes written. A body that was cut short is an error, and no file is left."""
    part = target.with_name(target.name + ".part")
    written = 0
    try:
        async with aioreq.Client() as client, client.stream("GET", url, raise_for_status=True) as response:
            # Only so much is held in memory: while a piece is written, the server is made to wait.
            with part.open("wb") as file:
                async for chunk in response.content:
                    written += file.write(chunk)
        part.rename(target)
    finally:
        part.unlink(missing_ok=True)
    return written


if __name__ == "__main__":
    print(asyncio.run(download(sys.argv[1], Path(sys.argv[2]))), "bytes")
