"""`Expect: 100-continue` (RFC 9110 section 10.1.1): what waits for the server's word, for how long, and what a refusal costs."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from time import perf_counter
from typing import Any

import pytest

import aioreq
import aioreq.upload
from aioreq import Timeout
from aioreq.testing import Close, Connection, Pause, ReadBody, ReadRequest, Reset, Server, Stall, StopReading

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
EXPECT = {"Expect": "100-continue"}
SHORT = 0.05

pytestmark = pytest.mark.usefixtures("no_hanging")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The body waits for a twentieth of a second."""
    monkeypatch.setattr(aioreq.upload, "CONTINUE_SECONDS", SHORT)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The body waits for ever, so that nothing of a test depends on the clock."""
    monkeypatch.setattr(aioreq.upload, "CONTINUE_SECONDS", 1000.0)


class Chunks:
    """An asynchronous generator that remembers how often it was begun."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks
        self.begun = False

    async def pieces(self) -> AsyncIterator[bytes]:
        self.begun = True
        for chunk in self.chunks:
            await asyncio.sleep(0)
            yield chunk


class Held:
    """A step that sees to it that nothing of the body comes for a while."""

    def __init__(self, seconds: float = 0.02) -> None:
        self.seconds = seconds
        self.received: list[int] = []

    async def __call__(self, connection: Connection) -> None:
        await asyncio.sleep(self.seconds)
        self.received.append((await connection.read_body(0)).received)


BODIES: dict[str, Callable[[], Any]] = {
    "small": lambda: b"small",
    "large": lambda: bytes(300_000),
    "generator": lambda: Chunks(b"one", b"two").pieces(),
    "list": lambda: [b"one", b"two"],
    "file": lambda: io.BytesIO(b"a file"),
}


# The body waits


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("stream", [False, True], ids=["buffered", "streamed"])
@pytest.mark.parametrize("kind", BODIES)
async def test_the_body_waits_for_the_100(served: tuple[Server, aioreq.Client], kind: str, stream: bool) -> None:
    server, client = served
    held = Held()
    server.script(held, CONTINUE, ReadRequest(), OK, path="/", on="head")
    if stream:
        async with client.stream("POST", server.url, content=BODIES[kind](), headers=EXPECT) as streamed:
            assert await streamed.read() == b"ok"
    else:
        assert (await client.post(server.url, content=BODIES[kind](), headers=EXPECT)).content == b"ok"
    assert held.received == [0]
    [request] = server.requests
    expected = {"small": b"small", "large": bytes(300_000), "generator": b"onetwo", "list": b"onetwo", "file": b"a file"}[kind]
    assert request.body == expected
    assert request.header_values("expect") == ["100-continue"]
    assert (await client.get(server.url + "/id/2")).text == "2"
    assert server.accepted == 1 or kind == "file"  # whose end takes another read to find: the answer may come first


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("value", ["100-Continue", "100-CONTINUE"])
async def test_the_expectation_is_case_insensitive(served: tuple[Server, aioreq.Client], value: str) -> None:
    server, client = served
    held = Held()
    server.script(held, CONTINUE, ReadRequest(), OK, path="/", on="head")
    assert (await client.post(server.url, content=b"x", headers={"eXpect": value})).text == "ok"
    assert held.received == [0]


@pytest.mark.usefixtures("patient")
async def test_no_other_1xx_lets_the_body_go(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    first, second = Held(), Held()
    hints = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    server.script(hints, first, b"HTTP/1.1 102 Processing\r\n\r\n", second, CONTINUE, ReadRequest(), hints + OK, path="/", on="head")
    assert (await client.post(server.url, content=b"body", headers=EXPECT)).text == "ok"
    assert (first.received, second.received, server.requests[0].body) == ([0], [0], b"body")


@pytest.mark.usefixtures("patient")
async def test_a_100_byte_by_byte_and_twice(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    drops: list[Any] = []
    for n in range(len(CONTINUE)):
        drops += [CONTINUE[n : n + 1], Pause(0)]
    server.script(*drops, CONTINUE, ReadRequest(), CONTINUE, OK, path="/", on="head")
    assert (await client.post(server.url, content=bytes(100_000), headers=EXPECT)).text == "ok"
    assert (await client.get(server.url + "/id/2")).text == "2"
    assert server.accepted == 1


async def test_a_server_that_says_nothing_has_a_second(server: Server, client: aioreq.Client) -> None:
    held = Held(0.9)
    server.script(held, ReadRequest(), OK, path="/", on="head")
    began = perf_counter()
    assert (await client.post(server.url, content=b"body", headers=EXPECT)).text == "ok"
    assert 0.95 < perf_counter() - began < 5
    assert (held.received, server.requests[0].body) == ([0], b"body")


@pytest.mark.usefixtures("impatient")
async def test_a_100_that_comes_too_late_is_of_no_consequence(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(ReadBody(1), CONTINUE, ReadBody(100_000), OK, path="/", on="head")
    assert (await client.post(server.url, content=bytes(100_000), headers=EXPECT)).text == "ok"
    assert (await client.get(server.url + "/id/2")).text == "2"
    assert server.accepted == 1


@pytest.mark.usefixtures("patient")
async def test_another_expectation_goes_out_and_nothing_waits(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    await client.post(server.url + "/anything", content=b"x", headers={"Expect": "something"})
    await client.get(server.url + "/anything", headers={"Expect": "something"})
    assert [request.header("expect") for request in server.requests] == ["something"] * 2


# Nothing to wait with


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("content", [None, b"", "", io.BytesIO()], ids=["none", "bytes", "str", "file"])
async def test_without_content_there_is_no_expectation(served: tuple[Server, aioreq.Client], content: Any) -> None:
    server, client = served
    assert (await client.post(server.url + "/anything", content=content, headers=EXPECT)).ok
    assert (await client.get(server.url + "/anything", headers=EXPECT)).ok
    assert [request.header("expect") for request in server.requests] == [None, None]


@pytest.mark.usefixtures("patient")
async def test_a_clients_default_expectation_goes_with_bodies_alone(server: Server) -> None:
    server.script(CONTINUE, ReadRequest(), OK, path="/", on="head", times=2)
    async with aioreq.Client(headers={**EXPECT, "A": "b"}) as client:
        assert (await client.get(server.url + "/anything")).ok
        assert (await client.get(server.url + "/anything", headers={"C": "d"})).ok
        assert (await client.post(server.url, content=b"x")).text == "ok"
        assert (await client.post(server.url, content=b"x", headers={"C": "d"})).text == "ok"
        assert (await client.post(server.url + "/anything", content=b"x", headers={"Expect": None})).ok
    assert [request.header("expect") for request in server.requests] == [None, None, "100-continue", "100-continue", None]
    assert [request.header("a") for request in server.requests] == ["b"] * 5


@pytest.mark.usefixtures("patient")
async def test_a_303_drops_the_expectation_with_the_body(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(b"HTTP/1.1 303 See Other\r\nLocation: /anything\r\nContent-Length: 0\r\n\r\n", path="/", on="head")
    assert (await client.post(server.url, content=b"x", headers=EXPECT)).json()["method"] == "GET"
    assert [request.header("expect") for request in server.requests] == ["100-continue", None]


# A final response first


REFUSALS = {
    "401": b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno",
    "413": b"HTTP/1.1 413 Content Too Large\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
    "200": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
    "after 103": b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno",
}


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("name", REFUSALS)
@pytest.mark.parametrize("kind", BODIES)
async def test_a_final_response_is_delivered_and_no_body_sent(served: tuple[Server, aioreq.Client], kind: str, name: str) -> None:
    server, client = served
    server.script(Pause(0), REFUSALS[name], Stall(), path="/", on="head")
    response = await client.post(server.url, content=BODIES[kind](), headers=EXPECT)
    assert (response.content, response.status) == (b"no", int(name) if name.isdigit() else 503)
    # The body is still owed: the connection must not carry anything else (RFC 9112 section 9.3).
    await server.until(lambda: not server.connections)
    assert server.requests[0].received == 0
    assert (await client.get(server.url + "/id/2")).text == "2"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("status", [b"200 OK", b"413 Content Too Large"])
async def test_nothing_is_sent_while_the_final_response_streams(served: tuple[Server, aioreq.Client], status: bytes) -> None:
    server, client = served
    held = Held(4 * SHORT)
    content = Chunks(b"x")
    server.script(b"HTTP/1.1 " + status + b"\r\nContent-Length: 4\r\n\r\nab", held, b"cd", Stall(), path="/", on="head")
    async with client.stream("POST", server.url, content=content.pieces(), headers=EXPECT) as response:
        assert b"".join([piece async for piece in response.content]) == b"abcd"
    assert (held.received, content.begun) == ([0], False)
    await server.until(lambda: not server.connections)


@pytest.mark.usefixtures("patient")
async def test_a_generator_that_was_refused_is_sent_with_the_password(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    challenge = b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="r"\r\nContent-Length: 0\r\n\r\n'
    server.script(challenge, path="/", on="head")
    server.script(CONTINUE, ReadRequest(), OK, path="/", on="head")
    response = await client.post(server.url, content=Chunks(b"one", b"two").pieces(), headers=EXPECT, auth=("user", "password"))
    assert response.text == "ok"
    refused, sent = server.requests
    assert (refused.received, sent.body, sent.header("expect")) == (0, b"onetwo", "100-continue")


@pytest.mark.usefixtures("patient")
async def test_a_generator_that_was_redirected_is_sent_there(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n", path="/", on="head")
    server.script(CONTINUE, ReadRequest(), OK, path="/there", on="head")
    assert (await client.put(server.url, content=Chunks(b"one", b"two").pieces(), headers=EXPECT)).text == "ok"
    assert server.requests[1].body == b"onetwo"


# 417


FAILED = b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("kind", BODIES)
async def test_a_417_is_answered_without_the_expectation(served: tuple[Server, aioreq.Client], kind: str) -> None:
    server, client = served
    server.script(FAILED, path="/upload", on="head")
    assert (await client.post(server.url + "/upload", content=BODIES[kind](), headers={**EXPECT, "A": "b"})).json()["length"] > 0
    assert [request.header("expect") for request in server.requests] == ["100-continue", None]
    assert [request.header("a") for request in server.requests] == ["b", "b"]


@pytest.mark.usefixtures("patient")
async def test_a_second_417_is_the_answer(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(FAILED, path="/", on="head")
    server.script(FAILED, path="/")
    assert (await client.post(server.url, content=b"x", headers=EXPECT)).status == 417
    assert len(server.requests) == 2


@pytest.mark.usefixtures("patient")
async def test_a_417_to_what_cannot_be_sent_again_is_the_answer(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(CONTINUE, ReadRequest(), FAILED, path="/", on="head")
    assert (await client.post(server.url, content=Chunks(b"x").pieces(), headers=EXPECT)).status == 417
    server.script(FAILED, path="/")  # and so is one to a request that expected nothing
    assert (await client.post(server.url, content=b"x")).status == 417
    assert len(server.requests) == 2


# Time, and the connection's end


@pytest.mark.usefixtures("impatient")
async def test_neither_read_nor_write_counts_during_the_wait(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(ReadRequest(), OK, path="/", on="head")
    limits = Timeout(read=SHORT / 2, write=SHORT / 2)
    assert (await client.post(server.url, content=b"x", headers=EXPECT, timeout=limits)).text == "ok"


@pytest.mark.usefixtures("patient")
async def test_the_total_counts_during_the_wait(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    await client.get(server.url + "/id/1")
    content = Chunks(b"x")
    server.script(Stall(), path="/", on="head")
    with pytest.raises(aioreq.TotalTimeout, match=r"while the body waited for a 100 \(Continue\), 0\.\d+ s into <Request POST"):
        await client.post(server.url, content=content.pieces(), headers=EXPECT, timeout=Timeout(total=SHORT))
    assert not content.begun
    await server.until(lambda: not server.connections)


@pytest.mark.usefixtures("patient")
async def test_the_read_limit_counts_from_a_final_head_on(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab", Stall(), path="/", on="head")
    with pytest.raises(aioreq.ReadTimeout, match="during the response's body"):
        await client.post(server.url, content=b"x", headers=EXPECT, timeout=Timeout(read=SHORT))


@pytest.mark.usefixtures("patient")
async def test_the_write_limit_counts_from_the_100_on(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(CONTINUE, StopReading(), Stall(), path="/", on="head")
    endless = (bytes(65536) for _ in range(10_000))
    with pytest.raises(aioreq.WriteTimeout, match="during the upload"):
        await client.post(server.url, content=endless, headers=EXPECT, timeout=Timeout(write=SHORT))


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("step", [Close(), Reset()], ids=["close", "reset"])
async def test_a_connection_that_ends_during_the_wait(served: tuple[Server, aioreq.Client], step: Any) -> None:
    server, client = served
    content = Chunks(b"x")
    server.script(step, path="/", on="head")
    with pytest.raises(aioreq.ConnectionLost, match=r"while the body waited for a 100 \(Continue\)") as caught:
        await client.post(server.url, content=content.pieces(), headers=EXPECT)
    assert (caught.value.response_started, content.begun) == (False, False)
    server.script(CONTINUE, step, path="/", on="head")
    with pytest.raises(aioreq.ConnectionLost) as caught:
        await client.put(server.url, content=[b"x"] * 3, headers=EXPECT)
    assert caught.value.response_started  # so nobody sends it again in silence
    assert (await client.get(server.url + "/id/2")).text == "2"


@pytest.mark.usefixtures("patient")
async def test_a_dead_idle_connection_costs_no_generator(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    await client.get(server.url + "/id/1")
    server.script(CONTINUE, ReadRequest(), OK, path="/", on="head", times=2)  # the dying connection may yet take one
    server.push(Close())
    assert (await client.put(server.url, content=Chunks(b"one").pieces(), headers=EXPECT)).text == "ok"


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("turns", [*range(12), 30, 100])
async def test_cancelled_while_it_waits(served: tuple[Server, aioreq.Client], turns: int) -> None:
    server, client = served
    content = Chunks(b"x")
    server.script(Stall(), path="/", on="head")
    task = asyncio.create_task(client.post(server.url, content=content.pieces(), headers=EXPECT))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not content.begun
    assert (await client.get(server.url + "/id/2")).text == "2"
    await server.until(lambda: len(server.connections) == 1)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("turns", range(6))
async def test_cancelled_as_the_100_arrives(served: tuple[Server, aioreq.Client], turns: int) -> None:
    server, client = served
    told = asyncio.Event()

    async def tell(connection: Connection) -> None:
        told.set()

    server.script(CONTINUE, tell, Stall(), path="/", on="head")
    task = asyncio.create_task(client.post(server.url, content=[b"x"] * 3, headers=EXPECT))
    await told.wait()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await client.get(server.url + "/id/2")).text == "2"


@pytest.mark.usefixtures("patient")
async def test_after_the_100_it_is_an_upload_like_any_other(served: tuple[Server, aioreq.Client]) -> None:
    """An answer may come before its end, and then it stops."""
    server, client = served
    endless = (bytes(65536) for _ in range(10_000))
    server.script(CONTINUE, ReadBody(200_000), REFUSALS["413"], Stall(), path="/", on="head")
    assert (await client.post(server.url, content=endless, headers=EXPECT)).status == 413
    await server.until(lambda: not server.connections)
