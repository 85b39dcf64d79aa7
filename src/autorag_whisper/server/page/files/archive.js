// Many transcripts as one archive.
import { api } from "./api.js";
import { t } from "./strings.js";
import { Dialog, download, html, tellError, useState } from "./ui.js";
import { signal } from "./vendor/signals-core.js";

export const FORMATS = ["txt", "srt", "vtt", "ass", "tsv", "json", "words"];

/** The jobs that are asked about; null for none. */
export const archived = signal(/** @type {import("./api.js").Job[] | null} */ (null));

/** @param {import("./api.js").Job[]} jobs */
export const openArchive = (jobs) => {
  archived.value = jobs.filter((job) => job.state === "done");
};

/** @param {{jobs: import("./api.js").Job[]}} props */
export function Archive({ jobs }) {
  const [formats, setFormats] = useState(["txt", "srt"]);
  const [busy, setBusy] = useState(false);
  const close = () => {
    archived.value = null;
  };
  const save = async () => {
    setBusy(true);
    try {
      const answer = await api.archive({ ids: jobs.map((job) => job.id), formats });
      download(await answer.blob(), `${t("transcripts")}.zip`);
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
