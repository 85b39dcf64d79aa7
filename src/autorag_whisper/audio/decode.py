"""A media file as a stream of samples: 16 kHz, mono, contiguous from the file's time 0, in memory of fixed size."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, BinaryIO, Self, cast

import av.error

from autorag_whisper.audio import promise
from autorag_whisper.audio.blocks import Blocks
from autorag_whisper.audio.container import check_rate, open_container
from autorag_whisper.audio.frames import pieces
from autorag_whisper.audio.timeline import MAX_GAP_S, MAX_OVERLAP_S, Piece, Silence, Timeline
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, MediaDamage, MediaInfo, Samples
from autorag_whisper.domain.errors import MediaDamaged, MediaEmpty, MediaTooLong
from autorag_whisper.domain.notes import Note, NoteKind

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from types import TracebackType

    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.packet import Packet

    from autorag_whisper.audio.container import Opened

_READ_ATTEMPTS = 3


class MediaDecoder:
    """Decodes one audio stream of an open file, as an iterator of `Samples`: blocks of at most 2 s.

    - The file stays the caller's: it is read from its first byte and not closed. It must be seekable.
    - Sample 0 of the first block is time 0 of the file: silence stands in for a late start and for missing packets
      (`audio.timeline` says when). Several channels become one by `audio.downmix`.
    - A packet that cannot be decoded costs that packet. A container that cannot be read any further ends the audio.
    - One pass, one thread. Stopping early is fine; `close` (or the end of `with`) frees everything.

    `max_duration_s` counts samples that came out, never what a header says.

    The constructor raises MediaNotRecognised, MediaDamaged, MediaUnreadable, NoAudioStream and AudioStreamNotFound;
    iterating raises MediaTooLong, and MediaDamaged, MediaEmpty or MediaNotRecognised where no sample can be had.
    """

    def __init__(
        self, file: BinaryIO, name: str, *, audio_stream: int | str | None = None, max_duration_s: float | None = None
    ) -> None:
        self._name, self._max_duration_s = name, max_duration_s
        self._opened = open_container(file, name, audio_stream)
        duration = self._opened.container.duration
        self._expected_duration_s = duration / 1e6 if duration and duration > 0 else None
        self._damaged_packets = self._gap_samples = self._samples_out = 0
        self._truncated = self._last_was_corrupt = False
        self._open = True
        self._run = self._decode()

    @property
    def info(self) -> MediaInfo:
        """What the container says of itself."""
        return self._opened.info

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
        return MediaDamage(self._damaged_packets, self._gap_samples / SAMPLE_RATE_HZ, self._truncated)

    @property
    def notes(self) -> tuple[Note, ...]:
        """What the reader of the result should know; final when the iterator is exhausted."""
        found = self._opened.notes
        chosen, *others = sorted(self.info.tracks, key=lambda track: track.number != self.info.audio_stream)
        if not others:
            return found
        text = f"audio stream {chosen} was transcribed, not {', '.join(map(str, others))}"
        return (Note(NoteKind.OTHER_AUDIO_STREAMS, text), *found)

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
        if self._open:
            self._open = False
            self._opened.container.close()

    def _decode(self) -> Generator[Samples]:
        timeline, blocks = _timeline(self._opened), Blocks()
        for piece in self._pieces():
            for placed in timeline.push(piece):
                self._note_gap(placed)
                yield from self._count(blocks.push(placed))
        for placed in timeline.finish():
            self._note_gap(placed)
            yield from self._count(blocks.push(placed))
        yield from self._count(blocks.finish())
        self._judge_the_end()

    def _count(self, blocks: Iterator[Samples]) -> Iterator[Samples]:
        for block in blocks:
            self._samples_out += len(block)
            if self._max_duration_s is not None and self._samples_out > self._max_duration_s * SAMPLE_RATE_HZ:
                raise MediaTooLong(self._name, self._max_duration_s)
            yield block

    def _note_gap(self, placed: Piece | Silence) -> None:
        # Silence before the first audio is a late start, unless packets were lost there.
        if isinstance(placed, Silence) and (self._damaged_packets or not placed.leading):
            self._gap_samples += placed.samples

    def _pieces(self) -> Iterator[Piece]:
        for frame in self._frames():
            check_rate(frame.sample_rate, self._name)
            try:
                yield from pieces(frame, self._opened.scale)
            except ValueError:  # a frame that contradicts itself
                self._damaged_packets += 1

    def _frames(self) -> Iterator[AudioFrame]:
        codec = self._opened.stream.codec_context
        for packet in self._packets():
            try:
                frames = codec.decode(packet)
            except av.error.FFmpegError:
                # The decoder goes on with the next packet; the timeline fills the hole. An end that cannot be flushed
                # is no packet.
                self._damaged_packets += packet is not None
                continue
            yield from frames

    def _packets(self) -> Iterator[Packet[AudioStream] | None]:
        """The stream's packets, then None for the decoder to give what it holds."""
        failures = 0
        while failures < _READ_ATTEMPTS:
            # A demuxer that stumbles may find its way from where it stands: demux again.
            demuxed = cast("Generator[Packet[AudioStream]]", self._opened.container.demux(self._opened.stream))
            with closing(demuxed) as packets:
                try:
                    for packet in packets:
                        if packet.size:
                            failures = 0
                            self._note_corrupt(packet)
                            yield packet
                    break
                except (av.error.FFmpegError, OSError):
                    failures += 1
                    self._damaged_packets += failures == 1
        self._truncated |= failures >= _READ_ATTEMPTS
        yield None

    def _note_corrupt(self, packet: Packet[AudioStream]) -> None:
        """FFmpeg flags a packet that is shorter than it should be, or that follows a hole."""
        self._damaged_packets += self._last_was_corrupt
        self._last_was_corrupt = packet.is_corrupt

    def _judge_the_end(self) -> None:
        opened, decoded_s = self._opened, self._samples_out / SAMPLE_RATE_HZ
        # The last packet of a file that is cut off is short; so it is in a WAV whose header was never completed.
        self._truncated |= self._last_was_corrupt and not promise.is_open_ended(opened.file, opened)
        self._truncated |= promise.falls_short(opened, decoded_s) or promise.ends_abruptly(opened.file, opened)
        if not self._samples_out:
            lost = self._damaged_packets or self._truncated
            raise MediaDamaged(self._name) if lost else MediaEmpty(self._name)


def _timeline(opened: Opened) -> Timeline:
    names = promise.kinds(opened)
    start_s = (opened.container.start_time or 0) / 1e6
    if names & promise.START_AT_ZERO and 0 <= start_s <= MAX_GAP_S:
        start_s = 0.0
    # In Ogg each chained stream begins at 0 again, however short it is: what looks like an overlap is none.
    return Timeline(start_s, 0.0 if "ogg" in names else MAX_OVERLAP_S)
