"""TLS: who is trusted, how that is said, what goes wrong in a handshake, and contexts that are made once."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import aioreq
import aioreq.tls
from aioreq import TLS, Limits, Timeout
from aioreq.testing import Authority, Close, ReadBytes, Reset, Server, Stall, httpbin
from aioreq.tls import context_for

pytestmark = pytest.mark.usefixtures("no_hanging", "own_contexts")


# Who is trusted


async def test_a_ca_file(tls_server: Server) -> None:
    assert tls_server.ca is not None
    for verify in (tls_server.ca, Path(tls_server.ca)):
        async with aioreq.Client(verify=verify) as client:
            assert (await client.get(tls_server.url + "/id/1")).text == "1"
    async with aioreq.Client(tls=TLS(ca=tls_server.ca)) as client:
        assert (await client.get(tls_server.url + "/id/2")).text == "2"
        assert (await client.get(tls_server.url.replace("127.0.0.1", "localhost") + "/id/3")).text == "3"


async def test_a_ca_for_one_request(tls_server: Server) -> None:
    assert tls_server.ca is not None
    async with aioreq.Client(retry=0) as client:
        assert (await client.get(tls_server.url + "/id/1", verify=tls_server.ca)).text == "1"
        assert (await client.get(tls_server.url + "/id/2", tls=TLS(ca=tls_server.ca))).text == "2"
        # Equal settings share a connection, others never do.
        assert tls_server.accepted == 1
        with pytest.raises(aioreq.CertificateError):
            await client.get(tls_server.url + "/id/3")


async def test_an_own_context(tls_server: Server) -> None:
    context = tls_server.client_context()
    async with aioreq.Client(verify=context) as client, aioreq.Client(tls=TLS(context=context)) as other:
        assert (await client.get(tls_server.url + "/id/1")).text == "1"
        assert (await other.get(tls_server.url + "/id/2")).text == "2"


async def test_the_environment_names_a_ca(tls_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tls_server.ca is not None
    async with aioreq.Client(retry=0) as client:
        with pytest.raises(aioreq.CertificateError):
            await client.get(tls_server.url)
        monkeypatch.setenv("SSL_CERT_FILE", tls_server.ca)
        assert (await client.get(tls_server.url + "/id/1")).text == "1"


async def test_anybody_is_trusted_where_that_is_asked_for(tls_server: Server) -> None:
    async with aioreq.Client(verify=False) as client:
        assert (await client.get(tls_server.url + "/id/1")).text == "1"
    async with aioreq.Client(retry=0) as client:
        assert (await client.get(tls_server.url + "/id/2", verify=False)).text == "2"
        assert (await client.get(tls_server.url + "/id/3", tls=TLS(verify=False))).text == "3"
        # And only there.
        with pytest.raises(aioreq.CertificateError):
            await client.get(tls_server.url + "/id/4")
    assert [request.connection for request in tls_server.requests] == [1, 2, 2]


# Who is not


async def refusal(context: ssl.SSLContext, verify: Any, host: str = "127.0.0.1") -> aioreq.CertificateError:
    async with Server(tls=context, routes=httpbin) as server, aioreq.Client(verify=verify, limits=Limits(connections=1)) as client:
        url = f"https://{host}:{server.port}/"
        with pytest.raises(aioreq.CertificateError) as caught:
            await client.get(url)
        # It isn't tried again, and leaves nothing.
        assert server.accepted == 1
        assert server.requests == []
        assert caught.value.request is not None
        assert f"{host}:{server.port}" in str(caught.value)
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
        with pytest.raises(aioreq.CertificateError):
            await client.get(url, timeout=Timeout(pool=5))
        return caught.value


async def test_an_unknown_authority(authority: Authority) -> None:
    assert "unable to get local issuer certificate" in str(await refusal(authority.server_context(), True))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_certificate_for_another_host(authority: Authority, ca: Path, host: str) -> None:
    error = str(await refusal(authority.server_context("example.com"), ca, host))
    assert f"not valid for {host!r}" in error
    assert "mismatch" in error


async def test_a_certificate_that_has_expired(authority: Authority, ca: Path) -> None:
    assert "certificate has expired" in str(await refusal(authority.server_context(days=-1), ca))


async def test_a_self_signed_certificate(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "self.pem"
    pem.write_bytes(private_pem(key) + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    assert "self-signed certificate" in str(await refusal(context, True, "localhost")).replace("self signed", "self-signed")


def private_pem(key: ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    encryption = serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


async def test_an_absolute_name_is_checked_without_its_dot(authority: Authority, ca: Path) -> None:
    asked = []

    class Loopback:
        async def resolve(self, host: str, port: int) -> list[str]:
            asked.append(host)
            return ["127.0.0.1"]

    async with Server(tls=authority, routes=httpbin) as server, aioreq.Client(verify=ca, resolver=Loopback()) as client:
        assert (await client.get(f"https://localhost.:{server.port}/id/1")).text == "1"
    assert asked == ["localhost."]


# Client certificates


@pytest.fixture
async def demanding(authority: Authority) -> AsyncIterator[Server]:
    """A server that wants a certificate."""
    async with Server(tls=authority.server_context(client_certificate=True), routes=httpbin) as server:
        yield server


async def test_a_client_certificate(demanding: Server, authority: Authority, ca: Path, tmp_path: Path) -> None:
    pem = authority.issue("me")
    whole = tmp_path / "whole.pem"
    whole.write_bytes(pem)
    key = serialization.load_pem_private_key(pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    certificate, plain, encrypted = tmp_path / "certificate.pem", tmp_path / "key.pem", tmp_path / "encrypted.pem"
    certificate.write_bytes(pem[pem.index(b"-----BEGIN CERTIFICATE") :])
    plain.write_bytes(private_pem(key))
    encrypted.write_bytes(private_pem(key, b"secret"))
    for cert in (str(whole), whole, (str(whole),), (str(certificate), str(plain)), (str(certificate), str(encrypted), "secret")):
        async with aioreq.Client(retry=0, tls=TLS(ca=ca, cert=cert)) as client:
            assert (await client.get(demanding.url + "/id/1")).text == "1"
    assert "secret" not in repr(TLS(cert=(str(certificate), str(encrypted), "secret")))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_certificate_that_is_missing(authority: Authority, ca: Path, version: ssl.TLSVersion) -> None:
    context = authority.server_context(client_certificate=True)
    context.maximum_version = version
    # In TLS 1.3 the client's side of the handshake is over before the server looks.
    expected: Any = aioreq.TLSError if version is ssl.TLSVersion.TLSv1_2 else (aioreq.TLSError, aioreq.ConnectionLost)
    async with Server(tls=context, routes=httpbin) as server, aioreq.Client(retry=0, verify=ca) as client:
        with pytest.raises(expected) as caught:
            await client.get(server.url)
        assert not isinstance(caught.value, aioreq.CertificateError)
        assert server.requests == []


async def test_certificates_are_part_of_a_connections_identity(authority: Authority, ca: Path, tmp_path: Path) -> None:
    pem = tmp_path / "client.pem"
    pem.write_bytes(authority.issue("me"))
    async with Server(tls=authority, routes=httpbin) as server, aioreq.Client(verify=ca) as client:
        for tls in (TLS(ca=ca), TLS(ca=ca, cert=pem), TLS(ca=ca), TLS(ca=ca, cert=pem)):
            await client.get(server.url + "/id/1", tls=tls)
        assert [request.connection for request in server.requests] == [1, 2, 1, 2]


# Files that can't be read


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
async def test_a_ca_file_that_is_none(tls_server: Server, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "nowhere.pem"
    if content is not None:
        path.write_bytes(content)
    async with aioreq.Client(retry=0, verify=path, limits=Limits(connections=1)) as client:
        for _ in range(2):
            with pytest.raises(aioreq.TLSError, match=r"CA certificates at '.*nowhere\.pem' can't be loaded") as caught:
                await client.get(tls_server.url, timeout=Timeout(pool=5))
            assert caught.value.request is not None
        assert (await client.get(tls_server.url + "/id/1", verify=False, timeout=Timeout(pool=5))).text == "1"


@pytest.mark.parametrize("content", [None, b"no certificate"])
async def test_a_client_certificate_that_is_none(tls_server: Server, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "nowhere.pem"
    if content is not None:
        path.write_bytes(content)
    async with aioreq.Client(retry=0, tls=TLS(cert=path)) as client:
        with pytest.raises(aioreq.TLSError, match=r"client certificate '.*nowhere\.pem' can't be loaded"):
            await client.get(tls_server.url)


async def test_an_encrypted_key_without_its_password(tls_server: Server, authority: Authority, tmp_path: Path) -> None:
    path = tmp_path / "encrypted.pem"
    key = serialization.load_pem_private_key(authority.issue("me"), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    path.write_bytes(private_pem(key, b"secret") + authority.issue("me"))
    async with aioreq.Client(retry=0, tls=TLS(cert=path)) as client:
        # Nobody is asked on a terminal.
        with pytest.raises(aioreq.TLSError, match=r"encrypted\.pem.*its key is encrypted: give TLS\(cert=\(certificate, key, password\)\)"):
            await client.get(tls_server.url)


async def test_a_key_log_that_cannot_be_written(tls_server: Server, tmp_path: Path) -> None:
    async with aioreq.Client(retry=0, tls=TLS(verify=False, keylog=tmp_path / "no" / "log")) as client:
        with pytest.raises(aioreq.TLSError, match=r"key log '.*log' can't be written"):
            await client.get(tls_server.url)


# Key logs


async def test_the_environment_asks_for_a_key_log(tls_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "keys"
    async with aioreq.Client(verify=False) as client:
        await client.get(tls_server.url + "/id/1", headers={"Connection": "close"})
        assert not log.exists()
        monkeypatch.setenv("SSLKEYLOGFILE", str(log))
        await client.get(tls_server.url + "/id/2")
    assert "CLIENT_" in log.read_text()


async def test_a_key_log_of_ones_own(tls_server: Server, tmp_path: Path) -> None:
    log = tmp_path / "keys"
    async with aioreq.Client(tls=TLS(ca=tls_server.ca, keylog=log)) as client:
        await client.get(tls_server.url + "/id/1")
    assert "CLIENT_" in log.read_text()


# Handshakes that fail


ALERT = b"\x15\x03\x03\x00\x02\x02\x28"  # a fatal alert: handshake_failure


@pytest.mark.parametrize(
    "steps",
    [
        (Close(),),
        (Reset(),),
        (ReadBytes(1), Close()),
        (ReadBytes(1), Reset()),
        (ReadBytes(1), b"\x16\x03\x03\x00\x7a\x02\x00", Close()),
        (ReadBytes(1), b"\x16\x03\x03\x00\x7a\x02\x00", Reset()),
        (ReadBytes(1), bytes(range(100)), Stall()),
        (ReadBytes(1), ALERT, Close()),
        (ReadBytes(1), b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", Stall()),
        (b"SSH-2.0-OpenSSH_9.6\r\n", Stall()),
    ],
    ids=["close", "reset", "hello close", "hello reset", "half close", "half reset", "garbage", "alert", "HTTP", "banner"],
)
async def test_a_handshake_that_fails(tls_server: Server, steps: Any) -> None:
    async with aioreq.Client(retry=0, verify=tls_server.ca or True, limits=Limits(connections=1)) as client:
        tls_server.script(*steps, below_tls=True)
        with pytest.raises(aioreq.TLSError, match=f"TLS handshake with 127.0.0.1:{tls_server.port} failed: .") as caught:
            await client.get(tls_server.url)
        assert not isinstance(caught.value, aioreq.CertificateError)
        assert caught.value.request is not None
        assert (await client.get(tls_server.url + "/id/2", timeout=Timeout(pool=5))).text == "2"


async def test_a_server_without_tls(server: Server) -> None:
    async with aioreq.Client(retry=0) as client:
        with pytest.raises(aioreq.TLSError, match="does it speak TLS on this port"):
            await client.get(f"https://127.0.0.1:{server.port}/")


async def test_an_answer_that_comes_with_the_handshake_is_nobodys(authority: Authority, ca: Path) -> None:
    """In TLS 1.2 the server has the last word of the handshake, and may say more in the same breath."""
    context = authority.server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    received = b""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            nonlocal received
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing, server_side=True)
            with listener.accept()[0] as connection:
                connection.settimeout(10)
                while True:
                    try:
                        tls.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        connection.sendall(outgoing.read())
                        incoming.write(connection.recv(65536))
                tls.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
                connection.sendall(outgoing.read())
                while data := connection.recv(65536):
                    incoming.write(data)
                    with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                        received += tls.read()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        async with aioreq.Client(retry=0, verify=ca) as client:
            with pytest.raises(aioreq.ConnectionLost, match="sent bytes that nobody had asked for"):
                await client.get(f"https://127.0.0.1:{listener.getsockname()[1]}/")
        thread.join(10)
    assert received == b""


async def test_a_handshake_is_tried_again_like_any_connection(tls_server: Server) -> None:
    async with aioreq.Client(retry=aioreq.Retry(attempts=2, backoff=0), verify=tls_server.ca or True) as client:
        tls_server.script(ReadBytes(1), Reset(), below_tls=True, times=2)
        assert (await client.get(tls_server.url + "/id/1")).text == "1"
    assert tls_server.accepted == 3


# Contexts


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """The threads in which contexts were made."""
    threads: list[threading.Thread] = []
    original = aioreq.tls._make

    def spy(*args: Any) -> ssl.SSLContext:
        threads.append(threading.current_thread())
        time.sleep(0.01)  # others come meanwhile
        return original(*args)

    monkeypatch.setattr(aioreq.tls, "_make", spy)
    return threads


async def test_equal_settings_make_one_context_off_the_loops_thread(tls_server: Server, made: list[threading.Thread]) -> None:
    async with aioreq.Client(verify=tls_server.ca or True) as client, aioreq.Client(tls=TLS(ca=tls_server.ca)) as other:
        responses = await asyncio.gather(*[each.get(tls_server.url + "/id/1") for each in (client, other) for _ in range(10)])
        assert [response.text for response in responses] == ["1"] * 20
        assert tls_server.accepted == 20
    async with aioreq.Client(verify=tls_server.ca or True) as later:
        await later.get(tls_server.url + "/id/2")
    assert len(made) == 1
    assert threading.main_thread() not in made


async def test_loops_of_other_threads_share_it(tls_server: Server, made: list[threading.Thread]) -> None:
    settings = TLS(ca=tls_server.ca)
    contexts = await asyncio.gather(*[asyncio.to_thread(lambda: asyncio.run(context_for(settings))) for _ in range(4)])
    assert len({id(context) for context in contexts}) == 1
    assert len(made) == 1


async def test_a_plaintext_client_makes_none(server: Server, client: aioreq.Client, made: list[threading.Thread]) -> None:
    await client.get(server.url + "/id/1")
    assert made == []


async def test_contexts_are_not_kept_without_end(
    tmp_path: Path, own_contexts: dict[Any, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aioreq.tls, "_CACHED", 4)
    for number in range(10):
        await context_for(TLS(verify=False, keylog=tmp_path / str(number)))
    assert [settings.keylog for settings, _ in own_contexts] == [tmp_path / str(number) for number in range(6, 10)]


async def test_what_a_context_asks_for() -> None:
    context = await context_for(TLS())
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    lax = await context_for(TLS(verify=False))
    assert (lax.verify_mode, lax.check_hostname) == (ssl.CERT_NONE, False)


async def test_only_http_1_is_offered(authority: Authority, ca: Path) -> None:
    context = authority.server_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with Server(tls=context, routes=httpbin) as server, aioreq.Client(verify=ca) as client:
        await client.get(server.url + "/id/1")
        [connection] = server.connections
        assert connection.transport.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
