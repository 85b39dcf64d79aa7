"""`autorag-whisper models calibrate`: a letter classifier for a model that none comes with, made on this machine.

It is never made by itself: it takes the processor for a minute and more, and attention times the words meanwhile.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from autorag_whisper.bootstrap import build_device_policy
from autorag_whisper.domain.cache_errors import CalibrationUnkept
from autorag_whisper.domain.errors import ModelDamaged
from autorag_whisper.engines import ctranslate2, letter_classifiers
from autorag_whisper.engines.native_threads import usable_cores
from autorag_whisper.models.store import ModelStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from autorag_whisper.engines.base import WhisperModel
    from autorag_whisper.settings import Settings


def calibrate_model(
    settings: Settings,
    environ: Mapping[str, str],
    name: str,
    *,
    device: str | None = None,
    again: bool = False,
    on_progress: Callable[[float], None] | None = None,
) -> Path | None:
    """Calibrate a size, hub id or folder, and tell where the classifier is kept; None where one comes with the package.

    One that was made on this machine stays, unless it is to be made `again`. `on_progress` gets the share that is done,
    0 to 1. Raises the Model* errors, DeviceError, EngineError, and CalibrationUnkept.
    """
    store = ModelStore(cache_dir=settings.cache_dir, offline=settings.offline, show_progress=True, environ=environ)
    files = store.resolve(name)
    try:
        encoder = letter_classifiers.encoder_digest(files.folder)
    except (OSError, ValueError) as error:
        raise ModelDamaged(files.name, "model.bin", str(error)) from error
    if letter_classifiers.packaged(encoder) is not None:
        return None
    if not again and letter_classifiers.kept(encoder, store.cache_dir) is not None:
        return letter_classifiers.place(encoder, store.cache_dir)
    from autorag_whisper.loading.letter_calibration import calibrate_letters, packaged_speech

    with opened_model(settings, environ, name, device) as recognizer:
        made = calibrate_letters(recognizer, packaged_speech(), on_progress=on_progress)
    try:
        return letter_classifiers.keep(made, encoder, store.cache_dir)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CalibrationUnkept(files.name, str(store.cache_dir), reason) from error


@contextmanager
def opened_model(settings: Settings, environ: Mapping[str, str], name: str, hint: str | None) -> Iterator[WhisperModel]:
    """A model of the default engine for the length of a `with`, beside all that a transcriber has.

    Where the policy puts it (`hint`: a device), and without what only word times need. Raises the Model* errors,
    DeviceError, EngineError.
    """
    store = ModelStore(cache_dir=settings.cache_dir, offline=settings.offline, show_progress=True, environ=environ)
    files, placement = store.resolve(name), build_device_policy(settings, environ).place(hint)
    recognizer = ctranslate2.load(
        ctranslate2.LoadRequest(
            files.folder,
            files.name,
            placement.device,
            placement.compute_type,
            settings.threads or usable_cores(),
            files.strict_window,
        )
    )
    try:
        yield recognizer
    finally:
        recognizer.close()
