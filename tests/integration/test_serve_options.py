"""docs/server.md has every option of `serve`, with its variable and its default, as `--help` has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from autorag_whisper.cli.serve import serve

if TYPE_CHECKING:
    from pathlib import Path


def rows() -> list[str]:
    """The table, as it should be."""
    found = []
    with click.Context(serve, info_name="serve", auto_envvar_prefix="AUTORAG_WHISPER_SERVE") as context:
        for option in serve.params:
            assert isinstance(option, click.Option)
            variable = f"AUTORAG_WHISPER_SERVE_{(option.name or '').upper()}"
            assert variable == (option.envvar or [variable])[0]
            told = option.get_default(context)
            default = ", ".join(map(str, told)) if isinstance(told, list | tuple) else str(told)
            default = "" if told in (None, False, "", (), []) or "UNSET" in default else f"`{default}`"
            name = max(option.opts, key=len)
            found.append(f"| `{name}` | `{variable}` | {default} | {option.help} |")
    return found


def test_the_table_of_options_is_that_of_the_command(root: Path) -> None:
    text = (root / "docs" / "server.md").read_text(encoding="utf-8")
    section = text.partition("\n## Every option\n")[2].partition("\n## ")[0]
    told = [line for line in section.splitlines() if line.startswith("| `")]
    assert told == rows(), "\n".join(rows())
