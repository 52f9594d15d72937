"""Run a relay, a listener and four publishers on this machine, show what arrives, and end.

Everything lives in a temporary directory that is its own home, so this machine's fedmsg configuration and its users'
files stay as they are. Relay and listener run as they do in the tests, which need no more than the package either.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zmq
from shown import HELLO, STEP_SECONDS, DemoError, InterruptedDemoError, Shown, look_at_signals, say, show, signals

from fedmsg_relay import errors

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))

from harness import COMMANDS, Host, Process  # noqa: E402 -- found by the line above
from wire import Publisher, Sockets  # noqa: E402 -- likewise

EXAMPLES = ROOT / "examples"
SIGNER = "shell-demo.example.org"

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


def variables() -> dict[str, str]:
    """The variables of the demo's programs beside those of every host of the tests."""
    return {
        "PATH": f"{COMMANDS}:{os.environ.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
        "RUNTIME_DIRECTORY": "run",  # of the current directory: the path of a socket must be short
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "demo",
        "GIT_AUTHOR_EMAIL": "demo@localhost",
        "GIT_COMMITTER_NAME": "demo",
        "GIT_COMMITTER_EMAIL": "demo@localhost",
    }


def run(host: Host, *command: str | Path, also: int = 0) -> str:
    """Run a program to its end and return its output; it has to end with 0, or with another code that is expected."""
    look_at_signals()
    program = shutil.which("git") if command[0] == "git" else command[0]
    done = host.run(program or "git", *command[1:], env=variables(), timeout=STEP_SECONDS)
    output = done.stdout + done.stderr
    if done.code not in {0, also}:
        raise DemoError(f"{shlex.join(map(str, command))}: exit {done.code}: {output.strip()}")
    return output


def git_push(host: Host) -> None:
    """Push a commit to a bare repository whose hook publishes."""
    bare, work = host.directory / "rpms" / "nethack.git", host.directory / "work"
    run(host, "git", "init", "--quiet", "--bare", bare)
    hook = bare / "hooks" / "post-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.symlink_to(EXAMPLES / "post-receive")
    run(host, "git", "init", "--quiet", work)
    run(host, "git", "-C", work, "commit", "--quiet", "--allow-empty", "--message", "Initial import")
    if said := run(host, "git", "-C", work, "push", "--quiet", bare, "HEAD:refs/heads/f44"):
        raise DemoError(f"git push said: {said.strip()}")


def wait_until_heard(publisher: Publisher, listener: Shown) -> int:
    """Publish until the listener prints it: only then has the relay its subscription. Return how often."""
    hellos = 0

    def hello() -> None:
        nonlocal hellos
        hellos += 1
        publisher.send(HELLO.encode(), b"{}")

    listener.wait_for(HELLO, hello)
    return hellos


def publish_raw(publisher: Publisher, listener: Shown) -> None:
    """Send bodies that no encoder of ours made, and see each come out as it went in."""
    for body in BODIES:
        show("sent", "           " + body.decode())
        publisher.send(b"demo.bytes", body)
        listener.wait_for(f"demo.bytes {body.decode()}\n")


def ca(host: Host, verb: str, *names: str) -> None:
    """Do what script/ca does, in a directory of the demo."""
    run(host, "python", ROOT / "script" / "run_ca.py", verb, host.directory / "pki", *names)


def enforce_signatures(host: Host, relay: Process) -> None:
    """Make a CA and a key for this host, let scripts sign, and let the running relay refuse what is not signed."""
    ca(host, "init")
    ca(host, "issue", SIGNER)
    pki, name = str(host.directory / "pki"), f"shell.{socket.gethostname().partition('.')[0]}"
    config = {"sign_messages": True, "ssldir": pki, "certnames": {name: SIGNER}}
    config |= {"ca_cert_location": f"{pki}/ca.crt", "crl_location": f"{pki}/crl.pem"}
    host.write("home/.fedmsg.d/trust.py", f"config = {config!r}\n")
    host.settings_file.write_text('[trust]\nsignatures = "enforce"\n')
    relay.send_signal(signal.SIGHUP)


def newest(host: Host) -> dict[str, Any]:
    """What the journal tells of its newest message."""
    last = json.loads(run(host, "fedmsg-relay", "journal", "tail", "-n", "1", "--json"))
    found: dict[str, Any] = json.loads(run(host, "fedmsg-relay", "journal", "show", "--json", str(last["seq"])))
    return found


def forge(host: Host, sockets: Sockets) -> str:
    """Change the newest message of the journal, submit it, and return the relay's answer."""
    last = newest(host)
    forged = last["topic"].encode(), last["body"].replace("genuine", "forged").encode()
    answer = sockets.submitter(host.submit).ask(forged)
    if answer.get("reason") != "signature-invalid":
        raise DemoError(f"the relay answers a forged message with {answer}")
    return json.dumps(answer)


def publish_until_refused(host: Host) -> str:
    """Publish until the relay refuses it, and return what fedmsg-logger said then."""
    deadline = time.monotonic() + STEP_SECONDS
    command = ("fedmsg-logger", "--modname=demo", "--topic=signed", "--message=revoked?")
    while not (said := run(host, *command, also=errors.EX_NOPERM)):
        if time.monotonic() > deadline:
            raise DemoError(f"the relay still takes messages with a revoked certificate after {STEP_SECONDS} s")
        time.sleep(0.1)
    return said


@contextlib.contextmanager
def ended(host: Host, sockets: Sockets) -> Iterator[None]:
    """Whatever happens, nothing is left running and no file stays."""
    try:
        yield
    finally:
        sockets.close()
        host.close()


def demo(host: Host, sockets: Sockets) -> None:
    host.configure(relay_submit=[host.submit], environment="dev")
    (host.directory / "fedmsg.d").rename(host.directory / "home" / ".fedmsg.d")  # for programs in other directories

    say(f"1. A relay: inbound {host.inbound}, submit {host.submit}, outbound {host.outbound}")
    host.settings_file.touch()
    relay = host.start("fedmsg-relay", "--settings", host.settings_file, env=variables())
    log = Shown("relay", relay, lambda: host.log_file.read_text() if host.log_file.exists() else "")
    log.wait_for("bound inbound")  # the journal is open, and all is bound

    say("2. A listener: examples/listener.py prints what arrives")
    process = host.start("python", EXAMPLES / "listener.py", env=variables())
    listener = Shown("listener", process, process.stdout, beside=log)
    publisher = sockets.publisher(host.inbound)
    hellos = wait_until_heard(publisher, listener)
    say(f"   ok: it hears the relay ({hellos} hellos were sent until it did)")

    say("3. From a shell: a git push whose hook examples/post-receive runs fedmsg-logger")
    git_push(host)
    listener.wait_for(".git.receive {")

    say("4. From Python: examples/pkgdb2branch.py nethack f44")
    run(host, "python", EXAMPLES / "pkgdb2branch.py", "nethack", "f44")
    listener.wait_for(".git.branch {")

    say("5. Byte for byte: bodies that decoding and encoding again would change")
    publish_raw(publisher, listener)
    say(f"   ok: all {len(BODIES)} bodies came out exactly as they went in")

    say("6. A receipt: publish() returns where the message is in the relay's journal, on disk")
    receipt = run(host, "python", "-c", PUBLISH).strip()
    show("receipt", receipt)
    listener.wait_for(".demo.receipt {")
    show("journal", run(host, "fedmsg-relay", "journal", "show", receipt.split()[1]))

    say("7. Signed: script/ca makes a key for this host, and the relay refuses what is not signed")
    enforce_signatures(host, relay)
    log.wait_for("signatures enforce: read ca=")
    run(host, "fedmsg-logger", "--modname=demo", "--topic=signed", "--message=genuine")
    listener.wait_for('.demo.signed {"certificate":"')
    told = newest(host)
    show("journal", f"seq {told['seq']}, signed by {told['signer']}: {told['verdict']}")

    say("8. Forged: the same message with another text in it")
    show("answer", forge(host, sockets))
    log.show_new()

    say("9. Revoked: script/ca puts the key's certificate on the CRL, and the relay sees it within a second or two")
    ca(host, "revoke", SIGNER)
    show("logger", publish_until_refused(host))
    log.show_new()

    say("10. What the relay says of itself: fedmsg-relay status")
    for line in run(host, "fedmsg-relay", "status").splitlines():
        if line.startswith(("OK", "signed by", "dropped")):
            show("status", line)

    say("11. The end: stopping the listener and the relay")
    process.stop()
    if code := relay.stop():
        raise DemoError(f"the relay exited {code} when it was stopped")
    log.show_new()


def main() -> int:
    if shutil.which("git") is None:
        print("script/demo: there is no git: `apt-get install git`, `dnf install git`", file=sys.stderr)
        return 1
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: signals.append(number))
    began = time.monotonic()
    host, sockets = Host(), Sockets()
    try:
        with ended(host, sockets):
            demo(host, sockets)
    except (DemoError, AssertionError, OSError, subprocess.TimeoutExpired, zmq.ZMQError) as error:
        say(f"FAILED: {error}")
        return 1
    except InterruptedDemoError:
        say("interrupted")
        return 128 + signals[0]
    say(f"OK: everything arrived, nothing is left running ({time.monotonic() - began:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
