"""Options as small frozen values, checked where they are made. Knows nothing of what reads them."""

from __future__ import annotations

import enum
import math
import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv6Address
from os import PathLike, fspath
from typing import Any, Final, Literal

__all__ = ["IDEMPOTENT", "TLS", "UNSET", "Limits", "Timeout", "Unset", "check_count", "check_seconds"]


class Unset(enum.Enum):
    """The type of `UNSET`: "not given", where None means something of its own (`json=None` sends `null`)."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> Literal[False]:
        return False


UNSET: Final = Unset.UNSET

_SERVER_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")

# RFC 9110 section 9.2.2.
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})


def check_seconds(owner: str, name: str, value: float | None) -> None:
    """Raise TypeError or ValueError that names the option, unless `value` is a number of seconds or None."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{owner}({name}=...) takes seconds or None, not {type(value).__name__}")
    if math.isnan(value) or value < 0:
        raise ValueError(f"{owner}({name}={value!r}): seconds can't be negative or NaN")


def check_count(owner: str, name: str, value: int, least: int = 0) -> None:
    """Raise TypeError or ValueError that names the option, unless `value` is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{owner}({name}=...) takes a whole number, not {type(value).__name__}")
    if value < least:
        raise ValueError(f"{owner}({name}={value}): must be at least {least}")


@dataclass(frozen=True, slots=True)
class Timeout:
    """Seconds each phase may take; None is no limit.

    `total` runs from the first granted connection slot to the last byte of the body, across redirects, retries and
    authentication. `pool` is the wait for a slot, `connect` DNS, TCP and TLS together, `acquire` all of these; `read` is the longest
    silence while bytes are wanted, `write` the longest time in which the peer takes no byte.

    >>> Timeout(total=30, read=5)
    Timeout(total=30, pool=None, connect=10, read=5, write=60, acquire=None)
    """

    total: float | None = None
    pool: float | None = None
    connect: float | None = 10
    read: float | None = 60
    write: float | None = 60
    acquire: float | None = None

    def __post_init__(self) -> None:
        for name in ("total", "pool", "connect", "read", "write", "acquire"):
            check_seconds("Timeout", name, getattr(self, name))

    @classmethod
    def of(cls, value: Timeout | float | None) -> Timeout:
        """A `Timeout` from what a user gives: a plain number bounds the whole request and the wait for a slot; None is no limit."""
        if isinstance(value, Timeout):
            return value
        if value is None:
            return cls(connect=None, read=None, write=None)
        check_seconds("Timeout", "total", value)
        return cls(total=value, pool=value, connect=value, read=None, write=None)


@dataclass(frozen=True, slots=True)
class Limits:
    """Everything that is bounded, by name.

    Connections: `connections` in all, `per_host` for each origin (0: no limit of its own), `idle` kept open and unused, closed after
    `idle_timeout` seconds; none begins an exchange when it is older than `lifetime` seconds (None: however old); `waiters` requests may
    wait for one. Names: `dns` answers of the resolver remembered, the least recently used forgotten first, for `dns_ttl` seconds
    (0 for either: none). Messages, in bytes unless said: `head` (status line and header section together), `headers` (a count of
    fields), `field` (the name or the value of one of a head; None: no limit of its own), `trailers`, `chunk_extensions` (all chunk
    extensions of one body), `informational` (a count of 1xx responses before the final one), `body` (a buffered response, decoded),
    `ratio` (decoded to encoded, applied past 8 MiB decoded).

    >>> Limits(per_host=6).connections
    100
    """

    connections: int = 100
    per_host: int = 0
    idle: int = 100
    idle_timeout: float = 15
    lifetime: float | None = None
    waiters: int = 100_000
    dns: int = 1024
    dns_ttl: float = 10
    head: int = 65536
    headers: int = 256
    field: int | None = None
    trailers: int = 16384
    chunk_extensions: int = 16384
    informational: int = 16
    body: int = 512 * 1024 * 1024
    ratio: int = 100

    def __post_init__(self) -> None:
        check_count("Limits", "connections", self.connections, 1)
        for name in ("per_host", "idle", "waiters", "dns", "head", "headers", "trailers", "chunk_extensions", "informational", "body"):
            check_count("Limits", name, getattr(self, name))
        check_count("Limits", "ratio", self.ratio, 1)
        if self.field is not None:
            check_count("Limits", "field", self.field)
        if self.dns_ttl is None:
            raise TypeError("Limits(dns_ttl=None): give seconds; 0 remembers no name")
        check_seconds("Limits", "dns_ttl", self.dns_ttl)
        if self.idle_timeout is None:
            raise TypeError("Limits(idle_timeout=None): give seconds; 0 keeps no connection")
        check_seconds("Limits", "idle_timeout", self.idle_timeout)
        check_seconds("Limits", "lifetime", self.lifetime)


@dataclass(frozen=True, slots=True)
class TLS:
    """How a TLS connection is made; equal values share connections, differing ones never do.

    `verify=False` accepts any certificate. `ca` is a file or directory of PEM certificates trusted in place of the system's. `cert` is
    a client certificate: a PEM path, or (certificate, key), or (certificate, key, password). `context` is an `ssl.SSLContext` of your
    own, used as it is. `keylog` is a file for the session secrets (default: the environment's SSLKEYLOGFILE). `fingerprint` is the SHA-256
    of the server's certificate (of its DER form) in hexadecimal digits, with or without colons, or as bytes; one of several may be wanted,
    for a rotation. It is checked besides the authority, and alone with `verify=False`. `server_hostname` is sent as the server's name
    (RFC 6066) and looked for in its certificate, in place of the URL's host. A request's own TLS holds at each hop of its redirects.

    >>> TLS(verify=False).verify
    False
    >>> TLS(fingerprint="AB:" * 31 + "AB") == TLS(fingerprint=b"\\xab" * 32)
    True
    """

    verify: bool = True
    ca: str | PathLike[str] | None = None
    cert: str | PathLike[str] | tuple[str, ...] | None = field(default=None, repr=False)
    context: ssl.SSLContext | None = None
    keylog: str | PathLike[str] | None = None
    fingerprint: str | bytes | Iterable[str | bytes] | None = None  # once checked: a tuple of lower-case digits
    server_hostname: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.verify, bool):
            raise TypeError("TLS(verify=...) takes True or False; Client(verify=...) also takes a context or a CA path")
        for name in ("ca", "keylog"):
            path: Any = getattr(self, name)
            if path is not None and not isinstance(path, str | PathLike):
                raise TypeError(f"TLS({name}=...) takes a path, not {type(path).__name__}")
        cert: Any = self.cert
        if not (cert is None or isinstance(cert, str | PathLike) or (isinstance(cert, tuple) and 1 <= len(cert) <= 3)):
            raise TypeError("TLS(cert=...) takes a path, (certificate, key) or (certificate, key, password), as a tuple")
        context: Any = self.context
        if context is not None and not isinstance(context, ssl.SSLContext):
            raise TypeError(f"TLS(context=...) takes an ssl.SSLContext, not {type(context).__name__}")
        if self.context is not None and (not self.verify or self.ca or self.cert or self.keylog):
            raise ValueError("TLS(context=...): set verify, ca, cert and keylog on the context itself")
        if self.fingerprint is not None:
            object.__setattr__(self, "fingerprint", _checked_pins(self.fingerprint))
        if self.server_hostname is not None:
            object.__setattr__(self, "server_hostname", _checked_name(self.server_hostname))

    @classmethod
    def of(cls, verify: bool | ssl.SSLContext | str | PathLike[str]) -> TLS:
        """A `TLS` from what a user gives as `verify=`: True, False, an `ssl.SSLContext` or a CA path."""
        if isinstance(verify, bool):
            return cls(verify=verify)
        if isinstance(verify, ssl.SSLContext):
            return cls(context=verify)
        try:
            return cls(ca=fspath(verify))
        except TypeError:
            raise TypeError(f"verify= takes True, False, an ssl.SSLContext or a CA path, not {type(verify).__name__}") from None


def _checked_pins(given: Any) -> tuple[str, ...]:
    pins = set()
    for pin in [given] if isinstance(given, str | bytes) or not isinstance(given, Iterable) else given:
        if not isinstance(pin, str | bytes):
            raise TypeError(f"TLS(fingerprint=...) takes hexadecimal digits, bytes or several of them, not {type(pin).__name__}")
        digits = pin.hex() if isinstance(pin, bytes) else pin.replace(":", "").lower()
        if len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
            raise ValueError(f"TLS(fingerprint=...): {pin!r} is no SHA-256 fingerprint, which has 64 hexadecimal digits or 32 bytes")
        pins.add(digits)
    if not pins:
        raise ValueError("TLS(fingerprint=...): no fingerprint would be accepted; None asks for none")
    return tuple(sorted(pins))


def _checked_name(given: Any) -> str:
    if not isinstance(given, str):
        raise TypeError(f"TLS(server_hostname=...) takes a host name, not {type(given).__name__}")
    name = given.removesuffix(".").lower()  # RFC 6066 section 3: without the dot of a name that is absolute
    if not name.isascii():
        import idna

        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise ValueError(f"TLS(server_hostname={given!r}) is no domain name ({error})") from error
    if not (_is_ipv6(name) if ":" in name else _SERVER_NAME.fullmatch(name)):
        raise ValueError(f"TLS(server_hostname={given!r}) is no host name: give one without scheme, port or brackets")
    return name


def _is_ipv6(text: str) -> bool:
    try:
        return IPv6Address(text).scope_id is None
    except AddressValueError:
        return False
