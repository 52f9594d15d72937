"""How often a server asks the disk to sync while it gives receipts one after the other, as strace sees it."""

from __future__ import annotations

import re
import signal
from contextlib import closing

from benchmarks import peers
from benchmarks.plan import Plan
from benchmarks.rivals.asking import ask
from benchmarks.rivals.keepers import Keeper
from benchmarks.work import Work
from harness import Host, wait_until

CALLS = ("fsync", "fdatasync", "sync_file_range", "msync")
_CALL = re.compile(rf"\b(?:{'|'.join(CALLS)})\(")


def syncs(plan: Plan, keeper: Keeper, work: Work) -> float | None:
    """Syncs a receipt, or None where strace is not to be had.

    A server that syncs before each receipt has at least 1 with one client. With more it may share a sync among them.
    """
    strace = peers.program("strace")
    if strace is None:
        plan.note("syncs are not counted, as strace is not installed")
        return None
    keeper.begin()
    with closing(Host()) as host:
        calls = host.directory / "calls"
        options = ["-f", "-e", f"trace={','.join(CALLS)}", "-o", str(calls), "-p", str(keeper.pid)]
        tracer = host.start(strace, *options)
        wait_until(lambda: "attached" in tracer.stderr() or not tracer.alive(), "strace is attached")
        if not tracer.alive():
            plan.note(f"syncs are not counted, as strace cannot attach: {tracer.stderr().strip().rpartition(': ')[2]}")
            return None
        ask(keeper.client, work, 1, lambda: keeper.attend(work))
        tracer.stop(signal.SIGINT)  # it detaches, and has written all
        made = count(calls.read_text()) / work.total
    keeper.verdict(work)
    plan.say(f"rivals: {keeper.name}: {made:.2f} syncs a receipt with {work.publishers} clients")
    return made


def count(calls: str) -> int:
    """How many syncs are in what strace wrote; one that was interrupted by another thread's call has two lines."""
    return len(_CALL.findall(calls))
