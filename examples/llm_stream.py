"""An answer that arrives word by word, as language models send theirs, and one that is stopped midway: `python examples/llm_stream.py`.

The model is a stand-in of our own, on a server of our own; what talks to it would talk to a real one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import aioreq
from aioreq.testing import Reply, Request, Server

WORDS = ["Events", "are", "text", ",", "and", "each", "of", "them", "ends", "with", "an", "empty", "line", "."]


# -- the client


async def ask(client: aioreq.Client, prompt: str, show: Callable[[str], object]) -> None:
    body = {"model": "small", "stream": True, "messages": [{"role": "user", "content": prompt}]}
    # A POST is sent once: a lost connection is an error, and nobody pays for the answer twice.
    async with client.sse("/v1/chat/completions", method="POST", json=body, auth=aioreq.BearerAuth("secret")) as events:
        async for event in events:
            if event.data == "[DONE]":
                break
            show(event.json()["choices"][0]["delta"]["content"])


async def stop_midway(client: aioreq.Client, prompt: str, most: int) -> list[str]:
    words: list[str] = []
    enough = asyncio.Event()

    def show(word: str) -> None:
        words.append(word)
        if len(words) == most:
            enough.set()

    task = asyncio.create_task(ask(client, prompt, show))
    await enough.wait()
    task.cancel()  # the connection closes, and the model needn't go on
    await asyncio.wait([task])
    return words


# -- the stand-in for a model


class Model:
    def __init__(self, server: Server) -> None:
        self.said = 0
        server.route("/v1/chat/completions", self.complete, methods=["POST"])

    def complete(self, request: Request) -> Reply:
        if request.header("authorization") != "Bearer secret":
            return Reply(401, [("Content-Type", "application/json")], '{"error": "who are you?"}')
        return Reply(200, [("Content-Type", "text/event-stream")], self.events())

    async def events(self) -> AsyncIterator[bytes]:
        self.said = 0
        for word in WORDS:
            self.said += 1
            yield b"data: %b\n\n" % json.dumps({"choices": [{"delta": {"content": word}}]}).encode()
            await asyncio.sleep(0.02)
        yield b"data: [DONE]\n\n"


async def main() -> None:
    async with Server() as server, aioreq.Client(base_url=server.url) as client:
        model = Model(server)
        await ask(client, "What are events?", lambda word: print(word, end=" ", flush=True))
        print()
        print(*await stop_midway(client, "And how long does this go on?", most=4), "...")
        await server.until(lambda: not server.connections)
        print("the model stopped early:", model.said < len(WORDS))
        try:
            async with client.sse("/v1/chat/completions", method="POST", json={}) as events:
                print(events.response)
        except aioreq.StatusError as error:
            print(error, error.response.json() if isinstance(error.response, aioreq.Response) else "")


if __name__ == "__main__":
    asyncio.run(main())
