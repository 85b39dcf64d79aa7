"""`autorag-whisper formats`: which media files are read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from autorag_whisper.audio.allowlist import Format


@click.group()
def formats() -> None:
    """List the containers and codecs that are read."""


@formats.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def list_formats(*, as_json: bool) -> None:
    """Every container with its usual suffixes, then every codec. What a file is, is told from its bytes."""
    from autorag_whisper.audio.available import available

    here, codecs = available()
    if as_json:
        rows = [_row(one) for one in here]
        click.echo(json.dumps({"containers": rows, "codecs": codecs}, indent=2))
        return
    width, title_width = max(len(one.name) for one in here), max(len(one.title) for one in here)
    for one in here:
        suffixes = " ".join(one.suffixes) + (" (no header: by its suffix)" if one.is_headerless else "")
        click.echo(f"{one.name:<{width}}  {one.title:<{title_width}}  {suffixes}".rstrip())
    click.echo("\nCodecs: " + " ".join(codecs))


def _row(one: Format) -> dict[str, Any]:
    return {
        "name": one.name,
        "title": one.title,
        "suffixes": list(one.suffixes),
        "taken_from_folders": list(one.in_folders),
        "needs_suffix": one.is_headerless,
    }
