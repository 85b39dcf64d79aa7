// The service's routes, and the key that its user typed in: it is kept for this tab alone, until it is closed.

/**
 * @typedef {{word: string, start: number, end: number, probability: number, source: string, score: number | null,
 *   space_before: boolean}} Word
 * @typedef {{start: number, end: number, language_code: string, words: Word[]}} Segment
 * @typedef {{start: number, end: number, text: string, reason: string}} Rejected
 * @typedef {{text: string, duration: number, language_code: string, segments: Segment[], rejected?: Rejected[],
 *   notes?: {kind: string, text: string}[]}} Transcript
 * @typedef {{version: number, latest: number, created_at: number, author: string, draft: boolean, note: string,
 *   words?: number, transcript: Transcript}} Version
 * @typedef {{id: string, state: string, name: string, folder?: string, model: string, created_at: number,
 *   started_at?: number, finished_at?: number, version?: number, edited?: boolean, has_media?: boolean, position?: number,
 *   progress: {audio_s: number, total_s: number | null, left_s?: number | null}, notes?: string[],
 *   error?: {message: string, code: string}}} Job
 * @typedef {{start: number, segment: number, before: string, match: string, after: string}} Match
 */

const KEY = "autorag-whisper.key";

/** What the service answered that is no success. `code` as its documentation has it; "offline" where it did not answer. */
export class ApiError extends Error {
  /** @param {number} status @param {string} code @param {string} message */
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
    /** Whether the same may succeed later. */
    this.mayPass = !status || status >= 500 || [408, 423, 429].includes(status);
  }
}

/** Asks for the key: set by the page's frame. @type {() => Promise<string>} */
let askForKey = () => Promise.reject(new ApiError(401, "invalid_api_key", "No key."));
/** @type {Promise<string> | null} */
let asking = null;

/** @param {() => Promise<string>} ask */
export function setKeyAsker(ask) {
  askForKey = ask;
}

export const key = () => sessionStorage.getItem(KEY) ?? "";
export const forgetKey = () => sessionStorage.removeItem(KEY);

/** Another one than `old`: all requests that wait for it share one question. @param {string} old */
async function newKey(old) {
  if (key() && key() !== old) return;
  asking ??= askForKey().finally(() => {
    asking = null;
  });
  sessionStorage.setItem(KEY, await asking);
}

/**
 * A request with the key; asks for one where the service wants it.
 * @param {string} path @param {RequestInit & {headers?: Record<string, string>}} [options]
 * @returns {Promise<Response>} any answer but 401
 */
export async function request(path, options = {}) {
  for (;;) {
    const used = key();
    const headers = { ...options.headers, ...(used ? { Authorization: `Bearer ${used}` } : {}) };
    let answer;
    try {
      answer = await fetch(path, { ...options, headers, credentials: "omit", cache: "no-store" });
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw new ApiError(0, "offline", String(error));
    }
    if (answer.status !== 401) return answer;
    await newKey(used);
  }
}

/** The answer, if it is a success. @param {string} path @param {RequestInit & {headers?: Record<string, string>}} [options] */
export async function ask(path, options) {
  const answer = await request(path, options);
  if (answer.ok || answer.status === 304) return answer;
  const { error = {} } = await answer.json().catch(() => ({}));
  throw new ApiError(answer.status, error.code ?? "", error.message ?? `${answer.status} ${answer.statusText}`);
}

/** @param {string} path @param {RequestInit & {headers?: Record<string, string>}} [options] @returns {Promise<any>} */
export const json = async (path, options) => (await ask(path, options)).json();

/** A request with a body. @param {string} method @param {unknown} [body] @param {Record<string, string>} [headers] */
const having = (method, body = {}, headers = {}) => ({ method, headers: { "Content-Type": "application/json", ...headers }, body: JSON.stringify(body) });
/** @param {string} method @param {string} path @param {unknown} [body] @param {Record<string, string>} [headers] */
export const send = (method, path, body, headers) => json(path, having(method, body, headers));

/** @param {string} id */
const at = (id) => `/v1/jobs/${encodeURIComponent(id)}`;

export const api = {
  /** @param {Record<string, string | string[]>} query @returns {Promise<{data: Job[], has_more: boolean, total?: number}>} */
  jobs(query) {
    const all = Object.entries(query).flatMap(([name, value]) => [value].flat().map((one) => [name, one]));
    return json(`/v1/jobs?${new URLSearchParams(all)}`);
  },
  /** @param {string} id @returns {Promise<Job>} */
  job: (id) => json(at(id)),
  /** @param {string} id @param {string} name @returns {Promise<Job>} */
  rename: (id, name) => send("PATCH", at(id), { name }),
  /** @param {string} id @returns {Promise<Job>} */
  cancel: (id) => json(at(id), { method: "DELETE" }),
  /** @param {string} id @returns {Promise<Job>} */
  retry: (id) => json(`${at(id)}/retry`, { method: "POST" }),
  /** @param {string} id */
  forget: (id) => json(`${at(id)}/forget`, { method: "POST" }),
  /** @param {string} id @param {number} [version] @returns {Promise<Version>} */
  transcript: (id, version) => json(`${at(id)}/transcript${version ? `?version=${version}` : ""}`),
  /** @param {string} id @param {number} version @param {object} body @returns {Promise<Version>} */
  save: (id, version, body) => send("PATCH", `${at(id)}/transcript`, body, { "If-Match": `"${version}"` }),
  /** @param {string} id @returns {Promise<Version[]>} */
  versions: async (id) => (await json(`${at(id)}/versions`)).data,
  /** @param {string} id @param {number} from @param {number} latest @param {string} author @returns {Promise<Version>} */
  restore: (id, from, latest, author) => send("POST", `${at(id)}/versions/${from}/restore`, { author }, { "If-Match": `"${latest}"` }),
  /** @param {string} id @param {object} body @returns {Promise<{words: (Word & {changed: boolean})[], estimated: number}>} */
  align: (id, body) => send("POST", `${at(id)}/align`, body),
  /** @param {string} id @returns {Promise<string>} */
  mediaUrl: async (id) => (await send("POST", `${at(id)}/media-link`)).url,
  /** @param {string} id @param {AbortSignal} [signal] @returns {Promise<{duration: number, peaks: number[]}>} */
  peaks: (id, signal) => json(`${at(id)}/peaks`, { signal }),
  /** @param {string} q @param {AbortSignal} signal @returns {Promise<{data: {job: Job, matches: Match[]}[]}>} */
  search: (q, signal) => json(`/v1/jobs/search?${new URLSearchParams({ q, limit: "50" })}`, { signal }),
  /** @param {string} id @param {Record<string, string>} query */
  result: async (id, query) => ask(`${at(id)}/result?${new URLSearchParams(query)}`),
  /** @param {object} body */
  archive: (body) => ask("/v1/jobs/archive", having("POST", body)),
  /** @returns {Promise<string[]>} */
  models: async () => (await json("/v1/models")).data.map((/** @type {{id: string}} */ model) => model.id),
  /** The same `once` is the same job, however often it is sent. @param {object} body @param {string} once @returns {Promise<Job>} */
  add: (body, once) => send("POST", "/v1/jobs", body, { "Idempotency-Key": once }),
};

/**
 * What happens to a job, until it is over; a connection that breaks is made again behind the last event.
 * @param {string} id @param {(kind: string, data: any) => void} on @param {AbortSignal} signal
 * @param {{last: string}} place the last event that was told; kept as they come
 * @param {(is: boolean) => void} [onLine] told whether there is a connection
 */
export async function follow(id, on, signal, place, onLine = () => {}) {
  for (let tries = 0; !signal.aborted; tries += 1) {
    try {
      const answer = await ask(`${at(id)}/events`, { signal, headers: { "Last-Event-ID": place.last } });
      onLine(true);
      for await (const event of events(answer)) {
        tries = 0;
        if (event.id) place.last = event.id;
        on(event.kind, JSON.parse(event.data));
        if (event.kind === "state") return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && error.status >= 400 && error.status < 500) throw error;
      onLine(false);
    }
    await wait(Math.min(500 * 2 ** tries, 5000), signal);
  }
}

/** @param {Response} answer */
async function* events(answer) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (answer.body).getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += decoder.decode(value, { stream: true });
    const whole = text.split("\n\n");
    text = whole.pop() ?? "";
    for (const block of whole) {
      const event = { id: "", kind: "message", data: "" };
      for (const line of block.split("\n")) {
        if (line.startsWith("id: ")) event.id = line.slice(4);
        else if (line.startsWith("event: ")) event.kind = line.slice(7);
        else if (line.startsWith("data: ")) event.data += line.slice(6);
      }
      if (event.data) yield event;
    }
  }
}

/** @param {number} ms @param {AbortSignal} [signal] @returns {Promise<void>} */
export const wait = (ms, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
