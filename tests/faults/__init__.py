"""The faults kit: what can go wrong on a connection, as scripts for aioreq.testing.Server.

RESPONSES                   sample responses by name, each a Sample(wire, body, status, trailers, until_close)
PHASES                      the moments at which an exchange can break: phase.arm(server, how), phase.steps(how)
HOWS, FAULTS                "close", "reset", "stall", and the step of each
cut_at(wire, n, how)        the first n bytes, then the fault
cuts(wire, how)             (n, steps) for every byte of a wire
drip(wire, size, pause)     a wire in small pieces
"""

from __future__ import annotations

from .phases import FAULTS, HOWS, PHASES, UPLOAD, How, Phase, cut_at, cuts, drip
from .samples import RESPONSES, Sample

__all__ = ["FAULTS", "HOWS", "PHASES", "RESPONSES", "UPLOAD", "How", "Phase", "Sample", "cut_at", "cuts", "drip"]
