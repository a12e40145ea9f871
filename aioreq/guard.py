"""Which hosts, addresses and proxies a guarded client may reach. Judges names and addresses; resolves nothing, opens nothing.

The pool asks about the origin of each attempt, the dialer about each address before it connects and about the peer's afterwards, and
whoever picks a proxy about that one. What they ask is the Protocol `Guard`; the answer that comes with aioreq is `PublicOnly`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from inspect import iscoroutinefunction
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple, Protocol, runtime_checkable

from .config import check_count, check_seconds
from .errors import GuardError, InvalidURL
from .urls import DEFAULT_PORTS, Origin, authority, parse

__all__ = ["Guard", "PublicOnly", "guard_of", "refusal"]

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network

# The IANA IPv4 and IPv6 Special-Purpose Address Registries and what stands beside them: multicast, reserved. A table of our own, since
# what ipaddress takes for global differs between patch releases of Python. An address is named by the first block that holds it.
_SPECIAL = {
    "0.0.0.0/8": "this network (RFC 791)",
    "10.0.0.0/8": "private (RFC 1918)",
    "100.64.0.0/10": "shared by a carrier's customers (RFC 6598)",
    "127.0.0.0/8": "loopback (RFC 1122)",
    # In no registry: looks public, but answers from inside Azure's virtual machines alone, with their secrets.
    "168.63.129.16/32": "Azure's host of a virtual machine",
    "169.254.0.0/16": "link-local (RFC 3927), where clouds keep their metadata",
    "172.16.0.0/12": "private (RFC 1918)",
    "192.0.0.0/24": "for protocols of the IETF (RFC 6890)",
    "192.0.2.0/24": "for documentation (RFC 5737)",
    "192.88.99.0/24": "of 6to4 relays (RFC 7526)",
    "192.168.0.0/16": "private (RFC 1918)",
    "198.18.0.0/15": "for benchmarks (RFC 2544)",
    "198.51.100.0/24": "for documentation (RFC 5737)",
    "203.0.113.0/24": "for documentation (RFC 5737)",
    "224.0.0.0/4": "multicast (RFC 5771)",
    "255.255.255.255/32": "broadcast (RFC 919)",
    "240.0.0.0/4": "reserved (RFC 1112)",
    "::/128": "unspecified (RFC 4291)",
    "::1/128": "loopback (RFC 4291)",
    "::/96": "IPv4-compatible (RFC 4291)",
    "::ffff:0:0/96": "IPv4-mapped (RFC 4291)",
    "::ffff:0:0:0/96": "IPv4-translated (RFC 2765)",
    "64:ff9b::/96": "NAT64 (RFC 6052)",
    "64:ff9b:1::/48": "local NAT64 (RFC 8215)",
    "100::/64": "for discarding (RFC 6666)",
    "100:0:0:1::/64": "a dummy (RFC 9780)",
    "2001::/32": "Teredo (RFC 4380)",
    "2001::/23": "for protocols of the IETF (RFC 2928)",
    "2001:db8::/32": "for documentation (RFC 3849)",
    "2002::/16": "6to4 (RFC 3056)",
    "3fff::/20": "for documentation (RFC 9637)",
    "5f00::/16": "of segment routing (RFC 9602)",
    "fc00::/7": "private (RFC 4193)",
    "fe80::/10": "link-local (RFC 4291)",
    "fec0::/10": "site-local (RFC 3879)",
    "ff00::/8": "multicast (RFC 4291)",
    # Global unicast is 2000::/3; the rest is not given out.
    "::/3": "not global unicast (RFC 4291)",
    "4000::/2": "not global unicast (RFC 4291)",
    "8000::/1": "not global unicast (RFC 4291)",
}
_LAST_32_BITS = tuple(ip_network(block) for block in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48"))
_MAPPED = IPv6Network("::ffff:0:0/96")
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})  # RFC 5214 section 6.1: the upper half of an interface identifier, an IPv4 address below


@cache
def _special_blocks() -> tuple[tuple[_Network, str], ...]:
    return tuple((ip_network(block), why) for block, why in _SPECIAL.items())  # not at the start of a program that has no guard


@runtime_checkable
class Guard(Protocol):
    """What `Client(guard=...)` asks before it reaches out. Write one of your own, or subclass `PublicOnly`.

    One guard serves every request of a client, perhaps on several event loops at once: its answers depend on what it is asked alone, and
    it blocks nothing.
    """

    @property
    def max_body(self) -> int | None:
        """The most bytes of a body, decoded, read whole or streamed; None for no cap beyond the client's own."""

    @property
    def timeout(self) -> float | None:
        """The most seconds that a request may take in all, as `Timeout.total`; None for no cap beyond the client's own."""

    def check_origin(self, origin: Origin) -> None:
        """Raise GuardError unless requests may go to this scheme, host and port. Asked at each attempt and hop, before any lookup.

        `origin.host` is canonical: lower case, IDNA, an IPv6 address without brackets. It is all that can be seen of a host that a proxy
        resolves, so IP addresses in URLs are judged here.
        """

    def admits(self, host: str, port: int, address: str) -> bool:
        """Whether a connection for this host (the origin's, or an admitted proxy's) may go to one of its addresses.

        Asked about each address that the resolver gave, and after connecting about the peer's.
        """

    def admits_proxy(self, host: str, port: int) -> bool:
        """Whether this proxy may be used. It looks names up itself, so that nothing but `check_origin` stands behind it."""


class _Entry(NamedTuple):
    """One entry of `allow` or `deny`: a name or a network, on one port or (None) on every one."""

    text: str
    name: str
    below: bool  # the hosts below that name: `*.name`
    network: _Network | None
    port: int | None

    def names(self, host: str, port: int) -> bool:
        if not self.name or self.port not in (None, port):
            return False
        return host.endswith("." + self.name) if self.below else host == self.name

    def covers(self, address: _Address, port: int) -> bool:
        return self.network is not None and self.port in (None, port) and address in self.network


@dataclass(frozen=True, slots=True)
class PublicOnly:
    """A guard against requests that others forge (SSRF): only public addresses are reached, at each redirect, retry and lookup anew.

    `allow` and `deny` hold host names ("internal.example", "*.corp.example" for what is below it), addresses and networks
    ("10.0.0.0/8"), each with a port where it is for that one alone ("10.0.0.5:8080", "[fd00::1]:443"). A name in `allow` may have any
    address; a proxy is used only if `allow` names it, in full. `deny` wins over all else. `schemes` and `ports` (None: every one) are
    those of URLs; what `allow` names with a port is exempt from `ports`. `max_body` (bytes, decoded) and `timeout` (seconds in all) hold
    wherever the client's or the request's own are absent or larger; None caps nothing.

    >>> guard = PublicOnly(allow=["internal.example:8080"], ports={80, 443})
    >>> guard.admits("example.com", 443, "169.254.169.254")
    False
    >>> guard.why("example.com", 443, "169.254.169.254")
    '169.254.169.254 is in 169.254.0.0/16: link-local (RFC 3927), where clouds keep their metadata'
    >>> guard.admits("internal.example", 8080, "10.0.0.5")
    True
    """

    allow: Collection[str] = ()
    deny: Collection[str] = ()
    schemes: Collection[str] = ("http", "https")
    ports: Collection[int] | None = None
    max_body: int | None = 10 * 1024 * 1024
    timeout: float | None = 30
    _allowed: tuple[_Entry, ...] = field(init=False, repr=False, compare=False)
    _denied: tuple[_Entry, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        def settle(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        for name in ("allow", "deny", "schemes"):
            settle(name, _texts(name, getattr(self, name)))
        settle("_allowed", tuple(_entry("allow", text) for text in self.allow))
        settle("_denied", tuple(_entry("deny", text) for text in self.deny))
        for scheme in self.schemes:
            if scheme not in DEFAULT_PORTS:
                raise ValueError(f"PublicOnly(schemes=...): {scheme!r} is neither 'http' nor 'https'")
        if self.ports is not None:
            ports: Any = self.ports
            if isinstance(ports, str | bytes) or not isinstance(ports, Iterable):
                raise TypeError(f"PublicOnly(ports=...) takes a set of numbers, not {type(ports).__name__}")
            ports = set(ports)
            for port in ports:
                check_count("PublicOnly", "ports", port, 1)
                if port > 65535:
                    raise ValueError(f"PublicOnly(ports=...): {port} is above 65535")
            settle("ports", tuple(sorted(ports)))
        if self.max_body is not None:
            check_count("PublicOnly", "max_body", self.max_body)
        check_seconds("PublicOnly", "timeout", self.timeout)

    def check_origin(self, origin: Origin) -> None:
        """Raise GuardError for a scheme or port that isn't admitted, a denied name, an address that isn't public."""
        scheme, host, port = origin
        where = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        if scheme not in self.schemes:
            raise GuardError(f"the guard refuses {where}: it admits {_listed(self.schemes)} alone; see PublicOnly(schemes=...)")
        name, address = host.rstrip("."), _literal(host)
        if denied := _naming(self._denied, name, port):
            raise GuardError(f"the guard refuses {where}: {denied.text!r} is in its deny=")
        if self.ports is not None and port not in self.ports and not self._exempt(name, address, port):
            raise GuardError(
                f"the guard refuses {where}: it admits port {_listed(self.ports)} alone; see PublicOnly(ports=...), or "
                f"name this host with its port in allow="
            )
        if address is not None and not self.admits(host, port, host):
            raise refusal(self, host, port, [host])

    def admits(self, host: str, port: int, address: str) -> bool:
        """Whether this address of the host may be connected to: `why` tells why not."""
        return self.why(host, port, address) is None

    def why(self, host: str, port: int, address: str) -> str | None:
        """Why this address of the host is refused; None where it is admitted."""
        outer = _literal(address)
        if outer is None:
            return f"{address!r} is no IP address"
        name = host.rstrip(".")
        if denied := _naming(self._denied, name, port):
            return f"{denied.text!r} is in deny="
        # What an address embeds is where its packets may end up: both must be admitted.
        involved = [outer, *_embedded(outer)]
        for each in involved:
            if denied := _covering(self._denied, each, port):
                return f"{_said(outer, each)} is denied by {denied.text!r} in deny="
        if _naming(self._allowed, name, port):
            return None
        for each in involved:
            if not _covering(self._allowed, each, port) and (block := _special(each)):
                return f"{_said(outer, each)} is {block}"
        return None

    def admits_proxy(self, host: str, port: int) -> bool:
        """Whether `allow` names this proxy: by its full name or its address, no wildcard and no network; and `deny` doesn't."""
        name, address = host.rstrip("."), _literal(host)
        if _naming(self._denied, name, port) or (address is not None and _covering(self._denied, address, port)):
            return False
        for entry in self._allowed:
            if entry.names(name, port) and not entry.below:
                return True
            if address is not None and entry.network is not None and entry.network.num_addresses == 1 and entry.covers(address, port):
                return True
        return False

    def _exempt(self, name: str, address: _Address | None, port: int) -> bool:
        return any(
            entry.port == port and (entry.names(name, port) or (address is not None and entry.covers(address, port)))
            for entry in self._allowed
        )


def guard_of(value: Guard | None) -> Guard | None:
    """The guard that a user's `guard=` means. Errors: TypeError, here and not when it is first asked."""
    given: Any = value
    if given is None:
        return None
    if isinstance(given, Guard) and not isinstance(given, type):
        for name in ("check_origin", "admits", "admits_proxy"):
            if iscoroutinefunction(getattr(given, name)):  # its answer, a coroutine, would be a yes
                raise TypeError(f"guard=: {type(given).__name__}.{name} is asked and not awaited: make it a plain `def`")
        return value
    what = f"the class {given.__name__}: give an object of it" if isinstance(given, type) else type(given).__name__
    raise TypeError(f"guard= takes an aioreq.PublicOnly, or an object with all that aioreq.Guard names, not {what}")


def refusal(guard: Guard, host: str, port: int, addresses: Collection[str]) -> GuardError:
    """The error for a host none of whose addresses is admitted, or whose connection ended at one that isn't."""
    at = authority(host, port)
    if not isinstance(guard, PublicOnly):
        return GuardError(f"the guard {guard!r} refuses {at} at {', '.join(addresses)}")
    reasons = "; ".join(dict.fromkeys(guard.why(host, port, address) or address for address in addresses))
    advice = "" if " deny=" in reasons else f"; if it is meant to be reached, PublicOnly(allow=['{at}'])"
    return GuardError(f"the guard refuses {at}: {reasons}{advice}")


@lru_cache(maxsize=1024)
def _literal(text: str) -> _Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _special(address: _Address) -> str | None:
    """The block that makes an address other than global unicast, and what that block is for."""
    for block, why in _special_blocks():
        if address in block:
            return f"in {block}: {why}"
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return "bound to one network interface"
        if int(address) >> 32 & 0xFFFFFFFF in _ISATAP:
            return "an ISATAP interface's (RFC 5214)"
    return None


def _embedded(address: _Address) -> list[IPv4Address]:
    """The IPv4 addresses in an IPv6 one of a transition mechanism."""
    if isinstance(address, IPv4Address):
        return []
    bits = int(address)
    if bits < 2:
        return []  # :: and ::1 are no IPv4-compatible addresses
    if address.teredo is not None:
        return list(address.teredo)
    if address.sixtofour is not None:
        return [address.sixtofour]
    if bits >> 32 & 0xFFFFFFFF in _ISATAP or any(address in block for block in _LAST_32_BITS):
        return [IPv4Address(bits & 0xFFFFFFFF)]
    return []


def _said(outer: _Address, each: _Address) -> str:
    return str(each) if each is outer else f"{each}, which {outer} embeds,"


def _naming(entries: tuple[_Entry, ...], name: str, port: int) -> _Entry | None:
    return next((entry for entry in entries if entry.names(name, port)), None)


def _covering(entries: tuple[_Entry, ...], address: _Address, port: int) -> _Entry | None:
    return next((entry for entry in entries if entry.covers(address, port)), None)


def _listed(values: Collection[object]) -> str:
    return " and ".join(str(value) for value in values) or "none"


def _texts(option: str, given: object) -> tuple[str, ...]:
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise TypeError(f"PublicOnly({option}=...) takes a list of texts, not {type(given).__name__}")
    texts = tuple(given)
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"PublicOnly({option}=...): {text!r} is no text")
    return texts


def _entry(option: str, text: str) -> _Entry:
    """What one text of `allow` or `deny` means. Errors: ValueError that names it."""

    def wrong(why: str) -> ValueError:
        return ValueError(f"PublicOnly({option}=...): {text!r} {why}")

    if "://" in text:
        raise wrong("is a URL: give the host, and the port where it matters")
    host, port_text = text, ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or ":" not in host or (rest and not rest.startswith(":")):
            raise wrong("is no IPv6 address or network in brackets")
        port_text = rest[1:]
        if rest and not port_text:
            raise wrong("has no port behind its ':'")
    elif text.count(":") == 1:
        host, _, port_text = text.partition(":")
        if not port_text:
            raise wrong("has no port behind its ':'")
    port = None
    if port_text:
        if not (port_text.isascii() and port_text.isdigit() and len(port_text) <= 5 and 0 < int(port_text) < 65536):
            raise wrong("has no port from 1 to 65535 behind its ':'")
        port = int(port_text)
    if ":" in host or "/" in host or _literal(host) is not None:
        if "%" in host:
            raise wrong("names a network interface: give the address without it")
        try:
            network = ip_network(host)
        except ValueError as error:
            raise wrong(f"is no address or network ({error})") from None
        if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED) and network != _MAPPED:
            raise wrong("is IPv4-mapped: give the IPv4 address or network")
        return _Entry(text, "", False, network, port)
    below = host.startswith("*.")
    name = host.removeprefix("*.")
    if not name or "*" in name or _literal(name) or not {"@", "?", "#", "\\"}.isdisjoint(name) or name != name.strip():
        raise wrong("is no host name, address or network; a wildcard stands in front alone: '*.example.com'")
    try:
        return _Entry(text, parse(f"http://{name}").origin.host.rstrip("."), below, None, port)
    except InvalidURL as error:
        raise wrong(f"is no host name, address or network ({error})") from None
