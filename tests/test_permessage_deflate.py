"""Compressed WebSocket messages (RFC 7692 section 7.2): its examples, windows, context takeover, damage and bombs.

Inflated and deflated here with the standard library's zlib, whichever one aioreq uses.
"""

from __future__ import annotations

import os
import random
import tracemalloc
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import needed_module
from wires import every_split, pieces

from aioreq import encodings
from aioreq.errors import LimitExceeded, RemoteProtocolError
from aioreq.websocket.permessage_deflate import Compressor, Decompressor, Deflate, agreed

pytestmark = pytest.mark.no_loop

TAIL = b"\x00\x00\xff\xff"
IN, OUT = 16 * 1024, 64 * 1024  # bytes of a step

ALONE = Deflate(server_no_context_takeover=True, client_no_context_takeover=True)


@pytest.fixture(params=["zlib", "zlib_ng.zlib_ng"], autouse=True, scope="module")
def library(request: pytest.FixtureRequest) -> Iterator[None]:
    """Both of them run, where both are there."""
    module = pytest.importorskip(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encodings, "_zlib", lambda: module)
        yield


def inflated(decompressor: Decompressor, data: bytes, cuts: Iterable[int] = ()) -> bytes:
    """One message of these pieces."""
    out = bytearray()
    parts = list(pieces(data, cuts))
    for number, part in enumerate(parts, 1):
        decompressor.feed(part, number == len(parts))
        while (step := decompressor.step()) is not None:
            assert len(step) <= OUT
            out += step
    return bytes(out)


def error_of(data: bytes, cuts: Iterable[int] = (), terms: Deflate | None = None, limit: int | None = None) -> BaseException:
    with pytest.raises((RemoteProtocolError, LimitExceeded)) as caught:
        inflated(Decompressor(terms or Deflate(), limit), data, cuts)
    return caught.value


class Sender:
    """A server's end, made of zlib alone (section 7.2.1)."""

    def __init__(self, bits: int = 15, takeover: bool = True) -> None:
        self.bits, self.takeover = bits, takeover
        self.stream: Any = None

    def message(self, data: bytes) -> bytes:
        if self.stream is None or not self.takeover:
            self.stream = zlib.compressobj(wbits=-self.bits)
        wire: bytes = self.stream.compress(data) + self.stream.flush(zlib.Z_SYNC_FLUSH)
        return wire.removesuffix(TAIL)


def text(size: int, seed: int = 1) -> bytes:
    """What compresses well, and in which every distance occurs."""
    chance = random.Random(seed)
    words = [chance.randbytes(chance.randrange(3, 40)) for _ in range(60)]
    return b"".join(chance.choice(words) for _ in range(size // 10))[:size]


# --- section 7.2.3

EXAMPLES = {
    "7.2.3.1, one compressed block": ["f2 48 cd c9 c9 07 00"],
    "7.2.3.2, sharing the window": ["f2 48 cd c9 c9 07 00", "f2 00 11 00 00"],
    "7.2.3.2, without sharing it": ["f2 48 cd c9 c9 07 00", "f2 48 cd c9 c9 07 00"],
    "7.2.3.3, a block without compression": ["00 05 00 fa ff 48 65 6c 6c 6f 00"],
    "7.2.3.4, a final block": ["f3 48 cd c9 c9 07 00 00"],
    "7.2.3.4, final blocks": ["f3 48 cd c9 c9 07 00 00"] * 3,
    "7.2.3.5, two blocks": ["f2 48 05 00 00 00 ff ff ca c9 c9 07 00"],
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples(name: str) -> None:
    messages = [bytes.fromhex(message) for message in EXAMPLES[name]]
    for cuts in every_split(messages[-1]):
        decompressor = Decompressor(Deflate(), 5)
        for message in messages[:-1]:
            assert inflated(decompressor, message) == b"Hello"
        assert inflated(decompressor, messages[-1], cuts) == b"Hello"


def test_an_empty_message() -> None:
    """Section 7.2.3.6: one byte, 0x00."""
    decompressor = Decompressor(Deflate(), 5)
    for _ in range(3):
        assert inflated(decompressor, b"\x00") == b""
        assert inflated(decompressor, bytes.fromhex("f2 48 cd c9 c9 07 00")) == b"Hello"
    for terms in (Deflate(), ALONE):
        compressor = Compressor(terms)
        assert [compressor.compress(b"", True) for _ in range(3)] == [b"\x00"] * 3
        compressor.compress(b"Hello", True)
        assert compressor.compress(b"", True) == b"\x00"


def test_what_is_sent_is_what_the_examples_show() -> None:
    takeover, alone = Compressor(Deflate()), Compressor(ALONE)
    assert [takeover.compress(b"Hello", True).hex(" ") for _ in range(2)] == ["f2 48 cd c9 c9 07 00", "f2 00 11 00 00"]
    assert [alone.compress(b"Hello", True).hex(" ") for _ in range(3)] == ["f2 48 cd c9 c9 07 00"] * 3


# --- windows and context takeover


@pytest.mark.parametrize("level", [0, 1, 2, 6, 9])
@pytest.mark.parametrize("bits", range(8, 16))
def test_a_window_is_kept_to(bits: int, level: int) -> None:
    """What we send fits the window that was agreed: an inflater with no more memory than that reads it, a byte at a time."""
    data = text(40_000)
    compressor = Compressor(Deflate(client_max_window_bits=bits, level=level))
    wire = compressor.compress(data, True) + TAIL
    stream = zlib.decompressobj(wbits=-bits)
    out = bytearray()
    while True:
        step = stream.decompress(wire, 1)  # a longer step would serve distances from its own output
        wire = stream.unconsumed_tail
        out += step
        if not step and not wire:
            break
    assert out == data


def test_a_larger_window_saves_more() -> None:
    block = os.urandom(5000)
    sizes = [len(Compressor(Deflate(client_max_window_bits=bits)).compress(block * 4, True)) for bits in (9, 15)]
    assert sizes[1] < sizes[0] / 2


@pytest.mark.parametrize("bits", range(9, 16))
@pytest.mark.parametrize("takeover", [True, False])
def test_what_a_server_sends(bits: int, takeover: bool) -> None:
    sender = Sender(bits, takeover)
    decompressor = Decompressor(Deflate(server_max_window_bits=bits, server_no_context_takeover=not takeover), None)
    for number in range(4):
        data = text(20_000, number // 2)
        wire = sender.message(data)
        assert inflated(decompressor, wire, range(1000, len(wire), 1000)) == data


def test_context_takeover() -> None:
    """The second of two equal messages is told in a few bytes, unless it was agreed that each stands alone."""
    data = os.urandom(3000)
    for terms, least, most in ((Deflate(), 1, 100), (ALONE, 3000, 3100)):
        compressor = Compressor(terms)
        first, second = compressor.compress(data, True), compressor.compress(data, True)
        assert least <= len(second) <= most
        stream = zlib.decompressobj(wbits=-15)
        assert stream.decompress(first + TAIL + second + TAIL) == data * 2
        if terms is ALONE:
            assert zlib.decompressobj(wbits=-15).decompress(second + TAIL) == data


def test_a_server_that_takes_its_context_over_against_the_agreement() -> None:
    sender = Sender()
    first, second = sender.message(b"Hello, hello, hello"), sender.message(b"Hello, hello, hello")
    decompressor = Decompressor(Deflate(server_no_context_takeover=True), None)
    assert inflated(decompressor, first) == b"Hello, hello, hello"
    with pytest.raises(RemoteProtocolError, match="no DEFLATE") as caught:
        inflated(decompressor, second)
    assert caught.value.close_code == 1007


def test_a_final_block_ends_the_context() -> None:
    """Section 7.2.3.4: a stream ended; what refers to before it is damaged."""
    sender = Sender()
    first, second = sender.message(b"Hello, hello"), sender.message(b"Hello, hello")
    decompressor = Decompressor(Deflate(), None)
    assert inflated(decompressor, first + b"\x00\x00\xff\xff\x03\x00\x00") == b"Hello, hello"
    with pytest.raises(RemoteProtocolError, match="no DEFLATE"):
        inflated(decompressor, second)


@settings(max_examples=200, deadline=None)
@given(
    messages=st.lists(st.binary(max_size=300) | st.sampled_from([text(2000), bytes(100_000), b""]), max_size=5),
    terms=st.builds(
        Deflate,
        server_no_context_takeover=st.booleans(),
        client_no_context_takeover=st.booleans(),
        server_max_window_bits=st.integers(9, 15),
        client_max_window_bits=st.integers(8, 15),
        level=st.integers(0, 9),
    ),
    data=st.data(),
)
def test_round_trips(messages: list[bytes], terms: Deflate, data: st.DataObject) -> None:
    compressor, sender = Compressor(terms), Sender(terms.server_max_window_bits, not terms.server_no_context_takeover)
    decompressor = Decompressor(terms, None)
    stream = zlib.decompressobj(wbits=-15)
    for message in messages:
        cuts = sorted(data.draw(st.lists(st.integers(0, len(message)), max_size=3)))
        parts = list(pieces(message, cuts))
        wire = b"".join(compressor.compress(part, number == len(parts)) for number, part in enumerate(parts, 1))
        if terms.client_no_context_takeover:
            stream = zlib.decompressobj(wbits=-15)
        assert stream.decompress(wire + TAIL) == message
        theirs = sender.message(message)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(theirs)), max_size=3)))
        assert inflated(decompressor, theirs, cuts) == message


# --- damage

DAMAGED = {
    "a block of the reserved kind": "07",
    "a length that doesn't match its complement": "00 05 00 fa fe 48 65 6c 6c 6f 00",
    "a distance before the beginning": "f2 00 11 00 00",
    "nothing at all": "",
    "without the byte that the tail goes on from": "f2 48 cd c9 c9 07",
    "cut inside a block": "f2 48 cd c9",
    "cut inside a block without compression": "00 05 00 fa ff 48 65",
    "a final block and no byte behind it": "f3 48 cd c9 c9 07 00",
    "the tail, which isn't sent": "f2 48 cd c9 c9 07 00 00 00 ff ff",
    "bytes behind a final block": "f3 48 cd c9 c9 07 00 48 65 6c 6c 6f",
}


@pytest.mark.parametrize("terms", [Deflate(), ALONE], ids=["takeover", "alone"])
@pytest.mark.parametrize("name", DAMAGED)
def test_damage(name: str, terms: Deflate) -> None:
    wire = bytes.fromhex(DAMAGED[name])
    for cuts in every_split(wire):
        error = error_of(wire, cuts, terms)
        assert isinstance(error, RemoteProtocolError)
        assert error.close_code == 1007
        assert str(error).startswith("WebSocket: a compressed message is no DEFLATE: ")


def test_a_message_cut_short_is_found_at_any_byte() -> None:
    """By what it says itself: nothing behind it is needed to notice."""
    data = text(3000)
    wire = Sender().message(data)
    for terms in (Deflate(), ALONE):
        for cut in range(len(wire)):
            assert isinstance(error_of(wire[:cut], terms=terms), RemoteProtocolError), cut


@settings(max_examples=600, deadline=None)
@given(
    wire=st.binary(max_size=60) | st.tuples(st.binary(max_size=30), st.integers(0, 90), st.binary(max_size=4)),
    terms=st.sampled_from([Deflate(), ALONE]),
    data=st.data(),
)
def test_any_bytes(wire: Any, terms: Deflate, data: st.DataObject) -> None:
    """A message or a documented error, whatever the pieces."""
    if isinstance(wire, tuple):
        plain, at, put = wire
        wire = bytearray(Sender().message(plain * 3))
        wire[at % (len(wire) + 1) :][: len(put)] = put
        wire = bytes(wire)

    def outcome(cuts: Iterable[int]) -> tuple[object, ...]:
        decompressor = Decompressor(terms, 500)
        try:
            return ("message", inflated(decompressor, wire, cuts))
        except (RemoteProtocolError, LimitExceeded) as error:
            return ("error", error.close_code if isinstance(error, RemoteProtocolError) else 1007)

    wanted = outcome(())
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=5)))
    assert outcome(cuts) == wanted
    assert outcome(range(1, len(wire))) == wanted


# --- bounds


@pytest.mark.parametrize("limit", [0, 1, 100, OUT - 1, OUT, OUT + 1, 1_000_000])
def test_the_longest_message(limit: int) -> None:
    fits, beyond = Sender().message(bytes(limit)), Sender().message(bytes(limit + 1))
    for cuts in ((), range(1, min(len(fits), 200)), [len(fits) // 2]):
        assert inflated(Decompressor(Deflate(), limit), fits, cuts) == bytes(limit)
    error = error_of(beyond, limit=limit)
    assert isinstance(error, LimitExceeded)
    assert (error.limit, error.close_code) == ("max_message", 1009)
    assert f"more than {limit} bytes" in str(error)


def test_the_bound_is_that_of_each_message() -> None:
    sender, decompressor = Sender(), Decompressor(Deflate(), 1000)
    for _ in range(5):
        assert inflated(decompressor, sender.message(bytes(1000))) == bytes(1000)


def test_a_bomb_goes_off_in_small_steps() -> None:
    """256 MiB of zeros in 256 KiB: never more than a step's bytes at once, and not one byte beyond the bound."""
    sender = zlib.compressobj(wbits=-15)
    wire = b"".join(sender.compress(bytes(1 << 20)) for _ in range(256)) + sender.flush(zlib.Z_SYNC_FLUSH)
    wire = wire.removesuffix(TAIL)
    for limit, wanted in ((None, 256 << 20), (1 << 24, 1 << 24)):
        decompressor = Decompressor(Deflate(), limit)
        decompressor.feed(wire, True)
        total = steps = 0
        tracemalloc.start()
        try:
            while (step := decompressor.step()) is not None:
                assert len(step) <= OUT
                total += len(step)
                steps += 1
        except LimitExceeded:
            assert limit is not None
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert total == wanted
        assert steps >= wanted // OUT
        assert peak < 1 << 20


def test_a_step_reads_16_kib_at_most() -> None:
    data = os.urandom(200_000)
    decompressor = Decompressor(Deflate(), None)
    decompressor.feed(Sender().message(data), True)
    steps = []
    while (step := decompressor.step()) is not None:
        steps.append(step)
    assert b"".join(steps) == data
    assert max(map(len, steps)) <= IN + 300  # what was random doesn't get shorter
    assert len(steps) >= 200_000 // IN


@pytest.mark.parametrize("size", [OUT - 1, OUT, OUT + 1, *range(OUT + 200, OUT + 270, 7), 3 * OUT + 100])
def test_all_is_told_that_a_piece_tells(size: int) -> None:
    """Also where the bytes that go in end in the middle of what comes out."""
    wire = Sender().message(bytes(size))
    for cut in range(len(wire)):
        decompressor = Decompressor(Deflate(), None)
        decompressor.feed(wire[:cut], False)
        assert len(b"".join(iter(decompressor.step, None))) == len(zlib.decompressobj(wbits=-15).decompress(wire[:cut])), cut


def test_a_flood_of_final_blocks() -> None:
    """Each costs a new stream, and may be two bytes: so many are too many, and some for each KiB are not."""
    error = error_of(b"\x03\x00" * 5000 + b"\x00")
    assert isinstance(error, RemoteProtocolError)
    assert "final blocks in" in str(error)
    stream = zlib.compressobj(wbits=-15)
    block = stream.compress(os.urandom(200)) + stream.flush()
    assert len(inflated(Decompressor(Deflate(), None), block * 500 + b"\x00")) == 500 * 200
    decompressor = Decompressor(Deflate(), None)
    for _ in range(200):  # the count is one message's
        assert inflated(decompressor, b"\x03\x00" * 10 + b"\x00") == b""


def test_feeding_before_all_is_out_is_an_error() -> None:
    decompressor = Decompressor(Deflate(), None)
    assert decompressor.step() is None
    decompressor.feed(Sender().message(bytes(OUT * 2)), True)
    decompressor.step()
    with pytest.raises(RuntimeError, match="before step"):
        decompressor.feed(b"\x00", True)


def test_pieces_of_nothing() -> None:
    decompressor = Decompressor(Deflate(), None)
    wire = Sender().message(b"Hello")
    for _ in range(2):
        out = b""
        for part, last in ((b"", False), (wire[:3], False), (b"", False), (wire[3:], False), (b"", True)):
            decompressor.feed(part, last)
            out += b"".join(iter(decompressor.step, None))
        assert out == b"Hello"


def test_fragments_of_what_is_sent() -> None:
    data = os.urandom(100_000)
    compressor = Compressor(Deflate())
    parts = [compressor.compress(data[at : at + 10_000], False) for at in range(0, len(data), 10_000)]
    assert any(parts)  # it goes out before the end
    parts.append(compressor.compress(b"", True))
    assert zlib.decompressobj(wbits=-15).decompress(b"".join(parts) + TAIL) == data


# --- the websockets library, run side by side


@pytest.fixture(scope="module")
def theirs() -> Any:
    return needed_module("websockets.extensions.permessage_deflate", "websockets")


@pytest.fixture(scope="module")
def their_headers() -> Any:
    return needed_module("websockets.headers", "websockets")


@pytest.mark.parametrize("alone", [(True, True), (True, False), (False, True), (False, False)], ids=str)
@pytest.mark.parametrize("bits", [(15, 15), (9, 12), (12, 8), (10, 9)], ids=str)
def test_they_understand_an_offer_and_we_each_other(
    theirs: Any, their_headers: Any, alone: tuple[bool, bool], bits: tuple[int, int]
) -> None:
    """Their server's answer to our offer, then ten messages each way through both ends."""
    frames = needed_module("websockets.frames", "websockets")
    offer = Deflate(*alone, *bits)
    [(_, parameters)] = their_headers.parse_extension(offer.offer())
    answer, extension = theirs.ServerPerMessageDeflateFactory().process_request_params(parameters, [])
    terms = agreed(offer, [their_headers.build_extension([("permessage-deflate", answer)])])
    assert terms is not None
    compressor, decompressor = Compressor(terms), Decompressor(terms, None)
    for number in range(10):
        data = text(5000, number % 3) + os.urandom(number)
        sent = frames.Frame(frames.Opcode.BINARY, compressor.compress(data, True), rsv1=True)
        assert extension.decode(sent).data == data
        received = extension.encode(frames.Frame(frames.Opcode.BINARY, data))
        assert received.rsv1
        assert inflated(decompressor, bytes(received.data), [7]) == data
