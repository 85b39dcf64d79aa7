"""Read prose in pieces of 30 s has no more false ends of sentences than a search that goes from window to window."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from benchmarks.punctuation import compare

from autorag_whisper.bootstrap import build_transcriber

if TYPE_CHECKING:
    from pathlib import Path

FASTER_WHISPER = 2
"""False ends of faster-whisper 1.2.1, sequential, with the same weights: "at that time. This has since" and another."""


@pytest.mark.slow
@pytest.mark.kit
@pytest.mark.timeout(600)
def test_sentences_of_four_minutes_of_prose_are_not_torn(kit: Path) -> None:
    rows = map(json.loads, (kit / "real" / "manifest.jsonl").read_text(encoding="utf-8").splitlines())
    row = next(row for row in rows if row["path"] == "long_lj001.opus")
    with build_transcriber() as transcriber:
        transcript = transcriber.transcribe(kit / "real" / row["path"], model="base")
    counts = compare(row, transcript.text)
    assert counts.pairs > 500
    assert counts.ends["false"] <= FASTER_WHISPER, counts.shown
    assert counts.end_before_small <= 1, transcript.text  # "black letter, i.e. the letter"
