"""The cookie jar of the aiohttp face: aiohttp's arguments and `Morsel`s; which cookies are kept and sent, the core's rules decide."""

from __future__ import annotations

import copy
import json
import os
import pickle
import stat
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from peers import needed_module
from yarl import URL

import aioreq.compat.aiohttp as ours
from aioreq.compat.aiohttp.abc import AbstractCookieJar
from aioreq.compat.aiohttp.cookiejar import parse_set_cookie_headers
from aioreq.testing import Server

theirs = needed_module("aiohttp", "aiohttp")

HOST = URL("https://www.example.org/a/b")
BOTH = pytest.mark.parametrize("module", [ours, theirs], ids=["ours", "theirs"])


def sent(jar: Any, url: URL | str) -> dict[str, str]:
    return {name: morsel.coded_value for name, morsel in jar.filter_cookies(URL(url)).items()}


def filled(module: Any, **options: Any) -> Any:
    jar = module.CookieJar(**options)
    jar.update_cookies_from_headers(
        [
            "host=1; Path=/",
            "domain=2; Domain=example.org; Path=/; Secure; HttpOnly; SameSite=Lax",
            "path=3; Path=/a",
            'quoted="4 5"; Path=/',
            "lasting=6; Path=/; Max-Age=1000",
            "gone=7; Path=/; Max-Age=0",
            "foreign=8; Domain=other.org",
            "directory=9",
        ],
        HOST,
    )
    return jar


URLS = [
    "https://www.example.org/",
    "https://www.example.org/a",
    "https://www.example.org/a/",
    "https://www.example.org/a/b/c",
    "https://www.example.org/abc",
    "http://www.example.org/a/b",
    "https://example.org/",
    "https://sub.www.example.org/a",
    "https://notexample.org/",
    "https://other.org/",
    "http://127.0.0.1/",
    "wss://www.example.org/",
]


@pytest.mark.parametrize("url", URLS)
async def test_what_is_sent_is_the_same(url: str) -> None:
    assert sent(filled(ours), url) == sent(filled(theirs), url)


async def test_what_is_kept_is_told_the_same() -> None:
    mine, other = filled(ours), filled(theirs)
    assert len(mine) == len(other) == len(list(mine)) == 6
    assert mine.host_only_cookies == other.host_only_cookies
    for name, told in ((name, dict) for name, dict in ((key, dict(value)) for key, value in other.cookies.items())):
        assert set(mine.cookies[name]) == set(told)
        for cookie, morsel in told.items():
            ours_is = mine.cookies[name][cookie]
            assert (ours_is.key, ours_is.value, ours_is.coded_value) == (morsel.key, morsel.value, morsel.coded_value)
            for attribute in ("domain", "path", "secure", "httponly", "samesite"):
                assert ours_is[attribute] == morsel[attribute], attribute
    assert {morsel.key for morsel in mine} == {morsel.key for morsel in other}


@BOTH
async def test_the_users_own_cookies_go_everywhere(module: Any) -> None:
    jar = module.CookieJar()
    jar.update_cookies({"a": "1", "b": "with space"})
    jar.update_cookies([("c", "3")])
    jar.update_cookies(SimpleCookie("d=4"))
    for url in ("http://example.org/", "https://other.org/x", "http://127.0.0.1/", "http://[::1]/"):
        assert sent(jar, url) == {"a": "1", "b": '"with space"', "c": "3", "d": "4"}
    assert len(jar) == 4
    assert {morsel["domain"] for morsel in jar} == {""}
    jar.update_cookies({"a": "host's"}, URL("http://example.org/"))
    assert sent(jar, "http://example.org/")["a"] == "host's" or module is theirs
    assert sent(jar, "http://other.org/")["a"] == "1"
    jar.clear(lambda morsel: morsel.key == "c")
    assert len(jar) == 4
    jar.clear()
    assert sent(jar, "http://example.org/") == {}


@BOTH
async def test_cookies_for_a_domain_of_ones_own(module: Any) -> None:
    jar = module.CookieJar()
    jar.update_cookies(SimpleCookie("a=1; Domain=example.org; Path=/; Secure"))
    assert sent(jar, "https://www.example.org/") == {"a": "1"}
    assert sent(jar, "http://www.example.org/") == {}
    assert sent(jar, "https://other.org/") == {}
    jar.update_cookies({"b": "2"}, URL("https://example.org/"))
    assert sent(jar, "https://example.org/") == {"a": "1", "b": "2"}
    assert sent(jar, "https://www.example.org/") == {"a": "1"}


@BOTH
async def test_addresses_are_for_unsafe_jars(module: Any) -> None:
    for host in ("http://127.0.0.1/", "http://[::1]/"):
        safe, unsafe = module.CookieJar(), module.CookieJar(unsafe=True)
        for jar in (safe, unsafe):
            jar.update_cookies({"a": "1"}, URL(host))
            jar.update_cookies_from_headers(["b=2"], URL(host))
        assert (safe.unsafe, unsafe.unsafe) == (False, True)
        assert (sent(safe, host), len(safe)) == ({}, 0)
        assert sent(unsafe, host) == {"a": "1", "b": "2"}


@BOTH
async def test_origins_that_count_as_secure(module: Any) -> None:
    cookies = SimpleCookie("a=1; Path=/; Secure")
    for given in ("http://127.0.0.1:8080/x", URL("http://127.0.0.1:8080"), ["http://127.0.0.1:8080", URL("http://other.org")]):
        jar = module.CookieJar(unsafe=True, treat_as_secure_origin=given)
        assert URL("http://127.0.0.1:8080") in jar.treat_as_secure_origin
        jar.update_cookies(cookies, URL("http://127.0.0.1:8080/"))
        assert sent(jar, "http://127.0.0.1:8080/") == {"a": "1"}
        assert sent(jar, "http://127.0.0.1:9090/") == {}


@BOTH
async def test_quotes(module: Any) -> None:
    for quote, expected in ((True, {"a": '"1 2"', "b": '"3 4"', "c": "5"}), (False, {"a": "1 2", "b": "3 4", "c": "5"})):
        jar = module.CookieJar(quote_cookie=quote)
        jar.update_cookies_from_headers(['a="1 2"; Path=/', "c=5; Path=/"], HOST)
        jar.update_cookies({"b": "3 4"}, HOST.with_path("/"))
        assert jar.quote_cookie is quote
        assert sent(jar, HOST) == expected
        assert jar.filter_cookies(HOST)["a"].value == "1 2"


async def test_what_a_server_set_goes_back_as_it_came() -> None:
    jar = ours.CookieJar()
    jar.update_cookies_from_headers(["a=YWJj/Zw==; Path=/"], HOST)
    assert sent(jar, HOST) == {"a": "YWJj/Zw=="}
    assert jar._core is not None
    assert jar._core.header(HOST) == "a=YWJj/Zw=="


@pytest.mark.parametrize(
    "header",
    ["a=1; Domain=org", "a=1; Domain=co.uk", "__Host-a=1; Domain=example.org; Secure; Path=/", "a=1\x00", "a=" + "x" * 5000, "=x=y"],
)
async def test_what_no_server_may_set_is_left_out(header: str) -> None:
    jar = ours.CookieJar()
    jar.update_cookies_from_headers([header], HOST)
    assert len(jar) == 0


async def test_of_one_name_the_nearest_is_told() -> None:
    headers = ["a=far; Domain=example.org; Path=/", "a=near; Path=/a", "a=host; Path=/"]
    jar, other = ours.CookieJar(), theirs.CookieJar()
    for one in (jar, other):
        one.update_cookies_from_headers(headers, HOST)
    assert sent(jar, HOST) == sent(other, HOST) == {"a": "near"}
    assert jar._core is not None
    assert jar._core.header(HOST) == "a=near; a=far; a=host"  # RFC 6265bis section 5.8.3: all of them, the longest path first


@BOTH
async def test_clearing(module: Any) -> None:
    jar = filled(module)
    jar.clear(lambda morsel: morsel["path"] == "/a")
    assert {morsel.key for morsel in jar} == {"host", "domain", "quoted", "lasting"}
    jar.update_cookies({"other": "1"}, URL("https://other.org/"))
    jar.clear_domain("example.org")
    assert {morsel.key for morsel in jar} == {"other"}
    jar.clear()
    assert len(jar) == 0


async def test_files_are_read_by_either(tmp_path: Path) -> None:
    path = tmp_path / "jar.json"
    mine = filled(ours)
    mine.update_cookies({"everywhere": "x"})
    mine.save(path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert json.loads(path.read_text())["example.org|"]["domain"]["secure"] is True
    other = theirs.CookieJar()
    other.load(path)
    other.save(tmp_path / "again.json")
    again = ours.CookieJar()
    again.update_cookies({"before": "1"}, HOST)
    again.load(tmp_path / "again.json")
    for url in URLS:
        assert sent(again, url) == sent(other, url) == sent(mine, url)
    assert again.host_only_cookies == mine.host_only_cookies == other.host_only_cookies
    core = again._core
    again.load(str(path))
    assert again._core is core  # the client's own
    assert sent(again, HOST) == sent(mine, HOST)


class Explosive:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (pickle.dumps({}), "pickle"),
        (pickle.dumps(Explosive()), "pickle"),
        (b"nothing", "no JSON"),
        (b"[]", "JSON object"),
        (b'{"example.org": {}}', "no domain and path"),
        (b'{"example.org|": []}', "no domain and path"),
        (b'{"example.org|": {"a": {"key": "a"}}}', "coded_value"),
        (b'{"example.org|": {"a": {"key": "a", "coded_value": 1}}}', "text"),
        (b'{"example.org|": {"a": {"key": "a", "coded_value": "1", "expires_timestamp": "x"}}}', "finite"),
        (b'{"example.org|": {"a": {"key": "a", "coded_value": "1", "expires_timestamp": Infinity}}}', "finite"),
        (b'{"example.org|": {"a": 5}}', "an object, not int"),
    ],
)
async def test_what_isnt_a_file_of_cookies_is_refused_and_changes_nothing(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "jar"
    path.write_bytes(content)
    jar = filled(ours)
    with pytest.raises(ValueError, match=says):
        jar.load(path)
    assert len(jar) == 6
    with pytest.raises(OSError):
        jar.load(tmp_path / "none")


async def test_a_jar_isnt_pickled() -> None:
    with pytest.raises(TypeError, match="JSON"):
        pickle.dumps(ours.CookieJar())
    with pytest.raises(TypeError, match="JSON"):
        copy.copy(ours.CookieJar())


async def test_expired_cookies_of_a_file_stay_out(tmp_path: Path) -> None:
    path = tmp_path / "jar"
    path.write_text('{"example.org|": {"a": {"key": "a", "value": "1", "coded_value": "1", "expires_timestamp": 5}}, "|": {}}')
    jar = ours.CookieJar()
    jar.load(path)
    assert len(jar) == 0


@BOTH
async def test_a_dummy_keeps_nothing(module: Any) -> None:
    jar = module.DummyCookieJar()
    jar.update_cookies({"a": "1"})
    jar.update_cookies_from_headers(["a=1"], HOST)
    jar.clear()
    jar.clear_domain("example.org")
    assert (len(jar), list(jar), dict(jar.cookies), jar.host_only_cookies, dict(jar.filter_cookies(HOST))) == (0, [], {}, frozenset(), {})
    assert (jar.unsafe, jar.quote_cookie, jar.treat_as_secure_origin) == (False, True, frozenset())


@BOTH
async def test_urls_as_text_are_deprecated(module: Any) -> None:
    jar = filled(module)
    with pytest.warns(DeprecationWarning, match="filter_cookies"):
        assert "host" in jar.filter_cookies(str(HOST))


class Mine(ours.abc.AbstractCookieJar):
    """A jar of a user's own."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[Any] = []

    unsafe = True
    quote_cookie = True
    cookies: Any = None
    host_only_cookies: Any = frozenset()

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0

    def clear(self, predicate: Any = None) -> None: ...
    def clear_domain(self, domain: str) -> None: ...

    def update_cookies(self, cookies: Any, response_url: URL = URL()) -> None:  # noqa: B008
        self.taken.append((cookies, response_url))

    def filter_cookies(self, request_url: URL) -> Any:
        return SimpleCookie()


async def test_a_users_jar_gets_morsels() -> None:
    jar = Mine()
    jar.update_cookies_from_headers(["a=1; Path=/; Secure", "nothing"], HOST)
    [(cookies, url)] = jar.taken
    assert url == HOST
    assert [(name, morsel.value, morsel["path"], morsel["secure"]) for name, morsel in cookies] == [("a", "1", "/", True)]
    assert isinstance(jar, AbstractCookieJar)


async def test_a_derived_jar_with_ways_of_its_own_is_asked_itself() -> None:
    class Quiet(ours.CookieJar):
        def filter_cookies(self, request_url: URL = HOST) -> Any:
            return SimpleCookie()

    class Named(ours.CookieJar):
        pass

    assert Quiet()._core is None
    assert Named()._core is not None


HEADERS = [
    "a=1",
    " a = 1 ; Path = /x ; Secure ; HttpOnly ; Domain=.example.org",
    'a="quoted \\"value\\""; Max-Age=5',
    "a=; Path=/",
    "a=b=c",
    "a",
    "=x",
    "a=1; Expires=Wed, 09 Jun 2021 10:18:14 GMT; SameSite=None; Unknown=x",
    "a[b]=1",
    "a=\x01",
    "ä=1",
    "a=" + "x" * 4096,
    "a(b)=1; secure=yes",
]


@pytest.mark.no_loop
@pytest.mark.parametrize("header", HEADERS)
def test_set_cookie_fields_are_read_the_same(header: str) -> None:
    from aiohttp._cookie_helpers import parse_set_cookie_headers as other

    assert [(name, dict(morsel), morsel.key, morsel.value, morsel.coded_value) for name, morsel in parse_set_cookie_headers([header])] == [
        (name, dict(morsel), morsel.key, morsel.value, morsel.coded_value) for name, morsel in other([header])
    ]


async def test_in_a_session(server: Server) -> None:
    jar = ours.CookieJar(unsafe=True)
    async with ours.ClientSession(cookie_jar=jar, cookies={"own": "x"}) as session:
        async with session.get(server.url + "/cookies/set?a=b") as response:
            assert (await response.json())["cookies"] == {"own": "x", "a": "b"}
        assert sent(session.cookie_jar, server.url + "/") == {"own": "x", "a": "b"}
    async with ours.ClientSession(cookies={"own": "x"}) as session, session.get(server.url + "/cookies/set?a=b") as response:
        assert (await response.json())["cookies"] == {"own": "x"}  # from an address none is taken
    dummy = ours.DummyCookieJar()
    async with (
        ours.ClientSession(cookie_jar=dummy, cookies={"own": "x"}) as session,
        session.get(server.url + "/cookies/set?a=b") as response,
    ):
        assert (await response.json())["cookies"] == {}
