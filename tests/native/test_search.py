"""The searches of the CPU engine against CTranslate2's rules in plain Python, over the same logits."""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorag_whisper.domain.errors import Cancelled
from autorag_whisper.domain.request import Search
from autorag_whisper.engines.interruption import Interruption
from autorag_whisper.engines.native_model import NativeAudio, NativeModel, NativeSearch, SpecialTokens
from autorag_whisper.engines.native_weights import Tensor
from native_reference import Wanted, beam_search, greedy, log_probabilities, random_tensors, scored, softmax

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from autorag_whisper.engines.native_library import NativeLibrary

VOCABULARY, CONTEXT = 60, 48
END, START, LANGUAGE, NO_TIMESTAMPS, NO_SPEECH = 50, 51, 52, 55, 54
PROMPT = [START, LANGUAGE, NO_TIMESTAMPS]


@cache
def world(library: NativeLibrary, seed: int = 0) -> tuple[NativeModel, list[NativeAudio]]:
    """A model, and three audios of different lengths."""
    made = random_tensors(seed, mels=16, width=64, layers=2, vocabulary=VOCABULARY, frames=40, context=CONTEXT)
    made["decoder/embeddings/weight"][END] *= 1.5  # texts end now and then
    model = NativeModel(
        library,
        {name: Tensor(array) for name, array in made.items()},
        SpecialTokens(START, END, NO_SPEECH, NO_TIMESTAMPS),
    )
    random = np.random.default_rng(seed)
    return model, [model.audio(random.standard_normal((n, 64)).astype(np.float32)) for n in (40, 7, 23)]


def following(
    model: NativeModel, audio: NativeAudio, prompt: Sequence[int]
) -> Callable[[Sequence[int]], NDArray[np.float32]]:
    kept: dict[tuple[int, ...], NDArray[np.float32]] = {}

    def follow(text: Sequence[int]) -> NDArray[np.float32]:
        key = tuple(text)
        if key not in kept:
            kept[key] = model.forced_logits(audio, [*prompt, *text])[-1]
        return kept[key]

    return follow


options = st.fixed_dictionaries(
    {
        "beams": st.integers(1, 6),
        "most": st.integers(2, 14),
        "patience": st.sampled_from([0.5, 1.0, 1.5, 2.0]),
        "length_penalty": st.sampled_from([0.0, 0.6, 1.0, 2.0]),
        "repetition_penalty": st.sampled_from([1.0, 1.0, 1.3, 0.8]),
        "no_repeat_ngram": st.sampled_from([0, 0, 1, 2, 3]),
        "suppressed": st.lists(st.integers(0, VOCABULARY - 1), max_size=8).map(tuple),
        "suppressed_first": st.lists(st.integers(0, VOCABULARY - 1), max_size=8).map(tuple),
    }
)
prefixes = st.one_of(
    st.just([]), st.lists(st.integers(0, END - 1), max_size=1), st.lists(st.integers(0, END - 1), max_size=3)
)
befores = st.lists(st.integers(0, END - 1), max_size=5)


def asked(drawn: dict[str, object], **changes: object) -> NativeSearch:
    given = drawn | changes
    search = Search(
        patience=given["patience"], length_penalty=given["length_penalty"],
        repetition_penalty=given["repetition_penalty"], no_repeat_ngram_size=given["no_repeat_ngram"],
    )  # fmt: skip
    return NativeSearch(
        given["beams"], given.get("temperature", 0.0), given.get("seed", 0), given["most"], search,
        given["suppressed"], given["suppressed_first"],
    )  # fmt: skip


@settings(max_examples=120)
@given(seed=st.integers(0, 3), drawn=options, prefix=prefixes, before=befores)
def test_a_search_finds_what_ctranslate2s_rules_find(
    native_library: NativeLibrary, seed: int, drawn: dict[str, object], prefix: list[int], before: list[int]
) -> None:
    model, audios = world(native_library, seed)
    most = max(drawn["most"], len(prefix) + 1)
    wanted = Wanted(END, **(drawn | {"most": most}))
    prompt = [*before, *PROMPT]
    texts = model.generate(audios[:1], [[*prompt, *prefix]], asked(drawn, most=most))
    follow = following(model, audios[0], prompt)
    if drawn["beams"] == 1:
        text = greedy(follow, tuple(prefix), wanted)
        score = scored(text.total, text, wanted)
    else:
        text, score = beam_search(follow, tuple(prefix), wanted)
    assert texts.tokens[0] == text.tokens
    assert texts.scores[0] == pytest.approx(score, rel=1e-3, abs=1e-3)
    assert texts.finished[0] or len(texts.tokens[0]) == most


def test_each_tokens_probability_is_its_share_of_the_text_tokens(native_library: NativeLibrary) -> None:
    model, audios = world(native_library)
    for beams in (1, 4):
        texts = model.generate(audios, [PROMPT] * 3, NativeSearch(beams, 0.0, 0, 12, Search(), (3,), ()))
        for row, audio in enumerate(audios):
            follow, text = following(model, audio, PROMPT), texts.tokens[row]
            assert len(text) > 1
            for n, (token, told) in enumerate(zip(text, texts.probabilities[row], strict=True)):
                logits = follow(text[:n]).copy()
                logits[3] = -np.inf
                assert told == pytest.approx(softmax(logits[:END])[token] if token < END else 0, abs=1e-3)


def test_no_speech_is_its_share_of_all_tokens_after_the_start(native_library: NativeLibrary) -> None:
    model, audios = world(native_library)
    prompt = [4, 7, 9, *PROMPT]
    texts = model.generate(audios, [prompt] * 3, NativeSearch(1, 0.0, 0, 3, Search(), (NO_SPEECH,), ()))
    for row, audio in enumerate(audios):
        logits = model.forced_logits(audio, prompt[:4])[-1]
        assert texts.no_speech[row] == pytest.approx(softmax(logits)[NO_SPEECH], abs=1e-4)


@settings(max_examples=30)
@given(drawn=options, befores=st.lists(befores, min_size=3, max_size=3), temperature=st.sampled_from([0.0, 0.7]))
def test_a_row_gives_the_same_bits_alone_and_in_a_batch(
    native_library: NativeLibrary, drawn: dict[str, object], befores: list[list[int]], temperature: float
) -> None:
    model, audios = world(native_library)
    search = asked(drawn, temperature=temperature, seed=5)
    prompts = [[*before, *PROMPT] for before in befores]
    together = model.generate(audios, prompts, search)
    for row in range(3):
        alone = model.generate([audios[row]], [prompts[row]], search)
        assert alone.tokens[0] == together.tokens[row]
        assert alone.scores[0] == together.scores[row]
        assert alone.no_speech[0] == together.no_speech[row]
        assert alone.probabilities[0] == together.probabilities[row]


def test_samples_belong_to_their_seed_and_follow_the_probabilities(native_library: NativeLibrary) -> None:
    model, audios = world(native_library)

    def sampled(seed: int, temperature: float = 1.0, samples: int = 1) -> tuple[int, ...]:
        search = NativeSearch(samples, temperature, seed, 1, Search(), (), (END,))
        return model.generate(audios[:1], [PROMPT], search).tokens[0]

    assert sampled(7) == sampled(7)
    counts = np.zeros(VOCABULARY)
    for seed in range(400):
        counts[sampled(seed)[0]] += 1
    wanted = np.exp(
        log_probabilities(following(model, audios[0], PROMPT)(()), (), Wanted(END, suppressed_first=(END,)), first=True)
    )
    assert np.abs(counts / 400 - wanted).max() < 0.09  # three standard errors
    likeliest = int(wanted.argmax())
    assert sampled(1, temperature=1e-4) == (likeliest,)
    assert sum(sampled(seed, samples=20) == (likeliest,) for seed in range(20)) >= sum(
        sampled(seed) == (likeliest,) for seed in range(20)
    ), "the best of twenty"


def test_where_all_is_suppressed_the_text_ends(native_library: NativeLibrary) -> None:
    model, audios = world(native_library)
    for beams in (1, 3):
        for temperature in (0.0, 1.0):
            search = NativeSearch(beams, temperature, 0, 5, Search(), tuple(range(VOCABULARY)), ())
            texts = model.generate(audios, [PROMPT] * 3, search)
            assert texts.tokens == [()] * 3


def test_many_threads_on_one_model_get_what_each_gets_alone(native_library: NativeLibrary) -> None:
    model, audios = world(native_library)
    search = NativeSearch(3, 0.0, 0, 20, Search(), (), ())
    wanted, found, ended = model.generate(audios, [PROMPT] * 3, search).tokens, list[object](), list[object]()
    flag = Interruption()
    flag.set()

    def work(*, cancelled: bool) -> None:
        for _ in range(10):
            if not cancelled:
                found.append(model.generate(audios, [PROMPT] * 3, search).tokens)
                continue
            with flag.around():
                try:
                    model.generate(audios, [PROMPT] * 3, search)
                except Cancelled as error:
                    ended.append(error)

    threads = [threading.Thread(target=work, kwargs={"cancelled": n == 3}) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [wanted] * 30
    assert len(ended) == 10


def test_a_batch_that_is_cancelled_at_any_point_ends_or_is_whole(native_library: NativeLibrary) -> None:
    model, audios = world(native_library)
    search = NativeSearch(4, 0.0, 0, 40, Search(), (END,), ())
    wanted = model.generate(audios, [PROMPT] * 3, search).tokens
    ended = 0
    for turns in range(0, 4000, 100):
        flag = Interruption()

        def cancel(flag: Interruption = flag, turns: int = turns) -> None:
            for _ in range(turns):
                flag.is_set  # noqa: B018 - to take a little time, each round more
            flag.set()

        thread = threading.Thread(target=cancel)
        with flag.around():
            thread.start()
            if turns == 0:
                thread.join()
            try:
                assert model.generate(audios, [PROMPT] * 3, search).tokens == wanted
            except Cancelled:
                ended += 1
        thread.join()
    assert ended > 0
    assert model.generate(audios, [PROMPT] * 3, search).tokens == wanted
