"""psycopg 3 reads masked results: text and binary, server-side cursors, COPY in both formats."""

import psycopg

from checks import DSN, check, equal, finish, report, selected
from masked import EVERY_TYPE, masked


def connect(**options):
    return psycopg.connect(DSN, **options)


@check
def every_type_in_both_forms():
    with connect() as conn:
        for binary in (False, True):
            masked(conn.cursor(binary=binary).execute(EVERY_TYPE).fetchall())


@check
def prepared_and_by_cursor():
    with connect(prepare_threshold=0) as conn:
        for _ in range(3):
            masked(conn.execute(EVERY_TYPE).fetchall())
        for binary in (False, True):
            with conn.cursor("people", binary=binary) as cur:
                cur.itersize = 3
                cur.execute(EVERY_TYPE)
                masked(list(cur))


@check
def copies_in_both_forms():
    with connect() as conn:
        for form in ("", " (FORMAT binary)"):
            with conn.cursor().copy(f"COPY (SELECT id, ssn, tags, balance, photo FROM people) TO STDOUT{form}") as copy:
                copy.set_types(["int4", "text", "text[]", "numeric", "bytea"])
                rows = list(copy.rows())
            equal(len(rows), 8)
            for row in rows:
                equal(row[1:], ("[redacted]", ["[redacted]", None], None, None))
            print(rows)


if __name__ == "__main__":
    for function in selected():
        function()
        report(function.__name__)
    finish(len(selected()))
