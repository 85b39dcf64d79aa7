"""Hundreds of jobs on one native engine, in this process: memory stays where it was after the first of them."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.domain.errors import Cancelled
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.settings import Settings
from autorag_whisper.transcriber import CancelToken
from native_folders import LARGEST

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("native_library")]
JOBS, SETTLED, MOST_MB = 300, 60, 12.0
SHORT = TranscribeOptions(language="en", clips=((0.0, 3.0),))


def resident_mb() -> float:
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("model", ["tiny.en", pytest.param("base", marks=LARGEST)])
def test_three_hundred_jobs_some_of_them_cancelled_leave_memory_flat(
    demo_sample: Path, model: str, record_property: Callable[[str, object], None]
) -> None:
    settings = Settings.from_env(os.environ | {"AUTORAG_WHISPER_ENGINE": "native"})  # noqa: TID251 - the tests' cache
    texts, settled = set(), 0.0
    with build_transcriber(settings) as transcriber:
        for job in range(JOBS):
            if job == SETTLED:
                settled = resident_mb()
            if job % 10 == 9:
                token = CancelToken()
                with pytest.raises(Cancelled):
                    transcriber.transcribe(
                        demo_sample, SHORT, model=model, cancel=token, on_progress=lambda _, t=token: t.cancel()
                    )
            else:
                texts.add(transcriber.transcribe(demo_sample, SHORT, model=model).text)
        grown = resident_mb() - settled
    record_property("grown_mb", grown)
    assert len(texts) == 1
    assert grown < MOST_MB
