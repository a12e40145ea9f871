"""WebSockets with software that isn't ours: `websockets` and aiohttp as servers, nginx and Apache in front of them, proxies between."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from peers import HOST, Peer, needed_module, running, write_certificate
from test_auth_peers import PASSWORD, USER
from test_auth_peers import configure as configure_apache
from test_proxies_real import HTTP_PROXIES, SOCKS_PROXIES, proxy_named
from yarl import URL

import aioreq
from aioreq import TLS, Client, Deflate, PublicOnly, WebSocketClosed, WebSocketRefused
from aioreq.testing import Authority, Close, Reply, Script, Server

pytestmark = pytest.mark.usefixtures("no_hanging")

KAPPA = "κόσμε 🜁 ﷽"
PATTERN = bytes(range(251))

# -- servers, each with an echo under any other path than these: /close/{code}, /numbers, /cookie, /cookies, /secret, /moved


async def speak(
    path: str, cookie: str, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[object]]
) -> tuple[int, str] | None:
    """What these servers do. Gives the code and reason to close with; None: the client has closed."""
    if path.startswith("/close/"):
        return int(path.rpartition("/")[2]), KAPPA
    if path == "/cookie":
        await send(cookie)
    if path == "/numbers":
        for number in range(1000):
            await send(str(number))
        return 1000, ""
    while (message := await receive()) is not None:
        await send(message)
    return None


def authorized(fields: Any) -> bool:
    return bool(fields.get("Authorization") == "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())


async def websockets_server(stack: AsyncExitStack, deflate: Any, **options: Any) -> int:
    """On a port of its own, or by the Unix socket of `path`."""
    server = needed_module("websockets.asyncio.server", "websockets")
    exceptions = needed_module("websockets.exceptions", "websockets")

    async def handler(connection: Any) -> None:
        async def receive() -> Any:
            try:
                return await connection.recv()
            except exceptions.ConnectionClosed:
                return None

        try:
            ending = await speak(connection.request.path, connection.request.headers.get("Cookie", ""), receive, connection.send)
        except exceptions.ConnectionClosed:
            return
        if ending is not None:
            await connection.close(*ending)

    def process_request(connection: Any, request: Any) -> Any:
        if request.path == "/secret" and not authorized(request.headers):
            response = connection.respond(401, "who?")
            response.headers["WWW-Authenticate"] = 'Basic realm="here"'
            return response
        if request.path == "/moved":
            response = connection.respond(302, "there")
            response.headers["Location"] = request.headers["X-To"]
            return response
        if request.path == "/cookies":
            return connection.respond(200, request.headers.get("Cookie", ""))
        return None

    def process_response(connection: Any, request: Any, response: Any) -> Any:
        response.headers["Set-Cookie"] = "seen=yes; Path=/"
        return response

    extensions = []
    if deflate is not None:
        module = needed_module("websockets.extensions.permessage_deflate", "websockets")
        extensions = [module.ServerPerMessageDeflateFactory(**deflate)]
    options |= {
        "compression": None,
        "extensions": extensions,
        "max_size": None,
        "select_subprotocol": lambda connection, offered: "superchat" if "superchat" in offered else None,
        "process_request": process_request,
        "process_response": process_response,
        "close_timeout": 2,
    }
    if "path" in options:
        await stack.enter_async_context(server.unix_serve(handler, **options))
        return 0
    serving = await stack.enter_async_context(server.serve(handler, HOST, 0, **options))
    port: int = serving.sockets[0].getsockname()[1]
    return port


async def aiohttp_server(stack: AsyncExitStack, deflate: Any, **options: Any) -> int:
    web = needed_module("aiohttp.web", "aiohttp")
    kinds = needed_module("aiohttp", "aiohttp").WSMsgType

    async def handler(request: Any) -> Any:
        if request.path == "/secret" and not authorized(request.headers):
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="here"'})
        if request.path == "/moved":
            return web.Response(status=302, headers={"Location": request.headers["X-To"]})
        if request.path == "/cookies":
            return web.Response(text=request.headers.get("Cookie", ""))
        ws = web.WebSocketResponse(max_msg_size=0, compress=deflate is not None, protocols=["superchat"], timeout=2)
        ws.set_cookie("seen", "yes")
        await ws.prepare(request)

        async def receive() -> Any:
            message = await ws.receive()
            return message.data if message.type in (kinds.TEXT, kinds.BINARY) else None

        async def send(message: Any) -> None:
            await (ws.send_str(message) if isinstance(message, str) else ws.send_bytes(message))

        try:
            ending = await speak(request.path, request.headers.get("Cookie", ""), receive, send)
        except ConnectionError:
            return ws
        if ending is not None:
            await ws.close(code=ending[0], message=ending[1].encode())
        return ws

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    if "path" in options:
        await web.UnixSite(runner, options["path"]).start()
        return 0
    await web.TCPSite(runner, HOST, 0, ssl_context=options.get("ssl")).start()
    port: int = runner.addresses[0][1]
    return port


SERVERS = {"websockets": websockets_server, "aiohttp": aiohttp_server}


def configure_nginx(folder: Path, ports: list[int]) -> list[str]:
    """/to/{port}/... goes to that port here, the Upgrade with it."""
    if not (folder / "ca.pem").exists():
        write_certificate(folder)
    (folder / "temp").mkdir(exist_ok=True)
    location = f"""
        location ~ ^/to/(?<port>[0-9]+)(?<rest>/.*)$ {{
            proxy_pass http://{HOST}:$port$rest;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
        }}
    """
    (folder / "nginx.conf").write_text(f"""
{"user root;" if os.geteuid() == 0 else ""}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
events {{ worker_connections 256; }}
http {{
    access_log off;
    {" ".join(f"{what}_temp_path {folder}/temp/{what};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))}
    server {{ listen {HOST}:{ports[0]}; {location} }}
    server {{ listen {HOST}:{ports[1]} ssl; ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.pem; {location} }}
}}
""")
    return ["nginx", "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]


@pytest.fixture(scope="module")
def front() -> Iterator[Peer]:
    with running(Peer("nginx", "nginx-light", configure_nginx, ports=2)) as peer:
        yield peer


class Place(NamedTuple):
    """Where a server can be asked."""

    url: str  # without a slash at its end
    tls: TLS | None


WAYS = ["plain", "tls", "nginx", "nginx with tls"]


@pytest.fixture(params=list(SERVERS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=WAYS)
async def place(request: pytest.FixtureRequest, kind: str, authority: Authority, ca: Path) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        yield await placed(stack, kind, request.param, request.getfixturevalue, authority, ca)


async def placed(
    stack: AsyncExitStack, kind: str, way: str, fixture: Callable[[str], Any], authority: Authority, ca: Path, deflate: Any = None
) -> Place:
    port = await SERVERS[kind](stack, deflate, **({"ssl": authority.server_context()} if way == "tls" else {}))
    match way:
        case "plain":
            return Place(f"ws://{HOST}:{port}", None)
        case "tls":
            return Place(f"wss://{HOST}:{port}", TLS(ca=ca))
    front = fixture("front")
    if way == "nginx":
        return Place(f"ws://{HOST}:{front.ports[0]}/to/{port}", None)
    return Place(f"wss://{HOST}:{front.ports[1]}/to/{port}", TLS(ca=front.ca))


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client(timeout=10, retry=0) as client:
        yield client
        assert client.pool().open == len(client.pool().slots.idle)


MESSAGES: list[str | bytes] = [
    *("Hello", b"Hello", "", b"", KAPPA, "x" * 125, b"x" * 126, "é" * 40_000, PATTERN * 1000),
    *(json.dumps({"number": n, "text": "and so on " * 20}) for n in range(20)),
]


async def echoed(ws: aioreq.WebSocket) -> None:
    for message in MESSAGES:
        await ws.send(message)
        assert await ws.receive() == message


# -- each server, each way


async def test_an_echo(client: Client, place: Place) -> None:
    async with client.websocket(place.url + "/echo", tls=place.tls) as ws:
        await echoed(ws)
        assert not ws.compressed
        assert ws.response.connection.tls_version in (("TLSv1.2", "TLSv1.3") if place.tls else (None,))


async def test_pieces_both_ways(client: Client, place: Place) -> None:
    """One message of 5 MB of bytes, in fragments of many sizes, and one of text, cut anywhere."""
    pieces = [PATTERN * (n % 400) for n in range(100)]
    text = (KAPPA * 30_000).encode()

    async def slowly() -> AsyncIterator[bytes]:
        for piece in pieces:
            await asyncio.sleep(0)
            yield piece

    async with client.websocket(place.url + "/echo", tls=place.tls) as ws:
        sending = asyncio.ensure_future(ws.send(slowly()))
        got = bytearray()
        async for piece in ws.receive_pieces():
            assert isinstance(piece, bytes)
            got += piece
        await sending
        assert got == b"".join(pieces)
        await ws.send(KAPPA * 300 for _ in range(100))
        words = [str(word) async for word in ws.receive_pieces()]
        assert "".join(words).encode() == text


async def test_many_messages_both_ways_at_once(client: Client, place: Place) -> None:
    async with client.websocket(place.url + "/echo", tls=place.tls) as ws:

        async def send() -> None:
            for number in range(2000):
                await ws.send(b"%d " % number + PATTERN * 4)

        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            for number in range(2000):
                assert await ws.receive() == b"%d " % number + PATTERN * 4


async def test_messages_until_the_server_closes(client: Client, place: Place) -> None:
    async with client.websocket(place.url + "/numbers", tls=place.tls) as ws:
        assert [message async for message in ws] == [str(number) for number in range(1000)]
        assert ws.close_code == 1000


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4999])
async def test_a_server_that_closes(client: Client, place: Place, code: int) -> None:
    async with client.websocket(f"{place.url}/close/{code}", tls=place.tls) as ws:
        with pytest.raises(WebSocketClosed) as caught:
            await ws.receive()
        assert (caught.value.code, caught.value.reason) == (code, KAPPA)
        assert (ws.close_code, ws.close_reason) == (code, KAPPA)


async def test_closing(client: Client, place: Place) -> None:
    ws = await client.websocket(place.url + "/echo", tls=place.tls)
    await ws.close(4321, KAPPA)
    assert ws.close_code in (4321, 1000)
    assert client.pool().open == 0
    with pytest.raises(WebSocketClosed):
        await ws.receive()


async def test_pings(client: Client, place: Place) -> None:
    async with client.websocket(place.url + "/echo", tls=place.tls, ping_interval=0.02, ping_timeout=5) as ws:
        assert 0 < await ws.ping() < 5
        seconds = await asyncio.gather(*[ws.ping() for _ in range(50)])
        assert all(0 < one < 5 for one in seconds)
        await asyncio.sleep(0.1)  # those that go out by themselves
        assert ws.latency is not None
        await echoed(ws)


async def test_subprotocols(client: Client, place: Place) -> None:
    async with client.websocket(place.url + "/echo", tls=place.tls, subprotocols=["chat", "superchat"]) as ws:
        assert ws.subprotocol == "superchat"
        await echoed(ws)
    async with client.websocket(place.url + "/echo", tls=place.tls, subprotocols=["other"]) as ws:
        assert ws.subprotocol is None


async def test_cookies(client: Client, place: Place) -> None:
    """Those of the jar go with the handshake; what the handshake sets, later requests have."""
    async with client.websocket(place.url + "/echo", tls=place.tls):
        pass
    response = await client.get(str(place.url).replace("ws", "http", 1) + "/cookies", tls=place.tls)
    assert response.text == "seen=yes"
    async with client.websocket(place.url + "/cookie", tls=place.tls, cookies={"one": "more"}) as ws:
        cookie = await ws.receive()
        assert isinstance(cookie, str)
        assert sorted(cookie.split("; ")) == ["one=more", "seen=yes"]


async def test_a_password(client: Client, place: Place) -> None:
    for auth in ((USER, PASSWORD), aioreq.BasicAuth(USER, PASSWORD)):
        async with client.websocket(place.url + "/secret", tls=place.tls, auth=auth) as ws:
            await echoed(ws)
    with pytest.raises(WebSocketRefused) as caught:
        await client.websocket(place.url + "/secret", tls=place.tls, auth=(USER, "wrong"))
    assert caught.value.response is not None
    assert caught.value.response.status == 401
    assert "wrong" not in str(caught.value)


async def test_a_redirect(client: Client, place: Place) -> None:
    for scheme in ("ws", "http"):
        to = scheme + place.url.removeprefix("ws") + "/echo?a=b"
        async with client.websocket(place.url + "/moved", headers={"X-To": to}, tls=place.tls) as ws:
            await echoed(ws)
            assert [response.status for response in ws.response.redirects] == [302]
            assert ws.request.url.path_qs.endswith("/echo?a=b")
    with pytest.raises(WebSocketRefused, match="302"):
        await client.websocket(place.url + "/moved", headers={"X-To": "/"}, tls=place.tls, follow_redirects=False)


async def test_what_is_no_websocket(client: Client, place: Place) -> None:
    with pytest.raises(WebSocketRefused, match="200") as caught:
        await client.websocket(place.url + "/cookies", tls=place.tls)
    assert isinstance(caught.value.response, aioreq.Response)


async def test_a_guard_that_refuses(place: Place) -> None:
    async with Client(guard=PublicOnly(), tls=place.tls) as client:
        with pytest.raises(aioreq.GuardError):
            await client.websocket(place.url + "/echo")
    async with Client(guard=PublicOnly(allow=[HOST]), tls=place.tls) as client, client.websocket(place.url + "/echo") as ws:
        await echoed(ws)


async def test_a_slot_is_held_as_long_as_it_is_open(place: Place) -> None:
    async with Client(limits=aioreq.Limits(connections=1), tls=place.tls, retry=0) as client:
        async with client.websocket(place.url + "/echo"):
            with pytest.raises(aioreq.PoolTimeout):
                await client.websocket(place.url + "/echo", timeout=aioreq.Timeout(pool=0.05))
        async with client.websocket(place.url + "/echo") as ws:
            await echoed(ws)


async def test_a_client_that_is_closed_meanwhile(place: Place) -> None:
    async with Client(tls=place.tls) as client:
        ws = await client.websocket(place.url + "/echo")
        receiving = asyncio.ensure_future(ws.receive())
        await asyncio.sleep(0.01)
    with pytest.raises(WebSocketClosed):
        await receiving
    with pytest.raises(WebSocketClosed):
        await ws.send("x")


# -- compression


TERMS: dict[str, list[Any]] = {
    "websockets": [
        {"server_max_window_bits": None, "client_max_window_bits": None},
        {"server_no_context_takeover": True},
        {"client_no_context_takeover": True},
        {"server_no_context_takeover": True, "client_no_context_takeover": True},
        {"server_max_window_bits": 9, "client_max_window_bits": 9},
        {"server_max_window_bits": 10},
        {"client_max_window_bits": 8},
    ],
    "aiohttp": [{}],
}
OFFERS = [
    Deflate(),
    Deflate(server_no_context_takeover=True),
    Deflate(client_no_context_takeover=True),
    Deflate(client_max_window_bits=9),
    Deflate(server_max_window_bits=10),
    Deflate(server_no_context_takeover=True, client_no_context_takeover=True, client_max_window_bits=8, level=9, min_size=0),
    Deflate(level=0, min_size=1),
]


@pytest.mark.parametrize("offer", OFFERS, ids=[offer.offer().partition("; ")[2] + f" {offer.level}" for offer in OFFERS])
@pytest.mark.parametrize(("kind", "terms"), [(kind, terms) for kind, those in TERMS.items() for terms in those], ids=str)
async def test_compression(client: Client, authority: Authority, ca: Path, kind: str, terms: Any, offer: Deflate) -> None:
    async with AsyncExitStack() as stack:
        place = await placed(stack, kind, "plain", lambda name: None, authority, ca, deflate=terms)
        try:
            ws = await client.websocket(place.url + "/echo", compression=offer)
        except WebSocketRefused as error:
            pytest.fail(str(error))
        async with ws:
            # A server that can't do what was offered declines.
            agreed = ws.response.headers.get("Sec-WebSocket-Extensions", "")
            assert ws.compressed == ("permessage-deflate" in agreed)
            for _ in range(2):  # the second time with what is remembered of the first
                await echoed(ws)
            large = [PATTERN * 4000, os.urandom(3_000_000)]  # more than is compressed at once
            for message in large:
                await ws.send(message)
                assert await ws.receive() == message
            await ws.send(["in ", "pieces"])
            assert await ws.receive() == "in pieces"
            await ws.send(PATTERN * 4000)
            assert b"".join([bytes(piece) async for piece in ws.receive_pieces() if isinstance(piece, bytes)]) == PATTERN * 4000


@pytest.mark.parametrize("way", WAYS)
async def test_compression_on_each_way(
    client: Client, request: pytest.FixtureRequest, authority: Authority, ca: Path, kind: str, way: str
) -> None:
    async with AsyncExitStack() as stack:
        place = await placed(stack, kind, way, request.getfixturevalue, authority, ca, deflate={})
        async with client.websocket(place.url + "/echo", tls=place.tls, compression=True) as ws:
            assert ws.compressed
            await echoed(ws)
        async with client.websocket(place.url + "/echo", tls=place.tls) as ws:
            assert not ws.compressed
            await echoed(ws)


# -- other ways


@pytest.mark.parametrize("name", [*HTTP_PROXIES, *SOCKS_PROXIES])
@pytest.mark.parametrize("way", ["plain", "tls"])
async def test_proxies(request: pytest.FixtureRequest, authority: Authority, ca: Path, kind: str, way: str, name: str) -> None:
    """HTTP proxies by a tunnel, also for ws:// (section 4.1)."""
    proxy = proxy_named(name, request.getfixturevalue)
    async with AsyncExitStack() as stack:
        place = await placed(stack, kind, way, request.getfixturevalue, authority, ca)
        client = await stack.enter_async_context(Client(proxy=proxy, tls=place.tls, timeout=10, retry=0))
        async with client.websocket(place.url + "/echo") as ws:
            await echoed(ws)
            await ws.send([PATTERN * 4000] * 5)
            assert await ws.receive() == PATTERN * 20_000
        with pytest.raises(WebSocketClosed) as caught:
            async with client.websocket(place.url + "/close/4000") as ws:
                await ws.receive()
        assert caught.value.code == 4000
        response = await client.get("http" + place.url.removeprefix("ws") + "/cookies")
        assert response.text == "seen=yes"


async def test_a_unix_socket(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    async with AsyncExitStack() as stack:
        await SERVERS[kind](stack, None, path=str(path))
        client = await stack.enter_async_context(Client(unix_socket=path))
        async with client.websocket("ws://anywhere/echo") as ws:
            await echoed(ws)


@pytest.mark.parametrize("target", ["wss", "ws"])
async def test_a_redirect_to_the_other_scheme(
    request: pytest.FixtureRequest, authority: Authority, ca: Path, kind: str, target: str
) -> None:
    """To TLS it goes; away from it only where the user says so."""
    async with AsyncExitStack() as stack:
        plain, secure = [await placed(stack, kind, way, request.getfixturevalue, authority, ca) for way in ("plain", "tls")]
        first, then = (plain, secure) if target == "wss" else (secure, plain)
        headers = {"X-To": then.url + "/echo"}
        client = await stack.enter_async_context(Client(tls=secure.tls, retry=0))
        if target == "ws":
            with pytest.raises(aioreq.RedirectRefused, match="TLS"):
                await client.websocket(first.url + "/moved", headers=headers)
            client = await stack.enter_async_context(Client(tls=secure.tls, redirect_policy=lambda response, request: "follow"))
        async with client.websocket(first.url + "/moved", headers=headers) as ws:
            await echoed(ws)
            assert ws.request.url == URL("http" + then.url.removeprefix("ws") + "/echo")


def configure_apache_in_front(folder: Path, ports: list[int]) -> list[str]:
    """/digest/to/{port}/... goes to that port here, for whoever knows the password."""
    command = configure_apache(folder, ports)
    with (folder / "apache.conf").open("a") as file:
        modules = next((path for path in ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules") if Path(path).exists()), "modules")
        for name in ("proxy", "proxy_http", "proxy_wstunnel", "rewrite"):
            file.write(f"LoadModule {name}_module {modules}/mod_{name}.so\n")
        file.write(
            "RewriteEngine On\n"
            "RewriteCond %{HTTP:Upgrade} =websocket [NC]\n"
            f"RewriteRule ^/(?:digest|basic)/to/([0-9]+)(/.*)$ ws://{HOST}:$1$2 [P,L]\n"
        )
    return command


@pytest.fixture(scope="module")
def apache_front() -> Iterator[Peer]:
    with running(Peer("apache2", "apache2-bin", configure_apache_in_front, owners=("nobody",))) as peer:
        yield peer


@pytest.mark.parametrize("folder", ["digest", "basic"])
async def test_apache_wants_a_password(client: Client, apache_front: Peer, authority: Authority, ca: Path, kind: str, folder: str) -> None:
    async with AsyncExitStack() as stack:
        place = await placed(stack, kind, "plain", lambda name: None, authority, ca)
        url = f"ws://{apache_front.address}/{folder}/to/{URL(place.url).port}/echo"
        async with client.websocket(url, auth=(USER, PASSWORD)) as ws:
            await echoed(ws)
            assert [str(ws.request.authorization).partition(" ")[0].lower()] == [folder]
        async with client.websocket(url, auth=(USER, PASSWORD)) as ws:
            await ws.send([PATTERN * 4000] * 5)
            assert await ws.receive() == PATTERN * 20_000
        for auth in (None, (USER, "wrong")):
            with pytest.raises(WebSocketRefused, match="401"):
                await client.websocket(url, auth=auth)


async def test_a_server_that_retires_a_kept_connection_under_the_handshake(client: Client) -> None:
    """The handshake is sent again, over a new connection, as any GET is."""
    async with Server() as server:
        switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: wrong\r\n\r\n"
        server.route("/first", Reply(200, body=b"ok"))
        server.script(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Close())
        server.route("/ws", Script((switch,)))
        assert (await client.get(server.url + "/first")).text == "ok"
        with pytest.raises(WebSocketRefused, match="Sec-WebSocket-Accept"):
            await client.websocket(server.url.replace("http", "ws") + "/ws")
