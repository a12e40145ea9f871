"""One fuzzing process: draws cases of what is fuzzed, runs them, and keeps what gave a verdict of a new kind.

Each case is written to a file before it is run, so that a process which a sanitizer ends leaves it behind. Knows nothing of what is
fuzzed (a `Target`: responses.py, frames.py) but how bytes are mutated and handed over.
"""

from __future__ import annotations

import ast
import ctypes
import importlib.util
import marshal
import mmap
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

LONGEST = 4096
CASE_ROOM = 1 << 20


class Target(Protocol):
    """A module that knows what is fuzzed. A case is a named tuple of plain values, with a `wire`."""

    CORPUS: Path
    Case: Callable[..., Any]

    def load(self, twin: str, extension: str) -> Any: ...

    def draw(self, chance: random.Random, corpus: list[bytes]) -> Any: ...

    def run_case(self, twin: Any, reference: Any, case: Any, compare_twins: bool) -> tuple[tuple[Any, ...], int]:
        """The verdict, and how many times something was run. Finding, or any error that isn't documented: it fails."""

    def signature(self, verdict: tuple[Any, ...]) -> tuple[Any, ...]: ...


class Finding(Exception):
    """What is fuzzed did what its contract doesn't allow."""


def load_compiled(extension: str) -> Any:
    """The sanitized twin, by its path."""
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


def mutate(chance: random.Random, corpus: list[bytes], words: list[bytes]) -> bytes:
    wire = bytearray(chance.choice(corpus))
    for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3, 5, 8))):
        at = chance.randint(0, len(wire))
        kind = chance.randrange(9)
        if kind == 0 and wire:
            wire[at % len(wire)] = chance.randrange(256)
        elif kind == 1 and wire:
            wire[at % len(wire)] ^= 1 << chance.randrange(8)
        elif kind <= 3:
            wire[at:at] = chance.choice(words)
        elif kind == 4:
            del wire[at : at + chance.choice((1, 1, 2, 4, 16))]
        elif kind == 5:
            wire[at : at + chance.randrange(6)] = chance.choice(words)
        elif kind == 6:
            wire[at:at] = wire[at : at + chance.randrange(32)] * chance.choice((1, 2, 8))
        elif kind == 7:
            other = chance.choice(corpus)
            wire[at:] = other[chance.randint(0, len(other)) :]
        else:
            wire[at:at] = bytes([chance.randrange(256)]) * chance.choice((1, 7, 8, 9, 300))
    return bytes(wire[:LONGEST])


def work(target: Target, name: str, extension: str, seconds: float, seed: int, left_behind: Path, found: Path) -> int:
    twin, reference = target.load(name, extension), target.load("pure", "")
    chance = random.Random(seed)
    corpus = [ast.literal_eval(line) for path in (target.CORPUS, found) if path.exists() for line in path.read_text().splitlines()]
    seen: set[tuple[Any, ...]] = set()
    runs = cases = 0
    next_report = 60.0
    with left_behind.open("w+b") as file, found.open("a") as keep:
        file.truncate(CASE_ROOM)
        with mmap.mmap(file.fileno(), CASE_ROOM) as room:
            while (spent := time.process_time()) < seconds:
                case = target.draw(chance, corpus)
                packed = marshal.dumps(tuple(case))
                room[: len(packed)] = packed
                try:
                    verdict, count = target.run_case(twin, reference, case, name != "pure" and cases % 8 == 0)
                except Exception as error:
                    print(f"\n{type(error).__name__}: {error}\n{case!r}", file=sys.stderr)
                    return 1
                runs += count
                cases += 1
                mark = target.signature(verdict)
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


def replay(target: Target, name: str, extension: str, path: Path) -> int:
    case = target.Case(*marshal.loads(path.read_bytes()))
    print(case)
    try:
        verdict, _ = target.run_case(target.load(name, extension), target.load("pure", ""), case, compare_twins=True)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(f"nothing wrong: {verdict}")
    return 0
