"""From a name to a socket: which addresses are tried, in which order and when, from where, by what kind of socket, and what is left behind.

Addresses are those of the loopback: some listen, some refuse, and some are black holes, that let every SYN fall.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import select
import socket
import struct
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import pytest

import aioreq
import aioreq.dialer
from aioreq import Limits, PublicOnly, Retry, StaticResolver, Timeout
from aioreq.dialer import ATTEMPT_DELAY, Dialer
from aioreq.dns import Names
from aioreq.proxies import Proxies
from aioreq.testing import Server, httpbin
from aioreq.transfer import Opening

# All of 127.0.0.0/8 is the loopback's, and a listener with a full queue lets a SYN fall.
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux' loopback")
unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")
pytestmark = pytest.mark.usefixtures("no_hanging")

AT_ONCE = ATTEMPT_DELAY * 0.6  # seconds, less than which nothing can have waited for the next attempt's turn


class Listener:
    """Listens at one address; opened and closed like a file. A port that it finds itself stays free for listeners at other addresses."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.everywhere = socket.socket()
        if not port and ":" not in host:
            self.everywhere.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.everywhere.bind(("", 0))
            port = self.everywhere.getsockname()[1]
        self.socket = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=100)
        self.host, self.port = self.socket.getsockname()[:2]

    def accepted(self) -> list[tuple[str, int]]:
        """Who has come since the last call."""
        peers = []
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                connection, peer = self.socket.accept()
                connection.close()
                peers.append(peer[:2])
        return peers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.socket.close()
        self.everywhere.close()


class BlackHole(Listener):
    """Answers nobody until it is opened: its queue is full. Who knocked before is let in when he knocks again, after a second."""

    def __init__(self, host: str, port: int = 0) -> None:
        super().__init__(host, port)
        self.socket.listen(0)
        self.fillers: list[socket.socket] = []
        while not self.fillers or select.select([], self.fillers[-1:], [], 0.05)[1]:
            self.fillers.append(socket.socket())
            self.fillers[-1].setblocking(False)
            self.fillers[-1].connect_ex((host, self.port))

    def open(self) -> None:
        self.socket.listen(100)

    def __exit__(self, *exc_info: object) -> None:
        super().__exit__()
        for filler in self.fillers:
            filler.close()


class Moving:
    """A resolver whose answers each hold for one lookup."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def resolve(self, host: str, port: int) -> list[str]:
        return self.answers.pop(0)


class Told(Opening):
    """Notes when it was told what."""

    def __init__(self) -> None:
        super().__init__(time.perf_counter)
        self.since = time.perf_counter()
        self.steps: list[tuple[float, str]] = []

    def begin(self, phase: str, step: str, whom: str = "") -> None:
        super().begin(phase, step, whom)
        self.steps.append((time.perf_counter() - self.since, self.step))


def dialer_to(*addresses: str, **options: Any) -> Dialer:
    """A dialer for which `many.test` has these addresses."""
    return Dialer(Names(StaticResolver({"many.test": list(addresses)}), Limits()), **options)


async def dial(dialer: Dialer, port: int, host: str = "many.test", opening: Opening | None = None) -> socket.socket:
    loop = asyncio.get_running_loop()
    return await dialer.dial(loop, host, port, opening or Opening(time.perf_counter))


async def refusal(dialer: Dialer, port: int, host: str = "many.test") -> str:
    with pytest.raises(aioreq.ConnectError) as caught:
        await dial(dialer, port, host)
    return str(caught.value)


def sockets() -> set[str]:
    """This process' sockets, but for those of the loop."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"/proc/self/fd/{name}"))
    return {target for target in found if target.startswith("socket:")}


async def nothing_left(before: set[str]) -> None:
    """No socket and no task after the few turns that a cancelled task takes to end."""
    for _ in range(5):
        await asyncio.sleep(0)
    assert sockets() == before
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def in_turns(coroutine: Coroutine[Any, Any, socket.socket], turns: int) -> socket.socket | None:
    """What comes of a dial that is cancelled after so many turns of the loop: None if it was, its socket if it had ended."""
    task = asyncio.create_task(coroutine)
    for _ in range(turns):
        await asyncio.sleep(0)
    return await given_up(task)


async def given_up(task: asyncio.Task[socket.socket]) -> socket.socket | None:
    cancelled = task.cancel()
    try:
        sock = await task
    except asyncio.CancelledError:
        assert cancelled
        return None
    assert not cancelled, "a cancellation was lost"
    return sock


@pytest.fixture
def port() -> Iterator[int]:
    """A port that refuses on every address: free, and kept from others by a socket that doesn't listen."""
    with socket.socket() as taken:
        # Free on all of them: there may be a connection from such a port of one address, even by another program. Then others may listen.
        taken.bind(("" if sys.platform == "linux" else "127.0.0.1", 0))
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        yield taken.getsockname()[1]


@pytest.fixture
def path() -> Iterator[Path]:
    """Where a Unix socket may stand; pytest's own folders have longer names than some systems take."""
    with tempfile.TemporaryDirectory(prefix="aioreq-") as folder:
        yield Path(folder, "server")


# -- which address, when


@linux
async def test_one_address_takes_no_task_and_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()

    def refuse(*args: Any, **options: Any) -> Any:
        raise AssertionError(args)

    with Listener() as listener:
        with monkeypatch.context() as patch:
            for name in ("call_later", "call_at", "create_task"):
                patch.setattr(loop, name, refuse)
            sock = await dial(Dialer(), listener.port, "127.0.0.1")
        with sock:
            assert sock.getpeername() == ("127.0.0.1", listener.port)
            assert not sock.getblocking()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the loop connects")
async def test_a_peer_on_this_machine_is_connected_without_a_turn_of_the_loop(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    loop = asyncio.get_running_loop()

    async def refuse(*args: Any) -> Any:
        raise AssertionError(args)

    monkeypatch.setattr(loop, "sock_connect", refuse)
    with Listener() as listener, await dial(Dialer(), listener.port, "127.0.0.1") as sock:
        assert sock.getpeername() == ("127.0.0.1", listener.port)
    with pytest.raises(aioreq.ConnectError, match="Connection refused"):
        await dial(Dialer(), port, "127.0.0.1")


@linux
async def test_a_black_hole_costs_a_quarter_of_a_second() -> None:
    before = sockets()
    with BlackHole("127.0.0.2") as hole, Listener("127.0.0.3", hole.port):
        began = time.perf_counter()
        with await dial(dialer_to("127.0.0.2", "127.0.0.3"), hole.port) as sock:
            assert ATTEMPT_DELAY * 0.9 < time.perf_counter() - began < ATTEMPT_DELAY * 3
            assert sock.getpeername()[0] == "127.0.0.3"
    await nothing_left(before)


@linux
async def test_a_failure_starts_the_next_attempt_at_once(port: int) -> None:
    with Listener("127.0.0.4", port):
        began = time.perf_counter()
        with await dial(dialer_to("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"), port) as sock:
            assert time.perf_counter() - began < AT_ONCE
            assert sock.getpeername()[0] == "127.0.0.4"


@linux
async def test_a_failure_starts_the_next_attempt_while_an_earlier_one_waits() -> None:
    with BlackHole("127.0.0.2") as hole, Listener("127.0.0.4", hole.port):
        began = time.perf_counter()
        with await dial(dialer_to("127.0.0.2", "127.0.0.3", "127.0.0.4"), hole.port) as sock:
            assert ATTEMPT_DELAY * 0.9 < time.perf_counter() - began < ATTEMPT_DELAY + AT_ONCE
            assert sock.getpeername()[0] == "127.0.0.4"


@linux
async def test_an_early_attempt_may_win_late() -> None:
    """Its turn isn't over when the next one begins."""
    with BlackHole("127.0.0.2") as early, BlackHole("127.0.0.3", early.port) as late:
        task = asyncio.create_task(dial(dialer_to("127.0.0.2", "127.0.0.3"), early.port))
        await asyncio.sleep(2 * ATTEMPT_DELAY)
        early.open()
        with await task as sock:
            assert sock.getpeername()[0] == "127.0.0.2"
        assert late.accepted() == [filler.getsockname() for filler in late.fillers[:1]]


@linux
async def test_who_answers_at_once_is_not_raced() -> None:
    with Listener("127.0.0.2") as first, Listener("127.0.0.3", first.port) as second:
        with await dial(dialer_to("127.0.0.2", "127.0.0.3"), first.port) as sock:
            assert sock.getpeername()[0] == "127.0.0.2"
        assert second.accepted() == []


@linux
@pytest.mark.parametrize(
    ("addresses", "order"),
    [
        (["127.0.0.1", "127.0.0.2", "127.0.0.3"], ["127.0.0.1", "127.0.0.2", "127.0.0.3"]),
        # IPv4-mapped ones are of IPv6's family, and refuse on the loopback as well.
        (
            ["::ffff:127.0.0.1", "::ffff:127.0.0.2", "::ffff:127.0.0.3", "127.0.0.4", "127.0.0.5"],
            ["::ffff:127.0.0.1", "127.0.0.4", "::ffff:127.0.0.2", "127.0.0.5", "::ffff:127.0.0.3"],
        ),
        (["127.0.0.1", "127.0.0.2", "::ffff:127.0.0.3"], ["127.0.0.1", "::ffff:127.0.0.3", "127.0.0.2"]),
    ],
)
async def test_families_take_turns_and_every_reason_is_told(port: int, addresses: list[str], order: list[str]) -> None:
    reasons = "; ".join(f"{ip_address(each)}: Connection refused" for each in order)
    assert await refusal(dialer_to(*addresses), port) == f"no connection to many.test:{port} ({reasons})"


@linux
async def test_reasons_are_each_address_own(port: int) -> None:
    message = await refusal(dialer_to("127.0.0.1", "255.255.255.255", "127.0.0.2"), port)
    assert message.endswith("(127.0.0.1: Connection refused; 255.255.255.255: Network is unreachable; 127.0.0.2: Connection refused)")


@linux
async def test_the_cause_is_the_systems_error(port: int) -> None:
    with pytest.raises(aioreq.ConnectError) as caught:
        await dial(dialer_to("127.0.0.1", "127.0.0.2"), port)
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


@linux
async def test_addresses_that_all_fail_are_forgotten(port: int) -> None:
    resolver = Moving(["127.0.0.1", "127.0.0.2"], ["127.0.0.1", "127.0.0.3"])
    dialer = Dialer(Names(resolver, Limits(dns_ttl=1000)))
    await refusal(dialer, port)
    with Listener("127.0.0.3", port):
        for _ in range(2):  # what has worked is remembered
            with await dial(dialer, port) as sock:
                assert sock.getpeername()[0] == "127.0.0.3"
    assert resolver.answers == []


@linux
@pytest.mark.parametrize("dead", [["127.0.0.2"], ["127.0.0.2", "127.0.0.3"]])
async def test_addresses_that_do_not_answer_in_time_are_forgotten(dead: list[str]) -> None:
    resolver = Moving(dead, ["127.0.0.4"])
    with BlackHole("127.0.0.2") as hole, BlackHole("127.0.0.3", hole.port):
        async with Server(routes=httpbin, host="127.0.0.4", port=hole.port):
            url = f"http://many.test:{hole.port}/id/1"
            async with aioreq.Client(resolver=resolver, limits=Limits(dns_ttl=1000), persistent_connections=False) as client:
                for _ in range(2):  # by a retry; then from memory
                    response = await client.get(url, timeout=Timeout(connect=0.4), retry=Retry(attempts=1, backoff=0))
                    assert response.text == "1"
    assert resolver.answers == []


@linux
async def test_steps_name_who_is_tried(port: int) -> None:
    told = Told()
    dialer = dialer_to("127.0.0.1", "127.0.0.2", "127.0.0.4", "127.0.0.5")
    with BlackHole("127.0.0.2", port), BlackHole("127.0.0.4", port), Listener("127.0.0.5", port):
        (await dial(dialer, port, opening=told)).close()
    assert [step for _, step in told.steps] == [
        "the name lookup",
        "the TCP handshake with 127.0.0.1",
        "the TCP handshake with 127.0.0.2 (127.0.0.1: Connection refused)",
        "the TCP handshake with 127.0.0.2, 127.0.0.4 (127.0.0.1: Connection refused)",
        "the TCP handshake with 127.0.0.2, 127.0.0.4, 127.0.0.5 (127.0.0.1: Connection refused)",
    ]
    times = [at for at, _ in told.steps]
    assert times[2] < AT_ONCE
    assert all(ATTEMPT_DELAY * 0.9 < later - earlier < ATTEMPT_DELAY * 2 for earlier, later in pairwise(times[2:]))


@linux
async def test_a_timeout_names_them_too() -> None:
    with BlackHole("127.0.0.2") as hole, BlackHole("127.0.0.3", hole.port):
        async with aioreq.Client(retry=0, resolver={"many.test": ["127.0.0.2", "127.0.0.3"]}) as client:
            with pytest.raises(aioreq.ConnectTimeout, match=r"during the TCP handshake with 127\.0\.0\.2, 127\.0\.0\.3, 0\.4"):
                await client.get(f"http://many.test:{hole.port}/", timeout=Timeout(connect=0.4))


@linux
async def test_a_descriptor_closed_behind_a_transports_back_is_a_failure_like_others() -> None:
    """The loops raise RuntimeError for the next socket that the system gives its number."""
    ours, theirs = socket.socketpair()
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
    number = transport.get_extra_info("socket").fileno()
    with BlackHole("127.0.0.2") as hole, theirs:
        os.close(number)
        try:
            message = await refusal(Dialer(), hole.port, "127.0.0.2")
        finally:
            os.dup2(theirs.fileno(), number)
            transport.abort()
            await asyncio.sleep(0.01)
    assert f"(127.0.0.2: File descriptor {number} is used by transport" in message


# -- given up, and won at the same time


@linux
@pytest.mark.parametrize("delay", [ATTEMPT_DELAY, 0.0])
@pytest.mark.parametrize("kind", ["holes", "refused", "mixed", "good", "one"])
async def test_giving_up_in_any_turn_leaves_nothing(monkeypatch: pytest.MonkeyPatch, kind: str, delay: float) -> None:
    monkeypatch.setattr(aioreq.dialer, "ATTEMPT_DELAY", delay)
    outcomes = []
    with contextlib.ExitStack() as stack:
        hole = stack.enter_context(BlackHole("127.0.0.2"))
        stack.enter_context(BlackHole("127.0.0.3", hole.port))
        for good in ("127.0.0.6", "127.0.0.7"):
            stack.enter_context(Listener(good, hole.port))
        addresses = {
            "holes": ["127.0.0.2", "127.0.0.3"],
            "refused": ["127.0.0.4", "127.0.0.5", "127.0.0.6"],
            "mixed": ["127.0.0.2", "127.0.0.4", "127.0.0.6", "127.0.0.3"],
            "good": ["127.0.0.6", "127.0.0.7"],
            "one": ["127.0.0.6"],
        }[kind]
        before = sockets()
        for turns in range(30):
            sock = await in_turns(dial(dialer_to(*addresses), hole.port), turns)
            outcomes.append(sock is not None)
            if sock is not None:
                assert sock.getpeername()[0] in addresses
                sock.close()
            await nothing_left(before)
        assert not outcomes[0]
        task = asyncio.create_task(dial(dialer_to(*addresses), hole.port))
        await asyncio.sleep(0.1)
        sock = await given_up(task)
        assert (sock is not None) == (kind in ("refused", "good", "one") or (kind == "mixed" and not delay))
        if sock is not None:
            sock.close()


@linux
async def test_a_storm_of_dials_leaves_nothing() -> None:
    """Names with dead and alive addresses, given up at any time."""

    class Slow:
        async def resolve(self, host: str, port: int) -> list[str]:
            await asyncio.sleep(random.uniform(0, 0.01))
            if host == "n0.test":
                raise OSError("no such name")
            return random.sample(["127.0.0.2", "127.0.0.3", "127.0.0.6", "127.0.0.7"], random.randint(1, 3))

    outcomes = set()
    dialer = Dialer(Names(Slow(), Limits(dns_ttl=0.05)), guard=PublicOnly(allow=["127.0.0.0/8"]))
    with BlackHole("127.0.0.2") as hole, Listener("127.0.0.6", hole.port) as good:
        good.socket.listen(4096)
        before = sockets()

        async def one(number: int) -> None:
            await asyncio.sleep(random.uniform(0, 0.5))
            try:
                async with asyncio.timeout(random.choice([0.002, 0.02, 0.2, 0.8])):
                    (await dial(dialer, hole.port, f"n{number % 50}.test")).close()
                outcomes.add("connected")
            except (aioreq.AioreqError, TimeoutError) as error:
                outcomes.add(type(error).__name__)

        tasks = [asyncio.create_task(one(number)) for number in range(500)]
        for task in tasks[::7]:
            asyncio.get_running_loop().call_later(random.uniform(0, 1), task.cancel)
        await asyncio.wait(tasks)
        await nothing_left(before)
    assert outcomes == {"connected", "DNSError", "ConnectError", "TimeoutError"}
    assert len(dialer.names._flights) == 0


@linux
async def test_two_that_connect_in_one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """One wins, the other is closed; and whoever gives up around that very turn leaves neither."""
    monkeypatch.setattr(aioreq.dialer, "ATTEMPT_DELAY", 0.01)
    before = sockets()
    with BlackHole("127.0.0.2") as one, BlackHole("127.0.0.3", one.port) as other:
        held = sockets()
        dials = [asyncio.create_task(dial(dialer_to("127.0.0.2", "127.0.0.3"), one.port)) for _ in range(12)]
        await asyncio.sleep(0.3)
        assert len(sockets() - held) == 24
        one.open()
        other.open()
        # The second SYN of each goes out after a second; the loop sleeps over it, and then finds them all connected.
        time.sleep(1.2)  # noqa: ASYNC251
        won = 0
        for turn, task in enumerate(dials[:-1]):
            if (sock := await given_up(task)) is not None:
                sock.close()
                won += 1
            if turn < 7:
                await asyncio.sleep(0)
        with await dials[-1] as sock:
            assert sock.getpeername()[0] in ("127.0.0.2", "127.0.0.3")
            await asyncio.sleep(0)
            assert len(sockets() - held) == 1
        assert 0 < won < 11
    await nothing_left(before)


@linux
async def test_closing_the_client_ends_the_race() -> None:
    before = sockets()
    with BlackHole("127.0.0.2") as hole, BlackHole("127.0.0.3", hole.port):
        client = aioreq.Client(retry=0, resolver={"many.test": ["127.0.0.2", "127.0.0.3"]})
        task = asyncio.create_task(client.get(f"http://many.test:{hole.port}/"))
        await asyncio.sleep(2 * ATTEMPT_DELAY)
        await client.close()
        with pytest.raises(aioreq.ClientClosed):
            await task
    await nothing_left(before)


# -- from where


@linux
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_the_local_address_is_seen_by_the_server(tls: bool) -> None:
    async with (
        Server(routes=httpbin, tls=tls) as server,
        aioreq.Client(local_address="127.0.0.9", verify=server.ca or True, retry=0) as client,
    ):
        assert (await client.get(f"{server.url}/id/1")).text == "1"
        assert [connection.peer[0] for connection in server.connections] == ["127.0.0.9"]


@linux
async def test_the_local_port(port: int) -> None:
    with Listener("127.0.0.2") as listener:
        dialer = Dialer(local_address=("127.0.0.9", port))
        for _ in range(2):
            with await dial(dialer, listener.port, "127.0.0.2"):
                pass
            assert listener.accepted() == [("127.0.0.9", port)]


@linux
async def test_attempts_may_share_a_local_port(port: int) -> None:
    dialer = dialer_to("127.0.0.2", "127.0.0.3", local_address=("127.0.0.9", port))
    with BlackHole("127.0.0.2") as hole, Listener("127.0.0.3", hole.port), await dial(dialer, hole.port) as sock:
        assert sock.getsockname() == ("127.0.0.9", port)
        assert sock.getpeername()[0] == "127.0.0.3"


@linux
async def test_a_local_address_without_a_port_leaves_the_choice_until_the_peer_is_known() -> None:
    """So that the ports of one address don't run out over all peers together."""
    with Listener() as listener, await dial(Dialer(local_address="127.0.0.9"), listener.port, "127.0.0.1") as sock:
        assert sock.getsockopt(socket.IPPROTO_IP, 24) == 1  # IP_BIND_ADDRESS_NO_PORT


@linux
@pytest.mark.parametrize(("local", "reached"), [("127.0.0.9", "127.0.0.1"), ("::ffff:127.0.0.9", "::ffff:127.0.0.2")])
async def test_a_local_address_picks_its_family(port: int, local: str, reached: str) -> None:
    with Listener("127.0.0.1", port) as ipv4, Listener("127.0.0.2", port) as mapped:
        with await dial(dialer_to("::ffff:127.0.0.2", "127.0.0.1", local_address=local), port) as sock:
            assert sock.getpeername()[0] == reached
        assert [len(ipv4.accepted()), len(mapped.accepted())] == ([1, 0] if reached == "127.0.0.1" else [0, 1])


@pytest.mark.parametrize(("local", "remote", "family"), [("127.0.0.1", "::1", "IPv4"), ("::1", "127.0.0.1", "IPv6")])
async def test_a_local_address_of_another_family(port: int, local: str, remote: str, family: str) -> None:
    message = await refusal(dialer_to(remote, local_address=local), port)
    assert message == (
        f"no connection to many.test:{port}: it has no {family} address ({remote}), and local_address={local!r} reaches no others"
    )


@linux
async def test_a_local_address_that_is_not_this_machines() -> None:
    with Listener() as listener:
        message = await refusal(Dialer(local_address="192.0.2.1"), listener.port, "127.0.0.1")
    assert message.endswith("(127.0.0.1: local_address 192.0.2.1 can't be used: Cannot assign requested address)")


@linux
async def test_options_are_set_before_the_local_address() -> None:
    """Some, as SO_REUSEPORT or IP_FREEBIND here, decide what can be bound to."""
    options = [(socket.IPPROTO_IP, 15, 1)]
    with Listener() as listener:
        message = await refusal(Dialer(local_address="192.0.2.1", socket_options=options), listener.port, "127.0.0.1")
    assert "local_address" not in message


@linux
async def test_a_link_local_address_keeps_its_interface() -> None:
    """Without one the system says "Invalid argument"."""
    number = socket.if_nametoindex("lo")
    message = await refusal(dialer_to(f"fe80::1%{number}"), 9)
    assert f"fe80::1%{number}: " in message
    assert "Invalid argument" not in message


# -- options


@linux
async def test_what_every_connection_is_set_to() -> None:
    with Listener() as listener, await dial(Dialer(), listener.port, "127.0.0.1") as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 15
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 4


@linux
async def test_the_users_options_win() -> None:
    options = [
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 7),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, False),
        (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3)),
        [socket.SOL_SOCKET, socket.SO_RCVBUF, 20000],
    ]
    dialer = dialer_to("127.0.0.2", "127.0.0.3", socket_options=iter(options))
    with BlackHole("127.0.0.2") as hole, Listener("127.0.0.3", hole.port), await dial(dialer, hole.port) as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 7
        assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == struct.pack("ii", 1, 3)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 40000  # Linux doubles it
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@linux
async def test_an_option_that_the_system_refuses() -> None:
    with Listener() as listener:
        message = await refusal(Dialer(socket_options=[(socket.IPPROTO_TCP, 9999, 1)]), listener.port, "127.0.0.1")
        assert message.endswith("(127.0.0.1: the socket option (6, 9999, 1) can't be set: Protocol not available)")
        assert listener.accepted() == []


# -- Unix sockets


@unix
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("kind", [str, os.fsencode, Path])
async def test_every_request_goes_to_the_unix_socket(path: Path, kind: Callable[[str], Any], tls: bool) -> None:
    async with Server(unix=path, routes=httpbin, tls=tls) as server:
        async with aioreq.Client(unix_socket=kind(str(path)), verify=server.ca or True, retry=0) as client:
            scheme = server.url.partition(":")[0]
            assert (await client.get(f"{scheme}://localhost/id/1")).text == "1"
            assert (await client.get(f"{scheme}://localhost:81/id/2")).text == "2"
            if not tls:
                assert (await client.get("http://not.anywhere.test/id/3")).text == "3"
            assert (await client.get(f"{scheme}://localhost/id/4")).text == "4"
        assert [request.header("host") for request in server.requests] == [
            "localhost",
            "localhost:81",
            *([] if tls else ["not.anywhere.test"]),
            "localhost",
        ]
        assert server.accepted == (2 if tls else 3)  # one for each origin, reused


@unix
async def test_a_proxy_of_a_requests_own_is_not_looked_for_at_a_unix_socket(path: Path) -> None:
    request = aioreq.Request("GET", "http://any.test/")
    request.proxies = Proxies.of("http://user:secret@proxy.test")
    async with Server(unix=path) as server, aioreq.Client(unix_socket=path, retry=0) as client:
        with pytest.raises(ValueError, match=r"proxy\.test:80 isn't looked for at a Unix socket"):
            await client.send(request)
    assert server.accepted == 0


@unix
async def test_the_certificate_is_checked_over_a_unix_socket(path: Path) -> None:
    async with Server(unix=path, tls=True) as server, aioreq.Client(unix_socket=path, verify=server.ca or True, retry=0) as client:
        with pytest.raises(aioreq.CertificateError, match=r"'not\.anywhere\.test'"):
            await client.get("https://not.anywhere.test/")


@linux
async def test_an_abstract_unix_socket() -> None:
    name = f"\0aioreq-{os.getpid()}"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(answer, name)
    async with aioreq.Client(unix_socket=name, retry=0) as client:
        assert (await client.get("http://localhost/")).text == "hi"
    server.close()
    await server.wait_closed()


@unix
@pytest.mark.parametrize(("kind", "why"), [("missing", "No such file or directory"), ("closed", "Connection refused")])
async def test_a_unix_socket_that_nobody_listens_on(path: Path, kind: str, why: str) -> None:
    if kind == "closed":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    async with aioreq.Client(unix_socket=path, retry=0) as client:
        with pytest.raises(aioreq.ConnectError) as caught:
            await client.get("http://localhost/")
    assert str(caught.value).startswith(f"no connection to localhost:80 by the Unix socket {str(path)!r} ({why})")


@pytest.fixture
async def busy(path: Path) -> AsyncIterator[tuple[Path, socket.socket]]:
    """A Unix socket whose queue is full, and who listens there."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as filler:
        listener.bind(str(path))
        listener.listen(0)
        filler.connect(str(path))
        yield path, listener


@linux
async def test_a_unix_socket_with_a_full_queue_is_waited_for(busy: tuple[Path, socket.socket]) -> None:
    path, listener = busy
    task = asyncio.create_task(dial(Dialer(unix_socket=path), 80))
    await asyncio.sleep(0.1)
    assert not task.done()
    listener.accept()[0].close()
    with await task as sock, listener.accept()[0] as accepted:
        accepted.send(b"x")
        assert sock.recv(1) == b"x"


@linux
async def test_giving_up_on_a_unix_socket(busy: tuple[Path, socket.socket]) -> None:
    path, _ = busy
    before = sockets()
    for turns in range(4):
        assert await in_turns(dial(Dialer(unix_socket=path), 80), turns) is None
        await nothing_left(before)
    async with aioreq.Client(unix_socket=path, retry=0) as client:
        with pytest.raises(aioreq.ConnectTimeout, match="during the connecting to the Unix socket '.*/server', 0.1"):
            await client.get("http://localhost/", timeout=Timeout(connect=0.1))
    await nothing_left(before)


@linux
async def test_options_of_unix_sockets(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        options = [(socket.SOL_SOCKET, socket.SO_SNDBUF, 20000)]
        with await dial(Dialer(unix_socket=path, socket_options=options), 80) as sock:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 40000
        message = await refusal(Dialer(unix_socket=path, socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]), 80)
    assert "the socket option (6, 1, 1) can't be set: " in message


# -- guards


class Only:
    """A guard of a user's own, which notes what it is asked."""

    max_body = None
    timeout = None

    def __init__(self, *admitted: str) -> None:
        self.admitted = admitted
        self.asked: list[tuple[str, int, str]] = []

    def check_origin(self, origin: Any) -> None:
        pass

    def admits(self, host: str, port: int, address: str) -> bool:
        self.asked.append((host, port, address))
        return address in self.admitted

    def admits_proxy(self, host: str, port: int) -> bool:
        return False


@linux
async def test_only_admitted_addresses_are_dialled(port: int) -> None:
    guard = Only("127.0.0.3", "127.0.0.4")
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(Listener(f"127.0.0.{n}", port)) for n in (1, 2)]
        hole = stack.enter_context(BlackHole("127.0.0.3", port))
        stack.enter_context(Listener("127.0.0.4", port))
        addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"]
        with await dial(dialer_to(*addresses, guard=guard), port) as sock:
            assert sock.getpeername()[0] == "127.0.0.4"  # the race goes on among them
        assert [listener.accepted() for listener in listeners] == [[], []]
        assert len(hole.accepted()) == 1
    assert guard.asked == [("many.test", port, each) for each in [*addresses, "127.0.0.4"]]


@linux
async def test_no_admitted_address() -> None:
    with Listener("127.0.0.1") as listener:
        with pytest.raises(aioreq.GuardError) as caught:
            await dial(dialer_to("127.0.0.1", "10.0.0.5", guard=PublicOnly()), listener.port)
        assert listener.accepted() == []
    for said in (f"many.test:{listener.port}", "127.0.0.1", "10.0.0.5", "allow="):
        assert said in str(caught.value)


@linux
async def test_a_literal_is_asked_about_too() -> None:
    with Listener() as listener:
        with pytest.raises(aioreq.GuardError, match=r"127\.0\.0\.1"):
            await dial(Dialer(guard=PublicOnly()), listener.port, "127.0.0.1")
        with await dial(Dialer(guard=PublicOnly(allow=["127.0.0.0/8"])), listener.port, "127.0.0.1"):
            pass


@linux
async def test_the_peer_is_checked_where_the_connection_ends() -> None:
    before = sockets()
    guard = Only("0.0.0.0")  # the system takes it for the loopback
    with Listener() as listener:
        with pytest.raises(aioreq.GuardError, match=r"127\.0\.0\.1"):
            await dial(Dialer(guard=guard), listener.port, "0.0.0.0")
        assert [address for _, _, address in guard.asked] == ["0.0.0.0", "127.0.0.1"]
    await nothing_left(before)


@linux
async def test_a_guard_that_fails_after_connecting_leaves_nothing() -> None:
    class Failing(Only):
        def admits(self, host: str, port: int, address: str) -> bool:
            if self.asked:
                raise LookupError("no such table")
            return super().admits(host, port, address)

    before = sockets()
    with Listener() as listener, pytest.raises(LookupError, match="no such table"):
        await dial(Dialer(guard=Failing("127.0.0.1")), listener.port, "127.0.0.1")
    await nothing_left(before)


@linux
async def test_a_connection_that_breaks_before_its_peer_is_checked() -> None:
    """There is no address to check then: it is not used."""
    guard = Only("127.0.0.1")
    with socket.socket() as broken, pytest.raises(aioreq.ConnectError, match=r"many\.test:80 broke the connection") as caught:
        Dialer(guard=guard)._check_peer(guard, "many.test", 80, broken)
    assert type(caught.value) is aioreq.ConnectError
    assert broken.fileno() == -1


# -- what a client is told


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"local_address": 5}, TypeError, "takes an IP address or (IP address, port), not 5"),
        ({"local_address": b"127.0.0.1"}, TypeError, "not b'127.0.0.1'"),
        ({"local_address": ("127.0.0.1",)}, TypeError, "not ('127.0.0.1',)"),
        ({"local_address": ("127.0.0.1", "80")}, TypeError, "not ('127.0.0.1', '80')"),
        ({"local_address": ("127.0.0.1", True)}, TypeError, "not ('127.0.0.1', True)"),
        ({"local_address": ("127.0.0.1", 65536)}, ValueError, "ports go from 0, which is any, to 65535"),
        ({"local_address": ("127.0.0.1", -1)}, ValueError, "ports go from"),
        ({"local_address": "localhost"}, ValueError, "'localhost' is no IP address"),
        ({"local_address": "127.1"}, ValueError, "'127.1' is no IP address"),
        ({"local_address": ""}, ValueError, "'' is no IP address"),
        ({"local_address": "127.0.0.1:80"}, ValueError, "is no IP address"),
        ({"local_address": "fe80::1%nowhere0"}, ValueError, "is no IP address"),
        ({"socket_options": 5}, TypeError, "takes a list of (level, name, value)"),
        ({"socket_options": "abc"}, TypeError, "not str"),
        ({"socket_options": [(1, 2)]}, TypeError, "not (1, 2)"),
        ({"socket_options": (6, 1, 1)}, TypeError, "not 6"),
        ({"socket_options": [(6, "TCP_NODELAY", 1)]}, TypeError, "not (6, 'TCP_NODELAY', 1)"),
        ({"socket_options": [(6, 1, "1")]}, TypeError, "not (6, 1, '1')"),
        ({"socket_options": [(6, 1, None)]}, TypeError, "not (6, 1, None)"),
        ({"socket_options": [(6, 1, 2**31)]}, ValueError, "beyond 32 bits"),
        ({"socket_options": [(6, -(2**31) - 1, 1)]}, ValueError, "beyond 32 bits"),
    ],
)
def test_options_are_checked_when_the_client_is_made(options: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error) as caught:
        aioreq.Client(**options)
    assert said in str(caught.value)
    assert f"Client({next(iter(options))}=" in str(caught.value)


@unix
@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"unix_socket": 5}, TypeError, "takes a path, not int"),
        ({"unix_socket": ""}, ValueError, "the path is empty"),
        ({"unix_socket": "/run/a\0b"}, ValueError, "no NUL in it"),
        ({"unix_socket": "/run/" + "x" * 110}, ValueError, "115 bytes are too long a path"),
        ({"unix_socket": "\0" + "x" * 108}, ValueError, "109 bytes" if sys.platform == "linux" else "Linux alone"),
        ({"unix_socket": "/run/a", "local_address": "127.0.0.1"}, ValueError, "unix_socket= or local_address=, not both"),
        ({"unix_socket": "/run/a", "guard": PublicOnly()}, ValueError, "unix_socket= or guard=, not both"),
    ],
)
def test_unix_sockets_are_checked_when_the_client_is_made(options: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error) as caught:
        aioreq.Client(**options)
    assert said in str(caught.value)


@linux
@pytest.mark.parametrize("longest", ["/" + "x" * 106, "\0" + "x" * 107])
async def test_the_longest_paths_of_unix_sockets(longest: str) -> None:
    message = await refusal(Dialer(unix_socket=longest), 80)
    assert "File name too long" in message or "No such file" in message or "Connection refused" in message
