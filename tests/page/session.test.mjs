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
const { applied, retold, textOf } = await import(`${files}/doc.js`);
const { drop, jobs, lookNow, put, watch } = await import(`${files}/jobs.js`);

const answer = (status, body) => new Response(JSON.stringify(body), { status });
const refused = (status, code) => answer(status, { error: { code, message: code } });
const later = () => new Promise((resolve) => setImmediate(resolve));

/** @param {() => unknown} is */
async function until(is) {
  for (const end = Date.now() + 60_000; !is(); await later()) assert.ok(Date.now() < end, "it did not happen");
}

const word = (text, start) => ({ word: text, start, end: start + 0.5, probability: 1, source: "characters", score: null, space_before: true });
const transcript = (...texts) => ({
  text: "",
  duration: 100,
  language_code: "en",
  segments: texts.map((text, at) => ({ language_code: "en", words: text.split(" ").map((one, n) => word(one, at * 10 + n)) })),
});

/** A service with one transcript and its versions, whose recording is not kept unless `align` answers. `next`: what becomes of the next save, once. */
class Service {
  constructor(...texts) {
    this.version = 1;
    this.transcript = transcript(...texts);
    this.kept = [{ ...this.about(), draft: false, transcript: this.transcript }];
    this.next = null;
    this.align = () => refused(409, "no_media");
    this.saves = 0;
    globalThis.fetch = (path, options) => this.answers(path, options);
  }

  get texts() {
    return textsOf(this.transcript);
  }

  /** Of all versions, the newest last. */
  get versions() {
    return this.kept.map((one) => textsOf(one.transcript));
  }

  about = (author = "", draft = true) => ({ version: this.version, latest: this.version, created_at: 0, author, draft, note: "" });

  session = () => new Session("1", { ...this.about(), transcript: structuredClone(this.transcript) });

  async answers(path, { method = "GET", headers = {}, body = "" } = {}) {
    if (path.endsWith("/align")) return this.align(JSON.parse(body));
    if (method === "GET") return answer(200, structuredClone(this.kept.at(-1)));
    const next = this.next;
    this.next = null;
    this.saves += 1;
    if (headers["If-Match"] !== `"${this.version}"`) return refused(412, "version_conflict");
    const { edits, author = "", draft = false } = JSON.parse(body);
    const [, restored] = /versions\/(\d+)\/restore$/.exec(path) ?? [];
    const old = this.kept.find(({ version }) => version === Number(restored));
    if (restored && !old) return refused(404, "version_not_found");
    this.keep(old ? old.transcript : { ...this.transcript, segments: applied(this.transcript.segments, edits) }, author, draft, Boolean(old));
    const saved = answer(200, this.about(author, draft));
    return next ? next(saved) : saved;
  }

  /** As the service does: a draft takes the place of the same author's, unless it is restored. */
  keep(made, author, draft, restores = false) {
    const before = this.kept.at(-1);
    if (before.draft && before.author === author && !restores) this.kept.pop();
    this.version += 1;
    this.transcript = made;
    this.kept.push({ ...this.about(author, draft), transcript: made });
  }

  /** Somebody else's edit. */
  elsewhere(at, text, author = "somebody") {
    const [segment] = transcript(...Array(at).fill("x"), text).segments.slice(at);
    this.keep({ ...this.transcript, segments: this.transcript.segments.map((one, n) => (n === at ? segment : one)) }, author, true);
  }
}

const textsOf = ({ segments }) => segments.map(({ words }) => words.map((one) => one.word).join(" "));
/** What is shown. @param {InstanceType<typeof Session>} session */
const shown = (session) => session.doc.value.map(textOf);

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
  assert.match(told.splice(0).join(), /^somebody changed the same place/);
  assert.ok(service.versions.some(([first]) => first === "one two three"), "what was written is a version");
});

test("who leaves while there is no connection, or a conflict is asked about, loses nothing", async () => {
  const service = new Service("one two", "three four", "five six");
  const session = service.session();
  const answers = globalThis.fetch;
  let broken = 0;
  globalThis.fetch = (path, options) => (broken++ < 5 ? Promise.reject(new TypeError("the connection broke")) : answers(path, options));
  type(session, 0, "one 2");
  session.close();
  assert.ok(session.isDirty, "the browser asks before the window is closed");
  await until(() => service.texts[0] === "one 2");
  await until(() => !session.isBusy);
  assert.ok(!session.isDirty);
  assert.match(told.splice(0).join(), /^The server does not answer/);
  const other = service.session();
  service.elsewhere(1, "3 4");
  type(other, 1, "three 4 five");
  type(other, 2, "5 6");
  await other.sync();
  assert.equal(other.state.value, "conflict");
  other.close();
  await until(() => told.length);
  told.splice(0);
  assert.deepEqual(service.texts, ["one 2", "3 4", "five six"]);
  assert.ok(service.versions.some((texts) => texts.join() === "one 2,three 4 five,5 6"));
});

test("undo after others' changes were taken in takes back one's own alone", async () => {
  const service = new Service("one two", "three four", "five six");
  const session = service.session();
  type(session, 0, "one 2");
  await session.sync();
  service.elsewhere(2, "5 six");
  type(session, 1, "three 4");
  await session.sync();
  assert.deepEqual(service.texts, ["one 2", "three 4", "5 six"]);
  session.undo();
  session.undo();
  assert.deepEqual(shown(session), ["one two", "three four", "5 six"]);
  await session.sync();
  assert.deepEqual(service.texts, ["one two", "three four", "5 six"]);
  session.redo();
  await session.sync();
  assert.deepEqual(service.texts, ["one 2", "three four", "5 six"]);
  session.close();
});

for (const author of ["somebody", "Anna"]) {
  test(`a choice between two texts of one place is one of that place alone, and the other is kept (${author})`, async () => {
    kept.set("autorag-whisper.author", JSON.stringify("Anna"));
    for (const choice of ["mine", "theirs"]) {
      const service = new Service("one two", "three four", "five six");
      const session = service.session();
      service.elsewhere(0, "1 two", author);
      service.elsewhere(2, "5 six", author);
      type(session, 0, "one 2");
      type(session, 1, "three 4");
      await session.sync();
      assert.equal(session.state.value, "conflict");
      session.resolve(choice);
      await session.sync();
      const texts = (first) => [first, "three 4", "5 six"];
      assert.deepEqual(service.texts, texts(choice === "mine" ? "one 2" : "1 two"));
      if (choice === "mine") assert.ok(service.versions.some(([first]) => first === "1 two"), "theirs stays in the versions");
      session.undo();
      assert.deepEqual(shown(session), texts(choice === "mine" ? "1 two" : "one 2"));
      await session.sync();
      session.close();
    }
    kept.clear();
  });
}

test("what is written while a newer version is looked at is not lost", async () => {
  const service = new Service("one two", "three four", "five six");
  const session = service.session();
  service.elsewhere(2, "5 six");
  const looking = session.look();
  type(session, 0, "one 2");
  await looking;
  await session.sync();
  assert.deepEqual(service.texts, ["one 2", "three four", "5 six"]);
  assert.deepEqual(shown(session), service.texts);
  session.close();
});

test("what is written at a segment stays, though its times come or others change it meanwhile", async () => {
  const service = new Service("one two", "three four");
  const session = service.session();
  let times = () => {};
  service.align = ({ text }) => new Promise((resolve) => {
    times = () => resolve(answer(200, { words: text.split(" ").map((one, n) => ({ ...word(one, n / 2), changed: true })) }));
  });
  type(session, 0, "one 2");
  const syncing = session.sync();
  const [known, was] = [session.doc.value, session.doc.value[0]];
  assert.equal(was.pending, true);
  times();
  await syncing;
  assert.notEqual(session.doc.value[0], was);
  assert.equal(session.placeOf(was), 0, "it is the same segment, with its times");
  service.align = () => refused(409, "no_media");
  service.elsewhere(0, "1 2 3");
  await session.look();
  assert.deepEqual(shown(session), ["1 2 3", "three four"]);
  assert.equal(session.placeOf(was), -1);
  session.bring(known, known.with(0, retold(was, "one 2 more")));
  assert.deepEqual(shown(session), ["one 2 more", "three four"]);
  session.undo();
  assert.deepEqual(shown(session), ["1 2 3", "three four"]);
  session.close();
});

test("times that are asked of a draft whose place another took are asked again of the newest version", async () => {
  const service = new Service("one two", "three four");
  const session = service.session();
  const asked = [];
  service.align = ({ text, version }) => {
    asked.push(version);
    if (version !== service.version) return refused(404, "version_not_found");
    return answer(200, { words: text.split(" ").map((one, n) => ({ ...word(one, n / 2), source: "ctc", changed: true })) });
  };
  service.elsewhere(1, "3 4");
  type(session, 0, "one 2");
  await session.sync();
  assert.deepEqual(asked, [1, 2]);
  assert.deepEqual(service.texts, ["one 2", "3 4"]);
  assert.ok(service.transcript.segments[0].words.every(({ source }) => source !== "interpolated"));
  session.close();
});

test("nothing is taken out as if it were what is shown while it cannot be saved", async () => {
  const service = new Service("one two");
  const session = service.session();
  service.elsewhere(0, "1 two");
  type(session, 0, "one 2");
  await assert.rejects(session.settled(), /Not saved/);
  session.resolve("mine");
  await session.settled();
  session.close();
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

test("what is told of a job while an answer of the list is on its way is not taken back by that answer", async () => {
  const job = (id, name = "old") => ({ id, name, state: "done", created_at: 1, model: "base", progress: { audio_s: 0, total_s: 1 } });
  const names = () => Object.fromEntries(jobs.value.map(({ id, name }) => [id, name]));
  /** @type {(() => void)[]} */
  const held = [];
  let ends = false;
  for (const { id } of jobs.value) drop(id);
  globalThis.fetch = (path) => (ends ? Promise.resolve(refused(404, "unknown_url")) : new Promise((then) => {
    const data = [job("a"), job("b"), job("c", `${held.length}`)];
    held.push(() => then(answer(200, { data, has_more: false, total: 3 })));
  }));
  const over = watch();
  for (const look of [0, 1]) { // of the first one, which asks for all, and of those behind it
    await until(() => held.length > look);
    put(job("a", `new ${look}`));
    drop("b");
    held[look]();
    await until(() => names().c === `${look}`);
    assert.deepEqual(names(), { a: `new ${look}`, c: `${look}` });
    lookNow();
  }
  await until(() => held.length > 2);
  ends = true;
  held[2]();
  await until(() => names().b);
  assert.deepEqual(names(), { a: "old", b: "old", c: "2" }, "what is asked for later is believed");
  lookNow();
  await over;
});
