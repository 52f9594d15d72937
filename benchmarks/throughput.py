"""Throughput and CPU per message: publishers that always have more to send, one listener that takes all."""

from __future__ import annotations

import socket
import time

from benchmarks.contenders import OURS, OURS_OFF, PROXY, STOCK, Contender, possible, running
from benchmarks.load import CHUNK, Listener, join, publishing
from benchmarks.plan import BenchError, Plan, Row
from benchmarks.work import Work, judge

CONTENDERS = (OURS, OURS_OFF, STOCK, PROXY)
SIZES = (300, 1800)
PUBLISHERS = (1, 4, 50)
SECONDS = 1.0
"""About how long each measurement shall take; the first try of each contender says how many messages that is."""
WARM = 60_000
"""Messages before the first measurement: only then is our relay's dedup window full, as it is for good."""
MOST_MESSAGES = 400_000
MOST_BYTES = 400_000_000
LOAD = "load alone"


def run(plan: Plan) -> list[Row]:
    sizes, crowds = plan.pick(SIZES, SIZES[:1]), plan.pick(PUBLISHERS, (1, 4))
    rows = []
    with running(possible(plan, CONTENDERS)) as contenders:
        warm(plan, contenders)
        for size in sizes:
            for publishers in crowds:
                rows += compare(plan, contenders, size, publishers)
    rows.append(load_alone(plan))
    return rows


def warm(plan: Plan, contenders: dict[str, Contender]) -> None:
    for contender in contenders.values():
        measure(contender, Work(plan.pick(WARM, 1000), SIZES[0]))


def compare(plan: Plan, contenders: dict[str, Contender], size: int, publishers: int) -> list[Row]:
    """All contenders in turn, round after round."""
    rows: dict[str, Row] = {}
    for name, contender in contenders.items():
        # The second try knows what the first one found: that is over before the machine is warm.
        count = plan.pick(4000, 1000)
        for _ in range(plan.pick(2, 1)):
            rate, _, _ = measure(contender, Work(max(1, count // publishers), size, publishers))
            count = int(min(rate * SECONDS, MOST_MESSAGES, MOST_BYTES // size))
        each = max(1, plan.pick(count, 2000) // publishers)
        rows[name] = {"contender": name, "size": size, "publishers": publishers, "messages": each * publishers}
        rows[name] |= {"rate": [], "cpu_us": [], "verdicts": []}
    for number, name in plan.in_turn(list(rows)):
        row = rows[name]
        rate, cpu_us, verdict = measure(contenders[name], Work(row["messages"] // publishers, size, publishers))
        row["rate"].append(rate)
        row["cpu_us"].append(cpu_us)
        row["verdicts"].append(verdict)
        plan.say(
            f"throughput: {size} B, {publishers} publishers, round {number + 1}, {name}:"
            f" {rate:,.0f}/s, {cpu_us:.1f} us CPU a message, {verdict}"
        )
    return list(rows.values())


def measure(contender: Contender, work: Work) -> tuple[float, float, str]:
    """Messages a second from the first to the last at the listener, microseconds of CPU a message, and the verdict."""
    listener = Listener(contender.host.outbound)
    join(contender.host.inbound, listener)
    with publishing(work, contender.host.inbound) as go:
        before = contender.cpu()
        go()
        listener.take(work.length * work.total)
        used = contender.cpu() - before
    seconds = listener.seconds()
    verdict = judge(work, listener.bodies())
    listener.close()
    if verdict.heard < 2:
        raise BenchError(f"{contender.name}: {verdict}")
    return verdict.heard / seconds, used / work.total * 1e6, str(verdict)


def load_alone(plan: Plan) -> Row:
    """The load without a relay: what it sends goes straight to what listens. It must be far above every relay."""
    work = Work(plan.pick(MOST_MESSAGES, 2000), SIZES[0])
    rates = []
    for _ in range(plan.rounds):
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
            with publishing(work, address, plain=True) as go, server.accept()[0] as connection:
                started = time.monotonic()
                go()
                awaited = work.length * work.total
                while awaited > 0:
                    awaited -= len(connection.recv(4 * CHUNK))
                rates.append(work.total / (time.monotonic() - started))
        plan.say(f"throughput: the load alone, straight to where it is heard: {rates[-1]:,.0f}/s")
    return {"contender": LOAD, "size": SIZES[0], "publishers": 1, "messages": work.total, "rate": rates}
