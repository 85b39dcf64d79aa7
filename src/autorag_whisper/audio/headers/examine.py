"""From a file to what FFmpeg must be told of it: what its header should say, and how loud its samples are meant."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from autorag_whisper.audio.headers import aiff, au, caf, wave
from autorag_whisper.audio.headers.claims import PcmFormat
from autorag_whisper.audio.headers.evidence import (
    CLEARLY_SMOOTHER,
    are_interleaved,
    are_right_justified,
    read_as,
    windows,
)
from autorag_whisper.domain.notes import Note, NoteKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autorag_whisper.audio.headers.claims import Claims
    from autorag_whisper.audio.headers.evidence import Reading
    from autorag_whisper.audio.overlay import Overlay

_READERS = {
    b"RIFF": wave.read, b"RIFX": wave.read, b"RF64": wave.read, b"BW64": wave.read, b"riff": wave.read_w64,
    b"FORM": aiff.read, b"caff": caf.read, b".snd": au.read,
}  # fmt: skip
_MIN_REST_BYTES = 4096
_SMOOTH = 0.5
"""From here on bytes behind the samples are taken for more of them, and what a frame has too much for a channel."""

_NEARLY_ALL, _RARELY_IN_RANGE = 0.995, 0.9
"""Shares of words that are floats of sound: above the first they are floats, below the second they are not."""


@dataclass(frozen=True, slots=True)
class Findings:
    """`patches`: bytes of the header to replace (position from the media's start -> bytes). `gain`: what samples are
    multiplied by, a power of two. `notes` tell what a user should know of it."""

    patches: Mapping[int, bytes] = field(default_factory=dict)
    gain: float = 1.0
    notes: tuple[Note, ...] = ()


def examine(view: Overlay) -> Findings:
    """Read the header of `view`, if it is of a format whose fields can disagree: WAV, RF64, W64, AIFF, CAF, AU.

    A header that makes no sense gives no findings: what is wrong with it is FFmpeg's to say.
    """
    reader = _READERS.get(view.read_at(0, 4))
    header = reader(view) if reader else None
    if header is None:
        return Findings()
    patches, gain, notes = dict(header.patches), 1.0, list(header.notes)
    if header.claims is not None:
        form, gain, said = _judge(view, header.claims)
        notes += said
        patches |= header.write(form) if header.write else {}
        if header.extend is not None and _goes_on(view, header.claims, form):
            end = view.seek(0, os.SEEK_END)
            patches |= header.extend(end)
            seconds = (end - header.claims.data_end) / (form.frame_bytes * header.claims.rate_hz)
            notes.append(f"its sound goes on for {seconds:.1f} s behind the length in its header: read to the end")
    return Findings(patches, gain, tuple(Note(NoteKind.HEADER_CORRECTED, text) for text in notes))


def _judge(view: Overlay, claims: Claims) -> tuple[PcmFormat, float, list[str]]:
    """The format, the gain, and what there is to say."""
    candidates, valid = _with_other_kind(claims.candidates), claims.valid_bits
    if len(candidates) == 1 and (valid is None or valid >= candidates[0].width * 8):
        return candidates[0], 1.0, [claims.disagreement] if claims.disagreement else []
    data = windows(view, claims)
    if not data:
        return candidates[0], 1.0, []
    form, notes = _choose(data, claims, candidates)
    bits = form.width * 8
    if form.is_float or form.width == 1 or not valid or not 1 < valid < bits:
        return form, 1.0, notes
    if not are_right_justified(data, form, claims):
        return form, 1.0, notes
    notes.append(f"its samples fill the low {valid} of {bits} bits instead of the high ones: raised to full scale")
    return form, float(1 << (bits - valid)), notes


def _with_other_kind(candidates: tuple[PcmFormat, ...]) -> list[PcmFormat]:
    """The candidates, and behind them floats for integers of the same width and the reverse: a tag may lie with every
    other field in order."""
    wide = [PcmFormat(form.channels, form.width, not form.is_float) for form in candidates if form.width in (4, 8)]
    return list(dict.fromkeys([*candidates, *wide]))


def _choose(data: list[bytes], claims: Claims, candidates: list[PcmFormat]) -> tuple[PcmFormat, list[str]]:
    said = candidates[0]
    readings = [read_as(data, form, claims) for form in candidates]
    pool = _of_one_kind(readings, said_float=said.is_float)
    pool, wider = _by_channels(pool, data, claims)
    best = wider or _smoothest(pool, said.channels)
    expected = next((reading for reading in pool if reading.form == said), None)
    if expected is None or wider or best.smoothness > expected.smoothness + CLEARLY_SMOOTHER:
        what = claims.disagreement or f"its header says {said}"
        return best.form, [f"{what}: read as {best.form}, as the samples show"]
    if not claims.disagreement:
        return said, []
    if len(pool) > 1 and expected.smoothness < CLEARLY_SMOOTHER:
        return said, [f"{claims.disagreement}, and the samples do not tell which is right: read as {said}"]
    return said, [f"{claims.disagreement}: read as {said}"]


def _smoothest(pool: list[Reading], channels: int) -> Reading:
    """Of those that are nearly as smooth as any, one that has as many channels as the header says."""
    best = max(pool, key=lambda reading: reading.smoothness)
    near = [one for one in pool if one.smoothness > best.smoothness - CLEARLY_SMOOTHER]
    return max(near, key=lambda one: (one.form.channels == channels, one.smoothness))


def _by_channels(pool: list[Reading], data: list[bytes], claims: Claims) -> tuple[list[Reading], Reading | None]:
    """Of two that differ in the number of channels alone, the one that the samples show stays; the second is the one
    of more channels, if that is it."""
    for few in pool:
        for many in pool:
            times, rest = divmod(many.form.channels, few.form.channels)
            if rest or times < 2 or (many.form.width, many.form.is_float) != (few.form.width, few.form.is_float):
                continue
            smoother = many.smoothness > few.smoothness + CLEARLY_SMOOTHER
            uneven = times % 2 == 0 and few.smoothness > 0 and are_interleaved(data, few.form, claims)
            if many.smoothness > _SMOOTH and (smoother or uneven):
                return [reading for reading in pool if reading is not few], many
            return [reading for reading in pool if reading is not many], None
    return pool, None


def _of_one_kind(readings: list[Reading], *, said_float: bool) -> list[Reading]:
    """Those that read floats, or those that read integers. Against the header only where the bits say so: floats that
    are no numbers of sound, or words that are such numbers and no rougher than integers."""
    floats = [reading for reading in readings if reading.form.is_float]
    integers = [reading for reading in readings if not reading.form.is_float]
    if not floats or not integers:
        return readings
    smooth = max(reading.smoothness for reading in floats), max(reading.smoothness for reading in integers)
    if said_float:
        stays = max(reading.in_range for reading in floats) > _RARELY_IN_RANGE
        return floats if stays or smooth[0] > smooth[1] + CLEARLY_SMOOTHER else integers
    sure = [reading for reading in floats if reading.in_range > _NEARLY_ALL and reading.is_varied]
    return sure if sure and smooth[0] > smooth[1] - CLEARLY_SMOOTHER else integers


def _goes_on(view: Overlay, claims: Claims, form: PcmFormat) -> bool:
    """Whether what follows the samples is no chunk, but sound of the same format."""
    end = view.seek(0, os.SEEK_END)
    start = claims.data_end
    if end - start < _MIN_REST_BYTES or _begins_chunk(view.read_at(start + start % 2, 8), end - start):
        return False
    # In step with the samples before it.
    at = claims.data_at + -(-(start - claims.data_at) // form.frame_bytes) * form.frame_bytes
    rest = claims.between(at, end)
    return read_as(windows(view, rest), form, rest).smoothness > _SMOOTH


def _begins_chunk(head: bytes, left: int) -> bool:
    size = min(int.from_bytes(head[4:8], "little"), int.from_bytes(head[4:8], "big"))
    return head[:4].isascii() and head[:4].decode("ascii").isprintable() and size <= left and head[:4] != b"RIFF"
