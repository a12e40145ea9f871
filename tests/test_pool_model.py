"""The pool against a model: every order of requests, answers, faults, cancellations and turns of the loop that hypothesis thinks of.

The pool and its connections are the real ones; transports, the opening of connections and the clock are played. Nothing runs between
two rules: what they do falls into one tick until the rule `turn` runs the loop once. What must hold at every moment is checked after
each rule, what must hold once all is quiet after `settle`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

import aioreq
from aioreq.config import Limits, Timeout
from aioreq.connection import Connection
from aioreq.models import Deadline, Request, Response
from aioreq.opener import Route
from aioreq.pool import Pool
from aioreq.transfer import Opening

pytestmark = pytest.mark.no_loop

HOSTS = ("a", "b", "c")
QUIET = 12  # turns of the loop after which nothing is left to happen by itself
WHICH = st.integers(0, 1 << 16)
PROMISED, KEPT = 3, 2  # seconds that a server says it keeps an idle connection, and for which one is used
ENDINGS = ("", "", "", "Connection: close\r\n", f"Keep-Alive: timeout={PROMISED}\r\n", "extra")  # a field, or bytes behind the answer
TURNS = st.sampled_from([0, 0, 1, 1, 3])


class Clockwork(asyncio.SelectorEventLoop):
    """A loop whose clock stands still until it is told, and that turns once when it is told."""

    now = 1000.0

    def time(self) -> float:
        return self.now

    def turn(self) -> None:
        self.call_soon(self.stop)
        self.run_forever()


class PlayedTransport(asyncio.Transport):
    def __init__(self, opener: PlayedOpener, connection: Connection) -> None:
        super().__init__()
        self.opener = opener
        self.connection = connection
        self.target = b""  # of the request being answered
        self.closing = False
        self.opened = opener.loop.now
        self.answered: float | None = None  # when it ended its last exchange
        self.promised = False
        self.handed_over: float | None = None  # when its next request got it, if the clock went on since

    def is_stale(self, now: float) -> bool:
        """Whether it must not be used any more."""
        if self.answered is None:
            return False
        lifetime = self.opener.limits.lifetime
        return (lifetime is not None and now >= self.opened + lifetime) or (self.promised and now >= self.answered + KEPT)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        assert not self.closing, "written to a closed connection"
        assert not self.is_stale(self.opener.loop.now if self.handed_over is None else self.handed_over), "used for too long"
        self.handed_over = None
        assert not self.target, "a second request before the first one was answered"
        self.target = bytes(data).split(b" ")[1]
        number = int(self.target[1:])
        assert number not in self.opener.failed, "sent again although it must not be"
        assert number not in self.opener.written or not self.connection.served, "sent again over a used connection"
        self.opener.written.add(number)
        self.opener.granted.add(number)

    def abort(self) -> None:
        if not self.closing:
            self.closing = True
            self.opener.loop.call_soon(self.connection.lost, None)

    def end(self, error: Exception | None) -> None:
        """The peer's doing; told once, whatever follows."""
        self.closing = True
        self.connection.lost(error)

    def is_closing(self) -> bool:
        return self.closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Dial(NamedTuple):
    """A connection being opened, and the number of the request for which it is."""

    host: str
    number: int
    answer: asyncio.Future[None]


class PlayedOpener:
    """Opens a connection when the test says so."""

    def __init__(self, loop: Clockwork, limits: Limits) -> None:
        self.loop = loop
        self.limits = limits
        self.dials: list[Dial] = []
        self.made: list[Connection] = []
        # The requests that have had a slot or a connection; that were written; and that must not be written again.
        self.granted: set[int] = set()
        self.written: set[int] = set()
        self.failed: set[int] = set()

    async def open(self, route: Route, opening: Opening) -> Connection:
        task = asyncio.current_task()
        assert task is not None
        dial = Dial(route.origin.host, int(task.get_name()), self.loop.create_future())
        self.dials.append(dial)
        self.granted.add(dial.number)
        try:
            await dial.answer
        finally:
            self.dials.remove(dial)
        connection = Connection(self.loop, self.limits, route.origin.host, secure=False)
        connection.opened(PlayedTransport(self, connection))
        self.made.append(connection)
        return connection


@dataclass(eq=False)
class Asked:
    """One request of the model's: `number` tells the order of arrival."""

    number: int
    host: str
    request: Request
    task: asyncio.Task[bytes]
    may_fail: set[type[BaseException]] = field(default_factory=set)

    @property
    def target(self) -> bytes:
        return b"/%d" % self.number


class PoolMachine(RuleBasedStateMachine):
    loop: Clockwork

    @initialize(
        connections=st.integers(1, 5),
        per_host=st.integers(0, 3),
        idle=st.integers(0, 5),
        idle_timeout=st.sampled_from([0, 5, 15]),
        lifetime=st.sampled_from([None, None, 0, 6, 20]),
    )
    def begin(self, connections: int, per_host: int, idle: int, idle_timeout: float, lifetime: float | None = None) -> None:
        self.complaints: list[dict[str, Any]] = []
        self.loop = Clockwork()
        self.loop.set_exception_handler(lambda loop, context: self.complaints.append(context))
        self.limits = Limits(connections=connections, per_host=per_host, idle=idle, idle_timeout=idle_timeout, lifetime=lifetime)
        self.pool = Pool(self.loop, self.limits)
        self.opener = PlayedOpener(self.loop, self.limits)
        self.pool.opener = self.opener  # type: ignore[assignment]
        self.asked: list[Asked] = []
        self.closed = False
        self.draining = False
        self.quiet: list[str] = []  # told once the last one has ended
        self.steps = 0
        self.idled: dict[Connection, int] = {}  # which connection idles since which step
        self.fair_from = dict.fromkeys(HOSTS, 0)  # from which request on the order of arrival is known to be kept

    # -- what the model sees

    @property
    def alive(self) -> list[Connection]:
        return [connection for connection in self.opener.made if not connection.closed]

    @property
    def busy(self) -> list[Connection]:
        return [connection for connection in self.alive if connection._request is not None]

    @property
    def idle(self) -> list[Connection]:
        return list(self.pool.slots.idle)

    @property
    def handed_over(self) -> list[Connection]:
        """In the hands of a waiter that has not run yet."""
        return [c for c in self.alive if c._request is None and c not in self.pool.slots.idle]

    @property
    def running(self) -> list[Asked]:
        return [one for one in self.asked if not one.task.done()]

    def transport_of(self, connection: Connection) -> PlayedTransport:
        transport = connection.transport
        assert isinstance(transport, PlayedTransport)
        return transport

    def target_of(self, connection: Connection) -> bytes:
        return self.transport_of(connection).target

    def asked_over(self, connection: Connection) -> Asked:
        return self.asked[int(self.target_of(connection)[1:])]

    # -- rules: what happens, and how often the loop turns afterwards (not at all: the next rule falls into the same tick)

    @precondition(lambda self: len(self.running) < 12)
    @rule(
        host=st.sampled_from(HOSTS),
        count=st.integers(1, 3),
        method=st.sampled_from(["GET", "POST"]),
        stream=st.booleans(),
        pool=st.sampled_from([None, None, None, 0, 3]),
        total=st.sampled_from([None, None, None, 4]),
        turns=TURNS,
    )
    def ask(self, host: str, count: int, method: str, stream: bool, pool: float | None, total: float | None, turns: int) -> None:
        for number in range(len(self.asked), len(self.asked) + count):
            request = Request(method, f"http://{host}/{number}", timeout=Timeout(pool=pool, total=total, read=None, connect=6))
            request.stream = stream
            request.deadline = None if total is None else Deadline(total)
            self.asked.append(Asked(number, host, request, self.loop.create_task(self.send(request), name=str(number))))
            self.asked[-1].may_fail |= {aioreq.PoolTimeout} if pool is not None else set()
            self.asked[-1].may_fail |= {aioreq.TotalTimeout} if total is not None else set()
        self.turn(turns)

    async def send(self, request: Request) -> bytes:
        """As the client does: it counts the calls under way, and takes no more of them once it waits for their end."""
        if self.draining:
            raise aioreq.ClientClosed("no new calls")
        self.pool.calls += 1
        try:
            response = await self.pool.send(request)
        finally:
            self.pool.calls -= 1
            if self.pool.draining:
                self.pool.call_ended()
        return response.content if isinstance(response, Response) else await response.read()

    @rule(rounds=st.integers(1, 3), turns=TURNS)
    def all_goes_well(self, rounds: int, turns: int) -> None:
        for _ in range(rounds):
            for dial in self.opener.dials:
                if not dial.answer.done():
                    dial.answer.set_result(None)
            self.turn(1)
            for connection in self.busy:
                self.answer_over(connection)
            self.turn(turns)

    @precondition(lambda self: self.opener.dials)
    @rule(which=WHICH, well=st.booleans(), turns=TURNS)
    def dial_ends(self, which: int, well: bool, turns: int) -> None:
        dial = self.opener.dials[which % len(self.opener.dials)]
        if dial.answer.done():
            return
        if well:
            dial.answer.set_result(None)
        else:
            dial.answer.set_exception(aioreq.ConnectError("refused"))
            self.asked[dial.number].may_fail.add(aioreq.ConnectError)
        self.turn(turns)

    @precondition(lambda self: self.busy)
    @rule(which=WHICH, ending=st.sampled_from(ENDINGS), status=st.sampled_from([200, 404]), turns=TURNS)
    def answer(self, which: int, ending: str, status: int, turns: int) -> None:
        self.answer_over(self.busy[which % len(self.busy)], ending, status)
        self.turn(turns)

    def answer_over(self, connection: Connection, ending: str = "", status: int = 200) -> None:
        transport, target = self.transport_of(connection), self.target_of(connection)
        transport.target = b""
        if transport.answered is None and connection._body is None and ending.startswith("Keep-Alive"):
            transport.promised = True
        transport.answered = self.loop.now
        if connection._body is not None:  # its head went out by `answer_head`
            connection.received(target)
            return
        extra_field, behind = (ending, "") if ":" in ending else ("", ending)
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(target)}\r\n{extra_field}\r\n"
        connection.received(head.encode() + target + behind.encode())

    @precondition(lambda self: self.busy)
    @rule(which=WHICH, turns=TURNS)
    def answer_head(self, which: int, turns: int) -> None:
        connection = self.busy[which % len(self.busy)]
        if connection._body is None and self.asked_over(connection).request.stream:
            connection.received(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self.target_of(connection)))
        self.turn(turns)

    @precondition(lambda self: self.busy)
    @rule(which=WHICH, reset=st.booleans(), turns=TURNS)
    def break_busy(self, which: int, reset: bool, turns: int) -> None:
        connection = self.busy[which % len(self.busy)]
        one = self.asked_over(connection)
        again = connection.served and connection._body is None and one.request.method == "GET"
        if not again or self.closed:
            one.may_fail.add(aioreq.ConnectionLost)
            self.opener.failed.add(one.number)
        self.transport_of(connection).end(ConnectionResetError("reset") if reset else None)
        self.turn(turns)

    @precondition(lambda self: self.idle)
    @rule(which=WHICH, unasked=st.booleans(), turns=TURNS)
    def idle_ends(self, which: int, unasked: bool, turns: int) -> None:
        connection = self.idle[which % len(self.idle)]
        if unasked:
            connection.received(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        else:
            self.transport_of(connection).end(None)
        self.turn(turns)

    @precondition(lambda self: self.handed_over)
    @rule(which=WHICH, turns=TURNS)
    def handed_over_ends(self, which: int, turns: int) -> None:
        connection = self.handed_over[which % len(self.handed_over)]
        self.transport_of(connection).end(None)
        # Its waiter goes to the end of the line: of those before this moment, the order is no longer known.
        self.fair_from[str(connection.peer)] = len(self.asked)
        self.turn(turns)

    @precondition(lambda self: self.running)
    @rule(which=WHICH, turns=TURNS)
    def cancel(self, which: int, turns: int) -> None:
        one = self.running[which % len(self.running)]
        one.may_fail.add(asyncio.CancelledError)
        one.task.cancel()
        self.turn(turns)

    @precondition(lambda self: self.handed_over)
    @rule(turns=TURNS)
    def cancel_all_that_wait(self, turns: int) -> None:
        for one in self.waiting():
            one.may_fail.add(asyncio.CancelledError)
            one.task.cancel()
        self.turn(turns)

    @rule(seconds=st.sampled_from([0.5, 2, 4, 7, 16]), turns=TURNS)
    def time_passes(self, seconds: float, turns: int) -> None:
        for connection in self.handed_over:
            if self.transport_of(connection).handed_over is None:
                self.transport_of(connection).handed_over = self.loop.now
        self.loop.now += seconds
        for one in self.running:
            one.may_fail.add(aioreq.ConnectTimeout)
        self.turn(turns)

    @precondition(lambda self: not self.draining and not self.closed and len(self.asked) > 8)
    @rule(turns=TURNS)
    def drain_the_pool(self, turns: int) -> None:
        self.draining = True
        for one in self.running:
            one.may_fail.add(aioreq.ClientClosed)  # it may not have begun
        self.pool.drain(lambda: self.quiet.append("quiet"))
        self.turn(turns)

    @precondition(lambda self: not self.closed and len(self.asked) > 12)
    @rule(turns=TURNS)
    def close_the_pool(self, turns: int) -> None:
        self.closed = True
        for one in self.running:
            one.may_fail |= {aioreq.ClientClosed, aioreq.ConnectionLost}  # a lost connection is not made up for any more
        self.loop.call_soon(self.pool.close)
        self.turn(turns)

    def turn(self, turns: int) -> None:
        for _ in range(turns):
            before = {connection: self.idled.get(connection, self.steps) for connection in self.idle}
            self.loop.turn()
            self.steps += 1
            self.idled = {connection: before.get(connection, self.steps) for connection in self.idle}
            if not self.limits.per_host:  # where a host has a limit of its own, a fresh connection takes the place of one of its own
                kept = [step for connection, step in before.items() if connection in self.idled]
                sent_off = [
                    step
                    for connection, step in before.items()
                    if connection.closed and not self.transport_of(connection).is_stale(self.loop.now)
                ]
                assert not kept or not sent_off or max(sent_off) <= min(kept), "a connection that idled for less long was closed"

    # -- what holds at every moment

    @invariant()
    def limits_are_kept(self) -> None:
        world = [connection.peer for connection in self.alive] + [dial.host for dial in self.opener.dials]
        assert len(world) <= self.limits.connections
        queues = self.pool.slots.queues
        assert self.pool.open == sum(queue.open for queue in queues.values()) <= self.limits.connections
        for key, queue in queues.items():
            assert queue.open >= world.count(key.origin.host)
            if self.limits.per_host:
                assert queue.open <= self.limits.per_host

    @invariant()
    def idle_connections_are_idle(self) -> None:
        idle = self.idle
        assert len(idle) <= self.limits.idle
        for connection in idle:
            assert not connection.closed
            assert connection._request is None
            assert connection in self.queue(str(connection.peer)).idle
        assert sum(len(queue.idle) for queue in self.pool.slots.queues.values()) == len(idle)

    @invariant()
    def what_drains_ends_in_time(self) -> None:
        if self.draining:
            assert not self.idle, "idle, although nobody will come"
            under_way = self.pool.calls or self.pool.open
            told = self.pool.closed or not under_way
            assert self.quiet == ["quiet"] * told, "an end that is told too early, or twice, or not at all"

    @invariant()
    def an_answer_is_its_own(self) -> None:
        for one in self.asked:
            if not one.task.done():
                continue
            if one.task.cancelled():
                assert asyncio.CancelledError in one.may_fail
            elif (error := one.task.exception()) is not None:
                ended = self.closed or self.draining
                assert isinstance(error, (*one.may_fail, aioreq.ClientClosed) if ended else tuple(one.may_fail)), error
                assert str(error)
            else:
                assert one.task.result() == one.target

    @invariant()
    def nothing_goes_wrong_unseen(self) -> None:
        assert self.complaints == []

    def queue(self, host: str) -> Any:
        return next(queue for route, queue in self.pool.slots.queues.items() if route.origin.host == host)

    # -- what holds once all is quiet

    @rule()
    def settle(self) -> None:
        self.turn(QUIET)
        pool, limits = self.pool, self.limits
        assert not self.handed_over, "a connection that nobody holds"
        waiting = self.waiting()
        assert pool.waiting == len(waiting) == sum(len(queue.waiters) for queue in pool.slots.queues.values())
        assert pool.open == len(self.alive) + len(self.opener.dials), "a slot that nobody holds"
        assert set(pool.slots.queue_of) == set(self.alive)
        assert sum(queue.connected for queue in pool.slots.queues.values()) == len(self.alive)
        assert not any(queue.open == 0 and not queue.waiters for queue in pool.slots.queues.values()), "an empty queue was kept"
        for queue in pool.slots.blocked:
            assert queue.waiters, "a key in line for a slot that nobody waits for"
            assert not limits.per_host or queue.open < limits.per_host, "a key in line for a slot that it must not have"
        if self.draining and not self.running:
            assert self.quiet
        if self.closed:
            assert not self.running
            assert pool.open == 0
            return
        for one in waiting:
            # Whoever waits, waits because all that the limits allow is in use.
            queue = self.queue(one.host)
            at_its_own = limits.per_host and queue.open == limits.per_host
            assert at_its_own or pool.open == limits.connections, "a waiter although there is room"
            assert not queue.idle, "a waiter although a connection of its own idles"
            assert at_its_own or not self.idle, "a waiter although an idle connection could make room"
        for host in HOSTS:
            known = {one.number for one in self.asked if one.host == host and one.number >= self.fair_from[host]}
            first = min((one.number for one in waiting if one.number in known - self.opener.granted), default=None)
            assert first is None or all(number < first for number in known & self.opener.granted), "a later request was served first"
        assert all(connection.idle_since + limits.idle_timeout > self.loop.now for connection in self.idle), "idle for too long"

    def waiting(self) -> list[Asked]:
        """Who neither opens a connection nor holds one."""
        held = {dial.number for dial in self.opener.dials} | {self.asked_over(connection).number for connection in self.busy}
        return [one for one in self.running if one.number not in held]

    # -- the end

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            if not self.closed:
                self.settle()
                self.close_the_pool(0)
            self.loop.call_soon(self.pool.close)
            self.settle()
            self.an_answer_is_its_own()
            assert not self.pool.slots.idle
            assert not self.pool.slots.blocked
            assert self.complaints == []
        finally:
            # Also behind a failure: hypothesis goes on looking for a shorter one.
            for one in self.running:
                one.task.cancel()
            for _ in range(QUIET):
                self.loop.turn()
            self.loop.close()


def explored(examples: int) -> settings:
    slow = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    return settings(max_examples=examples, stateful_step_count=50, deadline=None, suppress_health_check=slow)


def test_the_pool_keeps_its_promises() -> None:
    run_state_machine_as_test(PoolMachine, settings=explored(200))


@pytest.mark.longer
@pytest.mark.timeout(900)  # seconds, on a machine that is busy otherwise
def test_the_pool_keeps_its_promises_for_longer() -> None:
    run_state_machine_as_test(PoolMachine, settings=explored(3000))


@pytest.mark.parametrize(("per_host", "newcomer"), [(2, "a"), (0, "b")])
def test_a_moment_that_chance_rarely_finds(per_host: int, newcomer: str) -> None:
    """A request to be sent again finds its slot taken, and an idle connection of its own origin, which it mustn't use, in its way."""
    machine = PoolMachine()
    machine.begin(connections=2, per_host=per_host, idle=5, idle_timeout=15)
    plain = {"method": "GET", "stream": False, "pool": None, "total": None}
    try:
        machine.ask(host="a", count=2, turns=1, **plain)
        machine.all_goes_well(rounds=1, turns=1)
        machine.ask(host="a", count=2, turns=1, **plain)
        machine.ask(host=newcomer, count=1, turns=1, **plain)
        machine.break_busy(which=0, reset=False, turns=0)
        machine.answer(which=0, ending="", status=200, turns=0)
        machine.settle()
        machine.limits_are_kept()
        assert not machine.idle
        assert len(machine.opener.dials) == 2
    finally:
        machine.teardown()


@pytest.mark.parametrize(("ending", "lifetime"), [("", 6), (ENDINGS[4], None)], ids=["lifetime", "keep-alive"])
def test_an_idle_connection_that_is_past_its_time(ending: str, lifetime: float | None) -> None:
    """It is still there, as nothing swept it, and isn't used."""
    machine = PoolMachine()
    machine.begin(connections=2, per_host=0, idle=5, idle_timeout=15, lifetime=lifetime)
    plain = {"method": "GET", "stream": False, "pool": None, "total": None}
    try:
        machine.ask(host="a", count=1, turns=1, **plain)
        machine.dial_ends(which=0, well=True, turns=2)
        machine.time_passes(seconds=4, turns=1)
        machine.answer(which=0, ending=ending, status=200, turns=1)
        machine.time_passes(seconds=2, turns=1)
        assert len(machine.idle) == 1
        machine.ask(host="a", count=1, turns=1, **plain)
        assert not machine.alive
        assert len(machine.opener.dials) == 1
        machine.all_goes_well(rounds=2, turns=1)
        machine.an_answer_is_its_own()
    finally:
        machine.teardown()
