"""Memory: idle, after a million messages, with a listener that is frozen; and what the journal takes of the disk."""

from __future__ import annotations

from benchmarks.contenders import OURS, PROXY, STOCK, Contender, running
from benchmarks.load import Listener, join, publishing
from benchmarks.plan import Plan, Row
from benchmarks.work import Work, judge
from harness import wait_until

LOT = 50_000
MILLION = 1_000_000
LONG = 10_000_000
SIZE = 300
KEEP_BYTES = 100_000_000
"""What the journal may keep here: little enough that a million messages make it give back."""
FROZEN_LOT = 4_000
FROZEN_LOTS = 25
"""So many that in the second half our dedup window of 50,000 has long been full."""
FROZEN_SIZE = 1800


def run(plan: Plan) -> list[Row]:
    rows = []
    for name in (OURS, STOCK, PROXY):
        with running((name,), f"[journal]\nkeep_bytes = {KEEP_BYTES}\n") as contenders:
            rows.append(many_messages(plan, contenders[name]))
    for name in (OURS, STOCK):
        with running((name,)) as contenders:
            rows.append(frozen_listener(plan, contenders[name]))
    plan.note("memory with a frozen listener: zmq.proxy has no part, as it is set to wait for its listeners")
    return rows


def many_messages(plan: Plan, contender: Contender) -> Row:
    """Lot after lot, looking at the memory, and for ours at the journal, in between."""
    count = plan.pick(LONG if plan.long and contender.name == OURS else MILLION, 4000)
    lot = plan.pick(LOT, 1000)
    if contender.name == OURS and not plan.long:
        plan.note(f"journal growth and reclaim: over {count:,} messages; over ten million with --long")
    listener = Listener(contender.host.outbound)
    join(contender.host.inbound, listener)
    row: Row = {"contender": contender.name, "what": "messages", "size": SIZE, "points": [(0, contender.memory())]}
    row |= {"journal": [], "verdicts": []}
    for sent in range(lot, count + 1, lot):
        row["verdicts"].append(pass_through(contender, listener, Work(lot, SIZE)))
        row["points"].append((sent, contender.memory()))
        if contender.name == OURS:
            row["journal"].append((sent, disk(contender)))
        if sent % (count // 5) < lot:
            plan.say(f"memory: {contender.name}, after {sent:,} messages: {contender.memory() / 1e6:.0f} MB")
    listener.close()
    if contender.name == OURS:
        wait_until(lambda: disk(contender) < 2 * KEEP_BYTES, "the journal is given back")
        row["journal_rest"] = disk(contender)
        row["kept"] = KEEP_BYTES
    return row


def frozen_listener(plan: Plan, contender: Contender) -> Row:
    """One listener takes nothing any more, another takes everything."""
    frozen, listener = Listener(contender.host.outbound), Listener(contender.host.outbound)
    join(contender.host.inbound, frozen)
    join(contender.host.inbound, listener)
    row: Row = {"contender": contender.name, "what": "frozen", "size": FROZEN_SIZE, "verdicts": []}
    row["points"] = [(0, contender.memory())]
    lot = plan.pick(FROZEN_LOT, 300)
    for number in range(1, plan.pick(FROZEN_LOTS, 3) + 1):
        row["verdicts"].append(pass_through(contender, listener, Work(lot, FROZEN_SIZE)))
        row["points"].append((number * lot, contender.memory()))
    plan.say(f"memory: {contender.name}, with a frozen listener: {contender.memory() / 1e6:.0f} MB")
    frozen.close()
    listener.close()
    return row


def pass_through(contender: Contender, listener: Listener, work: Work) -> str:
    listener.chunks.clear()
    with publishing(work, contender.host.inbound) as go:
        go()
        listener.take(work.length * work.total)
    return str(judge(work, listener.bodies()))


def disk(contender: Contender) -> int:
    """Bytes of the disk that the journal's files take."""
    return sum(part.stat().st_blocks * 512 for part in contender.journal.parent.glob("journal.db*"))
