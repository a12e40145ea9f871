"""Links of one's own in the chain between client and network: `python examples/middleware.py URL`."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid

import aioreq
from aioreq.middlewares import MiddleWare, default_middlewares


class RequestId(MiddleWare):
    """Gives each request a name of its own. What belongs to one request stays in locals: the link serves all of them at once."""

    async def process(self, request: aioreq.Request, client: aioreq.Client) -> aioreq.Response | aioreq.StreamResponse:
        request.headers["X-Request-Id"] = uuid.uuid4().hex
        return await self.next_middleware.process(request, client)


class Log(MiddleWare):
    """Tells what was asked, what came back, and after how long."""

    async def process(self, request: aioreq.Request, client: aioreq.Client) -> aioreq.Response | aioreq.StreamResponse:
        began = time.perf_counter()
        try:
            response = await self.next_middleware.process(request, client)
        except aioreq.AioreqError as error:
            print(f"{request.method} {request.url.path}: {type(error).__name__}")
            raise
        print(f"{request.method} {request.url.path}: {response.status} after {time.perf_counter() - began:.3f} s")
        return response


async def main(url: str) -> None:
    # The first link is nearest the client: RequestId sees each call once. Log stands behind the redirects and sees every hop.
    async with aioreq.Client(base_url=url, middlewares=(RequestId, *default_middlewares[:2], Log, *default_middlewares[2:])) as client:
        response = await client.get("/redirect/2")
        print(len(dict(response.json()["headers"])["X-Request-Id"]), "digits")
        async with client.stream("GET", "/bytes/100000") as stream:
            print(len(await stream.read()), "bytes")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
