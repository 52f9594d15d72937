"""For upgrades and several relays: publish numbers, hear them, and note when a relay is silent: numbered.py RELAY...

Two publishers for each relay are what stock fedmsg opens: PUB sockets with stock's queue, which know that one relay
only. One is our own client, which takes whichever relay answers. The listener is what stock opens, connected to all.
Meanwhile each relay is asked over and over whether it answers. The file ENOUGH ends it; then it prints what became of
the messages, which relay our client got its receipts from, and how often a relay did not answer.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import zmq

import fedmsg_relay as fedmsg
from fedmsg_relay.errors import RelayError

RELAYS = sys.argv[1:]
ENOUGH = Path("/run/verify-enough")
BEGUN = Path("/run/verify-begun")
PER_SECOND = 50  # of each publisher; a stock publisher's queue of 1000 then lasts 20 seconds
PATIENCE = 60.0  # seconds
HELLO = -1

context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
go = threading.Event()
ended = threading.Event()
sent: dict[str, int] = {}
receipts: Counter[str] = Counter()
answers: dict[str, bool] = dict.fromkeys(RELAYS, True)
silences: Counter[str] = Counter()
faults: list[str] = []


def number(name: str, say: Callable[[int], None]) -> None:
    """Say hello until all are heard, then count."""
    while not go.wait(0.2):
        say(HELLO)
    started = time.monotonic()
    i = 0
    while not ENOUGH.exists():
        say(i)
        i += 1
        sent[name] = i
        time.sleep(max(0.0, started + i / PER_SECOND - time.monotonic()))


def publish_as_stock(name: str, relay: str) -> None:
    with context.socket(zmq.PUB) as publisher:
        publisher.connect(f"tcp://{relay}:9941")

        def say(i: int) -> None:
            # The stock listener of the other checks, which hears it too, passes over what calls itself a fence.
            body = {"topic": "verify.numbered.fence", "msg": {"said": [name, i]}}
            publisher.send_multipart([b"verify.numbered.fence", json.dumps(body).encode()])

        number(name, say)
        publisher.close(linger=int(PATIENCE * 1000))


def publish_with_our_client() -> None:
    def say(i: int) -> None:
        try:
            receipt = fedmsg.publish(topic="fence", modname="numbered", msg={"said": ["client", i]})
        except RelayError as error:
            faults.append(str(error))
        else:
            receipts[receipt.address or "spooled"] += 1

    number("client", say)
    fedmsg.destroy()


def ask(relay: str) -> None:
    """Look whether something speaks ZeroMQ there; a stopping relay may leave a connection unanswered."""
    while not ended.wait(0.05):
        try:
            with socket.create_connection((relay, 9942), timeout=0.5) as connection:
                answers[relay] = connection.recv(1) == b"\xff"
        except OSError:
            answers[relay] = False
        if not answers[relay]:
            silences[relay] += 1
            if not any(answers.values()):
                silences["all at once"] += 1


def main() -> int:
    for file in (ENOUGH, BEGUN):
        file.unlink(missing_ok=True)
    listener = context.socket(zmq.SUB)
    listener.setsockopt(zmq.RECONNECT_IVL, 100)
    listener.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
    listener.subscribe(b"")
    for relay in RELAYS:
        listener.connect(f"tcp://{relay}:3999")
    names = ["client"]
    publishers = [threading.Thread(target=publish_with_our_client)]
    for relay in RELAYS:
        for n in (1, 2):
            names.append(f"stock {n} at {relay}")
            publishers.append(threading.Thread(target=publish_as_stock, args=(names[-1], relay)))
    askers = [threading.Thread(target=ask, args=(relay,)) for relay in RELAYS]
    for thread in publishers + askers:
        thread.start()

    heard: dict[str, list[int]] = {name: [] for name in names}
    deadline = time.monotonic() + PATIENCE
    while not all(heard.values()) and time.monotonic() < deadline:
        hear(listener, heard)
    go.set()
    BEGUN.touch()

    while any(thread.is_alive() for thread in publishers):
        hear(listener, heard)
    # What comes twice would come within a second of silence after all have come.
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        silent = not hear(listener, heard)
        if silent and all(set(range(sent[name])) <= set(heard[name]) for name in names):
            break
    ended.set()
    for thread in askers:
        thread.join()
    listener.close()
    context.term()

    became = {name: judge(sent[name], [i for i in heard[name] if i != HELLO]) for name in names}
    print(json.dumps({"publishers": became, "receipts": receipts, "silences": silences, "faults": faults}))
    return bool(faults) or any(one["lost"] or one["twice"] or not one["in_order"] for one in became.values())


def hear(listener: zmq.Socket[bytes], heard: dict[str, list[int]]) -> bool:
    """Take what comes within a second; whether anything did."""
    if not listener.poll(1000):
        return False
    msg = json.loads(listener.recv_multipart()[1]).get("msg")
    if isinstance(msg, dict) and "said" in msg:
        heard[msg["said"][0]].append(msg["said"][1])
    return True


def judge(sent: int, heard: list[int]) -> dict[str, int | bool]:
    different = len(set(heard))
    return {"sent": sent, "lost": sent - different, "twice": len(heard) - different, "in_order": heard == sorted(heard)}


sys.exit(main())
