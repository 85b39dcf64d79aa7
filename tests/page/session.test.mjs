// Laws of saving and of the list, over a service that is played: node --test tests/page/session.test.mjs
import assert from "node:assert/strict";
import { test } from "node:test";

const told = [];
const kept = new Map();
const nothing = { append() {}, addEventListener() {}, remove() {}, setAttribute() {} };
Object.assign(globalThis, {
  addEventListener() {},
  removeEventListener() {},
  localStorage: { getItem: (name) => kept.get(name) ?? null, setItem: (name, value) => kept.set(name, value) },
  sessionStorage: { getItem: () => null },
  document: {
    documentElement: {},
    addEventListener() {},
    getElementById: () => null,
    createElement: () => ({ ...nothing, append: (text) => told.push(text) }),
  },
});

globalThis.navigator ??= { languages: ["en"] };
const { setTimeout: set } = globalThis;
globalThis.setTimeout = (act, ms, ...more) => set(act, Math.min(ms, 1), ...more); // nobody waits for an hour's pause

const files = "../../src/autorag_whisper/server/page/files";
const { Session } = await import(`${files}/session.js`);
const { applied, retold } = await import(`${files}/doc.js`);
const { jobs, lookNow, watch } = await import(`${files}/jobs.js`);

const answer = (status, body) => new Response(JSON.stringify(body), { status });
const refused = (status, code) => answer(status, { error: { code, message: code } });
const later = () => new Promise((resolve) => setImmediate(resolve));

/** @param {() => unknown} is */
async function until(is) {
  for (let i = 0; i < 10_000; i += 1) {
    if (is()) return;
    await later();
  }
  assert.fail("it did not happen");
}

const word = (text, start) => ({ word: text, start, end: start + 0.5, probability: 1, source: "characters", score: null, space_before: true });
const transcript = (...texts) => ({
  text: "",
  duration: 100,
  language_code: "en",
  segments: texts.map((text, at) => ({ language_code: "en", words: text.split(" ").map((one, n) => word(one, at * 10 + n)) })),
});

/** A service with one transcript, whose recording is not kept. `next`: what becomes of the next save, once. */
class Service {
  constructor(...texts) {
    this.version = 1;
    this.transcript = transcript(...texts);
    this.next = null;
    this.saves = 0;
    globalThis.fetch = (path, options) => this.answers(path, options);
  }

  get texts() {
    return this.transcript.segments.map(({ words }) => words.map((one) => one.word).join(" "));
  }

  about = (author = "") => ({ version: this.version, latest: this.version, created_at: 0, author, draft: true, note: "" });

  session = () => new Session("1", { ...this.about(), transcript: structuredClone(this.transcript) });

  async answers(path, { method = "GET", headers = {}, body = "" }) {
    if (path.endsWith("/align")) return refused(409, "no_media");
    if (method === "GET") return answer(200, { ...this.about("somebody"), transcript: structuredClone(this.transcript) });
    const next = this.next;
    this.next = null;
    this.saves += 1;
    if (headers["If-Match"] !== `"${this.version}"`) return refused(412, "version_conflict");
    const { edits } = JSON.parse(body);
    this.transcript = { ...this.transcript, segments: applied(this.transcript.segments, edits) };
    this.version += 1;
    const saved = answer(200, this.about());
    return next ? next(saved) : saved;
  }

  /** Somebody else's edit. */
  elsewhere(at, text) {
    const [segment] = transcript(text).segments;
    this.transcript = { ...this.transcript, segments: this.transcript.segments.map((one, n) => (n === at ? segment : one)) };
    this.version += 1;
  }
}

/** @param {InstanceType<typeof Session>} session */
const type = (session, at, text) => session.change(session.history.now.map((one, n) => (n === at ? (retold(one, text) ?? one) : one)));

test("what is typed while a save is on its way is saved too, though its reader leaves at once", async () => {
  const service = new Service("one two", "three four");
  const session = service.session();
  let go = () => {};
  service.next = (saved) => new Promise((resolve) => (go = () => resolve(saved)));
  type(session, 0, "one 2");
  const syncing = session.sync();
  await until(() => service.saves === 1);
  type(session, 1, "3 four");
  session.close();
  go();
  await syncing;
  await until(() => service.saves === 2);
  await later();
  assert.deepEqual(service.texts, ["one 2", "3 four"]);
  assert.deepEqual(told, []);
});

test("a save whose answer is lost is no conflict with oneself", async () => {
  const service = new Service("one two", "three four");
  const session = service.session();
  service.next = () => Promise.reject(new TypeError("the connection broke"));
  type(session, 0, "one 2");
  await session.sync();
  assert.equal(session.state.value, "saved");
  assert.equal(session.theirs.value, null);
  type(session, 0, "one 2 3");
  await session.sync();
  assert.deepEqual(service.texts, ["one 2 3", "three four"]);
  session.close();
});

test("who leaves while another has changed another place leaves both edits, and is told where it is the same", async () => {
  const service = new Service("one two", "three four", "five six");
  const session = service.session();
  service.elsewhere(2, "5 six");
  type(session, 0, "one 2");
  session.close();
  await until(() => service.saves === 2);
  await until(() => service.texts[0] === "one 2");
  assert.deepEqual(service.texts, ["one 2", "three four", "5 six"]);
  const other = service.session();
  service.elsewhere(0, "1 2");
  type(other, 0, "one two three");
  other.close();
  await until(() => told.length);
  assert.deepEqual(service.texts, ["1 2", "three four", "5 six"]);
  assert.deepEqual(told.splice(0), ["version_conflict"]);
});

test("a connection that breaks as two versions are compared is waited for", async () => {
  const service = new Service("one two", "three four", "five six");
  const session = service.session();
  service.elsewhere(2, "5 six");
  const answers = globalThis.fetch;
  let broken = 0;
  globalThis.fetch = (path, options) => {
    if (path.endsWith("/transcript") && !options?.method && broken++ < 2) return Promise.reject(new TypeError("the connection broke"));
    return answers(path, options);
  };
  type(session, 0, "one 2");
  await session.sync();
  assert.equal(session.state.value, "saved");
  assert.deepEqual(service.texts, ["one 2", "three four", "5 six"]);
  session.close();
});

test("the list has every job and no other, however many come or are forgotten elsewhere between two looks", async () => {
  const job = (n) => ({ id: `${n}`, name: `${n}`, state: "done", created_at: n, model: "base", progress: { audio_s: 0, total_s: 1 } });
  let there = Array.from({ length: 450 }, (_, n) => job(n));
  let ends = false;
  let forgets = true;
  globalThis.fetch = async (path) => {
    if (ends) return refused(404, "unknown_url");
    const asked = new URL(path, "http://localhost").searchParams;
    const all = there.filter(({ state }) => !asked.get("state") || state === asked.get("state")).sort((a, b) => b.created_at - a.created_at);
    const before = asked.get("before");
    if (before && forgets) {
      forgets = false;
      there = there.filter(({ id }) => id !== before);
      return refused(404, "job_not_found");
    }
    const from = before ? all.findIndex(({ id }) => id === before) + 1 : 0;
    const data = all.slice(from, from + Number(asked.get("limit")));
    return answer(200, { data, has_more: from + data.length < all.length, ...(before ? {} : { total: all.length }) });
  };
  const is = () => JSON.stringify(jobs.value.map(({ id }) => id).sort()) === JSON.stringify(there.map(({ id }) => id).sort());
  const over = watch();
  await until(() => jobs.value.length === 449);
  assert.ok(is());
  there = [...there.filter(({ created_at }) => created_at % 7), ...Array.from({ length: 130 }, (_, n) => job(1000 + n))];
  lookNow();
  await until(is);
  ends = true;
  lookNow();
  await over;
});
