"""What `engines.base.WhisperPipeline` promises beyond a recogniser, held against every implementation.

whisperX's takes part in the environment that `scripts/whisperx_env.sh` makes; what any recogniser promises,
`test_whisper_model` holds it to.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from autorag_whisper.domain.device import CPU
from autorag_whisper.domain.errors import EngineError
from autorag_whisper.engines import whisperx
from autorag_whisper.engines.base import WhisperPipeline, Wording
from autorag_whisper.engines.ctranslate2 import LoadRequest
from autorag_whisper.testing import FakeWhisper, FakeWhisperPipeline, speech_samples

if TYPE_CHECKING:
    from pathlib import Path

needs_whisperx = pytest.mark.skipif(find_spec("whisperx") is None, reason="needs whisperX: scripts/whisperx_env.sh")
ENGLISH = Wording("en", "transcribe", beam_size=2)


@pytest.fixture(scope="module", params=["fake", pytest.param("whisperx", marks=needs_whisperx)])
def shared(request: pytest.FixtureRequest) -> WhisperPipeline:
    if request.param == "fake":
        return FakeWhisperPipeline()
    folder: Path = request.getfixturevalue("tiny_en_folder")
    return whisperx.load(LoadRequest(folder, "tiny.en", CPU, "int8", 2, strict_window=True))


@pytest.fixture(scope="module")
def clips(demo_sample: Path) -> list[np.ndarray]:
    """Real speech, beeps, and real speech again, of unequal lengths."""
    with av.open(str(demo_sample)) as container:
        resampler = av.AudioResampler("fltp", "mono", 16_000)
        pieces = [p.to_ndarray()[0] for f in container.decode(audio=0) for p in resampler.resample(f)]
    speech = np.concatenate(pieces).astype(np.float32)
    return [speech[: 7 * 16_000 + 1], speech_samples(4), speech[-4 * 16_000 + 3 :]]


def texts(engine: WhisperPipeline, clips: list[np.ndarray], wording: Wording = ENGLISH) -> list[str]:
    _, found = engine.recognise(clips, wording)
    return [engine.tokenizer.decode(hypothesis.token_ids).strip() for hypothesis in found]


def test_only_what_decodes_by_its_own_rules_counts_as_one(shared: WhisperPipeline) -> None:
    assert isinstance(shared, WhisperPipeline)
    assert not isinstance(FakeWhisper(), WhisperPipeline)


def test_a_clip_does_not_depend_on_its_company(shared: WhisperPipeline, clips: list[np.ndarray]) -> None:
    together = texts(shared, clips)
    assert together == [texts(shared, [clip])[0] for clip in clips]
    assert all(together)


def test_arguments_are_neither_changed_nor_kept(shared: WhisperPipeline, clips: list[np.ndarray]) -> None:
    given = [clip.copy() for clip in clips]
    before = texts(shared, given)
    assert all(np.array_equal(one, other) for one, other in zip(given, clips, strict=True))
    for clip in given:
        clip[:] = 0
    assert texts(shared, clips) == before


def test_every_text_has_its_figures_and_its_row(shared: WhisperPipeline, clips: list[np.ndarray]) -> None:
    encoded, found = shared.recognise(clips, ENGLISH)
    assert encoded.rows == len(found) == 3
    for hypothesis in found:
        assert -10 < hypothesis.avg_logprob <= 0
        assert 0 <= hypothesis.no_speech_prob <= 1
    start = shared.tokenizer.start_sequence("en", "transcribe")
    [times] = shared.align(shared.select(encoded, [2]), start, [found[2].token_ids], [400])
    assert (np.diff(times.starts) >= 0).all()
    assert times.starts[-1] > times.starts[0]


def test_a_wording_holds_for_its_own_call_alone(shared: WhisperPipeline, clips: list[np.ndarray]) -> None:
    before = texts(shared, clips)
    texts(shared, clips, Wording("en", "transcribe", beam_size=1, previous="Prices, doors.", hotwords="tickets"))
    assert texts(shared, clips) == before


def test_many_threads_get_what_one_gets(shared: WhisperPipeline, clips: list[np.ndarray]) -> None:
    expected = texts(shared, clips)
    with ThreadPoolExecutor(3) as pool:
        assert [job.result(120) for job in [pool.submit(texts, shared, clips) for _ in range(3)]] == [expected] * 3


def test_after_close_it_is_refused(request: pytest.FixtureRequest, clips: list[np.ndarray]) -> None:
    engine = FakeWhisperPipeline()
    if find_spec("whisperx") is not None:
        folder: Path = request.getfixturevalue("tiny_en_folder")
        engine = whisperx.load(LoadRequest(folder, "tiny.en", CPU, "int8", 2, strict_window=True))
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.recognise(clips, ENGLISH)
