"""Whom a verified connection believes: the system's trust store, and the bundled one only where the system has none. Makes contexts for
`tls`; knows no settings and no connection.

A context is filled once, when it is made: what changes on the disk afterwards is seen by the next process.
"""

from __future__ import annotations

import os
import re
import ssl
import sys

from .errors import TLSError

__all__ = ["NAMED_BY", "native_context", "system_context"]

NAMED_BY = ("SSL_CERT_FILE", "SSL_CERT_DIR")  # OpenSSL's own variables
NATIVE = sys.platform in ("darwin", "win32")  # where certificates are verified by calls to the system, not kept in files
# Where systems keep the bundle that OpenSSL wasn't told of when it was built.
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Gentoo, Alpine
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "/etc/pki/tls/certs/ca-bundle.crt",  # older Fedora, RHEL and CentOS
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # Alpine, OpenBSD, FreeBSD
    "/usr/local/etc/ssl/cert.pem",  # FreeBSD
    "/usr/local/share/certs/ca-root-nss.crt",  # FreeBSD's package of Mozilla's list
    "/etc/openssl/certs/ca-certificates.crt",  # NetBSD
)
_HASHED = re.compile(
    r"[0-9a-f]{8}\.[0-9]+", re.IGNORECASE
)  # how `openssl rehash` names certificates; OpenSSL finds no others in a directory


def system_context() -> ssl.SSLContext:
    """A client's context that believes whom the system believes, or whom SSL_CERT_FILE and SSL_CERT_DIR name. Errors: TLSError."""
    if NATIVE and not any(map(os.environ.get, NAMED_BY)):
        try:
            return native_context()
        except ImportError:
            pass  # a system too old for it
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if _load_openssls(context):
        return context
    for path in (*BUNDLES, _bundled()):
        if path is not None and _load(context, path):
            return context
    raise TLSError(
        "no CA certificates were found to verify servers with, neither at OpenSSL's default locations nor where systems keep theirs: "
        "install the system's package 'ca-certificates' or the Python package 'certifi', or name a file by TLS(ca=...) or SSL_CERT_FILE"
    )


def native_context() -> ssl.SSLContext:
    """A client's context whose certificates macOS or Windows verifies (elsewhere: OpenSSL, anew for each handshake)."""
    import truststore

    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _load_openssls(context: ssl.SSLContext) -> bool:
    """Trust what the environment names, and where it names nothing the places that OpenSSL was built with; False if nothing is there."""
    places = ssl.get_default_verify_paths()
    file, folders = map(os.environ.get, NAMED_BY)
    if file:
        try:
            context.load_verify_locations(cafile=file)
        except (OSError, ssl.SSLError) as error:
            raise TLSError(f"the CA certificates at {file!r}, which SSL_CERT_FILE names, can't be loaded: {error}") from error
    found = bool(file) or _load(context, places.openssl_cafile)
    if _hold_certificates(folders or places.openssl_capath):
        context.load_verify_locations(capath=folders or places.openssl_capath)
        return True
    if folders and not file:
        raise TLSError(f"SSL_CERT_DIR={folders!r} names no directory with certificates in it, as `openssl rehash` names them")
    return found


def _load(context: ssl.SSLContext, path: str) -> bool:
    try:
        context.load_verify_locations(cafile=path)
    except (OSError, ssl.SSLError):
        return False  # not there, not ours to read, or empty: the next place may be better
    return True


def _hold_certificates(folders: str) -> bool:
    for folder in folders.split(os.pathsep):
        try:
            with os.scandir(folder) as entries:
                if any(_HASHED.fullmatch(entry.name) for entry in entries):
                    return True
        except OSError:
            pass
    return False


def _bundled() -> str | None:
    try:
        import certifi
    except ImportError:
        return None
    return certifi.where()
