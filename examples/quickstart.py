"""The first steps: `python examples/quickstart.py URL`, where URL is a server with httpbin's routes (`python -m aioreq.testing`)."""

from __future__ import annotations

import asyncio
import sys

import aioreq


async def main(url: str) -> None:
    async with aioreq.Client(base_url=url, headers={"X-Api": "1"}) as client:
        response = await client.get("/get", params={"q": "hello", "tag": ["a", "b"]})
        print(response.status, response.status_message, response.headers["content-type"])
        print(response.json()["url"])

        response = await client.post("/anything", json={"name": "aioreq"})
        print(response.request.method, response.json()["body"])

        response = await client.get("/redirect/2")
        print(response.url, "after", [earlier.status for earlier in response.redirects])

        response = await client.get("/cookies/set", params={"theme": "dark"})
        print(response.json(), client.cookies.get("theme"))

        response = await client.get("/digest-auth/auth/user/secret", auth=("user", "secret"))
        print(response.json()["authenticated"])

        answers = await asyncio.gather(*(client.get(f"/id/{n}") for n in range(5)))
        print([answer.text for answer in answers])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
