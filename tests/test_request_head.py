"""Request heads: a Request in, the bytes on the wire out (RFC 9112 section 3), or an error and nothing."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import aioreq
from aioreq.auth import basic_header
from aioreq.cookies import cookie_header
from aioreq.errors import InvalidHeader, InvalidURL
from aioreq.models import Request
from aioreq.request_body import StreamedBody
from aioreq.request_head import HeaderBlock, serialize
from aioreq.testing import Server


def wire(method: str = "GET", url: str = "http://h/", **options: Any) -> bytes:
    head, _ = serialize(Request(method, url, **options))
    return head


def stream(length: int | None = None) -> StreamedBody:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"abc"

    return StreamedBody(chunks, length, replayable=True)


def with_stream(length: int | None, headers: Any = None) -> Request:
    request = Request("POST", "http://h/", headers=headers)
    request.body = stream(length)
    return request


# --- request line, Host, framing ---


@pytest.mark.parametrize(
    ("method", "url", "content", "head"),
    [
        ("GET", "http://h", None, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("GET", "http://h:80/a?b#c", None, b"GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("GET", "https://u:p@H:8443/%7E", None, b"GET /%7E HTTP/1.1\r\nHost: h:8443\r\n\r\n"),
        ("GET", "http://[::1]:81/", None, b"GET / HTTP/1.1\r\nHost: [::1]:81\r\n\r\n"),
        ("HEAD", "http://h/", None, b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("DELETE", "http://h/", None, b"DELETE / HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("OPTIONS", "http://h/", None, b"OPTIONS / HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("PROPFIND", "http://h/", None, b"PROPFIND / HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("get", "http://h/", None, b"get / HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("M-SEARCH!", "http://h/", None, b"M-SEARCH! / HTTP/1.1\r\nHost: h\r\n\r\n"),
        # RFC 9110 section 8.6: a method that anticipates content says so when there is none.
        ("POST", "http://h/", None, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
        ("PUT", "http://h/", None, b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
        ("PATCH", "http://h/", None, b"PATCH / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
        ("GET", "http://h/", b"", b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
        ("GET", "http://h/", b"abc", b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n"),
        ("POST", "http://h/", "caf\xe9", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"),
        ("POST", "http://h/", [b"abc"], b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ],
)
def test_head(method: str, url: str, content: Any, head: bytes) -> None:
    assert wire(method, url, content=content) == head


def test_a_stream_of_known_length_goes_out_with_it() -> None:
    head, _ = serialize(with_stream(12345678901))
    assert head.endswith(b"\r\nContent-Length: 12345678901\r\n\r\n")


@pytest.mark.parametrize("method", ["", "G ET", "GET ", "GET\r\nX: y", "GET\0", "G\xc9T", "GET\udcff", "GET/", "G:T", "(GET)", "GET\t"])
def test_what_is_no_method_is_refused(method: str) -> None:
    with pytest.raises(InvalidHeader, match="method"):
        wire(method)


@pytest.mark.parametrize("method", [b"GET", None, 5, ["GET"]])
def test_a_method_is_text(method: Any) -> None:
    with pytest.raises(TypeError, match=rf"method: give str, not {type(method).__name__}"):
        wire(method)


def test_an_invalid_url_comes_up_when_the_head_is_made() -> None:
    request = Request("GET", "/relative")
    with pytest.raises(InvalidURL, match="has no scheme"):
        serialize(request)


# --- the user's fields: order, case, repeats ---


def test_fields_go_out_in_order_and_case_with_repeats() -> None:
    headers = [("x-B", "1"), ("X-a", " two "), ("X-b", ""), ("x-B", "1"), (b"X-Bytes", b"\xff\xfe"), ("x-text", "caf\xe9\udcff")]
    assert wire(headers=headers) == (
        b"GET / HTTP/1.1\r\nHost: h\r\nx-B: 1\r\nX-a:  two \r\nX-b: \r\nx-B: 1\r\nX-Bytes: \xff\xfe\r\nx-text: caf\xc3\xa9\xff\r\n\r\n"
    )


def test_looking_at_the_headers_changes_nothing() -> None:
    headers = [("x-B", "1"), ("X-a", "2"), ("x-b", "3"), ("Gone", None)]
    request = Request("GET", "http://h/", headers=headers)
    request.defaults = HeaderBlock([("A", "default"), ("gone", "default"), ("X-A", "default"), ("Z", "default")])
    untouched, _ = serialize(request)
    assert [name for name, _ in request.headers.items()] == ["A", "Z", "x-B", "X-a", "x-b"]
    assert serialize(request)[0] == untouched


def defaults(*pairs: tuple[str, str | None]) -> HeaderBlock:
    return HeaderBlock(list(pairs))


@pytest.mark.parametrize(
    ("own", "lines"),
    [
        (None, [b"User-Agent: me", b"Accept: */*", b"X: 1", b"x: 2"]),
        ({}, [b"User-Agent: me", b"Accept: */*", b"X: 1", b"x: 2"]),
        ({"Y": "3"}, [b"User-Agent: me", b"Accept: */*", b"X: 1", b"x: 2", b"Y: 3"]),
        ({"USER-AGENT": "you"}, [b"Accept: */*", b"X: 1", b"x: 2", b"USER-AGENT: you"]),
        ({"x": "3"}, [b"User-Agent: me", b"Accept: */*", b"x: 3"]),
        ({"x": None}, [b"User-Agent: me", b"Accept: */*"]),
        ([("x", None), ("X", "4")], [b"User-Agent: me", b"Accept: */*", b"X: 4"]),
        ({"user-agent": None, "ACCEPT": None, "X": None, "missing": None}, []),
    ],
)
def test_own_fields_win_over_the_defaults(own: Any, lines: list[bytes]) -> None:
    block = defaults(("User-Agent", "me"), ("Accept", "*/*"), ("X", "1"), ("x", "2"), ("Never", None))
    for touched in (False, True):
        request = Request("GET", "http://h/", headers=own)
        if touched:
            assert isinstance(request.headers.copy(), type(request.headers))
        request.settle_headers(block)
        head, _ = serialize(request)
        assert head.split(b"\r\n")[2:-2] == lines
        assert list(request.headers.items()) == [tuple(line.decode().split(": ")) for line in lines]


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "TRANSFER-ENCODING"])
def test_what_belongs_to_one_request_is_no_default(name: str) -> None:
    with pytest.raises(InvalidHeader, match=rf"'{name}' belongs to one request, not to a client's default headers"):
        defaults((name, "x"))


@pytest.mark.parametrize("pair", [("X\r\n", "y"), ("X", "y\r\nZ: 1"), ("", "y"), ("X:", "y"), ("X", "\0")])
def test_defaults_are_checked_when_they_are_given(pair: tuple[str, str]) -> None:
    with pytest.raises(InvalidHeader):
        defaults(("A", "b"), pair)


# --- Host ---


def test_host_can_be_set_and_stands_where_it_was_put() -> None:
    assert wire(headers=[("A", "1"), ("hOsT", "other:81"), ("B", "2")]) == b"GET / HTTP/1.1\r\nA: 1\r\nhOsT: other:81\r\nB: 2\r\n\r\n"
    assert wire(headers={"Host": ""}) == b"GET / HTTP/1.1\r\nHost: \r\n\r\n"


def test_host_cannot_be_left_out() -> None:
    assert wire(headers={"Host": None}) == b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


def test_two_hosts_are_refused() -> None:
    with pytest.raises(InvalidHeader, match="Host: a request has one, not several"):
        wire(headers=[("Host", "a"), ("host", "a")])


# --- Content-Length and Transfer-Encoding are ours: consistent, or an error ---


@pytest.mark.parametrize(
    ("method", "content", "value"),
    [("POST", b"abc", "3"), ("POST", b"abc", "003"), ("GET", None, "0"), ("POST", None, "0"), ("POST", b"", "0")],
)
def test_a_content_length_that_agrees_goes_out_once(method: str, content: bytes | None, value: str) -> None:
    length = b"Content-Length: %d" % int(value)
    for headers in ([("content-length", value)], [("Content-Length", value), ("CONTENT-LENGTH", value)]):
        lines = wire(method, content=content, headers=[*headers, ("A", "b")]).split(b"\r\n")
        assert lines[2:-2] == [b"A: b", length]


@pytest.mark.parametrize(
    ("content", "value"),
    [(b"abc", "4"), (b"abc", "2"), (b"abc", "0"), (None, "3"), (b"", "1"), (b"abc", "9" * 18)],
)
def test_a_content_length_that_disagrees_is_refused(content: bytes | None, value: str) -> None:
    for method in ("GET", "POST"):
        with pytest.raises(InvalidHeader, match=rf"Content-Length: {value} disagrees with the body, which goes out as"):
            wire(method, content=content, headers={"Content-Length": value})


@pytest.mark.parametrize("value", ["", " ", "3 ", "+3", "-3", "3.0", "0x3", "3_0", "3,3", "three", "\u0663", "\xb3", "9" * 19, "1" * 10000])
def test_a_content_length_that_is_no_number_is_refused(value: str) -> None:
    with pytest.raises(InvalidHeader, match="is not a number of bytes"):
        wire("POST", content=b"abc", headers={"Content-Length": value})


def test_two_content_lengths_must_agree() -> None:
    with pytest.raises(InvalidHeader, match="Content-Length: 4 disagrees with the body"):
        serialize(with_stream(None, [("Content-Length", "3"), ("Content-Length", "4")]))


def test_a_content_length_gives_a_stream_its_length() -> None:
    request = with_stream(None, {"content-length": "3"})
    head, _ = serialize(request)
    assert head == b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n"
    assert isinstance(request.body, StreamedBody)
    assert request.body.length == 3


def test_the_known_length_of_a_stream_stands() -> None:
    with pytest.raises(InvalidHeader, match=r"Content-Length: 4 disagrees with the body, which goes out as 'Content-Length: 3'"):
        serialize(with_stream(3, {"Content-Length": "4"}))


@pytest.mark.parametrize("value", ["chunked", "Chunked", " chunked "])
def test_transfer_encoding_chunked_of_a_chunked_body_goes_out_once(value: str) -> None:
    headers = [("transfer-encoding", value), ("Transfer-Encoding", value)]
    head, _ = serialize(with_stream(None, headers))
    assert head == b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("value", ["gzip", "gzip, chunked", "chunked, chunked", "identity", "", "chunked;x=y", "\x0bchunked"])
def test_another_transfer_encoding_is_refused(value: str) -> None:
    with pytest.raises(InvalidHeader, match="Transfer-Encoding: .* can't be set by hand"):
        serialize(with_stream(None, {"Transfer-Encoding": value}))


@pytest.mark.parametrize("content", [None, b"", b"abc"])
def test_transfer_encoding_of_a_body_that_is_not_chunked_is_refused(content: bytes | None) -> None:
    with pytest.raises(InvalidHeader, match="Transfer-Encoding: 'chunked' can't be set by hand: this body goes out as"):
        wire("POST", content=content, headers={"Transfer-Encoding": "chunked"})


@pytest.mark.parametrize("names", [("Content-Length", "Transfer-Encoding"), ("Transfer-Encoding", "Content-Length")])
@pytest.mark.parametrize("length", [None, 3])
def test_both_framings_never_go_out(names: tuple[str, str], length: int | None) -> None:
    values = {"Content-Length": "3", "Transfer-Encoding": "chunked"}
    request = with_stream(length, [(name, values[name]) for name in names])
    try:
        head, _ = serialize(request)
    except InvalidHeader:
        return
    assert (b"Content-Length" in head) != (b"Transfer-Encoding" in head)
    # What the head says is what the body does.
    assert isinstance(request.body, StreamedBody)
    assert (b"Content-Length: 3" in head) == (request.body.length == 3)


# --- Connection ---


@pytest.mark.parametrize(
    ("headers", "closes"),
    [
        ([], False),
        ([("Connection", "keep-alive")], False),
        ([("Connection", "close")], True),
        ([("cOnNeCtIoN", "Upgrade , CLOSE")], True),
        ([("Connection", "keep-alive"), ("Connection", "close")], True),
        ([("Connection", "closed")], False),
        ([("X", "close")], False),
    ],
)
def test_asks_to_close(headers: list[tuple[str, str]], closes: bool) -> None:
    assert serialize(Request("GET", "http://h/", headers=headers))[1] is closes
    request = Request("GET", "http://h/")
    request.settle_headers(HeaderBlock([*headers]))
    assert serialize(request)[1] is closes


def test_own_connection_field_wins() -> None:
    request = Request("GET", "http://h/", headers={"connection": "keep-alive"})
    request.settle_headers(HeaderBlock([("Connection", "close")]))
    head, closes = serialize(request)
    assert not closes
    assert head.lower().count(b"connection") == 1


# --- what the chain adds ---


def test_cookie_and_authorization_come_last_and_give_way_to_the_users_own() -> None:
    request = Request("GET", "http://h/", headers={"A": "b"})
    request.cookie, request.authorization = "a=1", "Basic xyz"
    assert serialize(request)[0].split(b"\r\n")[2:-2] == [b"A: b", b"Cookie: a=1", b"Authorization: Basic xyz"]
    own = Request("GET", "http://h/", headers={"cookie": "own=1", "AUTHORIZATION": "own"})
    own.cookie, own.authorization = "a=1", "Basic xyz"
    assert serialize(own)[0].split(b"\r\n")[2:-2] == [b"cookie: own=1", b"AUTHORIZATION: own"]


@pytest.mark.parametrize("value", ["a=1\r\nX: y", "a=1\n", "a=\0", "a=\x7f", "a=\ud800"])
def test_what_the_chain_adds_is_checked_too(value: str) -> None:
    for name in ("cookie", "authorization"):
        request = Request("GET", "http://h/")
        setattr(request, name, value)
        with pytest.raises(InvalidHeader, match=rf"value of field '{name.title()}'"):
            serialize(request)


# --- the exact bytes, or an error: any text or bytes in any field ---

SPECIAL: set[str | bytes] = {"host", "content-length", "transfer-encoding", "cookie", "authorization"}
SPECIAL |= {str(name).encode() for name in SPECIAL}
REFUSED_BYTES = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

texts = st.text(st.sampled_from('aZ0 :;=,/?#%@\\"\t\r\n\0\x0b\x1f\x7f\x80\x85\xa0\xe9\u2028\udcff\ud800') | st.characters(), max_size=8)
harmless = st.text("abcXYZ-09", min_size=1, max_size=5)
anything = texts | st.binary(max_size=8) | harmless
fields = st.lists(st.tuples(harmless | anything, anything), max_size=4)
users = st.none() | st.tuples(texts | harmless, texts | harmless)
jars = st.none() | st.dictionaries(texts | harmless, texts | harmless, max_size=2)


def raw(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")


@given(harmless | texts, harmless | texts, fields, jars, users, st.none() | st.binary(max_size=5))
@settings(max_examples=600, deadline=None)
@example("GET", "/\r\nX: y", [], None, None, None)
@example("GET", "", [("X", b"\r\n")], None, None, None)
@example("GET", "", [], {"a": "b\r\nX: y"}, None, None)
@example("GET", "", [], None, ("u\n", "p"), None)
def test_exact_bytes_or_an_error(
    method: str,
    rest: str,
    headers: list[tuple[str | bytes, str | bytes]],
    cookies: dict[str, str] | None,
    user: tuple[str, str] | None,
    content: bytes | None,
) -> None:
    assume(not any(name.lower() in SPECIAL for name, _ in headers))
    try:
        request = Request(method, "http://h/" + rest, headers=headers, content=content)
        request.cookie = cookie_header(cookies.items()) if cookies else None
        request.authorization = basic_header(*user) if user else None
        head, _ = serialize(request)
    except (ValueError, TypeError):  # InvalidURL and InvalidHeader are such
        return
    assert head.endswith(b"\r\n\r\n")
    first, host, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert not any(b"\r" in line or b"\n" in line or REFUSED_BYTES.search(line) for line in (first, host, *lines))
    assert first == b"%b %b HTTP/1.1" % (method.encode(), request.parsed.target)
    assert b" " not in request.parsed.target
    assert host == b"Host: h"
    expected = [b"%b: %b" % (raw(name), raw(value)) for name, value in headers]
    if cookies:
        expected.append(b"Cookie: " + "; ".join(f"{name}={value}" for name, value in cookies.items()).encode("utf-8", "surrogateescape"))
    if request.authorization:
        expected.append(b"Authorization: " + request.authorization.encode())
    if content is not None or method in ("POST", "PUT", "PATCH"):
        expected.append(b"Content-Length: %d" % len(content or b""))
    assert lines == expected


@given(st.text("aB-", max_size=3), st.text("aB- \t\xe9", max_size=3))
@settings(deadline=None)
def test_what_is_legal_is_never_refused(name: str, value: str) -> None:
    assert f"\r\nX{name}: {value}\r\n".encode() in wire(headers={"X" + name: value})


# --- the same through the client: the bytes that a server sees, or no connection at all ---

INJECTION = "x{}Injected: 1"
PLACES: dict[str, Callable[[aioreq.Client, str, str], Any]] = {
    "method": lambda client, url, text: client.request(text, url),
    "path": lambda client, url, text: client.get(f"{url}/{text}"),
    "query": lambda client, url, text: client.get(f"{url}/?{text}"),
    "fragment": lambda client, url, text: client.get(f"{url}/#{text}"),
    "host": lambda client, url, text: client.get(url.replace("127.0.0.1", text)),
    "port": lambda client, url, text: client.get(url + text),
    "user in the URL": lambda client, url, text: client.get(url.replace("//", f"//{text}:p@")),
    "quoted user in the URL": lambda client, url, text: client.get(
        url.replace("//", "//%0d%0a{}:p@".format(text.replace("\r", "").replace("\n", "")))
    ),
    "params, text": lambda client, url, text: client.get(url, params=text),
    "params, name": lambda client, url, text: client.get(url, params={text: 1}),
    "params, value": lambda client, url, text: client.get(url, params={"a": text}),
    "field name": lambda client, url, text: client.get(url, headers={text: "b"}),
    "field value": lambda client, url, text: client.get(url, headers={"a": text}),
    "field name in bytes": lambda client, url, text: client.get(url, headers={text.encode(): b"b"}),
    "field value in bytes": lambda client, url, text: client.get(url, headers={b"a": text.encode()}),
    "Host": lambda client, url, text: client.get(url, headers={"Host": text}),
    "Content-Length": lambda client, url, text: client.post(url, headers={"Content-Length": text}, content=[b"a"]),
    "Transfer-Encoding": lambda client, url, text: client.post(url, headers={"Transfer-Encoding": text}, content=[b"a"]),
    "Connection": lambda client, url, text: client.get(url, headers={"Connection": text}),
    "cookie name": lambda client, url, text: client.get(url, cookies={text: "b"}),
    "cookie value": lambda client, url, text: client.get(url, cookies={"a": text}),
    "user": lambda client, url, text: client.get(url, auth=aioreq.BasicAuth(text, "p")),
    "password": lambda client, url, text: client.get(url, auth=aioreq.BasicAuth("u", text)),
    "form": lambda client, url, text: client.post(url, data={text: text}),
    "headers of a Request": lambda client, url, text: client.send(Request("GET", url, headers={"a": text})),
    "method of a Request": lambda client, url, text: client.send(Request(text, url)),
}
CLIENTS: dict[str, Callable[[str], aioreq.Client]] = {
    "user_agent": lambda text: aioreq.Client(user_agent=text),
    "headers": lambda text: aioreq.Client(headers={"a": text}),
    "header names": lambda text: aioreq.Client(headers={text: "a"}),
    "base_url": lambda text: aioreq.Client(base_url=f"http://h/{text}"),
    "cookies": lambda text: aioreq.Client(base_url="http://127.0.0.1", cookies={"a": text}),
    "auth": lambda text: aioreq.Client(auth=aioreq.BasicAuth("u", text)),
}


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\0", "\x0b", "\x7f", "\x1e"], ids=repr)
async def test_nothing_is_injected(server: Server, client: aioreq.Client, end: str) -> None:
    server.route("*", 200)
    refused = []
    for place, send in PLACES.items():
        before = len(server.requests)
        try:
            await send(client, server.url, INJECTION.format(end))
        except ValueError:
            refused.append(place)
            assert len(server.requests) == before, place
            continue
        assert len(server.requests) == before + 1, place
        head = server.requests[-1].head
        assert b"\nInjected" not in head, place
        assert b"\rInjected" not in head, place
        lines = head.split(b"\r\n")
        assert all(re.fullmatch(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [\t -~\x80-\xff]*", line) for line in lines[1:-2]), place
        assert {line.partition(b":")[0] for line in lines[1:-2]} <= {
            b"Host", b"User-Agent", b"Accept", b"Accept-Encoding", b"Content-Type", b"Content-Length",
        }, place  # fmt: skip
    # What becomes part of a query or a form is quoted there; everything else is an error.
    assert set(PLACES) - set(refused) == {"params, name", "params, value", "form"}
    assert not server.errors


@pytest.mark.parametrize("place", CLIENTS)
def test_a_client_takes_no_control_characters(place: str) -> None:
    for end in ("\r\n", "\n", "\r", "\0", "\x7f"):
        with pytest.raises((InvalidHeader, InvalidURL)):
            CLIENTS[place](INJECTION.format(end))
