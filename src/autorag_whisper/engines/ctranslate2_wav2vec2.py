"""CTC emissions on CTranslate2: wav2vec2's layer-norm family without PyTorch, from a checkpoint's own safetensors.

What its behaviour demands of this adapter (CTranslate2 4.8): fewer samples than a frame sees end the process; there is
no mask, so a batch would have to be of equal lengths, and clips go one by one; `unload_model` may decline silently; a
call takes memory of its own (0.8 GB for 28 s with wav2vec2-large), so callers take turns, each with all threads.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from autorag_whisper.domain.errors import EngineError, ModelDamaged
from autorag_whisper.engines.aligners import CtcSpec, Emissions
from autorag_whisper.engines.ctc_checkpoint import WEIGHTS, CtcCheckpoint, log_softmax, read_checkpoint
from autorag_whisper.engines.in_flight import Engine, InFlight, failures, unload
from autorag_whisper.engines.native_threads import require_threads
from autorag_whisper.engines.onednn import keep_no_primitives
from autorag_whisper.fork_safety import at_work, kept_in_forks
from autorag_whisper.models.building import building

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from autorag_whisper.domain.audio import Samples
    from autorag_whisper.domain.device import Device

    Weights = dict[str, NDArray[np.float32]]

_ENGINE = "ctranslate2 wav2vec2"
_FORMAT = "1"
"""Counted up when the conversion changes: folders that were made before are then made anew."""


def load(folder: Path, name: str, device: Device, *, cache_dir: Path, workers: int = 1) -> CTranslate2Emitter:
    """Load a checkpoint, converting it once into `cache_dir`.

    Raises ModelDamaged, VocabularyUnusable; EngineError for a family that CTranslate2 cannot run, and where the cache
    cannot be written; DeviceError.
    """
    import ctranslate2

    keep_no_primitives()
    require_threads(1 if device.is_cuda else workers, _ENGINE)
    checkpoint = read_checkpoint(folder, name)
    engine = Engine(_ENGINE, name, WEIGHTS, device)
    with at_work(waits=False), failures(engine, "load"):
        model = ctranslate2.models.Wav2Vec2(
            str(converted(checkpoint, cache_dir)),
            device=str(device.kind),
            device_index=device.index,
            compute_type="float16" if device.is_cuda else "float32",
            inter_threads=1,
            intra_threads=1 if device.is_cuda else workers,
            max_queued_batches=-1,
        )
    emitter = CTranslate2Emitter(kept_in_forks(model), checkpoint, device)
    if device.is_cuda:
        emitter.emit([np.zeros(checkpoint.field, np.float32)])
    return emitter


class CTranslate2Emitter:
    """A `CtcEmitter` over one `ctranslate2.models.Wav2Vec2`."""

    def __init__(self, model: Any, checkpoint: CtcCheckpoint, device: Device) -> None:
        self._model, self._checkpoint = model, checkpoint
        self._spec = CtcSpec(checkpoint.name, device, str(model.compute_type), checkpoint.vocabulary)
        self._calls = InFlight(Engine(_ENGINE, checkpoint.name, WEIGHTS, device))

    @property
    def spec(self) -> CtcSpec:
        return self._spec

    @property
    def is_on_device(self) -> bool:
        return bool(self._model.model_is_loaded)

    def emit(self, clips: Sequence[Samples]) -> list[Emissions]:
        return [self._emit(self._checkpoint.prepare(clip)) for clip in clips]

    def _emit(self, sound: Samples) -> Emissions:
        import ctranslate2

        with self._calls.call("encode"):
            if not self._model.model_is_loaded:
                raise EngineError(_ENGINE, "encode", "the model was offloaded")
            view = ctranslate2.StorageView.from_array(np.ascontiguousarray(sound[np.newaxis, np.newaxis, :]))
            logits = np.array(self._model.encode(view, to_cpu=True), np.float32)
        return Emissions(
            log_softmax(logits.reshape(-1, logits.shape[-1])), self._checkpoint.hop, self._checkpoint.field
        )

    def offload(self) -> bool:
        with self._calls.alone("offload"):
            if not self._spec.device.is_cuda:
                return False
            unload(self._model, _ENGINE, to_cpu=True)
        return True

    def restore(self) -> bool:
        with self._calls.alone("restore"):
            if self._model.model_is_loaded:
                return False
            self._model.load_model(keep_cache=True)
        return True

    def close(self) -> None:
        self._calls.close()
        unload(self._model, _ENGINE)


# ---------------------------------------------------------------- conversion


def converted(checkpoint: CtcCheckpoint, cache_dir: Path) -> Path:
    """The checkpoint's folder in CTranslate2's form, made where it is missing: whole, or not there at all."""
    if not checkpoint.is_layer_norm_family:
        raise EngineError(_ENGINE, "load", "only wav2vec2 models with layer norm throughout run on CTranslate2")
    place = cache_dir / f"ctc-{_fingerprint(checkpoint.folder)}"
    if not place.is_dir():
        made = _specification(checkpoint)
        try:
            with building(place, place.is_dir) as new:
                made.save(str(new))
        except OSError as error:
            reason = f"the cache folder cannot take the converted model ({error.strerror or type(error).__name__})"
            raise EngineError(_ENGINE, "load", f"{reason}: AUTORAG_WHISPER_CACHE_DIR names another") from error
    return place


def _fingerprint(folder: Path) -> str:
    """Of the files that are converted, by place, size and time: their digest would cost a second a gigabyte."""
    stats = [(file.name, file.stat()) for file in (folder / "config.json", folder / WEIGHTS) if file.is_file()]
    told = [_FORMAT, str(folder.resolve()), *(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def _specification(checkpoint: CtcCheckpoint) -> Any:
    """The weights under CTranslate2's names, ready to be saved."""
    from ctranslate2.specs import wav2vec2_spec

    config, weights = checkpoint.config, _read_weights(checkpoint)
    layers = len(config["conv_kernel"])
    made = wav2vec2_spec.Wav2Vec2Spec(
        layers,
        config["num_hidden_layers"],
        config["num_attention_heads"],
        config.get("vocab_size", 32),
        return_hidden=False,
    )
    try:
        _fill(made.encoder, weights)
    except KeyError as error:
        raise ModelDamaged(checkpoint.name, WEIGHTS, f"it lacks the weights {error}") from error
    made.register_vocabulary([f"<{column}>" for column in range(config.get("vocab_size", 32))])
    made.validate()
    made.optimize(quantization="float32")
    return made


def _read_weights(checkpoint: CtcCheckpoint) -> Weights:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        weights = load_file(checkpoint.folder / WEIGHTS)
    except (OSError, SafetensorError, TypeError) as error:
        raise ModelDamaged(checkpoint.name, WEIGHTS, f"cannot be read ({type(error).__name__})") from error
    return {name: np.ascontiguousarray(array, np.float32) for name, array in weights.items()}


def _fill(encoder: Any, weights: Weights) -> None:
    """Names on the left are CTranslate2's, on the right those of `transformers`."""
    features = [encoder.feat_layer0, *encoder.feat_layer]
    for n, layer in enumerate(features):
        source = f"wav2vec2.feature_extractor.conv_layers.{n}"
        _linear(layer.conv, weights, f"{source}.conv")
        _norm(layer.layer_norm, weights, f"{source}.layer_norm")
    _norm(encoder.fp_layer_norm, weights, "wav2vec2.feature_projection.layer_norm")
    _linear(encoder.fp_projection, weights, "wav2vec2.feature_projection.projection")
    encoder.pos_conv_embed.conv.weight = _positional(weights)
    encoder.pos_conv_embed.conv.bias = weights["wav2vec2.encoder.pos_conv_embed.conv.bias"]
    _norm(encoder.layer_norm, weights, "wav2vec2.encoder.layer_norm")
    for n, layer in enumerate(encoder.layer):
        _layer(layer, weights, f"wav2vec2.encoder.layers.{n}")
    _linear(encoder.lm_head, weights, "lm_head")


def _layer(layer: Any, weights: Weights, source: str) -> None:
    attention = layer.self_attention
    _norm(attention.layer_norm, weights, f"{source}.layer_norm")
    parts = [f"{source}.attention.{name}_proj" for name in ("q", "k", "v")]
    attention.linear[0].weight = np.concatenate([weights[f"{part}.weight"] for part in parts])
    attention.linear[0].bias = np.concatenate([weights[f"{part}.bias"] for part in parts])
    _linear(attention.linear[1], weights, f"{source}.attention.out_proj")
    _norm(layer.ffn.layer_norm, weights, f"{source}.final_layer_norm")
    _linear(layer.ffn.linear_0, weights, f"{source}.feed_forward.intermediate_dense")
    _linear(layer.ffn.linear_1, weights, f"{source}.feed_forward.output_dense")


def _linear(target: Any, weights: Weights, source: str) -> None:
    target.weight = weights[f"{source}.weight"]
    bias = weights.get(f"{source}.bias")
    target.bias = np.zeros(len(target.weight), np.float32) if bias is None else bias


def _norm(target: Any, weights: Weights, source: str) -> None:
    target.gamma, target.beta = weights[f"{source}.weight"], weights[f"{source}.bias"]


def _positional(weights: Weights) -> NDArray[np.float32]:
    """The positional convolution float32[out, in / groups, kernel], whose weights are kept as length and direction.

    Weight normalisation over the kernel's axis (Salimans and Kingma, 2016); its two parts have an old and a new name.
    """
    source = "wav2vec2.encoder.pos_conv_embed.conv"
    names = ("weight_g", "weight_v")
    if f"{source}.weight_v" not in weights:
        names = ("parametrizations.weight.original0", "parametrizations.weight.original1")
    length, direction = (weights[f"{source}.{name}"] for name in names)
    found: NDArray[np.float32] = length * direction / np.sqrt((direction**2).sum(axis=(0, 1), keepdims=True))
    return found
