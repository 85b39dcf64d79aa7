// A transcript that is being mended: what is shown, what the service has of it, and how the one becomes the other.
//
//   edit -> shown at once with estimated times -> times from the aligner -> saved
//
// One request at a time. What the service has grows by versions: whoever saves names the one he knew, and is told of a newer one.
import { api, wait } from "./api.js";
import { History, docOf, editsBetween, endOf, merged, shared, startOf, textOf } from "./doc.js";
import { t } from "./strings.js";
import { remember, remembered, tellError, toast } from "./ui.js";
import { signal } from "./vendor/signals-core.js";

/**
 * @typedef {import("./api.js").ApiError} ApiError
 * @typedef {import("./api.js").Version} Version
 * @typedef {import("./doc.js").Doc} Doc
 * @typedef {import("./doc.js").Seg} Seg
 * @typedef {"saved" | "saving" | "unsaved" | "offline" | "conflict" | "refused"} SaveState
 */

const PAUSE_MS = 700;
const REACH_S = 1;
/** What the service says of a draft whose place another has taken. */
const REPLACED = "version_not_found";

/** As whom this browser saves. */
export const author = () => {
  const name = remembered("author", "");
  if (name) return name;
  const made = `Guest ${crypto.getRandomValues(new Uint16Array(1))[0].toString(16).padStart(4, "0")}`;
  remember("author", made);
  return made;
};

/** Whether the next save takes its place: of the same user's, in another window. @param {Version} version */
const isOwnDraft = ({ draft, author: by }) => draft && by === author();

export class Session {
  /** @param {string} id @param {Version} version */
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
    this.theirs = signal(/** @type {Version | null} */ (null));
    /** Whose changes were taken in, last. */
    this.merged = signal(/** @type {{name: string} | null} */ (null));
    this.isLeft = false;
    this.isBusy = false;
    this.hasMedia = true;
    /** Whether somebody writes at a segment, which is no edit yet. */
    this.isWritten = () => false;
    /** What a segment is now that has got its times since. @type {WeakMap<Seg, Seg>} */
    this.timed = new WeakMap();
    /** Whether to look for a newer version. */
    this.looks = false;
    /** Whether the next save would take the place of a draft of this user's own that is to stay. */
    this.spares = false;
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
    if (this.isDirty || this.isWritten()) event.preventDefault();
  };

  get isDirty() {
    return this.history.now !== this.base && (this.isBusy || this.state.value !== "saved");
  }

  /** Nobody looks any more: what is not saved is, whenever that can be, and what cannot be is told. */
  close() {
    this.isLeft = true;
    if (this.state.value === "offline") toast(t("offline"));
    if (this.state.value === "conflict") this.state.value = "unsaved";
    void this.sync().finally(() => {
      removeEventListener("online", this.retry);
      removeEventListener("beforeunload", this.leaving);
    });
  }

  /** @param {Doc} doc */
  change(doc) {
    this.history.push(doc);
    this.show();
  }

  /**
   * The place of a segment that was shown once, by its number; -1 where somebody else has changed it since.
   * @param {Seg} segment
   */
  placeOf(segment) {
    for (let one = /** @type {Seg | undefined} */ (segment); one; one = this.timed.get(one)) {
      const at = this.history.now.indexOf(one);
      if (at >= 0) return at;
    }
    return -1;
  }

  /** An edit of what was shown when somebody began to write: it stays where another has changed the same since, which is in undo. @param {Doc} known @param {Doc} made */
  bring(known, made) {
    const { now } = this.history;
    this.change(known === now ? made : /** @type {Doc} */ (merged(known, made, now, "mine")));
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
    if (this.state.value === "conflict") return this.syncing ?? Promise.resolve();
    clearTimeout(this.timer);
    this.syncing ??= this.run().finally(() => {
      this.syncing = undefined;
    });
    return this.syncing;
  }

  /** As `sync`, for what only makes sense with all that is shown. Raises Error where it cannot be saved. */
  async settled() {
    if (this.state.value !== "offline") await this.sync();
    if (this.state.value === "offline" || this.state.value === "conflict" || this.state.value === "refused") throw new Error(t(`save_${this.state.value}`));
  }

  /** Take in what somebody else saved meanwhile. */
  async look() {
    this.looks = true;
    await this.sync();
  }

  async run() {
    this.isBusy = true;
    try {
      for (let tries = 0; ; tries += 1) {
        const todo = this.history.now.find((segment) => segment.pending);
        if (!todo && !this.looks && this.history.now === this.base) break;
        this.state.value = "saving";
        try {
          if (this.looks) {
            if (!(await this.meet())) return;
          } else if (todo) await this.align(todo);
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
    const { status = -1, code = "", message = String(error), mayPass = false } = /** @type {ApiError} */ (error);
    if (status === 412 || code === REPLACED) return this.meet().catch((other) => this.failed(other, tries));
    if (mayPass) {
      if (this.isLeft && !tries) toast(t("offline"));
      this.state.value = "offline";
      await wait(Math.min(1000 * 2 ** tries, 10_000));
      return true;
    }
    this.state.value = "refused";
    this.problem.value = message;
    if (this.isLeft) tellError(error);
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
        const { code = "", message = "", mayPass = true } = /** @type {ApiError} */ (error);
        if (code === "no_media") this.hasMedia = false;
        else if (mayPass || code === REPLACED) throw error;
        else this.problem.value = message;
      }
    }
    const place = this.history.now.indexOf(segment);
    if (place < 0 || !words.length) return;
    const timed = { words, language_code: segment.language_code };
    this.timed.set(segment, timed);
    this.history.amend(this.history.now.with(place, timed));
    this.doc.value = this.history.now;
  }

  async save() {
    if (this.spares) {
      // A copy of it follows, which is no draft: that is what the next save follows on.
      this.version = (await api.restore(this.id, this.version, this.version, author())).version;
      this.spares = false;
    }
    const doc = this.history.now;
    const edits = editsBetween(this.base, doc);
    if (edits.length) {
      this.sent = doc;
      this.version = (await this.put(edits, this.version, true)).version;
    }
    this.base = doc;
  }

  /** @param {import("./doc.js").Edit[]} edits @param {number} version @param {boolean} draft */
  put(edits, version, draft) {
    const told = edits.map(({ from, to, segments }) => ({
      from,
      to,
      segments: segments.map(({ words, language_code }) => ({ words, language_code })),
    }));
    return api.save(this.id, version, { edits: told, author: author(), draft, note: "" });
  }

  /** Somebody else saved: both together, where they touched different places. */
  async meet() {
    const latest = await api.transcript(this.id);
    const theirs = shared(this.base, docOf(latest.transcript));
    if (this.sent && !editsBetween(this.sent, theirs).length) {
      this.met(latest, this.sent); // it was us: the answer was lost
      return true;
    }
    const both = merged(this.base, this.history.now, theirs);
    if (!both) {
      if (this.isLeft) await this.giveWay(latest, theirs);
      else {
        this.theirs.value = latest;
        this.state.value = "conflict";
      }
      return false;
    }
    if (editsBetween(this.base, theirs).length) {
      this.history.rebase(this.base, theirs, both);
      this.doc.value = both;
      this.merged.value = { name: latest.author };
    }
    this.met(latest, theirs);
    return true;
  }

  /** @param {Version} latest @param {Doc} doc what it has */
  met(latest, doc) {
    this.version = latest.version;
    this.base = doc;
    this.looks = false;
  }

  /** Nobody is there to be asked: theirs stays, and what was written here is a version of its own. @param {Version} latest @param {Doc} theirs */
  async giveWay(latest, theirs) {
    const mine = /** @type {Doc} */ (merged(this.base, this.history.now, theirs, "mine"));
    const known = isOwnDraft(latest) ? (await api.restore(this.id, latest.version, latest.version, author())).version : latest.version;
    const made = await this.put(editsBetween(theirs, mine), known, false);
    await api.restore(this.id, known, made.version, latest.author);
    this.base = this.history.now;
    this.state.value = "saved";
    toast(t("gave_way", { name: latest.author || t("somebody") }));
  }

  /** What becomes of a conflict: both ways keep the other text in the versions, or in undo. @param {"mine" | "theirs"} choice */
  resolve(choice) {
    const latest = this.theirs.value;
    if (!latest) return;
    const theirs = shared(this.base, docOf(latest.transcript));
    const both = (/** @type {"mine" | "theirs"} */ one) => /** @type {Doc} */ (merged(this.base, this.history.now, theirs, one));
    const [chosen, other] = choice === "mine" ? [both("mine"), both("theirs")] : [both("theirs"), both("mine")];
    this.history.rebase(this.base, theirs, other);
    this.history.push(chosen);
    this.spares = choice === "mine" && isOwnDraft(latest);
    this.met(latest, theirs);
    this.theirs.value = null;
    this.state.value = "unsaved";
    this.doc.value = this.history.now;
    void this.sync();
  }

  /** A version of the service's takes the place of what is shown; undo brings that back. @param {Version} latest */
  adopt(latest) {
    this.met(latest, shared(this.base, docOf(latest.transcript)));
    this.history.push(this.base);
    this.doc.value = this.base;
    this.state.value = "saved";
  }
}
