"""What the Python driver programs share: the connection string, the list of checks, and which of them need a gateway.

Each program runs its checks against a database with the sample shop, given as a libpq string in PORTCULLIS_TEST_DSN.
Run directly against PostgreSQL they prove themselves; through the gateway they prove it. Checks marked `gateway` expect
the refusals of the end-to-end policy and run only where PORTCULLIS_TEST_GATEWAY is set.
"""

import os
import sys

DSN = os.environ["PORTCULLIS_TEST_DSN"]
THROUGH_GATEWAY = bool(os.environ.get("PORTCULLIS_TEST_GATEWAY"))

CHECKS = []


def check(function):
    CHECKS.append((function, False))
    return function


def gateway(function):
    CHECKS.append((function, True))
    return function


def parameters():
    """The parts of the connection string, whose values hold no spaces."""
    return dict(part.split("=", 1) for part in DSN.split())


def equal(found, expected):
    if found != expected:
        raise AssertionError(f"{found!r} is not {expected!r}")


def selected():
    return [f for f, needs_gateway in CHECKS if THROUGH_GATEWAY or not needs_gateway]


def report(name):
    print(f"ok {name}", flush=True)


def finish(count):
    if not count:
        sys.exit("no check ran")
    print(f"{count} checks passed")
