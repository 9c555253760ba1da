// node-postgres reads masked results: in text, in binary, by a named statement and by a stream.
"use strict";
const assert = require("node:assert/strict");
const fs = require("node:fs");
const { Client } = require("pg");
const QueryStream = require("pg-query-stream");

const part = Object.fromEntries(process.env.PORTCULLIS_TEST_DSN.split(" ").map((p) => [p.slice(0, p.indexOf("=")), p.slice(p.indexOf("=") + 1)]));
const config = {
  host: part.host, port: Number(part.port), user: part.user, password: part.password, database: part.dbname,
  ssl: part.sslmode === "verify-full" ? { ca: fs.readFileSync(part.sslrootcert) } : false,
};
const everyType = "SELECT id, name, ssn, email, tax, profile, dossier, tags, balance, born, photo, home, search FROM people ORDER BY id";

function masked(rows) {
  assert.equal(rows.length, 8);
  rows.forEach((row, at) => {
    assert.equal(row.name, `Person ${at + 1}`);
    assert.deepEqual([row.ssn, row.tax, row.email.length], ["[redacted]", "[redacted]", 20]);
    assert.deepEqual([row.dossier, row.balance, row.born, row.photo, row.home, row.search], Array(6).fill(null));
  });
  console.log(JSON.stringify(rows));
}

(async () => {
  const client = new Client(config);
  await client.connect();
  const { rows } = await client.query(everyType);
  masked(rows);
  assert.deepEqual(rows[0].tags, ["[redacted]", null]);
  assert.deepEqual([rows[0].profile.plan, rows[0].profile.secret, rows[0].profile.address.street], ["free", "[redacted]", "[redacted]"]);
  console.log("ok text");
  for (let round = 0; round < 2; round++) masked((await client.query({ name: "every-type", text: `${everyType} LIMIT $1`, values: [8] })).rows);
  console.log("ok named");
  // Its parsers of binary arrays and JSON know less than those of text.
  const binary = await client.query({ text: "SELECT id, ssn, balance, born, photo FROM people ORDER BY id", binary: true });
  assert.deepEqual(binary.rows[7], { id: 8, ssn: "[redacted]", balance: null, born: null, photo: null });
  console.log("ok binary");
  const streamed = [];
  for await (const row of client.query(new QueryStream(everyType, [], { batchSize: 3 }))) streamed.push(row);
  masked(streamed);
  console.log("ok stream");
  await client.end();
  console.log("4 checks passed");
})().catch((error) => { console.error(error); process.exit(1); });
