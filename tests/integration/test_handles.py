"""Handles of models: one for each meaning of a hint, in whatever order and of whatever type hints are given."""

from __future__ import annotations

import logging
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.run_world import CARD, World

from autorag_whisper.device.placement import bad_hint
from autorag_whisper.domain.errors import ModelNotFound
from autorag_whisper.loading.model_finder import ModelFinder
from autorag_whisper.models.store import ModelStore
from autorag_whisper.worker.job import WorkerJob


class Rude:
    """Its `repr` raises, and it cannot be compared or hashed."""

    __hash__: Any = None

    def __repr__(self) -> str:
        raise RuntimeError("no")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")


GOOD = [None, "auto", " AUTO ", "cpu", "CPU", "cuda", "cuda:0", " Cuda"]
BAD: list[Any] = [
    "",
    " ",
    "gpu",
    "cuda:99999999999",
    "cuda:-1",
    "None",
    0,
    1,
    True,
    1.5,
    b"cpu",
    [],
    {},
    Path("cpu"),
    Rude(),
]
hints = st.one_of(
    st.sampled_from([*GOOD, *BAD]), st.text(max_size=12), st.integers(), st.floats(), st.binary(max_size=4)
)


@given(st.lists(hints, min_size=1, max_size=12))
def test_where_a_hint_places_a_model_does_not_depend_on_the_hints_before_it(given_hints: list[Any]) -> None:
    transcriber = World(CARD).transcriber
    for hint in given_hints:
        alone = World(CARD).transcriber.model("base", hint).device
        assert transcriber.model("base", hint).device == alone
        assert alone == ("cpu" if bad_hint(hint) or str(hint).strip().lower() == "cpu" else "cuda")


def test_an_empty_hint_is_the_cpu_and_leaves_the_default_alone() -> None:
    # `""` and None had one key: get_model(size, "") first put get_model(size) on the CPU for the process's life.
    transcriber = World(CARD).transcriber
    assert transcriber.model("base", "").device == "cpu"
    assert transcriber.model("base").device == "cuda"
    assert transcriber.model("base", " Auto ") is transcriber.model("base")


@pytest.mark.parametrize("hint", BAD, ids=lambda hint: type(hint).__name__)
def test_what_nobody_understands_is_warned_of_whatever_its_type(hint: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "autorag_whisper"):
        assert World(CARD).transcriber.model("base", hint).device == "cpu"
    assert "using the CPU" in caplog.text


@pytest.mark.parametrize("hint", [threading.Lock(), 5, Rude()], ids=lambda hint: type(hint).__name__)
def test_a_hint_of_any_type_reaches_the_worker_process_as_one_that_nobody_understands(hint: Any) -> None:
    job = WorkerJob((Path("a.wav"),), None, "base", hint)
    for message in (job.message(1, None), WorkerJob((), None, "base", hint).message(2, None)):
        sent = pickle.loads(pickle.dumps(message)).device_hint
        assert isinstance(sent, str)
        assert bad_hint(sent)


@pytest.mark.parametrize("name", [5, None, b"base", ["base"], object()], ids=lambda name: type(name).__name__)
def test_a_model_that_is_no_name_is_not_found(name: Any) -> None:
    with pytest.raises(ModelNotFound):
        ModelFinder(ModelStore(offline=True)).find(name)


def test_a_folder_may_be_given_as_a_path() -> None:
    transcriber = World().transcriber
    assert transcriber.model(Path("models/mine")) is transcriber.model("models/mine")
