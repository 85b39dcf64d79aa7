"""What travels to a machine with a card arrives whole, and the models of random weights are models."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from benchmarks.card import pack, shapes
from benchmarks.card.day import Day

from autorag_whisper.models.store import ModelStore

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType


@pytest.fixture
def gpu_day(root: Path) -> ModuleType:
    """The script, which runs where nothing is installed."""
    spec = importlib.util.spec_from_file_location("gpu_day", root / "scripts" / "gpu_day.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of all kinds, with pieces of 1,000 bytes."""
    monkeypatch.setattr(pack, "PIECE", 1000)
    folder = tmp_path / "load"
    (folder / "models" / "base").mkdir(parents=True)
    (folder / "models" / "base" / "model.bin").write_bytes(np.random.default_rng(0).bytes(5_432))
    (folder / "models" / "base" / "config.json").write_bytes(b"{}")
    (folder / "models" / "base" / "empty").write_bytes(b"")
    return folder


def test_parts_arrive_whole_in_any_order_and_again(gpu_day: ModuleType, load: Path, tmp_path: Path) -> None:
    parts = pack.distribute(load, tmp_path / "parts", 2_100)
    assert len(parts) == 3
    for part in (parts[2], parts[0], parts[2]):
        gpu_day.add(part, tmp_path / "work")
    assert gpu_day.missing_pieces(tmp_path / "work") == ["models/base/model.bin"]
    for part in parts:
        gpu_day.add(part, tmp_path / "work")
    assert not gpu_day.missing_pieces(tmp_path / "work")
    for file in load.rglob("*"):
        if file.is_file():
            assert (tmp_path / "work" / file.relative_to(load)).read_bytes() == file.read_bytes()


def test_a_piece_that_was_damaged_is_refused_by_name(gpu_day: ModuleType, load: Path, tmp_path: Path) -> None:
    [part] = pack.distribute(load, tmp_path / "parts", 1 << 20)
    stored = part / json.loads((part / "contents.json").read_text())[0]["stored"]
    stored.write_bytes(stored.read_bytes()[:-1] + b"?")
    with pytest.raises(SystemExit, match=r"model\.bin, piece 1, was damaged"):
        gpu_day.add(part, tmp_path / "work")


def test_a_wheel_in_pieces_is_unpacked_once_it_is_whole(gpu_day: ModuleType, load: Path, tmp_path: Path) -> None:
    content = np.random.default_rng(1).bytes(5_000)
    with zipfile.ZipFile(load / "large.whl", "w") as wheel:
        wheel.writestr("large/data", content)
    parts = pack.distribute(load, tmp_path / "parts", 4_000)
    assert len(parts) > 2
    for part in parts:
        assert not (tmp_path / "work" / "site").exists()
        gpu_day.add(part, tmp_path / "work")
    assert (tmp_path / "work" / "site" / "large" / "data").read_bytes() == content


def test_a_part_smaller_than_a_piece_is_refused(load: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="--part-mb"):
        pack.distribute(load, tmp_path / "parts", 900)


def test_a_part_and_the_repository_fit_a_transfer(root: Path) -> None:
    if not (root / ".git").exists():
        pytest.skip("not a checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True).stdout
    size = sum((root / name).stat().st_size for name in listed.split("\0") if (root / name).is_file())
    assert size + (pack.PART_MB << 20) <= 64 << 20


def test_a_model_of_random_weights_has_the_shape_that_was_asked_for(tmp_path: Path) -> None:
    import ctranslate2

    template = ModelStore().resolve("base").folder
    folder = shapes.make(template, shapes.TINY["large-v3-turbo"], tmp_path / "turbo")
    model = ctranslate2.models.Whisper(str(folder), device="cpu", compute_type="int8")
    assert (model.n_mels, model.is_multilingual) == (128, True)
    encoded = model.encode(ctranslate2.StorageView.from_array(np.zeros((2, 128, 3000), np.float32)), to_cpu=True)
    assert encoded.shape == [2, 1500, 128]
    [found, _] = model.generate(encoded, [[50258, 50259, 50359, 50363]] * 2, beam_size=1, max_length=72,
                                suppress_tokens=[-1, 50257])  # fmt: skip
    assert len(found.sequences_ids[0]) == 36


def test_rows_of_a_step_stay_when_it_is_cut_short_and_go_when_it_begins_again(tmp_path: Path) -> None:
    day = Day("cpu", tmp_path, "speed, shapes")
    day.tell("one", "1 x")
    day.tell("two", "2 x", ok=False)
    [file] = (tmp_path / "results").iterdir()
    assert [json.loads(line)["verdict"] for line in file.read_text().splitlines()] == ["", "MISSED"]
    day.forget()
    assert not file.exists()
