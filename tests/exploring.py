"""What `make explore` adds to pytest (`-p exploring`): random examples, and no test begins when the time is over."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import HealthCheck, settings

# As "house" in conftest.py, but random. Examples follow from the seed alone: no database of earlier finds.
settings.register_profile(
    "explore",
    derandomize=False,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--until", type=float, default=math.inf, help="no test begins after this, in s since 1970")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if time.time() > item.config.getoption("--until"):  # noqa: TID251 - a moment that another process was told
        pytest.skip("the time is over")
