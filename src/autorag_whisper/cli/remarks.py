"""The line that is printed of a result: its language, and what the user should know, the most important first."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from autorag_whisper.cli.progress import clock_time
from autorag_whisper.domain.clips import merged
from autorag_whisper.domain.language import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autorag_whisper.domain.transcript import DeviceFallbackStep, Transcript

_log = logging.getLogger(__name__)

UNSURE_BELOW = 0.75
"""Probability under which a detected language may be another one.

Of 167 clips of the kit in 12 languages, 17 were below it and 3 of those wrong, at 0.51, 0.67 and 0.74; none above it.
"""
_WORTH_SAYING_S = 0.05
"""Less than that would be printed as 0.0 s."""


def status(shown: str, transcript: Transcript) -> str:
    """One line for a file that is done."""
    facts = [clock_time(transcript.duration_s)]
    if transcript.segments or transcript.rejected:
        facts.append(languages(transcript))
    said = [*remarks(transcript)]
    return f"{shown} ({', '.join(facts)})" + (f" [{'; '.join(said)}]" if said else "")


def heard_s(transcript: Transcript) -> float:
    """Seconds of the recording that were to be transcribed: all of it, or those of the clips that lie in it."""
    end_s = transcript.duration_s
    if not transcript.clips:
        return end_s
    return sum(max(0.0, min(clip.end_s, end_s) - clip.start_s) for clip in merged(transcript.clips))


def languages(transcript: Transcript) -> str:
    """The English names of the segments' languages, in the order in which they are first heard.

    Without segments: of the language that the file was taken to be in.
    """
    codes = dict.fromkeys(segment.language for segment in transcript.segments) or {transcript.language: None}
    return ", ".join(LANGUAGES.get(code, code).title() for code in codes)


def remarks(transcript: Transcript) -> Iterator[str]:
    """What the user should know of a result that lacks something, or may."""
    yield from _damage(transcript)
    yield from _left_out(transcript)
    probability = transcript.language_probability
    if (transcript.segments or transcript.rejected) and probability < UNSURE_BELOW:
        name = LANGUAGES.get(transcript.language, transcript.language).title()
        yield f"language unsure: {name} {probability:.0%}, --language sets it"
    yield from _fallbacks(transcript.device_fallbacks)
    yield from (note.text for note in transcript.notes)


def log_details(shown: str, transcript: Transcript) -> None:
    """Log what only `--verbose` shows."""
    for rejected in transcript.rejected:
        span = f"{rejected.start_s:.1f} to {rejected.end_s:.1f} s"
        _log.debug("%s: rejected at %s, %s: %s", shown, span, rejected.reason, rejected.text)
    for step in transcript.device_fallbacks:
        what = f"{step.step} {step.detail}".rstrip()
        _log.debug("%s: device fallback, %s: %s at %s, %s", shown, what, step.cause, step.stage, step.to_device)
    _log.debug("%s: %s on %s, %s", shown, transcript.model, transcript.device, transcript.compute_type)


def _damage(transcript: Transcript) -> Iterator[str]:
    damage = transcript.damage
    if damage.truncated:
        yield "the file ends early"
    if damage.gap_s:
        yield f"{damage.gap_s:.1f} s missing"
    if damage.damaged_packets:
        yield f"{damage.damaged_packets} damaged packets"


def _left_out(transcript: Transcript) -> Iterator[str]:
    """Speech without text, and why; or that no speech was found."""
    coverage, rejected = transcript.coverage, transcript.rejected
    # What had a second look and was rejected counts as no speech, so its span is all that is known.
    skipped_s = coverage.skipped_s if coverage.speech_s else sum(text.end_s - text.start_s for text in rejected)
    if rejected:
        rules = ", ".join(dict.fromkeys(text.reason.partition(":")[0] for text in rejected))
        texts = f"{len(rejected)} texts" if len(rejected) > 1 else "text"
        of = f"{skipped_s:.1f} s of speech left out: " if skipped_s > _WORTH_SAYING_S else ""
        yield f"{of}{texts} rejected as {rules} (json lists what)"
    elif skipped_s > _WORTH_SAYING_S:
        yield f"{skipped_s:.1f} s of speech left out: no text came of it"
    elif not transcript.segments:
        yield "no speech found"


def _fallbacks(steps: tuple[DeviceFallbackStep, ...]) -> Iterator[str]:
    """Device fallbacks that changed where, or in which compute type, the work was done; not smaller batches."""
    said = set()
    for step in steps:
        if step.step == "busy":
            said.add("partly on the CPU: others had the GPU")
        elif step.step == "compute_type":
            said.add(f"compute type {step.detail}: {_plain(step.cause)}")
        elif step.step == "cpu":
            said.add(f"finished on the CPU: {step.from_device} failed at {step.stage}, {_plain(step.cause)}")
    yield from sorted(said)


def _plain(cause: str) -> str:
    return cause.replace("_", " ")
