"""`python -m aioreq.testing --port 8000`: the httpbin routes in a process of their own. Prints the URL, serves until told to end."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal

from .httpbin import httpbin
from .server import Server


async def serve(host: str, port: int, tls: bool) -> None:
    async with Server(host=host, port=port, tls=tls, routes=httpbin, record=False) as server:
        print(server.url, flush=True)
        if server.ca is not None:
            print(f"CA: {server.ca}", flush=True)
        stopped = asyncio.Event()
        with contextlib.suppress(NotImplementedError):  # Windows
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        await stopped.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m aioreq.testing", description="A loopback server with httpbin's routes.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--tls", action="store_true", help="with a throw-away certificate")
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(options.host, options.port, options.tls))


if __name__ == "__main__":
    main()
