"""How sure voice activity was, carried from its probabilities to the chunk."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.audio.chunking import WINDOW, Chunker

probabilities = st.lists(st.sampled_from([0.0, 0.1, 0.4, 0.55, 0.7, 0.95]), min_size=1, max_size=3000)


@given(probabilities, st.integers(1, 400))
def test_voice_is_the_mean_of_the_surest_half_second_of_the_chunks_speech(heard: list[float], step: int) -> None:
    values = np.asarray(heard, np.float32)
    chunker, chunks = Chunker(), []
    for at in range(0, len(values), step):
        block = values[at : at + step]
        chunks += chunker.push(np.zeros(len(block) * WINDOW, np.float32), block)
    chunks += chunker.finish()
    for chunk in chunks:
        inside = np.concatenate([values[span.start // WINDOW : span.stop // WINDOW] for span in chunk.speech])
        assert chunk.voice == pytest.approx(np.sort(inside)[-16:].mean(), abs=1e-6)
