"""The httpbin routes of the embedded server, proved by the standard library's clients."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import json
import re
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aioreq.testing import Server, httpbin


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(routes=httpbin) as server:
        yield server


@pytest.fixture
def call(server: Server) -> Iterator[Callable[..., tuple[http.client.HTTPResponse, bytes]]]:
    client = http.client.HTTPConnection(server.host, server.port, timeout=10)

    def call(target: str, method: str = "GET", **options: Any) -> tuple[http.client.HTTPResponse, bytes]:
        client.request(method, target, **options)
        response = client.getresponse()
        return response, response.read()

    yield call
    client.close()
    assert server.errors == []


Call = Callable[..., tuple[http.client.HTTPResponse, bytes]]


def test_echoes(call: Call, server: Server) -> None:
    got = json.loads(call("/get?a=1&b=%26", headers={"X-a": "b"})[1])
    assert (got["method"], got["url"], got["args"]) == ("GET", f"{server.url}/get?a=1&b=%26", {"a": "1", "b": "&"})
    assert ["X-a", "b"] in got["headers"]
    assert call("/get", "POST", body=b"x")[0].status == 405
    got = json.loads(call("/anything/below?x", "PATCH", body="é".encode())[1])
    assert (got["method"], got["body"]) == ("PATCH", "é")
    assert call("/id/77")[1] == b"77"
    assert json.loads(call("/json")[1])["numbers"] == [1, 2, 3]
    assert json.loads(call("/delay/0")[1])["method"] == "GET"
    assert ["X-a", "b"] in json.loads(call("/headers", headers={"X-a": "b"})[1])["headers"]
    assert server.accepted == 1


@pytest.mark.parametrize("code", [200, 204, 304, 404, 503])
def test_status(call: Call, code: int) -> None:
    response, body = call(f"/status/{code}")
    assert (response.status, body) == (code, b"")
    assert call("/id/after")[1] == b"after"


def test_redirects(call: Call, server: Server) -> None:
    assert call("/redirect/2")[0].headers["Location"] == "/redirect/1"
    assert call("/redirect/1")[0].headers["Location"] == "/get"
    response, _ = call("/redirect-to?url=http%3A%2F%2Fx%2F%3Fa&status=308")
    assert (response.status, response.headers["Location"]) == (308, "http://x/?a")
    with urllib.request.urlopen(f"{server.url}/redirect/5", timeout=10) as followed:
        assert json.load(followed)["url"] == f"{server.url}/get"


def test_bodies(call: Call) -> None:
    assert [len(call(f"/bytes/{n}")[1]) for n in (0, 1, 250, 251, 70000)] == [0, 1, 250, 251, 70000]
    assert call("/bytes/300")[1][:252] == bytes(range(251)) + b"\x00"
    response, body = call("/stream/3")
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert [json.loads(line)["id"] for line in body.splitlines()] == [0, 1, 2]
    response, body = call("/drip?numbytes=5&duration=0&code=201&delay=0")
    assert (response.status, response.headers["Content-Length"], body) == (201, "5", b"*****")
    response, body = call("/gzip")
    assert (response.headers["Content-Encoding"], json.loads(gzip.decompress(body))["encoding"]) == ("gzip", "gzip")
    response, body = call("/deflate")
    assert (response.headers["Content-Encoding"], json.loads(zlib.decompress(body))["encoding"]) == ("deflate", "deflate")


@pytest.mark.parametrize("path", ["/get", "/json", "/bytes/9", "/stream/3", "/gzip", "/drip?duration=0", "/id/1", "/anything"])
def test_head(call: Call, path: str) -> None:
    response, body = call(path, "HEAD")
    assert (response.status, body) == (200, b"")
    assert call("/id/after")[1] == b"after"


def test_uploads(call: Call) -> None:
    body = bytes(range(256)) * 4096
    expected = {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    assert json.loads(call("/upload", "POST", body=body)[1]) == expected
    pieces = [body[start : start + 100_000] for start in range(0, len(body), 100_000)]
    chunked = {"body": iter(pieces), "headers": {"Transfer-Encoding": "chunked"}, "encode_chunked": True}
    assert json.loads(call("/upload", "PUT", **chunked)[1]) == expected


def test_cookies(call: Call) -> None:
    response, _ = call("/cookies/set?a=1&b=2")
    assert response.headers.get_all("Set-Cookie") == ["a=1; Path=/", "b=2; Path=/"]
    assert (response.status, response.headers["Location"]) == (302, "/cookies")
    assert json.loads(call("/cookies", headers={"Cookie": "a=1; b=x=y"})[1]) == {"cookies": {"a": "1", "b": "x=y"}}
    assert json.loads(call("/cookies")[1]) == {"cookies": {}}


def test_basic_auth(call: Call) -> None:
    response, _ = call("/basic-auth/me/p%2Fw")
    assert (response.status, response.headers["WWW-Authenticate"]) == (401, 'Basic realm="test", charset="UTF-8"')
    for password, status in (("p/w", 200), ("pw", 401)):
        credentials = base64.b64encode(f"me:{password}".encode()).decode()
        assert call("/basic-auth/me/p%2Fw", headers={"Authorization": f"Basic {credentials}"})[0].status == status


@pytest.mark.parametrize("password", ["secret", "wrong"])
def test_digest_auth_with_another_client(server: Server, password: str) -> None:
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, server.url, "me", password)
    opener = urllib.request.build_opener(urllib.request.HTTPDigestAuthHandler(passwords))
    url = f"{server.url}/digest-auth/auth/me/secret/MD5"
    if password == "secret":
        with opener.open(url, timeout=10) as response:
            assert json.load(response) == {"authenticated": True, "user": "me", "algorithm": "MD5", "nc": 1}
    else:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            opener.open(url, timeout=10)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 200),
        ({"nc": "00000002"}, 200),
        ({"nonce": "0" * 32}, 401),
        ({"uri": "/other"}, 401),
        ({"realm": "other"}, 401),
        ({"username": "you"}, 401),
        ({"opaque": "0"}, 401),
        ({"nc": "1"}, 401),
        ({"cnonce": ""}, 401),
        ({"qop": "auth-int"}, 401),
        ({"algorithm": "MD5-sess"}, 401),
        ({"response": "0" * 64}, 401),
    ],
)
def test_digest_auth_checks_every_field(call: Call, change: dict[str, str], status: int) -> None:
    target = "/digest-auth/auth/me/secret"
    challenges = call(target)[0].headers.get_all("WWW-Authenticate") or []
    assert [re.search(r"algorithm=([\w-]+)", c)[1] for c in challenges] == ["SHA-256", "MD5"]  # type: ignore[index]
    offered = dict(re.findall(r'(\w+)="([^"]*)"', challenges[0]))

    def h(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    given = {"username": "me", "realm": "test", "nonce": offered["nonce"], "uri": target, "opaque": offered["opaque"]}
    given |= {"qop": "auth", "nc": "00000001", "cnonce": "abc", "algorithm": "SHA-256"} | change
    # RFC 7616 section 3.4.1
    middle = f"{given['nonce']}:{given['nc']}:{given['cnonce']}:{given['qop']}"
    given.setdefault("response", h(f"{h('me:test:secret')}:{middle}:{h('GET:' + given['uri'])}"))
    header = "Digest " + ", ".join(f'{name}="{value}"' for name, value in given.items())
    assert call(target, headers={"Authorization": header})[0].status == status
    again = call(target, headers={"Authorization": header})[0]  # the same count twice is a replay
    assert again.status == 401
    if status == 200:
        assert all("stale=true" in c for c in again.headers.get_all("WWW-Authenticate") or ["none"])


def test_server_sent_events(call: Callable[..., tuple[http.client.HTTPResponse, bytes]]) -> None:
    response, body = call("/sse?count=3&duration=0")
    assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream")
    assert body == b"".join(b'event: ping\nid: %d\ndata: {"id": %d}\n\n' % (n, n) for n in range(3))
    assert call("/sse?count=3&duration=0", headers={"Last-Event-ID": "1"})[1] == b'event: ping\nid: 2\ndata: {"id": 2}\n\n'
    assert call("/sse?count=3", headers={"Last-Event-ID": "2"})[0].status == 204
