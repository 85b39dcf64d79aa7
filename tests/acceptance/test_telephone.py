"""Speech as telephones and dictation machines keep it, in formats that few programs write: its text, word for word."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import jiwer
import pytest
from benchmarks.compare.scoring import normalise

from autorag_whisper.audio.source import MediaSource
from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.domain.request import TranscribeOptions
from made_media import dictation, g723_1

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from autorag_whisper.transcriber import Transcriber

pytestmark = pytest.mark.slow

ENGLISH = TranscribeOptions(language="en")


@pytest.fixture(scope="module")
def transcriber() -> Iterator[Transcriber]:
    with build_transcriber() as made:
        yield made


def plain(text: str) -> str:
    """Words in lower case; "door's" and "doors" sound the same, and so do "7" and "seven"."""
    return normalise(" ".join(re.findall(r"[\w$]+", text.replace("'", "").lower())), "en")


@pytest.mark.parametrize("name", ["demo.gsm", "demo.gsm.wav", "demo.dss"])
def test_a_recording_of_a_telephone_has_its_text(transcriber: Transcriber, root: Path, name: str) -> None:
    """None of the three was read. GSM is made by scripts/make_telephone.sh, as PyAV has no encoder of it."""
    if name == "demo.dss":
        media = MediaSource.from_bytes(dictation(g723_1(root / "samples" / "demo.flac")), name)
    else:
        media = MediaSource.from_path(root / "tests" / "data" / "telephone" / name)
    transcript = transcriber.transcribe(media, ENGLISH, model="base")
    truth = json.loads((root / "samples" / "demo.words.json").read_text())
    assert plain(transcript.text) == plain(truth["text"])
    assert transcript.duration_s == pytest.approx(truth["duration_s"], abs=0.5)  # the last block of a DSS is filled up
    assert not transcript.damage
    assert [note.kind for note in transcript.notes] == []


@pytest.mark.kit
@pytest.mark.parametrize("clip", ["tts/pause01.flac", "tts/short03.flac"])
def test_dictation_of_the_kits_clips_keeps_their_words(transcriber: Transcriber, kit: Path, clip: str) -> None:
    """At 6.3 kbit/s a word may be heard as another one: "a long toss" for "a long pause"."""
    lines = (kit / "tts" / "manifest.jsonl").read_text().splitlines()
    said = next(row["text"] for row in map(json.loads, lines) if clip.endswith(row["path"]))
    media = MediaSource.from_bytes(dictation(g723_1(kit / clip)), "note.dss")
    heard = transcriber.transcribe(media, ENGLISH, model="base").text
    errors = jiwer.process_words(plain(said), plain(heard))
    assert errors.substitutions + errors.insertions + errors.deletions <= 2, heard
