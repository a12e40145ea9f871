"""httpx's settings in aioreq's words: limits, TLS, proxies, timeouts. Opens nothing."""

from __future__ import annotations

import os
import ssl
import sys
from math import inf
from typing import Any

from ...config import TLS, Limits, Timeout
from ...proxies import Proxy
from ...trust import NAMED_BY
from .library import Library

__all__ = ["limits_of", "proxy_of", "timeout_of", "tls_of"]


def limits_of(library: Library, given: Any) -> Limits:
    """httpx's `Limits`, where None is no limit; or aioreq's as they are."""
    if isinstance(given, Limits):
        return given
    default = library.module.Limits(max_connections=100, max_keepalive_connections=20)
    if given is None or given == default:
        # With 20 kept of 100 that may be open, 32 requests at a time would make a new connection every third time.
        return Limits(connections=100, idle=100, idle_timeout=default.keepalive_expiry)
    connections, idle, expiry = given.max_connections, given.max_keepalive_connections, given.keepalive_expiry
    return Limits(
        connections=sys.maxsize if connections is None else max(connections, 1),
        idle=sys.maxsize if idle is None else idle,
        idle_timeout=inf if expiry is None else max(expiry, 0),
    )


def tls_of(library: Library, verify: Any, cert: Any, trust_env: bool) -> TLS:
    """What `verify` and `cert` say. True is whom the system trusts, read when the first https URL comes; the rest the library reads now."""
    if isinstance(verify, TLS):
        return verify
    named = not trust_env and any(map(os.environ.get, NAMED_BY))  # whom the environment trusts, which isn't asked
    if isinstance(verify, bool) and cert is None and not (verify and named):
        return TLS(verify=verify)
    if isinstance(verify, ssl.SSLContext) and cert is None:
        return TLS(context=verify)
    return TLS(context=library.module.create_ssl_context(verify=verify, cert=cert, trust_env=trust_env))


def proxy_of(library: Library, given: Any) -> Proxy | None:
    """A URL, the library's `Proxy` or aioreq's."""
    if given is None or isinstance(given, Proxy):
        return given
    proxy = given if isinstance(given, library.module.Proxy) else library.module.Proxy(given)
    url, context = proxy.url, getattr(proxy, "ssl_context", None)
    # httpx has names resolved by a SOCKS proxy under either scheme.
    scheme = "socks5h" if url.scheme == "socks5" else url.scheme
    host = url.raw_host.decode("ascii")
    place = f"[{host}]" if ":" in host else host
    auth = None if proxy.raw_auth is None else tuple(part.decode("utf-8", "surrogateescape") for part in proxy.raw_auth)
    return Proxy(
        f"{scheme}://{place}" + (f":{url.port}" if url.port is not None else ""),
        auth=auth,
        headers=list(proxy.headers.raw) or None,
        tls=TLS(context=context) if context is not None and scheme == "https" else None,
    )


def timeout_of(phases: dict[str, float | None]) -> Timeout:
    """The four phases of httpx's `extensions["timeout"]`; what isn't named has no limit."""
    take = phases.get
    return Timeout(pool=take("pool"), connect=take("connect"), read=take("read"), write=take("write"))
