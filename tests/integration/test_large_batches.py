"""Large batches and beams on a CPU: searched in parts, so that memory is bounded, with the results of small ones."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.domain.device import CPU
from autorag_whisper.engines.base import Decoding
from autorag_whisper.engines.ctranslate2 import LoadRequest, load
from autorag_whisper.models.store import ModelStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autorag_whisper.engines.ctranslate2 import CTranslate2Whisper


@pytest.fixture(scope="module")
def engine() -> Iterator[CTranslate2Whisper]:
    folder = ModelStore(environ=os.environ, offline=True).resolve("tiny.en").folder
    recognizer = load(LoadRequest(folder, "tiny.en", CPU, "int8", 1, strict_window=False))
    yield recognizer
    recognizer.close()


@pytest.mark.parametrize(("rows", "beam"), [(20, 1), (3, 100), (33, 5)])
def test_rows_of_a_large_batch_are_those_of_small_ones(engine: CTranslate2Whisper, rows: int, beam: int) -> None:
    sounds = np.random.default_rng(3).normal(0, 0.3, (3, 80, 200)).astype(np.float32)
    encoded = engine.encode(np.repeat(sounds, -(-rows // 3), axis=0)[:rows])
    prompt = engine.tokenizer.prompt("en", "transcribe")
    decoding = Decoding(beam_size=beam, max_new_tokens=6)
    found = engine.generate(encoded, [prompt] * rows, decoding)
    assert len(found) == rows
    for n in (0, rows - 1):
        [alone] = engine.generate(engine.select(encoded, [n]), [prompt], decoding)
        assert found[n].token_ids == alone.token_ids
        assert found[n].avg_logprob == pytest.approx(alone.avg_logprob, abs=1e-3)
