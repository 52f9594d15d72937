"""The delivery of the spool: in order, each message once; a file that is not a message delays nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
from pathlib import Path

import pytest

from fedmsg_relay import spool
from fedmsg_relay.errors import EX_DATAERR, EX_UNAVAILABLE
from harness import Host, wait_until
from relays import Relay
from spooled import LOOKING, WAYS, deliver, expect_texts, log, message, put, shell, waiting
from wire import Bus, StartBus

# Order.


def test_new_messages_go_behind_waiting_ones_and_all_arrive_once_in_order(host: Host, start_bus: StartBus) -> None:
    host.configure_submit()
    texts = []
    for round_number in range(2):
        for way, send in WAYS.items():
            texts.append(f"{way} {round_number}")
            assert send(host, texts[-1]).code == 0
    bus = start_bus()
    # The relay is there again, but something waits.
    assert "1 spooled" in log(host, "behind them").one_error_line()
    listed = host.run("fedmsg-relay", "spool", "ls")
    assert listed.stdout.splitlines() == ["7 waiting", *(path.name for path in waiting(host))]
    ran = deliver(host)
    assert (ran.code, ran.stdout, ran.stderr) == (0, "delivered 7, refused 0\n", "")
    assert waiting(host) == []
    expect_texts(bus, [*texts, "behind them"])


def test_over_inbound_everything_arrives_in_order_too(host: Host, start_bus: StartBus) -> None:
    host.configure_submit()
    host.configure(relay_spool=str(host.spool))  # no relay_submit
    for number in range(3):
        assert shell(host, str(number)).code == 0
    bus = start_bus()
    assert deliver(host).code == 0
    expect_texts(bus, ["0", "1", "2"])


def test_more_than_one_lot_arrives_in_order(submit_bus: Bus) -> None:
    for number in range(250):
        put(submit_bus.host, message(str(number)), f"{number:020d}-1-1.msg")
    ran = deliver(submit_bus.host)
    assert ran.stdout == "delivered 250, refused 0\n"
    expect_texts(submit_bus, [str(number) for number in range(250)])


def test_messages_from_the_shell_get_the_configs_prefix_and_their_own_time(submit_bus: Bus) -> None:
    assert shell(submit_bus.host, "hello").code == 0
    timestamp, msg_id = waiting(submit_bus.host)[0].read_text().split("\n")[3:5]
    assert deliver(submit_bus.host).code == 0
    wait_until(lambda: submit_bus.listener.hear(0.1), "the message")
    ((topic, body),) = submit_bus.listener.messages
    assert topic == b"org.fedoraproject.test.logger.log"
    envelope = json.loads(body)
    assert (envelope["timestamp"], envelope["msg_id"]) == (int(timestamp), msg_id)


# Delivery.


def test_without_a_relay_the_files_stay(lonely: Host) -> None:
    assert shell(lonely, "one").code == shell(lonely, "two").code == 0
    before = [(path.name, path.read_bytes()) for path in waiting(lonely)]
    ran = deliver(lonely, patience=1)
    assert ran.code == EX_UNAVAILABLE
    assert ran.within(LOOKING)
    assert "2 stay" in ran.one_error_line()
    assert [(path.name, path.read_bytes()) for path in waiting(lonely)] == before


def test_it_goes_on_trying_until_the_relay_is_there(host: Host, relay: Relay) -> None:
    host.configure_submit()
    assert shell(host, "patience").code == 0
    delivery = host.start("fedmsg-relay", "spool", "deliver", "--patience", "30")
    relay.start()
    assert delivery.wait() == 0, delivery.stderr()
    assert waiting(host) == []


def test_an_empty_spool_is_delivered_at_once(lonely: Host) -> None:
    ran = deliver(lonely)
    assert (ran.code, ran.stdout, ran.stderr) == (0, "delivered 0, refused 0\n", "")


def test_no_spool_is_said_in_one_line(lonely: Host) -> None:
    for command in ("ls", "deliver"):
        ran = lonely.run("fedmsg-relay", "spool", command, "--spool", "/nowhere")
        assert ran.code == EX_UNAVAILABLE
        assert "/nowhere" in ran.one_error_line()
    lonely.configure_submit(spool="")
    for command in ("ls", "deliver"):
        ran = lonely.run("fedmsg-relay", "spool", command)
        assert ran.code == EX_UNAVAILABLE
        assert "relay_spool is empty" in ran.one_error_line()
        assert not (lonely.directory / "refused").exists()


def test_json_for_scripts(submit_bus: Bus) -> None:
    host = submit_bus.host
    assert shell(host, "one").code == 0
    listed = json.loads(host.run("fedmsg-relay", "spool", "ls", "--json").stdout)
    assert listed == {"spool": str(host.spool), "waiting": [path.name for path in waiting(host)]}
    assert json.loads(host.run("fedmsg-relay", "spool", "deliver", "--json").stdout) == {"delivered": 1, "refused": 0}


def test_a_delivery_killed_before_it_removes_files_publishes_nothing_twice(submit_bus: Bus) -> None:
    host = submit_bus.host
    for number in range(3):
        assert shell(host, str(number)).code == 0
    copy = host.directory / "copy"
    shutil.copytree(host.spool, copy)
    assert deliver(host).code == 0
    for path in copy.iterdir():  # as it was between the receipt and the unlink
        shutil.copy2(path, host.spool)
    ran = deliver(host)
    assert (ran.code, ran.stdout) == (0, "delivered 3, refused 0\n")
    assert waiting(host) == []
    expect_texts(submit_bus, ["0", "1", "2"])
    assert submit_bus.relay.messages()["duplicates"] == 3


def test_of_two_deliveries_at_once_the_second_says_so(lonely: Host) -> None:
    assert shell(lonely, "x").code == 0
    first = lonely.start("fedmsg-relay", "spool", "deliver", "--patience", "30")
    wait_until((lonely.spool / "refused" / ".lock").exists, "the first has begun")

    def second_is_refused() -> bool:
        ran = deliver(lonely, patience=1)
        return ran.code == EX_UNAVAILABLE and "another process is delivering it" in ran.one_error_line()

    wait_until(second_is_refused, "the second is refused")
    assert first.alive()
    first.stop(signal.SIGKILL)
    assert "1 stay" in deliver(lonely, patience=1).one_error_line(), "the lock went with its holder"


# Files that are not messages of ours: every user can write into the spool.


def fifo(host: Host) -> Path:
    os.mkfifo(host.spool / "00000000000000000002-1-1.msg")
    return host.spool / "00000000000000000002-1-1.msg"


def link(host: Host) -> Path:
    outside = host.write("secret", message("a secret").decode())
    path = host.spool / "00000000000000000003-1-1.msg"
    path.symlink_to(outside)
    return path


def hard_link(host: Host) -> Path:
    outside = host.write("secret", message("a secret").decode())
    path = host.spool / "00000000000000000004-1-1.msg"
    path.hardlink_to(outside)
    return path


def folder(host: Host) -> Path:
    path = host.spool / "00000000000000000005-1-1.msg"
    (path / "full").mkdir(parents=True)
    return path


def dangling(host: Host) -> Path:
    path = host.spool / "00000000000000000006-1-1.msg"
    path.symlink_to("/nowhere")
    return path


NO_FILES = [fifo, link, hard_link, folder, dangling]
FIELDS = b"msg\nlogger\nlog\n1\n2026-x\nsomebody\n"
BAD_CONTENT = {
    "nothing": b"",
    "garbage": b"\x00\xff garbage\n",
    "another version": b"fedmsg-spool 2 message\ntopic\n{}",
    "another kind": spool.HEADER + b"letter\ntopic\n{}",
    "no body": spool.HEADER + b"message\ntopic",
    "a body that is not JSON": spool.HEADER + b"message\ntopic\nhello",
    "a topic that is not UTF-8": spool.HEADER + b"message\n\xff\n{}",
    "a body nested too deep": spool.HEADER + b"message\ntopic\n" + b"[" * 100_000 + b"]" * 100_000,
    "lines are missing": spool.HEADER + b"msg\nlogger\nlog",
    "a time that is none": spool.HEADER + b"msg\nlogger\nlog\nnow\n2026-x\nsomebody\n{}",
    "a name that is not UTF-8": spool.HEADER + b"msg\nlogger\n\xff\n1\n2026-x\nsomebody\n{}",
    "msg that is not JSON": spool.HEADER + FIELDS + b"hello",
    "msg nested too deep": spool.HEADER + FIELDS + b"[" * 100_000 + b"]" * 100_000,
    "too large": spool.HEADER + b"message\ntopic\n" + b'"' + b"x" * (17 * 1024 * 1024) + b'"',
}


def test_links_fifos_and_folders_are_never_delivered_and_hold_up_nothing(submit_bus: Bus) -> None:
    host = submit_bus.host
    odd = [make(host) for make in NO_FILES]
    assert shell(host, "good").code == 0
    ran = deliver(host)
    assert "Traceback" not in ran.stderr
    assert "delivered 1," in ran.stdout
    refused = host.spool / "refused"
    for path in odd:
        assert os.path.lexists(path) or os.path.lexists(refused / path.name)
    # Moved, not followed: the target of a link is as it was.
    assert (host.directory / "secret").read_bytes() == message("a secret")
    expect_texts(submit_bus, ["good"])


def test_undeliverable_messages_are_set_aside_and_the_rest_is_delivered(submit_bus: Bus) -> None:
    host = submit_bus.host
    bad = [put(host, content, f"{2 * n:020d}-1-1.msg").name for n, content in enumerate(BAD_CONTENT.values())]
    good = [str(n) for n in range(len(bad))]
    for n, text in enumerate(good):
        put(host, message(text), f"{2 * n + 1:020d}-1-1.msg")
    ran = deliver(host)
    assert ran.code == EX_DATAERR
    assert ran.stdout == f"delivered {len(good)}, refused {len(bad)}\n"
    assert [line for line in ran.stderr.splitlines() if "is set aside: " not in line] == []
    assert [name for name in bad if name not in ran.stderr] == []
    aside = {path.name: path.read_bytes() for path in (host.spool / "refused").iterdir() if path.name[0] != "."}
    assert aside == dict(zip(bad, BAD_CONTENT.values(), strict=True))
    assert stat.S_IMODE((host.spool / "refused").stat().st_mode) & 0o077 == 0
    expect_texts(submit_bus, good)


def test_the_oldest_files_set_aside_make_room_for_new_ones(lonely: Host) -> None:
    # The last of them has the name that sorts first.
    names = [f"{2000 - n:020d}-1-1.msg" for n in range(1100)]
    for lot in (names[:600], names[600:]):
        for name in lot:
            put(lonely, b"garbage", name)
        ran = deliver(lonely)
        assert (ran.code, ran.stdout) == (EX_DATAERR, f"delivered 0, refused {len(lot)}\n")
    assert "removed the 100 oldest: it holds at most 1000 files and 256 MiB" in ran.stderr.splitlines()[-1]
    kept = {path.name for path in (lonely.spool / "refused").iterdir() if path.name[0] != "."}
    assert len(kept) == 1000
    assert kept >= {*names[600:]}


def test_files_set_aside_are_bounded_in_bytes_too(lonely: Host) -> None:
    for n in range(10):
        os.truncate(put(lonely, b"", f"{n:020d}-1-1.msg"), 30 * 1024 * 1024)
    assert deliver(lonely).stdout == "delivered 0, refused 10\n"
    kept = [path.name for path in (lonely.spool / "refused").iterdir() if path.name[0] != "."]
    assert sorted(kept) == [f"{n:020d}-1-1.msg" for n in range(2, 10)]


def test_files_far_too_large_are_removed_and_take_nobodys_place(lonely: Host) -> None:
    put(lonely, b"garbage", f"{1:020d}-1-1.msg")
    os.truncate(put(lonely, b"", f"{2:020d}-1-1.msg"), 2 * 1024**3)
    assert deliver(lonely).stdout == "delivered 0, refused 2\n"
    assert [path.name for path in (lonely.spool / "refused").iterdir() if path.name[0] != "."] == [f"{1:020d}-1-1.msg"]
    put(lonely, b"other garbage", f"{1:020d}-1-1.msg")
    assert deliver(lonely).stdout == "delivered 0, refused 1\n"
    aside = {path.read_bytes() for path in (lonely.spool / "refused").iterdir() if path.name[0] != "."}
    assert aside == {b"garbage", b"other garbage"}, "of one name, and both are there"


def test_messages_above_the_relays_own_limit_are_set_aside_too(host: Host, start_bus: StartBus) -> None:
    host.configure_submit()
    host.write("relay.toml", "[limits]\nmax_message_size = 4096\n")
    bus = start_bus()
    for n, text in enumerate(["one", "x" * 5000, "two"]):
        put(host, message(text), f"{n:020d}-1-1.msg")
    ran = deliver(host)
    assert (ran.code, ran.stdout) == (EX_DATAERR, "delivered 2, refused 1\n")
    assert "too-large" in ran.one_error_line()
    expect_texts(bus, ["one", "two"])


@pytest.mark.parametrize("name", ["README", "1.msg.tmp", "one\nline\x1b.msg"])
def test_files_with_other_names_are_set_aside_and_never_delivered(submit_bus: Bus, name: str) -> None:
    path = put(submit_bus.host, message("no message"), name)
    assert shell(submit_bus.host, "good").code == 0
    ran = deliver(submit_bus.host)
    assert (ran.code, ran.stdout) == (0, "delivered 1, refused 0\n")
    assert ran.one_error_line() == f"fedmsg-relay: {path.parent}: files that are not messages: 1 set aside"
    assert (path.parent / "refused" / name).read_bytes() == message("no message")
    expect_texts(submit_bus, ["good"])


def test_unfinished_files_of_scripts_are_left_alone_up_to_a_limit(submit_bus: Bus) -> None:
    host = submit_bus.host
    begun = put(host, message("begun"), ".00000000000000000001-1-1.msg")
    assert (deliver(host).stdout, deliver(host).stderr) == ("delivered 0, refused 0\n", "")
    assert begun.read_bytes() == message("begun")
    os.utime(begun, (2**32, 2**32))  # its owner may say that it is of the year 2106
    for number in range(1500):
        (host.spool / f".{number:020d}-2-1.msg").touch()
    assert deliver(host).code == 0
    assert len([path for path in host.spool.iterdir() if path.name[0] == "."]) == 1000


def test_links_fifos_sparse_files_and_folders_are_put_away_and_counted(lonely: Host) -> None:
    for number in range(1100):
        (lonely.spool / f"{number}.junk").symlink_to("/nowhere")
    (lonely.spool / "empty").mkdir()
    (lonely.spool / "full" / "within").mkdir(parents=True)
    os.truncate(put(lonely, b"", "large"), 2 * 1024**3)
    os.mkfifo(lonely.spool / "fifo.msg")
    ran = deliver(lonely)
    assert (ran.code, ran.stdout) == (0, "delivered 0, refused 0\n")
    assert "1000 set aside, " in ran.one_error_line()
    assert ran.one_error_line().endswith(" removed, 1 left as folders that are not empty")
    assert sorted(path.name for path in lonely.spool.iterdir()) == ["full", "refused"]


def test_a_name_that_is_not_utf8_breaks_no_listing(lonely: Host) -> None:
    Path(os.fsdecode(os.fsencode(lonely.spool) + b"/\xff\xfe.msg")).touch()
    ran = lonely.run("fedmsg-relay", "spool", "ls", env={"PYTHONIOENCODING": "utf-8:strict"})
    assert (ran.code, ran.stderr) == (0, "")


def test_a_refused_message_of_another_user_stops_the_delivery_with_a_line(submit_bus: Bus) -> None:
    host = submit_bus.host
    (host.spool / "refused").symlink_to(host.directory / "home")
    put(host, b"garbage", "00000000000000000001-1-1.msg")
    ran = deliver(host)
    assert ran.code == EX_UNAVAILABLE
    assert "refused" in ran.one_error_line()
    assert list((host.directory / "home").iterdir()) == []
