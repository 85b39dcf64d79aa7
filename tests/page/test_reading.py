"""Somebody puts a recording in, watches words come, and reads along."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright", reason="the page's tests need Playwright: scripts/page_env.sh install, then test")

from page_world import HANG_MS, ROOT, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from page_world import Visitor, World
    from playwright.sync_api import Page

Visit = "Callable[..., Visitor]"


@pytest.fixture(scope="module")
def talk(world: World, kit: Path) -> str:
    """A job that is done: 42 seconds, several sentences."""
    return world.transcribed(kit / "az_en-US_test_audio.opus", "talk.opus")


def words_of(world: World, job: str) -> list[dict[str, Any]]:
    return [word for segment in world.done(job)["transcript"]["segments"] for word in segment["words"]]


SHOWN = "(count) => document.querySelector('.seg')?.getAttribute('aria-setsize') === String(count)"
"""Whether the text has so many segments."""


def segments_told(world: World, job: str) -> int:
    """How many segments the events of a job that is stopped have told of, since it was last begun anew."""
    until(lambda: world.ask(f"/v1/jobs/{job}")["state"] == "cancelled", "it is stopped")
    told = [line for line in world.ask(f"/v1/jobs/{job}/events").splitlines() if line.startswith("event: ")]
    behind = told[len(told) - told[::-1].index("event: restart") :] if "event: restart" in told else told
    return behind.count("event: segment")


def from_the_top(page: Page) -> str:
    """The first segment's text, seen by whoever scrolls up to it."""
    page.evaluate("document.querySelector('.scroller').scrollTop = 0")
    return page.locator('[aria-posinset="1"] p').inner_text()


def test_a_dropped_recording_is_sent_its_words_come_and_it_can_be_played(
    visit: Callable[..., Visitor], kit: Path, world: World
) -> None:
    visitor = visit()
    page = visitor.at()
    page.wait_for_selector("#files", state="attached")
    visitor.shoot("1-start")
    visitor.drop(kit / "az_en-US_test_audio.opus")
    page.locator("a.job", has_text="az_en-US_test_audio.opus").first.click()
    page.wait_for_selector(".w", timeout=HANG_MS)
    page.wait_for_selector("#save-state", timeout=HANG_MS)
    job = page.url.rpartition("/")[2]
    kept = words_of(world, job)
    assert page.locator(".w").count() == len(kept)
    word = page.locator(".w").nth(20)
    assert abs(visitor.sought(word.click) - kept[20]["start"]) <= 0.05
    visitor.played()
    visitor.shoot("2-reading")


def test_words_appear_while_they_are_recognised(visit: Callable[..., Visitor], kit: Path, world: World) -> None:
    """Of an hour, so that no machine is done with it before it is stopped. Tried again, the same words stay, each of them once."""
    visitor = visit()
    job = world.add(kit.parent / "tts" / "long_60min.opus", "an hour.opus")
    page = visitor.at(f"/#/job/{job}")
    cancelled = f'a.job[href="#/job/{job}"] .state.cancelled'
    page.wait_for_selector(".w", timeout=HANG_MS)
    page.wait_for_selector("#progress .meter")
    visitor.shoot("3-words-come")
    assert page.locator("#save-state").count() == 0
    page.get_by_label("More", exact=True).click()
    page.get_by_role("button", name="Stop").click()
    page.wait_for_selector(cancelled)
    shown = segments_told(world, job)
    page.wait_for_function(SHOWN, arg=shown)
    first = from_the_top(page)
    page.get_by_label("More", exact=True).click()
    page.get_by_role("button", name="Try again").click()
    page.wait_for_function(
        "(shown) => Number(document.querySelector('.seg').getAttribute('aria-setsize')) > shown",
        arg=shown,
        timeout=HANG_MS,
    )
    page.get_by_label("More", exact=True).click()
    page.get_by_role("button", name="Stop").click()
    page.wait_for_selector(cancelled)
    page.wait_for_function(SHOWN, arg=segments_told(world, job))
    assert from_the_top(page) == first
    visitor.leave()
    world.forget(job)


@pytest.mark.parametrize("state", ["running", "done"])
def test_a_job_tried_again_is_followed_however_far_it_is_when_the_answer_comes(
    visit: Callable[..., Visitor], kit: Path, world: World, busy: list[str], state: str
) -> None:
    """Cancelled in the queue; the answer to "Try again" is held until the job is that far."""
    visitor = visit()
    page = visitor.at()
    job = world.add(kit / "az_en-US_test_audio.opus", "tried again.opus")
    world.stopped(job)
    for one in busy:
        world.stopped(one)

    def late(route: Any) -> None:
        answer = route.fetch()
        until(lambda: world.ask(f"/v1/jobs/{job}")["state"] in (state, "done"), f"the job is {state}")
        route.fulfill(response=answer)

    page.route(f"**/v1/jobs/{job}/retry", late)
    page = visitor.at(f"/#/job/{job}")
    page.wait_for_selector(".state.cancelled")
    page.get_by_label("More", exact=True).click()
    page.get_by_role("button", name="Try again").click()
    page.wait_for_selector("#save-state", timeout=HANG_MS)
    segments = world.done(job)["transcript"]["segments"]
    assert page.locator(".seg").first.get_attribute("aria-setsize") == str(len(segments))
    visitor.leave()  # before the busy ones are forgotten


@pytest.mark.parametrize("at", [0, 7, 33, 60])
def test_a_click_on_a_word_plays_from_it(visit: Callable[..., Visitor], world: World, talk: str, at: int) -> None:
    visitor = visit()
    page = visitor.reads(talk)
    start = words_of(world, talk)[at]["start"]
    page.wait_for_function("() => document.querySelector('video').readyState >= 3")
    page.evaluate("""() => { const media = document.querySelector('video'); media.play = () => Promise.resolve(); }""")
    page.locator(f'[data-w="{at}"]').click()
    assert abs(visitor.time() - start) <= 0.05
    page.wait_for_selector(f'.w.now[data-w="{at}"]')
    assert page.locator(".w.now").count() == 1


def test_the_spoken_word_is_marked_and_kept_in_view(visit: Callable[..., Visitor], world: World, talk: str) -> None:
    visitor = visit(viewport={"width": 700, "height": 480})
    page = visitor.reads(talk)
    words = words_of(world, talk)
    page.locator('[data-w="0"]').click()
    last = len(words) - 2
    for at in (5, len(words) // 2, last):
        if at == last:  # which stands still: its end, where no word is spoken, is near
            page.evaluate("document.querySelector('video').pause()")
        middle = (words[at]["start"] + words[at]["end"]) / 2
        page.evaluate("(time) => { document.querySelector('video').currentTime = time; }", middle)
        page.wait_for_function("(at) => Number(document.querySelector('.w.now')?.dataset.w) >= at", arg=at)
        page.wait_for_function(
            "() => { const [word, box] = ['.w.now', '.scroller'].map((one) => document.querySelector(one)?.getBoundingClientRect());"
            " return word && word.top >= box.top && word.bottom <= box.bottom; }"
        )
    assert page.locator(".w.now").get_attribute("data-w") == str(last)
    assert page.locator(".w.now").count() == 1


def select(page: Page, first: int, last: int) -> None:
    """These words and those between them, as with the mouse."""
    page.evaluate(
        """([first, last]) => { const [from, to] = [first, last].map((at) => document.querySelector(`[data-w="${at}"]`).firstChild);
          document.getSelection().setBaseAndExtent(from, 0, to, to.length); }""",
        [first, last],
    )


def test_speed_skips_and_a_loop(visit: Callable[..., Visitor], world: World, talk: str) -> None:
    visitor = visit()
    page = visitor.reads(talk)
    page.wait_for_function("() => document.querySelector('video').readyState >= 3")
    page.get_by_label("Speed").select_option("2.5")
    assert page.evaluate(
        "[document.querySelector('video').playbackRate, document.querySelector('video').preservesPitch]"
    ) == [2.5, True]
    page.keyboard.press("l")
    page.keyboard.press("l")
    assert visitor.time() == pytest.approx(10)
    page.keyboard.press("j")
    assert visitor.time() == pytest.approx(5)
    page.wait_for_function("() => document.querySelector('.times').innerText === '0:05 / 0:42'")
    words = words_of(world, talk)
    select(page, 8, 10)
    page.keyboard.press("o")
    page.wait_for_selector('#loop[aria-pressed="true"]')
    # How far it comes until the page is told where it is depends on the machine; then it is in the loop.
    seen = page.evaluate(
        """() => new Promise((then) => { const [media, seen] = [document.querySelector('video'), []]; let turns = 0;
          media.addEventListener('timeupdate', () => seen.push(media.currentTime));
          media.addEventListener('seeking', () => { turns += 1; if (turns === 3) then(seen); }); })"""
    )
    assert len(seen) > 1
    assert words[8]["start"] - 0.3 <= min(seen)
    assert max(seen) <= words[10]["end"]


def test_a_loop_goes_on_where_the_recording_ends_before_the_page_is_told_its_time(
    visit: Callable[..., Visitor], world: World, talk: str
) -> None:
    """As on a busy machine, or in a loop that ends where the recording does."""
    visitor = visit()
    page = visitor.reads(talk)
    page.wait_for_function("() => document.querySelector('video').readyState >= 3")
    select(page, 8, 10)
    page.keyboard.press("o")
    page.wait_for_selector('#loop[aria-pressed="true"]')
    start = words_of(world, talk)[8]["start"]
    went = page.evaluate(
        """() => new Promise((then) => { const media = document.querySelector('video'); let isOver = false;
          addEventListener('timeupdate', (event) => event.stopImmediatePropagation(), { capture: true });
          media.addEventListener('ended', () => { isOver = true; });
          media.addEventListener('seeking', () => isOver && then([media.currentTime, media.paused]));
          media.currentTime = media.duration; })"""
    )
    assert went == [pytest.approx(start, abs=0.05), False]


def test_doubt_is_shown_by_more_than_colour_and_can_be_gone_through(
    visit: Callable[..., Visitor], world: World, talk: str
) -> None:
    visitor = visit()
    page = visitor.reads(talk)
    doubtful = [at for at, word in enumerate(words_of(world, talk)) if word["probability"] < 0.8]
    assert doubtful
    lines = page.eval_on_selector_all(
        ".w.low, .w.mid", "(all) => all.map((one) => getComputedStyle(one).textDecorationLine)"
    )
    assert len(lines) == len(doubtful)
    assert set(lines) == {"underline"}
    page.locator('[data-w="0"]').focus()
    for at in [one for one in doubtful if one][:3]:
        page.keyboard.press("n")
        assert page.evaluate("document.activeElement.dataset.w") == str(at)
    assert "not sure" in page.locator("#word-info").inner_text()
    page.get_by_label("View", exact=True).click()
    page.get_by_label("Show how times were found").check()
    page.get_by_label("Show pauses").check()
    visitor.shoot("4-legend")
    page.keyboard.press("Escape")
    signs = page.eval_on_selector_all(".seg .w", "(all) => all.map((one) => getComputedStyle(one, '::after').content)")
    assert len(signs) == len(words_of(world, talk))
    assert all(len(sign.strip('"')) == 1 for sign in signs)


_FILM = """
import sys, av
sound, target, picture_codec, sound_codec = sys.argv[1:]
with av.open(sound) as said, av.open(target, "w") as film:
    pictures, told = film.add_stream(picture_codec, rate=10), film.add_stream(sound_codec, rate=48000, layout="stereo")
    pictures.width, pictures.height, pictures.pix_fmt = 320, 180, "yuv420p"
    resampler = av.AudioResampler(format=told.codec_context.format, layout="stereo", rate=48000, frame_size=told.codec_context.frame_size or 960)
    for frame in said.decode(audio=0):
        for part in resampler.resample(frame):
            film.mux(told.encode(part))
    for part in resampler.resample(None):
        film.mux(told.encode(part))
    film.mux(told.encode(None))
    for at in range(110):
        frame = av.VideoFrame(320, 180, "yuv420p")
        for plane, shade in zip(frame.planes, (16 + 2 * at, 100 + at, 220 - at)):
            plane.update(bytes([shade]) * plane.buffer_size)
        frame.pts = at
        film.mux(pictures.encode(frame))
    film.mux(pictures.encode(None))
"""


def make_film(sound: Path, target: Path, codecs: tuple[str, str]) -> None:
    """Pictures that change, with this sound: by the library that the server decodes with."""
    command = [ROOT / ".venv" / "bin" / "python", "-c", _FILM, sound, target, *codecs]
    subprocess.run([str(part) for part in command], check=True)


def test_a_video_is_seen_beside_its_text(
    visit: Callable[..., Visitor], world: World, kit: Path, tmp_path: Path
) -> None:
    film = tmp_path / "film.webm"
    make_film(kit / "jfk.flac", film, ("libvpx", "libopus"))
    visitor = visit()
    job = world.transcribed(film)
    page = visitor.reads(job)
    page.wait_for_selector(".video video", state="visible")
    page.wait_for_function("() => document.querySelector('video').readyState >= 2")
    # It stands still: a film of eleven seconds may be over before a busy machine has drawn the dialog.
    page.evaluate("(time) => { document.querySelector('video').currentTime = time; }", words_of(world, job)[4]["start"])
    page.locator("#export").click()
    page.wait_for_selector("#caption")
    page.get_by_label("Characters in a line").fill("16")
    page.wait_for_function(
        "() => document.querySelector('#caption')?.textContent.split('\\n').every((line) => line.length <= 16)"
    )
    visitor.shoot("5-export")


def test_what_a_browser_cannot_play_is_decoded_for_it(visit: Callable[..., Visitor], world: World, kit: Path) -> None:
    """A programme stream of MPEG-1, which no browser plays: its sound comes as WAV, and words are where they are.
    However long the browser takes to find out: an hour passes whenever the page looks at the clock."""
    job = world.transcribed(kit / "grid_bbaf2n.mpg")
    visitor = visit()
    visitor.context.add_init_script("let at = Date.now(); Date.now = () => (at += 3.6e6);")
    page = visitor.reads(job)
    page.wait_for_function("() => document.querySelector('video').readyState >= 3")
    page.locator('[data-w="1"]').click()
    page.wait_for_function("() => document.querySelector('video').currentTime > 0.3")
    start = words_of(world, job)[1]["start"]
    page.evaluate("() => document.querySelector('video').pause()")
    page.locator('[data-w="1"]').focus()
    assert abs(visitor.sought(lambda: page.keyboard.press("Enter")) - start) <= 0.05
    assert "format=wav" in page.evaluate("document.querySelector('video').currentSrc")
    assert page.locator(".player-problem").count() == 0


def test_a_word_is_played_though_the_length_of_the_recording_is_not_known_yet(
    visit: Callable[..., Visitor], world: World, kit: Path, busy: list[str]
) -> None:
    """Opened while the job waits, and the recording comes when its words have."""
    job = world.add(kit / "jfk.flac", "unknown length.flac")
    visitor = visit()
    held: list[Any] = []

    def hold(route: Any) -> None:
        held.append(route)

    visitor.page.route(f"**/v1/jobs/{job}/media-link", hold)
    page = visitor.at(f"/#/job/{job}")
    page.wait_for_selector("#progress .state.queued")
    for one in busy:
        world.stopped(one)
    page.wait_for_selector("#save-state", timeout=HANG_MS)
    start = words_of(world, job)[5]["start"]
    assert start > 1
    page.locator('[data-w="5"]').click()
    held[0].continue_()
    visitor.played()
    assert visitor.time() >= start - 0.05
    visitor.leave()  # before the busy ones are forgotten


def test_a_search_finds_words_and_leads_to_them(visit: Callable[..., Visitor], world: World, talk: str) -> None:
    visitor = visit()
    page = visitor.at()
    page.locator("#search").fill("utterances")
    page.locator("a.hit", has_text="utterances").first.click()
    page.wait_for_selector(".w")
    found = next(one for one in world.done(talk)["transcript"]["segments"] if "utterances" in one["text"])
    page.wait_for_function(
        "(start) => Math.abs((document.querySelector('video')?.currentTime ?? -1) - start) <= 0.05",
        arg=found["words"][0]["start"],
    )
    assert "utterances" in page.locator(".seg p", has_text="utterances").first.inner_text()


def test_a_thousand_jobs_are_a_list_of_few_rows(visit: Callable[..., Visitor]) -> None:
    """They are the service's answer, not its work: what is tried is the list."""
    visitor = visit()
    one = {
        "object": "transcription.job",
        "state": "done",
        "model": "tiny.en",
        "priority": 0,
        "notes": [],
        "attempts": {},
    }
    jobs = [
        one
        | {
            "id": f"{at:032x}",
            "name": f"recording {at}",
            "created_at": 2e9 - at,
            "progress": {"audio_s": 60, "total_s": 60},
        }
        for at in range(1000)
    ]

    def answer(route: Any) -> None:
        url = route.request.url
        after = next((at + 1 for at, job in enumerate(jobs) if f"before={job['id']}" in url), 0)
        limit = 200 if "limit=200" in url else 50
        data = jobs[after : after + limit]
        route.fulfill(json={"object": "list", "data": data, "has_more": after + limit < len(jobs)})

    visitor.page.route("**/v1/jobs?*", answer)
    page = visitor.at()
    page.wait_for_function("() => document.querySelector('.jobs-canvas')?.offsetHeight === 72000")
    assert page.locator("a.job").count() < 40
    page.evaluate("document.querySelector('.jobs').scrollTop = 72000")
    page.wait_for_selector("text=recording 999")
    assert page.locator("a.job").count() < 40
