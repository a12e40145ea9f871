"""Cookies: what a Set-Cookie field says, where it is kept, which of them a request carries. RFC 6265bis, of which this is a subset.

Every cookie is host-only: one with a Domain attribute that covers the host that set it is accepted, but goes back to exactly that host,
never to its siblings or parents. Without a list of public suffixes nothing else is safe: `Domain=co.uk` would reach everybody there.

Knows URLs and header strings; no client, no request, no response.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import overload

from yarl import URL

from .errors import InvalidHeader

__all__ = ["Cookie", "CookieJar", "cookie_header"]

# RFC 6265bis section 5.6: octets of name and value together, octets of an attribute's value, seconds to live; section 6.1: the counts.
_MOST_OCTETS = 4096
_MOST_ATTRIBUTE_OCTETS = 1024
_MOST_SECONDS = 400 * 24 * 3600
_MOST_PER_HOST = 50
_MOST_COOKIES = 3000
# When the jar is full a tenth of it goes at once: the search for what to drop is paid for by hundreds of cookies.
_ROOM = 300

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# What would end a name, a cookie or the field; and surrogates, but for those that stand for bytes (surrogateescape).
_NOT_IN_VALUE = re.compile(r"[\x00-\x1f;\x7f\ud800-\udc7f\udd00-\udfff]")
_NOT_IN_NAME = re.compile(r"[\x00-\x1f;=\x7f\ud800-\udc7f\udd00-\udfff]")
# RFC 6265 section 5.1.1.
_DATE_DELIMITERS = re.compile(r"[\t\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?![0-9])")
_DAY = re.compile(r"([0-9]{1,2})(?![0-9])")
_YEAR = re.compile(r"([0-9]{2,4})(?![0-9])")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SAME_SITE = {"strict": "Strict", "lax": "Lax", "none": "None"}


@dataclass(frozen=True, slots=True)
class Cookie:
    """One cookie. `value` is what the server sent, quotes included; `expires` seconds since 1970, None until the jar goes.

    `host` is the only host that it is sent to; `same_site` is "Strict", "Lax", "None", or None where the server said nothing.
    """

    name: str
    value: str = field(repr=False)
    host: str
    path: str = "/"
    expires: float | None = None
    secure: bool = False
    http_only: bool = False
    same_site: str | None = None


class CookieJar:
    """Keeps cookies: `store` takes what servers set, `header` gives what a request carries.

    At most 50 cookies a host and 3000 in all: expired ones make room first, then the oldest, those marked Secure last.

    >>> jar = CookieJar()
    >>> jar.store(URL("https://example.org/"), "sid=1; Path=/; Secure")
    Cookie(name='sid', host='example.org', path='/', expires=None, secure=True, http_only=False, same_site=None)
    >>> jar.header(URL("https://example.org/news"))
    'sid=1'
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        # Each host's cookies by name and path. A replaced cookie keeps its place, as it keeps its creation time (section 5.7): so the
        # order is by age. The number is that of the cookie among all.
        self.hosts: dict[str, dict[tuple[str, str], tuple[int, Cookie]]] = {}
        self._count = 0
        self._made = 0
        self._clock = clock

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Cookie]:
        """The cookies that haven't expired; a host's own ones together, the oldest first."""
        now = self._clock()
        return iter([cookie for host in self.hosts.values() for _, cookie in host.values() if not _expired(cookie, now)])

    def __repr__(self) -> str:
        return f"<CookieJar of {len(self)} cookies>"

    @overload
    def get(self, name: str, default: None = None) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...
    def get(self, name: str, default: str | None = None) -> str | None:
        """The value of the cookie `name`; where several hosts or paths have one, of the youngest."""
        now = self._clock()
        found = [entry for host in self.hosts.values() for entry in host.values() if entry[1].name == name]
        found = [entry for entry in found if not _expired(entry[1], now)]
        return max(found, key=lambda entry: entry[0])[1].value if found else default

    def clear(self) -> None:
        """Forget every cookie."""
        self.hosts.clear()
        self._count = 0

    def set(
        self,
        name: str,
        value: str,
        *,
        url: URL | str | None = None,
        domain: str | None = None,
        path: str = "/",
        secure: bool = False,
        http_only: bool = False,
        expires: float | None = None,
    ) -> Cookie:
        """Put a cookie in by hand, for the host of `url` or for the host `domain`: one of them is needed.

        Raises InvalidHeader for what can't stand in a Cookie field.
        """
        _check_pair(name, value)
        if (url is None) == (domain is None):
            raise ValueError("CookieJar.set() takes the host either from url= or from domain=")
        host = _host(URL(url)) if url is not None else (domain or "").removeprefix(".").lower()
        if not host or not host.isascii() or _CONTROL.search(host):
            raise ValueError(f"CookieJar.set({'url' if url is not None else 'domain'}=...): there is no host in {url or domain!r}")
        if not path.startswith("/"):
            raise ValueError(f"CookieJar.set(path={path!r}): a path starts with '/'")
        cookie = Cookie(name, value, host, path, expires, secure, http_only)
        self._put(cookie)
        return cookie

    def store(self, url: URL, set_cookie: bytes | str) -> Cookie | None:
        """Take the value of one Set-Cookie field that came with the answer from `url`; gives the cookie that is kept.

        None means that nothing was: the field was refused, or it made a cookie expire.
        """
        text = set_cookie.decode("utf-8", "surrogateescape") if isinstance(set_cookie, bytes) else set_cookie
        now = self._clock()
        cookie = _parse(url, text, now)
        if cookie is None or (not _is_secure(url) and self._shadows_secure(cookie, now)):
            return None
        if _expired(cookie, now):
            self._drop(cookie)
            return None
        return cookie if self._put(cookie) else None

    def header(self, url: URL) -> str | None:
        """The value of the Cookie field for a request to `url`, None without a cookie: the longest paths first, then the oldest."""
        if not self.hosts:
            return None
        kept = self.hosts.get(_host(url))
        if not kept:
            return None
        now = self._clock()
        secure = _is_secure(url)
        path = url.raw_path or "/"
        found: list[Cookie] = []
        expired: list[Cookie] = []
        for _, cookie in kept.values():
            if _expired(cookie, now):
                expired.append(cookie)
            elif (secure or not cookie.secure) and _path_matches(path, cookie.path):
                found.append(cookie)
        for cookie in expired:
            self._drop(cookie)
        found.sort(key=lambda cookie: -len(cookie.path))
        return "; ".join([f"{cookie.name}={cookie.value}" for cookie in found]) or None

    def _put(self, cookie: Cookie) -> bool:
        """Whether the cookie is in: where only Secure ones fill the host's share, another one finds no room."""
        kept = self.hosts.setdefault(cookie.host, {})
        key = (cookie.name, cookie.path)
        if (old := kept.get(key)) is not None:
            kept[key] = (old[0], cookie)
            return True
        self._made += 1
        self._count += 1
        kept[key] = (self._made, cookie)
        if len(kept) > _MOST_PER_HOST:
            self._evict(list(kept.values()), _MOST_PER_HOST)
        if self._count > _MOST_COOKIES:
            self._evict([entry for host in self.hosts.values() for entry in host.values()], _MOST_COOKIES - _ROOM)
        return key in self.hosts.get(cookie.host, ())

    def _evict(self, entries: list[tuple[int, Cookie]], left: int) -> None:
        now = self._clock()
        entries.sort(key=lambda entry: (not _expired(entry[1], now), entry[1].secure, entry[0]))
        for at, (_, cookie) in enumerate(entries):
            if at >= len(entries) - left and not _expired(cookie, now):
                break
            self._drop(cookie)

    def _drop(self, cookie: Cookie) -> None:
        kept = self.hosts.get(cookie.host, {})
        if kept.pop((cookie.name, cookie.path), None) is not None:
            self._count -= 1
            if not kept:
                del self.hosts[cookie.host]

    def _shadows_secure(self, cookie: Cookie, now: float) -> bool:
        # Section 5.7, "leave secure cookies alone": what came over plain HTTP never replaces one, nor is sent before it.
        for _, other in self.hosts.get(cookie.host, {}).values():
            if other.secure and other.name == cookie.name and not _expired(other, now) and _path_matches(cookie.path, other.path):
                return True
        return False


def cookie_header(pairs: Mapping[str, str] | Iterable[tuple[str, str]]) -> str:
    """The value of a Cookie field from a caller's own names and values, which go out as they are.

    Raises InvalidHeader for what would end the cookie or the field: control characters, ";", and "=" in a name.

    >>> cookie_header({"a": "1", "b": '"2 3"'})
    'a=1; b="2 3"'
    """
    if isinstance(pairs, Mapping):
        pairs = pairs.items()
    checked = []
    for name, value in pairs:
        _check_pair(name, value)
        checked.append(f"{name}={value}")
    return "; ".join(checked)


def _check_pair(name: object, value: object) -> None:
    # The value may be a secret: no message shows it.
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(f"a cookie's name and value are str, not {type(name).__name__} and {type(value).__name__} (name {name!r})")
    if not name:
        raise InvalidHeader("a cookie's name can't be empty")
    for what, text, forbidden in (("name", name, _NOT_IN_NAME), ("value", value, _NOT_IN_VALUE)):
        if bad := forbidden.search(text):
            raise InvalidHeader(f"the {what} of the cookie {name!r} holds {bad[0]!r} at position {bad.start()}, which is not allowed there")
        if text.strip(" ") != text:
            raise InvalidHeader(f"the {what} of the cookie {name!r} begins or ends with a space, which servers drop: quote or encode it")


def _parse(url: URL, text: str, now: float) -> Cookie | None:
    """RFC 6265bis sections 5.6 and 5.7, but for a cookie without a name, which is refused."""
    if _CONTROL.search(text):
        return None
    pair, *attributes = text.split(";")
    name, equals, value = pair.partition("=")
    name, value = name.strip(" \t"), value.strip(" \t")
    if not equals or not name or _octets(name) + _octets(value) > _MOST_OCTETS:
        return None

    # The last one of each name counts.
    given: dict[str, str] = {}
    expires: float | None = None
    max_age: float | None = None
    for attribute in attributes:
        key, _, content = attribute.partition("=")
        key, content = key.strip(" \t").lower(), content.strip(" \t")
        if _octets(content) > _MOST_ATTRIBUTE_OCTETS:
            continue
        given[key] = content
        if key == "expires" and (date := _parse_date(content)) is not None:
            expires = date
        elif key == "max-age" and re.fullmatch(r"-?[0-9]+", content):
            max_age = now + min(int(content), _MOST_SECONDS) if int(content) > 0 else 0.0
    if max_age is not None:
        expires = max_age
    if expires is not None:
        expires = min(expires, now + _MOST_SECONDS)

    host = _host(url)
    domain = given.get("domain", "").removeprefix(".").lower()
    if not host or (domain and not _domain_matches(host, domain)):
        return None
    path = given.get("path", "")
    if not path.startswith("/"):
        path = _default_path(url)
    secure = "secure" in given
    if secure and not _is_secure(url):
        return None
    # Section 4.1.3: these names promise something to the server; in any case of letters.
    prefix = name.lower()
    if prefix.startswith("__secure-") and not secure:
        return None
    if prefix.startswith("__host-") and (not secure or domain or given.get("path") != "/"):
        return None
    return Cookie(name, value, host, path, expires, secure, "httponly" in given, _SAME_SITE.get(given.get("samesite", "").lower()))


def _parse_date(text: str) -> float | None:
    """Seconds since 1970 of a cookie-date, by the algorithm of RFC 6265 section 5.1.1; None where it isn't one."""
    clock: re.Match[str] | None = None
    day = month = year = None
    for token in _DATE_DELIMITERS.split(text):
        if clock is None and (match := _TIME.match(token)):
            clock = match
        elif day is None and (match := _DAY.match(token)):
            day = int(match[1])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (match := _YEAR.match(token)):
            year = int(match[1])
    if clock is None or day is None or month is None or year is None:
        return None
    if year < 100:
        year += 1900 if year >= 70 else 2000
    if year < 1601:
        return None
    from datetime import UTC, datetime  # few cookies need it, and each start would pay for it

    try:
        return datetime(year, month, day, int(clock[1]), int(clock[2]), int(clock[3]), tzinfo=UTC).timestamp()
    except ValueError:
        return None  # no such day or time


def _default_path(url: URL) -> str:
    # RFC 6265 section 5.1.4.
    directory = url.raw_path.rpartition("/")[0]
    return directory if directory.startswith("/") else "/"


def _path_matches(path: str, cookie_path: str) -> bool:
    # RFC 6265 section 5.1.4.
    if not path.startswith(cookie_path):
        return False
    return len(path) == len(cookie_path) or cookie_path.endswith("/") or path[len(cookie_path)] == "/"


def _domain_matches(host: str, domain: str) -> bool:
    # RFC 6265 section 5.1.3: an address has no parents.
    return host == domain or (host.endswith("." + domain) and ":" not in host and not host.rpartition(".")[2].isdigit())


def _host(url: URL) -> str:
    return (url.raw_host or "").lower()


def _is_secure(url: URL) -> bool:
    return url.scheme in ("https", "wss")


def _expired(cookie: Cookie, now: float) -> bool:
    return cookie.expires is not None and cookie.expires <= now


def _octets(text: str) -> int:
    return len(text.encode("utf-8", "replace"))  # each byte that isn't UTF-8 counts as the one that it is
