"""Step 8 of a file's life: results in any order become segments in order and, at the end, the transcript.

A chunk's last segment waits for the next chunk where a sentence may go on there (`recognition.borders`); all others
leave at once. What has left never changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from autorag_whisper.domain.audio import seconds
from autorag_whisper.domain.clips import clock
from autorag_whisper.domain.notes import Note, NoteKind
from autorag_whisper.domain.request import Task
from autorag_whisper.domain.transcript import (
    Coverage,
    DeviceFallbackStep,
    Hole,
    RejectedText,
    Segment,
    Transcript,
    Unspoken,
)
from autorag_whisper.recognition.border_hearing import Border
from autorag_whisper.recognition.borders import begun, gap_s, is_to_be_heard, joint, joint_heard, may_go_on
from autorag_whisper.recognition.holes import LISTED_S, holes
from autorag_whisper.transcriber.language_track import LanguageTrack
from autorag_whisper.transcriber.script import Writing
from autorag_whisper.transcriber.segments import cut_segments, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from autorag_whisper.align.words import TimedWord
    from autorag_whisper.domain.clips import Clip
    from autorag_whisper.engines.base import RecognizerSpec
    from autorag_whisper.isolation.decoder import Decoder
    from autorag_whisper.recognition.chunk_result import ChunkResult, ChunkTask

UNKNOWN_LANGUAGE = "en"
"""Said of a file in which nobody spoke, with probability 0: there is no code for "none"."""


@dataclass(slots=True)
class Assembly:
    """One file's results."""

    name: str
    task: str
    clips: tuple[Clip, ...] = ()
    language: str = ""
    language_probability: float = 0.0
    segments: list[Segment] = field(default_factory=list)
    rejected: list[RejectedText] = field(default_factory=list)
    steps: list[DeviceFallbackStep] = field(default_factory=list)
    speech_s: float = 0.0
    holes: list[Hole] = field(default_factory=list)
    unspoken: list[Unspoken] = field(default_factory=list)
    recognise_s: float = 0.0
    align_s: float = 0.0
    unsampled: int = 0
    writing: Writing = field(default_factory=Writing)
    notes: tuple[Note, ...] = ()
    track: LanguageTrack = field(default_factory=LanguageTrack)
    again: list[ChunkTask] = field(default_factory=list)
    """Chunks that are next in order and have to be recognised in another language, for whoever owns the run to take."""
    _early: dict[int, ChunkResult] = field(default_factory=dict)
    _next: int = 0
    hears: bool = False
    """Whether borders are heard again where nothing else tells (`border`, `settle`)."""
    border: Border | None = None
    """What is to be heard before anything else can leave."""
    _held: tuple[ChunkResult, str, list[TimedWord]] | None = None
    """The last words of the chunk before, in their language, which wait for the next one."""

    def charge(self, result: ChunkResult) -> None:
        """Engine time counts also where the work has to be done again."""
        self.recognise_s += result.time.recognise_s
        self.align_s += result.time.align_s

    def add(self, result: ChunkResult) -> Iterator[Segment]:
        """A chunk's final result; the segments that are next in order by now."""
        self._early[result.task.chunk.index] = result
        if self.border is None:
            yield from self._proceed()

    def settle(self, heard: str) -> Iterator[Segment]:
        """What was heard across `border`, "" where that failed; the segments that are next in order by now."""
        border, self.border = self.border, None
        assert border is not None
        self._next += 1
        yield from self._in_order(self._early.pop(border.right.task.chunk.index), heard)
        yield from self._proceed()

    def _proceed(self) -> Iterator[Segment]:
        """All that follows what has left, up to a border that is to be heard or a chunk that is to be done again."""
        while (following := self._early.get(self._next)) is not None:
            again = self.track.again(following)
            if again is None and (border := self._to_be_heard(following)) is not None:
                self.border = border
                return
            del self._early[self._next]
            if again is not None:
                self.again.append(again)
                return
            self._next += 1
            yield from self._in_order(following)

    def _to_be_heard(self, result: ChunkResult) -> Border | None:
        """The border before a chunk, if nothing but its sound tells what it is."""
        language, said = result.by_language[0]
        if not self.hears or self._held is None or not said or self._held[1] != language:
            return None
        before, _, held = self._held
        words, pause_s = self.writing.words(said, language), gap_s(before.task.chunk, result.task.chunk)
        if not is_to_be_heard(held[-1].word, [timed.word for timed in words], language, pause_s):
            return None
        return Border(before, result, language)

    def finish(self) -> Iterator[Segment]:
        """Every chunk was added: the segment that waited for another."""
        if self._held is not None:
            (result, language, words), self._held = self._held, None
            yield self._segment(result, language, words)

    @property
    def chunks_done(self) -> int:
        """Chunks whose segments have left, but for one that waits for the next chunk."""
        return self._next

    @property
    def coverage(self) -> Coverage:
        """What came of the speech in the chunks so far."""
        skipped_s = sum((hole.speech_s for hole in self.holes), 0.0)
        return Coverage(self.speech_s, max(0.0, self.speech_s - skipped_s), skipped_s, tuple(self.holes))

    @property
    def main_language(self) -> str:
        """The language that was used, of several the one that was spoken for longest."""
        spoken_s: dict[str, float] = {}
        for segment in self.segments:
            spoken_s[segment.language] = spoken_s.get(segment.language, 0.0) + segment.end_s - segment.start_s
        if not spoken_s:
            return self.language or UNKNOWN_LANGUAGE
        return max(spoken_s, key=lambda code: (spoken_s[code], code == self.language))

    def _in_order(self, result: ChunkResult, heard: str | None = None) -> Iterator[Segment]:
        chunk = result.task.chunk
        self.unsampled += result.unsampled
        # What had a second look counts as speech only if it turned out to be: music is none that was skipped.
        speech_s = sum(span.duration_s for span in chunk.speech if span.sure or result.words)
        self.speech_s += speech_s
        for rejection in result.rejected:
            text = self.writing.text(rejection.text, result.language)
            self.rejected.append(RejectedText(chunk.start_s, seconds(chunk.stop), text, rejection.rule))
        self.unspoken += result.aligned.unspoken if result.words else ()
        self.holes += holes_of(result, translated=self.task == Task.TRANSLATE)
        for language, said in result.by_language:
            words = self._joined(result, language, self.writing.words(said, language), heard)
            yield from self.finish()
            *pieces, last = [*cut_segments(words)] or [[]]
            for piece in pieces:
                yield self._segment(result, language, piece)
            self._held = (result, language, last) if last else None
        if not may_go_on(chunk):
            yield from self.finish()

    def _joined(
        self, result: ChunkResult, language: str, words: Sequence[TimedWord], heard: str | None
    ) -> Sequence[TimedWord]:
        """`words` of a chunk as they go on behind those that are held, which are mended too, or that have left."""
        following, written = [timed.word for timed in words], "en" if self.task == Task.TRANSLATE else language
        if words and self._held is None and self.segments and self.segments[-1].language == language:
            first = begun(self.segments[-1].words[-1], following, written)
            return [replace(words[0], word=first), *words[1:]]
        if self._held is None or not words or self._held[1] != language or self._held[0] is result:
            return words
        before, _, held = self._held
        last, pause_s = held[-1].word, gap_s(before.task.chunk, result.task.chunk)
        if heard is None:
            found = joint(last, following, written, pause_s)
        else:
            found = joint_heard(last, following[0], language, pause_s, self.writing.text(heard, language))
        self._held = before, language, [*held[:-1], replace(held[-1], word=found.left)]
        return [replace(words[0], word=found.right), *words[1:]]

    def _segment(self, result: ChunkResult, language: str, words: Sequence[TimedWord]) -> Segment:
        """The next segment, of words of a chunk that are in one language."""
        attempt = result.attempt
        assert attempt is not None
        segment = Segment(
            index=len(self.segments),
            start_s=words[0].word.start_s,
            end_s=max(timed.word.end_s for timed in words),
            text=text_of(words),
            words=tuple(timed.word for timed in words),
            language=language,
            seek_s=result.task.chunk.start_s,
            token_ids=tuple(token for timed in words for token in timed.token_ids),
            avg_logprob=attempt.avg_logprob,
            compression_ratio=attempt.compression_ratio,
            no_speech_prob=attempt.no_speech_prob,
            temperature=attempt.temperature,
            attempts=result.attempts,
        )
        self.segments.append(segment)
        return segment

    def _own_notes(self, duration_s: float) -> Iterator[Note]:
        yield from _notes(self.clips, duration_s)
        yield from self.track.notes()
        yield from _unsampled(self.unsampled)

    def transcript(self, decoder: Decoder, spec: RecognizerSpec) -> Transcript:
        """The whole, once every chunk was added and the file is decoded."""
        return Transcript(
            name=self.name,
            duration_s=seconds(decoder.samples_out),
            language=self.main_language,
            language_probability=self.track.probability(self.main_language, self.language_probability),
            languages=self.track.shares,
            task=self.task,
            segments=tuple(self.segments),
            model=spec.model,
            device=str(spec.device),
            compute_type=spec.compute_type,
            media=decoder.info,
            damage=decoder.damage,
            rejected=tuple(self.rejected),
            coverage=self.coverage,
            device_fallbacks=tuple(self.steps),
            engine_s=self.recognise_s + self.align_s,
            notes=(*self.notes, *spec.notes, *decoder.notes, *self._own_notes(seconds(decoder.samples_out))),
            clips=self.clips,
            unspoken=tuple(self.unspoken),
        )


def _notes(clips: tuple[Clip, ...], duration_s: float) -> Iterator[Note]:
    """One for each clip of which nothing can have been heard."""
    for clip in clips:
        if clip.start_s >= duration_s:
            yield Note(NoteKind.CLIP_BEHIND_END, f"clip {clip} begins behind the end at {clock(duration_s)}")


def _unsampled(chunks: int) -> Iterator[Note]:
    if chunks:
        pieces = f"{chunks} doubtful pieces" if chunks > 1 else "a doubtful piece"
        text = f"{pieces} kept the text that there was: the model could not be loaded once more to sample others"
        yield Note(NoteKind.NOT_SAMPLED, text)


def holes_of(result: ChunkResult, *, translated: bool) -> list[Hole]:
    """The sure speech of a chunk that has no word. Words of a translation are not where they were said."""
    speech = [span for span in result.task.chunk.speech if span.sure]
    if not speech or (result.words and translated):
        return []
    if not result.words:
        missing_s = sum(span.duration_s for span in speech)
        return [Hole(seconds(speech[0].start), seconds(speech[-1].stop), missing_s)]
    found = holes(speech, [timed.word for timed in result.words], LISTED_S)
    return [Hole(seconds(hole.start), seconds(hole.stop), hole.speech_s) for hole in found]
