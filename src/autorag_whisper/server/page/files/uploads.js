// Files on their way to the service, in pieces (tus 1.0): where a connection broke, it goes on behind what arrived.
import { signal } from "./vendor/signals-core.js";
import { ApiError, api, ask, key, wait } from "./api.js";
import { lookNow, put } from "./jobs.js";

/**
 * @typedef {{language?: string, model?: string, task?: string, quality?: string}} Options
 * @typedef {{id: number, file: Blob, name: string, folder: string, options: Options, sent: number, state: "waits" | "sends" |
 *   "broken" | "failed", message: string, place: string, stop: AbortController}} Upload
 */

/** The bytes of one request. */
export const PIECE = 4 << 20;
const TUS = { "Tus-Resumable": "1.0.0" };
const AT_A_TIME = 2;

export const uploads = signal(/** @type {Upload[]} */ ([]));

let count = 0;
let inWork = 0;

/** What is on its way ends with the page. */
addEventListener("beforeunload", (event) => {
  if (uploads.value.some(({ state }) => state !== "failed")) event.preventDefault();
});

/** @param {Upload} upload @param {Partial<Upload>} change */
function set(upload, change) {
  Object.assign(upload, change);
  uploads.value = [...uploads.value];
}

/** @param {Upload} upload */
const remove = (upload) => {
  uploads.value = uploads.value.filter((one) => one !== upload);
};

/**
 * Send files, each of which becomes a job.
 * @param {{file: Blob, name: string, folder?: string}[]} files @param {Options} options
 */
export function add(files, options) {
  const made = files.map(({ file, name, folder = "" }) => {
    count += 1;
    const state = /** @type {const} */ ("waits");
    return { id: count, file, name, folder, options, sent: 0, state, message: "", place: "", stop: new AbortController() };
  });
  uploads.value = [...uploads.value, ...made];
  pump();
}

/** @param {Upload} upload */
export function cancel(upload) {
  upload.stop.abort();
  if (upload.place) ask(upload.place, { method: "DELETE", headers: TUS }).catch(() => {});
  remove(upload);
}

/** @param {Upload} upload */
export function again(upload) {
  set(upload, { state: "waits", message: "", stop: new AbortController() });
  pump();
}

function pump() {
  for (const upload of uploads.value) {
    if (inWork >= AT_A_TIME) return;
    if (upload.state !== "waits") continue;
    inWork += 1;
    set(upload, { state: "sends" });
    run(upload).finally(() => {
      inWork -= 1;
      pump();
    });
  }
}

/** @param {Upload} upload */
async function run(upload) {
  for (let tries = 0; !upload.stop.signal.aborted; tries += 1) {
    const before = upload.sent;
    try {
      await send(upload);
      return;
    } catch (error) {
      if (upload.stop.signal.aborted) return;
      const { code = "", message = String(error), mayPass = true } = /** @type {ApiError} */ (error);
      if (code === "upload_not_found") upload.place = "";
      else if (!mayPass && code !== "offset_mismatch") {
        set(upload, { state: "failed", message });
        return;
      }
      if (upload.sent > before) tries = 0;
      set(upload, { state: "broken", message });
      await Promise.race([wait(Math.min(1000 * 2 ** tries, 15_000), upload.stop.signal), online()]);
      set(upload, { state: "sends", message: "" });
    }
  }
}

const online = () => new Promise((resolve) => addEventListener("online", resolve, { once: true }));

/** @param {Upload} upload */
async function send(upload) {
  const { file, stop } = upload;
  if (!upload.place) {
    const name = btoa(String.fromCharCode(...new TextEncoder().encode(upload.name.slice(0, 200))));
    const headers = { ...TUS, "Upload-Length": String(file.size), "Upload-Metadata": `filename ${name}` };
    const answer = await ask("/v1/uploads", { method: "POST", headers, signal: stop.signal });
    upload.place = new URL(answer.headers.get("Location") ?? "", location.href).pathname;
    upload.sent = 0;
  } else if (upload.sent < file.size || !file.size) {
    const answer = await ask(upload.place, { method: "HEAD", headers: TUS, signal: stop.signal });
    set(upload, { sent: Number(answer.headers.get("Upload-Offset")) });
  }
  while (upload.sent < file.size) set(upload, { sent: await piece(upload) });
  const { folder, options } = upload;
  const { quality, ...fields } = options;
  const id = upload.place.split("/").pop() ?? "";
  const more = { ...(quality ? { options: { quality } } : {}), ...(folder ? { folder } : {}) };
  put(await api.add({ upload: id, ...fields, ...more }, `page-${id}`));
  remove(upload);
  lookNow();
}

/**
 * One piece, with progress as it goes out: what `fetch` cannot tell.
 * @param {Upload} upload @returns {Promise<number>} how much has arrived
 */
function piece(upload) {
  const from = upload.sent;
  const headers = { ...TUS, "Upload-Offset": String(from), "Content-Type": "application/offset+octet-stream" };
  return new Promise((resolve, reject) => {
    const asked = new XMLHttpRequest();
    asked.open("PATCH", upload.place);
    for (const [name, value] of Object.entries(headers)) asked.setRequestHeader(name, value);
    if (key()) asked.setRequestHeader("Authorization", `Bearer ${key()}`);
    asked.upload.onprogress = (event) => set(upload, { sent: Math.min(from + event.loaded, upload.file.size) });
    const broke = () => {
      upload.sent = from;
      reject(new ApiError(0, "offline", "The connection broke."));
    };
    asked.onerror = broke;
    asked.ontimeout = broke;
    asked.onabort = broke;
    asked.onload = () => {
      if (asked.status < 300) {
        resolve(Number(asked.getResponseHeader("Upload-Offset")));
        return;
      }
      upload.sent = from;
      let error = { code: "", message: asked.statusText };
      try {
        error = JSON.parse(asked.responseText).error;
      } catch {
        // a proxy's own page
      }
      reject(new ApiError(asked.status, error.code, error.message));
    };
    upload.stop.signal.addEventListener("abort", () => asked.abort(), { once: true });
    asked.send(upload.file.slice(from, from + PIECE));
  });
}

/**
 * What was dropped or pasted, folders with all that is below them.
 * @param {DataTransfer} data @returns {Promise<{file: File, name: string, folder: string}[]>}
 */
export async function dropped(data) {
  const entries = [...data.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  /** @type {{file: File, name: string, folder: string}[]} */
  const found = [];
  for (const entry of entries) {
    if (entry instanceof File) found.push({ file: entry, name: entry.name, folder: "" });
    else if (entry) await below(entry, "", found);
  }
  return found;
}

/** @param {any} entry @param {string} folder @param {{file: File, name: string, folder: string}[]} found */
async function below(entry, folder, found) {
  if (entry.name.startsWith(".")) return;
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    if (!folder || isMedia(file)) found.push({ file, name: file.name, folder });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const one of some) await below(one, folder ? `${folder}/${entry.name}` : entry.name, found);
  }
}

const SUFFIXES = /\.(3g2|3gp|aac|ac3|aif[cf]?|amr|ape|asf|au|avi|caf|dss|flac|flv|gsm|m2ts|m4[abv]|mka|mkv|mov|mp[234]|mpe?g|mts|mxf|oga|ogg|ogv|opus|ra|rm|spx|tak|ts|tta|voc|vob|w64|wav|webm|wma|wmv|wv)$/i;

/** Of a folder only these are sent: a single file is always taken. @param {File} file */
export const isMedia = (file) => /^(audio|video)\//.test(file.type) || SUFFIXES.test(file.name);
