"""The main job on the real engine and real weights: words, spans, the stream, and what stopping early leaves behind."""

from __future__ import annotations

import array
import fcntl
import gc
import json
import os
import signal
import subprocess
import sys
import termios
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.domain.audio import SpeechChunk
from autorag_whisper.domain.errors import InvalidOption, MediaNotFound, MediaNotRecognised, ModelNotFound
from autorag_whisper.domain.request import Quality, TranscribeOptions
from autorag_whisper.domain.transcript import join_words
from autorag_whisper.transcriber.file import RunFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autorag_whisper.transcriber import Transcriber


ROOM_BYTES = 150


@pytest.fixture(scope="module")
def transcriber() -> Iterator[Transcriber]:
    with build_transcriber() as made:
        yield made


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traced(spans: InMemorySpanExporter) -> Iterator[Transcriber]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    with build_transcriber(tracer_provider=provider) as made:
        yield made


def repeat(sample: Path, times: int, place: Path) -> Path:
    """`sample` so many times over, as a WAV file at `place`."""
    with av.open(str(place), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        resampler = av.AudioResampler("s16", "mono", 16_000)
        for _ in range(times):
            with av.open(str(sample)) as container:
                for frame in container.decode(audio=0):
                    for piece in resampler.resample(frame):
                        piece.pts = None
                        out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return place


@pytest.fixture
def long_sample(demo_sample: Path, tmp_path: Path) -> Path:
    """A minute and a half."""
    return repeat(demo_sample, 8, tmp_path / "long.wav")


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_the_demo_sample_gives_its_words_in_order_with_times(transcriber: Transcriber, demo_sample: Path) -> None:
    truth = json.loads(demo_sample.with_name("demo.words.json").read_text())
    transcript = transcriber.transcribe(demo_sample, TranscribeOptions(language="en"))
    words = transcript.words
    spoken = " ".join(word.text for word in words).lower()
    assert "350 tickets" in spoken
    assert "doors open at 7" in spoken
    starts = [word.start_s for word in words]
    assert starts == sorted(starts)
    assert all(0 <= word.start_s <= word.end_s <= transcript.duration_s for word in words)
    assert abs(words[-1].end_s - truth["words"][-1]["e"]) < 0.5
    assert join_words(words) == transcript.text == " ".join(segment.text for segment in transcript.segments)


def test_a_second_job_in_the_same_process_shows_no_load_model_span(
    traced: Transcriber, spans: InMemorySpanExporter, demo_sample: Path
) -> None:
    traced.transcribe(demo_sample, model="tiny.en")
    first = [span.name for span in spans.get_finished_spans()]
    assert sorted(first) == [
        "autorag.whisper.align",
        "autorag.whisper.ct2_transcribe",
        "autorag.whisper.load_audio",
        "autorag.whisper.load_model",
    ]
    spans.clear()
    traced.transcribe(demo_sample, model="tiny.en")
    second = sorted(span.name for span in spans.get_finished_spans())
    assert second == ["autorag.whisper.align", "autorag.whisper.ct2_transcribe", "autorag.whisper.load_audio"]


def test_spans_carry_what_the_contract_says_and_join_the_callers_trace(
    traced: Transcriber, spans: InMemorySpanExporter, demo_sample: Path
) -> None:
    outer = TracerProvider().get_tracer("test").start_span("job")
    from opentelemetry import trace

    with trace.use_span(outer):
        traced.transcribe(demo_sample, model="tiny.en")
    found = {span.name.rpartition(".")[2]: span for span in spans.get_finished_spans()}
    assert {span.context.trace_id for span in found.values()} == {outer.get_span_context().trace_id}
    load, audio, work, align = (
        dict(found[n].attributes or {}) for n in ("load_model", "load_audio", "ct2_transcribe", "align")
    )
    assert load == {
        "model.size": "tiny.en",
        "model.device": "cpu",
        "model.compute_type": "int8_float32",
        "load.reason": "first",
    }
    assert audio == {"audio.path": "demo.flac", "audio.duration_s": pytest.approx(11.825, abs=0.01)}
    assert work["model.device"] == "cpu"
    assert work["language"] == "auto"
    assert work["audio.batch_size"] == 1
    assert work["transcribe.realtime_factor"] > 0
    assert align["align.method"] == "characters"
    assert align["align.language"] == "en"
    assert align["align.device"] == "cpu"
    assert align["segments.count"] >= 1


def test_segments_leave_while_later_ones_are_still_to_be_computed(transcriber: Transcriber, long_sample: Path) -> None:
    """A list is not a stream: at the first segment most of the file must not have been recognised."""
    finished: list[float] = []
    with transcriber.stream(
        long_sample, model="tiny.en", on_progress=lambda progress: finished.append(progress.audio_s)
    ) as stream:
        first = next(stream)
        assert first.start_s < 12
        assert max(finished) < 50
        rest = list(stream)
    assert len(rest) > 5
    assert finished[-1] == stream.result().duration_s
    assert finished == sorted(finished)  # it ran to the end, back to 0 and to the end again


def parts_of_runs() -> list[SpeechChunk | RunFile]:
    return [thing for thing in gc.get_objects() if isinstance(thing, SpeechChunk | RunFile)]


@pytest.mark.slow
def test_stopping_early_leaves_no_open_file_no_thread_and_no_memory(
    transcriber: Transcriber, demo_sample: Path, tmp_path: Path
) -> None:
    longer_than_the_look_ahead = repeat(demo_sample, 60, tmp_path / "long.wav")
    transcriber.transcribe(demo_sample, model="tiny.en")  # what stays resident is resident now
    gc.collect()
    before = parts_of_runs()  # held by name, so that no later object takes the identity of one of them
    threads, files = threading.active_count(), open_files()
    with transcriber.stream(longer_than_the_look_ahead, model="tiny.en") as stream:
        next(stream)
        assert len(parts_of_runs()) > len(before)
        assert open_files() > files
    gc.collect()
    known = {id(part) for part in before}
    assert [part for part in parts_of_runs() if id(part) not in known] == []
    assert threading.active_count() == threads
    assert open_files() == files


def test_one_bad_file_fails_alone_and_the_others_come(
    transcriber: Transcriber, demo_sample: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"this is no media file, whatever its name says" * 40)
    outcomes = list(transcriber.transcribe_many([bad, demo_sample, tmp_path / "none.wav"], model="tiny.en"))
    by_name = {outcome.source.name: outcome for outcome in outcomes}
    assert len(outcomes) == 3
    assert isinstance(by_name["bad.wav"].error, MediaNotRecognised)
    assert isinstance(by_name["none.wav"].error, MediaNotFound)
    assert by_name["demo.flac"].transcript is not None


def test_the_same_file_gives_the_same_words_alone_and_among_others(transcriber: Transcriber, demo_sample: Path) -> None:
    alone = transcriber.transcribe(demo_sample, model="tiny.en").words
    together = [outcome.transcript for outcome in transcriber.transcribe_many([demo_sample] * 5, model="tiny.en")]
    assert [t.text for t in together if t] == [join_words(alone)] * 5


def test_silence_gives_no_words_and_no_error(transcriber: Transcriber, tmp_path: Path) -> None:
    import wave

    with wave.open(str(tmp_path / "silence.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 16_000 * 20))
    transcript = transcriber.transcribe(tmp_path / "silence.wav", model="base")
    assert transcript.words == ()
    assert transcript.duration_s == pytest.approx(20.0)
    assert transcript.language_probability == 0.0


def test_what_a_model_cannot_do_is_said_before_any_work(transcriber: Transcriber, demo_sample: Path) -> None:
    with pytest.raises(InvalidOption, match="language cannot be 'de'"):
        transcriber.transcribe(demo_sample, TranscribeOptions(language="de"), model="tiny.en")
    with pytest.raises(InvalidOption, match="task cannot be 'translate'"):
        transcriber.transcribe(demo_sample, TranscribeOptions(task="translate"), model="tiny.en")
    with pytest.raises(ModelNotFound):
        transcriber.transcribe(demo_sample, model="huge")


def test_the_language_is_detected_and_named_with_its_probability(transcriber: Transcriber, demo_sample: Path) -> None:
    transcript = transcriber.transcribe(demo_sample)
    assert transcript.language == "en"
    assert 0.5 < transcript.language_probability <= 1
    assert {segment.language for segment in transcript.segments} == {"en"}


@pytest.mark.parametrize(
    ("options", "written"),
    [
        ({"initial_prompt": "the doors opened"}, "The doors opened at 7,"),
        ({"hotwords": "doors opened at seven"}, "The doors opened at seven,"),
    ],
    ids=["prompt", "hotwords"],
)
def test_a_prompt_and_hotwords_reach_the_decoder_and_change_nothing_but_the_text(
    transcriber: Transcriber, demo_sample: Path, options: dict[str, str], written: str
) -> None:
    plain = transcriber.transcribe(demo_sample, TranscribeOptions(beam_size=1), model="tiny.en")
    asked = transcriber.transcribe(demo_sample, TranscribeOptions(beam_size=1, **options), model="tiny.en")
    assert "The doors open at 7," in plain.text
    assert written in asked.text
    assert asked.text.replace(written, "The doors open at 7,").split()[4:] == plain.text.split()[4:]
    assert [s.attempts[0].beam_size for s in asked.segments] == [1] * len(plain.segments)
    assert asked.coverage.speech_s == plain.coverage.speech_s
    for word, before in zip(asked.words, plain.words, strict=True):
        assert word.start_s == pytest.approx(before.start_s, abs=0.3)


def test_two_runs_at_once_share_one_model(traced: Transcriber, spans: InMemorySpanExporter, demo_sample: Path) -> None:
    texts: list[str] = []
    runs = [
        threading.Thread(target=lambda: texts.append(traced.transcribe(demo_sample, model="tiny.en").text))
        for _ in range(4)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join(120)
    assert len(set(texts)) == 1
    assert len(texts) == 4
    assert sum(span.name.endswith("load_model") for span in spans.get_finished_spans()) == 1


def test_what_is_sampled_is_the_same_in_every_run_whatever_was_sampled_before(
    transcriber: Transcriber, demo_sample: Path, tmp_path: Path
) -> None:
    sampled = TranscribeOptions(temperatures=(1.0,), quality=Quality.FAST)
    twice = repeat(demo_sample, 2, tmp_path / "other.wav")
    texts = []
    for _ in range(2):
        texts.append(transcriber.transcribe(demo_sample, sampled, model="tiny.en").text)
        transcriber.transcribe(twice, sampled, model="tiny.en")
    greedy = transcriber.transcribe(demo_sample, TranscribeOptions(quality=Quality.FAST), model="tiny.en").text
    assert texts[0] == texts[1]
    assert texts[0] != greedy, "nothing was sampled"


@pytest.mark.kit
@pytest.mark.parametrize(("tag", "encoding"), [("zh-Hans", "gb2312"), ("zh-CN", "gb2312"), ("zh-TW", "big5")])
@pytest.mark.slow
def test_chinese_comes_in_the_characters_that_were_asked_for(
    transcriber: Transcriber, kit: Path, tag: str, encoding: str
) -> None:
    """`zh-Hans` was taken for `zh`, and the text came in traditional characters. The encodings know one kind each."""
    clip = kit / "real" / "az_zh-CN_train_audio2.opus"
    transcript = transcriber.transcribe(clip, TranscribeOptions(language=tag))
    assert len(transcript.text) > 20
    for segment in transcript.segments:
        segment.text.encode(encoding)
        assert join_words(segment.words) == segment.text
    plain = transcriber.transcribe(clip, TranscribeOptions(language="zh"))
    assert [word.start_s for word in transcript.words] == [word.start_s for word in plain.words]
    assert [s.token_ids for s in transcript.segments] == [s.token_ids for s in plain.segments]


@pytest.mark.parametrize("form", ["txt", pytest.param("tsv", marks=pytest.mark.slow)])
def test_the_command_prints_text_while_it_works_and_the_same_bytes_as_at_the_end(
    demo_sample: Path, tmp_path: Path, form: str
) -> None:
    """Text was printed at the end alone: of an hour nothing for minutes.

    The pipe has room for the first lines only, so the command waits there until it is interrupted, whatever else this
    machine does. Text that is written at the end, in one piece, would never be there.
    """
    talk = repeat(demo_sample, 4, tmp_path / "talk.wav")
    command = [str(Path(sys.executable).with_name("autorag-whisper")), "transcribe", str(talk), "-m", "tiny.en"]
    whole = subprocess.run([*command, "-q", "-f", form, "-o", "-"], check=True, stdout=subprocess.PIPE).stdout
    assert len(whole) > 2 * ROOM_BYTES
    subprocess.run([*command, "-q", "-f", form, "-o", str(tmp_path)], check=True)
    assert whole == (tmp_path / f"talk.{form}").read_bytes()
    read, write = os.pipe()
    capacity = fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    os.write(write, b"." * (capacity - ROOM_BYTES))
    with subprocess.Popen([*command, "-f", form, "-o", "-"], stdout=write, stderr=subprocess.PIPE) as process:
        os.close(write)
        while _in_pipe(read) == capacity - ROOM_BYTES:
            assert process.poll() is None, "it ended without a word"
            threading.Event().wait(0.01)
        process.send_signal(signal.SIGINT)
        with os.fdopen(read, "rb") as pipe:
            printed = pipe.read()[capacity - ROOM_BYTES :]
        assert process.wait() == 130
    assert whole.startswith(printed)
    assert 0 < len(printed) < len(whole)


def _in_pipe(end: int) -> int:
    """Bytes that a pipe holds."""
    count = array.array("i", [0])
    fcntl.ioctl(end, termios.FIONREAD, count)
    return count[0]
