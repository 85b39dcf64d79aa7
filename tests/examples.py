"""On how many examples a law is tried: on half of them in `make test`, on all in `make explore`."""

from __future__ import annotations

from typing import Any

from hypothesis import settings

ALL = 100
"""Those of a law that names no number, in `make explore`: Hypothesis' own."""


def examples(most: int, **more: Any) -> settings:
    """`most` of them in `make explore`, and what else `settings` takes."""
    return settings(max_examples=most * settings().max_examples // ALL, **more)
