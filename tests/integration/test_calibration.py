"""A model that no table knows finds its alignment head once, and keeps it."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.domain.device import CPU, ModelKey
from autorag_whisper.domain.errors import EngineError
from autorag_whisper.engines.alignment_heads import CHARACTER_HEADS
from autorag_whisper.engines.base import CharacterHeads, TokenTimes
from autorag_whisper.loading.head_calibration import GOOD_ENOUGH, Clip, calibrate, packaged_clip
from autorag_whisper.loading.kept_heads import KeptHeads, candidates, keep, kept
from autorag_whisper.loading.load_requests import load_request
from autorag_whisper.models.store import ModelFiles, ModelOrigin
from autorag_whisper.testing import FakeWhisper

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from autorag_whisper.engines.base import Encoded


class Attentive(FakeWhisper):
    """Hears every letter where it is said, `late_s` late, with a scatter of its own."""

    def __init__(self, clip: Clip, late_s: float, scatter_s: float) -> None:
        super().__init__(characters=CharacterHeads(((0, 0),), late_s=0.0))
        self._clip, self._late_s, self._scatter_s = clip, late_s, scatter_s

    def align(
        self,
        encoded: Encoded,
        start_sequence: Sequence[int],
        token_ids: Sequence[Sequence[int]],
        frames: Sequence[int],
        *,
        spelled: bool = False,
    ) -> list[TokenTimes]:
        [ids] = token_ids
        text = self.tokenizer.decode(ids)
        words = [n for n, character in enumerate(text) if character == " "]
        assert len(words) == len(self._clip.words)
        noise = np.random.default_rng(1).normal(0, self._scatter_s, len(words)) if spelled else 0.0
        heard_s = self._clip.starts_s + (self._late_s if spelled else -0.1) + noise
        starts = np.interp(np.arange(len(ids) + 1), np.asarray(words) + (1 if spelled else 0), heard_s)
        return [TokenTimes((starts / 0.02).astype(np.int64), np.full(len(ids), 0.9, np.float32))]


def found(scatters: dict[tuple[int, int], float]) -> tuple[CharacterHeads | None, list[tuple[int, int]]]:
    clip, tried = packaged_clip(), list[tuple[int, int]]()

    @contextmanager
    def load(heads: CharacterHeads) -> Iterator[FakeWhisper]:
        tried.append(heads.heads[0])
        yield Attentive(clip, 0.07, scatters[heads.heads[0]])

    return calibrate(scatters, load, clip), tried


def test_the_steadiest_head_is_taken_with_its_lateness() -> None:
    heads, tried = found({(1, 0): 0.2, (1, 1): 0.04, (2, 0): 0.1})
    assert heads is not None
    assert heads.heads == ((1, 1),)
    assert heads.late_s == pytest.approx(0.07, abs=0.02)
    assert heads.tokens_early_s == pytest.approx(0.1, abs=0.02)
    assert len(tried) == 3


def test_no_further_head_is_tried_behind_one_that_is_as_good_as_it_gets() -> None:
    heads, tried = found({(1, 0): 0.2, (1, 1): 0.001, (2, 0): 0.001})
    assert heads is not None
    assert tried == [(1, 0), (1, 1)]


def test_heads_that_are_worse_than_tokens_are_none() -> None:
    heads, _ = found({(1, 0): 0.2, (1, 1): 0.3})
    assert heads is None
    assert calibrate([], lambda _heads: pytest.fail("nothing to load"), packaged_clip()) is None
    assert 0.5 < GOOD_ENOUGH < 0.85  # what tokens have, and what the heads of the table have


def test_the_packaged_clip_is_speech_whose_words_are_known() -> None:
    clip = packaged_clip()
    assert len(clip.words) == len(clip.starts_s) == len(clip.runs_on) > 50
    assert np.all(np.diff(clip.starts_s) > 0)
    assert clip.starts_s[-1] < len(clip.samples) / 16_000 < 30
    assert clip.runs_on.sum() > 40


def test_what_was_found_is_kept_until_the_model_changes(tiny_en_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_en_folder, folder)
    cache = tmp_path / "cache"
    assert kept(folder, cache) is None
    keep(KeptHeads(((2, 4),), 0.015, 0.1), folder, cache)
    assert kept(folder, cache) == KeptHeads(((2, 4),), 0.015, 0.1)
    assert [file.suffix for file in (cache / "heads").iterdir()] == [".json"]
    (folder / "config.json").write_text((folder / "config.json").read_text() + " ")
    assert kept(folder, cache) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"heads": [[1]], "late_s": 0, "tokens_early_s": 0}'])
def test_a_note_that_is_damaged_is_no_note(tiny_en_folder: Path, tmp_path: Path, text: str) -> None:
    keep(KeptHeads(), tiny_en_folder, tmp_path)
    assert kept(tiny_en_folder, tmp_path) == KeptHeads()
    [note] = (tmp_path / "heads").iterdir()
    note.write_text(text)
    assert kept(tiny_en_folder, tmp_path) is None


def test_of_a_small_decoder_the_upper_half_is_tried_too(tiny_en_folder: Path) -> None:
    tried = candidates(tiny_en_folder)
    assert (2, 4) in tried
    assert {layer for layer, _ in tried[8:]} <= {2, 3}
    assert len(tried) == len(set(tried))


def as_unknown(folder: Path) -> tuple[ModelFiles, ModelKey]:
    return ModelFiles("a-model", folder, ModelOrigin.FOLDER), ModelKey(str(folder), CPU, "int8")


def test_a_model_that_cannot_be_calibrated_aligns_by_tokens(
    tmp_path: Path, tiny_en_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise EngineError("fake", "align", "on request")

    monkeypatch.setattr("autorag_whisper.loading.head_calibration.calibrate", fail)
    files, key = as_unknown(tiny_en_folder)
    assert load_request(files, key, 1, tmp_path).characters is None
    assert "could not be calibrated" in caplog.text
    assert kept(tiny_en_folder, tmp_path) is None  # it is tried again at the next start


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny.en", "base"])
def test_real_models_find_heads_that_time_letters(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = request.getfixturevalue({"tiny.en": "tiny_en_folder", "base": "base_folder"}[name])
    files, key = as_unknown(folder)
    heads = load_request(files, key, 2, tmp_path).characters
    assert heads is not None
    if name == "base":
        assert heads.heads == CHARACTER_HEADS["base"].heads
        assert heads.late_s == pytest.approx(CHARACTER_HEADS["base"].late_s, abs=0.01)
    monkeypatch.setattr("autorag_whisper.loading.head_calibration.calibrate", lambda *_: pytest.fail("it was kept"))
    assert load_request(files, key, 2, tmp_path).characters == heads
