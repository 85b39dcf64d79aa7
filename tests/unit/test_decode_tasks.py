"""Tasks that decode, with something in Ray's place: nothing depends on them, and nobody waits long for them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from autorag_whisper.archive.sharded.decode_tasks import DecodeTasks
from autorag_whisper.archive.sharded.rows import Row
from autorag_whisper.domain.request import TranscribeOptions

SHORT = Row("x", "/talk.wav", 60.0)


class LostError(Exception):
    pass


class Ray:
    """Tasks have the number of their beginning. `free`: whether slots are; `lost`: what is asked for is gone."""

    exceptions = SimpleNamespace(RayError=LostError)

    def __init__(self) -> None:
        self.now_s, self.free, self.lost = 0.0, True, False
        self.begun, self.cancelled = 0, list[int]()

    def remote(self, _function: Any) -> Ray:
        return self

    def options(self, **_: Any) -> Any:
        return SimpleNamespace(remote=self.begin)

    def begin(self, *_: Any) -> int:
        self.begun += 1
        return self.begun

    def wait(self, tasks: list[int], timeout: float) -> tuple[list[int], list[int]]:
        if self.free:
            return tasks, []
        self.now_s += timeout
        return [], tasks

    def cancel(self, task: int) -> None:
        self.cancelled.append(task)

    def get(self, task: int) -> str:
        if self.lost:
            raise LostError
        return f"what task {task} brings"


@pytest.fixture
def ray() -> Ray:
    return Ray()


@pytest.fixture
def tasks(ray: Ray) -> DecodeTasks:
    return DecodeTasks(ray, TranscribeOptions(), 1.0, lambda: ray.now_s)


def test_what_a_task_brings_is_taken_and_what_is_lost_is_decoded_here(ray: Ray, tasks: DecodeTasks) -> None:
    [one, other] = [tasks.begin(SHORT) for _ in range(2)]
    assert one is not None
    assert other is not None
    assert one.decoded() == "what task 1 brings"
    ray.lost = True
    assert other.decoded() is None
    assert tasks.begin(Row("y", "/long.wav", 3600.0)) is tasks.begin(Row("z", "/unknown.wav")) is None


def test_where_no_slot_is_free_one_task_is_waited_for_and_not_each(ray: Ray, tasks: DecodeTasks) -> None:
    # Actors that reserve every slot made each recording wait for a minute.
    ray.free = False
    coming = [tasks.begin(SHORT) for _ in range(5)]
    assert [one.decoded() for one in coming if one is not None] == [None] * 5
    assert ray.now_s == 60.0
    assert ray.cancelled == [1, 2, 3, 4, 5]
    assert tasks.begin(SHORT) is None
    ray.now_s, ray.free = 3600.0, True
    later = tasks.begin(SHORT)
    assert later is not None
    assert later.decoded() == "what task 6 brings"
