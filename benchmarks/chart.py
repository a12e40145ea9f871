"""The chart: bars of one workload as SVG, for light and dark backgrounds. Draws; knows nothing of measuring."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

__all__ = ["chart"]

WIDTH, LEFT, RIGHT = 760, 130, 150  # LEFT: names; RIGHT: figures behind the longest bar
TOP, BAR, STEP = 62, 20, 30

STYLE = """
    text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #24292f }
    .title { font-size: 16px; font-weight: 600 }
    .note { font-size: 12px; fill: #57606a }
    .ours text { font-weight: 600 }
    rect { fill: #afb8c1 }
    .ours rect { fill: #0a7d5a }
    .limit rect { fill: none; stroke: #57606a; stroke-dasharray: 4 3 }
    @media (prefers-color-scheme: dark) {
        text { fill: #e6edf3 }
        .note { fill: #9198a1 }
        rect { fill: #59636e }
        .ours rect { fill: #3fb68b }
        .limit rect { stroke: #9198a1 }
    }
"""


def chart(report: Mapping[str, Any], machine: Mapping[str, Any], *, ours: str = "aioreq", limit: str = "bare") -> str:
    """Work done for each second of the client's CPU: a longer bar is a better one."""
    figure = report["figure"]
    scale = {"cpu_us": 1e6, "wall_ms": 1e3, "connection_kb": 1.0}[figure]
    what = {
        "cpu_us": f"{report['unit']}s for each second of the client's CPU",
        "wall_ms": "runs a second",
        "connection_kb": "connections a KB",
    }[figure]
    rows = sorted(((name, scale / row[figure]) for name, row in report["clients"].items() if row[figure] > 0), key=lambda row: -row[1])
    longest = max((value for _, value in rows), default=1.0)
    height = TOP + STEP * len(rows) + 24
    conditions = ", ".join(str(machine[key]) for key in ("python", "loop", "server", "system") if key in machine)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        f"<title>{escape(report['title'])}</title>",
        f"<style>{STYLE}</style>",
        f'<text class="title" x="12" y="24">{escape(report["title"])}</text>',
        f'<text class="note" x="12" y="44">{escape(what)} (longer is better)</text>',
    ]
    for position, (name, value) in enumerate(rows):
        lines += _bar(name, value, value / longest, TOP + STEP * position, _kind(name, ours, limit))
    lines += [f'<text class="note" x="12" y="{height - 8}">{escape(conditions)}</text>', "</svg>"]
    return "\n".join(lines) + "\n"


def _kind(name: str, ours: str, limit: str) -> str:
    return "ours" if name == ours else "limit" if name.startswith(limit) else "rival"


def _bar(name: str, value: float, share: float, y: int, kind: str) -> list[str]:
    length = max(share * (WIDTH - LEFT - RIGHT), 1)
    label = f"{name} (the limit)" if kind == "limit" and name == "bare" else name
    return [
        f'<g class="{kind}">',
        f'<text x="{LEFT - 10}" y="{y + 15}" text-anchor="end">{escape(label)}</text>',
        f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>',
        f'<text x="{LEFT + length + 8:.1f}" y="{y + 15}">{value:,.0f}</text>' if value >= 10 else
        f'<text x="{LEFT + length + 8:.1f}" y="{y + 15}">{value:,.2f}</text>',
        "</g>",
    ]  # fmt: skip
