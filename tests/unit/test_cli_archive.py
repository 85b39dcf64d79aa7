"""`autorag-whisper archive`: from files to a plan, to results, to what is merged, whatever stops it on the way."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from autorag_whisper.archive.checkpoints import KEPT_S
from autorag_whisper.archive.reservations import Reservations
from autorag_whisper.archive.sharded.plan_file import PlanFile
from autorag_whisper.archive.sharded.results import Results
from autorag_whisper.archive.sharded.running import FILES_A_RUN
from cli_world import BROKEN, World

TEXTS = {f"talk{n}": " ".join(f"word{n}x{k}" for k in range(n + 1)) for n in range(12)}


class Archive:
    """A folder of talks, one of them broken, and the command in a world where a file's text is what is heard."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.world = folder, World()
        self.talks, self.plan, self.out = folder / "talks", folder / "plan.jsonl", folder / "out"
        self.talks.mkdir()
        for name, text in TEXTS.items():
            (self.talks / f"{name}.wav").write_text(text)
        (self.talks / "broken.wav").write_bytes(BROKEN)

    def planned(self, *options: str) -> Archive:
        # 13 recordings of a minute, at real time, in shards of 2 minutes: 7 shards.
        listed = [{"uri": str(path), "duration_s": 60.0} for path in sorted(self.talks.iterdir())]
        (self.folder / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in listed))
        arguments = ("--from", self.folder / "list.jsonl", "--shard-minutes", "2", "--speed", "1")
        assert self.command("plan", *arguments, "-o", self.plan, *options) == 0
        return self

    def command(self, name: str, *arguments: str | Path) -> int:
        return self.world.command("archive", name, *arguments)

    def run(self, *options: str) -> int:
        return self.command("run", self.plan, "-o", self.out, *options)

    def merged(self, name: str = "merged", formats: str = "jsonl") -> list[dict[str, Any]]:
        self.command("merge", self.plan, "-o", self.out, "--to", self.folder / name, "-f", formats)
        lines = (self.folder / name / "results.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def texts(records: list[dict[str, Any]]) -> dict[str, str]:
    """Name -> what was heard; of what failed the error's type."""
    names = [record["uri"].rpartition("/")[2].removesuffix(".wav") for record in records]
    assert len(set(names)) == len(names), "none twice"
    heard = [record["error"]["type"] if "error" in record else record["result"]["text"] for record in records]
    return dict(zip(names, heard, strict=True))


ALL = TEXTS | {"broken": "MediaDamaged"}


def test_from_a_folder_to_merged_results(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    assert archive.command("plan", archive.talks, "-o", archive.plan) == 0
    assert archive.run() == 0
    assert "broken.wav: failed: MediaDamaged" in capsys.readouterr().err
    assert archive.command("status", archive.plan, "-o", archive.out) == 1, "something failed"
    said = capsys.readouterr().out
    assert "12 done, 1 failed, 0 left of 13 recordings" in said
    assert "1 MediaDamaged" in said
    assert texts(archive.merged()) == ALL


def test_every_recording_is_recognised_once_and_a_second_run_does_nothing(archive: Archive) -> None:
    archive.planned()
    assert archive.run() == archive.run() == 0
    assert sorted(archive.world.transcribed) == sorted(f"{name}.wav" for name in TEXTS)


@pytest.mark.parametrize("stop_at", [0, 1, 5, 11, 12])
def test_what_was_stopped_goes_on_where_it_was(archive: Archive, stop_at: int) -> None:
    archive.planned()

    def stop(_name: str) -> None:
        if len(begun) == stop_at:
            raise KeyboardInterrupt
        begun.append(_name)

    begun = list[str]()
    archive.world.before_file = stop
    assert archive.run() == 130
    first = list(archive.world.transcribed)
    archive.world.before_file = lambda _name: None
    assert archive.run() == 0
    assert sorted(archive.world.transcribed) == sorted(f"{name}.wav" for name in TEXTS), "nothing twice"
    assert archive.world.transcribed[: len(first)] == first
    assert texts(archive.merged()) == ALL


def test_shares_do_all_of_it_together_and_as_one_process_would(archive: Archive, tmp_path: Path) -> None:
    archive.planned()
    assert PlanFile(archive.plan).head.shards == 7
    for index in (2, 0, 3, 1):
        assert archive.run("--shard", f"{index}/4") == 0
    shared = archive.merged()
    archive.out = tmp_path / "alone"
    archive.run()
    assert archive.merged("other") == shared
    assert texts(shared) == ALL
    assert len(archive.world.transcribed) == 2 * len(TEXTS)


def test_results_of_machines_that_share_nothing_are_put_together_by_copying(archive: Archive, tmp_path: Path) -> None:
    archive.planned()
    together, shares = tmp_path / "all", 3
    for index in (*range(shares), 1):  # the last: a machine that was lost is replaced, and does the same once more
        own = tmp_path / f"machine-{index}-{len(archive.world.transcribed)}"
        assert archive.command("run", archive.plan, "-o", own, "--shard", f"{index}/{shares}") == 0
        shutil.copytree(own, together, dirs_exist_ok=True)
    assert archive.command("status", archive.plan, "-o", together) == 1, "one recording is broken, nothing is left"
    archive.out = together
    assert texts(archive.merged()) == ALL
    done = len(archive.world.transcribed)
    assert archive.run() == 0
    assert len(archive.world.transcribed) == done, "and nothing is done again"


def test_a_shard_that_another_process_has_is_left_to_it(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    archive.planned()
    archive.run("--shard", "0/7")  # makes the folder
    results = Results.find(archive.out, PlanFile(archive.plan).head.plan)
    with Reservations(results.folder / "claims") as other:
        assert other.take(results.folder / "shard-3")
        assert archive.run() == 3
        assert "1 shard left to other processes" in capsys.readouterr().err
    assert archive.command("status", archive.plan, "-o", archive.out) == 3
    assert archive.run() == 0
    assert texts(archive.merged()) == ALL


@pytest.mark.parametrize("fate", ["dies", "is done"])
def test_a_shard_that_another_process_had_is_looked_at_once_more_at_the_end(archive: Archive, fate: str) -> None:
    # A process that had gone past it ended with 3 and said that others were at work on it, when they were dead or done.
    archive.planned()
    archive.run("--shard", "0/7")  # makes the folder
    results = Results.find(archive.out, PlanFile(archive.plan).head.plan)
    other = Reservations(results.folder / "claims")
    assert other.take(results.folder / "shard-3")
    begun = len(archive.world.transcribed)

    def at_the_last(_name: str) -> None:
        if len(archive.world.transcribed) == begun + 8:
            archive.world.before_file = lambda _name: None
            other.close()
            if fate == "is done":
                assert archive.run("--shard", "3/7") == 0

    archive.world.before_file = at_the_last
    assert archive.run() == 0
    assert sorted(archive.world.transcribed) == sorted(f"{name}.wav" for name in TEXTS), "none twice"
    assert texts(archive.merged()) == ALL


def test_what_failed_is_tried_again_in_its_shard_when_it_is_asked_for(archive: Archive) -> None:
    archive.planned()
    archive.run()
    again = archive.folder / "again.jsonl"
    assert archive.command("retry", archive.plan, "-o", archive.out, "--to", again) == 2, "it would fail again"
    assert archive.command("retry", archive.plan, "-o", archive.out, "--to", again, "--all") == 0
    planned = {row.id: row.shard for row in PlanFile(archive.plan).rows()}
    assert [(row.name, row.shard) for row in PlanFile(again).rows()] == [
        ("broken.wav", planned[row.id]) for row in PlanFile(again).rows()
    ]
    (archive.talks / "broken.wav").write_text("whole again")
    assert archive.command("run", again, "-o", archive.out) == 0
    assert texts(archive.merged()) == TEXTS | {"broken": "whole again"}
    assert archive.command("status", archive.plan, "-o", archive.out) == 0
    assert archive.command("retry", archive.plan, "-o", archive.out, "--to", archive.folder / "x", "--all") == 2


def test_a_retry_that_fails_is_over_too_and_the_next_one_is_another_attempt(archive: Archive) -> None:
    archive.planned()
    archive.run()
    for attempt in (2, 3):
        again = archive.folder / f"again{attempt}.jsonl"
        options = ("--error", "MediaDamaged")
        assert archive.command("retry", archive.plan, "-o", archive.out, "--to", again, *options) == 0
        assert PlanFile(again).head.attempt == attempt
        before = len(archive.world.options)
        assert archive.command("run", again, "-o", archive.out) == 0
        assert archive.command("run", again, "-o", archive.out) == 0
        assert len(archive.world.options) == before + 1, "the second run had nothing to do"
    assert [record["attempt"] for record in archive.merged() if "error" in record] == [3]


def test_what_is_to_be_tried_again_is_left_until_it_was_tried(
    archive: Archive, capsys: pytest.CaptureFixture[str]
) -> None:
    # `status` of a retry plan told before it was run that all of it had failed, and nothing was left.
    archive.planned()
    archive.run()
    again, third = archive.folder / "again.jsonl", archive.folder / "third.jsonl"
    assert archive.command("retry", archive.plan, "-o", archive.out, "--to", again, "--all") == 0
    capsys.readouterr()
    assert archive.command("status", again, "-o", archive.out) == 3
    assert "0 done, 0 failed, 1 left of 1 recording" in capsys.readouterr().out
    assert archive.command("run", again, "-o", archive.out) == 0
    assert archive.command("status", again, "-o", archive.out) == 1
    assert archive.command("retry", again, "-o", archive.out, "--to", third, "--all") == 0
    assert PlanFile(third).head.attempt == 3


def test_other_options_are_other_results(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    archive.planned()
    archive.run()
    archive.run("--beam-size", "1")
    assert len(archive.world.transcribed) == 2 * len(TEXTS)
    capsys.readouterr()
    assert archive.command("status", archive.plan, "-o", archive.out) == 2
    assert "results of 2 runs" in capsys.readouterr().err
    for folder in archive.out.iterdir():
        assert archive.command("status", archive.plan, "-o", folder) == 1


def test_tables_have_a_row_for_each_file_segment_and_word(archive: Archive) -> None:
    archive.planned()
    archive.run()
    archive.merged(formats="parquet,jsonl,srt")
    files, segments, words = (
        pq.read_table(archive.folder / "merged" / name).to_pylist() for name in ("files", "segments", "words")
    )
    assert len(files) == 13
    assert len(segments) == len(TEXTS)
    spoken = {row["id"]: row["text"].split() for row in files if row["status"] == "done"}
    assert {who: [row["text"] for row in words if row["id"] == who] for who in spoken} == spoken
    failed = [row for row in files if row["status"] == "failed"]
    assert [(row["error_type"], row["may_succeed_later"], row["text"]) for row in failed] == [
        ("MediaDamaged", False, None)
    ]
    assert all(row["duration_s"] is not None for row in files)
    made = sorted(path.name for path in (archive.folder / "merged" / "texts").rglob("*"))
    assert made == sorted(f"{name}.srt" for name in TEXTS)


def test_texts_stand_in_the_tree_of_the_recordings_and_none_replaces_another(archive: Archive) -> None:
    for name in ("a/talk.wav", "b/talk.wav", "b/talk.mp3", "b/talk.mp3.flac"):
        (archive.talks / name).parent.mkdir(exist_ok=True)
        (archive.talks / name).write_text(f"text of {name}")
    assert archive.command("plan", archive.talks, "-o", archive.plan) == 0
    archive.run()
    assert archive.command("merge", archive.plan, "-o", archive.out, "--to", archive.folder / "m", "-f", "txt") == 0
    made = list((archive.folder / "m" / "texts").rglob("*.txt"))
    assert len(made) == len(TEXTS) + 4
    assert (archive.folder / "m/texts/a/talk.txt").read_text() == "text of a/talk.wav\n"
    assert (archive.folder / "m/texts/b/talk.wav.txt").read_text() == "text of b/talk.wav\n"
    beside = {path.read_text() for path in made if path.parent.name == "b"}
    assert beside == {f"text of b/{name}\n" for name in ("talk.wav", "talk.mp3", "talk.mp3.flac")}


def test_the_same_content_at_two_places_is_recognised_once_and_has_texts_at_both(archive: Archive) -> None:
    (archive.talks / "copy.wav").write_text(TEXTS["talk5"])
    archive.command("plan", archive.talks, "-o", archive.plan)
    archive.run()
    assert len(archive.world.transcribed) == len(TEXTS)
    archive.command("merge", archive.plan, "-o", archive.out, "--to", archive.folder / "m", "-f", "txt")
    for name in ("copy", "talk5"):
        assert (archive.folder / f"m/texts/{name}.txt").read_text() == TEXTS["talk5"] + "\n"


def test_a_merge_replaces_a_merge_and_nothing_else(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    archive.planned()
    archive.run("--shard", "0/2")
    first = archive.merged()
    archive.run()
    assert len(archive.merged()) == 13 > len(first)
    (archive.folder / "mine").mkdir()
    (archive.folder / "mine" / "notes.txt").write_text("mine")
    assert archive.command("merge", archive.plan, "-o", archive.out, "--to", archive.folder / "mine") == 2
    assert "no merge has made it" in capsys.readouterr().err
    assert [path.name for path in (archive.folder / "mine").iterdir()] == ["notes.txt"]
    assert not list(archive.folder.glob(".autorag-whisper*"))


def test_a_merge_of_what_is_not_complete_says_so(archive: Archive) -> None:
    archive.planned()
    archive.run("--shard", "0/2")
    assert archive.command("merge", archive.plan, "-o", archive.out, "--to", archive.folder / "m") == 3


def test_a_plan_replaces_no_file(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    archive.plan.write_text("mine")
    assert archive.command("plan", archive.talks, "-o", archive.plan) == 2
    assert "exists" in capsys.readouterr().err
    assert archive.plan.read_text() == "mine"


def test_a_plan_is_extended_in_its_place_and_what_is_done_stays_done(archive: Archive) -> None:
    archive.planned()
    archive.run()
    (archive.talks / "new.wav").write_text("something new")
    assert archive.command("plan", archive.talks, "-o", archive.plan, "--extend", archive.plan) == 0
    archive.run()
    assert archive.world.transcribed.count("new.wav") == 1
    assert len(archive.world.transcribed) == len(TEXTS) + 1
    assert texts(archive.merged()) == ALL | {"new": "something new"}


def test_results_of_another_plan_are_not_mixed(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    archive.planned()
    archive.run()
    archive.plan = archive.folder / "other.jsonl"
    archive.command("plan", archive.talks / "talk1.wav", "-o", archive.plan)
    capsys.readouterr()
    assert archive.run() == 2
    assert "another plan" in capsys.readouterr().err


def test_a_full_disk_ends_the_run_and_loses_nothing_that_was_kept(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.planned()
    add = Results.add

    def full(self: Results, shard: int, records: Any) -> None:
        if shard == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        add(self, shard, records)

    monkeypatch.setattr(Results, "add", full)
    assert archive.run() == 1
    monkeypatch.undo()
    assert archive.run() == 0
    assert texts(archive.merged()) == ALL


def test_the_model_is_asked_for_even_if_nothing_is_left_but_never_loaded_by_the_command(archive: Archive) -> None:
    archive.planned()
    archive.run()
    before = len(archive.world.options)
    archive.run()
    assert len(archive.world.options) == before, "no run of the engine is begun where nothing is left"


def test_an_engine_run_ends_after_so_many_files_and_another_goes_on(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert FILES_A_RUN > 1_000
    monkeypatch.setattr("autorag_whisper.archive.sharded.running.FILES_A_RUN", 4)
    archive.planned()
    assert archive.run() == 0
    assert len(archive.world.options) == 4  # 13 recordings
    assert texts(archive.merged()) == ALL


def test_finished_pieces_of_a_month_ago_are_removed_by_archives_too(archive: Archive) -> None:
    # A machine that only runs archives kept what others had finished meanwhile for ever.
    archive.planned()
    kept = Path(archive.world.cache.name) / "unfinished"
    kept.mkdir()
    for name, age_s in (("old", KEPT_S + 100), ("new", 100)):
        path = kept / f"{name}.chunks"
        path.touch()
        os.utime(path, (path.stat().st_mtime - age_s,) * 2)
    archive.run()
    assert [path.name for path in kept.iterdir()] == ["new.chunks"]


def test_programs_get_figures(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    archive.planned()
    capsys.readouterr()
    archive.run("--json", "-q")
    ran = json.loads(capsys.readouterr().out)
    assert (ran["done"], ran["failed"], ran["shards"], ran["finished_before"]) == (12, 1, 7, 0)
    archive.command("status", archive.plan, "-o", archive.out, "--json")
    assert json.loads(capsys.readouterr().out)["failures"] == {"MediaDamaged": 1}


@pytest.mark.parametrize(
    "arguments", [["plan", "-o", "x.jsonl"], ["plan", "-", "-o", "x.jsonl"], ["run", "none.jsonl", "-o", "x"]]
)
def test_bad_usage_is_told_before_any_work(archive: Archive, arguments: list[str]) -> None:
    assert archive.world.command("archive", *arguments) == 2
    assert not archive.world.models


def test_a_share_that_there_is_not(archive: Archive) -> None:
    archive.planned()
    assert archive.run("--shard", "7/7") == 2
