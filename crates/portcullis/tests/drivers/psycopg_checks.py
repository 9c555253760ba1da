"""psycopg 3: synchronous, asynchronous, pipeline mode and COPY."""

import asyncio

import psycopg
from psycopg import errors, sql
from psycopg.pq import TransactionStatus

from checks import DSN, check, equal, finish, gateway, report, selected


def connect(**options):
    return psycopg.connect(DSN, **options)


@check
def parameters_in_both_forms():
    with connect() as conn:
        for binary in (False, True):
            cur = conn.cursor(binary=binary)
            row = cur.execute("SELECT name, price, stock FROM products WHERE id = %s AND sku = %s", (3, "SKU-003")).fetchone()
            equal((row[0], str(row[1]), row[2]), ("Notebook no. 3", "13.50", 30))
            equal(cur.execute("SELECT %s::int, %s::text, %s::float8, %s::bytea", (7, "x", 1.5, b"\0\xff")).fetchone(),
                  (7, "x", 1.5, b"\0\xff"))
            equal(cur.execute("SELECT %s::text", (None,)).fetchone(), (None,))


@check
def prepared_statements_are_reused():
    with connect(prepare_threshold=1) as conn:
        for number in range(1, 9):
            row = conn.execute("SELECT id FROM customers WHERE id = %s", (number,)).fetchone()
            equal(row, (number,))


@check
def many_rows_and_server_side_cursors():
    with connect() as conn:
        equal(len(conn.execute("SELECT * FROM orders").fetchall()), 120)
        with conn.cursor("every_order") as cur:
            cur.itersize = 7
            cur.execute("SELECT id FROM orders ORDER BY id")
            equal([row[0] for row in cur], list(range(1, 121)))
        with conn.cursor("scrolled", scrollable=True) as cur:
            cur.execute("SELECT id FROM products ORDER BY id")
            cur.scroll(4)
            equal(cur.fetchone(), (5,))


@check
def a_stream_of_rows():
    with connect() as conn:
        equal(sum(1 for _ in conn.cursor().stream("SELECT * FROM order_items")), 288)


@check
def transactions_commit_and_roll_back():
    with connect() as conn:
        try:
            with conn.transaction():
                conn.execute("INSERT INTO order_log (order_id, event) VALUES (1, 'psycopg-rolled-back')")
                with conn.transaction():
                    conn.execute("UPDATE order_log SET event = 'never' WHERE order_id = 1")
                raise psycopg.Rollback
        except psycopg.Rollback:
            pass
        with conn.transaction():
            conn.execute("INSERT INTO order_log (order_id, event) VALUES (2, 'psycopg-kept')")
        events = "SELECT event FROM order_log WHERE event LIKE 'psycopg-%%' ORDER BY 1"
        equal(conn.execute(events).fetchall(), [("psycopg-kept",)])


@check
def an_error_leaves_the_session_usable():
    with connect(autocommit=True) as conn:
        for statement, error in [("SELECT 1/0", errors.DivisionByZero), ("SELEC 1", errors.SyntaxError), ("SELECT * FROM nowhere", errors.UndefinedTable)]:
            try:
                conn.execute(statement)
            except error:
                pass
            else:
                raise AssertionError(f"{statement} passed")
            equal(conn.info.transaction_status, TransactionStatus.IDLE)
            equal(conn.execute("SELECT 1").fetchone(), (1,))


@check
def copy_out_and_in():
    with connect() as conn:
        with conn.cursor().copy("COPY (SELECT id, sku FROM products ORDER BY id) TO STDOUT") as copy:
            equal([row for row in copy.rows()][:2], [("1", "SKU-001"), ("2", "SKU-002")])
        with conn.cursor().copy("COPY products (sku, name, price) FROM STDIN") as copy:
            for number in range(500):
                copy.write_row((f"COPIED-{number}", "copied", "1.25"))
        equal(conn.execute("SELECT count(*), sum(price) FROM products WHERE name = 'copied'").fetchone()[0], 500)
        with conn.cursor().copy("COPY products (sku, name, price) FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["text", "text", "numeric"])
            copy.write_row(("BINARY-1", "copied", 2))
        conn.rollback()
        try:
            with conn.cursor().copy("COPY products (sku, name, price) FROM STDIN") as copy:
                copy.write("not\tenough\n")
        except errors.BadCopyFileFormat:
            conn.rollback()
        else:
            raise AssertionError("a short row was taken")
        equal(conn.execute("SELECT count(*) FROM products").fetchone(), (12,))


@check
def several_statements_in_one_query():
    with connect(autocommit=True) as conn:
        cur = conn.execute("SELECT 1; SELECT 2, 3")
        equal(cur.fetchall(), [(1,)])
        equal(cur.nextset(), True)
        equal(cur.fetchall(), [(2, 3)])


@check
def executemany_and_returning():
    with connect() as conn:
        cur = conn.cursor()
        cur.executemany("INSERT INTO order_log (order_id, event) VALUES (%s, %s) RETURNING order_id", [(n, "many") for n in range(20)], returning=True)
        found = [cur.fetchone()[0]]
        while cur.nextset():
            found.append(cur.fetchone()[0])
        equal(found, list(range(20)))
        conn.rollback()


@check
def notifications_arrive():
    with connect(autocommit=True) as listener, connect(autocommit=True) as speaker:
        listener.execute("LISTEN orders_changed")
        speaker.execute("NOTIFY orders_changed, 'seven'")
        for notification in listener.notifies(timeout=20, stop_after=1):
            equal((notification.channel, notification.payload), ("orders_changed", "seven"))
            break
        else:
            raise AssertionError("no notification came")
        listener.execute("UNLISTEN *")


@check
def cancel_ends_a_running_statement():
    import threading
    with connect(autocommit=True) as conn:
        over = threading.Event()
        def cancel():
            # One that comes before the statement runs cancels nothing.
            while not over.wait(0.3):
                conn.cancel()
        canceller = threading.Thread(target=cancel)
        canceller.start()
        try:
            conn.execute("SELECT count(*) FROM generate_series(1, 10000000000)")
        except errors.QueryCanceled:
            pass
        else:
            raise AssertionError("it was not cancelled")
        finally:
            over.set()
            canceller.join()
        equal(conn.execute("SELECT 1").fetchone(), (1,))


@check
def a_pipeline_keeps_order():
    with connect() as conn:
        with conn.pipeline():
            cursors = [conn.execute("SELECT %s::int", (number,)) for number in range(60)]
            equal([cur.fetchone()[0] for cur in cursors], list(range(60)))


def pipeline_ends_with(statement, error):
    """An error in a pipeline skips what follows it up to the Sync, and undoes what came before it since the last one."""
    with connect(autocommit=True) as conn:
        seen = []
        try:
            with conn.pipeline() as pipeline:
                try:
                    conn.execute("INSERT INTO order_log (order_id, event) VALUES (6, 'before')")
                    conn.execute(statement)
                    conn.execute("INSERT INTO order_log (order_id, event) VALUES (6, 'after')")
                    pipeline.sync()
                except error as found:
                    seen.append(found)
                except errors.PipelineAborted:
                    pass
        except error as found:
            seen.append(found)
        except errors.PipelineAborted:
            pass
        if not seen:
            raise AssertionError("the error was lost")
        equal(conn.info.transaction_status, TransactionStatus.IDLE)
        equal(conn.execute("SELECT count(*) FROM order_log WHERE order_id = 6 AND event IN ('before', 'after')").fetchone(), (0,))
        with conn.pipeline():
            equal(conn.execute("SELECT count(*) FROM orders").fetchone(), (120,))


@check
def an_error_in_a_pipeline_skips_to_the_next_sync():
    pipeline_ends_with("SELECT 1/0", errors.DivisionByZero)


@check
def asynchronous_sessions_run_side_by_side():
    async def one(number):
        async with await psycopg.AsyncConnection.connect(DSN) as conn:
            async with conn.transaction():
                cur = await conn.execute("SELECT id FROM orders WHERE customer_id = %s ORDER BY id", (number,))
                rows = await cur.fetchall()
            async with conn.cursor().copy("COPY (SELECT 1) TO STDOUT") as copy:
                data = b"".join([bytes(block) async for block in copy])
            async with conn.pipeline():
                cursors = [await conn.execute("SELECT %s::int", (n,)) for n in range(5)]
                equal([(await c.fetchone())[0] for c in cursors], list(range(5)))
            return len(rows), data

    async def everyone():
        return await asyncio.gather(*(one(number) for number in range(1, 9)))

    equal(asyncio.run(everyone()), [(3, b"1\n")] * 8)


def refused(conn, statement):
    try:
        conn.execute(statement)
    except errors.InsufficientPrivilege as error:
        assert error.diag.message_detail and error.diag.message_hint is not None, (error.diag.message_detail, error.diag.message_hint)
        return error
    raise AssertionError(f"{statement} was not refused")


@gateway
def a_refusal_leaves_the_session_usable():
    with connect(autocommit=True) as conn:
        for statement in ("DROP TABLE orders", "DELETE FROM orders", "TRUNCATE orders", "UPDATE orders SET note = ''"):
            error = refused(conn, statement)
            equal(error.sqlstate, "42501")
            equal(conn.info.transaction_status, TransactionStatus.IDLE)
            equal(conn.execute("SELECT count(*) FROM orders").fetchone(), (120,))


@gateway
def a_refusal_inside_a_transaction_fails_all_of_it():
    with connect() as conn:
        conn.execute("INSERT INTO order_log (order_id, event) VALUES (3, 'half')")
        refused(conn, "DROP TABLE orders")
        equal(conn.info.transaction_status, TransactionStatus.INERROR)
        try:
            conn.execute("SELECT 1")
        except errors.InFailedSqlTransaction:
            pass
        else:
            raise AssertionError("a failed transaction went on")
        conn.commit()
        equal(conn.execute("SELECT count(*) FROM order_log WHERE event = 'half'").fetchone(), (0,))


@gateway
def a_refusal_after_a_savepoint_is_rolled_back_to_it():
    with connect() as conn:
        with conn.transaction(force_rollback=True):
            conn.execute("INSERT INTO order_log (order_id, event) VALUES (4, 'before')")
            try:
                with conn.transaction():
                    conn.execute("DELETE FROM orders")
            except errors.InsufficientPrivilege:
                pass
            equal(conn.execute("SELECT count(*) FROM order_log WHERE event = 'before'").fetchone(), (1,))


@gateway
def a_refusal_in_a_pipeline_skips_to_the_next_sync():
    pipeline_ends_with("DROP TABLE orders", errors.InsufficientPrivilege)


@gateway
def a_refusal_among_several_statements_stops_all():
    with connect(autocommit=True) as conn:
        refused(conn, "INSERT INTO order_log (order_id, event) VALUES (5, 'multi'); DROP TABLE orders")
        equal(conn.execute("SELECT count(*) FROM order_log WHERE event = 'multi'").fetchone(), (0,))
        equal(conn.info.transaction_status, TransactionStatus.IDLE)


@gateway
def a_refused_copy_takes_no_data():
    with connect() as conn:
        try:
            with conn.cursor().copy("COPY hr.employees (name, salary) FROM STDIN") as copy:
                copy.write("Mallory\t1\n")
        except errors.InsufficientPrivilege:
            conn.rollback()
        else:
            raise AssertionError("the copy was not refused")
        try:
            conn.execute(sql.SQL("COPY orders TO '/tmp/orders'"))
        except errors.InsufficientPrivilege:
            conn.rollback()
        else:
            raise AssertionError("the file was not refused")
        equal(conn.execute("SELECT 1").fetchone(), (1,))


@gateway
def a_refused_prepared_statement_stays_refused():
    with connect(autocommit=True, prepare_threshold=0) as conn:
        for _ in range(3):
            refused(conn, "DELETE FROM orders")
        for number in (1, 2):
            equal(conn.execute("SELECT id FROM orders WHERE id = %s", (number,)).fetchone(), (number,))


if __name__ == "__main__":
    for function in selected():
        function()
        report(function.__name__)
    finish(len(selected()))
