"""WebSockets through the face and through aiohttp itself, with an aiohttp.web server: what a session adds, and what code relies on."""

from __future__ import annotations

import asyncio
import base64
import gc
from collections.abc import Callable
from typing import Any

import pytest
from peers import needed_module
from relay import Relay
from websocket_server import BINARY, TEXT, WebSocketServer, closing, fragments, frame, refusal, saying

import aioreq.compat.aiohttp as face
from aioreq.testing import Authority

from .conftest import Web


@pytest.fixture
async def rooms(web: Web) -> Web:
    """/echo gives back what comes; /seen tells the fields of the handshake; /moved leads to /echo; /closed is left at once."""
    server = needed_module("aiohttp.web", "aiohttp")

    async def echoing(request: Any) -> Any:
        ws = server.WebSocketResponse(protocols=("chat", "other"), compress=request.query.get("compress") == "1")
        ws.headers["X-Room"] = "1"
        await ws.prepare(request)
        if request.path == "/seen":
            await ws.send_json({**request.headers, "path": request.path_qs})
        if request.path == "/closed":
            await ws.close(code=4004, message=b"nobody here")
        async for message in ws:
            if message.type == server.WSMsgType.TEXT:
                await ws.send_str(message.data)
            else:
                await ws.send_bytes(message.data)
        return ws

    async def moved(request: Any) -> Any:
        return server.Response(status=302, headers={"Location": "/seen", "Set-Cookie": "way=long"})

    for path in ("/echo", "/seen", "/closed"):
        web.on(path, echoing)
    web.on("/moved", moved)
    return web


async def test_the_first_example_of_the_documentation(lib: Any, rooms: Web) -> None:
    said = []
    async with lib.ClientSession() as session, session.ws_connect(rooms.url + "/echo") as ws:
        await ws.send_str("one")
        async for msg in ws:
            if msg.type == lib.WSMsgType.TEXT:
                said.append(msg.data)
                if msg.data == "close cmd":
                    await ws.close()
                    break
                await ws.send_str("close cmd")
            elif msg.type == lib.WSMsgType.ERROR:
                break
    assert said == ["one", "close cmd"]
    assert ws.closed
    assert ws.close_code == 1000


async def test_awaited_and_closed_by_hand(lib: Any, rooms: Web) -> None:
    async with lib.ClientSession() as session:
        ws = await session.ws_connect(rooms.url.replace("http", "ws") + "/echo", protocols=("none", "other"), compress=15)
        assert isinstance(ws, lib.ClientWebSocketResponse)
        assert (ws.protocol, ws.compress, ws.client_notakeover) == ("other", 0, False)
        assert ws.get_extra_info("peername")[0] == "127.0.0.1"
        assert ws.get_extra_info("nothing", 7) == 7
        assert ws._response.headers["X-Room"] == "1"
        await ws.send_json({"a": 1})
        assert await ws.receive_json() == {"a": 1}
        assert not ws.closed
        assert ws.close_code is None
        assert await ws.close() is True
        assert await ws.close() is False


async def test_compression(lib: Any, rooms: Web) -> None:
    async with lib.ClientSession() as session, session.ws_connect(rooms.url + "/echo?compress=1", compress=12) as ws:
        assert ws.compress
        for text in ("abc" * 1000, "ü" * 100_000, "x"):
            await ws.send_str(text)
            assert await ws.receive_str() == text


async def test_closed_by_the_server(lib: Any, rooms: Web) -> None:
    async with lib.ClientSession() as session, session.ws_connect(rooms.url + "/closed") as ws:
        assert await ws.receive() == (lib.WSMsgType.CLOSE, 4004, "nobody here")
        assert await ws.receive() == (lib.WSMsgType.CLOSED, None, None)
        assert [message async for message in ws] == []
        assert ws.close_code == 4004


async def test_what_a_session_adds(lib: Any, rooms: Web) -> None:
    login = base64.b64encode(b"me:secret").decode()
    options: dict[str, Any] = {"headers": {"X-Session": "1"}, "cookies": {"a": "b"}, "base_url": rooms.url + "/"}
    async with lib.ClientSession(**options) as session:
        headers = {"X-Own": "2", "Authorization": f"Basic {login}"}
        async with session.ws_connect("seen", origin="http://o.example", params={"q": "1"}, headers=headers) as ws:
            seen = await ws.receive_json()
    assert seen["path"] == "/seen?q=1"
    assert (seen["X-Session"], seen["X-Own"], seen["Origin"], seen["Cookie"]) == ("1", "2", "http://o.example", "a=b")
    assert seen["Authorization"] == f"Basic {login}"
    assert (seen["Upgrade"], seen["Connection"], seen["Sec-WebSocket-Version"]) == ("websocket", "Upgrade", "13")


async def test_a_redirect_on_the_way(lib: Any, rooms: Web) -> None:
    async with lib.ClientSession(cookie_jar=lib.CookieJar(unsafe=True)) as session, session.ws_connect(rooms.url + "/moved") as ws:
        assert (await ws.receive_json())["Cookie"] == "way=long"
        assert [each.status for each in ws._response.history] == [302]


async def test_a_handshake_that_is_refused(lib: Any, rooms: Web) -> None:
    async with lib.ClientSession() as session:
        with pytest.raises(lib.WSServerHandshakeError) as caught:
            await session.ws_connect(rooms.url + "/page")  # which is one of HTTP
    error = caught.value
    assert (error.status, error.message, error.history) == (200, "Invalid response status", ())
    assert error.headers["Content-Type"].startswith("application/json")
    assert str(error.request_info.real_url) == rooms.url + "/page"
    assert isinstance(error, lib.ClientResponseError)


async def test_raise_for_status_comes_first(lib: Any) -> None:
    async with WebSocketServer(upgrade=lambda peer: refusal("403 Forbidden")) as server:
        async with lib.ClientSession(raise_for_status=True) as session:
            with pytest.raises(lib.ClientResponseError) as caught:
                await session.ws_connect(server.url)
        assert not isinstance(caught.value, lib.WSServerHandshakeError)
        assert caught.value.status == 403


async def test_nobody_there(lib: Any) -> None:
    async with lib.ClientSession() as session:
        with pytest.raises(lib.ClientConnectorError):
            await session.ws_connect("ws://127.0.0.1:9/")


async def test_traces_and_middlewares_see_it(lib: Any, rooms: Web) -> None:
    seen = []

    async def middleware(request: Any, handler: Any) -> Any:
        request.headers["X-Middle"] = "1"
        return await handler(request)

    async def ended(session: Any, context: Any, params: Any) -> None:
        seen.append((params.method, params.response.status))

    trace = lib.TraceConfig()
    trace.on_request_end.append(ended)
    async with lib.ClientSession(middlewares=[middleware], trace_configs=[trace]) as session, session.ws_connect(rooms.url + "/seen") as ws:
        assert (await ws.receive_json())["X-Middle"] == "1"
    assert seen == [("GET", 101)]


async def test_a_class_of_ones_own(lib: Any) -> None:
    class Own(lib.ClientWebSocketResponse):  # type: ignore[misc]
        async def close(self, *, code: int = 4000, message: bytes = b"") -> bool:
            return bool(await super().close(code=code, message=message))

    async with WebSocketServer() as server, lib.ClientSession(ws_response_class=Own) as session:
        async with session.ws_connect(server.url) as ws:
            assert isinstance(ws, Own)
        assert ws.close_code == 4000


async def test_older_time_limits_are_warned_of(lib: Any, rooms: Web) -> None:
    async with lib.ClientSession() as session:
        with pytest.warns(DeprecationWarning, match=r"ClientWSTimeout\(ws_close="):
            ws = await session.ws_connect(rooms.url + "/echo", timeout=3.0)
        await ws.close()
        with pytest.warns(DeprecationWarning, match=r"ClientWSTimeout\(ws_receive="):
            ws = await session.ws_connect(rooms.url + "/echo", receive_timeout=0.01)
        with pytest.raises(TimeoutError):
            await ws.receive()
        await ws.close()


async def test_over_tls(lib: Any, authority: Authority) -> None:
    async with WebSocketServer(context=authority.server_context("127.0.0.1")) as server, lib.ClientSession() as session:
        async with session.ws_connect(server.url, ssl=authority.client_context(), heartbeat=5) as ws:
            await ws.send_str("secret")
            assert await ws.receive_str() == "secret"
            assert ws.get_extra_info("ssl_object").version() == "TLSv1.3"
        with pytest.raises(lib.ClientConnectorCertificateError):
            await session.ws_connect(server.url)


# -- the face alone


async def test_a_proxy_is_asked_for_a_tunnel() -> None:
    async with WebSocketServer() as server, Relay() as proxy, face.ClientSession(proxy=proxy.url) as session:
        ws = await session.ws_connect(server.url, proxy_headers={"X-Proxy": "1"})
        await ws.send_str("through")
        assert await ws.receive_str() == "through"
        await ws.close()
        assert [head.split()[0] for head in proxy.heads] == [b"CONNECT"]


async def test_the_kind_of_what_follows_a_message_in_fragments() -> None:
    script = saying(fragments(TEXT, [b"a", b"b"]), frame(BINARY, b"c"), fragments(BINARY, [b"d", b"e"]), frame(TEXT, b"f"), closing())
    async with WebSocketServer(script) as server, face.ClientSession() as session, session.ws_connect(server.url) as ws:
        got = [(int(message.type), message.data, message.extra, type(message)) async for message in ws]
    assert got == [(kind, data, "", face.WSMessage) for kind, data in ((1, "ab"), (2, b"c"), (2, b"de"), (1, "f"))]


async def test_one_that_nobody_holds_ends() -> None:
    async with WebSocketServer() as server, face.ClientSession() as session:
        ws = await session.ws_connect(server.url)
        await ws.send_str("x")
        del ws
        gc.collect()
        peer = await server.last()
        assert peer.close == (1001, "")


async def test_a_close_that_is_cancelled_leaves_nothing() -> None:
    async def script(peer: Any) -> None:
        await peer.until_close()

    async with WebSocketServer(script) as server, face.ClientSession() as session:
        ws = await session.ws_connect(server.url)
        closing = asyncio.create_task(ws.close())
        await asyncio.sleep(0.01)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert (ws.closed, ws.close_code) == (True, 1006)
        await server.last()


async def test_what_is_closed_is_gone_at_once() -> None:
    """Though the server, which has answered, keeps its end open, and the session lives on."""

    async def script(peer: Any) -> None:
        await peer.until_close()
        await peer.write(closing())

    async with WebSocketServer(script) as server, face.ClientSession() as session:
        ws = await session.ws_connect(server.url)
        async with asyncio.timeout(5):
            await ws.close()
            assert (await server.last()).end == "FIN"


async def test_an_opening_that_is_cancelled_leaves_nothing() -> None:
    async with WebSocketServer(upgrade=lambda peer: b"", checked=False) as server, face.ClientSession() as session:
        opening = asyncio.ensure_future(session.ws_connect(server.url))
        while not server.peers:  # noqa: ASYNC110 (nothing tells)
            await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await server.last()


@pytest.mark.parametrize("send", [lambda ws: ws.send_frame(b"", 0), lambda ws: ws.send_frame(b"", 8), lambda ws: ws.pong(b"x" * 126)])
async def test_frames_that_make_no_message_of_their_own(send: Callable[[Any], Any]) -> None:
    async with WebSocketServer() as server, face.ClientSession() as session, session.ws_connect(server.url) as ws:
        with pytest.raises(ValueError, match="RFC 6455|close"):
            await send(ws)


@pytest.mark.no_loop
def test_the_values(lib: Any) -> None:
    assert lib.WebSocketError(1002, "why").code == 1002
    assert str(lib.WebSocketError(1002, "why")) == "why"
    assert lib.WSMsgType.text is lib.WSMsgType.TEXT
    assert lib.http.WS_CLOSED_MESSAGE == (lib.WSMsgType.CLOSED, None, None)
    assert lib.WSMessage(lib.WSMsgType.TEXT, "[1]", "").json() == [1]
    assert lib.ClientWSTimeout(ws_close=1) == lib.ClientWSTimeout(None, 1)
    assert {code.name: code.value for code in lib.WSCloseCode} == {code.name: code.value for code in face.WSCloseCode}


async def test_what_is_behind_a_websocket(lib: Any, rooms: Web) -> None:
    """ccxt looks for messages that wait there, where there is something."""
    async with lib.ClientSession() as session, session.ws_connect(rooms.url + "/echo") as ws:
        assert ws._conn is None or hasattr(ws._conn.protocol, "_payload")
