// Find and replace. What is found is marked by the browser itself (CSS highlights): nothing in the text changes for it.
import { wordsBefore } from "./doc.js";
import { found, nextBehind, replaced } from "./finding.js";
import { t } from "./strings.js";
import { Tool, html, toast, useEffect, useLayoutEffect, useRef, useSignal, useState, valued } from "./ui.js";

/** @typedef {import("./finding.js").Found} Found */

/** @param {Element} element @param {number} start @param {number} end @returns {Range | null} */
function rangeIn(element, start, end) {
  const range = document.createRange();
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT, (node) =>
    node.parentElement?.closest(".pause") ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT);
  let at = 0;
  let hasStart = false;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const { length } = /** @type {Text} */ (node);
    if (!hasStart && start < at + length) {
      range.setStart(node, start - at);
      hasStart = true;
    }
    if (hasStart && end <= at + length) {
      range.setEnd(node, end - at);
      return range;
    }
    at += length;
  }
  return null;
}

/** @param {{reading: import("./reading.js").Reading, session: import("./session.js").Session, onClose: () => void}} props */
export function Find({ reading, session, onClose }) {
  const doc = useSignal(session.doc);
  const [query, setQuery] = useState("");
  const [by, setBy] = useState("");
  const [exact, setExact] = useState(false);
  const [whole, setWhole] = useState(false);
  const [at, setAt] = useState(0);
  const [shows, setShows] = useState(false);
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const { history } = session;
  const all = found(doc, query, { exact, whole });
  const here = all.length ? at % all.length : 0;
  useLayoutEffect(() => field.current?.focus(), []); // before the next key comes
  useEffect(() => {
    const mark = () => {
      if (!("highlights" in CSS)) return;
      const marks = new Highlight();
      const current = new Highlight();
      all.forEach((place, i) => {
        const element = reading.view?.shown.get(reading.view.rowOf[place.segment])?.querySelector("p");
        const range = element ? rangeIn(element, place.start, place.end) : null;
        if (range) (i === here ? current : marks).add(range);
      });
      CSS.highlights.set("found", marks);
      CSS.highlights.set("found-here", current);
    };
    reading.onRendered = mark;
    mark();
    return () => {
      reading.onRendered = () => {};
      if ("highlights" in CSS) CSS.highlights.clear();
    };
  });
  const go = (/** @type {number} */ to) => {
    if (!all.length) return;
    const next = (to + all.length) % all.length;
    setAt(next);
    const { segment, start } = all[next];
    const word = Math.max(0, wordsBefore(doc[segment].words, start + 1) - 1);
    reading.follows.value = false;
    reading.view?.go(reading.index.first[segment] + word, false);
  };
  /** What is found first from where the reader is on is shown at once. */
  const change = (/** @type {any} */ event) => {
    const query = event.target.value;
    setQuery(query);
    const next = found(doc, query, { exact, whole }).findIndex(({ segment }) => segment >= reading.current);
    setAt(Math.max(0, next));
    setShows(true);
  };
  useEffect(() => {
    if (!shows) return;
    setShows(false);
    go(here);
  }, [shows]);
  const replace = (/** @type {Found[]} */ places) => {
    if (!places.length) return;
    session.change(replaced(doc, places, by));
    const { steps } = history;
    // What was changed since then is not undone in its place.
    toast(t("replaced", { n: places.length }), { text: t("undo"), act: () => history.steps === steps && session.undo() });
  };
  /** This one, and on to the next one behind it: what was put there may hold the same again. */
  const replaceHere = () => {
    const place = all[here];
    replace([place]);
    setAt(Math.max(0, nextBehind(found(history.now, query, { exact, whole }), place, by)));
    setShows(true);
  };
  const keys = (/** @type {KeyboardEvent} */ event) => {
    if (event.isComposing) return; // the key is the input method's
    if (event.key === "Escape") onClose();
    else if (event.key === "Enter") go(here + (event.shiftKey ? -1 : 1));
    else return;
    event.preventDefault();
  };
  return html`<form class="find" role="search" aria-label=${t("find")} onSubmit=${(/** @type {Event} */ event) => event.preventDefault()} onKeyDown=${keys}>
    <input ref=${field} id="find-what" class="input" placeholder=${t("find")} aria-label=${t("find")} value=${query} onInput=${change} dir="auto" />
    <span class="small soft tnum find-count" role="status">${query ? `${all.length ? here + 1 : 0} / ${all.length}` : ""}</span>
    <${Tool} icon="back" label=${t("previous")} onClick=${() => go(here - 1)} /><span class="turned"><${Tool} icon="back" label=${t("next")} onClick=${() => go(here + 1)} /></span>
    <input id="find-by" class="input" placeholder=${t("replace_by")} aria-label=${t("replace_by")} value=${by} onInput=${valued(setBy)} dir="auto" />
    <button type="button" class="button" disabled=${!all.length} onClick=${replaceHere}>${t("replace")}</button>
    <button type="button" class="button" id="replace-all" disabled=${!all.length} onClick=${() => replace(all)}>${t("replace_all")}</button>
    <span class="row wrap"><label class="check small"><input type="checkbox" id="find-whole" checked=${whole} onChange=${() => setWhole(!whole)} />${t("whole_words")}</label>
    <label class="check small"><input type="checkbox" checked=${exact} onChange=${() => setExact(!exact)} />${t("match_case")}</label>
    <${Tool} icon="close" label=${t("close")} onClick=${onClose} /></span>
  </form>`;
}
