"""Which CTC checkpoint times the words of which language, and where its files are: a folder, the hub's cache, the hub.

No checkpoint of this table forbids commercial use, as far as is known: the licences were written down without a look at
the hub, which could not be reached. So a card is read when a checkpoint of the table is downloaded, and one that states
another licence is refused until it is asked for by its own name. Left out: VoxPopuli's fine-tuned models for French,
German, Spanish and Italian and `nguyenvulebinh/wav2vec2-base-vi-vlsp2020` (CC BY-NC: no commercial use), and what
others use for Danish and Hebrew, whose licences are not known for sure.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import ModelDamaged, ModelNotFound, ModelUnavailable
from autorag_whisper.models import hub
from autorag_whisper.models.store import given_folder

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)

_SWITCHED_OFF = "downloads are switched off (AUTORAG_WHISPER_OFFLINE)"
_FILES = ("config.json", "vocab.json", "preprocessor_config.json", "tokenizer_config.json", "*.safetensors", "*.bin")


@dataclass(frozen=True, slots=True)
class AlignmentCheckpoint:
    """A checkpoint of the hub and the licence that its card states."""

    hub_id: str
    licence: str = "apache-2.0"


def _xlsr(language: str) -> AlignmentCheckpoint:
    return AlignmentCheckpoint(f"jonatasgrosman/wav2vec2-large-xlsr-53-{language}")


CHECKPOINTS: dict[str, AlignmentCheckpoint] = {
    "ar": _xlsr("arabic"),
    "ca": AlignmentCheckpoint("softcatala/wav2vec2-large-xlsr-catala"),
    "cs": AlignmentCheckpoint("comodoro/wav2vec2-xls-r-300m-cs-250"),
    "de": _xlsr("german"),
    "el": _xlsr("greek"),
    "en": _xlsr("english"),
    "es": _xlsr("spanish"),
    "eu": AlignmentCheckpoint("stefan-it/wav2vec2-large-xlsr-53-basque"),
    "fa": _xlsr("persian"),
    "fi": _xlsr("finnish"),
    "fr": _xlsr("french"),
    "gl": AlignmentCheckpoint("ifrz/wav2vec2-large-xlsr-galician"),
    "hi": AlignmentCheckpoint("theainerd/Wav2Vec2-large-xlsr-hindi"),
    "hr": AlignmentCheckpoint("classla/wav2vec2-xls-r-parlaspeech-hr", "cc-by-sa-4.0"),
    "hu": _xlsr("hungarian"),
    "id": AlignmentCheckpoint("cahya/wav2vec2-large-xlsr-indonesian"),
    "it": _xlsr("italian"),
    "ja": _xlsr("japanese"),
    "ka": AlignmentCheckpoint("xsway/wav2vec2-large-xlsr-georgian"),
    "ko": AlignmentCheckpoint("kresnik/wav2vec2-large-xlsr-korean"),
    "lv": AlignmentCheckpoint("jimregan/wav2vec2-large-xlsr-latvian-cv"),
    "ml": AlignmentCheckpoint("gvs/wav2vec2-large-xlsr-malayalam"),
    "nl": _xlsr("dutch"),
    "nn": AlignmentCheckpoint("NbAiLab/nb-wav2vec2-1b-nynorsk"),
    "no": AlignmentCheckpoint("NbAiLab/nb-wav2vec2-1b-bokmaal-v2"),
    "pl": _xlsr("polish"),
    "pt": _xlsr("portuguese"),
    "ro": AlignmentCheckpoint("gigant/romanian-wav2vec2"),
    "ru": _xlsr("russian"),
    "sk": AlignmentCheckpoint("comodoro/wav2vec2-xls-r-300m-sk-cv8"),
    "sl": AlignmentCheckpoint("anton-l/wav2vec2-large-xlsr-53-slovenian"),
    "sv": AlignmentCheckpoint("KBLab/wav2vec2-large-voxrex-swedish", "cc0-1.0"),
    "te": AlignmentCheckpoint("anuragshas/wav2vec2-large-xlsr-53-telugu"),
    "tl": AlignmentCheckpoint("Khalsuu/filipino-wav2vec2-l-xls-r-300m-official"),
    "tr": AlignmentCheckpoint("mpoyraz/wav2vec2-xls-r-300m-cv7-turkish", "cc-by-4.0"),
    "uk": AlignmentCheckpoint("Yehor/wav2vec2-xls-r-300m-uk-with-small-lm"),
    "ur": AlignmentCheckpoint("kingabzpro/wav2vec2-large-xls-r-300m-Urdu"),
    "zh": _xlsr("chinese-zh-cn"),
}


def find_alignment_checkpoint(language: str, wanted: str = "", *, offline: bool = False) -> tuple[str, Path]:
    """(name for people, folder) of the checkpoint for a language: `wanted`, a folder or hub id, else the table's.

    Raises:
        ModelNotFound: no checkpoint is known for the language, or nothing is called `wanted`.
        ModelUnavailable: it is not on this machine and may not or could not be fetched.
        ModelDamaged: the repository holds no such model.
    """
    if wanted and (folder := given_folder(wanted)) is not None:
        return folder.name, folder
    default = CHECKPOINTS.get(language)
    if not wanted and default is None:
        raise ModelNotFound(f"for alignment in {language}", sorted(CHECKPOINTS))
    hub_id = wanted or (default.hub_id if default else "")
    if not hub.is_hub_id(hub_id):
        raise ModelNotFound(wanted[:200], sorted(CHECKPOINTS))
    if (cached := hub.find_cached(hub_id)) is not None and hub.lists(cached, "config.json"):
        return hub_id, cached
    if offline:
        raise ModelUnavailable(hub_id, _SWITCHED_OFF)
    _log.info("downloading alignment model %s", hub_id)
    return hub_id, hub.download(hub_id, hub_id, wanted=_wanted(None if wanted else default))


def _wanted(default: AlignmentCheckpoint | None) -> hub.Wanted:
    """What to fetch. `default`: a checkpoint of the table, which must still have the licence that is noted there; None
    for one that the user has named, whose licence is the user's own decision."""

    def check(name: str, offer: hub.Offer) -> None:
        has_weights = any(file.endswith((".safetensors", ".bin")) for file in offer.files)
        if "config.json" not in offer.files or not has_weights:
            raise ModelDamaged(name, "config.json", "it or the weights are not in its repository")
        if default and offer.licence != default.licence:
            stated = f"its card states the licence {offer.licence or 'of nobody'}, not {default.licence}"
            raise ModelUnavailable(name, f"{stated}: name the checkpoint yourself to accept that")

    return hub.Wanted(_FILES, check)
