"""One cookie: what a Set-Cookie field says, which hosts and paths it goes to, whether it could exist at all. RFC 6265bis section 5.

Knows URLs and text; nothing of where cookies are kept. Sections are those of draft-ietf-httpbis-rfc6265bis-20.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from yarl import URL

from .errors import InvalidHeader, InvalidURL
from .public_suffixes import is_address, is_public_suffix

__all__ = ["Cookie", "canonical_host", "check", "host_of", "is_secure", "parse", "path_matches", "scope"]

# Section 5.6: octets of name and value together, octets of an attribute's value, seconds to live.
_MOST_OCTETS = 4096
_MOST_ATTRIBUTE_OCTETS = 1024
_MOST_SECONDS = 400 * 24 * 3600

# Control characters, but for the tab; and surrogates, but for those that stand for bytes (surrogateescape).
_NOWHERE = r"\x00-\x08\x0a-\x1f\x7f\ud800-\udc7f\udd00-\udfff"
_REFUSED = re.compile(f"[{_NOWHERE}]")
_AGE = re.compile(r"-?[0-9]+")
# Section 5.1.1.
_DATE_DELIMITERS = re.compile(r"[\t\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?![0-9])")
_DAY = re.compile(r"([0-9]{1,2})(?![0-9])")
_YEAR = re.compile(r"([0-9]{2,4})(?![0-9])")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SAME_SITE = {"strict": "Strict", "lax": "Lax", "none": "None"}


@dataclass(frozen=True, slots=True)
class Cookie:
    """One cookie. `value` is what the server sent, quotes included; bytes that aren't UTF-8 are surrogates (surrogateescape).

    `domain` is where it goes: with `host_only` to that host alone, else to the hosts below it too. `expires` and `created` are seconds
    since 1970; a cookie whose `expires` is None lives as long as the jar. `same_site` is "Strict", "Lax", "None", or None where the server
    said nothing: it is kept, and restrains nothing here, for every request is made by the program itself.
    """

    name: str
    value: str = field(repr=False)
    domain: str
    path: str = "/"
    expires: float | None = None
    host_only: bool = True
    secure: bool = False
    http_only: bool = False
    same_site: str | None = None
    created: float = field(default=0.0, compare=False, repr=False)


def parse(url: URL, text: str, now: float) -> Cookie | None:
    """The cookie that a Set-Cookie field from `url` asks for, None where the field is refused (sections 5.6 and 5.7)."""
    if _REFUSED.search(text):
        return None
    pair, *attributes = text.split(";")
    name, equals, value = pair.partition("=")
    if not equals:
        name, value = "", name
    name, value = name.strip(" \t"), value.strip(" \t")
    if _bad_pair(name, value):
        return None

    # The last one of each name counts.
    given: dict[str, str] = {}
    expires: float | None = None
    max_age: float | None = None
    for attribute in attributes:
        key, _, content = attribute.partition("=")
        key, content = key.strip(" \t").lower(), content.strip(" \t")
        if len(content) > _MOST_ATTRIBUTE_OCTETS or _octets(content) > _MOST_ATTRIBUTE_OCTETS:
            continue
        given[key] = content
        if key == "expires" and (date := _parse_date(content)) is not None:
            expires = date
        elif key == "max-age" and _AGE.fullmatch(content):
            max_age = now + min(int(content), _MOST_SECONDS) if int(content) > 0 else 0.0
    if max_age is not None:
        expires = max_age
    if expires is not None:
        expires = min(expires, now + _MOST_SECONDS)

    host = host_of(url)
    kept = scope(host, given.get("domain", "").removeprefix(".")) if host else None
    if kept is None:
        return None
    path = given.get("path", "")
    explicit = path.startswith("/")
    cookie = Cookie(
        name=name,
        value=value,
        domain=kept[0],
        path=path if explicit else _default_path(url),
        expires=expires,
        host_only=kept[1],
        secure="secure" in given,
        http_only="httponly" in given,
        same_site=_SAME_SITE.get(given.get("samesite", "").lower()),
        created=now,
    )
    if cookie.secure and not is_secure(url):
        return None
    if cookie.same_site == "None" and not cookie.secure:
        return None
    if _broken_promise(cookie) or (name.lower().startswith("__host-") and not explicit):
        return None
    return cookie


def scope(host: str, domain: str) -> tuple[str, bool] | None:
    """The domain and the host-only flag of a cookie that `host` sets with this Domain attribute; None where it may not (section 5.7)."""
    if not domain:
        return host, True
    # Asked before the case is folded: the Kelvin sign's lower case is an ASCII "k".
    if not domain.isascii():
        return None
    domain = domain.lower()
    if not domain_matches(host, domain):
        return None
    if is_address(host):
        return host, True
    if is_public_suffix(domain):
        return (host, True) if domain == host else None
    return domain, False


def domain_matches(host: str, domain: str) -> bool:
    """Whether `host` is `domain` or below it (section 5.1.3)."""
    return host == domain or (host.endswith("." + domain) and not is_address(host))


def path_matches(path: str, cookie_path: str) -> bool:
    """Whether `path` is `cookie_path` or below it (section 5.1.4)."""
    if not path.startswith(cookie_path):
        return False
    return len(path) == len(cookie_path) or cookie_path.endswith("/") or path[len(cookie_path)] == "/"


def host_of(url: URL) -> str:
    """The host that cookies of this URL belong to; empty where it has none."""
    return (url.raw_host or "").lower()


def is_secure(url: URL) -> bool:
    """Whether cookies marked Secure may travel there. Not to http://localhost: browsers do that for the sake of developers."""
    return url.scheme in ("https", "wss")


def canonical_host(text: str) -> str:
    """A host or domain as users write it (a leading dot, capitals, Unicode, brackets), as URLs have it. Errors: ValueError."""
    from .urls import host_and_port  # a jar alone needs no IDNA

    name = text.removeprefix(".").removeprefix("[").removesuffix("]")
    try:
        return host_and_port(f"[{name}]" if ":" in name else name, 0, text)[0]
    except InvalidURL:
        raise ValueError(f"{text!r} is no host name") from None


def check(cookie: Cookie) -> None:
    """That a cookie which didn't come by `parse` is one that a server could have set.

    Errors: ValueError (of which InvalidHeader is one) that names the cookie and what is wrong; TypeError.
    """
    for kinds, names in _KINDS.items():
        for name in names:
            if not isinstance(value := getattr(cookie, name), kinds) or (isinstance(value, bool) and bool not in kinds):
                wanted = " or ".join(kind.__name__ for kind in kinds)
                raise TypeError(f"{name} is {wanted}, not {type(value).__name__}")
    what = f"the cookie {cookie.name!r} of {cookie.domain!r}"
    for part, text, ends in (("name", cookie.name, ";="), ("value", cookie.value, ";"), ("path", cookie.path, ";")):
        if bad := re.search(f"[{_NOWHERE}{ends}]", text):
            raise InvalidHeader(f"{what}: the {part} holds {bad[0]!r} at position {bad.start()}, which is not allowed there")
        if text.strip(" \t") != text:
            raise InvalidHeader(f"{what}: the {part} begins or ends with a space, which servers drop")
    if problem := _bad_pair(cookie.name, cookie.value):
        raise InvalidHeader(f"{what}: {problem}")
    if not cookie.path.startswith("/"):
        raise ValueError(f"{what}: a path starts with '/', this one is {cookie.path!r}")
    if canonical_host(cookie.domain) != cookie.domain:
        raise ValueError(f"{what}: the domain is written {canonical_host(cookie.domain)!r}")
    if not math.isfinite(cookie.created) or not math.isfinite(cookie.expires or 0):
        raise ValueError(f"{what}: a time is a finite number of seconds since 1970")
    if cookie.same_site not in (None, *_SAME_SITE.values()):
        raise ValueError(f"{what}: same_site is 'Strict', 'Lax', 'None' or None, not {cookie.same_site!r}")
    if problem := _broken_promise(cookie):
        raise ValueError(f"{what}: {problem}")


_KINDS: dict[tuple[type, ...], tuple[str, ...]] = {
    (str,): ("name", "value", "domain", "path"),
    (bool,): ("host_only", "secure", "http_only"),
    (float, int): ("created",),
    (float, int, type(None)): ("expires",),
    (str, type(None)): ("same_site",),
}


def _bad_pair(name: str, value: str) -> str:
    """What is wrong with a name and a value, nothing where they are good (section 5.7)."""
    if not name and not value:
        return "it has neither a name nor a value"
    if _octets(name) + _octets(value) > _MOST_OCTETS:
        return f"name and value have more than {_MOST_OCTETS} bytes together"
    # A cookie without a name goes out as its value alone. Stricter than the RFC: with a "=" in it servers would read another cookie.
    if not name and ("=" in value or value.lower().startswith(("__secure-", "__host-"))):
        return "it has no name, and its value would be read as another cookie's name"
    return ""


def _broken_promise(cookie: Cookie) -> str:
    """What the prefix of the name promises (section 5.4, in any case of letters) and the cookie doesn't keep."""
    prefix = cookie.name.lower()
    if prefix.startswith("__secure-") and not cookie.secure:
        return "a name that begins with __Secure- asks for secure"
    if prefix.startswith("__host-") and not (cookie.secure and cookie.host_only and cookie.path == "/"):
        return "a name that begins with __Host- asks for secure, host-only and the path '/'"
    return ""


def _parse_date(text: str) -> float | None:
    """Seconds since 1970 of a cookie-date (section 5.1.1); None where it isn't one."""
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
    # Section 5.1.4.
    directory = url.raw_path.rpartition("/")[0]
    return directory if directory.startswith("/") else "/"


def _octets(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))
