"""`autorag-whisper jobs` against a live server over fakes, as a new user would type it."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import uvicorn

from autorag_whisper.cli import run, server_client
from autorag_whisper.cli.context import CommandContext
from autorag_whisper.jobs.memory import MemoryJobStore
from autorag_whisper.jobs.runner import JobRunner
from autorag_whisper.server import keys
from autorag_whisper.server.app import Engine, create_app
from autorag_whisper.server.jobs import Jobs, JobSettings
from autorag_whisper.server.settings import ServerSettings
from autorag_whisper.testing import speech_samples, write_speech
from http_world import Gate, held_world, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from autorag_whisper.jobs.store import JobStore

KEY = "the-key-of-ann"


class Shell:
    """A terminal of somebody who has the server's address and key in the environment."""

    def __init__(self, port: int, capsys: pytest.CaptureFixture[str], gate: Gate, runner: JobRunner) -> None:
        self.url, self.gate, self.runner, self._capsys = f"http://127.0.0.1:{port}", gate, runner, capsys
        self.store: JobStore = runner._store
        self.environ = {"AUTORAG_WHISPER_SERVER": self.url, "AUTORAG_WHISPER_API_KEY": KEY}

    def types(self, *arguments: object, code: int = 0) -> str:
        """What a command prints; its exit code is as told."""
        self._capsys.readouterr()
        found = run(["jobs", *map(str, arguments)], CommandContext(environ=self.environ))
        said = self._capsys.readouterr()
        assert found == code, said
        self.errors = said.err
        return said.out

    def state(self, job: str) -> str:
        found = self.store.get(job)
        assert found is not None
        return found.state.value


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    gate = Gate()
    gate.let.set()
    store = MemoryJobStore()
    with (
        held_world(gate) as world,
        closing(JobRunner(store, world.transcriber, tmp_path / "data", time.time, 1)) as runner,
    ):
        durable = Jobs(store, runner, time.time, JobSettings(roots=(tmp_path,), tells=True))
        settings = ServerSettings(key_digests=(keys.digest(KEY),))
        app = create_app(Engine(world.transcriber, lambda: ["base"], time.monotonic), settings, durable)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            thread = threading.Thread(target=server.run, args=([listening],))
            thread.start()
            until(lambda: server.started)
            yield Shell(listening.getsockname()[1], capsys, gate, runner)
            gate.let.set()
            server.should_exit = True
            thread.join()


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    return write_speech(tmp_path / "talk.wav", speech_samples(5))


def test_a_file_is_added_watched_shown_and_its_result_written(shell: Shell, talk: Path, tmp_path: Path) -> None:
    job = shell.types("add", talk, "--language", "en", "--option", "quality=fast", "--priority", 3).strip()
    assert shell.types("watch", job).startswith("[0:0")
    assert "one two three four five" in shell.types("watch", job)
    shown = shell.types("show", job)
    assert "done" in shown
    assert "talk.wav" in shown
    told = json.loads(shell.types("show", job, "--json"))
    assert (told["state"], told["priority"]) == ("done", 3)
    kept = shell.store.get(job)
    assert kept is not None
    assert kept.request.options["quality"] == "fast"
    assert shell.types("list").split()[:2] == [job, "done"]
    assert json.loads(shell.types("list", "--json", "--state", "done"))["id"] == job
    assert shell.types("list", "--state", "failed") == ""
    assert shell.types("export", job, "-f", "txt") == "one two three four five\n"
    shell.types("export", job, "-f", "words", "-o", tmp_path / "out")
    assert json.loads((tmp_path / "out/talk.words.json").read_text())[0]["w"] == "one"
    shell.types("export", job, "-f", "words", "-o", tmp_path / "out", code=1)
    assert "kept" in shell.errors
    shell.types("export", "--all", "-f", "words", "-o", tmp_path / "out", "--force")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["talk.words.json"]
    assert shell.types("prune", "--older-than", "1h") == "0 jobs forgotten\n"
    assert shell.types("prune", "--older-than", "0s") == "1 job forgotten\n"
    shell.types("show", job, code=1)
    assert job in shell.errors


def test_a_result_whose_name_takes_many_bytes_is_written(shell: Shell, talk: Path, tmp_path: Path) -> None:
    # 82 characters of Japanese are 246 bytes: a file's name, but none with a temporary one's ending behind it.
    named = talk.rename(tmp_path / ("\u8b1b" * 82 + ".wav"))
    job = shell.types("add", named, "--language", "en", "--wait") and shell.errors.strip()
    again = shell.types("add", named, "--language", "en", "--wait") and shell.errors.strip()
    shell.types("export", job, "-f", "words", "-o", tmp_path / "one")
    shell.types("export", job, again, "-f", "words", "-o", tmp_path / "two")
    assert [path.name[:60] for path in (tmp_path / "one").iterdir()] == ["\u8b1b" * 60]
    assert len(list((tmp_path / "two").iterdir())) == 2


def test_a_list_goes_on_where_the_job_at_a_pages_end_is_forgotten(
    shell: Shell, talk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_client, "_MOST_LISTED", 2)
    ids = [shell.types("add", talk, "--language", "en").strip() for _ in range(5)]
    until(lambda: all(shell.state(job) == "done" for job in ids))
    with server_client.JobsClient(shell.url, KEY) as client:
        listed = client.listed()
        seen = [next(listed)["id"], next(listed)["id"]]
        assert shell.store.library.forget(seen[1]) is not None
        seen += [job["id"] for job in listed]
    assert seen == ids[::-1]


def test_several_files_are_added_and_waited_for_at_once(shell: Shell, talk: Path, tmp_path: Path) -> None:
    other = write_speech(tmp_path / "other.wav", speech_samples(2))
    text = shell.types("add", talk, other, "--language", "en", "--wait")
    assert "one two three four five" in text
    assert text.count("[") == 2
    ids = shell.errors.split()
    assert len(ids) == 2
    shell.types("export", "--all", "-o", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["other.srt", "talk.srt"]


def test_a_file_of_the_server_is_named_by_its_path(shell: Shell, talk: Path) -> None:
    job = shell.types("add", "--on-server", talk, "-l", "en", "--option", "clips=[[0, 2]]").strip()
    shell.types("watch", job)
    assert talk.exists()
    shell.types("add", "--on-server", "/etc/passwd", code=1)
    assert "no file that this server may read" in shell.errors


def test_a_job_is_stopped_and_tried_again(shell: Shell, talk: Path) -> None:
    shell.gate.let.clear()
    job = shell.types("add", talk, "-l", "en", "--key", "k1").strip()
    assert shell.types("add", talk, "-l", "en", "--key", "k1").strip() == job
    waiting = shell.types("add", talk).strip()
    until(lambda: shell.runner.in_work == 1)
    assert "0 before it" in shell.types("show", waiting)
    assert "cancelled" in shell.types("cancel", waiting)
    shell.types("cancel", job)
    shell.gate.let.set()
    shell.types("watch", job, code=4)
    assert "cancelled" in shell.errors
    assert shell.types("retry", job).split()[0] == job
    shell.types("watch", job)
    assert shell.state(job) == "done"


def test_a_job_that_fails_and_a_server_that_says_no_or_is_not_there_have_their_exit_codes(
    shell: Shell, talk: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp3"
    broken.write_bytes(b"no media")
    shell.types("add", broken, "--wait", code=1)
    assert "broken.mp3" in shell.errors
    shell.types("show", "../../etc/passwd", code=1)
    assert "There is" in shell.errors
    shell.types("add", talk, "--option", "quality=worst", code=1)
    assert "quality" in shell.errors
    shell.types("add", tmp_path / "none.mp3", code=2)
    shell.types("add", talk, "--option", "quality", code=2)
    shell.types("add", talk, broken, "--key", "k", code=2)
    shell.types("export", code=2)
    shell.types("export", "a", "b", code=2)
    shell.types("export", "a", "-f", "docx", code=2)
    shell.types("prune", "--older-than", "soon", code=2)
    shell.types("nothing", code=2)
    shell.environ["AUTORAG_WHISPER_API_KEY"] = "wrong"
    shell.types("list", code=1)
    assert "AUTORAG_WHISPER_API_KEY" in shell.errors
    shell.types("--server", "http://127.0.0.1:9", "list", code=1)
    assert "127.0.0.1:9" in shell.errors
    shell.types("--server", "no address", "list", code=1)
    shell.types("--server", "http://[", "list", code=1)


def test_what_a_webhook_came_to_is_shown(shell: Shell, talk: Path) -> None:
    job = shell.types("add", talk, "--webhook", "https://host.example/hook", "--wait")
    assert job
    [job] = shell.errors.split()
    assert "not told yet" in shell.types("show", job)


def test_help_names_every_command_and_every_exit_code(shell: Shell) -> None:
    text = shell.types("--help")
    for name in ("add", "list", "show", "watch", "cancel", "retry", "export", "prune"):
        assert f"  {name} " in text
        assert "Usage" in shell.types(name, "--help")
    assert "AUTORAG_WHISPER_API_KEY" in text
    assert "Exit codes" in text
