"""Whole runs in which something that was said used to vanish, or was written that nobody said; one of each kind."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.audio.decode import MediaDecoder
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ
from autorag_whisper.domain.request import TranscribeOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from autorag_whisper.domain.transcript import Transcript
    from autorag_whisper.transcriber import Transcriber

pytestmark = [pytest.mark.slow, pytest.mark.kit, pytest.mark.timeout(900)]

LEVEL, FLOOR = 0.05, 1e-4
ENGLISH = TranscribeOptions(language="en")


@pytest.fixture(scope="module")
def transcriber() -> Iterator[Transcriber]:
    with build_transcriber() as made:
        yield made


def samples_of(path: Path) -> NDArray[np.float32]:
    with path.open("rb") as file, MediaDecoder(file, path.name) as decoder:
        return np.concatenate(list(decoder))


def join(kit: Path, clips: tuple[str, ...], gaps_s: tuple[float, ...], gains_db: tuple[float, ...]) -> MediaSource:
    """Recordings behind one another, at the same power but for `gains_db`, with faint noise between and under them."""
    noise = np.random.default_rng(7)
    pieces = [np.zeros(SAMPLE_RATE_HZ // 5)]
    for name, gap_s, gain_db in zip(clips, (*gaps_s, 0.3), gains_db, strict=True):
        samples = samples_of(kit / "real" / name)
        pieces += [samples * LEVEL / np.sqrt(np.mean(samples**2)) * 10 ** (gain_db / 20)]
        pieces += [np.zeros(round(gap_s * SAMPLE_RATE_HZ))]
    whole = np.concatenate(pieces)
    whole = np.clip(whole + noise.standard_normal(len(whole)) * FLOOR, -1, 1).astype(np.float32)
    return MediaSource.from_samples(whole, sample_rate_hz=SAMPLE_RATE_HZ)


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def heard_share(text: str, transcript: Transcript) -> float:
    """The share of the words of `text` that came out, in order."""
    said, heard = words_of(text), words_of(transcript.text)
    blocks = SequenceMatcher(None, said, heard, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / len(said)


WIZARD = "He began a confused complaint against the wizard who had vanished behind the curtain on the left."
UNLESS = "unless to be rather cold hearted and rather selfish is to be ill disposed"
JOINS = {
    "another voice": (("libri_61-70968-0000.flac", "librivox_ss_0890.wav"), (0.8,), (0.0, 0.0), (WIZARD, UNLESS)),
    "the third of three": (
        ("emu_msajc022.wav", "librivox_ss_0890.wav", "libri_61-70968-0000.flac"),
        (0.8, 0.8),
        (0.0, 0.0, 0.0),
        ("itches are always so tempting to scratch", UNLESS, WIZARD),
    ),
    "a part that was worse alone": (
        ("lj_LJ001-0013.flac", "librivox_ss_0880.wav"),
        (0.34,),
        (0.0, -12.0),
        ("than in the same operations with ugly ones", "he was not an ill disposed young man"),
    ),
    "two of which one word was written": (
        ("praat_mary.wav", "librivox_ss_0890.wav", "cv_en_22058264.mp3"),
        (1.4, 2.5),
        (0.0, 12.0, 12.0),
        ("Mary rolled the barrel", UNLESS, "no"),
    ),
}


@pytest.mark.parametrize("name", JOINS)
def test_no_utterance_vanishes_where_the_voice_or_the_recording_changes(
    transcriber: Transcriber, kit: Path, name: str
) -> None:
    """Whole utterances were missing, and coverage said that all of the speech had its words."""
    clips, gaps_s, gains_db, texts = JOINS[name]
    transcript = transcriber.transcribe(join(kit, clips, gaps_s, gains_db), ENGLISH, model="base")
    assert [round(heard_share(text, transcript), 2) for text in texts] == [
        pytest.approx(1.0, abs=0.34 if len(words_of(text)) > 1 else 0.0) for text in texts
    ]
    assert transcript.coverage.holes == ()
    assert transcript.coverage.skipped_s == 0


def test_the_first_word_of_an_utterance_that_had_vanished_lies_where_it_was_said(
    transcriber: Transcriber, kit: Path
) -> None:
    clips, gaps_s, gains_db, _ = JOINS["another voice"]
    words = transcriber.transcribe(join(kit, clips, gaps_s, gains_db), ENGLISH, model="base").words
    times = {word.text.strip(".,").lower(): word for word in words}
    assert times["left"].end_s < 5.1, "the end of the first recording"
    assert times["unless"].start_s == pytest.approx(6.1, abs=0.25)


def test_half_a_minute_in_a_script_of_many_tokens_is_written_to_its_end(transcriber: Transcriber, root: Path) -> None:
    """The cap was 224 tokens for 30 s in every language: of 27 s of Greek the last sentence was missing, five times."""
    path = root / "tests" / "data" / "greek.opus"
    transcript = transcriber.transcribe(path, TranscribeOptions(language="el"), model="base")
    assert transcript.words[-1].text.strip(".") == "τρένο"
    assert transcript.words[-1].end_s > 25.0
    assert transcript.coverage.holes == ()
    assert not [one for one in transcript.rejected if one.text]
    assert {attempt.rejected_for for segment in transcript.segments for attempt in segment.attempts} == {""}


def test_seven_seconds_of_one_language_do_not_decide_for_the_next(transcriber: Transcriber, kit: Path) -> None:
    """53 s of German came out as an English translation, with a probability of 1.0."""
    english, german = (samples_of(kit / "real" / name) for name in ("lj_LJ001-0007.flac", "librivox_de.mp3"))
    both = np.concatenate([english, np.zeros(SAMPLE_RATE_HZ, np.float32), german[: 53 * SAMPLE_RATE_HZ]])
    transcript = transcriber.transcribe(MediaSource.from_samples(both, sample_rate_hz=SAMPLE_RATE_HZ), model="base")
    assert {"Lebensbeschreibung", "wunderlichen"} <= set(re.findall(r"\w+", transcript.text))
    assert "earliest book" in transcript.text
    assert {"en", "de"} <= {stretch.language for stretch in transcript.languages}


def test_noise_gives_no_loop_at_a_speakers_pace(transcriber: Transcriber, kit: Path) -> None:
    """'a la viola' was there twelve times, in a text of which nothing was faster than anyone speaks."""
    speech = samples_of(kit / "real" / "librivox_es.mp3")[: 25 * SAMPLE_RATE_HZ]
    for seed in (5, 6):
        noise = np.random.default_rng(seed).standard_normal(len(speech)).astype(np.float32)
        noisy = np.clip(speech + noise * np.sqrt(np.mean(speech**2)) * 1.5, -1, 1)
        media = MediaSource.from_samples(noisy, sample_rate_hz=SAMPLE_RATE_HZ)
        words = words_of(transcriber.transcribe(media, model="base").text)
        loops = [
            (at, period)
            for period in range(1, 7)
            for at in range(len(words) - 4 * period + 1)
            if words[at : at + 3 * period] == words[at + period : at + 4 * period]
        ]
        assert loops == [], words
