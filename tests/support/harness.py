"""Real processes for tests: a host in miniature, and the relay on it.

Everything waits with a deadline, and nothing sleeps to decide a result.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from ports import HeldPort

REPOSITORY = Path(__file__).parents[2]
COMMANDS = Path(sys.executable).parent
PATIENCE = 30.0
SILENT_RESOLVER = "import socket, time\nsocket.getaddrinfo = lambda *_, **__: time.sleep(60)\n"
"""As sitecustomize.py in a directory of PYTHONPATH: look-ups of names never end."""

T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: str, timeout: float = PATIENCE) -> T:
    """Return the first true answer of the condition; fail, saying what was awaited, when it is late."""
    deadline = time.monotonic() + timeout
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what}")
        time.sleep(0.02)
    return answer


@dataclass(frozen=True)
class Ran:
    """What a command that has ended left behind."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    def one_error_line(self) -> str:
        """The only line on stderr: what a foreseeable fault shows, never a traceback."""
        lines = self.stderr.splitlines()
        assert len(lines) == 1, f"expected one line on stderr, got: {self.stderr}"
        return lines[0]


class Host:
    """A host in miniature: a working directory with fedmsg.d/, an empty HOME, and ports of its own."""

    def __init__(self) -> None:
        # Unix socket paths end at 107 bytes, so this is not below pytest's long directory names.
        self.directory = Path(tempfile.mkdtemp(prefix="fedmsg-"))
        for name in ("home", "run", "state", "log", "fedmsg.d"):
            (self.directory / name).mkdir()
        self._ports = [HeldPort(), HeldPort(), HeldPort()]
        self._processes: list[Process] = []
        self.inbound, self.outbound, self.submit = (f"tcp://127.0.0.1:{port.number}" for port in self._ports)
        self.log_file = self.directory / "log" / "fedmsg-relay.log"
        self.settings_file = self.directory / "relay.toml"
        self.journal_file = self.directory / "state" / "journal.db"
        self.spool = self.directory / "spool"
        self.configure()

    def port(self) -> int:
        """One more free port."""
        self._ports.append(HeldPort())
        return self._ports[-1].number

    def configure(
        self,
        inbound: str | list[str] | None = None,
        outbound: str | list[str] | None = None,
        **values: object,
    ) -> Path:
        """Write the global config; without addresses it names this host's own relay."""
        config = {
            "relay_inbound": inbound or [self.inbound],
            "endpoints": {"relay_outbound": outbound or [self.outbound]},
            "environment": "test",
            "zmq_enabled": True,  # a stock relay does not start without it
            "sign_messages": False,
            "validate_signatures": False,
            "relay_spool": "",  # the tests leave the spool of their machine alone
            **values,
        }
        return self.write("fedmsg.d/relay.py", f"config = {config!r}\n")

    def configure_submit(
        self, submit: list[str] | None = None, spool: str | None = None, post_init_sleep: float = 0.5
    ) -> Path:
        """Write the global config of a site with submit and a spool that everybody may write to."""
        self.spool.mkdir(exist_ok=True)
        self.spool.chmod(0o3777)
        self.directory.chmod(0o755)
        return self.configure(
            relay_submit=submit or [self.submit],
            relay_spool=str(self.spool) if spool is None else spool,
            post_init_sleep=post_init_sleep,
        )

    def write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        return {
            "PATH": f"{COMMANDS}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.directory / "home"),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "RUNTIME_DIRECTORY": str(self.directory / "run"),
            "STATE_DIRECTORY": str(self.directory / "state"),
            "LOGS_DIRECTORY": str(self.directory / "log"),
            **(more or {}),
        }

    def run(
        self,
        *command: str | Path,
        stdin: str | bytes = b"",
        timeout: float = PATIENCE,
        env: Mapping[str, str] | None = None,
    ) -> Ran:
        """Run a command of the venv under test (or any program by its path) here, to its end."""
        started = time.monotonic()
        done = subprocess.run(
            [locate(command[0]), *map(str, command[1:])],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            cwd=self.directory,
            env=self.environment(env),
            timeout=timeout,
            check=False,
        )
        return Ran(
            done.returncode,
            done.stdout.decode(errors="backslashreplace"),
            done.stderr.decode(errors="backslashreplace"),
            time.monotonic() - started,
        )

    @contextlib.contextmanager
    def piped(self, *command: str | Path, code: int = 0) -> Iterator[IO[bytes]]:
        """A command whose stdin stays open inside the block; after it, it has to end with the code."""
        with subprocess.Popen(
            [locate(command[0]), *map(str, command[1:])],
            stdin=subprocess.PIPE,
            cwd=self.directory,
            env=self.environment(),
        ) as process:
            try:
                assert process.stdin is not None
                yield process.stdin
                process.stdin.close()
                assert process.wait(PATIENCE) == code
            finally:
                process.kill()

    def start(self, *command: str | Path, env: Mapping[str, str] | None = None) -> Process:
        """Start a command and leave it running; the host ends it when the test is over."""
        process = Process(self, command, self.environment(env))
        self._processes.append(process)
        return process

    def close(self) -> None:
        for process in self._processes:
            process.kill()
        for port in self._ports:
            port.release()
        shutil.rmtree(self.directory)


def locate(program: str | Path) -> str:
    """Commands of the venv under test by name, everything else by path."""
    return str(COMMANDS / program) if "/" not in str(program) else str(program)


class Process:
    """A running command whose output goes to files, so that it can never block on a pipe."""

    _serial = itertools.count()

    def __init__(self, host: Host, command: Sequence[str | Path], env: Mapping[str, str]) -> None:
        name = f"{Path(command[0]).name}-{next(self._serial)}"
        self._stdout = host.directory / f"{name}.out"
        self._stderr = host.directory / f"{name}.err"
        self.directory = host.directory
        with self._stdout.open("wb") as out, self._stderr.open("wb") as err:
            self.popen = subprocess.Popen(
                [locate(command[0]), *map(str, command[1:])],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=host.directory,
                env=dict(env),
            )
        self.pid = self.popen.pid

    def stdout(self) -> str:
        return self._stdout.read_text(errors="backslashreplace")

    def stderr(self) -> str:
        return self._stderr.read_text(errors="backslashreplace")

    def alive(self) -> bool:
        return self.popen.poll() is None

    def send_signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def wait(self, timeout: float = PATIENCE) -> int:
        """The exit status of a process that is about to end."""
        return self.popen.wait(timeout)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.send_signal(number)
        return self.wait()

    def kill(self) -> None:
        if self.alive():
            self.popen.kill()
        self.popen.wait(PATIENCE)


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
    """Both identities of design section 5, worked out here and not by the relay."""
    m = messages
    taken = m["journaled"] + m["quarantined"] + m["refused"] + m["duplicates"] + m["unjournaled"]
    assert m["received"] == taken, messages
    published = m["published"] - m["unjournaled"] if dropped else m["published"]
    ended = published + m["waiting"] + m["damaged"] + m["refused_upstream"]
    assert m["journaled"] + m["carried"] == ended, messages
