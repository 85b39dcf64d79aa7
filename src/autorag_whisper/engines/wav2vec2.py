"""CTC emissions on PyTorch and transformers (extra `[wav2vec2]`): any checkpoint of the hub that hears raw samples.

Clips are batched by length. A model whose features are normalised over the whole clip (`feat_extract_norm="group"`:
base-960h and its kin) hears padding as silence, so only clips of equal length share a batch there; the others have a
mask, and padding changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from autorag_whisper.domain.device import FailureCause
from autorag_whisper.domain.errors import DeviceError, EngineError, ExtraNotInstalled
from autorag_whisper.engines.aligners import CtcSpec, Emissions
from autorag_whisper.engines.ctc_checkpoint import CtcCheckpoint, read_checkpoint
from autorag_whisper.engines.in_flight import Engine, failures
from autorag_whisper.engines.onednn import keep_no_primitives
from autorag_whisper.engines.torch_module import TorchModule, torch_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from autorag_whisper.domain.audio import Samples
    from autorag_whisper.domain.device import Device

_ENGINE = "transformers wav2vec2"
_WEIGHTS = "model.safetensors"
_BATCH_SAMPLES = {"cpu": 16_000 * 30, "cuda": 16_000 * 30 * 8}
"""Samples of a batch, padding included: a CPU gains nothing from more."""


def load(folder: Path, name: str, device: Device) -> TorchEmitter:
    """Load a checkpoint.

    Raises ExtraNotInstalled, ModelDamaged, VocabularyUnusable, DeviceError.
    """
    from safetensors import SafetensorError

    torch, transformers = _runtime()
    keep_no_primitives()
    checkpoint = read_checkpoint(folder, name)
    if device.is_cuda and not torch.cuda.is_available():
        raise DeviceError(str(device), FailureCause.DRIVER, "load: PyTorch finds no CUDA device")
    engine = Engine(_ENGINE, name, _WEIGHTS, device)
    with failures(engine, "load"):
        try:
            model = transformers.AutoModelForCTC.from_pretrained(
                str(folder), local_files_only=True, dtype=torch.float32
            )
        except (OSError, SafetensorError) as error:
            raise RuntimeError(str(error)) from error  # no weights, or none that can be read
        return TorchEmitter(model.eval().to(torch_name(device)), checkpoint, device)


class TorchEmitter(TorchModule):
    """A `CtcEmitter` over one `transformers` model."""

    def __init__(self, model: Any, checkpoint: CtcCheckpoint, device: Device) -> None:
        super().__init__(model, Engine(_ENGINE, checkpoint.name, _WEIGHTS, device))
        self._checkpoint = checkpoint
        self._spec = CtcSpec(checkpoint.name, device, "float32", checkpoint.vocabulary)

    @property
    def spec(self) -> CtcSpec:
        return self._spec

    def emit(self, clips: Sequence[Samples]) -> list[Emissions]:
        sounds = [self._checkpoint.prepare(clip) for clip in clips]
        found: dict[int, Emissions] = {}
        for numbers in self._batches([len(sound) for sound in sounds]):
            found.update(zip(numbers, self._emit([sounds[n] for n in numbers]), strict=True))
        return [found[n] for n in range(len(sounds))]

    def _batches(self, lengths: list[int]) -> Iterator[list[int]]:
        """Numbers of clips that go together, the shortest first."""
        limit = _BATCH_SAMPLES[self._spec.device.kind.value]
        pads = self._checkpoint.config.get("feat_extract_norm") == "layer"
        batch: list[int] = []
        for n in sorted(range(len(lengths)), key=lengths.__getitem__):
            fits = (len(batch) + 1) * lengths[n] <= limit and (
                pads or lengths[n] == lengths[batch[0]] if batch else True
            )
            if batch and not fits:
                yield batch
                batch = []
            batch.append(n)
        if batch:
            yield batch

    def _emit(self, sounds: list[Samples]) -> list[Emissions]:
        torch, _ = _runtime()
        lengths = [len(sound) for sound in sounds]
        padded = np.stack([np.pad(sound, (0, max(lengths) - len(sound))) for sound in sounds])
        with self.calls.call("encode"), torch.inference_mode():
            if not self.is_on_device:
                raise EngineError(_ENGINE, "encode", "the model was offloaded")
            place = torch_name(self._spec.device)
            mask = None
            if min(lengths) < max(lengths):
                mask = torch.arange(max(lengths))[None, :] < torch.tensor(lengths)[:, None]
                mask = mask.long().to(place)
            logits = self.module(torch.from_numpy(padded).to(place), attention_mask=mask).logits
            log_probs = torch.log_softmax(logits.float(), dim=-1).cpu().numpy()
        hop, field = self._checkpoint.hop, self._checkpoint.field
        frames = [(length - field) // hop + 1 for length in lengths]
        return [Emissions(row[:count].copy(), hop, field) for row, count in zip(log_probs, frames, strict=True)]


def _runtime() -> tuple[Any, Any]:
    try:
        import torch
        import transformers
    except ImportError as error:
        raise ExtraNotInstalled("PyTorch or transformers", "wav2vec2", str(error)) from error
    return torch, transformers
