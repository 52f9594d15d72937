"""Loss: what becomes of numbered messages while the relay is restarted, or killed, under them.

Publishers and listener are the sockets that stock fedmsg opens, with its queues and its times to reconnect.
"""

from __future__ import annotations

import signal
import time
from multiprocessing.connection import Connection
from typing import Any

import zmq

from benchmarks.contenders import OURS, STOCK, Contender, running
from benchmarks.load import HELLO, TOPIC, Work, in_a_process, judge
from benchmarks.plan import BenchError, Plan, Row

PUBLISHERS = 4
PER_SECOND = 300
"""Of each publisher; a stock publisher's queue of 1000 then lasts more than three seconds."""
SECONDS = 18
RESTARTS = 4
PAUSE = 2.0
"""Seconds between two restarts."""
SIZE = 300
PATIENCE = 30
WAYS = {"stop and start": signal.SIGTERM, "kill -9 and start": signal.SIGKILL}


def run(plan: Plan) -> list[Row]:
    rows = []
    for way, how in WAYS.items():
        for name in (STOCK, OURS):
            with running((name,)) as contenders:
                rows.append({"contender": name, "way": way, **experiment(plan, contenders[name], how)})
            plan.say(f"loss: {way}, {name}: {rows[-1]['verdict']}")
        if plan.quick:
            break
    return rows


def experiment(plan: Plan, contender: Contender, how: signal.Signals) -> Row:
    """Restart it again and again under steady traffic; return what became of the messages."""
    seconds, restarts = plan.pick(SECONDS, 2), plan.pick(RESTARTS, 1)
    work = Work(PER_SECOND * seconds, SIZE, PUBLISHERS)
    with (
        in_a_process(_listen, contender.host.outbound) as listener,
        in_a_process(_publish, work, contender.host.inbound) as publishers,
    ):
        _expect(listener, "joined")
        publishers.send("go")
        started = time.monotonic()
        for _ in range(restarts):
            time.sleep(plan.pick(PAUSE, 0.2))
            contender.restart(how)
        late = time.monotonic() - started > seconds
        _expect(publishers, "published", seconds + PATIENCE)
        listener.send("no more is coming")
        heard = _expect(listener, None, PATIENCE)
    if late:
        plan.note(f"loss: {contender.name} took so long to start that traffic ended before its last restart")
    verdict = judge(work, heard)
    return {"messages": work.total, "restarts": restarts, "verdict": str(verdict), **vars(verdict)}


def _expect(pipe: Connection, word: str | None, seconds: float = PATIENCE) -> Any:
    if not pipe.poll(seconds):
        raise BenchError(f"no {word or 'answer'} within {seconds} s")
    answer = pipe.recv()
    if word is not None and answer != word:
        raise BenchError(f"{answer!r} instead of {word!r}")
    return answer


def _publish(pipe: Connection, work: Work, address: str) -> None:
    """A PUB for each publisher, at a steady rate."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    publishers = [context.socket(zmq.PUB) for _ in range(work.publishers)]
    bodies = [work.bodies(who) for who in range(work.publishers)]
    for publisher in publishers:
        publisher.connect(address)
    pipe.send("ready")
    while not pipe.poll(0.05):
        for who, publisher in enumerate(publishers):
            publisher.send_multipart([HELLO, b'{"msg": {"hello": %d}, "topic": "%s"}' % (who, HELLO)])
    pipe.recv()
    started = time.monotonic()
    for n, messages in enumerate(zip(*bodies, strict=True)):
        time.sleep(max(0.0, started + n / PER_SECOND - time.monotonic()))
        for publisher, body in zip(publishers, messages, strict=True):
            publisher.send_multipart([TOPIC, body])
    for publisher in publishers:
        publisher.close(linger=PATIENCE * 1000)
    context.term()
    pipe.send("published")
    pipe.recv()


def _listen(pipe: Connection, address: str) -> None:
    """A SUB; it says "joined" when it has heard every publisher, and in the end all that it heard."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    listener = context.socket(zmq.SUB)
    listener.setsockopt(zmq.RECONNECT_IVL, 100)
    listener.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
    listener.subscribe(b"")
    listener.connect(address)
    pipe.send("ready")
    hellos: set[bytes] = set()
    heard: list[bytes] = []
    while listener.poll(500) or not pipe.poll() or listener.poll(2000):
        if not listener.poll(0):
            continue
        topic, body = listener.recv_multipart()
        if topic != HELLO:
            heard.append(body)
        elif len(hellos) < PUBLISHERS:
            hellos.add(body)
            if len(hellos) == PUBLISHERS:
                pipe.send("joined")
    pipe.recv()
    pipe.send(heard)
    listener.close(linger=0)
    context.term()
    pipe.recv()
