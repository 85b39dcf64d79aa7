"""The page against its goals, in Chromium, over loopback, with a real server:

    scripts/page_env.sh run python benchmarks/page.py [--json FILE]

Page ready with a cold cache, bytes, a transcript of three hours (30,000 words), a click on a word, an edited sentence, axe-core.
Run it on a quiet machine: medians of five where it says so.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "page"))

from page_world import AXE, CHROMIUM, Visitor, World  # noqa: E402 - it lies there

WORDS = 30_000
HOURS = 3
TURNS = 5
EDITED = 3
"""Which word of its segment is edited."""
LONG_TASKS = """
  window.longTasks = [];
  new PerformanceObserver((list) => { for (const one of list.getEntries()) window.longTasks.push(Math.round(one.duration)); })
    .observe({ type: "longtask", buffered: true });
"""


def long_recording(folder: Path) -> Path:
    """Three hours without a sound: what is said in them is put in by hand."""
    target = folder / "three_hours.flac"
    silence = f"anullsrc=sample_rate=16000:channel_layout=mono:duration={HOURS * 3600}"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", silence, "-compression_level", "0", str(target)], check=True
    )
    return target


def long_text() -> list[dict[str, Any]]:
    """30,000 words in sentences, with figures as a recogniser gives them."""
    random.seed(1)
    vocabulary = [
        f"{first}{second}"
        for first in ("ba", "do", "ne", "tu", "li", "ka")
        for second in ("n", "ret", "sol", "ming", "a")
    ]
    segments, count, time_s = list[dict[str, Any]](), 0, 0.5
    while count < WORDS:
        words = []
        for _ in range(min(random.randint(6, 18), WORDS - count)):
            length_s = random.uniform(0.12, 0.5)
            words.append(
                {
                    "word": random.choice(vocabulary),
                    "start": round(time_s, 3),
                    "end": round(time_s + length_s, 3),
                    "probability": round(random.uniform(0.4, 1), 4),
                    "source": "characters",
                    "score": 0.9,
                    "space_before": True,
                }
            )
            time_s += length_s + 0.01
        time_s += 0.2
        count += len(words)
        segments.append({"language_code": "en", "words": words})
    assert time_s < HOURS * 3600
    return segments


class Bench:
    """One browser at one server."""

    def __init__(self, browser: Any, world: World) -> None:
        self.browser, self.world = browser, world

    def visitor(self) -> Visitor:
        made = Visitor(self.browser, self.world, {})
        made.page.add_init_script(LONG_TASKS)
        return made

    def ready(self) -> dict[str, float]:
        """From asking for the page to its being drawn, and what it took over the wire."""
        times, sizes = [], []
        for _ in range(TURNS):
            visitor = self.visitor()
            session, sent = visitor.context.new_cdp_session(visitor.page), [0]
            session.send("Network.enable")
            session.on(
                "Network.loadingFinished",
                lambda event, sent=sent: sent.__setitem__(0, sent[0] + event["encodedDataLength"]),
            )
            page = visitor.at()
            page.wait_for_selector(".drop")
            page.wait_for_load_state("networkidle")
            times.append(page.evaluate("performance.getEntriesByName('page-ready')[0].startTime"))
            sizes.append(sent[0])
            visitor.leave()
        files = ROOT / "src" / "autorag_whisper" / "server" / "page" / "files"
        all_kb = (
            sum(path.stat().st_size for path in files.rglob("*") if path.suffix in (".js", ".css", ".html", ".svg"))
            / 1000
        )
        return {"ready_ms": statistics.median(times), "sent_kb": max(sizes) / 1000, "all_files_kb": all_kb}

    def opened(self, job: str) -> dict[str, Any]:
        """A transcript of 30,000 words: opened, scrolled, and read along at three times the speed."""
        times, tasks = [], list[int]()
        for _ in range(TURNS):
            visitor = self.visitor()
            page = visitor.at()
            page.wait_for_selector("a.job")
            page.wait_for_load_state("networkidle")
            page.evaluate("window.longTasks.length = 0")
            times.append(
                page.evaluate(
                    """(job) => new Promise((then) => { const began = performance.now(); location.hash = `#/job/${job}`;
                      const look = () => document.querySelector(".w") ? then(performance.now() - began) : requestAnimationFrame(look); look(); })""",
                    job,
                )
            )
            page.wait_for_load_state("networkidle")
            tasks += page.evaluate("window.longTasks")
            if len(times) < TURNS:
                visitor.leave()
        frames = page.evaluate(
            """async () => { window.longTasks.length = 0; const box = document.querySelector(".scroller"); const all = []; let last = performance.now();
              for (let i = 0; i < 300; i += 1) { box.scrollTop += i % 50 ? 120 : box.scrollHeight / 7;
                const now = await new Promise((then) => requestAnimationFrame(then)); all.push(now - last); last = now; }
              return { p95: all.sort((a, b) => a - b)[285], tasks: [...window.longTasks] }; }"""
        )
        page.get_by_label("Speed").select_option("3")
        page.locator(".w").first.click()
        reading = page.evaluate(
            """async () => { window.longTasks.length = 0; const seen = new Set(); const until = performance.now() + 8000; const all = []; let last = performance.now();
              while (performance.now() < until) { const now = await new Promise((then) => requestAnimationFrame(then)); all.push(now - last); last = now;
                seen.add(document.querySelector(".w.now")?.dataset.w); }
              return { p95: all.sort((a, b) => a - b)[Math.floor(all.length * 0.95)], words: seen.size, tasks: [...window.longTasks] }; }"""
        )
        nodes = page.evaluate("document.querySelectorAll('*').length")
        visitor.leave()
        return {
            "open_ms": statistics.median(times),
            "open_long_tasks_ms": sorted(tasks, reverse=True)[:5],
            "scroll_frame_p95_ms": frames["p95"],
            "scroll_long_tasks_ms": frames["tasks"],
            "reading_frame_p95_ms": reading["p95"],
            "reading_long_tasks_ms": reading["tasks"],
            "words_marked": reading["words"],
            "elements": nodes,
        }

    def clicked(self, job: str) -> dict[str, float]:
        """From a click on a word to sound, and how far from the word's start that begins."""
        visitor = self.visitor()
        page = visitor.reads(job)
        page.wait_for_function("() => document.querySelector('video').readyState >= 3")
        words = [
            word
            for segment in self.world.ask(f"/v1/jobs/{job}/transcript")["transcript"]["segments"]
            for word in segment["words"]
        ]
        delays, distances = [], []
        for at in range(2, len(words) - 1, max(1, len(words) // 12)):
            found = page.evaluate(
                """async (at) => { const media = document.querySelector("video"); media.pause(); document.querySelector(`[data-w="${at}"]`).scrollIntoView();
                  await new Promise((then) => setTimeout(then, 200)); const began = performance.now();
                  const first = new Promise((then) => media.addEventListener("playing", () => then([performance.now() - began, media.currentTime]), { once: true }));
                  document.querySelector(`[data-w="${at}"]`).click(); return first; }""",
                at,
            )
            delays.append(found[0])
            distances.append(abs(found[1] - words[at]["start"]) * 1000)
        visitor.leave()
        return {"click_to_sound_ms": max(delays), "from_its_start_ms": max(distances)}

    def edited(self, job: str) -> dict[str, Any]:
        """From the end of an edit to times from the aligner; and that all other words keep theirs."""
        visitor = self.visitor()
        page = visitor.reads(job)
        times, same = [], True
        first = self.sentence(job)
        for turn in range(TURNS):
            before = self.words(job)
            page.locator(f'[data-w="{first}"]').focus()
            page.keyboard.press("e")
            field = page.locator("textarea.edit")
            text = field.input_value().split()
            text[EDITED] = f"word{turn}"
            field.fill(" ".join(text))
            page.evaluate("window.began = performance.now()")
            page.keyboard.press("Enter")
            page.wait_for_selector('#save-state[data-state="saved"]')
            times.append(page.evaluate("performance.now() - window.began"))
            after = self.words(job)
            others = [[w["start"] for i, w in enumerate(all_of) if i != first + EDITED] for all_of in (before, after)]
            same &= others[0] == others[1]
        visitor.leave()
        return {
            "edit_to_saved_times_ms": statistics.median(times),
            "edit_worst_ms": max(times),
            "others_keep_their_times": same,
        }

    def sentence(self, job: str) -> int:
        """The first word of the first segment that is long enough to be edited in its midst."""
        first = 0
        for segment in self.world.ask(f"/v1/jobs/{job}/transcript")["transcript"]["segments"]:
            count = len(segment["words"])
            if count > EDITED + 1 and len(segment["text"].split()) == count:
                return first
            first += count
        raise SystemExit(
            f"no segment of the recording has more than {EDITED + 1} words: take one with a whole sentence"
        )

    def words(self, job: str) -> list[dict[str, Any]]:
        return [
            word
            for segment in self.world.ask(f"/v1/jobs/{job}/transcript")["transcript"]["segments"]
            for word in segment["words"]
        ]

    def axe(self, job: str) -> list[str]:
        visitor = self.visitor()
        visitor.at().wait_for_selector("a.job")
        found = visitor.serious()
        visitor.reads(job)
        found += visitor.serious()
        visitor.leave()
        return found


def needed() -> dict[str, bool]:
    """What it takes, and whether it is there."""
    return {
        "Chromium": shutil.which(CHROMIUM) is not None,
        "ffmpeg": shutil.which("ffmpeg") is not None,
        "axe-core": AXE.is_file(),
    }


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--recording", type=Path, required=True, help="with a few sentences, which are clicked at and edited"
    )
    given = parser.parse_args()
    if missing := [name for name, is_there in needed().items() if not is_there]:
        parser.error(f"missing: {', '.join(missing)}. scripts/page_env.sh install has all but ffmpeg.")
    with tempfile.TemporaryDirectory() as folder, World(Path(folder)) as world, sync_playwright() as playwright:
        short = world.transcribed(given.recording)
        long = world.transcribed(long_recording(Path(folder)))
        world.ask(f"/v1/jobs/{long}/peaks")
        edits = [{"from": 0, "to": 0, "segments": long_text()}]
        world.ask(f"/v1/jobs/{long}/transcript", "PATCH", {"edits": edits}, {"If-Match": '"1"'})
        args = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        with playwright.chromium.launch(executable_path=shutil.which(CHROMIUM), args=args) as browser:
            bench = Bench(browser, world)
            found = (
                bench.ready()
                | bench.opened(long)
                | bench.clicked(short)
                | bench.edited(short)
                | {"axe_serious": bench.axe(short)}
            )
    for name, figure in found.items():
        print(f"{name:26} {round(figure, 1) if isinstance(figure, float) else figure}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
