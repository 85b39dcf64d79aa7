"""The command `autorag-whisper`. A subcommand is imported when it runs, so that `--help` answers at once."""

from __future__ import annotations

import difflib
import gc
import logging
import os
import signal
import sys
import threading
from importlib import import_module
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NoReturn, cast

import click

from autorag_whisper import __version__
from autorag_whisper.cli.exits import INTERRUPTED, TERMINATED, Terminated, exit_code, was_terminated
from autorag_whisper.domain.errors import AutoragWhisperError

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMMANDS: dict[str, tuple[str, str]] = {
    "transcribe": ("autorag_whisper.cli.transcribe:transcribe", "Turn media files into subtitles, text and words."),
    "archive": ("autorag_whisper.cli.archive:archive", "Recognise archives of any size, in shards on many machines."),
    "convert": ("autorag_whisper.cli.convert:convert", "Turn results in JSON into other formats, without recognising."),
    "serve": ("autorag_whisper.cli.serve:serve", "Serve OpenAI's audio API to programs on this machine."),
    "jobs": ("autorag_whisper.cli.jobs:jobs", "Queue files on such a server, follow them, fetch results."),
    "models": ("autorag_whisper.cli.models:models", "List Whisper models, fetch one, or find its folder."),
    "formats": ("autorag_whisper.cli.formats:formats", "List the containers and codecs that are read."),
    "bench": ("autorag_whisper.cli.bench:bench", "Measure how fast your own files are transcribed here."),
    "gpu": ("autorag_whisper.cli.gpu:gpu", "Say who has the GPU, who waits for it, and what they keep there."),
    "doctor": ("autorag_whisper.cli.doctor:doctor", "Say what is installed, what would be used, and what is wrong."),
}
"""Every subcommand: where it lives, and its line in `--help`."""

_OBJECTS_PER_COLLECTION = 20_000
"""Python's 700 have modules searched for cycles 150 times while they are imported: a tenth of a short clip's time."""

PYTHONS_THRESHOLDS = gc.get_threshold()
"""For a command that goes on for days: what closes with its object, such as a file, waits for the collector."""

_EPILOG = (
    "Exit codes: 0 all is well, 1 something failed, 2 bad usage, 3 nothing failed but outputs were kept or "
    "another run is at work, 4 a job that was waited for was cancelled, 130 interrupted (Ctrl-C), 143 terminated."
)


_OPTIONS = ("-h", "--help", "--version")


class _LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it runs. Files without a command are transcribed."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        args = _command_first(args)
        return super().parse_args(ctx, ["transcribe", *args] if _means_transcribe(args) else args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS:
            close = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            ctx.fail(f"There is no command and no file called {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        return cast("click.Command", getattr(import_module(module), name))

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # Click's own imports every command for its line of help.
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


def _command_first(arguments: list[str]) -> list[str]:
    """`-v transcribe talk.mp4` as `transcribe -v talk.mp4`: switches may stand before the command, as in many tools."""
    switches = list(takewhile(lambda argument: argument.startswith("-") and argument not in _OPTIONS, arguments))
    command, rest = arguments[len(switches) : len(switches) + 1], arguments[len(switches) + 1 :]
    if not switches or command[:1] == [] or command[0] not in _COMMANDS or "--" in switches:
        return arguments
    return [*command, *switches, *rest]


def _means_transcribe(arguments: Sequence[str]) -> bool:
    """Whether a command line that names no command is meant for `transcribe`: it begins with an option or a file."""
    first = arguments[0] if arguments else ""
    if not first or first in _COMMANDS or first in _OPTIONS:
        return False
    if first.startswith("-"):
        return True
    from autorag_whisper.archive.inputs import looks_like_a_file

    return looks_like_a_file(first)


@click.group(cls=_LazyGroup, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="autorag-whisper")
def cli() -> None:
    """Media in, words with times out: Whisper on your own CPU or GPU.

    FILEs in the place of a COMMAND are transcribed: `autorag-whisper talk.mp4`.
    """


def main() -> NoReturn:
    """Run the command with this process's arguments and exit."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.unraisablehook = _raise_again
    gc.set_threshold(_OBJECTS_PER_COLLECTION)
    code = run(sys.argv[1:])
    gc.freeze()  # what lives to the end of the process is not searched for cycles once more
    sys.exit(code)


def run(arguments: Sequence[str], context: Any = None) -> int:
    """Run the command and return its exit code; every expected error becomes one line on standard error.

    `context` is what the commands get from outside (`cli.context.CommandContext`); None takes the real one.
    """
    _listen(logging.WARNING)
    try:
        result = cli.main(list(arguments), "autorag-whisper", standalone_mode=False, obj=context)
    except click.Abort:  # click's name for Ctrl-C
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SystemExit as stop:  # click's answer to a reader of standard output that went away
        return int(stop.code or 0)
    except Terminated:
        click.echo("terminated", err=True)
        return TERMINATED
    except AutoragWhisperError as error:
        click.echo(f"error: {error}", err=True)
        return exit_code(error)
    return result if isinstance(result, int) else 0


def _terminate(_signal: int, _frame: object) -> None:
    # Once: what cleans up after the first must not be torn down by the second.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    was_terminated.set()
    raise Terminated


def _raise_again(lost: sys.UnraisableHookArgs) -> None:
    """A signal whose exception came up where none goes on (a finaliser, a callback of C) comes again in a moment.

    It was lost else: `serve` that was still being put together went on for ever.
    """
    if not isinstance(lost.exc_value, Terminated | KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    number = signal.SIGTERM if isinstance(lost.exc_value, Terminated) else signal.SIGINT
    if number == signal.SIGTERM and signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, _terminate)
    again = threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()


_AGAIN_S = 0.05
_PLAIN, _TIMED = "%(levelname)s: %(message)s", "%(asctime)s %(levelname)s: %(message)s"


def _listen(level: int) -> None:
    """Show the package's log on standard error from `level` on; any other library's from WARNING on."""
    logging.basicConfig(handlers=[_StandardError()], level=logging.WARNING)
    logging.getLogger("autorag_whisper").setLevel(level)
    form = _TIMED if level < logging.WARNING else _PLAIN
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _StandardError):
            handler.setFormatter(logging.Formatter(form))


class _StandardError(logging.Handler):
    """Writes to what `sys.stderr` is at the moment: a progress bar replaces it for a while."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(self.format(record), err=True)


def _on_verbose(_context: click.Context, _parameter: click.Parameter, verbose: bool) -> None:
    if verbose:
        _listen(logging.DEBUG)


verbose_option = click.option(
    "-v",
    "--verbose",
    is_flag=True,
    expose_value=False,
    callback=_on_verbose,
    help="Log what happens on standard error, with times.",
)
"""For every command that has something to log."""


def _on_quiet(_context: click.Context, _parameter: click.Parameter, quiet: bool) -> None:
    if quiet:
        _listen(logging.ERROR)


quiet_option = click.option(
    "-q",
    "--quiet",
    is_flag=True,
    expose_value=False,
    callback=_on_quiet,
    help="Nothing but errors and the output that was asked for.",
)
"""For a command that shows its progress."""
