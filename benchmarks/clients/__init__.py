"""Who takes part: a line a client. How each is spoken to stands in the module of its name, imported by the process that measures it."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from .adapter import Adapter

__all__ = ["APART", "CLIENTS", "LIMIT", "Adapter", "Entrant", "adapter"]

LIMIT = "bare"
# Packages that would change the rest of the environment (another urllib3, a pytest plugin) are installed there, for their own process.
APART = Path(os.environ.get("AIOREQ_BENCH_APART") or Path(sys.prefix, "apart"))


@dataclass(frozen=True)
class Entrant:
    """A client: its module in this package, the package it needs, and what of the workloads it can't do, with the reason."""

    module: str
    package: str
    apart: bool = False
    speaks: Collection[str] = ("http",)
    environment: Mapping[str, str] = field(default_factory=dict)
    lacks: Mapping[str, str] = field(default_factory=dict)  # by workload, or by the attribute that makes it: "tls", "import"

    def missing(self) -> str | None:
        """Why it can't take part at all, or None."""
        if self.apart:
            return None if (APART / self.package).is_dir() else f"{self.package} isn't installed in {APART} (see benchmarks/README.md)"
        return None if importlib.util.find_spec(self.package) is not None else f"{self.package} isn't installed"

    def variables(self) -> dict[str, str]:
        """The environment of its process: no proxy of this machine's, and its own package where that stands apart."""
        variables = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")} | dict(self.environment)
        if self.apart:
            variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(APART), os.environ.get("PYTHONPATH")]))
        return variables


_NOT_A_PACKAGE = {"import": "no package of its own"}
_ALL, _EVENTS, _WEBSOCKET = ("http", "websocket", "events"), ("http", "events"), ("websocket",)
_COMPILED = {"AIOREQ_EXTENSIONS": "required"}
_NO_PIECES = {"pieces": "gives whole messages only"}

CLIENTS: dict[str, Entrant] = {
    "bare": Entrant("bare", "asyncio", lacks=_NOT_A_PACKAGE),
    "bare-plain": Entrant("bare_plain", "asyncio", lacks=_NOT_A_PACKAGE | {"tls": "there the limit itself is the plain protocol"}),
    "picows": Entrant("picows", "picows", speaks=_WEBSOCKET, lacks=_NO_PIECES),
    "aioreq": Entrant("aioreq", "aioreq", speaks=_ALL, environment={"AIOREQ_EXTENSIONS": "required"}),
    "aioreq-pure": Entrant("aioreq", "aioreq", speaks=_ALL, environment={"AIOREQ_EXTENSIONS": "off"}),
    "aiohttp-face": Entrant(
        "aiohttp_face", "aioreq", speaks=_ALL, environment={"AIOREQ_EXTENSIONS": "required"}, lacks=_NOT_A_PACKAGE | _NO_PIECES
    ),
    "aiohttp": Entrant("aiohttp", "aiohttp", speaks=_ALL, lacks=_NO_PIECES),
    "httpx": Entrant("httpx", "httpx", speaks=_EVENTS),
    "httpx2": Entrant("httpx2", "httpx2"),
    "httpx-aioreq": Entrant("httpx_aioreq", "httpx", speaks=_EVENTS, environment=_COMPILED, lacks=_NOT_A_PACKAGE),
    "httpx2-aioreq": Entrant("httpx2_aioreq", "httpx2", environment=_COMPILED, lacks=_NOT_A_PACKAGE),
    "httpx-face": Entrant("httpx_face", "httpx", speaks=_EVENTS, environment=_COMPILED, lacks=_NOT_A_PACKAGE),
    "httpx-aiohttp": Entrant("httpx_aiohttp", "httpx_aiohttp", speaks=_EVENTS, lacks=_NOT_A_PACKAGE),
    "pyreqwest": Entrant("pyreqwest", "pyreqwest", apart=True),
    "wreq": Entrant("wreq", "wreq"),
    "niquests": Entrant("niquests", "niquests", apart=True),
    "websockets": Entrant("websockets", "websockets", speaks=_WEBSOCKET),
}


def adapter(name: str, *, ca: str | None = None, keep: bool = True, connections: int = 256) -> Adapter:
    made: Adapter = import_module(f".{CLIENTS[name].module}", __name__).Client(ca, keep, connections)
    return made
