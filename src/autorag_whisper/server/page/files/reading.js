// One recording that is read: its job, its words as they come and as they are kept, the player, and the spoken word.
import { api, follow, wait } from "./api.js";
import { WordIndex, join, joined, retold, split, startOf, textOf, tokens, wordsBefore } from "./doc.js";
import { edit } from "./editor.js";
import { jobs, keepLooking, put } from "./jobs.js";
import { Player } from "./player.js";
import { Session } from "./session.js";
import { t } from "./strings.js";
import { remember, remembered, tellError, toast } from "./ui.js";
import { signal } from "./vendor/signals-core.js";
import { TextView, doubt } from "./view.js";

/**
 * @typedef {import("./doc.js").Doc} Doc
 * @typedef {import("./doc.js").Seg} Seg
 * @typedef {import("./api.js").Job} Job
 * @typedef {{confidence: boolean, sources: boolean, rejected: boolean, pauses: boolean}} Shown
 */

export class Reading {
  /** @param {string} id @param {number | null} at */
  constructor(id, at) {
    this.id = id;
    this.at = at;
    this.job = signal(/** @type {Job | null} */ (null));
    this.session = signal(/** @type {Session | null} */ (null));
    this.player = signal(/** @type {Player | null} */ (null));
    this.problem = signal("");
    this.isOnline = signal(true);
    this.follows = signal(true);
    this.focused = signal(/** @type {import("./doc.js").Word | null} */ (null));
    this.shown = signal(/** @type {Shown} */ (remembered("shown", { confidence: true, sources: false, rejected: false, pauses: false })));
    this.newer = signal(0);
    /** @type {Doc} */
    this.doc = [];
    this.index = new WordIndex([]);
    /** @type {TextView | null} */
    this.view = null;
    this.stop = new AbortController();
    this.frame = 0;
    this.heard = { last: "0" };
    /** @type {Promise<void> | undefined} */
    this.watching = undefined;
    /** @type {(() => void)[]} */
    this.endings = [];
  }

  /** @param {HTMLElement} root */
  async open(root) {
    this.view = new TextView(root, {
      play: (time) => this.playFrom(time),
      edit: (segment, word) => this.edit(segment, word),
      focused: (word) => {
        this.focused.value = word;
      },
      unfollow: () => {
        if (this.player.value?.playing.value) this.follows.value = false;
      },
      rendered: () => this.onRendered(),
      placeOf: (segment) => this.session.value?.placeOf(segment) ?? -1,
    });
    try {
      const found = await this.sure(() => api.job(this.id));
      if (this.stop.signal.aborted) return;
      this.setJob(found);
      this.endings.push(keepLooking(this.id), jobs.subscribe((all) => this.meets(all.find((job) => job.id === this.id))));
      const { state } = /** @type {Job} */ (this.job.value);
      if (state === "done") await this.load();
      else await this.watch();
    } catch (error) {
      if (!this.stop.signal.aborted) this.problem.value = /** @type {Error} */ (error).message;
    }
  }

  /** An answer, whenever there is a connection. @template T @param {() => Promise<T>} ask @returns {Promise<T>} */
  async sure(ask) {
    for (let tries = 0; ; tries += 1) {
      try {
        const found = await ask();
        this.problem.value = "";
        return found;
      } catch (error) {
        if (this.stop.signal.aborted || !(/** @type {any} */ (error).mayPass)) throw error;
        this.problem.value = t("offline");
      }
      await wait(Math.min(500 * 2 ** tries, 5000), this.stop.signal);
    }
  }

  /** Told when rows were drawn: marks of what was found are put on them. */
  onRendered = () => {};

  close() {
    this.stop.abort();
    cancelAnimationFrame(this.frame);
    this.view?.editor?.finish();
    for (const end of this.endings) end();
    this.session.value?.close();
    this.player.value?.close();
    this.view?.close();
  }

  /** @param {Job} job */
  setJob(job) {
    this.job.value = job;
    put(job);
    if (!this.player.value && job.has_media) this.openPlayer(job);
  }

  /** @param {Job} job */
  openPlayer(job) {
    const player = new Player(this.id, job.progress.total_s ?? 0);
    this.player.value = player;
    const look = () => {
      this.follow();
      if (player.playing.value) this.frame = requestAnimationFrame(look);
    };
    this.endings.push(
      player.playing.subscribe((is) => {
        cancelAnimationFrame(this.frame);
        if (is) look();
      }),
    );
    player.media.addEventListener("seeked", () => this.follow());
    if (this.at !== null) player.media.currentTime = this.at;
    void player.open();
  }

  follow() {
    const player = this.player.value;
    if (!player || !this.view) return;
    this.view.setNow(this.index.wordAt(player.time), this.follows.value);
  }

  /** Until the job is over: however often it is asked for, it is done once at a time. @returns {Promise<void>} */
  watch() {
    this.watching ??= this.live().finally(() => {
      this.watching = undefined;
    });
    return this.watching;
  }

  /** What the list knows of the job: it begins, or somebody stops it or tries it again elsewhere. @param {Job | undefined} known */
  meets(known) {
    const job = this.job.value;
    if (!known || !job || known === job || this.session.value) return;
    const isSamePlace = known.position === undefined || known.position === job.position;
    if (known.state === job.state && known.finished_at === job.finished_at && isSamePlace) return;
    this.job.value = { ...job, ...known };
    this.watch().catch((error) => {
      if (!this.stop.signal.aborted) this.problem.value = error.message;
    });
  }

  /** Stop the job: `watch`, which goes on, is told of its end. */
  cancel = () => api.cancel(this.id);

  /** Queue the job again. It may be running, or be over once more, before the answer is here. */
  async retry() {
    const queued = await api.retry(this.id);
    if (this.session.value) return; // it is done, and read, already
    this.setJob(queued);
    await this.watch();
  }

  /** Words as they are recognised, behind those that are shown; the transcript when they are. */
  async live() {
    await follow(
      this.id,
      (kind, data) => {
        if (kind === "restart") this.show([]);
        else if (kind === "segment") this.show([...this.doc, heard(data)]);
        else if (kind === "progress" && this.job.value) this.setJob({ ...this.job.value, progress: data });
        else if (kind === "state") this.setJob({ .../** @type {Job} */ (this.job.value), ...data });
      },
      this.stop.signal,
      this.heard,
      (is) => {
        this.isOnline.value = is;
      },
    );
    if (this.stop.signal.aborted || this.job.value?.state !== "done" || this.session.value) return;
    this.setJob(await this.sure(() => api.job(this.id)));
    await this.load();
  }

  async load() {
    const version = await this.sure(() => api.transcript(this.id));
    await wait(0); // a long one is read, and shown, in tasks of their own
    if (this.stop.signal.aborted) return;
    const session = new Session(this.id, version);
    session.hasMedia = this.job.value?.has_media ?? true;
    session.isWritten = () => this.view?.editor?.isChanged() ?? false;
    this.session.value = session;
    this.show(session.doc.value);
    this.endings.push(
      session.doc.subscribe((doc) => this.show(doc)),
      jobs.subscribe((all) => {
        const newest = all.find((job) => job.id === this.id)?.version ?? 0;
        this.newer.value = newest > session.version && !session.isBusy && session.state.value !== "conflict" ? newest : 0;
      }),
    );
    if (this.at !== null) this.view?.go(this.index.wordFrom(this.at), false);
  }

  /** @param {Doc} doc */
  show(doc) {
    const { view } = this;
    if (!view || (doc === this.doc && doc.length)) return;
    const isLive = !this.session.value;
    const atEnd = view.root.scrollTop + view.root.clientHeight > view.root.scrollHeight - 120;
    this.doc = doc;
    this.index = new WordIndex(doc);
    this.draw();
    if (isLive && atEnd && doc.length > 1 && !this.player.value?.playing.value) view.root.scrollTop = view.root.scrollHeight;
  }

  draw() {
    const rejected = this.shown.value.rejected ? (this.session.value?.transcript.rejected ?? []) : [];
    this.view?.set(this.doc, this.index, rejected);
    this.follow();
  }

  /** @param {keyof Shown} name */
  toggle(name) {
    this.shown.value = { ...this.shown.value, [name]: !this.shown.value[name] };
    remember("shown", this.shown.value);
    if (name === "pauses") this.view?.heights.clear();
    if (name === "rejected" || name === "pauses") this.draw();
  }

  /** @param {number} time */
  playFrom(time) {
    const player = this.player.value;
    if (!player) return;
    this.follows.value = true;
    const loop = player.loop.value;
    if (loop && (time < loop.start || time >= loop.end)) player.setLoop(null);
    player.seek(time, true);
  }

  /** Loop what is selected in the text; else the segment that is spoken or looked at. */
  loop() {
    const player = this.player.value;
    const view = this.view;
    if (!player || !view || !this.index.starts.length) return;
    const chosen = view.selected();
    if (player.loop.value && !chosen) {
      player.setLoop(null);
      return;
    }
    const segment = this.index.segmentOf(view.now >= 0 ? view.now : view.focus);
    const [first, last] = chosen ?? [this.index.first[segment], this.index.first[segment + 1] - 1];
    player.setLoop({ start: this.index.starts[first], end: this.index.ends[last] });
    document.getSelection()?.removeAllRanges();
    player.seek(this.index.starts[first], true);
  }

  /** The next word that the recogniser was not sure of. @param {1 | -1} step */
  doubtful(step) {
    const count = this.index.starts.length;
    const { view } = this;
    if (!view) return false;
    const words = this.doc.flatMap((segment) => segment.words);
    for (let i = 1; i <= count; i += 1) {
      const at = (((view.focus + step * i) % count) + count) % count;
      if (!doubt(words[at])) continue;
      this.follows.value = false;
      view.go(at);
      this.player.value?.seek(words[at].start);
      return true;
    }
    return false;
  }

  get current() {
    const { view } = this;
    return view && this.index.starts.length ? this.index.segmentOf(Math.max(0, view.focus)) : 0;
  }

  editHere() {
    this.edit(this.current, this.view?.focus ?? -1);
  }

  /** @param {number} at @param {number} word */
  edit(at, word) {
    const { view } = this;
    const session = this.session.value;
    if (!view || !session || !this.doc[at]) return;
    this.follows.value = false;
    const [known, was] = [this.doc, this.doc[at]];
    /**
     * What was written, put where the segment is by now: others may have been changed, and its times found, since.
     * @param {string} text @param {(made: Seg, doc: Doc, at: number) => Doc} put @returns {number} where that is
     */
    const written = (text, put) => {
      const place = session.placeOf(was);
      const [doc, now] = place >= 0 ? [session.history.now, place] : [known, at];
      const made = retold(doc[now], text);
      const next = put(made ?? doc[now], doc, now);
      if (place < 0 && next !== doc) toast(t("kept_yours"));
      if (next !== doc) session.bring(doc, next);
      return now;
    };
    /** @param {Seg} made @param {Doc} doc @param {number} now */
    const alone = (made, doc, now) => (made === doc[now] ? doc : doc.toSpliced(now, 1, ...(made.words.length ? [made] : [])));
    edit(view, at, word, {
      done: (text) => void written(text, alone),
      split: (text, caret) =>
        void written(text, (made, doc, now) => {
          const cut = wordsBefore(made.words, joined(tokens(text.slice(0, caret), was.language_code)).length);
          return cut > 0 && cut < made.words.length ? doc.toSpliced(now, 1, ...split(made, cut)) : alone(made, doc, now);
        }),
      join: (text) => void written(text, (made, doc, now) => (now > 0 ? doc.toSpliced(now - 1, 2, join(doc[now - 1], made)) : alone(made, doc, now))),
      go: (text, step) => {
        const count = this.doc.length;
        const place = written(text, alone);
        const next = step < 0 ? place - 1 : place + 1 + Math.min(0, this.doc.length - count); // where nothing was left the next one is here
        if (this.doc[next]) this.edit(next, this.index.first[next]);
      },
      play: (time) => {
        if (time === null) this.player.value?.toggle();
        else this.player.value?.seek(time, true);
      },
    });
  }

  /** @param {number} at @param {number} count @param {Doc} made */
  replace(at, count, made) {
    this.session.value?.change(this.doc.toSpliced(at, count, ...made));
  }

  /** Where the keyboard is: from that word on it is a segment of its own. */
  splitHere() {
    const at = this.current;
    const cut = (this.view?.focus ?? 0) - this.index.first[at];
    if (cut > 0) this.replace(at, 1, split(this.doc[at], cut));
    this.view?.go(this.view.focus);
  }

  joinHere() {
    const at = this.current;
    if (at > 0) this.replace(at - 1, 2, [join(this.doc[at - 1], this.doc[at])]);
    this.view?.go(this.view.focus);
  }

  /** The text for the clipboard. @param {boolean} withTimes @param {(seconds: number) => string} clock */
  text(withTimes, clock) {
    return this.doc.map((segment) => (withTimes ? `[${clock(startOf(segment))}] ` : "") + textOf(segment)).join("\n");
  }

  /** What somebody else saved meanwhile. */
  async takeNewer() {
    try {
      await this.session.value?.look();
      this.newer.value = 0;
    } catch (error) {
      tellError(error);
    }
  }
}

/** A segment as events have it: words without figures. @param {{text: string, language_code: string, words: {word: string, start: number, end: number}[]}} told @returns {import("./doc.js").Seg} */
function heard({ text, language_code, words }) {
  let from = 0;
  return {
    language_code,
    words: words.map((word) => {
      const at = text.indexOf(word.word, from);
      const space_before = at <= 0 || /\s/u.test(text[at - 1]);
      if (at >= 0) from = at + word.word.length;
      return { ...word, probability: 1, source: "", score: null, space_before };
    }),
  };
}
