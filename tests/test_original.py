"""What users of the original aioreq wrote, still written the same way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import aioreq
import aioreq.http
import aioreq.middlewares
from aioreq.middlewares import default_middlewares
from aioreq.testing import Server, httpbin


async def test_a_client_of_aioreq_http(server: Server) -> None:
    assert aioreq.http.Client is aioreq.Client
    async with aioreq.http.Client() as client:
        response = await client.get(server.url + "/get")
        assert repr(response) == "<Response 200 OK>"
        assert (response.status, response.status_message) == (200, "OK")
        assert response.headers["content-type"] == "application/json"
        assert response.content.startswith(b"{")
        assert repr(response.request) == "<Request GET 127.0.0.1>"


async def test_a_client_without_async_with(server: Server) -> None:
    client = aioreq.Client()
    response = await client.get(server.url + "/get")
    assert response.status == 200
    await client.close()


async def test_no_persistent_connections(server: Server) -> None:
    async with aioreq.http.Client(persistent_connections=False) as client:
        await client.get(server.url + "/get")
        await client.get(server.url + "/get")
    assert server.accepted == 2


async def test_send_a_request(server: Server) -> None:
    async with aioreq.Client() as client:
        request = aioreq.Request(url=server.url + "/get", method="GET")
        response = await client.send(request)
        assert response.status == 200


def test_reprs() -> None:
    assert repr(aioreq.Request(url="https://www.google.com", method="GET")) == "<Request GET www.google.com>"
    assert (
        repr(aioreq.http.Request(url="http://me:pw@www.google.com:8080/search?q=x#top", method="POST")) == "<Request POST www.google.com>"
    )
    assert repr(aioreq.Request(url="https://[::1]:443/")) == "<Request GET ::1>"


async def test_stream_client(server: Server) -> None:
    request = aioreq.Request(url=server.url + "/bytes/1000000", method="GET")
    received = 0
    async with aioreq.StreamClient(request=request) as response:
        assert response.status == 200
        async for chunk in response.content:
            received += len(chunk)
    assert received == 1_000_000
    assert aioreq.http.StreamClient is aioreq.StreamClient


@pytest.mark.parametrize("path", ["/basic-auth/user/password", "/digest-auth/auth/user/password"])
async def test_auth_by_a_tuple(server: Server, path: str) -> None:
    async with aioreq.Client() as client:
        response = await client.get(server.url + path, auth=("user", "password"))
        assert response.status == 200


async def test_the_default_middlewares_and_slices_of_them(server: Server) -> None:
    assert default_middlewares == (
        "RetryMiddleWare",
        "RedirectMiddleWare",
        "CookiesMiddleWare",
        "DecodeMiddleWare",
        "AuthenticationMiddleWare",
    )
    async with aioreq.Client(middlewares=default_middlewares[2:]) as client:
        assert (await client.get(server.url + "/redirect/1")).status == 302
        assert client.middlewares.next_middleware.next_middleware.__class__.__name__ == "AuthenticationMiddleWare"


async def test_a_custom_middleware(server: Server) -> None:
    class CustomMiddleWare(aioreq.middlewares.MiddleWare):
        async def process(self, request: aioreq.Request, client: aioreq.Client) -> aioreq.Response | aioreq.StreamResponse:
            request.headers["my-header"] = "custom"
            return await self.next_middleware.process(request, client)

    async with aioreq.Client(middlewares=(CustomMiddleWare, *default_middlewares)) as client:
        await client.get(server.url + "/get")
        assert server.requests[-1].header("my-header") == "custom"

    client = aioreq.Client()
    custom_middleware = CustomMiddleWare(next_middleware=client.middlewares)
    client.middlewares = custom_middleware
    await client.get(server.url + "/get")
    assert server.requests[-1].header("my-header") == "custom"
    await client.close()


async def test_get_requests(server: Server) -> None:
    server.route("/", "hello")
    first, second = await aioreq.get_requests([(server.host, server.port), (server.host, server.port)])
    assert first == second
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert first.endswith(b"\r\n\r\nhello")


def test_a_plain_script() -> None:
    with Server(routes=httpbin) as server:
        assert repr(aioreq.get(server.url + "/get")) == "<Response 200 OK>"


def test_sslkeylogfile(tmp_path: Path) -> None:
    script = "import sys, aioreq; print(aioreq.get(sys.argv[1], verify=sys.argv[2]).status)"
    log = tmp_path / "keys.log"
    with Server(routes=httpbin, tls=True) as server:
        assert server.ca is not None
        done = subprocess.run(
            [sys.executable, "-c", script, server.url + "/get", server.ca],
            env={**os.environ, "SSLKEYLOGFILE": str(log)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert (done.stdout, done.stderr) == ("200\n", "")
    assert "CLIENT_TRAFFIC_SECRET_0 " in log.read_text()
