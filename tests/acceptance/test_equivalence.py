"""The fast way and the slow way say the same: batches across files against one chunk at a time."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import jiwer
import pytest

from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.domain.request import TranscribeOptions

if TYPE_CHECKING:
    from pathlib import Path

    from autorag_whisper.domain.transcript import Transcript

_log = logging.getLogger(__name__)

TIES = 0.005
"""Words that may differ. What is computed in rows differs in its last bits from what is computed alone: where two beams
are that near to each other the other one wins, and a chunk at a threshold is redone or is not."""
FILES = 3
"""Every third file of the kit, but for the two long ones."""


@pytest.mark.slow
@pytest.mark.kit
@pytest.mark.timeout(1200)
def test_batches_across_files_give_the_text_that_each_chunk_gives_alone_but_for_ties(kit: Path) -> None:
    paths = [
        kit / folder / row["path"]
        for folder in ("tts", "real")
        for row in map(json.loads, (kit / folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines())
        if "long" not in row["tags"]
    ][::FILES]
    # Without samples, which are drawn anew in each run.
    with build_transcriber() as transcriber:
        alone, batched = (
            {
                outcome.source.path: outcome.transcript
                for outcome in transcriber.transcribe_many(
                    paths, TranscribeOptions(temperatures=(0.0,), batch_size=size), model="base"
                )
            }
            for size in (1, None)
        )
    assert set(alone) == set(batched) == set(paths)
    differing = [path for path in paths if text(alone[path]) != text(batched[path])]
    words = sum(len(text(alone[path]).split()) for path in paths)
    changed = sum(edits(text(alone[path]), text(batched[path])) for path in differing)
    _log.info("%d of %d files differ, by %d of %d words", len(differing), len(paths), changed, words)
    assert words > 1000
    assert changed <= TIES * words, [path.name for path in differing]


def text(transcript: Transcript | None) -> str:
    assert transcript is not None
    return transcript.text


def edits(one: str, other: str) -> int:
    if not one or not other:
        return len((one or other).split())
    found = jiwer.process_words(one, other)
    return found.substitutions + found.deletions + found.insertions
