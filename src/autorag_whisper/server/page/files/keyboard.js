// The keys of the page: one table, which the list under `?` shows.
import { t } from "./strings.js";
import { Dialog, html } from "./ui.js";

/** What is shown, in groups: keys and the name of their meaning in the table of strings. @type {[string, [string, string][]][]} */
const KEYS = [
  ["keys_play", [
    ["Space", "k_play"], ["Enter", "k_word"], ["J", "k_back"], ["L", "k_forward"], ["Shift+J", "k_back_more"], ["Shift+L", "k_forward_more"],
    ["<", "k_slower"], [">", "k_faster"], ["O", "k_loop"], ["F", "k_follow"],
  ]],
  ["keys_move", [["← →", "k_words"], ["↑ ↓", "k_segments"], ["N", "k_doubtful"], ["Shift+N", "k_doubtful_back"], ["/", "k_search"], ["?", "k_help"]]],
  ["keys_edit", [
    ["E", "k_edit"], ["Ctrl+Enter", "k_split"], ["Ctrl+Backspace", "k_join"], ["Enter", "k_done"], ["Esc", "k_leave"],
    ["Ctrl+Z", "k_undo"], ["Ctrl+Shift+Z", "k_redo"], ["Ctrl+F", "k_find"], ["Ctrl+S", "k_export"],
  ]],
];

/** @param {{onClose: () => void}} props */
export const KeysHelp = ({ onClose }) =>
  html`<${Dialog} title=${t("keys_title")} onClose=${onClose} wide>
    ${KEYS.map(
      ([title, keys]) => html`<section><h3>${t(title)}</h3><div class="keys">
        ${keys.map(([name, meaning]) => html`<div><span>${t(meaning)}</span><kbd>${name}</kbd></div>`)}</div></section>`,
    )}
  <//>`;

/** Whether somebody writes there. @param {EventTarget | null} target */
const isField = (target) => target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

/** How a key is written in a table: "Ctrl+Shift+z"; letters without Shift are small. @param {KeyboardEvent} event */
function nameOf(event) {
  const key = event.key === " " ? "Space" : event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const isLetter = /^\p{L}$/u.test(key);
  return `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${event.shiftKey && (isLetter || key.length > 1) ? "Shift+" : ""}${key}`;
}

/**
 * Have keys do something wherever nobody writes; those with Ctrl also where somebody does. Returns what ends it.
 * @param {Record<string, (event: KeyboardEvent) => void>} keys
 */
export function bind(keys) {
  const on = (/** @type {KeyboardEvent} */ event) => {
    if (event.defaultPrevented || event.altKey || document.querySelector("dialog[open]")) return;
    const name = nameOf(event);
    const act = keys[name];
    if (!act || (isField(event.target) && !/^Ctrl\+[fs]$/.test(name))) return;
    if ((name === "Space" || name === "Enter") && event.target instanceof Element && event.target.closest("button, a, summary")) return;
    event.preventDefault();
    act(event);
  };
  addEventListener("keydown", on);
  return () => removeEventListener("keydown", on);
}
