"""nginx's stand-in where that is missing, with the same paths: `python -m benchmarks.embedded FOLDER`. Prints both URLs and the CA's file.

It is Python, and slower than most clients: figures of throughput and latency are then the server's, those of CPU still the client's.
"""

from __future__ import annotations

import asyncio
import gzip
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from aioreq.testing import Authority, Request, Server

from .servers import FIELDS, HOST, compressible
from .workloads import MEGABYTE, small


def add_routes(server: Server) -> None:
    reply = Server.Reply
    fields = [
        ("Server", "aioreq.testing"),
        ("Date", "Tue, 15 Nov 2025 08:12:31 GMT"),
        ("Content-Type", "application/json"),
        *FIELDS.items(),
    ]
    document = reply(200, fields, small())
    server.route("/json", document)
    server.route("/post", lambda request: document)
    server.route("/connections", reply(200, fields, small(b"1")))
    server.route("/gzip", reply(200, [*fields, ("Content-Encoding", "gzip")], gzip.compress(compressible(32768))))
    for name, size in (("10kb", 10_000), ("1mb", MEGABYTE), ("100mb", 100 * MEGABYTE)):
        server.route(f"/files/{name}", reply(200, fields, bytes(size)))

    async def upload(request: Request) -> str:
        received = 0
        async for piece in request.pieces():
            received += len(piece)
        return str(received)

    server.route("/upload", upload, early=True)


async def main(folder: Path) -> None:
    authority = Authority()
    (folder / "ca.pem").write_bytes(authority.pem)
    async with AsyncExitStack() as stack:
        web, tls = [
            await stack.enter_async_context(Server(host=HOST, tls=tls, routes=add_routes, record=False)) for tls in (False, authority)
        ]
        print(web.url, tls.url, folder / "ca.pem", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
