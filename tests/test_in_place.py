"""Bodies of declared length that are gathered in one piece, and on plaintext read straight into it: the parsers alone, then the client."""

from __future__ import annotations

import asyncio
import gc
import random
import tracemalloc
from collections.abc import Iterable
from typing import Any

import pytest
from wires import INVALID, TWINS, VALID, Recorder, Verdict, every_split, judge, load_twin, pieces

import aioreq
from aioreq.config import Limits
from aioreq.faces import BufferedFace
from aioreq.headers import Fields
from aioreq.testing import Close, Pause, Reset, Server, Stall

MIB = 1 << 20
BODY = random.Random(1).randbytes(3 * MIB)
pytestmark = pytest.mark.usefixtures("no_hanging")


@pytest.fixture(params=TWINS)
def twin(request: pytest.FixtureRequest) -> Any:
    return load_twin(request.param)


class Whole(Recorder):
    """A receiver that wants each body in one piece."""

    def on_head(  # type: ignore[override]
        self, version: str, status: int, reason: bytes, fields: Fields
    ) -> bool:
        super().on_head(version, status, reason, fields)
        return True


def parser_in(twin: Any, wire: bytes = b"") -> tuple[Any, Whole]:
    recorder = Whole()
    parser = twin.ResponseParser(recorder, Limits())
    parser.expect("GET")
    parser.feed(wire)
    return parser, recorder


def hand(parser: Any, data: bytes | memoryview) -> None:
    """As a loop would: into the room where there is some, else from a buffer of its own."""
    while data:
        if not parser.gathering:
            parser.feed(bytes(data) + b"?", len(data))
            return
        room = parser.room()
        with memoryview(room) as view:
            count = min(len(view), len(data))
            view[:count] = data[:count]
        parser.feed(room, count)
        data = data[count:]


def judge_in_place(twin: Any, wire: bytes, cuts: Iterable[int], method: str) -> Verdict:
    parser, recorder = parser_in(twin)
    parser.expect(method)
    error = None
    try:
        for piece in pieces(wire, cuts):
            hand(parser, piece)
    except Exception as fault:
        error = (type(fault).__name__, str(fault), getattr(fault, "limit", ""))
    assert parser.gathering == bool(parser.gathered) == (parser.gathered != b"")
    if parser.gathering:
        recorder.on_body(parser.gathered)
    flags = {name: getattr(parser, name) for name in ("started", "done", "keep_alive", "upgraded", "close_delimited", "content_length")}
    return Verdict(recorder.events, error, parser.feed_eof(), parser.rest(), flags)


WIRES = {name: (case.wire, case.method) for name, case in VALID.items()} | {name: (wire, "GET") for name, (wire, _) in INVALID.items()}
SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello, world"
WIRES |= {"sized": (SIZED, "GET"), "sized and more": (SIZED + b"HTTP/1.1 200 OK\r\n\r\n", "GET"), "cut": (SIZED[:-3], "GET")}


@pytest.mark.parametrize("name", WIRES)
def test_the_verdict_is_that_of_pieces(twin: Any, name: str) -> None:
    wire, method = WIRES[name]
    wanted = judge(twin, wire, method=method)
    for cuts in every_split(wire):
        assert judge_in_place(twin, wire, cuts, method) == wanted, cuts


def head_for(size: int, extra: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n" % (size, extra)


@pytest.mark.parametrize("first", [1, 100, MIB - 1, MIB, MIB + 1])
@pytest.mark.parametrize("step", [65_537, 2 * MIB])
def test_large_bodies_grow_in_their_place(twin: Any, first: int, step: int) -> None:
    parser, recorder = parser_in(twin, head_for(len(BODY)) + BODY[:first])
    assert parser.gathered == BODY[:first]
    for at in range(first, len(BODY), step):
        hand(parser, BODY[at : at + step])
    assert recorder.events[1:] == [("body", BODY), ("end", [])]
    assert not parser.gathering
    assert parser.gathered == b""


def test_the_room_of_a_body_that_was_handed_on_holds_its_memory(twin: Any) -> None:
    parser, recorder = parser_in(twin, head_for(8) + b"abcd")
    room = parser.room()
    with memoryview(room) as view:
        view[:4] = b"efgh"
        parser.feed(room, 4)
        assert recorder.events[1] == ("body", b"abcdefgh")
        recorder.events.clear()
        gc.collect()
        assert bytes(view[:4]) == b"efgh"  # and not of memory that has gone
    del view, room


def test_feeding_and_reading_in_place_may_take_turns(twin: Any) -> None:
    parser, recorder = parser_in(twin, head_for(len(BODY)))
    at = 0
    for step in (300_000, 900_000, 5, 1_200_000):
        parser.feed(BODY[at : at + step])
        hand(parser, BODY[at + step : at + step + 77_777])
        at += step + 77_777
    parser.feed(BODY[at:])
    assert recorder.events[1:] == [("body", BODY), ("end", [])]


def test_nothing_is_allocated_from_a_number_that_the_peer_sent(twin: Any) -> None:
    parser, _ = parser_in(twin)
    tracemalloc.start()
    try:
        parser.feed(head_for(10**17) + b"x")
        assert len(memoryview(parser.room())) <= MIB
        hand(parser, memoryview(BODY)[: MIB // 2])
        assert tracemalloc.get_traced_memory()[1] < MIB * 1.1
        hand(parser, memoryview(BODY))
        parser.room()
        assert tracemalloc.get_traced_memory()[0] < 2.1 * (3.5 * MIB)
    finally:
        tracemalloc.stop()


def test_one_byte_too_many_is_noticed(twin: Any) -> None:
    parser, recorder = parser_in(twin, head_for(12) + b"hello, ")
    room = parser.room()
    with memoryview(room) as view:
        assert len(view) == 6
        view[:] = b"world!"
    parser.feed(room, 6)
    assert recorder.events[1:] == [("body", b"hello, world"), ("end", [])]
    assert parser.rest() == b"!"


def test_a_room_that_the_loop_still_holds_stays_where_it_is(twin: Any) -> None:
    parser, recorder = parser_in(twin, head_for(len(BODY)) + BODY[:9])
    held, at = [], 9
    while parser.gathering:
        room = parser.room()
        view = memoryview(room)
        held.append((view, at))
        count = min(len(view), len(BODY) - at)
        view[:count] = BODY[at : at + count]
        parser.feed(room, count)
        at += count
    assert recorder.events[1] == ("body", BODY)
    assert len(held) > 1
    for view, at in held:
        assert view[:1000] == BODY[at : at + 1000]
        view.release()


def test_there_is_room_in_a_gathered_body_alone(twin: Any) -> None:
    parser, _ = parser_in(twin)
    for wire in (b"", b"HTTP/1.1 200 OK\r\n", b"Content-Length: 5\r\n\r\n"):
        parser.feed(wire)
        with pytest.raises(RuntimeError):
            parser.room()
    parser.feed(b"h")
    room = parser.room()
    for size in (-1, 6):
        with pytest.raises(ValueError):
            parser.feed(room, size)
        room = parser.room()
    with memoryview(room) as view:
        view[:4] = b"ello"
    parser.feed(room, 4)
    assert parser.done
    with pytest.raises(RuntimeError):
        parser.room()


@pytest.mark.parametrize("callback", ["on_body", "on_end"])
def test_an_error_of_the_receiver_breaks_the_parser(twin: Any, callback: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parser, recorder = parser_in(twin, head_for(5) + b"h")

    def fail(given: Any) -> None:
        with pytest.raises(RuntimeError):
            parser.feed(b"x")
        raise KeyError("mine")

    monkeypatch.setattr(recorder, callback, fail)
    with pytest.raises(KeyError):
        hand(parser, b"ello")
    with pytest.raises(aioreq.RemoteProtocolError):
        parser.feed(b"x")


# --- by the client, over sockets


@pytest.fixture
def rooms(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What faces gave their loop to read into that was no shared buffer."""
    given: list[Any] = []
    get_buffer = BufferedFace.get_buffer

    def spy(face: BufferedFace, sizehint: int) -> Any:
        buffer = get_buffer(face, sizehint)
        if buffer is not face.buffer:
            given.append(face)
        return buffer

    monkeypatch.setattr(BufferedFace, "get_buffer", spy)
    return given


@pytest.mark.parametrize("first", [0, 1, 70_000])
async def test_a_large_body_is_whole_and_its_connection_good(served: tuple[Server, aioreq.Client], rooms: list[Any], first: int) -> None:
    server, client = served
    server.script(head_for(len(BODY)) + BODY[:first], Pause(0.02), BODY[first:2_000_001], Pause(0.02), BODY[2_000_001:], path="/large")
    response = await client.get(server.url + "/large")
    assert response.content == BODY
    assert type(response.content) is bytes
    assert (await client.get(server.url + "/id/next")).text == "next"
    assert server.accepted == 1
    assert rooms


async def test_a_stream_is_not_gathered(served: tuple[Server, aioreq.Client], rooms: list[Any]) -> None:
    server, client = served
    server.script(head_for(len(BODY)) + BODY[:10], Pause(0.02), BODY[10:], path="/large")
    async with client.stream("GET", server.url + "/large") as response:
        assert b"".join([piece async for piece in response.content]) == BODY
    server.script(head_for(len(BODY)).replace(b"200 OK", b"404 No") + BODY, path="/missing")
    assert (await client.get(server.url + "/missing")).content == BODY
    assert not rooms


@pytest.mark.parametrize("behind", [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"])
async def test_bytes_behind_a_gathered_body_close_the_connection(served: tuple[Server, aioreq.Client], behind: bytes) -> None:
    server, client = served
    server.script(head_for(100_000) + BODY[:10], Pause(0.02), BODY[10:100_000] + behind, path="/large")
    assert (await client.get(server.url + "/large")).content == BODY[:100_000]
    assert (await client.get(server.url + "/id/next")).text == "next"
    assert server.accepted == 2


@pytest.mark.parametrize("ending", [Close(), Reset()], ids=["close", "reset"])
@pytest.mark.parametrize("count", [1, 50_000, 1_500_000])
async def test_what_had_arrived_of_a_body_that_was_cut(served: tuple[Server, aioreq.Client], count: int, ending: Any) -> None:
    server, client = served
    server.script(head_for(len(BODY)) + BODY[:1], Pause(0.02), BODY[1:count], Pause(0.1), ending, path="/cut")
    with pytest.raises(aioreq.IncompleteBody) as caught:
        await client.get(server.url + "/cut")
    assert (caught.value.partial, caught.value.received, caught.value.expected) == (BODY[:count], count, len(BODY))
    assert (await client.get(server.url + "/id/next")).text == "next"


async def test_a_body_too_large_is_refused_by_its_head(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(head_for(len(BODY)), Stall(), path="/large")
    with pytest.raises(aioreq.LimitExceeded) as caught:
        await client.get(server.url + "/large", max_body=MIB)
    assert caught.value.limit == "body"


async def test_a_silent_peer_is_given_up_in_the_middle(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(head_for(len(BODY)) + BODY[:1], Pause(0.02), BODY[1:50_000], Stall(), path="/stall")
    with pytest.raises(aioreq.ReadTimeout, match="during the response's body"):
        await client.get(server.url + "/stall", timeout=aioreq.Timeout(read=0.1))
    await server.until(lambda: not server.connections)


async def test_cancelled_in_the_middle_nothing_stays(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(head_for(len(BODY)) + BODY[:1], Pause(0.02), BODY[1:50_000], Stall(), path="/stall")
    fetching = asyncio.ensure_future(client.get(server.url + "/stall"))
    await asyncio.sleep(0.1)
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    assert (await client.get(server.url + "/id/next")).text == "next"
    await server.until(lambda: len(server.connections) == 1)


async def test_connections_of_one_loop_keep_their_bodies_apart(rooms: list[Any]) -> None:
    bodies = [random.Random(seed).randbytes(400_000 + seed) for seed in range(6)]
    async with Server() as server, aioreq.Client() as client:
        for seed, body in enumerate(bodies):
            steps = [part for at in range(0, len(body), 37_000) for part in (Pause(0.001), body[at : at + 37_000])]
            server.script(head_for(len(body)) + b"", *steps, path=f"/{seed}")
        responses = await asyncio.gather(*(client.get(f"{server.url}/{seed}") for seed in range(len(bodies))))
    assert [response.content for response in responses] == bodies
    assert len(set(map(id, rooms))) == len(bodies)
