"""A loopback HTTP server for tests: yours and aioreq's own. Imports nothing of the client.

async with aioreq.testing.Server(routes=aioreq.testing.httpbin) as server:      # or `with`, on a thread of its own
    ...server.url + "/get"...
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .connection import Connection
from .httpbin import httpbin
from .reply import Reply
from .request import Request
from .script import (
    Close,
    HalfClose,
    Pause,
    ReadBody,
    ReadBytes,
    ReadHead,
    ReadRequest,
    Reset,
    Script,
    Stall,
    Step,
    StopReading,
    Wait,
)
from .server import Server

if TYPE_CHECKING:
    from .certificate import Authority

__all__ = [
    "Authority",
    "Close",
    "Connection",
    "HalfClose",
    "Pause",
    "ReadBody",
    "ReadBytes",
    "ReadHead",
    "ReadRequest",
    "Reply",
    "Request",
    "Reset",
    "Script",
    "Server",
    "Stall",
    "Step",
    "StopReading",
    "Wait",
    "httpbin",
]


def __getattr__(name: str) -> Any:
    # The certificate's module needs a package beyond the standard library.
    if name == "Authority":
        from .certificate import Authority

        return Authority
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
