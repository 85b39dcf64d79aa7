"""Somebody puts recordings in: many ways in, options, a queue, a list that is sorted and filtered; and no foreign page does."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright", reason="the page's tests need Playwright: scripts/page_env.sh install, then test")

from page_world import HANG_MS, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from page_world import Visitor, World

SHORT = "cv_en_22058267.mp3"


@pytest.fixture
def interviews(tmp_path: Path, kit: Path) -> Path:
    """A folder with two recordings, one of them a level below, and what is none."""
    folder = tmp_path / f"Interviews {tmp_path.name[-8:]}"
    (folder / "May" / ".git").mkdir(parents=True)
    (folder / "one.mp3").write_bytes((kit / SHORT).read_bytes())
    (folder / "May" / "two.flac").write_bytes((kit / "jfk.flac").read_bytes())
    (folder / "notes.txt").write_text("no recording", encoding="utf-8")
    (folder / "May" / ".git" / "hidden.mp3").write_bytes(b"")
    return folder


def named(world: World, name: str) -> list[dict[str, Any]]:
    return [job for job in world.ask("/v1/jobs?limit=200")["data"] if job["name"] == name]


def in_folder(world: World, folder: Path) -> set[tuple[str, str]]:
    return {
        (job["folder"], job["name"])
        for job in world.ask("/v1/jobs?limit=200")["data"]
        if (job.get("folder") or "").split("/")[0] == folder.name
    }


def expected(folder: Path) -> set[tuple[str, str]]:
    return {(folder.name, "one.mp3"), (f"{folder.name}/May", "two.flac")}


def listed(visitor: Visitor, names: list[str]) -> None:
    """The list shows these, in this order."""
    visitor.page.wait_for_function(
        "(names) => JSON.stringify([...document.querySelectorAll('a.job .name')].map((one) => one.textContent)) === JSON.stringify(names)",
        arg=names,
    )


def test_a_folder_that_is_chosen_is_sent_with_what_is_below_it(
    visit: Callable[..., Visitor], world: World, interviews: Path
) -> None:
    visitor = visit()
    page = visitor.at()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a folder").click()
    chooser.value.set_files(interviews)
    page.locator("a.job", has_text=f"{interviews.name}/May/").first.wait_for(timeout=HANG_MS)
    until(lambda: len(in_folder(world, interviews)) == 2, "both are jobs")
    assert in_folder(world, interviews) == expected(interviews)


def test_a_folder_that_is_dropped_is_sent_with_what_is_below_it(
    visit: Callable[..., Visitor], world: World, interviews: Path
) -> None:
    """As a file manager drops it: the browser is told the folder's path, the page gets entries to go through."""
    visitor = visit()
    page = visitor.at()
    page.wait_for_selector("#files", state="attached")
    session = visitor.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        dragged = {"items": [], "files": [str(interviews)], "dragOperationsMask": 1}
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 800, "y": 300, "data": dragged})
        if kind == "dragOver":
            page.wait_for_selector(".cover")
    page.locator("a.job", has_text=f"{interviews.name}/May/").first.wait_for(timeout=HANG_MS)
    until(lambda: len(in_folder(world, interviews)) >= 2, "both are jobs")
    assert in_folder(world, interviews) == expected(interviews)
    assert page.locator(".cover").count() == 0


def test_a_recording_that_is_pasted_is_sent(visit: Callable[..., Visitor], world: World, kit: Path) -> None:
    visitor = visit()
    page = visitor.at()
    page.wait_for_selector("#files", state="attached")
    page.evaluate(
        """(content) => { const data = new DataTransfer();
          data.items.add(new File([Uint8Array.from(content)], "from the clipboard.mp3", { type: "audio/mpeg" }));
          document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })); }""",
        list((kit / SHORT).read_bytes()),
    )
    page.locator("a.job", has_text="from the clipboard.mp3").wait_for(timeout=HANG_MS)
    (job,) = named(world, "from the clipboard.mp3")
    assert world.done(job["id"])["transcript"]["segments"]


def test_options_go_with_what_is_put_in_and_stay(visit: Callable[..., Visitor], world: World, kit: Path) -> None:
    visitor = visit()
    page = visitor.at()
    page.locator(".options select").nth(0).select_option("en")
    quality = page.locator(".options label", has_text="Quality").locator("select")
    quality.select_option("fast")
    for name, wanted in {"txt": False, "srt": False, "vtt": True, "words": True}.items():
        page.locator(f'.chip input[value="{name}"]').set_checked(wanted)
    page.reload()
    page.wait_for_selector("#files", state="attached")
    assert quality.input_value() == "fast"
    with page.expect_request(lambda asked: asked.method == "POST" and asked.url.endswith("/v1/jobs")) as sent:
        page.locator("#files").set_input_files(
            files=[{"name": "with options.mp3", "mimeType": "audio/mpeg", "buffer": (kit / SHORT).read_bytes()}]
        )
    told = sent.value.post_data_json
    assert (told["language"], told["options"]) == ("en", {"quality": "fast"})
    page.locator("a.job", has_text="with options.mp3").click()
    page.wait_for_selector("#save-state", timeout=HANG_MS)
    page.locator("#export").click()
    assert page.locator('input[name="format"]:checked').input_value() == "vtt"
    with page.expect_download() as taken:
        page.locator("#download-all").click()
    assert taken.value.suggested_filename == "with options.zip"
    with zipfile.ZipFile(taken.value.path()) as found:
        assert sorted(found.namelist()) == ["with options.vtt", "with options.words.json"]


def test_the_list_is_sorted_and_filtered_and_a_folder_comes_as_one_archive(
    visit: Callable[..., Visitor], world: World, kit: Path, tmp_path: Path
) -> None:
    folder = f"Sorted {tmp_path.name[-8:]}"
    broken = tmp_path / "broken.flac"
    broken.write_text("this is no sound", encoding="utf-8")
    put = {
        "b middle.flac": kit / "jfk.flac",
        "a short.mp3": kit / SHORT,
        "c long.opus": kit / "az_en-US_test_audio.opus",
        "d broken.flac": broken,
    }
    jobs = [world.add(path, name, folder=folder) for name, path in put.items()]
    for job in jobs:
        until(lambda job=job: world.ask(f"/v1/jobs/{job}")["state"] in ("done", "failed"), "the job is over")
    visitor = visit()
    page = visitor.at()
    page.get_by_label("Show", exact=True).select_option(label=f"{folder}/")
    for order, names in {"name": "abcd", "oldest": "bacd", "newest": "dcab", "longest": "cbad"}.items():
        page.get_by_label("Order").select_option(order)
        listed(visitor, [next(name for name in put if name.startswith(one)) for one in names])
    page.get_by_label("More about the list").click()
    page.get_by_role("button", name="Download these").click()
    page.wait_for_selector("dialog >> text=Download 3 transcripts")
    assert page.locator("dialog input:checked").count() == 2
    visitor.shoot("13-archive")
    with page.expect_download() as taken:
        page.get_by_role("button", name="Download", exact=True).click()
    with zipfile.ZipFile(taken.value.path()) as found:
        assert {name.rpartition("/")[2] for name in found.namelist()} == {
            f"{stem}.{suffix}" for stem in ("a short", "b middle", "c long") for suffix in ("txt", "srt")
        }
    page.wait_for_selector("dialog", state="detached")
    page.get_by_label("Show", exact=True).select_option("failed")
    page.locator("a.job", has_text="d broken.flac").first.wait_for()
    assert not page.locator("a.job", has_text="c long.opus").count()
    page.get_by_label("Show", exact=True).select_option("done")
    page.locator("a.job", has_text="c long.opus").first.wait_for()
    assert not page.locator("a.job", has_text="d broken.flac").count()


def test_a_job_that_waits_says_so_and_what_happens_to_it_elsewhere_is_seen(
    visit: Callable[..., Visitor], world: World, kit: Path, busy: list[str]
) -> None:
    """Opened while it waits; stopped, and tried again, in another tab; done: nothing is loaded anew."""
    before = world.add(kit / SHORT, "before it.mp3")
    job = world.add(kit / "jfk.flac", "opened.flac")
    visitor = visit()
    page = visitor.at(f"/#/job/{job}")
    page.wait_for_selector("#progress .state.queued")
    page.wait_for_selector("#progress >> text=1 before it")
    page.wait_for_selector(f'a.job[href="#/job/{job}"] >> text=1 before it')
    world.ask(f"/v1/jobs/{job}", "DELETE")
    page.wait_for_selector("#progress", state="detached")
    page.wait_for_selector(f'a.job[href="#/job/{job}"] .state.cancelled')
    world.ask(f"/v1/jobs/{job}/retry", "POST")
    page.wait_for_selector("#progress .state.queued")
    world.ask(f"/v1/jobs/{before}", "DELETE")
    world.ask(f"/v1/jobs/{busy[0]}", "DELETE")
    page.wait_for_selector("#save-state", timeout=HANG_MS)
    assert visitor.text() == " ".join(one["text"] for one in world.done(job)["transcript"]["segments"])
    visitor.leave()  # before the busy ones are forgotten


def test_a_page_from_elsewhere_can_put_nothing_in_and_read_nothing(browser: Any, world: World, kit: Path) -> None:
    """A form and a request across sites, as any page may send them to this machine. (Before anything is read:
    tests/integration/test_server_gate.py, test_a_page_from_elsewhere_is_refused_before_anything_is_read.)"""
    context = browser.new_context()
    page = context.new_page()
    page.route("http://evil.example/**", lambda route: route.fulfill(content_type="text/html", body="<p>Win a prize"))
    page.goto("http://evil.example/")
    seen: list[int] = []
    page.on("response", lambda answer: seen.append(answer.status) if answer.url.startswith(world.base) else None)
    told = page.evaluate(
        """async ([base, content]) => { const form = new FormData();
          form.set("file", new File([Uint8Array.from(content)], "planted.mp3"));
          const ask = (path, options) => fetch(base + path, options).then((answer) => answer.type, () => "refused");
          return [await ask("/v1/jobs", { method: "POST", mode: "no-cors", body: form }), await ask("/v1/jobs"),
            await ask("/v1/jobs", { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" })]; }""",
        [world.base, list((kit / SHORT).read_bytes())],
    )
    context.close()
    assert told[1:] == ["refused", "refused"]
    assert set(seen) <= {403}
    assert not named(world, "planted.mp3")
