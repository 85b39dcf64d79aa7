"""Words of real (synthetic) speech timed by the committed CTC model: accuracy, hostile texts, hostile checkpoints."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from autorag_whisper.domain.alignment_errors import (
    AlignmentError,
    EmissionsUnusable,
    NothingToAlign,
    TooFewFrames,
    VocabularyUnusable,
)
from autorag_whisper.domain.audio import SpeechChunk
from autorag_whisper.domain.device import CPU, CUDA, Device
from autorag_whisper.domain.errors import DeviceError, EngineError, ModelDamaged, ModelNotFound
from autorag_whisper.domain.transcript import WordSource
from autorag_whisper.engines.ctranslate2_wav2vec2 import CTranslate2Emitter, load
from autorag_whisper.recognition.ctc_alignment import ChunkText, CtcAligner, align_words_by_ctc, times_by_ctc
from autorag_whisper.testing import FakeEmitter, speech_samples
from ctc_speech import SpokenClip, read_speech
from quiet import until_quiet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from autorag_whisper.align.word_time import WordTime


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("converted")


@pytest.fixture(scope="module")
def emitter(ctc_tiny_en_folder: Path, cache: Path) -> Iterator[CTranslate2Emitter]:
    emitter = load(ctc_tiny_en_folder, "ctc-tiny-en", CPU, cache_dir=cache, workers=2)
    yield emitter
    emitter.close()


@pytest.fixture(scope="module")
def clips(root: Path) -> list[SpokenClip]:
    return read_speech(root / "tests" / "data" / "ctc-speech")


def align(emitter: CTranslate2Emitter | FakeEmitter, samples: np.ndarray, text: str, language: str = "en") -> list:
    [found] = align_words_by_ctc(emitter, [ChunkText(samples, tuple(text.split()), language)])
    if isinstance(found, AlignmentError):
        raise found
    return found


def errors_ms(found: list[WordTime], clip: SpokenClip) -> np.ndarray:
    """float64[2, words]: errors of starts and of ends."""
    pairs = zip(found, clip.words, strict=True)
    return np.array([(1000 * (f.start_s - w.start_s), 1000 * (f.end_s - w.end_s)) for f, w in pairs]).T


def test_words_of_speech_that_the_model_never_heard_are_timed_to_twenty_milliseconds(
    emitter: CTranslate2Emitter, clips: list[SpokenClip]
) -> None:
    errors = [errors_ms(align(emitter, c.samples, " ".join(w.text for w in c.words)), c) for c in clips]
    starts, ends = np.abs(np.concatenate(errors, axis=1))
    for side in (starts, ends):
        assert np.median(side) <= 15
        assert (side <= 50).mean() >= 0.9
        assert np.percentile(side, 95) <= 80
    assert abs(np.median(np.concatenate(errors, axis=1))) < 8  # and neither early nor late


def test_digits_and_money_are_timed_as_well_as_plain_words(
    emitter: CTranslate2Emitter, clips: list[SpokenClip]
) -> None:
    found = []
    for clip in clips:
        errors = np.abs(errors_ms(align(emitter, clip.samples, " ".join(w.text for w in clip.words)), clip))
        found += [max(e) for e, w in zip(errors.T, clip.words, strict=True) if any(c.isdigit() for c in w.text)]
    assert len(found) >= 12
    assert np.median(found) <= 30


def test_a_word_that_the_vocabulary_cannot_spell_is_timed_and_harms_no_other(
    emitter: CTranslate2Emitter, clips: list[SpokenClip]
) -> None:
    """One word of each clip in a script that the model has no letter of: a wildcard that fits everywhere broke all."""
    own, others, usual = [], [], []
    for clip in clips:
        words = [w.text for w in clip.words]
        before = np.abs(errors_ms(align(emitter, clip.samples, " ".join(words)), clip)).max(axis=0)
        for lacking in (3, len(words) // 2, len(words) - 4):
            spelt = [word if n != lacking else "слово" for n, word in enumerate(words)]
            errors = np.abs(errors_ms(align(emitter, clip.samples, " ".join(spelt)), clip)).max(axis=0)
            own.append(errors[lacking])
            others += np.delete(errors, lacking).tolist()
            usual += np.delete(before, lacking).tolist()
    assert np.median(others) <= np.median(usual) + 2
    assert np.percentile(others, 95) <= np.percentile(usual, 95) + 20
    assert np.median(own) <= 60


def test_a_pause_belongs_to_no_word(emitter: CTranslate2Emitter, clips: list[SpokenClip]) -> None:
    for clip in clips:
        words, silence = clip.words, np.zeros(5 * 16_000, np.float32)
        cut = max(range(1, len(words)), key=lambda n: words[n].start_s - words[n - 1].end_s)
        at = round((words[cut - 1].end_s + words[cut].start_s) / 2 * 16_000)
        longer = np.concatenate((clip.samples[:at], silence, clip.samples[at:]))
        found = align(emitter, longer, " ".join(w.text for w in words))
        assert abs(found[cut - 1].end_s - words[cut - 1].end_s) < 0.15
        assert abs(found[cut].start_s - words[cut].start_s - 5) < 0.15


def test_all_words_come_in_order_inside_the_audio_even_of_a_text_that_does_not_fit(
    emitter: CTranslate2Emitter, clips: list[SpokenClip]
) -> None:
    for text in ("Something else entirely was said here, for sure.", "— 🙂 … 日本語 x", "a " * 60):
        for clip in clips[:2]:
            found = align(emitter, clip.samples, text)
            assert len(found) == len(text.split())
            edges = [edge for word in found for edge in (word.start_s, word.end_s)]
            assert edges == sorted(edges)
            assert 0 <= edges[0] <= edges[-1] <= len(clip.samples) / 16_000
            assert all(0 <= word.score <= 1 for word in found)


def test_what_cannot_be_aligned_is_a_typed_error_of_its_chunk_alone(
    emitter: CTranslate2Emitter, clips: list[SpokenClip]
) -> None:
    good = ChunkText(clips[0].samples, ("The", "harbour"), "en")
    chunks = [
        good,
        ChunkText(good.samples, (), "en"),
        ChunkText(good.samples, ("...", "—"), "en"),
        ChunkText(good.samples[:8000], ("incomprehensibilities",) * 100, "en"),
        ChunkText(np.full(16_000, np.nan, np.float32), ("The",), "en"),
        ChunkText(good.samples[:0], ("The",), "en"),
        good,
    ]
    found = align_words_by_ctc(emitter, chunks)
    kinds = [type(result) for result in found]
    assert kinds == [list, NothingToAlign, NothingToAlign, TooFewFrames, EmissionsUnusable, TooFewFrames, list]
    assert found[0] == found[-1]


def test_the_fake_hears_the_words_that_the_fake_recogniser_says() -> None:
    found = align(FakeEmitter(), speech_samples(4), "one two, three four")
    truth = [0.5 + 0.8 * n for n in range(4)]
    for word, start_s in zip(found, truth, strict=True):
        assert word.start_s == pytest.approx(start_s, abs=0.03)
        assert word.end_s == pytest.approx(start_s + 0.4, abs=0.03)
        assert word.score > 0.9


def test_times_are_on_the_files_timeline_and_a_text_that_nobody_says_costs_no_other_its_own() -> None:
    chunk = SpeechChunk(0, 3 * 16_000, speech_samples(3), ())
    times, failed = times_by_ctc(FakeEmitter(), "en", [(chunk, ["one", "two", "3"]), (chunk, ["..."])])
    assert isinstance(failed, NothingToAlign)
    assert not isinstance(times, Exception)
    for n, time in enumerate(times):
        assert time.start_s == pytest.approx(3.5 + 0.8 * n, abs=0.03)
        assert time.source is WordSource.CTC
        assert time.score is not None
        assert time.score > 0.9


def lent(emitter: FakeEmitter, asked: list[str], refuse: dict[str, Exception], device: Device = CPU) -> CtcAligner:
    @contextmanager
    def lease(language: str) -> Iterator[FakeEmitter]:
        asked.append(language)
        if language in refuse:
            raise refuse[language]
        yield emitter

    return CtcAligner(lease, device)


def test_a_model_that_cannot_be_had_is_asked_for_once_and_the_words_are_kept_by_the_caller() -> None:
    chunk = SpeechChunk(0, 0, speech_samples(2), ())
    words = ["one", "two"]
    asked: list[str] = []
    missing = ModelNotFound("for alignment in ja", ("en",))
    aligner = lent(FakeEmitter(), asked, {"ja": missing})
    for _ in range(3):
        assert aligner.times("ja", [(chunk, words), (chunk, words)]) == [missing, missing]
    assert asked == ["ja"]
    [times] = aligner.times("en", [(chunk, words)])
    assert not isinstance(times, Exception)
    assert [time.source for time in times] == [WordSource.CTC] * 2


def test_threads_that_ask_for_a_missing_model_at_once_ask_once_and_are_warned_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    chunk = SpeechChunk(0, 0, speech_samples(2), ())
    words = ["one", "two"]
    missing, asked = ModelNotFound("for alignment in ja", ("en",)), list[str]()

    @contextmanager
    def lease(language: str) -> Iterator[FakeEmitter]:
        asked.append(language)
        until_quiet()  # the other has asked too by now, if nothing keeps it from that
        raise missing
        yield FakeEmitter()

    aligner, together = CtcAligner(lease, CPU), Barrier(2)

    def ask() -> list:
        together.wait(60)
        return aligner.times("ja", [(chunk, words)])

    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(ask) for _ in range(2)]
    assert [answer.result() for answer in answers] == [[missing], [missing]]
    assert asked == ["ja"]
    assert sum("no alignment by CTC" in record.message for record in caplog.records) == 1


def test_a_card_that_fails_under_alignment_is_told_to_the_device_fallback() -> None:
    chunk = SpeechChunk(0, 0, speech_samples(1), ())
    words = ["one"]
    failed = DeviceError("cuda", "out_of_memory", "encode: CUDA failed with error out of memory")
    asked: list[str] = []
    aligner = lent(FakeEmitter(), asked, {"en": failed}, CUDA)
    for _ in range(2):
        with pytest.raises(DeviceError):
            aligner.times("en", [(chunk, words)])
    assert asked == ["en", "en"]


# ---------------------------------------------------------------- checkpoints


@pytest.fixture
def folder(ctc_tiny_en_folder: Path, tmp_path: Path) -> Path:
    """A copy of the checkpoint, to be spoiled."""
    return shutil.copytree(ctc_tiny_en_folder, tmp_path / "model")


def test_emissions_are_those_of_the_reference(
    emitter: CTranslate2Emitter, ctc_tiny_en_folder: Path, clips: list[SpokenClip]
) -> None:
    """The reference is what transformers gives for two seconds of speech; `tests/pytorch` holds it to that."""
    [clip] = [clip for clip in clips if clip.name == "slt"]
    [found] = emitter.emit([clip.samples[: 2 * 16_000]])
    expected = np.load(ctc_tiny_en_folder / "reference.npy")
    assert np.abs(found.log_probs - expected).max() < 1e-3


def test_a_checkpoint_is_converted_once(folder: Path, tmp_path: Path) -> None:
    first = load(folder, "x", CPU, cache_dir=tmp_path / "cache")
    [place] = (tmp_path / "cache").iterdir()
    made_ns = (place / "model.bin").stat().st_mtime_ns
    load(folder, "x", CPU, cache_dir=tmp_path / "cache").close()
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [place.name]
    assert (place / "model.bin").stat().st_mtime_ns == made_ns
    first.close()


def test_old_names_of_the_positional_weights_are_the_same_model(
    folder: Path, tmp_path: Path, emitter: CTranslate2Emitter, clips: list[SpokenClip]
) -> None:
    """Checkpoints that were saved before PyTorch 2 call them weight_g and weight_v."""
    weights = load_file(folder / "model.safetensors")
    base = "wav2vec2.encoder.pos_conv_embed.conv"
    for new, old in (
        ("parametrizations.weight.original0", "weight_g"),
        ("parametrizations.weight.original1", "weight_v"),
    ):
        weights[f"{base}.{old}"] = weights.pop(f"{base}.{new}")
    save_file(weights, folder / "model.safetensors")
    renamed = load(folder, "x", CPU, cache_dir=tmp_path / "cache")
    [left], [right] = renamed.emit([clips[0].samples]), emitter.emit([clips[0].samples])
    assert np.array_equal(left.log_probs, right.log_probs)
    renamed.close()


def spoil(folder: Path, file: str, change: dict[str, object]) -> None:
    content = json.loads((folder / file).read_text(encoding="utf-8"))
    (folder / file).write_text(json.dumps(content | change), encoding="utf-8")


def test_a_checkpoint_without_a_vocabulary_or_with_a_wrong_one_is_a_typed_error(folder: Path, tmp_path: Path) -> None:
    spoil(folder, "config.json", {"pad_token_id": 400})
    with pytest.raises(VocabularyUnusable, match="blank"):
        load(folder, "x", CPU, cache_dir=tmp_path / "cache")
    spoil(folder, "vocab.json", {"q": 99})
    with pytest.raises(VocabularyUnusable):
        load(folder, "x", CPU, cache_dir=tmp_path / "cache")
    (folder / "vocab.json").unlink()
    with pytest.raises(VocabularyUnusable):
        load(folder, "x", CPU, cache_dir=tmp_path / "cache")


def test_another_blank_than_the_models_gives_bad_times_but_low_scores(
    folder: Path, tmp_path: Path, emitter: CTranslate2Emitter, clips: list[SpokenClip]
) -> None:
    """Nothing in a folder proves which column was trained as blank; what it costs shows in the scores."""
    spoil(folder, "config.json", {"pad_token_id": 28})
    wrong = load(folder, "x", CPU, cache_dir=tmp_path / "cache")
    text = " ".join(w.text for w in clips[0].words)
    doubtful = [word.score for word in align(wrong, clips[0].samples, text)]
    assert np.mean(doubtful) < np.mean([word.score for word in align(emitter, clips[0].samples, text)]) + 0.05
    wrong.close()


def test_a_family_that_the_engine_cannot_run_is_refused_before_it_is_read(folder: Path, tmp_path: Path) -> None:
    spoil(folder, "config.json", {"feat_extract_norm": "group"})
    with pytest.raises(EngineError, match="layer norm"):
        load(folder, "x", CPU, cache_dir=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("fault", ["no weights", "cut off", "no JSON", "weights missing", "no wav2vec2"])
def test_a_damaged_checkpoint_is_a_typed_error_and_leaves_no_half_conversion(
    folder: Path, tmp_path: Path, fault: str
) -> None:
    weights = folder / "model.safetensors"
    if fault == "no weights":
        weights.unlink()
    elif fault == "cut off":
        weights.write_bytes(weights.read_bytes()[:100_000])
    elif fault == "no JSON":
        (folder / "config.json").write_text("{", encoding="utf-8")
    elif fault == "weights missing":
        left = load_file(weights)
        del left["lm_head.weight"]
        save_file(left, weights)
    else:
        spoil(folder, "config.json", {"conv_kernel": None})
    cache = tmp_path / "cache"
    with pytest.raises(ModelDamaged):
        load(folder, "x", CPU, cache_dir=cache)
    assert not cache.exists() or list(cache.iterdir()) == []


def test_memory_does_not_grow_with_every_new_length_of_a_clip(ctc_tiny_en_folder: Path, tiny_en_folder: Path) -> None:
    # oneDNN would keep 20 to 40 MB for each of these; Whisper is there first, as in a real run.
    program = f"""
import tempfile
from pathlib import Path
import numpy as np
from autorag_whisper.domain.device import CPU, CUDA, Device
from autorag_whisper.engines import ctranslate2, ctranslate2_wav2vec2

def used_mb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

whisper = ctranslate2.load(
    ctranslate2.LoadRequest(Path({str(tiny_en_folder)!r}), "tiny.en", CPU, "int8", 1, strict_window=False)
)
whisper.encode(np.zeros((1, 80, 1000), np.float32))
with tempfile.TemporaryDirectory() as cache:
    emitter = ctranslate2_wav2vec2.load(Path({str(ctc_tiny_en_folder)!r}), "x", CPU, cache_dir=Path(cache))
sound = np.random.default_rng(1).normal(0, 0.1, 12 * 16_000).astype(np.float32)
for _ in range(2):
    emitter.emit([sound])
before = used_mb()
for n in range(16):
    emitter.emit([sound[: 11 * 16_000 - n * 7_000]])
print(used_mb() - before)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=300)
    assert float(done.stdout) < 120
