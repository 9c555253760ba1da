// The Claude Agent SDK, with a tool server behind the same gateway: prompts whose answers propose a command or a call of
// the server's tools; what is allowed runs, what is refused never does. A program in place of `psql` tells whether it ran.
import assert from "node:assert/strict";
import fs from "node:fs";
import { pathToFileURL } from "node:url";

const [modules, place] = process.argv.slice(2);
const { query } = await import(pathToFileURL(`${modules}/@anthropic-ai/claude-agent-sdk/sdk.mjs`));

fs.mkdirSync(`${place}/bin`);
fs.writeFileSync(`${place}/bin/psql`, `#!/bin/sh\ntouch ${place}/psql-ran\n`, { mode: 0o755 });

const env = {
  ...process.env, PATH: `${place}/bin:${process.env.PATH}`, HOME: place, CLAUDE_CONFIG_DIR: `${place}/config`,
  ANTHROPIC_BASE_URL: process.env.PORTCULLIS_TEST_URL, ANTHROPIC_AUTH_TOKEN: process.env.PORTCULLIS_TEST_TOKEN,
  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
};

// What the agent did and how its turn ended.
async function ask(prompt, more) {
  const calls = [], results = [];
  let end, said = "";
  const options = { model: "claude-small", env, cwd: place, tools: ["Bash"], allowedTools: ["Bash"], settingSources: [], maxTurns: 3,
    persistSession: false, stderr: (text) => { said += text; }, ...more };
  try {
    for await (const message of query({ prompt, options })) {
      const content = [].concat(message.message?.content ?? []);
      if (message.type === "assistant") calls.push(...content.filter((block) => block.type === "tool_use"));
      if (message.type === "user") results.push(...content.filter((block) => block.type === "tool_result"));
      if (message.type === "result") end = message;
    }
  } catch (error) {
    throw new Error(`${error}: ${said}`);
  }
  return { calls, results, end };
}

const told = (turn, parts, text) => { for (const part of parts) assert.ok(text.includes(part), JSON.stringify(turn)); };
const ended = (turn, result) => assert.deepEqual([turn.end.subtype, turn.end.result], ["success", result], JSON.stringify(turn));
const WHY = ["sdks/no-destruction", "drop table", "Ask a person to destroy data."];

const listed = await ask(`case-list(${place})`);
assert.deepEqual(listed.calls.map((call) => call.input.command), [`ls ${place}`], JSON.stringify(listed));
told(listed, ["a-file-that-only-ls-knows"], JSON.stringify(listed.results));
ended(listed, "The tool has run.");

const dropped = await ask("case-drop");
assert.deepEqual([dropped.calls, dropped.results, dropped.end.subtype], [[], [], "success"], JSON.stringify(dropped));
told(dropped, ["Bash was refused", ...WHY], dropped.end.result);
assert.ok(!fs.existsSync(`${place}/psql-ran`));

const headers = { Authorization: `Bearer ${process.env.PORTCULLIS_TEST_TOKEN}` };
const served = {
  mcpServers: { tools: { type: "http", url: process.env.PORTCULLIS_TEST_TOOLS, headers } }, allowedTools: ["mcp__tools__echo", "mcp__tools__run_sql"],
};
const echoed = await ask("case-echo", served);
assert.deepEqual(echoed.calls.map((call) => call.name), ["mcp__tools__echo"], JSON.stringify(echoed));
told(echoed, ["as the agent said", "[redacted]"], JSON.stringify(echoed.results));
assert.ok(!JSON.stringify(echoed.results).includes("123-45-6789"), JSON.stringify(echoed));
ended(echoed, "The tool has run.");

const asked = await ask("case-query", served);
assert.deepEqual([asked.calls, asked.results, asked.end.subtype], [[], [], "success"], JSON.stringify(asked));
told(asked, WHY, asked.end.result);
console.log("4 checks passed");
