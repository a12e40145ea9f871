"""How a proxy is brought to pass bytes on to an origin: CONNECT (RFC 9110 section 9.3.6) and SOCKS (RFC 1928, by python-socks).

Knows no pool and no request of a user's, and nothing of what flows through afterwards. The caller bounds the time: whatever is given up
leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

from .auth import PasswordAuth
from .challenges import parse_challenges
from .config import Limits
from .dialer import Dialer, reason
from .errors import ConnectError, GuardError, ProtocolError, ProxyError
from .headers import Fields, text
from .parser import ResponseParser
from .proxies import Proxy
from .request_head import checked_host, connect_head
from .transfer import Opening
from .urls import Origin, authority

__all__ = ["Tunnel", "dial_proxy", "through_socks"]

_SHOWN = 200  # bytes of what a proxy says that an error repeats
_MOST_ADDRESSES = 4  # of an origin, that a SOCKS proxy is asked for in turn
_READ = 16 * 1024  # bytes; an answer to CONNECT is a fraction of it
_FOREVER = 1e6  # seconds: python-socks has a limit of its own, the caller's comes first


async def dial_proxy(loop: asyncio.AbstractEventLoop, proxy: Proxy, origin: Origin, dialer: Dialer, opening: Opening) -> socket.socket:
    """A socket connected to the proxy. Errors: ProxyError, GuardError."""
    _check(proxy, origin, dialer)
    try:
        return await dialer.dial(loop, proxy.host, proxy.port, opening)
    except ConnectError as error:
        raise ProxyError(f"{_name(origin)} can't be reached, for its proxy {proxy} can't be: {error}") from error


def _check(proxy: Proxy, origin: Origin, dialer: Dialer) -> None:
    if dialer.unix_socket is not None:  # that a request set: whoever listens there would be sent what is the proxy's
        raise ValueError(f"give unix_socket= or a request's proxies, not both: proxy {proxy} isn't looked for at a Unix socket")
    if dialer.guard is not None and not dialer.guard.admits_proxy(proxy.host, proxy.port):
        raise GuardError(
            f"the guard refuses proxy {proxy} on the way to {_name(origin)}: a proxy looks names up itself, where no guard sees it; "
            f"if this one is trusted, PublicOnly(allow=['{proxy}'])"
        )


class Tunnel(asyncio.BufferedProtocol):
    """CONNECT on one connection to an HTTP proxy: the protocol of its transport until the proxy has agreed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits, proxy: Proxy, origin: Origin) -> None:
        self._request = connect_head(origin.host, origin.port, proxy)
        self._loop = loop
        self._proxy = proxy
        self._origin = origin
        self._parser = ResponseParser(self, limits)
        self._buffer = bytearray(_READ)
        self._transport: asyncio.Transport | None = None
        # A result in both cases: an exception that nobody comes to fetch would be complained about.
        self._answer: asyncio.Future[ProxyError | None] = loop.create_future()
        self._began: float | None = None
        self._head: tuple[int, bytes, Fields] | None = None
        self._text = b""

    async def open(self, opening: Opening) -> asyncio.Transport:
        """Ask, and wait for the answer; gives the transport, its reading paused. Errors: ProxyError."""
        assert self._transport is not None
        opening.begin("connect", f"the CONNECT handshake with proxy {self._proxy}")
        self._began = self._loop.time()
        if not self._answer.done():
            self._parser.expect("CONNECT")
            self._transport.write(self._request)
        try:
            error = await self._answer
        finally:
            del self._parser  # it calls back here: together they would wait for the collector, and the transport with them
        if error is not None:
            raise error
        return self._transport

    def abort(self) -> None:
        """Close what was opened, at once."""
        if self._transport is not None:
            self._transport.abort()

    # -- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._answer.done():
            return
        if self._began is None:
            self._settle(self._error("sent bytes before it was asked for anything"))
            return
        try:
            self._parser.feed(self._buffer, nbytes)
        except ProtocolError as error:
            failure = self._error(f"broke HTTP's rules: {error}")
            failure.__cause__ = error
            self._settle(failure)
            return
        if self._head is None:
            return
        if not self._parser.upgraded or self._head[0] == 101:
            self._settle(self._refusal(*self._head))
        elif self._parser.rest():
            # Whatever it is, it can't be the origin's, which was told nothing yet.
            self._settle(self._error("sent bytes behind its answer, before anything was sent through the tunnel"))
        else:
            self._settle(None)

    def eof_received(self) -> None:
        if not self._answer.done():
            self._settle(self._error(f"closed the connection {self._phase()}"))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer.done():
            return
        how = "closed the connection" if error is None else f"broke the connection ({_words(error)})"
        failure = self._error(f"{how} {self._phase()}")
        failure.__cause__ = error
        self._settle(failure)

    def _settle(self, error: ProxyError | None) -> None:
        if not self._answer.done():
            self._answer.set_result(error)
            if error is None and self._transport is not None:
                self._transport.pause_reading()  # what comes next is for the TLS on top

    # -- the parser's side

    def on_head(self, version: str, status: int, reason: bytes, fields: Fields) -> None:
        if status >= 200 or status == 101:
            self._head = (status, reason, fields)

    def on_body(self, data: bytes) -> None:
        self._text = (self._text + data)[:_SHOWN]

    def on_end(self, trailers: Fields) -> None:
        pass

    # -- its errors

    def _phase(self) -> str:
        return "in the middle of its answer" if self._parser.started else "before it answered"

    def _error(self, what: str, **told: Any) -> ProxyError:
        after = "" if self._began is None else f", {self._loop.time() - self._began:.3f} s into the CONNECT handshake"
        return ProxyError(f"no tunnel to {_name(self._origin)}: proxy {self._proxy} {what}{after}", **told)

    def _refusal(self, status: int, reason: bytes, fields: Fields) -> ProxyError:
        def values(name: bytes) -> list[str]:
            return [text(value) for own, value in fields if own.lower() == name]

        what = f"refused with status {status}" + (f" {text(reason[:_SHOWN])!r}" if reason else "")
        # What tells more than the status: RFC 9209, and the text of those that write for clients and not for browsers.
        said = values(b"proxy-status")
        if any(kind.startswith("text/plain") for kind in values(b"content-type")) and self._text.strip():
            said.append(text(self._text.strip()))
        what += "".join(f", {each[:_SHOWN]!r}" for each in said)
        if status == 407:
            schemes = sorted({challenge.scheme for challenge in parse_challenges(values(b"proxy-authenticate"))})
            if schemes and "basic" not in schemes:
                what += f" (it asks for {', '.join(schemes)}, and only basic is known here)"
            elif self._proxy.auth is None:
                what += " (it wants credentials: give Proxy(auth=(user, password)))"
            else:
                what += " (it doesn't take the given user and password)"
        return self._error(what, status=status, reason=text(reason), fields=fields)


async def through_socks(loop: asyncio.AbstractEventLoop, proxy: Proxy, origin: Origin, dialer: Dialer, opening: Opening) -> socket.socket:
    """A socket that leads through a SOCKS proxy to the origin. Errors: ProxyError, GuardError; DNSError where the lookup is ours."""
    try:
        from python_socks import ProxyError as Refused
        from python_socks import ProxyType
        from python_socks.async_.asyncio import Proxy as Handshake
    except ImportError as error:
        raise ProxyError(f"proxy {proxy} speaks SOCKS, for which a package is missing: pip install 'aioreq[socks]' ({error})") from error
    version = "SOCKS5" if proxy.scheme.startswith("socks5") else "SOCKS4"
    auth = cast(PasswordAuth | None, proxy.auth)
    _check(proxy, origin, dialer)
    hosts = await _targets(proxy, origin, dialer, opening)
    failures = []
    for host in hosts:
        sock = await dial_proxy(loop, proxy, origin, dialer, opening)
        opening.begin("connect", f"the {version} handshake with proxy {proxy}")
        began = loop.time()
        try:
            await Handshake(
                ProxyType[version],
                proxy.host,
                proxy.port,
                None if auth is None else auth.user,
                None if auth is None else auth.password,
                rdns=True,  # it is never python-socks that looks a name up
                forward=cast(Handshake, _Dialled(sock)),
                loop=loop,
            ).connect(host, origin.port, timeout=_FOREVER)
            if _readable(sock):
                raise ValueError("it sent bytes behind its reply, before anything was sent to the origin")
            return sock
        except (Refused, OSError, ValueError) as error:
            sock.close()
            what = f"{host if host != origin.host else 'it'}: {_words(error)}, {loop.time() - began:.3f} s into the {version} handshake"
            failures.append((what, error))
            if getattr(error, "error_code", None) is None:
                break  # not this address was refused
        except BaseException:
            sock.close()
            raise
    tried = "; ".join(what for what, _ in failures)
    raise ProxyError(f"{_name(origin)} can't be reached through proxy {proxy} ({tried})") from failures[-1][1]


def _readable(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))  # an end is left to whoever reads on
    except BlockingIOError:
        return False


class _Dialled:
    """What python-socks takes for a proxy in front of the proxy: it gives the socket that our dialer connected."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    async def connect(self, dest_host: str, dest_port: int, timeout: float | None = None) -> socket.socket:
        return self._sock


async def _targets(proxy: Proxy, origin: Origin, dialer: Dialer, opening: Opening) -> list[str]:
    """The names or addresses to ask a SOCKS proxy for, in turn."""
    host = checked_host(origin.host)
    if proxy.scheme in ("socks4a", "socks5h"):
        if proxy.scheme == "socks4a" and ":" in host:
            raise ProxyError(f"{_name(origin)} can't be reached through proxy {proxy}: SOCKS4 knows no IPv6; socks5h does")
        return [host]
    opening.begin("dns", f"the name lookup of {host}")
    found = [str(address.sockaddr[0]) for address in await dialer.addresses(host, origin.port, opening.trace)]
    if proxy.scheme == "socks4" and not (found := [address for address in found if ":" not in address]):
        raise ProxyError(f"{_name(origin)} can't be reached through proxy {proxy}: it has no IPv4 address, and SOCKS4 knows no other")
    return found[:_MOST_ADDRESSES]


def _name(origin: Origin) -> str:
    return authority(origin.host, origin.port)


def _words(error: BaseException) -> str:
    return reason(error) if isinstance(error, OSError) else str(error) or type(error).__name__
