"""Which engine computes a model: pure functions whose answer has a reason.

```
AUTORAG_WHISPER_ENGINE   on a card     on a CPU
ctranslate2              CTranslate2   CTranslate2
native                   CTranslate2   native, or the error that says why not
auto                     CTranslate2   native where its trial was passed and it was faster, else CTranslate2
```

Where the library has nothing but its reference for a processor (x86-64 without AVX2, ARM without dot products), `auto`
tries nothing: the reference's plain loops are some thirty times as slow, and a trial of a large model takes an hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from autorag_whisper.engines.native import COMPUTE_TYPES

if TYPE_CHECKING:
    from autorag_whisper.domain.device import ModelKey

MOST_APART, MOST_APART_MEAN = 0.3, 0.05
"""How far the probability of a token of the clip, and the mean over its tokens, may be from CTranslate2's own."""
LEAST_ALIKE = 0.9
"""The share of the clip's tokens that both engines write."""


PLAIN_LOOPS = "scalar"
"""The instruction set that every processor has: the reference of the kernels."""


class EngineName(StrEnum):
    """What recognises by the steps of a Whisper model."""

    CTRANSLATE2 = "ctranslate2"
    NATIVE = "native"


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """`engine` None: a trial decides. `reason` goes to log, `doctor` and result."""

    engine: EngineName | None
    reason: str


@dataclass(frozen=True, slots=True)
class Trial:
    """What both engines made of the packaged clip.

    `apart`, `apart_mean`: differences of the tokens' probabilities; `alike`: the share of tokens that both wrote;
    `native_s`, `reference_s`: processor seconds for encoding and searching it.
    """

    apart: float
    apart_mean: float
    alike: float
    native_s: float
    reference_s: float


def before_trial(wanted: str, key: ModelKey, missing: str, instruction_set: str = "") -> EngineChoice:
    """What the setting, the device and the compute type decide.

    `missing`: why there is no native library, or ""; `instruction_set`: by which it would compute.
    """
    if key.device.is_cuda:
        return EngineChoice(EngineName.CTRANSLATE2, "the native engine is for CPUs")
    if wanted == EngineName.NATIVE:
        return EngineChoice(EngineName.NATIVE, "AUTORAG_WHISPER_ENGINE=native")
    if wanted == EngineName.CTRANSLATE2:
        return EngineChoice(EngineName.CTRANSLATE2, "AUTORAG_WHISPER_ENGINE=ctranslate2")
    if missing:
        return EngineChoice(EngineName.CTRANSLATE2, missing)
    if instruction_set == PLAIN_LOOPS:
        return EngineChoice(EngineName.CTRANSLATE2, "the native engine has no fast instructions of this processor")
    if key.compute_type not in COMPUTE_TYPES:
        return EngineChoice(EngineName.CTRANSLATE2, f"the native engine has no compute type {key.compute_type}")
    return EngineChoice(None, "a trial decides")


def after_trial(trial: Trial) -> EngineChoice:
    """What a trial decides: it has to agree first, then to be faster."""
    if not trial.apart <= MOST_APART or not trial.apart_mean <= MOST_APART_MEAN:
        reason = (
            f"the native engine's probabilities are up to {trial.apart:.2f}, {trial.apart_mean:.3f} in the mean, from"
            f" CTranslate2's on the packaged clip; {MOST_APART:g} and {MOST_APART_MEAN:g} are allowed"
        )
        return EngineChoice(EngineName.CTRANSLATE2, reason)
    if not trial.alike >= LEAST_ALIKE:
        reason = f"the native engine writes {trial.alike:.0%} of CTranslate2's tokens of the packaged clip"
        return EngineChoice(EngineName.CTRANSLATE2, reason)
    told = f"{trial.native_s:.2f} s of processor time for the packaged clip, CTranslate2 {trial.reference_s:.2f}"
    if not trial.native_s < trial.reference_s:
        return EngineChoice(EngineName.CTRANSLATE2, f"the native engine is not faster here: {told}")
    return EngineChoice(EngineName.NATIVE, f"it agrees with CTranslate2 and is faster here: {told}")
