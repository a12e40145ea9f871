"""Request, Response and StreamResponse, without a connection: what they tell, what of them can be changed."""

from __future__ import annotations

import asyncio
import codecs
import encodings
import gc
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from multidict import CIMultiDict
from yarl import URL

import aioreq
from aioreq.config import UNSET, Timeout
from aioreq.errors import ConnectionLost, DecodeError, IncompleteBody, InvalidURL, LimitExceeded, LocalProtocolError, StatusError
from aioreq.media_type import CHARSETS
from aioreq.models import Deadline, Request, Response, StreamResponse
from aioreq.proxies import Proxies
from aioreq.request_body import StreamedBody
from aioreq.request_head import HeaderBlock, serialize
from aioreq.response_body import ResponseBody
from aioreq.response_headers import ResponseHeaders
from aioreq.retries import Retry


class Source:
    """A connection that writes down what becomes of the body."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pause_body(self) -> None: ...

    def resume_body(self) -> None: ...

    def wait_body(self, waiting: bool) -> None: ...

    def drain_body(self) -> None:
        self.told.append("drain")

    def abort_body(self) -> None:
        self.told.append("abort")


def respond(
    status: int = 200, *fields: tuple[bytes, bytes], body: bytes = b"", reason: bytes = b"OK", coding: bytes | None = None
) -> Response:
    response = Response(Request("GET", "http://u:p@h:81/a%20b?secret=1"), "1.1", status, reason, [*fields], body)
    response.coding = coding
    return response


def stream(
    status: int = 200, *fields: tuple[bytes, bytes], chunks: tuple[bytes, ...] = (), error: Exception | None = None, ended: bool = True
) -> tuple[StreamResponse, ResponseBody, Source]:
    source = Source()
    body = ResponseBody(source, asyncio.get_running_loop(), None)
    for chunk in chunks:
        body.feed(chunk)
    if error is not None:
        body.fail(error)
    elif ended:
        body.end([(b"X-Sum", b"1")])
    response = StreamResponse(Request("GET", "http://h/a"), "1.1", status, b"Fine", [*fields], body)
    return response, body, source


# --- Request ---


@pytest.mark.parametrize(
    ("request_", "shown"),
    [
        (Request(url="https://www.google.com/search?q=x", method="GET"), "<Request GET www.google.com>"),
        (Request("POST", "http://user:hunter2@h:8080/?key=hunter2"), "<Request POST h>"),
        (Request("GET", URL("http://[::1]:81/")), "<Request GET ::1>"),
        (Request("GET", "http://B\xdcCHER.example"), "<Request GET xn--bcher-kva.example>"),
        (Request(), "<Request GET (relative or invalid URL)>"),
        (Request("GET", "/relative"), "<Request GET (relative or invalid URL)>"),
        (Request("GET", "user:hunter2@h"), "<Request GET (relative or invalid URL)>"),
        (Request("GET", 5), "<Request GET (relative or invalid URL)>"),  # type: ignore[arg-type]
    ],
)
def test_repr_of_a_request_shows_the_host_alone(request_: Request, shown: str) -> None:
    assert repr(request_) == shown


def test_what_a_request_tells() -> None:
    request = Request(
        "PUT", "http://u:p%40@H:8080/%7E?q#f", headers={"A": "b"}, content="x", auth=("a", "b"), timeout=5, extensions={"e": 1}
    )
    assert (request.method, request.host, request.content, request.auth, request.timeout) == ("PUT", "h", "x", ("a", "b"), Timeout.of(5))
    assert request.url == URL("http://h:8080/%7E?q#f", encoded=True)
    assert (str(request.url), request.url.user, request.url.password) == ("http://h:8080/%7E?q#f", None, None)
    assert request.parsed.userinfo == ("u", "p@")
    assert list(request.headers.items()) == [("A", "b")]
    assert request.extensions == {"e": 1}
    assert Request("GET", "http://[::1]:81/").host == "::1"


def test_what_is_not_given_is_not_set() -> None:
    one, other = Request(), Request()
    assert (one.method, one.content, one.body, one.auth, one.timeout) == ("GET", None, None, UNSET, Timeout())
    assert one.extensions == {}
    one.extensions["a"] = 1
    one.headers["a"] = "1"
    assert (other.extensions, dict(other.headers)) == ({}, {})


def test_an_invalid_url_comes_up_when_it_is_wanted() -> None:
    request = Request("GET", "/relative")
    for attribute in ("url", "host", "parsed"):
        with pytest.raises(InvalidURL):
            getattr(request, attribute)
    request.url = "http://h/relative"
    assert request.host == "h"
    request.url = URL("http://other/")
    assert (request.host, request.parsed.target) == ("other", b"/")


def test_the_headers_of_a_request_can_be_changed() -> None:
    request = Request("GET", "http://h/", headers=[("A", "1"), ("B", "2"), ("a", "3")])
    assert isinstance(request.headers, CIMultiDict)
    assert request.headers is request.headers
    request.headers["b"] = "4"
    request.headers.add("A", "5")
    del request.headers["missing" if "missing" in request.headers else "B"]
    assert serialize(request)[0] == b"GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\na: 3\r\nA: 5\r\n\r\n"


def test_headers_show_the_defaults_on_the_way() -> None:
    request = Request("GET", "http://h/", headers={"x-a": "own", "X-C": None})
    request.settle_headers(HeaderBlock([("X-A", "1"), ("X-B", "2"), ("X-C", "3")]))
    assert list(request.headers.items()) == [("X-B", "2"), ("x-a", "own")]


def test_a_field_that_is_left_out_stays_out_after_a_look_at_the_headers() -> None:
    block = HeaderBlock([("User-Agent", "me"), ("A", "b")])
    for look in (False, True):
        request = Request("GET", "http://h/", headers={"user-agent": None})
        if look:
            assert dict(request.headers) == {}
        assert request.sets("user-agent")
        copy = request.replace()
        copy.settle_headers(block)
        assert list(copy.headers.items()) == [("A", "b")]
        again = copy.replace()
        again.settle_headers(block)  # sent once more, by the same client or another
        assert list(again.headers.items()) == [("A", "b")]
    request.headers["User-Agent"] = "changed my mind"
    request.settle_headers(block)
    assert list(request.headers.items()) == [("A", "b"), ("User-Agent", "changed my mind")]


@pytest.mark.parametrize("made", [False, True], ids=["pairs", "mapping"])
def test_single_fields(made: bool) -> None:
    request = Request("GET", "http://h/", headers=[("A", "1"), ("a", "2"), ("None", None)])
    request.settle_headers(HeaderBlock([("B", "3"), ("none", "4"), ("A", "5")]))
    assert not made or len(request.headers) == 3
    assert (request.field("a"), request.field("B"), request.field("NONE"), request.field("c")) == ("1", "3", None, None)
    assert (request.sets("a"), request.sets("none"), request.sets("c")) == (True, True, False)
    request.add_field("C", "6")
    assert (request.field("c"), request.sets("c")) == ("6", True)
    request.remove_fields("A", "missing", "b")
    assert request.pairs() == [("C", "6")]


def test_content_can_be_assigned() -> None:
    request = Request("POST", "http://h/", content=b"old")
    request.content = "new\xe9"
    assert (request.content, request.body) == ("new\xe9", "new\xe9".encode())
    assert serialize(request)[0].endswith(b"Content-Length: 5\r\n\r\n")
    request.content = [b"a"]
    assert isinstance(request.body, StreamedBody)
    with pytest.raises(TypeError, match="content: give bytes"):
        request.content = {"a": 1}  # type: ignore[dict-item]
    assert request.content == [b"a"]  # as it was
    request.drop_body()
    assert [request.content, request.body] == [None, None]


def test_replayable() -> None:
    for content, replayable in ((None, True), (b"a", True), ([b"a"], True), (iter([b"a"]), True)):
        assert Request("POST", "http://h/", content=content).replayable is replayable
    request = Request("POST", "http://h/", content=iter([b"a"]))
    assert isinstance(request.body, StreamedBody)
    request.body.chunks()
    assert not request.replayable


# --- replace ---


def test_replace_changes_a_copy() -> None:
    request = Request("POST", "http://h/a", headers={"A": "1"}, content=b"x", auth=("u", "p"), timeout=3)
    copy = request.replace(method="GET", url="http://other/b", content=None, auth=None, timeout=Timeout(total=1))
    assert (copy.method, str(copy.url), copy.body, copy.auth, copy.timeout) == ("GET", "http://other/b", None, None, Timeout(total=1))
    assert (request.method, str(request.url), request.body, request.auth) == ("POST", "http://h/a", b"x", ("u", "p"))
    assert request.timeout == Timeout.of(3)
    request.replace().add_field("B", "2")
    copy.headers["A"] = "2"
    assert list(request.headers.items()) == [("A", "1")]
    request.headers["A"] = "3"
    again = request.replace()
    again.headers["A"] = "4"
    assert request.headers["A"] == "3"


def test_replace_headers_replaces_them_all() -> None:
    request = Request("GET", "http://h/", headers={"A": "1"})
    request.settle_headers(HeaderBlock([("User-Agent", "me")]))
    assert list(request.replace(headers=[("B", "2"), ("b", "3")]).headers.items()) == [("B", "2"), ("b", "3")]
    assert dict(request.replace(headers=None).headers) == {}
    assert list(request.headers.items()) == [("User-Agent", "me"), ("A", "1")]
    with pytest.raises(TypeError, match="headers: give a mapping"):
        request.replace(headers="A: 1")


def test_replace_the_url_of_a_request_that_has_none_yet() -> None:
    assert Request("GET", "/relative").replace(url="http://h/").host == "h"
    assert Request("GET", "http://h/").replace(url="/relative").given_url == "/relative"


@pytest.mark.parametrize(
    "name", ["nope", "host", "body", "pairs", "replayable", "_fields", "_headers", "__class__", "given_url", "content_type"]
)
def test_replace_names_what_a_request_has_not(name: str) -> None:
    with pytest.raises(TypeError, match=rf"Request has no '{name}' to replace"):
        Request("GET", "http://h/").replace(**{name: None})


def test_replace_keeps_what_the_client_settled() -> None:
    request = Request("GET", "http://h/")
    request.deadline, request.cookie, request.max_body = Deadline(5), "a=1", 7
    copy = request.replace(method="HEAD")
    assert copy.deadline is request.deadline
    assert copy.terms is request.terms
    assert (copy.cookie, copy.max_body) == ("a=1", 7)


def test_a_term_takes_the_place_of_the_options_that_made_it() -> None:
    client = aioreq.Client(verify=False)
    pinned, proxies = aioreq.TLS(server_hostname="other.test"), Proxies.of("http://b.test:1")
    request = client.settings.new_request("GET", "https://h/", {"verify": False, "proxy": "http://a.test:1"})
    request.tls, request.proxies = pinned, proxies
    again = aioreq.Client().settings.settled_copy(request)
    assert (again.tls, again.proxies) == (pinned, proxies)
    request.proxies = None
    assert aioreq.Client(proxy="http://c.test:1").settings.settled_copy(request).proxies is None


def test_a_term_of_its_own_is_checked_and_holds_for_one_request() -> None:
    request = Request("GET", "http://h/", timeout=5)
    copy = request.replace(timeout=None, retry=3, follow_redirects=False)
    assert (copy.timeout, copy.retry, copy.follow_redirects) == (Timeout.of(None), Retry(attempts=3), False)
    assert (request.timeout, request.retry, request.follow_redirects) == (Timeout.of(5), Retry(attempts=0), True)
    assert Request("GET", "http://h/").timeout == Timeout()
    copy.timeout = 7
    assert (copy.timeout, copy.retry) == (Timeout.of(7), Retry(attempts=3))
    for name, wrong in (("timeout", "1"), ("retry", -1), ("max_body", None), ("max_body", -1), ("max_redirects", "1")):
        with pytest.raises((TypeError, ValueError), match=r"takes|must be|can't be"):
            setattr(copy, name, wrong)
    with pytest.raises(TypeError, match="Timeout"):
        Request("GET", "http://h/", timeout="1")  # type: ignore[arg-type]


# --- redirected ---


@pytest.mark.parametrize(
    ("location", "url", "userinfo"),
    [
        ("/b", "http://h/b", ("u", "p")),
        ("?q", "http://h/a?q", ("u", "p")),
        ("http://h/b", "http://h/b", ("u", "p")),
        ("//H:80/b", "http://h/b", ("u", "p")),
        ("http://x:y@h/", "http://h/", ("x", "y")),
        ("http://h:81/", "http://h:81/", None),
        ("https://h/", "https://h/", None),
        ("http://other/", "http://other/", None),
        ("//x@other/", "http://other/", ("x", "")),
    ],
)
def test_userinfo_stays_with_its_origin(location: str, url: str, userinfo: tuple[str, str] | None) -> None:
    target = Request("GET", "http://u:p@h/a").redirected(location)
    assert (str(target.url), target.userinfo) == (url, userinfo)


# --- Deadline ---


def test_a_deadline_starts_once() -> None:
    deadline = Deadline(5)
    assert deadline.left(1000) == 5  # it doesn't run yet
    assert deadline.start(100) == 105
    assert deadline.start(103) == 105
    assert (deadline.left(103), deadline.left(106)) == (2, -1)


# --- Response ---


@pytest.mark.parametrize(
    ("status", "reason", "shown"),
    [
        (200, b"OK", "<Response 200 OK>"),
        (404, b"Not Found", "<Response 404 Not Found>"),
        (204, b"", "<Response 204>"),
        (200, b" ", "<Response 200>"),
        (200, "tr\xe8s bien".encode(), "<Response 200 tr\xe8s bien>"),
        (200, b"\xff", r"<Response 200 \xff>"),
    ],
)
def test_repr_of_a_response(status: int, reason: bytes, shown: str) -> None:
    assert repr(respond(status, reason=reason)) == shown
    assert shown.encode()  # can be printed


async def test_repr_of_a_streamed_response() -> None:
    assert repr(stream(404)[0]) == "<StreamResponse 404 Fine>"


def test_what_a_response_tells() -> None:
    response = respond(201, (b"A", b"1"), (b"a", b"2"), body=b"xyz", reason=b"Cr\xe9\xe9")
    assert (response.status, response.status_message, response.http_version, response.content) == (201, "Cr\udce9\udce9", "1.1", b"xyz")
    assert str(response.url) == "http://h:81/a%20b?secret=1"
    assert response.url is response.request.url
    assert isinstance(response.headers, ResponseHeaders)
    assert response.headers is response.headers
    assert response.headers.getall("A") == ["1", "2"]
    assert (response.field(b"a"), response.field_values(b"a"), response.field(b"b")) == (b"1", [b"1", b"2"], None)
    assert (response.redirects, response.elapsed, dict(response.trailers)) == ((), 0.0, {})


@pytest.mark.parametrize(
    ("status", "ok"), [(200, True), (204, True), (302, True), (399, True), (400, False), (404, False), (500, False), (599, False)]
)
def test_ok_and_raise_for_status(status: int, ok: bool) -> None:
    response = respond(status)
    assert response.ok is ok
    if ok:
        assert response.raise_for_status() is response
        return
    with pytest.raises(StatusError) as caught:
        response.raise_for_status()
    assert caught.value.response is response
    assert caught.value.request is response.request
    side = "client" if status < 500 else "server"
    assert str(caught.value) == f"GET h/a%20b: {status} OK ({side} error)"  # no password, no query


def test_a_status_error_can_be_printed() -> None:
    with pytest.raises(StatusError) as caught:
        respond(500, reason=b"\xff\xfe").raise_for_status()
    assert str(caught.value).encode() == rb"GET h/a%20b: 500 \xff\xfe (server error)"


def test_cookies_that_a_response_sets() -> None:
    response = respond(
        200, (b"Set-Cookie", b"a=1; Path=/"), (b"set-cookie", b" b = x=y "), (b"Set-Cookie", b"broken"), (b"Set-Cookie", b"a=2")
    )
    assert response.cookies == {"a": "2", "b": "x=y"}
    assert respond().cookies == {}


def test_trailers() -> None:
    response = Response(Request("GET", "http://h/"), "1.1", 200, b"OK", [], b"", [(b"X-Sum", b"1"), (b"x-sum", b"2")])
    assert response.trailers.getall("X-SUM") == ["1", "2"]
    assert "x-sum" not in response.headers


async def test_both_kinds_can_be_read_and_closed() -> None:
    response = respond(body=b"abc")
    assert await response.read() == b"abc"
    response.drop()
    await response.close()
    assert await response.read() == response.content == b"abc"


# --- content: decoded when it is wanted ---


async def test_content_is_decoded() -> None:
    wire = gzip.compress(b"abc")
    assert respond(body=wire, coding=b"gzip").content == b"abc"
    assert respond(body=wire).content == wire  # nobody attached a decoder
    assert respond(body=wire, coding=b"unknown").content == wire
    assert respond(body=b"", coding=b"gzip").content == b""  # the answer to a HEAD, say
    large = respond(body=gzip.compress(b"x" * 1000, 0) * 1500, coding=b"gzip")
    await large.finish()  # over a MiB: in a thread
    assert large.content == b"x" * 1_500_000


@pytest.mark.parametrize("size", [100, 2_000_000])
async def test_what_cannot_be_decoded_is_an_error_with_its_request(size: int) -> None:
    response = respond(body=b"\0" * size, coding=b"gzip")
    for read in (response.finish, response.read):
        with pytest.raises(DecodeError, match="not valid gzip") as caught:
            await read()
        assert caught.value.request is response.request
    with pytest.raises(DecodeError):
        _ = response.content
    with pytest.raises(DecodeError, match="3 content codings") as caught:
        _ = respond(body=b"x", coding=b"gzip, br, gzip").content
    assert caught.value.request is not None


def test_decoding_is_bounded() -> None:
    response = respond(body=gzip.compress(bytes(1001)), coding=b"gzip")
    response.request.max_body = 1000
    with pytest.raises(LimitExceeded, match="decodes to more than 1000") as caught:
        _ = response.content
    assert (caught.value.limit, caught.value.request) == ("body", response.request)
    response.request.max_body = 1001
    assert response.content == bytes(1001)


# --- text: the declared charset, a byte order mark, UTF-8 with replacement ---


# Unknown ones, and codecs of Python that are something else.
NO_CHARSETS = b" nope hex rot13 rot_13 base64 zlib bz2 uu quopri idna punycode undefined unicode_escape raw_unicode_escape charmap".split(
    b" "
)
NO_CHARSETS += [b"utf-7", b"unicode-1-1-utf-7", b"mbcs", b"ansi", b"oem", b"aliases", b"..", b"os.path", b"\xff", b"\xc3\xa9", b"x" * 100]


@pytest.mark.parametrize(
    ("content_type", "body", "encoding", "text"),
    [
        (None, "caf\xe9".encode(), "utf-8", "caf\xe9"),
        (b"text/plain", b"caf\xe9", "utf-8", "caf\ufffd"),
        (b"text/plain", b"", "utf-8", ""),
        (b"text/plain; charset=latin-1", b"caf\xe9", "iso8859-1", "caf\xe9"),
        (b"text/plain; charset=ISO-8859-1", b"\x80", "iso8859-1", "\x80"),
        (b'TEXT/HTML;x=y; CHARSET="UTF-8" ; z', "\xe9".encode(), "utf-8", "\xe9"),
        (b"text/plain; charset = 'windows-1252'", b"\x80", "cp1252", "\u20ac"),
        (b"text/plain; charset=us-ascii", b"a\xe9", "ascii", "a\ufffd"),
        (b"text/plain;charset=shift_jis", b"\x93\xfa", "shift_jis", "\u65e5"),
        (b"text/plain;charset=KOI8-U", b"\xa4", "koi8-u", "\u0454"),
        (b"text/plain;charset=gb18030", b"\xc8\xd5", "gb18030", "\u65e5"),
        (b"text/plain;charset=utf-16", "\u65e5".encode("utf-16"), "utf-16", "\u65e5"),
        (b"text/plain;charset=utf-8-sig", b"\xef\xbb\xbfa", "utf-8-sig", "a"),
        # A mark
        (None, codecs.BOM_UTF8 + b"a", "utf-8-sig", "a"),
        (None, codecs.BOM_UTF16_LE + "a\u65e5".encode("utf-16-le"), "utf-16", "a\u65e5"),
        (None, codecs.BOM_UTF16_BE + "a\u65e5".encode("utf-16-be"), "utf-16", "a\u65e5"),
        (b"text/plain; charset=latin-1", codecs.BOM_UTF8, "iso8859-1", "\xef\xbb\xbf"),
        # What is no charset is as good as none.
        *[(b"text/plain; charset=" + name, b"a\xe9", "utf-8", "a\ufffd") for name in NO_CHARSETS],
        (b"text/plain; charset", b"a", "utf-8", "a"),
        (b"charset=latin-1", b"\xe9", "utf-8", "\ufffd"),
        (b";charset=latin-1", b"\xe9", "iso8859-1", "\xe9"),
    ],
)
def test_text(content_type: bytes | None, body: bytes, encoding: str, text: str) -> None:
    response = respond(200, *([] if content_type is None else [(b"Content-Type", content_type)]), body=body)
    assert response.encoding == encoding
    assert response.text == text


def test_every_charset_that_is_taken_decodes_anything() -> None:
    charsets = sorted(charset for charset in CHARSETS if charset.islower())
    assert len(charsets) > 100
    for charset in charsets:
        answer = respond(200, (b"content-type", b"text/plain; charset=" + charset.encode()), body=bytes(range(256)))
        assert codecs.lookup(charset).name == answer.encoding, charset
        assert isinstance(answer.text, str)


def test_charsets_that_servers_make_up_leave_nothing_behind() -> None:
    # Python keeps each name that it looked up, for good.
    before = len(encodings._cache)
    for number in range(100):
        assert respond(200, (b"Content-Type", b"text/plain; charset=made-up-%d" % number)).encoding == "utf-8"
    assert len(encodings._cache) == before


# --- json ---


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, null]}', {"a": [1, None]}),
        (b"null", None),
        (codecs.BOM_UTF8 + b"[]", []),
        ('"\xe9"'.encode(), "\xe9"),
        ('"\xe9"'.encode("utf-16"), "\xe9"),
        ('"\xe9"'.encode("utf-32-le"), "\xe9"),
    ],
)
def test_json(body: bytes, value: Any) -> None:
    assert respond(body=body).json() == value


@pytest.mark.parametrize(
    "body", [b"", b"{", b"<html>", b"\xff", b"[" * 200_000, b"9" * 5000], ids=["empty", "cut", "html", "no UTF-8", "deep", "digits"]
)
def test_what_is_no_json_is_a_decode_error(body: bytes) -> None:
    response = respond(200, (b"Content-Type", b"text/html\xff"), body=body)
    with pytest.raises(DecodeError) as caught:
        response.json()
    assert str(caught.value).startswith(rf"the body of GET h/a%20b: 200 OK is no JSON (text/html\xff, {len(body)} bytes): ")
    assert caught.value.partial == body
    assert caught.value.request is response.request
    assert isinstance(caught.value.__cause__, (ValueError, RecursionError))
    with pytest.raises(DecodeError, match="no Content-Type"):
        respond(body=body).json()


def test_json_by_another_loads() -> None:
    response = respond(body=b"1.5")
    assert response.json(loads=lambda content: content.decode() + "!") == "1.5!"
    response.json_loads = lambda content: json.loads(content, parse_float=str)
    assert response.json() == "1.5"
    assert response.json(loads=json.loads) == 1.5

    def broken(content: bytes) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        response.json(loads=broken)


# --- StreamResponse ---

GZIP = gzip.compress(b"0123456789", mtime=0)


def gzipped(**options: Any) -> tuple[StreamResponse, ResponseBody, Source]:
    response, body, source = stream(chunks=(GZIP[:4], GZIP[4:15], GZIP[15:]), **options)
    response.coding = b"gzip"
    return response, body, source


async def joined(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


async def test_a_streamed_body_is_decoded_as_it_comes() -> None:
    assert await joined(gzipped()[0].content) == b"0123456789"
    assert await joined(gzipped()[0].iter_raw()) == GZIP
    assert [piece async for piece in gzipped()[0].iter_bytes(4)] == [b"0123", b"4567", b"89"]


async def test_content_is_one_iterator() -> None:
    response, _, _ = gzipped()
    assert response.content is response.content
    assert await anext(response.iter_bytes(3)) == b"012"
    assert await anext(response.iter_bytes(2)) == b"34"
    assert await joined(response.content) == b"56789"
    with pytest.raises(StopAsyncIteration):
        await anext(response.content)


async def test_a_streamed_response_can_be_read_whole_and_is_kept() -> None:
    response, _, _ = gzipped()
    assert await response.read() == b"0123456789"
    assert await response.read() == b"0123456789"
    assert await response.text() == "0123456789"
    assert (await response.buffer()).content == b"0123456789"
    assert response.trailers["x-sum"] == "1"


async def test_a_streamed_response_as_json() -> None:
    response, _, _ = stream(200, (b"Content-Type", b"application/json"), chunks=(b'{"a"', b": 1}"))
    assert await response.json() == {"a": 1}
    assert await response.json(loads=bytes.decode) == '{"a": 1}'
    bad, _, _ = stream(chunks=(b"{",))
    with pytest.raises(DecodeError, match="is no JSON"):
        await bad.json()


async def test_trailers_come_with_the_end() -> None:
    response, body, _ = stream(chunks=(b"a",), ended=False)
    assert dict(response.trailers) == {}
    body.end([(b"X-Sum", b"2")])
    assert dict(response.trailers) == {"X-Sum": "2"}


async def test_the_rest_is_not_taken_for_the_whole() -> None:
    response, _, _ = gzipped()
    assert await anext(response.content)
    for read in (response.read, response.buffer, response.text, response.json):
        with pytest.raises(LocalProtocolError, match="already read, at least in part") as caught:
            await read()
        assert caught.value.request is response.request


async def test_buffer_gives_the_same_response_in_memory() -> None:
    response, _, _ = gzipped()
    response.redirects, response.json_loads = (respond(302),), bytes.decode
    whole = await response.buffer()
    assert isinstance(whole, Response)
    assert (whole.status, whole.status_message, whole.content, whole.redirects) == (200, "Fine", b"0123456789", response.redirects)
    assert whole.request is response.request
    assert whole.trailers == response.trailers
    assert whole.json() == "0123456789"


async def test_reading_is_bounded() -> None:
    response, _, source = stream(chunks=(b"abc", b"def"), ended=False)
    response.request.max_body = 5
    with pytest.raises(LimitExceeded, match="longer than 5 bytes") as caught:
        await response.read()
    assert caught.value.request is response.request
    assert source.told == ["abort"]


async def test_errors_of_a_stream_carry_the_request() -> None:
    response, _, _ = stream(chunks=(b"abc",), error=IncompleteBody("cut", received=3))
    with pytest.raises(IncompleteBody) as caught:
        await response.read()
    assert (caught.value.partial, caught.value.request) == (b"abc", response.request)
    for coding, message in ((b"gzip", "not valid gzip"), (b"br, gzip, br", "content codings")):
        bad, _, _ = stream(chunks=(b"no gzip",), ended=False)
        bad.coding = coding
        with pytest.raises(DecodeError, match=message) as damaged:
            await anext(bad.content)
        assert damaged.value.request is bad.request


@pytest.mark.parametrize("drain", [True, False])
async def test_a_closed_stream_is_not_read(drain: bool) -> None:
    response, _, source = stream(chunks=(b"abc",), ended=False)
    if drain:
        response.drop()
        await response.close()
        await response.close()
    else:
        response.abort()
    assert source.told == ["drain" if drain else "abort"]
    with pytest.raises(LocalProtocolError, match="closed before its body was read"):
        await anext(response.content)


async def test_a_response_that_nobody_holds_lets_go_of_its_connection() -> None:
    response, _, source = stream(ended=False)
    assert response.status == 200
    del response
    gc.collect()
    await asyncio.sleep(0)
    assert source.told == ["abort"]


# --- raise_for_status of a stream ---


@pytest.mark.parametrize("status", [200, 302, 399])
async def test_a_good_stream_passes(status: int) -> None:
    response, _, _ = stream(status, chunks=(b"abc",))
    assert await response.raise_for_status() is response
    assert await response.read() == b"abc"


@pytest.mark.parametrize(
    ("chunks", "start"),
    [((), b""), ((b"no", b"pe"), b"nope"), ((b"x" * 65536,), b"x" * 65536), ((b"x" * 60000, b"y" * 60000), b"x" * 60000 + b"y" * 5536)],
)
async def test_a_status_error_carries_the_start_of_the_body(chunks: tuple[bytes, ...], start: bytes) -> None:
    response, _, _ = stream(503, (b"A", b"b"), chunks=chunks)
    response.redirects, response.elapsed = (respond(302),), 1.5
    with pytest.raises(StatusError, match=r"GET h/a: 503 Fine \(server error\)") as caught:
        await response.raise_for_status()
    carried = caught.value.response
    assert isinstance(carried, Response)
    assert (carried.status, carried.content, carried.headers["a"]) == (503, start, "b")
    assert (carried.redirects, carried.elapsed, carried.request) == (response.redirects, 1.5, response.request)


async def test_a_status_error_carries_what_could_be_had() -> None:
    async def carried(response: StreamResponse) -> bytes:
        with pytest.raises(StatusError) as caught:
            await response.raise_for_status()
        assert isinstance(caught.value.response, Response)
        return caught.value.response.content

    encoded, _, _ = gzipped(status=404)
    assert await carried(encoded) == b"0123456789"
    cut, _, _ = stream(404, chunks=(b"abc",), error=IncompleteBody("cut"))
    assert await carried(cut) == b"abc"
    lost, _, _ = stream(404, error=ConnectionLost("gone"))
    assert await carried(lost) == b""
    damaged, _, _ = stream(404, chunks=(b"no gzip",))
    damaged.coding = b"gzip"
    assert await carried(damaged) == b""
    read, _, _ = stream(404, chunks=(b"abc", b"def"))
    await read.read()
    assert await carried(read) == b"abcdef"
    long, _, source = stream(404, chunks=(b"x" * 100_000,), ended=False)
    assert len(await carried(long)) == 65536
    assert source.told == ["drain"]


def test_what_links_added_stays_with_its_origin() -> None:
    request = Request("GET", "http://a.example/x", headers={"X-Own": "1"})
    request.cookie, request.authorization = "sid=1", "Basic abc"
    within = request.replace(url="http://a.example:80/y?z")
    assert (within.cookie, within.authorization) == ("sid=1", "Basic abc")
    for url in ("https://a.example/x", "http://b.example/x", "http://a.example:81/x"):
        other = request.replace(url=url)
        assert (str(other.url), other.cookie, other.authorization, other.headers["X-Own"]) == (url, None, None, "1")
    assert request.cookie == "sid=1"
