"""`engines.native_weights`: what a file of weights may say, and what it may not."""

from __future__ import annotations

import ctypes as c
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autorag_whisper.engines.native_library import CShape
from autorag_whisper.engines.native_model import NativeModel, SpecialTokens
from autorag_whisper.engines.native_weights import (
    NEWEST_REVISION,
    NEWEST_VERSION,
    Tensor,
    UnsupportedWeightsError,
    WhisperShape,
    needed,
    read_weights,
    require_computed,
)
from autorag_whisper.models.model_bin import BrokenFileError, Kind
from native_models import EMBEDDINGS, LITTLE, PROJECTION, random_model

if TYPE_CHECKING:
    from pathlib import Path

    from autorag_whisper.engines.native_library import NativeLibrary
    from autorag_whisper.engines.native_weights import WhisperWeights
    from native_models import ModelFile

KINDS = ["int8", "float16", "bfloat16", "float32"]
QUERY = "decoder/layer_0/attention/linear_0/weight"
BIAS = "encoder/layer_0/ffn/linear_0/bias"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights") / "model.bin"


def read(place: Path, file: ModelFile | bytes) -> WhisperWeights:
    place.unlink(missing_ok=True)  # a file of its own: arrays of the one before may still lie over its pages
    place.write_bytes(file if isinstance(file, bytes) else file.to_bytes())
    return read_weights(place)


@pytest.mark.parametrize("kind", KINDS)
def test_every_array_of_the_network_is_read_with_its_values(place: Path, kind: str) -> None:
    found, exact = read(place, random_model(kind=kind)), read(place, random_model(kind="float32"))
    assert found.shape == LITTLE
    assert {name: tensor.data.shape for name, tensor in found.tensors.items()} == needed(LITTLE)
    bound = {"int8": 1 / 127, "float16": 1 / 1024, "bfloat16": 1 / 128, "float32": 0}[kind]
    for name, tensor in found.tensors.items():
        values, true = tensor.as_float32(), exact.tensors[name].as_float32()
        assert np.abs(values - true).max() <= bound * np.abs(true).max()
        assert (tensor.scales is not None) is (kind == "int8" and name.endswith("weight") and true.ndim == 2)


def test_the_arrays_are_the_pages_of_the_file_and_stay_when_it_is_removed(place: Path) -> None:
    found = read(place, random_model())
    place.unlink()
    for tensor in found.tensors.values():
        assert not tensor.data.flags.writeable
        assert not tensor.data.flags.owndata
    assert np.isfinite(found.tensors[BIAS].as_float32()).all()


def test_the_projection_is_the_embeddings_unless_the_file_has_one_of_its_own(place: Path) -> None:
    shared = read(place, random_model(kind="float32")).tensors
    assert np.array_equal(shared[PROJECTION].data, shared[EMBEDDINGS].data)
    own = np.ones((LITTLE.vocabulary, LITTLE.width), np.float32)
    apart = read(place, random_model(kind="float32").with_variable(PROJECTION, own, Kind.FLOAT32)).tensors
    assert np.array_equal(apart[PROJECTION].data, own)


def test_it_reads_the_version_and_the_revision_that_the_installed_ctranslate2_writes() -> None:
    from ctranslate2.specs import model_spec, whisper_spec

    assert model_spec.CURRENT_BINARY_VERSION == NEWEST_VERSION
    assert whisper_spec.WhisperSpec(1, 1, 1, 1).revision == NEWEST_REVISION


@pytest.mark.parametrize("version", [4, 5, 6])
@pytest.mark.parametrize("revision", [1, 2, 3])
def test_older_files_are_read(place: Path, version: int, revision: int) -> None:
    assert read(place, replace(random_model(), version=version, revision=revision)).shape == LITTLE


@pytest.mark.parametrize("name", ["tiny.en", "base"])
def test_the_models_that_ship_are_read(request: pytest.FixtureRequest, name: str) -> None:
    folder = request.getfixturevalue({"tiny.en": "tiny_en_folder", "base": "base_folder"}[name])
    shape = read_weights(folder / "model.bin").shape
    layers, width, vocabulary = {"tiny.en": (4, 384, 51_864), "base": (6, 512, 51_865)}[name]
    assert (shape.encoder_layers, shape.decoder_layers, shape.width, shape.vocabulary) == (
        layers, layers, width, vocabulary,
    )  # fmt: skip
    assert (shape.mels, shape.positions, shape.context, shape.heads) == (80, 1500, 448, width // 64)


def _nan(shape: tuple[int, ...], value: float = np.nan) -> np.ndarray:
    found = np.zeros(shape, np.float32)
    found.flat[-1] = value
    return found


LIES = {
    "a tensor that is missing": (random_model().without(BIAS), f"lacks the variable {BIAS}"),
    "scales that are missing": (random_model().without(f"{QUERY}_scale"), f"lacks the variable {QUERY}_scale"),
    "a scale that is no number": (
        random_model().with_variable(f"{QUERY}_scale", _nan((16,)), Kind.FLOAT32), "no positive number",
    ),
    "a scale of infinity": (
        random_model().with_variable(f"{QUERY}_scale", _nan((16,), np.inf), Kind.FLOAT32), "no positive number",
    ),
    "a scale of zero": (
        random_model().with_variable(f"{QUERY}_scale", np.zeros(16, np.float32), Kind.FLOAT32), "no positive number",
    ),
    "a scale by which a number has none": (
        random_model().with_variable(f"{QUERY}_scale", np.full(16, 1e-38, np.float32), Kind.FLOAT32), "positive number",
    ),
    "too few scales": (
        random_model().with_variable(f"{QUERY}_scale", np.ones(15, np.float32), Kind.FLOAT32), "scale for each row",
    ),
    "a bias that is no number": (random_model().with_variable(BIAS, _nan((32,)), Kind.FLOAT32), "is no number"),
    "a bias in bfloat16 that is infinite": (
        random_model().with_variable(BIAS, np.full(32, 0x7F80, np.uint16), Kind.BFLOAT16), "is no number",
    ),
    "a bias of another length": (
        random_model().with_variable(BIAS, np.zeros(31, np.float32), Kind.FLOAT32), r"shape \(31,\), not \(32,\)",
    ),
    "a type that nobody knows": (
        random_model().with_variable(BIAS, np.zeros(32, np.float32), 77), "of the unknown type 77",
    ),
    "a size that is not its shape's": (
        random_model().with_variable(BIAS, np.zeros(32, np.float32), Kind.FLOAT16), "in 128 bytes",
    ),
    "another model's spec": (replace(random_model(), spec="TransformerSpec"), "is not a Whisper model"),
    "no projection at all": (replace(random_model(), aliases=()), f"lacks the variable {PROJECTION}"),
    "an alias of nothing": (replace(random_model(), aliases=((PROJECTION, "x"),)), "lacks the variable"),
    "an array without a number": (
        random_model().with_variable("encoder/conv1/weight", np.zeros((0, 4, 3), np.float32), Kind.FLOAT32), "has a ",
    ),
    "a layer of the decoder that is not there": (
        random_model().with_variable("decoder/layer_1/ffn/linear_0/bias", np.zeros(32, np.float32), Kind.FLOAT32),
        "lacks the variable decoder/layer_1",
    ),
}  # fmt: skip
FOREIGN = {
    "weights of int16": random_model().with_variable(QUERY, np.ones((16, 16), np.int16), Kind.INT16),
    "a convolution of int8": random_model().with_variable(
        "encoder/conv1/weight", np.ones((16, 4, 3), np.int8), Kind.INT8
    ),
    "another activation": random_model().with_variable("decoder/activation", np.array(0, np.int8), Kind.INT8),
    "positions by alibi": random_model().with_variable("decoder/alibi", np.array(1, np.int8), Kind.INT8),
    "norms behind the layers": random_model().with_variable("decoder/pre_norm", np.array(0, np.int8), Kind.INT8),
    "heads that do not divide": random_model().with_variable(
        "encoder/num_heads", np.array(3, np.int16), Kind.INT16
    ),
    "heads of two kinds": random_model().with_variable("decoder/num_heads", np.array(4, np.int16), Kind.INT16),
    "a newer version": replace(random_model(), version=7),
    "a newer revision": replace(random_model(), revision=4),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_what_a_file_says_against_the_network_is_an_error_that_names_it(place: Path, lie: str) -> None:
    file, said = LIES[lie]
    with pytest.raises(BrokenFileError, match=said):
        read(place, file)


@pytest.mark.parametrize("kind", FOREIGN)
def test_networks_that_are_not_computed_are_told_apart_from_damage(place: Path, kind: str) -> None:
    with pytest.raises(UnsupportedWeightsError):
        read(place, FOREIGN[kind])


@given(
    heads=st.integers(1, 2),
    width=st.sampled_from([64, 128]),
    hidden=st.sampled_from([2, 4]),
    mels=st.sampled_from([16, 80, 100]),
    frames=st.sampled_from([1499, 1500, 1501]),
    context=st.sampled_from([447, 448, 449]),
)
@example(heads=1, width=64, hidden=4, mels=16, frames=1500, context=448)
@settings(max_examples=20)
def test_a_network_is_refused_unless_the_library_takes_it_with_the_heads_that_its_file_says(
    native_library: NativeLibrary, heads: int, width: int, hidden: int, mels: int, frames: int, context: int
) -> None:
    """The library takes every head as 64 wide: of others it would compute something else, and say nothing."""
    shape = WhisperShape(mels, width, heads, hidden * width, 1, 1, 100, frames, context)
    try:
        require_computed(shape)
    except UnsupportedWeightsError:
        return
    tensors = {name: Tensor(np.zeros(size, np.float32)) for name, size in needed(shape).items()}
    model = NativeModel(native_library, tensors, SpecialTokens(81, 80, 85, 90))
    found = CShape()
    native_library.tell("awc_model_shape", model.handle, c.byref(found))
    assert (found.heads, found.max_frames, found.context) == (heads, frames, context)


@pytest.mark.parametrize("name", ["data", "scales"])
def test_a_projection_of_its_own_is_told_by_every_number_of_it(place: Path, name: str) -> None:
    tensors = read(place, random_model()).tensors
    embeddings = tensors[EMBEDDINGS]
    assert tensors[PROJECTION].equals(embeddings)
    other = getattr(embeddings, name).copy()
    other.flat[-1] += 1
    assert not replace(embeddings, **{name: other}).equals(embeddings)
    assert not replace(embeddings, scales=None).equals(embeddings)


def test_two_variables_of_one_name_are_refused(place: Path) -> None:
    file = random_model(kind="float32")
    twice = replace(file, variables=file.variables | {"again": file.variables[BIAS]})
    with pytest.raises(BrokenFileError, match="twice"):
        read(place, twice)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_cut_off_anywhere_is_an_error(place: Path, kind: str) -> None:
    whole = random_model(kind=kind).to_bytes()
    for size in [*range(64), *range(64, len(whole), 97), len(whole) - 1]:
        with pytest.raises((BrokenFileError, UnsupportedWeightsError)):
            read(place, whole[:size])


def _is_whole(weights: WhisperWeights) -> bool:
    """What the native library relies on."""
    expected = needed(weights.shape)
    return weights.tensors.keys() == expected.keys() and all(
        tensor.data.shape == expected[name] and np.isfinite(tensor.as_float32()).all()
        for name, tensor in weights.tensors.items()
    )


@given(kind=st.sampled_from(KINDS), data=st.data())
def test_whatever_bytes_are_changed_the_answer_is_a_typed_error_or_a_whole_network(
    place: Path, kind: str, data: st.DataObject
) -> None:
    found = bytearray(random_model(kind=kind).to_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(found) - 1) | st.integers(0, 600))
        piece = data.draw(st.binary(min_size=1, max_size=4) | st.sampled_from([b"\xff\xff\xff\xff", b"\0\0\0\0"]))
        found[at : at + len(piece)] = piece
    try:
        weights = read(place, bytes(found))
    except (BrokenFileError, UnsupportedWeightsError):
        return
    assert _is_whole(weights)


@given(content=st.binary(max_size=400))
@example(content=b"")
def test_whatever_a_file_holds_it_is_no_crash(place: Path, content: bytes) -> None:
    with pytest.raises((BrokenFileError, UnsupportedWeightsError)):
        read(place, b"\x06\0\0\0" + content)
