"""A browser, and a real server with the real engine, for the tests of the page. `scripts/page_env.sh test` runs them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from page_world import Visitor, World
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def kit() -> Path:
    """The recordings."""
    folder = Path(os.environ.get("AUTORAG_WHISPER_KIT", ""))
    if (folder / "real").is_dir():
        return folder / "real"
    if os.environ.get("AUTORAG_WHISPER_REQUIRE_KIT"):
        pytest.fail("AUTORAG_WHISPER_KIT names no folder of recordings")
    pytest.skip("the page's tests need the recordings of AUTORAG_WHISPER_KIT")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from page_world import CHROMIUM
    from playwright.sync_api import sync_playwright

    if not shutil.which(CHROMIUM):
        pytest.skip("there is no Chromium here: scripts/page_env.sh install")
    with sync_playwright() as playwright:
        args = [
            "--no-sandbox",
            "--autoplay-policy=no-user-gesture-required",
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
        ]
        with playwright.chromium.launch(executable_path=shutil.which(CHROMIUM), args=args) as launched:
            yield launched


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server for all tests, without keys."""
    from page_world import World

    with World(tmp_path_factory.mktemp("data")) as served:
        yield served


@pytest.fixture
def busy(world: World, kit: Path) -> Iterator[list[str]]:
    """An hour in each place where a job is worked at, so that what comes behind them waits."""
    from page_world import until

    jobs = [world.add(kit.parent / "tts" / "long_60min.opus", "an hour.opus") for _ in range(2)]
    for job in jobs:
        until(lambda job=job: world.ask(f"/v1/jobs/{job}")["state"] == "running", "it is at work")
    yield jobs
    for job in jobs:
        world.stopped(job)
        world.forget(job)


@pytest.fixture
def visit(browser: Browser, world: World) -> Iterator[Callable[..., Visitor]]:
    """Somebody with a browser of his own. What he meets is judged at the end: no error, nothing asked elsewhere."""
    from page_world import Visitor

    visitors: list[Visitor] = []

    def come(served: World | None = None, **options: object) -> Visitor:
        visitors.append(Visitor(browser, served or world, options))
        return visitors[-1]

    yield come
    for visitor in visitors:
        visitor.leave()
