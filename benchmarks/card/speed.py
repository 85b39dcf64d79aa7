"""How fast: real weights and large shapes, ours beside faster-whisper's batches and the engine's own time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.card.shapes import SHAPES, TINY, make

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.card.day import Day

TOKENS = 64
"""What each piece of 30 s is made to have where weights are random: as in ordinary speech."""
BATCHES = (1, 8, 16, 32)


def make_shapes(day: Day) -> None:
    """Write the models of random weights."""
    template = Path(day.model("base"))
    if not template.is_dir():
        from autorag_whisper.bootstrap import ModelFinder
        from autorag_whisper.models.store import ModelStore

        template = ModelFinder(ModelStore()).find("base").folder
    for name, shape in (TINY if day.tiny else SHAPES).items():
        began = time.perf_counter()
        folder = make(template, shape, day.models / name)
        size = (folder / "model.bin").stat().st_size
        day.tell(name, f"{size / 1e6:.0f} MB, {time.perf_counter() - began:.1f} s")


def _compute_types(day: Day) -> tuple[str, ...]:
    return ("float16", "int8_float16", "bfloat16") if day.is_card else ("int8",)


def _batches(day: Day) -> tuple[int, ...]:
    return BATCHES[:2] if day.tiny else BATCHES


def real(day: Day) -> None:
    """Times real time of whole files with tiny.en and base, warm."""
    from autorag_whisper.domain.request import TranscribeOptions

    for model in ("tiny.en", "base"):
        for compute_type in _compute_types(day) if model == "base" else _compute_types(day)[:1]:
            with day.transcriber(AUTORAG_WHISPER_COMPUTE_TYPE=compute_type) as transcriber:
                handle = transcriber.model(day.model(model), day.device)
                transcriber.load(handle)
                for batch in (None, *_batches(day)):
                    options = TranscribeOptions(language="en", batch_size=batch)
                    transcript, took_s = _timed(
                        lambda o=options, h=handle, t=transcriber: t.transcribe(day.long_recording, o, model=h)
                    )
                    shown = f"{transcript.duration_s / took_s:.0f} x, engine {transcript.engine_s / took_s:.0%} of it"
                    day.tell(f"ours {model} {compute_type}, batch {batch or 'by default'}", shown)
            _faster_whisper(day, model, compute_type, {"language": "en", "word_timestamps": True})


def shapes(day: Day) -> None:
    """Of large shapes: the engine alone, ours, faster-whisper's batches, each with as many tokens for every piece."""
    for name in TINY if day.tiny else SHAPES:
        if not (day.models / name / "made").exists():
            day.skip(name, "was not made")
            continue
        for compute_type in _compute_types(day) if name.startswith("large") else _compute_types(day)[:1]:
            _engine_alone(day, name, compute_type)
        _ours(day, name, _compute_types(day)[0])
        forced = {"language": "en", "max_new_tokens": TOKENS, "suppress_tokens": [-1, _end_of_text(day, name)]}
        _faster_whisper(day, name, _compute_types(day)[0], forced)


def _engine_alone(day: Day, name: str, compute_type: str) -> None:
    import ctranslate2

    model = ctranslate2.models.Whisper(day.model(name), device=_kind(day), compute_type=compute_type)
    end = _end_of_text(day, name)
    start = [end + 1, end + 2, _token(day, name, "<|transcribe|>"), _token(day, name, "<|notimestamps|>")]
    for batch in _batches(day):
        sound = np.zeros((batch, model.n_mels, 3000), np.float32)

        def once(batch: int = batch, sound: Any = sound) -> tuple[float, float]:
            began = time.perf_counter()
            encoded = model.encode(ctranslate2.StorageView.from_array(sound), to_cpu=False)
            turned = time.perf_counter()
            model.generate(encoded, [start] * batch, beam_size=1, max_length=2 * TOKENS, suppress_tokens=[-1, end])
            return turned - began, time.perf_counter() - turned

        once()
        encode_s, generate_s = once()
        speed = 30 * batch / (encode_s + generate_s)
        shown = f"{speed:.0f} x; encoding {1000 * encode_s:.0f} ms, {TOKENS} tokens {1000 * generate_s:.0f} ms"
        day.tell(f"engine {name} {compute_type}, batch {batch}, greedy", shown)
    model.unload_model()


def _ours(day: Day, name: str, compute_type: str) -> None:
    from autorag_whisper.domain.request import TranscribeOptions

    options = TranscribeOptions(
        language="en",
        quality="fast",
        temperatures=(0.0,),
        max_new_tokens=TOKENS,
        suppress_tokens=(-1, _end_of_text(day, name)),
        compression_ratio_threshold=float("inf"),
        logprob_threshold=float("-inf"),
        aligner="none",
    )
    with day.transcriber(AUTORAG_WHISPER_COMPUTE_TYPE=compute_type) as transcriber:
        handle = transcriber.model(day.model(name), day.device)
        transcript, took_s = _timed(lambda: transcriber.transcribe(day.long_recording, options, model=handle))
    shown = f"{transcript.duration_s / took_s:.0f} x, engine {transcript.engine_s / took_s:.0%} of it"
    day.tell(f"ours {name} {compute_type}, greedy, no alignment", shown)


def _faster_whisper(day: Day, name: str, compute_type: str, options: dict[str, Any]) -> None:
    try:
        from faster_whisper import BatchedInferencePipeline, WhisperModel
    except ImportError as error:
        day.skip(f"faster-whisper {name}", str(error))
        return
    model = WhisperModel(day.model(name), device=_kind(day), compute_type=compute_type, local_files_only=True)
    pipeline = BatchedInferencePipeline(model)

    def run() -> float:
        segments, info = pipeline.transcribe(day.long_recording, batch_size=16, beam_size=1, temperature=0.0, **options)
        list(segments)
        return float(info.duration)

    duration_s, took_s = _timed(run)
    day.tell(f"faster-whisper {name} {compute_type}, batches of 16, greedy", f"{duration_s / took_s:.0f} x")


def stages(day: Day) -> None:
    """Where the time goes, part by part and alone, so that the next bottleneck is known."""
    from benchmarks.compare.engines import count_calls

    calls = count_calls()  # before an engine is loaded
    from autorag_whisper.audio.decode import MediaDecoder
    from autorag_whisper.audio.features import log_mel
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.engines.silero import SileroVoiceActivity

    path = Path(day.long_recording)
    blocks, decode_s = _timed(lambda: _decoded(MediaDecoder, path), warm=False)
    samples = np.concatenate(blocks)
    minutes = len(samples) / 16_000 / 60
    _, voice_s = _timed(lambda: SileroVoiceActivity().stream().push(samples), warm=False)
    _, features_s = _timed(lambda: [log_mel(samples[at : at + 480_000], 80) for at in range(0, len(samples), 480_000)])
    with day.transcriber() as transcriber:
        handle = transcriber.model(day.model("base"), day.device)
        transcriber.load(handle)
        before = calls()
        transcript, took_s = _timed(
            lambda: transcriber.transcribe(path, TranscribeOptions(language="en"), model=handle), warm=False
        )
        inside = {name: total - before[name] for name, total in calls().items()}
    day.tell("whole", f"{1000 * took_s / minutes:.0f} ms for a minute of audio, {transcript.duration_s / took_s:.0f} x")
    parts = {"decoding": decode_s, "voice activity": voice_s, "features": features_s} | {
        f"engine: {name}": total for name, total in inside.items()
    }
    for name, total in parts.items():
        day.tell(name, f"{1000 * total / minutes:.0f} ms for a minute of audio, {total / took_s:.0%} of the whole")


def _decoded(decoder: Any, path: Path) -> list[Any]:
    with path.open("rb") as file, decoder(file, path.name) as media:
        return list(media)


def _timed(run: Callable[[], Any], *, warm: bool = True) -> tuple[Any, float]:
    """What it gives and its seconds, of a second run if `warm`."""
    if warm:
        run()
    began = time.perf_counter()
    found = run()
    return found, time.perf_counter() - began


def _kind(day: Day) -> str:
    return day.device.partition(":")[0]


def _token(day: Day, name: str, text: str) -> int:
    from tokenizers import Tokenizer

    return int(Tokenizer.from_file(str(Path(day.model(name)) / "tokenizer.json")).token_to_id(text))


def _end_of_text(day: Day, name: str) -> int:
    return _token(day, name, "<|endoftext|>")
