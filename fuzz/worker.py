"""One fuzzing process: mutates responses, feeds them to one twin in random pieces, and compares with what the whole gives.

Each case is written to a file before it is run, so that a process which a sanitizer ends leaves it behind. Knows the parser's
contract (`aioreq/parser.py`), not how it was built.
"""

from __future__ import annotations

import ast
import ctypes
import importlib
import importlib.util
import marshal
import mmap
import random
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from aioreq.config import Limits
from aioreq.errors import LimitExceeded, RemoteProtocolError

HERE = Path(__file__).parent
CORPUS = HERE / "corpus.txt"
DOCUMENTED = (RemoteProtocolError, LimitExceeded)
LONGEST = 4096
CASE_ROOM = 1 << 20

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


class Finding(Exception):
    """The parser did what its contract doesn't allow."""


def load(twin: str, extension: str) -> Any:
    if twin == "pure":
        return importlib.import_module("aioreq._parser_py")
    spec = importlib.util.spec_from_file_location("aioreq._parser", extension)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- how a piece is handed over


_libc = ctypes.CDLL(None)
_libc.malloc.restype = ctypes.c_void_p
_libc.malloc.argtypes = [ctypes.c_size_t]
_libc.free.argtypes = [ctypes.c_void_p]


def feed_exact(feed: Callable[[Any], Any], piece: bytes) -> Any:
    """From memory of just that size, freed right behind the call: a byte read past it, or later, is a sanitizer's report."""
    address = _libc.malloc(len(piece))
    ctypes.memmove(address, piece, len(piece))
    try:
        return feed((ctypes.c_char * len(piece)).from_address(address))
    finally:
        _libc.free(address)


def feed_plain(feed: Callable[[Any], Any], piece: bytes) -> Any:
    return feed(piece)


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


def mutate(chance: random.Random, corpus: list[bytes]) -> bytes:
    wire = bytearray(chance.choice(corpus))
    for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3, 5, 8))):
        at = chance.randint(0, len(wire))
        kind = chance.randrange(9)
        if kind == 0 and wire:
            wire[at % len(wire)] = chance.randrange(256)
        elif kind == 1 and wire:
            wire[at % len(wire)] ^= 1 << chance.randrange(8)
        elif kind <= 3:
            wire[at:at] = chance.choice(WORDS)
        elif kind == 4:
            del wire[at : at + chance.choice((1, 1, 2, 4, 16))]
        elif kind == 5:
            wire[at : at + chance.randrange(6)] = chance.choice(WORDS)
        elif kind == 6:
            wire[at:at] = wire[at : at + chance.randrange(32)] * chance.choice((1, 2, 8))
        elif kind == 7:
            other = chance.choice(corpus)
            wire[at:] = other[chance.randint(0, len(other)) :]
        else:
            wire[at:at] = bytes([chance.randrange(256)]) * chance.choice((1, 7, 8, 9, 300))
    return bytes(wire[:LONGEST])


def draw(chance: random.Random, corpus: list[bytes]) -> Case:
    wire = mutate(chance, corpus)
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


def work(name: str, extension: str, seconds: float, seed: int, left_behind: Path, found: Path) -> int:
    twin, reference = load(name, extension), load("pure", "")
    chance = random.Random(seed)
    corpus = [ast.literal_eval(line) for path in (CORPUS, found) if path.exists() for line in path.read_text().splitlines()]
    seen: set[tuple[Any, ...]] = set()
    runs = cases = 0
    next_report = 60.0
    with left_behind.open("w+b") as file, found.open("a") as keep:
        file.truncate(CASE_ROOM)
        with mmap.mmap(file.fileno(), CASE_ROOM) as room:
            while (spent := time.process_time()) < seconds:
                case = draw(chance, corpus)
                packed = marshal.dumps(tuple(case))
                room[: len(packed)] = packed
                try:
                    verdict, count = run_case(twin, reference, case, name != "pure" and cases % 8 == 0)
                except Exception as error:
                    print(f"\n{type(error).__name__}: {error}\n{case!r}", file=sys.stderr)
                    return 1
                runs += count
                cases += 1
                mark = signature(verdict)
                if mark not in seen:
                    seen.add(mark)
                    if case.wire not in corpus:
                        corpus.append(case.wire)
                        print(case.wire, file=keep)
                if spent > next_report:
                    next_report += 60
                    report(name, cases, runs, len(seen), len(corpus), spent)
    report(name, cases, runs, len(seen), len(corpus), time.process_time())
    return 0


def report(name: str, cases: int, runs: int, verdicts: int, entries: int, spent: float) -> None:
    rate = runs / spent
    line = f"{cases:,} cases, {runs:,} executions, {verdicts:,} kinds of verdict, {entries:,} corpus entries"
    print(f"{name}: {line}, {spent:.0f} s of CPU time ({rate:,.0f} executions/s)", flush=True)


def replay(name: str, extension: str, path: Path) -> int:
    case = Case(*marshal.loads(path.read_bytes()))
    print(case)
    try:
        verdict, _ = run_case(load(name, extension), load("pure", ""), case, compare_twins=True)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(f"nothing wrong: {verdict}")
    return 0
