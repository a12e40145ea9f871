"""`Client.download`: a file by as many requests as it takes, one after another or several side by side.

Stands on the public client: a request for the whole, and for what is missing a Range with If-Range (RFC 9110 sections 13.1.5 and 14).
What a response says of its file, and how it gets there, is saving.py's; what is kept of it on the disk, partial_file.py's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from .config import check_count
from .errors import AioreqError, ConnectionLost, ReadTimeout, RemoteProtocolError, StatusError
from .headers import text
from .middlewares.retry import backoff
from .partial_file import PartialFile, Piece, check_target
from .saving import (
    Download,
    TooSlow,
    check_declared,
    checked_digest,
    checked_speed,
    content_range,
    declared_length,
    explicit_target,
    finished,
    named_target,
    receive,
    source_of,
    validator_of,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from yarl import URL

    from .client import Client
    from .request_options import RequestOptions
    from .response import StreamResponse

__all__ = ["download"]

LEAST_PIECE = 256 * 1024  # bytes that are worth a connection of their own


class _AskAgain(Exception):
    """What was asked for doesn't fit what is here: begin again, `anew` or with what was found on the disk."""

    def __init__(self, *, anew: bool = True, lied: bool = False) -> None:
        super().__init__()
        self.anew = anew
        self.lied = lied


async def download(
    client: Client,
    url: str | URL,
    path: str | os.PathLike[str],
    *,
    resume: bool,
    sha256: str | None,
    ranges: int,
    overwrite: bool | None,
    min_speed: Sequence[float] | None,
    options: RequestOptions,
) -> Download:
    """What `Client.download` does."""
    check_count("download", "ranges", ranges, 1)
    digest, speed = checked_digest(sha256), checked_speed(min_speed)
    return await _Fetch(client, url, path, resume, ranges, overwrite, speed, options).run(digest)


class _Fetch:
    """The state of one download: its file, once that has a name, and the pieces that nobody fetches yet."""

    def __init__(
        self,
        client: Client,
        url: str | URL,
        path: str | os.PathLike[str],
        resume: bool,
        ranges: int,
        overwrite: bool | None,
        min_speed: tuple[float, float] | None,
        options: RequestOptions,
    ) -> None:
        request = client.settings.new_request("GET", url, options)
        if request.sets("range") or request.sets("if-range"):
            raise ValueError("a download asks for ranges itself: leave Range and If-Range to it")
        if not request.sets("accept-encoding"):
            request.add_field("Accept-Encoding", "identity")  # a range is one of the bytes as they are sent
        if request.terms.raise_for_status:
            request.raise_for_status = False  # a 416 may be good news
        self._progress, request.progress = request.progress, None
        self._request = request
        self._client = client
        self._path = path
        self._resume = resume
        self._ranges = ranges
        self._overwrite = overwrite is not False
        self._given_overwrite = overwrite
        self._min_speed = min_speed
        self._ranged = True  # until the server answers what doesn't fit
        self._file: PartialFile | None = None
        self._todo: deque[Piece] = deque()
        self._group: asyncio.TaskGroup
        self._helpers: list[asyncio.Task[None]]
        self._last: StreamResponse | None = None

    async def run(self, digest: str | None) -> Download:
        target = explicit_target(self._path)
        try:
            if target is not None:
                check_target(target, self._overwrite)
                if self._resume:  # what is there says what to ask for
                    self._file = PartialFile(target, source_of(self._request), keep=True)
            again = 0
            while (failure := await self._fetch()) is not None:
                again += 1
                if failure.lied or again > 2:
                    self._ranged = False  # from now on there is nothing that could not fit
                if failure.anew and self._file is not None:
                    self._file.begin(None, None)
            assert self._file is not None
            assert self._last is not None
            return await finished(self._file, self._last, digest, self._overwrite)
        except AioreqError as error:
            if self._file is not None and not self._file.ended:
                error.add_note(self._standing(self._file))
            raise
        finally:
            if self._file is not None:
                self._file.end()
            if self._last is not None:
                self._last.abort()

    def _standing(self, file: PartialFile) -> str:
        of = "" if file.total is None else f" of {file.total}"
        return f"{file.done}{of} bytes are here" + (f"; they are kept for resume=True in {file.path}" if file.worth_keeping else "")

    async def _fetch(self) -> _AskAgain | None:
        """Fetch whatever is missing; what is given back asks for another try."""
        self._todo = deque(self._missing())
        task = asyncio.current_task()
        cancelled = 0 if task is None else task.cancelling()
        failure: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as self._group:
                self._helpers = []
                self._help(len(self._todo) - 1)
                await self._work()
                # Waited for in here: a failure that finds us at the group's end counts as a cancellation for ever, before Python 3.13.
                if self._helpers:
                    await asyncio.wait(self._helpers)
        except BaseExceptionGroup as group:
            failure = next((error for error in group.exceptions if isinstance(error, _AskAgain)), group.exceptions[0])
        finally:
            del self._group, self._helpers
        if task is not None and task.cancelling() > cancelled:  # which a group that has errors forgets, there too
            await asyncio.sleep(0)  # since then it asks for it once more: here it comes
            raise asyncio.CancelledError
        # Raised out here, so that it doesn't hold the group that holds it.
        if failure is None or isinstance(failure, _AskAgain):
            return failure
        try:
            raise failure
        finally:
            del failure

    def _missing(self) -> list[Piece]:
        if self._file is None:
            return [Piece()]
        missing = [piece for piece in self._file.pieces if not piece.whole]
        if not missing:  # all there, but under its name: is it still what the server has?
            total = self._file.done
            self._file.pieces = [Piece(0, total, total)]
            return self._file.pieces
        return missing

    def _help(self, most: int) -> None:
        for _ in range(min(most, self._ranges - 1)):
            self._helpers.append(self._group.create_task(self._work()))

    async def _work(self) -> None:
        while self._todo:
            await self._bring(self._todo.popleft())

    async def _bring(self, piece: Piece) -> None:
        """One piece whole, by as many requests as it takes: where a connection is lost another one goes on."""
        failed, best = 0, piece.at
        while True:
            response: StreamResponse | None = None
            pause: float | None = None
            try:
                response = await self._ask(piece)
                if response is None:
                    return
                if await self._received(response, piece):
                    return
            except (ConnectionLost, ReadTimeout) as error:
                failed = 1 if piece.at > best and not isinstance(error, TooSlow) else failed + 1
                best = max(best, piece.at)
                pause = self._pause(error, failed)
                if pause is None:
                    raise
                error.__traceback__ = None  # it holds the body's frame, and the body the error: buffers would wait for the collector
            finally:
                if response is not None:
                    response.abort()
                del response
            if pause is not None:
                await self._client.pool().pause(pause)

    def _pause(self, error: AioreqError, failed: int) -> float | None:
        """Seconds until the next request of this piece; None where there shall be none."""
        request = self._request
        retry = request.terms.retry
        if isinstance(error, ConnectionLost) and not error.response_started:
            return None  # the client has tried that again already
        if failed > retry.attempts or "GET" not in retry.methods:
            return None
        pause = backoff(retry, failed)
        deadline = request.deadline
        if deadline is not None and deadline.left(asyncio.get_running_loop().time()) <= pause:
            return None
        budget = retry.budget
        return pause if not budget or budget.spend() else None

    async def _received(self, response: StreamResponse, piece: Piece) -> bool:
        """Whether the piece is whole now."""
        file = self._file
        assert file is not None
        covered = content_range(response) if response.status == 206 else None
        end = piece.end if covered is None or covered.last is None else covered.last + 1
        self._tell()
        more = await receive(response, file, piece, self._tell, end=end, min_speed=self._min_speed)
        if covered is not None and (more or piece.at != end):
            raise _AskAgain(lied=True)  # more or less than it said
        if piece.end is None and covered is None:  # the end of a body without a length
            piece.end = file.total = piece.at
        return piece.whole

    def _tell(self) -> None:
        if self._progress is not None and self._file is not None:
            self._progress(self._file.done, self._file.total)

    # -- a request and what it is answered

    async def _ask(self, piece: Piece) -> StreamResponse | None:
        """The response whose body goes on where the piece stands; None where there is nothing behind that."""
        request = self._request.replace()
        file = self._file
        asked = self._ranged and file is not None and file.validator is not None and (piece.at > 0 or len(file.pieces) > 1)
        if asked and file is not None and file.validator is not None:
            last = "" if piece.end in (None, file.total) else str((piece.end or 0) - 1)
            request.add_field("Range", f"bytes={piece.at}-{last}")
            request.add_field("If-Range", file.validator)
        response = await self._client.start_stream(request)
        try:
            self._last = response
            if asked and response.status in (206, 416):
                return self._continued(response, piece)
            if response.status in (200, 203):
                if file is not None and len(file.pieces) > 1:
                    raise _AskAgain
                self._begin(response, piece)
                return response
            await response.raise_for_status()
            if response.status == 206:
                raise RemoteProtocolError(f"{request.host} answered 206 where no range was asked for", request=response.request)
            raise StatusError(
                f"GET {request.host}{response.url.raw_path}: {response.status} {response.status_message} is no file".replace("  ", " "),
                request=response.request,
                response=response,
            )
        except BaseException:
            response.abort()
            raise

    def _continued(self, response: StreamResponse, piece: Piece) -> StreamResponse | None:
        """The response, where it fits what is here; else _AskAgain."""
        file = self._file
        assert file is not None
        covered = content_range(response)
        if response.status == 416:
            alone = len(file.pieces) == 1 and covered is not None
            if alone and covered is not None and covered.first is None and covered.total == piece.at and self._same(response):
                piece.end = file.total = piece.at
                response.abort()
                return None
            raise _AskAgain(lied=True)
        fits = (
            covered is not None
            and covered.first == piece.at
            and covered.last is not None
            and (piece.end is None or covered.last < piece.end)
            and (covered.total is None or file.total in (None, covered.total))
            and (response.field(b"content-length") is None or declared_length(response) == covered.last + 1 - piece.at)
            and response.field(b"content-encoding") is None
            and not (response.field(b"content-type") or b"").lower().startswith(b"multipart/byteranges")
            and self._same(response)
        )
        if not fits or covered is None:
            raise _AskAgain(lied=True)
        if file.total is None and covered.total is not None:
            piece.end = file.total = covered.total
            check_declared(file, response)
            file.save_state()
        return response

    def _same(self, response: StreamResponse) -> bool:
        """Whether it is of the representation that is here, as far as it says (RFC 9110 section 15.3.7)."""
        assert self._file is not None
        validator = self._file.validator or ""
        own = response.field(b"etag" if validator.startswith('"') else b"last-modified")
        return own is None or text(own) == validator

    def _begin(self, response: StreamResponse, piece: Piece) -> None:
        """The whole file comes: from its start, whatever is here."""
        total, validator = declared_length(response), validator_of(response)
        if self._file is None:
            self._overwrite, target = named_target(self._path, response, self._given_overwrite)
            check_target(target, self._overwrite)
            self._file = PartialFile(target, source_of(self._request), keep=self._resume)
            found = self._file
            if self._ranged and found.done and found.validator == validator and found.total in (None, total):
                raise _AskAgain(anew=False)  # for the rest only
        file = self._file
        file.pieces = [piece]
        file.begin(validator, total)
        check_declared(file, response)
        count = min(self._ranges, (total or 0) // LEAST_PIECE)
        ranges = (response.field(b"accept-ranges") or b"").strip().lower()
        if count > 1 and self._ranged and validator is not None and ranges == b"bytes":
            self._todo.extend(file.split(count))
            self._help(count - 1)
