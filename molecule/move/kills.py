"""Kills ansible-playbook at random points of a move and runs it again; in between the inventory is edited back.

The points come from the seed: the number of a task, and a time after its begin. The last run of each host that moves is
left to the scenario.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
import time
from pathlib import Path

TASKS = 90
"""A run of a move has some more tasks; one that ends before its point is not killed."""

LONGEST_DELAY = 1.5
RUN_SECONDS = 300


def swap(inventory: Path, one: str, other: str) -> str:
    """Let the relay run on the other host, and say on which."""
    text = inventory.read_text()
    old, new = (one, other) if re.search(rf"\b{one}\b", text) else (other, one)
    inventory.write_text(re.sub(rf"\b{old}\b", new, text))
    return new


def run_and_kill(command: list[str], number: int, delay: float) -> str:
    """Run until so many tasks have begun, and for some time longer.

    Returns:
        The name of the task that was killed, or how the run ended.
    """
    task, begun, deadline = "", 0, time.monotonic() + RUN_SECONDS
    with subprocess.Popen(  # noqa: S603 -- the command of the scenario
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101 -- for the type
        for line in process.stdout:
            found = re.match(r"TASK \[(.*?)\]", line)
            if found:
                task, begun = found[1], begun + 1
            if begun == number:
                time.sleep(delay)
                process.kill()  # by its pid: what it has started on the hosts goes on
                break
            if time.monotonic() > deadline:
                process.kill()
                raise SystemExit(f"a run takes longer than {RUN_SECONDS} s, in {task}")
        # Its workers may keep the pipe open.
        process.stdout.close()
        code = process.wait()
    return f"killed in task {begun}, {task}" if code < 0 else f"ended with {code} after {begun} tasks"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument(
        "--edits", type=int, default=0, help="the number of rounds before which the inventory is edited"
    )
    parser.add_argument("--group", type=Path, required=True, help="the inventory that says where the relay runs")
    parser.add_argument("--hosts", nargs=2, required=True, help="the two hosts")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    points = random.Random(options.seed)  # noqa: S311 -- to be drawn again
    edited = set(points.sample(range(1, options.rounds), options.edits))
    wanted = options.group.read_text()
    print(f"seed {options.seed}", flush=True)
    for each in range(options.rounds):
        where = swap(options.group, *options.hosts) if each in edited else "as before"
        number, delay = points.randint(5, TASKS), points.uniform(0, LONGEST_DELAY)
        print(f"{each + 1}: relay {where}: {run_and_kill(options.command, number, delay)}", flush=True)
    options.group.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
