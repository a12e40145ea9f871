"""httpx on aioreq: transports for its own clients, and its face.

`httpx.AsyncClient(transport=AsyncTransport())` and `httpx.Client(transport=Transport())` speak HTTP by aioreq. Or
`import aioreq.compat.httpx as httpx` in place of `import httpx`: every
name is there, AsyncClient, Client and the functions on our transports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

try:
    import httpx
except ImportError as error:
    raise ImportError(f"aioreq.compat.httpx needs httpx: pip install 'aioreq[httpx]' ({error})") from error

from ._httpx.blocking import TransportBase
from ._httpx.face import AsyncClientBase, ClientBase, CookiesBase, functions
from ._httpx.library import Library
from ._httpx.transport import AsyncTransportBase

if TYPE_CHECKING:
    from httpx import *  # noqa: F403

__all__ = [*httpx.__all__, "AsyncTransport", "Transport"]

_library = Library(httpx)


class AsyncTransport(AsyncTransportBase, httpx.AsyncBaseTransport):
    __doc__ = AsyncTransportBase.__doc__
    _library = _library


class Transport(TransportBase, httpx.BaseTransport):
    __doc__ = TransportBase.__doc__
    _library = _library


class _Cookies(CookiesBase, httpx.Cookies):
    pass


class AsyncClient(AsyncClientBase, httpx.AsyncClient):  # type: ignore[misc, no-redef]
    __doc__ = AsyncClientBase.__doc__
    _transport_type = AsyncTransport
    _cookies_type = _Cookies


class Client(ClientBase, httpx.Client):  # type: ignore[misc, no-redef]
    __doc__ = ClientBase.__doc__
    _transport_type = Transport
    _cookies_type = _Cookies


globals().update(functions(httpx, Client))


def __getattr__(name: str) -> Any:
    try:
        return getattr(httpx, name)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return sorted(__all__)
