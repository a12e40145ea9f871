"""Resolvers: aiohttp's own and a user's own, what of their answers decides where a connection goes, and how long it is remembered.

Tests with `lib` run on both.
"""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import sys
from typing import Any

import pytest

import aioreq.compat.aiohttp as ours
from aioreq.testing import Server

aiodns = pytest.mark.skipif(importlib.util.find_spec("aiodns") is None, reason="aiodns isn't installed")
KINDS = ["ThreadedResolver", pytest.param("AsyncResolver", marks=aiodns)]


def answer(host: str, address: str, port: int) -> dict[str, Any]:
    return {"hostname": host, "host": address, "port": port, "family": socket.AF_INET, "proto": 0, "flags": socket.AI_NUMERICHOST}


async def text(session: Any, url: str) -> str:
    async with session.get(url) as response:
        found: str = await response.text()
        return found


@pytest.mark.parametrize("kind", KINDS)
async def test_what_it_answers(lib: Any, kind: str) -> None:
    resolver = getattr(lib, kind)()
    assert isinstance(resolver, lib.abc.AbstractResolver)
    found = await resolver.resolve("localhost", 80, family=socket.AF_INET)
    assert {each["host"] for each in found} == {"127.0.0.1"}
    assert [set(each) for each in found] == [{"hostname", "host", "port", "family", "proto", "flags"}] * len(found)
    assert {(each["hostname"], each["port"], each["family"]) for each in found} == {("localhost", 80, socket.AF_INET)}
    assert {each["host"] for each in await resolver.resolve("localhost")} == {"127.0.0.1"}  # IPv4, unless something else is said
    both = {each["host"] for each in await resolver.resolve("localhost", family=socket.AF_UNSPEC)}
    assert "127.0.0.1" in both
    assert both <= {"127.0.0.1", "::1"}
    await resolver.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_name_that_is_none(lib: Any, kind: str) -> None:
    with pytest.raises(OSError):
        await getattr(lib, kind)().resolve("nosuch.invalid", 80)


@pytest.mark.parametrize("kind", KINDS)
async def test_in_a_connector(lib: Any, server: Server, kind: str) -> None:
    resolver = getattr(lib, kind)()
    async with lib.ClientSession(connector=lib.TCPConnector(resolver=resolver, family=socket.AF_INET)) as session:
        assert await text(session, f"http://localhost:{server.port}/id/1") == "1"
        with pytest.raises(lib.ClientConnectorDNSError) as caught:
            await text(session, "http://nosuch.invalid/")
    assert (caught.value.host, caught.value.port) == ("nosuch.invalid", 80)
    assert isinstance(caught.value.os_error, OSError)


@aiodns
async def test_closing_one_leaves_the_others(lib: Any) -> None:
    one, other, own = lib.AsyncResolver(), lib.AsyncResolver(), lib.AsyncResolver(timeout=1)
    for resolver in (one, own, other):
        assert await resolver.resolve("localhost", 80)
        await resolver.close()


async def test_the_default(lib: Any) -> None:
    assert lib.DefaultResolver is (lib.ThreadedResolver if importlib.util.find_spec("aiodns") is None else lib.AsyncResolver)


async def test_without_aiodns(lib: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules[lib.AsyncResolver.__module__]
    monkeypatch.setitem(sys.modules, "aiodns", None)
    monkeypatch.setattr(module, "aiodns", None, raising=False)  # aiohttp's own memory of it
    monkeypatch.setattr(module, "_shared_resolver", None, raising=False)  # and ours
    with pytest.raises(RuntimeError, match="Resolver requires aiodns library"):
        lib.AsyncResolver()


# A user's own


async def test_it_says_which_address_and_port(lib: Any, server: Server) -> None:
    """As in aiohttp's example of a fake server: names lead to a port of this machine."""

    class Fake(lib.abc.AbstractResolver):  # type: ignore[misc]
        async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[dict[str, Any]]:
            return [answer(host, "127.0.0.1", server.port)] if port == 80 else await self.real.resolve(host, port, family)

        async def close(self) -> None: ...

        real = lib.ThreadedResolver()

    async with lib.ClientSession(connector=lib.TCPConnector(resolver=Fake(), family=socket.AF_INET)) as session:
        assert await text(session, "http://one.test/id/1") == "1"
        assert await text(session, f"http://localhost:{server.port}/id/2") == "2"
    assert [request.header("host") for request in server.requests] == ["one.test", f"localhost:{server.port}"]


async def test_it_is_asked_for_the_connectors_family(lib: Any, server: Server) -> None:
    asked: list[Any] = []

    class Noting(lib.ThreadedResolver):  # type: ignore[misc]
        async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> Any:
            asked.append((host, port, family))
            return await super().resolve(host, port, socket.AF_INET)

    for family in (socket.AF_UNSPEC, socket.AF_INET):
        async with lib.ClientSession(connector=lib.TCPConnector(resolver=Noting(), family=family)) as session:
            assert await text(session, f"http://localhost:{server.port}/id/1") == "1"
    assert asked == [("localhost", server.port, family) for family in (socket.AF_UNSPEC, socket.AF_INET)]


@pytest.mark.parametrize("error", [OSError(-2, "Name or service not known"), OSError(None, "no such name")])
async def test_what_it_raises(lib: Any, error: OSError) -> None:
    class Broken(lib.abc.AbstractResolver):  # type: ignore[misc]
        async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> Any:
            raise error

        async def close(self) -> None: ...

    async with lib.ClientSession(connector=lib.TCPConnector(resolver=Broken())) as session:
        with pytest.raises(lib.ClientConnectorDNSError) as caught:
            await text(session, "http://one.test/")
    assert (caught.value.os_error.errno, caught.value.os_error.strerror) == (error.errno, error.strerror)


@pytest.mark.parametrize("found", [[], [answer("one.test", "no address", 80)], [answer("one.test", "127.0.0.1", 70000)]])
async def test_an_answer_that_leads_nowhere(found: list[Any]) -> None:
    """aiohttp fails with an AssertionError where there is none, and hands on what the system makes of the others."""

    class Wrong(ours.abc.AbstractResolver):
        async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> Any:
            return found

        async def close(self) -> None: ...

    async with ours.ClientSession(connector=ours.TCPConnector(resolver=Wrong())) as session:
        with pytest.raises(ours.ClientConnectorDNSError, match=r"one\.test"):
            await text(session, "http://one.test/")


async def test_one_question_for_all_who_wait(lib: Any, server: Server) -> None:
    asked: list[str] = []

    class Slow(lib.abc.AbstractResolver):  # type: ignore[misc]
        async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> Any:
            asked.append(host)
            await asyncio.sleep(0.05)
            return [answer(host, "127.0.0.1", port)]

        async def close(self) -> None: ...

    async with lib.ClientSession(connector=lib.TCPConnector(resolver=Slow())) as session:
        tasks = [asyncio.create_task(text(session, f"http://one.test:{server.port}/id/{number}")) for number in range(5)]
        await asyncio.sleep(0.01)
        tasks[0].cancel()  # who gives up takes nobody along
        assert await asyncio.gather(*tasks[1:]) == ["1", "2", "3", "4"]
    assert asked == ["one.test"]


# What is remembered of their answers


class Counting:
    """A resolver that knows one address, and counts who asks."""

    def __init__(self, lib: Any) -> None:
        asked = self.asked = []  # type: list[tuple[str, int, int]]

        class Resolver(lib.abc.AbstractResolver):  # type: ignore[misc]
            closed = False

            async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> Any:
                asked.append((host, port, family))
                return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}]

            async def close(self) -> None:
                self.closed = True

        self.resolver = Resolver()


@pytest.mark.parametrize(
    ("options", "times"), [({}, 1), ({"ttl_dns_cache": None}, 1), ({"use_dns_cache": False}, 3), ({"ttl_dns_cache": 0}, 3)], ids=str
)
async def test_how_long_names_are_remembered(lib: Any, server: Server, options: dict[str, Any], times: int) -> None:
    counting = Counting(lib)
    connector = lib.TCPConnector(resolver=counting.resolver, force_close=True, family=socket.AF_INET, **options)
    async with lib.ClientSession(connector=connector) as session:
        for _ in range(3):
            await text(session, f"http://one.test:{server.port}/")
            await asyncio.sleep(0.002)
    assert counting.asked == [("one.test", server.port, socket.AF_INET)] * times
    assert not counting.resolver.closed  # it is the user's


async def test_how_many_names_are_remembered(lib: Any, server: Server) -> None:
    counting = Counting(lib)
    connector = lib.TCPConnector(resolver=counting.resolver, force_close=True, dns_cache_max_size=1)
    async with lib.ClientSession(connector=connector) as session:
        for name in ("one", "two", "two", "one"):
            await text(session, f"http://{name}.test:{server.port}/")
    assert [host for host, _, _ in counting.asked] == ["one.test", "two.test", "one.test"]


async def test_forgetting_names(lib: Any, server: Server) -> None:
    counting = Counting(lib)
    connector = lib.TCPConnector(resolver=counting.resolver, force_close=True)
    async with lib.ClientSession(connector=connector) as session:
        for forget in ((), ("one.test", server.port), ("other.test", server.port), ("one.test", 1)):
            await text(session, f"http://one.test:{server.port}/")
            connector.clear_dns_cache(*forget)
        await text(session, f"http://one.test:{server.port}/")
        assert len(counting.asked) == 3
        for half in ({"host": "one.test"}, {"port": 80}):
            with pytest.raises(ValueError, match="either both host and port or none of them are allowed"):
                connector.clear_dns_cache(**half)


async def test_a_literal_of_another_family(server: Server) -> None:
    """aiohttp fails with an AssertionError."""
    async with ours.ClientSession(connector=ours.TCPConnector(family=socket.AF_INET6)) as session:
        with pytest.raises(ours.ClientConnectorError, match="it has no IPv6 address"):
            await text(session, server.url)
