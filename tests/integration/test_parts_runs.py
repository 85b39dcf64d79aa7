"""Speech without a word is recognised again, text that the token cap cut is done in parts."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from autorag_whisper.domain.errors import EngineError, ModelDamaged
from autorag_whisper.domain.request import Task, TranscribeOptions
from autorag_whisper.engines.base import WINDOW_FRAMES, Hypothesis, TokenTimes
from autorag_whisper.recognition.parts import DOUBTED_HOLE
from autorag_whisper.testing import FakeVoiceActivity, FakeWhisper, speech_samples, write_speech
from autorag_whisper.testing.speech import FakeVoiceStream
from letter_hearing import planted, reading_classifier
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from autorag_whisper.engines.base import Decoding, Encoded
DAMAGED = ModelDamaged("fake", "model.bin", "is missing")  # a copy that samples is loaded late


FIRST_S = 5.2


class EndsEarly(FakeWhisper):
    """Times a text within the first 2 s of its audio, as that of a decoder that ended there."""

    def heard_of(self, frames: int, window: int) -> int:
        return min(frames, 200)

    def align(
        self,
        encoded: Encoded,
        start_sequence: Sequence[int],
        token_ids: Sequence[Sequence[int]],
        frames: Sequence[int],
        *,
        spelled: bool = False,
    ) -> list[TokenTimes]:
        heard = [self.heard_of(count, encoded.value.shape[-1]) for count in frames]
        return super().align(encoded, start_sequence, token_ids, heard, spelled=spelled)


class EarlyWords(EndsEarly):
    """Times every text within the first 5.2 s of its audio."""

    def heard_of(self, frames: int, window: int) -> int:
        return min(frames, round(FIRST_S * 100))


class ShortOfBreath(EndsEarly):
    """Times the text of a short window within its first 2 s, that of the full one over all of it."""

    def heard_of(self, frames: int, window: int) -> int:
        return frames if window == WINDOW_FRAMES else super().heard_of(frames, window)


def beeps(features: NDArray[np.float32]) -> int:
    """How many beeps are in a row of features."""
    fake = FakeWhisper()
    return len(fake.tokenizer.decode(fake._count(features).token_ids).split())


def said(text: str) -> Hypothesis:
    return Hypothesis(FakeWhisper().tokenizer.encode(text), -0.2, 0.01, cap_hit=False)


def two_utterances(place: Path) -> Path:
    """Six beeps until 5.3 s, a second of silence, four beeps from 6.6 s on: one chunk."""
    return write_speech(place, np.concatenate([speech_samples(6), speech_samples(4, lead_s=0.8)]))


def ends_early(features: NDArray[np.float32]) -> Hypothesis:
    """One word for what was said; of two utterances in one chunk the first alone."""
    return said({6: " six", 4: " four"}.get(beeps(features), " six"))


def test_an_utterance_that_the_decoder_left_out_is_recognised_on_its_own(tmp_path: Path) -> None:
    world = World(script=ends_early, engine=EarlyWords)
    transcript = world.transcriber.transcribe(two_utterances(tmp_path / "a.wav"), model="fake")
    assert transcript.text == "six four"
    assert transcript.words[1].start_s > 5.3
    assert transcript.coverage.holes == ()
    assert transcript.coverage.skipped_s == 0


def test_a_short_utterance_with_a_pause_around_it_is_no_less_missed(tmp_path: Path) -> None:
    # Of 259 utterances in joins what was lost had a third to two thirds of a second of speech: a name, a "no".
    def the_first_alone(features: NDArray[np.float32]) -> Hypothesis:
        return said({6: " six", 1: " one"}.get(beeps(features), " six"))

    world = World(script=the_first_alone, engine=EarlyWords)
    samples = np.concatenate([speech_samples(6), speech_samples(1, lead_s=0.8)])
    transcript = world.transcriber.transcribe(write_speech(tmp_path / "a.wav", samples), model="fake")
    assert transcript.text == "six one"
    assert transcript.words[1].start_s > 5.3
    assert transcript.coverage.holes == ()


def test_what_is_said_nowhere_around_a_hole_costs_the_chunk_nothing_more(tmp_path: Path) -> None:
    asked: list[int] = []

    def count(features: NDArray[np.float32]) -> Hypothesis:
        asked.append(beeps(features))
        return said(" six" if asked[-1] >= 6 else "")

    world = World(script=count, engine=EarlyWords)
    world.transcriber.transcribe(two_utterances(tmp_path / "a.wav"), model="fake")
    assert asked == [10, 4], "the six beeps that have their word are not recognised again"


def test_what_a_hole_gives_in_doubt_is_listed_and_not_believed(tmp_path: Path) -> None:
    # "Thank you so much." in a pause of babble, where the whole chunk's text has nothing: a doubt of 0.74.
    def thanks(features: NDArray[np.float32]) -> Hypothesis:
        if beeps(features) == 4:
            return Hypothesis(said(" thanks").token_ids, -0.9, 0.45, cap_hit=False)
        return said(" six")

    world = World(script=thanks, engine=EarlyWords)
    transcript = world.transcriber.transcribe(two_utterances(tmp_path / "a.wav"), model="fake")
    assert transcript.text == "six"
    assert [(one.text, one.reason) for one in transcript.rejected] == [("thanks", DOUBTED_HOLE)]
    assert len(transcript.coverage.holes) == 1


def test_a_chunk_of_sure_speech_whose_text_was_rejected_is_done_in_halves_once(tmp_path: Path) -> None:
    asked: list[int] = []

    def hopeless(features: NDArray[np.float32]) -> Hypothesis:
        asked.append(beeps(features))
        if asked[-1] > 8:
            return Hypothesis(said(" no no no").token_ids, -0.8, 0.95, cap_hit=False)
        return said(" words" * asked[-1])

    samples = speech_samples(16)
    transcript = World(script=hopeless).transcriber.transcribe(write_speech(tmp_path / "a.wav", samples), model="fake")
    assert transcript.text == " ".join(["words"] * 16)
    assert sorted(asked[-2:]) == [8, 8]


@pytest.mark.parametrize("doubted", [False, True])
def test_a_text_that_ended_early_is_sought_in_the_full_window_before_the_chunk_is_cut(
    tmp_path: Path, *, doubted: bool
) -> None:
    """Eight words of thirty-three came of a sentence in noise, and of its parts of a second or two only guesses."""
    asked: list[tuple[int, int]] = []
    whole = " the meeting was moved because one room is painted"

    def ends_early_in_short_windows(features: NDArray[np.float32]) -> Hypothesis:
        asked.append((beeps(features), features.shape[-1]))
        if asked[-1] != (10, WINDOW_FRAMES):
            return said(" begin" if asked[-1][0] == 10 else "")
        return replace(said(whole), avg_logprob=-0.9 if doubted else -0.5, no_speech_prob=0.4)

    world = World(script=ends_early_in_short_windows, engine=ShortOfBreath)
    path = write_speech(tmp_path / "a.wav", speech_samples(10))
    transcript = world.transcriber.transcribe(path, TranscribeOptions(language="en"), model="fake")
    assert asked[1] == (10, WINDOW_FRAMES)
    if doubted:
        assert transcript.text == "begin"
        assert transcript.coverage.holes != ()
        return
    assert transcript.text == whole.strip()
    assert transcript.coverage.holes == ()
    assert len(asked) == 2, "nothing is cut"
    attempts = transcript.segments[0].attempts
    assert [attempt.window_frames for attempt in attempts] == [asked[0][1], WINDOW_FRAMES]
    assert transcript.segments[0].avg_logprob == pytest.approx(-0.5)


def test_a_full_window_that_hears_no_more_leaves_the_first_text(tmp_path: Path) -> None:
    asked: list[tuple[int, int]] = []

    def ends_early_in_any_window(features: NDArray[np.float32]) -> Hypothesis:
        asked.append((beeps(features), features.shape[-1]))
        if asked[-1][0] < 10:
            return said("")
        return said(" other" if asked[-1][1] == WINDOW_FRAMES else " begin")

    world = World(script=ends_early_in_any_window, engine=EndsEarly)
    path = write_speech(tmp_path / "a.wav", speech_samples(10))
    transcript = world.transcriber.transcribe(path, TranscribeOptions(language="en"), model="fake")
    assert (10, WINDOW_FRAMES) in asked
    assert transcript.text == "begin"
    assert transcript.coverage.holes != ()


class Unsure(FakeVoiceActivity):
    """As sure of a voice as it is told to be."""

    def __init__(self, voice: float) -> None:
        self._voice = voice

    def stream(self) -> FakeVoiceStream:
        voice = self._voice

        class Stream(FakeVoiceStream):
            def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
                return super().push(samples) * np.float32(voice)

        return Stream()


@pytest.mark.parametrize(("voice", "words", "is_halved"), [(1.0, 8, True), (0.8, 8, False), (1.0, 5, False)])
def test_halves_are_tried_of_four_seconds_of_a_sure_voice_alone(
    tmp_path: Path, voice: float, words: int, *, is_halved: bool
) -> None:
    asked: list[int] = []

    def nothing(features: NDArray[np.float32]) -> Hypothesis:
        asked.append(beeps(features))
        return Hypothesis(said(" no no no").token_ids, -0.8, 0.95, cap_hit=False)

    path = write_speech(tmp_path / "a.wav", speech_samples(words))
    options = TranscribeOptions(vad_min_silence_s=0.5)
    transcript = World(script=nothing, voice=Unsure(voice)).transcriber.transcribe(path, options, model="fake")
    assert transcript.words == ()
    # And once: no half is halved again.
    assert sum(set(asked)) == (2 * words if is_halved else words)


@pytest.mark.parametrize("heard", [True, False])
def test_a_part_around_a_hole_whose_text_was_rejected_is_done_in_halves_once(tmp_path: Path, *, heard: bool) -> None:
    # "No!" for two utterances with a long pause between them was rejected as sparse, and both were lost.
    asked: list[int] = []

    def hopeless(features: NDArray[np.float32]) -> Hypothesis:
        asked.append(beeps(features))
        if asked[-1] == 8 or (asked[-1] == 4 and not heard):
            return Hypothesis(said(" no").token_ids, -0.8, 0.95, cap_hit=False)
        return said({4: " four"}.get(asked[-1], " six"))

    samples = np.concatenate([speech_samples(6), speech_samples(4, lead_s=0.8), speech_samples(4, lead_s=0.8)])
    options = TranscribeOptions(vad_min_silence_s=0.5)
    world = World(script=hopeless, engine=EarlyWords)
    transcript = world.transcriber.transcribe(write_speech(tmp_path / "a.wav", samples), options, model="fake")
    assert transcript.text == ("six four four" if heard else "six")
    # Most of the chunk has no word, so all of it is heard again before its parts are.
    assert asked == ([14, 14, 8, 4, 4, 6] if heard else [14, 14, 8, 4, 4])
    assert len(transcript.coverage.holes) == (0 if heard else 1)


def test_a_part_that_hears_less_than_the_whole_did_keeps_the_words_of_the_whole(tmp_path: Path) -> None:
    # "Then in the same operations with ugly ones." alone was "Then", and so the utterance behind it was lost too.
    def loses(features: NDArray[np.float32]) -> Hypothesis:
        count = beeps(features)
        return replace(said({10: " six", 4: " four"}.get(count, "...")), avg_logprob=-0.1 * count)

    world = World(script=loses, engine=EarlyWords)
    transcript = world.transcriber.transcribe(two_utterances(tmp_path / "a.wav"), model="fake")
    assert transcript.text == "six four"
    six, four = transcript.words
    assert (six.start_s, four.start_s) == (pytest.approx(0.1, abs=0.1), pytest.approx(6.2, abs=0.2))
    assert transcript.coverage.holes == ()
    assert transcript.rejected == (), "what a part gave that is not kept"
    [first, *_] = transcript.segments
    assert first.avg_logprob == pytest.approx(-1.0), "the attempt that these words are of"
    assert [round(attempt.avg_logprob, 1) for attempt in first.attempts] == [-1.0, -0.4]


def test_parts_that_leave_as_much_without_words_as_the_whole_did_are_not_kept(tmp_path: Path) -> None:
    def loses(features: NDArray[np.float32]) -> Hypothesis:
        return said({10: " six", 4: " f", 6: " other words than before"}.get(beeps(features), ""))

    class OneMoment(EarlyWords):
        def align(
            self,
            encoded: Encoded,
            start_sequence: Sequence[int],
            token_ids: Sequence[Sequence[int]],
            frames: Sequence[int],
            *,
            spelled: bool = False,
        ) -> list[TokenTimes]:
            """The one letter has next to no time."""
            short = [min(count, 60) if len(ids) < 3 else count for count, ids in zip(frames, token_ids, strict=True)]
            return super().align(encoded, start_sequence, token_ids, short, spelled=spelled)

    world = World(script=loses, engine=OneMoment)
    assert world.transcriber.transcribe(two_utterances(tmp_path / "a.wav"), model="fake").text == "six"


def test_the_figures_of_a_segment_are_those_of_the_first_part_that_has_words(tmp_path: Path) -> None:
    def differently_sure(features: NDArray[np.float32]) -> Hypothesis:
        count = beeps(features)
        likely = {10: -0.9, 6: -0.3, 4: -0.2}[count]
        return Hypothesis(said({4: " four"}.get(count, " six")).token_ids, likely, 0.01, cap_hit=False)

    world = World(script=differently_sure, engine=EarlyWords)
    transcript = world.transcriber.transcribe(two_utterances(tmp_path / "a.wav"), model="fake")
    assert transcript.text == "six four"
    assert {segment.avg_logprob for segment in transcript.segments} == {-0.3}
    assert len(transcript.segments[0].attempts) == 3


def test_what_was_heard_beside_the_words_is_that_of_all_parts(tmp_path: Path) -> None:
    class HearsMore(FakeWhisper):
        """In every part "one" with other speech behind it."""

        def __init__(self, **fake: Any) -> None:
            super().__init__(**fake)
            self.hearing(reading_classifier(width=80))

        def as_arrays(self, encoded: Encoded) -> list[NDArray[np.float32]]:
            heard = "." * 22 + "oonnee" + "x" * 60
            return [planted(heard.ljust(row.shape[1] // 2, "."), reading_classifier(width=80)) for row in encoded.value]

        def generate(self, encoded: Encoded, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[Hypothesis]:
            return [replace(said(" one"), cap_hit=beeps(row) == 8) for row in encoded.value]

    path = write_speech(tmp_path / "a.wav", np.concatenate([speech_samples(5), speech_samples(3, lead_s=0.8)]))
    transcript = World(engine=HearsMore).transcriber.transcribe(path, model="fake")
    assert transcript.text == "one one"
    first, second = (word.start_s for word in transcript.words)
    assert any(first < one.start_s < first + 1 for one in transcript.unspoken)
    assert any(second < one.start_s < second + 1 for one in transcript.unspoken)


def test_what_is_rejected_in_any_part_is_listed(tmp_path: Path) -> None:
    class NotesAtTheEnd(FakeWhisper):
        def generate(self, encoded: Encoded, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[Hypothesis]:
            counts = [beeps(row) for row in encoded.value]
            return [replace(said("..." if count < 4 else " some"), cap_hit=count == 8) for count in counts]

    path = write_speech(tmp_path / "a.wav", np.concatenate([speech_samples(5), speech_samples(3, lead_s=0.8)]))
    transcript = World(engine=NotesAtTheEnd).transcriber.transcribe(path, model="fake")
    assert transcript.text == "some"
    assert [one.text for one in transcript.rejected] == ["..."]


def test_a_hole_that_stays_empty_is_listed_and_the_text_is_what_it_was(tmp_path: Path) -> None:
    world = World(script=lambda features: said(" six" if beeps(features) >= 6 else ""), engine=EarlyWords)
    transcript = world.transcriber.transcribe(two_utterances(tmp_path / "a.wav"), model="fake")
    assert transcript.text == "six"
    [hole] = transcript.coverage.holes
    assert (hole.start_s, hole.end_s) == (pytest.approx(5.2, abs=0.3), pytest.approx(9.4, abs=0.3))
    assert transcript.coverage.skipped_s == pytest.approx(1.6, abs=0.25)


@pytest.mark.parametrize("error", [EngineError("fake", "generate", "no"), MemoryError("generate"), DAMAGED])
def test_where_the_parts_fail_the_chunk_keeps_its_words(tmp_path: Path, error: Exception) -> None:
    def fail(stage: str, number: int) -> None:
        if stage == "generate" and number > 1:
            raise error

    world = World(script=ends_early, engine=EarlyWords)
    world.faults["cpu"].fail = fail
    transcript = world.transcriber.transcribe(two_utterances(tmp_path / "a.wav"), model="fake")
    assert transcript.text == "six"
    assert len(transcript.coverage.holes) == 1


def test_a_translation_is_never_recognised_in_parts_for_its_holes(tmp_path: Path) -> None:
    world = World(script=ends_early, engine=EarlyWords)
    options = TranscribeOptions(language="de", task=Task.TRANSLATE)
    assert world.transcriber.transcribe(two_utterances(tmp_path / "a.wav"), options, model="fake").text == "six"


def test_text_that_the_cap_cut_is_done_in_parts_until_each_has_all_of_it(tmp_path: Path) -> None:
    # A script of many tokens: twenty seconds of speech that are never written in what a chunk may have.
    def verbose(features: NDArray[np.float32]) -> Hypothesis:
        letters = random.Random(1)
        return said("".join(f" {''.join(letters.choices('bcdfghklmnprstvz', k=14))}" for _ in range(beeps(features))))

    samples = speech_samples(24)
    transcript = World(script=verbose).transcriber.transcribe(write_speech(tmp_path / "a.wav", samples), model="fake")
    assert len(transcript.words) == 24
    assert {len(word.text) for word in transcript.words} == {14}
    starts = [word.start_s for word in transcript.words]
    assert starts == sorted(starts)
    assert {a.rejected_for for segment in transcript.segments for a in segment.attempts} == {"", "token_cap"}


@pytest.mark.parametrize("tokens_per_s", [4, 9, 15, 17])
def test_of_a_text_of_many_tokens_nothing_is_lost_though_the_language_does_not_say_so(
    tmp_path: Path, tokens_per_s: int
) -> None:
    # A beep takes 0.8 s with its pause; the fake's token is a character. The cap is that of English.
    def verbose(features: NDArray[np.float32]) -> Hypothesis:
        letters = random.Random(1)
        length = max(2, round(0.8 * tokens_per_s) - 1)
        words = ("".join(letters.choices("bcdfghklmnprstvz", k=length)) for _ in range(beeps(features)))
        return said("".join(f" {word}" for word in words))

    path = write_speech(tmp_path / "a.wav", speech_samples(32))
    transcript = World(script=verbose).transcriber.transcribe(path, model="fake")
    assert len(transcript.words) == 32
    assert transcript.coverage.holes == ()


def test_a_cap_that_a_long_prompt_lowered_is_the_one_that_counts(tmp_path: Path) -> None:
    def cut_by_the_prompt(features: NDArray[np.float32]) -> Hypothesis:
        count = beeps(features)
        return Hypothesis(said(f" {count}").token_ids, -0.2, 0.01, cap_hit=count > 4)

    class Capped(FakeWhisper):
        def generate(self, encoded: Encoded, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[Hypothesis]:
            return [cut_by_the_prompt(row) for row in encoded.value]

    samples = speech_samples(6)
    world = World(engine=Capped)
    transcript = world.transcriber.transcribe(write_speech(tmp_path / "a.wav", samples), model="fake")
    assert sum(int(word.text) for word in transcript.words) == 6
    assert len(transcript.words) == 2


def test_a_sentence_that_goes_on_in_the_next_part_is_not_torn(tmp_path: Path) -> None:
    class Capped(FakeWhisper):
        def generate(self, encoded: Encoded, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[Hypothesis]:
            return [replace(said(" and so On."), cap_hit=beeps(row) > 4) for row in encoded.value]

    world = World(engine=Capped)
    transcript = world.transcriber.transcribe(write_speech(tmp_path / "a.wav", speech_samples(6)), model="fake")
    assert transcript.text == "and so On, and so On."


def test_a_translation_goes_on_in_the_next_part_as_the_english_that_it_is(tmp_path: Path) -> None:
    class Capped(FakeWhisper):
        def generate(self, encoded: Encoded, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[Hypothesis]:
            return [replace(said(" Die we must and"), cap_hit=beeps(row) > 4) for row in encoded.value]

    options = TranscribeOptions(task=Task.TRANSLATE, language="de")
    talk = write_speech(tmp_path / "a.wav", speech_samples(6))
    assert (
        World(engine=Capped).transcriber.transcribe(talk, options, model="fake").text
        == "Die we must and Die we must and"
    )


def test_no_sound_costs_more_than_what_is_stated(tmp_path: Path) -> None:
    # Every text ends at its cap, in every part: `recognition.effort` has the sums.
    letters = random.Random(1)
    endless = tuple(letters.choice(range(ord("a"), ord("z"))) for _ in range(1000))
    world = World(script=lambda _features: Hypothesis(endless, -0.3, 0.0, cap_hit=True))
    audio = write_speech(tmp_path / "a.wav", speech_samples(35))
    world.transcriber.transcribe(audio, TranscribeOptions(language="en"), model="fake")
    calls = world.faults["cpu"].calls
    assert calls["encode"] <= 2 * (1 + 2 + 4 + 8)
    assert calls["generate"] <= 7 * calls["encode"]
