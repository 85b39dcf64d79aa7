"""Where several shards are in work in one process, what goes alone has nothing beside it."""

from __future__ import annotations

import contextlib
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.archive.request import BatchRequest
from autorag_whisper.archive.sharded.in_hand import InHand
from autorag_whisper.archive.sharded.results import Results, RunFacts
from autorag_whisper.archive.sharded.rows import Row, uri_of
from autorag_whisper.archive.sharded.running import Hooks, ShardedRun
from autorag_whisper.archive.sharded.turns import Turns
from autorag_whisper.testing import speech_samples, write_speech
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PATIENCE_S = 60.0


class Watched(Turns):
    """Notes who is at it, in the order of entering and leaving."""

    def __init__(self) -> None:
        super().__init__()
        self.now: list[str] = []
        self.told: list[str] = []

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        with super().together():
            self.now.append("together")
            self.told.append("together")
            yield
            self.now.remove("together")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        with super().alone():
            assert not self.now
            self.now.append("alone")
            self.told.append("alone")
            yield
            self.now.remove("alone")


@pytest.mark.parametrize("seed", range(5))
def test_whoever_comes_nobody_is_beside_one_that_is_alone_and_all_come_to_an_end(seed: int) -> None:
    chance, turns = random.Random(seed), Watched()

    def go(kinds: list[str]) -> None:
        for kind in kinds:
            with turns.together() if kind == "together" else turns.alone():
                assert turns.now == ["alone"] if kind == "alone" else "alone" not in turns.now

    plans = [[chance.choice(["together", "alone"]) for _ in range(50)] for _ in range(6)]
    with ThreadPoolExecutor(len(plans)) as threads:
        for done in [threads.submit(go, plan) for plan in plans]:
            done.result(_PATIENCE_S)
    assert sorted(turns.told) == sorted(kind for plan in plans for kind in plan)


def test_who_waits_to_be_alone_goes_before_those_who_come_later() -> None:
    turns, order = Turns(), list[str]()

    def go(kind: str) -> None:
        with turns.alone() if kind == "alone" else turns.together():
            order.append(kind)

    with ThreadPoolExecutor(2) as threads:
        with turns.together():
            alone = threads.submit(go, "alone")
            while not turns._waiting:
                threading.Event().wait(0.001)
            later = threads.submit(go, "together")
        alone.result(_PATIENCE_S)
        later.result(_PATIENCE_S)
    assert order == ["alone", "together"]


def test_an_error_gives_the_turn_back() -> None:
    turns = Turns()
    for turn in (turns.alone, turns.together):
        with pytest.raises(ValueError, match="x"), turn():
            raise ValueError("x")
    with turns.alone():
        pass


def test_a_run_recognises_alone_what_was_in_hand_of_a_process_that_died_and_the_rest_together(tmp_path: Path) -> None:
    # Two shards in work on one actor of Ray: one whose recording killed the actor had another shard's beside it, which
    # was blamed, too.
    results = Results.begin(tmp_path, RunFacts("ab", "base", "0" * 16, {}))
    rows = [
        Row(str(n), uri_of(write_speech(tmp_path / f"{n}.wav", speech_samples(n))), shard=n % 2) for n in range(1, 5)
    ]
    InHand(results.folder).begin(1, "3")  # and died
    turns, worlds = Watched(), [World(), World()]
    runs = [
        ShardedRun(
            Results(results.folder),
            BatchRequest((), None, "tiny"),
            attempt=1,
            cache_dir=tmp_path / "cache",
            clock=lambda: 0.0,
            hooks=Hooks(turns=turns),
        )
        for _ in worlds
    ]
    with ThreadPoolExecutor(2) as threads:
        tallies = [
            threads.submit(run.run, [(shard, [row for row in rows if row.shard == shard])], world.transcriber)
            for shard, (run, world) in enumerate(zip(runs, worlds, strict=True))
        ]
        assert sum(tally.result(_PATIENCE_S).done for tally in tallies) == 4
    assert sorted(turns.told) == ["alone", "together", "together"]
