"""`client.sse`: when a feed is asked for again, and from where; when it isn't; what ends it; and that nothing is left of it."""

from __future__ import annotations

import asyncio
import contextlib
import operator
import random
import zlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from reading import until_error

import aioreq
from aioreq import Client, EventSource, Retry, ServerSentEvent, Timeout
from aioreq.middlewares import MiddleWare, default_middlewares
from aioreq.pool import Pool
from aioreq.testing import Close, Pause, Reply, Reset, Script, Server, Stall, Step, Wait
from aioreq.testing import Request as Received

TYPE = ("Content-Type", "text/event-stream")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"  # a body that ends with its connection
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
SOON = 0.002  # seconds, as the longest pause
NOBODY = "http://127.0.0.1:1/"  # a port that nothing listens on


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def feed(*events: bytes | str, **options: Any) -> Reply:
    """A response of these events that ends in order."""
    body = b"".join(event if isinstance(event, bytes) else f"data: {event}\n\n".encode() for event in events)
    return Reply(200, [TYPE], body, **options)


def numbered(*numbers: int) -> Reply:
    return feed(*[b"id: %d\ndata: %d\n\n" % (number, number) for number in numbers])


class Answers:
    """A route that gives these answers in turn, the last one again and again; what was asked stands in `asked`."""

    def __init__(self, server: Server, *answers: Any, path: str = "/") -> None:
        self.answers = list(answers)
        self.asked: list[Received] = []
        server.route(path, self.answer)

    def answer(self, request: Received) -> Any:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer(request) if callable(answer) else answer

    @property
    def ids(self) -> list[str | None]:
        return [request.header("last-event-id") for request in self.asked]


async def data_of(source: EventSource) -> list[str]:
    return [event.data async for event in source]


# -- a feed goes on


async def test_a_feed_goes_on_where_it_ended(served: tuple[Server, Client]) -> None:
    """Over one connection slot: none is held through a pause."""
    server, client = served
    answers = Answers(server, numbered(1, 2), feed(b"data: 3\n\n"), numbered(4), 204)
    source = client.sse(server.url, max_wait=SOON)
    assert [(event.data, event.id) async for event in source] == [("1", "1"), ("2", "2"), ("3", "2"), ("4", "4")]
    assert answers.ids == [None, "2", "2", "4"]
    assert source.last_event_id == "4"
    assert source.response is not None
    assert source.response.status == 204
    with pytest.raises(StopAsyncIteration):
        await anext(source)
    assert len(answers.asked) == 4


@pytest.mark.parametrize("fault", [Close(), Reset()], ids=["close", "reset"])
@pytest.mark.parametrize("cut", [b"", chunk(b"id: 3\ndata: "), chunk(b"id: 3\ndata: 3\n"), b"5\r\nda", b"f"])
async def test_a_lost_connection_goes_on_behind_the_last_whole_event(served: tuple[Server, Client], cut: bytes, fault: Any) -> None:
    server, client = served
    lost = Script((CHUNKED + chunk(b"id: 1\ndata: 1\n\nid: 2\n\n"), cut, fault))
    answers = Answers(server, lost, numbered(3), 204)
    assert await data_of(client.sse(server.url, max_wait=SOON)) == ["1", "3"]
    assert answers.ids == [None, "2", "3"]


async def test_the_requests_are_whole_requests(server: Server, client: Client) -> None:
    """Cookies, credentials, redirects: each one passes the chain."""
    client.cookies.set("a", "0", url=server.url)
    Answers(server, Reply(302, [("Location", "/feed"), ("Set-Cookie", "a=1; Path=/")]), Reply(307, [("Location", "/feed")]))
    answers = Answers(server, numbered(1), numbered(2), 204, path="/feed")
    source = client.sse(server.url, auth=aioreq.BasicAuth("user", "password"), params={"q": "1"}, max_wait=SOON)
    assert await data_of(source) == ["1", "2"]
    assert answers.ids == [None, "1", "2"]
    assert {request.header("cookie") for request in answers.asked} == {"a=1"}
    assert {request.header("authorization") for request in answers.asked} == {"Basic dXNlcjpwYXNzd29yZA=="}


async def test_what_the_first_request_says(server: Server, client: Client) -> None:
    answers = Answers(server, 204)
    await data_of(client.sse(server.url, last_event_id="\u20ac 1"))
    await data_of(client.sse(server.url, headers={"Accept": "text/x", "cache-control": "no-store"}))
    told = [[(request.header(name)) for name in ("accept", "cache-control", "last-event-id")] for request in answers.asked]
    assert told[0][:2] == ["text/event-stream", "no-cache"]
    assert told[0][2] is not None
    assert dict(answers.asked[0].headers)[b"Last-Event-ID"] == "\u20ac 1".encode()
    assert told[1] == ["text/x", "no-store", None]


async def test_a_clients_accept_is_not_that_of_a_feed(server: Server) -> None:
    answers = Answers(server, 204)
    async with Client(headers={"Accept": "application/json", "Cache-Control": "no-store"}) as client:
        await data_of(client.sse(server.url))
        await data_of(client.sse(server.url, headers={"Accept": None}))
    assert [(request.header("accept"), request.header("cache-control")) for request in answers.asked] == [
        ("text/event-stream", "no-cache"),
        (None, "no-cache"),
    ]


async def test_an_id_of_before_counts_until_there_is_another(server: Server, client: Client) -> None:
    answers = Answers(server, feed("a"), feed(b"id\ndata: b\n\n"), 204)
    source = client.sse(server.url, last_event_id="7", max_wait=SOON)
    assert source.last_event_id == "7"
    assert [event.id async for event in source] == ["7", ""]
    assert answers.ids == ["7", "7", None]


async def test_where_it_stands_is_where_its_reader_stands(server: Server, client: Client) -> None:
    Answers(server, numbered(1, 2, 3))
    async with client.sse(server.url) as source:
        async for event in source:
            if event.data == "2":
                break
    assert source.last_event_id == "2"


@pytest.mark.parametrize("control", ["\x01", "\x1f", "\x7f", "\t"])
async def test_an_id_that_no_field_can_hold(server: Server, client: Client, control: str) -> None:
    answers = Answers(server, feed(f"id: a{control}b\ndata: 1\n\n".encode()), 204)
    source = client.sse(server.url, max_wait=SOON)
    events, error = await until_error(source)
    assert [event.id for event in events] == [f"a{control}b"]
    if control == "\t":
        assert error is None
        assert answers.ids[1] == "a\tb"
    else:
        assert isinstance(error, aioreq.RemoteProtocolError)
        assert "the feed can't go on where it stands" in str(error)
        assert len(answers.asked) == 1


async def test_an_id_that_no_server_takes(server: Server, client: Client) -> None:
    """A few bytes of a compressed stream may be millions of it; they would go out each time, and to wherever the server redirects."""
    answers = Answers(server, feed(b"id: %b\ndata: 1\n\n" % (b"x" * 65_537)))
    events, error = await until_error(client.sse(server.url, max_wait=SOON))
    assert [len(event.id) for event in events] == [65_537]
    assert len(answers.asked) == 1
    assert isinstance(error, aioreq.RemoteProtocolError)
    assert str(error) == "the feed can't go on where it stands: its last id has 65537 characters"


async def test_compressed_events_come_one_by_one(server: Server, client: Client) -> None:
    read = asyncio.Queue[None]()

    async def packed() -> AsyncIterator[bytes]:
        packer = zlib.compressobj(wbits=31)
        for number in range(3):
            yield packer.compress(b"data: %d\n\n" % number) + packer.flush(zlib.Z_SYNC_FLUSH)
            await read.get()  # no event before the one before was read
        yield packer.flush()

    Answers(server, lambda asked: Reply(200, [TYPE, ("Content-Encoding", "gzip")], packed()), 204)
    events = []
    async for event in client.sse(server.url, max_wait=SOON):
        events.append(event.data)
        read.put_nowait(None)
    assert events == ["0", "1", "2"]


async def test_a_coding_cut_short_is_a_lost_connection(server: Server, client: Client) -> None:
    """Something on the way ended the body in order, or HTTP/1.0 has no other way to end it."""
    packer = zlib.compressobj(wbits=31)
    packed = packer.compress(b"id: 1\ndata: 1\n\ndata: 2") + packer.flush(zlib.Z_SYNC_FLUSH)
    cut = Reply(200, [TYPE, ("Content-Encoding", "gzip")], packed)
    answers = Answers(server, cut, numbered(2), 204)
    assert await data_of(client.sse(server.url, max_wait=SOON)) == ["1", "2"]
    assert answers.ids == [None, "1", "2"]
    Answers(server, cut, path="/post")
    events, error = await until_error(client.sse(f"{server.url}/post", method="POST"))
    assert [event.data for event in events] == ["1"]
    assert isinstance(error, aioreq.DecodeError)
    assert error.incomplete


async def test_a_damaged_coding_is_an_error(server: Server, client: Client) -> None:
    damaged = Reply(200, [TYPE, ("Content-Encoding", "gzip")], b"data: 1\n\n")
    answers = Answers(server, numbered(1), damaged)
    events, error = await until_error(client.sse(server.url, max_wait=SOON))
    assert [event.data for event in events] == ["1"]
    assert isinstance(error, aioreq.DecodeError)
    assert not error.incomplete
    assert len(answers.asked) == 2


async def test_json_is_read_as_the_client_reads_it(server: Server) -> None:
    Answers(server, feed("1"), 204)
    async with Client(json_loads=lambda data: [data]) as client:
        assert [event.json() async for event in client.sse(server.url, max_wait=SOON)] == [[b"1"]]


# -- what is sent once


async def test_a_post_is_sent_once(server: Server, client: Client) -> None:
    answers = Answers(server, feed("Hel", "lo", "[DONE]"))
    source = client.sse(server.url, method="post", json={"stream": True})
    assert await data_of(source) == ["Hel", "lo", "[DONE]"]
    assert await data_of(source) == []
    assert [(request.method, request.body) for request in answers.asked] == [("POST", b'{"stream":true}')]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Script((CHUNKED + chunk(b"data: a\n\n"), Close())), aioreq.IncompleteBody),
        (Script((CHUNKED + chunk(b"data: a\n\n"), Reset())), aioreq.IncompleteBody),
        (Script((CHUNKED + chunk(b"data: a\n\n"), Stall())), aioreq.ReadTimeout),
        (Script((CHUNKED + chunk(b"data: a\n\n"), b"x\r\n", Stall())), aioreq.RemoteProtocolError),
        (Script((Close(),)), aioreq.ConnectionLost),
        (Script((Stall(),)), aioreq.ReadTimeout),
        (Reply(503, [("Retry-After", "0")], b"later"), aioreq.StatusError),
        (Reply(200, [("Content-Type", "application/json")], b"{}"), aioreq.DecodeError),
    ],
)
async def test_a_post_that_failed_is_not_sent_again(server: Server, answer: Any, kind: type[aioreq.AioreqError]) -> None:
    answers = Answers(server, answer)
    async with Client(timeout=Timeout(read=0.1), retry=Retry(attempts=3, backoff=SOON)) as client:
        source = client.sse(server.url, method="POST", content=b"x", max_wait=SOON)
        events, error = await until_error(source)
        assert type(error) is kind
        assert {event.data for event in events} <= {"a"}
        for _ in range(2):
            with pytest.raises(aioreq.LocalProtocolError, match="is not sent twice, unless by reconnect=True"):
                await anext(source)
        with pytest.raises(aioreq.LocalProtocolError, match="not sent twice"):
            async with source:
                pass
    assert len(answers.asked) == 1


async def test_a_post_is_repeated_on_request(server: Server, client: Client) -> None:
    answers = Answers(server, numbered(1), Script((CHUNKED, Close())), numbered(2), 204)
    assert await data_of(client.sse(server.url, method="POST", content=[b"x", b"y"], reconnect=True, max_wait=SOON)) == ["1", "2"]
    assert answers.ids == [None, "1", "1", "2"]
    assert [request.body for request in answers.asked] == [b"xy"] * 4


async def test_a_body_that_is_used_up_is_not_repeated(server: Server, client: Client) -> None:
    async def once() -> AsyncIterator[bytes]:
        yield b"x"

    answers = Answers(server, feed("1"), feed("2"))
    assert await data_of(client.sse(server.url, method="PUT", content=once(), reconnect=True, max_wait=SOON)) == ["1"]
    Answers(server, Script((CHUNKED, Close())), path="/cut")
    with pytest.raises(aioreq.IncompleteBody):
        await data_of(client.sse(f"{server.url}/cut", method="PUT", content=once(), reconnect=True, max_wait=SOON))
    assert len(answers.asked) == 1


async def test_a_get_that_shall_not_be_repeated(server: Server, client: Client) -> None:
    answers = Answers(server, feed("1"), feed("2"))
    assert await data_of(client.sse(server.url, reconnect=False)) == ["1"]
    assert len(answers.asked) == 1


# -- how often, and when


async def test_attempts_that_bring_no_event_are_counted(server: Server, client: Client) -> None:
    lost = Script((CHUNKED + chunk(b": ping\n\n"), Close()))
    answers = Answers(server, feed("1"), lost, feed(), feed("2"), lost, feed(b"id: 9\n\n"), lost, feed("never"))
    source = client.sse(server.url, reconnect=3, max_wait=SOON)
    events, error = await until_error(source)
    assert [event.data for event in events] == ["1", "2"]
    assert isinstance(error, aioreq.IncompleteBody)
    assert answers.ids == [None] * 6 + ["9"]
    answers = Answers(server, feed("1"), feed(), feed("never"), path="/quiet")
    assert await data_of(client.sse(f"{server.url}/quiet", reconnect=1, max_wait=SOON)) == ["1"]
    assert len(answers.asked) == 2


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses, none of which is waited for; what is random in them is as long as it may be."""
    found: list[float] = []

    async def pause(pool: Pool, seconds: float) -> None:
        found.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(Pool, "pause", pause)
    monkeypatch.setattr(random, "uniform", lambda least, most: most)
    return found


def about(*seconds: float) -> Any:
    return pytest.approx(seconds, abs=0.2)  # the way from the failure to the pause takes a moment


async def test_pauses_grow_while_nothing_comes(server: Server, client: Client, pauses: list[float]) -> None:
    lost = Script((Close(),))
    Answers(server, feed("1", close=True), *[lost] * 6, feed("2"), feed(), 204)
    assert await data_of(client.sse(server.url, max_wait=20)) == ["1", "2"]
    assert pauses == about(2, 3, 5, 9, 17, 20, 20, 2, 3)


async def test_pauses_are_as_the_server_wishes(server: Server, client: Client, pauses: list[float]) -> None:
    Answers(server, feed(b"retry: 5000\ndata: 1\n\n"), feed(), feed("2"), feed(b"retry: 30000\n\ndata: 3\n\n"), 204)
    source = client.sse(server.url, max_wait=20)
    before = source.retry
    assert before is None
    assert [(event.data, event.retry, source.retry) async for event in source] == [("1", 5.0, 5.0), ("2", None, 5.0), ("3", None, 30.0)]
    assert pauses == about(6, 7, 6, 20)
    pauses.clear()
    Answers(server, feed(b"retry: 0\ndata: 1\n\n"), feed(), 204, path="/at-once")
    assert len(await data_of(client.sse(f"{server.url}/at-once"))) == 1
    assert pauses == about(1, 2)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_server_that_is_busy_is_waited_for(server: Server, client: Client, pauses: list[float], status: int) -> None:
    busy = Reply(status, [("Retry-After", "7")], b"later")
    answers = Answers(server, numbered(1), busy, Reply(status), numbered(2), 204)
    assert await data_of(client.sse(server.url, raise_for_status=True)) == ["1", "2"]
    assert answers.ids == [None, "1", "1", "1", "2"]
    assert pauses == about(2, 9, 5, 2)


async def test_who_asks_for_too_long_a_pause_has_the_last_word(server: Server, pauses: list[float]) -> None:
    Answers(server, numbered(1), Reply(503, [("Retry-After", "61")], b"in a minute"), 204)
    async with Client() as client:
        events, error = await until_error(client.sse(server.url))
    assert len(events) == 1
    assert isinstance(error, aioreq.StatusError)
    assert error.response is not None
    assert (error.response.status, error.response.content) == (503, b"in a minute")


async def test_statuses_that_the_request_retries_are_waited_out(server: Server, client: Client, pauses: list[float]) -> None:
    answers = Answers(server, 500, numbered(1), 500, numbered(2), 204)
    assert await data_of(client.sse(server.url, retry=Retry(statuses={500}, backoff=0))) == ["1", "2"]
    assert answers.ids == [None, None, "1", "1", "2"]


async def test_reconnecting_is_not_retried_besides(server: Server) -> None:
    """What asks again is the feed: else one outage would be asked about by attempts times attempts."""
    answers = Answers(server, numbered(1), Script((Close(),)))
    async with Client(retry=Retry(attempts=5, backoff=SOON), persistent_connections=False) as client:
        with pytest.raises(aioreq.ConnectionLost):
            await data_of(client.sse(server.url, reconnect=2, max_wait=SOON))
    assert len(answers.asked) == 3


async def test_the_server_is_down_for_a_while() -> None:
    server = Server()
    answers = Answers(server, numbered(1), numbered(2), 204)
    async with Client() as client:
        async with server:
            source = client.sse(server.url, max_wait=0.02)
            assert (await anext(source)).data == "1"
        waiting = asyncio.ensure_future(anext(source))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        again = Server(port=server.port)
        again.route("/", answers.answer)
        async with again:
            assert (await waiting).data == "2"
            await source.close()
    assert answers.ids == [None, "1"]


# -- what ends it


async def test_nobody_is_there_at_first() -> None:
    async with Client(retry=0) as client:
        with pytest.raises(aioreq.ConnectError):
            await anext(client.sse(NOBODY))
        with pytest.raises(aioreq.ConnectError):
            async with client.sse(NOBODY):
                pass


@pytest.mark.parametrize("status", [201, 205, 206, 302, 400, 401, 404, 429, 500, 503])
async def test_a_status_but_200(server: Server, client: Client, status: int) -> None:
    answers = Answers(server, Reply(status, [TYPE], b"" if status == 205 else b"data: why\n\n"))
    source = client.sse(server.url, follow_redirects=False)
    what = r"\((client|server) error\)" if status >= 400 else "is no event stream"
    with pytest.raises(aioreq.StatusError, match=rf"^GET 127.0.0.1/: {status} .*{what}$") as caught:
        await anext(source)
    response = caught.value.response
    assert response is not None
    assert (response.status, response.content) == (status, b"" if status == 205 else b"data: why\n\n")
    assert len(answers.asked) == 1


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream-x", "text/plain; x=text/event-stream", None])
async def test_another_type(server: Server, client: Client, kind: str | None) -> None:
    Answers(server, Reply(200, [("Content-Type", kind)] if kind else [], b'{"error": "quota"}'))
    with pytest.raises(aioreq.DecodeError, match=r"GET 127.0.0.1/: 200 OK is no event stream \(\S+") as caught:
        await anext(client.sse(server.url))
    assert caught.value.partial == b'{"error": "quota"}'
    assert caught.value.request is not None


@pytest.mark.parametrize("kind", ["text/event-stream;charset=utf-8", "Text/Event-Stream ; x=y"])
async def test_the_type_by_any_spelling(server: Server, client: Client, kind: str) -> None:
    Answers(server, Reply(200, [("Content-Type", kind)], b"data: a\n\n"))
    assert (await anext(client.sse(server.url))).data == "a"


@pytest.mark.parametrize("answer", [Reply(404, body=b"gone"), Reply(500), Reply(200, [("Content-Type", "text/html")], b"sign in")])
async def test_what_will_not_pass_ends_a_feed(server: Server, client: Client, answer: Reply) -> None:
    answers = Answers(server, numbered(1), answer)
    events, error = await until_error(client.sse(server.url, max_wait=SOON))
    assert len(events) == 1
    assert isinstance(error, aioreq.StatusError | aioreq.DecodeError)
    assert len(answers.asked) == 2


async def test_an_error_ends_the_loop_and_not_the_feed(server: Server, client: Client) -> None:
    answers = Answers(server, numbered(1), 404, numbered(2), 204)
    source = client.sse(server.url, max_wait=SOON)
    with pytest.raises(aioreq.StatusError):
        await data_of(source)
    assert await data_of(source) == ["2"]
    assert answers.ids == [None, "1", "1", "2"]


async def test_a_broken_stream_is_an_error(server: Server, client: Client) -> None:
    answers = Answers(server, Script((CHUNKED + chunk(b"data: 1\n\n"), b"zz\r\n", Stall())))
    events, error = await until_error(client.sse(server.url, max_wait=SOON))
    assert [event.data for event in events] == ["1"]
    assert isinstance(error, aioreq.RemoteProtocolError)
    assert len(answers.asked) == 1


async def test_too_long_an_event(server: Server, client: Client) -> None:
    answers = Answers(server, feed("1", "x" * 100, "2"))
    events, error = await until_error(client.sse(server.url, max_event=50, max_wait=SOON))
    assert [event.data for event in events] == ["1"]
    assert isinstance(error, aioreq.LimitExceeded)
    assert (error.limit, len(answers.asked)) == ("max_event", 1)
    assert error.request is not None


async def test_a_guard_has_the_last_word(server: Server) -> None:
    Answers(server, numbered(1), Reply(302, [("Location", "http://127.0.0.2/")]))
    async with Client(guard=aioreq.PublicOnly(allow=[f"127.0.0.1:{server.port}"])) as client:
        with pytest.raises(aioreq.GuardError):
            await data_of(client.sse(server.url, max_wait=SOON))


async def test_a_certificate_that_is_wrong_stays_so(server: Server, tls_server: Server, client: Client) -> None:
    answers = Answers(server, numbered(1), Reply(307, [("Location", tls_server.url)]))
    with pytest.raises(aioreq.CertificateError):
        await data_of(client.sse(server.url, max_wait=SOON))
    assert len(answers.asked) == 2


async def test_silence_is_a_lost_connection(server: Server) -> None:
    silent = Script((CHUNKED + chunk(b"id: 1\ndata: 1\n\n"), Stall()))
    pings: list[Step] = [chunk(b": ping\n\n"), Pause(0.1)] * 5  # never silent for long, but longer in all
    pinging = Script((CHUNKED, *pings, chunk(b"data: 2\n\n"), Stall()))
    answers = Answers(server, silent, pinging, 204)
    async with Client(timeout=Timeout(read=0.4)) as client:
        assert await data_of(client.sse(server.url, max_wait=SOON)) == ["1", "2"]
    assert answers.ids == [None, "1", "1"]


async def test_the_total_limit_is_that_of_the_whole_feed(server: Server) -> None:
    answers = Answers(server, numbered(1), Script((CHUNKED, Stall())))
    async with Client(timeout=Timeout(total=0.3)) as client:
        events, error = await until_error(client.sse(server.url, max_wait=SOON))
    assert len(events) == 1
    assert isinstance(error, aioreq.TotalTimeout)
    assert len(answers.asked) == 2


async def test_a_pause_beyond_the_total_limit_is_not_begun(server: Server) -> None:
    Answers(server, feed(b"retry: 50000\ndata: 1\n\n"))
    Answers(server, Script((CHUNKED + chunk(b"retry: 50000\ndata: 1\n\n"), Close())), path="/lost")
    async with Client(timeout=Timeout(total=10)) as client:
        for path, kind in (("/", aioreq.TotalTimeout), ("/lost", aioreq.IncompleteBody)):
            events, error = await until_error(client.sse(server.url + path))
            assert [event.data for event in events] == ["1"]
            assert type(error) is kind


async def test_the_client_is_closed(server: Server) -> None:
    Answers(server, feed(b"retry: 50000\ndata: 1\n\n"))
    Answers(server, Script((CHUNKED + chunk(b"data: 1\n\n"), Stall())), path="/open")
    for path in ("/", "/open"):  # in a pause, and while it is read
        client = Client()
        source = client.sse(server.url + path)
        assert (await anext(source)).data == "1"
        waiting = asyncio.ensure_future(anext(source))
        await asyncio.sleep(0.02)
        await client.close()
        with pytest.raises(aioreq.ClientClosed):
            await waiting


# -- its life


async def nothing_is_left(server: Server, client: Client) -> None:
    await server.until(partial(operator.not_, server.connections))
    assert client.pool().open == 0


def endless() -> Script:
    return Script((CHUNKED + chunk(b"id: 1\ndata: 1\n\n"), Stall()))


async def test_at_async_with_it_is_connected(server: Server, client: Client) -> None:
    Answers(server, endless())
    async with client.sse(server.url) as source:
        assert source.response is not None
        assert (source.response.status, source.response.content_type) == (200, "text/event-stream")
        assert repr(source) == "<EventSource GET 127.0.0.1 open>"
        assert (await anext(source)).data == "1"
    await nothing_is_left(server, client)
    assert await data_of(source) == []
    assert repr(source) == "<EventSource GET 127.0.0.1 ended>"
    await source.close()


async def test_at_async_with_there_may_be_nothing(server: Server, client: Client) -> None:
    answers = Answers(server, 204)
    async with client.sse(server.url) as source:
        assert source.response is not None
        assert source.response.status == 204
        assert await data_of(source) == []
    assert len(answers.asked) == 1


async def test_an_error_within_closes_it(server: Server, client: Client) -> None:
    Answers(server, endless())
    with pytest.raises(ZeroDivisionError):
        async with client.sse(server.url) as source:
            async for event in source:
                raise ZeroDivisionError(event)
    await nothing_is_left(server, client)


async def test_whoever_leaves_the_loop_leaves_nothing(server: Server, client: Client) -> None:
    Answers(server, endless())
    async for event in client.sse(server.url):
        assert event == ServerSentEvent("message", "1", "1")
        break
    await nothing_is_left(server, client)
    assert (await anext(client.sse(server.url))).data == "1"
    await nothing_is_left(server, client)


async def test_what_is_never_iterated_over_asks_nobody(server: Server, client: Client) -> None:
    answers = Answers(server, endless())
    source = client.sse(server.url)
    assert repr(source) == "<EventSource GET 127.0.0.1 not connected>"
    await source.close()
    assert await data_of(source) == []
    assert answers.asked == []


async def test_another_task_may_close_it(server: Server, client: Client) -> None:
    Answers(server, endless())
    source = client.sse(server.url)
    assert (await anext(source)).data == "1"
    waiting = asyncio.ensure_future(data_of(source))
    await asyncio.sleep(0.01)
    await source.close()
    assert await waiting == []
    await nothing_is_left(server, client)


async def test_another_task_may_close_it_while_it_connects(server: Server, client: Client) -> None:
    answers = Answers(server, Script((Stall(),)))
    source = client.sse(server.url)
    waiting = asyncio.ensure_future(data_of(source))
    await server.until(lambda: bool(answers.asked))
    await source.close()
    await source.close()
    assert await waiting == []
    await nothing_is_left(server, client)


async def test_closed_in_the_moment_of_the_response(server: Server) -> None:
    class Closing(MiddleWare):
        async def process(self, request: aioreq.Request, client: Client) -> aioreq.Response | aioreq.StreamResponse:
            response = await self.next_middleware.process(request, client)
            await source.close()
            return response

    Answers(server, feed("1"))
    async with Client(middlewares=(Closing, *default_middlewares)) as client:
        source = client.sse(server.url)
        assert await data_of(source) == []


async def test_another_task_may_close_it_in_a_pause(server: Server, client: Client) -> None:
    Answers(server, feed(b"retry: 20000\ndata: 1\n\n"))
    source = client.sse(server.url)
    assert (await anext(source)).data == "1"
    waiting = asyncio.ensure_future(data_of(source))
    await asyncio.sleep(0.02)
    await source.close()
    async with asyncio.timeout(10):
        assert await waiting == []


@pytest.mark.parametrize("steps", range(8))
@pytest.mark.parametrize("closed_first", [True, False])
async def test_closed_and_cancelled_at_once(server: Server, client: Client, steps: int, closed_first: bool) -> None:
    """Who cancels the reader is told of it, or the reader had ended; `close` cancels nobody."""
    Answers(server, Script((Stall(),)))
    source = client.sse(server.url)
    waiting = asyncio.ensure_future(data_of(source))
    for _ in range(steps):
        await asyncio.sleep(0)
    if closed_first:
        await source.close()
        await asyncio.sleep(0)
    waiting.cancel()
    await source.close()
    await asyncio.wait([waiting])
    assert waiting.cancelled() or waiting.result() == []
    await nothing_is_left(server, client)


async def test_two_readers_at_once_before_there_is_a_stream(server: Server, client: Client) -> None:
    """While it connects, and in a pause: else each would ask."""
    answers = Answers(server, feed(b"retry: 0\ndata: 1\n\n"), endless())
    source = client.sse(server.url, max_wait=0.05)
    for count in (1, 2):
        read = await asyncio.gather(anext(source), anext(source), return_exceptions=True)
        assert [getattr(one, "data", str(one)) for one in read] == ["1", "two tasks read the same event stream at once"]
        assert len(answers.asked) == count


async def test_two_readers_at_once_are_one_too_many(server: Server, client: Client) -> None:
    go_on = asyncio.Event()
    Answers(server, Script((CHUNKED, Wait(go_on), chunk(b"data: 1\n\n"), Stall())))
    async with client.sse(server.url) as source:
        first = asyncio.ensure_future(anext(source))
        await asyncio.sleep(0.01)
        with pytest.raises(RuntimeError, match="two tasks"):
            await anext(source)
        go_on.set()
        assert (await first).data == "1"


async def test_a_cancelled_read_goes_on_by_another_request(server: Server, client: Client) -> None:
    answers = Answers(server, endless(), numbered(2))
    source = client.sse(server.url)
    assert (await anext(source)).data == "1"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(source), 0.02)
    await server.until(partial(operator.not_, server.connections))
    assert (await anext(source)).data == "2"
    assert answers.ids == [None, "1"]


async def test_a_cancelled_pause_is_none_that_is_over(server: Server, client: Client) -> None:
    answers = Answers(server, feed(b"retry: 20000\ndata: 1\n\n"))
    source = client.sse(server.url)
    assert (await anext(source)).data == "1"
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(source), 0.02)
    assert len(answers.asked) == 1


async def test_a_cancelled_post_is_not_sent_again(server: Server, client: Client) -> None:
    answers = Answers(server, endless())
    source = client.sse(server.url, method="POST")
    assert (await anext(source)).data == "1"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(source), 0.02)
    with pytest.raises(aioreq.LocalProtocolError, match="is not sent twice"):
        await anext(source)
    assert len(answers.asked) == 1
    await nothing_is_left(server, client)


# -- options


@pytest.mark.parametrize(
    ("options", "kind", "match"),
    [
        ({"headers": {"last-event-id": "1"}}, ValueError, "give last_event_id=..."),
        ({"last_event_id": 1}, TypeError, "takes a string, not int"),
        ({"max_event": 0}, ValueError, "max_event"),
        ({"max_event": "1"}, TypeError, "max_event"),
        ({"max_wait": None}, TypeError, "max_wait"),
        ({"max_wait": -1}, ValueError, "max_wait"),
        ({"reconnect": -1}, ValueError, "reconnect"),
        ({"reconnect": "always"}, TypeError, "reconnect"),
        ({"nonsense": 1}, TypeError, "nonsense"),
    ],
)
async def test_wrong_options_are_told_at_once(client: Client, options: dict[str, Any], kind: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=match):
        client.sse(NOBODY, **options)


async def test_an_id_of_the_users_that_no_field_can_hold(client: Client) -> None:
    with pytest.raises(aioreq.InvalidHeader):
        await anext(client.sse(NOBODY, last_event_id="a\nb"))


async def test_pauses_are_bounded_by_a_timeout_around(server: Server, client: Client) -> None:
    Answers(server, feed())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.1):
            await data_of(client.sse(server.url, max_wait=SOON))
            pytest.fail("it ended")
