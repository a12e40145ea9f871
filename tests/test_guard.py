"""A guarded client: what it dials and what it doesn't, at each redirect, retry, lookup and proxy; and the caps that come with a guard."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import pytest
from test_resolvers import DNSServer, by
from test_timeouts import full_backlog

import aioreq
from aioreq import Client, GuardError, Limits, PublicOnly, Retry, Timeout
from aioreq.middlewares import MiddleWare, MiddleWareTypes, default_middlewares
from aioreq.pool import Pool
from aioreq.testing import Pause, Reply, Request, Reset, Script, Server, Stall, httpbin, ssrf
from aioreq.urls import Origin

pytestmark = pytest.mark.usefixtures("no_hanging")

NO_MEMORY = Limits(dns_ttl=0)  # each connection asks the resolver
REFUSED = (GuardError, aioreq.InvalidURL)


@pytest.fixture
async def canary() -> AsyncIterator[Server]:
    """A server on loopback that nobody may reach."""
    async with Server(routes=httpbin) as server:
        yield server


def only(*servers: Server, **options: Any) -> PublicOnly:
    """A guard that admits these servers, by address and port."""
    return PublicOnly(allow=[f"{server.host}:{server.port}" for server in servers], **options)


def names(**answers: list[str] | list[list[str]]) -> ssrf.Resolver:
    """`one=["127.0.0.1"]` is what one.test resolves to; a list of lists takes turns."""
    table: dict[str, Any] = {f"{name}.test": answer if isinstance(answer[0], list) else [answer] for name, answer in answers.items()}
    return ssrf.Resolver(table)


# -- the list of bypasses


async def test_no_bypass(canary: Server) -> None:
    async with Client(guard=PublicOnly(), resolver=ssrf.Resolver()) as client:
        assert await ssrf.bypasses(client.get, ssrf.attempts(), REFUSED) == []
        assert await ssrf.bypasses(client.get, ssrf.attempts(canary.port), REFUSED) == []
        assert client.pool().open == 0
    assert canary.accepted == 0


async def test_no_bypass_by_redirects(server: Server, canary: Server) -> None:
    ways = ssrf.redirected(server, ssrf.attempts(canary.port))
    assert len(ways) > 100
    async with Client(guard=only(server), resolver=ssrf.Resolver()) as client:
        assert await ssrf.bypasses(client.get, ways, (GuardError, aioreq.RemoteProtocolError)) == []

        async def stream(url: str) -> Any:
            async with client.stream("GET", url) as response:
                return response

        assert await ssrf.bypasses(stream, ways, (GuardError, aioreq.RemoteProtocolError)) == []
    assert canary.accepted == 0


async def test_the_list_finds_what_an_unguarded_client_lets_through(canary: Server, server: Server) -> None:
    near = [attempt for attempt in ssrf.attempts(canary.port) if "127.0.0.1:" in attempt.url or "localhost" in attempt.url]
    async with Client(resolver=ssrf.Resolver(), retry=0) as client:
        found = await ssrf.bypasses(client.get, near, REFUSED)
        assert canary.accepted > 0
        assert any(f"'http://127.0.0.1:{canary.port}/' (loopback) gave <Response 404" in line for line in found)
        assert any("'http://localhost:" in line for line in found)
        assert any("a public name as userinfo" in line for line in found)
        way = ssrf.redirected(server, [ssrf.Attempt(canary.url + "/id/1", "loopback")])
        assert "gave <Response 200 OK>" in (await ssrf.bypasses(client.get, way, REFUSED))[0]
        # Failing by luck, or not at all, is no refusal.
        slow = ssrf.Attempt(canary.url + "/delay/10", "patience")
        assert (await ssrf.bypasses(client.get, [slow], REFUSED, seconds=0.1))[0].endswith("(patience) was under way after 0.1 s")
        assert "raised ConnectError" in (await ssrf.bypasses(client.get, [ssrf.Attempt("http://127.0.0.1:1/", "x")], REFUSED))[0]


# -- before anything is looked up


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "https://[::1]/", "http://169.254.169.254:8080/"])
async def test_a_literal_is_refused_at_once(url: str) -> None:
    resolver = names()
    async with Client(guard=PublicOnly(), resolver=resolver) as client:
        with pytest.raises(
            GuardError, match=r"the guard refuses .* is in .*; if it is meant to be reached, PublicOnly\(allow=\["
        ) as caught:
            await client.get(url)
        assert str(caught.value.request.url if caught.value.request else None) == url
    assert resolver.asked == []


async def test_what_is_refused_by_its_url_is_not_looked_up() -> None:
    resolver = names(one=["127.0.0.1"])
    guard = PublicOnly(deny=["one.test", "*.denied.test"], schemes=["https"], ports=[443], allow=["two.test:8443"])
    async with Client(guard=guard, resolver=resolver) as client:
        for url in ("http://two.test/", "https://two.test:80/", "https://one.test/", "https://One.Test./", "https://a.denied.test/"):
            with pytest.raises(GuardError):
                await client.get(url)
        assert resolver.asked == []
        with pytest.raises(aioreq.DNSError):
            await client.get("https://two.test:8443/", retry=0)


# -- names


async def test_only_admitted_addresses_are_dialled() -> None:
    async with Server(routes=httpbin, host="127.0.0.1") as server:
        others = [Server(routes=httpbin, host=host, port=server.port) for host in ("127.0.0.2", "127.0.0.3")]
        async with others[0], others[1]:
            resolver = names(mixed=["127.0.0.2", "::1", "127.0.0.3", "127.0.0.1", "::ffff:127.0.0.1", "10.0.0.1"])
            async with Client(guard=only(server), resolver=resolver, limits=NO_MEMORY, persistent_connections=False) as client:
                for number in range(20):
                    assert (await client.get(f"http://mixed.test:{server.port}/id/{number}")).text == str(number)
            assert [other.accepted for other in others] == [0, 0]


async def test_survivors_are_raced(server: Server) -> None:
    with full_backlog() as stalled:
        # What doesn't answer holds up nobody: both addresses are admitted, the next one is tried soon.
        async with Server(routes=httpbin, host="127.0.0.4", port=stalled) as other:
            guard = PublicOnly(allow=[f"127.0.0.1:{stalled}", f"127.0.0.4:{stalled}"])
            resolver = names(two=["127.0.0.3", "127.0.0.1", "127.0.0.4", "10.0.0.1"])
            async with Client(guard=guard, resolver=resolver) as client:
                response = await client.get(f"http://two.test:{stalled}/id/1")
                assert response.text == "1"
                assert response.elapsed < 2
            assert other.accepted == 1


async def test_no_survivor(canary: Server) -> None:
    resolver = names(none=["127.0.0.1", "10.0.0.1", "::1"])
    async with Client(guard=PublicOnly(), resolver=resolver) as client:
        with pytest.raises(GuardError) as caught:
            await client.get(f"http://none.test:{canary.port}/")
        for part in ("none.test", "127.0.0.0/8", "10.0.0.0/8", "::1/128", f"allow=['none.test:{canary.port}']"):
            assert part in str(caught.value)
    assert canary.accepted == 0
    assert len(resolver.asked) == 1  # it is not tried again


async def test_a_name_in_allow_may_be_private(server: Server) -> None:
    resolver = names(inside=["127.0.0.1"], outside=["127.0.0.1"])
    async with Client(guard=PublicOnly(allow=["inside.test"]), resolver=resolver) as client:
        assert (await client.get(f"http://inside.test:{server.port}/id/1")).text == "1"
        # Another name for the same server gets neither its own connection nor the idle one.
        with pytest.raises(GuardError):
            await client.get(f"http://outside.test:{server.port}/id/2")
        with pytest.raises(GuardError):
            await client.get(server.url + "/id/3")
    assert [request.path for request in server.requests] == ["/id/1"]


async def test_rebinding(server: Server) -> None:
    async with Server(routes=httpbin, host="127.0.0.2", port=server.port) as private:
        resolver = names(rebinding=[["127.0.0.1"], ["127.0.0.2"]])
        url = f"http://rebinding.test:{server.port}/id/1"
        async with Client(guard=only(server), resolver=resolver, limits=NO_MEMORY, persistent_connections=False) as client:
            for number in range(6):
                if number % 2:
                    with pytest.raises(GuardError):
                        await client.get(url)
                else:
                    assert (await client.get(url)).text == "1"
        # What is checked is what is dialled: there is no second lookup in which the answer could change.
        assert len(resolver.asked) == 6
        assert private.accepted == 0


async def test_rebinding_of_the_systems_answers(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = itertools.cycle(["127.0.0.1", "127.0.0.2"])

    def lookup(host: str, port: int, *rest: Any, **more: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(turns), port))]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    async with Server(routes=httpbin, host="127.0.0.2", port=server.port) as private:
        async with Client(guard=only(server), limits=NO_MEMORY, persistent_connections=False) as client:
            for _ in range(3):
                assert (await client.get(f"http://rebinding.test:{server.port}/id/1")).text == "1"
                with pytest.raises(GuardError):
                    await client.get(f"http://rebinding.test:{server.port}/id/1")
        assert private.accepted == 0


async def test_a_name_server_that_lies(server: Server) -> None:
    pytest.importorskip("aiodns")
    async with Server(routes=httpbin, host="127.0.0.2", port=server.port) as private:
        with DNSServer() as dns:
            dns.zone["mixed.test"] = ["127.0.0.2", "10.0.0.1", "127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"]
            dns.zone["private.test"] = ["127.0.0.2", "10.0.0.1", "::1", "::ffff:127.0.0.1"]
            async with Client(guard=only(server), resolver=by(dns), persistent_connections=False) as client:
                for number in range(5):
                    assert (await client.get(f"http://mixed.test:{server.port}/id/{number}")).text == str(number)
                with pytest.raises(GuardError) as caught:
                    await client.get(f"http://private.test:{server.port}/")
                for part in ("127.0.0.2", "10.0.0.1", "::1", "::ffff:127.0.0.1" if sys.version_info >= (3, 13) else "::ffff:7f00:1"):
                    assert f"{part} is in " in str(caught.value)
        assert private.accepted == 0


@pytest.mark.parametrize("kind", ["threads", "aiodns", "table"])
async def test_localhost_by_each_resolver(canary: Server, kind: str) -> None:
    if kind == "aiodns":
        pytest.importorskip("aiodns")
    kinds: dict[str, Callable[[], Any]] = {"threads": aioreq.ThreadedResolver, "aiodns": aioreq.AiodnsResolver}
    resolver = kinds[kind]() if kind in kinds else {"localhost": "127.0.0.1"}
    async with Client(guard=PublicOnly(), resolver=resolver) as client:
        with pytest.raises(GuardError, match=r"localhost:\d+: .*loopback"):
            await client.get(f"http://localhost:{canary.port}/")
    assert canary.accepted == 0


async def test_rebinding_the_answer_that_is_remembered(server: Server) -> None:
    resolver = names(rebinding=[["127.0.0.2"], ["127.0.0.1"]])
    async with Client(guard=only(server), resolver=resolver, persistent_connections=False) as client:
        for _ in range(2):
            with pytest.raises(GuardError):
                await client.get(f"http://rebinding.test:{server.port}/id/1")


async def test_a_retry_is_checked_again(server: Server) -> None:
    async with Server(host="127.0.0.2", port=server.port) as private:
        resolver = names(rebinding=[["127.0.0.9"], ["127.0.0.2"]])
        guard = PublicOnly(allow=["127.0.0.9"])
        async with Client(guard=guard, resolver=resolver, limits=NO_MEMORY, retry=Retry(attempts=5, backoff=0)) as client:
            with pytest.raises(GuardError):
                await client.get(f"http://rebinding.test:{server.port}/")
        assert len(resolver.asked) == 2
        assert private.accepted == 0


async def test_a_silent_resend_is_checked_again(server: Server) -> None:
    server.script(Reset(), path="/again", on="head")
    async with Server(routes=httpbin, host="127.0.0.2", port=server.port) as private:
        resolver = names(rebinding=[["127.0.0.1"], ["127.0.0.2"]])
        async with Client(guard=only(server), resolver=resolver, limits=NO_MEMORY, retry=0) as client:
            assert (await client.get(f"http://rebinding.test:{server.port}/id/1")).text == "1"
            with pytest.raises(GuardError):
                await client.get(f"http://rebinding.test:{server.port}/again")
        assert [request.path for request in server.requests] == ["/id/1", "/again"]
        assert len(resolver.asked) == 2
        assert private.accepted == 0


@pytest.mark.skipif(sys.platform != "linux", reason="needs an interface of a known name")
async def test_a_guard_sees_the_interface_of_an_address() -> None:
    resolver = names(bound=["2606:4700:4700::1111%lo"])
    async with Client(guard=PublicOnly(), resolver=resolver) as client:
        with pytest.raises(GuardError, match=r"2606:4700:4700::1111%\d+ is bound to one network interface"):
            await client.get("http://bound.test/")


# -- the peer


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(("address", "peer"), [("0.0.0.0", "127.0.0.1"), ("::", "::1")])
async def test_the_peer_is_checked_after_connecting(address: str, peer: str, tls: bool) -> None:
    # Where the system is asked for the address that stands for every one it connects to itself: what is dialled isn't the peer.
    async with Server(routes=httpbin, host=peer, tls=tls) as server:
        url = f"{'https' if tls else 'http'}://odd.test:{server.port}/id/1"
        for guard in (PublicOnly(allow=[address]), PublicOnly(allow=[address, peer], deny=[peer])):
            async with Client(guard=guard, resolver=names(odd=[address]), verify=False) as client:
                with pytest.raises(GuardError, match=rf"odd\.test:{server.port}: {peer} is"):
                    await client.get(url)
                assert client.pool().open == 0
        await server.until(lambda: not server.connections)
        assert server.requests == []
        async with Client(guard=PublicOnly(allow=[address, peer]), resolver=names(odd=[address]), verify=False) as client:
            assert (await client.get(url)).text == "1"


# -- redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_redirect_to_what_is_refused(server: Server, canary: Server, status: int, streamed: bool) -> None:
    server.route("/start", Reply(status, [("Location", canary.url + "/id/1")]))
    async with Client(guard=only(server)) as client:
        with pytest.raises(GuardError) as caught:
            if streamed:
                async with client.stream("POST", server.url + "/start", content=b"x"):
                    pass
            else:
                await client.post(server.url + "/start", content=b"x")
        assert str(caught.value.request.url if caught.value.request else None) == canary.url + "/id/1"
        # Where it came from is of no more harm.
        assert (await client.get(server.url + "/id/2")).text == "2"
    assert canary.accepted == 0


async def test_a_redirect_to_a_private_name(server: Server, canary: Server) -> None:
    resolver = names(public=["127.0.0.1"], private=["127.0.0.1"])
    guard = PublicOnly(allow=[f"public.test:{server.port}"])
    server.route("/start", Reply(302, [("Location", f"http://private.test:{canary.port}/")]))
    server.route("/port", Reply(302, [("Location", f"http://public.test:{canary.port}/")]))
    async with Client(guard=guard, resolver=resolver) as client:
        for path in ("/start", "/port"):
            with pytest.raises(GuardError):
                await client.get(f"http://public.test:{server.port}{path}")
    assert canary.accepted == 0


async def test_a_redirect_to_another_scheme_or_port(server: Server) -> None:
    async with Server(routes=httpbin, tls=True) as secure:
        secure.route("/start", Reply(302, [("Location", server.url + "/id/1")]))
        options: list[dict[str, Any]] = [{"schemes": ["https"]}, {"ports": [secure.port]}, {"deny": [f"127.0.0.1:{server.port}"]}]
        for option in options:
            async with Client(guard=PublicOnly(allow=["127.0.0.1"], **option), verify=secure.ca or True) as client:
                assert (await client.get(secure.url + "/id/1")).text == "1"
                with pytest.raises(GuardError):
                    await client.get(secure.url + "/start")
    assert server.accepted == 0


# -- who else sends


async def test_a_request_that_a_middleware_makes(server: Server, canary: Server) -> None:
    class Elsewhere(MiddleWare):
        async def process(self, request: aioreq.Request, client: Client) -> Any:
            return await self.next_middleware.process(aioreq.Request("GET", canary.url), client)

    chains: list[MiddleWareTypes] = [(Elsewhere,), (Elsewhere, *default_middlewares), (*default_middlewares, Elsewhere)]
    for middlewares in chains:
        async with Client(guard=only(server), middlewares=middlewares) as client:
            with pytest.raises(GuardError):
                await client.get(server.url)
    assert canary.accepted == 0


async def test_what_a_middleware_makes_has_the_caps_of_the_guard(server: Server) -> None:
    made: list[aioreq.Request] = []

    class Own(MiddleWare):
        async def process(self, request: aioreq.Request, client: Client) -> Any:
            return await self.next_middleware.process(made[0], client)

    chains: list[MiddleWareTypes] = [(Own,), (Own, *default_middlewares), (*default_middlewares, Own)]
    server.route("/never", Script((b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", Stall())))
    for middlewares in chains:
        async with Client(guard=only(server, max_body=1000, timeout=0.2), middlewares=middlewares, retry=0) as client:
            for options in ({}, {"timeout": Timeout()}, {"timeout": None}):
                made[:] = [aioreq.Request("GET", server.url + "/bytes/1000", **options)]
                assert len((await client.get(server.url)).content) == 1000
                made[:] = [aioreq.Request("GET", server.url + "/bytes/1001", **options)]
                with pytest.raises(aioreq.LimitExceeded):
                    await client.get(server.url)
                made[:] = [aioreq.Request("GET", server.url + "/never", **options)]
                with pytest.raises(aioreq.TotalTimeout, match=r"the total limit of 0\.2 s"):
                    await client.get(server.url)


async def test_what_no_client_has_settled_goes_by_the_pool_that_sends_it(canary: Server) -> None:
    async with Client() as client, Client(guard=PublicOnly()) as guarded:
        assert (await client.pool().send(aioreq.Request("GET", f"{canary.url}/get"))).status == 200
        with pytest.raises(GuardError):  # the way that it took there is no way from here
            await guarded.pool().send(aioreq.Request("GET", f"{canary.url}/get"))
    assert len(canary.requests) == 1


async def test_what_another_client_has_sent_is_judged_when_a_middleware_sends_it(server: Server, canary: Server) -> None:
    async with Client() as unguarded:
        sent = (await unguarded.get(canary.url + "/id/1")).request

        class Again(MiddleWare):
            async def process(self, request: aioreq.Request, client: Client) -> Any:
                return await self.next_middleware.process(sent, client)

        chains: list[MiddleWareTypes] = [(Again, *default_middlewares), (*default_middlewares, Again)]
        for middlewares in chains:
            async with Client(guard=only(server), middlewares=middlewares) as client:
                with pytest.raises(GuardError):
                    await client.get(server.url)
        assert (await unguarded.send(sent)).text == "1"  # which is none of its own client's business
    assert [request.path for request in canary.requests] == ["/id/1"] * 2


async def test_every_way_to_send(server: Server, canary: Server) -> None:
    guard = only(server)
    request = aioreq.Request("GET", canary.url)
    async with Client(guard=guard) as client, Client() as unguarded:
        with pytest.raises(GuardError):
            await client.send(request)
        with pytest.raises(GuardError):
            async with client.stream("GET", canary.url):
                pass
        # Sent before by somebody else, it has what that one settled; the client that sends it settles it anew.
        response = await unguarded.get(canary.url + "/id/1")
        with pytest.raises(GuardError):
            await client.send(response.request)
    with pytest.raises(GuardError):
        async with aioreq.StreamClient(request=request, guard=guard):
            pass
    assert canary.accepted == 1


async def test_guarded_and_unguarded_share_no_connection(server: Server) -> None:
    async with Client() as unguarded, Client(guard=only(server)) as guarded, Client(guard=only(server)) as other:
        pool = Pool(asyncio.get_running_loop(), Limits())
        for expected in (3, 3):
            for client in (unguarded, guarded, other):
                request = client.settings.new_request("GET", server.url + "/id/1", {})
                assert (await pool.send(request)).status == 200
            assert server.accepted == expected
        pool.close()
        await asyncio.sleep(0)


# -- guards of users' own


class Recording:
    """Admits all but what it is told, and notes what it is asked."""

    max_body = None
    timeout = None

    def __init__(self, *refused: str) -> None:
        self.refused = refused
        self.asked: list[tuple[Any, ...]] = []

    def check_origin(self, origin: Origin) -> None:
        self.asked.append(("origin", *origin))
        if origin.host in self.refused:
            raise GuardError(f"not {origin.host}")

    def admits(self, host: str, port: int, address: str) -> bool:
        self.asked.append(("address", host, port, address))
        if address == "127.0.0.8":
            raise GuardError("one is enough")
        return address not in self.refused

    def admits_proxy(self, host: str, port: int) -> bool:
        self.asked.append(("proxy", host, port))
        return False


async def test_what_a_guard_is_asked(server: Server) -> None:
    guard: aioreq.Guard = Recording("127.0.0.2", "127.0.0.3", "no.test")
    assert isinstance(guard, Recording)
    port = server.port
    resolver = names(one=["127.0.0.2", "127.0.0.1"], private=["127.0.0.2", "127.0.0.3"], strict=["127.0.0.8"])
    server.route("/hop", Reply(302, [("Location", f"http://one.test:{port}/id/1")]))
    server.route("/no", Reply(302, [("Location", f"http://no.test:{port}/id/1")]))
    async with Client(guard=guard, resolver=resolver) as client:
        assert (await client.get(f"http://127.0.0.1:{port}/hop")).text == "1"
        literal = [("origin", "http", "127.0.0.1", port), ("address", "127.0.0.1", port, "127.0.0.1")]
        named = [
            ("origin", "http", "one.test", port),
            ("address", "one.test", port, "127.0.0.2"),
            ("address", "one.test", port, "127.0.0.1"),
        ]
        assert guard.asked == [*literal, literal[1], *named, named[2]]
        guard.asked.clear()
        assert (await client.get(f"http://one.test:{port}/id/2")).text == "2"
        assert guard.asked == named[:1]  # a connection in use was judged when it was opened
        with pytest.raises(GuardError, match=r"(?m)^not no\.test$"):
            await client.get(f"http://127.0.0.1:{port}/no")
        with pytest.raises(GuardError, match=r"Recording object at .* refuses private\.test:\d+ at 127\.0\.0\.2, 127\.0\.0\.3"):
            await client.get(f"http://private.test:{port}/")
        with pytest.raises(GuardError, match="one is enough"):
            await client.get(f"http://strict.test:{port}/")


@pytest.mark.parametrize("guard", [PublicOnly, Recording, True, "public", object(), ["10.0.0.0/8"]])
def test_what_is_no_guard(guard: Any) -> None:
    with pytest.raises(TypeError, match=r"guard= takes an aioreq\.PublicOnly, or an object with all that aioreq\.Guard names, not "):
        Client(guard=guard)


def test_a_guard_that_lacks_a_method() -> None:
    class Half:
        max_body = timeout = None

        def check_origin(self, origin: Origin) -> None: ...

    with pytest.raises(TypeError, match="not Half"):
        Client(guard=Half())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["check_origin", "admits", "admits_proxy"])
def test_a_guard_is_not_awaited(name: str) -> None:
    class Awaited(PublicOnly):
        pass

    async def answer(self: Any, *about: Any) -> bool:
        return False

    setattr(Awaited, name, answer)
    with pytest.raises(TypeError, match=rf"Awaited\.{name} is asked and not awaited: make it a plain `def`"):
        Client(guard=Awaited())


def test_a_guard_can_not_judge_a_unix_socket() -> None:
    with pytest.raises(ValueError, match="unix_socket= or guard="):
        Client(guard=PublicOnly(), unix_socket="/run/some.sock")


# -- proxies


@pytest.fixture
async def proxy() -> AsyncIterator[Server]:
    """What plays a proxy: says which target it was asked for."""
    async with Server() as server:

        @server.route("*")
        def answer(request: Request) -> str:
            return request.target.decode()

        yield server


async def test_proxies_of_the_environment_are_left_out(server: Server, proxy: Server) -> None:
    with ssrf.proxies_in_environment(proxy.url):
        async with Client() as client:
            assert (await client.get("http://somewhere.test/")).text == "http://somewhere.test/"
        proxy.requests.clear()
        async with Client(guard=only(server), resolver=ssrf.Resolver()) as client:
            assert (await client.get(server.url + "/id/1")).text == "1"
            assert await ssrf.bypasses(client.get, ssrf.attempts(proxy.port), REFUSED) == []
        # A guard that admits whole networks names no proxy by that.
        async with Client(guard=PublicOnly(allow=["127.0.0.0/8"]), resolver=names(somewhere=["10.0.0.1"])) as client:
            assert (await client.get(server.url + "/id/1")).text == "1"
            with pytest.raises(GuardError):
                await client.get("http://somewhere.test/")
    assert proxy.requests == []


async def test_an_admitted_proxy_of_the_environment_is_used(proxy: Server, canary: Server) -> None:
    with ssrf.proxies_in_environment(proxy.url):
        guard = only(proxy, deny=["denied.test"], ports=[80, 443])
        async with Client(guard=guard) as client:
            assert (await client.get("http://somewhere.test/")).text == "http://somewhere.test/"
            # What can be seen of the target is checked all the same.
            for url in (
                canary.url,
                "http://127.0.0.1/",
                "http://[::1]/",
                "http://denied.test/",
                "http://somewhere.test:81/",
                "https://10.0.0.1/",
            ):
                with pytest.raises(GuardError):
                    await client.get(url)
    assert [request.target for request in proxy.requests] == [b"http://somewhere.test/"]
    assert canary.accepted == 0


async def test_a_redirect_behind_a_proxy_is_checked(canary: Server) -> None:
    async with Server() as proxy:
        proxy.route("*", Reply(302, [("Location", canary.url)]))
        async with Client(guard=only(proxy), proxy=proxy.url) as client:
            with pytest.raises(GuardError):
                await client.get("http://somewhere.test/")
    assert len(proxy.requests) == 1
    assert canary.accepted == 0


@pytest.mark.parametrize("scheme", ["http", "https", "socks4", "socks4a", "socks5", "socks5h"])
@pytest.mark.parametrize("target", ["http://somewhere.test/", "https://somewhere.test/"])
async def test_a_proxy_that_is_not_admitted_is_an_error(proxy: Server, scheme: str, target: str) -> None:
    resolver = names(somewhere=["8.8.8.8"], proxy=["127.0.0.1"])
    for host in ("127.0.0.1", "proxy.test"):
        url = f"{scheme}://{'secret' if scheme.startswith('socks4') else 'user:secret'}@{host}:{proxy.port}"
        for guard in (PublicOnly(), PublicOnly(allow=["*.test", "127.0.0.0/8"])):
            async with Client(guard=guard, proxy=url, resolver=resolver) as client:
                with pytest.raises(GuardError, match=rf"the guard refuses proxy {host}:{proxy.port}.*PublicOnly\(allow=\[") as caught:
                    await client.get(target)
                assert "secret" not in str(caught.value)
            async with Client(guard=guard, resolver=resolver) as client:
                with pytest.raises(GuardError):
                    await client.get(target, proxy=url)
    assert proxy.accepted == 0


@pytest.mark.parametrize("scheme", ["socks4", "socks5"])
async def test_names_that_are_looked_up_here_are_judged_for_socks_too(proxy: Server, scheme: str) -> None:
    resolver = names(private=["10.0.0.1", "169.254.169.254"])
    async with Client(guard=only(proxy), proxy=f"{scheme}://127.0.0.1:{proxy.port}", resolver=resolver) as client:
        with pytest.raises(GuardError, match=r"private\.test.*10\.0\.0\.0/8.*169\.254\.0\.0/16"):
            await client.get("http://private.test/")
    assert proxy.accepted == 0


async def test_the_address_of_a_proxy_is_judged_like_any(proxy: Server) -> None:
    guard = PublicOnly(allow=[f"proxy.test:{proxy.port}"], deny=["127.0.0.2"])
    resolver = names(proxy=[["127.0.0.2"], ["127.0.0.1"]])
    async with Client(guard=guard, proxy=f"http://proxy.test:{proxy.port}", resolver=resolver, limits=NO_MEMORY) as client:
        with pytest.raises(GuardError, match=r"127\.0\.0\.2 is denied"):
            await client.get("http://somewhere.test/")
        assert (await client.get("http://somewhere.test/")).status == 200


# -- caps


async def read_whole(client: Client, url: str, **options: Any) -> int:
    return len((await client.get(url, **options)).content)


async def read_stream(client: Client, url: str, **options: Any) -> int:
    async with client.stream("GET", url, **options) as response:
        return len(await response.read())


async def iterate(client: Client, url: str, **options: Any) -> int:
    async with client.stream("GET", url, **options) as response:
        return sum([len(piece) async for piece in response.content])


async def iterate_sized(client: Client, url: str, **options: Any) -> int:
    async with client.stream("GET", url, **options) as response:
        return sum([len(piece) async for piece in response.iter_bytes(100)])


async def iterate_raw(client: Client, url: str, **options: Any) -> int:
    async with client.stream("GET", url, **options) as response:
        return sum([len(piece) async for piece in response.iter_raw()])


Read = Callable[..., Any]
READERS: list[Read] = [read_whole, read_stream, iterate, iterate_sized, iterate_raw]
every_way = pytest.mark.parametrize("read", READERS)


@every_way
async def test_a_body_above_the_cap(server: Server, read: Read) -> None:
    server.route("/gzip-bomb", Reply(200, [("Content-Encoding", "gzip")], gzip.compress(bytes(300_000))))
    async with Client(guard=only(server, max_body=1000), limits=Limits(connections=1)) as client:
        for path in ("/bytes/1001", "/bytes/1000000", "/stream/100", *(["/gzip-bomb"] if read is not iterate_raw else [])):
            with pytest.raises(aioreq.LimitExceeded, match="guard") as caught:
                await read(client, server.url + path)
            assert caught.value.limit == "body"
            assert caught.value.request is not None
        for size in (0, 1000):
            assert await read(client, f"{server.url}/bytes/{size}") == size


async def test_the_cap_of_a_stream_that_is_taken_up_again_and_again(server: Server) -> None:
    async with Client(guard=only(server, max_body=300_000)) as client:
        for raw in (True, False):
            with pytest.raises(aioreq.LimitExceeded, match="guard"):
                async with client.stream("GET", server.url + "/bytes/5000000") as response:
                    while await anext(response.iter_raw() if raw else response.content, b""):
                        pass


@every_way
async def test_the_lower_cap_wins(server: Server, read: Read) -> None:
    url = server.url + "/bytes/500"
    async with Client(guard=only(server, max_body=400)) as client:
        with pytest.raises(aioreq.LimitExceeded):
            await read(client, url, max_body=1000)
    async with Client(guard=only(server, max_body=1000), limits=Limits(body=400)) as client:
        if read in (read_whole, read_stream):  # what is iterated over is bounded by the guard alone
            with pytest.raises(aioreq.LimitExceeded):
                await read(client, url)
            with pytest.raises(aioreq.LimitExceeded):
                await read(client, url, max_body=499)
        assert await read(client, url, max_body=500) == 500
    async with Client(guard=only(server, max_body=None)) as client:
        assert await read(client, server.url + "/bytes/20000000") == 20_000_000


async def test_the_default_cap_of_a_body(server: Server) -> None:
    async with Client(guard=only(server)) as client:
        assert await read_whole(client, f"{server.url}/bytes/{10 * 1024 * 1024}") == 10 * 1024 * 1024
        with pytest.raises(aioreq.LimitExceeded):
            await read_whole(client, f"{server.url}/bytes/{10 * 1024 * 1024 + 1}")


@pytest.mark.parametrize(
    ("own", "expected"),
    [({}, 0.1), ({"timeout": 20}, 0.1), ({"timeout": None}, 0.1), ({"timeout": Timeout(read=20)}, 0.1), ({"timeout": 0.05}, 0.05)],
)
async def test_the_total_time_is_capped(server: Server, own: dict[str, Any], expected: float) -> None:
    guard = only(server, timeout=0.1)
    server.route("/never", Script((b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", Stall())))
    for in_client in (True, False):
        async with Client(guard=guard, retry=0, **(own if in_client else {})) as client:
            for read in (read_whole, iterate):
                with pytest.raises(aioreq.TotalTimeout, match=rf"the total limit of {expected:g} s"):
                    await read(client, server.url + "/never", **({} if in_client else own))


async def test_a_dripped_body_ends_by_the_cap(server: Server) -> None:
    async with Client(guard=only(server, timeout=0.3)) as client:
        with pytest.raises(aioreq.TotalTimeout):
            await iterate(client, server.url + "/drip?numbytes=100&duration=10")


async def test_the_caps_of_a_guard_are_defaults_only_with_a_guard() -> None:
    async with Client() as plain, Client(guard=PublicOnly()) as guarded, Client(guard=PublicOnly(timeout=None, max_body=None)) as uncapped:
        requests = [client.settings.new_request("GET", "http://example.com", {}) for client in (plain, guarded, uncapped)]
    assert [(request.timeout.total, request.max_body, request.terms.max_stream) for request in requests] == [
        (None, Limits().body, None),
        (30, 10 * 1024 * 1024, 10 * 1024 * 1024),
        (None, Limits().body, None),
    ]


async def test_a_chain_of_redirects_shares_the_time(server: Server) -> None:
    for number in range(20):
        server.script(
            Pause(0.05), f"HTTP/1.1 302 Found\r\nLocation: /{number + 1}\r\nContent-Length: 0\r\n\r\n".encode(), path=f"/{number}"
        )
    async with Client(guard=only(server, timeout=0.3)) as client:
        with pytest.raises(aioreq.TotalTimeout):
            await client.get(server.url + "/0")
    assert len(server.requests) < 10


# -- the kit


async def test_the_resolver_of_the_kit() -> None:
    resolver = ssrf.Resolver()
    assert await resolver.resolve("LocalTest.me.", 80) == ("127.0.0.1", "::1")
    assert {(await resolver.resolve(f"a{number}.ssrf.test", 80))[0] for number in range(len(ssrf.ADDRESSES))} == set(ssrf.ADDRESSES)
    with pytest.raises(socket.gaierror, match="not in the table"):
        await resolver.resolve("example.com", 80)


def test_the_attempts_of_the_kit() -> None:
    attempts = ssrf.attempts(8080)
    urls = [attempt.url for attempt in attempts]
    assert len(set(urls)) > 140
    assert all(attempt.tries for attempt in attempts)
    with_port: Iterable[str] = [url for url in urls if not url.startswith(("file:", "unix:", "http+unix:", "data:"))]
    assert [url for url in with_port if ":8080" not in url] == []
    assert all(":8080" not in attempt.url for attempt in ssrf.attempts())


def test_the_environment_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://before.test:1")
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("https_proxy", raising=False)
    with ssrf.proxies_in_environment("http://proxy.test:3128"):
        assert {os.environ.get(name) for name in ssrf.PROXY_VARIABLES} == {"http://proxy.test:3128"}
        assert "NO_PROXY" not in os.environ
    assert (os.environ["HTTP_PROXY"], os.environ["NO_PROXY"]) == ("http://before.test:1", "*")
    assert "https_proxy" not in os.environ
