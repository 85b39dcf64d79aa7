// What is found in a transcript, and what it is when some of that is replaced.
import { retold, textOf } from "./doc.js";

/** @typedef {{segment: number, start: number, end: number}} Found */

const MOST = 20_000;
const LETTER = "[\\p{L}\\p{M}\\p{N}_]";

/**
 * Every place of `query`, in order and apart. `exact`: in the same case; `whole`: where no letter or digit stands beside it.
 * @param {import("./doc.js").Doc} doc @param {string} query @param {{exact?: boolean, whole?: boolean}} [how] @returns {Found[]}
 */
export function found(doc, query, { exact = false, whole = false } = {}) {
  /** @type {Found[]} */
  const all = [];
  if (!query) return all;
  const plain = query.replaceAll(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
  const wanted = new RegExp(whole ? `(?<!${LETTER})${plain}(?!${LETTER})` : plain, exact ? "gu" : "giu");
  doc.forEach((segment, at) => {
    for (const match of textOf(segment).matchAll(wanted)) {
      if (all.length === MOST) return;
      all.push({ segment: at, start: match.index, end: match.index + match[0].length });
    }
  });
  return all;
}

/** The same with some of it replaced. @param {import("./doc.js").Doc} doc @param {Found[]} places @param {string} by */
export function replaced(doc, places, by) {
  /** @type {Map<number, Found[]>} */
  const of = new Map();
  for (const place of places) of.set(place.segment, [...(of.get(place.segment) ?? []), place]);
  return doc.flatMap((segment, at) => {
    const here = of.get(at);
    if (!here) return [segment];
    let text = textOf(segment);
    for (const { start, end } of [...here].reverse()) text = text.slice(0, start) + by + text.slice(end);
    const made = retold(segment, text, true);
    return made === null ? [segment] : made.words.length ? [made] : [];
  });
}

/** Of what is found now the first behind a place that was replaced by a text, or -1. @param {Found[]} all @param {Found} place @param {string} by */
export const nextBehind = (all, { segment, start }, by) =>
  all.findIndex((one) => one.segment > segment || (one.segment === segment && one.start >= start + by.length));
