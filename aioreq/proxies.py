"""Which proxy a request goes through: the value `Proxy`, and the choice for each origin. Opens nothing, reads no request.

A client's proxies are made once, of what it was told or of the environment; they are asked anew at each hop.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote

from yarl import URL

from .auth import BasicAuth, PasswordAuth, basic_header
from .config import TLS
from .errors import InvalidHeader, InvalidURL
from .headers import HeaderTypes, field_pairs
from .request_head import field_line
from .urls import Origin, authority, host_and_port, without_password

__all__ = ["Proxies", "Proxy", "ProxyTypes"]

_PORTS = {"http": 80, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}
_SCHEME = re.compile(r"[a-z][a-z0-9+.\-]*", re.IGNORECASE)
_USERINFO = re.compile(rf"\A({_SCHEME.pattern}://)?.*@", re.IGNORECASE | re.DOTALL)
_CACHED = 1024  # origins whose proxy is remembered: a look at a long NO_PROXY isn't free
# What belongs to a message that is forwarded, and what `auth` writes.
_NOT_FOR_PROXY = frozenset({"host", "content-length", "transfer-encoding", "connection"})


@dataclass(frozen=True, slots=True, repr=False)
class Proxy:
    """A proxy: `Proxy("http://proxy.example:3128", auth=("user", "password"))`.

    The scheme says how it is spoken to: `http`, `https` (TLS to the proxy), `socks4`, `socks5` (names are resolved here), `socks4a`,
    `socks5h` (by the proxy; `socks` is the same). Without a port it is the scheme's: 80, 443, 1080. `auth` is (user, password) or a
    BasicAuth, or stands percent-encoded in the URL; SOCKS4 has only a user, HTTP proxies are sent them by Basic. `headers` are fields for
    an HTTP proxy alone: a CONNECT carries no others, not even a User-Agent; in an http:// request, which the proxy reads and forwards,
    Connection names them as what it must not send on, and what the request sets as well is the request's. `tls` is how an https proxy is
    spoken to, `TLS()` by default; a request's or client's own `verify=` is about origins. `tunnel`: http:// requests go through a CONNECT,
    too (curl's `--proxytunnel`), as WebSockets always do.

    SOCKS needs the package python-socks: `pip install 'aioreq[socks]'`. Errors: InvalidURL, InvalidHeader, ValueError.

    >>> Proxy("socks5h://user:secret@proxy.example")
    Proxy('socks5h://proxy.example:1080')
    """

    url: str | URL
    auth: tuple[str, str] | PasswordAuth | None = None
    headers: HeaderTypes | None = None
    tls: TLS | None = None
    tunnel: bool = False
    scheme: str = field(init=False, compare=False)
    host: str = field(init=False, compare=False)
    port: int = field(init=False, compare=False)
    # The fields that it is sent, written once: Proxy-Authorization by `auth`, and all of them.
    authorization: bytes = field(init=False, compare=False)
    fields: bytes = field(init=False, compare=False)

    def __post_init__(self) -> None:
        scheme, host, port, userinfo = _parsed(self.url)
        auth = _credentials(self.auth, userinfo, scheme)
        own = _own_fields(self.headers, scheme, auth)
        authorization = b""
        if self.tls is not None and scheme != "https":
            raise ValueError(f"Proxy(tls=...): an {scheme} proxy is spoken to without TLS; https://... is with it")
        tls: Any = TLS() if self.tls is None and scheme == "https" else self.tls
        if not (tls is None or isinstance(tls, TLS)):
            raise TypeError(f"Proxy(tls=...) takes a TLS, not {type(tls).__name__}")
        if auth is not None and not scheme.startswith("socks"):
            authorization = field_line("Proxy-Authorization", basic_header(auth.user, auth.password))
        settled = {
            "url": f"{scheme}://{authority(host, port)}",
            "auth": auth,
            "headers": own or None,
            "tls": tls,
            "scheme": scheme,
            "host": host,
            "port": port,
            "authorization": authorization,
            "fields": authorization + b"".join([field_line(name, value) for name, value in own]),
        }
        for name, value in settled.items():
            object.__setattr__(self, name, value)

    @property
    def is_socks(self) -> bool:
        """Whether it passes bytes on, and knows no HTTP."""
        return self.scheme.startswith("socks")

    def forwards(self, origin: Origin) -> bool:
        """Whether requests to this origin are handed to it whole, and not sent through a tunnel."""
        return origin.scheme == "http" and not self.is_socks and not self.tunnel

    def __hash__(self) -> int:
        # Part of every look into the pool: text and bytes remember theirs, where auth and tls would each be hashed anew.
        auth: Any = self.auth
        return hash((self.url, self.fields) if auth is None else (self.url, self.fields, auth.user, auth.password))

    def __str__(self) -> str:
        return authority(self.host, self.port)

    def __repr__(self) -> str:
        return f"Proxy({self.url!r})"


ProxyTypes: TypeAlias = str | URL | Proxy | Mapping[str, str | URL | Proxy | None] | None


class _Rule(NamedTuple):
    """Whom a proxy is for; empty and None stand for all. In this order of its fields, the more it says, the earlier it is asked."""

    host: str
    below: bool  # the hosts below that name: `*.name`
    port: int | None
    scheme: str

    def matches(self, origin: Origin) -> bool:
        if (self.scheme and self.scheme != origin.scheme) or self.port not in (None, origin.port):
            return False
        host = origin.host.rstrip(".")
        return not self.host or (host.endswith("." + self.host) if self.below else host == self.host)

    def weight(self) -> tuple[bool, int, bool, bool]:
        return bool(self.host) and not self.below, len(self.host), self.port is not None, bool(self.scheme)


class _Bypass(NamedTuple):
    """One entry of NO_PROXY: a name with what is below it, or a network."""

    name: str
    network: IPv4Network | IPv6Network | None
    port: int | None

    def matches(self, origin: Origin) -> bool:
        if self.port not in (None, origin.port):
            return False
        host = origin.host.rstrip(".")
        if self.network is None:
            return not self.name or host == self.name or host.endswith("." + self.name)
        try:
            return ip_address(host) in self.network
        except ValueError:
            return False


class Proxies:
    """Which proxy serves which origin."""

    __slots__ = ("_bypass", "_chosen", "_rules", "_tunnelling", "explicit")

    def __init__(self, rules: Iterable[tuple[_Rule, Proxy | None]], bypass: Iterable[_Bypass] = (), explicit: bool = True) -> None:
        self._rules = sorted(rules, key=lambda rule: rule[0].weight(), reverse=True)
        self._bypass = tuple(bypass)
        self._chosen: dict[Origin, Proxy | None] = {}
        self._tunnelling: Proxies | None = None
        self.explicit = explicit  # given by the user, and not found in the environment

    @classmethod
    def of(cls, given: ProxyTypes) -> Proxies | None:
        """What a user gives as `proxy=`: one for all, a mapping, or None for none."""
        if given is None or given == {}:
            return None
        if not isinstance(given, Mapping):
            return cls([(_rule("all"), _proxy(given))])
        return cls([(_rule(pattern), None if value is None else _proxy(value)) for pattern, value in given.items()])

    @classmethod
    def of_environment(cls, environ: Mapping[str, str] = os.environ, admits: Callable[[str, int], bool] | None = None) -> Proxies | None:
        """What HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say, in lower case before upper case; None where they name no proxy.

        `admits(host, port)` leaves out proxies. Errors: InvalidURL that names the variable.
        """
        rules: list[tuple[_Rule, Proxy | None]] = []
        for pattern in ("http", "https", "all"):
            if len(rules) == 2:
                break  # nobody asks for the third, and desktops set it to what they alone understand
            name = f"{pattern}_proxy"
            # A CGI script finds the request's Proxy field in HTTP_PROXY (CVE-2016-5385).
            upper = "" if pattern == "http" and "REQUEST_METHOD" in environ else environ.get(name.upper(), "")
            text = environ.get(name, upper).strip()
            if text:
                try:
                    proxy = Proxy(text if "://" in text else f"http://{text}")
                except ValueError as error:
                    raise InvalidURL(f"{name.upper()} in the environment: {error} (or Client(trust_env=False))") from None
                if admits is None or admits(proxy.host, proxy.port):
                    rules.append((_rule(pattern), proxy))
        bypass = _bypasses(environ.get("no_proxy", environ.get("NO_PROXY", "")))
        return cls(rules, bypass, explicit=False) if rules else None

    def tunnelling(self) -> Proxies:
        """The same, but that HTTP proxies are asked for a tunnel whatever the scheme (RFC 6455 section 4.1 wants it)."""
        if self._tunnelling is None:
            rules = [(rule, proxy and replace(proxy, tunnel=not proxy.is_socks)) for rule, proxy in self._rules]
            self._tunnelling = Proxies(rules, self._bypass, self.explicit)
            self._tunnelling._tunnelling = self._tunnelling
        return self._tunnelling

    def choose(self, origin: Origin) -> Proxy | None:
        """The proxy for this origin, None to go there directly."""
        try:
            return self._chosen[origin]
        except KeyError:
            pass
        chosen = None
        if not any(entry.matches(origin) for entry in self._bypass):
            chosen = next((proxy for rule, proxy in self._rules if rule.matches(origin)), None)
        if len(self._chosen) >= _CACHED:
            self._chosen.clear()
        self._chosen[origin] = chosen
        return chosen


def _proxy(given: str | URL | Proxy) -> Proxy:
    return given if isinstance(given, Proxy) else Proxy(given)


def _parsed(url: object) -> tuple[str, str, int, tuple[str, str] | None]:
    """Scheme, host, port and userinfo of a proxy's URL. The errors never show the userinfo."""
    if not isinstance(url, str | URL):
        raise TypeError(f"proxy: give a URL or an aioreq.Proxy, not {type(url).__name__}")
    text = str(url)
    shown = _shown(text)
    scheme, mark, rest = text.partition("://")
    if bad := re.search(r"[\x00-\x20\x7f]", text):
        raise InvalidURL(f"proxy URL {shown!r}: {bad[0]!r} is not allowed there")
    if not mark or not _SCHEME.fullmatch(scheme):
        raise InvalidURL(f"proxy URL {shown!r} has no scheme: did you mean {'http://' + shown!r}?")
    scheme = scheme.lower()
    if scheme == "socks":  # what GNOME writes into ALL_PROXY, and means by it
        scheme = "socks5h"
    if scheme not in _PORTS:
        raise InvalidURL(f"proxy URL {shown!r}: no proxy is spoken to by {scheme!r}, but by {', '.join(_PORTS)}")
    rest = rest.removesuffix("/")
    userinfo_text, at, host_port = rest.rpartition("@")
    if not {"/", "?", "#", "\\"}.isdisjoint(rest) or "@" in userinfo_text:
        raise InvalidURL(f"proxy URL {shown!r}: nothing stands behind the host and port; quote '/', '?', '#' and '@' in a password")
    try:
        host, port = host_and_port(host_port, _PORTS[scheme], shown)
    except InvalidURL as error:
        raise InvalidURL(f"proxy {error}") from None
    if not at:
        return scheme, host, port, None
    user, _, password = userinfo_text.partition(":")
    try:
        return scheme, host, port, (unquote(user, errors="strict"), unquote(password, errors="strict"))
    except UnicodeDecodeError:
        raise InvalidURL(f"proxy URL {shown!r}: what its userinfo quotes is no UTF-8") from None


def _shown(url: str) -> str:
    """A proxy's URL, or what should be one, as errors may show it: nothing before the last "@", whatever stands there unquoted."""
    return without_password(_USERINFO.sub(r"\1", url))


def _credentials(auth: object, userinfo: tuple[str, str] | None, scheme: str) -> PasswordAuth | None:
    if auth is not None and userinfo is not None:
        raise ValueError("Proxy: give the user and password in the URL or as auth=, not both")
    if auth is None:
        auth = userinfo
    if auth is None:
        return None
    if isinstance(auth, tuple) and len(auth) == 2:
        auth = PasswordAuth(*auth)
    if not isinstance(auth, PasswordAuth):
        raise TypeError(f"Proxy(auth=...) takes (user, password) or an aioreq.BasicAuth, not {type(auth).__name__}")
    user, password = auth.user, auth.password
    if not scheme.startswith("socks"):
        return BasicAuth(user, password)
    if not re.fullmatch(r"[ -~]*", user + password):
        raise ValueError(f"Proxy(auth=...): user and password of a {scheme} proxy are printable ASCII")
    if scheme.startswith("socks4"):
        if password or not user:
            raise ValueError("Proxy(auth=...): SOCKS4 has a user and no password: give (user, '')")
    elif not (1 <= len(user) <= 255 and 1 <= len(password) <= 255):
        raise ValueError("Proxy(auth=...): user and password of SOCKS5 have 1 to 255 characters each (RFC 1929)")
    return PasswordAuth(user, password)


def _own_fields(headers: HeaderTypes | None, scheme: str, auth: PasswordAuth | None) -> tuple[tuple[str, str], ...]:
    pairs = tuple((name, value) for name, value in field_pairs(headers) if value is not None)
    if pairs and scheme.startswith("socks"):
        raise ValueError(f"Proxy(headers=...): {scheme} has no fields")
    for name, _ in pairs:
        if name.lower() in _NOT_FOR_PROXY:
            raise InvalidHeader(f"Proxy(headers=...): {name!r} belongs to one request, not to a proxy")
        if auth is not None and name.lower() == "proxy-authorization":
            raise ValueError("Proxy: give auth= or a Proxy-Authorization field, not both")
    return pairs


def _rule(pattern: object) -> _Rule:
    """Whom a key of a mapping means: "https", "all://*.example.com", "http://host:8080"."""
    if not isinstance(pattern, str):
        raise TypeError(f"proxy: a mapping's keys are text such as 'https://example.com', not {type(pattern).__name__}")
    scheme, _, rest = pattern.lower().partition("://")
    rest = rest.removesuffix("/")
    shown = _shown(pattern)
    if scheme not in ("http", "https", "all") or "@" in rest:
        raise ValueError(f"proxy: {shown!r}: a mapping's keys are 'http', 'https' or 'all', perhaps with '://host' or '://host:port'")
    scheme = scheme.removeprefix("all")
    if rest in ("", "*"):
        return _Rule("", False, None, scheme)
    host, port, below = _host_pattern(rest, shown)
    return _Rule(host, below, port, scheme)


def _host_pattern(text: str, shown: str) -> tuple[str, int | None, bool]:
    """A host, its port if it names one, and whether what is below it is meant."""
    below = text.startswith(("*.", "."))
    host, port = host_and_port(text.lstrip("*").removeprefix(".") if below else text, 0, shown)
    return host.rstrip("."), port or None, below


def _bypasses(text: str) -> list[_Bypass]:
    """The entries of NO_PROXY. One that makes no sense is none: it can't be asked back, and must not stop a request."""
    entries = []
    for entry in re.split(r"[\s,]+", text):
        if entry == "*":
            entries.append(_Bypass("", None, None))
        elif entry:
            try:
                entries.append(_bypass(entry))
            except ValueError:
                continue
    return entries


def _bypass(entry: str) -> _Bypass:
    bare = entry[1:-1] if entry.startswith("[") and entry.endswith("]") else entry
    try:
        return _Bypass("", ip_network(bare, strict=False), None)
    except ValueError:
        host, port, _ = _host_pattern(entry, entry)
    try:
        return _Bypass("", ip_network(host), port)
    except ValueError:
        return _Bypass(host, None, port)
