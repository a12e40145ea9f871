"""URLs as they go out: checked, illegal bytes quoted, scheme and host canonical, all else exactly as the caller gave it.

Knows no request and no connection. `yarl.URL` objects are only ever built with `encoded=True`, from text that was checked here:
yarl's own quoting would rewrite legal parts (`%7E`, `%2f`, dot segments).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple, TypeAlias
from urllib.parse import quote, unquote

import idna
from yarl import URL

from .errors import InvalidURL

__all__ = [
    "Origin",
    "ParsedURL",
    "QueryTypes",
    "append_missing",
    "append_params",
    "authority",
    "encode_pairs",
    "host_and_port",
    "join",
    "parse",
    "query_names",
    "without_password",
    "without_websocket",
]

QueryScalar: TypeAlias = str | int | float | bool | None
QueryTypes: TypeAlias = Mapping[str, QueryScalar | Iterable[QueryScalar]] | Iterable[tuple[str, QueryScalar]] | str

DEFAULT_PORTS = {"http": 80, "https": 443}
_ONE_VALUE = (str, bytes, bytearray, memoryview, Mapping)  # iterable, but not lists of values
_CACHED_LENGTH = 1024  # longer URLs are parsed anew: the cache holds a bounded number of bounded texts

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_WEBSOCKET = re.compile(r"\Aws(s?):", re.IGNORECASE)
# Control characters; and surrogates, but for those that stand for bytes (surrogateescape).
_REFUSED = re.compile(r"[\x00-\x1f\x7f\ud800-\udc7f\udd00-\udfff]")
# What RFC 3986 allows in no part of a URI, but for brackets, which servers expect unquoted in queries; and a "%" that quotes nothing.
_ILLEGAL = re.compile(r"""[^!#$%&'()*+,\-./:;=?@\[\]_~0-9A-Za-z]+|%(?![0-9A-Fa-f]{2})""")
_HOST_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_\-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_\-]{0,61}[a-z0-9_])?)*\.?")
_NUMBER_LABEL = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
# Userinfo where it belongs, or where it would be if slashes or a scheme weren't missing.
_LEAD = r"(?:(?:http|ws)s?:/*|[a-z][a-z0-9+.\-]*:/+|//+)?"
_USERINFO = re.compile(rf"(\A{_LEAD}|//)[^/?#]*@", re.IGNORECASE)
# The same with a "/", "?" or "#" in the password, which ends the authority: behind its ":" stands then what is no port.
_CUT_USERINFO = re.compile(rf"\A({_LEAD})[^/?#@:\[]*:(?![0-9]*(?:[/?#]|\Z)).*@", re.IGNORECASE | re.DOTALL)


class Origin(NamedTuple):
    """Scheme, host and port (RFC 6454): what credentials and connections belong to. `host` has no brackets."""

    scheme: str
    host: str
    port: int


class ParsedURL(NamedTuple):
    """One URL, taken apart once: `url` has no userinfo; `target` and `authority` are as they go on the wire (RFC 9112 section 3.2)."""

    url: URL
    origin: Origin
    target: bytes
    authority: bytes
    userinfo: tuple[str, str] | None
    # The head between the method and the other fields, the same for each request to this URL.
    head: bytes

    def __repr__(self) -> str:
        return f"<ParsedURL {self.url}>"


def parse(url: str | URL) -> ParsedURL:
    """The parsed URL, or InvalidURL that names what is wrong and where."""
    if not isinstance(url, str):
        if not isinstance(url, URL):
            raise TypeError(f"url: give str or yarl.URL, not {type(url).__name__}")
        url = str(url)
    return _parse_cached(url) if len(url) <= _CACHED_LENGTH else _parse(url)


def _parse(text: str) -> ParsedURL:
    _check_characters(text, "URL")
    if text != text.strip():
        raise InvalidURL(f"URL {without_password(text)!r} begins or ends with a space: strip it")
    scheme_match = _SCHEME.match(text)
    if scheme_match is None or not text.startswith("//", scheme_match.end()):
        if scheme_match is not None and scheme_match[1].lower() in DEFAULT_PORTS:
            raise InvalidURL(f"URL {without_password(text)!r}: '//' must follow the scheme")
        if scheme_match is not None and text[scheme_match.end() : scheme_match.end() + 1].isdigit() is False:
            raise InvalidURL(f"URL {without_password(text)!r}: scheme {scheme_match[1]!r} can't be requested, only http and https")
        raise InvalidURL(f"URL {without_password(text)!r} has no scheme: did you mean {without_password('https://' + text.lstrip('/'))!r}?")
    scheme = scheme_match[1].lower()
    if scheme not in DEFAULT_PORTS:
        raise InvalidURL(f"URL {without_password(text)!r}: scheme {scheme!r} can't be requested, only http and https")

    authority, path, query, fragment = _split(text[scheme_match.end() + 2 :])
    userinfo_text, _, host_port = authority.rpartition("@")
    if "\\" in authority or "@" in userinfo_text:
        raise InvalidURL(f"URL {without_password(text)!r}: an authority holds no backslash and at most one '@': quote them in the userinfo")
    host, port = host_and_port(host_port, DEFAULT_PORTS[scheme], without_password(text))

    bracketed = f"[{host}]" if ":" in host else host
    field = bracketed if port == DEFAULT_PORTS[scheme] else f"{bracketed}:{port}"
    target = _quoted(path or "/") + (f"?{_quoted(query)}" if query is not None else "")
    url = URL(f"{scheme}://{field}{target}" + (f"#{_quoted(fragment)}" if fragment is not None else ""), encoded=True)
    user, _, password = userinfo_text.partition(":")
    userinfo = (unquote(user, errors="surrogateescape"), unquote(password, errors="surrogateescape")) if user or password else None
    wire_target, wire_host = target.encode("ascii"), field.encode("ascii")
    return ParsedURL(
        url=url,
        origin=Origin(scheme, host, port),
        target=wire_target,
        authority=wire_host,
        userinfo=userinfo,
        head=b" %b HTTP/1.1\r\nHost: %b\r\n" % (wire_target, wire_host),
    )


_parse_cached = lru_cache(maxsize=1024)(_parse)


def _check_characters(text: str, what: str) -> None:
    if bad := _REFUSED.search(text):
        kind = "control character" if bad[0] <= "\x7f" else "half of a surrogate pair"
        raise InvalidURL(f"{what} {without_password(text)!r}: {kind} {bad[0]!r} at position {bad.start()} is not allowed there")


def without_websocket(url: str) -> str:
    """The URL with http and https where it has ws and wss: a WebSocket begins as a GET (RFC 6455 section 4.1)."""
    return _WEBSOCKET.sub(r"http\1:", url, count=1)


def without_password(url: str) -> str:
    """A URL, valid or not, as errors may show it: they are logged, so without its userinfo, and at most 200 characters of it."""
    return _shortened(_CUT_USERINFO.sub(r"\1", _USERINFO.sub(r"\1", url)))


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "..."


def _split(rest: str) -> tuple[str, str, str | None, str | None]:
    """Authority, path, query and fragment (RFC 3986 section 3) of what stands behind `//`."""
    rest, hash_mark, fragment = rest.partition("#")
    rest, question_mark, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    return authority, slash + path, query if question_mark else None, fragment if hash_mark else None


def _quoted(part: str) -> str:
    if part.isascii() and not _ILLEGAL.search(part):
        return part
    return _ILLEGAL.sub(lambda match: quote(match[0].encode("utf-8", "surrogateescape"), safe=""), part)


def host_and_port(text: str, default: int, shown: str) -> tuple[str, int]:
    """The canonical host, without brackets, and the port of an authority; `shown` is the URL as an error shows it. Errors: InvalidURL."""
    if text.startswith("["):
        literal, bracket, port_text = text[1:].partition("]")
        if not bracket or (port_text and not port_text.startswith(":")):
            raise InvalidURL(f"URL {shown!r}: {_shortened(text)!r} is no IPv6 address in brackets")
        try:
            host = str(IPv6Address(literal)) if "%" not in literal else ""
        except AddressValueError:
            host = ""
        if not host:
            raise InvalidURL(f"URL {shown!r}: {_shortened(literal)!r} is no IPv6 address")
        port_text = port_text[1:]
    else:
        name, _, port_text = text.partition(":")
        host = _host_name(name, shown)
    if not port_text:
        return host, default
    if not (port_text.isascii() and port_text.isdigit() and len(port_text) <= 5 and 0 < int(port_text) < 65536):
        # Not shown: where a password holds a "/" that isn't quoted, this is the first half of it.
        raise InvalidURL(f"URL {shown!r}: the port is not a number from 1 to 65535")
    return host, int(port_text)


def authority(host: str, port: int) -> str:
    """host:port, an IPv6 address in brackets (RFC 3986 section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _host_name(name: str, shown: str) -> str:
    """The canonical name: lower case, IDNA (UTS 46); numbers only as a dotted quad (others are read differently by every resolver)."""
    if not name:
        raise InvalidURL(f"URL {shown!r} has no host")
    if len(name) > 253:
        raise InvalidURL(f"URL {shown!r}: a host name has at most 253 characters, not {len(name)}")
    host = name.lower()
    if not host.isascii():
        try:
            host = idna.encode(name, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise InvalidURL(f"URL {shown!r}: host {name!r} is no domain name ({error})") from error
    if not _HOST_NAME.fullmatch(host):
        raise InvalidURL(f"URL {shown!r}: {name!r} is no host name")
    if _NUMBER_LABEL.fullmatch(host.rstrip(".").rpartition(".")[2]):
        try:
            host = str(IPv4Address(host))
        except AddressValueError:
            raise InvalidURL(f"URL {shown!r}: host {name!r} is a number but no dotted quad such as 127.0.0.1") from None
    return host


def join(base: ParsedURL, reference: str) -> ParsedURL:
    """The URL that a reference (a Location, say) means at `base` (RFC 3986 section 5.2); the fragment is inherited (RFC 9110 10.2.2)."""
    _check_characters(reference, "URL reference")
    scheme, authority = base.origin.scheme, base.authority.decode("ascii")
    # Not from `base.url`: yarl drops an empty query.
    _, base_path, base_query, _ = _split(base.target.decode("ascii"))
    fragment = base.url.raw_fragment or None
    text = reference.rstrip()
    reference = text + _quoted(reference[len(text) :])  # a space of Unicode's at its end is a part of it
    scheme_match = _SCHEME.match(reference)
    if scheme_match is not None:
        if scheme_match[1].lower() not in DEFAULT_PORTS:
            raise InvalidURL(f"URL {without_password(reference)!r}: scheme {scheme_match[1]!r} can't be requested, only http and https")
        target = reference
    elif reference.startswith("//"):
        target = f"{scheme}:{reference}"
    else:
        _, path, query, own_fragment = _split("/" + reference)
        path = path[1:]
        if not path:
            path, query = base_path, base_query if query is None else query
        elif path.startswith("/"):
            path = _without_dot_segments(path)
        else:
            path = _without_dot_segments(base_path.rpartition("/")[0] + "/" + path)
        fragment = fragment if own_fragment is None else own_fragment
        target = f"{scheme}://{authority}{path}" + (f"?{query}" if query is not None else "")
        return parse(target + (f"#{fragment}" if fragment is not None else ""))
    return parse(target if "#" in target or fragment is None else f"{target}#{fragment}")


def _without_dot_segments(path: str) -> str:
    # RFC 3986 section 5.2.4, for an absolute path.
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def append_params(url: str | URL, params: QueryTypes) -> str:
    """The URL with the parameters behind whatever query it has."""
    added = params.removeprefix("?").replace("#", "%23") if isinstance(params, str) else encode_pairs(params, "params")
    text, hash_mark, fragment = str(url).partition("#")
    if added:
        if "?" not in text:
            text += "?"
        elif not text.endswith(("?", "&")):
            text += "&"
        text += added
    return text + hash_mark + fragment


def append_missing(url: str | URL, params: str, named: Iterable[str] = ()) -> str:
    """The URL with those of the (encoded) default parameters whose names are neither in its query nor among `named`."""
    taken = {*query_names(str(url).partition("#")[0].partition("?")[2]), *named}
    return append_params(url, "&".join(pair for pair in params.removeprefix("?").split("&") if not query_names(pair) & taken))


def query_names(params: QueryTypes) -> set[str]:
    """The names in a query, or in what becomes one."""
    if isinstance(params, str):
        return {unquote(pair.partition("=")[0]) for pair in params.removeprefix("?").split("&") if pair}
    return set(params) if isinstance(params, Mapping) else {name for name, _ in params}


def encode_pairs(pairs: Mapping[str, QueryScalar | Iterable[QueryScalar]] | Iterable[tuple[str, QueryScalar]], what: str) -> str:
    """`name=value&...`, percent-encoded; lists repeat the name, None drops the pair, booleans are `true` and `false`."""
    items = pairs.items() if isinstance(pairs, Mapping) else pairs
    parts = []
    for name, value in items:
        values = (value,) if isinstance(value, _ONE_VALUE) or not isinstance(value, Iterable) else value
        parts += [f"{_component(name, name, what)}={_component(name, item, what)}" for item in values if item is not None]
    return "&".join(parts)


def _component(name: object, value: object, what: str) -> str:
    if isinstance(value, bool):
        value = "true" if value else "false"
    elif isinstance(value, int | float):
        value = str(value)
    elif not isinstance(value, str):
        raise TypeError(f"{what}: {name!r} holds {type(value).__name__}; give str, a number, a bool or None")
    try:
        return quote(value.encode("utf-8", "surrogateescape"), safe="")
    except UnicodeEncodeError:
        raise ValueError(f"{what}: {name!r} holds half of a surrogate pair, which UTF-8 can't encode") from None
