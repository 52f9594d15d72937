"""The spool: what no relay takes waits on the script's host, on disk, and is delivered in order, once."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest

from fedmsg_relay import spool
from fedmsg_relay.errors import EX_UNAVAILABLE
from harness import Host
from spooled import BOUND, WAYS, put_first, shell, waiting
from wire import compare

# A message that no relay takes.


@pytest.mark.parametrize("way", WAYS)
def test_without_a_relay_a_script_ends_well_and_soon_and_the_message_is_on_disk(lonely: Host, way: str) -> None:
    ran = WAYS[way](lonely, "hello")
    assert ran.code == 0, ran.stderr
    assert ran.seconds < BOUND
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
    assert ran.seconds < BOUND
    spooled = [json.loads(path.read_bytes().split(b"\n", 2)[2])["msg"]["log"] for path in waiting(lonely)]
    compare(spooled, [str(n) for n in range(100)])


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


def test_bytes_are_limited_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MAX_BYTES", 1000)
    (first,) = spool.add(str(tmp_path), [(b"t", b"x" * 800)])
    with pytest.raises(spool.SpoolError, match="is full"):
        spool.add(str(tmp_path), [(b"t", b"x" * 300)])
    assert [str(path) for path in tmp_path.iterdir()] == [first]


def test_a_batch_that_does_not_fit_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MAX_FILES", 3)
    with pytest.raises(spool.SpoolError, match="is full"):
        spool.add(str(tmp_path), [(b"t", b"{}")] * 4)
    assert list(tmp_path.iterdir()) == []


def test_names_stay_in_order_when_the_clock_steps_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added = spool.add(str(tmp_path), [(b"t", b"1")])
    monkeypatch.setattr("fedmsg_relay.spool.time.time_ns", lambda: 10**18)
    added += spool.add(str(tmp_path), [(b"t", b"2")] * 20)
    assert [str(tmp_path / name) for name in spool.pending(str(tmp_path))] == added


def test_no_spool_is_no_relay(lonely: Host) -> None:
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
