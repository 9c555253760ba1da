"""What the programs of the Python SDKs share: where the gateway is, the list of checks, and how they run.

Each program runs its checks against services that say what the end-to-end test has them say (`tests/it/sdks`).
"""

import asyncio
import inspect
import os

URL = os.environ["PORTCULLIS_TEST_URL"]
TOKEN = os.environ["PORTCULLIS_TEST_TOKEN"]
MASKED = "Grüße an [redacted], \"bald\" \U0001f44b\nEnde"

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def equal(found, expected):
    if found != expected:
        raise AssertionError(f"{found!r} is not {expected!r}")


def says(text, *parts):
    for part in parts:
        if part not in text:
            raise AssertionError(f"{part!r} is not in {text!r}")


def raises(kind, function):
    """The error, which must be of this kind."""
    try:
        found = function()
    except kind as error:
        return error
    raise AssertionError(f"{kind} was not raised, and this came back: {found!r}")


def finish():
    for function in CHECKS:
        try:
            if inspect.iscoroutinefunction(function):
                asyncio.run(function())
            else:
                function()
        except BaseException:
            print(f"failed: {function.__name__}", flush=True)
            raise
        print(f"ok: {function.__name__}")
    print(f"{len(CHECKS)} checks passed")
