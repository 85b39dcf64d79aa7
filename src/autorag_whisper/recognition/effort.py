"""What a chunk may cost: the redo ends when its budget is spent, so that no sound can hold up a file.

In decoder steps, a step being one token of every beam or sample; a chunk's *cap* is `windows.token_cap`:

| | encoder passes | decoder steps at most |
|---|---|---|
| first attempt, in a batch | 1, of its own window | 1 cap |
| redo, alone | 1, of the full window | `REDO_CAPS` caps; a cap for each temperature where most would be lost |
| alignment | none | none: one pass over the tokens |
| a vote on its language | 1, of the full window | none |

Speech uses a third of its cap or less. So a chunk costs at most 5 caps, where usual ones cost a third of one. Where
the best text so far is a loop, of which a rule would leave less than half, all temperatures are tried: 7 caps at most.

A chunk that is done in parts (`recognition.parts`) pays for each of them as for a chunk, besides what it has cost
itself, and a part that is cut again for its own. The parts of one level have together no more than the chunk's audio,
and so about its caps; their windows are no shorter than a chunk's shortest. There are `parts.MOST_CUTS` levels at most,
and of 30 s halved and halved again 14 parts: the worst sound costs 30 encoder passes and 4 times 7 caps. Of the kit's
chunks one in fifty has parts at all. A chunk in several languages is done in parts alone. Where pieces of a chunk sound
like another language, these alone are recognised twice more, in both (of the kit's chunks in one language none).
A chunk of whose speech most has no word is redone once before it is cut: a full window and `REDO_CAPS` caps more.
"""

from __future__ import annotations

REDO_CAPS = 4
MOST_KEPT = 0.5
"""Part of its tokens that a text must keep for a redo to end with its budget."""


def steps_of(tokens: int, cap: int, *, sampled: bool) -> int:
    """Decoder steps that an attempt is charged; the whole cap if several texts were `sampled`.

    Samples take as many steps as the longest of them, and the engine tells only the best one.
    """
    return cap if sampled else min(cap, tokens + 1)


def may_try_again(spent: int, cap: int) -> bool:
    """Whether a redo that has taken `spent` steps has a whole attempt left."""
    return spent + cap <= REDO_CAPS * cap
