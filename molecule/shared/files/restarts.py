"""Publish numbered messages and hear them, whatever happens to the relay: restarts.py HOST. Prints what became of them.

Publishers and the listener are what stock fedmsg opens: PUB and SUB sockets with stock's queues and reconnect times.
"""

from __future__ import annotations

import json
import sys
import threading
import time

import zmq

HOST = sys.argv[1]
PUBLISHERS, EACH, PER_SECOND = 8, 7500, 300  # a stock publisher's queue of 1000 lasts more than three seconds
PATIENCE = 60.0  # seconds
TOPIC = b"verify.restarts"


def said(what: list[int] | None) -> bytes:
    """A body that the stock listener of the other checks, which hears it too, can tell from what it waits for."""
    return json.dumps({"topic": "verify.restarts.fence", "said": what}).encode()


def hear(heard: dict[int, list[int]], body: bytes) -> None:
    if what := json.loads(body)["said"]:
        heard[what[0]].append(what[1])


def publish(context: zmq.Context[zmq.Socket[bytes]], number: int, go: threading.Event) -> None:
    with context.socket(zmq.PUB) as publisher:
        publisher.connect(f"tcp://{HOST}:9941")
        while not go.wait(0.2):
            publisher.send_multipart([TOPIC, said(None)])
        started = time.monotonic()
        for i in range(EACH):
            time.sleep(max(0.0, started + i / PER_SECOND - time.monotonic()))
            publisher.send_multipart([TOPIC, said([number, i])])
        publisher.close(linger=int(PATIENCE * 1000))


context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
listener = context.socket(zmq.SUB)
listener.setsockopt(zmq.RECONNECT_IVL, 100)
listener.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
listener.subscribe(TOPIC)
listener.connect(f"tcp://{HOST}:3999")
go = threading.Event()
publishers = [threading.Thread(target=publish, args=(context, number, go)) for number in range(PUBLISHERS)]
for publisher in publishers:
    publisher.start()

deadline = time.monotonic() + PATIENCE
hellos = 0
while hellos < 5 * PUBLISHERS and time.monotonic() < deadline:
    hellos += listener.poll(1000) and len(listener.recv_multipart()) == 2
go.set()

heard: dict[int, list[int]] = {number: [] for number in range(PUBLISHERS)}
deadline = time.monotonic() + EACH / PER_SECOND + PATIENCE
while sum(map(len, heard.values())) < PUBLISHERS * EACH and time.monotonic() < deadline:
    if listener.poll(1000):
        hear(heard, listener.recv_multipart()[1])
# Anything that comes twice would come now.
while listener.poll(1000):
    hear(heard, listener.recv_multipart()[1])

for publisher in publishers:
    publisher.join()
listener.close()
context.term()
lost = {number: EACH - len(set(of_one)) for number, of_one in heard.items()}
duplicated = {number: len(of_one) - len(set(of_one)) for number, of_one in heard.items()}
in_order = all(of_one == sorted(of_one) for of_one in heard.values())
print(json.dumps({"sent": PUBLISHERS * EACH, "lost": lost, "duplicated": duplicated, "in_order": in_order}))
sys.exit(any(lost.values()) or any(duplicated.values()) or not in_order)
