"""How a connector was told to dial: one family alone, in which order and how fast, by sockets of the user's own making."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest

import aioreq
from aioreq import Connector, Limits, StaticResolver
from aioreq.dialer import ATTEMPT_DELAY, Dialer
from aioreq.dns import Names
from aioreq.testing import Server
from aioreq.transfer import Opening

# All of 127.0.0.0/8 is the loopback's, and IPv4-mapped addresses are of IPv6's family.
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux' loopback")
pytestmark = pytest.mark.usefixtures("no_hanging")

ONE, TWO, THREE = "127.0.0.1", "127.0.0.2", "127.0.0.3"
MAPPED = str(ip_address("::ffff:127.0.0.4"))


@pytest.fixture
def port() -> Iterator[int]:
    """A port that refuses on every address until somebody listens: see test_dialer.py."""
    with socket.socket() as taken:
        taken.bind(("" if sys.platform == "linux" else "127.0.0.1", 0))
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        yield taken.getsockname()[1]


def dialer_to(*addresses: str, **options: Any) -> Dialer:
    """A dialer for which `many.test` has these addresses."""
    return Dialer(Names(StaticResolver({"many.test": list(addresses)}), Limits()), **options)


async def tried(dialer: Dialer, port: int) -> list[str]:
    """The addresses that are tried, in this order, where each refuses."""
    with pytest.raises(aioreq.ConnectError) as caught:
        await dialer.dial(asyncio.get_running_loop(), "many.test", port, Opening())
    return [part.split(": Connection refused")[0] for part in str(caught.value).partition("(")[2].removesuffix(")").split("; ")]


@linux
@pytest.mark.parametrize(
    ("options", "order"),
    [
        ({}, [ONE, MAPPED, TWO, THREE]),
        ({"interleave": 0}, [ONE, TWO, THREE, MAPPED]),
        ({"interleave": 2}, [ONE, TWO, MAPPED, THREE]),
        ({"interleave": 9}, [ONE, TWO, THREE, MAPPED]),
        ({"happy_eyeballs_delay": None}, [ONE, TWO, THREE, MAPPED]),
        ({"happy_eyeballs_delay": None, "interleave": 1}, [ONE, MAPPED, TWO, THREE]),
        ({"family": socket.AF_INET}, [ONE, TWO, THREE]),
        ({"family": socket.AF_INET6}, [MAPPED]),
        ({"family": socket.AF_INET, "local_address": "127.0.0.9"}, [ONE, TWO, THREE]),
    ],
    ids=str,
)
async def test_the_order(port: int, options: dict[str, Any], order: list[str]) -> None:
    """RFC 8305 section 4; `interleave` is its "First Address Family Count"."""
    assert await tried(dialer_to(ONE, TWO, THREE, MAPPED, **options), port) == order


async def test_none_of_the_wanted_family(port: int) -> None:
    for address in ("::1", "many.test"):
        with pytest.raises(aioreq.ConnectError, match=r"it has no IPv4 address \(::1\), and family=IPv4 reaches no others"):
            await dialer_to("::1", family=socket.AF_INET).dial(asyncio.get_running_loop(), address, port, Opening())


@linux
@pytest.mark.parametrize("delay", [0.05, None])
async def test_when_the_next_one_is_tried(delay: float | None) -> None:
    """So many seconds later, or when the one before has failed: a black hole never does."""
    with socket.create_server((TWO, 0), backlog=0) as hole:
        port = hole.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex((TWO, port))
        with socket.create_server((THREE, port)):
            began = time.perf_counter()
            dialer = dialer_to(TWO, THREE, happy_eyeballs_delay=delay)
            try:
                async with asyncio.timeout(2 * ATTEMPT_DELAY):
                    with await dialer.dial(asyncio.get_running_loop(), "many.test", port, Opening()) as sock:
                        assert sock.getpeername()[0] == THREE
                assert delay is not None
                assert time.perf_counter() - began >= delay * 0.9
            except TimeoutError:
                assert delay is None
        for filler in fillers:
            filler.close()


@linux
async def test_one_after_the_other_until_one_answers(port: int) -> None:
    with socket.create_server((THREE, port)):
        dialer = dialer_to(ONE, TWO, THREE, happy_eyeballs_delay=None)
        with await dialer.dial(asyncio.get_running_loop(), "many.test", port, Opening()) as sock:
            assert sock.getpeername()[0] == THREE


# Sockets of the user's own


async def test_a_socket_of_the_users_own(server: Server) -> None:
    made: list[tuple[int, Any]] = []

    def factory(family: int, address: tuple[Any, ...]) -> socket.socket:
        made.append((family, address))
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 12345)
        return sock

    async with Connector(socket_factory=factory) as connector:
        client = aioreq.Client(connector=connector)
        async with client.stream("GET", f"{server.url}/bytes/500000") as response:
            transport: Any = response._body._source.transport  # type: ignore[union-attr]
            sock = transport.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) in (12345, 2 * 12345)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert len(await response.read()) == 500000
        assert (await client.get(f"{server.url}/id/1")).connection.reused
    assert made == [(socket.AF_INET, ("127.0.0.1", server.port))]


async def test_a_blocking_socket_does_not_hold_up_the_loop(server: Server) -> None:
    blocking: list[bool] = []

    class Noting(socket.socket):
        def connect(self, address: Any) -> None:
            blocking.append(self.getblocking())
            super().connect(address)

    async with Connector(socket_factory=lambda family, address: Noting(family)) as connector:
        assert (await aioreq.Client(connector=connector, retry=0).get(f"{server.url}/id/1")).text == "1"
    assert blocking == [False]


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (PermissionError(1, "no"), "127.0.0.1: Operation not permitted"),
        (KeyError("mine"), "127.0.0.1: 'mine'"),
        ("a socket", "127.0.0.1: socket_factory gave str, not a socket"),
    ],
    ids=["refused", "broken", "other"],
)
async def test_a_factory_that_gives_none(server: Server, outcome: Any, said: str) -> None:
    def factory(family: int, address: tuple[Any, ...]) -> Any:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async with Connector(socket_factory=factory) as connector:
        with pytest.raises(aioreq.ConnectError) as caught:
            await aioreq.Client(connector=connector, retry=0).get(server.url)
    assert said in str(caught.value)


async def test_a_socket_that_does_not_connect_is_closed(port: int) -> None:
    made: list[socket.socket] = []

    def factory(family: int, address: tuple[Any, ...]) -> socket.socket:
        made.append(socket.socket(family))
        return made[0]

    async with Connector(socket_factory=factory) as connector:
        with pytest.raises(aioreq.ConnectError, match="Connection refused"):
            await aioreq.Client(connector=connector, retry=0).get(f"http://127.0.0.1:{port}/")
    assert made[0].fileno() == -1


# Told wrongly


@pytest.mark.no_loop
@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"family": socket.AF_UNIX if hasattr(socket, "AF_UNIX") else 99}, ValueError, "IPv4 is socket.AF_INET, IPv6 socket.AF_INET6"),
        ({"family": "IPv4"}, ValueError, "Connector(family='IPv4')"),
        ({"family": socket.AF_INET6, "local_address": "127.0.0.1"}, ValueError, "local_address='127.0.0.1' is of another family"),
        ({"happy_eyeballs_delay": -1}, ValueError, "Connector(happy_eyeballs_delay=-1): seconds can't be negative or NaN"),
        ({"happy_eyeballs_delay": "1"}, TypeError, "Connector(happy_eyeballs_delay=...) takes seconds or None, not str"),
        ({"interleave": -1}, ValueError, "Connector(interleave=-1): must be at least 0"),
        ({"interleave": 1.5}, TypeError, "Connector(interleave=...) takes a whole number, not float"),
        ({"socket_factory": 1}, TypeError, "Connector(socket_factory=...) takes a function of a family and an address, not 1"),
    ],
)
def test_what_is_wrong_is_told_when_the_connector_is_made(options: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error) as caught:
        Connector(**options)
    assert said in str(caught.value)
