"""asyncpg reads masked results, all in binary: statements, cursors, COPY."""

import asyncio
import io
import json

from asyncpg_checks import connect
from checks import CHECKS, check, equal, finish, report, selected
from masked import EVERY_TYPE, masked

CHECKS.clear()


@check
async def every_type():
    conn = await connect()
    masked([tuple(row) for row in await conn.fetch(EVERY_TYPE)], json.loads)
    statement = await conn.prepare(EVERY_TYPE)
    for _ in range(2):
        masked([tuple(row) for row in await statement.fetch()], json.loads)
    async with conn.transaction():
        masked([tuple(row) async for row in statement.cursor(prefetch=3)], json.loads)
    await conn.close()


@check
async def copies():
    conn = await connect()
    for form in ("text", "csv", "binary"):
        out = io.BytesIO()
        await conn.copy_from_query("SELECT id, ssn, born FROM people", output=out, format=form)
        equal(out.getvalue().count(b"[redacted]"), 8)
    await conn.close()


async def main():
    for function in selected():
        await function()
        report(function.__name__)
    finish(len(selected()))


if __name__ == "__main__":
    asyncio.run(main())
