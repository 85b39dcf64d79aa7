#!/usr/bin/env python3
"""Make tests/data/ctc-tiny-en again: a wav2vec2-shaped CTC model, small enough to commit, trained on made-up speech.

It exists so that loading, converting, emissions, offload, restore and alignment run for real in the tests. It aligns
speech of its own kind (flite, espeak-ng; English); it is of no use for anything else. In the environment that
`scripts/torch_env.sh --only-make` makes; DIR keeps the corpus and the checkpoints between calls, TOKENIZER is the
tokenizer.json of a Whisper model, for its words:

    python scripts/train_ctc.py speech DIR --tokenizer TOKENIZER   # once: 100 minutes of speech, in 90 s
    python scripts/train_ctc.py train DIR --minutes 4              # again and again, until it says "done": 16 minutes
    python scripts/train_ctc.py export DIR tests/data/ctc-tiny-en  # beside tests/data/ctc-speech
    .venv/bin/python scripts/measure_ctc.py tests/data/ctc-tiny-en

Every frame is told its letter: the letters of a word share its sounds evenly, a pause is `|`, a repeated letter is cut
by a blank. That is CTC with the path given (cross-entropy in place of the sum over paths): it learns in minutes on one
core, and its peaks are as wide as the sounds, which is what word times need. Two more targets, dropped in the end, show
it what to listen for: the phones that the synthesiser made, and the spectrum under each frame.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from exact_speech import ESPEAK_VOICES, FLITE_VOICES, RATE_HZ, EspeakSpeaker, FliteSpeaker, sentences, word_list

LETTERS = "abcdefghijklmnopqrstuvwxyz'"
VOCABULARY = {"<pad>": 0, "|": 1, **{letter: n + 2 for n, letter in enumerate(LETTERS)}}
BLANK, GAP = 0, 1
HOP, FIELD = 320, 400
"""Samples between two frames, and samples that one frame sees."""

TRAINING_S, WINDOWS_S, SAMPLES_A_STEP_S = 6000, (2, 4, 4, 8, 16), 16
BANDS = 32
LEARNING_RATE, WARM_UP_STEPS = 2e-3, 100
SHAPE: dict[str, Any] = {
    "vocab_size": len(VOCABULARY), "hidden_size": 128, "num_hidden_layers": 5, "num_attention_heads": 4,
    "intermediate_size": 512, "conv_dim": [24, 32, 48, 64, 64, 96, 128], "num_feat_extract_layers": 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2], "conv_stride": [5, 2, 2, 2, 2, 2, 2], "conv_bias": True,
    "feat_extract_norm": "layer", "do_stable_layer_norm": True, "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16, "pad_token_id": BLANK, "bos_token_id": None, "eos_token_id": None,
    "apply_spec_augment": False, "layerdrop": 0.0, "hidden_dropout": 0.0, "attention_dropout": 0.0,
    "activation_dropout": 0.0, "feat_proj_dropout": 0.0, "final_dropout": 0.0,
}  # fmt: skip


# ---------------------------------------------------------------- speech


def make_speech(folder: Path, tokenizer_json: Path, seed: int) -> None:
    """Write `folder/speech.npz`: int16 samples one after the other, and for each frame its label."""
    rng = np.random.default_rng(seed)
    made = sentences(word_list(tokenizer_json), rng)
    flite = {voice: FliteSpeaker(voice) for voice in FLITE_VOICES}
    espeak, pieces, total = EspeakSpeaker(), [], 0
    while total < TRAINING_S * RATE_HZ:
        sentence = next(made)
        if rng.random() < 0.75:
            voice = str(rng.choice(FLITE_VOICES, p=(0.28, 0.28, 0.28, 0.1, 0.06)))
            utterance = flite[voice].speak(sentence, float(rng.uniform(0.8, 1.25)))
        else:
            utterance = espeak.speak(sentence, str(rng.choice(ESPEAK_VOICES)), int(rng.integers(130, 190)))
        if utterance is not None:
            pieces.append((utterance, int(rng.exponential(0.3) * RATE_HZ)))
            total += len(utterance.samples) + pieces[-1][1]
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "speech.npz", **_joined(pieces, total))
    print(f"{total / RATE_HZ:.0f} s of speech, {len(pieces)} sentences")


def _joined(pieces: list[tuple[Any, int]], total: int) -> dict[str, np.ndarray]:
    """All sentences on one timeline, each followed by its pause; letters as rows of `letter_rows`, in samples."""
    samples, letters, phones, at = np.zeros(total, np.int16), [], [], 0
    names = sorted({sound[2] for utterance, _ in pieces for sound in utterance.sounds})
    numbers = {name: n + 2 for n, name in enumerate(names)}
    for utterance, pause in pieces:
        samples[at : at + len(utterance.samples)] = utterance.samples
        letters.append(letter_rows(utterance) * (RATE_HZ, RATE_HZ, 1, 1) + (at, at, 0, 0))
        rows = np.array([(start, stop, numbers[name], 0) for start, stop, name in utterance.sounds])
        phones.append(rows * (RATE_HZ, RATE_HZ, 1, 1) + (at, at, 0, 0))
        at += len(utterance.samples) + pause
    return {"samples": samples, "letters": np.concatenate(letters), "phones": np.concatenate(phones)}


def letter_rows(utterance: Any) -> np.ndarray:
    """float64[letters, 4]: start_s, stop_s, label, whether it ends its word.

    The letters of a word share its sounds evenly, so that a long vowel is a long letter.
    """
    rows = []
    for text, start_s, end_s in utterance.words:
        labels = [VOCABULARY[letter] for letter in text if letter in LETTERS]
        own = [stop for start, stop, _ in utterance.sounds if start >= start_s - 1e-4 and stop <= end_s + 1e-4]
        edges = np.array([start_s, *own])
        times = np.interp(np.linspace(0, len(own), len(labels) + 1), np.arange(len(edges)), edges)
        rows += [(times[n], times[n + 1], label, n == len(labels) - 1) for n, label in enumerate(labels)]
    return np.asarray(rows, np.float64)


def frame_labels(letters: np.ndarray, frames: int) -> np.ndarray:
    """int64[frames]: the label at each frame's centre, for rows of `letter_rows` in samples.

    A frame is `|` in a pause and where a word touches the next, blank where a letter is repeated.
    """
    labels = np.full(frames, GAP, np.int64)
    first, stop = (np.ceil((letters[:, n] - FIELD / 2) / HOP).astype(int) for n in (0, 1))
    for begin, end, label in zip(first.clip(0, frames), stop.clip(0, frames), letters[:, 2].astype(int), strict=True):
        labels[begin:end] = label
    again = (letters[1:, 2] == letters[:-1, 2]) & (letters[:-1, 3] == 0) & (stop - first > 1)[1:]
    ends = np.round((letters[letters[:, 3] == 1, 1] - FIELD / 2) / HOP).astype(int)
    for places, label in ((first[1:][again], BLANK), (ends, GAP)):
        labels[places[(places >= 0) & (places < frames)]] = label
    return labels


# ---------------------------------------------------------------- training


class Corpus:
    """Windows of the timeline, each somewhere else, each a little different."""

    def __init__(self, folder: Path, seed: int) -> None:
        with np.load(folder / "speech.npz") as found:
            self._samples, self._letters, self._phones = found["samples"], found["letters"], found["phones"]
        self.phones = int(self._phones[:, 2].max()) + 1
        self._rng = np.random.default_rng(seed)

    def batch(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """float32[rows, samples], int64[rows, frames] of letters and of phones; long rows are few."""
        rng, length = self._rng, int(self._rng.choice(WINDOWS_S)) * RATE_HZ
        rows = max(1, SAMPLES_A_STEP_S * RATE_HZ // length)
        starts = rng.integers(0, len(self._samples) - length, rows)
        sound = np.stack([self._disturbed(self._samples[start : start + length]) for start in starts])
        letters, phones = (
            np.stack([_labels(rows, start, length) for start in starts]) for rows in (self._letters, self._phones)
        )
        return sound, letters, phones

    def _disturbed(self, samples: np.ndarray) -> np.ndarray:
        """With noise of 5 to 50 dB under it, in a random colour, and normalised as the checkpoint's config says."""
        rng, sound = self._rng, samples.astype(np.float64)
        noise = rng.standard_normal(len(sound))
        colour = rng.uniform(0, 1) / np.sqrt(np.arange(len(sound) // 2 + 1) + 1.0) + rng.uniform(0, 0.01)
        noise = np.fft.irfft(np.fft.rfft(noise) * colour, len(sound))
        level = sound.std() * 10 ** (-rng.uniform(5, 50) / 20)
        return normalised(sound + noise / noise.std() * level)


def _labels(rows: np.ndarray, start: int, length: int) -> np.ndarray:
    inside = slice(*np.searchsorted(rows[:, 0], (start - RATE_HZ, start + length)))
    return frame_labels(rows[inside] - (start, start, 0, 0), (length - FIELD) // HOP + 1)


def normalised(sound: np.ndarray) -> np.ndarray:
    """Mean 0, variance 1, float32: as `Wav2Vec2FeatureExtractor` with `do_normalize`."""
    return ((sound - sound.mean()) / np.sqrt(sound.var() + 1e-7)).astype(np.float32)


def train(folder: Path, minutes: float, of_minutes: float, threads: int) -> None:
    """Go on from the last checkpoint for so many minutes of CPU time; the learning rate falls to 0 at `of_minutes`."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    corpus, path = Corpus(folder, seed=time.time_ns() % 2**32), folder / "checkpoint.pt"
    model = _model(corpus.phones)
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    steps, spent_s = 0, 0.0
    if path.is_file():
        state = torch.load(path, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        steps, spent_s = state["steps"], state["spent_s"]
    began, losses = time.process_time(), []
    while (now_s := spent_s + time.process_time() - began) < min(spent_s + 60 * minutes, 60 * of_minutes):
        rate = (
            LEARNING_RATE * min(1.0, (steps + 1) / WARM_UP_STEPS) * 0.5 * (1 + np.cos(np.pi * now_s / 60 / of_minutes))
        )
        for group in optimiser.param_groups:
            group["lr"] = float(rate)
        losses.append(_step(model, optimiser, *corpus.batch()))
        steps += 1
        if steps % 100 == 0:
            print(f"step {steps}, {now_s / 60:.1f} min of CPU, loss {np.mean(losses[-100:]):.3f}", flush=True)
    state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "steps": steps, "spent_s": now_s}
    torch.save(state, path)
    print("done" if now_s >= 60 * of_minutes else f"{now_s / 60:.1f} of {of_minutes:g} minutes")


def _model(phones: int) -> Any:
    """The model as `ctc`, with the two heads that only training has."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    hidden, features = SHAPE["hidden_size"], SHAPE["conv_dim"][-1]
    return torch.nn.ModuleDict(
        {
            "ctc": Wav2Vec2ForCTC(Wav2Vec2Config(**SHAPE)),
            "phones": torch.nn.Linear(hidden, phones),
            "spectrum": torch.nn.Linear(features, BANDS),
        }
    ).train()


def _step(model: Any, optimiser: Any, sound: np.ndarray, letters: np.ndarray, phones: np.ndarray) -> float:
    """One update; the letters' share of the loss."""
    import torch
    from torch.nn.functional import cross_entropy, mse_loss

    heard = torch.from_numpy(sound)
    found = model["ctc"].wav2vec2(heard)
    loss = cross_entropy(
        model["ctc"].lm_head(found.last_hidden_state).flatten(0, 1), torch.from_numpy(letters).flatten()
    )
    phone = cross_entropy(model["phones"](found.last_hidden_state).flatten(0, 1), torch.from_numpy(phones).flatten())
    spectrum = mse_loss(model["spectrum"](found.extract_features), _spectrum(heard))
    optimiser.zero_grad(set_to_none=True)
    (loss + phone + spectrum).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimiser.step()
    return float(loss.detach())


def _spectrum(sound: Any) -> Any:
    """float32[rows, frames, BANDS]: logarithmic energies under each frame, mean 0 and variance 1 in each band."""
    import torch

    frames = sound.unfold(1, FIELD, HOP) * torch.hann_window(FIELD)
    power = torch.fft.rfft(frames, 512).abs().square()[..., 1:]
    # Narrow bands below, wide ones above, as an ear has them.
    edges = np.unique(np.round(np.geomspace(10, 266, 4 * BANDS) - 10).astype(int))
    edges = edges[np.linspace(0, len(edges) - 1, BANDS + 1).astype(int)]
    bands = [power[..., begin:end].mean(-1) for begin, end in itertools.pairwise(edges)]
    energies = torch.log(torch.stack(bands, -1) + 1e-3)
    return (energies - energies.mean((0, 1))) / (energies.std((0, 1)) + 1e-3)


# ---------------------------------------------------------------- the files


def export(folder: Path, out: Path) -> None:
    """Write the checkpoint as the hub has them: config, float16 weights, vocabulary, how the sound is prepared."""
    import torch
    from safetensors.torch import save_file

    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    model = _model(Corpus(folder, seed=0).phones)
    model.load_state_dict(state["model"])
    model = model["ctc"]
    out.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    config = model.config.to_diff_dict() | {"architectures": ["Wav2Vec2ForCTC"], "dtype": "float32"}
    prepared = {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor", "feature_size": 1, "sampling_rate": RATE_HZ,
        "padding_value": 0.0, "do_normalize": True, "return_attention_mask": True,
    }  # fmt: skip
    tokens = {
        "tokenizer_class": "Wav2Vec2CTCTokenizer", "pad_token": "<pad>", "word_delimiter_token": "|",
        "unk_token": "<pad>", "bos_token": None, "eos_token": None,
    }  # fmt: skip
    for name, content in (
        ("config.json", config), ("vocab.json", VOCABULARY), ("preprocessor_config.json", prepared),
        ("tokenizer_config.json", tokens),
    ):  # fmt: skip
        (out / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    _write_reference(out)
    size = sum(file.stat().st_size for file in out.iterdir())
    print(f"{out}: {size / 1e6:.2f} MB, {state['steps']} steps, {state['spent_s'] / 60:.1f} minutes of CPU")


def _write_reference(out: Path) -> None:
    """What `transformers` gives for two seconds of a test clip, float32[frames, columns]: others are held to it."""
    import av
    import torch
    from transformers import Wav2Vec2ForCTC

    with av.open(str(out.parent / "ctc-speech" / "slt.flac")) as container:
        pieces = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    sound = normalised(np.concatenate(pieces)[: 2 * RATE_HZ] / 32768)
    with torch.inference_mode():
        logits = Wav2Vec2ForCTC.from_pretrained(out).eval()(torch.from_numpy(sound[np.newaxis])).logits[0]
    np.save(out / "reference.npy", torch.log_softmax(logits, dim=-1).numpy())


def main() -> None:
    """Parse the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("speech", "train", "export"))
    parser.add_argument("folder", type=Path, help="corpus and checkpoints")
    parser.add_argument("out", type=Path, nargs="?", help="export: the model's folder")
    parser.add_argument("--tokenizer", type=Path, help="speech: tokenizer.json of a Whisper model, for its words")
    parser.add_argument("--minutes", type=float, default=8, help="train: CPU minutes of this call")
    parser.add_argument("--of-minutes", type=float, default=16, help="train: CPU minutes of all calls")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    if args.step == "speech":
        make_speech(args.folder, args.tokenizer, seed=20260101)
    elif args.step == "train":
        train(args.folder, args.minutes, args.of_minutes, args.threads)
    elif args.out is None:
        sys.exit("export needs the model's folder")
    else:
        export(args.folder, args.out)


if __name__ == "__main__":
    main()
