"""Tries again what failed before it could have had an effect, or can safely have it twice (RFC 9110 section 9.2.2)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..config import UNSET, check_seconds
from ..errors import AioreqError, CertificateError, ClientClosed, ConnectError, ConnectionLost, GuardError, ProxyError
from ..headers import text
from ..models import Request, Response, StreamResponse
from .base import MiddleWare

if TYPE_CHECKING:
    from ..client import Client
    from ..retries import Retry, RetryBudget

__all__ = ["RetryMiddleWare", "backoff", "is_final", "seconds_asked"]

_SHOWN = 200  # characters of what an earlier attempt failed with


class RetryMiddleWare(MiddleWare):
    """By the request's `Retry`; what became of the attempts stands in `attempts` of the response, or of the error and in its notes.

    A 417 to `Expect: 100-continue` is answered without that field, once (RFC 9110 section 10.1.1); it doesn't count.
    """

    async def process(self, request: Request, client: Client) -> Response | StreamResponse:
        retry = request.terms.retry
        attempt = request
        call: _Call | None = None
        while True:
            try:
                response = await self.next_middleware.process(attempt, client)
            except AioreqError as error:
                call = call or _Call(request, client)
                pause = call.pause_after(error)
                if pause is None:
                    call.tell(error)
                    raise
            else:
                if response.status not in retry.watched:
                    budget = retry.budget
                    if budget and budget.short:
                        budget.gain()
                    if call is not None:
                        response.attempts = tuple(call.lines)
                    return response
                if response.status == 417 and attempt.expects_continue and attempt.replayable:
                    request = request.replace()
                    request.remove_fields("Expect")
                    pause = 0.0
                else:
                    call = call or _Call(request, client)
                    try:
                        pause = call.pause_after(response)
                    except BaseException:  # of a function of the user's own
                        response.drop()
                        raise
                    if pause is None:
                        response.attempts = tuple(call.lines)
                        return response
                response.drop()
                del response  # its buffers needn't wait, too
            try:
                await client.pool().pause(pause)
            except ClientClosed as error:
                if call is not None:
                    call.tell(error)
                raise
            attempt = request.replace()


class _Call:
    """What has failed of one call so far, from its first failure on: words alone, for an error's traceback would hold all it met."""

    __slots__ = ("_client", "_request", "_retry", "lines")

    def __init__(self, request: Request, client: Client) -> None:
        self._request = request
        self._retry = request.terms.retry
        self._client = client
        self.lines: list[str] = []

    def pause_after(self, failure: AioreqError | Response | StreamResponse) -> float | None:
        """Seconds until the next attempt; None where this outcome is the last, and `lines` say why."""
        retry = self._retry
        counted = f"attempt {len(self.lines) + 1}"
        if not self._wanted(failure):
            if isinstance(failure, AioreqError):
                if self.lines:
                    self.lines.append(f"{counted} of at most {retry.attempts + 1}; what it failed with is not tried again")
            elif failure.status not in retry.statuses and (budget := self._budget()):
                budget.gain()
            return None
        said = _said(failure)
        pause = self._pause(failure)
        if isinstance(pause, float):
            self.lines.append(f"{counted}: {said}; tried again after {pause:.3g} s")
            return pause
        outcome = "" if isinstance(failure, AioreqError) else f": {said}"
        self.lines.append(f"{counted} of at most {retry.attempts + 1}{outcome}{pause and f'; {pause}'}")
        return None

    def tell(self, error: AioreqError) -> None:
        """Write into the last error what became of each attempt."""
        error.attempts = tuple(self.lines)
        for line in self.lines:
            error.add_note(line)

    def _wanted(self, failure: AioreqError | Response | StreamResponse) -> bool:
        """Whether this is what the request's `Retry` is for, and could have no effect that it shouldn't have twice."""
        request, retry = self._request, self._retry
        unsent = False
        if not retry.attempts:
            return False
        if not isinstance(failure, AioreqError):
            if failure.status == 407:
                return False
            usual = failure.status in retry.statuses
        elif is_final(failure):
            return False
        else:
            usual = isinstance(failure, ConnectError) or (isinstance(failure, ConnectionLost) and not failure.response_started)
            unsent = isinstance(failure, ConnectError) and self._is_of_first_hop(failure)
        if not (unsent or request.method in retry.methods or request.field("idempotency-key")):
            return False
        return usual or (retry.when is not None and bool(retry.when(failure)))

    def _is_of_first_hop(self, error: AioreqError) -> bool:
        """Whether it is this request that failed and not what followed: a POST may have had its effect, and redirect to a dead host."""
        sent, request = error.request, self._request
        return not error.redirects and sent is not None and sent.method == request.method and sent.url == request.url

    def _pause(self, failure: AioreqError | Response | StreamResponse) -> float | str:
        """The seconds to wait; or why there is no other attempt, in words, empty where all have been made."""
        retry, request = self._retry, self._request
        failed = len(self.lines) + 1
        if failed > retry.attempts:
            return ""
        if not request.replayable:
            return "the request body was read already and can't be sent again: give bytes, a list or a file instead of a generator"
        asked = self._asked(failure)
        if asked > retry.max_wait:
            return f"Retry-After asks for {asked:.6g} s, and Retry(max_wait={retry.max_wait:g}) waits no longer"
        pause = min(asked + backoff(retry, failed), retry.max_wait)
        deadline = request.deadline
        if deadline is not None and deadline.left(asyncio.get_running_loop().time()) <= pause:
            return f"the total limit of {deadline.seconds:g} s leaves no time for another"
        budget = self._budget()
        if budget is not None and not budget.spend():
            return f"the retries of all requests are used up for now: {budget!r}"
        return float(pause)

    def _asked(self, failure: AioreqError | Response | StreamResponse) -> float:
        """The seconds that a response asks to wait."""
        return 0 if isinstance(failure, AioreqError) or not self._retry.respect_retry_after else seconds_asked(failure)

    def _budget(self) -> RetryBudget | None:
        budget = self._retry.budget
        if budget is UNSET:  # of a Retry that another link gave to this request
            budget = self._client.settings.terms.retry.budget
        return budget or None


def backoff(retry: Retry, failed: int) -> float:
    if not callable(retry.backoff):
        import random  # it costs each start more than a pause ever will

        return random.uniform(0, min(retry.max_wait, retry.backoff * 2 ** min(failed - 1, 32)))
    seconds: float | None = retry.backoff(failed)
    if seconds is None:
        raise TypeError("Retry(backoff=...): the function returns None, not seconds")
    check_seconds("Retry", "backoff", seconds)
    return seconds


def is_final(error: AioreqError) -> bool:
    """Whether whoever tries again is told the same."""
    if isinstance(error, ProxyError):  # 407 wants credentials, 403 doesn't want this host
        return error.status is not None and error.status < 500
    return isinstance(error, GuardError | CertificateError | ClientClosed)


def seconds_asked(response: Response | StreamResponse) -> float:
    """What its Retry-After asks for; 0 without one."""
    value = response.field(b"retry-after")
    if value is None:
        return 0
    from ..retry_after import retry_after

    date = response.field(b"date")
    return retry_after(text(value), None if date is None else text(date)) or 0


def _said(failure: AioreqError | Response | StreamResponse) -> str:
    if isinstance(failure, AioreqError):
        said = f"{type(failure).__name__}: {failure}"
    else:
        said = f"{failure.status} {failure.status_message}".rstrip()
        if (value := failure.field(b"retry-after")) is not None:
            said += f" (Retry-After: {text(value)})"
    return said if len(said) <= _SHOWN else f"{said[:_SHOWN]}..."
