// Subtitles as the preview shows them.

/** @typedef {{start: number, end: number, text: string}} Cue */

/** The cues of WebVTT, as plain text. @param {string} vtt @returns {Cue[]} */
export function cuesOf(vtt) {
  const seconds = (/** @type {string} */ stamp) => stamp.split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
  return vtt.split(/\n\n+/).flatMap((block) => {
    const lines = block.trimEnd().split("\n");
    const at = lines.findIndex((line) => line.includes(" --> "));
    if (at < 0) return [];
    const [start, end] = lines[at].split(" --> ").map((part) => seconds(part.trim().split(" ")[0]));
    const text = lines.slice(at + 1).join("\n").replaceAll(/<[^>]*>/g, "");
    return [{ start, end, text: text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&lrm;", "").replaceAll("&rlm;", "").replaceAll("&nbsp;", " ").replaceAll("&amp;", "&") }];
  });
}
