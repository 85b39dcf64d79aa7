"""The page by keyboard alone, on a phone, in the dark, in another language, and read aloud."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright", reason="the page's tests need Playwright: scripts/page_env.sh install, then test")

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from page_world import Visitor, World

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def talk(world: World, kit: Path) -> str:
    return world.transcribed(kit / "az_en-US_test_audio.opus", "talk.opus")


def test_everything_is_done_by_keyboard(visit: Callable[..., Visitor], world: World, kit: Path) -> None:
    job = world.transcribed(kit / "jfk.flac", "by keyboard.flac")
    visitor = visit()
    page = visitor.at()
    page.wait_for_selector("a.job")

    def tab_to(selector: str) -> None:
        for _ in range(80):
            page.keyboard.press("Tab")
            if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"the keyboard does not come to {selector}")

    tab_to(f'a.job[href="#/job/{job}"]')
    page.keyboard.press("Enter")
    page.wait_for_selector("#save-state")
    tab_to(".w")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    visitor.played()
    page.keyboard.press("Space")
    page.wait_for_function("() => document.querySelector('video').paused")
    assert page.evaluate("document.activeElement.dataset.w") == "2"
    page.keyboard.press("e")
    page.keyboard.type("dear ")
    page.keyboard.press("Enter")
    visitor.saved()
    assert "dear" in visitor.text()
    page.keyboard.press("Control+z")
    assert "dear" not in visitor.text()
    visitor.saved()
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open] kbd")
    assert page.locator("dialog kbd").count() > 15
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    page.keyboard.press("Control+s")
    page.wait_for_selector("#download")
    tab_to("#download")
    with page.expect_download():
        page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")  # it takes the keys as long as it is there
    page.wait_for_function("() => document.activeElement !== document.body")  # the place is not lost
    page.keyboard.press("/")
    page.wait_for_function("() => document.activeElement.id === 'search'")


def test_what_is_opened_behind_escape_stays_open(visit: Callable[..., Visitor], talk: str) -> None:
    """However fast it comes: the browser tells that a dialog is closed when it has time to."""
    visitor = visit()
    page = visitor.reads(talk)
    page.locator("#versions").click()
    page.wait_for_selector("dialog[open]")
    page.evaluate(
        """async () => { const first = document.querySelector("dialog");
          const told = new Promise((then) => first.addEventListener("close", then));
          first.requestClose();  // as Escape does
          document.querySelector("#export").click();
          await told; }"""
    )
    assert page.locator("#download").is_visible()
    page.locator("dialog").get_by_label("Close").click()
    assert page.evaluate("document.activeElement.id") == "versions", "the place is not lost"
    page.get_by_label("View", exact=True).click()
    page.wait_for_selector(".menu")
    page.evaluate(
        """async () => { const button = document.querySelector("[aria-label=View]");
          document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
          await null;
          button.click();
          await null; }"""
    )
    assert page.locator(".menu").is_visible()


def test_a_phone_has_all_of_it_and_nothing_sticks_out(visit: Callable[..., Visitor], world: World, talk: str) -> None:
    visitor = visit(**PHONE)
    page = visitor.at()
    page.wait_for_selector("a.job")
    visitor.shoot("9-phone-list")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator(f'a.job[href="#/job/{talk}"]').tap()
    page.wait_for_selector("#save-state")
    page.locator('[data-w="12"]').tap()
    visitor.played()
    visitor.shoot("10-phone-reading")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("#edit").tap()
    page.wait_for_selector("textarea.edit")
    page.keyboard.press("Escape")
    page.locator("#export").tap()
    page.wait_for_selector("#download")
    assert page.evaluate("document.querySelector('dialog').getBoundingClientRect().width") <= 390
    small = page.evaluate(
        "[...document.querySelectorAll('dialog button, .player button')].filter((one) => one.offsetWidth && one.offsetHeight < 36).map((one) => one.outerHTML)"
    )
    assert not small
    page.keyboard.press("Escape")
    page.locator(".back").tap()
    page.wait_for_selector("a.job")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])
def test_axe_finds_nothing_serious(visit: Callable[..., Visitor], talk: str, scheme: str, *, phone: bool) -> None:
    visitor = visit(color_scheme=scheme, reduced_motion="reduce", **(PHONE if phone else {}))
    page = visitor.at()
    page.wait_for_selector("a.job")
    found = visitor.serious()
    visitor.reads(talk)
    page.wait_for_selector(".wave > div", state="attached")
    found += visitor.serious()
    if scheme == "dark":
        visitor.shoot(f"11-dark-{'phone' if phone else 'desk'}")
    page.locator('[data-w="3"]').focus()
    page.keyboard.press("e")
    page.wait_for_selector("textarea.edit")
    found += visitor.serious()
    page.keyboard.press("Escape")
    for button in ("#export", "#versions"):
        page.locator(button).click()
        page.wait_for_selector("dialog[open]")
        found += visitor.serious()
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog", state="detached")
    page.locator("#find").click()
    page.locator("#find-what").fill("the")
    found += visitor.serious()
    page.keyboard.press("Escape")
    page.get_by_label("View", exact=True).click()
    page.wait_for_selector(".menu")
    found += visitor.serious()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    found += visitor.serious()
    assert not found, "\n".join(found)


def test_it_speaks_the_browsers_language_and_can_be_told_another(visit: Callable[..., Visitor], talk: str) -> None:
    visitor = visit(locale="de-DE")
    page = visitor.reads(talk)
    assert page.locator("#save-state").inner_text() == "Gespeichert"
    assert page.evaluate("document.documentElement.lang") == "de"
    page.get_by_label("Sprache dieser Seite").click()
    page.get_by_role("button", name="English").click()
    page.wait_for_selector('[placeholder="Search all transcripts"]')
    page.reload()
    page.wait_for_selector("#save-state")
    assert page.locator("#save-state").inner_text() == "Saved"


def test_text_from_right_to_left_and_text_without_blanks(
    visit: Callable[..., Visitor], world: World, kit: Path
) -> None:
    job = world.transcribed(kit / "jfk.flac", "مقابلة.flac")
    texts = [
        ("ar", ["مرحبا", "بكم", "في", "البرنامج"], True),
        ("zh", ["今天", "天气", "很好。"], False),
        ("en", ["left", "to", "right"], True),
    ]
    segments: list[dict[str, Any]] = []
    for at, (language, words, blanks) in enumerate(texts):
        start = 1 + 3 * at
        told = [
            {"word": word, "start": start + i * 0.5, "end": start + i * 0.5 + 0.4, "space_before": blanks or i == 0}
            for i, word in enumerate(words)
        ]
        segments.append({"language_code": language, "words": told})
    count = len(world.ask(f"/v1/jobs/{job}/transcript")["transcript"]["segments"])
    world.ask(
        f"/v1/jobs/{job}/transcript",
        "PATCH",
        {"edits": [{"from": 0, "to": count, "segments": segments}]},
        {"If-Match": '"1"'},
    )
    visitor = visit(may_fail=True)  # a model of English aligns no Chinese: its times are estimates
    page = visitor.reads(job)
    directions = page.eval_on_selector_all(".seg p", "(all) => all.map((one) => getComputedStyle(one).direction)")
    assert directions == ["rtl", "ltr", "ltr"]
    assert page.locator(".seg p").nth(1).inner_text() == "今天天气很好。"
    page.locator('[data-w="0"]').focus()
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.dataset.w") == "1"
    page.locator('[data-w="4"]').focus()
    page.keyboard.press("e")
    page.locator("textarea.edit").fill("今天天气真好。")
    page.keyboard.press("Enter")
    visitor.saved()
    kept = world.ask(f"/v1/jobs/{job}/transcript")["transcript"]["segments"][1]
    assert kept["text"] == "今天天气真好。"
    visitor.shoot("12-scripts")
