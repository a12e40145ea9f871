"""Cookies in files: JSON, Netscape's cookies.txt, the jars of the standard library. Nothing is lost, nothing gets wider, nothing runs."""

from __future__ import annotations

import copy
import http.cookiejar
import json
import os
import pickle
import stat
import subprocess
import urllib.request
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from clock import NOW, Clock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peers import needed
from yarl import URL

from aioreq.cookies import Cookie, CookieJar
from aioreq.testing import Reply, Server, httpbin

pytestmark = pytest.mark.no_loop

SITE = URL("https://www.example.org/docs/web/")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def jar(clock: Clock) -> CookieJar:
    """A cookie of each kind."""
    jar = CookieJar(clock=clock)
    for field in (
        "plain=1",
        "session=2; Path=/; HttpOnly; Secure; SameSite=Strict",
        "domain=3; Path=/; Domain=example.org; Max-Age=100; SameSite=Lax",
        'quoted="a, b"; Path=/; Max-Age=50',
        "empty=; Path=/",
        "nameless",
        b"bytes=\xff\xe9; Path=/",
        "unicode=é€".encode(),
        "__Host-x=4; Secure; Path=/",
    ):
        clock.now += 0.25
        assert jar.store(SITE, field) is not None
    jar.store(URL("http://127.0.0.1:8000/"), "v4=1")
    jar.store(URL("http://[::1]/"), "v6=1; Max-Age=9")
    jar.store(URL("https://bücher.example/"), "idna=1; Domain=xn--bcher-kva.example")
    return jar


def whole(jar: CookieJar) -> list[tuple[Any, ...]]:
    """All that there is to know of each cookie, the time of creation too, in order; and when it was last used."""
    return [(*(getattr(kept.cookie, field.name) for field in fields(Cookie)), kept.used) for kept in jar._alive()]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- JSON ---


def test_all_comes_back(jar: CookieJar, clock: Clock, tmp_path: Path) -> None:
    jar.header(SITE.with_path("/"))  # the times of use differ
    path = tmp_path / "jar.json"
    jar.save(path)
    loaded = CookieJar.load(path, clock=clock)
    assert whole(loaded) == whole(jar)
    assert loaded.header(SITE) == jar.header(SITE)
    loaded.save(str(path))
    assert whole(CookieJar.load(str(path), clock=clock)) == whole(jar)


FIELDS = st.builds(
    lambda name, value, ending: name + b"=" + value + ending,
    st.binary(max_size=20),
    st.binary(max_size=20),
    st.lists(
        st.sampled_from(
            [b"; Secure", b"; HttpOnly", b"; SameSite=Lax", b"; SameSite=None", b"; Path=/x", b"; Path=/\xff y", b"; Max-Age=9",
             b"; Max-Age=0", b"; Domain=example.org", b"; Domain=u.github.io", b"; Expires=Wed, 15 Nov 2023 22:13:20 GMT"]
        )
    ).map(b"".join),
)  # fmt: skip
URLS = st.sampled_from(
    ["https://www.example.org/a/b", "http://example.org/", "https://x.u.github.io/", "http://127.0.0.1/", "http://[::1]/a/", "http://h/"]
).map(URL)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(URLS, FIELDS), max_size=20))
def test_whatever_servers_set_comes_back(tmp_path: Path, steps: list[tuple[URL, bytes]]) -> None:
    clock = Clock()
    jar = CookieJar(clock=clock)
    for url, field in steps:
        clock.now += 0.125
        jar.store(url, field)
        jar.header(url)
    jar.save(tmp_path / "jar")
    loaded = CookieJar.load(tmp_path / "jar", clock=clock)
    assert whole(loaded) == whole(jar)
    for to in ("https://www.example.org/a/b", "https://x.u.github.io/", "http://[::1]/a/c", "http://other.example.org/x"):
        assert loaded.header(URL(to)) == jar.header(URL(to))


def test_the_format(clock: Clock, tmp_path: Path) -> None:
    jar = CookieJar(clock=clock)
    jar.store(SITE, b"a=\xff; Domain=example.org; Max-Age=60; Secure; Path=/")
    jar.save(tmp_path / "jar")
    assert json.loads((tmp_path / "jar").read_text("ascii")) == {
        "format": "aioreq.cookies",
        "version": 1,
        "cookies": [
            {
                "name": "a", "value": "\udcff", "domain": "example.org", "host_only": False, "path": "/", "expires": NOW + 60,
                "secure": True, "http_only": False, "same_site": None, "created": NOW, "used": NOW,
            }
        ],
    }  # fmt: skip


def test_what_has_expired_is_neither_saved_nor_loaded(jar: CookieJar, clock: Clock, tmp_path: Path) -> None:
    clock.now += 20
    jar.save(tmp_path / "jar")
    assert "v6" not in (tmp_path / "jar").read_text()
    clock.now += 50
    loaded = CookieJar.load(tmp_path / "jar", clock=clock)
    assert "quoted" not in loaded
    assert "domain" in loaded
    assert "session" in loaded


def test_session_cookies_may_stay_behind(jar: CookieJar, clock: Clock, tmp_path: Path) -> None:
    jar.save(tmp_path / "jar", session_cookies=False)
    assert [cookie.name for cookie in CookieJar.load(tmp_path / "jar", clock=clock)] == ["domain", "quoted", "v6"]
    jar.save_netscape(tmp_path / "txt", session_cookies=False)
    assert [cookie.name for cookie in CookieJar.load_netscape(tmp_path / "txt", clock=clock)] == ["domain", "quoted", "v6"]


def test_an_empty_jar(tmp_path: Path) -> None:
    CookieJar().save(tmp_path / "jar")
    assert len(CookieJar.load(tmp_path / "jar")) == 0
    CookieJar().save_netscape(tmp_path / "txt")
    assert len(CookieJar.load_netscape(tmp_path / "txt")) == 0


@pytest.mark.skipif(os.name == "nt", reason="file modes are Unix's")
@pytest.mark.parametrize("save", [CookieJar.save, CookieJar.save_netscape])
def test_only_the_owner_reads_it(save: Callable[[CookieJar, Path], None], tmp_path: Path) -> None:
    path = tmp_path / "jar"
    old = os.umask(0)
    try:
        save(CookieJar(), path)
        assert mode(path) == 0o600
        path.chmod(0o644)
        save(CookieJar(), path)  # a file that was open to all isn't any more
        assert mode(path) == 0o600
    finally:
        os.umask(old)
    assert os.listdir(tmp_path) == ["jar"]


@pytest.mark.skipif(os.name == "nt", reason="links are Unix's")
def test_a_link_is_replaced_not_followed(jar: CookieJar, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "jar").symlink_to(tmp_path / "precious")
    jar.save(tmp_path / "jar")
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "jar").is_symlink()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limits of resources")
def test_a_save_that_fails_leaves_the_old_file(jar: CookieJar, tmp_path: Path) -> None:
    import resource

    jar.save(tmp_path / "jar")
    before = (tmp_path / "jar").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # no file may be longer: as on a full disk
    try:
        with pytest.raises(OSError, match="File too large"):
            jar.save(tmp_path / "jar")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "jar").read_bytes() == before
    assert os.listdir(tmp_path) == ["jar"]
    with pytest.raises(FileNotFoundError):
        jar.save(tmp_path / "nowhere" / "jar")


def test_in_the_working_directory(jar: CookieJar, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    jar.save("jar")
    assert len(CookieJar.load("jar", clock=clock)) == len(jar)


GOOD: dict[str, Any] = {
    "name": "a", "value": "hunter2", "domain": "example.org", "host_only": True, "path": "/", "expires": None, "secure": False,
    "http_only": False, "same_site": None, "created": 1, "used": 1.5,
}  # fmt: skip


def document(*cookies: Any, **changes: Any) -> str:
    return json.dumps({"format": "aioreq.cookies", "version": 1, "cookies": list(cookies), **changes})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"this is no JSON \(Expecting value, line 1, column 1\)"),
        ('{"format": \n x', r"this is no JSON \(Expecting value, line 2, column 2\)"),
        ("[" * 100_000, "this is no JSON file of cookies"),
        ("[]", "this is not what CookieJar.save"),
        ("{}", "this is not what CookieJar.save"),
        (document(format="other"), "this is not what CookieJar.save"),
        (document(version=2), "'version' is 2, and this aioreq reads version 1"),
        (document(version=True), "'version' is True"),
        (document(cookies={}), "'cookies' is no list"),
        (document(GOOD, 5), r"cookies\[1\]: a cookie is an object, not int"),
        (document({}), r"cookies\[0\]: 'created' is missing"),
        (document(GOOD, {**GOOD, "x": 1}), r"cookies\[1\]: 'x' is unknown"),
        (document({**GOOD, "name": 1}), r"cookies\[0\]: name is str, not int"),
        (document({**GOOD, "secure": 1}), r"cookies\[0\]: secure is bool, not int"),
        (document({**GOOD, "host_only": None}), r"cookies\[0\]: host_only is bool, not NoneType"),
        (document({**GOOD, "expires": "soon"}), r"cookies\[0\]: expires is float or int or NoneType, not str"),
        (document({**GOOD, "used": None}), r"cookies\[0\]: used is a number, not NoneType"),
        (document({**GOOD, "expires": float("nan")}), r"cookies\[0\]: .*a time is a finite number"),
        (document({**GOOD, "used": float("inf")}), r"cookies\[0\]: used is a finite number"),
        (document({**GOOD, "expires": 10**400}), r"cookies\[0\]: "),
        (
            document({**GOOD, "value": "hunter2\r\nX: y"}),
            r"cookies\[0\]: the cookie 'a' of .*: the value holds '\\r' at position 7",
        ),
        (document({**GOOD, "domain": "exam ple.org"}), r"cookies\[0\]: 'exam ple.org' is no host name"),
        (document({**GOOD, "path": "docs"}), r"cookies\[0\]: .*a path starts with '/'"),
        (document({**GOOD, "same_site": "no"}), r"cookies\[0\]: .*same_site is"),
        (document({**GOOD, "name": "__Host-a"}), r"cookies\[0\]: .*asks for secure"),
    ],
)
def test_a_file_that_is_wrong_says_where(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "jar.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"^{path}: {said}") as caught:
        CookieJar.load(path)
    assert "hunter2" not in str(caught.value)


def test_what_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "jar"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="this is no JSON file of cookies"):
        CookieJar.load(path)
    with pytest.raises(FileNotFoundError):
        CookieJar.load(tmp_path / "none")


def test_a_pickle_is_neither_written_nor_read(jar: CookieJar, tmp_path: Path) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="isn't pickled.*save"):
            pickle.dumps(jar, protocol)
    assert list(copy.deepcopy(jar)) == list(jar)

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(tmp_path / "pwned"),))

    for protocol in (0, 5):
        (tmp_path / "jar").write_bytes(pickle.dumps(Evil(), protocol))
        for load in (CookieJar.load, CookieJar.load_netscape):
            with pytest.raises(ValueError):
                load(tmp_path / "jar")
    assert not (tmp_path / "pwned").exists()


# --- cookies.txt ---


def test_netscape(clock: Clock, tmp_path: Path) -> None:
    jar = CookieJar(clock=clock)
    for field in ("a=1; Path=/", 'b="2"; Domain=example.org; Secure; HttpOnly; Path=/docs; Max-Age=60', b"c=\xff"):
        jar.store(SITE, field)
    path = tmp_path / "cookies.txt"
    jar.save_netscape(path)
    assert path.read_bytes().splitlines()[3:] == [
        b"www.example.org\tFALSE\t/\tFALSE\t0\ta\t1",
        b'#HttpOnly_.example.org\tTRUE\t/docs\tTRUE\t1700000060\tb\t"2"',
        b"www.example.org\tFALSE\t/docs/web\tFALSE\t0\tc\t\xff",
    ]
    assert path.read_text("latin-1").startswith("# Netscape HTTP Cookie File\n")
    assert list(CookieJar.load_netscape(path, clock=clock)) == list(jar)


def test_a_cookie_that_ends_within_a_second_ends_with_it_in_netscape(tmp_path: Path) -> None:
    jar = CookieJar()
    jar.set("a", "1", domain="example.org", expires=4_000_000_000.25)
    jar.save_netscape(tmp_path / "txt")
    assert [cookie.expires for cookie in CookieJar.load_netscape(tmp_path / "txt")] == [4_000_000_001.0]


def test_netscape_keeps_what_it_can(jar: CookieJar, clock: Clock, tmp_path: Path) -> None:
    jar.save_netscape(tmp_path / "txt")
    loaded = CookieJar.load_netscape(tmp_path / "txt", clock=clock)

    def kept(jar: CookieJar) -> list[tuple[Any, ...]]:
        return [(c.name, c.value, c.domain, c.host_only, c.path, c.secure, c.http_only, c.expires is None) for c in jar]

    assert kept(loaded) == kept(jar)


def test_what_others_write(clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "cookies.txt"
    path.write_bytes(
        b"# HTTP Cookie File\r\n# a comment\r\n\r\n"
        b".example.org\tTRUE\t/\tFALSE\t0\tsession\t1\r\n"
        b"example.org\tTRUE\t/\tfalse\t\tno-dot\t2\n"
        b"#HttpOnly_example.org\tFALSE\t/\ttrue\t1800000000.75\tfraction\tx=y;z\n".replace(b";z", b"")
        + b"example.org\tFALSE\t/\tFALSE\t0\tcut\n"
        b"example.org\tFALSE\t/\tFALSE\t1\told\tx\n"
        b".co.uk\tTRUE\t/\tFALSE\t0\tsupercookie\tx"
    )
    jar = CookieJar.load_netscape(path, clock=clock)
    assert list(jar) == [
        Cookie("session", "1", "example.org", host_only=False),
        Cookie("no-dot", "2", "example.org", host_only=False),
        Cookie("fraction", "x=y", "example.org", expires=1800000000.75, secure=True, http_only=True),
        Cookie("cut", "", "example.org"),
        Cookie("supercookie", "x", "co.uk"),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("example.org", "seven fields stand between tabs, not 1"),
        ("example.org\tTRUE\t/\tFALSE\t0\ta\thunter2\tmore", "seven fields stand between tabs, not 8"),
        ("example.org\tYES\t/\tFALSE\t0\ta\thunter2", "field 2 is neither TRUE nor FALSE"),
        ("example.org\tTRUE\t/\t1\t0\ta\thunter2", "field 4 is neither TRUE nor FALSE"),
        ("example.org\tTRUE\t/\thunter2\t0\ta\tb", "field 4 is neither TRUE nor FALSE"),
        ("example.org\tTRUE\t/\tTRUE\tsoon\ta\thunter2", "field 5 is no number of seconds"),
        ("example.org\tTRUE\t/\tTRUE\thunter2\ta\tb", "field 5 is no number of seconds"),
        ("example.org\tTRUE\t/\tTRUE\tinf\ta\thunter2", "field 5 is no number of seconds"),
        ("exam ple.org\tTRUE\t/\tTRUE\t0\ta\thunter2", "'exam ple.org' is no host name"),
        ("example.org\tTRUE\tdocs\tTRUE\t0\ta\thunter2", "a path starts with '/'"),
        ("example.org\tTRUE\t/\tTRUE\t0\ta\thunter2;x", "the value holds ';' at position 7"),
        ("example.org\tTRUE\t/\tTRUE\t0\ta\thunter2\x00", "the value holds '\\\\x00'"),
        ("example.org\tTRUE\t/\tTRUE\t0\t__Host-a\thunter2", "asks for secure"),
        ("example.org\tTRUE\t/\tTRUE\t0\t\t", "neither a name nor a value"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "cookies.txt"
    path.write_text(f"# Netscape HTTP Cookie File\n\nh\tFALSE\t/\tFALSE\t0\tgood\t1\n{line}\n")
    with pytest.raises(ValueError, match=f"^{path}: line 4: .*{said}") as caught:
        CookieJar.load_netscape(path)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("field", ["a=hunter2\tx", "a\tb=1", "a=1; Path=/\tx"])
def test_a_tab_cant_be_written(tmp_path: Path, field: str) -> None:
    jar = CookieJar()
    jar.store(SITE, field)
    with pytest.raises(ValueError, match="holds a tab, which a cookies.txt can't hold: use save") as caught:
        jar.save_netscape(tmp_path / "cookies.txt")
    assert "hunter2" not in str(caught.value)
    assert os.listdir(tmp_path) == []
    jar.save(tmp_path / "jar")
    assert list(CookieJar.load(tmp_path / "jar")) == list(jar)


def test_curl_reads_what_we_write_and_we_what_curl_writes(tmp_path: Path) -> None:
    needed("curl", "curl")
    ours, theirs = tmp_path / "ours.txt", tmp_path / "theirs.txt"
    with Server(routes=httpbin) as server:
        server.route(
            "/set", Reply(200, [("Set-Cookie", field) for field in ("theirs=1; Path=/", "brief=2; Max-Age=60; HttpOnly; Path=/x")])
        )
        jar = CookieJar()
        jar.set("ours", '"a b"', url=server.url)
        jar.set("until", "1", url=server.url, expires=4_000_000_000, http_only=True)
        jar.set("secure", "1", url=server.url, secure=True)
        jar.set("below", "1", url=server.url, path="/below")
        jar.set("elsewhere", "1", domain="example.org")
        jar.save_netscape(ours)
        subprocess.run(
            ["curl", "-q", "-sS", "--noproxy", "*", "-o", os.devnull, "-b", str(ours), "-c", str(theirs), server.url + "/set"],
            check=True,
            timeout=30,
        )
        sent = server.requests[-1].header_values("cookie")
    assert len(sent) == 1
    assert {*sent[0].split("; ")} >= {'ours="a b"', "until=1"}
    assert "below" not in sent[0]
    assert "elsewhere" not in sent[0]
    loaded = CookieJar.load_netscape(theirs)
    assert {cookie.name for cookie in loaded} == {"ours", "until", "secure", "below", "elsewhere", "theirs", "brief"}
    assert set(jar) <= set(loaded)
    assert [(cookie.http_only, cookie.path, cookie.host_only) for cookie in loaded if cookie.name == "brief"] == [(True, "/x", True)]


# --- http.cookiejar ---


def test_from_the_standard_library_to_it_and_back(jar: CookieJar, clock: Clock, tmp_path: Path) -> None:
    theirs = jar.to_http_cookiejar()
    back = CookieJar(theirs, clock=clock)

    def kept(jar: CookieJar) -> set[tuple[Any, ...]]:
        return {
            (c.name, c.value, c.domain, c.host_only, c.path, c.secure, c.http_only, c.same_site, c.expires and int(c.expires)) for c in jar
        }

    assert kept(back) == kept(jar)
    mozilla = http.cookiejar.MozillaCookieJar(str(tmp_path / "cookies.txt"))
    assert jar.to_http_cookiejar(mozilla) is mozilla
    assert len(mozilla) == len(jar)


def test_a_mozilla_jar_reads_and_writes_the_same_file(clock: Clock, tmp_path: Path) -> None:
    clock.now = 4_000_000_000.0 - 100
    jar = CookieJar(clock=clock)
    for field in ("a=1; Path=/; Max-Age=60", "b=2; Domain=example.org; Secure; HttpOnly; Max-Age=60"):
        jar.store(SITE, field)
    path = str(tmp_path / "cookies.txt")
    jar.save_netscape(path)
    theirs = http.cookiejar.MozillaCookieJar(path)
    theirs.load()
    assert list(CookieJar(theirs, clock=clock)) == list(jar)
    theirs.save()
    assert list(CookieJar.load_netscape(path, clock=clock)) == list(jar)


def test_urllib_sends_what_we_would(tmp_path: Path) -> None:
    """The standard library's client, with our jar's cookies, to a real server; then its jar's cookies back in ours."""
    with Server(routes=httpbin) as server:
        server.route("/set", Reply(200, [("Set-Cookie", "theirs=1; Path=/; HttpOnly; SameSite=Lax; Max-Age=60"), ("Set-Cookie", "b=2")]))
        for url in (server.url, f"http://localhost:{server.port}"):
            jar = CookieJar()
            jar.set("ours", '"a b"', url=url)
            jar.set("below", "1", url=url, path="/below")
            jar.set("elsewhere", "1", domain="example.org")
            theirs = jar.to_http_cookiejar()
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(theirs))
            opener.open(url + "/set", timeout=30).close()
            assert server.requests[-1].header_values("cookie") == ['ours="a b"']
            back = CookieJar(theirs)
            assert back.header(URL(url + "/get")) == 'ours="a b"; theirs=1; b=2'
            cookie = next(cookie for cookie in back if cookie.name == "theirs")
            assert (cookie.host_only, cookie.http_only, cookie.same_site) == (True, True, "Lax")


def standard(**changes: Any) -> http.cookiejar.Cookie:
    values: dict[str, Any] = {
        "version": 0, "name": "a", "value": "hunter2", "port": None, "port_specified": False, "domain": "example.org",
        "domain_specified": False, "domain_initial_dot": False, "path": "/", "path_specified": True, "secure": False, "expires": None,
        "discard": True, "comment": None, "comment_url": None, "rest": {},
    }  # fmt: skip
    return http.cookiejar.Cookie(**{**values, **changes})


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({}, Cookie("a", "hunter2", "example.org")),
        ({"domain": ".example.org", "domain_specified": True}, Cookie("a", "hunter2", "example.org", host_only=False)),
        ({"domain": "example.org", "domain_specified": True}, Cookie("a", "hunter2", "example.org", host_only=False)),
        ({"domain": ".co.uk", "domain_specified": True}, Cookie("a", "hunter2", "co.uk")),
        ({"domain": "127.0.0.1", "domain_specified": True}, Cookie("a", "hunter2", "127.0.0.1")),
        ({"domain": "localhost.local"}, Cookie("a", "hunter2", "localhost")),
        ({"domain": "printer.local"}, Cookie("a", "hunter2", "printer.local")),
        ({"domain": "[::1].local"}, Cookie("a", "hunter2", "::1")),
        ({"name": "token", "value": None}, Cookie("", "token", "example.org")),
        ({"path": ""}, Cookie("a", "hunter2", "example.org")),
        ({"expires": 4_000_000_000, "rest": {"HttpOnly": None}}, Cookie("a", "hunter2", "example.org", expires=4e9, http_only=True)),
        ({"rest": {"httponly": ""}, "secure": True}, Cookie("a", "hunter2", "example.org", secure=True, http_only=True)),
        ({"rest": {"SameSite": "lax"}}, Cookie("a", "hunter2", "example.org", same_site="Lax")),
        ({"rest": {"SameSite": None}}, Cookie("a", "hunter2", "example.org")),
    ],
)
def test_a_cookie_of_the_standard_library(theirs: dict[str, Any], ours: Cookie) -> None:
    assert list(CookieJar([standard(**theirs)])) == [ours]


@pytest.mark.parametrize(
    ("theirs", "error", "said"),
    [
        ({"domain": ""}, ValueError, "the cookie 'a' has no domain"),
        ({"domain": "exam ple.org"}, ValueError, "'exam ple.org' is no host name"),
        ({"value": "hunter2\n"}, ValueError, r"the value holds '\\n' at position 7"),
        ({"name": "__Host-a"}, ValueError, "asks for secure"),
    ],
)
def test_a_cookie_of_the_standard_library_that_is_none(theirs: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as caught:
        CookieJar().update([standard(**theirs)])
    assert "hunter2" not in str(caught.value)


def test_what_is_no_cookie() -> None:
    with pytest.raises(TypeError, match=r"aioreq.Cookie or http.cookiejar.Cookie, not str"):
        CookieJar({"a": "1"})  # type: ignore[dict-item]
