"""libzmq's own proxy, forwarding in C: the floor that no relay gets below. Run as: proxy.py INBOUND OUTBOUND."""

from __future__ import annotations

import sys

import zmq

QUEUE = 10_000
"""As our relay's."""


def main() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    inbound, outbound = context.socket(zmq.XSUB), context.socket(zmq.XPUB)
    inbound.rcvhwm = outbound.sndhwm = QUEUE
    outbound.setsockopt(zmq.XPUB_NODROP, 1)  # it waits for a listener rather than drop
    inbound.bind(sys.argv[1])
    outbound.bind(sys.argv[2])
    print("bound", flush=True)
    zmq.proxy(inbound, outbound)


if __name__ == "__main__":
    main()
