"""Two parsers, one truth: on random and mutated responses both twins, fed in any pieces, come to one and the same verdict."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wires import CHUNKED, INVALID, VALID, judge, load_twin, pieces

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
        decoded = b""
        error = None
        try:
            for piece in pieces(wire, cuts):
                decoded += decoder.feed(piece)
        except ProtocolError as fault:
            error = (type(fault), str(fault))
        return decoded, error, decoder.done, decoder.trailers, decoder.rest()

    assert outcome(compiled) == outcome(pure)


@settings(max_examples=300, deadline=None)
@given(
    fields=st.lists(st.tuples(st.binary(max_size=4) | st.sampled_from([b"Date", b"DATE", b"x"]), st.binary(max_size=2)), max_size=6),
    name=st.binary(max_size=4).map(bytes.lower) | st.just(b"date"),
)
def test_find_is_one(compiled: Any, fields: list[tuple[bytes, bytes]], name: bytes) -> None:
    assert compiled.find(fields, name) == pure.find(fields, name) == next((value for key, value in fields if key.lower() == name), None)
