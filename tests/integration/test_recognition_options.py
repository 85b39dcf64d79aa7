"""Each option of recognition on the real engine: what it changes in a recording of two sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.request import TranscribeOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from autorag_whisper.domain.transcript import Transcript
    from autorag_whisper.transcriber import Transcriber

    Hear = Callable[..., Transcript]

pytestmark = pytest.mark.slow

PLAIN = "On June 14, 1969, we sold 350 tickets for $25 each. The doors open at 7, so please come early."


@pytest.fixture(scope="module")
def transcriber() -> Iterator[Transcriber]:
    with build_transcriber() as made:
        yield made


@pytest.fixture
def hear(transcriber: Transcriber, demo_sample: Path) -> Hear:
    """The demo sample under some options."""

    def transcribed(**options: Any) -> Transcript:
        return transcriber.transcribe(demo_sample, TranscribeOptions(language="en", **options))

    return transcribed


def test_a_clip_holds_the_words_of_its_seconds_at_their_times(hear: Hear) -> None:
    whole, clip = hear(), hear(clips="3-7.5")
    assert whole.text == PLAIN
    assert clip.duration_s == whole.duration_s
    # Whether what begins within a sentence has a capital is as likely as not.
    assert [word.text.casefold() for word in clip.words][:4] == ["we", "sold", "350", "tickets"]
    starts = {word.text: word.start_s for word in whole.words}
    for word in clip.words[:4]:
        assert word.start_s == pytest.approx(starts[word.text.casefold()], abs=0.15)
    assert all(3 <= word.start_s <= word.end_s <= 7.5 for word in clip.words)


def test_clips_that_leave_out_the_pause_have_both_sentences(hear: Hear) -> None:
    text = hear(clips=[(0, 7.5), (8.2, None)]).text
    assert text.startswith("On June 14")
    assert text.endswith("please come early.")


def test_without_voice_activity_the_words_are_the_same_in_one_piece(hear: Hear) -> None:
    assert hear(vad=False).text == PLAIN


@pytest.mark.parametrize("quality", ["fast", "balanced"])
def test_the_text_begins_with_the_prefix_whose_words_have_times(hear: Hear, quality: str) -> None:
    transcript = hear(prefix="Well,", quality=quality)
    first, second, *_ = transcript.words
    assert transcript.text == "Well, o" + PLAIN[1:]
    assert (first.text, second.text) == ("Well,", "on")
    assert 0 <= first.start_s <= first.end_s <= second.start_s
    assert transcript.segments[0].avg_logprob < 0


@pytest.mark.parametrize("quality", ["fast", "balanced"])
def test_a_penalty_on_repetitions_leaves_out_the_second_comma(hear: Hear, quality: str) -> None:
    assert hear(repetition_penalty=1.5, quality=quality).text.count(",") == 1


def test_no_token_twice_leaves_out_the_second_comma(hear: Hear) -> None:
    assert hear(no_repeat_ngram_size=1).text.count(",") == 1


def test_a_penalty_on_length_makes_the_text_longer_or_shorter_and_leaves_the_likelihood(hear: Hear) -> None:
    short, plain, long = hear(length_penalty=-5.0), hear(), hear(length_penalty=3.0)
    assert len(plain.text) <= len(long.text)
    # A text that ends early leaves speech without words, which is recognised again in parts.
    assert len(short.segments[0].attempts) > len(plain.segments[0].attempts)
    assert long.segments[0].avg_logprob == pytest.approx(plain.segments[0].avg_logprob, abs=1e-4)


def test_patience_is_heard(hear: Hear) -> None:
    hasty, plain, patient = (hear(patience=patience) for patience in (0.1, 1.0, 3.0))
    assert plain.text == patient.text == PLAIN
    assert hasty.text != PLAIN
    # It takes the first text that ends; one that ends later is likelier.
    assert hasty.segments[0].avg_logprob < plain.segments[0].avg_logprob - 0.05
    assert patient.segments[0].avg_logprob >= plain.segments[0].avg_logprob


def test_a_suppressed_token_does_not_come(hear: Hear) -> None:
    assert "The" not in hear(suppress_tokens=(-1, 440)).text  # " The"
    assert hear(suppress_tokens=()).text == PLAIN
    assert hear(suppress_blank=False).text == PLAIN
    with pytest.raises(InvalidOption, match="ids below 50364"):
        hear(suppress_tokens=(51_865,))


def test_a_piece_has_no_more_tokens_than_it_may(hear: Hear) -> None:
    transcript = hear(max_new_tokens=5)
    assert all(len(segment.token_ids) <= 5 for segment in transcript.segments)
    # What the cap leaves out is not taken for said by the number before it, and is recognised in pieces of its own.
    assert max(word.end_s - word.start_s for word in transcript.words) < 2
    assert [word.text for word in transcript.words][-4:] == ["so", "please", "come", "early."]


def test_voice_activitys_options_decide_what_is_speech(hear: Hear) -> None:
    assert hear(vad_threshold=0.95).coverage.speech_s < hear().coverage.speech_s
    assert hear(vad_min_speech_s=10.0).words == ()
    assert hear(vad_pad_s=0.0).segments[0].seek_s > hear(vad_pad_s=0.3).segments[0].seek_s


def test_thresholds_decide_what_is_done_again_and_what_is_rejected(hear: Hear) -> None:
    plain, unlikely, packed = hear(), hear(logprob_threshold=-0.05), hear(compression_ratio_threshold=0.5)
    assert len(plain.segments[0].attempts) == 1
    assert unlikely.segments[0].attempts[0].rejected_for == "avg_logprob"
    assert packed.segments[0].attempts[0].rejected_for == "compression_ratio"
    doubted = hear(no_speech_threshold=0.0, logprob_threshold=0.0)
    assert doubted.words == ()
    assert [rejected.text for rejected in doubted.rejected] == [PLAIN]
