"""aioreq in httpx's place: the same program, another import."""

from __future__ import annotations

from typing import ClassVar

from . import httpx


class Client(httpx.Client):
    PACKAGE: ClassVar = "aioreq.compat.httpx"
