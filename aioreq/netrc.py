"""Logins from a netrc file, by the host of the request. Only for who asks for it: nothing is read from the environment otherwise."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from . import threads
from .auth import Auth, BasicAuth
from .errors import LocalProtocolError

if TYPE_CHECKING:
    from .models import Request

__all__ = ["NetrcAuth"]

_FRESH = 1.0  # seconds for which nobody looks whether the file has changed


class NetrcAuth(Auth):
    """The login that a netrc file has for the host of each request, sent at once by Basic; for other hosts, nothing. Use it over TLS.

    `path` is the file; without it the one that NETRC names in the environment, else `~/.netrc`: these may be missing. Its `default` entry
    is for every host that has none. As Python's `netrc`, whose rules hold, it refuses a `~/.netrc` with passwords that others may read.
    A file that changes is read again. Errors of the request: OSError, LocalProtocolError where the file can't be understood.
    """

    __slots__ = ("_looked", "_path", "_read")

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._path = None if path is None else os.fspath(path)
        self._looked = float("-inf")
        self._read: tuple[tuple[int, ...] | None, dict[str, tuple[str, str]]] = (None, {})

    async def auth_flow(self, request: Request) -> AsyncGenerator[Request, Any]:
        if time.monotonic() - self._looked > _FRESH:
            await threads.run(self._look)
        logins = self._read[1]
        # The host as it was parsed: not what stands in front of an "@", and no port.
        login = logins.get(request.host.lower(), logins.get("default"))
        if login is not None and any(login):
            request.authorization = BasicAuth(*login).header
        yield request

    def _look(self) -> None:
        """Read the file if it isn't the one that was read. Whoever looks at the same time sees the same."""
        path = self._path or os.environ.get("NETRC") or os.path.join(os.path.expanduser("~"), ".netrc")
        looked = time.monotonic()
        try:
            found = os.stat(path)
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp != self._read[0]:
                self._read = stamp, _logins(path, checked=self._path is None and not os.environ.get("NETRC"))
        except FileNotFoundError:
            if self._path is not None:
                raise
            self._read = None, {}
        self._looked = looked

    def __repr__(self) -> str:
        return f"NetrcAuth({'' if self._path is None else repr(self._path)})"


def _logins(path: str, checked: bool) -> dict[str, tuple[str, str]]:
    import netrc  # this module is in the package: by its full name it is aioreq's

    try:
        # Without a name it reads the user's own file, and looks at its owner and permissions.
        hosts = netrc.netrc(None if checked else path).hosts
    except netrc.NetrcParseError as error:
        # What it stumbled over may be a password.
        what = error.msg if error.msg.startswith("~/.netrc") else f"line {error.lineno} isn't in the form of a netrc file"
        raise LocalProtocolError(f"NetrcAuth: {path}: {what}; nothing was sent") from None
    except UnicodeDecodeError:
        raise LocalProtocolError(f"NetrcAuth: {path} is not text in UTF-8; nothing was sent") from None
    return {name.lower(): (login or "", password or "") for name, (login, _, password) in hosts.items()}
