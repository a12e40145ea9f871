"""`Client.sse`: a feed of server-sent events over one response after another (WHATWG HTML section 9.2.3).

Decides when to ask again, and where from; what the bytes say is event_stream.py's. Stands on the public client.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from .config import check_count, check_seconds
from .errors import (
    AioreqError,
    ConnectError,
    ConnectionLost,
    DecodeError,
    InvalidHeader,
    LocalProtocolError,
    RemoteProtocolError,
    RequestTimeout,
    StatusError,
    TotalTimeout,
)
from .headers import checked_value
from .middlewares.retry import backoff, is_final, seconds_asked
from .retries import Retry

if TYPE_CHECKING:
    from .client import Client
    from .event_stream import EventStream, ServerSentEvent
    from .models import Request
    from .response import StreamResponse

__all__ = ["EventSource"]

# What the first request says unless it sets them itself; a client's own Accept is for what it asks for usually.
_FIELDS = (("Accept", "text/event-stream"), ("Cache-Control", "no-cache"))
_LONGEST_ID = 64 * 1024  # characters that are sent back: servers take less, and a stream may unfold to millions of them
_FIRST_PAUSE = 1.0  # seconds, where the server asks for none; what is random comes besides, and doubles with each failure


class EventSource(AsyncIterator["ServerSentEvent"]):
    """What `client.sse` gives: `async for event in source`. It connects when the first event is asked for, or at `async with`.

    `response` is the response that is being read, or was at last. `last_event_id` is where the feed stands, to go on from there another
    time; `retry` the pause before reconnecting that the server wishes, in seconds, None where it said nothing.
    """

    __slots__ = (
        "_attempts",
        "_client",
        "_due",
        "_ended",
        "_events",
        "_failed",
        "_last_event_id",
        "_max_event",
        "_opened",
        "_opening",
        "_pauses",
        "_request",
        "_retry",
        "_sent",
        "response",
    )

    def __init__(
        self,
        client: Client,
        request: Request,
        reconnect: bool | int | None,
        last_event_id: str | None,
        max_event: int | None,
        max_wait: float,
    ) -> None:
        if request.sets("last-event-id"):
            raise ValueError("a feed sends Last-Event-ID itself: give last_event_id=...")
        given: Any = last_event_id
        if given is not None and not isinstance(given, str):
            raise TypeError(f"sse(last_event_id=...) takes a string, not {type(given).__name__}")
        if max_event is not None:
            check_count("sse", "max_event", max_event, 1)
        if max_wait is None:
            raise TypeError("sse(max_wait=None): give seconds")
        check_seconds("sse", "max_wait", max_wait)
        missing = [pair for pair in _FIELDS if not request.sets(pair[0].lower()) or request.field(pair[0]) == "*/*"]
        request.headers.update(missing)
        self._client = client
        self._request = request
        self._attempts = _attempts(request.method == "GET" if reconnect is None else reconnect)  # in a row that bring no event
        self._pauses = Retry(backoff=_FIRST_PAUSE, max_wait=max_wait)
        self._max_event = max_event
        self._last_event_id = last_event_id or ""
        self._retry: float | None = None
        self._events: EventStream | None = None
        self._opening: asyncio.Timeout | None = None  # ended by a `close`, never by time
        self._sent = False  # once at least
        self._opened = False  # the same: there was a stream
        self._ended = False
        self._failed = 0
        self._due = 0.0  # when it may be asked for again, in loop time
        self.response: StreamResponse | None = None

    @property
    def last_event_id(self) -> str:
        """The `id` of the last event that was given, or what came as `last_event_id=` before the first."""
        return self._last_event_id if self._events is None else self._events.last_event_id

    @property
    def retry(self) -> float | None:
        """Seconds that the server wishes to be waited before reconnecting; None where it said nothing."""
        return self._retry if self._events is None or self._events.retry is None else self._events.retry

    async def __anext__(self) -> ServerSentEvent:
        events = self._events
        if events is None or (event := events.take()) is None:
            event = await self._next()
        return event

    async def _next(self) -> ServerSentEvent:
        while True:
            try:
                events = self._events or await self._open()
                event = await events.__anext__()
            except StopAsyncIteration:
                self._leave()
                if not self._again(None):
                    self._ended = True
                    raise
            except AioreqError as error:
                self._leave()
                if self._ended:  # by a `close` meanwhile
                    raise StopAsyncIteration from None
                if not self._again(error):
                    raise
                error.__traceback__ = None  # it holds the body's frame, and the body the error: buffers would wait for the collector
            except asyncio.CancelledError:
                self._leave()  # the body has given itself up
                raise
            else:
                self._failed = 0
                return event

    def _leave(self) -> None:
        self._last_event_id, self._retry, self._events = self.last_event_id, self.retry, None
        if self.response is not None:
            self.response.abort()

    # -- asking again

    def _again(self, failure: AioreqError | None) -> bool:
        """Whether it is asked for again after this, or after an end in order; then `_due` says when."""
        if self._ended or not (self._opened and self._request.replayable) or self._failed >= self._attempts:
            return False
        asked = _FIRST_PAUSE if self.retry is None else self.retry
        if failure is not None:
            if not self._may_pass(failure):
                return False
            if isinstance(failure, StatusError) and failure.response is not None:
                wished = seconds_asked(failure.response)
                if wished > self._pauses.max_wait:
                    return False
                asked = max(asked, wished)
        self._failed += 1
        pause = min(asked + backoff(self._pauses, self._failed), self._pauses.max_wait)
        now = asyncio.get_running_loop().time()
        deadline = self._request.deadline
        if deadline is not None and deadline.left(now) <= pause:
            if failure is not None:
                return False
            message = f"the total limit of {deadline.seconds:g} s leaves no time to reconnect after {pause:.3g} s ({self._request!r})"
            raise TotalTimeout(message, request=self._request) from None
        self._due = now + pause
        return True

    def _may_pass(self, failure: AioreqError) -> bool:
        if isinstance(failure, StatusError):
            statuses: Any = self._request.terms.retry.statuses
            return failure.response is not None and failure.response.status in Retry.TRANSIENT | statuses
        if isinstance(failure, DecodeError):
            return failure.incomplete  # a lost connection behind something that ended the body in order
        return isinstance(failure, ConnectError | ConnectionLost | RequestTimeout) and not is_final(failure)

    # -- one request

    async def _open(self) -> EventStream:
        """The next response's events. Errors: StopAsyncIteration where there shall be no more."""
        if self._opening is not None:
            raise RuntimeError("two tasks read the same event stream at once")
        self._opening = opening = asyncio.timeout(None)
        try:
            async with opening:
                return await self._next_response()
        except TimeoutError:
            if opening.expired():
                raise StopAsyncIteration from None
            raise
        finally:
            self._opening = None

    async def _next_response(self) -> EventStream:
        if self._ended:
            raise StopAsyncIteration
        await self._until_due()
        again, self._sent = self._opened, True
        response = await self._client.start_stream(self._new_request(again))
        try:
            if response.status == 204:
                self._ended = True
                self.response = response
            if self._ended:  # or by a `close` meanwhile
                raise StopAsyncIteration
            await _check(response)
        except BaseException:
            response.abort()
            raise
        self._opened = True
        self.response = response
        self._events = events = response.events(self._max_event, self._last_event_id)
        return events

    async def _until_due(self) -> None:
        if self._sent and not self._attempts:
            what = f"the event stream was given up, and {self._request!r} is not sent twice"
            raise LocalProtocolError(f"{what}, unless by reconnect=True", request=self._request)
        pause = self._due - asyncio.get_running_loop().time()
        if pause > 0:
            await self._client.pool().pause(pause)

    def _new_request(self, again: bool) -> Request:
        request = self._request.replace()
        if again:
            request.retry = 0  # pauses and attempts are counted here
        if self._last_event_id:
            if again:
                self._check_id(request)
            request.add_field("Last-Event-ID", self._last_event_id)
        return request

    def _check_id(self, request: Request) -> None:
        """Errors: RemoteProtocolError for what the grammar of events allows, but no server takes as a field."""
        try:
            if len(self._last_event_id) > _LONGEST_ID:
                raise InvalidHeader(f"its last id has {len(self._last_event_id)} characters")
            checked_value("Last-Event-ID", self._last_event_id)
        except InvalidHeader as error:
            raise RemoteProtocolError(f"the feed can't go on where it stands: {error}", request=request) from None

    # -- its life

    async def close(self) -> None:
        """Close the connection; the iteration ends. May be called at any time, also by another task, and twice."""
        self._end()

    def _end(self) -> None:
        self._ended = True
        if self._opening is not None and not self._opening.expired():
            self._opening.reschedule(0)
        self._leave()

    async def __aenter__(self) -> Self:
        if self._events is None:
            try:
                await self._open()
            except StopAsyncIteration:  # a 204
                pass
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def __repr__(self) -> str:
        state = "ended" if self._ended else "open" if self._events is not None else "not connected"
        return f"<EventSource {self._request.method} {self._request.host} {state}>"


def _attempts(reconnect: Any) -> float:
    if isinstance(reconnect, bool):
        return inf if reconnect else 0
    check_count("sse", "reconnect", reconnect)
    return float(reconnect)


async def _check(response: StreamResponse) -> None:
    """Errors: StatusError (with the response and up to 64 KiB of its body) for any status but 200, DecodeError for another type."""
    request = response.request
    answer = f"{request.method} {request.host}{response.url.raw_path}: {response.status} {response.status_message}".rstrip()
    if response.status != 200:
        await response.raise_for_status()
        raise StatusError(f"{answer} is no event stream", request=request, response=await response.start_of_body())
    if response.content_type != "text/event-stream":
        kind = response.content_type or "no Content-Type"
        message = f"{answer} is no event stream ({kind}): read it by client.stream, and by response.events() where it is one"
        raise DecodeError(message, request=request, partial=(await response.start_of_body()).content)
