"""Where an exchange can break, and how: scripts for aioreq.testing.Server. Knows no client.

@pytest.mark.parametrize("phase", faults.PHASES, ids=str)
@pytest.mark.parametrize("how", faults.HOWS)
async def test_...(phase, how):
    async with Server(tls=phase.needs_tls) as server:
        phase.arm(server, how)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from aioreq.testing import Close, Pause, ReadBody, ReadBytes, ReadHead, ReadRequest, Reset, Server, Stall, Step, StopReading

from .samples import RESPONSES

__all__ = ["FAULTS", "HOWS", "PHASES", "UPLOAD", "How", "Phase", "cut_at", "cuts", "drip"]

How = Literal["close", "reset", "stall", "drip"]

HOWS: tuple[How, ...] = ("close", "reset", "stall")
"""The ways that never give a whole response; "drip" gives one, slowly."""

FAULTS: dict[str, Step] = {"close": Close(), "reset": Reset(), "stall": Stall()}

UPLOAD = 1 << 20
"""A body of at least so many bytes meets the phase "during-upload"."""


def cut_at(wire: bytes, n: int, how: How = "close") -> tuple[Step, ...]:
    """The first n bytes of a wire, then the fault ("drip": then the rest, byte by byte)."""
    rest = drip(wire[n:]) if how == "drip" else (FAULTS[how],)
    return (wire[:n], *rest) if n else rest


def cuts(wire: bytes, how: How = "close") -> Iterator[tuple[int, tuple[Step, ...]]]:
    """A wire cut before each of its bytes: (n, steps)."""
    for n in range(len(wire)):
        yield n, cut_at(wire, n, how)


def drip(wire: bytes, size: int = 1, pause: float = 0) -> tuple[Step, ...]:
    """A wire in pieces of some bytes, each followed by a pause (0: the event loop gets its turn)."""
    steps: list[Step] = []
    for start in range(0, len(wire), size):
        steps += (wire[start : start + size], Pause(pause))
    return tuple(steps)


@dataclass(frozen=True)
class Phase:
    """One moment of an exchange: after `before`, and with `sent` of the response out, the fault comes; `rest` would have followed."""

    name: str
    before: tuple[Step, ...] = (ReadRequest(),)
    sent: bytes = b""
    rest: bytes = b""
    needs_tls: bool = False
    complete: bool = False  # the first exchange succeeds: the fault strikes the idle connection
    needs_upload: bool = False

    def __str__(self) -> str:
        return self.name

    @property
    def response_started(self) -> bool:
        """Whether any byte of the response arrives before the fault."""
        return bool(self.sent)

    def steps(self, how: How = "close") -> tuple[Step, ...]:
        """The script of a connection that breaks here in this way."""
        if how == "drip" and not self.rest:
            raise ValueError(f"nothing to drip in the phase {self.name!r}")
        if how == "stall" and self.needs_upload:
            # A stalled peer takes nothing more: the client's writes must be what waits.
            return (*self.before, StopReading(), Stall())
        if how == "stall" and self.complete:
            # An idle connection that stalls is one that never answers its next request.
            return (*self.before, self.sent, ReadRequest(), Stall())
        return (*self.before, *cut_at(self.sent + self.rest, len(self.sent), how))

    def arm(self, server: Server, how: How = "close", times: int = 1) -> None:
        """The next connections of this server break here in this way."""
        server.script(*self.steps(how), on="accept", below_tls=self.needs_tls, times=times)


_WIRE = RESPONSES["trailers"].wire


def _behind(name: str, mark: bytes) -> Phase:
    """The fault comes when the response is out up to and with this mark."""
    at = _WIRE.index(mark) + len(mark)
    return Phase(name, sent=_WIRE[:at], rest=_WIRE[at:])


PHASES: tuple[Phase, ...] = (
    # On accept, before the client could send a byte.
    Phase("on-accept", before=()),
    # The ClientHello came; no byte goes back.
    Phase("tls-hello", before=(ReadBytes(1),), needs_tls=True),
    # The header of a handshake record and two bytes of a ServerHello go back.
    Phase("tls-handshake", before=(ReadBytes(1), b"\x16\x03\x03\x00\x7a\x02\x00"), needs_tls=True),
    # The head came; its body, if there is one, may still be on the way.
    Phase("after-request-head", before=(ReadHead(),), rest=_WIRE),
    # 64 KiB of the upload came, more is on the way.
    Phase("during-upload", before=(ReadHead(), ReadBody(1 << 16)), needs_upload=True),
    # The whole request came.
    Phase("after-request", rest=_WIRE),
    _behind("in-status-line", b"HTTP/1.1 2"),
    _behind("after-status-line", b"200 OK\r\n"),
    _behind("in-header-name", b"Trai"),
    _behind("in-header-value", b"Transfer-Encoding: chu"),
    # All headers, without the empty line.
    _behind("before-head-end", b"chunked\r\n"),
    _behind("after-head", b"\r\n\r\n"),
    # "1" of "14": a size, but not the whole.
    _behind("in-chunk-size", b"\r\n\r\n1"),
    _behind("after-chunk-size", b"\r\n\r\n14\r\n"),
    _behind("in-chunk-data", b"It was the"),
    # The data of a chunk is whole, its CRLF isn't.
    _behind("before-chunk-end", b"It was the best of t"),
    _behind("before-last-chunk", b"worst of times.\r\n"),
    _behind("in-last-chunk", b"worst of times.\r\n0"),
    _behind("before-trailers", b"worst of times.\r\n0\r\n"),
    _behind("in-trailers", b"0\r\nDigest: a"),
    # The trailers are whole, the empty line isn't.
    _behind("before-end", b"Digest: abc\r\n"),
    # The response is whole, and the connection idle.
    Phase("after-response", sent=_WIRE, complete=True),
)
