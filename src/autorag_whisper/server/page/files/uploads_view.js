// The uploads that are on their way, above the list.
import { t } from "./strings.js";
import { Tool, html, useSignal } from "./ui.js";
import { again, cancel, uploads } from "./uploads.js";

const MOST = 6;

/** @param {{upload: import("./uploads.js").Upload}} props */
function Row({ upload }) {
  const share = upload.file.size ? upload.sent / upload.file.size : 0;
  const percent = `${Math.floor(share * 100)} %`;
  const told = { waits: t("waits"), sends: percent, broken: `${percent} · ${t("broken")}`, failed: upload.message }[upload.state];
  return html`<div class="upload">
    <div class="grow"><div class="clip" dir="auto">${upload.name}</div><div class="soft small tnum" title=${upload.message}>${told}</div></div>
    <div class="row">
      ${upload.state === "failed" && html`<${Tool} icon="retry" label=${t("retry")} onClick=${() => again(upload)} />`}
      <${Tool} icon="close" label=${t("cancel_upload", { name: upload.name })} onClick=${() => cancel(upload)} />
    </div>
    <div class="meter" role="progressbar" aria-label=${t("uploading", { name: upload.name })} aria-valuenow=${Math.floor(share * 100)} aria-valuemin="0" aria-valuemax="100"><i style=${{ width: percent.replace(" ", "") }}></i></div>
  </div>`;
}

export function Uploads() {
  const all = useSignal(uploads);
  const more = all.length - MOST;
  return html`<div class="uploads" role="group" aria-label=${t("uploads")}>
    ${all.slice(0, MOST).map((upload) => html`<${Row} key=${upload.id} upload=${upload} />`)}
    ${more > 0 && html`<div class="upload soft small">${t("more_uploads", { n: more })}</div>`}
  </div>`;
}
