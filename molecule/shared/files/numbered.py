"""For upgrades and several relays: publish numbers, and hear them: numbered.py RELAY...

Two publishers for each relay are what stock fedmsg opens: PUB sockets with stock's queue, which know that one relay
only. One is our own client, which takes whichever relay answers. The listener is what stock opens, connected to all.
The file ENOUGH ends it; then it prints what became of the messages, and which relay our client got its receipts from.
"""

from __future__ import annotations

import json
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
SEVERAL = len(RELAYS) > 1
ENOUGH = Path("/run/verify-enough")
BEGUN = Path("/run/verify-begun")
PER_SECOND = 50  # of each publisher; a stock publisher's queue of 1000 then lasts 20 seconds
PATIENCE = 60.0  # seconds
HELLO = -1

context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
go = threading.Event()
sent: dict[str, int] = {}
takers: list[str] = []  # for each of the client's numbers the relay that gave the receipt
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
    """With another relay instead of the spool it is patient: a slow disk must not make it ask both for one message."""
    fedmsg.init(**({"relay_spool": ""} if SEVERAL else {}))

    def say(i: int) -> None:
        taker = ""
        try:
            taker = fedmsg.publish(topic="fence", modname="numbered", msg={"said": ["client", i]}).address
        except RelayError as error:
            faults.append(str(error))
        if i != HELLO:
            takers.append(taker)

    number("client", say)
    fedmsg.destroy()


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
    for thread in publishers:
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
    listener.close()
    context.term()

    became = {name: judge(name, [i for i in heard[name] if i != HELLO]) for name in names}
    print(json.dumps({"publishers": became, "receipts": Counter(takers), "faults": faults}))
    return bool(faults) or any(one["lost"] or one["twice"] or not one["in_order"] for one in became.values())


def hear(listener: zmq.Socket[bytes], heard: dict[str, list[int]]) -> bool:
    """Take what comes within a second; whether anything did."""
    if not listener.poll(1000):
        return False
    msg = json.loads(listener.recv_multipart()[1]).get("msg")
    if isinstance(msg, dict) and "said" in msg:
        heard[msg["said"][0]].append(msg["said"][1])
    return True


def judge(name: str, heard: list[int]) -> dict[str, int | bool]:
    """What became of one publisher's numbers. Each relay's have their order: a listener of two reads them in turn."""
    different = len(set(heard))
    by_relay: dict[str, list[int]] = {}
    for i in heard:
        by_relay.setdefault(takers[i] if SEVERAL and name == "client" else name, []).append(i)
    in_order = all(numbers == sorted(numbers) for numbers in by_relay.values())
    return {"sent": sent[name], "lost": sent[name] - different, "twice": len(heard) - different, "in_order": in_order}


sys.exit(main())
