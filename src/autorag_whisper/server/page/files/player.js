// The recording: the media element, its waveform, and what is played.
import { api } from "./api.js";
import { t } from "./strings.js";
import { remember, remembered } from "./ui.js";
import { signal } from "./vendor/signals-core.js";

export const RATES = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3];

export class Player {
  /** @param {string} id @param {number} duration */
  constructor(id, duration) {
    this.id = id;
    this.duration = signal(duration);
    this.playing = signal(false);
    this.rate = signal(remembered("rate", 1));
    this.hasVideo = signal(false);
    /** Why nothing can be played; "" while it can. */
    this.problem = signal("");
    this.loop = signal(/** @type {{start: number, end: number} | null} */ (null));
    this.stop = new AbortController();
    /** @type {any} */
    this.wave = null;
    /** @type {any} */
    this.regions = null;
    /** Where a link was asked for again: what fails there once more is no matter of links. */
    this.renewed = -1;
    this.wantsSound = false;
    /** Whether the service decodes it, because the browser cannot. */
    this.isDecoded = false;
    const media = document.createElement("video");
    media.preload = "auto";
    media.playsInline = true;
    media.preservesPitch = true;
    media.setAttribute("aria-label", t("recording_itself"));
    media.addEventListener("loadedmetadata", () => {
      this.hasVideo.value = media.videoWidth > 0;
      media.playbackRate = this.rate.value;
      if (Number.isFinite(media.duration) && media.duration > 0) this.duration.value = Math.max(duration, media.duration);
    });
    media.addEventListener("ended", () => this.loop.value && this.seek(this.loop.value.start, true));
    for (const kind of ["play", "pause", "ended"]) {
      media.addEventListener(kind, () => {
        this.wantsSound = !media.paused;
        this.playing.value = !media.paused;
      });
    }
    media.addEventListener("timeupdate", () => {
      this.keepInLoop();
      if (isMute(media)) void this.decoded();
    });
    media.addEventListener("error", () => void this.failed());
    this.media = media;
  }

  get time() {
    return this.media.currentTime;
  }

  /** Where the media lies. A link holds for hours: one that ran out is asked for again. */
  async open() {
    try {
      const url = await api.mediaUrl(this.id);
      this.media.src = this.isDecoded ? `${url}&format=wav` : url;
      this.problem.value = "";
    } catch (error) {
      const { code, message } = /** @type {{code?: string, message: string}} */ (error);
      this.problem.value = code === "no_media" ? t("no_media") : message;
    }
  }

  /** A link that ran out, or a kind of recording that this browser cannot play: the one looks like the other. */
  async failed() {
    if (this.renewed !== this.time) {
      this.renewed = this.time;
      await this.again();
    } else if (this.isDecoded) this.problem.value = t("cannot_play");
    else await this.decoded();
  }

  /** The service decodes it, to what every browser plays. */
  async decoded() {
    if (this.isDecoded) return;
    this.isDecoded = true;
    await this.again();
  }

  /** Where it was, and playing if it was to. */
  async again() {
    const { media } = this;
    const [was, plays] = [media.currentTime, this.wantsSound];
    await this.open();
    media.currentTime = was;
    if (plays) this.play();
  }

  /** @param {HTMLElement} place */
  async draw(place) {
    const [{ default: WaveSurfer }, { default: Regions }, found] = await Promise.all([
      import("./vendor/wavesurfer.js"),
      import("./vendor/wavesurfer-regions.js"),
      api.peaks(this.id, this.stop.signal),
    ]);
    if (this.stop.signal.aborted) return;
    const colour = (/** @type {string} */ name) => probe(getComputedStyle(document.documentElement).getPropertyValue(name));
    const colours = () => ({ waveColor: colour("--line-strong"), progressColor: colour("--accent"), cursorColor: colour("--ink") });
    this.regions = Regions.create();
    this.wave = WaveSurfer.create({
      container: place,
      media: this.media,
      peaks: [found.peaks.map((one) => one / 100)],
      duration: found.duration || this.duration.value,
      height: place.clientHeight || 56,
      ...colours(),
      cursorWidth: 2,
      barWidth: 2,
      barGap: 1,
      barRadius: 2,
      normalize: true,
      hideScrollbar: true,
      dragToSeek: false,
      cspNonce: nonce(),
      plugins: [this.regions],
    });
    const paint = () => this.wave?.setOptions(colours());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint, { signal: this.stop.signal });
    const chosen = new MutationObserver(paint);
    chosen.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    this.stop.signal.addEventListener("abort", () => chosen.disconnect());
    this.regions.enableDragSelection({ color: `color-mix(in srgb, ${colour("--accent")} 25%, transparent)` });
    this.regions.on("region-created", (/** @type {any} */ made) => {
      for (const other of this.regions.getRegions()) if (other !== made) other.remove();
      if (!this.isSetting) this.loop.value = { start: made.start, end: made.end };
    });
    this.regions.on("region-updated", (/** @type {any} */ made) => {
      this.loop.value = { start: made.start, end: made.end };
    });
    if (this.loop.value) this.setLoop(this.loop.value);
  }

  close() {
    this.stop.abort();
    this.wave?.destroy();
    this.media.pause();
    this.media.removeAttribute("src");
    this.media.load();
    this.media.remove();
  }

  /** @param {number} time @param {boolean} [plays] */
  seek(time, plays = false) {
    this.media.currentTime = Math.max(0, Math.min(time, this.duration.value || time));
    if (plays) this.play();
  }

  play() {
    this.wantsSound = true;
    this.media.play().catch(() => {}); // why it cannot be played is told by its event
  }

  toggle() {
    if (this.media.paused) this.play();
    else this.media.pause();
  }

  /** @param {number} seconds */
  skip(seconds) {
    this.seek(this.time + seconds);
  }

  /** @param {number} rate */
  setRate(rate) {
    const chosen = Math.max(0.5, Math.min(3, rate));
    this.rate.value = chosen;
    this.media.playbackRate = chosen;
    this.media.defaultPlaybackRate = chosen;
    remember("rate", chosen);
  }

  /** @param {1 | -1} step */
  stepRate(step) {
    const at = RATES.findIndex((rate) => rate >= this.rate.value);
    this.setRate(RATES[Math.max(0, Math.min(RATES.length - 1, at + step))]);
  }

  /** @param {{start: number, end: number} | null} loop */
  setLoop(loop) {
    this.loop.value = loop && loop.end - loop.start > 0.05 ? loop : null;
    if (!this.regions) return;
    this.isSetting = true;
    this.regions.clearRegions();
    if (this.loop.value) this.regions.addRegion({ ...loop, color: "rgba(90, 120, 255, .25)", drag: true, resize: true });
    this.isSetting = false;
  }

  keepInLoop() {
    const loop = this.loop.value;
    if (loop && !this.media.paused && (this.time >= loop.end - 0.02 || this.time < loop.start - 0.3)) this.media.currentTime = loop.start;
  }
}

/** Whether pictures were shown for a second and no sound came with them: a codec that the browser lacks. @param {any} media */
const isMute = (media) =>
  media.played.length > 0 && media.played.end(0) - media.played.start(0) > 1 && media.webkitVideoDecodedByteCount > 0 && media.webkitAudioDecodedByteCount === 0;

const nonce = () => document.querySelector('meta[name="style-nonce"]')?.getAttribute("content") ?? "";

/** A colour of the style sheet as a canvas takes it: `light-dark()` is decided by the page. @param {string} value */
function probe(value) {
  const element = document.createElement("i");
  element.style.color = value;
  document.body.append(element);
  const { color } = getComputedStyle(element);
  element.remove();
  return color;
}
