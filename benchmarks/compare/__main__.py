"""`python -m benchmarks.compare run | report | check`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.compare import whisperx_env
from benchmarks.compare.faults import faults
from benchmarks.compare.job import EngineChoice
from benchmarks.compare.launch import ROOT, Done, Plan, carry_out, own_python
from benchmarks.compare.recordings import GROUPS, chosen, in_sets, limited, read_folder, read_nasty
from benchmarks.compare.summary import OURS, Comparison, compare
from benchmarks.compare.tables import markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.compare.recordings import Recording

RESULTS = ROOT / "benchmarks" / "results"
SCRATCH = RESULTS / "tmp"
KIT = Path(os.environ.get("AUTORAG_WHISPER_KIT") or ROOT.parent / "shared" / "kit")


def main() -> None:
    arguments = _parser().parse_args()
    arguments.do(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare", description=sys.modules["benchmarks.compare"].__doc__
    )
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="measure, write NAME.json and the plots, print the tables")
    run.set_defaults(do=_run)
    run.add_argument("name", help="of the result: benchmarks/results/NAME.json")
    run.add_argument("--engines", default="ours,fw-sequential,fw-batched,whisperx")
    run.add_argument(
        "--ours-option", action="append", default=[], metavar="NAME=VALUE", help="a field of TranscribeOptions"
    )
    run.add_argument("--model", default="base")
    run.add_argument("--threads", type=int, default=_cores())
    run.add_argument("--repeats", type=int, default=3)
    run.add_argument("--folder", action="append", type=Path, help="with a manifest.jsonl; default: the kit's")
    run.add_argument("--no-speech", action="append", type=Path, default=[], metavar="FOLDER", help="more of such files")
    run.add_argument("--groups", default="", help=f"only files in one of {', '.join(GROUPS)}; -hour: all but these")
    run.add_argument("--match", default="", help="only files whose origin/name holds this")
    run.add_argument("--minutes", type=float, help="at most this much audio, of every set its share")
    run.add_argument("--resume", action="store_true", help="keep the runs that an interrupted comparison finished")
    check = commands.add_parser("check", help="a small run that says whether all of this works: exit code 1 if not")
    check.set_defaults(do=_check)
    check.add_argument("json", type=Path, help="where to write the result")
    check.add_argument("--model", default="base")
    check.add_argument("--minutes", type=float, default=5, help="of audio, for each of two engines")
    report = commands.add_parser("report", help="tables and plots of a result again")
    report.set_defaults(do=lambda given: _show(_read(given.name)))
    report.add_argument("name")
    return parser


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run(given: argparse.Namespace) -> None:
    comparison = _compare(given, _recordings(given), _engines(given.engines, given.ours_option))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{given.name}.json").write_text(json.dumps(comparison.to_json(), indent=1) + "\n")
    _show(comparison)


def _check(given: argparse.Namespace) -> None:
    """Ours and one peer once over a sample of the kit; what is wrong with the result goes to standard error."""
    usual = _parser().parse_args(["run", "check", "--repeats", "1"])
    usual.model, usual.minutes = given.model, given.minutes
    recordings = _recordings(usual)
    comparison = _compare(usual, recordings, _engines("ours,fw-batched", ()))
    given.json.write_text(json.dumps(comparison.to_json(), indent=1) + "\n")
    print(markdown(comparison))
    problems = faults(comparison, recordings)
    for problem in problems:
        print(f"WRONG: {problem}", file=sys.stderr)
    sys.exit(bool(problems))


def _compare(
    given: argparse.Namespace, recordings: Sequence[Recording], engines: tuple[EngineChoice, ...]
) -> Comparison:
    pythons = {engine.label: _python_of(engine) for engine in engines}
    plan = Plan(engines, in_sets(recordings), given.repeats, given.model, given.threads, pythons)
    done = []
    for item in carry_out(plan, SCRATCH / given.name, resume=given.resume):
        done.append(item)
        _say(item, plan)
    return compare(given.name, _about(given, done), recordings, done)


def _recordings(given: argparse.Namespace) -> list[Recording]:
    folders = given.folder or [KIT / "real", KIT / "tts"]
    found = [recording for folder in [*folders, *given.no_speech] for recording in read_folder(folder)]
    if not given.folder:
        found += read_nasty(KIT / "nasty.tar.gz", SCRATCH)
    groups = [name for name in given.groups.split(",") if name]
    found = [recording for recording in chosen(found, groups) if given.match in recording.name]
    return limited(found, 60 * given.minutes) if given.minutes else found


def _engines(names: str, ours_options: Sequence[str]) -> tuple[EngineChoice, ...]:
    """The engines by their labels; what ours is told besides goes to every variant of it."""
    more = tuple((key, value) for key, _, value in (option.partition("=") for option in ours_options))
    choices = [EngineChoice.parse(name) for name in names.split(",")]
    return tuple(EngineChoice(c.name, c.options + more) if c.name == OURS else c for c in choices)


def _python_of(engine: EngineChoice) -> Path:
    return whisperx_env.python() if engine.name == "whisperx" else own_python()


def _say(item: Done, plan: Plan) -> None:
    audio_s = sum(recording.duration_s for recording in plan.sets[item.set_name])
    speed = audio_s / item.run.wall_s
    print(
        f"{item.repetition + 1}/{plan.repeats} {item.set_name} {item.engine}: {speed:.1f} x real time", file=sys.stderr
    )


def _about(given: argparse.Namespace, done: Sequence[Done]) -> dict[str, str]:
    versions = {name: version for item in done for name, version in item.run.versions.items()}
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{_processor()}, {platform.machine()}, {_cores()} cores, {platform.system()}",
        "python": platform.python_version(),
        "model": f"{given.model}, int8",
        "threads": str(given.threads),
        "repetitions": str(given.repeats),
        "versions": ", ".join(f"{name} {version}" for name, version in sorted(versions.items())),
        "commit": _commit(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _commit() -> str:
    command = ["git", "-C", ROOT, "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _read(name: str) -> Comparison:
    return Comparison.from_json(json.loads((RESULTS / f"{name}.json").read_text()))


def _show(comparison: Comparison) -> None:
    print(markdown(comparison))
    try:
        from benchmarks.compare.plots import draw
    except ModuleNotFoundError as error:
        print(f"no plots without {error.name}: scripts/venv.sh bench", file=sys.stderr)
        return
    for path in draw(comparison, RESULTS):
        print(path.relative_to(ROOT), file=sys.stderr)


if __name__ == "__main__":
    main()
