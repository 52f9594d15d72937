"""submit: receipts a second, with more and more clients, of which each waits for its receipt before it goes on."""

from __future__ import annotations

from benchmarks.contenders import OURS, OURS_TMPFS, Contender, possible, running
from benchmarks.load import Listener, join
from benchmarks.plan import Plan, Row
from benchmarks.rivals.asking import ask
from benchmarks.rivals.dialects import Submit
from benchmarks.throughput import warm
from benchmarks.work import Work, judge

CONTENDERS = (OURS, OURS_TMPFS)
CLIENTS = (1, 10, 50, 200)
BATCHES = (1, 100)
SIZE = 300
SECONDS = 1.0
MOST_MESSAGES = 200_000


def run(plan: Plan) -> list[Row]:
    rows = []
    with running(possible(plan, CONTENDERS)) as contenders:
        warm(plan, contenders)
        for batch in BATCHES:
            for clients in plan.pick(CLIENTS, CLIENTS[:2]):
                rows += compare(plan, contenders, batch, clients)
    return rows


def compare(plan: Plan, contenders: dict[str, Contender], batch: int, clients: int) -> list[Row]:
    rows: dict[str, Row] = {}
    for name, contender in contenders.items():
        first, _, _ = measure(contender, max(1, plan.pick(3000, 2) // (batch * clients)), batch, clients)
        wanted = min(first * SECONDS, MOST_MESSAGES / batch)
        each = plan.pick(max(1, int(wanted / clients)), 2)
        rows[name] = {"contender": name, "batch": batch, "clients": clients, "receipts": each * clients}
        rows[name] |= {"rate": [], "cpu_us": [], "verdicts": []}
    for number, name in plan.in_turn(list(rows)):
        row = rows[name]
        rate, cpu_us, verdict = measure(contenders[name], row["receipts"] // clients, batch, clients)
        row["rate"].append(rate)
        row["cpu_us"].append(cpu_us)
        row["verdicts"].append(verdict)
        plan.say(
            f"receipts: {clients} clients, batch {batch}, round {number + 1}, {name}:"
            f" {rate:,.0f} receipts/s, {cpu_us:.1f} us CPU a message, {verdict}"
        )
    return list(rows.values())


def measure(contender: Contender, each: int, batch: int, clients: int) -> tuple[float, float, str]:
    """Receipts a second, microseconds of CPU a message, and whether all came out."""
    work = Work(each * batch, SIZE, clients)
    listener = Listener(contender.host.outbound)
    join(contender.host.inbound, listener)
    before = contender.cpu()
    asked = ask(
        lambda: Submit(int(contender.host.submit.rpartition(":")[2])),
        work,
        batch,
        lambda: listener.take(work.length * work.total),
    )
    used = contender.cpu() - before
    verdict = str(judge(work, listener.bodies()))
    listener.close()
    if asked.receipts != work.total:
        verdict += "; receipts do not add up"
    return each * clients / asked.seconds, used / work.total * 1e6, verdict
