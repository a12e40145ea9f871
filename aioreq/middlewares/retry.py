"""Tries again what failed before it could have had an effect, or can safely have it twice (RFC 9110 section 9.2.2)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..config import Retry
from ..errors import CertificateError, ConnectError, ConnectionLost, ProxyError
from ..models import Request, Response, StreamResponse
from .base import MiddleWare

if TYPE_CHECKING:
    from ..client import Client

__all__ = ["RetryMiddleWare"]


class RetryMiddleWare(MiddleWare):
    """By the request's `Retry`: no connection, or one that was lost before any byte of the response.

    A 417 to `Expect: 100-continue` is answered without that field, once (RFC 9110 section 10.1.1); it doesn't count.
    """

    async def process(self, request: Request, client: Client) -> Response | StreamResponse:
        attempt = request
        failed = 0
        while True:
            try:
                response = await self.next_middleware.process(attempt, client)
                if response.status != 417 or not attempt.expects_continue or not attempt.replayable:
                    return response
                response.drop()
                request = request.replace()
                request.remove_fields("Expect")
                pause = 0.0
            except (ConnectError, ConnectionLost) as error:
                failed += 1
                retry = request.terms.retry
                if failed > retry.attempts or not _may_retry(request, error, retry):
                    if failed > 1:
                        error.add_note(f"attempt {failed} of at most {retry.attempts + 1}")
                    raise
                pause = _pause(retry, failed)
                if request.deadline is not None and request.deadline.left(asyncio.get_running_loop().time()) <= pause:
                    error.add_note(f"attempt {failed}; the total limit of {request.deadline.seconds:g} s leaves no time for another")
                    raise
            await client.pool().pause(pause)
            attempt = request.replace()


def _may_retry(request: Request, error: ConnectError | ConnectionLost, retry: Retry) -> bool:
    if isinstance(error, CertificateError) or (isinstance(error, ConnectionLost) and error.response_started):
        return False
    if isinstance(error, ProxyError) and error.status is not None and error.status < 500:
        return False  # it will say the same again: 407 wants credentials, 403 doesn't want this host
    return request.method in retry.methods and request.replayable


def _pause(retry: Retry, failed: int) -> float:
    import random  # it costs each start more than a pause ever will

    longest: float = min(retry.backoff * 2 ** min(failed - 1, 32), retry.max_wait)
    return longest * random.uniform(0.5, 1)
