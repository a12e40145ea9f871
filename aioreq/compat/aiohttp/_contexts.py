"""What a session's verbs give: a response, for who awaits it or enters it. Sends nothing itself."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ._response import ClientResponse

if TYPE_CHECKING:
    from .client import ClientSession

T = TypeVar("T")


class _BaseRequestContextManager(Coroutine[Any, Any, T], Generic[T]):
    """What a verb gives: awaited, the response; entered, the response for the length of the block."""

    __slots__ = ("_coro", "_resp")

    def __init__(self, coro: Coroutine[Any, Any, T]) -> None:
        self._coro = coro
        self._resp: Any = None

    def send(self, arg: None) -> Any:
        return self._coro.send(arg)

    def throw(self, *args: Any, **kwargs: Any) -> Any:
        return self._coro.throw(*args, **kwargs)

    def close(self) -> None:
        self._coro.close()

    def __await__(self) -> Generator[Any, Any, T]:
        return self._coro.__await__()

    def __iter__(self) -> Generator[Any, Any, T]:
        return self._coro.__await__()

    async def __aenter__(self) -> T:
        response: Any = await self._coro
        self._resp = response
        if type(response) is ClientResponse:  # what its own would do, in no coroutine
            response._in_context = True
            return response  # type: ignore[return-value]
        return await response.__aenter__()  # type: ignore[no-any-return]

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        response = self._resp
        if type(response) is ClientResponse:
            response._in_context = False
            response.release()
        else:
            await response.__aexit__(exc_type, exc, tb)


_RequestContextManager = _BaseRequestContextManager[ClientResponse]


class _SessionRequestContextManager:
    """What `request` gives: entered, the response for the length of the block; awaited, the response, whose session ends with its body."""

    __slots__ = ("_coro", "_resp", "_session")

    def __init__(self, coro: Coroutine[Any, Any, ClientResponse], session: ClientSession) -> None:
        self._coro = coro
        self._resp: ClientResponse | None = None
        self._session = session

    def __await__(self) -> Generator[Any, None, ClientResponse]:
        return self._awaited().__await__()

    async def _awaited(self) -> ClientResponse:
        try:
            response = await self._coro
        except BaseException:
            await self._session.close()
            raise
        # The response alone holds what is left of the connector: its one connection closes behind the body.
        response._connector = self._session.connector
        self._session.detach()
        return response

    async def __aenter__(self) -> ClientResponse:
        try:
            self._resp = await self._coro
        except BaseException:
            await self._session.close()
            raise
        return self._resp

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        assert self._resp is not None
        self._resp.close()
        await self._session.close()
