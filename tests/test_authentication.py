"""Who the user is, proved to the embedded server: at once, in answer to a 401, and to nobody else."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import aioreq
from aioreq import BasicAuth, Client
from aioreq.middlewares import MiddleWare, default_middlewares
from aioreq.testing import Reply, Request, Server

BASIC = "/basic-auth/user/password"
DIGEST = "/digest-auth/auth/user/password"


def authorizations(server: Server) -> list[str | None]:
    """The scheme that each request came with."""
    return [(sent.header("authorization") or "none").partition(" ")[0].lower() for sent in server.requests]


@pytest.mark.parametrize(
    ("path", "scheme"), [(BASIC, "basic"), (DIGEST, "digest"), (DIGEST + "/MD5", "digest"), (DIGEST + "/SHA-256", "digest")]
)
@pytest.mark.parametrize("of_client", [True, False])
async def test_a_tuple_answers_what_is_asked(server: Server, path: str, scheme: str, of_client: bool) -> None:
    auth = ("user", "password")
    async with Client(auth=auth if of_client else None) as client:
        response = await (client.get(server.url + path) if of_client else client.get(server.url + path, auth=auth))
    assert response.json()["user"] == "user"
    assert authorizations(server) == ["none", scheme]
    assert server.accepted == 1


async def test_the_strongest_challenge_is_answered(server: Server, client: Client) -> None:
    response = await client.get(server.url + DIGEST, auth=("user", "password"))
    assert response.json()["algorithm"] == "SHA-256"
    offered = [("WWW-Authenticate", "Basic realm=a"), ("WWW-Authenticate", 'Digest realm="b", nonce="c", qop="auth"')]
    server.route("/both", lambda request: Reply(200 if request.header("authorization") else 401, offered))
    assert (await client.get(server.url + "/both", auth=("user", "password"))).status == 200
    async with Client() as another:  # one that wasn't asked by this server yet
        assert (await another.get(server.url + "/both", auth=("user", "password"))).status == 200
    assert authorizations(server)[2:] == ["digest", "none", "digest"]


async def test_digest_covers_the_target_as_it_is_sent(server: Server, client: Client) -> None:
    response = await client.get(server.url + DIGEST + "?q=%7E%2f a&x=ä", params={"y": "1 2"}, auth=("user", "password"))
    assert response.status == 200


async def test_digest_of_a_post(server: Server, client: Client) -> None:
    response = await client.post(server.url + DIGEST, auth=("user", "password"), json={"a": 1})
    assert response.status == 200
    assert [sent.body for sent in server.requests] == [b'{"a":1}'] * 2


async def test_basic_is_sent_at_once(server: Server, client: Client) -> None:
    response = await client.get(server.url + BASIC, auth=BasicAuth("user", "password"))
    assert response.status == 200
    assert authorizations(server) == ["basic"]
    with pytest.raises(aioreq.InvalidHeader):
        BasicAuth("user:name", "password")


@pytest.mark.parametrize(
    ("userinfo", "user", "password"),
    [("user:password", "user", "password"), ("us%40er:pass%3Aw%C3%B6rd", "us@er", "pass:wörd"), ("user", "user", ""), (":pw", "", "pw")],
)
async def test_userinfo_is_basic(server: Server, client: Client, userinfo: str, user: str, password: str) -> None:
    response = await client.get(f"http://{userinfo}@127.0.0.1:{server.port}/get")
    [sent] = server.requests
    expected = base64.b64encode(f"{user}:{password}".encode()).decode()
    assert sent.header_values("authorization") == ["Basic " + expected]
    for shown in (repr(response), repr(response.request), str(response.url), str(response.request.url), sent.header("host")):
        assert "@" not in str(shown)


async def test_auth_wins_over_userinfo_and_a_field_over_both(server: Server, client: Client) -> None:
    url = f"http://a:b@127.0.0.1:{server.port}/get"
    await client.get(url, auth=BasicAuth("user", "password"))
    await client.get(url, auth=BasicAuth("user", "password"), headers={"authorization": "Bearer token"})
    sent = [request.header_values("authorization") for request in server.requests]
    assert sent == [["Basic dXNlcjpwYXNzd29yZA=="], ["Bearer token"]]


async def test_the_more_specific_auth_wins(server: Server) -> None:
    url = f"http://a:b@127.0.0.1:{server.port}/get"
    mine, token = BasicAuth("user", "password"), aioreq.BearerAuth("token")
    async with Client(auth=mine, headers={"X": "y"}) as client:
        await client.get(server.url + "/get")
        await client.get(server.url + "/get", auth=token)
        await client.get(url)
        await client.get(url, auth=None)
        await client.get(url, auth=token)
        await client.send(aioreq.Request("GET", url, auth=token))
        await client.send(aioreq.Request("GET", server.url + "/get", auth=None))
    async with Client(auth=mine, headers={"Authorization": "of the client"}) as client:
        await client.get(server.url + "/get", auth=token)
        await client.get(server.url + "/get", headers={"Authorization": None})
        await client.get(server.url + "/get", headers={"Authorization": "of the request"}, auth=("user", "password"))
    sent = [request.header_values("authorization") for request in server.requests]
    basic, bearer = ["Basic dXNlcjpwYXNzd29yZA=="], ["Bearer token"]
    assert sent[:7] == [basic, bearer, ["Basic YTpi"], ["Basic YTpi"], bearer, bearer, []]
    assert sent[7:] == [["of the client"], basic, ["of the request"]]


async def test_auth_none_drops_what_a_redirect_carried(server: Server) -> None:
    class Bare(MiddleWare):
        async def process(self, request: aioreq.Request, client: Client) -> Any:
            return await self.next_middleware.process(request.replace(auth=None), client)

    async with Client(auth=BasicAuth("user", "password"), middlewares=(*default_middlewares[:-1], Bare, default_middlewares[-1])) as client:
        await client.get(server.url + "/redirect/1")
    assert authorizations(server) == ["none", "none"]


async def test_a_request_that_a_link_makes_has_no_auth_of_the_clients(server: Server) -> None:
    class Own(MiddleWare):
        async def process(self, request: aioreq.Request, client: Client) -> Any:
            for auth in ({}, {"auth": ("user", "password")}, {"auth": lambda made: made.add_field("X-Own", "1")}):
                await self.next_middleware.process(aioreq.Request("GET", server.url + BASIC, **auth), client)
            return await self.next_middleware.process(request, client)

    async with Client(auth=BasicAuth("user", "password"), middlewares=(Own, *default_middlewares)) as client:
        assert (await client.get(server.url + BASIC)).status == 200
    assert authorizations(server) == ["none", "none", "basic", "none", "basic"]
    assert server.requests[3].header("x-own") == "1"


async def test_what_auth_doesnt_take(server: Server, client: Client) -> None:
    for wrong in ("user:sesame", ["user", "sesame"], 1):
        with pytest.raises(TypeError, match=r"auth= takes \(user, password\)") as caught:
            await client.get(server.url + "/get", auth=wrong)  # type: ignore[arg-type]
        assert "sesame" not in str(caught.value)
        with pytest.raises(TypeError, match="auth= takes"):
            Client(auth=wrong)  # type: ignore[arg-type]
    assert not server.requests


@pytest.mark.parametrize("auth", [("user", "wrong"), BasicAuth("user", "wrong"), None])
@pytest.mark.parametrize("path", [BASIC, DIGEST])
async def test_a_wrong_password_gives_the_401(server: Server, client: Client, path: str, auth: Any) -> None:
    response = await client.get(server.url + path, auth=auth)
    assert response.status == 401
    assert "WWW-Authenticate" in response.headers
    assert len(server.requests) == (2 if isinstance(auth, tuple) else 1)
    with pytest.raises(aioreq.StatusError, match="401"):
        await client.get(server.url + path, auth=auth, raise_for_status=True)
    assert server.accepted == 1


@pytest.mark.parametrize(
    "challenge", ["Bearer realm=x", "Negotiate", 'Digest realm="x", nonce="y", algorithm=NEW', "Basic realm=\x22open", "", "=,;"]
)
async def test_a_challenge_that_cant_be_answered(server: Server, client: Client, challenge: str) -> None:
    server.route("/strange", Reply(401, [("WWW-Authenticate", challenge)], "who are you?"))
    response = await client.get(server.url + "/strange", auth=("user", "password"))
    assert (response.status, response.text, len(server.requests)) == (401, "who are you?", 1)


async def test_a_401_without_a_challenge(server: Server, client: Client) -> None:
    assert (await client.get(server.url + "/status/401", auth=("user", "password"))).status == 401
    assert len(server.requests) == 1


async def test_auth_none_sends_nothing(server: Server) -> None:
    async with Client(auth=BasicAuth("user", "password")) as client:
        assert (await client.get(server.url + BASIC, auth=None)).status == 401
        assert (await client.get(server.url + BASIC)).status == 200
    assert authorizations(server) == ["none", "basic"]


async def test_the_password_isnt_shown(server: Server) -> None:
    async with Client(auth=("user", "sesame"), params={"key": "sesame"}, headers={"X-Key": "sesame"}) as client:
        response = await client.get(server.url + BASIC)
        assert "sesame" not in repr(client) + repr(client.settings) + repr(response) + repr(response.request) + repr(response.request.auth)
        assert "sesame" not in repr(BasicAuth("user", "sesame"))


async def test_a_second_answer_isnt_tried(server: Server, client: Client) -> None:
    server.route("/never", lambda request: Reply(401, [("WWW-Authenticate", "Basic realm=x")]))
    assert (await client.get(server.url + "/never", auth=("user", "password"))).status == 401
    assert authorizations(server) == ["none", "basic"]


async def test_streams_are_authenticated(server: Server, client: Client) -> None:
    async with client.stream("GET", server.url + DIGEST, auth=("user", "password")) as response:
        assert (await response.json())["authenticated"] is True


async def test_without_its_link_no_auth_is_sent(server: Server) -> None:
    async with Client(middlewares=default_middlewares[:-1], auth=BasicAuth("user", "password")) as client:
        assert (await client.get(server.url + BASIC)).status == 401


async def _generated() -> AsyncIterator[bytes]:
    yield b"x" * 100_000
    yield b"y" * 100_000


@pytest.mark.parametrize(
    ("make", "again"),
    [
        (lambda: b"x" * 200_000, True),
        (lambda: [b"x" * 100_000] * 2, True),
        (lambda: io.BytesIO(b"x" * 200_000), True),
        (lambda: iter([b"x" * 100_000] * 2), False),
        (_generated, False),
    ],
    ids=["bytes", "list", "file", "iterator", "async generator"],
)
@pytest.mark.parametrize("early", [True, False])
async def test_a_body_and_a_401(server: Server, client: Client, make: Callable[[], Any], again: bool, early: bool) -> None:
    def guarded(request: Request) -> Any:
        if request.header("authorization") is None:
            return Reply(401, [("WWW-Authenticate", "Basic realm=x")], "no", close=early)
        return digest(request)

    async def digest(request: Request) -> Any:
        await request.finished()
        return {"length": len(request.body)}

    server.route("/guarded", guarded, early=early)
    response = await client.put(server.url + "/guarded", content=make(), auth=("user", "password"))
    if again:
        assert response.json() == {"length": 200_000}
        assert authorizations(server) == ["none", "basic"]
    else:
        assert (response.status, response.text) == (401, "no")
        assert len(server.requests) == 1


async def test_authenticated_redirects_within_the_origin(server: Server, client: Client) -> None:
    for auth in (("user", "password"), BasicAuth("user", "password")):
        for path in (BASIC, DIGEST) if isinstance(auth, tuple) and not isinstance(auth, BasicAuth) else (BASIC,):
            response = await client.get(f"{server.url}/redirect-to?url={path}", auth=auth)
            assert (response.status, len(response.redirects)) == (200, 1)
