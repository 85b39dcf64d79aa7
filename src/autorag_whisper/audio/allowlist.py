"""What FFmpeg may read: containers, and decoders of audio. Everything else in it stays shut.

The one table of formats: what FFmpeg is allowed, which files of a folder are taken for media, `autorag-whisper formats`
and docs/formats.md follow from it; the last also says of every other demuxer and decoder why it is not here.

No demuxer in here opens a second file, a network connection or a device (playlists, `concat`, SDP and image sequences
do), and no decoder in here handles pictures: fewer parsers for a hostile file to reach.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# demuxer | what it is | suffixes; one behind "?" also means other things: no file is taken from a folder for it
_CONTAINERS = """
aac        | AAC in ADTS                              | aac adts
ac3        | Dolby Digital (AC-3)                     | ac3
act        | ACT voice recorders                      | ?act
aea        | MiniDisc (ATRAC1)                        | aea
aiff       | AIFF, AIFF-C                             | aif aifc aiff
amr        | AMR                                      | amr 3ga
amrnb      | AMR without a header, narrow band        | amr
amrwb      | AMR without a header, wide band          | awb
ape        | Monkey's Audio                           | ape
asf        | Windows Media                            | asf wma wmv
au         | Sun AU, NeXT                             | au snd
avi        | AVI                                      | avi divx
avr        | Audio Visual Research                    | ?avr
bit        | G.729 with ITU's frame marks             | ?bit
caf        | Apple Core Audio                         | caf
daud       | D-Cinema audio                           | ?302
dhav       | Dahua surveillance cameras               | dav
dsf        | DSD Stream File                          | dsf
dss        | Digital Speech Standard (dictation)      | dss
dts        | DTS                                      | dts
dtshd      | DTS-HD                                   | dtshd
dv         | DV camcorders                            | dv ?dif
eac3       | Dolby Digital Plus (E-AC-3)              | eac3 ec3
epaf       | Ensoniq PARIS                            | ?paf ?fap
flac       | FLAC                                     | flac
flv        | Flash Video                              | flv f4a f4v
gxf        | GXF (broadcast)                          | gxf
hcom       | Macintosh HCOM                           | hcom
hxvs       | HXVS IP cameras                          |
iamf       | Immersive Audio                          | iamf
iff        | Amiga 8SVX, DSDIFF                       | 8svx svx dff ?iff
ifv        | IFV surveillance recorders               | ?ifv
ilbc       | iLBC                                     | ilbc lbc
ircam      | IRCAM, BICSF                             | sf ircam
ivr        | Internet Video Recording (RealMedia)     | ivr
kux        | KUX (a Flash Video)                      | kux
loas       | AAC in LOAS/LATM                         | loas latm
luodat     | Luo surveillance recorders               | ?dat
lvf        | LVF recorders                            | ?lvf
lxf        | Leitch LXF (broadcast)                   | lxf
matroska   | Matroska, WebM                           | mka mkv webm weba
mlp        | Meridian Lossless Packing                | mlp
mmf        | Yamaha SMAF (telephones)                 | mmf
mov        | QuickTime, MP4, M4A, 3GP                 | mp4 m4a m4b m4r m4v mov qt 3gp 3gpp 3g2 mj2
mp3        | MP3, MP2, MP1                            | mp3 mp2 mp1 mpa mpga m2a
mpc        | Musepack SV7                             | mpc
mpc8       | Musepack SV8                             | mpc
mpeg       | MPEG program stream, DVD                 | mpg mpeg vob
mpegts     | MPEG transport stream                    | ts mts m2ts m2t
mxf        | MXF (broadcast)                          | mxf
nistsphere | NIST SPHERE                              | sph ?nist
nsp        | Computerized Speech Lab                  | nsp
nsv        | Nullsoft Streaming Video                 | nsv
nut        | NUT                                      | nut
nuv        | MythTV NuppelVideo                       | nuv
ogg        | Ogg: Opus, Vorbis, Speex, FLAC           | ogg oga opus spx ogv ogx
oma        | Sony OpenMG (ATRAC)                      | oma aa3
pva        | TechnoTrend TV cards                     | pva
pvf        | Portable Voice Format                    | pvf
qcp        | QCELP, EVRC (telephones)                 | qcp
qoa        | Quite OK Audio                           | qoa
rm         | RealMedia                                | rm rmvb ra
s337m      | SMPTE 337M (Dolby E, AC-3)               |
sds        | MIDI Sample Dump                         | ?sds
sdx        | Sample Dump eXchange                     | ?sdx
shn        | Shorten                                  | shn
sox        | SoX native                               | sox
spdif      | IEC 61937 (S/PDIF)                       | ?spdif
swf        | Shockwave Flash                          | ?swf
tak        | TAK                                      | tak
truehd     | Dolby TrueHD                             | thd truehd
tta        | True Audio                               | tta
ty         | TiVo                                     | ty
vivo       | Vivo                                     | ?viv
voc        | Creative Voice                           | voc
vqf        | TwinVQ                                   | vqf ?vqe ?vql
w64        | Sony Wave64                              | w64
wav        | WAV, RF64, BW64, Broadcast Wave          | wav wave bwf rf64
wsd        | Wideband Single-bit Data                 | wsd
wtv        | Windows Recorded TV                      | wtv
wv         | WavPack                                  | wv
wve        | Psion recorders                          | wve
xwma       | Microsoft xWMA                           | xwma
"""

# demuxer | what it is | suffixes | options of the demuxer | the name's end by which FFmpeg weighs it against the bytes
_HEADERLESS = """
alaw    | A-law, 8 kHz               | alaw ?al          | sample_rate=8000   | al
aptx    | aptX                       | aptx              |                    | aptx
aptx_hd | aptX HD                    | aptxhd            |                    | aptxhd
g722    | G.722                      | g722 ?722         |                    | g722
g723_1  | G.723.1                    | g723 g723_1 tco rco |                  | g723_1
g726    | G.726, 32 kbit/s           | g726 g726-32      | code_size=4        | g722
g726    | G.726, 16 kbit/s           | g726-16           | code_size=2        | g722
g726    | G.726, 24 kbit/s           | g726-24           | code_size=3        | g722
g726    | G.726, 40 kbit/s           | g726-40           | code_size=5        | g722
g726le  | G.726, low bits first      | g726le            | code_size=4        | g722
g728    | G.728                      | g728              |                    | g728
g729    | G.729                      | g729              |                    | g729
gsm     | GSM 06.10                  | gsm               |                    | gsm
mulaw   | mu-law, 8 kHz              | ulaw mulaw ?ul ?mu | sample_rate=8000  | ul
sbc     | SBC, mSBC (Bluetooth)      | sbc msbc          |                    | sbc
sln     | Asterisk, 8 kHz            | sln               | sample_rate=8000   | sln
sln     | Asterisk, 12 kHz           | sln12             | sample_rate=12000  | sln
sln     | Asterisk, 16 kHz           | sln16             | sample_rate=16000  | sln
sln     | Asterisk, 24 kHz           | sln24             | sample_rate=24000  | sln
sln     | Asterisk, 32 kHz           | sln32             | sample_rate=32000  | sln
sln     | Asterisk, 44.1 kHz         | sln44             | sample_rate=44100  | sln
sln     | Asterisk, 48 kHz           | sln48             | sample_rate=48000  | sln
sln     | Asterisk, 96 kHz           | sln96             | sample_rate=96000  | sln
sln     | Asterisk, 192 kHz          | sln192            | sample_rate=192000 | sln
"""


@dataclass(frozen=True, slots=True)
class Format:
    """A container. `name` is that of FFmpeg's demuxer; `suffixes` (".wav") are those of its files, `in_folders` those
    by which a file in a folder is taken for media.

    A headerless one cannot be recognised by its bytes: only a file with one of its suffixes is opened as such, with
    `options`. `known_by` is a suffix by which FFmpeg takes a file for this format (or, if FFmpeg has none for it, for
    another headerless one). FFmpeg is given a name that ends so, and still prefers a format whose header it finds.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    in_folders: tuple[str, ...]
    is_headerless: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    known_by: str = ""


def _rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]


def _format(row: list[str]) -> Format:
    suffixes = row[2].split()
    options = dict(option.split("=") for option in row[3].split()) if len(row) > 3 else {}
    return Format(
        name=row[0],
        title=row[1],
        suffixes=tuple("." + suffix.removeprefix("?") for suffix in suffixes),
        in_folders=tuple("." + suffix for suffix in suffixes if suffix[0] != "?"),
        is_headerless=len(row) > 3,
        options=options,
        known_by=row[4] if len(row) > 4 else "",
    )


TABLE: tuple[Format, ...] = tuple(_format(row) for row in [*_rows(_CONTAINERS), *_rows(_HEADERLESS)])
"""Every container that may be read."""

FORMATS: tuple[str, ...] = tuple(dict.fromkeys(one.name for one in TABLE))
"""Names of FFmpeg's demuxers; `mov` covers mp4, m4a, 3gp and mj2, `matroska` covers webm, `ogg` covers opus and oga."""

SUFFIXES: frozenset[str] = frozenset(suffix for one in TABLE for suffix in one.in_folders)
"""The endings by which a file in a folder is taken for media. A file that is named itself needs none of them."""

HEADERLESS: frozenset[str] = frozenset(one.name for one in TABLE if one.is_headerless)
"""Demuxers of what cannot be told from its bytes."""

_BY_SUFFIX = {suffix: one for one in TABLE if one.is_headerless for suffix in one.suffixes}

_ESSENTIAL = """
    aac ac3 aiff amr ape asf au avi caf eac3 flac flv g722 gsm loas matroska mov mp3 mpeg mpegts mxf ogg rm tta voc w64
    wav wv
"""
ESSENTIAL: frozenset[str] = frozenset(_ESSENTIAL.split())
"""An installation of FFmpeg's libraries without these is broken; others come and go with their version."""

_CODECS = """
    8svx_exp 8svx_fib aac aac_latm ac3 acelp.kelvin alac als amrnb amrwb ape aptx aptx_hd atrac1 atrac3 atrac3al
    atrac3plus atrac3plusal cook dca dolby_e dsd_lsbf dsd_lsbf_planar dsd_msbf dsd_msbf_planar dss_sp dst dvaudio eac3
    evrc flac ftr g722 g723_1 g726 g726le g728 g729 gsm gsm_ms hcom iac ilbc imc libopus mace3 mace6 metasound misc4 mlp
    mp1 mp1float mp2 mp2float mp3 mp3adu mp3adufloat mp3float mp3on4 mp3on4float mpc7 mpc8 msnsiren nellymoser on2avc
    opus qcelp qdm2 qdmc qoa ralf real_144 real_288 s302m sbc shorten sipr siren speex libspeex tak truehd truespeech
    tta twinvq vorbis libvorbis wavpack wmalossless wmapro wmav1 wmav2 wmavoice xma1 xma2
    adpcm_ct adpcm_g722 adpcm_ima_amv adpcm_ima_dk3 adpcm_ima_dk4 adpcm_ima_oki adpcm_ima_qt adpcm_ima_wav adpcm_ms
    adpcm_sanyo adpcm_sbpro_2 adpcm_sbpro_3 adpcm_sbpro_4 adpcm_swf adpcm_yamaha
    pcm_alaw pcm_mulaw pcm_bluray pcm_dvd pcm_lxf pcm_s8 pcm_s8_planar pcm_u8 pcm_f16le pcm_f24le pcm_f32be pcm_f32le
    pcm_f64be pcm_f64le pcm_s16be pcm_s16be_planar pcm_s16le pcm_s16le_planar pcm_u16be pcm_u16le pcm_s24be pcm_s24daud
    pcm_s24le pcm_s24le_planar pcm_u24be pcm_u24le pcm_s32be pcm_s32le pcm_s32le_planar pcm_u32be pcm_u32le pcm_s64be
    pcm_s64le
"""
CODECS: frozenset[str] = frozenset(_CODECS.split())
"""Names of FFmpeg's decoders."""


def headerless(name: str) -> Format | None:
    """The headerless format whose suffix the file name `name` has, if any."""
    return _BY_SUFFIX.get(PurePath(name).suffix.lower())


def container_options(*, is_wave: bool = False) -> dict[str, str]:
    """FFmpeg's options that hold it to the lists above and to the one file object it is given.

    No protocol may open another file or a connection.

    `is_wave`: all that there is to know stands in the header. FFmpeg would read five seconds to find out more, as much
    work as decoding them, and then give packets of 4 KB.
    """
    options = {
        "protocol_whitelist": "",
        "format_whitelist": ",".join(FORMATS),
        "codec_whitelist": ",".join(sorted(CODECS)),
    }
    return options | {"probesize": "32768", "max_size": "16384"} if is_wave else options
