"""The law of the aligner fallback: whatever an aligner raises, at any stage, all words come, in order, with times."""

from __future__ import annotations

import errno
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.align.word_time import WordTime
from autorag_whisper.domain.audio import SpeechChunk, SpeechSpan
from autorag_whisper.domain.device import CPU, CUDA, FailureCause, Hardware
from autorag_whisper.domain.errors import (
    Cancelled,
    DeviceError,
    EngineError,
    ExtraNotInstalled,
    ModelDamaged,
    ModelUnavailable,
)
from autorag_whisper.domain.request import Aligner, TranscribeOptions
from autorag_whisper.domain.transcript import WordSource
from autorag_whisper.engines.base import CharacterHeads, Hypothesis, TokenTimes
from autorag_whisper.recognition.alignment import Alignment, Spoken
from autorag_whisper.recognition.ctc_alignment import CtcAligner, HeldLeases
from autorag_whisper.residency.alignment_models import AlignmentModels
from autorag_whisper.telemetry import Telemetry
from autorag_whisper.testing import FakeEmitter, FakeWhisper, FakeWordAligner, Faults, speech_samples, write_speech
from examples import examples
from run_world import CARD, NO_CARD, World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autorag_whisper.domain.audio import Samples
    from autorag_whisper.domain.device import Device
    from autorag_whisper.engines.base import Encoded

WORDS = ["one", "two", "three", "four", "five"] * 3
HEADS = CharacterHeads(((2, 4),), late_s=0.0)


class AwkwardError(Exception):
    """Cannot be copied, and has nothing to say."""

    def __init__(self, one: int, *, two: int) -> None:
        super().__init__()

    def __str__(self) -> str:
        raise RuntimeError("no words")


RAISED: dict[str, Callable[[], Exception]] = {
    "host memory": lambda: MemoryError("std::bad_alloc"),
    "no folder": lambda: FileNotFoundError(errno.ENOENT, "No such file or directory", "/private/folder"),
    "full disk": lambda: OSError(errno.ENOSPC, "No space left on device"),
    "no module": lambda: ImportError("no module named x"),
    "no key": lambda: KeyError("said in private"),
    "no attribute": lambda: AttributeError("list has no get"),
    "no index": lambda: IndexError("list index out of range"),
    "type": lambda: TypeError("unsupported"),
    "value": lambda: ValueError("shapes do not match"),
    "runtime": lambda: RuntimeError("anything"),
    "recursion": lambda: RecursionError("too deep"),
    "stop": lambda: StopIteration("not an end"),
    "assertion": AssertionError,
    "arithmetic": lambda: ZeroDivisionError("0"),
    "not written": lambda: NotImplementedError("later"),
    "group": lambda: ExceptionGroup("several", [ValueError("a"), KeyError("b")]),
    "awkward": lambda: AwkwardError(1, two=2),
    "engine": lambda: EngineError("fake", "stage", "on request"),
    "no model": lambda: ModelUnavailable("owner/name", "downloads are switched off"),
    "damaged": lambda: ModelDamaged("owner/name", "config.json", "is no JSON object"),
    "no extra": lambda: ExtraNotInstalled("torch", "wav2vec2", "no module"),
    "the CPU": lambda: DeviceError("cpu", FailureCause.DRIVER, "load: no such instruction"),
    "a card that is not in use": lambda: DeviceError("cuda", FailureCause.STICKY, "load: CUDA failed"),
}
STAGES = ("load", "emit", "offload", "restore", "close", "align")
ALIGNERS = (Aligner.CTC, Aligner.CHARACTERS, Aligner.TOKENS, Aligner.AUTO)


class Attacked(World):
    """A world whose aligners raise what they are told to, at the stages that are told, from a call number on."""

    def __init__(self, hardware: Hardware, faults: Callable[[str, int], None]) -> None:
        self.emitter_faults, self._strike = Faults(fail=faults), faults
        self._asked = 0
        self.models = AlignmentModels(self._lend, Telemetry())
        super().__init__(hardware, alignment_models=self.models, characters=HEADS)
        for one in self.faults.values():
            one.fail = lambda stage, number: faults(stage, number) if stage == "align" else None

    def _lend(self, _language: str, device: Device) -> FakeEmitter:
        self._asked += 1
        self._strike("load", self._asked)
        return FakeEmitter(device=device, faults=self.emitter_faults)


@pytest.fixture(scope="module")
def talk() -> Path:
    folder = Path(tempfile.mkdtemp())
    return write_speech(folder / "talk.wav", np.concatenate([speech_samples(5, tail_s=6.0)] * 3))


def striking(attacks: dict[str, tuple[str, int]]) -> Callable[[str, int], None]:
    def strike(stage: str, number: int) -> None:
        what, since = attacks.get(stage, ("", 0))
        if what and number >= since:
            error = RAISED[what]()
            raise error

    return strike


def assert_all_words_come(world: Attacked, talk: Path, aligner: Aligner) -> None:
    for _ in range(2):  # what was left behind must not spoil the next run
        transcript = world.transcriber.transcribe(talk, TranscribeOptions(language="en", aligner=aligner), model="fake")
        assert [word.text for word in transcript.words] == WORDS
        ends = [0.0]
        for word in transcript.words:
            assert ends[-1] <= word.start_s <= word.end_s <= transcript.duration_s
            ends.append(word.end_s)


def card_failed(what: str) -> bool:
    return what == "a card that is not in use"


@pytest.mark.parametrize("what", RAISED)
@pytest.mark.parametrize("stage", [*STAGES, "select"])
def test_every_kind_of_failure_at_every_stage_costs_no_word(stage: str, what: str) -> None:
    on_card = stage in ("offload", "restore", "close") and not card_failed(what)
    device, strike = CUDA if on_card else CPU, striking({stage: (what, 1)})

    def lend(_language: str, on: Device) -> FakeEmitter:
        strike("load", 1)
        return FakeEmitter(device=on, faults=Faults(fail=strike))

    models = AlignmentModels(lend, Telemetry(), capacity=1)
    engine = FakeWhisper(device=device, characters=HEADS, faults=Faults(fail=strike))
    samples = speech_samples(3)
    chunk = SpeechChunk(0, 16_000, samples, (SpeechSpan(24_000, 16_000 + len(samples) - 8_000),))
    hypothesis = Hypothesis(engine.tokenizer.encode(" one two three"), -0.2, 0.01, cap_hit=False)
    encoded = engine.encode(np.zeros((2, 80, 1000), np.float32))
    for language in ("en", "de", "en"):  # one makes room for the other
        held = HeldLeases(models.lease)
        alignment = Alignment(engine, TranscribeOptions(aligner=Aligner.CTC), held.aligner(device))
        for aligned in alignment.align(encoded, [Spoken(n, chunk, language, hypothesis) for n in range(2)]):
            assert [timed.word.text for timed in aligned.words] == ["one", "two", "three"]
            starts = [timed.word.start_s for timed in aligned.words]
            assert starts == sorted(starts)
            assert 1.0 <= starts[0] <= starts[-1] <= 1.0 + len(samples) / 16_000
        held.close()
        models.check()


@given(
    st.dictionaries(st.sampled_from(STAGES), st.tuples(st.sampled_from(sorted(RAISED)), st.integers(1, 4))),
    st.sampled_from(ALIGNERS),
    st.booleans(),
)
@examples(15, deadline=None)
def test_any_failures_together_cost_no_word(
    talk: Path, attacks: dict[str, tuple[str, int]], aligner: Aligner, on_card: bool
) -> None:
    on_card = on_card and not any(card_failed(what) for what, _ in attacks.values())
    assert_all_words_come(Attacked(CARD if on_card else NO_CARD, striking(attacks)), talk, aligner)


class Astray(FakeWhisper):
    """Sees tokens in frames that follow no rule."""

    frames: Sequence[int] = ()

    def align(
        self,
        encoded: Encoded,
        start_sequence: Sequence[int],
        token_ids: Sequence[Sequence[int]],
        frames: Sequence[int],
        *,
        spelled: bool = False,
    ) -> list[TokenTimes]:
        return [
            TokenTimes(np.resize(np.asarray(self.frames), len(ids) + 1), np.full(len(ids), 0.9, np.float32))
            for ids in token_ids
        ]


class AstrayAligner(FakeWordAligner):
    """Places words where it likes, over each other too."""

    spans: Sequence[tuple[float, float] | None] = ()

    def align_words(self, clip: Samples, words: Sequence[str]) -> list[WordTime | None]:
        times = [self.spans[n % len(self.spans)] for n in range(len(words))]
        return [None if time is None else WordTime(*time, WordSource.CTC, 0.5) for time in times]


MOMENTS = st.floats(-1, 5)


@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=20),
    st.lists(st.none() | st.tuples(MOMENTS, MOMENTS), min_size=1, max_size=8),
    st.sampled_from([*ALIGNERS, Aligner.NONE]),
    st.booleans(),
)
@examples(60, deadline=None)
def test_whatever_an_aligner_says_no_word_overlaps_the_next_one(
    frames: list[int], spans: list[tuple[float, float] | None], aligner: Aligner, loses_its_place: bool
) -> None:
    heads = CharacterHeads(((2, 4),), late_s=0.01, loses_its_place=loses_its_place)
    engine, model = Astray(characters=heads), AstrayAligner()
    engine.frames, model.spans = frames, spans
    samples = speech_samples(3)
    chunk = SpeechChunk(0, 16_000, samples, (SpeechSpan(24_000, 16_000 + len(samples) - 8_000),))
    hypothesis = Hypothesis(engine.tokenizer.encode(" one, two three 45 - six!"), -0.2, 0.01, cap_hit=False)
    ctc = CtcAligner(lambda _language: nullcontext(model), CPU)
    alignment = Alignment(engine, TranscribeOptions(aligner=aligner), ctc)
    encoded = engine.encode(np.zeros((1, 80, 1000), np.float32))
    [aligned] = alignment.align(encoded, [Spoken(0, chunk, "en", hypothesis)])
    ends = [1.0]
    for timed in aligned.words:
        assert ends[-1] <= timed.word.start_s < timed.word.end_s <= 1.0 + len(samples) / 16_000
        ends.append(timed.word.end_s)
    assert len(ends) == 1 + 6


def test_a_failure_is_recorded_and_warned_of_without_a_path_or_a_word(
    talk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    attacks = {"load": ("no folder", 1), "align": ("no key", 1)}
    world = Attacked(NO_CARD, striking(attacks))
    transcript = world.transcriber.transcribe(talk, TranscribeOptions(language="en", aligner=Aligner.CTC), model="fake")
    assert {word.source for word in transcript.words} == {WordSource.INTERPOLATED}
    assert "FileNotFoundError: No such file or directory" in caplog.text
    assert "KeyError" in caplog.text
    assert "private" not in "".join(record.getMessage() for record in caplog.records)


def test_a_cancelled_run_is_not_answered_by_the_next_aligner_down(talk: Path) -> None:
    def strike(stage: str, _number: int) -> None:
        if stage == "emit":
            raise Cancelled

    world = Attacked(NO_CARD, strike)
    with pytest.raises(Cancelled):
        world.transcriber.transcribe(talk, TranscribeOptions(language="en", aligner=Aligner.CTC), model="fake")


def test_one_lease_that_cannot_be_given_back_does_not_keep_the_others() -> None:
    given_back: list[str] = []

    class Lease:
        def __init__(self, language: str) -> None:
            self._language = language

        def __enter__(self) -> FakeEmitter:
            return FakeEmitter()

        def __exit__(self, *_: object) -> None:
            given_back.append(self._language)
            raise OSError(errno.EIO, "Input/output error")

    held = HeldLeases(lambda language, _device: Lease(language))
    for language in ("en", "de"):
        held.aligner(CUDA).times(language, [])
    held.close()
    assert sorted(given_back) == ["de", "en"]
