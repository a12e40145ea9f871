"""The parsers under pytest-benchmark: `make bench-parser`. What each made of the wire is checked; no test asserts a time."""

from __future__ import annotations

from typing import Any

import pytest

from .parser import CONTENDERS, WIRES

TURNS = 20


@pytest.mark.parametrize("parser", CONTENDERS)
@pytest.mark.parametrize("wire", WIRES)
def test_parser(benchmark: Any, parser: str, wire: str) -> None:
    """One response a turn; TURNS in each call, so that making the parser doesn't count."""
    pytest.importorskip(parser)
    title, data, expected, _ = WIRES[wire]
    benchmark.group = title
    benchmark.extra_info["responses a call"] = TURNS
    assert benchmark.pedantic(CONTENDERS[parser], (data, TURNS), rounds=5, warmup_rounds=1) == expected
