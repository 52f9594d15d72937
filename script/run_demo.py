"""Run a relay, a listener and four publishers on this machine, show what arrives, and end.

Everything lives in a temporary directory that is its own home, so neither this machine's
fedmsg configuration nor anybody's files are touched.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import zmq

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
BIN = Path(sys.executable).parent
STEP_SECONDS = 10
HELLO = b"demo.hello"

# Each of these would come out changed from a relay that decodes and encodes the body again.
BODIES = [
    b'{ "z" : 1,\t"a":[ 1e5,  1E+2, 0.10, -0 ] }  ',
    b'{"twice":1,"twice":2}',
    rb'{"caf\u00e9":"\ud83d\ude80 \/ \u0041"}',
    '{"café":"not escaped"}'.encode(),
]

# Prints the receipt's number.
PUBLISH = (
    "import fedmsg_relay as fedmsg; "
    "print('seq', fedmsg.publish(modname='demo', topic='receipt', msg={'to': 'the journal'}).seq)"
)

# Signals that told the demo to end. They are noted and looked at where nothing is half done.
signals: list[int] = []


class DemoError(Exception):
    """What did not happen, in one line."""


class InterruptedDemoError(Exception):
    """Somebody told the demo to end."""


def look_at_signals() -> None:
    if signals:
        raise InterruptedDemoError


class Program:
    """A running program whose output is shown as it comes, and kept."""

    def __init__(self, name: str, command: list[str], env: dict[str, str], cwd: Path) -> None:
        self.name = name
        self._output = bytearray()
        self._process = subprocess.Popen(
            command,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, stdout: Iterable[bytes]) -> None:
        for line in stdout:
            self._output += line
            if not line.startswith(HELLO):
                show(self.name, line)

    def wait_for(self, expected: bytes, doing: Callable[[], object] = lambda: None) -> None:
        """Wait until the output holds `expected`, `doing` something while waiting."""
        deadline = time.monotonic() + STEP_SECONDS
        while expected not in self._output:
            look_at_signals()
            if self._process.poll() is not None:
                raise DemoError(f"the {self.name} ended by itself, exit {self._process.returncode}")
            if time.monotonic() > deadline:
                raise DemoError(f"the {self.name} did not print {expected!r} in {STEP_SECONDS} s")
            doing()
            time.sleep(0.02)

    def stop(self) -> int:
        self._process.terminate()
        try:
            self._process.wait(STEP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(STEP_SECONDS)
        return self._process.returncode


def show(who: str, line: bytes) -> None:
    write(b"   %-8s | %b" % (who.encode(), line.rstrip(b"\n")))


def say(text: str) -> None:
    write(text.encode())


def write(line: bytes) -> None:
    """Write a whole line at once: the threads that read the programs write too."""
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


def run(command: list[str], env: dict[str, str], cwd: Path) -> str:
    look_at_signals()
    done = subprocess.run(
        command,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=STEP_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise DemoError(f"{shlex.join(command)}: exit {done.returncode}: {done.stdout.strip()}")
    return done.stdout


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def environment(home: Path) -> dict[str, str]:
    """The variables of a user who has only this demo's config and this tree's commands."""
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    return kept | {
        "PATH": f"{BIN}:{os.environ.get('PATH', os.defpath)}",
        "HOME": str(home),
        "STATE_DIRECTORY": str(home / "state"),
        "RUNTIME_DIRECTORY": "run",  # of the current directory: the path of a socket must be short
        "PYTHONUNBUFFERED": "1",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "demo",
        "GIT_AUTHOR_EMAIL": "demo@localhost",
        "GIT_COMMITTER_NAME": "demo",
        "GIT_COMMITTER_EMAIL": "demo@localhost",
    }


def git_push(home: Path, env: dict[str, str]) -> None:
    """Push a commit to a bare repository whose hook publishes."""
    bare, work = home / "rpms" / "nethack.git", home / "work"
    run(["git", "init", "--quiet", "--bare", str(bare)], env, home)
    hook = bare / "hooks" / "post-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.symlink_to(EXAMPLES / "post-receive")
    run(["git", "init", "--quiet", str(work)], env, home)
    run(["git", "commit", "--quiet", "--allow-empty", "--message", "Initial import"], env, work)
    said = run(["git", "push", "--quiet", str(bare), "HEAD:refs/heads/f44"], env, work)
    if said:
        raise DemoError(f"git push said: {said.strip()}")


@contextmanager
def raw_publisher(inbound: str) -> Iterator[Callable[[bytes, bytes], object]]:
    """A publisher that sends the frames it is given; the relay is subscribed to it."""
    with zmq.Context() as context, context.socket(zmq.XPUB) as publisher:
        publisher.linger = 0
        publisher.connect(inbound)
        if not publisher.poll(STEP_SECONDS * 1000):
            raise DemoError(f"the relay's subscription did not arrive from {inbound}")
        yield lambda topic, body: publisher.send_multipart([topic, body])


def wait_until_heard(inbound: str, listener: Program) -> int:
    """Publish until the listener prints it: only then has the relay its subscription. Return how often."""
    hellos = 0
    with raw_publisher(inbound) as publish:

        def hello() -> None:
            nonlocal hellos
            hellos += 1
            publish(HELLO, b"{}")

        listener.wait_for(HELLO, hello)
    return hellos


def publish_raw(inbound: str, listener: Program) -> None:
    """Send bodies that no encoder of ours made, and see each come out as it went in."""
    with raw_publisher(inbound) as publish:
        for body in BODIES:
            show("sent", b"           " + body)
            publish(b"demo.bytes", body)
            listener.wait_for(b"demo.bytes " + body + b"\n")


def demo(home: Path, started: list[Program]) -> None:
    env = environment(home)
    inbound, outbound, submit = (f"tcp://127.0.0.1:{port}" for port in free_ports(3))
    for name in (".fedmsg.d", "state", "run"):
        (home / name).mkdir()
    config = {"relay_inbound": [inbound], "relay_submit": [submit], "endpoints": {"relay_outbound": [outbound]}}
    (home / ".fedmsg.d" / "relay.py").write_text(f"config = {json.dumps(config)}\n")

    say(f"1. A relay: inbound {inbound}, submit {submit}, outbound {outbound}")
    relay = Program("relay", [str(BIN / "fedmsg-relay")], env, home)
    started.append(relay)
    relay.wait_for(b" waiting")  # the journal is open, and all is bound

    say("2. A listener: examples/listener.py prints what arrives")
    listener = Program("listener", [str(BIN / "python"), str(EXAMPLES / "listener.py")], env, home)
    started.append(listener)
    hellos = wait_until_heard(inbound, listener)
    say(f"   ok: it hears the relay ({hellos} hellos were sent until it did)")

    say("3. From a shell: a git push whose hook examples/post-receive runs fedmsg-logger")
    git_push(home, env)
    listener.wait_for(b".git.receive {")

    say("4. From Python: examples/pkgdb2branch.py nethack f44")
    run([str(BIN / "python"), str(EXAMPLES / "pkgdb2branch.py"), "nethack", "f44"], env, home)
    listener.wait_for(b".git.branch {")

    say("5. Byte for byte: bodies that decoding and encoding again would change")
    publish_raw(inbound, listener)
    say(f"   ok: all {len(BODIES)} bodies came out exactly as they went in")

    say("6. A receipt: publish() returns where the message is in the relay's journal, on disk")
    receipt = run([str(BIN / "python"), "-c", PUBLISH], env, home).strip()
    show("receipt", receipt.encode())
    listener.wait_for(b".demo.receipt {")
    body = run([str(BIN / "fedmsg-relay"), "journal", "show", receipt.split()[1]], env, home)
    show("journal", body.encode())

    say("7. What the relay says of itself: fedmsg-relay status")
    show("status", run([str(BIN / "fedmsg-relay"), "status"], env, home).splitlines()[0].encode())

    say("8. The end: stopping the listener and the relay")
    started.remove(listener)
    listener.stop()
    started.remove(relay)
    if code := relay.stop():
        raise DemoError(f"the relay exited {code} when it was stopped")


def main() -> int:
    if shutil.which("git") is None:
        print(
            "script/demo: there is no git: `apt-get install git`, `dnf install git`",
            file=sys.stderr,
        )
        return 1
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: signals.append(number))
    began = time.monotonic()
    started: list[Program] = []
    home = Path(tempfile.mkdtemp(prefix="fedmsg-relay-demo."))
    try:
        demo(home, started)
    except (DemoError, OSError, subprocess.TimeoutExpired, zmq.ZMQError) as error:
        say(f"FAILED: {error}")
        return 1
    except InterruptedDemoError:
        say("interrupted")
        return 128 + signals[0]
    finally:
        for program in reversed(started):
            program.stop()
        shutil.rmtree(home, ignore_errors=True)
    say(f"OK: everything arrived, nothing is left running ({time.monotonic() - began:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
