"""What the reader of a result should know, though nothing failed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class NoteKind(StrEnum):
    """What a note is about; programs may depend on these values."""

    OTHER = "other"
    """Of a kind that this version does not know: read from a file that a later one wrote."""

    OTHER_AUDIO_STREAMS = "other_audio_streams"
    """The file has audio streams besides the one that was transcribed."""

    CLIP_BEHIND_END = "clip_behind_end"
    """A clip that was asked for begins where the recording is over."""

    HEADER_CORRECTED = "header_corrected"
    """Fields of the file's header disagree with each other or with the samples; what was believed is said."""

    OUT_OF_SCALE = "out_of_scale"
    """Floating-point samples were written in another scale than -1 to 1, and brought back to it."""

    OVERDRIVEN = "overdriven"
    """Much of the sound is louder than full scale and was cut off there."""

    AUDIO_CONTINUES = "audio_continues"
    """The audio stream goes on in another one, which was transcribed as its continuation."""

    SILENT_AUDIO_STREAM = "silent_audio_stream"
    """The audio stream that was transcribed is silent, and another one is not."""

    JOINED_RECORDINGS = "joined_recordings"
    """The file is several recordings one after another; all were transcribed, and times go on."""

    OTHER_LANGUAGE = "other_language"
    """Speech sounds like another language than the one it was recognised in."""

    NOT_SAMPLED = "not_sampled"
    """Text that was doubtful could not be sampled: the model could not be loaded a second time for it."""

    DEVICE_NOT_USED = "device_not_used"
    """Another device was asked for, or would have been used, than the one that the work began on."""

    COMPUTE_TYPE_NOT_USED = "compute_type_not_used"
    """Another compute type was asked for than the one that was used: the device does not offer it, or has no room."""

    ENGINE_NOT_USED = "engine_not_used"
    """The native engine would have been used, and another one was."""


@dataclass(frozen=True, slots=True)
class Note:
    """One fact about a result: `kind` for programs, `text` for people, one line without a full stop."""

    kind: NoteKind
    text: str
