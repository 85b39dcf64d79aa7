"""The smaller decoder that aligns what is spelled, against the whole one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.align.characters import spell
from autorag_whisper.audio.decode import MediaDecoder
from autorag_whisper.audio.features import frame_count, log_mel
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.device import CPU
from autorag_whisper.engines.base import CharacterHeads
from autorag_whisper.engines.ctranslate2 import LoadRequest, load
from autorag_whisper.loading.chosen_heads import with_heads
from autorag_whisper.loading.small_vocabulary import with_small_vocabulary

if TYPE_CHECKING:
    from pathlib import Path

    from autorag_whisper.engines.base import WhisperModel

HEADS = CharacterHeads(((2, 4),), late_s=0.015)
TEXT = ["We", "open", "at", "nine", "thirty", "and", "the", "museum", "closes", "unconscionably", "early"]


@pytest.fixture(scope="module")
def engines(tiny_en_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[WhisperModel, WhisperModel]:
    """The model that spells with its whole decoder, and the one that has a smaller decoder for it."""
    cache = tmp_path_factory.mktemp("cache")
    folder = with_heads(tiny_en_folder, HEADS.heads, cache)
    speller = with_small_vocabulary(folder, cache)
    assert speller is not None
    whole, small = (
        load(LoadRequest(folder, "tiny.en", CPU, "int8", 2, strict_window=False, characters=HEADS, speller=one))
        for one in (None, speller)
    )
    return whole, small


@pytest.fixture(scope="module")
def speech(demo_sample: Path) -> np.ndarray:
    source = MediaSource.from_path(demo_sample)
    with source.open() as file, MediaDecoder(file, source.name) as decoder:
        return np.concatenate([block.data for block in decoder])[: 8 * 16_000]


def test_the_smaller_decoder_finds_the_same_frames_and_scores(
    engines: tuple[WhisperModel, WhisperModel], speech: np.ndarray
) -> None:
    found = []
    for engine in engines:
        text = spell(TEXT, [()] * len(TEXT), engine.tokenizer.encode, engines[1].spec.spells_below)
        assert text is not None
        features = np.zeros((2, 80, 1000), np.float32)
        features[:, :, : frame_count(len(speech))] = log_mel(speech, 80)
        start = engine.tokenizer.start_sequence("en", "transcribe")
        found.append(
            engine.align(
                engine.encode(features), start, [text.token_ids] * 2, [frame_count(len(speech))] * 2, spelled=True
            )
        )
    for whole, small in zip(*found, strict=True):
        assert np.array_equal(whole.starts, small.starts)
        # A softmax over fewer tokens: no letter is less likely, and few are much more so.
        assert np.all(small.probabilities >= whole.probabilities - 0.03)
        assert np.median(small.probabilities - whole.probabilities) < 0.1


def test_pieces_outside_its_vocabulary_are_spelled_letter_by_letter(engines: tuple[WhisperModel, WhisperModel]) -> None:
    small = engines[1]
    assert small.spec.spells_below == 4096
    whole = spell(["unconscionably"], [()], small.tokenizer.encode)
    limited = spell(["unconscionably"], [()], small.tokenizer.encode, small.spec.spells_below)
    assert whole is not None
    assert limited is not None
    assert max(whole.token_ids) >= 4096 > max(limited.token_ids)
    assert small.tokenizer.decode(limited.token_ids) == small.tokenizer.decode(whole.token_ids)


def test_what_it_cannot_spell_the_whole_decoder_aligns(
    engines: tuple[WhisperModel, WhisperModel], speech: np.ndarray
) -> None:
    """A script whose letters are late merges: the row goes to the decoder that knows them."""
    small = engines[1]
    tokens = small.tokenizer.encode(" straightforward unconscionable")
    assert max(tokens) >= 4096
    features = np.zeros((1, 80, 1000), np.float32)
    features[0, :, : frame_count(len(speech))] = log_mel(speech, 80)
    start = small.tokenizer.start_sequence("en", "transcribe")
    results = [
        engine.align(engine.encode(features), start, [tokens], [800], spelled=True)[0].starts for engine in engines
    ]
    assert np.array_equal(*results)


def test_both_leave_memory_together(tiny_en_folder: Path, tmp_path: Path) -> None:
    folder = with_heads(tiny_en_folder, HEADS.heads, tmp_path)
    speller = with_small_vocabulary(folder, tmp_path)
    engine = load(
        LoadRequest(folder, "tiny.en", CPU, "int8", 1, strict_window=False, characters=HEADS, speller=speller)
    )
    assert engine._speller is not None
    small = engine._speller.model()
    assert small.model_is_loaded
    engine.close()
    assert not engine._model.model_is_loaded
    assert not small.model_is_loaded


def test_a_smaller_decoder_that_cannot_be_loaded_costs_speed_alone(
    tiny_en_folder: Path, tmp_path: Path, speech: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    folder = with_heads(tiny_en_folder, HEADS.heads, tmp_path)
    speller = with_small_vocabulary(folder, tmp_path)
    (speller.folder / "model.bin").unlink()
    (speller.folder / "model.bin").write_bytes(b"no weights")
    engine = load(
        LoadRequest(folder, "tiny.en", CPU, "int8", 1, strict_window=False, characters=HEADS, speller=speller)
    )
    features = np.zeros((1, 80, 1000), np.float32)
    features[0, :, : frame_count(len(speech))] = log_mel(speech, 80)
    start, tokens = engine.tokenizer.start_sequence("en", "transcribe"), engine.tokenizer.encode(" o n")
    for _ in range(2):
        [times] = engine.align(engine.encode(features), start, [tokens], [800], spelled=True)
        assert len(times.starts) == len(tokens) + 1
    assert sum("whole vocabulary" in record.message for record in caplog.records) == 1
    engine.close()
