"""Whom a client believes that was told nothing: the system's store first, the bundled one last, one context for everybody."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import aioreq
import aioreq.tls
import aioreq.trust
from aioreq import TLS
from aioreq.testing import Authority, Server, httpbin
from aioreq.tls import context_for
from aioreq.trust import system_context

pytestmark = pytest.mark.usefixtures("no_hanging", "own_contexts")

NOWHERE = "/nowhere/at/all"


@pytest.fixture
def hashed(ca: Path, tmp_path: Path) -> Path:
    """A directory of certificates as OpenSSL wants one."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl command here")
    folder = tmp_path / "hashed"
    folder.mkdir()
    shutil.copy(ca, folder)
    subprocess.run([openssl, "rehash", str(folder)], check=True, capture_output=True)
    return folder


@pytest.fixture
def openssl_knows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a Python that was built for another system: OpenSSL's own places aren't there."""
    places = ssl.DefaultVerifyPaths(None, None, "SSL_CERT_FILE", NOWHERE, "SSL_CERT_DIR", NOWHERE)  # type: ignore[arg-type]
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: places)


@pytest.fixture
async def server(authority: Authority) -> Any:
    context = authority.server_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with Server(tls=context, routes=httpbin) as server:
        yield server


async def believes(server: Server) -> bool:
    async with aioreq.Client(retry=0) as client:
        try:
            return (await client.get(server.url + "/id/1")).text == "1"
        except aioreq.CertificateError:
            return False


# What the environment names


async def test_a_file(server: Server, ca: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not await believes(server)
    monkeypatch.setenv("SSL_CERT_FILE", str(ca))
    assert await believes(server)
    monkeypatch.setenv("SSL_CERT_FILE", "")  # as good as unset
    assert not await believes(server)


async def test_directories(server: Server, hashed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", os.pathsep.join([NOWHERE, str(tmp_path), str(hashed)]))
    assert await believes(server)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"], ids=["missing", "empty", "garbage"])
async def test_a_file_that_holds_none(server: Server, content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who names a file wants its certificates: nobody else is believed in their place."""
    path = tmp_path / "named.pem"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    async with aioreq.Client(retry=0) as client:
        with pytest.raises(aioreq.TLSError, match=r"CA certificates at '.*named\.pem', which SSL_CERT_FILE names, can't be loaded: ."):
            await client.get(server.url)
    assert server.accepted == 0


async def test_directories_that_hold_none(server: Server, ca: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", os.pathsep.join([NOWHERE, str(tmp_path)]))
    async with aioreq.Client(retry=0) as client:
        with pytest.raises(aioreq.TLSError, match=r"SSL_CERT_DIR='.*' names no directory with certificates in it, as `openssl rehash`"):
            await client.get(server.url)
    # One of the two is enough.
    monkeypatch.setenv("SSL_CERT_FILE", str(ca))
    assert await believes(server)


# What nobody names


@pytest.mark.parametrize("kind", ["file", "directory"])
async def test_openssls_own_places(server: Server, ca: Path, hashed: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file, folder = (str(ca), NOWHERE) if kind == "file" else (NOWHERE, str(hashed))
    places = ssl.DefaultVerifyPaths(None, None, "SSL_CERT_FILE", file, "SSL_CERT_DIR", folder)  # type: ignore[arg-type]
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: places)
    monkeypatch.setattr(aioreq.trust, "BUNDLES", ())
    assert await believes(server)


@pytest.mark.usefixtures("openssl_knows_nothing")
async def test_the_systems_bundle(server: Server, ca: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    monkeypatch.setattr(aioreq.trust, "BUNDLES", (NOWHERE, str(tmp_path), str(empty), str(ca)))
    assert await believes(server)


@pytest.mark.usefixtures("openssl_knows_nothing")
async def test_an_empty_directory_of_openssls_is_passed_over(
    server: Server, ca: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container image without the package of certificates, whose directory stands there all the same."""
    places = ssl.DefaultVerifyPaths(None, None, "SSL_CERT_FILE", NOWHERE, "SSL_CERT_DIR", str(tmp_path))  # type: ignore[arg-type]
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: places)
    monkeypatch.setattr(aioreq.trust, "BUNDLES", (str(ca),))
    assert await believes(server)


@pytest.mark.usefixtures("openssl_knows_nothing")
def test_the_bundled_certificates_come_last(monkeypatch: pytest.MonkeyPatch) -> None:
    certifi = pytest.importorskip("certifi")
    monkeypatch.setattr(aioreq.trust, "BUNDLES", (NOWHERE,))
    bundled = ssl.create_default_context(cafile=certifi.where())
    assert system_context().cert_store_stats() == bundled.cert_store_stats()
    assert system_context().cert_store_stats()["x509_ca"] > 50


@pytest.mark.usefixtures("openssl_knows_nothing")
async def test_nobody_to_believe(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioreq.trust, "BUNDLES", ())
    monkeypatch.setitem(sys.modules, "certifi", None)  # as if it weren't installed
    async with aioreq.Client(retry=0) as client:
        with pytest.raises(
            aioreq.TLSError, match=r"no CA certificates were found.*install.*'ca-certificates'.*'certifi'.*TLS\(ca=\.\.\.\)"
        ):
            await client.get(server.url)
        assert server.accepted == 0
        assert (await client.get(server.url + "/id/1", verify=False)).text == "1"


def test_this_system_has_a_store() -> None:
    if sys.platform != "linux" or not any(map(os.path.exists, aioreq.trust.BUNDLES)):
        pytest.skip("this system keeps no bundle of certificates in a file")
    code = (
        "import asyncio, sys, aioreq; from aioreq.tls import context_for; context = asyncio.run(context_for(aioreq.TLS())); "
        "print('certifi' in sys.modules, 'truststore' in sys.modules, context.verify_mode.name, context.check_hostname)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SSL_CERT")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["False", "False", "CERT_REQUIRED", "True"]


# Where the system itself verifies


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> type[ssl.SSLContext]:
    """As on macOS and Windows. Elsewhere truststore has OpenSSL verify, by what the system's files hold."""
    truststore = pytest.importorskip("truststore")
    monkeypatch.setattr(aioreq.trust, "NATIVE", True)
    kind: type[ssl.SSLContext] = truststore.SSLContext
    return kind


async def test_the_systems_verdict_is_asked_for(server: Server, ca: Path, native: type[ssl.SSLContext]) -> None:
    context = await context_for(TLS())
    assert type(context) is native
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    async with aioreq.Client(retry=0) as client:
        with pytest.raises(aioreq.CertificateError, match="unable to get local issuer certificate"):
            await client.get(server.url)
        context.load_verify_locations(ca)  # now the "system" knows it
        assert (await client.get(server.url + "/id/1")).text == "1"
        [connection] = server.connections
        assert connection.transport.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"


async def test_what_the_environment_names_wins(
    server: Server, ca: Path, native: type[ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca))
    assert type(await context_for(TLS())) is ssl.SSLContext
    assert await believes(server)


@pytest.mark.parametrize("settings", [TLS(verify=False), TLS(verify=False, fingerprint="ab" * 32)])
async def test_where_nobody_verifies_the_system_is_not_asked(native: type[ssl.SSLContext], settings: TLS) -> None:
    assert type(await context_for(settings)) is ssl.SSLContext


@pytest.mark.usefixtures("openssl_knows_nothing")
async def test_a_system_too_old_to_ask(server: Server, ca: Path, native: type[ssl.SSLContext], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "truststore", None)
    monkeypatch.setattr(aioreq.trust, "BUNDLES", (str(ca),))
    assert await believes(server)


# Key logs, which truststore writes only when it is told


@pytest.mark.parametrize("kind", ["files", "native"])
@pytest.mark.parametrize("by", ["environment", "settings"])
async def test_key_logs(
    server: Server, ca: Path, kind: str, by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    log = tmp_path / "keys"
    if by == "environment":
        monkeypatch.setenv("SSLKEYLOGFILE", str(log))
    settings = TLS(keylog=log) if by == "settings" else TLS()
    if kind == "native":
        native = request.getfixturevalue("native")
        context = await context_for(settings)
        assert type(context) is native
        context.load_verify_locations(ca)
    else:
        monkeypatch.setenv("SSL_CERT_FILE", str(ca))
    async with aioreq.Client(tls=settings) as client:
        assert (await client.get(server.url + "/id/1")).text == "1"
    secrets = [line.split() for line in log.read_text().splitlines() if not line.startswith("#")]
    labels = {secret[0] for secret in secrets}
    wanted = {"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"}
    assert wanted <= labels
    # Of one handshake: the same client random in every line.
    assert len({secret[1] for secret in secrets}) == 1


# One context


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ssl.SSLContext]]:
    """Every client's context that anybody makes."""
    contexts = []
    original = ssl.SSLContext.__new__

    def counted(kind: type[ssl.SSLContext], protocol: int | None = None, *args: Any, **kwargs: Any) -> ssl.SSLContext:
        context = original(kind, protocol, *args, **kwargs)
        if protocol == ssl.PROTOCOL_TLS_CLIENT:
            contexts.append(context)
        return context

    monkeypatch.setattr(ssl.SSLContext, "__new__", counted)
    yield contexts
    contexts.clear()


async def test_a_thousand_clients_make_one_context(
    server: Server, ca: Path, made: list[ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca))
    pin = "ab" * 32

    async def ask(number: int) -> None:
        async with aioreq.Client(retry=0) as client:
            assert (await client.get(server.url + "/id/1")).text == "1"
            if number % 50 == 0:
                with pytest.raises(aioreq.CertificateError, match="fingerprint"):
                    await client.get(server.url, tls=TLS(fingerprint=pin, server_hostname="localhost"))

    for start in range(0, 1000, 50):
        await asyncio.gather(*[ask(number) for number in range(start, start + 50)])
    assert len(made) == 1
    assert server.accepted == 1020
