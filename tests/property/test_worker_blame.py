"""Who is to blame where jobs of several callers die together: whoever kills is found, and nobody else is ever blamed.

Played to its end over the supervision's own bookkeeping, `WorkerJob`, and a process that does one chunk after another
of what it was given, in any order, and dies of some.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from autorag_whisper.audio.source import MediaSource
from autorag_whisper.worker.job import WorkerJob
from autorag_whisper.worker.messages import Start
from autorag_whisper.worker.supervision import Limits, Standing, admitted

LIMITS = Limits()
MOST_CRASHES = 40


@dataclass(frozen=True)
class Recording:
    """So many chunks, of which one kills the process: its place, or None."""

    chunks: int
    kills_at: int | None = None


@dataclass
class Played:
    """A job of some recordings. `kills`: its model does, when it is loaded."""

    recordings: list[Recording]
    kills: bool
    job: WorkerJob = field(init=False)
    opened: dict[int, list[int]] = field(default_factory=dict)  # place in the round -> chunks that are left
    round: tuple[int, ...] = ()
    done: set[int] = field(default_factory=set)
    poisoned: set[int] = field(default_factory=set)
    gave_up: bool = False

    def __post_init__(self) -> None:
        files = tuple(MediaSource.from_path(Path(f"/{n}.wav")) for n in range(len(self.recordings)))
        self.job = WorkerJob(files, None, "fake", None)

    def number(self, source: MediaSource) -> int:
        return self.job.files.index(source)

    def is_over(self) -> bool:
        """Have it choose what goes next."""
        self.gave_up = self.job.cannot_begin(LIMITS)
        self.poisoned |= {self.number(file.source) for file in self.job.next_round(LIMITS)}
        return self.gave_up or self.job.is_over()

    def begin(self) -> None:
        message = self.job.message(1, None)
        assert isinstance(message, Start)
        self.round = tuple(self.number(source) for source in message.files)
        self.opened, self.begun = {}, 0
        self.kept = {at: set(chunks) for at, chunks in message.done.items()}

    def step(self, chance: st.DataObject) -> bool:
        """Do something; whether the process dies of it."""
        if not self.begun and self.kills:
            return True
        can_open = self.begun < len(self.round) and len(self.opened) < 2
        if can_open and (not self.opened or chance.draw(st.booleans())):
            at = self.begun
            self.job.begun(at, 0)
            left = [n for n in range(self.recordings[self.round[at]].chunks) if n not in self.kept.get(at, ())]
            self.opened[at] = left
            self.begun += 1
            return False
        at = chance.draw(st.sampled_from(sorted(self.opened)))
        file, left = self.round[at], self.opened[at]
        if left:
            # Two of them are in the engine at once.
            chunk = left.pop(chance.draw(st.integers(0, min(1, len(left) - 1))))
            if chunk == self.recordings[file].kills_at:
                return True
            self.job.noted(at, chunk, (b"header", b"line"))
        if not left:
            del self.opened[at]
            self.job.over(at)
            self.done.add(file)
        return False

    def is_through(self) -> bool:
        return self.begun == len(self.round) and not self.opened


RECORDINGS = st.integers(1, 12).flatmap(
    lambda chunks: st.builds(Recording, st.just(chunks), st.none() | st.none() | st.integers(0, chunks - 1))
)
JOBS = st.lists(
    st.builds(Played, st.lists(RECORDINGS, min_size=1, max_size=3), st.sampled_from([False, False, False, True])),
    min_size=1,
    max_size=5,
)


@settings(deadline=None)
@given(JOBS, st.data())
def test_whoever_kills_is_found_and_no_innocent_file_is_ever_blamed(jobs: list[Played], chance: st.DataObject) -> None:
    waiting, on = list(jobs), list[Played]()
    crashes = 0
    while True:
        waiting = [job for job in waiting if not job.is_over()]
        calls = [*on, *waiting]
        for place in admitted([call.job.standing() for call in calls], LIMITS):
            calls[place].begin()
            on.append(calls[place])
            waiting.remove(calls[place])
        assert on or not waiting, "somebody waits for nobody"
        if not on:
            break
        at = chance.draw(st.sampled_from(range(len(on))))
        if on[at].step(chance):
            crashes += 1
            assert crashes <= MOST_CRASHES
            alone = sum(len(job.job.in_flight) for job in on) == 1
            for job in on:
                job.job.died("killed", alone=alone, ready=True)
            waiting, on = [*on, *waiting], []
        elif on[at].is_through():
            job = on.pop(at)
            job.job.ended(None)
            waiting.append(job)
    for job in jobs:
        killers = {n for n, recording in enumerate(job.recordings) if recording.kills_at is not None}
        assert job.gave_up == job.kills
        assert job.poisoned <= killers
        if not job.kills:
            assert job.poisoned == killers
            assert job.done == set(range(len(job.recordings))) - killers


STANDINGS = st.lists(
    st.builds(Standing, st.booleans(), st.booleans(), st.booleans(), st.floats(0, 60)).filter(
        lambda job: not (job.is_on and job.was_on_trial)
    ),
    max_size=6,
)


@given(STANDINGS)
def test_somebody_is_always_on_and_one_suspect_at_a_time_joins(jobs: list[Standing]) -> None:
    chosen = admitted(jobs, LIMITS)
    assert not any(jobs[place].is_on for place in chosen)
    on_trial = [job for job in jobs if job.is_on and job.is_suspect and job.on_s < LIMITS.trial_s]
    waiting = [job for job in jobs if not job.is_on]
    if on_trial:
        assert chosen == ()
    elif any(job.is_suspect for job in waiting):
        [place] = chosen
        assert jobs[place].is_suspect
        assert jobs[place].was_on_trial or not any(job.is_suspect and job.was_on_trial for job in waiting)
    else:
        assert len(chosen) == len(waiting)


def test_a_process_that_cannot_begin_is_no_files_fault_and_is_not_begun_for_ever() -> None:
    jobs = [Played([Recording(3)], kills=False) for _ in range(3)]
    for deaths in range(LIMITS.strikes):
        assert not any(job.is_over() for job in jobs), deaths
        for job in jobs:
            job.begin()
        for job in jobs:
            job.job.died("exit code 3", alone=False, ready=False)
    assert all(job.is_over() and job.gave_up and not job.poisoned for job in jobs)
