"""The decisions of RFC 9112 as tables, in the plain module and in the copy that the compiled parser holds."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from wires import TWINS, load_twin

from aioreq import framing
from aioreq.config import Limits
from aioreq.errors import LimitExceeded, RemoteProtocolError

pytestmark = pytest.mark.no_loop


@pytest.fixture(params=TWINS)
def rules(request: pytest.FixtureRequest) -> Any:
    return load_twin("compiled") if request.param == "compiled" else importlib.import_module("aioreq.framing")


KINDS = {
    framing.INFORMATIONAL: "another head",
    framing.EMPTY: "empty",
    framing.UPGRADED: "upgraded",
    framing.SIZED: "sized",
    framing.CHUNKED: "chunked",
    framing.UNTIL_CLOSE: "until close",
}
NO: list[bytes] = []
FIVE = [b"5"]
CHUNKED = [b"chunked"]
CLOSE = [b"close"]
STAY = [b"keep-alive"]


@pytest.mark.parametrize(
    ("method", "status", "minor", "lengths", "codings", "connection", "decision"),
    [
        # RFC 9112 section 6.3, rule by rule
        ("HEAD", 200, 1, FIVE, NO, NO, ("empty", 5, True)),
        ("HEAD", 200, 1, NO, CHUNKED, NO, ("empty", None, True)),
        ("HEAD", 200, 1, NO, NO, NO, ("empty", None, True)),
        ("HEAD", 200, 0, NO, NO, NO, ("empty", None, False)),
        ("GET", 204, 1, NO, NO, NO, ("empty", None, True)),
        ("GET", 304, 1, FIVE, NO, NO, ("empty", 5, True)),
        ("GET", 304, 1, FIVE, CHUNKED, NO, ("empty", None, False)),
        ("GET", 100, 1, FIVE, NO, CLOSE, ("another head", None, False)),
        ("GET", 199, 1, NO, CHUNKED, NO, ("another head", None, False)),
        ("CONNECT", 103, 1, NO, NO, NO, ("another head", None, False)),
        ("GET", 101, 1, FIVE, NO, STAY, ("upgraded", None, False)),
        ("CONNECT", 200, 1, NO, NO, NO, ("upgraded", None, False)),
        ("CONNECT", 204, 0, [b"x", b"y"], [b"gzip"], STAY, ("upgraded", None, False)),
        ("CONNECT", 299, 1, FIVE, NO, NO, ("upgraded", None, False)),
        ("CONNECT", 300, 1, FIVE, NO, NO, ("sized", 5, True)),
        ("CONNECT", 407, 1, NO, CHUNKED, NO, ("chunked", None, True)),
        ("GET", 200, 1, NO, CHUNKED, NO, ("chunked", None, True)),
        ("GET", 200, 1, NO, CHUNKED, CLOSE, ("chunked", None, False)),
        ("GET", 200, 1, FIVE, CHUNKED, STAY, ("chunked", None, False)),
        ("GET", 200, 1, FIVE, NO, NO, ("sized", 5, True)),
        ("GET", 200, 1, [b"0"], NO, NO, ("sized", 0, True)),
        ("GET", 205, 1, FIVE, NO, NO, ("sized", 5, True)),
        ("GET", 200, 0, FIVE, NO, NO, ("sized", 5, False)),
        ("GET", 200, 0, FIVE, NO, STAY, ("sized", 5, True)),
        ("GET", 200, 1, NO, NO, NO, ("until close", None, False)),
        ("GET", 200, 1, NO, NO, STAY, ("until close", None, False)),
        ("GET", 404, 0, NO, NO, STAY, ("until close", None, False)),
        ("connect", 200, 1, FIVE, NO, NO, ("sized", 5, True)),
    ],
)
def test_decide(
    rules: Any,
    method: str,
    status: int,
    minor: int,
    lengths: list[bytes],
    codings: list[bytes],
    connection: list[bytes],
    decision: tuple[str, int | None, bool],
) -> None:
    kind, length, keep_alive = rules.decide(method, status, minor, lengths, codings, connection)
    assert (KINDS[kind], length, keep_alive) == decision
    assert type(keep_alive) is bool


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", [100, 101, 200, 204, 304, 500])
@pytest.mark.parametrize(
    ("minor", "lengths", "codings"),
    [(1, [b"x"], NO), (1, [b"5", b"5"], NO), (1, [b"x"], CHUNKED), (1, NO, [b"gzip"]), (1, FIVE, [b"gzip"]), (0, NO, CHUNKED)],
)
def test_faulty_framing_is_refused_where_there_is_no_body_too(
    rules: Any, method: str, status: int, minor: int, lengths: list[bytes], codings: list[bytes]
) -> None:
    with pytest.raises(RemoteProtocolError, match=r"Content-Length|Transfer-Encoding"):
        rules.decide(method, status, minor, lengths, codings, NO)


@pytest.mark.parametrize(("value", "length"), [(b"0", 0), (b"00", 0), (b"42", 42), (b"9" * 18, 10**18 - 1), (b"0" * 17 + b"1", 1)])
def test_declared_length(rules: Any, value: bytes, length: int) -> None:
    assert rules.declared_length([value]) == length


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"+1",
        b"-1",
        b"1_0",
        b"0x1",
        b" 1",
        b"1 ",
        b"1,1",
        b"1, 1",
        b"1.0",
        b"1e3",
        b"\xb2",
        b"\xd9\xa1",
        b"\x001",
        b"1" * 19,
        b"0" * 19,
    ],
)
def test_refused_lengths(rules: Any, value: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match=r"^Content-Length "):
        rules.declared_length([value])


@pytest.mark.parametrize(
    ("connection", "http11", "http10"),
    [
        ([], True, False),
        ([b""], True, False),
        ([b"close"], False, False),
        ([b"CLOSE"], False, False),
        ([b"keep-alive"], True, True),
        ([b"Keep-Alive"], True, True),
        ([b"keep-alive, close"], False, False),
        ([b"close", b"keep-alive"], False, False),
        ([b"upgrade ,\tclose\t,,"], False, False),
        ([b"x", b"y,keep-alive"], True, True),
        ([b"closed, keep-alives"], True, False),
        ([b"clo", b"se"], True, False),
        ([b'"close"'], True, False),
    ],
)
def test_persistent(rules: Any, connection: list[bytes], http11: bool, http10: bool) -> None:
    assert (rules.persistent(1, connection), rules.persistent(0, connection)) == (http11, http10)


@pytest.mark.parametrize("limit", ["head", "headers", "trailers", "chunk_extensions", "informational"])
def test_a_limit_is_named_with_the_way_to_raise_it(rules: Any, limit: str) -> None:
    cap = getattr(Limits(), limit)
    error = rules.limit_exceeded(limit, cap)
    assert isinstance(error, LimitExceeded)
    assert error.limit == limit
    assert f" {cap} " in str(error)
    assert str(error).endswith(f"; raise it with Limits({limit}=...)")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"", "''"),
        (b"a'b", '"a\'b"'),
        (b"\x00\xff", "'\\x00\\xff'"),
        (b"x" * 40, "'" + "x" * 40 + "'"),
        (b"x" * 41, "'" + "x" * 40 + "'... (41 bytes)"),
    ],
)
def test_values_are_shown_in_part_and_printable(rules: Any, value: bytes, shown: str) -> None:
    assert rules.shown(value) == shown


def test_both_copies_are_one_text() -> None:
    compiled = load_twin("compiled")
    plain = {name: value for name, value in vars(framing).items() if not name.startswith("__") and not callable(value)}
    assert {"TOKEN", "TEXT", "VERSIONS", "MAX_SIZE_DIGITS", "_LIMITS"} <= plain.keys()
    # The outcomes are C integers there, and so no attributes.
    for name in plain.keys() - {"INFORMATIONAL", "EMPTY", "UPGRADED", "SIZED", "CHUNKED", "UNTIL_CLOSE"}:
        assert getattr(compiled, name) == plain[name]
