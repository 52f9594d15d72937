"""The relay of tests: the real program on a host, started the way systemd starts it."""

from __future__ import annotations

import contextlib
import json
import re
import resource
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedmsg_relay.journal import schema
from harness import COMMANDS, PATIENCE, Host, Process, wait_until


class ServiceManager:
    """The receiving end of sd_notify: what systemd would have been told."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "notify.sock"
        self.path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.setblocking(False)
        self.told: list[str] = []

    def listen(self) -> list[str]:
        """Every assignment told so far, in order."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.told += self._socket.recv(65536).decode().splitlines()
        return self.told

    def forget(self) -> None:
        self.listen()
        self.told.clear()

    def wait_for(self, assignment: str, times: int = 1, timeout: float = PATIENCE) -> None:
        wait_until(
            lambda: self.listen().count(assignment) >= times,
            f"{assignment} told {times} time(s) to the service manager",
            timeout,
        )

    def close(self) -> None:
        self._socket.close()
        self.path.unlink(missing_ok=True)


class Relay:
    """The real fedmsg-relay on a host, started the way systemd starts it."""

    def __init__(self, host: Host, *options: str | Path, env: Mapping[str, str] | None = None) -> None:
        self.host = host
        self.program: list[str | Path] = ["fedmsg-relay"]
        self.options = options
        self.env = dict(env or {})
        self.systemd = ServiceManager(host.directory)
        self.process: Process | None = None

    @property
    def running(self) -> Process:
        assert self.process is not None, "the relay was never started"
        return self.process

    @property
    def pid(self) -> int:
        return self.running.pid

    def launch(self) -> Process:
        """Start the process without waiting for it, for the faults that keep it from being ready."""
        self.systemd.forget()
        options = list(self.options)
        if self.host.settings_file.exists():
            options += ["--settings", self.host.settings_file]
        notify = {"NOTIFY_SOCKET": str(self.systemd.path), **self.env}
        self.process = self.host.start(*self.program, *options, env=notify)
        return self.process

    def start(self) -> Relay:
        process = self.launch()

        def ready_or_dead() -> bool:
            return "READY=1" in self.systemd.listen() or not process.alive()

        wait_until(ready_or_dead, "the relay is ready")
        assert process.alive(), f"the relay ended: {process.stderr()}"
        return self

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop, hold its last line against the identities, and return its exit status."""
        status = self.running.stop(number)
        for line in self.log_lines(f"[{self.pid}] stop ")[-1:]:
            assert_balanced({name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", line)}, dropped=True)
        return status

    def kill(self) -> None:
        self.running.kill()

    def reload(self) -> None:
        """SIGHUP, and wait until the relay says it is ready again."""
        self.systemd.forget()
        self.running.send_signal(signal.SIGHUP)
        self.systemd.wait_for("READY=1")

    def status(self) -> dict[str, Any]:
        ran = self.host.run("fedmsg-relay", "status", "--json")
        assert ran.stdout, f"status said nothing; stderr: {ran.stderr}"
        answer: dict[str, Any] = json.loads(ran.stdout)
        return answer

    def messages(self) -> dict[str, int]:
        """The counters, straight from the status socket, held against the identities."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as reader:
            reader.settimeout(PATIENCE)
            reader.connect(str(self.host.directory / "run" / "status.sock"))
            messages = json.loads(b"".join(iter(lambda: reader.recv(65536), b"")))["messages"]
        assert_balanced(messages)
        return dict(messages)

    def settled(self) -> dict[str, int]:
        """The counters once nothing waits any more."""
        wait_until(lambda: not self.messages()["waiting"], "nothing waits in the journal")
        return self.messages()

    def noted(self) -> None:
        """Wait until the journal notes everything as published: then a kill brings nothing out again."""

        def published() -> bool:
            with contextlib.closing(schema.open_for_reading(self.host.journal_file)) as db:
                found = schema.find_position(db)
            return found.published == found.last

        wait_until(published, "everything is noted as published")

    def log(self) -> str:
        return self.host.log_file.read_text() if self.host.log_file.is_file() else ""

    def log_lines(self, *words: str) -> list[str]:
        """The lines of the log that hold all the words."""
        return [line for line in self.log().splitlines() if all(word in line for word in words)]

    def wait_for_log(self, *words: str, timeout: float = PATIENCE) -> str:
        what = f"a log line with {words}"
        return wait_until(lambda: self.log_lines(*words), what, timeout)[-1]

    def wait_for_log_anywhere(self, text: str) -> None:
        """The text stands in the log or in one that was rotated away."""
        folder = self.host.log_file.parent
        wait_until(
            lambda: any(text in file.read_text() for file in folder.glob("*")),  # which may not be there yet
            f"{text!r} in a log",
        )

    def open_files(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def memory(self) -> int:
        """Resident memory in bytes."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    def close(self) -> None:
        """End it; whatever the test was about, its counters have to add up."""
        try:
            if self.process is not None and self.process.alive() and "READY=1" in self.systemd.listen():
                self.messages()
        finally:
            if self.process is not None:
                self.kill()
            self.systemd.close()


def assert_balanced(messages: Mapping[str, int], dropped: bool = False) -> None:
    """Both identities of docs/journal.md, worked out here and not by the relay."""
    m = messages
    taken = m["journaled"] + m["quarantined"] + m["refused"] + m["duplicates"] + m["unjournaled"]
    assert m["received"] == taken, messages
    published = m["published"] - m["unjournaled"] if dropped else m["published"]
    ended = published + m["waiting"] + m["damaged"] + m["refused_upstream"]
    assert m["journaled"] + m["carried"] == ended, messages


_LONGER = """\
import sys
from fedmsg_relay.commands import relay as cli
from fedmsg_relay.daemon import listener_wait
listener_wait.WAIT_SECONDS = float(sys.argv.pop(1))
sys.exit(cli.main())
"""


def wait_longer(relay: Relay, seconds: float) -> None:
    """From its next start on the relay waits longer for its previous listeners: a busy machine does not use that up."""
    relay.program = [COMMANDS / "python", "-c", _LONGER, str(seconds)]
