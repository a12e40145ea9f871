"""Whom a cookie is for: the domain, the public suffixes that nobody may claim, the prefixes, and the examples of RFC 6265bis itself."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import publicsuffixlist
import pytest
from yarl import URL

from aioreq.cookies import Cookie, CookieJar
from aioreq.public_suffixes import _public_suffix, is_address, is_public_suffix, site

pytestmark = pytest.mark.no_loop

SITE = URL("https://www.example.org/docs/web/")
PLAIN = URL("http://www.example.org/docs/web/")


@pytest.fixture
def jar() -> CookieJar:
    return CookieJar()


def carried(jar: CookieJar, *hosts: str) -> list[str]:
    """The hosts among these to which cookies go."""
    return [host for host in hosts if jar.header(URL(f"https://{host}/"))]


# --- the Domain attribute ---

AROUND = ("www.example.org", "sub.www.example.org", "example.org", "mail.example.org", "wwwexample.org", "example.org.", "org", "other.net")


@pytest.mark.parametrize(
    ("domain", "goes_to"),
    [
        ("", ["www.example.org"]),
        (".", ["www.example.org"]),
        ("www.example.org", ["www.example.org", "sub.www.example.org"]),
        (".www.example.org", ["www.example.org", "sub.www.example.org"]),
        ("WWW.Example.ORG", ["www.example.org", "sub.www.example.org"]),
        ("example.org", ["www.example.org", "sub.www.example.org", "example.org", "mail.example.org"]),
        (".example.org", ["www.example.org", "sub.www.example.org", "example.org", "mail.example.org"]),
        ("other.net; Domain=www.example.org", ["www.example.org", "sub.www.example.org"]),
        ("example.org; Domain=", ["www.example.org"]),
        ("x" * 1025, ["www.example.org"]),  # too long an attribute is none
    ],
)
def test_a_domain_that_covers_the_host(jar: CookieJar, domain: str, goes_to: list[str]) -> None:
    assert jar.store(SITE, f"a=1; Domain={domain}; Path=/") is not None
    assert carried(jar, *AROUND) == goes_to


@pytest.mark.parametrize(
    "domain",
    [
        "example.net", "sub.www.example.org", "ww.example.org", "w.example.org", "xample.org", "rg", "org", ".org", "..example.org",
        "example.org.", "example.org:443", "*.example.org", "éxample.org", "example.org; Domain=example.net", "[::1]", "\udcff.org",
    ],
)  # fmt: skip
def test_a_domain_that_does_not_cover_the_host_refuses_the_cookie(jar: CookieJar, domain: str) -> None:
    assert jar.store(SITE, f"a=1; Domain={domain}") is None
    assert len(jar) == 0


# Section 5.1.3: does the host match the domain?
@pytest.mark.parametrize(
    ("host", "domain", "matches"),
    [
        ("example.org", "example.org", True),
        ("a.example.org", "example.org", True),
        ("a.b.example.org", "example.org", True),
        ("example.org", "a.example.org", False),
        ("aexample.org", "example.org", False),
        ("example.orgs", "example.org", False),
        ("1.2.3.4", "1.2.3.4", True),
        ("1.2.3.4", "3.4", False),
        ("1.2.3.4", "2.3.4", False),
        ("1.2.3.4", "4", False),
        ("[::1]", "::1", True),
        ("[1::2]", "2", False),
    ],
)
def test_domain_match(jar: CookieJar, host: str, domain: str, matches: bool) -> None:
    assert (jar.store(URL(f"http://{host}/"), f"a=1; Domain={domain}") is not None) is matches


def test_addresses_have_no_parents(jar: CookieJar) -> None:
    v4, v6 = URL("http://127.0.0.1/"), URL("http://[::1]/")
    assert jar.store(v4, "a=1; Domain=127.0.0.1") == Cookie("a", "1", "127.0.0.1")
    assert jar.store(v6, "b=1; Domain=::1") == Cookie("b", "1", "::1")
    assert (jar.header(v4), jar.header(v6)) == ("a=1", "b=1")
    assert jar.header(URL("http://1.127.0.0.1/", encoded=True)) is None


def test_a_domain_cookie_and_one_of_the_host_alone_are_two(jar: CookieJar) -> None:
    host = URL("https://example.org/")
    jar.store(host, "a=host")
    jar.store(host, "a=domain; Domain=example.org")
    assert jar.header(host) == "a=host; a=domain"
    jar.store(host, "a=; Max-Age=0")
    assert jar.header(host) == "a=domain"
    jar.store(URL("https://www.example.org/"), "a=changed; Domain=example.org; Path=/")
    assert jar.header(host) == "a=changed"
    jar.store(host, "a=; Domain=example.org; Max-Age=0")
    assert len(jar) == 0


def test_longest_path_first_then_oldest_whatever_the_domain(jar: CookieJar) -> None:
    for field in ("a=1; Path=/; Domain=example.org", "b=2; Path=/", "c=3; Path=/docs; Domain=example.org", "d=4; Path=/docs/web"):
        jar.store(SITE, field)
    assert jar.header(SITE) == "d=4; c=3; a=1; b=2"
    jar.store(SITE, "a=new; Path=/; Domain=example.org")
    assert jar.header(SITE) == "d=4; c=3; a=new; b=2"


def test_names_beyond_ascii(jar: CookieJar) -> None:
    url = URL("https://www.bücher.example/")
    assert jar.store(url, "a=1; Domain=xn--bcher-kva.example") == Cookie("a", "1", "xn--bcher-kva.example", host_only=False)
    # Section 5.7: a Domain attribute that isn't ASCII refuses the cookie, whatever it would stand for.
    assert jar.store(url, "b=1; Domain=bücher.example") is None
    assert jar.store(url, "b=1; Domain=bücher.example".encode()) is None
    # What is no ASCII stays so: U+212A, the Kelvin sign, has an ASCII "k" for its lower case.
    assert jar.store(URL("https://www.book.example/"), "b=1; Domain=boo\u212a.example") is None
    assert jar.header(URL("https://shop.bücher.example/")) == "a=1"
    assert jar.header(URL("https://shop.xn--bcher-kva.example/")) == "a=1"
    assert jar.store(URL("https://www.食狮.公司.cn/"), "a=1; Domain=xn--55qx5d.cn") is None  # 公司.cn is a public suffix
    assert jar.store(URL("https://www.食狮.公司.cn/"), "a=1; Domain=xn--85x722f.xn--55qx5d.cn") is not None


# --- public suffixes ---


@pytest.mark.parametrize("suffix", ["com", "co.uk", "github.io", "s3.amazonaws.com", "blogspot.com", "kobe.jp", "xn--p1ai", "newtld"])
def test_nobody_sets_cookies_for_a_public_suffix(jar: CookieJar, suffix: str) -> None:
    for host in (f"evil.{suffix}", f"www.evil.{suffix}"):
        for domain in (suffix, "." + suffix, suffix.upper()):
            assert jar.store(URL(f"https://{host}/"), f"a=evil; Domain={domain}; Path=/") is None
    assert carried(jar, f"victim.{suffix}", suffix) == []
    # The suffix itself may, for itself alone.
    cookie = jar.store(URL(f"https://{suffix}/"), f"a=1; Domain={suffix}; Path=/")
    assert cookie == Cookie("a", "1", suffix)
    assert carried(jar, f"victim.{suffix}", suffix) == [suffix]


def test_one_label_below_a_public_suffix_is_a_site(jar: CookieJar) -> None:
    for host, domain in (("www.shop.co.uk", "shop.co.uk"), ("x.user.github.io", "user.github.io"), ("www.city.kobe.jp", "city.kobe.jp")):
        assert jar.store(URL(f"https://{host}/"), f"a=1; Domain={domain}; Path=/") is not None
        assert carried(jar, domain, "other." + domain, domain.partition(".")[2]) == [domain, "other." + domain]


def test_a_list_that_has_changed_since(jar: CookieJar) -> None:
    # What was loaded for a domain that is a suffix now goes to nobody below it.
    jar.add(Cookie("a", "1", "github.io", host_only=False))
    assert carried(jar, "victim.github.io", "github.io") == ["github.io"]


def test_the_vectors_of_the_list() -> None:
    """Those of publicsuffix.org, which come with the package: `checkPublicSuffix(host, registrable domain or null)`."""
    text = Path(publicsuffixlist.__file__).with_name("test_psl.txt").read_text("utf-8")
    vectors = re.findall(r"^checkPublicSuffix\('([^']+)', (?:null|'([^']+)')\)", text, re.MULTILINE)
    assert len(vectors) > 60
    for host, registrable in vectors:
        # Where names are judged they are canonical already.
        name = URL(f"http://{host}/").raw_host if not host.startswith(".") else None
        if name is not None:
            expected = URL(f"http://{registrable}/").raw_host if registrable else name
            assert (site(name), is_public_suffix(name)) == (expected, not registrable), host


def test_every_rule_as_the_package_itself_reads_it() -> None:
    package = publicsuffixlist.PublicSuffixList()
    lines = Path(publicsuffixlist.PSLFILE).read_text("utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("//")]
    assert len(rules) > 9000
    for rule in rules:
        name = rule.removeprefix("!").removeprefix("*.").encode("idna").decode("ascii")
        for host in (name, f"a.{name}", f"b.a.{name}", f"c.b.a.{name}"):
            assert _public_suffix(host) == package.publicsuffix(host), host


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", "localhost"),
        ("example.org", "example.org"),
        ("a.b.example.org", "example.org"),
        ("a.b.example.org.", "example.org"),
        ("github.io", "github.io"),
        ("a.b.github.io", "b.github.io"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("a.xn--nonsense-.example", "xn--nonsense-.example"),
    ],
)
def test_the_site_of_a_host(host: str, expected: str) -> None:
    assert site(host) == expected


def test_addresses_and_suffixes() -> None:
    assert [is_address(host) for host in ("127.0.0.1", "::1", "example.org", "1.example", "localhost")] == [True, True, False, False, False]
    assert [is_public_suffix(host) for host in ("127.0.0.1", "::1", "co.uk.", "org", "example.org")] == [False, True, True, True, False]


# --- Secure across domains, prefixes ---


def test_plain_http_leaves_the_secure_cookies_of_parents_and_children_alone(jar: CookieJar) -> None:
    jar.store(SITE, "a=secret; Secure; Path=/; Domain=example.org")
    assert jar.store(PLAIN, "a=evil; Path=/") is None
    assert jar.store(PLAIN, "a=evil; Path=/; Domain=www.example.org") is None
    assert jar.store(URL("http://example.org/"), "a=evil; Path=/") is None
    jar.clear()
    jar.store(SITE, "a=secret; Secure; Path=/")
    assert jar.store(URL("http://example.org/"), "a=evil; Path=/; Domain=example.org") is None
    assert jar.store(URL("http://sub.www.example.org/"), "a=evil; Path=/x") is None
    assert jar.store(URL("http://mail.example.org/"), "a=harmless; Path=/") is not None
    assert jar.store(URL("http://mail.example.org/"), "b=harmless; Path=/; Domain=example.org") is not None
    assert jar.header(SITE) == "a=secret; b=harmless"


def test_a_public_suffix_is_not_held_up_by_the_sites_below_it(jar: CookieJar) -> None:
    jar.store(URL("https://user.github.io/"), "a=1; Secure")
    assert jar.store(URL("http://github.io/"), "a=2") is not None
    assert jar.header(URL("https://user.github.io/")) == "a=1"


# Section 5.4 gives these, as set by a secure origin (here https://www.site.example/).
@pytest.mark.parametrize(
    ("field", "kept"),
    [
        ("__Secure-SID=12345; Domain=site.example", False),
        ("__secure-SID=12345; Domain=site.example", False),
        ("__SECURE-SID=12345; Domain=site.example", False),
        ("__Host-SID=12345", False),
        ("__host-SID=12345; Secure", False),
        ("__host-SID=12345; Domain=site.example", False),
        ("__HOST-SID=12345; Domain=site.example; Path=/", False),
        ("__Host-SID=12345; Secure; Domain=site.example; Path=/", False),
        ("__host-SID=12345; Secure; Domain=site.example; Path=/", False),
        ("__HOST-SID=12345; Secure; Domain=site.example; Path=/", False),
        ("__Secure-SID=12345; Domain=site.example; Secure", True),
        ("__secure-SID=12345; Domain=site.example; Secure", True),
        ("__SECURE-SID=12345; Domain=site.example; Secure", True),
        ("__Host-SID=12345; Secure; Path=/", True),
        ("__host-SID=12345; Secure; Path=/", True),
        ("__HOST-SID=12345; Secure; Path=/", True),
    ],
)
def test_the_prefixes_of_the_rfc(jar: CookieJar, field: str, kept: bool) -> None:
    assert (jar.store(URL("https://www.site.example/a/b"), field) is not None) is kept


def test_the_examples_of_the_rfc(jar: CookieJar) -> None:
    """Section 3.1."""
    url = URL("https://www.site.example/")
    jar.store(url, "SID=31d4d96e407aad42")
    assert jar.header(url) == "SID=31d4d96e407aad42"
    jar.store(url, "SID=31d4d96e407aad42; Path=/; Secure; HttpOnly")
    jar.store(url, "lang=en-US; Path=/; Domain=site.example")
    assert jar.header(url) == "SID=31d4d96e407aad42; lang=en-US"
    assert jar.header(URL("https://other.site.example/x")) == "lang=en-US"
    # To remove a cookie its path and domain have to be named.
    jar.store(url, "lang=; Expires=Sun, 06 Nov 1994 08:49:37 GMT")
    assert jar.header(url) == "SID=31d4d96e407aad42; lang=en-US"
    jar.store(url, "lang=; Expires=Sun, 06 Nov 1994 08:49:37 GMT; Domain=site.example")
    assert jar.header(url) == "SID=31d4d96e407aad42"


# --- the list costs nothing until it is needed ---


def test_the_list_is_read_when_a_domain_needs_it() -> None:
    code = """
import sys
from yarl import URL
import aioreq

def loaded():
    return "publicsuffixlist" in sys.modules

aioreq.Client()
jar = aioreq.CookieJar()
for host in ("http://localhost/", "http://127.0.0.1/", "http://[::1]/"):
    jar.store(URL(host), "a=1; Domain=" + URL(host).host)
url = URL("http://www.example.org/")
jar.store(url, "a=1")
jar.store(url, "b=1; Domain=org")
jar.store(url, "c=1; Domain=other.net")
jar.set("d", "1", url="https://example.org/")
for i in range(100):
    jar.store(URL(f"http://h{i}.example.org/"), "a=1")
jar.header(url), jar.copy(), list(jar)
print(loaded())
jar.store(url, "a=1; Domain=example.org")
print(loaded())
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
