"""Client middlewares, Digest among them, and request classes of one's own. On the face and on aiohttp."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from digest_server import Protected
from yarl import URL

from aioreq.testing import Close, Server, Stall


def header(echoed: Any, name: str) -> str | None:
    return next((value for own, value in echoed["headers"] if own.lower() == name.lower()), None)


async def test_they_wrap_each_other(lib: Any, web: Any) -> None:
    told = []

    def middleware(name: str) -> Any:
        async def process(request: Any, handler: Any) -> Any:
            told.append(f"{name} before {request.method} {request.url.path}")
            response = await handler(request)
            told.append(f"{name} after {response.status}")
            return response

        return process

    async with lib.ClientSession(middlewares=(middleware("a"), middleware("b"))) as session:
        async with session.get(web.url + "/x") as response:
            assert (await response.json())["path"] == "/x"
        assert told == ["a before GET /x", "b before GET /x", "b after 200", "a after 200"]
        told.clear()
        async with session.get(web.url, middlewares=(middleware("c"),)) as response:
            pass
        async with session.get(web.url, middlewares=()) as response:
            pass
    assert told == ["c before GET /", "c after 200"]


async def test_what_they_see(lib: Any, web: Any) -> None:
    seen: dict[str, Any] = {}

    async def process(request: Any, handler: Any) -> Any:
        body = request.body
        seen.update(
            method=request.method,
            url=request.url,
            host=request.host,
            port=request.port,
            ssl=request.is_ssl(),
            session=request.session,
            version=request.version,
            headers={name: request.headers[name] for name in ("X-A", "X-B", "Accept", "Cookie", "Content-Type", "Content-Length")},
            body=body if body == b"" else await body.as_bytes(),
            info=request.request_info,
        )
        return await handler(request)

    async with lib.ClientSession(middlewares=(process,), headers={"X-A": "1"}) as session:
        async with session.post(web.url + "/p?q#f", json={"a": 1}, headers={"X-B": "2"}, cookies={"c": "3"}) as response:
            echoed = await response.json()
        assert seen["session"] is session
    assert echoed["body"] == '{"a": 1}'
    assert (seen["method"], seen["url"], seen["host"]) == ("POST", URL(web.url + "/p?q"), "127.0.0.1")
    assert (seen["port"], seen["ssl"], seen["version"], seen["body"]) == (URL(web.url).port, False, (1, 1), b'{"a": 1}')
    assert seen["headers"] == {
        "X-A": "1",
        "X-B": "2",
        "Accept": "*/*",
        "Cookie": "c=3",
        "Content-Type": "application/json",
        "Content-Length": "8",
    }
    assert seen["info"].real_url == URL(web.url + "/p?q#f")


async def test_what_they_change(lib: Any, web: Any) -> None:
    async def process(request: Any, handler: Any) -> Any:
        request.headers["X-A"] = "changed"
        request.headers["Authorization"] = "Bearer token"
        del request.headers["User-Agent"]
        request.method = "PUT"
        request.url = request.url.with_path("/other")
        await request.update_body(b"another body")
        return await handler(request)

    async with lib.ClientSession(middlewares=(process,)) as session, session.post(web.url, json=1, headers={"X-A": "1"}) as response:
        echoed = await response.json()
    assert (echoed["method"], echoed["path"], echoed["body"]) == ("PUT", "/other", "another body")
    assert [header(echoed, name) for name in ("X-A", "Authorization", "User-Agent", "Content-Length")] == [
        "changed",
        "Bearer token",
        None,
        "12",
    ]


async def test_they_try_again(lib: Any) -> None:
    async def process(request: Any, handler: Any) -> Any:
        for attempt in range(3):
            request.headers["X-Attempt"] = str(attempt)
            response = await handler(request)
            if response.status != 503:
                break
            assert await response.text() == "later"
        return response

    async with Server() as server:
        server.script(b"HTTP/1.1 503 Later\r\nContent-Length: 5\r\n\r\nlater", path="/", times=2)
        server.script(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", path="/")
        async with lib.ClientSession(middlewares=(process,)) as session, session.post(server.url, data=b"body") as response:
            assert (response.status, await response.text()) == (200, "ok")
        assert [(request.header("x-attempt"), request.body) for request in server.requests] == [(str(i), b"body") for i in range(3)]


async def test_they_read_the_body(lib: Any, web: Any) -> None:
    async def process(request: Any, handler: Any) -> Any:
        response = await handler(request)
        assert (await response.json())["method"] == "GET"
        return response

    async with lib.ClientSession(middlewares=(process,)) as session, session.get(web.url) as response:
        assert (await response.json())["method"] == "GET"


async def test_they_see_each_hop(lib: Any) -> None:
    seen = []

    async def process(request: Any, handler: Any) -> Any:
        seen.append(request.url.path)
        return await handler(request)

    async with Server() as server:
        server.script(b"HTTP/1.1 302 Found\r\nLocation: /b\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n", path="/a")
        server.script(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", path="/b")
        async with lib.ClientSession(middlewares=(process,)) as session, session.get(server.url + "/a") as response:
            assert [response.status for response in response.history] == [302]
            assert response.url.path == "/b"
    assert seen == ["/a", "/b"]


async def test_they_send_other_requests(lib: Any, web: Any) -> None:
    async def process(request: Any, handler: Any) -> Any:
        if "Authorization" not in request.headers:
            async with request.session.get(web.url + "/token", middlewares=()) as response:
                request.headers["Authorization"] = (await response.json())["path"]
        return await handler(request)

    async with lib.ClientSession(middlewares=(process,)) as session, session.get(web.url) as response:
        assert header(await response.json(), "Authorization") == "/token"


async def test_they_answer_by_another_response(lib: Any, web: Any) -> None:
    async def process(request: Any, handler: Any) -> Any:
        return await request.session.get(web.url + "/instead", middlewares=())

    async with lib.ClientSession(middlewares=(process,)) as session, session.get(web.url) as response:
        assert (await response.json())["path"] == "/instead"


async def test_they_catch_errors(lib: Any) -> None:
    caught = []

    async def process(request: Any, handler: Any) -> Any:
        try:
            return await handler(request)
        except lib.ClientError as error:
            caught.append(type(error).__name__)
            raise

    async with Server() as server:
        server.script(Close(), times=2)
        async with lib.ClientSession(middlewares=(process,)) as session:
            with pytest.raises(lib.ServerDisconnectedError):
                await session.get(server.url)
            with pytest.raises(lib.ClientConnectorError):
                await session.get("http://127.0.0.1:1/")
    assert caught == ["ServerDisconnectedError", "ServerDisconnectedError", "ClientConnectorError"]


async def test_their_own_errors_are_told(lib: Any, web: Any) -> None:
    async def process(request: Any, handler: Any) -> Any:
        raise LookupError("own")

    async with lib.ClientSession(middlewares=(process,)) as session:
        with pytest.raises(LookupError, match="own"):
            await session.get(web.url)


async def test_they_are_in_time(lib: Any, web: Any) -> None:
    async def process(request: Any, handler: Any) -> Any:
        await asyncio.sleep(60)

    async with lib.ClientSession(middlewares=(process,), timeout=lib.ClientTimeout(total=0.1)) as session:
        with pytest.raises(asyncio.TimeoutError):
            await session.get(web.url)


async def test_cancelled_within_one(lib: Any) -> None:
    async def process(request: Any, handler: Any) -> Any:
        return await handler(request)

    async with Server() as server:
        server.script(Stall())
        async with lib.ClientSession(middlewares=(process,)) as session:
            waiting = asyncio.ensure_future(session.get(server.url))
            await server.until(lambda: bool(server.requests))
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting


async def test_build_client_middlewares(lib: Any) -> None:
    from importlib import import_module

    build = import_module(lib.__name__ + ".client_middlewares").build_client_middlewares

    async def handler(request: Any) -> Any:
        return [request]

    def adding(name: str) -> Any:
        async def middleware(request: Any, handler: Any) -> Any:
            return [name, *(await handler(request))]

        return middleware

    assert await build(handler, [adding("a"), adding("b")])("request") == ["a", "b", "request"]


async def test_a_request_class_of_ones_own(lib: Any, web: Any) -> None:
    class Own(lib.ClientRequest):  # type: ignore[misc]
        def update_headers(self, headers: Any) -> None:
            super().update_headers(headers)
            self.headers["X-Own"] = "1"

    async with lib.ClientSession(request_class=Own) as session, session.get(web.url) as response:
        assert header(await response.json(), "X-Own") == "1"


@pytest.mark.parametrize("algorithm", ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess"])
@pytest.mark.parametrize("preemptive", [True, False])
async def test_digest(lib: Any, algorithm: str, preemptive: bool) -> None:
    digest = lib.DigestAuthMiddleware("ann", "sesame", preemptive)
    async with Server() as server:
        protected = Protected(algorithm=algorithm)
        server.route("/secret", methods=["GET", "POST"])(protected)
        async with lib.ClientSession(middlewares=(digest,)) as session:
            for _ in range(2):
                async with session.get(server.url + "/secret?a=%2F") as response:
                    assert response.status == 200
            if not algorithm.endswith("-sess"):  # whose hash aiohttp makes anew, and is asked again
                assert len(server.requests) == (3 if preemptive else 4)
            async with session.post(server.url + "/secret", data=b"body") as response:
                assert (response.status, await response.text()) == (200, "4")
        async with (
            lib.ClientSession(middlewares=(lib.DigestAuthMiddleware("ann", "wrong"),)) as session,
            session.get(server.url + "/secret") as response,
        ):
            assert response.status == 401


async def test_digest_hashes_the_body(lib: Any) -> None:
    async with Server() as server:
        server.route("/secret", methods=["POST"])(Protected(qop="auth-int"))
        async with (
            lib.ClientSession(middlewares=(lib.DigestAuthMiddleware("ann", "sesame"),)) as session,
            session.post(server.url + "/secret", data=b"body") as response,
        ):
            assert response.status == 200


async def test_digest_stays_with_its_origin(lib: Any) -> None:
    digest = lib.DigestAuthMiddleware("ann", "sesame")
    async with Server() as server, Server() as other:
        for one in (server, other):
            one.route("/secret")(Protected())
        async with lib.ClientSession(middlewares=(digest,)) as session:
            for url, status in ((server.url, 200), (other.url, 401), (server.url, 200)):
                async with session.get(url + "/secret") as response:
                    assert response.status == status
        assert all(request.header("authorization") is None for request in other.requests)


def test_digest_credentials(lib: Any) -> None:
    for login, password, message in (("a:b", "", "not allowed in username"), (None, "", "as login"), ("a", None, "as password")):
        with pytest.raises(ValueError, match=message):
            lib.DigestAuthMiddleware(login, password)
