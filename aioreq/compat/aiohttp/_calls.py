"""One call that has more to it than most: middlewares, traces, a tracker, a request class of the user's. It stands on its request.

Each hop and each resend is an attempt; the chain's last link hands it over here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from multidict import CIMultiDict, getversion

from ...errors import AioreqError
from ...middlewares.base import in_time
from ...middlewares.decode import attach_decoder
from ...models import Request, StreamResponse
from ._links import CALL
from ._request import ClientRequest
from ._response import ClientResponse
from ._translation import translated
from .client_middlewares import build_client_middlewares

if TYPE_CHECKING:
    from ...client import Client
    from ...middlewares import MiddleWare
    from ._upload import UploadTracker
    from .client import ClientSession
    from .client_middlewares import ClientMiddlewareType
    from .tracing import Trace, TraceConfig

__all__ = ["Answered", "Call"]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Answered(Exception):
    """A middleware answered with a response that no connection gave."""

    def __init__(self, response: Any) -> None:
        super().__init__(f"answered with {response!r}")
        self.response = response


class Call:
    """What belongs to one call, from its first attempt to its last."""

    __slots__ = (
        *("_data", "_decode", "_given", "_hop", "_middlewares", "_request", "_response", "_session", "_told", "_told_version"),
        *("_traces", "_tracker"),
    )

    def __init__(
        self,
        session: ClientSession,
        request: Request,
        middlewares: Sequence[ClientMiddlewareType],
        tracker: UploadTracker | None,
        data: Any,
        decode: bool,
    ) -> None:
        self._session = session
        self._request = self._hop = request
        self._middlewares = middlewares
        self._tracker = tracker
        self._data = data
        self._decode = decode
        self._traces: list[Trace] = []
        self._response: ClientResponse | None = None  # the one that a middleware gave last
        self._given = self._told = CIMultiDict[str]()  # what whoever traces is told that goes out, and may change
        self._told_version = 0
        request.extensions[CALL] = self

    # -- traces

    async def start(self, configs: list[TraceConfig], context: object, headers: Any) -> None:
        """Tell whoever traces that the call begins; only who was told so is told of its end, too."""
        from .tracing import Steps, Trace

        request, session = self._request, self._session
        own: CIMultiDict[str] = CIMultiDict(headers or ())
        self._given = CIMultiDict([*(each for each in session._default_headers.items() if each[0] not in own), *own.items()])
        self._told, self._told_version = self._given.copy(), getversion(self._given)  # type: ignore[arg-type]
        request.extensions["trace"] = Steps(self._traces, getattr(session.connector, "use_dns_cache", True)).step
        for config in configs:
            trace = Trace(session, config, config.trace_config_ctx(trace_request_ctx=context))
            await trace.send_request_start(request.method, request.url, self._given)
            self._traces.append(trace)
        self._take_over(request)

    def _take_over(self, request: Request) -> None:
        """Have a request say what whoever traces has changed since it was last asked: the context of a distributed trace, say."""
        told, given, version = self._told, self._given, getversion(self._given)  # type: ignore[arg-type]
        if version == self._told_version:
            return
        changed = {name.lower() for name in (*told, *given) if told.getall(name, None) != given.getall(name, None)}
        for name in changed:
            request.headers.popall(name, None)
        request.headers.extend([(name, value) for name, value in given.items() if name.lower() in changed])
        self._told, self._told_version = given.copy(), version

    async def end(self, response: ClientResponse) -> None:
        """Tell of the response."""
        for trace in self._traces:
            await trace.send_request_end(response.method, response.url, self._given, response)

    async def failed(self, error: BaseException) -> None:
        """Tell of what became of it in place of a response."""
        for trace in self._traces:
            await trace.send_request_exception(self._hop.method, self._hop.url, self._given, error)

    def response_of(self, stream: StreamResponse) -> ClientResponse:
        """The response that the call ends with: the middlewares' own, where there are any."""
        given = self._response
        if given is not None and given._stream is stream:
            return given
        return self._session._response_class._of(stream, self._session, self._traces)

    def answered_by(self, response: ClientResponse) -> bool:
        """Whether it is the middlewares' own, that was started for them."""
        return response is self._response

    # -- attempts

    async def attempt(self, request: Request, client: Client, link: MiddleWare) -> StreamResponse:
        """The response to one attempt."""
        self._hop = request
        if self._traces:
            self._take_over(request)
        stream = await self._through(request, client, link)
        if self._traces and stream.status in _REDIRECTS and request.follow_redirects and stream.field(b"location"):
            redirect = self._session._response_class._of(stream, self._session)
            for trace in self._traces:
                await trace.send_request_redirect(request.method, request.url, self._given, redirect)
        return stream

    async def _through(self, request: Request, client: Client, link: MiddleWare) -> StreamResponse:
        if not self._middlewares and self._session._request_class is ClientRequest:
            return await self._exchange(request, client, link)
        made = self._session._request_class._of(request, self._session, self._data)

        async def handler(request: ClientRequest) -> ClientResponse:
            attempt = request._attempt()
            try:
                stream = await self._exchange(attempt, client, link)
            except AioreqError as error:
                if error.request is None:
                    error.request = attempt
                told = translated(error, self._session)
                raise told from (told.__cause__ if told is error.__cause__ else error)
            if self._decode:
                attach_decoder(stream)
            response = request.response = self._session._response_class._of(stream, self._session, self._traces)
            if type(response) is not ClientResponse:
                await response.start(response.connection)
            return response

        answering = build_client_middlewares(handler, self._middlewares)(made)
        response: Any = await in_time(answering, request, "in the session's middlewares")
        self._response = response
        if not isinstance(response, ClientResponse) or response._stream is None:
            raise Answered(response)
        return response._stream

    async def _exchange(self, request: Request, client: Client, link: MiddleWare) -> StreamResponse:
        if self._tracker is not None:
            request = request.replace()
            self._tracker._watch(request)
        response: Any = await link.process(request, client)
        return response  # type: ignore[no-any-return]
