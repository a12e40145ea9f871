"""httpx's client on aiohttp's connections, by the package httpx-aiohttp."""

from __future__ import annotations

import ssl
from importlib import import_module
from typing import Any

from . import httpx


class Client(httpx.Client):
    def made(self, library: Any, verify: ssl.SSLContext | bool, limits: Any) -> Any:
        transport = import_module("httpx_aiohttp").AiohttpTransport(verify=verify, limits=limits)
        return library.AsyncClient(transport=transport, trust_env=False, timeout=self.TIMEOUT)
