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

With `Highlight.UNDERLINE` a cue is written once a word, with that word in `<u>` (SRT, VTT) or `{\\u1}` (ASS), from its
start to the next one's. With `Highlight.KARAOKE` ASS has `{\\k..}` before each word and WebVTT times inside the cue
(browsers show them by `::cue(:past)`; pysubs2 takes two of them in a line for the times of a cue); SRT is underlined.

U+2060, the word joiner, has no width. SRT has no escape for `<b>` and `{x}`: they stand as they are; read them with
pysubs2's `keep_html_tags=True` and `.text`.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autorag_whisper.format.cues import make_cues
from autorag_whisper.format.highlight import ASS_TICK_MS, ass_karaoke, underlined_steps, vtt_karaoke
from autorag_whisper.format.language import text_language
from autorag_whisper.format.options import DEFAULT_OPTIONS, Highlight, SubtitleOptions
from autorag_whisper.format.stamps import ass_time, srt_time, vtt_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from autorag_whisper.domain.transcript import Transcript
    from autorag_whisper.format.cues import Cue

WORD_JOINER = "\u2060"
_HIDDEN_BACKSLASH = "\ufdd0"  # a noncharacter: one_line() lets none through
_ASS_ENCODING_BIDI = -1  # libass: find a paragraph's direction from its text
_ASS_ENCODING_DEFAULT = 1
_NOT_YET_SPOKEN = (160, 160, 160)

_NOTICE = "Made by autorag-whisper"

_ASS_SEQUENCE = re.compile(r"\\(?=[Nnh])")
_TIME_OF_DAY = re.compile(r"(?<=\d:)(?=\d{1,2}[.,]\d)")


def srt(transcript: Transcript, options: SubtitleOptions = DEFAULT_OPTIONS) -> str:
    """A SubRip file; empty for a transcript without words."""
    import pysubs2

    underlined = options.highlight is not Highlight.NONE
    style = _Style(_defused_word if underlined else _defused, "<u>", "</u>", underlined=underlined)
    return _srt_like(pysubs2.formats.subrip.SubripFormat, _events(transcript, options, style), srt_time)


def vtt(transcript: Transcript, options: SubtitleOptions = DEFAULT_OPTIONS) -> str:
    """A WebVTT file; its heading alone for a transcript without words."""
    import pysubs2

    karaoke = vtt_karaoke if options.highlight is Highlight.KARAOKE else None
    underlined = options.highlight is Highlight.UNDERLINE
    defused = _defused if options.highlight is Highlight.NONE else _defused_word
    style = _Style(lambda text: _html_escaped(defused(text)), "<u>", "</u>", underlined=underlined, karaoke=karaoke)
    return _srt_like(pysubs2.formats.webvtt.WebVTTFormat, _events(transcript, options, style), vtt_time)


def ass(transcript: Transcript, options: SubtitleOptions = DEFAULT_OPTIONS) -> str:
    """An Advanced SubStation Alpha file for a screen of 1920 x 1080; times in hundredths of a second."""
    import pysubs2

    limits = options.limits(text_language(transcript))
    encoding = _ASS_ENCODING_BIDI if limits.right_to_left else _ASS_ENCODING_DEFAULT
    subs = pysubs2.SSAFile()
    subs.info |= {"PlayResX": "1920", "PlayResY": "1080", "ScaledBorderAndShadow": "yes"}
    look = pysubs2.SSAStyle(
        fontsize=54.0, outline=3.0, shadow=0.0, marginl=60, marginr=60, marginv=54, encoding=encoding
    )
    karaoke = None
    if options.highlight is Highlight.KARAOKE:
        look.secondarycolor = pysubs2.Color(*_NOT_YET_SPOKEN)
        karaoke = ass_karaoke
    subs.styles["Default"] = look
    underlined = options.highlight is Highlight.UNDERLINE
    style = _Style(_ass_escaped, r"{\u1}", r"{\u0}", underlined=underlined, karaoke=karaoke, tick_ms=ASS_TICK_MS)
    subs.events = _events(transcript, options, style)
    file = io.StringIO()
    writer = _with_long_hours(pysubs2.formats.substation.SubstationFormat, ass_time)
    writer.to_file(subs, file, "ass", header_notice=_NOTICE)
    return file.getvalue()


@dataclass(frozen=True, slots=True)
class _Style:
    """How a format writes a line, and the word that is spoken."""

    escape: Callable[[str], str]
    begin: str
    end: str
    underlined: bool = False
    karaoke: Callable[[Cue, Callable[[str], str]], str] | None = None
    tick_ms: int = 1


def _events(transcript: Transcript, options: SubtitleOptions, style: _Style) -> list[Any]:
    import pysubs2

    language = text_language(transcript)
    limits = options.limits(language)
    cues = make_cues(transcript.words, transcript.duration_s, limits, tick_ms=style.tick_ms, language=language)
    texts = [shown for cue in cues for shown in _shown(cue, style)]
    return [pysubs2.SSAEvent(start=start, end=end, text=text) for start, end, text in texts]


def _shown(cue: Cue, style: _Style) -> list[tuple[int, int, str]]:
    """What is shown of a cue from when to when: one text, or one a word where the spoken word is underlined."""
    if style.underlined:
        tags = (style.begin, style.end)
        return underlined_steps(cue, style.escape, tags, style.tick_ms)
    text = style.karaoke(cue, style.escape) if style.karaoke else "\\N".join(map(style.escape, cue.lines))
    return [(cue.start_ms, cue.end_ms, text)]


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


def _defused(line: str) -> str:
    """`line` for SRT and VTT, with its backslashes hidden from pysubs2."""
    line = _ASS_SEQUENCE.sub(lambda found: found[0] + WORD_JOINER, line)
    if len(_TIME_OF_DAY.findall(line)) >= 2:
        line = _TIME_OF_DAY.sub(WORD_JOINER, line)
    return line.replace("\\", _HIDDEN_BACKSLASH)


def _defused_word(word: str) -> str:
    """As `_defused` for a word alone: of times of day there may be others in its line."""
    return _defused(_TIME_OF_DAY.sub(WORD_JOINER, word))


def _html_escaped(line: str) -> str:
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _ass_escaped(line: str) -> str:
    return line.replace("\\", "\\" + WORD_JOINER).replace("{", "\\{{}" + WORD_JOINER)
