"""Cookies: a Set-Cookie field in, a Cookie field out."""

import copy
import sys
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from clock import NOW, Clock
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from aioreq.cookies import Cookie, CookieJar, cookie_header
from aioreq.errors import InvalidHeader

pytestmark = pytest.mark.no_loop

SITE = URL("https://www.example.org/docs/web/")
PLAIN = URL("http://www.example.org/docs/web/")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def jar(clock: Clock) -> CookieJar:
    return CookieJar(clock=clock)


# --- one Set-Cookie field ---


@pytest.mark.parametrize(
    ("field", "sent"),
    [
        ("a=1", "a=1"),
        (b"a=1", "a=1"),
        ("  a \t=\t 1  ;", "a=1"),
        ("a=", "a="),
        ("a=b=c==", "a=b=c=="),
        ('a="quoted value"', 'a="quoted value"'),
        ('a="unbalanced', 'a="unbalanced'),
        ("a=1,b=2", "a=1,b=2"),
        ("a=x\ty", "a=x\ty"),
        ("a=%7E%2f+", "a=%7E%2f+"),
        ("a=é".encode(), "a=é"),
        (b"a=\xff\xe9", "a=\udcff\udce9"),
        ("a=1; Unknown=x; ;;=; Path", "a=1"),
        ("$Version=1", "$Version=1"),
    ],
)
def test_a_value_comes_back_byte_for_byte(jar: CookieJar, field: str | bytes, sent: str) -> None:
    assert jar.store(SITE, field) is not None
    assert jar.header(SITE) == sent


@pytest.mark.parametrize("field", ["", ";", "=", " = ", ";a=1", "; Path=/", "=; Path=/", " \t"])
def test_neither_name_nor_value_no_cookie(jar: CookieJar, field: str) -> None:
    assert jar.store(SITE, field) is None
    assert len(jar) == 0


@pytest.mark.parametrize(("field", "sent"), [("token", "token"), ("=token", "token"), (" = token ; Path=/", "token"), ('"a b"', '"a b"')])
def test_a_cookie_without_a_name_is_its_value(jar: CookieJar, field: str, sent: str) -> None:
    cookie = jar.store(SITE, field)
    assert cookie is not None
    assert cookie.name == ""
    assert jar.header(SITE) == sent
    assert jar.store(SITE, field.replace("token", "other").replace("a b", "c")) is not None
    assert len(jar) == 1
    assert jar.get("") in ("other", '"c"')


@pytest.mark.parametrize(
    "field",
    ["=sid=evil", "==", "=__Host-a=1; Path=/; Secure", "=__Host-a; Secure", "__hOST-a; Secure; Path=/", "=__SECURE-a; Secure"],
)
def test_a_cookie_without_a_name_never_reads_as_another_one(jar: CookieJar, field: str) -> None:
    assert jar.store(SITE, field) is None
    assert jar.header(SITE) is None


@pytest.mark.parametrize("bad", [*map(chr, (0xD800, 0xDC7F, 0xDD00, 0xDFFF))])
def test_text_that_stands_for_no_bytes(jar: CookieJar, bad: str) -> None:
    for field in (f"a={bad}", f"{bad}=1", f"a=1; Path=/{bad}"):
        assert jar.store(SITE, field) is None


@pytest.mark.parametrize("code", [*range(9), *range(10, 32), 127])
@pytest.mark.parametrize("where", ["a{}=1", "a=1{}2", "a=1; Path=/{}", "a=1; {}", "{}a=1"])
def test_a_control_byte_refuses_the_cookie(jar: CookieJar, where: str, code: int) -> None:
    assert jar.store(SITE, where.format(chr(code)).encode()) is None
    assert jar.header(SITE) is None


def test_4096_octets_of_name_and_value() -> None:
    jar = CookieJar()
    assert jar.store(SITE, "a=" + "x" * 4095) is not None
    assert jar.store(SITE, "b=" + "x" * 4096) is None
    assert jar.store(SITE, ("c=" + "é" * 2048).encode()) is None
    assert jar.store(SITE, b"d=" + b"\xff" * 4095) is not None
    assert sorted(cookie.name for cookie in jar) == ["a", "d"]


def test_attributes(jar: CookieJar) -> None:
    cookie = jar.store(SITE, "sid=1; PATH=/docs; secure; HTTPONLY=whatever; samesite=LAX; max-age=60")
    assert cookie == Cookie("sid", "1", "www.example.org", path="/docs", expires=NOW + 60, secure=True, http_only=True, same_site="Lax")
    assert cookie is not None
    assert (cookie.host_only, cookie.created) == (True, NOW)
    for given_, stored in (("Strict", "Strict"), ("none", "None"), ("", None), ("Sideways", None), ("Lax; SameSite=strict", "Strict")):
        same_site = jar.store(SITE, f"sid=1; Secure; SameSite={given_}")
        assert same_site is not None
        assert same_site.same_site == stored
    assert jar.store(SITE, "other=1; SameSite=None") is None  # section 5.7: only together with Secure


def test_same_site_restrains_nothing(jar: CookieJar) -> None:
    for same_site in ("Strict", "Lax", "None"):
        jar.store(SITE, f"{same_site}=1; Secure; SameSite={same_site}")
    assert jar.header(SITE) == "Strict=1; Lax=1; None=1"


def test_the_last_attribute_of_a_name_counts(jar: CookieJar) -> None:
    cookie = jar.store(SITE, "a=1; Path=/x; Path=/docs; Max-Age=5; Max-Age=9; Domain=other.net; Domain=example.org")
    assert cookie is not None
    assert (cookie.path, cookie.expires) == ("/docs", NOW + 9)


def test_an_attribute_of_over_1024_octets_is_ignored(jar: CookieJar) -> None:
    assert jar.store(SITE, "a=1; Path=/" + "x" * 1023) == Cookie("a", "1", "www.example.org", path="/" + "x" * 1023)
    assert jar.store(SITE, "a=1; Path=/" + "x" * 1024) == Cookie("a", "1", "www.example.org", path="/docs/web")


def test_no_value_in_a_repr(jar: CookieJar) -> None:
    cookie = jar.store(SITE, "sid=hunter2")
    assert "hunter2" not in repr(cookie) + repr(jar)
    assert repr(jar) == "<CookieJar of 1 cookies>"


# --- hosts ---


def test_ports_share_cookies_and_case_does_not_matter(jar: CookieJar) -> None:
    jar.store(URL("http://localhost:8000/"), "a=1")
    assert jar.header(URL("http://localhost:9000/")) == "a=1"
    assert jar.header(URL("http://LOCALHOST/", encoded=True)) == "a=1"


# --- paths ---


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://h", "/"),
        ("http://h/", "/"),
        ("http://h/a", "/"),
        ("http://h/a/", "/a"),
        ("http://h/a/b", "/a"),
        ("http://h/a/b/", "/a/b"),
        ("http://h/a?x=/y/z", "/"),
        ("http://h/%7Ea/b", "/%7Ea"),
    ],
)
def test_default_path(jar: CookieJar, url: str, path: str) -> None:
    for field in ("a=1", "a=1; Path", "a=1; Path=", "a=1; Path=x"):
        assert jar.store(URL(url, encoded=True), field) == Cookie("a", "1", "h", path=path)


@pytest.mark.parametrize(
    ("cookie_path", "path", "matches"),
    [
        ("/", "/", True),
        ("/", "/x", True),
        ("/docs", "/docs", True),
        ("/docs", "/docs/", True),
        ("/docs", "/docs/web", True),
        ("/docs", "/docsets", False),
        ("/docs", "/", False),
        ("/docs", "/Docs", False),
        ("/docs/", "/docs", False),
        ("/docs/", "/docs/web", True),
    ],
)
def test_path_match(jar: CookieJar, cookie_path: str, path: str, matches: bool) -> None:
    jar.store(PLAIN, f"a=1; Path={cookie_path}")
    assert jar.header(PLAIN.with_path(path)) == ("a=1" if matches else None)


def test_longest_path_first_then_oldest(jar: CookieJar) -> None:
    for field in ("a=1; Path=/", "b=2; Path=/docs/web", "c=3; Path=/docs", "d=4; Path=/docs/web", "a=5; Path=/docs"):
        jar.store(SITE, field)
    assert jar.header(SITE) == "b=2; d=4; c=3; a=5; a=1"
    jar.store(SITE, "b=new; Path=/docs/web")  # a new value, as old as the first
    assert jar.header(SITE) == "b=new; d=4; c=3; a=5; a=1"


def test_matching_gives_the_cookies_of_the_header(jar: CookieJar) -> None:
    for field in ("a=1; Path=/", "b=2; Path=/docs/web", "c=3; Path=/elsewhere", "=nameless; Path=/"):
        jar.store(SITE, field)
    assert [(cookie.name, cookie.value) for cookie in jar.matching(SITE)] == [("b", "2"), ("a", "1"), ("", "nameless")]
    assert jar.header(SITE) == "b=2; a=1; nameless"
    assert jar.matching(URL("https://other.example/")) == []


# --- Secure and the prefixes ---


def test_secure(jar: CookieJar) -> None:
    assert jar.store(PLAIN, "a=1; Secure") is None
    assert jar.store(URL("http://localhost/"), "a=1; Secure") is None
    assert jar.store(SITE, "a=1; Secure") is not None
    assert jar.header(SITE) == "a=1"
    assert jar.header(SITE.with_scheme("wss")) == "a=1"
    assert jar.header(PLAIN) is None
    assert jar.header(PLAIN.with_scheme("ws")) is None


def test_http_only_cookies_are_for_http(jar: CookieJar) -> None:
    jar.store(SITE, "a=1; HttpOnly")
    assert jar.header(SITE) == "a=1"


def test_plain_http_leaves_secure_cookies_alone(jar: CookieJar, clock: Clock) -> None:
    jar.store(SITE, "a=secret; Secure; Path=/docs; Max-Age=100")
    assert jar.store(PLAIN, "a=evil; Path=/docs") is None
    assert jar.store(PLAIN, "a=evil; Path=/docs/web") is None  # it would be sent first
    assert jar.store(PLAIN, "a=; Path=/docs; Max-Age=0") is None
    assert jar.header(SITE) == "a=secret"
    assert jar.store(PLAIN, "a=harmless; Path=/") is not None
    assert jar.header(SITE) == "a=secret; a=harmless"
    assert jar.store(SITE, "a=changed; Path=/docs") is not None
    clock.now += 101
    jar.store(SITE, "b=gone; Secure; Path=/; Max-Age=1")
    clock.now += 2
    assert jar.store(PLAIN, "b=back; Path=/") is not None


@pytest.mark.parametrize(
    ("url", "field", "kept"),
    [
        (SITE, "__Secure-a=1; Secure", True),
        (SITE, "__Secure-a=1; Secure; Domain=example.org; Path=/docs", True),
        (SITE, "__Secure-a=1", False),
        (SITE, "__sECURE-a=1", False),
        (PLAIN, "__Secure-a=1; Secure", False),
        (PLAIN, "__Secure-a=1", False),
        (SITE, "__Host-a=1; Secure; Path=/", True),
        (SITE, "__Host-a=1; Secure; Path=/; Domain=", True),
        (SITE, "__Host-a=1; Secure", False),
        (SITE, "__Host-a=1; Secure; Path=/docs", False),
        (SITE, "__Host-a=1; Secure; Path=x", False),
        (URL("https://h/"), "__Host-a=1; Secure", False),  # the default path isn't enough
        (SITE, "__Host-a=1; Path=/", False),
        (SITE, "__Host-a=1; Secure; Path=/; Domain=www.example.org", False),
        (SITE, "__hOST-a=1; Path=/", False),
        (PLAIN, "__Host-a=1; Secure; Path=/", False),
        (SITE, "__Hosta=1", True),
    ],
)
def test_prefixes(jar: CookieJar, url: URL, field: str, kept: bool) -> None:
    assert (jar.store(url, field) is not None) is kept
    assert len(jar) == kept


# --- how long ---


@pytest.mark.parametrize(
    "date",
    [
        "Wed, 15 Nov 2023 22:13:20 GMT",
        "Wednesday, 15-Nov-23 22:13:20 GMT",
        "Wed Nov 15 22:13:20 2023",
        "15 nov 2023 22:13:20",
        "2023 november 15 22:13:20",
        "22:13:20 15th Nov, 2023",
        "Nov/15/23,22:13:20.999",
        "Wed, 15 Nov 2023 22:13:20 +0500",  # zones don't count
    ],
)
def test_dates(jar: CookieJar, date: str) -> None:
    cookie = jar.store(SITE, f"a=1; Expires={date}")
    assert cookie is not None
    assert cookie.expires == NOW + 24 * 3600


@pytest.mark.parametrize(
    "date",
    [
        "",
        "tomorrow",
        "Wed, 15 Nov 2023",
        "22:13:20 Nov 2023",
        "15 2023 22:13:20",
        "15 Nov 22:13:20",
        "15 Nov 2023 22:13",
        "15 Nov 2023 24:00:00",
        "15 Nov 2023 22:60:00",
        "15 Nov 2023 22:13:60",
        "15 Nov 2023 22:13:200",
        "15 Nov 20235 22:13:20",
        "15 Nov 1600 22:13:20",
        "00 Nov 2023 22:13:20",
        "32 Nov 2023 22:13:20",
        "30 Feb 2024 22:13:20",
        "115 Nov 2023 22:13:20",
    ],
)
def test_what_is_no_date_is_ignored(jar: CookieJar, date: str) -> None:
    assert jar.store(SITE, f"a=1; Expires={date}") == Cookie("a", "1", "www.example.org", path="/docs/web")


@pytest.mark.parametrize(
    "ending",
    [
        "Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "Expires=Mon, 01 Jan 1601 00:00:00 GMT",
        "Expires=Wed, 31 Dec 69 23:59:59 GMT; Max-Age=0",
        "Expires=Sun, 06 Nov 1994 08:49:37 GMT",
        "Expires=Fri, 31-Dec-99 23:59:59 GMT",
        "Max-Age=0",
        "Max-Age=-1",
        "Max-Age=-99999999999999999999",
        "Expires=Wed, 15 Nov 2023 22:13:20 GMT; Max-Age=0",
        "Max-Age=0; Expires=Wed, 15 Nov 2023 22:13:20 GMT",
    ],
)
def test_what_has_expired_is_taken_out(jar: CookieJar, ending: str) -> None:
    jar.store(SITE, "a=1")
    jar.store(SITE, "b=1")
    assert jar.store(SITE, f"a=; {ending}") is None
    assert jar.header(SITE) == "b=1"
    assert len(jar) == 1


@pytest.mark.parametrize("age", ["", "+5", "1_0", "5.5", "0x10", "five", "\u0665", "- 5", "5 5"])  # U+0665: an Arabic digit
def test_what_is_no_age_is_ignored(jar: CookieJar, age: str) -> None:
    assert jar.store(SITE, f"a=1; Max-Age={age}") == Cookie("a", "1", "www.example.org", path="/docs/web")


def test_two_digit_years(jar: CookieJar) -> None:
    assert jar.store(SITE, "a=1; Expires=01 Jan 70 00:00:00") is None
    cookie = jar.store(SITE, "a=1; Expires=01 Jan 69 00:00:00")
    assert cookie is not None
    assert cookie.expires == NOW + 400 * 24 * 3600  # 2069, cut to the most that a cookie may live


@pytest.mark.parametrize("age", ["34560001", "9" * 1000])
def test_400_days_at_most(jar: CookieJar, age: str) -> None:
    cookie = jar.store(SITE, f"a=1; Max-Age={age}")
    assert cookie is not None
    assert cookie.expires == NOW + 34560000


def test_expired_cookies_are_not_sent_nor_seen(jar: CookieJar, clock: Clock) -> None:
    jar.store(SITE, "a=1; Max-Age=10")
    jar.store(SITE, "b=2")
    clock.now += 9
    assert jar.header(SITE) == "a=1; b=2"
    clock.now += 1
    assert [cookie.name for cookie in jar] == ["b"]
    assert (len(jar), jar.get("a")) == (1, None)
    assert jar.header(SITE) == "b=2"


# --- the user's side ---


def test_get_gives_the_youngest(jar: CookieJar) -> None:
    assert jar.get("a") is None
    assert jar.get("a", "no") == "no"
    jar.store(SITE, "a=1")
    jar.store(URL("http://other.net/"), "a=2")
    assert jar.get("a") == "2"


def test_get_clear_and_discard_by_domain_and_path(jar: CookieJar) -> None:
    for field in ("a=1; Path=/", "a=2; Path=/docs", "a=3; Path=/; Domain=example.org", "b=4; Path=/"):
        jar.store(SITE, field)
    assert jar.get("a", path="/docs") == "2"
    assert jar.get("a", domain="example.org") == "3"
    assert jar.get("a", domain=".Example.ORG") == "3"
    assert jar.get("a", domain="org") is None
    assert jar.get("a", "no", path="/doc") == "no"
    jar.clear(name="a", domain="www.example.org", path="/docs")
    assert [cookie.value for cookie in jar] == ["1", "3", "4"]
    jar.clear(domain="example.org")
    assert [cookie.value for cookie in jar] == ["1", "4"]
    for cookie in jar:
        if cookie.name == "a":
            jar.discard(cookie)
            jar.discard(cookie)
    assert [cookie.value for cookie in jar] == ["4"]
    jar.clear(name="nobody")
    jar.clear(path="/")
    assert (len(jar), jar.hosts) == (0, {})


def test_clear_takes_the_expired_too(jar: CookieJar, clock: Clock) -> None:
    jar.store(SITE, "a=1; Max-Age=1")
    clock.now += 1
    jar.clear(name="a")
    assert jar.hosts == {}


def test_in(jar: CookieJar, clock: Clock) -> None:
    cookie = jar.store(SITE, "a=1; Max-Age=1")
    assert "a" in jar
    assert cookie in jar
    assert "b" not in jar
    clock.now += 1
    assert "a" not in jar


def test_a_copy_is_a_jar_of_its_own(jar: CookieJar) -> None:
    jar.store(SITE, "a=1; Path=/")
    jar.store(SITE, "b=2; Path=/; Domain=example.org")
    for other in (jar.copy(), copy.copy(jar), copy.deepcopy(jar), CookieJar(jar, clock=jar._clock)):
        assert list(other) == list(jar)
        other.set("a", "changed", url=SITE)
        other.clear(name="b")
        assert other.header(SITE) == "a=changed"
    assert jar.header(SITE) == "a=1; b=2"


def test_add_and_update(jar: CookieJar, clock: Clock) -> None:
    cookie = Cookie("a", "1", "example.org", host_only=False, secure=True)
    assert jar.add(cookie) == cookie
    assert jar.header(SITE) == "a=1"
    assert jar.add(Cookie("b", "2", "co.uk", host_only=False)) == Cookie("b", "2", "co.uk")
    assert jar.header(URL("https://www.co.uk/")) is None
    assert jar.add(replace(cookie, expires=NOW)) is None  # takes it out
    assert jar.header(SITE) is None
    other = CookieJar(clock=clock)
    other.update(jar)
    other.update([Cookie("c", "3", "h")])
    assert [cookie.name for cookie in other] == ["b", "c"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Cookie("a", "x;y", "h"), "the value holds ';' at position 1"),
        (Cookie("a", "x\ny", "h"), r"the value holds '\\n' at position 1"),
        (Cookie("a=", "x", "h"), "the name holds '='"),
        (Cookie("a", "x ", "h"), "begins or ends with a space"),
        (Cookie("", "", "h"), "neither a name nor a value"),
        (Cookie("", "b=1", "h"), "it has no name, and its value"),
        (Cookie("a", "x" * 4096, "h"), "more than 4096 bytes"),
        (Cookie("a", "x", "h", path="x"), "a path starts with '/'"),
        (Cookie("a", "x", "h", path="/;"), "the path holds ';'"),
        (Cookie("a", "x", ""), "'' is no host name"),
        (Cookie("a", "x", "H"), "the domain is written 'h'"),
        (Cookie("a", "x", ".h"), "the domain is written 'h'"),
        (Cookie("a", "x", "h:80"), "'h:80' is no host name"),
        (Cookie("a", "x", "1.2.3"), "'1.2.3' is no host name"),
        (Cookie("a", "x", "h", expires=float("nan")), "a time is a finite number"),
        (Cookie("a", "x", "h", same_site="none"), "same_site is 'Strict', 'Lax', 'None' or None, not 'none'"),
        (Cookie("__Secure-a", "x", "h"), "asks for secure"),
        (Cookie("__host-a", "x", "h", secure=True, path="/x"), "asks for secure, host-only and the path '/'"),
        (Cookie("__Host-a", "x", "h.org", secure=True, host_only=False), "asks for secure, host-only"),
        (Cookie("a", "x", "h", expires="1"), "expires is float or int or NoneType, not str"),  # type: ignore[arg-type]
        (Cookie("a", "x", "h", secure=1), "secure is bool, not int"),  # type: ignore[arg-type]
        (Cookie("a", "x", "h", created=True), "created is float or int, not bool"),
        (Cookie(b"a", "x", "h"), "name is str, not bytes"),  # type: ignore[arg-type]
    ],
)
def test_add_refuses_what_no_server_could_have_set(jar: CookieJar, wrong: Cookie, said: str) -> None:
    with pytest.raises((ValueError, TypeError), match=said) as caught:
        jar.add(wrong)
    assert len(jar) == 0
    if len(str(wrong.value)) > 1:
        assert str(wrong.value) not in str(caught.value)


def test_set_by_hand(jar: CookieJar) -> None:
    assert jar.set("a", "1", url="https://www.example.org/x/y") == Cookie("a", "1", "www.example.org")
    jar.set("b", '"2"', domain=".WWW.example.org", path="/docs", secure=True, expires=NOW + 1, same_site="Strict", http_only=True)
    assert jar.header(SITE) == 'b="2"; a=1'
    assert jar.header(PLAIN) == "a=1"
    jar.set("c", "3", url=URL("http://[::1]:8000/"))
    assert jar.header(URL("http://[::1]/")) == "c=3"


def test_url_is_one_host_and_domain_is_all_below_it(jar: CookieJar) -> None:
    jar.set("one", "1", url="https://example.org/")
    jar.set("all", "2", domain="example.org")
    assert jar.header(URL("https://example.org/")) == "one=1; all=2"
    assert jar.header(URL("https://a.b.example.org/")) == "all=2"
    assert jar.header(URL("https://anexample.org/")) is None


@pytest.mark.parametrize("domain", ["localhost", "github.io", "127.0.0.1", "::1", "[::1]", "intranet"])
def test_a_domain_with_nothing_of_its_own_below_it(jar: CookieJar, domain: str) -> None:
    cookie = jar.set("a", "1", domain=domain)
    assert cookie.host_only
    assert jar.header(URL.build(scheme="http", host=domain.strip("[]"))) == "a=1"
    assert jar.header(URL("http://other.github.io/")) is None


def test_a_domain_in_unicode(jar: CookieJar) -> None:
    assert jar.set("a", "1", domain="Bücher.example").domain == "xn--bcher-kva.example"
    assert jar.header(URL("https://www.bücher.example/")) == "a=1"
    assert jar.get("a", domain="bücher.example") == "1"


def test_set_says_what_is_wrong(jar: CookieJar) -> None:
    with pytest.raises(ValueError, match="either from url= or from domain="):
        jar.set("a", "1")
    with pytest.raises(ValueError, match="either from url= or from domain="):
        jar.set("a", "1", url="http://h/", domain="h")
    with pytest.raises(ValueError, match="no host in '/path'"):
        jar.set("a", "1", url="/path")
    with pytest.raises(ValueError, match="a path starts with '/'"):
        jar.set("a", "1", domain="h", path="x")
    with pytest.raises(InvalidHeader):
        jar.set("a", "1;b=2", domain="h")
    for domain in ("", ".", "a b", "h/", "h:80", "1.2", "a..b", "é" * 300):
        with pytest.raises(ValueError, match="is no host name"):
            jar.set("a", "1", domain=domain)
    with pytest.raises(ValueError, match="asks for secure, host-only and the path '/'"):
        jar.set("__Host-a", "1", domain="example.org", secure=True)
    with pytest.raises(ValueError, match="no host in 'http:") as caught:
        jar.set("a", "1", url=URL("http://user:hunter2@/", encoded=True))
    assert "hunter2" not in str(caught.value)
    assert len(jar) == 0


@pytest.mark.parametrize(
    ("pairs", "field"),
    [
        ({}, ""),
        ({"a": "1"}, "a=1"),
        ({"a": "", "b": '"x, y"'}, 'a=; b="x, y"'),
        ([("a", "1"), ("a", "2=3")], "a=1; a=2=3"),
        ({"a": "é\udcff"}, "a=é\udcff"),
    ],
)
def test_cookie_header(pairs: dict[str, str], field: str) -> None:
    assert cookie_header(pairs) == field


@pytest.mark.parametrize("char", [*map(chr, range(32)), "\x7f", ";", chr(0xD800), chr(0xDFFF)])
def test_cookie_header_refuses_what_ends_a_cookie(char: str) -> None:
    for pair in ((f"a{char}b", "1"), ("a", f"secret{char}2")):
        with pytest.raises(InvalidHeader, match="cookie 'a") as caught:
            cookie_header([pair])
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("pair", [("", "1"), ("a=b", "1"), (" a", "1"), ("a", "1 "), ("a", " ")])
def test_cookie_header_refuses_what_would_read_otherwise(pair: tuple[str, str]) -> None:
    with pytest.raises(InvalidHeader):
        cookie_header([pair])


@pytest.mark.parametrize("pair", [("a", 1), (b"a", "1"), ("a", None)])
def test_cookie_header_takes_text(pair: tuple[str, str]) -> None:
    with pytest.raises(TypeError, match="are str, not"):
        cookie_header([pair])


@settings(deadline=None)
@given(st.text(), st.text())
def test_what_goes_out_is_one_cookie_or_an_error(name: str, value: str) -> None:
    try:
        field = cookie_header({name: value})
    except InvalidHeader:
        return
    assert field.split(";") == [f"{name}={value}"]
    assert field.partition("=") == (name, "=", value)
    assert not set(field) & {*map(chr, range(32)), "\x7f"}
    field.encode("utf-8", "surrogateescape")


@settings(deadline=None)
@given(st.tuples(st.binary(), st.sampled_from([b"", b"=", b"=1; Path=", b"=1; Expires=", b"=1; Domain="]), st.binary()).map(b"".join))
def test_any_bytes_are_a_cookie_or_nothing(data: bytes) -> None:
    jar = CookieJar(clock=Clock())
    cookie = jar.store(SITE, data)
    if cookie is None:
        assert jar.header(SITE) is None
        return
    assert cookie.name.encode("utf-8", "surrogateescape") in data
    assert cookie.value.encode("utf-8", "surrogateescape") in data
    if cookie.path == "/docs/web" and not cookie.expires:
        assert jar.header(SITE) == (f"{cookie.name}={cookie.value}" if cookie.name else cookie.value)


@pytest.mark.parametrize(
    "other",
    [
        list,
        CookieJar.copy,
        lambda jar: jar.header(URL("http://h7.example/")),
        lambda jar: jar.clear(name="c3"),
        lambda jar: jar.set("own", "1", domain="own.example"),
    ],
)
def test_threads_share_a_jar(other: Callable[[CookieJar], object]) -> None:
    """One saves what a loop goes on changing."""
    jar = CookieJar()
    ended = threading.Event()
    errors: list[BaseException] = []

    def meanwhile() -> None:
        try:
            while not ended.is_set():
                other(jar)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=meanwhile) for _ in range(2)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for turn in range(3000):
            if errors:
                break
            jar.store(URL(f"http://h{turn % 50}.example/"), f"c{turn % 7}={turn}; Max-Age={turn % 3}")
            jar.header(URL(f"http://h{turn % 50}.example/"))
    finally:
        ended.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(before)
    assert not errors
    assert jar._count == sum(map(len, jar.hosts.values()))
