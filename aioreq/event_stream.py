r"""Server-sent events from a body that is still arriving (WHATWG HTML section 9.2.6). Knows pieces of bytes; no response, no reconnecting.

    stream = [ BOM ] *event        event = *( comment / field ) end-of-line        end-of-line = CR LF / CR / LF
    comment = ":" *any-char end-of-line                field = 1*name-char [ ":" [ SP ] *any-char ] end-of-line

However the bytes were cut, the events are the same, and each is given with the line that ends it. What is held is one unfinished event.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .config import check_count
from .errors import DecodeError, LimitExceeded
from .text_stream import TextDecoder

if TYPE_CHECKING:
    from .pieces import PieceSource

__all__ = ["EventStream", "ServerSentEvent"]


class _Loaded:
    """What an event knows besides its fields, which `repr`, `==` and `dataclasses.asdict` are about."""

    __slots__ = ("_loads",)
    _loads: Callable[[bytes], Any]


@dataclass(slots=True)  # not frozen, which would double what an event costs
class ServerSentEvent(_Loaded):
    """One event: its `type` ("message" where the server names none), its `data` as text, and `id`, where the stream stands with it.

    `id` is the last one that the server gave, perhaps with an earlier event; "" before the first. `retry` is the pause before reconnecting,
    in seconds, where it came with this event.
    """

    type: str = "message"
    data: str = ""
    id: str = ""
    retry: float | None = None

    def json(self, loads: Callable[[bytes], Any] | None = None) -> Any:
        """The data as JSON, read by `loads`, the client's `json_loads` or `json.loads`. Errors: DecodeError (`.partial` is the data)."""
        loads = loads or getattr(self, "_loads", None)
        try:
            if loads is not None:
                return loads(self.data.encode())
            import json

            return json.loads(self.data)
        except (ValueError, RecursionError) as error:
            message = f"the data of an event of type {self.type[:80]!r} is no JSON ({len(self.data)} characters): {error}"
            raise DecodeError(message, partial=self.data.encode()) from error


class EventStream(AsyncIterator[ServerSentEvent]):
    """The events of one body, as they arrive: `async for event in response.events()`. One that the body's end cuts short is none.

    `last_event_id` is where it stands with the event that was given last, `retry` the pause before reconnecting that the server wishes, in
    seconds, or None. Errors: LimitExceeded for an event whose lines, without their ends and comments, have more than `max_event`
    characters, behind the events before it; the pieces' own.
    """

    __slots__ = (
        "_after_cr",
        "_comment",
        "_data",
        "_decoder",
        "_event_retry",
        "_held",
        "_id",
        "_line",
        "_loads",
        "_new_id",
        "_open",
        "_pieces",
        "_ready",
        "_size",
        "_too_long",
        "_type",
        "_what",
        "last_event_id",
        "max_event",
        "retry",
    )

    def __init__(self, pieces: PieceSource, what: str, loads: Callable[[bytes], Any] | None = None, last_event_id: str = "") -> None:
        self._pieces = pieces
        self._what = what
        self._loads = loads
        self._decoder = TextDecoder("utf-8-sig")  # whatever charset is declared
        self._ready: deque[ServerSentEvent] = deque()
        self._too_long: str | None = None  # what is wrong; no error, for its traceback would refer back to here
        self.max_event: int | None = None
        self.retry: float | None = None
        self.last_event_id = last_event_id
        self._id = last_event_id  # as of the last event that was read
        self._after_cr = False
        # A line that isn't whole, in a buffer, for a piece may be a single byte; of a comment only the colon.
        self._line = io.StringIO()
        self._held = 0
        self._comment = False
        # An event that isn't.
        self._open = False
        self._size = 0
        self._data = io.StringIO()
        self._type = ""
        self._new_id = last_event_id
        self._event_retry: float | None = None

    def up_to(self, max_event: int | None) -> EventStream:
        """This iterator, from now on with that limit."""
        if max_event is not None:
            check_count("events", "max_event", max_event, 1)
        self.max_event = max_event
        return self

    def take(self) -> ServerSentEvent | None:
        """The next event, where it is here already."""
        if not self._ready:
            return None
        event = self._ready.popleft()
        if self._loads is not None:
            event._loads = self._loads
        self.last_event_id = event.id
        return event

    async def __anext__(self) -> ServerSentEvent:
        while (event := self.take()) is None:
            if self._too_long is not None:
                raise self._pieces.fail(LimitExceeded(self._too_long, limit="max_event"))
            self.last_event_id = self._id  # an id may come without an event
            self._feed(self._decoder.decode(await self._pieces.__anext__()))
        return event

    def _feed(self, text: str) -> None:
        if not text:
            return
        if self._after_cr and text[0] == "\n":
            text = text[1:]
        self._after_cr = text.endswith("\r")
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        end = text.rfind("\n") + 1
        if end:
            lines = text[:end]
            if self._held:
                self._line.write(lines)
                lines = self._line.getvalue()
                self._line, self._held = io.StringIO(), 0
            self._read(lines)
        if end < len(text):
            self._hold(text[end:])

    def _hold(self, line: str) -> None:
        if not self._held:
            self._comment = line[0] == ":"
        if self._comment:
            line = "" if self._held else ":"
        self._line.write(line)
        self._held += len(line)
        if not self._comment:
            self._check(self._size + self._held)

    def _read(self, lines: str) -> None:
        """Whole lines: an empty one ends an event."""
        most = self.max_event
        usual = most is None or len(lines) <= most
        if self._open:
            first, ended, lines = f"\n{lines}".partition("\n\n")
            self._take_lines(first, bool(ended))
        if not lines or self._too_long is not None:
            return
        *events, rest = lines.split("\n\n")
        for event in events:
            if usual and event.startswith("data: ") and "\n" not in event:  # the usual one
                self._ready.append(ServerSentEvent("message", event[6:], self._id))
            else:  # one behind one that is too long is too long, too: its size is never forgotten
                self._take_lines(event, ended=True)
        if rest:
            self._take_lines(rest, ended=False)

    def _take_lines(self, lines: str, ended: bool) -> None:
        """Lines of one event, and perhaps its end. Empty ones at their beginning end none: there was nothing before them."""
        data: list[str] = []
        for line in lines.split("\n"):
            name, _, value = line.partition(":")
            if not name:  # a comment
                continue
            self._size += len(line)
            value = value.removeprefix(" ")
            if name == "data":
                data.append(value)
            elif name == "event":
                self._type = value
            elif name == "id" and "\0" not in value:
                self._new_id = value
            elif name == "retry" and value.isascii() and value.isdigit():
                self.retry = self._event_retry = float(value) / 1000
        if not self._check(self._size):
            return
        if not ended:
            self._open = True
            if data:
                self._data.write("\n".join(data) + "\n")
            return
        self._id = self._new_id
        held = ""
        if self._open:
            held, self._data, self._open = self._data.getvalue(), io.StringIO(), False
        if data or held:
            whole = held + "\n".join(data) if data else held[:-1]
            self._ready.append(ServerSentEvent(self._type or "message", whole, self._id, self._event_retry))
        self._type, self._size, self._event_retry = "", 0, None

    def _check(self, size: int) -> bool:
        """Whether an event may be of that size."""
        if self.max_event is not None and size > self.max_event:
            most = self.max_event
            self._too_long = f"an event of {self._what} is longer than {most} characters: raise it with max_event=..."
            return False
        return True
