"""JSON: OpenAI's `verbose_json` as a superset, and the bare list of words.

What OpenAI's hosted endpoint really returns decides the shared keys: `language` is the English name in lower case
("english", not "en"), `duration` a number of seconds, `seek` whole mel frames of 10 ms, `usage.seconds` whole seconds,
rounded up. Ours besides: `language_code` (of the text), `spoken_language_code` and `language_probability` (of the
audio; they differ for a translation), `words` in every segment, and how the result came about.

`format.reading.parse` gives the transcript back: text, order and everything else as it was, times of words to the
millisecond, their probabilities to four decimals, other figures to seven. `transcript.schema.json` describes it all.

Strict JSON: a figure that is not finite becomes null, a lone surrogate U+FFFD.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypedDict

from autorag_whisper.domain.language import LANGUAGES
from autorag_whisper.format.language import text_language
from autorag_whisper.format.schema import SCHEMA_VERSION
from autorag_whisper.format.text import encodable
from autorag_whisper.format.times import Clock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from autorag_whisper.domain.transcript import LanguageShare, Segment, Transcript, Word

MEL_FRAMES_PER_S = 100
DECIMALS = 7
"""A sample of 16 kHz is 0.0000625 s: durations and starts of chunks are exact."""


class WordDict(TypedDict):
    """A word `w` with its start `s` and end `e` in seconds on the file's timeline and its probability `p`, 0..1.

    Times are rounded to milliseconds, the probability to four decimals.
    """

    w: str
    s: float
    e: float
    p: float


def words_json(transcript: Transcript) -> str:
    """A JSON list of `{"w", "s", "e", "p"}`: word, start and end in seconds, probability 0..1."""
    return _dump(word_dicts(transcript.words, transcript.duration_s))


def word_dicts(words: Iterable[Word], duration_s: float = math.inf) -> list[WordDict]:
    """Words as they are given out, of a recording of `duration_s`: in their order, none ends after it."""
    clock = Clock(duration_s)
    return [
        WordDict(w=word.text, s=clock.seconds(word.start_s), e=clock.seconds(word.end_s), p=round(word.probability, 4))
        for word in words
    ]


def verbose_json(transcript: Transcript) -> str:
    """The whole transcript as one JSON object; times in seconds."""
    clock = Clock(transcript.duration_s)
    code = text_language(transcript)
    return _dump(
        {
            "schema_version": SCHEMA_VERSION,
            "task": transcript.task,
            "language": LANGUAGES.get(code, code),
            "duration": transcript.duration_s,
            "text": transcript.text,
            "usage": usage_of(transcript),
            "segments": [_segment(segment, clock) for segment in transcript.segments],
            "words": [_word(word, clock) for word in transcript.words],
            "language_code": code,
            "spoken_language_code": transcript.language,
            "language_probability": transcript.language_probability,
            "languages": [_share(share) for share in transcript.languages],
        }
        | _circumstances(transcript, clock)
    )


def usage_of(transcript: Transcript) -> dict[str, Any]:
    """`usage`: whole seconds of the duration as it is written."""
    return {"type": "duration", "seconds": math.ceil(round(transcript.duration_s, DECIMALS))}


def _circumstances(transcript: Transcript, clock: Clock) -> dict[str, Any]:
    media = transcript.media
    return {
        "model": transcript.model,
        "device": transcript.device,
        "compute_type": transcript.compute_type,
        "media": {
            "name": transcript.name,
            "container": media.container,
            "codec": media.codec,
            "sample_rate": media.sample_rate_hz,
            "channels": media.channels,
            "audio_stream": media.audio_stream,
            "audio_streams": media.audio_streams,
            "tracks": [asdict(track) for track in media.tracks],
            "damage": asdict(transcript.damage),
        },
        "coverage": asdict(transcript.coverage),
        "unspoken": [asdict(stretch) for stretch in transcript.unspoken],
        "rejected": [
            {"start": clock.seconds(r.start_s), "end": clock.seconds(r.end_s), "text": r.text, "reason": r.reason}
            for r in transcript.rejected
        ],
        "device_fallbacks": [asdict(step) for step in transcript.device_fallbacks],
        "engine_s": transcript.engine_s,
        "clips": [{"start": clip.start_s, "end": clip.end_s} for clip in transcript.clips],
        "notes": [asdict(note) for note in transcript.notes],
    }


def _share(share: LanguageShare) -> dict[str, Any]:
    return {"language_code": share.language, "recognised_s": share.recognised_s, "heard_s": share.heard_s}


def _segment(segment: Segment, clock: Clock) -> dict[str, Any]:
    return {
        "id": segment.index,
        "seek": round(segment.seek_s * MEL_FRAMES_PER_S),
        "seek_s": segment.seek_s,
        "start": clock.seconds(segment.start_s),
        "end": clock.seconds(segment.end_s),
        "text": segment.text,
        "tokens": list(segment.token_ids),
        "temperature": segment.temperature,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": segment.compression_ratio,
        "no_speech_prob": segment.no_speech_prob,
        "language_code": segment.language,
        "words": [_word(word, clock) for word in segment.words],
        "attempts": [asdict(attempt) for attempt in segment.attempts],
    }


def _word(word: Word, clock: Clock) -> dict[str, Any]:
    return {
        "word": word.text,
        "start": clock.seconds(word.start_s),
        "end": clock.seconds(word.end_s),
        "probability": round(word.probability, 4),
        "source": word.source,
        "score": word.score,
        "space_before": word.space_before,
    }


def _dump(value: object) -> str:
    return encodable(json.dumps(_strict(value), ensure_ascii=False, allow_nan=False)) + "\n"


def _strict(value: Any) -> Any:
    """`value` with every figure rounded to `DECIMALS`, or null where JSON has no word for it."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float):
        return round(value, DECIMALS) if math.isfinite(value) else None
    return value
