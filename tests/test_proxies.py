"""Which proxy a request takes: the value `Proxy`, mappings, the environment. Nothing is opened here but by the last tests."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

import aioreq
from aioreq import TLS, BasicAuth, Client, Proxy, PublicOnly
from aioreq.proxies import Proxies
from aioreq.testing import Server
from aioreq.urls import parse

SCHEMES = {"http": 80, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}


# -- the value


@pytest.mark.parametrize(("scheme", "port"), SCHEMES.items())
def test_each_scheme_has_its_port(scheme: str, port: int) -> None:
    proxy = Proxy(f"{scheme}://Proxy.Example/")
    assert (proxy.url, str(proxy)) == (f"{scheme}://proxy.example:{port}", f"proxy.example:{port}")
    assert Proxy(URL(f"{scheme}://proxy.example:3128")).port == 3128
    assert Proxy(f"{scheme.upper()}://[::1]:3128").url == f"{scheme}://[::1]:3128"
    assert proxy.is_socks == scheme.startswith("socks")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("proxy.example:3128", "has no scheme: did you mean 'http://proxy.example:3128'?"),
        ("user:secret@proxy.example:3128", "has no scheme: did you mean 'http://proxy.example:3128'?"),
        ("", "has no scheme"),
        ("ftp://user:secret@proxy.example", "no proxy is spoken to by 'ftp', but by http, https, socks4"),
        ("socks6://proxy.example", "no proxy is spoken to by 'socks6'"),
        ("http://", "has no host"),
        ("http://user:secret@", "has no host"),
        ("http://proxy.example:99999", "the port is not a number"),
        ("http://proxy.example:x", "the port is not a number"),
        ("http://user:secret@proxy.example/path", "nothing stands behind the host and port"),
        ("http://proxy.example?x=secret", "nothing stands behind"),
        ("http://user:sec/secret@proxy.example", "nothing stands behind"),
        ("http://user:secret#@proxy.example", "nothing stands behind"),
        ("http://user:secret@more@proxy.example", "nothing stands behind"),
        ("http://us er:secret@proxy", "' ' is not allowed"),
        ("http://a\r\nX-Evil: secret@b", "is not allowed"),
        ("http://proxy.example\r\nX: y", "is not allowed"),
        ("http://pro_xy-.example", "is no host name"),
        ("http://2130706433", "no dotted quad"),
        ("http://%FF:secret@proxy.example", "no UTF-8"),
        ("http://user:8080/secret@proxy.example", "proxy URL 'http://proxy.example': nothing stands behind"),
        ("user:12?secret@proxy.example:3128", "'proxy.example:3128' has no scheme"),
        ("a://secret:x@proxy.example", "proxy URL 'a://proxy.example': no proxy is spoken to by 'a'"),
        ("user:a://secret@proxy.example", "'proxy.example' has no scheme"),
    ],
)
def test_a_url_that_is_wrong(url: str, words: str) -> None:
    with pytest.raises(aioreq.InvalidURL) as caught:
        Proxy(url)
    assert words in str(caught.value)
    assert "proxy" in str(caught.value)
    if "@" in url:
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("proxy", [Proxy("http://us%C3%A9r:p%3Aa%40ss%2F@proxy"), Proxy("http://proxy", auth=("usér", "p:a@ss/"))])
def test_credentials_in_the_url_or_beside_it(proxy: Proxy) -> None:
    assert proxy == Proxy("http://proxy:80/", auth=BasicAuth("usér", "p:a@ss/"))
    assert proxy.fields == b"Proxy-Authorization: Basic dXPDqXI6cDphQHNzLw==\r\n"
    assert "proxy:80" in repr(proxy)


def test_nothing_shows_credentials() -> None:
    proxy = Proxy("https://user:secret@proxy", headers={"X-Key": "secret"}, tls=TLS(cert=("secret.pem",)))
    for shown in (repr(proxy), str(proxy), str(proxy.url), repr({"proxy": proxy})):
        assert "secret" not in shown
        assert "user" not in shown


def test_equal_proxies_share_connections_and_others_dont() -> None:
    same = [Proxy("http://u:p@proxy", headers={"X": "1"}), Proxy("http://proxy:80", auth=("u", "p"), headers=[("X", "1")])]
    assert len(set(same)) == 1
    others = [
        Proxy("http://proxy"),
        Proxy("http://proxy:81"),
        Proxy("https://proxy:80"),
        Proxy("http://proxy", auth=("u", "q")),
        Proxy("http://proxy", auth=("u", "p")),
        Proxy("http://proxy", headers={"X": "2"}),
        Proxy("https://proxy:80", tls=TLS(verify=False)),
    ]
    assert len({*same, *others}) == 1 + len(others)
    assert Proxy("https://proxy") == Proxy("https://proxy", tls=TLS())


def test_a_proxy_is_a_frozen_value() -> None:
    proxy = Proxy("https://u:p@proxy", headers={"X": "1"})
    with pytest.raises(dataclasses.FrozenInstanceError):
        proxy.port = 1  # type: ignore[misc]
    for twin in (copy.copy(proxy), copy.deepcopy(proxy), pickle.loads(pickle.dumps(proxy)), dataclasses.replace(proxy)):
        assert twin == proxy
        assert hash(twin) == hash(proxy)
        assert twin.fields == proxy.fields
    assert dataclasses.replace(proxy, url="https://other").fields == proxy.fields


@pytest.mark.parametrize("bad", ["a\r\nX: y", "a\nb", "a\x00", "\x7f"])
def test_control_characters_are_refused(bad: str) -> None:
    for auth in (("a" + bad, "p"), ("u", bad)):
        with pytest.raises(aioreq.InvalidHeader) as caught:
            Proxy("http://proxy", auth=auth)
        assert bad not in str(caught.value)
        with pytest.raises(ValueError):
            Proxy("socks5://proxy", auth=auth)
    for headers in ({"X": bad}, {bad: "x"}):
        with pytest.raises(aioreq.InvalidHeader) as caught:
            Proxy("http://proxy", headers=headers)
        assert bad not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "options", "error", "words"),
    [
        ("http://u:p@proxy", {"auth": ("u", "p")}, ValueError, "not both"),
        ("http://proxy", {"auth": ("u:", "p")}, aioreq.InvalidHeader, "':'"),
        ("http://proxy", {"auth": "u:p"}, TypeError, "not str"),
        ("http://proxy", {"auth": ("u", 1)}, TypeError, "not int"),
        ("http://u:p@proxy", {"headers": {"proxy-authorization": "x"}}, ValueError, "not both"),
        ("http://proxy", {"headers": {"Host": "x"}}, aioreq.InvalidHeader, "'Host'"),
        ("http://proxy", {"headers": {"Content-Length": "1"}}, aioreq.InvalidHeader, "'Content-Length'"),
        ("http://proxy", {"headers": {"Transfer-Encoding": "chunked"}}, aioreq.InvalidHeader, "'Transfer-Encoding'"),
        ("http://proxy", {"headers": "x"}, TypeError, "headers"),
        ("http://proxy", {"tls": TLS()}, ValueError, "without TLS"),
        ("socks5://proxy", {"tls": TLS()}, ValueError, "without TLS"),
        ("https://proxy", {"tls": False}, TypeError, "takes a TLS, not bool"),
        ("socks5://proxy", {"headers": {"X": "1"}}, ValueError, "has no fields"),
        ("socks5://proxy", {"auth": ("u", "")}, ValueError, "1 to 255"),
        ("socks5://proxy", {"auth": ("u" * 256, "p")}, ValueError, "1 to 255"),
        ("socks5://proxy", {"auth": ("ü", "p")}, ValueError, "ASCII"),
        ("socks4://proxy", {"auth": ("u", "p")}, ValueError, "no password"),
    ],
)
def test_options_that_are_wrong(url: str, options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        Proxy(url, **options)
    assert words in str(caught.value)


def test_a_field_for_the_proxy_alone() -> None:
    assert Proxy("http://proxy", headers={"X-Token": "t", "User-Agent": None}).fields == b"X-Token: t\r\n"
    assert Proxy("http://proxy", headers={"Proxy-Authorization": "Bearer t"}).fields == b"Proxy-Authorization: Bearer t\r\n"
    assert Proxy("socks4://user@proxy").fields == b""


def test_what_is_no_proxy() -> None:
    for given in (1, b"http://proxy", ["http://proxy"], True):
        with pytest.raises(TypeError, match=r"proxy: give a URL or an aioreq\.Proxy"):
            Proxies.of(given)  # type: ignore[arg-type]


# -- the choice


def chosen(proxies: Proxies | None, url: str) -> str | None:
    assert proxies is not None
    proxy = proxies.choose(parse(url).origin)
    assert proxies.choose(parse(url).origin) is proxy  # remembered
    return None if proxy is None else proxy.host


MAPPING = {
    "all": "http://all",
    "http": "http://http",
    "https": None,
    "https://example.com": "http://https-host",
    "all://example.com": "http://host",
    "https://example.com:8443": "http://https-host-port",
    "all://*.example.com": "http://below",
    "all://*.deep.example.com": None,
    "http://deep.example.com:8080": "http://host-port",
    "all://[::1]": "http://six",
    "http://10.0.0.1:81": "http://four",
    "all://*:8081": "http://never",
}


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://other", "http"),
        ("https://other", None),
        ("http://example.com", "host"),
        ("http://EXAMPLE.com.:99", "host"),
        ("https://example.com", "https-host"),
        ("https://example.com:8443", "https-host-port"),
        ("http://example.com:8443", "host"),
        ("https://www.example.com", "below"),
        ("http://a.b.example.com", "below"),
        ("http://notexample.com", "http"),
        ("http://deep.example.com", "below"),
        ("http://deep.example.com:8080", "host-port"),
        ("http://a.deep.example.com", None),
        ("http://[::1]:77", "six"),
        ("https://[0:0::1]", "six"),
        ("http://10.0.0.1:81", "four"),
        ("http://10.0.0.1:82", "http"),
    ],
)
def test_the_most_telling_key_wins(url: str, proxy: str | None) -> None:
    mapping = {key: value for key, value in MAPPING.items() if key != "all://*:8081"}
    assert chosen(Proxies.of(mapping), url) == proxy
    assert chosen(Proxies.of(dict(reversed(mapping.items()))), url) == proxy


def test_a_scheme_alone_leaves_the_other_direct() -> None:
    proxies = Proxies.of({"http://": Proxy("http://p")})
    assert chosen(proxies, "http://x") == "p"
    assert chosen(proxies, "https://x") is None
    assert Proxies.of({}) is None
    assert Proxies.of(None) is None


@pytest.mark.parametrize(
    "key",
    [
        "ftp",
        "example.com",
        "",
        "https://a b",
        "http://x:y",
        "socks5://x",
        "http://*x.example",
        "all://*:81",
        "all://u:secret@x",
        "http://u:12/secret@x",
        "http://secret@x",
    ],
)
def test_a_key_that_is_wrong(key: str) -> None:
    with pytest.raises(ValueError) as caught:
        Proxies.of({key: "http://proxy"})
    assert "secret" not in str(caught.value)


def test_the_memory_of_choices_is_bounded() -> None:
    proxies = Proxies.of("http://proxy")
    assert proxies is not None
    for number in range(5000):
        proxies.choose(parse(f"http://h{number}.example").origin)
    assert len(proxies._chosen) <= 1024


# -- the environment


@pytest.mark.parametrize(
    ("environ", "plain", "secure"),
    [
        ({}, None, None),
        ({"HTTP_PROXY": "http://h", "HTTPS_PROXY": "http://s"}, "h", "s"),
        ({"http_proxy": "http://h", "https_proxy": "http://s"}, "h", "s"),
        ({"HTTP_PROXY": "http://upper", "http_proxy": "http://lower"}, "lower", None),
        ({"HTTP_PROXY": "http://upper", "http_proxy": ""}, None, None),
        ({"ALL_PROXY": "socks5://a"}, "a", "a"),
        ({"all_proxy": "socks5h://a", "https_proxy": "http://s"}, "a", "s"),
        ({"http_proxy": "http://h", "https_proxy": "http://s", "all_proxy": "nonsense://a:1080/"}, "h", "s"),
        ({"all_proxy": "socks://a:1080/"}, "a", "a"),
        ({"HTTP_PROXY": "h:3128"}, "h", None),
        ({"HTTP_PROXY": "  http://h  "}, "h", None),
        ({"HTTP_PROXY": ""}, None, None),
        # A CGI script's HTTP_PROXY is what the client's Proxy field says.
        ({"HTTP_PROXY": "http://evil", "REQUEST_METHOD": "GET"}, None, None),
        ({"http_proxy": "http://h", "HTTPS_PROXY": "http://s", "REQUEST_METHOD": "GET"}, "h", "s"),
        ({"HTTP_PROXY": "http://h", "NO_PROXY": "*"}, None, None),
        ({"HTTP_PROXY": "http://h", "NO_PROXY": "host", "no_proxy": ""}, "h", None),
        ({"HTTP_PROXY": "http://h", "NO_PROXY": "host"}, None, None),
        ({"HTTP_PROXY": "http://h", "no_proxy": "host"}, None, None),
    ],
)
def test_the_environment(environ: dict[str, str], plain: str | None, secure: str | None) -> None:
    proxies = Proxies.of_environment(environ)
    found = (None, None) if proxies is None else (chosen(proxies, "http://host"), chosen(proxies, "https://host"))
    assert found == (plain, secure)


@pytest.mark.parametrize(
    ("no_proxy", "direct", "proxied"),
    [
        (
            "example.com",
            "http://example.com https://example.com:8443 http://a.b.example.com http://EXAMPLE.COM.",
            "http://notexample.com http://com",
        ),
        (".example.com", "http://example.com http://a.example.com", "http://notexample.com"),
        ("*.example.com", "http://example.com http://a.example.com", "http://notexample.com"),
        ("Example.Com.", "http://example.com", "http://example.org"),
        ("a,b", "http://a http://b", "http://c"),
        (" a , b\tc\nd ", "http://a http://b http://c http://d", "http://e"),
        ("*", "http://anything http://10.0.0.1 http://[::1]", ""),
        ("a,*", "http://anything", ""),
        ("host:8080", "http://host:8080 http://sub.host:8080", "http://host http://host:80"),
        ("host:443", "https://host", "http://host"),
        ("127.0.0.1", "http://127.0.0.1 http://127.0.0.1:8080", "http://127.0.0.2 http://localhost"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080", "http://127.0.0.1"),
        ("::1", "http://[::1] http://[0:0:0::1]:99", "http://[::2] http://127.0.0.1"),
        ("[::1]", "http://[::1]:99", "http://[::2]"),
        ("[::1]:99", "http://[::1]:99", "http://[::1]"),
        ("10.0.0.0/8", "http://10.1.2.3 https://10.255.255.255:99", "http://11.0.0.1 http://10.example http://[::1]"),
        ("10.1.2.3/8", "http://10.99.0.1", "http://11.0.0.1"),
        ("fd00::/8,192.168.0.0/16", "http://[fd12::1] http://192.168.3.4", "http://[fe80::1] http://192.169.0.1"),
        ("[fd00::/8]", "http://[fd12::1]", "http://[fe80::1]"),
        ("0.0.1", "", "http://127.0.0.1"),  # no suffix of an address
        ("bücher.example", "http://xn--bcher-kva.example http://bücher.example", "http://bucher.example"),
        ("xn--bcher-kva.example", "http://bücher.example", "http://bucher.example"),
        ("", "", "http://host"),
        (",, ,", "", "http://host"),
        # What makes no sense is none, and takes nothing else along.
        (
            "good,ba d:x,[::1,http://x,10.0.0.0/99,host:99999,::/200,a..b,*a,%,\x00,also.good",
            "http://good http://also.good",
            "http://x http://host",
        ),
    ],
)
def test_no_proxy(no_proxy: str, direct: str, proxied: str) -> None:
    proxies = Proxies.of_environment({"ALL_PROXY": "http://proxy", "NO_PROXY": no_proxy})
    assert [chosen(proxies, url) for url in direct.split()] == [None] * len(direct.split())
    assert [chosen(proxies, url) for url in proxied.split()] == ["proxy"] * len(proxied.split())


def test_an_environment_that_is_wrong_says_which_variable() -> None:
    with pytest.raises(aioreq.InvalidURL) as caught:
        Proxies.of_environment({"https_proxy": "http://user:secret@pro xy"})
    assert str(caught.value).startswith("HTTPS_PROXY in the environment: ")
    assert "trust_env=False" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_client_reads_the_environment_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy")
    client = Client()
    assert chosen(client.settings.terms.proxies, "http://x") == "proxy"
    monkeypatch.setenv("ALL_PROXY", "http://other")
    assert chosen(client.settings.terms.proxies, "https://y") == "proxy"
    assert Client(trust_env=False).settings.terms.proxies is None
    assert Client(proxy={}).settings.terms.proxies is None
    assert chosen(Client(proxy="http://own").settings.terms.proxies, "http://x") == "own"
    monkeypatch.setenv("NO_PROXY", "*")
    assert chosen(Client(proxy="http://own").settings.terms.proxies, "http://x") == "own"


def test_a_guard_leaves_out_the_environment_s_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://10.0.0.1:3128")
    monkeypatch.setenv("HTTPS_PROXY", "http://10.0.0.2:3128")
    assert Client(guard=PublicOnly()).settings.terms.proxies is None
    admitting = Client(guard=PublicOnly(allow=["10.0.0.2:3128"])).settings.terms.proxies
    assert chosen(admitting, "http://x") is None
    assert chosen(admitting, "https://x") == "10.0.0.2"


# -- a client's and a request's


async def test_a_request_s_own_proxy_wins() -> None:
    async with Server() as one, Server() as other, Server() as origin:
        for server in (one, other, origin):
            server.route("/who", {one: "one", other: "other", origin: "origin"}[server])
        async with Client(proxy=one.url, retry=0) as client:
            url = origin.url + "/who"
            assert (await client.get(url)).text == "one"
            assert (await client.get(url, proxy=other.url)).text == "other"
            assert (await client.get(url, proxy=Proxy(other.url))).text == "other"
            assert (await client.get(url, proxy={"https": None})).text == "origin"
            assert (await client.get(url, proxy=None)).text == "origin"
            assert (await client.get(url)).text == "one"
            request = aioreq.Request("GET", url)
            assert (await client.send(request)).text == "one"


async def test_an_option_that_is_no_proxy() -> None:
    async with Client() as client:
        with pytest.raises(aioreq.InvalidURL, match="has no scheme"):
            await client.get("http://127.0.0.1:1/", proxy="127.0.0.1:3128")
        with pytest.raises(TypeError, match="not int"):
            await client.get("http://127.0.0.1:1/", proxy=3128)  # type: ignore[arg-type]


async def test_a_unix_socket_is_no_place_for_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s"
    with pytest.raises(ValueError, match="unix_socket= or proxy="):
        Client(unix_socket=path, proxy="http://proxy")
    monkeypatch.setenv("ALL_PROXY", "http://proxy")
    async with Client(unix_socket=path, retry=0) as client:
        assert client.settings.terms.proxies is None
        with pytest.raises(ValueError, match="unix_socket= or proxy="):
            await client.get("http://host/", proxy="http://proxy")
