"""How long a call and its phases may take: aiohttp's names -> the core's `Timeout`. Starts no clock."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from importlib import import_module
from typing import Any

from ...config import Timeout
from .helpers import sentinel

__all__ = ["DEFAULT_TIMEOUT", "AttrsFields", "ClientTimeout", "client_timeout", "session_timeout", "timeout_of"]


class AttrsFields:
    """What the package attrs asks a class for, so that `attr.evolve` takes a dataclass as it takes aiohttp's own."""

    def __get__(self, timeout: object, kind: type[Any]) -> Any:
        try:
            attr = import_module("attr")
        except ImportError:
            raise AttributeError("attrs isn't installed") from None
        return attr.fields(attr.make_class(kind.__name__, [field.name for field in fields(kind)]))


@dataclass(frozen=True, slots=True)
class ClientTimeout:
    """Seconds; None or 0 is no limit.

    `total` runs from the call to the end of the body, the wait for a connection and redirects included; `connect` is that wait and the
    opening of a connection, `sock_connect` the opening alone, `sock_read` the longest silence while bytes are wanted. `ceil_threshold`
    rounded timers up to whole seconds; here they are exact.
    """

    total: float | None = None
    connect: float | None = None
    sock_read: float | None = None
    sock_connect: float | None = None
    ceil_threshold: float = 5

    __attrs_attrs__ = AttrsFields()


DEFAULT_TIMEOUT = ClientTimeout(total=5 * 60, sock_connect=30)


def client_timeout(given: Any) -> ClientTimeout:
    """What one request's `timeout` is: a ClientTimeout (the real one, too), the seconds in all, or None for no limit."""
    if isinstance(given, ClientTimeout):
        return given
    if given is None or isinstance(given, int | float):
        return ClientTimeout(total=given)
    return ClientTimeout(given.total, given.connect, given.sock_read, given.sock_connect, given.ceil_threshold)


def session_timeout(timeout: Any, read_timeout: Any, conn_timeout: float | None) -> ClientTimeout:
    """A session's time limits, the two older arguments among them. Errors: ValueError."""
    if timeout is not sentinel and timeout is not None:
        if not hasattr(timeout, "sock_connect"):
            raise ValueError(f"timeout parameter cannot be of {type(timeout)} type, please use 'timeout=ClientTimeout(...)'")
        if read_timeout is not sentinel or conn_timeout is not None:
            raise ValueError("read_timeout, conn_timeout and timeout parameters conflict: give a ClientTimeout alone")
        return client_timeout(timeout)
    limits = DEFAULT_TIMEOUT
    if read_timeout is not sentinel:
        warnings.warn("read_timeout is deprecated, use timeout argument instead", DeprecationWarning, stacklevel=4)
        limits = replace(limits, total=read_timeout)
    if conn_timeout is not None:
        warnings.warn("conn_timeout is deprecated, use timeout argument instead", DeprecationWarning, stacklevel=4)
        limits = replace(limits, connect=conn_timeout)
    return limits


@lru_cache(maxsize=64)
def timeout_of(timeout: ClientTimeout) -> Timeout:
    """The core's limits."""
    return Timeout(
        total=_limit(timeout.total),
        acquire=_limit(timeout.connect),
        connect=_limit(timeout.sock_connect),
        read=_limit(timeout.sock_read),
        write=None,
    )


def _limit(seconds: float | None) -> float | None:
    return seconds if seconds and seconds > 0 else None
