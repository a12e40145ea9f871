"""Bearer tokens (RFC 6750): given or asked for, once for all who wait, and once more after a 401."""

from __future__ import annotations

import asyncio
import gc
import threading
import traceback
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import aioreq
from aioreq import BearerAuth, Client
from aioreq.testing import Reply, Request, Server


class Tokens:
    """A provider that gives t1, t2, ...; and a route that takes the latest one, until it is revoked."""

    def __init__(self, server: Server) -> None:
        self.given = 0
        self.revoked = 0
        self.refusal = "no"
        self.called = asyncio.Event()
        self.waits: asyncio.Event | None = None
        server.route("/api", self.api)

    async def __call__(self) -> str:
        self.given += 1
        self.called.set()
        token = f"t{self.given}"
        if self.waits is not None:
            await self.waits.wait()
        await asyncio.sleep(0.01)
        return token

    def api(self, request: Request) -> Reply:
        sent = request.header("authorization") or ""
        if sent.startswith("Bearer t") and int(sent[8:]) > self.revoked:
            return Reply(200, body=sent)
        return Reply(401, [("WWW-Authenticate", 'Bearer error="invalid_token"')], self.refusal)


@pytest.fixture
def tokens(server: Server) -> Tokens:
    return Tokens(server)


def sent(server: Server) -> list[str | None]:
    return [request.header("authorization") for request in server.requests]


async def test_a_token_is_sent_at_once(server: Server, client: Client) -> None:
    await client.get(server.url + "/get", auth=BearerAuth("mF_9.B5f-4.1JqM~+/=="))  # RFC 6750 section 2.1
    assert (await client.get(server.url + "/status/401", auth=BearerAuth("abc"))).status == 401
    assert sent(server) == ["Bearer mF_9.B5f-4.1JqM~+/==", "Bearer abc"]


@pytest.mark.parametrize(
    "token", ["", "se cret", "secret\r\nX: y", "secr\xe9t", "=secret", "sec=ret", "secret\n", "Bearer secret", "secret,"]
)
async def test_what_is_no_token(server: Server, client: Client, token: str) -> None:
    with pytest.raises(aioreq.InvalidHeader, match="the token has characters that no token may have") as caught:
        BearerAuth(token)
    assert not token or token not in str(caught.value)

    async def provider() -> str:
        return token

    with pytest.raises(aioreq.InvalidHeader, match="what the token provider gave has characters") as caught:
        await client.get(server.url + "/get", auth=BearerAuth(provider))
    assert ("without 'Bearer '" in str(caught.value)) == token.startswith("Bearer")
    assert not server.requests


async def test_what_gives_no_token(server: Server, client: Client) -> None:
    for given in (b"secret", None, 1):
        with pytest.raises(TypeError, match="BearerAuth takes a token as str, or a callable that gives one, not"):
            BearerAuth(given)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="what the token provider gave is"):
            await client.get(server.url + "/get", auth=BearerAuth(partial(_Method.identity, given)))


async def test_a_token_is_asked_for_once(server: Server, client: Client, tokens: Tokens) -> None:
    auth = BearerAuth(tokens)
    assert tokens.given == 0
    responses = await asyncio.gather(*[client.get(server.url + "/api", auth=auth) for _ in range(20)])
    assert {response.text for response in responses} == {"Bearer t1"}
    assert (await client.get(server.url + "/api", auth=auth)).text == "Bearer t1"
    assert tokens.given == 1


async def test_a_refused_token_is_asked_for_anew_once(server: Server, tokens: Tokens) -> None:
    async with Client(auth=BearerAuth(tokens)) as client:
        await client.get(server.url + "/api")
        tokens.revoked = 1
        responses = await asyncio.gather(*[client.get(server.url + "/api") for _ in range(20)])
        assert {response.text for response in responses} == {"Bearer t2"}
        assert tokens.given == 2
        assert sent(server).count("Bearer t1") <= 21
        assert (await client.post(server.url + "/api", content=b"x")).text == "Bearer t2"
        tokens.revoked = 99
        assert (await client.get(server.url + "/api")).status == 401  # refreshed, refused again: that is the answer
        assert tokens.given == 3
        assert sent(server)[-2:] == ["Bearer t2", "Bearer t3"]


async def test_a_late_401_of_an_old_token(server: Server, client: Client, tokens: Tokens) -> None:
    auth, held, opened = BearerAuth(tokens), asyncio.Event(), asyncio.Event()

    async def late(request: Request) -> Reply:
        if request.header("authorization") == "Bearer t1":
            held.set()
            await opened.wait()
        return tokens.api(request)

    server.route("/late", late)
    slow = asyncio.create_task(client.get(server.url + "/late", auth=auth))
    await held.wait()
    tokens.revoked = 1
    assert (await client.get(server.url + "/api", auth=auth)).text == "Bearer t2"
    opened.set()
    assert (await slow).text == "Bearer t2"
    assert tokens.given == 2


async def test_a_body_that_was_read(server: Server, client: Client, tokens: Tokens) -> None:
    auth = BearerAuth(tokens)
    await client.get(server.url + "/api", auth=auth)
    tokens.revoked = 1
    response = await client.post(server.url + "/api", content=iter([b"x"]), auth=auth)
    assert (response.status, response.text, tokens.given) == (401, "no", 1)
    assert (await client.post(server.url + "/api", content=iter([b"x"]), auth=auth)).text == "Bearer t2"


async def test_one_connection_is_enough(server: Server, tokens: Tokens) -> None:
    async def provider() -> str:
        assert (await client.get(server.url + "/get", auth=None)).status == 200
        return await tokens()

    async with Client(auth=BearerAuth(provider), limits=aioreq.Limits(connections=1), timeout=aioreq.Timeout(pool=5)) as client:
        await client.get(server.url + "/api")
        tokens.revoked, tokens.refusal = 1, "no" * 1_000_000  # more than arrives with the head
        assert (await client.get(server.url + "/api")).text == "Bearer t2"


async def test_a_provider_that_waits_for_itself(server: Server) -> None:
    async def provider() -> str:
        return (await client.get(server.url + "/get")).text

    async with Client(auth=BearerAuth(provider)) as client:
        with pytest.raises(RuntimeError, match="the token provider waits for its own token: send its requests with auth=None"):
            await client.get(server.url + "/api")


@pytest.mark.parametrize("of_its_own", ["task", "gathered", "timed"])
async def test_a_provider_that_waits_for_itself_by_another_task(server: Server, of_its_own: str) -> None:
    async def provider() -> str:
        asked = client.get(server.url + "/get")
        if of_its_own == "timed":
            await asyncio.wait_for(asked, 20)
        else:
            await (asyncio.gather(asked) if of_its_own == "gathered" else asyncio.create_task(asked))
        return "abc"

    async with Client(auth=BearerAuth(provider), timeout=20) as client:
        with pytest.raises(RuntimeError, match="the token provider waits for its own token"):
            await client.get(server.url + "/get")
    assert not server.requests


@pytest.mark.no_loop
def test_a_provider_that_waits_for_itself_in_a_thread() -> None:
    def provider() -> str:
        return aioreq.get("http://127.0.0.1:1/", auth=auth, timeout=20).text

    auth = BearerAuth(provider)
    with pytest.raises(RuntimeError, match="the token provider waits for its own token"):
        aioreq.get("http://127.0.0.1:1/", auth=auth, timeout=20)


async def test_a_provider_may_have_another_one(server: Server, client: Client) -> None:
    inner = BearerAuth(_Method())

    async def provider() -> str:
        asked = [client.get(server.url + "/get", auth=inner) for _ in range(2)]
        return str((await asyncio.gather(*asked))[0].status)

    await client.get(server.url + "/get", auth=BearerAuth(provider))
    assert sent(server) == ["Bearer abc", "Bearer abc", "Bearer 200"]


@pytest.mark.parametrize("cancelled", [0, 1, 2])
async def test_who_gives_up_takes_nobody_along(server: Server, client: Client, tokens: Tokens, cancelled: int) -> None:
    auth, tokens.waits = BearerAuth(tokens), asyncio.Event()
    tasks = [asyncio.create_task(client.get(server.url + "/api", auth=auth)) for _ in range(3)]
    await tokens.called.wait()
    tasks[cancelled].cancel()
    await asyncio.sleep(0)
    tokens.waits.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(outcomes.pop(cancelled), asyncio.CancelledError)
    assert [getattr(outcome, "text", outcome) for outcome in outcomes] == ["Bearer t1"] * 2
    assert tokens.given == 1


async def test_when_all_give_up_the_provider_is_cancelled(server: Server, client: Client, tokens: Tokens) -> None:
    auth, tokens.waits = BearerAuth(tokens), asyncio.Event()
    tasks = [asyncio.create_task(client.get(server.url + "/api", auth=auth)) for _ in range(3)]
    await tokens.called.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(auth._flights) == 0  # and no task is left: the fixture looks
    tokens.waits = None
    assert (await client.get(server.url + "/api", auth=auth)).text == "Bearer t2"


async def test_cancelled_while_refreshing(server: Server, tokens: Tokens) -> None:
    async with Client(auth=BearerAuth(tokens)) as client:
        await client.get(server.url + "/api")
        tokens.revoked, tokens.waits = 1, asyncio.Event()
        tokens.called.clear()
        task = asyncio.create_task(client.get(server.url + "/api"))
        await tokens.called.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        tokens.waits = None
        assert (await client.get(server.url + "/api")).text == "Bearer t3"
        assert client.stats().open == client.stats().idle


async def test_what_a_provider_raises_isnt_remembered(server: Server, client: Client, tokens: Tokens) -> None:
    failing = [True]

    async def provider() -> str:
        await asyncio.sleep(0)
        if failing[0]:
            raise LookupError("no key")
        return await tokens()

    auth = BearerAuth(provider)
    outcomes = await asyncio.gather(*[client.get(server.url + "/api", auth=auth) for _ in range(3)], return_exceptions=True)
    assert [repr(outcome) for outcome in outcomes] == ["LookupError('no key')"] * 3
    failing[0] = False
    assert (await client.get(server.url + "/api", auth=auth)).text == "Bearer t1"


async def test_each_who_waits_has_an_error_of_its_own(server: Server) -> None:
    async def provider() -> str:
        await asyncio.sleep(0)
        error = aioreq.ConnectError("no key")
        error.add_note("a note")
        raise error from LookupError("why")

    async with Client(auth=BearerAuth(provider), retry=aioreq.Retry(attempts=1, backoff=0)) as client:
        tasks = [client.get(f"{server.url}/{number}") for number in range(5)]
        errors: list[Any] = await asyncio.gather(*tasks, return_exceptions=True)
    assert [error.request.url.path for error in errors] == [f"/{number}" for number in range(5)]
    for error in errors:
        assert (str(error), repr(error.__cause__)) == ("no key", "LookupError('why')")
        assert (error.__notes__[0], len(error.__notes__), len(error.attempts)) == ("a note", 3, 2)
        assert [frame.name for frame in traceback.extract_tb(error.__traceback__)].count("provider") == 1


class Unlike(Exception):
    """One that can't be copied: its arguments aren't those it is made of."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


async def test_an_error_that_cant_be_copied(server: Server, client: Client) -> None:
    async def provider() -> str:
        raise Unlike("mi", "ne")

    with pytest.raises(Unlike, match="mine"):
        await client.get(server.url + "/get", auth=BearerAuth(provider))


async def test_an_error_is_freed_at_once(server: Server, client: Client) -> None:
    class Failure(Exception):
        pass

    async def provider() -> str:
        raise Failure

    gc.disable()
    try:
        try:
            await client.get(server.url + "/get", auth=BearerAuth(provider))
        except Failure as error:
            alive = weakref.ref(error)
        assert alive() is None
    finally:
        gc.enable()


async def test_the_total_limit_holds_for_the_first_token(server: Server, client: Client, tokens: Tokens) -> None:
    tokens.waits = asyncio.Event()
    with pytest.raises(aioreq.TotalTimeout, match=r"the total limit of 0.1 s passed in the authentication for http://127\.0\.0\.1"):
        await client.get(server.url + "/api", auth=BearerAuth(tokens), timeout=0.1)
    assert server.requests == []


async def test_the_total_limit_holds_for_the_provider(server: Server, client: Client, tokens: Tokens) -> None:
    auth = BearerAuth(tokens)
    await client.get(server.url + "/api", auth=auth)
    tokens.revoked, tokens.waits = 1, asyncio.Event()
    with pytest.raises(aioreq.TotalTimeout, match=r"the total limit of 0.3 s passed in the authentication for http://127\.0\.0\.1"):
        await client.get(server.url + "/api", auth=auth, timeout=aioreq.Timeout(total=0.3))

    async def slow() -> str:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        await client.get(server.url + "/api", auth=BearerAuth(slow), timeout=5)


class _Method:
    @staticmethod
    def identity(value: Any) -> Any:
        return value

    async def __call__(self) -> str:
        return "abc"


async def _with(argument: str) -> str:
    return argument


@pytest.mark.parametrize(
    "provider", [lambda: "abc", lambda: _with("abc"), partial(_with, "abc"), _Method(), _Method().__call__, partial(str, "abc")]
)
async def test_who_may_provide(server: Server, client: Client, provider: Callable[[], Any]) -> None:
    await client.get(server.url + "/get", auth=BearerAuth(provider))
    assert sent(server) == ["Bearer abc"]


async def test_a_plain_provider_may_block(server: Server, client: Client) -> None:
    ran: list[threading.Thread] = []

    def provider() -> str:
        ran.append(threading.current_thread())
        return "abc"

    await client.get(server.url + "/get", auth=BearerAuth(provider))
    assert ran[0] is not threading.main_thread()


async def test_each_loop_asks_for_itself(server: Server, tokens: Tokens) -> None:
    auth = BearerAuth(tokens)

    async def ask() -> str:
        async with Client(auth=auth) as client:
            return (await client.get(server.url + "/api")).text

    found = await asyncio.gather(*[asyncio.to_thread(lambda: asyncio.run(ask())) for _ in range(3)])
    assert all(text.startswith("Bearer t") for text in found)
    assert tokens.given <= 3
    assert len(auth._flights) == 0


async def test_a_field_of_ones_own_wins(server: Server, client: Client, tokens: Tokens) -> None:
    response = await client.get(server.url + "/api", auth=BearerAuth(tokens), headers={"Authorization": "Other x"})
    assert (response.status, tokens.given, sent(server)) == (401, 0, ["Other x"])


async def test_a_token_stays_with_its_origin(server: Server, client: Client, tokens: Tokens) -> None:
    async with Server() as other:
        other.route("*", 401)
        response = await client.get(f"{server.url}/redirect-to?url={other.url}/x", auth=BearerAuth(tokens))
        assert (response.status, tokens.given, sent(other)) == (401, 1, [None])


def test_the_token_isnt_shown() -> None:
    for auth in (BearerAuth("sesame"), BearerAuth(partial(str, "sesame"))):
        assert repr(auth) == str(auth) == "BearerAuth(...)"


async def test_streams(server: Server, client: Client, tokens: Tokens) -> None:
    auth = BearerAuth(tokens)
    for revoked in (0, 1):
        tokens.revoked = revoked
        async with client.stream("GET", server.url + "/api", auth=auth) as response:
            assert await response.read() == b"Bearer t%d" % (revoked + 1)
