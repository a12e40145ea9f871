"""Two parsers, one truth: on random and mutated responses both twins, fed in any pieces, come to one and the same verdict."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wires import CHUNKED, INVALID, VALID, Recorder, judge, load_twin, pieces

from aioreq import _parser_py as pure
from aioreq.config import Limits
from aioreq.errors import ProtocolError

pytestmark = pytest.mark.no_loop


@pytest.fixture(scope="module")
def compiled() -> Any:
    return load_twin("compiled")


METHODS = st.sampled_from(["GET", "GET", "GET", "HEAD", "CONNECT", "POST"])
LIMITS = st.one_of(
    st.just(Limits()),
    st.builds(
        Limits,
        head=st.integers(0, 120),
        headers=st.integers(0, 4),
        trailers=st.integers(0, 30),
        chunk_extensions=st.integers(0, 12),
        informational=st.integers(0, 2),
    ),
)

# What a response is made of, and what mostly breaks one: mutations put these in, or single bytes.
WORDS = [
    *(b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b";", b",", b"\x00", b"\x7f", b"\xff", b"\r\n\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n"),
    *(
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 200\r\n",
        b"HTTP/1.1 103 \r\n\r\n",
        b"HTTP/1.1 101\r\n",
        b"HTTP/1.1 204 No\r\n",
        b"HTTP/1.1 304 \r\n",
    ),
    *(b"Content-Length: 5\r\n", b"content-length:0\r\n", b"Content-Length: 99999999999999999999\r\n", b"Transfer-Encoding: chunked\r\n"),
    *(
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Connection: close\r\n",
        b"Connection: keep-alive, x\r\n",
        b"A: b\r\n",
        b"X:\r\n",
        b"ffffffffffffffff",
    ),
]
SEEDS = [case.wire for case in VALID.values()] + [wire for wire, _ in INVALID.values()]
composed = st.lists(st.one_of(st.sampled_from(WORDS), st.sampled_from(WORDS), st.binary(max_size=6)), max_size=14).map(b"".join)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    wire = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(wire)))
        until = at + draw(st.integers(0, 3))
        wire[at:until] = draw(st.one_of(st.just(b""), st.sampled_from(WORDS), st.binary(max_size=3)))
    return bytes(wire)


WIRES = st.one_of(composed, mutated(), st.tuples(mutated(), composed).map(b"".join))


@settings(max_examples=1500, deadline=None)
@given(wire=WIRES, method=METHODS, limits=LIMITS, data=st.data())
def test_one_verdict(compiled: Any, wire: bytes, method: str, limits: Limits, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    wanted = judge(pure, wire, method=method, limits=limits)
    assert judge(compiled, wire, method=method, limits=limits) == wanted
    for twin in (pure, compiled):
        assert judge(twin, wire, cuts, method=method, limits=limits) == wanted
        assert judge(twin, wire, range(1, len(wire)), method=method, limits=limits) == wanted


@settings(max_examples=500, deadline=None)
@given(wire=st.one_of(composed, mutated().map(lambda wire: wire.removeprefix(CHUNKED))), limits=LIMITS, data=st.data())
def test_one_verdict_on_chunks(compiled: Any, wire: bytes, limits: Limits, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))

    def outcome(twin: Any) -> tuple[object, ...]:
        decoder = twin.ChunkedDecoder(limits)
        ends: list[int] = []
        decoder.ends = ends
        decoded = b""
        error = None
        try:
            for piece in pieces(wire, cuts):
                decoded += decoder.feed(piece)
        except ProtocolError as fault:
            error = (type(fault), str(fault))
        return decoded, error, decoder.done, decoder.trailers, decoder.rest(), ends

    assert outcome(compiled) == outcome(pure)


# The compiled twin decides the usual cases itself, and passes words of eight bytes at once: both at all their edges.

LENGTHS = [b"0", b"5", b"007", b"", b"5x", b"-1", b"+5", b"5 5", b"5,5", b"\xb2", b"9" * 18, b"9" * 19]
SAID: list[tuple[bytes, ...]] = [
    (),
    *((b"Content-Length: " + value,) for value in LENGTHS),
    *((b"Transfer-Encoding:" + value,) for value in (b"chunked", b"\tCHUNKED ", b"chunkee", b"xchunked", b"")),
    (b"CONTENT-length: 5", b"content-length: 5"),
    (b"Content-Length: 5", b"transfer-encoding: chunked"),
    (b"transfer-encoding: chunked", b"Transfer-Encoding: chunked"),
    *((name + b": 5",) for name in (b"xontent-Length", b"Content.Length", b"Content-Lengtx", b"Content-LengtH")),
    *((name + b": chunked",) for name in (b"xransfer-Encoding", b"Transfer-xncoding", b"Transfer-Encodinx")),
]
OPTIONS: list[tuple[bytes, ...]] = [
    (),
    *((b"Connection:" + value,) for value in (b"keep-alive", b" KEEP-ALIVE\t", b"close", b"keep-alivf", b"keep-alive, close", b"")),
    (b"Connection: keep-alive", b"connection: close"),
    (b"connection: keep-alive", b"CONNECTION: keep-alive"),
    (b"Connectiox: close", b"Xonnection: close"),
]


@pytest.mark.parametrize("method", ["GET", "HEAD", "CONNECT"])
def test_framing_is_one(compiled: Any, method: str) -> None:
    statuses = [b"100", b"101", b"200", b"204", b"205", b"299", b"300", b"304", b"599"]
    for version, status, said, options in product((b"1.0", b"1.1"), statuses, SAID, OPTIONS):
        wire = b"HTTP/%b %b\r\n%b\r\n0\r\n\r\n" % (version, status, b"".join(line + b"\r\n" for line in (*options, *said)))
        assert judge(compiled, wire, method=method) == judge(pure, wire, method=method), wire


@pytest.mark.parametrize("length", range(1, 20))
def test_each_byte_at_each_place(compiled: Any, length: int) -> None:
    for byte, at, behind in product(range(256), {0, length // 2, length - 1}, (b"", b"Date: x\r\n")):
        word = b"x" * at + bytes([byte]) + b"x" * (length - at - 1)
        for line in (b"%b: b\r\n" % word, b"A:%b\r\n" % word):
            wire = b"HTTP/1.1 200 %b\r\n%b%b\r\n" % (b"" if at else word, line, behind)
            assert judge(compiled, wire) == judge(pure, wire), wire


@pytest.mark.parametrize("count", [1, 15, 16, 17, 33, 100])
def test_many_fields_in_pieces(compiled: Any, count: int) -> None:
    fields = [(b"X-%d" % number, b"v" * (number % 23)) for number in range(count)]
    wire = b"HTTP/1.1 204 \r\n%b\r\n" % b"".join(b"%b:  %b \t\r\n" % field for field in fields)
    for step in (1, 2, 7, 100, len(wire)):
        for twin in (pure, compiled):
            verdict = judge(twin, wire, range(step, len(wire), step))
            assert verdict.events[0][4] == fields
            assert [twin.find(verdict.events[0][4], name.lower()) for name, _ in fields] == [value for _, value in fields]


def test_reasons_one_after_another(compiled: Any) -> None:
    reasons = [b" OK", b" OK", b"", b" ", b" Okay", b" OKAY", b" OK", b" Not Found", b""]
    for twin, step in product((pure, compiled), (1, 14, 100)):
        recorder = Recorder()
        parser = twin.ResponseParser(recorder, Limits())
        for reason in reasons:
            parser.expect("GET")
            wire = b"HTTP/1.1 200%b\r\nContent-Length: 0\r\n\r\n" % reason
            for piece in pieces(wire, range(step, len(wire), step)):
                parser.feed(piece)
        assert [event[3] for event in recorder.events if event[0] == "head"] == [reason[1:] for reason in reasons]


@settings(max_examples=300, deadline=None)
@given(
    fields=st.lists(st.tuples(st.binary(max_size=4) | st.sampled_from([b"Date", b"DATE", b"x"]), st.binary(max_size=2)), max_size=6),
    name=st.binary(max_size=4).map(bytes.lower) | st.just(b"date"),
)
def test_find_is_one(compiled: Any, fields: list[tuple[bytes, bytes]], name: bytes) -> None:
    assert compiled.find(fields, name) == pure.find(fields, name) == next((value for key, value in fields if key.lower() == name), None)
