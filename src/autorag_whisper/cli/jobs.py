"""`autorag-whisper jobs`: durable jobs of a server (`autorag-whisper serve --data FOLDER`)."""

from __future__ import annotations

import json
import re
import threading
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autorag_whisper.cli.exits import CANCELLED, FAILED, SUCCESS, BadUsage
from autorag_whisper.files import cut_to

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autorag_whisper.cli.context import CommandContext
    from autorag_whisper.cli.server_client import JobsClient

_SERVER = "http://127.0.0.1:8060"
_EPILOG = """\b
The server is --server URL, before the command, or AUTORAG_WHISPER_SERVER. A key that it asks for is read from
AUTORAG_WHISPER_API_KEY.

\b
  autorag-whisper jobs add lecture.mp4 --language de      prints the job's ID
  autorag-whisper jobs watch ID                           its text as it comes
  autorag-whisper jobs export ID -f srt -o subtitles/

\b
Exit codes: 0 all is well, 1 a job failed or the server refused or was not reached, 2 bad usage, 4 a job that was
waited for was cancelled, 130 interrupted (the jobs go on), 143 terminated (as well)."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_RECONNECTS, _RECONNECT_S = 30, 2.0
_STATES = ("queued", "running", "done", "failed", "cancelled")
_LIMIT = 100
_LONGEST_STEM_BYTES = 200
"""A job's ID and a suffix may stand behind it."""


class _Jobs:
    """What the commands share: the server, asked when it is needed."""

    def __init__(self, server: str, key: str) -> None:
        self._server, self._key = server, key

    def client(self) -> JobsClient:
        from autorag_whisper.cli.server_client import JobsClient

        return JobsClient(self._server, self._key)


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--server", metavar="URL", help=f"Default: AUTORAG_WHISPER_SERVER, or {_SERVER}.")
@click.pass_context
def jobs(click_context: click.Context, server: str | None) -> None:
    """Queue files on a server, follow them, and fetch their results."""
    from autorag_whisper.cli.context import CommandContext

    context: CommandContext = click_context.obj or CommandContext()
    environ = context.environ
    chosen = server or environ.get("AUTORAG_WHISPER_SERVER", "").strip() or _SERVER
    click_context.obj = _Jobs(chosen, environ.get("AUTORAG_WHISPER_API_KEY", "").strip())


_ids = click.argument("ids", metavar="ID...", nargs=-1, required=True)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@jobs.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--on-server", is_flag=True, help="FILEs lie on the server, in a folder that it allows: send no bytes.")
@click.option("-m", "--model", help="Default: the server's.")
@click.option("-l", "--language", help="Code or English name; default: detected.")
@click.option("--task", type=click.Choice(("transcribe", "translate")), help="translate: into English.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="Any of TranscribeOptions, as JSON.")
@click.option("--priority", type=click.IntRange(-100, 100), help="The highest goes first; default 0.")
@click.option("--webhook", metavar="URL", help="Is told when the job is over.")
@click.option("--key", metavar="TEXT", help="Idempotency key: added again with it, it is the same job. For one FILE.")
@click.option("--wait", is_flag=True, help="Print the text as it comes, until all are over.")
@click.pass_obj
def add(shared: _Jobs, /, files: tuple[Path, ...], *, on_server: bool, wait: bool, **given: Any) -> int:
    """Queue FILEs; prints a line with the ID of each."""
    key = given.pop("key")
    if key and len(files) > 1:
        raise BadUsage("--key is for one FILE")
    if missing := [] if on_server else [str(file) for file in files if not file.is_file()]:
        raise BadUsage(f"there is no file {missing[0]!r}", "--on-server names files of the server")
    options = dict(_option(text) for text in given.pop("options"))
    fields = {name: str(value) for name, value in given.items() if value is not None}
    fields |= {"options": json.dumps(options)} if options else {}
    added = []
    with shared.client() as client:
        for file in files:
            # A key of its own, so that what an HTTP library or a proxy sends twice is one job.
            job = client.add(file, fields, by_path=on_server, key=key or uuid.uuid4().hex)
            added.append(job["id"])
            click.echo(job["id"], err=wait)
        return max((_watch(client, job, click.echo) for job in added), default=SUCCESS) if wait else SUCCESS


@jobs.command("list")
@click.option("--state", type=click.Choice(_STATES), help="Those alone.")
@click.option("--limit", type=click.IntRange(1), default=_LIMIT, show_default=True, help="The newest so many.")
@_as_json
@click.pass_obj
def list_jobs(shared: _Jobs, /, state: str | None, limit: int, *, as_json: bool) -> None:
    """List your jobs, the newest first."""
    with shared.client() as client:
        for job in client.listed(state or "", limit):
            click.echo(json.dumps(job, ensure_ascii=False) if as_json else _line(job))


@jobs.command()
@_ids
@_as_json
@click.pass_obj
def show(shared: _Jobs, /, ids: tuple[str, ...], *, as_json: bool) -> None:
    """Show all that is known of jobs."""
    with shared.client() as client:
        for job_id in ids:
            job = client.show(job_id)
            click.echo(json.dumps(job, ensure_ascii=False, indent=2) if as_json else _described(job))


@jobs.command()
@_ids
@click.pass_obj
def watch(shared: _Jobs, /, ids: tuple[str, ...]) -> int:
    """Print the text of jobs as it comes, until they are over. A connection that breaks is made again."""
    with shared.client() as client:
        return max(_watch(client, job_id, click.echo) for job_id in ids)


@jobs.command()
@_ids
@click.pass_obj
def cancel(shared: _Jobs, /, ids: tuple[str, ...]) -> None:
    """Stop jobs, within a batch; what is over stays."""
    with shared.client() as client:
        for job_id in ids:
            click.echo(_line(client.cancel(job_id)))


@jobs.command()
@_ids
@click.pass_obj
def retry(shared: _Jobs, /, ids: tuple[str, ...]) -> None:
    """Queue failed or cancelled jobs again; they go on behind what was finished."""
    with shared.client() as client:
        for job_id in ids:
            click.echo(_line(client.retry(job_id)))


@jobs.command()
@click.argument("ids", metavar="[ID...]", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every job that is done.")
@click.option(
    "-f", "--format", "format_", default="srt", show_default=True, help="srt, vtt, ass, txt, tsv, json, words."
)
@click.option("-o", "--output-dir", type=click.Path(path_type=Path, file_okay=False), help="Default: print it.")
@click.option("--force", is_flag=True, help="Replace files.")
@click.pass_obj
def export(shared: _Jobs, /, ids: tuple[str, ...], **given: Any) -> int:
    """Print results of jobs that are done, or write them into a folder, named after their files."""
    from autorag_whisper.format import FORMATS

    format_, folder = given["format_"], given["output_dir"]
    if format_ not in FORMATS:
        raise BadUsage(f"there is no format {format_!r}", f"use {', '.join(FORMATS)}")
    if bool(ids) == given["everything"]:
        raise BadUsage("give IDs, or --all")
    if folder is None and (given["everything"] or len(ids) > 1):
        raise BadUsage("several results need a folder", "--output-dir DIR")
    with shared.client() as client:
        found = list(client.listed("done")) if given["everything"] else [client.show(job_id) for job_id in ids]
        failed = 0
        for job, name in zip(found, _names(found, FORMATS[format_].suffix), strict=True):
            text = client.result(job["id"], format_)
            if folder is None:
                click.echo(text, nl=False)
            else:
                failed += not _write(folder / name, text, force=given["force"])
    return FAILED if failed else SUCCESS


@jobs.command()
@click.option("--older-than", metavar="AGE", required=True, help="Over for so long: 90s, 30m, 12h or 7d; 0s: all.")
@click.pass_obj
def prune(shared: _Jobs, /, older_than: str) -> None:
    """Forget jobs that are over, with their results and the media that was sent."""
    match = re.fullmatch(r"(\d{1,9})([smhd])", older_than)
    if match is None:
        raise BadUsage(f"{older_than!r} is no age", "use 90s, 30m, 12h or 7d")
    with shared.client() as client:
        count = client.prune(int(match[1]) * _UNITS[match[2]])
    click.echo(f"{count} {'job' if count == 1 else 'jobs'} forgotten")


def _option(text: str) -> tuple[str, Any]:
    """`quality=best`, `beam_size=3`, `clips=[[0,60]]`: a value that is no JSON is text."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise BadUsage(f"{text!r} is no option", "use NAME=VALUE, as in quality=best")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _watch(client: JobsClient, job_id: str, echo: Callable[[str], object]) -> int:
    """Follow a job to its end: its exit code."""
    from autorag_whisper.domain.job_errors import ServerUnreachable

    after, broken = "", 0
    while True:
        try:
            for event in client.events(job_id, after):
                after, broken = event.id or after, 0
                if event.kind == "segment":
                    echo(f"[{_clock(event.data['start'])} -> {_clock(event.data['end'])}] {event.data['text']}")
                elif event.kind == "restart":
                    click.echo("the text begins once more, from the start", err=True)
                elif event.kind == "state":
                    return _ended(event.data)
            broken += 1
        except ServerUnreachable:
            if not after or broken >= _RECONNECTS:  # at first it is told at once
                raise
            broken += 1
        if broken:
            threading.Event().wait(_RECONNECT_S)


def _ended(job: dict[str, Any]) -> int:
    if job["state"] == "failed":
        click.echo(f"{job['name']}: {job.get('error', {}).get('message', 'failed')}", err=True)
        return FAILED
    for note in job.get("notes", []):
        click.echo(f"{job['name']}: {note}", err=True)
    if job["state"] == "cancelled":
        click.echo(f"{job['name']}: cancelled", err=True)
        return CANCELLED
    return SUCCESS


def _line(job: dict[str, Any]) -> str:
    """A job in a line."""
    progress = job["progress"]
    total_s = progress["total_s"] or 0.0
    share = f"{progress['audio_s'] / total_s:4.0%}" if total_s else "    "
    return f"{job['id']}  {job['state']:<9}  {share}  {_moment(job['created_at'])}  {_printable(job['name'])}"


def _described(job: dict[str, Any]) -> str:
    progress, attempts = job["progress"], job["attempts"]
    total = f" of {_clock(progress['total_s'])}" if progress["total_s"] else ""
    left_s = progress.get("left_s")
    left = f", {_clock(left_s)} left" if left_s is not None else ""
    rows = {
        "id": job["id"],
        "file": _printable(job["name"]),
        "state": job["state"] + (f", {job['position']} before it" if job["state"] == "queued" else ""),
        "done": _clock(progress["audio_s"]) + total + left,
        "model": job["model"],
        "priority": str(job["priority"]),
        "added": _moment(job["created_at"]),
        "ended": _moment(job["finished_at"]) if "finished_at" in job else "",
        "attempts": ", ".join(f"{count} {name}" for name, count in attempts.items() if count),
        "error": job.get("error", {}).get("message", ""),
        "notes": "; ".join(job.get("notes", [])),
        "webhook": "; ".join(_sent(hook) for hook in job.get("webhook", [])),
    }
    return "\n".join(f"{name + ':':<10}{text}" for name, text in rows.items() if text)


def _sent(hook: dict[str, Any]) -> str:
    state = "told" if hook["delivered"] else "given up" if hook["over"] else "not told yet"
    return f"{state}, {hook['attempts']} attempts" + (f", {hook['response']}" if "response" in hook else "")


def _names(found: Sequence[dict[str, Any]], suffix: str) -> list[str]:
    """A file name for each job, after its media; those that would have the same get the job's ID."""
    stems = [re.sub(r"[/\\\0-\x1f]", "_", job["name"].rpartition(".")[0] or job["name"]).lstrip(".") for job in found]
    stems = [cut_to(stem, _LONGEST_STEM_BYTES) or job["id"] for stem, job in zip(stems, found, strict=True)]
    return [
        f"{stem}.{job['id']}{suffix}" if stems.count(stem) > 1 else f"{stem}{suffix}"
        for stem, job in zip(stems, found, strict=True)
    ]


def _write(path: Path, text: str, *, force: bool) -> bool:
    """Write a file whole; one that is there stays, unless it is to be replaced."""
    from autorag_whisper.archive.outputs import write_together

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_together({path: text.encode()}, new=frozenset() if force else frozenset({path}))
    except FileExistsError:
        click.echo(f"{path} is there already, and is kept (--force replaces it)", err=True)
        return False
    except OSError as error:
        click.echo(f"{path} cannot be written: {error.strerror}", err=True)
        return False
    click.echo(str(path))
    return True


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _clock(seconds: float) -> str:
    from autorag_whisper.domain.clips import clock

    return clock(seconds)


def _printable(name: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in name)
