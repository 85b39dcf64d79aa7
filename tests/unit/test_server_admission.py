"""Slots of the service: in all, and of each client."""

from __future__ import annotations

import pytest

from autorag_whisper.server.admission import Admission
from autorag_whisper.server.settings import ServerSettings


def test_a_client_has_its_own_quota_and_all_together_have_a_limit() -> None:
    admission = Admission(3, 2, lambda: 0.0)
    with admission.slot("a"), admission.slot("a"):
        over = admission.refusal("a")
        assert over is not None
        assert (over.status, over.kind, over.code) == (429, "rate_limit_error", "rate_limit_exceeded")
        assert admission.refusal("b") is None
        with admission.slot("b"):
            full = admission.refusal("c")
            assert full is not None
            assert (full.status, full.code) == (503, "overloaded")
            assert int(full.headers["Retry-After"]) >= 1
            assert len(admission) == 3
    assert len(admission) == 0
    assert admission.refusal("a") is None


def test_where_the_quota_is_all_there_is_only_the_limit() -> None:
    """One client alone that fills the server is told that it is full, not that it took too much."""
    admission = Admission(1, 1, lambda: 0.0)
    with admission.slot("a"):
        full = admission.refusal("a")
    assert full is not None
    assert full.status == 503


def test_a_slot_is_given_back_however_a_request_ends() -> None:
    admission = Admission(1, 1, lambda: 0.0)
    with pytest.raises(ZeroDivisionError), admission.slot("a"):
        _ = 1 / 0
    assert len(admission) == 0


def test_the_wait_that_is_told_is_as_long_as_requests_take_and_a_minute_at_most() -> None:
    now = [0.0]
    admission = Admission(1, 1, lambda: now[0])
    assert admission.retry_after_s() == 10  # nothing is known yet
    with admission.slot("a"):
        now[0] += 2.4
    assert admission.retry_after_s() == 3
    for _ in range(60):
        with admission.slot("a"):
            now[0] += 3600.0
    assert admission.retry_after_s() == 60


def test_one_key_of_several_has_half_of_the_slots_unless_it_is_said() -> None:
    digest, other = "0" * 64, "1" * 64
    assert ServerSettings(waiting=9).quota == 9
    assert ServerSettings(waiting=9, key_digests=(digest,)).quota == 9
    assert ServerSettings(waiting=9, key_digests=(digest, other)).quota == 4
    assert ServerSettings(waiting=1, key_digests=(digest, other)).quota == 1
    assert ServerSettings(waiting=9, key_digests=(digest, other), per_client=7).quota == 7
