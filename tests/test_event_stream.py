"""Server-sent events on the wire (WHATWG HTML section 9.2.6): each rule as bytes, at every split, beside a plain reading of the rules."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import re
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reading import Cut, all_of, bytewise, cut, finish, until_error

import aioreq
from aioreq.errors import DecodeError, IncompleteBody, LimitExceeded
from aioreq.event_stream import EventStream, ServerSentEvent
from aioreq.testing import Close, Reply, Server

Event = ServerSentEvent
BOM = b"\xef\xbb\xbf"


def stream_of(pieces: Iterable[bytes], max_event: int | None = None, **options: Any) -> EventStream:
    return EventStream(Cut(pieces), "the body of GET h/", **options).up_to(max_event)


def events_of(pieces: Iterable[bytes]) -> list[Event]:
    return finish(all_of(stream_of(pieces)))


def outcome(pieces: Iterable[bytes], max_event: int | None) -> tuple[list[Event], str]:
    events, error = finish(until_error(stream_of(pieces, max_event)))
    return events, str(error or "")


def everywhere(wire: bytes) -> list[list[bytes]]:
    """The wire whole, byte by byte, and in two at every place."""
    return [[wire], bytewise(wire), *([wire[:at], wire[at:]] for at in range(1, len(wire)))]


# -- the rules, written plainly


def read_plainly(wire: bytes) -> tuple[list[Event], str, float | None]:
    """What section 9.2.6 says, line by line, of a stream that is all here: its events, where it stands, its reconnection time."""
    events: list[Event] = []
    data, kind, last_id, event_id, retry, own_retry = "", "", "", "", None, None
    lines = re.split(r"\r\n|\n|\r", wire.decode("utf-8-sig", "replace"))
    for line in lines[:-1]:  # behind the last end of a line stands none
        if line == "":
            event_id = last_id
            if data != "":
                events.append(Event(kind or "message", data.removesuffix("\n"), event_id, own_retry))
            data, kind, own_retry = "", "", None
            continue
        if line.startswith(":"):
            continue
        if ":" in line:
            name, value = line.split(":", 1)
            value = value.removeprefix(" ")
        else:
            name, value = line, ""
        if name == "event":
            kind = value
        elif name == "data":
            data += value + "\n"
        elif name == "id":
            if "\0" not in value:
                last_id = value
        elif name == "retry" and value != "" and set(value) <= set("0123456789"):
            retry = own_retry = int(value) / 1000
    return events, event_id, retry


CASES = [
    # The specification's own examples.
    (b"data: This is the first message.\n\n", [Event(data="This is the first message.")]),
    (b"data: YHOO\ndata: +2\ndata: 10\n\n", [Event(data="YHOO\n+2\n10")]),
    (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
        [Event(data="first event", id="1"), Event(data="second event", id="")],
    ),
    (b": test stream\n\ndata:  third event\n\n", [Event(data=" third event")]),
    (b"data\n\ndata\ndata\n\ndata:", [Event(data=""), Event(data="\n")]),
    (b"data:test\n\ndata: test\n\n", [Event(data="test"), Event(data="test")]),
    (b"event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\n", [Event("add", "73857293"), Event("remove", "2153")]),
    # Ends of lines.
    (b"data: a\r\rdata: b\r\r", [Event(data="a"), Event(data="b")]),
    (b"data: a\r\n\r\ndata: b\r\n\r\n", [Event(data="a"), Event(data="b")]),
    (b"data: a\r\ndata: b\n\r", [Event(data="a\nb")]),
    (b"data: a\n\r\ndata: b\r\n\n", [Event(data="a"), Event(data="b")]),
    (b"data: a\r\n\rdata: b\r\n\r\n", [Event(data="a"), Event(data="b")]),
    (b"\r\n\r\r\n\n\n\ndata: a\n\n\n\n", [Event(data="a")]),
    ("data: a\u2028b\u0085c\x0b\x0c\x1cd\n\n".encode(), [Event(data="a\u2028b\u0085c\x0b\x0c\x1cd")]),
    (b"data: a\n", []),
    (b"data: a", []),
    (b"data: a\n\ndata: b\nid: 1", [Event(data="a")]),
    (b"", []),
    # The byte order mark: one, at the very beginning.
    (BOM + b"data: a\n\n", [Event(data="a")]),
    (BOM + BOM + b"data: a\n\ndata: b\n\n", [Event(data="b")]),
    (b"data: a\n\n" + BOM + b"data: b\n\n", [Event(data="a")]),
    (b"\n" + BOM + b"data: a\n\n", []),
    (b"data: " + BOM + b"a\n\n", [Event(data="\ufeffa")]),
    (BOM[:2] + b"data: a\n\ndata: b\n\n", [Event(data="b")]),
    (b"\xff\xfed\0a\0t\0a\0:\0a\0\n\0\n\0data: b\n\n", []),
    # UTF-8, whatever else is in it.
    ("data: \u20ac\U0001f600\u65e5\n\n".encode(), [Event(data="\u20ac\U0001f600\u65e5")]),
    (b"data: \xff\xe2\x82\n\ndata: \xf0\x9f\x98 \xc3\n\n", [Event(data="\ufffd\ufffd"), Event(data="\ufffd \ufffd")]),
    (b"data: a\0b\n\n", [Event(data="a\0b")]),
    # Fields: names are exact, one space is dropped, the first colon parts.
    (b"data:  a \n\n", [Event(data=" a ")]),
    (b"data:\ta\n\n", [Event(data="\ta")]),
    (b"data: a:b: c\n\n", [Event(data="a:b: c")]),
    (b" data: a\n\n", []),
    (b"data : a\n\n", []),
    (b"Data: a\nDATA: b\n\n", []),
    (b"data: a\nunknown: b\nunknown\n\n", [Event(data="a")]),
    (b"data: {\n:comment\ndata: }\n:\n\n", [Event(data="{\n}")]),
    (b": a\n\n:\n\n::data: a\n\n", []),
    (b"data:\n\n", [Event(data="")]),
    (b"data: \n\n", [Event(data="")]),
    (b"data:\ndata:\n\n", [Event(data="\n")]),
    # Types: of one event, the last one counts.
    (b"event: a\nevent: b\ndata: 1\n\ndata: 2\n\n", [Event("b", "1"), Event("message", "2")]),
    (b"event: a\nevent\ndata: 1\n\n", [Event("message", "1")]),
    (b"event: a\n\ndata: 1\n\n", [Event("message", "1")]),
    (b"data: 1\nevent:  a b \n\n", [Event(" a b ", "1")]),
    # Ids: kept until the next one; one with NUL is none.
    (b"id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n", [Event(data="a", id="1"), Event(data="b", id="1"), Event(data="c")]),
    (b"id: 1\n\ndata: a\n\n", [Event(data="a", id="1")]),
    (b"id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n", [Event(data="a", id="1"), Event(data="b", id="1")]),
    (b"id: 1\nid: 2\ndata: a\n\n", [Event(data="a", id="2")]),
    ("id:  \u20ac \ndata: a\n\n".encode(), [Event(data="a", id=" \u20ac ")]),
    # Reconnection times: ASCII digits, milliseconds.
    (b"retry: 1500\ndata: a\n\ndata: b\n\n", [Event(data="a", retry=1.5), Event(data="b")]),
    (b"retry: 1\nretry: 020\nretry: x\ndata: a\n\n", [Event(data="a", retry=0.02)]),
    (b"retry: 1\n\ndata: a\n\n", [Event(data="a")]),
    (b"retry\nretry:\nretry: -1\nretry: +1\nretry: 1.5\nretry: 1 \nretry:  1\nretry: 1_0\ndata: a\n\n", [Event(data="a")]),
    ("retry: \u0661\nretry: \u00b2\ndata: a\n\n".encode(), [Event(data="a")]),
]


@pytest.mark.no_loop
@pytest.mark.parametrize(("wire", "events"), CASES, ids=range(len(CASES)))
def test_a_rule_at_every_split(wire: bytes, events: list[Event]) -> None:
    assert read_plainly(wire)[0] == events, "the reference itself"
    for pieces in everywhere(wire):
        assert events_of(pieces) == events, pieces


@pytest.mark.no_loop
def test_an_event_with_all_there_is() -> None:
    wire = b"retry: 10000\r\nid: x\r\nevent: e\r\ndata: 1\r\ndata: 2\r\n\r\n"
    for pieces in everywhere(wire):
        stream = stream_of(pieces)
        assert finish(all_of(stream)) == [Event("e", "1\n2", "x", 10.0)]
        assert (stream.last_event_id, stream.retry) == ("x", 10.0)


@pytest.mark.no_loop
@pytest.mark.parametrize("digits", ["9" * 5000, "0" * 5000 + "2000", "9" * 17])
def test_a_reconnection_time_of_any_length(digits: str) -> None:
    stream = stream_of([f"retry: {digits}\n\n".encode()])
    assert finish(all_of(stream)) == []
    assert stream.retry == float(digits) / 1000


LINES = st.sampled_from(
    [
        *("data", "data:", "data: ", "data: a", "data:a", "data:  \u20ac", " data: a", "\ufeffdata: a", "data: \U0001f600", "\ufeff"),
        *("event: e", "event", "id: 1", "id:2", "id", "id: \0", "retry: 5", "retry: x", ":", ": c", "x: y", "", "", ""),
    ]
).map(str.encode)
WIRES = st.lists(st.tuples(LINES | st.binary(max_size=6), st.sampled_from([b"\n", b"\r\n", b"\r"])), max_size=14).map(
    lambda lines: b"".join(line + end for line, end in lines)
)
PLACES = st.lists(st.integers(0, 200), max_size=12)


@pytest.mark.no_loop
@given(start=st.sampled_from([b"", b"", BOM, BOM[:1]]), wire=WIRES, rest=LINES | st.just(b""), at=PLACES)
@settings(max_examples=600, deadline=None)
@example(start=b"", wire=b"data: a\r\n\r\n", rest=b"", at=[8, 9, 10])
def test_any_split_gives_what_the_rules_say(start: bytes, wire: bytes, rest: bytes, at: list[int]) -> None:
    wire = start + wire + rest
    events, last_id, retry = read_plainly(wire)
    for pieces in ([wire] if wire else [], bytewise(wire), cut(wire, at)):
        stream = stream_of(pieces)
        assert finish(all_of(stream)) == events
        assert (stream.last_event_id, stream.retry) == (last_id, retry)


@pytest.mark.no_loop
@given(wire=WIRES, at=PLACES, most=st.integers(1, 25))
@settings(max_examples=400, deadline=None)
def test_the_limit_depends_on_no_split(wire: bytes, at: list[int], most: int) -> None:
    whole = outcome([wire] if wire else [], most)
    assert outcome(bytewise(wire), most) == whole
    assert outcome(cut(wire, at), most) == whole
    events, message = whole
    everything = read_plainly(wire)[0]
    assert events == everything[: len(events)]
    if not message:
        assert events == everything


@pytest.mark.no_loop
def test_an_event_is_given_with_the_byte_that_ends_it() -> None:
    async def given_after(wire: bytes) -> list[int]:
        fed = 0

        class Counted(Cut):
            async def __anext__(self) -> bytes:
                nonlocal fed
                piece = await super().__anext__()
                fed += len(piece)
                return piece

        return [fed async for _ in EventStream(Counted(bytewise(wire)), "it")]

    assert finish(given_after(b"data: a\n\ndata: b\n\n")) == [9, 18]
    assert finish(given_after(b"data: a\r\rdata: b\r\r")) == [9, 18]
    assert finish(given_after(b"data: a\r\n\r\ndata: b\r\n\r\n")) == [10, 21]  # a CR ends it, whatever follows


@pytest.mark.no_loop
def test_where_it_stands_is_where_its_reader_stands() -> None:
    stream = stream_of([b"id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\n\nid: 4\n"], last_event_id="0")
    assert stream.last_event_id == "0"
    assert finish(anext(stream)).data == "a"
    assert stream.last_event_id == "1"
    assert finish(all_of(stream)) == [Event(data="b", id="2")]
    assert stream.last_event_id == "3"  # of an event without data, but none that is unfinished


@pytest.mark.no_loop
def test_an_id_of_before_is_that_of_the_first_events() -> None:
    for first in (b"data: a\n\n", b"data:a\n\n"):
        events = finish(all_of(stream_of([first + b"id\ndata: b\n\n"], last_event_id="7")))
        assert events == [Event(data="a", id="7"), Event(data="b")]


# -- limits


@pytest.mark.no_loop
@pytest.mark.parametrize(
    ("wire", "given", "fits"),
    [
        (b"data: 12345\n\n", 1, True),
        (b"data: 123456\n\n", 0, False),
        (b"data: 123456", 0, False),
        (b"data: a\n\ndata: 123456\n\ndata: b\n\n", 1, False),
        (b"data:1\r\ndata\r\n\r\n", 1, True),
        (b"data:1\ndata:2\n\n", 0, False),
        (b"data:1\ndata:2", 0, False),
        (b"data: \xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\n\n", 1, True),  # characters
        (b"x: 123456789\n\n", 0, False),
        (b": 12345678901234567890\n: 12345678901234567890\ndata: 12345\n: 12345678901234567890\n\n", 1, True),
        (b"data: a\n\n: 12345678901234567890", 1, True),
        (b"data: 1\n\ndata: 2\n\ndata: 3\n\n", 3, True),
    ],
)
def test_the_limit_counts_the_lines_of_one_event(wire: bytes, given: int, fits: bool) -> None:
    for pieces in everywhere(wire):
        events, message = outcome(pieces, 11)
        assert len(events) == given
        assert (message == "") is fits, pieces
        if not fits:
            assert message == "an event of the body of GET h/ is longer than 11 characters: raise it with max_event=..."


@pytest.mark.no_loop
def test_what_stands_behind_too_long_an_event_is_not_given() -> None:
    assert outcome([b"data: 123456789\n", b"data:0\n\ndata: a\n\n"], 20)[0] == []
    assert outcome([b"data: 123456789\ndata:0\n\ndata: a\n\ndata:b\n\n:\n\n"], 20)[0] == []


@pytest.mark.no_loop
def test_a_broken_limit_gives_the_body_up_and_stays() -> None:
    pieces = Cut([b"data: a\n\ndata: 1234567890\n\ndata: b\n\n"])
    stream = EventStream(pieces, "it").up_to(9)
    assert finish(anext(stream)) == Event(data="a")
    for _ in range(2):
        with pytest.raises(LimitExceeded) as caught:
            finish(anext(stream))
        assert caught.value.limit == "max_event"
        assert pieces.failed is caught.value


@pytest.mark.no_loop
@pytest.mark.parametrize(
    ("piece", "count"),
    [(b"data: " + b"x" * 5000, 400), (b": " + b"x" * 5000, 10_000), (b":\n" * 500, 2000), (b"data:a\n" * 500, 2000), (b"x:\r" * 500, 2000)],
    ids=["a line", "a comment", "comments", "lines", "unknown lines"],
)
def test_what_never_ends_is_not_held(piece: bytes, count: int) -> None:
    tracemalloc.start()
    try:
        outcome((piece for _ in range(count)), 1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 12_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("most", [0, -1, 1.5, True])
@pytest.mark.no_loop
def test_a_limit_that_is_none(most: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="max_event"):
        stream_of([]).up_to(most)


# -- JSON


@pytest.mark.no_loop
def test_json() -> None:
    assert Event(data='{"a": "\u20ac"}').json() == {"a": "\u20ac"}
    assert Event(data="[1]").json(lambda data: data) == b"[1]"
    for data in ("[DONE]", "", "[" * 100_000):
        with pytest.raises(DecodeError, match=rf"type 'message' is no JSON \({len(data)} characters\)") as caught:
            Event(data=data).json()
        assert caught.value.partial == data.encode()
    with pytest.raises(DecodeError) as caught:
        Event("x" * 1_000_000).json()
    assert len(str(caught.value)) < 500


@pytest.mark.no_loop
def test_what_an_event_looks_like() -> None:
    """What it knows of the client's `json_loads` is no part of it."""
    event = finish(anext(stream_of([b"id: c\nevent: a\ndata: 1\nretry: 1000\n\n"], loads=lambda data: data * 2)))
    assert event.json() == b"11"
    assert repr(event) == "ServerSentEvent(type='a', data='1', id='c', retry=1.0)"
    assert event == Event("a", "1", "c", 1.0) != Event("a", "c", "c", 1.0)
    assert dataclasses.asdict(event) == {"type": "a", "data": "1", "id": "c", "retry": 1.0}


# -- of a response


def served(body: bytes | AsyncIterator[bytes], *headers: tuple[str, str]) -> Any:
    return lambda server: server.route("/", lambda asked: Reply(200, headers, body))


async def test_events_of_any_response() -> None:
    """Whatever its type and charset; the rest goes on where the last loop stopped."""
    body = "data: \u20ac\n\ndata: 2\n\ndata: 3\n\n".encode()
    headers = ("Content-Type", "text/plain; charset=utf-16")
    async with (
        Server(routes=served(body, headers)) as server,
        aioreq.Client(json_loads=lambda data: data) as client,
        client.stream("GET", server.url) as response,
    ):
        async for event in response.events():
            assert event.json() == "\u20ac".encode()
            break
        assert response.events() is response.events(last_event_id="ignored")
        assert [event.data async for event in response.events()] == ["2", "3"]


async def test_a_limit_of_a_response_names_it() -> None:
    async with (
        Server(routes=served(b"data: 1234567890\n\n" * 2)) as server,
        aioreq.Client() as client,
        client.stream("GET", server.url) as response,
    ):
        with pytest.raises(LimitExceeded, match=r"an event of the body of GET 127.0.0.1/: 200 OK is longer than 10 ") as caught:
            await anext(response.events(10))
        assert caught.value.request is response.request


async def test_a_body_that_was_cut_gives_its_events_first() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    async with Server() as server, aioreq.Client() as client:
        server.script(head + b"data: a\n\ndata: b\n\ndata: c", Close())
        async with client.stream("GET", server.url) as response:
            events, error = await until_error(response.events())
        assert [event.data for event in events] == ["a", "b"]
        assert isinstance(error, IncompleteBody)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_coding_flushed_with_each_event_gives_each_event(coding: str) -> None:
    asked_on = asyncio.Queue[None]()

    async def slowly() -> AsyncIterator[bytes]:
        packer = zlib.compressobj(wbits=31 if coding == "gzip" else 15)
        for number in range(5):
            yield packer.compress(b"data: %d\n\n" % number) + packer.flush(zlib.Z_SYNC_FLUSH)
            await asked_on.get()  # the next one is sent once this one was read
        yield packer.flush()

    async with Server(routes=served(slowly(), ("Content-Encoding", coding))) as server, aioreq.Client(timeout=10) as client:
        async with client.stream("GET", server.url) as response:
            given = []
            async for event in response.events():
                given.append(event.data)
                asked_on.put_nowait(None)
        assert given == ["0", "1", "2", "3", "4"]


async def test_a_bomb_is_none() -> None:
    body = gzip.compress(b"data: " + b"x" * 20_000_000 + b"\n\n")
    async with (
        Server(routes=served(body, ("Content-Encoding", "gzip"))) as server,
        aioreq.Client() as client,
        client.stream("GET", server.url) as response,
    ):
        with pytest.raises(LimitExceeded, match="max_event"):
            await anext(response.events(1_000_000))


async def test_any_split_on_a_real_connection() -> None:
    wire = BOM + "id: 1\r\nevent: e\r\ndata: \u20ac\r\ndata: 2\r\n\r\n: ping\r\n\r\ndata: 3\r\n\r\n".encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"

    async def pieces_of(at: int) -> AsyncIterator[bytes]:
        yield wire[:at]
        await asyncio.sleep(0.001)
        yield wire[at:]

    async with Server() as server, aioreq.Client() as client:
        server.route("/{at}", lambda asked: Reply(200, body=pieces_of(int(asked.params["at"]))))
        server.script(head, *bytewise(wire), Close())
        for path in ("/", *(f"/{at}" for at in range(1, len(wire), 3))):
            async with client.stream("GET", server.url + path) as response:
                assert await all_of(response.events()) == read_plainly(wire)[0]
