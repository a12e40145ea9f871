"""Messages that are gathered in their final place: whatever the splits, and wherever the bytes are put, what comes is the same."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from typing import Any

import pytest
from frame_wires import BINARY, CLOSE, CONTINUATION, PING, TEXT, Event, Recorder, control, judge, message, served
from wires import TWINS, every_split, load_twin, pieces

import aioreq._frames_py
import aioreq.websocket.frames
from aioreq.errors import LimitExceeded, RemoteProtocolError
from aioreq.websocket.frames import FrameParser

pytestmark = pytest.mark.no_loop

MIB = 1 << 20
NO_LENGTH = served(BINARY, form=64)[:2]  # a header whose length follows in 64 bits


@pytest.fixture(params=TWINS, autouse=True)
def twin(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """frames.py runs on it."""
    twin = load_twin("compiled") if request.param == "compiled" else aioreq._frames_py
    for name in ("Payload", "hand_on_whole"):
        monkeypatch.setattr(aioreq.websocket.frames, name, getattr(twin, name))
    return twin


def read(parser: FrameParser, wire: bytes, most: int = 1 << 30) -> int:
    """What a socket would do that has these bytes: into the room where there is one. Gives how many it took."""
    if not parser.missing:
        parser.feed(wire[:most])
        return min(most, len(wire))
    room = parser.room()
    with memoryview(room) as view:
        size = min(len(view), len(wire), most)
        view[:size] = wire[:size]
    parser.feed(room, size)
    return size


def in_place(wire: bytes, cuts: Iterable[int] = (), most: int = 1 << 30) -> list[Event]:
    parser = FrameParser(recorder := Recorder(), None, True)
    for piece in pieces(wire, cuts):
        while piece:
            piece = piece[read(parser, piece, most) :]
    parser.hand_on()
    return recorder.events


WIRE = (
    *(served(TEXT, b"Hello"), served(PING, b"1"), served(BINARY, bytes(range(130))), served(BINARY)),
    *(served(TEXT, b"a", fin=False), served(PING), served(CONTINUATION, b"bc"), served(BINARY, b"deflated", rsv=4)),
    *(served(TEXT, "\u20ac".encode()), served(CLOSE, b"\x03\xe8bye"), b"nobody's"),
)


def test_every_split_into_the_room() -> None:
    wire = b"".join(WIRE)
    wanted = judge(wire, compressed=True).events
    assert wanted[-1] == control(CLOSE, b"\x03\xe8bye")
    for cuts in every_split(wire):
        assert in_place(wire, cuts) == wanted, cuts
        assert judge(wire, cuts, compressed=True).events == wanted, cuts


@pytest.mark.parametrize("size", [65536, 100_003, MIB - 1, MIB, MIB + 1, 5 * MIB + 3])
def test_large_ones_by_turns_into_the_room_and_not(size: int) -> None:
    """The room is given up and given again, grows, and is left by bytes that come another way."""
    payload, chance = random.Random(size).randbytes(size), random.Random(size)
    wire = served(TEXT, b"before") + served(BINARY, payload) + served(TEXT, b"behind")
    for most in (8192, 70_000, 3 * MIB):
        parser = FrameParser(recorder := Recorder(), None, False)
        at = 0
        while at < len(wire):
            if parser.missing and chance.random() < 0.3:
                parser.room()  # into which nothing comes
            if chance.random() < 0.3:
                step = chance.randrange(1, most)
                parser.feed(wire[at : at + step])
                at += step
            else:
                at += read(parser, wire[at:], most)
        assert recorder.events == [message(b"before"), message(payload, BINARY), message(b"behind")]


def test_a_room_ends_where_the_message_does() -> None:
    payload = os.urandom(300_000)
    wire = served(BINARY, payload)
    parser = FrameParser(recorder := Recorder(), None, False)
    parser.feed(wire[:1000])
    assert (parser.gathered, parser.missing) == (990, 299_010)
    with memoryview(parser.room()) as view:
        assert len(view) == 299_010
    parser.feed(wire[1000:])
    assert (parser.gathered, parser.missing) == (0, 0)
    with pytest.raises(RuntimeError, match="outside a message"):
        parser.room()
    assert recorder.events == [message(payload, BINARY)]


def test_what_is_here_may_be_had_at_any_time() -> None:
    """Between any two bytes: then the rest of that message comes as it does, and the next is gathered again."""
    wire = served(BINARY, b"abcdef") + served(TEXT, b"gh")
    for cut in range(len(wire)):
        parser = FrameParser(recorder := Recorder(), None, False)
        parser.feed(wire[:cut])
        parser.hand_on()
        began = cut - 2 if cut < 8 else cut - 10
        if began > 0:
            assert recorder.events[-1][2:4] == ((b"abcdef" if cut < 8 else b"gh")[:began], cut == 8)
        for byte in wire[cut:]:
            before = parser.missing
            parser.feed(bytes([byte]))
            assert not before or parser.missing == before - 1
        assert recorder.events == [message(b"abcdef", BINARY), message(b"gh")]


def test_what_is_gathered() -> None:
    """Whole messages alone: of what is inflated or decoded by steps, and of fragments, nobody needs it in one place."""
    for wire, gathered in {
        served(BINARY, b"ab"): True,
        served(TEXT, b"ab"): True,
        served(BINARY, bytes(3 * MIB)): True,
        served(TEXT, bytes(MIB)): True,
        served(TEXT, bytes(MIB + 1)): False,
        served(BINARY, b"ab", fin=False): False,
        served(TEXT, b"ab", rsv=4): False,
        served(PING, b"ab"): False,
    }.items():
        parser = FrameParser(recorder := Recorder(), None, True)
        parser.feed(wire[:-1])
        assert (parser.missing == 1) is gathered
        parser.feed(wire[-1:])
        assert recorder.events == judge(wire, max_message=None, compressed=True).events


@pytest.mark.parametrize("declared", [MIB + 1, 16 * MIB, 1 << 40, (1 << 63) - 1])
def test_no_memory_is_taken_on_a_header_s_word(declared: int) -> None:
    parser = FrameParser(recorder := Recorder(), None, False)
    parser.feed(NO_LENGTH + declared.to_bytes(8, "big"))
    came, chance, room = 0, random.Random(declared), 0
    while came < min(declared, 5 * MIB):
        with memoryview(parser.room()) as view:
            room = len(view)
        assert came + room <= max(MIB, 2 * (came + 1))
        came += read(parser, bytes(min(declared - came, chance.randrange(300_000))))
        assert parser.gathered == came or came == declared
    parser.hand_on()
    assert recorder.events == [message(bytes(came), BINARY, last=came == declared)]


def test_a_message_that_is_too_long_has_no_room() -> None:
    parser = FrameParser(Recorder(), 16 * MIB, False)
    with pytest.raises(LimitExceeded):
        parser.feed(NO_LENGTH + (16 * MIB + 1).to_bytes(8, "big"))
    assert parser.missing == 0


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads /proc")
def test_many_headers_that_promise_much_take_little() -> None:
    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    wire = NO_LENGTH + (16 * MIB).to_bytes(8, "big") + b"x"
    before, parsers = resident(), [FrameParser(Recorder(), 16 * MIB, False) for _ in range(200)]
    for parser in parsers:
        parser.feed(wire)
    assert all(parser.missing == 16 * MIB - 1 for parser in parsers)
    assert resident() - before < 200 * MIB + 20 * MIB  # and not 3.2 GB


@pytest.mark.parametrize("into_the_room", [False, True])
def test_an_error_of_a_callback_breaks_the_parser(into_the_room: bool) -> None:
    class Failing(Recorder):
        def on_piece(self, kind: int, data: bytes, last: bool, compressed: bool) -> None:
            raise OSError("no room")

    wire = served(BINARY, b"abc")
    parser = FrameParser(Failing(), None, False)
    parser.feed(wire[:3])
    with pytest.raises(OSError, match="no room"):
        if into_the_room:
            read(parser, wire[3:])
        else:
            parser.feed(wire[3:])
    with pytest.raises(RemoteProtocolError, match="earlier error"):
        parser.feed(wire)
    parser.hand_on()
    assert parser.missing == 0


def test_what_was_handed_on_stays_as_it_was() -> None:
    """A loop may hold the room for a while after it was filled."""
    payload = os.urandom(200_000)
    parser = FrameParser(recorder := Recorder(), None, False)
    parser.feed(served(BINARY, payload)[:20])
    room = parser.room()
    with memoryview(room) as view:
        view[: len(payload) - 10] = payload[10:]
        parser.feed(room, len(payload) - 10)
        assert recorder.events == [message(payload, BINARY)]
        parser.feed(served(BINARY, bytes(300_000)))
    assert recorder.events == [message(payload, BINARY), message(bytes(300_000), BINARY)]


def test_a_payload_misused(twin: Any) -> None:
    payload = twin.Payload(10)
    payload.add(b"abcdef", 1, 4)
    for at, end in ((0, 7), (-1, 3), (4, 3), (0, 8)):
        with pytest.raises(ValueError, match="bytes"):
            payload.add(b"abcdefgh"[: 6 if end == 7 else 8], at, end)
    for size in (-1, 8):
        with pytest.raises(ValueError, match=str(size)):
            payload.landed(size)
    assert (payload.filled, payload.take()) == (3, b"bcd")


def test_random_rows_of_frames_at_random_splits() -> None:
    chance = random.Random(7)
    for _ in range(300):
        wire = b"".join(chance.choices(WIRE[:-2], k=6))
        cuts = sorted({chance.randrange(1, len(wire)) for _ in range(5)})
        wanted = judge(wire, compressed=True)
        assert judge(wire, cuts, compressed=True) == wanted
        if wanted.error is None:
            assert in_place(wire, cuts, chance.choice((1, 3, 1 << 20))) == wanted.events
