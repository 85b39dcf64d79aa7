"""What nobody expects of an engine is a fault of ours wherever it is told: not tried again, and nothing of it shown."""

from __future__ import annotations

import json

from autorag_whisper.archive.sharded.records import record_of
from autorag_whisper.archive.sharded.rows import Row
from autorag_whisper.domain.errors import EngineError
from autorag_whisper.domain.faults import engine_error
from autorag_whisper.jobs.failures import judged
from autorag_whisper.jobs.job import Job, JobRequest, JobState
from autorag_whisper.server.errors import answer_to

FAULT = engine_error("recognition", IndexError("/srv/ann/secret\nand more"))
KNOWN = EngineError("ctranslate2", "generate", "it declined")


def test_a_client_is_told_that_it_is_ours_and_need_not_try_again() -> None:
    assert (answer_to(FAULT).status, answer_to(FAULT).code) == (500, "internal_error")
    assert "secret" not in answer_to(FAULT).message
    assert (answer_to(KNOWN).status, answer_to(KNOWN).code) == (503, "unavailable")


def test_a_durable_job_fails_at_once_and_is_no_five_times_a_load_of_the_model() -> None:
    job = Job("0" * 32, JobRequest("/in/talk.mp3", "talk.mp3"), JobState.RUNNING, 0.0)
    found = judged(job, FAULT)
    assert (found.wait_s, found.crashed, json.loads(found.told)["code"]) == (None, False, "internal_error")
    assert "secret" not in found.told
    assert judged(job, KNOWN).wait_s is not None


def test_an_archives_row_has_its_type_and_the_first_line_of_its_text() -> None:
    error = record_of(Row("one", "/in/talk.mp3"), 1, FAULT)["error"]
    assert error["type"] == "EngineError"
    assert "IndexError: /srv/ann/secret" in error["message"]
    assert "and more" not in error["message"]
    assert error["may_succeed_later"], "`archive retry` has it: another version may do it"
