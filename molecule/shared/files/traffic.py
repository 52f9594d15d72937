"""Be one publisher after the other until a file is gone: traffic.py INBOUND OUTBOUND FILE.

Each publisher connects, sends two messages, hears each come out byte for byte, and leaves: so the relay has
seen it before it is gone. Prints JSON: when the first one came, and the TCP port of each.
"""

import json
import os
import socket
import sys
import time
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import zmq
from zmq.utils.monitor import recv_monitor_message

PATIENCE = 10_000  # milliseconds
LONGEST = 120  # seconds
TOPIC = b"verify.traffic"


def message(number: int) -> list[bytes]:
    """A relay that decodes and encodes would change the spaces, the numbers and the repeated key."""
    return [TOPIC, b'{ "n" : %d,\t"x":1e5, "x":[0.10,"\\u00e9"] }' % number]


def wait_until_heard(publisher: zmq.Socket[bytes], listener: zmq.Socket[bytes]) -> None:
    """Publish until it comes out: only then is the listener's subscription known to be at the relay."""
    hello = [TOPIC, b'{"hello":1}']
    for _ in range(PATIENCE // 100):
        publisher.send_multipart(hello)
        if listener.poll(100):
            break
    publisher.send_multipart(message(0))
    while (heard := receive(listener)) != message(0):
        if heard != hello:
            sys.exit(f"heard {heard} before anything else was sent")


def receive(listener: zmq.Socket[bytes]) -> list[bytes]:
    if not listener.poll(PATIENCE):
        sys.exit("what was published did not come out")
    return listener.recv_multipart()


def port_of(monitor: zmq.Socket[bytes]) -> int:
    connected = recv_monitor_message(monitor)
    with socket.socket(fileno=os.dup(connected["value"])) as connection:
        port: int = connection.getsockname()[1]
        return port


def main() -> None:
    inbound, outbound, running = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    deadline = time.monotonic() + LONGEST
    began = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    ports: list[int] = []
    numbers = count(1)
    with zmq.Context() as context, context.socket(zmq.SUB) as listener:
        listener.subscribe(TOPIC)
        listener.connect(outbound)
        while running.exists():
            if time.monotonic() > deadline:
                sys.exit(f"{running} was still there after {LONGEST} s")
            with context.socket(zmq.XPUB) as publisher:
                monitor = publisher.get_monitor_socket(zmq.EVENT_CONNECTED)
                publisher.connect(inbound)
                if not publisher.poll(PATIENCE):
                    sys.exit(f"the relay's subscription did not arrive from {inbound}")
                if not ports:
                    wait_until_heard(publisher, listener)
                ports.append(port_of(monitor))
                for sent in (message(next(numbers)), message(next(numbers))):
                    publisher.send_multipart(sent)
                    if (heard := receive(listener)) != sent:
                        sys.exit(f"sent {sent!r}, heard {heard!r}")
                publisher.disable_monitor()
                monitor.close()
    print(json.dumps({"began": began, "ports": ports}))


main()
