"""Rounds: each client in its turn, again and again, so that the machine's moods meet all of them. Judges nothing; report.py does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from .clients import CLIENTS
from .processes import STATEMENTS, Failed, Figures, measure
from .servers import Servers
from .workloads import Workload

__all__ = ["Plan", "Result", "run"]

OWN = ("aioreq", "aioreq-pure", "bare", "bare-plain")  # what fails of these is a mistake, not something to leave out


@dataclass(frozen=True)
class Plan:
    clients: tuple[str, ...]
    rounds: int = 9
    seconds: float = 0.4  # a slice
    requests: int = 0  # as many in each slice, instead
    loop: str = "asyncio"
    quick: bool = False
    few: Mapping[str, int] = field(default_factory=dict)  # who takes part in the first rounds only, as it takes so long


@dataclass
class Result:
    """All figures of one workload: a dict of clients a round; and who was left out, with the reason."""

    workload: Workload
    rounds: list[dict[str, Figures]] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def entrants(workload: Workload, clients: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Who takes part in the workload; and who doesn't, and why."""
    left_out: dict[str, str] = {}
    taking = list(STATEMENTS) if workload.kind == "import" else []
    for name in clients:
        entrant = CLIENTS[name]
        if workload.protocol not in entrant.speaks:
            continue
        reasons = [entrant.missing(), *(entrant.lacks[need] for need in sorted(workload.needs) if need in entrant.lacks)]
        reason = next((reason for reason in reasons if reason is not None), None)
        if reason is None:
            taking.append(name)
        else:
            left_out[name] = reason
    return taking, left_out


def run(workload: Workload, servers: Servers, plan: Plan, tell: Callable[[str], None] = lambda _: None) -> Result:
    clients, left_out = entrants(workload, plan.clients)
    result = Result(workload, left_out=left_out)
    requests = plan.requests or (workload.quick if plan.quick else workload.requests)
    for number in range(min(plan.rounds, workload.rounds or plan.rounds)):
        figures: dict[str, Figures] = {}
        for name in clients:
            if name in left_out or number >= plan.few.get(name, plan.rounds):
                continue
            tell(f"{workload.name}: round {number + 1} of {plan.rounds}, {name}")
            try:
                figures[name] = measure(name, workload, servers, plan.loop, plan.seconds, requests)
            except Failed as failure:
                if name in OWN:
                    raise
                left_out[name] = "failed: " + str(failure).strip().splitlines()[-1]
        result.rounds.append(figures)
    return result
