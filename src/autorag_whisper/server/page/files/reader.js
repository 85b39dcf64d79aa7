// The view of one recording: its head, the text, the video beside it, the player below.
import { api } from "./api.js";
import { Exporting } from "./exporting.js";
import { Find } from "./find.js";
import { drop, isOver, put, share } from "./jobs.js";
import { State, about } from "./jobs_list.js";
import { bind } from "./keyboard.js";
import { PlayerBar } from "./player_bar.js";
import { Reading } from "./reading.js";
import { languageName, t } from "./strings.js";
import { Dialog, Icon, Menu, Tool, clock, copyText, html, span, tellError, toast, useEffect, useLayoutEffect, useRef, useSignal, useState, valued } from "./ui.js";
import { signal } from "./vendor/signals-core.js";
import { Versions } from "./versions.js";
import { SOURCES, doubt } from "./view.js";

/** @typedef {import("./api.js").Job} Job */

const SKIP_S = 5;
const focus = (/** @type {HTMLElement | null} */ field) => field?.focus();
const NONE = signal(/** @type {any} */ (null));

/** @param {{job: Job}} props */
function Title({ job }) {
  const [typed, setTyped] = useState(/** @type {string | null} */ (null));
  const isLeft = useRef(false);
  const begin = () => {
    isLeft.current = false;
    setTyped(job.name);
  };
  const done = async (/** @type {any} */ event) => {
    const name = event.target.value.trim();
    setTyped(null);
    if (!name || name === job.name || isLeft.current) return;
    try {
      put(await api.rename(job.id, name));
      dispatchEvent(new CustomEvent("renamed", { detail: name }));
    } catch (error) {
      tellError(error);
    }
  };
  const keys = (/** @type {KeyboardEvent} */ event) => {
    event.stopPropagation();
    if (event.isComposing) return; // the key is the input method's
    isLeft.current = event.key === "Escape";
    if (event.key === "Enter" || event.key === "Escape") /** @type {HTMLElement} */ (event.target).blur();
  };
  const typing = valued(setTyped);
  if (typed !== null) return html`<input class="input title" id="title" dir="auto" aria-label=${t("name")} value=${typed} maxlength="200" onInput=${typing} onBlur=${done} onKeyDown=${keys} ref=${focus} />`;
  return html`<h1 class="clip" dir="auto"><button type="button" class="title" title=${t("rename")} onClick=${begin}>${job.name}</button></h1>`;
}

/** @param {{session: import("./session.js").Session}} props */
function Saved({ session }) {
  const state = useSignal(session.state);
  const problem = useSignal(session.problem);
  return html`<span class=${`saved small ${state}`} role="status" id="save-state" data-state=${state} title=${problem}>${t(`save_${state}`)}</span>`;
}

/** @param {{reading: Reading}} props */
function ViewMenu({ reading }) {
  const shown = useSignal(reading.shown);
  return html`<${Menu} icon="eye" label=${t("view")}>
    ${Object.entries(shown).map(
      ([name, is]) => html`<label><input type="checkbox" checked=${is} onChange=${() => reading.toggle(/** @type {any} */ (name))} />${t(`show_${name}`)}</label>`,
    )}
    <hr />
    <div class="legend small">
      <div><span class="w low">${t("word")}</span> ${t("legend_low")}</div>
      <div><span class="w mid">${t("word")}</span> ${t("legend_mid")}</div>
      ${Object.entries(SOURCES).map(([name, sign]) => html`<div><sup class="sign">${sign}</sup> ${t(`source_${name}`)}</div>`)}
    </div>
  <//>`;
}

/** @param {{reading: Reading, job: Job}} props */
function MoreMenu({ reading, job }) {
  const [asks, setAsks] = useState(false);
  const copy = (/** @type {boolean} */ withTimes) => copyText(reading.text(withTimes, clock)).then(() => toast(t("copied")), tellError);
  const forget = async () => {
    setAsks(false);
    try {
      await api.forget(job.id);
      drop(job.id);
      location.hash = "#/";
    } catch (error) {
      tellError(error);
    }
  };
  const over = isOver(job.state);
  return html`<${Menu} icon="more" label=${t("more")}>
      <button type="button" onClick=${() => copy(false)}><${Icon} name="copy" />${t("copy")}</button>
      <button type="button" onClick=${() => copy(true)}><${Icon} name="copy" />${t("copy_times")}</button>
      ${!over && html`<button type="button" onClick=${() => reading.cancel().catch(tellError)}><${Icon} name="stop" />${t("cancel_job")}</button>`}
      ${(job.state === "failed" || job.state === "cancelled") && html`<button type="button" onClick=${() => reading.retry().catch(tellError)}><${Icon} name="retry" />${t("retry")}</button>`}
      ${over && html`<button type="button" class="danger" onClick=${() => setAsks(true)}><${Icon} name="trash" />${t("delete")}</button>`}
    <//>
    ${asks &&
    html`<${Dialog} title=${t("delete_title")} onClose=${() => setAsks(false)}>
      <p>${t("delete_why", { name: job.name })}</p>
      <div class="dialog-foot"><button type="button" class="button" onClick=${() => setAsks(false)}>${t("keep")}</button>
        <button type="button" class="button danger" id="delete" onClick=${forget}>${t("delete")}</button></div>
    <//>`}`;
}

/** @param {{reading: Reading, session: import("./session.js").Session}} props */
function Conflict({ session }) {
  const theirs = useSignal(session.theirs);
  const by = useSignal(session.merged);
  useEffect(() => {
    if (by) toast(t("merged", { name: by.name || t("somebody") }));
  }, [by]);
  if (!theirs) return null;
  return html`<div class="notice bad" role="alert"><span class="grow">${t("conflict", { name: theirs.author || t("somebody") })}</span>
    <button type="button" class="button" onClick=${() => session.resolve("theirs")}>${t("take_theirs")}</button>
    <button type="button" class="button" onClick=${() => session.resolve("mine")}>${t("keep_mine")}</button></div>`;
}

/** @param {{reading: Reading}} props */
function Notices({ reading }) {
  const job = useSignal(reading.job);
  const online = useSignal(reading.isOnline);
  const newer = useSignal(reading.newer);
  const problem = useSignal(reading.problem);
  if (problem) return html`<div class="notice bad" role="alert">${problem}</div>`;
  if (!job) return null;
  if (newer) return html`<div class="notice"><span class="grow">${t("newer")}</span><button type="button" class="button" onClick=${() => reading.takeNewer()}>${t("show")}</button></div>`;
  if (job.state === "failed") return html`<div class="notice bad" role="alert">${job.error?.message ?? t("state_failed")}</div>`;
  if (job.state === "done" || job.state === "cancelled") return (job.notes ?? []).map((note) => html`<div class="notice small">${note}</div>`);
  return html`<div class="notice tnum" id="progress"><${State} job=${job} /><span class="grow clip">${online ? about(job) : t("offline")}</span>
    <div class="meter live" role="progressbar" aria-label=${t("progress")} aria-valuenow=${Math.round(share(job) * 100)} aria-valuemin="0" aria-valuemax="100"><i style=${{ width: `${share(job) * 100}%` }}></i></div></div>`;
}

/** What is known of the word where the keyboard is. @param {{reading: Reading}} props */
function WordInfo({ reading }) {
  const word = useSignal(reading.focused);
  const job = useSignal(reading.job);
  const told = word
    ? [`${word.start.toFixed(2)} – ${word.end.toFixed(2)} s`, word.source && t("sure", { n: Math.round(word.probability * 100) }), word.source && t(`source_${word.source}`)]
    : [job?.model, job?.progress.total_s && span(job.progress.total_s)];
  return html`<div class="word-info small soft tnum" id="word-info" aria-live="polite">${told.filter(Boolean).join(" · ")}${word && doubt(word) ? ` · ${t("doubtful")}` : ""}</div>`;
}

/** @param {{player: import("./player.js").Player}} props */
function Video({ player }) {
  const has = useSignal(player.hasVideo);
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  useLayoutEffect(() => {
    place.current?.append(player.media);
  }, [player]);
  return html`<div class="video" ref=${place} hidden=${!has} onClick=${() => player.toggle()}></div>`;
}

/** @param {Reading} reading @param {(what: string) => void} open */
const keysOf = (reading, open) => {
  const player = () => reading.player.value;
  const session = () => reading.session.value;
  const follow = () => {
    reading.follows.value = !reading.follows.value;
    reading.follow();
  };
  const play = (/** @type {number} */ seconds) => () => player()?.skip(seconds);
  const edit = () => reading.editHere();
  const hear = () => player()?.toggle();
  const undo = () => session()?.undo();
  const redo = () => session()?.redo();
  const next = (/** @type {1 | -1} */ step) => () => reading.doubtful(step) || toast(t("no_doubt"));
  return {
    Space: hear, "Ctrl+Space": hear, j: play(-SKIP_S), l: play(SKIP_S), "Shift+j": play(-30), "Shift+l": play(30), "<": () => player()?.stepRate(-1), ">": () => player()?.stepRate(1),
    o: () => reading.loop(), f: follow, e: edit, F2: edit, n: next(1), "Shift+n": next(-1), "Ctrl+z": undo, "Ctrl+Shift+z": redo, "Ctrl+y": redo,
    "Ctrl+f": () => open("find"), "Ctrl+s": () => open("export"), "Ctrl+Enter": () => reading.splitHere(), "Ctrl+Backspace": () => reading.joinHere(),
    "/": () => document.getElementById("search")?.focus(),
  };
};

/** @param {{reading: Reading, session: import("./session.js").Session | null, open: (what: string) => void, what: string}} props */
function Tools({ reading, session, open, what }) {
  useSignal(session ? session.doc : NONE);
  if (!session) return null;
  const { past, future } = session.history;
  return html`<${Tool} icon="undo" mirrors id="undo" label=${t("undo")} disabled=${!past.length} onClick=${() => session.undo()} />
    <${Tool} icon="redo" mirrors id="redo" label=${t("redo")} disabled=${!future.length} onClick=${() => session.redo()} />
    <${Tool} icon="edit" id="edit" label=${t("edit_segment")} onClick=${() => reading.editHere()} />
    <${Tool} icon="next" id="doubtful" label=${t("k_doubtful")} onClick=${() => reading.doubtful(1) || toast(t("no_doubt"))} />
    <${Tool} icon="find" id="find" label=${t("find")} aria-pressed=${what === "find" ? "true" : "false"} onClick=${() => open(what === "find" ? "" : "find")} />
    <${Tool} icon="history" id="versions" label=${t("versions")} onClick=${() => open("versions")} />
    <button type="button" class="button main" id="export" aria-label=${t("export")} onClick=${() => open("export")}><${Icon} name="down" /><span class="wide-only">${t("export")}</span></button>`;
}

/** @param {{id: string, at: string | null}} props */
export function Reader({ id, at }) {
  const [reading] = useState(() => new Reading(id, at === null ? null : Number(at) || 0));
  const [what, open] = useState("");
  const scroller = useRef(/** @type {HTMLElement | null} */ (null));
  const job = useSignal(reading.job);
  const session = useSignal(reading.session);
  const player = useSignal(reading.player);
  const follows = useSignal(reading.follows);
  const shown = useSignal(reading.shown);
  useEffect(() => {
    if (scroller.current) void reading.open(scroller.current);
    const renamed = (/** @type {any} */ event) => reading.job.value && reading.setJob({ ...reading.job.value, name: event.detail });
    addEventListener("renamed", renamed);
    const unbind = bind(keysOf(reading, open));
    return () => {
      removeEventListener("renamed", renamed);
      unbind();
      reading.close();
    };
  }, []);
  useEffect(() => {
    if (at !== null && reading.doc.length) reading.view?.go(reading.index.wordFrom(Number(at)));
  }, [at]);
  useEffect(() => {
    document.title = job ? `${job.name} · autorag-whisper` : "autorag-whisper";
    return () => {
      document.title = "autorag-whisper";
    };
  }, [job?.name]);
  const toNow = () => {
    reading.follows.value = true;
    reading.view?.keepInView(Math.max(0, reading.view.now));
  };
  const setFollows = () => {
    reading.follows.value = !follows;
  };
  const classes = Object.entries(shown).filter(([, is]) => is).map(([name]) => `with-${name}`).join(" ");
  const language = session?.transcript.language_code;
  return html`<div class="reader">
    <div class="reader-head">
      <a class="tool back" href="#/" aria-label=${t("back_to_list")}><${Icon} name="back" mirrors /></a>
      <div class="grow reader-name">${job && html`<${Title} job=${job} />`}
        <div class="row small soft">${language ? languageName(language) : ""}${session && html`<${Saved} session=${session} />`}</div></div>
      <div class="row reader-tools"><${Tools} reading=${reading} session=${session} open=${open} what=${what} />
        <${ViewMenu} reading=${reading} />${job && html`<${MoreMenu} reading=${reading} job=${job} />`}</div>
    </div>
    <${Notices} reading=${reading} />
    ${session && html`<${Conflict} session=${session} reading=${reading} />`}
    ${what === "find" && session && html`<${Find} reading=${reading} session=${session} onClose=${() => open("")} />`}
    <div class="reader-body">
      ${player && html`<${Video} player=${player} />`}
      <div class=${`scroller ${classes}`} ref=${scroller} role="region" tabindex="0" aria-label=${t("transcript")}></div>
      ${session && !session.base.length && html`<div class="empty over">${t("no_speech")}</div>`}
      ${!follows && player && html`<button type="button" class="button to-now" onClick=${toNow}>${t("to_now")}</button>`}
    </div>
    <${WordInfo} reading=${reading} />
    ${player && html`<${PlayerBar} player=${player} skip=${SKIP_S} onLoop=${() => reading.loop()} follows=${follows} onFollow=${setFollows} />`}
    ${what === "export" && session && html`<${Exporting} reading=${reading} session=${session} onClose=${() => open("")} />`}
    ${what === "versions" && session && html`<${Versions} reading=${reading} session=${session} onClose=${() => open("")} />`}
  </div>`;
}
