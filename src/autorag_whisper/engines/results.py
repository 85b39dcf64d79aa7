"""What CTranslate2's Whisper answers, as the nouns of `engines.base`: one hypothesis a row, one frame a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from autorag_whisper.engines.base import Hypothesis, TokenTimes

if TYPE_CHECKING:
    from collections.abc import Sequence


def hypothesis(result: Any, cap: int, end: int, length_penalty: float = 1.0, prefix: int = 0) -> Hypothesis:
    """What `generate` gave one row, its text tokens those below `end`; its first `prefix` tokens were given."""
    tokens = tuple(int(token) for token in result.sequences_ids[0])
    # The score is the sum divided by a power of the length without the end token, which the sum has.
    total = float(result.scores[0]) * max(1, len(tokens)) ** length_penalty
    mean = total / (max(0, len(tokens) - prefix) + 1)
    probability = float(result.no_speech_prob)
    return Hypothesis(
        token_ids=tokens,
        avg_logprob=mean if np.isfinite(mean) else -100.0,
        no_speech_prob=min(1.0, max(0.0, probability)) if np.isfinite(probability) else 0.0,
        cap_hit=len(tokens) >= cap,
        probabilities=_probabilities(result.logits[0], tokens, end) if result.logits else None,
    )


def _probabilities(logits: Sequence[Any], tokens: Sequence[int], end: int) -> tuple[float, ...]:
    """The probability of each token among the text tokens, those below `end`, as `align` tells it; 0 of any other.

    `logits`: float32[vocabulary] for each step.
    """
    found = []
    for token, step in zip(tokens, logits, strict=False):
        if token >= end:  # the decoder may write a language's token, in the midst of a text too
            found.append(0.0)
            continue
        row = np.asarray(step)[:end]
        top = row.max()
        share = float(np.exp(row[token] - top) / np.exp(row - top).sum())
        found.append(share if np.isfinite(share) else 0.0)
    return tuple(found)


def token_times(result: Any, tokens: int) -> TokenTimes:
    """The path of dynamic time warping as the first encoder frame of every token.

    ```
    path (token, frame):  (0,0) (0,1) (1,2) (1,3) (1,4) (2,5)      starts: 0, 2, 5; the last is the end of text
    ```
    """
    path = np.asarray(result.alignments, np.int64).reshape(-1, 2)
    ends = int(path[-1, 1]) + 1 if len(path) else 0
    starts = np.full(tokens + 1, ends, np.int64)
    rows = np.clip(path[:, 0], 0, tokens)
    np.minimum.at(starts, rows, path[:, 1])
    probabilities = np.zeros(tokens, np.float32)
    given = np.asarray(result.text_token_probs, np.float32)[:tokens]
    probabilities[: len(given)] = np.clip(np.nan_to_num(given, nan=0.0), 0.0, 1.0)
    return TokenTimes(np.maximum.accumulate(starts), probabilities)
