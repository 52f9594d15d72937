"""A real consumer of fedora-messaging reads what the bridge sends, without a warning."""

from __future__ import annotations

import json
import os
from pathlib import Path

from bridged import PATIENCE, Bridge
from bus import Bus
from harness import REPOSITORY, Process, wait_until
from messages import numbered
from submitted import last_seq

CONSUME = Path(os.environ.get("FEDMSG_FEDORA_VENV", REPOSITORY / ".venv-fedora")) / "bin" / "fedora-messaging"
CONFIG = """
amqp_url = "{url}"
passive_declares = true
callback = "printing:show"
[queues."{queue}"]
durable = true
auto_delete = false
exclusive = false
arguments = {{}}
[[bindings]]
queue = "{queue}"
exchange = "{exchange}"
routing_keys = ["#"]
[exchanges."{exchange}"]
type = "topic"
durable = true
auto_delete = false
arguments = {{}}
"""
CALLBACK = """
import json
def show(message):
    line = {"topic": message.topic, "id": message.id, "body": message.body, "severity": message.severity}
    print(json.dumps({**line, "sent": message._headers["sent-at"], "class": type(message).__name__}), flush=True)
"""


def shown(consumer: Process) -> list[str]:
    """The lines of the callback, among those of the log."""
    return [line for line in consumer.stdout().splitlines() if line.startswith("{")]


def test_a_real_consumer_reads_every_message_without_a_warning(bus: Bus, bridge: Bridge) -> None:
    assert CONSUME.exists(), f"there is no {CONSUME}: run script/test unit, which makes it"
    queue = bridge.exchange.queue()
    bridge.host.write("printing.py", CALLBACK)
    values = {"url": bridge.exchange.url, "queue": queue, "exchange": bridge.exchange.name}
    config = bridge.host.write("consumer.toml", CONFIG.format(**values))
    consumer = bridge.host.start(CONSUME, "--conf", config, "consume", env={"PYTHONPATH": str(bridge.host.directory)})
    odd = (b"org.example.odd", b'{"msg": {"n": 1.10, "t": "\\u00e4"}, "msg_id": "2026-odd", "headers": {"CC": ["x"]}}')
    messages = [*numbered(50), odd]
    bus.publisher.send_all(messages)
    bus.listener.expect(messages)
    bridge.start()
    last = last_seq(bus)
    wait_until(lambda: len(shown(consumer)) >= last or not consumer.alive(), "all are consumed", PATIENCE)
    assert consumer.alive(), consumer.stderr()
    read = [json.loads(line) for line in shown(consumer)][-51:]
    assert [(each["topic"], each["body"]) for each in read] == [
        (topic.decode(), json.loads(body)["msg"]) for topic, body in messages
    ]
    assert [each["id"] for each in read] == [json.loads(body)["msg_id"] for _, body in messages]
    assert {(each["severity"], each["class"]) for each in read} == {(20, "Message")}
    assert read[0]["sent"] == "1970-01-01T00:00:01+00:00"
    log = consumer.stdout() + consumer.stderr()
    assert "Successfully consumed" in log
    assert [line for line in log.splitlines() if "WARNING" in line or "ERROR" in line] == []
