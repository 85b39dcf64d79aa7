"""Where a recording goes on in another language, its text does; where that is not sure, the result says so.

An interview began with seven seconds of an English jingle: its first chunk was sure, with a probability of 1.0, and an
hour of German came out as an English translation.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ
from autorag_whisper.domain.device import FailureCause
from autorag_whisper.domain.errors import DeviceError, EngineError
from autorag_whisper.domain.notes import NoteKind
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.engines.base import Hypothesis
from autorag_whisper.testing import FakeWhisper, FakeWhisperPipeline, speech_samples, write_speech
from autorag_whisper.transcriber import FileDone
from autorag_whisper.transcriber.cancellation import CancelToken
from autorag_whisper.transcriber.checkpoint import Supervised
from autorag_whisper.transcriber.checkpoint_format import dumps, loads
from autorag_whisper.transcriber.run_request import RunControl
from run_world import CARD, World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from autorag_whisper.domain.audio import Samples
    from autorag_whisper.domain.transcript import Transcript
    from autorag_whisper.engines.base import Decoding, Encoded, Wording
    from autorag_whisper.transcriber.checkpoint import Checkpoint

HZ = SAMPLE_RATE_HZ


# ------------------------------------------------------------ whole files, over fakes: German is what is high

ENGLISH_HZ, GERMAN_HZ = 440.0, 1500.0
RUNNING = TranscribeOptions(vad_min_silence_s=0.5)
"""The pauses between beeps are none between two stretches of speech."""


def by_pitch(row: np.ndarray) -> tuple[str, float]:
    """What most of the loud frames are, and how much of them."""
    loud = row[:, row.max(axis=0) > row.max() - 0.5]
    high = float(np.mean(np.argmax(loud, axis=0) > 20)) if loud.size and row.max() > 0 else 0.5
    return ("de", max(0.01, high)) if high > 0.5 else ("en", max(0.5, 1 - high) - 0.001)


def recording(tmp_path: Path, *parts: tuple[float, int]) -> Path:
    """Words of these pitches, so many each."""
    samples = [speech_samples(words, pitch_hz=pitch, tail_s=0.8) for pitch, words in parts]
    return write_speech(tmp_path / "talk.wav", np.concatenate(samples))


def spoken(transcript: Transcript) -> list[tuple[str, int]]:
    """Runs of one language, with their numbers of words."""
    runs = itertools.groupby(transcript.segments, key=lambda segment: segment.language)
    return [(language, sum(len(segment.words) for segment in run)) for language, run in runs]


def test_seven_seconds_do_not_decide_for_the_rest(tmp_path: Path) -> None:
    talk = recording(tmp_path, (ENGLISH_HZ, 8), (GERMAN_HZ, 100))
    transcript = World(language=by_pitch).transcriber.transcribe(talk, RUNNING, model="fake")
    assert spoken(transcript) == [("en", 8), ("de", 100)]
    assert transcript.language == "de"
    assert transcript.language_probability > 0.9
    shares = {share.language: share for share in transcript.languages}
    assert list(shares) == ["de", "en"]
    assert shares["de"].recognised_s == pytest.approx(100 * 0.8, rel=0.6)
    assert not transcript.notes


def test_silence_before_another_language_fails_nothing_without_voice_activity(tmp_path: Path) -> None:
    silence = np.zeros(35 * HZ, np.float32)
    parts = [speech_samples(12, pitch_hz=ENGLISH_HZ), silence, speech_samples(60, pitch_hz=GERMAN_HZ, tail_s=0.8)]
    talk = write_speech(tmp_path / "talk.wav", np.concatenate(parts))
    transcript = World(language=by_pitch).transcriber.transcribe(talk, replace(RUNNING, vad=False), model="fake")
    assert spoken(transcript) == [("en", 12), ("de", 60)]


def test_a_short_file_in_two_languages_is_cut_between_them(tmp_path: Path) -> None:
    talk = recording(tmp_path, (ENGLISH_HZ, 12), (GERMAN_HZ, 18))
    transcript = World(language=by_pitch).transcriber.transcribe(talk, RUNNING, model="fake")
    assert spoken(transcript) == [("en", 12), ("de", 18)]
    assert [word.text for word in transcript.words[:1]] == ["one"]


def test_a_remark_that_is_not_quite_sure_stays_and_is_told(tmp_path: Path) -> None:
    def hears(row: np.ndarray) -> tuple[str, float]:
        language, probability = by_pitch(row)
        return language, 0.92 if language == "de" else probability

    talk = recording(tmp_path, (ENGLISH_HZ, 60), (GERMAN_HZ, 8), (ENGLISH_HZ, 60))
    transcript = World(language=hears).transcriber.transcribe(talk, RUNNING, model="fake")
    assert len(transcript.words) == 128
    assert spoken(transcript) == [("en", 128)]
    english, german = transcript.languages
    assert (english.language, german.language, german.recognised_s) == ("en", "de", 0.0)
    assert 4 < german.heard_s < 8
    assert [note.kind for note in transcript.notes] == [NoteKind.OTHER_LANGUAGE]


@pytest.mark.parametrize(("sure", "is_told"), [(0.85, True), (0.6, False)])
def test_a_turn_of_a_few_seconds_that_comes_out_in_the_language_around_it_is_told(
    tmp_path: Path, sure: float, *, is_told: bool
) -> None:
    """Six seconds of English behind half a minute of Spanish came out in Spanish, and nothing said so."""

    class Unsure(FakeWhisper):
        def detect_languages(self, encoded: Encoded) -> list[dict[str, float]]:
            votes = super().detect_languages(encoded)
            return [vote if vote["en"] > 0.5 else {"de": sure, "en": 0.05} for vote in votes]

    talk = recording(tmp_path, (ENGLISH_HZ, 40), (GERMAN_HZ, 6))
    transcript = World(engine=Unsure, language=by_pitch).transcriber.transcribe(talk, RUNNING, model="fake")
    assert spoken(transcript) == [("en", 46)]
    assert [note.kind for note in transcript.notes] == ([NoteKind.OTHER_LANGUAGE] if is_told else [])
    assert [share.language for share in transcript.languages] == (["en", "de"] if is_told else ["en"])
    if is_told:
        assert "sound like German, recognised as English" in transcript.notes[0].text


class LikelyGerman(FakeWhisper):
    """Hears German with no more than 0.85, and writes it in German with this mean log-probability, else with -0.8."""

    german = -0.2
    calls = 0

    def detect_languages(self, encoded: Encoded) -> list[dict[str, float]]:
        votes = super().detect_languages(encoded)
        return [vote if vote["en"] > 0.5 else {"de": 0.85, "en": 0.05} for vote in votes]

    def generate(self, encoded: Encoded, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[Hypothesis]:
        german = self.tokenizer.prompt("de", "transcribe")
        type(self).calls += 1
        found = []
        for one, row, prompt in zip(super().generate(encoded, prompts, decoding), encoded.value, prompts, strict=True):
            is_high = by_pitch(row)[0] == "de"
            likely = self.german if tuple(prompt) == german else -0.8
            found.append(replace(one, avg_logprob=likely) if is_high else one)
        return found


def heard_by(engine: type[LikelyGerman], talk: Path, options: TranscribeOptions = RUNNING) -> Transcript:
    engine.calls = 0
    return World(engine=engine, language=by_pitch).transcriber.transcribe(talk, options, model="fake")


@pytest.mark.parametrize(
    "parts",
    [
        [(ENGLISH_HZ, 40), (GERMAN_HZ, 6)],
        [(ENGLISH_HZ, 40), (GERMAN_HZ, 6), (ENGLISH_HZ, 12)],
        [(ENGLISH_HZ, 40), (GERMAN_HZ, 6), (ENGLISH_HZ, 8), (GERMAN_HZ, 7), (ENGLISH_HZ, 40)],
    ],
    ids=["behind", "between", "two"],
)
def test_a_turn_of_a_few_seconds_is_in_its_own_language_where_its_text_is_likelier(
    tmp_path: Path, parts: list[tuple[float, int]]
) -> None:
    talk = recording(tmp_path, *parts)
    transcript = heard_by(LikelyGerman, talk)
    assert spoken(transcript) == [("de" if pitch == GERMAN_HZ else "en", words) for pitch, words in parts]
    assert transcript.notes == ()
    assert transcript.language == "en"
    shares = {share.language: share for share in transcript.languages}
    assert shares["de"].recognised_s == pytest.approx(shares["de"].heard_s, rel=0.35)
    around = heard_by(LikelyGerman, talk, replace(RUNNING, language="en"))
    assert spoken(around) == [("en", sum(words for _, words in parts))]
    # The words around a turn are those that they were; the last one before it and the first one behind it end there.
    of_word = [segment.language for segment in transcript.segments for _ in segment.words]
    pairs = zip(of_word, transcript.words, around.words, strict=True)
    english = [(now, before) for language, now, before in pairs if language == "en"]
    assert all(now.text == before.text for now, before in english)
    assert sum(now != before for now, before in english) <= 2 * (len(parts) // 2)
    assert [word.end_s for word in transcript.words] == sorted(word.end_s for word in transcript.words)


def test_a_turn_whose_text_is_no_likelier_in_the_language_that_it_sounds_like_stays(tmp_path: Path) -> None:
    class Unlikely(LikelyGerman):
        german = -0.75

    transcript = heard_by(Unlikely, recording(tmp_path, (ENGLISH_HZ, 40), (GERMAN_HZ, 6)))
    assert spoken(transcript) == [("en", 46)]
    assert [note.kind for note in transcript.notes] == [NoteKind.OTHER_LANGUAGE]


def test_where_nothing_sounds_like_another_language_nothing_more_is_recognised(tmp_path: Path) -> None:
    talk = recording(tmp_path, (ENGLISH_HZ, 60))
    heard_by(LikelyGerman, talk, replace(RUNNING, language="en"))
    needed = LikelyGerman.calls
    heard_by(LikelyGerman, talk)
    assert LikelyGerman.calls == needed


def test_a_language_that_was_given_stays_and_is_told_where_it_is_contradicted(tmp_path: Path) -> None:
    talk = recording(tmp_path, (GERMAN_HZ, 20))
    options = replace(RUNNING, language="en")
    transcript = World(language=by_pitch).transcriber.transcribe(talk, options, model="fake")
    assert spoken(transcript) == [("en", 20)]
    [note] = transcript.notes
    assert note.kind is NoteKind.OTHER_LANGUAGE
    assert "German" in note.text
    assert "English" in note.text
    assert World(language=by_pitch).transcriber.transcribe(
        talk, replace(RUNNING, language="de"), model="fake"
    ).notes == ()  # fmt: skip


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5])
def test_the_text_does_not_depend_on_what_was_recognised_beside_it(tmp_path: Path, batch_size: int) -> None:
    parts = [(ENGLISH_HZ, 8), (GERMAN_HZ, 40), (ENGLISH_HZ, 50), (GERMAN_HZ, 6), (ENGLISH_HZ, 30), (GERMAN_HZ, 40)]
    talk = recording(tmp_path, *parts)
    first = World(language=by_pitch).transcriber.transcribe(talk, replace(RUNNING, batch_size=4), model="fake")
    other = World(language=by_pitch).transcriber.transcribe(talk, replace(RUNNING, batch_size=batch_size), model="fake")
    assert [(s.language, s.words) for s in other.segments] == [(s.language, s.words) for s in first.segments]
    assert other.languages == first.languages
    assert {language for language, _ in spoken(first)} == {"en", "de"}


def test_a_chunk_that_began_in_the_former_language_is_recognised_again_before_it_leaves(tmp_path: Path) -> None:
    """Only its predecessors tell that it is German: it was recognised beside them."""
    unsure = 900.0

    def hears(row: np.ndarray) -> tuple[str, float]:
        loud = row[:, row.max(axis=0) > row.max() - 0.5]
        bins = np.argmax(loud, axis=0) if loud.size and row.max() > 0 else np.zeros(1)
        if 14 < float(np.median(bins)) <= 24:
            return ("de", 0.5)
        return ("de", 0.99) if float(np.median(bins)) > 24 else ("en", 0.99)

    talk = recording(tmp_path, (ENGLISH_HZ, 8), (2500.0, 34), (unsure, 34))
    transcript = World(language=hears).transcriber.transcribe(talk, replace(RUNNING, batch_size=8), model="fake")
    assert spoken(transcript) == [("en", 8), ("de", 68)]


def test_where_the_pieces_cannot_be_heard_there_is_a_text_all_the_same(tmp_path: Path) -> None:
    world = World(language=by_pitch)

    def fail(stage: str, _number: int) -> None:
        if stage == "excerpts":
            raise EngineError("fake", stage, "no")

    world.faults["cpu"].fail = fail
    talk = recording(tmp_path, (ENGLISH_HZ, 8), (GERMAN_HZ, 20))
    transcript = world.transcriber.transcribe(talk, RUNNING, model="fake")
    assert len(transcript.words) == 28
    assert {language for language, _ in spoken(transcript)} <= {"de", "en"}


class Kept:
    """Keeps what is done, as lines of JSON, and gives back the chunks that `left` allows."""

    def __init__(self, lines: dict[int, str], left: Callable[[int], bool] = lambda _index: True) -> None:
        self.lines, self._left = lines, left

    def done(self, file: int) -> dict[int, Checkpoint]:
        return {index: loads(line) for index, line in self.lines.items() if self._left(index)}

    def add(self, file: int, checkpoint: Checkpoint) -> None:
        self.lines[checkpoint.result.task.chunk.index] = dumps(checkpoint)


def run(talk: Path, book: Kept, batch_size: int) -> Transcript:
    world = World(language=by_pitch)
    events = world.transcriber.events(
        [MediaSource.from_path(talk)],
        replace(RUNNING, batch_size=batch_size),
        "fake",
        RunControl(CancelToken(), supervised=Supervised(book, linger=lambda wait: wait())),
    )
    [outcome] = [event for event in events if isinstance(event, FileDone)]
    return outcome.transcript


@pytest.mark.parametrize("kept", range(6))
def test_a_run_that_goes_on_behind_another_gives_the_same_text_and_languages(tmp_path: Path, kept: int) -> None:
    parts = [(ENGLISH_HZ, 8), (GERMAN_HZ, 40), (ENGLISH_HZ, 50), (GERMAN_HZ, 6), (ENGLISH_HZ, 30), (GERMAN_HZ, 40)]
    talk = recording(tmp_path, *parts)
    first = Kept({})
    undisturbed = run(talk, first, 4)
    assert {language for language, _ in spoken(undisturbed)} == {"en", "de"}
    assert len(first.lines) > 5
    again = run(talk, Kept(dict(first.lines), lambda index: index <= kept or index % 3 == kept % 3), 1 + kept)
    assert (again.segments, again.languages, again.notes) == (
        undisturbed.segments, undisturbed.languages, undisturbed.notes,
    )  # fmt: skip
    assert again.language_probability == undisturbed.language_probability


def hears_german(row: np.ndarray) -> tuple[str, float]:
    return ("de", 0.4) if by_pitch(row)[0] == "de" else ("en", 0.999)


class NothingInEnglish(FakeWhisper):
    """Makes nothing of German in English, and is not sure that it is German."""

    def detect_languages(self, encoded: Encoded) -> list[dict[str, float]]:
        votes = super().detect_languages(encoded)
        return [vote if vote["en"] > 0.9 else {"de": 0.4, "ja": 0.3, "en": 0.0001} for vote in votes]

    def generate(self, encoded: Encoded, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[Hypothesis]:
        english = self.tokenizer.prompt("en", "transcribe")
        found = super().generate(encoded, prompts, decoding)
        pairs = zip(encoded.value, prompts, strict=True)
        foreign = [by_pitch(row)[0] == "de" and tuple(prompt) == english for row, prompt in pairs]
        nothing = Hypothesis((), -2.0, 0.9, cap_hit=False)
        return [nothing if is_foreign else one for one, is_foreign in zip(found, foreign, strict=True)]


def test_what_nothing_came_of_in_the_files_language_is_tried_in_the_one_that_it_sounds_like(tmp_path: Path) -> None:
    """Polish and Swedish in a Chinese file, neither of them sure: the text in Chinese was rejected, all was lost."""

    talk = recording(tmp_path, (ENGLISH_HZ, 36), (GERMAN_HZ, 34))
    transcript = World(engine=NothingInEnglish, language=hears_german).transcriber.transcribe(
        talk, RUNNING, model="fake"
    )
    assert len(transcript.words) >= 66
    assert {language for language, _ in spoken(transcript)} == {"en", "de"}
    assert {share.language for share in transcript.languages if share.recognised_s} == {"en", "de"}


class GermanBreaksTheCard(FakeWhisperPipeline):
    """A pipeline whose card fails as soon as it is to write German."""

    def recognise(self, clips: Sequence[Samples], wording: Wording) -> tuple[Encoded, list[Hypothesis]]:
        if wording.language == "de" and self.spec.device.is_cuda:
            raise DeviceError("cuda", FailureCause.STICKY, "generate: CUDA failed with error something")
        return super().recognise(clips, wording)


def test_with_a_given_language_nothing_is_tried_in_another(tmp_path: Path) -> None:
    talk = recording(tmp_path, (ENGLISH_HZ, 36), (GERMAN_HZ, 34))
    options = replace(RUNNING, language="en")
    transcript = World(engine=NothingInEnglish, language=hears_german).transcriber.transcribe(
        talk, options, model="fake"
    )
    assert {language for language, _ in spoken(transcript)} == {"en"}
    assert len(transcript.words) < 40
    assert transcript.coverage.skipped_s > 10


def test_a_chunk_that_is_done_again_in_its_language_stays_in_it_when_the_device_changes(tmp_path: Path) -> None:
    """It went back among the chunks that wait, and was recognised in its file's language once more, for good."""
    english, german = (speech_samples(9, pitch_hz=pitch, tail_s=6.0) for pitch in (ENGLISH_HZ, GERMAN_HZ))
    talk = write_speech(tmp_path / "talk.wav", np.concatenate([english] * 3 + [german] * 3))
    expected = World(engine=FakeWhisperPipeline, language=by_pitch).transcriber.transcribe(talk, RUNNING, model="fake")
    assert [language for language, _ in spoken(expected)] == ["en", "de"]
    world = World(CARD, engine=GermanBreaksTheCard, language=by_pitch)
    transcript = world.transcriber.transcribe(talk, RUNNING, model="fake")
    assert spoken(transcript) == spoken(expected)
    assert [step.step for step in transcript.device_fallbacks] == ["cpu"]
