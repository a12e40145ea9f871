"""The chain: how it is made, changed and walked, by requests that run at once and by streams."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest

import aioreq
from aioreq import Client, InvalidURL, Request, Response, StreamResponse
from aioreq.middlewares import MiddleWare, default_middlewares
from aioreq.testing import Reply, Server

Answer = Response | StreamResponse


def names(client: Client) -> list[str]:
    """The classes of a client's chain, but for the last link."""
    found = []
    link = client.middlewares
    while link.linked:
        found.append(type(link).__name__)
        link = link.next_middleware
    return found


class Marker(MiddleWare):
    """Adds a field to each request."""

    def __init__(self, value: str = "on", next_middleware: MiddleWare | None = None) -> None:
        super().__init__(next_middleware=next_middleware)
        self.value = value

    async def process(self, request: Request, client: Client) -> Answer:
        request.headers["X-Marker"] = self.value
        return await self.next_middleware.process(request, client)


class Watcher(MiddleWare):
    """Keeps what goes by."""

    def __init__(self, next_middleware: MiddleWare | None = None) -> None:
        super().__init__(next_middleware)
        self.seen: list[tuple[str, int, type]] = []

    async def process(self, request: Request, client: Client) -> Answer:
        response = await self.next_middleware.process(request, client)
        self.seen.append((request.url.path, response.status, type(response)))
        return response


class Canned(MiddleWare):
    """Answers by itself."""

    async def process(self, request: Request, client: Client) -> Answer:
        return Response(request, "1.1", 203, b"Canned", [(b"Content-Type", b"text/plain")], b"from the can")


# -- how it is made


def test_the_default_chain() -> None:
    expected = ("RetryMiddleWare", "RedirectMiddleWare", "CookiesMiddleWare", "DecodeMiddleWare", "AuthenticationMiddleWare")
    assert expected == default_middlewares
    assert names(Client()) == list(expected)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((), []),
        (default_middlewares[1:], list(default_middlewares[1:])),
        (default_middlewares[:2], list(default_middlewares[:2])),
        (("DecodeMiddleWare",), ["DecodeMiddleWare"]),
        ((Marker, *default_middlewares), ["Marker", *default_middlewares]),
        ((Marker(),), ["Marker"]),
        ([Marker, Marker()], ["Marker", "Marker"]),
        ((aioreq.middlewares.RetryMiddleWare, "CookiesMiddleWare"), ["RetryMiddleWare", "CookiesMiddleWare"]),
    ],
)
def test_names_classes_and_instances(given: Any, expected: list[str]) -> None:
    assert names(Client(middlewares=given)) == expected


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (("NoMiddleWare",), ValueError, "there is no middleware 'NoMiddleWare'; the names are RetryMiddleWare"),
        ("RetryMiddleWare", TypeError, "give a tuple"),
        ((object,), TypeError, "object"),
        ((1,), TypeError, "1 is neither a name"),
    ],
)
def test_what_no_chain_is_made_of(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Client(middlewares=given)


def test_an_instance_stands_in_one_chain() -> None:
    marker = Marker()
    Client(middlewares=(marker, *default_middlewares))
    with pytest.raises(ValueError, match="already stands in a chain"):
        Client(middlewares=(marker,))
    twice = Marker()
    with pytest.raises(ValueError, match="already stands in a chain"):
        Client(middlewares=(twice, twice))


def test_a_chain_that_could_not_be_made_takes_no_instance() -> None:
    marker = Marker()
    with pytest.raises(ValueError, match="there is no middleware"):
        Client(middlewares=("NoMiddleWare", marker))
    assert names(Client(middlewares=(marker,))) == ["Marker"]


async def test_a_link_in_no_chain(client: Client) -> None:
    with pytest.raises(RuntimeError, match="Marker has no next_middleware"):
        await Marker().process(Request("GET", "http://h/"), client)


async def test_a_link_without_process(server: Server) -> None:
    class Idle(MiddleWare):
        pass

    async with Client(middlewares=(Idle,)) as client:
        with pytest.raises(NotImplementedError, match="Idle must define"):
            await client.get(server.url)


# -- how it is changed


async def test_surgery_on_the_list(server: Server) -> None:
    async with Client() as client, Client() as other:
        client.middlewares = Marker("head", next_middleware=client.middlewares)
        retry = client.middlewares.next_middleware
        retry.next_middleware = retry.next_middleware.next_middleware  # without redirects
        assert names(client) == ["Marker", "RetryMiddleWare", *default_middlewares[2:]]
        response = await client.get(server.url + "/redirect/1")
        assert response.status == 302
        assert server.requests[-1].header("x-marker") == "head"
        assert names(other) == list(default_middlewares)
        assert (await other.get(server.url + "/redirect/1")).status == 200


async def test_without_a_link_its_policy_is_gone(server: Server) -> None:
    async with Client(middlewares=()) as bare:
        response = await bare.get(server.url + "/gzip", auth=aioreq.BasicAuth("a", "b"), cookies={"a": "1"})
        assert response.content.startswith(b"\x1f\x8b")
        sent = server.requests[-1]
        assert [sent.header(name) for name in ("accept-encoding", "authorization", "cookie")] == [None, None, None]
        assert (await bare.get(server.url + "/redirect/1")).status == 302
        await bare.get(server.url + "/cookies/set?a=1")
        assert len(bare.cookies) == 0


# -- how it is walked


async def test_a_link_changes_what_is_sent(server: Server) -> None:
    async with Client(middlewares=(Marker("mine"), *default_middlewares), headers={"X-Marker": "client"}) as client:
        request = Request("GET", server.url + "/redirect/2", headers={"X-Own": "1"})
        for _ in range(2):
            await client.send(request)
        assert [sent.header_values("x-marker") for sent in server.requests] == [["mine"]] * 6
        assert [sent.header_values("x-own") for sent in server.requests] == [["1"]] * 6
        assert list(request.headers) == ["X-Own"]
        await client.get(server.url + "/get")
        assert server.requests[-1].header_values("x-marker") == ["mine"]


async def test_a_link_replaces_the_request(server: Server) -> None:
    class Elsewhere(MiddleWare):
        async def process(self, request: Request, client: Client) -> Answer:
            changed = request.replace(method="POST", url=server.url + "/anything/else", content=b"body", headers={"X-A": "1"})
            return await self.next_middleware.process(changed, client)

    async with Client(middlewares=(*default_middlewares, Elsewhere)) as client:
        response = await client.get("http://nowhere.invalid/")
    assert response.json()["body"] == "body"
    assert str(response.url) == server.url + "/anything/else"
    assert {name for name, _ in server.requests[-1].headers} == {b"X-A", b"Host", b"Content-Length"}


class Own(MiddleWare):
    """Sends a request of its own making in place of the client's."""

    def __init__(self, url: str, next_middleware: MiddleWare | None = None, **options: Any) -> None:
        super().__init__(next_middleware)
        self.made = Request("GET", url, **options)

    async def process(self, request: Request, client: Client) -> Answer:
        return await self.next_middleware.process(self.made, client)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("options", [{}, {"timeout": aioreq.Timeout(total=5)}, {"timeout": None}])
async def test_a_request_of_a_links_own_goes_out_the_way_of_the_clients(
    server: Server, tls_server: Server, first: bool, options: dict[str, Any]
) -> None:
    def chain(url: str) -> tuple[Any, ...]:
        own = Own(url, **options)
        return (own, *default_middlewares) if first else (*default_middlewares, own)

    # TLS, and never in the clear.
    async with Client(middlewares=chain(tls_server.url + "/get"), verify=tls_server.ca or True) as client:
        for _ in range(2):
            assert (await client.get(server.url)).connection.tls_version
    for settings in ({"verify": True}, {"retry": 0}):
        async with Client(middlewares=chain(tls_server.url + "/get"), **settings) as client:
            with pytest.raises(aioreq.CertificateError):
                await client.get(server.url)
    async with Client(middlewares=chain(server.url.replace("http:", "https:")), retry=0) as client:
        with pytest.raises(aioreq.TLSError):
            await client.get("http://unused.test/")
    assert server.requests == []
    # By its proxy.
    async with Client(middlewares=chain("http://somewhere.test/get"), proxy=server.url) as client:
        assert (await client.get("http://unused.test/")).status == 200
    assert [request.target for request in server.requests] == [b"http://somewhere.test/get"]


async def test_a_link_that_takes_the_tls_settings_away_gets_tls_all_the_same(server: Server) -> None:
    class Careless(MiddleWare):
        async def process(self, request: Request, client: Client) -> Answer:
            return await self.next_middleware.process(request.replace(tls=None), client)

    async with Client(middlewares=(*default_middlewares, Careless), retry=0) as client:
        with pytest.raises(aioreq.TLSError):
            await client.get(server.url.replace("http:", "https:"))
    assert server.requests == []


async def test_the_credentials_of_the_client_are_no_link_s(server: Server) -> None:
    """They would be sent again at each redirect, to whomever it leads."""
    async with Server() as other:
        other.route("/", Reply(302, [("Location", f"http://localhost:{server.port}/get")]))
        link = Own(other.url + "/")
        secrets: dict[str, Any] = {"headers": {"Authorization": "Bearer secret"}, "params": {"key": "secret"}}
        async with Client(middlewares=(link, *default_middlewares), auth=("user", "secret"), **secrets) as client:
            assert (await client.get("http://unused.test/")).status == 200
            assert "secret" not in (await client.get("http://unused.test/")).text
        assert len(other.requests) == 2
        assert all(b"secret" not in request.target and "secret" not in str(request.headers) for request in other.requests)


async def test_the_password_of_a_links_own_request_and_of_no_other(server: Server) -> None:
    url = server.url + "/digest-auth/auth/user/secret"
    for auth, status in ((("user", "secret"), 200), (aioreq.config.UNSET, 401)):
        async with Client(middlewares=(Own(url, auth=auth), *default_middlewares), auth=("user", "secret")) as client:
            assert (await client.get(server.url)).status == status


async def test_a_link_answers_by_itself() -> None:
    async with Client(middlewares=(*default_middlewares, Canned)) as client:
        response = await client.get("http://nowhere.invalid/", raise_for_status=True)
        assert (response.status, response.text, str(response.url)) == (203, "from the can", "http://nowhere.invalid/")
        with pytest.raises(TypeError, match="a middleware answered a streamed request with Response, not a StreamResponse"):
            async with client.stream("GET", "http://nowhere.invalid/"):
                pass


async def test_a_link_asks_twice(server: Server) -> None:
    class Again(MiddleWare):
        async def process(self, request: Request, client: Client) -> Answer:
            response = await self.next_middleware.process(request, client)
            if response.status == 503:
                await response.close()
                response = await self.next_middleware.process(request.replace(), client)
            return response

    server.script(b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno", path="/get")
    async with Client(middlewares=(Again, *default_middlewares)) as client:
        assert (await client.get(server.url + "/get")).status == 200
    assert server.accepted == 1


async def test_a_link_reads_the_body_of_either_kind(server: Server) -> None:
    class Reader(MiddleWare):
        async def process(self, request: Request, client: Client) -> Answer:
            response = await self.next_middleware.process(request, client)
            request.extensions["body"] = await response.read()
            return response

    async with Client(middlewares=(Reader, *default_middlewares)) as client:
        for path, start in (("/gzip", b'{"encoding"'), ("/nothing", b"no route")):
            kept: dict[str, Any] = {}
            response = await client.get(server.url + path, extensions=kept)
            assert kept["body"] == response.content
            assert response.content.startswith(start)
            async with client.stream("GET", server.url + path, extensions=kept) as streamed:
                assert await streamed.read() == kept["body"]
                assert kept["body"].startswith(start)


@pytest.mark.parametrize("status", [200, 404])
async def test_a_link_behind_the_decoder_reads_what_was_sent_and_takes_nothing_away(server: Server, status: int) -> None:
    sent = gzip.compress(b"text")
    server.route("/encoded", Reply(status, [("Content-Encoding", "gzip")], sent))
    seen: list[bytes] = []

    class Reader(MiddleWare):
        async def process(self, request: Request, client: Client) -> Answer:
            response = await self.next_middleware.process(request, client)
            seen.append(await response.read())
            return response

    async with Client(middlewares=(*default_middlewares, Reader)) as client:
        assert (await client.get(server.url + "/encoded")).content == b"text"
        async with client.stream("GET", server.url + "/encoded") as streamed:
            assert await streamed.read() == b"text"
    assert seen == [sent, sent]


async def test_streams_pass_through(server: Server) -> None:
    watcher = Watcher()
    async with Client(middlewares=(Marker, *default_middlewares[:2], watcher, *default_middlewares[2:])) as client:
        async with client.stream("GET", server.url + "/redirect-to?url=/gzip") as response:
            body = b"".join([chunk async for chunk in response.content])
        await client.get(server.url + "/get")
    assert b'"encoding": "gzip"' in body
    assert watcher.seen == [("/redirect-to", 302, StreamResponse), ("/gzip", 200, StreamResponse), ("/get", 200, Response)]
    assert {sent.header("x-marker") for sent in server.requests} == {"on"}


async def test_an_error_of_a_link_comes_through(server: Server) -> None:
    class Broken(MiddleWare):
        async def process(self, request: Request, client: Client) -> Answer:
            await self.next_middleware.process(request, client)
            raise KeyError("a mistake")

    async with Client(middlewares=(*default_middlewares, Broken), limits=aioreq.Limits(connections=1)) as client:
        for path in ("/get", "/status/404", "/redirect/1"):
            with pytest.raises(KeyError, match="a mistake"):
                await client.get(server.url + path)
            with pytest.raises(KeyError, match="a mistake"):
                async with client.stream("GET", server.url + path):
                    pass
    assert len(server.requests) == 6  # a mistake of ours isn't retried


async def test_requests_that_run_at_once_share_the_chain_and_nothing_else(server: Server) -> None:
    watcher = Watcher()
    async with Client(middlewares=(watcher, *default_middlewares), limits=aioreq.Limits(connections=8)) as client:

        async def call(n: int) -> None:
            options: dict[str, Any] = {"headers": {"X-N": str(n)}, "cookies": {"n": str(n)}, "follow_redirects": n % 2 == 0}
            if n % 3 == 0:
                options["auth"] = aioreq.BasicAuth(f"user{n}", "pw")
            response = await client.get(f"{server.url}/redirect-to?url=/anything/{n}", **options)
            assert response.request.headers["X-N"] == str(n)
            if n % 2:
                assert (response.status, response.redirects) == (302, ())
                return
            assert [earlier.status for earlier in response.redirects] == [302]
            sent = dict(response.json()["headers"])
            assert response.url.path == f"/anything/{n}"
            assert (sent["X-N"], sent["Cookie"]) == (str(n), f"n={n}")
            assert ("Authorization" in sent) == (n % 3 == 0)

        await asyncio.gather(*(call(n) for n in range(60)))
    assert len(watcher.seen) == 60


async def test_what_is_wrong_is_told_where_the_response_is_awaited(server: Server) -> None:
    """Also by the links that are no coroutines themselves: two at once, of which one can't be sent."""

    class Both(MiddleWare):
        async def process(self, request: Request, client: Client) -> Answer:
            broken = [request.replace(url="http://h:0/"), request.replace(auth=5)]
            one, *others = await asyncio.gather(
                *[self.next_middleware.process(each, client) for each in (request, *broken)], return_exceptions=True
            )
            assert [type(other) for other in others] == [InvalidURL, TypeError]
            assert isinstance(one, Response)
            return one

    async with Client(middlewares=(Both, "AuthenticationMiddleWare")) as client:
        assert (await client.get(server.url + "/get")).status == 200


async def test_a_subclass_may_have_a_request_of_its_own(server: Server) -> None:
    class Signing(Client):
        def request(self, method: str, url: Any, **options: Any) -> Any:
            return super().request(method, url, headers={"X-Method": method}, **options)

    async with Signing() as client:
        for verb in ("GET", "POST", "DELETE"):
            response: Response = await getattr(client, verb.lower())(server.url + "/anything")
            assert response.request.headers["X-Method"] == verb


async def test_a_link_that_answers_by_itself_is_read_by_the_clients_json(server: Server) -> None:
    class Elsewhere(MiddleWare):
        async def process(self, request: Request, client: Client) -> Answer:
            return Response(Request("GET", "http://h/"), "1.1", 200, b"OK", [], b"[1]")

    async with Client(middlewares=(Elsewhere,), json_loads=lambda body: body.decode()) as client:
        assert (await client.get(server.url)).json() == "[1]"


async def test_a_link_taken_out_of_its_chain_is_free_again() -> None:
    marker = Marker()
    client = Client(middlewares=(marker,))
    assert names(client) == ["Marker"]
    marker.next_middleware = None  # type: ignore[assignment]
    assert not marker.linked
    assert names(Client(middlewares=(marker,))) == ["Marker"]
    await client.close()


async def test_a_jar_of_ones_own_is_asked(server: Server) -> None:
    class Fixed(aioreq.CookieJar):
        def header(self, url: Any) -> str:
            return "a=1"

    async with Client(cookies=Fixed()) as client:
        assert (await client.get(server.url + "/cookies")).json() == {"cookies": {"a": "1"}}
