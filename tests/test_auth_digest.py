"""Digest (RFC 7616) with a server that keeps its rules: what is answered, what is remembered, how often is tried."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import pytest
from digest_server import Protected

import aioreq
from aioreq import BasicAuth, Client, DigestAuth
from aioreq.auth import PasswordAuth
from aioreq.challenges import Challenge
from aioreq.middlewares import default_middlewares
from aioreq.protection import ProtectionSpace, ProtectionSpaces
from aioreq.testing import Reply, Request, Server
from aioreq.urls import parse

ME = ("ann", "sesame")


def schemes(server: Server) -> list[str]:
    """The scheme that each request came with."""
    return [(sent.header("authorization") or "none").partition(" ")[0].lower() for sent in server.requests]


@pytest.mark.parametrize("algorithm", ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256", "SHA-512-256-sess"])
@pytest.mark.parametrize("qop", ["auth", "auth-int", "auth-int, auth", None])
async def test_each_algorithm_asked_once(server: Server, client: Client, algorithm: str, qop: str | None) -> None:
    protected = Protected(algorithm=algorithm, qop=qop)
    server.route("*", protected)
    for number, (method, body) in enumerate([("GET", None), ("POST", b"x" * 10), ("PUT", b""), ("GET", None)]):
        response = await client.request(method, f"{server.url}/a?n={number}", content=body, auth=ME)
        assert (response.status, response.text) == (200, str(len(body or b"")))
    assert schemes(server) == ["none"] + ["digest"] * 4
    if qop is not None:
        assert list(protected.counts.values()) == [[1, 2, 3, 4]]
        assert {answer["qop"] for answer in protected.answers} == {"auth-int" if qop == "auth-int" else "auth"}
        # A session's secret is made of its first cnonce; otherwise each answer has its own.
        assert len({answer["cnonce"] for answer in protected.answers}) == (1 if algorithm.endswith("-sess") else 4)


@pytest.mark.parametrize("user", ["ann", "J\xe4s\xf8n Doe", 'a"n\\n', "a:n"])
@pytest.mark.parametrize(("userhash", "charset"), [(True, "UTF-8"), (False, "UTF-8"), (False, None)])
async def test_names(server: Server, client: Client, user: str, userhash: bool, charset: str | None) -> None:
    server.route("*", Protected(user, "p\xe4:ss", userhash=userhash, charset=charset))
    assert (await client.get(server.url, auth=(user, "p\xe4:ss"))).status == 200


async def test_an_upload_is_sent_once_to_a_known_server(server: Server, client: Client) -> None:
    server.route("*", Protected())
    assert (await client.get(server.url, auth=ME)).status == 200
    chunks = iter([b"x" * 1000] * 3)
    assert (await client.post(server.url, content=chunks, auth=ME)).text == "3000"
    assert schemes(server) == ["none", "digest", "digest"]


async def test_what_a_body_that_was_read_was_refused_for_is_remembered(server: Server, client: Client) -> None:
    server.route("*", Protected())

    async def body() -> AsyncIterator[bytes]:
        yield b"abc"

    assert (await client.post(server.url, content=body(), auth=ME)).status == 401
    assert (await client.post(server.url, content=body(), auth=ME)).text == "3"
    assert schemes(server) == ["none", "digest"]


@pytest.mark.parametrize("body", [b"x" * 3_000_000, io.BytesIO(b"xyz"), None])
async def test_a_server_that_wants_the_body_hashed(server: Server, client: Client, body: Any) -> None:
    server.route("*", Protected(qop="auth-int"))
    assert (await client.get(server.url, auth=ME)).status == 200
    response = await client.put(server.url, content=body, auth=ME)
    # Of a file it would have to be read before it is sent.
    assert response.status == (401 if isinstance(body, io.BytesIO) else 200)
    assert schemes(server) == ["none", "digest", "none" if isinstance(body, io.BytesIO) else "digest"]


@pytest.mark.parametrize("auth", [("ann", "wrong"), DigestAuth("bob", "sesame")])
@pytest.mark.parametrize("fixed", [True, False])
async def test_a_wrong_password_is_tried_once(server: Server, client: Client, auth: Any, fixed: bool) -> None:
    server.route("*", Protected(fixed=fixed))
    for _ in range(3):
        response = await client.get(server.url, auth=auth)
        assert (response.status, response.text) == (401, "who are you?")
    assert schemes(server) == ["none", "digest"] * 3


async def test_a_password_that_is_changed_meanwhile(server: Server, client: Client) -> None:
    protected = Protected()
    server.route("*", protected)
    assert (await client.get(server.url, auth=ME)).status == 200
    protected.password = "other"
    for _ in range(2):
        assert (await client.get(server.url, auth=ME)).status == 401
    assert schemes(server) == ["none", "digest", "digest", "digest", "none", "digest"]


async def test_a_known_nonce_that_is_refused_isnt_tried_again(server: Server, client: Client) -> None:
    protected = Protected(fixed=True)
    server.route("*", protected)
    assert (await client.get(server.url, auth=ME)).status == 200
    protected.password = "other"
    assert (await client.get(server.url, auth=ME)).status == 401
    assert schemes(server) == ["none", "digest", "digest"]


async def test_a_stale_nonce_costs_one_more_request(server: Server, client: Client) -> None:
    protected = Protected(uses=2)
    server.route("*", protected)
    for _ in range(5):
        assert (await client.post(server.url, content=b"abc", auth=ME)).text == "3"
    assert schemes(server) == ["none"] + ["digest"] * 7
    assert list(protected.counts.values()) == [[1, 2, 3], [1, 2, 3], [1]]


async def test_a_server_that_finds_every_nonce_stale(server: Server, client: Client) -> None:
    server.route("*", Protected(uses=0))
    for _ in range(2):
        assert (await client.get(server.url, auth=ME)).status == 401
    assert schemes(server) == ["none", "digest", "digest"] * 2
    assert len(client.protection_spaces or []) == 0


async def test_nextnonce(server: Server, client: Client) -> None:
    protected = Protected(hands_on=True, uses=1)
    server.route("*", protected)
    for _ in range(4):
        assert (await client.get(server.url, auth=ME)).status == 200
    assert schemes(server) == ["none"] + ["digest"] * 4
    assert list(protected.counts.values()) == [[1], [1], [1], [1], []]


async def test_a_late_answer_doesnt_bring_an_old_nonce_back(server: Server, client: Client) -> None:
    protected = Protected()
    held, opened = asyncio.Event(), asyncio.Event()

    async def late(request: Request) -> Reply:
        held.set()
        await opened.wait()
        return protected(request)

    server.route("*", protected)
    server.route("/late", late)
    await client.get(server.url, auth=ME)
    slow = asyncio.create_task(client.get(server.url + "/late", auth=ME))
    await held.wait()
    protected.hands_on = True
    await client.get(server.url, auth=ME)
    protected.hands_on = False
    opened.set()
    assert (await slow).status == 200
    await client.get(server.url, auth=ME)
    assert sorted(map(sorted, protected.counts.values())) == [[1], [1, 2, 3]]


async def test_a_session_isnt_carried_to_the_next_nonce(server: Server, client: Client) -> None:
    server.route("*", Protected(hands_on=True, algorithm="SHA-256-sess"))
    for _ in range(2):
        assert (await client.get(server.url, auth=ME)).status == 200
    assert schemes(server) == ["none", "digest"] * 2


@pytest.mark.parametrize(("rspauth", "asked"), [("right", 1), ("", 1), ("wrong", 2)])
async def test_who_doesnt_know_the_password_isnt_remembered(server: Server, client: Client, rspauth: str, asked: int) -> None:
    server.route("*", Protected(rspauth=rspauth, hands_on=True))
    for _ in range(2):
        assert (await client.get(server.url, auth=ME)).status == 200
    assert schemes(server).count("none") == asked


@pytest.mark.parametrize("strict", [True, False])
async def test_requests_at_once_count_together(server: Server, strict: bool) -> None:
    protected = Protected(strict=strict)
    server.route("*", protected)
    async with Client(auth=ME, limits=aioreq.Limits(connections=20)) as client:
        assert (await client.get(server.url)).status == 200
        responses = await asyncio.gather(*[client.get(f"{server.url}/{number}") for number in range(100)])
    assert {response.status for response in responses} == {200}
    pairs = [(answer["nonce"], answer["nc"]) for answer in protected.answers]
    assert len(set(pairs)) == len(pairs)
    if not strict:
        assert [sorted(counts) for counts in protected.counts.values()] == [list(range(1, 102))]
        assert schemes(server) == ["none"] + ["digest"] * 101


async def test_loops_and_threads_count_together(server: Server) -> None:
    protected = Protected()
    server.route("*", protected)
    client = Client(auth=ME)
    assert (await client.get(server.url)).status == 200

    async def ask() -> list[int]:
        responses = await asyncio.gather(*[client.get(server.url) for _ in range(20)])
        return [response.status for response in responses]

    found = await asyncio.gather(*[asyncio.to_thread(lambda: asyncio.run(ask())) for _ in range(4)])
    await client.close()
    assert found == [[200] * 20] * 4  # a count that came twice would be a 400
    pairs = [(answer["nonce"], answer["nc"]) for answer in protected.answers]
    assert len(set(pairs)) == len(pairs) == 81


# -- where an answer is given without being asked


@pytest.mark.parametrize(
    ("domain", "known"),
    [
        (None, ["/", "/a/b", "/x?y"]),
        ("", ["/", "/x"]),
        ("/a/", ["/a/", "/a/b/c?d"]),
        ("/a /c", ["/ab", "/c/d"]),
        ("http://SERVER/a/", ["/a/b"]),
        ("http://elsewhere.example/ /a/ http://[bad", ["/a/b"]),
    ],
)
async def test_the_domain_of_a_challenge(server: Server, client: Client, domain: str | None, known: list[str]) -> None:
    if domain is not None:
        domain = domain.replace("SERVER", f"127.0.0.1:{server.port}")
    server.route("*", Protected(domain=domain))
    assert (await client.get(server.url + "/a/start", auth=ME)).status == 200
    for path in known:
        assert (await client.get(server.url + path, auth=ME)).status == 200
    assert schemes(server) == ["none"] + ["digest"] * (1 + len(known))
    if domain:
        assert (await client.get(server.url + "/x", auth=ME)).status == 200
        assert schemes(server)[-2:] == ["none", "digest"]


@pytest.mark.parametrize("domain", ["http://elsewhere.example/", "mailto:x@y", "http://[bad"])
async def test_a_domain_that_is_elsewhere(server: Server, client: Client, domain: str) -> None:
    async with Server() as elsewhere:
        elsewhere.route("*", 200)
        server.route("*", Protected(domain=f"{domain} {elsewhere.url}/"))
        for _ in range(2):
            assert (await client.get(server.url, auth=ME)).status == 200
        assert schemes(server) == ["none", "digest"] * 2
        await client.get(elsewhere.url, auth=ME)
        assert schemes(elsewhere) == ["none"]


async def test_two_realms_of_one_origin(server: Server, client: Client) -> None:
    server.route("/a/*", Protected(realm="a", domain="/a/"))
    server.route("/b/*", Protected(realm="b", domain="/b/"))
    for _ in range(3):
        for path in ("/a/x", "/b/x"):
            assert (await client.get(server.url + path, auth=ME)).status == 200
    assert schemes(server) == ["none", "digest"] * 2 + ["digest"] * 4


async def test_realms_that_dont_say_where_they_are(server: Server, client: Client) -> None:
    server.route("/a/*", Protected(realm="a"))
    server.route("/b/*", Protected(realm="b"))
    for path in ("/a/x", "/b/x", "/a/x"):
        assert (await client.get(server.url + path, auth=ME)).status == 200
    assert schemes(server) == ["none"] + ["digest"] * 5  # in vain at first, then for the realm that was asked for


async def test_basic_is_given_again_below_where_it_was_asked_for(server: Server, client: Client) -> None:
    def basic(request: Request) -> Reply:
        return Reply(200 if request.header("authorization") else 401, [("WWW-Authenticate", "Basic realm=x")])

    server.route("*", basic)
    for path in ("/a/b", "/a/", "/a/b/c?d", "/ab", "/a"):
        assert (await client.get(server.url + path, auth=ME)).status == 200
    # RFC 7617 section 2.2; what is asked for at the root holds for all of it.
    assert schemes(server) == ["none", "basic", "basic", "basic", "none", "basic", "basic"]


async def test_an_answer_belongs_to_its_user_origin_and_client(server: Server, client: Client) -> None:
    protected = Protected()
    server.route("*", protected)
    async with Server() as other, Client() as another:
        other.route("*", protected)
        await client.get(server.url, auth=ME)
        await client.get(server.url, auth=("bob", "sesame"))
        assert schemes(server) == ["none", "digest"] * 2
        await client.get(server.url)
        await client.get(server.url, auth=BasicAuth(*ME))
        await another.get(server.url, auth=ME)
        assert schemes(server)[4:] == ["none", "basic", "none", "digest"]
        await client.get(other.url, auth=ME)
        assert schemes(other) == ["none", "digest"]


async def test_digest_never_becomes_basic(server: Server, client: Client) -> None:
    server.route("*", lambda request: Reply(401, [("WWW-Authenticate", "Basic realm=x")]))
    assert (await client.get(server.url, auth=DigestAuth(*ME))).status == 401
    assert schemes(server) == ["none"]


async def test_basic_after_a_refused_digest_isnt_tried(server: Server, client: Client) -> None:
    offers = iter(['Digest realm="x", nonce="y", qop="auth"', 'Basic realm="x"', 'Basic realm="x"'])
    server.route("*", lambda request: Reply(401, [("WWW-Authenticate", next(offers))]))
    assert (await client.get(server.url, auth=ME)).status == 401
    assert schemes(server) == ["none", "digest"]


async def test_streams_are_answered_for_at_once(server: Server, client: Client) -> None:
    server.route("*", Protected())
    for _ in range(2):
        async with client.stream("PUT", server.url, content=b"abc", auth=ME) as response:
            assert await response.read() == b"3"
    assert schemes(server) == ["none", "digest", "digest"]


async def test_expect_continue_and_a_401(server: Server, client: Client) -> None:
    protected = Protected()

    async def asks_first(request: Request) -> Reply:
        if request.header("authorization") is not None:
            await request.finished()
        return protected(request)

    server.route("*", asks_first, early=True)
    body = iter([b"x" * 100_000])  # it can't be sent twice, and isn't
    response = await client.put(server.url, content=body, headers={"Expect": "100-continue"}, auth=ME)
    assert (response.status, response.text) == (200, "100000")
    assert schemes(server) == ["none", "digest"]


async def test_cancelled_between_its_two_requests(server: Server, client: Client, no_hanging: None) -> None:
    protected = Protected()
    held = asyncio.Event()

    async def slow(request: Request) -> Reply:
        if request.header("authorization") is not None and not held.is_set():
            held.set()
            await asyncio.sleep(60)
        return protected(request)

    server.route("*", slow)
    task = asyncio.create_task(client.get(server.url, auth=ME))
    await held.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert client.stats().open == client.stats().idle
    assert (await client.get(server.url, auth=ME)).status == 200
    assert schemes(server) == ["none", "digest"] * 2


# -- what is remembered is bounded

ROOT = parse("http://h/")
NONE = Challenge("digest", {"realm": "r", "nonce": "n"})


async def test_a_proof_that_is_no_text(server: Server, client: Client) -> None:
    protected = Protected(rspauth="")
    server.route("*", lambda request: _with_info(protected(request), 'rspauth="\udcff"'))
    for _ in range(2):
        assert (await client.get(server.url, auth=ME)).status == 200
    assert schemes(server) == ["none", "digest"] * 2  # of who proves itself wrongly nothing is remembered


def _with_info(reply: Reply, info: str) -> Reply:
    return Reply(reply.status, [*reply.headers, ("Authentication-Info", info)], reply.body)


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_cookie_that_comes_with_the_challenge(server: Server, client: Client, streamed: bool) -> None:
    """The nonce may be known to one server of many, to which the cookie leads."""
    protected = Protected()

    def balanced(request: Request) -> Reply:
        if request.header("cookie") not in ("own=1; node=7", "node=7; own=1"):
            reply = protected.challenge(stale=True)
            reply.headers.append(("Set-Cookie", "node=7"))
            return reply
        return protected(request)

    server.route("*", balanced)
    client.cookies.set("own", "0", url=server.url)
    if streamed:
        async with client.stream("GET", server.url, auth=ME, cookies={"own": "1"}) as response:
            assert response.status == 200
    else:
        assert (await client.get(server.url, auth=ME, cookies={"own": "1"})).status == 200
    assert [sent.header("cookie") for sent in server.requests] == ["own=1", "node=7; own=1"]
    assert client.cookies.get("node") == "7"


async def test_without_a_jar_no_cookie_is_kept(server: Server) -> None:
    def asking(request: Request) -> Reply:
        known = request.header("authorization")
        return Reply(200) if known else Reply(401, [("WWW-Authenticate", "Basic"), ("Set-Cookie", "a=1")])

    server.route("*", asking)
    chain = [name for name in default_middlewares if name != "CookiesMiddleWare"]
    async with Client(middlewares=chain, auth=ME) as client:
        assert (await client.get(server.url)).status == 200
        assert (len(client.cookies), len(server.requests)) == (0, 2)
        assert server.requests[1].header("cookie") is None


@pytest.mark.parametrize("filler", [", ".join(f'{"n" * 1000}{number}=""' for number in range(9)), f'opaque="{"o" * 4096}"'])
async def test_a_large_challenge_isnt_remembered(server: Server, client: Client, filler: str) -> None:
    challenge = Reply(401, [("WWW-Authenticate", f'Digest realm="here", nonce="n", {filler}')])
    server.route("*", lambda request: Reply(200) if request.header("authorization") else challenge)
    assert (await client.get(server.url, auth=ME)).status == 200
    assert client.protection_spaces is not None
    assert len(client.protection_spaces) == 0


async def test_the_uris_of_a_challenge_are_few_characters(server: Server, client: Client) -> None:
    challenge = Reply(401, [("WWW-Authenticate", f'Digest realm="here", nonce="n", domain="{" ".join("abcdefgh")}"')])
    server.route("*", lambda request: Reply(200) if request.header("authorization") else challenge)
    assert (await client.get(f"{server.url}/{'long' * 500}/", auth=ME)).status == 200  # eight URIs below this one
    assert client.protection_spaces is not None
    assert len(client.protection_spaces) == 0


def test_the_memory_is_bounded() -> None:
    spaces = ProtectionSpaces()
    for number in range(2000):
        spaces.remember(PasswordAuth("u", str(number)), ROOT, ProtectionSpace(NONE, ("/",)))
    assert len(spaces) == 256
    assert spaces.recall(PasswordAuth("u", "0"), aioreq.Request("GET", "http://h/")) is None
    assert spaces.recall(PasswordAuth("u", "1999"), aioreq.Request("GET", "http://h/")) is not None
    for number in range(2000):
        spaces.remember(PasswordAuth("u", "1999"), ROOT, ProtectionSpace(NONE, (f"/{number}/",)))
    assert len(spaces) == 255 + 8
    huge = Challenge("digest", {"realm": "r", "nonce": "n" * 5000})
    spaces.remember(PasswordAuth("u", "huge"), ROOT, ProtectionSpace(huge, ("/",)))
    assert len(spaces) == 255 + 8
    many = Challenge("digest", {**NONE.params, "domain": " ".join(f"/{number}" for number in range(5000))})
    assert len(spaces.opened(many, ROOT).prefixes) == 32
    for number in range(2000):
        spaces.opened(Challenge("digest", {"realm": "r", "nonce": str(number)}), ROOT)
    assert len(spaces._counts) == 256


async def test_one_nonce_for_all_is_counted_once(server: Server, client: Client) -> None:
    protected = Protected(fixed=True)
    server.route("*", protected)
    responses = await asyncio.gather(*[client.get(server.url, auth=ME) for _ in range(10)])
    assert {response.status for response in responses} == {200}
    assert sorted(protected.counts["fixed"]) == list(range(1, 11))


def test_the_one_that_was_used_is_kept() -> None:
    spaces = ProtectionSpaces()
    kept, request = PasswordAuth("u", "kept"), aioreq.Request("GET", "http://h/")
    spaces.remember(kept, ROOT, ProtectionSpace(NONE, ("/",)))
    for number in range(1000):
        spaces.remember(PasswordAuth("u", str(number)), ROOT, ProtectionSpace(NONE, ("/",)))
        assert spaces.recall(kept, request) is not None


def test_the_innermost_space_is_asked() -> None:
    spaces, me = ProtectionSpaces(), PasswordAuth("u", "p")
    outer, inner = ProtectionSpace(NONE, ("/",)), ProtectionSpace(NONE, ("/a/", "/c"))
    for space in (inner, outer):
        spaces.remember(me, ROOT, space)
    for path, found in (("/", outer), ("/a", outer), ("/a/b", inner), ("/c", inner)):
        assert spaces.recall(me, aioreq.Request("GET", "http://h" + path)) is found
    spaces.forget(me, ROOT, inner)
    assert spaces.recall(me, aioreq.Request("GET", "http://h/a/b")) is outer
    spaces.forget(me, ROOT, outer)
    assert len(spaces) == 0
