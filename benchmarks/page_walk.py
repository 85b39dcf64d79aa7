"""A recording from drop to export, as somebody at a desk and somebody with a phone does it, with pictures of each step:

    scripts/page_env.sh run python benchmarks/page_walk.py --recording TALK [--model base] [--pictures DIR]

Put in, watched while words come, read along, mended (an edited sentence, find and replace, undo, a version looked at),
exported as SRT with settings; the file is held against the text on the page. Each size is walked in the light and seen
in the dark. How long a person waited for each step is printed: look at the pictures for the rest.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "page"))

from page_world import CHROMIUM, Visitor, World  # noqa: E402 - it lies there

if TYPE_CHECKING:
    from collections.abc import Iterator

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
LINE, LINES = 32, 2
MOST_S = 900


class Walk:
    """One visitor with one recording."""

    def __init__(self, visitor: Visitor, recording: Path, name: str, pictures: Path) -> None:
        self.visitor, self.recording, self.name, self.pictures = visitor, recording, name, pictures
        self.page, self.took, self.count = visitor.page, dict[str, float](), 0
        self.page.set_default_timeout(60_000)

    def shoot(self, what: str) -> None:
        self.count += 1
        self.pictures.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=self.pictures / f"{self.name}-{self.count:02}-{what}.png")

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.took[step] = round(time.monotonic() - began, 2)

    def put_in(self) -> str:
        """Its job's id, once all of it is there to read."""
        page = self.visitor.at()
        page.wait_for_selector("#files", state="attached")
        self.shoot("start")
        row = page.locator("a.job", has_text=self.recording.name).first
        with self.timed("put in"):
            if self.name.startswith("phone"):
                page.locator("#files").set_input_files(self.recording)
            else:
                self.visitor.drop(self.recording)
            row.wait_for()
        with self.timed("first words"):
            row.click()
            page.wait_for_selector(".w", timeout=MOST_S * 1000)
        self.shoot("words-come")
        with self.timed("all words"):
            page.wait_for_selector("#save-state", timeout=MOST_S * 1000)
        page.wait_for_selector(".wave > div", state="attached")
        self.shoot("done")
        return page.url.rpartition("/")[2]

    def read_along(self) -> None:
        self.page.wait_for_function("() => document.querySelector('video').readyState >= 3")
        with self.timed("click to sound"):
            self.page.locator(".w").nth(12).click()
            self.page.wait_for_function("() => !document.querySelector('video').paused")
        self.page.wait_for_function("() => document.querySelector('.w.now')")
        self.shoot("reading")
        self.page.keyboard.press("n")
        self.page.wait_for_timeout(400)
        self.shoot("doubtful")
        self.page.evaluate("document.querySelector('video').pause()")

    def mend(self) -> str:
        """What is exported must have this."""
        page = self.page
        page.locator(".w").nth(4).focus()
        page.locator("#edit").click()
        page.wait_for_selector("textarea.edit")
        words = page.locator("textarea.edit").input_value().split()
        words[2:3] = ["carefully", "mended"]
        page.locator("textarea.edit").fill(" ".join(words))
        self.shoot("editing")
        with self.timed("edit to times"):
            page.keyboard.press("Enter")
            self.visitor.saved()
        self.shoot("edited")
        page.locator("#find").click()
        page.locator("#find-what").fill("the")
        page.locator("#find-by").fill("THE")
        page.wait_for_function("() => / [1-9]/.test(document.querySelector('.find-count').innerText)")
        self.shoot("find")
        with self.timed("replace all"):
            page.locator("#replace-all").click()
            self.visitor.saved()
        self.shoot("replaced")
        page.locator(".find [aria-label=Close]").click()
        with self.timed("undo"):
            page.locator("#undo").click()
            self.visitor.saved()
        page.locator("#versions").click()
        page.locator(".version").last.get_by_role("button", name="Show", exact=True).click()
        page.wait_for_selector(".version-text")
        self.shoot("versions")
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog", state="detached")
        return "carefully mended"

    def take_out(self, job: str, must: str) -> None:
        page = self.page
        page.locator("#export").click()
        page.locator('input[name="format"][value="srt"]').check()
        page.get_by_label("Characters in a line").fill(str(LINE))
        page.get_by_label("Lines", exact=True).fill(str(LINES))
        page.wait_for_function("() => document.querySelector('#caption')?.textContent")
        self.shoot("export")
        with self.timed("export"), page.expect_download() as taken:
            page.locator("#download").click()
        srt = taken.value.path().read_text(encoding="utf-8")
        cues = [block.split("\n")[2:] for block in srt.strip().split("\n\n")]
        assert all(len(lines) <= LINES and all(len(line) <= LINE for line in lines) for lines in cues)
        told = " ".join(" ".join(lines) for lines in cues)
        now = self.visitor.world.ask(f"/v1/jobs/{job}/transcript")["transcript"]["segments"]
        assert told.split() == " ".join(one["text"] for one in now).split()
        assert must in told
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog", state="detached")

    def look_in_the_dark(self) -> None:
        self.page.emulate_media(color_scheme="dark")
        self.page.evaluate("document.querySelector('.scroller').scrollTop = 400")
        self.shoot("dark-reading")
        self.page.locator("#export").click()
        self.page.wait_for_function("() => document.querySelector('#caption')?.textContent")
        self.shoot("dark-export")
        self.page.keyboard.press("Escape")
        self.page.wait_for_selector("dialog", state="detached")
        self.page.get_by_label("View", exact=True).click()
        self.shoot("dark-view")
        self.page.keyboard.press("Escape")
        self.visitor.at()
        self.page.wait_for_selector("a.job")
        self.shoot("dark-list")


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recording", type=Path, action="append", required=True)
    parser.add_argument("--model", default="base")
    parser.add_argument("--pictures", type=Path, default=Path(tempfile.gettempdir()) / "page-walk")
    parser.add_argument("--sizes", default="desk,phone")
    given = parser.parse_args()
    if not shutil.which(CHROMIUM):
        parser.error("there is no Chromium here: scripts/page_env.sh install")
    found = dict[str, Any]()
    args = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
    with (
        tempfile.TemporaryDirectory() as folder,
        World(Path(folder), "--model", given.model) as world,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=shutil.which(CHROMIUM), args=args) as browser,
    ):
        for recording in given.recording:
            for size in given.sizes.split(","):
                visitor = Visitor(browser, world, dict(PHONE) if size == "phone" else {})
                walk = Walk(visitor, recording, f"{size}-{recording.stem}", given.pictures)
                job = walk.put_in()
                walk.read_along()
                walk.take_out(job, walk.mend())
                walk.look_in_the_dark()
                visitor.leave()
                world.ask(f"/v1/jobs/{job}/forget", "POST")
                found[walk.name] = walk.took
                print(walk.name, json.dumps(walk.took), flush=True)
    print(f"pictures: {os.path.relpath(given.pictures)}")


if __name__ == "__main__":
    main()
