// What is below the text: the waveform and the controls of the player.
import { RATES } from "./player.js";
import { t } from "./strings.js";
import { Icon, Select, Tool, clock, html, span, useEffect, useLayoutEffect, useRef, useSignal, valued } from "./ui.js";

/** @param {{player: import("./player.js").Player, skip: number, onLoop: () => void, follows: boolean, onFollow: () => void}} props */
export function PlayerBar({ player, skip, onLoop, follows, onFollow }) {
  const playing = useSignal(player.playing);
  const rate = useSignal(player.rate);
  const duration = useSignal(player.duration);
  const loop = useSignal(player.loop);
  const problem = useSignal(player.problem);
  const wave = useRef(/** @type {HTMLElement | null} */ (null));
  const time = useRef(/** @type {HTMLElement | null} */ (null));
  const range = useRef(/** @type {HTMLInputElement | null} */ (null));
  useLayoutEffect(() => {
    if (wave.current) player.draw(wave.current).catch(() => {});
  }, [player]);
  useEffect(() => {
    const show = () => {
      const told = clock(player.time);
      if (time.current && time.current.textContent !== told) time.current.textContent = told;
      if (range.current && document.activeElement !== range.current) range.current.value = String(player.time);
      range.current?.setAttribute("aria-valuetext", told);
    };
    show();
    for (const kind of ["timeupdate", "seeked"]) player.media.addEventListener(kind, show);
    return () => {
      for (const kind of ["timeupdate", "seeked"]) player.media.removeEventListener(kind, show);
    };
  }, [player]);
  return html`<section class="player" aria-label=${t("player")}>
    ${problem && html`<div class="player-problem soft small">${problem}</div>`}
    <div class="wave" ref=${wave} aria-hidden="true"></div>
    <input ref=${range} class="seek only-heard" type="range" min="0" max=${duration} step="0.1" aria-label=${t("position_in_recording")}
      onInput=${valued((value) => player.seek(Number(value)))} />
    <div class="row controls" dir="ltr">
      <span class="tnum times"><span ref=${time}></span><span class="soft"> / ${span(duration)}</span></span>
      <span class="grow"></span>
      <${Tool} icon="rewind" label=${t("back_n", { n: skip })} onClick=${() => player.skip(-skip)} disabled=${!!problem} />
      <button type="button" id="play" class="play" aria-label=${playing ? t("pause") : t("play")} title=${playing ? t("pause") : t("play")}
        disabled=${!!problem} onClick=${() => player.toggle()}><${Icon} name=${playing ? "pause" : "play"} /></button>
      <${Tool} icon="forward" label=${t("forward_n", { n: skip })} onClick=${() => player.skip(skip)} disabled=${!!problem} />
      <span class="grow"></span>
      <${Tool} icon="loop" id="loop" label=${loop ? t("loop_end") : t("loop")} aria-pressed=${loop ? "true" : "false"} onClick=${onLoop} disabled=${!!problem} />
      <${Tool} icon="follow" label=${t("follow")} aria-pressed=${follows ? "true" : "false"} onClick=${onFollow} />
      <${Select} class="rate" aria-label=${t("speed")} value=${String(rate)} of=${RATES.map((one) => [String(one), `${one} ×`])} set=${(/** @type {string} */ one) => player.setRate(Number(one))} />
    </div>
  </section>`;
}
