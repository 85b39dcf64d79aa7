"""The comparison's own arithmetic: counts of errors, intervals, groups made of sets, results that are read back."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.compare import bootstrap
from benchmarks.compare.faults import faults
from benchmarks.compare.job import EngineChoice, Heard, Job, Run
from benchmarks.compare.launch import Done
from benchmarks.compare.recordings import GROUPS, Recording, chosen, in_sets, limited, read_folder
from benchmarks.compare.scoring import Errors, count_errors
from benchmarks.compare.summary import Comparison, Figures, compare, pairs
from benchmarks.compare.tables import markdown
from hypothesis import given
from hypothesis import strategies as st

WORDS = st.lists(st.sampled_from(["alpha", "bravo", "charlie", "delta", "echo"]), max_size=8)
COUNTS = st.builds(
    Errors, st.integers(1, 50), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)
)  # fmt: skip


def recording(name: str, duration_s: float, text: str = "alpha bravo", **changes: object) -> Recording:
    usual = {"origin": "real", "language": "en", "speech": bool(text), "scored": True} | changes
    return Recording(path=Path(name), duration_s=duration_s, text=text, **usual)  # type: ignore[arg-type] # by name


def run_of(recordings: list[Recording], texts: list[str], wall_s: float, **changes: object) -> Run:
    heard = tuple(
        Heard(str(r.path), r.language, text, (), r.duration_s) for r, text in zip(recordings, texts, strict=True)
    )
    figures = {"load_s": 1.0, "cpu_s": 2 * wall_s, "peak_mb": 100.0, "calls_s": wall_s, "workers": 2} | changes
    return Run(wall_s=wall_s, heard=heard, versions={}, **figures)  # type: ignore[arg-type] # by name


# ---------------------------------------------------------------- counts


@given(WORDS, WORDS)
def test_the_counts_add_up_to_both_texts(reference: list[str], heard: list[str]) -> None:
    errors = count_errors(" ".join(reference), " ".join(heard), "en")
    assert errors.words == len(reference)
    assert errors.words - errors.deletions + errors.insertions == len(heard)
    assert (errors.all == 0) == (reference == heard)


def test_writing_is_no_error_and_a_script_without_blanks_is_counted_in_characters() -> None:
    assert count_errors("It cost $20, Colour!", "it cost twenty dollars color", "en").all == 0
    assert count_errors("7 3 1", "731", "de").all == 0
    assert count_errors("你好世界", "你好 世", "zh") == Errors(4, 0, 1, 0)
    # In which characters Chinese is written is by the model's chance: a quarter of the "errors" in other languages.
    assert count_errors("数据结构", "數據結構", "zh") == Errors(4, 0, 0, 0)
    assert count_errors("數據結構", "数据结构", "yue") == Errors(4, 0, 0, 0)
    assert count_errors("数据结构", "数据結果", "zh") == Errors(4, 1, 0, 0)
    assert count_errors("國", "国", "ja") == Errors(1, 1, 0, 0)  # in Japanese these are two characters


def test_a_word_where_nobody_speaks_is_invented() -> None:
    assert count_errors("", "Thanks for watching!", "en") == Errors(0, 0, 0, 3)
    assert count_errors("alpha bravo", "", "en") == Errors(2, 0, 2, 0)


@pytest.mark.kit
@pytest.mark.parametrize("folder", ["real", "tts"])
def test_the_counts_are_those_of_the_kits_own_scorer(kit: Path, folder: str) -> None:
    score_file = runpy.run_path(str(kit / "score.py"))["score_file"]
    rows = [json.loads(line) for line in (kit / folder / "manifest.jsonl").read_text().splitlines()]
    compared = 0
    for row in (row for row in rows if row["text"] and "silence" not in row["tags"] and row["duration_s"] < 300):
        words = row["text"].split()
        heard = " ".join(["so", *words[1 : len(words) // 2], words[-1].upper(), *words[len(words) // 2 :]])
        theirs = score_file(row, {"words": [], "text": heard}, use_time=False)
        ours = count_errors(row["text"], heard, row["language"])
        assert ours == Errors(theirs["n"], theirs["S"], theirs["D"], theirs["I"]), row["path"]
        compared += 1
    assert compared > 30


# ---------------------------------------------------------------- intervals


@given(st.lists(COUNTS, min_size=1, max_size=12))
def test_an_engine_does_not_differ_from_itself(counts: list[Errors]) -> None:
    bound = None if len(counts) < bootstrap.FEWEST_FILES else 0.0
    assert bootstrap.difference(counts, counts) == bootstrap.Interval(0.0, bound, bound)


@given(st.lists(st.tuples(COUNTS, st.integers(1, 5)), min_size=5, max_size=12))
def test_errors_more_in_every_file_settle_a_difference(rows: list[tuple[Errors, int]]) -> None:
    better = [count for count, _ in rows]
    worse = [Errors(c.words, c.substitutions, c.deletions, c.insertions + more) for c, more in rows]
    interval = bootstrap.difference(better, worse)
    assert interval.is_settled
    assert interval.low is not None
    assert interval.high is not None
    assert interval.low <= interval.points <= interval.high < 0


def test_the_interval_of_a_rate_is_that_of_the_binomial_distribution() -> None:
    # 400 files of one word, 100 of them wrong: the standard error is sqrt(0.25 * 0.75 / 400) = 2.165 points.
    interval = bootstrap.rate([Errors(1, 1)] * 100 + [Errors(1)] * 300)
    assert interval.points == 25
    assert interval.low is not None
    assert interval.high is not None
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * 2.165, rel=0.05)


def test_one_long_file_settles_nothing_however_large_the_difference() -> None:
    assert not bootstrap.difference([Errors(8000, 100)], [Errors(8000, 900)]).is_settled


# ---------------------------------------------------------------- recordings


@given(st.lists(st.floats(0.1, 4000), min_size=1, max_size=20), st.floats(10, 3000))
def test_a_limit_is_kept_and_every_recording_is_in_one_set(durations: list[float], limit_s: float) -> None:
    recordings = [recording(f"{n}.wav", duration) for n, duration in enumerate(durations)]
    assert sum(map(len, in_sets(recordings).values())) == len(recordings)
    kept = limited(recordings, limit_s)
    assert sum(r.duration_s for r in kept) <= limit_s * 1.0001
    assert kept == limited(recordings, limit_s)


def test_groups_are_taken_or_left_out() -> None:
    everything = [recording("clip", 5.0), recording("talk", 600.0), recording("hour", 3600.0)]
    assert chosen(everything, []) == everything
    assert chosen(everything, ["short", "hour"]) == [everything[0], everything[2]]
    assert chosen(everything, ["-hour"]) == everything[:2]
    assert chosen(everything, ["long", "-hour"]) == [everything[1]]


def test_a_manifest_says_where_nobody_speaks_and_what_is_no_reference(tmp_path: Path) -> None:
    rows = [
        {"path": "a.wav", "duration_s": 3, "language": "en", "text": "alpha", "tags": [], "ref_trust": "exact"},
        {"path": "b.wav", "duration_s": 3, "language": "sv", "text": "tyst", "tags": ["silence"], "wer": False},
        {"path": "c.wav", "duration_s": 3, "language": "und", "text": "", "tags": ["no-speech", "hum"]},
        {"path": "d.wav", "duration_s": 3, "language": "en", "text": "", "tags": ["read"], "ref_trust": "none"},
        {"path": "e.wav", "duration_s": 3, "language": "en", "text": "alpha", "tags": [], "wer": False},
    ]
    (tmp_path / "manifest.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    found = read_folder(tmp_path)
    assert [r.speech for r in found] == [True, False, False, True, True]
    assert [r.scored for r in found] == [True, True, True, False, False]
    assert [r.text for r in found] == ["alpha", "", "", "", "alpha"]


# ---------------------------------------------------------------- figures


def example() -> Comparison:
    clips = [recording("a.wav", 4), recording("b.wav", 6), recording("de.wav", 5, language="de")]
    silent = [recording("s.wav", 20, "")]
    done = []
    for repetition, factor in enumerate((1.0, 2.0, 4.0)):
        for engine, text, wall_s in (("ours", "alpha bravo", 1.0), ("fw-batched", "alpha", 3.0)):
            run = run_of(clips, [text, text, "alpha bravo"], wall_s * factor)
            done.append(Done("short-real", engine, repetition, run))
            done.append(Done("no-speech", engine, repetition, run_of(silent, [text], wall_s)))
    return compare("example", {"date": "2026-01-31"}, clips + silent, done)


def test_speed_is_the_median_of_the_repetitions_with_their_extremes() -> None:
    cost = example().groups["short"]["ours"].cost
    assert cost is not None
    assert (cost.speed.median, cost.speed.low, cost.speed.high) == (7.5, 3.75, 15.0)
    assert cost.cpu_s_per_audio_s.median == pytest.approx(4 / 15)
    assert cost.overhead == pytest.approx(2.0)


def test_a_group_that_is_part_of_a_set_has_errors_but_no_speed() -> None:
    figures = example().groups["english"]["fw-batched"]
    assert figures.cost is None
    assert figures.errors == Errors(4, 0, 2, 0)
    assert figures.wer is not None
    assert figures.wer.points == 50


def test_ours_against_a_peer_is_negative_where_ours_is_better() -> None:
    comparison = example()
    assert comparison.differences["short"]["ours - fw-batched"].points == pytest.approx(-100 / 3)
    assert comparison.groups["no-speech"]["ours"].errors.insertions == 2


def test_a_result_that_is_read_back_gives_the_same_tables() -> None:
    comparison = example()
    read = Comparison.from_json(json.loads(json.dumps(comparison.to_json())))
    assert markdown(read) == markdown(comparison)
    assert read.to_json() == comparison.to_json()


def test_the_tables_name_every_group_and_engine() -> None:
    text = markdown(example())
    told = [GROUPS[group][0] for group in ("whole", "short", "real", "english", "other", "no-speech")]
    assert [name for name in [*told, "ours", "fw-batched"] if name not in text] == []


def test_a_picture_is_drawn_of_everything_that_has_figures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="only the group bench has it")
    from benchmarks.compare.plots import draw

    drawn = draw(example(), tmp_path)
    assert [path.name for path in drawn] == ["example-speed.png", "example-errors.png", "example-memory.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


# ---------------------------------------------------------------- what a machine finds wrong


def with_groups(**engines: Figures) -> Comparison:
    return replace(example(), groups={"whole": example().groups["whole"] | engines})


def test_a_sound_comparison_has_no_faults_and_an_unsound_one_says_which() -> None:
    clips = [recording("a.wav", 4), recording("b.wav", 6), recording("de.wav", 5, language="de")]
    mine, peer = example().groups["whole"]["ours"], example().groups["whole"]["fw-batched"]
    good = replace(mine, wer=peer.wer)
    assert faults(with_groups(ours=good), clips) == []
    more = [*clips, recording("more.wav", 4)]
    assert "no counts for 1 recordings, real/more.wav" in faults(with_groups(ours=good), more)[0]
    assert faults(with_groups(ours=replace(good, lost_files=2)), clips) == ["ours failed at 2 files"]
    assert "slower than fw-batched" in faults(with_groups(ours=replace(good, cost=peer.cost)), clips)[0]
    assert "cannot be" in faults(example(), clips)[0]  # no error at all


# ---------------------------------------------------------------- jobs


@pytest.mark.parametrize("text", ["ours", "ours:quality=fast+beam_size=2", "fw-batched:batch_size=4"])
def test_an_engine_with_its_options_is_one_word(text: str) -> None:
    assert EngineChoice.parse(text).label == text


def test_the_values_of_options_are_what_they_look_like() -> None:
    choice = EngineChoice.parse("ours:quality=fast+beam_size=2+language=null+vad_threshold=0.4")
    assert choice.values() == {"quality": "fast", "beam_size": 2, "language": None, "vad_threshold": 0.4}


@pytest.mark.parametrize("text", ["theirs", "ours:fast", "ours:=2"])
def test_what_is_no_engine_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="engine"):
        EngineChoice.parse(text)


def test_a_job_and_a_run_survive_the_way_to_another_process() -> None:
    job = Job(EngineChoice.parse("ours:beam_size=2"), "base", "folder", 2, ("a", "b"), "w")
    assert Job.from_json(json.loads(json.dumps(job.to_json()))) == job


def test_variants_of_ours_are_compared_with_every_peer_and_with_the_first_of_them() -> None:
    assert pairs(("ours", "fw-batched", "ours:engine=native")) == [
        ("ours", "fw-batched"),
        ("ours:engine=native", "fw-batched"),
        ("ours:engine=native", "ours"),
    ]
    assert pairs(("fw-batched", "whisperx")) == []
