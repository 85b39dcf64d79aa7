"""`loading.whisper_loader` on a real model: the trial, what is kept of it, and every way back to CTranslate2."""

from __future__ import annotations

import io
import logging
import shutil
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.domain.device import CPU, ModelKey
from autorag_whisper.domain.errors import EngineError
from autorag_whisper.domain.notes import NoteKind
from autorag_whisper.engines.ctranslate2 import CTranslate2Whisper
from autorag_whisper.engines.native import NativeWhisper
from autorag_whisper.loading import kept_heads
from autorag_whisper.loading.engine_choice import Trial
from autorag_whisper.loading.engine_trial import KeptTrials
from autorag_whisper.loading.int8_weights import with_int8_weights
from autorag_whisper.loading.kept_heads import KeptHeads
from autorag_whisper.loading.model_finder import ModelFinder
from autorag_whisper.loading.whisper_loader import EngineSetting, WhisperLoader
from autorag_whisper.models import model_bin
from autorag_whisper.models.model_bin import Kind
from autorag_whisper.models.store import ModelStore
from native_models import random_model

if TYPE_CHECKING:
    from pathlib import Path

    from autorag_whisper.engines.base import WhisperModel
    from autorag_whisper.engines.native_library import NativeLibrary

pytestmark = pytest.mark.usefixtures("native_library")
AUTO = EngineSetting("auto")


def load(cache: Path, setting: EngineSetting, compute_type: str = "int8", name: str = "tiny.en") -> WhisperModel:
    finder = ModelFinder(ModelStore(cache_dir=cache, offline=True))
    files = finder.find(name)
    kept_heads.keep(KeptHeads(), files.folder, cache)  # of a model that no table knows, heads would be sought
    loader = WhisperLoader(finder, 1, cache, lambda _key: nullcontext(), setting)
    return loader(ModelKey(str(files.folder), CPU, compute_type))()


@pytest.mark.slow
def test_the_trial_is_made_once_and_its_answer_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = tmp_path
    caplog.set_level(logging.INFO, "autorag_whisper")
    first = load(cache, AUTO)
    assert sum("trying the native engine" in line for line in caplog.messages) == 1
    assert len(list((cache / "engine_trials").glob("*.json"))) == 1
    second = load(cache, AUTO)
    assert sum("trying the native engine" in line for line in caplog.messages) == 1
    assert type(first) is type(second)
    said = [line for line in caplog.messages if " computes by " in line]
    assert len(said) == 2
    assert len(set(said)) == 1
    if isinstance(first, CTranslate2Whisper):  # slower here, which a machine under load may find
        assert first.spec.notes[0].kind is NoteKind.ENGINE_NOT_USED
        assert "not faster" in first.spec.notes[0].text


@pytest.mark.slow
def test_a_kept_answer_that_is_damaged_is_found_again(
    tiny_en_folder: Path, tmp_path: Path, native_library: NativeLibrary
) -> None:
    library = native_library
    cache = tmp_path
    load(cache, AUTO)
    [kept] = (cache / "engine_trials").glob("*.json")
    for content in ("", "{}", '{"apart": "much"}', "[1]"):
        kept.write_text(content)
        trials = KeptTrials(cache, library.path, library.instruction_set() or "")
        assert trials.kept(with_int8_weights(tiny_en_folder, cache)) is None
    load(cache, AUTO)
    assert kept.read_text().startswith('{"apart"')


def test_a_kept_answer_is_of_both_engines_and_of_one_file_of_weights(
    tiny_en_folder: Path, tmp_path: Path, native_library: NativeLibrary
) -> None:
    trial, weights = Trial(0.1, 0.01, 1.0, 0.5, 1.2), tmp_path / "model.bin"
    weights.write_bytes(b"some")
    library = tmp_path / "library.so"
    library.write_bytes(native_library.path.read_bytes())
    KeptTrials(tmp_path, library, "avx2").keep(trial, tmp_path)
    assert KeptTrials(tmp_path, library, "avx2").kept(tmp_path) == trial
    for library_of, instructions, reference in (
        (library, "avx512_vnni", ""), (library, "avx2", "99.0"), (tiny_en_folder / "model.bin", "avx2", ""),
    ):  # fmt: skip
        assert KeptTrials(tmp_path, library_of, instructions, reference).kept(tmp_path) is None
    weights.write_bytes(b"others")
    assert KeptTrials(tmp_path, library, "avx2").kept(tmp_path) is None


def test_who_comes_while_a_trial_is_made_waits_for_it_and_finds_it_kept(
    tiny_en_folder: Path, tmp_path: Path, native_library: NativeLibrary
) -> None:
    trial, found = Trial(0.1, 0.01, 1.0, 0.5, 1.2), list[Trial | None]()
    trials = KeptTrials(tmp_path, native_library.path, "avx2")

    def other() -> None:
        with KeptTrials(tmp_path, native_library.path, "avx2").one_at_a_time(tiny_en_folder):
            found.append(trials.kept(tiny_en_folder))

    with trials.one_at_a_time(tiny_en_folder):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        trials.keep(trial, tiny_en_folder)
    thread.join(60)
    assert found == [trial]


def test_where_a_trial_cannot_be_kept_nobody_waits(
    tiny_en_folder: Path, tmp_path: Path, native_library: NativeLibrary
) -> None:
    (tmp_path / "engine_trials").write_text("in the place of the folder")
    trials = KeptTrials(tmp_path, native_library.path, "avx2")
    with trials.one_at_a_time(tiny_en_folder), trials.one_at_a_time(tiny_en_folder):
        trials.keep(Trial(0.1, 0.01, 1.0, 0.5, 1.2), tiny_en_folder)
    assert trials.kept(tiny_en_folder) is None


def test_instructions_that_are_not_here_are_an_error_or_the_way_back(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no such_kernels"):
        load(tmp_path, EngineSetting("native", "such_kernels"))
    engine = load(tmp_path, EngineSetting("auto", "such_kernels"))
    assert isinstance(engine, CTranslate2Whisper)
    assert [note.kind for note in engine.spec.notes] == [NoteKind.ENGINE_NOT_USED]
    assert "no such_kernels" in engine.spec.notes[0].text


def test_plain_loops_are_neither_tried_nor_taken_unless_they_are_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "autorag_whisper")
    engine = load(tmp_path, EngineSetting("auto", "scalar"))
    assert isinstance(engine, CTranslate2Whisper)
    assert "no fast instructions" in engine.spec.notes[0].text
    assert not any("trying the native engine" in line for line in caplog.messages)
    assert isinstance(load(tmp_path, EngineSetting("native", "scalar")), NativeWhisper)


def test_a_network_that_is_not_computed_goes_to_ctranslate2_with_the_reason(
    tiny_en_folder: Path, tmp_path: Path
) -> None:
    """Weights of 16-bit integers, which CTranslate2 converts."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_en_folder, folder)
    weights = _as_int16(tiny_en_folder / "model.bin")
    (folder / "model.bin").unlink()
    (folder / "model.bin").write_bytes(weights)
    with pytest.raises(EngineError, match="int16"):
        load(tmp_path / "cache", EngineSetting("native"), name=str(folder))
    engine = load(tmp_path / "cache", AUTO, name=str(folder))
    assert isinstance(engine, CTranslate2Whisper)
    assert "int16" in engine.spec.notes[0].text


def _as_int16(path: Path) -> bytes:
    with model_bin.opened(path) as (weights, data):
        variables = []
        for variable in weights.variables:
            values = bytes(data[variable.at : variable.at + variable.size])
            kept = model_bin.Piecewise(variable.name, variable.shape, variable.kind, variable.size, [values])
            if variable.name == "encoder/layer_0/ffn/linear_0/weight":
                floats = np.frombuffer(values, np.float16).astype(np.float32)
                scale = np.float32(1024 / np.abs(floats).max())
                rows = np.rint(floats * scale).astype(np.int16).tobytes()
                scales = model_bin.Piecewise(f"{variable.name}_scale", (), Kind.FLOAT32, 4, [scale.tobytes()])
                kept = model_bin.Piecewise(variable.name, variable.shape, Kind.INT16, len(rows), [rows])
                variables.append(scales)
            variables.append(kept)
        target = io.BytesIO()
        model_bin.write(target, weights, variables, weights.aliases)
    return target.getvalue()


def test_another_compute_type_is_ctranslate2s(tmp_path: Path) -> None:
    engine = load(tmp_path, AUTO, "float32")
    assert isinstance(engine, CTranslate2Whisper)
    assert not engine.spec.notes  # it was asked for: doctor and the log say what follows
    with pytest.raises(EngineError, match="int8_float32 on a CPU, not float32"):
        load(tmp_path, EngineSetting("native"), "float32")


def test_what_is_asked_for_by_name_is_taken_without_a_trial_or_a_note(tmp_path: Path) -> None:
    for name, kind in (("native", NativeWhisper), ("ctranslate2", CTranslate2Whisper)):
        engine = load(tmp_path, EngineSetting(name))
        assert isinstance(engine, kind)
        assert engine.spec.notes == ()
    assert not (tmp_path / "engine_trials").exists()


def test_a_network_of_other_heads_is_refused_as_one_that_is_not_computed(tiny_en_folder: Path, tmp_path: Path) -> None:
    """Heads of 8 and mels of 4: whole by its file, and no Whisper."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_en_folder, folder)
    (folder / "model.bin").unlink()
    (folder / "model.bin").write_bytes(random_model().to_bytes())
    with pytest.raises(EngineError, match="heads 8 wide, not 64"):
        load(tmp_path / "cache", EngineSetting("native"), name=str(folder))
