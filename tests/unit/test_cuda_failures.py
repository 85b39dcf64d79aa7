"""Which messages are the card's. Those marked as seen came from CTranslate2 4.8 on a machine without a card."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ctranslate2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.domain.device import FailureCause
from autorag_whisper.engines.cuda_failures import classify

if TYPE_CHECKING:
    from pathlib import Path

CARDS = [
    ("CUDA failed with error out of memory", FailureCause.OUT_OF_MEMORY),
    ("cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED", FailureCause.OUT_OF_MEMORY),
    ("std::bad_alloc: cudaErrorMemoryAllocation: out of memory", FailureCause.OUT_OF_MEMORY),
    ("Library libcublas.so.12 is not found or cannot be loaded", FailureCause.MISSING_LIBRARY),
    ("Library cublas64_12.dll is not found or cannot be loaded", FailureCause.MISSING_LIBRARY),
    # Seen.
    ("CUDA failed with error CUDA driver version is insufficient for CUDA runtime version", FailureCause.DRIVER),
    ("CUDA failed with error no CUDA-capable device is detected", FailureCause.DRIVER),
    ("CUDA failed with error invalid device ordinal", FailureCause.DRIVER),
    ("This CTranslate2 package was not compiled with CUDA support", FailureCause.DRIVER),
    ("cuBLAS failed with status CUBLAS_STATUS_NOT_INITIALIZED", FailureCause.DRIVER),
    # An old card: Thrust reports it, not CTranslate2 (SYSTRAN/faster-whisper, issue 806).
    ("parallel_for failed: cudaErrorNoKernelImageForDevice: no kernel image is available", FailureCause.DRIVER),
    ("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of", FailureCause.OUT_OF_MEMORY),
    ("CUDA error: an illegal memory access was encountered", FailureCause.STICKY),  # PyTorch's
    ("CUDA failed with error an illegal memory access was encountered", FailureCause.STICKY),
    ("cuBLAS failed with status CUBLAS_STATUS_EXECUTION_FAILED", FailureCause.STICKY),
    ("cuBLAS failed with status CUBLAS_STATUS_NOT_SUPPORTED", FailureCause.STICKY),
    ("transform: failed to synchronize: cudaErrorIllegalAddress: an illegal memory access", FailureCause.STICKY),
    ("trivial_device_copy D->H failed: cudaErrorLaunchFailure: unspecified launch failure", FailureCause.STICKY),
]
NOT_THE_CARDS = [
    "std::bad_alloc",
    "",
    "Requested float16 compute type, but the target device or backend do not support efficient float16 computation.",
    "File model.bin is incomplete: failed to read a buffer of size 12 at position 6",  # seen
    "Variable 'decoder/embeddings/weight' has an invalid payload size",  # seen
]
TELLTALE = [message for message, _ in CARDS]


@pytest.mark.parametrize(("message", "cause"), CARDS)
def test_a_message_of_the_card_has_its_cause(message: str, cause: FailureCause) -> None:
    assert classify(message) is cause
    assert classify(f"  {message}\n") is cause
    assert classify(f"cuda/primitives.cu:77: {message}") is cause


@pytest.mark.parametrize("message", NOT_THE_CARDS)
def test_host_memory_running_out_and_a_damaged_model_are_not_the_cards_fault(message: str) -> None:
    assert classify(message) is None


@pytest.mark.parametrize("word", [*TELLTALE, "CUDA out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "cudaErrorAssert: "])
def test_a_cuda_word_in_a_path_is_not_mistaken_for_a_cuda_failure(word: str) -> None:
    # The table once looked for CUBLAS_STATUS_* anywhere: a missing model in a folder of that name pinned the process
    # to the CPU for life.
    assert classify(f"Unable to open file 'model.bin' in model '/models/{word}'") is None
    assert classify(f"Unable to open file 'model.bin' in model '{word}'") is None
    assert classify(f"Unable to open file '{word}' in model 'base'") is None


@given(before=st.text(), word=st.sampled_from(TELLTALE), after=st.text())
def test_whatever_stands_in_a_path_is_never_the_card(before: str, word: str, after: str) -> None:
    assert classify(f"Unable to open file 'model.bin' in model '{before}{word}{after}'") is None


@pytest.mark.parametrize("word", ["CUDA out of memory", "cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED"])
def test_the_engines_own_word_about_a_missing_model_is_not_the_cards(tmp_path: Path, word: str) -> None:
    folder = tmp_path / word
    folder.mkdir()
    with pytest.raises(RuntimeError) as caught:
        ctranslate2.models.Whisper(str(folder), device="cpu")
    assert word in str(caught.value)
    assert classify(str(caught.value)) is None


def test_the_engines_own_word_about_a_missing_card_is_the_drivers(tiny_en_folder: Path) -> None:
    try:
        has_card = ctranslate2.get_cuda_device_count() > 0
    except RuntimeError:
        has_card = False
    if has_card:
        pytest.skip("there is a card here")
    with pytest.raises((RuntimeError, ValueError)) as caught:
        ctranslate2.models.Whisper(str(tiny_en_folder), device="cuda")
    assert classify(str(caught.value)) is FailureCause.DRIVER
