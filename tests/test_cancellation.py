"""Requests cancelled at every await that they pass: no slot is lost, no answer crosses over, nothing is left behind.

Each kind of request on purpose at each await that it passes, then many by chance at once over one pool, and on purpose again at the
awaits that were left out. The kinds stand in cancelled_requests.py; how one is cancelled, and where it then stood, is cancelling.py's
business.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import gc
import inspect
import itertools
import operator
import socket
import sys
import types
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

import pytest
from cancelled_requests import ALSO_REFUSING, REFUSING, SILENT, Kinds, Lookup, Peers, Reads, considered, routes, slow_pieces
from cancelled_websockets import STEP, WebSockets
from cancelling import MODULES, PACKAGE, Cancelling, How, Place, places
from relay import GRANTED, Relay

import aioreq
import aioreq.compression
import aioreq.dialer
import aioreq.download
import aioreq.pool
import aioreq.protection
import aioreq.saving
import aioreq.sendfile
import aioreq.slots
import aioreq.upload
import aioreq.websocket.inbox
import aioreq.websocket.outbox
from aioreq import StaticResolver
from aioreq.middlewares import default_middlewares
from aioreq.testing import Authority, Server, httpbin

SLOTS = 10
WORKERS = 25
BATCH = 200  # requests after which all is looked at

# Awaits at which nobody can be cancelled, and why.
NEVER_SUSPEND = {
    ("_open", "async with limit"): "a time limit is entered and left without waiting",
    ("_open", "async with opening"): "the same",
    ("in_time", "async with asyncio.timeout_at(now + deadline.left(now)) as limit"): "the same",
    ("ping", "async with asyncio.timeout(timeout) as limit"): "the same",
    ("__aexit__", "await response.close()"): "asynchronous for those who write `await`; it doesn't wait",
    ("__aexit__", "await self._context.__aexit__(kind, error, trace)"): "the same",
    ("resolve", "await self._channel().getaddrinfo(host, port=port, type=socket.SOCK_STREAM)"): "aiodns isn't always installed",
    ("close", "await held[1].reached()"): "the end of a resolver; no request waits for it",
    ("_fetch", "await asyncio.sleep(0)"): "whoever comes there was cancelled a moment before, and is told there",
    ("_send_steps", "async with _Turn(self)"): "it was looked a moment before that nobody has the turn",
    ("_end_with_loop", "await channel.close()"): "the end of a loop, or of a resolver; no request waits for it",
    ("arrival", "await self._body.arrival()"): "for the aiohttp face, whose tests cancel it",
}
# Modules with awaits that no request passes, and what they are.
ASIDE = {
    "bulk.py": "stands on the client",
    "connector.py": "the end of its pools, which have no requests any more",
    "cli.py": "the same",
    "loop_end.py": "the end of a loop, which has no requests any more",
    "sync.py": "the same",
}


class Campaign(Kinds):
    """Many requests at once over one pool, most of them cancelled somewhere."""

    def __init__(self, seed: int, peers: Peers, client: aioreq.Client, unix_client: aioreq.Client, folder: Path, patience: float) -> None:
        super().__init__(seed, peers, client, unix_client, folder, patience)
        self.kinds = [name for name in dir(self) if name.startswith("ask_")]
        self.passed: dict[str, set[Place]] = {kind: set() for kind in self.kinds}
        self.held: list[BaseException] = []  # of one batch: what their tracebacks hold must keep no slot
        self.reached: Counter[Place] = Counter()
        self.cancelled = 0
        self.completed = 0
        self.failures: list[BaseException] = []
        self.lengths: dict[str, int] = {}  # how often each kind of request suspends, as far as was seen
        self.complaints: list[dict[str, Any]] = []
        self.unclosed: list[str] = []
        asyncio.get_running_loop().set_exception_handler(self.complained)
        # Of the loop's own hooks: who is started on it, it closes at its end.
        self.finalizer = sys.get_asyncgen_hooks().finalizer
        sys.set_asyncgen_hooks(finalizer=self.collected)

    def complained(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "incoming connection" not in context["message"]:  # asyncio in debug mode, of a TLS server whose client went away
            self.complaints.append(context)

    def collected(self, generator: Any) -> None:
        """What becomes of a generator that nobody closed."""
        code = generator.ag_code
        path = Path(code.co_filename)
        if code is slow_pieces.__code__ or (path.is_relative_to(PACKAGE) and not path.is_relative_to(PACKAGE / "testing")):
            self.unclosed.append(generator.__qualname__)
        assert self.finalizer is not None
        self.finalizer(generator)

    async def work(self, requests: Iterable[tuple[str, dict[int, How], frozenset[Place]]]) -> None:
        """Ask all these, or until something was wrong."""
        waiting = iter(requests)

        async def work(some: Iterator[tuple[str, dict[int, How], frozenset[Place]]]) -> None:
            for request in some:
                await self.ask(*request)
                if self.failures:
                    break

        while (first := next(waiting, None)) is not None:
            some = itertools.chain([first], itertools.islice(waiting, BATCH))
            await asyncio.gather(*[work(some) for _ in range(WORKERS)])
            assert not self.failures, self.failures[0]
            await self.assert_free()
            self.held.clear()

    async def look(self) -> None:
        """Which awaits each kind passes, where nobody is cancelled."""
        await self.work([(kind, {}, frozenset()) for kind in self.kinds * 2])

    async def run(self, cancellations: int) -> None:
        """By chance, until so many more were cancelled."""
        goal = self.cancelled + cancellations

        def chosen() -> Iterator[tuple[str, dict[int, How], frozenset[Place]]]:
            while self.cancelled < goal:
                kind = self.random.choice(self.kinds)
                yield kind, self.plan(kind), frozenset()

        await self.work(chosen())

    async def aim_everywhere(self) -> None:
        """Each kind, at each await that it was seen to pass; most of them it passes again."""
        pairs = [(kind, place) for kind, passed in self.passed.items() for place in passed]
        self.random.shuffle(pairs)
        await self.work([(kind, {}, frozenset([place])) for kind, place in pairs])

    async def aim(self) -> None:
        """At every await that is left out; some of them are passed only by who was cancelled before."""

        def chosen() -> Iterator[tuple[str, dict[int, How], frozenset[Place]]]:
            for kind in self.kinds * 50:
                aims = frozenset(self.unreached())
                if not aims:
                    break
                passing = [kind for kind, passed in self.passed.items() if not passed.isdisjoint(aims)]
                if passing and self.random.random() < 0.8:
                    kind = self.random.choice(passing)
                yield kind, self.random.choice([{}, self.plan(kind)]), aims

        await self.work(chosen())

    async def ask(self, kind: str, plan: dict[int, How], aims: frozenset[Place] = frozenset()) -> None:
        self.latest += 1
        coroutine = getattr(self, kind)(self.random.choice(self.servers), self.latest)
        reached: Counter[Place] = Counter()
        request = Cancelling(coroutine, plan, reached, aims, self.passed[kind])
        task = asyncio.ensure_future(_awaiting(request))
        await asyncio.wait([task])
        self.reached += reached
        self.lengths[kind] = max(self.lengths.get(kind, 3), request.suspensions)
        self.cancelled += request.cancelled
        try:
            task.result()
        except asyncio.CancelledError as error:
            self.held.append(error)
            if not request.cancelled:
                self.failures.append(AssertionError(f"{kind}: cancelled by somebody else's cancellation"))
            return
        except BaseException as error:
            error.add_note(kind)
            self.failures.append(error)
        if request.cancelled:
            self.failures.append(AssertionError(f"{kind}: the cancellation was swallowed"))
        self.completed += 1

    def plan(self, kind: str) -> dict[int, How]:
        at = self.random.randint(1, self.lengths.get(kind, 3))
        plan = {at: self.how()}
        if self.random.random() < 0.3:
            plan[at + self.random.randint(1, 2)] = self.how()
        return plan

    def how(self) -> How:
        drawn = self.random.random()
        if drawn < 0.3:
            return "arrival"
        if drawn < 0.8:
            return self.random.randint(0, self.random.choice([0, 5, 20, 200]))
        return self.random.random() * self.random.choice([0.002, 0.02])

    # -- what must hold afterwards

    async def assert_free(self) -> None:
        """Every slot is free or keeps an idle connection, although somebody holds the errors."""
        for client in (self.client, self.unix_client):
            pool = client.pool()
            for _ in range(int(250 * self.patience)):
                if pool.open == len(pool.slots.idle):
                    break
                await asyncio.sleep(0.001)  # a dropped body is being drained
            assert pool.open == len(pool.slots.idle) <= SLOTS, "a slot is held by nobody"
            assert set(pool.slots.queue_of) == set(pool.slots.idle)
            assert pool.waiting == 0
            assert not any(queue.waiters for queue in pool.slots.queues.values())
            assert not pool.slots.blocked
            assert not pool._opening
            assert not client.settings.dialer.names._flights

    async def assert_sound(self) -> None:
        """Besides, no file and no generator is left, nothing was complained about, and the client answers."""
        await self.assert_free()
        numbers = range(self.latest + 1, self.latest + 21)
        answers = await asyncio.gather(*[self.client.get(f"{self.servers[n % 2].url}/id/{n}", retry=0) for n in numbers])
        assert [answer.text for answer in answers] == [str(n) for n in numbers]
        assert sorted(self.folder.glob(".*.download.*")) == []
        gc.collect()
        await asyncio.sleep(0)
        assert self.complaints == []
        assert self.unclosed == [], "generators that the garbage collector had to close"

    def unreached(self) -> list[Place]:
        everywhere = {place for found in places().values() for place in found}
        return sorted(place for place in everywhere - set(self.reached) if (place.function, place.code) not in NEVER_SUSPEND)


@pytest.fixture(autouse=True)
def peers_are_far(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer on this very machine is connected at once: here the connecting is awaited, as everybody else's is."""
    monkeypatch.setattr(aioreq.dialer, "_connected_at_once", lambda sock, address: False)


async def _awaiting(request: Awaitable[None]) -> None:
    await request


@contextlib.contextmanager
def black_hole(host: str = "127.0.0.1", port: int = 0) -> Iterator[socket.socket]:
    """A server that never accepts, and whose queue is full: connections to it are never made."""
    with socket.create_server((host, port), backlog=0) as deaf, contextlib.ExitStack() as callers:
        for _ in range(4):
            caller = callers.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(deaf.getsockname())
        yield deaf


@contextlib.contextmanager
def deaf_unix_socket(path: Path) -> Iterator[None]:
    """The same for a Unix socket."""
    with socket.socket(socket.AF_UNIX) as deaf, contextlib.ExitStack() as callers:
        deaf.bind(str(path))
        deaf.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                caller = callers.enter_context(socket.socket(socket.AF_UNIX))
                caller.setblocking(False)
                caller.connect(str(path))
        yield


@contextlib.asynccontextmanager
async def standing_peers(folder: Path) -> AsyncIterator[Peers]:
    authority = Authority()
    by_default = [httpbin, routes]
    async with (
        Server(routes=by_default, record=False) as plain,
        Server(routes=by_default, record=False, tls=authority) as secure,
        Server(routes=by_default, record=False, unix=folder / "unix") as unix,
        Relay() as proxy,
        Relay(authority.server_context()) as secure_proxy,
        Relay(socks=True) as socks,
        WebSockets() as web_sockets,
        WebSockets(context=authority.server_context()) as secure_web_sockets,
    ):
        socks.reply = lambda host: b"\x05" if host in (REFUSING, *SILENT) else GRANTED
        with contextlib.ExitStack() as deaf:
            deaf_port = deaf.enter_context(black_hole()).getsockname()[1]
            deaf.enter_context(deaf_unix_socket(folder / "deaf"))
            for host, server in itertools.product(SILENT, (plain, secure)):
                deaf.enter_context(black_hole(host, server.port))
            yield Peers(plain, secure, unix, proxy, secure_proxy, socks, deaf_port, folder / "deaf", web_sockets, secure_web_sockets)


@contextlib.asynccontextmanager
async def campaign(seed: int, folder: Path, patience: float) -> AsyncIterator[Campaign]:
    limits, timeout = aioreq.Limits(connections=SLOTS), aioreq.Timeout(pool=patience)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aioreq.dialer, "ATTEMPT_DELAY", 0.02)  # seconds that a slot waits at a black hole
        patch.setattr(aioreq.upload, "BURST", 4096)  # bytes: so small buffers never take what is one elsewhere
        patch.setattr(aioreq.compression, "AT_ONCE", 1024)  # bytes: what is more goes to a thread, as what is hashed does
        patch.setattr(aioreq.compression, "STEP", 4096)
        patch.setattr(aioreq.protection, "_LARGE", 1024)
        patch.setattr(aioreq.download, "LEAST_PIECE", 1024)
        patch.setattr(aioreq.saving, "BLOCK", 1024)
        patch.setattr(aioreq.websocket.outbox, "BURST", 4096)
        patch.setattr(aioreq.websocket.outbox, "STEP", STEP)
        patch.setattr(aioreq.websocket.inbox, "STEPS", 2)
        patch.setattr(aioreq.sendfile.FileSource, "in_memory", lambda source: source._known > source._at)  # nothing is, until it is read
        async with (
            standing_peers(folder) as peers,
            aioreq.Client(
                verify=peers.secure.ca or False,
                resolver=StaticResolver({"refusing.test": [REFUSING, *ALSO_REFUSING]}, fallback=Lookup()),
                socket_options=[(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)],  # bytes: uploads have to wait
                limits=limits,
                timeout=timeout,
                retry=aioreq.Retry(attempts=1, backoff=0.002, budget=None),
                redirect_policy=considered,
                middlewares=(Reads, *default_middlewares),
            ) as client,
            aioreq.Client(unix_socket=folder / "unix", limits=limits, timeout=timeout) as unix_client,
        ):
            yield Campaign(seed, peers, client, unix_client, folder, patience)
            servers = peers[:3]
            for each in (client, unix_client):
                pool = each.pool()
                await each.close()
                assert pool.open == 0
                assert not pool.slots.queues
            # Servers see it too where a proxy, or a Unix socket, stands between.
            await asyncio.gather(*[server.until(partial(operator.not_, server.connections)) for server in servers])
            failed = [error for server in servers for error in server.errors if "handler failed" in error]
            assert not failed, failed[0]


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.longer)])
async def test_cancelled_anywhere_requests_leave_nothing_behind(count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with campaign(seed=count, folder=tmp_path, patience=30) as requests:
        await requests.look()
        await requests.aim_everywhere()
        await requests.assert_sound()
        on_purpose = requests.cancelled
        await requests.run(count)
        await requests.aim()
        await requests.assert_sound()
        awaits = sum(len(found) for found in places().values())
        with capsys.disabled():
            print(
                f"\n{requests.cancelled} cancellations, {on_purpose} of them on purpose; {requests.completed} requests answered;", end=" "
            )
            print(f"coverage: {len(requests.reached)} of {awaits} awaits ({len(NEVER_SUSPEND)} never suspend)")
        assert [str(place) for place in requests.unreached()] == []
    gc.collect()


def test_what_never_suspends_is_still_there() -> None:
    known = {(place.function, place.code) for found in places().values() for place in found}
    assert set(NEVER_SUSPEND) <= known


def test_every_module_that_awaits_is_known() -> None:
    waiting = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if _awaits(path)}
    assert {path for path in waiting if not path.startswith(("testing/", "compat/"))} - set(MODULES) == set(ASIDE)


def _awaits(path: Path) -> bool:
    return any(isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith) for node in ast.walk(ast.parse(path.read_text())))


# -- the check itself


def slot_releases() -> list[tuple[types.ModuleType, int, str]]:
    """The lines of the pool and its slots that give a slot, or a connection with its slot, on."""
    nodes = [(module, node) for module in (aioreq.pool, aioreq.slots) for node in ast.walk(ast.parse(inspect.getsource(module)))]
    return [(module, node.lineno, ast.unparse(node)) for module, node in nodes if _gives_on(node)]


def _gives_on(node: ast.AST) -> TypeGuard[ast.Expr]:
    return isinstance(node, ast.Expr) and ast.unparse(node).startswith(("slots.release(", "slots.leave(", "self.release(", "self.freed("))


def pool_without(module: types.ModuleType, line: int) -> type[aioreq.pool.Pool]:
    """The pool, made of modules without that line."""

    class TakeOut(ast.NodeTransformer):
        def visit_Expr(self, node: ast.Expr) -> ast.stmt:
            return ast.copy_location(ast.Pass(), node) if node.lineno == line and _gives_on(node) else node

    changed: dict[types.ModuleType, dict[str, Any]] = {}
    for each in (aioreq.slots, aioreq.pool):
        path = inspect.getsourcefile(each)
        assert path is not None
        tree = ast.parse(inspect.getsource(each))
        changed[each] = {"__name__": each.__name__, "__package__": "aioreq"}
        exec(compile(TakeOut().visit(tree) if each is module else tree, path, "exec"), changed[each])
    changed[aioreq.pool].update({name: changed[aioreq.slots][name] for name in aioreq.slots.__all__})
    return changed[aioreq.pool]["Pool"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(("module", "line", "code"), slot_releases(), ids=[code for _, _, code in slot_releases()])
async def test_without_a_line_that_gives_a_slot_on_the_check_fails(
    module: types.ModuleType, line: int, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioreq.connector.Pool", pool_without(module, line))
    with pytest.raises((AssertionError, aioreq.PoolTimeout)):
        await short_campaign(tmp_path, rounds=200)  # most fail in the first


async def test_the_same_pool_with_all_its_lines_passes_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioreq.connector.Pool", pool_without(aioreq.pool, line=0))
    await short_campaign(tmp_path)


async def short_campaign(folder: Path, rounds: int = 20) -> None:
    # a WebSocket that was given up has a second to say so
    async with campaign(seed=1, folder=folder, patience=8) as requests:
        for _ in range(rounds):
            await requests.run(25)
            await requests.assert_sound()
