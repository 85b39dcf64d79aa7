"""What goes wrong around the CPU engine, from the files to the machine: a typed error, or the same text.

Elsewhere: tensors that are missing or damaged (test_weights, test_model), a processor without the instructions
(test_loader; CPUID in test_kernels_attention), memory that cannot be had (test_memory, test_engine), a batch that is
cancelled at any point (test_search, test_engine, test_soak).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.domain.device import CPU
from autorag_whisper.domain.errors import ModelDamaged
from autorag_whisper.engines import ctranslate2, native
from autorag_whisper.engines.base import Decoding
from autorag_whisper.engines.ctranslate2 import LoadRequest
from autorag_whisper.engines.tokenizer import WhisperTokenizer, read_tokenizer
from autorag_whisper.models import model_bin

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from autorag_whisper.engines.native import NativeWhisper

pytestmark = pytest.mark.usefixtures("native_library")
FILES = ("config.json", "tokenizer.json", "vocabulary.txt")


@pytest.fixture
def mixed(tiny_en_folder: Path, base_folder: Path, tmp_path: Path) -> Callable[..., LoadRequest]:
    """A folder with the weights of one model, and each of the other files of one of the two."""
    folders = {"tiny.en": tiny_en_folder, "base": base_folder}

    def make(weights: str, **sources: str) -> LoadRequest:
        for name in FILES:
            (tmp_path / name).write_bytes((folders[sources[name.partition(".")[0]]] / name).read_bytes())
        (tmp_path / "model.bin").symlink_to(folders[weights] / "model.bin")
        return LoadRequest(tmp_path, weights, CPU, "int8", 1, strict_window=False)

    return make


@pytest.mark.parametrize("engine", [native, ctranslate2])
@pytest.mark.parametrize(("weights", "others"), [("tiny.en", "base"), ("base", "tiny.en")])
def test_weights_of_another_model_than_the_tokens_are_an_error(
    mixed: Callable[..., LoadRequest], weights: str, others: str, engine: ModuleType
) -> None:
    """With either engine: the one takes over from the other where a load fails, and would write nonsense."""
    with pytest.raises(ModelDamaged, match=r"tokenizer\.json.*another model.*51,86[45] tokens"):
        engine.load(mixed(weights, config=others, tokenizer=others, vocabulary=weights))


@pytest.mark.parametrize(
    ("tokens", "fits"),
    [(51_864, True), (51_863, False), (51_865, False), (51_867, True), (51_868, False), (51_872, True)],
    ids=["its own", "fewer", "another's", "with three that were added", "one more", "padded"],
)
def test_a_vocabulary_ends_with_moments_or_with_what_was_added_or_is_padded(
    tiny_en_folder: Path, tokens: int, *, fits: bool
) -> None:
    read = read_tokenizer(tiny_en_folder)
    read.add_special_tokens([f"<|{n}|>" for n in range(51_867 - read.get_vocab_size())])
    tokenizer = WhisperTokenizer(tiny_en_folder, read, multilingual=False)
    with nullcontext() if fits else pytest.raises(ModelDamaged, match="another model"):
        tokenizer.require_vocabulary("tiny.en", tokens)


def _with_three_more_tokens(folder: Path, to: Path) -> LoadRequest:
    """The same model as whoever adds tokens leaves it: with them at the end of tokenizer, list and weights."""
    added = ["<|laughter|>", "<|applause|>", "<|music|>"]
    tokenizer = read_tokenizer(folder)
    tokenizer.add_special_tokens([*(f"<|{n * 0.02:.2f}|>" for n in range(1501)), *added])
    tokenizer.save(str(to / "tokenizer.json"))
    (to / "vocabulary.txt").write_text((folder / "vocabulary.txt").read_text() + "\n".join(added) + "\n")
    (to / "config.json").write_bytes((folder / "config.json").read_bytes())
    with model_bin.opened(folder / "model.bin") as (weights, data), (to / "model.bin").open("wb") as file:
        variables = []
        for one in weights.variables:
            values, shape = bytes(data[one.at : one.at + one.size]), one.shape
            if one.name.startswith(model_bin.EMBEDDINGS) and shape:
                values += values[-len(values) // shape[0] :] * len(added)
                shape = (shape[0] + len(added), *shape[1:])
            variables.append(model_bin.Piecewise(one.name, shape, one.kind, len(values), [values]))
        model_bin.write(file, weights, variables, weights.aliases)
    return LoadRequest(to, "ours", CPU, "int8", 1, strict_window=False)


@pytest.mark.parametrize("engine", [native, ctranslate2])
def test_an_english_model_to_which_tokens_were_added_stays_english(
    tiny_en_int8_folder: Path, tmp_path: Path, engine: ModuleType
) -> None:
    """By the number of its tokens it would know all languages, and each text would begin with tokens unknown to it."""
    loaded = engine.load(_with_three_more_tokens(tiny_en_int8_folder, tmp_path))
    assert loaded.spec.languages == {"en"}
    assert not loaded.spec.translates
    assert len(loaded.tokenizer.start_sequence("en", "transcribe")) == 1


def test_heads_of_another_model_are_an_error_at_the_load_not_at_the_first_word(
    mixed: Callable[..., LoadRequest], tmp_path: Path
) -> None:
    request = mixed("tiny.en", config="tiny.en", tokenizer="tiny.en", vocabulary="tiny.en")
    config = json.loads((tmp_path / "config.json").read_text())
    for heads in ([[4, 0]], [[0, 6]], [[-1, 0]]):
        (tmp_path / "config.json").write_text(json.dumps(config | {"alignment_heads": [[0, 0], *heads]}))
        with pytest.raises(ModelDamaged, match=r"config\.json.*beyond 4 layers of 6 heads"):
            native.load(request)


def heard(engine: NativeWhisper, seed: int) -> tuple[int, ...]:
    features = np.random.default_rng(seed).standard_normal((1, 80, 60)).astype(np.float32)
    prompt = engine.tokenizer.prompt("en", "transcribe")
    return engine.generate(engine.encode(features), [prompt], Decoding(2, max_new_tokens=4))[0].token_ids


def test_sixty_four_threads_on_any_machine_hear_what_one_hears(tiny_en_int8_folder: Path) -> None:
    many = LoadRequest(tiny_en_int8_folder, "tiny.en", CPU, "int8", 64, strict_window=False)
    engine = native.load(many)
    assert engine.spec.workers == 64
    alone, found = [heard(engine, seed % 4) for seed in range(4)], dict[int, tuple[int, ...]]()
    together = threading.Barrier(64)

    def work(seed: int) -> None:
        together.wait()
        found[seed] = heard(engine, seed % 4)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {seed: alone[seed % 4] for seed in range(64)}
    engine.close()
    assert engine.memory_bytes == 0


TRANSCRIBED = """
import os, sys
from pathlib import Path
if sys.argv[2] == "one core":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.settings import Settings
with build_transcriber(Settings.from_env(os.environ)) as transcriber:
    options = TranscribeOptions(language="en", clips=((0.0, 3.0),))
    print(transcriber.transcribe(Path(sys.argv[1]), options, model="tiny.en").text)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs an affinity mask")
def test_a_whole_run_on_one_core_and_with_sixty_four_threads_gives_the_same_text(demo_sample: Path) -> None:
    told = set()
    for machine, threads in (("one core", ""), ("one core", "64"), ("as it is", "64")):
        environ = os.environ | {"AUTORAG_WHISPER_ENGINE": "native", "AUTORAG_WHISPER_THREADS": threads}  # noqa: TID251 - of a process
        command = [sys.executable, "-c", TRANSCRIBED, demo_sample, machine]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        told.add(done.stdout)
    assert len(told) == 1
    assert len(told.pop().split()) > 3
