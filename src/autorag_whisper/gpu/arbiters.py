"""The arbiter of one card, by the settings: for this package's own work, and for a host that computes there too."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.gpu.card_memory import CardReader
from autorag_whisper.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autorag_whisper.gpu.arbiter.lease import GpuArbiter


def card_arbiter(
    index: int = 0, *, settings: Settings | None = None, environ: Mapping[str, str] | None = None
) -> GpuArbiter:
    """The arbiter of CUDA's card `index`, shared with all transcribers of this user that have the same settings.

    `settings`: None reads them from `environ`, which is this process's own if it is None. It has no tenants yet:
    `register` the host's. `close` it at the end. Linux alone.

    Raises:
        InvalidSettings: a setting has a value that it cannot have.
        InvalidOption: transcribers of these settings take no turns across processes (AUTORAG_WHISPER_ARBITER).
        GpuDirectoryUnsafe: the folder through which processes share the card cannot be used.
    """
    environ = os.environ if environ is None else environ  # noqa: TID251 - a caller who gives none means this one
    settings = settings or Settings.from_env(environ)
    if not is_across_processes(settings):
        raise InvalidOption("AUTORAG_WHISPER_ARBITER", settings.arbiter, "machine, on Linux")
    return make_arbiter(settings, environ, index, CardReader(environ))


def is_across_processes(settings: Settings) -> bool:
    """Whether processes take turns: that rests on locks that the kernel drops with their owner, as Linux does."""
    return settings.arbiter == "machine" and sys.platform == "linux"


def make_arbiter(settings: Settings, environ: Mapping[str, str], index: int, cards: CardReader) -> GpuArbiter:
    """An arbiter without tenants: across processes if the settings and the system allow it, else of this process."""

    def free_bytes() -> int | None:
        return cards.free_bytes(index)

    if is_across_processes(settings):
        from autorag_whisper.gpu.arbiter.processes import ProcessArbiter
        from autorag_whisper.gpu.arbiter.status import gpu_folder

        return ProcessArbiter(gpu_folder(settings, environ, index), read_free=free_bytes)
    from autorag_whisper.gpu.arbiter.threads import ThreadArbiter

    return ThreadArbiter(read_free=free_bytes)
