"""`autorag-whisper bench` with the real engine."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.cli import run
from autorag_whisper.cli.context import CommandContext

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from autorag_whisper.settings import Settings
    from autorag_whisper.transcriber import Transcriber


def untuned(settings: Settings, environ: Mapping[str, str]) -> Transcriber:
    """The real transcriber; the allocator of the process that runs the tests stays as it is."""
    from autorag_whisper.bootstrap import build_transcriber

    return build_transcriber(settings, environ=environ)


@pytest.mark.slow
def test_the_figures_of_the_demo_sample_fit_each_other(demo_sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    context = CommandContext(environ=os.environ | {"AUTORAG_WHISPER_DEVICE": "cpu"}, build=untuned)
    assert run(["bench", "-m", "tiny.en", "--threads", "1", "--json", str(demo_sample)], context) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["audio_s"] == pytest.approx(11.8, abs=0.1)
    assert figures["x_real_time"] == pytest.approx(figures["audio_s"] / figures["wall_s"], rel=0.01)
    assert 0 < figures["first_segment_s"] <= figures["load_s"] + figures["wall_s"] + 0.01
    assert figures["load_s"] > 0
    assert 0 < figures["engine_share"] <= 1.001  # of one worker
    assert figures["cpu_s_per_audio_s"] > 0
    assert (figures["device"], figures["compute_type"], figures["workers"]) == ("cpu", "int8_float32", 1)
