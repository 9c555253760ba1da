// node-postgres: parameters, named statements, a pool, query streams, notifications; refusals where a gateway is in front.
"use strict";
const assert = require("node:assert/strict");
const fs = require("node:fs");
const { Client, Pool } = require("pg");
const QueryStream = require("pg-query-stream");

const part = Object.fromEntries(process.env.PORTCULLIS_TEST_DSN.split(" ").map((p) => [p.slice(0, p.indexOf("=")), p.slice(p.indexOf("=") + 1)]));
const config = {
  host: part.host, port: Number(part.port), user: part.user, password: part.password, database: part.dbname,
  ssl: part.sslmode === "verify-full" ? { ca: fs.readFileSync(part.sslrootcert) } : false,
};

async function withClient(work) {
  const client = new Client(config);
  await client.connect();
  try { await work(client); } finally { await client.end(); }
}

const refused = (promise) => assert.rejects(promise, (error) => error.code === "42501" && Boolean(error.detail));

const checks = {
  parameters: () => withClient(async (client) => {
    const { rows, fields } = await client.query("SELECT id, name, price FROM products WHERE id = $1 AND sku = $2", [3, "SKU-003"]);
    assert.deepEqual(rows, [{ id: 3, name: "Notebook no. 3", price: "13.50" }]);
    assert.deepEqual(fields.map((f) => f.name), ["id", "name", "price"]);
    assert.deepEqual((await client.query("SELECT $1::text AS t, $2::int[] AS a", [null, [1, 2]])).rows, [{ t: null, a: [1, 2] }]);
  }),
  namedStatements: () => withClient(async (client) => {
    for (let id = 1; id <= 5; id++) {
      const { rows } = await client.query({ name: "one-order", text: "SELECT id FROM orders WHERE id = $1", values: [id] });
      assert.equal(rows[0].id, id);
    }
  }),
  severalStatements: () => withClient(async (client) => {
    const results = await client.query("SELECT 1 AS a; SELECT 2 AS b");
    assert.deepEqual(results.map((r) => r.rows[0]), [{ a: 1 }, { b: 2 }]);
  }),
  errors: () => withClient(async (client) => {
    await assert.rejects(client.query("SELECT 1/$1::int", [0]), { code: "22012" });
    assert.equal((await client.query("SELECT 1 AS one")).rows[0].one, 1);
  }),
  transaction: () => withClient(async (client) => {
    await client.query("BEGIN");
    const { rowCount } = await client.query("INSERT INTO order_log (order_id, event) VALUES ($1, 'node')", [1]);
    assert.equal(rowCount, 1);
    await client.query("ROLLBACK");
    assert.equal((await client.query("SELECT count(*)::int AS n FROM order_log WHERE event = 'node'")).rows[0].n, 0);
  }),
  stream: () => withClient(async (client) => {
    let count = 0;
    for await (const row of client.query(new QueryStream("SELECT id FROM orders ORDER BY id", [], { batchSize: 9 }))) { count += 1; assert.equal(row.id, count); }
    assert.equal(count, 120);
  }),
  pool: async () => {
    const pool = new Pool({ ...config, max: 3 });
    const found = await Promise.all(Array.from({ length: 12 }, (_, n) => pool.query("SELECT $1::int AS n", [n])));
    assert.deepEqual(found.map((r) => r.rows[0].n), Array.from({ length: 12 }, (_, n) => n));
    await pool.end();
  },
  notifications: () => withClient((listener) => withClient(async (speaker) => {
    const arrived = new Promise((resolve) => listener.once("notification", resolve));
    await listener.query("LISTEN price_changed");
    await speaker.query("NOTIFY price_changed, 'up'");
    assert.equal((await arrived).payload, "up");
  })),
};

const throughGateway = {
  refusal: () => withClient(async (client) => {
    await refused(client.query("DROP TABLE orders"));
    await refused(client.query("DELETE FROM orders"));
    await refused(client.query("UPDATE orders SET note = $1", ["x"]));
    await refused(client.query({ name: "bad", text: "DELETE FROM orders WHERE $1::int = 1", values: [1] }));
    assert.equal((await client.query("SELECT count(*)::int AS n FROM orders")).rows[0].n, 120);
  }),
  refusalInTransaction: () => withClient(async (client) => {
    await client.query("BEGIN");
    await client.query("INSERT INTO order_log (order_id, event) VALUES (1, 'node-half')");
    await refused(client.query("DROP TABLE orders"));
    await assert.rejects(client.query("SELECT 1"), { code: "25P02" });
    await client.query("COMMIT");
    assert.equal((await client.query("SELECT count(*)::int AS n FROM order_log WHERE event = 'node-half'")).rows[0].n, 0);
  }),
};

(async () => {
  const all = process.env.PORTCULLIS_TEST_GATEWAY ? { ...checks, ...throughGateway } : checks;
  for (const [name, run] of Object.entries(all)) { await run(); console.log(`ok ${name}`); }
  console.log(`${Object.keys(all).length} checks passed`);
})().catch((error) => { console.error(error); process.exit(1); });
