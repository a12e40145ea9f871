"""What the rounds say: medians, ratios within each round, a table, JSON. Measures nothing."""

from __future__ import annotations

import platform
import statistics
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from .clients import APART, CLIENTS, LIMIT
from .processes import Figures
from .rounds import Plan, Result
from .servers import Servers

__all__ = ["BASES", "machine", "summary", "table"]

BASES = (LIMIT, "picows", "aiohttp", "httpx", "wreq", "pyreqwest")  # what ratios are taken to
Row = dict[str, Any]

# By kind of workload: title, figure, digits.
COLUMNS: dict[str, tuple[tuple[str, str, int], ...]] = {
    "requests": (
        ("{unit}s/s", "per_second", 0),
        ("p50 ms", "p50_ms", 2),
        ("p99 ms", "p99_ms", 2),
        ("peak MB", "peak_mb", 0),
    ),
    "cold": (("CPU ms", "cpu_ms", 0),),
    "import": (("CPU ms", "cpu_ms", 0),),
    "memory": (),
}
MAIN_COLUMN = {"cpu_us": "CPU us/{unit}", "wall_ms": "wall ms", "connection_kb": "KB each"}


def ratio(rounds: Sequence[dict[str, Figures]], figure: str, name: str, base: str) -> float | None:
    """The median of the ratios within each round that has both."""
    ratios = [mine[name][figure] / mine[base][figure] for mine in rounds if name in mine and base in mine and mine[base][figure] > 0]
    return statistics.median(ratios) if ratios else None


def summary(result: Result) -> dict[str, Any]:
    """The workload's medians and ratios, as they go into the JSON."""
    workload, rounds = result.workload, result.rounds
    clients: dict[str, Row] = {}
    for name in dict.fromkeys(name for figures in rounds for name in figures):
        mine = [figures[name] for figures in rounds if name in figures]
        row: Row = {figure: statistics.median(figures[figure] for figures in mine) for figure in mine[0]}
        row["ratios"] = {base: value for base in BASES if (value := ratio(rounds, workload.figure, name, base)) is not None}
        row["rounds"] = len(mine)
        clients[name] = row
    return {
        "title": workload.title,
        "figure": workload.figure,
        "unit": workload.unit,
        "clients": clients,
        "left out": result.left_out,
    }


def table(result: Result) -> str:
    """For people: one line a client, those left out below."""
    workload, report = result.workload, summary(result)
    bases = [base for base in BASES if base in report["clients"]]
    columns = COLUMNS[workload.kind]
    if workload.work == "events":
        columns = tuple(column for column in columns if column[1] in ("per_second", "peak_mb"))  # a stream has no latency
    if workload.streams:
        columns += (("growth MB", "growth_mb", 1),)
    titles = [MAIN_COLUMN[workload.figure], *(f"/ {base}" for base in bases), *(title for title, _, _ in columns)]
    head = [title.format(unit=workload.unit) for title in titles]
    lines = [
        f"\n{workload.name}: {workload.title}",
        f"{'':<14}" + "".join(f"{title:>15}" if not n else f"{title:>12}" for n, title in enumerate(head)),
    ]
    for name, row in report["clients"].items():
        cells = [f"{number(row[workload.figure]):>15}"]
        cells += [f"{times(row['ratios'][base]) if base in row['ratios'] else '-':>12}" for base in bases]
        cells += [f"{row[figure]:>12.{digits}f}" for _, figure, digits in columns]
        lines.append(f"{name:<14}" + "".join(cells))
        if row.get("crashes"):
            lines.append(f"{'':<14}  (its process crashes when it ends)")
    lines += [f"{name:<14}  left out: {reason}" for name, reason in result.left_out.items()]
    return "\n".join(lines)


def number(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def times(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def machine(servers: Servers, plan: Plan) -> dict[str, Any]:
    """What the figures were taken on."""
    packages = dict.fromkeys([*(entrant.package for entrant in CLIENTS.values()), "uvloop"])
    found = {package: _version(package) for package in packages}
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "server": servers.name,
        "loop": plan.loop,
        "rounds": plan.rounds,
        "versions": {package: version for package, version in found.items() if version},
    }


def _version(package: str) -> str | None:
    for path in (sys.path, [str(APART)]):
        for distribution in metadata.distributions(name=package, path=path):
            return distribution.version
    return None
