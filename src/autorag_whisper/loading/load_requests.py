"""What is to be loaded for a model: weights that need no conversion, alignment heads, a classifier of letters.

All of it is optional. What cannot be made or kept is logged (WARNING), and the model loads without it.
"""

from __future__ import annotations

import logging
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from autorag_whisper.engines import ctranslate2, letter_classifiers
from autorag_whisper.engines.alignment_heads import CHARACTER_HEADS
from autorag_whisper.engines.base import CharacterHeads
from autorag_whisper.loading import kept_heads
from autorag_whisper.loading.chosen_heads import with_heads
from autorag_whisper.loading.int8_weights import with_int8_weights
from autorag_whisper.loading.kept_heads import KeptHeads
from autorag_whisper.loading.small_vocabulary import with_small_vocabulary
from autorag_whisper.models.catalogue import find
from autorag_whisper.models.store import ModelOrigin
from autorag_whisper.recognition.aligner_fallback import goes_down, told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autorag_whisper.domain.device import ModelKey
    from autorag_whisper.engines.base import WhisperModel
    from autorag_whisper.engines.speller import SmallVocabulary
    from autorag_whisper.models.store import ModelFiles

_log = logging.getLogger(__name__)

_INT8 = frozenset({"int8", "int8_float32"})
"""Compute types that multiply int8 and keep the rest as float32."""


def load_request(files: ModelFiles, key: ModelKey, workers: int, cache_dir: Path) -> ctranslate2.LoadRequest:
    """What to load for `files`: with the alignment heads for single letters that are known, or found now.

    Without a smaller decoder, which `with_speller` adds for an engine that has a use for it.
    """
    folder = _weights(files, key, cache_dir)
    heads = _known_heads(files) or _found_heads(files, folder, key, cache_dir)
    return _request(files, folder, key, workers, cache_dir, heads)


def _weights(files: ModelFiles, key: ModelKey, cache_dir: Path) -> Path:
    """The model's folder, for a CPU with weights that it need not convert."""
    if key.device.is_cuda or key.compute_type not in _INT8:
        return files.folder
    try:
        return with_int8_weights(files.folder, cache_dir)
    except (OSError, ValueError) as error:
        reason = f"{error.strerror} (AUTORAG_WHISPER_CACHE_DIR)" if isinstance(error, OSError) else error
        _log.warning("weights of %s are converted at every load, they cannot be kept: %s", files.name, reason)
        return files.folder


def _request(
    files: ModelFiles, folder: Path, key: ModelKey, workers: int, cache_dir: Path, heads: CharacterHeads | None
) -> ctranslate2.LoadRequest:
    if heads is not None:
        try:
            folder = with_heads(folder, heads.heads, cache_dir)
        except Exception as error:
            if not goes_down(error, key.device):
                raise
            _log.warning("alignment heads of %s cannot be set, its own serve: %s", files.name, told(error))
            heads = None
    return ctranslate2.LoadRequest(
        folder,
        files.name,
        key.device,
        key.compute_type,
        workers,
        files.strict_window,
        characters=heads,
        letters=letter_classifiers.classifier_for(files.folder, cache_dir),
    )


def with_speller(request: ctranslate2.LoadRequest, cache_dir: Path) -> ctranslate2.LoadRequest:
    """The same with a smaller decoder that aligns letters, where there are heads for it and it can be made."""
    if request.characters is None or request.device.is_cuda:
        return request
    return replace(request, speller=_speller(request.folder, request.name, cache_dir))


def _known_heads(files: ModelFiles) -> CharacterHeads | None:
    known = find(files.name) if files.origin is not ModelOrigin.FOLDER else None
    return CHARACTER_HEADS.get(known.name) if known is not None else None


def _found_heads(files: ModelFiles, folder: Path, key: ModelKey, cache_dir: Path) -> CharacterHeads | None:
    """Found by calibration, once for each model and machine; None where none is good enough."""
    kept = kept_heads.kept(files.folder, cache_dir)
    if kept is None:
        try:
            with kept_heads.one_at_a_time(files.folder, cache_dir):
                kept = kept_heads.kept(files.folder, cache_dir) or _calibrated(files, folder, key)
                kept_heads.keep(kept, files.folder, cache_dir)
        except Exception as error:
            if not goes_down(error, key.device):
                raise
            _log.warning("%s aligns by tokens: it could not be calibrated: %s", files.name, told(error))
            return None
    if not kept.heads:
        return None
    return CharacterHeads(kept.heads, kept.late_s, kept.tokens_early_s, loses_its_place=True)


def _calibrated(files: ModelFiles, folder: Path, key: ModelKey) -> KeptHeads:
    from autorag_whisper.loading.head_calibration import calibrate, packaged_clip

    candidates = kept_heads.candidates(files.folder)
    _log.info("calibrating alignment of %s, once: %d heads", files.name, len(candidates))
    with tempfile.TemporaryDirectory(prefix="autorag-whisper-") as scratch:

        @contextmanager
        def load(heads: CharacterHeads) -> Iterator[WhisperModel]:
            recognizer = ctranslate2.load(_request(files, folder, key, 1, Path(scratch), heads))
            try:
                yield recognizer
            finally:
                recognizer.close()

        found = calibrate(candidates, load, packaged_clip())
    if found is None:
        _log.info("no head of %s times letters well: it aligns by tokens", files.name)
        return KeptHeads()
    _log.info("alignment head of %s: %s, late by %.0f ms", files.name, found.heads[0], 1000 * found.late_s)
    return KeptHeads(found.heads, found.late_s, found.tokens_early_s)


def _speller(folder: Path, name: str, cache_dir: Path) -> SmallVocabulary | None:
    """A smaller decoder for alignment; a card aligns whole batches and has better uses for the memory."""
    try:
        return with_small_vocabulary(folder, cache_dir)
    except Exception as error:  # noqa: BLE001 - whatever it was, the whole decoder aligns as well: the law of `aligner_fallback`
        _log.warning("%s aligns with its whole vocabulary: no smaller one: %s", name, told(error))
        return None
