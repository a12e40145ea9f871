"""aioreq in aiohttp's place: the same program, another import."""

from __future__ import annotations

from typing import ClassVar

from aioreq.compat import aiohttp

from .aiohttp_shaped import Shaped


class Client(Shaped):
    library: ClassVar = aiohttp
