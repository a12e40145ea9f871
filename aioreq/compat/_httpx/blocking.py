"""The synchronous transport: the same exchange on aioreq's background loop, waited for. No second implementation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ... import threads
from ...connector import Connector
from ...errors import AioreqError
from ...models import StreamResponse
from ...sync import background
from .library import Library
from .transport import Settled, exchanged

if TYPE_CHECKING:
    from .tracing import Tracing

__all__ = ["TransportBase"]


class TransportBase:
    """`httpx.Client(transport=Transport())`: httpx on aioreq's connections, which live on a background loop. See `AsyncTransport`.

    From within that loop it raises RuntimeError: `trace` is called there. A request's own iterable runs in threads of aioreq's.
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
            of_stream=_in_threads,
        )
        self._requests = settled.requests

    @property
    def connector(self) -> Connector:
        """See `AsyncTransport`."""
        return self._settled.connector

    def handle_request(self, request: Any) -> Any:
        """The response, its body still arriving. Errors: the library's, each with the message of ours, which is its cause."""
        library = self._library
        try:
            response, ended, tracing = background().wait(self._exchange(request))
        except AioreqError as error:
            raise library.error(error) from error
        return library.blocking_response(response, ended, tracing)

    async def _exchange(self, request: Any) -> tuple[StreamResponse, bool, Tracing | None]:
        made, pool = self._requests.of(request), self._settled.pool()
        response, tracing = await exchanged(pool, made, request, self._settled.retries, self._library)
        return response, response.ended, tracing

    def close(self) -> None:
        """Close every connection, unless the connector is shared; a later request opens new ones."""
        if self._settled.owned:
            background().wait(self.connector.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__}{' closed' if self.connector.closed else ''}>"


async def _in_threads(stream: Iterable[bytes]) -> AsyncIterator[bytes]:
    # Whatever makes the body may block, and the loop serves every other caller.
    chunks = iter(stream)
    try:
        while chunk := await threads.run(_following, chunks):
            yield chunk[0]
    finally:
        if isinstance(chunks, Generator):
            with suppress(ValueError):  # it still runs, in its thread, for a request that was given up
                chunks.close()


def _following(chunks: Iterator[bytes]) -> tuple[bytes] | None:
    for chunk in chunks:
        return (chunk,)
    return None
