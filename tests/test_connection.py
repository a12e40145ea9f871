"""One connection under every accident: cut, reset and dripped responses, odd framing, unasked bytes, limits. Through the public client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
from faults import RESPONSES, How, Sample, cuts, drip

import aioreq
from aioreq.testing import Close, HalfClose, Pause, ReadRequest, Reply, Request, Reset, Server, Stall

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"

both_ways = pytest.mark.parametrize("stream", [False, True], ids=["buffered", "streamed"])


pytestmark = pytest.mark.usefixtures("no_hanging")


@pytest.fixture
async def bare() -> AsyncIterator[aioreq.Client]:
    """A client that tries once, one connection at a time."""
    async with aioreq.Client(retry=0, limits=aioreq.Limits(connections=1), timeout=aioreq.Timeout(total=10)) as client:
        yield client


class Outcome:
    """What a user has in hands at the end: a whole answer, or what arrived and an error."""

    def __init__(self, content: bytes, error: aioreq.AioreqError | None = None, **head: Any) -> None:
        self.content = content
        self.error = error
        self.head = head


async def fetch(client: aioreq.Client, url: str, stream: bool) -> Outcome:
    content = b""
    try:
        if not stream:
            response = await client.get(url)
            return Outcome(response.content, **head_of(response))
        async with client.stream("GET", url) as streamed:
            async for piece in streamed.content:
                assert piece
                content += piece
            return Outcome(content, **head_of(streamed))
    except aioreq.AioreqError as error:
        return Outcome(content, error)


def head_of(response: aioreq.Response | aioreq.StreamResponse) -> dict[str, Any]:
    return {
        "status": response.status,
        "version": response.http_version,
        "message": response.status_message,
        "headers": list(response.headers.items()),
        "trailers": list(response.trailers.items()),
    }


# Cut at every byte


def arrived(sample: Sample, n: int) -> bytes | None:
    """The bytes of the body, its coding still on, among the first n of the wire; None while the final head isn't whole."""
    start = sample.wire.rindex(b"HTTP/1.")
    end = sample.wire.index(b"\r\n\r\n", start) + 4
    if n < end:
        return None
    rest = sample.wire[end:n]
    if b"chunked" not in sample.wire[start:end]:
        return rest
    body = b""
    while (line := rest.partition(b"\r\n"))[1]:
        size = int(line[0].partition(b";")[0], 16)
        if not size:
            break
        body += line[2][:size]
        rest = line[2][size + 2 :]
    return body


CUT = ["fixed", "chunked", "trailers", "chunk-extensions", "until-close", "http-1.0", "gzip", "chunked-gzip", "no-content", "not-modified"]
CUT += ["after-103", "server-error"]


@both_ways
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("name", CUT)
async def test_a_response_cut_at_any_byte_is_never_taken_for_whole(bare: aioreq.Client, name: str, how: How, stream: bool) -> None:
    async with Server() as server:
        await check_cuts(server, bare, RESPONSES[name], how, stream)


@both_ways
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("name", ["fixed", "chunked", "until-close"])
async def test_a_response_cut_at_any_byte_over_tls(name: str, how: How, stream: bool) -> None:
    async with Server(tls=True) as server, aioreq.Client(retry=0, verify=server.ca or True) as client:
        await check_cuts(server, client, RESPONSES[name], how, stream, step=5)


async def check_cuts(server: Server, client: aioreq.Client, sample: Sample, how: How, stream: bool, step: int = 1) -> None:
    for n, steps in list(cuts(sample.wire, how))[::step]:
        server.script(*steps, path=f"/{n}")
        outcome = await fetch(client, f"{server.url}/{n}", stream)
        body = arrived(sample, n)
        error = outcome.error
        if body is None:
            assert type(error) is aioreq.ConnectionLost, n
            assert error.response_started == (n > 0), n
        elif sample.until_close and how == "close":
            assert (error, outcome.content) == (None, body), n
            continue
        else:
            assert type(error) is aioreq.IncompleteBody, n
            assert error.response_started
            assert error.received == len(body), n
            expected = None if b"chunked" in sample.wire or sample.until_close else len(sample.raw_body.rpartition(b"\r\n\r\n")[2])
            assert error.expected == expected, n
            assert f"{len(body)}{'' if expected is None else f' of {expected}'} bytes" in str(error)
            if not stream:
                assert error.partial == body, n
            elif "gzip" not in sample.name:
                assert outcome.content == body, n
        assert error.request is not None
        assert f"{server.host}:{server.port}" in str(error)


@pytest.mark.parametrize("name", ["fixed", "chunked", "gzip"])
async def test_what_arrived_of_a_stream_that_is_read_whole(bare: aioreq.Client, name: str) -> None:
    sample = RESPONSES[name]
    async with Server() as server:
        for n, steps in list(cuts(sample.wire))[len(sample.head) :]:
            server.script(*steps, path="/")
            async with bare.stream("GET", server.url) as response:
                with pytest.raises(aioreq.IncompleteBody) as caught:
                    await response.read()
            assert caught.value.partial == arrived(sample, n)


@pytest.mark.parametrize("name", ["gzip", "chunked-gzip"])
async def test_what_decoded_before_the_cut_was_handed_out(bare: aioreq.Client, name: str) -> None:
    sample = RESPONSES[name]
    contents = []
    async with Server() as server:
        for n, steps in cuts(sample.wire):
            server.script(*steps, path=f"/{n}")
            contents.append((await fetch(bare, f"{server.url}/{n}", True)).content)
    assert all(sample.body.startswith(content) for content in contents)
    assert len(contents[-1]) > len(sample.body) // 2


# Byte by byte


@both_ways
@pytest.mark.parametrize("sample", RESPONSES.values(), ids=str)
async def test_a_dripping_response_is_the_whole_one(served: tuple[Server, aioreq.Client], sample: Sample, stream: bool) -> None:
    server, client = served
    end = (Close(),) if sample.until_close else ()
    server.script(sample.wire, *end, path="/whole")
    server.script(*drip(sample.wire), *end, path="/dripped")
    whole = await fetch(client, server.url + "/whole", stream)
    dripped = await fetch(client, server.url + "/dripped", stream)
    assert whole.error is None
    assert (whole.content, whole.head["status"]) == (sample.body, sample.status)
    assert whole.head["trailers"] == [(name.decode(), value.decode()) for name, value in sample.trailers]
    assert (dripped.error, dripped.content, dripped.head) == (None, whole.content, whole.head)
    assert server.accepted == (2 if sample.until_close else 1)


@both_ways
@pytest.mark.parametrize("size", [2, 3, 7, 16])
async def test_the_split_of_the_bytes_never_matters(bare: aioreq.Client, size: int, stream: bool) -> None:
    async with Server() as server:
        for sample in RESPONSES.values():
            server.script(*drip(sample.wire, size), *((Close(),) if sample.until_close else ()), path=f"/{sample}")
            outcome = await fetch(bare, f"{server.url}/{sample}", stream)
            assert (outcome.error, outcome.content, outcome.head.get("status")) == (None, sample.body, sample.status), sample


# Which connections are used again


async def answers(served: tuple[Server, aioreq.Client], *steps: Any, method: str = "GET", **options: Any) -> tuple[aioreq.Response, bool]:
    """The response to a scripted answer, and whether its connection served the next request; which is always answered right."""
    server, client = served
    server.script(*steps, path="/scripted")
    response = await client.request(method, server.url + "/scripted", **options)
    assert (await client.get(server.url + "/id/next")).text == "next"
    return response, server.requests[-1].connection == server.requests[-2].connection


async def test_a_plain_exchange_leaves_the_connection_for_the_next(served: tuple[Server, aioreq.Client]) -> None:
    response, reused = await answers(served, OK)
    assert (response.content, reused) == (b"ok", True)


@pytest.mark.parametrize(
    ("head", "reused"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: foo, CLOSE\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", True),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\n", False),
    ],
)
async def test_persistence_is_what_rfc_9112_section_9_3_says(served: tuple[Server, aioreq.Client], head: bytes, reused: bool) -> None:
    response, again = await answers(served, head + b"Content-Length: 2\r\n\r\nok")
    assert (response.content, again) == (b"ok", reused)


async def test_our_own_connection_close_is_kept(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    for _ in range(2):
        # The server is scripted to keep the connection open: it is the client that closes.
        server.script(OK, path="/")
        assert (await client.get(server.url, headers={"Connection": "close"})).text == "ok"
    assert server.accepted == 2
    await server.until(lambda: not server.connections)


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_body_may_end_with_the_connection(served: tuple[Server, aioreq.Client], version: bytes) -> None:
    response, reused = await answers(served, b"HTTP/%b 200 OK\r\n\r\n" % version, b"all ", Pause(0.01), b"of it", Close())
    assert (response.content, reused) == (b"all of it", False)


async def test_a_half_close_behind_the_answer(served: tuple[Server, aioreq.Client]) -> None:
    response, reused = await answers(served, OK, HalfClose(), Stall())
    assert (response.content, reused) == (b"ok", False)


async def test_a_half_close_ends_a_close_delimited_body(served: tuple[Server, aioreq.Client]) -> None:
    response, reused = await answers(served, b"HTTP/1.1 200 OK\r\n\r\nall", HalfClose(), Stall())
    assert (response.content, reused) == (b"all", False)


async def test_a_half_close_in_place_of_the_answer(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(HalfClose(), Stall(), path="/")
    with pytest.raises(aioreq.ConnectionLost, match="closed the connection before any byte of the response") as caught:
        await client.get(server.url)
    assert not caught.value.response_started
    assert (await client.get(server.url + "/id/2")).text == "2"


@pytest.mark.parametrize("behind", [b"x", EVIL, b"\r\n"])
async def test_bytes_behind_an_answer_close_the_connection(served: tuple[Server, aioreq.Client], behind: bytes) -> None:
    response, reused = await answers(served, OK + behind)
    assert (response.content, reused) == (b"ok", False)


@pytest.mark.parametrize("unasked", [b"x", EVIL, b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"])
async def test_bytes_on_an_idle_connection_never_answer_the_next_request(served: tuple[Server, aioreq.Client], unasked: bytes) -> None:
    server, client = served
    assert (await client.get(server.url + "/id/1")).text == "1"
    assert server.push(unasked) == 1
    await server.until(lambda: not server.connections)
    assert (await client.get(server.url + "/id/2")).text == "2"
    assert [request.connection for request in server.requests] == [1, 2]


@pytest.mark.parametrize("steps", [(Close(),), (Reset(),), (HalfClose(), Stall())], ids=["close", "reset", "half-close"])
async def test_a_connection_that_ends_while_idle_is_replaced(served: tuple[Server, aioreq.Client], steps: Any) -> None:
    server, client = served
    assert (await client.get(server.url + "/id/1")).text == "1"
    assert server.push(*steps) == 1
    # Seen in time or not: the request gets its answer.
    assert (await client.get(server.url + "/id/2")).text == "2"
    assert server.accepted == 2


@pytest.mark.parametrize("behind", [b"", b"body that HEAD never has"])
async def test_a_head_response_has_no_body(served: tuple[Server, aioreq.Client], behind: bytes) -> None:
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n" + behind
    response, reused = await answers(served, wire, method="HEAD")
    assert (response.content, response.headers["content-length"], reused) == (b"", "24", not behind)


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
@pytest.mark.parametrize("length", [b"5", b"1099511627776"])
async def test_204_and_304_have_no_body_whatever_they_declare(served: tuple[Server, aioreq.Client], status: bytes, length: bytes) -> None:
    response, reused = await answers(served, b"HTTP/1.1 %b\r\nContent-Length: %b\r\n\r\n" % (status, length))
    assert (response.status, response.content, reused) == (int(status[:3]), b"", True)


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_a_body_behind_204_and_304_is_nobodys(served: tuple[Server, aioreq.Client], status: bytes) -> None:
    response, reused = await answers(served, b"HTTP/1.1 %b\r\nContent-Length: 5\r\n\r\nhello" % status)
    assert (response.status, response.content, reused) == (int(status[:3]), b"", False)


@pytest.mark.parametrize("behind", [b"", EVIL])
async def test_nothing_is_read_behind_a_101(served: tuple[Server, aioreq.Client], behind: bytes) -> None:
    asking = {"Upgrade": "x", "Connection": "Upgrade"}
    response, reused = await answers(served, SWITCHING + behind, headers=asking)
    assert (response.status, response.content, reused) == (101, b"", False)


@both_ways
@pytest.mark.parametrize("content", [None, b"x", [b"x"]], ids=["no body", "bytes", "iterable"])
async def test_a_101_that_nobody_asked_for_is_an_error_of_theirs(served: tuple[Server, aioreq.Client], content: Any, stream: bool) -> None:
    server, client = served
    server.script(SWITCHING + EVIL, Stall(), path="/")
    with pytest.raises(aioreq.RemoteProtocolError, match=r"switches protocols \(101\), but nobody asked it to.*no Upgrade field") as caught:
        if stream:
            async with client.stream("POST", server.url, content=content):
                pass
        else:
            await client.post(server.url, content=content)
    assert caught.value.request is not None
    await server.until(lambda: not server.connections)
    assert (await client.get(server.url + "/id/2")).text == "2"


async def test_both_lengths_at_once_close_the_connection(served: tuple[Server, aioreq.Client]) -> None:
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    response, reused = await answers(served, wire)
    assert (response.content, reused) == (b"ok", False)


# A server that speaks first


@pytest.mark.parametrize("banner", [b"SSH-2.0-OpenSSH_9.6\r\n", b"220 mail ESMTP\r\n", b"\x00"])
async def test_a_server_that_speaks_another_protocol(served: tuple[Server, aioreq.Client], banner: bytes) -> None:
    server, client = served
    server.script(banner, Stall(), on="accept")
    with pytest.raises((aioreq.RemoteProtocolError, aioreq.ConnectionLost)) as caught:
        await client.get(server.url)
    assert caught.value.request is not None
    assert (await client.get(server.url + "/id/2")).text == "2"


@pytest.mark.parametrize("end", [(), (Close(),), (Reset(),)], ids=["open", "close", "reset"])
async def test_an_answer_before_the_question(served: tuple[Server, aioreq.Client], end: tuple[Any, ...]) -> None:
    server, client = served
    early = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy"
    server.script(early, *end, on="accept")
    # A busy server turns connections away before it reads. Either way the client says so, and gets over it.
    outcome = await fetch(client, server.url, stream=False)
    if outcome.error is None:
        assert outcome.head["status"] == 503
    else:
        assert type(outcome.error) is aioreq.ConnectionLost
        assert not outcome.error.response_started
    assert (await client.get(server.url + "/id/2")).text == "2"


@pytest.mark.parametrize("steps", [(Close(),), (Reset(),), (HalfClose(), Stall())], ids=["close", "reset", "half-close"])
async def test_a_server_that_hangs_up_at_once(served: tuple[Server, aioreq.Client], steps: Any) -> None:
    server, client = served
    server.script(*steps, on="accept")
    with pytest.raises((aioreq.ConnectionLost, aioreq.TLSError)):
        await client.get(server.url)
    assert (await client.get(server.url + "/id/2")).text == "2"


# Interim responses


@pytest.mark.parametrize("interim", [b"100 Continue\r\n", b"103 Early Hints\r\nLink: </a>\r\n", b"102 Processing\r\n", b"199 \r\n"])
async def test_interim_responses_are_skipped(served: tuple[Server, aioreq.Client], interim: bytes) -> None:
    response, reused = await answers(served, (b"HTTP/1.1 " + interim + b"\r\n") * 3, Pause(0.01), OK)
    assert (response.status, response.content, reused) == (200, b"ok", True)


async def test_too_many_interim_responses(bare: aioreq.Client, server: Server) -> None:
    server.script(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 17 + OK, path="/")
    with pytest.raises(aioreq.LimitExceeded, match=r"more than 16 informational.*Limits\(informational=\.\.\.\)") as caught:
        await bare.get(server.url)
    assert caught.value.limit == "informational"
    assert (await bare.get(server.url + "/id/2")).text == "2"


# Limits


def pieces(piece: bytes, start: bytes = b"HTTP/1.1 200 OK\r\n") -> Iterator[bytes]:
    """A wire without an end, in small pieces."""
    yield start
    while True:
        yield piece


async def endless(connection: Any, piece: bytes, start: bytes) -> None:
    for part in pieces(piece, start):
        await connection.write(part)
        await asyncio.sleep(0)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@both_ways
@pytest.mark.parametrize(
    ("limit", "start", "piece"),
    [
        ("head", b"HTTP/1.1 200 ", b"O" * 64),
        ("head", b"HTTP/1.1 200 OK\r\nX: ", b"a" * 64),
        ("headers", b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n"),
        ("trailers", CHUNKED + b"0\r\n", b"X: " + b"a" * 64 + b"\r\n"),
        ("chunk_extensions", CHUNKED, b"1;" + b"a" * 64 + b"\r\nx\r\n"),
        ("chunk_extensions", CHUNKED + b"1;", b"a" * 64),
        ("informational", b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    ],
)
async def test_what_never_ends_is_cut_off(server: Server, limit: str, start: bytes, piece: bytes, stream: bool) -> None:
    async def flood(connection: Any) -> None:
        await endless(connection, piece, start)

    caps = {"head": 1000, "headers": 100, "trailers": 1000, "chunk_extensions": 1000, "informational": 10}
    async with aioreq.Client(retry=0, limits=aioreq.Limits(connections=1, **caps)) as client:
        server.script(flood, path="/")
        outcome = await fetch(client, server.url, stream)
        assert isinstance(outcome.error, aioreq.LimitExceeded)
        assert outcome.error.limit == limit
        assert f"Limits({limit}=...)" in str(outcome.error)
        assert str(caps[limit]) in str(outcome.error)
        assert outcome.error.request is not None
        # The connection is gone, and its slot free.
        assert (await client.get(server.url + "/id/2")).text == "2"


async def test_the_limits_are_those_of_the_client() -> None:
    fields = [(f"X-{n}", "a" * 1000) for n in range(100)]
    async with Server() as server, aioreq.Client(retry=0, limits=aioreq.Limits(head=200_000)) as roomy, aioreq.Client(retry=0) as client:
        server.route("/", Reply(200, fields, "ok"))
        assert (await roomy.get(server.url)).text == "ok"
        with pytest.raises(aioreq.LimitExceeded, match="longer than 65536 bytes"):
            await client.get(server.url)


# A response that HTTP forbids


@both_ways
@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (b"HTTP/2 200 OK\r\n\r\n", "the response must begin with 'HTTP/1.'"),
        (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "a bare LF"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", "2 Content-Length fields"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", "Content-Length must be decimal digits"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "Transfer-Encoding must be 'chunked' alone"),
        (CHUNKED + b"2\r\nok\r\nzz\r\n", "chunk size: 'z'"),
        (CHUNKED + b"2\r\nok!!", "CRLF must follow"),
        (b"HTTP/1.1 200 OK\r\nA b: 1\r\n\r\n", "whitespace in the name"),
    ],
)
async def test_broken_framing_is_an_error_of_theirs(served: tuple[Server, aioreq.Client], wire: bytes, message: str, stream: bool) -> None:
    server, client = served
    server.script(wire, Stall(), path="/")
    outcome = await fetch(client, server.url, stream)
    assert isinstance(outcome.error, aioreq.RemoteProtocolError)
    assert message in str(outcome.error)
    assert outcome.error.request is not None
    await server.until(lambda: not server.connections)
    assert (await client.get(server.url + "/id/2")).text == "2"


# Many at once


async def test_thousands_of_interleaved_answers_are_never_mixed_up(server: Server) -> None:
    def answer(request: Request) -> Reply:
        number = int(request.params["n"])
        body = (b"%d;" % number) * (1 + number * 37 % 900)
        return Reply(200, [("X-Number", str(number))], body, framing="chunked" if number % 3 else "length")

    server.route("/n/{n}", answer)
    numbers = iter(range(5000))
    wrong = []

    async def work(client: aioreq.Client) -> None:
        for number in numbers:
            response = await client.get(f"{server.url}/n/{number}")
            if response.headers["x-number"] != str(number) or response.content != (b"%d;" % number) * (1 + number * 37 % 900):
                wrong.append(number)

    async with aioreq.Client(retry=0) as client, asyncio.TaskGroup() as group:
        for _ in range(32):
            group.create_task(work(client))
    assert wrong == []
    assert len(server.requests) == 5000
    assert server.accepted <= 32


async def test_large_buffered_bodies_arrive_intact(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    size = 16 << 20
    whole = bytes(range(251)) * (size // 251 + 1)

    async def parts(connection: Any) -> None:
        await connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for start in range(0, size, 1 << 20):
            await connection.write(whole[start : min(start + (1 << 20), size)])

    server.script(parts, path="/")
    response = await client.get(server.url)
    assert len(response.content) == size
    assert response.content == whole[:size]
    assert (await client.get(server.url + "/id/2")).text == "2"


async def test_several_large_bodies_at_once_share_the_read_buffer(server: Server) -> None:
    def answer(request: Request) -> bytes:
        return request.params["letter"].encode() * (1 << 20)

    server.route("/{letter}", answer)
    async with aioreq.Client(retry=0) as client:
        responses = await asyncio.gather(*[client.get(f"{server.url}/{letter}") for letter in "abcdefgh"])
    for letter, response in zip("abcdefgh", responses, strict=True):
        assert response.content == letter.encode() * (1 << 20)


# Cancelled


@pytest.mark.parametrize("turns", range(12))
async def test_an_answer_never_crosses_after_a_cancel(served: tuple[Server, aioreq.Client], turns: int) -> None:
    server, client = served
    for round in range(6):
        task = asyncio.create_task(client.get(f"{server.url}/id/cancelled"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass
        assert (await client.get(f"{server.url}/id/{round}")).text == str(round)


async def test_limits_of_one_requests_terms() -> None:
    """They hold for this exchange; the next one on the same connection has its own."""
    long = b"HTTP/1.1 200 OK\r\nA: " + b"x" * 500 + b"\r\nB: b\r\nC: c\r\nContent-Length: 2\r\n\r\nok"
    limits = aioreq.Limits(head=300, headers=3)
    async with Server() as server, aioreq.Client(retry=0, limits=limits) as client:
        server.route("/short", "ok")
        server.script(long, path="/long", times=4)
        roomy = replace(limits, head=1000, headers=10)
        for path, own in (("/short", None), ("/long", roomy), ("/short", None), ("/short", replace(limits, headers=1)), ("/long", None)):
            request = client.settings.settle(aioreq.Request("GET", server.url + path))
            if own is not None:
                request.terms = replace(request.terms, limits=own)
            call = client.start_stream(request)
            if own is roomy or (path, own) == ("/short", None):
                assert await (await call).read() == b"ok"
            else:
                with pytest.raises(aioreq.LimitExceeded) as caught:
                    await call
                assert caught.value.limit == ("headers" if own else "head")
        assert [request.connection for request in server.requests] == [1, 1, 1, 1, 2]


async def test_a_cancelled_exchange_closes_its_connection(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(ReadRequest(), Stall(), on="accept")
    task = asyncio.create_task(client.get(server.url))
    await server.until(lambda: len(server.requests) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await server.until(lambda: not server.connections)


async def test_closing_the_client_ends_what_is_under_way(server: Server) -> None:
    server.script(Stall(), path="/head", times=3)
    server.script(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", Stall(), path="/body", times=3)
    client = aioreq.Client(retry=0)
    tasks = [asyncio.create_task(client.get(server.url + path)) for path in ("/head", "/body")]
    async with client.stream("GET", server.url + "/body") as response:
        assert await anext(response.content) == b"abc"
        await server.until(lambda: len(server.requests) == 3)
        await asyncio.sleep(0.02)
        await client.close()
        with pytest.raises(aioreq.ClientClosed):
            await anext(response.content)
    for error in await asyncio.gather(*tasks, return_exceptions=True):
        assert type(error) is aioreq.ClientClosed
        assert error.request is not None
