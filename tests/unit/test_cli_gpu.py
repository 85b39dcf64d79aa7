"""`autorag-whisper gpu status`: who shares the card, for people and for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.cli import run
from autorag_whisper.cli.context import CommandContext
from autorag_whisper.gpu.arbiter.lease import LeaseRequest, Released, Tenant
from autorag_whisper.gpu.arbiter.processes import ProcessArbiter
from autorag_whisper.gpu.card_memory import CardMemory, CardReader

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


@pytest.fixture
def context(tmp_path: Path) -> CommandContext:
    return CommandContext({"AUTORAG_WHISPER_GPU_DIR": str(tmp_path)})


def test_a_card_that_nobody_has_used_says_so_and_nothing_is_made(
    context: CommandContext, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["gpu", "status"], context) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["holder:    nobody", "waiting:   nobody", "reserved:  0 MiB"]
    assert list(tmp_path.iterdir()) == []


def test_holder_waiters_and_what_is_kept_are_shown(
    context: CommandContext, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arbiter = ProcessArbiter(tmp_path / "gpu0")
    arbiter.register(Tenant("whisper", lambda _wanted: Released(100 * MIB), lambda: 300 * MIB))
    arbiter.register(Tenant("llm"))
    with arbiter.lease("whisper", LeaseRequest(300 * MIB)):
        pass
    with arbiter.lease("llm", LeaseRequest(50 * MIB)) as lease:
        number, ticket = arbiter.directory.draw(
            {"tenant": "whisper", "owner": "9-1", "deadline_s": 1e12, "needs_bytes": MIB}
        )
        assert run(["gpu", "status", "--json"], context) == 0
        found = json.loads(capsys.readouterr().out)
        assert run(["gpu", "status"], context) == 0
        text = capsys.readouterr().out
        ticket.close()
    arbiter.close()
    assert (found["holder"]["tenant"], found["holder"]["epoch"]) == ("llm", lease.epoch)
    assert [(one["tenant"], one["number"], one["needs_bytes"]) for one in found["waiting"]] == [
        ("whisper", number, MIB)
    ]
    assert [(one["tenant"], one["held_bytes"]) for one in found["kept"]] == [("whisper", 100 * MIB)]
    assert found["reserved_bytes"] == 150 * MIB
    assert "holder:    llm" in text
    assert "waiting:   whisper (process 9-1)" in text
    assert "on card:   whisper" in text


def test_a_folder_that_others_could_write_to_is_bad_usage(
    context: CommandContext, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gpu0").mkdir(mode=0o755)
    (tmp_path / "gpu0").chmod(0o755)
    assert run(["gpu", "status"], context) != 0
    assert "AUTORAG_WHISPER_GPU_DIR" in capsys.readouterr().err


class Nvml:
    """NVIDIA's management library of two cards."""

    NVMLError = type("NVMLError", (Exception,), {})

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if index > 1:
            raise self.NVMLError
        return index

    def nvmlDeviceGetHandleByUUID(self, name: str) -> int:
        return {"GPU-b": 1}[name] if name == "GPU-b" else self.nvmlDeviceGetHandleByIndex(9)

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> CardMemory:
        found = CardMemory(total_bytes=1000, free_bytes=100 + handle)
        return type("Info", (), {"total": found.total_bytes, "free": found.free_bytes})()  # type: ignore[return-value]  # its two fields


@pytest.mark.parametrize(
    ("visible", "index", "free"),
    [("", 0, 100), ("", 1, 101), ("", 2, None), ("1,0", 0, 101), ("GPU-b", 0, 101), ("GPU-x", 0, None), ("1", 1, None)],
)
def test_cudas_number_of_a_card_is_not_its_drivers(visible: str, index: int, free: int | None) -> None:
    assert CardReader({"CUDA_VISIBLE_DEVICES": visible}, Nvml).free_bytes(index) == free


def test_without_the_library_nothing_is_known() -> None:
    assert CardReader({}, lambda: None).memory(0) is None


@pytest.mark.parametrize("arbiter", ["off", "process"])
def test_where_processes_take_no_turns_nobody_is_not_said_without_a_warning(
    context: CommandContext, capsys: pytest.CaptureFixture[str], arbiter: str
) -> None:
    """ "holder: nobody" was said of a card that processes used without asking."""
    assert run(["gpu", "status"], context) == 0
    assert "beware" not in capsys.readouterr().out
    assert run(["gpu", "status"], CommandContext({**context.environ, "AUTORAG_WHISPER_ARBITER": arbiter})) == 0
    assert f"beware:    with AUTORAG_WHISPER_ARBITER={arbiter} processes do not take turns" in capsys.readouterr().out
