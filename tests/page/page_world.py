"""What the tests of the page, and benchmarks/page.py, are made of: a server, and somebody who visits it."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.error import HTTPError

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = "chromium"
SCREENSHOTS = Path(os.environ.get("PAGE_SCREENSHOTS", ROOT / "tests" / "page" / "screenshots"))
STATES = (
    "1-start", "2-reading", "3-words-come", "4-legend", "5-export", "6-edited", "7-versions", "8-conflict",
    "9-phone-list", "10-phone-reading", "11-dark-desk", "11-dark-phone", "12-scripts", "13-archive", "14-left-out",
)  # fmt: skip
"""What CI keeps a picture of, in `SCREENSHOTS`."""
shot: set[str] = set()
"""Of which of them one was made in this run."""
AXE = ROOT / "tests" / "page" / "tools" / "node_modules" / "axe-core" / "axe.min.js"
HANG_MS = 240_000
"""Until what the engine does is taken for hanging."""
_SERVE = ("autorag-whisper", "serve", "--model", "tiny.en", "--access-log", "none")
_KEEP_TOASTS = """(() => { const { remove } = Element.prototype;
  Element.prototype.remove = function () { if (!this.matches(".toast")) remove.call(this); }; })()"""
_EXPECTED = re.compile(r"net::ERR_|status of (?:400|401|404|409|412|5\d\d)")


class World:
    """`autorag-whisper serve` of .venv, with the folder `data`. It may be stopped and started again on the same port."""

    def __init__(self, data: Path, *options: str, key: str = "") -> None:
        self.data, self.options, self.key = data, options, key
        self.log = data / "serve.log"
        self.port, self.base = 0, ""
        self.visitors: list[Visitor] = []
        self.start()

    def start(self) -> None:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("AUTORAG_WHISPER_SERVE")
        }
        if self.key:
            (self.data / "keys").write_text(f"{self.key}\n", encoding="utf-8")
            environment["AUTORAG_WHISPER_API_KEYS"] = str(self.data / "keys")
        command = [
            str(ROOT / ".venv" / "bin" / _SERVE[0]),
            *_SERVE[1:],
            "--port",
            str(self.port),
            "--data",
            str(self.data),
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*command, *self.options], stderr=log, env=environment)
        until(self.is_ready, "the server is ready")

    def is_ready(self) -> bool:
        """It takes a port that is free, tells which, and has the same one when it is started again."""
        told = self.log.read_text(encoding="utf-8")
        assert self.process.poll() is None, told
        if not self.port:
            place = re.search(r"http://127\.0\.0\.1:(\d+)/", told)
            if not place:
                return False
            self.base, self.port = place[0].rstrip("/"), int(place[1])
        try:
            return self.ask("/readyz") == {"status": "ready"}
        except OSError:
            return False

    def stop(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.wait(60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()

    def ask(self, path: str, method: str = "GET", body: Any = None, headers: dict[str, str] | None = None) -> Any:
        """The JSON, or the text, of an answer."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        given = (
            {"Content-Type": "application/json"}
            | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
            | (headers or {})
        )
        asked = urllib.request.Request(self.base + path, data=data, method=method, headers=given)
        with urllib.request.urlopen(asked, timeout=600) as answer:
            text = answer.read()
            return json.loads(text) if "json" in answer.headers.get("Content-Type", "") else text.decode()

    def add(self, path: Path, name: str = "", **fields: str) -> str:
        """A recording, sent as the command line would. The id of its job."""
        shown = name or path.name
        parts = [
            f'--x\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode() for n, v in fields.items()
        ]
        quoted = shown.replace("\\", "\\\\").replace('"', "%22")
        head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n\r\n'.encode()
        body = b"".join(parts) + head + path.read_bytes() + b"\r\n--x--\r\n"
        return str(self.ask("/v1/jobs", "POST", body, {"Content-Type": "multipart/form-data; boundary=x"})["id"])

    def done(self, job: str) -> dict[str, Any]:
        """The newest version of a job's transcript, when there is one."""
        until(lambda: self.ask(f"/v1/jobs/{job}")["state"] in ("done", "failed"), "the job is over", 600)
        return dict(self.ask(f"/v1/jobs/{job}/transcript"))

    def stopped(self, job: str) -> None:
        """A job that is not done is cancelled: within a batch, or at once where it waits."""
        self.ask(f"/v1/jobs/{job}", "DELETE")
        until(lambda: self.ask(f"/v1/jobs/{job}")["state"] == "cancelled", "the job is cancelled", 600)

    def forget(self, job: str) -> None:
        assert not self.visitors, "a page that is open asks for its jobs time and again, and finds an error"
        self.ask(f"/v1/jobs/{job}/forget", "POST")

    def transcribed(self, path: Path, name: str = "", **fields: str) -> str:
        """A recording that is done. Its name comes by a rename where a form could not say it."""
        job = self.add(path, "recording", **fields)
        self.done(job)
        self.ask(f"/v1/jobs/{job}", "PATCH", {"name": name or path.name})
        return job


class Visitor:
    """A browser's page at a server's, with what went wrong in it."""

    def __init__(self, browser: Browser, world: World, options: dict[str, Any]) -> None:
        self.world = world
        world.visitors.append(self)
        self.uses_axe = False
        self.may_fail = bool(options.pop("may_fail", False))
        keeps_toasts = options.pop("keeps_toasts", False)
        size = {"width": 1280, "height": 800}
        self.context = browser.new_context(
            **{
                "viewport": size,
                "locale": "en-US",
                "accept_downloads": True,
                "permissions": ["microphone", "clipboard-read", "clipboard-write"],
            }
            | options
        )
        if keeps_toasts:  # for whoever looks at them, however late that is
            self.context.add_init_script(_KEEP_TOASTS)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(120_000)  # hangs alone: the machine may be busy
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._heard)
        self.page.on("request", self._asked)
        self.page.on("response", self._answered)
        self.page.on(
            "dialog",
            lambda dialog: (
                (self.errors.append(f"a dialog: {dialog.message}"), dialog.dismiss())
                if dialog.type != "beforeunload"
                else dialog.accept()
            ),
        )

    def _heard(self, message: Any) -> None:
        if self.uses_axe and "inline style" in message.text:  # axe's own, which the policy refuses
            return
        if message.type == "error" and not (self.may_fail and _EXPECTED.search(message.text)):
            self.errors.append(message.text)

    def _answered(self, response: Any) -> None:
        if response.status == 500:
            self.errors.append(
                f"{response.request.method} {response.url}: 500: {self.world.log.read_text(encoding='utf-8')[-3000:]}"
            )

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((f"{self.world.base}/", "data:", "blob:")):
            self.elsewhere.append(request.url)

    def leave(self) -> None:
        """Nobody looks any more: once, however often this is called."""
        if self not in self.world.visitors:
            return
        self.context.close()
        self.world.visitors.remove(self)
        assert not self.errors, self.errors
        assert not self.elsewhere, self.elsewhere

    def at(self, path: str = "/") -> Page:
        self.page.goto(self.world.base + path)
        return self.page

    def reads(self, job: str) -> Page:
        """The reader, with its words and its recording."""
        self.at(f"/#/job/{job}")
        self.page.wait_for_selector(".w")
        self.page.wait_for_selector("#save-state")
        return self.page

    def drop(self, *paths: Path) -> None:
        """Files, as a mouse lets them go over the page."""
        given = [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in paths]
        self.page.evaluate(
            """(given) => {
              const data = new DataTransfer();
              for (const [name, content] of given) data.items.add(new File([Uint8Array.from(atob(content), (c) => c.charCodeAt(0))], name));
              for (const kind of ["dragenter", "dragover", "drop"]) document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
            }""",
            given,
        )

    def time(self) -> float:
        """Where the player is."""
        return float(self.page.evaluate("document.querySelector('video').currentTime"))

    def sought(self, act: Callable[[], None]) -> float:
        """Where `act` has the player go to, however much is played until somebody looks."""
        self.page.evaluate(
            "() => { window.soughtTo = null; const media = document.querySelector('video');"
            " media.addEventListener('seeking', () => { window.soughtTo ??= media.currentTime; }); }"
        )
        act()
        self.page.wait_for_function("() => window.soughtTo !== null")
        return float(self.page.evaluate("window.soughtTo"))

    def played(self) -> None:
        """The recording is played, or is over by now."""
        self.page.wait_for_function("() => document.querySelector('video').played.length > 0")

    def saved(self) -> None:
        self.page.wait_for_selector('#save-state[data-state="saved"]')

    def text(self) -> str:
        return " ".join(self.page.locator(".seg p").all_inner_texts())

    def shoot(self, name: str) -> None:
        """A picture of one of `STATES`, for whoever changes the page."""
        assert name in STATES, name
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        shot.add(name)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def serious(self) -> list[str]:
        """What axe-core finds that is serious or critical."""
        assert AXE.is_file(), "axe-core is missing: scripts/page_env.sh install"
        script = AXE.read_text(encoding="utf-8")
        self.uses_axe = True
        self.page.evaluate(script)
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{one['id']}: {one['nodes'][0]['html'][:200]}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]


def until(condition: Callable[[], bool], what: str, patience_s: float = 240) -> None:
    """Wait for what another process does."""
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, f"it did not come true that {what}"
        threading.Event().wait(0.05)


__all__ = [
    "AXE",
    "CHROMIUM",
    "HANG_MS",
    "ROOT",
    "SCREENSHOTS",
    "STATES",
    "HTTPError",
    "Visitor",
    "World",
    "shot",
    "until",
]
