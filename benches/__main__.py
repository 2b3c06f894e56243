"""Runs every bench, each in a process of its own, and sums up which goals are met: ``python -m benches [options]``.

The options are those of the benches. A missed goal is shown and does not change the exit code: the numbers of one run
are no test. A bench that fails does.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benches.measure import Goal

BENCHES = (
    "scaling",
    "overhead",
    "records",
    "tiny",
    "large",
    "awaits",
    "deadlines",
    "loop_lag",
    "memory",
    "web",
    "learning",
)


def main() -> int:
    """Run all benches with the options given and print the summary."""
    parser = argparse.ArgumentParser(
        prog="python -m benches", description="Run every bench; other options are handed to each."
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all reports there, as a list")
    own, handed_on = parser.parse_known_args()

    reports: list[dict[str, Any]] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for bench in BENCHES:
            script, found = Path(__file__).with_name(f"{bench}.py"), Path(folder, f"{bench}.json")
            if subprocess.run([sys.executable, str(script), *handed_on, "--json", str(found)], check=False).returncode:
                failed.append(bench)
            else:
                reports.append(json.loads(found.read_text()))
            print(flush=True)
    if own.json:
        own.json.write_text(json.dumps(reports, indent=1) + "\n")

    goals = [(report["bench"], Goal(**goal)) for report in reports for goal in report["goals"]]
    print(f"summary: {sum(goal.met for _, goal in goals)} of {len(goals)} goals met")
    for bench, goal in goals:
        print(f"  {bench:<9} {goal}")
    for bench in failed:
        print(f"  {bench:<9} FAILED to run")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
