"""Which of a file's audio streams is transcribed: by number, language or title, else as players choose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from av.stream import Disposition

from autorag_whisper.domain.audio import AudioTrack
from autorag_whisper.domain.errors import AudioStreamNotFound, InvalidOption
from autorag_whisper.domain.language import parse_language

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_SAID_OF_EVERY_TRACK = frozenset(("", "soundhandler", "core media audio", "apple sound media handler"))
"""What muxers write for every track: it tells nothing. MP4 keeps a track's name in the same field as these."""


def describe(streams: Sequence[Any]) -> tuple[AudioTrack, ...]:
    """The audio streams of an open container, in its order. A stream without a decoder is one, too."""
    tracks = []
    for number, stream in enumerate(streams):
        codec, tags = stream.codec_context, {key.lower(): value for key, value in stream.metadata.items()}
        language = tags.get("language", "").strip()
        title = tags.get("title") or tags.get("name") or tags.get("handler_name") or ""
        tracks.append(
            AudioTrack(
                number=number,
                codec=codec.name if codec is not None else "",
                channels=len(codec.layout.channels) if codec is not None else 0,
                language="" if language == "und" else language,
                title="" if title.strip("\x0c\x10 ").lower() in _SAID_OF_EVERY_TRACK else title.strip(),
                is_default=bool(stream.disposition & Disposition.default),
            )
        )
    return tuple(tracks)


def choose(tracks: Sequence[AudioTrack], wanted: int | str | None, readable: Collection[int], name: str) -> int:
    """The number of the track that is meant.

    None: the one that carries the flag "default", which players begin with, else the first; of those that can be
    decoded (`readable`). A text is a language, else a title, else a part of a title; where several are of the language,
    the same order holds.

    Raises AudioStreamNotFound where there is no such track.
    """
    if isinstance(wanted, int):
        found = [track for track in tracks if track.number == wanted]
    elif wanted is None:
        found = list(tracks)
    else:
        found = _called(tracks, wanted)
    if not found:
        assert wanted is not None
        raise AudioStreamNotFound(name, wanted, len(tracks), tuple(map(str, tracks)))
    return min(found, key=lambda track: (track.number not in readable, not track.is_default, track.number)).number


def _called(tracks: Sequence[AudioTrack], wanted: str) -> list[AudioTrack]:
    text, language = wanted.casefold(), _language(wanted)
    return (
        [track for track in tracks if track.language and _language(track.language) == language]
        or [track for track in tracks if track.title.casefold() == text]
        or [track for track in tracks if text in track.title.casefold()]
    )


def _language(tag: str) -> str:
    """Whisper's code where it knows the language, else the tag without its region."""
    try:
        return parse_language(tag) or ""
    except InvalidOption:
        return tag.strip().lower().replace("_", "-").split("-")[0]
