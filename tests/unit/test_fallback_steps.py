"""The device fallback's order as a pure function, and what a process learns of its cards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.device.fallback_steps import BatchLimits, Failure, Step, next_step
from autorag_whisper.domain.device import CUDA, Device, DeviceKind, FailureCause, ModelKey

ALL = ("float16", "int8_float16", "int8_float32", "int8", "float32")


def test_out_of_memory_goes_down_one_step_at_a_time_and_ends_on_the_cpu() -> None:
    rows, compute_type, freed, steps = 16, "float32", False, list[str]()
    while True:
        chosen = next_step(Failure("out_of_memory", rows, compute_type, ALL, freed))
        steps.append(chosen.step.value)
        assert chosen.reason
        rows = chosen.rows or 1
        compute_type = chosen.compute_type or compute_type
        freed = freed or chosen.step is Step.FREE
        if chosen.step is Step.CPU:
            break
    assert steps == ["halve_batch"] * 4 + ["free_others"] + ["compute_type"] * 2 + ["cpu"]
    assert compute_type == "int8_float16"


@pytest.mark.parametrize("cause", [cause for cause in FailureCause if cause is not FailureCause.OUT_OF_MEMORY])
@given(rows=st.integers(0, 64), freed=st.booleans())
def test_what_is_the_same_for_every_batch_goes_to_the_cpu_at_once(cause: str, rows: int, freed: bool) -> None:
    assert next_step(Failure(cause, rows, "float16", ALL, freed)).step is Step.CPU


@given(st.integers(0, 64), st.sampled_from(ALL), st.sets(st.sampled_from(ALL)), st.booleans())
def test_a_compute_type_that_the_card_does_not_have_is_never_chosen(
    rows: int, compute_type: str, offered: set[str], freed: bool
) -> None:
    chosen = next_step(Failure("out_of_memory", rows, compute_type, offered, freed))
    assert chosen.compute_type in {"", *offered}
    assert chosen.compute_type != compute_type
    assert chosen.rows < max(rows, 1)


def test_a_batch_size_that_failed_is_not_tried_again_until_something_was_freed() -> None:
    limits = BatchLimits()
    key, elsewhere = ModelKey("a", CUDA, "float16"), ModelKey("a", Device(DeviceKind.CUDA, 1), "float16")
    assert limits.limit(key) is None
    assert limits.failed(key, 16)
    assert limits.limit(key) == 8
    assert not limits.failed(key, 16), "one that was on its way when the other failed"
    assert limits.failed(key, 8)
    assert limits.failed(elsewhere, 4)
    limits.freed(CUDA)
    assert (limits.limit(key), limits.limit(elsewhere)) == (None, 2)
