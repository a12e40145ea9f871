"""Header fields: what may go out (RFC 9110 sections 5.1 and 5.5), and received ones side by side with multidict's own mapping."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy, MultiDict, MultiMapping

from aioreq.errors import InvalidHeader
from aioreq.headers import checked_name, checked_value, field_pairs, text
from aioreq.response_headers import ResponseHeaders

pytestmark = pytest.mark.no_loop

TOKEN = set("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


# --- what goes out ---


@pytest.mark.parametrize("code", range(256))
def test_each_character_in_a_name(code: int) -> None:
    name = f"X{chr(code)}"
    if chr(code) in TOKEN:
        assert checked_name(name) == name
    else:
        with pytest.raises(InvalidHeader, match=rf"field name {re.escape(repr(name))}: .* at position 1 is not allowed there"):
            checked_name(name)


@pytest.mark.parametrize("code", range(256))
def test_each_character_in_a_value(code: int) -> None:
    value = f"a{chr(code)}secret"
    if code == 9 or (code >= 32 and code != 127):
        assert checked_value("X", value) == value.encode()
    else:
        with pytest.raises(InvalidHeader, match=r"value of field 'X': control character .* at position 1 is not allowed there") as caught:
            checked_value("X", value)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["\xe9", "\u0130", "\u212a", "\udcff", "X:", "X ", " X", "X\r\n", "X\r\nY: z", "X\0"])
def test_names_beyond_tokens_are_refused(name: str) -> None:
    with pytest.raises(InvalidHeader):
        checked_name(name)


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(InvalidHeader, match="an empty field name can't be sent"):
        checked_name("")
    with pytest.raises(InvalidHeader, match="an empty method can't be sent"):
        checked_name("", "method")


@pytest.mark.parametrize("value", ["", " ", "\t", " a ", "a\tb", "\xe9", "\u65e5", "\udcff\udc80", "\x80\x85\xa0", '"', "a: b"])
def test_values_go_out_as_utf_8_and_as_they_are(value: str) -> None:
    assert checked_value("X", value) == value.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize("value", ["secret\ud800", "\udfffsecret", "secret\ud83d!"])
def test_halves_of_surrogate_pairs_are_refused(value: str) -> None:
    with pytest.raises(InvalidHeader, match=r"value of field 'X': half of a surrogate pair at position \d") as caught:
        checked_value("X", value)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@given(st.binary())
@settings(deadline=None)
def test_bytes_become_text_and_the_same_bytes_again(value: bytes) -> None:
    assert text(value).encode("utf-8", "surrogateescape") == value
    if not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value):
        ((_, pair_value),) = field_pairs([("X", value)])
        assert pair_value is not None
        assert checked_value("X", pair_value) == value


# --- what users give ---


@pytest.mark.parametrize(
    ("headers", "pairs"),
    [
        (None, []),
        ({}, []),
        ((), []),
        ({"A": "b", "c": "D"}, [("A", "b"), ("c", "D")]),
        ({b"A": b"\xff"}, [("A", "\udcff")]),
        ({"A": None, "b": ""}, [("A", None), ("b", "")]),
        ([("A", "1"), ("a", "2"), ("A", "1")], [("A", "1"), ("a", "2"), ("A", "1")]),
        ([("A", b"1"), (b"B", "2"), (b"C", None)], [("A", "1"), ("B", "2"), ("C", None)]),
        (iter([("A", "1")]), [("A", "1")]),
        (CIMultiDict([("A", "1"), ("a", "2")]), [("A", "1"), ("a", "2")]),
        (CIMultiDictProxy(CIMultiDict([("A", "1"), ("a", "2")])), [("A", "1"), ("a", "2")]),
        (MultiDict([("A", "1"), ("B", "2"), ("A", "3")]), [("A", "1"), ("B", "2"), ("A", "3")]),
        (ResponseHeaders([(b"A", b"1"), (b"B", b"2"), (b"a", b"3")]), [("A", "1"), ("B", "2"), ("a", "3")]),
    ],
)
def test_field_pairs(headers: Any, pairs: list[tuple[str, str | None]]) -> None:
    assert field_pairs(headers) == pairs


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ("A: b", "headers: give a mapping or (name, value) pairs, not str"),
        (b"A: b", "headers: give a mapping or (name, value) pairs, not bytes"),
        ({"A": 1}, "value of field 'A': give str, bytes or None, not int"),
        ({"A": ["b", "c"]}, "value of field 'A': give str, bytes or None, not list"),
        ({"A": bytearray(b"b")}, "value of field 'A': give str, bytes or None, not bytearray"),
        ([(1, "b")], "field name 1: give str or bytes, not int"),
        ({None: "b"}, "field name None: give str or bytes, not NoneType"),
    ],
)
def test_headers_of_other_types_are_a_type_error(headers: Any, message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        field_pairs(headers)


# --- what comes in: ResponseHeaders beside CIMultiDictProxy ---

RAW = [
    (b"Content-Type", b"text/plain"),
    (b"Set-Cookie", b"a=1"),
    (b"set-cookie", b"b=2"),
    (b"X-Empty", b""),
    (b"SET-COOKIE", b"c=3"),
    (b"X-Twice", b"1"),
    (b"X-Twice", b"1"),
    (b"x-latin", b"caf\xe9"),
    (b"x-utf8", "caf\xe9".encode()),
]
MISSING = object()


def proxy(raw: list[tuple[bytes, bytes]]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(
        CIMultiDict([(name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape")) for name, value in raw])
    )


def outcome(act: Callable[[Any], Any], mapping: Any) -> Any:
    try:
        return act(mapping)
    except Exception as error:
        return type(error), error.args if isinstance(error, KeyError) else None


READS: dict[str, Callable[[Any, Any], Any]] = {
    "[]": lambda mapping, key: mapping[key],
    "in": lambda mapping, key: key in mapping,
    "get": lambda mapping, key: mapping.get(key),
    "get, default": lambda mapping, key: mapping.get(key, MISSING),
    "get, default=": lambda mapping, key: mapping.get(key, default="none"),
    "getone": lambda mapping, key: mapping.getone(key),
    "getone, default": lambda mapping, key: mapping.getone(key, MISSING),
    "getone, default=": lambda mapping, key: mapping.getone(key, default=None),
    "getall": lambda mapping, key: mapping.getall(key),
    "getall, default": lambda mapping, key: mapping.getall(key, MISSING),
    "getall, default=": lambda mapping, key: mapping.getall(key, default=None),
    "in keys()": lambda mapping, key: key in mapping.keys(),  # noqa: SIM118
    "(key, value) in items()": lambda mapping, key: (key, "b=2") in mapping.items(),
    "key= by name": lambda mapping, key: mapping.getall(key=key),
    "too many": lambda mapping, key: mapping.getone(key, 1, 2),
}
KEYS: list[Any] = [
    "Set-Cookie",
    "set-cookie",
    "SET-cookie",
    "content-type",
    "x-empty",
    "x-latin",
    "missing",
    "",
    "\xe9",
    "\u212a",
    "\udcff",
    "\ud800",
    b"set-cookie",
    1,
    None,
]


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_look_ups_are_those_of_multidict(read: Callable[[Any, Any], Any], key: Any) -> None:
    for raw in (RAW, []):
        expected = outcome(lambda mapping: read(mapping, key), proxy(raw))
        assert outcome(lambda mapping: read(mapping, key), ResponseHeaders(raw)) == expected
        warm = ResponseHeaders(raw)
        assert len(warm.mapping) == len(raw)  # the same once the mapping is made
        assert outcome(lambda mapping: read(mapping, key), warm) == expected


WHOLES: dict[str, Callable[[Any], Any]] = {
    "iter": list,
    "keys": lambda mapping: list(mapping.keys()),
    "values": lambda mapping: list(mapping.values()),
    "items": lambda mapping: list(mapping.items()),
    "len": len,
    "bool": bool,
    "len of views": lambda mapping: (len(mapping.keys()), len(mapping.values()), len(mapping.items())),
    "keys & set": lambda mapping: mapping.keys() & {"X-Empty", "y"},
    "value in values": lambda mapping: ("b=2" in mapping.values(), "none" in mapping.values()),
    "dict": dict,
    "dict of items": lambda mapping: dict(mapping.items()),
    "**": lambda mapping: dict(**mapping),
    "CIMultiDict": lambda mapping: list(CIMultiDict(mapping).items()),
    "copy": lambda mapping: (type(mapping.copy()), list(mapping.copy().items())),
    "hash": hash,
    "reversed": reversed,
    "set": lambda mapping: mapping.__setitem__("a", "b"),
    "del": lambda mapping: mapping.__delitem__("Set-Cookie"),
    "add": lambda mapping: mapping.add("a", "b"),
    "== dict": lambda mapping: (mapping == {"a": "b"}, mapping == {}, mapping != {}),
    "== list": lambda mapping: mapping == [],
    "== pairs": lambda mapping: mapping == proxy(RAW),
    "== other case": lambda mapping: (
        mapping == CIMultiDict([(name.decode().upper(), value.decode("utf-8", "surrogateescape")) for name, value in RAW])
    ),
    "MultiDict ==": lambda mapping: CIMultiDict({"a": "b"}) == mapping,
    "isinstance": lambda mapping: (isinstance(mapping, Mapping), isinstance(mapping, MultiMapping), isinstance(mapping, MutableMapping)),
}


@pytest.mark.parametrize("read", WHOLES.values(), ids=WHOLES)
@pytest.mark.parametrize("raw", [RAW, RAW[:1], []], ids=["all", "one", "none"])
def test_as_a_whole_they_are_those_of_multidict(read: Callable[[Any], Any], raw: list[tuple[bytes, bytes]]) -> None:
    assert outcome(read, ResponseHeaders(raw)) == outcome(read, proxy(raw))


names = st.text(st.sampled_from("aAbB-"), min_size=1, max_size=3).map(str.encode)
values = st.binary(max_size=3)


@given(st.lists(st.tuples(names, values), max_size=8), st.text(st.sampled_from("aAbB-"), max_size=3))
@settings(deadline=None)
def test_any_fields_are_those_of_multidict(raw: list[tuple[bytes, bytes]], key: str) -> None:
    ours, theirs = ResponseHeaders(raw), proxy(raw)
    for read in READS.values():
        # Each is called at once, so that the loop's variable is bound in time.
        assert outcome(lambda mapping: read(mapping, key), ours) == outcome(lambda mapping: read(mapping, key), theirs)  # noqa: B023
    assert list(ours.items()) == list(theirs.items())
    # The other way round multidict looks up each name of what is no mapping of its own, and so finds repeats to differ.
    assert ours == theirs
    assert ours == ResponseHeaders(list(raw))


def test_raw_pairs_stay_as_received() -> None:
    headers = ResponseHeaders(RAW)
    assert headers.raw == RAW
    assert headers["x-latin"] == "caf\udce9"
    assert headers["x-latin"].encode("utf-8", "surrogateescape") == b"caf\xe9"
    assert headers["x-utf8"] == "caf\xe9"


def test_a_copy_can_be_changed() -> None:
    headers = ResponseHeaders(RAW)
    changed = headers.copy()
    changed["Set-Cookie"] = "d=4"
    assert changed.getall("set-cookie") == ["d=4"]
    assert headers.getall("set-cookie") == ["a=1", "b=2", "c=3"]


def test_repr_shows_every_field() -> None:
    headers = ResponseHeaders([(b"A", b"1"), (b"a", b"\xff")])
    assert repr(headers) == r"<ResponseHeaders('A': '1', 'a': '\udcff')>"
    assert repr(ResponseHeaders([])) == "<ResponseHeaders()>"
