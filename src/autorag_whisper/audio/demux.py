"""The packets of the chosen audio stream, and of the streams that go on for it where it has none."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, cast

import av.error

from autorag_whisper.audio import truncation
from autorag_whisper.audio.container import Opened, open_another
from autorag_whisper.audio.following import CONFIRM_S, UNKNOWN_PACKET_S, Following, Gap
from autorag_whisper.domain.interruptions import let_signals_through

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from av.audio.stream import AudioStream
    from av.packet import Packet

    from autorag_whisper.audio.links import Window

    Played = tuple[Opened, Packet[AudioStream] | None]

_READ_ATTEMPTS = 3

_APPEARING = frozenset(("mpegts", "mpeg"))
"""Containers in which streams may appear at any place and the clock may begin anew; they can be opened at any place."""

_BEFORE_BYTES = (1 << 21, 1 << 16, 0)
"""Of such a container, read before the place that matters: the tables that say what is in it are repeated. Too much
of it shows the tables of before alone."""

_WORTH_BYTES = 1 << 12
_MOST_FILLED = 100
_FAILING = 16
"""From here on the same PID may carry another codec by now. A packet that could not be decoded counts two; one that
could takes only one off, for a decoder finds something to decode in any other codec's bytes now and then."""

_SLACK_S = 0.05


@dataclass(slots=True)
class Losses:
    """What reading has met, in all links and streams of a file."""

    damaged_packets: int = 0
    truncated: bool = False
    failing: int = 0

    ending: truncation.Ending = field(default_factory=truncation.Ending)
    continued_in: list[int] = field(default_factory=list)
    """The key of each stream that went on for the chosen one, each time."""

    def note_decoded(self, *, failed: bool) -> None:
        """The decoder's answer to a packet."""
        self.ending.failed = failed
        self.damaged_packets += failed
        self.failing = self.failing + 2 if failed else max(0, self.failing - 1)


@dataclass(frozen=True, slots=True)
class Link:
    """One recording of a file, open, with the stream that was chosen."""

    file: Window
    opened: Opened
    name: str

    @property
    def is_appearing(self) -> bool:
        return not _APPEARING.isdisjoint(self.opened.info.container.split(","))

    def key(self, stream: AudioStream) -> int:
        """What names a stream wherever the file is opened: the PID, or its index."""
        return stream.id if self.is_appearing else stream.index

    def close(self) -> None:
        self.opened.container.close()

    def streams(self) -> list[AudioStream]:
        """The audio streams that were known when the container was opened."""
        return [cast("AudioStream", stream) for stream in self.opened.container.streams if stream.type == "audio"]


@dataclass(frozen=True, slots=True)
class Likeness:
    """What is known of the chosen stream: its language, and which of the audio streams it is."""

    language: str
    number: int

    def choose(self, streams: list[AudioStream]) -> AudioStream | None:
        """Of streams that could go on for it, the first of its language, else the one in its place."""
        same = [stream for stream in streams if self.language and _language(stream) == self.language]
        if same or not streams:
            return same[0] if same else None
        return streams[min(self.number, len(streams) - 1)]


class Demuxer:
    """One pass over a link: `(where from, packet)` as it is played; None has the decoder give what it holds, after
    which packets of the same stream may come again.

    `span`: nothing outside of it, by the clock; `from_byte`: nothing before it. `tracks`: keys of streams that are
    never taken. `like`: what the streams that go on for it should be like.
    """

    def __init__(
        self,
        link: Link,
        losses: Losses,
        *,
        span: Gap | None = None,
        from_byte: int = 0,
        tracks: frozenset[int] = frozenset(),
        like: Likeness | None = None,
    ) -> None:
        self._link, self._losses, self._span, self._from_byte, self._tracks = link, losses, span, from_byte, tracks
        self._stream = link.opened.stream
        self._like = like or Likeness(_language(self._stream), link.opened.info.audio_stream)
        self._following = Following(clock_restarts=link.is_appearing, end_s=span.start_s if span else None)
        self._byte = from_byte or link.file.start
        # Where the last two packets of the chosen stream began. FFmpeg may report the last one late, at a wrong place.
        self._bytes = (self._byte, self._byte)
        self._decoded_byte, self._damaged_before = self._byte, losses.damaged_packets
        self.goes_on: Demuxer | None = None
        self._held: list[Packet[AudioStream]] = []
        self._held_s = 0.0
        self._gap: Gap | None = None
        self._gap_bytes = (0, 0)

    def __iter__(self) -> Iterator[Played]:
        # However often the codec changes: one container is open behind the first, and no generator nests.
        reader: Demuxer = self
        try:
            yield from reader.play()
            while (after := reader.goes_on) is not None:
                if reader is not self:
                    reader.close()
                reader = after
                yield from reader.play()
        finally:
            for one in (reader, reader.goes_on):
                if one is not None and one is not self:
                    one.close()

    def close(self) -> None:
        """Close the link. Of a reader that opened it itself."""
        self._link.close()

    def play(self) -> Iterator[Played]:
        """Up to the end, or to where `goes_on` reads on."""
        if len(self._link.streams()) == 1 and not self._link.is_appearing:
            for packet in _read(self._link, self._losses):
                self._note_corrupt(packet)
                yield self._link.opened, packet
        else:
            yield from self._follow()
        yield self._link.opened, None

    def judge_the_end(self) -> None:
        """Note what is missing at the end of this stream, by where its last packet ends."""
        opened, losses = self._link.opened, self._losses
        end_s = (self._following.end_s or 0.0) - truncation.origin_s(opened)
        losses.truncated |= truncation.ends_early(opened, end_s, losses.ending)

    def _follow(self) -> Iterator[Played]:
        for packet in _read(self._link, self._losses):
            self._byte = self._link.file.start + packet.pos if packet.pos is not None else self._byte
            time_s, duration_s = _clock(packet)
            if self._is_outside(time_s):
                continue
            if packet.stream.index != self._stream.index:
                key = self._link.key(packet.stream)
                if time_s is not None and key not in self._tracks:
                    self._following.other(key, time_s, duration_s, self._byte)
                continue
            if self._span and self._span.stop_s is not None and time_s is not None and time_s >= self._span.stop_s:
                break
            self._note_corrupt(packet)
            yield from self._place(packet, time_s, duration_s)
            self.goes_on = self._behind_another_codec()
            if self.goes_on is not None:
                return
        yield from self._settle()
        last = self._following.finish()
        stop_s = self._span.stop_s if self._span else None
        yield from self._fill(replace(last, stop_s=stop_s), (self._bytes[0], self._link.file.stop))

    def _place(self, packet: Packet[AudioStream], time_s: float | None, duration_s: float) -> Iterator[Played]:
        """Play a packet of the chosen stream, or hold it until it is known who fills the gap before it."""
        end_s = self._following.end_s
        gap = self._following.chosen(end_s or 0.0 if time_s is None else time_s, duration_s)
        if gap is not None and (gap.heard or (self._link.is_appearing and end_s is not None)):
            yield from self._settle()
            self._gap, self._gap_bytes = gap, (self._bytes[0], self._byte)
        if self._byte != self._bytes[1]:
            self._bytes = (self._bytes[1], self._byte)
        if self._gap is None:
            yield self._link.opened, packet
            return
        self._held.append(packet)
        self._held_s += duration_s or UNKNOWN_PACKET_S
        if self._held_s >= CONFIRM_S:
            yield from self._settle()

    def _settle(self) -> Iterator[Played]:
        """Fill the gap that is open, unless its stream has turned out to be another track, and play what was held."""
        gap, held, self._gap, self._held, self._held_s = self._gap, self._held, None, [], 0.0
        if gap is not None:
            yield from self._fill(gap, self._gap_bytes)
        for packet in held:
            yield self._link.opened, packet

    def _behind_another_codec(self) -> Demuxer | None:
        """A demuxer that reads on where packets can no longer be decoded, if the codec changes there; else None."""
        if not self._losses.failing:
            self._decoded_byte, self._damaged_before = self._byte, self._losses.damaged_packets
        if self._losses.failing < _FAILING or not self._link.is_appearing:
            return None
        self._losses.failing = 0
        own, key = self._link, self._link.key(self._stream)
        window = own.file.part(self._decoded_byte, own.file.stop)
        opened = open_another(window.as_file(), own.name, partial(self._pick, frozenset((key,)), frozenset[int]()))
        if opened is None:
            return None
        link = Link(window, opened, own.name)
        if opened.info.codec == own.opened.info.codec:
            link.close()
            return None
        self._losses.damaged_packets = self._damaged_before
        tracks = self._tracks | self._following.beside
        span = Gap(self._following.end_s, None)
        return Demuxer(link, self._losses, span=span, tracks=tracks, like=self._like)

    def _fill(self, gap: Gap, span: tuple[int, int]) -> Iterator[Played]:
        """What another stream has in `gap`, which lies in these bytes of the file."""
        tracks = self._tracks | self._following.beside | {self._link.key(self._stream)}
        heard = {stream: byte for stream, byte in gap.heard.items() if stream not in tracks}
        if len(self._losses.continued_in) >= _MOST_FILLED:
            return
        if self._link.is_appearing:
            span = (min(heard.values(), default=span[0]), span[1])
            link = self._open_appearing(frozenset(heard), tracks, span)
        else:
            link = self._open_known(frozenset(heard))
        if link is None:
            return
        key = link.key(link.opened.stream)
        self._losses.continued_in.append(key)
        yield self._link.opened, None
        try:
            start = heard.get(key, span[0]) if link.is_appearing else 0
            gap = Gap(gap.start_s, None) if link.is_appearing else gap
            within = Demuxer(link, self._losses, span=gap, from_byte=start, tracks=tracks, like=self._like)
            yield from within
            if gap.stop_s is None and not link.is_appearing:
                within.judge_the_end()
        finally:
            link.close()

    def _open_known(self, heard: frozenset[int]) -> Link | None:
        """The same recording once more, for another stream of it."""
        if not heard:
            return None
        window = self._link.file.part(self._link.file.start, self._link.file.stop)
        opened = open_another(window.as_file(), self._link.name, partial(self._pick, heard, frozenset[int]()))
        return None if opened is None else Link(window, opened, self._link.name)

    def _open_appearing(self, heard: frozenset[int], tracks: frozenset[int], span: tuple[int, int]) -> Link | None:
        """The bytes of a gap as a file of their own, for one of the streams `heard`, else one that is no track."""
        own, name = self._link.file, self._link.name
        if span[1] - span[0] < _WORTH_BYTES:
            return None
        for before in _BEFORE_BYTES:
            window = own.part(max(own.start, span[0] - before), span[1])
            others = tracks if heard else tracks | self._beside(window, span[0])
            opened = open_another(window.as_file(), name, partial(self._pick, heard, others))
            if opened is not None:
                return Link(window, opened, name)
        return None

    def _pick(self, heard: frozenset[int], tracks: frozenset[int], streams: list[AudioStream]) -> AudioStream | None:
        """The one that is most like the chosen stream, of those that were `heard`, or that are no other track."""
        keys = [(self._link.key(stream), stream) for stream in streams]
        return self._like.choose([stream for key, stream in keys if (key in heard if heard else key not in tracks)])

    def _beside(self, window: Window, stop_byte: int) -> frozenset[int]:
        """Which streams run beside the chosen one up to `stop_byte` of the file, so that they are other tracks."""
        own = self._link.key(self._stream)
        opened = open_another(
            window.as_file(), self._link.name, partial(self._pick, frozenset((own,)), frozenset[int]())
        )
        if opened is None:
            return frozenset()
        following, link = Following(clock_restarts=True), Link(window, opened, self._link.name)
        with closing(opened.container):
            for packet in _read(link, Losses()):
                if packet.pos is not None and window.start + packet.pos >= stop_byte:
                    break
                time_s, duration_s = _clock(packet)
                if time_s is not None and packet.stream.id == own:
                    following.chosen(time_s, duration_s)
                elif time_s is not None:
                    following.other(packet.stream.id, time_s, duration_s)
        return following.beside

    def _is_outside(self, time_s: float | None) -> bool:
        if self._byte < self._from_byte:
            return True
        start_s = self._span.start_s if self._span and not self._link.is_appearing else None
        return start_s is not None and time_s is not None and time_s < start_s - _SLACK_S

    def _note_corrupt(self, packet: Packet[AudioStream]) -> None:
        """FFmpeg flags a packet that is shorter than it should be, or that follows a hole."""
        ending = self._losses.ending
        self._losses.damaged_packets += ending.is_short
        ending.is_short, ending.packet = packet.is_corrupt, packet


def _language(stream: AudioStream) -> str:
    return stream.metadata.get("language", "").lower()


def _read(link: Link, losses: Losses) -> Iterator[Packet[AudioStream]]:
    """The packets of all audio streams, in the order of the file."""
    failures = 0
    while failures < _READ_ATTEMPTS:
        # A demuxer that stumbles may find its way from where it stands: demux again.
        demuxed = cast("Generator[Packet[AudioStream]]", link.opened.container.demux(link.streams()))
        with closing(demuxed) as packets:
            try:
                for packet in packets:
                    if packet.size:
                        losses.damaged_packets += failures > 0
                        failures = 0
                        yield packet
            except IndexError:  # PyAV, at the end, of a stream that appeared on the way
                pass
            except (av.error.FFmpegError, OSError) as error:
                let_signals_through(error)
                failures += 1
                continue
            break
    losses.ending.broke_off = failures > 0


def _clock(packet: Packet[AudioStream]) -> tuple[float | None, float]:
    """When a packet plays, where its container says so, and for how long (0: unknown)."""
    stamp = packet.dts if packet.pts is None else packet.pts
    base = packet.time_base
    return None if stamp is None else float(stamp * base), float((packet.duration or 0) * base)
