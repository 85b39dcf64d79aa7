"""Options of the search and of voice activity: their ranges, and that each reaches the engine or the chunker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.notes import NoteKind
from autorag_whisper.domain.request import Search, TranscribeOptions
from autorag_whisper.engines.base import Hypothesis
from autorag_whisper.format import render
from autorag_whisper.recognition.search import MAX_PREFIX_TOKENS
from autorag_whisper.testing import FakeTokenizer, FakeVoiceActivity, FakeWhisperPipeline, speech_samples, write_speech
from run_world import World

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from autorag_whisper.domain.transcript import Transcript
OTHER: dict[str, Any] = {
    "patience": 2.0, "length_penalty": 0.5, "repetition_penalty": 1.2, "no_repeat_ngram_size": 3, "max_new_tokens": 50,
    "suppress_tokens": (-1, 7), "suppress_blank": False, "prefix": "Well,", "vad": False, "vad_threshold": 0.3,
    "vad_min_speech_s": 0.2, "vad_min_silence_s": 0.5, "vad_pad_s": 1.0, "no_speech_threshold": 0.4,
    "logprob_threshold": -0.5, "compression_ratio_threshold": 2.0, "clips": "1-2",
}  # fmt: skip
"""Of each option a value that it may have and that changes something."""


# ------------------------------------------------------------ the search


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    return write_speech(tmp_path / "a.wav", speech_samples(3))


def test_the_options_of_the_search_reach_every_attempt(speech: Path) -> None:
    # The first attempt repeats itself, so it is redone, once for each temperature.
    world = World(script=lambda _features: Hypothesis(FakeTokenizer().encode(" la" * 60), -0.2, 0.0, cap_hit=False))
    asked = {name: OTHER[name] for name in Search.__slots__}
    options = TranscribeOptions(**asked, max_new_tokens=200, temperatures=(0.0, 0.4))
    world.transcriber.transcribe(speech, options)
    decodings = world.fakes[0].decodings
    assert len(decodings) >= 2
    for decoding in decodings:
        assert decoding.search == Search(**asked)
        assert decoding.max_new_tokens == 200


def test_suppressed_tokens_do_not_come_and_ids_beyond_the_model_are_refused(speech: Path) -> None:
    world = World()
    assert world.transcriber.transcribe(speech, TranscribeOptions(suppress_tokens=(-1, ord("o")))).text == "ne tw three"
    with pytest.raises(InvalidOption, match="ids below"):
        world.transcriber.transcribe(speech, TranscribeOptions(suppress_tokens=(0x110000,)))


def test_no_piece_has_more_tokens_than_it_may_and_what_was_asked_for_is_not_done_again(speech: Path) -> None:
    world = World()
    transcript = world.transcriber.transcribe(speech, TranscribeOptions(max_new_tokens=8))
    assert transcript.text == "one two"
    assert len(transcript.segments[0].attempts) == 1


def test_the_first_piece_begins_with_the_prefix_and_only_that(tmp_path: Path) -> None:
    part = speech_samples(3, tail_s=6.0)
    talk = write_speech(tmp_path / "talk.wav", np.concatenate([part] * 4))
    for quality in ("fast", "balanced"):
        transcript = World().transcriber.transcribe(talk, TranscribeOptions(prefix=" Well then, ", quality=quality))
        assert transcript.text == "Well then, one two three" + " one two three" * 3
        assert [word.text for word in transcript.words][:3] == ["Well", "then,", "one"]
        assert all(a.end_s <= b.start_s for a, b in zip(transcript.words, transcript.words[1:], strict=False))


def test_of_a_long_prefix_what_has_room_counts(speech: Path) -> None:
    prefix = "".join(map(chr, range(0x4E00, 0x4E00 + 200)))
    text = World().transcriber.transcribe(speech, TranscribeOptions(prefix=prefix)).text
    assert text == prefix[: MAX_PREFIX_TOKENS - 1] + " one two three"  # a token is the blank before it


def test_the_first_piece_of_every_file_begins_with_the_prefix(tmp_path: Path) -> None:
    files = [write_speech(tmp_path / f"{n}.wav", speech_samples(n)) for n in (1, 2, 3)]
    found = World().transcriber.transcribe_many(files, TranscribeOptions(prefix="So", batch_size=8))
    assert sorted(outcome.result().text for outcome in found) == ["So one", "So one two", "So one two three"]


@pytest.mark.parametrize("option", ["prefix", "max_new_tokens"])
def test_an_engine_without_an_option_says_so(option: str, speech: Path) -> None:
    with pytest.raises(InvalidOption, match="no such option"):
        World(engine=FakeWhisperPipeline).transcriber.transcribe(speech, TranscribeOptions(**{option: OTHER[option]}))


def test_a_pipeline_of_its_own_is_told_the_options_of_the_search(speech: Path) -> None:
    world = World(engine=FakeWhisperPipeline)
    world.transcriber.transcribe(speech, TranscribeOptions(patience=2.0, length_penalty=0.5))
    [(_, wording)] = world.fakes[0].heard  # type: ignore[attr-defined]  # it is a pipeline
    assert (wording.search.patience, wording.search.length_penalty) == (2.0, 0.5)


class DeafVoiceActivity(FakeVoiceActivity):
    """Hears nobody."""

    def stream(self) -> Any:
        return _Deaf()


class _Deaf:
    def __init__(self) -> None:
        self._heard = FakeVoiceActivity().stream()

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        return 0 * self._heard.push(samples)

    def finish(self) -> NDArray[np.float32]:
        return 0 * self._heard.finish()


def test_without_voice_activity_everything_is_recognised(tmp_path: Path) -> None:
    # 10 beeps, 20 s of silence, 10 beeps, 20 s of silence: 60 s.
    talk = write_speech(tmp_path / "talk.wav", np.concatenate([speech_samples(10, tail_s=21.5)] * 2))
    deaf = World(voice=DeafVoiceActivity()).transcriber
    assert deaf.transcribe(talk).text == ""
    transcript = deaf.transcribe(talk, TranscribeOptions(vad=False))
    ten = "one two three four five six seven eight nine ten"
    assert transcript.text == f"{ten} {ten}"
    assert transcript.words[9].end_s <= 30
    assert transcript.words[10].start_s > 20
    assert transcript.coverage.transcribed_s > 0


def test_without_voice_activity_what_nobody_said_is_still_rejected_by_what_it_heard(tmp_path: Path) -> None:
    file = write_speech(tmp_path / "a.wav", speech_samples(3))
    hallucination = Hypothesis(FakeTokenizer().encode(" Thank you."), -0.9, 0.35, cap_hit=False)
    for voice, text in ((FakeVoiceActivity(), "Thank you."), (DeafVoiceActivity(), "")):
        world = World(voice=voice, script=lambda _features: hallucination)
        assert world.transcriber.transcribe(file, TranscribeOptions(vad=False)).text == text


# ------------------------------------------------------------ clips


@pytest.fixture
def minute(tmp_path: Path) -> Path:
    """Beeps at 0.5 s, 1.3 s, ...: 70 words in 57 s, in pieces of ten with 1.6 s between them."""
    part = speech_samples(10, lead_s=0.5, tail_s=0.5)
    return write_speech(tmp_path / "minute.wav", np.concatenate([part] * 7))


def heard(path: Path, clips: str) -> Transcript:
    return World().transcriber.transcribe(path, TranscribeOptions(clips=clips))  # type: ignore[arg-type]  # as is convenient


def test_only_clips_are_recognised_and_times_stay_the_files(minute: Path) -> None:
    # The second part lasts from 9 s to 18 s: its third beep begins at 9 + 0.5 + 2 * 0.8 = 11.1 s.
    transcript = heard(minute, "11-13.4,-1.2")
    assert [word.text for word in transcript.words] == ["one", "one", "two", "three"]
    first, *others = transcript.words
    assert first.end_s <= 1.2
    assert all(11 <= word.start_s <= word.end_s <= 13.4 for word in others)
    assert transcript.duration_s == pytest.approx(63.0)
    assert [(clip.start_s, clip.end_s) for clip in transcript.clips] == [(0, 1.2), (11, 13.4)]
    document = json.loads(render(transcript, "json"))
    assert document["clips"] == [{"start": 0.0, "end": 1.2}, {"start": 11.0, "end": 13.4}]
    assert document["duration"] == 63.0


def test_an_open_clip_ends_with_the_file(minute: Path) -> None:
    transcript = heard(minute, "54-")
    assert len(transcript.words) == 10
    assert json.loads(render(transcript, "json"))["clips"] == [{"start": 54.0, "end": None}]


def test_a_clip_behind_the_end_is_told(minute: Path) -> None:
    transcript = heard(minute, "54-,60-61,5:00-6:00")
    assert len(transcript.words) == 10
    [note] = heard(minute, "1-2,5:00-6:00").notes
    assert note.kind is NoteKind.CLIP_BEHIND_END
    assert note.text == "clip 5:00-6:00 begins behind the end at 1:03"
    assert not heard(minute, "0-1").notes


def test_the_whole_as_a_clip_is_the_whole(minute: Path) -> None:
    whole = World().transcriber.transcribe(minute)
    assert heard(minute, "0-").words == whole.words
    assert whole.clips == ()
