"""Letter classifiers on disk, found by the encoder that they were made for."""

from __future__ import annotations

import json
import logging
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from autorag_whisper.engines import letter_classifiers
from autorag_whisper.engines.letter_classifiers import classifier_for, encoder_digest, keep, kept, packaged, read, write
from letter_models import VECTORS, a_classifier, a_model, in_halves

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(4)
BYTES_AT_MOST = 500_000


def test_an_encoder_is_known_in_every_compute_type(tmp_path: Path) -> None:
    halves = a_model(tmp_path / "float16", in_halves(VECTORS))
    floats = a_model(tmp_path / "float32", {k: v.astype(np.float16).astype(np.float32) for k, v in VECTORS.items()})
    whole = a_model(
        tmp_path / "int8",
        in_halves(VECTORS)
        | {
            "encoder/layer_0/ffn/linear_0/weight": np.ones((16, 8), np.int8),
            "encoder/layer_0/ffn/linear_0/weight_scale": np.ones(16, np.float32),
            "decoder/layer_norm/gamma": np.ones(8, np.float16),
        },
    )
    assert encoder_digest(halves) == encoder_digest(floats) == encoder_digest(whole)


def test_an_encoder_that_was_trained_further_is_another(tmp_path: Path) -> None:
    further = {name: value + 0.01 for name, value in VECTORS.items()}
    one, other = a_model(tmp_path / "one", in_halves(VECTORS)), a_model(tmp_path / "other", in_halves(further))
    assert encoder_digest(one) != encoder_digest(other)


def test_a_model_without_an_encoder_has_no_classifier(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = a_model(tmp_path / "m", {"decoder/layer_norm/gamma": np.ones(8, np.float16)})
    with caplog.at_level(logging.WARNING):
        assert classifier_for(folder, tmp_path) is None
    assert "has no encoder" in caplog.text
    assert classifier_for(tmp_path / "nowhere", tmp_path) is None


def test_what_is_read_answers_as_what_was_written(tmp_path: Path) -> None:
    written = a_classifier()
    write(written, tmp_path / "c", "digest")
    found = read(tmp_path / "c")
    encoded = RNG.normal(size=(40, 6)).astype(np.float32)
    gap = np.exp(found.log_probabilities(encoded)) - np.exp(written.log_probabilities(encoded))
    assert np.abs(gap).max() < 0.05
    assert found.alphabet == written.alphabet


def test_the_same_classifier_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write(a_classifier(), tmp_path / name, "digest")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_a_kept_classifier_is_found_by_its_encoder_alone(tmp_path: Path) -> None:
    folder = a_model(tmp_path / "m", in_halves(VECTORS))
    digest, cache = encoder_digest(folder), tmp_path / "cache"
    assert classifier_for(folder, cache) is None
    keep(a_classifier(), digest, cache)
    assert classifier_for(folder, cache) is not None
    other = a_model(tmp_path / "other", in_halves({name: -value for name, value in VECTORS.items()}))
    assert classifier_for(other, cache) is None


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_damaged_classifier_counts_as_none(tmp_path: Path, share: float, caplog: pytest.LogCaptureFixture) -> None:
    path = keep(a_classifier(), "ab" * 32, tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with caplog.at_level(logging.WARNING):
        assert kept("ab" * 32, tmp_path) is None
    assert "has to be made again" in caplog.text
    keep(a_classifier(), "ab" * 32, tmp_path)
    assert kept("ab" * 32, tmp_path) is not None


@pytest.mark.parametrize("about", ["[]", "null", '{"format": "1", "encoder": "x", "alphabet": 5}'])
def test_a_classifier_whose_metadata_are_damaged_counts_as_none(tmp_path: Path, about: str) -> None:
    path = keep(a_classifier(), "ab" * 32, tmp_path)
    path.write_bytes(save(load_file(path), metadata={"about": about}))
    assert kept("ab" * 32, tmp_path) is None


def test_numbers_that_are_none_make_no_classifier(tmp_path: Path) -> None:
    path = keep(a_classifier(), "ab" * 32, tmp_path)
    prior = a_classifier().prior.astype(np.float16).tobytes()
    content = path.read_bytes()
    assert prior in content
    path.write_bytes(content.replace(prior, np.full(4, np.inf, np.float16).tobytes()))
    assert kept("ab" * 32, tmp_path) is None


def test_one_of_an_older_format_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(a_classifier(), "ab" * 32, tmp_path)
    monkeypatch.setattr(letter_classifiers, "FORMAT", "2")
    assert kept("ab" * 32, tmp_path) is None


def test_a_file_under_another_encoders_name_is_not_used(tmp_path: Path) -> None:
    path = keep(a_classifier(), "ab" * 32, tmp_path)
    path.rename(path.with_name(letter_classifiers.place("cd" * 32, tmp_path).name))
    assert kept("cd" * 32, tmp_path) is None


def test_what_could_not_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "letters").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="letters"):
        keep(a_classifier(), "ab" * 32, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letters"]


def test_the_packages_classifiers_are_whole_small_and_told_of() -> None:
    folder = files("autorag_whisper.engines").joinpath("letter_weights")
    listed = json.loads(folder.joinpath("manifest.json").read_bytes())
    assert set(listed) >= {"tiny.en", "base"}
    for name, about in listed.items():
        assert len(folder.joinpath(about["file"]).read_bytes()) < BYTES_AT_MOST, name
        classifier = packaged(about["encoder"])
        assert classifier is not None, name
        assert set("abcdefghijklmnopqrstuvwxyz") <= set(classifier.alphabet)
        assert about["sources"], name
        assert about["command"].startswith("scripts/train_letters.py"), name
    assert packaged("of no encoder") is None
