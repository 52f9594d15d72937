"""submit: receipts a second, with more and more clients, of which each waits for its receipt before it goes on."""

from __future__ import annotations

import json
import select
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

from benchmarks.contenders import OURS, OURS_TMPFS, Contender, possible, running
from benchmarks.load import CHUNK, SILENCE, Listener, Peer, decode, in_a_process, join
from benchmarks.plan import BenchError, Plan, Row
from benchmarks.throughput import warm
from benchmarks.work import TOPIC, Work, judge
from raw import frame

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
    with in_a_process(_submit, work, contender.host.submit, batch) as pipe:
        before = contender.cpu()
        pipe.send("go")
        listener.take(work.length * work.total)
        used = contender.cpu() - before
        if not pipe.poll(SILENCE):
            raise BenchError(f"{contender.name} did not give every receipt")
        seconds, numbers = pipe.recv()
    verdict = str(judge(work, listener.bodies()))
    listener.close()
    # Each receipt names the numbers of its messages: together they must be all of them, once.
    taken = sorted(number for first, last in numbers for number in range(first, last + 1))
    if taken != list(range(taken[0], taken[0] + work.total)):
        verdict += "; receipts do not add up"
    return each * clients / seconds, used / work.total * 1e6, verdict


def _submit(pipe: Connection, work: Work, address: str, batch: int) -> None:
    """Clients in one process: each sends its next request when the last is answered."""
    head = frame(b"", more=True) + frame(b"FMR1", more=True)
    requests = {}
    for who in range(work.publishers):
        peer = Peer(address, b"DEALER")
        peer.socket.setblocking(False)
        requests[peer.fileno()] = (peer, iter(list(_requests(work, who, batch, head))))
    poller = select.epoll()
    for number in requests:
        poller.register(number, select.EPOLLIN)
    pipe.send("ready")
    pipe.recv()
    answers: dict[int, list[bytes]] = {number: [] for number in requests}
    started = time.monotonic()
    for peer, mine in requests.values():
        peer.send(next(mine))
    while requests:
        for number, _ in poller.poll():
            peer, mine = requests[number]
            answers[number].append(peer.socket.recv(CHUNK))
            if not answers[number][-1].endswith(b"}"):
                continue  # not all of it
            following = next(mine, None)
            if following is None:
                poller.unregister(number)
                del requests[number]
            else:
                peer.send(following)
    seconds = time.monotonic() - started
    receipts = [json.loads(frames[-1]) for of_one in answers.values() for frames in decode(b"".join(of_one))]
    pipe.send((seconds, [receipt["seq"] for receipt in receipts if receipt["status"] == "accepted"]))
    pipe.recv()


def _requests(work: Work, who: int, batch: int, head: bytes) -> Iterator[bytes]:
    bodies = work.bodies(who)
    for start in range(0, len(bodies), batch):
        pairs = [frame(TOPIC, more=True) + frame(body, more=True) for body in bodies[start : start + batch - 1]]
        yield b"".join([head, *pairs, frame(TOPIC, more=True), frame(bodies[min(start + batch, len(bodies)) - 1])])
