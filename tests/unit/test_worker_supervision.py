"""When a worker process is ended, replaced or given up: the policy as a pure function."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.worker.job import WorkerJob
from autorag_whisper.worker.supervision import Act, Limits, Round, Seen, Standing, judge, next_round

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = Limits(silent_s=10, stalled_s=100, memory_bytes=1 << 30, idle_s=50, start_s=20)


@pytest.mark.parametrize(
    ("seen", "act", "reason"),
    [
        (Seen(), Act.GO_ON, ""),
        (Seen(silent_s=11), Act.KILL, "no sign of life for 11 s"),
        (Seen(stalled_s=101), Act.KILL, "nothing was done for 101 s"),
        (Seen(stalled_s=101, idle_s=1), Act.GO_ON, ""),
        (Seen(resident_bytes=2 << 30), Act.REPLACE, "grown to 2048 MiB"),
        (Seen(broken="illegal access"), Act.REPLACE, "context on the card is broken: illegal access"),
        (Seen(broken="illegal access", idle_s=1), Act.END, "context on the card is broken"),
        (Seen(broken="illegal access", stalled_s=101), Act.KILL, "nothing was done"),
        (Seen(idle_s=51), Act.END, "idle for 51 s"),
        (Seen(is_ready=False, since_start_s=15, silent_s=15), Act.GO_ON, ""),
        (Seen(is_ready=False, since_start_s=21), Act.KILL, "did not start"),
        (Seen(silent_s=11, resident_bytes=2 << 30), Act.KILL, "no sign of life"),
    ],
)
def test_each_limit_has_its_act_and_its_reason(seen: Seen, act: Act, reason: str) -> None:
    verdict = judge(seen, LIMITS)
    assert verdict.act is act
    assert reason in verdict.reason


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("silent_s", 0.0), ("stalled_s", -1.0), ("start_s", float("nan")), ("idle_s", -0.1), ("trial_s", -1.0),
        ("strikes", 0), ("deaths", 0), ("memory_bytes", -1),
    ],
)  # fmt: skip
def test_a_limit_that_no_process_or_file_could_keep_is_refused(field: str, value: float) -> None:
    # Without a strike to go every file was poison before it was begun.
    with pytest.raises(InvalidOption, match=f"limit {field} cannot be"):
        Limits(**{field: value})  # type: ignore[arg-type]  # some are whole numbers


def test_a_limit_that_is_not_set_ends_nothing() -> None:
    limits = Limits(idle_s=None, memory_bytes=0)
    assert judge(Seen(idle_s=1e9), limits).act is Act.GO_ON
    assert judge(Seen(resident_bytes=1 << 40), limits).act is Act.GO_ON


files = st.lists(st.integers(0, 20), unique=True, max_size=8).map(tuple)


@given(files, st.dictionaries(st.integers(0, 20), st.integers(0, 3)))
def test_a_round_loses_no_file_and_a_suspect_goes_alone(left: tuple[int, ...], strikes: dict[int, int]) -> None:
    chosen = next_round(left, strikes, {}, LIMITS)
    assert set(chosen.files) | set(chosen.poisoned) <= set(left)
    assert all(strikes.get(file, 0) >= LIMITS.strikes for file in chosen.poisoned)
    assert not any(strikes.get(file, 0) >= LIMITS.strikes for file in chosen.files)
    if any(strikes.get(file, 0) for file in chosen.files):
        assert len(chosen.files) == 1
    if len(chosen.poisoned) < len(left):
        assert chosen.files


def test_a_file_that_gets_on_between_two_deaths_goes_on_but_not_for_ever() -> None:
    assert next_round((0, 1), {}, {0: 9}, LIMITS).files == (0, 1)
    assert next_round((0, 1), {}, {0: 10}, LIMITS).poisoned == (0,)


@given(st.sets(st.integers(0, 5), max_size=3), st.integers(1, 6))
def test_whoever_kills_is_found_and_only_they_are(killers: set[int], count: int) -> None:
    """Played to its end: a process dies when it comes to a killer, with what it has in hand."""
    left, strikes, done, poisoned = list(range(count)), dict[int, int](), set[int](), set[int]()
    for _ in range(50):
        chosen = next_round(tuple(left), strikes, {}, LIMITS)
        poisoned |= set(chosen.poisoned)
        left = [file for file in left if file not in chosen.poisoned]
        if not left:
            break
        in_hand = list(chosen.files)[:2]
        if killers & set(in_hand):
            for file in in_hand:
                strikes[file] = strikes.get(file, 0) + 1
            continue
        done |= set(in_hand)
        left = [file for file in left if file not in in_hand]
    assert not left
    assert poisoned == killers & set(range(count))
    assert done == set(range(count)) - killers


class NotLookedThrough(tuple[int, ...]):
    """Files of a job that may be a hundred thousand."""

    __slots__ = ()

    def __iter__(self) -> Iterator[int]:
        pytest.fail("every file of the job was looked at")


def test_how_a_job_stands_takes_no_look_at_each_of_its_files_while_none_is_suspect() -> None:
    # It is asked with each message of the process, several for each file: a job of 20,000 took a minute for that alone.
    job = WorkerJob(tuple(MediaSource.from_path(f"{n}.wav") for n in range(3)), None, "base", None)
    job.next_round(LIMITS)
    job.message(1, None)
    whole = job._round
    job._round = Round(NotLookedThrough(whole.files))
    assert job.standing() == Standing(is_on=True)
    job._round = whole
    job.begun(1, 0)
    job.died("ended by signal 9", alone=True, ready=True)
    assert job.standing().is_suspect
    job.next_round(LIMITS)
    job.message(2, None)
    assert job.standing().is_suspect
