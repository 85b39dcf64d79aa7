"""Ray itself: imported, reached, and asked what there is. A cluster of this process's own is on loopback alone.

Whoever reaches the ports of a cluster without tokens runs code on it, so tokens are asked for everywhere.
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

from autorag_whisper.archive.sharded.pool import Node
from autorag_whisper.domain.archive_errors import ClusterFailed
from autorag_whisper.domain.errors import AutoragWhisperError, ExtraNotInstalled
from autorag_whisper.domain.interruptions import let_signals_through

if TYPE_CHECKING:
    from collections.abc import Mapping

LOCAL = "local"
"""In the place of an address: a cluster of this process's own, which ends with it."""
_KNOCK_S = 10.0
_TRIES, _SLOW = 4, "timed out during startup"


def import_ray(address: str, *modules: str, told: Mapping[str, str] | None = None) -> Any:
    """Ray, with `modules` of it ("data", "serve"). `told`: variables of the environment that its processes get besides.

    Variables that somebody has set stay as they are. Raises ExtraNotInstalled.
    """
    # Before the import, as Ray reads them then.
    variables = {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"} | dict(told or {})
    # What is left of a run would begin a cluster, as anybody's, by a call. Nothing helps who had imported Ray before.
    variables["RAY_ENABLE_AUTO_CONNECT"] = "0"
    if address == LOCAL:
        # Ray listens on loopback alone where it takes itself to be on a desktop; nothing else makes it.
        variables["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        variables["RAY_worker_niceness"] = "0"  # else 15: engines would wait for whatever else this machine does
    for name, value in variables.items():
        os.environ.setdefault(name, value)  # noqa: TID251 - Ray has no other way to be told
    try:
        import ray

        for name in modules:
            importlib.import_module(f"ray.{name}")
    except ImportError as error:
        raise ExtraNotInstalled("ray", "ray", str(error)) from error
    return ray


def connect(ray: Any, address: str) -> None:
    """Begin a cluster of this process's own, or join one. Signals do what they did: Ray would end the process at once.

    Raises OSError where nobody listens at the address, and ClusterFailed.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        if address == LOCAL:
            _begin(ray)
        else:
            _knock(address)
            ray.init(address=address, log_to_driver=False)
    except OSError:
        raise
    except Exception as error:
        let_signals_through(error)
        raise meaning(error) from error
    finally:
        if threading.current_thread() is threading.main_thread():  # where signals are set, by Ray as well
            for number, handler in before.items():
                signal.signal(number, handler)


def _begin(ray: Any) -> None:
    """Begin a cluster. On a busy machine Ray gives its own node up after half a minute, so it is tried a few times.

    What a try leaves ends with this process.
    """
    slots = max(2, len(os.sched_getaffinity(0)))
    for left in reversed(range(_TRIES)):
        try:
            ray.init(address="local", num_cpus=slots, include_dashboard=False, log_to_driver=False)
        except OSError:
            raise
        except Exception as error:  # Ray has no type for it
            let_signals_through(error)
            if not left or _SLOW not in str(error):
                raise
        else:
            return


def nodes_of(ray: Any) -> list[Node]:
    """What the nodes that are alive offer."""
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Node(resources.get("CPU", 0.0), resources.get("GPU", 0.0)) for resources in alive]


def meaning(error: BaseException) -> AutoragWhisperError:
    """What an actor raised, or that the cluster failed."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, AutoragWhisperError):
            return cause
        inner = getattr(cause, "cause", None)
        cause = inner if isinstance(inner, BaseException) else cause.__cause__
    return ClusterFailed(str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__)


def _knock(address: str) -> None:
    """Raise OSError where nobody listens at `HOST:PORT`: Ray itself tries for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "://" not in address:
        with socket.create_connection((host.strip("[]"), int(port)), _KNOCK_S):
            pass
