"""`loading.engine_choice`: which engine computes a model, and why."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.domain.device import CPU, CUDA, ModelKey
from autorag_whisper.loading.engine_choice import EngineName, Trial, after_trial, before_trial

ON_CPU, ON_CARD = ModelKey("tiny.en", CPU, "int8"), ModelKey("tiny.en", CUDA, "float16")
GOOD = Trial(apart=0.1, apart_mean=0.01, alike=1.0, native_s=0.5, reference_s=1.2)
NATIVE, CTRANSLATE2 = EngineName.NATIVE, EngineName.CTRANSLATE2


@pytest.mark.parametrize("wanted", ["auto", "native", "ctranslate2"])
@pytest.mark.parametrize("missing", ["", "no library"])
def test_a_card_is_ctranslate2s_whatever_is_wanted(wanted: str, missing: str) -> None:
    assert before_trial(wanted, ON_CARD, missing).engine is CTRANSLATE2


@pytest.mark.parametrize("missing", ["", "no library"])
def test_an_engine_that_is_asked_for_is_taken_and_its_load_says_what_it_lacks(missing: str) -> None:
    assert before_trial("native", ON_CPU, missing).engine is NATIVE
    assert before_trial("ctranslate2", ON_CPU, missing).engine is CTRANSLATE2


def test_auto_leaves_it_to_a_trial_where_the_native_engine_can_compute() -> None:
    assert before_trial("auto", ON_CPU, "").engine is None
    for kind in ("int8", "int8_float32"):
        assert before_trial("auto", replace(ON_CPU, compute_type=kind), "").engine is None


def test_auto_takes_ctranslate2_with_the_reason_where_it_cannot() -> None:
    assert before_trial("auto", ON_CPU, "no library").reason == "no library"
    floats = before_trial("auto", replace(ON_CPU, compute_type="float32"), "")
    assert (floats.engine, "float32" in floats.reason) == (CTRANSLATE2, True)


def test_auto_tries_nothing_where_the_library_has_its_plain_loops_alone() -> None:
    """They are thirty times as slow: a trial of large-v3 would take most of an hour, at its first load."""
    choice = before_trial("auto", ON_CPU, "", "scalar")
    assert (choice.engine, "instructions" in choice.reason) == (CTRANSLATE2, True)
    assert before_trial("auto", ON_CPU, "", "avx2").engine is None
    assert before_trial("native", ON_CPU, "", "scalar").engine is NATIVE


def test_a_trial_that_agrees_and_is_faster_decides_for_the_native_engine() -> None:
    assert after_trial(GOOD).engine is NATIVE
    assert "0.50 s" in after_trial(GOOD).reason


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"apart": 0.31}, "0.31"),
        ({"apart_mean": 0.051}, "0.051"),
        ({"apart": math.nan}, "nan"),
        ({"apart_mean": math.nan}, "nan"),
        ({"alike": 0.89}, "89%"),
        ({"alike": math.nan}, "nan"),
        ({"native_s": 1.2}, "not faster"),
        ({"native_s": math.nan}, "not faster"),
    ],
)
def test_one_figure_out_of_its_bound_decides_for_ctranslate2_and_is_said(change: dict[str, float], said: str) -> None:
    choice = after_trial(replace(GOOD, **change))
    assert choice.engine is CTRANSLATE2
    assert said in choice.reason


@given(figures=st.tuples(*[st.floats()] * 5))
def test_whatever_a_trial_found_there_is_an_engine_and_one_line_of_reason(figures: tuple[float, ...]) -> None:
    choice = after_trial(Trial(*figures))
    assert choice.engine in EngineName
    assert choice.reason
    assert "\n" not in choice.reason
