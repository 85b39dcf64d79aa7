"""Merged results: each recording has its files whatever it is called, and a merge is there whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autorag_whisper.archive.sharded import merging
from autorag_whisper.archive.sharded.merging import MergeRequest, merge
from autorag_whisper.archive.sharded.plan_file import PlanFile, write_plan
from autorag_whisper.archive.sharded.records import record_of
from autorag_whisper.archive.sharded.results import Results, RunFacts
from autorag_whisper.archive.sharded.rows import Head, Row, dumps
from autorag_whisper.domain.archive_errors import MergeTargetExists, OutputFolderUnwritable
from cli_world import transcript_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LONG = "я" * 124  # 248 bytes of the 255 that a name may have
TEXTS = MergeRequest(("txt", "words"))


def done(folder: Path, places: Sequence[str], ids: Sequence[str] = ()) -> tuple[PlanFile, Results]:
    """A plan of recordings at `places`, whose texts are their numbers, and its results."""
    rows = [Row(who, uri) for who, uri in zip(ids or map(str, range(len(places))), places, strict=True)]
    write_plan(folder / "plan.jsonl", Head("ab", 1, len(rows)), ((0, dumps(row.facts())) for row in rows))
    results = Results.begin(folder / "out", RunFacts("ab", "base", "0123456789abcdef", {}))
    results.add(0, [record_of(row, 1, transcript_of(row.name, f"number {n}")) for n, row in enumerate(rows)])
    return PlanFile(folder / "plan.jsonl"), results


@pytest.fixture
def small(tmp_path: Path) -> tuple[PlanFile, Results]:
    return done(tmp_path, ["/talks/a.wav", "/talks/b.wav"])


NAMES = st.one_of(
    st.sampled_from(["talk", "talk.wav", "talk.mp3", "talk.wav.txt", "talk.txt", ".", "..", "..mp3", "...mp3", ".mp3",
                     "", f"{LONG}.wav", f"{LONG}.mp3", "x" * 400, "Grüße [1].wav", "a\\b.wav", "a?b*.wav", "a\rb.wav"]),
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="/\0\n"), min_size=1, max_size=6),
)  # fmt: skip
KEYS = st.lists(
    st.lists(NAMES, min_size=1, max_size=3).map("/".join).map("s3://bucket/".__add__), min_size=1, max_size=8
)


@given(KEYS)
@example(["s3://bucket/talk.wav", "s3://bucket/talk.txt/x.wav"])
@example(["s3://bucket/a/x.wav", "s3://bucket/a//x.wav", "s3://bucket/a/./x.wav"])
@example([f"s3://bucket/{LONG}.wav", f"s3://bucket/{LONG}.mp3"])
@example([f"s3://bucket/{'d' * 300}/x.wav", f"s3://bucket/{'d' * 300}e/x.wav"])
@example(["s3://bucket/" + "d/" * 1500 + "x.wav"])
@settings(max_examples=30)
def test_whatever_recordings_are_called_each_has_its_own_files(places: list[str]) -> None:
    # One name that no file can have ended the merge of all others.
    with TemporaryDirectory() as name:
        plan, results = done(
            Path(name), places, [f"i/{n}" for n in range(len(places))]
        )  # ids that are no names of files
        merged = merge(plan, results, Path(name) / "m", TEXTS)
        assert merged.done == len(places)
        made = [path for path in (Path(name) / "m/texts").rglob("*") if path.is_file()]
        texts = Counter(path.read_text().strip() for path in made if path.name.endswith(".txt"))
        assert texts == {f"number {n}": 1 for n in range(len(places))}
        assert len(made) == 2 * len(places)


def test_names_are_those_of_the_tree_where_they_can_be(tmp_path: Path) -> None:
    plan, results = done(tmp_path, ["/t/a/talk.wav", "/t/b/talk.wav", "/t/b/talk.mp3", "/t/..mp3"])
    merge(plan, results, tmp_path / "m", MergeRequest(("txt",)))
    found = {str(path.relative_to(tmp_path / "m/texts")) for path in (tmp_path / "m/texts").rglob("*.txt")}
    assert found == {"a/talk.txt", "b/talk.wav.txt", "b/talk.mp3.txt", "..mp3.txt"}


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".autorag")]


def test_what_a_merge_that_was_killed_has_left_is_removed_by_the_next(
    tmp_path: Path, small: tuple[PlanFile, Results]
) -> None:
    killed = (
        "import os, signal, sys; from autorag_whisper.archive.sharded.results import Results; "
        "Results.records = lambda *_: os.kill(os.getpid(), signal.SIGKILL); "
        "from autorag_whisper.cli import main; main()"
    )
    command = [
        sys.executable,
        "-c",
        killed,
        "archive",
        "merge",
        str(tmp_path / "plan.jsonl"),
        "-o",
        str(tmp_path / "out"),
    ]
    for target in ("m", "other"):
        died = subprocess.run([*command, "--to", str(tmp_path / target)], check=False)
        assert died.returncode == -signal.SIGKILL
    assert len(hidden(tmp_path)) == 2
    merge(*small, tmp_path / "m", TEXTS)
    assert len(hidden(tmp_path)) == 1, "the other is not of this merge"


def test_a_merge_at_work_is_left_alone(
    tmp_path: Path, small: tuple[PlanFile, Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, results = small
    inner = Results.records
    begun: list[int] = []

    def records(self: Results, shard: int) -> object:
        begun.append(len(hidden(tmp_path)))
        if len(begun) == 1:  # in the middle of the first merge there is another one into the same folder
            merge(plan, results, tmp_path / "m", TEXTS)
        return inner(self, shard)

    monkeypatch.setattr(Results, "records", records)
    assert merge(plan, results, tmp_path / "m", TEXTS).done == 2
    assert begun == [1, 2]
    assert not hidden(tmp_path)


def test_the_former_merge_stays_where_the_new_one_cannot_have_its_name(
    tmp_path: Path, small: tuple[PlanFile, Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    merge(*small, tmp_path / "m", TEXTS)
    (tmp_path / "m" / "former").touch()
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if target == tmp_path / "m" and not (self / "former").exists():
            raise PermissionError(1, "not permitted")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OutputFolderUnwritable):
        merge(*small, tmp_path / "m", TEXTS)
    assert (tmp_path / "m" / "former").exists()
    assert not hidden(tmp_path)


@pytest.fixture
def _in_the_folder(tmp_path: Path) -> Iterator[None]:
    before = Path.cwd()
    (tmp_path / "m").mkdir()
    os.chdir(tmp_path / "m")
    yield
    os.chdir(before)


@pytest.mark.usefixtures("_in_the_folder")
def test_a_merge_may_be_named_by_a_link_or_from_within(tmp_path: Path, small: tuple[PlanFile, Results]) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "m")
    with pytest.raises(MergeTargetExists):
        merge(*small, Path(), TEXTS)
    (tmp_path / "m" / merging.MERGE_FILE).touch()
    for target in (Path(), tmp_path / "link"):
        merge(*small, target, TEXTS)
        assert (tmp_path / "m" / "texts" / "a.txt").read_text() == "number 0\n"
        assert (tmp_path / "link").is_symlink()
        assert not hidden(tmp_path)
