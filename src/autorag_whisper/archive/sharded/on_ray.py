"""Shards on a Ray cluster (extra `ray`): Ray Data streams their numbers to a pool of actors with the resident engine.

An actor does a shard as any process does (`sharded.running`): it reads the shard's rows from the plan, and writes the
results into the folder that all share before it says anything to Ray. So Ray's own retries, and its loss of what it
had in hand, change nothing: what is done is what the results say, and a shard that is begun again does what is left.
"""

from __future__ import annotations

import os
import queue
import socket
import threading
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from autorag_whisper.archive.sharded.plan_file import PlanFile
from autorag_whisper.archive.sharded.results import Results
from autorag_whisper.archive.sharded.running import ShardedRun, Tally
from autorag_whisper.domain.archive_errors import ClusterFailed, ClusterStuck
from autorag_whisper.domain.errors import AutoragWhisperError, ExtraNotInstalled, InvalidOption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from autorag_whisper.archive.request import BatchRequest

LOCAL = "local"
"""In the place of an address: a cluster of this process's own, which ends with it."""
_BLOCKS_AT_MOST = 10_000
_LOOK_S = 5.0
_KNOCK_S = 10.0


@dataclass(frozen=True, slots=True)
class Node:
    """What a node of a cluster offers."""

    cpus: float
    gpus: float = 0.0


@dataclass(frozen=True, slots=True)
class Pool:
    """How many actors there are, and what each reserves. Raises InvalidOption."""

    actors: int
    cpus: float
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.actors < 1:
            raise InvalidOption("--actors", self.actors, "at least 1")
        if self.cpus <= 0 or self.gpus < 0:
            raise InvalidOption("--actor-cpus", self.cpus, "more than 0, and no GPUs less than 0")


def pool_for(nodes: Sequence[Node], actors: int | None, cpus: float | None, gpus: float | None) -> Pool:
    """A pool for a cluster, where not all of it was said. Pure.

    Without GPUs an engine uses all cores of its node, so one actor goes to each; it reserves all but one whole slot,
    which stays free for Ray's own tasks: with none, a pool that takes every slot waits for tasks that never run. With
    GPUs there is an actor for each card, or for each part of one where `gpus` is a fraction.
    """
    with_gpu = [node for node in nodes if node.gpus > 0]
    if with_gpu and gpus != 0:
        share = gpus or 1.0
        on_cards = sum(int(node.gpus / share) for node in with_gpu)
        return Pool(actors or max(1, on_cards), cpus or 1.0, share)
    least = min((node.cpus for node in nodes if node.cpus > 0), default=1.0)
    return Pool(actors or max(1, len(nodes)), cpus or max(0.5, least - 1.0), 0.0)


@dataclass(frozen=True, slots=True)
class RayRequest:
    """A run on a cluster. `address`: `local`, `auto` or a head's; `patience_s`: without progress it counts as stuck."""

    plan: Path
    results: Path
    batch: BatchRequest
    cache_dir: Path
    address: str = LOCAL
    actors: int | None = None
    actor_cpus: float | None = None
    actor_gpus: float | None = None
    patience_s: float = 1800.0
    environ: Mapping[str, str] | None = None


class Recognise:
    """The actor: an engine that stays resident, and the shards that come to it."""

    def __init__(self, request: RayRequest) -> None:
        from autorag_whisper.allocator import tune_allocator
        from autorag_whisper.bootstrap import build_parts
        from autorag_whisper.telemetry import Telemetry
        from autorag_whisper.transcriber.supervised import SupervisedTranscriber

        self._request = request
        self._plan, self._results = PlanFile(request.plan), Results(request.results)
        tune_allocator()
        settings = request.batch.settings
        environ = dict(request.environ or {})
        self._transcriber = SupervisedTranscriber(build_parts(settings, environ, Telemetry()))

    def __call__(self, batch: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Shards' numbers -> what was done of each."""
        import time

        for shard in (int(number) for number in batch["shard"]):
            run = ShardedRun(
                self._results,
                self._request.batch,
                attempt=self._plan.head.attempt,
                cache_dir=self._request.cache_dir,
                clock=time.monotonic,
            )
            tally = run.run([(shard, self._plan.rows_of(shard))], self._transcriber)
            yield {name: [value] for name, value in (asdict(tally) | {"shard": shard, "process": os.getpid()}).items()}


def run_on_ray(
    request: RayRequest, shards: Sequence[int], on_shard: Callable[[Mapping[str, Any]], None] = lambda _said: None
) -> Tally:
    """Do shards on a cluster; what was done of all of them.

    Raises:
        ExtraNotInstalled: Ray is not installed.
        ClusterFailed: the cluster cannot be reached, or was lost. What is done stays done.
        ClusterStuck: nothing was done for `patience_s`.
        DiskFull and others: what an actor raised.
    """
    ray = _ray(request.address)
    tally = Tally()
    if not shards:
        return tally
    try:
        _connect(ray, request.address)
        try:
            pool = pool_for(_nodes(ray), request.actors, request.actor_cpus, request.actor_gpus)
            for said in _watched(lambda: _stream(ray, request, shards, pool), request):
                _add(tally, said)
                on_shard(said)
        finally:
            ray.shutdown()
    except (ray.exceptions.RayError, ConnectionError, OSError) as error:
        raise _meaning(error) from error
    return tally


def _ray(address: str) -> Any:
    # Before the import, as Ray reads them then. A cluster without tokens runs the code of whoever reaches its ports.
    told = {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
    if address == LOCAL:
        # Ray listens on loopback alone where it takes itself to be on a desktop; nothing else makes it.
        told["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        told["RAY_worker_niceness"] = "0"  # else 15: engines would wait for whatever else this machine does
    for name, value in told.items():
        os.environ.setdefault(name, value)  # noqa: TID251 - Ray has no other way to be told
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ExtraNotInstalled("ray", "ray", str(error)) from error
    return ray


def _connect(ray: Any, address: str) -> None:
    if address == LOCAL:
        ray.init(
            address="local", num_cpus=max(2, len(os.sched_getaffinity(0))), include_dashboard=False, log_to_driver=False
        )
    else:
        _knock(address)
        ray.init(address=address, log_to_driver=False)


def _knock(address: str) -> None:
    """Raise OSError where nobody listens at `HOST:PORT`: Ray itself tries for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "://" not in address:
        with socket.create_connection((host.strip("[]"), int(port)), _KNOCK_S):
            pass


def _nodes(ray: Any) -> list[Node]:
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Node(resources.get("CPU", 0.0), resources.get("GPU", 0.0)) for resources in alive]


def _stream(ray: Any, request: RayRequest, shards: Sequence[int], pool: Pool) -> Iterator[Mapping[str, Any]]:
    """What actors say of their shards, as they come."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    items = [{"shard": number} for number in shards]
    dataset = ray.data.from_items(items, override_num_blocks=min(len(items), _BLOCKS_AT_MOST)).map_batches(
        Recognise,
        fn_constructor_args=(request,),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=pool.actors, max_tasks_in_flight_per_actor=2),
        num_cpus=pool.cpus,
        num_gpus=pool.gpus,
    )
    yield from dataset.iter_rows()


def _watched(begin: Callable[[], Iterator[Mapping[str, Any]]], request: RayRequest) -> Iterator[Mapping[str, Any]]:
    """What comes of `begin`, read in a thread; the wait for it ends where neither it nor the results go on.

    Raises ClusterStuck, and what `begin` raised.
    """
    came: queue.SimpleQueue[Mapping[str, Any] | BaseException | None] = queue.SimpleQueue()

    def read() -> None:
        try:
            for said in begin():
                came.put(said)
            came.put(None)
        except BaseException as error:  # noqa: BLE001 - it is raised where the results are taken
            came.put(error)

    threading.Thread(target=read, name="ray-data", daemon=True).start()
    waited_s, before = 0.0, _newest(request.results)
    while True:
        try:
            said = came.get(timeout=_LOOK_S)
        except queue.Empty:
            now = _newest(request.results)
            waited_s, before = (0.0, now) if now != before else (waited_s + _LOOK_S, before)
            if waited_s >= request.patience_s:
                raise ClusterStuck(waited_s) from None
            continue
        waited_s = 0.0
        if said is None:
            return
        if isinstance(said, BaseException):
            raise said
        yield said


def _newest(results: Path) -> tuple[int, int]:
    """Something that changes with every file of results."""
    stamps = [path.stat().st_mtime_ns for path in (results / "parts").iterdir()]
    return len(stamps), max(stamps, default=0)


def _add(tally: Tally, said: Mapping[str, Any]) -> None:
    for name in asdict(tally):
        setattr(tally, name, getattr(tally, name) + said[name])


def _meaning(error: BaseException) -> AutoragWhisperError:
    """What an actor raised, or that the cluster failed."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, AutoragWhisperError):
            return cause
        inner = getattr(cause, "cause", None)
        cause = inner if isinstance(inner, BaseException) else cause.__cause__
    return ClusterFailed(str(error).strip().partition("\n")[0] or type(error).__name__)
