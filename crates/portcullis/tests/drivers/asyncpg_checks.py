"""asyncpg: binary everything, its own prepared statements, cursors, COPY and resets."""

import asyncio
import ssl

import asyncpg

from checks import check, equal, finish, gateway, parameters, report, selected


def connect(**options):
    p = parameters()
    tls = False
    if p.get("sslmode") == "verify-full":
        tls = ssl.create_default_context(cafile=p["sslrootcert"])
    return asyncpg.connect(host=p["host"], port=int(p["port"]), user=p["user"], password=p["password"], database=p["dbname"], ssl=tls, **options)


@check
async def fetches_with_parameters():
    conn = await connect()
    row = await conn.fetchrow("SELECT id, name, price, created_at IS NULL FROM products, LATERAL (SELECT NULL AS created_at) x WHERE id = $1", 3)
    equal((row["id"], row["name"], str(row["price"])), (3, "Notebook no. 3", "13.50"))
    equal(await conn.fetchval("SELECT array_agg(id ORDER BY id) FROM products WHERE id = ANY($1::int[])", [1, 2]), [1, 2])
    equal(await conn.fetchval("SELECT $1::timestamptz IS NULL", None), True)
    await conn.close()


@check
async def statements_and_cursors():
    conn = await connect()
    statement = await conn.prepare("SELECT id FROM orders WHERE id <= $1 ORDER BY id")
    equal([r["id"] for r in await statement.fetch(5)], [1, 2, 3, 4, 5])
    equal([a.name for a in statement.get_attributes()], ["id"])
    async with conn.transaction():
        equal([r["id"] async for r in statement.cursor(50, prefetch=7)], list(range(1, 51)))
        cursor = await conn.cursor("SELECT id FROM orders ORDER BY id")
        await cursor.forward(10)
        equal([r["id"] for r in await cursor.fetch(2)], [11, 12])
    await conn.close()


@check
async def transactions_nest():
    conn = await connect()
    try:
        async with conn.transaction():
            await conn.execute("INSERT INTO order_log (order_id, event) VALUES ($1, $2)", 1, "asyncpg")
            try:
                async with conn.transaction():
                    await conn.execute("SELECT 1/0")
            except asyncpg.DivisionByZeroError:
                pass
            equal(await conn.fetchval("SELECT count(*) FROM order_log WHERE event = 'asyncpg'"), 1)
            raise RuntimeError("undo")
    except RuntimeError:
        pass
    equal(await conn.fetchval("SELECT count(*) FROM order_log WHERE event = 'asyncpg'"), 0)
    async with conn.transaction(isolation="serializable", readonly=True, deferrable=True):
        equal(await conn.fetchval("SELECT 1"), 1)
    await conn.close()


@check
async def copies_both_ways():
    conn = await connect()
    out = []

    async def collect(data):
        out.append(data)

    await conn.copy_from_query("SELECT id FROM products ORDER BY id LIMIT $1", 3, output=collect)
    equal(b"".join(out), b"1\n2\n3\n")
    async with conn.transaction():
        status = await conn.copy_records_to_table("products", records=[(f"A-{n}", "asyncpg", 1) for n in range(100)], columns=["sku", "name", "price"])
        equal(status, "COPY 100")
        await conn.execute("DELETE FROM products WHERE name = $1", "asyncpg")
    await conn.executemany("INSERT INTO order_log (order_id, event) VALUES ($1, $2)", [(n, "many") for n in range(50)])
    equal(await conn.fetchval("SELECT count(*) FROM order_log WHERE event = 'many'"), 50)
    equal(await conn.execute("DELETE FROM order_log WHERE event = 'many'"), "DELETE 50")
    await conn.close()


@check
async def notifications_and_notices():
    listener, speaker = await connect(), await connect()
    arrived = asyncio.get_running_loop().create_future()
    await listener.add_listener("stock", lambda *args: arrived.done() or arrived.set_result(args[3]))
    await speaker.execute("NOTIFY stock, 'low'")
    equal(await asyncio.wait_for(arrived, 20), "low")
    await listener.remove_listener("stock", print)
    await listener.close()
    await speaker.close()


@check
async def a_pool_resets_its_connections():
    p = parameters()
    tls = ssl.create_default_context(cafile=p["sslrootcert"]) if p.get("sslmode") == "verify-full" else False
    pool = await asyncpg.create_pool(host=p["host"], port=int(p["port"]), user=p["user"], password=p["password"], database=p["dbname"], ssl=tls, min_size=1, max_size=2)
    for _ in range(6):
        async with pool.acquire() as conn:
            equal(await conn.fetchval("SELECT 1"), 1)
    equal(await asyncio.gather(*(pool.fetchval("SELECT $1::int", n) for n in range(10))), list(range(10)))
    await pool.close()


@check
async def a_timeout_cancels():
    conn = await connect()
    try:
        await conn.fetchval("SELECT count(*) FROM generate_series(1, 10000000000)", timeout=0.4)
    except asyncio.TimeoutError:
        pass
    else:
        raise AssertionError("it ended")
    equal(await conn.fetchval("SELECT 2"), 2)
    await conn.close()


async def refused(conn, statement, *arguments):
    try:
        await conn.execute(statement, *arguments)
    except asyncpg.InsufficientPrivilegeError as error:
        assert error.detail, error
        return
    raise AssertionError(f"{statement} was not refused")


@gateway
async def a_refusal_leaves_the_session_usable():
    conn = await connect()
    await refused(conn, "DROP TABLE orders")
    await refused(conn, "UPDATE orders SET note = $1", "x")
    equal(await conn.fetchval("SELECT count(*) FROM orders"), 120)
    transaction = conn.transaction()
    await transaction.start()
    await conn.execute("INSERT INTO order_log (order_id, event) VALUES (1, 'asyncpg-half')")
    await refused(conn, "DELETE FROM orders WHERE true")
    try:
        await conn.fetchval("SELECT 1")
    except asyncpg.InFailedSQLTransactionError:
        pass
    else:
        raise AssertionError("a failed transaction went on")
    await transaction.rollback()
    equal(await conn.fetchval("SELECT count(*) FROM order_log WHERE event = 'asyncpg-half'"), 0)
    await conn.close()


async def main():
    for function in selected():
        await function()
        report(function.__name__)
    finish(len(selected()))


if __name__ == "__main__":
    asyncio.run(main())
