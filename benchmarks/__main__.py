"""GETs of a small JSON body by every client that is installed: rounds in turn, each client in its own process, medians, ratios."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from .adapters import CLIENTS

BASE = "aiohttp"
# httpx's cost grows with the number of connections: fewer requests tell as much.
SLOW = {"httpx": 8}


@contextmanager
def small_json_server() -> Iterator[str]:
    """The embedded server in a process of its own; gives the URL of a small JSON document."""
    command = [sys.executable, "-m", "aioreq.testing", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1] + "/json"
        finally:
            process.terminate()


def run(client: str, url: str, requests: int, concurrency: int) -> dict[str, float]:
    environment = os.environ | {"AIOREQ_EXTENSIONS": "off" if "pure" in client else "required" if client == "aioreq" else "auto"}
    command = [sys.executable, "-m", "benchmarks.worker", client, url, str(requests // SLOW.get(client, 1)), str(concurrency)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{client} failed:\n{done.stderr}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--requests", type=int, default=8000)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 32, 128])
    parser.add_argument("--json", metavar="FILE", help="write the medians there too")
    arguments = parser.parse_args()
    clients = [name for name in CLIENTS if importlib.util.find_spec(name.split()[0]) is not None]
    report: dict[str, dict[str, dict[str, float]]] = {}
    with small_json_server() as url:
        for concurrency in arguments.concurrency:
            rounds: dict[str, list[dict[str, float]]] = {name: [] for name in clients}
            for _ in range(arguments.rounds):
                for name in clients:
                    rounds[name].append(run(name, url, arguments.requests, concurrency))
            report[f"concurrency {concurrency}"] = summary(rounds)
            print_table(f"small JSON GET, keep-alive, concurrency {concurrency}", report[f"concurrency {concurrency}"])
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=2)


def summary(rounds: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Medians of the figures, and of the ratio to BASE within each round."""
    result = {}
    for name, figures in rounds.items():
        medians = {key: statistics.median(figure[key] for figure in figures) for key in figures[0]}
        if BASE in rounds:
            medians["ratio"] = statistics.median(mine["cpu_us"] / base["cpu_us"] for mine, base in zip(figures, rounds[BASE], strict=True))
        result[name] = medians
    return result


def print_table(title: str, rows: dict[str, dict[str, float]]) -> None:
    print(f"\n{title}\n{'client':<14} {'CPU us':>8} {'/ ' + BASE:>10} {'req/s':>8} {'p50 ms':>8} {'p99 ms':>8}")
    for name, row in rows.items():
        ratio = f"{row['ratio']:.2f}" if "ratio" in row else "-"
        print(
            f"{name:<14} {row['cpu_us']:>8.0f} {ratio:>10} {row['per_second']:>8.0f} {row['p50_ms']:>8.2f} {row['p99_ms']:>8.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
