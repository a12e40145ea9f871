"""aioreq against nginx, as it is installed everywhere; and what a run does where a peer isn't installed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from peers import FILES, Peer, WebServer, content, running

import aioreq
from aioreq import TLS, Client, Limits

pytestmark = pytest.mark.usefixtures("no_hanging")


@pytest.fixture(params=["plain", "tls"])
def origin(request: pytest.FixtureRequest, nginx: WebServer) -> str:
    return nginx.url if request.param == "plain" else nginx.tls_url


@pytest.fixture
async def client(nginx: WebServer) -> AsyncIterator[Client]:
    async with Client(tls=TLS(ca=nginx.ca), timeout=10) as client:
        yield client


async def test_one_connection_serves_one_request_after_another(client: Client, origin: str) -> None:
    answers = [(await client.get(f"{origin}/connection?id={i}")).text.split() for i in range(20)]
    assert [int(served) for _, served, _ in answers] == list(range(1, 21))
    assert len({connection for connection, _, _ in answers}) == 1
    assert [asked for *_, asked in answers] == [str(i) for i in range(20)]


async def test_many_at_once(client: Client, origin: str) -> None:
    responses = await asyncio.gather(*(client.get(f"{origin}/echo?id=a{i}") for i in range(200)))
    assert [response.text for response in responses] == [f"a{i}" for i in range(200)]


@pytest.mark.parametrize("folder", ["files", "chunked", "packed"])
@pytest.mark.parametrize("name", FILES)
async def test_bodies_of_every_size_and_framing(client: Client, origin: str, folder: str, name: str) -> None:
    for _ in range(2):  # the second one on the first one's connection
        response = await client.get(f"{origin}/{folder}/{name}")
        assert response.status == 200
        assert response.content == content(FILES[name])
    if FILES[name]:
        assert ("Content-Length" in response.headers) is (folder == "files")
        assert response.headers.get("Transfer-Encoding") == (None if folder == "files" else "chunked")
        assert response.headers.get("Content-Encoding") == ("gzip" if folder == "packed" else None)


async def test_a_streamed_body(client: Client, origin: str) -> None:
    async with client.stream("GET", f"{origin}/chunked/large") as response:
        received = b"".join([chunk async for chunk in response.content])
    assert received == content(FILES["large"])


async def test_head_gives_the_length_alone_and_keeps_the_connection(client: Client, origin: str) -> None:
    response = await client.head(f"{origin}/files/large")
    assert (response.status, response.headers["Content-Length"], response.content) == (200, "1000000", b"")
    assert (await client.get(f"{origin}/connection?id=x")).text.split()[1:] == ["2", "x"]


async def test_a_range_and_what_has_not_changed(client: Client, origin: str) -> None:
    url = f"{origin}/files/large"
    part = await client.get(url, headers={"Range": "bytes=500000-500099"})
    assert (part.status, part.content) == (206, content(FILES["large"])[500_000:500_100])
    assert part.headers["Content-Range"] == "bytes 500000-500099/1000000"
    beyond = await client.get(url, headers={"Range": "bytes=1000000-"})
    assert beyond.status == 416
    same = await client.get(url, headers={"If-None-Match": part.headers["ETag"]})
    assert (same.status, same.content) == (304, b"")
    assert (await client.get(f"{origin}/connection?id=x")).text.split()[1] == "4"


async def test_uploads_of_known_and_of_unknown_length(client: Client, origin: str) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield bytes(100_000)

    assert (await client.post(f"{origin}/length", content=bytes(1_000_000))).text == "1000000"
    assert (await client.post(f"{origin}/length", content=pieces())).text == "1000000"
    assert (await client.get(f"{origin}/connection?id=x")).text.split()[1:] == ["3", "x"]


async def test_an_answer_that_comes_before_the_upload_ends(client: Client, origin: str) -> None:
    # `return` doesn't wait for the body: nginx answers, and drops the rest of it or the connection.
    for _ in range(3):
        assert (await client.put(f"{origin}/taken", content=bytes(1_000_000))).text == "1000000"


async def test_a_redirect(client: Client, origin: str) -> None:
    response = await client.get(f"{origin}/moved?id=7")
    assert (response.text, [hop.status for hop in response.redirects]) == ("7", [302])


async def test_a_certificate_of_an_unknown_authority(nginx: WebServer) -> None:
    async with Client(timeout=10) as client:
        with pytest.raises(aioreq.CertificateError):
            await client.get(f"{nginx.tls_url}/echo?id=x")


async def test_a_connection_that_the_server_ends_after_some_requests(client: Client, nginx: WebServer) -> None:
    answers = [(await client.get(f"{nginx.brief_url}/connection?id={i}")).text.split() for i in range(10)]
    assert [int(served) for _, served, _ in answers] == [1, 2, 3, 1, 2, 3, 1, 2, 3, 1]
    assert [asked for *_, asked in answers] == [str(i) for i in range(10)]
    many = await asyncio.gather(*(client.get(f"{nginx.brief_url}/echo?id={i}") for i in range(300)))
    assert [response.text for response in many] == [str(i) for i in range(300)]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_connection_that_the_server_ends_while_it_idles(client: Client, nginx: WebServer, method: str) -> None:
    first = (await client.get(f"{nginx.brief_url}/connection?id=a")).text.split()
    await asyncio.sleep(1.3)
    second = (await client.request(method, f"{nginx.brief_url}/connection?id=b")).text.split()
    assert second[0] != first[0]
    assert second[1:] == ["1", "b"]


async def test_requests_at_the_very_moment_in_which_idle_connections_end(nginx: WebServer) -> None:
    # nginx ends a connection after one idle second, and that is when these come: each is answered, by a new connection if need be.
    async with Client(limits=Limits(connections=40), timeout=10) as client:

        async def twice(i: int) -> list[str]:
            first = await client.get(f"{nginx.brief_url}/echo?id=a{i}")
            await asyncio.sleep(0.99 + i / 2000)
            return [first.text, (await client.get(f"{nginx.brief_url}/echo?id=b{i}")).text]

        assert await asyncio.gather(*(twice(i) for i in range(40))) == [[f"a{i}", f"b{i}"] for i in range(40)]


async def test_a_reload_in_the_middle_of_traffic_goes_unseen(client: Client, origin: str, nginx: WebServer) -> None:
    done = False

    async def visit(who: int) -> int:
        count = 0
        while not done:
            asked = f"{who}-{count}"
            assert (await client.get(f"{origin}/echo?id={asked}")).text == asked
            count += 1
        return count

    visitors = [asyncio.ensure_future(visit(who)) for who in range(20)]
    for _ in range(3):
        await asyncio.sleep(0.2)
        nginx.reload()
    await asyncio.sleep(0.3)
    done = True
    assert min(await asyncio.gather(*visitors)) > 10


async def test_a_restart_in_the_middle_of_traffic(origin: str, nginx: WebServer) -> None:
    async with Client(tls=TLS(ca=nginx.ca), limits=Limits(connections=10), timeout=10, retry=0) as client:
        done = False

        async def visit(who: int) -> int:
            answered = count = 0
            while not done:
                asked = f"{who}-{count}"
                count += 1
                try:
                    assert (await client.get(f"{origin}/echo?id={asked}")).text == asked
                    answered += 1
                except (aioreq.ConnectError, aioreq.ConnectionLost):
                    await asyncio.sleep(0.01)
            return answered

        visitors = [asyncio.ensure_future(visit(who)) for who in range(20)]
        await asyncio.sleep(0.2)
        await asyncio.to_thread(nginx.restart)
        await asyncio.sleep(0.2)
        done = True
        assert min(await asyncio.gather(*visitors)) > 10
        answers = await asyncio.gather(*(client.get(f"{origin}/echo?id={i}") for i in range(20)))
        assert [response.text for response in answers] == [str(i) for i in range(20)]


@pytest.mark.parametrize(("required", "outcome"), [("", pytest.skip.Exception), ("required", pytest.fail.Exception)])
def test_a_peer_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, required: str, outcome: type[BaseException]) -> None:
    monkeypatch.setenv("AIOREQ_PEERS", required)
    peer = Peer("no-such-server", "its-package", lambda folder, ports: ["no-such-server"])
    with pytest.raises(outcome, match="no-such-server isn't installed .*its-package"), running(peer):
        pytest.fail("it runs")
    assert not peer.folder.exists()


def test_a_peer_that_does_not_start_shows_why() -> None:
    peer = Peer("sh", "dash", lambda folder, ports: ["sh", "-c", "echo no such port >&2; exit 1"])
    with pytest.raises(AssertionError, match="sh doesn't start:\n.*output.log\n.*no such port"), running(peer):
        pytest.fail("it runs")
    assert not peer.folder.exists()
