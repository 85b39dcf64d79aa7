"""Whatever is run, edited, deleted and put there in whatever order: no byte that the command did not write is lost.

On a real file system, through the command itself; only the recogniser is a fake.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.archive.manifest import MANIFEST
from autorag_whisper.cli.exits import KEPT
from cli_world import World
from examples import examples

RECORDINGS = ("mon/rec1.wav", "tue/rec1.wav", "tue/rec1.mp3", "mon/x/rec1.wav")
PLACES = st.tuples(
    st.sampled_from(["mon", "tue", "out"]),
    st.sampled_from(["rec1", "rec1", "rec1.2", "rec1~tue", "rec1.new", "rec1.de"]),
    st.sampled_from([".txt", ".tsv"]),
)


@dataclass(frozen=True)
class Run:
    """One command: what it names, where to, with which options."""

    what: str
    output_dir: str | None
    formats: str
    options: tuple[str, ...]
    force: bool
    version: str
    meanwhile: str | None  # the ending of an output that somebody writes while the first recording is worked on


RUNS = st.builds(
    Run,
    what=st.sampled_from(["mon", "tue", "mon/rec1.wav", "tue/rec1.wav"]),
    output_dir=st.sampled_from([None, "out"]),
    formats=st.sampled_from(["txt", "tsv", "txt,tsv"]),
    options=st.lists(
        st.sampled_from([
            ("--beam-size", "1"), ("--audio-stream", "1"), ("--device", "cpu"), ("--name-with", "language"),
            ("--name-with", "stream"), ("--language", "de"),
        ]), max_size=2, unique_by=lambda option: option[0],
    ).map(lambda options: tuple(itertools.chain(*options))),
    force=st.sampled_from([False, False, True]),
    version=st.sampled_from(["0.1.0", "0.2.0"]),
    meanwhile=st.sampled_from([None, None, ".txt", ".tsv"]),
)  # fmt: skip
STEPS = st.lists(
    RUNS
    | RUNS
    | st.tuples(st.just("write"), PLACES)
    | st.tuples(st.just("edit"), st.integers(0, 5))
    | st.tuples(st.just("delete"), st.integers(0, 5))
    | st.tuples(st.just("record anew"), st.sampled_from(RECORDINGS))
    | st.tuples(st.just("spoil the manifest"), st.sampled_from(["mon", "tue", "out"])),
    min_size=4,
    max_size=12,
)


@dataclass
class Disk:
    """The files of a test; `precious` are those that the command did not write: path -> content."""

    top: Path
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    precious: dict[Path, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.precious[path] = f"precious {next(self.numbers)}"
        path.write_text(self.precious[path])

    def record(self, name: str) -> None:
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"said {next(self.numbers)}")

    @property
    def texts(self) -> dict[Path, str]:
        return {path: path.read_text() for path in self.top.rglob("*") if path.is_file() and path.name != MANIFEST}

    def outputs(self) -> list[Path]:
        return sorted(path for path in self.texts if path.suffix in (".txt", ".tsv"))


def words_of(text: str) -> str:
    """What was said in a recording, of an output's text."""
    return " ".join(text.split()[:2])


def run(disk: Disk, command: Run) -> tuple[int, str, World]:
    """Exit code, what was said, and the world it ran in."""
    world = World(hear=lambda text, options: f"{text} {options.beam_size} {options.audio_stream} {options.language}")
    waiting = [command.meanwhile] if command.meanwhile else []

    def before_file(_name: str) -> None:
        if waiting:
            folder = command.output_dir or command.what.partition("/")[0]
            disk.write(disk.top / folder / f"rec1{waiting.pop()}")

    world.before_file = before_file
    arguments: list[str | Path] = [disk.top / command.what, "-f", command.formats, *command.options]
    arguments += ["-o", disk.top / command.output_dir] if command.output_dir else []
    arguments += ["--force"] if command.force else []
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said):
        patch.setattr("autorag_whisper.__version__", command.version)
        code = world.run(*arguments)
    return code, said.getvalue(), world


def check(disk: Disk, command: Run, before: dict[Path, str]) -> None:
    code, said, world = run(disk, command)
    after, theirs = disk.texts, set(disk.precious)
    assert code in (0, KEPT), said
    for path, text in disk.precious.items():
        if command.force:
            assert text in after.values(), f"{path} is lost"
        else:
            assert after.get(path) == text, f"{path} was written over"
    replaced = [path for path, text in disk.precious.items() if after.get(path) != text]
    # Everything that was decided about somebody's file is told.
    assert all(f"the former {path.name} is now" in said for path in replaced), said
    assert (code == KEPT) == ("  " in said and "kept, as" in said), said
    for path in replaced:
        del disk.precious[path]
    disk.precious |= {path: text for path, text in after.items() if text.startswith("precious")}
    # No recording was touched, and what was made of one does not give way to what was made of another.
    recordings = [disk.top / name for name in RECORDINGS]
    assert all(after[path] == before[path] for path in recordings)
    for path, text in before.items():
        if path not in recordings and text.startswith("said") and path not in theirs:
            gave_way = words_of(after[path]) != words_of(text) and words_of(text) in map(before.get, recordings)
            # Where the manifest was spoiled it looks like anybody's: --force replaces it, with a copy.
            assert not gave_way or (command.force and text in after.values()), path
    if code == 0 and not command.meanwhile:
        for name in world.transcribed:
            folders = [path for path in recordings if path.name == name]
            texts = [text for path, text in after.items() if path not in recordings]
            assert any(before[path] in text for path in folders for text in texts), name


@examples(200)
@given(STEPS)
def test_no_byte_that_the_command_did_not_write_is_ever_lost(steps: list[object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        disk = Disk(Path(folder))
        for name in RECORDINGS:
            disk.record(name)
        for step in steps:
            match step:
                case Run():
                    check(disk, step, disk.texts)
                case ("write", (place, base, suffix)):
                    disk.write(disk.top / place / f"{base}{suffix}")
                case ("edit", int(number)) if outputs := disk.outputs():
                    disk.write(outputs[number % len(outputs)])
                case ("delete", int(number)) if outputs := disk.outputs():
                    outputs[number % len(outputs)].unlink()
                    disk.precious.pop(outputs[number % len(outputs)], None)
                case ("record anew", str(name)):
                    disk.record(name)
                case ("spoil the manifest", str(name)) if (disk.top / name / MANIFEST).exists():
                    (disk.top / name / MANIFEST).write_text('{"version": 1, "fil')
