"""Who knows the addresses of a name: the system, a real DNS server by aiodns, a table, or a resolver of the user's own."""

from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

import aioreq
from aioreq import AiodnsResolver, Limits, Resolver, StaticResolver, ThreadedResolver, Timeout
from aioreq.resolvers import resolver_of
from aioreq.testing import Authority, Server, httpbin

pytestmark = pytest.mark.usefixtures("no_hanging")

A, AAAA = 1, 28


class DNSServer:
    """A name server on a loopback UDP port (RFC 1035), in a thread: knows `zone`, and says nothing about the names in `silent`."""

    def __init__(self) -> None:
        self.zone: dict[str, list[str]] = {}
        self.silent: set[str] = set()
        self.asked: list[tuple[str, int]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:{1}".format(*self._socket.getsockname())
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> DNSServer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            query, client = self._socket.recvfrom(4096)
            if not query:
                return
            answer = self._answer(query)
            if answer:
                self._socket.sendto(answer, client)

    def _answer(self, query: bytes) -> bytes:
        labels, at = [], 12
        while length := query[at]:
            labels.append(query[at + 1 : at + 1 + length].decode("ascii"))
            at += 1 + length
        name = ".".join(labels).lower()
        (kind,) = struct.unpack_from("!H", query, at + 1)
        question = query[12 : at + 5]
        self.asked.append((name, kind))
        if name in self.silent:
            return b""
        records = [ip_address(text).packed for text in self.zone.get(name, [])]
        records = [packed for packed in records if len(packed) == {A: 4, AAAA: 16}.get(kind)]
        code = 0 if name in self.zone else 3  # NXDOMAIN
        # Flags: a response, recursion desired and available. Each answer names the question's name (a pointer to byte 12), for a minute.
        head = query[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(records), 0, 0)
        return head + question + b"".join(struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(each)) + each for each in records)


@pytest.fixture
def dns() -> Iterator[DNSServer]:
    with DNSServer() as dns:
        yield dns


def by(dns: DNSServer) -> AiodnsResolver:
    return AiodnsResolver([dns.address], timeout=0.2, tries=2)


# aiodns


async def test_aiodns_asks_a_name_server(dns: DNSServer) -> None:
    dns.zone["both.test"] = ["127.0.0.1", "::1"]
    dns.zone["four.test"] = ["127.0.0.1", "127.0.0.2"]
    dns.zone["six.test"] = ["::1"]
    resolver = by(dns)
    assert sorted(await resolver.resolve("both.test", 80)) == ["127.0.0.1", "::1"]
    assert sorted(await resolver.resolve("four.test", 80)) == ["127.0.0.1", "127.0.0.2"]
    assert await resolver.resolve("six.test", 80) == ["::1"]
    assert set(dns.asked) == {(name, kind) for name in ("both.test", "four.test", "six.test") for kind in (A, AAAA)}


async def test_aiodns_end_to_end(dns: DNSServer, server: Server) -> None:
    dns.zone["web.test"] = ["127.0.0.1"]
    async with aioreq.Client(retry=0, resolver=by(dns)) as client:
        urls = [f"http://web.test:{server.port}/id/{number}" for number in range(20)]
        assert [answer.text for answer in await asyncio.gather(*map(client.get, urls))] == [str(number) for number in range(20)]
    assert sorted(dns.asked) == [("web.test", A), ("web.test", AAAA)]
    assert server.requests[0].header("host") == f"web.test:{server.port}"


async def test_aiodns_finds_no_name(dns: DNSServer) -> None:
    dns.zone["empty.test"] = []
    async with aioreq.Client(retry=0, resolver=by(dns)) as client:
        with pytest.raises(aioreq.DNSError, match=r"host 'nowhere\.test' has no address: Domain name not found") as caught:
            await client.get("http://nowhere.test/")
        assert caught.value.request is not None
        assert type(caught.value.__cause__).__module__ == "aiodns.error"
        with pytest.raises(aioreq.DNSError, match=r"host 'empty\.test' has no address: \w+"):
            await client.get("http://empty.test/")


async def test_aiodns_with_a_silent_name_server(dns: DNSServer) -> None:
    dns.silent.add("silent.test")
    dns.zone["web.test"] = ["127.0.0.1"]
    async with aioreq.Client(retry=0, resolver=by(dns)) as client:
        with pytest.raises(aioreq.DNSError, match=r"host 'silent\.test' has no address: Timeout"):
            await client.get("http://silent.test/")
        with pytest.raises(aioreq.ConnectTimeout, match=r"during the name lookup"):
            await client.get("http://silent.test/", timeout=Timeout(connect=0.05))
    # One that was given up doesn't spoil the next.
    assert await by(dns).resolve("web.test", 80) == ["127.0.0.1"]


async def test_aiodns_knows_the_hosts_file() -> None:
    assert "127.0.0.1" in await AiodnsResolver().resolve("localhost", 80)


async def test_aiodns_with_what_can_be_no_host_name(dns: DNSServer) -> None:
    for host in ("a" * 64 + ".test", "a..b.test", "\xfc" * 70 + ".test"):
        with pytest.raises(aioreq.DNSError) as caught:
            await by(dns).resolve(host, 80)
        assert host[:20] in str(caught.value)
    assert dns.asked == []


async def test_a_name_server_that_is_none() -> None:
    async with aioreq.Client(retry=0, resolver=AiodnsResolver(["dns.test"])) as client:
        with pytest.raises(aioreq.DNSError, match=r"host 'one\.test' has no address: AiodnsResolver raised AresError"):
            await client.get("http://one.test/")


def test_nameservers_are_a_list() -> None:
    with pytest.raises(TypeError, match="give a list"):
        AiodnsResolver("192.0.2.53")


def test_without_aiodns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiodns", None)
    with pytest.raises(ImportError, match=r"AiodnsResolver needs aiodns: pip install 'aioreq\[speedups\]'"):
        AiodnsResolver()
    ThreadedResolver()


def test_aiodns_is_imported_by_none_but_its_users() -> None:
    code = "import sys, aioreq; aioreq.Client(); aioreq.ThreadedResolver(); print({'aiodns', 'pycares'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop]
try:
    import uvloop
except ImportError:
    pass
else:
    LOOPS.append(uvloop.new_event_loop)


@pytest.mark.parametrize("new_loop", LOOPS)
def test_aiodns_on_one_loop_after_another(dns: DNSServer, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    dns.zone["web.test"] = ["127.0.0.1"]
    resolver = by(dns)
    for _ in range(3):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            assert runner.run(resolver.resolve("web.test", 80)) == ["127.0.0.1"]
            assert len(resolver._channels) == 1
        assert resolver._channels == {}


def test_aiodns_on_several_loops_at_once(dns: DNSServer) -> None:
    dns.zone.update({f"n{number}.test": [f"127.0.0.{number + 1}"] for number in range(50)})
    resolver = by(dns)
    found: list[list[list[str]]] = []

    async def work() -> None:
        found.append(await asyncio.gather(*(resolver.resolve(f"n{number}.test", 80) for number in range(50))))

    threads = [threading.Thread(target=asyncio.run, args=(work(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[[f"127.0.0.{number + 1}"] for number in range(50)]] * 4


def test_aiodns_on_a_loop_closed_without_a_runner(dns: DNSServer) -> None:
    dns.zone["web.test"] = ["127.0.0.1"]
    resolver = by(dns)
    for _ in range(3):
        loop = asyncio.new_event_loop()
        try:
            assert loop.run_until_complete(resolver.resolve("web.test", 80)) == ["127.0.0.1"]
            assert list(resolver._channels) == [loop]  # those before it are gone
        finally:
            loop.close()


END = """
import asyncio, gc, os, sys, time
import aioreq

def descriptors():
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

async def main(leave):
    asyncio.get_running_loop().slow_callback_duration = 60
    client = aioreq.Client(retry=0, resolver=aioreq.AiodnsResolver([sys.argv[1]]))
    task = asyncio.create_task(client.get("http://silent.test/"))
    await asyncio.sleep(0.05)
    assert not task.done()
    if leave == "cancelled":
        task.cancel()
        await asyncio.sleep(0)
    elif leave == "closed":
        await client.close()
        await asyncio.wait([task])
        assert isinstance(task.exception(), aioreq.ClientClosed)
    # else: the runner cancels it

if sys.argv[2] == "uvloop":
    import uvloop
    new_loop = uvloop.new_event_loop
else:
    new_loop = asyncio.new_event_loop
counts = []
for leave in ["cancelled", "closed", "running"] * 8:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main(leave))
    gc.collect()
    time.sleep(0.05)
    counts.append(descriptors())
print(counts[2], counts[-1])
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_aiodns_ends_with_its_loop_in_silence(dns: DNSServer, loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    dns.silent.add("silent.test")
    command = [sys.executable, "-W", "error", "-c", END, dns.address, loop]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.returncode == 0
    early, late = map(int, done.stdout.split())
    assert late <= early, "each loop leaves descriptors behind"


async def test_a_dropped_resolver_lets_go(dns: DNSServer) -> None:
    dns.zone["web.test"] = ["127.0.0.1"]
    resolver: AiodnsResolver | None = by(dns)
    assert resolver is not None
    await resolver.resolve("web.test", 80)
    [(channel, _)] = resolver._channels.values()
    assert not channel._closed
    resolver = None
    for _ in range(3):
        await asyncio.sleep(0)
    assert channel._closed


async def test_a_closed_resolver_lets_go_and_starts_anew(dns: DNSServer) -> None:
    dns.zone["web.test"] = ["127.0.0.1"]
    resolver = by(dns)
    await resolver.close()  # there is nothing yet
    await resolver.resolve("web.test", 80)
    [(channel, _)] = resolver._channels.values()
    under_way = asyncio.ensure_future(resolver.resolve("silent.test", 80))
    dns.silent.add("silent.test")
    await asyncio.sleep(0)
    await resolver.close()
    assert channel._closed
    assert resolver._channels == {}
    with pytest.raises(aioreq.DNSError):
        await under_way
    assert await resolver.resolve("web.test", 80) == ["127.0.0.1"]


async def test_options_of_aiodns(dns: DNSServer) -> None:
    """As they are: here, below which domain a name without a dot is looked for."""
    dns.zone["web.below.test"] = ["127.0.0.1"]
    resolver = AiodnsResolver([dns.address], timeout=0.2, tries=1, domains=["below.test"])
    assert await resolver.resolve("web", 80) == ["127.0.0.1"]


# A table


async def test_a_table_of_names() -> None:
    class Fallback:
        async def resolve(self, host: str, port: int) -> Sequence[str]:
            return [f"fallback for {host}:{port}"]

    table = StaticResolver(
        {
            "one.test": "192.0.2.1",
            "one.test:8443": ["192.0.2.2", "2001:db8::2"],
            "Two.TEST.:80": "192.0.2.3",
            "b\xfccher.test": "192.0.2.4",
        },
        fallback=Fallback(),
    )
    assert [list(await table.resolve(host, port)) for host, port in [("one.test", 80), ("one.test", 8443), ("one.test.", 80)]] == [
        ["192.0.2.1"],
        ["192.0.2.2", "2001:db8::2"],
        ["192.0.2.1"],
    ]
    assert list(await table.resolve("two.test", 80)) == ["192.0.2.3"]
    assert list(await table.resolve("xn--bcher-kva.test", 443)) == ["192.0.2.4"]
    for host, port in [("two.test", 81), ("www.one.test", 80), ("test", 80)]:
        assert await table.resolve(host, port) == [f"fallback for {host}:{port}"]


async def test_a_tables_fallback_is_the_system() -> None:
    assert set(await StaticResolver({}).resolve("localhost", 80)) & {"127.0.0.1", "::1"}


@pytest.mark.parametrize(
    ("table", "kind", "text"),
    [
        ({"": "192.0.2.1"}, ValueError, "'' is neither 'host' nor 'host:port'"),
        ({":80": "192.0.2.1"}, ValueError, "':80' is neither"),
        ({"one.test:http": "192.0.2.1"}, ValueError, "'one.test:http' is neither"),
        ({"one.test:99999": "192.0.2.1"}, ValueError, "port is not a number from 1 to 65535"),
        ({"http://one.test": "192.0.2.1"}, ValueError, "'http://one.test' is neither"),
        ({"me@one.test": "192.0.2.1"}, ValueError, "'me@one.test' is neither"),
        ({"127.0.0.1": "192.0.2.1"}, ValueError, "'127.0.0.1' is a literal address, which is never looked up"),
        ({"[::1]:80": "192.0.2.1"}, ValueError, "is a literal address"),
        ({80: "192.0.2.1"}, TypeError, "a key is 'host' or 'host:port', not int"),
        ({"one.test": "two.test"}, ValueError, "'one.test' stands for IP addresses as text, not 'two.test'"),
        ({"one.test": ["192.0.2.1", "[::1]"]}, ValueError, "not '[::1]'"),
        ({"one.test": [ip_address("192.0.2.1")]}, ValueError, "not IPv4Address"),
        ({"one.test": []}, ValueError, "'one.test' has no address"),
        ({"one.test": None}, TypeError, "not NoneType"),
        ({"one.test": b"192.0.2.1"}, TypeError, "not bytes"),
    ],
)
def test_a_table_that_makes_no_sense(table: Any, kind: type[Exception], text: str) -> None:
    for make in (StaticResolver, lambda table: aioreq.Client(resolver=table)):
        with pytest.raises(kind) as caught:
            make(table)
        assert text in str(caught.value)


async def test_a_table_end_to_end(server: Server, closed_port: int) -> None:
    table = {f"web.test:{server.port}": "127.0.0.1", "web.test": "127.0.0.2"}
    async with aioreq.Client(retry=0, resolver=table) as client:
        response = await client.get(f"http://web.test:{server.port}/id/1")
        assert response.text == "1"
        assert response.request.host == "web.test"
        with pytest.raises(aioreq.ConnectError, match=r"127\.0\.0\.2"):
            await client.get(f"http://web.test:{closed_port}/")
    assert server.requests[0].header("host") == f"web.test:{server.port}"


async def test_a_table_over_tls_checks_the_name(tmp_path: Path) -> None:
    authority = Authority()
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.pem)
    context = authority.server_context("web.test")
    asked: list[str | None] = []
    context.sni_callback = lambda connection, name, _: asked.append(name)
    table = {"web.test": ["127.0.0.2", "127.0.0.1"], "other.test": "127.0.0.1"}
    async with Server(tls=context, routes=httpbin) as server, aioreq.Client(retry=0, verify=ca, resolver=table) as client:
        assert (await client.get(f"https://web.test:{server.port}/id/1")).text == "1"
        with pytest.raises(aioreq.CertificateError, match=r"other\.test"):
            await client.get(f"https://other.test:{server.port}/id/1")
        assert [request.header("host") for request in server.requests] == [f"web.test:{server.port}"]
    assert asked == ["web.test", "other.test"]


async def test_a_table_holds_for_redirects_and_knows_no_literals(server: Server) -> None:
    table = StaticResolver({"web.test": "127.0.0.1", "localhost": "127.0.0.2"})

    @server.route("/to")
    def to(request: Any) -> Any:
        return Server.Reply(302, [("Location", f"http://web.test:{server.port}/id/2")])

    async with aioreq.Client(retry=0, resolver=table) as client:
        assert (await client.get(f"http://127.0.0.1:{server.port}/to")).text == "2"


# A resolver of the user's own


async def test_an_own_resolver(server: Server) -> None:
    class Own:
        asked: list[tuple[str, int]] = []  # noqa: RUF012 -- one for the test

        async def resolve(self, host: str, port: int) -> Sequence[str]:
            self.asked.append((host, port))
            return ("127.0.0.1",)

    own = Own()
    assert isinstance(own, Resolver)
    async with aioreq.Client(retry=0, resolver=own) as client:
        assert (await client.get(f"http://web.test:{server.port}/id/1")).text == "1"
        assert (await client.get(f"http://127.0.0.1:{server.port}/id/2")).text == "2"
    assert own.asked == [("web.test", server.port)]


async def test_two_clients_share_no_answers(server: Server) -> None:
    near, far = {"web.test": "127.0.0.1"}, {"web.test": "127.0.0.2"}
    async with aioreq.Client(retry=0, resolver=near) as one, aioreq.Client(retry=0, resolver=far) as other:
        assert (await one.get(f"http://web.test:{server.port}/id/1")).text == "1"
        with pytest.raises(aioreq.ConnectError):
            await other.get(f"http://web.test:{server.port}/id/1")


async def test_what_is_remembered_obeys_the_clients_limits(server: Server) -> None:
    class Counting:
        asked = 0

        async def resolve(self, host: str, port: int) -> Sequence[str]:
            self.asked += 1
            return ["127.0.0.1"]

    for limits, asked in [(Limits(), 1), (Limits(dns=0), 3), (Limits(dns_ttl=0), 3)]:
        counting = Counting()
        async with aioreq.Client(retry=0, resolver=counting, limits=limits, persistent_connections=False) as client:
            for _ in range(3):
                await client.get(f"http://web.test:{server.port}/id/1")
        assert counting.asked == asked


@pytest.mark.parametrize("kind", [ThreadedResolver, StaticResolver, AiodnsResolver])
def test_ours_are_resolvers(kind: Callable[..., Any]) -> None:
    made = kind({}) if kind is StaticResolver else kind()
    assert isinstance(made, Resolver)
    assert resolver_of(made) is made


@pytest.mark.parametrize("given", [ThreadedResolver, 5, "192.0.2.53", ["192.0.2.53"], object(), lambda host, port: ["127.0.0.1"]])
def test_what_is_no_resolver(given: Any) -> None:
    with pytest.raises(TypeError, match=r"resolver= takes an object with `async def resolve\(host, port\)`, or a mapping of names"):
        aioreq.Client(resolver=given)


# The system


async def test_the_system_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(host: str, port: int, family: int, kind: int) -> list[Any]:
        sockaddrs = [("2001:db8::1", port, 0, 0), ("192.0.2.1", port), ("fe80::1", port, 0, 3), (10, bytes(16))]
        return [(socket.AF_INET6 if len(each) == 4 else socket.AF_INET, kind, 6, "", each) for each in sockaddrs]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert await ThreadedResolver().resolve("one.test", 80) == ["2001:db8::1", "192.0.2.1", "fe80::1%3"]


async def test_the_system_finds_none() -> None:
    with pytest.raises(socket.gaierror):
        await ThreadedResolver().resolve("nowhere.invalid", 80)
    with pytest.raises(aioreq.DNSError, match="is no host name"):
        await ThreadedResolver().resolve("a" * 64 + ".test", 80)
