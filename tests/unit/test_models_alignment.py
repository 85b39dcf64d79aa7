"""Which CTC checkpoint is taken for a language: named, cached, from the table; never one of another licence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autorag_whisper.bootstrap import build_alignment_models
from autorag_whisper.domain.device import CPU
from autorag_whisper.domain.errors import (
    ExtraNotInstalled,
    InvalidSettings,
    ModelDamaged,
    ModelNotFound,
    ModelUnavailable,
)
from autorag_whisper.domain.language import LANGUAGES
from autorag_whisper.models import alignment, hub
from autorag_whisper.models.alignment import CHECKPOINTS, find_alignment_checkpoint
from autorag_whisper.settings import Settings
from autorag_whisper.telemetry import Telemetry
from autorag_whisper.testing import speech_samples

if TYPE_CHECKING:
    from pathlib import Path


def test_the_table_names_languages_hub_ids_and_licences_that_allow_commercial_use() -> None:
    assert set(CHECKPOINTS) <= set(LANGUAGES)
    assert {"en", "de", "fr", "es", "it", "pt", "nl", "ru", "zh", "ja", "ar"} <= set(CHECKPOINTS)
    for checkpoint in CHECKPOINTS.values():
        assert hub.is_hub_id(checkpoint.hub_id)
        assert "nc" not in checkpoint.licence.split("-")
        assert checkpoint.licence


def test_a_folder_or_a_cached_checkpoint_is_taken_as_it_is(
    ctc_tiny_en_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_alignment_checkpoint("en", str(ctc_tiny_en_folder), offline=True) == (
        "ctc-tiny-en",
        ctc_tiny_en_folder.resolve(),
    )
    monkeypatch.setattr(hub, "cache_root", lambda: tmp_path)
    repository = tmp_path / f"models--{CHECKPOINTS['de'].hub_id.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc", encoding="utf-8")
    (repository / "snapshots" / "abc").mkdir(parents=True)
    (repository / "snapshots" / "abc" / "config.json").write_text("{}", encoding="utf-8")
    assert find_alignment_checkpoint("de", offline=True) == (CHECKPOINTS["de"].hub_id, repository / "snapshots" / "abc")


def test_what_is_not_known_or_not_here_is_a_typed_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "cache_root", lambda: tmp_path)
    with pytest.raises(ModelNotFound, match="alignment in ha"):
        find_alignment_checkpoint("ha")
    with pytest.raises(ModelNotFound):
        find_alignment_checkpoint("en", "no such thing")
    for wanted in ("", "someone/else"):
        with pytest.raises(ModelUnavailable, match="switched off"):
            find_alignment_checkpoint("en", wanted, offline=True)


def test_a_licence_that_changed_is_refused_until_the_checkpoint_is_named() -> None:
    files = ("config.json", "model.safetensors", "vocab.json")
    default = CHECKPOINTS["en"]
    alignment._wanted(default).check("x", hub.Offer(files, "apache-2.0"))
    for licence in ("cc-by-nc-4.0", ""):
        with pytest.raises(ModelUnavailable, match="name the checkpoint yourself"):
            alignment._wanted(default).check("x", hub.Offer(files, licence))
        alignment._wanted(None).check("x", hub.Offer(files, licence))
    for lacking in (("config.json",), ("model.safetensors",)):
        with pytest.raises(ModelDamaged):
            alignment._wanted(None).check("x", hub.Offer(lacking, "apache-2.0"))


def test_checkpoints_by_language_are_a_setting() -> None:
    found = Settings.from_env({"AUTORAG_WHISPER_ALIGN_MODELS": "en=owner/name, de = /a/folder"})
    assert found.align_models == {"en": "owner/name", "de": "/a/folder"}
    assert Settings.from_env({}).align_models == {}
    for bad in ("en", "xx=a/b", "en=", "=a/b"):
        with pytest.raises(InvalidSettings, match="ALIGN_MODELS"):
            Settings.from_env({"AUTORAG_WHISPER_ALIGN_MODELS": bad})


def test_a_checkpoint_runs_without_pytorch_where_it_can(ctc_tiny_en_folder: Path, tmp_path: Path) -> None:
    settings = Settings(cache_dir=tmp_path, offline=True, align_models={"en": str(ctc_tiny_en_folder)})
    models = build_alignment_models(settings, Telemetry(), {})
    with models.lease("en", CPU) as emitter:
        assert type(emitter).__module__.endswith("ctranslate2_wav2vec2")
        assert len(emitter.emit([speech_samples(2)])) == 1
    with models.lease("en", CPU) as again:
        assert again is emitter
    assert models.close()


def test_a_family_that_needs_pytorch_says_which_extra_is_missing(ctc_tiny_en_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "group"
    folder.mkdir()
    for file in ctc_tiny_en_folder.iterdir():
        text = file.read_bytes()
        if file.name == "config.json":
            text = text.replace(b'"feat_extract_norm": "layer"', b'"feat_extract_norm": "group"')
        (folder / file.name).write_bytes(text)
    settings = Settings(cache_dir=tmp_path, offline=True, align_models={"en": str(folder)})
    models = build_alignment_models(settings, Telemetry(), {})
    with pytest.raises(ExtraNotInstalled, match=r"\[wav2vec2\]"), models.lease("en", CPU):
        pass
