// Taking the text out: every format, subtitles with their settings shown on the video before they are saved.
import { api } from "./api.js";
import { FORMATS, downloadArchive, wantedFormats } from "./archive.js";
import { cuesOf } from "./cues.js";
import { lastNotAbove } from "./doc.js";
import { t } from "./strings.js";
import { Dialog, Icon, Select, Tool, clock, download, html, remember, remembered, tellError, useEffect, useRef, useState, valued } from "./ui.js";

const SUBTITLES = new Set(["srt", "vtt", "ass"]);
const SUFFIXES = /** @type {Record<string, string>} */ ({ words: "words.json" });
/** @type {[string, number, number][]} */
const NUMBERS = [["line_length", 4, 200], ["lines", 1, 10], ["reading_speed", 1, 60], ["max_words", 1, 100]];

/** What an export begins with where none was chosen before: of the wanted ones that which has settings. @param {string[]} wanted */
const firstOf = (wanted) => wanted.find((name) => SUBTITLES.has(name)) ?? wanted[0] ?? "srt";

/** @typedef {import("./cues.js").Cue} Cue */

/** @param {{cues: Cue[], player: import("./player.js").Player | null}} props */
function Preview({ cues, player }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const [time, setTime] = useState(player?.time ?? 0);
  useEffect(() => {
    let frame = 0;
    const draw = () => {
      const [to, media] = [canvas.current, player?.media];
      if (to && media?.videoWidth && media.readyState >= 2) {
        to.width = media.videoWidth;
        to.height = media.videoHeight;
        to.getContext("2d")?.drawImage(media, 0, 0);
      }
      if (player) setTime(player.time);
      frame = requestAnimationFrame(draw);
    };
    draw();
    return () => cancelAnimationFrame(frame);
  }, [player]);
  const at = lastNotAbove(cues.map((cue) => cue.start), time + 0.001);
  const cue = at >= 0 && time < cues[at].end ? cues[at] : null;
  const go = (/** @type {number} */ to) => cues[to] && player?.seek(cues[to].start);
  return html`<div class="preview">
    <div class="screen"><canvas ref=${canvas} width="640" height="360" aria-hidden="true"></canvas>${cue && html`<div class="caption" id="caption" dir="auto">${cue.text}</div>`}</div>
    <div class="row small" dir="ltr">
      <${Tool} icon="back" label=${t("previous")} onClick=${() => go(cue ? at - 1 : at)} />
      <${Tool} icon="play" label=${t("play")} onClick=${() => player?.toggle()} disabled=${!player} />
      <span class="turned"><${Tool} icon="back" label=${t("next")} onClick=${() => go(at + 1)} /></span>
      <span class="grow"></span><span class="soft tnum">${clock(time)} · ${t("n_cues", { n: cues.length })}</span>
    </div>
  </div>`;
}

/** @param {{reading: import("./reading.js").Reading, session: import("./session.js").Session, onClose: () => void}} props */
export function Exporting({ reading, session, onClose }) {
  const [format, setFormat] = useState(remembered("format", firstOf(wantedFormats.value)));
  const [settings, setSettings] = useState(/** @type {Record<string, string>} */ (remembered("subtitles", {})));
  const [cues, setCues] = useState(/** @type {Cue[]} */ ([]));
  const [problem, setProblem] = useState("");
  const isSubtitles = SUBTITLES.has(format);
  const chosen = Object.fromEntries(Object.entries(settings).filter(([, value]) => value));
  const query = isSubtitles ? chosen : {};
  const wanted = wantedFormats.value;
  const stem = reading.job.value?.name.replace(/\.[^.]{1,5}$/, "") || reading.id;
  useEffect(() => {
    if (!isSubtitles) return undefined;
    let isOld = false;
    const timer = setTimeout(async () => {
      try {
        await session.settled();
        const answer = await api.result(reading.id, { format: "vtt", ...query });
        const made = cuesOf(await answer.text());
        if (isOld) return;
        setCues(made);
        setProblem("");
      } catch (error) {
        if (!isOld) setProblem(/** @type {Error} */ (error).message);
      }
    }, 200);
    return () => {
      isOld = true;
      clearTimeout(timer);
    };
  }, [format, JSON.stringify(settings)]);
  const set = (/** @type {string} */ name, /** @type {string} */ value) => {
    const next = { ...settings, [name]: value };
    setSettings(next);
    remember("subtitles", next);
  };
  const save = async () => {
    remember("format", format);
    const answer = await api.result(reading.id, { format, ...query });
    download(await answer.blob(), `${stem}.${SUFFIXES[format] ?? format}`);
  };
  const saveAll = () => downloadArchive([reading.id], wanted, stem, chosen);
  const settled = (/** @type {() => Promise<void>} */ then) => () => session.settled().then(then).catch(tellError);
  const choice = (/** @type {string} */ name, /** @type {string[]} */ values) => html`<label class="field">${t(name)}
    <${Select} value=${settings[name] ?? ""} of=${values.map((value) => [value, t(`${name}_${value || "default"}`)])} set=${(/** @type {string} */ value) => set(name, value)} /></label>`;
  return html`<${Dialog} title=${t("export")} onClose=${onClose} wide>
    <div class=${`exporting ${isSubtitles ? "with-preview" : ""}`}>
      <fieldset class="formats"><legend class="small soft">${t("format")}</legend>
        ${FORMATS.map((name) => html`<label class="check"><input type="radio" name="format" value=${name} checked=${name === format} onChange=${() => setFormat(name)} /><b>${name}</b><span class="soft small">${t(`format_${name}`)}</span></label>`)}
      </fieldset>
      ${isSubtitles &&
      html`<div class="settings"><div class="options">
          ${choice("style", ["", "netflix", "bbc", "ted"])}${choice("highlight", ["", "underline", "karaoke"])}
          ${NUMBERS.map(([name, least, most]) => html`<label class="field">${t(name)}<input type="number" min=${least} max=${most} placeholder=${t("automatic")} value=${settings[name] ?? ""} onInput=${valued((value) => set(name, value))} /></label>`)}
        </div>
        ${problem && html`<p class="small" role="alert" style=${{ color: "var(--bad)" }}>${problem}</p>`}
        <${Preview} cues=${cues} player=${reading.player.value} /></div>`}
    </div>
    <div class="dialog-foot">${wanted.length > 1 && html`<button type="button" class="button" id="download-all" title=${t("formats_wanted")} onClick=${settled(saveAll)}><${Icon} name="archive" />${wanted.join(" + ")}</button>`}
      <button type="button" class="button main" id="download" onClick=${settled(save)}><${Icon} name="down" />${t("download_as", { format })}</button></div>
  <//>`;
}
