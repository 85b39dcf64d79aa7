// The jobs that the list shows: all of them once, then what may have changed, for as long as somebody looks.
import { signal } from "./vendor/signals-core.js";
import { ApiError, api, wait } from "./api.js";

/** @typedef {import("./api.js").Job} Job */

const PAGE = 200;
const BUSY_MS = 1500;
const IDLE_MS = 6000;
/** Of so many queued jobs the place in the queue is asked for. */
const NEXT = 10;

/** Newest first. */
export const jobs = signal(/** @type {Job[]} */ ([]));
/** "asking" until the first answer; "offline"; "none" where the service keeps no jobs. */
export const listState = signal(/** @type {"asking" | "ready" | "offline" | "none"} */ ("asking"));

/** @type {Map<string, Job>} */
const known = new Map();
/** Of which something newer is known than an answer that is on its way. @type {Set<string>} */
const newer = new Set();
let look = () => {};

/** @param {string} state */
export const isOver = (state) => state === "done" || state === "failed" || state === "cancelled";

const publish = () => {
  jobs.value = [...known.values()].sort((a, b) => b.created_at - a.created_at);
};

/** @param {Job} job */
export function put(job) {
  const was = known.get(job.id);
  if (was?.state !== job.state || was.name !== job.name) newer.add(job.id);
  known.set(job.id, { ...was, ...job });
  publish();
}

/** @param {string} id */
export function drop(id) {
  newer.add(id);
  known.delete(id);
  publish();
}

/** Those that are open, whatever their state: somebody may try one again, or mend it, elsewhere. @type {Set<string>} */
const looked = new Set();

/** Ask for a job too that is old and over, until what is returned is called. @param {string} id */
export function keepLooking(id) {
  looked.add(id);
  return () => {
    looked.delete(id);
  };
}

/** An answer. @param {Job} job */
const learn = (job) => newer.has(job.id) || known.set(job.id, job);

/** Look at once: something was added. */
export const lookNow = () => look();

/** Every job, and no other: those that were forgotten elsewhere go. */
async function all() {
  const gone = new Set(known.keys());
  let before = "";
  for (;;) {
    newer.clear();
    const page = await api.jobs({ limit: String(PAGE), ...(before ? { before } : {}) }).catch(fromTheFirst);
    for (const job of page?.data ?? []) {
      learn(job);
      gone.delete(job.id);
    }
    publish();
    listState.value = "ready";
    if (page && (!page.has_more || !page.data.length)) break;
    before = page ? page.data[page.data.length - 1].id : "";
  }
  for (const id of gone) known.delete(id);
  publish();
}

/** The job behind which the next page begins was forgotten meanwhile. @param {ApiError} error */
function fromTheFirst(error) {
  if (error.code !== "job_not_found") throw error;
  return null;
}

async function changed() {
  newer.clear();
  const open = [...known.values()].filter((job) => !isOver(job.state)).map((job) => job.id);
  const [newest, running, queued] = await Promise.all([
    api.jobs({ limit: "50" }),
    open.length ? api.jobs({ state: "running", limit: "100" }) : { data: [] },
    open.length ? api.jobs({ state: "queued", limit: "100" }) : { data: [] },
  ]);
  const seen = new Map([...newest.data, ...queued.data, ...running.data].map((job) => [job.id, job]));
  const next = queued.data.slice(-NEXT).map((job) => job.id); // how many are before a job is told of one alone
  const waits = new Set(queued.data.map((job) => job.id));
  const rest = [...new Set([...looked, ...next, ...open])].filter((id) => !seen.has(id) || waits.has(id) && (looked.has(id) || next.includes(id))).slice(0, 50);
  for (const job of await Promise.all(rest.map((id) => api.job(id).catch(() => null)))) if (job) seen.set(job.id, job);
  const told = JSON.stringify([...seen.values()].map((job) => known.get(job.id) ?? null));
  const now = JSON.stringify([...seen.values()]);
  for (const job of seen.values()) learn(job);
  if (told !== now) publish();
  listState.value = "ready";
  if (newest.total !== undefined && newest.total !== known.size) await all(); // many came at once, or some are forgotten
}

/** Keep the list as the service has it, until the page ends. */
export async function watch() {
  let isFirst = true;
  for (;;) {
    try {
      if (isFirst) await all();
      else if (!document.hidden) await changed();
      isFirst = false;
    } catch (error) {
      const { status, code } = error instanceof ApiError ? error : new ApiError(0, "", "");
      listState.value = status === 404 || status === 405 ? "none" : code === "offline" || status >= 500 ? "offline" : listState.value;
      if (listState.value === "none") return;
    }
    const isBusy = listState.value !== "ready" || [...known.values()].some((job) => !isOver(job.state));
    const stop = new AbortController();
    look = () => stop.abort();
    await wait(isBusy ? BUSY_MS : IDLE_MS, stop.signal);
  }
}

document.addEventListener("visibilitychange", () => document.hidden || look());

/** How many times faster than the recording is long. @param {Job} job */
export function speed(job) {
  const until = job.finished_at || Date.now() / 1000;
  const spent = job.started_at ? until - job.started_at : 0;
  return spent > 0.5 && job.progress.audio_s > 0 ? job.progress.audio_s / spent : 0;
}

/** @param {Job} job */
export const share = (job) => (job.progress.total_s ? Math.min(1, job.progress.audio_s / job.progress.total_s) : 0);
