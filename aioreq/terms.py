"""On which terms a request goes out: what its client settled, shared by all its requests that say nothing else. Knows no request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .config import TLS, Limits, Timeout
from .headers import SENSITIVE_HEADERS
from .retries import Retry

if TYPE_CHECKING:
    from .dialer import Dialer
    from .opener import Route
    from .proxies import Proxies
    from .urls import Origin

__all__ = ["Terms"]


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """Never changed once made: what differs for one request is a copy, by `dataclasses.replace`."""

    timeout: Timeout
    limits: Limits
    retry: Retry
    tls: TLS  # never None: what has an https URL must not go out in the clear
    dialer: Dialer | None
    max_body: int  # the most bytes that a buffered body may have
    max_stream: int | None = None
    proxies: Proxies | None = None
    follow_redirects: bool = True
    max_redirects: int = 20
    sensitive_headers: frozenset[str] = SENSITIVE_HEADERS  # lower case
    raise_for_status: bool = False
    chunk_ends: bool = False  # whether streamed bodies tell where their chunks end
    # What the pool made of them for each origin. Of no copy: another tls or proxy leads elsewhere.
    routes: dict[Origin, Route] = field(default_factory=dict, init=False, repr=False)
