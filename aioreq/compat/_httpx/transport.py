"""The asynchronous transport: one hop of httpx's on a connector's pool. Redirects, cookies, auth and decoding stay httpx's."""

from __future__ import annotations

import threading
from asyncio import get_running_loop
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ...config import Timeout
from ...connector import Connector
from ...errors import AioreqError, ConnectError
from ...models import Request, StreamResponse
from ...pool import Pool
from ...proxies import Proxies
from ...retries import Retry
from ...terms import Terms
from .library import Library
from .requests import Requests
from .settings import limits_of, proxy_of, tls_of

if TYPE_CHECKING:
    from .tracing import Tracing

__all__ = ["AsyncTransportBase", "Settled", "exchanged"]

_PAUSE = 0.5  # seconds before the third attempt to connect; twice as long before each further one, as httpx has it


class Settled:
    """What a transport was told: its connector, unless that is shared, and how requests go out. Errors: TypeError, ValueError."""

    def __init__(
        self,
        library: Library,
        *,
        verify: Any,
        cert: Any,
        trust_env: bool,
        http1: bool,
        limits: Any,
        proxy: Any,
        uds: str | None,
        local_address: str | None,
        retries: int,
        socket_options: Iterable[Any] | None,
        connector: Connector | None,
        of_stream: Callable[[Any], Any],
    ) -> None:
        if not http1:
            raise ValueError("http1=False: HTTP/1.1 is all that is spoken here")
        self.owned = connector is None
        self._lock = threading.Lock()
        if connector is None:
            connector = Connector(
                limits=limits_of(library, limits),
                local_address=local_address,
                unix_socket=uds,
                socket_options=socket_options,
            )
        elif not all(given is None for given in (limits, uds, local_address, socket_options)):
            raise ValueError("connector=...: limits, uds, local_address and socket_options are the connector's, give them to it")
        self.connector = connector
        self.retries = retries
        chosen = proxy_of(library, proxy)
        limits = connector.limits
        self.requests = Requests(
            library,
            Terms(
                timeout=Timeout(connect=None, read=None, write=None),
                limits=limits,
                retry=Retry(attempts=0),
                tls=tls_of(library, verify, cert, trust_env),
                dialer=connector.dialer,
                max_body=limits.body,
                proxies=None if chosen is None else Proxies.of(chosen),
            ),
            of_stream,
        )

    def pool(self) -> Pool:
        """The running loop's. A transport that was closed opens again, as the library's do: another client may go on with it."""
        with self._lock:
            if self.owned and self.connector.closed:
                dialer = self.connector.dialer  # the terms refer to it
                self.connector = Connector(limits=self.connector.limits)
                self.connector.dialer = dialer
            return self.connector.pool()


async def persistently(pool: Pool, request: Request, retries: int) -> StreamResponse:
    """The response; as httpx's `retries` have it, what is tried again is the connecting alone."""
    pause = 0.0
    while True:
        try:
            response = await pool.send(request)
        except ConnectError:
            if retries <= 0:
                raise
        else:
            assert isinstance(response, StreamResponse)
            return response
        retries -= 1
        await pool.pause(pause)
        pause = pause * 2 or _PAUSE


async def exchanged(pool: Pool, made: Request, request: Any, retries: int, library: Library) -> tuple[StreamResponse, Tracing | None]:
    """The response to what was `made` of httpx's request, and who traces it."""
    told = request.extensions.get("trace")
    if told is None:
        return await persistently(pool, made, retries), None
    from .tracing import Tracing  # few do

    tracing = Tracing(told, request)
    made.extensions = {"trace": tracing}
    try:
        response = await persistently(pool, made, retries)
    except Exception as error:
        await tracing.fail(library.error(error) if isinstance(error, AioreqError) else error)
        raise
    await tracing.head(response)
    return response, tracing


def _check_loop() -> None:
    try:
        get_running_loop()
    except RuntimeError:
        raise RuntimeError("no asyncio loop runs here, and aioreq knows no other: under trio take the library's own transport") from None


def _as_it_is(stream: Any) -> Any:
    return stream


class AsyncTransportBase:
    """`httpx.AsyncClient(transport=AsyncTransport())`: httpx on aioreq's connections.

    The options are those of `httpx.AsyncHTTPTransport`; HTTP/2 is never offered, whatever `http2` says. `connector` is an
    `aioreq.Connector` to share, or one with a resolver or a guard, which then stays its maker's to close.
    """

    _library: ClassVar[Library]

    def __init__(
        self,
        verify: Any = True,
        cert: Any = None,
        trust_env: bool = True,
        http1: bool = True,
        http2: bool = False,
        limits: Any = None,
        proxy: Any = None,
        uds: str | None = None,
        local_address: str | None = None,
        retries: int = 0,
        socket_options: Iterable[Any] | None = None,
        *,
        connector: Connector | None = None,
    ) -> None:
        self._settled = settled = Settled(
            self._library,
            verify=verify,
            cert=cert,
            trust_env=trust_env,
            http1=http1,
            limits=limits,
            proxy=proxy,
            uds=uds,
            local_address=local_address,
            retries=retries,
            socket_options=socket_options,
            connector=connector,
            of_stream=_as_it_is,
        )
        self._requests = settled.requests
        self._latest: Pool | None = None

    @property
    def connector(self) -> Connector:
        """The connections: the connector that it was given, or one of its own, another one behind each `aclose`."""
        return self._settled.connector

    async def handle_async_request(self, request: Any) -> Any:
        """The response, its body still arriving. Errors: the library's, each with the message of ours, which is its cause."""
        library = self._library
        pool = self._latest
        try:
            if pool is None or pool.closed or pool.loop is not get_running_loop():
                _check_loop()
                pool = self._latest = self._settled.pool()
            made = self._requests.of(request)
            if self._settled.retries or "trace" in request.extensions:
                return await self._at_length(pool, made, request)
            response: Any = await pool.send(made)
        except AioreqError as error:
            raise library.error(error) from error
        return library.response(response)

    async def _at_length(self, pool: Pool, made: Request, request: Any) -> Any:
        """The response where connecting is tried more than once, or somebody traces the request."""
        response, tracing = await exchanged(pool, made, request, self._settled.retries, self._library)
        return self._library.response(response, tracing)

    async def aclose(self) -> None:
        """Close every connection, unless the connector is shared; a later request opens new ones."""
        self._latest = None
        if self._settled.owned:
            _check_loop()
            await self.connector.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__}{' closed' if self.connector.closed else ''}>"
