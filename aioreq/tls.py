"""TLS contexts: one for each distinct setting, made once, off the loop. Knows no connection, and not whom the system trusts."""

from __future__ import annotations

import os
import ssl
import threading
from dataclasses import replace
from typing import TypeAlias

from . import threads
from .certificates import TellingObject
from .config import TLS
from .errors import TLSError
from .trust import NAMED_BY, system_context

__all__ = ["context_for"]

_CACHED = 64  # contexts hold a parsed trust store each, about a megabyte
_ENVIRONMENT = ("SSLKEYLOGFILE", *NAMED_BY)
_Identity: TypeAlias = tuple[TLS, tuple[str | None, ...]]

_contexts: dict[_Identity, ssl.SSLContext] = {}
_lock = threading.Lock()


async def context_for(settings: TLS) -> ssl.SSLContext:
    """The context of these settings, shared by everyone who uses equal ones. Errors: TLSError that names the file at fault."""
    if settings.context is not None:
        return settings.context
    if settings.fingerprint is not None or settings.server_hostname is not None:
        settings = replace(settings, fingerprint=None, server_hostname=None)  # they are no matter of the context
    # The environment is part of the identity: a key log switched on later must not miss connections.
    identity = (settings, tuple(map(os.environ.get, _ENVIRONMENT)))
    context = _contexts.get(identity)
    return await threads.run(_shared, identity) if context is None else context


def _shared(identity: _Identity) -> ssl.SSLContext:
    with _lock:  # whoever comes second, on whatever loop, finds what the first one made
        context = _contexts.get(identity)
        if context is None:
            settings, environment = identity
            context = _contexts[identity] = _make(settings, environment[0])
            while len(_contexts) > _CACHED:
                del _contexts[next(iter(_contexts))]
        return context


def _make(settings: TLS, keylog: str | None) -> ssl.SSLContext:
    context = system_context() if settings.verify and settings.ca is None else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslobject_class = TellingObject
    context.set_alpn_protocols(["http/1.1"])
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif settings.ca is not None:
        try:
            if os.path.isdir(settings.ca):
                context.load_verify_locations(capath=settings.ca)
            else:
                context.load_verify_locations(cafile=settings.ca)
        except (OSError, ssl.SSLError) as error:
            raise TLSError(f"the CA certificates at {os.fspath(settings.ca)!r} can't be loaded: {error}") from error
    if settings.cert is not None:
        path, *rest = settings.cert if isinstance(settings.cert, tuple) else (settings.cert,)
        key, password = (*rest, None, None)[:2]
        try:
            # Without a password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(path, key, _missing_password if password is None else password)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise TLSError(f"the client certificate {os.fspath(path)!r} can't be loaded: {error}") from error
    keylog_file = settings.keylog or keylog
    if keylog_file:
        try:
            context.keylog_filename = os.fspath(keylog_file)
        except OSError as error:
            raise TLSError(f"the key log {os.fspath(keylog_file)!r} can't be written: {error}") from error
    return context


def _missing_password() -> str:
    raise ValueError("its key is encrypted: give TLS(cert=(certificate, key, password))")


def _forget_lock() -> None:
    # A forked child may have it from a thread that it doesn't have.
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)
