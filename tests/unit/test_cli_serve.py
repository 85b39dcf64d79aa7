"""`autorag-whisper serve`: what is wrong with its command line is told before anything is begun."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autorag_whisper.cli import run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("given", "told"),
    [(["--watch", "in"], "--data"), (["--output-dir", "out", "--data", "jobs"], "--watch")],
    ids=["a watched folder without jobs", "an output folder without a watched one"],
)
def test_options_that_need_another_one_say_so(
    given: list[str], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["serve", *given]) == 2
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
