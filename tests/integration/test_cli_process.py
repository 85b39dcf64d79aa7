"""The command as a process of its own: start-up time, pipes, terminals, signals, names that are no UTF-8.

The transcriber is the one of `cli_world`; the real one has its own tests.
"""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

TESTS = Path(__file__).resolve().parents[1]
COMMAND = Path(sys.executable).with_name("autorag-whisper")

# Files called hang.wav hold the run up until a signal comes: it is told on standard output when that is. They wait in
# small steps: a signal that comes just before a wait without end is handled when that has ended.
WORLD = """
import signal, sys, threading
from autorag_whisper import cli
from cli_world import World

def hold(name):
    if name == "hang.wav":
        print("hanging", flush=True)
        while True:
            threading.Event().wait(0.05)

signal.signal(signal.SIGTERM, cli._terminate)
sys.exit(World(before_file=hold).run(*sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the processes inherit."""
    for name, value in {"PYTHONPATH": str(TESTS), "TERM": "xterm", "COLUMNS": "100"}.items():
        monkeypatch.setenv(name, value)


def start(
    *arguments: str | Path,
    stdin: int | None = None,
    stdout: IO[bytes] | int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WORLD, *arguments], stdin=stdin, stdout=stdout, stderr=stderr)


def imported_by(program: str, *arguments: str) -> set[str]:
    """The modules that a Python program has at its end; it prints them behind all else on standard error."""
    told = f"import sys\n{program}\nprint('modules:', *sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", told, *arguments], check=True, capture_output=True)
    return set(done.stderr.decode().partition("modules:")[2].split())


@pytest.mark.parametrize("arguments", [["--help"], ["transcribe", "--help"], ["--version"]])
def test_help_imports_click_and_nothing_heavy(arguments: list[str]) -> None:
    """It is there within 0.2 s by that (dev/LOG.md); numpy alone would take as long, and how long a start takes is the
    machine's matter."""
    program = "from autorag_whisper.cli import run; run(sys.argv[1:])"
    found = imported_by(program, *arguments) - imported_by("")
    foreign = {name.partition(".")[0] for name in found} - sys.stdlib_module_names
    assert foreign == {"autorag_whisper", "click"}
    ours = {name for name in found if name.startswith("autorag_whisper.")}
    light = {"cli", "domain", "format", "lazy_names", "settings", "version"}
    assert not [name for name in ours if name.split(".")[1] not in light]
    assert len(found) < 150


def test_a_transcription_imports_no_service_and_no_library_that_only_others_need() -> None:
    """What the start of `transcribe` costs is what it imports. Engines, tokenizers and clients of the network come when
    they are used."""
    program = "import autorag_whisper.cli.transcribe, autorag_whisper.bootstrap, autorag_whisper.transcriber.run"
    found = imported_by(program) - imported_by("")
    foreign = {name.partition(".")[0] for name in found} - sys.stdlib_module_names
    needed = {"autorag_whisper", "av", "click", "numpy", "opentelemetry", "typing_extensions"}
    assert {name for name in foreign if "cython" not in name} <= needed
    assert not {"asyncio", "http", "ssl", "sqlite3", "unittest", "xml"} & found
    parts = {name.split(".")[1] for name in found if name.startswith("autorag_whisper.")}
    assert not parts & {"calibration", "jobs", "server", "testing", "worker"}


def test_the_command_searches_its_objects_for_cycles_neither_at_its_start_nor_at_its_end() -> None:
    program = """
import atexit, gc, sys
import autorag_whisper.cli
found = []
gc.callbacks.append(lambda phase, info: found.append(phase))
atexit.register(lambda: print("told:", len(found) // 2, gc.get_freeze_count(), file=sys.stderr))
autorag_whisper.cli.main()
"""
    command = [sys.executable, "-c", program, "transcribe", "--help"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    collections, frozen = map(int, done.stderr.partition("told:")[2].split())
    assert collections <= 1
    assert frozen > 5_000


def test_a_server_collects_cycles_as_often_as_python_does() -> None:
    """What closes with its object, such as a file of an upload, is not to wait for thousands of other objects."""
    program = """
import contextlib, gc, types
usual = gc.get_threshold()
import autorag_whisper.cli
from autorag_whisper.cli import serving
from autorag_whisper.server import running
nothing = types.SimpleNamespace(app=None, settings=None, about="")
serving.application = lambda *_: contextlib.nullcontext(nothing)
running.run = lambda *_: print("told:", gc.get_threshold() == usual)
autorag_whisper.cli.main()
"""
    command = [sys.executable, "-c", program, "serve"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "told: True"


def test_a_reader_that_has_enough_ends_the_command_without_a_word(tmp_path: Path) -> None:
    for n in range(3):
        (tmp_path / f"{n}.wav").write_text("word " * 40_000)  # more than a pipe holds
    with start(tmp_path, "--format", "txt", "-o", "-") as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(10)
        process.stdout.close()
        error = process.stderr.read()
        assert process.wait(timeout=240) == 1
    assert b"Traceback" not in error
    assert b"BrokenPipe" not in error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
def test_a_standard_output_that_takes_nothing_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("hello")
    with Path("/dev/full").open("wb") as full, start(tmp_path, "-o", "-", stdout=full) as process:
        assert process.stderr
        lines = process.stderr.read().decode().splitlines()
        assert process.wait(timeout=240) == 1
    assert lines == ["error: standard output cannot be written: no space left on device."]


def test_standard_input_comes_through_a_pipe_and_its_text_leaves_through_another() -> None:
    with start("-", "--format", "txt", stdin=subprocess.PIPE) as process:
        output, _ = process.communicate("gr\u00fc\u00dfe".encode(), timeout=240)
    assert (process.returncode, output.decode()) == (0, "gr\u00fc\u00dfe\n")


def test_a_closed_standard_input_is_a_failed_file() -> None:
    command = [sys.executable, "-c", WORLD, "-"]
    shell = ["sh", "-c", 'exec "$@" <&-', "sh", *command]
    done = subprocess.run(shell, capture_output=True, check=False)
    assert done.returncode == 1
    assert b"standard input: is closed" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize(
    "name", [b"latin1-\xe9.wav", b"new\nline.wav", b"-rf.wav", "\u05e9\u05dc\u05d5\u05dd.wav".encode()]
)
def test_any_name_that_a_file_can_have_is_taken_in_any_locale(
    name: bytes, locale: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / os.fsdecode(name)).write_text("hello")
    for variable, value in {"LC_ALL": locale, "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}.items():
        monkeypatch.setenv(variable, value)
    command = [sys.executable, "-c", WORLD, "--", name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (0, b"", 2), done.stderr
    assert name.replace(b".wav", b".srt") in [os.fsencode(path.name) for path in tmp_path.iterdir()]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_with_what_is_finished_written(number: signal.Signals, code: int, tmp_path: Path) -> None:
    for name in ("a.wav", "hang.wav", "z.wav"):
        (tmp_path / name).write_text("hello")
    with start(tmp_path) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == b"hanging\n"
        process.send_signal(number)
        error = process.stderr.read().decode()
        assert process.wait(timeout=240) == code
    assert "stopped with 2 of 3 files to do" in error
    assert "Traceback" not in error
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"a.wav", "hang.wav", "z.wav", "a.srt", "a.json", ".autorag-whisper.json"}


def read_all(descriptor: int) -> bytes:
    data = b""
    while True:
        try:
            block = os.read(descriptor, 65536)
        except OSError:  # Linux' way to say that the other end of a terminal was closed
            return data
        if not block:
            return data
        data += block


def test_a_terminal_gets_a_bar_above_which_every_file_leaves_its_line(tmp_path: Path) -> None:
    (tmp_path / "[bold]talk.wav").write_text("hello")
    (tmp_path / "other.wav").write_text("hello")
    ours, theirs = pty.openpty()
    with start(tmp_path, stderr=theirs) as process:
        os.close(theirs)
        screen = read_all(ours).decode()
        assert process.wait(timeout=240) == 0
    os.close(ours)
    assert "2/2 files" in screen
    assert "real time" in screen
    assert "[bold]talk.wav (0:01, English) -> [bold]talk.srt, [bold]talk.json" in screen


def test_what_is_no_terminal_gets_plain_lines(tmp_path: Path) -> None:
    (tmp_path / "talk.wav").write_text("hello")
    with start(tmp_path) as process:
        output, error = process.communicate(timeout=240)
    assert output == b""
    assert b"\x1b" not in error
    assert error.decode().splitlines()[0] == f"[1/1] {tmp_path / 'talk.wav'} (0:01, English) -> talk.srt, talk.json"


def test_verbose_lines_carry_the_time(tmp_path: Path) -> None:
    (tmp_path / "talk.wav").write_text("hello")
    with start("-v", tmp_path / "talk.wav") as process:
        _, error = process.communicate(timeout=240)
    logged = [line for line in error.decode().splitlines() if " DEBUG: " in line or " INFO: " in line]
    assert logged
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ", line) for line in logged)


def test_text_that_is_printed_to_a_terminal_shares_it_with_no_bar(tmp_path: Path) -> None:
    (tmp_path / "talk.wav").write_text("hello there")
    ours, theirs = pty.openpty()
    with start(tmp_path / "talk.wav", "-f", "txt", "-o", "-", stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        screen = read_all(ours).decode()
        assert process.wait(timeout=240) == 0
    os.close(ours)
    assert screen.startswith("hello there\r\n")
    assert "\x1b" not in screen


LOST = """
import os, sys, threading

import click

from autorag_whisper import cli


class Last:
    def __del__(self):
        os.kill(os.getpid(), int(sys.argv[1]))
        for _ in range(1000):
            pass


def work(*_, **__):
    try:
        Last()
        threading.Event().wait(60)
    except KeyboardInterrupt:
        raise click.Abort from None


cli.cli.main = work
cli.main()
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_that_comes_where_no_exception_goes_on_ends_the_command_all_the_same(number: int, code: int) -> None:
    # One of a hundred that came while `serve` was put together was lost, in a callback of a library.
    ended = subprocess.run(
        [sys.executable, "-c", LOST, str(int(number))], capture_output=True, text=True, timeout=240, check=False
    )
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
