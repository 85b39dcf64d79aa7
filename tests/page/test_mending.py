"""Somebody mends the text, and keeps the times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright", reason="the page's tests need Playwright: scripts/page_env.sh install, then test")

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from page_world import Visitor, World
    from playwright.sync_api import Page, Route

COVERED = """(two) => { const [a, b] = two.map((one) => document.querySelector(one).getBoundingClientRect());
  return a.top < b.bottom && b.top < a.bottom && a.left < b.right && b.left < a.right; }"""
"""Whether one thing lies over the other."""


@pytest.fixture
def job(world: World, kit: Path) -> str:
    return world.transcribed(kit / "jfk.flac", "speech.flac")


@pytest.fixture
def long_job(world: World, kit: Path) -> str:
    return world.transcribed(kit / "az_en-US_test_audio.opus", "talk.opus")


def segments_of(world: World, job: str, version: int = 0) -> list[list[dict[str, Any]]]:
    query = f"?version={version}" if version else ""
    told = world.ask(f"/v1/jobs/{job}/transcript{query}")
    return [segment["words"] for segment in told["transcript"]["segments"]]


def flat(segments: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [word for words in segments for word in words]


def edit(page: Page, word: int, text: str) -> None:
    """Put the segment's text in place of what is there, and finish."""
    page.locator(f'[data-w="{word}"]').focus()
    page.keyboard.press("e")
    page.locator("textarea.edit").fill(text)
    page.keyboard.press("Enter")


def test_an_edit_gets_its_times_from_the_sound_and_all_other_words_keep_theirs(
    visit: Callable[..., Visitor], world: World, job: str
) -> None:
    before = flat(segments_of(world, job))
    visitor = visit()
    page = visitor.reads(job)
    edit(page, 0, page.locator(".seg p").first.inner_text().replace("fellow Americans", "dear Americans"))
    visitor.shoot("6-edited")
    visitor.saved()
    after = flat(segments_of(world, job))
    assert [word["word"] for word in after] == ["dear" if word["word"] == "fellow" else word["word"] for word in before]
    at = next(i for i, word in enumerate(before) if word["word"] == "fellow")
    for i, (old, new) in enumerate(zip(before, after, strict=True)):
        if i != at:
            assert (new["start"], new["end"], new["source"]) == (old["start"], old["end"], old["source"])
    assert abs(after[at]["start"] - before[at]["start"]) < 0.3
    assert after[at]["source"] in ("ctc", "characters", "tokens")
    assert after[at]["probability"] == 1, "what a person wrote is not the recogniser's to doubt"


def test_undo_redo_reload_and_export_are_the_same_text(visit: Callable[..., Visitor], world: World, job: str) -> None:
    visitor = visit()
    page = visitor.reads(job)
    was = visitor.text()
    edit(page, 0, was.replace("country", "nation"))
    visitor.saved()
    edited = visitor.text()
    assert "nation" in edited
    page.keyboard.press("Control+z")
    assert visitor.text() == was
    visitor.saved()
    page.reload()
    page.wait_for_selector("#save-state")
    assert visitor.text() == was
    edit(page, 0, was.replace("country", "nation"))
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+Shift+z")
    visitor.saved()
    page.locator("#export").click()
    page.get_by_label("txt").check()
    with page.expect_download() as taken:
        page.locator("#download").click()
    told = taken.value.path().read_text(encoding="utf-8")
    assert taken.value.suggested_filename == "speech.txt"
    assert " ".join(told.split()) == visitor.text() == edited
    for name in ("srt", "vtt", "json", "words", "tsv", "ass"):
        page.get_by_label(name, exact=False).first.focus()
        page.locator(f'input[name="format"][value="{name}"]').check()
        with page.expect_download() as taken:
            page.locator("#download").click()
        assert "nation" in taken.value.path().read_text(encoding="utf-8")


def test_segments_are_split_and_joined_and_no_word_changes_its_time(
    visit: Callable[..., Visitor], world: World, long_job: str
) -> None:
    before = segments_of(world, long_job)
    visitor = visit()
    page = visitor.reads(long_job)
    page.locator('[data-w="5"]').focus()
    page.keyboard.press("Control+Enter")
    visitor.saved()
    split = segments_of(world, long_job)
    assert [len(words) for words in split[:2]] == [5, len(before[0]) - 5]
    page.locator('[data-w="5"]').focus()
    page.keyboard.press("Control+Backspace")
    visitor.saved()
    assert [[word["word"] for word in words] for words in segments_of(world, long_job)] == [
        [word["word"] for word in words] for words in before
    ]
    for old, new in zip(flat(before), flat(segments_of(world, long_job)), strict=True):
        assert (old["start"], old["end"]) == (new["start"], new["end"])
    page.keyboard.press("e")
    field = page.locator("textarea.edit")
    field.evaluate("(one) => one.setSelectionRange(one.value.indexOf(',') + 1, one.value.indexOf(',') + 1)")
    page.keyboard.press("Control+Enter")
    visitor.saved()
    assert segments_of(world, long_job)[0][-1]["word"].endswith(",")


def test_find_and_replace_keeps_times_and_is_undone_at_once(
    visit: Callable[..., Visitor], world: World, long_job: str
) -> None:
    before = flat(segments_of(world, long_job))
    count = " ".join(word["word"] for word in before).count("test")
    assert count > 1
    visitor = visit(keeps_toasts=True)
    page = visitor.reads(long_job)
    page.keyboard.press("Control+f")
    page.locator("#find-what").fill("test")
    page.wait_for_function("(told) => document.querySelector('.find-count').innerText === told", arg=f"1 / {count}")
    size = "(CSS.highlights.get('found')?.size ?? 0) + (CSS.highlights.get('found-here')?.size ?? 0)"
    page.wait_for_function(f"(count) => {size} === count", arg=count)
    page.locator("#find-by").fill("probe")
    page.locator("#replace-all").click()
    page.wait_for_selector(".toast")
    page.wait_for_selector(".to-now")  # the place that was found is not the one that is played
    assert not page.evaluate(COVERED, [".toast", ".to-now"])
    visitor.saved()
    after = flat(segments_of(world, long_job))
    assert [word["word"] for word in after] == [word["word"].replace("test", "probe") for word in before]
    assert [(word["start"], word["end"]) for word in after] == [(word["start"], word["end"]) for word in before]
    page.keyboard.press("Escape")
    page.locator("#undo").click()
    visitor.saved()
    assert [word["word"] for word in flat(segments_of(world, long_job))] == [word["word"] for word in before]


def test_the_first_version_can_always_be_had_again(visit: Callable[..., Visitor], world: World, job: str) -> None:
    before = segments_of(world, job)
    visitor = visit()
    page = visitor.reads(job)
    was = visitor.text()
    edit(page, 0, "Something else")
    visitor.saved()
    page.locator("#versions").click()
    first = page.locator(".version").last
    first.get_by_role("button", name="Show", exact=True).click()
    assert first.locator(".version-text").inner_text() == was
    visitor.shoot("7-versions")
    first.get_by_role("button", name="Go back to it").click()
    page.wait_for_function("(text) => document.querySelector('.seg p').innerText === text", arg=was)
    assert segments_of(world, job) == before == segments_of(world, job, 1)


def test_the_version_that_was_asked_for_last_is_shown_whichever_comes_last(
    visit: Callable[..., Visitor], job: str
) -> None:
    visitor = visit()
    held: list[Route] = []
    page = visitor.reads(job)
    was = visitor.text()
    edit(page, 0, "Something else")
    visitor.saved()

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/transcript?version=1", hold)
    page.locator("#versions").click()
    first, second = page.locator(".version").last, page.locator(".version").first
    for one in (first, second):
        one.get_by_role("button", name="Show", exact=True).click()
    assert second.locator(".version-text").inner_text().startswith("Something else")
    while not held:
        page.wait_for_timeout(10)
    with page.expect_response("**/transcript?version=1"):
        held[0].continue_()
    second.get_by_role("button", name="Show", exact=True).click()
    first.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.version')].at(-1).querySelector('[aria-expanded=true]')"
    )
    assert page.locator(".version-text").count() == 0, "what was closed, or is on its way, is not shown"
    while len(held) < 2:
        page.wait_for_timeout(10)
    held[1].continue_()
    assert first.locator(".version-text").inner_text() == was


def test_of_two_people_at_different_places_both_are_kept(
    visit: Callable[..., Visitor], world: World, long_job: str
) -> None:
    anna, bert = visit(may_fail=True), visit(may_fail=True)
    pages = [one.reads(long_job) for one in (anna, bert)]
    count = len(segments_of(world, long_job))
    last = len(flat(segments_of(world, long_job))) - 1
    edit(pages[0], 0, "Anna was here")
    anna.saved()
    edit(pages[1], last, "Bert was there")
    bert.saved()
    told = [" ".join(word["word"] for word in words) for words in segments_of(world, long_job)]
    assert (told[0], told[-1], len(told)) == ("Anna was here", "Bert was there", count)
    assert "Anna was here" in bert.text()


def test_of_two_people_at_one_place_the_later_one_is_asked(
    visit: Callable[..., Visitor], world: World, job: str
) -> None:
    anna, bert = visit(may_fail=True), visit(may_fail=True)
    pages = [one.reads(job) for one in (anna, bert)]
    edit(pages[0], 0, "Anna was here")
    anna.saved()
    edit(pages[1], 0, "Bert was here")
    pages[1].wait_for_selector('#save-state[data-state="conflict"]')
    bert.shoot("8-conflict")
    assert [word["word"] for word in flat(segments_of(world, job))] == ["Anna", "was", "here"]
    pages[1].get_by_role("button", name="Keep mine").click()
    bert.saved()
    assert [word["word"] for word in flat(segments_of(world, job))] == ["Bert", "was", "here"]
    texts = {
        " ".join(word["word"] for word in flat(segments_of(world, job, one["version"])))
        for one in world.ask(f"/v1/jobs/{job}/versions")["data"]
    }
    assert "Anna was here" in texts


def test_an_edit_survives_a_lost_connection(visit: Callable[..., Visitor], world: World, job: str) -> None:
    visitor = visit(may_fail=True)
    page = visitor.reads(job)
    visitor.context.set_offline(True)
    edit(page, 0, "Nothing is lost")
    page.wait_for_selector('#save-state[data-state="offline"]')
    visitor.context.set_offline(False)
    visitor.saved()
    assert [word["word"] for word in flat(segments_of(world, job))] == ["Nothing", "is", "lost"]


def test_what_is_written_while_the_times_of_the_same_segment_come_is_kept(
    visit: Callable[..., Visitor], world: World, job: str
) -> None:
    """Somebody corrects a segment, and opens it again before the aligner has answered."""
    visitor = visit()
    page = visitor.reads(job)
    held: list[Any] = []
    page.route("**/align", lambda route: route.continue_() if held else held.append(route))
    with page.expect_request("**/align"):
        edit(page, 0, "Once more is written")
    page.keyboard.press("e")
    page.locator("textarea.edit").fill("Once more is written here")
    held[0].continue_()
    visitor.saved()
    assert page.locator("textarea.edit").input_value() == "Once more is written here"
    page.keyboard.press("Enter")
    visitor.saved()
    words = ["Once", "more", "is", "written", "here"]
    assert [word["word"] for word in flat(segments_of(world, job))] == words
    assert visitor.text() == " ".join(words)


def test_what_is_being_written_is_kept_when_the_reader_goes_elsewhere(
    visit: Callable[..., Visitor], world: World, job: str
) -> None:
    from page_world import until

    visitor = visit()
    page = visitor.at("/")
    page.evaluate("(job) => { location.hash = `#/job/${job}`; }", job)
    page.wait_for_selector("#save-state")
    page.locator('[data-w="0"]').focus()
    page.keyboard.press("e")
    page.locator("textarea.edit").fill("Not yet finished")
    page.go_back()
    page.wait_for_selector(".drop")
    until(lambda: [word["word"] for word in flat(segments_of(world, job))] == ["Not", "yet", "finished"], "it is saved")


def test_find_and_replace_goes_on_behind_what_was_replaced(
    visit: Callable[..., Visitor], world: World, job: str
) -> None:
    visitor = visit()
    page = visitor.reads(job)
    edit(page, 0, "a test and a test")
    page.keyboard.press("Control+f")
    page.keyboard.type("test")
    assert page.locator("#find-what").input_value() == "test", "the keyboard is in the field"
    page.evaluate(
        "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', "
        "{key: 'Escape', isComposing: true, bubbles: true, cancelable: true}))"
    )
    page.locator("#find-by").fill("tests")
    replace = page.get_by_role("button", name="Replace", exact=True)
    replace.click()
    page.wait_for_function("() => document.querySelector('.find-count').innerText === '2 / 2'")
    replace.click()
    visitor.saved()
    assert visitor.text() == "a tests and a tests"


def test_the_key_behind_control_f_is_written_into_the_field(visit: Callable[..., Visitor], job: str) -> None:
    """However fast it comes: a letter that is a key of the page would edit the text."""
    visitor = visit()
    page = visitor.reads(job)
    page.locator('[data-w="0"]').focus()
    focused = page.evaluate(
        "() => { document.activeElement.dispatchEvent(new KeyboardEvent('keydown', "
        "{key: 'f', ctrlKey: true, bubbles: true, cancelable: true}));"
        "return Promise.resolve().then(() => document.activeElement.id) }"
    )
    assert focused == "find-what"


def test_keys_of_the_page_work_while_somebody_writes(visit: Callable[..., Visitor], world: World, job: str) -> None:
    visitor = visit()
    page = visitor.reads(job)
    page.locator('[data-w="0"]').focus()
    page.keyboard.press("e")
    page.locator("textarea.edit").fill("Taken out as it is written")
    page.keyboard.press("Control+s")
    page.get_by_label("txt").check()
    with page.expect_download() as taken:
        page.locator("#download").click()
    assert taken.value.path().read_text(encoding="utf-8").split() == ["Taken", "out", "as", "it", "is", "written"]


def test_a_name_is_left_as_it_was_by_escape_and_kept_while_it_is_typed(
    visit: Callable[..., Visitor], world: World, job: str
) -> None:
    visitor = visit()
    page = visitor.reads(job)
    page.locator("button.title").click()
    page.locator("#title").fill("another")
    page.evaluate("dispatchEvent(new CustomEvent('renamed', {detail: 'from elsewhere'}))")  # the head is drawn anew
    page.wait_for_function("() => document.title.startsWith('from elsewhere')")
    assert page.locator("#title").input_value() == "another"
    page.keyboard.press("Escape")
    page.wait_for_selector("button.title")
    assert world.ask(f"/v1/jobs/{job}")["name"] == "speech.flac"


def test_the_text_is_copied_without_https_too(visit: Callable[..., Visitor], job: str) -> None:
    visitor = visit(keeps_toasts=True)
    page = visitor.reads(job)
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.get_by_label("More", exact=True).click()
    page.get_by_role("button", name="Copy the text", exact=True).click()
    page.wait_for_selector(".toast >> text=Copied")


def test_what_is_being_written_stays_when_the_text_gets_another_width(visit: Callable[..., Visitor], job: str) -> None:
    """A window is made smaller, a phone is turned, or the picture of a film comes beside the text."""
    visitor = visit()
    page = visitor.reads(job)
    page.locator('[data-w="0"]').focus()
    page.keyboard.press("e")
    page.locator("textarea.edit").fill("Half a sen")
    width = page.evaluate("document.querySelector('.segs').offsetWidth")
    page.set_viewport_size({"width": 700, "height": 800})
    page.wait_for_function("(width) => document.querySelector('.segs').offsetWidth < width", arg=width)
    page.evaluate("() => new Promise((then) => requestAnimationFrame(() => requestAnimationFrame(then)))")
    page.keyboard.type("tence")
    assert page.locator("textarea.edit").input_value() == "Half a sentence"
    page.keyboard.press("Enter")
    visitor.saved()
    assert visitor.text() == "Half a sentence"
