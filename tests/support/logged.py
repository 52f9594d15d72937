"""fedmsg-logger on a bus: run it, and say exactly what must come out."""

from __future__ import annotations

import json
from typing import Any

from bus import Bus
from harness import Ran, wait_until
from messages import compare
from wire import Listener

END = "the last line"


def bodies(listener: Listener, count: int) -> list[dict[str, Any]]:
    """The next messages, decoded; more than that many are a fault."""
    wait_until(lambda: len(listener.hear(0.1)) >= count, f"{count} message(s)")
    taken = [json.loads(body) for _, body in listener.messages]
    assert len(taken) == count
    listener.forget()
    return taken


def log(bus: Bus, *options: str, stdin: str | bytes = b"") -> Ran:
    ran = bus.host.run("fedmsg-logger", *options, stdin=stdin)
    assert (ran.code, ran.stderr) == (0, "")
    return ran


def expect_logged(bus: Bus, expected: list[Any]) -> None:
    """Exactly these have come out as `msg`, in this order; one more message shows that no more come."""
    log(bus, "--message", END)

    def complete() -> bool:
        heard = bus.listener.hear(0.1)
        return len(heard) > len(expected) and any(END.encode() in frames[1] for frames in heard)

    wait_until(complete, f"{len(expected)} message(s) and the last one")
    came = [json.loads(body)["msg"] for _, body in bus.listener.messages]
    bus.listener.forget()
    compare([msg for msg in came if msg != {"log": END}], expected)
