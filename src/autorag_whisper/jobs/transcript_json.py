"""A version of a transcript as JSON: read, packed for the store, and edited segment by segment.

It is what `render(transcript, "json")` gives, which `parse` reads; `words`, which only repeats those of the segments,
is left out where it is kept.
"""

from __future__ import annotations

import json
import re
import zlib
from typing import TYPE_CHECKING, Any

from autorag_whisper.domain.transcript import Word, WordSource, join_words
from autorag_whisper.domain.transcript_errors import InvalidTranscript
from autorag_whisper.format.checked import Node
from autorag_whisper.format.foreign import language_of
from autorag_whisper.format.reading import OLD_OVERLAP_S, parse
from autorag_whisper.format.text import encodable
from autorag_whisper.jobs.library import Edition
from autorag_whisper.jobs.search import lines_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from autorag_whisper.domain.transcript import Transcript

Document = dict[str, Any]
_NAME = "the edit"
_TOUCH_S = 0.0005
_LONGEST_WORD = 1000
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_FIGURES = {"temperature": 0.0, "avg_logprob": 0.0, "compression_ratio": 1.0, "no_speech_prob": 0.0}


def of_result(text: str) -> Document:
    """The document that a job's result holds."""
    found: Document = json.loads(text)
    found.pop("words", None)
    return found


def pack(document: Document) -> bytes:
    """As it is kept."""
    return zlib.compress(json.dumps(document, ensure_ascii=False).encode("utf-8", "replace"), 3)


def unpack(body: bytes) -> Document:
    """The way back."""
    found: Document = json.loads(zlib.decompress(body))
    return found


def transcript_of(document: Document) -> Transcript:
    """As a value, for every format."""
    return parse(json.dumps(document, ensure_ascii=False))


def words_near(document: Document, span: tuple[float, float], margin_s: float = 60.0) -> list[Word]:
    """The words from so long before a span to so long behind it: a long transcript has many others."""
    start_s, end_s = span[0] - margin_s, span[1] + margin_s
    near = [one for one in document["segments"] if one["end"] >= start_s and one["start"] <= end_s]
    found = [word for segment in near for word in segment["words"] if start_s <= word["start"] <= end_s]
    if any(word.get("space_before") is None for word in found):  # an older version wrote it: the text tells
        return [word for word in transcript_of(document).words if start_s <= word.start_s <= end_s]
    return [_word(Node(word)) for word in found]


def words_in(document: Document) -> int:
    """How many words it has."""
    return sum(len(segment["words"]) for segment in document["segments"])


def lines_in(document: Document) -> str:
    """What the search looks through."""
    return lines_of((float(segment["start"]), segment["text"]) for segment in document["segments"])


def edition_of(document: Document, author: str, note: str, *, is_draft: bool, replaces_draft: bool = True) -> Edition:
    """As a store saves it."""
    return Edition(pack(document), lines_in(document), words_in(document), author, note, is_draft, replaces_draft)


def edited(document: Document, edits: Any) -> Document:
    """`document` with runs of its segments replaced: `edits` as the service's `PATCH` has them.

    Raises InvalidTranscript, whose `where` says what is wrong in the edits.
    """
    old: list[Any] = document["segments"]
    root = Node({"edits": edits}, name=_NAME)
    parts = [_part(node, old, document) for node in root.get("edits").items()]
    if not parts:
        raise root.get("edits").wrong("has no edit")
    segments: list[Any] = []
    at = 0
    for first, stop, made, node in sorted(parts, key=lambda part: (part[0], part[1])):
        if first < at:
            raise node.wrong("overlaps another one")
        segments += [*old[at:first], *made]
        at = stop
    segments += old[at:]
    _check_order(segments, float(document["duration"]))
    plain = [{key: value for key, value in segment.items() if key != "where"} for segment in segments]
    numbered = [segment | {"id": number} for number, segment in enumerate(plain)]
    return document | {"segments": numbered, "text": _text(numbered)}


def _part(node: Node, old: Sequence[Any], document: Document) -> tuple[int, int, list[Any], Node]:
    first, stop = node.get("from").integer(), node.get("to").integer()
    if not 0 <= first <= stop <= len(old):
        raise node.wrong(f"replaces {first} to {stop} of {len(old)} segments")
    if not isinstance(node.get("segments").value, list):
        raise node.get("segments").wrong("is no array")
    figures = old[first] if first < stop else {}
    spoken = figures.get("language_code") or document.get("spoken_language_code") or "en"
    return first, stop, [_segment(one, figures, spoken) for one in node.get("segments").items()], node


def _segment(node: Node, figures: Mapping[str, Any], spoken: str) -> Document:
    words = [_word(word) for word in node.get("words").items()]
    if not words:
        raise node.get("words").wrong("has no word")
    code = node.get("language_code")
    language = spoken if code.value is None else language_of(code)
    start_s, end_s = words[0].start_s, max(word.end_s for word in words)
    seek_s = min(float(figures.get("seek_s", start_s)), start_s)
    return {
        "id": 0,
        "seek": round(seek_s * 100),
        "seek_s": seek_s,
        "start": start_s,
        "end": end_s,
        "text": join_words(words),
        "tokens": [],
        **{name: figures.get(name, usual) for name, usual in _FIGURES.items()},
        "language_code": language,
        "words": [_word_json(word) for word in words],
        "attempts": [],
        "where": node.where,
    }


def _word(node: Node) -> Word:
    given = node.get("word")
    text = encodable(given.text()).strip()
    if not text or len(text) > _LONGEST_WORD or _CONTROL.search(text):
        raise given.wrong(f"is empty, has control characters or more than {_LONGEST_WORD} characters")
    score = node.get("score")
    space, source = node.get("space_before"), node.get("source")
    values = {
        "text": text,
        "start_s": round(node.get("start").number(), 3),
        "end_s": round(node.get("end").number(), 3),
        "probability": round(node.get("probability").number(1.0), 4),
        "source": WordSource.INTERPOLATED if source.value is None else source.typed(WordSource),
        "score": None if score.value is None else score.number(),
        "space_before": True if space.value is None else space.typed(bool),
    }
    return node.made(Word, values)


def _word_json(word: Word) -> Document:
    return {
        "word": word.text,
        "start": word.start_s,
        "end": word.end_s,
        "probability": word.probability,
        "source": word.source.value,
        "score": word.score,
        "space_before": word.space_before,
    }


def _check_order(segments: Sequence[Any], duration_s: float) -> None:
    """Words are in order and apart, as `parse` wants them, and within the recording; what is new is named."""
    began_s = ended_s = 0.0
    for n, segment in enumerate(segments):
        for position, word in enumerate(segment["words"]):
            place = f"{segment.get('where') or f'segments[{n}]'}.words[{position}]"
            if word["start"] < max(began_s, ended_s - OLD_OVERLAP_S) - _TOUCH_S:
                reason = f"begins at {word['start']:g} s; the word before it is {began_s:g} to {ended_s:g} s"
                raise InvalidTranscript(_NAME, f"{place}.start", reason)
            began_s, ended_s = word["start"], word["end"]
            if ended_s > duration_s + 2 * _TOUCH_S:
                raise InvalidTranscript(_NAME, f"{place}.end", f"is behind the end of the recording ({duration_s:g} s)")


def _text(segments: Sequence[Any]) -> str:
    pieces = [
        (" " if word.get("space_before", True) else "") + word["word"]
        for segment in segments
        for word in segment["words"]
    ]
    return "".join(pieces).strip()
