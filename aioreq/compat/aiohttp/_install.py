"""Stands in for aiohttp in a whole process, so that libraries that import it are served by this face. Nothing does that unasked."""

from __future__ import annotations

import importlib
import sys


def install() -> None:
    """From here on `import aiohttp`, anywhere in this process, gives this face: call it before any library that uses aiohttp is imported.

    Meant for a program's first lines, never for a library's. There is no `aiohttp.web` then, nor what else the face doesn't carry:
    importing it fails. A second call does nothing. Errors: RuntimeError where aiohttp itself was imported before; nothing is changed then.
    """
    face = sys.modules[__package__]
    if sys.modules.get("aiohttp") is face:
        return
    if "aiohttp" in sys.modules:
        raise RuntimeError(
            "aiohttp was imported already, and who did that goes on with it: call aioreq.compat.aiohttp.install() before any import of "
            "a library that uses aiohttp"
        )
    submodules = {f"aiohttp.{name}": importlib.import_module(f"{__package__}.{name}") for name in sorted(face._SUBMODULES)}
    sys.modules.update(submodules, aiohttp=face)
