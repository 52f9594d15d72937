#!/usr/bin/env python3
"""Print every message that the relay publishes, a line each: topic, a space, the body byte for byte.

It connects to every relay that the global config names and runs until it is interrupted.
"""

import signal
import sys
from contextlib import suppress

import zmq

import fedmsg_relay as fedmsg


def main() -> None:
    outbound = fedmsg.config.load_config([], None)["endpoints"]["relay_outbound"]
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.subscribe(b"")
        # A stock listener does the same for every list in `endpoints`.
        for address in [outbound] if isinstance(outbound, str) else outbound:
            socket.connect(address)
        while True:
            topic, body = socket.recv_multipart()
            sys.stdout.buffer.write(topic + b" " + body + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # without a word, once nobody reads its output any more
    with suppress(KeyboardInterrupt):
        main()
