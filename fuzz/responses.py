"""What is fuzzed by default: the response parser. Mutated responses go to one twin in random pieces, and what comes is compared with what
the whole gives, and now and then with the pure twin.

Knows the parser's contract (`aioreq/parser.py`), not how it was built, nor how a case is kept.
"""

from __future__ import annotations

import importlib
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from aioreq.config import Limits
from aioreq.errors import LimitExceeded, RemoteProtocolError

from .worker import Finding, feed_exact, feed_plain, load_compiled, mutate

CORPUS = Path(__file__).parent / "corpus.txt"
DOCUMENTED = (RemoteProtocolError, LimitExceeded)

WORDS = [
    *(b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b";", b",", b"\x00", b"\x7f", b"\x80", b"\xff", b"\r\n\r\n", b"\r\n ", b"0\r\n\r\n"),
    *(b"HTTP/1.1 ", b"HTTP/1.0 ", b"200 OK\r\n", b"204\r\n", b"103 \r\n\r\n", b"101 x\r\n", b"304 \r\n", b"HTTP/1.1 100\r\n\r\n"),
    *(b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"keep-alive", b"chunked", b"gzip, ", b"A: b\r\n"),
    *(b"5\r\nhello\r\n", b"1;a=b\r\nx\r\n", b"fffffffffffffff", b"999999999999999999", b"00000000"),
]
METHODS = ["GET", "GET", "GET", "HEAD", "CONNECT"]


class Case(NamedTuple):
    """`caps`: head, headers, trailers, chunk_extensions, informational; `target`: "response" or "chunks"."""

    target: str
    wire: bytes
    cuts: tuple[int, ...]
    method: str
    caps: tuple[int, int, int, int, int]

    def limits(self) -> Limits:
        return Limits(**dict(zip(("head", "headers", "trailers", "chunk_extensions", "informational"), self.caps, strict=True)))


def load(twin: str, extension: str) -> Any:
    return importlib.import_module("aioreq._parser_py") if twin == "pure" else load_compiled(extension)


# --- verdicts


class Recorder:
    def __init__(self, whole: bool) -> None:
        self.events: list[Any] = []
        self.whole = whole

    def on_head(self, *head: Any) -> bool:
        self.events.append(head)
        return self.whole

    def on_body(self, data: bytes) -> None:
        if not data:
            raise Finding("on_body with nothing")
        if isinstance(self.events[-1], bytes):
            self.events[-1] += data
        else:
            self.events.append(data)

    def on_end(self, trailers: Any) -> None:
        self.events.append(["end", trailers])


def put_in_place(parser: Any, piece: bytes) -> bytes:
    """Write what belongs to a body that is being gathered into its own place; the rest of the piece."""
    while piece and parser.gathering:
        room = parser.room()
        with memoryview(room) as view:
            count = min(len(view), len(piece))
            view[:count] = piece[:count]
        parser.feed(room, count)
        piece = piece[count:]
    return piece


def judge(
    twin: Any, case: Case, cuts: tuple[int, ...], hand: Callable[[Callable[[Any], Any], bytes], Any], in_place: bool = False
) -> tuple[Any, ...]:
    """All that can be seen of the parser; anything raised that isn't documented goes through."""
    limits = case.limits()
    error, last, decoded = None, 0, b""
    if case.target == "chunks":
        recorder, parser = None, twin.ChunkedDecoder(limits)
    else:
        recorder = Recorder(whole=in_place)
        parser = twin.ResponseParser(recorder, limits)
        parser.expect(case.method)
    try:
        for cut in (*cuts, len(case.wire)):
            piece = case.wire[last:cut]
            last = cut
            if in_place and recorder is not None:
                piece = put_in_place(parser, piece)
            got = hand(parser.feed, piece)
            if recorder is None:
                decoded += got
    except DOCUMENTED as fault:
        error = (type(fault).__name__, str(fault))
    if recorder is None:
        # What the failing feed had decoded goes with the error, so with one only the error is compared.
        return ("chunks", error) if error else ("chunks", error, decoded, parser.done, parser.trailers, parser.rest())
    if parser.gathering:
        recorder.on_body(parser.gathered)
    flags = (parser.started, parser.done, parser.keep_alive, parser.upgraded, parser.close_delimited, parser.content_length, parser.rest())
    return (recorder.events, error, flags, parser.feed_eof())


def signature(verdict: tuple[Any, ...]) -> tuple[Any, ...]:
    """What kind of verdict it is: a wire with a new one is worth mutating further."""
    error = verdict[1] and re.sub(r"""0x..|'.*'|".*"|\d+""", "#", verdict[1][1])
    if verdict[0] == "chunks":
        return ("chunks", error, len(verdict) > 3 and (bool(verdict[2]), verdict[3], len(verdict[4]), bool(verdict[5])))
    shape = tuple((e[0], e[1] // 100, bool(e[3])) if isinstance(e, tuple) else type(e).__name__ for e in verdict[0][-3:])
    return (shape, error, verdict[2][:5], verdict[2][5] is None, bool(verdict[2][6]), verdict[3])


# --- cases


def draw(chance: random.Random, corpus: list[bytes]) -> Case:
    wire = mutate(chance, corpus, WORDS)
    target = "response"
    if chance.random() < 0.2:
        target, wire = "chunks", wire.partition(b"\r\n\r\n")[2] or wire
    if chance.random() < 0.1 and len(wire) < 400:
        cuts = tuple(range(1, len(wire)))
    else:
        cuts = tuple(sorted(chance.randint(0, len(wire)) for _ in range(chance.choice((1, 1, 2, 3, 6, 12)))))
    caps = (65536, 256, 16384, 16384, 16)
    if chance.random() < 0.3:
        caps = (chance.randrange(200), chance.randrange(6), chance.randrange(40), chance.randrange(20), chance.randrange(3))
    return Case(target, wire, cuts, chance.choice(METHODS), caps)


def run_case(twin: Any, reference: Any, case: Case, compare_twins: bool) -> tuple[tuple[Any, ...], int]:
    """The verdict, and how many times a parser was run."""
    hand = feed_plain if twin is reference else feed_exact
    whole = judge(twin, case, (), hand)
    parts = judge(twin, case, case.cuts, hand)
    if parts != whole:
        raise Finding(f"the verdict depends on the split\n  whole: {whole!r}\n  parts: {parts!r}")
    placed = judge(twin, case, case.cuts, hand, in_place=True)
    if placed != whole:
        raise Finding(f"a body that is read in place gives another verdict\n  fed:    {whole!r}\n  placed: {placed!r}")
    if not compare_twins:
        return whole, 3
    other = judge(reference, case, (), feed_plain)
    if other != whole:
        raise Finding(f"the twins disagree\n  this: {whole!r}\n  pure: {other!r}")
    return whole, 4
