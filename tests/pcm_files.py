"""Uncompressed sound written field by field, so that a test can make any two of them disagree."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 16_000
_GUID = bytes.fromhex("000000001000800000aa00389b71")
_W64 = {name: name + bytes.fromhex("f3acd3118cd100c04f8edb8a") for name in (b"wave", b"fmt ", b"data")} | {
    b"riff": b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
}


@lru_cache(64)
def voice(seconds: float = 2.0, channels: int = 1, seed: int = 0) -> NDArray[np.float64]:
    """float64[n, channels] that moves like speech: harmonics of a wandering pitch in syllables, over a faint floor.

    It is kept, as it takes longer than what most tests do with it: not to be written to.
    """
    random = np.random.default_rng(seed)
    n = round(seconds * RATE)
    time_s = np.arange(n) / RATE
    phase = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * time_s + random.uniform(0, 6))) / RATE
    sound = sum(np.sin(k * phase + random.uniform(0, 6)) / k for k in range(1, 12))
    syllables = np.clip(np.sin(2 * np.pi * 2.5 * time_s + random.uniform(0, 6)), 0, 1) ** 0.5
    mono = 0.25 * np.asarray(sound) * syllables + 1e-3 * random.standard_normal(n)
    each = [mono * (1 - 0.1 * channel) + 1e-3 * channel * random.standard_normal(n) for channel in range(channels)]
    made = np.clip(np.stack(each, axis=1), -0.95, 0.95)
    made.flags.writeable = False
    return made


@dataclass(frozen=True)
class Pcm:
    """Samples as bytes with the fields that describe them; `replace` one to make it lie."""

    data: bytes
    channels: int
    width: int
    tag: int = 1
    bits: int = 0
    block: int = 0
    byte_rate: int = 0
    valid: int | None = None
    rate: int = RATE

    def __post_init__(self) -> None:
        for name, value in (("bits", self.width * 8), ("block", self.width * self.channels)):
            if not getattr(self, name):
                object.__setattr__(self, name, value)
        if not self.byte_rate:
            object.__setattr__(self, "byte_rate", self.rate * self.width * self.channels)

    def but(self, **fields: object) -> Pcm:
        """The same with other fields."""
        return replace(self, **fields)  # type: ignore[arg-type]  # what a test gives

    def fmt(self) -> bytes:
        """The chunk's content; extensible where `valid` is given."""
        tag = self.tag if self.valid is None else 0xFFFE
        numbers = ((tag, 2), (self.channels, 2), (self.rate, 4), (self.byte_rate, 4), (self.block, 2), (self.bits, 2))
        plain = b"".join(number.to_bytes(size, "little") for number, size in numbers)
        if self.valid is None:
            return plain
        return plain + b"\x16\0" + self.valid.to_bytes(2, "little") + bytes(4) + self.tag.to_bytes(2, "little") + _GUID


def integers(
    sound: NDArray[np.float64], width: int, valid: int | None = None, *, right: bool = False, big: bool = False
) -> Pcm:
    """`sound` in integers of `width` bytes, of which `valid` bits are used: the high ones, or the low ones."""
    bits = width * 8
    used = valid or bits
    numbers = np.round(sound * (2 ** (used - 1) - 1)).astype(np.int64)
    numbers = numbers if right else numbers << (bits - used)
    if width == 1:
        numbers = numbers if big else numbers + 128
    octets = (numbers[..., None] >> (8 * np.arange(width))) & 0xFF
    octets = octets[..., ::-1] if big else octets
    return Pcm(octets.astype(np.uint8).tobytes(), sound.shape[1], width)


def floats(sound: NDArray[np.float64], width: int = 4, *, big: bool = False) -> Pcm:
    """`sound` as floating-point numbers, whatever their size."""
    return Pcm(sound.astype(f"{'>' if big else '<'}f{width}").tobytes(), sound.shape[1], width, tag=3)


def wav(pcm: Pcm, *, size: int | None = None, after: bytes = b"") -> bytes:
    """RIFF; `size` is what the data chunk says of itself."""
    length = len(pcm.data) if size is None else size
    body = b"WAVE" + _chunk(b"fmt ", pcm.fmt()) + b"data" + length.to_bytes(4, "little") + pcm.data + after
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def rf64(pcm: Pcm, *, size: int | None = None) -> bytes:
    """RF64; `size` 0 is what a writer leaves that could not go back."""
    length = len(pcm.data) if size is None else size
    fmt = _chunk(b"fmt ", pcm.fmt())
    whole = length + 36 + len(fmt) + 8 if length else 0
    ds64 = whole.to_bytes(8, "little") + length.to_bytes(8, "little") + bytes(12)
    return b"RF64" + b"\xff" * 4 + b"WAVE" + _chunk(b"ds64", ds64) + fmt + b"data" + b"\xff" * 4 + pcm.data


def w64(pcm: Pcm, *, is_open: bool = False) -> bytes:
    """Sony's Wave64; an open one has never been told its length."""
    fmt = pcm.fmt() + bytes(-len(pcm.fmt()) % 8)
    head = _W64[b"wave"] + _W64[b"fmt "] + (24 + len(pcm.fmt())).to_bytes(8, "little") + fmt + _W64[b"data"]
    length = (1 << 63) - 1 if is_open else 24 + len(pcm.data)
    whole = (1 << 64) - 1 if is_open else 24 + len(head) + 8 + len(pcm.data)
    return _W64[b"riff"] + whole.to_bytes(8, "little") + head + length.to_bytes(8, "little") + pcm.data


def aiff(pcm: Pcm, *, kind: bytes = b"NONE", frames: int | None = None, is_open: bool = False) -> bytes:
    """AIFF-C of big-endian samples; an open one has never been told its lengths."""
    count = len(pcm.data) // (pcm.width * pcm.channels) if frames is None else frames
    rate = (16383 + 13).to_bytes(2, "big") + (pcm.rate << 50).to_bytes(8, "big")
    comm = pcm.channels.to_bytes(2, "big") + (0 if is_open else count).to_bytes(4, "big") + pcm.bits.to_bytes(2, "big")
    comm += rate + kind + b"\0\0"
    length = 0 if is_open else len(pcm.data) + 8
    body = b"AIFC" + b"FVER" + (4).to_bytes(4, "big") + bytes.fromhex("a2805140")
    body += b"COMM" + len(comm).to_bytes(4, "big") + comm + b"SSND" + length.to_bytes(4, "big") + bytes(8) + pcm.data
    return b"FORM" + (0 if is_open else len(body)).to_bytes(4, "big") + body


def caf(pcm: Pcm, *, is_open: bool = False, big: bool = False) -> bytes:
    """Core Audio Format."""
    flags = (1 if pcm.tag == 3 else 0) | (0 if big else 2)
    desc = np.array([pcm.rate], ">f8").tobytes() + b"lpcm"
    desc += b"".join(number.to_bytes(4, "big") for number in (flags, pcm.block, 1, pcm.channels, pcm.valid or pcm.bits))
    length = -1 if is_open else len(pcm.data) + 4
    data = b"data" + length.to_bytes(8, "big", signed=True) + bytes(4) + pcm.data
    return b"caff\0\1\0\0" + b"desc" + (32).to_bytes(8, "big") + desc + data


def au(pcm: Pcm, *, encoding: int, size: int | None = None) -> bytes:
    """Sun's AU of big-endian samples; `encoding` is the number of their format."""
    length = len(pcm.data) if size is None else size
    numbers = (28, length, encoding, pcm.rate, pcm.channels, 0)
    return b".snd" + b"".join(number.to_bytes(4, "big") for number in numbers) + pcm.data


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + len(content).to_bytes(4, "little") + content
