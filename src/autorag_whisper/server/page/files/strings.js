// Every text of the page, in one table for each language. A new language is a file like strings_de.js and a line in LANGUAGES.
import { EN } from "./strings_en.js";
import { DE } from "./strings_de.js";
import { signal } from "./vendor/signals-core.js";

/** @typedef {Record<keyof typeof EN, string>} Strings */

/** What each is called by those who speak it. @type {Record<string, string>} */
export const LANGUAGES = { en: "English", de: "Deutsch" };
/** @type {Record<string, Strings>} */
const TABLES = { en: EN, de: DE };
const KEPT = "autorag-whisper.language";

const chosen = () => {
  const wanted = [localStorage.getItem(KEPT) ?? "", ...navigator.languages.map((code) => code.slice(0, 2))];
  return wanted.find((code) => code in TABLES) ?? "en";
};

const current = signal(chosen());
document.documentElement.lang = current.value;

/** The language of the page. */
export const lang = Object.assign(() => current.value, { signal: current });

/** @param {string} code */
export function setLang(code) {
  localStorage.setItem(KEPT, code);
  document.documentElement.lang = code;
  current.value = code;
}

/** A text, with what stands in its braces. @param {string} name @param {Record<string, string | number>} [given] */
export function t(name, given = {}) {
  const text = /** @type {Record<string, string>} */ (TABLES[current.value])[name] ?? /** @type {Record<string, string>} */ (EN)[name] ?? name;
  return text.replaceAll(/\{(\w+)\}/g, (whole, key) => String(given[key] ?? whole));
}

/** @type {Map<string, Intl.DisplayNames>} */
const names = new Map();

/** @param {string} code */
export function languageName(code) {
  const made = names.get(current.value) ?? new Intl.DisplayNames([current.value], { type: "language" });
  names.set(current.value, made);
  try {
    return made.of(code) ?? code;
  } catch {
    return code;
  }
}
