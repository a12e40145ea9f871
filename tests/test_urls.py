"""URLs: text in, and what goes on the wire out. RFC 3986, RFC 9112 section 3.2."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from yarl import URL

from aioreq import urls
from aioreq.errors import InvalidURL
from aioreq.urls import Origin, ParsedURL, append_missing, append_params, encode_pairs, join, parse, query_names, without_password

pytestmark = pytest.mark.no_loop

# What RFC 9112 section 3.2 lets into a request line: visible ASCII. A fragment never gets there.
VISIBLE = re.compile(rb"[!-~]+")


def refusal(text: str, base: ParsedURL | None = None) -> InvalidURL | None:
    """The error that the URL, or the reference at `base`, gives; None without one."""
    try:
        parse(text) if base is None else join(base, text)
    except InvalidURL as error:
        return error
    return None


# --- the target: exactly the given bytes, illegal ones quoted ---


@pytest.mark.parametrize(
    ("rest", "target"),
    [
        ("", b"/"),
        ("/", b"/"),
        ("?", b"/?"),
        ("/?", b"/?"),
        ("?q", b"/?q"),
        ("#top", b"/"),
        ("/#?x", b"/"),
        ("/a#b#c?d", b"/a"),
        ("//", b"//"),
        ("//b//c//", b"//b//c//"),
        ("/%7Eme", b"/%7Eme"),
        ("/~me", b"/~me"),
        ("/a%2fb%2Fc", b"/a%2fb%2Fc"),
        ("/%41%00%0d%0a", b"/%41%00%0d%0a"),
        ("/.", b"/."),
        ("/./a/../b/..", b"/./a/../b/.."),
        ("/..;/x", b"/..;/x"),
        ("/a+b;c=d,e!$&'()*", b"/a+b;c=d,e!$&'()*"),
        ("/:@:/x@y", b"/:@:/x@y"),
        ("?a=1&&b=&=c&a=2", b"/?a=1&&b=&=c&a=2"),
        ("?a+b=c%20d", b"/?a+b=c%20d"),
        ("?x[]=1&y[a]=2", b"/?x[]=1&y[a]=2"),
        ("/[x]", b"/[x]"),
        ("?to=http://h/p?q=1", b"/?to=http://h/p?q=1"),
        ("?a??b", b"/?a??b"),
        # Quoted: what may stand in no part of a URI.
        ("/a b", b"/a%20b"),
        ("?a b", b"/?a%20b"),
        ('/"<>\\^`{|}', b"/%22%3C%3E%5C%5E%60%7B%7C%7D"),
        ("/caf\xe9?\u65e5=\U0001f600", b"/caf%C3%A9?%E6%97%A5=%F0%9F%98%80"),
        ("/\x80\x85\xa0x", b"/%C2%80%C2%85%C2%A0x"),
        ("/\u2028x", b"/%E2%80%A8x"),
        ("/\udcff\udc80", b"/%FF%80"),  # bytes that were no UTF-8, by surrogateescape
        # A "%" that quotes nothing.
        ("/%", b"/%25"),
        ("/100%", b"/100%25"),
        ("/%4", b"/%254"),
        ("/%4g%zz%%41", b"/%254g%25zz%25%41"),
        ("/%\xe9", b"/%25%C3%A9"),
    ],
)
def test_target(rest: str, target: bytes) -> None:
    parsed = parse("http://h" + rest)
    assert parsed.target == target
    assert parsed.head == b" %b HTTP/1.1\r\nHost: h\r\n" % target


@pytest.mark.parametrize("code", [*range(32), 127])
@pytest.mark.parametrize(
    "place",
    ["{}http://h/", "http{}://h/", "http://{}h/", "http://u:p{}@h/", "http://h:8{}0/", "http://h/{}", "http://h/?{}", "http://h/#{}"],
)
def test_control_characters_are_refused_everywhere(place: str, code: int) -> None:
    text = place.format(chr(code))
    with pytest.raises(InvalidURL, match=rf"control character .* at position {text.index(chr(code))} is not allowed there"):
        parse(text)


@pytest.mark.parametrize("text", ["http://h/\ud800", "http://\ud800/", "http://h/?\udfff", "http://h/#\udd00", "http://\ud83d@h/"])
def test_halves_of_surrogate_pairs_are_refused(text: str) -> None:
    with pytest.raises(InvalidURL, match=r"half of a surrogate pair .* at position \d+"):
        parse(text)


@pytest.mark.parametrize("text", [" http://h/", "http://h/ ", "http://h/\xa0", "\u3000http://h/"])
def test_spaces_round_a_url_are_refused(text: str) -> None:
    with pytest.raises(InvalidURL, match="begins or ends with a space: strip it"):
        parse(text)


def test_what_is_no_text_is_a_type_error() -> None:
    for value in (b"http://h/", None, 5, ["http://h/"]):
        with pytest.raises(TypeError, match=rf"url: give str or yarl\.URL, not {type(value).__name__}"):
            parse(value)  # type: ignore[arg-type]


def test_a_yarl_url_goes_out_as_it_stands() -> None:
    assert parse(URL("http://h/%7E%2f/../b", encoded=True)).target == b"/%7E%2f/../b"
    assert parse(URL("http://u:p%40@h:8080/x?y=z")) == parse("http://u:p%40@h:8080/x?y=z")


# --- scheme, host and port: canonical ---


@pytest.mark.parametrize(
    ("url", "origin", "authority"),
    [
        ("HTTP://EXAMPLE.com", Origin("http", "example.com", 80), b"example.com"),
        ("hTTps://Example.COM/", Origin("https", "example.com", 443), b"example.com"),
        ("http://h:80/", Origin("http", "h", 80), b"h"),
        ("https://h:443/", Origin("https", "h", 443), b"h"),
        ("https://h:80/", Origin("https", "h", 80), b"h:80"),
        ("http://h:443/", Origin("http", "h", 443), b"h:443"),
        ("http://h:/", Origin("http", "h", 80), b"h"),
        ("http://h:08080/", Origin("http", "h", 8080), b"h:8080"),
        ("http://h:65535", Origin("http", "h", 65535), b"h:65535"),
        ("http://h:1?q", Origin("http", "h", 1), b"h:1"),
        ("http://example.com./", Origin("http", "example.com.", 80), b"example.com."),
        ("http://_dmarc.a_b.example/", Origin("http", "_dmarc.a_b.example", 80), b"_dmarc.a_b.example"),
        ("http://a--b.3com/", Origin("http", "a--b.3com", 80), b"a--b.3com"),
        ("http://" + "a" * 63 + ".example/", Origin("http", "a" * 63 + ".example", 80), b"a" * 63 + b".example"),
        # IP addresses
        ("http://1.2.3.4/", Origin("http", "1.2.3.4", 80), b"1.2.3.4"),
        ("http://255.255.255.255:81/", Origin("http", "255.255.255.255", 81), b"255.255.255.255:81"),
        ("http://[::1]/", Origin("http", "::1", 80), b"[::1]"),
        ("http://[::1]:8080/", Origin("http", "::1", 8080), b"[::1]:8080"),
        ("http://[::1]:/", Origin("http", "::1", 80), b"[::1]"),
        ("http://[2001:DB8:0:0:0:0:0:00A]/", Origin("http", "2001:db8::a", 80), b"[2001:db8::a]"),
        ("http://[64:ff9b::1.2.3.4]/", Origin("http", "64:ff9b::102:304", 80), b"[64:ff9b::102:304]"),
        # IDNA (UTS 46): the mapped name counts
        ("http://b\xfccher.example/", Origin("http", "xn--bcher-kva.example", 80), b"xn--bcher-kva.example"),
        ("http://B\xdcCHER.example/", Origin("http", "xn--bcher-kva.example", 80), b"xn--bcher-kva.example"),
        ("http://bu\u0308cher.example/", Origin("http", "xn--bcher-kva.example", 80), b"xn--bcher-kva.example"),
        ("http://fa\xdf.de:81/", Origin("http", "xn--fa-hia.de", 81), b"xn--fa-hia.de:81"),
        ("http://\u65e5\u672c\u3002jp/", Origin("http", "xn--wgv71a.jp", 80), b"xn--wgv71a.jp"),
        ("http://XN--BCHER-KVA.example/", Origin("http", "xn--bcher-kva.example", 80), b"xn--bcher-kva.example"),
        ("http://\u24d4xample.com/", Origin("http", "example.com", 80), b"example.com"),
        ("http://\u212aelvin.example/", Origin("http", "kelvin.example", 80), b"kelvin.example"),
        ("http://a\xadb.example/", Origin("http", "ab.example", 80), b"ab.example"),
        ("http://\uff11\uff12\uff17.0.0.\uff11/", Origin("http", "127.0.0.1", 80), b"127.0.0.1"),
        ("http://1\u30022\u30023\u30024/", Origin("http", "1.2.3.4", 80), b"1.2.3.4"),
    ],
)
def test_origin_and_authority(url: str, origin: Origin, authority: bytes) -> None:
    parsed = parse(url)
    assert parsed.origin == origin
    assert parsed.authority == authority
    assert parsed.url.raw_host == origin.host
    assert parsed.url.port == origin.port


def test_an_ipv4_address_in_ipv6_has_one_spelling() -> None:
    # Which one (::ffff:7f00:1 or ::ffff:127.0.0.1) depends on the version of Python.
    spellings = ["[::ffff:127.0.0.1]", "[::FFFF:7F00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::ffff:7f00:0001]"]
    assert len({parse(f"http://{spelling}/").origin for spelling in spellings}) == 1


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "017700000001",
        "0x7f000001",
        "0x7f.1",
        "0X7F.0.0.1",
        "127.1",
        "127.0.1",
        "0177.0.0.1",
        "127.0.0.01",
        "127.0.0.0x1",
        "1.2.3.4.",
        "1.2.3.4.5",
        "256.1.1.1",
        "1.2.3.999",
        "0",
        "0x",
        "a.0x1f",
        "example.1",
        "example.08",
        "example.1.",
        "\uff11\uff12\uff17.1",  # fullwidth digits
        "\uff10x7f.1",
        "\u2460.\u2461",  # circled digits
        "127\u30021",
    ],
)
def test_numbers_that_are_no_dotted_quad_are_refused(host: str) -> None:
    with pytest.raises(InvalidURL, match="is a number but no dotted quad"):
        parse(f"http://{host}/")


@pytest.mark.parametrize(
    "host",
    [
        "a b",
        "a%20b",
        "a%2eb",
        "a%00b",
        "a,b",
        "a;b",
        "a+b",
        "a*b",
        "*",
        "a&b",
        "a!b",
        "a'b",
        'a"b',
        "a<b>",
        "a|b",
        "a^b",
        "a`b",
        "{a}",
        "-a.example",
        "a-.example",
        "a..example",
        ".example",
        "example..",
        ".",
        "1.2.3.4..",
        "xn--",
        "a" * 64 + ".example",
        ".".join(["a" * 63] * 4),
        "a]",
        "x[::1]",
        # After the mapping of IDNA these hold "/", "@", "%", ":", "?", "#", "\\", a space, or nothing at all.
        "evil.example\uff0fpath",
        "evil.example\uff20good.example",
        "a\uff0541",
        "a\uff1a80",
        "a\uff1fb",
        "a\uff03b",
        "a\uff3cb",
        "\u2100.example",
        "a\u3000b",
        "a\xa0b",
        "\xad",
        "\u200b",
        "a\u200db.example",
        "a\u2024\u2024b",
        "\u30fb\u2488com",
        "xn--a.\xe9",
        "\udcff.example",
        "\xe9" * 64,
        "\xe9-" * 200,
    ],
)
def test_what_is_no_host_name_is_refused(host: str) -> None:
    with pytest.raises(InvalidURL, match=r"is no host name|is no domain name|at most 253 characters"):
        parse(f"http://{host}/")


@pytest.mark.parametrize(
    "literal",
    [
        "[]",
        "[::1",
        "[::1]x",
        "[::1].example",
        "[::1]@",
        "[1.2.3.4]",
        "[::1%25eth0]",
        "[::1%eth0]",
        "[v1.x]",
        "[:::]",
        "[1:2:3:4:5:6:7]",
        "[::1.2.3]",
        "[::12345]",
        "[\uff11::]",
        "[::1]]",
        "[[::1]]",
    ],
)
def test_what_is_no_ipv6_address_is_refused(literal: str) -> None:
    with pytest.raises(InvalidURL, match=r"is no IPv6 address|has no host"):
        parse(f"http://{literal}/")


@pytest.mark.parametrize(
    "port",
    [
        "0",
        "00",
        "65536",
        "99999",
        "100000",
        "080808",
        "-1",
        "+80",
        "8_0",
        "8 0",
        "0x50",
        "http",
        "\uff18\uff10",
        "\xb2",
        "80:80",
        "9" * 5000,
    ],
)
def test_what_is_no_port_is_refused(port: str) -> None:
    with pytest.raises(InvalidURL, match="the port is not a number from 1 to 65535"):
        parse(f"http://h:{port}/")
    with pytest.raises(InvalidURL, match="the port is not a number from 1 to 65535"):
        parse(f"http://[::1]:{port}/")


# --- userinfo ---


@pytest.mark.parametrize(
    ("userinfo", "decoded"),
    [
        ("user:pass@", ("user", "pass")),
        ("user@", ("user", "")),
        ("user:@", ("user", "")),
        (":pass@", ("", "pass")),
        ("us%40er:p%3Aa%2Fs%25s@", ("us@er", "p:a/s%s")),
        ("user:a:b@", ("user", "a:b")),
        ("user:a b+c@", ("user", "a b+c")),
        ("\xfcser:%C3%BC@", ("\xfcser", "\xfc")),
        ("\udcfe%FD:%FF@", ("\udcfe\udcfd", "\udcff")),
        ("user:%0d%0a@", ("user", "\r\n")),  # refused by Basic authentication
        ("user:%@", ("user", "%")),
        ("@", None),
        (":@", None),
        ("", None),
    ],
)
def test_userinfo_is_decoded_and_leaves_the_url(userinfo: str, decoded: tuple[str, str] | None) -> None:
    parsed = parse(f"http://{userinfo}h:81/p?q")
    assert parsed.userinfo == decoded
    assert str(parsed.url) == "http://h:81/p?q"
    assert parsed.authority == b"h:81"
    assert parsed.head == b" /p?q HTTP/1.1\r\nHost: h:81\r\n"
    assert repr(parsed) == "<ParsedURL http://h:81/p?q>"


@pytest.mark.parametrize("authority", ["a@b@c", "user:p@ss@h", "h\\@evil", "h\\", "\\h", "user\\:x@h", "h:80\\"])
def test_ambiguous_authorities_are_refused(authority: str) -> None:
    with pytest.raises(InvalidURL, match="an authority holds no backslash and at most one '@'"):
        parse(f"http://{authority}/")


# --- what an error says ---


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("www.example.com", "URL 'www.example.com' has no scheme: did you mean 'https://www.example.com'?"),
        ("//h/p", "URL '//h/p' has no scheme: did you mean 'https://h/p'?"),
        ("localhost:8080/x", "URL 'localhost:8080/x' has no scheme: did you mean 'https://localhost:8080/x'?"),
        ("/path", "URL '/path' has no scheme: did you mean 'https://path'?"),
        ("://h", "URL '://h' has no scheme: did you mean 'https://://h'?"),
        ("ftp://h/", "URL 'ftp://h/': scheme 'ftp' can't be requested, only http and https"),
        ("mailto:someone", "URL 'mailto:someone': scheme 'mailto' can't be requested, only http and https"),
        ("file:///etc/passwd", "URL 'file:///etc/passwd': scheme 'file' can't be requested, only http and https"),
        ("http:h", "URL 'http:h': '//' must follow the scheme"),
        ("https:/h", "URL 'https:/h': '//' must follow the scheme"),
        ("http:\\\\h", r"URL 'http:\\\\h': '//' must follow the scheme"),
        ("http://", "URL 'http://' has no host"),
        ("http:///p", "URL 'http:///p' has no host"),
        ("http://:80/", "URL 'http://:80/' has no host"),
        ("http://user@/", "URL 'http:///' has no host"),
        ("http://?h", "URL 'http://?h' has no host"),
        ("http://a b/", "URL 'http://a b/': 'a b' is no host name"),
        ("http://127.1/", "URL 'http://127.1/': host '127.1' is a number but no dotted quad such as 127.0.0.1"),
        ("http://h:x/", "URL 'http://h:x/': the port is not a number from 1 to 65535"),
        ("http://[::1/", "URL 'http://[::1/': '[::1' is no IPv6 address in brackets"),
        ("http://[1]/", "URL 'http://[1]/': '1' is no IPv6 address"),
        ("http://h/\r", r"URL 'http://h/\r': control character '\r' at position 9 is not allowed there"),
    ],
)
def test_message(text: str, message: str) -> None:
    with pytest.raises(InvalidURL) as caught:
        parse(text)
    assert str(caught.value) == message


def test_an_empty_url_has_no_scheme() -> None:
    with pytest.raises(InvalidURL, match="URL '' has no scheme"):
        parse("")


@pytest.mark.parametrize(
    "text",
    [
        "x" * 10**6,
        "http://" + "x" * 10**6,
        "http://h:" + "9" * 10**6,
        "http://[" + ":" * 10**6,
        "http://h/" + "x" * 10**6 + "\n",
        "http://" + "\xe9" * 10**6,
    ],
)
def test_a_message_shows_no_megabyte(text: str) -> None:
    with pytest.raises(InvalidURL) as caught:
        parse(text)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "text",
    [
        "user:hunter2@h",
        "user:hunter2@h/path",
        "//user:hunter2@h/",
        "https//user:hunter2@h/",
        "http:user:hunter2@h",
        "http:/user:hunter2@h",
        "HTTP:////user:hunter2@h",
        "ftp://user:hunter2@h/",
        "http://user:hunter2@a b/",
        "http://user:hunter2@h:port/",
        "http://user:hunter2@/",
        "http://user:hunter2@x@h/",
        "http://user:hunter2@h\\/",
        "http://user:hunter2\n@h/",
        "http://user:hunter2\ud800@h/",
        " http://user:hunter2@h/",
        "http://user:hunter2@127.1/",
        "http://user:hunter2@[x]/",
        "http://user:hunter2@" + "\xe9" * 300 + "/",
        # Not quoted as it should be, so that the password ends the authority:
        "http://user:hunter2/x@h/",
        "http://user:hunter2?x@h/",
        "http://user:hunter2#x@h/",
        "http://user:x/hunter2@h/",
        "http://us er:x/hunter2@h/",
        "user:x/hunter2@h/",
        "http:user:x/hunter2@h/",
    ],
)
def test_no_password_in_a_message(text: str) -> None:
    refused = [error for error in (refusal(text), refusal(text, parse("http://base/"))) if error is not None]
    assert refused
    for error in refused:
        assert "hunter2" not in f"{error!s} {error!r} {error.__cause__!r} {error.__context__!r}"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://u:p@h/a@b", "http://h/a@b"),
        ("http://h/a:b@c", "http://h/a:b@c"),
        ("http://h:80/@b", "http://h:80/@b"),
        ("http://h?@", "http://h?@"),
        ("http://[::1]:80/a:b@c", "http://[::1]:80/a:b@c"),
        ("localhost:8080/@x", "localhost:8080/@x"),
        ("/a:b@c", "/a:b@c"),
        ("h/a:b@c", "h/a:b@c"),
        ("x" * 201, "x" * 200 + "..."),
    ],
)
def test_without_password_leaves_the_rest(url: str, shown: str) -> None:
    assert without_password(url) == shown


# --- properties ---

# Characters that mean something somewhere in a URL, more often than by chance.
odd_text = st.text(
    st.sampled_from(":/?#[]@!$&'()*+,;=%.-_~ \\|aZ09xX\t\r\n\0\x7f\x80\xa0\xe9\uff0f\uff20\u3002\uff11\u24d4\udcff\ud800") | st.characters()
)
whole_urls = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["http://", "https://", "HTTP://", "http:", "", "ftp://", "//"]),
    odd_text,
    st.sampled_from(["/", "?", "#", ":", "@", ""]),
    odd_text,
    odd_text,
)
urls_of_h = st.builds("http://h{}{}".format, st.sampled_from(["/", "?", "#", "/?", "/%", "//"]), odd_text)


@given(odd_text | whole_urls | urls_of_h)
@settings(max_examples=1000, deadline=None)
@example("http://h/?")
@example("http://h/\u2028")
@example("http://\u212a\udcff/")
def test_parse_gives_visible_ascii_or_invalid_url(text: str) -> None:
    if error := refusal(text):
        assert str(error)
        return
    parsed = parse(text)
    assert VISIBLE.fullmatch(parsed.target)
    assert parsed.target.startswith(b"/")
    assert b"#" not in parsed.target
    assert VISIBLE.fullmatch(parsed.authority)
    assert not set(parsed.authority) & set(b"/?#@\\%")
    assert parsed.head == b" %b HTTP/1.1\r\nHost: %b\r\n" % (parsed.target, parsed.authority)
    assert parsed.origin.scheme in ("http", "https")
    assert 0 < parsed.origin.port < 65536
    # yarl keeps what it is given, but for an empty query.
    shown = f"{parsed.origin.scheme}://{parsed.authority.decode()}{parsed.target.decode().removesuffix('?')}"
    assert str(parsed.url).partition("#")[0] in (shown, shown + "?")
    # What went out goes out again.
    again = parse(str(parsed.url))
    assert again.target in (parsed.target, parsed.target.removesuffix(b"?"))
    assert (again.origin, again.authority, again.userinfo, str(again.url)) == (parsed.origin, parsed.authority, None, str(parsed.url))


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='#%"<>\\^`{|}')))
@settings(deadline=None)
def test_legal_bytes_go_out_as_given(rest: str) -> None:
    path, mark, query = rest.partition("?")
    assert parse(f"http://h/{path}{mark}{query}").target == f"/{path}{mark}{query}".encode()


@given(st.text())
@settings(deadline=None)
def test_quoting_twice_changes_nothing(text: str) -> None:
    assume(not re.search(r"[\x00-\x1f\x7f\ud800-\udfff#?]|\s\Z", text))
    once = parse(f"http://h/{text}").target
    assert parse(f"http://h{once.decode()}").target == once


# --- the cache ---


def test_the_cache_is_bounded_and_holds_no_long_texts() -> None:
    for number in range(3000):
        parse(f"http://h/{number}")
    before = urls._parse_cached.cache_info()
    assert before.maxsize is not None
    assert before.currsize <= before.maxsize <= 4096
    long = "http://h/" + "x" * 5000
    assert parse(long) == parse(long)
    assert parse(long) is not parse(long)
    after = urls._parse_cached.cache_info()
    assert (after.misses, after.hits) == (before.misses, before.hits)
    assert parse("http://h/short") is parse("http://h/short")


def test_errors_are_not_cached() -> None:
    caught = []
    for _ in range(2):
        with pytest.raises(InvalidURL) as error:
            parse("nonsense")
        caught.append(error.value)
    assert caught[0] is not caught[1]


# --- references ---

# RFC 3986 section 5.4, over http in place of its "http" URI of letters.
NORMAL = {
    "g": "http://a/b/c/g",
    "./g": "http://a/b/c/g",
    "g/": "http://a/b/c/g/",
    "/g": "http://a/g",
    "//g": "http://g/",
    "?y": "http://a/b/c/d;p?y",
    "g?y": "http://a/b/c/g?y",
    "#s": "http://a/b/c/d;p?q#s",
    "g#s": "http://a/b/c/g#s",
    "g?y#s": "http://a/b/c/g?y#s",
    ";x": "http://a/b/c/;x",
    "g;x": "http://a/b/c/g;x",
    "g;x?y#s": "http://a/b/c/g;x?y#s",
    "": "http://a/b/c/d;p?q",
    ".": "http://a/b/c/",
    "./": "http://a/b/c/",
    "..": "http://a/b/",
    "../": "http://a/b/",
    "../g": "http://a/b/g",
    "../..": "http://a/",
    "../../": "http://a/",
    "../../g": "http://a/g",
}
ABNORMAL = {
    "../../../g": "http://a/g",
    "../../../../g": "http://a/g",
    "/./g": "http://a/g",
    "/../g": "http://a/g",
    "g.": "http://a/b/c/g.",
    ".g": "http://a/b/c/.g",
    "g..": "http://a/b/c/g..",
    "..g": "http://a/b/c/..g",
    "./../g": "http://a/b/g",
    "./g/.": "http://a/b/c/g/",
    "g/./h": "http://a/b/c/g/h",
    "g/../h": "http://a/b/c/h",
    "g;x=1/./y": "http://a/b/c/g;x=1/y",
    "g;x=1/../y": "http://a/b/c/y",
    "g?y/./x": "http://a/b/c/g?y/./x",
    "g?y/../x": "http://a/b/c/g?y/../x",
    "g#s/./x": "http://a/b/c/g#s/./x",
    "g#s/../x": "http://a/b/c/g#s/../x",
}


@pytest.mark.parametrize(("reference", "url"), (NORMAL | ABNORMAL).items())
def test_reference(reference: str, url: str) -> None:
    assert str(join(parse("http://a/b/c/d;p?q"), reference).url) == url


@pytest.mark.parametrize("reference", ["g:h", "http:g"])
def test_references_of_section_5_4_that_cannot_be_requested(reference: str) -> None:
    with pytest.raises(InvalidURL):
        join(parse("http://a/b/c/d;p?q"), reference)


@pytest.mark.parametrize(
    ("base", "reference", "target", "fragment"),
    [
        ("http://a", "g", b"/g", ""),
        ("http://a?q", "g", b"/g", ""),
        ("http://a/?", "", b"/?", ""),
        ("http://a/x?", "#s", b"/x?", "s"),
        ("http://a/x?q", "?", b"/x?", ""),
        ("http://a/b", "//a", b"/", ""),
        ("http://a/b", "///g", None, ""),
        ("http://a//b//c", "g", b"//b//g", ""),
        ("http://a/b", "/x//y/../z", b"/x//z", ""),
        ("http://a/b", "//a/./x/../y", b"/./x/../y", ""),  # absolute: as it was given
        ("http://a/b", "%2e%2E/g", b"/%2e%2E/g", ""),
        # Nothing of these names another host.
        ("http://a/b", "/..//g.example/", b"//g.example/", ""),
        ("http://a/b", "..//g.example/", b"//g.example/", ""),
        ("http://a/b", "/\\g.example/", b"/%5Cg.example/", ""),
        ("http://a/b", "\\\\g.example", b"/%5C%5Cg.example", ""),
        ("http://a/b", "@g.example", b"/@g.example", ""),
        ("http://a/b", ".:80@g.example", b"/.:80@g.example", ""),
        ("http://a", "?@g.example", b"/?@g.example", ""),
        ("http://a/b", "caf\xe9 x", b"/caf%C3%A9%20x", ""),
        ("http://a/b", "\udce9", b"/%E9", ""),
        ("http://a/b", "x?y?z:/@", b"/x?y?z:/@", ""),
        ("http://a/b", "./x:y", b"/x:y", ""),
        # The fragment of the base stays where the reference has none (RFC 9110 section 10.2.2).
        ("http://a/b#top", "g", b"/g", "top"),
        ("http://a/b#top", "g#own", b"/g", "own"),
        ("http://a/b#top", "g#", b"/g", ""),
        ("http://a/b#top", "//a/g", b"/g", "top"),
        ("http://a/b#top", "http://a/g#own", b"/g", "own"),
    ],
)
def test_more_references(base: str, reference: str, target: bytes | None, fragment: str) -> None:
    if target is None:
        with pytest.raises(InvalidURL):
            join(parse(base), reference)
        return
    joined = join(parse(base), reference)
    assert (joined.target, joined.url.raw_fragment) == (target, fragment)
    assert joined.origin == Origin("http", "a", 80)


def test_a_reference_may_change_the_origin() -> None:
    base = parse("https://u:p@a:8443/b")
    assert join(base, "//c/d").origin == Origin("https", "c", 443)
    assert join(base, "http://a:8443/").origin == Origin("http", "a", 8443)
    assert join(base, "HTTPS://A:8443/").origin == base.origin
    assert join(base, "d").origin == base.origin
    assert join(parse("http://[::1]:81/"), "x").authority == b"[::1]:81"
    assert join(base, "//x:y@c/").userinfo == ("x", "y")


@pytest.mark.parametrize("reference", ["/\r\nX: y", "g\n", "//h\0/", "http://h/\x7f", "?\t", "#\x1f", "/\ud800"])
def test_references_with_control_characters_are_refused(reference: str) -> None:
    with pytest.raises(InvalidURL, match=r"URL reference .* is not allowed there"):
        join(parse("http://a/b"), reference)


@given(odd_text, odd_text)
@settings(max_examples=300, deadline=None)
def test_join_gives_visible_ascii_or_invalid_url(path: str, reference: str) -> None:
    try:
        base = parse("http://a/" + path)
        joined = join(base, reference)
    except InvalidURL:
        return
    assert VISIBLE.fullmatch(joined.target)
    assert VISIBLE.fullmatch(joined.authority)


# --- parameters ---


@pytest.mark.parametrize(
    ("url", "params", "result"),
    [
        ("http://h/", {}, "http://h/"),
        ("http://h/", {"a": None}, "http://h/"),
        ("http://h/", {"a": 1}, "http://h/?a=1"),
        ("http://h", {"a": 1}, "http://h?a=1"),
        ("http://h/?", {"a": 1}, "http://h/?a=1"),
        ("http://h/?x", {"a": 1}, "http://h/?x&a=1"),
        ("http://h/?x=%7E&", {"a": 1}, "http://h/?x=%7E&a=1"),
        ("http://h/?a=0", {"a": 1}, "http://h/?a=0&a=1"),
        ("http://h/x&", {"a": 1}, "http://h/x&?a=1"),
        ("http://h/x#top?y", {"a": 1}, "http://h/x?a=1#top?y"),
        ("http://h/?x#", {"a": 1}, "http://h/?x&a=1#"),
        ("/relative", {"a": 1}, "/relative?a=1"),
        (URL("http://h/%7E?x", encoded=True), {"a": 1}, "http://h/%7E?x&a=1"),
        ("http://h/", [("b", 1), ("a", 2), ("b", 3)], "http://h/?b=1&a=2&b=3"),
        ("http://h/", "a=%7E&b=[c]", "http://h/?a=%7E&b=[c]"),
        ("http://h/", "?a=b", "http://h/?a=b"),
        ("http://h/", "??a", "http://h/??a"),
        ("http://h/", "", "http://h/"),
        ("http://h/?x", "a=#b", "http://h/?x&a=%23b"),
    ],
)
def test_append_params(url: str | URL, params: Any, result: str) -> None:
    assert append_params(url, params) == result


@pytest.mark.parametrize(
    ("url", "params", "named", "result"),
    [
        ("http://h/", "a=1&b=2", (), "http://h/?a=1&b=2"),
        ("http://h/?a=9", "a=1&b=2", (), "http://h/?a=9&b=2"),
        ("http://h/?%61=9#a=3", "a=1&c", (), "http://h/?%61=9&c#a=3"),
        ("http://h/", "a=1&b=2&a=3", ("a",), "http://h/?b=2"),
        ("http://h/x", "a=1", ("a",), "http://h/x"),
    ],
)
def test_append_missing(url: str, params: str, named: tuple[str, ...], result: str) -> None:
    assert append_missing(url, params, named) == result


def test_query_names() -> None:
    assert query_names("?a=1&%62=2&&c") == {"a", "b", "c"}
    assert query_names({"a": None, "b": [1]}) == query_names([("a", 1), ("b", 2), ("a", 3)]) == {"a", "b"}


@pytest.mark.parametrize(
    ("pairs", "encoded"),
    [
        ({"a": "b c+d&e=f/%?#~"}, "a=b%20c%2Bd%26e%3Df%2F%25%3F%23~"),
        ({"\xe9": "\u65e5"}, "%C3%A9=%E6%97%A5"),
        ({"a": "\udcff"}, "a=%FF"),
        ({"a": "\r\n\0"}, "a=%0D%0A%00"),
        ({"": ""}, "="),
        ({"t": True, "f": False, "n": None, "i": -1, "x": 1.5, "e": 1e22}, "t=true&f=false&i=-1&x=1.5&e=1e%2B22"),
        ({"a": [1, None, "x", True]}, "a=1&a=x&a=true"),
        ({"a": (), "b": [], "c": ("y",)}, "c=y"),
        ({"a": range(3)}, "a=0&a=1&a=2"),
        ({"a": (str(number) for number in range(2))}, "a=0&a=1"),
        ([("a", 1), ("a", [2, 3])], "a=1&a=2&a=3"),
        ((), ""),
    ],
)
def test_encode_pairs(pairs: Any, encoded: str) -> None:
    assert encode_pairs(pairs, "params") == encoded


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ({"a": b"x"}, "params: 'a' holds bytes; give str, a number, a bool or None"),
        ({"a": {"b": 1}}, "params: 'a' holds dict"),
        ({"a": object()}, "params: 'a' holds object"),
        ({"a": [["b"]]}, "params: 'a' holds list"),
        ({b"a": "x"}, "params: b'a' holds bytes"),
        ({1: "x", None: "y"}, "params: None holds NoneType"),
    ],
)
def test_values_of_other_types_are_a_type_error(pairs: Any, message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        encode_pairs(pairs, "params")


def test_half_of_a_surrogate_pair_cannot_be_encoded() -> None:
    with pytest.raises(ValueError, match="params: 'a' holds half of a surrogate pair"):
        encode_pairs({"a": "\ud800"}, "params")


scalars = st.text(st.characters(codec="utf-8")) | st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none()


def plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@given(
    st.dictionaries(st.text(st.characters(codec="utf-8")), scalars | st.lists(scalars))
    | st.lists(st.tuples(st.text(st.characters(codec="utf-8")), scalars))
)
@settings(max_examples=200, deadline=None)
def test_what_is_appended_is_what_a_server_reads(params: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
    items = params.items() if isinstance(params, Mapping) else params
    wanted = [(name, plain(item)) for name, value in items for item in (value if isinstance(value, list) else [value]) if item is not None]
    target = parse(append_params("http://h/?first=%7E#top", params)).target
    assert target.startswith(b"/?first=%7E")
    assert parse_qsl(target.decode().partition("?")[2], keep_blank_values=True, max_num_fields=None)[1:] == wanted
