"""The service on Ray Serve: replicas of the application of `serve`, each with its own resident engine.

`autorag-whisper serve --ray` deploys it, or Ray's own command, with the options of `serve` as arguments:

    serve run autorag_whisper.cli.ray_serve:app model=base replicas=1-4
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from autorag_whisper.archive.sharded.cluster import LOCAL, connect, import_ray, meaning, nodes_of
from autorag_whisper.archive.sharded.pool import Pool, pool_for
from autorag_whisper.cli.exits import BadUsage
from autorag_whisper.cli.serving import application, server_settings
from autorag_whisper.domain.archive_errors import ClusterFailed
from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.process_errors import AddressTaken
from autorag_whisper.files import system_reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fastapi import FastAPI

    from autorag_whisper.archive.sharded.pool import Node
    from autorag_whisper.server.settings import ServerSettings

NAME = "autorag-whisper"
"""Of the application on the cluster."""
PROXY_ERRORS = "autorag_whisper.server.proxy_errors.middlewares"
_TOLD = {"RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": PROXY_ERRORS}
_SPARE = 32
"""Requests that a replica takes beside those that work: looks at jobs, pages, readiness."""
_SPARE_S = 15.0
_LOOK_S = 0.1
_RUNNING = "auto"
"""In the place of an address: a cluster that is there."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How many replicas there may be, and what each reserves. Raises InvalidOption."""

    least: int
    most: int
    cpus: float
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most:
            raise InvalidOption("--replicas", f"{self.least}-{self.most}", "N or LEAST-MOST, at least 1")


def scale_for(nodes: Sequence[Node], replicas: str, cpus: float | None, gpus: float | None) -> Scale:
    """From `N` or `LEAST-MOST` ("": one, up to one for each node or card) and what a replica reserves. Pure."""
    if not replicas:
        pool: Pool = pool_for(nodes, None, cpus, gpus)
        return Scale(1, pool.actors, pool.cpus, pool.gpus)
    least, dash, most = replicas.partition("-")
    most = most if dash else least
    if not (least.strip().isdecimal() and most.strip().isdecimal()) or int(most) < 1:
        raise InvalidOption("--replicas", replicas, "N or LEAST-MOST, at least 1")
    pool = pool_for(nodes, int(most), cpus, gpus)
    return Scale(int(least), int(most), pool.cpus, pool.gpus)


def deployment_options(scale: Scale, settings: ServerSettings) -> dict[str, Any]:
    """What Ray Serve is told of the replicas. Pure.

    A replica refuses work over `--most` itself, with 503 in OpenAI's shape; Ray hands it a little more, so that those
    who only look are answered then. What waits at a proxy is bounded, too. A replica more is asked for where each has
    a quarter of `--most` in work: by then its batches are full.
    """
    return {
        "ray_actor_options": {"num_cpus": scale.cpus, "num_gpus": scale.gpus},
        "autoscaling_config": {
            "min_replicas": scale.least,
            "max_replicas": scale.most,
            "target_ongoing_requests": max(1, settings.waiting // 4),
        },
        "max_ongoing_requests": settings.waiting + _SPARE,
        "max_queued_requests": settings.waiting,
        "backpressure_config": {"status_code": 503, "retry_after_s": 5},
        "graceful_shutdown_timeout_s": settings.drain_s + _SPARE_S,
    }


class Replica:
    """The application of `serve`, and the process of its engine."""

    def __init__(self, given: Mapping[str, Any], environ: Mapping[str, str]) -> None:
        """`given`: the options of `serve`; `environ`: what of the environment is for this package.

        Raises InvalidOption where the proxies are reached by others and nobody needs a key.
        """
        own = {**os.environ, **environ}
        _keep_to_loopback()
        self._stack = ExitStack()
        self._serving = self._stack.enter_context(application({**given, **listening()}, own))
        self._health = self._serving.app.state.service.health

    def __serve_build_asgi_app__(self) -> FastAPI:
        return self._serving.app

    async def check_health(self) -> None:
        """Ray asks before it sends requests here, and from then on; a replica that raises is replaced.

        The first time it waits until a second of sound was recognised.
        """
        while not (self._health.warm or self._health.engine_problem or self._health.problem):
            await asyncio.sleep(_LOOK_S)
        problem = self._health.why_not()
        if problem:
            raise RuntimeError(problem)

    async def __del__(self) -> None:
        await asyncio.to_thread(self._stack.close)


def _keep_to_loopback() -> None:
    """Have this replica's port for calls by gRPC on loopback, which nobody uses here.

    Ray 2.60 opens it on all interfaces, and it takes pickled calls from whoever reaches it, without a token.
    """
    from ray.serve._private import replica

    add = replica.add_port_to_grpc_server
    replica.add_port_to_grpc_server = lambda server, address: add(server, address.replace("[::]", "127.0.0.1"))


def listening() -> dict[str, Any]:
    """`host` and `port` of the cluster's proxies: whoever started Ray Serve there has said them, and they stay so.

    Nothing where Ray Serve is not there yet.
    """
    from ray.serve.context import _get_global_client

    client = _get_global_client(raise_if_no_controller_running=False)
    said = None if client is None else client.http_config
    return {"host": said.host, "port": said.port} if said is not None and said.host else {}


def app(args: Mapping[str, Any]) -> Any:
    """The application for Ray Serve. `args`: options of `serve`, by their names without the dashes in front.

    Ray's own command calls it before it connects to a cluster; then it is the one that RAY_ADDRESS names, or this
    machine's. Raises BadUsage, InvalidOption, ClusterFailed.
    """
    given = options_of(args)
    ray = import_ray(_RUNNING, "serve")
    if not ray.is_initialized():
        try:
            connect(ray, _RUNNING)
        except OSError as error:
            what = "start one (`ray start --head`) and name it by RAY_ADDRESS, or run `autorag-whisper serve --ray`"
            raise BadUsage("no Ray cluster is found that the service could go onto", what) from error
    return bound(given, os.environ)


def options_of(args: Mapping[str, Any]) -> dict[str, Any]:
    """Options of `serve` as its command line gives them, of names and values. Raises BadUsage."""
    from autorag_whisper.cli.serve import serve

    line: list[str] = []
    try:
        for name, value in args.items():
            flag = "--" + str(name).replace("_", "-")
            known = next((one for one in serve.params if flag in one.opts), None)
            for each in value if isinstance(value, list | tuple) else [] if value is None else [value]:
                if isinstance(known, click.Option) and known.is_flag:
                    line += [flag] if click.BOOL.convert(str(each), known, None) else []
                else:
                    line += [flag, str(each)]
        return dict(serve.make_context("serve", line).params)
    except click.UsageError as error:
        raise BadUsage(error.format_message(), "see `autorag-whisper serve --help`") from error


def bound(given: Mapping[str, Any], environ: Mapping[str, str]) -> Any:
    """The deployment with its options, for the cluster that is connected.

    Raises BadUsage, InvalidOption; the latter also where its proxies are reached by others and nobody needs a key.
    """
    import ray
    from ray import serve

    scale = scale_for(nodes_of(ray), given["replicas"], given["replica_cpus"], given["replica_gpus"])
    require(given, scale)
    settings = server_settings({**given, **listening()}, environ)
    theirs = {name: text for name, text in environ.items() if name.startswith(("AUTORAG_WHISPER_", "HF_", "OTEL_"))}
    deployment = serve.deployment(serve.ingress()(Replica), name=NAME, **deployment_options(scale, settings))
    return deployment.bind({**given, "ray": None}, theirs)


def require(given: Mapping[str, Any], scale: Scale) -> None:
    """Raise BadUsage for options that replicas cannot have."""
    for name in ("watch", "wyoming"):
        if given[name] is not None:
            raise BadUsage(f"--{name} is for one server, not for replicas", "run `serve` without --ray for it")
    if given["data"] is not None and not given["store"] and scale.most > 1:
        raise BadUsage(
            "replicas that share durable jobs need one database", "give it: --store postgresql://..., or --replicas 1"
        )


def serve_on_ray(given: Mapping[str, Any], environ: Mapping[str, str], tell: Callable[[str], None]) -> None:
    """Deploy, say where it is, and wait for the signal that ends it.

    Raises:
        ExtraNotInstalled: Ray or its `serve` is not installed.
        ClusterFailed: the cluster cannot be reached, or the application does not come up there.
        BadUsage, InvalidOption, AddressTaken.
    """
    address: str = given["ray"]
    settings = server_settings(given, environ)
    port = _free_port(settings)
    ray = import_ray(address, "serve", told=_TOLD)
    try:
        connect(ray, address)
        try:
            ray.serve.start(
                proxy_location="HeadOnly" if address == LOCAL else "EveryNode",
                http_options={"host": settings.host, "port": port},
            )
            deployment = bound(given, environ)  # what is wrong with the options is told before anything is deployed
            try:
                ray.serve.run(deployment, name=NAME, route_prefix="/")
                place = _url({"host": settings.host, "port": port} | listening())
                tell(f"{place} with {settings.model} on Ray, at {address}")
                threading.Event().wait()
            finally:
                if address == LOCAL:
                    ray.serve.shutdown()
                else:
                    ray.serve.delete(NAME)
        finally:
            ray.shutdown()
    except (ray.exceptions.RayError, ConnectionError, OSError) as error:
        raise meaning(error) from error
    except RuntimeError as error:  # so Ray Serve says that an application does not come up
        raise ClusterFailed(str(error).strip().replace("\n", "; ")[:2000]) from error


def _url(where: Mapping[str, Any]) -> str:
    host = f"[{where['host']}]" if ":" in where["host"] else where["host"]
    return f"http://{host}:{where['port']}/v1"


def _free_port(settings: ServerSettings) -> int:
    """The port that was asked for, or a free one. Raises AddressTaken: Ray's proxy would try for ever."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.create_server((settings.host, settings.port), family=family) as listener:
            return int(listener.getsockname()[1])
    except OSError as error:
        raise AddressTaken(f"{settings.host}:{settings.port}", system_reason(error)) from error
