// @anthropic-ai/sdk for Node: messages whole and streamed, tools, tokens, models, and which error each refusal is.
import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";

const { default: Anthropic } = await import(pathToFileURL(`${process.argv[2]}/@anthropic-ai/sdk/index.mjs`));

const MASKED = "Grüße an [redacted], \"bald\" \u{1F44B}\nEnde";
const tools = [{ name: "Bash", description: "Runs a command.", input_schema: { type: "object", properties: { command: { type: "string" } } } }];
const baseURL = process.env.PORTCULLIS_TEST_URL, authToken = process.env.PORTCULLIS_TEST_TOKEN;
let asked = 0;
// The platform's own fetch; it only counts what is asked.
const client = new Anthropic({ baseURL, authToken, apiKey: null, fetch: (...request) => { asked += 1; return fetch(...request); } });

const request = (word, more = {}) => ({
  model: "claude-small", max_tokens: 64, messages: [{ role: "user", content: `my mail is me@home.example; ${word}` }], ...more,
});

const says = (text, ...parts) => { for (const part of parts) assert.ok(text.includes(part), `${part} is not in ${text}`); };

async function refused(kind, work, ...parts) {
  asked = 0;
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof kind, `${error}`);
    says(error.message, ...parts);
    return true;
  });
  assert.equal(asked, 1, "it was asked again");
}

const turn = (streams, word) => streams
  ? client.messages.stream(request(word, { tools })).finalMessage()
  : client.messages.create(request(word, { tools }));

const checks = {
  aMessageIsMasked: async () => {
    const message = await client.messages.create(request("case-mask", { system: "be brief", metadata: { user_id: "agent-7" } }));
    assert.deepEqual([message.content[0].text, message.stop_reason, message.usage.output_tokens], [MASKED, "end_turn", 7]);
    const byKey = new Anthropic({ baseURL, apiKey: authToken, authToken: null });
    assert.equal((await byKey.messages.create(request("case-mask"))).content[0].text, MASKED);
  },
  aStreamIsMasked: async () => {
    let text = "";
    const stream = client.messages.stream(request("case-mask")).on("text", (delta) => { text += delta; });
    const message = await stream.finalMessage();
    assert.deepEqual([text, message.content[0].text, message.stop_reason], [MASKED, MASKED, "end_turn"]);
    assert.deepEqual([message.usage.input_tokens, message.usage.output_tokens], [11, 7]);
    const events = [];
    for await (const event of await client.messages.create(request("case-mask", { stream: true }))) events.push(event.type);
    assert.deepEqual([events[0], events.at(-1)], ["message_start", "message_stop"]);
  },
  aToolCallThatRulesRefuseNeverComes: async () => {
    for (const streams of [false, true]) {
      const message = await turn(streams, "case-drop");
      assert.deepEqual([message.content.map((block) => block.type), message.stop_reason], [["text", "text"], "end_turn"]);
      says(message.content[1].text, "Bash was refused", "sdks/no-destruction", "drop table", "Ask a person to destroy data.");
    }
  },
  aToolCallThatRulesAllowComesWhole: async () => {
    for (const streams of [false, true]) {
      const message = await turn(streams, "case-list");
      assert.deepEqual([message.content.map((block) => block.type), message.stop_reason], [["text", "tool_use"], "tool_use"]);
      assert.deepEqual([message.content[1].name, message.content[1].input], ["Bash", { command: "ls /tmp" }]);
    }
  },
  tokensAndModels: async () => {
    const counted = await client.messages.countTokens({ model: "claude-small", messages: [{ role: "user", content: "hi" }], tools });
    assert.equal(counted.input_tokens, 42);
    const models = [];
    for await (const model of client.models.list({ limit: 5 })) models.push(model.id);
    assert.deepEqual(models, ["claude-small"]);
  },
  aRunnerOfToolsRunsWhatIsAllowed: async () => {
    const ran = [];
    const bash = { ...tools[0], run: ({ command }) => { ran.push(command); return "tmp"; }, parse: (input) => input };
    for (const [word, said, expected] of [["case-list", "The tool has run.", ["ls /tmp"]], ["case-drop", "Bash was refused", []]]) {
      ran.length = 0;
      const message = await client.beta.messages.toolRunner(request(word, { tools: [bash] }));
      says(message.content.at(-1).text, said);
      assert.deepEqual(ran, expected);
    }
  },
  betasReachTheProvider: async () => {
    const betas = ["token-counting-2024-11-01", "context-management-2025-06-27"];
    const message = await client.beta.messages.create(request("case-mask", { betas }));
    assert.equal(message.content[0].text, MASKED);
  },
  refusalsSayWhyAndAreNotAskedAgain: async () => {
    for (const stream of [false, true]) {
      await refused(Anthropic.PermissionDeniedError, () => client.messages.create(request("hi", { model: "other-model", stream })),
        "no rule allows generate model", "other-model");
      await refused(Anthropic.RateLimitError, () => client.messages.create(request("hi", { model: "claude-large", stream })), "large");
    }
    const stranger = new Anthropic({ baseURL, authToken: "nobody-issued-this", apiKey: null });
    await assert.rejects(() => stranger.messages.create(request("hi")), Anthropic.AuthenticationError);
  },
  aStreamThatWasCutIsNeverWhole: async () => {
    for (const word of ["case-short", "case-broken"]) {
      await assert.rejects(() => client.messages.stream(request(word)).finalMessage());
      await assert.rejects(async () => { for await (const _ of await client.messages.create(request(word, { stream: true }))); });
    }
  },
  theConnectionIsAsGoodAsBefore: async () => {
    assert.equal((await client.messages.create(request("case-mask"))).content[0].text, MASKED);
  },
};

for (const [name, run] of Object.entries(checks)) {
  try { await run(); } catch (error) { console.log(`failed: ${name}`); throw error; }
  console.log(`ok: ${name}`);
}
console.log(`${Object.keys(checks).length} checks passed`);
