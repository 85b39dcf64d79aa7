"""What FFmpeg may read: containers, and decoders of audio. Everything else in it stays shut.

No demuxer in here opens a second file, a network connection or a device (playlists, `concat`, SDP and image sequences
do), and no decoder in here handles pictures: fewer parsers for a hostile file to reach.
"""

from __future__ import annotations

_FORMATS = """
    aac ac3 aiff amr amrnb amrwb ape asf au avi caf dts dtshd eac3 flac flv loas matroska mlp mov mp3 mpc mpc8 mpeg
    mpegts mxf nistsphere nut ogg oma qcp qoa rm sox tak truehd tta voc w64 wav wtv wv xwma
"""
FORMATS: tuple[str, ...] = tuple(_FORMATS.split())
"""Names of FFmpeg's demuxers; `mov` covers mp4, m4a, 3gp and mj2, `matroska` covers webm, `ogg` covers opus and oga."""

_CODECS = """
    aac aac_latm ac3 alac als amrnb amrwb ape atrac3 atrac3plus cook dca eac3 flac g722 g723_1 g726 g726le g729 gsm
    gsm_ms ilbc mlp mp1 mp1float mp2 mp2float mp3 mp3float mp3adu mp3adufloat mp3on4 mp3on4float mpc7 mpc8 nellymoser
    opus libopus qcelp qdm2 qdmc qoa ralf real_144 real_288 s302m shorten sipr speex libspeex tak truehd truespeech tta
    vorbis libvorbis wavpack wmalossless wmapro wmav1 wmav2 wmavoice xma1 xma2
    adpcm_g722 adpcm_ima_qt adpcm_ima_wav adpcm_ms adpcm_swf adpcm_yamaha
    pcm_alaw pcm_mulaw pcm_bluray pcm_dvd pcm_s8 pcm_s8_planar pcm_u8 pcm_f16le pcm_f24le pcm_f32be pcm_f32le pcm_f64be
    pcm_f64le pcm_s16be pcm_s16be_planar pcm_s16le pcm_s16le_planar pcm_u16be pcm_u16le pcm_s24be pcm_s24le
    pcm_s24le_planar pcm_u24be pcm_u24le pcm_s32be pcm_s32le pcm_s32le_planar pcm_u32be pcm_u32le pcm_s64be pcm_s64le
"""
CODECS: frozenset[str] = frozenset(_CODECS.split())
"""Names of FFmpeg's decoders."""


def container_options(*, is_wave: bool = False) -> dict[str, str]:
    """What holds FFmpeg to the lists above, and to the one file object it is given: no protocol may open another.

    `is_wave`: all that there is to know stands in the header. FFmpeg would read five seconds to find out more, as much
    work as decoding them, and then give packets of 4 KB.
    """
    options = {
        "protocol_whitelist": "",
        "format_whitelist": ",".join(FORMATS),
        "codec_whitelist": ",".join(sorted(CODECS)),
    }
    return options | {"probesize": "32768", "max_size": "16384"} if is_wave else options
