// The text: of all segments only those that are seen are in the page. The spoken word gets a class, found by binary search.
import { startOf } from "./doc.js";
import { clock } from "./ui.js";
import { t } from "./strings.js";

/**
 * @typedef {import("./doc.js").Doc} Doc
 * @typedef {import("./doc.js").Word} Word
 * @typedef {import("./doc.js").Seg} Seg
 * @typedef {import("./doc.js").WordIndex} WordIndex
 * @typedef {{kind: "segment", at: number, segment: Seg} | {kind: "rejected", rejected: import("./api.js").Rejected}} Row
 * @typedef {{play: (time: number, word: number) => void, edit: (segment: number, word: number) => void, focused: (word: Word | null) => void,
 *   unfollow: () => void, rendered: () => void, placeOf: (segment: Seg) => number}} On
 * @typedef {{segment: Seg, element: HTMLElement, row: number, isChanged: () => boolean, finish: () => void}} Editor
 *   what somebody writes at, and its row
 */

const OVERSCAN_PX = 500;
const PAUSE_S = 1;
const NARROW = 560;

/** @param {Word} word */
export const doubt = (word) => (word.probability < 0.5 ? "low" : word.probability < 0.8 ? "mid" : "");
/** Signs of how a time was found, for the legend and beside words. @type {Record<string, string>} */
export const SOURCES = { ctc: "c", characters: "l", tokens: "t", interpolated: "≈" };

export class TextView {
  /** @param {HTMLElement} root a box that scrolls @param {On} on */
  constructor(root, on) {
    this.root = root;
    this.on = on;
    this.canvas = document.createElement("div");
    this.canvas.className = "segs";
    this.canvas.setAttribute("role", "feed");
    this.canvas.setAttribute("aria-label", t("transcript"));
    root.append(this.canvas);
    /** @type {Row[]} */
    this.rows = [];
    /** @type {Int32Array} */
    this.rowOf = new Int32Array(0);
    /** Where each row begins, and where the last one ends. */
    this.tops = new Float64Array(1);
    /** @type {Map<object, number>} */
    this.heights = new Map();
    /** @type {Map<number, HTMLElement>} */
    this.shown = new Map();
    this.width = 0;
    this.now = -1;
    this.focus = 0;
    /** @type {Editor | null} */
    this.editor = null;
    /** @type {WordIndex | null} */
    this.index = null;
    /** @type {HTMLElement | null} */
    this.marked = null;
    /** @type {Int32Array | null} */
    this.firsts = null;
    this.size = 17;
    this.line = 28;
    root.addEventListener("scroll", () => this.draw());
    for (const kind of ["wheel", "touchmove"]) root.addEventListener(kind, () => on.unfollow(), { passive: true });
    root.addEventListener("click", (event) => this.clicked(event));
    root.addEventListener("dblclick", (event) => this.doubled(event));
    root.addEventListener("keydown", (event) => this.pressed(event));
    root.addEventListener("focusin", (event) => this.entered(event));
    this.resized = new ResizeObserver(() => this.fit());
    this.resized.observe(root);
    this.fit();
  }

  close() {
    this.resized.disconnect();
  }

  /** @param {Doc} doc @param {WordIndex} index @param {readonly import("./api.js").Rejected[]} rejected */
  set(doc, index, rejected) {
    const anchor = this.anchor();
    const hadFocus = this.wordOf(document.activeElement) >= 0 && this.root.contains(document.activeElement);
    this.index = index;
    /** @type {Row[]} */
    const rows = [];
    const rowOf = new Int32Array(doc.length);
    const waiting = [...rejected].sort((a, b) => a.start - b.start);
    doc.forEach((segment, at) => {
      while (waiting.length && waiting[0].start < startOf(segment)) rows.push({ kind: "rejected", rejected: /** @type {any} */ (waiting.shift()) });
      rowOf[at] = rows.length;
      rows.push({ kind: "segment", at, segment });
    });
    for (const one of waiting) rows.push({ kind: "rejected", rejected: one });
    const [before, words] = [this.rows, this.firsts];
    this.rows = rows;
    this.rowOf = rowOf;
    this.firsts = index.first;
    for (const [i, element] of this.shown) {
      const [row, old] = [rows[i], before[i]];
      const isSame = row && old && keyOf(row) === keyOf(old) && row.kind === "segment" && words?.[row.at] === index.first[row.at] && !this.editor;
      if (isSame) continue;
      if (this.editor?.element !== element) element.remove();
      this.shown.delete(i);
    }
    if (this.editor) this.keepEditor(this.editor);
    this.canvas.querySelectorAll(".seg").forEach((one) => {
      one.setAttribute("aria-setsize", String(rows.length));
    });
    this.measureAll();
    this.draw(anchor);
    if (!hadFocus || this.root.contains(document.activeElement) || !index.starts.length) return;
    this.focus = Math.min(this.focus, index.starts.length - 1);
    this.element(this.focus)?.setAttribute("tabindex", "0");
    this.element(this.focus)?.focus({ preventScroll: true });
  }

  /** What somebody writes at stays with its segment, whatever comes before it; where that is gone, where it was. @param {Editor} editor */
  keepEditor(editor) {
    const at = this.on.placeOf(editor.segment);
    editor.row = at >= 0 ? this.rowOf[at] : Math.min(editor.row, this.rows.length - 1);
    editor.element.dataset.row = String(editor.row);
    this.shown.set(editor.row, editor.element);
    this.fitEditor();
  }

  /** Its row is as high as what is written. */
  fitEditor() {
    const row = this.editor && this.rows[this.editor.row];
    if (!row || !this.editor) return;
    const height = this.editor.element.offsetHeight;
    if (this.heights.get(keyOf(row)) === height) return;
    this.heights.set(keyOf(row), height);
    this.measureAll();
    this.lay();
  }

  /** What is at the top, to be there again after a change. */
  anchor() {
    const top = this.root.scrollTop;
    const row = Math.max(0, this.rowAt(top));
    const found = this.rows[row];
    return found ? { key: keyOf(found), time: timeOf(found), below: top - this.tops[row] } : null;
  }

  /** @param {number} y */
  rowAt(y) {
    let low = 0;
    let high = this.rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.tops[middle] <= y) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  fit() {
    if (this.root.clientWidth === this.width) {
      this.draw();
      return;
    }
    const anchor = this.anchor();
    this.width = this.root.clientWidth;
    this.heights.clear();
    const style = getComputedStyle(this.canvas);
    this.size = Number.parseFloat(style.fontSize);
    this.line = Number.parseFloat(style.lineHeight);
    this.measureAll();
    for (const element of this.shown.values()) if (element !== this.editor?.element) element.remove(); // nobody is thrown out
    this.shown.clear();
    if (this.editor) this.keepEditor(this.editor);
    this.draw(anchor);
  }

  /** @param {Row} row */
  guess(row) {
    const length = row.kind === "segment" ? row.segment.words.reduce((sum, { word }) => sum + word.length + 1, 0) : row.rejected.text.length;
    const { line } = this;
    const room = Math.min(this.width, 760) - (this.width > NARROW ? 110 : 40);
    const perLine = Math.max(8, room / (this.size * 0.47));
    return Math.ceil(length / perLine) * line + (this.width > NARROW ? 14 : 36);
  }

  measureAll() {
    const tops = new Float64Array(this.rows.length + 1);
    this.rows.forEach((row, i) => {
      tops[i + 1] = tops[i] + (this.heights.get(keyOf(row)) ?? this.guess(row));
    });
    this.tops = tops;
  }

  /** @param {{key: object, time: number, below: number} | null} [anchor] */
  draw(anchor) {
    if (!this.width || !this.rows.length) {
      this.canvas.style.height = "0";
      this.canvas.replaceChildren();
      this.shown.clear();
      return;
    }
    if (anchor) this.place(anchor);
    for (let round = 0; round < 4; round += 1) {
      const top = this.root.scrollTop;
      const keep = anchor ?? this.anchor();
      const first = Math.max(0, this.rowAt(top - OVERSCAN_PX));
      const last = Math.min(this.rows.length - 1, this.rowAt(top + this.root.clientHeight + OVERSCAN_PX));
      const made = this.fill(first, last);
      let changed = false;
      for (const i of made) {
        const height = /** @type {HTMLElement} */ (this.shown.get(i)).offsetHeight;
        const key = keyOf(this.rows[i]);
        if (this.heights.get(key) !== height) {
          changed ||= this.tops[i + 1] - this.tops[i] !== height;
          this.heights.set(key, height);
        }
      }
      if (!changed) break;
      this.measureAll();
      this.lay();
      if (keep) this.place(keep);
    }
    this.lay();
    this.mark();
    this.on.rendered();
  }

  /** @param {{key: object, time: number, below: number}} anchor */
  place({ key, time, below }) {
    let row = this.rows.findIndex((one) => keyOf(one) === key);
    if (row < 0) row = this.rows.findLastIndex((one) => timeOf(one) <= time);
    this.canvas.style.height = `${this.tops[this.rows.length]}px`;
    const top = Math.max(0, this.tops[Math.max(0, row)] + below);
    if (Math.abs(this.root.scrollTop - top) > 0.5) this.root.scrollTop = top;
  }

  lay() {
    this.canvas.style.height = `${this.tops[this.rows.length]}px`;
    for (const [i, element] of this.shown) element.style.transform = `translateY(${this.tops[i]}px)`;
  }

  /** Rows `first` to `last` are in the page, and no others but the one in which somebody is. @param {number} first @param {number} last */
  fill(first, last) {
    for (const [i, element] of this.shown) {
      if ((i >= first && i <= last) || element.contains(document.activeElement)) continue;
      element.remove();
      this.shown.delete(i);
    }
    const made = [];
    for (let i = first; i <= last; i += 1) {
      if (this.shown.has(i)) continue;
      const element = this.make(i);
      this.shown.set(i, element);
      const next = [...this.shown.keys()].filter((other) => other > i).sort((a, b) => a - b)[0];
      this.canvas.insertBefore(element, next === undefined ? null : /** @type {HTMLElement} */ (this.shown.get(next)));
      made.push(i);
    }
    return made;
  }

  /** @param {number} i */
  make(i) {
    const row = this.rows[i];
    const element = document.createElement("article");
    element.className = `seg ${row.kind}`;
    element.setAttribute("aria-posinset", String(i + 1));
    element.setAttribute("aria-setsize", String(this.rows.length));
    const time = document.createElement("button");
    time.type = "button";
    time.className = "time";
    time.tabIndex = -1;
    time.textContent = clock(timeOf(row));
    time.setAttribute("aria-label", t("play_from", { time: clock(timeOf(row)) }));
    element.setAttribute("aria-label", clock(timeOf(row)));
    const text = document.createElement("p");
    text.dir = "auto";
    if (row.kind === "segment") {
      if (row.segment.language_code) text.lang = row.segment.language_code;
      if (row.segment.pending) element.classList.add("pending");
      this.words(text, row);
    } else {
      text.textContent = row.rejected.text;
      text.title = row.rejected.reason;
      const why = document.createElement("small");
      why.textContent = `${t("rejected_sign")} ${row.rejected.reason.replace(/^\w+: /, "")}`;
      text.append(" ", why);
    }
    element.append(time, text);
    element.dataset.row = String(i);
    return element;
  }

  /** @param {HTMLElement} text @param {Extract<Row, {kind: "segment"}>} row */
  words(text, { at, segment }) {
    const first = /** @type {WordIndex} */ (this.index).first[at];
    let before = first ? /** @type {any} */ (this.index).ends[first - 1] : 0;
    segment.words.forEach((word, i) => {
      if (i && word.space_before) text.append(" ");
      if (word.start - before >= PAUSE_S) text.append(pause(word.start - before));
      before = word.end;
      const made = document.createElement("span");
      made.className = `w ${doubt(word)}`;
      made.tabIndex = first + i === this.focus ? 0 : -1;
      made.dataset.w = String(first + i);
      made.dataset.s = SOURCES[word.source] ?? "";
      made.textContent = word.word;
      text.append(made);
    });
  }

  /** @param {number} word @returns {HTMLElement | null} */
  element(word) {
    if (word < 0 || !this.index) return null;
    const element = this.shown.get(this.rowOf[this.index.segmentOf(word)]);
    return element?.querySelector(`[data-w="${word}"]`) ?? null;
  }

  /** @param {number} word the spoken one, or -1 @param {boolean} follow */
  setNow(word, follow) {
    if (word === this.now) return;
    this.now = word;
    this.mark();
    if (follow && word >= 0) this.keepInView(word);
  }

  mark() {
    const element = this.element(this.now);
    if (element === this.marked) return;
    this.marked?.classList.remove("now");
    this.marked?.closest(".seg")?.classList.remove("current");
    element?.classList.add("now");
    element?.closest(".seg")?.classList.add("current");
    this.marked = element;
  }

  /** @param {number} word */
  keepInView(word) {
    const row = this.rowOf[/** @type {any} */ (this.index).segmentOf(word)];
    const element = this.element(word);
    const [top, height] = [this.root.scrollTop, this.root.clientHeight];
    const y = element ? this.tops[row] + element.offsetTop : this.tops[row];
    if (y >= top + height * 0.12 && y <= top + height * 0.68) return;
    const target = Math.max(0, y - height * 0.3);
    const isFar = Math.abs(target - top) > height * 1.5 || matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.root.scrollTo({ top: target, behavior: isFar ? "instant" : "smooth" });
  }

  /** Bring a word into view, and the keyboard to it. @param {number} word @param {boolean} [focuses] */
  go(word, focuses = true) {
    if (!this.index || word < 0 || word >= this.index.starts.length) return;
    const row = this.rowOf[this.index.segmentOf(word)];
    const [top, height] = [this.root.scrollTop, this.root.clientHeight];
    if (this.tops[row] < top + 8 || this.tops[row + 1] > top + height - 8) {
      this.root.scrollTo({ top: Math.max(0, this.tops[row] - height * 0.3), behavior: "instant" });
      this.draw();
    }
    this.element(this.focus)?.setAttribute("tabindex", "-1");
    this.focus = word;
    const element = this.element(word);
    if (element) element.tabIndex = 0;
    if (focuses) element?.focus({ preventScroll: true });
  }

  /** @param {EventTarget | null} target @returns {number} the word that was meant, or -1 */
  wordOf(target) {
    const element = target instanceof Element ? /** @type {HTMLElement | null} */ (target.closest(".w")) : null;
    return element ? Number(element.dataset.w) : -1;
  }

  /** @param {MouseEvent} event */
  clicked(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.closest("textarea") || !document.getSelection()?.isCollapsed) return;
    const word = this.wordOf(target);
    if (word >= 0 && this.index) {
      this.go(word);
      this.on.play(this.index.starts[word], word);
    } else if (target.closest(".time")) {
      const row = this.rows[Number(/** @type {HTMLElement} */ (target.closest(".seg")).dataset.row)];
      this.on.play(timeOf(row), -1);
    }
  }

  /** @param {MouseEvent} event */
  doubled(event) {
    const element = event.target instanceof Element ? /** @type {HTMLElement | null} */ (event.target.closest(".seg.segment")) : null;
    if (!element || this.editor) return;
    document.getSelection()?.removeAllRanges();
    const row = this.rows[Number(element.dataset.row)];
    if (row.kind === "segment") this.on.edit(row.at, this.wordOf(event.target));
  }

  /** @param {FocusEvent} event */
  entered(event) {
    const word = this.wordOf(event.target);
    if (word < 0) return;
    if (word !== this.focus) {
      this.element(this.focus)?.setAttribute("tabindex", "-1");
      this.focus = word;
      /** @type {HTMLElement} */ (event.target).tabIndex = 0;
    }
    this.on.focused(this.word(word));
  }

  /** @param {number} word @returns {Word | null} */
  word(word) {
    if (!this.index || word < 0) return null;
    const segment = this.index.segmentOf(word);
    const row = this.rows[this.rowOf[segment]];
    return row?.kind === "segment" ? (row.segment.words[word - this.index.first[segment]] ?? null) : null;
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    const word = this.wordOf(event.target);
    if (word < 0 || !this.index || event.ctrlKey || event.metaKey || event.altKey) return;
    const rtl = getComputedStyle(/** @type {Element} */ (event.target)).direction === "rtl";
    const segment = this.index.segmentOf(word);
    const { first } = this.index;
    const side = rtl ? -1 : 1;
    /** @type {Record<string, number>} */
    const to = { ArrowRight: word + side, ArrowLeft: word - side, ArrowDown: first[segment + 1], ArrowUp: first[Math.max(0, segment - 1)], Home: first[segment], End: first[segment + 1] - 1 };
    if (event.key in to) {
      this.on.unfollow();
      this.go(Math.max(0, Math.min(this.index.starts.length - 1, to[event.key])));
    } else if (event.key === "Enter") this.on.play(this.index.starts[word], word);
    else return;
    event.preventDefault();
  }

  /** The words of the user's selection; null for none. @returns {[number, number] | null} */
  selected() {
    const selection = document.getSelection();
    if (!selection || selection.isCollapsed || !this.root.contains(selection.anchorNode)) return null;
    const range = selection.getRangeAt(0);
    const words = [...this.canvas.querySelectorAll(".w")].filter((one) => range.intersectsNode(one)).map((one) => Number(/** @type {HTMLElement} */ (one).dataset.w));
    return words.length ? [Math.min(...words), Math.max(...words)] : null;
  }
}

/** @param {Row} row */
const keyOf = (row) => (row.kind === "segment" ? row.segment : row.rejected);
/** @param {Row} row */
const timeOf = (row) => (row.kind === "segment" ? startOf(row.segment) : row.rejected.start);

/** @param {number} seconds */
function pause(seconds) {
  const made = document.createElement("bdi"); // which says nothing of the direction of the text around it
  made.className = "pause";
  made.textContent = `${seconds.toFixed(1)} s`;
  made.title = t("pause_of", { n: seconds.toFixed(1) });
  return made;
}
