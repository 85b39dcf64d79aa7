"""What `autorag_whisper.gpu` offers to a host that computes on the same card as its transcribers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.bootstrap import build_arbiters
from autorag_whisper.domain.errors import GpuBusy, InvalidOption
from autorag_whisper.gpu import HostModel, LeaseRequest, LlmTenant, Tenant, card_arbiter
from autorag_whisper.gpu.card_memory import CardReader
from autorag_whisper.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes take turns on Linux alone")
SOON = LeaseRequest(timeout_s=60.0)


class Model:
    """A host's own: in memory or not, and how often it was moved."""

    def __init__(self) -> None:
        self.loaded, self.moves = True, list[str]()

    def load(self) -> None:
        if not self.loaded:
            self.moves.append("back")
        self.loaded = True

    def unload(self) -> None:
        self.loaded = False
        self.moves.append("leave")

    def tenant(self) -> LlmTenant:
        return LlmTenant(HostModel("mine", leave=self.unload, back=self.load, is_loaded=lambda: self.loaded))


def test_a_host_and_a_transcriber_of_the_same_settings_take_turns(tmp_path: Path) -> None:
    environ = {"AUTORAG_WHISPER_GPU_DIR": str(tmp_path)}
    model = Model()
    llm, arbiter = model.tenant(), card_arbiter(1, environ=environ)
    arbiter.register(llm.tenant())
    make = build_arbiters(
        Settings.from_env(environ), environ, [lambda _index: Tenant("whisper")], CardReader(environ, lambda: None)
    )
    assert make is not None
    transcribers, others = make(1), make(0)
    with llm.lease(arbiter, SOON) as lease:
        assert lease.on_card
        assert model.loaded
        with pytest.raises(GpuBusy, match="llm"), transcribers.lease("whisper", LeaseRequest(timeout_s=0.0)):
            pass
        with others.lease("whisper", SOON) as other_card:
            assert other_card.on_card
    with transcribers.lease("whisper", SOON):
        assert not model.loaded
    with llm.lease(arbiter, SOON):
        assert model.loaded
    assert model.moves == ["leave", "back"]
    for one in (arbiter, transcribers, others):
        one.close()


def test_a_model_that_fails_to_leave_keeps_its_memory_and_the_card_is_still_given(tmp_path: Path) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    arbiter = card_arbiter(environ={"AUTORAG_WHISPER_GPU_DIR": str(tmp_path)})
    arbiter.register(LlmTenant(HostModel("mine", leave=fail, is_loaded=lambda: True)).tenant())
    arbiter.register(Tenant("whisper"))
    with arbiter.lease("whisper", SOON) as lease:
        assert lease.on_card
    arbiter.close()


@pytest.mark.parametrize("setting", ["off", "process"])
def test_where_transcribers_take_no_turns_with_other_processes_a_host_is_told_so(tmp_path: Path, setting: str) -> None:
    environ = {"AUTORAG_WHISPER_ARBITER": setting, "AUTORAG_WHISPER_GPU_DIR": str(tmp_path)}
    with pytest.raises(InvalidOption, match="AUTORAG_WHISPER_ARBITER"):
        card_arbiter(environ=environ)
