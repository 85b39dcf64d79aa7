"""`autorag-whisper doctor`: what is here, what would be used and why, and what is wrong with a remedy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from autorag_whisper.cli import verbose_option

if TYPE_CHECKING:
    from autorag_whisper.cli.checks import Section
    from autorag_whisper.cli.context import CommandContext


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
@verbose_option
@click.pass_obj
def doctor(context: CommandContext | None, /, *, as_json: bool) -> int:
    """Say what is installed, which device would be used and why, where models lie, and what is wrong.

    Exit code 1 when something is broken.
    """
    from autorag_whisper.cli.checks import examine
    from autorag_whisper.cli.context import CommandContext
    from autorag_whisper.cli.exits import FAILED, SUCCESS

    sections = examine(context or CommandContext())
    click.echo(_as_json(sections) if as_json else _as_text(sections))
    return FAILED if any(section.problems for section in sections) else SUCCESS


def _as_json(sections: tuple[Section, ...]) -> str:
    facts = {section.name: {fact.name: fact.value for fact in section.facts} for section in sections}
    problems = [
        {"section": section.name, "problem": problem.what, "remedy": problem.remedy}
        for section in sections
        for problem in section.problems
    ]
    return json.dumps({"ok": not problems, **facts, "problems": problems}, indent=2)


def _as_text(sections: tuple[Section, ...]) -> str:
    lines = []
    for section in sections:
        lines.append(f"{section.name}:")
        wide = max((len(fact.name) for fact in section.facts), default=0)
        lines += [f"  {fact.name:<{wide}}  {fact.value}".rstrip() for fact in section.facts]
        lines += [f"  WRONG: {problem.what}" for problem in section.problems]
        lines.append("")
    problems = [problem for section in sections for problem in section.problems]
    if not problems:
        return "\n".join([*lines, "Everything that was looked at is in order."])
    lines.append(f"{len(problems)} wrong:")
    lines += [f"  {problem.what}\n    -> {problem.remedy}" for problem in problems]
    return "\n".join(lines)
