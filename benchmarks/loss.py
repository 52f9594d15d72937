"""Loss: what becomes of numbered messages while the relay is restarted, or killed, under them.

Publishers and listener are the sockets that stock fedmsg opens, with its queues and its times to reconnect.
"""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

import zmq

from benchmarks.contenders import OURS, STOCK, Contender, running
from benchmarks.load import HELLO, in_a_process
from benchmarks.plan import BenchError, Plan, Row
from benchmarks.work import TOPIC, Work, judge

PUBLISHERS = 4
PER_SECOND = 300
"""Of each publisher; a stock publisher's queue of 1000 then lasts more than three seconds."""
MOST_SECONDS = 60
"""Of traffic; it goes on until the last restart is over."""
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
    restarts = plan.pick(RESTARTS, 1)
    work = Work(PER_SECOND * MOST_SECONDS, SIZE, PUBLISHERS)
    with (
        in_a_process(_listen, contender.host.outbound) as listener,
        in_a_process(_publish, work, contender.host.inbound) as publishers,
    ):
        _expect(listener, "joined")
        publishers.send("go")
        for _ in range(restarts):
            time.sleep(plan.pick(PAUSE, 0.2))
            contender.restart(how)
        time.sleep(plan.pick(PAUSE, 0.2))
        publishers.send("enough")
        work = replace(work, count=_expect(publishers))
        listener.send("no more is coming")
        heard = _expect(listener)
    if work.count == PER_SECOND * MOST_SECONDS:
        raise BenchError(f"{contender.name} was not restarted {restarts} times within {MOST_SECONDS} s")
    verdict = judge(work, heard)
    return {"messages": work.total, "restarts": restarts, "verdict": str(verdict), **vars(verdict)}


def _expect(pipe: Connection, word: str | None = None) -> Any:
    if not pipe.poll(PATIENCE):
        raise BenchError(f"no {word or 'answer'} within {PATIENCE} s")
    answer = pipe.recv()
    if word is not None and answer != word:
        raise BenchError(f"{answer!r} instead of {word!r}")
    return answer


def _publish(pipe: Connection, work: Work, address: str) -> None:
    """A PUB for each publisher, at a steady rate until it is enough; says how many messages each has published."""
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
    count = 0
    for messages in zip(*bodies, strict=True):
        time.sleep(max(0.0, started + count / PER_SECOND - time.monotonic()))
        if pipe.poll():
            break
        for publisher, body in zip(publishers, messages, strict=True):
            publisher.send_multipart([TOPIC, body])
        count += 1
    for publisher in publishers:
        publisher.close(linger=PATIENCE * 1000)
    context.term()
    pipe.recv()  # enough
    pipe.send(count)
    pipe.recv()  # the end


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
