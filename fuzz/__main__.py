"""python -m fuzz: the parser against mutated responses, or WebSocket's frames. Starts workers and keeps what they die of; see README.md."""

from __future__ import annotations

import argparse
import importlib
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from . import sanitized

CRASHES = Path(__file__).parent / "crashes"


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz the response parser, or WebSocket's frames.")
    options.add_argument("--target", choices=("responses", "frames"), default="responses", help="what is fuzzed (responses)")
    options.add_argument("--twin", choices=("compiled", "pure", "both"), default="both")
    options.add_argument("--seconds", type=float, default=60, help="CPU seconds for each twin (60)")
    options.add_argument("--seed", type=int, default=None, help="of the mutations (random; told at the start)")
    options.add_argument("--plant", action="store_true", help="plant an over-read in the compiled twin; succeeds when it is found")
    options.add_argument("--replay", type=Path, metavar="CRASH", help="run one kept case again")
    options.add_argument("--work", nargs=5, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.work:
        from . import worker

        target: Any = importlib.import_module(f".{chosen.target}", __package__)
        twin, extension, seed, left_behind, found = chosen.work
        if chosen.replay:
            return worker.replay(target, twin, extension, chosen.replay)
        return worker.work(target, twin, extension, chosen.seconds, int(seed), Path(left_behind), Path(found))
    if chosen.plant:
        return find_the_planted(chosen)
    twins = ("compiled", "pure") if chosen.twin == "both" else (chosen.twin,)
    return max(run(twin, chosen, planted=False).returncode for twin in twins)


def run(twin: str, chosen: argparse.Namespace, planted: bool, quiet: bool = False) -> subprocess.CompletedProcess[str]:
    sanitized.BUILD.mkdir(exist_ok=True)
    CRASHES.mkdir(exist_ok=True)
    extension = str(sanitized.build(chosen.target if planted else None)) if twin == "compiled" else ""
    environment = sanitized.environment() if twin == "compiled" else dict(os.environ)
    seed = chosen.seed if chosen.seed is not None else random.randrange(1 << 32)
    what = "" if chosen.target == "responses" else f"{chosen.target}-"
    left_behind = CRASHES / f"{what}{twin}-{seed}{'-planted' if planted else ''}"
    found = sanitized.BUILD / f"{what}{'found-planted.txt' if planted else 'found.txt'}"
    command = [sys.executable, "-m", "fuzz", "--target", chosen.target, "--seconds", str(chosen.seconds)]
    command += ["--replay", str(chosen.replay)] if chosen.replay else []
    command += ["--work", twin, extension, str(seed), str(left_behind), str(found)]
    print(f"{chosen.target}, {twin}: {chosen.seconds:.0f} s of CPU time, --seed {seed}", flush=True)
    ended = subprocess.run(command, env=environment, stderr=subprocess.PIPE if quiet else None, text=True, check=False)
    if ended.returncode == 0 or planted:
        left_behind.unlink(missing_ok=True)
    elif not chosen.replay:
        again = f"python -m fuzz --target {chosen.target} --twin {twin} --replay {left_behind}"
        print(f"{twin}: kept; run it again with: {again}", file=sys.stderr)
    return ended


def find_the_planted(chosen: argparse.Namespace) -> int:
    *_, where = sanitized.PLANTS[chosen.target]
    ended = run("compiled", chosen, planted=True, quiet=True)
    if ended.returncode == 86 and "heap-buffer-overflow" in ended.stderr and where in ended.stderr:
        print(f"the planted over-read was found: heap-buffer-overflow in {where}")
        return 0
    print(f"the planted over-read was NOT found (exit {ended.returncode})\n{ended.stderr}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
