"""aioreq at work: `python examples/demo.py` against a server of its own, `python examples/demo.py URL` against yours.

Exit status: 0 when everything worked.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator

import aioreq
from aioreq.parser import IMPLEMENTATION

AT_ONCE = 200
ROUNDS = 5  # the first one also opens the connections, and isn't counted
POLITE = 3  # requests in a row to a server that isn't ours

Step = Callable[[aioreq.Client], Awaitable[str]]


class Failed(Exception):
    """Something answered, but not what was expected."""


def expect(fulfilled: bool, what: str) -> None:
    if not fulfilled:
        raise Failed(what)


def head_of(response: aioreq.Response | aioreq.StreamResponse) -> str:
    return f"HTTP/{response.http_version} {response.status} {response.status_message}".rstrip()


# -- the steps against a server of our own


async def get(client: aioreq.Client) -> str:
    response = await client.get("/get", params={"q": "hello world"})
    expect(response.json()["args"] == {"q": "hello world"}, "the server saw other parameters")
    return f"{head_of(response)}, {response.headers['content-type']}, {len(response.content)} bytes, {response.elapsed * 1000:.1f} ms"


async def json_round_trip(client: aioreq.Client) -> str:
    value = {"name": "aioreq", "numbers": [1, 2.5, None], "text": "äöü"}
    response = await client.post("/anything", json=value)
    expect(json.loads(response.json()["body"]) == value, "the body came back changed")
    return f"POST of {value} came back as it was"


async def redirects(client: aioreq.Client) -> str:
    response = await client.get("/redirect/3")
    expect(response.ok and len(response.redirects) == 3, "three redirects were not followed")
    return " -> ".join([*(earlier.url.path for earlier in response.redirects), response.url.path])


async def compression(client: aioreq.Client) -> str:
    response = await client.get("/gzip")
    expect(response.json()["encoding"] == "gzip", "the body was not decoded")
    encoding, sent = response.headers["content-encoding"], response.headers["content-length"]
    return f"{encoding}: {sent} bytes on the wire, {len(response.content)} decoded"


async def streaming(client: aioreq.Client) -> str:
    async with client.stream("GET", "/stream/1000") as response:
        sizes = [len(chunk) async for chunk in response.content]
        expect(response.ok and sum(sizes) > 100_000, "the stream was cut")
        framing = response.headers["transfer-encoding"]
    return f"{framing}: {sum(sizes)} bytes, read in {len(sizes)} pieces as they came"


async def authentication(client: aioreq.Client) -> str:
    response = await client.get("/digest-auth/auth/user/secret", auth=("user", "secret"))
    expect(response.status == 200, f"the server said {response.status}")
    return f"Digest, {response.json()['algorithm']}: accepted"


async def an_error(client: aioreq.Client) -> str:
    try:
        await client.get("/delay/30", timeout=0.1)
    except aioreq.TotalTimeout as error:
        return f"{type(error).__name__}: {error}"
    raise Failed("no timeout came")


async def https(client: aioreq.Client) -> str:
    response = await client.get("/get")
    expect(response.json()["url"].startswith("https://"), "the server saw no TLS")
    return f"{head_of(response)} from {response.url}, its certificate verified"


async def many(client: aioreq.Client, url: str, at_once: int = AT_ONCE) -> str:
    taken: list[float] = []

    async def one() -> None:
        response = await client.get(url)
        expect(response.status < 500, f"the server said {response.status}")
        taken.append(response.elapsed * 1000)

    began = 0.0
    for number in range(ROUNDS + 1):
        if number == 1:
            taken.clear()
            began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(one())
    seconds = time.perf_counter() - began
    ordered = sorted(taken)
    return (
        f"{at_once} at once, {ROUNDS} times: {len(taken) / seconds:.0f} requests/s, "
        f"median {statistics.median(ordered):.1f} ms, 99th percentile {ordered[len(ordered) * 99 // 100]:.1f} ms"
    )


# -- the ways to run it


async def run(client: aioreq.Client, *steps: tuple[str, Step]) -> bool:
    """Whether every step worked; prints a line for each."""
    worked = True
    for name, step in steps:
        try:
            said = await step(client)
        except* (aioreq.AioreqError, Failed) as group:
            error: BaseException = group
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            said, worked = f"FAILED: {type(error).__name__}: {error}", False
        print(f"{name:<15} {said}", flush=True)
    return worked


@contextlib.contextmanager
def server(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The embedded server in a process of its own, so that it doesn't share the client's processor time."""
    command = [sys.executable, "-m", "aioreq.testing", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    """The next line that the server says; empty when it could not start."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def with_own_server() -> bool:
    with server() as plain, server("--tls") as secure:
        if not (url := line(plain)):
            print("FAILED: the embedded server did not start:", plain.communicate()[1].strip())
            return False
        print(f"server: {url}, `python -m aioreq.testing` in a process of its own\n")
        worked = asyncio.run(of_every_kind(url))
        if secure_url := line(secure):
            worked &= asyncio.run(over_tls(secure_url, line(secure).removeprefix("CA: ")))
        else:
            print("TLS             skipped:", secure.communicate()[1].strip().rpartition("\n")[2])
    return worked


async def of_every_kind(url: str) -> bool:
    async with aioreq.Client(base_url=url, timeout=30) as client:
        return await run(
            client,
            ("GET", get),
            ("JSON", json_round_trip),
            ("redirects", redirects),
            ("compression", compression),
            ("chunked stream", streaming),
            ("authentication", authentication),
            ("an error", an_error),
            ("many", lambda client: many(client, "/get")),
        )


async def over_tls(url: str, ca: str) -> bool:
    async with aioreq.Client(base_url=url, verify=ca, timeout=30) as client:
        return await run(client, ("TLS", https), ("many over TLS", lambda client: many(client, "/get")))


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def with_url(url: str) -> bool:
    async def show(client: aioreq.Client) -> str:
        response = await client.get(url)
        print(f"{head_of(response)} from {response.url} after {len(response.redirects)} redirects")
        for name, value in list(response.headers.items())[:12]:
            print(f"  {name}: {value[:90]}")
        return f"{len(response.content)} bytes in {response.elapsed * 1000:.1f} ms"

    async def a_few(client: aioreq.Client) -> str:
        times = [f"{(await client.get(url)).elapsed * 1000:.1f}" for _ in range(POLITE)]
        return f"{POLITE} in a row on the open connection: {', '.join(times)} ms (many at once: for loopback addresses alone)"

    async with aioreq.Client(timeout=30) as client:
        if not await run(client, ("body", show)):
            return False
        if not is_loopback(aioreq.Request("GET", url).host):
            return await run(client, ("again", a_few))
        return await run(client, ("10 at once", lambda c: many(c, url, 10)), ("many", lambda c: many(c, url)))


def main() -> int:
    parser = argparse.ArgumentParser(description="Shows aioreq at work, on a server of its own or on URL.")
    parser.add_argument("url", metavar="URL", nargs="?", help="what to request, with its scheme")
    url = parser.parse_args().url
    print(f"aioreq {aioreq.__version__}, {IMPLEMENTATION} parser, {platform.python_implementation()} {platform.python_version()}")
    worked = asyncio.run(with_url(url)) if url else with_own_server()
    print("\neverything worked" if worked else "\nsomething FAILED")
    return 0 if worked else 1


if __name__ == "__main__":
    sys.exit(main())
