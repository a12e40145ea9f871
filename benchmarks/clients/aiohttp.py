"""aiohttp."""

from __future__ import annotations

from typing import ClassVar

import aiohttp

from .aiohttp_shaped import Shaped


class Client(Shaped):
    library: ClassVar = aiohttp
