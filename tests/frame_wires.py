"""WebSocket frames as a server puts them on the wire, and what a parser makes of them. Written from RFC 6455; imports no frame of ours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from wires import pieces

from aioreq.websocket.frames import FrameParser

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
ROOM = 1 << 20

Event = tuple[Any, ...]


def served(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, key: bytes = b"", form: int = 0) -> bytes:
    """A frame, right or wrong. `rsv`: 4, 2, 1 for RSV1 to 3; `form`: 7, 16 or 64 bits for the length (0: the shortest)."""
    size = len(payload)
    form = form or (7 if size < 126 else 16 if size < 65536 else 64)
    head = bytes([fin << 7 | rsv << 4 | opcode, (0x80 if key else 0) | {7: size, 16: 126, 64: 127}[form]])
    if form > 7:
        head += size.to_bytes(form // 8, "big")
    if key:
        payload = bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
    return head + key + payload


@dataclass(frozen=True)
class Sent:
    """A frame that a client sent, unmasked; `form` is how its length was written, in bits."""

    opcode: int
    payload: bytes
    fin: bool
    rsv: int
    key: bytes
    form: int


def read_sent(wire: bytes) -> list[Sent]:
    """The frames of a client, read by the book (section 5.2), without any doubt about them but that each is masked and whole."""
    frames = []
    at = 0
    while at < len(wire):
        first, second = wire[at], wire[at + 1]
        assert second & 0x80, "a client's frame must be masked"
        size, form, at = second & 0x7F, 7, at + 2
        if size > 125:
            form = 16 if size == 126 else 64
            size, at = int.from_bytes(wire[at : at + form // 8], "big"), at + form // 8
        key, at = wire[at : at + 4], at + 4
        masked, at = wire[at : at + size], at + size
        assert (len(key), len(masked)) == (4, size), "cut short"
        payload = bytes(byte ^ key[place % 4] for place, byte in enumerate(masked))
        frames.append(Sent(first & 0x0F, payload, first >= 0x80, first >> 4 & 7, key, form))
    return frames


class Recorder:
    """A receiver that writes down what it is told; neighbouring pieces of a message are one."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def on_piece(self, kind: int, data: bytes, last: bool, compressed: bool) -> None:
        assert type(data) is bytes
        assert data or last
        before = self.events[-1] if self.events else ("",)
        if before[0] == "message" and not before[3]:
            assert (kind, compressed) == (before[1], before[4])
            self.events[-1] = ("message", kind, before[2] + data, last, compressed)
        else:
            self.events.append(("message", kind, data, last, compressed))

    def on_control(self, opcode: int, payload: bytes) -> None:
        assert type(payload) is bytes
        self.events.append(("control", opcode, payload))


@dataclass(frozen=True)
class Verdict:
    """All that can be seen of a parser."""

    events: list[Event]
    error: tuple[str, str, str, int | None] | None = field(default=None)  # class, message, name of the limit, close code


def judge(wire: bytes, cuts: Iterable[int] = (), *, max_message: int | None = ROOM, compressed: bool = False) -> Verdict:
    """Any error is in the verdict but those that no wire may raise."""
    recorder = Recorder()
    parser = FrameParser(recorder, max_message, compressed)
    error = None
    try:
        for piece in pieces(wire, cuts):
            parser.feed(piece)
        parser.hand_on()  # as at the end of a connection
    except Exception as fault:
        error = (type(fault).__name__, str(fault), getattr(fault, "limit", ""), getattr(fault, "close_code", None))
    return Verdict(recorder.events, error)


def message(data: bytes, kind: int = TEXT, last: bool = True, compressed: bool = False) -> Event:
    return ("message", kind, data, last, compressed)


def control(opcode: int, payload: bytes = b"") -> Event:
    return ("control", opcode, payload)
