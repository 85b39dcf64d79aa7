"""JSON back to a `Transcript`: our own, of every version, and that of other tools where it has words with times.

| made by | known by | what is filled in |
|---|---|---|
| us, `-f json` | `spoken_language_code` | what older versions did not write has its default |
| us, `-f words` | an array of `{"w", "s", "e"}` | segments, at sentence ends and pauses |
| OpenAI, `verbose_json` | `words` beside the segments | punctuation, from the text |
| whisper, faster-whisper, whisperX | `segments` with `words` | times of words without any, between their neighbours |

In our own files words must be in order and apart, but for `OLD_OVERLAP_S`, by which earlier versions had them overlap.
Other tools' words may reach into the next one; they are cut there.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NoReturn

from autorag_whisper.domain.audio import AudioTrack, MediaDamage, MediaInfo
from autorag_whisper.domain.clips import Clip
from autorag_whisper.domain.language import parse_language
from autorag_whisper.domain.notes import Note
from autorag_whisper.domain.request import Task
from autorag_whisper.domain.transcript import (
    Attempt,
    Coverage,
    DeviceFallbackStep,
    LanguageShare,
    RejectedText,
    Segment,
    Transcript,
    Unspoken,
    Word,
    WordSource,
)
from autorag_whisper.domain.transcript_errors import InvalidTranscript
from autorag_whisper.format.checked import Node
from autorag_whisper.format.foreign import language_of, read_foreign
from autorag_whisper.format.schema import SCHEMA_VERSION
from autorag_whisper.format.spacing import spaces_before

if TYPE_CHECKING:
    from collections.abc import Sequence

OLD_OVERLAP_S = 0.25
"""Earlier versions wrote words that reach up to 0.1 s into the next one."""

_TOUCH_S = 0.0005  # times are written in whole milliseconds
_MEL_FRAMES_PER_S = 100


def parse(data: str | bytes, *, name: str = "transcript", language: str | None = None) -> Transcript:
    """The transcript that `data`, the text of a JSON file, holds.

    Args:
        data: what `render(transcript, "json")` or `"words"` gave, or another tool's JSON with word times.
        name: what errors call it, and the result where the file does not say of which media it is.
        language: of the text, where the file does not say. Without it the letters tell (Latin ones: English).

    Raises:
        InvalidTranscript: no JSON, another shape, a figure that is not finite, words without times, out of order or,
            in a file of ours, overlapping; or made by a later version with another schema.
        InvalidOption: no language is called `language`.
    """
    spoken = parse_language(language)
    root = Node(_loaded(data, name), name=name)
    if isinstance(root.value, list) or not root.has("spoken_language_code"):
        return read_foreign(root, spoken)
    version = root.get("schema_version")
    if version.integer(0) > SCHEMA_VERSION:
        raise version.wrong(f"is {version.value}: made by a later version, this one reads up to {SCHEMA_VERSION}")
    transcript = _transcript(root)
    _check_order(root, transcript)
    return transcript


def _loaded(data: str | bytes, name: str) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no JSON")

    try:
        return json.loads(data, parse_constant=refuse)
    except RecursionError:
        raise InvalidTranscript(name, "", "is nested too deeply") from None
    except UnicodeDecodeError:
        raise InvalidTranscript(name, "", "is no JSON, nor any text") from None
    except ValueError as error:
        reason = "is empty" if not data.strip() else f"is no JSON ({error})"
        raise InvalidTranscript(name, "", reason) from None


def _transcript(root: Node) -> Transcript:
    media = root.get("media") if root.has("media") else Node({}, "media", root.name)
    values = {
        "name": media.get("name").text(root.name),
        "duration_s": root.get("duration").number(),
        "language": language_of(root.get("spoken_language_code")),
        "language_probability": root.get("language_probability").number(0.0),
        "task": _task(root.get("task")),
        "segments": _segments(root),
        "model": root.get("model").text(""),
        "device": root.get("device").text(""),
        "compute_type": root.get("compute_type").text(""),
        "media": media_of(media),
        "damage": media.get("damage").record(MediaDamage) if media.has("damage") else MediaDamage(),
        "unspoken": tuple(node.record(Unspoken) for node in root.get("unspoken").items()),
        "rejected": tuple(_rejected(node) for node in root.get("rejected").items()),
        "coverage": root.get("coverage").record(Coverage) if root.has("coverage") else Coverage(),
        "device_fallbacks": tuple(node.record(DeviceFallbackStep) for node in root.get("device_fallbacks").items()),
        "engine_s": root.get("engine_s").number(0.0),
        "notes": tuple(node.record(Note) for node in root.get("notes").items()),
        "languages": tuple(_share(node) for node in root.get("languages").items()),
        "clips": tuple(_clip(node) for node in root.get("clips").items()),
    }
    return root.made(Transcript, values)


def _clip(node: Node) -> Clip:
    return node.made(Clip, {"start_s": node.get("start").number(), "end_s": node.get("end").number(math.inf)})


def _share(node: Node) -> LanguageShare:
    code = language_of(node.get("language_code"))
    return LanguageShare(code, node.get("recognised_s").number(0.0), node.get("heard_s").number(0.0))


def media_of(node: Node) -> MediaInfo:
    """What the JSON says of the container; empty and 0 where it says nothing."""
    return MediaInfo(
        container=node.get("container").text(""),
        codec=node.get("codec").text(""),
        sample_rate_hz=node.get("sample_rate").integer(0),
        channels=node.get("channels").integer(0),
        audio_stream=node.get("audio_stream").integer(0),
        audio_streams=node.get("audio_streams").integer(0),
        tracks=tuple(track.record(AudioTrack) for track in node.get("tracks").items()),
    )


def _task(node: Node) -> str:
    task = node.text(Task.TRANSCRIBE.value)
    if task not in [known.value for known in Task]:
        raise node.wrong(f"{task!r} is no task")
    return task


def _segments(root: Node) -> tuple[Segment, ...]:
    nodes = [(node, list(node.get("words").items())) for node in root.get("segments").items()]
    texts = [word.get("word").text() for _, words in nodes for word in words]
    spaces = iter(spaces_before(texts, root.get("text").text("")))
    return tuple(_segment(node, [_word(word, space_before=next(spaces)) for word in words]) for node, words in nodes)


def _segment(node: Node, words: Sequence[Word]) -> Segment:
    values = {
        "index": node.get("id").integer(),
        "start_s": node.get("start").number(),
        "end_s": node.get("end").number(),
        "text": node.get("text").text(),
        "words": tuple(words),
        "language": language_of(node.get("language_code")),
        "seek_s": node.get("seek_s").number(node.get("seek").number(0.0) / _MEL_FRAMES_PER_S),
        "token_ids": tuple(token.integer() for token in node.get("tokens").items()),
        "attempts": tuple(attempt.record(Attempt) for attempt in node.get("attempts").items()),
    }
    for figure in ("avg_logprob", "compression_ratio", "no_speech_prob", "temperature"):
        if isinstance(node.value, dict) and figure in node.value:
            values[figure] = node.get(figure).typed(float)
    return node.made(Segment, values)


def _word(node: Node, *, space_before: bool) -> Word:
    given = node.get("space_before")
    values = {
        "text": node.get("word").text(),
        "start_s": node.get("start").number(),
        "end_s": node.get("end").number(),
        "probability": node.get("probability").number(),
        "source": node.get("source").typed(WordSource) if node.has("source") else WordSource.TOKENS,
        "score": node.get("score").number() if node.has("score") else None,
        "space_before": space_before if given.value is None else given.typed(bool),
    }
    return node.made(Word, values)


def _rejected(node: Node) -> RejectedText:
    return RejectedText(
        node.get("start").number(), node.get("end").number(), node.get("text").text(), node.get("reason").text()
    )


def _check_order(root: Node, transcript: Transcript) -> None:
    """Words are in order, apart, in their segment and in the file."""
    began_s = ended_s = 0.0
    for number, segment in enumerate(transcript.segments):
        for position, word in enumerate(segment.words):
            node = Node(None, f"segments[{number}].words[{position}]", root.name)
            if word.start_s < max(began_s, ended_s - OLD_OVERLAP_S) - _TOUCH_S:
                raise node.wrong(f"begins at {word.start_s:g} s; the word before it is {began_s:g} to {ended_s:g} s")
            began_s, ended_s = word.start_s, word.end_s
        _check_bounds(Node(None, f"segments[{number}]", root.name), segment.words, (segment.start_s, segment.end_s))
    if not transcript.duration_s + 2 * _TOUCH_S >= ended_s:
        raise root.get("duration").wrong(f"is {transcript.duration_s:g} s, but the last word ends at {ended_s:g} s")


def _check_bounds(node: Node, words: Sequence[Word], bounds_s: tuple[float, float]) -> None:
    if words and not (bounds_s[0] - _TOUCH_S <= words[0].start_s and words[-1].end_s <= bounds_s[1] + _TOUCH_S):
        raise node.wrong(f"is {bounds_s[0]:g} to {bounds_s[1]:g} s, and its words reach beyond")
