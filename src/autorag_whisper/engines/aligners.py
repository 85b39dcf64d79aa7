"""What models that time words promise, in prose. The suites in `tests/contract` hold their adapters to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from autorag_whisper.domain.audio import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from autorag_whisper.align.spelling import CtcVocabulary
    from autorag_whisper.align.word_time import WordTime
    from autorag_whisper.domain.audio import Samples
    from autorag_whisper.domain.device import Device


@dataclass(frozen=True, slots=True)
class CtcSpec:
    """What a loaded CTC model is, read once at load: valid also after it was closed."""

    model: str
    device: Device
    compute_type: str
    vocabulary: CtcVocabulary


@dataclass(frozen=True, slots=True, eq=False)
class Emissions:
    """How likely each character is in each frame of a clip.

    `log_probs`: float32[frames, columns], natural logarithms; a frame is made of `field` samples, the next one begins
    `hop` samples later.

    ```
    samples   0 ......... hop ......... 2 hop ......... 3 hop     a frame stands for the hop in the middle of its field:
    frame 0   [====| stands for |====]                            edge k, where frame k begins, lies at sample
    frame 1               [====| stands for |====]                k * hop + (field - hop) / 2
    ```
    """

    log_probs: NDArray[np.float32]
    hop: int
    field: int

    def edge_s(self, edge: float) -> float:
        """Seconds into the clip of the moment at which frame `edge` begins; a half is the middle of a frame."""
        return (edge * self.hop + (self.field - self.hop) / 2) / SAMPLE_RATE_HZ


class CtcEmitter(Protocol):
    """A loaded CTC acoustic model (wav2vec2 and its kin) on one device.

    Every method may be called from any thread. Arguments are never changed or kept. A clip's emissions do not depend on
    the clips that it came with (up to the order of floating-point sums), and are the same after offload and restore.

    All raise DeviceError where the device fails underneath, EngineError for any other failure of the engine and after
    `close`; never the runtime's own exceptions. A host that runs out of memory raises MemoryError.
    """

    @property
    def spec(self) -> CtcSpec: ...

    @property
    def is_on_device(self) -> bool:
        """Whether `emit` would work: False between `offload` and `restore`, and after `close`."""
        ...

    def emit(self, clips: Sequence[Samples]) -> list[Emissions]:
        """Emissions of clips of any length; what is shorter than a frame is filled with silence. None for no clips.

        Samples that are no numbers give emissions that are none: `align.ctc` refuses them.
        """
        ...

    def offload(self) -> bool:
        """Move the weights to the CPU's memory, and wait until the device's is free: whether anything was moved.

        Waits for calls in flight. On the CPU nothing is moved, and `emit` goes on working.
        """
        ...

    def restore(self) -> bool:
        """Bring the weights back, without reading them from the disk again: whether anything was moved."""
        ...

    def close(self) -> None:
        """Give the memory back: waits for calls in flight and refuses new ones. Again is fine."""
        ...


@runtime_checkable
class WordAligner(Protocol):
    """A loaded model that aligns words by rules of its own, on one device. Else as `CtcEmitter`."""

    @property
    def is_on_device(self) -> bool: ...

    def align_words(self, clip: Samples, words: Sequence[str]) -> list[WordTime | None]:
        """When each of `words`, all that is said in `clip`, is heard in it: None where it cannot tell."""
        ...

    def offload(self) -> bool: ...

    def restore(self) -> bool: ...

    def close(self) -> None: ...


AlignmentModel = CtcEmitter | WordAligner
"""What times words under a lease of its own."""
