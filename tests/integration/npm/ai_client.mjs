// The AI SDK, by its provider for servers that speak OpenAI's protocol.
import assert from "node:assert/strict";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, streamText } from "ai";
import { metric, run } from "./checks.mjs";

const provider = (facts) => createOpenAICompatible({ name: "tessera", baseURL: `${facts.url}/v1`, includeUsage: true });
const chat = (facts) => ({
  model: provider(facts).chatModel(facts.model),
  system: facts.system,
  prompt: facts.prompt,
  maxOutputTokens: facts.tokens,
  temperature: 0,
});

await run({
  async generated_text(facts) {
    const answer = await generateText(chat(facts));
    assert.equal(answer.text, facts.chat_text);
    assert.ok(["stop", "length"].includes(answer.finishReason));
    assert.ok(answer.usage.outputTokens > 0);
  },

  async streamed_text(facts) {
    const answer = streamText(chat(facts));
    let text = "";
    for await (const delta of answer.textStream) text += delta;
    assert.equal(text, facts.chat_text);
    assert.ok((await answer.usage).totalTokens > 0);
  },

  async completed_text(facts) {
    const model = provider(facts).completionModel(facts.model);
    const { text, usage } = await generateText({ model, prompt: facts.prompt, maxOutputTokens: facts.tokens, temperature: 0 });
    assert.ok(text.length > 0);
    assert.ok(usage.inputTokens > 0);
  },

  async an_error_has_its_status_and_text(facts) {
    await assert.rejects(generateText({ ...chat(facts), model: provider(facts).chatModel("nobody"), maxRetries: 0 }), (error) => {
      assert.ok(APICallError.isInstance(error));
      assert.equal(error.statusCode, 404);
      assert.match(error.message, /nobody/);
      return true;
    });
  },

  async an_aborted_stream_frees_its_place(facts) {
    const controller = new AbortController();
    const answer = streamText({ ...chat(facts), maxOutputTokens: facts.context - 40, abortSignal: controller.signal, onError() {} });
    try {
      for await (const delta of answer.textStream) controller.abort(delta);
    } catch (error) {
      if (!controller.signal.aborted) throw error; // an abort may show as an error of whoever was reading
    }
    await metric("tessera_streams_running", 0);
  },
});
