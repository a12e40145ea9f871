"""TLS contexts: one for each distinct setting, made once, off the loop. Knows no connection."""

from __future__ import annotations

import os
import ssl
import threading

from . import threads
from .config import TLS
from .errors import TLSError

__all__ = ["context_for"]

_CACHED = 64  # contexts hold a parsed trust store each, about a megabyte
_contexts: dict[tuple[TLS, str | None], ssl.SSLContext] = {}
_lock = threading.Lock()


async def context_for(settings: TLS) -> ssl.SSLContext:
    """The context of these settings, shared by everyone who uses equal ones. Errors: TLSError that names the file at fault."""
    if settings.context is not None:
        return settings.context
    # The environment is part of the identity: a key log switched on later must not miss connections.
    identity = (settings, os.environ.get("SSLKEYLOGFILE"))
    context = _contexts.get(identity)
    if context is None:
        context = await threads.run(_make, settings, identity[1])
        with _lock:
            context = _contexts.setdefault(identity, context)
            while len(_contexts) > _CACHED:
                del _contexts[next(iter(_contexts))]
    return context


def _make(settings: TLS, keylog: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        if not settings.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif settings.ca is None:
            context.load_default_certs()  # heeds SSL_CERT_FILE and SSL_CERT_DIR
        elif os.path.isdir(settings.ca):
            context.load_verify_locations(capath=settings.ca)
        else:
            context.load_verify_locations(cafile=settings.ca)
    except (OSError, ssl.SSLError) as error:
        raise TLSError(f"the CA certificates at {os.fspath(settings.ca or 'the system default')!r} can't be loaded: {error}") from error
    if settings.cert is not None:
        cert = settings.cert if isinstance(settings.cert, tuple) else (settings.cert,)
        try:
            context.load_cert_chain(*cert)
        except (OSError, ssl.SSLError) as error:
            raise TLSError(f"the client certificate {os.fspath(cert[0])!r} can't be loaded: {error}") from error
    keylog_file = settings.keylog or keylog
    if keylog_file:
        try:
            context.keylog_filename = os.fspath(keylog_file)
        except OSError as error:
            raise TLSError(f"the key log {os.fspath(keylog_file)!r} can't be written: {error}") from error
    return context
