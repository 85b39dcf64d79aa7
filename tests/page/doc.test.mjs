// Laws of the page's document: node --test tests/page/doc.test.mjs
import assert from "node:assert/strict";
import { test } from "node:test";
import { History, WordIndex, applied, docOf, editsBetween, join, joined, lastNotAbove, merged, retold, shared, split, startOf, textOf, tokens, wordsBefore } from "../../src/autorag_whisper/server/page/files/doc.js";
import { found, nextBehind, replaced } from "../../src/autorag_whisper/server/page/files/finding.js";
import { cuesOf } from "../../src/autorag_whisper/server/page/files/cues.js";

/** Numbers that are the same in every run. */
function numbers(seed) {
  let state = seed;
  return (below) => {
    state = (state * 1664525 + 1013904223) % 4294967296;
    return Math.floor((state / 4294967296) * below);
  };
}

const VOCABULARY = ["the", "cat", "sat", "on", "mat", "and", "it", "was", "wet", "so"];
function segment(next, at, count = 1 + next(9)) {
  let time = at;
  const words = Array.from({ length: count }, () => {
    const start = time;
    time += 0.1 + next(5) / 10;
    return { word: VOCABULARY[next(VOCABULARY.length)], start, end: time, probability: 0.9, source: "characters", score: 0.8, space_before: true };
  });
  return { words, language_code: "en" };
}
const doc = (next, count = 1 + next(12)) => Array.from({ length: count }, (_, i) => segment(next, i * 10));
const words = (segments) => segments.flatMap((one) => one.words);

test("an edit keeps every word that is in both texts in the same order, with the very times it had", () => {
  for (let seed = 0; seed < 500; seed += 1) {
    const next = numbers(seed);
    const before = segment(next, 5);
    const told = before.words.map(({ word }) => word);
    for (let i = 0; i < 1 + next(3); i += 1) told.splice(next(told.length + 1), next(3), ...Array.from({ length: next(3) }, () => `new${next(9)}`));
    const after = retold(before, told.join(" "));
    if (after === null) {
      assert.equal(told.join(" "), textOf(before));
      continue;
    }
    assert.equal(textOf(after), told.join(" "));
    const kept = after.words.filter((word) => !word.word.startsWith("new"));
    for (const word of kept) assert.ok(before.words.includes(word), "a word that nobody touched is the same object");
    let last = 0;
    assert.ok(!after.words.length || startOf(after) >= startOf(before), "what is put before the first word is not said before the segment");
    for (const { start, end } of after.words) {
      assert.ok(start >= last - 1e-9 && end >= start, `in order: ${JSON.stringify(after.words)}`);
      last = end;
    }
    assert.equal(Boolean(after.pending), after.words.some((word) => word.source === "interpolated"));
  }
});

test("replacing words by as many others keeps their times, and asks for none", () => {
  const before = segment(numbers(3), 0, 4);
  const after = retold(before, `${before.words[0].word} X Y ${before.words[3].word}`, true);
  assert.deepEqual(after.words.map(({ start, end }) => [start, end]), before.words.map(({ start, end }) => [start, end]));
  assert.equal(after.pending, undefined);
});

test("estimates that wait for their times go on waiting, whatever else is edited meanwhile", () => {
  const before = retold(segment(numbers(5), 3, 4), "new words here");
  assert.equal(before.pending, true);
  assert.equal(retold(before, "new here").pending, true);
  assert.equal(retold(before, "new words there", true).pending, true);
  assert.ok(split(before, 1).every((one) => one.pending));
});

test("what is pasted has no signs in it that no word may have", () => {
  const made = retold(segment(numbers(5), 3, 2), "a\u0007b\u0085c\u2028d\te \u0000");
  assert.equal(textOf(made), "a b c d e");
});

test("the word at a place of the text is found, with blanks and without", () => {
  for (const [language, text] of [["en", "plain words, two of them"], ["zh", "我用 Whisper 转写今天天气"], ["ar", "مرحبا بكم"]]) {
    const made = tokens(text, language);
    const all = joined(made);
    let from = 0;
    made.forEach(({ word }, i) => {
      const at = all.indexOf(word, from);
      from = at + word.length;
      assert.equal(wordsBefore(made, at), i, `${i} words begin before the one at ${at}`);
      for (let place = at + 1; place <= from; place += 1) assert.equal(wordsBefore(made, place), i + 1);
    });
  }
});

test("a text without blanks becomes words, and the text again", () => {
  for (const [language, text] of [["zh", "今天天气很好。我们去公园。"], ["ja", "今日は天気がいいです。"], ["en", "plain words, two  blanks"], ["ar", "مرحبا بكم في البرنامج"], ["zh", "我用 Whisper 转写"]]) {
    const made = tokens(text, language);
    assert.equal(joined(made), text.replaceAll(/\s+/gu, " "));
    assert.ok(made.every(({ word }) => word === word.trim() && word));
  }
  assert.ok(tokens("今天天气很好", "zh").length > 1);
});

test("what is split and joined again is the same", () => {
  for (let seed = 0; seed < 100; seed += 1) {
    const next = numbers(seed);
    const whole = segment(next, 0, 2 + next(8));
    const [one, other] = split(whole, 1 + next(whole.words.length - 1));
    assert.ok(one.words.length && other.words.length);
    assert.deepEqual(join(one, other), whole);
  }
});

test("edits between two documents make the one of the other, in order and apart", () => {
  for (let seed = 0; seed < 1000; seed += 1) {
    const next = numbers(seed);
    const base = doc(next);
    const now = [...base];
    for (let i = 0; i < 1 + next(4); i += 1) now.splice(next(now.length + 1), next(3), ...Array.from({ length: next(3) }, () => segment(next, 1000 + next(100))));
    const edits = editsBetween(base, now);
    assert.deepEqual(words(applied(base, edits)), words(now));
    edits.forEach((edit, i) => {
      assert.ok(edit.from <= edit.to && edit.to <= base.length);
      if (i) assert.ok(edits[i - 1].to <= edit.from);
      assert.ok(edit.from < edit.to || edit.segments.length, "an edit that changes nothing is none");
    });
    assert.deepEqual(editsBetween(base, base.map((one) => ({ ...one }))), []);
  }
});

test("one changed segment is a small edit", () => {
  const next = numbers(1);
  const base = doc(next, 50);
  const now = base.with(20, segment(next, 200)).with(40, segment(next, 400));
  assert.deepEqual(editsBetween(base, now).map(({ from, to }) => [from, to]), [[20, 21], [40, 41]]);
});

test("two people's changes of different places are both there; of the same place neither is taken silently", () => {
  const next = numbers(7);
  const base = doc(next, 10);
  const [mine, theirs] = [base.with(2, segment(next, 20)), base.toSpliced(6, 2, segment(next, 60))];
  const both = merged(base, mine, theirs);
  assert.equal(both[2], mine[2]);
  assert.equal(both[6], theirs[6]);
  assert.equal(both.length, 9);
  assert.equal(merged(base, mine, base.with(2, segment(next, 20))), null);
  assert.equal(merged(base, base.toSpliced(3, 0, segment(next, 30)), base.toSpliced(3, 0, segment(next, 31))), null);
});

test("of two people's changes each is there as it was made, and the base is where neither changed it", () => {
  for (let seed = 0; seed < 1000; seed += 1) {
    const next = numbers(seed);
    const base = doc(next, 12);
    const [mine, theirs] = [7, 8].map((mark) => {
      const now = [...base];
      for (let i = 0; i < 1 + next(3); i += 1) {
        const at = next(now.length);
        const times = { ...now[at].words[0], word: `${mark}${i}` };
        now.splice(at, next(2) + 1, ...[{ words: [times], language_code: "en" }].slice(next(5) === 0 ? 1 : 0));
      }
      return now;
    });
    const both = merged(base, mine, theirs);
    for (const prefer of ["mine", "theirs"]) {
      const chosen = merged(base, mine, theirs, prefer);
      if (both) assert.deepEqual(words(chosen), words(both));
      const preferred = prefer === "mine" ? mine : theirs;
      for (const one of preferred) if (!base.includes(one)) assert.ok(chosen.includes(one), "what is preferred stays");
      assert.deepEqual([...words(chosen)].sort((a, b) => a.start - b.start), words(chosen), "in order");
    }
    if (!both) continue;
    for (const one of [...mine, ...theirs]) if (!base.includes(one)) assert.ok(both.includes(one));
    for (const one of both) assert.ok(mine.includes(one) && (theirs.includes(one) || !base.includes(one)) || theirs.includes(one));
  }
});

test("the same change of both is no conflict, nor are changes side by side but for words in each other's time", () => {
  const next = numbers(9);
  const base = doc(next, 6);
  const changed = segment(next, 20);
  assert.deepEqual(words(merged(base, base.with(2, changed), base.with(2, structuredClone(changed)))), words(base.with(2, changed)));
  const [one, other] = [base.with(2, segment(next, 20, 2)), base.with(3, segment(next, 30, 2))];
  assert.equal(textOf(merged(base, one, other)[2]), textOf(one[2]));
  assert.equal(textOf(merged(base, one, other)[3]), textOf(other[3]));
  const reaches = base.with(2, { ...base[2], words: [{ ...base[2].words[0], word: "long", end: 31 }] });
  assert.equal(merged(base, reaches, other), null);
  assert.equal(merged(base, reaches, other, "theirs")[2], base[2]);
  assert.equal(merged(base, reaches, other, "mine")[3], base[3]);
});

test("undoing takes back what was done here, and nothing that somebody else did meanwhile", () => {
  for (let seed = 0; seed < 300; seed += 1) {
    const next = numbers(seed);
    const first = doc(next, 12);
    const history = new History(first);
    for (let i = 0; i < 4; i += 1) history.push(history.now.with(next(6), segment(next, 100 * i)));
    const base = history.now;
    const theirs = shared(base, structuredClone(base).with(7 + next(5), segment(next, 900)));
    for (let i = next(3); i > 0; i -= 1) history.undo();
    history.rebase(base, theirs, merged(base, history.now, theirs));
    const seen = () => editsBetween(base, theirs).every(({ from, segments }) => history.now[from] === segments[0]);
    assert.ok(seen());
    while (history.undo()) assert.ok(seen());
    assert.deepEqual(words(history.now), words(applied(first, editsBetween(base, theirs))));
    while (history.redo()) assert.ok(seen());
    assert.deepEqual(words(history.now), words(theirs));
  }
});

test("what the service tells again is the same segments as before, but for those that changed", () => {
  const known = doc(numbers(3), 8);
  const told = structuredClone(known).with(4, segment(numbers(4), 40));
  assert.deepEqual(editsBetween(known, structuredClone(known).toSpliced(1, 1, ...split(known[1], 1)).with(6, segment(numbers(4), 50))).map(({ from, to }) => [from, to]), [[1, 2], [5, 6]]);
  const now = shared(known, told);
  assert.deepEqual(now.map((one, i) => one === known[i]), known.map((_, i) => i !== 4));
  assert.deepEqual(words(now), words(told));
});

test("the spoken word is found at every time", () => {
  const next = numbers(4);
  const all = doc(next, 20);
  const index = new WordIndex(all);
  words(all).forEach((word, i) => {
    assert.equal(index.wordAt(word.start), i);
    assert.equal(index.wordAt((word.start + word.end) / 2), i);
    assert.equal(index.wordFrom(word.start), i);
    const segmentAt = index.segmentOf(i);
    assert.ok(index.first[segmentAt] <= i && i < index.first[segmentAt + 1]);
  });
  assert.equal(index.wordAt(-1), -1);
  assert.equal(lastNotAbove([1, 2, 2, 3], 2), 2);
});

test("undo and redo go the same way back and forth", () => {
  const history = new History("a");
  history.push("b");
  history.push("c");
  assert.ok(history.undo() && history.undo() && !history.undo());
  assert.equal(history.now, "a");
  assert.ok(history.redo());
  history.push("d");
  assert.ok(!history.redo());
  assert.ok(history.undo());
  assert.equal(history.now, "b");
});

test("a transcript's empty segments are left out", () => {
  assert.deepEqual(docOf({ segments: [{ words: [], language_code: "en" }] }), []);
});

test("cues of WebVTT are plain text", () => {
  const cues = cuesOf("WEBVTT\n\n1\n00:00:01.000 --> 00:00:02.500 align:start\n<c>a</c> &lt;b&gt; &amp;lt;\nline\n\n01:00.000 --> 01:01.000\nx\n");
  assert.deepEqual(cues, [{ start: 1, end: 2.5, text: "a <b> &lt;\nline" }, { start: 60, end: 61, text: "x" }]);
});

const said = (...texts) => texts.map((text, at) => ({
  language_code: "en",
  words: text.split(" ").map((word, i) => ({ word, start: 10 * at + i, end: 10 * at + i + 0.5, probability: 1, source: "ctc", score: null, space_before: i > 0 })),
}));

test("what is found is the very text that is shown, whatever the letters become in another case", () => {
  const doc = said("İstanbul the İ The end", "either way (the) a.b STRASSE");
  const text = ({ segment, start, end }) => textOf(doc[segment]).slice(start, end);
  assert.deepEqual(found(doc, "the").map(text), ["the", "The", "the", "the"]);
  assert.deepEqual(found(doc, "the", { exact: true }).map(text), ["the", "the", "the"]);
  assert.deepEqual(found(doc, "the", { whole: true }).map(text), ["the", "The", "the"]);
  assert.deepEqual(found(doc, "a.b").map(text), ["a.b"]);
  assert.deepEqual(found(doc, "x.b"), []);
  for (const special of ["(the)", "[", "\\", "^", "$", "*", "+?", "{2}", "|", "-", "/"]) {
    const all = found(said(`a ${special} b`), special);
    assert.deepEqual(all, [{ segment: 0, start: 2, end: 2 + special.length }], special);
  }
});

test("whole words that are replaced leave all others as they were, with their times", () => {
  const doc = said("the other either the");
  const made = replaced(doc, found(doc, "the", { whole: true }), "a");
  assert.equal(textOf(made[0]), "a other either a");
  assert.deepEqual(made[0].words.map(({ start, end }) => [start, end]), doc[0].words.map(({ start, end }) => [start, end]));
});

test("replacing one after another comes to an end, though what is put there is found again", () => {
  for (const [query, by] of [["a", "aa"], ["test", "tests"], ["the", "the the"], ["a", ""]]) {
    let doc = said("a test of the cat", "the a test");
    const count = found(doc, query).length;
    let at = 0;
    let done = 0;
    for (; at >= 0 && done < 20; done += 1) {
      const place = found(doc, query)[at];
      doc = replaced(doc, [place], by);
      at = nextBehind(found(doc, query), place, by);
    }
    assert.equal(done, count, query);
    assert.equal(doc.map(textOf).join("|"), ["a test of the cat", "the a test"].map((one) => one.replaceAll(query, by).replaceAll(/ +/g, " ").trim()).join("|"));
  }
});
