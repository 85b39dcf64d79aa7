"""What an engine raises that nobody expects costs one recording and a load of the model, and no other recording."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.errors import EngineError, ModelDamaged
from autorag_whisper.domain.faults import was_fault
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.testing import FakeWhisper, speech_samples
from autorag_whisper.transcriber.assembly import Assembly
from autorag_whisper.transcriber.outcome import FileDone, FileFailed, FileOutcome
from autorag_whisper.transcriber.work import MOST_FAULTS
from run_world import CARD, NO_CARD, World

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from autorag_whisper.engines.base import Encoded, Hypothesis


class TheirsError(Exception):
    """Of a library that nobody has heard of."""


KINDS = (IndexError, KeyError, ZeroDivisionError, AssertionError, OSError, TimeoutError, StopIteration, TheirsError)
WORDS = {count: speech_samples(count) for count in range(1, 8)}


class Spoilt(FakeWhisper):
    """Raises at recordings of so many words. A copy that has raised is not called by anybody who comes later."""

    bad: frozenset[int] = frozenset()
    kind: type[Exception] = IndexError
    at: str = "generate"

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.raised_at: list[int] = []
        self.used_behind_it = False

    @property
    def has_raised(self) -> bool:
        return bool(self.raised_at)

    def encode(self, features: NDArray[np.float32] | Sequence[NDArray[np.float32]]) -> Encoded:
        self.used_behind_it |= self.has_raised
        if self.at == "encode":
            self._look(features)
        return super().encode(features)

    def _count(self, features: NDArray[np.float32]) -> Hypothesis:
        if self.at == "generate":
            self._look([features])
        return super()._count(features)

    def _look(self, rows: NDArray[np.float32] | Sequence[NDArray[np.float32]]) -> None:
        for row in rows:
            found = super()._count(row)
            count = len(self.tokenizer.decode(found.token_ids).split())
            if count in self.bad:
                self.raised_at.append(count)
                raise self.kind("of nobody's")


def spoilt(bad: frozenset[int], kind: type[Exception] = IndexError, at: str = "generate") -> type[Spoilt]:
    return type("SpoiltHere", (Spoilt,), {"bad": bad, "kind": kind, "at": at})


def outcomes(world: World, order: Sequence[int], batch_size: int, language: str | None = "en") -> list[FileOutcome]:
    media = [MediaSource.from_samples(WORDS[count], name=str(count)) for count in order]
    options = TranscribeOptions(language=language, batch_size=batch_size)
    return list(world.transcriber.transcribe_many(media, options, model="fake"))


@settings(max_examples=40)
@given(
    st.permutations(sorted(WORDS)),
    st.frozensets(st.sampled_from(sorted(WORDS)), min_size=1, max_size=MOST_FAULTS - 1),
    st.sampled_from(KINDS),
    st.sampled_from(("encode", "generate")),
    st.integers(1, 8),
    st.sampled_from((None, "en")),
    st.sampled_from((NO_CARD, CARD)),
)
def test_a_recording_at_which_the_engine_raises_fails_alone_and_no_copy_is_used_behind_it(
    order: list[int], bad: frozenset[int], kind: type[Exception], at: str, batch_size: int, language: str | None,
    hardware: Any,
) -> None:  # fmt: skip
    """It ended the run: of an archive over night nothing behind it was done."""
    world = World(hardware, engine=spoilt(bad, kind, at))
    found = {outcome.source.name: outcome for outcome in outcomes(world, order, batch_size, language)}
    assert sorted(found) == sorted(map(str, order))
    for name, outcome in found.items():
        if int(name) not in bad:
            assert len(outcome.result().words) == int(name)
            continue
        assert isinstance(outcome, FileFailed)
        assert was_fault(outcome.error)
        assert kind.__name__ in str(outcome.error)
        assert "of nobody's" in str(outcome.error)
    raised = [fake.has_raised for fake in world.fakes]
    assert {count for fake in world.fakes for count in fake.raised_at} == bad
    # A processor has two workers on one copy, at which both may raise before it is loaded anew.
    assert hardware is NO_CARD or sum(raised) >= len(bad)
    assert not raised[-1], "it was loaded behind the last one"
    # A processor has two workers: a batch that has begun on one goes on while the other's raises.
    assert hardware is NO_CARD or not any(fake.used_behind_it for fake in world.fakes)
    assert all(fake.closed == has_raised for fake, has_raised in zip(world.fakes, raised, strict=True))
    assert [reason for _, reason in world.loads] == ["first"] + ["evicted"] * (len(raised) - 1)
    assert world.residency.close()


def test_an_engine_that_fails_at_everything_ends_the_run_and_says_so() -> None:
    world = World(engine=spoilt(frozenset(WORDS)))
    media = [MediaSource.from_samples(WORDS[count], name=str(count)) for count in WORDS]
    found = list[FileOutcome]()
    run = world.transcriber.transcribe_many(media, TranscribeOptions(language="en"), model="fake")
    with pytest.raises(EngineError, match=r"3 recordings in a row.*IndexError: of nobody's") as ended:
        found.extend(run)
    assert was_fault(ended.value)
    assert [type(outcome) for outcome in found] == [FileFailed] * MOST_FAULTS
    assert world.residency.close()


def test_recordings_that_fail_between_others_end_no_run_however_many_they_are() -> None:
    world = World(engine=spoilt(frozenset({1})))
    found = outcomes(world, [1, 2] * (2 * MOST_FAULTS), 1)
    assert sorted(type(outcome).__name__ for outcome in found) == ["FileDone"] * 6 + ["FileFailed"] * 6


@pytest.mark.parametrize(
    "error", [ModelDamaged("fake", "model.bin", "gone"), MemoryError(), IndexError("load")], ids=repr
)
def test_a_model_that_does_not_load_again_ends_the_run_with_the_reason(error: Exception) -> None:
    world = World(engine=spoilt(frozenset({2})))

    def fail(_device: object) -> None:
        if len(world.loads) > 1:
            raise error

    world.fail_load = fail
    with pytest.raises(type(error)):
        outcomes(world, [1, 2, 3, 4], 1)
    world.fail_load = lambda _device: None
    assert isinstance(outcomes(world, [1], 1)[0], FileDone), "and the next run loads it"
    assert world.residency.close()


def test_whoever_else_is_at_work_on_the_model_goes_on() -> None:
    world, begun = World(CARD, engine=spoilt(frozenset({5}))), threading.Barrier(4)
    failed = list[str]()

    def work(count: int) -> Iterator[bool]:
        begun.wait(60)
        for _ in range(6):
            try:
                found = world.transcriber.transcribe(WORDS[count], TranscribeOptions(language="en"), model="fake")
                yield len(found.words) == count
            except EngineError as error:
                failed.append(str(error))

    threads = [threading.Thread(target=lambda n=n: results[n].extend(work(n))) for n in (3, 4, 5, 6)]
    results: dict[int, list[bool]] = {n: [] for n in (3, 4, 5, 6)}
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == {3: [True] * 6, 4: [True] * 6, 5: [], 6: [True] * 6}
    assert len(failed) == 6
    assert not any(fake.used_behind_it for fake in world.fakes)
    assert world.residency.close()


def test_a_fault_while_results_are_put_together_fails_that_recording_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Assembly.transcript

    def fail(assembly: Assembly, *given: Any) -> Any:
        if assembly.name == "3":
            raise IndexError("no such word")
        return whole(assembly, *given)

    monkeypatch.setattr(Assembly, "transcript", fail)
    world = World()
    found = {outcome.source.name: outcome for outcome in outcomes(world, [1, 3, 2, 5, 4], 2)}
    assert sorted(found) == ["1", "2", "3", "4", "5"]
    assert isinstance(found["3"], FileFailed)
    assert "IndexError: no such word" in str(found["3"].error)
    assert all(len(found[name].result().words) == int(name) for name in "1245")
    assert len(world.loads) == 1, "it is nothing of the engine's"
