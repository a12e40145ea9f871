"""The library's clients and functions, on our transports. Knows neither library: each is handed in."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, ClassVar

__all__ = ["AsyncClientBase", "ClientBase", "CookiesBase", "functions"]

# What the library's functions say to the client that they make for one call; the rest is the request's.
_OF_CLIENT = ("cookies", "proxy", "verify", "timeout", "trust_env")
_CALLS = ("request", "get", "options", "head", "post", "put", "patch", "delete", "query")
_CONTEXTS = ("stream", "websocket")


class _OnOurTransports:
    """Both hooks are private to the library. The public way, `transport=` and `mounts=`, would have its rules for the environment's proxies
    and for which pattern wins written anew here: a `transport=` switches them off."""

    _transport_type: ClassVar[Callable[..., Any]]

    def _init_transport(self, transport: Any = None, **options: Any) -> Any:
        return self._transport_type(**options) if transport is None else transport

    def _init_proxy_transport(self, proxy: Any, **options: Any) -> Any:
        return self._transport_type(proxy=proxy, **options)

    _cookies_type: ClassVar[Callable[..., Any]]
    _own_cookies: Any

    @property
    def cookies(self) -> Any:
        """The client's cookies; assignable."""
        try:
            return self._own_cookies
        except AttributeError:  # the first time: in the jar that it was made with, which may be the user's own
            self._own_cookies = self._cookies_type(super().cookies.jar)  # type: ignore[misc]
            return self._own_cookies

    @cookies.setter
    def cookies(self, cookies: Any) -> None:
        self._own_cookies = self._cookies_type(cookies)


class CookiesBase:
    """The library's `Cookies`, which looks for cookies where a response sets one: without a look that costs httpx 30 us a response."""

    def extract_cookies(self, response: Any) -> None:
        """Keep what the response sets."""
        if "set-cookie" in response.headers:
            super().extract_cookies(response)  # type: ignore[misc]


class AsyncClientBase(_OnOurTransports):
    """`AsyncClient` of the library on aioreq's connections; all it is told and does besides is the library's."""


class ClientBase(_OnOurTransports):
    """`Client` of the library on aioreq's connections, which live on a background loop."""


def functions(library: ModuleType, client: Callable[..., Any]) -> dict[str, Any]:
    """The library's functions (`get`, `stream`, ...), each with a client of ours for its one call."""
    made: dict[str, Any] = {name: _call(getattr(library, name), client) for name in _CALLS if hasattr(library, name)}
    made.update({name: _context(getattr(library, name), client) for name in _CONTEXTS if hasattr(library, name)})
    return made


def _call(theirs: Any, client: Callable[..., Any]) -> Any:
    @functools.wraps(theirs)
    def called(*args: Any, **options: Any) -> Any:
        with client(**_of_client(options)) as made:
            return getattr(made, theirs.__name__)(*args, **options)

    return called


def _context(theirs: Any, client: Callable[..., Any]) -> Any:
    @contextmanager
    def opened(*args: Any, **options: Any) -> Iterator[Any]:
        with client(**_of_client(options)) as made, getattr(made, theirs.__name__)(*args, **options) as response:
            yield response

    return functools.wraps(theirs)(opened)


def _of_client(options: dict[str, Any]) -> dict[str, Any]:
    return {name: options.pop(name) for name in _OF_CLIENT if name in options}
