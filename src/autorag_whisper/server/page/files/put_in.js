// Where recordings are put in: dropped anywhere, chosen, pasted, or spoken into the microphone.
import { api } from "./api.js";
import { FORMATS, setWantedFormats, wantedFormats } from "./archive.js";
import { lang, languageName, t } from "./strings.js";
import { Icon, Select, html, remember, remembered, tellError, toast, useEffect, useRef, useSignal, useState } from "./ui.js";
import { add, dropped, isMedia } from "./uploads.js";
import { signal } from "./vendor/signals-core.js";

const LANGUAGES = ("en de fr es it pt nl pl ru uk cs sv da no fi el tr ar he fa hi ur bn ta zh ja ko vi th id ms ro hu bg " +
  "hr sk sl lt lv et ca eu gl cy ga is mk sr sq az kk hy ka sw af").split(" ");

/** @returns {import("./uploads.js").Options} */
const chosenOptions = () => remembered("options", {});

/** Send these, with the options that were chosen last. @param {{file: Blob, name: string, folder?: string}[]} files */
export function send(files) {
  if (!files.length) {
    toast(t("no_files"));
    return;
  }
  const given = Object.fromEntries(Object.entries(chosenOptions()).filter(([, value]) => value));
  add(files, given);
  if (location.hash.startsWith("#/job/") && files.length) toast(t("sending", { n: files.length }), { text: t("show"), act: () => (location.hash = "#/") });
}

export const isOver = signal(false);

/** Files that are dropped or pasted anywhere on the page are taken. */
export function takeFromAnywhere() {
  let depth = 0;
  const hasFiles = (/** @type {DragEvent} */ event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragenter", (event) => {
    if (hasFiles(event)) depth += 1;
    isOver.value = depth > 0;
  });
  addEventListener("dragleave", (event) => {
    if (hasFiles(event)) depth = Math.max(0, depth - 1);
    isOver.value = depth > 0;
  });
  addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    depth = 0;
    isOver.value = false;
    if (!event.dataTransfer || !hasFiles(event)) return;
    event.preventDefault();
    dropped(event.dataTransfer).then(send, tellError);
  });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    send(files.map((file) => ({ file, name: file.name || `${t("pasted")}.bin` })));
  });
}

/** @param {FileList | null} list */
const ofList = (list) =>
  [...(list ?? [])]
    .map((file) => ({ file, name: file.name, folder: file.webkitRelativePath.split("/").slice(0, -1).join("/") }))
    .filter(({ file, folder }) => !folder || (isMedia(file) && !file.webkitRelativePath.split("/").some((part) => part.startsWith("."))));

/** @typedef {{recorder: MediaRecorder, began: number}} Recording */

/** What is being recorded goes on, and can be stopped, whatever else the page shows meanwhile. */
const recording = signal(/** @type {Recording | null} */ (null));

/** @param {BeforeUnloadEvent} event */
const stay = (event) => event.preventDefault();

async function startRecording() {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch {
    toast(t("no_microphone"));
    return;
  }
  const recorder = new MediaRecorder(stream);
  /** @type {Blob[]} */
  const pieces = [];
  recorder.ondataavailable = (event) => event.data.size && pieces.push(event.data);
  recorder.onstop = () => {
    for (const track of stream.getTracks()) track.stop();
    recording.value = null;
    removeEventListener("beforeunload", stay);
    const kind = recorder.mimeType.includes("mp4") ? "m4a" : "webm";
    const name = `${t("recording")} ${new Date().toLocaleString(lang())}.${kind}`.replaceAll(/[/:]/g, "-");
    send([{ file: new Blob(pieces, { type: recorder.mimeType }), name }]);
  };
  recorder.start(1000);
  recording.value = { recorder, began: Date.now() };
  addEventListener("beforeunload", stay);
}

/** @param {{recording: Recording}} props */
function Running({ recording }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((/** @type {number} */ n) => n + 1), 250);
    return () => clearInterval(timer);
  }, []);
  const seconds = Math.floor((Date.now() - recording.began) / 1000);
  return html`<div class="recording"><i></i><span class="tnum">${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}</span>
    <button type="button" class="button main" onClick=${() => recording.recorder.stop()}><${Icon} name="stop" />${t("stop_recording")}</button></div>`;
}

/** @param {{models: string[]}} props */
function Options({ models }) {
  const [options, setOptions] = useState(chosenOptions());
  /** @param {string} name @param {string} label @param {[string, string][]} choices */
  const choice = (name, label, choices) => {
    const set = (/** @type {string} */ value) => {
      const next = { ...options, [name]: value };
      setOptions(next);
      remember("options", next);
    };
    const value = /** @type {Record<string, string>} */ (options)[name] ?? "";
    return html`<label class="field">${label}<${Select} value=${value} of=${choices} set=${set} /></label>`;
  };
  const formats = useSignal(wantedFormats);
  const toggle = (/** @type {string} */ name) => setWantedFormats(formats.includes(name) ? formats.filter((one) => one !== name) : [...formats, name]);
  const names = LANGUAGES.map((code) => /** @type {[string, string]} */ ([code, languageName(code)])).sort((a, b) => a[1].localeCompare(b[1]));
  const told = [options.language ? languageName(options.language) : t("language_auto"), options.model || models[0], formats.join(", ")].filter(Boolean).join(" · ");
  return html`<details class="card" open=${innerWidth > 820}><summary><b>${t("options")}</b> <span class="soft small">${told}</span></summary><div class="options">
    ${choice("language", t("language"), [["", t("language_auto")], ...names])}
    ${choice("model", t("model"), [["", models[0] ? t("model_default", { name: models[0] }) : t("default")], ...models.slice(1).map((name) => /** @type {[string, string]} */ ([name, name]))])}
    ${choice("task", t("task"), [["", t("task_transcribe")], ["translate", t("task_translate")]])}
    ${choice("quality", t("quality"), [["", t("quality_default")], ["fast", t("quality_fast")], ["best", t("quality_best")]])}
  </div>
  <fieldset class="chips"><legend class="small soft">${t("formats_wanted")}</legend>
    ${FORMATS.map((name) => html`<label class="chip" title=${t(`format_${name}`)}><input type="checkbox" value=${name} checked=${formats.includes(name)} onChange=${() => toggle(name)} />${name}</label>`)}
  </fieldset></details>`;
}

export function PutIn() {
  const files = useRef(/** @type {HTMLInputElement | null} */ (null));
  const folder = useRef(/** @type {HTMLInputElement | null} */ (null));
  const running = useSignal(recording);
  const [models, setModels] = useState(/** @type {string[]} */ ([]));
  useEffect(() => {
    api.models().then(setModels, () => {});
  }, []);
  const chosen = (/** @type {any} */ event) => {
    send(ofList(event.target.files));
    event.target.value = "";
  };
  return html`<div class="put">
    <section class="drop" aria-label=${t("put_in")}>
      <${Icon} name="wave" />
      <h1><span class="wide-only">${t("drop_here")}</span><span class="narrow-only">${t("put_in")}</span></h1>
      <p class="soft wide-only">${t("drop_more")}</p>
      ${running
        ? html`<${Running} recording=${running} />`
        : html`<div class="row wrap" style=${{ justifyContent: "center" }}>
            <button type="button" class="button main" onClick=${() => files.current?.click()}><${Icon} name="upload" />${t("choose_files")}</button>
            <button type="button" class="button wide-only" onClick=${() => folder.current?.click()}>${t("choose_folder")}</button>
            <button type="button" class="button" onClick=${() => startRecording()}><${Icon} name="mic" />${t("record")}</button>
          </div>`}
      <input ref=${files} id="files" type="file" multiple hidden onChange=${chosen} aria-label=${t("choose_files")} />
      <input ref=${folder} id="folder" type="file" multiple webkitdirectory hidden onChange=${chosen} aria-label=${t("choose_folder")} />
    </section>
    <${Options} models=${models} />
    <p class="soft small wide-only">${t("stays_here")}</p>
  </div>`;
}
