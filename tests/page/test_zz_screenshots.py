"""After all others: the pictures that CI keeps, for whoever changes the page to look at."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="the page's tests need Playwright: scripts/page_env.sh install, then test")

from page_world import SCREENSHOTS, STATES, shot


def test_every_state_has_its_picture(request: pytest.FixtureRequest) -> None:
    files = {path.name for path in Path(__file__).parent.glob("test_*.py")}
    if files - {item.path.name for item in request.session.items} or request.config.getoption("keyword"):
        pytest.skip("only some of the page's tests were run")
    if request.session.testsfailed:
        pytest.skip("a test before this one failed, maybe before its picture")
    assert shot == set(STATES)
    for name in STATES:
        content = (SCREENSHOTS / f"{name}.png").read_bytes()
        assert content.startswith(b"\x89PNG"), name
        assert len(content) > 5000, name
