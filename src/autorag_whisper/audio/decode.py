"""A media file as a stream of samples: 16 kHz, mono, contiguous from the file's time 0, in memory of fixed size."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Self

import av.error

from autorag_whisper.audio import truncation
from autorag_whisper.audio.blocks import Blocks
from autorag_whisper.audio.container import check_rate, open_container, unreadable
from autorag_whisper.audio.demux import Demuxer, Link, Losses
from autorag_whisper.audio.frames import pieces
from autorag_whisper.audio.links import Window
from autorag_whisper.audio.loudness import Loudness, tracks_with_sound
from autorag_whisper.audio.timeline import MAX_OVERLAP_S, Piece, Silence, Timeline
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, MediaDamage, MediaInfo, Samples
from autorag_whisper.domain.errors import AudioStreamNotFound, MediaDamaged, MediaEmpty, MediaError, MediaTooLong
from autorag_whisper.domain.interruptions import let_signals_through
from autorag_whisper.domain.media_errors import MediaOverLimit
from autorag_whisper.domain.notes import Note, NoteKind

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from types import TracebackType

    from av.audio.frame import AudioFrame

    from autorag_whisper.audio.container import Opened
    from autorag_whisper.audio.scale import Scale
    from autorag_whisper.domain.decoding import DecodingLimits


class MediaDecoder:
    """Decodes one audio stream of an open file, as an iterator of `Samples`: blocks of at most 2 s.

    - Where that stream has nothing and another one goes on for it, that is played there (`audio.following`), and
      recordings that were joined in one file are played one after another (`audio.links`).

    - The file stays the caller's: it is read from its first byte and not closed. It must be seekable.
    - Sample 0 of the first block is time 0 of the file: silence stands in for a late start and for missing packets
      (`audio.timeline` says when). Several channels become one by `audio.downmix`.
    - A packet that cannot be decoded costs that packet. A container that cannot be read any further ends the audio.
    - One pass, one thread. Stopping early is fine; `close` (or the end of `with`) frees everything.

    `max_duration_s` counts samples that came out, never what a header says; so do the `limits` on channels and samples.

    The constructor raises MediaNotRecognised, MediaDamaged, MediaUnreadable, NoAudioStream and AudioStreamNotFound;
    iterating raises MediaTooLong and MediaOverLimit, and MediaDamaged, MediaEmpty or MediaNotRecognised where no sample
    can be had.
    """

    def __init__(
        self,
        file: BinaryIO,
        name: str,
        *,
        audio_stream: int | str | None = None,
        max_duration_s: float | None = None,
        limits: DecodingLimits | None = None,
    ) -> None:
        self._file, self._name, self._wanted = file, name, audio_stream
        self._max_duration_s, self._limits, self._samples_in = max_duration_s, limits, 0
        self._losses = Losses()
        self._link = self._open_link(0)
        self._info, self._header_notes = self._link.opened.info, self._link.opened.notes
        self._keys = [self._link.key(stream) for stream in self._link.streams()]
        duration = self._link.opened.container.duration
        self._expected_duration_s = duration / 1e6 if duration and duration > 0 else None
        self._gap_samples = self._samples_out = 0
        self._joints: list[int] = []
        self._loudness = Loudness()
        self._silent: list[tuple[int, str, str]] = []  # links whose stream is silent: number, stream, those with sound
        self._run = self._decode()

    @property
    def info(self) -> MediaInfo:
        """What the container says of itself."""
        return self._info

    @property
    def expected_duration_s(self) -> float | None:
        """Seconds by the header, for display only: it may lie, or be guessed. None where it says nothing."""
        return self._expected_duration_s

    @property
    def samples_out(self) -> int:
        """Samples given so far: where on the file's timeline the next block begins."""
        return self._samples_out

    @property
    def damage(self) -> MediaDamage:
        """What was lost so far; final when the iterator is exhausted."""
        lost = self._losses
        return MediaDamage(lost.damaged_packets, self._gap_samples / SAMPLE_RATE_HZ, lost.truncated)

    @property
    def notes(self) -> tuple[Note, ...]:
        """What the reader of the result should know; final when the iterator is exhausted."""
        notes = list(self._header_notes)
        chosen = self.info.tracks[self.info.audio_stream]
        continued = self._losses.continued_in
        others = [track for track, key in zip(self.info.tracks, self._keys, strict=True) if key not in continued]
        others = [track for track in others if track is not chosen]
        if continued:
            text = f"the sound of audio stream {chosen} goes on in another one, which was transcribed, too"
            notes.append(Note(NoteKind.AUDIO_CONTINUES, text))
        if others:
            text = f"audio stream {chosen} was transcribed, not {', '.join(map(str, others))}"
            notes.append(Note(NoteKind.OTHER_AUDIO_STREAMS, text))
        for number, silent, loud in self._silent:
            of = f" of recording {number}" if self._joints else ""
            text = f"audio stream {silent}{of} is silent, but there is sound in {loud}: choose it"
            notes.append(Note(NoteKind.SILENT_AUDIO_STREAM, text))
        if self._joints:
            count, at = len(self._joints) + 1, self._joints[0] / SAMPLE_RATE_HZ
            text = f"{count} recordings one after another, the second from {at:.1f} s on"
            notes.append(Note(NoteKind.JOINED_RECORDINGS, text))
        return tuple(notes)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Samples:
        return next(self._run)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Free the container and its decoder. Again is fine; iterating ends."""
        self._run.close()
        self._link.close()

    def _decode(self) -> Generator[Samples]:
        timeline, blocks = _timeline(self._link.opened), Blocks()
        start: int | None = 0
        while start is not None:
            first_sample = self._samples_out
            for piece in self._pieces():
                yield from self._give(timeline.push(piece), blocks)
            yield from self._give(timeline.finish(), blocks)
            yield from self._count(blocks.finish())
            if self._loudness.is_silent:
                self._look_elsewhere()
            self._loudness = Loudness()
            self._judge_the_end((self._samples_out - first_sample) / SAMPLE_RATE_HZ)
            start = self._next_link()
            timeline.begin(truncation.origin_s(self._link.opened))
        if not self._samples_out:
            lost = self._losses.damaged_packets or self._losses.truncated
            raise MediaDamaged(self._name) if lost else MediaEmpty(self._name)

    def _open_link(self, start: int) -> Link:
        try:
            window = Window(self._file, start)
        except OSError as error:
            let_signals_through(error)
            raise unreadable(error, self._name) from error
        try:
            opened = open_container(window.as_file(), self._name, self._wanted)
        except AudioStreamNotFound:
            if not start:
                raise
            opened = open_container(window.as_file(), self._name, None)
        return Link(window, opened, self._name)

    def _next_link(self) -> int | None:
        """Open the next recording of the file that can be opened. One that cannot is damage."""
        start = self._link.file.find_next()
        while start is not None:
            try:
                link = self._open_link(start)
            except MediaError:
                self._losses.damaged_packets += 1
                start = Window(self._file, start).find_next()
                continue
            self._link.close()
            self._link = link
            self._joints.append(self._samples_out)
            return start
        return None

    def _look_elsewhere(self) -> None:
        """Where the chosen stream of a link was silent: whether another one is not."""
        opened = self._link.opened
        loud = ", ".join(map(str, tracks_with_sound(self._link.file, self._name, opened)))
        if loud:
            silent = str(opened.info.tracks[opened.info.audio_stream])
            self._silent.append((len(self._joints) + 1, silent, loud))

    def _give(self, placed: Iterator[Piece | Silence], blocks: Blocks) -> Iterator[Samples]:
        for one in placed:
            self._note_gap(one)
            yield from self._count(blocks.push(one))

    def _count(self, blocks: Iterator[Samples]) -> Iterator[Samples]:
        for block in blocks:
            self._samples_out += len(block)
            self._loudness.push(block)
            if self._max_duration_s is not None and self._samples_out > self._max_duration_s * SAMPLE_RATE_HZ:
                raise MediaTooLong(self._name, self._max_duration_s)
            yield block

    def _note_gap(self, placed: Piece | Silence) -> None:
        # Silence before the first audio is a late start, unless packets were lost there.
        if isinstance(placed, Silence) and (self._losses.damaged_packets or not placed.leading):
            self._gap_samples += placed.samples

    def _pieces(self) -> Iterator[Piece]:
        for frame, scale in self._frames():
            check_rate(frame.sample_rate, self._name)
            if self._limits is not None:
                self._count_in(frame, self._limits)
            try:
                yield from pieces(frame, scale)
            except ValueError:  # a frame that contradicts itself
                self._losses.damaged_packets += 1

    def _count_in(self, frame: AudioFrame, limits: DecodingLimits) -> None:
        channels = frame.layout.nb_channels
        self._samples_in += frame.samples * channels
        if channels > limits.channels:
            raise MediaOverLimit(self._name, f"has {channels} channels, more than {limits.channels}")
        if self._samples_in > limits.samples:
            raise MediaOverLimit(self._name, f"holds more than {limits.samples:,} samples in all channels")

    def _frames(self) -> Iterator[tuple[AudioFrame, Scale]]:
        for opened, packet in Demuxer(self._link, self._losses):
            codec, failed = opened.stream.codec_context, False
            try:
                for frame in codec.decode(packet):
                    yield frame, opened.scale
            except av.error.FFmpegError:
                # The decoder goes on with the next packet; the timeline fills the hole.
                failed = True
            if packet is not None:
                self._losses.note_decoded(failed=failed)
            else:  # an end that cannot be flushed is no packet
                codec.flush_buffers()

    def _judge_the_end(self, decoded_s: float) -> None:
        """Of one link, of which `decoded_s` came out."""
        losses = self._losses
        losses.truncated |= truncation.ends_early(self._link.opened, decoded_s, losses.ending)
        losses.ending = truncation.Ending()


def _timeline(opened: Opened) -> Timeline:
    # In Ogg each chained stream begins at 0 again, however short it is: what looks like an overlap is none.
    return Timeline(truncation.origin_s(opened), 0.0 if "ogg" in truncation.kinds(opened) else MAX_OVERLAP_S)
