"""The hub: its cache on this machine, read without its client, and the download, done by its client.

Reading the cache ourselves keeps `offline` a promise (nothing that could open a connection is even imported) and
start-up short: importing the client costs half a second.
"""

from __future__ import annotations

import errno
import json
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from autorag_whisper.domain.errors import ModelDamaged, ModelNotFound, ModelUnavailable
from autorag_whisper.models.catalogue import NAMES
from autorag_whisper.models.check import CONVERT, MODEL_FILES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_HUB_ID = re.compile(rf"{_PART}/{_PART}")
_ANSWER_S = 10.0
_REVISION = re.compile(r"[0-9a-zA-Z][0-9a-zA-Z._-]*")


def is_hub_id(name: str) -> bool:
    """Whether it is written like `owner/name`, by the hub's own rules."""
    return bool(_HUB_ID.fullmatch(name)) and not any(bad in name for bad in ("..", "--")) and name[-4:] != ".git"


def cache_root() -> Path:
    """Where the hub's client keeps what it fetched (it heeds HF_HUB_CACHE and HF_HOME)."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def find_cached(hub_id: str) -> Path | None:
    """The folder of the newest fetched snapshot of `owner/name`, None where there is none."""
    repository = cache_root() / f"models--{hub_id.replace('/', '--')}"
    try:
        revision = (repository / "refs" / "main").read_text(encoding="utf-8").strip()
        snapshot = repository / "snapshots" / revision
        return snapshot if _REVISION.fullmatch(revision) and snapshot.is_dir() else None
    except (OSError, ValueError):  # nothing there, nothing that may be read, or no name
        return None


def cached_ids() -> Iterator[str]:
    """`owner/name` of every cached snapshot that holds CTranslate2 weights, in order."""
    for repository in sorted(cache_root().glob("models--*--*")):
        hub_id = repository.name.removeprefix("models--").replace("--", "/", 1)
        folder = find_cached(hub_id) if is_hub_id(hub_id) else None
        if folder is not None and lists(folder, "model.bin"):
            yield hub_id


def lists(folder: Path, name: str) -> bool:
    """Whether there is such a file. One that this user may not see counts: whoever reads it says what is wrong."""
    try:
        return (folder / name).exists()
    except OSError:
        return True


@dataclass(frozen=True, slots=True)
class Offer:
    """What a repository holds, and the licence that its card states ("" for none)."""

    files: tuple[str, ...]
    licence: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which files of a repository are fetched, and a look at what it offers, which raises where that is not enough."""

    files: tuple[str, ...]
    check: Callable[[str, Offer], None]


def download(
    hub_id: str, name: str, *, wanted: Wanted | None = None, again: bool = False, show_progress: bool = False
) -> Path:
    """Fetch a model's files into the hub's cache; `again` also those that are there. `wanted` None: a Whisper model.

    Raises:
        ModelNotFound: the hub has no such repository, or shows it to nobody without a token.
        ModelDamaged: the repository does not hold what is wanted; known before anything is fetched.
        ModelUnavailable: anything else that kept the files from coming.
    """
    from huggingface_hub import HfApi, errors, snapshot_download

    wanted = wanted or Wanted(tuple(MODEL_FILES), _check_whisper)
    # The hub's client speaks through one HTTP library or another, by its version; its own error derives from that
    # library's root, which stands here for "the connection broke" without naming the library.
    roots = cast("tuple[type[Exception], ...]", errors.HfHubHTTPError.__bases__)
    broken: tuple[type[Exception], ...] = (OSError, *roots)
    try:
        with _bars(shown=show_progress):
            # Asked first because this question has a time limit: the client's own waits for ever for a silent hub.
            info = HfApi().model_info(hub_id, timeout=_ANSWER_S)
            wanted.check(name, Offer(tuple(file.rfilename for file in info.siblings or ()), _licence(info.tags or ())))
            return Path(snapshot_download(hub_id, allow_patterns=list(wanted.files), force_download=again))
    except errors.GatedRepoError as error:
        raise ModelUnavailable(name, "the hub shows it to approved accounts only (set HF_TOKEN)") from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise ModelNotFound(name, NAMES) from error
    except broken as error:
        raise ModelUnavailable(name, _reason(error)) from error
    except (json.JSONDecodeError, KeyError) as error:  # a sign-in page, a proxy, something that is no hub
        raise ModelUnavailable(name, "the hub's answer could not be understood") from error


def _licence(tags: Iterable[str]) -> str:
    return next((tag.partition(":")[2] for tag in tags if tag.startswith("license:")), "")


def _check_whisper(name: str, offer: Offer) -> None:
    if "model.bin" not in offer.files:
        raise ModelDamaged(name, "model.bin", f"is not in its repository; {CONVERT}")


def _reason(error: BaseException) -> str:
    """One line of our own words: the client's messages carry addresses and request ids."""
    chain = [error, *_causes(error)]
    for link in chain:
        if (status := getattr(getattr(link, "response", None), "status_code", None)) is not None:
            return f"the hub answered with HTTP status {status}"
    for link in chain:
        if type(link).__name__ == "OfflineModeIsEnabled":
            return "downloads are switched off (HF_HUB_OFFLINE)"
        if isinstance(link, OSError) and link.errno in {errno.ENOSPC, errno.EACCES, errno.EPERM, errno.EROFS}:
            return f"could not be stored: {os.strerror(link.errno)}"
    return "the hub could not be reached"


def _causes(error: BaseException) -> Iterator[BaseException]:
    while (cause := error.__cause__ or error.__context__) is not None:
        yield cause
        error = cause


@contextmanager
def _bars(*, shown: bool) -> Iterator[None]:
    """Keep the client's bars off a terminal that we were not asked to draw on; the switch is its module's own."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if shown or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
