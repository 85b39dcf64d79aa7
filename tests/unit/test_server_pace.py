"""How long an upload is waited for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.server.pace import Pace

NUMBERS = st.floats(0.1, 1e6)


@given(stall_s=NUMBERS, grace_s=NUMBERS, least=NUMBERS, since_s=st.floats(0, 1e6), received=st.integers(0, 10**9))
def test_nobody_is_waited_for_longer_than_the_stall_nor_below_the_least_rate(
    stall_s: float, grace_s: float, least: float, since_s: float, received: int
) -> None:
    pace = Pace(stall_s, grace_s, least)
    patience_s = pace.patience_s(since_s, received)
    assert 0 <= patience_s <= stall_s
    end_s = since_s + patience_s
    assert end_s == since_s or (end_s - grace_s) * least <= received + 1e-3 * max(received, 1) + 1
    assert pace.patience_s(since_s, received + 1) >= patience_s


def test_a_byte_now_and_then_does_not_keep_a_place() -> None:
    pace = Pace(stall_s=30, grace_s=30, least_bytes_s=1000)
    now_s = next(second for second in range(100) if pace.patience_s(second, received=second) < 1)
    assert 28 < now_s < 32
    assert pace.patience_s(3600, 3_600_000) == 30  # a thin line that holds


@pytest.mark.parametrize("name", ["stall_s", "grace_s", "least_bytes_s"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_pace_is_of_numbers_above_0(name: str, value: float) -> None:
    with pytest.raises(InvalidOption):
        Pace(**{name: value})
