"""Latency: from when a message was due at inbound to when a listener had it, at fixed rates."""

from __future__ import annotations

import time
from itertools import pairwise
from multiprocessing.connection import Connection

from benchmarks.contenders import OURS, OURS_TMPFS, PROXY, STOCK, Contender, possible, running
from benchmarks.load import Listener, Peer, in_a_process, join
from benchmarks.plan import Plan, Row
from benchmarks.throughput import warm
from benchmarks.work import Work, judge

CONTENDERS = (OURS, OURS_TMPFS, STOCK, PROXY)
RATES = {10: 10.0, 1_000: 4.0, 10_000: 3.0}
"""Messages a second, and for how many seconds a round."""
SIZE = 300


def run(plan: Plan) -> list[Row]:
    rows: list[Row] = []
    with running(possible(plan, CONTENDERS)) as contenders:
        warm(plan, contenders)
        for rate, seconds in plan.pick(RATES, {100: 0.5}).items():
            now: dict[str, Row] = {}
            for name in contenders:
                now[name] = {"contender": name, "rate": rate, "messages": int(rate * seconds)}
                now[name] |= {"p50": [], "p99": [], "p99.9": [], "verdicts": []}
            for number, name in plan.in_turn(list(contenders)):
                milliseconds, verdict = measure(contenders[name], int(rate * seconds), rate)
                for percent in (50, 99, 99.9):
                    now[name][f"p{percent}"].append(percentile(milliseconds, percent))
                now[name]["verdicts"].append(verdict)
                plan.say(
                    f"latency: {rate}/s, round {number + 1}, {name}:"
                    f" p50 {now[name]['p50'][-1] or 0:.2f} ms, p99 {now[name]['p99'][-1] or 0:.2f} ms, {verdict}"
                )
            rows += now.values()
    return rows


def measure(contender: Contender, count: int, rate: int) -> tuple[list[float], str]:
    """Milliseconds of each message, as they were heard, and the verdict."""
    work = Work(count, SIZE)
    listener = Listener(contender.host.outbound)
    join(contender.host.inbound, listener)
    with in_a_process(publish_at, work, contender.host.inbound, rate) as pipe:
        # A moment from now, on the clock that all processes share.
        begin = time.monotonic() + 0.05
        pipe.send(begin)
        listener.take(work.length * count)
    heard = listener.bodies()
    taken = [(0.0, 0), *listener.ends(work.length)]
    listener.close()
    arrived = (when for (_, before), (when, after) in pairwise(taken) for _ in range(before, after))
    due = {body: begin + n / rate for n, body in enumerate(work.bodies(0))}
    milliseconds = [(when - due[body]) * 1000 for when, body in zip(arrived, heard, strict=True) if body in due]
    return milliseconds, str(judge(work, heard))


def percentile(values: list[float], percent: float) -> float | None:
    """The value that a percentage does not exceed; None where there are too few values to tell."""
    beyond = int(len(values) * (1 - percent / 100) + 1e-9)
    return sorted(values)[-1 - beyond] if beyond else None


def publish_at(pipe: Connection, work: Work, address: str, rate: int) -> None:
    """Publish each message when it is due, or at once with all others that are; runs in a process of its own."""
    stream, length = work.stream(0), work.length
    peer = Peer(address, b"PUB")
    pipe.send("ready")
    begin = pipe.recv()
    sent = 0
    while sent < work.count:
        due = min(work.count, int((time.monotonic() - begin) * rate) + 1)
        if due > sent:
            peer.send(stream[sent * length : due * length])
            sent = due
        time.sleep(max(0.0, begin + sent / rate - time.monotonic()))
    pipe.recv()
