"""When a failed request is tried again, a frozen value, and how often in all, which a budget counts. Knows no request and no client."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

from .config import IDEMPOTENT, UNSET, Unset, check_count, check_seconds

if TYPE_CHECKING:
    from .errors import AioreqError
    from .models import Response, StreamResponse

__all__ = ["Retry", "RetryBudget"]

_UNMET_EXPECTATION = frozenset({417})  # may be answered without the field that it refuses, by whoever retries
_ALL = frozenset(range(100, 600))


class RetryBudget:
    """How many retries there may be in all, so that an outage isn't multiplied by those who wait for its end.

    Each retry takes one token. Each response that needs no retry brings `ratio` of one, each second brings `per_second`; at most `burst`
    are saved up, and that many are there at first. Where none is left the failure is told at once. A client has one of its own, for all
    its requests and loops; `Retry(budget=...)` gives it another, which several clients may share.

    >>> budget = RetryBudget(ratio=0.5, per_second=0, burst=1)
    >>> budget.spend(), budget.spend()
    (True, False)
    >>> budget.gain()
    >>> budget.gain()
    >>> budget.spend()
    True
    """

    __slots__ = ("_since", "_tokens", "burst", "per_second", "ratio", "short")

    def __init__(self, ratio: float = 0.1, per_second: float = 10, burst: int = 100) -> None:
        _check_finite("RetryBudget", "ratio", ratio)
        _check_finite("RetryBudget", "per_second", per_second)
        check_count("RetryBudget", "burst", burst)
        self.ratio = ratio
        self.per_second = per_second
        self.burst = burst
        # Whether there may be something to gain: all that a success looks at while no retries are needed.
        self.short = False
        self._tokens = float(burst)
        self._since = 0.0

    @property
    def tokens(self) -> float:
        """How many retries it would grant now."""
        if self.short:
            now = monotonic()
            self._keep(self._tokens + (now - self._since) * self.per_second)
            self._since = now
        return self._tokens

    def spend(self) -> bool:
        """Take a token for a retry; False where none is left."""
        if self.tokens < 1:
            return False
        if not self.short:
            self.short, self._since = True, monotonic()
        self._tokens -= 1
        return True

    def gain(self) -> None:
        """What a response brings that needs no retry."""
        self._keep(self.tokens + self.ratio)

    def _keep(self, tokens: float) -> None:
        self._tokens = min(tokens, float(self.burst))
        self.short = self._tokens < self.burst

    def __repr__(self) -> str:
        return f"RetryBudget(ratio={self.ratio:g}, per_second={self.per_second:g}, burst={self.burst})"


@dataclass(frozen=True, slots=True)
class Retry:
    """When a failed request is tried again, by a new attempt.

    `attempts` come after the first one: on a failure to connect, on a connection lost before any byte of the response, and on responses
    with one of `statuses` (none by default; `Retry.TRANSIENT` is 429, 502, 503 and 504). Only requests of these `methods`, or with an
    `Idempotency-Key` field, are sent twice; one of which nothing was sent is tried again whatever its method. The body must be there
    again: bytes, a list, a file, not a generator that was begun.

    The pause before attempt n + 1 is anything up to `backoff * 2 ** (n - 1)` seconds, at random, so that clients don't march in step;
    a function of n gives the seconds itself. `max_wait` bounds it. A response's `Retry-After` (RFC 9110 section 10.2.3) is waited for
    besides; where it asks for more than `max_wait`, the response is given back at once. `respect_retry_after=False` doesn't look at it.

    `when` is asked about any other response or `AioreqError` of a request that could be sent again: True tries again. `budget` is a
    `RetryBudget` in place of the client's, None has no bound. GuardError, CertificateError, ClientClosed, a 407 and a proxy's refusal are
    final.

    >>> Retry(statuses={503}, max_wait=60).attempts
    2
    """

    TRANSIENT: ClassVar[frozenset[int]] = frozenset({429, 502, 503, 504})

    attempts: int = 2
    methods: Iterable[str] = IDEMPOTENT  # once checked: frozen, as the statuses are
    statuses: Iterable[int] = frozenset()
    backoff: float | Callable[[int], float] = 0.1
    max_wait: float = 30
    respect_retry_after: bool = True
    when: Callable[[Response | StreamResponse | AioreqError], object] | None = None
    budget: RetryBudget | Unset | None = UNSET
    watched: frozenset[int] = field(init=False, repr=False, compare=False)  # statuses that may not be the end

    def __post_init__(self) -> None:
        check_count("Retry", "attempts", self.attempts)
        if not callable(self.backoff):
            _check_finite("Retry", "backoff", self.backoff)
        _check_finite("Retry", "max_wait", self.max_wait)
        object.__setattr__(self, "methods", _checked_methods(self.methods))
        statuses = _checked_statuses(self.statuses)
        object.__setattr__(self, "statuses", statuses)
        for name in ("backoff", "when"):
            _check_plain(name, getattr(self, name))
        when: Any = self.when
        if when is not None and not callable(when):
            raise TypeError(f"Retry(when=...) takes a function of a response or an error, not {type(when).__name__}")
        budget: Any = self.budget
        if not (budget is UNSET or budget is None or isinstance(budget, RetryBudget)):
            raise TypeError(f"Retry(budget=...) takes a RetryBudget or None, not {type(budget).__name__}")
        watched = frozenset[int]() if not self.attempts else _ALL if when is not None else statuses
        object.__setattr__(self, "watched", watched | _UNMET_EXPECTATION)

    @classmethod
    def of(cls, value: Retry | int | None) -> Retry:
        """A `Retry` from what a user gives: a number is `attempts`; None or 0 never retries."""
        if isinstance(value, Retry):
            return value
        return cls(attempts=0 if value is None else value)

    def within(self, budget: RetryBudget | Unset | None) -> Retry:
        """The same, with this budget where it names none."""
        return replace(self, budget=budget) if self.budget is UNSET else self


def _check_finite(owner: str, name: str, value: Any) -> None:
    if value is None:
        raise TypeError(f"{owner}({name}=None): give {'seconds' if owner == 'Retry' else 'a number'}")
    check_seconds(owner, name, value)
    if math.isinf(value):
        raise ValueError(f"{owner}({name}={value!r}) has no end")


def _check_plain(name: str, given: object) -> None:
    if not callable(given):
        return
    from inspect import iscoroutinefunction

    if iscoroutinefunction(given) or iscoroutinefunction(getattr(given, "__call__", None)):  # noqa: B004
        raise TypeError(f"Retry({name}=...) takes a plain function: what an asynchronous one gives would never be awaited")


def _checked_methods(given: Any) -> frozenset[str]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"Retry(methods={given!r}): give a set of method names")
    methods = frozenset(given)
    for method in methods:
        if not isinstance(method, str):
            raise TypeError(f"Retry(methods=...) takes names of methods, not {type(method).__name__}")
    return methods | {method.upper() for method in methods}  # the verbs send them in upper case


def _checked_statuses(given: Any) -> frozenset[int]:
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise TypeError(f"Retry(statuses={given!r}): give a set of status codes")
    statuses = frozenset(given)
    for status in statuses:
        if isinstance(status, bool) or not isinstance(status, int):
            raise TypeError(f"Retry(statuses=...) takes status codes, not {type(status).__name__}")
        if not 200 <= status <= 599:
            raise ValueError(f"Retry(statuses=...): {status} is no status of a response, 200 to 599")
    if 407 in statuses:
        raise ValueError("Retry(statuses=...): a 407 is final, for the proxy would say the same again; give Proxy(auth=...)")
    return statuses
