"""OAUTHBEARER with libpq 18, by way of psycopg and a hook that gives out a token as an agent's program would.

PORTCULLIS_TEST_DSN is a string without a password; PORTCULLIS_TEST_ISSUER the provider; PORTCULLIS_TEST_TOKEN its token.
"""

import ctypes
import os
import sys
from pathlib import Path

import psycopg
import psycopg_binary

BEARER_TOKEN = 1


class Request(ctypes.Structure):
    _fields_ = [
        ("openid_configuration", ctypes.c_char_p),
        ("scope", ctypes.c_char_p),
        ("poll", ctypes.c_void_p),
        ("cleanup", ctypes.c_void_p),
        ("token", ctypes.c_char_p),
        ("user", ctypes.c_void_p),
    ]


Hook = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)

dsn, issuer = os.environ["PORTCULLIS_TEST_DSN"], os.environ["PORTCULLIS_TEST_ISSUER"]
token = os.environ["PORTCULLIS_TEST_TOKEN"].encode()
asked, given = [], [token]


@Hook
def hook(kind, _connection, data):
    if kind != BEARER_TOKEN:
        return 0
    request = ctypes.cast(data, ctypes.POINTER(Request)).contents
    asked.append((request.openid_configuration, request.scope))
    request.token = given[0]
    return 1


def connect(**more):
    oauth = {"oauth_issuer": issuer, "oauth_client_id": "portcullis", "options": "-c portcullis.auth=oauth"}
    return psycopg.connect(dsn, **{**oauth, **more})


def refused(expected, **more):
    try:
        connect(**more)
    except psycopg.OperationalError as error:
        assert expected in str(error), error
        return
    raise AssertionError(f"no {expected}")


libraries = list((Path(psycopg_binary.__file__).parent.parent / "psycopg_binary.libs").glob("libpq-*.so*"))
if psycopg.pq.version() < 180000 or len(libraries) != 1:
    sys.exit(f"this psycopg has libpq {psycopg.pq.version()}")
ctypes.CDLL(str(libraries[0])).PQsetAuthDataHook(hook)

# Asked where first, in a connection of its own.
with connect(require_auth="oauth") as connection:
    assert connection.execute("SELECT name FROM products WHERE id = 3").fetchone() == ("Notebook no. 3",)
where = f"{issuer}/.well-known/openid-configuration"
assert asked == [(where.encode(), b"openid")], asked
print("ok asks where")

# Knowing where already.
with connect(oauth_issuer=where) as connection:
    assert connection.execute("SELECT 7").fetchone() == (7,)
print("ok knows where")

# A connection that asks everybody so.
with connect(options="", dbname="with-oauth") as connection:
    assert connection.execute("SELECT 7").fetchone() == (7,)
print("ok by the connection's default")

# A long token is read whole before it is refused.
for bad in (token[:-4] + b"AAAA", b"nonsense", b"x" * 60000):
    given[0] = bad
    refused("OAuth bearer authentication failed for user", oauth_issuer=where)
given[0] = token
refused("OAuth bearer authentication failed for user", user="somebody-else", oauth_issuer=where)
refused("method requirement", options="-c portcullis.auth=password", require_auth="oauth")
print("ok refusals")

# Asking where is no failed login, however often.
given[0] = b""
for _ in range(15):
    try:
        connect()
    except psycopg.OperationalError:
        pass
given[0] = token
with connect(oauth_issuer=where) as connection:
    assert connection.execute("SELECT 7").fetchone() == (7,)
print("ok asking where counts for nothing")
print("5 checks passed")
