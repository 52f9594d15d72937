"""Records what stock's bridge makes of messages, for tests/data/bridge-stock.json.

It runs in an environment of its own, with fedmsg, fedora-messaging and a checkout of fedmsg-migration-tools 1.1.2:

    PYTHONPATH=CHECKOUT python tests/support/stock_bridge.py > tests/data/bridge-stock.json
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

TOPIC = "org.fedoraproject.prod.git.receive"
ENVELOPE = {"i": 3, "msg_id": "2026-x", "timestamp": 1700000000, "topic": TOPIC, "username": "alice"}
BODIES: list[bytes] = [
    json.dumps({**ENVELOPE, "msg": msg}).encode()
    for msg in (
        {"n": 1},
        {},
        {"commit": {"files": ["a", "b"], "total": 1.5, "none": None, "yes": True}},
        {"text": "\u00e4\u4e2d\U0001f600"},
        None,
        [],
        "",
        0,
        False,
        [1],
        "text",
        7,
        True,
    )
] + [
    json.dumps({**ENVELOPE, "msg": {"n": 1}, "username": "amqp-bridge"}).encode(),
    json.dumps({**ENVELOPE, "msg": {"n": 1}, "signature": "U0k=\n", "crypto": "x509"}).encode(),
    json.dumps({key: value for key, value in ENVELOPE.items() if key != "username"} | {"msg": {"n": 1}}).encode(),
    json.dumps(ENVELOPE).encode(),
    b'{"msg": {"n": 1.10, "e": 1e3, "s": "\xc3\xa4"}, "msg_id": "2026-y", "topic": "t", "username": "bob"}',
]


def main() -> None:
    """Let stock's bridge take each message, and print what it would publish."""
    bridges = importlib.import_module("fedmsg_migration_tools.bridges")  # only in its environment
    published: list[Any] = []
    bridges.fedmsg.crypto.validate = lambda *_, **__: True
    bridges.api.publish = lambda message, **_: published.append(message)
    recorded = []
    for body in BODIES:
        published.clear()
        bridges._convert_and_maybe_publish(TOPIC.encode(), body, "zmq.topic")
        made = None
        for message in published:
            properties = message._properties
            made = {
                "routing_key": message._encoded_routing_key,
                "body": message._encoded_body.decode(),
                "message_id": properties.message_id,
                "content_type": properties.content_type,
                "content_encoding": properties.content_encoding,
                "delivery_mode": properties.delivery_mode,
                "headers": {name: value for name, value in properties.headers.items() if name != "sent-at"},
            }
        recorded.append({"topic": TOPIC, "body": body.decode(), "made": made})
    json.dump(recorded, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
