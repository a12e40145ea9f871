"""Side by side: time limits, reuse and closing of connections, Unix sockets, resolvers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

import pytest

from aioreq.testing import Close, Pause, ReadBytes, ReadRequest, Reply, Request, Server, Stall

from .side_by_side import Stage, same

SHORT = 0.2  # seconds: what is waited for never comes


def ok(server: Server) -> None:
    server.route("*", "ok")


# -- time limits


SILENCES = [(phase, field) for phase in ("head", "body", "chunk", "slow head") for field in ("total", "sock_read")]


@pytest.mark.parametrize(("phase", "field"), [*SILENCES, ("slow head", "connect"), ("slow head", "sock_connect")])
async def test_silence(phase: str, field: str) -> None:
    steps = {
        "head": (ReadRequest(), Stall()),
        "body": (ReadRequest(), b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", Stall()),
        "chunk": (ReadRequest(), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", Stall()),
        "slow head": (ReadRequest(), b"HTTP/1.1 200 OK\r\n", Pause(0.05), b"Content-Length: 2\r\n\r\n", Pause(0.05), b"ok"),
    }[phase]
    seconds = 2 if phase == "slow head" else SHORT

    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session:
            await stage.ask(session, "POST", timeout=stage.lib.ClientTimeout(**{field: seconds}))

    await same(play, routes=lambda server: server.script(*steps, on="accept"))


@pytest.mark.parametrize("field", ["total", "connect", "sock_read"])
async def test_no_free_connection(field: str) -> None:
    async def play(stage: Stage) -> None:
        lib = stage.lib
        async with lib.ClientSession(connector=lib.TCPConnector(limit=1)) as session:
            async with session.get(stage.url + "/held"):
                timeout = (
                    lib.ClientTimeout(**{field: SHORT}) if field != "sock_read" else lib.ClientTimeout(total=SHORT, sock_read=SHORT / 2)
                )
                await stage.ask(session, timeout=timeout)
            await stage.ask(session)

    def routes(server: Server) -> None:
        server.script(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", Stall())
        ok(server)

    await same(play, routes=routes)


@contextlib.contextmanager
def full_backlog() -> Any:
    """A port whose handshakes nobody answers any more."""
    with socket.socket() as listening, contextlib.ExitStack() as stack:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(8):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


@pytest.mark.parametrize("field", ["total", "connect", "sock_connect"])
async def test_no_answer_to_a_connection(field: str) -> None:
    async def play(stage: Stage) -> None:
        with full_backlog() as port:
            stage.names |= {f":{port}": ":FULL", str(port): "FULL"}
            async with stage.lib.ClientSession() as session:
                await stage.ask(session, "GET", f"http://127.0.0.1:{port}/", timeout=stage.lib.ClientTimeout(**{field: SHORT}))

    await same(play)


@pytest.mark.parametrize("field", ["total", "connect", "sock_connect"])
async def test_no_handshake_in_time(field: str) -> None:
    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session:
            await stage.ask(session, timeout=stage.lib.ClientTimeout(**{field: SHORT}))

    await same(play, tls=True, routes=lambda server: server.script(ReadBytes(1), Stall(), below_tls=True), wire=False)


# -- reuse, and the end

CLOSING: dict[str, Any] = {
    "kept": Reply(200, [], "ok"),
    "chunked": Reply(200, [], "ok", framing="chunked"),
    "Connection: close": Reply(200, [("Connection", "close")], "ok", close=True),
    "until close": Reply(200, [], "ok", framing="close"),
    "HTTP/1.0": Reply(200, [], "ok", version="HTTP/1.0", close=True),
    "HTTP/1.0 kept": Reply(200, [("Connection", "keep-alive")], "ok", version="HTTP/1.0"),
    "404": Reply(404, [], "no"),
    "204": Reply(204),
}
CONNECTORS: dict[str, dict[str, Any]] = {
    "plain": {},
    "force_close": {"force_close": True},
    "limit": {"limit": 1},
    "per host": {"limit_per_host": 1},
}


@pytest.mark.parametrize("kind", CLOSING)
@pytest.mark.parametrize("connector", CONNECTORS)
async def test_reuse(kind: str, connector: str) -> None:
    async def play(stage: Stage) -> None:
        lib = stage.lib
        async with lib.ClientSession(connector=lib.TCPConnector(**CONNECTORS[connector])) as session:
            for _ in range(3):
                await stage.ask(session)
            response = await session.get(stage.url)
            response.close()
            await stage.ask(session)
            await stage.ask(session, headers={"Connection": "close"})
            await stage.ask(session)

    await same(play, routes=lambda server: server.route("/", CLOSING[kind]), reuse=kind != "HTTP/1.0 kept")


@pytest.mark.parametrize("options", [{"limit": 2}, {"limit_per_host": 2}, {"limit": 0}, {"limit": 1}], ids=str)
async def test_limits(options: dict[str, int]) -> None:
    most = 0

    async def play(stage: Stage) -> None:
        nonlocal most
        most = now = 0

        async def answer(request: Request) -> str:
            nonlocal most, now
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.01)
            now -= 1
            return "ok"

        stage.server.route("/", answer)
        lib = stage.lib
        async with lib.ClientSession(connector=lib.TCPConnector(**options)) as session:

            async def one() -> None:
                async with session.get(stage.url) as response:
                    await response.read()

            await asyncio.gather(*[one() for _ in range(6)])
        stage.say("at most", most)

    await same(play)


async def test_an_idle_connection_that_ended() -> None:
    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session:
            await stage.ask(session)
            stage.server.push(Close())
            await stage.server.until(lambda: not stage.server.connections)
            await stage.ask(session)

    await same(play, routes=ok)


async def test_late_bytes() -> None:
    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session:
            await stage.ask(session)
            stage.server.push(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
            await asyncio.sleep(0.05)
            await stage.ask(session)

    await same(play, routes=ok, different="bytes that nobody asked for")


async def test_a_session_that_is_closed() -> None:
    async def play(stage: Stage) -> None:
        session = stage.lib.ClientSession()
        response = await session.get(stage.url + "/")
        await session.close()
        await session.close()
        stage.say(session.closed, session.connector)
        with stage.trying("read after close"):
            stage.say(await response.read())
        await stage.ask(session)
        connector = stage.lib.TCPConnector()
        async with stage.lib.ClientSession(connector=connector, connector_owner=False) as session:
            await stage.ask(session)
        stage.say(session.closed, connector.closed)
        session = stage.lib.ClientSession(connector=connector)
        session.detach()
        stage.say(session.closed, connector.closed)
        await connector.close()
        stage.say(connector.closed)
        session = stage.lib.ClientSession(connector=connector)
        await stage.ask(session)

    await same(play, routes=ok)


@pytest.mark.parametrize("when", ["head", "body"])
async def test_a_session_that_is_closed_in_use(when: str) -> None:
    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session:
            asking = asyncio.ensure_future(stage.ask(session, "POST"))
            await stage.server.until(lambda: bool(stage.server.requests))
            await asyncio.sleep(0.05)
            await session.close()
            with stage.trying("after the close"):
                await asyncio.wait_for(asking, 1)

    steps = (Stall(),) if when == "head" else (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", Stall())
    await same(play, [steps], different="closing in use")


async def test_a_cancelled_waiter_gives_its_place_up() -> None:
    async def play(stage: Stage) -> None:
        lib = stage.lib
        async with lib.ClientSession(connector=lib.TCPConnector(limit=1)) as session:
            held = await session.get(stage.url)
            waiting = [asyncio.ensure_future(session.get(stage.url)) for _ in range(3)]
            await asyncio.sleep(0.01)
            held.close()
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            await stage.ask(session, timeout=lib.ClientTimeout(total=0.5))

    await same(play, routes=lambda server: server.route("*", Reply(200, [], "ok")), wire=False)


async def test_unix_sockets(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        lib = stage.lib
        path = str(tmp_path / "socket")
        async with Server(unix=path, routes=ok) as server:
            async with lib.ClientSession(connector=lib.UnixConnector(path)) as session:
                for url in ("http://localhost/a?b", "http://any.host:81/"):
                    await stage.ask(session, "GET", url)
                    await stage.ask(session, "POST", url, data=b"x")
            for request in server.requests:
                stage.say(request.method, request.target, sorted(request.header_values("host")), request.body, request.connection)
        async with lib.ClientSession(connector=lib.UnixConnector(path)) as session:
            await stage.ask(session, "GET", "http://localhost/")

    await same(play)


@pytest.mark.parametrize("name", ["no-such-host.invalid", "localhost", "one.test", "fails.test"])
async def test_resolvers(name: str) -> None:
    async def play(stage: Stage) -> None:
        lib = stage.lib

        class Resolver(lib.abc.AbstractResolver):  # type: ignore[misc, name-defined]
            async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> Any:
                stage.say("resolve", host, port)
                if host == "fails.test":
                    raise OSError("no such name")
                return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}]

            async def close(self) -> None:
                stage.say("closed")

        own = Resolver() if name.endswith(".test") else None
        async with lib.ClientSession(connector=lib.TCPConnector(resolver=own)) as session:
            for _ in range(2):
                await stage.ask(session, "GET", f"http://{name}:{stage.server.port}/")
        if own is not None:
            await own.close()

    await same(play, routes=ok)
