"""Logins from a netrc file: whose they are, where the file is, and that nothing of it shows."""

from __future__ import annotations

import asyncio
import base64
import os
from pathlib import Path

import pytest

import aioreq
import aioreq.netrc
from aioreq import Client, NetrcAuth
from aioreq.testing import Server


def sent(server: Server) -> list[str | None]:
    """user:password of each request."""
    fields = [request.header("authorization") for request in server.requests]
    return [None if field is None else base64.b64decode(field.removeprefix("Basic ")).decode() for field in fields]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """~/.netrc of this test alone."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setattr(aioreq.netrc, "_FRESH", -1.0)
    return write(
        tmp_path / ".netrc", "machine 127.0.0.1 login ann account ignored password sesame\nmachine victim login v password secret\n"
    )


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


async def test_only_on_request(server: Server, client: Client, file: Path) -> None:
    await client.get(server.url + "/get")
    await client.get(server.url + "/get", auth=NetrcAuth())
    assert sent(server) == [None, "ann:sesame"]


async def test_by_the_parsed_host_alone(server: Server, file: Path) -> None:
    async with Client(auth=NetrcAuth(), resolver={"evil": "127.0.0.1", "victim": "127.0.0.1"}) as client:
        for url in ("http://victim:x@evil:{}/get", "http://evil:{}/get?http://victim/", "http://evil:{}/victim"):
            await client.get(url.format(server.port))
        await client.get(f"http://VICTIM:{server.port}/get")
        # Not even where the file's login is asked for in so many words.
        await client.get(f"http://victim:x@evil:{server.port}/get", auth=NetrcAuth())
    assert sent(server) == ["victim:x", None, None, "v:secret", None]


async def test_not_after_a_redirect_elsewhere(server: Server, file: Path) -> None:
    async with Client(auth=NetrcAuth(), resolver={"victim": "127.0.0.1"}) as client:
        await client.get(f"{server.url}/redirect-to?url=http://victim:{server.port}/get")
        await client.get(f"{server.url}/redirect-to?url=/get")
    assert sent(server) == ["ann:sesame", None, "ann:sesame", "ann:sesame"]


@pytest.mark.parametrize(
    ("text", "login"),
    [
        ("default login d password p", "d:p"),
        ("machine other login o password p\ndefault login d password p", "d:p"),
        ("machine 127.0.0.1 login a password p\ndefault login d password q", "a:p"),
        ("machine 127.0.0.1 password p", ":p"),
        ("machine 127.0.0.1 login a", "a:"),
        ("machine 127.0.0.1", None),
        ("machine 127.0.0.1 login ä password 'ö", "ä:'ö"),
        ('machine 127.0.0.1 login a password "b c"', "a:b c"),
        ("# a comment\nmachine 127.0.0.1\n\tlogin a\n\tpassword p # more\n", "a:p"),
        ("macdef init\nmachine x\n\nmachine 127.0.0.1 login a password p", "a:p"),
        ("", None),
    ],
)
async def test_entries(server: Server, client: Client, tmp_path: Path, text: str, login: str | None) -> None:
    await client.get(server.url + "/get", auth=NetrcAuth(write(tmp_path / "netrc", text)))
    assert sent(server) == [login]


async def test_where_the_file_is(server: Server, client: Client, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = write(tmp_path / "named", "default login named password p")
    of_environment = write(tmp_path / "environment", "default login environment password p")
    monkeypatch.setenv("NETRC", str(of_environment))
    await client.get(server.url + "/get", auth=NetrcAuth())
    await client.get(server.url + "/get", auth=NetrcAuth(str(named)))
    of_environment.unlink()
    await client.get(server.url + "/get", auth=NetrcAuth())
    monkeypatch.delenv("NETRC")
    os.unlink(file)
    await client.get(server.url + "/get", auth=NetrcAuth())
    assert sent(server) == ["environment:p", "named:p", None, None]
    with pytest.raises(FileNotFoundError, match="gone"):
        await client.get(server.url + "/get", auth=NetrcAuth(tmp_path / "gone"))


async def test_a_file_that_changes(server: Server, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Client(auth=NetrcAuth()) as client:
        await client.get(server.url + "/get")
        write(file, "default login new password pass-word")
        await client.get(server.url + "/get")
        monkeypatch.setattr(aioreq.netrc, "_FRESH", 1000.0)
        write(file, "default login newer password pass-words")
        await client.get(server.url + "/get")
    assert sent(server) == ["ann:sesame", "new:pass-word", "new:pass-word"]


async def test_many_at_once(server: Server, file: Path) -> None:
    async with Client(auth=NetrcAuth()) as client:
        await asyncio.gather(*[client.get(server.url + "/get") for _ in range(50)])
    assert set(sent(server)) == {"ann:sesame"}


@pytest.mark.skipif(os.name != "posix", reason="a rule of POSIX systems")
async def test_a_file_that_others_may_read(server: Server, client: Client, file: Path) -> None:
    os.chmod(file, 0o644)
    with pytest.raises(aioreq.LocalProtocolError, match=r"\.netrc: ~/\.netrc access too permissive.*; nothing was sent") as caught:
        await client.get(server.url + "/get", auth=NetrcAuth())
    assert "sesame" not in str(caught.value)
    await client.get(server.url + "/get", auth=NetrcAuth(file))  # one that is named is the namer's
    assert sent(server) == ["ann:sesame"]


@pytest.mark.parametrize("text", ["machine 127.0.0.1 login a password p sesame", "sesame", "machine x login a passwort sesame"])
async def test_a_file_that_is_none(server: Server, client: Client, tmp_path: Path, text: str) -> None:
    with pytest.raises(aioreq.LocalProtocolError, match=r"netrc: line 1 isn't in the form of a netrc file; nothing was sent") as caught:
        await client.get(server.url + "/get", auth=NetrcAuth(write(tmp_path / "netrc", text)))
    assert "sesame" not in str(caught.value) + repr(caught.value.__cause__)
    assert not server.requests


def test_repr() -> None:
    assert repr(NetrcAuth()) == "NetrcAuth()"
    assert repr(NetrcAuth("/a/b")) == "NetrcAuth('/a/b')"
