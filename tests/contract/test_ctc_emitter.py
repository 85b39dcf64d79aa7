"""What `engines.aligners.CtcEmitter` promises, held against every implementation.

That on PyTorch takes part in the environment that `scripts/torch_env.sh` makes.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.domain.device import CPU
from autorag_whisper.domain.errors import EngineError
from autorag_whisper.engines import ctranslate2_wav2vec2, wav2vec2
from autorag_whisper.testing import FakeEmitter, speech_samples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from autorag_whisper.engines.aligners import CtcEmitter


needs_pytorch = pytest.mark.skipif(find_spec("torch") is None, reason="needs PyTorch: scripts/torch_env.sh")


@pytest.fixture(params=["fake", "ctranslate2", pytest.param("transformers", marks=needs_pytorch)])
def make(request: pytest.FixtureRequest) -> Callable[[], CtcEmitter]:
    """Makes an emitter; each call a new one."""
    if request.param == "fake":
        return FakeEmitter
    folder: Path = request.getfixturevalue("ctc_tiny_en_folder")
    cache: Path = request.getfixturevalue("tmp_path")
    if request.param == "transformers":
        return lambda: wav2vec2.load(folder, "ctc-tiny-en", CPU)
    return lambda: ctranslate2_wav2vec2.load(folder, "ctc-tiny-en", CPU, cache_dir=cache, workers=2)


@pytest.fixture
def emitter(make: Callable[[], CtcEmitter]) -> CtcEmitter:
    return make()


CLIPS = [speech_samples(2), speech_samples(5), speech_samples(1)[:7000]]


def test_emissions_are_log_probabilities_of_every_column_in_every_frame(emitter: CtcEmitter) -> None:
    for clip, found in zip(CLIPS, emitter.emit(CLIPS), strict=True):
        frames, columns = found.log_probs.shape
        assert frames == (len(clip) - found.field) // found.hop + 1
        assert columns > max(emitter.spec.vocabulary.columns.values())
        assert found.log_probs.dtype == np.float32
        assert np.allclose(np.exp(found.log_probs.astype(np.float64)).sum(axis=1), 1.0, atol=1e-4)


def test_a_clip_does_not_depend_on_its_company(emitter: CtcEmitter) -> None:
    together = emitter.emit(CLIPS)
    for n, clip in enumerate(CLIPS):
        [alone] = emitter.emit([clip])
        assert np.allclose(alone.log_probs, together[n].log_probs, atol=1e-4)
    assert emitter.emit([]) == []


def test_a_clip_shorter_than_a_frame_is_filled_and_ends_no_process(emitter: CtcEmitter) -> None:
    for length in (0, 1, 319, 399, 400, 719, 720):
        [found] = emitter.emit([speech_samples(1)[8000 : 8000 + length]])
        assert len(found.log_probs) == (2 if length == 720 else 1)
        assert np.isfinite(found.log_probs).all()


def test_arguments_are_neither_changed_nor_kept(emitter: CtcEmitter) -> None:
    given = CLIPS[0].copy()
    [before] = emitter.emit([given])
    assert np.array_equal(given, CLIPS[0])
    kept = before.log_probs.copy()
    given[:] = 1
    emitter.emit(CLIPS)
    assert np.array_equal(before.log_probs, kept)


def test_digital_silence_and_values_that_are_no_numbers_end_no_process(emitter: CtcEmitter) -> None:
    [silent] = emitter.emit([np.zeros(16_000, np.float32)])
    assert np.isfinite(silent.log_probs).all()
    [broken] = emitter.emit([np.full(16_000, np.nan, np.float32)])
    assert np.isnan(broken.log_probs).any()
    [again] = emitter.emit([np.zeros(16_000, np.float32)])
    assert np.array_equal(again.log_probs, silent.log_probs)


def test_a_frame_begins_where_its_sound_does(emitter: CtcEmitter) -> None:
    [found] = emitter.emit([CLIPS[0]])
    middle_s = (found.edge_s(10) + found.edge_s(11)) / 2
    assert middle_s == pytest.approx((10 * found.hop + found.field / 2) / 16_000)


def test_on_the_cpu_nothing_moves_and_the_model_goes_on(emitter: CtcEmitter) -> None:
    [before] = emitter.emit([CLIPS[0]])
    assert emitter.is_on_device
    assert not emitter.offload()
    assert emitter.is_on_device
    assert not emitter.restore()
    [after] = emitter.emit([CLIPS[0]])
    assert np.array_equal(before.log_probs, after.log_probs)


@pytest.mark.slow
def test_many_threads_get_what_one_gets(emitter: CtcEmitter) -> None:
    expected = emitter.emit(CLIPS)
    with ThreadPoolExecutor(6) as pool:
        found = [clips.result(60) for clips in [pool.submit(emitter.emit, CLIPS) for _ in range(6)]]
    for clips in found:
        for got, wanted in zip(clips, expected, strict=True):
            assert np.allclose(got.log_probs, wanted.log_probs, atol=1e-5)


def test_after_close_every_call_is_refused_and_close_again_is_fine(emitter: CtcEmitter) -> None:
    emitter.emit(CLIPS)
    emitter.close()
    emitter.close()
    assert not emitter.is_on_device
    for call in (lambda: emitter.emit(CLIPS), emitter.offload, emitter.restore):
        with pytest.raises(EngineError, match="closed"):
            call()
    assert emitter.spec.vocabulary.columns["a"] >= 0
