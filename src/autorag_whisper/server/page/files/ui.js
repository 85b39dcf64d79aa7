// Small parts that every view uses: signals in components, icons, dialogs, menus, toasts, times as people read them.
import { html, render, useEffect, useLayoutEffect, useRef, useState } from "./vendor/htm-preact.js";
import { t } from "./strings.js";

export { html, render, useEffect, useLayoutEffect, useRef, useState };

/**
 * The value of a signal; the component is drawn anew when it changes.
 * @template T @param {{value: T, subscribe: (on: (value: T) => void) => () => void}} from @returns {T}
 */
export function useSignal(from) {
  const [, draw] = useState(0);
  const shown = useRef(from.value);
  shown.current = from.value;
  useLayoutEffect( // before anything else can change it
    () =>
      from.subscribe((value) => {
        if (value !== shown.current) draw((/** @type {number} */ n) => n + 1);
      }),
    [from],
  );
  return from.value;
}

/** A handler that gives a field's text on. @param {(value: string) => void} set */
export const valued = (set) => (/** @type {any} */ event) => set(event.target.value);

const PATHS = {
  add: "M12 5v14M5 12h14",
  archive: "M3 7l2-3h14l2 3M3 7v13h18V7M3 7h18M12 11v6M9 14l3 3 3-3",
  back: "M15 5l-7 7 7 7",
  check: "M5 13l4 4 10-10",
  clock: "M12 3a9 9 0 100 18 9 9 0 000-18zM12 7v5l3 2",
  close: "M6 6l12 12M18 6L6 18",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  down: "M12 4v12M6 11l6 6 6-6M4 21h16",
  edit: "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
  eye: "M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12zM12 9a3 3 0 100 6 3 3 0 000-6z",
  fail: "M12 3a9 9 0 100 18 9 9 0 000-18zM12 7v6M12 16.5v.5",
  follow: "M12 8a4 4 0 100 8 4 4 0 000-8zM12 2v3M12 19v3M2 12h3M19 12h3",
  find: "M11 4a7 7 0 100 14 7 7 0 000-14zM16 16l5 5",
  forward: "M20 6v5h-5M20 11a8 8 0 10-2 6",
  help: "M9 9a3 3 0 115 2c-1 1-2 1.4-2 3M12 17.5v.1M12 3a9 9 0 100 18 9 9 0 000-18z",
  history: "M4 5v5h5M4 10a8 8 0 112 6M12 8v5l3 2",
  language: "M3 12h18M12 3a9 9 0 100 18 9 9 0 000-18zM12 3c5 5 5 13 0 18M12 3c-5 5-5 13 0 18",
  loop: "M17 3l3 3-3 3M4 11V9a3 3 0 013-3h13M7 21l-3-3 3-3M20 13v2a3 3 0 01-3 3H4",
  mic: "M12 3a3 3 0 00-3 3v6a3 3 0 006 0V6a3 3 0 00-3-3zM5 11a7 7 0 0014 0M12 18v3",
  more: "M11.5 5.5h1v-1h-1zM11.5 12.5h1v-1h-1zM11.5 19.5h1v-1h-1z",
  next: "M5 5l9 7-9 7zM19 5v14",
  pause: "M8 5v14M16 5v14",
  play: "M7 4l13 8-13 8z",
  redo: "M20 7v5h-5M20 12a8 8 0 10-2 5",
  retry: "M4 5v5h5M4 10a8 8 0 112 7",
  rewind: "M4 6v5h5M4 11a8 8 0 112 6",
  stop: "M6 6h12v12H6z",
  theme: "M12 3a9 9 0 109 9 7 7 0 01-9-9z",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 14h10l1-14M10 11v6M14 11v6",
  undo: "M9 7L4 12l5 5M4 12h11a5 5 0 010 10h-2",
  upload: "M12 16V4M7 9l5-5 5 5M4 16v4h16v-4",
  wave: "M4 10v4M8 6v12M12 3v18M16 8v8M20 10v4",
};

/** @typedef {keyof typeof PATHS} IconName */

/** @param {{name: IconName, mirrors?: boolean}} props */
export const Icon = ({ name, mirrors }) =>
  html`<svg class=${`icon${mirrors ? " mirrors" : ""}`} viewBox="0 0 24 24" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;

/**
 * A button that is an icon; `label` is what it is called, and its tip.
 * @param {{icon: IconName, label: string, onClick: (event: any) => void, [other: string]: any}} props
 */
export const Tool = ({ icon, label, onClick, mirrors, ...other }) =>
  html`<button type="button" class="tool" aria-label=${label} title=${label} onClick=${onClick} ...${other}>
    <${Icon} name=${icon} mirrors=${mirrors} />
  </button>`;

/** Without `onClose` it stays until it is answered. @param {{title: string, onClose?: () => void, wide?: boolean, children?: any}} props */
export function Dialog({ title, onClose, wide, children }) {
  const self = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useLayoutEffect(() => {
    const before = /** @type {HTMLElement | null} */ (document.activeElement);
    self.current?.showModal();
    return () => {
      self.current?.close(); // what is outside takes no focus before
      before?.focus?.();
    };
  }, []);
  /** At once: what is told of later may close the next one. @param {Event} event */
  const closed = (event) => {
    event.preventDefault();
    if (self.current) onClose ? onClose() : self.current.showModal();
  };
  return html`<dialog ref=${self} class=${wide ? "wide" : ""} aria-label=${title} onCancel=${closed} onClose=${closed}
    onClick=${(/** @type {MouseEvent} */ event) => event.target === self.current && onClose?.()}>
    <div class="dialog-head"><h2 class="grow">${title}</h2>${onClose && html`<${Tool} icon="close" label=${t("close")} onClick=${onClose} />`}</div>
    <div class="dialog-body">${children}</div>
  </dialog>`;
}

/**
 * A button with a list of choices below it.
 * @param {{icon: IconName, label: string, text?: string, children?: any}} props
 */
export function Menu({ icon, label, text, children }) {
  const [open, setOpen] = useState(false);
  const self = useRef(/** @type {HTMLElement | null} */ (null));
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  useLayoutEffect(() => {
    if (!open || !self.current || !list.current) return undefined;
    const button = self.current.getBoundingClientRect();
    const box = list.current;
    box.showPopover();
    const left = Math.min(Math.max(8, button.right - box.offsetWidth), innerWidth - box.offsetWidth - 8);
    const below = button.bottom + 4 + box.offsetHeight < innerHeight;
    box.style.left = `${left}px`;
    box.style.top = `${below ? button.bottom + 4 : Math.max(8, button.top - box.offsetHeight - 4)}px`;
    /** @type {HTMLElement | null} */ (box.querySelector("button, input, a"))?.focus();
    const onToggle = (/** @type {any} */ event) => event.newState === "closed" && setOpen(false);
    box.addEventListener("toggle", onToggle);
    return () => box.removeEventListener("toggle", onToggle);
  }, [open]);
  const chosen = () => {
    setOpen(false);
    self.current?.focus();
  };
  const move = (/** @type {KeyboardEvent} */ event) => {
    const all = /** @type {HTMLElement[]} */ ([...(list.current?.querySelectorAll("button:not(:disabled), input, a") ?? [])]);
    const now = all.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) all[(now + step + all.length) % all.length]?.focus();
    if (step) event.preventDefault();
    if (event.key === "Escape") chosen();
    event.stopPropagation();
  };
  return html`<button ref=${self} type="button" class="tool" aria-label=${label} title=${label} aria-haspopup="true"
      aria-expanded=${open ? "true" : "false"} onClick=${() => setOpen(!open)}><${Icon} name=${icon} />${text}</button>
    ${open &&
    html`<div ref=${list} class="menu" popover="auto" role="group" aria-label=${label} onKeyDown=${move}
      onClick=${(/** @type {any} */ event) => event.target.closest("button, a") && chosen()}>${children}</div>`}`;
}

/** Tell something in passing. @param {string} text @param {{text: string, act: () => void}} [action] */
export function toast(text, action) {
  const place = document.getElementById("toasts");
  const shown = document.createElement("div");
  shown.className = "toast";
  shown.append(text);
  if (action) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = action.text;
    button.addEventListener("click", () => {
      action.act();
      shown.remove();
    });
    shown.append(button);
  }
  place?.append(shown);
  setTimeout(() => shown.remove(), action ? 8000 : 4500);
}

/**
 * One of several texts, each with what is shown for it.
 * @param {{value: string, of: [string, string][], set: (value: string) => void, [other: string]: any}} props
 */
export const Select = ({ value, of, set, ...other }) =>
  html`<select value=${value} onChange=${valued(set)} ...${other}>
    ${of.map(([name, told]) => html`<option value=${name} selected=${name === value}>${told}</option>`)}</select>`;

/** What went wrong, in passing. @param {unknown} error */
export const tellError = (error) => {
  const { code, message } = /** @type {{code?: string, message: string}} */ (error);
  toast(code === "offline" ? t("offline") : message);
};

/** Seconds as a clock has them: 1:02:03, 2:03. @param {number} seconds */
export function clock(seconds) {
  const all = Math.max(0, Math.floor(seconds));
  const pad = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const hours = Math.floor(all / 3600);
  const minutes = Math.floor(all / 60) % 60;
  return hours ? `${hours}:${pad(minutes)}:${pad(all % 60)}` : `${minutes}:${pad(all % 60)}`;
}

/** How long something is, as a clock has it: to the nearest second. @param {number} seconds */
export const span = (seconds) => clock(Math.round(seconds));

/** Put a text onto the clipboard, also where the page came without HTTPS and the browser offers no other way. @param {string} text */
export async function copyText(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const field = document.createElement("textarea");
  field.value = text;
  document.body.append(field);
  field.select();
  const isDone = document.execCommand("copy");
  field.remove();
  if (!isDone) throw new Error(t("no_clipboard"));
}

/** Give a file to the user. @param {Blob} blob @param {string} name */
export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** The settings that stay on this machine. @template T @param {string} name @param {T} initial @returns {T} */
export function remembered(name, initial) {
  try {
    return JSON.parse(localStorage.getItem(`autorag-whisper.${name}`) ?? "") ?? initial;
  } catch {
    return initial;
  }
}

/** @param {string} name @param {unknown} value */
export const remember = (name, value) => {
  try {
    localStorage.setItem(`autorag-whisper.${name}`, JSON.stringify(value));
  } catch {
    // no room, or the browser keeps nothing: it holds until the page ends
  }
};
