"""aiohttp's cookie jar: the core's jar, spoken to in `Morsel`s. What is kept, and where it is sent, the core decides (RFC 6265bis).

Beside it stand the cookies that a user gave without a host: they go everywhere.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from email.utils import formatdate
from http.cookies import BaseCookie, CookieError, Morsel, SimpleCookie
from types import MappingProxyType
from typing import Any, NoReturn

from yarl import URL

from ...cookie_files import write
from ...cookies import Cookie
from ...cookies import CookieJar as CoreJar
from ...set_cookie import domain_matches, is_secure, parse, path_matches
from ._morsels import morsel, parse_set_cookie_headers, quoted, unquoted
from .abc import NO_URL, AbstractCookieJar, ClearCookiePredicate
from .helpers import is_ip_address
from .typedefs import LooseCookies, PathLike, StrOrURL

__all__ = ["CookieJar", "DummyCookieJar", "parse_set_cookie_headers"]

_SOMEWHERE = URL("https://somewhere.invalid/")
_ATTRIBUTES = ("path", "domain", "secure", "httponly", "samesite")
_PICKLE = b"\x80"


class CookieJar(AbstractCookieJar):
    """Keeps cookies as browsers do.

    `unsafe=True` takes them from hosts that are addresses too; `quote_cookie=False` sends values without the quotes around them;
    `treat_as_secure_origin` are the origins that get Secure ones over plain HTTP.
    """

    def __init__(
        self,
        *,
        unsafe: bool = False,
        quote_cookie: bool = True,
        treat_as_secure_origin: StrOrURL | Iterable[StrOrURL] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(loop=loop)
        given: Any = () if treat_as_secure_origin is None else treat_as_secure_origin
        origins = frozenset(URL(url).origin() for url in ((given,) if isinstance(given, str | URL) else given))
        self._jar = _Jar(unsafe, quote_cookie, origins)

    @property
    def _core(self) -> CoreJar | None:
        """The core's jar, which a client may ask by itself; None where a subclass has its own way."""
        kind = type(self)
        own = (
            kind.filter_cookies is CookieJar.filter_cookies
            and kind.update_cookies is CookieJar.update_cookies
            and kind.update_cookies_from_headers is CookieJar.update_cookies_from_headers
        )
        return self._jar if own else None

    @property
    def unsafe(self) -> bool:
        """Whether hosts that are addresses may set cookies."""
        return self._jar.unsafe

    @property
    def quote_cookie(self) -> bool:
        """Whether values go out in the quotes that they have."""
        return self._jar.quotes

    @property
    def treat_as_secure_origin(self) -> frozenset[URL]:
        """The origins that get cookies marked Secure over plain HTTP."""
        return self._jar.secure_origins

    @property
    def cookies(self) -> MappingProxyType[tuple[str, str], SimpleCookie]:
        """The cookies by domain and path, as they are now."""
        found: dict[tuple[str, str], SimpleCookie] = {}
        for cookie in self._jar:
            found.setdefault((cookie.domain, cookie.path.rstrip("/")), SimpleCookie())[cookie.name] = _told(cookie)
        return MappingProxyType(found)

    @property
    def host_only_cookies(self) -> frozenset[tuple[str, str, str]]:
        """Domain, path and name of those that go to no subdomain."""
        return frozenset((cookie.domain, cookie.path.rstrip("/"), cookie.name) for cookie in self._jar if cookie.host_only)

    def __iter__(self) -> Iterator[Morsel[str]]:
        return iter([_told(cookie) for cookie in self._jar])

    def __len__(self) -> int:
        return len(self._jar)

    @property
    def _cookies(self) -> dict[tuple[str, str], SimpleCookie]:
        """As `cookies`, which is younger: programs that keep theirs by themselves look for them here."""
        return dict(self.cookies)

    def clear(self, predicate: ClearCookiePredicate | None = None) -> None:
        """Forget every cookie, or those for which `predicate` is true."""
        if predicate is None:
            self._jar.clear()
            return
        for cookie in list(self._jar):
            if predicate(_told(cookie)):
                self._jar.discard(cookie)

    def clear_domain(self, domain: str) -> None:
        """Forget the cookies of a domain and all that is below it."""
        self.clear(lambda cookie: domain_matches(cookie["domain"], domain))

    def update_cookies(self, cookies: LooseCookies, response_url: URL = NO_URL) -> None:
        """Take cookies that `response_url` set; without a host, the user's own: for their Domain, or else for all hosts.

        What no server may set is left out.
        """
        given: Any = cookies
        for name, cookie in given.items() if isinstance(given, Mapping) else given:
            coded = cookie.coded_value if isinstance(cookie, Morsel) else quoted(cookie)
            fields = [f"{name}={coded}"]
            if isinstance(cookie, Morsel):
                fields += [key if value is True else f"{key}={value}" for key, value in cookie.items() if value]
            self._jar.take(response_url, "; ".join(fields))

    def update_cookies_from_headers(self, headers: Sequence[str], response_url: URL) -> None:
        """Take the cookies of Set-Cookie fields."""
        for header in headers:
            self._jar.store(response_url, header)

    def filter_cookies(self, request_url: URL = NO_URL) -> BaseCookie[str]:
        """The cookies that a request to this URL carries: of several of a name, the one of the nearest domain and the longest path."""
        if type(request_url) is not URL:
            warnings.warn("filter_cookies() takes a yarl.URL", DeprecationWarning, stacklevel=2)
            request_url = URL(request_url)
        filtered: BaseCookie[str] = BaseCookie()
        for cookie in sorted(self._jar.matching(request_url), key=lambda cookie: (len(cookie.domain), len(cookie.path))):
            value = unquoted(cookie.value)
            try:
                filtered[cookie.name] = morsel(cookie.name, value, self._jar.sent(cookie))
            except CookieError:
                continue
        return filtered

    def save(self, file_path: PathLike) -> None:
        """Write the cookies to a JSON file that only its owner may read, as aiohttp writes and reads it. Errors: OSError."""
        data: dict[str, dict[str, dict[str, str | bool | float]]] = {}
        for cookie in self._jar:
            told: dict[str, str | bool | float] = {
                "key": cookie.name,
                "value": unquoted(cookie.value),
                "coded_value": cookie.value,
                **{key: value for key, value in _told(cookie).items() if key in _ATTRIBUTES and value},
            }
            if cookie.host_only:
                told["host_only"] = True
            if cookie.expires is not None:
                told["expires_timestamp"] = cookie.expires
            data.setdefault(f"{cookie.domain}|{cookie.path.rstrip('/')}", {})[cookie.name] = told
        write(file_path, json.dumps(data, indent=2, allow_nan=False) + "\n")

    def load(self, file_path: PathLike) -> None:
        """Have the cookies of such a file in place of those that are here. A pickle, as early versions of aiohttp wrote, isn't read.

        Errors: OSError; ValueError that says what is wrong, and then nothing changes.
        """
        shown = os.fspath(file_path)
        with open(file_path, "rb") as file:
            content = file.read()
        if content.startswith(_PICKLE):
            raise ValueError(f"{shown}: this is a pickle, and reading one runs what is in it: load it with aiohttp and save it as JSON")
        try:
            data: Any = json.loads(content)
        except (ValueError, RecursionError):
            raise ValueError(f"{shown}: this is no JSON file of cookies") from None
        if not isinstance(data, dict):
            raise ValueError(f"{shown}: a JSON object is what CookieJar.save() writes, not {type(data).__name__}")
        loaded: list[Cookie] = []
        for place, cookies in data.items():
            domain, bar, path = place.partition("|")
            if not bar or not isinstance(cookies, dict):
                raise ValueError(f"{shown}: {place!r} is no domain and path with cookies")
            for name, told in cookies.items():
                try:
                    loaded.append(_loaded(domain, path, told))
                except (KeyError, TypeError, ValueError) as error:
                    raise ValueError(f"{shown}: cookie {name!r} in {place!r}: {error}") from None
        self._jar.clear()
        for cookie in loaded:
            self._jar.put(cookie)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a CookieJar isn't pickled, since reading a pickle runs whatever code is in it: save() and load() are JSON")


class _Jar(CoreJar):
    """The core's jar with a session's own rules, and with the cookies that go to all hosts: those have no domain."""

    def __init__(self, unsafe: bool, quotes: bool, secure_origins: frozenset[URL]) -> None:
        super().__init__()
        self.unsafe = unsafe
        self.quotes = quotes
        self.secure_origins = secure_origins
        self.everywhere: dict[tuple[str, str], Cookie] = {}

    def store(self, url: URL, set_cookie: bytes | str) -> Cookie | None:
        """As the core's; nothing from an address, unless that is wanted."""
        if not self.unsafe and is_ip_address(url.raw_host):
            return None
        return super().store(self._seen(url), set_cookie)

    def take(self, url: URL, text: str) -> None:
        """What a user puts in: as if `url` had set it, or by its own Domain, or for all hosts."""
        if url.raw_host:
            self.store(url, text)
            return
        # As a cookie of some host's, but for its domain: the rules for the rest are the same.
        pair, *attributes = text.split(";")
        domain = ""
        kept = [pair]
        for attribute in attributes:
            key, _, value = attribute.partition("=")
            if key.strip(" \t").lower() == "domain":
                domain = value.strip(" \t").removeprefix(".")
            else:
                kept.append(attribute)
        cookie = parse(_SOMEWHERE, ";".join(kept), self._clock())
        if cookie is not None:
            self.put(replace(cookie, domain=domain.lower(), host_only=False))

    def put(self, cookie: Cookie) -> None:
        """Keep a cookie as it is, unless no server could have set it."""
        if not cookie.domain:
            if cookie.expires is None or cookie.expires > self._clock():
                self.everywhere[cookie.name, cookie.path] = cookie
            else:
                self.everywhere.pop((cookie.name, cookie.path), None)
        elif self.unsafe or not is_ip_address(cookie.domain):
            try:
                self.add(cookie)
            except ValueError:
                pass

    def header(self, url: URL) -> str | None:
        """The value of the Cookie field for a request to `url`."""
        if not self.hosts and not self.everywhere:
            return None
        return "; ".join([f"{cookie.name}={self.sent(cookie)}" if cookie.name else cookie.value for cookie in self.matching(url)]) or None

    def matching(self, url: URL) -> list[Cookie]:
        """The cookies that a request to `url` carries; those for all hosts last, and none of a name that the host has."""
        seen = self._seen(url)
        found = [] if not self.unsafe and is_ip_address(url.raw_host) else super().matching(seen)
        if self.everywhere:
            names, now, path = {cookie.name for cookie in found}, self._clock(), url.raw_path or "/"
            for key, cookie in list(self.everywhere.items()):
                if cookie.expires is not None and cookie.expires <= now:
                    del self.everywhere[key]
                elif cookie.name not in names and path_matches(path, cookie.path) and (not cookie.secure or is_secure(seen)):
                    found.append(cookie)
        return found

    def sent(self, cookie: Cookie) -> str:
        """The value as it goes out."""
        return cookie.value if self.quotes else unquoted(cookie.value)

    def __iter__(self) -> Iterator[Cookie]:
        now = self._clock()
        own = [cookie for cookie in self.everywhere.values() if cookie.expires is None or cookie.expires > now]
        return iter([*own, *super().__iter__()])

    def discard(self, cookie: Cookie) -> None:
        """Take out one cookie, if it is there."""
        if cookie.domain:
            super().discard(cookie)
        else:
            self.everywhere.pop((cookie.name, cookie.path), None)

    def clear(self, *, name: str | None = None, domain: str | None = None, path: str | None = None) -> None:
        """Forget every cookie, or those that have this name, this domain and this path."""
        super().clear(name=name, domain=domain, path=path)
        if name is domain is path is None:
            self.everywhere.clear()

    def _seen(self, url: URL) -> URL:
        """The URL with the scheme that its origin counts as."""
        if self.secure_origins and not is_secure(url) and url.origin() in self.secure_origins:
            return url.with_scheme("https")
        return url


class _KeepsNothing(CoreJar):
    def store(self, url: URL, set_cookie: bytes | str) -> Cookie | None:
        return None


class DummyCookieJar(AbstractCookieJar):
    """Keeps no cookie."""

    _core = _KeepsNothing()

    def __init__(self, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        super().__init__(loop=loop)

    @property
    def unsafe(self) -> bool:
        """False."""
        return False

    @property
    def quote_cookie(self) -> bool:
        """True."""
        return True

    @property
    def cookies(self) -> MappingProxyType[tuple[str, str], SimpleCookie]:
        """Nothing."""
        return MappingProxyType({})

    @property
    def host_only_cookies(self) -> frozenset[tuple[str, str, str]]:
        """Nothing."""
        return frozenset()

    def __iter__(self) -> Iterator[Morsel[str]]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def clear(self, predicate: ClearCookiePredicate | None = None) -> None:
        """Nothing to do."""

    def clear_domain(self, domain: str) -> None:
        """Nothing to do."""

    def update_cookies(self, cookies: LooseCookies, response_url: URL = NO_URL) -> None:
        """They are dropped."""

    def update_cookies_from_headers(self, headers: Sequence[str], response_url: URL) -> None:
        """They are dropped."""

    def filter_cookies(self, request_url: URL) -> BaseCookie[str]:
        """Nothing."""
        return SimpleCookie()


def _told(cookie: Cookie) -> Morsel[str]:
    """A kept cookie with its attributes."""
    told: Any = morsel(cookie.name, unquoted(cookie.value), cookie.value)
    told["domain"], told["path"] = cookie.domain, cookie.path
    if cookie.secure:
        told["secure"] = True
    if cookie.http_only:
        told["httponly"] = True
    if cookie.same_site is not None:
        told["samesite"] = cookie.same_site
    if cookie.expires is not None:
        told["expires"] = formatdate(cookie.expires, usegmt=True)
    return told  # type: ignore[no-any-return]


def _loaded(domain: str, path: str, told: Any) -> Cookie:
    """A cookie as it stands in the file. Errors: KeyError, TypeError, ValueError."""
    if not isinstance(told, dict):
        raise TypeError(f"an object, not {type(told).__name__}")
    expires = told.get("expires_timestamp")
    if expires is not None and not (isinstance(expires, int | float) and not isinstance(expires, bool) and math.isfinite(expires)):
        raise ValueError("expires_timestamp is a finite number")
    name, value = told["key"], told["coded_value"]
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError("key and coded_value are text")
    same_site = str(told.get("samesite", "")).capitalize()
    return Cookie(
        name,
        value,
        domain,
        str(told.get("path") or path or "/"),
        expires,
        bool(told.get("host_only")),
        bool(told.get("secure")),
        bool(told.get("httponly")),
        same_site if same_site in ("Strict", "Lax", "None") else None,
    )
