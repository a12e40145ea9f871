"""A jar stays bounded, whoever fills it; and what belongs to others stays in it. RFC 6265bis sections 5.7 (eviction) and 6.1 (limits)."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from clock import Clock
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from aioreq.cookies import CookieJar
from aioreq.public_suffixes import site
from aioreq.set_cookie import domain_matches

pytestmark = pytest.mark.no_loop

SITE = URL("https://www.example.org/docs/web/")
PLAIN = URL("http://www.example.org/docs/web/")
COOKIES = 100_000
FEWER = 5_000  # the same code, other fields


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def jar(clock: Clock) -> CookieJar:
    return CookieJar(clock=clock)


def https(host: str) -> URL:
    return URL.build(scheme="https", host=host)


def test_50_cookies_a_domain(jar: CookieJar) -> None:
    for i in range(60):
        jar.store(SITE, f"c{i}=x")
    assert [cookie.name for cookie in jar] == [f"c{i}" for i in range(10, 60)]
    for i in range(60):
        jar.store(SITE, f"d{i}=x; Domain=example.org")
    assert len(jar) == 100
    header = jar.header(SITE)
    assert header is not None
    assert header.count("; ") == 99


def test_expired_ones_make_room_first_and_secure_ones_last(jar: CookieJar, clock: Clock) -> None:
    jar.store(SITE, "safe=x; Secure")
    jar.store(SITE, "old=x")
    jar.store(SITE, "brief=x; Max-Age=1")
    for i in range(47):
        jar.store(SITE, f"c{i}=x")
    clock.now += 1
    jar.store(SITE, "new=x")
    names = {cookie.name for cookie in jar}
    assert len(names) == 50
    assert {"safe", "old", "new"} <= names
    jar.store(SITE, "newer=x")
    names = {cookie.name for cookie in jar}
    assert "old" not in names
    assert {"safe", "new", "newer"} <= names


def test_what_was_not_sent_for_the_longest_time_makes_room(jar: CookieJar, clock: Clock) -> None:
    jar.store(SITE, "used=x; Path=/used")
    for i in range(49):
        jar.store(SITE, f"c{i}=x; Path=/")
    clock.now += 1
    assert jar.header(SITE.with_path("/used")) is not None
    assert "used" in jar
    jar.clear(path="/")
    for i in range(49):
        jar.store(SITE, f"d{i}=x; Path=/elsewhere")
    clock.now += 1
    jar.header(SITE.with_path("/used"))
    jar.store(SITE, "new=x")
    assert "used" in jar
    assert "d0" not in jar
    assert "d1" in jar


def test_plain_http_cannot_push_out_secure_cookies(jar: CookieJar) -> None:
    for i in range(50):
        jar.store(SITE, f"s{i}=x; Secure")
    assert jar.store(PLAIN, "evil=x") is None
    assert {cookie.name for cookie in jar} == {f"s{i}" for i in range(50)}


def test_secure_cookies_of_a_site_outlive_a_flood_over_plain_http_from_its_subdomains(jar: CookieJar) -> None:
    for i in range(50):
        jar.store(SITE, f"s{i}=x; Secure; Domain=example.org")
    for i in range(1000):
        jar.store(URL.build(scheme="http", host=f"h{i}.example.org"), "evil=x")
    assert [cookie.name for cookie in jar][:50] == [f"s{i}" for i in range(50)]
    assert len(jar) <= 180


FLOODS: dict[str, Callable[[int], tuple[str, str]]] = {
    "names": lambda i: ("evil.example", f"c{i}=x"),
    "names for the domain": lambda i: ("www.evil.example", f"c{i}=x; Domain=evil.example"),
    "paths": lambda i: ("evil.example", f"c=x; Path=/{i}"),
    "subdomains": lambda i: (f"h{i}.evil.example", "c=x"),
    "subdomains for themselves": lambda i: (f"h{i}.evil.example", f"c=x; Domain=h{i}.evil.example; Secure"),
    "deep subdomains": lambda i: (f"a.b.c{i % 70}.evil.co.uk", f"c{i}=x"),
    "users of a public suffix": lambda i: (f"u{i % 10}.evil.github.io", f"c{i}=x"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", FLOODS)
def test_100_000_cookies_of_one_site_push_out_no_others(jar: CookieJar, kind: str) -> None:
    flood, count = FLOODS[kind], COOKIES if kind == "subdomains" else FEWER
    for i in range(60):
        jar.store(https(f"victim{i}.example"), "mine=x")
    jar.store(https("victim.github.io"), "mine=x")
    jar.store(https("victim.co.uk"), "mine=x")
    host = ""
    for i in range(count):
        host, field = flood(i)
        jar.store(https(host), field)
        if i % 1000 == 0:
            assert len(jar) <= 62 + 180
    assert len(jar) <= 62 + 180
    assert sum(cookie.name == "mine" for cookie in jar) == 62
    last = jar.header(https(host).with_path(f"/{count - 1}"))
    assert last is not None
    assert last.startswith("c")


@pytest.mark.slow
def test_100_000_cookies_from_as_many_sites(jar: CookieJar) -> None:
    for i in range(COOKIES):
        jar.store(URL.build(scheme="http", host=f"h{i}"), "a=1")
        if i % 1000 == 0:
            assert len(jar) <= 3000
    assert 2700 <= len(jar) <= 3000
    assert jar.header(URL("http://h99999/")) == "a=1"
    assert jar.header(URL("http://h90000/")) is None
    jar.clear()
    assert (len(jar), list(jar), jar.hosts, jar._sites) == (0, [], {}, {})
    assert jar.store(SITE, "a=1") is not None


def test_in_the_whole_jar_secure_cookies_have_no_privilege(jar: CookieJar, clock: Clock) -> None:
    jar.store(URL("http://victim.example/"), "mine=x")
    for i in range(2999):
        jar.store(https(f"h{i}"), "a=1; Secure")
    clock.now += 1
    jar.header(URL("http://victim.example/"))
    jar.store(https("one.more"), "a=1; Secure")
    assert "mine" in jar
    assert len(jar) == 2700


def test_a_lookup_does_not_look_at_the_cookies_of_others(jar: CookieJar) -> None:
    class Asked(dict[str, object]):
        asked: list[str]

        def get(self, key: str, default: object = None) -> object:
            self.asked.append(key)
            return super().get(key, default)

    for i in range(3000):
        jar.store(https(f"h{i}"), "a=1")
    jar.hosts = watched = Asked(jar.hosts)  # type: ignore[assignment]
    watched.asked = []
    assert jar.header(https("h2999")) == "a=1"
    assert jar.header(https("a.b.example.org")) is None
    assert jar.header(https("127.0.0.1")) is None
    assert watched.asked == ["h2999", "a.b.example.org", "b.example.org", "example.org", "org", "127.0.0.1"]


HOSTS = ["example.org", "www.example.org", "a.b.example.org", "github.io", "u.github.io", "h", "127.0.0.1"]
STEPS = st.tuples(
    st.sampled_from(HOSTS),
    st.sampled_from(["https", "http"]),
    st.integers(0, 70),
    st.sampled_from(["", "; Max-Age=1", "; Max-Age=0", "; Secure", "; Domain=example.org", "; Domain=u.github.io", "; Path=/x"]),
)


@settings(deadline=None)
@given(st.lists(STEPS, max_size=300), st.integers(0, 400))
def test_the_counts_stay_right(steps: list[tuple[str, str, int, str]], before: int) -> None:
    clock = Clock()
    jar = CookieJar(clock=clock)
    for i in range(before):  # enough of them, and the jar counts by sites
        jar.store(https(f"h{i % 9}.other.example"), f"c{i}=x")
    for host, scheme, name, ending in steps:
        clock.now += 0.1
        jar.store(URL.build(scheme=scheme, host=host), f"c{name}=x{ending}")
        jar.header(URL.build(scheme=scheme, host=host))
    assert jar._count == sum(len(kept) for kept in jar.hosts.values())
    assert all(0 < len(kept) <= 50 for kept in jar.hosts.values())
    by_site = {key: set(hosts) for key, hosts in itertools.groupby(sorted(jar.hosts, key=site), key=site)}
    assert jar._sites in (None, by_site)
    assert all(sum(len(jar.hosts[host]) for host in hosts) <= 180 for hosts in by_site.values())
    if before > 180:
        assert jar._sites is not None


@settings(deadline=None)
@given(
    st.lists(STEPS, max_size=40), st.sampled_from(HOSTS), st.sampled_from(["http", "https"]), st.sampled_from(["/", "/x", "/x/y", "/xy"])
)
def test_a_request_carries_just_what_the_rfc_says(steps: list[tuple[str, str, int, str]], host: str, scheme: str, path: str) -> None:
    """Against section 5.8.3, read line by line over all cookies."""
    clock = Clock()
    jar = CookieJar(clock=clock)
    for i, (from_host, from_scheme, name, ending) in enumerate(steps):
        clock.now += 0.2
        jar.store(URL.build(scheme=from_scheme, host=from_host), f"c{name % 5}=v{i}{ending}")
    expected = [
        cookie
        for cookie in jar
        if (host == cookie.domain if cookie.host_only else domain_matches(host, cookie.domain))
        and (path == cookie.path or path.startswith(cookie.path.rstrip("/") + "/"))
        and (scheme == "https" or not cookie.secure)
    ]
    expected.sort(key=lambda cookie: (-len(cookie.path), cookie.created))
    url = URL.build(scheme=scheme, host=host, path=path)
    assert jar.header(url) == ("; ".join(f"{cookie.name}={cookie.value}" for cookie in expected) or None)
