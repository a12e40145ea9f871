"""Side by side: the table of differences is short, told to users, and true; here are those that no other test shows."""

from __future__ import annotations

import asyncio
import pickle
import re
import socket
import ssl
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest

from aioreq.testing import Reply, Server, Stall

from .differences import DIFFERENCES
from .side_by_side import Stage, same
from .test_aiohttp_signatures import LEFT_OUT, MEMBERS_LEFT_OUT

HERE = Path(__file__).parent
DOCS = HERE.parent.parent / "docs" / "aiohttp.md"


def test_the_table_is_short_and_gives_reasons() -> None:
    assert len(DIFFERENCES) <= 20
    for name, difference in DIFFERENCES.items():
        assert re.search(r"RFC \d", difference.why), name


def test_each_of_them_is_shown_to_differ() -> None:
    """Each name is an argument of `same(..., different=...)` somewhere, where it must differ."""
    sources = "".join(path.read_text(encoding="utf-8") for path in sorted(HERE.glob("test_aiohttp_side_by_side*.py")))
    shown = set(re.findall(r'"([^"\n]+)"', sources))
    assert set(DIFFERENCES) - shown == set()


@pytest.mark.skipif(not DOCS.exists(), reason="the docs aren't beside these tests")
def test_users_are_told_of_them() -> None:
    page = DOCS.read_text(encoding="utf-8")
    told = [tuple(cell.strip() for cell in row.strip("| ").split(" | ")) for row in re.findall(r"^\| .*$", page, re.MULTILINE)]
    assert [row for row in told if row[0] in DIFFERENCES] == [(name, *difference) for name, difference in DIFFERENCES.items()]


@pytest.mark.skipif(not DOCS.exists(), reason="the docs aren't beside these tests")
def test_users_are_told_of_what_is_not_carried() -> None:
    named = set(re.findall(r"[\w*]+", DOCS.read_text(encoding="utf-8").partition("## What isn't carried")[2]))
    left_out = {re.sub(r"^DATE_\w+_RE$", "DATE_*_RE", name.rpartition(".")[2]) for name in (*LEFT_OUT, *MEMBERS_LEFT_OUT)}
    assert left_out - named == set()


async def test_a_multipart_body_that_was_cut_off() -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--b'

    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session, session.get(stage.url) as response:
            with stage.trying():
                part = await stage.lib.MultipartReader.from_response(response).next()
                stage.say(bytes(await part.read()))

    head = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n" % len(body)
    await same(play, [(head + body,)], different="multipart")


async def test_a_boundary_within_a_content() -> None:
    async def play(stage: Stage) -> None:
        with stage.lib.MultipartWriter(boundary="b") as writer:
            writer.append(b"x\r\n--b--\r\n")
        async with stage.lib.ClientSession() as session:
            await stage.ask(session, "POST", data=writer)

    await same(play, routes=lambda server: server.route("/", "ok"), different="multipart")


@pytest.mark.parametrize("field", ["sock_connect", "connect"])
async def test_a_name_lookup_that_takes_long(field: str) -> None:
    async def play(stage: Stage) -> None:
        class Slow(stage.lib.abc.AbstractResolver):  # type: ignore[misc, name-defined]
            async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> Any:
                await asyncio.sleep(0.4)
                return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}]

            async def close(self) -> None:
                pass

        timeout = stage.lib.ClientTimeout(**{field: 0.2})
        async with stage.lib.ClientSession(connector=stage.lib.TCPConnector(resolver=Slow())) as session:
            await stage.ask(session, "GET", f"http://slow.test:{stage.server.port}/", timeout=timeout)

    await same(play, routes=lambda server: server.route("/", "ok"), different="`sock_connect`" if field == "sock_connect" else None)


async def test_a_resolver_that_answers_nothing() -> None:
    async def play(stage: Stage) -> None:
        class Empty(stage.lib.abc.AbstractResolver):  # type: ignore[misc, name-defined]
            async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> Any:
                return []

            async def close(self) -> None:
                pass

        async with stage.lib.ClientSession(connector=stage.lib.TCPConnector(resolver=Empty())) as session:
            await stage.ask(session, "GET", "http://none.test/")

    await same(play, different="name lookups")


async def test_https_over_a_unix_socket(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        lib, path = stage.lib, str(tmp_path / stage.lib.__name__)
        async with Server(unix=path, tls=True, routes=lambda server: server.route("/", "ok")) as server:
            context = ssl.create_default_context(cafile=server.ca)
            async with lib.ClientSession(connector=lib.UnixConnector(path)) as session:
                timeout = lib.ClientTimeout(total=2)
                with stage.trying():
                    async with session.get("https://localhost/", ssl=context, timeout=timeout) as response:
                        stage.say(response.status)

    await same(play, different="https over a Unix socket")


async def test_a_body_that_would_leave_tls() -> None:
    async def play(stage: Stage) -> None:
        async with Server(routes=lambda server: server.route("/", "ok")) as plain, stage.lib.ClientSession() as session:
            stage.names[f":{plain.port}"] = ":PLAIN"
            stage.server.route("/", Reply(307, [("Location", plain.url + "/")]))
            await stage.ask(session, "GET", ssl=False)
            await stage.ask(session, "POST", ssl=False, data=b"secret")

    await same(play, tls=True, different="credentials across origins")


async def test_waiting_for_a_connection_of_a_session_that_is_closed() -> None:
    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession(connector=stage.lib.TCPConnector(limit=1)) as session:
            held = await session.get(stage.url)
            waiting = asyncio.ensure_future(session.get(stage.url))
            await asyncio.sleep(0.05)
            await session.close()
            stage.say(type((await asyncio.gather(waiting, return_exceptions=True))[0]).__name__)
            held.close()

    await same(play, [(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", Stall())], different="closing in use")


async def test_proxy_credentials_among_the_fields_of_a_request() -> None:
    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session:
            await stage.ask(session, "GET", "http://host.invalid/", proxy=stage.url, headers={"Proxy-Authorization": "Basic x"})

    await same(play, routes=lambda server: server.route("/", "ok"), different="what proxies are told")


async def test_jars_that_are_pickles(tmp_path: Path) -> None:
    path = tmp_path / "jar"
    path.write_bytes(pickle.dumps({("example.com", "/"): SimpleCookie("a=1")}))

    async def play(stage: Stage) -> None:
        jar = stage.lib.CookieJar()
        jar.load(path)
        stage.say_cookies(jar)

    await same(play, different="cookies that are refused")


async def test_addresses_of_a_name_that_is_remembered() -> None:
    async def play(stage: Stage) -> None:
        class Two(stage.lib.abc.AbstractResolver):  # type: ignore[misc, name-defined]
            async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> Any:
                told = {"hostname": host, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
                return [{**told, "host": address} for address in ("127.0.0.1", "127.0.0.2")]

            async def close(self) -> None:
                pass

        async with Server(host="127.0.0.2", port=stage.server.port, routes=lambda server: server.route("/", "other")):
            connector = stage.lib.TCPConnector(resolver=Two(), force_close=True)
            async with stage.lib.ClientSession(connector=connector) as session:
                for _ in range(3):
                    await stage.ask(session, "GET", f"http://two.test:{stage.server.port}/")

    await same(play, routes=lambda server: server.route("/", "ok"), different="name lookups")


async def test_passwords_in_reprs() -> None:
    async def play(stage: Stage) -> None:
        stage.say("sesame" in repr(stage.lib.BasicAuth("ann", "sesame")))

    await same(play, different="`repr(BasicAuth(...))`")
