"""SubRip, WebVTT and ASS files; pysubs2 knows their grammar, this module what its text would break.

| | in the text | in the file | why |
|---|---|---|---|
| ASS | `{` | `\\{{}` + U+2060 | a brace for libass, no lost text for readers that know no escape (as FFmpeg does) |
| ASS | `\\` | `\\` + U+2060 | `\\N`, `\\n`, `\\h` are line breaks and blanks; there is no escape |
| SRT, VTT | `\\N` `\\n` `\\h` | `\\` + U+2060 | readers that go by way of ASS (FFmpeg, pysubs2) obey them |
| SRT, VTT | two times of day in a line | U+2060 in each | readers take the line for the times of a cue |
| VTT | `&` `<` `>` | `&amp;` `&lt;` `&gt;` | the WebVTT standard |

From 100 hours on, hours have three digits. FFmpeg reads them; pysubs2 reads two digits in SRT and ASS, and takes
100:00:01 for 00:00:01 or for nothing.

U+2060, the word joiner, has no width. SRT has no escape for `<b>` and `{x}`: they stand as they are; read them with
pysubs2's `keep_html_tags=True` and `.text`.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from autorag_whisper.format.cues import make_cues
from autorag_whisper.format.language import text_language
from autorag_whisper.format.presets import preset_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from autorag_whisper.domain.transcript import Transcript

WORD_JOINER = "\u2060"
_HIDDEN_BACKSLASH = "\ufdd0"  # a noncharacter: one_line() lets none through
_ASS_TICK_MS = 10
_ASS_ENCODING_BIDI = -1  # libass: find a paragraph's direction from its text
_ASS_ENCODING_DEFAULT = 1

_NOTICE = "Made by autorag-whisper"

_ASS_SEQUENCE = re.compile(r"\\(?=[Nnh])")
_TIME_OF_DAY = re.compile(r"(?<=\d:)(?=\d{1,2}[.,]\d)")


def srt(transcript: Transcript) -> str:
    """A SubRip file; empty for a transcript without words."""
    from pysubs2.formats.subrip import SubripFormat

    return _srt_like(SubripFormat, _events(transcript, _defused), _srt_time)


def vtt(transcript: Transcript) -> str:
    """A WebVTT file; its heading alone for a transcript without words."""
    from pysubs2.formats.webvtt import WebVTTFormat

    return _srt_like(WebVTTFormat, _events(transcript, lambda line: _html_escaped(_defused(line))), _vtt_time)


def ass(transcript: Transcript) -> str:
    """An Advanced SubStation Alpha file for a screen of 1920 x 1080; times in hundredths of a second."""
    import pysubs2
    from pysubs2.formats.substation import SubstationFormat

    preset = preset_for(text_language(transcript))
    encoding = _ASS_ENCODING_BIDI if preset.right_to_left else _ASS_ENCODING_DEFAULT
    subs = pysubs2.SSAFile()
    subs.info |= {"PlayResX": "1920", "PlayResY": "1080", "ScaledBorderAndShadow": "yes"}
    subs.styles["Default"] = pysubs2.SSAStyle(
        fontsize=54.0, outline=3.0, shadow=0.0, marginl=60, marginr=60, marginv=54, encoding=encoding
    )
    subs.events = _events(transcript, _ass_escaped, tick_ms=_ASS_TICK_MS)
    file = io.StringIO()
    _with_long_hours(SubstationFormat, _ass_time).to_file(subs, file, "ass", header_notice=_NOTICE)
    return file.getvalue()


def _events(transcript: Transcript, escape: Callable[[str], str], tick_ms: int = 1) -> list[Any]:
    import pysubs2

    preset = preset_for(text_language(transcript))
    cues = make_cues(transcript.words, transcript.duration_s, preset, tick_ms=tick_ms)
    return [
        pysubs2.SSAEvent(start=cue.start_ms, end=cue.end_ms, text=r"\N".join(map(escape, cue.lines))) for cue in cues
    ]


def _srt_like(base: Any, events: Iterable[Any], time: Callable[[int], str]) -> str:
    import pysubs2

    subs = pysubs2.SSAFile()
    subs.events = list(events)
    file = io.StringIO()
    # keep_ssa_tags: or `{x}` would be taken for a tag and dropped.
    _with_long_hours(base, time).to_file(subs, file, "srt", keep_ssa_tags=True)
    return file.getvalue().replace(_HIDDEN_BACKSLASH, "\\")


def _with_long_hours(base: Any, time: Callable[[int], str]) -> Any:
    """pysubs2's writer without its limit: it gives every cue after 10 h (ASS) or 100 h (SRT) the same time."""
    return type(base.__name__, (base,), {"ms_to_timestamp": staticmethod(time)})


def _srt_time(time_ms: int) -> str:
    return "{:02d}:{:02d}:{:02d},{:03d}".format(*_clock(time_ms))


def _vtt_time(time_ms: int) -> str:
    return _srt_time(time_ms).replace(",", ".")


def _ass_time(time_ms: int) -> str:
    hours, minutes, seconds, milliseconds = _clock(time_ms)
    return f"{hours}:{minutes:02d}:{seconds:02d}.{milliseconds // 10:02d}"


def _clock(time_ms: int) -> tuple[int, int, int, int]:
    seconds, milliseconds = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    return *divmod(minutes, 60), seconds, milliseconds


def _defused(line: str) -> str:
    """`line` for SRT and VTT, with its backslashes hidden from pysubs2."""
    line = _ASS_SEQUENCE.sub(lambda found: found[0] + WORD_JOINER, line)
    if len(_TIME_OF_DAY.findall(line)) >= 2:
        line = _TIME_OF_DAY.sub(WORD_JOINER, line)
    return line.replace("\\", _HIDDEN_BACKSLASH)


def _html_escaped(line: str) -> str:
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _ass_escaped(line: str) -> str:
    return line.replace("\\", "\\" + WORD_JOINER).replace("{", "\\{{}" + WORD_JOINER)
