"""What a review by attack found, each by the way in which it was found."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

import aioreq
from aioreq.testing import Close, Server, httpbin


async def test_a_method_in_lower_case_is_the_one_that_everybody_means(server: Server, client: aioreq.Client) -> None:
    response = await client.request("head", server.url + "/bytes/5")
    assert (response.status, response.content) == (200, b"")
    async with client.stream("post", server.url + "/anything") as streamed:
        assert (await streamed.json())["method"] == "POST"


async def test_a_path_below_base_url_may_hold_a_url(server: Server) -> None:
    async with aioreq.Client(base_url=server.url + "/anything") as client:
        for path in ("web/https://example.com/", "a?to=http://b", "a#http://b"):
            assert (await client.get(path)).url.host == "127.0.0.1"
        assert (await client.get(server.url + "/get")).url.path == "/get"


@pytest.mark.parametrize("option", ["max_body", "max_redirects"])
@pytest.mark.parametrize(("value", "error"), [("5", TypeError), (True, TypeError), (-1, ValueError)])
async def test_counts_are_checked_before_anything_is_sent(
    server: Server, client: aioreq.Client, option: str, value: Any, error: type[Exception]
) -> None:
    options: Any = {option: value}
    with pytest.raises(error, match=option):
        await client.get(server.url + "/get", **options)
    assert not server.requests


def test_loops_that_are_closed_without_a_runner_are_forgotten() -> None:
    with Server() as server:
        server.route("/", "ok")
        client = aioreq.Client(persistent_connections=False)
        for _ in range(3):
            loop = asyncio.new_event_loop()
            assert loop.run_until_complete(client.get(server.url)).status == 200
            loop.run_until_complete(asyncio.sleep(0.01))  # the transport lets go of its socket
            loop.close()
        assert len(client.connector._pools) == 1
        asyncio.run(client.close())
        assert not client.connector._pools


async def test_get_requests_cancelled_while_it_connects_logs_nothing() -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    async with Server() as server:
        for turns in range(12):
            call = asyncio.ensure_future(aioreq.get_requests([(server.host, server.port)] * 5))
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            for _ in range(5):
                await asyncio.sleep(0)
    gc.collect()
    assert reported == []


async def test_the_request_of_a_response_can_be_sent_again(server: Server) -> None:
    async with aioreq.Client(base_url=server.url) as client:
        first = await client.get("/redirect-to", params={"url": "/get?b=2"})
        again = await client.send(first.request)
    assert again.url == first.url
    assert server.requests[-1].target == server.requests[-2].target


async def test_a_post_is_not_written_to_a_connection_that_has_just_been_closed() -> None:
    with Server(routes=httpbin) as server:  # on a thread of its own
        async with aioreq.Client(retry=0) as client:
            for _ in range(5):
                assert (await client.get(server.url + "/json")).ok
                server.wait(lambda: all(connection.idle for connection in server.connections))
                assert server.push(Close()) == 1
                server.wait(lambda: not server.connections)
                # The end has arrived at our socket, but the loop has had no turn to see it.
                assert (await client.post(server.url + "/anything", json=1)).ok
                server.wait(lambda: all(connection.idle for connection in server.connections))
                server.push(Close())
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("method", ["CONNECT", "connect"])
async def test_connect_is_for_tunnels_alone(server: Server, client: aioreq.Client, method: str) -> None:
    with pytest.raises(aioreq.LocalProtocolError, match=r"CONNECT asks a proxy for a tunnel .*give proxy=") as caught:
        await client.request(method, server.url + "/get")
    assert caught.value.request is not None
    with pytest.raises(aioreq.LocalProtocolError, match="CONNECT"):
        await client.send(aioreq.Request("CONNECT", server.url))
    with pytest.raises(aioreq.LocalProtocolError, match="CONNECT"):
        async with client.stream(method, server.url):
            pass
    assert server.accepted == 0
