// Editing a segment where it stands: its text becomes a field of the same type, in the same place.
import { startOf, textOf } from "./doc.js";
import { t } from "./strings.js";

/**
 * @typedef {{done: (text: string) => void, split: (text: string, caret: number) => void, join: (text: string) => void,
 *   go: (text: string, step: 1 | -1) => void, play: (time: number | null) => void}} On
 */

/**
 * @param {import("./view.js").TextView} view @param {number} segment @param {number} word where the caret comes, or -1 @param {On} on
 */
export function edit(view, segment, word, on) {
  const first = view.index?.first[segment] ?? 0;
  view.go(word >= 0 ? word : first, false);
  const row = view.rowOf[segment];
  const element = view.shown.get(row);
  const shown = view.rows[row];
  if (!element || shown?.kind !== "segment" || view.editor) return;
  const text = /** @type {HTMLElement} */ (element.querySelector("p"));
  const field = document.createElement("textarea");
  field.className = "edit";
  field.dir = "auto";
  field.lang = text.lang;
  field.rows = 1;
  field.spellcheck = true;
  field.setAttribute("aria-label", t("edit_segment"));
  field.value = textOf(shown.segment);
  /** @type {import("./view.js").Editor} */
  const editor = { segment: shown.segment, element, row, isChanged: () => field.value !== textOf(shown.segment), finish: () => end(() => on.done(field.value)) };
  view.editor = editor;
  element.classList.add("editing");
  text.replaceWith(field);
  const grow = () => {
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight}px`;
    view.fitEditor();
  };
  const caret = caretOf(shown.segment.words, word - first);
  grow();
  field.focus({ preventScroll: true });
  field.setSelectionRange(caret, caret);
  let isOver = false;
  /** @param {() => void} then */
  const end = (then) => {
    if (isOver) return;
    isOver = true;
    view.editor = null;
    view.heights.delete(shown.segment);
    element.remove();
    view.shown.delete(editor.row);
    then();
    view.measureAll();
    view.draw();
  };
  const leave = () => {
    end(() => {});
    view.go(word >= 0 ? word : first);
  };
  const finish = () => {
    end(() => on.done(field.value));
    view.go(Math.min(word >= 0 ? word : first, (view.index?.starts.length ?? 1) - 1));
  };
  field.addEventListener("input", grow);
  field.addEventListener("blur", () => document.hasFocus() && end(() => on.done(field.value)));
  field.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const ctrl = event.ctrlKey || event.metaKey;
    if (ctrl && /^[fs]$/i.test(event.key)) return; // the page's, wherever somebody writes
    const at = field.selectionStart;
    /** @type {(() => void) | null} */
    let act = null;
    if (event.key === "Escape") act = leave;
    else if (event.key === "Enter" && ctrl) act = () => end(() => on.split(field.value, at));
    else if (event.key === "Enter") act = finish;
    else if (event.key === "Backspace" && ctrl && at === 0) act = () => end(() => on.join(field.value));
    else if (event.key === "Tab") act = () => end(() => on.go(field.value, event.shiftKey ? -1 : 1));
    else if (event.key === " " && ctrl) act = () => on.play(null);
    else if (event.key === "," && ctrl) act = () => on.play(startOf(shown.segment));
    event.stopPropagation();
    if (!act) return;
    event.preventDefault();
    act();
  });
}

/** @param {readonly import("./doc.js").Word[]} words @param {number} at */
function caretOf(words, at) {
  let caret = 0;
  for (let i = 0; i < Math.min(at, words.length); i += 1) caret += words[i].word.length + (words[i + 1]?.space_before ? 1 : 0);
  return caret;
}
