"""What was in hand when a process died is found by who comes after it, and whoever ends in order leaves nothing."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.archive.sharded.in_hand import FOLDER, MOST_ALONE, NONE, Deaths, InHand, Turn, deaths_of, turn_of
from autorag_whisper.domain.errors import MediaDamaged


def test_what_no_process_died_with_goes_with_others_and_what_one_did_goes_alone() -> None:
    assert turn_of(NONE) is Turn.TOGETHER
    assert turn_of(Deaths(together=1)) is Turn.ALONE
    assert turn_of(Deaths(together=50)) is Turn.ALONE, "it was beside others: any of them may have been it"
    assert turn_of(Deaths(alone=MOST_ALONE - 1)) is Turn.ALONE
    assert turn_of(Deaths(alone=MOST_ALONE)) is Turn.GIVEN_UP


def test_a_recording_that_gets_on_between_deaths_is_never_given_up(tmp_path: Path) -> None:
    for chunks in range(1, 4 * MOST_ALONE):
        InHand(tmp_path).begin(5, "long", chunks)
        assert turn_of(InHand(tmp_path).deaths(5)["long"]) is Turn.ALONE
    for _ in range(MOST_ALONE):
        InHand(tmp_path).begin(5, "long", chunks)
    assert turn_of(InHand(tmp_path).deaths(5)["long"]) is Turn.GIVEN_UP


steps = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["begin", "alone", "end"])), max_size=30)


@given(steps, st.binary(max_size=30).filter(lambda data: b"\n" not in data))
def test_of_every_recording_it_is_known_what_died_with_it_since_its_last_outcome(
    made: list[tuple[str, str]], cut: bytes
) -> None:
    with TemporaryDirectory() as name:
        folder, wanted = Path(name), dict[str, Deaths]()
        for who, step in made:
            died = InHand(folder)  # each ends without its `__exit__`: the process died
            if step == "end":
                died.end(3, who)
                wanted.pop(who, None)
                continue
            died.begin(3, who, 0 if step == "alone" else None)
            known = wanted.get(who, NONE)
            alone = step == "alone"
            wanted[who] = Deaths(known.together + (not alone), known.alone + alone)
        if made:
            path = next((folder / FOLDER).rglob("*.jsonl"))
            path.write_bytes(path.read_bytes() + b"\n" + cut)  # a line that was cut short tells nothing
        assert InHand(folder).deaths(3) == wanted
        assert InHand(folder).deaths(4) == {}


def test_a_process_that_ends_in_order_leaves_nothing_in_hand(tmp_path: Path) -> None:
    InHand(tmp_path).begin(0, "before")
    with InHand(tmp_path) as ours:
        ours.begin(0, "a")
        ours.begin(0, "b", 2)
        ours.end(0, "a")
    assert InHand(tmp_path).deaths(0) == {"before": Deaths(together=1)}


@pytest.mark.parametrize(
    ("error", "stays"),
    [(IndexError("x"), True), (MemoryError(), True), (MediaDamaged("x"), False), (KeyboardInterrupt(), False)],
    ids=lambda value: type(value).__name__,
)
def test_a_process_that_ends_by_what_nobody_expects_has_died_with_what_it_had_in_hand(
    tmp_path: Path, error: BaseException, stays: bool
) -> None:
    ours = InHand(tmp_path)
    ours.begin(0, "a")
    ours.begin(0, "b")
    ours.end(0, "b")
    with pytest.raises(type(error)), ours:
        raise error
    assert InHand(tmp_path).deaths(0) == ({"a": Deaths(together=1)} if stays else {})


def test_a_complete_shard_has_no_notes(tmp_path: Path) -> None:
    with InHand(tmp_path) as ours:
        ours.begin(7, "a")
        ours.end(7, "a")
        ours.forget(7)
        ours.forget(8)
    assert not list((tmp_path / FOLDER).rglob("*.jsonl"))


def test_lines_that_others_wrote_otherwise_are_left_out() -> None:
    lines = [b"", b"[]", b"3", b'{"begin":"a"}', b'{"begin":"b","chunks":"x"}', b'{"other":1}', b'"begin"', b"\xff"]
    assert deaths_of(lines) == {"a": Deaths(together=1)}
