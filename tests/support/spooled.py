"""Scripts without a relay: how each puts a message into the spool, and what must come out of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from bus import Bus
from fedmsg_relay import spool
from harness import Host, Ran, wait_until
from messages import compare

NAME = re.compile(r"\d{20}-\d+-\d+\.msg")
LOOKING = 2.0
"""Seconds for which a script looks for a relay that answers."""


def waiting(host: Host) -> list[Path]:
    """What waits, in order of delivery."""
    return sorted(path for path in host.spool.iterdir() if NAME.fullmatch(path.name))


def log(host: Host, text: str) -> Ran:
    return host.run("fedmsg-logger", "--message", text)


def publish(host: Host, text: str) -> Ran:
    script = f"import fedmsg_relay; r = fedmsg_relay.publish('log', {{'log': {text!r}}}, 'logger'); print(r.spooled)"
    return host.run("python", "-c", script)


def shell(host: Host, text: str) -> Ran:
    options = ["--modname=logger", "--topic=log", "--message", json.dumps({"log": text})]
    return host.run("fedmsg-spool", *options, env={"FEDMSG_SPOOL": str(host.spool)})


WAYS: dict[str, Callable[[Host, str], Ran]] = {"fedmsg-logger": log, "publish": publish, "fedmsg-spool": shell}


def deliver(host: Host, patience: float = 10) -> Ran:
    return host.run("fedmsg-relay", "spool", "deliver", "--patience", str(patience))


def expect_texts(bus: Bus, texts: list[str]) -> None:
    """Exactly these come out, in this order; one more message shows that no more come."""
    assert log(bus.host, "the end").stderr == "", "by now nothing waits any more"

    def ended() -> bool:
        return any(b"the end" in frames[1] for frames in bus.listener.hear(0.1))

    wait_until(ended, "the last message")
    came = [json.loads(frames[1])["msg"].get("log") for frames in bus.listener.messages]
    bus.listener.forget()
    compare(came, [*texts, "the end"])


def put(host: Host, content: bytes, name: str) -> Path:
    """Somebody else's file."""
    path = host.spool / name
    path.write_bytes(content)
    return path


def put_first(host: Host) -> Path:
    """A message waits already, so that no script looks for the relay."""
    return put(host, message("first"), f"{0:020d}-1-1.msg")


def message(text: str, topic: str = "org.fedoraproject.test.logger.log") -> bytes:
    return spool.HEADER + f"message\n{topic}\n".encode() + json.dumps({"msg": {"log": text}}).encode()


def shelled(value: str) -> bytes:
    """A file of fedmsg-spool."""
    return b'fedmsg-spool 1 msg\nm\nx\n1\n2026-x\nsomebody\n{"log": [%s], "a" : 1}\n' % value.encode()
