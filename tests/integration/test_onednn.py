"""What oneDNN is told by its environment variables: ours unless the user has set one."""

from __future__ import annotations

import os

import pytest

from autorag_whisper.engines.onednn import keep_no_primitives

NAMES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "DNNL_PRIMITIVE_CACHE_CAPACITY")


def told(monkeypatch: pytest.MonkeyPatch, **users: str) -> dict[str, str]:
    """The two variables after our call, with what the user had set."""
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that it is as before when the test is over
        monkeypatch.delenv(name)
    for name, value in users.items():
        monkeypatch.setenv(name, value)
    keep_no_primitives()
    return {name: os.environ[name] for name in NAMES if name in os.environ}


def test_nothing_is_kept_where_the_user_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch) == {NAMES[0]: "0"}


@pytest.mark.parametrize("name", NAMES)
def test_a_user_who_wants_a_cache_has_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert told(monkeypatch, **{name: "64"}) == {name: "64"}
