"""The spool of several users, and of many scripts at once."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from fedmsg_relay import client, spool
from fedmsg_relay.errors import EX_DATAERR, EX_UNAVAILABLE
from harness import Host, Process, Ran, Relay, locate, wait_until
from spooled import BOUND, WAYS, deliver, expect_texts, log, message, put, put_first, waiting
from wire import Bus, StartBus

WRITER, DELIVERER = 65534, 64321
"""Users of the tests that need two."""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two other users")


def as_user(host: Host, user: int, *command: str | Path) -> Ran:
    ids = [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    return host.run("/usr/bin/setpriv", *ids, *command, env={"FEDMSG_SPOOL": str(host.spool)})


@pytest.fixture
def shared(lonely: Host) -> Host:
    """A host whose spool belongs to who delivers it; anybody can run a copy of fedmsg-spool there."""
    os.chown(lonely.spool, DELIVERER, DELIVERER)
    lonely.spool.chmod(0o3777)
    shutil.copy(locate("fedmsg-spool"), lonely.directory / "fedmsg-spool")
    return lonely


@as_root
def test_a_user_without_a_name_can_spool_and_who_delivers_can_read_and_remove_it(shared: Host) -> None:
    options = ["--topic=a", "--modname=b", "--message={}"]
    ran = as_user(shared, 54321, shared.directory / "fedmsg-spool", *options)
    assert (ran.code, ran.stderr) == (0, "")
    (path,) = waiting(shared)
    assert (path.stat().st_uid, path.stat().st_gid) == (54321, DELIVERER)
    assert as_user(shared, DELIVERER, "/bin/cat", path).code == 0
    assert as_user(shared, DELIVERER, "/bin/rm", path).code == 0


@as_root
def test_a_user_can_neither_read_nor_remove_nor_replace_what_others_spooled(shared: Host) -> None:
    put_first(shared)
    assert log(shared, "root's").code == 0
    (_, path) = waiting(shared)
    before = path.read_bytes()
    program = shared.directory / "fedmsg-spool"
    assert as_user(shared, WRITER, program, "--topic=a", "--modname=b", "--message={}").code == 0
    commands: list[list[str | Path]] = [["/bin/rm", "-f", path], ["/bin/mv", path, f"{path}.gone"], ["/bin/cat", path]]
    for command in commands:
        assert as_user(shared, WRITER, *command).code != 0, command
    assert path.read_bytes() == before
    assert len(waiting(shared)) == 3


@as_root
def test_a_spool_that_a_user_may_not_write_to_takes_nothing_of_theirs(shared: Host) -> None:
    shared.spool.chmod(0o755)
    ran = as_user(shared, WRITER, shared.directory / "fedmsg-spool", "--topic=a", "--modname=b", "--message={}")
    assert ran.code == EX_UNAVAILABLE
    assert "may write to" in ran.one_error_line()
    assert waiting(shared) == []


@as_root
def test_what_who_delivers_can_not_read_is_set_aside_and_holds_up_nothing(lonely: Host, relay: Relay) -> None:
    closed = put_first(lonely)
    closed.chmod(0o600)
    os.chown(closed, WRITER, WRITER)
    assert log(lonely, "behind it").code == 0
    relay.start()
    # Root, who owns this spool, without the right to read everything.
    without = ["/usr/bin/setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    ran = lonely.run(*without, locate("fedmsg-relay"), "spool", "deliver", "--patience", "10")
    assert (ran.code, ran.stdout) == (EX_DATAERR, "delivered 1, refused 1\n")
    assert f"{closed} is set aside: it can not be read" in ran.one_error_line()
    assert (lonely.spool / "refused" / closed.name).exists()
    assert log(lonely, "straight to the relay").stderr == ""


def test_what_twenty_scripts_spool_at_once_arrives_complete_and_once(host: Host, start_bus: StartBus) -> None:
    host.configure_submit()
    put_first(host)
    options = ["--modname=logger", "--topic=log"]
    scripts: list[Process] = []
    for number in range(10):
        text = json.dumps({"log": f"sh {number}"})
        env = {"FEDMSG_SPOOL": str(host.spool)}
        scripts.append(host.start("fedmsg-spool", *options, "--message", text, env=env))
        scripts.append(host.start("fedmsg-logger", "--message", f"py {number}"))
    assert [script.wait() for script in scripts] == [0] * 20
    texts = {"first", *(f"sh {n}" for n in range(10)), *(f"py {n}" for n in range(10))}
    bus = start_bus()
    assert deliver(host).stdout == "delivered 21, refused 0\n"
    wait_until(lambda: len(bus.listener.hear(0.1)) >= 21, "21 messages")
    assert sorted(json.loads(body)["msg"]["log"] for _, body in bus.listener.messages) == sorted(texts)


def test_files_that_come_and_go_meanwhile_do_not_make_a_spool_look_full_or_broken(lonely: Host) -> None:
    for number in range(100):  # so many that their size is added up
        put(lonely, message("waits"), f"{number:020d}-1-1.msg")
    done = threading.Event()

    def come_and_go() -> None:
        while not done.is_set():
            paths = [lonely.spool / f".{number:020d}-2-1.msg" for number in range(200)]
            for path in paths:
                path.touch()
            for path in paths:
                path.unlink()

    coming = threading.Thread(target=come_and_go)
    coming.start()
    try:
        for way in WAYS.values():
            assert [way(lonely, "hello").code for _ in range(20)] == [0] * 20
    finally:
        done.set()
        coming.join(BOUND)


def test_scripts_may_spool_while_it_is_delivered(submit_bus: Bus) -> None:
    host = submit_bus.host
    done = threading.Event()
    faults: list[Ran] = []

    def go_on_delivering() -> None:
        while not done.is_set():
            ran = deliver(host)
            if ran.code:
                faults.append(ran)

    delivering = threading.Thread(target=go_on_delivering)
    delivering.start()
    try:
        texts = []
        for number in range(200):
            texts.append(str(number))
            body = client.encode({"topic": "t", "msg": {"log": texts[-1]}, "msg_id": f"2026-{number}"})[1]
            spool.add(str(host.spool), [(b"t", body)])
    finally:
        done.set()
        delivering.join()
    assert faults == []
    assert deliver(host).code == 0
    expect_texts(submit_bus, texts)
