"""The two ends of the usual WebSocket frame, compiled and pure: the same bytes, the same messages, the same place to go on from."""

from __future__ import annotations

import itertools
import os
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from websocket_server import frame, masking
from wires import TWINS, load_twin

import aioreq._frames_py

pytestmark = pytest.mark.no_loop


@pytest.fixture(params=TWINS)
def twin(request: pytest.FixtureRequest) -> Any:
    return load_twin("compiled") if request.param == "compiled" else aioreq._frames_py


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 125, 126, 127, 1000, 65535, 65536, 70_001])
def test_what_is_sent(twin: Any, size: int) -> None:
    payload = os.urandom(size)
    for given in (payload, bytearray(payload), memoryview(b"a" + payload + b"b")[1:-1]):
        made = twin.framed(0x82, given)
        head = bytes([0x82]) + frame(2, payload)[1 : 2 if size < 126 else 4 if size < 65536 else 10]
        head = head[:1] + bytes([head[1] | 0x80]) + head[2:]
        assert made.startswith(head)
        key, rest = made[len(head) : len(head) + 4], made[len(head) + 4 :]
        assert masking(rest, key) == payload


def test_no_key_twice(twin: Any) -> None:
    keys = [twin.framed(0x82, b"")[2:] for _ in range(2000)]
    assert len(set(keys)) > 1995
    twin.forget_keys()
    assert len(twin.framed(0x82, b"")) == 6


MESSAGES = [
    *(frame(1, b"a"), frame(2, b""), frame(1, b"b" * 125), frame(2, b"c" * 126), frame(2, b"d" * 300)),
    *(frame(1, b"e", fin=False), frame(0, b"f"), frame(9, b"g"), frame(1, b"h", rsv=4), frame(2, b"i" * 70_000)),
    *(frame(2, b"j", bits=16), frame(1, b"k", mask=b"abcd"), frame(1, b"l", bits=64)),
]
USUAL, SIZES = 5, (1, 0, 125, 126, 300)


def collect(got: list[Any], *piece: Any) -> None:
    got.append(piece)


@pytest.mark.parametrize("most", [0, 125, 126, 299, 300, 1 << 63])
def test_what_comes(twin: Any, most: int) -> None:
    """At every cut: the messages that are whole and usual, and where the first other one begins."""
    usual = MESSAGES[:USUAL]
    for other in MESSAGES[USUAL:]:
        data = b"".join(usual) + other
        ends = list(itertools.accumulate(map(len, usual)))
        for cut in range(min(len(data), ends[-1] + 20)):
            got: list[Any] = []
            at = twin.hand_on_whole(bytearray(data), 0, cut, most, partial(collect, got))
            wanted = [
                (one[0] & 15, one[-size:] if size else b"", True, False) for one, size in zip(usual, (1, 0, 125, 126, 300), strict=True)
            ]
            count = 0
            # A message of one byte takes 3: with fewer than 4 left the general way looks.
            while count < USUAL and ends[count] <= cut and len(wanted[count][1]) <= most:
                if cut - (ends[count - 1] if count else 0) < 4:
                    break
                count += 1
            assert (got, at) == (wanted[:count], ends[count - 1] if count else 0)


@pytest.mark.parametrize("size", [65536, 70_000])
def test_large_ones(twin: Any, size: int) -> None:
    """Those with a length of 64 bits, too, are copied but once: where they are whole, and no longer than allowed."""
    payload = os.urandom(size)
    data = frame(1, b"before") + frame(2, payload) + frame(1, b"after")
    first, end = 2 + len(b"before"), 2 + len(b"before") + 10 + size
    large = (2, payload, True, False)
    got: list[Any] = []
    assert twin.hand_on_whole(data, 0, len(data), 1 << 63, partial(collect, got)) == len(data)
    assert got == [(1, b"before", True, False), large, (1, b"after", True, False)]
    for cut in (*range(first, first + 11), end - 1, end):
        got = []
        assert twin.hand_on_whole(data, 0, cut, size, partial(collect, got)) == (end if cut == end else first)
        assert got[1:] == ([large] if cut == end else [])
    assert twin.hand_on_whole(data, first, end, size - 1, partial(collect, got)) == first


@pytest.mark.parametrize("length", [0, 125, 65535, 1 << 63, (1 << 64) - 1])
def test_a_length_of_64_bits_that_is_not_as_it_should_be(twin: Any, length: int) -> None:
    data = b"\x82\x7f" + length.to_bytes(8, "big") + bytes(70_000)
    assert twin.hand_on_whole(data, 0, len(data), 1 << 63, partial(collect, [])) == 0


def test_misuse(twin: Any) -> None:
    with pytest.raises(ValueError, match="more bytes"):
        twin.hand_on_whole(b"abc", 0, 4, 10, SimpleNamespace())
    with pytest.raises(ValueError, match="more bytes"):
        twin.hand_on_whole(b"abc", -1, 3, 10, SimpleNamespace())

    def failing(*piece: Any) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        twin.hand_on_whole(frame(1, b"abc"), 0, 5, 10, failing)
    with pytest.raises(TypeError):
        twin.framed(0x81, "text")
