"""What `engines.base.WhisperModel` promises, held against every implementation."""

from __future__ import annotations

import threading
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from autorag_whisper.audio.features import log_mel
from autorag_whisper.domain.device import CPU, CUDA
from autorag_whisper.domain.errors import EngineError, InvalidOption
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.engines import native, whisperx
from autorag_whisper.engines.base import LEAST_FRAMES, Decoding
from autorag_whisper.engines.ctranslate2 import LoadRequest, load
from autorag_whisper.testing import FakeWhisper, FakeWhisperPipeline, speech_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from autorag_whisper.engines.base import WhisperModel


needs_whisperx = pytest.mark.skipif(find_spec("whisperx") is None, reason="needs whisperX: scripts/whisperx_env.sh")
ENGINES = [
    "fake", "fake-cuda", "fake-pipeline", "tiny.en", pytest.param("base", marks=pytest.mark.slow),
    "native", pytest.param("native-base", marks=pytest.mark.slow), pytest.param("whisperx", marks=needs_whisperx),
]  # fmt: skip


@pytest.fixture(params=ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def make(kind: str, request: pytest.FixtureRequest) -> Callable[[], WhisperModel]:
    """Makes a recogniser; each call a new one."""
    if kind == "fake-pipeline":
        return FakeWhisperPipeline
    if kind.startswith("fake"):
        return lambda: FakeWhisper(device=CUDA if kind == "fake-cuda" else CPU)
    if kind == "whisperx":
        tiny = request.getfixturevalue("tiny_en_folder")
        return lambda: whisperx.load(LoadRequest(tiny, "tiny.en", CPU, "int8", 2, strict_window=True))
    if kind.startswith("native"):
        request.getfixturevalue("native_library")
    of = {
        "tiny.en": "tiny_en_folder",
        "base": "base_folder",
        "native": "tiny_en_int8_folder",
        "native-base": "base_folder",
    }
    wanted = LoadRequest(request.getfixturevalue(of[kind]), "tiny.en", CPU, "int8", 2, strict_window=False)
    loader = native.load if kind.startswith("native") else load
    return lambda: loader(wanted)


@pytest.fixture(scope="module")
def opened() -> Iterator[dict[str, WhisperModel]]:
    """What `engine` has given so far: to load a model takes longer than most of these tests."""
    models: dict[str, WhisperModel] = {}
    yield models
    for model in models.values():
        model.close()


@pytest.fixture
def engine(kind: str, make: Callable[[], WhisperModel], opened: dict[str, WhisperModel]) -> WhisperModel:
    """One for all tests, whatever they asked it before. Who closes it makes one."""
    if kind not in opened:
        opened[kind] = make()
    return opened[kind]


@pytest.fixture(scope="module")
def rows(demo_sample: Path) -> np.ndarray:
    """float32[3, 80, 1000]: real speech, beeps, and real speech again."""
    with av.open(str(demo_sample)) as container:
        resampler = av.AudioResampler("fltp", "mono", 16_000)
        pieces = [p.to_ndarray()[0] for f in container.decode(audio=0) for p in resampler.resample(f)]
    speech = np.concatenate(pieces).astype(np.float32)
    features = np.zeros((3, 80, 1000), np.float32)
    for row, samples in enumerate((speech[: 8 * 16_000], speech_samples(4), speech[-4 * 16_000 :])):
        mel = log_mel(samples, 80)
        features[row, :, : mel.shape[1]] = mel
    return features


def decode(engine: WhisperModel, features: np.ndarray, decoding: Decoding | None = None) -> list[tuple[int, ...]]:
    prompt = engine.tokenizer.prompt("en", "transcribe")
    found = engine.generate(engine.encode(features), [prompt] * len(features), decoding or Decoding(beam_size=2))
    return [hypothesis.token_ids for hypothesis in found]


def test_what_is_sampled_depends_on_the_seed_and_not_on_what_was_sampled_before(
    engine: WhisperModel, rows: np.ndarray
) -> None:
    def sample(seed: int) -> tuple[int, ...]:
        return decode(engine, rows[:1], Decoding(beam_size=1, temperature=1.0, max_new_tokens=40, seed=seed))[0]

    first = sample(1)
    assert {sample(seed) for seed in (2, 3, 4)} != {first} or engine.spec.model.startswith("fake"), "seeds of no effect"
    assert sample(1) == first


def test_a_model_that_went_and_came_back_hears_what_it_heard_before(engine: WhisperModel, rows: np.ndarray) -> None:
    before = decode(engine, rows)
    assert not engine.restore(), "it had not gone"
    went = engine.offload()
    assert went is engine.spec.device.is_cuda
    assert not engine.offload(), "it is away already, or there is nowhere to go"
    assert engine.restore() is went
    assert decode(engine, rows) == before


def test_a_model_that_was_closed_neither_goes_nor_comes_back(make: Callable[[], WhisperModel]) -> None:
    engine = make()
    engine.close()
    for move in (engine.offload, engine.restore):
        with pytest.raises(EngineError, match="closed"):
            move()


def test_rows_of_a_batch_do_not_influence_each_other(engine: WhisperModel, rows: np.ndarray) -> None:
    together = decode(engine, rows)
    assert together == [decode(engine, rows[n : n + 1])[0] for n in range(3)]
    assert any(together)


def test_arguments_are_neither_changed_nor_kept(engine: WhisperModel, rows: np.ndarray) -> None:
    given = rows.copy()
    encoded = engine.encode(given)
    assert np.array_equal(given, rows)
    given[:] = 0
    prompt = engine.tokenizer.prompt("en", "transcribe")
    found = engine.generate(encoded, [prompt] * 3, Decoding(beam_size=2))
    assert [h.token_ids for h in found] == decode(engine, rows)


def test_selected_rows_are_those_rows_in_that_order(engine: WhisperModel, rows: np.ndarray) -> None:
    chosen = engine.select(engine.encode(rows), [2, 0])
    assert chosen.rows == 2
    prompt = engine.tokenizer.prompt("en", "transcribe")
    found = [h.token_ids for h in engine.generate(chosen, [prompt] * 2, Decoding(beam_size=2))]
    whole = decode(engine, rows)
    assert found == [whole[2], whole[0]]


def test_excerpts_are_stretches_of_rows_and_can_be_heard(engine: WhisperModel, rows: np.ndarray) -> None:
    encoded = engine.encode(rows)
    whole = engine.excerpts(encoded, [(2, 0), (0, 0)], rows.shape[2] // 2, 1)
    assert engine.detect_languages(whole) == engine.detect_languages(engine.select(encoded, [2, 0]))
    parts = engine.excerpts(encoded, [(0, 0), (0, 50), (1, 10), (2, 60)], 100, 3)
    assert parts.rows == 4
    votes = engine.detect_languages(parts)
    alone = [engine.detect_languages(engine.excerpts(encoded, [place], 100, 3))[0] for place in [(0, 0), (2, 60)]]
    for found, other in zip((votes[0], votes[3]), alone, strict=True):
        assert found == pytest.approx(other, abs=1e-3)


def test_windows_of_different_lengths_share_a_batch_where_the_engine_mixes_them(
    engine: WhisperModel, rows: np.ndarray
) -> None:
    if not engine.spec.mixes_windows:
        pytest.skip("a batch has one window")
    windows = [rows[0], rows[2, :, :600], rows[1, :, :200]]
    mixed, alone = engine.encode(windows), [engine.encode(window[None]) for window in windows]
    output = engine.as_arrays(mixed)
    for n, one in enumerate(alone):
        assert len(output[n]) == windows[n].shape[1] // 2
        np.testing.assert_array_equal(output[n], engine.as_arrays(one)[0])
    prompt, decoding = engine.tokenizer.prompt("en", "transcribe"), Decoding(beam_size=2)
    assert engine.generate(mixed, [prompt] * 3, decoding) == [
        engine.generate(one, [prompt], decoding)[0] for one in alone
    ]


def test_the_encoder_output_is_an_array_for_each_row_on_the_host_that_nobody_writes_to(
    make: Callable[[], WhisperModel], rows: np.ndarray
) -> None:
    engine = make()
    encoded = engine.encode(rows)
    output = engine.as_arrays(encoded)
    assert len(output) == 3
    for one in output:
        assert (one.dtype, one.ndim, len(one)) == (np.float32, 2, 500)
        assert np.isfinite(one).all()
        with pytest.raises(ValueError, match="read-only"):
            one[0, 0] = 1.0
    assert not np.array_equal(output[0], output[1])
    chosen = engine.as_arrays(engine.select(encoded, [2, 0]))
    np.testing.assert_array_equal(chosen[0], output[2])
    np.testing.assert_array_equal(chosen[1], output[0])
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.as_arrays(encoded)


def test_probabilities_of_languages_sum_to_one_and_are_of_its_languages(engine: WhisperModel, rows: np.ndarray) -> None:
    votes = engine.detect_languages(engine.encode(rows))
    assert len(votes) == 3
    for vote in votes:
        assert sum(vote.values()) == pytest.approx(1.0, abs=1e-3)
        assert set(vote) <= engine.spec.languages


def test_decoding_stops_at_the_cap_and_says_so(engine: WhisperModel, rows: np.ndarray) -> None:
    encoded, prompt = engine.encode(rows[:1]), engine.tokenizer.prompt("en", "transcribe")
    [cut] = engine.generate(encoded, [prompt], Decoding(beam_size=1, max_new_tokens=3))
    [whole] = engine.generate(encoded, [prompt], Decoding(beam_size=1))
    assert (len(cut.token_ids), cut.cap_hit) == (3, True)
    assert not whole.cap_hit
    assert whole.token_ids[:3] == cut.token_ids
    assert np.isfinite(whole.avg_logprob)
    assert 0 <= whole.no_speech_prob <= 1


@pytest.mark.parametrize("decoding", [Decoding(1), Decoding(3), Decoding(1, temperature=0.5)], ids=["1", "3", "drawn"])
def test_the_cap_is_that_of_the_text_however_long_the_prompt_and_the_prefix_are(
    engine: WhisperModel, rows: np.ndarray, decoding: Decoding
) -> None:
    encoded, tokenizer = engine.encode(rows[:1]), engine.tokenizer
    for before, prefix, cap in (("", (), 1), ("a" * 9, (), 4), ("the " * 60, tokenizer.encode(" a"), 2)):
        prompt = tokenizer.prompt("en", "transcribe", before)
        wanted = replace(decoding, max_new_tokens=cap, prefix=prefix)
        [found] = engine.generate(encoded, [prompt], wanted)
        assert len(found.token_ids) <= cap + len(prefix)
        assert found.cap_hit or len(found.token_ids) < cap + len(prefix)


def test_a_long_prompt_leaves_room_for_the_text(engine: WhisperModel, rows: np.ndarray) -> None:
    prompt = engine.tokenizer.prompt("en", "transcribe", "Tickets for the doors. " * 60, "seven")
    assert len(prompt) <= 228
    [found] = engine.generate(engine.encode(rows[:1]), [prompt], Decoding(beam_size=1, max_new_tokens=40))
    assert 0 < len(found.token_ids) <= 40


@pytest.mark.parametrize(
    "said", ["<|startoftranscript|> hello", "<|endoftext|> <|notimestamps|>", "a <|0.00|><|en|> b"]
)
def test_the_names_of_special_tokens_in_a_prompt_are_text(engine: WhisperModel, rows: np.ndarray, said: str) -> None:
    """As tokens they would begin the transcript in the midst of the prompt, whose rest came out as if it were said."""
    tokenizer = engine.tokenizer
    assert tokenizer.decode(tokenizer.encode(said)) == said
    bare, prompt = tokenizer.prompt("en", "transcribe"), tokenizer.prompt("en", "transcribe", said)
    assert prompt[-len(bare) :] == bare
    assert tokenizer.decode(prompt[1 : -len(bare)]).strip() == said
    [found] = engine.generate(engine.encode(rows[:1]), [prompt], Decoding(beam_size=1, max_new_tokens=3))
    assert 0 < len(found.token_ids) <= 3


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_as_many_hypotheses_as_options_may_ask_for_are_searched(
    engine: WhisperModel, rows: np.ndarray, temperature: float
) -> None:
    most = TranscribeOptions(beam_size=100).effort.beam_size
    with pytest.raises(InvalidOption):
        TranscribeOptions(beam_size=most + 1)
    prompt = engine.tokenizer.prompt("en", "transcribe")
    found = engine.generate(engine.encode(rows[:1]), [prompt], Decoding(most, temperature, max_new_tokens=2))
    assert len(found) == 1


def test_token_times_are_in_order_one_more_than_tokens_and_finite(engine: WhisperModel, rows: np.ndarray) -> None:
    encoded = engine.encode(rows)
    tokens = [ids or engine.tokenizer.encode(" a") for ids in decode(engine, rows)]
    start = engine.tokenizer.start_sequence("en", "transcribe")
    for ids, times in zip(tokens, engine.align(encoded, start, tokens, [800, 400, 400]), strict=True):
        assert len(times.starts) == len(ids) + 1
        assert (np.diff(times.starts) >= 0).all()
        assert times.starts[0] >= 0
        assert times.starts[-1] <= 500
        assert len(times.probabilities) == len(ids)
        assert ((times.probabilities >= 0) & (times.probabilities <= 1)).all()


def test_probabilities_are_the_same_however_few_frames_are_looked_at(engine: WhisperModel, rows: np.ndarray) -> None:
    encoded = engine.encode(rows)
    tokens = [ids or engine.tokenizer.encode(" a") for ids in decode(engine, rows)]
    start = engine.tokenizer.start_sequence("en", "transcribe")
    whole = engine.align(encoded, start, tokens, [800, 400, 400])
    for one, least in zip(whole, engine.align(encoded, start, tokens, [LEAST_FRAMES] * 3), strict=True):
        np.testing.assert_array_equal(one.probabilities, least.probabilities)
        assert len(least.starts) == len(one.starts)


def test_what_would_end_the_process_is_an_engine_error(engine: WhisperModel, rows: np.ndarray) -> None:
    encoded = engine.encode(rows[:1])
    with pytest.raises(EngineError):
        engine.generate(encoded, [], Decoding())
    start = engine.tokenizer.start_sequence("en", "transcribe")
    for tokens, frames in (([], []), ([()], [100]), ([(50,) * 446], [100])):
        with pytest.raises(EngineError):
            engine.align(encoded, start, tokens, frames)


def test_features_that_are_no_numbers_do_not_end_the_process(engine: WhisperModel, rows: np.ndarray) -> None:
    broken = np.full_like(rows[:1], np.nan)
    prompt = engine.tokenizer.prompt("en", "transcribe")
    [found] = engine.generate(engine.encode(broken), [prompt], Decoding(beam_size=1, max_new_tokens=5))
    assert np.isfinite(found.avg_logprob)
    assert np.isfinite(found.no_speech_prob)


def test_after_close_every_call_is_refused_and_close_again_is_fine(
    make: Callable[[], WhisperModel], rows: np.ndarray
) -> None:
    engine = make()
    encoded = engine.encode(rows[:1])
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.encode(rows[:1])
    with pytest.raises(EngineError, match="closed"):
        engine.generate(encoded, [engine.tokenizer.prompt("en", "transcribe")], Decoding())
    assert engine.spec.n_mels == 80


def test_close_waits_for_calls_in_flight_from_many_threads(make: Callable[[], WhisperModel], rows: np.ndarray) -> None:
    """An unload right after a result is declined by CTranslate2, silently, nine times in ten."""
    for _ in range(2):
        engine, texts, refused = make(), [], []
        expected = decode(engine, rows[:1])

        def work(engine: WhisperModel = engine, texts: list = texts, refused: list = refused) -> None:
            try:
                while True:
                    texts.append(decode(engine, rows[:1]))
            except EngineError as error:
                refused.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        while len(texts) < 2:
            threads[0].join(0.01)
        engine.close()
        for thread in threads:
            thread.join(60)
        assert len(refused) == 4
        assert all(text == expected for text in texts)


def test_greedy_search_tells_each_tokens_probability_and_alignment_agrees(
    engine: WhisperModel, rows: np.ndarray
) -> None:
    if isinstance(engine, FakeWhisper):
        pytest.skip("it has no decoder whose probabilities there would be")
    prompt = engine.tokenizer.prompt("en", "transcribe")
    encoded = engine.encode(rows[:1])
    [found] = engine.generate(encoded, [prompt], Decoding(beam_size=1))
    assert found.probabilities is not None
    assert len(found.probabilities) == len(found.token_ids) > 5
    start = engine.tokenizer.start_sequence("en", "transcribe")
    [aligned] = engine.align(encoded, start, [found.token_ids], [800])
    difference = np.abs(np.array(found.probabilities) - aligned.probabilities)
    assert difference.mean() < 0.03  # 8-bit products, summed in another order
    assert found.first(2).probabilities == found.probabilities[:2]


def test_what_beams_tell_of_probabilities_is_what_alignment_tells(engine: WhisperModel, rows: np.ndarray) -> None:
    prompt = engine.tokenizer.prompt("en", "transcribe")
    encoded = engine.encode(rows[:1])
    [found] = engine.generate(encoded, [prompt], Decoding(beam_size=2))
    if found.probabilities is None:
        return
    assert len(found.probabilities) == len(found.token_ids) > 5
    start = engine.tokenizer.start_sequence("en", "transcribe")
    [aligned] = engine.align(encoded, start, [found.token_ids], [800])
    assert np.abs(np.array(found.probabilities) - aligned.probabilities).mean() < 0.03
