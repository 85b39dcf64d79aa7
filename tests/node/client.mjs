// OpenAI's own client for Node against a server: node client.mjs BASE_URL KEY FILE. Prints what it got as one JSON object.
import { createReadStream, readFileSync } from "node:fs";
import OpenAI, { toFile } from "openai";

const [baseURL, apiKey, path] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const create = (fields) => client.audio.transcriptions.create({ model: "whisper-1", file: createReadStream(path), ...fields });
const failure = async (promise) => {
  try {
    await promise;
    return null;
  } catch (error) {
    return { name: error.constructor.name, status: error.status, code: error.code, param: error.param, type: error.type };
  }
};

const got = {};
got.json = await create({});
got.verbose = await create({ response_format: "verbose_json", timestamp_granularities: ["word", "segment"] });
got.words = await create({ response_format: "verbose_json", timestamp_granularities: ["word"] });
for (const response_format of ["text", "srt", "vtt"]) got[response_format] = await create({ response_format });
got.events = [];
for await (const event of await create({ stream: true })) got.events.push(event);
got.noTranslation = await failure(client.audio.translations.create({ model: "whisper-1", file: createReadStream(path) }));
got.bytes = await create({ file: await toFile(readFileSync(path), "no-suffix") });
got.models = [];
for await (const model of client.models.list()) got.models.push(model.id);
got.noMedia = await failure(create({ file: await toFile(Buffer.from("no media"), "a.wav") }));
got.noLanguage = await failure(create({ language: "klingon" }));
got.noModel = await failure(client.models.retrieve("whisper-9"));
got.stranger = await failure(new OpenAI({ baseURL, apiKey: "sk-wrong", maxRetries: 0 }).models.list());
console.log(JSON.stringify(got));
