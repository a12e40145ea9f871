"""What users derive from to bring their own resolver or cookie jar, and what a payload writes to."""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence, Sized
from http.cookies import BaseCookie, Morsel, SimpleCookie
from types import MappingProxyType
from typing import Final, TypeAlias, TypedDict

from multidict import CIMultiDict
from yarl import URL

from ._morsels import parse_set_cookie_headers
from .typedefs import LooseCookies

__all__ = ["AbstractCookieJar", "AbstractResolver", "AbstractStreamWriter", "ClearCookiePredicate", "ResolveResult"]

NO_URL: Final = URL()

ClearCookiePredicate: TypeAlias = Callable[["Morsel[str]"], bool]


class ResolveResult(TypedDict):
    """One address of a host: `hostname` is what was asked for, `host` the address."""

    hostname: str
    host: str
    port: int
    family: int
    proto: int
    flags: int


class AbstractResolver(ABC):
    """Gives the addresses of hosts."""

    @abstractmethod
    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        """The addresses of `host`. Errors: OSError where it has none."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of what it holds."""


class AbstractCookieJar(Sized, Iterable["Morsel[str]"]):
    """Keeps a session's cookies: `update_cookies` takes what servers set, `filter_cookies` gives what a request carries."""

    def __init__(self, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop

    @property
    @abstractmethod
    def unsafe(self) -> bool:
        """Whether hosts that are addresses may set cookies."""

    @property
    @abstractmethod
    def quote_cookie(self) -> bool:
        """Whether values go out in quotes where `SimpleCookie` puts them in some."""

    @property
    def treat_as_secure_origin(self) -> frozenset[URL]:
        """The origins that get cookies marked Secure over plain HTTP."""
        return frozenset()

    @property
    @abstractmethod
    def cookies(self) -> MappingProxyType[tuple[str, str], SimpleCookie]:
        """The cookies by domain and path."""

    @property
    @abstractmethod
    def host_only_cookies(self) -> frozenset[tuple[str, str, str]]:
        """Domain, path and name of those that go to no subdomain."""

    @abstractmethod
    def clear(self, predicate: ClearCookiePredicate | None = None) -> None:
        """Forget every cookie, or those for which `predicate` is true."""

    @abstractmethod
    def clear_domain(self, domain: str) -> None:
        """Forget the cookies of a domain and all that is below it."""

    @abstractmethod
    def update_cookies(self, cookies: LooseCookies, response_url: URL = NO_URL) -> None:
        """Take cookies that came from `response_url`, or the user's own where there is none."""

    def update_cookies_from_headers(self, headers: Sequence[str], response_url: URL) -> None:
        """Take the cookies of Set-Cookie fields."""
        if cookies := parse_set_cookie_headers(headers):
            self.update_cookies(cookies, response_url)

    @abstractmethod
    def filter_cookies(self, request_url: URL) -> BaseCookie[str]:
        """The cookies that a request to this URL carries."""


class AbstractStreamWriter(ABC):
    """What a payload writes itself to."""

    buffer_size: int = 0
    output_size: int = 0
    length: int | None = 0
    on_body_write: Callable[[int, int], None] | None = None

    @property
    def transport(self) -> asyncio.WriteTransport | None:
        """Where it goes, for who asks how much waits there."""
        return None

    @abstractmethod
    async def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Bytes of the body; returns once there is room for more."""

    @abstractmethod
    async def write_eof(self, chunk: bytes = b"") -> None:
        """The last bytes of the body."""

    @abstractmethod
    async def drain(self) -> None:
        """Wait until there is room for more."""

    @abstractmethod
    def enable_compression(self, encoding: str = "deflate", strategy: int | None = None) -> None:
        """Compress what is written from now on."""

    @abstractmethod
    def enable_chunking(self) -> None:
        """Write in chunks from now on."""

    @abstractmethod
    async def write_headers(self, status_line: str, headers: CIMultiDict[str]) -> None:
        """The head of the message."""

    def send_headers(self) -> None:  # noqa: B027  (writers without such a head need none)
        """Send a head that was held back."""
