"""What a request costs, beside other clients: rounds in turn, each client in its own process, medians, ratios. README.md tells more."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from .chart import chart
from .clients import CLIENTS
from .processes import Failed
from .report import machine, summary, table
from .rounds import Plan, run
from .servers import running
from .workloads import MAIN, WORKLOADS

# A tenth of the others' speed or less: three rounds of them tell as much.
SLOW = {"httpx": 3, "httpx2": 3, "niquests": 3}
QUICK = ("bare", "picows", "aioreq", "aiohttp", "httpx", "websockets")


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="all of them unless named; --list tells their names")
    parser.add_argument("--list", action="store_true", help="workloads and clients, and who can't take part")
    parser.add_argument("--clients", nargs="+", metavar="CLIENT", help="all that are installed unless named")
    parser.add_argument("--rounds", type=int, help="9, of slow clients 3; when quick 3, and 1")
    parser.add_argument("--seconds", type=float, help="about how long each slice lasts (0.4; 0.1 when quick)")
    parser.add_argument("--requests", type=int, default=0, help="exactly so many in each slice instead")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument("--quick", action="store_true", help="the main workloads and clients, in less than a minute")
    parser.add_argument("--embedded", action="store_true", help="the embedded server even where nginx is installed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="medians and ratios")
    parser.add_argument("--chart", type=Path, metavar="FILE.svg", help="the first of the workloads that ran (of `json-32`, if it did)")
    chosen = parser.parse_args(arguments)
    for given, known in ((chosen.workloads, WORKLOADS), (chosen.clients or (), CLIENTS)):
        if unknown := [name for name in given if name not in known]:
            parser.error(f"no such name: {' '.join(unknown)} (known: {' '.join(known)})")
    for file in (chosen.json, chosen.chart):
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
    return chosen


def plan_of(chosen: argparse.Namespace) -> Plan:
    return Plan(
        clients=tuple(chosen.clients or (QUICK if chosen.quick else CLIENTS)),
        rounds=chosen.rounds or (3 if chosen.quick else 9),
        seconds=chosen.seconds or (0.1 if chosen.quick else 0.4),
        requests=chosen.requests,
        loop=chosen.loop,
        quick=chosen.quick,
        few={"httpx": 1, "websockets": 1} if chosen.quick else SLOW,
    )


def list_names() -> None:
    for name, workload in WORKLOADS.items():
        print(f"{name:<14} {workload.title}{'  (quick)' if name in MAIN else ''}")
    print()
    for name, entrant in CLIENTS.items():
        print(f"{name:<14} {entrant.missing() or 'ready'}")


def say(line: str) -> None:
    print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> None:
    chosen = options(arguments)
    if chosen.list:
        list_names()
        return
    plan = plan_of(chosen)
    tell = say if sys.stderr.isatty() else lambda line: None
    began = time.monotonic()
    reports: dict[str, Any] = {}
    failed = []
    with running(embedded=chosen.embedded) as servers:
        conditions = machine(servers, plan)
        print(", ".join(str(conditions[key]) for key in ("python", "loop", "server", "system")) + f"; {plan.rounds} rounds")
        for name in chosen.workloads or (MAIN if chosen.quick else WORKLOADS):
            try:
                result = run(WORKLOADS[name], servers, plan, tell)
            except Failed as failure:
                failed.append(name)
                print(f"\n{name} failed:\n{failure}", file=sys.stderr, flush=True)
                continue
            tell("")
            print(table(result), flush=True)
            reports[name] = summary(result)
            keep(reports, conditions, chosen.json, chosen.chart)
    print(f"\n{time.monotonic() - began:.0f} s")
    if failed:
        raise SystemExit(f"failed: {' '.join(failed)}")


def keep(reports: dict[str, Any], conditions: dict[str, Any], figures: Path | None, drawing: Path | None) -> None:
    """What there is so far: a long run that is broken off leaves its first half."""
    if figures:
        figures.write_text(json.dumps({"machine": conditions, "workloads": reports}, indent=1) + "\n")
    if drawing:
        drawing.write_text(chart(reports.get("json-32") or next(iter(reports.values())), conditions))


if __name__ == "__main__":
    main()
