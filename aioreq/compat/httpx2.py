"""httpx2 on aioreq: transports for its own clients, and its face.

`httpx2.AsyncClient(transport=AsyncTransport())` and `httpx2.Client(transport=Transport())` speak HTTP by aioreq. Or
`import aioreq.compat.httpx2 as httpx2` in place of `import httpx2`: every
name is there, AsyncClient, Client and the functions on our transports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

try:
    import httpx2
except ImportError as error:
    raise ImportError(f"aioreq.compat.httpx2 needs httpx2: pip install 'aioreq[httpx2]' ({error})") from error

from ._httpx.blocking import TransportBase
from ._httpx.face import AsyncClientBase, ClientBase, CookiesBase, functions
from ._httpx.library import Library
from ._httpx.transport import AsyncTransportBase

if TYPE_CHECKING:
    from httpx2 import *  # noqa: F403

__all__ = [*httpx2.__all__, "AsyncTransport", "Transport"]

_library = Library(httpx2)


class AsyncTransport(AsyncTransportBase, httpx2.AsyncBaseTransport):
    __doc__ = AsyncTransportBase.__doc__
    _library = _library


class Transport(TransportBase, httpx2.BaseTransport):
    __doc__ = TransportBase.__doc__
    _library = _library


class _Cookies(CookiesBase, httpx2.Cookies):
    pass


class AsyncClient(AsyncClientBase, httpx2.AsyncClient):  # type: ignore[misc, no-redef]
    __doc__ = AsyncClientBase.__doc__
    _transport_type = AsyncTransport
    _cookies_type = _Cookies


class Client(ClientBase, httpx2.Client):  # type: ignore[misc, no-redef]
    __doc__ = ClientBase.__doc__
    _transport_type = Transport
    _cookies_type = _Cookies


globals().update(functions(httpx2, Client))


def __getattr__(name: str) -> Any:
    try:
        return getattr(httpx2, name)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return sorted(__all__)
