// A transcript that is being mended: what is shown, what the service has of it, and how the one becomes the other.
//
//   edit -> shown at once with estimated times -> saved as it is -> times from the aligner -> saved again
//
// One request at a time. What the service has grows by versions: whoever saves names the one he knew, and is told of a newer one.
import { api, wait } from "./api.js";
import { History, docOf, editsBetween, endOf, merged, startOf, textOf } from "./doc.js";
import { remember, remembered, tellError } from "./ui.js";
import { signal } from "./vendor/signals-core.js";

/**
 * @typedef {import("./doc.js").Doc} Doc
 * @typedef {import("./doc.js").Seg} Seg
 * @typedef {"saved" | "saving" | "unsaved" | "offline" | "conflict" | "refused"} SaveState
 */

const PAUSE_MS = 700;
const REACH_S = 1;

/** As whom this browser saves. */
export const author = () => {
  const name = remembered("author", "");
  if (name) return name;
  const made = `Guest ${crypto.getRandomValues(new Uint16Array(1))[0].toString(16).padStart(4, "0")}`;
  remember("author", made);
  return made;
};

export class Session {
  /** @param {string} id @param {import("./api.js").Version} version */
  constructor(id, version) {
    this.id = id;
    this.version = version.version;
    this.transcript = version.transcript;
    this.base = docOf(version.transcript);
    this.history = new History(this.base);
    this.doc = signal(this.base);
    this.state = signal(/** @type {SaveState} */ ("saved"));
    this.problem = signal("");
    /** What was sent last to be saved: its answer may be lost. @type {Doc | null} */
    this.sent = null;
    /** The other side's version where both changed the same place. */
    this.theirs = signal(/** @type {import("./api.js").Version | null} */ (null));
    this.merged = signal("");
    this.isClosed = false;
    this.isBusy = false;
    this.hasMedia = true;
    this.stop = new AbortController();
    /** @type {Promise<void> | undefined} */
    this.syncing = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    addEventListener("online", this.retry);
    addEventListener("beforeunload", this.leaving);
  }

  retry = () => void this.sync();

  /** @param {BeforeUnloadEvent} event */
  leaving = (event) => {
    if (this.isDirty) event.preventDefault();
  };

  get isDirty() {
    return this.history.now !== this.base && (this.isBusy || this.state.value !== "saved");
  }

  /** Save what is not saved, and end. */
  close() {
    this.isClosed = true;
    this.stop.abort();
    removeEventListener("online", this.retry);
    removeEventListener("beforeunload", this.leaving);
    void this.finish();
  }

  /** The last save, behind the one that is on its way; what cannot be saved is told. */
  async finish() {
    await this.syncing?.catch(() => {});
    for (let tries = 0; this.history.now !== this.base; tries += 1) {
      try {
        await this.save();
      } catch (error) {
        const { status } = /** @type {import("./api.js").ApiError} */ (error);
        if (status === 412 && tries < 5 && (await this.meet().catch(() => false))) continue;
        tellError(error);
        return;
      }
    }
  }

  /** @param {Doc} doc */
  change(doc) {
    this.history.push(doc);
    this.show();
  }

  undo() {
    if (this.history.undo()) this.show();
  }

  redo() {
    if (this.history.redo()) this.show();
  }

  show() {
    this.doc.value = this.history.now;
    if (this.state.value === "conflict") return;
    this.state.value = "unsaved";
    clearTimeout(this.timer);
    this.timer = setTimeout(this.retry, PAUSE_MS);
  }

  /** Until the service has what is shown, times included. @returns {Promise<void>} */
  sync() {
    if (this.isClosed || this.state.value === "conflict") return Promise.resolve();
    clearTimeout(this.timer);
    this.syncing ??= this.run().finally(() => {
      this.syncing = undefined;
    });
    return this.syncing;
  }

  async run() {
    this.isBusy = true;
    try {
      for (let tries = 0; !this.isClosed; tries += 1) {
        const todo = this.history.now.find((segment) => segment.pending);
        if (!todo && this.history.now === this.base) break;
        this.state.value = "saving";
        try {
          if (todo) await this.align(todo);
          else await this.save();
          tries = -1;
        } catch (error) {
          if (!(await this.failed(error, tries))) return;
        }
      }
      this.state.value = "saved";
      this.problem.value = "";
    } finally {
      this.isBusy = false;
    }
  }

  /** Whether to try again. @param {unknown} error @param {number} tries @returns {Promise<boolean>} */
  async failed(error, tries) {
    const { status = -1, message = String(error) } = /** @type {import("./api.js").ApiError} */ (error);
    if (this.isClosed) return false;
    if (status === 412) return this.meet().catch((other) => this.failed(other, tries));
    if (status === 0 || status === 408 || status === 429 || status >= 500) {
      this.state.value = "offline";
      await wait(Math.min(1000 * 2 ** tries, 10_000), this.stop.signal);
      return true;
    }
    this.state.value = "refused";
    this.problem.value = message;
    return false;
  }

  /** The words of an edited segment, from the sound. @param {Seg} segment */
  async align(segment) {
    const doc = this.history.now;
    const at = doc.indexOf(segment);
    const [before, after] = [doc[at - 1], doc[at + 1]];
    const start = Math.max(before ? endOf(before) : 0, startOf(segment) - REACH_S, 0);
    const end = Math.min(after ? startOf(after) : this.transcript.duration, endOf(segment) + REACH_S);
    let words = /** @type {readonly import("./doc.js").Word[]} */ (segment.words);
    if (this.hasMedia && end > start) {
      try {
        const body = { start, end, text: textOf(segment), language: segment.language_code || undefined, version: this.version };
        const found = await api.align(this.id, body);
        // What a person wrote is not the recogniser's to doubt.
        words = found.words.map(({ changed, ...word }) => (changed ? { ...word, probability: 1 } : word));
      } catch (error) {
        const { status = -1, code = "" } = /** @type {import("./api.js").ApiError} */ (error);
        if (code === "no_media") this.hasMedia = false;
        else if (!(status >= 400 && status < 500) || status === 429 || status === 408) throw error;
        else this.problem.value = /** @type {Error} */ (error).message;
      }
    }
    const place = this.history.now.indexOf(segment);
    if (place < 0 || !words.length) return;
    const timed = { words, language_code: segment.language_code };
    this.history.amend(this.history.now.with(place, timed));
    this.doc.value = this.history.now;
  }

  async save() {
    const doc = this.history.now;
    const edits = editsBetween(this.base, doc);
    if (edits.length) {
      const told = edits.map(({ from, to, segments }) => ({
        from,
        to,
        segments: segments.map(({ words, language_code }) => ({ words, language_code })),
      }));
      this.sent = doc;
      const saved = await api.save(this.id, this.version, { edits: told, author: author(), draft: true, note: "" });
      this.version = saved.version;
    }
    this.base = doc;
  }

  /** Somebody else saved: both together, where they touched different places. */
  async meet() {
    const latest = await api.transcript(this.id);
    const theirs = docOf(latest.transcript);
    if (this.sent && !editsBetween(this.sent, theirs).length) {
      this.version = latest.version; // it was us: the answer was lost
      this.base = this.sent;
      return true;
    }
    const both = merged(this.base, this.history.now, theirs);
    if (!both) {
      this.theirs.value = latest;
      this.state.value = "conflict";
      return false;
    }
    this.version = latest.version;
    this.base = theirs;
    this.history.push(both);
    this.doc.value = both;
    this.merged.value = latest.author;
    return true;
  }

  /** What becomes of a conflict: both ways keep the other text in the versions, or in undo. @param {"mine" | "theirs"} choice */
  resolve(choice) {
    const latest = this.theirs.value;
    if (!latest) return;
    this.version = latest.version;
    this.base = docOf(latest.transcript);
    this.theirs.value = null;
    if (choice === "theirs") this.history.push(this.base);
    this.state.value = "unsaved";
    this.doc.value = this.history.now;
    void this.sync();
  }

  /** A version of the service's takes the place of what is shown; undo brings that back. @param {import("./api.js").Version} latest */
  adopt(latest) {
    this.version = latest.version;
    this.base = docOf(latest.transcript);
    this.history.push(this.base);
    this.doc.value = this.base;
    this.state.value = "saved";
  }
}
