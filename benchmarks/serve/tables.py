"""Figures as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GOALS = {
    "latency": "added p50 <= 15 ms, p99 <= 40 ms",
    "throughput": ">= 4 times the best peer, at no worse WER",
    "beside-a-long-job": "p95 <= 3 times unloaded and one batch; the job within 1.3 times",
    "first-delta": "<= 2 s",
    "shutdown": "idle < 1 s; in flight: finished or handed back",
    "soak": "both processes within 5 %, no descriptor left",
}


def markdown(found: Mapping[str, Any]) -> str:
    """All parts that were measured, the comparison of servers as a table of its own."""
    parts = [", ".join(str(value) for value in found["about"].values())]
    for name, goal in GOALS.items():
        if name in found:
            parts.append(f"## {name} (goal: {goal})\n\n{_part(found[name])}")
    return "\n\n".join(parts)


BEGIN, END = "<!-- begin: python -m benchmarks.serve --readme -->", "<!-- end -->"
"""Between these README has the table of servers."""


def put_into(readme: str, found: Mapping[str, Any]) -> str:
    """README with the table of servers as it was measured. Raises ValueError where it has no place for it."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, behind = rest.partition(END)
    if not begin or not end or END in before:
        raise ValueError(f"README has not {BEGIN} and behind it {END}")
    about = ", ".join(str(value) for value in found["about"].values())
    table = "\n".join(_servers(found["throughput"]["servers"]))
    return f"{before}{BEGIN}\n{about}\n\n{table}\n{END}{behind}"


def _part(figures: Mapping[str, Any]) -> str:
    servers = figures.get("servers")
    rest = [f"- {name}: {value}" for name, value in figures.items() if name != "servers"]
    return "\n".join([*(_servers(servers) if servers else []), "", *rest]).strip()


def _servers(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    heads: Sequence[str] = ("server", "requests/s", "p50 s", "p95 s", "WER %", "MB", "answered", "failed")
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|---:" * (len(heads) - 1) + "|"]
    for row in rows.values():
        if "problem" in row:
            reason = row["problem"].splitlines()[-1].replace("|", "/")
            lines.append(f"| {row['told']} | did not start: {reason} |" + " |" * (len(heads) - 2))
            continue
        cells = (
            row["told"],
            f"{row['requests_per_s']:.2f}",
            f"{row['p50_ms'] / 1000:.2f}",
            f"{row['p95_ms'] / 1000:.2f}",
            f"{row['wer']:.1f}",
            row["memory_mb"],
            row["requests"],
            row["failed"],
        )
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return lines
