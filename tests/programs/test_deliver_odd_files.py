"""Every user can write into the spool: what is not a message of ours is put away and delays nothing."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from bus import Bus, StartBus
from fedmsg_relay import spool
from fedmsg_relay.errors import EX_DATAERR, EX_UNAVAILABLE
from harness import Host
from spooled import deliver, expect_texts, message, put, shell


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
    assert ran.one_error_line().endswith(" removed, 1 left, such as folders that are not empty")
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
