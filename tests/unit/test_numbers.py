"""Numbers that reach an engine: in their range, or an error that says the range; never a crash, never a `TypeError`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.domain.errors import InvalidOption, InvalidSettings
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.engines.native_threads import require_threads
from autorag_whisper.settings import MAX_THREADS, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

anything = st.one_of(
    st.integers(), st.floats(), st.booleans(), st.text(max_size=4), st.complex_numbers(), st.none(), st.just([1])
)
NUMBERS = {
    "AUTORAG_WHISPER_THREADS": "threads",
    "AUTORAG_WHISPER_PIN_COOLDOWN_S": "pin_cooldown_s",
    "AUTORAG_WHISPER_GPU_WAIT_S": "gpu_wait_s",
    "AUTORAG_WHISPER_IDLE_S": "idle_s",
    "AUTORAG_WHISPER_GPU_MEMORY_MB": "gpu_memory_mb",
}
HUGE = ["99999", "257", "-1", "nan", "inf", "-inf", "1e400", "9" * 400, "9" * 5000, "0x10", "1e10", "two"]


def made_or_refused(make: Callable[..., Any], *args: Any, **named: Any) -> tuple[Any, Any]:
    """(what was made, None), or (None, the error that refused it); anything else that is raised fails the test."""
    try:
        return make(*args, **named), None
    except (InvalidOption, InvalidSettings) as error:
        return None, error


@given(st.dictionaries(st.sampled_from(["beam_size", "batch_size"]), anything, min_size=1))
def test_a_count_is_a_whole_number_in_its_range_or_refused_with_it(given_counts: dict[str, Any]) -> None:
    options, error = made_or_refused(TranscribeOptions, **given_counts)
    if error is not None:
        assert "a whole number from 1 to " in error.allowed
        return
    for name, value in given_counts.items():
        kept = getattr(options, name)
        assert kept == value
        assert kept is None or (type(kept) is int and 1 <= kept <= 256)


@given(
    st.dictionaries(
        st.sampled_from(["compression_ratio_threshold", "logprob_threshold", "no_speech_threshold", "vad_threshold"]),
        anything,
        min_size=1,
    )
)
def test_a_threshold_is_a_number_or_refused(thresholds: dict[str, Any]) -> None:
    options, error = made_or_refused(TranscribeOptions, **thresholds)
    if error is not None:
        assert "a number" in error.allowed
        return
    assert all(getattr(options, name) == getattr(options, name) for name in thresholds)  # none of them is nan


@given(st.one_of(anything, st.lists(anything, max_size=4)))
def test_temperatures_are_numbers_from_0_to_2_or_refused(temperatures: Any) -> None:
    options, error = made_or_refused(TranscribeOptions, temperatures=temperatures)
    if error is not None:
        assert "from 0 to 2" in error.allowed
        return
    assert options.temperatures
    assert all(type(one) is float and 0 <= one <= 2 for one in options.temperatures)


def test_counts_of_numpy_are_counts() -> None:
    counts: dict[str, Any] = {"beam_size": np.int64(3), "batch_size": np.uint8(4)}
    options = TranscribeOptions(**counts)
    assert (options.beam_size, options.batch_size) == (3, 4)
    assert {type(options.beam_size), type(options.batch_size)} == {int}


@pytest.mark.parametrize("given_value", HUGE)
@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_of_the_environment_is_in_its_range_or_the_error_says_it(name: str, given_value: str) -> None:
    settings, error = made_or_refused(Settings.from_env, {name: given_value})
    if error is not None:
        assert name in error.problem()
        assert "number from 0 to " in error.problem()
        return
    assert 0 <= getattr(settings, NUMBERS[name]) <= 1e9
    assert settings.threads <= MAX_THREADS


@given(st.sampled_from(sorted(NUMBERS.values())), anything)
def test_settings_made_by_hand_check_themselves_as_well(name: str, value: Any) -> None:
    settings, error = made_or_refused(Settings, **{name: value})
    if error is not None:
        assert error.option == name
        return
    assert 0 <= getattr(settings, name) <= 1e9
    assert settings.threads <= MAX_THREADS


def test_a_few_threads_can_be_had() -> None:
    require_threads(8, "test")
