"""Both twins of the parser against the same wires: whole, byte by byte and at every split; every limit; every way to misuse them."""

from __future__ import annotations

import array
import copy
import gc
import itertools
import os
import pickle
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from wires import (
    CHUNKED,
    CHUNKED_HEAD,
    DEFAULT,
    INVALID,
    OK,
    TWINS,
    VALID,
    Recorder,
    body,
    end,
    every_split,
    head,
    judge,
    load_twin,
    pieces,
)

import aioreq.parser
from aioreq.config import Limits
from aioreq.errors import LimitExceeded, RemoteProtocolError
from aioreq.headers import Fields

pytestmark = pytest.mark.no_loop


@pytest.fixture(params=TWINS)
def twin(request: pytest.FixtureRequest) -> Any:
    return load_twin(request.param)


def started(twin: Any, method: str = "GET", limits: Limits = DEFAULT) -> tuple[Any, Recorder]:
    recorder = Recorder()
    parser = twin.ResponseParser(recorder, limits)
    parser.expect(method)
    return parser, recorder


# --- what is right


@pytest.mark.parametrize("name", VALID)
def test_valid(twin: Any, name: str) -> None:
    case = VALID[name]
    for cuts in every_split(case.wire):
        verdict = judge(twin, case.wire, cuts, method=case.method)
        assert verdict.error is None, cuts
        assert verdict.whole, cuts
        assert verdict.events == case.events, cuts
        assert verdict.rest == b"", cuts
        assert verdict.flags == case.all_flags, cuts


@pytest.mark.parametrize("name", [name for name, case in VALID.items() if not case.flags.get("close_delimited")])
def test_trailing_bytes_are_the_rest(twin: Any, name: str) -> None:
    case = VALID[name]
    behind = b"HTTP/1.1 200 OK\r\n\r\n\x00"
    for cuts in every_split(case.wire + behind):
        verdict = judge(twin, case.wire + behind, cuts, method=case.method)
        assert (verdict.events, verdict.rest, verdict.error) == (case.events, behind, None), cuts


@pytest.mark.parametrize("name", VALID)
def test_cut_short(twin: Any, name: str) -> None:
    """Cut anywhere, feed_eof() says so without an error; only a body that ends with the connection is whole then."""
    case = VALID[name]
    least = case.wire.index(b"\r\n\r\n") + 4 if case.flags.get("close_delimited") else len(case.wire)
    for length in range(len(case.wire)):
        verdict = judge(twin, case.wire[:length], method=case.method)
        assert verdict.error is None
        assert verdict.whole is (length >= least)
        assert verdict.flags["started"] is (length > 0)
        assert (verdict.events[-1:] == [end()]) is (length >= least)


# --- what is wrong


@pytest.mark.parametrize("name", INVALID)
def test_invalid(twin: Any, name: str) -> None:
    wire, message = INVALID[name]
    wanted = judge(twin, wire)
    assert wanted.error is not None
    kind, said, limit = wanted.error
    assert (kind, limit) == ("RemoteProtocolError", "")
    assert said.startswith(message)
    assert wanted.whole is False
    for behind in (b"", b"\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"):
        for cuts in every_split(wire + behind):
            assert judge(twin, wire + behind, cuts) == wanted, (behind, cuts)


@pytest.mark.parametrize("name", INVALID)
def test_invalid_is_told_at_the_first_wrong_byte(twin: Any, name: str) -> None:
    wire, _ = INVALID[name]
    parser, _ = started(twin)
    for byte in wire[:-1]:
        parser.feed(bytes([byte]))
    with pytest.raises(RemoteProtocolError):
        parser.feed(wire[-1:])


TCHAR = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TEXT = bytes(byte for byte in range(256) if byte == 9 or (byte >= 32 and byte != 127))


@pytest.mark.parametrize(
    ("before", "behind", "allowed"),
    [
        pytest.param(b"HTTP/1.1 204 ", b"\r\n\r\n", TEXT, id="first in the reason"),
        pytest.param(b"HTTP/1.1 204 abcdefgh", b"ijklmnopq\r\n\r\n", TEXT, id="in the reason"),
        pytest.param(b"HTTP/1.1 204\r\n", b"a: b\r\n\r\n", TCHAR, id="first in a name"),
        pytest.param(b"HTTP/1.1 204\r\nabcdefgh", b"ijklmnopq: b\r\n\r\n", TCHAR + b":", id="in a name"),
        pytest.param(b"HTTP/1.1 204\r\na:", b"b\r\n\r\n", TEXT, id="first in a value"),
        pytest.param(b"HTTP/1.1 204\r\na: abcdefgh", b"ijklmnopq\r\n\r\n", TEXT, id="in a value"),
        pytest.param(b"HTTP/1.1 204\r\na: abc", b"\r\n\r\n", TEXT, id="last in a value"),
        pytest.param(CHUNKED + b"1;", b"\r\nx\r\n0\r\n\r\n", TEXT, id="first in a chunk extension"),
        pytest.param(CHUNKED + b"1;abcdefgh", b"ijklmnopq\r\nx\r\n0\r\n\r\n", TEXT, id="in a chunk extension"),
        pytest.param(CHUNKED + b"0", b"\r\n\r\n", b"0;", id="behind a chunk size"),
        pytest.param(CHUNKED + b"0\r\nabc", b"d: e\r\n\r\n", TCHAR + b":", id="in a trailer's name"),
        pytest.param(CHUNKED + b"0\r\nabc: d", b"e\r\n\r\n", TEXT, id="in a trailer's value"),
        pytest.param(CHUNKED + b"0\r\n", b"abc: d\r\n\r\n", TCHAR, id="first in a trailer"),
    ],
)
def test_all_256_bytes(twin: Any, before: bytes, behind: bytes, allowed: bytes) -> None:
    passed = b""
    for byte in range(256):
        wire = before + bytes([byte]) + behind
        verdict = judge(twin, wire)
        assert verdict == judge(twin, wire, range(1, len(wire))), byte
        if verdict.flags["done"]:
            passed += bytes([byte])
    assert passed == bytes(sorted(allowed))


COMMON = ["Age", "Date", "ETag", "Server", "Content-Type", "Content-Length", "Transfer-Encoding", "Set-Cookie", "Strict-Transport-Security"]


@pytest.mark.parametrize("name", COMMON)
def test_names_come_out_as_spelled(twin: Any, name: str) -> None:
    """One twin keeps common names ready: what only resembles one must not be taken for it."""
    spellings = {name, name.lower(), name.upper(), name.swapcase(), name[:-1], name + "s", "X" + name}
    for place in range(len(name)):
        spellings |= {name[:place] + other + name[place + 1 :] for other in ("x", "-", name[place].swapcase())}
    for spelling in sorted(spellings):
        wire = b"HTTP/1.1 204 x\r\n%b: 0\r\n\r\n" % spelling.encode()
        method = "CONNECT"  # whatever it says about framing is ignored
        assert judge(twin, wire, method=method).events[0] == head((spelling.encode(), b"0"), status=204, reason=b"x")


# --- limits: at the cap all is well, one byte further is an error, and the message says how to raise it

LIMIT_CASES = {
    # limit: (limits, a message of which the byte at the given place is the first too many)
    "head": (Limits(head=40), b"HTTP/1.1 200 OK\r\nA: " + b"x" * 100, 40),
    "head, in the reason": (Limits(head=20), b"HTTP/1.1 200 " + b"x" * 100, 20),
    "head, in a name": (Limits(head=30), b"HTTP/1.1 200 OK\r\n" + b"x" * 100, 30),
    "head, in spaces": (Limits(head=30), b"HTTP/1.1 200 OK\r\nA:" + b" " * 100, 30),
    "head, in many fields": (Limits(head=100), b"HTTP/1.1 200 OK\r\n" + b"A:\r\n" * 100, 100),
    "head, at its last byte": (Limits(head=18), b"HTTP/1.1 200 OK\r\n\r\n", 18),
    "head, of a 1xx": (Limits(head=20), b"HTTP/1.1 100 " + b"x" * 100, 20),
    "head, behind a 1xx": (Limits(head=20), b"HTTP/1.1 100\r\n\r\nHTTP/1.1 200 " + b"x" * 100, 36),
    "headers": (Limits(headers=3), b"HTTP/1.1 200 OK\r\nA:\r\nB:\r\nC:\r\nD:\r\n\r\n", 29),
    "headers, in trailers": (Limits(headers=1), CHUNKED + b"0\r\nA:\r\nB:\r\n\r\n", len(CHUNKED) + 7),
    "field, its value": (Limits(field=5), b"HTTP/1.1 200 OK\r\nA: 123456\r\n\r\n", 29),
    "field, its name": (Limits(field=5), b"HTTP/1.1 200 OK\r\nB: 12345\r\nABCDEF:\r\n\r\n", 37),
    "field, of a 1xx": (Limits(field=5), b"HTTP/1.1 103\r\nABCDEF:\r\n\r\n", 24),
    "field, longer than all before": (Limits(field=30), b"HTTP/1.1 204 x\r\nA: " + b"x" * 31 + b"\r\n\r\n", 53),
    "headers, none": (Limits(headers=0), b"HTTP/1.1 200 OK\r\nA:\r\n\r\n", 17),
    "trailers": (Limits(trailers=10), CHUNKED + b"0\r\nA: " + b"x" * 100, len(CHUNKED) + 3 + 12),
    "trailers, at the empty line": (Limits(trailers=9), CHUNKED + b"0\r\nA: 12345\r\n\r\n", len(CHUNKED) + 3 + 11),
    "trailers, none": (Limits(trailers=0), CHUNKED + b"0\r\nA: b\r\n\r\n", len(CHUNKED) + 3 + 2),
    "chunk_extensions": (Limits(chunk_extensions=10), CHUNKED + b"1;" + b"x" * 100, len(CHUNKED) + 1 + 10),
    "chunk_extensions, in spaces": (Limits(chunk_extensions=10), CHUNKED + b"1" + b" " * 100, len(CHUNKED) + 1 + 10),
    "chunk_extensions, over all chunks": (Limits(chunk_extensions=5), CHUNKED + b"1;a\r\nx\r\n" * 9, len(CHUNKED) + 8 + 8 + 2),
    "chunk_extensions, none": (Limits(chunk_extensions=0), CHUNKED + b"1;\r\n", len(CHUNKED) + 1),
    "informational": (Limits(informational=2), b"HTTP/1.1 103\r\n\r\n" * 100, 16 * 3 - 1),
    "informational, none": (Limits(informational=0), b"HTTP/1.1 100\r\n\r\n", 15),
}
MESSAGES = {
    "head": "the status line and header section are longer than {} bytes; raise it with Limits(head=...)",
    "headers": "more than {} fields in one section; raise it with Limits(headers=...)",
    "field": "the name or the value of a header field is longer than {} bytes; raise it with Limits(field=...)",
    "trailers": "the trailer section is longer than {} bytes; raise it with Limits(trailers=...)",
    "chunk_extensions": "the chunk extensions of one body are longer than {} bytes; raise it with Limits(chunk_extensions=...)",
    "informational": "more than {} informational (1xx) responses before the final one; raise it with Limits(informational=...)",
}


@pytest.mark.parametrize("name", LIMIT_CASES)
def test_limit(twin: Any, name: str) -> None:
    limits, wire, place = LIMIT_CASES[name]
    limit = name.partition(",")[0]
    parser, _ = started(twin, limits=limits)
    for byte in wire[:place]:
        parser.feed(bytes([byte]))
    with pytest.raises(LimitExceeded) as caught:
        parser.feed(wire[place : place + 1])
    assert caught.value.limit == limit
    assert str(caught.value) == MESSAGES[limit].format(getattr(limits, limit))

    wanted = judge(twin, wire[: place + 1], limits=limits)
    assert wanted.error == ("LimitExceeded", str(caught.value), limit)
    for cuts in every_split(wire):
        assert judge(twin, wire, cuts, limits=limits) == wanted, cuts


@pytest.mark.parametrize(
    ("limits", "wire"),
    [
        (Limits(head=19), b"HTTP/1.1 204 OK\r\n\r\n"),
        (Limits(head=23), b"HTTP/1.1 100 OK\r\nA:\r\n\r\nHTTP/1.1 204 OK\r\nA:\r\n\r\n"),
        (Limits(headers=0), b"HTTP/1.1 204 OK\r\n\r\n"),
        (Limits(field=0), b"HTTP/1.1 204 OK\r\n\r\n"),
        (Limits(field=5), b"HTTP/1.1 204 " + b"x" * 40 + b"\r\nABCDE: 12345\r\nA: 1234  \r\n\r\n"),
        (Limits(field=10**30), b"HTTP/1.1 204 OK\r\nA: b\r\n\r\n"),
        (Limits(headers=2), b"HTTP/1.1 103\r\nA:\r\nB:\r\n\r\nHTTP/1.1 204 OK\r\nA:\r\nB:\r\n\r\n"),
        (Limits(headers=1), CHUNKED + b"0\r\nA:\r\n\r\n"),
        (Limits(trailers=0), CHUNKED + b"0\r\n\r\n"),
        (Limits(trailers=10), CHUNKED + b"0\r\nA: 12345\r\n\r\n"),
        (Limits(chunk_extensions=0), CHUNKED + b"1\r\nx\r\n0\r\n\r\n"),
        (Limits(chunk_extensions=4), CHUNKED + b"1;a\r\nx\r\n0 ;\r\n\r\n"),
        (Limits(informational=0), b"HTTP/1.1 101\r\n\r\n"),
        (Limits(informational=2), b"HTTP/1.1 103\r\n\r\n" * 2 + b"HTTP/1.1 204\r\n\r\n"),
        (
            Limits(head=10**30, headers=10**30, trailers=10**30, chunk_extensions=10**30, informational=10**30),
            CHUNKED + b"0;\r\nA:\r\n\r\n",
        ),
    ],
)
def test_at_the_limit(twin: Any, limits: Limits, wire: bytes) -> None:
    for cuts in every_split(wire):
        verdict = judge(twin, wire, cuts, limits=limits)
        assert (verdict.error, verdict.flags["done"]) == (None, True), cuts


def test_the_first_offence_counts(twin: Any) -> None:
    """A wrong byte before the cap is told, not the cap; one that is past it is never looked at."""
    limits = Limits(head=30)
    wrong_first = b"HTTP/1.1 200 OK\r\nA: b\x00" + b"x" * 100
    cap_first = b"HTTP/1.1 200 OK\r\nA: bbbbbbbbbb\x00"
    for cuts in every_split(wrong_first):
        verdict = judge(twin, wrong_first, cuts, limits=limits)
        assert verdict.error is not None
        assert verdict.error[0] == "RemoteProtocolError"
    for cuts in every_split(cap_first):
        verdict = judge(twin, cap_first, cuts, limits=limits)
        assert verdict.error is not None
        assert verdict.error[0] == "LimitExceeded"


# --- cost, counted: in bytes allocated, never in time


@pytest.fixture
def traced() -> Iterator[Callable[[Callable[[], object]], int]]:
    """The most that a call had allocated at once, in bytes."""

    def peak(call: Callable[[], object]) -> int:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        call()
        return tracemalloc.get_traced_memory()[1] - before

    gc.collect()
    gc.disable()
    tracemalloc.start()
    yield peak
    tracemalloc.stop()
    gc.enable()


DRIPS = {
    "reason": b"HTTP/1.1 204 " + b"x" * 8192,
    "name": b"HTTP/1.1 204 OK\r\n" + b"x" * 8192,
    "value": b"HTTP/1.1 204 OK\r\nA: " + b"x" * 8192,
    "spaces": b"HTTP/1.1 204 OK\r\nA:" + b" " * 8192,
    "extension": CHUNKED + b"1;" + b"x" * 8192,
    "trailer": CHUNKED + b"0\r\nA: " + b"x" * 8192,
    "chunks": CHUNKED + b"1\r\nx\r\n" * 1400,
    "body": b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 8192,
}


class Deaf:
    def on_head(self, *head: object) -> None: ...

    def on_body(self, data: bytes) -> None: ...

    def on_end(self, trailers: object) -> None: ...


@pytest.mark.parametrize("name", DRIPS)
def test_dripping_costs_the_same_for_each_byte(twin: Any, name: str, traced: Callable[[Callable[[], object]], int]) -> None:
    """A parser that went over the head again with each byte, or copied what it had, would allocate ever more."""
    wire = DRIPS[name]
    parser = twin.ResponseParser(Deaf(), DEFAULT)
    parser.expect("GET")
    drops = [wire[i : i + 1] for i in range(len(wire))]
    costs = [traced(lambda drop=drop: parser.feed(drop)) for drop in drops]  # type: ignore[misc]
    # A growing buffer is moved now and then; all else is a few small objects.
    assert sum(cost > 2000 for cost in costs) <= 60
    assert sum(costs[-2000:]) < 2000 * 1500


@pytest.mark.parametrize("promise", [b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999999\r\n\r\n", CHUNKED + b"fffffffffffffff\r\n"])
def test_nothing_is_allocated_from_a_promise(twin: Any, promise: bytes, traced: Callable[[Callable[[], object]], int]) -> None:
    parser, recorder = started(twin)
    assert traced(lambda: parser.feed(promise + b"x")) < 50_000
    assert traced(lambda: parser.feed(b"x" * 1000)) < 50_000
    assert recorder.events[-1] == body(b"x" * 1001)
    assert parser.feed_eof() is False


def test_what_is_dripped_past_a_cap_is_not_kept(twin: Any, traced: Callable[[Callable[[], object]], int]) -> None:
    parser = twin.ResponseParser(Deaf(), Limits(head=10_000))
    parser.expect("GET")
    parser.feed(b"HTTP/1.1 200 ")

    def drip() -> None:
        with pytest.raises(LimitExceeded):
            for _ in range(1_000_000):
                parser.feed(b"x")

    assert traced(drip) < 100_000


# --- the contract


def test_one_piece_of_the_body_a_feed(twin: Any) -> None:
    calls: list[bytes] = []

    class Counting(Deaf):
        def on_body(self, data: bytes) -> None:
            calls.append(data)

    parser = twin.ResponseParser(Counting(), DEFAULT)
    parser.expect("GET")
    parser.feed(CHUNKED + b"1\r\na\r\n2\r\nbc\r\n3\r\nde")
    parser.feed(b"f\r\n")
    parser.feed(b"4\r\n")
    parser.feed(b"ghij\r\n0\r\n\r\n")
    assert calls == [b"abcde", b"f", b"ghij"]


def test_what_came_before_an_error_is_delivered(twin: Any) -> None:
    parser, recorder = started(twin)
    with pytest.raises(RemoteProtocolError):
        parser.feed(CHUNKED + b"1\r\na\r\n2\r\nbcX")
    assert recorder.events == [CHUNKED_HEAD, body(b"abc")]


def test_one_parser_for_many_responses(twin: Any) -> None:
    """Nothing of one is left in the next: neither counts nor flags nor kept bytes."""
    limits = Limits(informational=2, chunk_extensions=30, trailers=75)  # enough for each response, not for all of them
    parser, recorder = started(twin, limits=limits)
    cases = [case for case in VALID.values() if not case.flags.get("close_delimited")]
    for case, step in itertools.product(cases, (1, 7, 1000)):
        recorder.events.clear()
        parser.expect(case.method)
        assert not any((parser.started, parser.done, parser.keep_alive, parser.upgraded, parser.close_delimited))
        assert parser.content_length is None
        for piece in pieces(case.wire, range(step, len(case.wire), step)):
            parser.feed(piece)
        assert recorder.events == case.events
        assert parser.done


def test_rest(twin: Any) -> None:
    parser, recorder = started(twin)
    parser.feed(b"HTTP/1.1 204\r\n\r\nHTTP/1.1 ")
    parser.feed(b"200 OK\r\nContent-Length: 1\r\n\r\nx")
    assert recorder.events == [head(status=204, reason=b""), end()]
    # Until it is taken it stays where it is, and is never parsed by itself.
    parser.expect("GET")
    assert not parser.started
    parser.feed(parser.rest())
    assert parser.rest() == b""
    assert recorder.events[2:] == [head((b"Content-Length", b"1")), body(b"x"), end()]


def test_bytes_before_expect_are_rest(twin: Any) -> None:
    recorder = Recorder()
    parser = twin.ResponseParser(recorder, DEFAULT)
    parser.feed(b"HTTP/1.1 204\r\n\r\n")
    assert (recorder.events, parser.started, parser.done) == ([], False, False)
    assert parser.rest() == b"HTTP/1.1 204\r\n\r\n"


def test_expect_in_on_end_goes_on_with_what_stands_behind(twin: Any) -> None:
    class Pipelining(Recorder):
        def on_end(self, trailers: Fields) -> None:
            super().on_end(trailers)
            parser.expect("GET")

    recorder = Pipelining()
    parser = twin.ResponseParser(recorder, DEFAULT)
    parser.expect("GET")
    parser.feed(b"HTTP/1.1 204\r\n\r\n" * 3)
    assert recorder.events == [head(status=204, reason=b""), end()] * 3
    assert parser.rest() == b""


def test_expect_in_the_middle_is_refused(twin: Any) -> None:
    parser, _ = started(twin)
    parser.expect("HEAD")  # nothing came yet: another mind is allowed
    parser.feed(b"H")
    with pytest.raises(RuntimeError, match=r"expect\(\) in the middle of a response"):
        parser.expect("GET")
    parser.feed(b"TTP/1.1 200 OK\r\n\r\n")
    assert parser.done


@pytest.mark.parametrize("callback", ["on_head", "on_body", "on_end"])
@pytest.mark.parametrize(
    "wire", [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", CHUNKED + b"1\r\nx\r\n0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nx"]
)
def test_a_callback_that_raises_breaks_the_parser(twin: Any, callback: str, wire: bytes) -> None:
    parser, recorder = started(twin)

    def fail(*_: object) -> None:
        raise KeyboardInterrupt("mine")

    setattr(recorder, callback, fail)
    with pytest.raises(KeyboardInterrupt, match="mine"):
        parser.feed(wire)
        parser.feed_eof()
    assert_broken(parser)


def assert_broken(parser: Any) -> None:
    with pytest.raises(RemoteProtocolError, match="nothing more is parsed on this connection"):
        parser.feed(b"H")
    with pytest.raises(RemoteProtocolError, match="nothing more is parsed on this connection"):
        parser.expect("GET")


def test_after_an_error_nothing_more_is_taken(twin: Any) -> None:
    parser, recorder = started(twin)
    with pytest.raises(RemoteProtocolError, match="status line"):
        parser.feed(b"X")
    assert_broken(parser)
    assert parser.feed_eof() is False
    assert recorder.events == []


@pytest.mark.parametrize("wire", [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx"])
def test_after_a_cut_nothing_more_is_taken(twin: Any, wire: bytes) -> None:
    parser, _ = started(twin)
    parser.feed(wire)
    assert parser.feed_eof() is False
    assert_broken(parser)


@pytest.mark.parametrize("callback", ["on_head", "on_body", "on_end"])
def test_feeding_inside_a_callback_is_refused(twin: Any, callback: str) -> None:
    parser, recorder = started(twin)
    refusals = []
    usual = getattr(recorder, callback)

    def nested(*told: Any) -> None:
        usual(*told)
        for call in (lambda: parser.feed(b"x"), parser.feed_eof):
            with pytest.raises(RuntimeError, match="inside a callback of the same parser") as caught:
                call()
            refusals.append(caught.value)

    setattr(recorder, callback, nested)
    parser.feed(CHUNKED + b"1\r\nx\r\n0\r\n\r\n")
    assert len(refusals) == 2
    assert recorder.events == [CHUNKED_HEAD, body(b"x"), end()]


@pytest.mark.parametrize(
    "wrap", [bytes, bytearray, memoryview, lambda b: memoryview(bytearray(b"_" + b))[1:], lambda b: array.array("B", b)], ids=range(5)
)
def test_any_bytes_like_object(twin: Any, wrap: Any) -> None:
    for case in VALID.values():
        recorder = Recorder()
        parser = twin.ResponseParser(recorder, DEFAULT)
        parser.expect(case.method)
        parser.feed(wrap(b""))
        for piece in pieces(case.wire, range(5, len(case.wire), 5)):
            parser.feed(wrap(piece))
        parser.feed_eof()
        assert recorder.events == case.events


@pytest.mark.parametrize("data", ["HTTP", None, 7])
def test_anything_else_is_a_type_error(twin: Any, data: Any) -> None:
    parser, _ = started(twin)
    with pytest.raises(TypeError):
        parser.feed(data)
    decoder = twin.ChunkedDecoder(DEFAULT)
    with pytest.raises(TypeError):
        decoder.feed(data)
    parser.feed(b"HTTP/1.1 204\r\n\r\n")
    assert parser.done


def test_what_was_fed_is_read_during_the_call_only(twin: Any) -> None:
    """The buffer may be used again at once, also behind an error: nothing refers to it."""
    wires = [case.wire for case in VALID.values() if case.method == "GET"] + [wire for wire, _ in INVALID.values()]
    for wire, step in itertools.product(wires, (1, 11, 10_000)):
        parser, recorder = started(twin)
        wanted, error = judge(twin, wire).events, None
        buffer = bytearray()
        try:
            for piece in pieces(wire, range(step, len(wire), step)):
                buffer[:] = piece
                parser.feed(buffer)
                buffer[:] = b"\0" * len(buffer)
        except RemoteProtocolError as fault:
            error = fault
        buffer.extend(b"x" * 100)  # BufferError if someone still holds it
        parser.feed_eof()
        assert recorder.events == wanted
        del error


def test_fields_outlive_their_parser(twin: Any) -> None:
    recorder = Recorder()
    parser = twin.ResponseParser(recorder, DEFAULT)
    for number in range(3):
        parser.expect("GET")
        parser.feed(b"HTTP/1.1 200 OK\r\nA: %d\r\nContent-Length: 0\r\nX-Long: %b\r\n\r\n" % (number, b"x" * 3000 * number))
    del parser
    gc.collect()
    for number, event in enumerate(recorder.events[::2]):
        wanted = [(b"A", b"%d" % number), (b"Content-Length", b"0"), (b"X-Long", b"x" * 3000 * number)]
        assert event[4] == wanted


def test_fields_are_a_sequence(twin: Any) -> None:
    recorder = Recorder()
    parser = twin.ResponseParser(recorder, DEFAULT)
    parser.expect("GET")
    parser.feed(b"HTTP/1.1 200 OK\r\nA: 1\r\nb:\r\nA:  2 \r\nContent-Length: 0\r\n\r\n")
    fields = recorder.events[0][4]
    pairs = [(b"A", b"1"), (b"b", b""), (b"A", b"2"), (b"Content-Length", b"0")]
    assert [twin.find(fields, name) for name in (b"a", b"b", b"content-length", b"c", b"content-lengthx")] == [b"1", b"", b"0", None, None]
    assert (len(fields), list(fields), fields[1], fields[-1], fields[1:3]) == (4, pairs, pairs[1], pairs[3], pairs[1:3])
    assert (repr(fields), fields.index(pairs[2]), fields.count(pairs[0])) == (repr(pairs), 2, 1)
    assert fields == pairs
    assert pairs == fields
    assert fields != pairs[1:]
    assert pairs[0] in fields
    assert list(reversed(fields)) == pairs[::-1]
    assert copy.deepcopy(fields) == pairs
    assert pickle.loads(pickle.dumps(fields)) == pairs
    with pytest.raises(TypeError):
        hash(fields)
    with pytest.raises(IndexError):
        fields[4]


# --- chunks without a message


@pytest.mark.parametrize(
    ("wire", "data", "trailers"),
    [
        (b"0\r\n\r\n", b"", []),
        (b"1\r\na\r\n2;x\r\nbc\r\n0\r\n\r\n", b"abc", []),
        (b"3\r\nabc\r\n0\r\nA: b\r\nC:d\r\n\r\n", b"abc", [(b"A", b"b"), (b"C", b"d")]),
    ],
)
def test_chunked_decoder(twin: Any, wire: bytes, data: bytes, trailers: Fields) -> None:
    for cuts in every_split(wire + b"rest"):
        decoder = twin.ChunkedDecoder(DEFAULT)
        assert (decoder.done, decoder.trailers, decoder.feed(b"")) == (False, [], b"")
        assert b"".join(decoder.feed(piece) for piece in pieces(wire + b"rest", cuts)) == data
        assert (decoder.done, decoder.trailers, decoder.rest(), decoder.rest()) == (True, trailers, b"rest", b"")


@pytest.mark.parametrize(
    ("wire", "ends"), [(b"0\r\n\r\n", []), (b"1\r\na\r\n2;x\r\nbc\r\n0\r\n\r\n", [1, 3]), (b"a\r\n0123456789\r\n0\r\nA: b\r\n\r\n", [10])]
)
def test_ends_of_chunks_are_told_to_who_asks(twin: Any, wire: bytes, ends: list[int]) -> None:
    class Asking(Recorder):
        parser: Any

        def on_head(self, version: str, status: int, reason: bytes, fields: Fields) -> None:
            super().on_head(version, status, reason, fields)
            assert self.parser.chunk_ends is None
            self.parser.chunk_ends = self.ends = array.array("q")

    for cuts in every_split(CHUNKED + wire):
        recorder = Asking()
        parser = recorder.parser = twin.ResponseParser(recorder, DEFAULT)
        for _ in range(2):
            parser.expect("GET")
            for piece in pieces(CHUNKED + wire, cuts):
                parser.feed(piece)
            assert recorder.ends.tolist() == ends
    unasked, _ = started(twin)
    unasked.feed(CHUNKED + wire)
    assert unasked.done
    assert unasked.chunk_ends is None


@pytest.mark.parametrize("name", [name for name, (wire, _) in INVALID.items() if wire.startswith(CHUNKED)])
def test_chunked_decoder_refuses_the_same(twin: Any, name: str) -> None:
    wire, message = INVALID[name]
    wire = wire.removeprefix(CHUNKED)
    for cuts in every_split(wire):
        decoder = twin.ChunkedDecoder(DEFAULT)
        with pytest.raises(RemoteProtocolError) as caught:
            for piece in pieces(wire, cuts):
                decoder.feed(piece)
        assert str(caught.value).startswith(message)
        with pytest.raises(RemoteProtocolError, match="nothing more is parsed"):
            decoder.feed(b"0\r\n\r\n")


@pytest.mark.parametrize("limit", ["trailers", "chunk_extensions", "headers"])
def test_chunked_decoder_limits(twin: Any, limit: str) -> None:
    decoder = twin.ChunkedDecoder(replace(DEFAULT, **{limit: 1}))
    with pytest.raises(LimitExceeded) as caught:
        for byte in b"1;\r\nx\r\n1;\r\nx\r\n0\r\nA:\r\nB:\r\n\r\n":
            decoder.feed(bytes([byte]))
    assert (caught.value.limit, str(caught.value)) == (limit, MESSAGES[limit].format(1))


# --- find


FIELDS = [(b"Date", b"1"), (b"ETAG", b"2"), (b"etag", b"3"), (b"X-Long-Name", b"4"), (b"@[`{", b"5"), (b"X", b"")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"date", b"1"),
        (b"etag", b"2"),
        (b"x-long-name", b"4"),
        (b"@[`{", b"5"),
        (b"x", b""),
        (b"dat", None),
        (b"dates", None),
        (b"", None),
        (b"`{@[", None),
    ],
)
def test_find(twin: Any, name: bytes, value: bytes | None) -> None:
    assert twin.find(FIELDS, name) == value
    assert twin.find([], name) is None


def test_find_folds_letters_only(twin: Any) -> None:
    for byte in range(256):
        for other in range(256):
            wanted = b"v" if bytes([byte]).lower() == bytes([other]) else None
            assert twin.find([(bytes([byte]), b"v")], bytes([other])) == wanted


# --- the switch


def run_with(choice: str | None, code: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "AIOREQ_EXTENSIONS"}
    if choice is not None:
        environment["AIOREQ_EXTENSIONS"] = choice
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


TELL = """
import logging
logging.basicConfig(level="INFO", format="%(name)s %(levelname)s %(message)s")
import aioreq.parser as parser
print(parser.IMPLEMENTATION, parser.ResponseParser.__module__)
"""
WITHOUT = "import sys; sys.modules['aioreq._parser'] = None; " + TELL


def test_off_takes_the_pure_twin() -> None:
    ran = run_with("off", TELL)
    assert (ran.stdout, ran.stderr) == ("pure aioreq._parser_py\n", "aioreq INFO the pure parser runs\n")


@pytest.mark.parametrize("choice", [None, "", "auto"])
def test_auto_falls_back(choice: str | None) -> None:
    ran = run_with(choice, WITHOUT)
    assert (ran.stdout, ran.stderr) == ("pure aioreq._parser_py\n", "aioreq INFO the pure parser runs\n")


@pytest.mark.parametrize("choice", [None, "auto", "required"])
def test_the_compiled_twin_is_taken(choice: str | None) -> None:
    load_twin("compiled")
    ran = run_with(choice, TELL)
    assert (ran.stdout, ran.stderr) == ("compiled aioreq._parser\n", "aioreq INFO the compiled parser runs\n")


def test_required_but_missing() -> None:
    ran = run_with("required", WITHOUT)
    assert ran.returncode == 1
    assert "ImportError: AIOREQ_EXTENSIONS=required in the environment, but the compiled parser can't be imported" in ran.stderr


def test_an_unknown_choice() -> None:
    ran = run_with("yes", TELL)
    assert ran.returncode == 1
    assert "ImportError: AIOREQ_EXTENSIONS='yes' in the environment: must be auto, off or required" in ran.stderr


def test_exports() -> None:
    assert aioreq.parser.__all__ == ["IMPLEMENTATION", "ChunkedDecoder", "Receiver", "ResponseParser", "find"]
    assert all(hasattr(aioreq.parser, name) for name in aioreq.parser.__all__)
    assert OK == b"HTTP/1.1 200 OK\r\n"
