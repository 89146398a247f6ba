"""Says what the fuzzer did, and fails if it did too little.

summary.py STATUSES.json MIN_CASES: a table of answers by operation; exit 1 below MIN_CASES requests,
on any 5xx, or when an operation refused almost all: what lies behind its checks was then not tried.
"""

import json
import sys

SERVED_MIN_PERCENT = 1
# No plain request opens a WebSocket.
NEVER_SERVED = {"GET /ws/stream"}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        operations = json.load(file)
    least = int(sys.argv[2])
    total, faults = 0, []
    print(f"{'OPERATION':44} {'CASES':>6}  ANSWERS")
    refused = 0
    for name, counts in sorted(operations.items(), key=lambda item: item[0].split()[::-1]):
        cases = sum(counts.values())
        total += cases
        if set(counts) == {"405"}:
            refused += cases
            continue
        told = "  ".join(f"{status}×{count}" for status, count in sorted(counts.items()))
        print(f"{name:44} {cases:6}  {told}")
        if any(status.startswith("5") for status in counts):
            faults.append(f"{name} answered a 5xx")
        served = sum(count for status, count in counts.items() if status.startswith("2"))
        if served * 100 < cases * SERVED_MIN_PERCENT and name not in NEVER_SERVED:
            faults.append(f"{name} served {served} of {cases} cases, below {SERVED_MIN_PERCENT} %")
    if total < least:
        faults.append(f"only {total} cases, fewer than {least}")
    print(f"{'methods that a path does not know':44} {refused:6}  405×{refused}")
    print(f"{total} cases")
    for fault in faults:
        print(f"fault: {fault}")
    sys.exit(1 if faults else 0)


main()
