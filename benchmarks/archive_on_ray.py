"""Archives on a Ray cluster of one's own: `scripts/ray_env.sh --only-make`'s Python, `-m benchmarks.archive_on_ray -h`.

`overhead`  `archive run --ray` against `transcribe` over the same recordings, in turn
`kills`     `archive run --ray` while actors, engines' processes, the driver and the head are killed at random: results
            against those of one process that is left alone

`hosts`     a cluster of two "hosts", network namespaces (needs root and `ip`): results against those of one process

Each prints a line of JSON; `kills` and `hosts` end with 1 where a word differs, or a recording is missing or twice.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.archive import COMMAND, DEMO, cut_clips, machine, merged, run

if TYPE_CHECKING:
    from collections.abc import Iterator

VICTIMS = {
    "actor": ("MapBatches(Recognise)",),
    "decoder": ("ray::decode",),
    "raylet": ("raylet/raylet",),
    "head": ("gcs_server",),
    "driver": (),
}
"""What is killed, by its command line; the driver is the command itself."""


# ---------------------------------------------------------------- overhead


def recordings(folder: Path, source: Path, count: int, seconds: float, beside: Path | None) -> Path:
    """A folder of clips of one recording, or those of `beside` that are there."""
    place = folder / "recordings"
    if beside is None:
        cut_clips(source, place, count, seconds)
        return place
    place.mkdir()
    for path in sorted(beside.iterdir())[:count]:
        shutil.copy(path, place)
    return place


def measure_overhead(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Seconds of the two commands over the same recordings, in turn; neither the plan nor the cluster's start counts.

    A run on Ray starts a cluster of its own, which an archive has once: its seconds are told apart, as those of
    a run of a plan of one recording.
    """
    place = recordings(folder, given.source, given.count, given.seconds, given.beside)
    one = folder / "one"
    one.mkdir()
    shutil.copy(sorted(place.iterdir())[0], one)
    for name, what in (("plan", place), ("start", one)):
        planned = run("archive", "plan", what, "-o", folder / f"{name}.jsonl", "--shard-minutes", "1", "--speed", "15")
        assert planned["code"] == 0, planned
    plain, on_ray, starts = list[float](), list[float](), list[float]()
    for turn in range(given.rounds):
        plain.append(_timed("transcribe", place, "-o", folder / f"plain{turn}", "-f", "json", "-m", given.model))
        single = _timed("transcribe", one, "-o", folder / f"single{turn}", "-f", "json", "-m", given.model)
        ray = ("--ray", "--decode-cpus", given.decode_cpus, "-m", given.model)
        starts.append(_timed("archive", "run", folder / "start.jsonl", "-o", folder / f"s{turn}", *ray) - single)
        on_ray.append(_timed("archive", "run", folder / "plan.jsonl", "-o", folder / f"out{turn}", *ray))
    share = (min(on_ray) - min(starts)) / min(plain) - 1
    return {"what": "overhead", "recordings": given.count, "seconds": given.seconds, "model": given.model,
            "decode_cpus": given.decode_cpus, "plain_s": plain, "on_ray_s": on_ray, "cluster_s": starts,
            "overhead": round(share, 4), "overhead_with_start": round(min(on_ray) / min(plain) - 1, 4)}  # fmt: skip


def _timed(*arguments: Any) -> float:
    found = run(*map(str, arguments), "-q")
    assert found["code"] == 0, found
    return float(found["wall_s"])


# ---------------------------------------------------------------- kills


@dataclass
class Kills:
    """A command that is begun again until it ends well, with one process after the other killed below it."""

    plan: Path
    model: str
    log: Path
    kills: int
    seed: int = 1
    pause_s: float = 15.0
    killed: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    lives: dict[str, dict[str, int]] = field(default_factory=dict)

    def run(self, out: Path, patience_s: float) -> None:
        """Until a command has left nothing."""
        chance, ends = random.Random(self.seed), time.monotonic() + patience_s
        while True:
            process = self._start(out)
            try:
                while process.poll() is None:
                    assert time.monotonic() < ends, self.log.read_text()[-4000:]
                    if sum(self.killed.values()) >= self.kills:
                        threading.Event().wait(0.1)
                        continue
                    if self._is_at_work(process):
                        threading.Event().wait(chance.uniform(0, self.pause_s))
                        self._kill(process, chance.choice(list(VICTIMS)))
                    threading.Event().wait(0.5)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if process.returncode == 0:
                break
        for line in self.log.read_text(errors="replace").splitlines():
            if line.startswith("{"):
                self.lives |= json.loads(line)["loads"]

    def _start(self, out: Path) -> subprocess.Popen[bytes]:
        self.starts += 1
        command = [*COMMAND, "archive", "run", str(self.plan), "-o", str(out), "-m", self.model, "--ray", "--json"]
        with self.log.open("ab") as file:
            return subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)

    def _is_at_work(self, process: subprocess.Popen[bytes]) -> bool:
        return bool(_below(process, VICTIMS["actor"]))

    def _kill(self, process: subprocess.Popen[bytes], what: str) -> None:
        victims = _below(process, VICTIMS[what]) if VICTIMS[what] else [process]
        for victim in victims[:1]:
            with contextlib.suppress(psutil.Error):
                victim.kill()
                self.killed[what] += 1


def _below(process: subprocess.Popen[bytes], parts: tuple[str, ...]) -> list[psutil.Process]:
    found = []
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if any(part in " ".join(child.cmdline()) for part in parts):
                    found.append(child)
    return found


def measure_kills(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    clips = folder / "clips"
    cut_clips(given.source, clips, given.count, given.seconds)
    (clips / "broken.mp3").write_bytes(b"broken")
    plan = folder / "plan.jsonl"
    planned = run("archive", "plan", clips, "-o", plan, "--shard-minutes", "1", "--speed", "1")
    assert planned["code"] == 0, planned
    alone = run("archive", "run", plan, "-o", folder / "alone", "-m", given.model, "-q")
    assert alone["code"] == 0, alone
    began = time.monotonic()
    chaos = Kills(plan, given.model, folder / "log", given.kills, given.seed, given.pause_s)
    chaos.run(folder / "killed", given.patience)
    wall_s = round(time.monotonic() - began, 1)
    one, other = (merged(plan, folder / name, folder / f"merged-{name}") for name in ("alone", "killed"))
    return {"what": "kills", "recordings": given.count + 1, "killed": dict(chaos.killed), "starts": chaos.starts,
            "wall_s": wall_s, "alone_s": alone["wall_s"], "equal": one == other,
            "missing": given.count + 1 - len(other), "failed": sum(isinstance(heard, str) for heard in other.values()),
            "loads_of_the_last_run": chaos.lives}  # fmt: skip


# ---------------------------------------------------------------- two hosts

HOSTS = {"autorag-ray-a": "10.77.0.1", "autorag-ray-b": "10.77.0.2"}
_HEAD = "10.77.0.1:6379"


@contextlib.contextmanager
def two_hosts() -> Iterator[None]:
    """Two network namespaces with an Ethernet between them, and nothing else."""
    (one, _), (other, _) = HOSTS.items()
    try:
        for name in HOSTS:
            _ip("netns", "add", name)
        _ip("link", "add", "eth1", "netns", one, "type", "veth", "peer", "name", "eth1", "netns", other)
        for name, address in HOSTS.items():
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "address", "add", f"{address}/24", "dev", "eth1")
            _ip("-n", name, "link", "set", "eth1", "up")
        yield
    finally:
        for name in HOSTS:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def on_host(name: str, *command: str | Path) -> list[str]:
    return ["ip", "netns", "exec", name, *map(str, command)]


@contextlib.contextmanager
def node(name: str, folder: Path, environ: dict[str, str], *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A node of a cluster, on a host, in a session of its own."""
    ray = (sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", "--block")
    shared = (
        "--num-cpus",
        "2",
        "--node-ip-address",
        HOSTS[name],
        "--disable-usage-stats",
        "--include-dashboard",
        "false",
    )
    if "--head" not in options:
        shared = shared[:-2]
    with (folder / f"{name}.log").open("wb") as log:
        command = on_host(name, *ray, *shared, "--temp-dir", folder / "r", *options)
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environ, start_new_session=True)
    try:
        yield process
    finally:
        below = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.terminate()
        _, alive = psutil.wait_procs([psutil.Process(process.pid), *below] if below else [], timeout=20)
        for each in alive:
            with contextlib.suppress(psutil.Error):
                each.kill()
        process.wait()


def measure_hosts(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    clips, plan = folder / "clips", folder / "plan.jsonl"
    cut_clips(given.source, clips, given.count, given.seconds)
    planned = run("archive", "plan", clips, "-o", plan, "--shard-minutes", "1", "--speed", "0.5")
    assert planned["code"] == 0, planned
    alone = run("archive", "run", plan, "-o", folder / "alone", "-m", given.model, "-q")
    assert alone["code"] == 0, alone
    environ = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    (head, _), (other, _) = HOSTS.items()
    with (
        two_hosts(),
        node(head, folder, environ, "--head", "--port", _HEAD.rpartition(":")[2]),
        node(other, folder, environ, "--address", _HEAD),
    ):
        wait = f"import ray, threading; ray.init(address={_HEAD!r}, log_to_driver=False)\n"
        wait += "while len([n for n in ray.nodes() if n['Alive']]) < 2: threading.Event().wait(0.5)"
        subprocess.run(on_host(head, sys.executable, "-c", wait), env=environ, check=True, timeout=300)
        began = time.monotonic()
        command = [*COMMAND, "archive", "run", plan, "-o", folder / "two", "-m", given.model, "--ray", _HEAD, "--json"]
        done = subprocess.run(
            on_host(head, *command), env=environ, capture_output=True, text=True, timeout=given.patience, check=False
        )
        wall_s = round(time.monotonic() - began, 1)
    assert done.returncode == 0, done.stderr
    said = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    one, two = (merged(plan, folder / name, folder / f"merged-{name}") for name in ("alone", "two"))
    return {"what": "hosts", "recordings": given.count, "wall_s": wall_s, "alone_s": alone["wall_s"],
            "equal": one == two, "missing": given.count - len(two), "loads": said["loads"]}  # fmt: skip


MEASURES = {"overhead": measure_overhead, "kills": measure_kills, "hosts": measure_hosts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=MEASURES)
    parser.add_argument("--source", type=Path, default=DEMO)
    parser.add_argument("--beside", type=Path, help="A folder of recordings, instead of clips.")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--decode-cpus", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause-s", type=float, default=15.0, help="before a kill, at most")
    parser.add_argument("--patience", type=float, default=3600.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="archive-on-ray-") as name:
        found = MEASURES[given.what](Path(name), given)
    print(json.dumps(found | machine()))
    if not found.get("equal", True) or found.get("missing"):
        sys.exit(1)


if __name__ == "__main__":
    main()
