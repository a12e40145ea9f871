"""python tests/soak.py: hundreds of thousands of requests, faults mixed in; memory and descriptors stay flat, no answer crosses.

    make soak                                        200,000 requests: some ten minutes
    make soak REQUESTS=20000 LOOP=uvloop             fewer of them, on the other loop
    python tests/soak.py --ways plain,tls            without the proxies (squid and dante, where they aren't installed)

One client, more callers than connections, five ways to a server in a process of its own: plain, TLS, handed whole to squid, through its
tunnel, through SOCKS. What is asked for, on which way and how it breaks comes from one `--seed`. Every answer is compared byte for byte
with what its id demands, every error with those that its fault allows. Memory and open descriptors are looked at all along, and the run
fails when

- an answer isn't the one that was asked for, or an error is none of those that the fault allows,
- the memory after the warm-up (a fifth of the run) grows by more than `--growth` MB until the end,
- there are more descriptors open than connections may be, or one is left when the client is closed,
- requests, responses or connections outlive the client.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import gzip
import json
import logging
import os
import random
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from statistics import mean
from typing import Any

import peers

import aioreq
from aioreq import TLS, Client, Limits, Timeout
from aioreq.parser import IMPLEMENTATION
from aioreq.testing import Close, Pause, Reply, Request, Reset, Script, Server, Stall

WAYS = ("plain", "tls", "squid", "tunnel", "socks")
MEGABYTE = 1 << 20
PATTERN = (bytes(range(251)) * (MEGABYTE // 251 + 1))[:MEGABYTE]
SAMPLES = 40
WARM_UP = 0.2  # of the run: until then caches and the allocator's arenas fill
SPARE = 0.3  # descriptors besides, for each connection: one that is closed goes a turn of the loop behind its slot


def body_of(asked: str, size: int) -> bytes:
    return asked.encode() + b" " + PATTERN[:size]


# --- the server, in a process of its own: /{what}/{id}?size=...&at=...

# None of these may pass for an answer, whatever is read into it.
BROKEN = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nwrong",
    b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nwrong",
    b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nwrong",
    b"HTTP/1.1 200 OK\nContent-Length: 5\n\nwrong",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nwrong\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwrongXX0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nwrong\r\n0\r\n\r\n",
    b"\x16\x03\x01wrong" * 10,
]
BEHIND = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"


def answer(request: Request) -> Reply | Script | Awaitable[Reply]:
    query = dict(request.query)
    what, asked, size = request.params["what"], request.params["id"], int(query.get("size", "0"))
    body = body_of(asked, size)
    fraction = float(query.get("at", "0"))
    match what:
        case "echo":
            return Reply(body=body)
        case "chunked":
            return Reply(body=pieces(body), trailers=[("X-Id", asked)])
        case "until-close":
            return Reply(body=body, framing="close")
        case "last":
            return Reply(body=body, close=True)
        case "leaves":
            return Script((Reply(body=body).encode(request)[0], Pause(fraction * 0.01), Close()))
        case "hints":
            wire, _ = Reply(body=body).encode(request)
            return Script((b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", Pause(0), wire))
        case "redirect":
            return Reply(302, [("Location", f"/echo/{asked}?size={size}")], "x" * size)
        case "gzip":
            return Reply(200, [("Content-Encoding", "gzip")], gzip.compress(body, 1))
        case "cut-gzip":
            return Reply(200, [("Content-Encoding", "gzip")], gzip.compress(body, 1)[:-9])
        case "upload":
            return Reply(body=f"{asked} {len(request.body)}")
        case "broken":
            return Script((BROKEN[int(fraction * len(BROKEN))], Stall()))
        case "behind":
            return Reply(body=body, extra=BEHIND)
        case "slam":
            return Script((Reply(413, body=body).encode(request)[0], Reset()))
    # The rest begins a good answer, of declared length or chunked, and breaks somewhere in it.
    wire, _ = Reply(body=body, framing="chunked" if len(asked) % 2 else "length").encode(request)
    start = wire.index(b"\r\n\r\n") + 4 if "behind-head" in query else 0
    at = start + int(fraction * (len(wire) - start))
    ends: dict[str, Any] = {"cut": Close(), "reset": Reset(), "stall": Stall()}
    if what == "drip":
        step = len(wire) // 10 + 1
        return Script(tuple(part for i in range(0, len(wire), step) for part in (wire[i : i + step], Pause(0.002))))
    return Script((wire[:at], ends[what]))


async def pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 16_384):
        yield body[start : start + 16_384]


def routes(server: Server) -> None:
    server.route("/refuse/{id}", lambda request: Reply(413, body=body_of(request.params["id"], 0), close=True), early=True)
    server.route("/slam/{id}", lambda request: answer(_named(request, "slam")), early=True)
    server.route("/{what}/{id}", answer)


def _named(request: Request, what: str) -> Request:
    request.params["what"] = what
    return request


async def serve() -> None:
    """Until the standard input ends."""
    # Connections that break as wanted make asyncio talk: its TLS writes behind its own end of file, a script to who has gone.
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    async with Server(routes=routes, record=False) as plain, Server(routes=routes, record=False, tls=True) as secure:
        print(json.dumps({"plain": plain.url, "tls": secure.url, "ca": secure.ca}), flush=True)
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        ended = asyncio.ensure_future(reader.read())
        while not ended.done():
            await asyncio.wait([ended], timeout=1)
            plain.errors.clear()  # handshakes and uploads that broke off: wanted here
            secure.errors.clear()


# --- the callers


@dataclass(frozen=True)
class Way:
    """How the server is reached: by whom, and whether bytes arrive as it sent them (squid reads what it is handed whole)."""

    name: str
    url: str
    proxy: str | None
    faithful: bool
    weight: int


class WrongAnswer(Exception):
    """What must never be."""


Ask = Callable[["Soak", Way, str], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Kind:
    """One kind of request: how often it comes, how it is asked, and what it may end with besides its answer."""

    weight: int
    ask: Ask
    errors: tuple[type[aioreq.AioreqError], ...] = ()
    meddled_with: bool = False  # what a proxy that understands HTTP makes of it is no business of ours


KINDS: dict[str, Kind] = {}


def kind(weight: int, *errors: type[aioreq.AioreqError], meddled_with: bool = False) -> Callable[[Ask], Ask]:
    def add(ask: Ask) -> Ask:
        KINDS[ask.__name__] = Kind(weight, ask, errors, meddled_with)
        return ask

    return add


class Soak:
    """The run: asks, checks and counts."""

    def __init__(self, client: Client, ways: list[Way], seed: int) -> None:
        self.client = client
        self.ways = ways
        self.random = random.Random(seed)
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.wrong: list[str] = []
        self.done = 0
        self.begun = 0

    async def run(self, requests: int, callers: int, sample: Callable[[Soak], None]) -> None:
        names, weights = list(KINDS), [kind.weight for kind in KINDS.values()]
        way_weights = [way.weight for way in self.ways]

        async def caller() -> None:
            while self.begun < requests and len(self.wrong) < 10:
                self.begun += 1
                [name], [way] = self.random.choices(names, weights), self.random.choices(self.ways, way_weights)
                if KINDS[name].meddled_with and not way.faithful:
                    name = "echo"
                await self.once(name, way)
                self.done += 1
                if self.done % max(1, requests // SAMPLES) == 0:
                    sample(self)

        async with asyncio.TaskGroup() as group:
            for _ in range(callers):
                group.create_task(caller())

    async def once(self, name: str, way: Way) -> None:
        asked = f"{self.begun}-{self.random.randrange(1 << 32):x}"
        what = KINDS[name]
        outcome = "answered"
        try:
            await what.ask(self, way, asked)
        except asyncio.CancelledError:
            outcome = "cancelled"
        except what.errors as error:
            outcome = type(error).__name__
        except aioreq.StatusError as error:
            # Squid tells by an answer of its own what broke off behind it, if only a connection that it had kept.
            status = getattr(error.response, "status", 0)
            outcome = f"{status}"
            if way.faithful or status < 500:
                self.note(f"{name} {way.name} {asked}: status {status}")
        except Exception:
            outcome = "WRONG"
            self.note(f"{name} {way.name} {asked}: {traceback.format_exc()}")
        self.outcomes[name, outcome] += 1

    def note(self, what: str) -> None:
        self.wrong.append(what)
        print(f"WRONG: {what}", flush=True)

    # -- what the kinds are made of

    async def fetch(
        self, way: Way, what: str, asked: str, *, method: str = "GET", limit: int = 0, at: float | None = None, **options: Any
    ) -> None:
        """Asks for a body of a size up to `limit`, and compares it."""
        size = self.random.randrange(limit + 1)
        place = self.random.random() if at is None else at
        # Squid takes the first bytes of a status line for a whole answer without a head, as HTTP/0.9 had it.
        url = f"{way.url}/{what}/{asked}?size={size}&at={place:.6f}{'' if way.faithful or at is not None else '&behind-head=1'}"
        response = await self.client.request(method, url, proxy=way.proxy, raise_for_status=True, **options)
        expected = b"" if method == "HEAD" else body_of(asked, size)
        if response.content != expected:
            raise WrongAnswer(f"{response!r} with {len(response.content)} bytes in place of {len(expected)}: {response.content[:60]!r}")

    async def send(self, way: Way, what: str, asked: str, status: int, expected: bytes, *, content: Any) -> None:
        """Uploads, and compares the answer."""
        response = await self.client.put(f"{way.url}/{what}/{asked}", content=content, proxy=way.proxy)
        if response.status >= 500:
            response.raise_for_status()
        if (response.status, response.content) != (status, expected):
            raise WrongAnswer(f"{response!r} in place of {status} {expected!r}: {response.content[:60]!r}")

    async def cancel_soon(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        asyncio.get_running_loop().call_later(self.random.random() ** 3 * 0.4, task.cancel)
        await task


Lost = aioreq.ConnectionLost


@kind(300)
async def echo(soak: Soak, way: Way, asked: str) -> None:
    await soak.fetch(way, "echo", asked, limit=2000)


@kind(30)
async def head(soak: Soak, way: Way, asked: str) -> None:
    await soak.fetch(way, "echo", asked, method="HEAD", limit=2000)


@kind(60)
async def chunked(soak: Soak, way: Way, asked: str) -> None:
    await soak.fetch(way, "chunked", asked, limit=60_000)


@kind(20)
async def megabyte(soak: Soak, way: Way, asked: str) -> None:
    await soak.fetch(way, soak.random.choice(["echo", "chunked", "until-close"]), asked, limit=MEGABYTE)


@kind(20)
async def keep_alive_ends(soak: Soak, way: Way, asked: str) -> None:
    await soak.fetch(way, "last", asked, limit=2000)


@kind(20)
async def leaves_unannounced(soak: Soak, way: Way, asked: str) -> None:
    await soak.fetch(way, "leaves", asked, limit=2000)


@kind(10)
async def hints(soak: Soak, way: Way, asked: str) -> None:
    await soak.fetch(way, "hints", asked, limit=2000)


@kind(40)
async def redirect(soak: Soak, way: Way, asked: str) -> None:
    await soak.fetch(way, "redirect", asked, limit=2000)


@kind(40)
async def packed(soak: Soak, way: Way, asked: str) -> None:
    await soak.fetch(way, "gzip", asked, limit=60_000)


@kind(20)
async def upload(soak: Soak, way: Way, asked: str) -> None:
    size = soak.random.randrange(MEGABYTE)
    await soak.send(way, "upload", asked, 200, f"{asked} {size}".encode(), content=PATTERN[:size])


@kind(10, Lost)  # on a connection that is just being closed it can't be sent again
async def upload_of_parts(soak: Soak, way: Way, asked: str) -> None:
    size = soak.random.randrange(MEGABYTE)

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, size, 50_000):
            yield PATTERN[start : min(start + 50_000, size)]

    await soak.send(way, "upload", asked, 200, f"{asked} {size}".encode(), content=parts())


@kind(30)
async def streamed(soak: Soak, way: Way, asked: str) -> None:
    url = f"{way.url}/{soak.random.choice(['echo', 'chunked'])}/{asked}?size=200000"
    whole = soak.random.random() < 0.5
    expected, received = body_of(asked, 200_000), b""
    async with soak.client.stream("GET", url, proxy=way.proxy, raise_for_status=True) as response:
        async for chunk in response.content:
            received += chunk
            if not whole:
                break  # what is left is drained, or the connection closed
    if received != expected[: len(received)] or (whole and len(received) != len(expected)):
        raise WrongAnswer(f"{len(received)} bytes, {received[:60]!r}")


@kind(15)
async def drip(soak: Soak, way: Way, asked: str) -> None:
    await soak.fetch(way, "drip", asked, limit=5000)


@kind(10, meddled_with=True)
async def bytes_behind(soak: Soak, way: Way, asked: str) -> None:
    await soak.fetch(way, "behind", asked, limit=2000)


@kind(40, Lost)
async def reset(soak: Soak, way: Way, asked: str) -> None:
    await soak.fetch(way, "reset", asked, limit=5000, retry=0)


@kind(40, Lost)
async def cut(soak: Soak, way: Way, asked: str) -> None:
    await soak.fetch(way, "cut", asked, limit=5000, retry=0)


@kind(15, Lost)
async def early_close(soak: Soak, way: Way, asked: str) -> None:
    await soak.fetch(way, "cut", asked, at=0.0, retry=1)


@kind(15, aioreq.ReadTimeout)
async def stall(soak: Soak, way: Way, asked: str) -> None:
    await soak.fetch(way, "stall", asked, limit=5000, retry=0, timeout=Timeout(read=0.05))


@kind(30, aioreq.RemoteProtocolError, meddled_with=True)
async def broken(soak: Soak, way: Way, asked: str) -> None:
    await soak.fetch(way, "broken", asked, retry=0)


@kind(10, aioreq.DecodeError)
async def cut_gzip(soak: Soak, way: Way, asked: str) -> None:
    await soak.fetch(way, "cut-gzip", asked, limit=60_000)


@kind(10, aioreq.LimitExceeded)
async def too_large(soak: Soak, way: Way, asked: str) -> None:
    await soak.fetch(way, soak.random.choice(["echo", "chunked", "gzip"]), asked, limit=200_000, max_body=100)


@kind(10)
async def refused_upload(soak: Soak, way: Way, asked: str) -> None:
    await soak.send(way, "refuse", asked, 413, body_of(asked, 0), content=PATTERN)


@kind(10, Lost)
async def slammed_upload(soak: Soak, way: Way, asked: str) -> None:
    await soak.send(way, "slam", asked, 413, body_of(asked, 0), content=PATTERN)


@kind(15, aioreq.RequestTimeout)
async def out_of_time(soak: Soak, way: Way, asked: str) -> None:
    await soak.fetch(way, "drip", asked, limit=5000, timeout=Timeout(total=soak.random.uniform(0.001, 0.02), pool=0.02))


@kind(100)
async def cancelled(soak: Soak, way: Way, asked: str) -> None:
    what = soak.random.choice([echo, chunked, megabyte, redirect, packed, upload, streamed, drip])
    await soak.cancel_soon(what(soak, way, asked))


# --- the run


class Meter:
    """Memory, descriptors and speed along the run, as a table."""

    def __init__(self, server: int) -> None:
        self.server = server
        self.began = self.last = time.perf_counter()
        self.last_done = 0
        self.memory: list[float] = []
        self.descriptors: list[int] = []
        print(f"{'requests':>9} {'seconds':>8} {'per s':>6} {'MB':>7} {'files':>6} {'open':>5} {'waiting':>8} {'server MB':>10}")

    def sample(self, soak: Soak) -> None:
        now = time.perf_counter()
        speed = (soak.done - self.last_done) / (now - self.last)
        self.memory.append(memory(os.getpid()))
        self.descriptors.append(descriptors())
        pool = soak.client.pool()
        print(
            f"{soak.done:>9} {now - self.began:>8.1f} {speed:>6.0f} {self.memory[-1]:>7.1f} {self.descriptors[-1]:>6} {pool.open:>5} "
            f"{pool.waiting:>8} {memory(self.server):>10.1f}",
            flush=True,
        )
        self.last, self.last_done = now, soak.done

    def growth(self) -> float:
        """MB between the first and the last quarter of what follows the warm-up."""
        warm = self.memory[int(len(self.memory) * WARM_UP) :]
        quarter = max(1, len(warm) // 4)
        return mean(warm[-quarter:]) - mean(warm[:quarter])


def memory(process: int) -> float:
    """Resident megabytes."""
    with open(f"/proc/{process}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / MEGABYTE


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def survivors() -> Counter[str]:
    """Our own objects of one request or connection that are still there."""
    gc.collect()
    mine = {"Request", "Response", "StreamResponse", "ResponseBody", "Connection", "Upload", "Opening"}
    found = (type(item) for item in gc.get_objects())
    return Counter(cls.__name__ for cls in found if cls.__name__ in mine and cls.__module__.startswith("aioreq."))


class Listener(logging.Handler):
    """What asyncio has to grumble about goes into a list."""

    def __init__(self, complaints: list[Any]) -> None:
        super().__init__(logging.WARNING)
        self.complaints = complaints

    def emit(self, record: logging.LogRecord) -> None:
        self.complaints.append(record.getMessage())


def missing(names: list[str]) -> list[str]:
    """What the ways go through and isn't installed."""
    through = {"squid": "squid", "tunnel": "squid", "socks": "danted"}
    return sorted({through[name] for name in names if name in through and peers.find(through[name]) is None})


@contextlib.contextmanager
def reached(names: list[str]) -> Iterator[tuple[list[Way], str, int]]:
    """The ways, the path of the CA, the server's process."""
    with contextlib.ExitStack() as stack:
        command = [sys.executable, __file__, "--serve"]
        server = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        assert server.stdin is not None
        assert server.stdout is not None
        stack.callback(server.stdin.close)
        urls = json.loads(server.stdout.readline())
        squid = stack.enter_context(peers.running(peers.squid_proxy())).url if {"squid", "tunnel"} & set(names) else None
        socks = stack.enter_context(peers.running(peers.socks_proxy())).url if "socks" in names else None
        ways = (
            Way("plain", urls["plain"], None, True, 40),
            Way("tls", urls["tls"], None, True, 30),
            Way("squid", urls["plain"], squid, False, 10),
            Way("tunnel", urls["tls"], squid, True, 10),
            Way("socks", urls["plain"], socks, True, 10),
        )
        yield [way for way in ways if way.name in names], urls["ca"], server.pid


async def run(chosen: argparse.Namespace, ways: list[Way], ca: str, server: int) -> list[str]:
    """What went wrong."""
    faults: list[str] = []
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
    logging.getLogger("asyncio").addHandler(Listener(complaints))
    limits = Limits(connections=chosen.callers * 3 // 5)
    async with Client(limits=limits, tls=TLS(ca=ca), timeout=Timeout(total=60, pool=60), retry=0, trust_env=False) as client:
        soak = Soak(client, ways, chosen.seed)
        for way in ways:
            await echo(soak, way, "first")
        before = descriptors() - len(ways)  # libuv opens one more with its first stream
        meter = Meter(server)
        await soak.run(chosen.requests, chosen.callers, meter.sample)
    await asyncio.sleep(0.5)
    print()
    names = list(dict.fromkeys(name for name, _ in soak.outcomes))
    for name in sorted(names):
        print(f"{name:>16}  " + ", ".join(f"{what} {n}" for (whose, what), n in soak.outcomes.most_common() if whose == name))
    after, growth, left = descriptors(), meter.growth(), asyncio.all_tasks() - {asyncio.current_task()}
    outcomes, wrong, most = soak.outcomes, soak.wrong, max(meter.descriptors)
    del soak, client
    alive = survivors()
    print(
        f"\nmemory after the warm-up: {growth:+.1f} MB; descriptors: {before} before, at most {most}, {after} after; alive: {dict(alive)}"
    )
    if wrong:
        faults.append(f"{len(wrong)} answers or errors that must not be")
    if growth > chosen.growth:
        faults.append(f"the memory grew by {growth:.1f} MB (--growth {chosen.growth:g})")
    if most > before + limits.connections * (1 + SPARE):
        faults.append(f"{most} descriptors at a time, with {limits.connections} connections allowed")
    if after != before:
        faults.append(f"{after - before} descriptors are left")
    if left:
        faults.append(f"{len(left)} tasks are left: {left}")
    if sum(alive.values()) > 3:
        faults.append(f"outlived the client: {dict(alive)}")
    if complaints:
        faults.append(f"the loop complained {len(complaints)} times: {complaints[0]}")
    never = [name for name in KINDS if name not in names]
    if never and sum(outcomes.values()) >= 10_000:
        faults.append(f"never asked: {never}")
    return faults


def main() -> int:
    options = argparse.ArgumentParser(description="Many requests, faults mixed in: nothing leaks, nothing crosses.")
    options.add_argument("--requests", type=int, default=200_000)
    options.add_argument("--callers", type=int, default=100, help="at a time; connections are three fifths of that (100)")
    options.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    options.add_argument("--ways", default=",".join(WAYS), help="by which ways (all of them)")
    options.add_argument("--growth", type=float, default=8, help="MB that the memory may grow by after the warm-up (8)")
    options.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.serve:
        asyncio.run(serve())
        return 0
    new_loop = asyncio.new_event_loop
    if chosen.loop == "uvloop":
        import uvloop

        new_loop = uvloop.new_event_loop
    names = chosen.ways.split(",")
    if unknown := [name for name in names if name not in WAYS]:
        options.error(f"no such way: {', '.join(unknown)}; there are {', '.join(WAYS)}")
    if absent := missing(names):
        options.error(f"not installed: {', '.join(absent)}; without the proxies: --ways plain,tls")
    print(f"{chosen.requests} requests on {chosen.loop}, the {IMPLEMENTATION} parser, by {chosen.ways}; --seed {chosen.seed}")
    with reached(names) as (ways, ca, server), asyncio.Runner(loop_factory=new_loop) as runner:
        faults = runner.run(run(chosen, ways, ca, server))
    print("\n".join(f"FAILED: {fault}" for fault in faults) or "all well")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
