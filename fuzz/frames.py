"""`--target frames`: WebSocket's frames (RFC 6455) and compressed messages (RFC 7692), both ways.

Mutated frames go to a `FrameParser` in random pieces, and compressed messages on to a `Decompressor`; what comes is compared with what the
whole gives. What is in a case is also sent: framed and masked by one twin, from memory of just its size, and read again by the book.
Knows their contracts (`aioreq/websocket/frames.py`, `permessage_deflate.py` beside it), not how what is compiled of them was built.
"""

from __future__ import annotations

import itertools
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

os.environ["AIOREQ_EXTENSIONS"] = "off"  # before the package: its own compiled twin has no sanitizer, and no place here

from aioreq import _frames_py, _masking_py
from aioreq.errors import LimitExceeded, RemoteProtocolError
from aioreq.websocket import frames
from aioreq.websocket.permessage_deflate import Compressor, Decompressor, Deflate

from .worker import Finding, feed_exact, feed_plain, load_compiled, mutate

CORPUS = Path(__file__).parent / "frames.txt"
DOCUMENTED = (RemoteProtocolError, LimitExceeded)
PURE = SimpleNamespace(
    masked=_masking_py.masked, framed=_frames_py.framed, hand_on_whole=_frames_py.hand_on_whole, Payload=_frames_py.Payload
)

WORDS = [
    *(
        b"\x00\x00",
        b"\x80\x00",
        b"\x80\x01a",
        b"\x01\x00",
        b"\x01\x02ab",
        b"\x81\x00",
        b"\x82\x05Hello",
        b"\x88\x00",
        b"\x89\x01p",
        b"\x8a\x00",
    ),
    *(
        b"\x88\x02\x03\xe8",
        b"\x88\x05\x03\xe8bye",
        b"\x88\x02\x03\xed",
        b"\x81\x7e\x00\x7e",
        b"\x82\x7f" + bytes(7) + b"\x05",
        b"\x82\x7f\xff",
    ),
    *(
        b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00",
        b"\xc1\x05\xf2\x00\x11\x00\x00",
        b"\xc2\x01\x00",
        b"\x41\x03\xf2\x48\xcd",
        b"\x80\x04\xc9\xc9\x07\x00",
    ),
    *(b"\x00\x00\xff\xff", b"\x03\x00", b"\x81\x85abcd", b"\x91", b"\xa1", b"\x83\x00", b"\xff", b"\x7f", b"\x7e", b"x" * 126),
]


class Case(NamedTuple):
    """`limit`: max_message; `head`: what stands before the key, `offset`: where in its memory the payload begins."""

    wire: bytes
    cuts: tuple[int, ...]
    limit: int
    compressed: bool
    alone: bool
    opcode: int
    fin: bool
    head: bytes
    offset: int


def load(twin: str, extension: str) -> Any:
    """What is there twice: the mask loop and the two ends of the usual frame."""
    return PURE if twin == "pure" else load_compiled(extension)


def run_on(twin: Any) -> None:
    """Have frames.py run on this twin."""
    frames.framed, frames.hand_on_whole, frames.Payload = twin.framed, twin.hand_on_whole, twin.Payload  # type: ignore[misc]


# --- verdicts


class Recorder:
    def __init__(self, inflate: Callable[[bytes, bool], None]) -> None:
        self.events: list[Any] = []
        self._inflate = inflate

    def on_piece(self, kind: int, data: bytes, last: bool, compressed: bool) -> None:
        if not data and not last:
            raise Finding("on_piece with nothing")
        if compressed:
            self._inflate(data, last)
        before = self.events[-1] if self.events else None
        if isinstance(before, list) and not before[2]:
            if [kind, compressed] != [before[0], before[3]]:
                raise Finding("a message changed its kind")
            before[1:3] = [before[1] + data, last]
        else:
            self.events.append([kind, data, last, compressed])

    def on_control(self, opcode: int, payload: bytes) -> None:
        if opcode == frames.CLOSE:
            try:
                code, reason = frames.parse_close(payload)
            except RemoteProtocolError as fault:
                self.events.append((opcode, payload, str(fault)))
                return
            if frames.close_payload(code, reason) != payload:
                raise Finding(f"a close doesn't come back: {payload!r}")
        self.events.append((opcode, payload))


def judge(twin: Any, case: Case, cuts: tuple[int, ...]) -> tuple[Any, ...]:
    """All that can be seen of the parser, then what was inflated; anything raised that isn't documented goes through.

    Where the parser has room for what comes, every other piece is put there; now and then what is gathered is asked for.
    """
    run_on(twin)
    hand = feed_plain if twin is PURE else feed_exact
    terms = Deflate(server_no_context_takeover=case.alone)
    decompressor = Decompressor(terms, case.limit * 20)
    inflated: list[bytes] = []
    current, damaged = b"", False

    def inflate(data: bytes, last: bool) -> None:
        nonlocal current, damaged
        if damaged:
            return
        try:
            decompressor.feed(data, last)
            while (out := decompressor.step()) is not None:
                if len(out) > 65536:
                    raise Finding(f"a step of {len(out)} bytes")
                current += out
        except DOCUMENTED:  # which of two faults is met first may depend on the pieces; that there is one may not
            damaged = True
            return
        if last:
            inflated.append(current)
            current = b""

    recorder = Recorder(inflate)
    parser = frames.FrameParser(recorder, case.limit, case.compressed)
    error, last = None, 0
    try:
        for number, cut in enumerate((*cuts, len(case.wire)), case.offset):
            if number % 2 and parser.missing:
                room = parser.room()
                with memoryview(room) as view:
                    size = min(len(view), cut - last)
                    view[:size] = case.wire[last : last + size]
                parser.feed(room, size)
                last += size
            if number % 5 == 0:
                parser.hand_on()
            hand(lambda piece: parser.feed(memoryview(piece).cast("B")), case.wire[last:cut])
            last = cut
        parser.hand_on()
    except DOCUMENTED as fault:
        if fault.close_code not in (1002, 1009):
            raise Finding(f"the close code of {fault!r} is {fault.close_code}") from fault
        error = (type(fault).__name__, str(fault))
    return (recorder.events, error, inflated, damaged)


def signature(verdict: tuple[Any, ...]) -> tuple[Any, ...]:
    """What kind of verdict it is: a wire with a new one is worth mutating further."""
    events, error, inflated, damaged, _ = verdict
    shape = tuple((e[0], e[2], e[3], bool(e[1])) if isinstance(e, list) else (e[0], len(e), bool(e[1])) for e in events[-3:])
    return (shape, error and re.sub(r"\d+", "#", error[1]), bool(inflated), inflated[-1:] == [b""], damaged)


# --- what is sent


def send(twin: Any, case: Case) -> bytes:
    """The wire as a payload, in fragments or whole, and masked with any head."""
    if case.opcode >= frames.CLOSE and len(case.wire) > 125:
        try:
            frames.frame(case.opcode, case.wire)
        except ValueError:
            return b""
        raise Finding("a control frame that is too long")
    run_on(twin)
    hand = feed_plain if twin is PURE else feed_exact
    sent = hand(lambda piece: frames.frame(case.opcode, piece, case.fin, case.compressed), case.wire)
    first, second = sent[0], sent[1]
    at, size = 2, second & 0x7F
    if size > 125:
        at = 4 if size == 126 else 10
        size = int.from_bytes(sent[2:at], "big")
    key, masked = sent[at : at + 4], sent[at + 4 :]
    if first != (case.opcode | case.fin << 7 | case.compressed << 6) or not second & 0x80 or size != len(case.wire):
        raise Finding(f"the header of a frame is wrong: {sent[:14].hex(' ')}")
    if bytes(byte ^ key[at % 4] for at, byte in enumerate(masked)) != case.wire:
        raise Finding("a payload doesn't come back")
    payload = case.wire[case.offset :]
    whole: bytes = hand(lambda piece: twin.masked(case.head, key, piece), payload)
    if whole != _masking_py.masked(case.head, key, payload):
        raise Finding("the twins mask differently")
    return payload


def deflate(case: Case) -> None:
    """The payload through both ends of a stream, twice."""
    terms = Deflate(case.alone, case.alone, client_max_window_bits=8 + case.offset % 8, level=case.offset % 10)
    compressor, decompressor = Compressor(terms), Decompressor(terms, len(case.wire))
    bounds = (0, *case.cuts, len(case.wire))
    for _ in range(2):
        out = b""
        for number, (start, stop) in enumerate(itertools.pairwise(bounds), 2):
            last = number == len(bounds)
            decompressor.feed(compressor.compress(case.wire[start:stop], last), last)
            out += b"".join(iter(decompressor.step, None))
        if out != case.wire:
            raise Finding("a compressed message doesn't come back")


# --- cases


def draw(chance: random.Random, corpus: list[bytes]) -> Case:
    wire = mutate(chance, corpus, WORDS)
    if chance.random() < 0.1 and len(wire) < 400:
        cuts = tuple(range(1, len(wire)))
    else:
        cuts = tuple(sorted(chance.randint(0, len(wire)) for _ in range(chance.choice((1, 1, 2, 3, 6, 12)))))
    limit = chance.choice((1 << 20, 1 << 20, 0, 1, 125, 126, chance.randrange(300)))
    opcode = chance.choice((0, 1, 2, 8, 9, 10))
    head = bytes(chance.randrange(256) for _ in range(chance.choice((0, 2, 4, 10))))
    return Case(wire, cuts, limit, chance.random() < 0.6, chance.random() < 0.3, opcode, chance.random() < 0.7, head, chance.randrange(16))


def run_case(twin: Any, reference: Any, case: Case, compare_twins: bool) -> tuple[tuple[Any, ...], int]:
    """The verdict, and how many times a parser or the mask loop was run."""
    whole = judge(twin, case, ())
    parts = judge(twin, case, case.cuts)
    if parts != whole:
        raise Finding(f"the verdict depends on the split\n  whole: {whole!r}\n  parts: {parts!r}")
    sent = send(twin, case)
    if not compare_twins:
        return (*whole, sent), 4
    other = judge(reference, case, ())
    if other != whole:
        raise Finding(f"the twins disagree\n  this: {whole!r}\n  pure: {other!r}")
    deflate(case)
    return (*whole, sent), 7
