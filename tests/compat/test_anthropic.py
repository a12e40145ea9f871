"""Anthropic's SDK, upon httpx2 (it takes no other client), its own transport and ours: streams, retries, time limits, cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from peers import needed_module

from aioreq.testing import Close, Reply, Reset, Script

from .language_models import LanguageModels, language_models
from .sdk_cases import FIVE_WORDS, LATER, RESET, Upon, both, streams_cancelled

anthropic = needed_module("anthropic", "anthropic")

ASKED: list[Any] = [{"role": "user", "content": FIVE_WORDS}]


@pytest.fixture(params=both("httpx2"))
def upon(request: pytest.FixtureRequest) -> Upon:
    found: Upon = request.param
    return found


@pytest.fixture
async def models() -> AsyncIterator[LanguageModels]:
    async with language_models() as models:
        yield models


def sdk(models: LanguageModels, client: Any, **options: Any) -> Any:
    return anthropic.AsyncAnthropic(api_key="secret", base_url=models.server.url, http_client=client, **options)


async def test_an_answer(upon: Upon, models: LanguageModels) -> None:
    async with upon.client() as client:
        answer = await sdk(models, client).messages.create(max_tokens=9, model="m", messages=ASKED)
    assert answer.content[0].text == "it was the"
    assert answer.usage.output_tokens == 3
    (request,) = models.server.requests
    assert request.header("authorization") == "Bearer secret"
    assert request.json() == {"model": "m", "max_tokens": 9, "messages": ASKED}


async def test_a_stream(upon: Upon, models: LanguageModels) -> None:
    async with upon.client() as client:
        for _ in range(3):
            stream = await sdk(models, client).messages.create(max_tokens=9, model="m", messages=ASKED, stream=True)
            words = [event.delta.text async for event in stream if event.type == "content_block_delta"]
            assert words == ["it", " was", " the", " best", " of"]
    assert models.server.accepted == 1


async def test_a_stream_that_is_left_early(upon: Upon, models: LanguageModels) -> None:
    async with upon.client(limits=upon.lib.Limits(max_connections=1)) as client:
        async with await sdk(models, client).messages.create(max_tokens=9, model="endless", messages=ASKED, stream=True) as stream:
            async for event in stream:
                if event.type == "content_block_delta" and event.delta.text == " best":
                    break
        await models.server.until(lambda: models.streams == 0)
        answer = await sdk(models, client).messages.create(max_tokens=9, model="m", messages=ASKED)
        assert answer.content[0].text == "it was the"


async def test_helpers_of_streams(upon: Upon, models: LanguageModels) -> None:
    async with upon.client() as client:
        messages = sdk(models, client).messages
        async with messages.with_streaming_response.create(max_tokens=9, model="m", messages=ASKED) as response:
            assert (response.status_code, response.http_request.method) == (200, "POST")
            assert (await response.parse()).content[0].text == "it was the"
        async with messages.stream(max_tokens=9, model="m", messages=ASKED) as stream:
            assert [text async for text in stream.text_stream] == ["it", " was", " the", " best", " of"]
            assert (await stream.get_final_message()).content[0].text == FIVE_WORDS


@pytest.mark.parametrize("streamed", [False, True])
async def test_retries(upon: Upon, models: LanguageModels, streamed: bool) -> None:
    models.faults += [Reply(429, LATER, '{"error": {"message": "slow down"}}'), RESET, Reply(503, LATER, "{}")]
    async with upon.client() as client:
        await sdk(models, client, max_retries=3).messages.create(max_tokens=9, model="m", messages=ASKED, stream=streamed)
    assert models.retries == ["0", "1", "2", "3"]
    assert len({request.body for request in models.server.requests}) == 1


async def test_retries_that_run_out(upon: Upon, models: LanguageModels) -> None:
    models.faults += [Reply(429, LATER, '{"error": {"message": "slow down"}}')] * 2
    async with upon.client() as client:
        with pytest.raises(anthropic.RateLimitError, match="slow down") as caught:
            await sdk(models, client, max_retries=1).messages.create(max_tokens=9, model="m", messages=ASKED)
    assert caught.value.response.headers["Retry-After"] == "0.05"
    assert models.retries == ["0", "1"]


async def test_what_is_not_tried_again(upon: Upon, models: LanguageModels) -> None:
    models.faults.append(Reply(401, [("Content-Type", "application/json")], '{"error": {"message": "who are you?"}}'))
    async with upon.client() as client:
        with pytest.raises(anthropic.AuthenticationError, match="who are you"):
            await sdk(models, client).messages.create(max_tokens=9, model="m", messages=ASKED)
    assert models.retries == ["0"]


async def test_a_connection_that_breaks(upon: Upon, models: LanguageModels) -> None:
    models.faults.append(RESET)
    async with upon.client() as client:
        with pytest.raises(anthropic.APIConnectionError) as caught:
            await sdk(models, client, max_retries=0).messages.create(max_tokens=9, model="m", messages=ASKED)
    assert type(caught.value.__cause__) is upon.lib.ReadError


@pytest.mark.parametrize("fault", [Close(), Reset()], ids=["close", "reset"])
async def test_a_stream_that_breaks(upon: Upon, models: LanguageModels, fault: Any) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    data = b'event: content_block_stop\ndata: {"type": "content_block_stop", "index": 0}\n\n'
    models.faults.append(Script((head, b"%x\r\n%s\r\n" % (len(data), data), fault)))
    async with upon.client() as client:
        stream = await sdk(models, client, max_retries=0).messages.create(max_tokens=9, model="m", messages=ASKED, stream=True)
        with pytest.raises((upon.lib.TransportError, anthropic.APIConnectionError)) as caught:
            async for _ in stream:
                pass
    error = caught.value if isinstance(caught.value, upon.lib.TransportError) else caught.value.__cause__
    assert type(error) is (upon.lib.RemoteProtocolError if isinstance(fault, Close) else upon.lib.ReadError)


async def test_a_time_limit(upon: Upon, models: LanguageModels) -> None:
    async with upon.client(limits=upon.lib.Limits(max_connections=1)) as client:
        client = sdk(models, client, max_retries=1)
        with pytest.raises(anthropic.APITimeoutError) as caught:
            await client.messages.create(max_tokens=9, model="silent", messages=ASKED, timeout=upon.lib.Timeout(30, read=0.1))
        assert type(caught.value.__cause__) is upon.lib.ReadTimeout
        assert models.retries == ["0", "1"]
        await client.messages.create(max_tokens=9, model="m", messages=ASKED)


async def test_a_client_of_httpx_is_refused(models: LanguageModels) -> None:
    """Why there are two modules: which client an SDK takes is the SDK's affair, and it looks at the class."""
    async with Upon("httpx").client() as client:
        with pytest.raises(TypeError, match="httpx2"):
            sdk(models, client)


async def test_cancelled_while_it_waits(upon: Upon, models: LanguageModels) -> None:
    async with upon.client(limits=upon.lib.Limits(max_connections=1)) as client:
        client = sdk(models, client)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.messages.create(max_tokens=9, model="silent", messages=ASKED)
        await client.messages.create(max_tokens=9, model="m", messages=ASKED)


async def test_a_thousand_cancelled_streams(models: LanguageModels) -> None:
    async def stream(client: Any) -> AsyncIterator[Any]:
        async with await client.messages.create(max_tokens=9, model="endless", messages=ASKED, stream=True) as events:
            async for event in events:
                yield event

    await streams_cancelled(models, Upon("httpx2"), lambda client: sdk(models, client, max_retries=0), stream)


async def test_synchronously(upon: Upon, models: LanguageModels) -> None:
    def run() -> tuple[str, list[str]]:
        with upon.lib.Client(transport=upon.transport(sync=True)) as http_client:
            client = anthropic.Anthropic(api_key="secret", base_url=models.server.url, http_client=http_client)
            answer = client.messages.create(max_tokens=9, model="m", messages=ASKED)
            with client.messages.create(max_tokens=9, model="endless", messages=ASKED, stream=True) as stream:
                kinds = [event.type for event, _ in zip(stream, range(4), strict=False)]
            client.messages.create(max_tokens=9, model="m", messages=ASKED)
            return answer.content[0].text, kinds

    models.faults.append(Reply(429, LATER, "{}"))
    assert await asyncio.to_thread(run) == (
        "it was the",
        ["message_start", "content_block_start", "content_block_delta", "content_block_delta"],
    )
    assert models.retries == ["0", "1", "0", "0"]
