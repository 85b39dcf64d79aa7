"""What goes wrong with a batch over folders: what it was asked for, and where its outputs belong."""

from __future__ import annotations

from dataclasses import dataclass

from autorag_whisper.domain.errors import RequestError, UnavailableError


@dataclass(eq=False)
class NothingFound(RequestError):
    """No file was found. `purpose`: what for ("transcribe"); `reasons`: one for each name that gave none."""

    purpose: str
    reasons: tuple[str, ...]
    advice: str = "name media files, or folders that hold some"

    def problem(self) -> str:
        return f"nothing to {self.purpose}: {'; '.join(self.reasons)}"

    @property
    def remedy(self) -> str:
        return self.advice


@dataclass(eq=False)
class OutputsMeet(RequestError):
    """An output of two inputs, or one that is an input itself. `other` is the second input, "" for the latter."""

    output: str
    name: str
    other: str = ""

    def problem(self) -> str:
        rest = f" and of {self.other}" if self.other else ", and it is itself an input"
        return f"{self.output} would be the output of {self.name}{rest}"

    @property
    def remedy(self) -> str:
        return "transcribe them in separate runs, or rename one"


@dataclass(eq=False)
class OutputIsInput(RequestError):
    """A result in JSON whose only output would be that same file."""

    name: str

    def problem(self) -> str:
        return f"{self.name} would be its own output"

    @property
    def remedy(self) -> str:
        return "name another format, or an output folder"


@dataclass(eq=False)
class OutputFolderUnwritable(RequestError):
    """The folder that was named for all outputs cannot be made or written to. Found before any work."""

    folder: str
    reason: str

    def problem(self) -> str:
        return f"{self.folder} cannot be written to: {self.reason}"

    @property
    def remedy(self) -> str:
        return "choose another output folder"


@dataclass(eq=False)
class WatchedFolderMissing(RequestError):
    """The folder that is to be watched is not there."""

    folder: str

    def problem(self) -> str:
        return f"{self.folder}: no such folder to watch"

    @property
    def remedy(self) -> str:
        return "make it, or mount it, before the server starts"


@dataclass(eq=False)
class OutputsUnwritable(UnavailableError):
    """The outputs of one file cannot be written; those of others may be. `name` is shown to people."""

    name: str
    reason: str

    def problem(self) -> str:
        return f"{self.name}: its outputs cannot be written: {self.reason}"


@dataclass(eq=False)
class DiskFull(UnavailableError):
    """Outputs cannot be written, and what comes next will not be either. `reason` is the operating system's."""

    folder: str
    reason: str

    def problem(self) -> str:
        return f"{self.folder} takes no more files: {self.reason}"

    @property
    def remedy(self) -> str:
        return "make room there, or choose another output folder; what is recognised so far is not lost"


@dataclass(eq=False)
class ScratchFull(DiskFull):
    """Temporary files cannot be written: media that are fetched have no room on this machine."""

    @property
    def remedy(self) -> str:
        return "make room there, or name another folder by TMPDIR; what is recognised so far is not lost"


# ---------------------------------------------------------------- plans, shards and their results


@dataclass(eq=False)
class InvalidPlan(RequestError):
    """A plan that cannot be read or makes no sense. `line`: from 1, 0 is none."""

    name: str
    reason: str
    line: int = 0

    def problem(self) -> str:
        return f"{self.name}{f', line {self.line}' if self.line else ''}: {self.reason}"

    @property
    def remedy(self) -> str:
        return "make it with `autorag-whisper archive plan`"


class InvalidList(InvalidPlan):
    """A list of recordings, of which a plan is to be made, that cannot be read or makes no sense."""

    @property
    def remedy(self) -> str:
        return (
            'give text with a path or an address in each line, or JSON lines (*.jsonl) or Parquet with "uri", and an '
            '"id" of each recording\'s own where you name one'
        )


class PlanUnwritable(InvalidPlan):
    """A plan that cannot be written."""

    @property
    def remedy(self) -> str:
        return "choose another name or place for it"


@dataclass(eq=False)
class PlanExists(RequestError):
    """A file has the name that a plan is to get, and is not to be lost."""

    name: str

    def problem(self) -> str:
        return f"{self.name} exists"

    @property
    def remedy(self) -> str:
        return "name another file, or --extend it by what is new"


@dataclass(eq=False)
class NoSuchShard(RequestError):
    """A part of the shards that there is not: `--shard 4/4`."""

    given: str

    def problem(self) -> str:
        return f"--shard {self.given}: no such part"

    @property
    def remedy(self) -> str:
        return "use I/N with I from 0 to N-1, as SLURM_ARRAY_TASK_ID/SLURM_ARRAY_TASK_COUNT"


@dataclass(eq=False)
class ResultsOfAnotherPlan(RequestError):
    """The folder holds results of another plan, whose shards are others."""

    folder: str

    def problem(self) -> str:
        return f"{self.folder} holds the results of another plan"

    @property
    def remedy(self) -> str:
        return "name another output folder; new files come into a plan by `archive plan --extend OLD`"


@dataclass(eq=False)
class ResultsNotFound(RequestError):
    """There are no results, or those of several runs, where one run's were asked for."""

    folder: str
    runs: tuple[str, ...] = ()

    def problem(self) -> str:
        if self.runs:
            return f"{self.folder} holds results of {len(self.runs)} runs: {', '.join(self.runs)}"
        return f"{self.folder} holds no results of `archive run`"

    @property
    def remedy(self) -> str:
        return "name one of these folders" if self.runs else "name the folder that was given to `archive run -o`"


@dataclass(eq=False)
class ResultsDamaged(UnavailableError):
    """A file of results that is not as it was written."""

    name: str
    reason: str

    def problem(self) -> str:
        return f"{self.name} is damaged: {self.reason}"

    @property
    def remedy(self) -> str:
        return "remove it and run again: what it held is recognised anew"


@dataclass(eq=False)
class MergeTargetExists(RequestError):
    """A file or folder that no merge has made stands where the merged results belong."""

    name: str

    def problem(self) -> str:
        return f"{self.name} exists, and no merge has made it"

    @property
    def remedy(self) -> str:
        return "name a new folder"


@dataclass(eq=False)
class MediaUnreachable(UnavailableError):
    """Media in a storage that does not answer, or not as it should. `name` is shown to people."""

    name: str
    reason: str

    def problem(self) -> str:
        return f"{self.name} cannot be fetched: {self.reason}"

    @property
    def remedy(self) -> str:
        return "try again (`archive retry`), or check the storage's address and keys"


@dataclass(eq=False)
class ClusterFailed(UnavailableError):
    """A Ray cluster that cannot be reached, or was lost."""

    reason: str

    def problem(self) -> str:
        return f"the Ray cluster failed: {self.reason}"

    @property
    def remedy(self) -> str:
        return "what is done stays done: when the cluster is there the same command goes on"


@dataclass(eq=False)
class ClusterStuck(UnavailableError):
    """A Ray cluster on which nothing is done: its actors wait for resources that nothing gives back, mostly."""

    waited_s: float

    def problem(self) -> str:
        return f"nothing was done on the Ray cluster for {self.waited_s:.0f} s"

    @property
    def remedy(self) -> str:
        return "see `ray status`; fewer --actors, or fewer --actor-cpus, leave a slot for Ray's own tasks"


@dataclass(eq=False)
class ClusterSilent(UnavailableError):
    """A Ray cluster whose engines give no sign of life, `times` in a row without anything done."""

    times: int

    def problem(self) -> str:
        return f"the engines on the Ray cluster went silent {self.times} times, and nothing was done between"

    @property
    def remedy(self) -> str:
        return "see `ray status` and whether its machines answer; the same command goes on with what is left"


@dataclass(eq=False)
class RecordingKills(UnavailableError):
    """Processes died with this recording in hand and nothing else. `reason`: how, as far as it is known."""

    name: str
    reason: str

    def problem(self) -> str:
        return f"{self.name}: processes that recognise it die ({self.reason})"

    @property
    def remedy(self) -> str:
        return "`archive retry` tries it again: with more memory, another version, or a copy that was converted"
