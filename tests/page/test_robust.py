"""Broken connections, a server that dies, keys, and texts and names that would be code."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright", reason="the page's tests need Playwright: scripts/page_env.sh install, then test")

from page_world import HANG_MS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from page_world import Visitor, World

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    '"><svg onload=alert(1)>',
    "javascript:alert(1)",
    "${alert(1)}{{alert(1)}}",
    "</p></article><iframe src=javascript:alert(1)>",
]


def test_an_upload_goes_on_where_the_connection_broke(
    visit: Callable[..., Visitor], world: World, kit: Path, tmp_path: Path
) -> None:
    """Of a file of three pieces the second one's connection breaks, twice: nothing that arrived is sent again."""
    visitor = visit(may_fail=True)
    page = visitor.at()
    piece = page.evaluate(
        "async () => (await import(new URL('uploads.js', document.querySelector('script[src]').src))).PIECE"
    )
    file = tmp_path / "broken off.flac"  # no other test's job has this name
    file.write_bytes((kit.parent / "tts" / "long_10min.flac").read_bytes()[: 2 * piece + 1])
    assert file.stat().st_size == 2 * piece + 1
    sent: list[int] = []

    def broken(route: Any) -> None:
        if route.request.method == "PATCH":
            sent.append(int(route.request.headers["upload-offset"]))
            if len(sent) in (2, 3):
                route.abort("connectionreset")
                return
        route.continue_()

    page.route("**/v1/uploads/**", broken)
    page.wait_for_selector("#files", state="attached")
    visitor.drop(file)
    job = page.locator("a.job", has_text=file.name)
    job.wait_for(timeout=HANG_MS)
    assert sent == [0, piece, piece, piece, 2 * piece]
    place = f"/v1/jobs/{(job.get_attribute('href') or '').rpartition('/')[2]}"
    with urllib.request.urlopen(world.base + world.ask(f"{place}/media-link", "POST")["url"]) as kept:
        assert kept.read() == file.read_bytes()
    world.ask(place, "DELETE")


def test_a_recording_is_opened_as_soon_as_there_is_a_connection(
    visit: Callable[..., Visitor], world: World, kit: Path
) -> None:
    """Its job, and then its transcript, are each asked for twice in vain."""
    job = world.transcribed(kit / "cv_en_22058267.mp3")
    visitor = visit(may_fail=True)
    asked: list[str] = []

    def broken(route: Any) -> None:
        asked.append(route.request.url)
        if asked.count(asked[-1]) < 3:
            route.abort("connectionreset")
        else:
            route.continue_()

    for path in ("", "/transcript"):
        visitor.page.route(f"**/v1/jobs/{job}{path}", broken)
    page = visitor.at(f"/#/job/{job}")
    page.wait_for_selector("[role=alert] >> text=The server does not answer")
    page.wait_for_selector("#save-state")
    assert visitor.text() == world.done(job)["transcript"]["text"].strip()
    assert page.locator("[role=alert]").count() == 0


@pytest.mark.timeout(1800)
def test_a_server_that_is_killed_in_mid_job_goes_on_and_so_does_the_page(
    visit: Callable[..., Visitor], kit: Path, tmp_path: Path
) -> None:
    from page_world import World

    with World(tmp_path) as served:
        # However much a machine is done with until it is stopped.
        for name, minutes in (("long_10min.flac", 5), ("long_10min.flac", 10), ("long_60min.opus", 60)):
            visitor = visit(served, may_fail=True)
            job = served.add(kit.parent / "tts" / name, options=f'{{"clips": [[0, {60 * minutes}]]}}')
            page = visitor.at(f"/#/job/{job}")
            page.wait_for_selector(".w", timeout=HANG_MS)
            served.stop()
            if not page.locator("#save-state").count():
                break
            served.start()
        assert page.locator("#save-state").count() == 0
        page.wait_for_selector("text=The server does not answer")
        served.start()
        segments = served.done(job)["transcript"]["segments"]
        page.wait_for_selector("#save-state")
        assert page.evaluate("document.querySelector('.seg').getAttribute('aria-setsize')") == str(len(segments))
        page.evaluate("document.querySelector('.scroller').scrollTop = 0")
        assert page.locator('[aria-posinset="1"] p').inner_text() == segments[0]["text"]


def test_a_key_is_asked_for_once_and_kept_in_the_session_alone(
    visit: Callable[..., Visitor], kit: Path, tmp_path: Path
) -> None:
    from page_world import World

    with World(tmp_path, key="sk-secret") as served:
        job = served.transcribed(kit / "jfk.flac")
        visitor = visit(served, may_fail=True)
        page = visitor.at()
        page.locator("#key").fill("sk-wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=That key is not known here")
        page.locator("#key").fill("sk-secret")
        page.keyboard.press("Enter")
        page.wait_for_selector("a.job")
        page.reload()
        page.wait_for_selector("a.job")
        assert page.locator("#key").count() == 0
        visitor.reads(job)
        page.locator('[data-w="3"]').click()
        visitor.played()
        kept = page.evaluate(
            "[JSON.stringify(localStorage), document.cookie, document.documentElement.outerHTML, location.href].join()"
        )
        assert "sk-secret" not in kept
        assert "sk-secret" in page.evaluate("JSON.stringify(sessionStorage)")
        other = visitor.context.new_page()
        other.goto(served.base)
        other.wait_for_selector("#key")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_name_and_no_text_is_ever_code(visit: Callable[..., Visitor], world: World, kit: Path, hostile: str) -> None:
    job = world.transcribed(kit / "cv_en_22058267.mp3", hostile)
    words = [{"word": word, "start": 0.1 + at / 10, "end": 0.15 + at / 10} for at, word in enumerate(hostile.split())]
    count = len(world.ask(f"/v1/jobs/{job}/transcript")["transcript"]["segments"])
    edits = [{"from": 0, "to": count, "segments": [{"language_code": "en", "words": words}]}]
    world.ask(f"/v1/jobs/{job}/transcript", "PATCH", {"edits": edits, "author": hostile}, {"If-Match": '"1"'})
    visitor = visit()
    page = visitor.reads(job)
    assert page.locator(".seg p").first.inner_text() == hostile
    assert page.locator("button.title").inner_text() == hostile
    page.locator("#search").fill(hostile.split(maxsplit=1)[0].strip("<>\"'$/{}")[:20] or "alert")
    page.wait_for_selector(".hit, .side .empty")
    page.locator("#versions").click()
    page.wait_for_selector(".version >> nth=1")
    page.locator(".version").first.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_selector(".version-text")
    page.keyboard.press("Escape")
    page.locator("#export").click()
    page.wait_for_selector(".preview")
    with page.expect_download():
        page.locator("#download").click()
    assert (
        page.evaluate("document.querySelectorAll('script:not([src]), iframe, img[onerror], svg[onload]').length") == 0
    )
    assert page.locator("img").count() == 1


def test_a_recording_from_the_microphone_becomes_a_job(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.at()
    page.get_by_role("button", name="Record").click()
    page.wait_for_function("() => /[1-9]/.test(document.querySelector('.recording span')?.textContent)")
    page.get_by_role("button", name="Stop and transcribe").click()
    page.wait_for_selector("a.job >> text=Recording")


def test_what_is_taken_out_as_an_archive_has_every_transcript(
    visit: Callable[..., Visitor], world: World, kit: Path
) -> None:
    import zipfile

    names = {f"part {at}" for at in range(2)}
    for name in names:
        world.transcribed(kit / "cv_en_22058267.mp3", name)
    visitor = visit()
    page = visitor.at()
    page.wait_for_selector("a.job")
    page.get_by_label("More about the list").click()
    page.get_by_role("button", name="Download these").click()
    page.locator("dialog").get_by_label("srt").check()
    with page.expect_download() as taken:
        page.get_by_role("button", name="Download", exact=True).click()
    with zipfile.ZipFile(taken.value.path()) as found:
        texts = [name for name in found.namelist() if name.endswith(".txt")]
        assert all(any(name in one for one in texts) for name in names)


def test_one_is_renamed_and_deleted(visit: Callable[..., Visitor], world: World, kit: Path) -> None:
    from page_world import HTTPError

    job = world.transcribed(kit / "cv_en_22058267.mp3", "old name")
    visitor = visit(may_fail=True)
    page = visitor.reads(job)
    page.locator("button.title").click()
    page.locator("#title").fill("new name")
    page.keyboard.press("Enter")
    page.wait_for_selector("a.job >> text=new name")
    assert world.ask(f"/v1/jobs/{job}")["name"] == "new name"
    page.get_by_label("More", exact=True).click()
    page.get_by_role("button", name="Delete").click()
    page.locator("#delete").click()
    page.wait_for_selector(f'a.job[href="#/job/{job}"]', state="detached")
    with pytest.raises(HTTPError):
        world.ask(f"/v1/jobs/{job}")
