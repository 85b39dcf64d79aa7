"""What the status line says of a result: true, on one line, the most important first."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.cli.remarks import UNSURE_BELOW, heard_s, status
from autorag_whisper.device.placement import PlacementRequest, place
from autorag_whisper.domain.audio import MediaDamage
from autorag_whisper.domain.clips import Clip
from autorag_whisper.domain.device import CUDA, Hardware, parse_device
from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.notes import Note, NoteKind
from autorag_whisper.domain.transcript import Coverage, DeviceFallbackStep, RejectedText
from autorag_whisper.recognition.hallucinations import Hallucination
from cli_world import transcript_of

SPOKEN, SILENT = transcript_of("a.wav", "hello there"), transcript_of("a.wav", "")
FAINT = RejectedText(0.0, 8.0, "Thank you.", Hallucination.FAINT_VOICE.value)
SPARSE = RejectedText(9.0, 12.0, "Bye.", Hallucination.SPARSE.value)


def remarks_of(line: str) -> str:
    assert "\n" not in line
    return line.partition("[")[2].removesuffix("]")


def test_a_sound_result_has_its_length_and_language_and_nothing_else() -> None:
    assert status("a.wav", SPOKEN) == "a.wav (0:02, English)"


def test_of_a_recording_with_clips_they_are_what_was_heard() -> None:
    assert heard_s(replace(SPOKEN, duration_s=100.0)) == 100.0
    clips = (Clip(10, 30), Clip(20, 40), Clip(90), Clip(200, 300))
    assert heard_s(replace(SPOKEN, duration_s=100.0, clips=clips)) == 40.0


def test_no_speech_is_said_where_none_was_found() -> None:
    assert status("a.wav", SILENT) == "a.wav (0:00) [no speech found]"


def test_the_language_of_a_text_that_was_all_rejected_is_told() -> None:
    rejected = replace(SILENT, rejected=(FAINT,), language="fr")
    assert status("a.wav", rejected).startswith("a.wav (0:00, French) ")
    assert "language unsure: French 40%" in status("a.wav", replace(rejected, language_probability=0.4))


def test_speech_whose_text_was_rejected_is_no_lack_of_speech() -> None:
    """ "[no speech found]" was said of 5.6 s of speech, all of whose text had been rejected."""
    rejected = replace(SILENT, rejected=(FAINT,), coverage=Coverage(5.6, 0.0, 5.6))
    assert remarks_of(status("a.wav", rejected)) == (
        "5.6 s of speech left out: text rejected as faint_voice (json lists what)"
    )


def test_speech_that_gave_no_text_at_all_is_no_lack_of_speech() -> None:
    silent = replace(SILENT, coverage=Coverage(3.0, 0.0, 3.0))
    assert remarks_of(status("a.wav", silent)) == "3.0 s of speech left out: no text came of it"


def test_what_had_a_second_look_and_was_rejected_is_told_with_its_span() -> None:
    music = replace(SILENT, rejected=(FAINT, SPARSE))
    assert remarks_of(status("a.wav", music)) == (
        "11.0 s of speech left out: 2 texts rejected as faint_voice, sparse (json lists what)"
    )


def test_rejected_text_beside_words_is_told_with_its_seconds() -> None:
    some = replace(SPOKEN, rejected=(SPARSE, SPARSE), coverage=Coverage(4.0, 1.8, 2.2))
    assert "2.2 s of speech left out: 2 texts rejected as sparse" in status("a.wav", some)
    loop = replace(SPOKEN, rejected=(SPARSE,), coverage=Coverage(4.0, 4.0, 0.0))
    assert remarks_of(status("a.wav", loop)) == "text rejected as sparse (json lists what)"
    hole = replace(SPOKEN, coverage=Coverage(4.0, 3.0, 1.0))
    assert remarks_of(status("a.wav", hole)) == "1.0 s of speech left out: no text came of it"


coverages = st.tuples(st.floats(0, 60), st.floats(0, 1)).map(
    lambda drawn: Coverage(drawn[0], drawn[0] * drawn[1], drawn[0] * (1 - drawn[1]))
)


@given(st.sampled_from([SPOKEN, SILENT]), coverages, st.lists(st.sampled_from([FAINT, SPARSE]), max_size=3))
def test_no_speech_found_means_that_there_was_none(
    result: object, coverage: Coverage, rejected: list[RejectedText]
) -> None:
    line = status("a.wav", replace(result, coverage=coverage, rejected=tuple(rejected)))  # type: ignore[type-var]  # of two transcripts
    if "no speech found" in line:
        assert not rejected
        assert coverage.skipped_s < 0.1
        assert result is SILENT
    assert bool(rejected) == ("rejected as" in line)


def test_an_unsure_language_is_told_with_its_probability() -> None:
    sure, unsure = UNSURE_BELOW, UNSURE_BELOW - 0.01
    assert "unsure" not in status("a.wav", replace(SPOKEN, language_probability=sure))
    line = status("a.wav", replace(SPOKEN, language_probability=unsure))
    assert line == "a.wav (0:02, English) [language unsure: English 74%, --language sets it]"
    assert "unsure" not in status("a.wav", replace(SILENT, language_probability=0.0))


def test_every_language_of_the_segments_is_named() -> None:
    german = replace(SPOKEN.segments[0], language="de", index=1)
    both = replace(SPOKEN, segments=(*SPOKEN.segments, german))
    assert status("a.wav", both) == "a.wav (0:02, English, German)"


def test_a_device_fallback_is_told_with_its_cause_and_smaller_batches_are_not() -> None:
    halved = DeviceFallbackStep("generate", "cuda", "cuda", "out_of_memory", "halve_batch", "8 -> 4")
    fallen = DeviceFallbackStep("generate", "cuda", "cpu", "out_of_memory")
    busy = DeviceFallbackStep("lease", "cuda", "cpu", "gpu_busy", "busy")
    assert status("a.wav", replace(SPOKEN, device_fallbacks=(halved,))) == "a.wav (0:02, English)"
    said = remarks_of(status("a.wav", replace(SPOKEN, device_fallbacks=(busy, fallen, fallen))))
    assert said == "finished on the CPU: cuda failed at generate, out of memory; partly on the CPU: others had the GPU"


def test_lost_sound_comes_before_everything_else() -> None:
    bad = replace(
        SPOKEN,
        damage=MediaDamage(3, 1.5, truncated=True),
        rejected=(SPARSE,),
        coverage=Coverage(4.0, 4.0, 0.0),
        notes=(Note(NoteKind.OTHER_AUDIO_STREAMS, "2 other audio streams"),),
        language_probability=0.5,
    )
    assert remarks_of(status("a.wav", bad)).split("; ") == [
        "the file ends early",
        "1.5 s missing",
        "3 damaged packets",
        "text rejected as sparse (json lists what)",
        "language unsure: English 50%, --language sets it",
        "2 other audio streams",
    ]


HINTS = st.sampled_from([None, "auto", "cpu", " CUDA ", "cuda:1", "gpu\nplease"])
SETTINGS = st.sampled_from(["", "auto", "cuda", "CPU"])
TYPES = st.sampled_from(["default", "int8", "float16", "bfloat16", "float32"])
NO_CARD = Hardware(0, frozenset(), frozenset({"int8", "float32"}))
MACHINES = st.sampled_from([NO_CARD, Hardware(1, frozenset({"float16", "int8"}), frozenset({"int8", "float32"}))])


@given(HINTS, SETTINGS, TYPES, MACHINES)
def test_whatever_was_asked_for_and_is_not_so_is_noted_and_nothing_else(
    hint: str | None, setting: str, compute_type: str, hardware: Hardware
) -> None:
    request = PlacementRequest(hint, setting, compute_type)
    try:
        placement = place(request, hardware)
    except InvalidOption:  # told at once
        return
    by_policy = hint in (None, "auto")
    asked = None if by_policy else parse_device(str(hint))
    wants_a_card = asked is not None and asked.is_cuda
    wants_a_card |= by_policy and setting == "cuda"
    mistyped = not by_policy and asked is None
    kinds = [note.kind for note in placement.notes]
    assert (NoteKind.DEVICE_NOT_USED in kinds) == (placement.device.kind != CUDA.kind and (wants_a_card or mistyped))
    differs = compute_type not in ("default", placement.compute_type)
    assert (NoteKind.COMPUTE_TYPE_NOT_USED in kinds) == differs
    assert len(kinds) == len(set(kinds))
    assert all("\n" not in note.text for note in placement.notes)
