"""Processes that share a card, killed and stopped at random: never two holders, nobody waits for ever."""

from __future__ import annotations

import logging
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from autorag_whisper.gpu.arbiter.directory import Directory

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAYER = Path(__file__).with_name("arbiter_player.py")
TENANTS = ("whisper", "whisper", "llm", "llm")
BLOWS, LEASES = 120, 200
"""Kills and stops, and leases in between, at least."""

_log = logging.getLogger(__name__)
"""What a run came to: pytest -o log_cli_level=INFO."""


class Players:
    """Four processes, each replaced when it is killed."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.folder, self.log = folder, log
        self.running = [self._start(tenant) for tenant in TENANTS]

    def _start(self, tenant: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, str(PLAYER), str(self.folder), tenant, str(self.log)])

    def kill(self, index: int) -> float:
        """When it died."""
        self.running[index].kill()
        killed = time.monotonic()
        self.running[index].wait(60)
        self.running[index] = self._start(TENANTS[index])
        return killed

    def end(self) -> None:
        for player in self.running:
            player.send_signal(signal.SIGCONT)
            player.kill()
            player.wait(60)


@pytest.fixture
def players(tmp_path: Path) -> Iterator[Players]:
    made = Players(tmp_path / "gpu", tmp_path / "log")
    yield made
    made.end()


def lines(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_over_many_kills_and_stops_there_are_never_two_holders_and_every_wait_ends(players: Players) -> None:
    seed = int(os.environ.get("CHAOS_SEED", "1"))
    chance = random.Random(seed)
    while sum(line[0] == "ready" for line in lines(players.log)) < len(TENANTS):
        time.sleep(0.05)
    directory = Directory(players.folder)
    killed_holders, stopped_holders = list[float](), 0
    blows = 0

    def has_seen_all() -> bool:
        seen = Counter(line[0] for line in lines(players.log))
        return bool(seen["in"] > LEASES and seen["busy"] and killed_holders and stopped_holders)

    while blows < BLOWS or not has_seen_all():
        blows += 1
        time.sleep(chance.uniform(0.0, 0.3))
        holder = directory.held()
        index = chance.randrange(len(TENANTS))
        pid = players.running[index].pid
        is_holder = holder is not None and holder.owner.startswith(f"{pid}-")
        if chance.random() < 0.5:
            at = players.kill(index)
            killed_holders += [at] if is_holder else []
        else:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(chance.choice((0.05, 0.2, 1.2)))
            held = directory.held()
            stopped_holders += held is not None and held.owner.startswith(f"{pid}-")
            os.kill(pid, signal.SIGCONT)
    players.end()
    events = lines(players.log)
    entered = [(int(line[4]), float(line[3])) for line in events if line[0] == "in"]
    assert not [line for line in events if line[0] == "VIOLATION"]
    assert [epoch for epoch, _ in entered] == sorted({epoch for epoch, _ in entered})
    assert {line[2] for line in events if line[0] == "in"} == set(TENANTS)
    nexts = ([at - killed for _, at in entered if at > killed] for killed in killed_holders)
    gaps = sorted(min(after) for after in nexts if after)
    _log.info("seed %d: %d leases, %d holders killed, %d stopped", seed, len(entered), len(gaps), stopped_holders)
    if gaps:
        shown = ", ".join(f"{1000 * gap:.1f}" for gap in gaps)
        _log.info("ms from kill to next lease: median %.1f; all: %s", 1000 * statistics.median(gaps), shown)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_who_waits_behind_a_stopped_holder_has_its_deadlines_answer_and_the_holder_goes_on(players: Players) -> None:
    directory = Directory(players.folder)
    stopped: subprocess.Popen[bytes] | None = None
    while stopped is None:
        holder = directory.held()
        for player in players.running:
            if holder is not None and holder.owner.startswith(f"{player.pid}-"):
                player.send_signal(signal.SIGSTOP)
                while psutil.Process(player.pid).status() != psutil.STATUS_STOPPED:
                    time.sleep(0.001)
                still = directory.held()
                if still is not None and still.number == holder.number:
                    stopped = player
                else:
                    player.send_signal(signal.SIGCONT)
    before = len([line for line in lines(players.log) if line[0] == "in"])
    while len({line[1] for line in lines(players.log) if line[0] == "busy"}) < len(TENANTS) - 1:
        time.sleep(0.05)
    assert len([line for line in lines(players.log) if line[0] == "in"]) == before
    stopped.send_signal(signal.SIGCONT)
    while len([line for line in lines(players.log) if line[0] == "in"]) < before + 10:
        time.sleep(0.05)
    assert not [line for line in lines(players.log) if line[0] == "VIOLATION"]
