"""How a response came: over which connection, and how long each phase took. Plain facts; opens nothing, decides nothing.

All of it is told by `time.perf_counter`: a loop's clock may count in milliseconds and stand still within a turn (uvloop's does both), and
what a response remembers must not keep its loop alive.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, TypeAlias

__all__ = ["ConnectionInfo", "Opening", "Timings", "Trace", "Transfer"]

# Awaited with the name of a step and its facts, just before the next one is taken: see `RequestOptions`.
Trace: TypeAlias = Callable[[str, Mapping[str, Any]], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """The connection that a response came over, as it was when it was opened.

    Addresses are (host, port), or the path of a Unix socket; over a proxy, the proxy's. None: not known, or no TLS. `certificate` is the
    peer's own, as DER bytes. `reused`: the connection had served before. `close_delimited`: the body ended with the connection, so that
    nothing tells a whole one from one that was cut (RFC 9112 section 6.3); over TLS an end without a close_notify counts as its end, too.
    """

    local_address: tuple[str, int] | str | None = None
    peer_address: tuple[str, int] | str | None = None
    tls_version: str | None = None
    cipher: str | None = None
    certificate: bytes | None = field(default=None, repr=False)
    reused: bool = False
    close_delimited: bool = False


_NOTHING_KNOWN = ConnectionInfo()
_NOT_NOTED = {"opening": None, "queued": 0.0, "sent": 0.0, "started": 0.0, "ended": 0.0, "close_delimited": False}


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of an exchange went, in seconds: of the last one, after redirects and retries.

    `queue`: the wait for a connection slot. `dns`, `connect`, `tls`: the opening of the connection, 0.0 over one that had served before;
    a proxy's handshake counts as `connect`. `send`: until the whole request was handed to the transport, a wait for 100 (Continue)
    included; 0.0 where it went out with its head. `wait`: until the first byte of the final response. `receive`: until the last byte of
    the body; of a stream that is still arriving, until now. An answer that came before the request was sent ends `send`.
    """

    queue: float = 0.0
    dns: float = 0.0
    connect: float = 0.0
    tls: float = 0.0
    send: float = 0.0
    wait: float = 0.0
    receive: float = 0.0


class Opening:
    """One connection being opened: the step under way, for whoever runs out of time, and the seconds that each phase took.

    >>> clock = iter([10.0, 10.5, 12.5])
    >>> opening = Opening(lambda: next(clock))
    >>> opening.begin("dns", "the name lookup")
    >>> opening.begin("connect", "the TCP handshake with 192.0.2.1")
    >>> opening.end()
    >>> opening.step, opening.dns, opening.connect, opening.tls
    ('the TCP handshake with 192.0.2.1', 0.5, 2.0, 0.0)
    """

    __slots__ = ("_clock", "_phase", "_since", "_step", "_whom", "connect", "dns", "tls", "trace")

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._step, self._whom = "the preparation", ""
        self.dns = self.connect = self.tls = 0.0
        self.trace: Trace | None = None  # of the request that it is for; until it is open
        self._clock = clock
        self._phase: str | None = None
        self._since = 0.0

    @property
    def step(self) -> str:
        """What is being done, or was done last."""
        return f"{self._step} {self._whom}" if self._whom else self._step

    def begin(self, phase: str, step: str, whom: str = "") -> None:
        """From now on time counts as `phase` ("dns", "connect" or "tls"); `step` says what is done, up to `whom` it is done to."""
        self.end()
        self._phase, self._step, self._whom = phase, step, whom

    def end(self) -> None:
        """The last phase is over."""
        now = self._clock()
        if self._phase is not None:
            setattr(self, self._phase, getattr(self, self._phase) + now - self._since)
            self._phase = None
        self._since = now


class Transfer:
    """One exchange, noted down while it runs: the connection writes its moments here, the response tells them.

    `opening` stays None where the connection had served before. `sent` is 0.0 for a request that went out at once, and infinite while one
    is still being sent; `started` (the final response's first byte) and `ended` are 0.0 until then.
    """

    __slots__ = ("began", "close_delimited", "ended", "info", "opening", "queued", "sent", "started")

    opening: Opening | None
    queued: float
    sent: float
    started: float
    ended: float
    close_delimited: bool

    def __init__(self, info: ConnectionInfo = _NOTHING_KNOWN, began: float = 0.0) -> None:
        self.info = info
        self.began = began

    def __getattr__(self, name: str) -> Any:
        # One is made for each exchange, and most note down nothing more.
        try:
            return _NOT_NOTED[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def connection(self) -> ConnectionInfo:
        return replace(self.info, reused=self.opening is None, close_delimited=self.close_delimited)

    @property
    def timings(self) -> Timings:
        end = self.ended or perf_counter()
        started = self.started or end
        sent = min(self.sent or self.began, started)
        opening = self.opening
        dns, connect, tls = (0.0, 0.0, 0.0) if opening is None else (opening.dns, opening.connect, opening.tls)
        return Timings(self.queued, dns, connect, tls, send=sent - self.began, wait=started - sent, receive=end - started)
