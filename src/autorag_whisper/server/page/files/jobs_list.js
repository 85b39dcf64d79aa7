// The list at the side: uploads on their way, jobs (only those that are seen are drawn), or what a search has found.
import { api } from "./api.js";
import { jobs, listState, share, speed } from "./jobs.js";
import { t } from "./strings.js";
import { Icon, Menu, Select, clock, html, remember, remembered, span, tellError, useEffect, useLayoutEffect, useRef, useSignal, useState, valued } from "./ui.js";
import { Uploads } from "./uploads_view.js";
import { uploads } from "./uploads.js";
import { openArchive } from "./archive.js";

/** @typedef {import("./api.js").Job} Job */

const ROW = 72;
const MORE = 6;

/** @type {Record<string, (a: Job, b: Job) => number>} */
const ORDERS = {
  newest: (a, b) => b.created_at - a.created_at,
  oldest: (a, b) => a.created_at - b.created_at,
  name: (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }),
  longest: (a, b) => (b.progress.total_s ?? 0) - (a.progress.total_s ?? 0),
};
/** @type {Record<string, (job: Job) => boolean>} */
const FILTERS = {
  all: () => true,
  open: (job) => job.state === "queued" || job.state === "running",
  done: (job) => job.state === "done",
  failed: (job) => job.state === "failed" || job.state === "cancelled",
};
const FOLDER = "folder:";
/** @type {Record<string, import("./ui.js").IconName>} */
const ICONS = { queued: "clock", running: "wave", done: "check", failed: "fail", cancelled: "close" };

/** What there is to say of a job in a line. @param {Job} job */
export function about(job) {
  const { audio_s, total_s, left_s } = job.progress;
  const length = total_s ? span(total_s) : "";
  const pace = speed(job);
  const parts = [];
  if (job.state === "running") {
    if (length) parts.push(`${clock(audio_s)} / ${length}`);
    if (pace) parts.push(t("times_fast", { n: pace.toFixed(1) }));
    if (left_s != null) parts.push(t("left", { time: clock(left_s) }));
  } else if (job.state === "queued") parts.push(job.position ? t("position", { n: job.position }) : t("waits"));
  else if (job.state === "failed") parts.push(job.error?.message ?? "");
  else if (length) parts.push(length);
  if (!parts.join("")) parts.push(new Date(job.created_at * 1000).toLocaleDateString());
  return [...parts, job.state === "failed" ? "" : job.model, job.edited ? t("edited") : "", job.folder ? `${job.folder}/` : ""].filter(Boolean).join(" · ");
}

/** @param {{job: Job}} props */
export const State = ({ job }) =>
  html`<span class=${`state ${job.state}`}><${Icon} name=${ICONS[job.state] ?? "clock"} />${t(`state_${job.state}`)}</span>`;

/** @param {{job: Job, top: number, current: boolean}} props */
const Row = ({ job, top, current }) =>
  html`<a class="job" role="listitem" href=${`#/job/${job.id}`} style=${{ top: `${top}px` }} aria-current=${current ? "true" : null}>
    <div class="row"><span class="name clip grow" dir="auto">${job.name}</span><${State} job=${job} /></div>
    <div class="about clip tnum">${about(job)}</div>
    ${job.state === "running" &&
    html`<div class="meter" role="progressbar" aria-label=${job.name} aria-valuenow=${Math.round(share(job) * 100)} aria-valuemin="0" aria-valuemax="100"><i style=${{ width: `${share(job) * 100}%` }}></i></div>`}
  </a>`;

/** @param {{shown: Job[], current: string}} props */
function Rows({ shown, current }) {
  const self = useRef(/** @type {HTMLElement | null} */ (null));
  const [view, setView] = useState({ first: 0, last: 20 });
  const measure = () => {
    const box = self.current;
    if (!box) return;
    const first = Math.max(0, Math.floor(box.scrollTop / ROW) - MORE);
    const last = Math.ceil((box.scrollTop + box.clientHeight) / ROW) + MORE;
    if (first !== view.first || last !== view.last) setView({ first, last });
  };
  useLayoutEffect(measure);
  useEffect(() => {
    const seen = new ResizeObserver(measure);
    if (self.current) seen.observe(self.current);
    return () => seen.disconnect();
  }, []);
  const move = (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const links = /** @type {HTMLElement[]} */ ([...(self.current?.querySelectorAll("a") ?? [])]);
    const now = links.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    if (!step || now < 0) return;
    links[now + step]?.focus();
    event.preventDefault();
  };
  return html`<div ref=${self} class="jobs" onScroll=${measure} onKeyDown=${move}>
    <div class="jobs-canvas" role="list" aria-label=${t("recordings")} style=${{ height: `${shown.length * ROW}px` }}>
      ${shown.slice(view.first, view.last).map(
        (job, at) => html`<${Row} key=${job.id} job=${job} top=${(view.first + at) * ROW} current=${job.id === current} />`,
      )}
    </div>
  </div>`;
}

/** @param {{query: string}} props */
function Hits({ query }) {
  const [found, setFound] = useState(/** @type {Awaited<ReturnType<typeof api.search>>["data"] | null} */ (null));
  useEffect(() => {
    const stop = new AbortController();
    const timer = setTimeout(() => {
      api.search(query, stop.signal).then((answer) => setFound(answer.data), (error) => stop.signal.aborted || tellError(error));
    }, 180);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [query]);
  if (!found) return html`<div class="empty">${t("searching")}</div>`;
  if (!found.length) return html`<div class="empty">${t("nothing_found")}</div>`;
  return html`<div class="jobs" tabindex="0" role="region" aria-label=${t("search_results")}>
    ${found.map(
      ({ job, matches }) => html`<div key=${job.id}>
        <a class="hit" href=${`#/job/${job.id}`}><div class="row"><b class="clip grow" dir="auto">${job.name}</b></div></a>
        ${matches.map(
          (hit) => html`<a class="hit small" href=${`#/job/${job.id}?t=${hit.start}`}>
            <span class="soft tnum">${clock(hit.start)}</span>${" "}<span dir="auto">${hit.before}<mark>${hit.match}</mark>${hit.after}</span></a>`,
        )}
      </div>`,
    )}
  </div>`;
}

/** @param {{current: string}} props */
export function JobsList({ current }) {
  const all = useSignal(jobs);
  const state = useSignal(listState);
  const sent = useSignal(uploads);
  const [query, setQuery] = useState("");
  const [filter, setFilter] = useState("all");
  const [order, setOrder] = useState(remembered("order", "newest"));
  const folders = [...new Set(all.map((job) => job.folder ?? ""))].filter(Boolean).sort();
  const inFolder = filter.startsWith(FOLDER) ? filter.slice(FOLDER.length) : null;
  const fits = inFolder === null ? FILTERS[filter] : (/** @type {Job} */ job) => job.folder === inFolder;
  const shown = all.filter(fits).sort(ORDERS[order] ?? ORDERS.newest);
  /** @param {string} label @param {string} value @param {[string, string][]} choices @param {(value: string) => void} set */
  const choice = (label, value, choices, set) =>
    html`<${Select} class="input" aria-label=${label} value=${value} of=${choices} set=${set} />`;
  /** @param {Record<string, unknown>} table @param {string} prefix @returns {[string, string][]} */
  const told = (table, prefix) => Object.keys(table).map((name) => [name, t(`${prefix}${name}`)]);
  const chooseOrder = (/** @type {string} */ value) => {
    setOrder(value);
    remember("order", value);
  };
  return html`<aside class="side" aria-label=${t("recordings")}>
    <div class="side-head">
      <div class="search"><${Icon} name="find" />
        <input id="search" class="input" type="search" placeholder=${t("search_all")} aria-label=${t("search_all")} value=${query}
          onInput=${valued(setQuery)} /></div>
      <div class="row">
        ${choice(t("filter"), filter, [...told(FILTERS, "filter_"), ...folders.map((name) => /** @type {[string, string]} */ ([`${FOLDER}${name}`, `${name}/`]))], setFilter)}
        ${choice(t("order"), order, told(ORDERS, "order_"), chooseOrder)}
        <${Menu} icon="more" label=${t("more_of_list")}>
          <button type="button" onClick=${() => openArchive(shown)} disabled=${!shown.some((job) => job.state === "done")}><${Icon} name="archive" />${t("archive_shown")}</button>
        <//>
      </div>
    </div>
    ${sent.length > 0 && html`<${Uploads} />`}
    ${query.trim()
      ? html`<${Hits} query=${query.trim()} />`
      : state === "none"
        ? html`<div class="empty">${t("no_jobs_here")}<code>autorag-whisper serve --data FOLDER</code></div>`
        : shown.length
          ? html`<${Rows} shown=${shown} current=${current} />`
          : html`<div class="empty">${state === "asking" ? t("loading") : all.length ? t("nothing_found") : t("no_recordings")}</div>`}
  </aside>`;
}
