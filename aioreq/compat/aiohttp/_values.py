"""Small values that requests and responses share: what a connection is to, whom a certificate must be of. Know no session."""

from __future__ import annotations

import asyncio
import warnings
from hashlib import sha256
from ssl import SSLContext
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from yarl import URL

from ...config import TLS
from .client_exceptions import ServerFingerprintMismatch

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

    from .helpers import BasicAuth

__all__ = ["ConnectionKey", "ContentDisposition", "Fingerprint", "RequestInfo", "SSLTypes", "merged_ssl", "ssl_of", "tls_of"]

_VERIFIED, _UNVERIFIED = TLS(), TLS(verify=False)


class ContentDisposition(NamedTuple):
    """What a Content-Disposition field says (RFC 6266)."""

    type: str | None
    parameters: MappingProxyType[str, str]
    filename: str | None


class _RequestInfo(NamedTuple):
    url: URL
    method: str
    headers: CIMultiDictProxy[str]
    real_url: URL


class RequestInfo(_RequestInfo):
    """What was sent: `url` is without the fragment, which `real_url` has."""

    __slots__ = ()

    def __new__(cls, url: URL, method: str, headers: CIMultiDictProxy[str], real_url: URL | None = None) -> RequestInfo:
        """`real_url` is `url` where it isn't given."""
        return tuple.__new__(cls, (url, method, headers, url if real_url is None else real_url))


class Fingerprint:
    """The SHA-256 digest, 32 bytes, of the only certificate that is accepted; no authority is asked about it."""

    def __init__(self, fingerprint: bytes) -> None:
        if len(fingerprint) in (16, 20):
            raise ValueError("md5 and sha1 are insecure and not supported. Use sha256.")
        if len(fingerprint) != 32:
            raise ValueError("fingerprint has invalid length")
        self._fingerprint = fingerprint

    @property
    def fingerprint(self) -> bytes:
        """The digest."""
        return self._fingerprint

    def check(self, transport: asyncio.BaseTransport) -> None:
        """Look at the certificate of a transport, if it has one. Errors: ServerFingerprintMismatch."""
        if not transport.get_extra_info("sslcontext"):
            return
        got = sha256(transport.get_extra_info("ssl_object").getpeercert(binary_form=True)).digest()
        if got != self._fingerprint:
            host, port, *_ = transport.get_extra_info("peername")
            raise ServerFingerprintMismatch(self._fingerprint, got, host, port)


SSLTypes = SSLContext | bool | Fingerprint


class ConnectionKey(NamedTuple):
    """What a connection is to, as errors tell it."""

    host: str
    port: int | None
    is_ssl: bool
    ssl: SSLTypes
    proxy: URL | None
    proxy_auth: BasicAuth | None
    proxy_headers_hash: int | None
    server_hostname: str | None = None


def merged_ssl(
    ssl: Any, verify_ssl: bool | None = None, ssl_context: SSLContext | None = None, fingerprint: bytes | None = None, stacklevel: int = 3
) -> SSLTypes:
    """What `ssl` and the three older arguments say together. Errors: TypeError, ValueError for more than one of them."""
    merged: Any = True if ssl is None else ssl
    for name, given, means, better in (
        ("verify_ssl", verify_ssl is not None and not verify_ssl, lambda: False, "ssl=False"),
        ("ssl_context", ssl_context is not None, lambda: ssl_context, "ssl=context"),
        ("fingerprint", fingerprint is not None, lambda: Fingerprint(fingerprint or b""), "ssl=Fingerprint(fingerprint)"),
    ):
        if given:
            warnings.warn(f"{name} is deprecated, use {better} instead", DeprecationWarning, stacklevel=stacklevel)
            if merged is not True:
                raise ValueError("verify_ssl, ssl_context, fingerprint and ssl parameters are mutually exclusive")
            merged = means()
    if not isinstance(merged, SSLContext | bool | Fingerprint):
        raise TypeError(f"ssl should be SSLContext, bool, Fingerprint or None, got {merged!r} instead.")
    return merged


def tls_of(ssl: SSLTypes, server_hostname: str | None = None, default: SSLTypes = True) -> TLS:
    """The same for the core; `default` is the connector's, whose fingerprint holds beside a request's own context."""
    pinned = ssl if isinstance(ssl, Fingerprint) else default if isinstance(default, Fingerprint) else None
    if ssl is True:
        ssl = default
    if pinned is None and server_hostname is None and isinstance(ssl, bool):
        return _VERIFIED if ssl else _UNVERIFIED
    pin = None if pinned is None else pinned.fingerprint
    if isinstance(ssl, SSLContext):
        return TLS(context=ssl, fingerprint=pin, server_hostname=server_hostname)
    return TLS(verify=ssl is True, fingerprint=pin, server_hostname=server_hostname)


def ssl_of(tls: TLS) -> SSLTypes:
    """And back, for errors."""
    if tls.fingerprint is not None:
        pins: Any = tls.fingerprint
        return Fingerprint(bytes.fromhex(pins[0]))
    return tls.verify if tls.context is None else tls.context
