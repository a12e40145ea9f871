"""The jar: which cookies are kept, for how long, which of them a request carries. RFC 6265bis sections 5.7 (storage) and 5.8 (retrieval).

What one cookie is stands in `set_cookie.py`, how jars are written to files in `cookie_files.py`. Knows URLs and header strings; no client,
no request, no response.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from os import PathLike
from threading import RLock
from typing import TYPE_CHECKING, NoReturn, TypeAlias, overload

from yarl import URL

from .errors import InvalidHeader
from .public_suffixes import is_address, is_public_suffix, site
from .set_cookie import Cookie, canonical_host, check, host_of, is_secure, parse, path_matches
from .urls import without_password

if TYPE_CHECKING:
    import http.cookiejar
    from typing import Self

__all__ = ["Cookie", "CookieJar", "cookie_header"]

# Section 6.1, and what browsers allow the hosts of one site together: a flood from many subdomains pushes out its own site's cookies only.
_MOST_PER_DOMAIN = 50
_MOST_PER_SITE = 180
_MOST_COOKIES = 3000
# Where a site or the jar is full, some go at once: the search for what to drop is paid for by as many cookies.
_ROOM_IN_SITE = 30
_ROOM = 300

# What would end a name, a cookie or the field; and surrogates, but for those that stand for bytes (surrogateescape).
_NOT_IN_VALUE = re.compile(r"[\x00-\x1f;\x7f\ud800-\udc7f\udd00-\udfff]")
_NOT_IN_NAME = re.compile(r"[\x00-\x1f;=\x7f\ud800-\udc7f\udd00-\udfff]")


_Domains: TypeAlias = set[str]  # in the jar's class `set` is a method


class _Kept:
    """A cookie in its place: `age` grows from cookie to cookie, `used` is the time at which it was last sent or set."""

    __slots__ = ("age", "cookie", "used")

    def __init__(self, cookie: Cookie, age: int, used: float) -> None:
        self.cookie = cookie
        self.age = age
        self.used = used


class CookieJar:
    """Keeps cookies: `store` takes what servers set, `header` gives what a request carries.

    Threads may share one. At most 50 cookies a domain, 180 a site (a registrable domain with all that is below it), 3000 in all: expired
    ones make room first, then those that were not sent for the longest time; within a site the ones marked Secure go last.

    >>> jar = CookieJar()
    >>> jar.store(URL("https://www.example.org/"), "sid=1; Path=/; Domain=example.org; Secure")
    Cookie(name='sid', domain='example.org', path='/', expires=None, host_only=False, secure=True, http_only=False, same_site=None)
    >>> jar.header(URL("https://news.example.org/"))
    'sid=1'
    """

    def __init__(self, cookies: Iterable[Cookie | http.cookiejar.Cookie] = (), *, clock: Callable[[], float] = time.time) -> None:
        # The cookies of each domain by name, path and host-only flag. What a request may carry is in the entries of its host and its
        # host's parents: a handful of lookups, however many cookies there are.
        self.hosts: dict[str, dict[tuple[str, str, bool], _Kept]] = {}
        # The domains of each site; None while there are so few cookies that no site can have too many, and no list of suffixes is needed.
        self._sites: dict[str, _Domains] | None = None
        self._count = 0
        self._made = 0
        self._clock = clock
        # A loop and the thread that saves its jar, or the loops of two threads. Held for one step, never while anything waits.
        self._lock = RLock()
        self.update(cookies)

    # --- what servers set, what requests carry ---

    def store(self, url: URL, set_cookie: bytes | str) -> Cookie | None:
        """Take the value of one Set-Cookie field that came with the answer from `url`; gives the cookie that is kept.

        None means that nothing was: the field was refused, or it made a cookie expire.
        """
        text = set_cookie.decode("utf-8", "surrogateescape") if isinstance(set_cookie, bytes) else set_cookie
        now = self._clock()
        cookie = parse(url, text, now)
        if cookie is None:
            return None
        with self._lock:
            return None if not is_secure(url) and self._shadows_secure(cookie, now) else self._put(cookie, now)

    def header(self, url: URL) -> str | None:
        """The value of the Cookie field for a request to `url`, None without a cookie: the longest paths first, then the oldest."""
        if not self.hosts:
            return None
        return "; ".join([f"{cookie.name}={cookie.value}" if cookie.name else cookie.value for cookie in self.matching(url)]) or None

    def matching(self, url: URL) -> list[Cookie]:
        """The cookies that a request to `url` carries, in their order; for who sends it, since they count as used now."""
        now = self._clock()
        secure = is_secure(url)
        path = url.raw_path or "/"
        found: list[_Kept] = []
        expired: list[Cookie] = []
        host = domain = host_of(url)
        with self._lock:
            while domain:
                for kept in self.hosts.get(domain, _NOTHING).values():
                    cookie = kept.cookie
                    if cookie.expires is not None and cookie.expires <= now:
                        expired.append(cookie)
                    elif (not cookie.host_only or domain == host) and (secure or not cookie.secure) and path_matches(path, cookie.path):
                        kept.used = now
                        found.append(kept)
                domain = "" if is_address(host) else domain.partition(".")[2]
            for cookie in expired:
                self.discard(cookie)
        found.sort(key=_sent_first)
        return [kept.cookie for kept in found]

    # --- the user's side ---

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Cookie]:
        """The cookies that haven't expired, the oldest first."""
        return iter([kept.cookie for kept in self._alive()])

    def __contains__(self, cookie: object) -> bool:
        """Whether a cookie of this name (or this `Cookie`) is there and hasn't expired."""
        return any(cookie in (there.name, there) for there in self)

    def __repr__(self) -> str:
        return f"<CookieJar of {len(self)} cookies>"

    @overload
    def get(self, name: str, default: None = None, *, domain: str | None = None, path: str | None = None) -> str | None: ...
    @overload
    def get(self, name: str, default: str, *, domain: str | None = None, path: str | None = None) -> str: ...
    def get(self, name: str, default: str | None = None, *, domain: str | None = None, path: str | None = None) -> str | None:
        """The value of the cookie `name`; where several domains or paths have one, of the youngest."""
        found = self._selected(name, domain, path)
        return found[-1].value if found else default

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
        same_site: str | None = None,
        expires: float | None = None,
    ) -> Cookie:
        """Put a cookie in by hand: for exactly the host of `url`, or for `domain` and all hosts below it. One of them is needed.

        As if that host had set it: a `domain` that is an address or a public suffix (`localhost`, `github.io`) stands for itself alone.
        Errors: InvalidHeader for what can't stand in a Cookie field, ValueError for the rest.
        """
        _check_pair(name, value)
        if (url is None) == (domain is None):
            raise ValueError("CookieJar.set() takes the host either from url= or from domain=")
        host = host_of(URL(url)) if url is not None else canonical_host(domain or "")
        if not host:
            raise ValueError(f"CookieJar.set(url=...): there is no host in {without_password(str(url))!r}")
        cookie = Cookie(name, value, host, path, expires, url is not None, secure, http_only, same_site, self._clock())
        return self.add(cookie) or cookie

    def add(self, cookie: Cookie) -> Cookie | None:
        """Put in a cookie; one with the same name, domain, path and host-only flag is replaced. Gives what is kept, None if it has expired.

        One for an address or a public suffix and what is below it becomes host-only, as with `set`.
        Errors: InvalidHeader, ValueError and TypeError for one that no server could have set.
        """
        check(cookie)
        return self._add(cookie, self._clock())

    def update(self, cookies: Iterable[Cookie | http.cookiejar.Cookie]) -> None:
        """Add all cookies of another jar, of one of the standard library too (`http.cookiejar`), or of any iterable of them.

        Errors: as `add`; what came before stays in.
        """
        for cookie in cookies:
            if not isinstance(cookie, Cookie):
                from .cookie_files import from_standard

                cookie = from_standard(cookie)
            self.add(cookie)

    def discard(self, cookie: Cookie) -> None:
        """Take out one cookie, if it is there: by its name, domain, path and host-only flag."""
        with self._lock:
            here = self.hosts.get(cookie.domain, _NOTHING)
            if here.pop((cookie.name, cookie.path, cookie.host_only), None) is not None:
                self._count -= 1
                if not here:
                    del self.hosts[cookie.domain]
                    if self._sites is not None:
                        domains = self._sites[site(cookie.domain)]
                        domains.discard(cookie.domain)
                        if not domains:
                            del self._sites[site(cookie.domain)]

    def clear(self, *, name: str | None = None, domain: str | None = None, path: str | None = None) -> None:
        """Forget every cookie, or those that have this name, this domain (not what is below it) and this path."""
        with self._lock:
            for cookie in self._selected(name, domain, path, expired=True):
                self.discard(cookie)

    def copy(self) -> Self:
        """A jar of its own with the same cookies."""
        other = type(self)(clock=self._clock)
        for kept in self._alive():
            other._add(kept.cookie, kept.used)
        return other

    def __copy__(self) -> Self:
        return self.copy()

    def __deepcopy__(self, memo: object) -> Self:
        return self.copy()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a CookieJar isn't pickled, since reading a pickle runs whatever code is in it: save() and load() are JSON")

    # --- files ---

    def save(self, path: str | PathLike[str], *, session_cookies: bool = True) -> None:
        """Write the cookies to a JSON file that only its owner may read (mode 0600), in one step: whole or not at all.

        `session_cookies=False` leaves out those without an expiry. Blocks for as long as the disk takes; errors: OSError.
        """
        from .cookie_files import write_json

        write_json(path, [(kept.cookie, kept.used) for kept in self._alive() if session_cookies or kept.cookie.expires is not None])

    @classmethod
    def load(cls, path: str | PathLike[str], *, clock: Callable[[], float] = time.time) -> Self:
        """A jar of what `save` wrote, without what has expired since. Errors: OSError; ValueError that says what is wrong, and where."""
        from .cookie_files import read_json

        jar = cls(clock=clock)
        for cookie, used in read_json(path):
            jar._add(cookie, used)
        return jar

    def save_netscape(self, path: str | PathLike[str], *, session_cookies: bool = True) -> None:
        """Write a `cookies.txt` as curl, wget and browsers' extensions read it, mode 0600. It has no SameSite, and whole seconds.

        Errors: OSError; ValueError for a cookie with a tab, which the format can't hold.
        """
        from .cookie_files import write_netscape

        write_netscape(path, [cookie for cookie in self if session_cookies or cookie.expires is not None])

    @classmethod
    def load_netscape(cls, path: str | PathLike[str], *, clock: Callable[[], float] = time.time) -> Self:
        """A jar of the cookies in a `cookies.txt`, `#HttpOnly_` lines too. Errors: OSError; ValueError that names the line."""
        from .cookie_files import read_netscape

        jar = cls(clock=clock)
        for cookie in read_netscape(path):
            jar._add(cookie, jar._clock())
        return jar

    def to_http_cookiejar(self, jar: http.cookiejar.CookieJar | None = None) -> http.cookiejar.CookieJar:
        """A jar of the standard library with the same cookies; or `jar` (a MozillaCookieJar, say), to which they are added."""
        from .cookie_files import to_standard

        return to_standard(self, jar)

    # --- how they are kept ---

    def _add(self, cookie: Cookie, used: float) -> Cookie | None:
        if not cookie.host_only and (is_address(cookie.domain) or is_public_suffix(cookie.domain)):
            cookie = replace(cookie, host_only=True)
        with self._lock:
            return self._put(cookie if cookie.created else replace(cookie, created=used), used)

    def _put(self, cookie: Cookie, used: float) -> Cookie | None:
        """The cookie as it is kept. None where it has expired, or finds no room: where only Secure ones fill the domain, say."""
        if cookie.expires is not None and cookie.expires <= self._clock():
            self.discard(cookie)
            return None
        here = self.hosts.setdefault(cookie.domain, {})
        key = (cookie.name, cookie.path, cookie.host_only)
        if (old := here.get(key)) is not None:
            # Section 5.7: it stays as old as the one that it replaces.
            old.cookie, old.used = replace(cookie, created=old.cookie.created), used
            return old.cookie
        self._made += 1
        self._count += 1
        here[key] = kept = _Kept(cookie, self._made, used)
        if len(here) > _MOST_PER_DOMAIN:
            self._evict(list(here.values()), _MOST_PER_DOMAIN, _within_site)
        if self._count > _MOST_PER_SITE or self._sites is not None:
            domains = self._domains_beside(cookie.domain)
            if sum(len(self.hosts[domain]) for domain in domains) > _MOST_PER_SITE:
                crowd = [kept for domain in domains for kept in self.hosts[domain].values()]
                self._evict(crowd, _MOST_PER_SITE - _ROOM_IN_SITE, _within_site)
        if self._count > _MOST_COOKIES:
            self._evict([kept for here in self.hosts.values() for kept in here.values()], _MOST_COOKIES - _ROOM, _in_all)
        return cookie if self.hosts.get(cookie.domain, _NOTHING).get(key) is kept else None

    def _domains_beside(self, domain: str) -> _Domains:
        """All domains of the same site that have cookies, this one too if it has."""
        if self._sites is None:
            self._sites = {}
            for other in self.hosts:
                self._sites.setdefault(site(other), set()).add(other)
        domains = self._sites.setdefault(site(domain), set())
        if domain in self.hosts:
            domains.add(domain)
        return domains

    def _evict(self, crowd: list[_Kept], left: int, order: Callable[[_Kept], tuple[bool, float, int]]) -> None:
        now = self._clock()
        crowd.sort(key=lambda kept: (not _expired(kept.cookie, now), *order(kept)))
        for at, kept in enumerate(crowd):
            if at >= len(crowd) - left and not _expired(kept.cookie, now):
                break
            self.discard(kept.cookie)

    def _shadows_secure(self, cookie: Cookie, now: float) -> bool:
        # Section 5.7, "leave secure cookies alone": what came over plain HTTP never replaces one, nor stands beside it in a request.
        # Nor does one of a host above or below it; but what a public suffix sets for itself never meets the sites below it.
        domain = cookie.domain
        others: Iterable[str] = self.hosts if self._sites is None else self._sites.get(site(domain), ())
        related = [other for other in others if other.endswith("." + domain)]
        if related and is_public_suffix(domain):
            related = []
        while domain:
            related.append(domain)
            domain = domain.partition(".")[2]
        for domain in related:
            for kept in self.hosts.get(domain, _NOTHING).values():
                other = kept.cookie
                if other.secure and other.name == cookie.name and path_matches(cookie.path, other.path) and not _expired(other, now):
                    return True
        return False

    def _alive(self) -> list[_Kept]:
        now = self._clock()
        with self._lock:
            alive = [kept for here in self.hosts.values() for kept in here.values() if not _expired(kept.cookie, now)]
        return sorted(alive, key=lambda kept: kept.age)

    def _selected(self, name: str | None, domain: str | None, path: str | None, *, expired: bool = False) -> list[Cookie]:
        if domain is not None:
            domain = canonical_host(domain)
        cookies = [kept.cookie for here in self.hosts.values() for kept in here.values()] if expired else list(self)
        return [
            cookie for cookie in cookies if name in (None, cookie.name) and domain in (None, cookie.domain) and path in (None, cookie.path)
        ]


_NOTHING: dict[tuple[str, str, bool], _Kept] = {}


def _sent_first(kept: _Kept) -> tuple[int, int]:
    return -len(kept.cookie.path), kept.age


def _within_site(kept: _Kept) -> tuple[bool, float, int]:
    return kept.cookie.secure, kept.used, kept.age


def _in_all(kept: _Kept) -> tuple[bool, float, int]:
    # Not the Secure ones last: a flood of those would push out every other site's others.
    return False, kept.used, kept.age


def _expired(cookie: Cookie, now: float) -> bool:
    return cookie.expires is not None and cookie.expires <= now


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
