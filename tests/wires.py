"""Responses as they stand on the wire, right and wrong, and what a parser makes of them: for the tests of both twins.

Knows the parser's contract (`aioreq/parser.py`), and nothing of how a twin keeps it.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from aioreq.config import Limits
from aioreq.headers import Fields

TWINS = ["compiled", "pure"]
DEFAULT = Limits()


def load_twin(name: str) -> Any:
    """The module of one twin. Where the compiled one wasn't built the test is skipped, unless the environment requires it."""
    if name == "pure":
        return importlib.import_module("aioreq._parser_py")
    try:
        return importlib.import_module("aioreq._parser")
    except ImportError:
        if os.environ.get("AIOREQ_EXTENSIONS") == "required":
            raise
        pytest.skip("the compiled parser isn't built")


Event = tuple[Any, ...]


class Recorder:
    """A receiver that writes down what it is told; neighbouring pieces of a body are one."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def on_head(self, version: str, status: int, reason: bytes, fields: Fields) -> None:
        assert type(version) is str
        assert all(type(part) is bytes for part in (reason, *(part for pair in fields for part in pair)))
        self.events.append(("head", version, status, reason, fields))

    def on_body(self, data: bytes) -> None:
        assert type(data) is bytes
        assert data
        if self.events[-1][0] == "body":
            self.events[-1] = ("body", self.events[-1][1] + data)
        else:
            self.events.append(("body", data))

    def on_end(self, trailers: Fields) -> None:
        self.events.append(("end", trailers))


@dataclass(frozen=True)
class Verdict:
    """All that can be seen of a parser that was fed one response."""

    events: list[Event]
    error: tuple[str, str, str] | None  # class, message, name of the limit
    whole: bool  # what feed_eof() said
    rest: bytes
    flags: dict[str, object]


def pieces(wire: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    last = 0
    for cut in (*cuts, len(wire)):
        yield wire[last:cut]
        last = cut


def judge(twin: Any, wire: bytes, cuts: Iterable[int] = (), *, method: str = "GET", limits: Limits = DEFAULT) -> Verdict:
    recorder = Recorder()
    parser = twin.ResponseParser(recorder, limits)
    parser.expect(method)
    error = None
    try:
        for piece in pieces(wire, cuts):
            parser.feed(piece)
    except Exception as fault:
        error = (type(fault).__name__, str(fault), getattr(fault, "limit", ""))
    rest = parser.rest()
    names = ("started", "done", "keep_alive", "upgraded", "close_delimited", "content_length")
    before = {name: getattr(parser, name) for name in names}
    whole = parser.feed_eof()
    return Verdict(recorder.events, error, whole, rest, before)


def every_split(wire: bytes) -> Iterator[tuple[int, ...]]:
    """Whole, byte by byte, and cut in two at each place."""
    yield ()
    yield tuple(range(1, len(wire)))
    for cut in range(1, len(wire)):
        yield (cut,)


@dataclass(frozen=True)
class Valid:
    """`method`'s response and the events it gives; `flags` only where they differ from a message that keeps its connection."""

    wire: bytes
    events: list[Event]
    method: str = "GET"
    flags: dict[str, object] = field(default_factory=dict)

    @property
    def all_flags(self) -> dict[str, object]:
        usual: dict[str, object] = {"keep_alive": True, "upgraded": False, "close_delimited": False, "content_length": None}
        return usual | self.flags | {"started": True, "done": not self.flags.get("close_delimited")}


def head(*fields: tuple[bytes, bytes], status: int = 200, reason: bytes = b"OK", version: str = "1.1") -> Event:
    return ("head", version, status, reason, list(fields))


def body(data: bytes) -> Event:
    return ("body", data)


def end(*trailers: tuple[bytes, bytes]) -> Event:
    return ("end", list(trailers))


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED_HEAD = head((b"Transfer-Encoding", b"chunked"))

VALID = {
    # --- RFC 9112 section 6.3: where the body ends
    "length": Valid(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        [head((b"Content-Length", b"5")), body(b"hello"), end()],
        flags={"content_length": 5},
    ),
    "length of nothing": Valid(
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", [head((b"Content-Length", b"0")), end()], flags={"content_length": 0}
    ),
    "length with leading zeros, 18 digits": Valid(
        b"HTTP/1.1 200 OK\r\ncontent-length:000000000000000002\r\n\r\nhi",
        [head((b"content-length", b"000000000000000002")), body(b"hi"), end()],
        flags={"content_length": 2},
    ),
    "a binary body": Valid(
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n\x00\r\n\r\n\xff",
        [head((b"Content-Length", b"6")), body(b"\x00\r\n\r\n\xff"), end()],
        flags={"content_length": 6},
    ),
    "until close": Valid(
        b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nall there is",
        [head((b"A", b"b")), body(b"all there is"), end()],
        flags={"close_delimited": True, "keep_alive": False},
    ),
    "until close, keep-alive or not": Valid(
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nx",
        [head((b"Connection", b"keep-alive"), version="1.0"), body(b"x"), end()],
        flags={"close_delimited": True, "keep_alive": False},
    ),
    "until close, nothing": Valid(b"HTTP/1.1 200 OK\r\n\r\n", [head(), end()], flags={"close_delimited": True, "keep_alive": False}),
    "204": Valid(b"HTTP/1.1 204 No Content\r\n\r\n", [head(status=204, reason=b"No Content"), end()]),
    "204 that names a length": Valid(
        b"HTTP/1.1 204 \r\nContent-Length: 5\r\n\r\n",
        [head((b"Content-Length", b"5"), status=204, reason=b""), end()],
        flags={"content_length": 5},
    ),
    "304 that names a length": Valid(
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        [head((b"Content-Length", b"5"), status=304, reason=b"Not Modified"), end()],
        flags={"content_length": 5},
    ),
    "304 that says chunked": Valid(
        b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
        [head((b"Transfer-Encoding", b"chunked"), status=304, reason=b"Not Modified"), end()],
    ),
    "HEAD with a length": Valid(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", [head((b"Content-Length", b"5")), end()], "HEAD", {"content_length": 5}
    ),
    "HEAD with chunked": Valid(CHUNKED, [CHUNKED_HEAD, end()], "HEAD"),
    "HEAD with neither": Valid(b"HTTP/1.1 200 OK\r\n\r\n", [head(), end()], "HEAD"),
    "head is not HEAD": Valid(
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        [head((b"Content-Length", b"1")), body(b"x"), end()],
        "head",
        {"content_length": 1},
    ),
    "CONNECT, 2xx": Valid(b"HTTP/1.1 200 OK\r\n\r\n", [head(), end()], "CONNECT", {"upgraded": True, "keep_alive": False}),
    "CONNECT, 2xx, what it says about framing ignored": Valid(
        b"HTTP/1.1 299 \r\nContent-Length: 5, x\r\nTransfer-Encoding: gzip\r\n\r\n",
        [head((b"Content-Length", b"5, x"), (b"Transfer-Encoding", b"gzip"), status=299, reason=b""), end()],
        "CONNECT",
        {"upgraded": True, "keep_alive": False},
    ),
    "CONNECT, refused": Valid(
        b"HTTP/1.1 407 Who?\r\nContent-Length: 2\r\n\r\nno",
        [head((b"Content-Length", b"2"), status=407, reason=b"Who?"), body(b"no"), end()],
        "CONNECT",
        {"content_length": 2},
    ),
    "101": Valid(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        [head((b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), status=101, reason=b"Switching Protocols"), end()],
        flags={"upgraded": True, "keep_alive": False},
    ),
    # --- 1xx before the final response (RFC 9110 section 15.2)
    "100, then the response": Valid(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        [head(status=100, reason=b"Continue"), head((b"Content-Length", b"2")), body(b"hi"), end()],
        flags={"content_length": 2},
    ),
    "103 twice with fields, framing in it ignored": Valid(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 9\r\n\r\nHTTP/1.1 103\r\nConnection: close\r\n\r\nHTTP/1.1 204\r\n\r\n",
        [
            head((b"Link", b"</a>"), (b"Content-Length", b"9"), status=103, reason=b"Early Hints"),
            head((b"Connection", b"close"), status=103, reason=b""),
            head(status=204, reason=b""),
            end(),
        ],
    ),
    "103 for a HEAD": Valid(b"HTTP/1.1 103\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", [head(status=103, reason=b""), head(), end()], "HEAD"),
    # --- status line (RFC 9112 section 4)
    "no space behind the status code": Valid(b"HTTP/1.1 204\r\n\r\n", [head(status=204, reason=b""), end()]),
    "a space behind the status code": Valid(b"HTTP/1.1 204 \r\n\r\n", [head(status=204, reason=b""), end()]),
    "a reason of spaces, tab, obs-text": Valid(b"HTTP/1.1 204  a\tb \xe9 \r\n\r\n", [head(status=204, reason=b" a\tb \xe9 "), end()]),
    "status 599": Valid(
        b"HTTP/1.1 599 x\r\nContent-Length: 0\r\n\r\n",
        [head((b"Content-Length", b"0"), status=599, reason=b"x"), end()],
        flags={"content_length": 0},
    ),
    # --- fields (RFC 9112 section 5)
    "spaces and tabs round a value": Valid(
        b"HTTP/1.1 204\r\nA: \t b \t c\t \r\nB:\r\nC: \t \r\nD:d\r\n\r\n",
        [head((b"A", b"b \t c"), (b"B", b""), (b"C", b""), (b"D", b"d"), status=204, reason=b""), end()],
    ),
    "names as spelled, repeats in order": Valid(
        b"HTTP/1.1 204\r\nset-COOKIE: a\r\nSet-Cookie: b\r\n!#$%&'*+-.^_`|~09: c\r\n\r\n",
        [head((b"set-COOKIE", b"a"), (b"Set-Cookie", b"b"), (b"!#$%&'*+-.^_`|~09", b"c"), status=204, reason=b""), end()],
    ),
    "obs-text and colons in a value": Valid(
        b"HTTP/1.1 204\r\nA: \xff: \x80:\r\n\r\n", [head((b"A", b"\xff: \x80:"), status=204, reason=b""), end()]
    ),
    # --- keep-alive (RFC 9112 section 9.3)
    "1.1 that closes": Valid(
        b"HTTP/1.1 204\r\nConnection: Close\r\n\r\n",
        [head((b"Connection", b"Close"), status=204, reason=b""), end()],
        flags={"keep_alive": False},
    ),
    "1.0": Valid(
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        [head((b"Content-Length", b"0"), version="1.0"), end()],
        flags={"keep_alive": False, "content_length": 0},
    ),
    "1.0 that stays": Valid(
        b"HTTP/1.0 200 OK\r\nConnection: x , KEEP-alive\r\nContent-Length: 1\r\n\r\nx",
        [head((b"Connection", b"x , KEEP-alive"), (b"Content-Length", b"1"), version="1.0"), body(b"x"), end()],
        flags={"content_length": 1},
    ),
    "close in the second field": Valid(
        b"HTTP/1.1 204\r\nConnection: keep-alive\r\nConnection: x,\tclose\r\n\r\n",
        [head((b"Connection", b"keep-alive"), (b"Connection", b"x,\tclose"), status=204, reason=b""), end()],
        flags={"keep_alive": False},
    ),
    "closed is not close": Valid(
        b"HTTP/1.1 204\r\nConnection: closed, not-close\r\n\r\n",
        [head((b"Connection", b"closed, not-close"), status=204, reason=b""), end()],
    ),
    # --- chunks (RFC 9112 section 7.1)
    "chunks": Valid(CHUNKED + b"5\r\nhello\r\n1\r\n \r\n00A\r\n0123456789\r\n0\r\n\r\n", [CHUNKED_HEAD, body(b"hello 0123456789"), end()]),
    "no chunk but the last": Valid(CHUNKED + b"0\r\n\r\n", [CHUNKED_HEAD, end()]),
    "chunk sizes in either case, 15 digits, zeros": Valid(
        CHUNKED + b"00000000000000a\r\n0123456789\r\nB\r\n0123456789\x00\r\n000\r\n\r\n",
        [CHUNKED_HEAD, body(b"01234567890123456789\x00"), end()],
    ),
    "chunk extensions": Valid(
        CHUNKED + b'1;a=b;c="d \t\xff"\r\nx\r\n1 \t;  e\r\ny\r\n1\r\nz\r\n0;last\r\n\r\n', [CHUNKED_HEAD, body(b"xyz"), end()]
    ),
    "trailers": Valid(
        CHUNKED + b"1\r\nx\r\n0\r\nDigest: abc\r\nX: \r\n\r\n", [CHUNKED_HEAD, body(b"x"), end((b"Digest", b"abc"), (b"X", b""))]
    ),
    "trailers that look like framing change nothing": Valid(
        CHUNKED + b"0\r\nContent-Length: 5\r\nTransfer-Encoding: gzip\r\nConnection: close\r\n\r\n",
        [CHUNKED_HEAD, end((b"Content-Length", b"5"), (b"Transfer-Encoding", b"gzip"), (b"Connection", b"close"))],
    ),
    "Chunked in another case": Valid(
        b"HTTP/1.1 200 OK\r\ntransfer-ENCODING:CHUNKED \r\n\r\n1\r\nx\r\n0\r\n\r\n",
        [head((b"transfer-ENCODING", b"CHUNKED")), body(b"x"), end()],
    ),
    "chunked and a length: by chunks, then close": Valid(
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        [head((b"Content-Length", b"3"), (b"Transfer-Encoding", b"chunked")), body(b"x"), end()],
        flags={"keep_alive": False},
    ),
    "HEAD with chunked and a length: closed too": Valid(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        [head((b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"3")), end()],
        "HEAD",
        {"keep_alive": False},
    ),
}

OK = b"HTTP/1.1 200 OK\r\n"

# Each wire ends with the byte at which its error is certain; what stands right of it is part of the message.
INVALID = {
    # --- status line
    "empty line first": (b"\r", "status line, position 0: the response must begin with 'HTTP/1.', not byte 0x0D"),
    "LF first": (b"\n", "status line, position 0: the response must begin with 'HTTP/1.', not a bare LF"),
    "space first": (b" ", "status line, position 0: the response must begin with 'HTTP/1.', not byte 0x20"),
    "lower case": (b"h", "status line, position 0: the response must begin with 'HTTP/1.', not 'h'"),
    "another protocol": (b"S", "status line, position 0: the response must begin with 'HTTP/1.', not 'S'"),
    "HTTP/2": (b"HTTP/2", "status line, position 5: the response must begin with 'HTTP/1.', not '2'"),
    "HTTP/1.2": (b"HTTP/1.2", "status line, position 7: the version must be HTTP/1.0 or HTTP/1.1, not '2'"),
    "HTTP/1.10": (b"HTTP/1.10", "status line, position 8: a space must follow the version, not '0'"),
    "tab behind the version": (b"HTTP/1.1\t", "status line, position 8: a space must follow the version, not byte 0x09"),
    "two spaces": (b"HTTP/1.1  ", "status line, position 9: the status code must be three digits, 100 to 599, not byte 0x20"),
    "status 099": (b"HTTP/1.1 0", "status line, position 9: the status code must be three digits, 100 to 599, not '0'"),
    "status 600": (b"HTTP/1.1 6", "status line, position 9: the status code must be three digits, 100 to 599, not '6'"),
    "status +20": (b"HTTP/1.1 +", "status line, position 9: the status code must be three digits, 100 to 599, not '+'"),
    "status 2_0": (b"HTTP/1.1 2_", "status line, position 10: the status code must be three digits, 100 to 599, not '_'"),
    "status 20": (b"HTTP/1.1 20\r", "status line, position 11: the status code must be three digits, 100 to 599, not byte 0x0D"),
    "status 2000": (b"HTTP/1.1 2000", "status line, position 12: a space or CRLF must follow the status code, not '0'"),
    "tab behind the status": (b"HTTP/1.1 200\t", "status line, position 12: a space or CRLF must follow the status code, not byte 0x09"),
    "LF behind the status": (b"HTTP/1.1 200\n", "status line, position 12: a space or CRLF must follow the status code, not a bare LF"),
    "LF behind the reason": (b"HTTP/1.1 200 OK\n", "status line: a bare LF (lines end with CRLF) in the reason phrase"),
    "NUL in the reason": (b"HTTP/1.1 200 O\x00", "status line: byte 0x00 in the reason phrase"),
    "CR in the reason": (b"HTTP/1.1 200 O\rK", "status line: a bare CR (lines end with CRLF), followed by 'K'"),
    "CR CR LF": (b"HTTP/1.1 200\r\r", "status line: a bare CR (lines end with CRLF), followed by byte 0x0D"),
    "a second response that is none": (
        b"HTTP/1.1 100\r\n\r\n\r",
        "status line, position 0: the response must begin with 'HTTP/1.', not byte 0x0D",
    ),
    # --- fields
    "folded line": (OK + b"A: b\r\n ", "field line 2 begins with whitespace: folded lines are refused"),
    "folded line, tab": (OK + b"A: b\r\n\t", "field line 2 begins with whitespace: folded lines are refused"),
    "space before the first field": (OK + b" ", "field line 1 begins with whitespace: folded lines are refused"),
    "space before the colon": (OK + b"A ", "field line 1: whitespace in the name or before the colon"),
    "tab before the colon": (OK + b"A\t", "field line 1: whitespace in the name or before the colon"),
    "no name": (OK + b":", "field line 1: a name can't begin with ':'"),
    "no colon": (OK + b"A: b\r\nNoColon\r", "field line 2: byte 0x0D in the name"),
    "LF for an empty line": (OK + b"A: b\r\n\n", "field line 2: a name can't begin with a bare LF"),
    "LF behind a value": (OK + b"A: b\n", "field line 1: a bare LF (lines end with CRLF) in the value of 'A'"),
    "LF before a value": (OK + b"A:\n", "field line 1: a bare LF (lines end with CRLF) in the value of 'A'"),
    "CR in a value": (OK + b"A: b\rc", "field line 1: a bare CR (lines end with CRLF), followed by 'c'"),
    "CR behind a value": (OK + b"A: b\r\r", "field line 1: a bare CR (lines end with CRLF), followed by byte 0x0D"),
    "NUL in a value": (OK + b"A: b\x00", "field line 1: byte 0x00 in the value of 'A'"),
    "DEL in a value": (OK + b"A: b\x7f", "field line 1: byte 0x7F in the value of 'A'"),
    "obs-text in a name": (OK + b"A\xe9", "field line 1: byte 0xE9 in the name"),
    "a long name is shown in part": (
        OK + b"N" * 50 + b":\x01",
        "field line 1: byte 0x01 in the value of '" + "N" * 40 + "'... (50 bytes)",
    ),
    "CR for an empty line": (OK + b"A: b\r\nB: c\r\n\rX", "the empty line: a bare CR (lines end with CRLF), followed by 'X'"),
    # --- framing: certain when the head is complete
    "two lengths that agree": (
        OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
        "2 Content-Length fields: only one is allowed, even if they agree",
    ),
    "two lengths that differ": (
        OK + b"Content-Length: 5\r\ncontent-length: 6\r\n\r\n",
        "2 Content-Length fields: only one is allowed, even if they agree",
    ),
    "a list of lengths": (OK + b"Content-Length: 5, 5\r\n\r\n", "Content-Length must be decimal digits and nothing else, not '5, 5'"),
    "length +5": (OK + b"Content-Length: +5\r\n\r\n", "Content-Length must be decimal digits and nothing else, not '+5'"),
    "length -5": (OK + b"Content-Length: -5\r\n\r\n", "Content-Length must be decimal digits and nothing else, not '-5'"),
    "length 1_0": (OK + b"Content-Length: 1_0\r\n\r\n", "Content-Length must be decimal digits and nothing else, not '1_0'"),
    "length 0x10": (OK + b"Content-Length: 0x10\r\n\r\n", "Content-Length must be decimal digits and nothing else, not '0x10'"),
    "length 5.0": (OK + b"Content-Length: 5.0\r\n\r\n", "Content-Length must be decimal digits and nothing else, not '5.0'"),
    "length 5 6": (OK + b"Content-Length: 5 6\r\n\r\n", "Content-Length must be decimal digits and nothing else, not '5 6'"),
    "empty length": (OK + b"Content-Length:\r\n\r\n", "Content-Length must be decimal digits and nothing else, not ''"),
    "length of obs-text digits": (
        OK + b"Content-Length: \xb2\r\n\r\n",
        "Content-Length must be decimal digits and nothing else, not '\\xb2'",
    ),
    "length of 19 digits": (
        OK + b"Content-Length: 1000000000000000000\r\n\r\n",
        "Content-Length has 19 digits; no more than 18 are believed",
    ),
    "bad length in a 204": (
        b"HTTP/1.1 204 \r\nContent-Length: x\r\n\r\n",
        "Content-Length must be decimal digits and nothing else, not 'x'",
    ),
    "bad length in a 103": (
        b"HTTP/1.1 103 \r\nContent-Length: x\r\n\r\n",
        "Content-Length must be decimal digits and nothing else, not 'x'",
    ),
    "bad length beside chunked": (
        OK + b"Content-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        "Content-Length must be decimal digits and nothing else, not 'x'",
    ),
    "gzip, chunked": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", "Transfer-Encoding must be 'chunked' alone, not 'gzip, chunked'"),
    "chunked, chunked": (
        OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n",
        "Transfer-Encoding must be 'chunked' alone, not 'chunked, chunked'",
    ),
    "chunked twice": (
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "Transfer-Encoding must be 'chunked' alone, not 'chunked, chunked'",
    ),
    "identity": (OK + b"Transfer-Encoding: identity\r\n\r\n", "Transfer-Encoding must be 'chunked' alone, not 'identity'"),
    "no coding": (OK + b"Transfer-Encoding:\r\n\r\n", "Transfer-Encoding must be 'chunked' alone, not ''"),
    "quoted coding": (OK + b'Transfer-Encoding: "chunked"\r\n\r\n', "Transfer-Encoding must be 'chunked' alone, not '\"chunked\"'"),
    "xchunked": (OK + b"Transfer-Encoding: xchunked\r\n\r\n", "Transfer-Encoding must be 'chunked' alone, not 'xchunked'"),
    "chunked with a parameter": (
        OK + b"Transfer-Encoding: chunked;q=1\r\n\r\n",
        "Transfer-Encoding must be 'chunked' alone, not 'chunked;q=1'",
    ),
    "chunked with a vertical tab": (OK + b"Transfer-Encoding: \x0b", "field line 1: byte 0x0B in the value of 'Transfer-Encoding'"),
    "chunked in HTTP/1.0": (
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "Transfer-Encoding in an HTTP/1.0 response: its framing is faulty",
    ),
    # --- chunks
    "no chunk size": (CHUNKED + b"\r", "chunk size: byte 0x0D where hexadecimal digits, ';' or CRLF must stand"),
    "space before a chunk size": (CHUNKED + b" ", "chunk size: byte 0x20 where hexadecimal digits, ';' or CRLF must stand"),
    "chunk size of no hexadecimal": (CHUNKED + b"g", "chunk size: 'g' where hexadecimal digits, ';' or CRLF must stand"),
    "chunk size 0x5": (CHUNKED + b"0x", "chunk size: 'x' where hexadecimal digits, ';' or CRLF must stand"),
    "chunk size -5": (CHUNKED + b"-", "chunk size: '-' where hexadecimal digits, ';' or CRLF must stand"),
    "chunk size +5": (CHUNKED + b"+", "chunk size: '+' where hexadecimal digits, ';' or CRLF must stand"),
    "chunk size 1_0": (CHUNKED + b"1_", "chunk size: '_' where hexadecimal digits, ';' or CRLF must stand"),
    "chunk size of 16 digits": (CHUNKED + b"0000000000000000", "chunk size: more than 15 hexadecimal digits"),
    "chunk size behind a space": (CHUNKED + b"5 5", "chunk size: '5' where hexadecimal digits, ';' or CRLF must stand"),
    "space behind a chunk size": (CHUNKED + b"5 \r", "chunk size: byte 0x0D where hexadecimal digits, ';' or CRLF must stand"),
    "LF behind a chunk size": (
        CHUNKED + b"5\n",
        "chunk size: a bare LF (lines end with CRLF) where hexadecimal digits, ';' or CRLF must stand",
    ),
    "CR behind a chunk size": (CHUNKED + b"5\rx", "chunk size: a bare CR (lines end with CRLF), followed by 'x'"),
    "LF in a chunk extension": (CHUNKED + b"5;a\n", "chunk extension: a bare LF (lines end with CRLF)"),
    "CR in a chunk extension": (CHUNKED + b"5;a\rb", "chunk size: a bare CR (lines end with CRLF), followed by 'b'"),
    "NUL in a chunk extension": (CHUNKED + b"5;\x00", "chunk extension: byte 0x00"),
    "chunk data too long": (CHUNKED + b"1\r\nxy", "chunk data: CRLF must follow the announced bytes, not 'y'"),
    "LF behind chunk data": (CHUNKED + b"1\r\nx\n", "chunk data: CRLF must follow the announced bytes, not a bare LF"),
    "CR behind chunk data": (CHUNKED + b"1\r\nx\rx", "chunk data: a bare CR (lines end with CRLF), followed by 'x'"),
    "the next size right behind": (CHUNKED + b"1\r\nx0", "chunk data: CRLF must follow the announced bytes, not '0'"),
    "second chunk without a size": (CHUNKED + b"1\r\nx\r\n\r", "chunk size: byte 0x0D where hexadecimal digits, ';' or CRLF must stand"),
    "folded trailer": (CHUNKED + b"0\r\nA: b\r\n ", "trailer line 2 begins with whitespace: folded lines are refused"),
    "trailer of no token": (CHUNKED + b"0\r\nA: b\r\nB=", "trailer line 2: '=' in the name"),
    "LF for the end": (CHUNKED + b"0\r\n\n", "trailer line 1: a name can't begin with a bare LF"),
    "CR for the end": (CHUNKED + b"0\r\n\rx", "the empty line: a bare CR (lines end with CRLF), followed by 'x'"),
}
