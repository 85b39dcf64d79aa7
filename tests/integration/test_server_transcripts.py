"""What is done with a job's transcript over HTTP: edited, aligned, searched, taken out, its recording played."""

from __future__ import annotations

import io
import json
import threading
import wave
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from autorag_whisper.format import parse
from autorag_whisper.jobs.job import JobRequest, KeptMedia
from autorag_whisper.jobs.listening import Listening
from autorag_whisper.jobs.sqlite import SqliteJobStore
from autorag_whisper.server.jobs import JobSettings
from autorag_whisper.server.links import HOLDS_S
from autorag_whisper.server.recordings import kind_of
from autorag_whisper.testing import speech_samples, write_speech
from http_world import error_of, until
from jobs_world import JobsWorld, bearer, digests, jobs_world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx

    from autorag_whisper.jobs.job import Job

WORDS = 12


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_speech(tmp_path_factory.mktemp("speech") / "a.wav", speech_samples(WORDS)).read_bytes()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[JobsWorld]:
    with jobs_world(tmp_path, SqliteJobStore(tmp_path / "jobs.sqlite3")) as made:
        yield made
        made.store.close()


def segment(words: list[dict[str, Any]], **texts: str) -> dict[str, Any]:
    """A segment of words, some with another text."""
    return {"words": [word | ({"word": texts[word["word"]]} if word["word"] in texts else {}) for word in words]}


# ------------------------------------------------------------ versions


def test_an_edit_is_a_version_and_the_first_stays_what_was_recognised(world: JobsWorld, speech: bytes) -> None:
    job = world.add(speech)
    first = world.get(f"/v1/jobs/{job}/result").json()
    told = world.get(f"/v1/jobs/{job}/transcript")
    assert (told.headers["etag"], told.json()["version"], told.json()["latest"]) == ('"1"', 1, 1)
    assert told.json()["transcript"]["segments"] == first["segments"]
    words = world.segments(job)[0]["words"]
    edit = [{"from": 0, "to": 1, "segments": [segment(words[:2]), segment(words[2:])]}]
    edit[0]["segments"][0]["words"][0] = words[0] | {"word": "<script>"}
    saved = world.edit(job, 1, edit, author="Anna", note="split")
    assert (saved.status_code, saved.headers["etag"]) == (200, '"2"')
    assert saved.json() | {"created_at": 0} == {
        "object": "transcription.version", "job": job, "version": 2, "created_at": 0, "author": "Anna", "draft": False,
        "note": "split", "words": len(first["words"]),
    }  # fmt: skip
    after = world.segments(job)
    assert [one["id"] for one in after] == list(range(len(first["segments"]) + 1))
    assert [word["word"] for word in after[0]["words"]] == ["<script>", words[1]["word"]]
    assert after[1]["words"] == words[2:]
    assert world.get(f"/v1/jobs/{job}/result").json()["text"].startswith("<script> ")
    assert world.get(f"/v1/jobs/{job}/result", version=1).json() == first
    assert world.segments(job, version=1) == first["segments"]
    versions = world.get(f"/v1/jobs/{job}/versions").json()["data"]
    assert [(one["version"], one["author"]) for one in versions] == [(2, "Anna"), (1, "")]
    shown = world.get(f"/v1/jobs/{job}").json()
    assert (shown["version"], shown["edited"]) == (2, True)
    parse(world.get(f"/v1/jobs/{job}/result").text)


def test_who_saves_later_is_told_and_nothing_is_overwritten_unseen(world: JobsWorld, speech: bytes) -> None:
    job = world.add(speech)
    words = world.segments(job)[0]["words"]
    assert world.edit(job, 1, [{"from": 0, "to": 1, "segments": [segment(words)]}], author="Anna").status_code == 200
    late = world.edit(job, 1, [{"from": 0, "to": 1, "segments": []}], author="Bob")
    assert (late.status_code, late.headers["etag"]) == (412, '"2"')
    assert late.json()["error"]["code"] == "version_conflict"
    assert (late.json()["latest"]["version"], late.json()["latest"]["author"]) == (2, "Anna")
    assert world.segments(job)[0]["words"] == words
    assert world.client.post(f"/v1/jobs/{job}/versions/1/restore", headers={"If-Match": '"1"'}).status_code == 412
    back = world.client.post(f"/v1/jobs/{job}/versions/1/restore", headers={"If-Match": '"2"'})
    assert (back.status_code, back.json()["version"]) == (200, 3)
    assert world.segments(job) == world.segments(job, version=1)


def test_of_two_who_save_at_the_same_moment_one_is_told(world: JobsWorld, speech: bytes) -> None:
    job = world.add(speech)
    words, start = world.segments(job)[0]["words"], threading.Barrier(4)

    def save(n: int) -> int:
        start.wait()
        return world.edit(job, 1, [{"from": 0, "to": 1, "segments": [segment(words)]}], author=f"{n}").status_code

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(save, range(4))) == [200, 412, 412, 412]


def test_drafts_of_one_author_leave_one_version(world: JobsWorld, speech: bytes) -> None:
    job = world.add(speech)
    words = world.segments(job)[0]["words"]
    for base in range(1, 6):
        edit = [{"from": 0, "to": 1, "segments": [segment(words, **{words[0]["word"]: f"draft{base}"})]}]
        assert world.edit(job, base, edit, author="Anna", draft=True).status_code == 200
    versions = world.get(f"/v1/jobs/{job}/versions").json()["data"]
    assert [(one["version"], one["draft"]) for one in versions] == [(6, True), (1, False)]
    assert world.get(f"/v1/jobs/{job}/transcript", version=5).json()["error"]["code"] == "version_not_found"


def test_a_draft_that_takes_anothers_place_meanwhile_hides_the_transcript_from_nobody(
    world: JobsWorld, speech: bytes
) -> None:
    # Who asked for the newest version while somebody typed was told now and then that there is none.
    job = world.add(speech)
    edit = [{"from": 0, "to": 1, "segments": [segment(world.segments(job)[0]["words"])]}]
    assert world.edit(job, 1, edit, author="Ann", draft=True).status_code == 200
    before, get = world.store.get(job), world.store.get
    assert before is not None
    assert world.edit(job, 2, edit, author="Ann", draft=True).status_code == 200

    def asked(act: Callable[[], httpx.Response]) -> httpx.Response:
        """With the job as it was before."""

        def stale(*of: str) -> Job | None:
            if len(of) == 1:  # not the route's first look
                return get(*of)
            world.store.get = get  # type: ignore[method-assign]  # for one look
            return before

        world.store.get = stale  # type: ignore[method-assign]  # for one look
        return act()

    for path in (f"/v1/jobs/{job}/transcript", f"/v1/jobs/{job}/result?format=srt"):
        found = asked(lambda path=path: world.get(path))  # type: ignore[misc]  # it is bound
        assert (found.status_code, found.headers["etag"]) == (200, '"3"')
    told = asked(lambda: world.get(f"/v1/jobs/{job}/transcript")).json()
    assert (told["version"], told["latest"]) == (3, 3)
    conflict = asked(lambda: world.edit(job, 2, edit))
    assert (conflict.status_code, conflict.json()["latest"]["version"]) == (412, 3)
    assert asked(lambda: world.get(f"/v1/jobs/{job}/transcript", version=2)).status_code == 404
    align = {"start": 0.0, "end": 1.0, "text": "well"}
    assert asked(lambda: world.client.post(f"/v1/jobs/{job}/align", json=align)).json()["version"] == 3


def test_an_unchanged_transcript_is_not_sent_twice(world: JobsWorld, speech: bytes) -> None:
    job = world.add(speech)
    again = world.client.get(f"/v1/jobs/{job}/transcript", headers={"If-None-Match": '"1"'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", '"1"')
    other = world.client.get(f"/v1/jobs/{job}/transcript", headers={"If-None-Match": '"7"'})
    assert (other.status_code, other.headers["x-content-type-options"]) == (200, "nosniff")


BAD_EDITS: list[tuple[Any, str]] = [
    (None, "edits"), ([], "edits"), ("x", "edits"), ([1], "edits[0]"), ([{}], "edits[0].from"),
    ([{"from": 0, "to": 99, "segments": []}], "edits[0]"), ([{"from": 1, "to": 0, "segments": []}], "edits[0]"),
    ([{"from": -1, "to": 0, "segments": []}], "edits[0]"), ([{"from": 0.5, "to": 1, "segments": []}], "edits[0].from"),
    ([{"from": 0, "to": 1}], "edits[0].segments"),
    ([{"from": 0, "to": 1, "segments": [{"words": []}]}], "edits[0].segments[0].words"),
    ([{"from": 0, "to": 1, "segments": []}] * 2, "edits[1]"),
]  # fmt: skip
BAD_WORDS: list[tuple[dict[str, Any], str]] = [
    ({"word": ""}, "word"), ({"word": " "}, "word"), ({"word": "a\nb"}, "word"), ({"word": "x" * 1001}, "word"),
    ({"word": 7}, "word"), ({"word": None}, "word"), ({"start": None}, "start"), ({"start": "0"}, "start"),
    ({"start": 2.0, "end": 1.0}, ""), ({"start": -1.0}, ""), ({"end": 1e9}, "end"), ({"probability": 2}, ""),
    ({"source": "guess"}, "source"), ({"space_before": "yes"}, "space_before"), ({"start": True}, "start"),
]  # fmt: skip


@pytest.mark.parametrize(("edits", "param"), BAD_EDITS, ids=[param + str(n) for n, (_, param) in enumerate(BAD_EDITS)])
def test_an_edit_that_cannot_be_is_told_with_its_place(edits: Any, param: str, shared: tuple[JobsWorld, str]) -> None:
    world, job = shared
    refused = world.edit(job, 1, edits)
    assert (refused.status_code, error_of(refused)["param"]) == (400, param)
    assert world.get(f"/v1/jobs/{job}").json()["version"] == 1


@pytest.mark.parametrize(("change", "param"), BAD_WORDS, ids=[str(change) for change, _ in BAD_WORDS])
def test_a_word_that_cannot_be_is_told_with_its_place(
    change: dict[str, Any], param: str, shared: tuple[JobsWorld, str]
) -> None:
    world, job = shared
    words = world.segments(job)[0]["words"]
    refused = world.edit(job, 1, [{"from": 0, "to": 1, "segments": [{"words": [words[0] | change, *words[1:]]}]}])
    place = "edits[0].segments[0].words[0]"
    assert (refused.status_code, error_of(refused)["param"]) == (400, f"{place}.{param}" if param else place)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, speech: bytes) -> Iterator[tuple[JobsWorld, str]]:
    """A world with a job that is done, for requests that change nothing."""
    with jobs_world(tmp_path_factory.mktemp("shared")) as made:
        yield made, made.add(speech)


def test_words_out_of_order_are_refused(shared: tuple[JobsWorld, str]) -> None:
    world, job = shared
    words = world.segments(job)[0]["words"]
    refused = world.edit(job, 1, [{"from": 0, "to": 1, "segments": [{"words": words[::-1]}]}])
    assert (refused.status_code, error_of(refused)["param"]) == (400, "edits[0].segments[0].words[1].start")


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ({}, b"{}", 428, "precondition_required"), ({"If-Match": "*"}, b"{}", 400, "invalid_header"),
        ({"If-Match": "3"}, b"{}", 400, "invalid_header"), ({"If-Match": '"x"'}, b"{}", 400, "invalid_header"),
        ({"If-Match": '"1"'}, b"[]", 400, "invalid_json"), ({"If-Match": '"1"'}, b"{", 400, "invalid_json"),
        ({"If-Match": '"1"'}, b"[" * 100_000, 400, "invalid_json"), ({"If-Match": '"1"'}, b"\xff", 400, "invalid_json"),
        ({"If-Match": '"1"'}, b" " * (9 << 20), 413, "request_too_large"),
        ({"If-Match": '"1"'}, b'{"draft": 1, "edits": []}', 400, "invalid_value"),
        ({"If-Match": '"1"'}, b'{"author": "a\\nb"}', 400, "invalid_value"),
    ],
)  # fmt: skip
def test_a_save_that_is_none_is_refused(
    headers: dict[str, str], body: bytes, status: int, code: str, shared: tuple[JobsWorld, str]
) -> None:
    world, job = shared
    refused = world.client.patch(f"/v1/jobs/{job}/transcript", content=body, headers=headers)
    assert (refused.status_code, error_of(refused)["code"]) == (status, code)


# ------------------------------------------------------------ alignment


def test_unchanged_words_keep_their_times_and_new_ones_lie_between_them(shared: tuple[JobsWorld, str]) -> None:
    world, job = shared
    one = world.segments(job)[0]
    words = one["words"]
    text = " ".join([words[0]["word"], "another", *(word["word"] for word in words[2:])])
    found = world.client.post(f"/v1/jobs/{job}/align", json={"start": one["start"], "end": one["end"], "text": text})
    assert found.status_code == 200, found.text
    aligned = found.json()["words"]
    assert [word["word"] for word in aligned] == text.split()
    assert [word for word in aligned if not word["changed"]] == [
        word | {"changed": False} for n, word in enumerate(words) if n != 1
    ]
    [new] = [word for word in aligned if word["changed"]]
    assert words[0]["end"] <= new["start"] <= new["end"] <= words[2]["start"]
    assert world.get(f"/v1/jobs/{job}").json()["version"] == 1
    same = " ".join(word["word"] for word in words)
    again = world.client.post(f"/v1/jobs/{job}/align", json={"start": one["start"], "end": one["end"], "text": same})
    assert [word["changed"] for word in again.json()["words"]] == [False] * len(words)


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({}, 400, "invalid_value", "start"), ({"start": 0, "end": 1}, 400, "invalid_value", "text"),
        ({"start": 1, "end": 1, "text": "x"}, 400, "invalid_value", "end"),
        ({"start": -1, "end": 1, "text": "x"}, 400, "invalid_value", "end"),
        ({"start": 0, "end": 601, "text": "x"}, 400, "invalid_value", "end"),
        ({"start": 500, "end": 501, "text": "x"}, 400, "invalid_value", "end"),
        ({"start": 0, "end": 1, "text": ""}, 400, "invalid_value", "text"),
        ({"start": 0, "end": 1, "text": "...!?"}, 400, "invalid_value", "text"),
        ({"start": 0, "end": 1, "text": "much " * 50}, 400, "text_too_long", "text"),
        ({"start": 0, "end": 1, "text": "x" * 60_000}, 400, "invalid_value", "text"),
        ({"start": 0, "end": 1, "text": 7}, 400, "invalid_value", "text"),
        ({"start": 0, "end": 1, "text": "x", "language": "klingon"}, 400, "invalid_value", "language"),
        ({"start": 0, "end": 1, "text": "x", "version": 9}, 404, "version_not_found", "version"),
        ({"start": "NaN", "end": 1, "text": "x"}, 400, "invalid_value", "start"),
    ],
)  # fmt: skip
def test_what_cannot_be_aligned_is_refused(
    body: dict[str, Any], status: int, code: str, param: str, shared: tuple[JobsWorld, str]
) -> None:
    world, job = shared
    refused = world.client.post(f"/v1/jobs/{job}/align", json=body)
    assert (refused.status_code, error_of(refused)["code"], error_of(refused)["param"]) == (status, code, param)


@pytest.mark.parametrize("text", ["\ud800 word", "日本語のテキスト", "مرحبا بالعالم", "a\u2028b", "- — -x", "🎵 la"])
def test_any_text_gets_times_in_its_span(text: str, shared: tuple[JobsWorld, str]) -> None:
    world, job = shared
    body = json.dumps({"start": 0.5, "end": 3.5, "text": text})
    found = world.client.post(f"/v1/jobs/{job}/align", content=body)
    assert found.status_code == 200, found.text
    times = [time for word in found.json()["words"] for time in (word["start"], word["end"])]
    assert times == sorted(times)
    assert 0.5 <= times[0] <= times[-1] <= 3.5


# ------------------------------------------------------------ the recording


def test_the_recording_is_served_in_ranges_for_as_long_as_it_is_kept(world: JobsWorld, speech: bytes) -> None:
    job = world.add(speech, "Über <b>.mp3")
    whole = world.get(f"/v1/jobs/{job}/media")
    assert (whole.status_code, whole.content, whole.headers["content-type"]) == (200, speech, "audio/wav")
    assert (whole.headers["accept-ranges"], whole.headers["x-content-type-options"]) == ("bytes", "nosniff")
    for told, expected in (
        ("0-9", speech[:10]),
        ("100-", speech[100:]),
        ("-7", speech[-7:]),
        ("5-99999999", speech[5:]),
    ):
        part = world.client.get(f"/v1/jobs/{job}/media", headers={"Range": f"bytes={told}"})
        assert (part.status_code, part.content) == (206, expected)
        assert part.headers["content-range"].endswith(f"/{len(speech)}")
    for told in ("bytes=99999999-", "bytes=-0"):
        behind = world.client.get(f"/v1/jobs/{job}/media", headers={"Range": told})
        assert (behind.status_code, error_of(behind)["code"]) == (416, "range_not_satisfiable")
        assert behind.headers["content-range"] == f"bytes */{len(speech)}"
    for told in ("pages=1-2", "bytes=9-1", "bytes=x", "bytes=", "bytes=0-1,5-6", "bytes=0-" + "9" * 400):
        assert world.client.get(f"/v1/jobs/{job}/media", headers={"Range": told}).content == speech
    stale = {"Range": "bytes=0-9", "If-Range": '"other"'}
    assert world.client.get(f"/v1/jobs/{job}/media", headers=stale).status_code == 200
    head = world.client.head(f"/v1/jobs/{job}/media")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(speech)))
    world.runner.drop_media(world.clock() + 1)
    gone = world.get(f"/v1/jobs/{job}/media")
    assert (gone.status_code, error_of(gone)["code"]) == (404, "no_media")
    assert world.get(f"/v1/jobs/{job}").json()["has_media"] is False
    assert list(world.runner.files.uploads.iterdir()) == []
    align = world.client.post(f"/v1/jobs/{job}/align", json={"start": 0, "end": 1, "text": "x"})
    assert (align.status_code, error_of(align)["code"]) == (409, "no_media")
    assert world.get(f"/v1/jobs/{job}/result").status_code == 200


def test_without_the_setting_nothing_is_kept_and_a_full_disk_makes_room(tmp_path: Path, speech: bytes) -> None:
    with jobs_world(tmp_path / "none", jobs=JobSettings()) as world:
        world.add(speech)
        assert list(world.runner.files.uploads.iterdir()) == []
    with jobs_world(tmp_path / "full") as world:
        job = world.add(speech)
        assert world.get(f"/v1/jobs/{job}/peaks").status_code == 200
        world.free_bytes = 0
        assert world.runner.why_no_room()
        folders = [tmp_path / "full" / name for name in ("uploads", "audio")]
        # Whoever looks for a next job may have come first, and be at it.
        until(lambda: not any(path.is_file() for folder in folders for path in folder.iterdir()))
    with jobs_world(tmp_path / "quota", jobs=JobSettings(kept_media=KeptMedia(3600.0, 1.5 * len(speech)))) as world:  # type: ignore[arg-type]  # of bytes
        jobs = [world.add(speech) for _ in range(3)]
        until(lambda: len(list(world.runner.files.uploads.iterdir())) == 1)
        assert [world.get(f"/v1/jobs/{job}").json()["has_media"] for job in jobs] == [False, False, True]


def test_kept_recordings_outlive_the_process(tmp_path: Path, speech: bytes) -> None:
    with jobs_world(tmp_path, SqliteJobStore(tmp_path / "jobs.sqlite3")) as world:
        job = world.add(speech)
        world.get(f"/v1/jobs/{job}/peaks")
        world.store.close()
    (tmp_path / "uploads" / "stray").write_bytes(b"x")
    (tmp_path / "audio" / f"{'0' * 32}.s16").write_bytes(b"x")
    with jobs_world(tmp_path, SqliteJobStore(tmp_path / "jobs.sqlite3")) as world:
        assert world.get(f"/v1/jobs/{job}/media").content == speech
        assert len(list((tmp_path / "uploads").iterdir())) == 1
        assert len(list((tmp_path / "audio").iterdir())) == 2
        assert world.client.post(f"/v1/jobs/{job}/forget").status_code == 200
        assert list((tmp_path / "uploads").iterdir()) == list((tmp_path / "audio").iterdir()) == []
        world.store.close()


def test_a_folder_that_was_moved_keeps_its_recordings_and_does_its_jobs(tmp_path: Path, speech: bytes) -> None:
    # Restored from a back-up under another path, or mounted elsewhere: every upload was taken for a stray and removed.
    before, now = tmp_path / "before", tmp_path / "now"
    before.mkdir()
    with jobs_world(before, SqliteJobStore(before / "jobs.sqlite3")) as world:
        done = world.add(speech)
    waits = world.runner.files.uploads / "waits"
    waits.write_bytes(speech)
    waiting = world.store.add(JobRequest(str(waits), "talk.wav", media_bytes=len(speech)), world.now_s).id
    world.store.close()
    before.rename(now)
    with jobs_world(now, SqliteJobStore(now / "jobs.sqlite3")) as world:
        until(lambda: world.get(f"/v1/jobs/{waiting}").json()["state"] == "done")
        for job in (done, waiting):
            assert world.get(f"/v1/jobs/{job}/media").content == speech
            assert world.get(f"/v1/jobs/{job}/peaks").status_code == 200
            assert world.client.post(f"/v1/jobs/{job}/forget").status_code == 200
        assert list((now / "uploads").iterdir()) == []
        world.store.close()


def test_the_waveform_is_as_long_as_the_recording_and_loud_where_it_is(world: JobsWorld, tmp_path: Path) -> None:
    tone = np.sin(np.arange(16_000) / 8).astype(np.float32)
    samples = np.concatenate((np.zeros(16_000, np.float32), 0.5 * tone, 0.25 * tone[:8000]))
    job = world.add(write_speech(tmp_path / "tone.wav", samples).read_bytes())
    peaks = world.get(f"/v1/jobs/{job}/peaks").json()
    assert (peaks["duration"], peaks["per_second"], len(peaks["peaks"])) == (2.5, 50, 125)
    values = peaks["peaks"]
    assert set(values[:49]) == {0}
    assert min(values[51:99]) >= 40 <= max(values) <= 50
    assert 20 <= min(values[101:]) <= max(values[101:]) <= 25
    assert world.get(f"/v1/jobs/{job}/peaks").json() == peaks


def test_recordings_that_are_being_decoded_hold_up_none_that_was(
    world: JobsWorld, speech: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two long ones held up every edit of others, whose times come from sound that is there already.
    jobs, let = [world.add(speech) for _ in range(3)], threading.Event()
    begun, decode = threading.Semaphore(0), Listening._decode
    assert world.get(f"/v1/jobs/{jobs[0]}/peaks").status_code == 200

    def held(self: Listening, *of: Any) -> None:
        begun.release()
        assert let.wait(60)
        decode(self, *of)

    monkeypatch.setattr(Listening, "_decode", held)
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(world.get, f"/v1/jobs/{job}/peaks") for job in jobs[1:]]
        try:
            assert all(begun.acquire(timeout=60) for _ in jobs[1:])
            align = {"start": 0.0, "end": 1.0, "text": "well"}
            assert world.client.post(f"/v1/jobs/{jobs[0]}/align", json=align).status_code == 200
            assert world.get(f"/v1/jobs/{jobs[0]}/media", format="wav").status_code == 200
        finally:
            let.set()
        assert [one.result().status_code for one in waiting] == [200, 200]


def test_a_recording_that_no_browser_plays_comes_as_wav_in_ranges(world: JobsWorld) -> None:
    """The same samples at the same times as the recogniser had: here of an .au file."""
    tone = (np.sin(np.arange(32_000) / 8) * 16_000).astype(">i2").tobytes()
    odd = b".snd" + np.array([24, len(tone), 3, 16_000, 1], ">u4").tobytes() + tone
    job = world.add(odd, "odd?name.au")
    whole = world.get(f"/v1/jobs/{job}/media", format="wav")
    assert (whole.status_code, whole.headers["content-type"]) == (200, "audio/wav")
    assert 'filename="odd_name.wav"' in whole.headers["content-disposition"]
    with wave.open(io.BytesIO(whole.content)) as told:
        assert (told.getnchannels(), told.getsampwidth(), told.getframerate()) == (1, 2, 16_000)
        heard = np.frombuffer(told.readframes(told.getnframes()), "<i2")
    assert np.abs(heard - np.frombuffer(tone, ">i2")).max() <= 1
    etag = whole.headers["etag"]
    for path in world.runner.files.listening.folder.glob("*.wav"):  # room was made
        path.unlink()
    ranged = {"Range": "bytes=100-199", "If-Range": etag}
    part = world.client.get(f"/v1/jobs/{job}/media?format=wav", headers=ranged)
    assert (part.status_code, part.content, part.headers["etag"]) == (206, whole.content[100:200], etag)
    refused = world.get(f"/v1/jobs/{job}/media", format="mp3")
    assert (refused.status_code, error_of(refused)["param"]) == (400, "format")
    world.runner.drop_media(world.clock() + 1)
    assert error_of(world.get(f"/v1/jobs/{job}/media", format="wav"))["code"] == "no_media"


def test_a_signed_address_opens_one_recording_for_a_while_without_a_key(tmp_path: Path, speech: bytes) -> None:
    with jobs_world(tmp_path, key_digests=digests("ann", "bob")) as world:
        job = world.add(speech, headers=bearer("ann"))
        other = world.add(speech, headers=bearer("ann"))
        url = world.client.post(f"/v1/jobs/{job}/media-link", headers=bearer("ann")).json()["url"]
        assert world.client.post(f"/v1/jobs/{job}/media-link", headers=bearer("bob")).status_code == 404
        assert world.client.get(url).content == speech
        assert world.client.head(url).status_code == 200
        assert world.client.get(url, headers={"Range": "bytes=0-3"}).content == speech[:4]
        assert world.client.get(f"{url}&format=wav").content[8:12] == b"WAVE"
        assert world.client.get(f"/v1/jobs/{job}/media").status_code == 401
        for wrong in (
            url.replace(job, other), url.replace("expires=1", "expires=2"), url[:-1], url + "0",
            url.replace("client=", "client=0"), url.replace("/media", "/peaks"), url.replace("/media", "/result"),
        ):  # fmt: skip
            assert world.client.get(wrong).status_code == 401, wrong
        assert world.client.post(url).status_code == 401
        assert world.client.delete(url.replace("/media", "")).status_code == 401
        world.now_s += HOLDS_S + 1
        expired = world.client.get(url)
        assert (expired.status_code, error_of(expired)["code"]) == (401, "link_expired")


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"ID3\x04", "audio/mpeg"), (b"\xff\xfb\x90\x00", "audio/mpeg"), (b"\xff\xf1\x50\x80", "audio/aac"),
        (b"fLaC", "audio/flac"), (b"OggS" + b"\0" * 24 + b"OpusHead", "audio/ogg"), (b"RIFF\0\0\0\0WAVE", "audio/wav"),
        (b"\0\0\0\x20ftypisom", "video/mp4"), (b"\0\0\0\x20ftypM4A ", "audio/mp4"),
        (b"\x1a\x45\xdf\xa3\x42\x82\x84webm", "video/webm"), (b"<html><script>", "application/octet-stream"),
        (b"<svg xmlns", "application/octet-stream"), (b"%PDF-1.7", "application/octet-stream"),
        (b"", "application/octet-stream"),
    ],
)  # fmt: skip
def test_the_type_of_a_recording_is_told_by_its_bytes_and_is_never_a_page(head: bytes, kind: str) -> None:
    assert kind_of(head) == kind


# ------------------------------------------------------------ taking out, finding


def test_results_come_in_every_format_with_subtitle_settings(shared: tuple[JobsWorld, str]) -> None:
    world, job = shared
    short = world.get(f"/v1/jobs/{job}/result", format="srt", line_length=8, lines=1).text
    assert max(len(line) for line in short.splitlines() if "-->" not in line) <= 8
    saved = world.get(f"/v1/jobs/{job}/result", format="vtt", download="true")
    assert saved.headers["content-disposition"].startswith('attachment; filename="talk.vtt"')
    for query, param in (
        ({"format": "exe"}, "format"), ({"line_length": "1"}, "line_length"), ({"lines": "x"}, "lines"),
        ({"reading_speed": "nan"}, "reading_speed"), ({"style": "x"}, "style"), ({"version": "0"}, "version"),
        ({"highlight": "x"}, "highlight"), ({"version": "x"}, "version"), ({"max_words": "1.5"}, "max_words"),
    ):  # fmt: skip
        refused = (
            world.get(f"/v1/jobs/{job}/result", format="srt")
            if not query
            else world.get(f"/v1/jobs/{job}/result", **query)
        )
        assert (refused.status_code, error_of(refused)["param"]) == (400, param), query
    assert error_of(world.get(f"/v1/jobs/{job}/result", version="9"))["code"] == "version_not_found"


def test_a_folder_comes_in_one_zip_with_names_that_are_safe(world: JobsWorld, speech: bytes) -> None:
    names = ["../../etc/passwd.mp3", "talk.mp3", "Talk.wav", "a\\b:c?.mp3", "left_out.mp3"]
    jobs = [world.add(speech, name, folder="lectures") for name in names]
    world.add(speech, "other.mp3")
    queued = world.store.get(jobs[0])
    assert queued is not None
    found = world.client.post("/v1/jobs/archive", json={"folder": "lectures", "formats": ["srt", "txt"]})
    assert (found.status_code, found.headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(found.content)) as archive:
        assert archive.testzip() is None
        stems = ["passwd", "talk", "Talk (2)", "b_c_", "left_out (2)"]
        assert archive.namelist() == [f"{stem}.{kind}" for stem in stems for kind in ("srt", "txt")]
        assert archive.read("talk.txt").decode() == world.get(f"/v1/jobs/{jobs[1]}/result", format="txt").text
    chosen = world.client.post("/v1/jobs/archive", json={"ids": jobs[1:3], "formats": ["vtt"]})
    with zipfile.ZipFile(io.BytesIO(chosen.content)) as archive:
        assert archive.namelist() == ["talk.vtt", "Talk (2).vtt"]
    for body, status in (
        ({}, 400), ({"ids": []}, 400), ({"ids": ["x"]}, 404), ({"ids": [jobs[0]], "folder": "x"}, 400),
        ({"folder": "lectures", "formats": ["exe"]}, 400), ({"ids": [1]}, 400), ({"folder": "x", "version": -1}, 400),
        ({"folder": "x", "subtitles": 1}, 400), ({"folder": "x", "subtitles": {"lines": "x"}}, 400),
        ({"folder": "x", "subtitles": {"lines": [1]}}, 400),
    ):  # fmt: skip
        assert world.client.post("/v1/jobs/archive", json=body).status_code == status, body


def test_names_in_a_zip_are_no_longer_than_a_file_system_takes(world: JobsWorld, speech: bytes) -> None:
    jobs = [world.add(speech, name="\u8b1b" * 199) for _ in range(2)]
    found = world.client.post("/v1/jobs/archive", json={"ids": jobs, "formats": ["words"]})
    names = zipfile.ZipFile(io.BytesIO(found.content)).namelist()
    assert len(set(names)) == 2
    assert max(len(name.encode()) for name in names) <= 255


def test_what_is_not_done_is_left_out_of_a_zip_and_named(world: JobsWorld, speech: bytes) -> None:
    job = world.add(speech)
    until(lambda: world.runner.in_work == 0)
    world.runner.close()
    given = world.client.post("/v1/jobs", files={"file": ("later.mp3", speech)}).json()["id"]
    found = world.client.post("/v1/jobs/archive", json={"ids": [job, given], "formats": ["txt"]})
    with zipfile.ZipFile(io.BytesIO(found.content)) as archive:
        assert archive.namelist() == ["talk.txt", "left_out.txt"]
        assert archive.read("left_out.txt").decode() == "later.mp3: The job is queued, it has no result."


def test_transcripts_are_searched_as_they_are_now(world: JobsWorld, speech: bytes) -> None:
    job = world.add(speech, "Interview Zürich.mp3")
    words = world.segments(job)[0]["words"]

    def hits(query: str) -> list[str]:
        found = world.get("/v1/jobs/search", q=query)
        assert found.status_code == 200, found.text
        return [one["job"]["id"] for one in found.json()["data"]]

    assert hits("zurich interview") == [job]
    edit = [{"from": 0, "to": 1, "segments": [segment(words, **{words[1]["word"]: "<img onerror=alert(1)>"})]}]
    assert world.edit(job, 1, edit).status_code == 200
    [found] = world.get("/v1/jobs/search", q="ONERROR").json()["data"]
    [match] = found["matches"]
    assert (match["segment"], match["match"]) == (0, "onerror")
    assert match["before"].endswith("<img ")
    assert world.client.patch(f"/v1/jobs/{job}", json={"name": "Bern"}).json()["name"] == "Bern"
    assert (hits("zurich"), hits("bern onerror")) == ([], [job])
    for query in ("", " ", "...", "x" * 201):
        assert error_of(world.get("/v1/jobs/search", q=query))["param"] == "q"
    assert error_of(world.get("/v1/jobs/search", q="x", limit=0))["param"] == "limit"


def test_names_and_lists(world: JobsWorld, speech: bytes) -> None:
    jobs = [world.add(speech, name, folder=folder) for name, folder in (("b.mp3", "x"), ("A.mp3", ""), ("c.mp3", "x"))]

    def listed(**query: Any) -> list[str]:
        return [str(job["name"]) for job in world.get("/v1/jobs", **query).json()["data"]]

    assert listed() == ["c.mp3", "A.mp3", "b.mp3"]
    assert listed(sort="name", order="asc") == ["A.mp3", "b.mp3", "c.mp3"]
    assert listed(folder="x", state=["done", "failed"]) == ["c.mp3", "b.mp3"]
    assert listed(name="A.M") == ["A.mp3"]
    assert listed(limit=1, offset=1) == ["A.mp3"]
    assert listed(before=jobs[2], limit=1) == ["A.mp3"]
    page = world.get("/v1/jobs", limit=2).json()
    assert (page["total"], page["has_more"]) == (3, True)
    for query in ({"sort": "x"}, {"order": "x"}, {"state": "x"}, {"limit": "0"}, {"offset": "-1"}, {"before": "x"},
                  {"name": "x" * 201}, {"before": jobs[0], "sort": "name"}):  # fmt: skip
        assert world.get("/v1/jobs", **query).status_code == 400, query
    for name in ("", " ", "a\nb", "x" * 201, 7, None):
        assert world.client.patch(f"/v1/jobs/{jobs[0]}", json={"name": name}).status_code == 400, name
    assert world.client.post("/v1/jobs", files={"file": ("a", speech)}, data={"folder": "a\nb"}).status_code == 400


def test_a_page_behind_a_job_that_was_forgotten_is_no_end_of_the_list(world: JobsWorld, speech: bytes) -> None:
    jobs = [world.add(speech) for _ in range(3)]
    assert world.get("/v1/jobs", before=jobs[0]).json()["data"] == []
    assert world.client.post(f"/v1/jobs/{jobs[1]}/forget").status_code == 200
    assert error_of(world.get("/v1/jobs", before=jobs[1]))["code"] == "job_not_found"


def test_what_is_not_over_is_not_forgotten(world: JobsWorld, speech: bytes) -> None:
    world.runner.close()
    job = world.client.post("/v1/jobs", files={"file": ("talk.mp3", speech)}).json()["id"]
    refused = world.client.post(f"/v1/jobs/{job}/forget")
    assert (refused.status_code, error_of(refused)["code"]) == (409, "not_over")
    for method, path in (("GET", "transcript"), ("GET", "versions"), ("POST", "align"), ("PATCH", "transcript")):
        told = world.client.request(method, f"/v1/jobs/{job}/{path}", json={}, headers={"If-Match": '"1"'})
        assert (told.status_code, error_of(told)["code"]) == (409, "no_result"), path
    world.client.delete(f"/v1/jobs/{job}")
    assert world.client.post(f"/v1/jobs/{job}/forget").json()["id"] == job
    assert world.get(f"/v1/jobs/{job}").status_code == 404


def test_another_clients_job_is_not_there_for_any_route(tmp_path: Path, speech: bytes) -> None:
    with jobs_world(tmp_path, key_digests=digests("ann", "bob")) as world:
        job = world.add(speech, headers=bearer("ann"))
        for method, path in (
            ("PATCH", ""), ("POST", "/forget"), ("GET", "/transcript"), ("PATCH", "/transcript"), ("GET", "/versions"),
            ("POST", "/versions/1/restore"), ("POST", "/align"), ("GET", "/media"), ("POST", "/media-link"),
            ("GET", "/peaks"), ("GET", "/result"),
        ):  # fmt: skip
            told = world.client.request(
                method, f"/v1/jobs/{job}{path}", json={}, headers=bearer("bob") | {"If-Match": '"1"'}
            )
            assert (told.status_code, error_of(told)["code"]) == (404, "job_not_found"), path
        assert world.client.get("/v1/jobs/search", params={"q": "talk"}, headers=bearer("bob")).json()["data"] == []
        assert world.client.get("/v1/jobs", headers=bearer("bob")).json()["total"] == 0
        body = {"ids": [job], "formats": ["txt"]}
        assert world.client.post("/v1/jobs/archive", json=body, headers=bearer("bob")).status_code == 404
