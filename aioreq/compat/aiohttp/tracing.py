"""Tracing: who wants to know what, under aiohttp's names; the core tells each step of a connection (`extensions["trace"]`), the session the
rest. Decides nothing, and costs a session without `trace_configs` nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableSequence, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, overload

from multidict import CIMultiDict
from yarl import URL

from ...request_body import StreamedBody

if TYPE_CHECKING:
    from ...models import Request
    from ._response import ClientResponse
    from .client import ClientSession

__all__ = [
    "TraceConfig",
    "TraceConnectionCreateEndParams",
    "TraceConnectionCreateStartParams",
    "TraceConnectionQueuedEndParams",
    "TraceConnectionQueuedStartParams",
    "TraceConnectionReuseconnParams",
    "TraceDnsCacheHitParams",
    "TraceDnsCacheMissParams",
    "TraceDnsResolveHostEndParams",
    "TraceDnsResolveHostStartParams",
    "TraceRequestChunkSentParams",
    "TraceRequestEndParams",
    "TraceRequestExceptionParams",
    "TraceRequestHeadersSentParams",
    "TraceRequestRedirectParams",
    "TraceRequestStartParams",
    "TraceResponseChunkReceivedParams",
]

P = TypeVar("P")
_Handler: TypeAlias = "Callable[[ClientSession, Any, P], Awaitable[object]]"


@dataclass(frozen=True, slots=True)
class TraceRequestStartParams:
    """A call begins; `headers` are the session's and the call's own."""

    method: str
    url: URL
    headers: CIMultiDict[str]


@dataclass(frozen=True, slots=True)
class TraceRequestChunkSentParams:
    """A piece of the body goes out."""

    method: str
    url: URL
    chunk: bytes


@dataclass(frozen=True, slots=True)
class TraceResponseChunkReceivedParams:
    """`ClientResponse.read` has the body."""

    method: str
    url: URL
    chunk: bytes


@dataclass(frozen=True, slots=True)
class TraceRequestEndParams:
    """The head of the response is here."""

    method: str
    url: URL
    headers: CIMultiDict[str]
    response: ClientResponse


@dataclass(frozen=True, slots=True)
class TraceRequestExceptionParams:
    """The call failed."""

    method: str
    url: URL
    headers: CIMultiDict[str]
    exception: BaseException


@dataclass(frozen=True, slots=True)
class TraceRequestRedirectParams:
    """The response is a redirect, and about to be followed."""

    method: str
    url: URL
    headers: CIMultiDict[str]
    response: ClientResponse


@dataclass(frozen=True, slots=True)
class TraceConnectionQueuedStartParams:
    """The request waits for a connection."""


@dataclass(frozen=True, slots=True)
class TraceConnectionQueuedEndParams:
    """It waits no more."""


@dataclass(frozen=True, slots=True)
class TraceConnectionCreateStartParams:
    """A connection is about to be opened."""


@dataclass(frozen=True, slots=True)
class TraceConnectionCreateEndParams:
    """It is open."""


@dataclass(frozen=True, slots=True)
class TraceConnectionReuseconnParams:
    """One that had served before is used again."""


@dataclass(frozen=True, slots=True)
class TraceDnsResolveHostStartParams:
    """The resolver is about to be asked."""

    host: str


@dataclass(frozen=True, slots=True)
class TraceDnsResolveHostEndParams:
    """The resolver has answered."""

    host: str


@dataclass(frozen=True, slots=True)
class TraceDnsCacheHitParams:
    """The addresses are remembered, or being asked for already."""

    host: str


@dataclass(frozen=True, slots=True)
class TraceDnsCacheMissParams:
    """The addresses are not remembered."""

    host: str


@dataclass(frozen=True, slots=True)
class TraceRequestHeadersSentParams:
    """The head is about to go out: `headers` is all that it says."""

    method: str
    url: URL
    headers: CIMultiDict[str]


class Signal(MutableSequence["_Handler[P]"], Generic[P]):
    """Functions that are awaited in turn with the session, the trace's context and the parameters; a list until it is frozen."""

    __slots__ = ("_functions", "frozen", "owner")

    def __init__(self, owner: object) -> None:
        self.owner = owner
        self.frozen = False
        self._functions: list[_Handler[P]] = []

    def freeze(self) -> None:
        """Allow no more changes; only then it may be sent."""
        self.frozen = True

    async def send(self, session: ClientSession, context: Any, params: P) -> None:
        """Call them. Errors: whatever they raise."""
        if not self.frozen:
            raise RuntimeError("Cannot send non-frozen signal.")
        for function in self._functions:
            await function(session, context, params)

    def __call__(self, function: _Handler[P]) -> _Handler[P]:
        """As a decorator: add a function."""
        self.append(function)
        return function

    def _changeable(self) -> list[_Handler[P]]:
        if self.frozen:
            raise RuntimeError("Cannot modify frozen list.")
        return self._functions

    def insert(self, index: int, value: _Handler[P]) -> None:
        """As a list's."""
        self._changeable().insert(index, value)

    @overload
    def __getitem__(self, index: int) -> _Handler[P]: ...
    @overload
    def __getitem__(self, index: slice) -> list[_Handler[P]]: ...
    def __getitem__(self, index: Any) -> Any:
        return self._functions[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._changeable()[index] = value

    def __delitem__(self, index: Any) -> None:
        del self._changeable()[index]

    def __len__(self) -> int:
        return len(self._functions)

    def __repr__(self) -> str:
        return f"<Signal owner={self.owner!r}, frozen={self.frozen}, {self._functions!r}>"


class TraceConfig:
    """What is wanted to be known of a session's requests: `config.on_request_start.append(function)`, then
    `ClientSession(trace_configs=[config])`. Each function is `async def function(session, context, params)`; the context is a
    call's own, what `trace_config_ctx_factory` gives.
    """

    def __init__(self, trace_config_ctx_factory: Callable[..., Any] = SimpleNamespace) -> None:
        self._new_context = trace_config_ctx_factory
        self.on_request_start: Signal[TraceRequestStartParams] = Signal(self)
        self.on_request_chunk_sent: Signal[TraceRequestChunkSentParams] = Signal(self)
        self.on_response_chunk_received: Signal[TraceResponseChunkReceivedParams] = Signal(self)
        self.on_request_end: Signal[TraceRequestEndParams] = Signal(self)
        self.on_request_exception: Signal[TraceRequestExceptionParams] = Signal(self)
        self.on_request_redirect: Signal[TraceRequestRedirectParams] = Signal(self)
        self.on_connection_queued_start: Signal[TraceConnectionQueuedStartParams] = Signal(self)
        self.on_connection_queued_end: Signal[TraceConnectionQueuedEndParams] = Signal(self)
        self.on_connection_create_start: Signal[TraceConnectionCreateStartParams] = Signal(self)
        self.on_connection_create_end: Signal[TraceConnectionCreateEndParams] = Signal(self)
        self.on_connection_reuseconn: Signal[TraceConnectionReuseconnParams] = Signal(self)
        self.on_dns_resolvehost_start: Signal[TraceDnsResolveHostStartParams] = Signal(self)
        self.on_dns_resolvehost_end: Signal[TraceDnsResolveHostEndParams] = Signal(self)
        self.on_dns_cache_hit: Signal[TraceDnsCacheHitParams] = Signal(self)
        self.on_dns_cache_miss: Signal[TraceDnsCacheMissParams] = Signal(self)
        self.on_request_headers_sent: Signal[TraceRequestHeadersSentParams] = Signal(self)

    def trace_config_ctx(self, trace_request_ctx: Any = None) -> Any:
        """A new context; it gets what the call had as `trace_request_ctx`."""
        return self._new_context(trace_request_ctx=trace_request_ctx)

    def freeze(self) -> None:
        """Allow no more functions: a session's first act."""
        for signal in vars(self).values():
            if isinstance(signal, Signal):
                signal.freeze()


class Trace:
    """One configuration, told of one call."""

    __slots__ = ("_config", "_context", "_session")

    def __init__(self, session: ClientSession, trace_config: TraceConfig, trace_config_ctx: Any) -> None:
        self._session = session
        self._config = trace_config
        self._context = trace_config_ctx

    async def send_request_start(self, method: str, url: URL, headers: CIMultiDict[str]) -> None:
        """The call begins. Who was told so is told of its end, too."""
        await self.tell("on_request_start", TraceRequestStartParams(method, url, headers))

    async def send_request_redirect(self, method: str, url: URL, headers: CIMultiDict[str], response: ClientResponse) -> None:
        """A redirect came, in answer to this method and URL."""
        await self.tell("on_request_redirect", TraceRequestRedirectParams(method, url, headers, response))

    async def send_response_chunk_received(self, method: str, url: URL, chunk: bytes) -> None:
        """A body was read."""
        await self.tell("on_response_chunk_received", TraceResponseChunkReceivedParams(method, url, chunk))

    async def send_request_end(self, method: str, url: URL, headers: CIMultiDict[str], response: ClientResponse) -> None:
        """The call ended with this response."""
        await self.tell("on_request_end", TraceRequestEndParams(method, url, headers, response))

    async def send_request_exception(self, method: str, url: URL, headers: CIMultiDict[str], exception: BaseException) -> None:
        """The call failed."""
        await self.tell("on_request_exception", TraceRequestExceptionParams(method, url, headers, exception))

    async def tell(self, signal: str, params: Any) -> None:
        """Send a signal of the configuration."""
        await getattr(self._config, signal).send(self._session, self._context, params)


class Steps:
    """What the core tells of one call, for all of its traces: its `step` goes into the request's extensions as "trace"."""

    __slots__ = ("_cached", "_direct", "_method", "_traces", "_url")

    def __init__(self, traces: Sequence[Trace], cached: bool = True) -> None:
        self._traces = traces
        self._cached = cached  # whether the connector remembers addresses
        self._direct = True
        self._method = ""
        self._url = URL()

    async def step(self, step: str, facts: Mapping[str, Any]) -> None:
        """As `aioreq.RequestOptions` says of `trace`."""
        if step == "send":
            await self._sending(facts["request"], facts["head"])
        elif step in _DNS:
            for signal, of_host in _DNS[step]:
                if self._direct and (self._cached or not signal.startswith("on_dns_cache")):  # of a proxy's name nothing is told
                    await self._tell(signal, of_host(facts["host"]))
        else:
            if step == "open.start":
                self._direct = facts["proxy"] is None
            signal, plain = _STEPS[step]
            await self._tell(signal, plain())

    async def _sending(self, request: Request, head: bytes) -> None:
        method, url = self._method, self._url = request.method, request.url
        headers: CIMultiDict[str] = CIMultiDict()
        for line in head[:-4].split(b"\r\n")[1:]:
            name, _, value = line.partition(b": ")
            headers.add(name.decode("latin-1"), value.decode("utf-8", "surrogateescape"))
        await self._tell("on_request_headers_sent", TraceRequestHeadersSentParams(method, url, headers))
        if isinstance(request.body, bytes):
            await self._sent(request.body)
        elif request.body is not None and not isinstance(request.body, _ToldBody):
            request.body = _ToldBody(request.body, self._sent)

    async def _sent(self, chunk: bytes) -> None:
        await self._tell("on_request_chunk_sent", TraceRequestChunkSentParams(self._method, self._url, chunk))

    async def _tell(self, signal: str, params: Any) -> None:
        for trace in self._traces:
            await trace.tell(signal, params)


class _ToldBody(StreamedBody):
    """A body that goes out in pieces, each of which is told."""

    __slots__ = ("_body", "_tell")

    def __init__(self, body: StreamedBody, tell: Callable[[bytes], Awaitable[None]]) -> None:
        super().__init__(body.chunks, body.length, body.replayable)
        self._body = body
        self._tell = tell

    @property
    def sendable(self) -> bool:
        """As of the body itself."""
        return self._body.sendable

    def chunks(self) -> AsyncIterator[bytes]:
        """The same, told before they go out."""
        return self._each(self._body.chunks())

    async def _each(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async with aclosing(chunks):  # type: ignore[type-var]
            async for chunk in chunks:
                await self._tell(chunk)
                yield chunk


_STEPS: dict[str, tuple[str, Callable[[], object]]] = {
    "queue.start": ("on_connection_queued_start", TraceConnectionQueuedStartParams),
    "queue.end": ("on_connection_queued_end", TraceConnectionQueuedEndParams),
    "open.start": ("on_connection_create_start", TraceConnectionCreateStartParams),
    "open.end": ("on_connection_create_end", TraceConnectionCreateEndParams),
    "reuse": ("on_connection_reuseconn", TraceConnectionReuseconnParams),
}
_DNS: dict[str, tuple[tuple[str, Callable[[str], object]], ...]] = {
    "dns.hit": (("on_dns_cache_hit", TraceDnsCacheHitParams),),
    "dns.start": (("on_dns_cache_miss", TraceDnsCacheMissParams), ("on_dns_resolvehost_start", TraceDnsResolveHostStartParams)),
    "dns.end": (("on_dns_resolvehost_end", TraceDnsResolveHostEndParams),),
}
