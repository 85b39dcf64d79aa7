// A transcript as segments of words that never change: an edit makes new segments, so a state is kept by keeping its list.

/**
 * @typedef {import("./api.js").Word} Word
 * @typedef {Pick<Word, "word" | "space_before">} Token
 * @typedef {{words: readonly Word[], language_code: string, pending?: boolean}} Seg  `pending`: its times are estimates that
 *   the service has still to replace
 * @typedef {readonly Seg[]} Doc
 * @typedef {{from: number, to: number, segments: Doc}} Edit
 */

/** @param {import("./api.js").Transcript} transcript @returns {Doc} */
export const docOf = (transcript) =>
  transcript.segments.filter((segment) => segment.words.length).map(({ words, language_code }) => ({ words, language_code }));

/** @type {WeakMap<Seg, string>} */
const texts = new WeakMap();

/** @param {readonly Token[]} words */
export const joined = (words) => words.map((word, at) => (at && word.space_before ? " " : "") + word.word).join("");

/** @param {Seg} segment */
export function textOf(segment) {
  let text = texts.get(segment);
  if (text === undefined) {
    text = joined(segment.words);
    texts.set(segment, text);
  }
  return text;
}

/** How many words begin before a place in their text. @param {readonly Token[]} words @param {number} place */
export function wordsBefore(words, place) {
  let end = 0;
  for (let i = 0; i < words.length; i += 1) {
    if (end + (i && words[i].space_before ? 1 : 0) >= place) return i;
    end += words[i].word.length + (i && words[i].space_before ? 1 : 0);
  }
  return words.length;
}

/** @param {Seg} segment */
export const startOf = (segment) => segment.words[0]?.start ?? 0;
/** @param {Seg} segment */
export const endOf = (segment) => segment.words[segment.words.length - 1]?.end ?? 0;

/** The words of a document by number, for finding the one that is spoken: `first[i]` is the number of segment i's first word. */
export class WordIndex {
  /** @param {Doc} doc */
  constructor(doc) {
    const count = doc.reduce((sum, segment) => sum + segment.words.length, 0);
    this.starts = new Float64Array(count);
    this.ends = new Float64Array(count);
    this.first = new Int32Array(doc.length + 1);
    let at = 0;
    doc.forEach((segment, i) => {
      this.first[i] = at;
      for (const word of segment.words) {
        this.starts[at] = word.start;
        this.ends[at] = word.end;
        at += 1;
      }
    });
    this.first[doc.length] = at;
  }

  /** The word that is spoken at a time, or was just before a short pause; -1 for none. @param {number} time */
  wordAt(time) {
    const at = lastNotAbove(this.starts, time + 1e-3);
    return at >= 0 && time < this.ends[at] + 0.6 ? at : -1;
  }

  /** The first word that begins at a time or later; the last one where there is none. @param {number} time */
  wordFrom(time) {
    return Math.min(lastNotAbove(this.starts, time - 1e-3) + 1, this.starts.length - 1);
  }

  /** @param {number} word @returns {number} the number of its segment */
  segmentOf(word) {
    return lastNotAbove(this.first.subarray(0, this.first.length - 1), word);
  }
}

/** The last place whose value is not above `value`, in ascending values; -1 for none. @param {ArrayLike<number>} values @param {number} value */
export function lastNotAbove(values, value) {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

const NO_BLANKS = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;

/** What no word may have in it; it may come with what somebody pastes. */
const CONTROLS = /[\p{Cc}\u2028\u2029]/gu;

/** What of a text becomes a word each. @param {string} text @param {string} language @returns {Token[]} */
export function tokens(text, language) {
  return text.replaceAll(CONTROLS, " ").trim().split(/\s+/u).filter(Boolean).flatMap((piece) => {
    if (!NO_BLANKS.test(piece)) return [{ word: piece, space_before: true }];
    /** @type {string[]} */
    const parts = [];
    for (const { segment, isWordLike } of new Intl.Segmenter(language || "en", { granularity: "word" }).segment(piece)) {
      if (!isWordLike && parts.length) parts[parts.length - 1] += segment;
      else parts.push(segment);
    }
    return parts.map((word, at) => ({ word, space_before: at === 0 }));
  });
}

/**
 * A segment with another text: unchanged words stay what they are, the others get estimated times. null where nothing changed;
 * a segment without words where nothing is left. `keepTimes`: words that stand for as many others take their times.
 * @param {Seg} segment @param {string} text @param {boolean} [keepTimes] @returns {Seg | null}
 */
export function retold(segment, text, keepTimes = false) {
  const old = segment.words;
  const made = tokens(text, segment.language_code);
  const same = matched(old, made);
  if (made.length === old.length && same.every((at, i) => at === i)) return null;
  /** @type {Word[]} */
  const words = [];
  let pending = segment.pending ?? false;
  for (let i = 0; i < made.length; ) {
    if (same[i] >= 0) {
      const word = old[same[i]];
      words.push(i && word.space_before !== made[i].space_before ? { ...word, space_before: made[i].space_before } : word);
      i += 1;
      continue;
    }
    let end = i;
    while (end < made.length && same[end] < 0) end += 1;
    const before = i ? same[i - 1] : -1;
    const after = end < made.length ? same[end] : old.length;
    const gone = old.slice(before + 1, after);
    if (keepTimes && gone.length === end - i) words.push(...gone.map((word, at) => ({ ...word, ...made[i + at] })));
    else {
      pending = true;
      words.push(...spread(made.slice(i, end), gone[0]?.start ?? old[before]?.end ?? startOf(segment), gone.at(-1)?.end ?? old[after]?.start ?? endOf(segment)));
    }
    i = end;
  }
  return { words, language_code: segment.language_code, ...(pending ? { pending } : {}) };
}

/** For each new word the old one that it is, or -1: the longest common subsequence. @param {readonly Word[]} old @param {{word: string}[]} made @returns {number[]} */
function matched(old, made) {
  const found = new Array(made.length).fill(-1);
  let head = 0;
  while (head < old.length && head < made.length && old[head].word === made[head].word) {
    found[head] = head;
    head += 1;
  }
  let tail = 0;
  while (tail < Math.min(old.length, made.length) - head && old[old.length - 1 - tail].word === made[made.length - 1 - tail].word) {
    tail += 1;
    found[made.length - tail] = old.length - tail;
  }
  const rows = old.length - head - tail;
  const columns = made.length - head - tail;
  if (!rows || !columns || rows * columns > 4e6) return found;
  const lengths = new Int32Array((rows + 1) * (columns + 1));
  for (let r = rows - 1; r >= 0; r -= 1) {
    for (let c = columns - 1; c >= 0; c -= 1) {
      const at = r * (columns + 1) + c;
      lengths[at] = old[head + r].word === made[head + c].word ? lengths[at + columns + 2] + 1 : Math.max(lengths[at + 1], lengths[at + columns + 1]);
    }
  }
  for (let r = 0, c = 0; r < rows && c < columns; ) {
    const at = r * (columns + 1) + c;
    if (old[head + r].word === made[head + c].word) {
      found[head + c] = head + r;
      r += 1;
      c += 1;
    } else if (lengths[at + 1] >= lengths[at + columns + 1]) c += 1;
    else r += 1;
  }
  return found;
}

/** Words with estimated times, by their lengths. @param {Token[]} made @param {number} start @param {number} end @returns {Word[]} */
function spread(made, start, end) {
  const until = Math.max(start, end);
  const total = made.reduce((sum, { word }) => sum + word.length, 0);
  let done = 0;
  const time = () => Math.round((start + ((until - start) * done) / total) * 1000) / 1000;
  return made.map((one) => {
    const from = time();
    done += one.word.length;
    return { ...one, start: from, end: time(), probability: 1, source: "interpolated", score: null };
  });
}

/** Two segments for one, the second from word `at` on. @param {Seg} segment @param {number} at @returns {Seg[]} */
export const split = (segment, at) => [
  { ...segment, words: segment.words.slice(0, at) },
  { ...segment, words: segment.words.slice(at) },
];

/** One segment for two. @param {Seg} one @param {Seg} other @returns {Seg} */
export const join = (one, other) => ({
  language_code: one.language_code,
  words: [...one.words, ...other.words],
  ...(one.pending || other.pending ? { pending: true } : {}),
});

/** @param {Seg} a @param {Seg} b */
const isSame = (a, b) =>
  a === b ||
  (a.words.length === b.words.length &&
    a.language_code === b.language_code &&
    a.words.every((word, i) => word === b.words[i] || (word.word === b.words[i].word && word.start === b.words[i].start && word.end === b.words[i].end && word.space_before === b.words[i].space_before)));

/**
 * What makes `now` of `base`: ranges of segments, in order, that do not touch.
 * @param {Doc} base @param {Doc} now @returns {Edit[]}
 */
export function editsBetween(base, now) {
  let head = 0;
  while (head < base.length && head < now.length && isSame(base[head], now[head])) head += 1;
  let tail = 0;
  while (tail < Math.min(base.length, now.length) - head && isSame(base[base.length - 1 - tail], now[now.length - 1 - tail])) tail += 1;
  const [baseEnd, nowEnd] = [base.length - tail, now.length - tail];
  if (head === baseEnd && head === nowEnd) return [];
  if (baseEnd !== nowEnd) return resynced(base, now, [head, baseEnd, nowEnd]);
  /** @type {Edit[]} */
  const edits = [];
  for (let i = head; i < baseEnd; i += 1) {
    if (!isSame(base[i], now[i])) edits.push({ from: i, to: i + 1, segments: [now[i]] });
  }
  return edits;
}

/** Where their numbers differ: goes on at the next segment that both have. @param {Doc} base @param {Doc} now @param {[number, number, number]} bounds @returns {Edit[]} */
function resynced(base, now, [head, baseEnd, nowEnd]) {
  const keyOf = (/** @type {Seg} */ { words: [{ start, word }] }) => `${start} ${word}`;
  const places = new Map();
  for (let i = baseEnd - 1; i >= head; i -= 1) places.set(keyOf(base[i]), i);
  /** @type {Edit[]} */
  const edits = [];
  let [b, n, from, nowFrom] = [head, head, head, head];
  const close = (/** @type {number} */ to, /** @type {number} */ nowTo) => {
    if (from < to || nowFrom < nowTo) edits.push({ from, to, segments: now.slice(nowFrom, nowTo) });
  };
  for (; n < nowEnd; n += 1) {
    const at = places.get(keyOf(now[n]));
    if (at === undefined || at < b || !isSame(base[at], now[n])) continue;
    close(at, n);
    b = at + 1;
    from = b;
    nowFrom = n + 1;
  }
  close(baseEnd, nowEnd);
  return edits;
}

/** @param {Doc} base @param {Edit[]} edits @returns {Doc} */
export function applied(base, edits) {
  /** @type {Seg[]} */
  const found = [];
  let at = 0;
  for (const edit of edits) {
    found.push(...base.slice(at, edit.from), ...edit.segments);
    at = edit.to;
  }
  return [...found, ...base.slice(at)];
}

/** @typedef {{from: number, to: number, mine: Edit[], theirs: Edit[]}} Place  what one or both have changed of a base */

/**
 * Mine and theirs together, of one base. `prefer`: whose text stays where both changed the same place; without it null is returned then.
 * @param {Doc} base @param {Doc} mine @param {Doc} theirs @param {"mine" | "theirs"} [prefer] @returns {Doc | null}
 */
export function merged(base, mine, theirs, prefer) {
  let places = /** @type {Place[]} */ ([]);
  for (const edit of editsBetween(base, mine)) places.push({ from: edit.from, to: edit.to, mine: [edit], theirs: [] });
  for (const edit of editsBetween(base, theirs)) places.push({ from: edit.from, to: edit.to, mine: [], theirs: [edit] });
  places.sort((a, b) => a.from - b.from || a.to - b.to);
  places = grouped(places, (last, next) => next.from < last.to || (next.from === last.from && next.to === last.to));
  for (;;) {
    /** @type {Edit[]} */
    const made = [];
    for (const place of places) {
      const segments = decided(base, place, prefer);
      if (segments === null) return null;
      made.push({ from: place.from, to: place.to, segments });
    }
    const at = firstOverlap(made);
    if (at < 0) return applied(base, made);
    places = grouped(places, (_, next) => next === places[at]); // their words would be in each other's time: it is one place
  }
}

/** Neighbours that belong together as one. @param {Place[]} places @param {(last: Place, next: Place) => boolean} areOne @returns {Place[]} */
function grouped(places, areOne) {
  /** @type {Place[]} */
  const found = [];
  for (const next of places) {
    const last = found.at(-1);
    if (last && areOne(last, next)) {
      const { mine, theirs } = next;
      found[found.length - 1] = { from: last.from, to: Math.max(last.to, next.to), mine: [...last.mine, ...mine], theirs: [...last.theirs, ...theirs] };
    } else found.push(next);
  }
  return found;
}

/** What a place becomes; null where that is to be asked. @param {Doc} base @param {Place} place @param {"mine" | "theirs"} [prefer] @returns {Doc | null} */
function decided(base, { from, to, mine, theirs }, prefer) {
  const [own, other] = [mine, theirs].map((edits) => applied(base.slice(0, to), edits).slice(from));
  if (!theirs.length) return own;
  if (!mine.length || prefer === "theirs" || !editsBetween(own, other).length) return other;
  return prefer === "mine" ? own : null;
}

/** The first of these edits that begins before the one at its side ends; -1 for none. @param {Edit[]} edits */
function firstOverlap(edits) {
  let [to, end] = [-1, 0];
  return edits.findIndex((edit) => {
    const { segments } = edit;
    const overlaps = edit.from === to && segments.length > 0 && startOf(segments[0]) < end - 1e-3;
    end = segments.length ? endOf(/** @type {Seg} */ (segments.at(-1))) : edit.from === to ? end : 0;
    to = edit.to;
    return overlaps;
  });
}

/** What the service tells of a document, with all that has not changed as the very same segments. @param {Doc} known @param {Doc} told @returns {Doc} */
export const shared = (known, told) => applied(known, editsBetween(known, told));

/** States that were, and that were left by undoing. */
export class History {
  /** @param {Doc} doc */
  constructor(doc) {
    this.now = doc;
    /** How often something was done, undone or redone. */
    this.steps = 0;
    /** @type {Doc[]} */
    this.past = [];
    /** @type {Doc[]} */
    this.future = [];
  }

  /** @param {Doc} doc */
  push(doc) {
    this.past.push(this.now);
    if (this.past.length > 300) this.past.shift();
    this.future = [];
    this.now = doc;
    this.steps += 1;
  }

  /** The same state with better times: nothing to undo. @param {Doc} doc */
  amend(doc) {
    this.now = doc;
  }

  /**
   * What somebody else did is in every state from now on: undoing takes back what was done here alone. Where both changed the same
   * place, theirs stays. `now`: what is shown then.
   * @param {Doc} base what both were made of @param {Doc} theirs @param {Doc} now
   */
  rebase(base, theirs, now) {
    const seen = (/** @type {Doc[]} */ states) => states.map((state) => /** @type {Doc} */ (merged(base, state, theirs, "theirs")));
    const [past, future] = [seen(this.past), seen(this.future)];
    this.now = now;
    const differ = (/** @type {Doc} */ state, /** @type {number} */ at, /** @type {Doc[]} */ all) => editsBetween(state, all[at + 1] ?? now).length > 0;
    this.past = past.filter(differ);
    this.future = future.filter(differ);
  }

  undo() {
    const before = this.past.pop();
    if (!before) return false;
    this.future.push(this.now);
    this.now = before;
    this.steps += 1;
    return true;
  }

  redo() {
    const after = this.future.pop();
    if (!after) return false;
    this.past.push(this.now);
    this.now = after;
    this.steps += 1;
    return true;
  }
}
