"""How a response came: over which connection, and how long each phase took. Plain facts; opens nothing, decides nothing."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Opening"]


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

    __slots__ = ("_clock", "_phase", "_since", "connect", "dns", "step", "tls")

    def __init__(self, clock: Callable[[], float]) -> None:
        self.step = "the preparation"
        self.dns = self.connect = self.tls = 0.0
        self._clock = clock
        self._phase: str | None = None
        self._since = 0.0

    def begin(self, phase: str, step: str) -> None:
        """From now on time counts as `phase` ("dns", "connect" or "tls"); `step` says what is done, to whom."""
        self.end()
        self._phase, self.step = phase, step

    def end(self) -> None:
        """The last phase is over."""
        now = self._clock()
        if self._phase is not None:
            setattr(self, self._phase, getattr(self, self._phase) + now - self._since)
            self._phase = None
        self._since = now
