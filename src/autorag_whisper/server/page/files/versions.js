// All versions of a text: the first is what was recognised, and can be had again.
import { api } from "./api.js";
import { joined } from "./doc.js";
import { author } from "./session.js";
import { lang, t } from "./strings.js";
import { Dialog, html, remember, tellError, toast, useEffect, useState, valued } from "./ui.js";

/** @param {{reading: import("./reading.js").Reading, session: import("./session.js").Session, onClose: () => void}} props */
export function Versions({ reading, session, onClose }) {
  const [all, setAll] = useState(/** @type {?import("./api.js").Version[]} */ (null));
  const [text, setText] = useState({ version: 0, text: "" });
  useEffect(() => {
    session.sync().then(() => api.versions(reading.id)).then(setAll, tellError);
  }, []);
  const show = async (/** @type {number} */ version) => {
    const shown = { version: text.version === version ? 0 : version, text: "" };
    setText(shown);
    const found = shown.version && (await api.transcript(reading.id, version)).transcript.segments;
    if (found) setText((now) => (now === shown ? { version, text: found.map((one) => joined(one.words)).join("\n") } : now));
  };
  const restore = async (/** @type {number} */ version) => {
    try {
      await session.sync();
      await api.restore(reading.id, version, session.version, author());
      session.adopt(await api.transcript(reading.id));
      toast(t("restored", { n: version }));
      onClose();
    } catch (error) {
      tellError(error);
    }
  };
  return html`<${Dialog} title=${t("versions")} onClose=${onClose} wide>
    <label class="field">${t("your_name")}<input value=${author()} maxlength="60" onChange=${valued((value) => remember("author", value.trim()))} /></label>
    ${!all && html`<p class="soft">${t("loading")}</p>`}
    <div>${all?.map(
      (one) => html`<div class="version" key=${one.version}>
        <div class="row wrap"><b class="tnum">${one.version}</b>
          <span class="grow">${one.version === 1 ? t("as_recognised") : one.author || t("somebody")}<span class="soft small"> · ${new Date(one.created_at * 1000).toLocaleString(lang())}${one.words ? ` · ${t("n_words", { n: one.words })}` : ""}</span></span>
          <button type="button" class="button" aria-expanded=${String(text.version === one.version)} onClick=${() => show(one.version).catch(tellError)}>${t("show")}</button>
          <button type="button" class="button" disabled=${one.version === session.version} onClick=${() => restore(one.version)}>${one.version === session.version ? t("current") : t("restore")}</button></div>
        ${text.version === one.version && text.text && html`<p class="version-text" dir="auto" tabindex="0">${text.text}</p>`}
      </div>`,
    )}</div>
  <//>`;
}
