"""Python scripts that publish, and what a listener gets of them."""

from __future__ import annotations

import json
from typing import Any

import stock
from harness import COMMANDS, Host, Ran, wait_until
from wire import Listener


def run(host: Host, code: str, stocks: bool = False) -> Ran:
    """The code as a script in a file, with ours or with stock fedmsg."""
    if not stocks:
        return host.run(COMMANDS / "python", host.write("script.py", code))
    text = code.replace("fedmsg_relay as fedmsg", "fedmsg").replace("fedmsg_relay", "fedmsg")
    script = host.write("script.py", text)
    return host.run(stock.command("python"), "-W", "ignore", script)


def published(listener: Listener, count: int) -> list[tuple[str, dict[str, Any]]]:
    wait_until(lambda: len(listener.hear(0.1)) >= count, f"{count} message(s)")
    taken = [(topic.decode(), json.loads(body)) for topic, body in listener.messages]
    assert len(taken) == count
    listener.forget()
    return taken
