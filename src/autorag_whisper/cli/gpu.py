"""`autorag-whisper gpu`: who shares the card."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autorag_whisper.cli.context import CommandContext
    from autorag_whisper.gpu.arbiter.status import Status
    from autorag_whisper.gpu.card_memory import CardMemory


@click.group()
def gpu() -> None:
    """Say who has the GPU, who waits for it, and what they keep there."""


@gpu.command()
@click.option("--device", type=click.IntRange(0), default=0, show_default=True, help="CUDA's number of the card.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
@click.pass_obj
def status(context: CommandContext | None, /, device: int, as_json: bool) -> None:
    """The holder, who waits, their ages, and the bytes reserved and reported."""
    from autorag_whisper.cli.context import CommandContext
    from autorag_whisper.gpu.arbiter.status import gpu_folder, look
    from autorag_whisper.gpu.card_memory import CardReader
    from autorag_whisper.settings import Settings

    environ = (context or CommandContext()).environ
    settings = Settings.from_env(environ)
    folder = gpu_folder(settings, environ, device)
    found, card = look(folder, time.monotonic()), CardReader(environ).memory(device)
    arbiter = settings.arbiter
    if as_json:
        click.echo(json.dumps(_facts(found, card, str(folder)) | {"arbiter": arbiter}, indent=2))
        return
    for line in _lines(found, card):
        click.echo(line)
    click.echo(f"folder:    {folder}")
    if arbiter != "machine":  # who works with this setting leaves no trace in the folder
        click.echo(f"beware:    with AUTORAG_WHISPER_ARBITER={arbiter} processes do not take turns and are not listed")


def _facts(found: Status, card: CardMemory | None, folder: str) -> dict[str, Any]:
    reported = None if card is None else {"total_bytes": card.total_bytes, "free_bytes": card.free_bytes}
    return {**asdict(found), "reserved_bytes": found.reserved_bytes, "reported": reported, "folder": folder}


def _lines(found: Status, card: CardMemory | None) -> Iterator[str]:
    holder = found.holder
    if holder is None:
        yield "holder:    nobody"
    else:
        yield f"holder:    {holder.tenant} (process {holder.owner}), for {holder.age_s:.1f} s, lease {holder.epoch}"
    for one in found.waiting:
        left = f"{one.left_s:.1f} s left" if one.left_s > 0 else "its time is over"
        yield f"waiting:   {one.tenant} (process {one.owner}), {left}, needs {_mib(one.needs_bytes)}"
    if not found.waiting:
        yield "waiting:   nobody"
    for kept in found.kept:
        yield f"on card:   {kept.tenant} (process {kept.owner}), {_mib(kept.held_bytes)}"
    yield f"reserved:  {_mib(found.reserved_bytes)}"
    if card is None:
        yield 'reported:  unknown: no card, no driver, or no NVML (pip install "autorag-whisper[cuda]")'
    else:
        yield f"reported:  {_mib(card.used_bytes)} of {_mib(card.total_bytes)} are used"


def _mib(amount: int) -> str:
    return f"{amount / (1 << 20):,.0f} MiB"
