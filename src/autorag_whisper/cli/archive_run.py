"""The work of `archive run` in this process, and what it says."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from autorag_whisper.archive.checkpoints import CheckpointFolder
from autorag_whisper.archive.request import BatchRequest
from autorag_whisper.archive.sharded.plan_file import PlanFile, Share
from autorag_whisper.archive.sharded.results import Results, RunFacts
from autorag_whisper.archive.sharded.running import Hooks, ShardedRun, Tally
from autorag_whisper.cli.exits import KEPT, SUCCESS, Terminated
from autorag_whisper.cli.progress import clock_time, complain, counted, say, speed_text
from autorag_whisper.cli.recognition_options import device_of, options_of, settings_of
from autorag_whisper.domain.archive_errors import DiskFull
from autorag_whisper.domain.errors import AutoragWhisperError
from autorag_whisper.models.store import default_cache_dir
from autorag_whisper.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autorag_whisper.cli.context import CommandContext

_TELLS_EVERY_S = 10.0


def run_here(context: CommandContext, given: dict[str, Any]) -> int:
    """Recognise the shards that the command line names; the exit code."""
    plan, share = PlanFile(given["plan_path"]), Share.parse(given["share"])
    request = request_of(given, context)
    results = Results.begin(given["output_dir"], facts_of(plan, request))
    settings = request.settings
    cache_dir = settings.cache_dir or default_cache_dir(context.environ)
    CheckpointFolder.of_request(cache_dir, request).prune(context.now())
    started_s = context.clock()
    telling = _Telling(context, plan.head.rows)
    run = ShardedRun(
        results,
        request,
        attempt=plan.head.attempt,
        cache_dir=cache_dir,
        clock=context.clock,
        hooks=Hooks(
            on_record=telling.record,
            worker=partial(context.worker, settings, context.environ) if context.worker is not None else None,
        ),
    )
    with context.build(settings, context.environ) as transcriber:
        try:
            run.run(plan.shards(share), transcriber)
            if waiting := run.elsewhere():
                run.run(((number, rows) for number, rows in plan.shards(share) if number in waiting), transcriber)
        except (KeyboardInterrupt, Terminated, AutoragWhisperError) as error:
            if isinstance(error, AutoragWhisperError) and not (run.tally.seconds or isinstance(error, DiskFull)):
                raise  # nothing was done
            complain(f"stopped; {counted(run.tally.done, 'recording')} done, the same command goes on from there")
            raise
    return _report(given, results, run.tally, context.clock() - started_s)


def run_on_cluster(context: CommandContext, given: dict[str, Any]) -> int:
    """Recognise the shards that the command line names on a Ray cluster; the exit code."""
    from autorag_whisper.archive.sharded.on_ray import RayRequest, run_on_ray

    plan, share = PlanFile(given["plan_path"]), Share.parse(given["share"])
    request = request_of(given, context)
    results = Results.begin(given["output_dir"], facts_of(plan, request))
    attempt, started_s = plan.head.attempt, context.clock()
    finished, shards = 0, dict[int, frozenset[str]]()
    for number, rows in plan.shards(share):
        left = {row.id for row in results.left(number, rows, attempt)}
        finished += len(rows) - len(left)
        if left:
            shards[number] = frozenset(row.id for row in rows if row.id not in left)
    asked = RayRequest(
        plan.path.absolute(),
        results.folder.absolute(),
        request,
        (request.settings.cache_dir or default_cache_dir(context.environ)).absolute(),
        given["ray"],
        given["actors"],
        given["actor_cpus"],
        given["actor_gpus"],
        given["decode_cpus"],
        60.0 * given["stuck_minutes"],
        environ={name: text for name, text in context.environ.items() if name.startswith("AUTORAG_WHISPER_")},
    )
    loads: dict[str, dict[str, int]] = {}

    def tell(said: Mapping[str, Any]) -> None:
        loads[said["process"]] = json.loads(said["loads"])
        say(f"shard {said['shard']}: {said['done']} done, {said['failed']} failed")

    tally = run_on_ray(asked, shards, tell)
    tally.finished_before = finished
    return _report(given, results, tally, context.clock() - started_s, {"loads": loads})


def _report(
    given: dict[str, Any],
    results: Results,
    tally: Tally,
    passed_s: float,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> int:
    if given["as_json"]:
        said = {"results": str(results.folder), "wall_s": round(passed_s, 3)} | asdict(tally) | dict(more)
        click.echo(json.dumps(said))
    say(f"{results.folder}: {tally.done} done, {tally.failed} failed, {tally.finished_before} finished before")
    if tally.done:
        speed = speed_text(tally.seconds / max(passed_s, 1e-9))
        say(f"{clock_time(tally.seconds)} of audio in {clock_time(passed_s)}: {speed}")
    if tally.elsewhere:
        say(f"{counted(tally.elsewhere, 'shard')} left to other processes that have them: run it again behind these")
    return KEPT if tally.elsewhere else SUCCESS


def request_of(given: dict[str, Any], context: CommandContext) -> BatchRequest:
    """The model, device, options and settings of a command line. Raises the first error in it."""
    settings = settings_of(given, context.environ)
    return BatchRequest((), None, given["model"], device_of(given["device"]), options_of(given), settings=settings)


def facts_of(plan: PlanFile, request: BatchRequest) -> RunFacts:
    """What results of a plan under these options are of."""
    details = {"version": __version__, "options": _said(request), "device": request.device}
    return RunFacts(plan.head.plan, request.model, request.text_digest(), details)


def _said(request: BatchRequest) -> dict[str, Any]:
    """The options that are not the defaults, for people who look into the folder."""
    usual = asdict(type(request.options)())
    changed = {name: value for name, value in asdict(request.options).items() if value != usual[name]}
    return json.loads(json.dumps(changed, default=str)) if changed else {}


class _Telling:
    """Says failures as they come, and every ten seconds how far it is."""

    def __init__(self, context: CommandContext, rows: int) -> None:
        self._clock, self._rows = context.clock, rows
        self._last_s, self._count = context.clock(), 0
        self._host = socket.gethostname()

    def record(self, record: Mapping[str, Any]) -> None:
        self._count += 1
        if error := record.get("error"):
            complain(f"{record['uri']}: failed: {error['type']}: {error['message']}")
        if self._clock() - self._last_s >= _TELLS_EVERY_S:
            self._last_s = self._clock()
            done = counted(self._count, "recording")
            say(f"{self._host}: {done} of {self._rows} in the plan, shard {record['shard']}")
