"""httpx's client on aioreq's transport; httpx2's, too."""

from __future__ import annotations

import ssl
from importlib import import_module
from typing import Any

from . import httpx


class Client(httpx.Client):
    def made(self, library: Any, verify: ssl.SSLContext | bool, limits: Any) -> Any:
        transport = import_module(f"aioreq.compat.{self.PACKAGE}").AsyncTransport(verify=verify, limits=limits)
        return library.AsyncClient(transport=transport, trust_env=False, timeout=self.TIMEOUT)
