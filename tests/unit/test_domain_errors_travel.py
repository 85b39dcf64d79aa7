"""Errors cross a process boundary with all of their fields, those that are given by name alone too."""

from __future__ import annotations

import pickle

from autorag_whisper.domain.errors import InvalidOption, ModelUnavailable
from autorag_whisper.domain.faults import engine_error


def test_an_error_is_the_same_behind_a_process_boundary() -> None:
    for error in (
        ModelUnavailable("small", "no network", install="pip install x"),
        InvalidOption("beam", 0, "1 or more"),
        engine_error("recognition", IndexError("no\nsuch")),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
