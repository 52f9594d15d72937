"""The case rivals: receipts a second, messages a second in batches, cold scripts, and how often each server syncs."""

from __future__ import annotations

from contextlib import closing

from benchmarks.cold import Script
from benchmarks.plan import BenchError, Plan, Row
from benchmarks.rivals.asking import ask
from benchmarks.rivals.keepers import Keeper, standing
from benchmarks.rivals.syncs import syncs
from benchmarks.work import Work
from harness import Host

CELLS = ((1, 1), (50, 1), (200, 1), (1, 100))
QUICK_CELLS = ((1, 1), (3, 1), (1, 100))
"""Clients, and messages in a request of theirs."""
CROWD = 50
"""Clients that may share a sync."""
STARTS = 4
"""Of each script in a round."""
SIZE = 300
FIRST = 400
"""Messages of a first try, which also warms what is cold."""
SECONDS = 1.0
"""About how long each measurement shall take; the first try of each says how many messages that is."""
MOST_MESSAGES = 200_000


def run(plan: Plan) -> list[Row]:
    with standing(plan) as keepers:
        rows = [
            {
                "keeper": keeper.name,
                "version": keeper.version,
                "keeps": keeper.keeps,
                "syncs": syncs(plan, keeper, Work(plan.pick(300, 20), SIZE)),
                "shared": syncs(plan, keeper, Work(plan.pick(20, 2), SIZE, CROWD)),
            }
            for keeper in keepers.values()
        ]
        for clients, batch in plan.pick(CELLS, QUICK_CELLS):
            rows += compare(plan, keepers, clients, batch)
        return rows + cold(plan, keepers)


def compare(plan: Plan, keepers: dict[str, Keeper], clients: int, batch: int) -> list[Row]:
    """All in turn, round after round."""
    rows: dict[str, Row] = {}
    for name, keeper in keepers.items():
        first = plan.pick(FIRST, 4)
        tried = measure(keeper, Work(max(1, first // (batch * clients)) * batch, SIZE, clients), batch)
        requests = min(tried["rate"] * SECONDS, MOST_MESSAGES / batch)
        each = plan.pick(max(1, int(requests / clients)), 2)
        rows[name] = {"of": name, "clients": clients, "batch": batch, "each": each * batch}
        rows[name] |= {value: [] for value in tried}
    for number, name in plan.in_turn(list(rows)):
        row = rows[name]
        measured = measure(keepers[name], Work(row["each"], SIZE, clients), batch)
        for value, found in measured.items():
            row[value].append(found)
        plan.say(
            f"rivals: {clients} clients, batch {batch}, round {number + 1}, {name}: {measured['rate']:,.0f} requests/s,"
            f" {measured['cpu_us']:.1f} us CPU a message, clients busy {measured['busy']:.0%}, {measured['verdicts']}"
        )
    return list(rows.values())


def measure(keeper: Keeper, work: Work, batch: int) -> Row:
    """One measurement.

    Returns:
        rate: requests a second whose messages have their receipts.
        cpu_us: microseconds of CPU that the server used a message.
        busy: the part of a core that the clients used. If it is near 1, they are what is measured.
        verdicts: whether the server has it all.

    Raises:
        BenchError: a receipt did not come.
    """
    keeper.begin()
    before = keeper.cpu()
    asked = ask(keeper.client, work, batch, lambda: keeper.attend(work))
    used = keeper.cpu() - before
    if asked.receipts != work.total:
        raise BenchError(f"{keeper.name}: {asked.receipts:,} receipts for {work.total:,} messages")
    return {
        "rate": work.total / batch / asked.seconds,
        "cpu_us": used / work.total * 1e6,
        "busy": asked.cpu / asked.seconds,
        "verdicts": keeper.verdict(work),
    }


def cold(plan: Plan, keepers: dict[str, Keeper]) -> list[Row]:
    """A script of each in turn, from the start of its process to its exit."""
    with closing(Host()) as host:
        scripts = {name: Script(keeper.keeps, *keeper.script(host)) for name, keeper in keepers.items()}
        for keeper in keepers.values():
            keeper.begin()
        for number in range(plan.rounds * plan.pick(STARTS, 1) + 1):
            for name, script in scripts.items():
                script.start(host, f"{name} {number}")
            plan.say(f"rivals: cold scripts, start {number} of each")
        return [
            {
                "script": name,
                "seconds": script.seconds[1:],  # the first start found everything cold on disk: that happens once
                "cpu": script.cpu[1:],
                "lost": keepers[name].lost(script.texts),
            }
            for name, script in scripts.items()
        ]
