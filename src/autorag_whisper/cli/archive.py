"""`autorag-whisper archive`: archives of any size, in shards that any number of processes and machines do."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autorag_whisper.cli import quiet_option, verbose_option
from autorag_whisper.cli.exits import FAILED, KEPT, SUCCESS, BadUsage
from autorag_whisper.cli.output_options import FORMATS_EPILOG, subtitle_options, subtitles_of
from autorag_whisper.cli.recognition_options import SectionedCommand, recognition_options

if TYPE_CHECKING:
    from autorag_whisper.archive.sharded.plan_file import PlanFile
    from autorag_whisper.archive.sharded.results import Results
    from autorag_whisper.cli.context import CommandContext

_EPILOG = """\b
  autorag-whisper archive plan talks/ -o plan.jsonl
  autorag-whisper archive run plan.jsonl -o results/
  autorag-whisper archive status plan.jsonl -o results/
  autorag-whisper archive merge plan.jsonl -o results/ --to merged/ -f parquet,srt

\b
Run the same command again after whatever stopped it: what is done stays done. Several processes may run it at once,
on one machine or on many that share the folder. docs/archives.md has SLURM, Kubernetes and Ray.

\b
Exit codes: 0 all is well (a recording that failed is a result, see `status`), 1 it could not go on, 2 bad usage,
3 shards were left to another process; for `status`: 1 something failed, 3 something is left."""

_plan = click.argument("plan_path", metavar="PLAN", type=click.Path(path_type=Path))
_results = click.option(
    "-o", "--output-dir", required=True, type=click.Path(path_type=Path), help="Folder of the results."
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
def archive() -> None:
    """Plan an archive, run its shards on any number of machines, merge the results."""


@archive.command(
    epilog="""\b
FILE may be a file, a folder, a quoted pattern, or an address of a storage: s3://bucket/folder/, s3://bucket/*.mp3.
A list (--from) is text with a path or address in each line, or JSON lines or Parquet with "uri" and perhaps "id",
"duration_s" and "size_bytes"; - is standard input. A plan is JSON lines or, called *.parquet, a Parquet table."""
)
@click.argument("arguments", metavar="[FILE]...", nargs=-1)
@click.option("--from", "lists", multiple=True, metavar="LIST", type=click.Path(path_type=Path), help="See below.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The plan: *.jsonl, *.parquet.")
@click.option(
    "--extend", type=click.Path(path_type=Path), metavar="OLD", help="Add what is new to a plan; shards stay."
)
@click.option("--shard-minutes", type=float, default=5.0, show_default=True, help="Of a device's work in one shard.")
@click.option("--speed", type=float, default=10.0, show_default=True, help="Times real time, as `bench` measures.")
@click.option(
    "--id",
    "identity",
    type=click.Choice(("content", "name")),
    default="content",
    show_default=True,
    help="What makes a local file another one. content reads each file.",
)
@click.option("--durations/--no-durations", "durations", default=True, help="Read headers for what is not known.")
@quiet_option
@verbose_option
def plan(**given: Any) -> int:
    """Find recordings and cut them into shards of equal work."""
    from autorag_whisper.archive.sharded.cutting import Sizing
    from autorag_whisper.archive.sharded.listing import Listing
    from autorag_whisper.archive.sharded.plan_file import PlanFile, write_plan
    from autorag_whisper.archive.sharded.planning import PlanRequest, make_plan
    from autorag_whisper.cli.progress import clock_time, complain, counted, say
    from autorag_whisper.domain.archive_errors import PlanExists

    output: Path = given["output"]
    old = PlanFile(given["extend"]) if given["extend"] else None
    if not given["arguments"] and not given["lists"]:
        raise BadUsage("there is nothing to plan", "name files, folders or addresses, or a list with --from")
    if output.exists() and (old is None or not output.samefile(given["extend"])):
        raise PlanExists(str(output))
    request = PlanRequest(
        Sizing(given["shard_minutes"], given["speed"]), given["identity"], with_durations=given["durations"]
    )
    listing = Listing(given["arguments"], given["lists"], getattr(sys.stdin, "buffer", None))
    made = make_plan(listing.candidates(), request, old)
    write_plan(output, made.head, made.lines)
    for note in listing.notes:
        say(note)
    if made.same:
        say(f"{counted(made.same, 'place')} left out: the same content as another")
    if made.known:
        say(f"{counted(made.known, 'place')} left out: planned already")
    head = made.head
    say(
        f"{output}: {counted(made.added, 'recording')}{' more' if old else ''}, about {clock_time(made.seconds)}; "
        f"{head.rows} in {counted(head.shards, 'shard')}"
    )
    for problem in (*listing.problems, *made.problems):
        complain(f"{problem.shown}: {problem.reason}")
    return FAILED if listing.problems or made.problems else SUCCESS


@archive.command(cls=SectionedCommand)
@_plan
@_results
@click.option("--shard", "share", default="0/1", metavar="I/N", help="Shards of process I (from 0) of N.")
@click.option(
    "--ray", is_flag=False, flag_value="local", metavar="[ADDRESS]", help="On a Ray cluster; its own, or ADDRESS."
)
@click.option("--actors", type=click.IntRange(1), help="With --ray: how many engines; default: one a node, or a card.")
@click.option("--actor-cpus", type=float, metavar="N", help="With --ray: CPU slots of an engine; one has to stay free.")
@click.option("--actor-gpus", type=float, metavar="N", help="With --ray: cards, or the part of one, of an engine.")
@click.option(
    "--decode-cpus", type=click.FloatRange(0), default=1.0, show_default=True, metavar="N",
    help="With --ray: CPU slots of a task that decodes; 0: engines decode.",
)  # fmt: skip
@click.option(
    "--stuck-minutes", type=click.FloatRange(0, min_open=True), default=30.0, show_default=True, metavar="MINUTES",
    help="With --ray: give up when nothing gets on for so long.",
)  # fmt: skip
@recognition_options()
@_as_json
@quiet_option
@verbose_option
@click.pass_obj
def run(context: CommandContext | None, /, **given: Any) -> int:
    """Recognise what is left of a plan's shards."""
    from autorag_whisper.cli.archive_run import run_here, run_on_cluster
    from autorag_whisper.cli.context import CommandContext

    return (run_on_cluster if given["ray"] else run_here)(context or CommandContext(), given)


@archive.command()
@_plan
@_results
@_as_json
def status(plan_path: Path, output_dir: Path, *, as_json: bool) -> int:
    """Count what is done, failed and left, by the results alone."""
    from autorag_whisper.archive.sharded.status import status_of
    from autorag_whisper.cli.progress import clock_time, counted

    plan_file, results = _opened(plan_path, output_dir)
    found = status_of(plan_file, results)
    if as_json:
        click.echo(json.dumps({"results": str(results.folder)} | found.facts()))
    else:
        click.echo(f"{results.folder}")
        click.echo(f"{found.done} done, {found.failed} failed, {found.left} left of {counted(found.rows, 'recording')}")
        click.echo(f"{found.complete_shards} of {counted(found.shards, 'shard')} complete")
        if found.left_s:
            click.echo(f"{clock_time(found.left_s)} of {clock_time(found.known_s)} left, as far as it is known")
        for name, count in found.failures.most_common():
            click.echo(f"  {count} {name}")
    return KEPT if found.left else FAILED if found.failed else SUCCESS


@archive.command()
@_plan
@_results
@click.option("--to", "target", required=True, type=click.Path(path_type=Path), help="The plan of what failed.")
@click.option("--error", "errors", multiple=True, metavar="TYPE", help="These alone, as `status` names them.")
@click.option("--all", "everything", is_flag=True, help="Also what is the recording's own fault, such as damage.")
@quiet_option
def retry(plan_path: Path, output_dir: Path, target: Path, *, errors: tuple[str, ...], everything: bool) -> int:
    """Write a plan of what failed and may succeed, in the shards that it had. `run` takes it as any other."""
    from autorag_whisper.archive.sharded.plan_file import write_plan
    from autorag_whisper.archive.sharded.status import kinds_of_failures, retry_plan
    from autorag_whisper.cli.progress import counted, say
    from autorag_whisper.domain.archive_errors import NothingFound, PlanExists

    plan_file, results = _opened(plan_path, output_dir)
    if target.exists():
        raise PlanExists(str(target))
    wanted = frozenset(errors) or (kinds_of_failures(plan_file, results) if everything else None)
    made, others = retry_plan(plan_file, results, wanted)
    left_out = ", ".join(f"{count} {name}" for name, count in others.most_common())
    if not made.rows:
        reason = f"{left_out} would fail again (--all or --error TYPE tries them)" if left_out else "nothing failed"
        raise NothingFound("try again", (reason,), "see `archive status`")
    write_plan(target, made.head, made.lines())
    say(f"{target}: {counted(len(made.rows), 'recording')}, attempt {made.head.attempt}")
    if left_out:
        say(f"left out: {left_out}")
    return SUCCESS


@archive.command(
    epilog="""\b
parquet   tables files/, segments/ and words/: one row a recording, segment, word (extra: archive)
jsonl     results.jsonl, a line a recording
Below texts/, in the tree of the recordings:

"""
    + FORMATS_EPILOG
)
@_plan
@_results
@click.option("--to", "target", required=True, type=click.Path(path_type=Path), help="A new folder, or a former merge.")
@click.option(
    "-f", "--format", "formats", multiple=True, metavar="NAME[,NAME...]", help="As listed below; default: jsonl."
)
@subtitle_options
@quiet_option
def merge(plan_path: Path, output_dir: Path, target: Path, formats: tuple[str, ...], **given: Any) -> int:
    """Write results as tables, JSON lines or files in the usual formats."""
    from autorag_whisper.archive.sharded.merging import JSONL, MergeRequest
    from autorag_whisper.archive.sharded.merging import merge as merged_into
    from autorag_whisper.cli.progress import counted, say

    plan_file, results = _opened(plan_path, output_dir)
    names = tuple(dict.fromkeys(name.strip().lower() for value in formats for name in value.split(","))) or (JSONL,)
    merged = merged_into(plan_file, results, target, MergeRequest(names, subtitles_of(given)))
    say(f"{target}: {counted(merged.done, 'recording')}, {merged.failed} that failed, {merged.left} not done yet")
    return KEPT if merged.left else SUCCESS


def _opened(plan_path: Path, output_dir: Path) -> tuple[PlanFile, Results]:
    from autorag_whisper.archive.sharded.plan_file import PlanFile
    from autorag_whisper.archive.sharded.results import Results

    plan_file = PlanFile(plan_path)
    return plan_file, Results.find(output_dir, plan_file.head.plan)
