"""The values that say what is tried again: `Retry`, its checks; `RetryBudget`, its sums; what a Retry-After asks for."""

from __future__ import annotations

import dataclasses
import re
import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import pytest

import aioreq.retries
from aioreq import Client, Retry, RetryBudget
from aioreq.config import IDEMPOTENT, UNSET
from aioreq.request_options import RequestOptions
from aioreq.retry_after import http_date, retry_after

pytestmark = pytest.mark.no_loop


def refused(kind: type[Exception], message: str, make: Any, **options: Any) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        make(**options)


# --- Retry ---


def test_defaults() -> None:
    plain = Retry(
        attempts=2,
        methods=IDEMPOTENT,
        statuses=(),
        backoff=0.1,
        max_wait=30,
        respect_retry_after=True,
        when=None,
        budget=UNSET,
    )
    assert Retry() == plain
    assert {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"} == IDEMPOTENT
    assert {429, 502, 503, 504} == Retry.TRANSIENT


@pytest.mark.parametrize(("value", "attempts"), [(None, 0), (0, 0), (1, 1), (Retry(attempts=7), 7)])
def test_of(value: Any, attempts: int) -> None:
    assert Retry.of(value).attempts == attempts


@pytest.mark.parametrize("value", ["1", 1.0, True, False, ()])
def test_of_something_else(value: Any) -> None:
    with pytest.raises(TypeError, match=rf"Retry\(attempts=\.\.\.\) takes a whole number, not {type(value).__name__}"):
        Retry.of(value)


def test_values_are_named() -> None:
    refused(ValueError, "Retry(attempts=-1): must be at least 0", Retry, attempts=-1)
    assert Retry(backoff=0, max_wait=0) == Retry(backoff=0.0, max_wait=0.0)
    for name in ("backoff", "max_wait"):
        refused(TypeError, f"Retry({name}=None): give seconds", Retry, **{name: None})
        refused(TypeError, f"Retry({name}=...) takes seconds", Retry, **{name: "1"})
        refused(ValueError, f"Retry({name}=-1)", Retry, **{name: -1})
        refused(ValueError, f"Retry({name}=inf) has no end", Retry, **{name: float("inf")})
    refused(TypeError, "Retry(budget=...) takes a RetryBudget or None, not float", Retry, budget=0.1)
    refused(TypeError, "Retry(when=...) takes a function of a response or an error, not int", Retry, when=503)
    with pytest.raises(TypeError, match="unexpected keyword argument 'conect'"):
        Retry(conect=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", ["when", "backoff"])
def test_functions_are_plain(name: str) -> None:
    async def later(given: object) -> float:
        return 1

    class Later:
        async def __call__(self, given: object) -> float:
            return 1

    for given in (later, Later()):
        refused(TypeError, f"Retry({name}=...) takes a plain function", Retry, **{name: given})


def test_methods() -> None:
    methods: Any
    for methods in (["GET", "POST"], {"GET", "POST"}, ("POST", "GET", "GET"), iter(["GET", "POST"])):
        assert Retry(methods=methods).methods == frozenset({"GET", "POST"})
    both = Retry(methods={"post", "Purge"}).methods  # as the verbs send them, and as a Request of one's own says
    assert both == {"post", "POST", "Purge", "PURGE"}
    methods = {1}
    refused(TypeError, "Retry(methods=...) takes names of methods, not int", Retry, methods=methods)
    refused(TypeError, "Retry(methods='GET'): give a set of method names", Retry, methods="GET")
    refused(TypeError, "Retry(methods=None): give a set of method names", Retry, methods=None)


def test_statuses() -> None:
    statuses: Any
    for statuses in ([502, 503], {502, 503}, range(502, 504), iter([503, 502]), [HTTPStatus(502), 503]):
        assert Retry(statuses=statuses).statuses == frozenset({502, 503})
    for statuses in (503, None, "503", b"503"):
        refused(TypeError, f"Retry(statuses={statuses!r}): give a set of status codes", Retry, statuses=statuses)
    for statuses in (["503"], [True], [503.0]):
        refused(TypeError, "Retry(statuses=...) takes status codes, not", Retry, statuses=statuses)
    for statuses in ([100], [600], [-1]):
        refused(ValueError, f"{statuses[0]} is no status of a response", Retry, statuses=statuses)
    refused(ValueError, "a 407 is final", Retry, statuses=range(400, 500))


def test_it_is_frozen_comparable_and_usable_as_a_key() -> None:
    value = Retry(attempts=3, statuses={503})
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.attempts = 1  # type: ignore[misc]
    assert {value: 1}[dataclasses.replace(value)] == 1
    assert Retry(budget=RetryBudget()) != Retry(budget=RetryBudget())


# --- RetryBudget ---


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(aioreq.retries, "monotonic", clock)
    return clock


def granted(budget: RetryBudget, asked: int = 10_000) -> int:
    return sum(budget.spend() for _ in range(asked))


def test_a_budget_begins_full_and_fills_by_the_second(clock: Clock) -> None:
    budget = RetryBudget(ratio=0, per_second=4, burst=50)
    assert (budget.tokens, budget.short) == (50, False)
    clock.now += 1000  # what is full stays so
    assert granted(budget) == 50
    assert budget.short
    clock.now += 2.5
    assert budget.tokens == 10
    assert granted(budget) == 10
    clock.now += 1000
    assert granted(budget) == 50


def test_a_budget_fills_by_successes(clock: Clock) -> None:
    budget = RetryBudget(ratio=0.25, per_second=0, burst=5)
    assert granted(budget) == 5
    for _ in range(3):
        budget.gain()
    assert granted(budget) == 0
    budget.gain()
    assert granted(budget) == 1
    for _ in range(20):
        assert budget.short
        budget.gain()
    assert not budget.short  # full: successes needn't tell any more
    assert granted(budget) == 5


def test_a_budget_of_nothing_grants_nothing(clock: Clock) -> None:
    budget = RetryBudget(burst=0)
    clock.now += 100
    budget.gain()
    assert granted(budget) == 0
    assert not budget.short


def test_the_values_of_a_budget_are_named() -> None:
    assert repr(RetryBudget()) == "RetryBudget(ratio=0.1, per_second=10, burst=100)"
    refused(ValueError, "RetryBudget(ratio=-1)", RetryBudget, ratio=-1)
    refused(TypeError, "RetryBudget(ratio=None): give a number", RetryBudget, ratio=None)
    refused(ValueError, "RetryBudget(per_second=inf) has no end", RetryBudget, per_second=float("inf"))
    refused(TypeError, "RetryBudget(burst=...) takes a whole number", RetryBudget, burst=1.5)


def test_whose_budget_it_is() -> None:
    own = RetryBudget()
    for retry, expected in ((Retry(budget=own), own), (Retry(budget=None), None)):
        settings = Client(retry=retry).settings
        assert settings.terms.retry.budget is expected
        # A request's own attempts don't leave the client's budget; its own budget does.
        assert settings.new_request("GET", "http://h/", RequestOptions(retry=5)).retry == Retry(attempts=5, budget=expected)
        assert settings.new_request("GET", "http://h/", RequestOptions(retry=Retry(budget=None))).retry.budget is None
    first, second = Client().settings.terms.retry, Client().settings.terms.retry
    assert isinstance(first.budget, RetryBudget)
    assert first.budget is not second.budget


# --- Retry-After ---

MOMENT = 784111777.0  # of RFC 9110 section 5.6.7


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("007", 7),
        ("1.5", 1.5),
        ("-5", 0),
        ("9" * 5000, float("inf")),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 30),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 30),
        ("Sun Nov  6 08:49:37 1994", 30),
        ("Sun, 06 Nov 1994 08:48:37 GMT", 0),
        ("Sun, 06 Nov 1994 08:49:60 GMT", 53),
        *((garbage, None) for garbage in ("", "soon", "+5", "1_0", "5s", "1e3", "0x10", "\u0665", "12 13", "1,5", "inf", "nan", "5;q=1")),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after(value, "Sun, 06 Nov 1994 08:49:07 GMT") == seconds


@pytest.mark.parametrize("date", [None, "yesterday", ""])
def test_without_the_date_of_the_response_this_machines_clock_counts(date: str | None) -> None:
    due = datetime.fromtimestamp(time.time() + 1000, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    seconds = retry_after(due, date)
    assert seconds is not None
    assert 900 < seconds <= 1000


@pytest.mark.parametrize(
    "value",
    [
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37",
        "06 Nov 1994 08:49:37 GMT",
        "Sun, 06-Nov-1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov  6 08:49:37 1994 GMT",
        "1994-11-06T08:49:37Z",
        "Sun, 06 Nov 1994 08:49:37 GMT\n",
    ],
)
def test_what_is_no_http_date(value: str) -> None:
    assert http_date(value) is None


@pytest.mark.parametrize("ahead", [-49, -30, 0, 1, 49, 51, 60])
def test_two_digits_of_a_year_are_of_the_nearest_century(ahead: int) -> None:
    year = datetime.now(UTC).year + ahead
    found = http_date(f"Sunday, 06-Nov-{year % 100:02} 08:49:37 GMT")
    assert found is not None
    assert datetime.fromtimestamp(found, UTC).year == (year if ahead <= 50 else year - 100)
