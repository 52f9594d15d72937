"""Real processes for tests: a host in miniature, and the commands on it.

Everything waits with a deadline, and nothing sleeps to decide a result.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from ports import HeldPort

REPOSITORY = Path(__file__).parents[2]
COMMANDS = Path(sys.executable).parent
PATIENCE = 30.0
BUSY = 25.0
"""Seconds that a busy machine may add to a command that itself waits for nothing.

A fault that a limit is to find must cost more than that: a name server stays silent for minutes.
"""
SILENT_RESOLVER = "import socket, time\nsocket.getaddrinfo = lambda *_, **__: time.sleep(600)\n"
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

    def within(self, limit: float) -> bool:
        """Whether it ended in its time, which a busy machine may stretch.

        Args:
            limit: the longest that the command itself may wait, in seconds.
        """
        return self.seconds < limit + BUSY

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
