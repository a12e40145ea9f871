"""A throw-away certificate authority for tests. Imported only when TLS is asked for: the one module here that needs a package."""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
import tempfile

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
except ImportError as error:
    raise ImportError("a TLS test server needs the package 'cryptography' for its certificate: pip install 'aioreq[test]'") from error

__all__ = ["Authority"]

_LOCAL = ("localhost", "127.0.0.1", "::1")


class Authority:
    """A CA made for this run: `pem` is its certificate, to be trusted; `issue()` makes certificates that it signs."""

    def __init__(self, name: str = "aioreq testing CA") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            self._builder(self._name, self._key.public_key(), days=1)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, *names: str, days: float = 1) -> bytes:
        """The PEM of a new key and its certificate for these host names and addresses; with negative `days` it has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._builder(_name(names[0][:64]), key.public_key(), days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return private + certificate.public_bytes(pem)

    def server_context(self, *names: str, days: float = 1, client_certificate: bool = False) -> ssl.SSLContext:
        """A server's context with a new certificate (localhost, 127.0.0.1, ::1 unless named); it may demand one from clients."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # ssl loads a certificate from files only.
        with tempfile.TemporaryDirectory(prefix="aioreq-testing-") as folder:
            path = os.path.join(folder, "server.pem")
            with open(path, "wb") as file:
                file.write(self.issue(*(names or _LOCAL), days=days))
            context.load_cert_chain(path)
        if client_certificate:
            context.load_verify_locations(cadata=self.pem.decode())
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client_context(self) -> ssl.SSLContext:
        """A client's context that trusts this authority and nothing else."""
        return ssl.create_default_context(cadata=self.pem.decode())

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, days: float) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        end = now + datetime.timedelta(days=days)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            # A day back: clocks differ, and an expired certificate still begins before it ends.
            .not_valid_before(min(now, end) - datetime.timedelta(days=1))
            .not_valid_after(end)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
