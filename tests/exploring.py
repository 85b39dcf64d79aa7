"""What `make explore` adds to pytest (`-p exploring`): random examples, and no test begins when the time is over."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from examples import ALL

if TYPE_CHECKING:
    from collections.abc import Callable

# As "house" in conftest.py, but random. Examples follow from the seed alone: no database of earlier finds.
settings.register_profile(
    "explore",
    derandomize=False,
    max_examples=ALL,
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


@pytest.hookimpl(trylast=True)  # behind the one that makes the reporter
def pytest_configure(config: pytest.Config) -> None:
    if (reporter := config.pluginmanager.get_plugin("terminalreporter")) is not None:
        config.pluginmanager.register(_AtOnce(reporter.write_line))


class _AtOnce:
    """Failures are told when they happen: a test that hangs may end the run before its summary."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._write(f"\n{report.longreprtext}\nFAILED {report.nodeid}")
