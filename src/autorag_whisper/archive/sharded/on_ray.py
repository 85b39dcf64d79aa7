"""Shards on a Ray cluster (extra `ray`): Ray Data streams their numbers to a pool of actors with the resident engine.

```
Ray Data: numbers of shards -> pool of Recognise -> what was done of each
                                 | rows of the plan          | results: the folder that all share
                                 v                           |
                               tasks that decode (`decode_tasks`) -> samples
```

An actor does a shard as any process does (`sharded.running`): it reads the shard's rows from the plan, and writes the
results into the folder that all share before it says anything to Ray. So Ray's own retries, and its loss of what it
had in hand, change nothing: what is done is what the results say, and a shard that is begun again does what is left.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import socket
import time
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

from autorag_whisper.archive.checkpoints import CheckpointFolder
from autorag_whisper.archive.sharded.cluster import LOCAL, connect, import_ray, meaning, nodes_of
from autorag_whisper.archive.sharded.decode_tasks import DecodeTasks
from autorag_whisper.archive.sharded.heartbeats import Heartbeats
from autorag_whisper.archive.sharded.opening import Opener
from autorag_whisper.archive.sharded.parts import entry_of
from autorag_whisper.archive.sharded.plan_file import PlanFile
from autorag_whisper.archive.sharded.pool import pool_for
from autorag_whisper.archive.sharded.records import transcript_of
from autorag_whisper.archive.sharded.results import Results
from autorag_whisper.archive.sharded.running import Hooks, ShardedRun, Tally
from autorag_whisper.archive.sharded.watchdog import PATIENCE_LOOKS, SILENT_S, ActorsSilent, Patience, Watched
from autorag_whisper.domain.archive_errors import ClusterFailed, ClusterSilent
from autorag_whisper.telemetry import LOAD_REASON, MODEL_COMPUTE_TYPE, MODEL_DEVICE, MODEL_SIZE, Telemetry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from opentelemetry.trace import Span

    from autorag_whisper.archive.request import BatchRequest
    from autorag_whisper.telemetry import AttributeValue

_log = logging.getLogger(__name__)

_BLOCKS_AT_MOST = 10_000
_SHARDS_A_BLOCK = 16
"""That an actor gets at once: at the end of a block its last batches are waited for."""
_AT_A_TIME = "2"
"""Shards that an actor has in work; the variable is Ray's, and its own default 4."""
_LEAVE_S = 60.0
"""For what reads of a cluster that is left to end."""
_OF_A_LOAD = (MODEL_SIZE, MODEL_DEVICE, MODEL_COMPUTE_TYPE, LOAD_REASON)


@dataclass(frozen=True, slots=True)
class RayRequest:
    """A run on a cluster. `address`: `local`, `auto` or a head's.

    `decode_cpus`: CPU slots of a task that decodes; 0: actors do it. `patience_s`: without progress it counts as stuck.
    """

    plan: Path
    results: Path
    batch: BatchRequest
    cache_dir: Path
    address: str = LOCAL
    actors: int | None = None
    actor_cpus: float | None = None
    actor_gpus: float | None = None
    decode_cpus: float = 1.0
    patience_s: float = 1800.0
    environ: Mapping[str, str] | None = None


class LoadsSeen(Telemetry):
    """Counts the spans of loads: with a resident engine each model has one in the life of its process."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: Counter[str] = Counter()

    @contextmanager
    def load_model(self, attributes: Mapping[str, AttributeValue]) -> Iterator[Span]:
        """As `Telemetry` has it."""
        with super().load_model(attributes) as span:
            yield span
        self.counted[" ".join(str(attributes[name]) for name in _OF_A_LOAD if name in attributes)] += 1


class Recognise:
    """The actor: an engine that stays resident, and the shards that come to it, a few at a time.

    Batches of the engine are filled across files and across shards that are in work at once.
    """

    def __init__(self, request: RayRequest) -> None:
        from autorag_whisper.allocator import tune_allocator
        from autorag_whisper.bootstrap import build_parts
        from autorag_whisper.transcriber.supervised import SupervisedTranscriber

        self._request = request
        self._plan, self._results = PlanFile(request.plan), Results(request.results)
        tune_allocator()
        now_s = time.time()  # noqa: TID251 - of this node, on which nobody else is
        CheckpointFolder.of_request(request.cache_dir, request.batch).prune(now_s)
        settings = request.batch.settings
        self._loads = LoadsSeen()
        self._transcriber = SupervisedTranscriber(build_parts(settings, dict(request.environ or {}), self._loads))
        opener: Callable[[], Opener] = Opener
        if request.decode_cpus:
            tasks = DecodeTasks(import_ray("auto"), request.batch.options, request.decode_cpus, time.monotonic)
            opener = partial(Opener, decode=tasks.begin)
        self._who = f"{socket.gethostname()}:{os.getpid()}"
        self._heartbeats = Heartbeats(request.results, self._who)
        # One for all shards, so that they share its turns.
        self._hooks = Hooks(opener=opener, on_progress=lambda _progress: self._heartbeats.gets_on())

    async def __call__(self, batch: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Shards' numbers -> what was done of each."""
        for shard in (int(number) for number in batch["shard"]):
            tally = await asyncio.to_thread(self._recognise, shard)
            said = asdict(tally) | {"shard": shard, "process": self._who, "loads": json.dumps(self._loads.counted)}
            yield {name: [value] for name, value in said.items()}

    def _recognise(self, shard: int) -> Tally:
        run = ShardedRun(
            Results(self._results.folder),
            self._request.batch,
            attempt=self._plan.head.attempt,
            cache_dir=self._request.cache_dir,
            clock=time.monotonic,
            hooks=self._hooks,
        )
        with self._heartbeats.at_work():
            return run.run([(shard, self._plan.rows_of(shard))], self._transcriber)


def run_on_ray(
    request: RayRequest,
    shards: Mapping[int, frozenset[str]],
    on_shard: Callable[[Mapping[str, Any]], None] = lambda _said: None,
) -> Tally:
    """Do shards on a cluster; what was done of all of them. Where their actors go silent it is begun again.

    Then what is done counts since this run began, whoever did it.

    `shards`: their numbers, each with the ids of what has a result already.

    Raises:
        ExtraNotInstalled: Ray is not installed.
        ClusterFailed: the cluster cannot be reached, or was lost. What is done stays done.
        ClusterStuck: actors are at work, and nothing was done for `patience_s`.
        ClusterSilent: begun again and again, and nothing was done, as its actors went silent.
        DiskFull and others: what an actor raised.
    """
    ray = import_ray(request.address, "data", told={"RAY_DATA_DEFAULT_ASYNC_BATCH_UDF_MAX_CONCURRENCY": _AT_A_TIME})
    run = _Run(request, on_shard)
    waiting = run.over(ray, shards)
    if waiting and run.begun_again:  # whoever had them may have been one of those that were given up
        waiting = run.over(ray, waiting)
    run.tally.elsewhere = len(waiting)
    return run.tally


class _Run:
    """Shards done on a cluster, which is begun again where it loses what is in work."""

    def __init__(self, request: RayRequest, on_shard: Callable[[Mapping[str, Any]], None]) -> None:
        self._request, self._on_shard = request, on_shard
        self.tally, self.begun_again = Tally(), False

    def over(self, ray: Any, shards: Mapping[int, frozenset[str]]) -> dict[int, frozenset[str]]:
        """Do `shards`; those that other processes have."""
        left, waiting = dict(shards), dict[int, frozenset[str]]()
        look_s = self._request.patience_s / PATIENCE_LOOKS
        silent = first = math.ceil(SILENT_S / look_s)
        times = 0
        while left:
            patience = Patience(self._request.results, look_s, silent)
            try:
                with closing(self._on_cluster(ray, list(left), patience)) as stream:
                    for said in stream:
                        before = left.pop(said["shard"], None)
                        if before is None:
                            continue  # Ray did a task of it twice
                        if said["elsewhere"]:
                            waiting[said["shard"]] = before
                        else:
                            self._take(said, before)
            except (ray.exceptions.RayError, OSError) as error:
                raise meaning(error) from error
            except ActorsSilent as silence:
                if not left:
                    break
                silent, times = (first, 1) if silence.got_on else (2 * silent, times + 1)
                if silent > PATIENCE_LOOKS:
                    raise ClusterSilent(times) from None
                self.begun_again = True
                _log.warning("Ray cluster: %s; begun again (shards left: %d)", silence, len(left))
            else:
                if left:
                    raise ClusterFailed(f"it ended before all was done (shards left: {len(left)})")
        return waiting

    def _on_cluster(
        self, ray: Any, shards: Sequence[int], patience: Patience
    ) -> Generator[Mapping[str, Any], None, None]:
        """What actors say of `shards`, on a cluster that is left at the end, whatever ends it."""
        watched = Watched(partial(_stream, ray, self._request, shards), patience)
        connect(ray, self._request.address)
        try:
            try:
                yield from watched
            finally:
                ray.shutdown()
        except ActorsSilent:
            # Of a cluster that is begun behind this one nothing may be asked by what read of it.
            if not watched.ends(_LEAVE_S):
                raise ClusterFailed("Ray does not let go of what it lost") from None
            raise

    def _take(self, said: Mapping[str, Any], before: frozenset[str]) -> None:
        whole = {**said, **asdict(counted(self._request, said, before))}
        for name in asdict(self.tally):
            setattr(self.tally, name, getattr(self.tally, name) + whole[name])
        self._on_shard(whole)


def counted(request: RayRequest, said: Mapping[str, Any], before: frozenset[str]) -> Tally:
    """What was done of a shard since `before` was all that had a result. `said`: what an actor says of it.

    An actor says what it has done itself. Where an actor dies, whatever it has told of its block is lost, and the next
    one finds results that it did not make: then the results are counted.
    """
    own = Tally(**{one.name: said[one.name] for one in fields(Tally)})
    if own.elsewhere or own.finished_before <= len(before):
        return own
    plan, shard, found = PlanFile(request.plan), said["shard"], Tally(shards=1, finished_before=len(before))
    records = Results(request.results).records(shard)
    for row in plan.rows_of(shard):
        if row.id in before or (record := records.get(row.id)) is None:
            continue
        if entry_of(record).is_done:
            transcript = transcript_of(record)
            found.done += 1
            found.seconds += transcript.duration_s
            found.engine_s += transcript.engine_s
        elif entry_of(record).is_settled(plan.head.attempt):
            found.failed += 1
    return found


def blocks_of(shards: int, actors: int) -> int:
    """Into how many blocks shards are cut: of sixteen at most, and several for each of several actors. Pure."""
    whole = math.ceil(shards / _SHARDS_A_BLOCK)
    return max(1, min(shards, _BLOCKS_AT_MOST, max(whole, 4 * actors if actors > 1 else 1)))


def _stream(ray: Any, request: RayRequest, shards: Sequence[int]) -> Iterator[Mapping[str, Any]]:
    """What actors say of their shards, as they come."""
    pool = pool_for(nodes_of(ray), request.actors, request.actor_cpus, request.actor_gpus)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    items = [{"shard": number} for number in shards]
    dataset = ray.data.from_items(items, override_num_blocks=blocks_of(len(items), pool.actors)).map_batches(
        Recognise,
        fn_constructor_args=(request,),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=pool.actors, max_tasks_in_flight_per_actor=2),
        num_cpus=pool.cpus,
        num_gpus=pool.gpus,
    )
    yield from dataset.iter_rows()
