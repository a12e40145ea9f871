"""OpenAI's SDK, upon httpx and httpx2, each upon its own transport and ours: streams, retries, time limits, cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from peers import needed_module

from aioreq.testing import Close, Reply, Reset, Script

from .language_models import LanguageModels, language_models
from .sdk_cases import FIVE_WORDS, LATER, RESET, Upon, both, streams_cancelled

openai = needed_module("openai", "openai")

ASKED: list[Any] = [{"role": "user", "content": FIVE_WORDS}]


@pytest.fixture(params=both("httpx", "httpx2"))
def upon(request: pytest.FixtureRequest) -> Upon:
    found: Upon = request.param
    return found


@pytest.fixture
async def models() -> AsyncIterator[LanguageModels]:
    async with language_models() as models:
        yield models


def sdk(models: LanguageModels, client: Any, **options: Any) -> Any:
    return openai.AsyncOpenAI(api_key="secret", base_url=models.server.url + "/v1", http_client=client, **options)


async def test_an_answer(upon: Upon, models: LanguageModels) -> None:
    async with upon.client() as client:
        answer = await sdk(models, client).chat.completions.create(model="m", messages=ASKED)
    assert answer.choices[0].message.content == "it was the"
    assert answer.usage.total_tokens == 4
    (request,) = models.server.requests
    assert request.header("authorization") == "Bearer secret"
    assert request.json() == {"model": "m", "messages": ASKED}


async def test_a_stream(upon: Upon, models: LanguageModels) -> None:
    async with upon.client() as client:
        for _ in range(3):
            stream = await sdk(models, client).chat.completions.create(model="m", messages=ASKED, stream=True)
            words = [chunk.choices[0].delta.content async for chunk in stream]
            assert words == ["", "it", " was", " the", " best", " of", None]
    assert models.server.accepted == 1


async def test_a_stream_that_is_left_early(upon: Upon, models: LanguageModels) -> None:
    async with upon.client(limits=upon.lib.Limits(max_connections=1)) as client:
        async with await sdk(models, client).chat.completions.create(model="endless", messages=ASKED, stream=True) as stream:
            async for chunk in stream:
                if chunk.choices[0].delta.content == " best":
                    break
        await models.server.until(lambda: models.streams == 0)
        answer = await sdk(models, client).chat.completions.create(model="m", messages=ASKED)
        assert answer.choices[0].message.content == "it was the"


async def test_helpers_of_streams(upon: Upon, models: LanguageModels) -> None:
    async with upon.client() as client:
        completions = sdk(models, client).chat.completions
        async with completions.with_streaming_response.create(model="m", messages=ASKED) as response:
            assert (response.status_code, response.http_request.method) == (200, "POST")
            assert (await response.parse()).choices[0].message.content == "it was the"
        async with completions.stream(model="m", messages=ASKED) as stream:
            async for _ in stream:
                pass
            whole = await stream.get_final_completion()
        assert whole.choices[0].message.content == FIVE_WORDS


@pytest.mark.parametrize("streamed", [False, True])
async def test_retries(upon: Upon, models: LanguageModels, streamed: bool) -> None:
    models.faults += [Reply(429, LATER, '{"error": {"message": "slow down"}}'), RESET, Reply(503, LATER, "{}")]
    async with upon.client() as client:
        await sdk(models, client, max_retries=3).chat.completions.create(model="m", messages=ASKED, stream=streamed)
    assert models.retries == ["0", "1", "2", "3"]
    assert len({request.body for request in models.server.requests}) == 1


async def test_retries_that_run_out(upon: Upon, models: LanguageModels) -> None:
    models.faults += [Reply(429, LATER, '{"error": {"message": "slow down"}}')] * 2
    async with upon.client() as client:
        with pytest.raises(openai.RateLimitError, match="slow down") as caught:
            await sdk(models, client, max_retries=1).chat.completions.create(model="m", messages=ASKED)
    assert caught.value.response.headers["Retry-After"] == "0.05"
    assert models.retries == ["0", "1"]


async def test_what_is_not_tried_again(upon: Upon, models: LanguageModels) -> None:
    models.faults.append(Reply(401, [("Content-Type", "application/json")], '{"error": {"message": "who are you?"}}'))
    async with upon.client() as client:
        with pytest.raises(openai.AuthenticationError, match="who are you"):
            await sdk(models, client).chat.completions.create(model="m", messages=ASKED)
    assert models.retries == ["0"]


async def test_a_connection_that_breaks(upon: Upon, models: LanguageModels) -> None:
    models.faults.append(RESET)
    async with upon.client() as client:
        with pytest.raises(openai.APIConnectionError) as caught:
            await sdk(models, client, max_retries=0).chat.completions.create(model="m", messages=ASKED)
    assert type(caught.value.__cause__) is upon.lib.ReadError


@pytest.mark.parametrize("fault", [Close(), Reset()], ids=["close", "reset"])
async def test_a_stream_that_breaks(upon: Upon, models: LanguageModels, fault: Any) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    data = b'data: {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []}\n\n'
    models.faults.append(Script((head, b"%x\r\n%s\r\n" % (len(data), data), fault)))
    async with upon.client() as client:
        stream = await sdk(models, client, max_retries=0).chat.completions.create(model="m", messages=ASKED, stream=True)
        with pytest.raises((upon.lib.TransportError, openai.APIConnectionError)) as caught:
            async for _ in stream:
                pass
    error = caught.value if isinstance(caught.value, upon.lib.TransportError) else caught.value.__cause__
    assert type(error) is (upon.lib.RemoteProtocolError if isinstance(fault, Close) else upon.lib.ReadError)


async def test_a_time_limit(upon: Upon, models: LanguageModels) -> None:
    async with upon.client(limits=upon.lib.Limits(max_connections=1)) as client:
        client = sdk(models, client, max_retries=1)
        with pytest.raises(openai.APITimeoutError) as caught:
            await client.chat.completions.create(model="silent", messages=ASKED, timeout=upon.lib.Timeout(30, read=0.1))
        assert type(caught.value.__cause__) is upon.lib.ReadTimeout
        assert models.retries == ["0", "1"]
        await client.chat.completions.create(model="m", messages=ASKED)


async def test_an_upload(upon: Upon, models: LanguageModels, tmp_path: Any) -> None:
    path = tmp_path / "batch.jsonl"
    path.write_bytes(b"x" * 300_000)
    async with upon.client() as client:
        uploaded = await sdk(models, client).files.create(file=path, purpose="batch")
    assert uploaded.bytes == len(models.server.requests[0].body)
    assert b"x" * 300_000 in models.server.requests[0].body


async def test_cancelled_while_it_waits(upon: Upon, models: LanguageModels) -> None:
    async with upon.client(limits=upon.lib.Limits(max_connections=1)) as client:
        client = sdk(models, client)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.chat.completions.create(model="silent", messages=ASKED)
        await client.chat.completions.create(model="m", messages=ASKED)


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
async def test_a_thousand_cancelled_streams(models: LanguageModels, library: str) -> None:
    async def stream(client: Any) -> AsyncIterator[Any]:
        async with await client.chat.completions.create(model="endless", messages=ASKED, stream=True) as events:
            async for event in events:
                yield event

    await streams_cancelled(models, Upon(library), lambda client: sdk(models, client, max_retries=0), stream)


async def test_synchronously(upon: Upon, models: LanguageModels) -> None:
    def run() -> tuple[str, list[str]]:
        with upon.lib.Client(transport=upon.transport(sync=True)) as http_client:
            client = openai.OpenAI(api_key="secret", base_url=models.server.url + "/v1", http_client=http_client)
            answer = client.chat.completions.create(model="m", messages=ASKED)
            with client.chat.completions.create(model="endless", messages=ASKED, stream=True) as stream:
                words = [chunk.choices[0].delta.content for chunk, _ in zip(stream, range(4), strict=False)]
            client.chat.completions.create(model="m", messages=ASKED)
            return answer.choices[0].message.content, words

    models.faults.append(Reply(429, LATER, "{}"))
    assert await asyncio.to_thread(run) == ("it was the", ["", "it", " was", " the"])
    assert models.retries == ["0", "1", "0", "0"]
