"""Certificates: pins, other names than the URL's, and errors that say who offered what."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import warnings
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from strict_tls import StrictServer

import aioreq
from aioreq import TLS, Limits, Proxy, Timeout
from aioreq.testing import Authority, ReadBytes, Server, Stall, httpbin

pytestmark = pytest.mark.usefixtures("no_hanging")

OTHER = "0f" * 32  # nobody's fingerprint


@pytest.fixture
def serving(tmp_path: Path) -> Callable[[bytes], ssl.SSLContext]:
    """Makes a server's context of a key and certificate in PEM."""

    def make(pem: bytes) -> ssl.SSLContext:
        path = tmp_path / "server.pem"
        path.write_bytes(pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    return make


def fingerprint_of(pem: bytes) -> bytes:
    return x509.load_pem_x509_certificate(pem[pem.index(b"-----BEGIN CERTIFICATE") :]).fingerprint(hashes.SHA256())


def self_signed(*names: x509.GeneralName, begins: float = -1, ends: float = 1) -> bytes:
    """The PEM of a key and its certificate, valid between so many days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "me\nmyself")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now + begins * day, now + ends * day)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private + builder.sign(key, hashes.SHA256()).public_bytes(encoding)


# Pins


async def test_the_pinned_certificate(authority: Authority, ca: Path, serving: Callable[[bytes], ssl.SSLContext]) -> None:
    pem = authority.issue("localhost", "127.0.0.1")
    digest = fingerprint_of(pem)
    spellings: list[Any] = [digest, digest.hex(), digest.hex().upper(), digest.hex(":"), [OTHER, digest], {digest.hex()}, (digest, digest)]
    async with Server(tls=serving(pem), routes=httpbin) as server, aioreq.Client() as client:
        for pin in spellings:
            assert (await client.get(server.url + "/id/1", tls=TLS(ca=ca, fingerprint=pin))).text == "1"
        # All of them but the one of two pins mean the same.
        assert server.accepted == 2


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("pins", [OTHER, ["1f" * 32, OTHER]], ids=["one", "several"])
async def test_another_certificate_than_the_pinned(
    authority: Authority, ca: Path, serving: Callable[[bytes], ssl.SSLContext], verify: bool, pins: Any
) -> None:
    pem = authority.issue("localhost", "127.0.0.1", "*.example.org")
    tls = TLS(ca=ca, fingerprint=pins) if verify else TLS(verify=False, fingerprint=pins)
    async with Server(tls=serving(pem), routes=httpbin) as server, aioreq.Client(tls=tls, limits=Limits(connections=1)) as client:
        with pytest.raises(aioreq.CertificateError) as caught:
            await client.post(server.url + "/post", content=b"secret")
        error = str(caught.value)
        assert f"127.0.0.1:{server.port}" in error
        assert f"SHA-256 fingerprint {fingerprint_of(pem).hex()}, not {OTHER}" in error
        assert "it is for 'localhost', '127.0.0.1', '*.example.org', issued by 'aioreq testing CA', valid from 20" in error
        assert caught.value.request is not None
        # Tried once, nothing sent, nothing kept.
        await server.until(lambda: not server.connections)
        assert (server.accepted, server.requests) == (1, [])
        with pytest.raises(aioreq.CertificateError):
            await client.get(server.url, timeout=Timeout(pool=5))


async def test_no_byte_of_a_request_goes_to_a_wrong_certificate(authority: Authority, ca: Path) -> None:
    with StrictServer(authority.server_context()) as server:
        async with aioreq.Client(tls=TLS(ca=ca, fingerprint=OTHER)) as client:
            with pytest.raises(aioreq.CertificateError):
                await client.get(server.url)
    # The handshake was whole for the server, and nothing came behind it.
    assert server.ends in (["FIN"], ["close_notify"])
    assert server.received == b""


async def test_a_pin_decides_alone_where_nobody_verifies(serving: Callable[[bytes], ssl.SSLContext]) -> None:
    pem = self_signed(begins=-2)  # for no host, by nobody
    tls = TLS(verify=False, fingerprint=fingerprint_of(pem))
    async with Server(tls=serving(pem), routes=httpbin) as server, aioreq.Client(tls=tls) as client:
        assert (await client.get(server.url + "/id/1")).text == "1"


async def test_a_pin_replaces_no_authority(serving: Callable[[bytes], ssl.SSLContext]) -> None:
    pem = self_signed(x509.IPAddress(IPv4Address("127.0.0.1")))
    async with Server(tls=serving(pem), routes=httpbin) as server:
        async with aioreq.Client(tls=TLS(fingerprint=fingerprint_of(pem))) as client:
            with pytest.raises(aioreq.CertificateError, match="self-signed certificate"):
                await client.get(server.url)
        assert server.requests == []


async def test_pins_and_names_go_with_an_own_context(authority: Authority, serving: Callable[[bytes], ssl.SSLContext]) -> None:
    pem = authority.issue("elsewhere.example")
    context = authority.client_context()
    right = TLS(context=context, fingerprint=fingerprint_of(pem), server_hostname="elsewhere.example")
    async with Server(tls=serving(pem), routes=httpbin) as server, aioreq.Client(retry=0) as client:
        assert (await client.get(server.url + "/id/1", tls=right)).text == "1"
        for wrong in (TLS(context=context, fingerprint=OTHER, server_hostname="elsewhere.example"), TLS(context=context)):
            with pytest.raises(aioreq.CertificateError):
                await client.get(server.url + "/id/2", tls=wrong)
        assert len(server.requests) == 1


async def test_a_pin_is_checked_through_a_tunnel(
    authority: Authority, ca: Path, serving: Callable[[bytes], ssl.SSLContext], squid: Any
) -> None:
    pem = authority.issue("localhost", "127.0.0.1")
    async with Server(tls=serving(pem), routes=httpbin) as server, aioreq.Client(proxy=Proxy(squid.url), retry=0) as client:
        assert (await client.get(server.url + "/id/1", tls=TLS(ca=ca, fingerprint=fingerprint_of(pem)))).text == "1"
        with pytest.raises(aioreq.CertificateError, match=f"fingerprint {fingerprint_of(pem).hex()}, not {OTHER}"):
            await client.get(server.url + "/id/2", tls=TLS(ca=ca, fingerprint=OTHER))
        assert len(server.requests) == 1


async def test_a_proxy_has_pins_of_its_own(squid_tls: Any, server: Server) -> None:
    wrong = Proxy(squid_tls.url, tls=TLS(ca=squid_tls.ca, fingerprint=OTHER))
    async with aioreq.Client(proxy=wrong, retry=0) as client:
        with pytest.raises(aioreq.CertificateError, match=f"the certificate of proxy .* not {OTHER}"):
            await client.get(server.url)
        assert server.requests == []


# Names


async def test_another_name_than_the_urls(authority: Authority, ca: Path) -> None:
    asked = []
    context = authority.server_context("api.example.com")
    context.sni_callback = lambda connection, name, context: asked.append(name)
    async with Server(tls=context, routes=httpbin) as server, aioreq.Client(retry=0) as client:
        for name in ("api.example.com", "API.example.com.", "api.example.com"):
            assert (await client.get(server.url + "/id/1", tls=TLS(ca=ca, server_hostname=name))).text == "1"
        assert server.accepted == 1
        with pytest.raises(aioreq.CertificateError, match=r"is not valid for 'other\.example\.com': Host.*; it is for 'api\.example\.com'"):
            await client.get(server.url, tls=TLS(ca=ca, server_hostname="other.example.com"))
        # The request itself is for the URL's host.
        assert server.requests[0].header("host") == f"127.0.0.1:{server.port}"
    assert asked == ["api.example.com", "other.example.com"]


async def test_an_address_as_the_name(authority: Authority, ca: Path) -> None:
    async with Server(tls=authority.server_context("10.1.2.3", "::5"), routes=httpbin) as server, aioreq.Client() as client:
        for name in ("10.1.2.3", "::5"):
            assert (await client.get(server.url + "/id/1", tls=TLS(ca=ca, server_hostname=name))).text == "1"


async def test_an_internationalised_name(authority: Authority, ca: Path) -> None:
    async with Server(tls=authority.server_context("xn--bcher-kva.example"), routes=httpbin) as server, aioreq.Client() as client:
        assert (await client.get(server.url + "/id/1", tls=TLS(ca=ca, server_hostname="bücher.example"))).text == "1"


async def test_settings_are_part_of_a_connections_identity(
    authority: Authority, ca: Path, serving: Callable[[bytes], ssl.SSLContext]
) -> None:
    pem = authority.issue("localhost", "127.0.0.1")
    digest = fingerprint_of(pem)
    settings = [
        TLS(ca=ca),
        TLS(verify=False),
        TLS(ca=ca, fingerprint=digest),
        TLS(verify=False, fingerprint=digest),
        TLS(ca=ca, server_hostname="localhost"),
    ]
    async with Server(tls=serving(pem), routes=httpbin) as server, aioreq.Client() as client:
        for tls in settings * 2:
            await client.get(server.url + "/id/1", tls=tls)
        assert [request.connection for request in server.requests] == [1, 2, 3, 4, 5] * 2


@pytest.mark.parametrize("first", [True, False])
async def test_verified_and_unverified_requests_never_share(authority: Authority, ca: Path, first: bool) -> None:
    """A connection that nobody verified must not serve a request that wants it verified, and the other way round."""
    async with Server(tls=authority.server_context("example.com"), routes=httpbin) as server, aioreq.Client(verify=ca, retry=0) as client:
        for verify in (first, not first, first):
            if verify:
                with pytest.raises(aioreq.CertificateError):
                    await client.get(server.url + "/id/1", headers={"Authorization": "secret"})
            else:
                assert (await client.get(server.url + "/id/2", verify=False)).text == "2"
        assert {request.path for request in server.requests} == {"/id/2"}
    async with Server(tls=authority, routes=httpbin) as server, aioreq.Client(verify=ca) as client:
        for verify in (first, not first) * 2:
            await client.get(server.url + "/id/1", verify=ca if verify else False)
        assert [request.connection for request in server.requests] == [1, 2, 1, 2]


@pytest.mark.parametrize(
    ("fingerprint", "kind"),
    [
        ("", ValueError),
        ("ab" * 31, ValueError),
        ("ab" * 33, ValueError),
        ("xy" * 32, ValueError),
        (b"ab" * 32, ValueError),
        ("sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", ValueError),
        ([], ValueError),
        (["ab" * 32, ""], ValueError),
        (5, TypeError),
        ([5], TypeError),
        (True, TypeError),
    ],
)
def test_what_is_no_fingerprint(fingerprint: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"TLS\(fingerprint=\.\.\.\)"):
        TLS(fingerprint=fingerprint)


@pytest.mark.parametrize(
    "name", ["", ".", "a..b", ".a", "a b", "a\nb", "a\0", "https://a", "a:443", "[::1]", "a/", "ü..de", "a" * 64, "*.a", "\ud800"]
)
def test_what_is_no_server_name(name: str) -> None:
    with pytest.raises(ValueError, match=r"TLS\(server_hostname='.*(is no host name|is no domain name)"):
        TLS(server_hostname=name)
    with pytest.raises(TypeError, match=r"TLS\(server_hostname=\.\.\.\) takes a host name, not bytes"):
        TLS(server_hostname=name.encode("utf-8", "surrogatepass"))  # type: ignore[arg-type]


# Errors


OURS = "issued by 'aioreq testing CA', valid from 20* to 20* UTC"
BY_NAME = f"{OURS} (if the server goes by another name, give TLS(server_hostname=...))"
UNKNOWN = "(nobody who is trusted has signed it; TLS(ca=...) trusts an authority of your own)"
REFUSED: dict[str, tuple[Callable[[Authority], bytes], str]] = {
    "expired": (
        lambda authority: authority.issue("127.0.0.1", days=-1),
        f"certificate has expired; it is for '127.0.0.1', {OURS} (this machine's clock says 20* UTC)",
    ),
    "wrong host": (
        lambda authority: authority.issue("example.com", "*.example.net"),
        "IP address mismatch, certificate is not valid for '127.0.0.1'; it is for 'example.com', '[*].example.net', " + BY_NAME,
    ),
    "many names": (
        lambda authority: authority.issue(*[f"{n}.example" for n in range(50)]),
        f"*; it is for '0.example', '1.example', *'7.example' and 42 more, {OURS}*",
    ),
    "unknown authority": (
        lambda authority: Authority("Other CA").issue("127.0.0.1"),
        f"unable to get local issuer certificate; it is for '127.0.0.1', issued by 'Other CA', valid from * {UNKNOWN}",
    ),
    "self-signed": (
        lambda authority: self_signed(x509.DNSName("localhost")),
        f"self-signed certificate; it is for 'localhost', issued by 'me\\nmyself', valid from * {UNKNOWN}",
    ),
}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
@pytest.mark.parametrize(("issue", "expected"), REFUSED.values(), ids=REFUSED)
async def test_a_refused_certificate_is_described(
    authority: Authority,
    ca: Path,
    serving: Callable[[bytes], ssl.SSLContext],
    issue: Callable[[Authority], bytes],
    expected: str,
    version: ssl.TLSVersion,
) -> None:
    context = serving(issue(authority))
    context.maximum_version = version
    with StrictServer(context) as server:
        async with aioreq.Client(verify=ca, retry=0) as client:
            with pytest.raises(aioreq.CertificateError) as caught:
                await client.get(server.url)
    error = str(caught.value)
    assert error.startswith(f"the certificate of 127.0.0.1:{server.port} is not valid for '127.0.0.1': ")
    assert like(error.partition("'127.0.0.1': ")[2], expected), error
    assert "\n" not in error
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
    assert server.received == b""


def like(text: str, pattern: str) -> bool:
    """Whether the pieces between the pattern's asterisks (but for one in brackets) stand in the text, in order and up to both ends."""
    pieces = [piece.replace("\0", "*") for piece in pattern.replace("[*]", "\0").split("*")]
    at = 0
    for piece in pieces:
        at = text.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return text.startswith(pieces[0]) and text.endswith(pieces[-1])


async def test_a_certificate_that_is_not_valid_yet(tmp_path: Path, serving: Callable[[bytes], ssl.SSLContext]) -> None:
    pem = self_signed(x509.IPAddress(IPv4Address("127.0.0.1")), begins=1, ends=2)
    context = serving(pem)
    async with Server(tls=context) as server, aioreq.Client(verify=tmp_path / "server.pem", retry=0) as client:
        with pytest.raises(aioreq.CertificateError, match=r"certificate is not yet valid; .* \(this machine's clock says"):
            await client.get(server.url)


async def test_an_own_context_hides_what_was_offered(authority: Authority) -> None:
    """It is used as it is: nothing is hung into it. The reason is told all the same."""
    own = authority.client_context()
    async with Server(tls=authority.server_context("example.com")) as server, aioreq.Client(verify=own, retry=0) as client:
        with pytest.raises(aioreq.CertificateError, match=r"not valid for '127\.0\.0\.1': IP address mismatch"):
            await client.get(server.url)
    assert own.sslobject_class is ssl.SSLObject


async def test_no_tls_version_in_common(authority: Authority, ca: Path) -> None:
    context = authority.server_context()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # or OpenSSL wouldn't speak TLS 1.1 at all
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with StrictServer(context) as server:
        async with aioreq.Client(verify=ca, retry=0) as client:
            with pytest.raises(
                aioreq.TLSError, match=r"handshake with .* failed: .*\(the two sides have no TLS version in common"
            ) as caught:
                await client.get(server.url)
    assert type(caught.value) is aioreq.TLSError


async def test_a_name_that_the_server_does_not_know(authority: Authority, ca: Path) -> None:
    context = authority.server_context()
    context.sni_callback = lambda connection, name, context: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    with StrictServer(context) as server:
        async with aioreq.Client(tls=TLS(ca=ca, server_hostname="nobody.example"), retry=0) as client:
            with pytest.raises(aioreq.TLSError, match=r"unrecognized name \(it doesn't know that name; TLS\(server_hostname"):
                await client.get(server.url)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
async def test_a_client_certificate_that_is_missing(authority: Authority, ca: Path, version: ssl.TLSVersion, method: str) -> None:
    """In TLS 1.3 the alert comes when the client's side of the handshake is over: before, during or after the request is written."""
    context = authority.server_context(client_certificate=True)
    context.maximum_version = version
    with StrictServer(context) as server:
        async with aioreq.Client(verify=ca, retry=0) as client:
            for _ in range(10):
                with pytest.raises(
                    aioreq.TLSError, match=r"handshake with .*: alert .*\(.*it wants a client certificate: give TLS\(cert=\.\.\.\)\)$"
                ) as caught:
                    await client.request(method, server.url, content=b"x" * 1000 if method == "POST" else None)
                assert type(caught.value) is aioreq.TLSError
                assert caught.value.request is not None
                assert f"127.0.0.1:{server.port}" in str(caught.value)


async def test_a_client_certificate_that_is_refused(authority: Authority, ca: Path, tmp_path: Path) -> None:
    pem = tmp_path / "client.pem"
    pem.write_bytes(Authority("Other CA").issue("me"))
    with StrictServer(authority.server_context(client_certificate=True)) as server:
        async with aioreq.Client(tls=TLS(ca=ca, cert=pem), retry=0) as client:
            with pytest.raises(aioreq.TLSError, match=r"alert unknown ca \(it doesn't accept the client certificate of TLS\(cert=\.\.\.\)"):
                await client.get(server.url)


def alert(code: int) -> bytes:
    """A fatal alert (RFC 8446 section 6), in the record that a server sends in answer to a ClientHello."""
    return bytes([21, 3, 3, 0, 2, 2, code])


ALERTS = {
    40: "alert handshake failure (the two sides have no cipher or key exchange in common, or it wants a client certificate: give TLS(",
    70: "alert protocol version (the two sides have no TLS version in common",
    80: "alert internal error",
    112: "unrecognized name (it doesn't know that name; TLS(server_hostname=...) asks for another)",
    120: "alert no application protocol (it doesn't offer HTTP/1.1 here)",
}


@pytest.mark.parametrize("code", ALERTS)
async def test_an_alert_in_words(tls_server: Server, code: int) -> None:
    tls_server.script(ReadBytes(1), alert(code), Stall(), below_tls=True)
    async with aioreq.Client(retry=0, verify=tls_server.ca or True) as client:
        with pytest.raises(aioreq.TLSError) as caught:
            await client.get(tls_server.url)
    assert f"the TLS handshake with 127.0.0.1:{tls_server.port} failed: {ALERTS[code]}" in str(caught.value)


async def test_a_server_that_is_none_of_tls(server: Server) -> None:
    async with aioreq.Client(retry=0) as client:
        with pytest.raises(aioreq.TLSError, match=r"failed: [a-z ]+ \(does it speak TLS on this port\?\)$"):
            await client.get(f"https://127.0.0.1:{server.port}/")


# The deadline


@pytest.mark.parametrize("steps", [(Stall(),), (ReadBytes(1), b"\x16\x03\x03\x00\x7a\x02", Stall())], ids=["silence", "half a record"])
async def test_a_handshake_that_stalls(tls_server: Server, steps: Any) -> None:
    tls_server.script(*steps, below_tls=True)
    async with aioreq.Client(retry=0, verify=tls_server.ca or True, limits=Limits(connections=1)) as client:
        with pytest.raises(aioreq.ConnectTimeout, match=r"within 0\.2 s: during the TLS handshake with 127\.0\.0\.1"):
            await client.get(tls_server.url, timeout=Timeout(connect=0.2))
        assert (await client.get(tls_server.url + "/id/1", timeout=Timeout(pool=5))).text == "1"


async def test_a_client_that_is_closed_during_a_handshake(tls_server: Server) -> None:
    tls_server.script(Stall(), below_tls=True, times=3)
    client = aioreq.Client(retry=0, verify=tls_server.ca or True)
    requests = [asyncio.create_task(client.get(tls_server.url)) for _ in range(3)]
    await tls_server.until(lambda: tls_server.accepted == 3)
    requests[0].cancel()
    await client.close()
    results = await asyncio.gather(*requests, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert [type(result) for result in results[1:]] == [aioreq.ClientClosed] * 2
    await tls_server.until(lambda: not tls_server.connections)


async def test_a_handshake_through_a_tunnel_that_stalls(tls_server: Server, squid: Any) -> None:
    tls_server.script(Stall(), below_tls=True)
    async with aioreq.Client(retry=0, verify=tls_server.ca or True, proxy=squid.url) as client:
        with pytest.raises(aioreq.ConnectTimeout, match=rf"during the TLS handshake with 127\.0\.0\.1:{tls_server.port}"):
            await client.get(tls_server.url, timeout=Timeout(connect=0.3))
