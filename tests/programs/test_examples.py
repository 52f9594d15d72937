"""examples/ where something is wrong; script/demo shows them where all is well."""

from __future__ import annotations

import signal

from bus import Bus
from harness import REPOSITORY, Host, wait_until
from messages import numbered
from spooled import waiting

EXAMPLES = REPOSITORY / "examples"


def test_the_script_says_in_one_line_that_the_bus_was_not_told(host: Host) -> None:
    script = "python", EXAMPLES / "pkgdb2branch.py", "nethack", "f44"
    host.configure(relay_submit="tcp://127.0.0.1", relay_spool="")
    ran = host.run(*script)
    assert (ran.code, ran.stdout) == (1, "")
    assert ran.one_error_line().startswith("the bus was not told: ")
    host.configure_submit()
    assert host.run(*script).code == 0
    assert len(waiting(host)) == 1


def test_the_hook_tells_who_pushed_and_lets_the_push_pass(host: Host) -> None:
    host.configure(relay_spool="", environment=None)
    ran = host.run("/bin/sh", EXAMPLES / "post-receive", stdin="0 1 refs/heads/f44\n0 2 refs/heads/f45\n")
    assert (ran.code, ran.stdout) == (0, "")
    said = [line for line in ran.stderr.splitlines() if line.startswith("post-receive: ")]
    assert said == [f"post-receive: the bus was not told about refs/heads/{branch}" for branch in ("f44", "f45")]


def test_the_listener_ends_without_a_word_when_nobody_reads_it(bus: Bus) -> None:
    listener = f"python {EXAMPLES / 'listener.py'}; echo $? >code"
    piped = bus.host.start("/bin/sh", "-c", f"({listener}) | head -n 1")
    wait_until(lambda: len(bus.relay.status()["peers"]["listeners"]) == 2, "it is connected")
    code = bus.host.directory / "code"

    def ended() -> bool:
        bus.publisher.send_all(numbered(1))
        return code.exists() and code.read_text() == f"{128 + signal.SIGPIPE}\n"

    wait_until(ended, "the second message ends it")
    assert piped.wait() == 0
    assert piped.stderr() == ""
    assert piped.stdout() == f"{numbered(1)[0][0].decode()} {numbered(1)[0][1].decode()}\n"
