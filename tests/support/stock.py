"""Stock fedmsg 1.1.7 as a counterpart: its real programs, from a venv of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from harness import PATIENCE, REPOSITORY, Host, Process, Ran, wait_until
from messages import Message

VENV = Path(os.environ.get("FEDMSG_STOCK_VENV", REPOSITORY / ".venv-stock"))


def command(name: str) -> Path:
    """A program of the stock venv. Without it a test fails: skipping would hide what is not tested."""
    path = VENV / "bin" / name
    assert path.exists(), (
        f"no stock fedmsg in {VENV}: run script/test, which makes it, or make it with"
        f" 'python3 -m venv {VENV} && {VENV}/bin/pip install -r tests/support/stock-requirements.txt'"
    )
    return path


def run(
    host: Host,
    name: str,
    *options: str,
    stdin: str | bytes = b"",
    env: Mapping[str, str] | None = None,
) -> Ran:
    """Run a stock command on the host, to its end."""
    return host.run(command(name), *options, stdin=stdin, env=env)


def python(host: Host, code: str, env: Mapping[str, str] | None = None) -> Ran:
    """Run Python that imports stock fedmsg."""
    ran = host.run(command("python"), "-W", "ignore", "-c", code, env=env)
    assert ran.code == 0, ran.stderr
    return ran


def logger(host: Host, *options: str, stdin: str | bytes = b"") -> None:
    """Stock fedmsg-logger; two seconds of its sleep instead of half, so that load cannot decide."""
    ran = run(host, "fedmsg-logger", "--post-init-sleep", "2", *options, stdin=stdin)
    assert ran.code == 0, ran.stderr


class StockRelay:
    """A running stock fedmsg-relay."""

    def __init__(self, host: Host) -> None:
        self.process: Process = host.start(command("fedmsg-relay"))
        wait_until(self._serves, "the stock relay is up", PATIENCE)

    def _serves(self) -> bool:
        assert self.process.alive(), self.process.stdout() + self.process.stderr()
        return "Suggesting threadpool size" in self.process.stdout()


class StockTail:
    """A running stock fedmsg-tail; it prints what it decoded, not the bytes."""

    def __init__(self, host: Host) -> None:
        self.process: Process = host.start(command("fedmsg-tail"))
        self._forgotten = 0

    def printed(self) -> list[str]:
        """What it printed since it was told to forget, one string a message."""
        entries = self.process.stdout().split("[fedmsg.commands    INFO] ")[1:]
        return [entry.split("\n[20")[0].rstrip("\n") for entry in entries][self._forgotten :]

    def heard(self, message: Message) -> bool:
        assert self.process.alive(), f"stock fedmsg-tail died: {self.process.stderr()}"
        return printed_form(message) in self.printed()

    def forget(self) -> None:
        self._forgotten += len(self.printed())

    def expect(self, messages: list[Message], timeout: float = PATIENCE) -> None:
        """Exactly these are printed next, in this order."""
        expected = [printed_form(message) for message in messages]
        wait_until(lambda: len(self.printed()) >= len(expected), f"the tail prints {expected}", timeout)
        assert self.printed()[: len(expected)] == expected
        self._forgotten += len(expected)


def printed_form(message: Message) -> str:
    return str(json.loads(message[1]))
