"""httpx2's client on aioreq's transport."""

from __future__ import annotations

from typing import ClassVar

from . import httpx_aioreq


class Client(httpx_aioreq.Client):
    PACKAGE: ClassVar = "httpx2"
