"""How a cluster is begun, with something in Ray's place: nothing of Ray is needed."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any

import pytest

from autorag_whisper.archive.sharded.cluster import LOCAL, connect, meaning
from autorag_whisper.domain.archive_errors import ClusterFailed
from autorag_whisper.domain.errors import MediaNotFound

SLOW = "The current node timed out during startup. This could happen because of this or that.\nMore."


class Ray:
    """`init` fails as often as it is told to, and sets handlers of signals as Ray's does."""

    def __init__(self, *problems: str) -> None:
        self.problems, self.begun = list(problems), 0

    def init(self, **_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.begun += 1
        if self.problems:
            raise Exception(self.problems.pop(0))  # noqa: TRY002 - as Ray does


def test_a_node_that_is_slow_to_come_up_is_begun_again_and_signals_stay_as_they_were() -> None:
    ray, before = Ray(SLOW, SLOW), signal.getsignal(signal.SIGTERM)
    connect(ray, LOCAL)
    assert ray.begun == 3
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("problems", "begun"), [((SLOW,) * 9, 4), (("no disk left", SLOW), 1)], ids=["slow", "else"])
def test_one_that_does_not_come_up_is_told_in_a_line(problems: tuple[str, ...], begun: int) -> None:
    ray = Ray(*problems)
    with pytest.raises(ClusterFailed) as failed:
        connect(ray, LOCAL)
    assert ray.begun == begun
    assert failed.value.problem().count("\n") == 0
    assert not failed.value.problem().endswith(".")


def test_what_an_actor_raised_is_found_within_what_ray_raises() -> None:
    inner = MediaNotFound("talk.wav")
    outer = RuntimeError("task failed")
    outer.cause = SimpleNamespace()  # type: ignore[attr-defined]  # as of an error that is no exception
    outer.__cause__ = inner
    assert meaning(outer) is inner
    assert isinstance(meaning(RuntimeError("")), ClusterFailed)
