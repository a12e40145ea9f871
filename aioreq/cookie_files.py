"""Cookies outside the jar: its JSON file, Netscape's cookies.txt, the jars of the standard library (`http.cookiejar`).

Knows cookies and files; nothing of when a cookie is kept or sent. No format here runs code when it is read. No message shows a value.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable
from dataclasses import fields
from os import PathLike
from typing import TYPE_CHECKING, Any

from .set_cookie import Cookie, canonical_host, check

if TYPE_CHECKING:
    import http.cookiejar

__all__ = ["from_standard", "read_json", "read_netscape", "to_standard", "write", "write_json", "write_netscape"]

_FORMAT = "aioreq.cookies"
_VERSION = 1
_KEYS = {field.name for field in fields(Cookie)} | {"used"}

_NETSCAPE_HEAD = "# Netscape HTTP Cookie File\n# It may hold secrets: whoever reads it is logged in where its owner is.\n\n"
_HTTP_ONLY = "#HttpOnly_"
_FLAGS = {"TRUE": True, "FALSE": False}
_SECONDS = re.compile(r"-?[0-9]{1,15}(\.[0-9]*)?")


# --- JSON ---


def write_json(path: str | PathLike[str], cookies: Iterable[tuple[Cookie, float]]) -> None:
    """Cookies in the order of their age, each with the time at which it was last used. Errors: OSError."""
    listed = [{**{key: getattr(cookie, key) for key in sorted(_KEYS - {"used"})}, "used": used} for cookie, used in cookies]
    # ASCII: what stands for bytes that aren't UTF-8 has no UTF-8 of its own.
    text = json.dumps({"format": _FORMAT, "version": _VERSION, "cookies": listed}, indent=1, allow_nan=False)
    write(path, text + "\n")


def read_json(path: str | PathLike[str]) -> list[tuple[Cookie, float]]:
    """What `write_json` wrote. Errors: OSError; ValueError that says what is wrong, and where."""
    shown = os.fspath(path)
    try:
        with open(path, encoding="utf-8") as file:
            content: Any = json.load(file)
    except json.JSONDecodeError as error:
        raise ValueError(f"{shown}: this is no JSON ({error.msg}, line {error.lineno}, column {error.colno})") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{shown}: this is no JSON file of cookies") from None
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError(f"{shown}: this is not what CookieJar.save() writes: there is no 'format': {_FORMAT!r}")
    if content.get("version") != _VERSION or isinstance(content["version"], bool):
        raise ValueError(f"{shown}: 'version' is {content.get('version')!r}, and this aioreq reads version {_VERSION}")
    listed = content.get("cookies")
    if not isinstance(listed, list):
        raise ValueError(f"{shown}: 'cookies' is no list")
    cookies = []
    for at, item in enumerate(listed):
        try:
            cookies.append(_from_item(item))
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(f"{shown}: cookies[{at}]: {error}") from None
    return cookies


def _from_item(item: object) -> tuple[Cookie, float]:
    if not isinstance(item, dict):
        raise TypeError(f"a cookie is an object, not {type(item).__name__}")
    for what, keys in (("is missing", _KEYS - item.keys()), ("is unknown", item.keys() - _KEYS)):
        if keys:
            raise ValueError(f"{min(keys)!r} {what}")
    used = item["used"]
    if not isinstance(used, int | float) or isinstance(used, bool):
        raise TypeError(f"used is a number, not {type(used).__name__}")
    if not math.isfinite(used):
        raise ValueError("used is a finite number of seconds since 1970")
    cookie = Cookie(**{key: value for key, value in item.items() if key != "used"})
    check(cookie)
    return cookie, float(used)


# --- Netscape's cookies.txt ---


def write_netscape(path: str | PathLike[str], cookies: Iterable[Cookie]) -> None:
    """Domain, whether it covers what is below, path, Secure, expiry, name, value: between tabs. Errors: OSError, ValueError."""
    lines = []
    for cookie in cookies:
        if "\t" in cookie.name + cookie.value + cookie.path:
            raise ValueError(f"the cookie {cookie.name!r} of {cookie.domain!r} holds a tab, which a cookies.txt can't hold: use save()")
        domain = cookie.domain if cookie.host_only else "." + cookie.domain
        # Browsers and curl write 0 for a session cookie; one that ends in the middle of a second ends with it.
        expires = 0 if cookie.expires is None else max(1, math.ceil(cookie.expires))
        flags = ["FALSE" if cookie.host_only else "TRUE", cookie.path, "TRUE" if cookie.secure else "FALSE", str(expires)]
        lines.append("\t".join([(_HTTP_ONLY if cookie.http_only else "") + domain, *flags, cookie.name, cookie.value]) + "\n")
    write(path, _NETSCAPE_HEAD + "".join(lines))


def read_netscape(path: str | PathLike[str]) -> list[Cookie]:
    """The cookies of a cookies.txt. Errors: OSError; ValueError that names the line."""
    cookies = []
    with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        for number, line in enumerate(file, 1):
            line = line.removesuffix("\n").removesuffix("\r")
            if not line.strip() or (line.startswith("#") and not line.startswith(_HTTP_ONLY)):
                continue
            try:
                cookies.append(_from_line(line))
            except ValueError as error:
                raise ValueError(f"{os.fspath(path)}: line {number}: {error}") from None
    return cookies


def _from_line(line: str) -> Cookie:
    found = line.removeprefix(_HTTP_ONLY).split("\t")
    if len(found) == 6:  # an empty value, whose tab some editor has cut
        found.append("")
    if len(found) != 7:
        raise ValueError(f"seven fields stand between tabs, not {len(found)}")
    domain, below, path, secure, expires, name, value = found
    # What they hold isn't shown: where fields are out of place it may be a value.
    for number, flag in ((2, below), (4, secure)):
        if flag.upper() not in _FLAGS:
            raise ValueError(f"field {number} is neither TRUE nor FALSE")
    if expires and not _SECONDS.fullmatch(expires):
        raise ValueError("field 5 is no number of seconds")
    cookie = Cookie(
        name=name,
        value=value,
        domain=canonical_host(domain),
        path=path,
        expires=float(expires or 0) or None,
        host_only=not _FLAGS[below.upper()],
        secure=_FLAGS[secure.upper()],
        http_only=line.startswith(_HTTP_ONLY),
    )
    check(cookie)
    return cookie


# --- http.cookiejar ---


def from_standard(cookie: http.cookiejar.Cookie) -> Cookie:
    """The same cookie as ours, yet to be checked. Errors: ValueError, TypeError."""
    import http.cookiejar

    if not isinstance(cookie, http.cookiejar.Cookie):
        raise TypeError(f"cookies come as aioreq.Cookie or http.cookiejar.Cookie, not {type(cookie).__name__}")
    if not cookie.domain:
        raise ValueError(f"the cookie {cookie.name!r} has no domain: there is no telling whose it is")
    # Hosts without a dot are kept there with a ".local" behind them, IPv6 addresses among them.
    domain = cookie.domain.removesuffix(".local") if cookie.domain in ("localhost.local", ".localhost.local") else cookie.domain
    if domain.startswith("["):
        domain = domain.removesuffix(".local")
    # It has no name where the server gave but one word.
    name, value = (cookie.name, cookie.value) if cookie.value is not None else ("", cookie.name)
    same_site = next((found for key in ("SameSite", "samesite", "sameSite") if (found := cookie.get_nonstandard_attr(key))), None)
    return Cookie(
        name=name,
        value=value,
        domain=canonical_host(domain),
        path=cookie.path if cookie.path.startswith("/") else "/",
        expires=None if cookie.expires is None else float(cookie.expires),
        host_only=not cookie.domain_specified,
        secure=bool(cookie.secure),
        http_only=any(cookie.has_nonstandard_attr(key) for key in ("HttpOnly", "HTTPOnly", "httponly", "Httponly", "HTTPONLY")),
        same_site={"strict": "Strict", "lax": "Lax", "none": "None"}.get((same_site or "").lower()),
    )


def to_standard(cookies: Iterable[Cookie], jar: http.cookiejar.CookieJar | None) -> http.cookiejar.CookieJar:
    """The jar, or a new one, with the cookies in it."""
    import http.cookiejar

    if jar is None:
        jar = http.cookiejar.CookieJar()
    for cookie in cookies:
        domain = f"[{cookie.domain}]" if ":" in cookie.domain else cookie.domain
        if cookie.host_only and "." not in domain:
            domain += ".local"
        rest: dict[str, str] = {}
        # As MozillaCookieJar writes it.
        if cookie.http_only:
            rest["HTTPOnly"] = ""
        if cookie.same_site is not None:
            rest["SameSite"] = cookie.same_site
        jar.set_cookie(
            http.cookiejar.Cookie(
                version=0,
                name=cookie.name or cookie.value,
                value=cookie.value if cookie.name else None,
                port=None,
                port_specified=False,
                domain=domain if cookie.host_only else "." + domain,
                domain_specified=not cookie.host_only,
                domain_initial_dot=not cookie.host_only,
                path=cookie.path,
                path_specified=True,
                secure=cookie.secure,
                expires=None if cookie.expires is None else int(cookie.expires),
                discard=cookie.expires is None,
                comment=None,
                comment_url=None,
                rest=rest,
            )
        )
    return jar


def write(path: str | PathLike[str], text: str) -> None:
    """A private file in one step: a reader, or a machine that stops, sees the old file or the new one. Only the owner may read it."""
    import tempfile

    target = os.fspath(path)
    # In the same directory, so that it can be renamed; mkstemp makes it with mode 0600, and follows no link.
    number, temporary = tempfile.mkstemp(prefix=".cookies-", dir=os.path.dirname(target) or ".")
    try:
        with open(number, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
