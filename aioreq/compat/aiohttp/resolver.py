"""Resolvers under aiohttp's names, on the core's; and a user's own as the core asks it. Remembers nothing: the core's names do."""

from __future__ import annotations

import asyncio
import socket
import weakref
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

from ... import resolvers as core
from ...config import Limits
from ...dns import Names
from ...errors import DNSError
from ._translation import foreign_cause
from .abc import AbstractResolver, ResolveResult

if TYPE_CHECKING:
    from .connector import TCPConnector

__all__ = ["AsyncResolver", "DefaultResolver", "JudgedNames", "ThreadedResolver", "core_resolver", "resolved_by"]

_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class ThreadedResolver(AbstractResolver):
    """The system's resolver, asked in threads of aioreq's own. `loop` is ignored."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._core: core.Resolver = core.ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        """The addresses of a host, of one family or (AF_UNSPEC) of both. Errors: OSError."""
        return await _resolved(self._core, host, port, family)

    async def close(self) -> None:
        """Nothing is held."""


class AsyncResolver(AbstractResolver):
    """DNS by aiodns, without threads of Python's. `loop` is ignored; what else is given goes to `aiodns.DNSResolver`.

    Errors: RuntimeError where aiodns is missing.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None, *args: Any, **kwargs: Any) -> None:
        try:
            self._core = core.AiodnsResolver(*args, **kwargs) if args or kwargs else _shared()
        except ImportError as error:
            raise RuntimeError("Resolver requires aiodns library") from error
        self._shares = not (args or kwargs)

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        """The addresses of a host, of one family or (AF_UNSPEC) of both. Errors: OSError."""
        return await _resolved(self._core, host, port, family)

    async def close(self) -> None:
        """Lookups under way fail, unless others use the same channel: those made without options share one, that ends with the loop."""
        if not self._shares:
            await self._core.close()


_DefaultType: TypeAlias = type[AsyncResolver] | type[ThreadedResolver]
DefaultResolver: _DefaultType = ThreadedResolver if find_spec("aiodns") is None else AsyncResolver

_shared_resolver: core.AiodnsResolver | None = None


def _shared() -> core.AiodnsResolver:
    global _shared_resolver
    if _shared_resolver is None:
        _shared_resolver = core.AiodnsResolver()
    return _shared_resolver


class _Asked:
    """A user's own resolver, as the core asks one."""

    def __init__(self, resolver: AbstractResolver, family: socket.AddressFamily) -> None:
        self._resolver = resolver
        self._family = family

    async def resolve(self, host: str, port: int) -> list[tuple[str, int]]:
        found = await self._resolver.resolve(host, port, family=self._family)
        return [(each["host"], each["port"]) for each in found]


def core_resolver(resolver: AbstractResolver, family: socket.AddressFamily) -> core.Resolver:
    """What the core asks in place of a resolver; subclasses may answer otherwise, and are asked themselves."""
    if type(resolver) in (ThreadedResolver, AsyncResolver):
        ours: core.Resolver = resolver._core  # type: ignore[attr-defined]
        return ours
    return _Asked(resolver, family)


class _Judge:
    """A connector's own `_resolve_host`, as the core asks a resolver."""

    def __init__(self, connector: TCPConnector) -> None:
        self._connector = weakref.proxy(connector)  # which holds this

    async def resolve(self, host: str, port: int) -> list[tuple[str, int]]:
        return [(each["host"], each["port"]) for each in await self._connector._resolve_host(host, port)]


class JudgedNames(Names):
    """The names of a connector whose class has a `_resolve_host` of its own: asked each time, about literal addresses, too."""

    def __init__(self, connector: TCPConnector, limits: Limits, names: Names) -> None:
        super().__init__(_Judge(connector), replace(limits, dns=0))
        self._names = names  # what the connector's class asks in its turn, and what remembers

    def known(self, host: str, port: int) -> None:
        return None

    def clear(self) -> None:
        self._names.clear()

    def forget(self, host: str, port: int) -> None:
        self._names.forget(host, port)


async def resolved_by(names: Names, host: str, port: int) -> list[ResolveResult]:
    """The addresses that are known or looked up. Errors: OSError, and what a user's own resolver raises."""
    try:
        found = await names.lookup(host, port)
    except DNSError as error:
        cause = foreign_cause(error)
        if cause is not None:
            raise cause from cause.__cause__
        raise OSError(None, str(error)) from error
    return [_result(host, address.sockaddr[1], address.text, address.family) for address in found]


def _result(host: str, port: int, text: str, family: int) -> ResolveResult:
    return {"hostname": host, "host": text, "port": port, "family": family, "proto": socket.IPPROTO_TCP, "flags": _NUMERIC}


async def _resolved(resolver: core.Resolver, host: str, port: int, family: int) -> list[ResolveResult]:
    try:
        found = await resolver.resolve(host, port)
    except DNSError as error:
        raise OSError(None, str(error)) from error
    results: list[ResolveResult] = []
    for text in found:
        assert isinstance(text, str)
        own = socket.AF_INET6 if ":" in text else socket.AF_INET
        if family in (socket.AF_UNSPEC, own):
            results.append(_result(host, port, text, own))
    if not results:
        raise OSError(None, f"host {host!r} has no address of the family that was asked for")
    return results
