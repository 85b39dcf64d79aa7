// The frame: what is at the top, the list at the side, and beside it what the address asks for.
import { setKeyAsker, key, forgetKey } from "./api.js";
import { Archive, archived } from "./archive.js";
import { watch } from "./jobs.js";
import { JobsList } from "./jobs_list.js";
import { KeysHelp, bind } from "./keyboard.js";
import { PutIn, isOver, takeFromAnywhere } from "./put_in.js";
import { LANGUAGES, lang, setLang, t } from "./strings.js";
import { Dialog, Icon, Menu, Tool, html, remember, remembered, render, useEffect, useRef, useSignal, useState } from "./ui.js";
import { computed, signal } from "./vendor/signals-core.js";

const hash = signal(location.hash);
addEventListener("hashchange", () => {
  hash.value = location.hash;
});

/** `#/job/ID?t=12.5` shows a job, from that second on; anything else is the start. */
const route = computed(() => {
  const [path, query] = hash.value.replace(/^#/, "").split("?");
  const match = /^\/job\/([\w-]+)$/.exec(path);
  return { job: match ? match[1] : "", at: new URLSearchParams(query).get("t") };
});

/** Who waits for a key. */
const keyWanted = signal(/** @type {((key: string) => void) | null} */ (null));
setKeyAsker(
  () =>
    new Promise((resolve) => {
      keyWanted.value = (given) => {
        keyWanted.value = null;
        resolve(given);
      };
    }),
);

/** @param {{give: (key: string) => void}} props */
function AskKey({ give }) {
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const wasWrong = key() !== "";
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (field.current?.value.trim()) give(field.current.value.trim());
  };
  return html`<${Dialog} title=${t("key_title")}>
    <form onSubmit=${submit} style=${{ display: "grid", gap: "14px" }}>
      <p class="soft">${wasWrong ? t("key_wrong") : t("key_why")}</p>
      <label class="field">${t("key")}<input ref=${field} id="key" type="password" autocomplete="off" autofocus /></label>
      <div class="dialog-foot"><button type="submit" class="button main">${t("continue")}</button></div>
    </form>
  <//>`;
}

/** @param {string} theme */
function setTheme(theme) {
  remember("theme", theme);
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

const leave = () => {
  forgetKey();
  location.reload();
};

function Bar() {
  const [help, setHelp] = useState(false);
  useEffect(() => bind({ "?": () => setHelp(true) }), []);
  const themes = ["auto", "light", "dark"];
  const theme = remembered("theme", "auto");
  return html`<header class="bar">
    <a class="brand" href="#/"><img src="/page/icon.svg" alt="" width="26" height="26" />autorag-whisper</a><span class="grow"></span>
    ${route.value.job && html`<a class="tool" href="#/" aria-label=${t("add_more")} title=${t("add_more")}><${Icon} name="add" /></a>`}
    <${Tool} icon="help" label=${t("keys_title")} onClick=${() => setHelp(true)} />
    <${Menu} icon="theme" label=${t("look")}>
      ${themes.map((name) => html`<button type="button" aria-pressed=${theme === name ? "true" : "false"} onClick=${() => setTheme(name)}>${t(`theme_${name}`)}</button>`)}
    <//>
    <${Menu} icon="language" label=${t("page_language")}>
      ${Object.entries(LANGUAGES).map(([code, name]) => html`<button type="button" lang=${code} aria-pressed=${lang() === code ? "true" : "false"} onClick=${() => setLang(code)}>${name}</button>`)}
      ${key() && html`<button type="button" onClick=${leave}>${t("forget_key")}</button>`}
    <//>
    ${help && html`<${KeysHelp} onClose=${() => setHelp(false)} />`}
  </header>`;
}

/** The reader is fetched when it is first needed. @param {{id: string, at: string | null}} props */
function Reader({ id, at }) {
  const [reader, setReader] = useState(/** @type {any} */ (null));
  useEffect(() => {
    import("./reader.js").then((module) => setReader(() => module.Reader));
  }, []);
  return reader ? html`<${reader} key=${id} id=${id} at=${at} />` : html`<div class="empty">${t("loading")}</div>`;
}

function App() {
  useSignal(lang.signal);
  const { job, at } = useSignal(route);
  const wanted = useSignal(keyWanted);
  const over = useSignal(isOver);
  const many = useSignal(archived);
  return html`<div class=${`frame ${job ? "reads" : "lists"}`}>
    <${Bar} />
    <${JobsList} current=${job} />
    <main class="stage">${job ? html`<${Reader} id=${job} at=${at} />` : html`<${PutIn} />`}</main>
    ${over && html`<div class="cover">${t("drop_now")}</div>`}
    ${many && html`<${Archive} jobs=${many} />`}
    ${wanted && html`<${AskKey} give=${wanted} />`}
  </div>`;
}

setTheme(remembered("theme", "auto"));
takeFromAnywhere();
render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById("app")));
performance.mark("page-ready");
watch();
