"""What was done in a run, what was left out, what failed and why; and what is said of it at the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from autorag_whisper.archive.inputs import NotDone
from autorag_whisper.cli.exits import FAILED, KEPT, SUCCESS
from autorag_whisper.cli.progress import complain, say
from autorag_whisper.domain.archive_errors import OutputsUnwritable
from autorag_whisper.domain.errors import MediaError

if TYPE_CHECKING:
    from autorag_whisper.domain.errors import AutoragWhisperError


@dataclass(slots=True)
class Summary:
    """Counts every input once: done, skipped, left to another run (`elsewhere`), or a problem."""

    done: int = 0
    skipped: int = 0
    problems: list[NotDone] = field(default_factory=list)
    kept: list[NotDone] = field(default_factory=list)
    elsewhere: int = 0

    def fail(self, shown: str, reason: str) -> None:
        """Note that one input cannot be done."""
        self.problems.append(NotDone(shown, reason))

    def keep(self, shown: str, outputs: str) -> None:
        """Note that files are kept which have the names of an input's outputs."""
        self.kept = [problem for problem in self.kept if problem.shown != shown]
        self.kept.append(NotDone(shown, outputs))

    def close(self) -> int:
        """Print what was left out and what failed; return the exit code."""
        if self.skipped:
            say(f"{_files(self.skipped)} finished by an earlier run (--force does them again)")
        if self.elsewhere:
            say(f"{_files(self.elsewhere)} left to another run, which is at work on them")
        if self.kept:
            count = _files(len(self.kept))
            complain(f"{count} with outputs kept, as only what is ours and unchanged is replaced (--force: all):")
            for kept in self.kept:
                complain(f"  {kept.shown}: {kept.reason}")
        if not self.problems:
            return KEPT if self.kept or self.elsewhere else SUCCESS
        total = self.done + self.skipped + self.elsewhere + len(self.problems)
        complain(f"{len(self.problems)} of {_files(total)} failed:")
        for problem in self.problems:
            complain(f"  {problem.shown}: {problem.reason}")
        return FAILED


def reason_of(error: AutoragWhisperError) -> str:
    """What is wrong and what to do, without the file's name: the caller writes that, with its folder, before it."""
    problem = error.problem()
    if isinstance(error, MediaError | OutputsUnwritable):
        problem = problem.removeprefix(f"{error.name}: ")
    return f"{problem}; {error.remedy}" if error.remedy else problem


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
