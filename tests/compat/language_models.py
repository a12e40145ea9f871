"""A server that speaks as OpenAI's and Anthropic's do, for their SDKs: answers, streams of events, and the faults that it is told.

It answers with the words of what it is asked, one a chunk. Of the model "endless" a stream never ends, of "silent" nothing ever comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any

from aioreq.testing import Reply, Request, Script, Server

__all__ = ["LanguageModels", "language_models"]


class LanguageModels:
    """`faults` are answered first, one a request; `retries` is what each request said of its number; `server` is where it stands."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.faults: deque[Reply | Script] = deque()
        self.streams = 0  # open now
        server.route("/v1/chat/completions", self._openai, methods=["POST"])
        server.route("/v1/messages", self._anthropic, methods=["POST"])
        server.route("/v1/files", self._file, methods=["POST"])

    @property
    def retries(self) -> list[str | None]:
        return [request.header("x-stainless-retry-count") for request in self.server.requests]

    async def _openai(self, request: Request) -> Any:
        asked = request.json()
        shared = {"id": "chat-1", "created": 1, "model": asked["model"]}

        def chunk(delta: dict[str, str], reason: str | None = None) -> dict[str, Any]:
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            return {**shared, "object": "chat.completion.chunk", "choices": [choice]}

        def events() -> Iterator[tuple[str, Any]]:
            yield "", chunk({"role": "assistant", "content": ""})
            for word in _words(asked):
                yield "", chunk({"content": word})
            yield "", chunk({}, "stop")
            yield "", "[DONE]"

        message = {"role": "assistant", "content": "".join(_words(asked, 3))}
        usage = {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}
        whole = {
            **shared,
            "object": "chat.completion",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": usage,
        }
        return await self._answer(asked, whole, events())

    async def _anthropic(self, request: Request) -> Any:
        asked = request.json()
        usage = {"input_tokens": 1, "output_tokens": 3}
        shared = {"id": "msg-1", "type": "message", "role": "assistant", "model": asked["model"], "stop_sequence": None, "usage": usage}

        def events() -> Iterator[tuple[str, Any]]:
            yield "message_start", {"type": "message_start", "message": {**shared, "content": [], "stop_reason": None}}
            yield "content_block_start", {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
            yield "ping", {"type": "ping"}
            for word in _words(asked):
                delta = {"type": "text_delta", "text": word}
                yield "content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta}
            yield "content_block_stop", {"type": "content_block_stop", "index": 0}
            stopped = {"stop_reason": "end_turn", "stop_sequence": None}
            yield "message_delta", {"type": "message_delta", "delta": stopped, "usage": {"output_tokens": 3}}
            yield "message_stop", {"type": "message_stop"}

        whole = {**shared, "content": [{"type": "text", "text": "".join(_words(asked, 3))}], "stop_reason": "end_turn"}
        return await self._answer(asked, whole, events())

    async def _answer(self, asked: dict[str, Any], whole: dict[str, Any], events: Iterator[tuple[str, Any]]) -> Any:
        if self.faults:
            return self.faults.popleft()
        if asked["model"] == "silent":
            await asyncio.Event().wait()
        if not asked.get("stream"):
            return whole
        return Reply(200, {"Content-Type": "text/event-stream"}, self._stream(events))

    async def _stream(self, events: Iterator[tuple[str, Any]]) -> AsyncIterator[bytes]:
        self.streams += 1
        try:
            for name, data in events:
                written = data if isinstance(data, str) else json.dumps(data)
                yield (f"event: {name}\n" if name else "").encode() + f"data: {written}\n\n".encode()
                await asyncio.sleep(0.001)
        finally:
            self.streams -= 1
            self.server.bell.ring()

    def _file(self, request: Request) -> dict[str, Any]:
        size = len(request.body)
        return {
            "id": "file-1",
            "object": "file",
            "bytes": size,
            "created_at": 1,
            "filename": "f",
            "purpose": "batch",
            "status": "processed",
        }


def _words(asked: dict[str, Any], most: int | None = None) -> Iterator[str]:
    words = asked["messages"][-1]["content"].split()
    while True:
        for number, word in enumerate(words[:most]):
            yield word if number == 0 else f" {word}"
        if asked["model"] != "endless" or most is not None:
            return


@contextlib.asynccontextmanager
async def language_models(**options: Any) -> AsyncIterator[LanguageModels]:
    async with Server(**options) as server:
        yield LanguageModels(server)
