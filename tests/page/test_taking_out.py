"""Somebody looks at what the recogniser left out, and takes the text out: to the clipboard, and as subtitles with settings."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

pytest.importorskip("playwright", reason="the page's tests need Playwright: scripts/page_env.sh install, then test")

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from page_world import Visitor, World


@pytest.fixture(scope="module")
def talk(world: World, kit: Path) -> str:
    return world.transcribed(kit / "az_en-US_test_audio.opus", "talk.opus")


def segments(world: World, job: str) -> list[dict[str, Any]]:
    return list(world.ask(f"/v1/jobs/{job}/transcript")["transcript"]["segments"])


def stamp(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def test_the_text_is_copied_with_times_and_without(visit: Callable[..., Visitor], world: World, talk: str) -> None:
    visitor = visit(keeps_toasts=True)
    page = visitor.reads(talk)
    told = segments(world, talk)
    assert len(told) > 1
    plain = "\n".join(one["text"] for one in told)
    timed = "\n".join(f"[{stamp(one['words'][0]['start'])}] {one['text']}" for one in told)
    for button, text in (("Copy the text with times", timed), ("Copy the text", plain)):
        page.get_by_label("More", exact=True).click()
        page.get_by_role("button", name=button, exact=True).click()
        page.wait_for_function("async (text) => (await navigator.clipboard.readText()) === text", arg=text)
    page.wait_for_selector(".toast >> text=Copied")


@pytest.fixture(scope="module")
def foreign(world: World, kit: Path) -> str:
    """Of another language than the model's: some of what is decoded is left out."""
    return world.transcribed(kit / "az_zh-CN_train_audio1.opus", "foreign.opus", options='{"clips": [[20, 30]]}')


def test_what_was_left_out_is_shown_with_its_reason_when_it_is_asked_for(
    visit: Callable[..., Visitor], world: World, foreign: str
) -> None:
    left_out = world.ask(f"/v1/jobs/{foreign}/transcript")["transcript"]["rejected"]
    assert left_out
    visitor = visit()
    page = visitor.reads(foreign)
    assert not page.locator(".seg.rejected").count()
    page.get_by_label("View", exact=True).click()
    page.get_by_label("Show text that was left out").check()
    page.keyboard.press("Escape")
    page.locator(".seg.rejected").first.wait_for()
    shown = page.locator(".seg.rejected p").first
    assert "line-through" in shown.evaluate("(one) => getComputedStyle(one).textDecorationLine")
    reason = left_out[0]["reason"].partition(": ")[2]
    assert shown.inner_text() == f"{left_out[0]['text']} left out: {reason}"
    visitor.shoot("14-left-out")
    total = len(segments(world, foreign)) + len(left_out)
    assert page.locator(".seg").first.get_attribute("aria-setsize") == str(total)
    page.get_by_label("View", exact=True).click()
    page.get_by_label("Show text that was left out").uncheck()
    page.locator(".seg.rejected").first.wait_for(state="detached")


def test_pauses_are_shown_when_they_are_asked_for(visit: Callable[..., Visitor], world: World, kit: Path) -> None:
    job = world.transcribed(kit / "jfk.flac", "pauses.flac")
    visitor = visit()
    page = visitor.reads(job)
    words = [word for one in segments(world, job) for word in one["words"]]
    gaps = [f"{b['start'] - a['end']:.1f} s" for a, b in pairwise(words) if b["start"] - a["end"] >= 1]
    gaps = [f"{words[0]['start']:.1f} s"] * (words[0]["start"] >= 1) + gaps
    assert gaps
    assert not page.locator(".pause:visible").count()
    page.get_by_label("View", exact=True).click()
    page.get_by_label("Show pauses").check()
    page.keyboard.press("Escape")
    page.locator(".pause:visible").nth(len(gaps) - 1).wait_for()
    assert page.locator(".pause:visible").all_inner_texts() == gaps
    page.reload()
    page.locator(".pause:visible").first.wait_for()


def lines_of(srt: str) -> list[list[str]]:
    """The lines of each subtitle."""
    return [block.split("\n")[2:] for block in srt.strip().split("\n\n")]


def cues_of(world: World, job: str, settings: dict[str, Any]) -> list[list[str]]:
    """What the service makes of these settings."""
    query = urlencode({"format": "srt"} | {name: value for name, value in settings.items() if value})
    return lines_of(world.ask(f"/v1/jobs/{job}/result?{query}"))


def test_subtitle_settings_are_previewed_and_are_those_of_the_file(
    visit: Callable[..., Visitor], world: World, talk: str
) -> None:
    visitor = visit()
    page = visitor.reads(talk)
    fields = {
        "Lines": ("lines", 1),
        "Characters a second": ("reading_speed", 12),
        "Characters in a line": ("line_length", 20),
    }
    settings = dict(fields.values())
    cues = cues_of(world, talk, settings)
    assert all(len(lines) == 1 and len(lines[0]) <= 20 for lines in cues)
    assert len(cues) > len(cues_of(world, talk, {**settings, "line_length": ""})), "it is seen which are shown"
    page.locator("#export").click()
    page.locator('input[name="format"][value="srt"]').check()
    for label, (_, value) in fields.items():
        page.get_by_label(label, exact=True).fill(str(value))
    page.wait_for_selector(f".preview >> text=/ {len(cues)} cues/")
    first = segments(world, talk)[0]["words"][0]
    page.evaluate("(time) => { document.querySelector('video').currentTime = time; }", first["start"] + 0.01)
    for at in range(4):
        if at:
            page.get_by_role("button", name="Next", exact=True).click()
        page.wait_for_function("(text) => document.querySelector('#caption')?.textContent === text", arg=cues[at][0])
    with page.expect_download() as taken:
        page.locator("#download").click()
    assert lines_of(taken.value.path().read_text(encoding="utf-8")) == cues
