"""The spool: a message that no relay accepts waits on the script's host, on disk, and is delivered in order, once."""

from __future__ import annotations

import json
import re
import shutil
import stat
import time
from itertools import product

import pytest

from fedmsg_relay.errors import EX_DATAERR, EX_UNAVAILABLE
from harness import Host, locate
from messages import compare
from spooled import LOOKING, WAYS, message, put, put_first, shell, waiting

# A message that no relay takes.


@pytest.mark.parametrize("way", WAYS)
def test_without_a_relay_a_script_ends_soon_with_its_message_on_disk(lonely: Host, way: str) -> None:
    ran = WAYS[way](lonely, "hello")
    assert ran.code == 0, ran.stderr
    assert ran.within(LOOKING)
    (path,) = waiting(lonely)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    if way == "fedmsg-logger":
        assert ran.one_error_line().startswith("fedmsg-logger: 1 spooled")
    if way == "publish":
        assert ran.stdout == f"{path}\n"


@pytest.mark.parametrize("way", ["fedmsg-logger", "publish"])
def test_from_python_the_file_holds_topic_and_body(lonely: Host, way: str) -> None:
    put_first(lonely)
    assert WAYS[way](lonely, "hello").code == 0
    header, topic, body = waiting(lonely)[1].read_bytes().split(b"\n", 2)
    assert (header, topic) == (b"fedmsg-spool 1 message", b"org.fedoraproject.test.logger.log")
    assert json.loads(body)["msg"] == {"log": "hello"}


def test_a_topic_of_two_lines_is_refused_and_not_spooled(lonely: Host) -> None:
    for options in (["--topic=a\nb"], ["--modname=a\nb"], ["--topic-prefix=a\nb"]):
        ran = lonely.run("fedmsg-logger", "--message=x", *options)
        assert ran.code == EX_DATAERR
        assert "the topic has a newline" in ran.one_error_line()
    script = "import fedmsg_relay; fedmsg_relay.publish('a\\nb', {}, 'logger')"
    assert "NotWellFormedError" in lonely.run("python", "-c", script).stderr
    assert waiting(lonely) == []


def test_from_the_shell_the_file_holds_what_the_envelope_is_made_of(lonely: Host) -> None:
    assert shell(lonely, "hello").code == 0
    header, modname, topic, timestamp, msg_id, username, msg = waiting(lonely)[0].read_text().split("\n", 6)
    assert (header, modname, topic, json.loads(msg)) == ("fedmsg-spool 1 msg", "logger", "log", {"log": "hello"})
    assert timestamp.isdigit()
    assert re.fullmatch(r"\d{4}-[0-9a-f-]{36}", msg_id)
    assert username


@pytest.mark.parametrize("umask", ["000", "077"])
@pytest.mark.parametrize("command", ["fedmsg-logger --message x", "fedmsg-spool --modname a --topic b --message 1"])
def test_whatever_the_umask_the_group_can_read_and_others_not(lonely: Host, command: str, umask: str) -> None:
    put_first(lonely)
    ran = lonely.run("/bin/sh", "-c", f"umask {umask}; {command}", env={"FEDMSG_SPOOL": str(lonely.spool)})
    assert ran.code == 0, ran.stderr
    (_, path) = waiting(lonely)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_all_lines_of_stdin_are_spooled_in_order(lonely: Host) -> None:
    ran = lonely.run("fedmsg-logger", stdin="".join(f"{n}\n" for n in range(100)))
    assert (ran.code, ran.one_error_line()[:27]) == (0, "fedmsg-logger: 100 spooled,")
    assert ran.within(LOOKING)
    spooled = [json.loads(path.read_bytes().split(b"\n", 2)[2])["msg"]["log"] for path in waiting(lonely)]
    compare(spooled, [str(n) for n in range(100)])


def noting_commands(host: Host, failing: str = "") -> dict[str, str]:
    """A PATH on which sync and mv note what they are asked before they do it; the environment for fedmsg-spool."""
    for name in ("sync", "mv"):
        real = shutil.which(name)
        script = f'#!/bin/sh\necho "{name} $*" >> {host.directory}/calls\n{failing}\nexec {real} "$@"\n'
        host.write(f"noting/{name}", script).chmod(0o755)
    path = f"{host.directory}/noting:{host.environment()['PATH']}"
    return {"FEDMSG_SPOOL": str(host.spool), "PATH": path}


SHELL = ("fedmsg-spool", "--modname=logger", "--topic=log", "--message={}")


def test_fedmsg_spool_syncs_the_file_renames_it_and_syncs_the_directory(lonely: Host) -> None:
    ran = lonely.run(*SHELL, env=noting_commands(lonely))
    assert (ran.code, ran.stderr) == (0, "")
    (path,) = waiting(lonely)
    calls = (lonely.directory / "calls").read_text().splitlines()
    begun = calls[0].removeprefix("sync ")
    assert begun.startswith(f"{lonely.spool}/.")
    assert calls == [f"sync {begun}", f"mv {begun} {path}", f"sync {lonely.spool}"]


def test_nobody_can_guess_the_name_that_fedmsg_spool_begins_with(lonely: Host) -> None:
    """A message of the future makes its time known; the process keeps its number."""
    future = time.time_ns() + 3600 * 10**9
    put(lonely, message("first"), f"{future:020d}-1-1.msg")
    guess = f'mkfifo {lonely.spool}/.{future + 1:020d}-$$-1.msg; exec "$@"'
    ran = lonely.run("/bin/sh", "-c", guess, "sh", *SHELL, env={"FEDMSG_SPOOL": str(lonely.spool)})
    assert (ran.code, ran.stderr) == (0, "")
    assert waiting(lonely)[1].name.startswith(f"{future + 1:020d}-")


@pytest.mark.parametrize(
    ("failing", "rest"),
    [
        ('[ -f "$1" ] || exit 1', "not sent"),
        ('[ ! -f "$1" ] || exit 1', "not sent"),
        ('[ -f "$1" ] || { rm "$1"/*.msg; exit 1; }', "delivered meanwhile"),
    ],
    ids=["the directory cannot be synced", "the file cannot be synced", "it was delivered meanwhile"],
)
def test_from_the_shell_what_may_not_be_on_disk_is_taken_back(lonely: Host, failing: str, rest: str) -> None:
    ran = lonely.run(*SHELL, env=noting_commands(lonely, failing))
    assert ran.code == EX_UNAVAILABLE
    assert ran.one_error_line().endswith(f"cannot be written; {rest}")
    assert list(lonely.spool.iterdir()) == []


# A spool that takes nothing more.


@pytest.mark.parametrize("way", WAYS)
def test_a_full_spool_is_an_error_that_says_so(lonely: Host, way: str) -> None:
    for number in range(10_000):
        (lonely.spool / f"{number:020d}-1-1.msg").touch()
    ran = WAYS[way](lonely, "one too many")
    assert len(waiting(lonely)) == 10_000
    if way == "publish":
        assert ran.code == 1
        assert ran.stderr.splitlines()[-1].startswith("fedmsg_relay.spool.SpoolError: ")
    else:
        assert ran.code == EX_UNAVAILABLE
        assert ran.one_error_line()
    assert re.search(r"the spool \S+ is full .*not sent", ran.stderr)


NOT_TEXT = {"NUL": b'{"a": 1}\0', "NUL within": b'{"a": "\0b"}', "beyond the limit": b'"' + b"x" * 2**24 + b'"'}


@pytest.mark.parametrize("stdin", NOT_TEXT.values(), ids=NOT_TEXT.keys())
@pytest.mark.parametrize("sh", ["sh", "bash"])
def test_fedmsg_spool_refuses_what_it_could_not_spool_as_it_is(lonely: Host, sh: str, stdin: bytes) -> None:
    options = ["--topic=a", "--modname=b"]
    ran = lonely.run(
        f"/bin/{sh}", locate("fedmsg-spool"), *options, stdin=stdin, env={"FEDMSG_SPOOL": str(lonely.spool)}
    )
    assert ran.code == EX_DATAERR
    assert ran.one_error_line().endswith("; not sent")
    assert list(lonely.spool.iterdir()) == []


@pytest.mark.parametrize("sh", ["sh", "bash"])
def test_fedmsg_spool_takes_no_more_of_stdin_than_a_message_may_have(lonely: Host, sh: str) -> None:
    command = f"yes | {{ ulimit -v 300000; exec {sh} {locate('fedmsg-spool')} --topic=a --modname=b; }}"
    ran = lonely.run("/bin/sh", "-c", command, env={"FEDMSG_SPOOL": str(lonely.spool)})
    assert (ran.code, ran.one_error_line()) == (65, "fedmsg-spool: the message is larger than 16 MiB; not sent")


def test_stdin_is_spooled_byte_for_byte(lonely: Host) -> None:
    message = '{"a":\t"é\\u0000",\n\n"b": [1 ]}\n\n'.encode()
    options = ["--topic=a", "--modname=b"]
    assert lonely.run("fedmsg-spool", *options, stdin=message, env={"FEDMSG_SPOOL": str(lonely.spool)}).code == 0
    assert waiting(lonely)[0].read_bytes().split(b"\n", 6)[6] == message


def test_without_a_spool_a_missing_relay_is_an_error(lonely: Host) -> None:
    lonely.configure_submit(spool="/nowhere")
    ran = lonely.run("fedmsg-logger", "--message", "x", "--timeout", "1")
    assert ran.code == EX_UNAVAILABLE
    assert "no relay answered within 1 s" in ran.one_error_line()
    ran = lonely.run("fedmsg-spool", "--topic=a", "--modname=b", "--message=1", env={"FEDMSG_SPOOL": "/nowhere"})
    assert ran.code == EX_UNAVAILABLE
    assert "/nowhere" in ran.one_error_line()


USAGE = {
    "an option it does not know": (["--no-such"], 64),
    "an option without its value": (["--modname=b", "--topic"], 64),
    "no topic": (["--modname=b", "--message=1"], 64),
    "no modname": (["--topic=a", "--message=1"], 64),
    "a topic of two lines": (["--topic=a\nb", "--modname=b", "--message=1"], 64),
    "no message": (["--topic=a", "--modname=b"], 65),
    "an empty message": (["--topic=a", "--modname=b", "--message="], 65),
}


@pytest.mark.parametrize(("options", "code"), USAGE.values(), ids=USAGE.keys())
def test_fedmsg_spool_says_what_is_wrong_in_one_line(lonely: Host, options: list[str], code: int) -> None:
    ran = lonely.run("fedmsg-spool", *options, env={"FEDMSG_SPOOL": str(lonely.spool)})
    assert ran.code == code
    assert ran.one_error_line().startswith("fedmsg-spool: ")
    assert list(lonely.spool.iterdir()) == []


def test_fedmsg_spool_says_that_stdin_cannot_be_read(lonely: Host) -> None:
    # bash is the sh of some distributions.
    for sh, redirection in product(("sh", "bash"), ("0<&-", "0> write-only", "0< .")):
        command = f"exec {sh} {locate('fedmsg-spool')} --topic=a --modname=b {redirection}"
        ran = lonely.run("/bin/sh", "-c", command, env={"FEDMSG_SPOOL": str(lonely.spool)})
        assert (ran.code, ran.one_error_line()) == (65, "fedmsg-spool: stdin cannot be read; not sent")
        assert list(lonely.spool.iterdir()) == []
