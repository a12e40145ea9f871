"""Two checkouts of aioreq in turns, for differences under 15 %: `python -m benchmarks.alternate A B [--workload json-32 ...]`.

Each has one long-lived process; they run short slices alternately on the same core, so that a mood of the machine is over both. A pair of
slices gives a ratio; the median of the ratios and its spread are shown. A checkout is a directory with a compiled `aioreq/` in it.
"""

from __future__ import annotations

import argparse
import statistics
from contextlib import ExitStack
from pathlib import Path

from .clients import CLIENTS
from .processes import Failed, Worker
from .servers import Servers, running
from .workloads import WORKLOADS, Workload

__all__ = ["ratios", "spread"]


def ratios(a: Path, b: Path, workload: Workload, servers: Servers, *, pairs: int, seconds: float, client: str, loop: str) -> list[float]:
    """B over A of each pair of slices, who comes first changing by turns."""
    found = []
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(client, workload, servers, loop, checkout)) for checkout in (a, b)]
        for worker in workers:
            worker.slice(seconds, workload.requests)
        # The same number of requests for both: a slice that is longer isn't a better one.
        requests = workload.requests or max(int(workers[0].slice(seconds)["requests"]), workload.concurrency)
        for number in range(pairs):
            order = workers if number % 2 else workers[::-1]
            figures = {worker: worker.slice(seconds, requests)["cpu_us"] for worker in order}
            found.append(figures[workers[1]] / figures[workers[0]])
    return found


def spread(values: list[float]) -> tuple[float, float, float]:
    """Median, and the bounds between which it lies with 95 % confidence (by the ranks of the sign test)."""
    ordered, count = sorted(values), len(values)
    reach = int(0.98 * count**0.5)  # 1.96 standard deviations of a binomial's middle
    low, high = max((count - 1) // 2 - reach, 0), min(count // 2 + reach, count - 1)
    return statistics.median(ordered), ordered[low], ordered[high]


def checkout(text: str) -> Path:
    path = Path(text).resolve()
    if not (path / "aioreq" / "__init__.py").is_file():
        raise argparse.ArgumentTypeError(f"{path} has no aioreq/ in it")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alternate", description=__doc__)
    parser.add_argument("a", type=checkout, metavar="A")
    parser.add_argument("b", type=checkout, metavar="B")
    parser.add_argument(
        "--workload", nargs="+", choices=[name for name, w in WORKLOADS.items() if w.kind == "requests"], default=["json-32"]
    )
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=0.1, help="about how long a slice lasts")
    parser.add_argument("--client", choices=[name for name in CLIENTS if name.startswith("aioreq")], default="aioreq")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    chosen = parser.parse_args()
    print(f"CPU of {chosen.b} over that of {chosen.a}, {chosen.pairs} pairs of slices")
    with running() as servers:
        for name in chosen.workload:
            try:
                found = ratios(
                    chosen.a,
                    chosen.b,
                    WORKLOADS[name],
                    servers,
                    pairs=chosen.pairs,
                    seconds=chosen.seconds,
                    client=chosen.client,
                    loop=chosen.loop,
                )
            except Failed as failure:
                raise SystemExit(f"{name} failed:\n{failure}") from None
            middle, low, high = spread(found)
            print(f"{name:<14} {middle:.3f}  (95 %: {low:.3f} to {high:.3f})", flush=True)


if __name__ == "__main__":
    main()
