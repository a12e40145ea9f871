"""What our errors are to httpx: one table. Knows no transport."""

from __future__ import annotations

from ... import errors

__all__ = ["name_of"]

_NAMES: dict[type[errors.AioreqError], str] = {
    errors.PoolTimeout: "PoolTimeout",
    errors.ConnectTimeout: "ConnectTimeout",
    errors.ReadTimeout: "ReadTimeout",
    errors.WriteTimeout: "WriteTimeout",
    errors.TotalTimeout: "ReadTimeout",  # httpx has none for all of it
    errors.ProxyError: "ProxyError",
    errors.ConnectError: "ConnectError",
    errors.GuardError: "ConnectError",
    errors.InvalidURL: "ConnectError",  # a host that no resolver is asked for; the rest of a URL is httpx's
    errors.InvalidHeader: "LocalProtocolError",
    errors.LocalProtocolError: "LocalProtocolError",
    errors.RemoteProtocolError: "RemoteProtocolError",
    errors.LimitExceeded: "RemoteProtocolError",
    errors.ConnectionLost: "RemoteProtocolError",  # as long as the peer closed in order
    errors.ClientClosed: "CloseError",
    errors.AioreqError: "TransportError",
}


def name_of(error: errors.AioreqError) -> str:
    """The class of httpx that says the same."""
    if isinstance(error, errors.ConnectionLost) and isinstance(error.__cause__, OSError):
        return "ReadError"
    if isinstance(error, errors.ProxyError) and isinstance(error.__cause__, errors.ConnectError):
        return "ConnectError"  # nobody listens there; ProxyError is what a proxy says
    if isinstance(error, errors.LimitExceeded) and error.limit == "waiters":
        return "PoolTimeout"
    return next(_NAMES[kind] for kind in type(error).__mro__ if kind in _NAMES)
