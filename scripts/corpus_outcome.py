"""Compares the outcome of a corpus run with the cases that are expected to differ, and says what is not as it must be.

Usage: corpus_outcome.py OUTCOME.json EXPECTED.txt

A line of EXPECTED.txt is a case's id and, after spaces, the reason why it may get through. The run must stop every other
attack and pass every other benign case; a listed case that is stopped or passes no longer needs its line.
"""

import json
import sys


def expectations(path):
    listed = {}
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.strip()
            if line and not line.startswith("#"):
                case, _, reason = line.partition(" ")
                if not reason.strip():
                    sys.exit(f"{path}:{number}: {case} has no reason")
                listed[case] = reason.strip()
    return listed


def normal(case):
    """The two corpora name things differently."""
    outcome = case.get("outcome") or {"pass": "passed"}.get(case["result"], case["result"])
    why = case.get("why", "")
    text = why if isinstance(why, str) else "; ".join(why)
    title = case.get("title", "")
    return {**case, "outcome": outcome, "why": f"{title}: {text}" if title else text}


def main(outcome, expected):
    with open(outcome, encoding="utf-8") as file:
        run = json.load(file)
    listed = expectations(expected)
    wrong = []
    cases = [case for case in map(normal, run.get("cases") or run["results"]) if case["outcome"] != "skipped"]
    for case in cases:
        good = case["outcome"] in ("stopped", "passed")
        if not good and case["id"] not in listed:
            wrong.append(f"{case['outcome']:<10} {case['id']:<28} {case['why'][:200]}")
        if good and case["id"] in listed:
            wrong.append(f"{case['outcome']:<10} {case['id']:<28} is listed in {expected} and need not be")
    attacks = [c for c in cases if c["verdict"] not in ("benign", "robust")]
    benign = [c for c in cases if c["verdict"] in ("benign", "robust")]
    stopped = sum(c["outcome"] == "stopped" for c in attacks)
    passed = sum(c["outcome"] == "passed" for c in benign)
    print(f"attacks stopped: {stopped} of {len(attacks)}; benign cases passed: {passed} of {len(benign)}; expected to differ: {len(listed)}")
    if wrong:
        print("not as it must be:")
        print("\n".join(f"  {line}" for line in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
