"""Response bodies on their way: what a connection puts in, what a reader takes out, and what the connection is told meanwhile."""

from __future__ import annotations

import asyncio
import gc
import gzip
import itertools
import zlib
from array import array
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioreq.config import Limits
from aioreq.encodings import STEP, Decoder, decoder_for
from aioreq.errors import ConnectionLost, DecodeError, IncompleteBody, LimitExceeded, LocalProtocolError
from aioreq.models import Request
from aioreq.pieces import HeldBody, Pieces
from aioreq.response_body import DRAIN, HIGH_WATER, LOW_WATER, ResponseBody, body_too_large


class Source:
    """A connection that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pause_body(self) -> None:
        self.told.append("pause")

    def resume_body(self) -> None:
        self.told.append("resume")

    def wait_body(self, waiting: bool) -> None:
        self.told.append("wait" if waiting else "got")

    def drain_body(self) -> None:
        self.told.append("drain")

    def abort_body(self) -> None:
        self.told.append("abort")


def new_body(expected: int | None = None) -> tuple[ResponseBody, Source]:
    source = Source()
    return ResponseBody(source, asyncio.get_running_loop(), expected), source


def whole_body(*chunks: bytes, error: BaseException | None = None) -> ResponseBody:
    body, _ = new_body()
    for chunk in chunks:
        body.feed(chunk)
    if error is None:
        body.end([])
    else:
        body.fail(error)
    return body


async def reading(body: ResponseBody) -> asyncio.Task[bytes]:
    """A task that waits for the next chunk."""
    task = asyncio.create_task(body.read_chunk())
    await asyncio.sleep(0)
    assert not task.done()
    return task


# --- in and out ---


async def test_chunks_come_out_as_they_went_in_then_nothing() -> None:
    body, source = new_body(7)
    body.feed(b"abc")
    body.feed(b"defg")
    ended = [body.ended]
    body.end([(b"A", b"b")])
    assert [*ended, body.ended] == [False, True]
    assert [await body.read_chunk() for _ in range(4)] == [b"abc", b"defg", b"", b""]
    assert (body.expected, body.received, body.trailers) == (7, 7, [(b"A", b"b")])
    assert source.told == []


async def test_a_reader_waits_for_each_chunk() -> None:
    body, source = new_body()
    for chunk in (b"a", b"b"):
        task = await reading(body)
        assert source.told == ["wait"]
        body.feed(chunk)
        assert await task == chunk
        assert source.told == ["wait", "got"]
        source.told.clear()
    task = await reading(body)
    body.end([])
    assert await task == b""
    # The connection is done with this body: it may serve another request by now, and must hear no more of this one.
    assert source.told == ["wait"]


async def test_what_arrived_is_read_before_the_error() -> None:
    lost = ConnectionLost("gone")
    body = whole_body(b"abc", error=lost)
    assert await body.read_chunk() == b"abc"
    for _ in range(2):
        with pytest.raises(ConnectionLost) as caught:
            await body.read_chunk()
        assert caught.value is lost


async def test_an_error_wakes_the_reader() -> None:
    body, source = new_body()
    task = await reading(body)
    body.fail(ConnectionLost("gone"))
    with pytest.raises(ConnectionLost, match="gone"):
        await task
    assert source.told == ["wait"]


async def test_two_readers_at_once_are_an_error() -> None:
    body, _ = new_body()
    task = await reading(body)
    with pytest.raises(RuntimeError, match="two tasks read the same response body at once"):
        await body.read_chunk()
    body.feed(b"abc")
    assert await task == b"abc"  # the first one is unharmed
    body.end([])


async def test_a_cancelled_reader_gives_the_connection_up() -> None:
    body, source = new_body(5)
    task = await reading(body)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.told == ["wait", "got", "abort"]
    with pytest.raises(LocalProtocolError, match="closed before its body was read"):
        await body.read_chunk()


async def test_a_reader_cancelled_as_the_body_ends_leaves_the_connection_alone() -> None:
    body, source = new_body()
    task = await reading(body)
    body.end([])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.told == ["wait"]


# --- taking what is there ---


async def test_what_is_there_is_taken_without_waiting() -> None:
    body, source = new_body()
    assert body.take_chunk() is None
    body.feed(b"abc")
    await body.arrival()
    assert [body.take_chunk(), body.take_chunk()] == [b"abc", None]
    waiting = asyncio.create_task(body.arrival())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="two tasks"):
        await body.arrival()
    body.end([])
    await waiting
    assert [body.take_chunk(), await body.read_chunk()] == [b"", b""]
    assert source.told == ["wait"]


async def test_who_waited_and_was_cancelled_may_go_on() -> None:
    body, source = new_body()
    for _ in range(2):
        waiting = asyncio.create_task(body.arrival())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    body.feed(b"abc")
    assert await body.read_chunk() == b"abc"
    assert source.told == ["wait", "got"] * 2


async def test_errors_come_behind_what_is_there() -> None:
    body = whole_body(b"abc", error=ConnectionLost("gone"))
    assert body.take_chunk() == b"abc"
    await body.arrival()
    with pytest.raises(ConnectionLost):
        body.take_chunk()
    closed, _ = new_body()
    closed.close()
    await closed.arrival()
    with pytest.raises(LocalProtocolError):
        closed.take_chunk()


async def test_pieces_are_taken_decoded() -> None:
    content = bytes(range(256)) * 4000
    encoded = gzip.compress(content)
    body, _ = new_body()
    pieces = Pieces(body, decoder_for("gzip", Limits()))
    assert pieces.take() is None
    body.feed(encoded[:100])
    found = b""
    while (piece := pieces.take()) is not None:
        found += piece
        assert len(piece) <= STEP
    body.feed(encoded[100:])
    body.end([])
    await pieces.arrival()
    while piece := pieces.take():
        found += piece
    assert (found, pieces.take()) == (content, b"")


async def test_pieces_taken_are_cut_off_and_capped_too() -> None:
    body, source = new_body()
    pieces = Pieces(body, decoder_for("gzip", Limits()))
    body.feed(gzip.compress(b"abc")[:-3])
    body.end([])
    assert pieces.take() == b"abc"
    with pytest.raises(DecodeError):
        pieces.take()
    request = Request()
    request.terms = replace(request.terms, max_stream=3)
    body, source = new_body()
    capped = Pieces(body, request=request)
    body.feed(b"abc")
    body.feed(b"d")
    assert capped.take() == b"abc"
    with pytest.raises(LimitExceeded, match="guard") as caught:
        capped.take()
    assert caught.value.request is request
    assert source.told == ["abort"]


async def test_pieces_of_what_is_held() -> None:
    pieces = Pieces(HeldBody(b"x" * (LOW_WATER + 1)))
    await pieces.arrival()
    assert [len(pieces.take() or b"") for _ in range(3)] == [LOW_WATER, 1, 0]
    cut, _ = new_body()
    cut.feed(b"abcdef")
    sized = Pieces(cut, size=4)
    assert await anext(sized) == b"abcd"
    assert sized.take() == b"ef"  # what was held back


# --- where chunks ended ---


def chunked_body(*chunks: bytes) -> ResponseBody:
    body, _ = new_body()
    body.chunk_ends = array("q", accumulate(map(len, chunks)))
    body.feed(b"".join(chunks))
    return body


async def test_ends_of_chunks_are_told_as_they_are_passed() -> None:
    body = chunked_body(b"abc", b"de", b"f")
    pieces = Pieces(body)
    assert pieces.take_chunk_ends(0) == []
    assert pieces.take() == b"abcdef"
    assert pieces.take_chunk_ends(6) == [3, 5, 6]
    assert pieces.take_chunk_ends(6) == []
    body.feed(b"gh")
    assert pieces.take() == b"gh"
    assert pieces.take_chunk_ends(8) == []  # it goes on
    late = chunked_body(b"abc", b"de")
    assert await late.read_chunk() == b"abcde"
    pieces = Pieces(late)
    pieces.take_chunk_ends(0)
    assert late.chunk_ends is not None
    late.chunk_ends.append(8)
    late.feed(b"fgh")
    assert pieces.take() == b"fgh"
    assert pieces.take_chunk_ends(3) == [3]
    assert Pieces(HeldBody(b"abc")).take_chunk_ends(3) == []


async def test_encoded_chunks_are_decoded_one_by_one() -> None:
    encoder = zlib.compressobj(wbits=31)
    chunks = [encoder.compress(text) + encoder.flush(zlib.Z_SYNC_FLUSH) for text in (b"abc", b"", b"x" * 100_000)]
    chunks.append(encoder.flush())
    body = chunked_body(*chunks)
    body.end([])
    pieces = Pieces(body, decoder_for("gzip", Limits()))
    found = b""
    ends = []
    while piece := pieces.take():
        found += piece
        ends += pieces.take_chunk_ends(len(found))
    assert (found, sorted(set(ends))) == (b"abc" + b"x" * 100_000, [3, 100_003])


async def test_taking_up_to_the_end_of_a_chunk() -> None:
    body = chunked_body(b"abc", b"de", b"fgh")
    body.feed(b"ij")
    assert [body.take_to_chunk_end(), body.taken] == [b"abc", 3]
    assert [body.take_to_chunk_end() for _ in range(4)] == [b"de", b"fgh", b"ij", None]


# --- back-pressure ---


async def test_reading_pauses_above_the_high_water_mark_and_goes_on_below_the_low_one() -> None:
    body, source = new_body()
    piece = b"x" * (HIGH_WATER // 8)
    for _ in range(8):
        body.feed(piece)
    assert source.told == []
    body.feed(piece)
    body.feed(piece)  # what was under way
    assert source.told == ["pause"]
    left = 10
    while left * len(piece) > LOW_WATER:
        assert source.told == ["pause"]
        await body.read_chunk()
        left -= 1
    assert source.told == ["pause", "resume"]
    while left:
        await body.read_chunk()
        left -= 1
    assert source.told == ["pause", "resume"]
    for _ in range(9):
        body.feed(piece)
    assert source.told == ["pause", "resume", "pause"]


async def test_nothing_is_resumed_once_the_body_has_ended() -> None:
    body, source = new_body()
    body.feed(b"x" * (HIGH_WATER + 1))
    body.end([])
    await body.read_chunk()
    assert await body.read_chunk() == b""
    assert source.told == ["pause"]


# --- close ---


async def test_a_short_rest_is_drained() -> None:
    body, source = new_body(expected=3 + DRAIN)
    body.feed(b"abc")
    body.close()
    assert source.told == ["drain"]
    body.feed(b"x" * DRAIN)
    body.end([])
    assert source.told == ["drain"]
    assert body.received == 3 + DRAIN


async def test_a_long_rest_closes_the_connection() -> None:
    body, source = new_body(expected=4 + DRAIN)
    body.feed(b"abc")
    body.close()
    assert source.told == ["abort"]


async def test_a_rest_of_unknown_length_is_drained_so_far() -> None:
    body, source = new_body(expected=None)
    body.close()
    body.feed(b"x" * DRAIN)
    assert source.told == ["drain"]
    body.feed(b"x")
    assert source.told == ["drain", "abort"]


async def test_a_paused_body_goes_on_to_be_drained() -> None:
    body, source = new_body()
    body.feed(b"x" * (HIGH_WATER + 1))
    body.close()
    assert source.told == ["pause", "resume", "drain"]
    big, told = new_body(expected=HIGH_WATER * 3)
    big.feed(b"x" * (HIGH_WATER + 1))
    big.close()
    assert told.told == ["pause", "abort"]


async def test_close_without_draining() -> None:
    body, source = new_body(expected=1)
    body.close(drain=False)
    assert source.told == ["abort"]


async def test_close_may_be_called_again_and_turn_to_an_abort() -> None:
    body, source = new_body()
    body.close()
    body.close()
    assert source.told == ["drain"]
    body.close(drain=False)
    assert source.told == ["drain", "abort"]
    body.fail(ConnectionLost("as a connection says on an abort"))
    body.close(drain=False)
    assert source.told == ["drain", "abort"]


@pytest.mark.parametrize("all_here", [True, False])
async def test_a_closed_body_is_not_read_however_fast_it_arrived(all_here: bool) -> None:
    body, source = new_body(6)
    body.feed(b"abc")
    if all_here:
        body.feed(b"def")
        body.end([])
    body.close()
    assert source.told == ([] if all_here else ["drain"])
    for read in (body.read_chunk(), body.read_raw(100), anext(Pieces(body))):
        with pytest.raises(LocalProtocolError):
            await read


async def test_closing_what_was_read_to_its_end_changes_nothing() -> None:
    body = whole_body(b"abc")
    assert await body.read_raw(3) == b"abc"
    body.close()
    body.close(drain=False)
    assert await body.read_chunk() == b""


async def test_closing_wakes_a_reader() -> None:
    for drain in (True, False):
        body, _ = new_body()
        task = await reading(body)
        body.close(drain)
        with pytest.raises(LocalProtocolError, match="the response was closed before its body was read"):
            await task


async def test_a_body_that_nobody_holds_is_aborted() -> None:
    body, source = new_body()
    body.abandon()
    await asyncio.sleep(0)
    assert source.told == ["abort"]
    ended, told = new_body()
    ended.end([])
    ended.abandon()
    await asyncio.sleep(0)
    assert told.told == []


def test_abandoning_outlives_the_loop() -> None:
    async def make() -> tuple[ResponseBody, Source]:
        return new_body()

    body, source = asyncio.run(make())
    body.abandon()
    assert source.told == []


# --- read_raw ---


async def test_read_raw_gives_all_of_it() -> None:
    assert await whole_body().read_raw(0) == b""
    assert await whole_body(b"abc").read_raw(3) == b"abc"
    assert await whole_body(b"a", b"bc").read_raw(3) == b"abc"


async def test_read_raw_stops_at_the_limit() -> None:
    body, source = new_body()
    body.feed(b"ab")
    body.feed(b"cd")
    with pytest.raises(
        LimitExceeded, match=r"longer than 3 bytes: raise it with max_body= or Limits\(body=\.\.\.\), or stream it"
    ) as caught:
        await body.read_raw(3)
    assert caught.value.limit == "body"
    assert source.told == ["abort"]
    assert str(body_too_large(3)) == str(caught.value)


async def test_read_raw_does_not_begin_with_what_is_declared_too_long() -> None:
    body, source = new_body(expected=4)
    with pytest.raises(LimitExceeded, match="longer than 3 bytes"):
        await body.read_raw(3)
    assert source.told == ["abort"]
    fits, _ = new_body(expected=3)
    fits.feed(b"abc")
    fits.end([])
    assert await fits.read_raw(3) == b"abc"


async def test_read_raw_keeps_what_arrived_in_the_error() -> None:
    lost = IncompleteBody("cut", received=3, expected=5)
    body = whole_body(b"a", b"bc", error=lost)
    for _ in range(2):  # asking again changes nothing about it
        with pytest.raises(IncompleteBody) as caught:
            await body.read_raw(100)
        assert caught.value.partial == b"abc"


@pytest.mark.parametrize("ended", [True, False])
async def test_a_body_is_read_whole_or_by_pieces_not_both(ended: bool) -> None:
    body, source = new_body()
    body.feed(b"abc")
    body.feed(b"def")
    assert await anext(Pieces(body)) == b"abc"
    if ended:
        body.end([])
    with pytest.raises(LocalProtocolError, match="already read, at least in part: read it whole or iterate over it, not both"):
        await body.read_raw(100)
    assert source.told == []
    assert await anext(Pieces(body)) == b"def"  # the iteration can go on


# --- pieces ---


def gzipped(data: bytes) -> tuple[Decoder, bytes]:
    decoder = decoder_for(b"gzip", Limits())
    assert decoder is not None
    return decoder, gzip.compress(data)


async def test_pieces_as_they_come() -> None:
    assert [piece async for piece in Pieces(whole_body(b"ab", b"c"))] == [b"ab", b"c"]
    assert [piece async for piece in Pieces(whole_body())] == []


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 10, 11, 1000])
@pytest.mark.parametrize("decoded", [False, True])
async def test_pieces_of_a_size(size: int, decoded: bool) -> None:
    data = b"0123456789"
    decoder, wire = gzipped(data) if decoded else (None, data)
    pieces = Pieces(whole_body(wire[:1], wire[1:4], wire[4:]), decoder, size)
    assert [piece async for piece in pieces] == [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [0, -1])
async def test_pieces_of_no_size(size: int) -> None:
    with pytest.raises(ValueError, match=rf"pieces of {size} bytes: give at least 1"):
        Pieces(whole_body(), None, size)


async def test_the_size_may_change_on_the_way() -> None:
    pieces = Pieces(whole_body(b"abcdefgh", b"ij"))
    assert await anext(pieces.of_size(3)) == b"abc"
    assert await anext(pieces.of_size(2)) == b"de"
    assert await anext(pieces.of_size(None)) == b"fgh"
    assert await anext(pieces.of_size(9)) == b"ij"
    assert [piece async for piece in pieces] == []


async def test_decoding_goes_in_bounded_steps() -> None:
    data = bytes(2_000_000)
    decoder, wire = gzipped(data)
    sizes = [len(piece) async for piece in Pieces(whole_body(wire), decoder)]
    assert sum(sizes) == len(data)
    assert max(sizes) <= STEP
    assert len(sizes) > 3


async def test_one_piece_of_a_bomb_decodes_one_step() -> None:
    decoder, wire = gzipped(bytes(7_000_000))
    pieces = Pieces(whole_body(wire), decoder, 100)
    assert await anext(pieces) == bytes(100)
    assert decoder.decoded <= STEP


@pytest.mark.parametrize("size", [None, 4])
async def test_damage_is_an_error_that_closes_the_connection(size: int | None) -> None:
    decoder, _ = gzipped(b"")
    body, source = new_body(1000)
    body.feed(b"no gzip at all")
    request = Request("GET", "http://h/")
    pieces = Pieces(body, decoder, size, request)
    with pytest.raises(DecodeError, match="not valid gzip") as caught:
        await anext(pieces)
    assert caught.value.request is request
    assert source.told == ["abort"]


async def test_a_cut_encoding_is_an_error_not_an_end() -> None:
    decoder, wire = gzipped(b"0123456789" * 100)
    got = []
    with pytest.raises(DecodeError, match="it ends too early"):
        async for piece in Pieces(whole_body(wire[:-1]), decoder):
            got.append(piece)  # noqa: PERF401 (what came before the error counts)
    assert b"".join(got) == b"0123456789" * 100


async def test_the_errors_of_the_connection_come_through() -> None:
    lost = IncompleteBody("cut", received=5, expected=9)
    pieces = Pieces(whole_body(b"abcde", error=lost), None, 3)
    assert await anext(pieces) == b"abc"
    with pytest.raises(IncompleteBody) as caught:
        await anext(pieces)
    assert caught.value.partial == b"de"  # what was held back for a whole piece


async def test_errors_carry_the_request_they_have_or_that_of_the_response() -> None:
    ours, theirs = Request("GET", "http://ours/"), Request("GET", "http://theirs/")
    for own, wanted in ((None, ours), (theirs, theirs)):
        with pytest.raises(ConnectionLost) as caught:
            await anext(Pieces(whole_body(error=ConnectionLost("gone", request=own)), request=ours))
        assert caught.value.request is wanted


async def test_leaving_a_loop_early_leaves_nothing_to_finalise() -> None:
    body, source = new_body()
    body.feed(b"a")
    body.feed(b"b")
    async for piece in Pieces(body):
        assert piece == b"a"
        break
    gc.collect()
    assert source.told == []  # whoever holds the response closes it
    assert await body.read_chunk() == b"b"


cuts = st.lists(st.integers(0, 400), max_size=6)


def cut(data: bytes, at: Iterable[int]) -> list[bytes]:
    marks = [0, *sorted(mark for mark in at if mark < len(data)), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(marks) if start < end]


@given(st.binary(max_size=300), cuts, st.none() | st.integers(1, 400), st.sampled_from([None, "gzip", "deflate"]))
@settings(max_examples=200, deadline=None)
def test_what_comes_out_is_what_went_in(data: bytes, at: list[int], size: int | None, coding: str | None) -> None:
    encode: dict[str | None, Callable[[bytes], bytes]] = {None: bytes, "gzip": gzip.compress, "deflate": zlib.compress}
    wire = encode[coding](data)

    async def read() -> list[bytes]:
        decoder = None if coding is None else decoder_for(coding, Limits())
        return [piece async for piece in Pieces(whole_body(*cut(wire, at)), decoder, size)]

    pieces: list[Any] = asyncio.run(read())
    assert b"".join(pieces) == data
    assert all(pieces)
    if size is not None:
        assert all(len(piece) == size for piece in pieces[:-1])


async def test_two_tasks_that_read_at_once_while_it_is_decoded() -> None:
    """One pauses between steps of decoding; what the other would take meanwhile would come out of order."""
    content = bytes(range(256)) * 16 * 1024
    pieces = Pieces(HeldBody(gzip.compress(content)), decoder_for(b"gzip", Limits()))

    async def read() -> bytes:
        return b"".join([piece async for piece in pieces])

    first, second = await asyncio.gather(read(), read(), return_exceptions=True)
    assert first == content
    assert isinstance(second, RuntimeError)
    assert str(second) == "two tasks read the same response body at once"
