"""aiohttp's small values: credentials, entity tags, media types, file names. Know no request."""

from __future__ import annotations

import base64
import binascii
import enum
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote

from multidict import MultiDict, MultiDictProxy
from yarl import URL

__all__ = [
    "BasicAuth",
    "ETag",
    "HeadersMixin",
    "MimeType",
    "TimerNoop",
    "content_disposition_header",
    "encode_basic_auth",
    "guess_filename",
    "is_ip_address",
    "parse_mimetype",
    "sentinel",
    "strip_auth_from_url",
]

DEFAULT_CHUNK_SIZE: Final = 256 * 1024

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_QUOTABLE = re.compile(r"[\t\x20-\x7e]*")
_ESCAPED = re.compile(r'[\t "\\]')


class _Sentinel(enum.Enum):
    sentinel = "sentinel"


sentinel: Final = _Sentinel.sentinel  # "not given", where None means something


def encode_basic_auth(login: str, password: str = "", encoding: str = "utf-8") -> str:
    """The value of an Authorization field with these credentials (RFC 7617). Errors: ValueError for a login with a colon."""
    if ":" in login:
        raise ValueError('a login with a ":" can\'t be told from its password (RFC 7617 section 2)')
    return "Basic " + base64.b64encode(f"{login}:{password}".encode(encoding)).decode("ascii")


class _Credentials(NamedTuple):
    login: str
    password: str
    encoding: str


class BasicAuth(_Credentials):
    """A login and its password; deprecated by aiohttp, whose users now write an Authorization field with `encode_basic_auth`."""

    __slots__ = ()

    def __new__(cls, login: str, password: str = "", encoding: str = "latin1") -> Self:
        """Errors: ValueError for None, and for a login with a colon."""
        given: Any = (login, password)
        for name, value in zip(("login", "password"), given, strict=True):
            if value is None:
                raise ValueError(f"None is not allowed as {name} value")
        if ":" in login:
            raise ValueError('a ":" is not allowed in a login (RFC 7617 section 2)')
        warnings.warn(
            "BasicAuth is deprecated in aiohttp: give headers={'Authorization': aiohttp.encode_basic_auth(login, password)}",
            DeprecationWarning,
            stacklevel=2,
        )
        return tuple.__new__(cls, (login, password, encoding))

    @classmethod
    def of(cls, login: str, password: str = "", encoding: str = "latin1") -> Self:
        """The same without the warning, for what isn't the user's doing."""
        return tuple.__new__(cls, (login, password, encoding))

    @classmethod
    def decode(cls, auth_header: str, encoding: str = "latin1") -> Self:
        """The credentials of an Authorization field. Errors: ValueError."""
        scheme, space, encoded = auth_header.partition(" ")
        if not space:
            raise ValueError("Could not parse authorization header.")
        if scheme.lower() != "basic":
            raise ValueError(f"Unknown authorization method {scheme}")
        try:
            decoded = base64.b64decode(encoded.encode("ascii"), validate=True).decode(encoding)
        except binascii.Error:
            raise ValueError("Invalid base64 encoding.") from None
        login, colon, password = decoded.partition(":")
        if not colon:
            raise ValueError("Invalid credentials.")
        return cls.of(login, password, encoding)

    @classmethod
    def from_url(cls, url: URL, *, encoding: str = "latin1") -> Self | None:
        """The credentials of a URL; None where it has none. Errors: TypeError."""
        given: Any = url
        if not isinstance(given, URL):
            raise TypeError(f"url should be yarl.URL instance, not {type(given).__name__}")
        if url.raw_user is None and url.raw_password is None:
            return None
        return cls.of(url.user or "", url.password or "", encoding)

    def encode(self) -> str:
        """The value of an Authorization field."""
        return encode_basic_auth(self.login, self.password, self.encoding)

    def __repr__(self) -> str:
        return f"BasicAuth(login={self.login!r}, password='***', encoding={self.encoding!r})"  # logs are no place for it


def strip_auth_from_url(url: URL) -> tuple[URL, BasicAuth | None]:
    """The URL without its credentials, and these."""
    auth = BasicAuth.from_url(url)
    return (url, None) if auth is None else (url.with_user(None), auth)


@dataclass(frozen=True, slots=True)
class ETag:
    """An entity tag (RFC 9110 section 8.8.3)."""

    value: str
    is_weak: bool = False


@dataclass(frozen=True, slots=True)
class MimeType:
    """A media type: `type/subtype+suffix`, and its parameters."""

    type: str
    subtype: str
    suffix: str
    parameters: MultiDictProxy[str]


@lru_cache(maxsize=64)
def parse_mimetype(mimetype: str) -> MimeType:
    """A Content-Type taken apart; empty strings where it holds nothing.

    >>> parse_mimetype("text/html; charset=utf-8").parameters["charset"]
    'utf-8'
    """
    full, *items = mimetype.split(";")
    parameters: MultiDict[str] = MultiDict()
    for item in items:
        if item.strip():
            name, _, value = item.partition("=")
            parameters.add(name.strip().lower(), value.strip(' "'))
    full = full.strip().lower()
    kind, _, rest = ("*/*" if full == "*" else full).partition("/")
    subtype, _, suffix = rest.partition("+")
    return MimeType(kind, subtype, suffix, MultiDictProxy(parameters))


class TimerNoop:
    """What a response made by hand is given as its `timer`: it limits nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


class HeadersMixin:
    """What the `_headers` of a class that derives from this say of its content. Libraries give it to responses of their own."""

    __slots__ = ()

    _headers: Mapping[str, str]

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters; application/octet-stream where none is declared."""
        return self._headers.get("Content-Type", "").partition(";")[0].strip().lower() or "application/octet-stream"

    @property
    def charset(self) -> str | None:
        """The declared charset."""
        return parse_mimetype(self._headers.get("Content-Type", "")).parameters.get("charset")

    @property
    def content_length(self) -> int | None:
        """The declared length of the (encoded) body."""
        length = self._headers.get("Content-Length")
        return None if length is None else int(length)


def guess_filename(obj: Any, default: str | None = None) -> str | None:
    """The name that a file has, without its folder."""
    name = getattr(obj, "name", None)
    if isinstance(name, str) and name and not (name.startswith("<") or name.endswith(">")):
        return Path(name).name
    return default


def is_ip_address(host: str | None) -> bool:
    """Whether a host is an address and no name."""
    return host is not None and (":" in host or host.replace(".", "").isdigit())


def content_disposition_header(disptype: str, quote_fields: bool = True, _charset: str = "utf-8", **params: str) -> str:
    """The Content-Disposition of a part (RFC 2183, RFC 7578); with `quote_fields`, file names are percent-encoded.

    Errors: ValueError for what is no token.
    """
    if not _TOKEN.fullmatch(disptype):
        raise ValueError(f"bad content disposition type {disptype!r}")
    written = [disptype]
    for name, value in params.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"bad content disposition parameter {name!r}={value!r}")
        if not quote_fields:
            value = value.replace("\\", "\\\\").replace('"', '\\"')
        elif name.lower() == "filename":
            value = quote(value, "", encoding=_charset)
        elif _QUOTABLE.fullmatch(value):
            value = _ESCAPED.sub(lambda found: "\\" + found[0], value)
        else:
            written.append(f"{name}*={_charset}''{quote(value, '', encoding=_charset)}")
            continue
        written.append(f'{name}="{value}"')
    return "; ".join(written)
