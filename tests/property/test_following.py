"""The rule by which another audio stream goes on for the chosen one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.audio.following import BESIDE_S, PAUSE_S, Following

packets = st.floats(0.01, 0.5)


def _spread(start_s: float, stop_s: float, step_s: float, stream: int) -> list[tuple[float, float, int]]:
    count = max(1, int((stop_s - start_s) / step_s))
    return [(start_s + n * step_s, step_s, stream) for n in range(count)]


def _play(events: list[tuple[float, float, int]], *, clock_restarts: bool) -> tuple[list[int | None], Following]:
    """Who fills each pause of stream 0, the last one being the end of the file."""
    following, gaps = Following(clock_restarts=clock_restarts), []
    for time_s, duration_s, stream in events:
        if stream:
            following.other(stream, time_s, duration_s)
        elif (gap := following.chosen(time_s, duration_s)) is not None and gap.start_s is not None:
            gaps.append(next(iter(gap.heard), None))
    return [*gaps, next(iter(following.finish().heard), None)], following


@given(
    own_s=st.floats(3, 60), ends_s=st.floats(-2, 60), begins_s=st.floats(0, 1.9), own=packets, other=packets,
    clock_restarts=st.booleans(),
)  # fmt: skip
def test_a_track_beside_the_chosen_one_is_never_taken(
    own_s: float, ends_s: float, begins_s: float, own: float, other: float, *, clock_restarts: bool
) -> None:
    events = _spread(0, own_s, own, 0) + _spread(begins_s, own_s + ends_s, other, 1)
    gaps, following = _play(sorted(events), clock_restarts=clock_restarts)
    if own_s + min(ends_s, 0.0) - begins_s > BESIDE_S + 1:
        assert gaps == [None]
        assert following.is_beside(1)


@given(
    first_s=st.floats(3, 60), pause_s=st.floats(0, 5), second_s=st.floats(2.5, 60), overlap_s=st.floats(0, 0.4),
    own=packets, other=packets, clock_restarts=st.booleans(), back=st.booleans(),
)  # fmt: skip
def test_a_stream_that_only_plays_where_the_chosen_one_is_silent_goes_on_for_it(
    first_s: float, pause_s: float, second_s: float, overlap_s: float, own: float, other: float, *,
    clock_restarts: bool, back: bool,
) -> None:  # fmt: skip
    begin = first_s + pause_s - overlap_s
    events = _spread(0, first_s, own, 0) + _spread(begin, begin + second_s, other, 1)
    if back:
        events += _spread(begin + second_s + PAUSE_S, begin + second_s + 20, own, 0)
    gaps, following = _play(sorted(events), clock_restarts=clock_restarts)
    assert 1 in gaps
    assert not following.is_beside(1)
