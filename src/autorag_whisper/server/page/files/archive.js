// Many transcripts as one archive.
import { api } from "./api.js";
import { t } from "./strings.js";
import { Dialog, download, html, remember, remembered, tellError, useState } from "./ui.js";
import { signal } from "./vendor/signals-core.js";

export const FORMATS = ["txt", "srt", "vtt", "ass", "tsv", "json", "words"];

/** The formats in which this user wants transcripts: an option when recordings are put in, and what every download begins with. */
export const wantedFormats = signal(/** @type {string[]} */ (remembered("formats", ["txt", "srt"])));

/** @param {string[]} formats */
export function setWantedFormats(formats) {
  wantedFormats.value = FORMATS.filter((name) => formats.includes(name));
  remember("formats", wantedFormats.value);
}

/** Transcripts as one archive, which the browser saves under a name. @param {string[]} ids @param {string[]} formats @param {string} name @param {Record<string, string>} [subtitles] */
export async function downloadArchive(ids, formats, name, subtitles = {}) {
  const answer = await api.archive({ ids, formats, subtitles });
  download(await answer.blob(), `${name}.zip`);
}

/** The jobs that are asked about; null for none. */
export const archived = signal(/** @type {import("./api.js").Job[] | null} */ (null));

/** @param {import("./api.js").Job[]} jobs */
export const openArchive = (jobs) => {
  archived.value = jobs.filter((job) => job.state === "done");
};

/** @param {{jobs: import("./api.js").Job[]}} props */
export function Archive({ jobs }) {
  const [formats, setFormats] = useState(wantedFormats.value);
  const [busy, setBusy] = useState(false);
  const close = () => {
    archived.value = null;
  };
  const save = async () => {
    setBusy(true);
    try {
      await downloadArchive(jobs.map((job) => job.id), formats, t("transcripts"));
      close();
    } catch (error) {
      tellError(error);
      setBusy(false);
    }
  };
  const toggle = (/** @type {string} */ name) => setFormats(formats.includes(name) ? formats.filter((one) => one !== name) : [...formats, name]);
  return html`<${Dialog} title=${t("archive_title", { n: jobs.length })} onClose=${close}>
    <div role="group" aria-label=${t("formats")}>
      ${FORMATS.map((name) => html`<label class="check"><input type="checkbox" checked=${formats.includes(name)} onChange=${() => toggle(name)} /><b>${name}</b><span class="soft">${t(`format_${name}`)}</span></label>`)}
    </div>
    <div class="dialog-foot"><button type="button" class="button main" disabled=${busy || !formats.length} onClick=${save}>${busy ? t("loading") : t("download")}</button></div>
  <//>`;
}
