"""Cancels a coroutine at the n-th time that it suspends, or at given awaits, and tells at which awaits of the package it then stood.

A `Cancelling` steps a request's coroutine itself, counts where it suspends, and cancels the task at the n-th suspension: at once, some
turns of the loop later, in the very tick in which what it waits for arrives, or after a while. Where every frame stood at that moment
is looked up among the awaits of the package's source.
"""

from __future__ import annotations

import ast
import asyncio
import functools
import gc
import types
from collections import Counter
from collections.abc import Coroutine, Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aioreq

PACKAGE = Path(aioreq.__file__).parent
# The way of a request; the rest of the package stands on it, and has tests of its own.
MODULES = (
    *("auth.py", "bearer.py", "client.py", "compression.py", "dialer.py", "dns.py", "download.py", "event_stream.py", "multipart.py"),
    *(
        "multipart_reader.py",
        "netrc.py",
        "opener.py",
        "partial_file.py",
        "pieces.py",
        "pool.py",
        "protection.py",
        "request_body.py",
        "resolvers.py",
    ),
    *("response.py", "response_body.py", "saving.py", "sendfile.py", "sse.py", "stream_client.py", "stream_context.py", "text_stream.py"),
    *("threads.py", "tls.py", "tls_transport.py", "tunnel.py", "upload.py"),
    *sorted(path.relative_to(PACKAGE).as_posix() for folder in ("middlewares", "websocket") for path in (PACKAGE / folder).glob("*.py")),
)


# -- the awaits of the source, and where a coroutine stands


class Place(NamedTuple):
    """One await of the source: what it is, in which function, and where the code of it stands."""

    module: str
    function: str
    code: str
    start: tuple[int, int]
    end: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.module}:{self.start[0]} {self.function}: {self.code}"


class _Finder(ast.NodeVisitor):
    def __init__(self, module: str) -> None:
        self.module = module
        self.function = ""
        self.places: list[Place] = []

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        outer, self.function = self.function, node.name
        self.generic_visit(node)
        self.function = outer

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith):
            code = ast.unparse(node).splitlines()[0].removesuffix(":")
            end = (node.end_lineno or 0, node.end_col_offset or 0)
            self.places.append(Place(self.module, self.function, code, (node.lineno, node.col_offset), end))
        super().generic_visit(node)


@functools.cache
def places() -> dict[str, list[Place]]:
    """By file name, the innermost ones first."""
    found: dict[str, list[Place]] = {}
    for module in MODULES:
        path = PACKAGE / module
        finder = _Finder(module)
        finder.visit(ast.parse(path.read_text()))
        found[str(path)] = sorted(finder.places, key=lambda place: (-place.start[0], -place.start[1], place.end))
    return found


@functools.cache
def _positions(code: types.CodeType) -> list[tuple[int | None, int | None, int | None, int | None]]:
    return list(code.co_positions())


@functools.cache
def _place(code: types.CodeType, instruction: int) -> Place | None:
    line, end_line, column, end_column = _positions(code)[instruction // 2]
    assert line is not None
    for place in places().get(code.co_filename, ()):
        if place.start <= (line, column or 0) and (end_line or 0, end_column or 0) <= place.end:
            return place
    return None


def standing_at(awaited: Any) -> Iterator[Place]:
    """The awaits at which a coroutine, and whatever it waits for, is suspended."""
    while awaited is not None:
        frame, inner = None, None
        if isinstance(awaited, types.CoroutineType):
            frame, inner = awaited.cr_frame, awaited.cr_await
        elif isinstance(awaited, types.AsyncGeneratorType):
            frame, inner = awaited.ag_frame, awaited.ag_await
        elif isinstance(awaited, types.GeneratorType):
            frame, inner = awaited.gi_frame, awaited.gi_yieldfrom
        elif not isinstance(awaited, asyncio.Future):
            # What drives an asynchronous generator (`asend`, `anext` with a default, ...) doesn't say which.
            kinds = (types.CoroutineType, types.AsyncGeneratorType)
            within = gc.get_referents(awaited)
            inner = next((one for one in within if isinstance(one, kinds) or type(one).__name__.startswith("async_generator")), None)
        if frame is not None:
            if (place := _place(frame.f_code, frame.f_lasti)) is not None:
                yield place
            for task in _tasks_of(frame):
                yield from standing_at(task.get_coro())
        awaited = inner


def _tasks_of(frame: types.FrameType) -> list[asyncio.Task[Any]]:
    """The tasks that end with the function of a frame when that is cancelled."""
    if frame.f_code.co_filename in places():
        held = frame.f_locals
        match frame.f_code.co_name:
            case "send" if (connection := held.get("connection")) is not None:
                upload = connection._upload
                return [] if upload is None or upload._task is None else [upload._task]
            case "_fetch" if (group := getattr(held.get("self"), "_group", None)) is not None:
                return list(group._tasks)
            case "_race":
                return list(held.get("running", ()))
            case "lookup" | "_fetched" if (
                flight := held.get("flight")
            ) is not None and flight.waiters == 1:  # more, and it outlives this one
                return [flight.task]
    return []


# -- cancelling

How = str | int | float  # "arrival": in the tick in which it arrives; an int: after so many turns; a float: after so many seconds


class Cancelling:
    """Awaits a coroutine, and cancels its own task at the suspensions of `plan`, or as soon as it stands at one of the `aims`.

    `reached` counts the awaits at which it did; `passed` collects those at which the coroutine was seen, best where there is no plan.
    """

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, None],
        plan: dict[int, How],
        reached: Counter[Place],
        aims: frozenset[Place] = frozenset(),
        passed: set[Place] | None = None,
    ) -> None:
        self.coroutine = coroutine
        self.plan = plan
        self.reached = reached
        self.aims = aims
        self.passed = passed
        self.suspensions = 0
        self.cancelled = 0
        self.task: asyncio.Task[Any] | None = None

    def __await__(self) -> Generator[Any, None, None]:
        self.task = asyncio.current_task()
        error: BaseException | None = None
        while True:
            try:
                waited = self.coroutine.send(None) if error is None else self.coroutine.throw(error)
            except StopIteration:
                return
            error = None
            self.suspensions += 1
            if (how := self.plan.get(self.suspensions)) is not None:
                self.arrange(how, waited)
            if self.aims or not self.plan:
                self.look(again=self.suspensions == 1)
            elif self.passed is not None:
                self.passed.update(standing_at(self.coroutine))
            try:
                yield waited
            except BaseException as raised:
                error = raised

    def arrange(self, how: How, waited: asyncio.Future[Any] | None) -> None:
        loop = asyncio.get_running_loop()
        if how == "arrival" and waited is not None:
            waited.add_done_callback(lambda _: self.cancel())  # stands in line before the task's own waking
        elif isinstance(how, float):
            loop.call_later(how, self.cancel)
        elif isinstance(how, int) and how:
            loop.call_soon(self.arrange, how - 1, waited)
        else:
            self.cancel()

    def look(self, again: bool) -> None:
        """Now, and then in each turn of the loop: an upload moves on while its request stands still."""
        assert self.task is not None
        if self.task.done():
            return
        standing = set(standing_at(self.coroutine))
        if self.passed is not None:
            self.passed |= standing
        if not self.aims.isdisjoint(standing):
            self.cancel()
            self.aims -= set(self.reached)
        if again:
            asyncio.get_running_loop().call_soon(self.look, True)

    def cancel(self) -> None:
        assert self.task is not None
        if not self.task.done():
            self.cancelled += 1
            self.reached.update(set(standing_at(self.coroutine)))
            self.task.cancel()
