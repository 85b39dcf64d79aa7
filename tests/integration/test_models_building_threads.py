"""`models.building.one_at_a_time`: what several processes would find out is found out by one of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.models.building import building, one_at_a_time

if TYPE_CHECKING:
    from pathlib import Path


def test_who_comes_second_waits_and_finds_what_the_first_has_kept(tmp_path: Path) -> None:
    place, found = tmp_path / "kept" / "answer", list[str]()

    def second() -> None:
        with one_at_a_time(place):
            found.append(place.read_text())

    with one_at_a_time(place):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        place.write_text("what was found")
    thread.join(60)
    assert found == ["what was found"]


def test_where_nothing_can_be_kept_nobody_waits(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file in the place of the folder")
    with one_at_a_time(tmp_path / "kept" / "answer"), one_at_a_time(tmp_path / "kept" / "answer"):
        pass


def test_an_error_of_the_work_itself_goes_on_and_lets_the_next_one_in(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="disk"), one_at_a_time(tmp_path / "answer"):
        raise OSError("the disk is full")
    with one_at_a_time(tmp_path / "answer"):
        pass


def test_what_a_killed_process_left_of_it_is_removed(tmp_path: Path) -> None:
    place = tmp_path / "place"
    left = tmp_path / ".place.tmp-abc"
    left.mkdir()
    (left / "half").touch()
    (tmp_path / ".place.tmp-1-2").touch()  # of an answer that is a file
    with one_at_a_time(place), building(place, place.is_dir) as new:
        (new / "whole").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["place", "place.lock"]
