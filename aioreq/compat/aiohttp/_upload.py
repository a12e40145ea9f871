"""UploadTracker: how far the body of one call is, told by the core's progress and by the end of its pieces. Sends nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial

from ...models import Request
from ...request_body import StreamedBody
from .client_exceptions import UploadAbortedError

__all__ = ["UploadTracker"]


class UploadTracker:
    """How far the body of one call is: give a new one as `upload_tracker`, inside a running event loop.

    `bytes_written` of the body have gone out in the latest of `attempts` (redirects and resends each make one); `upload_complete` is
    resolved once the body was sent as a whole, or gets the error of what stopped it: UploadAbortedError where the call ended first.
    Errors: RuntimeError where it is given to a second call.
    """

    def __init__(self) -> None:
        self.attempts = 0
        self.upload_complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._bytes_written = 0
        self._bound = False
        self._over = False  # no attempt will follow
        self._sending = False
        self._sent = False
        self._error: Exception | None = None

    @property
    def bytes_written(self) -> int:
        """Bytes of the body that have gone out in this attempt, before any compression of the transport's."""
        return self._bytes_written

    def _bind(self) -> None:
        if self._bound:
            raise RuntimeError("UploadTracker is already bound to a request")
        self._bound = True

    def _watch(self, request: Request) -> None:
        """Follow one attempt, which is about to begin."""
        self.attempts += 1
        self._bytes_written = 0
        self._sending = False
        self._error = None
        body = request.body
        self._sent = not body
        if body:
            length = len(body) if isinstance(body, bytes) else body.length
            replayable = isinstance(body, bytes) or body.replayable
            request.content = StreamedBody(partial(self._pieces, body, self.attempts), length, replayable)  # type: ignore[assignment]
            request.progress = partial(self._progress, self.attempts)

    def _progress(self, attempt: int, done: int, total: int | None) -> None:
        if attempt == self.attempts:
            self._bytes_written = done

    async def _pieces(self, body: bytes | StreamedBody, attempt: int) -> AsyncIterator[bytes]:
        self._sending = attempt == self.attempts
        error: Exception | None = None
        whole = False
        try:
            if isinstance(body, bytes):
                yield body
            else:
                async with contextlib.aclosing(body.chunks()) as chunks:  # type: ignore[type-var]
                    async for chunk in chunks:
                        yield chunk
            whole = True
        except Exception as failure:
            error = failure
            raise
        finally:
            if attempt == self.attempts:
                self._sending, self._sent, self._error = False, whole, error
                if self._over:
                    self._settle()

    def _finish(self) -> None:
        """The call is over; an upload that still goes on tells how that ends."""
        self._over = True
        if not self._sending:
            self._settle()

    def _settle(self) -> None:
        if self.upload_complete.done():
            return
        if self._sent:
            self.upload_complete.set_result(None)
        else:
            self.upload_complete.set_exception(self._error or UploadAbortedError("The request body was not fully sent"))
            self.upload_complete.exception()  # known: it may only be asked whether it is done
