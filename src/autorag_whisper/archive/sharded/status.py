"""How far a plan is, by its results alone; and the plan of what is to be tried again."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from autorag_whisper.archive.sharded.rows import Head, dumps

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from autorag_whisper.archive.sharded.plan_file import PlanFile
    from autorag_whisper.archive.sharded.results import Results
    from autorag_whisper.archive.sharded.rows import Row


@dataclass
class Status:
    """Recordings of a plan by what became of them; `failures` by the error's type, `shards` by how far they are.

    `known_s`: seconds of recordings whose duration the plan has, `left_s`: of those that are left.
    """

    rows: int = 0
    done: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    shards: int = 0
    complete_shards: int = 0
    known_s: float = 0.0
    left_s: float = 0.0

    @property
    def failed(self) -> int:
        """Recordings that failed."""
        return self.failures.total()

    @property
    def left(self) -> int:
        """Recordings without a result."""
        return self.rows - self.done - self.failed

    def facts(self) -> dict[str, Any]:
        """For programs."""
        return {
            "recordings": self.rows,
            "done": self.done,
            "failed": self.failed,
            "left": self.left,
            "failures": dict(sorted(self.failures.items())),
            "shards": self.shards,
            "complete_shards": self.complete_shards,
            "known_s": round(self.known_s, 3),
            "left_s": round(self.left_s, 3),
        }


def status_of(plan: PlanFile, results: Results) -> Status:
    """Count a plan's recordings. Reads the first line of every file of results. Raises ResultsDamaged.

    In a plan of what failed it is left until it was tried again: an earlier attempt's failure says nothing of it.
    """
    status = Status()
    for number, rows in plan.shards():
        entries = results.entries(number)
        left = 0
        for row in rows:
            entry, seconds = entries.get(row.id), row.duration_s or 0.0
            status.known_s += seconds
            if entry is None or not entry.is_settled(plan.head.attempt):
                left += 1
                status.left_s += seconds
            elif entry.is_done:
                status.done += 1
            else:
                status.failures[entry.error] += 1
        status.rows += len(rows)
        status.shards += 1
        status.complete_shards += not left
    return status


@dataclass
class RetryPlan:
    """A plan of what failed, in the shards that it had. `last`: the latest attempt at any of it."""

    plan: PlanFile
    rows: list[Row]
    last: int

    @property
    def head(self) -> Head:
        """Its head: the same plan and shards, one attempt later."""
        return replace(self.plan.head, rows=len(self.rows), attempt=self.last + 1)

    def lines(self) -> Iterator[tuple[int, str]]:
        """As `plan_file.write_plan` takes them."""
        return ((row.shard, dumps(row.facts())) for row in self.rows)


def retry_plan(plan: PlanFile, results: Results, wanted: frozenset[str] | None) -> tuple[RetryPlan, Counter[str]]:
    """The plan of what failed and may succeed, and what else failed by the error's type.

    `wanted`: types of errors; None has those that are not the recording's own fault, such as a storage's that did not
    answer. Raises ResultsDamaged.
    """
    chosen, others = list["Row"](), Counter[str]()
    attempt = plan.head.attempt
    for number, rows in plan.shards():
        failed = {who: entry for who, entry in results.entries(number).items() if not entry.is_done}
        if not failed:
            continue
        later = _may_succeed(results, number) if wanted is None else frozenset()
        for row in rows:
            if (entry := failed.get(row.id)) is None:
                continue
            attempt = max(attempt, entry.attempt)
            if row.id in later if wanted is None else entry.error in wanted:
                chosen.append(row)
            else:
                others[entry.error] += 1
    return RetryPlan(plan, chosen, attempt), others


def kinds_of_failures(plan: PlanFile, results: Results) -> frozenset[str]:
    """The types of errors of everything that failed and was not done since. Raises ResultsDamaged."""
    entries = (entry for number, _ in plan.shards() for entry in results.entries(number).values())
    return frozenset(entry.error for entry in entries if not entry.is_done)


def _may_succeed(results: Results, shard: int) -> frozenset[str]:
    records = results.records(shard)
    return frozenset(who for who, record in records.items() if record.get("error", {}).get("may_succeed_later"))
