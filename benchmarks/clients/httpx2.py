"""httpx2: spoken to as httpx is."""

from __future__ import annotations

from typing import ClassVar

from . import httpx


class Client(httpx.Client):
    PACKAGE: ClassVar = "httpx2"
