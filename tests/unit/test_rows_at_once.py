"""What one search takes of the memory: a wider beam has fewer rows at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.domain.device import CPU, CUDA
from autorag_whisper.engines.rows_at_once import rows_at_once

ROWS, BEAMS = st.integers(1, 256), st.integers(1, 100)


@given(ROWS, BEAMS)
def test_on_a_card_no_beam_has_more_hypotheses_than_one_of_five_or_its_row(rows: int, beam_size: int) -> None:
    at_once = rows_at_once(rows, beam_size, CUDA)
    assert 1 <= at_once <= rows
    assert at_once * beam_size <= max(rows * 5, beam_size)
    assert beam_size > 5 or at_once == rows


@given(ROWS, BEAMS)
def test_on_a_cpu_no_search_has_more_than_128_hypotheses(rows: int, beam_size: int) -> None:
    at_once = rows_at_once(rows, beam_size, CPU)
    assert 1 <= at_once <= min(rows, 16)
    assert at_once * beam_size <= 128
    assert at_once in (rows, 16) or (at_once + 1) * beam_size > 128
