// OpenAI's own client, as its users write it.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { metric, run } from "./checks.mjs";

const client = (facts, options = {}) => new OpenAI({ baseURL: `${facts.url}/v1`, apiKey: "none", ...options });
const greedy = (facts) => ({ model: facts.model, prompt: facts.prompt, max_tokens: facts.tokens, temperature: 0 });
const chat = (facts) => ({
  model: facts.model,
  messages: [
    { role: "developer", content: facts.system },
    { role: "user", content: facts.prompt },
  ],
  max_completion_tokens: facts.tokens,
  temperature: 0,
});
/** Runs until the context is full: a slow one, for what is broken off. */
const endless = (facts) => ({ model: facts.model, prompt: "Once", max_tokens: facts.context - 4, ignore_eos: true, stream: true });

await run({
  async models(facts) {
    const names = [];
    for await (const model of client(facts).models.list()) names.push(model.id);
    assert.deepEqual(names, [facts.model]);
    assert.equal((await client(facts).models.retrieve(facts.model)).object, "model");
  },

  async completion(facts) {
    const answer = await client(facts).completions.create({ ...greedy(facts), logprobs: 0 });
    assert.equal(answer.choices[0].text, facts.text);
    const { tokens, token_logprobs } = answer.choices[0].logprobs;
    assert.equal(token_logprobs.length, tokens.length);
    assert.ok(token_logprobs.every((value) => value <= 0));
    assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
  },

  async streamed_completion(facts) {
    const stream = await client(facts).completions.create({ ...greedy(facts), stream: true, stream_options: { include_usage: true } });
    let text = "";
    let usage = null;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.text ?? "";
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, facts.text);
    assert.ok(usage.completion_tokens > 0);
  },

  async traced_streams(facts) {
    const traced = client(facts, { defaultHeaders: { "X-Tessera-Trace": "1" } });
    const requests = [traced.completions.create({ ...greedy(facts), stream: true }), traced.chat.completions.create({ ...chat(facts), stream: true })];
    for (const [request, expected] of [[requests[0], facts.text], [requests[1], facts.chat_text]]) {
      let text = "";
      let last = null;
      for await (const chunk of await request) {
        text += chunk.choices[0]?.text ?? chunk.choices[0]?.delta?.content ?? "";
        last = chunk;
      }
      assert.equal(text, expected);
      assert.ok(last.tessera_trace.choices[0].steps > 0);
    }
  },

  async chat_completion(facts) {
    const answer = await client(facts).chat.completions.create({ ...chat(facts), logprobs: true, top_logprobs: 2 });
    assert.deepEqual(answer.choices[0].message, { role: "assistant", content: facts.chat_text, refusal: null });
    const { content } = answer.choices[0].logprobs;
    assert.equal(content.map((entry) => entry.token).join(""), facts.chat_text);
    // The most probable token is the one that was taken.
    assert.ok(content.every((entry) => entry.top_logprobs.length === 2 && entry.top_logprobs[0].token === entry.token));
  },

  async streamed_chat_by_the_helper(facts) {
    const deltas = [];
    const runner = client(facts).chat.completions.stream({ ...chat(facts), stream_options: { include_usage: true } });
    runner.on("content", (delta) => deltas.push(delta));
    const whole = await runner.finalChatCompletion();
    assert.equal(deltas.join(""), facts.chat_text);
    assert.equal(whole.choices[0].message.content, facts.chat_text);
    assert.ok(["stop", "length"].includes(whole.choices[0].finish_reason));
    assert.ok((await runner.totalUsage()).total_tokens > 0);
  },

  async several_choices_are_those_of_their_seed(facts) {
    const ask = () => client(facts).completions.create({ ...greedy(facts), temperature: 1, seed: 7, n: 3 });
    const [one, other] = [await ask(), await ask()];
    assert.equal(one.choices.length, 3);
    assert.deepEqual(one.choices, other.choices);
    assert.ok(new Set(one.choices.map((choice) => choice.text)).size > 1);
  },

  async a_stream_that_is_broken_off_frees_its_place(facts) {
    const stream = await client(facts).completions.create(endless(facts));
    for await (const chunk of stream) {
      assert.ok(chunk.choices[0].text !== undefined);
      break; // the client closes the connection
    }
    await metric("tessera_streams_running", 0);
  },

  async an_aborted_stream_ends_and_frees_its_place(facts) {
    const controller = new AbortController();
    const stream = await client(facts).completions.create(endless(facts), { signal: controller.signal });
    for await (const chunk of stream) controller.abort(chunk);
    assert.ok(controller.signal.aborted);
    await metric("tessera_streams_running", 0);
  },

  async errors_have_their_classes(facts) {
    const openai = client(facts);
    await assert.rejects(openai.completions.create({ ...greedy(facts), model: "nobody" }), (error) => {
      assert.ok(error instanceof OpenAI.NotFoundError);
      assert.equal(error.code, "model_not_found");
      assert.match(error.message, /nobody/);
      assert.ok(error.requestID);
      return true;
    });
    await assert.rejects(openai.chat.completions.create({ ...chat(facts), temperature: 99 }), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.equal(error.param, "temperature");
      assert.equal(error.type, "invalid_request_error");
      return true;
    });
    await assert.rejects(openai.embeddings.create({ model: "nobody", input: "x" }), OpenAI.NotFoundError);
  },

  async embeddings(facts) {
    const openai = client(facts);
    // Without a format the client asks for base64, and decodes it.
    const packed = await openai.embeddings.create({ model: facts.model, input: ["Once", "upon a time"] });
    const plain = await openai.embeddings.create({ model: facts.model, input: ["Once", "upon a time"], encoding_format: "float" });
    assert.equal(packed.data.length, 2);
    assert.deepEqual(packed.data.map((one) => one.index), [0, 1]);
    for (const [i, one] of packed.data.entries()) {
      assert.ok(one.embedding.length > 1);
      assert.deepEqual(Float32Array.from(one.embedding), Float32Array.from(plain.data[i].embedding));
    }
    assert.notDeepEqual(plain.data[0].embedding, plain.data[1].embedding);
    assert.equal(packed.usage.prompt_tokens, plain.usage.total_tokens);
  },

  async a_busy_server_is_asked_again(facts) {
    let refusals = 0;
    const watching = async (...request) => {
      const answer = await fetch(...request);
      if (answer.status === 429) ++refusals;
      return answer;
    };
    const patient = client(facts, { maxRetries: 20, fetch: watching });
    const hasty = client(facts, { maxRetries: 0 });
    const occupy = async () => {
      for await (const chunk of await hasty.completions.create(endless(facts))) void chunk;
    };
    // A place may become free before the request comes: until one was refused.
    while (refusals === 0) {
      const occupying = Promise.allSettled(Array.from({ length: facts.streams }, occupy)); // some may be refused themselves
      const asked = Array.from({ length: 4 }, () => patient.completions.create(greedy(facts)));
      for (const answer of await Promise.all(asked)) assert.equal(answer.choices[0].text, facts.text);
      await occupying;
    }
  },
});
