"""Clips: how they are written, what is refused, and which become one."""

from __future__ import annotations

import itertools
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.domain.clips import Clip, clock, merged, parse_clips
from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.request import TranscribeOptions


@pytest.mark.parametrize(
    ("text", "start_s", "end_s"),
    [
        ("1:30-2:45", 90, 165),
        ("90-165.5", 90, 165.5),
        ("1:02:03-", 3723, math.inf),
        ("-30", 0, 30),
        ("0-0:00.5", 0, 0.5),
        (" 1:05 - 1:06 ", 65, 66),
        ("90:00-95:30", 5400, 5730),
        ("100:00:00-", 360_000, math.inf),
        (".5-1.", 0.5, 1),
    ],
)
def test_a_clip_is_read_as_people_write_it(text: str, start_s: float, end_s: float) -> None:
    assert parse_clips(text) == (Clip(start_s, end_s),)
    assert TranscribeOptions(clips=text).clips == (Clip(start_s, end_s),)  # type: ignore[arg-type]  # as is convenient


@pytest.mark.parametrize(
    "given",
    [
        "2-1", "5-5", "1:30", "-", "", ",", "a-b", "1:60-2:00", "1:60:00-", "1:2:3:4-", "-1--2", "nan-", "inf-", "1e3-",
        "1-2-3", "٣-٤", 5, [5], [(1, 2, 3)], [(3, 1)], [(-1, 1)], [("a", "b")], [(math.nan, 1)], [(1, math.nan)],
        [(math.inf, None)], [(None, 5)], [(True, 5)], [None],
    ],
)  # fmt: skip
def test_what_is_no_clip_is_refused(given: Any) -> None:
    with pytest.raises(InvalidOption, match="clip"):
        TranscribeOptions(clips=given)


def test_pairs_texts_and_clips_are_the_same() -> None:
    expected = (Clip(1.0, 2.0), Clip(3.0))
    for written in (
        [(1, 2), (3, None)],
        ["1-2", "3-"],
        "3-,1-2",
        (Clip(3.0), Clip(1.0, 2.0)),
        [np.array([1, 2]), (3, None)],
    ):
        assert TranscribeOptions(clips=written).clips == expected  # type: ignore[arg-type]  # as is convenient


bounds = st.floats(0, 10_000, allow_nan=False).map(lambda x: round(x, 3))
clips = st.lists(
    st.tuples(bounds, bounds | st.just(math.inf)).filter(lambda b: b[0] < b[1]).map(lambda b: Clip(*b)), max_size=8
)


@given(clips, st.floats(0, 11_000))
def test_merged_clips_hold_the_same_moments_in_order_and_apart(given: list[Clip], moment: float) -> None:
    found = merged(given)
    assert any(c.start_s <= moment < c.end_s for c in given) == any(c.start_s <= moment < c.end_s for c in found)
    assert all(a.end_s < b.start_s for a, b in itertools.pairwise(found))
    assert merged(found) == found


@given(clips)
def test_what_a_clip_is_shown_as_is_read_as_that_clip(given: list[Clip]) -> None:
    assert [Clip.parse(str(clip)) for clip in given] == given
    assert pickle.loads(pickle.dumps(given)) == given


def test_times_are_shown_as_people_write_them() -> None:
    assert [clock(t) for t in (0, 59.9996, 90.5, 3600, 3723.25)] == ["0:00", "1:00", "1:30.5", "1:00:00", "1:02:03.25"]
