"""python -m fuzz: the parser against mutated responses; see fuzz/README.md. Starts workers and keeps what they die of."""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
from pathlib import Path

from . import sanitized

CRASHES = Path(__file__).parent / "crashes"


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz the response parser.")
    options.add_argument("--twin", choices=("compiled", "pure", "both"), default="both")
    options.add_argument("--seconds", type=float, default=60, help="CPU seconds for each twin (60)")
    options.add_argument("--seed", type=int, default=None, help="of the mutations (random; told at the start)")
    options.add_argument("--plant", action="store_true", help="plant an over-read in the compiled twin; succeeds when it is found")
    options.add_argument("--replay", type=Path, metavar="CRASH", help="run one kept case again")
    options.add_argument("--work", nargs=5, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.work:
        from . import worker

        twin, extension, seed, left_behind, found = chosen.work
        if chosen.replay:
            return worker.replay(twin, extension, chosen.replay)
        return worker.work(twin, extension, chosen.seconds, int(seed), Path(left_behind), Path(found))
    if chosen.plant:
        return find_the_planted(chosen)
    twins = ("compiled", "pure") if chosen.twin == "both" else (chosen.twin,)
    return max(run(twin, chosen, planted=False).returncode for twin in twins)


def run(twin: str, chosen: argparse.Namespace, planted: bool, quiet: bool = False) -> subprocess.CompletedProcess[str]:
    sanitized.BUILD.mkdir(exist_ok=True)
    CRASHES.mkdir(exist_ok=True)
    extension = str(sanitized.build(planted)) if twin == "compiled" else ""
    environment = sanitized.environment() if twin == "compiled" else dict(os.environ)
    seed = chosen.seed if chosen.seed is not None else random.randrange(1 << 32)
    left_behind = CRASHES / f"{twin}-{seed}{'-planted' if planted else ''}"
    found = sanitized.BUILD / ("found-planted.txt" if planted else "found.txt")
    command = [sys.executable, "-m", "fuzz", "--seconds", str(chosen.seconds)]
    command += ["--replay", str(chosen.replay)] if chosen.replay else []
    command += ["--work", twin, extension, str(seed), str(left_behind), str(found)]
    print(f"{twin}: {chosen.seconds:.0f} s of CPU time, --seed {seed}", flush=True)
    ended = subprocess.run(command, env=environment, stderr=subprocess.PIPE if quiet else None, text=True, check=False)
    if ended.returncode == 0 or planted:
        left_behind.unlink(missing_ok=True)
    elif not chosen.replay:
        print(f"{twin}: kept; run it again with: python -m fuzz --twin {twin} --replay {left_behind}", file=sys.stderr)
    return ended


def find_the_planted(chosen: argparse.Namespace) -> int:
    ended = run("compiled", chosen, planted=True, quiet=True)
    if ended.returncode == 86 and "heap-buffer-overflow" in ended.stderr and "skip_token" in ended.stderr:
        print("the planted over-read was found: heap-buffer-overflow in skip_token")
        return 0
    print(f"the planted over-read was NOT found (exit {ended.returncode})\n{ended.stderr}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
